"""Export a policy to one file that drives without this package and without torch.

The exported model takes whole images of the cameras. It crops, resizes and converts them itself, and returns
actions in [-1, 1]:

- ``model.onnx`` (https://onnx.ai) is for onnxruntime, in any language; `udacity_gym.driving.OnnxPolicy`
  drives with it without torch;
- ``model.pt``, TorchScript, is for ``torch.jit.load`` in Python or C++.

Its input ``image`` is (n, *image_size, 3) uint8 RGB, its output ``action`` (n, len(actions)) float32. More of
it depends on the policy:

- several cameras: an input for each instead, such as ``left``, ``center`` and ``right``;
- ``inputs``: an input ``measurements``, (n, len(inputs)) float32 in SI units;
- past frames: an input ``past``, (n, past_frames * cameras, *size, 3) uint8, which the model returns as the
  output ``past_next``, and ``begins``, (n,) bool: true where an episode begins, so that ``past`` is ignored;
- chunks: ``action`` is (n, chunk_size, len(actions)), the actions of this step and the next, not clipped;
  the driver executes or averages them, see `udacity_gym.driving.chunks.Chunks`.

What else drivers need (the meaning of the actions, the target speed) is in the file's metadata, as JSON, key
"udacity_gym". The model of an ensemble contains all members and returns their mean.

Before a file appears, it is run on random and on smooth images and compared with the policy. The two differ
by the arithmetic of float32 and of OpenCV, which has its own ways to round resized images to whole numbers.
"""

from __future__ import annotations

import copy
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from algorithms.policies.ensemble import Ensemble
from algorithms.policies.network_policy import NetworkPolicy, input_scales
from udacity_gym.driving.driver import name_of
from udacity_gym.driving.onnx_policy import KEY
from udacity_gym.driving.policy_inputs import cameras_for
from udacity_gym.driving.throttle_laws import throttle_law_to_json
from udacity_gym.errors import OptionError, UdacityGymError
from udacity_gym.files import replacing
from udacity_gym.installation import require
from udacity_gym.telemetry import CAMERAS, Image

TOLERANCE = 0.02
"""Greatest accepted difference of an action, in shares of full lock. Usual are 1e-4 where images shrink by
areas, since one value in a thousand is rounded differently, and 3e-3 where they are interpolated linearly,
which OpenCV does with eleven binary digits."""

OPSET = 18

# OpenCV's RGB2YUV on uint8, color_yuv.simd.hpp: whole numbers with 14 binary digits after the point.
_ONE = 1 << 14
_Y = (4899.0, 9617.0, 1868.0)
_U, _V = 8061.0, 14369.0


Run: TypeAlias = Callable[[Mapping[str, NDArray[Any]]], list[NDArray[Any]]]
"""An exported model: maps arrays by input name to a list of outputs."""


class ExportError(UdacityGymError, RuntimeError):
    """A policy can't be exported, or the exported model does not act like the policy."""


@dataclass(frozen=True)
class Exported:
    """Result of `export`.

    Attributes:
        path: the file.
        difference: greatest difference between the model's and the policy's actions on the test images.
    """

    path: Path
    difference: float


def export(policy: NetworkPolicy | Ensemble, path: str | Path) -> Exported:
    """Export a policy to ONNX (``.onnx``) or TorchScript (``.pt``).

    Args:
        policy: a policy with a network, or an ensemble of such policies with the same preprocessing.
        path: the file; its suffix chooses the format.

    Returns:
        The file, and how far its actions are from the policy's.

    Raises:
        OptionError: The suffix is another one, or the policy has no network.
        MissingDependencyError: ONNX is not installed.
        ExportError: The exported model's actions differ from the policy's; no file is left.
    """
    path = Path(path)
    writers: dict[str, Callable[[ImagesToActions, str, Path], Run]] = {
        ".onnx": _write_onnx,
        ".pt": _write_torchscript,
    }
    if path.suffix not in writers:
        raise OptionError(f"{path}: export to a file that ends in .onnx, or in .pt for TorchScript")
    model = ImagesToActions(policy).eval()
    with replacing(path) as part:
        run = writers[path.suffix](model, json.dumps(describe(policy)), part)
        difference = max(_difference(policy, run, images) for images in _test_images(policy.image_size))
        if not difference <= TOLERANCE:
            raise ExportError(
                f"{path}: the exported model's actions differ from the policy's by {difference:g}, more than "
                f"{TOLERANCE:g}; this network or this torch {torch.__version__} can't be exported faithfully"
            )
    return Exported(path, difference)


