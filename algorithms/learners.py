"""Learners by their names: ours, and those that other packages bring. Needs no torch.

A package offers its learners in the entry-point group `GROUP`, with a line in its ``pyproject.toml``::

    [project.entry-points."udacity_gym.learners"]
    my_learner = "my_package:MyLearner"

and needs to know nothing of ours: a learner is a class like `algorithms.base.Learner`.
"""

from __future__ import annotations

import difflib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeAlias

from udacity_gym.errors import CheckpointError, OptionError

GROUP = "udacity_gym.learners"
"""Entry-point group in which packages offer learners."""

OURS = {
    "bc": "algorithms:BehavioralCloning",
    "behavioral_cloning": "algorithms:BehavioralCloning",
    "dagger": "algorithms:DAgger",
    "dart": "algorithms:DART",
    "ensemble_dagger": "algorithms:EnsembleDAgger",
    "hg_dagger": "algorithms:HGDAgger",
    "safe_dagger": "algorithms:SafeDAgger",
    "thrifty_dagger": "algorithms:ThriftyDAgger",
}
"""Our own, there even where the package runs without being installed."""

GIVEN = ("recordings", "seed", "folder", "env", "expert")
"""Arguments that a learner gets by their names, where its signature has them; the others are its options."""

IN_PYTHON = ("config", "labeller", "progress")
"""Arguments beside the settings of a `Config` that nobody sets by a word: objects, and what is printed."""

LEARNER_FILE = "learner.json"
"""Beside "policy" in the folder of a training: which learner can load it, where that is not ours."""

LearnerClass: TypeAlias = Callable[..., Any]
"""A class whose objects have ``learn() -> policy``."""


@dataclass(frozen=True)
class Option:
    """A setting of a learner.

    Attributes:
        name: by which it is given.
        default: what it is if it is not given; `inspect.Parameter.empty` if it must be given.
    """

    name: str
    default: Any

    def __str__(self) -> str:
        return self.name if self.default is inspect.Parameter.empty else f"{self.name}={self.default!r}"


def installed_learners() -> dict[str, str]:
    """The learners that can be called by a name: name to ``package:Class``."""
    found = {point.name: point.value for point in entry_points(group=GROUP)}
    return dict(sorted({**found, **OURS}.items()))


def find_learner(name: str) -> LearnerClass:
    """Find a learner's class.

    Args:
        name: one of `installed_learners`, or ``package:Class``.

    Returns:
        The class; `make_learner` makes a learner of it.

    Raises:
        OptionError: There is none, it can't be imported, or it has no ``learn``.
    """
    installed = installed_learners()
    package, colon, attribute = (name if ":" in name else installed.get(name, name)).partition(":")
    if not (package and colon and attribute) or package.startswith("."):
        near = difflib.get_close_matches(name, installed, n=1)
        hint = f"did you mean {near[0]!r}" if near else f"there are {', '.join(installed)}"
        raise OptionError(f"no learner {name!r}; {hint}; one that is not registered is named package:Class")
    try:
        module = import_module(package)
    except ImportError as error:
        raise OptionError(
            f"learner {name!r}: {package} can't be imported ({error}); is it installed in this environment?"
        ) from error
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            classes = [n for n, c in vars(module).items() if inspect.isclass(c) and hasattr(c, "learn")]
            has = f"its learners are {', '.join(classes)}" if classes else "and no learner at all"
            raise OptionError(f"learner {name!r}: {package} has no {attribute}, {has}")
        found = getattr(found, part)
    if not callable(getattr(found, "learn", None)):
        raise OptionError(
            f"learner {name!r} has no learn(); a learner is a class made with (recordings, *, seed=0, "
            "folder=None, ...) that has learn(), which returns a policy"
        )
    learner: LearnerClass = found
    return learner


def wants(learner: LearnerClass, argument: str) -> bool:
    """Whether a learner's signature names an argument, such as "env" or "expert"."""
    return argument in inspect.signature(learner).parameters


def options_of(learner: LearnerClass) -> list[Option] | None:
    """The settings of a learner.

    They are the arguments of its signature; a learner that takes ``**options`` tells them by the fields of
    a dataclass, its attribute ``Config``, together with those arguments of its signature that are not
    `IN_PYTHON`.

    Returns:
        Its settings; None if it takes any.
    """
    config = getattr(learner, "Config", None)
    hidden = (*GIVEN, *IN_PYTHON) if is_dataclass(config) else GIVEN
    found: dict[str, Option] = {}
    for parameter in list(inspect.signature(learner).parameters.values())[1:]:
        if parameter.kind is parameter.VAR_KEYWORD:
            if not is_dataclass(config):
                return None
            for field in (field for field in fields(config) if field.init):
                default = field.default
                if default is MISSING:
                    default = field.default_factory() if field.default_factory is not MISSING else None
                found[field.name] = Option(field.name, default)
        else:
            found[parameter.name] = Option(parameter.name, parameter.default)
    return [option for name, option in found.items() if name not in hidden]


def make_learner(learner: LearnerClass, recordings: Any, options: Mapping[str, Any], **given: Any) -> Any:
    """Make a learner.

    Args:
        learner: its class.
        recordings: recordings or their folders.
        options: its settings by name.
        given: any of `GIVEN`; what the signature does not name is left out.

    Returns:
        A learner, ready to ``learn``.

    Raises:
        OptionError: It has no such setting, or it misses one.
    """
    known = options_of(learner)
    title = getattr(learner, "__name__", str(learner))
    if known is not None:
        names = [option.name for option in known]
        for name in options:
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names) or 'none'}"
                raise OptionError(f"{title} has no option {name!r}; {hint}")
        for option in known:
            if option.default is inspect.Parameter.empty and option.name not in options:
                raise OptionError(f"{title} needs the option {option.name!r}: --option {option.name}=...")
    parameters = inspect.signature(learner).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    passed = {name: value for name, value in given.items() if name in parameters}
    if takes_any and "seed" in given:
        passed["seed"] = given["seed"]
    return learner(recordings, **passed, **options)


def load_learned(folder: str | Path) -> Any:
    """Load what another package's learner has learnt, if that learner is installed under its name.

    A folder can come from anywhere, so it can't make us import what nobody has installed as a learner.
    """
    folder = Path(folder)
    where = folder / LEARNER_FILE
    try:
        name = str(json.loads(where.read_text(encoding="utf-8"))["learner"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{where} does not name a learner: {error!r}") from error
    if name not in installed_learners():
        raise CheckpointError(
            f"{where} names the learner {name!r}, which is not installed (see udacity-gym learners);"
            " install its package, which must register it in the entry-point group udacity_gym.learners"
        )
    learner: Any = find_learner(name)
    return learner.load(folder / "policy")
