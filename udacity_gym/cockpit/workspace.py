"""The folder that the page may read and write, and what is in it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from udacity_gym.driving.loading import policy_path, pretrained_names
from udacity_gym.errors import OptionError

DEPTH = 5
"""Levels of folders in which recordings, policies and the rest are looked for."""
SKIPPED = frozenset({"IMG", "node_modules", "tensorboard", "state", "__pycache__"})
"""Folders that are not looked into."""
POLICY_FILES = frozenset({"policy.json", "learner.json"})
POLICY_ENDINGS = frozenset({".onnx", ".h5", ".hdf5", ".keras"})
SESSION_FILE = "session.json"
"""Marks the folder of a session of DAgger, see `udacity_gym.cockpit.teaching`."""


class Workspace:
    """A folder; names given by the page are relative to it and can't leave it.

    Attributes:
        root: the folder, with all links resolved.
    """

    def __init__(self, root: str | Path) -> None:
        """Open a folder, which is made if it does not exist.

        Raises:
            OptionError: It is no folder, or can't be made.
        """
        try:
            Path(root).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OptionError(f"the workspace {root} can't be made: {error.strerror or error}") from error
        self.root = Path(root).resolve()

    def path(self, name: object) -> Path:
        """The path of something in the workspace, also of what does not exist yet.

        Raises:
            OptionError: It is outside the workspace, or no name at all.
        """
        if not isinstance(name, str) or not name.strip() or "\0" in name or "\\" in name:
            raise OptionError(
                f"{name!r} is no name of a folder in the workspace; an example is 'laps/monday'"
            )
        path = (self.root / name).resolve()
        if not path.is_relative_to(self.root) or path == self.root:
            raise OptionError(f"{name!r} is not in the workspace; give a name such as 'laps/monday'")
        return path

    def existing(self, name: object) -> Path:
        """The path of something that exists in the workspace, or of a policy of this package.

        Raises:
            OptionError: It does not exist, or is outside the workspace.
        """
        if name in pretrained_names():
            return policy_path(str(name))
        path = self.path(name)
        if not path.exists():
            raise OptionError(f"there is no {name!r} in the workspace")
        return path

    def new(self, name: object) -> Path:
        """The path of a folder to be made.

        Raises:
            OptionError: It exists and is not empty, or is outside the workspace.
        """
        path = self.path(name)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise OptionError(f"{name!r} exists already; choose another name")
        return path

    def unused(self, name: str) -> str:
        """A name, or the first of name-2, name-3 ... that does not exist."""
        number, candidate = 1, name
        while self.path(candidate).exists():
            number += 1
            candidate = f"{name}-{number}"
        return candidate

    def name_of(self, path: Path) -> str:
        """The name of a path in the workspace."""
        return path.resolve().relative_to(self.root).as_posix()

    def contents(self) -> dict[str, Any]:
        """Names of the recordings, policies, sessions and evaluations in the workspace, sorted."""
        found: dict[str, list[Any]] = {"recordings": [], "policies": [], "sessions": [], "evaluations": []}
        for folder, files in self._folders():
            name = "" if folder == self.root else self.name_of(folder)
            if "driving_log.csv" in files and name:
                rows = (folder / "driving_log.csv").read_bytes().count(b"\n")
                found["recordings"].append({"name": name, "rows": rows})
            if POLICY_FILES & files and name:
                found["policies"].append(name)
            prefix = f"{name}/" if name else ""
            found["policies"] += [prefix + file for file in files if Path(file).suffix in POLICY_ENDINGS]
            if SESSION_FILE in files and name:
                found["sessions"].append(name)
            if files & {"evaluation.json", "comparison.json"} and name:
                found["evaluations"].append(name)
        return {
            kind: sorted(names, key=lambda entry: entry["name"] if isinstance(entry, dict) else entry)
            for kind, names in found.items()
        }

    def _folders(self) -> Iterator[tuple[Path, set[str]]]:
        """Folders of the workspace with the names of their files; links are not followed."""
        for folder, folders, files in os.walk(self.root):
            depth = len(Path(folder).relative_to(self.root).parts)
            kept = [name for name in folders if name not in SKIPPED and not name.startswith(".")]
            # The members of an ensemble lie in its folder and are no policies to choose.
            is_leaf = depth >= DEPTH or bool(POLICY_FILES & set(files))
            folders[:] = [] if is_leaf else sorted(kept)
            yield Path(folder), set(files)


def read_json(path: Path) -> Any:
    """Read a JSON file; None if there is none or it is not whole yet."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
