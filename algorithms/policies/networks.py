"""Networks, named after their papers, and `NETWORKS`, the registry of them and of those of other packages."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from algorithms.policies.preprocessing import Preprocessing
from udacity_gym.errors import OptionError
from udacity_gym.registry import Registry

Network: TypeAlias = Callable[..., nn.Module]
"""A class of networks.

It is made with the number of its outputs, with ``frames`` if it is to see several images of a camera at a
time, and with ``measurements`` if it is to be told numbers besides; a network whose signature lacks one of
these can't. ``forward(images)`` or ``forward(images, measurements)`` maps (n, 3 * frames, height, width)
float32, the oldest image first, and (n, measurements) float32 to (n, outputs) float32. Its class attribute
``input_size`` is the (height, width) of the images, None if any will do. What goes into its attribute
``head``, if it has one, is what learners of danger look at, see `algorithms.dagger.heads.FeatureTap`.

Training works on the parts of a batch side by side, and repeats itself bit for bit (see `training`). A
network must therefore neither draw random numbers nor change itself in ``forward``: no dropout, no batch
normalisation; `make_network` refuses both. Group or layer normalisation fit.
"""


def _measuring(measurements: int) -> tuple[nn.Module | None, int]:
    """What turns measurements into features (Codevilla et al. 2018), and how many features."""
    return (nn.Sequential(nn.Linear(measurements, 64), nn.ELU()), 64) if measurements else (None, 0)


def _joined(features: Tensor, measure: nn.Module | None, measurements: Tensor | None) -> Tensor:
    if measure is None:
        return features
    return torch.cat([features, measure(measurements)], dim=1)


class PilotNet(nn.Module):
    """The network of "End to End Learning for Self-Driving Cars" (Bojarski et al. 2016, section 4, figure 4).

    About 250 thousand weights and 27 million connections. The paper's hard-coded normalisation layer is
    `Preprocessing.normalize`. The paper does not name the activation; ELU (Clevert et al. 2016) is what
    most reproductions use. Several frames are stacked as further channels.

    Attributes:
        input_size: (height, width) px of the images it takes.
        outputs: number of outputs.
    """

    input_size = (66, 200)

    def __init__(self, outputs: int = 1, frames: int = 1, measurements: int = 0) -> None:
        super().__init__()
        self.outputs = outputs
        self.features = _pilotnet_features(3 * frames)
        measure, width = _measuring(measurements)
        widths = (1152 + width, 100, 50, max(10, outputs))  # 10 could not tell many outputs apart
        self.head = nn.Sequential(
            nn.Linear(widths[0], widths[1]),  # (n, 100)
            nn.ELU(),
            nn.Linear(widths[1], widths[2]),  # (n, 50)
            nn.ELU(),
            nn.Linear(widths[2], widths[3]),  # (n, 10), more for more outputs
            nn.ELU(),
            nn.Linear(widths[3], outputs),  # (n, outputs)
        )
        self.measure = measure

    def forward(self, images: Tensor, measurements: Tensor | None = None) -> Tensor:
        """Map images to outputs.

        Args:
            images: (n, 3 * frames, 66, 200) float32, normalised.
            measurements: (n, measurements) float32 around 1, if the network takes any.

        Returns:
            (n, outputs) float32.
        """
        out: Tensor = self.head(_joined(self.features(images), self.measure, measurements))
        return out


def _pilotnet_features(channels: int) -> nn.Sequential:
    return nn.Sequential(  # (n, channels, 66, 200)
        nn.Conv2d(channels, 24, 5, stride=2),  # (n, 24, 31, 98)
        nn.ELU(),
        nn.Conv2d(24, 36, 5, stride=2),  # (n, 36, 14, 47)
        nn.ELU(),
        nn.Conv2d(36, 48, 5, stride=2),  # (n, 48, 5, 22)
        nn.ELU(),
        nn.Conv2d(48, 64, 3),  # (n, 64, 3, 20)
        nn.ELU(),
        nn.Conv2d(64, 64, 3),  # (n, 64, 1, 18)
        nn.ELU(),
        nn.Flatten(),  # (n, 1152)
    )


class PilotLSTM(nn.Module):
    """PilotNet's convolutions on each frame, an LSTM over the frames (after Eraqi et al. 2017, "C-LSTM").

    Attributes:
        input_size: (height, width) px of the images it takes.
        outputs: number of outputs.
    """

    input_size = (66, 200)

    def __init__(self, outputs: int = 1, frames: int = 1, measurements: int = 0) -> None:
        super().__init__()
        self.outputs = outputs
        self.features = _pilotnet_features(3)
        self.squeeze = nn.Sequential(nn.Linear(1152, 100), nn.ELU())
        self.memory = nn.LSTM(100, 64, batch_first=True)
        measure, width = _measuring(measurements)
        self.head = nn.Sequential(nn.Linear(64 + width, 50), nn.ELU(), nn.Linear(50, outputs))
        self.measure = measure

    def forward(self, images: Tensor, measurements: Tensor | None = None) -> Tensor:
        """Map frames to outputs; see `PilotNet.forward`."""
        n, channels, *size = images.shape
        each = images.reshape(n * (channels // 3), 3, *size)  # one image after the other
        features = self.features(each.contiguous(memory_format=torch.channels_last))
        seen = self.squeeze(features).reshape(n, channels // 3, -1)  # (n, frames, 100)
        remembered, _ = self.memory(seen)  # (n, frames, 64)
        out: Tensor = self.head(_joined(remembered[:, -1], self.measure, measurements))
        return out


class ResidualBlock(nn.Module):
    """The basic block of He et al. 2016, figure 2, with group normalisation (Wu & He 2018)."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, out, 3, stride, padding=1, bias=False),
            nn.GroupNorm(8, out),
            nn.ReLU(),
            nn.Conv2d(out, out, 3, padding=1, bias=False),
            nn.GroupNorm(8, out),
        )
        self.shortcut = nn.Conv2d(channels, out, 1, stride, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(n, channels, h, w) -> (n, out, h / stride, w / stride)."""
        return torch.relu(self.body(features) + self.shortcut(features))


class SmallResNet(nn.Module):
    """A residual network (He et al. 2016) of three basic blocks.

    Some 370 thousand weights and 45 million connections. Its last features keep their place in the image
    instead of being averaged: steering is about where things are. Several frames are stacked as
    further channels.

    Attributes:
        input_size: (height, width) px of the images it takes.
        outputs: number of outputs.
    """

    input_size = (66, 200)

    def __init__(self, outputs: int = 1, frames: int = 1, measurements: int = 0) -> None:
        super().__init__()
        self.outputs = outputs
        self.features = nn.Sequential(  # (n, 3 * frames, 66, 200)
            nn.Conv2d(3 * frames, 16, 5, stride=2, padding=2),  # (n, 16, 33, 100)
            nn.ReLU(),
            ResidualBlock(16, 32, 2),  # (n, 32, 17, 50)
            ResidualBlock(32, 64, 2),  # (n, 64, 9, 25)
            ResidualBlock(64, 128, 2),  # (n, 128, 5, 13)
            nn.Conv2d(128, 16, 1),  # (n, 16, 5, 13)
            nn.ReLU(),
            nn.Flatten(),  # (n, 1040)
        )
        measure, width = _measuring(measurements)
        self.head = nn.Sequential(nn.Linear(1040 + width, 64), nn.ReLU(), nn.Linear(64, outputs))
        self.measure = measure

    def forward(self, images: Tensor, measurements: Tensor | None = None) -> Tensor:
        """Map images to outputs; see `PilotNet.forward`."""
        out: Tensor = self.head(_joined(self.features(images), self.measure, measurements))
        return out


NETWORKS: Registry[Network] = Registry(
    "network",
    {"PilotNet": PilotNet, "PilotLSTM": PilotLSTM, "SmallResNet": SmallResNet},
    expected="a torch.nn.Module class made with its number of outputs",
    group="udacity_gym.networks",
)
"""Networks by the name that settings and checkpoints use, the name of the class.

``NETWORKS.register("Mine", Mine)`` adds one in this process. So that ``load_policy`` finds yours in every
process, offer it in the entry-point group ``udacity_gym.networks``. A checkpoint names its network; code is
never imported because a checkpoint says so.
"""

_UNFIT = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._NormBase)


def make_network(
    name: str, outputs: int, seed: int = 0, *, frames: int = 1, measurements: int = 0
) -> nn.Module:
    """Make a network by its name; torch's own generator is left as it was.

    Args:
        name: a name of `NETWORKS`.
        outputs: number of outputs.
        seed: of the initial weights.
        frames: images that it sees at a time.
        measurements: numbers that it is told besides.

    Raises:
        OptionError: No network has that name, it can't take several frames or measurements, or it has
            layers that training can't work with.
    """
    network_class = NETWORKS.find(name)
    options = {"frames": frames} if frames > 1 else {}
    options |= {"measurements": measurements} if measurements else {}
    lacking = options.keys() - inspect.signature(network_class).parameters.keys()
    if lacking:
        raise OptionError(f"network {name!r} can't take {' or '.join(sorted(lacking))}; PilotNet can")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = network_class(outputs, **options)
    for path, layer in network.named_modules():
        if isinstance(layer, _UNFIT):
            raise OptionError(
                f"{name}.{path} is a {type(layer).__name__}: networks with dropout or batch normalisation "
                "can't be trained here; use augmentation, or group or layer normalisation"
            )
    return network


def check_fits(name: str, preprocessing: Preprocessing) -> None:
    """Make sure that images are prepared in the size that a network takes.

    Raises:
        OptionError: They are not.
    """
    input_size = getattr(NETWORKS.find(name), "input_size", None)
    if input_size is not None and preprocessing.size != input_size:
        raise OptionError(f"preprocessing.size={preprocessing.size}, but {name} takes {input_size}")
