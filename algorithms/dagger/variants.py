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
from algorithms.dagger.calibration import Limit, conformal_threshold
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

START_CALL_RISK, START_LEAVE_RISK = 0.52, 0.505
"""Risks above which the expert is called and stays while nothing has fallen, those of the authors' code."""
LEAST_RISK = 0.05
"""Risk that calls nobody."""

EnsembleSize: TypeAlias = Annotated[int, Number(2)]
"""Number of members of an ensemble whose doubt is used; a single member has no doubt."""


@dataclass(frozen=True)
class HGDAggerConfig(InteractiveConfig):
    """Settings of `HGDAgger`; ``members`` is the size of the ensemble whose doubt is measured."""

    members: Count = 3


class HGDAgger(InteractiveLearner[HGDAggerConfig]):
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
            if the policy controls it; the paper's tau. None calibrates it in each round.
        doubt: maximum doubt of the ensemble, see `algorithms.policies.ensemble.doubt_of`; the paper's chi.
            None calibrates it in each round.
        call_share: share of rows like the demonstrations at which a calibrated threshold may call the expert,
            see `algorithms.dagger.calibration.conformal_threshold`.
        held_out: share of the demonstrations that is not trained on, for the calibration.
    """

    members: EnsembleSize = 3
    discrepancy: NotNegative | None = None
    doubt: NotNegative | None = None
    call_share: Annotated[float, Number(0, 1, above=True)] = 0.05
    held_out: Annotated[float, Number(0, 0.9, above=True)] = 0.1


class EnsembleDAgger(InteractiveLearner[EnsembleDAggerConfig]):
    """EnsembleDAgger: the policy drives at low discrepancy and low doubt (Menda et al. 2019, section III).

    The paper chooses both thresholds by hand. How large doubt and discrepancy are depends on network, data
    and training, so here they are calibrated in each round, unless they are given: the last rows of the
    demonstrations are not trained on, and each threshold is exceeded by at most ``call_share`` of such rows.
    """

    Config: ClassVar[type[InteractiveConfig]] = EnsembleDAggerConfig

    @property
    def _held_out_share(self) -> float:
        calibrates = self.config.discrepancy is None or self.config.doubt is None
        return float(self.config.held_out) if calibrates else 0.0

    def _check_experts(self) -> None:
        super()._check_experts()
        if not self._held_out_share:
            return
        if self._initial is not None and not self._recordings:
            raise OptionError(
                "EnsembleDAgger calibrates its thresholds on demonstrations: give recordings beside the "
                "initial policy, or discrepancy=... and doubt=..."
            )
        if self._fit is not None:
            raise OptionError(
                "EnsembleDAgger can calibrate its thresholds for networks only: give discrepancy=... and "
                "doubt=... with fit=..."
            )

    def gate(self, round: int, policy: Policy) -> tuple[Gate, dict[str, Any]]:
        """Both thresholds, see `InteractiveLearner.gate`."""
        if not callable(getattr(policy, "predict_with_doubt", None)):
            raise OptionError(
                f"EnsembleDAgger needs a policy with predict_with_doubt(observation, state, episode_start), "
                f"which {type(policy).__name__} has not"
            )
        limits = {"discrepancy": self.config.discrepancy, "doubt": self.config.doubt}
        if self._held_out_share:
            frames = self._held_out()
            usual = replay(policy, frames.select(sample_rows(frames, (self.config.seed, round))))
            scores = {"discrepancy": usual.discrepancies, "doubt": usual.doubts}
            for name in (name for name, limit in limits.items() if limit is None):
                limits[name] = conformal_threshold(scores[name], self.config.call_share)
        chosen = {name: limit for name, limit in limits.items() if limit is not None}
        return EnsembleGate(**chosen), limits


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


class SafeDAgger(InteractiveLearner[SafeDAggerConfig]):
    """SafeDAgger: the expert drives where a classifier predicts errors of the policy (Zhang & Cho 2017).

    The classifier gets features of the policy's network and the policy's action. The features are what goes
    into the first fully connected layer of the network's ``head``, of an ensemble those of its first member,
    see `algorithms.dagger.heads.FeatureTap`: for PilotNet 1152 numbers, the output of the last convolution as
    in the paper. The classifier is trained on all labelled frames so far to predict whether the policy's
    steering differs from the expert's by more than tau. The paper also reserves demonstrations for the
    classifier that the policy is not trained on; this learner does not.

    Rows in which the car stands or creeps have little or no weight when the policy is trained, see
    `algorithms.training.training_set.motion_weights`. For the classifier they count as all others: whoever
    drives there, the state is safe if policy and expert would steer alike.
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
        budget: share of the steps that the expert may drive, for which the thresholds are calibrated, see
            `algorithms.dagger.gates.ThriftyGate`; takes the place of the paper's alpha.
        horizon: s before the car leaves the road in which the risk rises from 0 to 1.
        held_out: share of the demonstrations that is not trained on, for the calibration.
    """

    members: EnsembleSize = 3
    budget: Annotated[float, Number(0, 1, above=True)] = 0.1
    horizon: Positive = 2.0
    held_out: Annotated[float, Number(0, 0.9, above=True)] = 0.1


class ThriftyDAgger(InteractiveLearner[ThriftyDAggerConfig]):
    """ThriftyDAgger: the expert drives in novel or risky states, within a budget (Hoque et al. 2021).

    Novelty is the ensemble's doubt. The expert is called where doubt or risk exceed a quantile of what they
    were where the policy drove in the round before, and hands back where its actions are as close to the
    policy's as usual and the risk is at most the median: section 4 of the paper. Before the policy has
    driven, the quantile of doubt is that of demonstrations that it was not trained on, as in the authors'
    code (github.com/ryanhoque/thriftydagger).

    Differences to the paper:

    - Its risk is one minus the probability of reaching a goal, learned by temporal differences. A lap has no
      goal, so here risk is how likely and how soon the car leaves the road: a head on the network's features
      is fitted to ``1 - t / horizon``, with t the seconds until a fall; 0 if no fall follows.
    - While nothing has fallen there is nothing to learn risk from. Until then the limits are the ones that
      the authors' code starts with, 0.52 and 0.505. Later a risk below 0.05 calls nobody, whatever the
      quantile: a policy that hardly ever falls needs no help in its least safe tenth.
    - The paper's budget is the share of states that call the expert, for each of the two thresholds, and says
      nothing of how long it stays. Here it is the share of steps that the expert drives. Each threshold gets
      half of it, so that both together call in at most this share of states like those before. Where the
      expert drives more, both rise, and only more novel or more risky states call; see `ThriftyGate`. The
      authors' code computes its thresholds anew after each episode, from the states in which the policy drove
      in the round, for the same purpose: the budget is met although the states change.
    - The discrepancy for handing back is the mean over held-out demonstrations. In the paper it is the mean
      over the training data, which a network fits so closely that the expert would hardly ever hand back.

    The round log has the limits with which a round began, and as ``withheld`` the number of steps above them
    that the policy drove because the expert had used its budget. Each frame has its ``call_share``.
    """

    Config: ClassVar[type[InteractiveConfig]] = ThriftyDAggerConfig
    gate_learns: ClassVar[bool] = True
    wants_features: ClassVar[bool] = True

    @property
    def _held_out_share(self) -> float:
        return float(self.config.held_out)

    def gate(self, round: int, policy: Policy) -> tuple[Gate, dict[str, Any]]:
        """Learn risk and thresholds, see `InteractiveLearner.gate`."""
        seed = (self.config.seed, round)
        recordings = [*self._recordings, *self.rounds()]
        frames = self._held_out()
        held_out = replay(policy, frames.select(sample_rows(frames, seed)), features=True)
        frames = Frames.of(recordings[-1:], "executed")
        driven = replay(policy, frames.select(sample_rows(frames, seed, "policy")), features=True)
        before = driven if len(driven.actions) else held_out
        frames = Frames.of(recordings, "executed")
        rows = sample_rows(frames, seed)
        everything = replay(policy, frames.select(rows), features=True)
        danger = np.concatenate([self._danger(recording) for recording in recordings])[rows]
        head = Head.fit(everything.features, everything.actions, danger, seed=self.config.seed)
        risks = np.array([head(*pair) for pair in zip(before.features, before.actions, strict=True)])
        call_doubt, call_risk = Limit(before.doubts), Limit(np.empty(0), START_CALL_RISK)
        leave_risk, share = START_LEAVE_RISK, self.config.budget / 2
        if danger.any():
            call_risk = Limit(risks, LEAST_RISK)
            leave_risk = min(max(float(np.median(risks)), LEAST_RISK), call_risk.at(share))
        leave = {
            "leave_discrepancy": float(held_out.discrepancies.mean()),
            "leave_risk": leave_risk,
        }
        about = {"call_doubt": call_doubt.at(share), "call_risk": call_risk.at(share), **leave}
        return ThriftyGate(head, call_doubt, call_risk, **leave, budget=self.config.budget), about

    def _round(self, number: int, env: gymnasium.Env[Any, Any], collect: Collect) -> Round:
        round = super()._round(number, env, collect)
        if "call_doubt" not in round.about:  # nobody could call in round 0
            return round
        withheld = sum(
            extra["driver"] == POLICY
            and (extra["doubt"] > round.about["call_doubt"] or extra["risk"] > round.about["call_risk"])
            for episode in self._open(number).episodes
            for extra in episode.extras()
        )
        return replace(round, about={**round.about, "withheld": withheld})

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


class DART(InteractiveLearner[DARTConfig]):
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
