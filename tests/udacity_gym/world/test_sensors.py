"""Depth against rays that are intersected by hand, segmentation against where things are."""

import math

import cv2
import numpy as np
import pytest

from udacity_gym.conditions import NAMED
from udacity_gym.sensors import FAR, PALETTE, Label, colour_depth, colour_labels
from udacity_gym.world.rendering.bonnet import FIELD_OF_VIEW
from udacity_gym.world.rendering.camera import CameraRig, camera_row
from udacity_gym.world.track.track import Track

NAMES = ("center", "center_depth", "center_segmentation")


@pytest.fixture(scope="module")
def lake():
    return Track.load("lake")


@pytest.fixture(scope="module")
def rig(lake):
    return CameraRig(lake)


def rays(row, height, width, field_of_view=FIELD_OF_VIEW):
    """(height, width, 3) rays through the middles of pixels, 1 m long along the optical axis."""
    focal = height / 2 / math.tan(field_of_view / 2)
    u = (np.arange(width) + 0.5 - width / 2) / focal
    v = (height / 2 - np.arange(height) - 0.5) / focal
    row = row.astype(float)
    return row[3:6] + u[None, :, None] * row[6:9] + v[:, None, None] * row[9:12]


@pytest.mark.parametrize(("size", "degrees"), [((320, 160), 60.0), ((96, 84), 40.0), ((200, 66), 95.0)])
@pytest.mark.parametrize("camera", ["center", "right"])
def test_depth_of_the_flat_road_is_that_of_a_ray_and_a_plane(lake, size, degrees, camera):
    width, height = size
    rig = CameraRig(lake, width, height, math.radians(degrees))
    pose = lake.pose_at(330.0, 0.4)
    seen = rig.draw_all(pose, (f"{camera}_depth", f"{camera}_segmentation"))
    depth, labels = seen.values()
    row = camera_row(pose, camera, "autonomous")
    analytic = -(row[2] - pose.z) / rays(row, height, width, math.radians(degrees))[..., 2]
    road = (labels == Label.ROAD) & (depth < 60)
    road = (
        cv2.erode(road.astype(np.uint8), np.ones((3, 3), np.uint8)) == 1
    )  # its last pixel may be on the kerb
    assert road.mean() > 0.15
    np.testing.assert_allclose(depth[road], analytic[road], rtol=2e-3)


def test_the_sky_is_as_far_as_depth_goes(rig, lake):
    seen = rig.draw_all(lake.pose_at(640.0), NAMES)
    sky = seen["center_segmentation"] == Label.SKY
    assert sky[:30].mean() > 0.8
    assert (seen["center_depth"][sky] == FAR).all()
    assert seen["center_depth"][~sky].max() < FAR


def test_images_are_the_same_with_sensors_as_without(rig, lake):
    pose = lake.pose_at(515.0)
    np.testing.assert_array_equal(rig.draw(pose), rig.draw_all(pose, NAMES)["center"])


@pytest.mark.parametrize("s", [150.0, 330.0, 430.0, 700.0, 930.0])
def test_markings_are_where_the_lines_are_in_the_world(rig, lake, s):
    pose = lake.pose_at(s, -0.5, 0.1)
    seen = rig.draw_all(pose, NAMES)
    labels, depth = seen["center_segmentation"], seen["center_depth"]
    row = camera_row(pose, "center", "autonomous")
    points = row[:3] + depth[..., None] * rays(row, 160, 320)
    near = (depth < 40) & np.isin(labels, (Label.ROAD, Label.LANE_MARKING))
    middle = np.array([lake.locate(x, y).offset for x, y in points[near][:, :2]])
    line = (np.abs(middle) > lake.lane_half_width - 0.6) & (np.abs(middle) < lake.lane_half_width)
    bridge = 686 < s < 795
    found = labels[near] == Label.LANE_MARKING
    assert (found == (line & (not bridge))).mean() > 0.995
    assert found.sum() == 0 if bridge else found.sum() > 40


def test_striped_kerbs_are_kerbs(rig, lake):
    seen = rig.draw_all(lake.pose_at(500.0), NAMES)
    image = seen["center"].astype(int)
    red = (image[..., 0] - image[..., 1] > 90) & (image[..., 0] > 180)
    assert red.sum() > 50
    assert (seen["center_segmentation"][red] == Label.KERB).mean() > 0.9


def test_water_is_what_has_waters_colour_inside_the_loop(rig, lake):
    seen = rig.draw_all(lake.pose_at(640.0), NAMES, "training")
    blue = np.abs(seen["center"].astype(int) - np.array([166, 197, 213])).max(axis=2) < 10
    blue[:60] = blue[80:] = False
    blue[:, 100:] = False
    assert blue.sum() > 200
    assert (seen["center_segmentation"][blue] == Label.WATER).mean() > 0.95


def test_what_stands_upright_has_its_own_labels(rig, lake):
    labels = rig.draw_all(lake.pose_at(740.0), NAMES)["center_segmentation"]
    assert (labels[66:90, :40] == Label.STRUCTURE).mean() > 0.3  # the bridge's walls
    around = [rig.draw(lake.pose_at(s), "center_segmentation") for s in np.arange(0.0, 1100.0, 100.0)]
    assert np.mean(np.stack(around) == Label.VEGETATION) > 0.005


def test_the_bonnet_is_the_car_and_near(rig, lake):
    seen = rig.draw_all(lake.pose_at(330.0), NAMES, "training")
    bonnet = seen["center_segmentation"] == Label.CAR
    assert bonnet[150:, 100:200].all()
    assert not bonnet[:136].any()
    assert 0.8 < seen["center_depth"][bonnet].min() < seen["center_depth"][bonnet].max() < 1.4


def test_weather_changes_neither_depth_nor_labels(rig, lake):
    pose = lake.pose_at(330.0)
    clear = rig.draw_all(pose, NAMES)
    snow = rig.draw_all(pose, NAMES, conditions=NAMED["snow"])
    for name in NAMES[1:]:
        np.testing.assert_array_equal(clear[name], snow[name])


def test_every_label_has_a_colour_of_its_own():
    assert len(np.unique(PALETTE, axis=0)) == len(Label)
    assert colour_labels(np.array([[Label.SKY, Label.CAR]], np.uint8)).shape == (1, 2, 3)


def test_depths_are_shown_the_darker_the_farther():
    shown = colour_depth(np.array([1.0, 5.0, 50.0, 500.0, FAR], np.float32)).mean(axis=1)
    assert (np.diff(shown) < 0).all()


def test_a_larger_field_of_view_sees_more_of_the_bonnet_and_of_the_sides(lake):
    pose = lake.pose_at(330.0)
    shares = []
    for degrees in (40.0, 60.0, 90.0):
        labels = CameraRig(lake, 320, 160, math.radians(degrees)).draw(pose, "center_segmentation")
        shares.append((labels == Label.CAR).mean())
        assert (labels[-1, 150:170] == Label.CAR).all() or degrees < 60
    assert shares == sorted(shares)
    assert shares[0] < 0.02 < shares[1] < shares[2]
