"""Recordings are found in folders, zip files, lists and patterns; nothing leads out of them."""

import multiprocessing
import os
import pickle
import struct
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from recording_tools import MakeRecording, image_name, make_image, row

from udacity_gym.errors import RecordingError
from udacity_gym.recording import Recording, open_recording, storage
from udacity_gym.telemetry import CAMERAS, MPH

LINES = [row(index / 10, f"0.{index},0.5,0,10") for index in range(6)]


def zipped(folder: Path, top: str = "", compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """Pack a folder; its files are below ``top`` in the zip file."""
    archive = folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w", compression) as file:
        for path in sorted(folder.rglob("*")):
            file.write(path, top + str(path.relative_to(folder)))
    return archive


def copies(folder: Path, *names: str) -> list[Path]:
    """The same log and images in other folders beside it."""
    made = []
    for name in names:
        copy = folder.parent / name
        (copy / "IMG").mkdir(parents=True)
        for path in folder.rglob("*.*"):
            (copy / path.relative_to(folder)).write_bytes(path.read_bytes())
        made.append(copy)
    return made


@pytest.mark.parametrize("top", ["", "data/", "my drives/lake/"])
def test_a_zipped_recording_reads_like_its_folder(make_recording: MakeRecording, top: str) -> None:
    folder = make_recording(LINES)
    (folder / "frames.jsonl").write_text(f'{{"image": "{image_name("center", 0.2)}", "cte": 0.5}}\n')
    plain, packed = open_recording(folder), open_recording(zipped(folder, top), strict=True)
    assert len(packed) == len(plain) == 6
    assert packed.cameras == CAMERAS
    for ours, theirs in zip(packed.frames(), plain.frames(), strict=True):
        assert (ours.steering, ours.time, ours.row) == (theirs.steering, theirs.time, theirs.row)
        assert np.array_equal(ours.image("left"), theirs.image("left"))
        assert ours.extra == theirs.extra
    assert packed.episodes[0][2].extra == {"cte": 0.5}
    with pytest.raises(RecordingError, match="inside of a zip file and has no path"):
        packed.episodes[0][0].path()


def test_leftovers_of_macos_in_a_zip_are_passed_over(make_recording: MakeRecording) -> None:
    archive = zipped(make_recording(LINES), "drive/")
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("__MACOSX/drive/._driving_log.csv", b"\0\x05\x16\x07")
        file.writestr(f"drive/IMG/._{image_name('center', 0)}", b"\0")
    recording = open_recording(archive)
    assert len(recording) == 6
    assert len(recording.report) == 0


def test_a_zip_with_several_recordings_opens_all_of_them(make_recording: MakeRecording) -> None:
    folder = make_recording(LINES)
    archive = folder.parent / "both.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for top in ("a", "b"):
            for path in sorted(folder.rglob("*.*")):
                file.write(path, f"{top}/{path.relative_to(folder)}")
    assert [len(part) for part in open_recording(archive).parts] == [6, 6]


def test_a_zipped_recording_travels_to_processes_and_threads(make_recording: MakeRecording) -> None:
    recording = open_recording(zipped(make_recording(LINES)))
    recording.episodes[0][0].image()
    travelled: Recording = pickle.loads(pickle.dumps(recording))
    assert travelled.episodes[0][3].image("left").shape == (160, 320, 3)
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda i: recording.episodes[0][i % 6].image(), range(60)))
    for i, image in enumerate(rows):
        assert np.array_equal(image, rows[i % 6])


@pytest.mark.parametrize(
    "name", ["../IMG/{}", "/IMG/{}", "IMG/../../{}", "..\\IMG\\{}", "drive/../IMG/{}", "IMG/sub/{}"]
)
def test_zip_members_with_names_that_lead_elsewhere_are_not_used(tmp_path: Path, name: str) -> None:
    image = cv2.imencode(".jpg", make_image(0))[1].tobytes()
    archive = tmp_path / "drive.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("driving_log.csv", "\n".join(LINES[:2]))
        for camera in CAMERAS:
            file.writestr(f"IMG/{image_name(camera, 0)}", image)
            file.writestr(name.format(image_name(camera, 0.1)), image)
    recording = open_recording(archive)
    assert [frame.row for frame in recording.frames()] == [1]
    assert recording.report.rows_of("missing image") == (2,)


