"""PilotNet as published, and the policy that drives with it."""

import numpy as np
import pytest
import torch
from simple_road import road_image
from torch import nn

from algorithms import NetworkPolicy, PilotNet, Preprocessing
from algorithms.policies.networks import make_network
from udacity_gym.errors import OptionError


def test_pilotnet_has_the_shapes_of_the_paper() -> None:
    shapes: list[tuple[int, ...]] = []
    network = PilotNet()
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.register_forward_hook(lambda _layer, _inputs, out: shapes.append(tuple(out.shape[1:])))
    network(torch.zeros(1, 3, 66, 200))
    convolutions = [(24, 31, 98), (36, 14, 47), (48, 5, 22), (64, 3, 20), (64, 1, 18)]
    assert shapes == [*convolutions, (100,), (50,), (10,), (1,)]


def test_pilotnet_has_about_250_thousand_weights() -> None:
    assert sum(p.numel() for p in PilotNet().parameters()) == pytest.approx(250_000, rel=0.02)


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(OptionError, match=r"AlexNet.*PilotNet"):
        make_network("AlexNet", 1)


def test_a_policy_prepares_images_as_training_does() -> None:
    preprocessing, network = Preprocessing(), PilotNet(2).eval()
    policy = NetworkPolicy(network, preprocessing)
    image = road_image(0.5)
    with torch.no_grad():
        wanted = network(preprocessing.normalize(torch.from_numpy(preprocessing(image)[None])))
    np.testing.assert_allclose(policy.predict(image)[0], wanted[0].clamp(-1, 1).numpy(), atol=1e-6)


def test_predicting_alone_or_in_a_batch_gives_the_same_actions() -> None:
    policy = NetworkPolicy(PilotNet(2), Preprocessing())
    images = np.stack([road_image(offset) for offset in (-1.0, 0.0, 1.0)])
    together = policy.predict(images)[0]
    alone = np.stack([policy.predict(image)[0] for image in images])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_a_steering_only_policy_has_one_action() -> None:
    policy = NetworkPolicy(PilotNet(1), Preprocessing(), ("steering",), target_speed=10.0)
    assert policy.predict(road_image(0.0))[0].shape == (1,)
    assert "10.0 m/s" in repr(policy)


@pytest.mark.parametrize(
    ("actions", "target_speed"),
    [
        (("throttle", "steering"), None),
        (("steering", "steering"), None),
        ((), None),
        (("steering",), None),
        (("steering",), 0.0),
        (("steering",), float("nan")),
        (("steering", "throttle"), 9.0),
    ],
)
def test_a_policy_that_could_not_be_driven_is_refused(
    actions: tuple[str, ...], target_speed: float | None
) -> None:
    with pytest.raises(OptionError, match=r"actions|target_speed"):
        NetworkPolicy(PilotNet(2), Preprocessing(), actions, target_speed)


@pytest.mark.parametrize("count", [1, 9])
def test_predicting_leaves_the_callers_threads_alone(count: int) -> None:
    threads = torch.get_num_threads()
    NetworkPolicy(PilotNet(2), Preprocessing()).predict(np.zeros((count, 160, 320, 3), np.uint8))
    assert torch.get_num_threads() == threads
