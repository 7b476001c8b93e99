"""Losses: what the outputs of a network mean and what is minimised; by name in `LOSSES`.

A loss defines how many outputs the network has, the loss of outputs for a label, and how outputs become an
action and its uncertainty. A new loss is a function of predictions and labels, or a subclass of `Loss`, given
as it is, added by ``LOSSES.register(name, loss)`` or offered in the entry-point group ``udacity_gym.losses``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from algorithms.checks import Number, Positive, check_fields
from udacity_gym.errors import OptionError
from udacity_gym.registry import Registry


@dataclass(frozen=True)
class Loss(ABC):
    """Base class of losses: what the outputs of a network mean, and how far they are from a label.

    Attributes:
        name: the name that settings and checkpoints use.
    """

    name: ClassVar[str]

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def width(self) -> int:
        """Number of network outputs for each action."""
        return 1

    def outputs(self, actions: int) -> int:
        """Number of network outputs for all actions of a moment."""
        return actions * self.width

    @abstractmethod
    def loss(self, out: Tensor, targets: Tensor) -> Tensor:
        """Loss of each sample and action.

        Args:
            out: (n, actions, width) outputs of the network, as `split` gives them.
            targets: (n, actions) labels, [-1, 1].

        Returns:
            (n, actions); or (n, 1), where all actions have one loss in common.
        """

    @abstractmethod
    def mean(self, out: Tensor) -> Tensor:
        """The action: (n, actions, width) -> (n, actions)."""

    def std(self, out: Tensor) -> Tensor:
        """Standard deviation of the action: (n, actions, width) -> (n, actions).

        Raises:
            OptionError: Networks that were trained with this loss have no standard deviation.
        """
        names = [name for name in LOSSES.names() if LOSSES.find(name).std is not Loss.std]
        raise OptionError(
            f"loss={self.name!r} gives no standard deviation; train with loss= one of {', '.join(names)}"
        )

    def split(self, out: Tensor) -> Tensor:
        """Split a network's outputs by action: (n, outputs) -> (n, actions, width)."""
        return out.reshape(-1, out.shape[1] // self.width, self.width)

    def to_json(self) -> dict[str, Any]:
        """The loss as JSON-ready values."""
        return {"name": self.name, **asdict(self)}

    @staticmethod
    def from_json(data: Mapping[str, Any], own: LossSetting | None = None) -> Loss:
        """Make a loss from JSON values.

        Args:
            data: as `to_json` gives it.
            own: a loss that is not registered, to use if the values are of it.

        Raises:
            OptionError: There is no such loss, or a setting is missing, unknown or out of range.
        """
        options = dict(data)
        name = options.pop("name", None)
        if name == FunctionLoss.name:
            return FunctionLoss(str(options.get("function")))
        if isinstance(own, Loss):
            own = type(own)
        if isinstance(own, type) and issubclass(own, Loss) and own.name == name:
            loss: type[Loss] = own
        else:
            LOSSES.check("loss", name)
            loss = LOSSES.find(name)
        try:
            return loss(**options)
        except TypeError as error:
            raise OptionError(f"loss {loss.name!r} does not have the settings {options}") from error


@dataclass(frozen=True)
class MeanSquare(Loss):
    """Mean square error; the prediction is the mean of the labels of similar images."""

    name: ClassVar[str] = "mse"

    def loss(self, out: Tensor, targets: Tensor) -> Tensor:
        """Squared error."""
        return functional.mse_loss(out[..., 0], targets, reduction="none")

    def mean(self, out: Tensor) -> Tensor:
        """The output itself."""
        return out[..., 0]


@dataclass(frozen=True)
class MeanAbsolute(MeanSquare):
    """Mean absolute error; the prediction is the median of the labels of similar images."""

    name: ClassVar[str] = "mae"

    def loss(self, out: Tensor, targets: Tensor) -> Tensor:
        """Absolute error."""
        return functional.l1_loss(out[..., 0], targets, reduction="none")


@dataclass(frozen=True)
class FunctionLoss(MeanSquare):
    """A function of predictions and labels, such as ``torch.nn.functional.smooth_l1_loss``.

    A checkpoint has the function's name only. That is enough to drive, since the outputs are the actions.

    Attributes:
        function: name of the function.
        compute: the function, ``(predictions, labels) -> loss``, called for each action with two tensors
            (n,); it returns (n,) or the mean. None for a policy that was loaded, and can't be trained.
    """

    name: ClassVar[str] = "function"
    function: str
    compute: LossFunction | None = field(default=None, repr=False)

    def loss(self, out: Tensor, targets: Tensor) -> Tensor:
        """What the function returns, for each action: (n, actions), or (1, actions) of means."""
        if self.compute is None:
            raise OptionError(
                f"the loss {self.function!r} is a function, of which a checkpoint has the name only; give "
                f"loss={self.function} to train on"
            )
        columns = zip(out[..., 0].unbind(dim=1), targets.unbind(dim=1), strict=True)
        return torch.stack([self.compute(*pair).reshape(-1) for pair in columns], dim=1)

    def to_json(self) -> dict[str, Any]:
        """The loss as JSON-ready values."""
        return {"name": self.name, "function": self.function}


@dataclass(frozen=True)
class Huber(MeanSquare):
    """Huber loss: quadratic for small errors, linear for large ones (Huber 1964).

    Attributes:
        delta: error above which the loss is linear, in units of the action.
    """

    name: ClassVar[str] = "huber"
    delta: Positive = 0.05

    def loss(self, out: Tensor, targets: Tensor) -> Tensor:
        """Huber loss of the error."""
        return functional.huber_loss(out[..., 0], targets, reduction="none", delta=self.delta)


@dataclass(frozen=True)
class Gaussian(Loss):
    """Negative log-likelihood of a normal distribution whose mean and variance are predicted.

    Nix & Weigend 1994. The policy acts on the mean. The deviation shows where demonstrations disagree.

    Attributes:
        least_std: smallest standard deviation that is predicted, in units of the action; prevents a few
            easy images from dominating the loss.
    """

    name: ClassVar[str] = "gaussian"
    least_std: Annotated[float, Number(0, 1, above=True)] = 0.02

    @property
    def width(self) -> int:
        """Two outputs: the mean, and one that becomes the standard deviation."""
        return 2

    def loss(self, out: Tensor, targets: Tensor) -> Tensor:
        """Negative log-likelihood, without the constant."""
        std = self.std(out)
        return 0.5 * ((targets - self.mean(out)) / std).square() + std.log()

    def mean(self, out: Tensor) -> Tensor:
        """The mean."""
        return out[..., 0]

    def std(self, out: Tensor) -> Tensor:
        """Standard deviation, never below ``least_std``."""
        return self.least_std + functional.softplus(out[..., 1] - 2.0)


@dataclass(frozen=True)
class Classes(Loss):
    """Actions as classes, bins over [-1, 1]: keeps two opinions apart instead of steering between them.

    As in ALVINN (Pomerleau 1989; 45 units, a hill of activation around the label), with cross-entropy.

    Attributes:
        bins: number of bins; odd numbers make zero the middle of one.
        hill: width of the hill around the label, standard deviation in bins.
        decoding: "expectation" acts on the mean of all bins, "argmax" on the most likely bin and its
            two neighbours, as ALVINN did.
    """

    name: ClassVar[str] = "classes"
    bins: Annotated[int, Number(3, 1001)] = 45
    hill: Annotated[float, Number(0, 100, above=True)] = 1.0
    decoding: Literal["expectation", "argmax"] = "expectation"

    @property
    def width(self) -> int:
        """One logit for each bin."""
        return self.bins

    def _centres(self, like: Tensor) -> Tensor:
        return torch.linspace(-1.0, 1.0, self.bins, dtype=like.dtype, device=like.device)

    def loss(self, out: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy with a hill around the label."""
        step = 2.0 / (self.bins - 1)
        distance = (targets[..., None] - self._centres(out)) / (step * self.hill)
        target_shares = torch.softmax(-0.5 * distance.square(), dim=-1)
        return -(target_shares * functional.log_softmax(out, dim=-1)).sum(dim=-1)

    def mean(self, out: Tensor) -> Tensor:
        """The action, see ``decoding``."""
        shares, centres = torch.softmax(out, dim=-1), self._centres(out)
        if self.decoding == "argmax":
            most_likely = centres[shares.argmax(dim=-1)]
            near = (centres - most_likely[..., None]).abs() < 3.0 / (self.bins - 1)
            shares = shares * near
            shares = shares / shares.sum(dim=-1, keepdim=True)
        return (shares * centres).sum(dim=-1)

    def std(self, out: Tensor) -> Tensor:
        """Standard deviation of the distribution over all bins."""
        shares, centres = torch.softmax(out, dim=-1), self._centres(out)
        mean = (shares * centres).sum(dim=-1, keepdim=True)
        return (shares * (centres - mean).square()).sum(dim=-1).sqrt()


@dataclass(frozen=True)
class GaussianMixture(Loss):
    """Negative log-likelihood of a mixture of normal distributions (Bishop 1994; Mandlekar et al. 2021).

    The head of robomimic's BC-RNN-GMM. All actions of a moment share the mixture's weights, so a component is
    one way to drive. The policy acts on the mean of the likeliest component, so it keeps two ways around an
    obstacle apart.

    Attributes:
        components: number of components; 5 in the paper.
        least_std: smallest standard deviation of a component, in units of the action.
    """

    name: ClassVar[str] = "gmm"
    components: Annotated[int, Number(1, 100)] = 5
    least_std: Annotated[float, Number(0, 1, above=True)] = 0.02

    @property
    def width(self) -> int:
        """Mean and standard deviation of each component."""
        return 2 * self.components

    def outputs(self, actions: int) -> int:
        """Number of network outputs: a weight, and means and deviations for each component."""
        return self.components * (1 + 2 * actions)

    def split(self, out: Tensor) -> Tensor:
        """Split a network's outputs by component: (n, outputs) -> (n, components, 1 + 2 * actions)."""
        return out.reshape(-1, self.components, out.shape[1] // self.components)

    def _parts(self, out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logarithms of the weights (n, components), means and deviations (n, components, actions)."""
        means, scales = out[..., 1:].chunk(2, dim=-1)
        # Bounded as in robomimic; else a component far away from all labels never comes back.
        return (
            functional.log_softmax(out[..., 0], dim=-1),
            torch.tanh(means),
            self.least_std + functional.softplus(scales - 2.0),
        )

    def loss(self, out: Tensor, targets: Tensor) -> Tensor:
        """Negative log-likelihood, without the constant: (n, 1)."""
        log_weights, means, stds = self._parts(out)
        errors = (targets[:, None] - means) / stds
        log_densities = -(0.5 * errors.square() + stds.log()).sum(dim=-1)
        return -torch.logsumexp(log_weights + log_densities, dim=-1, keepdim=True)

    def mean(self, out: Tensor) -> Tensor:
        """The mean of the likeliest component."""
        log_weights, means, _ = self._parts(out)
        likeliest = log_weights.argmax(dim=-1)
        return torch.gather(means, 1, likeliest[:, None, None].expand(-1, 1, means.shape[-1]))[:, 0]

    def std(self, out: Tensor) -> Tensor:
        """Standard deviation of the mixture."""
        log_weights, means, stds = self._parts(out)
        weights = log_weights.exp()[..., None]
        mean = (weights * means).sum(dim=1, keepdim=True)
        return (weights * (stds.square() + (means - mean).square())).sum(dim=1).sqrt()


LossFunction: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""``(predictions, labels) -> loss``, tensors (n,) each; the loss is (n,) or a mean."""

LossSetting: TypeAlias = str | Loss | type[Loss] | LossFunction
"""A loss: its name in `LOSSES`, an object or a subclass of `Loss`, or a function."""

LOSSES: Registry[type[Loss]] = Registry(
    "loss",
    {loss.name: loss for loss in (MeanSquare, MeanAbsolute, Huber, Gaussian, Classes, GaussianMixture)},
    expected="a subclass of Loss",
    group="udacity_gym.losses",
    fits=lambda name, item: isinstance(item, type) and issubclass(item, Loss) and item.name == name,
)
"""Losses by name, as settings and checkpoints use it: the attribute ``name``."""


def make_loss(setting: LossSetting) -> Loss:
    """Make the loss that a setting means.

    Args:
        setting: a name, an object or subclass of `Loss`, a function, or a loss of ``torch.nn``.

    Raises:
        OptionError: There is no loss of this name, or it needs settings.
    """
    if isinstance(setting, Loss):
        return setting
    if isinstance(setting, str):
        return LOSSES.find(setting)()
    if isinstance(setting, type) and issubclass(setting, Loss):
        return setting()
    function: Any = setting
    if isinstance(setting, type) and issubclass(setting, nn.Module):
        function = setting()
    if not callable(function):
        raise OptionError(f"loss={setting!r} must be a name, a Loss, or a function of predictions and labels")
    return FunctionLoss(getattr(function, "__name__", type(function).__name__), function)
