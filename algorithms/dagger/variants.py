"""Variants of DAgger: who drives and what is labelled, see `algorithms.dagger.gates`.

| learner | the expert drives | labelled | for |
|---|---|---|---|
| `HGDAgger` | while the human takes over | what the human drove | humans who take over |
| `EnsembleDAgger` | where policy and expert differ, or the ensemble doubts | all | safe collection |
| `SafeDAgger` | where a classifier foresees an error | those steps | fewer labels |
| `ThriftyDAgger` | in novel and risky states, within a budget | those steps | few calls for help |
| `DART` | always, with noise | all | collection without the policy |

Thresholds are learned from the rounds on disk, so an interrupted learner gets the same ones.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias

import gymnasium
import numpy as np
from numpy.typing import NDArray

from algorithms.base import Floats, Policy
from algorithms.checks import Count, NotNegative, Number, Positive, Share
from algorithms.dagger.gates import SafetyGate, ThriftyGate
from algorithms.dagger.heads import Head
from algorithms.dagger.learner import Collect, InteractiveConfig, InteractiveLearner
from algorithms.dagger.replay import replay
from algorithms.dagger.round_log import Round
from algorithms.dagger.rounds import SUMMARY, RoundSummary
from algorithms.training.data import Frames
from udacity_gym.driving.decision import HUMAN, POLICY
from udacity_gym.driving.gates import EnsembleGate, Gate, HumanGate, NoiseGate
from udacity_gym.errors import OptionError
from udacity_gym.experts import Human, Noise

if TYPE_CHECKING:
    from udacity_gym.recording import Recording

MAX_ROWS = 4000
"""Maximum number of rows that thresholds and heads are learned from, drawn uniformly."""

EnsembleSize: TypeAlias = Annotated[int, Number(2)]
"""Number of members of an ensemble whose doubt is used; a single member has no doubt."""


@dataclass(frozen=True)
class HGDAggerConfig(InteractiveConfig):
    """Settings of `HGDAgger`; ``members`` is the size of the ensemble whose doubt is measured."""

    members: Count = 3


class HGDAgger(InteractiveLearner):
    """HG-DAgger: the human takes over, corrects, and hands back (Kelly et al. 2019, algorithm 1).

    The policy is trained on demonstrations first, then also on what the human drove. The expert is a human: a
    callable that returns None while the hands are off the wheel, `udacity_gym.experts.Corrections` for
    humans with a keyboard or gamepad, `udacity_gym.experts.ScriptedHuman` for experiments. Such an expert
    can't demonstrate, so recordings or an initial policy must be given.

    ``round.json`` has the `doubt_threshold` before a round, the round log the one after it.
    """

    Config: ClassVar[type[InteractiveConfig]] = HGDAggerConfig
    asks_human: ClassVar[bool] = True

    def gate(self, round: int, policy: Policy) -> tuple[Gate, dict[str, Any]]:
        """The human decides, see `InteractiveLearner.gate`."""
        return HumanGate(), {"doubt_threshold": self.doubt_threshold()}

    def doubt_threshold(self) -> float | None:
        """Doubt at which the human takes over: mean of the last quarter of the takeovers.

        Kelly et al. 2019, section III-C. The trained policy can be trusted below this doubt.

        Returns:
            The threshold; None before the first takeover, or without an ensemble.
        """
        return self.round_log[-1].about.get("doubt_threshold") if self.round_log else None

    def _check_experts(self) -> None:
        super()._check_experts()
        if isinstance(self._expert, Human):
            raise OptionError(
                "HGDAgger needs an expert that takes over and hands back, a Human always drives; wrap it: "
                "expert=Corrections(Human(...))"
            )
        if self._drives_first:
            raise OptionError(
                "HGDAgger needs recordings or an initial policy to begin with: its expert takes over from a "
                "policy, so it can't drive the first round"
            )

    def _round(self, number: int, env: gymnasium.Env[Any, Any], collect: Collect) -> Round:
        round = super()._round(number, env, collect)
        if round.frames and round.expert_frames == round.frames:
            warnings.warn(
                f"the expert drove all {round.frames} frames of round {number}, so this is plain cloning; "
                "HGDAgger's expert hands back by returning None while its hands are off the wheel: "
                "use Corrections for humans, ScriptedHuman for a program",
                stacklevel=2,
            )
        doubts = self._doubts_at_takeovers(number)
        last = doubts[int(0.75 * len(doubts)) :]
        threshold = float(np.mean(last)) if last else None
        return replace(round, about={**round.about, "doubt_threshold": threshold})

    def _doubts_at_takeovers(self, number: int) -> list[float]:
        """Doubts of the ensemble at the human's takeovers, in all rounds up to this one."""
        doubts = []
        for i in range(1, number + 1):
            for episode in self._open(i).episodes:
                driver = None
                for extra in episode.extras():
                    if extra.get("driver") == HUMAN and driver == POLICY and "doubt" in extra:
                        doubts.append(extra["doubt"])
                    driver = extra.get("driver")
        return doubts


