"""Split the rows of a log into drives and episodes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from udacity_gym.errors import RecordingError
from udacity_gym.telemetry import Image

MOST_RUNS = 200
"""Maximum number of times that the clock runs backwards between drives; more is disorder within one drive."""
_MEAN_RUN = 4
"""Minimum mean number of rows between two such times."""
_INTERLEAVED = 3
"""Minimum number of rows that each of two drives has while the other is going on."""

_FIRST_IMAGES = 3
"""Number of images at the beginning of an episode that its last image is compared with."""
_STEP_IMAGES = 8
"""Number of images before the last from which the usual difference of two images is taken."""
_LEAST_DIFFERENCE = 3.0
"""Mean difference of two images, levels of 255, below which they show the same."""


def drives_of(time: NDArray[np.float64]) -> NDArray[np.int64]:
    """Find drives that overlap in time, as when the logs of two machines were put into one file.

    Rows of one drive may be out of order: these are sorted. But where the clock jumps back into a drive, and
    many rows of both lie between each other, sorting would mix two drives.

    Args:
        time: (n,) ms, in the order of the file.

    Returns:
        (n,) number of the drive of each row, from 0.
    """
    drive = np.zeros(len(time), np.int64)
    cuts = np.flatnonzero(np.diff(time) < 0) + 1
    if not 0 < len(cuts) < MOST_RUNS or len(time) < _MEAN_RUN * (len(cuts) + 1):
        return drive
    runs = np.split(time, cuts)
    drives: list[list[int]] = []
    number_of = []
    for index, run in enumerate(runs):
        for number in reversed(range(len(drives))):
            if not any(_are_interleaved(run, runs[other]) for other in drives[number]):
                drives[number].append(index)
                break
        else:
            number = len(drives)
            drives.append([index])
        number_of.append(number)
    return np.repeat(np.array(number_of, np.int64), [len(run) for run in runs])


def _are_interleaved(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    """Whether many rows of both lie between rows of the other. Both are ascending."""
    return all(
        np.searchsorted(x, y[-1]) - np.searchsorted(x, y[0], side="right") >= _INTERLEAVED
        for x, y in ((a, b), (b, a))
    )


def ends_with_start_pose(count: int, read: Callable[[int], Image]) -> bool:
    """Whether the last image of an episode shows the start of the episode.

    The simulator renders after the drive, putting the car back pose by pose. Its last image is often that of
    the start, or of a step or two after it. Then it is the same as the first image, or the image before
    differs from it much more than the first images of the episode do, and much more than two images of this
    drive usually differ.

    Args:
        count: number of rows of the episode.
        read: reads the center image of a row; may raise RecordingError, then the image is not compared.
    """
    if count < 3:
        return False

    def images(rows: Sequence[int]) -> list[NDArray[np.int16] | None]:
        read_images: list[NDArray[np.int16] | None] = []
        for row in rows:
            try:
                read_images.append(read(row).astype(np.int16))
            except RecordingError:  # noqa: PERF203 - a broken image is reported on access
                read_images.append(None)
        return read_images

    last, *ending = images(range(count - 1, max(-1, count - 2 - _STEP_IMAGES), -1))
    to_before = _difference(last, ending[0])
    if not to_before > _LEAST_DIFFERENCE:
        return False
    steps = [_difference(a, b) for a, b in itertools.pairwise(ending)]
    firsts = images(range(min(_FIRST_IMAGES, count - 2)))
    to_first = [_difference(last, first) for first in firsts]
    usual = float(np.nanmedian(steps)) if not np.isnan(steps).all() else math.inf
    if np.isnan(to_first).all():
        return False
    is_first = to_first[0] < _LEAST_DIFFERENCE and to_before > 2.0 * to_first[0] + _LEAST_DIFFERENCE
    return is_first or bool(to_before > 1.8 * np.nanmin(to_first) and to_before > 2.0 * usual)


def _difference(a: NDArray[np.int16] | None, b: NDArray[np.int16] | None) -> float:
    """Mean difference of two images, levels of 255; NaN if they can't be compared."""
    if a is None or b is None or a.shape != b.shape:
        return float("nan")
    return float(np.abs(a - b).mean())
