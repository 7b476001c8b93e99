"""Loading policies from checkpoints: `load_policy`. Needs torch only for what NumPy can't compute."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from algorithms.base import Policy
from algorithms.policies import ensemble
from algorithms.policies.ensemble import Ensemble
from algorithms.policies.numpy_policy import NumpyPolicy
from udacity_gym.driving.loading import policy_path
from udacity_gym.errors import CheckpointError
from udacity_gym.files import find_policy

if TYPE_CHECKING:
    from algorithms.policies.device import Precision
    from algorithms.policies.losses import LossSetting
    from algorithms.policies.network_policy import NetworkPolicy
    from algorithms.policies.networks import Network


def load_policy(
    folder: str | Path,
    *,
    device: str = "cpu",
    precision: Precision = "float32",
    network: Network | None = None,
    loss: LossSetting | None = None,
    policy: type[NetworkPolicy] | None = None,
) -> Policy:
    """Load a policy that `Policy.save` has written.

    A checkpoint names its classes, but never makes Python import code. Classes of your own, which are not
    registered, are given here.

    Where torch is not installed, a PilotNet is loaded as a `NumpyPolicy`, which drives alike.

    Args:
        folder: folder of the checkpoint, or of a training that has it in ``policy``; "pretrained:lake" for a
            policy of this package, or "hf:user/repository" for one on the Hugging Face Hub.
        device: where the network computes, see `NetworkPolicy.to`. For one image at a time a CPU is quick
            enough.
        precision: arithmetic of the network, "float32" or "bfloat16".
        network: class or function that makes the network, if the checkpoint's is not in `NETWORKS`.
        loss: subclass of `Loss`, if the checkpoint's is not in `LOSSES`.
        policy: subclass of `NetworkPolicy`, if the checkpoint is of one of your own.

    Returns:
        The policy, ready to ``predict``.

    Raises:
        CheckpointError: There is no checkpoint, or it is incomplete, corrupt, or does not fit its network.
        MissingDependencyError: torch is not installed, and the policy needs it.
        OptionError: There is no such device.
    """
    folder = find_policy(policy_path(folder))
    if is_ensemble(folder):
        own = {"device": device, "precision": precision, "network": network, "loss": loss, "policy": policy}
        return _load_ensemble(folder, own)
    if find_spec("torch") is None:
        return NumpyPolicy.load(folder).to(device, precision)
    from algorithms.policies.network_loading import load_network_policy

    return load_network_policy(
        folder, device=device, precision=precision, network=network, loss=loss, policy=policy
    )


def is_ensemble(folder: Path) -> bool:
    """Whether a folder holds the checkpoint of an ensemble."""
    try:
        description = json.loads((folder / "policy.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(description, dict) and description.get("format") == ensemble.FORMAT


def _load_ensemble(folder: Path, options: Mapping[str, Any]) -> Ensemble:
    """Load a checkpoint that `Ensemble.save` has written."""
    path = folder / "policy.json"
    description = json.loads(path.read_text(encoding="utf-8"))
    names = description.get("members")
    if description.get("version") != ensemble.VERSION or not isinstance(names, list) or not names:
        raise CheckpointError(f"{path} names no members that this version can read")
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or not name.startswith("member-"):
            raise CheckpointError(f"{path}: {name!r} is no folder of a member beside it")
    return Ensemble([load_policy(folder / name, **options) for name in names])
