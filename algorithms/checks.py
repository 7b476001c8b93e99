"""Checks of settings, from a caller or from a file."""

from __future__ import annotations

import collections.abc
import math
import types
import typing
from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, get_args, get_origin

import numpy as np

from udacity_gym.errors import CheckpointError, OptionError
from udacity_gym.registry import Registry

START_OVER = "choose another folder, or delete this one to start anew"
"""Advice where a folder holds work that can't be resumed."""


class Number(NamedTuple):
    """Range of a number, which must be finite; for ``Annotated`` types of fields.

    Attributes:
        low: minimum.
        high: maximum.
        above: ``low`` itself is not allowed.
        whole: only whole numbers; not needed for a field of type int.
        optional: None is allowed too; not needed for a field of type ``| None``.
    """

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    whole: bool = False
    optional: bool = False

    def check(self, name: str, value: Any) -> None:
        """Check that a value is in the range.

        Raises:
            OptionError: It is not; the message names the setting.
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

    Numbers of NumPy become Python's, since JSON, and so checkpoints, have only those.

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
        elif isinstance(value, str) or not _is_given_itself(value, kind):
            extra.check(name, value)
    elif kind in (int, float):
        number._replace(whole=kind is int, optional=optional).check(name, value)
    elif get_origin(kind) is tuple and Ellipsis not in get_args(kind):
        first, second = get_args(kind)
        if value is None and optional:
            return
        if not isinstance(value, tuple) or len(value) != 2:
            what = "whole numbers" if first is int else "numbers"
            suffix = ", or None" if optional else ""
            raise OptionError(f"{name}={value!r} must be a tuple of two {what}{suffix}")
        _check(name, value[0], first, number)
        _check(name, value[1], second, number)
    elif get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise OptionError(f"{name}={value!r} is unknown; choose one of {', '.join(get_args(kind))}")
    elif kind is bool and not isinstance(value, bool):
        raise OptionError(f"{name}={value!r} must be True or False")
    elif isinstance(kind, type) and is_dataclass(kind) and not isinstance(value, kind):
        raise OptionError(f"{name}={value!r} must be an object of {kind.__name__}")


def _is_given_itself(value: Any, kind: Any) -> bool:
    """Whether a value is an object, a class or a function that a type like ``str | Loss`` allows."""
    kinds = get_args(kind)
    takes_functions = any(get_origin(k) is collections.abc.Callable for k in kinds)
    return (takes_functions and callable(value)) or isinstance(
        value, tuple(k for k in kinds if isinstance(k, type) and get_origin(k) is None)
    )


def check_same_settings(
    work: str,
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    *,
    defaults: Mapping[str, Any],
    may_change: Collection[str],
) -> None:
    """Check that work resumes with the settings that it began with.

    Args:
        work: folder and kind of work, for the message.
        before: settings that the work began with, as JSON values.
        now: settings of now, as JSON values.
        defaults: values for settings that the older version which began the work did not have.
        may_change: names of settings that may change.

    Raises:
        CheckpointError: A setting differs; the message names it.
    """
    before = _merge(defaults, before)
    for name in sorted((before.keys() | now.keys()) - set(may_change)):
        if before.get(name) != now.get(name):
            raise CheckpointError(
                f"{work} with {name}={before.get(name)!r} was begun here, now it is {now.get(name)!r}; "
                f"{START_OVER}"
            )


def _merge(defaults: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Add defaults to missing settings, recursively."""
    merged = {**defaults, **settings}
    for name, value in defaults.items():
        if isinstance(value, dict) and isinstance(merged[name], dict):
            merged[name] = _merge(value, merged[name])
    return merged
