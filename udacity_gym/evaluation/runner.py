"""Evaluation of a policy by driving: `evaluate`."""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import gymnasium as gym
import numpy as np

from udacity_gym.driving.driver import Driver, Predictor, as_driver, name_of
from udacity_gym.driving.loop import PutBackError, Rules, Step, drive, tracks_for
from udacity_gym.errors import OptionError, SimulatorError
from udacity_gym.evaluation.identity import identity_of
from udacity_gym.evaluation.metrics import EdgeDepartures, ReferenceDepartures
from udacity_gym.evaluation.provenance import Provenance
from udacity_gym.evaluation.result import Criterion, Evaluation, Incident, Kind, Trajectory
from udacity_gym.progress import progress_bar
from udacity_gym.telemetry import Pose
from udacity_gym.text import count

if TYPE_CHECKING:
    from udacity_gym.experts import Expert
    from udacity_gym.vector import UdacityVectorEnv

NO_TRACK = (
    "an evaluation needs the position of the car on its track, which this environment does not report; "
    'evaluate in gym.make("UdacitySim-v0", simulator="embedded")'
)

NO_POSE = Pose(math.nan, math.nan, math.nan, math.nan)
"""Pose of the car if the environment does not report it."""

SLOWEST = 3.0
"""Mean speed for the default time limit, m/s."""


@dataclass(frozen=True, slots=True)
class EvaluationStep(Step):
    """One control step of an evaluation with its incidents, for the ``on_step`` hook.

    Attributes:
        incidents: incidents of this step.
        interventions: number of interventions so far, including this step.
    """

    incidents: tuple[Incident, ...]
    interventions: int


def evaluate(
    policy: Predictor | Expert | Driver | str | Path,
    env: gym.Env[Any, Any],
    laps: int = 3,
    *,
    seed: int | None = 0,
    max_seconds: float | None = None,
    intervene: Criterion = "edge",
    start: Mapping[str, Any] | None = None,
    on_step: Callable[[EvaluationStep], object] | None = None,
    driver_seed: int | None = None,
    progress: bool = False,
    provenance: Provenance | None = None,
) -> Evaluation:
    """Evaluate a policy by driving, with the autonomy of Bojarski et al. 2016, section 7.

    The car starts at the environment's start pose, or as ``start`` says. An intervention happens when it
    leaves its lane, gets stuck, or ends the episode. The car is then put back on the reference line at the
    same position, with the speed it had unless that is too fast for the bend, and drives on.
    ``autonomy = 1 - interventions * 6 s / elapsed time``.

    There are two definitions of leaving the lane: a wheel is over the edge line ("edge"), or the car is more
    than 1 m from the reference line ("reference"). ``intervene`` chooses the one that puts the car back.
    Departures of both kinds are counted, one excursion once. With "road", the car may leave its lane, and is
    put back when its centre leaves the road: the falls of Ross et al. 2011.

    Args:
        policy: an object with the ``predict`` of Stable-Baselines3, an expert (a callable
            ``(observation, info) -> action``), or a path; see `udacity_gym.driving.as_driver`. For policies
            that only steer or that need the speed, see `udacity_gym.driving.PolicyDriver`.
        env: a UdacityEnv, wrapped or not, without limits of its own (``max_laps``, ``max_seconds``). The
            evaluation ends when the environment truncates the episode.
        laps: number of laps.
        seed: seed of the first reset.
        max_seconds: limit of simulated time, s; None is enough for a mean speed of 3 m/s.
        intervene: criterion for putting the car back: "edge", "reference" or "road".
        start: options of the first reset, such as ``{"s": "random"}``; None for the start of the track. Its
            track and direction are those of the whole evaluation.
        on_step: called with an `EvaluationStep` after each control step, for example to make a video.
        driver_seed: seed of a random driver, such as a perturbed expert; None does not seed it.
        progress: show a progress bar.
        provenance: where the policy comes from; None describes this process and the policy.

    Returns:
        The results.

    Raises:
        OptionError: ``laps``, ``max_seconds`` or ``intervene`` is out of range.
        SimulatorError: The simulator does not report the position of the car on a track.
        ActionError: The policy's action does not fit the environment.

    Warns:
        UserWarning: The environment ended before all laps were driven.
    """
    trial = Trial(laps, seed, max_seconds, intervene, start, driver_seed, on_step)
    driver = as_driver(policy)
    provenance = provenance or Provenance.of_this_process(identity_of(policy))
    judge = _Judge(trial, env, name_of(driver), provenance)
    steps = drive(
        env,
        driver,
        seconds=judge.limit,
        seed=seed,
        driver_seed=driver_seed,
        start=start,
        on_fall="put_back",
        fall_reason=judge.account,
    )
    with _Progress(judge.metres, progress) as bar:
        try:
            for step in steps:
                judge.add(step)
                bar.show(step, judge.account.interventions)
                if step.lap >= judge.laps:
                    break
        except PutBackError as error:
            judge.failure = error
    return judge.evaluation()


