"""Judging by driving: `evaluate` lets somebody drive, puts the car back when they fail, and keeps account."""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import gymnasium as gym
import numpy as np

from udacity_gym.driving.driver import Driver, Predictor, as_driver, name_of
from udacity_gym.driving.loop import PutBackError, Step, drive, track_for
from udacity_gym.errors import OptionError, SimulatorError
from udacity_gym.evaluation.metrics import EdgeDepartures, ReferenceDepartures
from udacity_gym.evaluation.result import Criterion, Evaluation, Incident, Kind, Trajectory
from udacity_gym.telemetry import Pose

if TYPE_CHECKING:
    from udacity_gym.experts import Expert

NO_TRACK = (
    "an evaluation needs to know where the car is on its track, and this environment does not tell; "
    'evaluate in gym.make("UdacitySim-v0", simulator="embedded")'
)

NO_POSE = Pose(math.nan, math.nan, math.nan, math.nan)
"""Pose of a car whose environment does not tell it."""

SLOWEST = 3.0
"""m/s mean speed that the default time limit allows for."""


@dataclass(frozen=True, slots=True)
class EvaluationStep(Step):
    """One control step of an evaluation, as its ``on_step`` hook sees it: a `Step`, and what went wrong.

    Attributes:
        incidents: what went wrong in this step.
        interventions: how often the car has been put back, this step included.
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
) -> Evaluation:
    """Judge a policy by driving, with the autonomy of Bojarski et al. 2016, section 7.

    The car starts at the environment's start pose, or as ``start`` says. An intervention happens when it
    leaves its lane, gets stuck, or ends the episode. The car is then put back on the reference line at the
    same place, with the speed it had unless that is too fast for the bend, and drives on.
    ``autonomy = 1 - interventions * 6 s / elapsed time``.

    There are two meanings of leaving the lane, and both are counted: a wheel over the edge line
    ("edge"), and more than 1 m from the reference line ("reference"). One of them makes the
    evaluation intervene; departures of the other kind are counted, one excursion once. With "road" the
    car may leave its lane, and is put back when its centre leaves the road: the falls of Ross et al. 2011.

    Args:
        policy: whatever drives, see `udacity_gym.driving.as_driver`: anything with the ``predict`` of
            Stable-Baselines3, an expert, which is a callable ``(observation, info) -> action``, a path. How a
            policy that only steers, or that wants the speed, is driven is said at
            `udacity_gym.driving.PolicyDriver`.
        env: a UdacityEnv, wrapped or not, without limits of its own (``max_laps``, ``max_seconds``):
            where it truncates, the evaluation ends.
        laps: laps to drive.
        seed: seed of the first reset.
        max_seconds: s of simulated time after which the evaluation ends whatever happens; None
            allows for a mean speed of 3 m/s.
        intervene: which departure to intervene on, "edge", "reference" or "road".
        start: options of the first reset, such as ``{"s": "random"}``; None is the track's start. On its
            track and in its direction the whole evaluation is driven.
        on_step: called with an `EvaluationStep` after each control step, for videos and the like.
        driver_seed: of the randomness of whoever drives, such as a perturbed expert; None lets it go on with
            its own.
        progress: show a progress bar.

    Returns:
        The results.

    Raises:
        OptionError: ``laps``, ``max_seconds`` or ``intervene`` is out of range.
        SimulatorError: The simulator does not tell where the car is relative to a track.
        ActionError: The policy's action does not fit the environment.

    Warns:
        UserWarning: The environment made an end before the laps were driven.
    """
    try:
        laps = operator.index(laps)
    except TypeError:
        raise OptionError(f"laps must be a whole number, got {laps!r}") from None
    if laps < 1:
        raise OptionError(f"laps must be 1 or more, got {laps!r}")
    if max_seconds is not None and not isinstance(max_seconds, (int, float, np.number)):
        raise OptionError(f"max_seconds must be a number, got {max_seconds!r}")
    if seed is not None and seed < 0:
        raise OptionError(f"seed must be 0 or above, got {seed!r}")
    if intervene not in get_args(Criterion):
        raise OptionError(f"intervene must be one of {', '.join(get_args(Criterion))}, got {intervene!r}")
    track = track_for(env, start)
    if track is None:
        raise SimulatorError(NO_TRACK)
    limit = laps * track.length / SLOWEST if max_seconds is None else max_seconds
    if not limit > 0:
        raise OptionError(f"max_seconds must be above 0, got {max_seconds!r}")

    driver = as_driver(policy)
    judge = _Judge(intervene)
    steps = drive(
        env,
        driver,
        seconds=limit,
        seed=seed,
        driver_seed=driver_seed,
        start=start,
        on_fall="put_back",
        fall_reason=judge,
    )
    step: Step | None = None
    failure: PutBackError | None = None
    with _Progress(laps * track.length, progress) as bar:
        try:
            for step in steps:
                if on_step is not None:
                    on_step(judge.with_incidents(step))
                bar.show(step, judge.interventions)
                if step.lap >= laps:
                    break
        except PutBackError as error:
            failure = error
    assert step is not None, "a drive has at least one step"
    cut_short = failure is not None or (step.truncated and not step.terminated)
    if step.lap >= laps:
        ended = "all laps driven"
    elif step.time >= limit - 1e-9:
        ended = f"time limit of {limit:.0f} s"
    elif failure is not None:
        ended = str(failure)
    else:
        ended = f"the environment truncated the episode after {step.distance:.0f} m"
    evaluation = Evaluation(
        policy=name_of(driver),
        track=str(track.name),
        track_data=track.data,
        track_length=float(track.length),
        laps_wanted=laps,
        intervene=intervene,
        seed=seed,
        seconds=step.time,
        distance=step.distance,
        ended=ended,
        incidents=tuple(judge.incidents),
        trajectory=judge.log.trajectory(),
    )
    if cut_short and not evaluation.complete:
        warnings.warn(
            f"only {evaluation.laps} of {laps} laps are judged, {step.distance:.0f} m: {ended}",
            stacklevel=2,
        )
    return evaluation


class _Judge:
    """Keeps account of what goes wrong, and says when the car has to be put back: a ``fall_reason``."""

    def __init__(self, intervene: Criterion) -> None:
        self.intervene = intervene
        self.incidents: list[Incident] = []
        self.interventions = 0
        self.log = _Log()
        self._new: tuple[Incident, ...] = ()
        self._time = self._distance = 0.0
        self._edge, self._reference = EdgeDepartures(), ReferenceDepartures()

    def __call__(self, step: Step) -> str | None:
        """Note what went wrong in a step; the kind of the intervention, if there is one."""
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
        if step.terminated and self.intervene not in kinds:
            kinds.append("terminated")
        # One put-back has one cause, however much went wrong in the same step.
        cause = next((k for k in (self.intervene, "terminated", "stuck") if k in kinds), None)
        self.interventions += cause is not None
        self._new = tuple(_incident(step, kind, kind == cause) for kind in kinds)
        self.incidents += self._new
        return cause

    def _start_episode(self, step: Step) -> None:
        """Begin the account of an episode with the moment before its first step."""
        info = step.info
        if "cte" not in info:
            raise SimulatorError(NO_TRACK)
        self._edge, self._reference = EdgeDepartures(), ReferenceDepartures()
        self._edge.update(bool(info["off_lane"]), self._time)
        self._reference.update(float(info["cte"]))
        self.log.add(info, self._time, self._distance, self.interventions)

    def with_incidents(self, step: Step) -> EvaluationStep:
        """A step with what went wrong in it."""
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
    """Grows into a trajectory."""

    rows: list[tuple[float, ...]] = field(default_factory=list)

    def add(self, info: Mapping[str, Any], time: float, distance: float, interventions: int) -> None:
        """Note where the car is.

        Args:
            info: of the environment.
            time: s since the evaluation began.
            distance: m driven since the evaluation began.
            interventions: so far.
        """
        pose = Pose.from_info(info) or NO_POSE
        throttle = float(info["throttle"]) - float(info["brake"])
        position = (time, distance, float(info["s"]), pose.x, pose.y, float(info["cte"]))
        motion = (float(info["speed"]), float(info["steering"]), throttle, float(interventions))
        self.rows.append((*position, *motion, float(info["off_lane"] or info["offroad"])))

    def trajectory(self) -> Trajectory:
        """The rows as columns, to a tenth of a millimetre: more digits would only make files longer."""
        return Trajectory(*np.array(self.rows, dtype=np.float64).round(4).T.copy())


class _Progress:
    """A progress bar over the metres to drive, or nothing."""

    def __init__(self, metres: float, show: bool) -> None:
        self._bar: Any = None
        self._metres = metres
        self._show = show

    def __enter__(self) -> _Progress:
        if self._show:
            from tqdm import tqdm

            bar_format = (
                "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} m [{elapsed}<{remaining}{postfix}]"
            )
            self._bar = tqdm(total=round(self._metres), desc="driving", bar_format=bar_format)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, step: Step, interventions: int) -> None:
        """Move the bar."""
        if self._bar is not None:
            ahead = round(min(step.distance, self._metres)) - self._bar.n
            if ahead > 0:
                self._bar.update(ahead)
                self._bar.set_postfix_str(f"{interventions} interventions", refresh=False)
