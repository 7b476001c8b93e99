"""The mountain pass, which was laid with the project's own means."""

import gymnasium as gym
import numpy as np
import pytest

import udacity_gym  # noqa: F401 - registers the environment
from udacity_gym.evaluation import evaluate
from udacity_gym.experts import PurePursuit
from udacity_gym.world.track.generator import APART, CLEARANCE
from udacity_gym.world.track.layout import nearest_approach
from udacity_gym.world.track.track import Track

MOUNTAIN = Track.load("mountain")


def test_it_climbs_by_hairpins_to_a_pass_and_never_comes_close_to_itself():
    tightest = 1 / np.abs(MOUNTAIN.curvature).max()
    assert 10 < tightest < 13
    assert np.ptp(MOUNTAIN.z) == pytest.approx(72, abs=1)
    grade = np.diff(MOUNTAIN.z, append=MOUNTAIN.z[0]) / MOUNTAIN.ds
    assert -0.22 < grade.min() < -0.1 < 0.1 < grade.max() < 0.16
    turned = np.convolve(MOUNTAIN.curvature * MOUNTAIN.ds, np.ones(120), "same")
    assert (np.abs(turned) > np.radians(135)).any(), "a hairpin turns about half around within 60 m"
    assert nearest_approach(MOUNTAIN.data["segments"], APART) > CLEARANCE


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_an_expert_drives_the_pass_in_the_right_hand_lane(direction):
    env = gym.make("UdacitySim-v0", track="mountain", cameras=(), direction=direction)
    result = evaluate(PurePursuit(env.unwrapped.track, speed=12.0), env, laps=1)
    assert result.complete
    assert not result.incidents
    assert MOUNTAIN.design_speed == pytest.approx(6.07)
