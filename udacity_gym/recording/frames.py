"""Frames of recordings for training: decoding, a cache of images, and threads.

Training stands on this module. `udacity_gym.recording.loader` makes shuffled batches of whole frames,
`algorithms.training` makes augmented batches for our learners.
"""

from __future__ import annotations

import bisect
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from udacity_gym.errors import OptionError, RecordingError
from udacity_gym.recording.episodes import Episode, Recording
from udacity_gym.telemetry import Image

T = TypeVar("T")
R = TypeVar("R")

Prepare: TypeAlias = Callable[[Image], Image]
"""What is done to a decoded image, such as `udacity_gym.recording.Downscale`. It raises OptionError for an
image that it can't prepare."""

FRAME_NUMBERS = ("steering", "throttle", "brake", "speed", "time", "row")
"""Numbers of a frame, in the order of the sources."""


class FrameSource(Protocol):
    """Source of frames: a recording or a packed file."""

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
            (6,) float64 as `FRAME_NUMBERS` says.
        """
        ...


class ImageCache:
    """Cache of prepared images: decoded on first access, and kept within a memory budget.

    Images beyond the budget are decoded at each access, so memory is bounded: a 66x200 image takes 39.6 kB,
    2000 frames of three cameras 238 MB. Learners on growing data share one cache, so that each image is
    decoded once. Several threads may use the cache at once if its budget is 0.

    Attributes:
        prepare: preprocessing of each decoded image, None for none.
        memory_budget: maximum number of bytes of images that are kept.
        nbytes: number of bytes of images that are kept at present.
    """

    def __init__(self, prepare: Prepare | None, memory_budget: float = 0) -> None:
        self.prepare, self.memory_budget = prepare, memory_budget
        self.nbytes = 0
        self._images: dict[tuple[str, str], Image] = {}

    def __len__(self) -> int:
        """Images that are kept."""
        return len(self._images)

    def image(self, episode: Episode, index: int, camera: str) -> Image:
        """A prepared image of a frame, not to be changed.

        Args:
            episode: whose frame.
            index: number of the frame within the episode.
            camera: one of the episode's cameras.

        Returns:
            What `prepare` makes of the (height, width, 3) uint8 RGB image.

        Raises:
            RecordingError: The image can't be read, or can't be prepared.
        """
        key = (str(episode.log), episode.name(camera, index))
        image = self._images.get(key)
        if image is None:
            image = self._decode(episode, index, camera)
            if self.nbytes + image.nbytes <= self.memory_budget:
                image = self._images[key] = image.copy()  # it may be a part of the whole image
                self.nbytes += image.nbytes
        return image

    def _decode(self, episode: Episode, index: int, camera: str) -> Image:
        frame = episode[index]
        image = frame.image(camera)
        if self.prepare is None:
            return image
        try:
            return self.prepare(image)
        except OptionError as error:
            name = episode.name(camera, index)
            raise RecordingError(f"{episode.log}, row {frame.row}, {camera}: {name}: {error}") from error


class RecordedFrames:
    """Frames of a recording, decoded and prepared at each access.

    Args:
        recording: the recording.
        cameras: cameras of the images.
        prepare: preprocessing of each image; all results must have the same shape.

    Raises:
        OptionError: The recording has no such camera.
        RecordingError: The recording has no frame, or its first image can't be read or prepared.
    """

    def __init__(
        self, recording: Recording, cameras: Sequence[str] = ("center",), prepare: Prepare | None = None
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
        self._images = ImageCache(prepare)
        self._ends = list(itertools.accumulate(map(len, recording.episodes)))
        first = self._images.image(*self.locate(0), self.cameras[0])
        self.shape: tuple[int, int, int] = (first.shape[0], first.shape[1], first.shape[2])

    def __len__(self) -> int:
        return self._ends[-1]

    def locate(self, index: int) -> tuple[Episode, int]:
        """The episode of a frame, and the frame's number in it."""
        number = bisect.bisect_right(self._ends, index)
        return self.recording.episodes[number], index - (self._ends[number - 1] if number else 0)

    def read(self, index: int, images: Sequence[Image]) -> NDArray[np.float64]:
        """Read a frame, see `FrameSource.read`.

        Raises:
            RecordingError: An image can't be read, or has another shape than the others.
        """
        episode, i = self.locate(index)
        for camera, out in zip(self.cameras, images, strict=True):
            image = self._images.image(episode, i, camera)
            if image.shape != self.shape:
                raise RecordingError(
                    f"{episode.log}, row {episode.row[i]}, {camera}: an image of shape {image.shape} "
                    f"where the first has {self.shape}; recording.without(recording.check()) lacks such rows"
                )
            out[...] = image
        return np.array([getattr(episode, name)[i] for name in FRAME_NUMBERS], np.float64)


def ordered_map(function: Callable[[T], R], items: Iterable[T], workers: int, prefetch: int) -> Iterator[R]:
    """``map`` in threads: results come in order, and at most ``prefetch`` of them wait to be used.

    Decoding and scaling images release Python's global lock, so that threads use all cores without copying
    images between processes.

    Args:
        function: called with each item, from several threads; with one worker, one item after the other.
        items: taken as results are.
        workers: number of threads; 0 calls the function in the calling thread.
        prefetch: number of results that are computed in advance.
    """
    if not workers:
        yield from map(function, items)
        return
    results: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="recording")
    try:
        for item in items:
            results.append(pool.submit(function, item))
            if len(results) > prefetch:
                yield results.popleft().result()
        while results:
            yield results.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