def test_links_in_a_zip_are_not_followed(tmp_path: Path) -> None:
    archive = tmp_path / "drive.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("driving_log.csv", LINES[0])
        for camera in CAMERAS:
            link = zipfile.ZipInfo(f"IMG/{image_name(camera, 0)}")
            link.create_system, link.external_attr = 3, 0o120777 << 16
            file.writestr(link, "/etc/passwd")
    with pytest.raises(RecordingError, match="is a link that leads out of the folder"):
        open_recording(archive)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "drive.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("driving_log.csv", "\n".join(LINES[:2]))
        for camera in CAMERAS:
            file.writestr(f"IMG/{image_name(camera, 0)}", cv2.imencode(".jpg", make_image(0))[1].tobytes())
            file.writestr(f"IMG/{image_name(camera, 0.1)}", b"\xff\xd8" + bytes(storage.IMAGE_LIMIT))
    assert archive.stat().st_size < 1_000_000
    frame = open_recording(archive).episodes[0][1]
    with pytest.raises(RecordingError, match=r"has more than 33,554,432 bytes"):
        frame.image()
    monkeypatch.setattr("udacity_gym.recording.log.LOG_LIMIT", 100)
    with pytest.raises(RecordingError, match=r"driving_log\.csv has more than 100 bytes"):
        open_recording(archive)


def test_a_log_that_unpacks_to_hundreds_of_times_its_size_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "drive.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("driving_log.csv", "\n" * 50_000_000)
    with pytest.raises(RecordingError, match=r"would unpack from [\d,]+ to 50,000,000 bytes"):
        open_recording(archive)


def test_a_zip_whose_directory_lies_about_sizes_gives_an_error_and_no_flood(tmp_path: Path) -> None:
    archive = tmp_path / "drive.zip"
    name = f"IMG/{image_name('center', 0)}"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("driving_log.csv", LINES[0])
        for camera in CAMERAS:
            file.writestr(f"IMG/{image_name(camera, 0)}", bytes(50_000_000))
    data = archive.read_bytes().replace(struct.pack("<L", 50_000_000), struct.pack("<L", 1000))
    archive.write_bytes(data)
    with pytest.raises(RecordingError, match=f"{name} (can't be read|is no image)"):
        open_recording(archive).episodes[0][0].image()


def test_an_encrypted_or_broken_zip_says_so(make_recording: MakeRecording, tmp_path: Path) -> None:
    archive = zipped(make_recording(LINES))
    data = bytearray(archive.read_bytes())
    for signature, at in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        start = data.find(signature)
        while start >= 0:
            data[start + at] |= 1
            start = data.find(signature, start + 1)
    (tmp_path / "locked.zip").write_bytes(data)
    with pytest.raises(RecordingError, match="is encrypted"):
        open_recording(tmp_path / "locked.zip")
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04" + bytes(50))
    with pytest.raises(RecordingError, match=r"broken\.zip can't be read: File is not a zip file"):
        open_recording(tmp_path / "broken.zip")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as file:
        file.writestr("notes.txt", "hello")
    with pytest.raises(RecordingError, match=r"no driving_log\.csv in .*empty\.zip"):
        open_recording(tmp_path / "empty.zip")


@pytest.mark.parametrize("signature", [b"PK\x03\x04", b"PK\x01\x02"])
def test_a_zip_with_a_broken_name_raises_a_recording_error(tmp_path: Path, signature: bytes) -> None:
    """In the header before a file, and in the directory at the end of the archive."""
    path = tmp_path / "drive.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("driving_log.csv", "\n".join(LINES[:2]))
    data = bytearray(path.read_bytes())
    start = data.index(signature)
    flags, name = (start + 7, start + 30) if signature == b"PK\x03\x04" else (start + 9, start + 46)
    data[flags] |= 0x08  # the name is UTF-8
    data[name] = 0x80
    path.write_bytes(data)
    with pytest.raises(RecordingError):
        open_recording(path)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(edits=st.lists(st.tuples(st.integers(0, 10_000), st.binary(min_size=1, max_size=8)), max_size=4))
