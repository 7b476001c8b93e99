import math

import numpy as np
import pytest

from udacity_gym.conditions import NAMED
from udacity_gym.errors import OptionError
from udacity_gym.simulators.embedded import EmbeddedSimulator
from udacity_gym.telemetry import CAMERAS, Pose
from udacity_gym.world.rendering.camera import CameraRig, camera_row, camera_rows
from udacity_gym.world.scene.car_body import CarState
from udacity_gym.world.track.track import Track

FOCAL = 80 / math.tan(math.radians(30))


def project(row, points):
    """Column and row of world points in a 320x160 image; integers are the middles of pixels."""
    row = row.astype(float)
    relative = np.atleast_2d(points) - row[:3]
    depth = relative @ row[3:6]
    columns = 160 + FOCAL * (relative @ row[6:9]) / depth - 0.5
    rows = 80 - FOCAL * (relative @ row[9:12]) / depth - 0.5
    return columns, rows


@pytest.fixture(scope="module")
def lake():
    return Track.load("lake")


@pytest.fixture(scope="module")
def rig(lake):
    return CameraRig(lake)


@pytest.mark.parametrize(("mode", "row"), [("training", 60.8), ("autonomous", 57.1)])
def test_the_road_vanishes_where_measured_on_recordings(mode, row):
    straight_ahead = 1e6 * np.array([math.cos(0.3), math.sin(0.3), 0.0])
    camera = camera_row(Pose(0, 0, 0, 0.3), "center", mode)
    column_seen, row_seen = project(camera, straight_ahead)
    assert column_seen[0] == pytest.approx(158, abs=1)
    assert row_seen[0] == pytest.approx(row, abs=0.7)


def test_the_horizon_falls_to_the_right_by_what_the_roll_says():
    camera = camera_row(Pose(0, 0, 0, 0), "center", "training")
    far = 1e6 * np.array([[math.cos(a), math.sin(a), 0.0] for a in (0.7, -0.7)])
    columns, rows = project(camera, far)
    slope = (rows[1] - rows[0]) / (columns[1] - columns[0])
    assert slope * 320 == pytest.approx(6.6, abs=0.3)


@pytest.mark.parametrize(("camera", "right"), [("center", 0.0), ("left", -0.806), ("right", 0.825)])
def test_cameras_sit_where_the_simulator_mounts_them(camera, right):
    row = camera_row(Pose(10, 20, 3, 0), camera, "training")
    assert row[1] == pytest.approx(20 - right, abs=1e-5)
    assert row[2] == pytest.approx(3 + 1.25, abs=1e-5)
    axes = row[3:].reshape(3, 3)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-6)


def test_the_camera_follows_the_pitch_and_roll_of_the_car():
    level = camera_row(Pose(0, 0, 0, 0), "center", "autonomous")
    nose_up = camera_row(Pose(0, 0, 0, 0, pitch=0.1), "center", "autonomous")
    assert math.asin(nose_up[5]) - math.asin(level[5]) == pytest.approx(0.1, abs=1e-3)
    right_down = camera_row(Pose(0, 0, 0, 0, roll=0.1), "center", "autonomous")
    assert right_down[8] - level[8] == pytest.approx(-0.1, abs=2e-3)


@pytest.mark.parametrize("s", [150.0, 300.0, 600.0, 930.0])
@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("camera", CAMERAS)
def test_edge_lines_are_drawn_within_half_a_pixel_of_their_projection(lake, rig, s, side, camera):
    pose = lake.pose_at(s, 0.3, 0.02)
    image = rig.draw(pose, camera, "training").astype(float)
    yellowness = image[..., :2].mean(axis=2) - image[..., 2]
    row = camera_row(pose, camera, "training")
    # The middle of the inner of the double line's stripes, which is 0.126 m wide, and of the gap beside it.
    middle = [lake.pose_at(s + ahead, side * 3.453) for ahead in np.linspace(2.0, 40.0, 800)]
    columns, rows = project(row, [(p.x, p.y, p.z) for p in middle])
    beside = [lake.pose_at(s + ahead, side * 3.69) for ahead in np.linspace(2.0, 40.0, 800)]
    outer, outer_rows = project(row, [(p.x, p.y, p.z) for p in beside])
    errors = []
    for i in range(78, 112, 3):
        expected = np.interp(-i, -rows, columns)
        reach = abs(np.interp(-i, -outer_rows, outer) - expected)
        window = np.arange(max(0, round(expected - reach)), min(320, round(expected + reach) + 1))
        if len(window) < 2 * reach - 1:
            continue  # partly outside the image
        weight = np.clip(yellowness[i, window] - 45.0, 0.0, None)
        if weight.sum() > 0:
            errors.append((weight * window).sum() / weight.sum() - expected)
    assert len(errors) >= 4
    assert abs(np.median(errors)) < 0.5


