"""What is installed: optional packages and their extras, and problems of the installation."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from udacity_gym.errors import MissingDependencyError

DISTRIBUTION = "udacity-gym"
"""Name of this project on an index of packages."""

ALGORITHMS = "algorithms"
"""Our package of learners."""


@dataclass(frozen=True)
class Extra:
    """An extra of this project, ``pip install "udacity-gym[NAME]"``.

    Attributes:
        purpose: what it is for.
        modules: modules that it installs, the first of which shows that it is installed. A module belongs to
            the first extra that names it.
        conflict: a requirement that packages of this extra have and a current installation does not fulfil,
            so that the extra needs an environment of its own; None if it can live with all others.
    """

    purpose: str
    modules: tuple[str, ...]
    conflict: str | None = None


EXTRAS = {
    "train": Extra("training policies, and driving with all networks", ("torch", "tensorboard")),
    "plot": Extra("figures in reports, plots of recordings, maps of tracks", ("matplotlib",)),
    "human": Extra("a window that shows the car, keyboards and gamepads", ("pygame",)),
    "cockpit": Extra("the cockpit in the browser", ("starlette", "uvicorn", "websockets")),
    "video": Extra("videos as MP4", ("av",)),
    "convert": Extra(
        "recordings as LeRobot, Minari and Hugging Face datasets", ("pyarrow", "pandas", "minari", "h5py")
    ),
    "hub": Extra("policies and recordings on the Hugging Face Hub", ("huggingface_hub",)),
    "onnx": Extra("driving with ONNX files, and exporting them", ("onnxruntime", "onnx", "onnxscript")),
    "keras": Extra("driving with Keras models", ("h5py",)),
    "rl": Extra("reinforcement learning with Stable-Baselines3", ("stable_baselines3",)),
    "completion": Extra("completion of the command in a shell", ("shtab",)),
    "ray": Extra("many jobs on a Ray cluster", ("ray",)),
    "slurm": Extra("many jobs on a SLURM cluster", ("submitit",)),
    "sweep": Extra("the example of a search for good settings", ("optuna",)),
    "wandb": Extra("trainings shown by Weights & Biases", ("wandb",)),
    "imitation": Extra(
        "GAIL, AIRL and other learners of the library imitation", ("imitation",), "gymnasium<1"
    ),
    "d3rlpy": Extra("offline reinforcement learning with d3rlpy", ("d3rlpy",), "gymnasium==1.0.0"),
}
"""All extras for users; ``all`` installs those without a conflict."""


def install_command(*extras: str) -> str:
    """The command that adds extras to this installation.

    It names the place that this installation comes from: an index, a clone, a wheel or a repository.
    """
    names = f"[{','.join(extras)}]" if extras else ""
    origin = _origin()
    if origin is None:
        return f'pip install "{DISTRIBUTION}{names}"'
    url = str(origin["url"])
    if "dir_info" not in origin:
        vcs = origin.get("vcs_info")
        url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}" if vcs else url
        return f'pip install "{DISTRIBUTION}{names} @ {url}"'
    editable = "-e " if origin["dir_info"].get("editable") else ""
    return f'pip install {editable}"{_path_of(url)}{names}"'


def _origin() -> dict[str, Any] | None:
    """Where pip found this project if not on an index (PEP 610), or the folder of its source."""
    try:
        text = distribution(DISTRIBUTION).read_text("direct_url.json")
    except PackageNotFoundError:
        folder = Path(__file__).parents[1]
        return {"url": folder.as_uri(), "dir_info": {"editable": True}}
    return json.loads(text) if text else None


def _path_of(url: str) -> str:
    """The path of a file: URL."""
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    return url2pathname(urlsplit(url).path)


def extra_of(module: str) -> str | None:
    """The extra that installs a module; None if it belongs to none."""
    package = module.partition(".")[0]
    return next((name for name, extra in EXTRAS.items() if package in extra.modules), None)


def require(module: str, purpose: str, extra: str | None = None) -> Any:
    """Import a module of an optional package.

    Args:
        module: name of the module.
        purpose: what needs it, as the subject of the message: "a video as .mp4".
        extra: extra that installs it; None finds the one in `EXTRAS`.

    Returns:
        The module.

    Raises:
        MissingDependencyError: It is not installed; the message names the pip command.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise missing(module, purpose, extra, error) from error