def test_a_damaged_zip_opens_or_raises_a_recording_error(
    tmp_path: Path, edits: list[tuple[int, bytes]]
) -> None:
    original = tmp_path / "good.zip"
    if not original.exists():
        image = cv2.imencode(".jpg", make_image(0, 16, 32))[1].tobytes()
        with zipfile.ZipFile(original, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("driving_log.csv", "\n".join(LINES[:2]))
            for index in range(2):
                for camera in CAMERAS:
                    file.writestr(f"IMG/{image_name(camera, index / 10)}", image)
    data = original.read_bytes()
    for place, new in edits:
        at = place % len(data)
        data = data[:at] + new + data[at + len(new) :]
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(data)
    try:
        recording = open_recording(damaged)
        for frame in recording.frames():
            frame.image()
    except RecordingError:
        return
    assert len(recording) <= 2


def test_several_paths_open_as_one_recording(make_recording: MakeRecording) -> None:
    folder = make_recording(LINES)
    (other,) = copies(folder, "other")
    both = open_recording([folder, str(other / "driving_log.csv"), zipped(folder)])
    assert len(both) == 18
    assert [part.path.name for part in both.parts] == ["drive", "other", "drive.zip"]
    assert both.path == folder.parent
    assert both.cameras == CAMERAS
    assert len(list(both.frames())) == 18
    with pytest.raises(RecordingError, match="the list of paths is empty"):
        open_recording([])


def test_a_pattern_opens_what_it_matches_in_the_order_of_names(make_recording: MakeRecording) -> None:
    folder = make_recording(LINES)
    copies(folder, "drives/b", "drives/a")
    (folder.parent / "drives" / "notes.txt").touch()
    (folder.parent / "drives" / "c").mkdir()
    both = open_recording(folder.parent / "drives" / "*")
    assert [part.path.name for part in both.parts] == ["a", "b"]
    assert len(open_recording(str(folder.parent / "**" / "driving_log.csv")).parts) == 3
    with pytest.raises(RecordingError, match=r"no recording matches .*; 1 other"):
        open_recording(folder.parent / "drives" / "*.txt")


def test_a_folder_with_brackets_in_its_name_is_no_pattern(make_recording: MakeRecording) -> None:
    folder = make_recording(LINES)
    named = folder.rename(folder.with_name("drive [1]"))
    assert open_recording(named).path == named


def test_the_report_on_several_recordings_counts_and_its_parts_tell_the_rows(
    make_recording: MakeRecording,
) -> None:
    folder = make_recording([LINES[0], row(0.1, "0,x,0,1"), *LINES[2:]])
    copies(folder, "other")
    both = open_recording([folder, folder.parent / "other"])
    assert (both.report.rows, both.report.used, both.report.episodes) == (12, 10, 2)
    assert both.report.count("not a number") == 2
    assert [report.rows_of("not a number") for report in both.report.parts] == [(2,), (2,)]
    assert str(both.report).endswith("2 recordings: 10 of 12 rows used, 2 episodes")
    with pytest.raises(RecordingError, match=r"several lines of each number; ask the reports in \.parts"):
        both.report.rows_of("not a number")


def test_check_of_several_recordings_leaves_each_rows_out_of_its_own(make_recording: MakeRecording) -> None:
    folder = make_recording(LINES)
    (other,) = copies(folder, "other")
    (other / "IMG" / image_name("left", 0.3)).write_bytes(b"no image")
    both = open_recording([folder, other])
    whole = both.without(both.check(progress=False))
    assert [len(part) for part in whole.parts] == [6, 5]
    assert 4 not in [frame.row for frame in whole.parts[1].frames()]
    with pytest.raises(RecordingError, match="2 recordings have lines of the same numbers"):
        both.without([1])


def test_kinds_of_findings_are_left_out_by_name(make_recording: MakeRecording) -> None:
    lines = [row(0.0, "0,0,0,0"), *LINES[1:]]
    recording = open_recording(make_recording(lines))
    assert len(recording.without(recording.report)) == 6
    assert [f.row for f in recording.without(recording.report, "standing still").frames()] == [2, 3, 4, 5, 6]


def test_speed_is_there_in_mph_as_the_file_has_it(make_recording: MakeRecording) -> None:
    recording = open_recording(make_recording([row(0, "0,0,0,12.3456"), row(0.1, "0,0,0,7.927273E-05")]))
    (episode,) = recording.episodes
    assert episode.speed_mph.tolist() == [12.3456, 7.927273e-05]
    assert episode[0].speed_mph == 12.3456
    assert episode[0].speed == 12.3456 * MPH
    assert episode[1:].speed_mph.tolist() == [7.927273e-05]


def png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">LLBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">L", 13)
        + body
        + struct.pack(">L", zlib.crc32(body))
        + b"\0\0\0\0IEND\xaeB`\x82"
    )


def test_a_image_that_would_unpack_to_gigabytes_is_refused(make_recording: MakeRecording) -> None:
    huge_jpeg = bytearray(cv2.imencode(".jpg", make_image(0))[1].tobytes())
    at = huge_jpeg.index(b"\xff\xc0")
    huge_jpeg[at + 5 : at + 9] = struct.pack(">HH", 65000, 65000)
    images = {image_name(camera, 0): png_header(30_000, 30_000) for camera in CAMERAS}
    images[image_name("left", 0)] = bytes(huge_jpeg)
    recording = open_recording(make_recording(LINES[:1], images))
    with pytest.raises(RecordingError, match="is too large: 30000x30000 pixels"):
        recording.episodes[0][0].image()
    with pytest.raises(RecordingError, match="is too large: 65000x65000 pixels"):
        recording.episodes[0][0].image("left")


def test_a_line_without_an_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    (tmp_path / "driving_log.csv").write_bytes(b"x" * 3_000_000)
    with pytest.raises(RecordingError, match="a line of more than 1,000,000 characters"):
        open_recording(tmp_path)


def _read_in_child(recording: Recording) -> int:
    return int(recording.episodes[0][1].image().sum())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_process_that_inherits_an_open_zip_reads_right(make_recording: MakeRecording) -> None:
    recording = open_recording(zipped(make_recording(LINES)))
    expected = _read_in_child(recording)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.map(_read_in_child, [recording] * 8) == [expected] * 8
