"""The speed controller: throttle that keeps a speed."""

from __future__ import annotations

from udacity_gym.checks import check_number
from udacity_gym.telemetry import MPH

GAINS = ("proportional", "integral", "brake_margin")
"""What can be tuned about a `SpeedController`."""

DEFAULT_SPEED = 25 * MPH
"""m/s at which a steering-only policy drives that has no ``target_speed`` of its own: 25 mph."""


class SpeedController:
    """Throttle that keeps a speed: the PI controller of the course's ``drive.py``, in SI units.

    ``throttle = proportional · error + sum of integral · error · dt``. The course's gains are 0.1 per mph
    and 0.002 per mph and update, at 15 updates per second; in m/s they are 0.22 per m/s and 0.067 per m.
    Unlike the course's, the integral stands still while the throttle is at its limit (conditional
    integration), so that a standing start does not end in an overshoot, and the car brakes where it is
    faster than the target by more than ``brake_margin``.

    Attributes:
        target_speed: m/s; may be changed at any time.
        proportional: 1/(m/s), throttle per speed error.
        integral: 1/m, throttle per speed error and second.
        brake_margin: m/s above the target from which the car brakes; below that it only coasts.
    """

    def __init__(
        self,
        target_speed: float,
        proportional: float = 0.1 / MPH,
        integral: float = 0.002 * 15 / MPH,
        brake_margin: float = 1.0,
    ) -> None:
        self.target_speed = check_number("target_speed", target_speed, 0.0)
        self.proportional = check_number("proportional", proportional, 0.0)
        self.integral = check_number("integral", integral, 0.0)
        self.brake_margin = check_number("brake_margin", brake_margin, 0.0)
        self._sum = 0.0

    def reset(self) -> None:
        """Forget the past."""
        self._sum = 0.0

    def __call__(self, speed: float, dt: float) -> float:
        """Choose the throttle for the next ``dt`` seconds.

        Args:
            speed: m/s.
            dt: s.

        Returns:
            [-1, 1], negative brakes.
        """
        error = self.target_speed - speed
        if error < -self.brake_margin:
            return max(-1.0, self.proportional * (error + self.brake_margin))
        added = self._sum + self.integral * error * dt
        throttle = self.proportional * error + added
        if 0.0 <= throttle <= 1.0:
            self._sum = added
        return min(1.0, max(0.0, throttle))
