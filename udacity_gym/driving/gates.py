"""Gates: who drives at each step, and which steps are labelled. `GatedDriver` drives by one.

| gate | the expert drives | labelled | source |
|---|---|---|---|
| `Mixture` | with probability beta | every step | Ross et al. 2011, algorithm 3.1 |
| `HumanGate` | while the human wants to | the human's steps | Kelly et al. 2019, algorithm 1 |
| `EnsembleGate` | where policy and expert differ, or the ensemble doubts | every step | Menda et al. 2019 |
| `NoiseGate` | always, disturbed by noise | every step, undisturbed | Laskey et al. 2017 |
| `PolicyAlone` | never | nothing; somebody does it afterwards | Ross et al. 2011 with labels later |

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
    """One step, as a gate sees it before anybody acts.

    Attributes:
        observation: what the environment returned.
        info: what it returned beside it.
        policy_action: (2,) float32 (steering, throttle), what the policy would do; zeros without a policy.
        doubt: how far the members of an ensemble disagree; None for a policy that is none.
        features: (k,) float32, what the policy's network makes of the image, for learned gates; None unless
            the gate wants them.
        actions: what the policy itself controls; the rest of ``policy_action`` comes from a speed controller,
            and no policy is judged by that.
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
        """(len(actions),) float32 of ``policy_action``, what the policy itself controls."""
        return self.policy_action[: len(self.actions)]

    def discrepancy(self) -> float:
        """Squared distance between the policy's and the expert's action, in what the policy itself controls.

        Raises:
            OptionError: The expert has no answer.
        """
        own = self.own_action.astype(np.float64)
        return float(np.square(own - self.expect()[: len(own)]).sum())


class Gate(Protocol):
    """Who drives, and what is labelled.

    Attributes:
        wants_features: whether it reads `Moment.features`.
    """

    wants_features: bool

    def reset(self, rng: np.random.Generator) -> None:
        """An episode begins; all randomness of the gate comes from ``rng`` until the next one."""

    def decide(self, moment: Moment) -> Decision:
        """Choose who drives this step."""
        ...


class GatedDriver:
    """A driver of drivers: a policy and an expert at one wheel, with a gate between them.

    Attributes:
        policy: drives where the gate lets it; None is nobody.
        expert: drives where the gate says so, and labels; None is nobody.
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
        """Put a gate between two.

        Args:
            policy: whatever `as_driver` accepts; None lets the expert drive alone.
            expert: ``(observation, info) -> (steering, throttle)``, or None from a human whose hands are off
                the wheel.
            gate: who drives, and what is labelled.
            features: gives (k,) float32, what the policy's network made of the last image, for gates that
                want it.
            seed: of the gate's randomness; None takes the seed that `reset` is given.

        Raises:
            OptionError: The gate wants features, and there is nothing to give them.
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
            wish = self.policy.decide(observation, info)
            if wish is None:
                return None
            policy_action, doubt = check_action(wish.action, f"the {wish.driver}"), wish.doubt
            actions = getattr(self.policy, "actions", actions)
        moment = Moment(
            observation,
            info,
            np.zeros(2, np.float32) if policy_action is None else policy_action,
            doubt,
            self._features() if self.gate.wants_features and self._features is not None else None,
            lambda: self._ask(observation, info),
            actions,
        )
        decision = self.gate.decide(moment)
        is_idle = decision.driver == HUMAN and getattr(self.expert, "is_idle", False)
        return replace(decision, policy_action=policy_action, doubt=doubt, is_idle=is_idle)

    def _ask(self, observation: Any, info: Mapping[str, Any]) -> Action | None:
        answer = None if self.expert is None else self.expert(observation, info)
        return None if answer is None else np.clip(check_action(answer, "the expert"), -1.0, 1.0)


@dataclass
class _Memoryless:
    """A gate that decides each step by itself."""

    wants_features = False

    def reset(self, rng: np.random.Generator) -> None:
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

    def reset(self, rng: np.random.Generator) -> None:
        """An episode begins."""
        self._rng = rng

    def decide(self, moment: Moment) -> Decision:
        """Draw who drives."""
        label = moment.expect()
        if self._rng.random() < self.beta:
            return Decision(label, EXPERT, expert_action=label, is_label=True)
        return Decision(moment.policy_action, POLICY, expert_action=label, is_label=True)


@dataclass
class PolicyAlone(_Memoryless):
    """The policy drives; labels come later, see `algorithms.label_round`."""

    def decide(self, moment: Moment) -> Decision:
        """Let the policy drive."""
        return Decision(moment.policy_action, POLICY)


@dataclass
class HumanGate(_Memoryless):
    """The human decides: takes over, corrects, hands back (Kelly et al. 2019, algorithm 1).

    The human is an expert whose answer is None while the hands are off the wheel. Only what the human
    drove is labelled, without the idle steps before handing back, see `Decision.is_idle`.
    """

    def decide(self, moment: Moment) -> Decision:
        """Look whether the human has the wheel."""
        action = moment.ask()
        return watched(moment, intervenes=action is not None, label=action, driver=HUMAN)


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
        discrepancy, doubt = moment.discrepancy(), moment.doubt or 0.0
        return watched(moment, discrepancy > self.discrepancy or doubt > self.doubt, label)


@dataclass
class NoiseGate(_Memoryless):
    """The expert drives, disturbed by Gaussian noise, and labels what it meant (Laskey et al. 2017).

    Attributes:
        noise: how.
    """

    noise: Noise

    def reset(self, rng: np.random.Generator) -> None:
        """An episode begins."""
        from udacity_gym.experts import NoisyExpert

        self._noisy = NoisyExpert(lambda *_: self._expert_action, self.noise, seed=int(rng.integers(2**63)))

    def decide(self, moment: Moment) -> Decision:
        """Disturb the expert."""
        self._expert_action = moment.expect()
        return Decision(
            self._noisy(moment.observation, moment.info),
            EXPERT,
            expert_action=self._expert_action,
            is_label=True,
        )


def watched(
    moment: Moment, intervenes: bool, label: Action | None, driver: str = EXPERT, **notes: float
) -> Decision:
    """The decision of a gate that watches the policy.

    The policy drives unless somebody intervenes, whose label is then executed.

    Args:
        moment: the step.
        intervenes: whether somebody drives in place of the policy.
        label: (2,) float32, what the expert would do; None where it was not asked or is no label.
        driver: who intervenes.
        **notes: what else to keep.

    Raises:
        OptionError: Somebody intervenes without saying how.
    """
    kept = {**notes, "intervention": intervenes}
    if not intervenes:
        return Decision(
            moment.policy_action, POLICY, expert_action=label, is_label=label is not None, notes=kept
        )
    if label is None:
        raise OptionError("whoever intervenes must say what to do: label is None")
    return Decision(label, driver, expert_action=label, is_label=True, notes=kept)
