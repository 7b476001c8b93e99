"""Optimizers and schedules by name, weight decay, and clipped gradients."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from algorithms import Frames, NetworkPolicy, Training, TrainingConfig
from algorithms.training.optimizers import OPTIMIZERS, SCHEDULES, Schedule, built_in_rate, make_optimizer
from algorithms.training.trainer import Epoch
from udacity_gym.errors import OptionError
from udacity_gym.recording import open_recording

QUICK: dict[str, Any] = {"epochs": 3, "steps_per_epoch": 2, "batch_size": 8, "threads": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def frames(road_recording: Path) -> Frames:
    return Frames.of([open_recording(road_recording)])


class Mean(nn.Module):
    """Quick to train."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.head = nn.Linear(3, outputs)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(images.mean(dim=(2, 3)))
        return out


def weights_of(policy: NetworkPolicy) -> np.ndarray[Any, Any]:
    return np.concatenate([value.numpy().ravel() for value in policy.network.state_dict().values()])


OPTIONS: dict[str, dict[str, Any]] = {"Muon": {"reason": "only for matrices, and this network has biases"}}


@pytest.mark.parametrize("name", sorted(OPTIMIZERS.objects))
def test_every_optimizer_of_torch_trains_and_resumes(name: str, frames: Frames, tmp_path: Path) -> None:
    def interrupt(_: Epoch) -> None:
        raise KeyboardInterrupt

    config = TrainingConfig(**QUICK, network=Mean, optimizer=name)
    if name in OPTIONS:
        with pytest.raises(OptionError, match=f"optimizer='{name}'"):
            Training(config, frames)
        return
    whole = Training(config, frames).run()
    with pytest.raises(KeyboardInterrupt):
        Training(config, frames, folder=tmp_path).run(after_epoch=interrupt)
    resumed = Training(config, frames, folder=tmp_path).run()
    np.testing.assert_array_equal(weights_of(resumed), weights_of(whole))
    assert resumed.training["settings"]["optimizer"] == name


SCHEDULE_OPTIONS: dict[str, dict[str, Any]] = {
    "StepLR": {"step_size": 1},
    "MultiStepLR": {"milestones": [1, 2]},
    "ExponentialLR": {"gamma": 0.9},
    "CosineAnnealingWarmRestarts": {"T_0": 2},
    "LambdaLR": {"lr_lambda": lambda epoch: 0.5**epoch},
    "MultiplicativeLR": {"lr_lambda": lambda epoch: 0.5},
    "ReduceLROnPlateau": {"patience": 0},
    "CyclicLR": {"cycle_momentum": False, "step_size_up": 2},
}
OF_SCHEDULES = {"SequentialLR", "ChainedScheduler"}
"""Schedules that are made of others, which no name says."""


@pytest.mark.parametrize("name", sorted(SCHEDULES.objects.keys() - OF_SCHEDULES))
def test_every_schedule_of_torch_trains_and_resumes(
    name: str, frames: Frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: Epoch) -> None:
        raise KeyboardInterrupt

    options = SCHEDULE_OPTIONS.get(name, {})
    config = TrainingConfig(**QUICK, network=Mean, schedule=name, schedule_options=options)
    whole = Training(config, frames).run()
    with pytest.raises(KeyboardInterrupt):
        Training(config, frames, folder=tmp_path).run(after_epoch=interrupt)
    resumed = Training(config, frames, folder=tmp_path).run()
    np.testing.assert_allclose(weights_of(resumed), weights_of(whole), rtol=1e-6)


