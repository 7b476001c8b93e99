"""The complex track: a hilly figure of eight that passes over itself."""

import copy
import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from udacity_gym.conditions import NAMED
from udacity_gym.errors import TrackError
from udacity_gym.experts import PurePursuit
from udacity_gym.sensors import Label
from udacity_gym.telemetry import Control
from udacity_gym.world.physics.car import YAW, CarParameters, X, Y
from udacity_gym.world.physics.ground import STEP, ground_of
from udacity_gym.world.physics.world import PITCH, WORLD_STATE, World, _observe, _stand
from udacity_gym.world.rendering.camera import FIELD_OF_VIEW, CameraRig, camera_row
from udacity_gym.world.scene import scenery, shadows
from udacity_gym.world.scene.cards import KINDS
from udacity_gym.world.scene.daylight import Daylight
from udacity_gym.world.scene.land import COVERS, lay_land
from udacity_gym.world.scene.scene_arrays import Card
from udacity_gym.world.scene.scenery import scene_of
from udacity_gym.world.scene.terrain import Grid
from udacity_gym.world.track.track import Track, axle_places

JUNGLE, CAR = Track.load("jungle"), CarParameters()
REFERENCE = Path(__file__).with_name("reference") / "jungle.png"
PLACES = (0.0, 188.0, 500.0, 660.0, 841.3, 1188.0, 1325.0, 1438.0)
SUN_LEFT, SUN_RIGHT = 405.0, 600.0
"""m along the track where the sun shines from either side."""
OVER, UNDER = 841.3, 1360.5
"""m along the track where it passes over itself: on the bridge, and below it."""


def test_the_jungle_is_a_loop_of_its_measured_length():
    assert JUNGLE.length == pytest.approx(1502.7, abs=0.1)
    end, begin = JUNGLE.pose_at(JUNGLE.length - 1e-6), JUNGLE.pose_at(0.0)
    assert math.dist((end.x, end.y, end.z), (begin.x, begin.y, begin.z)) < 0.01
    assert math.remainder(end.yaw - begin.yaw, math.tau) == pytest.approx(0.0, abs=0.01)


def test_the_jungle_climbs_thirty_metres_on_grades_of_up_to_a_third():
    assert JUNGLE.z.max() - JUNGLE.z.min() == pytest.approx(30.0, abs=0.01)
    grade = np.abs(np.diff(JUNGLE.z)) / JUNGLE.ds
    assert grade.max() == pytest.approx(0.324, abs=0.005)
    on_bend = np.abs(JUNGLE.curvature[:-1]) == 0.05
    assert grade[on_bend].max() == pytest.approx(0.24, abs=0.005)
    assert np.abs(np.diff(grade)).max() < 0.05  # no kinks


def test_the_jungle_bends_both_ways_and_never_tighter_than_ten_metres():
    assert JUNGLE.curvature.max() == pytest.approx(0.1)
    assert JUNGLE.curvature.min() == pytest.approx(-0.1)
    assert abs(np.sum(JUNGLE.curvature) * JUNGLE.ds) < 0.1  # a figure of eight turns by nothing in all


def test_the_jungle_passes_over_itself():
    above, below = JUNGLE.pose_at(OVER), JUNGLE.pose_at(UNDER)
    assert math.hypot(above.x - 106.0, above.y + 34.0) < 0.3
    assert math.hypot(above.x - below.x, above.y - below.y) < 0.3
    assert above.z - below.z > 9.0


@pytest.mark.parametrize(("s", "other"), [(OVER, UNDER), (UNDER, OVER)])
@pytest.mark.parametrize("offset", [-2.5, 0.0, 2.5])
def test_height_or_nearness_tells_the_two_levels_apart(s, other, offset):
    pose = JUNGLE.pose_at(s, offset)
    for found in (
        JUNGLE.locate(pose.x, pose.y, z=pose.z),
        JUNGLE.locate(pose.x, pose.y, near=s),
        JUNGLE.locate(pose.x, pose.y, near=s, z=pose.z),
    ):
        assert found.s == pytest.approx(s, abs=0.2)
        assert found.offset == pytest.approx(offset, abs=0.02)


