"""Racing expert: a fast line, and a controller that compensates the delay of the car."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udacity_gym.checks import check_number
from udacity_gym.driving.decision import make_action
from udacity_gym.errors import OptionError
from udacity_gym.experts.base import LineFollower, Pivot, pivot_at, throttle_for
from udacity_gym.experts.racing_line import RacingLine, check_settings, racing_line
from udacity_gym.world.physics.car import CarParameters
from udacity_gym.world.track.track import Track

POSITION, ANGLE = 0.03, 0.28
"""Feedback gains: curvature per metre beside the line, 1/m², and per sine of the angle to it, 1/m. With the
delay of the steering, 2.4 m at top speed, the largest error between the sharpest bends is 0.5 m."""
STEP = 0.03
"""Time until the middle of the control step, s."""


class Racing(LineFollower):
    """Follow an optimised line as fast as possible, see `racing_line`.

    By default the line stays in the lane, which is good for demonstrations; ``within="road"`` uses the whole
    road. The steering is that for the curvature of the line where the car will be after its delay, plus
    feedback on the distance to the line and on the angle to it, all of the point of the car that moves along
    its nose, see `CarParameters.pivot`. The throttle is that for the acceleration of
    the line, plus feedback on the speed.

    The driving direction comes from the heading of the car, the grip from "conditions". The expert is
    stateless, and reads "s", "cte", "heading_error" and "speed". The line is computed at first use, which
    takes 0.1 s, and is cached with its track.
    """

    def __init__(
        self,
        track: str | Path | Track | None = None,
        speed: float = math.inf,
        within: str | float = "lane",
        grip: float = 0.7,
        braking: float = 0.8,
        delay: float = 0.18,
        car: CarParameters | None = None,
    ) -> None:
        """Choose a track and parameters.

        Args:
            track: the track to drive on: a name, a path, or a track; None for that of the environment.
            speed: maximum speed, m/s; the limit of the car itself is 13.5.
            within: "lane", "road", or m from the reference line; see `racing_line`.
            grip: share of `CarParameters.lateral_limit` to use. More than 0.8 leaves too little for turning
                into bends on slippery roads; on dry ones even 0.5 is no limit.
            braking: share of the brakes to use.
            delay: time between a command and the reaction of the car, s.
            car: parameters of the car; None for Udacity's.

        Raises:
            TrackError: The track does not exist.
            OptionError: A setting is out of range.
        """
        super().__init__(track, car)
        self._forget()
        self.delay = check_number("delay", delay, 0.0)
        self._settings = (within, speed, grip, braking)
        check_settings(*self._settings, self.car)

    @property
    def line(self) -> RacingLine:
        """The line, in the present direction and with the present grip."""
        if self.track is None:
            raise OptionError("the line is known once the car drives: no track was given to this expert")
        return racing_line(self.track, *self._settings, self.car)

    def __call__(self, observation: Any, info: Mapping[str, Any]) -> NDArray[np.float32]:
        """Choose the next action, see `Expert`.

        Raises:
            OptionError: The car is on another track.
            SimulatorError: The simulator does not report the position of the car.
        """
        track = self._update_track_and_car(info)
        s, speed = float(info["s"]), float(info["speed"])
        offset = track.reference_offset + float(info["cte"])
        pivot = pivot_at(track, s, offset, float(info["heading_error"]), speed, self.car)
        return make_action(
            self._steering(pivot, speed),
            self._throttle(s, speed),
        )

    def _steering(self, pivot: Pivot, speed: float) -> float:
        line, s = self.line, pivot.s
        travelled = speed * self.delay
        ahead = s + travelled / line.at(line.stretch, s)
        angle = pivot.heading_error - line.at(line.heading_error, s)
        wanted = line.at(line.offset, s) + pivot.path_shift(line.at(line.curvature, s))
        aside = pivot.offset - wanted + travelled * math.sin(angle)
        curvature = line.at(line.curvature, ahead) + POSITION * aside + ANGLE * math.sin(angle)
        tightest = self.car.lateral_limit / max(1.0, speed * speed)
        return self.car.steering_along(min(tightest, max(-tightest, curvature)))

    def _throttle(self, s: float, speed: float) -> float:
        line, car = self.line, self.car
        ahead = s + speed * STEP / line.at(line.stretch, s)
        target = line.at(line.speed, ahead)
        if target > car.top_speed:  # the cap of the car limits the speed; less throttle would make it slower
            return 1.0
        slope, acceleration = line.at(line.slope, ahead), line.at(line.acceleration, ahead)
        return throttle_for(speed, target, car, slope, acceleration)
