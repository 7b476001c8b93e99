"""Thresholds of gates from rows that the policy was not trained on.

On its training rows a policy hardly errs, and the members of an ensemble agree, so a threshold that is taken
from them is too low. One that is chosen by hand may never be reached. Rows that were held out show what is
usual.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from algorithms.base import Floats
from udacity_gym.checks import check_number
from udacity_gym.errors import OptionError

HELD_OUT_GAP = 0.5
"""s between the rows that are trained on and the rows that are held out."""


def conformal_threshold(scores: Floats | NDArray[np.float64], share: float) -> float:
    """Threshold that a new score exceeds with a probability of at most ``share``.

    Split conformal prediction (Vovk et al. 2005; Angelopoulos & Bates 2023, section 1): the k-th smallest of
    n held-out scores, with ``k = ceil((n + 1) (1 - share))``. The promise holds for new scores that are
    distributed as the held-out ones, and with at least ``1 / share - 1`` of these; with fewer, the threshold
    is the greatest of them.

    Args:
        scores: (n,) held-out scores, such as doubts.
        share: (0, 1].

    Raises:
        OptionError: There are no scores, or the share is out of range.
    """
    check_number("share", share, 0.0, 1.0, positive=True)
    if not len(scores):
        raise OptionError("a threshold needs rows that were held out; give more demonstrations")
    k = math.ceil((len(scores) + 1) * (1.0 - share) - 1e-9)
    return float(np.sort(scores)[min(max(k, 1), len(scores)) - 1])


@dataclass(frozen=True, eq=False)
class Limit:
    """A limit that new scores exceed with a probability that may change from step to step.

    Attributes:
        scores: (n,) held-out scores, see `conformal_threshold`; without any, the limit is ``least``.
        least: smallest limit.
    """

    scores: Floats | NDArray[np.float64]
    least: float = -math.inf

    def at(self, share: float) -> float:
        """The limit for a probability; no score exceeds that for a share of 0 or less."""
        if share <= 0.0:
            return math.inf
        return max(conformal_threshold(self.scores, share), self.least) if len(self.scores) else self.least