def test_a_car_can_be_put_anywhere():
    world = World(JUNGLE)
    for s in np.linspace(0.0, JUNGLE.length, 200, endpoint=False):
        world.reset(options={"s": float(s)})
        state, pose = world.track_state, world.pose
        assert state.cte == pytest.approx(0.0, abs=0.01)
        assert math.remainder(state.s - s, JUNGLE.length) == pytest.approx(0.0, abs=0.1)
        assert pose.z == pytest.approx(JUNGLE.elevation_at(float(s)), abs=0.05)


@pytest.mark.parametrize("offset", [-3.0, 0.0, 3.0])
@pytest.mark.parametrize("heading_error", [-0.3, 0.0, 0.3])
def test_a_car_lies_on_its_axles_inside_bends_and_outside(offset, heading_error):
    for s in np.linspace(0.0, JUNGLE.length, 400, endpoint=False).tolist():
        pose = JUNGLE.pose_at(s, offset, heading_error)
        heights = []
        for way in (CAR.wheelbase - CAR.rear_axle, -CAR.rear_axle):
            level = way * math.cos(pose.pitch)
            x, y = pose.x + level * math.cos(pose.yaw), pose.y + level * math.sin(pose.yaw)
            there = JUNGLE.locate(x, y, near=s, reach=5.0)
            heights.append((pose.z + way * math.sin(pose.pitch), JUNGLE.elevation_at(there.s)))
        (front, road_before), (rear, road_behind) = heights
        assert front - rear == pytest.approx(road_before - road_behind, abs=0.18), s
        assert front == pytest.approx(road_before, abs=0.2), s


def test_beside_the_road_a_car_lies_on_the_ground_there():
    """Cars along the road, on ground that is level there, beside ramps in bends."""
    line, ground = JUNGLE.line, ground_of(JUNGLE)

    def height(s, offset):
        column = ground.heights[1 if offset > 0 else 0][:, int(abs(offset))]
        return JUNGLE.elevation_at(s) + np.interp(s, STEP * np.arange(len(column)), column)

    slopes = []
    for s in range(20, 1480, 2):
        for offset in (-7.0, 7.0):
            rear, front = axle_places(line, s, offset, CAR.wheelbase - CAR.rear_axle, CAR.rear_axle)
            around = [height(place, offset) for place in np.linspace(rear, front, 9)]
            if abs(JUNGLE.curvature_at(s)) < 0.02 or np.ptp(around) > 0.1:
                continue
            pose = JUNGLE.pose_at(s, offset)
            state = np.zeros(WORLD_STATE)
            state[X], state[Y], state[YAW] = pose.x, pose.y, pose.yaw
            _observe(state, line, float(s), CAR)
            _stand(state, line, ground, height(s, offset), 0.02, CAR)
            slopes.append(abs(state[PITCH]))
    assert len(slopes) > 200
    assert np.mean(slopes) < 0.01
    assert max(slopes) < 0.1


def test_the_road_is_steeper_inside_a_bend_than_outside():
    middle = 133.16 + 15.7  # of a ramp that bends right with a radius of 20 m
    centre = math.tan(JUNGLE.pose_at(middle, 0.0).pitch)
    assert math.tan(JUNGLE.pose_at(middle, 3.0).pitch) == pytest.approx(centre * 20 / 17, rel=0.01)
    assert math.tan(JUNGLE.pose_at(middle, -3.0).pitch) == pytest.approx(centre * 20 / 23, rel=0.01)


def test_a_driven_car_is_pitched_and_rolled_as_one_that_is_put_there():
    world = World(JUNGLE)
    world.reset(options={"s": 150.0, "speed": 5.0})
    for k in range(60):
        world.step(Control(0.6 * math.sin(k / 6.0), 0.3))
        at = JUNGLE.locate(world.pose.x, world.pose.y, near=world.track_state.s)
        pose = JUNGLE.pose_at(at.s, at.offset, at.heading - world.pose.yaw)
        assert world.pose.pitch == pytest.approx(pose.pitch, abs=1e-6)
        assert world.pose.roll == pytest.approx(pose.roll, abs=1e-6)
        assert world.pose.z == pytest.approx(pose.z, abs=1e-6)


def test_both_modes_start_in_the_right_hand_lane():
    for mode in ("training", "autonomous"):
        world = World(JUNGLE)
        world.reset(options={"mode": mode})
        assert world.track_state.cte == pytest.approx(0.0, abs=1e-6)
        assert world.pose.x == pytest.approx(170.620)
        assert world.pose.y == pytest.approx(-46.5)


