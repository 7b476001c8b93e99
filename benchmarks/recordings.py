"""How fast recordings are opened, read at random, and written.

    python benchmarks/recordings.py [--rows 100000] [--frames 1500]

Index: a generated log of 100,000 rows and 300,000 (empty) pictures, opened without reading them.
Read: frames at random from a written recording, one picture and three, decoded to RGB.
Write: frames of three 320x160 pictures, encoded and written.
"""

import argparse
import shutil
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

import cv2
import numpy as np

from udacity_gym.recording import RecordingWriter, open_recording
from udacity_gym.telemetry import CAMERAS, Image


def make_log(folder: Path, rows: int) -> None:
    """Write a log as the 2017 simulator does, with pictures that are there but empty."""
    (folder / "IMG").mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines = []
    moment = datetime(2018, 7, 16, 17, 11, 43)
    for _ in range(rows):
        moment += timedelta(milliseconds=70)
        stamp = f"{moment:%Y_%m_%d_%H_%M_%S}_{moment.microsecond // 1000:03d}"
        names = [f"{camera}_{stamp}.jpg" for camera in CAMERAS]
        for name in names:
            (folder / "IMG" / name).touch()
        steering, throttle, speed = rng.uniform(-1, 1), rng.uniform(), rng.uniform(0, 30)
        paths = ",".join(f"C:\\Users\\me\\Desktop\\track\\IMG\\{name}" for name in names)
        lines.append(f"{paths},{steering:.7G},{throttle:.7G},0,{speed:.7G}\n")
    (folder / "driving_log.csv").write_text("".join(lines))


def make_pictures(number: int) -> list[dict[str, Image]]:
    """Pictures about as hard to encode as those of a road: smooth noise, some 12 kB as JPEG."""
    rng = np.random.default_rng(1)

    def picture() -> Image:
        rough = cv2.GaussianBlur(rng.integers(0, 256, (160, 320, 3), dtype=np.uint8), (0, 0), 1.2)
        smooth = cv2.resize(rng.integers(0, 256, (10, 20, 3), dtype=np.uint8), (320, 160))
        return np.asarray(cv2.addWeighted(rough, 0.5, smooth, 0.5, 0), dtype=np.uint8)

    return [{camera: picture() for camera in CAMERAS} for _ in range(number)]


def measure_index(folder: Path, rows: int) -> None:
    """Open a long log a few times; the best counts."""
    make_log(folder, rows)
    best = float("inf")
    for _ in range(3):
        begin = time.perf_counter()
        recording = open_recording(folder)
        best = min(best, time.perf_counter() - begin)
    assert len(recording) == rows
    print(f"index of {rows} rows: {best:.2f} s")


def measure_write(folder: Path, frames: int) -> None:
    """Write frames of three pictures."""
    pictures = make_pictures(50)
    begin = time.perf_counter()
    with RecordingWriter(folder) as writer:
        for i in range(frames):
            images = pictures[i % len(pictures)]
            writer.write(images, 0.1, 0.5, 0.0, 10.0, time=i / 15, extra={"cte": 0.5, "s": i * 0.7})
    seconds = time.perf_counter() - begin
    size = sum(path.stat().st_size for path in (folder / "IMG").iterdir()) / (3 * frames)
    rate = frames / seconds
    print(f"write, 3 cameras, {size / 1000:.0f} kB each: {rate:.0f} frames/s, {rate / 15:.0f} x real time")


def measure_read(folder: Path, frames: int) -> None:
    """Read frames at random, from the page cache."""
    episode = open_recording(folder).episodes[0]
    indices = np.random.default_rng(2).integers(0, len(episode), frames).tolist()
    for cameras in (("center",), CAMERAS):
        begin = time.perf_counter()
        for index in indices:
            frame = episode[index]
            for camera in cameras:
                frame.image(camera)
        rate = frames / (time.perf_counter() - begin)
        print(f"random reads, {len(cameras)} of 3 cameras: {rate:.0f} frames/s")


def main() -> None:
    """Measure everything in a temporary folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000, help="rows of the long log")
    parser.add_argument("--frames", type=int, default=1_500, help="frames to write and read")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="udacity-gym-benchmark-"))
    try:
        measure_write(folder / "drive", arguments.frames)
        measure_read(folder / "drive", arguments.frames)
        measure_index(folder / "long", arguments.rows)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
