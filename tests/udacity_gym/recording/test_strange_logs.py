"""Logs that were cut off, mixed, or are something else: what can be used is used, the rest is named."""

import zipfile
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from recording_tools import MakeRecording, image_name, row

import udacity_gym
from udacity_gym.errors import RecordingError
from udacity_gym.experts import PurePursuit
from udacity_gym.recording import open_recording, record
from udacity_gym.recording.splitting import drives_of
from udacity_gym.telemetry import CAMERAS

LINES = [row(index / 10, f"0.{index},0.5,0,10") for index in range(6)]
IMAGES = [image_name(camera, index / 10) for index in range(6) for camera in CAMERAS]


@pytest.mark.parametrize("zeros", [1, 3, 5_000_000])
def test_zero_bytes_at_the_end_of_a_log_cost_no_row(make_recording: MakeRecording, zeros: int) -> None:
    recording = open_recording(make_recording("\n".join(LINES).encode() + b"\n" + bytes(zeros), IMAGES))
    assert len(recording) == recording.report.rows == 6
    assert recording.report.count("zero bytes") == 1


def test_a_row_cut_off_by_zero_bytes_is_left_out_and_the_rows_behind_it_are_used(
    make_recording: MakeRecording,
) -> None:
    lines = [*LINES[:3], LINES[3][:70] + "\0" * 4000 + LINES[4], LINES[5]]
    recording = open_recording(make_recording(lines, IMAGES))
    assert [frame.steering for frame in recording.frames()] == [0.0, 0.1, 0.2, 0.4, 0.5]
    assert recording.report.count("zero bytes") == 1


def test_a_log_of_zero_bytes_says_so(make_recording: MakeRecording) -> None:
    with pytest.raises(RecordingError, match="is empty but for zero bytes, as after a power failure"):
        open_recording(make_recording(bytes(4096), []))


def test_a_log_in_utf_16_without_a_mark_is_read(make_recording: MakeRecording) -> None:
    for encoding in ("utf-16-le", "utf-16-be"):
        folder = make_recording("\n".join(LINES).encode(encoding), IMAGES)
        assert len(open_recording(folder)) == 6
        folder.rename(folder.with_name(encoding))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04\x14\0\x06\0", "an Excel workbook or a zip file. Save the workbook as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook. Save it as CSV"),
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"\x1f\x8b\x08\0", "a gzip archive. Unpack it"),
        (b"<!DOCTYPE html>\n<html>", "a web page. Download the file itself"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a placeholder of Git LFS"),
    ],
)
def test_a_file_that_is_no_log_is_called_by_its_name(
    make_recording: MakeRecording, content: bytes, said: str
) -> None:
    with pytest.raises(RecordingError, match=f"driving_log.csv is no text file with a log, but {said}"):
        open_recording(make_recording(content, []))


def test_a_real_workbook_named_csv_is_called_one(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "driving_log.csv", "w") as workbook:
        workbook.writestr("xl/workbook.xml", "<workbook/>")
    with pytest.raises(RecordingError, match="an Excel workbook or a zip file"):
        open_recording(tmp_path)


@pytest.mark.parametrize("offset", [0.05, 0.95, 1.55])
@pytest.mark.parametrize("swap", [False, True])
def test_two_drives_whose_clocks_overlap_stay_two_episodes(
    make_recording: MakeRecording, offset: float, swap: bool
) -> None:
    first = [(index / 10, "0.5,1,0,10") for index in range(20)]
    second = [(offset + index / 10, "-0.5,0.5,0,20") for index in range(20)]
    both = [*second, *first] if swap else [*first, *second]
    images = [image_name(camera, seconds) for seconds, _ in both for camera in CAMERAS]
    lines = [row(seconds, numbers) for seconds, numbers in both]
    recording = open_recording(make_recording(lines, images), strict=True)
    assert [len(episode) for episode in recording.episodes] == [20, 20]
    for episode, steering in zip(recording.episodes, (0.5, -0.5), strict=True):
        assert set(episode.steering.tolist()) == {steering}
        assert np.all(np.diff(episode.time) > 0)
    assert recording.report.count("drives at the same time") == 20


@given(st.permutations(range(40)), st.integers(0, 10))
def test_disorder_within_a_drive_is_sorted_and_makes_no_drives(order: list[int], displaced: int) -> None:
    shuffled = np.array(order, np.float64) * 67
    assert drives_of(shuffled).max() == 0 or np.diff(shuffled).min() < 0
    block = [*range(displaced, 40), *range(displaced)]  # a part of the log was moved
    assert not drives_of(np.array(block, np.float64)).any()
    swapped = np.arange(40.0)
    swapped[displaced : displaced + 2] = swapped[displaced : displaced + 2][::-1]
    assert not drives_of(swapped).any()


