"""How fast recordings are opened, read at random, written and trained from, and in how much memory.

    python benchmarks/recordings.py [--rows 100000] [--frames 1500] [--memory 1000 30000 1000000]
    python benchmarks/recordings.py --only index
    python benchmarks/recordings.py --only start-poses --recordings path/to/lake path/to/jungle

Index: a generated log of 100,000 rows and 300,000 (empty) images, opened without reading them.
Read: frames at random from a written recording, one image and three, decoded to RGB.
Write: frames of three 320x160 images, encoded and written.
Training: centre images, decoded and scaled to 66x200, in batches of 64; ours beside what others do.
Memory: what a process that trains takes more, over the number of frames (a million needs 4 GB of disk).
Start poses: 150 stretches of each real recording, of 12 to 400 rows, in which the car moves. The simulator
often gives an episode's last row the image of its start, or of a step or two after it. It is counted how
often that is noticed where the last image is replaced so, and how often wrongly where it is not.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from udacity_gym.recording import Downscale, RecordingWriter, TrainingLoader, open_recording, pack
from udacity_gym.recording.images import encode_jpeg
from udacity_gym.recording.splitting import ends_with_start_pose
from udacity_gym.telemetry import CAMERAS, Image

PARTS = ("write", "read", "training", "memory", "index", "start-poses")


def make_log(folder: Path, rows: int) -> None:
    """Write a log as the 2017 simulator does, with images that are there but empty."""
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


def make_images(number: int) -> list[dict[str, Image]]:
    """Images about as hard to encode as those of a road: smooth noise, some 12 kB as JPEG."""
    rng = np.random.default_rng(1)

    def image() -> Image:
        rough = cv2.GaussianBlur(rng.integers(0, 256, (160, 320, 3), dtype=np.uint8), (0, 0), 1.2)
        smooth = cv2.resize(rng.integers(0, 256, (10, 20, 3), dtype=np.uint8), (320, 160))
        return np.asarray(cv2.addWeighted(rough, 0.5, smooth, 0.5, 0), dtype=np.uint8)

    return [{camera: image() for camera in CAMERAS} for _ in range(number)]


def measure_index(folder: Path, rows: int) -> None:
    """Open a long log a few times; the best counts."""
    make_log(folder, rows)
    wall = processor = float("inf")
    for _ in range(3):
        begin, begin_processor = time.perf_counter(), time.process_time()
        recording = open_recording(folder)
        wall = min(wall, time.perf_counter() - begin)
        processor = min(processor, time.process_time() - begin_processor)
    assert len(recording) == rows
    print(f"index of {rows} rows: {wall:.2f} s, of which {processor:.2f} s on a core")


def measure_write(folder: Path, frames: int) -> None:
    """Write frames of three images."""
    drawn = make_images(50)
    begin = time.perf_counter()
    with RecordingWriter(folder) as writer:
        for i in range(frames):
            images = drawn[i % len(drawn)]
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


def measure_training(folder: Path) -> None:
    """Images per second that are ready to learn from; every way does the same to them, in turn."""
    recording = open_recording(folder)
    prepare = Downscale()
    ways: dict[str, Callable[[], int]] = {
        "TrainingLoader, 2 workers": lambda: _count(TrainingLoader(recording, prepare=prepare)),
        "TrainingLoader, packed file": lambda: _count(TrainingLoader(packed)),
        "cv2 row by row, one process": lambda: sum(1 for _ in _row_by_row(folder, prepare)),
        "(a) pandas + cv2 generator": lambda: sum(len(b) for b, _ in _course_generator(folder, prepare)),
    }
    packed = pack(recording, folder.parent / "drive.pack", prepare=prepare)
    loader = _torch_loader(folder, prepare)
    if loader is not None:
        ways["(b) torch DataLoader, 2 workers"] = lambda: sum(len(images) for images, _ in loader)
    best = dict.fromkeys(ways, 0.0)
    for _ in range(3):  # in turn, so that whoever else uses the machine disturbs all of them
        for name, run in ways.items():
            begin = time.perf_counter()
            best[name] = max(best[name], run() / (time.perf_counter() - begin))
    base = best["cv2 row by row, one process"]
    for name, rate in best.items():
        print(f"training images, 66x200, {name}: {rate:.0f}/s, {rate / base:.2f} x cv2 row by row")


def _count(loader: TrainingLoader) -> int:
    return sum(len(batch) for batch in loader)


def _row_by_row(folder: Path, prepare: Downscale) -> Iterator[Image]:
    for line in (folder / "driving_log.csv").read_text().splitlines():
        image = cv2.imread(str(folder / line.split(",")[0]))
        yield prepare(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8))


def _course_generator(folder: Path, prepare: Downscale, batch_size: int = 64) -> Iterator[tuple[Any, Any]]:
    """One epoch of the generator that the courses write: pandas, shuffled rows, lists of images."""
    import pandas as pd

    columns = ["center", "left", "right", "steering", "throttle", "reverse", "speed"]
    table = pd.read_csv(folder / "driving_log.csv", names=columns).sample(frac=1, random_state=0)
    for offset in range(0, len(table), batch_size):
        images, angles = [], []
        for _, row in table.iloc[offset : offset + batch_size].iterrows():
            image = cv2.imread(str(folder / "IMG" / row["center"].split("/")[-1]))
            images.append(prepare(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)))
            angles.append(float(row["steering"]))
        yield np.array(images), np.array(angles)


class _Rows:
    """A data set as a tutorial of torch writes it."""

    def __init__(self, folder: Path, prepare: Downscale) -> None:
        lines = [line.split(",") for line in (folder / "driving_log.csv").read_text().splitlines()]
        self.rows = [(str(folder / fields[0]), float(fields[3])) for fields in lines]
        self.prepare = prepare

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Image, np.float32]:
        path, steering = self.rows[index]
        image = np.asarray(cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB), np.uint8)
        return self.prepare(image), np.float32(steering)


def _torch_loader(folder: Path, prepare: Downscale) -> Any:
    try:
        from torch.utils.data import DataLoader
    except ImportError:
        return None
    return DataLoader(_Rows(folder, prepare), batch_size=64, shuffle=True, num_workers=2)


MEMORY = """
import os, resource, sys
from udacity_gym.recording import PackedFrames, TrainingLoader, open_recording
page = os.sysconf("SC_PAGE_SIZE")
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * page
path, batches = sys.argv[1], int(sys.argv[2])
bare = resident()
source = PackedFrames(path) if path.endswith(".pack") else open_recording(path)
opened, most = resident(), 0
loader = TrainingLoader(source, batch_size=64)
for count, batch in zip(range(batches), loader):
    most = max(most, resident())
