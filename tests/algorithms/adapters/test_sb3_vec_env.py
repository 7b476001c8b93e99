import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecTransposeImage

from algorithms.adapters.sb3_vec_env import UdacityVecEnv
from udacity_gym.env import UdacityEnv

SIZE = {"image_size": (36, 36), "max_seconds": 0.4}
STARTS = [{"s": 100.0, "offset": (4.5, 4.7), "heading_error": 0.6, "speed": 12.0}, {"s": "random"}, {}]


@pytest.mark.parametrize("cameras", [(), ("center",), ("center", "left")])
def test_it_is_to_sb3_what_its_own_vector_environment_is(cameras):
    ours = UdacityVecEnv(3, cameras=cameras, **SIZE)
    theirs = DummyVecEnv([lambda: UdacityEnv(cameras=cameras, **SIZE)] * 3)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    for envs in (ours, theirs):
        envs.seed(5)
        envs.set_options(STARTS)
    np.testing.assert_equal(ours.reset(), theirs.reset())
    np.testing.assert_equal(ours.reset_infos, theirs.reset_infos)
    generator, cuts = np.random.default_rng(0), set()
    for _ in range(16):
        actions = generator.uniform(-1, 1, (3, 2)).astype(np.float32)
        observations, rewards, ended, infos = ours.step(actions)
        expected = theirs.step(actions)
        np.testing.assert_equal(observations, expected[0])
        np.testing.assert_array_equal(rewards, expected[1])
        assert rewards.dtype == expected[1].dtype
        np.testing.assert_array_equal(ended, expected[2])
        np.testing.assert_equal(infos, expected[3])
        np.testing.assert_equal(ours.reset_infos, theirs.reset_infos)
        cuts |= {info["TimeLimit.truncated"] for i, info in enumerate(infos) if ended[i]}
    assert cuts == {True, False}  # one left the road, others ran out of time


def test_ppo_learns_in_it_and_every_episode_is_counted():
    envs = VecMonitor(VecTransposeImage(UdacityVecEnv(4, **SIZE)))
    model = PPO("CnnPolicy", envs, n_steps=16, batch_size=32, n_epochs=1, seed=0, device="cpu")
    before = [parameter.detach().clone() for parameter in model.policy.parameters()]
    model.learn(128)
    assert any((a != b).any() for a, b in zip(before, model.policy.parameters(), strict=True))
    assert len(model.ep_info_buffer) >= 16
    assert all(0 < episode["l"] <= 6 for episode in model.ep_info_buffer)


def test_attributes_of_single_cars_are_in_reach():
    envs = UdacityVecEnv(3, cameras=(), render_mode="rgb_array")
    envs.reset()
    envs.set_attr("caption", "mine", indices=1)
    assert envs.get_attr("caption") == ["", "mine", ""]
    assert len(envs.env_method("_observe", indices=[0, 2])) == 2
    assert envs.env_is_wrapped(VecMonitor) == [False] * 3
    assert envs.render(mode="rgb_array").shape[2] == 3
    envs.close()


def test_every_episode_starts_as_the_environment_says_in_every_vec_env():
    arguments = {"cameras": (), "start": {"s": "random"}, "track": ["lake", "jungle"], "max_seconds": 0.2}
    for envs in (UdacityVecEnv(2, **arguments), DummyVecEnv([lambda: UdacityEnv(**arguments)] * 2)):
        envs.seed(0)
        envs.reset()
        starts, tracks = set(), set()
        for _ in range(40):
            envs.step(np.zeros((2, 2), np.float32))
            starts |= {info["s"] for info in envs.reset_infos}
            tracks |= {info["track"] for info in envs.reset_infos}
        assert len(starts) >= 20
        assert tracks == {"lake", "jungle"}
