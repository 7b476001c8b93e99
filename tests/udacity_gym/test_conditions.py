import doctest
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, strategies as st

from udacity_gym import conditions
from udacity_gym.conditions import (
    FIELDS,
    NAMED,
    Conditions,
    Randomization,
    plain_conditions,
    read_conditions,
)
from udacity_gym.errors import OptionError


def test_the_examples_in_its_docstrings_hold():
    assert doctest.testmod(conditions).failed == 0


def test_importing_it_loads_neither_numba_nor_opencv():
    code = (
        "import sys, udacity_gym.conditions, udacity_gym.sensors; print({'numba', 'cv2'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_default_is_what_clear_is_and_changes_nothing():
    assert Conditions() == Conditions.named("clear")
    assert Conditions().changes() == {}


@pytest.mark.parametrize("name", NAMED)
def test_every_named_one_can_be_written_as_json_and_read_again(name):
    for values in (NAMED[name].changes(), NAMED[name].to_dict()):
        written = json.loads(json.dumps(values))
        assert read_conditions(written) == Conditions.from_dict(written) == NAMED[name]


def test_a_dict_of_conditions_has_every_field_but_those_that_are_none():
    assert Conditions().to_dict() == {
        "weather": "clear",
        "intensity": 1.0,
        "time_of_day": "day",
        "shadows": "cast",
        "road_wear": 0.0,
        "grip": 1.0,
        "exposure": 0.0,
        "noise": 0.0,
    }
    assert NAMED["compressed"].to_dict()["jpeg"] == 12


@pytest.mark.parametrize("wrong", ["rain", None, Conditions(), {"fog": 1}, {"grip": -1.0}])
def test_what_is_no_dict_of_conditions_is_refused(wrong):
    with pytest.raises(OptionError, match=r"conditions must be a mapping|no field 'fog'|grip"):
        Conditions.from_dict(wrong)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"weather": "sunny"}, "weather must be one of 'clear'"),
        ({"time_of_day": 12}, "time_of_day must be one of"),
        ({"intensity": 1.5}, "intensity must be a finite number from 0 to 1"),
        ({"grip": 0.0}, "grip"),
        ({"visibility": 1.0}, "visibility"),
        ({"jpeg": 0}, "jpeg must be a whole number"),
        ({"jpeg": 50.5}, "jpeg must be a whole number"),
        ({"exposure": float("nan")}, "exposure"),
        ({"noise": True}, "noise"),
        ({"sun_elevation": 2.0}, "sun_elevation"),
        ({"fog": 1}, "no field 'fog'; there are weather"),
    ],
)
def test_wrong_values_are_refused_with_what_would_be_right(wrong, told):
    with pytest.raises(OptionError, match=told):
        Conditions().changed(**wrong)
    with pytest.raises(OptionError, match=told):
        Randomization(**wrong)
    with pytest.raises(OptionError, match=told):
        read_conditions(None, **wrong)


def test_an_unknown_name_is_answered_with_those_that_there_are():
    with pytest.raises(OptionError, match="no conditions 'hail'; there are clear, overcast, rain"):
        Conditions.named("hail")
    with pytest.raises(OptionError, match="no conditions 'hail'"):
        Randomization(("clear", "hail"))
    with pytest.raises(OptionError, match="conditions must be a name such as 'rain'"):
        read_conditions(7)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"noise": (5, 1)}, "low <= high"),
        ({"noise": (1, 2, 3)}, "a pair"),
        ({"noise": ("a", "b")}, "a pair"),
        ({"weather": ()}, "at least one choice"),
        ({"named": ()}, "at least one name"),
    ],
)
def test_ranges_that_are_none_are_refused(wrong, told):
    with pytest.raises(OptionError, match=told):
        Randomization(**wrong)


RANDOM = Randomization(
    ("clear", "rain", "dusk"),
    weather=("fog", "snow"),
    exposure=(-0.5, 0.5),
    jpeg=(10, 90),
    sun_azimuth=(0, 3),
)


@given(st.integers(0, 2**63))
def test_what_is_drawn_is_within_the_ranges_and_repeats_with_the_seed(seed):
    first, second = (RANDOM.draw(np.random.default_rng(seed)) for _ in range(2))
    assert first == second
    assert first.weather in ("fog", "snow")
    assert first.time_of_day in ("day", "dusk")
    assert -0.5 <= first.exposure <= 0.5
    assert 10 <= first.jpeg <= 90
    assert isinstance(first.jpeg, int)
    assert first.grip == 1.0


def test_draws_differ_from_episode_to_episode():
    generator = np.random.default_rng(0)
    drawn = [RANDOM.draw(generator) for _ in range(30)]
    assert len(set(drawn)) == 30
    assert {c.weather for c in drawn} == {"fog", "snow"}


def test_a_randomization_survives_pickle_and_json_and_shows_itself_as_code():
    assert pickle.loads(pickle.dumps(RANDOM)) == RANDOM
    assert read_conditions(json.loads(json.dumps(plain_conditions(RANDOM)))) == RANDOM
    assert eval(repr(RANDOM)) == RANDOM
    assert hash(RANDOM) == hash(pickle.loads(pickle.dumps(RANDOM)))


def test_single_fields_replace_what_a_name_says():
    assert read_conditions("rain", intensity=1.0) == Conditions(weather="rain")
    ranged = read_conditions("rain", grip=(0.5, 0.6))
    assert isinstance(ranged, Randomization)
    drawn = ranged.draw(np.random.default_rng(0))
    assert drawn.weather == "rain"
    assert 0.5 <= drawn.grip <= 0.6


def test_no_field_has_the_name_of_another_reset_option():
    from udacity_gym.world.physics.world import RESET_OPTIONS

    assert not set(FIELDS) & set(RESET_OPTIONS)


def test_a_randomization_of_nothing_is_refused():
    with pytest.raises(OptionError, match="draws nothing: give names"):
        Randomization()
    assert read_conditions({}) == Conditions()
    assert eval(repr(Randomization("clear"))) == Randomization("clear")