def test_all_cameras_in_one_call_equal_each_alone(lake, rig):
    pose = lake.pose_at(640.0, -0.5)
    together = rig.draw_all(pose, CAMERAS, "training")
    assert list(together) == list(CAMERAS)
    for camera, image in together.items():
        np.testing.assert_array_equal(image, rig.draw(pose, camera, "training"))


def test_no_cars_or_no_cameras_give_no_images(lake, rig):
    assert rig.draw_all(lake.pose_at(0.0), ()) == {}
    assert (
        camera_rows([], CAMERAS).shape == camera_rows([(lake.pose_at(0.0), "training")], ()).shape == (0, 12)
    )
    rig.shoot([], CAMERAS, rig.planes(0, len(CAMERAS)))
    EmbeddedSimulator.draw_together([], CAMERAS, {})
    with pytest.raises(OptionError, match="no camera 'rear'"):
        camera_rows([], ("rear",))


def test_images_are_fresh_arrays(lake, rig):
    first = rig.draw(lake.pose_at(0.0))
    kept = first.copy()
    rig.draw(lake.pose_at(500.0))
    np.testing.assert_array_equal(first, kept)


def test_the_bonnet_is_the_same_everywhere(lake, rig):
    images = [rig.draw(lake.pose_at(s), "center", "training") for s in (0.0, 300.0, 740.0)]
    for image in images[1:]:
        np.testing.assert_array_equal(image[152:, 120:190], images[0][152:, 120:190])
    assert (images[0][136, 150:160] != images[2][136, 150:160]).any()


@pytest.mark.parametrize(
    ("camera", "inside", "outside"),
    [("center", (158, 155), (120, 155)), ("left", (156, 290), (156, 100)), ("right", (156, 20), (156, 200))],
)
def test_each_camera_sees_its_part_of_the_bonnet(lake, rig, camera, inside, outside):
    one, other = (rig.draw(lake.pose_at(s), camera).astype(int) for s in (300.0, 740.0))
    assert (one[inside] == other[inside]).all()
    row, column = outside
    around = (slice(row - 4, row + 4), slice(column - 8, column + 8))
    assert abs(one[around] - other[around]).sum(axis=2).mean() > 20


def test_the_chase_view_shows_our_car_and_its_steering(lake, rig):
    pose = lake.pose_at(300.0)
    straight = rig.view("chase", pose, 320, 180)
    assert straight.shape == (180, 320, 3)
    elsewhere = rig.view("chase", lake.pose_at(320.0), 320, 180)
    red = (straight[..., 0].astype(int) - straight[..., 1] > 70)[60:160, 100:220]
    assert 20 < red.sum() < 2000
    assert elsewhere.shape == straight.shape


def changed_pixels(one, other):
    """Columns and rows of the pixels that differ."""
    rows, columns = np.nonzero(np.abs(one.astype(int) - other).max(axis=2) > 6)
    return columns, rows


def test_the_front_wheels_of_the_chase_view_steer(lake, rig):
    pose = lake.pose_at(300.0)
    straight, left, right = (rig.view("chase", pose, 320, 180, CarState(turn)) for turn in (0.0, -1.0, 1.0))
    for turned in (left, right):
        columns, rows = changed_pixels(straight, turned)
        assert 4 < len(columns) < 400
        assert rows.min() >= 95  # the wheels, not the roof
        assert (columns < 150).any()
        assert (columns > 170).any()
    assert (left != right).any()


