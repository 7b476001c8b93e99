"""Let a policy drive, put the car back when it fails, and keep account: `evaluate`."""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, get_args, runtime_checkable

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from udacity_gym.errors import OptionError, SimulatorError
from udacity_gym.evaluation.metrics import EdgeDepartures, ReferenceDepartures
from udacity_gym.evaluation.result import Criterion, Evaluation, Incident, Kind, Trajectory
from udacity_gym.telemetry import Pose
from udacity_gym.wrappers import fit_to

if TYPE_CHECKING:
    from udacity_gym.experts import Expert

NO_TRACK = (
    "an evaluation needs to know where the car is on its track, and this environment does not tell; "
    'evaluate in gym.make("UdacitySim-v0", simulator="embedded")'
)

STUCK_SECONDS = 5.0
"""s without getting any further after which somebody has to help."""
STUCK_METRES = 1.0
"""m along the track that count as getting further."""
SLOWEST = 3.0
"""m/s mean speed that the default time limit allows for."""
PUT_BACK_LATERAL = 4.0
"""m/s2, lateral acceleration up to which the car keeps its speed when it is put back."""
NO_POSE = Pose(math.nan, math.nan, math.nan, math.nan)
"""Pose of a car whose environment does not tell it."""


@runtime_checkable
class Predictor(Protocol):
    """Anything with the ``predict`` of Stable-Baselines3."""

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[np.float32], Any]:
        """Choose an action; returns (action, state)."""


@dataclass(frozen=True, slots=True)
class Step:
    """One control step of an evaluation, as its ``on_step`` hook sees it.

    Attributes:
        env: the environment, just after the step and before any put-back.
        observation: what the action was chosen on.
        action: what was done.
        info: the environment's info after the action.
        time: s since the evaluation began.
        distance: m driven along the track since the evaluation began.
        lap: completed laps.
        interventions: how often the car has been put back, this step included.
        incidents: what went wrong in this step.
    """

    env: gym.Env[Any, Any]
    observation: Any
    action: NDArray[np.float32]
    info: Mapping[str, Any]
    time: float
    distance: float
    lap: int
    interventions: int
    incidents: tuple[Incident, ...]