def _difference(policy: NetworkPolicy | Ensemble, run: Run, images: Image) -> float:
    """Greatest difference between the actions of a model and of a policy on images, over a short episode."""
    rng, n = np.random.default_rng(1), len(images)
    member, cameras = _members(policy)[0], cameras_for(policy)
    size, chunks = member.preprocessing.size, member.chunks
    state, chunk_state = None, chunks.start(n, len(policy.actions))
    past, greatest = np.zeros((n, policy.past_frames * len(cameras), *size, 3), np.uint8), 0.0
    for first in (True, False, False)[: max(policy.past_frames, chunks.size - 1) + 1]:
        measurements = {name: rng.uniform(0, 12, (n, 1)).astype(np.float32) for name in policy.inputs}
        views = {name: np.roll(images, 20 * i, axis=2) for i, name in enumerate(cameras)}
        expected, state = policy.predict({**views, **measurements}, state, np.full(n, first))
        inputs: dict[str, NDArray[Any]] = views if len(cameras) > 1 else {"image": images}
        if policy.inputs:
            measured = np.concatenate([measurements[name] for name in policy.inputs], axis=1)
            inputs = {**inputs, "measurements": measured}
        if policy.past_frames:
            inputs = {**inputs, "past": past, "begins": np.full(n, first)}
        outputs = run(inputs)
        action = outputs[0] if chunks.size == 1 else outputs[0][:, 0]
        if chunks.remembers:
            needed = chunks.needs_chunk(chunk_state)
            action, chunk_state = chunks.step(chunk_state, outputs[0][needed], needed)
        greatest = max(greatest, float(np.abs(action.clip(-1.0, 1.0) - expected).max()))
        past = outputs[1] if policy.past_frames else past
        images = images[::-1].copy()
    return greatest


def describe(policy: NetworkPolicy | Ensemble) -> dict[str, Any]:
    """Metadata of an exported model, what a driver needs besides the model, as JSON-ready values."""
    return {
        "format": "udacity-gym-policy",
        "network": name_of(policy),
        "image_size": list(policy.image_size),
        "camera": policy.camera,
        "cameras": list(cameras_for(policy)),
        "actions": list(policy.actions),
        "target_speed": policy.target_speed,
        "throttle_law": None if policy.throttle_law is None else throttle_law_to_json(policy.throttle_law),
        "inputs": list(policy.inputs),
        "past_frames": policy.past_frames,
        "size": list(_members(policy)[0].preprocessing.size),
        "chunks": asdict(_members(policy)[0].chunks),
    }


def _members(policy: NetworkPolicy | Ensemble) -> list[NetworkPolicy]:
    """The members of an ensemble, or the policy itself; each has a network."""
    members = policy.members if isinstance(policy, Ensemble) else (policy,)
    networks = [member for member in members if isinstance(member, NetworkPolicy)]
    if len(networks) < len(members):
        raise OptionError(f"{name_of(policy)} can't be exported: only networks can, and ensembles of them")
    if len(networks) > 1 and any(member.chunks.size > 1 for member in networks):
        raise OptionError(
            f"{policy!r} can't be exported: its members average chunks of actions each on its own; export "
            "them one by one"
        )
    unknown = set(cameras_for(policy)) - set(CAMERAS)
    if len(cameras_for(policy)) > 1 and unknown:
        raise OptionError(
            f"a policy of several cameras can be exported if they are among {', '.join(CAMERAS)}; it has "
            f"{', '.join(sorted(unknown))}"
        )
    if any(member.preprocessing != networks[0].preprocessing for member in networks):
        raise OptionError(
            "an ensemble can be exported if all members have the same preprocessing; these differ: "
            + ", ".join(str(member.preprocessing) for member in networks)
        )
    return networks


