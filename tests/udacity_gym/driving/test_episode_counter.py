"""Results of episodes, counted while somebody drives."""

import math

import gymnasium
import numpy as np
import pytest

import udacity_gym  # noqa: F401
from udacity_gym.driving import EpisodeCounter, GatedDriver, HumanGate, drive
from udacity_gym.experts import PurePursuit

CORRECTIONS = {*range(10, 15), *range(30, 34)}
"""Steps in which the scripted human corrects."""


@pytest.fixture(scope="module")
def steps():
    """40 steps in which a policy drives, and a human corrects it twice."""
    env = gymnasium.make("UdacitySim-v0", cameras=())
    expert, step = PurePursuit(), -1

    def correct(observation, info):
        nonlocal step
        step += 1
        return expert(observation, info) if step in CORRECTIONS else None

    class Straight:
        def predict(self, observation, state=None, episode_start=None, deterministic=True):
            return np.array([0.0, 0.5], np.float32), state

    driver = GatedDriver(Straight(), correct, HumanGate())
    result = list(drive(env, driver, steps=40, seed=0))
    env.close()
    return result


def counted(steps):
    counter = EpisodeCounter()
    for step in steps:
        counter.add(step)
    return counter


def test_an_episode_is_summed_up(steps):
    counter = counted(steps)
    (episode,) = counter.episodes()
    assert (episode.frames, episode.labels, episode.takeovers) == (40, 9, 2)
    assert episode.policy == 31
    assert episode.end == "frames"
    assert not episode.fell
    assert episode.seconds == pytest.approx(40 / 15)
    assert episode.metres > 0.0
    assert (counter.labels, counter.policy, counter.takeovers) == (9, 31, 2)


def test_discarded_frames_do_not_count_and_the_next_one_begins_an_episode(steps):
    counter = counted(steps)
    first = counter.last_correction
    assert first == 30
    counter.discard_last(len(counter) - first)
    assert (len(counter), counter.labels, counter.takeovers) == (30, 5, 1)
    assert counter.last_correction == 10
    counter.add(steps[35])
    assert [episode.frames for episode in counter.episodes()] == [30, 1]


def test_a_correction_that_begins_with_its_episode_is_no_takeover(steps):
    counter = counted(steps[10:20])
    assert (counter.takeovers, counter.last_correction) == (0, 0)


def test_a_split_begins_another_episode(steps):
    counter = counted(steps[:5])
    counter.split()
    for step in steps[5:9]:
        counter.add(step)
    assert [episode.frames for episode in counter.episodes()] == [5, 4]
    assert not math.isnan(counter.episodes()[1].metres)


def test_the_totals_of_any_number_of_frames_take_no_loop(steps):
    counter = counted(steps)
    counter._frames = Untouchable(counter._frames)
    assert (counter.labels, counter.policy, counter.takeovers, counter.last_correction) == (9, 31, 2, 30)


class Untouchable(list):
    """Frames that can't be gone through."""

    def __iter__(self):
        raise AssertionError("all frames were gone through for a total")


def test_nothing_counted_has_no_episodes_and_no_correction():
    counter = EpisodeCounter()
    assert counter.episodes() == []
    assert counter.last_correction is None
    assert len(counter) == 0
