import json
import math
from importlib import resources

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from udacity_gym.errors import OptionError, SimulatorError
from udacity_gym.telemetry import MPH, Control
from udacity_gym.world.physics.car import CarParameters
from udacity_gym.world.physics.world import World
from udacity_gym.world.track.track import Track

LAKE = Track.load("lake")


def world(**arguments) -> World:
    return World(LAKE, **arguments)


def wander(of: World, steps: int = 60) -> list:
    """Drive a fixed wavy course and keep every state."""
    states = []
    for i in range(steps):
        of.step(Control(0.3 * math.sin(i / 5), 0.8))
        states.append((of.pose, of.speed, of.track_state, of.time))
    return states


@pytest.mark.parametrize(("ctrl_dt", "steps"), [(1 / 15, 4), (0.02, 1), (0.05, 3), (0.1, 5), (0.001, 1)])
def test_a_control_step_is_cut_into_equal_physics_steps(ctrl_dt, steps):
    made = world(ctrl_dt=ctrl_dt)
    assert made.sim_dt * steps == pytest.approx(ctrl_dt)


def test_time_is_the_number_of_steps_times_ctrl_dt_without_drift():
    made = world()
    made.reset()
    for _ in range(900):
        made.step(Control())
    assert made.time == 900 / 15


@pytest.mark.parametrize(("mode", "s", "offset"), [("training", 0.0, 0.46), ("autonomous", 267.0, 0.64)])
def test_without_options_the_car_stands_at_the_start_pose_of_its_mode(mode, s, offset):
    made = world()
    made.reset(options={"mode": mode})
    at = made.track_state
    assert math.remainder(at.s - s, LAKE.length) == pytest.approx(0.0, abs=1e-6)
    assert (at.cte, at.heading_error) == pytest.approx((offset, 0.0), abs=1e-6)
    assert made.speed == at.progress == made.time == at.lap == 0


def test_options_place_the_car():
    made = world()
    made.reset(options={"s": 850.0, "offset": -1.5, "heading_error": 0.2, "speed": 7.0})
    at = made.track_state
    assert (at.s, at.cte, at.heading_error) == pytest.approx((850.0, -1.5, 0.2), abs=1e-3)
    assert made.speed == 7.0


def test_s_wraps_around_the_lap():
    made = world()
    made.reset(options={"s": -10.0})
    assert made.track_state.s == pytest.approx(LAKE.length - 10.0)


def test_random_options_repeat_with_their_seed_and_differ_without():
    options = {"s": "random", "offset": (-1.0, 1.0), "heading_error": [-0.1, 0.1], "speed": (0.0, 10.0)}
    made, starts = world(), []
    for seed in (1, 1, 2, None):
        made.reset(seed, options)
        starts.append((made.pose, made.speed))
    assert starts[0] == starts[1]
    assert len({start[1] for start in starts}) == 3
    positions = []
    for _ in range(200):
        made.reset(options=options)
        positions.append(made.track_state.s)
        assert abs(made.track_state.cte) <= 1.0 + 1e-6
        assert 0.0 <= made.speed <= 10.0
    assert np.histogram(positions, bins=4, range=(0, LAKE.length))[0].min() > 20


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"position": 3}, "unknown reset option 'position'.*heading_error"),
        ({"s": math.nan}, "'s'"),
        ({"s": "anywhere"}, "'random'"),
        ({"offset": 9.0}, "'offset' must lie within"),
        ({"offset": (1.0, -1.0)}, "'offset'"),
        ({"offset": (1.0, 2.0, 3.0)}, "pair"),
        ({"heading_error": 4.0}, "'heading_error'"),
        ({"speed": 90.0}, "'speed'"),
        ({"speed": None}, "'speed' must be a finite number"),
        ({"mode": "manual"}, "training"),
    ],
)
def test_a_bad_option_is_refused_with_its_name_and_changes_nothing(options, says):
    made, untouched = world(), world()
    for each in (made, untouched):
        each.reset(3, {"s": "random"})
    with pytest.raises(OptionError, match=says):
        made.reset(options={"s": "random", **options})
    assert made.pose == untouched.pose
    made.reset(options={"s": "random"})
    untouched.reset(options={"s": "random"})
    assert made.pose == untouched.pose


