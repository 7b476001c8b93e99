"""Images are found, read and checked; nothing outside of the recording's folder is opened."""

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from recording_tools import MakeRecording, image_name, make_image, row

from udacity_gym.errors import RecordingError
from udacity_gym.recording import Recording, open_recording
from udacity_gym.telemetry import CAMERAS

LINES = [row(index / 10, f"0.{index},0.5,0,10") for index in range(6)]


def image_bytes(seed: int, height: int = 160, width: int = 320, ending: str = ".jpg") -> bytes:
    return cv2.imencode(ending, make_image(seed, height, width))[1].tobytes()


def recording_with(make_recording: MakeRecording, **broken: bytes) -> Recording:
    """Six rows; the centre images named row_N are replaced."""
    images = {
        image_name(camera, index / 10): broken.get(f"{camera}_{index + 1}", image_bytes(index))
        for index in range(6)
        for camera in CAMERAS
    }
    return open_recording(make_recording(LINES, images))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"GIF89a", "is no image: neither JPEG nor PNG"),
        (image_bytes(1)[:2000], "is cut off after 2000 bytes"),
        (image_bytes(1, ending=".png")[:2000], "is cut off after 2000 bytes"),
        (b"\xff\xd8" + b"\0" * 100 + b"\xff\xd9", "can't be decoded"),
    ],
)
def test_a_broken_image_is_found_by_check_and_names_file_and_row_when_read(
    make_recording: MakeRecording, data: bytes, said: str
) -> None:
    recording = recording_with(make_recording, left_3=data)
    assert len(recording) == 6
    with pytest.raises(
        RecordingError, match=rf"driving_log.csv, row 3, left: .*{image_name('left', 0.2)} {said}"
    ):
        recording.episodes[0][2].image("left")
    report = recording.check()
    assert report.rows_of("broken image") == (3,)
    assert [frame.row for frame in recording.without(report.unusable).frames()] == [1, 2, 4, 5, 6]


def test_images_of_another_size_than_most_are_found_by_check(make_recording: MakeRecording) -> None:
    recording = recording_with(make_recording, right_5=image_bytes(1, 80, 160))
    report = recording.check(progress=False)
    assert report.rows_of("image of another size") == (5,)
    assert "160x80 where most have 320x160" in str(report)


def test_check_of_a_whole_recording_finds_nothing(make_recording: MakeRecording) -> None:
    assert len(recording_with(make_recording).check()) == 0


def test_a_image_that_vanished_says_so(make_recording: MakeRecording) -> None:
    frame = recording_with(make_recording).episodes[0][1]
    frame.path().unlink()
    with pytest.raises(RecordingError, match=r"row 2, center: .* can't be read: No such file"):
        frame.image()


def test_the_start_pose_in_the_last_row_of_a_take_is_left_out(
    make_recording: MakeRecording, image: Callable[..., NDArray[np.uint8]]
) -> None:
    noisy = image(0).astype(int) + np.random.default_rng(0).integers(-2, 3, (160, 320, 3))
    first = cv2.imencode(".jpg", np.clip(noisy, 0, 255).astype(np.uint8))[1].tobytes()
    recording = recording_with(make_recording, center_6=first)
    assert recording.report.rows_of("start pose") == (6,)
    assert [frame.row for frame in recording.frames()] == [1, 2, 3, 4, 5]


def test_a_take_that_stands_still_has_no_start_pose_row(make_recording: MakeRecording) -> None:
    same = {f"center_{index}": image_bytes(0) for index in range(1, 7)}
    assert len(recording_with(make_recording, **same)) == 6


def test_a_camera_without_images_is_dropped_and_the_rows_stay(make_recording: MakeRecording) -> None:
    images = [image_name(camera, index / 10) for index in range(6) for camera in ("center", "left")]
    recording = open_recording(make_recording(LINES, images), strict=True)
    assert recording.cameras == ("center", "left")
    assert len(recording) == 6
    assert recording.report.count("camera without images") == 1


