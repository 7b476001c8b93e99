"""Learners by name, of this package and of others. Needs no torch.

A package offers its learners in an entry-point group, with a line in its ``pyproject.toml``::

    [project.entry-points."udacity_gym.learners"]
    my_learner = "my_package:MyLearner"

and needs nothing of this package: a learner is a class like `algorithms.base.Learner`.
"""

from __future__ import annotations

import difflib
import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeAlias

from algorithms.checks import field_types
from udacity_gym.errors import CheckpointError, OptionError
from udacity_gym.registry import Registry

SHARED_ARGUMENTS = ("recordings", "seed", "folder", "env", "expert", "executor", "tracker")
"""Arguments that every learner gets if its signature has them; all others are its options."""

PYTHON_ONLY_ARGUMENTS = ("config", "labeller", "policy", "fit", "save", "load", "progress")
"""Arguments of learners with a `Config` that can't be set from the command line."""

LEARNER_FILE = "learner.json"
"""File beside "policy" in the folder of a training that names the learner of another package."""

LearnerClass: TypeAlias = Callable[..., Any]
"""A class whose objects have ``learn() -> policy``."""


@dataclass(frozen=True)
class Option:
    """A setting of a learner.

    Attributes:
        name: name of the setting.
        default: default value; `inspect.Parameter.empty` if it must be given.
        type: type, including ``Annotated``; Any if it is unknown.
        description: description from the docstring of the learner.
    """

    name: str
    default: Any
    type: Any = Any
    description: str = ""

    def __str__(self) -> str:
        return self.name if self.default is inspect.Parameter.empty else f"{self.name}={self.default!r}"


def _learns(name: str, item: object) -> bool:
    return callable(getattr(item, "learn", None))


LEARNERS: Registry[LearnerClass] = Registry(
    "learner",
    {
        "bc": "algorithms:BehavioralCloning",
        "behavioral_cloning": "algorithms:BehavioralCloning",
        "dagger": "algorithms:DAgger",
        "dart": "algorithms:DART",
        "ensemble_dagger": "algorithms:EnsembleDAgger",
        "hg_dagger": "algorithms:HGDAgger",
        "safe_dagger": "algorithms:SafeDAgger",
        "thrifty_dagger": "algorithms:ThriftyDAgger",
    },
    expected=(
        "a class made with (recordings, *, seed=0, folder=None, ...) that has learn(), which returns a policy"
    ),
    group="udacity_gym.learners",
    fits=_learns,
)
"""Learners by name. Those of this package are listed here, so that it also works without being installed."""


def find_learner(name: str) -> LearnerClass:
    """Find a learner's class.

    Args:
        name: a name of `LEARNERS`, or ``package:Class``.

    Returns:
        The class; `make_learner` makes a learner from it.

    Raises:
        OptionError: No learner has that name, it can't be imported, or it has no ``learn``.
    """
    package, _, attribute = name.partition(":")
    if package and attribute and not package.startswith("."):
        return LEARNERS.load(name, name)
    try:
        return LEARNERS.find(name)
    except OptionError as error:
        if name in LEARNERS:
            raise
        raise OptionError(f"{error}; give package:Class for a learner that is not registered") from None


def wants(learner: LearnerClass, argument: str) -> bool:
    """Whether a learner's signature names an argument, such as "env" or "expert"."""
    return argument in inspect.signature(learner).parameters


def options_of(learner: LearnerClass) -> list[Option] | None:
    """The settings of a learner.

    They are the arguments of its signature. If that has ``**options``, the fields of the dataclass in its
    attribute ``Config`` are settings too, and the `PYTHON_ONLY_ARGUMENTS` are left out.

    Returns:
        The settings; None if the learner accepts any.
    """
    config = getattr(learner, "Config", None)
    hidden = (*SHARED_ARGUMENTS, *PYTHON_ONLY_ARGUMENTS) if is_dataclass(config) else SHARED_ARGUMENTS
    descriptions = _descriptions(learner, "Args") | _descriptions(getattr(learner, "__init__", None), "Args")
    options: dict[str, Option] = {}
    for name, parameter in list(inspect.signature(learner).parameters.items())[1:]:
        if parameter.kind is not parameter.VAR_KEYWORD:
            kind = _PLAIN.get(inspect.formatannotation(parameter.annotation).strip("'"), Any)
            options[name] = Option(name, parameter.default, kind, descriptions.get(name, ""))
        elif isinstance(config, type) and is_dataclass(config):
            options |= {option.name: option for option in _fields(config)}
        else:
            return None
    return [option for name, option in options.items() if name not in hidden]