@dataclass(frozen=True)
class Trial:
    """One of the drives of `evaluate_many`; the fields are the arguments of `evaluate`.

    Attributes:
        laps: number of laps.
        seed: seed of the first reset.
        max_seconds: limit of simulated time, s; None is enough for a mean speed of 3 m/s.
        intervene: criterion for putting the car back.
        start: options of the first reset.
        driver_seed: seed of a random driver.
        on_step: called after each control step.
        driver: who drives; None for the policy that all trials share.

    Raises:
        OptionError: A value is out of range.
    """

    laps: int = 3
    seed: int | None = 0
    max_seconds: float | None = None
    intervene: Criterion = "edge"
    start: Mapping[str, Any] | None = None
    driver_seed: int | None = None
    on_step: Callable[[EvaluationStep], object] | None = None
    driver: Any = None

    def __post_init__(self) -> None:
        try:
            laps = operator.index(self.laps)
        except TypeError:
            raise OptionError(f"laps must be a whole number, got {self.laps!r}") from None
        if laps < 1:
            raise OptionError(f"laps must be 1 or more, got {self.laps!r}")
        if self.max_seconds is not None and not isinstance(self.max_seconds, (int, float, np.number)):
            raise OptionError(f"max_seconds must be a number, got {self.max_seconds!r}")
        if self.max_seconds is not None and not self.max_seconds > 0:
            raise OptionError(f"max_seconds must be above 0, got {self.max_seconds!r}")
        if self.seed is not None and self.seed < 0:
            raise OptionError(f"seed must be 0 or above, got {self.seed!r}")
        if self.intervene not in get_args(Criterion):
            raise OptionError(
                f"intervene must be one of {', '.join(get_args(Criterion))}, got {self.intervene!r}"
            )


def evaluate_many(
    policy: Any,
    envs: UdacityVectorEnv,
    trials: Sequence[Trial],
    *,
    name: str | None = None,
    provenance: Provenance | None = None,
) -> list[Evaluation]:
    """Evaluate a policy by driving many cars at once, see `udacity_gym.driving.drive_many`.

    Args:
        policy: takes batches of observations; None if each trial has a driver.
        envs: the cars.
        trials: one for each car, or fewer.
        name: name of the policy; None is its own.
        provenance: where the policy comes from; None describes this process and the policy.

    Returns:
        The results of each trial. Those of an expert are the ones of `evaluate`; those of a policy differ by
        what its sums in batches are rounded to.

    Raises:
        OptionError: There are more trials than cars; see also `drive_many`.
        SimulatorError: See `evaluate`.
        ActionError: The policy does not take batches, or its action does not fit the environment.
    """
    from udacity_gym.driving.many import Drive, drive_many

    if len(trials) > envs.num_envs:
        raise OptionError(f"{len(trials)} trials need as many cars, and there are {envs.num_envs}")
    provenance = provenance or Provenance.of_this_process(identity_of(policy))
    judges, drives = [], []
    for trial, env in zip(trials, envs.envs, strict=False):
        driver_name = name or name_of(policy if trial.driver is None else trial.driver)
        judge = _Judge(trial, env, driver_name, provenance)
        rules = Rules(laps=judge.laps, seconds=judge.limit, start=trial.start, on_fall="put_back")
        drives.append(Drive(rules, trial.seed, trial.driver_seed, judge.account, trial.driver))
        judges.append(judge)
    for i, step in drive_many(envs, policy, drives):
        if isinstance(step, PutBackError):
            judges[i].failure = step
        else:
            judges[i].add(step)
    return [judge.evaluation() for judge in judges]