def test_a_lap_leads_over_both_levels_and_every_grade():
    world, drive = World(JUNGLE), PurePursuit(JUNGLE, speed=10.0)
    world.reset()
    heights, before = {}, 0.0
    for _ in range(3000):
        state = world.track_state
        info = {
            "s": state.s,
            "cte": state.cte,
            "heading_error": state.heading_error,
            "speed": world.speed,
        }
        steering, throttle = drive(None, info)
        world.step(Control(float(steering), float(throttle)))
        state = world.track_state
        assert 0.0 <= state.progress - before < 2.0  # no jumps from level to level
        assert abs(state.cte) < 1.5
        assert world.pose.z == pytest.approx(JUNGLE.elevation_at(state.s), abs=0.01)
        before = state.progress
        if math.hypot(world.pose.x - 106.0, world.pose.y + 34.0) < 4.0:
            heights[round(state.s / 100)] = world.pose.z
        if state.lap == 1:
            break
    assert world.track_state.lap == 1
    assert sorted(heights) == [8, 14]
    assert heights[8] - heights[14] > 9.0


def white(track, s):
    """Which pixels of an image are painted white, (160, 320)."""
    image = CameraRig(track).draw(track.pose_at(s, 2.5), "center", "training").astype(int)
    return (image.min(axis=2) > 195) & (np.ptp(image, axis=2) < 40)


def test_lines_are_painted_as_the_file_says():
    data = copy.deepcopy(JUNGLE.data)
    data["road"]["centre_line"] = {"kind": "solid", "colour": "yellow", "width": 0.2}
    yellow = Track(data)
    assert white(JUNGLE, 500.0)[60:137, :200].sum() > 20
    assert white(yellow, 500.0)[90:130, 20:160].sum() < 5
    image = CameraRig(yellow).draw(yellow.pose_at(500.0, 2.5), "center", "training").astype(int)
    painted = image[60:137, :200]
    assert (painted[..., 0] - painted[..., 2] > 60).sum() > 60


@pytest.mark.parametrize(
    ("road", "says"),
    [
        ({"centre_line": {"kind": "dashed", "colour": "white", "width": 0.2}}, "centre_line.dash"),
        ({"centre_line": {"kind": "wavy", "colour": "white", "width": 0.2}}, "solid, double, dashed"),
        ({"edge_line": {"kind": "solid", "colour": "pink", "width": 0.2}}, "white, yellow"),
        ({"edge_line": {"kind": "solid", "colour": "white", "width": 9}}, "edge_line.width"),
        ({"kerb": "none"}, "true or false"),
        ({"colour": [1, 2]}, "road.colour"),
        ({"level": 20}, "road.level"),
    ],
)
def test_a_broken_line_is_refused_with_the_field_named(road, says):
    data = copy.deepcopy(JUNGLE.data)
    data["road"].update(road)
    with pytest.raises(TrackError, match=says):
        Track(data)


@pytest.mark.parametrize(
    ("begin", "end", "says"),
    [(780.0, 840.0, "must be straight"), (840.0, 880.0, "must be straight"), (0.0, 35.0, None)],
)
def test_a_bridge_over_a_bend_is_refused(begin, end, says):
    data = copy.deepcopy(JUNGLE.data)
    data["roadside"] = [{"kind": "deck", "side": "both", "from": begin, "to": end}]
    if says is None:
        Track(data)
        return
    with pytest.raises(TrackError, match=says):
        Track(data)


def test_a_bridge_on_a_slope_is_refused():
    data = copy.deepcopy(JUNGLE.data)
    data["elevation"] = [[s, z + 2.0 if s == 861.3188 else z] for s, z in data["elevation"]]
    with pytest.raises(TrackError, match=r"roadside\[0\].*must be level"):
        Track(data)


def looking(s, offset=2.5):
    return CameraRig(JUNGLE).draw(JUNGLE.pose_at(s, offset), "center", "training").astype(int)


def test_the_road_is_neutral_grey_in_the_sun_and_dark_and_bluish_in_the_shade():
    lit, shaded = looking(500.0)[100:130, 130:190], looking(1438.0)[100:130, 130:190]
    red, green, blue = lit.reshape(-1, 3).mean(axis=0)
    assert 110 < green < 175
    assert 0 <= red - blue < 12
    red, green, blue = shaded.reshape(-1, 3).mean(axis=0)
    assert 30 < green < 60
    assert blue > red + 8


