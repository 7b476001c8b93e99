"""Recordings to other formats, and back.

Each format is a module with ``save(recording, folder)`` and ``load(folder, output)``. Frames pass through
one by one (formats that hold whole episodes: episode by episode), so that recordings of any length can be
converted.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any, cast

from udacity_gym.errors import OptionError
from udacity_gym.recording.episodes import Recording
from udacity_gym.recording.header import FIELDS

FORMATS = ("lerobot", "minari", "huggingface", "imitation", "donkeycar")
"""Formats that recordings can be converted to and from."""


def save(recording: Recording, folder: str | PathLike[str], to: str) -> Path:
    """Convert a recording.

    Warns where numbers were not recorded, such as the throttle: they are 0 in the data set.

    Args:
        recording: with its edits; see the format's module for what of it is kept.
        folder: a new folder; it has this name only when it is whole.
        to: one of `FORMATS`.

    Returns:
        The folder.

    Raises:
        OptionError: There is no such format.
        MissingDependencyError: The format needs a package that is not installed.
        RecordingError: An image can't be read, or the folder can't be written.
    """
    module = _module(to)
    unrecorded = frozenset[str]().union(*(episode.unrecorded for episode in recording.episodes))
    if unrecorded:
        warnings.warn(
            f"{recording.path}: not recorded, so that it is 0 in the data set, which is no value to learn "
            f"from: {', '.join(name for name in FIELDS if name in unrecorded)}",
            stacklevel=2,
        )
    return cast(Path, module.save(recording, Path(folder)))


def load(folder: str | PathLike[str], output: str | PathLike[str], origin: str) -> Recording:
    """Convert to a recording.

    Args:
        folder: a data set.
        output: the recording's new folder; it has this name only when it is whole.
        origin: one of `FORMATS`.

    Returns:
        The recording.

    Raises:
        OptionError: There is no such format.
        MissingDependencyError: The format needs a package that is not installed.
        RecordingError: The data set is not of that format, or the folder can't be written.
    """
    return cast(Recording, _module(origin).load(Path(folder), Path(output)))


def _module(name: str) -> Any:
    if name not in FORMATS:
        raise OptionError(f"no format {name!r}; there are {', '.join(FORMATS)}")
    return import_module(f"udacity_gym.recording.convert.{name}")