@dataclass(frozen=True)
class EnsembleDAggerConfig(InteractiveConfig):
    """Settings of `EnsembleDAgger`.

    Attributes:
        discrepancy: maximum squared distance between the actions of policy and expert: steering, and throttle
            if the policy controls it; the paper's tau.
        doubt: maximum doubt of the ensemble, see `algorithms.policies.ensemble.doubt_of`; the paper's chi.
    """

    members: EnsembleSize = 3
    discrepancy: NotNegative = 0.05
    doubt: NotNegative = 0.02


class EnsembleDAgger(InteractiveLearner):
    """EnsembleDAgger: the policy drives at low discrepancy and low doubt (Menda et al. 2019, section III)."""

    Config: ClassVar[type[InteractiveConfig]] = EnsembleDAggerConfig

    def gate(self, round: int, policy: Policy) -> tuple[Gate, dict[str, Any]]:
        """Both thresholds, see `InteractiveLearner.gate`."""
        limits = {"discrepancy": self.config.discrepancy, "doubt": self.config.doubt}
        return EnsembleGate(**limits), limits


@dataclass(frozen=True)
class SafeDAggerConfig(InteractiveConfig):
    """Settings of `SafeDAgger`.

    Attributes:
        tau: squared difference between policy's and expert's steering above which a state is unsafe; the
            paper's value. The throttle does not count.
        threshold: minimum probability of an unsafe state at which the expert drives.
    """

    tau: NotNegative = 0.0025
    threshold: Share = 0.5


class SafeDAgger(InteractiveLearner):
    """SafeDAgger: the expert drives where a classifier predicts errors of the policy (Zhang & Cho 2017).

    The classifier gets the features of the policy's network. It is trained on all labelled frames so far to
    predict whether the policy's steering differs from the expert's by more than tau. The paper also reserves
    demonstrations for the classifier that the policy is not trained on; this learner does not.
    """

    Config: ClassVar[type[InteractiveConfig]] = SafeDAggerConfig
    gate_learns: ClassVar[bool] = True
    wants_features: ClassVar[bool] = True

    def gate(self, round: int, policy: Policy) -> tuple[Gate, dict[str, Any]]:
        """Train the classifier, see `InteractiveLearner.gate`."""
        frames = Frames.of(self._data(round - 1))
        rows = sample_rows(frames, (self.config.seed, round))
        labelled = replay(policy, frames.select(rows), features=True)
        unsafe = np.square(labelled.actions - labelled.labels)[:, 0] > self.config.tau
        head = Head.fit(labelled.features, labelled.actions, unsafe.astype(np.float32), seed=self.config.seed)
        return SafetyGate(head, self.config.threshold), {"unsafe": float(unsafe.mean())}


@dataclass(frozen=True)
class ThriftyDAggerConfig(InteractiveConfig):
    """Settings of `ThriftyDAgger`.

    Attributes:
        budget: share of the time that the expert may drive; the paper's alpha.
        horizon: s before the car leaves the road in which the risk rises from 0 to 1.
    """

    members: EnsembleSize = 3
    budget: Share = 0.1
    horizon: Positive = 2.0


