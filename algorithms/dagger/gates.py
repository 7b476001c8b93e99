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
from algorithms.dagger.calibration import Limit
from udacity_gym.driving.decision import Decision
from udacity_gym.driving.gates import Moment, policy_or_intervention

RESERVE = 15
"""Steps that the allowance of an expert grows to: a second."""
CREDIT = 45
"""Steps that an expert may drive beyond its allowance, to end what it has begun: three seconds."""


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
        return policy_or_intervention(moment, unsafe, moment.expect() if unsafe else None, danger=danger)


@dataclass
class ThriftyGate:
    """The expert drives from a novel or risky state until it is over, within a budget (Hoque et al. 2021).

    The expert is called where doubt or risk exceed quantiles of earlier states: each of them in half of the
    budget's share of such states. As calls last, and states change, the shares adapt to how much the expert
    has driven, as in adaptive conformal inference (Gibbs & Candes 2021, https://arxiv.org/abs/2106.00170).
    The expert has an allowance of steps: each step adds ``budget`` to it, up to `RESERVE`, and each step of
    the expert takes 1. The less is left, the more novel or risky a state must be to call, and with nothing
    left nobody is called. The expert stays until the state is over, or until it owes `CREDIT` steps.

    So in any n steps it drives at most ``budget * n + RESERVE + CREDIT`` of them, spread over all. Each
    rollout has a copy of the gate, with an allowance of its own.

    Attributes:
        risk: [0, 1] how likely the car is to leave the road soon.
        call_doubt: limit of the doubt above which the expert is called.
        call_risk: limit of the risk above which the expert is called.
        leave_discrepancy: the expert hands back below this discrepancy, see `Moment.discrepancy`, if the risk
            is low too.
        leave_risk: greatest risk at which the expert hands back.
        budget: (0, 1] share of the steps that the expert may drive.
    """

    risk: Score
    call_doubt: Limit
    call_risk: Limit
    leave_discrepancy: float
    leave_risk: float
    budget: float
    wants_features = True

    def __post_init__(self) -> None:
        self._allowance = float(RESERVE)

    def reset(self, rng: np.random.Generator) -> None:
        """Begin an episode; the policy drives first. The allowance stays."""
        self._called = False

    def decide(self, moment: Moment) -> Decision:
        """Let the expert take over, or hand back."""
        doubt = moment.doubt or 0.0
        risk = self.risk(_features(moment), moment.own_action)
        share = self.budget / 2 * self._allowance / RESERVE
        if self._called:
            is_over = moment.discrepancy() < self.leave_discrepancy and risk <= self.leave_risk
            self._called = not is_over and self._allowance + self.budget - 1 >= -CREDIT
        else:
            self._called = doubt > self.call_doubt.at(share) or risk > self.call_risk.at(share)
        self._allowance = min(self._allowance + self.budget - self._called, RESERVE)
        label = moment.expect() if self._called else None
        return policy_or_intervention(moment, self._called, label, risk=risk, call_share=share)


def _features(moment: Moment) -> Floats:
    assert moment.features is not None, "a driver gives features to gates with wants_features"
    return moment.features
