"""Networks, named after their papers, and `NETWORKS`, the registry of networks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from typing_extensions import Self

from algorithms.policies.preprocessing import Preprocessing
from udacity_gym.errors import OptionError
from udacity_gym.registry import Registry

Network: TypeAlias = Callable[..., nn.Module]
"""A class of networks, or a function that makes one.

Arguments are the number of outputs, and by keyword ``frames`` if the network gets several images of a camera
at a time, ``cameras`` if it gets images of several cameras, ``measurements`` if it gets numbers besides
images, and ``steps`` if it wants to know for how many steps its outputs are. A network whose signature lacks
one of the first three does not support it. ``forward(images)`` or ``forward(images, measurements)`` maps
(n, 3 * frames * cameras, height, width) float32, the oldest frame first, the cameras of a frame side by side,
and (n, measurements) float32 to (n, outputs) float32. Its attribute ``input_size`` is the (height, width) of
the images, None if any size fits. The input of its attribute ``head``, if it has one, is the features that
risk classifiers use, see `algorithms.dagger.heads.FeatureTap`.

A network with a latent variable, such as `ACT`, also has the arguments ``latent``, its size, and ``actions``,
the number of actions of a step. It has the attribute ``latent_size``; ``encode(actions, valid)``, see
`ActionEncoder`; and an argument ``latent`` of ``forward``, which is left out when it drives.

On a CPU, the parts of a batch are computed in parallel. A network that draws random numbers, changes itself
in ``forward`` or mixes the samples of a batch (dropout, batch normalisation) computes the whole batch at
once.
"""


def _make_measurement_layers(measurements: int) -> tuple[nn.Module | None, int]:
    """Layers that map measurements to features (Codevilla et al. 2018), and the number of features."""
    return (nn.Sequential(nn.Linear(measurements, 64), nn.ELU()), 64) if measurements else (None, 0)


def _join(features: Tensor, measure: nn.Module | None, measurements: Tensor | None) -> Tensor:
    if measure is None:
        return features
    return torch.cat([features, measure(measurements)], dim=1)


class PilotNet(nn.Module):
    """The network of "End to End Learning for Self-Driving Cars" (Bojarski et al. 2016, section 4, figure 4).

    About 250 thousand weights and 27 million connections. `Preprocessing.normalize` does what the paper's
    hard-coded normalisation layer does. The paper does not name the activation; most reproductions use ELU
    (Clevert et al. 2016). Several frames and cameras are stacked as channels.

    Attributes:
        input_size: (height, width) px of the input images.
        outputs: number of outputs.
    """

    input_size = (66, 200)

    def __init__(self, outputs: int = 1, frames: int = 1, measurements: int = 0, cameras: int = 1) -> None:
        super().__init__()
        self.outputs = outputs
        self.features = _pilotnet_features(3 * frames * cameras)
        measure, width = _make_measurement_layers(measurements)
        widths = (1152 + width, 100, 50, max(10, outputs))  # 10 units are too few for many outputs
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
        out: Tensor = self.head(_join(self.features(images), self.measure, measurements))
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
    """PilotNet's convolutions on each frame and an LSTM over the frames (after Eraqi et al. 2017, "C-LSTM").

    Attributes:
        input_size: (height, width) px of the input images.
        outputs: number of outputs.
    """

    input_size = (66, 200)

    def __init__(self, outputs: int = 1, frames: int = 1, measurements: int = 0, cameras: int = 1) -> None:
        super().__init__()
        self.outputs, self._channels = outputs, 3 * cameras
        self.features = _pilotnet_features(3 * cameras)
        self.squeeze = nn.Sequential(nn.Linear(1152, 100), nn.ELU())
        self.memory = nn.LSTM(100, 64, batch_first=True)
        measure, width = _make_measurement_layers(measurements)
        self.head = nn.Sequential(nn.Linear(64 + width, 50), nn.ELU(), nn.Linear(50, outputs))
        self.measure = measure

    def forward(self, images: Tensor, measurements: Tensor | None = None) -> Tensor:
        """Map frames to outputs; see `PilotNet.forward`."""
        n, channels, *size = images.shape
        frames = channels // self._channels
        single_frames = images.reshape(n * frames, self._channels, *size)  # one frame after the other
        features = self.features(single_frames.contiguous(memory_format=torch.channels_last))
        squeezed = self.squeeze(features).reshape(n, frames, -1)  # (n, frames, 100)
        hidden, _ = self.memory(squeezed)  # (n, frames, 64)
        out: Tensor = self.head(_join(hidden[:, -1], self.measure, measurements))
        return out


class ResidualBlock(nn.Module):
    """Basic residual block (He et al. 2016, figure 2) with group normalisation (Wu & He 2018)."""

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

    About 370 thousand weights and 45 million connections. The last features keep their position in the image
    instead of being averaged, since steering depends on where things are. Several frames and cameras are
    stacked as channels.

    Attributes:
        input_size: (height, width) px of the input images.
        outputs: number of outputs.
    """

    input_size = (66, 200)

    def __init__(self, outputs: int = 1, frames: int = 1, measurements: int = 0, cameras: int = 1) -> None:
        super().__init__()
        self.outputs = outputs
        self.features = nn.Sequential(  # (n, 3 * frames * cameras, 66, 200)
            nn.Conv2d(3 * frames * cameras, 16, 5, stride=2, padding=2),  # (n, 16, 33, 100)
            nn.ReLU(),
            ResidualBlock(16, 32, 2),  # (n, 32, 17, 50)
            ResidualBlock(32, 64, 2),  # (n, 64, 9, 25)
            ResidualBlock(64, 128, 2),  # (n, 128, 5, 13)
            nn.Conv2d(128, 16, 1),  # (n, 16, 5, 13)
            nn.ReLU(),
            nn.Flatten(),  # (n, 1040)
        )
        measure, width = _make_measurement_layers(measurements)
        self.head = nn.Sequential(nn.Linear(1040 + width, 64), nn.ReLU(), nn.Linear(64, outputs))
        self.measure = measure

    def forward(self, images: Tensor, measurements: Tensor | None = None) -> Tensor:
        """Map images to outputs; see `PilotNet.forward`."""
        out: Tensor = self.head(_join(self.features(images), self.measure, measurements))
        return out


