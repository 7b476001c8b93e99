"""The same road driven the other way."""

import copy
import math
import pickle

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import udacity_gym  # noqa: F401 - registers the environment
from udacity_gym.errors import OptionError
from udacity_gym.evaluation import evaluate
from udacity_gym.experts import PID, PurePursuit
from udacity_gym.recording import record
from udacity_gym.telemetry import Control
from udacity_gym.world.physics.world import World
from udacity_gym.world.scene.scenery import scene_of
from udacity_gym.world.track.track import Track

LAKE = Track.load("lake")
BACK = LAKE.reversed()


def test_reversed_twice_is_the_same_track():
    assert BACK.reversed() is LAKE
    assert (LAKE.direction, BACK.direction) == ("forward", "reverse")
    assert LAKE.facing("forward") is LAKE
    assert LAKE.facing("reverse") is LAKE.facing("reverse") is BACK.facing(None) is BACK


def test_a_reversed_track_is_saved_in_its_data():
    again = Track(copy.deepcopy(BACK.data))
    assert again.direction == "reverse"
    for mine, its in zip(again.line, BACK.line, strict=True):
        np.testing.assert_array_equal(mine, its)


@given(s=st.floats(0.5, LAKE.length - 0.5), offset=st.floats(-5, 5), error=st.floats(-3, 3))
@settings(max_examples=100)
def test_every_place_has_its_coordinates_turned(s, offset, error):
    pose = LAKE.pose_at(s, offset, error)
    there = BACK.locate(pose.x, pose.y)
    assert there.s == pytest.approx(LAKE.length - s, abs=0.05)
    assert there.offset == pytest.approx(-offset, abs=0.01)
    turned = math.remainder(there.heading - LAKE.locate(pose.x, pose.y).heading - math.pi, math.tau)
    assert turned == pytest.approx(0.0, abs=0.02)  # the file's headings miss a full turn by a hundredth
    back = BACK.pose_at(LAKE.length - s, -offset)
    # Where two bends meet, s differs by up to 0.05 m.
    assert (back.x, back.y, back.z) == pytest.approx((pose.x, pose.y, pose.z), abs=0.05)


def test_bends_walls_and_slopes_are_turned():
    data = {**LAKE.data, "elevation": [[0.0, 0.0], [200.0, 20.0], [800.0, 0.0]]}
    bridge = {"kind": "bridge", "side": "left", "from": 686, "to": 795}
    data["roadside"] = [{**bridge, "wall_offset": 5.0, "wall_offset_at_end": 6.0}]
    back = Track(data).reversed()
    assert LAKE.curvature_at(850.0) > 0.02
    assert back.curvature_at(LAKE.length - 850.0) < -0.02
    assert np.isinf(back.line.wall_left).all()
    on_bridge = np.isfinite(back.line.wall_right)
    assert back.s[on_bridge].min() == pytest.approx(LAKE.length - 795, abs=0.5)
    assert back.s[on_bridge].max() == pytest.approx(LAKE.length - 686, abs=1.0)
    np.testing.assert_allclose(np.diff(back.line.wall_right[on_bridge]), -back.ds / 109.0)
    assert back.pose_at(LAKE.length - 100.0).pitch == pytest.approx(-Track(data).pose_at(100.0).pitch)
    gap = np.hypot(np.diff(back.x, append=back.x[0]), np.diff(back.y, append=back.y[0]))
    np.testing.assert_allclose(gap, back.ds, atol=2e-3)
    ahead = np.arctan2(np.diff(back.y), np.diff(back.x))
    middle = back.heading[:-1] + 0.5 * back.ds * back.curvature[:-1]
    assert np.abs(np.angle(np.exp(1j * (ahead - middle)))).max() < 0.01, "but where two stretches meet"


