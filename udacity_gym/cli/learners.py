"""``udacity-gym learners``: who can learn, and with which options."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import Annotated

from udacity_gym.cli.options import About


@dataclass(frozen=True)
class Options:
    """List the learners that are installed, ours and those of other packages; or the options of one."""

    name: Annotated[str | None, About("a learner, to list its options", positional=True)] = None


def run(options: Options) -> int:
    """List."""
    from algorithms.learners import LEARNERS, find_learner, options_of

    if options.name is None:
        for name, path in sorted({**LEARNERS.entry_points(), **LEARNERS.objects}.items()):
            print(f"{name:<22}{path}")
        print("\nTheir options: udacity-gym learners NAME.  To learn: udacity-gym train --algorithm NAME")
        return 0
    learner = find_learner(options.name)
    print(inspect.cleandoc(learner.__doc__ or "(it does not say what it is)").splitlines()[0], end="\n\n")
    settings = options_of(learner)
    if settings is None:
        print("It takes any options, and does not list those that it knows.")
    for option in settings or []:
        print(f"  {option}")
        if option.description:
            print(f"      {_first_sentence(option.description)}")
    return 0


def _first_sentence(text: str) -> str:
    """The first sentence of a description, without the marks of its markup."""
    return re.split(r"\.\s+(?=[A-Z])|;\s", text.replace("`", ""), maxsplit=1)[0].removesuffix(".")
