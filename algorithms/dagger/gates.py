"""Gates: who drives at each step of a round, and which steps are labelled.

All interactive learners collect their rounds with the same loop and differ in the gate alone:

| gate | the expert drives | labelled | source |
|---|---|---|---|
| `Mixture` | with probability beta | every step | Ross et al. 2011, algorithm 3.1 |
| `HumanGate` | while the human wants to | the human's steps | Kelly et al. 2019, algorithm 1 |
| `EnsembleGate` | where policy and expert differ, or the ensemble doubts | every step | Menda et al. 2019 |
| `SafetyGate` | where a learnt classifier says unsafe | those steps | Zhang & Cho 2017 |
| `ThriftyGate` | from a novel or risky state until it is over | those steps | Hoque et al. 2021 |
| `NoiseGate` | always, disturbed by noise | every step, undisturbed | Laskey et al. 2017 |
| `PolicyAlone` | never | nothing; somebody does it afterwards | Ross et al. 2011 with labels later |

A gate is an object with `begin` and `decide`. It is sent to other processes, so it must be picklable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from algorithms.base import Action, Floats
from udacity_gym.errors import OptionError
from udacity_gym.experts import Noise, NoisyExpert

POLICY, EXPERT, HUMAN = "policy", "expert", "human"
"""Who may have driven a frame, as the side file's ``driver`` says it."""


class Moment:
    """One step, as a gate sees it before anybody acts.

    Attributes:
        observation: what the environment returned.
        info: what it returned beside it.
        policy_action: (2,) float32 (steering, throttle) that the policy wants.
        doubt: how far the members of an ensemble disagree, see `algorithms.policies.ensemble.Ensemble`; None
            for a policy that is none.
        features: (k,) float32 what the policy's network makes of the image, for gates that learn; None
            unless the gate wants them.
        actions: what the policy itself works, see `algorithms.base.Policy`; the rest of ``policy_action``
            comes from a controller, and no policy is judged by that.
    """

    def __init__(
        self,
        observation: Any,
        info: Mapping[str, Any],
        policy_action: Action,
        doubt: float | None,
        features: Floats | None,
        ask: Callable[[], Action | None],
        actions: tuple[str, ...] = ("steering", "throttle"),
    ) -> None:
        self.observation = observation
        self.info = info
        self.policy_action = policy_action
        self.doubt = doubt
        self.features = features
        self.actions = actions
        self._ask = ask
        self._answer: Action | None = None
        self._asked = False

    def ask(self) -> Action | None:
        """Ask the expert, once at most.

        Returns:
            (2,) float32 (steering, throttle); None from a human whose hands are off the wheel.
        """
        if not self._asked:
            self._answer, self._asked = self._ask(), True
        return self._answer

    def expect(self) -> Action:
        """Ask an expert that must have an answer.

        Raises:
            OptionError: It has none.
        """
        answer = self.ask()
        if answer is None:
            raise OptionError(
                "the expert gave no action: this learner needs one at every step; for a human who takes over "
                "and hands back use HGDAgger"
            )
        return answer

    @property
    def own_action(self) -> Action:
        """(len(actions),) float32 of ``policy_action``, what the policy itself works."""
        return self.policy_action[: len(self.actions)]

    def discrepancy(self) -> float:
        """Squared distance between what policy and expert want, of what the policy itself works.

        Raises:
            OptionError: The expert has no answer.
        """
        own = self.own_action.astype(np.float64)
        return float(np.square(own - self.expect()[: len(own)]).sum())


@dataclass(frozen=True)
class Decision:
    """What a gate decided.

    Attributes:
        driver: "policy", "expert" or "human".
        action: (2,) float32 (steering, throttle) to execute.
        label: (2,) float32 what the expert would do, to learn from; None if it is not asked.
        note: what else to keep of the frame in the side file. Gates that watch the policy note
            ``intervention``: whether somebody else drives instead.
    """

    driver: str
    action: Action
    label: Action | None = None
    note: Mapping[str, Any] = field(default_factory=dict)


class Gate(Protocol):
    """Who drives, and what is labelled.

    Attributes:
        wants_features: whether `Moment.features` are looked at.
    """

    wants_features: bool

    def begin(self, rng: np.random.Generator) -> None:
        """An episode begins; all randomness of the gate comes from ``rng`` until the next one."""

    def decide(self, moment: Moment) -> Decision:
        """Choose who drives this step."""
        ...


