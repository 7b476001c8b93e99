"""PID controller on the cross-track error, as in Udacity's course."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udacity_gym.checks import check_number
from udacity_gym.driving.decision import make_action
from udacity_gym.experts.base import EpisodicExpert, check_info, course_error, throttle_for
from udacity_gym.telemetry import MPH
from udacity_gym.world.physics.car import CarParameters

MIN_DISTANCE = 0.1
"""Minimum distance between two measurements for a derivative, m."""


class PID(EpisodicExpert):
    """Steer against the cross-track error. Needs no track, only "cte", "speed" and "time".

    ``steering = -(proportional · cte + derivative · d(cte)/dm + integral · sum of cte over metres)``:
    rates are per metre driven and not per second, so that one set of gains works at every speed. The
    derivative is the sine of the heading error less the sideslip, if the simulator reports that; with
    others, such as term 2's build, it is the difference to the last ``cte``. The integral is limited to a
    third of full lock and starts at 0 in every episode.

    The default gains are for wide bends, as on the lake track. The hairpins of the jungle track need higher
    gains and a lower speed:
    ``PID(speed=5.0, proportional=0.8, derivative=3.0)``.
    """

    def __init__(
        self,
        speed: float = 20 * MPH,
        proportional: float = 0.2,
        derivative: float = 1.8,
        integral: float = 0.005,
    ) -> None:
        """Choose a speed and gains.

        Args:
            speed: target speed, m/s.
            proportional: share of full lock per cross-track error, 1/m.
            derivative: share of full lock per metre of cross-track error and metre driven.
            integral: share of full lock per accumulated error, 1/m².

        Raises:
            OptionError: ``speed`` is not positive, or a gain is negative.
        """
        self.speed = check_number("speed", speed, positive=True)
        self.proportional = check_number("proportional", proportional, 0.0)
        self.derivative = check_number("derivative", derivative, 0.0)
        self.integral = check_number("integral", integral, 0.0)
        self._car = CarParameters()
        self._forget()

    def _start_episode(self) -> None:
        self._sum = self._slope = 0.0
        self._cte: float | None = None

    def __call__(self, observation: Any, info: Mapping[str, Any]) -> NDArray[np.float32]:
        """Choose the next action, see `Expert`.

        Raises:
            SimulatorError: The simulator does not report the cross-track error.
        """
        check_info(info, ("cte", "speed", "time"), self)
        metres = float(info["speed"]) * self._notice_episode(info)
        cte, speed = float(info["cte"]), float(info["speed"])
        limit = 1 / 3 / self.integral if self.integral else 0.0
        self._sum = min(limit, max(-limit, self._sum + cte * metres))
        if "heading_error" in info:
            self._slope = math.sin(course_error(info, self._car))
        elif metres > MIN_DISTANCE and self._cte is not None:
            self._slope = min(1.0, max(-1.0, (cte - self._cte) / metres))
        self._cte = cte
        steering = -(self.proportional * cte + self.derivative * self._slope + self.integral * self._sum)
        return make_action(steering, throttle_for(speed, self.speed, self._car))
