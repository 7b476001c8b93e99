"""Batches for training: rows drawn by weight, one camera each, augmented, with corrected labels."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from algorithms.base import Floats
from algorithms.policies.batch import Batch
from algorithms.training.config import TrainingConfig
from algorithms.training.data import Frames, Indices
from udacity_gym.errors import OptionError, RecordingError
from udacity_gym.recording.balance import balance_weights
from udacity_gym.recording.frames import ImageCache
from udacity_gym.telemetry import Image


def check_recorded(frames: Frames, config: TrainingConfig) -> None:
    """Check, before images are decoded, that the recordings have all that the network gets and learns.

    Raises:
        RecordingError: A measurement, throttle or brake was not recorded; the message says what to change.
    """
    frames.measurements(config.inputs)
    if "throttle" in config.actions:
        frames.check_pedals_recorded('choose throttle="speed_control", with a target_speed')


class TrainingSet:
    """Rows prepared for a training: weights, measurements, targets and batches.

    Args:
        frames: the rows.
        config: settings of the training.
        cache: reads the images, and may hold some of them already; None makes a cache of
            ``config.memory_budget`` bytes.

    Attributes:
        frames: the rows.
        cache: reads and keeps the images.
        cameras: cameras to train with: those whose images the network gets, then side cameras that replace
            the centre camera.
        targets: (n, actions) float32 recorded labels, steering first.

    Raises:
        OptionError: The cache's preprocessing differs from that of the settings.
        RecordingError: There are no images of a camera, or something that is learned from was not recorded.
    """

    def __init__(self, frames: Frames, config: TrainingConfig, cache: ImageCache | None = None) -> None:
        if cache is None:
            cache = ImageCache(config.preprocessing, config.memory_budget)
        if cache.prepare != config.preprocessing:
            raise OptionError(
                f"the cache's images are prepared by {cache.prepare}, but preprocessing is "
                f"{config.preprocessing}; give ImageCache(config.preprocessing, config.memory_budget)"
            )
        missing = [camera for camera in config.cameras if camera not in frames.cameras]
        if missing:
            raise RecordingError(
                f"the recordings have no images of the {' and '.join(missing)} camera, only {frames.cameras}"
            )
        alone = config.cameras == ("center",)  # else a side camera can't stand for the centre camera
        sides = (
            [c for c in frames.cameras if c not in config.cameras] if config.side_cameras and alone else []
        )
        self.frames, self.cache, self.cameras = frames, cache, (*config.cameras, *sides)
        check_recorded(frames, config)
        self.targets = frames.columns(config.actions)
        self._config = config
        self._measurements = frames.measurements(config.inputs)
        self._past = frames.past(config.past_frames)
        self._future: Indices | None = None
        if config.chunk_size > 1:
            self._future, self._valid = frames.future(config.chunk_size)
        self._shares = self._make_shares()
        self._augmentation = config.augmentation
        self._mirrored: list[int] | None = None
        if len(config.cameras) > 1 or config.cameras[0] in ("left", "right"):
            order = mirrored_cameras(config.cameras)
            if order is None:
                self._augmentation = replace(config.augmentation, flip=0.0)
            else:
                frames_before = range(config.past_frames + 1)
                self._mirrored = [f * len(order) + camera for f in frames_before for camera in order]
        offsets = np.array([config.geometry.camera_offset(name) for name in self.cameras])
        headings = np.array([config.geometry.camera_heading(name) for name in self.cameras])
        self._offsets, self._headings = offsets - offsets[0], headings - headings[0]
        self._distance = np.maximum(frames.speed * config.recovery_time, config.recovery_distance)

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def target_speed(self) -> float | None:
        """Speed for a steering-only policy, m/s; None if the throttle is learned.

        Raises:
            OptionError: The recordings contain no speed, and the settings give none.
        """
        if self._config.throttle != "speed_control" or self._config.target_speed is not None:
            return self._config.target_speed
        median = self.frames.median_speed
        if not median > 0:
            raise OptionError(
                f"the recordings' median speed is {median:g} m/s, no speed to drive at; give target_speed"
            )
        return median

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """(n,) how often each row is drawn, relative to the others: by its steering, motion and recording."""
        frames, config = self.frames, self._config
        learns_to_start = "speed" in config.inputs and "throttle" in config.actions
        motion, median = np.empty(len(frames)), frames.median_speed
        for rows in frames.by_recording:
            throttle = frames.throttle[rows] if learns_to_start else None
            motion[rows] = motion_weights(frames.speed[rows], throttle, median)
        return balance_weights(frames.steering, config.balance) * motion * frames.weight

    def draw_rows(self, rng: np.random.Generator, count: int) -> Indices:
        """Draw rows by their weights, see `systematic_resampling`."""
        return systematic_resampling(self.weights, rng, count)

    def recorded_batch(self, rows: Indices) -> Batch:
        """A batch of rows as they were recorded, with images of the network's cameras.

        Args:
            rows: (n,) row numbers.
        """
        images = self._images(rows, np.zeros(len(rows), np.int64))
        return self._batch(rows, images, self._steering(rows))

    def augmented_batch(self, rows: Indices, rng: np.random.Generator) -> Batch:
        """A batch of rows with side cameras and augmentation.

        The image of a row comes from the centre camera or, for a share of the rows, from a side camera.
        Side cameras are beside the car's path, so their steering is corrected to bring the car back to it. A
        network that gets several cameras gets the images of all of them, changed alike.

        Args:
            rows: (n,) row numbers.
            rng: random generator.
        """
        config = self._config
        camera = np.zeros(len(rows), np.int64)
        steering, shares = self._steering(rows), self._shares[rows]
        if len(self.cameras) > len(config.cameras):
            uses_side = rng.random(len(rows)) < config.side_cameras
            camera = np.where(uses_side, rng.integers(1, len(self.cameras), len(rows)), 0)
        images, distance = self._images(rows, camera), self._distance[rows]
        if len(config.cameras) == 1:
            correction = config.geometry.recovery_steering(
                self._offsets[camera], self._headings[camera], distance
            )
            steering += correction.astype(np.float32)[:, None] * shares
        images, steering = self._augmentation.apply(
            images,
            steering,
            distance,
            rng,
            config.preprocessing,
            config.geometry,
            shares=shares,
            mirrored=self._mirrored,
        )
        return self._batch(rows, images, steering)

    def _steering(self, rows: Indices) -> Floats:
        """All steering of rows that an augmentation changes: targets, then the measured one if an input."""
        targets = self.targets[rows] if self._future is None else self.targets[self._future[rows]]
        steering = targets[..., 0].reshape(len(rows), -1)
        if "steering" in self._config.inputs:
            number = self._config.inputs.index("steering")
            steering = np.concatenate([steering, self._measurements[rows, number, None]], axis=1)
        copied: Floats = steering.copy()
        return copied

    def _make_shares(self) -> Floats:
        """Share of a steering correction that each column of `_steering` gets: (n, columns) float32.

        A car that was moved comes back within the recovery time, so labels of later steps need less
        correction. What was measured before needs none.
        """
        frames, columns = self.frames, [np.ones((len(self.frames), 1), np.float32)]
        if self._future is not None:
            elapsed = frames.time[self._future] - frames.time[:, None]
            columns = [np.clip(1.0 - elapsed / self._config.recovery_time, 0.0, 1.0).astype(np.float32)]
        if "steering" in self._config.inputs:
            columns.append(np.zeros((len(frames), 1), np.float32))
        return np.concatenate(columns, axis=1)

    def _batch(self, rows: Indices, images: Image, steering: Floats) -> Batch:
        """A batch of images with the steering of `_steering`."""
        config, measurements = self._config, self._measurements[rows]
        if "steering" in config.inputs:
            measurements[:, config.inputs.index("steering")] = steering[:, -1]
        if self._future is None:
            targets, valid = self.targets[rows], np.ones((len(rows), 1), np.bool_)
            targets[:, 0] = steering[:, 0]
        else:
            targets, valid = self.targets[self._future[rows]], self._valid[rows]
            targets[..., 0] = steering[:, : config.chunk_size]
        return Batch(*map(torch.from_numpy, (images, measurements, targets, valid)))

    def _images(self, rows: Indices, cameras: Indices) -> Image:
        """Images of rows, as in `Batch`; ``cameras`` are indices into `cameras`. Returns a new array."""
        episodes, numbers = self.frames.episodes, self.frames.episode[rows].tolist()
        together = len(self._config.cameras)
        shape = (len(rows), self._past.shape[1] * together, *self._config.preprocessing.size, 3)
        out: Image = np.empty(shape, np.uint8)
        for k, (number, camera) in enumerate(zip(numbers, cameras.tolist(), strict=True)):
            names = self._config.cameras if together > 1 else (self.cameras[camera],)
            pairs = itertools.product(self._past[rows[k]].tolist(), names)
            for j, (index, name) in enumerate(pairs):
                out[k, j] = self.cache.image(episodes[number], index, name)
        return out if shape[1] > 1 else out[:, 0]


def mirrored_cameras(cameras: Sequence[str]) -> list[int] | None:
    """Which camera takes the place of each in a mirrored world: left and right change places.

    Args:
        cameras: names.

    Returns:
        Indices into the cameras; None if the other side's camera is missing, so that nothing can be mirrored.
    """
    other = {"left": "right", "right": "left"}
    partners = [other.get(name, name) for name in cameras]
    return [cameras.index(name) for name in partners] if set(partners) <= set(cameras) else None


def motion_weights(
    speed: Floats, throttle: Floats | None = None, usual: float | None = None
) -> NDArray[np.float64]:
    """Weights that leave out standing and creeping, so that no policy learns to wait at the start.

    Args:
        speed: (n,) m/s, of one recording.
        throttle: (n,) labels, for a network that gets the speed: it can tell starting off from driving,
            so rows in which the car is slow and starts off are kept.
        usual: m/s, median speed of all recordings in the training; None takes that of this recording.

    Returns:
        (n,) weights that rise from 0 for a car that stands to 1 at half of the usual speed, or at half of
        the recording's own median speed if that is slower, since slow driving is not creeping. All
        weights are 1 for a recording without speed.
    """
    median = float(np.median(speed))
    full_weight_speed = 0.5 * (median if usual is None else usual)
    if 0.0 < median < full_weight_speed:
        full_weight_speed = 0.5 * median
    if full_weight_speed <= 0.0 or not speed.any():
        return np.ones(len(speed))
    weights: NDArray[np.float64] = np.clip(speed.astype(np.float64) / full_weight_speed, 0.0, 1.0)
    return weights if throttle is None else np.where(throttle > 0.0, 1.0, weights)


def systematic_resampling(weights: NDArray[np.float64], rng: np.random.Generator, count: int) -> Indices:
    """Draw rows, each as often as its weight says, in random order.

    A row whose share of the weights is w is drawn floor(w * count) or ceil(w * count) times. With equal
    weights and as many draws as rows, every row is drawn exactly once.

    Args:
        weights: (n,) not negative.
        rng: random generator.
        count: number of rows to draw.

    Returns:
        (count,) row numbers.
    """
    ticks = np.cumsum(weights)
    rows = np.searchsorted(ticks, (np.arange(count) + rng.random()) * (ticks[-1] / count), side="right")
    drawn: Indices = rng.permutation(np.minimum(rows, len(weights) - 1))
    return drawn
