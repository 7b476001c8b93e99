"""Losses: what the outputs of a network mean and what is minimised; by name in `LOSSES`.

A loss defines how many outputs the network has for each action, the loss of outputs for a label, and how
outputs become an action and its uncertainty. A new loss is a subclass of `Loss`, added
by ``LOSSES.register(name, loss)`` or offered in the entry-point group ``udacity_gym.losses``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor
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

    @abstractmethod
    def loss(self, out: Tensor, targets: Tensor) -> Tensor:
        """Loss of each sample and action.

        Args:
            out: (n, actions, width) outputs of the network.
            targets: (n, actions) labels, [-1, 1].

        Returns:
            (n, actions).
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
        """Split a network's outputs by action: (n, actions * width) -> (n, actions, width)."""
        return out.reshape(len(out), -1, self.width)

    def to_json(self) -> dict[str, Any]:
        """The loss as JSON-ready values."""
        return {"name": self.name, **asdict(self)}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Loss:
        """Make a loss from JSON values.

        Raises:
            OptionError: There is no such loss, or a setting is missing, unknown or out of range.
        """
        options = dict(data)
        name = options.pop("name", None)
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


LOSSES: Registry[type[Loss]] = Registry(
    "loss",
    {loss.name: loss for loss in (MeanSquare, Huber, Gaussian, Classes)},
    expected="a subclass of Loss",
    group="udacity_gym.losses",
    fits=lambda name, item: isinstance(item, type) and issubclass(item, Loss) and item.name == name,
)
"""Losses by name, as settings and checkpoints use it: the attribute ``name``."""