def rates(name: str, epochs: int = 3, steps: int = 2, **options: Any) -> list[float]:
    """Learning rates of all steps, with losses that never get better."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule = Schedule(name, optimizer, 0.1, epochs, steps, options)
    found = []
    for epoch in range(epochs):
        for step in range(steps):
            schedule.before_step(epoch * steps + step)
            found.append(float(optimizer.param_groups[0]["lr"]))
            optimizer.step()
            schedule.after_step()
        schedule.after_epoch(1.0)
    return found


def test_schedules_step_as_torch_documents() -> None:
    assert rates("StepLR", step_size=1, gamma=0.5) == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.025, 0.025])
    assert rates("ReduceLROnPlateau", patience=0, factor=0.1) == pytest.approx([0.1] * 4 + [0.01] * 2)
    one_cycle = rates("OneCycleLR", epochs=4, steps=5)  # within the epochs, up and down again
    assert max(one_cycle) == pytest.approx(0.1, rel=0.01)
    assert one_cycle[0] < 0.01
    assert one_cycle[-1] < 0.001
    cosine = rates("CosineAnnealingLR", epochs=4, steps=1)
    assert cosine == pytest.approx([0.1 * 0.5 * (1 + np.cos(np.pi * i / 4)) for i in range(4)])
    assert rates("cosine") == [built_in_rate("cosine", 0.1, i, 3, 2) for i in range(6)]
    assert rates("constant") == [0.1] * 6


def test_weight_decay_makes_weights_smaller(frames: Frames) -> None:
    sizes = []
    for decay in (None, 10.0):
        config = TrainingConfig(
            **QUICK, network=Mean, optimizer="AdamW", weight_decay=decay, learning_rate=0.05
        )
        sizes.append(float(np.abs(weights_of(Training(config, frames).run())).sum()))
    assert sizes[1] < 0.7 * sizes[0]


def test_gradients_are_clipped(frames: Frames) -> None:
    changes = []
    for norm in (None, 1e-3):
        config = TrainingConfig(
            **{**QUICK, "epochs": 1, "steps_per_epoch": 1}, network=Mean, optimizer="SGD", max_grad_norm=norm,
            learning_rate=1.0, schedule="constant",
        )  # fmt: skip
        training = Training(config, frames)
        before = weights_of(training.policy).copy()
        changes.append(float(np.linalg.norm(weights_of(training.run()) - before)))
    assert changes[1] == pytest.approx(1e-3, rel=1e-3)
    assert changes[0] > 10 * changes[1]


def test_options_reach_the_optimizer_and_functions_make_their_own(frames: Frames) -> None:
    config = TrainingConfig(
        network=Mean, optimizer="SGD", optimizer_options={"momentum": 0.9, "nesterov": True}
    )
    group = Training(config, frames)._optimizer.param_groups[0]
    assert (group["momentum"], group["nesterov"]) == (0.9, True)

    def two_groups(parameters: Any, lr: float) -> torch.optim.Optimizer:
        weight, bias = parameters
        return torch.optim.SGD([{"params": [weight]}, {"params": [bias], "weight_decay": 0.1}], lr=lr)

    training = Training(TrainingConfig(network=Mean, optimizer=two_groups), frames)
    assert [group["weight_decay"] for group in training._optimizer.param_groups] == [0, 0.1]
    assert training.config.to_json()["optimizer"] == "two_groups"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": "Adamm"}, "^optimizer="),
        ({"optimizer": "LBFGS"}, "^optimizer="),
        ({"optimizer": 3}, "^optimizer="),
        ({"optimizer_options": ["betas"]}, "^optimizer_options="),
        ({"schedule": "StepLRR"}, "^schedule="),
        ({"schedule_options": {3: 4}}, "^schedule_options="),
        ({"max_grad_norm": 0.0}, "^max_grad_norm="),
        ({"weight_decay": -1.0}, "^weight_decay="),
    ],
)
def test_settings_that_there_are_not_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        TrainingConfig(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer_options": {"beta": 1}}, r"optimizer='Adam' with \{'beta': 1\}.*beta"),
        ({"optimizer": "Rprop", "weight_decay": 0.1}, r"optimizer='Rprop'.*weight_decay"),
        ({"optimizer": lambda parameters, lr: 3}, "no torch.optim.Optimizer"),
        ({"schedule": "StepLR"}, "schedule='StepLR'.*step_size"),
        ({"schedule_options": {"step_size": 3}}, "of torch's schedules, not of 'cosine'"),
    ],
)
def test_arguments_that_are_missing_or_unknown_are_named(
    change: dict[str, Any], message: str, frames: Frames
) -> None:
    with pytest.raises(OptionError, match=message):
        Training(TrainingConfig(network=Mean, **change), frames)


def test_weight_decay_is_the_optimizers_own_if_none_is_given() -> None:
    parameters = [nn.Parameter(torch.zeros(1))]
    assert make_optimizer("AdamW", parameters, 0.1, None, {}).defaults["weight_decay"] == 0.01
    assert make_optimizer("AdamW", parameters, 0.1, 0.0, {}).defaults["weight_decay"] == 0.0