def test_cliffs_stand_beside_the_road_and_the_sky_is_a_deep_blue():
    cliff = looking(1438.0)[20:60, 120:300]
    assert cliff.max(axis=2).mean() < 70
    sky = looking(188.0)[0:4]
    assert sky[..., 2].mean() > sky[..., 0].mean() + 55


def test_what_turns_to_the_sun_is_lighter_than_what_turns_away():
    heights = np.zeros((30, 30), np.float32)
    heights[:, 12:18] = 10.0
    day = Daylight(azimuth=0.0, elevation=math.radians(45.0))
    direct, top = shadows.directness(heights, day.sun), shadows.ceiling(heights, day.sun)
    assert direct[15, 17] > 0.6
    assert direct[15, 12] == 0.0
    assert direct[15, 25] == pytest.approx(1.0)
    assert (top[15, 4:11] > 0.0).all()  # west of the wall, away from the sun
    assert (top[15, 20:] <= 0.0).all()
    assert top[15, 1] < 0.5


def test_the_light_map_is_the_same_on_every_build():
    first = scene_of(JUNGLE).arrays
    again = scenery._build.__wrapped__(
        json.dumps({**JUNGLE.data, "direction": "forward"}, sort_keys=True)
    ).arrays
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("around", "says"),
    [
        ({"relief": "flat"}, "hills, canyon"),
        ({"light": {"azimut": 1.0}}, "'azimut'"),
    ],
)
def test_wrong_light_is_refused_with_the_field_named(around, says):
    data = copy.deepcopy(JUNGLE.data)
    data["surroundings"].update(around)
    with pytest.raises(TrackError, match=says):
        Track(data)


def changed(**surroundings):
    """The jungle with other surroundings."""
    data = copy.deepcopy(JUNGLE.data)
    data["surroundings"].update(surroundings)
    return Track(data)


def test_cliffs_are_bare_rock_down_to_their_foot():
    profile = [[8, 0, "turf"], [18, 15, "turf"]]
    track = changed(
        land=[{"side": side, "from": 0, "to": 1500, "profile": profile} for side in ("left", "right")]
    )
    grid = Grid.around(track)
    height, colour, _ = lay_land(track, grid, np.random.default_rng(0), Daylight.of(track))
    above = height - grid.elevation(track)
    ahead = above[:, 1:] - above[:, :-1]
    foot = (np.abs(above[:, :-1]) < 0.01) & (ahead > 1.35) & (ahead < 2.0)
    assert foot.sum() > 20
    shown = colour[:, :-1][foot]
    blueness = {name: COVERS[name][2] / COVERS[name][0] for name in ("turf", "crag")}
    assert np.median(shown[:, 2] / shown[:, 0]) == pytest.approx(blueness["crag"], abs=0.02)
    assert blueness["crag"] - blueness["turf"] > 0.08


def road_ahead(track, s, offset=2.5):
    """Mean brightness of the road a few metres ahead of a car."""
    image = CameraRig(track).draw(track.pose_at(s, offset), "center", "training")
    return image[112:130, 140:180].mean()


def test_measured_shade_takes_the_place_of_cast_shadows():
    square = [[603.0, -4.5], [609.0, -4.5], [609.0, 4.5], [603.0, 4.5]]
    hole = [[603.7, 1.0], [607.5, 1.0], [607.5, 4.0], [603.7, 4.0]]
    dark = changed(shade=[{"from": 590.0, "to": 620.0, "outlines": [square]}])
    holed = changed(shade=[{"from": 590.0, "to": 620.0, "outlines": [square, hole]}])
    sunny = changed(shade=[{"from": 1400.0, "to": 1480.0}])  # where cliffs would throw their shadow
    assert road_ahead(dark, 601.0) < 0.5 * road_ahead(dark, 594.0)
    assert road_ahead(holed, 601.0) > 0.8 * road_ahead(dark, 594.0)
    assert road_ahead(sunny, 1438.0) > 2 * road_ahead(JUNGLE, 1438.0)


def with_road(**road):
    """The jungle with another road."""
    data = copy.deepcopy(JUNGLE.data)
    data["road"].update(road)
    return Track(data)


@pytest.mark.parametrize("s", [SUN_LEFT, SUN_RIGHT])
def test_the_lane_that_leans_to_the_sun_is_lighter(s):
    crowned = with_road(crown=0.2, tint=[])
    sun = math.sin(crowned.pose_at(s).yaw + 1.0472)  # how far to the right it is
    left, right = (road_ahead(crowned, s, offset) for offset in (-2.5, 2.5))
    assert abs(sun) > 0.7
    assert (right - left) * sun > 5.0


