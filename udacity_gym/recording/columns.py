"""Which column is which in a log that does not say so: by the names of the images, and by the numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from udacity_gym.recording.header import FIELDS
from udacity_gym.telemetry import CAMERAS, CTRL_DT, MPH

LOCK_DEGREES = 25.0
"""Steering angle at full lock, degrees."""

_PREFIX = re.compile(r"(center|centre|left|right)_", re.IGNORECASE)
_MIN_ROWS = 3
"""Minimum number of rows for a conclusion about numbers."""
_MIN_SHARE = 0.05
"""Minimum share of such rows; fewer are typing errors."""
_STRONG = 0.3
"""Position of a pedal above which its effect exceeds that of most slopes of Udacity's tracks, [0, 1]."""
_PEDAL_ROWS = 10
"""Minimum number of rows with one pedal alone for a conclusion about the pedals."""
_FAST = 3.0
"""Speed above which brakes have an effect, m/s."""


def camera_of(name: str) -> str | None:
    """The camera of an image by its name, such as ``left_2018_07_16_17_11_43_382.jpg``; None if unknown."""
    match = _PREFIX.match(name)
    return None if match is None else match[1].lower().replace("centre", "center")


def moment_of(name: str) -> str:
    """The part of an image's name that is the same for all cameras."""
    return _PREFIX.sub("", name, count=1).casefold()


def camera_order(names: Sequence[str]) -> tuple[int, int, int] | None:
    """Order of the images of a row by their names.

    Args:
        names: file names in the columns center, left and right.

    Returns:
        Index of the column with the center, left and right image; None if the names do not tell.
    """
    cameras = [camera_of(name) for name in names]
    if set(cameras) != set(CAMERAS):
        return None
    center, left, right = map(cameras.index, CAMERAS)
    return center, left, right


@dataclass(frozen=True)
class NumberOrder:
    """Order of the columns of numbers.

    Attributes:
        order: for steering, throttle, brake and speed the index of the column that has it.
        reason: observation that the order is derived from.
    """

    order: tuple[int, ...]
    reason: str

    def __str__(self) -> str:
        names = [FIELDS[self.order.index(column)] for column in range(len(FIELDS))]
        return f"{', '.join(names)}, because {self.reason}"


def number_order(values: NDArray[np.float64], time: NDArray[np.float64]) -> NumberOrder | None:
    """Find columns of numbers that are not in Udacity's order.

    Steering is the only number that is negative, and speed the only one above 1. Throttle and brake are
    exchanged if the car does not slow down while it brakes and does not gain speed with throttle.

    Args:
        values: (n, 4) as written.
        time: (n,) ms, NaN if unknown.

    Returns:
        The order; None if there is no evidence against Udacity's.
    """
    negative = [column for column in range(4) if _is_common(values[:, column] < 0)]
    large = [column for column in range(4) if _is_common(values[:, column] > 1)]
    steering = negative[0] if len(negative) == 1 else 0
    speed = large[0] if len(large) == 1 and large != negative else 3
    order, reason = (0, 1, 2, 3), ""
    if (steering, speed) != (0, 3) and steering != speed:
        pedals = [column for column in range(4) if column not in (steering, speed)]
        order = (steering, pedals[0], pedals[1], speed)
        reason = f"column {steering + 1} of the numbers is steering, with negative values"
        if speed != 3:
            reason = f"column {speed + 1} of the numbers is the speed, with values above 1"
    if pedals_are_exchanged(values[:, order], time):
        order = (order[0], order[2], order[1], order[3])
        reason = "the car does not slow down when it brakes, but does so with throttle"
    return NumberOrder(order, reason) if reason else None


def pedals_are_exchanged(values: NDArray[np.float64], time: NDArray[np.float64]) -> bool:
    """Whether throttle and brake are exchanged.

    Args:
        values: (n, 4) steering, throttle, brake, and speed in mph.
        time: (n,) ms, NaN if unknown.
    """
    throttle, brake = values[:-1, 1], values[:-1, 2]
    speed = values[:, 3] * MPH
    dt = np.diff(time) / 1000
    dt[np.isnan(dt)] = CTRL_DT
    usable = (dt > 0) & (dt < 1) & (speed[:-1] > _FAST)
    acceleration = np.diff(speed)[usable] / dt[usable]
    braking = acceleration[(brake > _STRONG)[usable] & (throttle == 0)[usable]]
    driving = acceleration[(throttle > _STRONG)[usable] & (brake == 0)[usable]]
    # Full brake is 7 m/s2, full throttle 5.6 m/s2 less the drag, which keeps a car at its top speed.
    slows_down = bool(np.mean(braking) < -0.3) if len(braking) else True
    gains_speed = bool(np.mean(driving) > -0.3) if len(driving) >= _MIN_ROWS else False
    return len(braking) >= _PEDAL_ROWS and not slows_down and not gains_speed


def steering_limit(steering: NDArray[np.float64]) -> float | None:
    """Maximum steering if it is in degrees; None if it is in [-1, 1], but for single errors.

    Args:
        steering: (n,) as written.
    """
    size = np.abs(steering)
    size = size[size <= 720]
    if not _is_common(size > 1):
        return None
    return float(size.max())


def _is_common(rows: NDArray[np.bool_]) -> bool:
    return bool(rows.sum() >= max(_MIN_ROWS, _MIN_SHARE * len(rows)))