def evaluate(
    policy: Predictor | Expert,
    env: gym.Env[Any, Any],
    laps: int = 3,
    *,
    seed: int | None = 0,
    max_seconds: float | None = None,
    intervene: Criterion = "edge",
    start: Mapping[str, Any] | None = None,
    on_step: Callable[[Step], object] | None = None,
    progress: bool = False,
) -> Evaluation:
    """Judge a policy by driving, with the autonomy of Bojarski et al. 2016, section 7.

    The car starts at the environment's start pose, or as ``start`` says. Whenever it leaves the lane,
    gets stuck, or the environment ends the episode, that is an intervention: the car is put back on the
    reference line at the same place, with the speed it had unless that is too fast for the bend, and
    drives on.
    ``autonomy = 1 - interventions * 6 s / elapsed time``.

    There are two meanings of leaving the lane, and both are counted: a wheel over the edge line
    ("edge"), and more than 1 m from the reference line ("reference"). One of them makes the
    evaluation intervene; departures of the other kind are counted, one excursion once. With "road" the
    car may leave its lane, and is put back when its centre leaves the road: the falls of Ross et al. 2011.

    A policy with ``actions == ("steering",)`` gets `udacity_gym.wrappers.SpeedControl` at its own
    ``target_speed``, one with "speed" in its ``inputs`` `udacity_gym.wrappers.SpeedObservation`.

    Args:
        policy: anything with the ``predict`` of Stable-Baselines3, or an expert: a callable
            ``(observation, info) -> action``.
        env: a UdacityEnv, wrapped or not, without limits of its own (``max_laps``, ``max_seconds``):
            where it truncates, the evaluation ends.
        laps: laps to drive.
        seed: seed of the first reset.
        max_seconds: s of simulated time after which the evaluation ends whatever happens; None
            allows for a mean speed of 3 m/s.
        intervene: which departure to intervene on, "edge", "reference" or "road".
        start: options of the first reset, such as ``{"s": "random"}``; None is the track's start. On its
            track and in its direction the whole evaluation is driven.
        on_step: called with a `Step` after each control step, for videos and the like.
        progress: show a progress bar.

    Returns:
        What was found.

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

    drive = _Drive(_Driver(policy), fit_to(policy, env), track, intervene, elsewhere(start))
    with _Progress(laps * track.length, progress) as bar:
        drive.begin(seed, None if start is None else dict(start))
        while drive.ended is None:
            step = drive.step()
            if on_step is not None:
                on_step(step)
            bar.show(step)
            if step.lap >= laps:
                drive.ended = "all laps driven"
            elif step.time >= limit - 1e-9:
                drive.ended = f"time limit of {limit:.0f} s"
            elif any(incident.intervention for incident in step.incidents):
                drive.put_back()
    evaluation = Evaluation(
        policy=name_of(policy),
        track=str(track.name),
        track_data=track.data,
        track_length=float(track.length),
        laps_wanted=laps,
        intervene=intervene,
        seed=seed,
        seconds=drive.time,
        distance=drive.distance,
        ended=drive.ended,
        incidents=tuple(drive.incidents),
        trajectory=drive.log.trajectory(),
    )
    if drive.cut_short and not evaluation.complete:
        warnings.warn(
            f"only {evaluation.laps} of {laps} laps are judged, {drive.distance:.0f} m: {drive.ended}",
            stacklevel=2,
        )
    return evaluation


class _Driver:
    """A policy or an expert, as one thing that chooses actions."""

    def __init__(self, policy: Predictor | Expert) -> None:
        if not isinstance(policy, Predictor) and not callable(policy):
            raise OptionError(
                "a policy needs predict(observation, ...) or must be a callable "
                f"(observation, info) -> action; got {type(policy).__name__}"
            )
        self.policy = policy
        self.begin()

    def begin(self) -> None:
        """Forget the past: a new episode begins."""
        self._state: Any = None
        self._first = True

    def __call__(self, observation: Any, info: Mapping[str, Any]) -> NDArray[np.float32]:
        if not isinstance(self.policy, Predictor):
            return self.policy(observation, info)
        start = np.array([self._first])
        self._first = False
        action, self._state = self.policy.predict(
            observation, state=self._state, episode_start=start, deterministic=True
        )
        return action


class _Drive:
    """The account of a drive over all its episodes."""

    def __init__(
        self,
        driver: _Driver,
        env: gym.Env[Any, Any],
        track: Any,
        intervene: Criterion,
        elsewhere: Mapping[str, Any],
    ) -> None:
        self.driver = driver
        self.env = env
        self.track = track
        self.intervene = intervene
        self.elsewhere = elsewhere
        self.incidents: list[Incident] = []
        self.log = _Log()
        self.ended: str | None = None
        self.cut_short = False
        self._time_before = self._distance_before = 0.0
        self._interventions = 0
        self._furthest = -math.inf

    @property
    def time(self) -> float:
        """Seconds since the evaluation began."""
        return self._time_before + float(self.info["time"])

    @property
    def distance(self) -> float:
        """Metres driven since the evaluation began."""
        return self._distance_before + float(self.info["progress"])

    def begin(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Start an episode."""
        self.observation, self.info = self.env.reset(seed=seed, options=options)
        if "cte" not in self.info:
            raise SimulatorError(NO_TRACK)
        self.driver.begin()
        self._edge, self._reference = EdgeDepartures(), ReferenceDepartures()
        self._edge.update(bool(self.info["off_lane"]), self.time)
        self._reference.update(float(self.info["cte"]))
        self._stuck_from = (self.time, self.distance)
        self.log.add(self)

    def put_back(self) -> None:
        """Put the car back on the reference line where it is, with a speed that fits the bend."""
        before = self._time_before, self._distance_before
        self._time_before, self._distance_before = self.time, self.distance
        fits = math.sqrt(PUT_BACK_LATERAL / max(abs(float(self.info["curvature"])), 1e-3))
        options: dict[str, Any] = {
            **self.elsewhere,
            "s": float(self.info["s"]),
            "offset": float(self.track.reference_offset),
            "heading_error": 0.0,
            "speed": float(np.clip(self.info["speed"], 0.0, fits)),
        }
        if "conditions" in self.info:  # it is one drive: conditions that were drawn stay
            options["conditions"] = self.info["conditions"]
        try:
            self.begin(options=options)
        except SimulatorError as error:
            self._time_before, self._distance_before = before
            self.ended = f"the car can't be put back: {error}"
            self.cut_short = True

    def step(self) -> Step:
        """Drive one control step and note what went wrong in it."""
        observation = self.observation
        action = self.driver(observation, self.info)
        self.observation, _, terminated, truncated, self.info = self.env.step(action)
        self.log.add(self)
        incidents = self._incidents(terminated)
        self.incidents += incidents
        if truncated and not terminated:
            self.ended = f"the environment truncated the episode after {self.distance:.0f} m"
            self.cut_short = True
        return Step(
            env=self.env,
            observation=observation,
            action=action,
            info=self.info,
            time=self.time,
            distance=self.distance,
            lap=max(0, int(self.distance / self.track.length + 1e-9)),
            interventions=self._interventions,
            incidents=incidents,
        )

    def _incidents(self, terminated: bool) -> tuple[Incident, ...]:
        kinds: list[Kind] = []
        if self._edge.update(bool(self.info["off_lane"] or self.info["offroad"]), self.time):
            kinds.append("edge")
        if self._reference.update(float(self.info["cte"])):
            kinds.append("reference")
        if self.intervene == "road" and self.info["offroad"]:
            kinds.append("road")
        if self.distance - self._stuck_from[1] >= STUCK_METRES:
            self._stuck_from = (self.time, self.distance)
        elif self.time - self._stuck_from[0] >= STUCK_SECONDS - 1e-9:
            kinds.append("stuck")
        if terminated and self.intervene not in kinds:
            kinds.append("terminated")
        # One put-back has one cause, however much went wrong in the same step.
        cause = next((k for k in (self.intervene, "terminated", "stuck") if k in kinds), None)
        self._interventions += cause is not None
        return tuple(self._incident(kind, kind == cause) for kind in kinds)

    def _incident(self, kind: Kind, intervention: bool) -> Incident:
        pose = Pose.from_info(self.info) or NO_POSE
        return Incident(
            time=self.time,
            distance=self.distance,
            s=float(self.info["s"]),
            kind=kind,
            intervention=intervention,
            x=pose.x,
            y=pose.y,
            z=pose.z,
            yaw=pose.yaw,
            cte=float(self.info["cte"]),
            speed=float(self.info["speed"]),
        )


