"""What views that people look at show besides: finer plants, more shadows, smooth ground."""

import numpy as np
import pytest

from udacity_gym.world.rendering.camera import CameraRig
from udacity_gym.world.scene.cards import FINER, KINDS, SIDE, card_size, refine
from udacity_gym.world.scene.scene_arrays import FULL_SUN, LightFrame
from udacity_gym.world.scene.scenery import scene_of
from udacity_gym.world.track.track import Track


@pytest.fixture(scope="module")
def scene():
    return scene_of(Track.load("lake"))


def test_fine_cards_show_the_same_plants(scene):
    fine = refine(scene.arrays.card_texels)
    np.testing.assert_array_equal(fine, refine(scene.arrays.card_texels))
    coarse = scene.arrays.card_texels.reshape(-1, card_size(SIDE))[:, : SIDE**2] < 0
    side = FINER * SIDE
    detailed = fine.reshape(-1, card_size(side))[:, : side**2].reshape(-1, SIDE, FINER, SIDE, FINER) < 0
    share = detailed.mean(axis=(2, 4)).reshape(len(coarse), -1)
    for kind in KINDS.values():
        for k in range(kind.first, kind.first + kind.variants):
            assert np.corrcoef(coarse[k], share[k])[0, 1] > 0.85
            assert share[k].mean() == pytest.approx(coarse[k].mean(), rel=0.2)


def test_views_show_the_shadows_of_trees_where_the_sun_throws_them(scene):
    arrays, sun = scene.for_views.arrays, np.array(scene.air.sun, float)
    frame = LightFrame(*arrays.light_frame)
    light = (arrays.light & 255).reshape(-1, int(frame.columns))
    pine, sides = KINDS["pine"], {"shaded": [], "sunny": []}
    for x, y, _, _, tall, variant in scene.arrays.cards.tolist():
        if pine.first <= variant < pine.first + pine.variants:
            for name, sign in (("shaded", -1.0), ("sunny", 1.0)):
                away = sign * 0.65 * tall / sun[2] * sun[:2]
                column = round((x + away[0] - float(frame.west)) * float(frame.cells_per_metre))
                row = round((y + away[1] - float(frame.south)) * float(frame.cells_per_metre))
                if 0 <= row < light.shape[0] and 0 <= column < light.shape[1]:
                    sides[name].append(light[row, column] / FULL_SUN)
    assert len(sides["shaded"]) > 30
    assert np.mean(sides["shaded"]) < np.mean(sides["sunny"]) - 0.2


def test_the_cameras_of_the_car_keep_their_own_scene(scene):
    track = Track.load("lake")
    rig = CameraRig(track, 64, 32)
    before = rig.draw(track.pose_at(100.0))
    rig.view("chase", track.pose_at(100.0), 64, 36)
    np.testing.assert_array_equal(rig.draw(track.pose_at(100.0)), before)
    assert scene.arrays.light_frame[LightFrame._fields.index("columns")] == 0.0