print(len(loader.source), bare, opened, most, loader.buffer_bytes)
"""


def measure_memory(folder: Path, sizes: Sequence[int]) -> None:
    """Resident memory of a process that trains, over the number of frames: from files, and packed."""
    if not Path("/proc/self/statm").exists():
        print("memory: this system doesn't report it")
        return
    for size in sizes:
        drive, packed = folder / f"frames-{size}", folder / f"frames-{size}.pack"
        make_linked(drive, size)
        make_packed(packed, size)
        for path in (drive, packed):
            completed = subprocess.run(
                [sys.executable, "-c", MEMORY, str(path), "40"], capture_output=True, text=True, check=True
            )
            frames, bare, opened, most, buffer = (int(text) for text in completed.stdout.split())
            print(
                f"memory, {frames} frames, {'packed' if path == packed else 'files'}: "
                f"{(opened - bare) / 2**20:.0f} MiB to open, {(most - opened) / 2**20:.0f} MiB to train "
                f"(buffer at most {buffer / 2**20:.0f} MiB)"
            )
        shutil.rmtree(drive)
        packed.unlink()


def make_linked(folder: Path, rows: int) -> None:
    """A log with a centre image per row; the images are links to a few files."""
    (folder / "IMG").mkdir(parents=True)
    files = [encode_jpeg(images["center"]) for images in make_images(20)]
    moment = datetime(2018, 7, 16, 17, 11, 43)
    with (folder / "driving_log.csv").open("w") as log:
        first = ""
        for row in range(rows):
            moment += timedelta(milliseconds=67)
            name = f"center_{moment:%Y_%m_%d_%H_%M_%S}_{moment.microsecond // 1000:03d}.jpg"
            if row % 50_000 == 0:  # a file can have some 65,000 names
                first = name
                (folder / "IMG" / name).write_bytes(files[row // 50_000 % len(files)])
            else:
                os.link(folder / "IMG" / first, folder / "IMG" / name)
            log.write(f"IMG/{name},,,{row % 200 / 100 - 1:g},0.5,0,20\n")


def make_packed(path: Path, frames: int) -> None:
    """A packed file of images of 20x64 pixels, as `pack` writes it, all alike."""
    seed = path.parent / "seed"
    with RecordingWriter(seed, cameras=("center",)) as writer:
        writer.write({"center": make_images(1)[0]["center"]}, 0.1, 0.5, 0, 9.0, time=0)
    one = path.with_suffix(".one")
    pack(open_recording(seed), one, prepare=Downscale((20, 64))).close()
    data = one.read_bytes()
    length = int.from_bytes(data[8:12], "little")
    header = json.loads(data[12 : 12 + length]) | {"frames": frames}
    text = json.dumps(header).encode()
    start = data[:8] + len(text).to_bytes(4, "little") + text + zlib.crc32(text).to_bytes(4, "little")
    with path.open("wb") as file:
        file.write(start.ljust(4096, b"\0"))
        for begin in range(0, frames, 1000):
            file.write(data[4096:] * min(1000, frames - begin))
    shutil.rmtree(seed)
    one.unlink()


def measure_start_poses(path: Path, stretches: int = 150, seed: int = 0) -> None:
    """How often it is noticed that an episode's last image shows its start, and how often wrongly."""
    episode = max(open_recording(path).episodes, key=len)
    rng = np.random.default_rng(seed)
    cases: list[tuple[int, int]] = []
    while len(cases) < stretches:
        count = int(np.exp(rng.uniform(np.log(12), np.log(400))))
        first = int(rng.integers(0, len(episode) - count))
        if episode.speed[first : first + count].max() > 1.0:
            cases.append((first, count))

    def is_noticed(first: int, count: int, step: int | None) -> bool:
        """With the image of a step after the start as the last one, or as it is."""

        def read(row: int) -> Image:
            return episode.image("center", first + (step if step is not None and row == count - 1 else row))

        return ends_with_start_pose(count, read)

    wrong = sum(is_noticed(*case, None) for case in cases)
    found = [sum(is_noticed(*case, step) for case in cases) for step in range(3)]
    print(
        f"start poses, {path.name}, of {stretches} each: {found[0]} noticed where the last image is the "
        f"first, {found[1]} where the second, {found[2]} where the third; {wrong} wrongly"
    )


