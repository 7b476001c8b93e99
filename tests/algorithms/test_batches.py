"""Training batches whose labels fit what is seen."""

from pathlib import Path

import numpy as np
import pytest

from algorithms import Augmentation, Preprocessing, TrainingConfig
from algorithms.training.batches import Batches, targets_of
from algorithms.training.data import Frames, ImageCache, ImageStore
from udacity_gym.recording import open_recording

NOTHING = Augmentation(flip=0, shift=0, turn=0, vertical=0, brightness=0, shadow=0)


@pytest.fixture(scope="module")
def frames(road_recording: Path) -> Frames:
    return Frames.of([open_recording(road_recording)])


def make_batches(
    frames: Frames, cameras: tuple[str, ...], share: float, augmentation: Augmentation = NOTHING
) -> Batches:
    store = ImageStore(frames, cameras, ImageCache(Preprocessing(), 1e8))
    config = TrainingConfig(augmentation=augmentation, side_cameras=share, recovery_time=0.8)
    return Batches(store, config)


def test_the_left_camera_is_steered_right_and_the_right_camera_left(frames: Frames) -> None:
    rows, rng = np.arange(50), np.random.default_rng(0)
    for camera, sign in (("left", 1), ("right", -1)):
        images, _, targets = make_batches(frames, ("center", camera), 1.0).make(rows, rng)
        # 0.8 m beside the path, to be back after 0.8 s at 10 m/s: 2 · 0.8 m / (8 m)² of curvature.
        np.testing.assert_allclose(targets[:, 0] - frames.steering[rows], sign * 0.156, atol=0.005)
        np.testing.assert_allclose(targets[:, 1], 0.5, atol=1e-6)
        seen = ImageStore(frames, (camera,), ImageCache(Preprocessing(), 0)).take(
            rows, np.zeros(50, np.int64)
        )
        np.testing.assert_array_equal(images, seen)


def test_side_cameras_come_in_their_share(frames: Frames) -> None:
    batches = make_batches(frames, ("center", "left", "right"), 0.5)
    _, _, targets = batches.make(np.arange(160), np.random.default_rng(0))
    correction = targets[:, 0] - frames.steering
    assert 50 < np.count_nonzero(np.abs(correction) < 1e-6) < 110
    assert 20 < np.count_nonzero(correction > 0.1) < 60
    assert 20 < np.count_nonzero(correction < -0.1) < 60


def test_without_side_cameras_labels_are_as_recorded(frames: Frames) -> None:
    _, _, targets = make_batches(frames, ("center",), 0.5).make(np.arange(160), np.random.default_rng(0))
    np.testing.assert_allclose(targets, targets_of(frames, ("steering", "throttle")), atol=1e-7)


def test_making_a_batch_leaves_the_recorded_labels_alone(frames: Frames) -> None:
    batches = make_batches(frames, ("center", "left", "right"), 0.5, Augmentation())
    before = batches.targets.copy()
    batches.make(np.arange(160), np.random.default_rng(0))
    np.testing.assert_array_equal(batches.targets, before)


def test_the_same_generator_makes_the_same_batch(frames: Frames) -> None:
    batches = make_batches(frames, ("center", "left", "right"), 0.5, Augmentation())
    first, second = (batches.make(np.arange(32), np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first.images, second.images)
    np.testing.assert_array_equal(first.targets, second.targets)
