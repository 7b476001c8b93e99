"""Batches to train on: rows of recordings, seen through one camera each, augmented, with true labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from algorithms.base import Floats
from algorithms.training.config import TrainingConfig
from algorithms.training.data import Frames, ImageStore, Indices
from udacity_gym.telemetry import Image


def targets_of(frames: Frames, actions: Sequence[str]) -> Floats:
    """What a policy with these actions should do: (n, len(actions)) float32 in [-1, 1]."""
    return np.stack([getattr(frames, name) for name in actions], axis=1)


def measurements_of(frames: Frames, inputs: Sequence[str]) -> Floats:
    """What a policy with these inputs is told: (n, len(inputs)) float32 in SI units."""
    columns: list[Floats] = [getattr(frames, name) for name in inputs]
    return np.stack(columns, axis=1) if columns else np.empty((len(frames), 0), np.float32)


class Batch(NamedTuple):
    """What one step is made of.

    Attributes:
        images: (n, height, width, 3) uint8 prepared images, or (n, frames, height, width, 3).
        measurements: (n, len(inputs)) float32 in SI units.
        targets: (n, actions) float32 in [-1, 1], steering first.
    """

    images: Image
    measurements: Floats
    targets: Floats


class Batches:
    """Makes training batches.

    A row is seen through the centre camera or, in a share of cases, through one of the others, which
    stand beside the car's path: their steering is corrected so that the car would come back to it.

    Attributes:
        images: prepared images; its first camera is the centre one.
        targets: (rows, actions) float32 what was recorded, steering first.
    """

    def __init__(self, images: ImageStore, config: TrainingConfig) -> None:
        """Get ready to make batches of the rows whose images are given."""
        frames, geometry = images.frames, config.geometry
        self.images = images
        self.targets = targets_of(frames, config.actions)
        self._measurements = measurements_of(frames, config.inputs)
        self._augmentation, self._geometry = config.augmentation, geometry
        self._side_cameras = config.side_cameras
        self._offsets = np.array([geometry.camera_offset(name) for name in images.cameras])
        self._headings = np.array([geometry.camera_heading(name) for name in images.cameras])
        self._distance = np.maximum(frames.speed * config.recovery_time, config.recovery_distance)

    def make(self, rows: Indices, rng: np.random.Generator) -> Batch:
        """Make one batch.

        Args:
            rows: (n,) row numbers.
            rng: where the randomness comes from.
        """
        camera = np.zeros(len(rows), np.int64)
        if len(self._offsets) > 1:
            aside = rng.random(len(rows)) < self._side_cameras
            camera = np.where(aside, rng.integers(1, len(self._offsets), len(rows)), 0)
        images, targets, distance = self.images.take(rows, camera), self.targets[rows], self._distance[rows]
        back = self._geometry.recovery_steering(self._offsets[camera], self._headings[camera], distance)
        images, targets[:, 0] = self._augmentation.apply(
            images,
            targets[:, 0] + back.astype(np.float32),
            distance,
            rng,
            self.images.cache.preprocessing,
            self._geometry,
        )
        return Batch(images, self._measurements[rows], targets)
