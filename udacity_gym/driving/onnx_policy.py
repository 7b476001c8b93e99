"""Drive with an ONNX file that `algorithms.export` has written, by onnxruntime and without torch."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udacity_gym.driving.chunks import Chunks
from udacity_gym.driving.policy_inputs import (
    ObservationError,
    check_measurements,
    check_observation,
    check_observations,
)
from udacity_gym.driving.throttle_laws import make_throttle_law
from udacity_gym.errors import CheckpointError, OptionError
from udacity_gym.installation import require

KEY = "udacity_gym"
"""Key of the file's metadata that has the JSON."""

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
"""What onnxruntime calls the devices."""

OLD_NAMES = {"picture": "image_size", "history": "past_frames"}
"""What older versions called entries of it."""


def _onnxruntime() -> Any:
    return require("onnxruntime", "driving with an ONNX file")


class OnnxPolicy:
    """A policy in an ONNX file: images of cameras in, actions out; crop, resize and colours are inside.

    ``predict`` has the interface of Stable-Baselines3, as other policies here.

    Attributes:
        path: the file.
        device: "cpu" or "cuda", where it computes; see `to`.
        name: what the file says its network is.
        actions: ("steering", "throttle"), or ("steering",) for a policy whose speed is kept for it.
        target_speed: m/s that a steering-only policy wants to be driven at, else None.
        throttle_law: chooses the throttle of a steering-only policy in place of a target speed, else None.
        image_size: (height, width) px of the images it accepts.
        camera: camera whose image it takes from a Dict observation.
        cameras: cameras whose images it takes together from a Dict observation.
        inputs: other entries that it takes from a Dict observation, such as ("speed",).
        past_frames: number of past images that it uses; they are kept in ``state``.
        chunks: how many actions the file predicts, and how the policy drives with them; kept in ``state``.
    """

    def __init__(self, path: str | Path, threads: int = 1) -> None:
        """Load a file.

        Args:
            path: the file.
            threads: CPU threads for one image; more than one seldom helps so small networks.

        Raises:
            MissingDependencyError: onnxruntime is not installed.
            CheckpointError: The file can't be read, or it is no exported policy.
        """
        self.path, self.device, self._threads = Path(path), "cpu", threads
        if not self.path.is_file():
            raise CheckpointError(f"no policy at {self.path}: there is no such file")
        self._session = self._open("cpu")
        about = self._about()
        self.name = str(about["network"])
        self.actions: tuple[str, ...] = tuple(about["actions"])
        self.target_speed: float | None = about["target_speed"]
        law = about.get("throttle_law")  # older files have none
        self.throttle_law = None if law is None else make_throttle_law(law)
        height, width = about["image_size"]
        self.image_size: tuple[int, int] = (int(height), int(width))
        self.camera = str(about["camera"])
        self.inputs: tuple[str, ...] = tuple(about.get("inputs", ()))
        self.cameras: tuple[str, ...] = tuple(about.get("cameras", (self.camera,)))  # older files have one
        self.past_frames = int(about.get("past_frames", 0))
        self._past = (self.past_frames * len(self.cameras), *about.get("size", (0, 0)), 3)
        self.chunks = Chunks(**about.get("chunks", {}))

    def _open(self, device: str) -> Any:
        """Open the file for a device."""
        onnxruntime = _onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        try:
            session = onnxruntime.InferenceSession(str(self.path), options, providers=[PROVIDERS[device]])
        except Exception as error:  # onnxruntime has a class of its own for each reason, and shows none
            raise CheckpointError(f"{self.path} is no ONNX model, or a damaged one: {error}") from error
        if PROVIDERS[device] not in session.get_providers():  # it then computes on the CPU, with a warning
            raise OptionError(
                f"device={device!r}: onnxruntime can't compute there, for example because there is no GPU or "
                "no driver; choose cpu"
            )
        return session

    def to(self, device: str | None = None, precision: str | None = None) -> OnnxPolicy:
        """Compute on another device.

        Args:
            device: "cpu"; "cuda", which needs the package onnxruntime-gpu; "auto", the better one that there
                is; None stays.
            precision: "float32", which the file contains, or None.

        Returns:
            The policy itself.

        Raises:
            OptionError: There is no such device, it does not work, or the file has another precision.
        """
        if precision not in (None, "float32"):
            raise OptionError(
                f"precision={precision!r}: an exported file computes in float32; load the checkpoint that it "
                "was exported from"
            )
        available = _onnxruntime().get_available_providers()
        devices = [name for name, provider in PROVIDERS.items() if provider in available]
        if device == "auto":
            return self._to_best(devices)
        chosen = device or self.device
        if chosen not in devices:
            hint = "; CUDA needs the package onnxruntime-gpu" if chosen == "cuda" else ""
            raise OptionError(
                f"device={device!r} is not available for an ONNX file, choose one of "
                f"{', '.join(['auto', *devices])}{hint}"
            )
        if chosen != self.device:
            self._session, self.device = self._open(chosen), chosen
        return self

    def _to_best(self, devices: Sequence[str]) -> OnnxPolicy:
        """Compute on the last of some devices that works."""
        for device in reversed(devices):
            with contextlib.suppress(OptionError):
                return self.to(device)
        return self

    def predict(
        self,
        observation: Any,
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[np.float32], tuple[NDArray[Any], ...] | None]:
        """Choose the action for one observation or a batch of them.

        Args:
            observation: (*image_size, 3) or (n, *image_size, 3) uint8 RGB, or a mapping from camera names
                to such images, of which `cameras` are used, and from `inputs` to numbers, (1,) or (n, 1).
            state: the state that the last call returned, None at first.
            episode_start: (n,) true for cars whose episode begins, so that their past is discarded; or one
                value for all.
            deterministic: ignored; the policy has no randomness.

        Returns:
            The action, (len(actions),) or (n, len(actions)) float32 in [-1, 1], and the state.

        Raises:
            ObservationError: The observation has the wrong shape, dtype, range or channel order, lacks an
                input, or the state is of another number of cars.
        """
        if len(self.cameras) > 1:
            images = check_observations(observation, self.image_size, self.cameras)
        else:
            images = check_observation(observation, self.image_size, self.camera)[..., None, :, :, :]
        single = images.ndim == 4
        images = images[None] if single else images  # (n, cameras, height, width, 3)
        n, names = len(images), self.cameras if len(self.cameras) > 1 else ("image",)
        given: dict[str, NDArray[Any]] = {
            name: np.ascontiguousarray(images[:, i]) for i, name in enumerate(names)
        }
        if self.inputs:
            given["measurements"] = check_measurements(observation, self.inputs, n, single)
        parts = () if state is None else tuple(state)
        if self.past_frames:
            given |= self._remembered(n, parts[0] if parts else None, episode_start)
            parts = parts[1:]
        action, *memory = self._session.run(None, given)
        if self.chunks.remembers:
            before = self.chunks.resume(parts, n, len(self.actions), episode_start)
            needed = self.chunks.needs_chunk(before)
            action, after = self.chunks.step(before, action[needed], needed)
            memory += [after.chunks, after.count]
        elif self.chunks.size > 1:
            action = action[:, 0]
        action = np.clip(action, -1.0, 1.0)
        return (action[0] if single else action), (tuple(memory) or state)

    def _remembered(self, n: int, past: NDArray[Any] | None, start: Any) -> dict[str, Any]:
        """The inputs of the file for past images."""
        shape = (n, *self._past)
        begins = np.full(n, past is None)
        past = np.zeros(shape, np.uint8) if past is None else np.asarray(past)
        if past.shape != shape:
            raise ObservationError(
                f"the state is of shape {past.shape}, {n} images need {shape}; begin with state=None"
            )
        if start is not None:
            begins = begins | np.broadcast_to(np.asarray(start, np.bool_), (n,))
        return {"past": past, "begins": begins}

    def _about(self) -> dict[str, Any]:
        """The description of the policy in the file."""
        inputs = [node.name for node in self._session.get_inputs()]
        outputs = [node.name for node in self._session.get_outputs()]
        text = self._session.get_modelmeta().custom_metadata_map.get(KEY)
        if text is None or outputs[:1] != ["action"]:
            raise CheckpointError(
                f"{self.path} is an ONNX model, but no policy that this package has exported: its inputs are "
                f"{inputs}, its outputs {outputs}; export one with udacity-gym export FOLDER model.onnx"
            )
        try:
            about: dict[str, Any] = {
                OLD_NAMES.get(name, name): value for name, value in json.loads(text).items()
            }
            missing = {"network", "actions", "target_speed", "image_size", "camera"} - about.keys()
        except (ValueError, AttributeError) as error:
            raise CheckpointError(f"{self.path}: its description is no JSON object: {error}") from error
        if missing:
            raise CheckpointError(f"{self.path}: its description lacks {', '.join(sorted(missing))}")
        return about

    def __repr__(self) -> str:
        return f"OnnxPolicy({str(self.path)!r}, {self.name}, actions={self.actions})"
