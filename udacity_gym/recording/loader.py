"""Shuffled batches of a recording's frames, from a bounded buffer, for training loops of your own."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from udacity_gym.errors import OptionError, RecordingError
from udacity_gym.recording.episodes import Recording
from udacity_gym.recording.frames import FRAME_NUMBERS, FrameSource, Prepare, RecordedFrames, ordered_map
from udacity_gym.recording.packed import pack
from udacity_gym.recording.reader import open_recording
from udacity_gym.telemetry import Image


@dataclass(frozen=True)
class FrameBatch:
    """A batch of frames.

    Attributes:
        images: (n, height, width, 3) uint8 RGB of each camera.
        steering: (n,) float32 [-1, 1], positive turns right.
        throttle: (n,) float32 [0, 1].
        brake: (n,) float32 [0, 1].
        speed: (n,) float32 m/s.
        index: (n,) int64 number of each frame in the source, counted over all episodes.
    """

    images: Mapping[str, Image]
    steering: NDArray[np.float32]
    throttle: NDArray[np.float32]
    brake: NDArray[np.float32]
    speed: NDArray[np.float32]
    index: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.index)


class TrainingLoader:
    """Load shuffled batches of frames from recordings.

    Each iteration is one epoch. The order of an epoch follows from the seed and the number of the epoch, and
    does not depend on the number of workers. Memory is bounded: at most `buffer_bytes` of images are held at
    a time, however many frames there are.

    Args:
        source: a recording, an argument of `open_recording`, or a result of `pack`.
        cameras: cameras to load; those of a packed file are fixed.
        prepare: preprocessing of each image in the workers, such as `Downscale()`, which suits NVIDIA's
            network, or the `algorithms.Preprocessing` of a policy.
        batch_size: number of frames per batch; the last batch may have fewer.
        shuffle: False keeps the order of the recording.
        seed: seed of the order.
        workers: number of threads that decode images; 0 decodes in the calling thread.
        prefetch: number of batches that are prepared in advance.
        drop_last: leave out a last batch with fewer frames.
        cache: file for the prepared images. It is written on first use, and written again if the recording
            or the preprocessing has changed. It may be deleted at any time.

    Raises:
        OptionError: An argument is out of range.
        RecordingError: The recording can't be opened, or has no frame; the cache can't be written.

    Example:
        >>> loader = TrainingLoader("my-drive", prepare=Downscale(), seed=1)    # doctest: +SKIP
        >>> for batch in loader:                                                # doctest: +SKIP
        ...     learn(batch.images["center"], batch.steering)
    """

    def __init__(
        self,
        source: FrameSource | Recording | str | PathLike[str] | Sequence[str | PathLike[str]],
        cameras: Sequence[str] = ("center",),
        prepare: Prepare | None = None,
        *,
        batch_size: int = 64,
        shuffle: bool = True,
        seed: int = 0,
        workers: int = 2,
        prefetch: int = 4,
        drop_last: bool = False,
        cache: str | PathLike[str] | None = None,
    ) -> None:
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("workers", workers, 0),
            ("prefetch", prefetch, 1),
        ):
            if value < least:
                raise OptionError(f"{name} must be {least} or more, got {value!r}")
        if isinstance(source, (str, PathLike)) or (
            isinstance(source, Sequence) and not isinstance(source, Recording)
        ):
            source = open_recording(source)
        if isinstance(source, Recording):
            recorded = RecordedFrames(source, cameras, prepare)
            source = recorded if cache is None else _CachedFrames(recorded, Path(cache), workers)
        elif prepare is not None or cache is not None:
            raise OptionError("a packed file is prepared already: give prepare and cache to pack()")
        self.source: FrameSource = source
        self.batch_size, self.shuffle, self.seed = batch_size, shuffle, seed
        self.workers, self.prefetch, self.drop_last = workers, prefetch, drop_last
        self._epoch = 0

    def __len__(self) -> int:
        """Number of batches of an epoch."""
        whole, rest = divmod(len(self.source), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    @property
    def buffer_bytes(self) -> int:
        """Maximum number of bytes of images that are held at a time, including those of the last batch."""
        frame = len(self.source.cameras) * int(np.prod(self.source.shape))
        return frame * self.batch_size * ((self.prefetch if self.workers else 0) + 2)

    def __iter__(self) -> Iterator[FrameBatch]:
        self._epoch += 1
        return self.epoch(self._epoch - 1)

    def epoch(self, number: int) -> Iterator[FrameBatch]:
        """The batches of one epoch.

        Args:
            number: which; the same number gives the same batches.
        """
        order = Permutation(len(self.source), (self.seed, number)) if self.shuffle else None
        return ordered_map(lambda i: self._make(i, order), range(len(self)), self.workers, self.prefetch)

    def _make(self, number: int, order: Permutation | None) -> FrameBatch:
        start = number * self.batch_size
        index = np.arange(start, min(start + self.batch_size, len(self.source)))
        if order is not None:
            index = order(index)
        images: dict[str, Image] = {
            camera: np.empty((len(index), *self.source.shape), np.uint8) for camera in self.source.cameras
        }
        numbers = np.empty((len(index), len(FRAME_NUMBERS)), np.float64)
        for k, i in enumerate(index.tolist()):
            numbers[k] = self.source.read(i, [images[camera][k] for camera in images])
        steering, throttle, brake, speed = numbers[:, :4].T.astype(np.float32)
        return FrameBatch(images, steering, throttle, brake, speed, index)


class _CachedFrames:
    """A packed file of a recording; what is damaged in it is read from the recording."""

    def __init__(self, recorded: RecordedFrames, path: Path, workers: int) -> None:
        self.cameras, self.shape = recorded.cameras, recorded.shape
        self._recorded = recorded
        self._packed = pack(
            recorded.recording, path, recorded.cameras, recorded.prepare, workers=workers, reuse=True
        )

    def __len__(self) -> int:
        return len(self._packed)

    def read(self, index: int, images: Sequence[Image]) -> NDArray[np.float64]:
        try:
            return self._packed.read(index, images)
        except RecordingError as error:
            warnings.warn(f"{error}. The recording itself is read instead", stacklevel=2)
            return self._recorded.read(index, images)


class Permutation:
    """A pseudo-random order of 0 ... n - 1 that takes no memory: a Feistel cipher with cycle walking.

    Numbers are split into halves that take turns in being mixed with a hash of the other (Luby and
    Rackoff 1988); results beyond n are mixed again until they are not (Black and Rogaway 2002).

    Args:
        n: how many numbers.
        seed: seed of the order, one number or several.
    """

    ROUNDS = 6

    def __init__(self, n: int, seed: int | Sequence[int]) -> None:
        self.n = n
        self._bits = np.uint64(max(1, ((n - 1).bit_length() + 1) // 2))
        self._mask = np.uint64((1 << int(self._bits)) - 1)
        self._keys = np.random.default_rng(seed).integers(0, 1 << 63, self.ROUNDS, dtype=np.uint64)

    def __call__(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers at some positions of the order.

        Args:
            index: (m,) positions in [0, n).

        Returns:
            (m,) numbers in [0, n), different for different positions.
        """
        numbers = self._mix(index.astype(np.uint64))
        while (beyond := numbers >= self.n).any():
            numbers[beyond] = self._mix(numbers[beyond])
        return numbers.astype(np.int64)

    def _mix(self, numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
        left, right = numbers >> self._bits, numbers & self._mask
        for key in self._keys:
            # The finalizer of SplitMix64 (Steele et al. 2014); the product overflows on purpose.
            mixed = (right ^ key) * np.uint64(0xBF58476D1CE4E5B9)
            mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            left, right = right, left ^ ((mixed ^ (mixed >> np.uint64(31))) & self._mask)
        result: NDArray[np.uint64] = (left << self._bits) | right
        return result
