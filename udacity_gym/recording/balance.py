"""Balance of steering: most frames of a recording go straight, so its histogram has a peak at 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from udacity_gym.errors import OptionError

BINS = 25
"""Bins over [-1, 1]; odd, so that 0 is in the middle of one."""


def steering_histogram(
    steering: NDArray[np.floating], bins: int = BINS
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The bin of each frame, and the frames of each bin.

    Args:
        steering: (n,) [-1, 1].
        bins: number of bins of equal width over [-1, 1].

    Returns:
        (n,) the bin of each frame, and (bins,) the number of frames in each bin.
    """
    bin_of = np.clip(((steering + 1.0) * (bins / 2)).astype(np.int64), 0, bins - 1)
    return bin_of, np.bincount(bin_of, minlength=bins)


def balance_weights(steering: NDArray[np.floating], strength: float, bins: int = BINS) -> NDArray[np.float64]:
    """Weights that flatten the histogram of steering.

    Args:
        steering: (n,) [-1, 1].
        strength: 0 leaves the histogram as it is, 1 makes all bins that have frames equally likely.
        bins: see `steering_histogram`.

    Returns:
        (n,) weights with mean 1.
    """
    if not len(steering):
        return np.ones(0)
    bin_of, counts = steering_histogram(steering, bins)
    weights = counts[bin_of].astype(np.float64) ** -strength
    normalized: NDArray[np.float64] = weights / weights.mean()
    return normalized


def balanced(
    steering: NDArray[np.floating], bins: int = BINS, keep: int | None = None, seed: int = 0
) -> NDArray[np.bool_]:
    """Which frames to keep so that no bin of the histogram has more than ``keep``, at random.

    Args:
        steering: (n,) [-1, 1].
        bins: see `steering_histogram`.
        keep: most frames of a bin; None takes the mean of the bins that have any.
        seed: seed of the random choice.

    Returns:
        (n,) bool.

    Raises:
        OptionError: An argument is out of range.
    """
    if bins < 1 or (keep is not None and keep < 1):
        raise OptionError(f"bins and keep must be 1 or more, got {bins} and {keep}")
    if not len(steering):
        return np.ones(0, np.bool_)
    bin_of, counts = steering_histogram(steering, bins)
    most = keep if keep is not None else int(np.ceil(counts[counts > 0].mean()))
    order = np.random.default_rng(seed).permutation(len(steering))
    by_bin = order[np.argsort(bin_of[order], kind="stable")]
    rank_in_bin = np.arange(len(steering)) - np.concatenate([[0], np.cumsum(counts)])[bin_of[by_bin]]
    kept = np.zeros(len(steering), bool)
    kept[by_bin[rank_in_bin < most]] = True
    return kept
