"""`NetworkPolicy`: a policy that drives with a network, and its checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import Self

from algorithms.base import ACTION_MEANINGS, Action, Floats, ObservationError, Policy
from algorithms.checks import Number
from algorithms.policies.batch import Batch
from algorithms.policies.checkpoint import FORMAT, NAME, VERSION, write_checkpoint
from algorithms.policies.device import (
    Precision,
    autocast,
    check_precision,
    find_device,
    torch_threads,
)
from algorithms.policies.losses import LossSetting, MeanSquare, make_loss
from algorithms.policies.networks import make_network, network_name
from algorithms.policies.preprocessing import Preprocessing
from udacity_gym.driving.chunks import Chunks, ChunkState
from udacity_gym.driving.policy_inputs import MEASUREMENTS
from udacity_gym.driving.throttle_laws import ThrottleLaw, throttle_law_to_json
from udacity_gym.errors import OptionError
from udacity_gym.telemetry import MPH, Image

if TYPE_CHECKING:
    from algorithms.policies.export import Exported
    from algorithms.training.config import TrainingConfig

State: TypeAlias = tuple[NDArray[Any], ...]
"""What a policy remembers from step to step: arrays whose first axis is the car."""

SINGLE_THREAD_IMAGES = 8
"""Number of images up to which a network runs in one thread. With so little work, threads wait for each other
longer than they compute, and for tens of milliseconds where other programs use the cores too."""


def check_actions(
    actions: tuple[str, ...], target_speed: float | None, throttle_law: ThrottleLaw | None = None
) -> None:
    """Check that actions are steering and throttle, or steering alone with a target speed or a throttle law.

    Raises:
        OptionError: Actions, target speed and throttle law don't go together.
    """
    if actions not in (("steering",), ("steering", "throttle")):
        raise OptionError(f"actions={actions} must be ('steering',) or ('steering', 'throttle')")
    Number(0, above=True, optional=True).check("target_speed", target_speed)
    if throttle_law is not None:
        if "throttle" in actions or target_speed is not None:
            raise OptionError(
                f"a throttle law with actions={actions} and target_speed={target_speed}: it is for a policy "
                "that only steers, in place of a target speed"
            )
    elif (target_speed is None) != ("throttle" in actions):
        raise OptionError(
            f"target_speed={target_speed} with actions={actions}: a policy that only steers needs one, "
            "a policy that controls the throttle must have none"
        )


def one_thread(when: bool) -> AbstractContextManager[None]:
    """Run torch in one thread within the block if ``when`` is true."""
    return torch_threads(1 if when else None)


INPUT_SCALES = {"speed": 1 / (30 * MPH)}
"""Factors that scale measurements for a network; 30 mph is the car's top speed. The others are not scaled."""


def input_scales(inputs: Sequence[str]) -> Floats:
    """Factors that scale measurements for a network: (len(inputs),) float32."""
    return np.array([INPUT_SCALES.get(name, 1.0) for name in inputs], np.float32)


def check_inputs(inputs: tuple[str, ...], past_frames: int) -> None:
    """Check the names of inputs and the number of past frames.

    Raises:
        OptionError: An input is unknown or given twice, or the number is out of range.
    """
    if not isinstance(inputs, tuple) or len(set(inputs)) != len(inputs) or set(inputs) - set(MEASUREMENTS):
        raise OptionError(f"inputs={inputs!r} must be a tuple of names out of {tuple(MEASUREMENTS)}")
    Number(0, 64, whole=True).check("past_frames", past_frames)


def check_cameras(cameras: tuple[str, ...]) -> None:
    """Check the names of cameras.

    Raises:
        OptionError: There is none, or one is given twice.
    """
    if (
        not isinstance(cameras, tuple)
        or not cameras
        or len(set(cameras)) != len(cameras)
        or not all(isinstance(name, str) and name for name in cameras)
    ):
        raise OptionError(
            f"cameras={cameras!r} must be a tuple of names, such as ('left', 'center', 'right')"
        )


