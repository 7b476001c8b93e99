"""Streams training batches: decodes ahead in threads and holds no more than its buffer.

Decoding lets go of Python's global lock, so that threads use all cores without copying images between
processes. The order is a permutation computed as it goes and not a list of all frames, so that memory does
not grow with the number of frames.
"""

from __future__ import annotations

import bisect
import itertools
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Protocol, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from udacity_gym.errors import OptionError, RecordingError
from udacity_gym.recording.episodes import Episode, Recording
from udacity_gym.recording.reader import open_recording
from udacity_gym.telemetry import Image

T = TypeVar("T")
R = TypeVar("R")

LABELS = ("steering", "throttle", "brake", "speed", "time", "row")
"""The numbers of a frame, in the order in which sources give them."""


@dataclass(frozen=True)
class Downscale:
    """Cuts off sky and bonnet, and scales what is left to the size a network wants.

    Attributes:
        size: height and width of the result, pixels; NVIDIA's network takes (66, 200).
        crop: rows cut off at the top and at the bottom of the image.
    """

    size: tuple[int, int] = (66, 200)
    crop: tuple[int, int] = (60, 25)

    def __call__(self, image: Image) -> Image:
        """Prepare an image.

        Args:
            image: (height, width, 3) uint8.

        Returns:
            (*size, 3) uint8.

        Raises:
            OptionError: The crop leaves nothing of it.
        """
        top, bottom = self.crop
        cut = image[top : len(image) - bottom]
        if not cut.size:
            raise OptionError(f"crop={self.crop} leaves nothing of an image of {len(image)} rows")
        height, width = self.size
        return np.asarray(cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


@dataclass(frozen=True)
class Batch:
    """Some frames.

    Attributes:
        images: camera to (n, height, width, 3) uint8 RGB.
        steering: (n,) float32 [-1, 1], positive turns right.
        throttle: (n,) float32 [0, 1].
        brake: (n,) float32 [0, 1].
        speed: (n,) float32 m/s.
        index: (n,) int64 which frame of the source each is, counted over all episodes.
    """

    images: Mapping[str, Image]
    steering: NDArray[np.float32]
    throttle: NDArray[np.float32]
    brake: NDArray[np.float32]
    speed: NDArray[np.float32]
    index: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.index)


class FrameSource(Protocol):
    """Where frames come from: a recording, or a packed file of it."""

    @property
    def cameras(self) -> tuple[str, ...]:
        """Cameras whose images it gives."""
        ...

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image."""
        ...

    def __len__(self) -> int: ...

    def read(self, index: int, images: Sequence[Image]) -> NDArray[np.float64]:
        """Read a frame; may be called from several threads at once.

        Args:
            index: number of the frame.
            images: where each camera's image goes to, `shape` uint8.

        Returns:
            (6,) float64 as `LABELS` says.
        """
        ...


class RecordedFrames:
    """The frames of a recording, decoded and prepared each time.

    Args:
        recording: whose frames.
        cameras: which images.
        prepare: what is done to each; must give the same shape for all.
    """

    def __init__(
        self,
        recording: Recording,
        cameras: Sequence[str] = ("center",),
        prepare: Callable[[Image], Image] | None = None,
    ) -> None:
        missing = [camera for camera in cameras if camera not in recording.cameras]
        if missing or isinstance(cameras, str) or not cameras:
            raise OptionError(
                f"cameras must be some of {recording.cameras}, which {recording.path} has; got {cameras!r}"
            )
        if not len(recording):
            raise RecordingError(f"{recording.path} has no frame to learn from")
        self.recording = recording
        self.cameras = tuple(cameras)
        self.prepare = prepare
        self._ends = list(itertools.accumulate(map(len, recording.episodes)))
        first = self._image(recording.episodes[0], 0, self.cameras[0])
        self.shape: tuple[int, int, int] = (first.shape[0], first.shape[1], first.shape[2])

    def __len__(self) -> int:
        return self._ends[-1]

    def find(self, index: int) -> tuple[Episode, int]:
        """The episode of a frame, and the frame's number in it."""
        number = bisect.bisect_right(self._ends, index)
        return self.recording.episodes[number], index - (self._ends[number - 1] if number else 0)

    def read(self, index: int, images: Sequence[Image]) -> NDArray[np.float64]:
        """Read a frame, see `FrameSource.read`.

        Raises:
            RecordingError: An image can't be read, or has another shape than the others.
        """
        episode, i = self.find(index)
        for camera, out in zip(self.cameras, images, strict=True):
            image = self._image(episode, i, camera)
            if image.shape != self.shape:
                raise RecordingError(
                    f"{episode.log}, row {episode.row[i]}, {camera}: an image of shape {image.shape} "
                    f"where the first has {self.shape}; recording.without(recording.check()) lacks such rows"
                )
            out[...] = image
        return np.array([getattr(episode, name)[i] for name in LABELS], np.float64)

    def _image(self, episode: Episode, i: int, camera: str) -> Image:
        try:
            image = episode.image(camera, i)
        except RecordingError as error:
            raise RecordingError(f"{episode.log}, row {episode.row[i]}, {camera}: {error}") from error
        return image if self.prepare is None else self.prepare(image)


class _CachedFrames:
    """A packed file, and the recording it was packed from for what is damaged in it."""

    def __init__(self, packed: FrameSource, recorded: RecordedFrames) -> None:
        self._packed, self._recorded = packed, recorded
        self.cameras, self.shape = recorded.cameras, recorded.shape

    def __len__(self) -> int:
        return len(self._packed)

    def read(self, index: int, images: Sequence[Image]) -> NDArray[np.float64]:
        try:
            return self._packed.read(index, images)
        except RecordingError as error:
            warnings.warn(f"{error}. The recording itself is read instead", stacklevel=2)
            return self._recorded.read(index, images)


