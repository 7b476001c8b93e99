from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from stable_baselines3.common.env_checker import check_env

import udacity_gym
from udacity_gym.driving.policy_inputs import ObservationError
from udacity_gym.env import UdacityEnv
from udacity_gym.errors import ActionError, OptionError
from udacity_gym.experts import PurePursuit
from udacity_gym.telemetry import MPH
from udacity_gym.wrappers import SpeedControl, SpeedObservation, fit_to


def speeds(target_speed, seconds=25.0, options=None):
    """Speeds (m/s) and brakes of a car that follows the lake under speed control."""
    env = SpeedControl(UdacityEnv(cameras=()), target_speed)
    expert = PurePursuit()
    observation, info = env.reset(seed=0, options=options)
    found = []
    for _ in range(round(seconds * 15)):
        observation, _, terminated, _, info = env.step(expert(observation, info)[:1])
        assert not terminated
        found.append((info["speed"], info["brake"]))
    return np.array(found).T


@pytest.mark.parametrize("mph", [9, 25, 28, 30])
def test_speed_settles_at_the_target_with_little_overshoot(mph):
    speed, _ = speeds(mph * MPH)
    assert speed[-75:].mean() / MPH == pytest.approx(mph, abs=0.2)
    assert np.ptp(speed[-75:]) < 0.2
    assert speed.max() / MPH < mph + 1.0


def test_a_car_that_is_much_too_fast_is_braked():
    speed, brake = speeds(5.0, options={"s": 560.0, "speed": 13.0})
    assert brake[0] > 0
    assert speed[30] < 7.0
    assert brake[-30:].max() == 0


def test_a_new_episode_repeats_the_first_one():
    env = SpeedControl(UdacityEnv(cameras=()), 8.0)
    runs = []
    for _ in range(2):
        env.reset(seed=1)
        runs.append([env.step(np.zeros(1, np.float32))[4]["speed"] for _ in range(40)])
    assert runs[0] == runs[1]


def test_speed_control_is_an_environment_of_its_own():
    env = SpeedControl(gymnasium.make(udacity_gym.ENV_ID, cameras=()), 8.0)
    assert env.action_space.shape == (1,)
    check_env(env)


def test_target_speed_can_be_changed_on_the_way():
    env = SpeedControl(UdacityEnv(cameras=()), 2.0)
    env.reset(seed=1)
    for _ in range(30):
        env.step(np.zeros(1, np.float32))
    env.controller.target_speed = 8.0
    for _ in range(60):
        info = env.step(np.zeros(1, np.float32))[4]
    assert info["speed"] > 7.0


def test_two_numbers_are_refused_and_one_is_named():
    env = SpeedControl(UdacityEnv(cameras=()))
    env.reset(seed=0)
    with pytest.raises(ActionError, match=r"\(1,\)"):
        env.step(np.zeros(2, np.float32))
    with pytest.raises(ActionError, match="finite"):
        env.step(np.array([np.nan], np.float32))


def test_mistakes_are_refused():
    with pytest.raises(OptionError, match="target_speed"):
        SpeedControl(UdacityEnv(cameras=()), -1.0)
    for target_speed in ("a", None, np.nan):
        with pytest.raises(OptionError, match="target_speed"):
            SpeedControl(UdacityEnv(cameras=()), target_speed)
    with pytest.raises(OptionError, match="proportional"):
        SpeedControl(UdacityEnv(cameras=()), proportional=np.nan)
    with pytest.raises(OptionError, match=r"'proportionl'.*proportional, integral, brake_margin"):
        SpeedControl(UdacityEnv(cameras=()), proportionl=1.0)
    with pytest.raises(OptionError, match="SpeedControl wraps"):
        SpeedControl(SpeedControl(UdacityEnv(cameras=())))
    with pytest.raises(ResetNeeded):
        SpeedControl(UdacityEnv(cameras=())).step(np.zeros(1, np.float32))


