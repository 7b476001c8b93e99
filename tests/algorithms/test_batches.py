"""Training batches whose labels fit what is seen."""

from pathlib import Path

import numpy as np
import pytest

from algorithms import Augmentation, Preprocessing, TrainingConfig
from algorithms.training.data import Frames
from algorithms.training.training_set import TrainingSet
from udacity_gym.recording import open_recording

NOTHING = Augmentation(flip=0, shift=0, turn=0, vertical=0, brightness=0, shadow=0)


@pytest.fixture(scope="module")
def frames(road_recording: Path) -> Frames:
    return Frames.of([open_recording(road_recording)])


def make_training_set(
    frames: Frames, side_cameras: float, augmentation: Augmentation = NOTHING
) -> TrainingSet:
    config = TrainingConfig(augmentation=augmentation, side_cameras=side_cameras, recovery_time=0.8)
    return TrainingSet(frames, config)


def test_the_left_camera_is_steered_right_and_the_right_camera_left(frames: Frames) -> None:
    rows = np.arange(50)
    images, _, targets, _ = (
        column.numpy()
        for column in make_training_set(frames, 1.0).augmented_batch(rows, np.random.default_rng(0))
    )
    correction = targets[:, 0] - frames.steering[rows]
    # 0.8 m beside the path, to be back after 0.8 s at 10 m/s: 2 · 0.8 m / (8 m)² of curvature.
    np.testing.assert_allclose(np.abs(correction), 0.156, atol=0.005)
    np.testing.assert_allclose(targets[:, 1], 0.5, atol=1e-6)
    cameras = np.where(correction > 0, "left", "right").tolist()
    assert {"left", "right"} == set(cameras)
    for row, camera, image in zip(rows.tolist(), cameras, images, strict=True):
        np.testing.assert_array_equal(image, Preprocessing()(frames.image(row, camera)))


def test_side_cameras_come_in_their_share(frames: Frames) -> None:
    batch = make_training_set(frames, 0.5).augmented_batch(np.arange(160), np.random.default_rng(0))
    correction = batch.targets[:, 0].numpy() - frames.steering
    assert 50 < np.count_nonzero(np.abs(correction) < 1e-6) < 110
    assert 20 < np.count_nonzero(correction > 0.1) < 60
    assert 20 < np.count_nonzero(correction < -0.1) < 60


def test_without_side_cameras_labels_are_as_recorded(frames: Frames) -> None:
    batch = make_training_set(frames, 0.0).augmented_batch(np.arange(160), np.random.default_rng(0))
    np.testing.assert_allclose(batch.targets, frames.columns(("steering", "throttle")), atol=1e-7)


def test_a_recorded_batch_is_what_the_centre_camera_saw_and_the_driver_did(frames: Frames) -> None:
    rows = np.array([7, 3, 7])
    images, measurements, targets, _ = make_training_set(frames, 0.5, Augmentation()).recorded_batch(rows)
    assert measurements.shape == (3, 0)
    np.testing.assert_array_equal(targets, frames.columns(("steering", "throttle"))[rows])
    for image, row in zip(images, rows.tolist(), strict=True):
        np.testing.assert_array_equal(image, Preprocessing()(frames.image(row, "center")))


def test_making_a_batch_leaves_the_recorded_labels_alone(frames: Frames) -> None:
    training_set = make_training_set(frames, 0.5, Augmentation())
    before = training_set.targets.copy()
    training_set.augmented_batch(np.arange(160), np.random.default_rng(0))
    np.testing.assert_array_equal(training_set.targets, before)


def test_the_same_generator_makes_the_same_batch(frames: Frames) -> None:
    training_set = make_training_set(frames, 0.5, Augmentation())
    first, second = (training_set.augmented_batch(np.arange(32), np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first.images, second.images)
    np.testing.assert_array_equal(first.targets, second.targets)