def test_the_light_of_a_crowned_road_changes_in_proportion_to_the_offset():
    level, crowned = (with_road(crown=crown, tint=[]) for crown in (0.0, 0.3))
    pose = level.pose_at(SUN_RIGHT, 0.0)
    images = [
        CameraRig(track).draw(pose, "center", "training").astype(float).mean(axis=2)
        for track in (level, crowned)
    ]
    more = {}
    for offset in (-3.3, -1.1, 1.1, 3.3):
        pixels = [pixel_of(level, pose, SUN_RIGHT + ahead, offset) for ahead in np.arange(8.0, 12.0, 0.25)]
        before, after = (np.mean([image[pixel] for pixel in pixels]) for image in images)
        more[offset] = after / before - 1.0
    inner, outer = (more[offset] - more[-offset] for offset in (1.1, 3.3))  # cells and pixels round offsets
    assert more[-3.3] < -0.05 < 0.05 < more[3.3]
    assert outer == pytest.approx(3 * inner, rel=0.2)


def pixel_of(track, pose, s, offset):
    """Row and column of the center camera's image in which a place on the road is."""
    row = camera_row(pose, "center", "training").astype(float)
    place = track.pose_at(s, offset)
    away = np.array([place.x, place.y, place.z]) - row[:3]
    right, up = (away @ axis / (away @ row[3:6]) for axis in (row[6:9], row[9:12]))
    focal = 80 / math.tan(FIELD_OF_VIEW / 2)
    return round(79.5 - focal * up), round(159.5 + focal * right)


@pytest.mark.parametrize("s", [600.0, 1125.0])  # straight, and in the sharpest bend
def test_the_asphalt_has_the_tints_of_the_file_at_their_offsets(s):
    plain = with_road(tint=[])
    blue_stripe = [[1.5, 1.0, 1.0, 1.0], [1.75, 0.8, 1.0, 1.5], [2.25, 0.8, 1.0, 1.5], [2.5, 1.0, 1.0, 1.0]]
    striped = with_road(tint=blue_stripe)
    pose = plain.pose_at(s, 1.0)
    before, after = (CameraRig(track).draw(pose, "center", "training") for track in (plain, striped))
    for ahead in (5.0, 7.0, 9.0):
        for offset, factors in ((1.0, (1.0, 1.0, 1.0)), (2.0, (0.8, 1.0, 1.5)), (3.0, (1.0, 1.0, 1.0))):
            at = pixel_of(plain, pose, s + ahead, offset)
            assert after[at] == pytest.approx(before[at] * np.array(factors), abs=2.0)


def test_tints_reach_to_the_edges_and_are_the_same_in_the_shade():
    plain, half = with_road(tint=[]), with_road(tint=[[0.0, 0.5, 0.5, 0.5]])
    for s in (600.0, 1438.0):
        for offset in (-2.5, 2.5):
            assert road_ahead(half, s, offset) == pytest.approx(0.5 * road_ahead(plain, s, offset), abs=1.5)


@pytest.mark.parametrize(
    ("tint", "says"),
    [
        ([[1.0, 1.0, 1.0, 1.0], [0.5, 1.0, 1.0, 1.0]], r"tint\[1\]: the offset must rise"),
        ([[0.0, 1.0, 1.0, 1.6]], r"tint\[0\]: must lie within \[0.5, 1.5\]"),
        ([[8.0, 1.0, 1.0, 1.0]], r"tint\[0\]: must lie within \[-7, 7\]"),
    ],
)
def test_wrong_tints_are_refused(tint, says):
    with pytest.raises(TrackError, match=says):
        with_road(tint=tint)


def test_a_road_is_equally_dark_in_the_shade_wherever_one_looks():
    everywhere = [[590.0, -4.9], [640.0, -4.9], [640.0, 4.9], [590.0, 4.9]]
    track = changed(shade=[{"from": 590.0, "to": 640.0, "outlines": [everywhere]}])
    image = CameraRig(track).draw(track.pose_at(600.0, 2.5), "center", "training").astype(float)
    near, far = image[118:130, 140:180].mean(), image[84:92, 140:180].mean()
    assert far == pytest.approx(near, rel=0.05)