class TrainingLoader:
    """Gives the frames of recordings in batches, in an order that a seed decides.

    Each pass over it is one epoch in an order of its own; the n-th pass is the same with every run, with
    any number of workers. It never holds more than `buffer_bytes` of images, and of a packed file
    (`udacity_gym.recording.pack`) nothing else, however many frames there are.

    Args:
        source: a recording, what `open_recording` takes, or what `pack` gave.
        cameras: which images; a packed file has its own.
        prepare: what is done to each image in the workers; `Downscale()` suits NVIDIA's network.
        batch_size: frames per batch; the last one may have fewer.
        shuffle: False gives the frames in the order of the recording.
        seed: seed of the order.
        workers: threads that decode; 0 decodes when a batch is asked for.
        ahead: batches that are made before they are asked for.
        drop_last: leave out a last batch with fewer frames.
        cache: a file for the prepared images, written on the first use and checked on every other.
            It may be deleted at any time; where it does not fit the recording it is written anew.

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
        prepare: Callable[[Image], Image] | None = None,
        *,
        batch_size: int = 64,
        shuffle: bool = True,
        seed: int = 0,
        workers: int = 2,
        ahead: int = 4,
        drop_last: bool = False,
        cache: str | PathLike[str] | None = None,
    ) -> None:
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("workers", workers, 0),
            ("ahead", ahead, 1),
        ):
            if value < least:
                raise OptionError(f"{name} must be {least} or more, got {value!r}")
        if isinstance(source, (str, PathLike)) or (
            isinstance(source, Sequence) and not isinstance(source, Recording)
        ):
            source = open_recording(source)
        if isinstance(source, Recording):
            source = _frames(source, cameras, prepare, workers, cache)
        elif prepare is not None or cache is not None:
            raise OptionError("a packed file is prepared already: give prepare and cache to pack()")
        self.source: FrameSource = source
        self.batch_size, self.shuffle, self.seed = batch_size, shuffle, seed
        self.workers, self.ahead, self.drop_last = workers, ahead, drop_last
        self._epoch = 0

    def __len__(self) -> int:
        """Batches of an epoch."""
        whole, rest = divmod(len(self.source), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    @property
    def buffer_bytes(self) -> int:
        """Most bytes of images that are held at a time, those of the batch just given included."""
        frame = len(self.source.cameras) * int(np.prod(self.source.shape))
        return frame * self.batch_size * ((self.ahead if self.workers else 0) + 2)

    def __iter__(self) -> Iterator[Batch]:
        self._epoch += 1
        return self.epoch(self._epoch - 1)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch.

        Args:
            number: which; the same number gives the same batches.
        """
        order = Permutation(len(self.source), (self.seed, number)) if self.shuffle else None
        return ordered_map(lambda i: self._make(i, order), range(len(self)), self.workers, self.ahead)

    def _make(self, number: int, order: Permutation | None) -> Batch:
        start = number * self.batch_size
        index = np.arange(start, min(start + self.batch_size, len(self.source)))
        if order is not None:
            index = order(index)
        images: dict[str, Image] = {
            camera: np.empty((len(index), *self.source.shape), np.uint8) for camera in self.source.cameras
        }
        labels = np.empty((len(index), len(LABELS)), np.float64)
        for k, i in enumerate(index.tolist()):
            labels[k] = self.source.read(i, [images[camera][k] for camera in images])
        steering, throttle, brake, speed = labels[:, :4].T.astype(np.float32)
        return Batch(images, steering, throttle, brake, speed, index)


def _frames(
    recording: Recording,
    cameras: Sequence[str],
    prepare: Callable[[Image], Image] | None,
    workers: int,
    cache: str | PathLike[str] | None,
) -> FrameSource:
    frames = RecordedFrames(recording, cameras, prepare)
    if cache is None:
        return frames
    from udacity_gym.recording.pack import pack

    packed = pack(recording, Path(cache), cameras, prepare, workers=workers, reuse=True)
    return _CachedFrames(packed, frames)


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
        """Numbers at some places of the order.

        Args:
            index: (m,) places in [0, n).

        Returns:
            (m,) numbers in [0, n), different for different places.
        """
        found = self._mix(index.astype(np.uint64))
        while (beyond := found >= self.n).any():
            found[beyond] = self._mix(found[beyond])
        return found.astype(np.int64)

    def _mix(self, numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
        left, right = numbers >> self._bits, numbers & self._mask
        for key in self._keys:
            # The finalizer of SplitMix64 (Steele et al. 2014); the product overflows on purpose.
            mixed = (right ^ key) * np.uint64(0xBF58476D1CE4E5B9)
            mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            left, right = right, left ^ ((mixed ^ (mixed >> np.uint64(31))) & self._mask)
        result: NDArray[np.uint64] = (left << self._bits) | right
        return result


def ordered_map(function: Callable[[T], R], items: Iterable[T], workers: int, ahead: int) -> Iterator[R]:
    """``map`` that works ahead in threads, gives results in order, and holds at most ``ahead`` of them.

    Args:
        function: called with each item, from several threads.
        items: taken as results are.
        workers: threads; 0 works when a result is asked for.
        ahead: results that are begun before they are asked for.
    """
    if not workers:
        yield from map(function, items)
        return
    coming: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="recording")
    try:
        for item in items:
            coming.append(pool.submit(function, item))
            if len(coming) > ahead:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
