"""The protocol of experts, and base classes of the built-in ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import gymnasium
import numpy as np
from numpy.typing import NDArray

from udacity_gym.driving.driver import EpisodeClock
from udacity_gym.errors import OptionError, SimulatorError
from udacity_gym.telemetry import Pose
from udacity_gym.world.physics.car import GRAVITY, CarParameters
from udacity_gym.world.track.track import Track, built_in_tracks

MAX_POSE_DIFFERENCE = 1.0
"""Distance between the car and its expected position above which the car is on another track, m."""


class Expert(Protocol):
    """A callable that shows how to drive.

    If the executed action is not the one to imitate, the expert has an attribute ``label``, the action of
    its last call that learners imitate; see `NoisyExpert`. If it has ``reset(env, info, seed=None)``, that is
    called at the beginning of each episode, see `udacity_gym.driving.Driver.reset`.
    """

    def __call__(self, observation: Any, info: Mapping[str, Any], /) -> NDArray[np.float32]:
        """Choose the next action.

        Args:
            observation: observation of the environment.
            info: info of the environment, see `udacity_gym.env.UdacityEnv`.

        Returns:
            (2,) float32 (steering, throttle) in [-1, 1].
        """
        ...


class EpisodicExpert:
    """Base of experts with a state that lasts an episode.

    Copies and pickles do not include the state. `udacity_gym.driving.drive` calls `reset`. Without that call,
    for example in other libraries, an expert detects a new episode by the time in ``info``.
    """

    _clock: EpisodeClock

    def _forget(self) -> None:
        """Reset the state with new objects, because a copy shares the old ones."""
        self._clock = EpisodeClock()
        self._start_episode()

    def _start_episode(self) -> None:
        """Reset the state of the episode."""

    def reset(self, env: gymnasium.Env[Any, Any], info: Mapping[str, Any], seed: int | None = None) -> None:
        """Prepare for an episode that has just begun, see `udacity_gym.driving.Driver.reset`."""
        self._clock.reset()

    def _notice_episode(self, info: Mapping[str, Any]) -> float:
        """Reset the state at a new episode. Returns seconds since the last call, 0 at a beginning."""
        if self._clock.update(info):
            self._start_episode()
        return self._clock.elapsed

    def __getstate__(self) -> dict[str, Any]:
        copy = object.__new__(type(self))
        vars(copy).update(vars(self))
        copy._forget()
        return vars(copy)


class LineFollower(EpisodicExpert):
    """Base of experts that follow a line along a track.

    Attributes:
        track: track of the car, in its driving direction; None before the first step of an expert that takes
            the track from its environment.
        car: parameters of the car, with the grip of the present conditions.
    """

    def __init__(self, track: str | Path | Track | None, car: CarParameters | None) -> None:
        """Choose a track and a car.

        Args:
            track: a name, a path, or a track; None for the track of the environment.
            car: parameters of the car; None for Udacity's.

        Raises:
            TrackError: The track does not exist.
        """
        self._track = None if track is None else Track.load(track)
        self._car = CarParameters() if car is None else car

    def _forget(self) -> None:
        super()._forget()
        self.track, self.car = self._track, self._car

    def reset(self, env: gymnasium.Env[Any, Any], info: Mapping[str, Any], seed: int | None = None) -> None:
        """Take the track from the environment, unless a track was given."""
        super().reset(env, info, seed)
        track = getattr(env.unwrapped, "track", None)
        if self._track is None and isinstance(track, Track):
            self.track = track

    def _update_track_and_car(self, info: Mapping[str, Any]) -> Track:
        """Update `track` and `car` from direction and grip. Returns the track.

        Raises:
            OptionError: The car is on another track, or the track is unknown.
            SimulatorError: The simulator does not report the position of the car.
        """
        check_info(info, ("s", "cte", "heading_error", "speed"), self)
        name = info.get("track")
        if self.track is None or (self._track is None and name is not None and self.track.name != name):
            self.track = self._built_in(name)
        self.track, self.car = track_under(self.track, info), car_in(info, self._car)
        return self.track

    def _built_in(self, name: object) -> Track:
        if name not in built_in_tracks():
            raise OptionError(
                f"{type(self).__name__} has no track to follow: call its reset(env, info) when an episode "
                f"begins, or give it track=env.unwrapped.track"
            )
        return Track.load(str(name))


def throttle_for(
    speed: float, target: float, car: CarParameters, slope: float = 0.0, acceleration: float = 0.0
) -> float:
    """Throttle that brings the car to a speed within about a quarter of a second, without state.

    Drag and slope are balanced, and the error decays at 4/s. If the car is only a little too fast, it coasts.

    Args:
        speed: present speed, m/s.
        target: target speed, m/s.
        car: parameters of the car.
        slope: slope of the road, rad, positive uphill.
        acceleration: acceleration of the target and other losses to balance, m/s².

    Returns:
        [-1, 1], negative brakes.
    """
    required = 4.0 * (target - speed) + acceleration + car.drag * target + GRAVITY * math.sin(slope)
    if required >= 0:
        return min(1.0, required / car.engine)
    if required > -car.drag * speed or speed <= car.reverse_below:
        return 0.0
    return max(-1.0, required / car.brake * car.brake_bite)


class Pivot(NamedTuple):
    """The point of the car that moves along its nose in a steady bend, see `CarParameters.pivot`.

    Attributes:
        s: m along the track.
        offset: m right of the centre line.
        heading_error: rad that the nose points right of the track there.
        behind: m from the root of the car back to this point.
    """

    s: float
    offset: float
    heading_error: float
    behind: float

    def path_shift(self, curvature: float) -> float:
        """How far right of the path of the car's root the path of this point lies, m; negative in left bends.

        Args:
            curvature: of the bend, 1/m, positive to the left.
        """
        return -0.5 * curvature * self.behind * self.behind


def pivot_at(
    track: Track, s: float, offset: float, heading_error: float, speed: float, car: CarParameters
) -> Pivot:
    """Where the car's pivot is. An expert that steers it needs no model of how the rest of the car swings.

    Args:
        track: the track.
        s: m along it, of the car.
        offset: m right of the centre line, of the car.
        heading_error: rad that the nose points right of the track.
        speed: m/s.
        car: parameters of the car.

    Returns:
        Where it is on the track.
    """
    behind = car.pivot(speed)
    back = s - behind * math.cos(heading_error) / max(0.3, 1.0 + track.curvature_at(s) * offset)
    turned = track.heading_at(s) - track.heading_at(back)
    error = heading_error - math.atan2(math.sin(turned), math.cos(turned))
    return Pivot(back, offset - behind * math.sin(0.5 * (heading_error + error)), error, behind)


def course_error(info: Mapping[str, Any], car: CarParameters) -> float:
    """Angle from the direction of the road to the one in which a car moves that follows the road.

    That is the heading error less the sideslip, which is 0 if "curvature" is unknown.

    Args:
        info: info of the environment, with "heading_error".
        car: parameters of the car.

    Returns:
        rad, positive right of the road.
    """
    sideslip = car.pivot(float(info.get("speed", 0.0))) * float(info.get("curvature", 0.0))
    return float(info["heading_error"]) - sideslip


def check_info(info: Mapping[str, Any], needed: Sequence[str], expert: object) -> None:
    """Check that ``info`` has the entries that an expert needs.

    Raises:
        SimulatorError: An entry is missing.
    """
    missing = [name for name in needed if name not in info]
    if missing:
        advice = "PID gets by without" if "s" in missing else "the embedded simulator and term 2's build do"
        raise SimulatorError(
            f"{type(expert).__name__} needs {', '.join(needed)} in info, and this simulator does not tell "
            f"{', '.join(missing)}; {advice}"
        )


def track_under(track: Track, info: Mapping[str, Any]) -> Track:
    """The track in the driving direction of the car.

    Args:
        track: the expert's track, in either direction.
        info: info of the environment; without "pose" nothing is checked.

    Raises:
        OptionError: The car is on another track: its pose does not match s, cte and heading error.
    """
    pose = Pose.from_info(info)
    if pose is None or abs(info["cte"]) > track.half_width or _is_at(track, info, pose):
        return track
    if not _is_at(track.reversed(), info, pose):
        raise OptionError(
            f"this expert drives on track {track.name!r}, but the car is on another one: "
            "give it track=env.unwrapped.track"
        )
    return track.reversed()


def car_in(info: Mapping[str, Any], car: CarParameters) -> CarParameters:
    """Parameters of the car with the grip of the conditions, rounded down to steps of 0.05.

    Args:
        info: info of the environment; without "conditions" the car is unchanged.
        car: parameters of the car.
    """
    grip = float(info.get("conditions", {}).get("grip", 1.0))
    if grip == 1.0:
        return car
    grip = max(0.05, math.floor(grip / 0.05 + 1e-9) * 0.05)
    return car.with_grip(grip)


def _is_at(track: Track, info: Mapping[str, Any], pose: Pose) -> bool:
    expected = track.pose_at(info["s"], track.reference_offset + info["cte"], info["heading_error"])
    distance = math.hypot(pose.x - expected.x, pose.y - expected.y)
    return distance < MAX_POSE_DIFFERENCE and math.cos(pose.yaw - expected.yaw) > 0.0
