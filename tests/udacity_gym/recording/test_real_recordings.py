"""The two real recordings read without loss."""

from pathlib import Path

import numpy as np
import pytest

from udacity_gym.recording import open_recording
from udacity_gym.telemetry import CAMERAS, MPH


def test_the_lake_recording_reads_without_loss(lake_recording: Path) -> None:
    recording = open_recording(lake_recording, strict=True)
    assert len(recording) == recording.report.rows == 2000
    assert recording.cameras == CAMERAS
    assert len(recording.episodes) == 1
    assert len(recording.report) == 0
    assert recording.episodes[0].row.tolist() == list(range(1, 2001))


def test_the_jungle_recording_reads_without_loss(jungle_recording: Path) -> None:
    recording = open_recording(jungle_recording, strict=True)
    assert len(recording) == recording.report.rows == 2200
    assert [finding.kind.name for finding in recording.report] == ["standing still"]
    assert recording.report.rows_of("standing still") == (*range(1, 9), 1071)


def test_frames_of_the_lake_recording_have_the_numbers_and_images_of_their_rows(
    lake_recording: Path,
) -> None:
    lines = (lake_recording / "driving_log.csv").read_text().splitlines()
    episode = open_recording(lake_recording).episodes[0]
    for index in (0, 7, 1234, 1999):
        frame = episode[index]
        fields = lines[frame.row - 1].split(",")
        values = [frame.steering, frame.throttle, frame.brake, frame.speed / MPH]
        assert values == pytest.approx([float(text) for text in fields[3:]], abs=1e-12)
        for camera, written in zip(CAMERAS, fields, strict=False):
            assert frame.path(camera).name == written.rpartition("\\")[2]
            assert frame.image(camera).shape == (160, 320, 3)
            assert frame.image(camera).dtype == np.uint8


def test_times_come_from_the_names_of_the_images(lake_recording: Path) -> None:
    episode = open_recording(lake_recording).episodes[0]
    assert episode.time[:3].tolist() == [0.0, 0.288, 0.342]  # ...43_382, 43_670, 43_724
