"""What the car feels beside the road: slopes, cliffs, drops and water."""

import gc
import math
import sys

import numpy as np
import pytest

from udacity_gym.telemetry import Control
from udacity_gym.world.physics.car import Y
from udacity_gym.world.physics.ground import REACH, cliffs, ground_of
from udacity_gym.world.physics.world import OFFSET, World, Z
from udacity_gym.world.scene.daylight import Daylight
from udacity_gym.world.scene.land import lay_land
from udacity_gym.world.scene.terrain import Grid
from udacity_gym.world.track.track import Track

OVAL = {
    "format": "udacity-gym-track",
    "version": 1,
    "start": {"x": 0.0, "y": 0.0, "z": 0.0, "heading": 0.0},
    "start_poses": {"training": {"s": 0, "offset": 0}, "autonomous": {"s": 0, "offset": 0}},
    "road": {"half_width": 4.76, "lane_half_width": 3.88},
    "segments": [[300, 0.0], [60 * math.pi, 1 / 60], [300, 0.0], [60 * math.pi, 1 / 60]],
}


def beside(*profile, **surroundings) -> World:
    """A world whose land is level on the left and has this profile on the right."""
    level = [{"side": "left", "from": 0, "to": 900, "profile": [[8, 0, "grass"]]}]
    mine = [{"side": "right", "from": 0, "to": 900, "profile": [list(knot) for knot in profile]}]
    return World(Track({**OVAL, "surroundings": {"land": level + mine, **surroundings}}))


def drive_off(world: World, seconds: float, angle: float = 0.5, speed: float = 12.0, throttle: float = 0.0):
    """Leave the road to the right and return (offset, z, pitch, speed) after every step."""
    world.reset(options={"s": 60.0, "offset": 4.0, "heading_error": angle, "speed": speed})
    rows = []
    for _ in range(round(seconds * 15)):
        world.step(Control(0.0, throttle))
        at = world.track_state
        rows.append((at.cte, world.pose.z, world.pose.pitch, world.speed))
    return np.array(rows)


def test_the_car_follows_the_ground_uphill_and_loses_speed():
    hill = drive_off(beside((8, 0, "grass"), (108, 40, "grass")), 3.0)
    flat = drive_off(beside((8, 0, "grass")), 3.0)
    off = hill[:, 0] > 9
    assert off.sum() > 5
    np.testing.assert_allclose(hill[off, 1], 0.4 * (hill[off, 0] - 8), atol=0.01)
    assert hill[off, 2][1:].min() > 0.1
    assert hill[-1, 3] < flat[-1, 3] - 1.0
    assert (flat[:, 1] == 0).all()


def test_over_an_edge_the_car_falls_like_a_stone_and_lands():
    rows = drive_off(beside((8, 0, "rock"), (9, -20, "cliff"), (100, -20, "grass")), 4.0, angle=1.2)
    drop = rows[:, 1]
    begin = int(np.argmax(drop < -0.3))
    end = int(np.argmax(drop <= -19.9))
    seconds = (end - begin) / 15
    assert seconds == pytest.approx(math.sqrt(2 * 20 / 9.81) - math.sqrt(2 * 0.3 / 9.81), abs=0.25)
    falls = np.diff(drop[begin : end - 1], 2) * 15**2
    assert falls == pytest.approx(-9.81, abs=0.2)
    np.testing.assert_allclose(drop[end + 1 :], -20.0, atol=0.01)
    assert rows[begin + 3, 2] < -0.1, "nose down"
    assert (np.diff(rows[begin + 1 : end - 1, 3]) == 0).all(), "nothing brakes it in the air"


def test_a_car_that_comes_down_onto_the_road_falls_there_as_well():
    world = beside((8, 0, "rock"), (9, 10, "cliff"), (100, 10, "grass"))
    world.reset(options={"s": 60.0, "offset": 4.0, "heading_error": -math.pi / 2, "speed": 8.0})
    above = world.snapshot()
    above.state[[Y, OFFSET, Z]] = -12.0, 12.0, 10.0
    world.restore(above)
    heights, offsets = [10.0], [12.0]
    while heights[-1] > 0.0 and len(heights) < 60:
        world.step(Control())
        heights.append(world.pose.z)
        offsets.append(world.track_state.cte)
    begin = int(np.argmax(np.array(heights) < 9.7))
    assert np.diff(heights[begin:-1], 2) * 15**2 == pytest.approx(-9.81, abs=0.2)
    assert heights[int(np.argmax(np.array(offsets) < 4.7))] > 5.0, "still in the air above the road's edge"
    assert abs(offsets[-1]) < 4.0, "it lands on the road"
    world.step(Control())
    assert world.pose.z == 0.0