class Distribution(NamedTuple):
    """Mean and standard deviation of a policy's action.

    Attributes:
        mean: (len(actions),) or (n, len(actions)) float32 in [-1, 1], as `predict` returns it.
        std: standard deviation, of the same shape.
    """

    mean: Action
    std: Floats


class NetworkPolicy(Policy):
    """Policy that drives with a network, including its preprocessing, its loss and its memory.

    A subclass with a loss of its own overrides `loss`, and `Training` trains it like any other.

    Attributes:
        network: the network, in evaluation mode; see `algorithms.policies.networks.Network`.
        network_name: name of the network, as checkpoints have it.
        preprocessing: how images are prepared for the network.
        objective: defines what the network's outputs mean, and how far they are from a label.
        chunks: how many steps the network predicts, and how the policy drives with them.
        throttle_weight: weight of the throttle in `loss`; steering has weight 1.
        kl_weight: weight in `loss` of the divergence of a latent variable from its prior.
        training: how the policy was trained: settings, seed, losses. Checkpoints keep it for humans to read.
        device: where the network computes. Images and actions are NumPy arrays everywhere.
        precision: arithmetic of the network: "float32" or "bfloat16". Weights are float32.
    """

    def __init__(
        self,
        network: nn.Module,
        preprocessing: Preprocessing,
        actions: tuple[str, ...] = ("steering", "throttle"),
        target_speed: float | None = None,
        training: dict[str, Any] | None = None,
        *,
        loss: LossSetting | None = None,
        inputs: tuple[str, ...] = (),
        past_frames: int = 0,
        cameras: tuple[str, ...] = ("center",),
        chunks: Chunks | None = None,
        throttle_weight: float = 0.1,
        kl_weight: float = 10.0,
        network_name: str | None = None,
        throttle_law: ThrottleLaw | None = None,
    ) -> None:
        """Make a policy, on the CPU; `to` moves it to another device.

        Args:
            network: maps prepared, normalised images, and scaled measurements if there are ``inputs``,
                to outputs.
            preprocessing: see the attributes.
            actions: ("steering", "throttle") or ("steering",).
            target_speed: m/s, for a policy that only steers.
            training: see the attributes.
            loss: what the outputs mean, see `algorithms.policies.losses`; None means that they are the
                actions.
            inputs: inputs of the network besides images, names from
                `udacity_gym.driving.policy_inputs.MEASUREMENTS`.
            past_frames: number of past images that the network gets besides the present one.
            cameras: cameras whose images the network gets, in this order.
            chunks: see the attributes; None predicts the present action only.
            throttle_weight: see the attributes.
            kl_weight: see the attributes.
            network_name: see the attributes; None takes the name of the network's class.
            throttle_law: for a policy that only steers, in place of a target speed; see `Policy`.

        Raises:
            OptionError: Actions and target speed do not go together, or an input is unknown.
        """
        check_actions(actions, target_speed, throttle_law)
        check_inputs(inputs, past_frames)
        check_cameras(cameras)
        self.network = network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network_name = network_name or type(network).__name__
        self.preprocessing = preprocessing
        self.actions = actions
        self.target_speed = target_speed
        self.throttle_law = throttle_law
        self.image_size = preprocessing.camera_size
        self.training = training or {}
        self.objective = MeanSquare() if loss is None else make_loss(loss)
        self.inputs = inputs
        self.past_frames = past_frames
        self.camera, self.cameras = cameras[0], cameras
        self.chunks = Chunks() if chunks is None else chunks
        self.throttle_weight, self.kl_weight = throttle_weight, kl_weight
        self.device = torch.device("cpu")
        self.precision: Precision = "float32"

    @classmethod
    def from_config(
        cls, config: TrainingConfig, *, target_speed: float | None = None, seed: int | None = None
    ) -> Self:
        """Make an untrained policy from the settings of a training.

        Args:
            config: the settings.
            target_speed: m/s, for a policy that only steers.
            seed: seed of the initial weights; None takes that of the settings.

        Raises:
            OptionError: The network does not fit the settings.
        """
        network = make_network(
            config.network,
            config.objective.outputs(len(config.actions)) * config.chunk_size,
            config.seed if seed is None else seed,
            frames=config.past_frames + 1,
            measurements=len(config.inputs),
            cameras=len(config.cameras),
            steps=config.chunk_size,
            latent=config.latent,
            actions=len(config.actions),
        )
        return cls(
            network,
            config.preprocessing,
            config.actions,
            target_speed,
            loss=config.objective,
            inputs=config.inputs,
            past_frames=config.past_frames,
            cameras=config.cameras,
            chunks=config.chunks,
            throttle_weight=config.throttle_weight,
            kl_weight=config.kl_weight,
            network_name=network_name(config.network),
        )

    def to(self, device: str | torch.device | None = None, precision: Precision | None = None) -> Self:
        """Move the policy to a device, or change its precision.

        Args:
            device: "auto", "cpu", "cuda", "cuda:1" or "mps"; None stays.
            precision: "float32" or "bfloat16"; None stays.

        Returns:
            The policy itself.

        Raises:
            OptionError: There is no such device, or it can't compute in this precision.
        """
        target = self.device if device is None else find_device(device)
        check_precision(target, precision or self.precision)
        self.network.to(target)
        self.device, self.precision = target, precision or self.precision
        return self

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch, which training minimises, and other measures to log.

        While a network with a latent variable is trained, the variable is drawn as its encoder says, and the
        loss has the weighted divergence of that distribution from the prior (Zhao et al. 2023, algorithm 1).
        In validation, as in driving, it is zero.

        Args:
            batch: samples on the policy's device.

        Returns:
            The loss, a scalar, as a mean over the samples; and metrics by name, each (n,) or a mean. Training
            logs their means, and "steering_mae", the mean absolute steering error, in the epoch log.
        """
        latent, divergence = self._draw_latent(batch)
        out = self.run_network(batch.images, batch.measurements, latent)
        targets = batch.targets.reshape(len(out), -1)
        errors = self.objective.loss(out, targets)
        weights = torch.tensor([1.0, self.throttle_weight][: errors.shape[1]], device=errors.device)
        size = self.chunks.size
        if size > 1:
            if len(errors) != len(out):
                raise OptionError(
                    f"with chunk_size={size} a loss must return the loss of each sample; "
                    f"{self.objective} returns a mean"
                )
            errors = errors * batch.valid.reshape(-1, 1)  # steps after the end of an episode do not count
        with torch.no_grad():
            steering = self.objective.mean(out)[::size, 0]
            metrics = {"steering_mae": (steering - targets[::size, 0]).abs()}
        loss = (errors.mean(dim=0) * weights).sum()
        if divergence is not None:
            loss, metrics["kl"] = loss + self.kl_weight * divergence.mean(), divergence.detach()
        return loss, metrics

    def _draw_latent(self, batch: Batch) -> tuple[Tensor | None, Tensor | None]:
        """A latent variable for each sample, (n, latent), and its divergence from the prior, (n,).

        Both are None without a latent variable, and when the network is not in training mode.
        """
        if not getattr(self.network, "latent_size", 0) or not self.network.training:
            return None, None
        encode: Any = self.network.encode
        with autocast(self.device, self.precision):
            mean, log_variance = encode(batch.targets.reshape(*batch.valid.shape, -1), batch.valid)
        latent = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        divergence = -0.5 * (1.0 + log_variance - mean.square() - log_variance.exp()).sum(dim=1)
        return latent, divergence

    def run_network(self, images: Tensor, measurements: Tensor, latent: Tensor | None = None) -> Tensor:
        """Run the network in the policy's precision.

        Args:
            images: (n, ...) uint8 prepared images on the policy's device, see `Batch`.
            measurements: (n, len(inputs)) float32 in SI units.
            latent: (n, latent) latent variable of a network that has one; None is zero.

        Returns:
            Outputs as `Loss.split` gives them, float32: (n, actions, width) for most losses; with a chunk
            size above 1, (n * chunk_size, ...), the steps of a sample together.
        """
        with autocast(self.device, self.precision):
            numbers: tuple[Tensor, ...] = ()
            if self.inputs:
                scales = torch.from_numpy(input_scales(self.inputs)).to(measurements.device)
                numbers = (measurements * scales,)
            options = {} if latent is None else {"latent": latent}
            out = self.network(self.preprocessing.normalize(images), *numbers, **options)
        return self.objective.split(out.float().reshape(len(images) * self.chunks.size, -1))

    def act(self, images: Image, measurements: Floats | None = None) -> Action:
        """Choose an action for each image, as the first of an episode; see `Policy.act`."""
        if measurements is None:
            measurements = np.empty((len(images), 0), np.float32)
        return self._decide(images, measurements, None, None)[0]

    def predict_distribution(
        self,
        observation: Any,
        state: State | None = None,
        episode_start: NDArray[np.bool_] | None = None,
    ) -> tuple[Distribution, State | None]:
        """Predict the mean and standard deviation of the action.

        Of a policy with a chunk size, it is the newest prediction for this step, not the average of chunks.

        Args:
            observation: see `predict`.
            state: see `predict`.
            episode_start: see `predict`.

        Returns:
            Mean and standard deviation of the action, and the state.

        Raises:
            ObservationError: See `predict`.
            OptionError: The network was trained with a loss without a standard deviation.
        """
        images, measurements, single = self.check(observation)
        prepared, memory, chunk_state = self._recall(images, state, episode_start)
        out = self._infer(prepared, measurements)
        step = slice(None, None, self.chunks.size)
        mean = _to_numpy(self.objective.mean(out)[step]).clip(-1.0, 1.0)
        std = _to_numpy(self.objective.std(out)[step])
        if chunk_state is not None:
            chunk_state = self._use_chunks(chunk_state, prepared, measurements)[1]
        state = self._state(memory, chunk_state)
        return (Distribution(mean[0], std[0]) if single else Distribution(mean, std)), state

    def _decide(
        self,
        images: Image,
        measurements: Floats,
        state: State | None,
        episode_start: NDArray[np.bool_] | None,
    ) -> tuple[Action, State | None]:
        prepared, memory, chunk_state = self._recall(images, state, episode_start)
        if chunk_state is None:
            out = self._infer(prepared, measurements)
            action: Action = _to_numpy(self.objective.mean(out)[:: self.chunks.size])
        else:
            action, chunk_state = self._use_chunks(chunk_state, prepared, measurements)
        return action, self._state(memory, chunk_state)

    def _use_chunks(
        self, state: ChunkState, prepared: Image, measurements: Floats
    ) -> tuple[Action, ChunkState]:
        """The actions of this step from old and new chunks, and the state after it."""
        needed = self.chunks.needs_chunk(state)
        shape = (-1, self.chunks.size, len(self.actions))
        chunks: Floats = np.empty((0, *shape[1:]), np.float32)
        if needed.any():
            out = self._infer(prepared[needed], measurements[needed])
            chunks = _to_numpy(self.objective.mean(out)).reshape(shape)
        return self.chunks.step(state, chunks, needed)

    def _infer(self, prepared: Image, measurements: Floats) -> Tensor:
        """Run the network on arrays; returns the outputs as in `run_network`."""
        on_cpu = self.device.type == "cpu"
        with one_thread(when=on_cpu and len(prepared) <= SINGLE_THREAD_IMAGES), torch.inference_mode():
            images = torch.from_numpy(prepared).to(self.device)
            return self.run_network(images, torch.from_numpy(measurements).to(self.device))

    def _recall(
        self, images: Image, state: State | None, episode_start: Any
    ) -> tuple[Image, State, ChunkState | None]:
        """Prepare images, with the past ones of the state.

        Returns:
            (n, *size, 3) prepared images, or (n, frames * cameras, *size, 3); the images to remember, in a
            tuple that is empty without past frames; and the chunks to drive with, None without.
        """
        n, cameras = len(images), len(self.cameras)
        prepared = self.preprocessing.prepare_batch(images.reshape(-1, *images.shape[-3:]))
        if cameras > 1:
            prepared = prepared.reshape(n, cameras, *prepared.shape[1:])
        parts = () if state is None else tuple(state)
        memory: State = ()
        if self.past_frames:
            prepared = self._add_past(prepared, parts[0] if parts else None, episode_start)
            memory, parts = (prepared[:, cameras:],), parts[1:]
        if not self.chunks.remembers:
            return prepared, memory, None
        return prepared, memory, self.chunks.resume(parts, n, len(self.actions), episode_start)

    def _state(self, memory: State, chunk_state: ChunkState | None) -> State | None:
        """The state of `predict`; None without any memory."""
        chunks = () if chunk_state is None else (chunk_state.chunks, chunk_state.count)
        return (*memory, *chunks) or None

    def _add_past(self, prepared: Image, past: Any, episode_start: Any) -> Image:
        """Join past images and the present ones: (n, (past_frames + 1) * cameras, *size, 3).

        Where an episode begins, the first images are repeated in place of past images.
        """
        now = prepared if len(self.cameras) > 1 else prepared[:, None]
        first = np.tile(now, (1, self.past_frames, 1, 1, 1))
        if past is None:
            past = first
        else:
            past = np.asarray(past)
            if past.shape != first.shape:
                raise ObservationError(
                    f"the state is of shape {past.shape}, but {len(now)} images with "
                    f"past_frames={self.past_frames} need {first.shape}; begin with state=None"
                )
            if episode_start is not None:
                begins = np.broadcast_to(np.asarray(episode_start, np.bool_), (len(now),))
                past = np.where(begins[:, None, None, None, None], first, past)
        return np.concatenate([past, now], axis=1)

    def save(self, folder: str | Path) -> Path:
        """Write a checkpoint; see `Policy.save`. It does not depend on the device.

        Raises:
            CheckpointError: The folder holds other files than a checkpoint.
        """
        description = {
            "format": FORMAT,
            "version": VERSION,
            "policy": type(self).__name__,
            "network": self.network_name,
            "preprocessing": self.preprocessing.to_json(),
            "actions": {name: ACTION_MEANINGS[name] for name in self.actions},
            "target_speed": self.target_speed,
            "throttle_law": None if self.throttle_law is None else throttle_law_to_json(self.throttle_law),
            "loss": self.objective.to_json(),
            "inputs": {
                name: {"unit": MEASUREMENTS[name], "scale": INPUT_SCALES.get(name, 1.0)}
                for name in self.inputs
            },
            "past_frames": self.past_frames,
            "cameras": list(self.cameras),
            "chunks": asdict(self.chunks),
            "latent": getattr(self.network, "latent_size", 0),
            "training": self.training,
        }
        return write_checkpoint(folder, NAME, self.network.state_dict(), description)

    def export(self, path: str | Path) -> Exported:
        """Export the policy to one file that drives without this package; see `algorithms.export`.

        Args:
            path: ends in .onnx, or in .pt for TorchScript.
        """
        from algorithms.policies.export import export

        return export(self, path)

    def __repr__(self) -> str:
        target_speed = "" if self.target_speed is None else f", target_speed={self.target_speed:.1f} m/s"
        law = "" if self.throttle_law is None else f", throttle_law={self.throttle_law}"
        inputs = f", inputs={self.inputs}" if self.inputs else ""
        past = f", past_frames={self.past_frames}" if self.past_frames else ""
        cameras = f", cameras={self.cameras}" if self.cameras != ("center",) else ""
        chunks = f", chunk_size={self.chunks.size}" if self.chunks.size > 1 else ""
        device = "" if self.device.type == "cpu" else f", device={str(self.device)!r}"
        return (
            f"{type(self).__name__}({self.network_name}, actions={self.actions}"
            f"{target_speed}{law}{inputs}{past}{cameras}{chunks}{device})"
        )


def _to_numpy(values: Tensor) -> Floats:
    array: Floats = values.cpu().numpy()
    return array
