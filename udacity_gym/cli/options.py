"""A dataclass as command line: its fields are the options, the defaults and the documentation."""

from __future__ import annotations

import argparse
import dataclasses
import types
import typing
from pathlib import Path
from typing import Any, Literal, TypeVar

T = TypeVar("T")

PLACEHOLDERS: dict[Any, str] = {str: "NAME", int: "N", float: "X", Path: "PATH"}
"""What stands for a value in ``--help``."""


@dataclasses.dataclass(frozen=True)
class About:
    """What the command line needs to know of a field besides its type and default; goes into ``Annotated``.

    Attributes:
        help: one line for ``--help``.
        positional: given by place instead of by ``--name``.
        repeated: a tuple's values are given one by one, the option several times.
        shown: what stands for a value in ``--help``; its type says it if not given.
    """

    help: str
    positional: bool = False
    repeated: bool = False
    shown: str | None = None


def add_options(parser: argparse.ArgumentParser, options: type[Any]) -> None:
    """Give a parser the options of a dataclass.

    The type of a field says how it is read: str, int, float, Path, bool (``--name`` and
    ``--no-name``), ``Literal`` (choices), ``X | None``, and ``tuple[X, ...]`` (several values). A field
    without a default must be given.
    """
    hints = typing.get_type_hints(options, include_extras=True)
    for field in dataclasses.fields(options):
        hint, about = typing.get_args(hints[field.name])
        settings = {**_reading(hint), "help": about.help}
        placeholder = about.shown or PLACEHOLDERS.get(settings.get("type"))
        if placeholder is not None and "choices" not in settings and not about.positional:
            settings["metavar"] = placeholder
        required = field.default is dataclasses.MISSING
        if not required:
            settings["default"] = field.default
            if about.repeated:
                del settings["nargs"]
                settings |= {"action": "append", "default": []}
            elif field.default is not None and hint is not bool:
                settings["help"] += " (default: %(default)s)"
        if about.positional:
            if not required:
                settings["nargs"] = "?"
            parser.add_argument(field.name, **settings)
        else:
            parser.add_argument("--" + field.name.replace("_", "-"), required=required, **settings)


def read_options(options: type[T], parsed: argparse.Namespace) -> T:
    """Make the dataclass from what a parser read."""
    assert dataclasses.is_dataclass(options)
    values = {field.name: getattr(parsed, field.name) for field in dataclasses.fields(options)}
    return options(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def _reading(hint: Any) -> dict[str, Any]:
    """How argparse reads a value of a type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return _reading(inner)
    if origin is tuple:
        return {**_reading(arguments[0]), "nargs": "+"}
    if origin is Literal:
        return {"choices": arguments, "type": type(arguments[0])}
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if hint in (str, int, float, Path):
        return {"type": hint}
    raise TypeError(f"no way to read a {hint!r} from the command line")
