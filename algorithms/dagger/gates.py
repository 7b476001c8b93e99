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
    """A function that scores a moment by one number, see `algorithms.dagger.heads.Head`."""

    def __call__(self, features: Floats, action: Action, /) -> float:
        """Compute the score.

        Args:
            features: (k,) float32 features of the policy's network.
            action: the policy's action, see `Moment.own_action`.
        """
        ...


@dataclass
class SafetyGate:
    """The expert drives where a learned classifier predicts an error of the policy (Zhang & Cho 2017).

    Only unsafe steps are labelled.

    Attributes:
        danger: probability that the policy's steering is too far from the expert's.
        threshold: minimum probability of an unsafe state.
    """

    danger: Score
    threshold: float = 0.5
    wants_features = True

    def reset(self, rng: np.random.Generator) -> None:
        """Begin an episode; this gate has no state."""

    def decide(self, moment: Moment) -> Decision:
        """Ask the classifier, and the expert only if the state is unsafe."""
        danger = self.danger(_features(moment), moment.own_action)
        unsafe = danger >= self.threshold
        return watched(moment, unsafe, moment.expect() if unsafe else None, danger=danger)


@dataclass
class ThriftyGate:
    """The expert drives from a novel or risky state until it is over (Hoque et al. 2021).

    Attributes:
        risk: [0, 1] how likely the car is to leave the road soon.
        call_doubt: doubt above which the expert is called.
        call_risk: risk above which the expert is called.
        leave_discrepancy: the expert hands back below this discrepancy, see `Moment.discrepancy`, if the risk
            is low too.
        leave_risk: greatest risk at which the expert hands back.
        max_expert_steps: steps that the expert drives at most with this gate, over all episodes, after which
            the policy drives alone; None sets no limit. Each rollout has a copy of the gate.
    """

    risk: Score
    call_doubt: float
    call_risk: float
    leave_discrepancy: float
    leave_risk: float
    max_expert_steps: int | None = None
    wants_features = True

    def __post_init__(self) -> None:
        self._expert_steps = 0

    def reset(self, rng: np.random.Generator) -> None:
        """Begin an episode; the policy drives first."""
        self._called = False

    def decide(self, moment: Moment) -> Decision:
        """Let the expert take over, or hand back."""
        doubt = moment.doubt or 0.0
        risk = self.risk(_features(moment), moment.own_action)
        if self.max_expert_steps is not None and self._expert_steps >= self.max_expert_steps:
            self._called = False
        elif self._called:
            self._called = moment.discrepancy() >= self.leave_discrepancy or risk > self.leave_risk
        else:
            self._called = doubt > self.call_doubt or risk > self.call_risk
        self._expert_steps += self._called
        return watched(moment, self._called, moment.expect() if self._called else None, risk=risk)


def _features(moment: Moment) -> Floats:
    assert moment.features is not None, "a driver gives features to gates with wants_features"
    return moment.features
