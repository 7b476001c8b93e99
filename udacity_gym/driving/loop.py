"""The one loop in which somebody drives: `drive` yields a `Step` for each step of the environment.

Falls, being stuck, laps, seconds and putting the car back are defined here and nowhere else:

- a **fall** is the end of an episode because the car's centre left the road, because it is stuck, or because
  the caller's own rule says so (``fall_reason``);
- the car is **stuck** if it has not come 1 m further along the track for 5 s;
- a **lap** is the length of the track, driven in whatever number of episodes;
- to **put the car back** is to begin an episode on the reference line where the car is, see `PutBack`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, SupportsFloat, TypeAlias, get_args

import gymnasium
import numpy as np

from udacity_gym.checks import check_integer, check_number
from udacity_gym.conditions import Conditions
from udacity_gym.driving.decision import Decision
from udacity_gym.driving.driver import Driver, as_driver
from udacity_gym.driving.standstill import STUCK_SECONDS, Standstill
from udacity_gym.errors import OptionError, SimulatorError
from udacity_gym.telemetry import Telemetry

PUT_BACK_LATERAL = 4.0
"""m/s2, lateral acceleration up to which the car keeps its speed when it is put back."""

OnFall: TypeAlias = Literal["end", "put_back", "restart"]
"""What happens after a fall: the drive ends, the car is put back, or an episode starts as the first one."""

CONDITION_OPTIONS = ("conditions", *(field.name for field in fields(Conditions)))
"""Reset options that say what weather and light are like."""


class PutBackError(SimulatorError):
    """The car can't be put back."""


