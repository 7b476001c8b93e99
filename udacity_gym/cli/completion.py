"""``udacity-gym completion``: completion of the command in a shell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from udacity_gym.cli.options import About
from udacity_gym.installation import require


@dataclass(frozen=True)
class Options:
    """Print a script that completes verbs, options and files in your shell.

    For bash, add to ~/.bashrc: eval "$(udacity-gym completion bash)". For zsh, write the output to a file
    _udacity-gym in a folder of $fpath.
    """

    shell: Annotated[Literal["bash", "zsh"], About("your shell", positional=True)]


def run(options: Options) -> int:
    """Print the script."""
    from udacity_gym.cli import make_parser

    shtab = require("shtab", "completion")
    print(shtab.complete(make_parser(), options.shell))
    return 0