def test_a_cliff_holds_the_car_and_it_slides_along():
    world = beside((8, 0, "grass"), (13, 0.2, "grass"), (16, 9, "cliff"))
    rows = drive_off(world, 5.0, angle=0.4, throttle=0.3)
    assert 9 < rows[:, 0].max() <= 13
    assert abs(world.track_state.heading_error) < 0.1
    assert world.track_state.progress > 15
    straight = drive_off(world, 3.0, angle=math.pi / 2)
    assert straight[-1, 3] < 0.5


def test_a_kerb_of_stone_is_no_cliff():
    low = beside((8, 0, "grass"), (9, 0, "grass"), (9.3, 0.4, "rock"), (60, 0.5, "grass"))
    assert drive_off(low, 3.0)[-1, 0] > 10


def test_water_carries_the_car():
    rows = drive_off(beside((8, 0, "sand"), (20, -4, "sand"), water_level=-1.0), 4.0)
    assert rows[:, 1].min() == pytest.approx(-1.0)


def test_a_flight_is_part_of_a_snapshot_and_the_same_every_time():
    world = beside((8, 0, "rock"), (9, -20, "cliff"))
    drive_off(world, 1.2, angle=1.2)
    moment = world.snapshot()
    assert -20 < world.pose.z < -0.5
    futures = []
    for _ in range(2):
        world.restore(moment)
        futures.append([])
        for _ in range(30):
            world.step(Control(1.0, 1.0))
            futures[-1].append(world.pose)
    assert futures[0] == futures[1]


@pytest.mark.parametrize("name", ["lake", "mountain"])
def test_the_ground_is_that_of_the_image(name):
    """Up to 12 m: within what the ground changes in a metre, and a tenth of its height."""
    track = Track.load(name)
    grid, ground = Grid.around(track), ground_of(track)
    height, _, _ = lay_land(track, grid, np.random.default_rng(1), Daylight.of(track))
    rng = np.random.default_rng(0)
    misses = []
    for s in rng.uniform(2, track.length - 4, 1500):
        offset = float(rng.uniform(-12, 12))
        pose = track.pose_at(s, offset)
        where = track.locate(pose.x, pose.y)
        if abs(abs(where.offset) - abs(offset)) > 0.5:
            continue
        table = ground.heights[int(offset > 0)]
        row, column = int(s / 2), int(abs(offset))
        around = table[max(0, row - 1) : row + 3, max(0, column - 1) : column + 3]
        if abs(offset) <= ground.level - 1:
            around = np.zeros((1, 1))
        seen = height[round(pose.y - grid.south), round(pose.x - grid.west)] - track.elevation_at(s)
        slope = abs(math.tan(track.pose_at(s).pitch))
        slack = 0.1 * abs(around).max() + 0.15 + slope
        water = ground.water - track.elevation_at(s)
        low, high = max(around.min(), water) - slack, max(around.max(), water, 0.0) + slack
        misses.append(not low <= seen <= high)
    assert len(misses) > 800
    assert np.mean(misses) < 0.01


def test_the_ground_turns_with_the_direction():
    track = Track.load("mountain")
    there, back = ground_of(track), ground_of(track.reversed())
    assert there.heights is not back.heights
    np.testing.assert_array_equal(there.heights, back.heights[::-1])
    left, _ = cliffs(track, there)
    _, right = cliffs(track.reversed(), back)
    assert np.isfinite(left).any()
    assert np.mean(np.isfinite(left) == np.isfinite(right[-np.arange(len(left)) % len(left)])) > 0.99
    assert left[np.isfinite(left)].min() >= there.level
    assert left[np.isfinite(left)].max() < REACH


def test_ten_thousand_resets_leave_nothing_behind():
    world = World(Track.load("lake"))
    directions = ("forward", "reverse")

    def episodes(count: int) -> None:
        for k in range(count):
            world.reset(k, {"s": "random", "direction": directions[k % 2]})
            world.step(Control(0.1, 1.0))

    episodes(2_000)
    gc.collect()
    before = sys.getallocatedblocks()
    episodes(10_000)
    gc.collect()
    assert sys.getallocatedblocks() - before < 2_000, "less than one block in five episodes"
