"""Images are checked by properties and against a small image of our own.

After a wanted change of the look, run this file as a script: it writes the reference anew.
"""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numba import njit

from udacity_gym.telemetry import CAMERAS
from udacity_gym.world import jit
from udacity_gym.world.rendering import surface
from udacity_gym.world.rendering.bonnet import FIELD_OF_VIEW
from udacity_gym.world.rendering.camera import CameraRig, camera_row
from udacity_gym.world.rendering.rays import Block, Projection
from udacity_gym.world.rendering.renderer import Renderer
from udacity_gym.world.scene.scenery import scene_of
from udacity_gym.world.track.track import Track

REFERENCE = Path(__file__).with_name("reference") / "lake.png"
PLACES = (0.0, 100.0, 300.0, 515.0, 640.0, 740.0, 865.0, 1000.0)


@pytest.fixture(scope="module")
def lake():
    return Track.load("lake")


@pytest.fixture(scope="module")
def rig(lake):
    return CameraRig(lake)


def image(rig, lake, s, **options):
    return rig.draw(lake.pose_at(s, 0.4), **options).astype(int)


def sheet():
    lake = Track.load("lake")
    rig = CameraRig(lake, 120, 60)
    drawn = [rig.draw(lake.pose_at(s, 0.4), "center", "training") for s in PLACES]
    return np.vstack([np.hstack(drawn[k : k + 4]) for k in (0, 4)])


def test_images_look_like_the_stored_reference():
    reference = cv2.imread(str(REFERENCE), cv2.IMREAD_COLOR)[..., ::-1].astype(int)
    difference = np.abs(sheet().astype(int) - reference)
    assert difference.mean() < 1.0
    assert (difference.max(axis=2) > 30).mean() < 0.01


def test_the_road_is_grey_asphalt_of_the_recordings_brightness(rig, lake):
    for s in (150.0, 300.0, 430.0, 930.0):
        road = image(rig, lake, s, mode="training")[84:132, 130:190]
        red, green, blue = road.reshape(-1, 3).mean(axis=0)
        assert abs(red - green) < 6
        assert 8 < red - blue < 24
        assert 110 < green < 145
        assert 8 < road[..., 1].std() < 32


def test_asphalt_gets_lighter_and_smoother_with_distance(rig, lake):
    road = image(rig, lake, 300.0, mode="training")[..., 1]
    near, far = road[120:134, 120:200], road[74:80, 140:180]
    assert far.mean() > near.mean() + 10
    assert far.std() < 0.6 * near.std()


def test_red_and_white_kerbs_are_where_the_track_file_says(rig, lake):
    def red_share(s):
        p = image(rig, lake, s, mode="training")[80:130]
        return ((p[..., 0] - p[..., 1] > 80) & (p[..., 0] > 150)).mean()

    assert red_share(500.0) > 0.01
    assert red_share(985.0) > 0.01
    for s in (200.0, 330.0, 600.0, 740.0, 930.0):
        assert red_share(s) == 0


def test_the_bridge_has_black_walls_and_light_stones_but_no_lines(rig, lake):
    p = image(rig, lake, 735.0, mode="training")
    assert (p[66:90, :40].max(axis=2) < 40).mean() > 0.3
    assert (p[66:90, 280:].max(axis=2) < 40).mean() > 0.3
    stones = p[84:130, 130:190].reshape(-1, 3).mean(axis=0)
    assert stones.min() > 130
    assert stones[0] > stones[2] + 20


def test_dirt_mouths_have_no_line_on_the_right(rig, lake):
    p = image(rig, lake, 92.0, mode="training")
    yellow = (
        (p[..., :2].mean(axis=2) - p[..., 2] > 60) & (p[..., 0] > 140) & (abs(p[..., 0] - p[..., 1]) < 30)
    )
    assert yellow[85:125, :150].sum() > 12
    assert yellow[85:125, 170:].sum() < 5


def test_there_is_water_inside_the_loop(rig, lake):
    p = image(rig, lake, 640.0, mode="training")[60:80, :100]
    water = np.abs(p - np.array([166, 197, 213])).max(axis=2) < 14
    assert water.mean() > 0.1


