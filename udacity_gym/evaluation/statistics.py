"""Means with 95 % confidence intervals, correlations, histogram distance, without SciPy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from udacity_gym.errors import OptionError

CONFIDENCE = 0.95
RESAMPLES = 10_000
STEERING_BINS = np.linspace(-1.0, 1.0, 42)
"""Edges of the 41 bins in which steering is compared; the middle one, a twentieth wide, is straight on."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate with its confidence interval.

    Attributes:
        value: estimated value; NaN without measurements.
        low, high: ends of the 95 % interval; equal to the value if all measurements agree, NaN if there are
            too few of them.
        n: number of measurements.
    """

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return self.text()

    def text(self, digits: int = 2, scale: float = 1.0) -> str:
        """Format as "1.23 [1.10, 1.36]", or as "1.23" without an interval.

        Args:
            digits: number of decimals.
            scale: factor of all values, such as 100 for per cent.
        """
        if math.isnan(self.value):
            return "-"
        value = f"{self.value * scale:.{digits}f}"
        if math.isnan(self.low):
            return value
        return f"{value} [{self.low * scale:.{digits}f}, {self.high * scale:.{digits}f}]"


def mean_estimate(
    values: ArrayLike, lowest: float = -math.inf, highest: float = math.inf, confidence: float = CONFIDENCE
) -> Estimate:
    """Mean with the interval of Student's t: mean +- t(n-1) s / sqrt(n).

    The interval is exact for normally distributed measurements and approximate otherwise. It is cut at the
    limits. Identical drives give an interval of no width, which holds for these starts and seeds only.

    Args:
        values: (n,) independent measurements; NaN is ignored.
        lowest: smallest possible value.
        highest: largest possible value.
        confidence: probability that such an interval contains the true mean, (0, 1).
    """
    measured = np.asarray(values, np.float64).ravel()
    measured = measured[~np.isnan(measured)]
    n = len(measured)
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    mean = float(measured.mean())
    if n == 1 or not math.isfinite(mean):
        return Estimate(mean, math.nan, math.nan, n)
    half = student_t(confidence, n - 1) * float(measured.std(ddof=1)) / math.sqrt(n)
    return Estimate(mean, max(lowest, mean - half), min(highest, mean + half), n)


def wilson_estimate(successes: int, trials: int, confidence: float = CONFIDENCE) -> Estimate:
    """Share of successes with Wilson's score interval (Wilson 1927), which holds for few trials, too.

    Ten of ten give [0.72, 1], where the interval of Student's t has no width.

    Args:
        successes: number of successes.
        trials: number of independent trials.
        confidence: probability that such an interval contains the true share, (0, 1).

    Raises:
        OptionError: There are more successes than trials, or fewer than 0.
    """
    if not 0 <= successes <= trials:
        raise OptionError(f"successes must be from 0 to {trials} trials, got {successes}")
    if trials == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, weight = successes / trials, z**2 / trials
    middle = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / trials + weight / (4 * trials))
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    high = 1.0 if successes == trials else min(1.0, middle + half)
    return Estimate(share, low, high, trials)


def difference(new: Estimate, old: Estimate) -> Estimate:
    """Difference of two independent estimates, with an interval made of theirs.

    The interval is that of Newcombe 1998 (method 10) for shares with Wilson's intervals, and of Zou & Donner
    2008 for any estimates: the distances from the values to the ends are added in squares.

    Args:
        new: is subtracted from.
        old: is subtracted.
    """
    value = new.value - old.value
    down = math.hypot(new.value - new.low, old.high - old.value)
    up = math.hypot(new.high - new.value, old.value - old.low)
    return Estimate(value, value - down, value + up, min(new.n, old.n))


def student_t(confidence: float, degrees: int) -> float:
    """Two-sided quantile of Student's t distribution, such as 2.776 for 0.95 and 4 degrees.

    The distribution function is the finite series for whole degrees of freedom (Abramowitz & Stegun 1964,
    26.7.3 and 26.7.4).

    Args:
        confidence: probability of [-t, t], (0, 1).
        degrees: degrees of freedom, 1 or more.

    Raises:
        OptionError: An argument is out of range.
    """
    if not 0 < confidence < 1 or degrees < 1:
        raise OptionError(f"confidence must be in (0, 1) and degrees 1 or more, got {confidence}, {degrees}")
    low, high = 0.0, 1.0
    while _within(high, degrees) < confidence:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, degrees) < confidence else (low, middle)
    return (low + high) / 2


def _within(t: float, degrees: int) -> float:
    """Probability that Student's t lies in [-t, t]."""
    angle = math.atan(t / math.sqrt(degrees))
    cosine = math.cos(angle)
    odd = degrees % 2
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for k in range(2 + odd, degrees + 1, 2):
        total += term
        term *= cosine**2 * (k - 1) / k
    return 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total


