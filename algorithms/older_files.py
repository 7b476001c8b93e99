"""Upgrade the content of files that older versions wrote to the names of this version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SETTINGS = {"history": "past_frames", "drives": "rollouts"}
"""Old to new names of settings of a training or of an interactive learner."""


def rename_entries(entries: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Rename the entries of a file.

    Args:
        entries: entries of a file of any version.
        names: old to new names.
    """
    return {names.get(name, name): value for name, value in entries.items()}


def upgrade_preprocessing(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the entries of a `Preprocessing`."""
    return rename_entries(entries, {"picture": "camera_size"})


def upgrade_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the settings of a training or of an interactive learner."""
    upgraded = rename_entries(settings, SETTINGS)
    if isinstance(upgraded.get("preprocessing"), Mapping):
        upgraded["preprocessing"] = upgrade_preprocessing(upgraded["preprocessing"])
    return upgraded


def upgrade_training(training: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the entries about the training in a checkpoint or in a training's state."""
    upgraded = rename_entries(training, {"history": "epoch_log"})
    if isinstance(upgraded.get("settings"), Mapping):
        upgraded["settings"] = upgrade_settings(upgraded["settings"])
    return upgraded
