"""Checks of arguments that many share."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

from udacity_gym.errors import OptionError


def is_number(value: Any) -> bool:
    """Whether something is a finite number, of Python or of NumPy; True and False are none."""
    try:
        return type(value) is not bool and isinstance(value, Real) and math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        return False


def check_number(
    name: str, value: Any, low: float = -math.inf, high: float = math.inf, *, positive: bool = False
) -> float:
    """Check a number.

    Args:
        name: what to call it in the message.
        value: anything.
        low: the smallest it may be.
        high: the greatest it may be.
        positive: whether it must be above 0.

    Raises:
        OptionError: It is no finite number, or out of range.
    """
    if not is_number(value) or not low <= value <= high or (positive and value <= 0):
        wanted = "a positive number" if positive else "a finite number"
        if math.isfinite(low):
            wanted += f" from {low:g} on" if math.isinf(high) else f" from {low:g} to {high:g}"
        elif math.isfinite(high):
            wanted += f" up to {high:g}"
        raise OptionError(f"{name} must be {wanted}, got {value!r}")
    return float(value)


def check_integer(name: str, value: Any, low: int, high: float = math.inf) -> int:
    """Check a whole number from ``low`` to ``high``.

    Raises:
        OptionError: It is none, or out of range.
    """
    if type(value) is bool or not isinstance(value, Integral) or not low <= int(value) <= high:
        span = f"from {low} on" if math.isinf(high) else f"from {low} to {high:g}"
        raise OptionError(f"{name} must be a whole number {span}, got {value!r}")
    return int(value)
