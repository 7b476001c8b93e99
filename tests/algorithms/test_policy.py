"""Policies with memory, measurements and uncertainty."""

import json
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from simple_road import road_image
from torch import nn

from algorithms import NetworkPolicy, PilotNet, Preprocessing, load_policy
from algorithms.base import ObservationError
from algorithms.policies.losses import Classes, Gaussian
from algorithms.policies.networks import NETWORKS, make_network
from udacity_gym import registry
from udacity_gym.env import UdacityEnv
from udacity_gym.errors import CheckpointError, OptionError
from udacity_gym.wrappers import SpeedObservation

IMAGES = np.stack([road_image(offset) for offset in (-1.2, -0.5, 0.2, 0.9, 1.5)])


def make_policy(
    network: str = "PilotNet", past_frames: int = 0, inputs: tuple[str, ...] = ()
) -> NetworkPolicy:
    made = make_network(network, 2, seed=1, frames=past_frames + 1, measurements=len(inputs))
    return NetworkPolicy(made, Preprocessing(), inputs=inputs, past_frames=past_frames)


def drive(policy: NetworkPolicy, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Actions on images one after the other."""
    state, actions = None, []
    for image in images:
        action, state = policy.predict(image, state)
        actions.append(action)
    return np.array(actions)


@pytest.mark.parametrize("network", ["PilotNet", "PilotLSTM", "SmallResNet"])
def test_a_policy_with_history_sees_the_last_images_in_their_order(network: str) -> None:
    policy = make_policy(network, past_frames=2)
    last = drive(policy, IMAGES)[-1]
    prepared = policy.preprocessing.prepare_batch(IMAGES[-3:])[None]
    with torch.no_grad():
        wanted = policy.network(policy.preprocessing.normalize(torch.from_numpy(prepared)))[0]
    np.testing.assert_allclose(last, wanted.numpy().clip(-1, 1), atol=1e-6)
    assert np.abs(drive(policy, IMAGES[[0, 1, 3, 2, 4]])[-1] - last).max() > 1e-5


def test_an_episode_begins_with_its_first_image_for_all_before_it() -> None:
    policy = make_policy(past_frames=2)
    still = np.repeat(IMAGES[:1], 3, axis=0)
    np.testing.assert_allclose(
        drive(policy, still), np.repeat(drive(policy, still[:1]), 3, axis=0), atol=1e-6
    )
    np.testing.assert_allclose(policy.act(still[:1])[0], drive(policy, still[:1])[0], atol=1e-6)


def test_cars_side_by_side_remember_what_each_has_seen() -> None:
    policy = make_policy(past_frames=3)
    state, together = None, []
    for image, other in zip(IMAGES, IMAGES[::-1], strict=True):
        actions, state = policy.predict(np.stack([image, other]), state)
        together.append(actions)
    found = np.array(together)
    np.testing.assert_allclose(found[:, 0], drive(policy, IMAGES), atol=1e-6)
    np.testing.assert_allclose(found[:, 1], drive(policy, IMAGES[::-1]), atol=1e-6)


def test_where_an_episode_begins_the_past_of_that_car_is_forgotten() -> None:
    policy = make_policy(past_frames=2)
    _, state = policy.predict(IMAGES[:2])
    begins = np.array([True, False])
    actions, after = policy.predict(IMAGES[2:4], state, begins)
    np.testing.assert_allclose(actions[0], policy.predict(IMAGES[2])[0], atol=1e-6)
    kept, _ = policy.predict(IMAGES[2:4], state, np.array([False, False]))
    np.testing.assert_allclose(actions[1], kept[1], atol=1e-6)
    assert np.abs(actions[0] - kept[0]).max() > 1e-5
    assert after is not None
    assert after[0].shape == (2, 2, 66, 200, 3)


def test_the_state_of_other_cars_is_refused() -> None:
    policy = make_policy(past_frames=2)
    _, state = policy.predict(IMAGES[:2])
    with pytest.raises(ObservationError, match=r"3 images with past_frames=2.*state=None"):
        policy.predict(IMAGES[:3], state)


def test_predicting_does_not_change_the_state_it_was_given() -> None:
    policy = make_policy(past_frames=2)
    _, state = policy.predict(IMAGES[0])
    assert state is not None
    before = state[0].copy()
    policy.predict(IMAGES[1], state, np.array([True]))
    np.testing.assert_array_equal(state[0], before)


@pytest.mark.parametrize("network", ["PilotNet", "PilotLSTM", "SmallResNet"])
def test_a_policy_that_needs_the_speed_acts_on_it(network: str) -> None:
    policy = make_policy(network, inputs=("speed",))
    slow, fast = (
        policy.predict({"center": IMAGES[0], "speed": np.array([speed], np.float32)})[0]
        for speed in (0.0, 13.0)
    )
    assert np.abs(slow - fast).max() > 1e-4
    many = {"center": IMAGES[[0, 0]], "speed": np.array([[0.0], [13.0]], np.float32)}
    np.testing.assert_allclose(policy.predict(many)[0], [slow, fast], atol=1e-6)


@pytest.mark.parametrize(
    ("observation", "message"),
    [
        (IMAGES[0], "SpeedObservation"),
        ({"center": IMAGES[0]}, r"only \['center'\].*SpeedObservation"),
        ({"center": IMAGES[0], "speed": np.zeros(2)}, "one finite number"),
        ({"center": IMAGES[0], "speed": np.array([np.nan])}, "one finite number"),
        ({"center": IMAGES[:2], "speed": np.zeros((3, 1))}, "2 images, but 3"),
        ({"center": IMAGES[:2], "speed": np.zeros((2, 2))}, "for each image"),
    ],
)
def test_a_speed_that_is_missing_or_none_is_said_to_be(observation: Any, message: str) -> None:
    with pytest.raises(ObservationError, match=message):
        make_policy(inputs=("speed",)).predict(observation)


@pytest.mark.parametrize("loss", [Gaussian(), Classes()])
def test_the_mean_of_the_distribution_is_what_the_policy_does(loss: Any) -> None:
    network = make_network("PilotNet", 2 * loss.width)
    policy = NetworkPolicy(network, Preprocessing(), loss=loss)
    distribution, _ = policy.predict_distribution(IMAGES)
    assert distribution.mean.shape == distribution.std.shape == (5, 2)
    assert (distribution.std > 0).all()
    np.testing.assert_array_equal(distribution.mean, policy.predict(IMAGES)[0])
    alone, _ = policy.predict_distribution(IMAGES[0])
    np.testing.assert_allclose(alone.std, distribution.std[0], atol=1e-6)


def test_a_policy_without_uncertainty_says_how_to_get_one() -> None:
    with pytest.raises(OptionError, match="gaussian"):
        make_policy().predict_distribution(IMAGES[0])


@pytest.mark.parametrize("options", [{"inputs": ("cte",)}, {"inputs": ["speed"]}, {"past_frames": -1}])
def test_inputs_that_there_are_not_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(options))):
        NetworkPolicy(PilotNet(2), Preprocessing(), **options)


@pytest.mark.parametrize("network", sorted(NETWORKS.objects))
def test_everything_comes_back_from_a_checkpoint(network: str, tmp_path: Path) -> None:
    made = make_network(network, 4, seed=3, frames=3, measurements=1)
    policy = NetworkPolicy(made, Preprocessing(), loss=Gaussian(0.1), inputs=("speed",), past_frames=2)
    loaded = load_policy(policy.save(tmp_path / "policy"))
    assert isinstance(loaded, NetworkPolicy)
    assert (loaded.inputs, loaded.past_frames, loaded.objective) == (("speed",), 2, Gaussian(0.1))
    observation = {"center": IMAGES[0], "speed": np.array([5.0], np.float32)}
    np.testing.assert_array_equal(loaded.predict(observation)[0], policy.predict(observation)[0])
    assert "past_frames=2" in repr(loaded)


def test_checkpoints_of_the_first_version_are_read(tmp_path: Path) -> None:
    policy = make_policy()
    path = policy.save(tmp_path / "policy") / "policy.json"
    description = json.loads(path.read_text())
    for name in ("loss", "inputs", "past_frames"):
        del description[name]
    path.write_text(json.dumps({**description, "version": 1}))
    loaded = load_policy(tmp_path / "policy")
    np.testing.assert_array_equal(loaded.predict(IMAGES[0])[0], policy.predict(IMAGES[0])[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": {"name": "l1"}}, "loss='l1'"),
        ({"loss": {"name": "classes"}}, "another network"),
        ({"inputs": {"cte": {}}}, "inputs="),
        ({"inputs": {"speed": {}}}, "another network"),
        ({"past_frames": 3}, "another network"),
        ({"past_frames": 10**6}, "past_frames=1000000"),
        ({"past_frames": "long"}, "past_frames='long'"),
    ],
)
def test_checkpoints_whose_parts_do_not_fit_are_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = make_policy().save(tmp_path / "policy") / "policy.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(CheckpointError, match=message):
        load_policy(tmp_path / "policy")


class Tiny(nn.Module):
    """A network of somebody else, who needs to know no more than the number of outputs."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.only = nn.Linear(3, outputs)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.only(images.mean(dim=(2, 3)))
        return out


def test_networks_of_other_packages_are_found_and_their_checkpoints_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    point = EntryPoint("Tiny", f"{__name__}:Tiny", NETWORKS.group or "")
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == NETWORKS.group else [])
    small = Preprocessing(size=(20, 50))  # it takes images of any size
    policy = NetworkPolicy(make_network("Tiny", 2), small)
    loaded = load_policy(policy.save(tmp_path / "policy"))
    np.testing.assert_array_equal(loaded.predict(IMAGES[0])[0], policy.predict(IMAGES[0])[0])
    with pytest.raises(OptionError, match="'Tiny' can't take frames or measurements"):
        make_network("Tiny", 2, frames=3, measurements=1)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="no network 'Tiny'"):
        load_policy(tmp_path / "policy")


