"""Checks of settings, whether they come from a caller or from a file."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from udacity_gym.errors import OptionError


class Number(NamedTuple):
    """What a setting may be; never NaN or infinite.

    Attributes:
        low: least value.
        high: greatest value.
        whole: only whole numbers.
        above: ``low`` itself is not allowed.
        optional: None is allowed too.
    """

    low: float = -math.inf
    high: float = math.inf
    whole: bool = False
    above: bool = False
    optional: bool = False

    def check(self, name: str, value: Any) -> None:
        """Make sure that a setting is such a number.

        Raises:
            OptionError: It is not; the message names it.
        """
        if value is None and self.optional:
            return
        kinds = int if self.whole else (int, float)
        if (
            isinstance(value, bool)
            or not isinstance(value, kinds)
            or not math.isfinite(value)
            or not self.low <= value <= self.high
            or (self.above and value == self.low)
        ):
            raise OptionError(f"{name}={value!r} must be {self}")

    def __str__(self) -> str:
        words = ["a whole number" if self.whole else "a finite number"]
        if self.low > -math.inf:
            words.append(f"above {self.low:g}" if self.above else f"of at least {self.low:g}")
        if self.high < math.inf:
            words.append(f"{'and ' if len(words) > 1 else ''}at most {self.high:g}")
        return " ".join(words) + (", or None" if self.optional else "")


SHARE = Number(0, 1)
"""A share or a probability."""


def check_pair(name: str, value: Any, least: int) -> None:
    """Make sure that a setting is two whole numbers in a tuple.

    Raises:
        OptionError: It is not; the message names it.
    """
    if not isinstance(value, tuple) or len(value) != 2:
        raise OptionError(f"{name}={value!r} must be a tuple of two whole numbers")
    for number in value:
        Number(least, whole=True).check(name, number)
