"""Experts in loops that people write themselves, where nobody resets them, and on whatever track there is."""

import numpy as np
import pytest

from udacity_gym.driving import Corrections, Reading, drive
from udacity_gym.env import UdacityEnv
from udacity_gym.errors import OptionError
from udacity_gym.experts import PID, Noise, NoisyExpert, PolicyExpert, PurePursuit, Racing, ScriptedHuman
from udacity_gym.world import generate_track
from udacity_gym.world.track.track import Track

START = {"s": 100.0, "speed": 8.0}


class Counts:
    """A policy that steers by the number of its steps in the episode, at a speed that is kept for it."""

    actions = ("steering",)

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        count = 0 if state is None else state + 1
        return np.array([0.01 * count], np.float32), count


class TouchesLater:
    """A human who takes over after a second and a half, and turns the wheel further and further."""

    def read(self, observation, info):
        touches = 1.5 < info["time"] < 2.0
        return Reading(info["time"], steering=info["time"] / 4, throttle=0.2, active=touches)


def scripted_human():
    return ScriptedHuman(PurePursuit(), cte=0.3, recovered_cte=0.25, reaction_time=0.2, calm=0.2, seed=2)


EXPERTS = {
    "pid": PID,
    "pure pursuit": PurePursuit,
    "racing": Racing,
    "noisy": lambda: NoisyExpert(PID(), Noise.of(0.1, correlation=0.5), seed=2),
    "policy": lambda: PolicyExpert(Counts()),
    "scripted human": scripted_human,
    "corrections": lambda: Corrections(TouchesLater()),
}


def two_episodes(expert, env, *, calls_reset):
    """What an expert answers in two episodes; where it has no answer, the car goes straight on."""
    answers = []
    for _ in range(2):
        observation, info = env.reset(seed=0, options=START)
        if calls_reset:
            expert.reset(env, info)
        for _ in range(40):
            answer = expert(observation, info)
            answers.append([np.nan, np.nan] if answer is None else answer)
            action = np.array([0.02, 0.3], np.float32) if answer is None else answer
            observation, _, _, _, info = env.step(action)
    return np.array(answers)


@pytest.mark.parametrize("name", EXPERTS)
def test_an_expert_that_nobody_resets_drives_as_one_that_is_reset(name):
    env = UdacityEnv(cameras=())
    without, with_reset = (
        two_episodes(EXPERTS[name](), env, calls_reset=calls_reset) for calls_reset in (False, True)
    )
    np.testing.assert_array_equal(without, with_reset)
    if name not in ("noisy", "scripted human"):  # whose noise goes on
        np.testing.assert_array_equal(without[:40], without[40:])
    if name in ("scripted human", "corrections"):
        assert 0.0 < np.isnan(without).mean() < 1.0


TRACKS = {
    "lake": "lake",
    "jungle": "jungle",
    "mountain": "mountain",
    "lake in reverse": Track.load("lake").reversed(),
    "jungle in reverse": Track.load("jungle").reversed(),
    "generated": generate_track(5, difficulty=0.6, length=700.0),
    "generated in reverse": generate_track(5, difficulty=0.6, length=700.0).reversed(),
}


@pytest.mark.parametrize("name", TRACKS)
@pytest.mark.parametrize("make_expert", [PurePursuit, Racing])
def test_an_expert_drives_on_the_track_of_the_environment(make_expert, name):
    track = TRACKS[name]
    env = UdacityEnv(cameras=(), track=track)
    steps = list(drive(env, make_expert(), seconds=12.0))
    assert not any(step.fell for step in steps)
    assert steps[-1].distance > 50.0
    assert not any(step.next_info["off_lane"] for step in steps)
    told = list(drive(env, make_expert(track), seconds=12.0))
    for one, other in zip(steps, told, strict=True):
        np.testing.assert_array_equal(one.decision.action, other.decision.action)


@pytest.mark.parametrize("make_expert", [PurePursuit, Racing])
def test_one_expert_drives_on_one_track_after_the_other(make_expert):
    expert = make_expert()
    env = UdacityEnv(cameras=(), track=TRACKS["generated"])
    for start in ({}, {"track": "jungle"}, {"direction": "reverse"}, {"track": "lake"}, {}):
        steps = list(drive(env, expert, seconds=2.0, start=start))
        told = list(drive(env, make_expert(env.track), seconds=2.0, start=start))
        for one, other in zip(steps, told, strict=True):
            np.testing.assert_array_equal(one.decision.action, other.decision.action)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_an_expert_that_nobody_resets_finds_built_in_tracks_by_their_names(direction):
    expert, env = PurePursuit(), UdacityEnv(cameras=(), direction=direction)
    for track in ("lake", "jungle", "lake"):
        observation, info = env.reset(seed=0, options={"track": track, "direction": direction})
        for _ in range(60):
            observation, _, terminated, _, info = env.step(expert(observation, info))
            assert not terminated
        assert (expert.track.name, expert.track.direction) == (track, direction)
        assert abs(info["cte"]) < 0.3


def test_an_expert_that_nobody_resets_asks_for_a_track_that_is_not_built_in():
    env = UdacityEnv(cameras=(), track=TRACKS["generated"])
    observation, info = env.reset(seed=0)
    for make_expert in (PurePursuit, Racing):
        with pytest.raises(OptionError, match=r"no track to follow: call its reset\(env, info\)"):
            make_expert()(observation, info)
    expert = PurePursuit()
    expert.reset(env, info)
    assert expert(observation, info).shape == (2,)


def test_an_expert_with_a_track_of_its_own_keeps_to_it():
    env = UdacityEnv(cameras=(), track="jungle")
    with pytest.raises(OptionError, match="drives on track 'lake', but the car is on another one"):
        next(drive(env, PurePursuit("lake")))
