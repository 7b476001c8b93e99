"""Load Keras models, such as those of Udacity's course, as policies.

`load_keras` reads files of Keras 1, 2 and 3, with h5py alone, and makes a torch network. Keras itself is not
needed, and would not help: Keras 3 reads neither the files of Keras 1 nor most of Keras 2.
Nothing in the file is ever executed. A Lambda layer is code, so a description must say what it does.

The preprocessing of images was in the course's ``drive.py``, not in the model. A JSON file beside the model
describes it, ``model.policy.json`` beside ``model.h5``::

    {
      "preprocessing": {"crop": [60, -25], "color": "yuv", "scale": 0.00784313725, "offset": -1},
      "actions": ["steering"],
      "target_speed": 8.0,
      "lambdas": {"lambda_1": {"scale": 0.00784313725, "offset": -1}}
    }

Every field is optional. Without them the whole image is resized to the model's input, in RGB and not
scaled; one output steers, two are steering and throttle. ``crop`` is as in ``image[60:-25]``; the other
fields of "preprocessing" are those of `algorithms.Preprocessing`. If "order" has the resizing before the
crop, "size" is the size that the image is resized to. A network that was trained with ``RGB2YUV`` of OpenCV
before 3.2 needs the colour "yuv_before_3.2".

A model that only steers keeps a "target_speed" in m/s, or has a "throttle_law" in its place, such as
``{"law": "pi", "target_speed": 4.0}``, see `udacity_gym.driving.throttle_laws`. "input_shape" is the shape of
an image, where the file lacks it. "backend": "theano" is for files of Keras 1 that Theano ran: it turns
kernels by 180 degrees. Keras 2 wrote the backend into the file.
"""

from __future__ import annotations

from udacity_gym.installation import missing, require

try:
    import torch  # noqa: F401 - the modules below need it
except ImportError as error:
    raise missing("torch", "driving with a Keras model", "keras", error) from error

import io
import json
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from algorithms.adapters.keras_layers import Builder, Layer, Weights
from algorithms.policies.network_policy import NetworkPolicy
from algorithms.policies.preprocessing import Preprocessing
from udacity_gym.driving.throttle_laws import ThrottleLaw, make_throttle_law
from udacity_gym.errors import CheckpointError, OptionError
from udacity_gym.sensors import IMAGE_SIZE
from udacity_gym.telemetry import MPH

SUFFIXES = (".h5", ".hdf5", ".keras")
TARGET_SPEED = 9.0 * MPH
"""m/s, set speed of the course's ``drive.py``; used if the description gives no speed."""

_ACTIONS = {1: ("steering",), 2: ("steering", "throttle")}
_FIELDS = (
    "preprocessing",
    "actions",
    "target_speed",
    "throttle_law",
    "lambdas",
    "input_shape",
    "backend",
)
_SCALING = ("BatchNormalization", "Lambda", "Rescaling")
"""Layers that scale images, if they come before all layers with weights."""


class _File(NamedTuple):
    """Content of a Keras file.

    Attributes:
        architecture: what ``model.to_json()`` writes, parsed.
        weights: returns the arrays of a layer, by its index, name and class.
        backend: what ran the model, such as "tensorflow"; None if the file does not say it.
    """

    architecture: Any
    weights: Callable[[int, str, str], Weights]
    backend: str | None = None


class KerasPolicy(NetworkPolicy):
    """Policy with the network of a Keras model, made by `load_keras`; `export` saves it as ONNX."""

    def save(self, folder: str | Path) -> Path:
        """Not supported: a checkpoint can only contain networks of `NETWORKS`.

        Raises:
            CheckpointError: Always; the message says what to do.
        """
        raise CheckpointError(
            f"a Keras model can't be saved as a checkpoint, so nothing was written to {folder}; "
            'keep the Keras file, or policy.export("model.onnx")'
        )


