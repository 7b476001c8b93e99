"""The algorithms of imitation on our recordings and environment; needs imitation, see `make test-oldest`."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

pytest.importorskip("imitation")

from imitation.algorithms.adversarial.airl import AIRL
from imitation.algorithms.adversarial.gail import GAIL
from imitation.algorithms.bc import BC
from imitation.data.wrappers import RolloutInfoWrapper
from imitation.rewards.reward_nets import BasicRewardNet, BasicShapedRewardNet
from simple_road import log_without, write_road_recording
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

import udacity_gym  # noqa: F401 - registers the environment
from algorithms import NetworkPolicy, Preprocessing
from algorithms.adapters.imitation import (
    DAgger,
    Demonstrations,
    actor_critic,
    demonstrate,
    policy_of,
    stay_in_training,
)
from algorithms.adapters.stable_baselines3 import NetworkFeatures, PreparedImages
from algorithms.policies.networks import make_network
from udacity_gym.errors import OptionError, RecordingError
from udacity_gym.experts import PurePursuit
from udacity_gym.recording import open_recording
from udacity_gym.wrappers import SpeedControl

QUIET = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"
)
pytestmark = QUIET


def make_env(**settings: Any) -> gym.Env[Any, Any]:
    return gym.make("UdacitySim-v0", max_seconds=1.0, disable_env_checker=True, **settings)


@pytest.fixture
def policy() -> NetworkPolicy:
    return NetworkPolicy(make_network("PilotNet", 2, seed=3), Preprocessing())


def test_demonstrations_are_the_rows_of_the_recording_as_the_environment_shows_them(
    road_recording: Path, policy: NetworkPolicy
) -> None:
    env = PreparedImages(make_env(), policy.preprocessing)
    for budget in (1e9, 1e6):  # all observations are kept, or only 25
        demonstrations = Demonstrations(road_recording, env, 20, memory_budget=budget)
        rows = [
            (batch["obs"][i], batch["acts"][i], batch["next_obs"][i])
            for batch in demonstrations
            for i in range(20)
        ]
        assert len(rows) == 160 == 20 * len(demonstrations)
        for batch in demonstrations:
            assert all(map(env.observation_space.contains, batch["obs"]))
            assert batch["acts"].dtype == np.float32
        (episode,) = open_recording(road_recording).episodes
        for i in range(0, 159, 13):
            now, after = (env.see(episode.image("center", k)) for k in (i, i + 1))
            wanted = [episode.steering[i], episode.throttle[i]]
            assert any(
                np.array_equal(obs, now)
                and np.allclose(acts, wanted, atol=1e-6)
                and np.array_equal(following, after)
                for obs, acts, following in rows
            )


def test_demonstrations_of_the_throttle_need_throttle_and_brake(
    road_recording: Path, policy: NetworkPolicy, tmp_path: Path
) -> None:
    poor = log_without(road_recording, tmp_path / "poor", "brake")
    with pytest.raises(RecordingError, match=r"brake was not recorded.*wrap the environment.*SpeedControl"):
        Demonstrations(poor, PreparedImages(make_env(), policy.preprocessing))
    Demonstrations(poor, PreparedImages(SpeedControl(make_env()), policy.preprocessing))


def test_demonstrations_come_in_another_order_each_pass_and_the_same_for_each_seed(
    road_recording: Path, policy: NetworkPolicy
) -> None:
    env = NetworkFeatures(make_env(), policy)
    first, again, other = (Demonstrations(road_recording, env, 160, seed=seed) for seed in (0, 0, 1))
    passes = [next(iter(d))["acts"] for d in (first, again, other, first)]
    np.testing.assert_array_equal(passes[0], passes[1])
    assert (passes[0] != passes[2]).any()
    assert (passes[0] != passes[3]).any()
    with pytest.raises(OptionError, match="batch_size=161"):
        Demonstrations(road_recording, env, 161)
    with pytest.raises(OptionError, match="must be wrapped"):
        Demonstrations(road_recording, make_env())


def test_broken_images_are_left_out_and_nobody_is_followed_by_a_row_of_much_later(
    tmp_path: Path, policy: NetworkPolicy
) -> None:
    write_road_recording(tmp_path, np.linspace(-2, 2, 40))
    (recording,) = open_recording(tmp_path).episodes
    for i in (0, *range(10, 16)):
        recording.path("center", i).write_bytes(b"")
    env = PreparedImages(make_env(), policy.preprocessing)
    with pytest.warns(UserWarning, match="7 of 40 rows are left out.*udacity-gym data check"):
        demonstrations = Demonstrations(tmp_path, env, 33)
    (batch,) = demonstrations
    order = np.argsort(-batch["acts"][:, 0])  # the driver steers back to the middle
    obs, following = batch["obs"][order], batch["next_obs"][order]
    followed = [np.array_equal(following[i], obs[i + 1]) for i in range(32)]
    assert followed == [i != 8 for i in range(32)]  # the row before the six that are missing
    for last in (8, 32):
        np.testing.assert_array_equal(following[last], obs[last])


def test_its_bc_learns_from_our_recordings(road_recording: Path, policy: NetworkPolicy) -> None:
    env = PreparedImages(make_env(), policy.preprocessing)
    trainer = BC(
        observation_space=env.observation_space,
        action_space=env.action_space,
        rng=np.random.default_rng(0),
        policy=actor_critic(policy, env),
        demonstrations=Demonstrations(road_recording, env, 32),
        batch_size=32,
        optimizer_kwargs={"lr": 1e-3},
        device="cpu",
    )
    (episode,) = open_recording(road_recording).episodes
    images = np.stack([episode.image("center", i) for i in range(0, 160, 8)])
    wanted = np.asarray(episode.steering)[::8]

    def error(driver: NetworkPolicy) -> float:
        return float(np.abs(driver.predict(images)[0][:, 0] - wanted).mean())

    before = error(policy)
    trainer.train(n_epochs=20, progress_bar=False)
    assert error(policy_of(trainer.policy, policy)) < 0.4 * before


def test_its_bc_forgets_that_it_trains_and_is_reminded(road_recording: Path, policy: NetworkPolicy) -> None:
    env = NetworkFeatures(make_env(), policy)
    trainer = BC(
        observation_space=env.observation_space,
        action_space=env.action_space,
        rng=np.random.default_rng(0),
        policy=actor_critic(policy, env),
        demonstrations=Demonstrations(road_recording, env, 32),
        device="cpu",
    )
    venv = DummyVecEnv([lambda: RolloutInfoWrapper(NetworkFeatures(make_env(), policy))])
    settings = {
        "n_batches": 3,
        "progress_bar": False,
        "log_rollouts_venv": venv,
        "log_rollouts_n_episodes": 1,
    }
    modes: list[bool] = []
    trainer.train(on_batch_end=lambda: modes.append(trainer.policy.training), **settings)
    remind = stay_in_training(trainer)
    trainer.train(on_batch_end=lambda: (remind(), modes.append(trainer.policy.training)), **settings)  # type: ignore[func-returns-value]
    assert modes == [False] * 3 + [True] * 3


def test_its_dagger_asks_our_experts_and_images_stay_bytes(
    road_recording: Path, policy: NetworkPolicy, tmp_path: Path
) -> None:
    def make() -> gym.Env[Any, Any]:
        return PreparedImages(make_env(), policy.preprocessing)

    env = make()
    trainer = DAgger(
        venv=DummyVecEnv([make, make]),
        scratch_dir=tmp_path,
        rng=np.random.default_rng(0),
        beta_schedule=lambda number: float(number == 0),
        bc_trainer=BC(
            observation_space=env.observation_space,
            action_space=env.action_space,
            rng=np.random.default_rng(0),
            policy=actor_critic(policy, env),
            batch_size=8,
            device="cpu",
        ),
    )
    for number in range(2):
        collector = trainer.create_trajectory_collector()
        assert demonstrate(collector, [PurePursuit(), PurePursuit()], episodes=2) == 2 * 15
        assert (
            trainer.extend_and_update({"n_batches": 2, "log_rollouts_venv": None, "progress_bar": False})
            == number + 1
        )
    assert len(trainer._all_demos) == 4
    for trajectory in trainer._all_demos:
        assert trajectory.obs.dtype == np.uint8
        assert trajectory.obs.shape == (16, 3, 66, 200)
        # The expert begins from standstill with full throttle; the policy, which drove round 1, does not.
        assert trajectory.acts[0, 1] > 0.5
    with pytest.raises(OptionError, match="1 experts for 2 environments"):
        demonstrate(trainer.create_trajectory_collector(), [PurePursuit()])


@pytest.mark.parametrize(("algorithm", "network"), [(GAIL, BasicRewardNet), (AIRL, BasicShapedRewardNet)])
def test_its_adversaries_learn_on_our_environment(
    algorithm: type[Any], network: type[Any], road_recording: Path, policy: NetworkPolicy
) -> None:
    def make() -> gym.Env[Any, Any]:
        return RolloutInfoWrapper(NetworkFeatures(make_env(), policy))

    env, venv = NetworkFeatures(make_env(), policy), DummyVecEnv([make])
    torch.manual_seed(0)
    generator = PPO(actor_critic(policy, env).__class__, venv, **ppo_settings(policy))
    trainer = algorithm(
        demonstrations=Demonstrations(road_recording, env, 16),
        demo_batch_size=16,
        venv=venv,
        gen_algo=generator,
        reward_net=network(venv.observation_space, venv.action_space),
        n_disc_updates_per_round=2,
        allow_variable_horizon=True,
    )
    before = {name: value.clone() for name, value in trainer.reward_train.state_dict().items()}
    trainer.train(64)
    after = trainer.reward_train.state_dict()
    assert any(not torch.equal(after[name], before[name]) for name in before)
    driver = policy_of(generator, policy)
    assert driver.predict(np.zeros((160, 320, 3), np.uint8))[0].shape == (2,)
    assert any(
        not torch.equal(a, b)
        for a, b in zip(driver.network.parameters(), policy.network.parameters(), strict=True)
    )


def ppo_settings(policy: NetworkPolicy) -> dict[str, Any]:
    from algorithms.adapters.stable_baselines3 import actor_settings

    return {
        "policy_kwargs": actor_settings(policy),
        "n_steps": 32,
        "batch_size": 16,
        "seed": 0,
        "device": "cpu",
    }