def test_without_shadows_the_sun_shines_on_the_whole_road():
    rig = CameraRig(JUNGLE)
    cast, none = (
        np.stack(
            [
                rig.draw(JUNGLE.pose_at(s, 2.5), "center", "autonomous", NAMED[name])[100:130, 100:220]
                for s in np.arange(0.0, JUNGLE.length, 20.0).tolist()
            ]
        ).mean(axis=3)
        for name in ("clear", "no_shadows")
    )
    assert (cast < 80).mean() > 0.15
    assert (none < 80).mean() < 0.01
    sunny = np.median(cast, axis=(1, 2)) > 120
    assert np.median(none[sunny] - cast[sunny]) == pytest.approx(0.0, abs=4.0)


def test_single_dashes_are_painted_where_the_file_has_them():
    data = copy.deepcopy(JUNGLE.data)
    data["road"]["centre_line"]["dashes"] = [[605.0, 607.0], [611.0, 615.0]]
    track = Track(data)
    pose = track.pose_at(600.0, 0.0)
    labels = CameraRig(track).draw(pose, "center_segmentation", "training")
    row = camera_row(pose, "center", "training").astype(float)
    focal = 80 / math.tan(FIELD_OF_VIEW / 2)
    for s, painted in ((604.5, False), (605.5, True), (606.5, True), (608.5, False), (612.0, True)):
        place = track.pose_at(s, 0.0)
        away = np.array([place.x, place.y, place.z]) - row[:3]
        deep = away @ row[3:6]
        column, line = 160 + focal * (away @ row[6:9]) / deep, 80 - focal * (away @ row[9:12]) / deep
        around = labels[int(line), int(column) - 3 : int(column) + 4]
        assert (around == Label.LANE_MARKING).any() == painted, s


def test_boards_stand_where_the_file_has_them():
    with_board = changed(objects=[{"kind": "board", "s": 610.0, "offset": 6.0}])
    counts = [
        (CameraRig(track).draw(track.pose_at(600.0, 2.5), "center_segmentation") == Label.STRUCTURE).sum()
        for track in (with_board, changed(objects=[]))
    ]
    assert counts[0] > counts[1] + 100


def test_boards_have_the_size_of_the_file_and_stand_on_a_bridge_not_below_it():
    size = {"height": 1.3, "length": 0.9}
    track = changed(
        objects=[
            {"kind": "board", "s": 610.0, "offset": 6.5},
            {"kind": "board", "s": 620.0, "offset": 6.5, **size},
            {"kind": "board", "s": OVER, "offset": 5.0},
        ]
    )
    cards = [Card(*row) for row in scene_of(track).arrays.cards.tolist()]
    first, second, on_bridge = (card for card in cards if card.variant == KINDS["board"].first)
    assert (first.width, first.height) == pytest.approx((0.655, 2.62))
    assert (second.width, second.height) == pytest.approx((0.9, 1.3))
    assert on_bridge.z == pytest.approx(track.elevation_at(OVER), abs=0.1)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("surroundings", "shade"), [{"from": 20.0, "to": 10.0}], r"shade\[0\].*'from' must be less"),
        (
            ("surroundings", "shade"),
            [{"from": 1.0, "to": 9.0, "outlines": [[[2.0, 1.0], [3.0, 1.0]]]}],
            r"outlines\[0\].*three corners",
        ),
        (("road", "centre_line", "dashes"), [[5.0, 9.0], [8.0, 12.0]], r"dashes\[1\].*begins before"),
        (("road", "centre_line", "dash"), 3.0, "centre_line.dash"),
        (("road", "edge_line", "dashes"), [[5.0, 9.0]], "only a dashed line"),
        (("version",), 3, "'version' 1 or 2"),
    ],
)
def test_a_broken_measurement_is_refused_with_the_field_named(path, value, says):
    data = copy.deepcopy(JUNGLE.data)
    inner = data
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    with pytest.raises(TrackError, match=says):
        Track(data)


def test_each_level_of_the_crossing_shows_its_own_road():
    above, below = looking(OVER)[100:130, 130:190], looking(UNDER - 35.0)[100:130, 130:190]
    for road in (above, below):
        assert np.ptp(road.reshape(-1, 3).mean(axis=0)) < 14
        assert 100 < road.mean() < 190
    # What is drawn on the bridge is the deck, twenty metres above the ground under it.
    rig = CameraRig(JUNGLE)
    rig.draw(JUNGLE.pose_at(OVER, 2.5), "center", "training")
    assert rig.renderer.scratch.depth[120, 160] < 6.0


