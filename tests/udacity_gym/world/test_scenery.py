import copy

import numpy as np
import pytest

from udacity_gym.errors import TrackError
from udacity_gym.world.rendering.bonnet import FIELD_OF_VIEW
from udacity_gym.world.rendering.camera import CameraRig, camera_row
from udacity_gym.world.scene import scene_arrays
from udacity_gym.world.scene.cards import KINDS
from udacity_gym.world.scene.scenery import scene_of
from udacity_gym.world.scene.terrain import Grid
from udacity_gym.world.track.track import Track


@pytest.fixture(scope="module")
def lake():
    return Track.load("lake")


@pytest.fixture(scope="module")
def grid(lake):
    return Grid.around(lake)


def changed(lake, **surroundings):
    data = copy.deepcopy(lake.data)
    data["surroundings"].update(surroundings)
    return Track(data)


def test_the_grid_names_the_nearest_sample(lake, grid):
    rng = np.random.default_rng(0)
    for _ in range(400):
        i, j = rng.integers(grid.nearest.shape[0]), rng.integers(grid.nearest.shape[1])
        distances = np.hypot(lake.x - grid.x[j], lake.y - grid.y[i])
        assert grid.distance[i, j] == pytest.approx(distances.min(), abs=0.01)


def test_the_grid_knows_left_from_right(lake, grid):
    for s in np.linspace(0.0, lake.length, 40, endpoint=False):
        for offset in (-8.0, 8.0):
            pose = lake.pose_at(s, offset)
            i, j = round(pose.y - grid.south), round(pose.x - grid.west)
            assert grid.right[i, j] == (offset > 0)


def test_the_road_is_level_and_the_land_is_not(lake, grid):
    heights = scene_of(lake).arrays.heights.reshape(grid.nearest.shape)
    assert np.abs(heights[grid.distance < 6.5]).max() == 0
    assert heights.max() > 15
    assert heights.min() == pytest.approx(lake.data["surroundings"]["water_level"])


def test_the_inside_of_the_loop_is_a_lake(lake, grid):
    level = lake.data["surroundings"]["water_level"]
    heights = scene_of(lake).arrays.heights.reshape(grid.nearest.shape)
    inside = ~grid.right & (grid.distance > 60)
    assert (heights[inside] <= level + 1e-6).mean() > 0.5


def test_roadside_bits_follow_the_track_file(lake):
    sides = scene_of(lake).arrays.sides.reshape(-1, 2)

    def bit(s, side, name):
        return (sides[lake.index(s), side] >> name) & 1

    assert bit(500.0, 0, scene_arrays.STRIPED) == 1
    assert bit(300.0, 0, scene_arrays.STRIPED) == 0
    assert bit(95.0, 1, scene_arrays.LINED) == 0
    assert bit(95.0, 0, scene_arrays.LINED) == 1
    assert bit(865.0, 1, scene_arrays.RAISED) == 0
    assert bit(740.0, 0, scene_arrays.COBBLED) == bit(740.0, 1, scene_arrays.COBBLED) == 1


def test_kerbs_are_light_towards_the_sun_and_dark_away_from_it(lake):
    sides = scene_of(lake).arrays.sides.reshape(-1, 2)
    red = sides & 255
    for s in (520.0, 560.0):  # the road heads west-south-west, the sun is in the east
        assert red[lake.index(s), 0] < 110
        assert red[lake.index(s), 1] > 245
    concrete = red[sides >> scene_arrays.RAISED & 1 == 1]
    assert (concrete.min(), concrete.max()) == (94, 253)


def test_plants_stand_on_dry_land_beside_the_road(lake):
    cards = scene_of(lake).arrays.cards
    assert len(cards) > 900
    pines = cards[cards[:, 5] < KINDS["pine"].variants]
    assert 300 < len(pines) < 600
    for x, y, *_ in cards[::7]:
        assert abs(lake.locate(float(x), float(y)).offset) > 7.0


def test_a_scene_is_shared_by_tracks_of_the_same_content(lake):
    assert scene_of(lake) is scene_of(Track(copy.deepcopy(lake.data)))


def test_another_seed_grows_other_plants(lake):
    other = scene_of(changed(lake, seed=2))
    assert not np.array_equal(other.arrays.cards[:50, :2], scene_of(lake).arrays.cards[:50, :2])


def test_a_track_without_surroundings_gets_plain_land(lake):
    data = {key: value for key, value in lake.data.items() if key not in ("surroundings", "roadside")}
    track = Track(data)
    image = CameraRig(track).draw(track.pose_at(300.0))
    assert image.std() > 20
    assert len(scene_of(track).arrays.cards) == 0


