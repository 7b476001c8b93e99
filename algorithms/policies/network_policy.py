"""`NetworkPolicy`: a policy that drives with a network, and its checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from algorithms.base import ACTION_MEANINGS, Action, Floats, ObservationError, Policy
from algorithms.checks import Number
from algorithms.policies.checkpoint import write_checkpoint
from algorithms.policies.losses import Loss, MeanSquare
from algorithms.policies.preprocessing import Preprocessing
from udacity_gym.driving.policy_inputs import MEASUREMENTS
from udacity_gym.errors import OptionError
from udacity_gym.telemetry import MPH, Image

if TYPE_CHECKING:
    from algorithms.policies.export import Exported

FORMAT = "udacity-gym-policy"
VERSION = 3
"""Version 2 used other names, see `algorithms.older_files`. Version 1 had no ``loss``, ``inputs`` and past
frames: the network mapped one image to the action itself."""

SINGLE_THREAD_IMAGES = 8
"""Number of images up to which a network runs in one thread. With so little work, threads wait for each other
longer than they compute, and for tens of milliseconds where other programs use the cores too."""


def check_actions(actions: tuple[str, ...], target_speed: float | None) -> None:
    """Check that actions are steering and throttle, or steering alone with a target speed.

    Raises:
        OptionError: Actions and target speed don't go together.
    """
    if actions not in (("steering",), ("steering", "throttle")):
        raise OptionError(f"actions={actions} must be ('steering',) or ('steering', 'throttle')")
    Number(0, above=True, optional=True).check("target_speed", target_speed)
    if (target_speed is None) != ("throttle" in actions):
        raise OptionError(
            f"target_speed={target_speed} with actions={actions}: a policy that only steers needs one, "
            "a policy that controls the throttle must have none"
        )


@contextmanager
def one_thread(when: bool) -> Iterator[None]:
    """Run torch in one thread within the block if ``when`` is true."""
    threads = torch.get_num_threads()
    if not when or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


INPUT_SCALES = {"speed": 1 / (30 * MPH)}
"""Factors that scale measurements for a network; 30 mph is the car's top speed."""


def scale_measurements(measurements: Floats, inputs: tuple[str, ...]) -> Tensor:
    """Scale measurements for a network: (n, len(inputs)) in SI units to values of about [0, 1]."""
    return torch.from_numpy(measurements * np.array([INPUT_SCALES[name] for name in inputs], np.float32))


def check_inputs(inputs: tuple[str, ...], past_frames: int) -> None:
    """Check the names of inputs and the number of past frames.

    Raises:
        OptionError: An input is unknown or given twice, or the number is out of range.
    """
    if not isinstance(inputs, tuple) or len(set(inputs)) != len(inputs) or set(inputs) - set(INPUT_SCALES):
        raise OptionError(f"inputs={inputs!r} must be a tuple of names out of {tuple(INPUT_SCALES)}")
    Number(0, 64, whole=True).check("past_frames", past_frames)


class Distribution(NamedTuple):
    """Mean and standard deviation of a policy's action.

    Attributes:
        mean: (len(actions),) or (n, len(actions)) float32 in [-1, 1], as `predict` returns it.
        std: standard deviation, of the same shape.
    """

    mean: Action
    std: Floats


