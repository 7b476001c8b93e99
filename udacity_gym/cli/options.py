"""Command-line options from dataclasses: the fields define options, defaults and help."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import types
import typing
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

T = TypeVar("T")

PLACEHOLDERS: dict[Any, str] = {str: "NAME", int: "N", float: "X", Path: "PATH"}
"""Placeholders of values in ``--help``."""

COMMON_OPTIONS = {"quiet": "show no progress bars", "debug": "show the full traceback of an error"}
"""Options that all verbs have, with their help."""

VIDEO_FORMAT = "format of videos; mp4 needs the extra [video]"
"""Help of the option ``--video-format``."""


@dataclasses.dataclass(frozen=True)
class About:
    """Help text and kind of a command-line option, for ``Annotated``.

    Attributes:
        help: one line for ``--help``.
        positional: whether the argument is positional, without ``--name``.
        repeated: whether the option is repeated for each value of a tuple.
        shown: placeholder of the value in ``--help``; the default depends on the type.
    """

    help: str
    positional: bool = False
    repeated: bool = False
    shown: str | None = None


DEVICE = Annotated[
    str | None,
    About("where a policy computes: auto, cpu, cuda, cuda:1, mps; default: cpu", shown="DEVICE"),
]
PRECISION = Annotated[
    Literal["float32", "bfloat16"] | None, About("arithmetic of a policy's network; default: float32")
]
"""Types of the options of verbs that drive with policies, see `udacity_gym.driving.load_policy`."""

EXECUTOR = Annotated[str | None, About("kind of executor: processes, ray, slurm, or another package's")]
WORKERS = Annotated[int | None, About("number of workers; without an executor, of processes")]
ADDRESS = Annotated[str | None, About("address of the executor's cluster, such as auto for Ray")]
EXECUTOR_OPTION = Annotated[
    tuple[str, ...], About("a setting of the executor, such as cpus=2", repeated=True, shown="KEY=VALUE")
]
"""Types of the options of verbs whose work is many jobs, see `udacity_gym.cli.shared.executor_of`."""


def add_options(parser: argparse.ArgumentParser, options: type[Any]) -> None:
    """Add the fields of a dataclass to a parser as options.

    Types of fields: str, int, float, Path, bool (``--name`` and
    ``--no-name``), ``Literal`` (choices), ``X | None``, and ``tuple[X, ...]`` (several values). A field
    without a default must be given.
    """
    hints = typing.get_type_hints(options, include_extras=True)
    for field in dataclasses.fields(options):
        hint, about = typing.get_args(hints[field.name])
        settings = {**_parser_arguments(hint), "help": about.help}
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
    """Make the dataclass from parsed arguments."""
    assert dataclasses.is_dataclass(options)
    values = {field.name: getattr(parsed, field.name) for field in dataclasses.fields(options)}
    return options(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def add_setting(
    group: argparse._ArgumentGroup, dest: str, name: str, hint: Any, default: Any, description: str
) -> None:
    """Add ``--name value``, which appends ``name=value`` to a list of strings. `read_value` parses the value.

    Args:
        group: argument group; its parser must have an option for the whole list.
        dest: name of the list.
        name: name of the setting; a bool is set by ``--name`` and ``--no-name``.
        hint: its type.
        default: its default, only for ``--help``; `inspect.Parameter.empty` if it has none.
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
    """Append ``name=value`` to a list."""

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
    """Parse a string as a value of a type.

    Returns:
        The string itself for a str or a ``Literal``. Otherwise None for "none", True for "true", False for
        "false", the value of a Python literal, or the string. The type of the value is not checked.
    """
    kind, word = plain_type(hint), text.lower()
    if kind is str or typing.get_origin(kind) is Literal:
        return None if word in ("none", "null") and type(None) in typing.get_args(hint) else text
    if word in _CONSTANTS:
        return _CONSTANTS[word]
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return float(value) if kind is float and type(value) is int else value


_CONSTANTS = {"true": True, "false": False, "none": None, "null": None}


def plain_type(hint: Any) -> Any:
    """Remove ``| None`` and ``Annotated`` from a type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return plain_type(arguments[0])
    kinds = [kind for kind in arguments if kind is not type(None)]
    if origin in (typing.Union, types.UnionType) and len(kinds) == 1:
        return plain_type(kinds[0])
    return hint


def _parser_arguments(hint: Any) -> dict[str, Any]:
    """Arguments of ``add_argument`` for a type."""
    hint = plain_type(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return {**_parser_arguments(arguments[0]), "nargs": "+"}
    if origin is Literal:
        return {"choices": arguments, "type": type(arguments[0])}
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if hint in (str, int, float, Path):
        return {"type": hint}
    raise TypeError(f"options of type {hint!r} are not supported on the command line")
