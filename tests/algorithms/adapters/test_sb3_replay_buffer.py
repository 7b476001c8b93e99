"""Recordings fill replay buffers of Stable-Baselines3."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from simple_road import log_without
from stable_baselines3 import SAC
from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer

from algorithms.adapters.sb3_replay_buffer import fill_replay_buffer
from udacity_gym.driving import drive
from udacity_gym.env import UdacityEnv
from udacity_gym.errors import OptionError, RecordingError
from udacity_gym.recording import Downscale, Recorder, Recording, RecordingWriter, open_recording

SMALL = Downscale((36, 64), crop=(0, 160))
ACTIONS = spaces.Box(-1, 1, (2,), np.float32)
STEERING = spaces.Box(-1, 1, (1,), np.float32)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Episodes that end off the road, and one that is cut off."""
    folder = tmp_path_factory.mktemp("drives") / "drive"

    def turn_right(observation: Any, info: Any) -> np.ndarray:
        return np.array([0.4, 1.0], np.float32)

    with UdacityEnv() as env, Recorder(folder, cameras=("center",)) as recorder:
        for step in drive(env, turn_right, seed=0, steps=61, on_fall="restart", start={"speed": 10.0}):
            recorder.add(step)
    return open_recording(folder)


def make_buffer(size: int = 100, shape: tuple[int, ...] = (3, 36, 64), **settings: Any) -> ReplayBuffer:
    actions = settings.pop("actions", ACTIONS)
    return ReplayBuffer(size, spaces.Box(0, 255, shape, np.uint8), actions, device="cpu", **settings)


def test_transitions_are_those_of_the_drive(recording: Recording) -> None:
    buffer = make_buffer()
    count = fill_replay_buffer(buffer, recording, SMALL)
    *fallen, cut = recording.episodes
    assert fallen
    assert count == buffer.pos == len(recording) - 1  # what came after the last row is not known
    row = 0
    for episode in recording.episodes:
        outcomes = episode.outcomes()
        assert outcomes is not None
        for i in range(len(episode) - (episode is cut)):
            image = np.moveaxis(SMALL(episode[i].image()), 2, 0)
            np.testing.assert_array_equal(buffer.observations[row, 0], image)
            following = episode[min(i + 1, len(episode) - 1)].image()
            np.testing.assert_array_equal(
                buffer.next_observations[row, 0], np.moveaxis(SMALL(following), 2, 0)
            )
            assert buffer.actions[row, 0] == pytest.approx([0.4, 1.0])
            assert buffer.rewards[row, 0] == pytest.approx(outcomes.rewards[i])
            assert buffer.dones[row, 0] == outcomes.terminated[i]
            row += 1
    assert buffer.dones.sum() == len(fallen)
    assert not buffer.timeouts.any()


def test_a_model_learns_from_a_recording(recording: Recording) -> None:
    with UdacityEnv(image_size=(36, 64)) as env:
        model = SAC("CnnPolicy", env, buffer_size=100, batch_size=16, seed=0, device="cpu")
        fill_replay_buffer(model.replay_buffer, recording, SMALL)
        before = [weights.detach().clone() for weights in model.policy.parameters()]
        model._setup_learn(1)
        model.train(gradient_steps=2)
    assert any((a != b).any() for a, b in zip(before, model.policy.parameters(), strict=True))


def test_several_environments_share_the_transitions(recording: Recording) -> None:
    buffer, single = make_buffer(n_envs=2), make_buffer()
    count = fill_replay_buffer(buffer, recording, SMALL)
    assert count == fill_replay_buffer(single, recording, SMALL) // 2 * 2
    np.testing.assert_array_equal(buffer.rewards[: count // 2].ravel(), single.rewards[:count, 0])


def test_an_action_of_one_number_is_the_steering(recording: Recording) -> None:
    buffer = make_buffer(actions=STEERING)
    count = fill_replay_buffer(buffer, recording, SMALL)
    assert buffer.actions[:count, 0, 0] == pytest.approx(0.4)


def test_what_does_not_fit_is_refused_before_anything_is_added(recording: Recording) -> None:
    with pytest.raises(OptionError, match=r"60 transitions.*room for 20: make the model with buffer_size=60"):
        fill_replay_buffer(make_buffer(20), recording, SMALL)
    buffer = make_buffer(shape=(3, 84, 84))
    with pytest.raises(OptionError, match=r"takes observations \(3, 84, 84\), a recorded image"):
        fill_replay_buffer(buffer, recording, SMALL)
    assert buffer.pos == 0
    images = spaces.Dict({"center": spaces.Box(0, 255, (3, 36, 64), np.uint8)})
    with pytest.raises(OptionError, match="a ReplayBuffer of single images is filled, not DictReplayBuffer"):
        fill_replay_buffer(DictReplayBuffer(10, images, ACTIONS, device="cpu"), recording, SMALL)


def test_an_action_of_two_numbers_needs_throttle_and_brake(recording: Recording, tmp_path: Path) -> None:
    poor = log_without(recording.path, tmp_path / "poor", "brake")
    with pytest.raises(RecordingError, match=r"brake was not recorded.*wrap the environment.*SpeedControl"):
        fill_replay_buffer(make_buffer(), poor, SMALL)
    assert fill_replay_buffer(make_buffer(actions=STEERING), poor, SMALL) == 60


def test_a_recording_without_rewards_is_refused(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "drive", cameras=("center",)) as writer:
        for index in range(4):
            image = np.full((160, 320, 3), index, np.uint8)
            writer.write({"center": image}, 0.0, 0.0, 0.0, 3.0, time=index / 15)
    with pytest.raises(RecordingError, match="has no rewards, which reinforcement learning needs"):
        fill_replay_buffer(make_buffer(), tmp_path / "drive", SMALL)
