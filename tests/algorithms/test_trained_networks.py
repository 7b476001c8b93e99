"""Networks of all kinds train: with dropout, batch normalisation, random numbers, frozen or unused
weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from simple_road import road_image
from torch import Tensor, nn
from torch.nn import functional

from algorithms import (
    Backbone,
    BehavioralCloning,
    Frames,
    NetworkPolicy,
    Training,
    TrainingConfig,
    load_policy,
)
from algorithms.policies.batch import Batch
from algorithms.policies.networks import NETWORKS
from algorithms.training.trainer import Epoch
from udacity_gym.errors import CheckpointError, OptionError
from udacity_gym.recording import open_recording

QUICK: dict[str, Any] = {"epochs": 2, "steps_per_epoch": 3, "batch_size": 8, "threads": 2}


@pytest.fixture(scope="module")
def frames(road_recording: Path) -> Frames:
    return Frames.of([open_recording(road_recording)])


class Small(nn.Module):
    """Two layers, with one more of each test's choice."""

    def __init__(self, outputs: int = 2, layer: nn.Module | None = None) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 5, stride=5), layer or nn.Identity(), nn.ReLU())
        self.head = nn.Linear(8, outputs)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.head(self.features(images).mean(dim=(2, 3)))
        return out


class Dropout(Small):
    def __init__(self, outputs: int) -> None:
        super().__init__(outputs, nn.Dropout(0.5))


class FunctionalDropout(Small):
    """Nothing but its behaviour shows that it draws random numbers."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(functional.dropout(images, 0.2, self.training))


class BatchNorm(Small):
    def __init__(self, outputs: int) -> None:
        super().__init__(outputs, nn.BatchNorm2d(8))


class BatchStatistics(Small):
    """Mixes the samples of a batch, without any state."""

    def __init__(self, outputs: int) -> None:
        super().__init__(outputs, nn.BatchNorm2d(8, track_running_stats=False))


class Counter(Small):
    """Changes itself whenever it is called."""

    def __init__(self, outputs: int) -> None:
        super().__init__(outputs)
        self.register_buffer("calls", torch.zeros(1))

    calls: Tensor

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(images)


class Frozen(Small):
    def __init__(self, outputs: int) -> None:
        super().__init__(outputs)
        self.features.requires_grad_(False)


class Unused(Small):
    def __init__(self, outputs: int) -> None:
        super().__init__(outputs)
        self.spare = nn.Linear(3, 3)


WHOLE = [Dropout, FunctionalDropout, BatchNorm, BatchStatistics, Counter]
"""Networks whose batches can't be computed in parts."""
IN_PARTS = [Small, Frozen, Unused]


def weights_of(policy: NetworkPolicy) -> dict[str, NDArray[Any]]:
    return {name: value.numpy().copy() for name, value in policy.network.state_dict().items()}


def assert_same(first: NetworkPolicy, second: NetworkPolicy) -> None:
    a, b = weights_of(first), weights_of(second)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.mark.parametrize("network", [*WHOLE, *IN_PARTS])
def test_a_network_trains_and_repeats_itself(network: type[Small], frames: Frames) -> None:
    config = TrainingConfig(**QUICK, network=network)
    first, again = (Training(config, frames) for _ in range(2))
    before = {name: value.clone() for name, value in first.network.state_dict().items()}
    assert_same(first.run(), again.run())
    assert np.isfinite([epoch.train_loss for epoch in first.epoch_log]).all()
    changed = {name for name, value in first.network.state_dict().items() if not value.equal(before[name])}
    assert "head.weight" in changed
    assert ("features.0.weight" in changed) == (network is not Frozen)
    assert "spare.weight" not in changed


@pytest.mark.parametrize("network", [*WHOLE, *IN_PARTS])
def test_only_what_can_be_divided_is_computed_in_parts(network: type[Small], frames: Frames) -> None:
    training = Training(TrainingConfig(**QUICK, network=network), frames)
    before = {name: value.clone() for name, value in training.network.state_dict().items()}
    torch.manual_seed(3)
    state = torch.get_rng_state()
    assert training._count_parts() == (1 if network in WHOLE else 2)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(value.equal(before[name]) for name, value in training.network.state_dict().items())


@pytest.mark.parametrize("network", [Dropout, BatchNorm])
def test_a_network_with_randomness_or_statistics_resumes_to_the_same_weights(
    network: type[Small], frames: Frames, tmp_path: Path
) -> None:
    def interrupt(epoch: Epoch) -> None:
        raise KeyboardInterrupt

    config = TrainingConfig(**QUICK, network=network)
    train, validation = frames.split(0.2, 0.5)
    whole = Training(config, train, validation).run()
    with pytest.raises(KeyboardInterrupt):
        Training(config, train, validation, folder=tmp_path).run(after_epoch=interrupt)
    assert_same(Training(config, train, validation, folder=tmp_path).run(), whole)


def test_dropout_is_off_while_driving(frames: Frames) -> None:
    policy = Training(TrainingConfig(**QUICK, network=Dropout), frames).run()
    np.testing.assert_array_equal(policy.predict(road_image(0.3))[0], policy.predict(road_image(0.3))[0])


def test_a_network_that_is_frozen_as_a_whole_has_nothing_to_train(frames: Frames) -> None:
    def frozen(outputs: int) -> nn.Module:
        return Small(outputs).requires_grad_(False)

    with pytest.raises(OptionError, match="network=frozen has nothing to train"):
        Training(TrainingConfig(network=frozen), frames)


