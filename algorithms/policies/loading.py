"""Loading policies from checkpoints: `load_policy`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from algorithms.base import Policy
from algorithms.older_files import rename_entries, upgrade_preprocessing, upgrade_training
from algorithms.policies import ensemble
from algorithms.policies.checkpoint import check_tensors, read_checkpoint
from algorithms.policies.ensemble import Ensemble
from algorithms.policies.losses import Loss
from algorithms.policies.network_policy import FORMAT, VERSION, NetworkPolicy, check_actions, check_inputs
from algorithms.policies.networks import check_fits, make_network
from algorithms.policies.preprocessing import Preprocessing
from udacity_gym.errors import CheckpointError, OptionError
from udacity_gym.files import find_policy

_VERSION_1 = {"loss": {"name": "mse"}, "inputs": {}, "past_frames": 0}
"""Values of fields that checkpoints of version 1 do not have."""

_FIELDS: dict[str, type | tuple[type, ...]] = {
    "network": str,
    "preprocessing": dict,
    "actions": dict,
    "target_speed": (int, float, type(None)),
    "loss": dict,
    "inputs": dict,
    "past_frames": int,
    "training": dict,
}


def load_policy(folder: str | Path) -> Policy:
    """Load a policy that `Policy.save` has written.

    Args:
        folder: folder of the checkpoint, or of a training that has it in ``policy``.

    Returns:
        The policy, ready to ``predict``.

    Raises:
        CheckpointError: There is no checkpoint, or it is incomplete, corrupt, or does not fit its network.
    """
    folder = find_policy(Path(folder))
    if is_ensemble(folder):
        return _load_ensemble(folder)
    tensors, description = read_checkpoint(folder, "policy", FORMAT, (1, 2, VERSION))
    if description["version"] == 1:
        description = {**description, **_VERSION_1}
    if description["version"] < 3:
        description = _upgrade(description)
    path = folder / "policy.json"
    for field, kind in _FIELDS.items():
        if field not in description:
            raise CheckpointError(f"{path}: {field!r} is missing; save the policy again")
        if not isinstance(description[field], kind):
            raise CheckpointError(f"{path}: {field}={description[field]!r} has the wrong type")
    name, target_speed, past_frames = (
        description["network"],
        description["target_speed"],
        description["past_frames"],
    )
    actions, inputs = tuple(description["actions"]), tuple(description["inputs"])
    try:
        check_actions(actions, target_speed)
        check_inputs(inputs, past_frames)
        loss = Loss.from_json(description["loss"])
        preprocessing = Preprocessing.from_json(description["preprocessing"])
        outputs = len(actions) * loss.width
        network = make_network(name, outputs, frames=past_frames + 1, measurements=len(inputs))
        check_fits(name, preprocessing)
    except OptionError as error:
        raise CheckpointError(f"{path}: {error}") from error
    check_tensors(tensors, network.state_dict(), f"{folder / 'policy.safetensors'} ({name})")
    network.load_state_dict(tensors)
    return NetworkPolicy(
        network,
        preprocessing,
        actions,
        target_speed,
        description["training"],
        loss=loss,
        inputs=inputs,
        past_frames=past_frames,
    )


def _upgrade(older: Mapping[str, Any]) -> dict[str, Any]:
    """A description of version 1 or 2 with the names of version 3."""
    description = rename_entries(older, {"history": "past_frames"})
    for name, rename in (("preprocessing", upgrade_preprocessing), ("training", upgrade_training)):
        if isinstance(description.get(name), dict):
            description[name] = rename(description[name])
    return description


def is_ensemble(folder: Path) -> bool:
    """Whether a folder holds the checkpoint of an ensemble."""
    try:
        description = json.loads((folder / "policy.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(description, dict) and description.get("format") == ensemble.FORMAT


def _load_ensemble(folder: Path) -> Ensemble:
    """Load a checkpoint that `Ensemble.save` has written."""
    path = folder / "policy.json"
    description = json.loads(path.read_text(encoding="utf-8"))
    names = description.get("members")
    if description.get("version") != ensemble.VERSION or not isinstance(names, list) or not names:
        raise CheckpointError(f"{path} names no members that this version can read")
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or not name.startswith("member-"):
            raise CheckpointError(f"{path}: {name!r} is no folder of a member beside it")
    return Ensemble([load_policy(folder / name) for name in names])
