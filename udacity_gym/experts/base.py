"""What an expert is, and what the built-in ones share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from udacity_gym.world.car import CarParameters


class Expert(Protocol):
    """Anything that can show how to drive."""

    def __call__(self, observation: Any, info: Mapping[str, Any], /) -> NDArray[np.float32]:
        """Choose the next action.

        Args:
            observation: what the environment returned.
            info: what the environment returned beside it, see `udacity_gym.env.UdacityEnv`.

        Returns:
            (2,) float32 (steering, throttle) in [-1, 1].
        """
        ...


def throttle_for(speed: float, target: float, car: CarParameters) -> float:
    """Throttle that brings the car to a speed within about a quarter of a second, without memory.

    The error decays at 4/s on top of what balances the drag; a little too fast only coasts.

    Args:
        speed: m/s now.
        target: m/s wanted.
        car: the kind of car.

    Returns:
        [-1, 1], negative brakes.
    """
    wanted = 4.0 * (target - speed) + car.drag * target
    if wanted >= 0:
        return min(1.0, wanted / car.engine)
    if wanted > -car.drag * speed or speed <= car.reverse_below:
        return 0.0
    return max(-1.0, wanted / car.brake * car.brake_bite)


def action(steering: float, throttle: float) -> NDArray[np.float32]:
    """Pack an action: (2,) float32 clipped to [-1, 1]."""
    return np.clip(np.array([steering, throttle], dtype=np.float32), -1.0, 1.0)