class _Judge:
    """Judges the steps of a drive.

    Attributes:
        account: incidents so far.
        laps: number of laps to drive.
        metres: length of these laps, m.
        limit: limit of simulated time, s.
        failure: why the car could not be put back, if it could not.
    """

    def __init__(self, trial: Trial, env: gym.Env[Any, Any], name: str, provenance: Provenance) -> None:
        tracks = tracks_for(env, trial.start)
        if not tracks:
            raise SimulatorError(NO_TRACK)
        self.account = _Account(trial.intervene)
        self.laps = operator.index(trial.laps)
        self.metres = self.laps * max(float(track.length) for track in tracks)
        self.limit = self.metres / SLOWEST if trial.max_seconds is None else trial.max_seconds
        self.failure: PutBackError | None = None
        self._trial, self._env, self._name, self._provenance = trial, env, name, provenance
        self._step: Step | None = None

    def add(self, step: Step) -> None:
        """Take note of a step."""
        self._step = step
        if self._trial.on_step is not None:
            self._trial.on_step(self.account.with_incidents(step))

    def evaluation(self) -> Evaluation:
        """The results.

        Warns:
            UserWarning: The environment ended before all laps were driven.
        """
        step = self._step
        assert step is not None, "a drive has at least one step"
        track: Any = self._env.unwrapped.track  # type: ignore[attr-defined]
        cut_short = self.failure is not None or (step.truncated and not step.terminated)
        if step.lap >= self.laps:
            ended = "all laps driven"
        elif step.time >= self.limit - 1e-9:
            ended = f"time limit of {self.limit:.0f} s"
        elif self.failure is not None:
            ended = str(self.failure)
        else:
            ended = f"the environment truncated the episode after {step.distance:.0f} m"
        evaluation = Evaluation(
            policy=self._name,
            track=str(track.name),
            track_data=track.data,
            track_length=float(track.length),
            laps_wanted=self.laps,
            intervene=self._trial.intervene,
            seed=self._trial.seed,
            seconds=step.time,
            distance=step.distance,
            ended=ended,
            incidents=tuple(self.account.incidents),
            trajectory=self.account.log.trajectory(),
            provenance=self._provenance,
        )
        if cut_short and not evaluation.complete:
            warnings.warn(
                f"only {evaluation.laps} of {self.laps} laps are judged, {step.distance:.0f} m: {ended}",
                stacklevel=3,
            )
        return evaluation


