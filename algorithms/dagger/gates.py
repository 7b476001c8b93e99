"""Gates with learned classifiers. Those that need no network are in `udacity_gym.driving.gates`.

| gate | the expert drives | labelled | source |
|---|---|---|---|
| `SafetyGate` | where a learned classifier says unsafe | those steps | Zhang & Cho 2017 |
| `ThriftyGate` | from a novel or risky state until it is over | those steps | Hoque et al. 2021 |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from algorithms.base import Action, Floats
from udacity_gym.driving.decision import Decision
from udacity_gym.driving.gates import Moment, watched


class Score(Protocol):
    """Says something of a moment by one number, see `algorithms.dagger.heads.Head`."""

    def __call__(self, features: Floats, action: Action, /) -> float:
        """The number.

        Args:
            features: (k,) float32 what the policy's network makes of the image.
            action: what the policy wants, see `Moment.own_action`.
        """
        ...


@dataclass
class SafetyGate:
    """A learned classifier sends the expert where the policy is about to err (Zhang & Cho 2017).

    Only what it calls unsafe is labelled.

    Attributes:
        danger: probability that the policy steers too far from where the expert would.
        threshold: probability from which on a state is unsafe.
    """

    danger: Score
    threshold: float = 0.5
    wants_features = True

    def reset(self, rng: np.random.Generator) -> None:
        """An episode begins; this gate remembers nothing."""

    def decide(self, moment: Moment) -> Decision:
        """Ask the classifier, and the expert only if it says so."""
        danger = self.danger(_features(moment), moment.own_action)
        unsafe = danger >= self.threshold
        return watched(moment, unsafe, moment.expect() if unsafe else None, danger=danger)


@dataclass
class ThriftyGate:
    """The expert is called to novel and risky states, and stays until they are over (Hoque et al. 2021).

    Attributes:
        risk: [0, 1] how surely the car is about to leave the road.
        call_doubt: doubt above which the expert is called.
        call_risk: risk above which the expert is called.
        leave_discrepancy: distance of policy and expert, see `Moment.discrepancy`, below which, ...
        leave_risk: ... together with a risk below this, the expert hands back.
    """

    risk: Score
    call_doubt: float
    call_risk: float
    leave_discrepancy: float
    leave_risk: float
    wants_features = True

    def reset(self, rng: np.random.Generator) -> None:
        """An episode begins, with the policy at the wheel."""
        self._called = False

    def decide(self, moment: Moment) -> Decision:
        """Call the expert, or let it go."""
        doubt = moment.doubt or 0.0
        risk = self.risk(_features(moment), moment.own_action)
        if self._called:
            self._called = moment.discrepancy() >= self.leave_discrepancy or risk > self.leave_risk
        else:
            self._called = doubt > self.call_doubt or risk > self.call_risk
        return watched(moment, self._called, moment.expect() if self._called else None, risk=risk)


def _features(moment: Moment) -> Floats:
    assert moment.features is not None, "a driver gives features to gates that want them"
    return moment.features