def main() -> None:
    """Measure everything in a temporary folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000, help="rows of the long log")
    parser.add_argument("--frames", type=int, default=1_500, help="frames to write and read")
    parser.add_argument(
        "--memory", type=int, nargs="*", default=[1_000, 30_000], help="frames to measure the memory with"
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, help="what to measure; left out: all that can be")
    parser.add_argument("--recordings", type=Path, nargs="+", default=(), help="real ones, for start-poses")
    arguments = parser.parse_args()
    if "start-poses" in (arguments.only or ()) and not arguments.recordings:
        parser.error("start-poses needs --recordings")
    parts = arguments.only or (*PARTS[:5], *(PARTS[5:] if arguments.recordings else ()))
    folder = Path(tempfile.mkdtemp(prefix="udacity-gym-benchmark-"))
    try:
        if {"write", "read", "training"} & set(parts):
            measure_write(folder / "drive", arguments.frames)
        if "read" in parts:
            measure_read(folder / "drive", arguments.frames)
        if "training" in parts:
            measure_training(folder / "drive")
        if "memory" in parts:
            measure_memory(folder, arguments.memory)
        if "index" in parts:
            measure_index(folder / "long", arguments.rows)
        if "start-poses" in parts:
            for path in arguments.recordings:
                measure_start_poses(path)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
