"""A policy drives alike wherever it drives, whatever the length of a step."""

import datetime

import numpy as np
import pytest

import algorithms.dagger.collect
from algorithms.dagger.collect import Rollout, collect
from udacity_gym.driving import GatedDriver, PolicyAlone, drive
from udacity_gym.driving.speed import DEFAULT_SPEED
from udacity_gym.env import UdacityEnv
from udacity_gym.evaluation import evaluate
from udacity_gym.executors import SharedFiles
from udacity_gym.experts import PolicyExpert
from udacity_gym.recording import open_recording
from udacity_gym.telemetry import MPH

START = {"s": 100.0, "speed": 5.0}


class Sees:
    """Steers by the speed and by how bright this image and the last two are, which it remembers."""

    actions = ("steering",)
    inputs = ("speed",)
    past_frames = 2
    image_size = (32, 64)
    camera = "center"

    def __init__(self, target_speed=None):
        self.target_speed = target_speed

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        image, speed = observation["center"], float(observation["speed"][0])
        assert image.shape == (32, 64, 3)
        now = image[:, :32].mean() / 255
        past = [now, now] if state is None or episode_start[0] else state
        steering = 0.5 * (now - past[1]) + 0.2 * (now - past[0]) + 0.002 * (speed - 5.0)
        return np.array([steering], np.float32), [now, past[0]]


class Follows:
    """Follows the road by the state vector; for drives without images."""

    actions = ("steering",)

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        _, _, _, cte, heading_error, curvature, *_ = observation
        steering = -1.0 * cte - 3.0 * heading_error - 0.6 * curvature
        return np.array([steering], np.float32), None


def by_evaluation(driver, env, seconds):
    actions = []
    evaluation = evaluate(
        driver,
        env,
        laps=1,
        max_seconds=seconds,
        intervene="road",
        start=START,
        on_step=lambda step: actions.append(step.decision.action),
    )
    assert evaluation.interventions == 0
    return np.array(actions)


def by_drive(driver, env, seconds):
    steps = drive(env, driver, seconds=seconds, seed=0, start=START)
    return np.array([step.decision.action for step in steps])


def by_own_loop(expert, env, seconds):
    """As people write it who know nothing of `drive`; nobody resets the expert."""
    observation, info = env.reset(seed=0, options=START)
    actions = []
    while info["time"] < seconds - 1e-9:
        actions.append(expert(observation, info))
        observation, _, terminated, truncated, info = env.step(actions[-1])
        assert not terminated
        assert not truncated
    return np.array(actions)


def by_collection(policy, env, seconds, folder, monkeypatch):
    """As a learner collects a round; it loads the policy from a checkpoint, which this one has none of."""
    monkeypatch.setattr(algorithms.dagger.collect, "load_policy", lambda path, **_: policy)
    frames = round(seconds / env.ctrl_dt)
    stamp = datetime.datetime(2020, 1, 1)
    rollout = Rollout("drive", SharedFiles(folder), PolicyAlone(), frames, (0,), START, False, stamp, {})
    collect(rollout, folder, env, None)
    (episode,) = open_recording(folder).episodes
    return np.array([extra["action"] for extra in episode.extras()])


@pytest.mark.parametrize("ctrl_dt", [1 / 15, 1 / 30])
@pytest.mark.parametrize("target_speed", [None, 8.0])
def test_a_policy_that_only_steers_drives_alike_everywhere(ctrl_dt, target_speed, tmp_path, monkeypatch):
    policy, seconds = Sees(target_speed), 2.0
    env = UdacityEnv(ctrl_dt=ctrl_dt, image_size=policy.image_size)
    expected = by_drive(policy, env, seconds)
    assert expected.shape == (round(seconds / ctrl_dt), 2)
    assert len(np.unique(expected[:, 0])) > 20, "it sees something"
    assert len(np.unique(expected[:, 1])) > 1, "and its speed is worked at"
    expert = PolicyExpert(policy)
    for actions in (
        by_evaluation(policy, env, seconds),
        by_evaluation(PolicyExpert(policy), env, seconds),
        by_drive(PolicyExpert(policy), env, seconds),
        by_own_loop(expert, env, seconds),
        by_own_loop(expert, env, seconds),
        by_drive(GatedDriver(policy, None, PolicyAlone()), env, seconds),
        by_collection(policy, env, seconds, tmp_path / "round", monkeypatch),
    ):
        np.testing.assert_array_equal(actions, expected)
    env.close()


@pytest.mark.parametrize("ctrl_dt", [1 / 15, 1 / 30])
def test_a_policy_without_a_speed_of_its_own_is_driven_at_25_mph_everywhere(ctrl_dt):
    env, seconds = UdacityEnv(cameras=(), ctrl_dt=ctrl_dt), 12.0
    steps = list(drive(env, Follows(), seconds=seconds, seed=0, start=START))
    assert not any(step.fell for step in steps)
    speeds = np.array([step.next_info["speed"] for step in steps if step.time > 9.0])
    assert DEFAULT_SPEED == 25 * MPH
    assert np.abs(speeds - 25 * MPH).max() < 0.3
    expected = np.array([step.decision.action for step in steps])
    for actions in (
        by_evaluation(Follows(), env, seconds),
        by_evaluation(PolicyExpert(Follows()), env, seconds),
        by_own_loop(PolicyExpert(Follows()), env, seconds),
        by_drive(GatedDriver(Follows(), None, PolicyAlone()), env, seconds),
    ):
        np.testing.assert_array_equal(actions, expected)
    env.close()


def test_two_lengths_of_a_step_come_to_the_same_speed():
    speeds = []
    for ctrl_dt in (1 / 15, 1 / 30):
        env = UdacityEnv(cameras=(), ctrl_dt=ctrl_dt)
        last = list(drive(env, Follows(), seconds=4.0, seed=0, start=START))[-1]
        speeds.append(last.next_info["speed"])
        env.close()
    assert speeds[0] == pytest.approx(speeds[1], abs=0.2)