class ACT(nn.Module):
    """A small action-chunking transformer (Zhao et al. 2023, "Learning Fine-Grained Bimanual Manipulation").

    PilotNet's first four convolutions turn each image into a grid of features. A transformer encoder attends
    over all of them and the measurements, and a decoder has a learned query for each of the next ``steps``
    actions. About 0.5 million weights. The paper has wider layers, and a ResNet-18 in place of the
    convolutions.

    With a latent variable it is the decoder of a conditional variational autoencoder, as in section IV-C of
    the paper: during training, an encoder sees the demonstrated actions and tells the decoder in which of
    several ways the demonstrator drove. When the policy drives, the variable is zero, the mean of its prior.

    Attributes:
        input_size: (height, width) px of the input images.
        outputs: number of outputs.
        latent_size: size of the latent variable; 0 without one.
        encode: encoder of demonstrated actions, an `ActionEncoder`; None without a latent variable.
    """

    input_size = (66, 200)

    def __init__(
        self,
        outputs: int = 1,
        frames: int = 1,
        measurements: int = 0,
        cameras: int = 1,
        steps: int = 1,
        latent: int = 0,
        actions: int = 1,
        *,
        width: int = 96,
        heads: int = 4,
        layers: int = 2,
    ) -> None:
        """Make the network.

        Args:
            outputs: number of outputs, a multiple of ``steps``.
            frames: number of images of each camera.
            measurements: number of measurements.
            cameras: number of cameras.
            steps: number of actions that it predicts, one after the other.
            latent: size of the latent variable; 0 has none.
            actions: number of actions of a step, which the encoder of the latent variable gets.
            width: size of a token.
            heads: heads of the attention.
            layers: layers of the encoder; the decoder has half as many, at least one.
        """
        super().__init__()
        self.outputs = outputs
        self.images, self.steps = frames * cameras, steps
        convolutions = list(_pilotnet_features(3))[:8]  # (n, 64, 3, 20)
        self.features = nn.Sequential(*convolutions, nn.Conv2d(64, width, 1))
        self.places = nn.Parameter(torch.randn(self.images * 3 * 20, width) * 0.02)
        self.measure = nn.Linear(measurements, width) if measurements else None
        options: dict[str, Any] = {
            "dim_feedforward": 4 * width,
            "dropout": 0.0,
            "batch_first": True,
            "norm_first": True,
        }
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(width, heads, **options), layers, enable_nested_tensor=False
        )
        self.queries = nn.Parameter(torch.randn(steps, width) * 0.02)
        self.decoder = nn.TransformerDecoder(
            nn.TransformerDecoderLayer(width, heads, **options), max(1, layers // 2), nn.LayerNorm(width)
        )
        self.head = nn.Linear(width, outputs // steps)
        self.latent_size = latent
        self.encode = ActionEncoder(actions, steps, latent, width, heads, layers) if latent else None
        self.latent = nn.Linear(latent, width) if latent else None

    def forward(
        self, images: Tensor, measurements: Tensor | None = None, latent: Tensor | None = None
    ) -> Tensor:
        """Map images to the outputs of all steps, one step after the other; see `PilotNet.forward`.

        Args:
            images: (n, 3 * frames * cameras, 66, 200) float32, normalised.
            measurements: (n, measurements) float32 around 1, if the network takes any.
            latent: (n, latent) float32 latent variable; None is zero.
        """
        n, _, *size = images.shape
        single_images = images.reshape(n * self.images, 3, *size)
        grid = self.features(single_images.contiguous(memory_format=torch.channels_last))
        tokens = grid.flatten(2).transpose(1, 2).reshape(n, -1, grid.shape[1]) + self.places
        if self.measure is not None:
            tokens = torch.cat([tokens, self.measure(measurements)[:, None]], dim=1)
        if self.latent is not None:
            if latent is None:
                latent = tokens.new_zeros(n, self.latent_size)
            tokens = torch.cat([tokens, self.latent(latent)[:, None]], dim=1)
        decoded = self.decoder(self.queries.expand(n, -1, -1), self.encoder(tokens))
        out: Tensor = self.head(decoded)  # (n, steps, outputs / steps)
        return out.flatten(1)


class ActionEncoder(nn.Module):
    """Encodes a chunk of demonstrated actions as a normal distribution of a latent variable.

    A transformer attends over a learned token and a token for each action. The first one's output gives the
    mean and the logarithm of the variance (Zhao et al. 2023, figure 4). The paper's encoder also sees the
    joints of the robot; this one sees the actions alone.
    """

    def __init__(self, actions: int, steps: int, latent: int, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, width) * 0.02)
        self.places = nn.Parameter(torch.randn(steps, width) * 0.02)
        self.embed = nn.Linear(actions, width)
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, 2 * latent)

    def forward(self, actions: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Encode chunks.

        Args:
            actions: (n, steps, actions) float32 demonstrated actions.
            valid: (n, steps) bool, false for steps after the end of the episode, which are not seen.

        Returns:
            Mean and logarithm of the variance, (n, latent) float32 each.
        """
        n = len(actions)
        tokens = torch.cat([self.token.expand(n, 1, -1), self.embed(actions) + self.places], dim=1)
        hidden = torch.cat([torch.zeros_like(valid[:, :1]), ~valid], dim=1)
        encoded = self.encoder(tokens, src_key_padding_mask=hidden)[:, 0]
        mean, log_variance = self.head(encoded).float().chunk(2, dim=1)
        return mean, log_variance


class Backbone(nn.Module):
    """A pretrained backbone with a new head: any module that gives features, frozen or not.

    The images are brought to the backbone's own normalisation first. Wrap it in a function and give that as
    ``network``; the weights come from a file that you have::

        def pretrained(outputs):
            backbone = MyEncoder()
            backbone.load_state_dict(torch.load("encoder.pt", weights_only=True))
            return Backbone(backbone, outputs, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))

        BehavioralCloning("laps", network=pretrained, preprocessing=Preprocessing(color="rgb"))

    A checkpoint has all weights, also those of a frozen backbone.

    Attributes:
        backbone: the module.
        head: the layers after it.
        input_size: (height, width) px of the input images; None if any size fits.
    """

    def __init__(
        self,
        backbone: nn.Module,
        outputs: int,
        *,
        frozen: bool = True,
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.5, 0.5, 0.5),
        hidden: int = 100,
        measurements: int = 0,
        input_size: tuple[int, int] = (66, 200),
    ) -> None:
        """Make the network.

        Args:
            backbone: maps (n, 3, height, width) float32 to features, (n, ...) float32, which are flattened.
            outputs: number of outputs.
            frozen: whether its weights, and its statistics of batch normalisation, stay as they are.
            mean: mean of each channel that the backbone expects to be subtracted, of values in [0, 1].
            std: standard deviation of each channel that it expects to be divided by.
            hidden: units of the head's hidden layer.
            measurements: number of measurements.
            input_size: (height, width) px of the images.

        Raises:
            OptionError: The backbone does not give a tensor of features.
        """
        super().__init__()
        self.input_size, self.frozen = input_size, frozen
        self.backbone = backbone.requires_grad_(not frozen)
        # From [-1, 1], as `Preprocessing` gives them by default.
        self.register_buffer("scale", (0.5 / torch.tensor(std)).reshape(3, 1, 1))
        self.register_buffer("shift", ((0.5 - torch.tensor(mean)) / torch.tensor(std)).reshape(3, 1, 1))
        self.eval()
        with torch.no_grad():
            features = backbone(torch.zeros(1, 3, *input_size))
        if not isinstance(features, Tensor):
            raise OptionError(
                f"{type(backbone).__name__} gives {type(features).__name__}, not a tensor of features; "
                "wrap it in a module that returns its features alone"
            )
        measure, width = _make_measurement_layers(measurements)
        self.measure = measure
        self.head = nn.Sequential(
            nn.Linear(features.numel() + width, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
        )
        self.train()

    scale: Tensor
    shift: Tensor

    def train(self, mode: bool = True) -> Self:
        """Set the mode; a frozen backbone stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def forward(self, images: Tensor, measurements: Tensor | None = None) -> Tensor:
        """Map images to outputs; see `PilotNet.forward`. Images are in [-1, 1], RGB if the backbone's are."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = self.backbone(images * self.scale + self.shift)
        out: Tensor = self.head(_join(features.flatten(1), self.measure, measurements))
        return out


NETWORKS: Registry[Network] = Registry(
    "network",
    {"PilotNet": PilotNet, "PilotLSTM": PilotLSTM, "SmallResNet": SmallResNet, "ACT": ACT},
    expected="a torch.nn.Module class, or a function that makes one, called with the number of outputs",
    group="udacity_gym.networks",
)
"""Networks by name, as settings and checkpoints use it: the name of the class.

