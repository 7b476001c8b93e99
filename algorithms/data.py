"""Driving data for learners: recordings as columns in memory, pictures on disk or in a bounded store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from algorithms.preprocessing import Preprocessing
from udacity_gym.errors import OptionError, RecordingError
from udacity_gym.telemetry import Image

if TYPE_CHECKING:
    from udacity_gym.recording import Episode, Recording

Floats: TypeAlias = NDArray[np.float32]
Indices: TypeAlias = NDArray[np.int64]
T = TypeVar("T")


@dataclass(frozen=True)
class Frames:
    """Rows of recordings as columns, in order of episode and time. The pictures stay on disk.

    Attributes:
        episodes: the episodes that the rows come from.
        episode: (n,) index into ``episodes``.
        index: (n,) index within the episode.
        time: (n,) s since the episode began.
        steering: (n,) [-1, 1], positive turns right.
        throttle: (n,) [-1, 1], throttle minus brake, the meaning of the env's second action.
        speed: (n,) m/s.
    """

    episodes: tuple[Episode, ...]
    episode: Indices
    index: Indices
    time: NDArray[np.float64]
    steering: Floats
    throttle: Floats
    speed: Floats

    @classmethod
    def of(cls, recordings: Sequence[Recording]) -> Frames:
        """Gather the rows of recordings.

        Raises:
            RecordingError: There is no row at all.
        """
        episodes = tuple(
            episode for recording in recordings for episode in recording.episodes if len(episode)
        )
        if not episodes:
            where = ", ".join(str(recording.path) for recording in recordings) or "no recording was given"
            raise RecordingError(f"nothing to learn from: no usable rows ({where})")
        lengths = [len(episode) for episode in episodes]
        return cls(
            episodes=episodes,
            episode=np.repeat(np.arange(len(episodes)), lengths),
            index=np.concatenate([np.arange(n) for n in lengths]),
            time=np.concatenate([np.asarray(e.time, np.float64) for e in episodes]),
            steering=np.concatenate([np.asarray(e.steering, np.float32) for e in episodes]),
            throttle=np.concatenate([np.asarray(e.throttle - e.brake, np.float32) for e in episodes]),
            speed=np.concatenate([np.asarray(e.speed, np.float32) for e in episodes]),
        )

    def __len__(self) -> int:
        return len(self.index)

    @property
    def cameras(self) -> tuple[str, ...]:
        """Cameras that every episode has pictures of."""
        return tuple(c for c in self.episodes[0].cameras if all(c in e.cameras for e in self.episodes))

    @property
    def recorded_steering(self) -> Floats:
        """(n,) steering as it was recorded, however `steering` has been smoothed."""
        rows = zip(self.episode.tolist(), self.index.tolist(), strict=True)
        return np.array([self.episodes[e].steering[i] for e, i in rows], np.float32)

    def image(self, row: int, camera: str) -> Image:
        """Read the picture of one row.

        Returns:
            (height, width, 3) uint8 RGB.

        Raises:
            RecordingError: The picture can't be read.
        """
        return self.episodes[int(self.episode[row])][int(self.index[row])].image(camera)

    def take(self, rows: Indices | slice) -> Frames:
        """Some of the rows, in the given order."""
        columns = ("episode", "index", "time", "steering", "throttle", "speed")
        return replace(self, **{name: getattr(self, name)[rows] for name in columns})

    def split(self, validation: float, gap: float) -> tuple[Frames, Frames]:
        """Split into what comes first, to train on, and what comes last, to validate on.

        Frames are never shuffled before the split: neighbours in time are nearly the same picture,
        and a shuffled split would validate on what was trained on.

        Args:
            validation: share of the rows that come last.
            gap: s before the first validation row that nothing is trained on.

        Returns:
            Training rows and validation rows.

        Raises:
            OptionError: One of them would be empty.
        """
        if not 0.0 <= validation < 1.0 or gap < 0.0:
            raise OptionError(
                f"validation={validation} must lie in [0, 1) and gap={gap} s must not be negative"
            )
        cut = len(self) - round(len(self) * validation)
        if cut == len(self):
            return self, self.take(slice(cut, None))
        near = (self.episode[:cut] == self.episode[cut]) & (self.time[:cut] > self.time[cut] - gap)
        train = self.take(np.flatnonzero(~near))
        if not len(train):
            raise OptionError(
                f"{len(self)} rows are too few to train on {1 - validation:.0%} of them with a gap of {gap} s"
            )
        return train, self.take(slice(cut, None))

    def smoothed(self, seconds: float) -> Frames:
        """Steering averaged over a centred window, never across episodes or cuts.

        A keyboard knows full left, nothing and full right; its average over a moment is closer to what
        the driver meant than any single row.

        Args:
            seconds: s, whole width of the window; 0 changes nothing.
        """
        if seconds <= 0.0 or len(self) < 2:
            return self
        ends = np.flatnonzero((np.diff(self.episode) != 0) | (np.diff(self.index) != 1)) + 1
        steering = self.steering.copy()
        for rows in np.split(np.arange(len(self)), ends):
            time, summed = (
                self.time[rows],
                np.concatenate([[0.0], np.cumsum(self.steering[rows], dtype=np.float64)]),
            )
            first = np.searchsorted(time, time - seconds / 2 - 1e-6)
            last = np.searchsorted(time, time + seconds / 2 + 1e-6)
            steering[rows] = (summed[last] - summed[first]) / (last - first)
        return replace(self, steering=steering)


def balance_weights(steering: Floats, strength: float, bins: int = 25) -> NDArray[np.float64]:
    """Weights that flatten the histogram of steering, whose peak is at zero.

    Args:
        steering: (n,) labels in [-1, 1].
        strength: 0 leaves the histogram as it is, 1 makes every bin that is not empty equally likely.
        bins: number of bins over [-1, 1]; odd, so that zero lies in the middle of one.

    Returns:
        (n,) weights with mean 1.
    """
    bin_of = np.clip(((steering + 1.0) * (bins / 2)).astype(np.int64), 0, bins - 1)
    weights = np.bincount(bin_of, minlength=bins)[bin_of].astype(np.float64) ** -strength
    normalized: NDArray[np.float64] = weights / weights.mean()
    return normalized


def motion_weights(speed: Floats) -> NDArray[np.float64]:
    """Weights that leave out standing and creeping: nobody shall learn to wait where a recording began.

    Args:
        speed: (n,) m/s.

    Returns:
        (n,) weights that rise from 0 for a car that stands to 1 at half of the median speed; all 1 for
        a recording that does not know its speed.
    """
    enough = 0.5 * float(np.median(speed))
    if enough <= 0.0:
        return np.ones(len(speed))
    weights: NDArray[np.float64] = np.clip(speed.astype(np.float64) / enough, 0.0, 1.0)
    return weights


def draw(weights: NDArray[np.float64], rng: np.random.Generator) -> Indices:
    """Draw as many rows as there are weights, each as often as its weight says, in random order.

    Systematic resampling: a row of weight w comes floor(w) or ceil(w) times, so with all weights
    equal every row comes exactly once.

    Args:
        weights: (n,) not negative.
        rng: where the randomness comes from.

    Returns:
        (n,) row numbers.
    """
    n = len(weights)
    ticks = np.cumsum(weights)
    rows = np.searchsorted(ticks, (np.arange(n) + rng.random()) * (ticks[-1] / n), side="right")
    drawn: Indices = rng.permutation(np.minimum(rows, n - 1))
    return drawn


class PictureStore:
    """Prepared pictures, decoded when first wanted and kept as far as a memory budget allows.

    What does not fit is decoded anew each time, so memory stays within the budget however long the
    recording is: one 66x200 picture takes 39.6 kB, 2000 rows of three cameras 238 MB.

    Attributes:
        capacity: how many pictures are kept.
    """

    def __init__(
        self, frames: Frames, cameras: Sequence[str], preprocessing: Preprocessing, memory_budget: float
    ) -> None:
        """Make an empty store.

        Args:
            frames: the rows.
            cameras: the cameras whose pictures will be asked for.
            preprocessing: what is done to a picture before it is kept.
            memory_budget: bytes.
        """
        self.frames, self.cameras, self.preprocessing = frames, tuple(cameras), preprocessing
        shape = (*preprocessing.size, 3)
        self.capacity = min(len(frames) * len(self.cameras), int(memory_budget // np.prod(shape)))
        # Zeroed pages cost nothing before they are written to.
        self._kept: Image = np.zeros((self.capacity, *shape), np.uint8)
        self._known = np.zeros(self.capacity, np.bool_)

    @property
    def nbytes(self) -> int:
        """Bytes that the store takes when full."""
        return self._kept.nbytes

    def take(self, rows: Indices, cameras: Indices) -> Image:
        """Prepared pictures of some rows.

        Args:
            rows: (n,) row numbers.
            cameras: (n,) indices into ``cameras``.

        Returns:
            (n, height, width, 3) uint8, a fresh array.

        Raises:
            RecordingError: A picture can't be read or has another size than the preprocessing expects.
        """
        out: Image = np.empty((len(rows), *self._kept.shape[1:]), np.uint8)
        for k, (row, camera) in enumerate(zip(rows.tolist(), cameras.tolist(), strict=True)):
            slot = row * len(self.cameras) + camera
            if slot >= self.capacity:
                out[k] = self._decode(row, camera)
                continue
            if not self._known[slot]:
                self._kept[slot] = self._decode(row, camera)
                self._known[slot] = True
            out[k] = self._kept[slot]
        return out

    def _decode(self, row: int, camera: int) -> Image:
        image = self.frames.image(row, self.cameras[camera])
        found, wanted = image.shape[:2], self.preprocessing.picture
        if found != wanted:
            episode, index = self.frames.episodes[int(self.frames.episode[row])], int(self.frames.index[row])
            raise RecordingError(
                f"{episode.path(self.cameras[camera], index)}: {found[0]}x{found[1]} px, but "
                f"Preprocessing.picture says {wanted[0]}x{wanted[1]}"
            )
        return self.preprocessing.prepare(image)


def ahead(make: Callable[[int], T], count: int) -> Iterator[T]:
    """``make(0)`` to ``make(count - 1)``, each made in another thread while its predecessor is used.

    One result is made ahead, one after the other, so memory is bounded and the order of random
    draws in ``make`` is fixed.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        coming = pool.submit(make, 0) if count else None
        for i in range(count):
            assert coming is not None
            ready = coming.result()
            coming = pool.submit(make, i + 1) if i + 1 < count else None
            yield ready
