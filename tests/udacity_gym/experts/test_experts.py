import numpy as np
import pytest

from udacity_gym.env import UdacityEnv
from udacity_gym.errors import OptionError, SimulatorError, TrackError
from udacity_gym.experts import PID, PurePursuit, Racing
from udacity_gym.telemetry import MPH
from udacity_gym.world.track.track import Track


def lap(expert, options=None, laps=1, seed=0):
    """Drive until the environment ends the episode; infos of every step."""
    env = UdacityEnv(cameras=(), max_laps=laps, max_seconds=400.0 * laps)
    observation, info = env.reset(seed=seed, options=options)
    infos = [info]
    ended = False
    while not ended:
        observation, _, terminated, truncated, info = env.step(expert(observation, info))
        infos.append(info)
        ended = terminated or truncated
    return infos


def column(infos, key):
    return np.array([info[key] for info in infos])


@pytest.mark.parametrize("mph", [9, 25, 28, 30])
def test_pure_pursuit_laps_the_lake_cleanly(mph):
    infos = lap(PurePursuit(speed=mph * MPH))
    assert infos[-1]["end_reason"] == "max_laps"
    assert np.abs(column(infos, "cte")).mean() < 0.2
    assert not column(infos, "off_lane").any()
    assert column(infos, "speed")[100:].mean() == pytest.approx(mph * MPH, rel=0.02)
    assert np.abs(np.diff(column(infos, "steering"))).mean() < 0.01, "and smoothly"


@pytest.mark.parametrize("mph", [9, 20, 30])
def test_pid_laps_the_lake_on_the_lane(mph):
    infos = lap(PID(speed=mph * MPH))
    assert infos[-1]["end_reason"] == "max_laps"
    assert np.abs(column(infos, "cte")).mean() < 0.4
    assert not column(infos, "off_lane").any()


def test_pid_starts_afresh_with_every_episode():
    expert = PID()
    first = column(lap(expert), "pose")
    np.testing.assert_array_equal(column(lap(expert), "pose"), first)


@pytest.mark.parametrize("side", [-1, 1])
def test_pure_pursuit_comes_back_from_the_edge_of_the_road(side):
    options = {"s": "random", "offset": side * 3.5, "heading_error": side * 0.3, "speed": 8.0}
    for seed in range(5):
        infos = lap(PurePursuit(), options, seed=seed)
        assert infos[-1]["end_reason"] == "max_laps"
        assert np.abs(column(infos, "cte"))[75:].max() < 0.3


def test_pure_pursuit_has_no_memory():
    expert = PurePursuit()
    infos = lap(expert)[:50]
    there = [expert(None, info) for info in infos]
    back = [expert(None, info) for info in reversed(infos)][::-1]
    np.testing.assert_array_equal(there, back)


def test_pure_pursuit_slows_down_for_bends_that_ask_for_too_much():
    fast = column(lap(PurePursuit(speed=13.0)), "speed").max()
    infos = lap(PurePursuit(speed=13.0, lateral_acceleration=3.0))
    sharp = np.abs(column(infos, "curvature")) > 0.03
    assert fast > 12.5
    assert column(infos, "speed")[sharp].max() < np.sqrt(3.0 / 0.0306) + 0.5
    assert column(infos, "speed").max() > 12.0


def test_experts_give_actions_of_the_action_space():
    env = UdacityEnv(cameras=())
    for expert in (PurePursuit(), PID()):
        for seed in range(20):
            options = {"s": "random", "offset": (-4, 4), "heading_error": (-3, 3), "speed": (-10, 13)}
            observation, info = env.reset(seed=seed, options=options)
            assert expert(observation, info) in env.action_space


def test_pure_pursuit_takes_a_track_as_well_as_its_name():
    info = lap(PurePursuit())[40]
    np.testing.assert_array_equal(
        PurePursuit(track=Track.load("lake"))(None, info), PurePursuit()(None, info)
    )


def test_bad_arguments_are_refused():
    with pytest.raises(OptionError, match="speed"):
        PurePursuit(speed=0.0)
    with pytest.raises(OptionError, match="speed"):
        PID(speed=float("nan"))
    with pytest.raises(OptionError, match="integral must be a finite number from 0"):
        PID(integral=-0.1)
    with pytest.raises(TrackError, match="lake"):
        PurePursuit(track="atlantis")


def test_pure_pursuit_refuses_to_drive_on_another_track_by_its_own_line():
    data = Track.load("lake").data
    start = {**data["start"], "heading": data["start"]["heading"] + 0.3}
    env = UdacityEnv(track=Track({**data, "start": start}), cameras=())
    observation, info = env.reset(seed=0)
    with pytest.raises(OptionError, match=r"track=env\.unwrapped\.track"):
        PurePursuit()(observation, info)
    assert PurePursuit(track=env.track)(observation, info).shape == (2,)


def test_pid_laps_the_jungle_with_gains_for_hairpins():
    env = UdacityEnv(cameras=(), track="jungle", max_laps=1)
    expert = PID(speed=5.0, proportional=0.8, derivative=3.0)
    observation, info = env.reset(seed=0)
    ended = wide = False
    while not ended:
        observation, _, terminated, truncated, info = env.step(expert(observation, info))
        wide |= info["off_lane"]
        ended = terminated or truncated
    assert info["end_reason"] == "max_laps"
    assert not wide


def test_pid_without_the_heading_goes_by_differences():
    def blind(expert):
        return lambda _, info: expert(None, {k: v for k, v in info.items() if k in ("cte", "speed", "time")})

    infos = lap(blind(PID()))
    assert infos[-1]["end_reason"] == "max_laps"
    assert np.abs(column(infos, "cte")).mean() < 0.4


@pytest.mark.parametrize(
    ("expert", "lacks"), [(PurePursuit(), "s, cte"), (Racing(), "s, cte"), (PID(), "cte")]
)
def test_experts_say_what_a_simulator_does_not_tell(expert, lacks):
    with pytest.raises(SimulatorError, match=f"does not tell {lacks}"):
        expert(None, {"speed": 3.0, "time": 0.0})
