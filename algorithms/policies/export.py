"""Export: a policy as one file that needs nothing of this package, and no torch, to drive.

The exported model takes the camera's whole image, crops, resizes and converts it by itself, and gives
actions in [-1, 1]:

- ``model.onnx`` (https://onnx.ai) is for onnxruntime, in any language; `udacity_gym.driving.OnnxPolicy`
  drives with it without torch;
- ``model.pt``, TorchScript, is for ``torch.jit.load`` in Python or C++.

Its input ``image`` is (n, *image_size, 3) uint8 RGB, its output ``action`` (n, len(actions)) float32. A
policy with ``inputs`` has an input ``measurements``, (n, len(inputs)) float32 in SI units. One with past
frames has ``past``, (n, past_frames, *size, 3) uint8, which it gives back as the output ``past_next``, and
``begins``, (n,) bool: where an episode begins, whatever is in ``past``. What else a driver must know (what
actions mean, target speed) is in the file's metadata, as JSON, key "udacity_gym". Of an ensemble,
all members are in the model, and it gives their mean.

Before a file appears, it is run on random and on smooth images and compared with the policy: the two differ
by the arithmetic of OpenCV, which rounds resized images to whole numbers in its own ways, and of float32.
"""

from __future__ import annotations

import copy
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from algorithms.policies.ensemble import Ensemble
from algorithms.policies.network_policy import INPUT_SCALES, NetworkPolicy
from algorithms.policies.preprocessing import Preprocessing
from udacity_gym.driving.driver import name_of
from udacity_gym.driving.onnx_policy import KEY
from udacity_gym.errors import MissingDependencyError, OptionError, UdacityGymError
from udacity_gym.files import replacing
from udacity_gym.telemetry import Image

TOLERANCE = 0.02
"""Greatest difference of an action that is accepted, in shares of full lock. Usual are 1e-4 where images
shrink by areas, of which one value in a thousand is rounded otherwise, and 3e-3 where they are interpolated
linearly, which OpenCV does with eleven binary digits."""

OPSET = 18

# OpenCV's RGB2YUV on uint8, color_yuv.simd.hpp: whole numbers with 14 binary digits after the point.
_ONE = 1 << 14
_Y = (4899.0, 9617.0, 1868.0)
_U, _V = 8061.0, 14369.0


Run: TypeAlias = Callable[[Mapping[str, NDArray[Any]]], list[NDArray[Any]]]
"""An exported model: arrays by the names of the inputs to a list of outputs."""


class ExportError(UdacityGymError, RuntimeError):
    """A policy can't be exported, or what was exported does something else than the policy."""


@dataclass(frozen=True)
class Exported:
    """What `export` has made.

    Attributes:
        path: the file.
        difference: greatest difference of an action to the policy's, on the images that were tried.
    """

    path: Path
    difference: float


def export(policy: NetworkPolicy | Ensemble, path: str | Path) -> Exported:
    """Write a policy as ``.onnx`` or, TorchScript, as ``.pt``.

    Args:
        policy: the policy; or an ensemble of such, whose members prepare images alike.
        path: the file; its suffix says the format.

    Returns:
        The file and how exactly it does what the policy does.

    Raises:
        OptionError: The suffix is another one, or the policy is no network's.
        MissingDependencyError: ONNX is not installed.
        ExportError: The exported model's actions are not those of the policy; no file is left.
    """
    path = Path(path)
    kinds: dict[str, Callable[[ImagesToActions, str, Path], Run]] = {
        ".onnx": _write_onnx,
        ".pt": _write_torchscript,
    }
    if path.suffix not in kinds:
        raise OptionError(f"{path}: export to a file that ends in .onnx, or in .pt for TorchScript")
    model = ImagesToActions(policy).eval()
    with replacing(path) as part:
        run = kinds[path.suffix](model, json.dumps(describe(policy)), part)
        difference = max(_difference(policy, run, images) for images in _images(policy.image_size))
        if not difference <= TOLERANCE:
            raise ExportError(
                f"{path}: the exported model's actions differ from the policy's by {difference:g}, more than "
                f"{TOLERANCE:g}; this network or this torch {torch.__version__} can't be exported faithfully"
            )
    return Exported(path, difference)


