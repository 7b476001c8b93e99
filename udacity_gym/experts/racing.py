"""The strong expert: a quick line, and a controller that knows how the car answers."""

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
from udacity_gym.experts.base import LineFollower, throttle_for
from udacity_gym.experts.racing_line import RacingLine, check_settings, racing_line, scrub
from udacity_gym.world.physics.car import GRAVITY, CarParameters
from udacity_gym.world.track.track import Track

POSITION, ANGLE = 0.03, 0.28
"""1/m², 1/m: curvature per metre beside the line and per sine of the angle to it. Together with the lag of
the steering, 2.6 m at top speed, they leave a quarter of a metre where the line bends hardest."""
STEP = 0.03
"""s until the middle of the control step."""


class Racing(LineFollower):
    """Follows an optimised line as fast as the car can, see `racing_line`.

    By default the line keeps to the lane, which makes a good teacher; ``within="road"`` uses the whole
    road. The wheel is set for the curvature that the line has where the car will be when it answers
    (steering lag and half a control step ahead), plus feedback on the distance to the line and on the
    angle to it. The throttle is that of the line's acceleration, plus feedback on the speed.

    Which way around the car drives it sees from where the car points, and how slippery the road is from
    "conditions". It has no memory, and reads "s", "cte", "heading_error" and "speed". The line is computed
    when it is needed first, which takes a tenth of a second, and kept with its track.
    """

    def __init__(
        self,
        track: str | Path | Track | None = None,
        speed: float = math.inf,
        within: str | float = "lane",
        grip: float = 0.9,
        braking: float = 0.8,
        delay: float = 0.2,
        car: CarParameters | None = None,
    ) -> None:
        """Choose a track and a manner of driving.

        Args:
            track: the track to drive on: a name, a path, or a track; None takes that of the environment.
            speed: m/s at most; the car has its own limit of 13.5.
            within: "lane", "road", or m from the reference line; see `racing_line`.
            grip: share of the tyres' grip to use in bends.
            braking: share of the brakes to use.
            delay: s between the command and the car's answer.
            car: the kind of car; None is Udacity's.

        Raises:
            TrackError: No such track.
            OptionError: A setting is out of range.
        """
        super().__init__(track, car)
        self._forget()
        self.delay = check_number("delay", delay, 0.0)
        self._settings = (within, speed, grip, braking)
        check_settings(*self._settings, self.car)

    @property
    def line(self) -> RacingLine:
        """The line that it follows, in the direction and with the grip that it had last."""
        if self.track is None:
            raise OptionError("the line is known once the car drives: no track was given to this expert")
        return racing_line(self.track, *self._settings, self.car)

    def __call__(self, observation: Any, info: Mapping[str, Any]) -> NDArray[np.float32]:
        """Choose the next action, see `Expert`.

        Raises:
            OptionError: The car is on another track.
            SimulatorError: The simulator does not tell where the car is.
        """
        track = self._look_around(info)
        s, speed = float(info["s"]), float(info["speed"])
        offset = track.reference_offset + float(info["cte"])
        return make_action(
            self._steering(s, offset, float(info["heading_error"]), speed),
            self._throttle(s, speed),
        )

    def _steering(self, s: float, offset: float, heading_error: float, speed: float) -> float:
        line, car = self.line, self.car
        ahead = s + speed * self.delay / line.at(line.stretch, s)
        angle = heading_error - line.at(line.heading_error, s)
        aside = offset - line.at(line.offset, s) + speed * self.delay * math.sin(angle)
        curvature = line.at(line.curvature, ahead) + POSITION * aside + ANGLE * math.sin(angle)
        tightest = GRAVITY * car.grip / max(1.0, speed * speed)
        curvature = min(tightest, max(-tightest, curvature))
        wheel = math.atan(curvature * car.wheelbase / car.steering_gain)
        return -wheel / car.max_wheel_angle

    def _throttle(self, s: float, speed: float) -> float:
        line, car = self.line, self.car
        ahead = s + speed * STEP / line.at(line.stretch, s)
        target = line.at(line.speed, ahead)
        if target > car.top_speed:  # its own cap holds the car, and with less throttle at less speed
            return 1.0
        curvature, slope = line.at(line.curvature, ahead), line.at(line.slope, ahead)
        wanted = line.at(line.acceleration, ahead) + scrub(speed, curvature, car)
        return throttle_for(speed, target, car, slope, wanted)
