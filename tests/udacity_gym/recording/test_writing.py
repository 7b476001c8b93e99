"""Recordings are written exactly as Udacity's simulator of 2017 writes them."""

import datetime
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from recording_tools import make_image

from udacity_gym.errors import RecordingError
from udacity_gym.recording import RecordingWriter, open_recording
from udacity_gym.recording.images import encode_jpeg
from udacity_gym.recording.writer import format_number
from udacity_gym.telemetry import CAMERAS, MPH, Image

START = datetime.datetime(2018, 7, 16, 17, 11, 43, 382_000)


def images(seed: int = 0) -> dict[str, Image]:
    return {camera: make_image(3 * seed + number) for number, camera in enumerate(CAMERAS)}


def write_drive(folder: Path, frames: int = 3, start: datetime.datetime = START, **options: object) -> None:
    with RecordingWriter(folder, start=start, **options) as writer:  # type: ignore[arg-type]
        for index in range(frames):
            writer.write(images(index), index / 10, 0.5, 0.0, 10 * MPH, time=index / 15)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_log_is_written_as_the_simulator_of_2017_writes_it(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path, start=START) as writer:
        writer.write(images(), -0.05, 0.6427272, 0.0, 1.434013 * MPH, time=0.0)
        writer.write(images(), 0.0, 0.0, 1.0, 7.927273e-05 * MPH, time=0.0712)
    stamps = ["2018_07_16_17_11_43_382", "2018_07_16_17_11_43_453"]
    paths = [",".join(f"IMG/{camera}_{stamp}.jpg" for camera in CAMERAS) for stamp in stamps]
    assert (tmp_path / "driving_log.csv").read_bytes() == (
        f"{paths[0]},-0.05,0.6427272,0,1.434013\n{paths[1]},0,0,1,7.927273E-05\n".encode()
    )
    names = sorted(path.name for path in (tmp_path / "IMG").iterdir())
    assert names == sorted(f"{camera}_{stamp}.jpg" for camera in CAMERAS for stamp in stamps)
    assert not (tmp_path / "frames.jsonl").exists()


@pytest.mark.parametrize("name", ["lake_recording", "jungle_recording"])
def test_numbers_are_written_as_in_the_real_recordings(name: str, request: pytest.FixtureRequest) -> None:
    log = request.getfixturevalue(name) / "driving_log.csv"
    numbers = [text for line in log.read_text().splitlines() for text in line.split(",")[3:]]
    assert len(numbers) >= 8000
    assert [format_number(float(text)) for text in numbers] == numbers


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (1e-5, "1E-05"),
        (1e-4, "0.0001"),
        (1 / 3, "0.3333333"),
        (1e7, "1E+07"),
    ],
)
def test_numbers_are_written_as_csharp_does(value: float, written: str) -> None:
    assert format_number(value) == written


def test_images_have_the_tables_of_the_simulators_own(lake_recording: Path) -> None:
    original = next((lake_recording / "IMG").glob("center_*.jpg")).read_bytes()
    ours = encode_jpeg(make_image(0))
    scan = original.index(b"\xff\xda")  # all before it: JFIF header, quantisation, size, sampling, Huffman
    assert ours[:scan] == original[:scan]


def test_images_read_back_as_they_were_up_to_jpeg(tmp_path: Path) -> None:
    write_drive(tmp_path)
    (episode,) = open_recording(tmp_path, strict=True).episodes
    for index, frame in enumerate(episode):
        for camera, image in images(index).items():
            assert np.abs(frame.image(camera).astype(int) - image).mean() < 3


