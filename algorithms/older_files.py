"""Files that older versions wrote, in the names of today's: `renamed` and `renamed_settings`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SETTINGS = {"history": "past_frames", "drives": "rollouts"}
"""Settings of a training or of an interactive learner that had other names once."""


def renamed(entries: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Entries of a file, under the names they have today.

    Args:
        entries: of a file of any version.
        names: the name that an entry had once, to that of today.
    """
    return {names.get(name, name): value for name, value in entries.items()}


def renamed_preprocessing(entries: Mapping[str, Any]) -> dict[str, Any]:
    """The description of a `Preprocessing`, under the names of today."""
    return renamed(entries, {"picture": "camera_size"})


def renamed_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a training or of an interactive learner, under the names of today."""
    present = renamed(settings, SETTINGS)
    if isinstance(present.get("preprocessing"), Mapping):
        present["preprocessing"] = renamed_preprocessing(present["preprocessing"])
    return present


def renamed_training(training: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint or a training's state says of the training, under the names of today."""
    present = renamed(training, {"history": "epoch_log"})
    if isinstance(present.get("settings"), Mapping):
        present["settings"] = renamed_settings(present["settings"])
    return present
