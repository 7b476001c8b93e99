"""`NumpyPolicy`: a PilotNet that drives without torch."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from algorithms.base import Action, Floats, Policy
from algorithms.policies.checkpoint import FORMAT, NAME, VERSION, read_weights
from algorithms.policies.preprocessing import Preprocessing
from udacity_gym.driving.throttle_laws import make_throttle_law
from udacity_gym.errors import CheckpointError
from udacity_gym.installation import missing
from udacity_gym.telemetry import Image

CONVOLUTIONS = ((0, 2), (2, 2), (4, 2), (6, 1), (8, 1))
"""Index and stride of the convolutions among PilotNet's ``features``."""
LINEAR = (0, 2, 4, 6)
"""Indices of the linear layers in its ``head``."""
ACTION_LOSSES = ("mse", "mae", "huber", "function")
"""Losses with which the outputs of a network are the actions themselves."""


class NumpyPolicy(Policy):
    """Drive with the checkpoint of a PilotNet, computed by NumPy.

    Its actions differ from those of the same checkpoint in torch by rounding only. It can't be trained.

    Attributes:
        name: name of the network.
        preprocessing: how images are prepared for the network.
        training: how the policy was trained, from the checkpoint.
    """

    name = "PilotNet"

    def __init__(self, weights: Mapping[str, Floats], description: Mapping[str, Any], folder: Path) -> None:
        """Make a policy from the parts of a checkpoint; see `load`.

        Args:
            weights: arrays by the names of torch's ``state_dict``.
            description: the JSON of the checkpoint.
            folder: folder of the checkpoint.
        """
        self._weights, self._folder = weights, folder
        self.preprocessing = Preprocessing.from_json(description["preprocessing"])
        self.actions = tuple(description["actions"])
        self.target_speed = description["target_speed"]
        law = description.get("throttle_law")  # older checkpoints have none
        self.throttle_law = None if law is None else make_throttle_law(law)
        self.image_size = self.preprocessing.camera_size
        (self.camera,) = description["cameras"]
        self.training: dict[str, Any] = description["training"]

    @classmethod
    def load(cls, folder: str | Path) -> NumpyPolicy:
        """Load a checkpoint.

        Args:
            folder: its folder.

        Raises:
            CheckpointError: There is no checkpoint, or it is incomplete or corrupt.
            MissingDependencyError: The network is no PilotNet of one image; it needs torch.
        """
        folder = Path(folder)
        weights, description = read_weights(folder, NAME, FORMAT)
        if not _is_simple(description):
            network = description.get("network", "an ensemble")
            raise missing("torch", f"{folder}, a policy with {network},")
        try:
            policy = cls(
                {name: array.astype(np.float32) for name, array in weights.items()}, description, folder
            )
            policy.act(np.zeros((1, *policy.image_size, 3), np.uint8))
        except (KeyError, ValueError) as error:
            raise CheckpointError(f"{folder}: the weights are not those of a PilotNet: {error!r}") from error
        return policy

    def to(self, device: str | None = None, precision: str | None = None) -> NumpyPolicy:
        """Check a device and a precision: NumPy computes on the CPU, in float32.

        Args:
            device: "auto", "cpu" or None.
            precision: "float32" or None.

        Returns:
            The policy itself.

        Raises:
            MissingDependencyError: Something else was asked for, which needs torch.
        """
        if device not in (None, "auto", "cpu") or precision not in (None, "float32"):
            raise missing("torch", f"device={device!r} with precision={precision!r}")
        return self

    def act(self, images: Image, measurements: Floats | None = None) -> Action:
        """Choose an action for each image; see `Policy.act`."""
        prepared = self.preprocessing.prepare_batch(images).astype(np.float32)
        x: Floats = np.moveaxis(prepared, -1, 1) * np.float32(self.preprocessing.scale)
        x += np.float32(self.preprocessing.offset)
        for index, stride in CONVOLUTIONS:
            x = _elu(_convolve(x, *self._layer(f"features.{index}"), stride))
        x = x.reshape(len(x), -1)
        for index in LINEAR:
            weight, bias = self._layer(f"head.{index}")
            x = x @ weight.T + bias
            x = x if index == LINEAR[-1] else _elu(x)
        return x

    def _layer(self, name: str) -> tuple[Floats, Floats]:
        return self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]

    def save(self, folder: str | Path) -> Path:
        """Copy the checkpoint; see `Policy.save`."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for suffix in (".safetensors", ".json"):
            shutil.copyfile(self._folder / f"{NAME}{suffix}", folder / f"{NAME}{suffix}")
        return folder

    def __repr__(self) -> str:
        target_speed = "" if self.target_speed is None else f", target_speed={self.target_speed:.1f} m/s"
        return f"NumpyPolicy({self.name}, actions={self.actions}{target_speed})"


def _is_simple(description: Mapping[str, Any]) -> bool:
    """Whether a checkpoint is a PilotNet that maps one image to one action."""
    needed = {"policy": "NetworkPolicy", "network": "PilotNet", "inputs": {}, "past_frames": 0}
    return (
        description.get("version") == VERSION
        and all(description.get(name) == value for name, value in needed.items())
        and len(description["cameras"]) == 1
        and description["chunks"].get("size") == 1
        and description["loss"].get("name") in ACTION_LOSSES
    )


def _convolve(x: Floats, weight: Floats, bias: Floats, stride: int) -> Floats:
    """Convolve without padding: (n, channels, height, width) -> (n, outputs, ...)."""
    windows = sliding_window_view(x, weight.shape[2:], axis=(2, 3))[:, :, ::stride, ::stride]
    out = np.tensordot(windows, weight, axes=((1, 4, 5), (1, 2, 3))) + bias
    return np.ascontiguousarray(np.moveaxis(out, -1, 1))


def _elu(x: Floats) -> Floats:
    """Exponential linear unit (Clevert et al. 2016)."""
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))