class ThriftyDAgger(InteractiveLearner):
    """ThriftyDAgger: the expert drives in novel or risky states, within a budget (Hoque et al. 2021).

    Novelty is the ensemble's doubt. Call thresholds are the (1 - budget) quantiles of doubt and risk where
    the policy drove in the round before (in the demonstrations, before there is one); the expert leaves when
    its actions are closer to the policy's than on average in the labelled data, and the risk is below its
    median: section 4 of the paper.

    Difference to the paper: the paper's risk is one minus the probability of reaching a goal, learned by
    temporal differences. A lap has no goal, so here risk is how likely and how soon the car leaves the road:
    a head on the network's features is fitted to ``1 - t / horizon``, with t the seconds until a fall; 0 if
    no fall follows.
    """

    Config: ClassVar[type[InteractiveConfig]] = ThriftyDAggerConfig
    gate_learns: ClassVar[bool] = True
    wants_features: ClassVar[bool] = True

    def gate(self, round: int, policy: Policy) -> tuple[Gate, dict[str, Any]]:
        """Learn risk and thresholds, see `InteractiveLearner.gate`."""
        seed = (self.config.seed, round)
        recordings = [*self._recordings, *self.rounds()]
        frames = Frames.of(self._data(round - 1))
        labelled = replay(policy, frames.select(sample_rows(frames, seed)), features=True)
        frames = Frames.of(recordings[-1:], "executed")
        driven = replay(policy, frames.select(sample_rows(frames, seed, "policy")), features=True)
        before = driven if len(driven.actions) else labelled
        frames = Frames.of(recordings, "executed")
        rows = sample_rows(frames, seed)
        everything = replay(policy, frames.select(rows), features=True)
        danger = np.concatenate([self._danger(recording) for recording in recordings])[rows]
        head = Head.fit(everything.features, everything.actions, danger, seed=self.config.seed)
        risks = [head(*pair) for pair in zip(before.features, before.actions, strict=True)]
        limits = {
            "call_doubt": float(np.quantile(before.doubts, 1 - self.config.budget)),
            "call_risk": float(np.quantile(risks, 1 - self.config.budget)),
            "leave_discrepancy": float(labelled.discrepancies.mean()),
            "leave_risk": float(np.median(risks)),
        }
        return ThriftyGate(head, **limits), limits

    def _danger(self, recording: Recording) -> Floats:
        """Danger of each row, by the time until a fall: (n,) in [0, 1]."""
        frames = Frames.of([recording], "executed")
        danger = np.zeros(len(frames), np.float32)
        fell: tuple[bool, ...] = ()
        if (recording.path / SUMMARY).is_file():  # demonstrations have none, and no falls
            fell = RoundSummary.read(recording.path).fell
        for i in np.flatnonzero(fell):
            rows = np.flatnonzero(frames.episode == i)
            remaining_seconds = frames.time[rows[-1]] - frames.time[rows]
            danger[rows] = np.clip(1.0 - remaining_seconds / self.config.horizon, 0.0, 1.0)
        return danger


@dataclass(frozen=True)
class DARTConfig(InteractiveConfig):
    """Settings of `DART`.

    Attributes:
        error: expected squared distance between the actions of the final policy and the expert, to which the
            noise is scaled, see `udacity_gym.experts.Noise.fitted`; None takes the measured error.
    """

    error: NotNegative | None = None


class DART(InteractiveLearner):
    """DART: the expert drives with noise as large as the policy's errors (Laskey et al. 2017, algorithm 1).

    So the expert reaches states that the policy would reach, and shows the way back, while the policy never
    drives.

    The errors are measured on the newest data. The policy has just been trained on it, so they are rather
    small; ``error`` scales them to the expected error on new data.
    """

    Config: ClassVar[type[InteractiveConfig]] = DARTConfig
    gate_learns: ClassVar[bool] = True

    def gate(self, round: int, policy: Policy) -> tuple[Gate, dict[str, Any]]:
        """Fit the noise to the policy's errors in the newest data, see `InteractiveLearner.gate`."""
        frames = Frames.of(self._data(round - 1)[-1:])
        newest = replay(policy, frames.select(sample_rows(frames, (self.config.seed, round))))
        padding = ((0, 0), (0, 2 - newest.actions.shape[1]))  # a throttle that is not learned has no error
        noise = Noise.fitted(
            np.pad(newest.actions, padding), np.pad(newest.labels, padding), self.config.error
        )
        return NoiseGate(noise), {"covariance": noise.covariance}


def sample_rows(frames: Frames, seed: tuple[int, ...], driver: str | None = None) -> NDArray[np.int64]:
    """Draw the rows that thresholds and heads are learned from, at most `MAX_ROWS`.

    Args:
        frames: rows to draw from.
        seed: seed of the draw.
        driver: take only rows of this driver; None takes all.

    Returns:
        Row numbers, ascending.
    """
    rows = np.arange(len(frames))
    if driver is not None:
        drivers = [extra.get("driver") for episode in frames.episodes for extra in episode.extras()]
        starts = np.cumsum([0, *(len(episode) for episode in frames.episodes)])
        rows = np.flatnonzero(np.array(drivers, object)[starts[frames.episode] + frames.index] == driver)
    if len(rows) > MAX_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MAX_ROWS, replace=False))
    return rows