class NetworkPolicy(Policy):
    """Policy that drives with a network, including its preprocessing.

    Attributes:
        network: the network, in evaluation mode; see `algorithms.policies.networks.Network`.
        preprocessing: how images are prepared for the network.
        loss: defines what the network's outputs mean.
        training: how the policy was trained: settings, seed, losses. Checkpoints keep it for humans to read.
    """

    def __init__(
        self,
        network: nn.Module,
        preprocessing: Preprocessing,
        actions: tuple[str, ...] = ("steering", "throttle"),
        target_speed: float | None = None,
        training: dict[str, Any] | None = None,
        *,
        loss: Loss | None = None,
        inputs: tuple[str, ...] = (),
        past_frames: int = 0,
    ) -> None:
        """Make a policy.

        Args:
            network: maps prepared, normalised images, and scaled measurements if there are ``inputs``,
                to outputs.
            preprocessing: see the attributes.
            actions: ("steering", "throttle") or ("steering",).
            target_speed: m/s, for a policy that only steers.
            training: see the attributes.
            loss: see the attributes; None means that the outputs are the actions.
            inputs: inputs of the network besides images, names from `INPUT_SCALES`.
            past_frames: number of past images that the network gets besides the present one.

        Raises:
            OptionError: Actions and target speed do not go together, or an input is unknown.
        """
        check_actions(actions, target_speed)
        check_inputs(inputs, past_frames)
        self.network = network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.preprocessing = preprocessing
        self.actions = actions
        self.target_speed = target_speed
        self.image_size = preprocessing.camera_size
        self.training = training or {}
        self.loss = loss or MeanSquare()
        self.inputs = inputs
        self.past_frames = past_frames

    def act(self, images: Image, measurements: Floats | None = None) -> Action:
        """Choose an action for each image, as the first of an episode; see `Policy.act`."""
        if measurements is None:
            measurements = np.empty((len(images), 0), np.float32)
        return self._decide(images, measurements, None, None)[0]

    def predict_distribution(
        self,
        observation: Any,
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[np.bool_] | None = None,
    ) -> tuple[Distribution, tuple[NDArray[Any], ...] | None]:
        """Predict the mean and standard deviation of the action.

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
        out, state = self._run_network(images, measurements, state, episode_start)
        mean, std = self.loss.mean(out).numpy().clip(-1.0, 1.0), self.loss.std(out).numpy()
        return (Distribution(mean[0], std[0]) if single else Distribution(mean, std)), state

    def _decide(
        self,
        images: Image,
        measurements: Floats,
        state: tuple[NDArray[Any], ...] | None,
        episode_start: NDArray[np.bool_] | None,
    ) -> tuple[Action, tuple[NDArray[Any], ...] | None]:
        out, state = self._run_network(images, measurements, state, episode_start)
        action: Action = self.loss.mean(out).numpy()
        return action, state

    def _run_network(
        self,
        images: Image,
        measurements: Floats,
        state: tuple[NDArray[Any], ...] | None,
        episode_start: NDArray[np.bool_] | None,
    ) -> tuple[Tensor, tuple[NDArray[Any], ...] | None]:
        """Run the network; returns its outputs by action, (n, len(actions), width), and the state."""
        prepared = self.preprocessing.prepare_batch(images)
        if self.past_frames:
            prepared = self._add_past(prepared, state, episode_start)
            state = (prepared[:, 1:],)
        with one_thread(when=len(images) <= SINGLE_THREAD_IMAGES), torch.inference_mode():
            normalized = self.preprocessing.normalize(torch.from_numpy(prepared))
            numbers = (scale_measurements(measurements, self.inputs),) if self.inputs else ()
            return self.loss.split(self.network(normalized, *numbers)), state

    def _add_past(self, prepared: Image, state: tuple[NDArray[Any], ...] | None, episode_start: Any) -> Image:
        """Join past images and the present one: (n, past_frames + 1, *size, 3).

        Where an episode begins, the first image is repeated in place of past images.
        """
        n, shape = len(prepared), prepared.shape[1:]
        if state is None:
            past = np.repeat(prepared[:, None], self.past_frames, axis=1)
        else:
            past = np.asarray(state[0])
            if past.shape != (n, self.past_frames, *shape):
                raise ObservationError(
                    f"the state is of shape {past.shape}, but {n} images with past_frames={self.past_frames} "
                    f"need {(n, self.past_frames, *shape)}; begin with state=None"
                )
            if episode_start is not None:
                begins = np.broadcast_to(np.asarray(episode_start, np.bool_), (n,))
                past = np.where(begins[:, None, None, None, None], prepared[:, None], past)
        return np.concatenate([past, prepared[:, None]], axis=1)

    def save(self, folder: str | Path) -> Path:
        """Write a checkpoint; see `Policy.save`.

        Raises:
            CheckpointError: The folder holds other files than a checkpoint.
        """
        description = {
            "format": FORMAT,
            "version": VERSION,
            "network": type(self.network).__name__,
            "preprocessing": self.preprocessing.to_json(),
            "actions": {name: ACTION_MEANINGS[name] for name in self.actions},
            "target_speed": self.target_speed,
            "loss": self.loss.to_json(),
            "inputs": {
                name: {"unit": MEASUREMENTS[name], "scale": INPUT_SCALES[name]} for name in self.inputs
            },
            "past_frames": self.past_frames,
            "training": self.training,
        }
        return write_checkpoint(folder, "policy", self.network.state_dict(), description)

    def export(self, path: str | Path) -> Exported:
        """Export the policy to one file that drives without this package; see `algorithms.export`.

        Args:
            path: ends in .onnx, or in .pt for TorchScript.
        """
        from algorithms.policies.export import export

        return export(self, path)

    def __repr__(self) -> str:
        target_speed = "" if self.target_speed is None else f", target_speed={self.target_speed:.1f} m/s"
        inputs = f", inputs={self.inputs}" if self.inputs else ""
        past = f", past_frames={self.past_frames}" if self.past_frames else ""
        return (
            f"{type(self).__name__}({type(self.network).__name__}, actions={self.actions}"
            f"{target_speed}{inputs}{past})"
        )
