"""Checks of settings, whether they come from a caller or from a file."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from udacity_gym.errors import CheckpointError, OptionError

ANEW = "choose another folder, or delete this one to start anew"
"""What to do where a folder holds work that can't be gone on with."""


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


def check_same_settings(
    work: str,
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    *,
    defaults: Mapping[str, Any],
    may_change: Collection[str],
) -> None:
    """Make sure that work goes on with the settings that it was begun with.

    Args:
        work: folder and name of it, for the message.
        before: settings as they were kept, as JSON has them.
        now: settings as they are, as JSON has them.
        defaults: of settings, for those that the version which began the work did not have.
        may_change: names of settings that may be others than they were.

    Raises:
        CheckpointError: A setting is another one; the message names it.
    """
    before = _over(defaults, before)
    for name in sorted((before.keys() | now.keys()) - set(may_change)):
        if before.get(name) != now.get(name):
            raise CheckpointError(
                f"{work} with {name}={before.get(name)!r} was begun here, now it is {now.get(name)!r}; {ANEW}"
            )


def _over(defaults: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings, and the defaults of those that are missing, in parts of parts as well."""
    merged = {**defaults, **settings}
    for name, value in defaults.items():
        if isinstance(value, dict) and isinstance(merged[name], dict):
            merged[name] = _over(value, merged[name])
    return merged