def test_gymnasium_makes_it_again_from_its_spec():
    env = SpeedControl(gymnasium.make(udacity_gym.ENV_ID, cameras=()), 8.0, proportional=0.3)
    again = gymnasium.make(env.spec)
    assert isinstance(again, SpeedControl)
    assert (again.controller.target_speed, again.controller.proportional) == (8.0, 0.3)


def test_the_speed_is_told_besides_the_image() -> None:
    env = SpeedObservation(UdacityEnv())
    observation, info = env.reset(seed=0, options={"speed": 5.0})
    assert env.observation_space.contains(observation)
    assert set(observation) == {"center", "speed"}
    assert observation["speed"] == pytest.approx(info["speed"])
    assert observation["speed"] > 4
    observation, _, _, _, info = env.step(np.array([0.0, 1.0], np.float32))
    assert observation["speed"] == pytest.approx(info["speed"])
    env.close()


def test_the_speed_comes_with_several_images_or_none() -> None:
    several = SpeedObservation(UdacityEnv(cameras=("left", "center")))
    assert set(several.observation_space.spaces) == {"left", "center", "speed"}
    assert several.observation_space.contains(several.reset(seed=0)[0])
    blind = SpeedObservation(UdacityEnv(cameras=()))
    assert set(blind.reset(seed=0)[0]) == {"state", "speed"}
    with pytest.raises(OptionError, match="only once"):
        SpeedObservation(blind)


def test_an_environment_is_wrapped_in_what_a_policy_needs_and_no_more() -> None:
    class Needy:
        actions = ("steering",)
        target_speed = 7.0
        inputs = ("speed",)

    plain = UdacityEnv()
    env = fit_to(Needy(), plain)
    assert env.action_space.shape == (1,)
    assert env.get_wrapper_attr("controller").target_speed == 7.0
    assert "speed" in env.observation_space.spaces
    assert fit_to(Needy(), env) is env
    assert fit_to(object(), plain) is plain
    plain.close()


class Silent(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Does not report the speed, from some step on."""

    def __init__(self, env: gymnasium.Env[Any, Any], after: int = 0) -> None:
        super().__init__(env)
        self.steps_left = after

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(**options)
        return observation, info if self.steps_left else {**info, "speed": None}

    def step(self, action: Any) -> Any:
        *results, info = self.env.step(action)
        self.steps_left -= 1
        if self.steps_left <= 0:
            del info["speed"]
        return *results, info


def test_a_simulator_that_does_not_tell_the_speed_is_said_to_be_one() -> None:
    with pytest.raises(ObservationError, match="info has no speed"):
        SpeedObservation(Silent(UdacityEnv(cameras=()))).reset()
    with pytest.raises(ObservationError, match=r"info has no speed.*or a policy that controls the throttle"):
        SpeedControl(Silent(UdacityEnv(cameras=()))).reset()
    env = SpeedControl(Silent(UdacityEnv(cameras=()), after=1))
    env.reset()
    with pytest.raises(ObservationError, match="info has no speed"):
        env.step(np.zeros(1, np.float32))


class Foreign(gymnasium.Env[Any, Any]):
    """An environment that has nothing of a UdacityEnv but its action and its speed."""

    action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    observation_space = gymnasium.spaces.Box(0, 255, (4, 8, 3), np.uint8)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(self.observation_space.shape or (), np.uint8), {"speed": 3.0}


def test_speed_control_asks_an_environment_of_others_for_the_seconds_of_a_step() -> None:
    env: Any = Foreign()
    with pytest.raises(OptionError, match=r"no ctrl_dt; set it, such as env\.unwrapped\.ctrl_dt = 1 / 15"):
        SpeedControl(env)
    env.ctrl_dt = 0.1
    SpeedControl(env).reset()


def test_an_environment_of_others_needs_no_names_of_cameras() -> None:
    env = SpeedObservation(Foreign())
    assert set(env.observation_space.spaces) == set(env.reset()[0]) == {"center", "speed"}