def test_the_sky_is_blue_and_lighter_towards_the_horizon(rig, lake):
    p = image(rig, lake, 640.0, mode="training")
    top, low = p[0].mean(axis=0), np.median(p[44:50].reshape(-1, 3), axis=0)
    assert top[2] > top[0] + 45
    assert (low > top).all()


def test_same_pose_gives_the_same_bytes(lake):
    first, second = (CameraRig(lake).draw(lake.pose_at(515.0)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_batch_equals_its_images_one_by_one(lake):
    renderer = Renderer(scene_of(lake), 160, 80, FIELD_OF_VIEW)
    rows = np.stack([camera_row(lake.pose_at(s), "center", "training") for s in PLACES])
    batch = np.empty((len(rows), 80, 160, 3), np.uint8)
    renderer.render(rows, batch)
    single = np.empty((1, 80, 160, 3), np.uint8)
    for row, expected in zip(rows[::-1], batch[::-1], strict=True):
        renderer.render(row[None], single)
        np.testing.assert_array_equal(single[0], expected)


@pytest.mark.parametrize(("width", "height"), [(200, 66), (33, 17), (84, 84), (640, 360)])
def test_any_size_is_drawn_directly(lake, width, height):
    p = CameraRig(lake, width, height).draw(lake.pose_at(300.0), "center", "training").astype(int)
    assert p.shape == (height, width, 3)
    above, below = p[: height // 5], p[height // 2 : height * 4 // 5, width // 3 : width * 2 // 3]
    assert above[..., 2].mean() > above[..., 0].mean() + 20
    assert abs(below[..., 0].mean() - below[..., 1].mean()) < 8


def test_a_small_image_is_the_large_one_averaged(lake):
    pose = lake.pose_at(300.0, 0.2)
    small = CameraRig(lake, 160, 80).draw(pose, "center", "training").astype(float)
    large = CameraRig(lake, 320, 160).draw(pose, "center", "training").astype(float)
    averaged = large.reshape(80, 2, 160, 2, 3).mean(axis=(1, 3))
    assert np.abs(small - averaged).mean() < 8


def test_a_image_from_far_off_the_road_is_drawn_all_the_same(rig, lake):
    for offset in (-60.0, 60.0, 2000.0):
        pose = lake.pose_at(300.0, offset, 1.0)
        assert rig.draw(pose).shape == (160, 320, 3)


def test_wrong_arrays_are_refused(rig, lake):
    row = camera_row(lake.pose_at(0.0), "center", "training")[None]
    with pytest.raises(ValueError, match=r"\(n, 12\)"):
        rig.renderer.render(row[:, :9], np.empty((1, 160, 320, 3), np.uint8))
    with pytest.raises(ValueError, match=r"\(1, 160, 320, 3\)"):
        rig.renderer.render(row, np.empty((1, 160, 300, 3), np.uint8))
    with pytest.raises(ValueError, match="C-contiguous"):
        rig.renderer.render(row, np.empty((1, 160, 640, 3), np.uint8)[:, :, ::2])


def test_the_inner_loops_are_vectorised(lake):
    rig = CameraRig(lake)
    scene, scratch = scene_of(lake).arrays, rig.renderer.scratch
    camera = camera_row(lake.pose_at(0.0), "center", "training")
    options = {"fastmath": True, "error_model": "numpy", "pipeline_class": jit.NoAlias}
    block = Block(Projection(camera, rig.renderer.focal, 320, 160), 0, 150)
    locate = njit(**options)(surface.locate.py_func)
    scratch.covered[:] = 1
    locate(block, scratch.covered, scene, scratch)
    code = next(iter(locate.inspect_llvm().values()))
    vectors = [
        line for line in code.splitlines() if " x float>" in line and ("fmul" in line or "fadd" in line)
    ]
    assert len(vectors) >= 10  # without vectors there are none; how many depends on the processor


def test_the_cameras_of_a_rig_are_those_of_the_vocabulary(rig, lake):
    assert set(rig.draw_all(lake.pose_at(0.0))) == set(CAMERAS)


if __name__ == "__main__":
    REFERENCE.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(REFERENCE), sheet()[..., ::-1])