@settings(max_examples=25)
@given(
    rows=st.lists(
        st.tuples(
            st.floats(-1, 1, width=32),
            st.floats(0, 1, width=32),
            st.floats(0, 1, width=32),
            st.floats(0, 80, width=32),
            st.floats(0, 0.5),
        ),
        min_size=1,
        max_size=8,
    ),
    absolute=st.booleans(),
)
def test_what_is_written_reads_back_equal(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[float, ...]], absolute: bool
) -> None:
    folder = tmp_path_factory.mktemp("drive")
    moment, times = 0.0, []
    with RecordingWriter(folder, absolute_paths=absolute, start=START) as writer:
        for index, (steering, throttle, brake, speed, passed) in enumerate(rows):
            moment += passed
            times.append(moment)
            extra = {"index": index, "numbers": [steering, speed]}
            writer.write(images(index), steering, throttle, brake, speed, moment, extra)
    (episode,) = open_recording(folder, strict=True).episodes
    columns = np.array(rows, np.float64)
    for column, values in enumerate((episode.steering, episode.throttle, episode.brake, episode.speed)):
        np.testing.assert_allclose(values, columns[:, column], rtol=1e-6, atol=1e-37)
    assert np.diff(episode.time).min(initial=1.0) > 0
    assert episode.time == pytest.approx(np.array(times) - times[0], abs=0.001 * len(rows))
    assert [frame.extra["index"] for frame in episode] == list(range(len(rows)))
    assert episode[0].extra["numbers"] == [rows[0][0], rows[0][3]]


def test_absolute_paths_are_written_on_request(tmp_path: Path) -> None:
    write_drive(tmp_path, 1, absolute_paths=True)
    center = (tmp_path / "driving_log.csv").read_text().split(",")[0]
    assert Path(center).is_absolute()
    assert Path(center).is_file()
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    assert open_recording(moved, strict=True).episodes[0][0].path().parent == moved / "IMG"


def test_the_same_frames_with_the_same_start_give_the_same_bytes(tmp_path: Path) -> None:
    write_drive(tmp_path / "a")
    write_drive(tmp_path / "b")
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_frames_closer_than_a_millisecond_get_stamps_of_their_own(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path, start=START) as writer:
        for _ in range(5):
            writer.write(images(), 0, 0, 0, 1, time=3.0)
    assert open_recording(tmp_path, strict=True).episodes[0].time.tolist() == [0, 0.001, 0.002, 0.003, 0.004]


def test_speed_is_kept_without_its_sign_as_the_simulator_does(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path) as writer:
        writer.write(images(), 0, 0, 1, speed=-2.0, time=0)
    assert open_recording(tmp_path).episodes[0].speed[0] == pytest.approx(2.0)


def test_extras_go_to_the_side_file_and_come_back(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path, start=START) as writer:
        writer.write(images(), 0, 0, 0, 1, 0.0, {"pose": np.array([1.0, 2.0]), "cte": np.float32(0.5)})
        writer.write(images(1), 0, 0, 0, 1, 0.1)
    first, second = open_recording(tmp_path).episodes[0]
    assert first.extra == {"pose": [1.0, 2.0], "cte": 0.5}
    assert second.extra == {}
    (line,) = (tmp_path / "frames.jsonl").read_text().splitlines()
    assert json.loads(line)["image"] == "center_2018_07_16_17_11_43_382.jpg"


def test_a_damaged_side_file_costs_its_own_lines_only(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path) as writer:
        for index in range(3):
            writer.write(images(index), 0, 0, 0, 1, index / 15, {"index": index})
    side_file = tmp_path / "frames.jsonl"
    lines = side_file.read_bytes().splitlines()
    side_file.write_bytes(b"\n".join([lines[0], b"[1]", b"\xff{", lines[1], lines[2][:30]]))
    assert [frame.extra for frame in open_recording(tmp_path).frames()] == [{"index": 0}, {"index": 1}, {}]


def test_a_folder_with_a_recording_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    write_drive(tmp_path)
    before = files(tmp_path)
    with pytest.raises(
        RecordingError, match=r"driving_log\.csv exists already; choose another folder, or append"
    ):
        RecordingWriter(tmp_path)
    assert files(tmp_path) == before


def test_appending_adds_an_episode(tmp_path: Path) -> None:
    write_drive(tmp_path, 3)
    write_drive(tmp_path, 2, START + datetime.timedelta(minutes=1), append=True)
    recording = open_recording(tmp_path, strict=True)
    assert [len(episode) for episode in recording.episodes] == [3, 2]
    assert len(recording.report) == 0


