"""Losses: they find what they promise to find, and know their uncertainty if they say so."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from algorithms.policies.losses import (
    LOSSES,
    Classes,
    FunctionLoss,
    Gaussian,
    GaussianMixture,
    Huber,
    Loss,
    MeanAbsolute,
    MeanSquare,
    make_loss,
)
from udacity_gym.errors import OptionError


def fitted(loss: Loss, labels: list[float], steps: int = 700) -> torch.Tensor:
    """Outputs for one action that fit labels best which all belong to the same image."""
    targets = torch.tensor(labels)[:, None]
    out = 0.1 * torch.randn(1, loss.outputs(1), generator=torch.Generator().manual_seed(0))
    out.requires_grad_()
    optimizer = torch.optim.Adam([out], lr=0.03)
    for _ in range(steps):
        optimizer.zero_grad()
        loss.loss(loss.split(out.expand(len(targets), -1)), targets).mean().backward()
        optimizer.step()
    return loss.split(out.detach())


@pytest.mark.parametrize("loss", [LOSSES.find(name)() for name in LOSSES.names()], ids=LOSSES.names())
def test_a_label_is_found(loss: Loss) -> None:
    for label in (-0.93, -0.2, 0.013, 0.6):
        assert float(loss.mean(fitted(loss, [label]))) == pytest.approx(label, abs=0.01)


def test_mean_square_finds_the_mean_and_huber_something_near_the_median() -> None:
    labels = [0.0, 0.0, 0.0, 1.0]
    assert float(MeanSquare().mean(fitted(MeanSquare(), labels))) == pytest.approx(0.25, abs=0.01)
    assert float(Huber(0.01).mean(fitted(Huber(0.01), labels))) == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize("loss", [Gaussian(), Classes(), GaussianMixture(1)])
def test_scatter_is_found_where_labels_scatter(loss: Loss) -> None:
    labels = np.random.default_rng(0).normal(0.1, 0.2, 400).clip(-1, 1).tolist()
    out = fitted(loss, labels)
    assert float(loss.mean(out)) == pytest.approx(0.1, abs=0.03)
    assert float(loss.std(out)) == pytest.approx(0.2, abs=0.03)
    sure = fitted(loss, [0.1] * 4)
    assert float(loss.std(sure)) < 0.4 * float(loss.std(out))


def test_classes_can_take_one_of_two_ways_where_the_mean_lies_between() -> None:
    labels = [-0.5, -0.5, 0.5, 0.5, 0.5]
    out = fitted(Classes(), labels)
    assert float(Classes().mean(out)) == pytest.approx(0.1, abs=0.03)
    assert float(Classes(decoding="argmax").mean(out)) == pytest.approx(0.5, abs=0.03)


def test_a_mixture_takes_the_way_that_most_took_and_knows_both() -> None:
    labels = [-0.5, -0.5, 0.5, 0.5, 0.5]
    out = fitted(GaussianMixture(), labels)
    assert float(GaussianMixture().mean(out)) == pytest.approx(0.5, abs=0.03)
    assert float(GaussianMixture().std(out)) == pytest.approx(np.std(labels), abs=0.05)


def test_the_actions_of_a_moment_share_the_components_of_a_mixture() -> None:
    loss, targets = GaussianMixture(2), torch.tensor([[-0.5, 0.5], [0.5, -0.5]])
    out = torch.randn(1, loss.outputs(2), generator=torch.Generator().manual_seed(1)).requires_grad_()
    optimizer = torch.optim.Adam([out], lr=0.03)
    for _ in range(500):
        optimizer.zero_grad()
        loss.loss(loss.split(out.expand(2, -1)), targets).mean().backward()
        optimizer.step()
    steering, throttle = loss.mean(loss.split(out.detach()))[0].tolist()
    assert abs(steering) == pytest.approx(0.5, abs=0.03)
    assert throttle == pytest.approx(
        -steering, abs=0.05
    )  # never the steering of one way with the other's throttle


def test_the_density_of_a_mixture_is_that_of_torch() -> None:
    loss, generator = GaussianMixture(3), torch.Generator().manual_seed(2)
    out = loss.split(torch.randn(7, loss.outputs(2), generator=generator))
    targets = torch.rand(7, 2, generator=generator) * 2 - 1
    log_weights, means, stds = loss._parts(out)
    mixture = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=log_weights),
        torch.distributions.Independent(torch.distributions.Normal(means, stds), 1),
    )
    constant = math.log(2 * math.pi)  # half of it for each of two actions
    torch.testing.assert_close(loss.loss(out, targets)[:, 0] + constant, -mixture.log_prob(targets))
    torch.testing.assert_close(loss.std(out), mixture.stddev)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("mae", MeanAbsolute()),
        (Gaussian, Gaussian()),
        (Classes(21), Classes(21)),
        (functional.l1_loss, FunctionLoss("l1_loss", functional.l1_loss)),
    ],
)
def test_a_loss_is_given_by_name_class_object_or_function(setting: Any, expected: Loss) -> None:
    assert make_loss(setting) == expected


@pytest.mark.parametrize("function", [functional.l1_loss, nn.L1Loss, nn.L1Loss(reduction="none")])
def test_a_function_is_a_loss_of_each_action(function: Any) -> None:
    out, targets = torch.tensor([[[0.2], [0.0]], [[0.4], [0.5]]]), torch.zeros(2, 2)
    errors = make_loss(function).loss(out, targets)
    torch.testing.assert_close(errors.mean(dim=0), torch.tensor([0.3, 0.25]))


def test_a_loaded_function_drives_but_does_not_train() -> None:
    loaded = Loss.from_json(make_loss(functional.l1_loss).to_json())
    assert loaded.mean(torch.ones(1, 2, 1)).tolist() == [[1.0, 1.0]]
    with pytest.raises(OptionError, match="give loss=l1_loss"):
        loaded.loss(torch.zeros(1, 1, 1), torch.zeros(1, 1))


def test_what_is_no_loss_is_refused() -> None:
    with pytest.raises(OptionError, match="a function of predictions and labels"):
        make_loss(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["mse", "huber"])
def test_losses_without_uncertainty_say_which_have_one(name: str) -> None:
    with pytest.raises(OptionError, match=rf"{name}.*gaussian, classes"):
        LOSSES.find(name)().std(torch.zeros(1, 1, 1))


@pytest.mark.parametrize(
    "loss", [MeanSquare(), Huber(0.2), Gaussian(0.1), Classes(21, 0.5, "argmax"), GaussianMixture(3)]
)
def test_losses_come_back_from_json(loss: Loss) -> None:
    assert Loss.from_json(loss.to_json()) == loss


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"name": "l1"}, "loss='l1' is unknown"),
        ({}, "loss=None is unknown"),
        ({"name": "huber", "bins": 3}, "huber"),
        ({"name": "huber", "delta": -1}, "delta=-1"),
        ({"name": "classes", "bins": 10**9}, "bins=1000000000"),
        ({"name": "classes", "decoding": "best"}, "decoding='best'"),
        ({"name": "gaussian", "least_std": 0}, "least_std=0"),
    ],
)
def test_broken_losses_are_refused(data: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Loss.from_json(data)
