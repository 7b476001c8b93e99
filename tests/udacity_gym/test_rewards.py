import math

import pytest

from udacity_gym.errors import OptionError
from udacity_gym.rewards import DEFAULT_REWARDS, TERMS, Transition, compile_rewards
from udacity_gym.telemetry import Telemetry, TrackState


def telemetry(progress=0.0, speed=10.0, steering=0.0, **track) -> Telemetry:
    state = {"s": 0.0, "cte": 0.0, "heading_error": 0.0, "curvature": 0.0, "lap": 0}
    flags = {"offroad": False, "off_lane": False}
    return Telemetry(
        time=0.0,
        speed=speed,
        steering=steering,
        throttle=0.0,
        brake=0.0,
        track=TrackState(progress=progress, **{**state, **flags, **track}),
    )


def transition(before=None, after=None) -> Transition:
    return Transition(before or telemetry(), after or telemetry(progress=0.5), dt=0.1)


@pytest.mark.parametrize(
    ("name", "step", "value"),
    [
        ("progress", transition(), 0.5),
        ("progress", transition(telemetry(progress=2.0), telemetry(progress=1.5)), -0.5),
        ("off_lane", transition(), 0.0),
        ("off_lane", transition(after=telemetry(off_lane=True, speed=12.0)), 1.1),
        ("off_road", transition(), 0.0),
        ("off_road", transition(after=telemetry(offroad=True)), 1.0),
        ("off_road", transition(telemetry(offroad=True), telemetry(offroad=True)), 0.0),
        ("deviation", transition(after=telemetry(cte=-2.0)), 0.2),
        ("steering_change", transition(telemetry(steering=0.1), telemetry(steering=-0.2)), 0.3),
        ("duration", transition(), 0.1),
    ],
)
def test_a_term_measures_what_its_name_says(name, step, value):
    assert TERMS.find(name)(step) == pytest.approx(value)


def test_a_weight_scales_its_term():
    compiled = compile_rewards({"progress": 2.0, "duration": -3})
    assert {name: term(transition()) for name, term in compiled.items()} == pytest.approx(
        {"progress": 1.0, "duration": -0.3}
    )


def test_a_metre_over_the_line_costs_more_than_it_earns():
    step = transition(after=telemetry(progress=1.0, off_lane=True))
    assert sum(term(step) for term in compile_rewards(DEFAULT_REWARDS).values()) < 0


def test_a_function_of_ones_own_is_a_term():
    compiled = compile_rewards({"haste": lambda step: step.after.speed * step.dt})
    assert compiled["haste"](transition()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("rewards", "says"),
    [
        ({"progres": 1.0}, "no reward term 'progres'.*progress, off_lane"),
        ({"progress": math.nan}, "finite"),
        ({"progress": "high"}, "finite"),
        ({"progress": True}, "finite"),
        (None, "mapping"),
    ],
)
def test_a_mistake_is_refused_with_the_name_of_the_term(rewards, says):
    with pytest.raises(OptionError, match=says):
        compile_rewards(rewards)


def test_a_term_that_needs_the_track_says_so_where_there_is_none():
    blind = Telemetry(time=0.0, speed=1.0, steering=0.0, throttle=0.0, brake=0.0)
    with pytest.raises(OptionError, match="position on the track"):
        TERMS.find("deviation")(Transition(blind, blind, dt=0.1))


def test_where_there_is_no_track_the_terms_fall_back_on_what_is_told():
    before = Telemetry(time=1.0, speed=4.0, steering=0.0, throttle=0.0, brake=0.0)
    after = Telemetry(
        time=1.5, speed=6.0, steering=0.0, throttle=0.0, brake=0.0, extra={"cte": -2.0, "offroad": True}
    )
    step = Transition(before, after, dt=0.5)
    assert TERMS.find("progress")(step) == pytest.approx(2.5)
    assert TERMS.find("off_lane")(step) == 0.0
    assert TERMS.find("off_road")(step) == 1.0
    assert TERMS.find("off_road")(Transition(after, after, dt=0.5)) == 0.0
    assert TERMS.find("deviation")(step) == pytest.approx(1.0)