@pytest.mark.parametrize("arguments", [{"ctrl_dt": 0.0}, {"ctrl_dt": math.nan}, {"max_sim_dt": -1.0}])
def test_a_period_must_be_positive(arguments):
    with pytest.raises(OptionError, match="positive"):
        world(**arguments)


def test_step_before_reset_is_refused():
    with pytest.raises(SimulatorError, match="reset"):
        world().step(Control())


def test_same_controls_give_the_same_states():
    first, second = world(), world()
    for each in (first, second):
        each.reset(7)
    assert wander(first) == wander(second)


def test_a_restored_snapshot_has_the_same_future():
    made = world()
    made.reset(1)
    wander(made, 20)
    moment = made.snapshot()
    future = wander(made, 40)
    made.reset(options={"s": "random"})
    start = made.pose
    made.restore(moment)
    assert wander(made, 40) == future
    made.reset(options={"s": "random"})
    assert made.pose == start, "the generator is part of the moment"


def test_progress_and_laps_count_around_the_start_line():
    made = world()
    made.reset(options={"s": LAKE.length - 5.0, "speed": 5.0})
    for _ in range(30):
        made.step(Control(-0.19, 0.3))
    at = made.track_state
    assert 0 < at.s < 20
    assert at.progress == pytest.approx(5.0 + at.s, abs=0.01)
    assert at.lap == 0


def test_driving_against_the_track_makes_progress_negative_but_no_lap():
    made = world()
    made.reset(options={"s": 5.0, "heading_error": math.pi, "speed": 5.0})
    for _ in range(30):
        made.step(Control(0.19, 0.3))
    at = made.track_state
    assert at.progress < -8
    assert at.lap == 0
    assert at.s > LAKE.length - 20


def test_a_car_is_off_lane_when_a_wheel_is_over_the_edge_line_and_off_road_when_its_centre_is():
    made = world()
    for offset, off_lane, offroad in [
        (0, False, False),
        (2.98, False, False),
        (3.0, True, False),
        (4.89, True, False),
    ]:
        for side in (1, -1):
            made.reset(options={"s": 300.0, "offset": side * offset})
            assert (made.track_state.off_lane, made.track_state.offroad) == (off_lane, offroad)
    made.reset(options={"s": 300.0, "offset": 4.84, "heading_error": 0.5, "speed": 8.0})
    made.step(Control())
    assert made.track_state.offroad


@pytest.mark.parametrize("side", [1, -1])
def test_the_outermost_of_the_four_wheels_counts(side):
    made = world()
    lateral = math.cos(0.3), math.sin(0.3)
    front = 3.99 - 1.0 * lateral[0] - 1.27 * lateral[1]  # turned outwards, a front wheel is outermost
    rear = 3.99 - 1.0 * lateral[0] - 1.60 * lateral[1]  # turned inwards, a rear wheel
    for limit, turned in ((front, 0.3), (rear, -0.3)):
        for offset, off_lane in ((limit - 0.01, False), (limit + 0.01, True)):
            options = {"s": 740.0, "offset": side * offset, "heading_error": side * turned}
            made.reset(options=options)
            assert made.track_state.off_lane == off_lane


def test_the_walls_of_the_bridge_hold_the_car_and_cost_speed():
    free, held = world(), world()
    for s, made in ((560.0, free), (700.0, held)):
        made.reset(options={"s": s, "heading_error": 0.3, "speed": 10.0})
        for _ in range(30):
            made.step(Control(0.0, 0.3))
    assert free.track_state.cte > 4.9
    assert held.track_state.cte <= 11.7 / 2 - 2.4 / 2 + 0.01
    assert held.track_state.progress > 5.0, "it slides along"
    assert held.speed < free.speed - 1.0
    assert abs(held.track_state.heading_error) < 0.1, "and is turned parallel"