def test_appending_to_a_recording_that_ends_in_the_future_starts_after_it(tmp_path: Path) -> None:
    write_drive(tmp_path, 3, datetime.datetime.now() + datetime.timedelta(hours=1))
    write_drive(tmp_path, 3, None, append=True)  # type: ignore[arg-type]
    assert [len(episode) for episode in open_recording(tmp_path, strict=True).episodes] == [3, 3]


def test_appending_before_the_end_of_a_recording_is_refused(tmp_path: Path) -> None:
    write_drive(tmp_path)
    with pytest.raises(RecordingError, match="start must be more than 1 s after 2018-07-16 17:11:43"):
        RecordingWriter(tmp_path, start=START, append=True)


def test_appending_after_a_row_that_was_cut_off_keeps_the_new_rows_whole(tmp_path: Path) -> None:
    write_drive(tmp_path, 3)
    log = tmp_path / "driving_log.csv"
    log.write_bytes(log.read_bytes()[:-20])
    write_drive(tmp_path, 2, START + datetime.timedelta(minutes=1), append=True)
    recording = open_recording(tmp_path)
    assert [len(episode) for episode in recording.episodes] == [2, 2]
    assert recording.report.unusable == (3,)


def test_appending_to_another_programs_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "driving_log.csv").write_text("image.png,0.5\n")
    with pytest.raises(RecordingError, match="not a log of Udacity's simulator"):
        RecordingWriter(tmp_path, append=True)


def test_new_take_puts_a_pause_and_lets_time_begin_again(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path) as writer:
        for _ in range(3):
            writer.new_episode()
            for index in range(4):
                writer.write(images(index), 0, 0, 0, 1, time=index / 15)
    assert [len(episode) for episode in open_recording(tmp_path, strict=True).episodes] == [4, 4, 4]


def test_time_that_goes_back_is_refused(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path) as writer:
        writer.write(images(), 0, 0, 0, 1, time=1.0)
        with pytest.raises(RecordingError, match=r"time went back from 1 to 0\.5 s; call new_episode"):
            writer.write(images(), 0, 0, 0, 1, time=0.5)


def test_a_recording_without_a_frame_leaves_nothing_behind(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "drive"):
        pass
    assert list((tmp_path / "drive").iterdir()) == []


def test_one_camera_leaves_the_other_fields_empty(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path, cameras=("center",), start=START) as writer:
        writer.write({"center": make_image(0)}, 0.1, 0, 0, 1, 0)
    assert (
        (tmp_path / "driving_log.csv").read_text().startswith("IMG/center_2018_07_16_17_11_43_382.jpg,,,0.1,")
    )
    recording = open_recording(tmp_path, strict=True)
    assert recording.cameras == ("center",)
    assert len(recording) == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"steering": 1.5}, r"steering must be in \[-1, 1\], got 1.5"),
        ({"steering": float("nan")}, "steering must be"),
        ({"throttle": -0.1}, r"throttle must be in \[0, 1\]"),
        ({"brake": 2}, "brake must be"),
        ({"speed": float("inf")}, "speed must be a number"),
        ({"time": float("nan")}, "time must be a number"),
        ({"time": 1e300}, "beyond what a time stamp can say"),
        ({"images": {"center": make_image(0)}}, "needs images of center, left, right, got center"),
        ({"images": {**images(), "left": np.zeros((160, 320, 3))}}, "left image must be uint8 .*float64"),
        ({"images": {**images(), "left": np.zeros((160, 320), np.uint8)}}, "left image must be"),
        ({"images": {**images(), "left": None}}, "left image must be an array, got NoneType"),
        ({"extra": {"image": "x"}}, "can't have a key 'image'"),
        ({"extra": {"cte": float("nan")}}, "what JSON can say"),
        ({"extra": {"car": object()}}, "what JSON can say: not object"),
    ],
)
def test_a_frame_that_is_not_as_described_is_refused_and_the_rest_stays(
    tmp_path: Path, wrong: dict[str, object], said: str
) -> None:
    frame = {"images": images(), "steering": 0, "throttle": 0, "brake": 0, "speed": 1, "time": 0.1}
    with RecordingWriter(tmp_path) as writer:
        writer.write(images(), 0, 0, 0, 1, time=0.0)
        with pytest.raises(RecordingError, match=said):
            writer.write(**(frame | wrong))  # type: ignore[arg-type]
        writer.write(images(1), 0, 0, 0, 1, time=0.2)
        assert len(writer) == 2
    recording = open_recording(tmp_path, strict=True)
    assert recording.episodes[0].time.tolist() == [0.0, 0.2]
    assert len(recording.report) == 0