@pytest.mark.parametrize("mode", ["training", "autonomous"])
def test_the_car_starts_at_the_same_place_in_the_right_hand_lane_and_faces_the_other_way(mode):
    there, back = World(LAKE), World(BACK)
    there.reset(options={"mode": mode})
    back.reset(options={"mode": mode})
    turn = math.remainder(there.pose.yaw - back.pose.yaw, math.tau)
    assert abs(turn) == pytest.approx(math.pi, abs=0.02)
    offset = LAKE.starts[mode][1]
    apart = math.hypot(there.pose.x - back.pose.x, there.pose.y - back.pose.y)
    assert apart == pytest.approx(2 * offset, abs=0.01)
    assert there.track_state.cte == pytest.approx(back.track_state.cte, abs=1e-4)


def test_the_direction_is_chosen_for_an_episode_and_is_part_of_a_snapshot():
    world = World(LAKE)
    world.reset(options={"direction": "reverse", "s": 100.0, "speed": 8.0})
    world.step(Control(0.0, 0.3))
    assert world.track_state.progress > 0.4
    moment, pose = world.snapshot(), world.pose
    world.reset(options={"s": 100.0})
    assert world.track.direction == "forward"
    assert math.hypot(world.pose.x - pose.x, world.pose.y - pose.y) > 50
    world.restore(moment)
    assert world.track.direction == "reverse"
    assert world.pose == pose
    with pytest.raises(OptionError, match="'forward' or 'reverse', got 'left'"):
        world.reset(options={"direction": "left"})
    assert world.pose == pose, "a refused reset changes nothing"


def test_both_directions_share_one_scene():
    assert scene_of(BACK) is scene_of(LAKE)


def test_images_depend_on_the_pose_alone():
    env = gym.make("UdacitySim-v0")
    there, info = env.reset(seed=0, options={"s": 500.0, "offset": 1.0, "heading_error": math.pi})
    x, y, _, yaw = info["pose"]
    reverse = {"direction": "reverse", "s": LAKE.length - 500.0, "offset": -1.0}
    back, info = env.reset(seed=0, options=reverse)
    assert info["pose"][:2] == pytest.approx([x, y], abs=0.02)
    assert math.remainder(info["pose"][3] - yaw, math.tau) == pytest.approx(0.0, abs=0.02)
    difference = np.abs(there.astype(int) - back.astype(int))
    assert np.median(difference) <= 4, "the poses differ by millimetres, hardly the images"
    assert there.std() > 20


@pytest.mark.parametrize("make", [lambda track: PurePursuit(track, speed=11.0), lambda _: PID()])
def test_experts_drive_a_lap_the_other_way(make):
    env = gym.make("UdacitySim-v0", cameras=(), direction="reverse")
    result = evaluate(make(env.unwrapped.track), env, laps=1)
    assert result.complete
    assert result.interventions == 0
    assert result.track_data["direction"] == "reverse"
    assert env.unwrapped.track is BACK


def test_pure_pursuit_follows_the_car_into_the_other_direction_and_back():
    env = gym.make("UdacitySim-v0", cameras=())
    expert = PurePursuit("lake")
    for direction in ("reverse", "forward"):
        observation, info = env.reset(seed=1, options={"direction": direction, "s": 850.0, "speed": 6.0})
        for _ in range(60):
            observation, _, terminated, _, info = env.step(expert(observation, info))
            assert not terminated
        assert info["progress"] > 25
        assert abs(info["cte"]) < 0.6
        assert expert.track.direction == env.unwrapped.track.direction == direction
        np.testing.assert_allclose(10 * 0.1 * observation[5], 10 * info["curvature"], atol=0.02)


def test_a_recording_tells_the_direction(tmp_path):
    env = gym.make("UdacitySim-v0", direction="reverse", cameras=("center", "left", "right"))
    recording = record(env, PurePursuit("lake"), tmp_path / "drive", seconds=0.5)
    assert next(recording.frames()).extra["direction"] == "reverse"
    forward = gym.make("UdacitySim-v0", cameras=("center", "left", "right"))
    recording = record(forward, PurePursuit("lake"), tmp_path / "forward", seconds=0.5)
    assert "direction" not in next(recording.frames()).extra


def test_a_world_in_reverse_can_be_pickled():
    world = World(BACK)
    world.reset(3)
    again = pickle.loads(pickle.dumps(world))
    for each in (world, again):
        each.step(Control(0.1, 1.0))
    assert again.pose == world.pose
    assert again.track.reversed().direction == "forward"
