"""Gates choose at each step who drives, and whether the step is labelled; `GatedDriver` uses one.

| gate | the expert drives | labelled | source |
|---|---|---|---|
| `Mixture` | with probability beta | every step | Ross et al. 2011, algorithm 3.1 |
| `HumanGate` | while the human wants to | the human's steps | Kelly et al. 2019, algorithm 1 |
| `EnsembleGate` | where policy and expert differ, or the ensemble doubts | every step | Menda et al. 2019 |
| `NoiseGate` | always, disturbed by noise | every step, undisturbed | Laskey et al. 2017 |
| `PolicyAlone` | never | nothing; labels are added afterwards | Ross et al. 2011 with labels later |

Gates with a learned classifier, `SafetyGate` and `ThriftyGate`, are in `algorithms.dagger.gates`. A gate is
an object with `reset` and `decide`. It is sent to other processes, so it must be picklable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import gymnasium
import numpy as np
from numpy.typing import NDArray

from udacity_gym.driving.decision import EXPERT, HUMAN, POLICY, Action, Decision, check_action
from udacity_gym.driving.driver import Driver, ExpertFunction, as_driver, reset_expert
from udacity_gym.errors import OptionError

if TYPE_CHECKING:
    from udacity_gym.experts import Noise


class Moment:
    """Inputs of a gate at one step, before an action is executed.

    Attributes:
        observation: what the environment returned.
        info: what it returned beside it.
        policy_action: (2,) float32 (steering, throttle), what the policy would do; zeros without a policy.
        doubt: how far the members of an ensemble disagree; None without an ensemble.
        features: (k,) float32 features of the image, computed by the policy's network, for learned gates;
            None unless the gate wants them.
        actions: what the policy itself controls; the rest of ``policy_action`` comes from a speed controller,
            and is not compared with the expert.
    """

    def __init__(
        self,
        observation: Any,
        info: Mapping[str, Any],
        policy_action: Action,
        doubt: float | None,
        features: NDArray[np.float32] | None,
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
        """Action of the expert, who is asked once per step at most.

        Returns:
            (2,) float32 (steering, throttle); None from a human who touches nothing.
        """
        if not self._asked:
            self._answer, self._asked = self._ask(), True
        return self._answer

    def expect(self) -> Action:
        """Action of an expert that must give one at every step.

        Raises:
            OptionError: It gives none.
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
        """(len(actions),) float32 of ``policy_action``, what the policy itself controls."""
        return self.policy_action[: len(self.actions)]

    def discrepancy(self) -> float:
        """Squared distance between the policy's and the expert's action, in what the policy itself controls.

        Raises:
            OptionError: The expert gives no action.
        """
        own = self.own_action.astype(np.float64)
        return float(np.square(own - self.expect()[: len(own)]).sum())


class Gate(Protocol):
    """Chooses who drives, and which steps are labelled.

    Attributes:
        wants_features: whether it uses `Moment.features`.
    """

    wants_features: bool

    def reset(self, rng: np.random.Generator) -> None:
        """Prepare for an episode, in which ``rng`` is the only source of randomness."""

    def decide(self, moment: Moment) -> Decision:
        """Choose who drives at this step."""
        ...


class GatedDriver:
    """Driver in which a gate chooses between a policy and an expert at each step.

    Attributes:
        policy: the policy, as a driver; None if the expert drives alone.
        expert: the expert; None if there is none.
        gate: the gate.
    """

    def __init__(
        self,
        policy: Any,
        expert: ExpertFunction | None,
        gate: Gate,
        *,
        features: Callable[[], NDArray[np.float32]] | None = None,
        seed: int | None = None,
    ) -> None:
        """Combine a policy and an expert.

        Args:
            policy: whatever `as_driver` accepts; None lets the expert drive alone.
            expert: ``(observation, info) -> (steering, throttle)``, or None from a human who touches nothing.
            gate: chooses who drives, and which steps are labelled.
            features: returns (k,) float32 features of the last image, computed by the policy's network, for
                gates that want them.
            seed: of the gate's randomness; None takes the seed that `reset` is given.

        Raises:
            OptionError: The gate wants features, and ``features`` is None.
        """
        if gate.wants_features and features is None and policy is not None:
            raise OptionError(f"{type(gate).__name__} looks at features of the policy: give features=...")
        self.policy: Driver | None = None if policy is None else as_driver(policy)
        self.expert, self.gate = expert, gate
        self._features = features
        self._rng = np.random.default_rng(seed)
        self._has_seed = seed is not None

    def reset(self, env: gymnasium.Env[Any, Any], info: Mapping[str, Any], seed: int | None = None) -> None:
        """Prepare policy, expert and gate for an episode, see `Driver.reset`."""
        if self.policy is not None:
            self.policy.reset(env, info, seed)
        reset_expert(self.expert, env, info, seed)
        if seed is not None and not self._has_seed:
            self._rng = np.random.default_rng(seed)
        self.gate.reset(self._rng)

    def decide(self, observation: Any, info: Mapping[str, Any]) -> Decision | None:
        """Let the gate decide, see `Driver.decide`."""
        policy_action, doubt = None, None
        actions: tuple[str, ...] = ("steering", "throttle")
        if self.policy is not None:
            chosen = self.policy.decide(observation, info)
            if chosen is None:
                return None
            policy_action, doubt = check_action(chosen.action, f"the {chosen.driver}"), chosen.doubt
            actions = getattr(self.policy, "actions", actions)
        moment = Moment(
            observation,
            info,
            np.zeros(2, np.float32) if policy_action is None else policy_action,
            doubt,
            self._features() if self.gate.wants_features and self._features is not None else None,
            lambda: self._expert_action(observation, info),
            actions,
        )
        decision = self.gate.decide(moment)
        is_idle = decision.driver == HUMAN and getattr(self.expert, "is_idle", False)
        return replace(decision, policy_action=policy_action, doubt=doubt, is_idle=is_idle)

    def _expert_action(self, observation: Any, info: Mapping[str, Any]) -> Action | None:
        action = None if self.expert is None else self.expert(observation, info)
        return None if action is None else np.clip(check_action(action, "the expert"), -1.0, 1.0)