def bootstrap_estimate(
    statistic: Callable[..., float],
    *columns: ArrayLike,
    groups: ArrayLike | None = None,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """A statistic with its percentile bootstrap interval (Efron & Tibshirani 1993, section 13.3).

    Args:
        statistic: function of the columns, such as `spearman`.
        *columns: (n,) each; corresponding rows are drawn together.
        groups: (n,) labels of rows that are not independent, such as checkpoints of one training. Whole
            groups are then drawn (section 8.3, one level up). None draws single rows.
        confidence: share of the resamples within the interval, (0, 1).
        resamples: number of resamples.
        seed: seed of the draws.

    Raises:
        OptionError: The columns have different lengths or are empty.
    """
    arrays = [np.asarray(column) for column in columns]
    n = len(arrays[0]) if arrays else 0
    if n == 0 or any(len(array) != n for array in arrays):
        raise OptionError(f"columns must have the same length above 0, got {[len(a) for a in arrays]}")
    labels = np.arange(n) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1].ravel()
    members = [np.flatnonzero(labels == label) for label in range(int(labels.max()) + 1)]
    rng = np.random.default_rng(seed)
    resampled = []
    for _ in range(resamples):
        rows = np.concatenate([members[k] for k in rng.integers(len(members), size=len(members))])
        resampled.append(statistic(*(array[rows] for array in arrays)))
    valid = np.asarray(resampled)[~np.isnan(resampled)]
    value = float(statistic(*arrays))
    if len(members) < 2 or not len(valid):
        return Estimate(value, math.nan, math.nan, n)
    tail = (1 - confidence) / 2
    low, high = np.quantile(valid, [tail, 1 - tail])
    return Estimate(value, float(low), float(high), n)


def correlation(x: ArrayLike, y: ArrayLike) -> float:
    """Pearson's correlation.

    Returns:
        [-1, 1]; NaN if one of them is constant.
    """
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    return float(np.corrcoef(a, b)[0, 1])


def spearman(x: ArrayLike, y: ArrayLike) -> float:
    """Spearman's rank correlation, ties at their mean rank (Spearman 1904).

    Returns:
        [-1, 1]; NaN if one of them is constant.
    """
    return correlation(_ranks(np.asarray(x, np.float64)), _ranks(np.asarray(y, np.float64)))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_rank: NDArray[np.float64] = last - (counts - 1) / 2
    return mean_rank[inverse.ravel()]


def bhattacharyya(a: ArrayLike, b: ArrayLike, bins: Sequence[float] | NDArray[Any] = STEERING_BINS) -> float:
    """Bhattacharyya distance of the histograms of two samples: -ln sum sqrt(p q) (Bhattacharyya 1943).

    Args:
        a: (n,) values, such as the steering of a policy.
        b: (m,) values, such as a human's.
        bins: edges of the bins; values outside count for the outer bins.

    Returns:
        0 for equal histograms, infinity for histograms without a common bin.

    Raises:
        OptionError: A sample is empty.
    """
    edges = np.asarray(bins, np.float64)
    shares = []
    for values in (a, b):
        sample = np.asarray(values, np.float64).ravel()
        if not len(sample):
            raise OptionError("there are no values to compare")
        shares.append(np.histogram(np.clip(sample, edges[0], edges[-1]), edges)[0] / len(sample))
    overlap = float(np.sqrt(shares[0] * shares[1]).sum())
    return max(0.0, -math.log(overlap)) if overlap > 0 else math.inf
