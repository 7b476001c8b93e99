"""What the outputs of a network mean, and what is minimised: losses as small objects, by name in `LOSSES`.

A loss knows how many outputs the network has for each action, what it costs if they miss a label, and the
action and its uncertainty that they stand for. A new loss is a subclass of `Loss`, added
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
    """What the outputs of a network mean, and how far they are from a label.

    Attributes:
        name: by which settings and checkpoints know it.
    """

    name: ClassVar[str]

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def width(self) -> int:
        """Outputs of the network for each action."""
        return 1

    @abstractmethod
    def loss(self, out: Tensor, targets: Tensor) -> Tensor:
        """Loss of each sample and action.

        Args:
            out: (n, actions, width) what the network says.
            targets: (n, actions) what was wanted, [-1, 1].

        Returns:
            (n, actions).
        """

    @abstractmethod
    def mean(self, out: Tensor) -> Tensor:
        """The action: (n, actions, width) -> (n, actions)."""

    def std(self, out: Tensor) -> Tensor:
        """Standard deviation of the action: (n, actions, width) -> (n, actions).

        Raises:
            OptionError: Networks that were trained with this loss do not know it.
        """
        knowing = [name for name in LOSSES.names() if LOSSES.find(name).std is not Loss.std]
        raise OptionError(
            f"loss={self.name!r} knows no uncertainty; train with loss= one of {', '.join(knowing)}"
        )

    def split(self, out: Tensor) -> Tensor:
        """What a network gives, (n, actions * width), by action: (n, actions, width)."""
        return out.reshape(len(out), -1, self.width)

    def to_json(self) -> dict[str, Any]:
        """The loss as JSON-ready values."""
        return {"name": self.name, **asdict(self)}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Loss:
        """Read a loss back.

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
    """Mean square error: the mean of what was done in a place like this."""

    name: ClassVar[str] = "mse"

    def loss(self, out: Tensor, targets: Tensor) -> Tensor:
        """Square of the error."""
        return functional.mse_loss(out[..., 0], targets, reduction="none")

    def mean(self, out: Tensor) -> Tensor:
        """The output itself."""
        return out[..., 0]


@dataclass(frozen=True)
class Huber(MeanSquare):
    """Square for small errors, linear for large ones (Huber 1964).

    Attributes:
        delta: error from which on it is linear, in units of the action.
    """

    name: ClassVar[str] = "huber"
    delta: Positive = 0.05

    def loss(self, out: Tensor, targets: Tensor) -> Tensor:
        """Huber's loss of the error."""
        return functional.huber_loss(out[..., 0], targets, reduction="none", delta=self.delta)


@dataclass(frozen=True)
class Gaussian(Loss):
    """Negative log-likelihood of a normal distribution whose mean and variance are predicted.

    Nix & Weigend 1994. The policy acts on the mean; the deviation tells where demonstrations disagree.

    Attributes:
        least_std: standard deviation below which no prediction goes, in units of the action; keeps a few
            easy images from counting for everything.
    """

    name: ClassVar[str] = "gaussian"
    least_std: Annotated[float, Number(0, 1, above=True)] = 0.02

    @property
    def width(self) -> int:
        """Mean, and what the deviation is made of."""
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
    """Actions as classes, bins over [-1, 1]: can hold two opinions where a mean would steer between them.

    As in ALVINN (Pomerleau 1989; 45 units, a hill of activation around the label), with cross-entropy.

    Attributes:
        bins: number of bins; odd, so that zero is the middle of one.
        hill: width of the hill around the label, standard deviation in bins.
        decoding: "expectation" acts on the mean of all bins, "argmax" on the likeliest one and its two
            neighbours, as ALVINN did.
    """

    name: ClassVar[str] = "classes"
    bins: Annotated[int, Number(3, 1001)] = 45
    hill: Annotated[float, Number(0, 100, above=True)] = 1.0
    decoding: Literal["expectation", "argmax"] = "expectation"

    @property
    def width(self) -> int:
        """A logit for each bin."""
        return self.bins

    def _centres(self, like: Tensor) -> Tensor:
        return torch.linspace(-1.0, 1.0, self.bins, dtype=like.dtype, device=like.device)

    def loss(self, out: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy with a hill around the label."""
        step = 2.0 / (self.bins - 1)
        distance = (targets[..., None] - self._centres(out)) / (step * self.hill)
        wanted = torch.softmax(-0.5 * distance.square(), dim=-1)
        return -(wanted * functional.log_softmax(out, dim=-1)).sum(dim=-1)

    def mean(self, out: Tensor) -> Tensor:
        """The action, see ``decoding``."""
        shares, centres = torch.softmax(out, dim=-1), self._centres(out)
        if self.decoding == "argmax":
            likeliest = centres[shares.argmax(dim=-1)]
            near = (centres - likeliest[..., None]).abs() < 3.0 / (self.bins - 1)
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
"""Losses by the name that settings and checkpoints use, their attribute ``name``."""