@pytest.mark.parametrize(
    ("surroundings", "message"),
    [
        ({"land": [{"side": "left", "from": 0, "to": 1, "profile": [[8, 0, "lava"]]}]}, "lava"),
        (
            {
                "plants": [
                    {"kind": "cactus", "side": "left", "from": 0, "to": 9, "near": 9, "far": 20, "count": 1}
                ]
            },
            "pine",
        ),
        ({"plants": [{"kind": "pine", "side": "left"}]}, "count"),
        ({"land": [{"side": "left", "from": 0, "to": 1, "profile": [[8, 0, "sand"]]}]}, "surroundings"),
        ({"objects": [{"kind": "castle", "s": 0, "offset": 20.0}]}, "tyres, sign, pylon"),
    ],
)
def test_unknown_things_in_a_track_file_are_refused_by_name(lake, surroundings, message):
    with pytest.raises(TrackError, match=message):
        changed(lake, **surroundings)


def test_unknown_roadsides_are_refused_by_name(lake):
    data = copy.deepcopy(lake.data)
    data["roadside"] = [{"kind": "wall", "side": "left", "from": 0, "to": 9}]
    with pytest.raises(TrackError, match="kerb, bridge, dirt_mouth"):
        Track(data)


def oval(roadside=(), **road):
    data = {
        "format": "udacity-gym-track",
        "version": 1,
        "start": {"x": 0.0, "y": 0.0, "z": 0.0, "heading": 0.0},
        "start_poses": {mode: {"s": 0, "offset": 0} for mode in ("training", "autonomous")},
        "road": {"half_width": 4.76, "lane_half_width": 3.88, **road},
        "segments": [[150, 0.0], [40 * np.pi, 1 / 40], [150, 0.0], [40 * np.pi, 1 / 40]],
        "roadside": list(roadside),
    }
    return Track(data)


def seen_at(track, s, places, height=320):
    """Colours of places (s, offset) on the road in an image from ``s``: (n, 3)."""
    pose = track.pose_at(s)
    image = CameraRig(track, 2 * height, height).draw(pose)
    row = camera_row(pose, "center", "autonomous").astype(float)
    focal, middle = 0.5 * height / np.tan(FIELD_OF_VIEW / 2), height / 2
    colours = []
    for at, offset in places:
        place = track.pose_at(at, offset)
        away = np.array([place.x, place.y, place.z]) - row[:3]
        forward, right, up = (float(away @ row[k : k + 3]) for k in (3, 6, 9))
        column, line = 2 * middle + focal * right / forward, middle - focal * up / forward
        colours.append(image[int(line), int(column)])
    return np.array(colours, int)


def seen_across(track, s=60.0, ahead=12.0):
    """Colours from 8 m left to 8 m right of the centre line, some m ahead, every 4 cm: (401, 3)."""
    return seen_at(track, s, [(s + ahead, offset) for offset in np.linspace(-8.0, 8.0, 401)])


def yellow_at(track):
    colours = seen_across(track, ahead=8.0)  # farther off the line is blurred
    places = np.linspace(-8.0, 8.0, 401)
    found = places[(colours[:, 0] - colours[:, 2] > 45) & (abs(places) < track.half_width)]
    return found.min(), found.max()


@pytest.mark.parametrize("lane", [2.9, 3.88, 5.5])
def test_the_edge_line_is_drawn_where_the_file_puts_it(lane):
    left, right = yellow_at(oval(half_width=lane + 0.9, lane_half_width=lane))
    assert -left == pytest.approx(lane, abs=0.12)
    assert right == pytest.approx(lane, abs=0.12)


@pytest.mark.parametrize(("bars", "count"), [([], 5), ([[0.0, 0.3]], 10), ([[64.0, 0.2], [70.0, 0.5]], 8)])
def test_red_and_white_bars_are_as_long_as_the_file_says(bars, count):
    kerb = {"kind": "kerb", "side": "right", "from": 20, "to": 140}
    along = np.arange(66.0, 69.0, 0.01)
    colours = seen_at(oval([kerb], bars=bars), 60.0, [(s, 4.3) for s in along], height=1280)
    red = colours[:, 0] - colours[:, 1] > 70
    assert abs(np.diff(red.astype(int)).clip(0).sum() - count) <= 1


def test_dirt_lies_on_a_dusty_road_and_where_a_dirt_road_joins():
    clean, dusty = oval(), oval(dust=[[40.0, 0.0], [60.0, 0.6], [80.0, 0.6], [95.0, 0.0]])
    joined = oval([{"kind": "dirt_mouth", "side": "right", "from": 20, "to": 140}])
    places = np.linspace(-8.0, 8.0, 401)
    middle, edge = abs(places) < 2.0, (places > 4.2) & (places < 4.6)

    def brown(track, ahead, inside):
        colours = seen_across(track, 60.0, ahead)[inside]
        return (colours[:, 0] - colours[:, 2]).mean()

    assert brown(dusty, 12.0, middle) > brown(clean, 12.0, middle) + 15
    assert brown(dusty, 40.0, middle) == brown(clean, 40.0, middle)
    assert brown(joined, 12.0, edge) > brown(clean, 12.0, edge) + 15
    assert brown(joined, 12.0, edge[::-1]) == pytest.approx(brown(clean, 12.0, edge[::-1]), abs=3)


