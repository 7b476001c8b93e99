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
fields of "preprocessing" are those of `algorithms.Preprocessing`. A network that was trained with ``RGB2YUV``
of OpenCV before 3.2 needs the colour "yuv_before_3.2".
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
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.adapters.keras_layers import Builder, Layer, Weights
from algorithms.policies.network_policy import NetworkPolicy
from algorithms.policies.preprocessing import Preprocessing
from udacity_gym.driving.throttle_laws import make_throttle_law
from udacity_gym.errors import CheckpointError, OptionError
from udacity_gym.sensors import IMAGE_SIZE
from udacity_gym.telemetry import MPH

SUFFIXES = (".h5", ".hdf5", ".keras")
TARGET_SPEED = 9.0 * MPH
"""m/s, set speed of the course's ``drive.py``; used if the description gives no speed."""

_ACTIONS = {1: ("steering",), 2: ("steering", "throttle")}
_FIELDS = ("preprocessing", "actions", "target_speed", "throttle_law", "lambdas")


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


def load_keras(path: str | Path, description: str | Path | Mapping[str, Any] | None = None) -> KerasPolicy:
    """Load a Keras model as a policy.

    Args:
        path: ``.h5`` or ``.hdf5`` of Keras 1, 2 or 3, or ``.keras``. If the file has weights only, the
            architecture is read from the JSON of the same name beside it, as ``model.to_json()`` wrote it.
        description: preprocessing, actions and other data that the model file lacks, see the module; a JSON
            file, its content, or None for ``NAME.policy.json`` beside the model, if that exists.

    Returns:
        The policy.

    Raises:
        MissingDependencyError: h5py is not installed.
        CheckpointError: The file is no Keras model, is damaged, or has unsupported layers.
        OptionError: The description is wrong, or a Lambda layer is not described.
    """
    path = Path(path)
    about = _description(path, description)
    architecture, weights = _read(path)
    lambdas = about.get("lambdas", {})
    built = Builder(path, lambdas).build(_layers(path, architecture), weights)
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
    law = make_throttle_law(about["throttle_law"]) if "throttle_law" in about else None
    speed = about.get("target_speed", None if "throttle" in actions or law is not None else TARGET_SPEED)
    training = {"learner": f"Keras model {path.name}"}
    return KerasPolicy(built.network, preprocessing, actions, speed, training, throttle_law=law)


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
    if not isinstance(given.get("actions", ()), (list, tuple)):
        raise OptionError(f"{source}: actions={given['actions']!r} must be a list")
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
    rows, crop = values["camera_size"][0], values["crop"]
    if not isinstance(crop, tuple) or len(crop) != 2:
        raise OptionError(f"crop={crop!r} must be two rows, such as [60, -25]")
    top, bottom, _ = slice(*crop).indices(rows)
    preprocessing = Preprocessing.from_json({**values, "crop": (top, bottom)})
    if preprocessing.size != (height, width):
        raise OptionError(
            f"{path} takes images of {(height, width)} px, its description says {preprocessing.size}"
        )
    return preprocessing


def _read(path: Path) -> tuple[Any, Callable[[int, str, str], Weights]]:
    """Read a file: its architecture, and a function from a layer's index, name and class to its weights."""
    h5py = require("h5py", "reading Keras models", "keras")
    if not path.is_file():
        raise CheckpointError(f"no Keras model at {path}: there is no such file")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                architecture = json.loads(archive.read("config.json"))
                with h5py.File(io.BytesIO(archive.read("model.weights.h5")), "r") as file:
                    return architecture, _numbered_weights(_arrays(file))
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
            return json.loads(text), _named_weights(group)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path} is no Keras model, or a damaged one: {error}") from error


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
