"""Weather, light and the camera's faults: by what they do to images, and by a small image of our own.

After a wanted change of the look, run this file as a script: it writes the reference anew.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from udacity_gym.conditions import NAMED, Conditions
from udacity_gym.sensors import Label
from udacity_gym.world.rendering.camera import CameraRig, Shot
from udacity_gym.world.rendering.weather import weather
from udacity_gym.world.scene.scenery import scene_of
from udacity_gym.world.track.track import Track

ROAD = np.s_[90:130, 120:200]
SKY = np.s_[:30]
REFERENCE = Path(__file__).with_name("reference") / "conditions.png"
SHEET = ("overcast", "rain", "fog", "snow", "dawn", "dusk", "night", "worn_road")


@pytest.fixture(scope="module")
def lake():
    return Track.load("lake")


@pytest.fixture(scope="module")
def rig(lake):
    return CameraRig(lake)


@pytest.fixture(scope="module")
def image(rig, lake):
    def draw(conditions=None, s=300.0, seed=5):
        like = conditions if isinstance(conditions, Conditions) else NAMED[conditions or "clear"]
        return rig.draw(lake.pose_at(s, 0.4), conditions=like, seed=seed).astype(float)

    return draw


def sheet():
    lake = Track.load("lake")
    rig = CameraRig(lake, 120, 60)
    drawn = [rig.draw(lake.pose_at(515.0, 0.4), conditions=NAMED[name], seed=1) for name in SHEET]
    return np.vstack([np.hstack(drawn[k : k + 4]) for k in (0, 4)])


def test_images_of_conditions_look_like_the_stored_reference():
    reference = cv2.imread(str(REFERENCE), cv2.IMREAD_COLOR)[..., ::-1].astype(int)
    difference = np.abs(sheet().astype(int) - reference)
    assert difference.mean() < 2.0
    assert (difference.max(axis=2) > 40).mean() < 0.02


def brightness(view):
    return view.mean()


def test_an_intensity_of_clear_weather_changes_no_byte(image):
    np.testing.assert_array_equal(image(), image(Conditions(intensity=0.3)))


def test_a_track_without_shadows_looks_the_same_without_shadows(image):
    np.testing.assert_array_equal(image(), image("no_shadows"))


def test_grip_changes_no_byte_of_the_image(image):
    np.testing.assert_array_equal(image(), image(Conditions(grip=0.5)))


@pytest.mark.parametrize("name", [name for name in NAMED if name not in ("clear", "no_shadows")])
def test_every_named_condition_can_be_seen_and_repeats_with_its_seed(image, name):
    seen = image(name)
    assert np.abs(seen - image()).mean() > 1.5
    np.testing.assert_array_equal(seen, image(name))


@pytest.mark.parametrize("name", ["rain", "snow", "noisy"])
def test_another_seed_gives_other_drops_flakes_and_noise(image, name):
    assert (image(name, seed=1) != image(name, seed=2)).any()


def test_an_overcast_sky_is_grey_and_the_ground_darker(image):
    grey, clear = image("overcast"), image()
    assert np.ptp(grey[SKY].mean(axis=(0, 1))) < 20
    assert brightness(grey[ROAD]) < 0.9 * brightness(clear[ROAD])


def test_fog_takes_the_contrast_of_what_is_far_and_leaves_what_is_near(image):
    fog, clear = image("fog"), image()
    assert fog[40:58].std() < 0.4 * clear[40:58].std()
    assert fog[120:134, 120:200].std() > 0.5 * clear[120:134, 120:200].std()


def test_fog_hides_what_lies_beyond_the_visibility(rig, lake):
    pose = lake.pose_at(300.0, 0.4)
    seen = rig.draw_all(pose, ("center", "center_depth"), conditions=Conditions(visibility=60.0))
    beyond = (seen["center_depth"] > 120) & (seen["center_depth"] < 900)
    assert beyond.sum() > 500
    assert seen["center"][beyond].astype(float).std(axis=0).max() < 12


def test_a_wet_road_is_darker_near_and_mirrors_the_sky_far_away(image):
    wet, dry = image("heavy_rain"), image("overcast")
    assert brightness(wet[120:134, 120:200]) < 0.75 * brightness(dry[120:134, 120:200])
    near, far = wet[120:134, 120:200], wet[64:72, 150:170]
    assert brightness(far) > 1.25 * brightness(near)


def test_snow_whitens_the_land_more_than_the_road(rig, lake):
    names = ("center", "center_segmentation")
    pose = lake.pose_at(300.0, 0.4)
    white = rig.draw_all(pose, names, conditions=NAMED["snow"])
    before = rig.draw_all(pose, names)
    land = (before["center_segmentation"] == Label.TERRAIN) & (np.arange(160)[:, None] > 70)
    road = before["center_segmentation"] == Label.ROAD
    assert white["center"][land].mean() > 170
    assert np.ptp(white["center"][land].mean(axis=0)) < 20
    assert white["center"][road].mean() < white["center"][land].mean() - 30


def test_the_lower_the_sun_the_warmer_and_darker_the_road(image):
    ratios, levels = [], []
    for degrees in (42.0, 20.0, 8.0):
        road = image(Conditions(sun_elevation=np.radians(degrees), sun_azimuth=-1.5))[ROAD]
        ratios.append(road[..., 0].mean() / road[..., 2].mean())
        levels.append(road.mean())
    assert ratios == sorted(ratios)
    assert levels == sorted(levels, reverse=True)


@pytest.mark.parametrize("s", [250.0, 300.0, 760.0, 1000.0])
@pytest.mark.parametrize("name", ["dusk", "dawn"])
def test_nothing_on_the_ground_is_brighter_at_dusk_and_dawn_than_at_noon(rig, lake, name, s):
    pose, names = lake.pose_at(s, 0.4), ("center", "center_segmentation")
    noon, low = (rig.draw_all(pose, names, conditions=NAMED[like]) for like in ("noon", name))
    ground = np.isin(noon["center_segmentation"], (Label.ROAD, Label.KERB, Label.TERRAIN))
    brighter = low["center"][ground].mean(axis=1) - noon["center"][ground].mean(axis=1)
    assert (brighter > 12).mean() < 0.01
    assert brighter.mean() < -10


@pytest.mark.parametrize("s", [250.0, 760.0, 1000.0])
@pytest.mark.parametrize("name", ["dusk", "low_sun"])
def test_a_low_sun_lights_hills_as_smoothly_as_the_day(rig, lake, name, s):
    """No tiles and no saw-teeth: the ratio of an image to that by day hardly changes from pixel to pixel."""
    pose, names = lake.pose_at(s, 0.4), ("center", "center_segmentation", "center_depth")
    day, low = (rig.draw_all(pose, names, conditions=NAMED[like]) for like in ("clear", name))
    land = (day["center_segmentation"] == Label.TERRAIN) & (day["center_depth"] < 60.0)
    ratio = low["center"].astype(float).mean(axis=2) / np.maximum(
        day["center"].astype(float).mean(axis=2), 8.0
    )
    beside = land[:, 1:] & land[:, :-1] & (np.abs(np.diff(day["center_depth"], axis=1)) < 1.0)
    steps = np.abs(np.diff(ratio, axis=1))[beside]
    assert beside.sum() > 300
    assert np.quantile(steps, 0.98) < 0.15


def test_ice_is_glossy_and_bluish_where_snow_is_white(rig, lake):
    pose, names = lake.pose_at(300.0, 0.4), ("center", "center_segmentation")
    ice, snow, dry = (
        rig.draw_all(pose, names, conditions=NAMED[name]) for name in ("ice", "snow", "overcast")
    )
    road, land = (ice["center_segmentation"] == label for label in (Label.ROAD, Label.TERRAIN))
    road[120:] = False
    blue = {
        name: seen["center"][road].astype(float).mean(axis=0) for name, seen in (("ice", ice), ("dry", dry))
    }
    assert blue["ice"][2] - blue["ice"][0] > 12 > blue["dry"][2] - blue["dry"][0]
    assert ice["center"][land].mean() < snow["center"][land].mean() - 25  # frost, no cover
    far, near = ice["center"][68:76, 140:180].mean(), ice["center"][110:130, 140:180].mean()
    assert far > near + 15  # it mirrors the sky


def test_images_of_a_batch_do_not_depend_on_the_other_conditions_in_it(rig, lake):
    shots = [Shot(lake.pose_at(100.0 * k), conditions=NAMED[name], seed=k) for k, name in enumerate(NAMED)]
    planes = rig.planes(len(shots), 1, ("depth",))
    rig.shoot(shots, ("center",), planes)
    for k, shot in enumerate(shots):
        alone = rig.draw_all(
            shot.pose, ("center", "center_depth"), conditions=shot.conditions, seed=shot.seed
        )
        np.testing.assert_array_equal(planes[None][0, k], alone["center"])
        np.testing.assert_array_equal(planes["depth"][0, k], alone["center_depth"])


def test_a_low_sun_dazzles_who_drives_towards_it(rig, lake):
    pose = lake.pose_at(300.0)
    towards, away = (
        rig.draw(pose, conditions=Conditions(sun_elevation=0.12, sun_azimuth=azimuth)).astype(float)
        for azimuth in (pose.yaw, pose.yaw + np.pi)
    )
    assert towards[20:50, 140:180].mean() > away[20:50, 140:180].mean() + 40


def test_at_night_only_what_the_headlights_reach_can_be_seen(image):
    night = image("night")
    assert night[SKY].mean() < 25
    day = image()
    reached, beside = np.s_[85:105, 130:190], np.s_[64:100, :12]
    assert night[reached].mean() > 0.5 * day[reached].mean()
    assert night[beside].mean() < 0.3 * day[beside].mean()


def test_worn_lines_are_harder_to_see(rig, lake):
    names = ("center", "center_segmentation")
    pose = lake.pose_at(300.0, 0.4)
    fresh = rig.draw_all(pose, names)
    lines = fresh["center_segmentation"] == Label.LANE_MARKING
    worn = rig.draw(pose, conditions=Conditions(road_wear=1.0)).astype(float)
    yellow = fresh["center"][lines].astype(float)
    assert (worn[lines][:, 0] - worn[lines][:, 2]).mean() < 0.6 * (yellow[:, 0] - yellow[:, 2]).mean()


def test_exposure_is_a_gain_of_two_to_its_power(image):
    dark, usual = image(Conditions(exposure=-1.0)), image()
    assert np.abs(dark - np.floor(usual / 2)).max() <= 1


def test_noise_has_the_spread_that_was_asked_for_and_no_bias(image):
    usual = image()
    middle = (usual > 110) & (usual < 146)
    for sigma in (4.0, 12.0):
        difference = image(Conditions(noise=sigma))[middle] - usual[middle]
        assert difference.std() == pytest.approx(sigma, rel=0.06)
        assert abs(difference.mean()) < 0.3


def test_jpeg_errs_more_the_lower_its_quality(image):
    usual = image()
    errors = [np.abs(image(Conditions(jpeg=quality)) - usual).mean() for quality in (95, 60, 20)]
    assert 0 < errors[0] < errors[1] < errors[2]


def test_views_for_people_show_the_weather_but_not_the_cameras_noise(rig, lake):
    pose = lake.pose_at(300.0)
    clear = rig.view("chase", pose, 320, 180)
    np.testing.assert_array_equal(clear, rig.view("chase", pose, 320, 180, conditions=Conditions(noise=20.0)))
    assert rig.view("chase", pose, 320, 180, conditions=NAMED["night"]).mean() < 0.5 * clear.mean()


def test_threads_with_rigs_of_their_own_draw_the_same_bytes(lake):
    def draw(_):
        own = CameraRig(lake)
        return [own.draw(lake.pose_at(s), conditions=NAMED["snow"], seed=3) for s in (100.0, 500.0, 900.0)]

    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(draw, range(4))
    for other in others:
        np.testing.assert_array_equal(first, other)


def test_clouds_soften_the_shadows_of_a_scene_that_has_them_and_a_moved_sun_has_none(lake):
    air = scene_of(lake).air
    shades = {}
    for name in ("clear", "overcast", "snow", "dawn", "no_shadows"):
        drawn, light = weather(NAMED[name], air, shadows=True)
        shades[name] = np.mean(drawn.ambient)
        assert light.shadows == (2.0 if name in ("dawn", "no_shadows") else 1.0)
        assert weather(NAMED[name], air)[1].shadows == 0.0
    assert shades["clear"] == pytest.approx(np.mean(air.ambient))
    assert 0.7 < shades["overcast"] < 1.0 == shades["dawn"] == shades["no_shadows"]


@pytest.fixture(scope="module")
def shade_on_the_jungle():
    jungle = Track.load("jungle")
    rig = CameraRig(jungle)

    def relative_brightness(s, name):
        """Brightness of the shaded road, relative to that of the sunny road beside it in the image."""
        pose = jungle.pose_at(s, 1.0)
        clear, without, seen = (
            rig.draw(pose, conditions=NAMED[like]).astype(float).mean(axis=2)
            for like in ("clear", "no_shadows", name)
        )
        sensors = rig.draw_all(pose, ("center_segmentation", "center_depth"))
        road = (sensors["center_segmentation"] == Label.ROAD) & (sensors["center_depth"] < 25.0)
        shade, sun = road & (clear < 0.6 * without), road & (clear > 0.9 * without)
        sun &= cv2.dilate(shade.astype(np.uint8), np.ones((1, 25), np.uint8)) > 0
        shade &= cv2.dilate(sun.astype(np.uint8), np.ones((1, 25), np.uint8)) > 0
        assert min(shade.sum(), sun.sum()) > 300
        return seen[shade].mean() / seen[sun].mean()

    return relative_brightness


@pytest.mark.parametrize("s", [620.0, 876.0])  # shade that was measured, and that of a palm
@pytest.mark.parametrize("name", ["dawn", "low_sun", "noon", "dusk", "no_shadows"])
def test_nothing_is_left_of_the_days_shadows_where_the_sun_has_moved(shade_on_the_jungle, s, name):
    assert shade_on_the_jungle(s, name) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("s", [620.0, 876.0])
@pytest.mark.parametrize("name", ["overcast", "rain"])
def test_faint_shadows_are_left_under_clouds(shade_on_the_jungle, s, name):
    assert shade_on_the_jungle(s, "clear") < 0.5
    assert 0.75 < shade_on_the_jungle(s, name) < 0.9


if __name__ == "__main__":
    cv2.imwrite(str(REFERENCE), sheet()[..., ::-1])