def test_bars_leave_a_single_line_free():
    kerb = {"kind": "kerb", "side": "right", "from": 20, "to": 140}
    line = {"kind": "solid", "colour": "white", "width": 0.2}
    plain, barred = (seen_across(oval(roadside, edge_line=line), ahead=8.0) for roadside in ([], [kerb]))
    places = np.linspace(-8.0, 8.0, 401)
    inside = (places > 3.7) & (places < 3.82)
    np.testing.assert_array_equal(plain[inside], barred[inside])
    assert (plain != barred)[(places > 4.1) & (places < 4.6)].any()


def test_bars_and_dust_are_interpolated_around_the_lap():
    ramp = [[0.0, 0.2], [100.0, 0.4], [oval().length, 0.8]]
    track = oval(dust=ramp, bars=ramp)
    dust = scene_of(track).arrays.dust
    bars = scene_of(track).arrays.bars.reshape(-1, 2)[:, 1]
    for s, value in ((50.0, 0.3), (100.0, 0.4), (track.length - 1.0, 0.8)):
        assert dust[track.index(s)] == pytest.approx(value, abs=0.01)
        assert 1 / bars[track.index(s)] == pytest.approx(value, abs=0.01)
    gap = scene_of(oval(dust=[[100.0, 0.2], [track.length - 100.0, 0.6]])).arrays.dust
    assert gap[0] == pytest.approx(0.4, abs=0.01)
    last = scene_arrays.Road(*scene_of(oval(dust=[[0.0, 0.5]])).arrays.road)
    assert last.dust_to >= track.length - 0.01


@pytest.mark.parametrize(
    ("road", "says"),
    [
        ({"bars": [[0.0, 0.05]]}, r"road.bars\[0\]: must lie within \[0.1, 20\]"),
        ({"bars": [[5.0, 0.5], [5.0, 0.6]]}, r"road.bars\[1\]: s must rise"),
        ({"dust": [[0.0, 1.5]]}, r"road.dust\[0\]: must lie within \[0, 1\]"),
        ({"dust": [[2000.0, 0.5]]}, r"road.dust\[0\]: must lie within \[0, 551"),
    ],
)
def test_wrong_bars_and_dust_are_refused(road, says):
    with pytest.raises(TrackError, match=says):
        oval(**road)


def walls(track):
    """m right of the centre line of all upright faces' corners."""
    corners = scene_of(track).arrays.faces[:, :12].reshape(-1, 3)
    return np.array([track.locate(float(x), float(y)).offset for x, y, _ in corners])


def test_walls_are_drawn_where_the_car_meets_them():
    bridge = {"kind": "bridge", "side": "left", "from": 20, "to": 120, "wall_offset": 5.0}
    track = oval([bridge])
    offsets = walls(track)
    assert (offsets < 0).all()
    assert offsets.max() == pytest.approx(-track.line.wall_left.min(), abs=0.01)
    assert (walls(oval([{**bridge, "side": "both"}])) > 0).any()
    apart = oval([{**bridge, "wall_offset_at_end": 6.0}])
    inside = np.unique(walls(apart).round(2))
    assert inside.max() == pytest.approx(-5.0, abs=0.02)
    assert np.isclose(inside, -6.0, atol=0.02).any()
    assert apart.line.wall_left[np.isfinite(apart.line.wall_left)].max() == pytest.approx(6.0, abs=0.02)


def test_cobblestones_reach_to_each_sides_own_wall():
    bridge = {"kind": "bridge", "side": "right", "from": 20, "to": 140}
    near, far = (seen_across(oval([{**bridge, "wall_offset": wall}])) for wall in (5.2, 7.0))
    asphalt = seen_across(oval())
    places = np.linspace(-8.0, 8.0, 401)
    inside = (places > 0.3) & (places < 3.0)
    assert (near - asphalt)[inside, 0].mean() > 10
    np.testing.assert_array_equal(near[places < -0.3], asphalt[places < -0.3])
    np.testing.assert_array_equal(near[inside], far[inside])
    assert (near != far)[(places > 5.4) & (places < 6.8)].any()


def test_a_hilly_road_is_drawn_along_its_slopes(lake):
    data = copy.deepcopy(lake.data)
    data["elevation"] = [[0.0, 0.0], [300.0, 14.0], [600.0, -6.0], [900.0, 4.0]]
    del data["surroundings"]
    track = Track(data)
    rig = CameraRig(track)
    for s in (100.0, 250.0, 450.0, 930.0):
        road = rig.draw(track.pose_at(s), "center", "training")[90:130, 130:190].astype(int)
        assert np.abs(road[..., 0] - road[..., 1]).mean() < 12
        assert 90 < road.mean() < 160


@pytest.mark.parametrize("name", ["lake", "jungle"])
def test_nothing_grows_on_the_road(name):
    track = Track.load(name)
    cards = scene_of(track).arrays.cards
    apart = np.hypot(cards[:, :1] - track.x, cards[:, 1:2] - track.y)
    apart[np.abs(cards[:, 2:3] - track.z) > 5.0] = np.inf  # on the bridge over it
    assert apart.min() > track.half_width
