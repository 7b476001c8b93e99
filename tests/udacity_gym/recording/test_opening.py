"""Recordings open in all their forms; what can't be opened says why."""

import contextlib
import pickle
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from recording_tools import MakeRecording, image_name, row

from udacity_gym.errors import RecordingError
from udacity_gym.recording import Recording, open_recording
from udacity_gym.recording.writer import format_number
from udacity_gym.telemetry import CAMERAS, MPH

LINES = [row(index / 10, f"0.{index},0.5,0,10") for index in range(6)]


def findings(recording: Recording) -> dict[str, tuple[int, ...]]:
    return {finding.kind.name: finding.rows for finding in recording.report}


def test_frames_have_what_the_log_says(make_recording: MakeRecording) -> None:
    recording = open_recording(make_recording(LINES))
    assert len(recording) == 6
    assert recording.cameras == CAMERAS
    (episode,) = recording.episodes
    assert episode.steering.tolist() == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert episode.speed == pytest.approx(10 * MPH)
    assert episode.time.tolist() == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    frame = episode[-1]
    assert (frame.steering, frame.throttle, frame.brake, frame.row) == (0.5, 0.5, 0.0, 6)
    assert frame.cameras == CAMERAS
    assert frame.path("left").name == image_name("left", 0.5)
    assert frame.extra == {}


def test_images_are_rgb(make_recording: MakeRecording) -> None:
    red = np.zeros((160, 320, 3), np.uint8)
    red[..., 2] = 255  # BGR, OpenCV's order
    data = cv2.imencode(".jpg", red)[1].tobytes()
    folder = make_recording(LINES[:1], {image_name(camera, 0): data for camera in CAMERAS})
    image = open_recording(folder).episodes[0][0].image("right")
    assert image.dtype == np.uint8
    assert image.shape == (160, 320, 3)
    assert image[80, 160].tolist() == pytest.approx([254, 0, 0], abs=3)


def test_slices_of_an_episode_are_episodes(make_recording: MakeRecording) -> None:
    episode = open_recording(make_recording(LINES)).episodes[0]
    part = episode[2:5]
    assert [frame.row for frame in part] == [3, 4, 5]
    assert part.time.tolist() == pytest.approx([0.0, 0.1, 0.2])
    assert part[0].path() == episode[2].path()
    assert len(episode[6:]) == 0
    with pytest.raises(IndexError):
        episode[6]


def test_columns_cannot_be_changed_by_accident(make_recording: MakeRecording) -> None:
    episode = open_recording(make_recording(LINES)).episodes[0]
    with pytest.raises(ValueError, match="read-only"):
        episode.steering[0] = 1.0


def test_a_camera_that_is_not_there_is_named(make_recording: MakeRecording) -> None:
    frame = open_recording(make_recording(LINES)).episodes[0][0]
    with pytest.raises(RecordingError, match="no images of a camera 'rear'; there are center, left, right"):
        frame.image("rear")


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("final", [True, False])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("header", [b"", b"center,left,right,steering,throttle,brake,speed"])
def test_line_ends_byte_order_marks_and_headers_do_not_matter(
    make_recording: MakeRecording, ending: bytes, final: bool, bom: bytes, header: bytes
) -> None:
    lines = [*([header] if header else []), *(line.encode() for line in LINES)]
    data = bom + ending.join(lines) + (ending if final else b"")
    images = [image_name(camera, index / 10) for index in range(6) for camera in CAMERAS]
    recording = open_recording(make_recording(data, images), strict=True)
    assert recording.episodes[0].steering.tolist() == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert recording.episodes[0].row[0] == (2 if header else 1)