def test_nothing_of_the_land_reaches_through_the_bridge():
    for s in np.arange(812.0, 858.0, 4.0):
        road = looking(s, 0.0)[112:130, 130:190].min(axis=2)
        assert road.min() > 70


def test_the_road_on_the_bridge_is_told_to_be_road():
    rig = CameraRig(JUNGLE)
    camera = camera_row(JUNGLE.pose_at(OVER, 2.5), "center", "training")[None]
    out, labels = np.empty((1, 160, 320, 3), np.uint8), np.empty((1, 160, 320), np.uint8)
    rig.renderer.render(camera, out, labels=labels)
    road = np.isin(labels[0, 100:130, 60:200], [Label.ROAD, Label.LANE_MARKING])
    assert road.mean() > 0.99
    assert (labels[0, 100:130] == Label.LANE_MARKING).sum() > 50


def test_the_bridge_throws_its_shadow_on_the_road_below():
    shaded, lit = looking(1337.0)[110:130, 140:180], looking(1325.0)[110:130, 140:180]
    assert shaded.mean() < 0.55 * lit.mean()


def with_yellow_edges():
    """The jungle with edge lines of another colour: what differs in an image is the lines alone."""
    data = copy.deepcopy(JUNGLE.data)
    data["road"]["edge_line"]["colour"] = "yellow"
    return Track(data)


def edge_line_miss(s, yellow):
    """Pixels of 320 by 160 between the right edge line and where geometry puts it, 6 to 13 m ahead.

    The line's middle is the centre of what it covers, so it doesn't matter what lies on either side of it.
    """
    pose = JUNGLE.pose_at(s, 0.0)
    images = (CameraRig(track, 640, 320).draw(pose)[..., 2].astype(float) for track in (JUNGLE, yellow))
    line = np.abs(np.subtract(*images))
    row = camera_row(pose, "center", "autonomous").astype(float)
    focal, misses = 160 / math.tan(FIELD_OF_VIEW / 2), []
    places = (JUNGLE.pose_at(s + ahead, 4.625) for ahead in np.arange(6.0, 13.0, 0.01))
    away = np.array([(place.x, place.y, place.z) for place in places]) - row[:3]
    deep = away @ row[3:6]
    columns, lines = 320 + focal * (away @ row[6:9]) / deep, 160 - focal * (away @ row[9:12]) / deep
    for i in range(max(0, math.ceil(lines.min())), min(260, int(lines.max()))):
        column = columns[np.abs(lines - i - 0.5).argmin()]
        window = slice(max(0, int(column) - 16), int(column) + 17)
        covered = line[i, window]
        if 20 < column < 620 and covered.max() > 20.0 and max(covered[0], covered[-1]) < 2.0:
            middle = (covered * np.arange(640)[window]).sum() / covered.sum() + 0.5
            misses.append(abs(middle - column))
    assert len(misses) >= 3
    return 0.5 * np.median(misses)


def test_edge_lines_are_drawn_where_geometry_puts_them_on_slopes_too():
    yellow = with_yellow_edges()
    places = (20.0, 300.0, 330.0, 500.0, 690.0, 1030.0, 1050.0, 1200.0, 1240.0, 1325.0)
    misses = [edge_line_miss(s, yellow) for s in places]
    assert np.median(misses) < 0.3
    assert max(misses) < 0.6
    assert edge_line_miss(390.0, yellow) < 1.3  # a crest cuts through the line


def sheet():
    rig = CameraRig(JUNGLE, 120, 60)
    drawn = [rig.draw(JUNGLE.pose_at(s, 2.5), "center", "training") for s in PLACES]
    return np.vstack([np.hstack(drawn[:4]), np.hstack(drawn[4:])])


def test_images_of_the_jungle_look_like_the_stored_reference():
    """After a wanted change of the look, run this file as a script: it writes the reference anew."""
    reference = cv2.imread(str(REFERENCE), cv2.IMREAD_COLOR)[..., ::-1].astype(int)
    difference = np.abs(sheet().astype(int) - reference)
    assert difference.mean() < 1.5
    assert (difference.max(axis=2) > 30).mean() < 0.02


if __name__ == "__main__":
    cv2.imwrite(str(REFERENCE), sheet()[..., ::-1])
