"""What an expert is, and what the built-in ones share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import gymnasium
import numpy as np
from numpy.typing import NDArray

from udacity_gym.driving.driver import EpisodeClock
from udacity_gym.errors import OptionError, SimulatorError
from udacity_gym.telemetry import Pose
from udacity_gym.world.physics.car import GRAVITY, CarParameters
from udacity_gym.world.track.track import Track, built_in_tracks

ELSEWHERE = 1.0
"""m between where the car is and where it would be on the expert's track, above which that is another one."""


class Expert(Protocol):
    """Anything that can show how to drive.

    One that executes something else than it wants to show has an attribute ``label``, the action of its
    last call that learners are to imitate; see `NoisyExpert`. One that has ``reset(env, info, seed=None)``
    is told when an episode begins, see `udacity_gym.driving.Driver.reset`.
    """

    def __call__(self, observation: Any, info: Mapping[str, Any], /) -> NDArray[np.float32]:
        """Choose the next action.

        Args:
            observation: what the environment returned.
            info: what the environment returned beside it, see `udacity_gym.env.UdacityEnv`.

        Returns:
            (2,) float32 (steering, throttle) in [-1, 1].
        """
        ...


class EpisodicExpert:
    """Base of experts that remember something of the present episode.

    What they remember is no part of what they are: copies and pickles begin anew. `reset` is called by
    `udacity_gym.driving.drive`; where nobody calls it, as in people's own loops and in other libraries, an
    expert notices a new episode by the time in ``info``.
    """

    _clock: EpisodeClock

    def _forget(self) -> None:
        """Be as before the first episode, by new values: the old ones are shared when a copy is made."""
        self._clock = EpisodeClock()
        self._start_episode()

    def _start_episode(self) -> None:
        """Forget the episode before."""

    def reset(self, env: gymnasium.Env[Any, Any], info: Mapping[str, Any], seed: int | None = None) -> None:
        """Prepare for an episode that has just begun, see `udacity_gym.driving.Driver.reset`."""
        self._clock.reset()

    def _notice_episode(self, info: Mapping[str, Any]) -> float:
        """Start a new episode if one has begun; returns s since the last call, 0 where one begins."""
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
        track: that the car is on, in the direction in which it drives; None before the first step of an
            expert that takes the track from its environment.
        car: the kind of car, with the grip of the present conditions.
    """

    def __init__(self, track: str | Path | Track | None, car: CarParameters | None) -> None:
        """Choose a track and a car.

        Args:
            track: a name, a path, or a track; None takes the track of the environment.
            car: None is Udacity's.

        Raises:
            TrackError: No such track.
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

    def _look_around(self, info: Mapping[str, Any]) -> Track:
        """Note which way around the car drives and how slippery it is; returns the track in that direction.

        Raises:
            OptionError: The car is on another track than this expert's, or the track can't be told.
            SimulatorError: The simulator does not tell where the car is.
        """
        check_told(info, ("s", "cte", "heading_error", "speed"), self)
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
    """Throttle that brings the car to a speed within about a quarter of a second, without memory.

    The error decays at 4/s on top of what balances drag and slope; a little too fast only coasts.

    Args:
        speed: m/s now.
        target: m/s wanted.
        car: the kind of car.
        slope: rad under the car, positive uphill.
        acceleration: m/s² that the target itself changes by, and what else is to be balanced.

    Returns:
        [-1, 1], negative brakes.
    """
    wanted = 4.0 * (target - speed) + acceleration + car.drag * target + GRAVITY * math.sin(slope)
    if wanted >= 0:
        return min(1.0, wanted / car.engine)
    if wanted > -car.drag * speed or speed <= car.reverse_below:
        return 0.0
    return max(-1.0, wanted / car.brake * car.brake_bite)


def check_told(info: Mapping[str, Any], needed: Sequence[str], expert: object) -> None:
    """Refuse to drive without knowing enough.

    Raises:
        SimulatorError: The simulator does not tell something that the expert needs.
    """
    missing = [name for name in needed if name not in info]
    if missing:
        advice = "PID gets by without" if "s" in missing else "the embedded simulator and term 2's build do"
        raise SimulatorError(
            f"{type(expert).__name__} needs {', '.join(needed)} in info, and this simulator does not tell "
            f"{', '.join(missing)}; {advice}"
        )


def track_under(track: Track, info: Mapping[str, Any]) -> Track:
    """The expert's track, in the direction in which the car drives on it.

    Args:
        track: the expert's track, in either direction.
        info: of the environment; where it has no "pose", nothing is checked.

    Raises:
        OptionError: The car is on another track: the same s, cte and heading error are another pose there.
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
    """The car with the grip of today's conditions, in steps of 0.05 downwards.

    Args:
        info: of the environment; where it has no "conditions", the car is as it is.
        car: the kind of car.
    """
    grip = float(info.get("conditions", {}).get("grip", 1.0))
    if grip == 1.0:
        return car
    grip = max(0.05, math.floor(grip / 0.05 + 1e-9) * 0.05)
    return car._replace(
        grip=car.grip * grip, ground_grip=car.ground_grip * grip, brake=car.brake * min(1.0, grip)
    )


def _is_at(track: Track, info: Mapping[str, Any], pose: Pose) -> bool:
    expected = track.pose_at(info["s"], track.reference_offset + info["cte"], info["heading_error"])
    distance = math.hypot(pose.x - expected.x, pose.y - expected.y)
    return distance < ELSEWHERE and math.cos(pose.yaw - expected.yaw) > 0.0
