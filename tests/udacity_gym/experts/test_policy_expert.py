import gymnasium
import numpy as np
import pytest
from stable_baselines3 import PPO

import udacity_gym
from udacity_gym.env import UdacityEnv
from udacity_gym.errors import ActionError, OptionError
from udacity_gym.evaluation import evaluate
from udacity_gym.experts import PolicyExpert, PurePursuit
from udacity_gym.wrappers import SpeedControl


class Remembers:
    """Counts its steps in its state, as recurrent policies do, and steers by them."""

    def __init__(self, numbers=2):
        self.numbers = numbers
        self.starts = []

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        assert deterministic
        self.starts.append(bool(episode_start[0]))
        count = 0 if state is None else state[0] + 1
        return np.array([count / 100, 0.5][: self.numbers], np.float32), (count,)


def run(expert, env, steps, seed=0):
    observation, info = env.reset(seed=seed)
    actions = []
    for _ in range(steps):
        actions.append(expert(observation, info))
        observation, _, _, _, info = env.step(actions[-1])
    return np.array(actions)


def test_a_policys_memory_lasts_for_an_episode():
    policy = Remembers()
    expert, env = PolicyExpert(policy), UdacityEnv(cameras=())
    for _ in range(2):
        actions = run(expert, env, 5)
        np.testing.assert_allclose(actions[:, 0], np.arange(5) / 100)
    assert policy.starts == [True, False, False, False, False] * 2


def test_a_policy_that_only_steers_drives_as_with_speed_control():
    policy = Remembers(numbers=1)
    policy.target_speed = 7.0
    by_expert = run(PolicyExpert(policy), UdacityEnv(cameras=()), 60)
    env = SpeedControl(UdacityEnv(cameras=()), 7.0)
    env.reset(seed=0)
    for action in by_expert:
        _, _, _, _, info = env.step(action[:1])
        assert info["throttle"] - info["brake"] == pytest.approx(action[1], abs=1e-6)


def test_a_policy_that_asks_for_the_speed_is_told():
    class Looks(Remembers):
        inputs = ("speed",)

        def predict(self, observation, **rest):
            self.seen = observation
            return super().predict(observation, **rest)

    policy = Looks()
    expert = PolicyExpert(policy)
    image = np.zeros((160, 320, 3), np.uint8)
    expert(image, {"time": 0.0, "speed": 4.0})
    assert policy.seen["center"] is image
    assert policy.seen["speed"].tolist() == [4.0]
    expert({"left": image}, {"time": 0.1, "speed": 5.0})
    assert set(policy.seen) == {"left", "speed"}


def test_a_model_of_stable_baselines_is_an_expert():
    env = gymnasium.make(udacity_gym.ENV_ID, cameras=(), max_seconds=10)
    model = PPO("MlpPolicy", env, device="cpu", seed=0)
    observation, info = env.reset(seed=0)
    chosen = PolicyExpert(model)(observation, info)
    assert chosen in env.action_space
    np.testing.assert_array_equal(chosen, model.predict(observation, deterministic=True)[0])


def test_an_expert_made_of_a_policy_is_judged_like_one():
    class Follows:
        """An expert in a policy's clothes: it is told where it is by the test."""

        info = None

        def predict(self, observation, **rest):
            return PurePursuit()(observation, self.info), None

    policy = Follows()

    def told(observation, info):
        policy.info = info
        return PolicyExpert(policy)(observation, info)

    evaluation = evaluate(told, UdacityEnv(cameras=()), laps=1, max_seconds=10)
    assert evaluation.interventions == 0


def test_what_is_no_policy_or_gives_no_action_is_refused():
    with pytest.raises(OptionError, match="predict"):
        PolicyExpert(lambda observation: observation)
    policy = Remembers()
    policy.predict = lambda *_, **__: (np.zeros(3), None)
    with pytest.raises(ActionError, match=r"shape \(3,\)"):
        PolicyExpert(policy)(None, {"time": 0.0, "speed": 0.0})