@pytest.mark.parametrize("encoding", ["utf-8", "cp1254", "cp1252", "utf-16"])
def test_folders_with_other_letters_read_in_any_encoding(
    make_recording: MakeRecording, encoding: str
) -> None:
    lines = [row(index / 10, folder="C:\\Users\\Jörg\\Büro\\IMG\\") for index in range(3)]
    images = [image_name(camera, index / 10) for index in range(3) for camera in CAMERAS]
    recording = open_recording(make_recording("\n".join(lines).encode(encoding), images))
    assert len(recording) == 3
    assert recording.report.count("unusual encoding") == (encoding != "utf-8")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    numbers=st.lists(
        st.tuples(
            st.floats(-1, 1, width=32),
            st.floats(0, 1, width=32),
            st.floats(0, 1, width=32),
            st.floats(0, 80, width=32),
        ),
        min_size=1,
        max_size=6,
    ),
    folder=st.sampled_from(["", "IMG/", "./IMG/", "C:\\Doe, Jo\\IMG\\", "/Users/jo é/my data/IMG/"]),
    separator=st.sampled_from([",", ", ", ";", "\t"]),
    decimal_comma=st.booleans(),
    header=st.booleans(),
    ending=st.sampled_from(["\n", "\r\n", "\r"]),
    final=st.booleans(),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "utf-16"]),
)
def test_a_log_in_any_dialect_reads_back_equal_or_tells_which_rows_have_two_meanings(
    tmp_path: Path,
    numbers: list[tuple[float, ...]],
    folder: str,
    separator: str,
    decimal_comma: bool,
    header: bool,
    ending: str,
    final: bool,
    encoding: str,
) -> None:
    written = [[format_number(value) for value in row] for row in numbers]
    lines = [separator.join(["center", "left", "right", "steering"])] if header else []
    (tmp_path / "IMG").mkdir(exist_ok=True)
    for index, texts in enumerate(written):
        names = [image_name(camera, index / 10) for camera in CAMERAS]
        for name in names:
            (tmp_path / "IMG" / name).touch()
        shown = [text.replace(".", ",") for text in texts] if decimal_comma else texts
        lines.append(separator.join([*(folder + name for name in names), *shown]))
    log = tmp_path / "driving_log.csv"
    log.write_bytes((ending.join(lines) + (ending if final else "")).encode(encoding))
    try:
        recording = open_recording(tmp_path)
    except RecordingError as error:
        unclear = len(written)
        reason = str(error)
    else:
        unclear = recording.report.count("ambiguous numbers")
        reason = str(recording.report)
        assert len(recording) + unclear == len(written)
        for frame in recording.frames():
            row = [frame.steering, frame.throttle, frame.brake, frame.speed / MPH]
            assert row == pytest.approx([float(text) for text in written[frame.row - 1 - header]], rel=1e-12)
    if unclear:
        assert decimal_comma  # a comma between fields and inside of numbers is all that can be unclear
        assert separator == ","
        assert "ambiguous numbers" in reason


def test_a_recording_travels_to_other_processes(make_recording: MakeRecording) -> None:
    recording = pickle.loads(pickle.dumps(open_recording(make_recording(LINES))))
    assert len(recording) == 6
    assert recording.episodes[0][3].image("left").shape == (160, 320, 3)
    assert pickle.loads(pickle.dumps(recording.episodes[0][3])).row == 4


def test_several_styles_in_one_file_read_together(make_recording: MakeRecording) -> None:
    lines = [
        row(0.0, "0,0.5,0,10", "C:\\Users\\me\\IMG\\"),
        row(0.1, " 0, 0,5, 0, 12,5", "/Users/me/my drive/IMG/").replace(",/", ", /"),
        row(0.2, "0,0.5,0,10,,Data,IMG,center,jpg,", "/data/IMG/") + "\r",
        row(0.3, "0,0.5,0,1.0E1", ""),
    ]
    recording = open_recording(make_recording(lines), strict=True)
    assert recording.episodes[0].speed == pytest.approx(np.array([10, 12.5, 10, 10]) * MPH)
    assert findings(recording) == {"columns after the speed": (3,)}


def test_a_header_written_over_the_first_row_costs_that_row_only(make_recording: MakeRecording) -> None:
    header = "center,left,right,steering,throttle,brake,speed"
    lines = [header + LINES[0][len(header) :], *LINES[1:]]
    recording = open_recording(make_recording(lines))
    assert [frame.row for frame in recording.frames()] == [2, 3, 4, 5, 6]
    assert recording.report.rows == 6
    assert findings(recording)["unreadable row"] == (1,)