``NETWORKS.register("Mine", Mine)`` adds a network in this process. Offer it in the entry-point group
``udacity_gym.networks`` so that ``load_policy`` finds it in every process. A checkpoint names its network,
but never makes Python import code.
"""


def find_network(network: str | Network) -> Network:
    """The class or function that a setting means.

    Args:
        network: a name of `NETWORKS`, or a class or function as it is.

    Raises:
        OptionError: No network has this name.
    """
    return NETWORKS.find(network) if isinstance(network, str) else network


def network_name(network: str | Network) -> str:
    """The name of a network, as checkpoints have it."""
    if isinstance(network, str):
        return network
    inner = getattr(network, "func", network)  # of functools.partial
    return str(getattr(inner, "__name__", type(inner).__name__))


def make_network(
    network: str | Network,
    outputs: int,
    seed: int = 0,
    *,
    frames: int = 1,
    measurements: int = 0,
    cameras: int = 1,
    steps: int = 1,
    latent: int = 0,
    actions: int = 1,
) -> nn.Module:
    """Make a network, without changing the state of torch's random generator.

    Args:
        network: a name of `NETWORKS`, a class, or a function that makes one.
        outputs: number of outputs.
        seed: seed of the initial weights.
        frames: number of images of each camera that the network gets at a time.
        measurements: number of measurements that it gets besides images.
        cameras: number of cameras whose images it gets.
        steps: number of steps that its outputs are for.
        latent: size of its latent variable; 0 has none.
        actions: number of actions of a step, for a network with a latent variable.

    Raises:
        OptionError: No network has that name; it does not support several frames or cameras, measurements or
            a latent variable; or what was made is no network.
    """
    make, name = find_network(network), network_name(network)
    options = {"frames": frames} if frames > 1 else {}
    options |= {"measurements": measurements} if measurements else {}
    options |= {"cameras": cameras} if cameras > 1 else {}
    options |= {"latent": latent, "actions": actions} if latent else {}
    parameters = inspect.signature(make).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    lacking = () if takes_any else options.keys() - parameters.keys()
    if lacking:
        other = "ACT" if "latent" in lacking else "PilotNet"
        lacking = lacking - {"actions"} if "latent" in lacking else lacking
        raise OptionError(f"network {name!r} can't take {' or '.join(sorted(lacking))}; {other} can")
    if "steps" in parameters:
        options["steps"] = steps
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = make(outputs, **options)
    if not isinstance(made, nn.Module):
        raise OptionError(f"network={name} made {made!r}, which is no torch.nn.Module")
    return made


def check_fits(network: str | Network, preprocessing: Preprocessing) -> None:
    """Check that preprocessing makes images of the size that a network takes.

    Raises:
        OptionError: The sizes differ.
    """
    input_size = getattr(find_network(network), "input_size", None)
    if input_size is not None and preprocessing.size != input_size:
        raise OptionError(
            f"preprocessing.size={preprocessing.size}, but {network_name(network)} takes {input_size}"
        )