@dataclass(frozen=True)
class PutBack:
    """How the car is put back: on the reference line, along the track where it is, pointing along the track.

    Attributes:
        speed: m/s to start with; "keep" is the speed that the car had, unless that is too fast for the bend
            (a lateral acceleration of more than 4 m/s²); "start" is what the drive's ``start`` says.
        keep_conditions: whether weather and light stay as they were drawn; else they are drawn anew, or are
            as the drive's ``start`` says.
    """

    speed: float | Literal["keep", "start"] = "keep"
    keep_conditions: bool = True

    def options(
        self, env: gymnasium.Env[Any, Any], info: Mapping[str, Any], start: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        """Options of the environment's reset.

        Args:
            env: the environment.
            info: of the moment when the car is put back.
            start: options that the drive started with.

        Raises:
            PutBackError: The environment does not tell where the car is.
        """
        track = getattr(env.unwrapped, "track", None)
        if "s" not in info or track is None:
            raise PutBackError(
                "the car can't be put back: this environment does not tell where on its track it is"
            )
        keeps_conditions = self.keep_conditions and "conditions" in info
        options: dict[str, Any] = {
            name: value
            for name, value in (start or {}).items()
            if not (keeps_conditions and name in CONDITION_OPTIONS)
        }
        options |= {"s": float(info["s"]), "offset": float(track.reference_offset), "heading_error": 0.0}
        if len(tracks_for(env, start)) > 1:  # the one that was drawn
            options |= {"track": track, "direction": track.direction}
        if keeps_conditions:
            options["conditions"] = info["conditions"]
        if self.speed == "keep":
            fits_bend = math.sqrt(PUT_BACK_LATERAL / max(abs(float(info["curvature"])), 1e-3))
            options["speed"] = float(np.clip(info["speed"], 0.0, fits_bend))
        elif self.speed != "start":
            options["speed"] = float(self.speed)
        return options


@dataclass(frozen=True, slots=True)
class Step:
    """One control step of a drive.

    What was there before the action has the plain names; what came of it has the names with ``next_``. A
    step whose ``decision`` is None is one in which the driver paused the simulation: nothing has changed.

    Attributes:
        env: the environment, after the step and before any new episode.
        observation: that the action was chosen on.
        info: that the action was chosen on.
        telemetry: of that moment, from which further images can be drawn; None where there is none.
        decision: what the driver decided; None paused the simulation.
        next_observation: after the action.
        next_info: after the action.
        next_telemetry: after the action.
        reward: of the environment for this step.
        terminated: the environment ended the episode for what happened.
        truncated: the environment ended the episode for another reason, such as a limit.
        is_stuck: the car has not got any further for a while.
        reason: why the episode ends with this step: the environment's "end_reason", "stuck", or what
            ``fall_reason`` says; None if it goes on.
        fell: whether that is a fall.
        starts_episode: whether it is the first step of an episode in which the driver acts.
        time: s simulated since the drive began, over all episodes, after the step.
        distance: m driven along the track since the drive began; NaN where the environment does not tell.
        lap: laps completed since the drive began; 0 where they can't be counted.
        seed: that the drive began with.
    """

    env: gymnasium.Env[Any, Any]
    observation: Any
    info: Mapping[str, Any]
    telemetry: Telemetry | None
    decision: Decision | None
    next_observation: Any
    next_info: Mapping[str, Any]
    next_telemetry: Telemetry | None
    reward: float
    terminated: bool
    truncated: bool
    is_stuck: bool
    reason: str | None
    fell: bool
    starts_episode: bool
    time: float
    distance: float
    lap: int
    seed: int | None

    @property
    def is_held(self) -> bool:
        """Whether the driver paused the simulation instead of acting."""
        return self.decision is None

    @property
    def ends_episode(self) -> bool:
        """Whether the episode ends with this step."""
        return self.reason is not None


def drive(
    env: gymnasium.Env[Any, Any],
    driver: Any,
    *,
    laps: int | None = None,
    seconds: float | None = None,
    steps: int | None = None,
    seed: int | None = None,
    driver_seed: int | None = None,
    start: Mapping[str, Any] | None = None,
    on_fall: OnFall = "end",
    on_truncation: Literal["end", "restart"] = "end",
    put_back: PutBack | None = None,
    stuck_seconds: float | None = STUCK_SECONDS,
    fall_reason: Callable[[Step], str | None] | None = None,
) -> Iterator[Step]:
    """Let somebody drive; everything that drives in this package does it by this loop.

    Args:
        env: a UdacityEnv, wrapped or not. It is reset, and not closed.
        driver: whatever `as_driver` accepts: a policy, an expert, a function, a path, a `Driver`.
        laps: laps after which to stop; None does not count them.
        seconds: s of simulated time after which to stop.
        steps: steps after which to stop.
        seed: of the environment's first reset.
        driver_seed: of the driver's randomness, see `Driver.reset`; None lets it go on with its own.
        start: options of the environment's reset, such as ``{"s": "random"}``, for the first episode and
            for each that starts anew.
        on_fall: "end" the drive, "put_back" the car, or "restart" with an episode as ``start`` says.
        on_truncation: what happens where the environment truncates an episode: "end" or "restart".
        put_back: how the car is put back.
        stuck_seconds: s without getting any further after which the car is stuck; None never is.
        fall_reason: asked at each step why it is a fall, besides leaving the road and being stuck; None is
            no reason.

    Yields:
        Each step, when it is done and before a new episode begins. Whoever wants to stop breaks off.

    Raises:
        OptionError: An argument is out of range, or the driver is none.
        SimulatorError: Laps are to be counted, and the environment does not tell them.
        PutBackError: The car is to be put back, and can't be.
        ActionError: The driver's action does not fit the environment.
    """
    rules = Rules(laps, seconds, steps, start, on_fall, on_truncation, put_back or PutBack(), stuck_seconds)
    loop = Loop(env, as_driver(driver), rules, seed, fall_reason)

    def generate() -> Iterator[Step]:
        loop.start_episode(start, seed, driver_seed)
        while True:
            yield (step := loop.step())
            if loop.is_over(step):
                return

    return generate()


@dataclass(frozen=True)
class Rules:
    """When a drive ends, and what happens where an episode does; see `drive`.

    Raises:
        OptionError: A value is out of range.
    """

    laps: int | None = None
    seconds: float | None = None
    steps: int | None = None
    start: Mapping[str, Any] | None = None
    on_fall: OnFall = "end"
    on_truncation: Literal["end", "restart"] = "end"
    put_back: PutBack = PutBack()
    stuck_seconds: float | None = STUCK_SECONDS

    def __post_init__(self) -> None:
        if self.laps is not None:
            check_integer("laps", self.laps, 1)
        if self.seconds is not None:
            check_number("seconds", self.seconds, positive=True)
        if self.steps is not None:
            check_integer("steps", self.steps, 1)
        if self.stuck_seconds is not None:
            check_number("stuck_seconds", self.stuck_seconds, positive=True)
        if self.on_fall not in get_args(OnFall):
            raise OptionError(f"on_fall must be one of {', '.join(get_args(OnFall))}, got {self.on_fall!r}")
        if self.on_truncation not in ("end", "restart"):
            raise OptionError(f"on_truncation must be 'end' or 'restart', got {self.on_truncation!r}")


class Loop:
    """A drive under way: its environment and driver, and the account over all its episodes.

    Attributes:
        env: the environment.
        driver: the driver.
        steps: steps driven.
        observation: present observation.
        info: present info.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        driver: Driver,
        rules: Rules,
        seed: int | None = None,
        fall_reason: Callable[[Step], str | None] | None = None,
    ) -> None:
        self.env, self.driver = env, driver
        self.steps = 0
        self._rules = rules
        self._seed = seed
        self._fall_reason = fall_reason
        self._time_before = self._distance_before = 0.0
        self._laps_before = 0.0
        self._starts_episode = True
        self.observation: Any = None
        self.info: Mapping[str, Any] = {}

    @property
    def time(self) -> float:
        """Seconds since the drive began."""
        return self._time_before + float(self.info["time"]) - self._episode_time

    @property
    def distance(self) -> float:
        """Metres driven along the track since the drive began; NaN where the environment does not tell."""
        return self._distance_before + float(self.info.get("progress", math.nan))

    @property
    def lap(self) -> int:
        """Laps completed since the drive began."""
        return max(0, int(self._laps_before + self._episode_laps + 1e-9))

    @property
    def _episode_laps(self) -> float:
        """Laps of this episode, with the part of one where the environment tells the progress."""
        track = getattr(self.env.unwrapped, "track", None)
        if "progress" in self.info and track is not None:
            return float(self.info["progress"]) / float(track.length)
        return float(self.info.get("lap", 0))

    def start_episode(
        self, options: Mapping[str, Any] | None, seed: int | None = None, driver_seed: int | None = None
    ) -> None:
        """Begin an episode; what was driven so far stays on the account."""
        if self.steps:
            self._time_before, self._distance_before = self.time, self.distance
            self._laps_before += self._episode_laps
        self.observation, self.info = self.env.reset(seed=seed, options=dict(options) if options else None)
        if self._rules.laps is not None and "progress" not in self.info and "lap" not in self.info:
            raise SimulatorError(
                "laps can't be counted: this simulator tells neither how far the car has come nor its lap; "
                "give seconds=... instead"
            )
        self._episode_time = float(self.info["time"])
        self._standstill = Standstill(self.time, self.distance)
        self._starts_episode = True
        self.driver.reset(self.env, self.info, driver_seed)

    def is_over(self, step: Step) -> bool:
        """Whether the drive is over after a step; if an episode has ended and it is not, begin the next one.

        Raises:
            PutBackError: The car is to be put back, and can't be.
        """
        rules = self._rules
        if not step.is_held and (
            (rules.laps is not None and step.lap >= rules.laps)
            or (rules.seconds is not None and step.time >= rules.seconds - 1e-9)
            or (rules.steps is not None and self.steps >= rules.steps)
        ):
            return True
        if not step.ends_episode:
            return False
        action = rules.on_truncation if step.truncated and not step.terminated else rules.on_fall
        if action == "put_back":
            self._put_back()
        elif action == "restart":
            self.start_episode(rules.start)
        return action == "end"

    def _put_back(self) -> None:
        """Begin an episode on the reference line where the car is."""
        options = self._rules.put_back.options(self.env, self.info, self._rules.start)
        try:
            self.start_episode(options)
        except SimulatorError as error:
            raise PutBackError(f"the car can't be put back: {error}") from error

    def step(self) -> Step:
        """Let the driver decide, and drive one control step."""
        telemetry = telemetry_of(self.env)
        decision = self.driver.decide(self.observation, self.info)
        if decision is not None:
            return self.account(decision, telemetry, self.env.step(decision.action))
        if self.env.render_mode == "human":
            self.env.render()  # keeps the window alive, at its pace
        return self.account(None, telemetry, None)

    def account(
        self,
        decision: Decision | None,
        telemetry: Telemetry | None,
        after: tuple[Any, SupportsFloat, bool, bool, Mapping[str, Any]] | None,
    ) -> Step:
        """Account for a step of the environment.

        Args:
            decision: what the driver decided; None paused the simulation.
            telemetry: of the moment before.
            after: what the environment's ``step`` returned; None if the driver paused the simulation.

        Returns:
            The step.
        """
        observation, info = self.observation, self.info
        reward: SupportsFloat = 0.0
        starts_episode = terminated = truncated = False
        if after is not None:
            self.observation, reward, terminated, truncated, self.info = after
            self.steps += 1
            starts_episode, self._starts_episode = self._starts_episode, False
        is_stuck = decision is not None and self._is_stuck()
        reason = None
        if terminated or truncated:
            reason = str(self.info.get("end_reason", "terminated" if terminated else "truncated"))
            is_stuck = is_stuck or reason == "stuck"
        elif is_stuck:
            reason = "stuck"
        step = Step(
            env=self.env,
            observation=observation,
            info=info,
            telemetry=telemetry,
            decision=decision,
            next_observation=self.observation,
            next_info=self.info,
            next_telemetry=telemetry_of(self.env),
            reward=float(reward),
            terminated=terminated,
            truncated=truncated,
            is_stuck=is_stuck,
            reason=reason,
            fell=terminated or is_stuck,
            starts_episode=starts_episode,
            time=self.time,
            distance=self.distance,
            lap=self.lap,
            seed=self._seed,
        )
        if self._fall_reason is None or decision is None:
            return step
        own_reason = self._fall_reason(step)
        if own_reason is None:
            return step
        return replace(step, reason=step.reason or own_reason, fell=True)

    def _is_stuck(self) -> bool:
        """Whether the car has not got any further for a while."""
        if self._rules.stuck_seconds is None or "progress" not in self.info:
            return False
        return self._standstill.update(self.time, self.distance) >= self._rules.stuck_seconds - 1e-9


def same_road(start: Mapping[str, Any] | None) -> dict[str, Any]:
    """Of a start, what says on which track and which way around, wherever on it the car is placed."""
    return {name: value for name, value in (start or {}).items() if name in ("track", "direction")}


def tracks_for(env: gymnasium.Env[Any, Any], options: Mapping[str, Any] | None) -> tuple[Any, ...]:
    """The tracks that an episode with some options of reset can be driven on; () if the env has none."""
    find = getattr(env.unwrapped, "tracks_for", None)
    track = getattr(env.unwrapped, "track", None)
    if find is not None:
        return tuple(find(options))
    return () if track is None else (track,)


def telemetry_of(env: gymnasium.Env[Any, Any]) -> Telemetry | None:
    """The present telemetry of an environment; None where it has none."""
    telemetry = getattr(env.unwrapped, "telemetry", None)
    return telemetry if isinstance(telemetry, Telemetry) else None