@dataclass
class _Log:
    """Grows into a trajectory."""

    rows: list[tuple[float, ...]] = field(default_factory=list)

    def add(self, drive: _Drive) -> None:
        """Note where the car is now."""
        info = drive.info
        pose = Pose.from_info(info) or NO_POSE
        throttle = float(info["throttle"]) - float(info["brake"])
        position = (drive.time, drive.distance, float(info["s"]), pose.x, pose.y, float(info["cte"]))
        motion = (float(info["speed"]), float(info["steering"]), throttle, float(drive._interventions))
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

            look = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} m [{elapsed}<{remaining}{postfix}]"
            self._bar = tqdm(total=round(self._metres), desc="driving", bar_format=look)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, step: Step) -> None:
        """Move the bar."""
        if self._bar is not None:
            ahead = round(min(step.distance, self._metres)) - self._bar.n
            if ahead > 0:
                self._bar.update(ahead)
                self._bar.set_postfix_str(f"{step.interventions} interventions", refresh=False)


def track_of(env: gym.Env[Any, Any]) -> Any:
    """The track that the environment's car drives on, None if it has none."""
    return getattr(env.unwrapped, "track", None)


def track_for(env: gym.Env[Any, Any], options: Mapping[str, Any] | None) -> Any:
    """The track that an episode with some options of reset is driven on, None if the environment has none."""
    find = getattr(env.unwrapped, "track_for", None)
    return track_of(env) if find is None else find(options)


def elsewhere(start: Mapping[str, Any] | None) -> dict[str, Any]:
    """Of a start, what says on which track and which way around, wherever on it the car is placed."""
    return {name: value for name, value in (start or {}).items() if name in ("track", "direction")}


def name_of(policy: object) -> str:
    """What to call who drives: its own name, that of its network, or that of its class."""
    for attribute in ("name", "__name__"):
        name = getattr(policy, attribute, None)
        if isinstance(name, str):
            return name
    return type(getattr(policy, "network", policy)).__name__
