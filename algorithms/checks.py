"""Checks of settings, whether they come from a caller or from a file."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, get_args, get_origin

import numpy as np

from udacity_gym.errors import CheckpointError, OptionError
from udacity_gym.registry import Registry

ANEW = "choose another folder, or delete this one to start anew"
"""What to do where a folder holds work that can't be gone on with."""


class Number(NamedTuple):
    """The range of a number, which is never NaN or infinite; stands in ``Annotated`` of a field.

    Attributes:
        low: least value.
        high: greatest value.
        above: ``low`` itself is not allowed.
        whole: only whole numbers; a field of type int says so by itself.
        optional: None is allowed too; a field of type ``| None`` says so by itself.
    """

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    whole: bool = False
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


_ANY = Number()
Count: TypeAlias = Annotated[int, Number(1)]
Share: TypeAlias = Annotated[float, Number(0, 1)]
"""A share or a probability."""
Positive: TypeAlias = Annotated[float, Number(0, above=True)]
NotNegative: TypeAlias = Annotated[float, Number(0)]


def check_fields(settings: Any) -> None:
    """Check the fields of a dataclass against their types.

    Numbers of NumPy become Python's, as JSON and so checkpoints know those only.

    A field can be an int, a float or a pair of them, with ``Annotated[..., Number(...)]`` for their range; a
    bool; a ``Literal``; a name, ``Annotated[str, registry]``; or a dataclass. Other types are not checked.

    Raises:
        OptionError: A field is something else or out of range; the message begins with its name.
    """
    for name, hint in field_types(type(settings)).items():
        value = getattr(settings, name)
        if isinstance(value, np.generic):
            value = value.item()
            object.__setattr__(settings, name, value)
        _check(name, value, hint)


def field_types(cls: Any) -> dict[str, Any]:
    """The types of a dataclass's fields, with what ``Annotated`` adds."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in fields(cls)}


def without_none(hint: Any) -> tuple[Any, bool]:
    """The type ``X`` of ``X | None``, and whether None is allowed; a type without None as it is."""
    if get_origin(hint) not in (typing.Union, types.UnionType):
        return hint, False
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    return (kinds[0] if len(kinds) == 1 else hint), len(kinds) < len(get_args(hint))


def _check(name: str, value: Any, hint: Any, number: Number = _ANY, optional: bool = False) -> None:
    """Check a value against a type."""
    kind, allows_none = without_none(hint)
    optional = optional or allows_none
    if get_origin(kind) is Annotated:
        kind, extra = get_args(kind)
        if not isinstance(extra, Registry):
            _check(name, value, kind, extra, optional)
        elif isinstance(value, str) or not isinstance(value, get_args(kind)):  # of ``str | Loss``, say
            extra.check(name, value)
    elif kind in (int, float):
        number._replace(whole=kind is int, optional=optional).check(name, value)
    elif get_origin(kind) is tuple and Ellipsis not in get_args(kind):
        first, second = get_args(kind)
        if not isinstance(value, tuple) or len(value) != 2:
            what = "whole numbers" if first is int else "numbers"
            raise OptionError(f"{name}={value!r} must be a tuple of two {what}")
        _check(name, value[0], first, number)
        _check(name, value[1], second, number)
    elif get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise OptionError(f"{name}={value!r} is unknown; choose one of {', '.join(get_args(kind))}")
    elif kind is bool and not isinstance(value, bool):
        raise OptionError(f"{name}={value!r} must be True or False")
    elif isinstance(kind, type) and is_dataclass(kind) and not isinstance(value, kind):
        raise OptionError(f"{name}={value!r} must be an object of {kind.__name__}")


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
