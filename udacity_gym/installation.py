"""Problems of the installation."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

ALGORITHMS = "algorithms"
"""Our package of learners."""

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