def test_images_without_rows_are_counted(make_recording: MakeRecording) -> None:
    images = [image_name(camera, index / 10) for index in range(8) for camera in CAMERAS]
    recording = open_recording(make_recording(LINES, images))
    assert recording.report.count("image without a row") == 6
    assert len(recording) == 6


def test_images_are_found_in_the_folder_the_path_ends_with_or_img_or_beside_the_log(tmp_path: Path) -> None:
    places = {"IMG2/": "IMG2", "/far/away/IMG/": "IMG", "C:\\x\\IMG\\": "IMG", "": ".", "/gone/pics/": "IMG"}
    for index, place in enumerate(places.values()):
        (tmp_path / place).mkdir(exist_ok=True)
        for camera in CAMERAS:
            (tmp_path / place / image_name(camera, index)).touch()
    lines = [row(index, folder=folder) for index, folder in enumerate(places)]
    (tmp_path / "driving_log.csv").write_text("\n".join(lines))
    recording = open_recording(tmp_path, strict=True)
    found = [frame.path("left").parent for frame in recording.frames()]
    assert found == [tmp_path / place for place in places.values()]


@pytest.mark.parametrize(
    "folder", ["../secret/", "..\\secret\\", "/{tmp}/secret/", "IMG/../../secret/", "../"]
)
def test_paths_that_leave_the_folder_lead_nowhere(make_recording: MakeRecording, folder: str) -> None:
    recording_folder = make_recording(
        [LINES[0], row(0.1, folder=folder)], LINES and [image_name(c, 0) for c in CAMERAS]
    )
    secret = recording_folder.parent / "secret"
    secret.mkdir()
    for place in (secret, recording_folder.parent):
        for camera in CAMERAS:
            (place / image_name(camera, 0.1)).touch()
    lines = [LINES[0], row(0.1, folder=folder.replace("{tmp}", str(recording_folder.parent)))]
    (recording_folder / "driving_log.csv").write_text("\n".join(lines))
    recording = open_recording(recording_folder)
    assert [frame.row for frame in recording.frames()] == [1]
    assert recording.report.rows_of("missing image") == (2,)


@pytest.mark.skipif(os.name == "nt", reason="links need privileges on Windows")
def test_links_out_of_the_folder_are_not_followed(make_recording: MakeRecording) -> None:
    folder = make_recording(LINES[:3])
    outside = folder.parent / "outside.jpg"
    link = folder / "IMG" / image_name("center", 0.1)
    link.rename(outside)
    link.symlink_to(outside)
    inside = folder / "IMG" / image_name("center", 0.2)
    inside.rename(folder / "IMG" / "kept.jpg")
    inside.symlink_to("kept.jpg")
    recording = open_recording(folder)
    assert [frame.row for frame in recording.frames()] == [1, 3]
    assert recording.report.rows_of("link out of the folder") == (2,)


@pytest.mark.skipif(os.name == "nt", reason="links need privileges on Windows")
def test_a_folder_of_images_that_is_a_link_out_is_not_followed(make_recording: MakeRecording) -> None:
    folder = make_recording(LINES)
    (folder / "IMG").rename(folder.parent / "elsewhere")
    (folder / "IMG").symlink_to(folder.parent / "elsewhere")
    with pytest.raises(RecordingError, match=r"IMG in .* is a link that leads out of the folder"):
        open_recording(folder)


@pytest.mark.skipif(os.name == "nt", reason="links need privileges on Windows")
def test_a_log_that_is_a_link_out_is_refused(make_recording: MakeRecording) -> None:
    folder = make_recording(LINES)
    (folder / "driving_log.csv").rename(folder.parent / "log.csv")
    (folder / "driving_log.csv").symlink_to(folder.parent / "log.csv")
    with pytest.raises(RecordingError, match="is a link that leads out of the folder"):
        open_recording(folder)
