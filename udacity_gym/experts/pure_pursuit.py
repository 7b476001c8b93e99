"""Pure pursuit expert, with a speed that fits the bends ahead."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udacity_gym.checks import check_number
from udacity_gym.driving.decision import make_action
from udacity_gym.experts.base import LineFollower, pivot_at, throttle_for
from udacity_gym.experts.racing_line import RacingLine, line_at, with_speeds
from udacity_gym.world.physics.car import CarParameters
from udacity_gym.world.track.track import Track

GRIP = 0.65
"""Share of the lateral acceleration to use that the car holds; turning into bends needs the rest."""
ANTICIPATION = 0.2
"""s by which the target speed is read ahead, as the throttle needs time to act."""
MAX_CACHED_LINES = 16
"""Maximum number of cached lines, one for each track and grip."""


class PurePursuit(LineFollower):
    """Steer towards a point of the reference line ahead of the car (Coulter 1992, CMU-RI-TR-92-01).

    The arc through car and goal point has curvature ``2 · lateral distance / distance²``. The arc begins at
    the point of the car that moves along its nose, near the rear axle, see `CarParameters.pivot`. Because the
    car reacts to the steering with a delay, the arc starts where this point will be after ``delay``. This
    allows a goal point nearby, so that the car does not cut corners. The speed is limited so that no bend
    within braking distance needs more than ``lateral_acceleration``; the slope of the road is taken into
    account.

    The driving direction comes from the heading of the car, the grip from "conditions".

    The expert is stateless: the same ``info`` gives the same action, so it can also label what others drive.
    It reads "s", "cte", "heading_error" and "speed".
    """

    def __init__(
        self,
        track: str | Path | Track | None = None,
        speed: float = 12.0,
        lookahead: float = 0.6,
        min_lookahead: float = 5.0,
        delay: float = 0.05,
        lateral_acceleration: float = 8.0,
        deceleration: float = 4.0,
        car: CarParameters | None = None,
    ) -> None:
        """Choose a track and parameters.

        Args:
            track: the track to drive on: a name, a path, or a track; None for that of the environment.
            speed: maximum speed, m/s; the limit of the car itself is 13.5.
            lookahead: distance of the goal point in time, s.
            min_lookahead: minimum distance of the goal point, m.
            delay: time between a command and the reaction of the car, s.
            lateral_acceleration: maximum lateral acceleration in bends, m/s².
            deceleration: deceleration before bends on level road, m/s².
            car: parameters of the car; None for Udacity's.

        Raises:
            TrackError: The track does not exist.
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
            check_number(name, value, positive=True)
        super().__init__(track, car)
        self.speed = speed
        self.lookahead = lookahead
        self.min_lookahead = min_lookahead
        self.delay = check_number("delay", delay, 0.0)
        brakes = max(0.1, deceleration - self._car.drag * speed)  # drag contributes the rest
        self._limits = (speed, lateral_acceleration, brakes)
        self._forget()

    def _forget(self) -> None:
        super()._forget()
        self._lines: dict[tuple[Track, CarParameters], RacingLine] = {}

    def __call__(self, observation: Any, info: Mapping[str, Any]) -> NDArray[np.float32]:
        """Choose the next action, see `Expert`.

        Raises:
            OptionError: The car is on another track.
            SimulatorError: The simulator does not report the position of the car.
        """
        track = self._update_track_and_car(info)
        s, cte, error = float(info["s"]), float(info["cte"]), float(info["heading_error"])
        speed = float(info["speed"])
        key = track, self.car
        if key not in self._lines:
            if len(self._lines) >= MAX_CACHED_LINES:
                self._lines.clear()
            self._lines[key] = self._line(track)
        line = self._lines[key]
        ahead = track.index(s + speed * ANTICIPATION)
        slope = float(line.slope[track.index(s)])
        return make_action(
            self._steering(track, s, cte, error, speed),
            throttle_for(speed, float(line.speed[ahead]), self.car, slope),
        )

    def _line(self, track: Track) -> RacingLine:
        """The reference line with target speeds."""
        speed, lateral, brakes = self._limits
        lateral, brakes = min(lateral, GRIP * self.car.lateral_limit), min(brakes, 0.8 * self.car.brake)
        line = line_at(track, track.reference_offset)
        return with_speeds(line, speed, lateral, brakes, self.car)

    def _steering(self, track: Track, s: float, cte: float, error: float, speed: float) -> float:
        reference, travelled = track.reference_offset, speed * self.delay
        pivot = pivot_at(track, s, reference + cte, error, speed, self.car)
        start = pivot.s + travelled
        there = start + max(self.min_lookahead, self.lookahead * speed)
        aside = pivot.offset + travelled * math.sin(pivot.heading_error)
        pose = track.pose_at(start, aside, pivot.heading_error)
        goal = track.pose_at(there, reference + pivot.path_shift(track.curvature_at(there)))
        east, north = goal.x - pose.x, goal.y - pose.y
        left = -math.sin(pose.yaw) * east + math.cos(pose.yaw) * north
        return self.car.steering_along(2.0 * left / max(1e-6, east * east + north * north))