def load_keras(
    path: str | Path,
    description: str | Path | Mapping[str, Any] | None = None,
    *,
    throttle_law: ThrottleLaw | None = None,
) -> KerasPolicy:
    """Load a Keras model as a policy.

    Args:
        path: ``.h5`` or ``.hdf5`` of Keras 1, 2 or 3, or ``.keras``. If the file has weights only, the
            architecture is read from the JSON of the same name beside it, as ``model.to_json()`` wrote it.
        description: preprocessing, actions and other data that the model file lacks, see the module; a JSON
            file, its content, or None for ``NAME.policy.json`` beside the model, if that exists.
        throttle_law: chooses the throttle of a model that only steers, in place of what the description says
            of it.

    Returns:
        The policy.

    Raises:
        MissingDependencyError: h5py is not installed.
        CheckpointError: The file is no Keras model, is damaged, or has unsupported layers.
        OptionError: The description is wrong, or a Lambda layer is not described.

    Warns:
        UserWarning: The preprocessing is probably not described: nothing scales the images, or they are
            resized without a crop although nothing says so.
    """
    path = Path(path)
    about = _description(path, description)
    file = _read(path)
    layers = _layers(path, file.architecture)
    is_theano = about.get("backend", file.backend) == "theano"
    shape = about.get("input_shape", _built_shape(file.architecture))
    built = Builder(path, about.get("lambdas", {}), shape, theano=is_theano).build(layers, file.weights)
    preprocessing = _preprocessing(path, about.get("preprocessing", {}), built.input_shape)
    if "actions" not in about and built.outputs not in _ACTIONS:
        raise OptionError(
            f"{path} has {built.outputs} outputs; a driver has one (steering) or two (steering, throttle)"
        )
    actions = tuple(about.get("actions", _ACTIONS.get(built.outputs, ())))
    if len(actions) != built.outputs:
        raise OptionError(
            f"{path} has {built.outputs} outputs, but its description names the actions {actions}"
        )
    law, speed = throttle_law, about.get("target_speed")
    if law is not None:
        speed = None
    elif "throttle_law" in about:
        law = make_throttle_law(about["throttle_law"])
    elif speed is None and "throttle" not in actions:
        speed = TARGET_SPEED
    training = {"learner": f"Keras model {path.name}"}
    policy = KerasPolicy(built.network, preprocessing, actions, speed, training, throttle_law=law)
    _warn_if_undescribed(path, about, layers, built.input_shape)
    return policy