def test_a_closed_writer_says_so(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path)
    writer.close()
    writer.close()
    with pytest.raises(RecordingError, match="is closed; make a new RecordingWriter"):
        writer.write(images(), 0, 0, 0, 1, time=0)


def test_unknown_cameras_are_refused(tmp_path: Path) -> None:
    for cameras in (("left",), ("center", "rear"), "center"):
        with pytest.raises(RecordingError, match="cameras must be center"):
            RecordingWriter(tmp_path, cameras=cameras)


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RecordingError, match="can't be written to"):
        RecordingWriter(tmp_path / "file" / "drive")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs RLIMIT_FSIZE")
def test_a_full_disk_gives_a_clear_error_and_a_readable_recording(tmp_path: Path) -> None:
    """A limit of the file size stands for the full disk: the log can't grow any more."""
    program = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sys.path[:0] = sys.argv[2:]
from udacity_gym.errors import RecordingError
from test_writing import images, START
from udacity_gym.recording import RecordingWriter
with RecordingWriter(sys.argv[1], start=START) as writer:
    images = {camera: image[:8, :8] for camera, image in images().items()}
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))
    try:
        for index in range(100):
            writer.write(images, 0.123, 0, 0, 1, time=index / 15)
    except RecordingError as error:
        print(error)
"""
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    match = re.search(
        r"a frame can't be written to .*: .*\. The (\d+) frames before it are kept", result.stdout
    )
    assert match is not None, result.stdout + result.stderr
    recording = open_recording(tmp_path)
    assert len(recording) == int(match[1]) > 5
    assert recording.report.left_out == 0


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
@pytest.mark.parametrize("frames", [1, 2, 7, 20])
def test_a_killed_recording_is_readable_up_to_its_last_frames(tmp_path: Path, frames: int) -> None:
    program = """
import sys
sys.path[:0] = sys.argv[2:]
from test_writing import images
from udacity_gym.recording import RecordingWriter
images = [images(index) for index in range(10)]
with RecordingWriter(sys.argv[1]) as writer:
    for index in range(1_000_000):
        image = images[1 + index % 9 if index else 0]  # a last image like the first would be a start pose
        writer.write(image, 0.123, 0.5, 0, 9.0, time=index / 15, extra={"index": index})
        print(index, flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path), str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    for _ in range(frames):
        process.stdout.readline()
    process.kill()
    written = frames + len(process.stdout.read().splitlines())
    process.stdout.close()
    process.wait()

    recording = open_recording(tmp_path, strict=True)
    assert len(recording) in (written, written + 1)
    assert len(recording.check(progress=False).unusable) == 0
    assert [frame.extra["index"] for frame in recording.frames()] == list(range(len(recording)))
    write_drive(tmp_path, 2, None, append=True)  # type: ignore[arg-type]
    assert len(open_recording(tmp_path, strict=True).episodes) == 2


def test_a_notebook_of_the_course_reads_a_recording(tmp_path: Path) -> None:
    """As the courses do it: pandas without a header, the last part of the path, OpenCV."""
    import pandas as pd

    write_drive(tmp_path, 4)
    columns = ["center", "left", "right", "steering", "throttle", "reverse", "speed"]
    table = pd.read_csv(tmp_path / "driving_log.csv", names=columns)
    assert len(table) == 4
    assert table["steering"].tolist() == pytest.approx([0, 0.1, 0.2, 0.3])
    for path in table["left"]:
        assert cv2.imread(str(tmp_path / "IMG" / path.split("/")[-1])).shape == (160, 320, 3)
        assert cv2.imread(str(tmp_path / path)) is not None
