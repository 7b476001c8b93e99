"""Optimizers and learning-rate schedules by name: those of torch, and two of our own."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.optim import Optimizer, lr_scheduler

from udacity_gym.errors import OptionError
from udacity_gym.registry import Registry

OptimizerClass: TypeAlias = Callable[..., Optimizer]
"""A class of optimizers, or a function ``(parameters, lr=..., **options)`` that makes one."""

_NEED_MORE = {"LBFGS", "SparseAdam"}
"""Optimizers of torch that need something that training here does not give: closures, sparse gradients."""


def _classes(module: Any, base: type) -> dict[str, Any]:
    return {
        name: item
        for name, item in vars(module).items()
        if isinstance(item, type) and issubclass(item, base) and item is not base and not name.startswith("_")
    }


OPTIMIZERS: Registry[OptimizerClass] = Registry(
    "optimizer",
    {name: item for name, item in _classes(torch.optim, Optimizer).items() if name not in _NEED_MORE},
    expected="a torch.optim.Optimizer class, or a function that makes one",
)
"""Optimizers by name: the classes of ``torch.optim``."""

COSINE, CONSTANT = "cosine", "constant"

SCHEDULES: Registry[Any] = Registry(
    "schedule",
    {
        COSINE: lambda *_: None,
        CONSTANT: lambda *_: None,
        **_classes(lr_scheduler, lr_scheduler.LRScheduler),
    },
    expected="a class of torch.optim.lr_scheduler",
)
"""Schedules by name: "cosine" and "constant", see `built_in_rate`, and the classes of
``torch.optim.lr_scheduler``."""

_PER_STEP = ("OneCycleLR", "CyclicLR")
"""Schedules that torch's documentation steps after every batch. The others are stepped after every epoch."""


def make_optimizer(
    optimizer: str | OptimizerClass,
    parameters: Iterable[Tensor],
    learning_rate: float,
    weight_decay: float | None,
    options: Mapping[str, Any],
) -> Optimizer:
    """Make an optimizer.

    Args:
        optimizer: name, class or function.
        parameters: what to train.
        learning_rate: first learning rate.
        weight_decay: weight decay; None takes the optimizer's own default.
        options: its other arguments.

    Raises:
        OptionError: There is no such optimizer, or it refuses an argument.
    """
    make = OPTIMIZERS.find(optimizer) if isinstance(optimizer, str) else optimizer
    arguments = {**options} if weight_decay is None else {**options, "weight_decay": weight_decay}
    try:
        made = make(parameters, lr=learning_rate, **arguments)
    except (TypeError, ValueError) as error:
        raise OptionError(f"optimizer={optimizer_name(optimizer)!r} with {arguments}: {error}") from error
    if not isinstance(made, Optimizer):
        raise OptionError(f"optimizer={optimizer_name(optimizer)!r} made {made!r}, no torch.optim.Optimizer")
    return made


def optimizer_name(optimizer: str | OptimizerClass) -> str:
    """Name of an optimizer, as settings have it."""
    return optimizer if isinstance(optimizer, str) else str(getattr(optimizer, "__name__", optimizer))


class Schedule:
    """The learning rate during a training."""

    def __init__(
        self,
        name: str,
        optimizer: Optimizer,
        learning_rate: float,
        epochs: int,
        steps: int,
        options: Mapping[str, Any],
    ) -> None:
        """Make a schedule.

        Args:
            name: a name of `SCHEDULES`.
            optimizer: the optimizer whose rate it sets.
            learning_rate: maximum rate.
            epochs: number of epochs.
            steps: steps of an epoch.
            options: arguments of torch's schedule. Of those without a default, ``max_lr``, ``total_steps``
                and ``T_max`` follow from the training if they are not given.

        Raises:
            OptionError: The schedule refuses an argument.
        """
        self._name, self._optimizer, self._rate = name, optimizer, learning_rate
        self._epochs, self._steps = epochs, steps
        self.scheduler: Any = None
        if name in (COSINE, CONSTANT):
            if options:
                raise OptionError(
                    f"schedule_options={dict(options)} are of torch's schedules, not of {name!r}"
                )
            return
        make = SCHEDULES.find(name)
        known = {"max_lr": learning_rate, "T_max": epochs}
        parameters = inspect.signature(make).parameters
        arguments = {key: value for key, value in known.items() if key in parameters}
        if name == "OneCycleLR" and "epochs" not in options:
            arguments["total_steps"] = epochs * steps
        if name == "CyclicLR":
            arguments |= {"base_lr": learning_rate / 10}
        try:
            self.scheduler = make(optimizer, **{**arguments, **options})
        except (TypeError, ValueError, KeyError) as error:
            raise OptionError(f"schedule={name!r} with schedule_options={dict(options)}: {error}") from error

    def before_step(self, step: int) -> None:
        """Set the rate of a step, counted from the beginning of the training."""
        if self.scheduler is None:
            rate = built_in_rate(self._name, self._rate, step, self._epochs, self._steps)
            for group in self._optimizer.param_groups:
                group["lr"] = rate

    def after_step(self) -> None:
        """Take note of a step."""
        if self._name in _PER_STEP:
            self.scheduler.step()

    def after_epoch(self, loss: float) -> None:
        """Take note of an epoch and its validation loss, or its training loss without validation."""
        if self.scheduler is None or self._name in _PER_STEP:
            return
        takes_loss = isinstance(self.scheduler, lr_scheduler.ReduceLROnPlateau)
        self.scheduler.step(*((loss,) if takes_loss else ()))

    def state(self) -> dict[str, Any]:
        """What it needs to resume, as JSON-ready values."""
        if self.scheduler is None:
            return {}
        kept = {name: value for name, value in self.scheduler.state_dict().items() if _is_plain(value)}
        groups = [
            {name: value for name, value in group.items() if _is_plain(value)}
            for group in self._optimizer.param_groups
        ]
        return {"scheduler": kept, "groups": groups}

    def load(self, state: Mapping[str, Any]) -> None:
        """Resume from a state."""
        if self.scheduler is not None and state:
            self.scheduler.load_state_dict({**self.scheduler.state_dict(), **state["scheduler"]})
            for group, values in zip(self._optimizer.param_groups, state["groups"], strict=True):
                group.update({k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))


def built_in_rate(name: str, rate: float, step: int, epochs: int, steps: int) -> float:
    """Learning rate of a step with the schedules "cosine" and "constant".

    Args:
        name: "cosine" raises the rate over the first epoch, or a fifth of the training, and lowers it to zero
            along a cosine (Loshchilov & Hutter 2017); "constant" keeps it.
        rate: maximum rate.
        step: number of the step, from 0.
        epochs: number of epochs.
        steps: steps of an epoch.
    """
    if name == CONSTANT:
        return rate
    total = epochs * steps
    warm_up = min(steps, total // 5)
    if step < warm_up:
        return rate * (step + 1) / warm_up
    done = (step - warm_up) / (total - warm_up)
    return rate * 0.5 * (1 + math.cos(math.pi * done))
