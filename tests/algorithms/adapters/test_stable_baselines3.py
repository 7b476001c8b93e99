"""Stable-Baselines3 goes on where cloning ended."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, PPO, SAC, TD3
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import nn

import udacity_gym
from algorithms import NetworkPolicy, Preprocessing, load_policy
from algorithms.adapters.stable_baselines3 import (
    CriticFirst,
    NetworkFeatures,
    PreparedImages,
    StateVectorExpert,
    policy_of,
    start_from,
)
from algorithms.policies.ensemble import Ensemble
from algorithms.policies.losses import Classes, Gaussian
from algorithms.policies.networks import make_network
from udacity_gym.errors import OptionError, SimulatorError
from udacity_gym.evaluation import evaluate
from udacity_gym.wrappers import fit_to

TINY: dict[type[Any], dict[str, Any]] = {
    PPO: {"n_steps": 16, "batch_size": 8, "n_epochs": 2},
    A2C: {"n_steps": 8},
    SAC: {"buffer_size": 64, "learning_starts": 8, "batch_size": 8},
}


def make_env(**settings: Any) -> gym.Env[Any, Any]:
    return gym.make("UdacitySim-v0", max_seconds=2.0, disable_env_checker=True, **settings)


def make_policy(actions: int = 2, **settings: Any) -> NetworkPolicy:
    """A policy whose answers differ from image to image, most of them within [-1, 1]."""
    network = make_network("PilotNet", actions, seed=3)
    with torch.no_grad():
        for weights in network.parameters():
            weights.mul_(1.8 if weights.ndim > 1 else 1.0)
    if actions == 1:
        settings = {"actions": ("steering",), "target_speed": 9.0}
    return NetworkPolicy(network, Preprocessing(), **settings)


@pytest.fixture(scope="module")
def images() -> Any:
    """What is seen on the way, and a few images that no camera takes."""
    env = make_env()
    observation, _ = env.reset(seed=0, options={"s": 100.0, "speed": 8.0})
    taken = [observation]
    taken += [env.step(np.array([steering, 0.5], np.float32))[0] for steering in np.linspace(-0.5, 0.5, 12)]
    noise = np.random.default_rng(0).integers(0, 256, (4, 160, 320, 3), np.uint8)
    return np.concatenate([np.stack(taken), noise])


def seen(model: Any, policy: NetworkPolicy, images: Any) -> Any:
    """What a model sees of images: the features, or the prepared image if it learns features too."""
    prepared = policy.preprocessing.prepare_batch(images)
    if len(model.observation_space.shape) == 3:
        return np.moveaxis(prepared, 3, 1)
    with torch.inference_mode():
        normalized = policy.preprocessing.normalize(torch.from_numpy(prepared))
        return policy.network.features(normalized).numpy()  # type: ignore[union-attr, operator]


@pytest.mark.parametrize("actions", [1, 2])
@pytest.mark.parametrize("train_features", [False, True])
@pytest.mark.parametrize("algorithm", TINY)
def test_before_training_a_model_does_what_the_policy_does(
    algorithm: type[Any], train_features: bool, actions: int, images: Any
) -> None:
    policy = make_policy(actions)
    settings = {"train_features": train_features, "seed": 0, **TINY[algorithm]}
    model = start_from(policy, algorithm, make_env(), **settings)
    wanted, _ = policy.predict(images)
    assert np.ptp(wanted, axis=0).min() > 0.1
    action, _ = model.predict(seen(model, policy, images), deterministic=True)
    # SAC squashes its actions, and never reaches full lock.
    np.testing.assert_allclose(action, wanted, atol=2e-3 if algorithm is SAC else 1e-5)


def test_a_clone_of_an_expert_at_full_throttle_begins_with_it_and_can_learn_to_lift(images: Any) -> None:
    policy = make_policy()
    last: Any = policy.network.head[-1]  # type: ignore[union-attr, index]
    with torch.no_grad():
        last.weight[1], last.bias[1] = 0.0, 1.05
    model = start_from(policy, SAC, make_env(), seed=0, **TINY[SAC])
    shown = seen(model, policy, images)
    np.testing.assert_allclose(
        model.predict(shown, deterministic=True)[0], policy.predict(images)[0], atol=2e-3
    )

    bias = model.policy.cloned.head[-1].bias
    for lift in (True, False):
        bias.grad = None
        throttle = model.policy.actor(torch.from_numpy(shown), deterministic=True)[:, 1].mean()
        (throttle if lift else -throttle).backward()  # what is minimised
        # Of an action that is squashed again, it is that of the throttle itself.
        assert bias.grad[1].item() == pytest.approx(1.0 if lift else 0.0, abs=1e-3)

    optimizer = torch.optim.Adam(model.policy.actor.parameters(), lr=0.01)
    for _ in range(50):
        optimizer.zero_grad()
        model.policy.actor(torch.from_numpy(shown))[:, 1].mean().backward()
        optimizer.step()
    assert policy_of(model, policy).predict(images)[0][:, 1].mean() < 0.8


@pytest.mark.parametrize("algorithm", TINY)
def test_the_mean_of_a_policy_with_a_gaussian_loss_goes_on(
    algorithm: type[Any], images: Any, tmp_path: Path
) -> None:
    network = make_network("PilotNet", 4, seed=3)
    policy = NetworkPolicy(network, Preprocessing(), loss=Gaussian())
    model = start_from(policy, algorithm, make_env(), seed=0, **TINY[algorithm])
    policy_of(model, policy).save(tmp_path / "policy")
    again = load_policy(tmp_path / "policy")
    np.testing.assert_allclose(again.predict(images)[0], policy.predict(images)[0], atol=1e-6)


@pytest.mark.parametrize("actions", [1, 2])
def test_several_cars_go_on_side_by_side(actions: int, images: Any) -> None:
    policy = make_policy(actions)
    cars = DummyVecEnv([lambda: NetworkFeatures(fit_to(policy, make_env()), policy)] * 2)
    model = start_from(policy, PPO, cars, seed=0, **TINY[PPO])
    action, _ = model.predict(seen(model, policy, images), deterministic=True)
    np.testing.assert_allclose(action, policy.predict(images)[0], atol=1e-5)
    model.learn(32)


@pytest.mark.parametrize("algorithm", TINY)
def test_training_changes_the_head_and_not_the_convolutions_nor_the_policy_it_came_from(
    algorithm: type[Any], images: Any, tmp_path: Path
) -> None:
    policy = make_policy()
    before = {name: value.clone() for name, value in policy.network.state_dict().items()}
    model = start_from(policy, algorithm, make_env(), seed=0, **TINY[algorithm])
    model.learn(32)
    for name, value in policy.network.state_dict().items():
        assert torch.equal(value, before[name])
    trained = policy_of(model, policy)
    after = trained.network.state_dict()
    changed = {name.split(".")[0] for name in after if not torch.equal(after[name], before[name])}
    assert changed == {"head"}

    # The policy that comes out does what the model does, and is a policy like any other.
    trained.save(tmp_path / "policy")
    again = load_policy(tmp_path / "policy")
    action, _ = model.predict(seen(model, policy, images), deterministic=True)
    np.testing.assert_allclose(again.predict(images)[0], action, atol=2e-3 if algorithm is SAC else 1e-5)
    assert "32 steps" in trained.training["then"]


@pytest.mark.parametrize("algorithm", [PPO, SAC])
def test_a_model_is_saved_and_loaded_by_stable_baselines3(
    algorithm: type[Any], images: Any, tmp_path: Path
) -> None:
    policy = make_policy()
    model = start_from(policy, algorithm, make_env(), seed=0, **TINY[algorithm])
    model.learn(16)
    model.save(tmp_path / "model")
    again = algorithm.load(tmp_path / "model", device="cpu")
    shown = seen(model, policy, images)
    np.testing.assert_array_equal(
        again.predict(shown, deterministic=True)[0], model.predict(shown, deterministic=True)[0]
    )


def test_the_convolutions_learn_too_when_they_are_told_to() -> None:
    policy = make_policy()
    model = start_from(policy, PPO, make_env(), train_features=True, seed=0, **TINY[PPO])
    model.learn(16)
    after, before = policy_of(model, policy).network.state_dict(), policy.network.state_dict()
    assert {name.split(".")[0] for name in after if not torch.equal(after[name], before[name])} == {
        "features",
        "head",
    }


def test_the_critic_learns_first() -> None:
    policy = make_policy()
    model = start_from(policy, PPO, make_env(), train_features=True, seed=0, **TINY[PPO])
    value = model.policy.value_net.weight.detach().clone()
    model.learn(32, callback=CriticFirst(32))
    after, before = policy_of(model, policy).network.state_dict(), policy.network.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert not torch.equal(model.policy.value_net.weight, value)
    model.learn(16, callback=CriticFirst(0))
    after = policy_of(model, policy).network.state_dict()
    assert not all(torch.equal(after[name], before[name]) for name in before)


def test_a_policy_that_only_steers_goes_on_with_speed_control() -> None:
    model = start_from(make_policy(1), PPO, make_env(), seed=0, **TINY[PPO])
    assert model.action_space.shape == (1,)
    assert model.get_env().env_is_wrapped(udacity_gym.wrappers.SpeedControl) == [True]


def test_what_does_not_fit_is_refused_with_the_reason() -> None:
    policy = make_policy()
    with pytest.raises(OptionError, match=r"cameras=\('center',\)"):
        start_from(policy, PPO, make_env(cameras=()))
    with pytest.raises(OptionError, match="TD3 can't start"):
        start_from(policy, TD3, make_env())
    with pytest.raises(OptionError, match="start_from"):
        policy_of(PPO("MlpPolicy", make_env(cameras=())), policy)
    with pytest.raises(OptionError, match="CriticFirst is for PPO"):
        PPO("MlpPolicy", make_env(cameras=()), n_steps=8, batch_size=8).learn(8, CriticFirst(8))

    class Other(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean(dim=(2, 3))[:, :2]

    with pytest.raises(OptionError, match="needs 'features'"):
        start_from(NetworkPolicy(Other(), Preprocessing()), PPO, make_env())
    with pytest.raises(OptionError, match="PilotLSTM can't be divided"):
        start_from(NetworkPolicy(make_network("PilotLSTM", 2), Preprocessing()), PPO, make_env())
    votes = NetworkPolicy(make_network("PilotNet", 90), Preprocessing(), loss=Classes())
    with pytest.raises(OptionError, match='loss="huber"'):
        start_from(votes, PPO, make_env())
    ensemble: Any = Ensemble([policy, policy])
    for make in (
        lambda: start_from(ensemble, PPO, make_env()),
        lambda: NetworkFeatures(make_env(), ensemble),
    ):
        with pytest.raises(OptionError, match=r"members\[0\]"):
            make()
    with pytest.raises(OptionError, match="wrap each"):
        start_from(policy, PPO, DummyVecEnv([make_env]))
    steers = make_policy(1)
    with pytest.raises(OptionError, match="fit_to"):
        start_from(steers, PPO, DummyVecEnv([lambda: NetworkFeatures(make_env(), steers)]))
    with pytest.raises(OptionError, match="must be an environment"):
        start_from(policy, PPO, "UdacitySim-v0")  # type: ignore[arg-type]


def test_a_prepared_image_is_what_the_network_sees(images: Any) -> None:
    preprocessing = Preprocessing()
    env = PreparedImages(make_env(), preprocessing)
    observation, _ = env.reset(seed=0, options={"s": 100.0, "speed": 8.0})
    assert env.observation_space.contains(observation)
    np.testing.assert_array_equal(np.moveaxis(observation, 0, 2), preprocessing(images[0]))


def test_a_model_of_the_state_vector_drives_as_an_expert_where_there_are_images() -> None:
    model = PPO("MlpPolicy", make_env(cameras=()), seed=0, n_steps=8, batch_size=8)
    expert = StateVectorExpert(model)
    blind, seeing = make_env(cameras=()), make_env()
    vector, _ = blind.reset(seed=0, options={"s": 50.0, "speed": 8.0})
    image, told = seeing.reset(seed=0, options={"s": 50.0, "speed": 8.0})
    for _ in range(10):
        np.testing.assert_allclose(expert.state_vector(told), vector, atol=1e-6)
        action, _ = model.predict(vector, deterministic=True)
        np.testing.assert_allclose(expert(image, told), action, atol=1e-5)
        vector, *_ = blind.step(action)
        image, *_, told = seeing.step(action)
    with pytest.raises(SimulatorError, match="the position of the car on its track"):
        expert.state_vector({name: value for name, value in told.items() if name != "s"})
    with pytest.raises(OptionError, match="state vector"):
        StateVectorExpert(start_from(make_policy(), PPO, make_env()))


def test_models_are_judged_like_policies() -> None:
    env = gym.make("UdacitySim-v0", cameras=())
    model = PPO("MlpPolicy", env, seed=0, n_steps=8, batch_size=8)
    assert evaluate(model, env, laps=1, max_seconds=1.0).seconds == pytest.approx(1.0)
    policy = make_policy()
    started = start_from(policy, PPO, gym.make("UdacitySim-v0"), seed=0)
    judged = evaluate(started, NetworkFeatures(gym.make("UdacitySim-v0"), policy), 1, max_seconds=1.0)
    itself = evaluate(policy, gym.make("UdacitySim-v0"), 1, max_seconds=1.0)
    np.testing.assert_allclose(judged.trajectory.cte, itself.trajectory.cte, atol=1e-3)