@dataclass
class _StatelessGate:
    """A gate whose decision depends on the present step alone."""

    wants_features = False

    def reset(self, rng: np.random.Generator) -> None:
        """Prepare for an episode."""


@dataclass
class Mixture(_StatelessGate):
    """The expert drives each step with probability beta, and labels all (Ross et al. 2011, algorithm 3.1).

    The paper's policy of a round is a mixture that is drawn anew at every step: their analysis (section
    4) takes (1 - beta)^T for the probability that the expert never drives in T steps.

    Attributes:
        beta: [0, 1].
    """

    beta: float

    def reset(self, rng: np.random.Generator) -> None:
        """Prepare for an episode."""
        self._rng = rng

    def decide(self, moment: Moment) -> Decision:
        """Draw who drives."""
        label = moment.expect()
        if self._rng.random() < self.beta:
            return Decision(label, EXPERT, expert_action=label, is_label=True)
        return Decision(moment.policy_action, POLICY, expert_action=label, is_label=True)


@dataclass
class PolicyAlone(_StatelessGate):
    """The policy drives; labels come later, see `algorithms.label_round`."""

    def decide(self, moment: Moment) -> Decision:
        """Let the policy drive."""
        return Decision(moment.policy_action, POLICY)


@dataclass
class HumanGate(_StatelessGate):
    """The human decides: takes over, corrects, hands back (Kelly et al. 2019, algorithm 1).

    The human is an expert whose action is None while nothing is touched. Only steps that the human drives
    are labelled, without the idle ones before handing back, see `Decision.is_idle`.
    """

    def decide(self, moment: Moment) -> Decision:
        """Check whether the human drives."""
        action = moment.ask()
        return policy_or_intervention(moment, intervenes=action is not None, label=action, driver=HUMAN)


@dataclass
class EnsembleGate(_StatelessGate):
    """The policy drives where discrepancy and doubt are low (Menda et al. 2019, section III).

    Attributes:
        discrepancy: maximum squared distance between policy and expert, see `Moment.discrepancy`.
        doubt: maximum doubt of the ensemble.
    """

    discrepancy: float
    doubt: float

    def decide(self, moment: Moment) -> Decision:
        """Compare discrepancy and doubt with their limits."""
        label = moment.expect()
        discrepancy, doubt = moment.discrepancy(), moment.doubt or 0.0
        return policy_or_intervention(moment, discrepancy > self.discrepancy or doubt > self.doubt, label)


@dataclass
class NoiseGate(_StatelessGate):
    """The expert drives with Gaussian noise; labels are its actions without noise (Laskey et al. 2017).

    Attributes:
        noise: the noise.
    """

    noise: Noise

    def reset(self, rng: np.random.Generator) -> None:
        """Prepare for an episode."""
        from udacity_gym.experts import NoisyExpert

        self._noisy = NoisyExpert(lambda *_: self._expert_action, self.noise, seed=int(rng.integers(2**63)))

    def decide(self, moment: Moment) -> Decision:
        """Add noise to the action of the expert."""
        self._expert_action = moment.expect()
        return Decision(
            self._noisy(moment.observation, moment.info),
            EXPERT,
            expert_action=self._expert_action,
            is_label=True,
        )


def policy_or_intervention(
    moment: Moment, intervenes: bool, label: Action | None, driver: str = EXPERT, **notes: float
) -> Decision:
    """Decision of a gate under which the policy drives unless the expert intervenes.

    Args:
        moment: the step.
        intervenes: whether the expert drives in place of the policy, by executing the label.
        label: (2,) float32 action of the expert; None if the step has no label.
        driver: name of the driver that intervenes.
        **notes: other entries of `Decision.notes`.

    Raises:
        OptionError: The expert intervenes, and there is no label.
    """
    all_notes = {**notes, "intervention": intervenes}
    if not intervenes:
        return Decision(
            moment.policy_action, POLICY, expert_action=label, is_label=label is not None, notes=all_notes
        )
    if label is None:
        raise OptionError("an intervention needs the action to execute: label is None")
    return Decision(label, driver, expert_action=label, is_label=True, notes=all_notes)
