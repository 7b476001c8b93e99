"""From rows to batches: drawn by weight, seen through one camera each, augmented, with labels that fit."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from algorithms.base import Floats
from algorithms.training.config import TrainingConfig
from algorithms.training.data import Frames, Indices
from udacity_gym.errors import OptionError, RecordingError
from udacity_gym.recording.balance import balance_weights
from udacity_gym.recording.frames import ImageCache
from udacity_gym.telemetry import Image


class Batch(NamedTuple):
    """What one step of the optimizer learns from.

    Attributes:
        images: (n, height, width, 3) uint8 prepared images, or (n, frames, height, width, 3), the oldest
            first.
        measurements: (n, len(inputs)) float32 in SI units.
        targets: (n, actions) float32 in [-1, 1], steering first.
    """

    images: Image
    measurements: Floats
    targets: Floats


class TrainingSet:
    """Rows as a training with some settings sees them, and the batches that are made of them.

    Args:
        frames: the rows.
        config: settings of the training.
        cache: reads the images, and may have some of them already; None makes one of
            ``config.memory_budget`` bytes.

    Attributes:
        frames: the rows.
        cache: where images come from.
        cameras: cameras that are trained with, the centre one first.
        targets: (n, actions) float32 what was recorded, steering first.

    Raises:
        OptionError: The cache prepares images in another way than the settings say.
        RecordingError: There are no images of the centre camera.
    """

    def __init__(self, frames: Frames, config: TrainingConfig, cache: ImageCache | None = None) -> None:
        if cache is None:
            cache = ImageCache(config.preprocessing, config.memory_budget)
        if cache.prepare != config.preprocessing:
            raise OptionError(
                f"the cache's images are prepared by {cache.prepare}, but preprocessing is "
                f"{config.preprocessing}; give ImageCache(config.preprocessing, config.memory_budget)"
            )
        if "center" not in frames.cameras:
            raise RecordingError(f"the recordings have no images of the center camera, only {frames.cameras}")
        sides = tuple(c for c in frames.cameras if c != "center") if config.side_cameras > 0 else ()
        self.frames, self.cache, self.cameras = frames, cache, ("center", *sides)
        self.targets = frames.columns(config.actions)
        self._config = config
        self._measurements = frames.columns(config.inputs)
        self._past = frames.past(config.past_frames)
        self._offsets = np.array([config.geometry.camera_offset(name) for name in self.cameras])
        self._headings = np.array([config.geometry.camera_heading(name) for name in self.cameras])
        self._distance = np.maximum(frames.speed * config.recovery_time, config.recovery_distance)

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def target_speed(self) -> float | None:
        """Speed that a steering-only policy is to be driven at, m/s; None if the throttle is learned.

        Raises:
            OptionError: The recordings do not know their speed, and the settings don't give one.
        """
        if self._config.throttle != "speed_control" or self._config.target_speed is not None:
            return self._config.target_speed
        usual = self.frames.usual_speed
        if not usual > 0:
            raise OptionError(
                f"the recordings' median speed is {usual:g} m/s, no speed to drive at; give target_speed"
            )
        return usual

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """(n,) how often each row is drawn, relative to the others: by its steering, motion and recording."""
        frames, config = self.frames, self._config
        learns_to_start = "speed" in config.inputs and "throttle" in config.actions
        motion, usual = np.empty(len(frames)), frames.usual_speed
        for rows in frames.by_recording:
            throttle = frames.throttle[rows] if learns_to_start else None
            motion[rows] = motion_weights(frames.speed[rows], throttle, usual)
        return balance_weights(frames.steering, config.balance) * motion * frames.weight

    def draw_rows(self, rng: np.random.Generator, count: int) -> Indices:
        """Draw rows by their weights, see `systematic_resampling`."""
        return systematic_resampling(self.weights, rng, count)

    def recorded_batch(self, rows: Indices) -> Batch:
        """Rows as they were recorded, through the centre camera.

        Args:
            rows: (n,) row numbers.
        """
        images = self._images(rows, np.zeros(len(rows), np.int64))
        return Batch(images, self._measurements[rows], self.targets[rows])

    def augmented_batch(self, rows: Indices, rng: np.random.Generator) -> Batch:
        """Rows with side cameras and augmentation.

        A row is seen through the centre camera or, in a share of cases, through one of the others, which
        stand beside the car's path: their steering is corrected so that the car would come back to it.

        Args:
            rows: (n,) row numbers.
            rng: where the randomness comes from.
        """
        config = self._config
        camera = np.zeros(len(rows), np.int64)
        if len(self.cameras) > 1:
            aside = rng.random(len(rows)) < config.side_cameras
            camera = np.where(aside, rng.integers(1, len(self.cameras), len(rows)), 0)
        images, targets, distance = self._images(rows, camera), self.targets[rows], self._distance[rows]
        back = config.geometry.recovery_steering(self._offsets[camera], self._headings[camera], distance)
        images, targets[:, 0] = config.augmentation.apply(
            images,
            targets[:, 0] + back.astype(np.float32),
            distance,
            rng,
            config.preprocessing,
            config.geometry,
        )
        return Batch(images, self._measurements[rows], targets)

    def _images(self, rows: Indices, cameras: Indices) -> Image:
        """Images of rows, each through the camera of this number, as `Batch` has them; a fresh array."""
        episodes, numbers = self.frames.episodes, self.frames.episode[rows].tolist()
        shape = (len(rows), self._past.shape[1], *self._config.preprocessing.size, 3)
        out: Image = np.empty(shape, np.uint8)
        for k, (number, camera) in enumerate(zip(numbers, cameras.tolist(), strict=True)):
            for j, index in enumerate(self._past[rows[k]].tolist()):
                out[k, j] = self.cache.image(episodes[number], index, self.cameras[camera])
        return out if self._config.past_frames else out[:, 0]


def motion_weights(
    speed: Floats, throttle: Floats | None = None, usual: float | None = None
) -> NDArray[np.float64]:
    """Weights that leave out standing and creeping: nobody shall learn to wait where a recording began.

    Args:
        speed: (n,) m/s, of one recording.
        throttle: (n,) labels, for a network that gets the speed: it can tell starting off from driving,
            so rows in which the car is slow and driven off stay in.
        usual: m/s, median of all recordings that are trained on; None takes that of this one.

    Returns:
        (n,) weights that rise from 0 for a car that stands to 1 at half of the usual speed, or at half of
        the recording's own median where that is yet slower, since to be driven slowly is not to creep; all
        1 for a recording that does not know its speed.
    """
    own = float(np.median(speed))
    enough = 0.5 * (own if usual is None else usual)
    if 0.0 < own < enough:
        enough = 0.5 * own
    if enough <= 0.0 or not speed.any():
        return np.ones(len(speed))
    weights: NDArray[np.float64] = np.clip(speed.astype(np.float64) / enough, 0.0, 1.0)
    return weights if throttle is None else np.where(throttle > 0.0, 1.0, weights)


def systematic_resampling(weights: NDArray[np.float64], rng: np.random.Generator, count: int) -> Indices:
    """Draw rows, each as often as its weight says, in random order.

    A row whose share of the weights is w comes floor(w * count) or ceil(w * count) times, so with all
    weights equal and as many draws as rows every row comes exactly once.

    Args:
        weights: (n,) not negative.
        rng: where the randomness comes from.
        count: how many rows.

    Returns:
        (count,) row numbers.
    """
    ticks = np.cumsum(weights)
    rows = np.searchsorted(ticks, (np.arange(count) + rng.random()) * (ticks[-1] / count), side="right")
    drawn: Indices = rng.permutation(np.minimum(rows, len(weights) - 1))
    return drawn