_PLAIN: dict[str, Any] = {kind.__name__: kind for kind in (str, int, float, bool)}


def _fields(config: type[Any]) -> Iterator[Option]:
    """The fields of a dataclass as options."""
    descriptions: dict[str, str] = {}
    for base in reversed(config.__mro__):
        descriptions |= _descriptions(base, "Attributes")
    for field in (field for field in fields(config) if field.init):
        default = field.default
        if default is MISSING:
            default = field.default_factory() if field.default_factory is not MISSING else None
        yield Option(field.name, default, field_types(config)[field.name], descriptions.get(field.name, ""))


def _descriptions(documented: Any, section: str) -> dict[str, str]:
    """The entries of a section of a docstring in Google's style."""
    entries: dict[str, str] = {}
    text = inspect.cleandoc(getattr(documented, "__doc__", None) or "")
    _, _, rest = f"\n{text}".partition(f"\n{section}:\n")
    name = ""
    for line in rest.splitlines():
        if line and not line.startswith(" "):
            break
        entry = re.match(r" {4}(\w+): (.*)", line)
        if entry:
            name, entries[entry[1]] = entry[1], entry[2]
        elif name and line.strip():
            entries[name] += f" {line.strip()}"
    return entries


def check_option(learner: LearnerClass, name: str) -> None:
    """Check that a learner has an option.

    Raises:
        OptionError: It has none of that name; the message suggests the closest name.
    """
    options = options_of(learner)
    names = [option.name for option in options or []]
    if options is not None and name not in names:
        matches = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {matches[0]!r}?" if matches else f"there are {', '.join(names) or 'none'}"
        raise OptionError(f"{_title(learner)} has no option {name!r}; {hint}")


def _title(learner: LearnerClass) -> str:
    return getattr(learner, "__name__", str(learner))


def make_learner(learner: LearnerClass, recordings: Any, options: Mapping[str, Any], **given: Any) -> Any:
    """Make a learner.

    Args:
        learner: its class.
        recordings: recordings or their folders.
        options: settings by name.
        given: any of `SHARED_ARGUMENTS`; those that the signature lacks are left out.

    Returns:
        A learner, ready to ``learn``.

    Raises:
        OptionError: A setting is unknown, or a required one is missing.
    """
    for name in options:
        check_option(learner, name)
    for option in options_of(learner) or []:
        if option.default is inspect.Parameter.empty and option.name not in options:
            name = option.name.replace("_", "-")
            raise OptionError(f"{_title(learner)} needs the option {option.name!r}: --{name} VALUE")
    parameters = inspect.signature(learner).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    arguments = {name: value for name, value in given.items() if name in parameters}
    if takes_any and "seed" in given:
        arguments["seed"] = given["seed"]
    return learner(recordings, **arguments, **options)


def load_learned(folder: str | Path) -> Any:
    """Load a policy of another package's learner, if that learner is installed under its name.

    A folder can come from anywhere, so it can only name learners that are installed.
    """
    folder = Path(folder)
    path = folder / LEARNER_FILE
    try:
        name = str(json.loads(path.read_text(encoding="utf-8"))["learner"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} does not name a learner: {error!r}") from error
    if name not in LEARNERS:
        raise CheckpointError(
            f"{path} names the learner {name!r}, which is not installed (see udacity-gym learners);"
            f" install its package, which must offer it in the entry-point group {LEARNERS.group}"
        )
    learner: Any = LEARNERS.find(name)
    return learner.load(folder / "policy")