def test_headers_between_takes_are_skipped(make_recording: MakeRecording) -> None:
    header = "center,left,right,steering,throttle,brake,speed"
    recording = open_recording(make_recording([header, *LINES[:3], header, *LINES[3:]]), strict=True)
    assert len(recording) == recording.report.rows == 6
    assert findings(recording)["header inside the log"] == (5,)


def test_a_log_of_another_name_opens(make_recording: MakeRecording) -> None:
    folder = make_recording(LINES, name="datalog.csv")
    assert len(open_recording(folder)) == 6
    assert len(open_recording(folder / "datalog.csv")) == 6
    assert open_recording(str(folder)).path == folder


def test_no_such_folder_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "drives").mkdir()
    with pytest.raises(RecordingError, match=r"no such file or folder: .*drive1; .* has drives/"):
        open_recording(tmp_path / "drive1")


def test_a_folder_without_a_log_says_what_it_has_and_where_one_is(make_recording: MakeRecording) -> None:
    folder = make_recording(LINES)
    (folder.parent / "notes.txt").touch()
    with pytest.raises(
        RecordingError, match=r"no driving_log.csv in .*, which has drive/, notes.txt; open .*drive "
    ):
        open_recording(folder.parent)
    with pytest.raises(
        RecordingError, match=r"no driving_log\.csv in .*IMG, which has .*; open .*drive instead"
    ):
        open_recording(folder / "IMG")


def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"can't be opened|no such file"):
        open_recording(tmp_path / ("x" * 5000))


def test_a_folder_with_several_tables_asks_which(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    (tmp_path / "b.csv").touch()
    with pytest.raises(RecordingError, match=r"a.csv, b.csv: open one"):
        open_recording(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n\n \r\n", "is empty"),
        (b"center,left,right,steering,throttle,brake,speed\n", "has a header but no rows"),
        (b"\xff\xd8\xff\xe0\0\0", "is no text file"),
        (b"a,b\n1,2\n", "another program's, with 2 columns: a,b"),
        (b"pic.png,0.5\n", "Webots"),
        (row(0, "0,x,0,1").encode(), "has no usable row; row 1, not a number: throttle is 'x'"),
    ],
)
def test_a_log_without_usable_rows_says_why(make_recording: MakeRecording, content: bytes, said: str) -> None:
    folder = make_recording(content, [])
    with pytest.raises(
        RecordingError, match=f"driving_log.csv {re.escape(said) if said[0] in 'ih' else f'.*{said}'}"
    ):
        open_recording(folder)


def test_a_log_whose_images_are_all_missing_says_where_they_were_looked_for(
    make_recording: MakeRecording,
) -> None:
    with pytest.raises(
        RecordingError, match=r"none of its 6 rows has an image in .*center_2018.*Copy the images"
    ):
        open_recording(make_recording(LINES, []))


def test_only_duplicates_and_broken_rows_say_that_no_row_can_be_used(make_recording: MakeRecording) -> None:
    folder = make_recording([LINES[0]], [image_name("left", 0), image_name("right", 0)])
    with pytest.raises(RecordingError, match="no row can be used; row 1, missing image: center"):
        open_recording(folder)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_arbitrary_bytes_open_or_raise_a_recording_error(tmp_path: Path, data: st.DataObject) -> None:
    valid = "\n".join(LINES).encode()
    content = data.draw(
        st.one_of(
            st.binary(max_size=300),
            st.text(alphabet="IMG/center_jpglft,;.\"'01E-\r\n\\ ", max_size=300).map(str.encode),
            st.tuples(st.integers(0, len(valid)), st.binary(max_size=20)).map(
                lambda edit: valid[: edit[0]] + edit[1] + valid[edit[0] + len(edit[1]) :]
            ),
        )
    )
    (tmp_path / "IMG").mkdir(exist_ok=True)
    for index in range(6):
        for camera in CAMERAS:
            (tmp_path / "IMG" / image_name(camera, index / 10)).touch()
    (tmp_path / "driving_log.csv").write_bytes(content)
    with contextlib.suppress(RecordingError):
        recording = open_recording(tmp_path)
        assert 0 < len(recording) <= recording.report.rows
        assert str(recording.report)
        for frame in recording.frames():
            assert tmp_path in frame.path().parents
