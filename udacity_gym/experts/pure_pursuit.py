"""Pure pursuit with a speed that suits the bends ahead."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udacity_gym.checks import number
from udacity_gym.errors import OptionError
from udacity_gym.experts.base import action, throttle_for
from udacity_gym.world.car import CarParameters
from udacity_gym.world.track import Track

ELSEWHERE = 1.0
"""m between where the car is and where it would be on the expert's track, above which that is another one."""


class PurePursuit:
    """Aims at a point of the reference line ahead of the car (Coulter 1992, CMU-RI-TR-92-01).

    The arc through car and goal point has curvature ``2 · lateral distance / distance²``. Because the car
    answers to the wheel with a lag, the arc is laid from where the car will be after ``delay``, which
    keeps the goal near and the corners uncut. Speed is limited so that no bend within braking distance
    asks for more than ``lateral_acceleration``.

    Which way around the car drives it sees from where the car points.

    It has no memory: the same ``info`` gives the same action, so it can also say what it would have done
    in somebody else's place. It reads "s", "cte", "heading_error" and "speed".
    """

    def __init__(
        self,
        track: str | Path | Track = "lake",
        speed: float = 12.0,
        lookahead: float = 0.6,
        min_lookahead: float = 5.0,
        delay: float = 0.2,
        lateral_acceleration: float = 8.0,
        deceleration: float = 4.0,
        car: CarParameters | None = None,
    ) -> None:
        """Choose a track and a manner of driving.

        Args:
            track: the track to drive on: a name, a path, or a track.
            speed: m/s to drive at where the bends allow it; the car's own limit is 13.5.
            lookahead: s, distance of the goal point in time.
            min_lookahead: m, distance of the goal point at low speed.
            delay: s between the command and the car's answer.
            lateral_acceleration: m/s² in bends.
            deceleration: m/s² before bends.
            car: the kind of car; None is Udacity's.

        Raises:
            TrackError: No such track.
            OptionError: A number is not positive.
        """
        numbers = {
            "speed": speed,
            "lookahead": lookahead,
            "min_lookahead": min_lookahead,
            "lateral_acceleration": lateral_acceleration,
            "deceleration": deceleration,
        }
        for name, value in numbers.items():
            number(name, value, positive=True)
        number("delay", delay, 0.0)
        self.track = Track.load(track)
        self.speed = speed
        self.lookahead = lookahead
        self.min_lookahead = min_lookahead
        self.delay = delay
        self.car = CarParameters() if car is None else car
        self._limits = (speed, lateral_acceleration, deceleration)
        self._allowed = {self.track.direction: _speed_profile(self.track, *self._limits)}

    def __call__(self, observation: Any, info: Mapping[str, Any]) -> NDArray[np.float32]:
        """Choose the next action, see `Expert`.

        Raises:
            OptionError: The car is on another track.
        """
        s, cte, error = float(info["s"]), float(info["cte"]), float(info["heading_error"])
        speed = float(info["speed"])
        self._find_direction(s, cte, error, info.get("pose"))
        allowed = self._allowed[self.track.direction]
        return action(
            self._steering(s, cte, error, speed),
            throttle_for(speed, allowed[self.track.index(s + speed * self.delay)], self.car),
        )

    def _find_direction(self, s: float, cte: float, error: float, pose: NDArray[np.float64] | None) -> None:
        """The same s, cte and heading error are another pose the other way around, or on another track."""
        if pose is None or abs(cte) > self.track.half_width or _is_at(self.track, s, cte, error, pose):
            return
        if not _is_at(self.track.reversed(), s, cte, error, pose):
            raise OptionError(
                f"this expert drives on track {self.track.name!r}, but the car is on another one: "
                "PurePursuit(track=env.unwrapped.track)"
            )
        self.track = self.track.reversed()
        if self.track.direction not in self._allowed:
            self._allowed[self.track.direction] = _speed_profile(self.track, *self._limits)

    def _steering(self, s: float, cte: float, error: float, speed: float) -> float:
        car, reference = self.car, self.track.reference_offset
        travelled = speed * self.delay
        offset = reference + cte + travelled * math.sin(error)
        pose = self.track.pose_at(s + travelled, offset, error)
        ahead = max(self.min_lookahead, self.lookahead * speed)
        goal = self.track.pose_at(s + travelled + ahead, reference)
        east, north = goal.x - pose.x, goal.y - pose.y
        left = -math.sin(pose.yaw) * east + math.cos(pose.yaw) * north
        curvature = 2.0 * left / max(1e-6, east * east + north * north)
        wheel = math.atan(curvature * car.wheelbase / car.steering_gain)
        return -wheel / car.max_wheel_angle


def _is_at(track: Track, s: float, cte: float, error: float, pose: NDArray[np.float64]) -> bool:
    expected = track.pose_at(s, track.reference_offset + cte, error)
    apart = math.hypot(pose[0] - expected.x, pose[1] - expected.y)
    return apart < ELSEWHERE and math.cos(pose[3] - expected.yaw) > 0.0


def _speed_profile(track: Track, speed: float, lateral: float, deceleration: float) -> NDArray[np.float64]:
    """Allowed speed at every sample of the track: what the bend there and those behind it permit."""
    allowed: NDArray[np.float64] = np.minimum(
        speed, np.sqrt(lateral / np.maximum(np.abs(track.curvature), 1e-6))
    )
    for _ in range(2):  # twice around, because the lap's end must slow down for its beginning
        for i in range(len(allowed) - 1, -1, -1):
            after = allowed[(i + 1) % len(allowed)]
            allowed[i] = min(allowed[i], math.sqrt(after * after + 2.0 * deceleration * track.ds))
    return allowed