class _Account:
    """Record incidents and decide when the car is put back; a ``fall_reason``."""

    def __init__(self, intervene: Criterion) -> None:
        self.intervene = intervene
        self.incidents: list[Incident] = []
        self.interventions = 0
        self.log = _Log()
        self._new: tuple[Incident, ...] = ()
        self._time = self._distance = 0.0
        self._edge, self._reference = EdgeDepartures(), ReferenceDepartures()

    def __call__(self, step: Step) -> str | None:
        """Record the incidents of a step. Returns the kind of the intervention, or None."""
        if step.starts_episode:
            self._start_episode(step)
        info = step.next_info
        self._time, self._distance = step.time, step.distance
        self.log.add(info, step.time, step.distance, self.interventions)
        kinds: list[Kind] = []
        if self._edge.update(bool(info["off_lane"] or info["offroad"]), step.time):
            kinds.append("edge")
        if self._reference.update(float(info["cte"])):
            kinds.append("reference")
        if self.intervene == "road" and info["offroad"]:
            kinds.append("road")
        if step.is_stuck:
            kinds.append("stuck")
        if step.terminated and not step.is_stuck and self.intervene not in kinds:
            kinds.append("terminated")
        # A put-back has one cause, even if there are several incidents in the same step.
        cause = next((k for k in (self.intervene, "terminated", "stuck") if k in kinds), None)
        self.interventions += cause is not None
        self._new = tuple(_incident(step, kind, kind == cause) for kind in kinds)
        self.incidents += self._new
        return cause

    def _start_episode(self, step: Step) -> None:
        """Record the state before the first step of an episode."""
        info = step.info
        if "cte" not in info:
            raise SimulatorError(NO_TRACK)
        self._edge, self._reference = EdgeDepartures(), ReferenceDepartures()
        self._edge.update(bool(info["off_lane"]), self._time)
        self._reference.update(float(info["cte"]))
        self.log.add(info, self._time, self._distance, self.interventions)

    def with_incidents(self, step: Step) -> EvaluationStep:
        """Add the incidents to a step."""
        values = {field.name: getattr(step, field.name) for field in fields(Step)}
        return EvaluationStep(**values, incidents=self._new, interventions=self.interventions)


def _incident(step: Step, kind: Kind, intervention: bool) -> Incident:
    info = step.next_info
    pose = Pose.from_info(info) or NO_POSE
    return Incident(
        time=step.time,
        distance=step.distance,
        s=float(info["s"]),
        kind=kind,
        intervention=intervention,
        x=pose.x,
        y=pose.y,
        z=pose.z,
        yaw=pose.yaw,
        cte=float(info["cte"]),
        speed=float(info["speed"]),
    )


@dataclass
class _Log:
    """Collect the rows of a trajectory."""

    rows: list[tuple[float, ...]] = field(default_factory=list)

    def add(self, info: Mapping[str, Any], time: float, distance: float, interventions: int) -> None:
        """Add a row.

        Args:
            info: info of the environment.
            time: time since the start of the evaluation, s.
            distance: distance driven since the start of the evaluation, m.
            interventions: number of interventions so far.
        """
        pose = Pose.from_info(info) or NO_POSE
        throttle = float(info["throttle"]) - float(info["brake"])
        position = (time, distance, float(info["s"]), pose.x, pose.y, float(info["cte"]))
        motion = (float(info["speed"]), float(info["steering"]), throttle, float(interventions))
        self.rows.append((*position, *motion, float(info["off_lane"] or info["offroad"])))

    def trajectory(self) -> Trajectory:
        """Convert the rows to columns, rounded to 0.1 mm, because more digits only make files longer."""
        return Trajectory(*np.array(self.rows, dtype=np.float64).round(4).T.copy())


class _Progress:
    """Progress bar over the metres to drive; optional."""

    def __init__(self, metres: float, show: bool) -> None:
        self._bar: Any = None
        self._metres = metres
        self._show = show

    def __enter__(self) -> _Progress:
        if self._show:
            bar_format = (
                "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} m [{elapsed}<{remaining}{postfix}]"
            )
            self._bar = progress_bar(total=round(self._metres), desc="driving", bar_format=bar_format)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, step: Step, interventions: int) -> None:
        """Update the bar."""
        if self._bar is not None:
            new_metres = round(min(step.distance, self._metres)) - self._bar.n
            if new_metres > 0:
                self._bar.update(new_metres)
                self._bar.set_postfix_str(count(interventions, "intervention"), refresh=False)