@dataclass
class _Memoryless:
    """A gate that decides each step by itself."""

    wants_features = False

    def begin(self, rng: np.random.Generator) -> None:
        """An episode begins."""


@dataclass
class Mixture(_Memoryless):
    """The expert drives each step with probability beta, and labels all (Ross et al. 2011, algorithm 3.1).

    The paper's policy of a round is a mixture that is drawn anew at every step: their analysis (section
    4) takes (1 - beta)^T for the probability that the expert never drives in T steps.

    Attributes:
        beta: [0, 1].
    """

    beta: float

    def begin(self, rng: np.random.Generator) -> None:
        """An episode begins."""
        self._rng = rng

    def decide(self, moment: Moment) -> Decision:
        """Draw who drives."""
        label = moment.expect()
        if self._rng.random() < self.beta:
            return Decision(EXPERT, label, label)
        return Decision(POLICY, moment.policy_action, label)


@dataclass
class PolicyAlone(_Memoryless):
    """The policy drives; labels come later, see `algorithms.label_round`."""

    def decide(self, moment: Moment) -> Decision:
        """Let the policy drive."""
        return Decision(POLICY, moment.policy_action)


@dataclass
class HumanGate(_Memoryless):
    """The human decides: takes over, corrects, hands back (Kelly et al. 2019, algorithm 1).

    The human is an expert whose answer is None while the hands are off the wheel. Only what the human
    drove is labelled.
    """

    def decide(self, moment: Moment) -> Decision:
        """Look whether the human has the wheel."""
        action = moment.ask()
        return _watched(moment, intervenes=action is not None, label=action, who=HUMAN)


@dataclass
class EnsembleGate(_Memoryless):
    """The policy drives where it agrees with the expert and with itself (Menda et al. 2019, section III).

    Attributes:
        discrepancy: greatest squared distance between policy and expert, see `Moment.discrepancy`.
        doubt: greatest doubt of the ensemble.
    """

    discrepancy: float
    doubt: float

    def decide(self, moment: Moment) -> Decision:
        """Compare the policy with the expert, and with itself."""
        label = moment.expect()
        apart, doubt = moment.discrepancy(), moment.doubt or 0.0
        return _watched(moment, apart > self.discrepancy or doubt > self.doubt, label)


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
class SafetyGate(_Memoryless):
    """A learnt classifier sends the expert where the policy is about to err (Zhang & Cho 2017).

    Only what it calls unsafe is labelled.

    Attributes:
        danger: probability that the policy steers too far from where the expert would.
        threshold: probability from which on a state is unsafe.
    """

    danger: Score
    threshold: float = 0.5
    wants_features = True

    def decide(self, moment: Moment) -> Decision:
        """Ask the classifier, and the expert only if it says so."""
        danger = self.danger(_features(moment), moment.own_action)
        unsafe = danger >= self.threshold
        return _watched(moment, unsafe, moment.expect() if unsafe else None, danger=danger)


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

    def begin(self, rng: np.random.Generator) -> None:
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
        return _watched(moment, self._called, moment.expect() if self._called else None, risk=risk)


@dataclass
class NoiseGate(_Memoryless):
    """The expert drives, disturbed by Gaussian noise, and labels what it meant (Laskey et al. 2017).

    Attributes:
        noise: how.
    """

    noise: Noise

    def begin(self, rng: np.random.Generator) -> None:
        """An episode begins."""
        self._noisy = NoisyExpert(lambda *_: self._wanted, self.noise, seed=int(rng.integers(2**63)))

    def decide(self, moment: Moment) -> Decision:
        """Disturb the expert."""
        self._wanted = moment.expect()
        return Decision(EXPERT, self._noisy(moment.observation, moment.info), self._wanted)


def _watched(
    moment: Moment, intervenes: bool, label: Action | None, who: str = EXPERT, **note: float
) -> Decision:
    """The policy drives unless somebody intervenes, whose label is then executed."""
    note = {**note, "intervention": intervenes}
    if not intervenes:
        return Decision(POLICY, moment.policy_action, label, note)
    assert label is not None, "who intervenes says how"
    return Decision(who, label, label, note)


def _features(moment: Moment) -> Floats:
    assert moment.features is not None, "the collection loop gives features to gates that want them"
    return moment.features
