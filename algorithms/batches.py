"""Batches to train on: rows of recordings, seen through one camera each, augmented, with true labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from algorithms.augment import Augmentation, Geometry
from algorithms.base import Floats
from algorithms.data import Frames, Indices, PictureStore
from udacity_gym.telemetry import Image


def targets_of(frames: Frames, actions: Sequence[str]) -> Floats:
    """What a policy with these actions should do: (n, len(actions)) float32 in [-1, 1]."""
    return np.stack([getattr(frames, name) for name in actions], axis=1)


class Batches:
    """Makes training batches.

    A row is seen through the centre camera or, in a share of cases, through one of the others, which
    stand beside the car's path: their steering is corrected so that the car would come back to it.

    Attributes:
        pictures: prepared pictures; its first camera is the centre one.
        targets: (rows, actions) float32 what was recorded, steering first.
    """

    def __init__(
        self,
        pictures: PictureStore,
        actions: Sequence[str],
        augmentation: Augmentation,
        geometry: Geometry,
        side_cameras: float,
        recovery_time: float,
        recovery_distance: float,
    ) -> None:
        """Get ready; the arguments are explained at `algorithms.bc.BehavioralCloningConfig`."""
        self.pictures = pictures
        self.targets = targets_of(pictures.frames, actions)
        self._augmentation, self._geometry = augmentation, geometry
        self._side_cameras = side_cameras
        self._offsets = np.array([geometry.camera_offset(name) for name in pictures.cameras])
        self._distance = np.maximum(pictures.frames.speed * recovery_time, recovery_distance)

    def make(self, rows: Indices, rng: np.random.Generator) -> tuple[Image, Floats]:
        """Make one batch.

        Args:
            rows: (n,) row numbers.
            rng: where the randomness comes from.

        Returns:
            (n, height, width, 3) uint8 prepared pictures and (n, actions) float32 targets.
        """
        camera = np.zeros(len(rows), np.int64)
        if len(self._offsets) > 1:
            aside = rng.random(len(rows)) < self._side_cameras
            camera = np.where(aside, rng.integers(1, len(self._offsets), len(rows)), 0)
        images, targets, distance = self.pictures.take(rows, camera), self.targets[rows], self._distance[rows]
        back = self._geometry.recovery_steering(self._offsets[camera], 0.0, distance)
        images, targets[:, 0] = self._augmentation.apply(
            images,
            targets[:, 0] + back.astype(np.float32),
            distance,
            rng,
            self.pictures.preprocessing,
            self._geometry,
        )
        return images, targets