def test_images_are_found_in_folders_of_any_depth(tmp_path: Path) -> None:
    folders = ["lap1/IMG/", "lap2/IMG/", "a/b/c/d/", "IMG/"]
    written = ["lap1/IMG/", "C:\\me\\drives\\Lap2\\img\\", "./a/b/c/d/", "/somewhere/lap9/IMG/"]
    lines = []
    for index, (folder, path) in enumerate(zip(folders, written, strict=True)):
        (tmp_path / folder).mkdir(parents=True)
        for camera in CAMERAS:
            (tmp_path / folder / image_name(camera, index / 10)).touch()
        lines.append(row(index / 10, folder=path))
    (tmp_path / "driving_log.csv").write_text("\n".join(lines))
    recording = open_recording(tmp_path, strict=True)
    assert [f"{frame.path().parent.relative_to(tmp_path)}/" for frame in recording.frames()] == folders
    assert recording.report.count("image without a row") == 0


def test_two_laps_with_images_of_one_name_keep_their_own(tmp_path: Path) -> None:
    lines = []
    for lap in (1, 2):
        (tmp_path / f"lap{lap}/IMG").mkdir(parents=True)
        for camera in CAMERAS:
            (tmp_path / f"lap{lap}/IMG" / image_name(camera, 0)).touch()
        lines.append(row(0, folder=f"/home/me/lap{lap}/IMG/"))
    (tmp_path / "driving_log.csv").write_text("\n".join(lines))
    recording = open_recording(tmp_path)
    assert {frame.path().parent.parent.name for frame in recording.frames()} == {"lap1", "lap2"}


@pytest.mark.parametrize(
    "folder", ["lap1/../../secret/", "lap1\\..\\..\\secret\\", "lap1/out/", "out/IMG/", "/{tmp}/secret/"]
)
def test_deep_paths_never_lead_out_of_the_folder(tmp_path: Path, folder: str) -> None:
    secret, drive = tmp_path / "secret", tmp_path / "drive"
    (secret / "IMG").mkdir(parents=True)
    (drive / "lap1").mkdir(parents=True)
    (drive / "lap1" / "out").symlink_to(secret)
    (drive / "out").symlink_to(secret)
    (drive / "IMG").mkdir()
    for camera in CAMERAS:
        for place in (secret, secret / "IMG"):
            (place / image_name(camera, 0)).write_bytes(b"\xff\xd8 secret \xff\xd9")
        (drive / "IMG" / image_name(camera, 0.1)).touch()
    (drive / "driving_log.csv").write_text("\n".join([row(0, folder=folder.format(tmp=tmp_path)), row(0.1)]))
    recording = open_recording(drive)
    assert [frame.row for frame in recording.frames()] == [2]


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.text(alphabet="ab./\\ ", max_size=20))
def test_any_path_finds_an_image_within_the_folder_or_none(tmp_path: Path, path: str) -> None:
    drive = tmp_path / "drive"
    for folder in ("", "a", "a/b", "a/b/a", "IMG"):
        (drive / folder).mkdir(parents=True, exist_ok=True)
        for camera in CAMERAS:
            (drive / folder / image_name(camera, 0)).touch()
    for camera in CAMERAS:
        (tmp_path / image_name(camera, 0)).touch()
    (drive / "driving_log.csv").write_text(row(0, folder=path + "/"))
    (frame,) = open_recording(drive).frames()
    assert frame.path().resolve().is_relative_to(drive.resolve())


@pytest.mark.parametrize("track", ["lake", "jungle"])
@pytest.mark.parametrize("shown", [0, 1, 2])
def test_the_start_pose_is_found_in_a_drive_whose_last_image_shows_a_step_after_the_start(
    tmp_path: Path, track: str, shown: int
) -> None:
    env = gymnasium.make(udacity_gym.ENV_ID, track=track, cameras=CAMERAS, mode="training")
    try:
        recording = record(env, PurePursuit(speed=9.0), tmp_path / "drive", seconds=4, seed=1)
    finally:
        env.close()
    (episode,) = recording.episodes
    assert recording.report.count("start pose") == 0
    moved = episode[30:]  # the car drives, as in a recording that begins in the middle of a lap
    lines = (tmp_path / "drive" / "driving_log.csv").read_text().splitlines()[30:]
    (tmp_path / "drive" / "driving_log.csv").write_text("\n".join(lines))
    moved.path("center", len(moved) - 1).write_bytes(moved.data("center", shown))
    reopened = open_recording(tmp_path / "drive")
    assert reopened.report.rows_of("start pose") == (len(lines),)
    assert len(reopened) == len(lines) - 1
