"""Helpers that the formats share."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from tqdm import tqdm

from udacity_gym.errors import MissingDependencyError
from udacity_gym.recording.episodes import Episode, Frame, Recording


def need(module: str, for_what: str) -> Any:
    """Import an optional package.

    Raises:
        MissingDependencyError: It is not installed; the message names the pip command.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MissingDependencyError(
            f'{for_what} needs {package}, which is not installed: pip install "udacity-gym[convert]"'
        ) from error


def frames_of(episode: Episode, bar: tqdm[Any]) -> Iterator[tuple[Frame, dict[str, Any]]]:
    """The frames of an episode, each with its entry of the side file."""
    for frame, extra in zip(episode, episode.extras(), strict=True):
        yield frame, extra
        bar.update()


def progress_bar(recording: Recording) -> tqdm[Any]:
    """A progress bar over all frames, shown if the job takes longer than a second."""
    return tqdm(desc="converting", total=len(recording), unit=" frames", delay=1.0, leave=False)


def to_text(extra: Mapping[str, Any]) -> str:
    """Convert an entry of the side file to text."""
    return json.dumps(extra, allow_nan=False)


def from_text(text: object) -> dict[str, Any]:
    """Inverse of `to_text`; {} for other texts."""
    try:
        extra = json.loads(text) if isinstance(text, str) else {}
    except ValueError:
        return {}
    if not isinstance(extra, dict):
        return {}
    extra.pop("image", None)
    return extra


def moment(text: object) -> datetime.datetime | None:
    """A local time that `datetime.isoformat` wrote; None of anything else."""
    try:
        return datetime.datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
