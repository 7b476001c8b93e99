"""Wrappers that Gymnasium does not have."""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from udacity_gym.checks import number
from udacity_gym.errors import ActionError, OptionError
from udacity_gym.telemetry import MPH

GAINS = ("proportional", "integral", "brake_margin")
"""What can be tuned about a `SpeedController`."""


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
        self.target_speed = number("target_speed", target_speed, 0.0)
        self.proportional = number("proportional", proportional, 0.0)
        self.integral = number("integral", integral, 0.0)
        self.brake_margin = number("brake_margin", brake_margin, 0.0)
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


class SpeedControl(
    gymnasium.Wrapper[Any, NDArray[np.float32], Any, NDArray[np.float32]], RecordConstructorArgs
):
    """Leaves only the steering to the agent and keeps the speed by itself.

    The action space becomes ``Box(-1, 1, (1,), float32)``: steering, positive turns right. The throttle
    comes from a `SpeedController`, which starts afresh with every episode. ``info`` is the wrapped
    environment's, throttle and brake included.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], target_speed: float = 25 * MPH, **gains: float) -> None:
        """Wrap an environment.

        Args:
            env: environment with (steering, throttle) as its action and "speed" in its info.
            target_speed: m/s, 25 mph by default; the car's own top speed is 30 mph.
            gains: ``proportional``, ``integral``, ``brake_margin`` of `SpeedController`.

        Raises:
            OptionError: A number is negative or not finite, a gain has another name, or the environment's
                action is not (steering, throttle).
        """
        arguments: dict[str, Any] = {"target_speed": target_speed, **gains}
        RecordConstructorArgs.__init__(self, **arguments)
        gymnasium.Wrapper.__init__(self, env)
        if env.action_space.shape != (2,):
            raise OptionError(
                f"SpeedControl wraps an environment whose action is (steering, throttle); "
                f"this one's action space is {env.action_space}"
            )
        unknown = sorted(set(gains) - set(GAINS))
        if unknown:
            raise OptionError(f"unknown gain {', '.join(map(repr, unknown))}; there are {', '.join(GAINS)}")
        self.controller = SpeedController(target_speed, **gains)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self._dt = float(env.get_wrapper_attr("ctrl_dt"))
        self._speed: float | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode, and the controller with it."""
        observation, info = self.env.reset(seed=seed, options=options)
        self.controller.reset()
        self._speed = float(info["speed"])
        return observation, info

    def step(self, action: NDArray[np.float32]) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Drive for one control step.

        Args:
            action: (1,) float32 steering.

        Raises:
            ActionError: The action has another shape; a NaN is the environment's to refuse.
            ResetNeeded: `reset` was never called.
        """
        if self._speed is None:
            raise ResetNeeded("call reset() before the first step()")
        shape = np.shape(action)
        if shape != (1,):
            raise ActionError(
                f"with SpeedControl an action has shape (1,): the steering alone; this one has shape {shape}"
            )
        throttle = self.controller(self._speed, self._dt)
        command = np.array([action[0], throttle], dtype=np.float32)
        observation, reward, terminated, truncated, info = self.env.step(command)
        self._speed = float(info["speed"])
        return observation, reward, terminated, truncated, info
