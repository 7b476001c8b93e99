"""Convert Keras layers to torch layers, from their settings and weights alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from udacity_gym.errors import CheckpointError, OptionError

Weights: TypeAlias = list[NDArray[np.float32]]
"""The arrays of a layer, in Keras's order."""


@dataclass(frozen=True)
class Layer:
    """A layer in Keras's description of a model.

    Attributes:
        kind: name of its class.
        name: name of the layer.
        config: settings, which differ from version to version.
    """

    kind: str
    name: str
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Built:
    """Result of `Builder.build`.

    Attributes:
        network: maps images (n, channels, height, width) to (n, outputs).
        input_shape: (height, width, channels).
        outputs: number of outputs.
    """

    network: nn.Sequential
    input_shape: tuple[int, int, int]
    outputs: int


class Builder:
    """Makes torch layers from Keras layers.

    Images are (n, channels, height, width) in torch. So are those of a model with channels first (Theano's
    "th"); of all others, the axes of weights are permuted.

    Args:
        path: the file of the layers, for messages.
        lambdas: "scale" and "offset" of each Lambda layer, by name.
        input_shape: shape of an image as Keras has it, where the layers don't say it.
        theano: whether Theano ran the model. It turns kernels by 180 degrees, and pads evenly.
    """

    def __init__(
        self,
        path: Path,
        lambdas: Mapping[str, Any],
        input_shape: Sequence[int] | None = None,
        *,
        theano: bool = False,
    ) -> None:
        self.path, self.lambdas = path, lambdas
        self.given_shape, self.theano = input_shape, theano
        self.channels_first = False
        self.makers: dict[str, Callable[[Layer, Weights, Tensor], nn.Module]] = {
            **dict.fromkeys(_ONLY_IN_TRAINING, lambda *_: nn.Identity()),
            "Activation": lambda layer, *_: self._activation(layer, layer.config["activation"]),
            "AveragePooling2D": self._pool,
            "BatchNormalization": self._batch_normalization,
            "Conv2D": self._convolution,
            "Convolution2D": self._convolution,
            "Cropping2D": self._cropping,
            "Dense": self._dense,
            "ELU": lambda layer, *_: nn.ELU(float(layer.config.get("alpha", 1.0))),
            "Flatten": self._flatten,
            "GlobalAveragePooling2D": lambda *_: _Global(torch.mean),
            "GlobalMaxPooling2D": lambda *_: _Global(torch.amax),
            "Lambda": self._lambda,
            "LeakyReLU": self._leaky,
            "MaxPooling2D": self._pool,
            "PReLU": self._prelu,
            "ReLU": self._relu,
            "Rescaling": lambda layer, *_: _Affine(layer.config["scale"], layer.config.get("offset", 0.0)),
            "Softmax": lambda *_: nn.Softmax(-1),
            "ZeroPadding2D": self._padding,
        }

    def build(self, layers: Sequence[Layer], weights: Callable[[int, str, str], Weights]) -> Built:
        """Make the network; each layer is run once to get the shape of its output.

        Args:
            layers: the layers, from input to output.
            weights: returns the arrays of a layer, by index, name and class; called once per layer, in order.

        Raises:
            CheckpointError: A layer is not supported, or settings and weights don't fit together.
            OptionError: A Lambda layer is not described.
        """
        self.channels_first = self._has_channels_first(layers)
        shape = self._input_shape(layers)
        x = torch.zeros(1, shape[2], shape[0], shape[1])
        modules: list[nn.Module] = []
        for index, layer in enumerate(layers):
            values = weights(index, layer.name, layer.kind)
            maker = self.makers.get(layer.kind)
            if maker is None:
                self._refuse(
                    layer,
                    f"{layer.kind} layers are not supported; supported are {', '.join(sorted(self.makers))}",
                )
            try:
                module = maker(layer, values, x)
                with torch.no_grad():
                    x = module(x)
            except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
                if isinstance(error, (CheckpointError, OptionError)):
                    raise
                self._refuse(layer, f"its settings and weights don't fit together: {error}")
            modules.append(module)
        if x.ndim != 2:
            raise CheckpointError(
                f"{self.path}: its output has the shape {tuple(x.shape[1:])}, not a few numbers"
            )
        return Built(nn.Sequential(*modules), shape, int(x.shape[1]))

    def _has_channels_first(self, layers: Sequence[Layer]) -> bool:
        """Whether the images of the model are (n, channels, height, width)."""
        first = {layer.name: _says_channels_first(layer) for layer in layers if layer.kind != "Flatten"}
        said = {name: value for name, value in first.items() if value is not None}
        if len(set(said.values())) > 1:
            names = ", ".join(name for name, value in said.items() if value)
            raise CheckpointError(f"{self.path}: channels come first in {names}, and last in other layers")
        return any(said.values())

    def _input_shape(self, layers: Sequence[Layer]) -> tuple[int, int, int]:
        """(height, width, channels) of the images."""
        shapes = [
            layer.config.get("batch_input_shape") or layer.config.get("batch_shape") for layer in layers
        ]
        shape = next((list(shape)[1:] for shape in shapes[:2] if shape is not None), self.given_shape)
        if self.given_shape is not None and (shape is None or None in shape):
            shape = self.given_shape
        if shape is None or len(shape) != 3 or None in shape:
            has = "not in the file" if shape is None else f"{tuple(shape)} in the file"
            raise CheckpointError(
                f"{self.path}: the shape of the images it takes is {has}. Say it in "
                f'{self.path.with_suffix(".policy.json").name}: {{"input_shape": [160, 320, 3]}} is height, '
                "width and channels, in the order that Keras has them"
            )
        numbers = [int(n) for n in shape]
        if self.channels_first:
            return numbers[1], numbers[2], numbers[0]
        return numbers[0], numbers[1], numbers[2]

    def _refuse(self, layer: Layer, why: str) -> NoReturn:
        raise CheckpointError(f"{self.path}, layer {layer.name!r}: {why}")

    def _activation(self, layer: Layer, name: Any) -> nn.Module:
        if isinstance(name, Mapping):  # Keras 3 writes some as objects
            name = name.get("config", {}).get("name", name.get("class_name"))
        if name not in _ACTIVATIONS:
            self._refuse(
                layer, f"activation {name!r} is not supported; supported are {', '.join(_ACTIVATIONS)}"
            )
        return _ACTIVATIONS[name]()

    def _with_activation(self, layer: Layer, module: nn.Module) -> nn.Module:
        activation = self._activation(layer, layer.config.get("activation") or "linear")
        return module if isinstance(activation, nn.Identity) else nn.Sequential(module, activation)

    def _convolution(self, layer: Layer, weights: Weights, x: Tensor) -> nn.Module:
        config = layer.config
        kernel = torch.from_numpy(weights[0])
        if config.get("dim_ordering") != "th":  # Keras 1 with channels first has torch's own order
            kernel = kernel.permute(3, 2, 0, 1)  # (out, in, rows, columns)
        if self.theano:
            kernel = kernel.flip(2, 3)
        kernel = kernel.contiguous()
        if config.get("groups", 1) != 1:
            self._refuse(layer, "grouped convolutions are not supported")
        stride = _pair(config.get("strides", config.get("subsample", 1)))
        dilation = _pair(config.get("dilation_rate", 1))
        size = (int(kernel.shape[2]), int(kernel.shape[3]))
        convolution = nn.Conv2d(
            kernel.shape[1], kernel.shape[0], size, stride, dilation=dilation, bias=len(weights) > 1
        )
        _fill(convolution.weight, kernel)
        if convolution.bias is not None:
            _fill(convolution.bias, torch.from_numpy(weights[1]))
        reach = (dilation[0] * (size[0] - 1) + 1, dilation[1] * (size[1] - 1) + 1)
        padding = self._same(layer, x, reach, stride)
        module = nn.Sequential(nn.ZeroPad2d(padding), convolution) if any(padding) else convolution
        return self._with_activation(layer, module)

    def _same(
        self, layer: Layer, x: Tensor, size: tuple[int, int], stride: tuple[int, int]
    ) -> tuple[int, int, int, int]:
        """(left, right, top, bottom) of the padding "same".

        TensorFlow pads as little as it can, the odd one at the end. Theano pads half a kernel at the start.
        """
        border = layer.config.get("padding", layer.config.get("border_mode", "valid"))
        if border not in ("same", "valid"):
            self._refuse(layer, f"padding {border!r} is not supported")
        edges: list[int] = []
        for length, reach, step in zip(x.shape[:1:-1], size[::-1], stride[::-1], strict=True):
            total = (-(-length // step) - 1) * step + reach - length if border == "same" else 0
            if self.theano and border == "same":
                edges += [reach // 2, total - reach // 2]
            else:
                edges += [max(total, 0) // 2, max(total, 0) - max(total, 0) // 2]
        left, right, top, bottom = edges
        return left, right, top, bottom

    def _pool(self, layer: Layer, _weights: Weights, x: Tensor) -> nn.Module:
        if self.theano and layer.config.get("padding", layer.config.get("border_mode")) == "same":
            self._refuse(layer, "pooling with padding 'same' is not supported for models of Theano")
        size = _pair(layer.config["pool_size"])
        stride = _pair(layer.config.get("strides") or size)
        padding = self._same(layer, x, size, stride)
        if layer.kind == "MaxPooling2D":
            pool: nn.Module = nn.MaxPool2d(size, stride)
            return nn.Sequential(nn.ConstantPad2d(padding, -torch.inf), pool) if any(padding) else pool
        pool = nn.AvgPool2d(size, stride)
        if not any(padding):
            return pool
        # The mean counts pixels within the image only.
        pad = nn.ZeroPad2d(padding)
        return nn.Sequential(pad, pool, _Affine(1.0 / pool(pad(torch.ones_like(x[:, :1]))), 0.0))

    def _flatten(self, layer: Layer, _weights: Weights, _x: Tensor) -> nn.Module:
        # Since 2.2, Keras moves channels that come first to the end before it flattens, if it is set so.
        said = layer.config.get("data_format")
        if said == "channels_first" and not self.channels_first:
            self._refuse(layer, "it moves channels that come first, but here they come last")
        return _Flatten(channels_last=not self.channels_first or said == "channels_first")

    def _dense(self, layer: Layer, weights: Weights, x: Tensor) -> nn.Module:
        if x.ndim != 2:
            self._refuse(layer, "a Dense layer must come after Flatten or a global pooling")
        linear = nn.Linear(weights[0].shape[0], weights[0].shape[1], bias=len(weights) > 1)
        _fill(linear.weight, torch.from_numpy(weights[0]).T)
        if linear.bias is not None:
            _fill(linear.bias, torch.from_numpy(weights[1]))
        return self._with_activation(layer, linear)

    def _batch_normalization(self, layer: Layer, weights: Weights, x: Tensor) -> nn.Module:
        axis = layer.config.get("axis", -1)
        axis = axis[0] if isinstance(axis, list) else axis
        channels_at = (1,) if self.channels_first and x.ndim == 4 else (-1, x.ndim - 1)
        if axis not in channels_at or layer.config.get("mode", 0) != 0:
            self._refuse(layer, f"only normalisation of channels is supported, not of axis {axis}")
        has_scale, has_center = (bool(layer.config.get(name, True)) for name in ("scale", "center"))
        *learned, mean, variance = weights
        if len(learned) != has_scale + has_center:
            raise ValueError(f"{len(weights)} arrays, expected {2 + has_scale + has_center}")
        gamma = learned.pop(0) if has_scale else np.ones_like(mean)
        beta = learned.pop(0) if has_center else np.zeros_like(mean)
        scale = gamma / np.sqrt(variance + float(layer.config.get("epsilon", 1e-3)))
        channels = (1, -1, 1, 1) if x.ndim == 4 else (1, -1)
        return _Affine(
            torch.from_numpy(scale).reshape(channels), torch.from_numpy(beta - mean * scale).reshape(channels)
        )

    def _cropping(self, layer: Layer, _weights: Weights, x: Tensor) -> nn.Module:
        top, bottom, left, right = _edges(layer.config["cropping"])
        return _Crop(top, int(x.shape[2]) - bottom, left, int(x.shape[3]) - right)

    def _padding(self, layer: Layer, _weights: Weights, _x: Tensor) -> nn.Module:
        top, bottom, left, right = _edges(layer.config["padding"])
        return nn.ZeroPad2d((left, right, top, bottom))

    def _leaky(self, layer: Layer, _weights: Weights, _x: Tensor) -> nn.Module:
        config = layer.config
        return nn.LeakyReLU(float(config.get("negative_slope", config.get("alpha", 0.3))))

    def _relu(self, layer: Layer, _weights: Weights, _x: Tensor) -> nn.Module:
        if layer.config.get("threshold") or layer.config.get("negative_slope"):
            self._refuse(layer, "a ReLU with a threshold or a slope is not supported")
        max_value = layer.config.get("max_value")
        return nn.ReLU() if max_value is None else nn.Hardtanh(0.0, float(max_value))

    def _prelu(self, layer: Layer, weights: Weights, x: Tensor) -> nn.Module:
        slope = torch.from_numpy(weights[0])
        return _PReLU(slope.permute(2, 0, 1) if x.ndim == 4 and not self.channels_first else slope)

    def _lambda(self, layer: Layer, _weights: Weights, _x: Tensor) -> nn.Module:
        about = self.lambdas.get(layer.name)
        if about is None:
            raise OptionError(
                f"{self.path}: layer {layer.name!r} is a Lambda, which is code, and code of a file is never "
                f"run here. Say what it does in {self.path.with_suffix('.policy.json').name}: "
                f'{{"lambdas": {{"{layer.name}": {{"scale": 0.00784313725, "offset": -1}}}}}} is x/127.5 - 1'
            )
        try:
            if set(about) - {"scale", "offset"}:
                raise TypeError
            return _Affine(float(about.get("scale", 1.0)), float(about.get("offset", 0.0)))
        except (TypeError, ValueError):
            raise OptionError(
                f"lambdas: {layer.name}={about!r} must be 'scale' and 'offset', for x * scale + offset"
            ) from None


class _Affine(nn.Module):
    def __init__(self, scale: Any, offset: Any) -> None:
        super().__init__()
        self.register_buffer("scale", torch.as_tensor(scale, dtype=torch.float32))
        self.register_buffer("offset", torch.as_tensor(offset, dtype=torch.float32))

    scale: Tensor
    offset: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.offset


class _Crop(nn.Module):
    def __init__(self, top: int, bottom: int, left: int, right: int) -> None:
        super().__init__()
        self.edges = top, bottom, left, right

    def forward(self, x: Tensor) -> Tensor:
        top, bottom, left, right = self.edges
        return x[:, :, top:bottom, left:right]


class _Flatten(nn.Module):
    """Flattens in Keras's order: rows, columns, channels; or channels, rows, columns."""

    def __init__(self, channels_last: bool) -> None:
        super().__init__()
        self.channels_last = channels_last

    def forward(self, x: Tensor) -> Tensor:
        return (x.permute(0, 2, 3, 1) if x.ndim == 4 and self.channels_last else x).flatten(1)


class _Global(nn.Module):
    def __init__(self, reduce: Callable[..., Tensor]) -> None:
        super().__init__()
        self.reduce = reduce

    def forward(self, x: Tensor) -> Tensor:
        return self.reduce(x, dim=(2, 3))


class _PReLU(nn.Module):
    def __init__(self, slope: Tensor) -> None:
        super().__init__()
        self.register_buffer("slope", slope)

    slope: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(min=0.0) + self.slope * x.clamp(max=0.0)


_ONLY_IN_TRAINING = (
    "ActivityRegularization",
    "AlphaDropout",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "InputLayer",
    "SpatialDropout2D",
)
_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "elu": nn.ELU,
    "linear": nn.Identity,
    "relu": nn.ReLU,
    "selu": nn.SELU,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "softsign": nn.Softsign,
    "swish": nn.SiLU,
    "tanh": nn.Tanh,
}


def _says_channels_first(layer: Layer) -> bool | None:
    """Whether a layer says that channels come first; None if it says nothing."""
    said = layer.config.get("data_format", layer.config.get("dim_ordering"))
    return {"th": True, "channels_first": True, "tf": False, "channels_last": False}.get(str(said))


def _pair(value: Any) -> tuple[int, int]:
    first, second = value if isinstance(value, Sequence) else (value, value)
    return int(first), int(second)


def _edges(value: Any) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) of a number, of (rows, columns), or of ((top, bottom), (left, right))."""
    rows, columns = value if isinstance(value, Sequence) else (value, value)
    return (*_pair(rows), *_pair(columns))


def _fill(parameter: Tensor, values: Tensor) -> None:
    if parameter.shape != values.shape:
        raise ValueError(f"weights of shape {tuple(values.shape)}, expected {tuple(parameter.shape)}")
    with torch.no_grad():
        parameter.copy_(values)
