"""Losses: they find what they promise to find, and know their uncertainty if they say so."""

import numpy as np
import pytest
import torch

from algorithms.policies.losses import LOSSES, Classes, Gaussian, Huber, Loss, MeanSquare
from udacity_gym.errors import OptionError


def fitted(loss: Loss, labels: list[float], steps: int = 700) -> torch.Tensor:
    """Outputs (1, 1, width) that fit labels best which all belong to the same image."""
    targets = torch.tensor(labels)[:, None]
    out = torch.zeros(1, 1, loss.width, requires_grad=True)
    optimizer = torch.optim.Adam([out], lr=0.03)
    for _ in range(steps):
        optimizer.zero_grad()
        loss.loss(out.expand(len(targets), -1, -1), targets).mean().backward()
        optimizer.step()
    return out.detach()


@pytest.mark.parametrize("loss", [LOSSES.find(name)() for name in LOSSES.names()], ids=LOSSES.names())
def test_a_label_is_found(loss: Loss) -> None:
    for label in (-0.93, -0.2, 0.013, 0.6):
        assert float(loss.mean(fitted(loss, [label]))) == pytest.approx(label, abs=0.01)


def test_mean_square_finds_the_mean_and_huber_something_near_the_median() -> None:
    labels = [0.0, 0.0, 0.0, 1.0]
    assert float(MeanSquare().mean(fitted(MeanSquare(), labels))) == pytest.approx(0.25, abs=0.01)
    assert float(Huber(0.01).mean(fitted(Huber(0.01), labels))) == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize("loss", [Gaussian(), Classes()])
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


@pytest.mark.parametrize("name", ["mse", "huber"])
def test_losses_without_uncertainty_say_which_have_one(name: str) -> None:
    with pytest.raises(OptionError, match=rf"{name}.*gaussian, classes"):
        LOSSES.find(name)().std(torch.zeros(1, 1, 1))


@pytest.mark.parametrize("loss", [MeanSquare(), Huber(0.2), Gaussian(0.1), Classes(21, 0.5, "argmax")])
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