def test_driving_straight_into_the_wall_stops_the_car():
    made = world()
    made.reset(options={"s": 740.0, "heading_error": math.pi / 2, "speed": 10.0})
    for _ in range(15):
        made.step(Control())
    assert abs(made.speed) < 0.5
    assert made.track_state.cte <= 11.7 / 2 - 2.4 / 2 + 0.01


def test_the_car_rolls_down_a_hill_and_its_pose_follows_the_road():
    text = (resources.files("udacity_gym.world") / "tracks" / "lake.json").read_text(encoding="utf-8")
    data = {**json.loads(text), "elevation": [[0.0, 0.0], [200.0, 20.0], [800.0, 0.0]]}
    made = World(Track(data))
    made.reset(options={"s": 100.0})
    assert made.pose.z == pytest.approx(10.0, abs=0.1)
    assert made.pose.pitch == pytest.approx(math.atan(0.15), abs=0.01)
    for _ in range(15):
        made.step(Control())
    assert made.speed == pytest.approx(-9.81 * math.sin(math.atan(0.15)), rel=0.1)
    assert made.track_state.progress < 0
    made.reset(options={"s": 100.0, "heading_error": math.pi / 2})
    assert made.pose.pitch == pytest.approx(0.0, abs=1e-6)
    assert made.pose.roll == pytest.approx(math.atan(0.15), abs=0.01), "downhill is to its right"


@given(
    controls=st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=1, max_size=12),
    s=st.floats(0, LAKE.length),
    offset=st.floats(-4.7, 4.7),
    heading_error=st.floats(-math.pi, math.pi),
)
@settings(max_examples=100)
def test_no_way_of_driving_breaks_the_world(controls, s, offset, heading_error):
    made = world()
    made.reset(options={"s": s, "offset": offset, "heading_error": heading_error, "speed": 10.0})
    driven = 0.0
    for steering, throttle in controls:
        for _ in range(20):
            before = made.pose
            made.step(Control(steering, throttle))
            step = math.hypot(made.pose.x - before.x, made.pose.y - before.y)
            assert step < 13.7 / 15 + 0.5, "nothing throws the car about, not even a wall"
            driven += step
    at = made.track_state
    assert math.isfinite(at.cte)
    assert 0 <= at.s < LAKE.length
    assert abs(at.heading_error) <= math.pi
    assert abs(at.progress) < 3 * driven + 20
    assert abs(made.speed) < 13.6
    there = LAKE.locate(made.pose.x, made.pose.y, near=at.s)
    assert (there.s, there.offset) == pytest.approx((at.s, at.cte), abs=1e-6)


def test_top_speed_is_the_same_for_every_control_period():
    for ctrl_dt in (0.01, 1 / 15, 0.1):
        made = world(ctrl_dt=ctrl_dt)
        made.reset(options={"s": 715.0, "speed": 13.3})
        for _ in range(round(2.0 / ctrl_dt)):
            made.step(Control(0.0, 1.0))
        assert made.speed / MPH == pytest.approx(30.19, abs=0.02)


def test_cars_that_are_stepped_together_drive_as_each_would_alone():
    def worlds():
        lake, jungle = Track.load("lake"), Track.load("jungle")
        slippery = CarParameters(grip=0.5)
        made = [World(lake), World(jungle), World(lake), World(lake, car=slippery), World(lake.reversed())]
        for k, world in enumerate(made):
            world.reset(k, {"s": "random", "offset": (-4, 4), "speed": (0, 13)})
        return made

    alone, together = worlds(), worlds()
    generator = np.random.default_rng(0)
    for _ in range(150):
        controls = [Control(*pair) for pair in generator.uniform(-1, 1, (len(alone), 2)).tolist()]
        for world, control in zip(alone, controls, strict=True):
            world.step(control)
        World.step_together(together, controls)
    for one, other in zip(alone, together, strict=True):
        assert (one.pose, one.track_state, one.time) == (other.pose, other.track_state, other.time)
