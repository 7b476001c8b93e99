"""A dataclass as command line: its fields are the options, the defaults and the documentation."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
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


def add_setting(
    group: argparse._ArgumentGroup, dest: str, name: str, hint: Any, default: Any, description: str
) -> None:
    """Add ``--name value``, which appends ``name=value`` to a list of texts; `read_value` reads the value.

    Args:
        group: where to add it, in a parser that has an option for the whole list.
        dest: name of the list.
        name: name of the setting; a bool is set by ``--name`` and ``--no-name``.
        hint: its type.
        default: its default, for ``--help`` alone; `inspect.Parameter.empty` if it has none.
        description: for ``--help``.
    """
    kind, flag = plain_type(hint), f"--{name.replace('_', '-')}"
    description = description.replace("``", "").removesuffix(".")
    if default is not inspect.Parameter.empty and default is not None:
        description += f" (default: {default})"
    settings: dict[str, Any] = {"nargs": 0} if kind is bool else {"metavar": PLACEHOLDERS.get(kind, "VALUE")}
    if typing.get_origin(kind) is Literal:
        settings["metavar"] = f"{{{','.join(typing.get_args(kind))}}}"
    group.add_argument(
        *([flag, f"--no-{name.replace('_', '-')}"] if kind is bool else [flag]),
        action=_AppendSetting,
        dest=dest,
        const=name,
        default=argparse.SUPPRESS,
        help=description.replace("%", "%%"),
        **settings,
    )


class _AppendSetting(argparse.Action):
    """Appends ``name=value``."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        if self.nargs == 0:
            values = not str(option_string).startswith("--no-")
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), f"{self.const}={values}"])


def read_value(hint: Any, text: str) -> Any:
    """Read a word as a value of a type.

    Returns:
        The text itself for a str or a ``Literal``. Else None for "none", True for "true", False for "false",
        what Python takes the text for, or the text. None of these is checked against the type.
    """
    kind, word = plain_type(hint), text.lower()
    if kind is str or typing.get_origin(kind) is Literal:
        return None if word in ("none", "null") and type(None) in typing.get_args(hint) else text
    if word in _WORDS:
        return _WORDS[word]
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return float(value) if kind is float and type(value) is int else value


_WORDS = {"true": True, "false": False, "none": None, "null": None}


def plain_type(hint: Any) -> Any:
    """A type without ``| None`` and without ``Annotated``."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return plain_type(arguments[0])
    kinds = [kind for kind in arguments if kind is not type(None)]
    if origin in (typing.Union, types.UnionType) and len(kinds) == 1:
        return plain_type(kinds[0])
    return hint


def _reading(hint: Any) -> dict[str, Any]:
    """How argparse reads a value of a type."""
    hint = plain_type(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return {**_reading(arguments[0]), "nargs": "+"}
    if origin is Literal:
        return {"choices": arguments, "type": type(arguments[0])}
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if hint in (str, int, float, Path):
        return {"type": hint}
    raise TypeError(f"no way to read a {hint!r} from the command line")
