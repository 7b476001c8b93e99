"""Policies with a network from checkpoints. Needs torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from algorithms.base import Policy
from algorithms.older_files import rename_entries, upgrade_preprocessing, upgrade_training
from algorithms.policies.checkpoint import FORMAT, NAME, VERSION, check_tensors, read_checkpoint
from algorithms.policies.device import Precision
from algorithms.policies.losses import Loss, LossSetting
from algorithms.policies.network_policy import (
    NetworkPolicy,
    check_actions,
    check_cameras,
    check_inputs,
)
from algorithms.policies.networks import NETWORKS, Network, check_fits, make_network, network_name
from algorithms.policies.preprocessing import Preprocessing
from udacity_gym.driving.chunks import Chunks
from udacity_gym.driving.throttle_laws import make_throttle_law
from udacity_gym.errors import CheckpointError, OptionError

_VERSION_1 = {"loss": {"name": "mse"}, "inputs": {}, "past_frames": 0}
"""Values of fields that checkpoints of version 1 do not have."""

_VERSION_3 = {"policy": "NetworkPolicy", "cameras": ["center"], "chunks": {"size": 1}}
"""Values of fields that checkpoints of version 3 and older do not have."""

_FIELDS: dict[str, type | tuple[type, ...]] = {
    "policy": str,
    "network": str,
    "preprocessing": dict,
    "actions": dict,
    "target_speed": (int, float, type(None)),
    "loss": dict,
    "inputs": dict,
    "past_frames": int,
    "cameras": list,
    "chunks": dict,
    "training": dict,
}


def load_network_policy(
    folder: Path,
    *,
    device: str = "cpu",
    precision: Precision = "float32",
    network: Network | None = None,
    loss: LossSetting | None = None,
    policy: type[NetworkPolicy] | None = None,
) -> Policy:
    """Load a policy with torch; see `algorithms.load_policy`."""
    tensors, description = read_checkpoint(folder, NAME, FORMAT, (1, 2, 3, VERSION))
    if description["version"] == 1:
        description = {**description, **_VERSION_1}
    if description["version"] < 3:
        description = _upgrade(description)
    if description["version"] < 4:
        description = {**_VERSION_3, **description}
    path = folder / "policy.json"
    for field, kind in _FIELDS.items():
        if field not in description:
            raise CheckpointError(f"{path}: {field!r} is missing; save the policy again")
        if not isinstance(description[field], kind):
            raise CheckpointError(f"{path}: {field}={description[field]!r} has the wrong type")
    try:
        made = _make(description, network, loss, policy)
    except OptionError as error:
        raise CheckpointError(f"{path}: {error}") from error
    name = description["network"]
    check_tensors(tensors, made.network.state_dict(), f"{folder / 'policy.safetensors'} ({name})")
    made.network.load_state_dict(tensors)
    return made.to(device, precision)


def _make(
    description: Mapping[str, Any],
    network: Network | None,
    loss: LossSetting | None,
    policy: type[NetworkPolicy] | None,
) -> NetworkPolicy:
    """Make the policy that a checkpoint describes, with random weights.

    Raises:
        OptionError: A part does not fit, or is neither registered nor given.
    """
    name, past_frames = description["network"], description["past_frames"]
    actions, inputs = tuple(description["actions"]), tuple(description["inputs"])
    cameras, target_speed = tuple(description["cameras"]), description["target_speed"]
    law = description.get("throttle_law")  # older checkpoints have none
    throttle_law = None if law is None else make_throttle_law(law)
    policy_class = _policy_class(description["policy"], policy)
    check_actions(actions, target_speed, throttle_law)
    check_inputs(inputs, past_frames)
    check_cameras(cameras)
    try:
        chunks = Chunks(**description["chunks"])
    except TypeError as error:
        raise OptionError(f"chunks={description['chunks']!r} has other entries than Chunks") from error
    objective = Loss.from_json(description["loss"], loss)
    preprocessing = Preprocessing.from_json(description["preprocessing"])
    chosen: str | Network = name
    if network is not None:
        if network_name(network) != name:
            raise OptionError(f"the network is {name!r}, not the given {network_name(network)!r}")
        chosen = network
    elif name not in NETWORKS:
        raise OptionError(
            f"no network {name!r} is registered; give its class or function: "
            f"load_policy(..., network={name}), or register it: NETWORKS.register({name!r}, {name})"
        )
    made = make_network(
        chosen,
        objective.outputs(len(actions)) * chunks.size,
        frames=past_frames + 1,
        measurements=len(inputs),
        cameras=len(cameras),
        steps=chunks.size,
        latent=description.get("latent", 0),  # older checkpoints have none
        actions=len(actions),
    )
    check_fits(chosen, preprocessing)
    return policy_class(
        made,
        preprocessing,
        actions,
        target_speed,
        description["training"],
        loss=objective,
        inputs=inputs,
        past_frames=past_frames,
        cameras=cameras,
        chunks=chunks,
        network_name=name,
        throttle_law=throttle_law,
    )


def _policy_class(name: str, given: type[NetworkPolicy] | None) -> type[NetworkPolicy]:
    if given is not None:
        if given.__name__ != name:
            raise OptionError(f"the policy is a {name}, not the given {given.__name__}")
        return given
    if name != NetworkPolicy.__name__:
        raise OptionError(
            f"the policy is a {name}, a class of its author's; give it: load_policy(..., policy={name})"
        )
    return NetworkPolicy


def _upgrade(older: Mapping[str, Any]) -> dict[str, Any]:
    """A description of version 1 or 2 with the names of version 3."""
    description = rename_entries(older, {"history": "past_frames"})
    for name, rename in (("preprocessing", upgrade_preprocessing), ("training", upgrade_training)):
        if isinstance(description.get(name), dict):
            description[name] = rename(description[name])
    return description
