"""What the environment shows: sizes, fields of view, sensors, conditions; with other people's checkers."""

import json
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check
from stable_baselines3.common.env_checker import check_env as sb3_check

from udacity_gym.conditions import Conditions, Randomization
from udacity_gym.env import UdacityEnv
from udacity_gym.errors import OptionError, TrackError
from udacity_gym.sensors import FAR, Label

SMALL = {"image_size": (40, 48)}
VARIANTS = {
    "small": SMALL,
    "wide": {**SMALL, "field_of_view": 1.5},
    "depth": {**SMALL, "sensors": ("depth",)},
    "both": {**SMALL, "cameras": ("left", "right"), "sensors": ("segmentation", "depth")},
    "random": {**SMALL, "conditions": Randomization(("rain", "night"), noise=(0, 9), jpeg=(20, 90))},
    "blind": {"cameras": (), "conditions": "snow"},
}


def make(**settings):
    return gymnasium.make("UdacitySim-v0", disable_env_checker=True, **settings)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_checkers_of_gymnasium_and_stable_baselines3_pass(name):
    with make(**VARIANTS[name]) as env, warnings.catch_warnings():
        # SB3 tells that it would rather have flat vectors than arrays of two dimensions.
        warnings.filterwarnings("ignore", message=".*unconventional shape.*")
        gymnasium_check(env.unwrapped, skip_render_check=True)
        sb3_check(env.unwrapped, skip_render_check=True)


@pytest.mark.parametrize("name", VARIANTS)
def test_same_seed_and_actions_give_the_same_bytes(name):
    def drive(seed):
        with make(**VARIANTS[name]) as env:
            seen = [env.reset(seed=seed, options={"s": "random"})[0]]
            seen += [env.step(np.array([0.1, 0.5], np.float32))[0] for _ in range(3)]
        return [b"".join(v.tobytes() for v in (o.values() if isinstance(o, dict) else [o])) for o in seen]

    assert drive(4) == drive(4)
    assert drive(4) != drive(5)


def test_sensors_come_with_their_cameras_in_one_mapping():
    with make(**SMALL, sensors=("depth", "segmentation")) as env:
        assert list(env.observation_space) == ["center", "center_depth", "center_segmentation"]
        seen, _ = env.reset(seed=0)
        assert env.observation_space.contains(seen)
        assert seen["center_depth"].max() == FAR
        assert {Label.SKY, Label.ROAD, Label.CAR} <= set(np.unique(seen["center_segmentation"]).tolist())


def test_a_small_image_is_the_large_one_in_small():
    with make(image_size=(160, 320)) as large, make(image_size=(80, 160)) as small:
        big, _ = large.reset(seed=0, options={"s": 400.0})
        little, _ = small.reset(seed=0, options={"s": 400.0})
    shrunk = big.reshape(80, 2, 160, 2, 3).mean(axis=(1, 3))
    assert np.abs(shrunk - little).mean() < 8


def test_a_narrow_field_of_view_shows_the_middle_larger():
    with (
        make(image_size=(80, 160)) as usual,
        make(image_size=(40, 80), field_of_view=2 * np.arctan(0.5 / 3**0.5)) as near,
    ):
        wide, _ = usual.reset(seed=0, options={"s": 400.0})
        zoomed, _ = near.reset(seed=0, options={"s": 400.0})
    middle = wide[20:60, 40:120]
    assert np.abs(middle.astype(float) - zoomed).mean() < 8


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"sensors": "depth"}, r"a tuple of names, such as \('depth',\)"),
        ({"sensors": ("lidar",)}, "different ones of depth, segmentation"),
        ({"sensors": ("depth", "depth")}, "different ones"),
        ({"sensors": ("depth",), "cameras": ()}, "need a camera"),
        ({"sensors": ("depth",), "simulator": "remote", "port": 0}, "have no depth; the embedded one's have"),
        ({"image_size": 64}, "height, width"),
        ({"image_size": (8, 64)}, "whole number from 16"),
        ({"image_size": (64.0, 64)}, "whole number"),
        ({"image_size": (64, 64), "simulator": "remote", "port": 0}, "embedded simulator's alone"),
        ({"field_of_view": 60}, "rad, vertical"),
        ({"conditions": "hail"}, "no conditions 'hail'"),
        ({"conditions": {"hail": 1}}, "no field 'hail'"),
    ],
)
def test_wrong_arguments_are_refused_with_what_would_be_right(wrong, told):
    with pytest.raises(OptionError, match=told):
        UdacityEnv(**wrong)


