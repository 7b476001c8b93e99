"""JSON as dataclasses: every value is checked against the type and the range of its field."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, NoReturn, TypeAlias, TypeVar, get_args

from udacity_gym.errors import TrackError

NOTES = ("description", "comment")
"""Fields that are allowed everywhere and have no meaning."""
RGB: TypeAlias = tuple[float, float, float]

_T = TypeVar("_T")
_KEYS = {"begin": "from", "end": "to"}
"""Names of fields in files, where they differ: ``from`` is a keyword of Python."""


class Range(NamedTuple):
    """Least and greatest value of a number, or of each channel of a colour; stands in ``Annotated``."""

    low: float = -math.inf
    high: float = math.inf


ANY = Range()


def read(cls: type[_T], data: Any, source: str) -> _T:
    """Read the content of a track file as a dataclass.

    Fields are str, bool, int or float, a colour, a ``Literal``, another dataclass, a ``NamedTuple``, which a
    file has as a list, or a tuple of these; ``Annotated[..., Range(...)]`` bounds numbers.

    Args:
        cls: the dataclass.
        data: the content, as JSON has it.
        source: where it came from, for error messages.

    Raises:
        TrackError: A field is missing, unknown, of the wrong type or out of range; the message names it.
    """
    content: _T = _Reader(source).object(cls, data, "")
    return content


class _Reader:
    def __init__(self, source: str) -> None:
        self.source = source

    def refuse(self, path: str, problem: str) -> NoReturn:
        raise TrackError(f"{self.source}: {path}: {problem}")

    def object(self, cls: Any, value: Any, path: str) -> Any:
        title, prefix = path or "track", f"{path}." if path else ""
        members = _members(cls)
        required = [key for key, (member, _) in members.items() if _is_required(member)]
        if not isinstance(value, Mapping):
            self.refuse(title, f"must be an object with {', '.join(required)}, got {value!r}")
        missing = [key for key in required if key not in value]
        if missing:
            self.refuse(title, f"lacks {', '.join(map(repr, missing))}")
        unknown = [key for key in value if key not in members and key not in NOTES]
        if unknown:
            names = ", ".join((*members, *NOTES))
            self.refuse(title, f"unknown {', '.join(map(repr, unknown))}; there are {names} to choose from")
        return cls(
            **{
                member.name: self.value(hint, value[key], prefix + key)
                for key, (member, hint) in members.items()
                if key in value
            }
        )

    def value(self, hint: Any, value: Any, path: str, limits: Range = ANY) -> Any:
        origin, arguments = typing.get_origin(hint), get_args(hint)
        if origin is Annotated:
            return self.value(arguments[0], value, path, arguments[1])
        if origin in (typing.Union, types.UnionType):
            (hint,) = (argument for argument in arguments if argument is not type(None))
            return self.value(hint, value, path, limits)
        if origin is Literal:
            return self.choice(value, path, arguments)
        readers: dict[Any, Callable[[Any, str, Range], Any]] = {
            float: self.number, int: self.whole, bool: self.flag, str: self.text, RGB: self.colour
        }  # fmt: skip
        if hint in readers:
            return readers[hint](value, path, limits)
        if origin is tuple:
            entries = self.list(value, path, "a list")
            return tuple(self.value(arguments[0], entry, f"{path}[{i}]") for i, entry in enumerate(entries))
        return self.object(hint, value, path) if is_dataclass(hint) else self.row(hint, value, path)

    def list(self, value: Any, path: str, meaning: str, length: int | None = None) -> Sequence[Any]:
        if not isinstance(value, Sequence) or isinstance(value, str) or length not in (None, len(value)):
            self.refuse(path, f"must be {meaning}, got {value!r}")
        return value

    def row(self, cls: type[Any], value: Any, path: str) -> Any:
        hints = typing.get_type_hints(cls, include_extras=True).values()
        entries = self.list(value, path, f"[{', '.join(cls._fields)}]", len(hints))
        return cls(*(self.value(hint, entry, path) for hint, entry in zip(hints, entries, strict=True)))

    def colour(self, value: Any, path: str, limits: Range) -> RGB:
        channels = self.list(value, path, "[red, green, blue]", 3)
        red, green, blue = (self.number(channel, path, limits) for channel in channels)
        return red, green, blue

    def number(self, value: Any, path: str, limits: Range) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e300:
            self.refuse(path, f"must be a finite number, got {value!r}")
        if not limits.low <= value <= limits.high:
            self.refuse(path, f"must lie within [{limits.low:g}, {limits.high:g}], got {value!r}")
        return float(value)

    def whole(self, value: Any, path: str, limits: Range) -> int:
        low, high = limits
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            span = f"from {low:g} on" if math.isinf(high) else f"from {low:g} to {high:g}"
            self.refuse(path, f"must be a whole number {span}, got {value!r}")
        return value

    def flag(self, value: Any, path: str, _limits: Range) -> bool:
        if not isinstance(value, bool):
            self.refuse(path, f"must be true or false, got {value!r}")
        return value

    def text(self, value: Any, path: str, _limits: Range) -> str:
        if not isinstance(value, str):
            self.refuse(path, f"must be a text, got {value!r}")
        return value

    def choice(self, value: Any, path: str, choices: Sequence[str]) -> str:
        if not isinstance(value, str) or value not in choices:
            self.refuse(path, f"must be one of {', '.join(choices)}, got {value!r}")
        return value


@cache
def _members(cls: type[Any]) -> dict[str, tuple[Field[Any], Any]]:
    """The fields of a dataclass by their names in a file, with their types."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return {_KEYS.get(member.name, member.name): (member, hints[member.name]) for member in fields(cls)}


def _is_required(member: Field[Any]) -> bool:
    return member.default is MISSING and member.default_factory is MISSING