def _difference(policy: NetworkPolicy | Ensemble, run: Run, images: Image) -> float:
    """How much the actions of a model and of a policy differ on images, seen one drive after the other."""
    rng, n = np.random.default_rng(1), len(images)
    size = _members(policy)[0].preprocessing.size
    state, past, most = None, np.zeros((n, policy.past_frames, *size, 3), np.uint8), 0.0
    for first in (True, False, False)[: policy.past_frames + 1]:
        told = {name: rng.uniform(0, 12, (n, 1)).astype(np.float32) for name in policy.inputs}
        wanted, state = policy.predict({policy.camera: images, **told}, state, np.full(n, first))
        given: dict[str, NDArray[Any]] = {"image": images}
        if policy.inputs:
            given["measurements"] = np.concatenate([told[name] for name in policy.inputs], axis=1)
        if policy.past_frames:
            given |= {"past": past, "begins": np.full(n, first)}
        found = run(given)
        most = max(most, float(np.abs(found[0] - wanted).max()))
        past = found[1] if policy.past_frames else past
        images = images[::-1].copy()
    return most


def describe(policy: NetworkPolicy | Ensemble) -> dict[str, Any]:
    """What a driver must know besides the model, as JSON-ready values."""
    return {
        "format": "udacity-gym-policy",
        "network": name_of(policy),
        "image_size": list(policy.image_size),
        "camera": policy.camera,
        "actions": list(policy.actions),
        "target_speed": policy.target_speed,
        "inputs": list(policy.inputs),
        "past_frames": policy.past_frames,
        "size": list(_members(policy)[0].preprocessing.size),
    }


def _members(policy: NetworkPolicy | Ensemble) -> list[NetworkPolicy]:
    """The policies, each of a network, whose mean a policy acts by."""
    members = policy.members if isinstance(policy, Ensemble) else (policy,)
    networks = [member for member in members if isinstance(member, NetworkPolicy)]
    if len(networks) < len(members):
        raise OptionError(f"{name_of(policy)} can't be exported: only networks can, and ensembles of them")
    if any(member.preprocessing != networks[0].preprocessing for member in networks):
        raise OptionError(
            "an ensemble can be exported if all members prepare images alike, these differ: "
            + ", ".join(str(member.preprocessing) for member in networks)
        )
    return networks