def test_info_tells_the_conditions_that_were_drawn():
    with make(cameras=(), conditions=Randomization(("rain", "fog"), exposure=(-1, 1))) as env:

        def reset(seed, **options):
            return Conditions.from_dict(env.reset(seed=seed, options=options)[1]["conditions"])

        drawn = [reset(seed) for seed in range(12)]
        assert {c.weather for c in drawn} == {"rain", "fog"}
        assert len({c.exposure for c in drawn}) == 12
        assert env.step(np.zeros(2, np.float32))[4]["conditions"] == drawn[-1].to_dict()
        assert reset(0, conditions="dusk") == Conditions.named("dusk")
        snow = reset(0, weather="snow", noise=(3, 4))
        assert snow.weather == "snow"
        assert 3 <= snow.noise <= 4
        assert reset(0) == drawn[0]


ANYTHING = Randomization(
    ("rain", "low_sun", "ice", "compressed"), exposure=(-1, 1), sun_azimuth=(0, 6), grip=(0.3, 1.0)
)


@pytest.mark.parametrize("usual", [None, "rain", ANYTHING], ids=["none", "name", "randomization"])
def test_a_reset_with_the_conditions_of_info_gives_exactly_those_again(usual):
    with make(**SMALL, conditions=ANYTHING) as env, make(**SMALL, conditions=usual) as other:
        for seed in range(6):
            _, info = env.reset(seed=seed)
            conditions = Conditions.from_dict(info["conditions"])
            image, again = other.reset(seed=seed, options={"conditions": info["conditions"]})
            assert again["conditions"] == info["conditions"]
            assert other.unwrapped.simulator.conditions == conditions
            same, _ = other.reset(seed=seed, options={"conditions": conditions})
            np.testing.assert_array_equal(image, same)


def test_the_conditions_of_info_are_nothing_but_numbers_and_strings():
    with make(cameras=(), conditions=ANYTHING) as env:
        for seed in range(6):
            conditions = env.reset(seed=seed)[1]["conditions"]
            assert type(conditions) is dict
            assert {type(value) for value in conditions.values()} <= {int, float, str}
            assert json.loads(json.dumps(conditions)) == conditions


def test_changing_info_changes_nothing_of_the_episode():
    with make(cameras=(), conditions="ice") as env:
        _, info = env.reset(seed=0)
        info["conditions"].clear()
        assert env.step(np.zeros(2, np.float32))[4]["conditions"]["grip"] == 0.3


def test_an_episode_on_another_track_has_its_state_and_the_next_is_at_home_again():
    with make(**SMALL) as env:
        space = env.observation_space
        _, lake = env.reset(seed=0)
        seen, there = env.reset(seed=0, options={"track": "jungle", "direction": "reverse"})
        assert (lake["track"], there["track"]) == ("lake", "jungle")
        assert env.unwrapped.track.name == "jungle"
        assert env.unwrapped.track.direction == "reverse"
        assert space.contains(seen)
        assert env.step(np.zeros(2, np.float32))[4]["track"] == "jungle"
        _, home = env.reset(seed=0)
        assert home["track"] == env.unwrapped.track.name == "lake"
        assert home["s"] == lake["s"]
        with pytest.raises(TrackError, match="no track 'moon'"):
            env.reset(options={"track": "moon"})