@pytest.mark.parametrize("name", sorted(NETWORKS.objects))
def test_networks_repeat_themselves_and_work_on_parts_of_a_batch_alike(name: str) -> None:
    network = make_network(name, 3, seed=4, frames=2, measurements=1)
    images, speeds = torch.rand(4, 6, 66, 200), torch.rand(4, 1)
    with torch.no_grad():
        whole = network(images, speeds)
        parts = torch.cat([network(images[:1], speeds[:1]), network(images[1:], speeds[1:])])
        again = make_network(name, 3, seed=4, frames=2, measurements=1)(images, speeds)
    torch.testing.assert_close(whole, parts)
    assert torch.equal(whole, again)
    assert whole.shape == (4, 3)


def test_tools_of_stable_baselines3_drive_several_cars_with_a_policy_that_remembers() -> None:
    evaluation = pytest.importorskip("stable_baselines3.common.evaluation")
    vec_env = pytest.importorskip("stable_baselines3.common.vec_env")
    policy, seen = make_policy(past_frames=2, inputs=("speed",)), []
    predict = policy.predict

    def listening(*arguments: Any, **options: Any) -> Any:
        seen.append((options["state"], options["episode_start"]))
        return predict(*arguments, **options)

    policy.predict = listening  # type: ignore[method-assign]
    cars = vec_env.DummyVecEnv([lambda: SpeedObservation(UdacityEnv(max_seconds=0.4))] * 2)
    lengths = evaluation.evaluate_policy(policy, cars, 4, return_episode_rewards=True, warn=False)[1]
    cars.close()
    assert lengths == [6] * 4
    assert seen[0][0] is None
    assert seen[7][0][0].shape == (2, 2, 66, 200, 3)
    assert seen[6][1].all()  # the second episodes