def test_the_wheels_of_the_chase_view_turn_as_the_car_drives(lake, rig):
    pose = lake.pose_at(300.0)
    still, moved = (rig.view("chase", pose, 640, 360, CarState(travelled=m)) for m in (0.0, 0.2))
    columns, rows = changed_pixels(still, moved)
    assert len(columns) > 0
    assert rows.min() > 200
    assert (np.abs(columns - 320) > 40).all()  # beside the body


@pytest.mark.parametrize("conditions", ["clear", "rain", "dusk", "night"])
def test_the_brake_lights_of_the_chase_view_shine_when_the_car_brakes(lake, rig, conditions):
    pose, like = lake.pose_at(300.0), NAMED[conditions]
    rolling, braking = (
        rig.view("chase", pose, 320, 180, CarState(brake=brake), like).astype(int) for brake in (0.0, 1.0)
    )
    columns, rows = changed_pixels(rolling, braking)
    assert (braking[rows, columns, 0] >= rolling[rows, columns, 0]).all()
    assert (braking - rolling)[rows, columns, 0].max() > 60
    assert 100 < columns.min() < 150 < 170 < columns.max() < 220  # at both sides of the car


def test_tail_lights_are_on_at_night_only(lake, rig):
    pose = lake.pose_at(300.0)
    day, night = (rig.view("chase", pose, 320, 180, conditions=NAMED[name]) for name in ("clear", "night"))
    red = [(image[..., 0].astype(int) - image[..., 1])[100:160, 100:220] for image in (day, night)]
    assert red[1].max() > 100
    assert night[60:160, 100:220].max() > 1.5 * night[60:160, 100:220, 1].max()


def test_the_car_casts_a_shadow_away_from_the_sun(lake, rig):
    """Driving to the sun, the chase view is darker behind the car; driving away from it, in front."""

    def brightness(s):
        pose = lake.pose_at(s)
        image = rig.view("chase", pose, 320, 180).astype(float).mean(axis=2)
        return image[142:152, 140:180].mean() / image[142:152, 20:60].mean()

    headings = {s: lake.pose_at(s).yaw for s in np.arange(0.0, lake.length, 20.0)}
    towards = max(headings, key=lambda s: np.cos(headings[s]))
    away = min(headings, key=lambda s: np.cos(headings[s]))
    assert brightness(towards) < brightness(away) - 0.1


def test_edges_of_the_chase_view_are_smooth(lake, rig):
    """A pixel is the mean of what it covers, not what is in one place of it."""
    fine = rig.view("chase", lake.pose_at(300.0), 1280, 720).astype(float)
    image = rig.view("chase", lake.pose_at(300.0), 640, 360).astype(float)
    mean = fine.reshape(360, 2, 640, 2, 3).mean(axis=(1, 3))
    assert np.abs(image - mean).mean() < 0.75 * np.abs(fine[::2, ::2] - mean).mean()


def test_the_cockpit_view_is_the_center_camera_in_another_size(lake, rig):
    pose = lake.pose_at(300.0)
    np.testing.assert_array_equal(rig.view("cockpit", pose, 320, 160), rig.draw(pose, "center", "autonomous"))
    assert rig.view("cockpit", pose, 480, 200).shape == (200, 480, 3)


def test_unknown_names_are_refused_with_the_known_ones(lake, rig):
    with pytest.raises(OptionError, match="center, left, right"):
        rig.draw(lake.pose_at(0.0), "rear")
    with pytest.raises(OptionError, match="training, autonomous"):
        rig.draw(lake.pose_at(0.0), "center", "manual")
    with pytest.raises(OptionError, match="chase, cockpit"):
        rig.view("top", lake.pose_at(0.0), 320, 160)


def test_a_rig_keeps_only_the_last_sizes_of_view():
    track = Track.load("lake")
    rig = CameraRig(track)
    for width in (64, 80, 96, 80):
        rig.view("chase", track.pose_at(10.0), width, 48)
    assert list(rig._views) == [(144, 72, True), (120, 72, True)]  # drawn 1.5 times as large