def missing(
    module: str, purpose: str, extra: str | None = None, error: ImportError | None = None
) -> MissingDependencyError:
    """The error that says which extra installs a missing module; for the arguments see `require`.

    Args:
        module: see `require`.
        purpose: see `require`.
        extra: see `require`.
        error: why it can't be imported. A package that is installed but broken is named, too.
    """
    package = module.partition(".")[0]
    extra = extra or extra_of(module) or package
    reason = "which is not installed"
    if error is not None and not (isinstance(error, ModuleNotFoundError) and error.name == package):
        reason = f"which can't be imported ({error})"
    conflict = conflict_of(extra)
    place = "" if conflict is None else f", in an environment of its own, because {conflict}"
    return MissingDependencyError(f"{purpose} needs {package}, {reason}: {install_command(extra)}{place}")


def conflict_of(extra: str) -> str | None:
    """Why an extra can't be added to this environment; None if it can."""
    from packaging.requirements import Requirement

    text = EXTRAS[extra].conflict if extra in EXTRAS else None
    if text is None:
        return None
    requirement = Requirement(text)
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        return None
    if requirement.specifier.contains(installed, prereleases=True):
        return None
    return f"it needs {text}, and this environment has {installed}"


def lazy_names(
    attributes: tuple[Callable[[str], Any], Callable[[], list[str]], list[str]], purpose: str
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Let names that a package imports when they are first used say which extra they need.

    Args:
        attributes: ``__getattr__``, ``__dir__`` and ``__all__``, as ``lazy_loader.attach_stub`` makes them.
        purpose: see `require`.

    Returns:
        The same; ``__getattr__`` raises a `MissingDependencyError` where a package of an extra is missing.
    """
    find, names, public = attributes

    def find_or_explain(name: str) -> Any:
        try:
            return find(name)
        except ModuleNotFoundError as error:
            if error.name is None or extra_of(error.name) is None:
                raise
            raise missing(error.name, f"{purpose}.{name}", error=error) from error

    return find_or_explain, names, public


_OUR_FILES = ("base.py", "bc.py", "learners.py")


def hidden_package(module: str = ALGORITHMS) -> str | None:
    """Describe what is imported in place of our package ``algorithms``.

    Another project on PyPI has that name, and its files replace ours if both are installed. A file
    ``algorithms.py`` beside a script hides our package. Nothing is imported to find out.

    Args:
        module: module that could not be imported.

    Returns:
        The problem and how to solve it; None if our package is found, or the module is none of its.
    """
    if module.partition(".")[0] != ALGORITHMS:
        return None
    spec = getattr(sys.modules.get(ALGORITHMS), "__spec__", None) or find_spec(ALGORITHMS)
    if spec is None:
        return (
            "the package algorithms, which is a part of udacity-gym, is missing: install udacity-gym again; "
            "udacity-gym doctor checks the installation"
        )
    origin = Path(spec.origin or next(iter(spec.submodule_search_locations or ["algorithms"])))
    if _is_ours(origin):
        return None
    if _is_installed(ALGORITHMS):
        return (
            f"{origin} belongs to another project, named algorithms, which hides the package of udacity-gym: "
            "pip uninstall algorithms, then pip install --force-reinstall --no-deps udacity-gym"
        )
    return (
        f"{origin} hides the package algorithms of udacity-gym: give it another name, or run Python in "
        "another folder"
    )


def _is_ours(origin: Path) -> bool:
    is_complete = all((origin.parent / name).is_file() for name in _OUR_FILES)
    if origin.name != "__init__.py" or not is_complete:
        return False
    return "udacity_gym" in origin.read_text(encoding="utf-8", errors="replace")


def _is_installed(project: str) -> bool:
    try:
        distribution(project)
    except PackageNotFoundError:
        return False
    return True