def test_networks_and_losses_of_ones_own_come_back_with_the_class_given_only(
    frames: Frames, tmp_path: Path
) -> None:
    config = TrainingConfig(**QUICK, network=BatchNorm, loss=functional.smooth_l1_loss)
    policy = Training(config, frames, folder=tmp_path).run()
    assert policy.training["settings"]["network"] == "BatchNorm"
    with pytest.raises(CheckpointError, match=r"load_policy\(\.\.\., network=BatchNorm\)"):
        load_policy(tmp_path)
    with pytest.raises(CheckpointError, match="the network is 'BatchNorm', not the given 'Dropout'"):
        load_policy(tmp_path, network=Dropout)
    loaded = load_policy(tmp_path, network=BatchNorm)
    np.testing.assert_array_equal(loaded.predict(road_image(0.1))[0], policy.predict(road_image(0.1))[0])
    assert BatchNorm.__name__ not in NETWORKS
    assert_same(Training(config, frames, folder=tmp_path).run(), policy)  # finished


def test_what_makes_no_network_is_refused(frames: Frames) -> None:
    with pytest.raises(OptionError, match=r"no torch\.nn\.Module"):
        Training(TrainingConfig(network=lambda outputs: outputs), frames)
    with pytest.raises(OptionError, match="can't take measurements"):
        Training(TrainingConfig(network=Small, inputs=("speed",)), frames)


class Cautious(NetworkPolicy):
    """A policy whose loss also keeps the actions small, and says how large they are."""

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        loss, metrics = super().loss(batch)
        size = self.run_network(batch.images, batch.measurements).square().mean()
        return loss + 10.0 * size, {**metrics, "size": size.detach()}


def test_a_policy_owns_its_loss_and_its_metrics_are_tracked(frames: Frames, tmp_path: Path) -> None:
    train, validation = frames.split(0.2, 0.5)
    sizes = {}
    for policy_class in (NetworkPolicy, Cautious):
        config = TrainingConfig(
            epochs=3, batch_size=16, threads=1, network=Small, policy=policy_class, learning_rate=0.01
        )
        folder = tmp_path / policy_class.__name__
        training = Training(config, train, validation, folder=folder)
        policy = training.run()
        assert isinstance(policy, policy_class)
        images = np.stack([road_image(offset) for offset in (-1.0, 0.0, 1.0)])
        sizes[policy_class] = float(np.abs(policy.predict(images)[0]).mean())
        assert training.epoch_log[-1].steering_mae is not None
    assert sizes[Cautious] < 0.5 * sizes[NetworkPolicy]
    assert training.epoch_log[-1].metrics.keys() == {"train/size", "validation/size"}
    assert training.epoch_log[-1].metrics["train/size"] < training.epoch_log[0].metrics["train/size"]
    with pytest.raises(CheckpointError, match=r"load_policy\(\.\.\., policy=Cautious\)"):
        load_policy(folder, network=Small)
    assert isinstance(load_policy(folder, network=Small, policy=Cautious), Cautious)
    with pytest.raises(CheckpointError, match="the policy is a Cautious"):
        load_policy(folder, network=Small, policy=NetworkPolicy)


class Encoder(nn.Module):
    """A small encoder with batch normalisation, in place of a pretrained one."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 7, stride=6), nn.BatchNorm2d(8), nn.ReLU())

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.layers(images)
        return out


@pytest.mark.parametrize("frozen", [True, False])
def test_a_pretrained_backbone_is_any_module_with_weights_from_a_file(
    road_recording: Path, tmp_path: Path, frozen: bool
) -> None:
    torch.manual_seed(7)
    pretrained = Encoder()
    pretrained.layers[1].running_mean.fill_(0.3)  # type: ignore[union-attr, operator]
    torch.save(pretrained.state_dict(), tmp_path / "encoder.pt")

    def with_encoder(outputs: int, measurements: int = 0) -> Backbone:
        encoder = Encoder()
        encoder.load_state_dict(torch.load(tmp_path / "encoder.pt", weights_only=True))
        return Backbone(encoder, outputs, frozen=frozen, measurements=measurements, mean=(0.4,) * 3)

    learner = BehavioralCloning(
        road_recording,
        **QUICK,
        network=with_encoder,
        inputs=("speed",),
        progress=False,
        folder=tmp_path / "out",
    )
    policy = learner.learn()
    weights = policy.network.state_dict()
    for name, value in pretrained.state_dict().items():
        assert weights[f"backbone.{name}"].equal(value) == frozen
    loaded = load_policy(tmp_path / "out", network=with_encoder)
    observation = {"center": road_image(0.2), "speed": np.array([9.0], np.float32)}
    np.testing.assert_array_equal(loaded.predict(observation)[0], policy.predict(observation)[0])


def test_a_backbone_gets_images_in_its_own_normalisation() -> None:
    seen = []

    class Listening(nn.Identity):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(images)
            return images.flatten(1)

    network = Backbone(
        Listening(), 2, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), input_size=(4, 6)
    )
    network(torch.full((1, 3, 4, 6), 2 * 0.456 - 1))  # green is at its mean
    expected = [(0.456 - 0.485) / 0.229, 0.0, (0.456 - 0.406) / 0.225]
    torch.testing.assert_close(seen[-1].mean(dim=(0, 2, 3)), torch.tensor(expected), atol=1e-5, rtol=1e-5)


def test_a_backbone_that_gives_no_features_is_refused() -> None:
    class Dict(nn.Module):
        def forward(self, images: Tensor) -> dict[str, Tensor]:
            return {"features": images}

    with pytest.raises(OptionError, match="Dict gives dict, not a tensor of features"):
        Backbone(Dict(), 2)