class ImagesToActions(nn.Module):
    """A policy with its preprocessing, all in torch.

    Blurring and resizing are linear and separable into rows and columns, so they are two matrix products, see
    `Preprocessing.matrices`.

    Args:
        policy: its networks are copied.
    """

    def __init__(self, policy: NetworkPolicy | Ensemble) -> None:
        super().__init__()
        members = _members(policy)
        preprocessing = members[0].preprocessing
        networks = [copy.deepcopy(member.network).cpu().requires_grad_(False) for member in members]
        self.networks = nn.ModuleList(networks)
        self.losses = [member.objective for member in members]
        self.image_size, self.size = preprocessing.camera_size, preprocessing.size
        self.past_frames, self.inputs = policy.past_frames, policy.inputs
        self.cameras, self.chunk_size = cameras_for(policy), members[0].chunks.size
        self.color = preprocessing.color
        self.scale, self.offset = preprocessing.scale, preprocessing.offset
        by_rows, by_columns = preprocessing.matrices()
        (self.top, self.bottom), (self.left, self.right) = _used(by_rows.T), _used(by_columns)
        by_rows = by_rows[:, self.top : self.bottom]
        by_columns = by_columns[self.left : self.right]
        self.only_crops = all(np.array_equal(m, np.eye(*m.shape)) for m in (by_rows, by_columns))
        self.register_buffer("by_rows", torch.from_numpy(np.ascontiguousarray(by_rows)))
        self.register_buffer("by_columns", torch.from_numpy(np.ascontiguousarray(by_columns)))
        luma = torch.tensor(_Y if self.color == "yuv" else _Y[::-1]).reshape(3, 1, 1)
        self.register_buffer("luma", luma)
        self.register_buffer("input_scales", torch.from_numpy(input_scales(policy.inputs)))

    by_rows: Tensor
    by_columns: Tensor
    luma: Tensor
    input_scales: Tensor

    def example_inputs(self) -> dict[str, Tensor]:
        """Example inputs by name, for two cars, in the order of the arguments of `forward`."""
        views = [name for name in CAMERAS if name in self.cameras] if len(self.cameras) > 1 else ["image"]
        inputs = {name: torch.zeros(2, *self.image_size, 3, dtype=torch.uint8) for name in views}
        if self.inputs:
            inputs["measurements"] = torch.zeros(2, len(self.inputs))
        if self.past_frames:
            images = self.past_frames * len(self.cameras)
            inputs["past"] = torch.zeros(2, images, *self.size, 3, dtype=torch.uint8)
            inputs["begins"] = torch.ones(2, dtype=torch.bool)
        return inputs

    @property
    def outputs(self) -> list[str]:
        """Names of the outputs."""
        return ["action", "past_next"] if self.past_frames else ["action"]

    def forward(
        self,
        image: Tensor | None = None,
        center: Tensor | None = None,
        left: Tensor | None = None,
        right: Tensor | None = None,
        measurements: Tensor | None = None,
        past: Tensor | None = None,
        begins: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Map images to actions; see the module for shapes and dtypes."""
        views = {"center": center, "left": left, "right": right}
        given = [image] if len(self.cameras) == 1 else [views[name] for name in self.cameras]
        frames = torch.stack([self.prepare(view) for view in given if view is not None], dim=1)
        after: tuple[Tensor, ...] = ()
        if past is not None and begins is not None:
            first = frames.repeat(1, self.past_frames, 1, 1, 1)  # (n, past_frames * cameras, 3, *size)
            before = torch.where(begins.reshape(-1, 1, 1, 1, 1), first, past.permute(0, 1, 4, 2, 3).float())
            frames = torch.cat([before, frames], dim=1)
            after = (frames[:, len(self.cameras) :].permute(0, 1, 3, 4, 2).to(torch.uint8),)
        images = frames.flatten(1, 2) * self.scale + self.offset
        numbers = () if measurements is None else (measurements * self.input_scales,)
        if self.chunk_size > 1:
            return (self._chunk(images, *numbers), *after)
        actions = [
            loss.mean(loss.split(network(images, *numbers))).clamp(-1.0, 1.0)
            for network, loss in zip(self.networks, self.losses, strict=True)
        ]
        action = actions[0] if len(actions) == 1 else torch.stack(actions).mean(dim=0)
        return (action, *after)

    def _chunk(self, images: Tensor, *numbers: Tensor) -> Tensor:
        """The chunk that the network predicts: (n, chunk_size, len(actions)) float32."""
        out = self.networks[0](images, *numbers)
        mean = self.losses[0].mean(self.losses[0].split(out.reshape(-1, out.shape[1] // self.chunk_size)))
        return mean.reshape(-1, self.chunk_size, mean.shape[-1])

    def prepare(self, image: Tensor) -> Tensor:
        """Crop, resize and convert images as `Preprocessing` does: (n, 3, *size) float32 in [0, 255]."""
        used = image[:, self.top : self.bottom, self.left : self.right]
        x = used.permute(0, 3, 1, 2).to(torch.float32)
        if not self.only_crops:
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


def _used(weights: NDArray[np.float32]) -> tuple[int, int]:
    """First and last row of a matrix, exclusive, that are not zero."""
    used = np.flatnonzero(weights.any(axis=1))
    return int(used[0]), int(used[-1]) + 1


def _test_images(size: tuple[int, int]) -> list[Image]:
    """Images to test an exported model with: noise, and smooth ones like a camera's; one and several."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (3, *size, 3), np.uint8)
    coarse = rng.integers(0, 256, (8, 5, 9, 3), np.uint8)
    smooth = np.stack([cv2.resize(c, size[::-1], interpolation=cv2.INTER_CUBIC) for c in coarse])
    return [noise[:1], noise, smooth]


def _write_onnx(model: ImagesToActions, description: str, part: Path) -> Run:
    onnx, onnxruntime, _ = (  # torch needs the last one
        require(module, "exporting to ONNX") for module in ("onnx", "onnxruntime", "onnxscript")
    )
    examples = model.example_inputs()
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
    return lambda inputs: session.run(model.outputs, dict(inputs))


def _write_torchscript(model: ImagesToActions, description: str, part: Path) -> Run:
    jit: Any = torch.jit
    with _quiet("torch.jit"), _as_export_error(), torch.no_grad():  # it would recommend torch.export
        traced = jit.trace(model, example_kwarg_inputs=model.example_inputs())
        data = io.BytesIO()
        jit.save(traced, data, _extra_files={KEY: description})
        part.write_bytes(data.getvalue())
        loaded = jit.load(io.BytesIO(part.read_bytes()))

    def run(inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        with torch.inference_mode():
            outputs = loaded(**{name: torch.from_numpy(value) for name, value in inputs.items()})
        return [value.numpy() for value in outputs]

    return run


@contextmanager
def _as_export_error() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # torch raises many kinds, from deep inside
        raise ExportError(
            f"torch {torch.__version__} can't export this network: {str(error).strip().splitlines()[0]}"
        ) from error


@contextmanager
def _quiet(logger: str) -> Iterator[None]:
    """Silence warnings and log messages of torch that concern authors of exporters only."""
    log = logging.getLogger(logger)
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