def _description(path: Path, given: str | Path | Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Read the description of a model."""
    source = "the description"
    if given is None:
        given = path.with_suffix(".policy.json")
        if not given.is_file():
            return {}
    if not isinstance(given, Mapping):
        source = str(given)
        try:
            given = json.loads(Path(given).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise OptionError(f"{source}: not a JSON file that can be read: {error}") from error
    if not isinstance(given, Mapping) or set(given) - set(_FIELDS):
        raise OptionError(f"{source} must be an object with some of {', '.join(_FIELDS)}; it is {given!r}")
    for name in ("preprocessing", "lambdas"):
        if not isinstance(given.get(name, {}), Mapping):
            raise OptionError(f"{source}: {name}={given[name]!r} must be an object")
    for name in ("actions", "input_shape"):
        if not isinstance(given.get(name, ()), (list, tuple)):
            raise OptionError(f"{source}: {name}={given[name]!r} must be a list")
    shape = given.get("input_shape", (1, 1, 1))
    if len(shape) != 3 or not all(type(n) is int and n > 0 for n in shape):
        raise OptionError(
            f"{source}: input_shape={shape!r} must be three whole numbers, such as [160, 320, 3]"
        )
    backends = ("tensorflow", "theano", "cntk")
    if given.get("backend", "tensorflow") not in backends:
        raise OptionError(
            f"{source}: backend={given['backend']!r} is unknown; choose one of {', '.join(backends)}"
        )
    return given


def _preprocessing(path: Path, given: Mapping[str, Any], shape: tuple[int, int, int]) -> Preprocessing:
    """The preprocessing of a description, for a model with an input shape."""
    height, width, channels = shape
    if channels != 3:
        raise CheckpointError(f"{path} takes images of {channels} channels; only three are supported")
    values: dict[str, Any] = {
        "camera_size": IMAGE_SIZE,
        "crop": (0, None),
        "size": (height, width),
        "color": "rgb",
        "scale": 1.0,
        "offset": 0.0,
        "interpolation": "linear",
    }
    values |= {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    order = values.get("order", ())
    if "resize" in order and "crop" in order and order.index("resize") < order.index("crop"):
        if "size" not in given:
            raise OptionError(
                '"size" must say what the image is resized to before the crop, such as [80, 160]'
            )
        values["resized"], values["size"] = values["size"], (height, width)
    rows, columns = values.get("resized", values["camera_size"])
    values["crop"] = _indices("crop", values["crop"], rows, "rows, such as [60, -25]")
    if values.get("columns") is not None:
        values["columns"] = _indices("columns", values["columns"], columns, "columns, such as [20, -20]")
    preprocessing = Preprocessing.from_json(values)
    if preprocessing.size != (height, width):
        raise OptionError(
            f"{path} takes images of {(height, width)} px, its description says {preprocessing.size}"
        )
    return preprocessing


def _indices(name: str, ends: Any, length: int, example: str) -> tuple[int, int]:
    """First index and end of a slice as ``sequence[start:end]`` has it, with negative numbers and None."""
    if (
        not isinstance(ends, tuple)
        or len(ends) != 2
        or not all(end is None or type(end) is int for end in ends)
    ):
        raise OptionError(f"{name}={ends!r} must be two {example}")
    start, end, _ = slice(*ends).indices(length)
    return start, end


def _warn_if_undescribed(
    path: Path, about: Mapping[str, Any], layers: Sequence[Layer], shape: tuple[int, int, int]
) -> None:
    """Warn if it is probable that the preprocessing or the backend of a model is not described."""
    file_name = path.with_suffix(".policy.json").name
    if "backend" not in about and any(layer.config.get("dim_ordering") == "th" for layer in layers):
        warnings.warn(
            f"{path}: channels come first. In Keras 1, such a model was run by Theano, which turns kernels "
            "by 180 degrees, or by TensorFlow; the file does not say by which, and TensorFlow is taken. Say "
            f'it in {file_name}: {{"backend": "theano"}} or {{"backend": "tensorflow"}}',
            stacklevel=3,
        )
    described = about.get("preprocessing", {})
    kinds = [layer.kind for layer in layers]
    first = next(
        (i for i, kind in enumerate(kinds) if kind.startswith("Conv") or kind == "Dense"), len(kinds)
    )
    problems: list[str] = []
    examples: dict[str, Any] = {}
    if not {"scale", "offset"} & set(described) and not set(_SCALING) & set(kinds[:first]):
        problems.append("values from 0 to 255, because no layer in front scales them")
        examples.update(scale=0.00784313725, offset=-1)
    if not described and shape[:2] != IMAGE_SIZE:
        problems.append(f"the whole image, resized to {shape[0]}x{shape[1]}, in RGB")
        examples.update(crop=[60, -25], color="yuv")
    if problems:
        warnings.warn(
            f"{path}: it is not described how the model's images are prepared, so it gets "
            f"{', and '.join(problems)}. If its drive.py prepares them, it will drive badly. Say what that "
            f"does in {file_name}, such as {json.dumps({'preprocessing': examples})}; if it does nothing, "
            'say {"preprocessing": {"scale": 1}}',
            stacklevel=3,
        )


def _read(path: Path) -> _File:
    """Read a file, and the architecture beside it if it has weights only."""
    h5py = require("h5py", "reading Keras models", "keras")
    if not path.is_file():
        raise CheckpointError(f"no Keras model at {path}: there is no such file")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                architecture = _parse(archive.read("config.json"))
                with h5py.File(io.BytesIO(archive.read("model.weights.h5")), "r") as file:
                    return _File(architecture, _numbered_weights(_arrays(file)))
        with h5py.File(path, "r") as file:
            text = file.attrs.get("model_config")
            if text is None:
                json_path = path.with_suffix(".json")
                if not json_path.is_file():
                    raise CheckpointError(
                        f"{path} has weights only; put the architecture beside it as {json_path.name}, which "
                        "model.to_json() writes"
                    )
                text = json_path.read_text(encoding="utf-8")
            group = file.get("model_weights", file)
            backend = group.attrs.get("backend", file.attrs.get("backend"))
            backend = backend.decode() if isinstance(backend, bytes) else backend
            return _File(_parse(text), _named_weights(group), backend)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path} is no Keras model, or a damaged one: {error}") from error


def _parse(text: str | bytes) -> Any:
    """Parse the JSON of an architecture; many files of 2016 have it encoded twice."""
    parsed = json.loads(text)
    return json.loads(parsed) if isinstance(parsed, str) else parsed


def _built_shape(architecture: Any) -> list[int] | None:
    """Shape of an image, where a model got it by training and its layers don't say it."""
    config = architecture.get("config") if isinstance(architecture, Mapping) else None
    for place, name in ((config, "build_input_shape"), (architecture, "build_config")):
        shape = place.get(name) if isinstance(place, Mapping) else None
        shape = shape.get("input_shape") if isinstance(shape, Mapping) else shape
        if isinstance(shape, list) and len(shape) == 4:
            return shape[1:]
    return None


def _named_weights(group: Any) -> Callable[[int, str, str], Weights]:
    """Weights in HDF5 files: a group for each layer, whose attribute lists them in order."""
    weights: dict[str, Weights] = {}
    for name in group:
        names = [
            n.decode() if isinstance(n, bytes) else str(n) for n in group[name].attrs.get("weight_names", ())
        ]
        weights[name] = [np.asarray(group[name][n], np.float32) for n in names]
    return lambda _index, name, _kind: weights.get(name, [])


def _arrays(file: Any) -> dict[str, NDArray[np.float32]]:
    import h5py

    arrays: dict[str, NDArray[np.float32]] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[name] = np.asarray(item, np.float32)

    file.visititems(visit)
    return arrays


def _numbered_weights(arrays: Mapping[str, NDArray[np.float32]]) -> Callable[[int, str, str], Weights]:
    """Weights in .keras files: ``layers/conv2d_1/vars/0``, layers counted for each class on its own."""
    counts: dict[str, int] = {}

    def weights_of(_index: int, _name: str, kind: str) -> Weights:
        base = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", kind)
        base = re.sub("([a-z])([A-Z])", r"\1_\2", base).lower()
        number = counts.get(base, 0)
        counts[base] = number + 1
        prefix = f"layers/{base}{f'_{number}' if number else ''}/vars/"
        numbers = sorted(int(key.removeprefix(prefix)) for key in arrays if key.startswith(prefix))
        return [arrays[f"{prefix}{i}"] for i in numbers]

    return weights_of


def _layers(path: Path, architecture: Any) -> list[Layer]:
    """The layers of a model from input to output, if it is a chain."""
    try:
        kind, config = architecture["class_name"], architecture["config"]
        listed = config if isinstance(config, list) else config["layers"]
        layers = [Layer(item["class_name"], item["config"]["name"], item["config"]) for item in listed]
        if kind != "Sequential":
            for layer, item in zip(layers, listed, strict=True):
                before = set(_inbound(item.get("inbound_nodes", [])))
                index = layers.index(layer)
                if before != ({layers[index - 1].name} if index else set()):
                    raise CheckpointError(
                        f"{path}: layer {layer.name!r} follows on {sorted(before) or 'nothing'}; only chains "
                        "of layers can be read, without branches"
                    )
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: its architecture can't be understood: {error!r}") from error
    return layers


def _inbound(nodes: Any) -> Iterator[str]:
    """Names of the layers that a layer of a functional model gets its input from, of any version of Keras."""
    if isinstance(nodes, Mapping):
        for value in nodes.values():
            yield from _inbound(value)
    elif isinstance(nodes, list):
        if len(nodes) >= 3 and isinstance(nodes[0], str) and isinstance(nodes[1], int):
            yield nodes[0]
            return
        for value in nodes:
            yield from _inbound(value)
