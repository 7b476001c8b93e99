"""The policy that drives with a network, and its checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from algorithms.base import ACTION_MEANINGS, Action, Policy
from algorithms.checkpoint import check_tensors, read_checkpoint, write_checkpoint
from algorithms.checks import Number
from algorithms.networks import check_fits, make_network
from algorithms.preprocessing import Preprocessing
from udacity_gym.errors import CheckpointError, OptionError
from udacity_gym.telemetry import Image

if TYPE_CHECKING:
    from algorithms.export import Exported

FORMAT = "udacity-gym-policy"
VERSION = 1

_FIELDS: dict[str, type | tuple[type, ...]] = {
    "network": str,
    "preprocessing": dict,
    "actions": dict,
    "target_speed": (int, float, type(None)),
    "training": dict,
}


FEW = 8
"""Pictures up to which a network is asked in one thread: for so little work, threads wait for each other
longer than they work, and for tens of milliseconds where other programs use the cores too."""


def check_actions(actions: tuple[str, ...], target_speed: float | None) -> None:
    """Make sure that a policy works steering and throttle, or steering alone at a target speed.

    Raises:
        OptionError: It does not.
    """
    if actions not in (("steering",), ("steering", "throttle")):
        raise OptionError(f"actions={actions} must be ('steering',) or ('steering', 'throttle')")
    Number(0, above=True, optional=True).check("target_speed", target_speed)
    if (target_speed is None) != ("throttle" in actions):
        raise OptionError(
            f"target_speed={target_speed} with actions={actions}: a policy that only steers needs one, "
            "a policy that works the throttle must have none"
        )


@contextmanager
def one_thread(when: bool) -> Iterator[None]:
    """Let torch work in one thread within the block, if ``when`` is true."""
    threads = torch.get_num_threads()
    if not when or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class NetworkPolicy(Policy):
    """A policy that asks a network, and takes its preprocessing with it.

    Attributes:
        network: the network, in evaluation mode.
        preprocessing: what becomes of a picture before the network sees it.
        training: how it came about: settings, seed, losses. Kept in the checkpoint for people to read.
    """

    def __init__(
        self,
        network: nn.Module,
        preprocessing: Preprocessing,
        actions: tuple[str, ...] = ("steering", "throttle"),
        target_speed: float | None = None,
        training: dict[str, Any] | None = None,
    ) -> None:
        """Make a policy.

        Args:
            network: maps prepared, normalised pictures to actions.
            preprocessing: see the attributes.
            actions: ("steering", "throttle") or ("steering",).
            target_speed: m/s, for a policy that only steers.
            training: see the attributes.

        Raises:
            OptionError: Actions and target speed do not go together.
        """
        check_actions(actions, target_speed)
        self.network = network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.preprocessing = preprocessing
        self.actions = actions
        self.target_speed = target_speed
        self.picture = preprocessing.picture
        self.training = training or {}

    @torch.inference_mode()
    def act(self, images: Image) -> Action:
        """Choose an action for each picture; see `Policy.act`."""
        prepared = torch.from_numpy(self.preprocessing.prepare_batch(images))
        with one_thread(when=len(images) <= FEW):
            action: Action = self.network(self.preprocessing.normalize(prepared)).numpy()
        return action

    def save(self, folder: str | Path) -> Path:
        """Write a checkpoint; see `Policy.save`.

        Raises:
            CheckpointError: The folder exists and holds something else than a checkpoint.
        """
        description = {
            "format": FORMAT,
            "version": VERSION,
            "network": type(self.network).__name__,
            "preprocessing": self.preprocessing.to_json(),
            "actions": {name: ACTION_MEANINGS[name] for name in self.actions},
            "target_speed": self.target_speed,
            "training": self.training,
        }
        return write_checkpoint(folder, "policy", self.network.state_dict(), description)

    def export(self, path: str | Path) -> Exported:
        """Write the policy as one file that drives without this package, see `algorithms.export.export`.

        Args:
            path: ends in .onnx, or in .pt for TorchScript.
        """
        from algorithms.export import export

        return export(self, path)

    def __repr__(self) -> str:
        at = "" if self.target_speed is None else f", target_speed={self.target_speed:.1f} m/s"
        return f"{type(self).__name__}({type(self.network).__name__}, actions={self.actions}{at})"


def load_policy(folder: str | Path) -> Policy:
    """Load a policy that `Policy.save` has written.

    Args:
        folder: the checkpoint's folder.

    Returns:
        The policy, ready to ``predict``.

    Raises:
        CheckpointError: There is no checkpoint, or it is incomplete, corrupt, or of another network.
    """
    folder = Path(folder)
    tensors, description = read_checkpoint(folder, "policy", FORMAT, VERSION)
    where = folder / "policy.json"
    for field, kind in _FIELDS.items():
        if field not in description:
            raise CheckpointError(f"{where}: {field!r} is missing; save the policy again")
        if not isinstance(description[field], kind):
            raise CheckpointError(f"{where}: {field}={description[field]!r} has the wrong type")
    name, target_speed = description["network"], description["target_speed"]
    actions = tuple(description["actions"])
    try:
        check_actions(actions, target_speed)
        preprocessing = Preprocessing.from_json(description["preprocessing"])
        network = make_network(name, len(actions))
        check_fits(name, preprocessing)
    except OptionError as error:
        raise CheckpointError(f"{where}: {error}") from error
    check_tensors(tensors, network.state_dict(), f"{folder / 'policy.safetensors'} ({name})")
    network.load_state_dict(tensors)
    return NetworkPolicy(network, preprocessing, actions, target_speed, description["training"])