class ImagesToActions(nn.Module):
    """A policy with its preprocessing, all in torch.

    A resize is linear and works on rows and columns apart, so it is two matrix products; the matrices are
    what OpenCV makes of the identity.

    Args:
        policy: its networks are copied.
    """

    def __init__(self, policy: NetworkPolicy | Ensemble) -> None:
        super().__init__()
        members = _members(policy)
        preprocessing = members[0].preprocessing
        networks = [copy.deepcopy(member.network).requires_grad_(False) for member in members]
        self.networks = nn.ModuleList(networks)
        self.losses, self.actions = [member.loss for member in members], len(policy.actions)
        self.image_size, self.size = preprocessing.camera_size, preprocessing.size
        self.past_frames, self.inputs = policy.past_frames, policy.inputs
        self.top, self.bottom = preprocessing.crop
        self.color = preprocessing.color
        self.scale, self.offset = preprocessing.scale, preprocessing.offset
        rows, columns = self.bottom - self.top, preprocessing.camera_size[1]
        self.resizes = (rows, columns) != tuple(preprocessing.size)
        by_rows, by_columns = _resize_matrices((rows, columns), preprocessing)
        self.register_buffer("by_rows", torch.from_numpy(by_rows))
        self.register_buffer("by_columns", torch.from_numpy(by_columns))
        luma = torch.tensor(_Y if self.color == "yuv" else _Y[::-1]).reshape(3, 1, 1)
        self.register_buffer("luma", luma)
        scales = [INPUT_SCALES[name] for name in policy.inputs]
        self.register_buffer("input_scales", torch.tensor(scales, dtype=torch.float32))

    by_rows: Tensor
    by_columns: Tensor
    luma: Tensor
    input_scales: Tensor

    def examples(self) -> dict[str, Tensor]:
        """Inputs by their names, for two cars."""
        found = {"image": torch.zeros(2, *self.image_size, 3, dtype=torch.uint8)}
        if self.inputs:
            found["measurements"] = torch.zeros(2, len(self.inputs))
        if self.past_frames:
            found["past"] = torch.zeros(2, self.past_frames, *self.size, 3, dtype=torch.uint8)
            found["begins"] = torch.ones(2, dtype=torch.bool)
        return found

    @property
    def outputs(self) -> list[str]:
        """Names of the outputs."""
        return ["action", "past_next"] if self.past_frames else ["action"]

    def forward(
        self,
        image: Tensor,
        measurements: Tensor | None = None,
        past: Tensor | None = None,
        begins: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Map images to actions, see the module."""
        seen = self.prepare(image)
        after: tuple[Tensor, ...] = ()
        if past is not None and begins is not None:
            now = seen[:, None]  # (n, 1, 3, *size)
            before = torch.where(begins.reshape(-1, 1, 1, 1, 1), now, past.permute(0, 1, 4, 2, 3).float())
            frames = torch.cat([before, now], dim=1)
            after = (frames[:, 1:].permute(0, 1, 3, 4, 2).to(torch.uint8),)
            seen = frames.flatten(1, 2)
        images = seen * self.scale + self.offset
        numbers = () if measurements is None else (measurements * self.input_scales,)
        actions = [
            loss.mean(network(images, *numbers).reshape(-1, self.actions, loss.width)).clamp(-1.0, 1.0)
            for network, loss in zip(self.networks, self.losses, strict=True)
        ]
        action = actions[0] if len(actions) == 1 else torch.stack(actions).mean(dim=0)
        return (action, *after)

    def prepare(self, image: Tensor) -> Tensor:
        """What `Preprocessing` makes of images: (n, 3, *size) float32 in [0, 255]."""
        x = image[:, self.top : self.bottom].permute(0, 3, 1, 2).to(torch.float32)
        if self.resizes:
            x = torch.round(self.by_rows @ x @ self.by_columns).clamp(0.0, 255.0)
        return self._convert(x)

    def _convert(self, x: Tensor) -> Tensor:
        if self.color == "rgb":
            return x
        if self.color == "bgr":
            return x.flip(1)
        # Whole numbers below 2**24 are exact in float32, and so is this.
        half = _ONE // 2
        y = torch.floor(((x * self.luma).sum(dim=1) + half) / _ONE)
        red, blue = (0, 2) if self.color == "yuv" else (2, 0)
        u = torch.floor(((x[:, blue] - y) * _U + 128 * _ONE + half) / _ONE)
        v = torch.floor(((x[:, red] - y) * _V + 128 * _ONE + half) / _ONE)
        return torch.stack([y, u, v], dim=1).clamp(0.0, 255.0)


def _resize_matrices(part: tuple[int, int], preprocessing: Preprocessing) -> tuple[Any, Any]:
    """(height, rows) and (columns, width) float32 that resize a part of an image from both sides."""
    height, width = preprocessing.size
    method = preprocessing.resize_method
    rows = cv2.resize(np.eye(part[0], dtype=np.float32), (part[0], height), interpolation=method)
    columns = cv2.resize(np.eye(part[1], dtype=np.float32), (width, part[1]), interpolation=method)
    return rows, columns


def _images(size: tuple[int, int]) -> list[Image]:
    """Images to try an exported model on: noise, and smooth ones as cameras take; one and several."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (3, *size, 3), np.uint8)
    coarse = rng.integers(0, 256, (8, 5, 9, 3), np.uint8)
    smooth = np.stack([cv2.resize(c, size[::-1], interpolation=cv2.INTER_CUBIC) for c in coarse])
    return [noise[:1], noise, smooth]


def _write_onnx(model: ImagesToActions, description: str, part: Path) -> Run:
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 - torch needs it
    except ImportError as error:
        raise MissingDependencyError(
            f'exporting to ONNX needs more packages: pip install "udacity-gym[onnx]" ({error})'
        ) from error
    examples = model.examples()
    cars = torch.export.Dim("n", min=1)
    with _quiet("torch.onnx"), _as_export_error():
        program = torch.onnx.export(
            model,
            kwargs=examples,
            dynamo=True,
            input_names=list(examples),
            output_names=model.outputs,
            dynamic_shapes={name: {0: cars} for name in examples},
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    entry = proto.metadata_props.add()
    entry.key, entry.value = KEY, description
    onnx.checker.check_model(proto)
    part.write_bytes(proto.SerializeToString())
    session = onnxruntime.InferenceSession(str(part), providers=["CPUExecutionProvider"])
    return lambda given: session.run(model.outputs, dict(given))


def _write_torchscript(model: ImagesToActions, description: str, part: Path) -> Run:
    jit: Any = torch.jit
    with _quiet("torch.jit"), _as_export_error(), torch.no_grad():  # would say that there is torch.export
        traced = jit.trace(model, example_kwarg_inputs=model.examples())
        data = io.BytesIO()
        jit.save(traced, data, _extra_files={KEY: description})
        part.write_bytes(data.getvalue())
        loaded = jit.load(io.BytesIO(part.read_bytes()))

    def run(given: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        with torch.inference_mode():
            found = loaded(**{name: torch.from_numpy(value) for name, value in given.items()})
        return [value.numpy() for value in found]

    return run


@contextmanager
def _as_export_error() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # torch has many, and they go deep
        raise ExportError(
            f"torch {torch.__version__} can't export this network: {str(error).strip().splitlines()[0]}"
        ) from error


@contextmanager
def _quiet(logger: str) -> Iterator[None]:
    """Keep torch from telling users what concerns those who write exporters."""
    log = logging.getLogger(logger)
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
