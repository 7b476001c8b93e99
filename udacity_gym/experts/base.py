"""What an expert is, and what the built-in ones share."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from udacity_gym.errors import OptionError, SimulatorError
from udacity_gym.telemetry import Pose
from udacity_gym.world.physics.car import GRAVITY, CarParameters
from udacity_gym.world.track.track import Track

ELSEWHERE = 1.0
"""m between where the car is and where it would be on the expert's track, above which that is another one."""


class Expert(Protocol):
    """Anything that can show how to drive.

    One that executes something else than it wants to show has an attribute ``label``, the action of its
    last call that learners are to imitate; see `NoisyExpert`. One that draws at random has ``reset(seed)``,
    which whoever collects drives calls before each.
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


class Forgetful:
    """Somebody whose memory of a drive is no part of who they are: copies and pickles begin anew."""

    def _forget(self) -> None:
        """Be as before the first drive, by new values: the old ones are shared when a copy is made."""
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        anew = object.__new__(type(self))
        vars(anew).update(vars(self))
        anew._forget()
        return vars(anew)


def check_expert(expert: object) -> None:
    """Refuse what is no expert.

    Raises:
        OptionError: It can't be called, or is a class; the message says what to give instead.
    """
    if inspect.isclass(expert):
        raise OptionError(f"expert={expert.__name__} is a class: give an object of it")
    if not callable(expert):
        hint = "; wrap it: PolicyExpert(policy)" if callable(getattr(expert, "predict", None)) else ""
        raise OptionError(f"an expert is a callable (observation, info) -> action, got {expert!r}{hint}")


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


def action(steering: float, throttle: float) -> NDArray[np.float32]:
    """Pack an action: (2,) float32 clipped to [-1, 1]."""
    return np.clip(np.array([steering, throttle], dtype=np.float32), -1.0, 1.0)
