"""Where a result comes from: `Provenance`, which every result keeps."""

from __future__ import annotations

import contextlib
import functools
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = ("udacity-gym", "gymnasium", "numpy", "numba", "torch")
"""Packages whose versions may change a result."""


@dataclass(frozen=True)
class Provenance:
    """Where a result comes from. The seeds are in the result itself.

    Attributes:
        versions: versions of Python and of the packages that drive.
        commit: commit of the Git repository of the working directory, with "-dirty" if files differ from it;
            None outside of a repository.
        command: command line of the process that asked for the result.
        policy: hash of the policy, see `udacity_gym.evaluation.identity.identity_of`; None if it has none.
    """

    versions: Mapping[str, str] = field(default_factory=dict)
    commit: str | None = None
    command: str = ""
    policy: str | None = None

    @staticmethod
    def of_this_process(policy: str | None = None) -> Provenance:
        """Describe this process.

        Args:
            policy: hash of the policy.
        """
        return Provenance(_versions(), _commit(), shlex.join(sys.argv), policy)

    @staticmethod
    def of(data: Mapping[str, Any] | None) -> Provenance | None:
        """Read what `to_data` wrote; None stays None, which files of earlier versions have."""
        return None if data is None else Provenance(**data)

    def to_data(self) -> dict[str, Any]:
        """As data for JSON."""
        return asdict(self)


@functools.cache
def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):  # torch, where nothing learns
            versions[package] = version(package)
    return versions


@functools.cache
def _commit() -> str | None:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):  # no Git, no repository, or a huge one
        return None
    return done.stdout.strip() or None
