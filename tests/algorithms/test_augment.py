"""Augmentation that keeps image and label true to each other."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from simple_road import CAMERA_OFFSETS, road_image

from algorithms import Augmentation, Preprocessing
from algorithms.training.augment import Geometry, _in_prepared_pixels, shade, warp
from udacity_gym.errors import OptionError
from udacity_gym.recording import open_recording
from udacity_gym.telemetry import Image
from udacity_gym.world.physics.car import CarParameters
from udacity_gym.world.rendering import camera

GEOMETRY, PREPROCESSING = Geometry(), Preprocessing()
NOTHING = Augmentation(flip=0, shift=0, turn=0, vertical=0, brightness=0, shadow=0)


def look_from(
    image: Image, offset: float = 0.0, heading: float = 0.0, raised: float = 0.0, flip: bool = False
) -> Image:
    """A prepared image, seen from elsewhere."""
    maps = GEOMETRY.viewpoint(
        np.array([offset]), np.array([heading]), np.array([raised]), np.array([flip], np.bool_)
    )
    return warp(PREPROCESSING(image)[None], _in_prepared_pixels(maps, PREPROCESSING))[0]


def difference(first: Image, second: Image) -> float:
    """Mean difference of luma away from the borders."""
    inner = np.s_[8:-8, 24:-24, 0]
    return float(np.abs(first[inner].astype(int) - second[inner]).mean())


def augment(
    augmentation: Augmentation, steering: list[float], seed: int = 0
) -> tuple[Image, NDArray[np.float32]]:
    """Augment the simple road seen from its middle, with these labels."""
    n = len(steering)
    images = np.repeat(PREPROCESSING(road_image(0.0))[None], n, axis=0)
    labels, distance = np.array(steering, np.float32), np.full(n, 8.0, np.float32)
    rng = np.random.default_rng(seed)
    return augmentation.apply(images, labels, distance, rng, PREPROCESSING, GEOMETRY)


@pytest.mark.parametrize(
    ("offset", "heading", "raised"), [(0.5, 0.0, 0.0), (-0.8, 0.0, 0.0), (0.0, 0.05, 0.0), (0.3, -0.04, 4.0)]
)
def test_a_moved_image_is_what_the_moved_camera_sees(offset: float, heading: float, raised: float) -> None:
    truth = PREPROCESSING(road_image(offset, heading, raised))
    moved = look_from(road_image(0.0), offset, heading, raised)
    assert difference(moved, truth) < 0.25 * difference(PREPROCESSING(road_image(0.0)), truth)


def test_a_mirrored_image_is_what_the_camera_sees_on_the_other_side() -> None:
    mirrored = look_from(road_image(0.7, 0.02), flip=True)
    truth = PREPROCESSING(road_image(-0.7, -0.02))
    assert difference(mirrored, truth) < 0.2 * difference(PREPROCESSING(road_image(0.7, 0.02)), truth)


def test_real_side_images_are_the_centre_image_moved_by_the_cameras_offset(lake_recording: Path) -> None:
    episode = open_recording(lake_recording).episodes[0]
    for side in ("left", "right"):
        offset = GEOMETRY.camera_offset(side)
        errors = dict.fromkeys((0.0, 0.5, 1.0, 1.5), 0.0)
        for frame in episode[100:1900:150]:
            seen = PREPROCESSING(frame.image(side))
            for share in errors:
                errors[share] += difference(look_from(frame.image("center"), share * offset), seen)
        assert min(errors, key=lambda share: errors[share]) == 1.0
        assert errors[1.0] < 0.5 * errors[0.0]


def test_the_geometry_is_that_of_the_embedded_simulator_while_it_records() -> None:
    ride = camera.RIDES["training"]
    assert pytest.approx(80 / math.tan(camera.FIELD_OF_VIEW / 2), abs=0.01) == GEOMETRY.focal_length
    assert pytest.approx(camera.ROLL) == GEOMETRY.roll
    assert pytest.approx(ride.height) == GEOMETRY.camera_height
    mounts = {name: mount.right for name, mount in camera.MOUNTS.items()}
    assert pytest.approx(mounts) == dict(GEOMETRY.camera_offsets)
    forward, right, up = camera.rotation(-camera.YAW, -ride.pitch, -camera.ROLL)[:, 0]  # of straight ahead
    middle = np.array([159.5, 79.5])  # px; pixel centres lie at whole numbers
    ahead = middle + GEOMETRY.focal_length * np.array([right, -up]) / forward
    assert GEOMETRY.vanishing_point == pytest.approx(tuple(ahead), abs=0.3)
    car = CarParameters()
    assert GEOMETRY.wheelbase == pytest.approx(car.wheelbase / 1.06, abs=0.01)
    assert pytest.approx(car.max_wheel_angle) == GEOMETRY.max_steering


def test_a_car_left_of_its_path_steers_right() -> None:
    left, right = (
        GEOMETRY.recovery_steering(np.array([CAMERA_OFFSETS[side]]), 0.0, np.array([8.0]))
        for side in ("left", "right")
    )
    assert 0.05 < left[0] < 0.4
    assert right[0] == pytest.approx(-left[0], rel=0.05)


def test_a_car_that_points_left_steers_right() -> None:
    steering = GEOMETRY.recovery_steering(np.zeros(1), np.array([-0.03]), np.array([8.0]))
    assert 0.02 < steering[0] < 0.2


def test_recovery_steering_leads_back_to_the_path() -> None:
    """Drive the arc that the steering stands for and see where it ends."""
    offset, distance = 0.8, 10.0
    steering = float(GEOMETRY.recovery_steering(np.array([offset]), 0.0, np.array([distance]))[0])
    curvature_right = math.tan(steering * GEOMETRY.max_steering) / GEOMETRY.wheelbase
    # At the end of the arc's chord of length `distance`, the car has moved by curvature * distance² / 2.
    assert offset + curvature_right * distance**2 / 2 == pytest.approx(0.0, abs=0.02)


def test_flipping_negates_steering() -> None:
    flipped, steering = augment(Augmentation(1.0, 0, 0, 0, 0, 0), [0.3, -0.1, 0.0])
    np.testing.assert_allclose(steering, [-0.3, 0.1, 0.0])
    np.testing.assert_array_equal(flipped[0], look_from(road_image(0.0), flip=True))


def test_half_of_the_images_are_flipped_by_default() -> None:
    _, steering = augment(Augmentation(0.5, 0, 0, 0, 0, 0), [0.5] * 200)
    assert 70 < np.count_nonzero(steering < 0) < 130


def test_a_image_shifted_right_is_steered_left() -> None:
    images, steering = augment(Augmentation(0, 1.0, 0, 0, 0, 0), [0.0] * 50)
    greatest = abs(float(GEOMETRY.recovery_steering(np.array([1.0]), 0.0, np.array([8.0]))[0]))
    assert steering.min() == pytest.approx(-greatest, rel=0.2)
    assert steering.max() == pytest.approx(greatest, rel=0.2)
    centre, from_the_right, from_the_left = (PREPROCESSING(road_image(x)) for x in (0.0, 0.9, -0.9))
    steered_left, steered_right = images[int(np.argmin(steering))], images[int(np.argmax(steering))]
    assert difference(steered_left, from_the_right) < 0.4 * difference(centre, from_the_right)
    assert difference(steered_right, from_the_left) < 0.4 * difference(centre, from_the_left)


@pytest.mark.parametrize("change", [{"vertical": 6.0}, {"brightness": 0.5}, {"shadow": 1.0}])
def test_bumps_and_light_change_the_image_but_not_the_label(change: dict[str, float]) -> None:
    settings = {"flip": 0.0, "shift": 0.0, "turn": 0.0, "vertical": 0.0, "brightness": 0.0, "shadow": 0.0}
    images, steering = augment(Augmentation(**{**settings, **change}), [0.2] * 8)
    np.testing.assert_array_equal(steering, np.float32(0.2))
    assert all(difference(image, PREPROCESSING(road_image(0.0))) > 0.5 for image in images)


def test_without_any_change_the_image_stays_as_it_is() -> None:
    images, steering = augment(NOTHING, [0.1, -0.1])
    np.testing.assert_allclose(steering, [0.1, -0.1])
    np.testing.assert_array_equal(images[0], PREPROCESSING(road_image(0.0)))


def test_same_seed_same_augmentation() -> None:
    first, second, other = (augment(Augmentation(), [0.1] * 8, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert (first[1] != other[1]).any()


def test_a_shadow_dims_light_and_colour_alike() -> None:
    rgb = np.random.default_rng(0).integers(40, 200, (1, 160, 320, 3)).astype(np.uint8)
    half = np.full((1, 66, 200), 0.5, np.float32)
    dimmed_after = shade(PREPROCESSING.prepare_batch(rgb), half, "yuv")
    dimmed_before = PREPROCESSING.prepare_batch(rgb // 2)
    assert np.abs(dimmed_after.astype(int) - dimmed_before).max() <= 3


def test_an_unknown_camera_is_refused() -> None:
    with pytest.raises(OptionError, match="rear"):
        GEOMETRY.camera_offset("rear")


@pytest.mark.parametrize("change", [{"flip": 1.5}, {"shift": -1.0}, {"brightness": -0.1}, {"turn": math.nan}])
def test_wrong_settings_of_augmentation_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(OptionError, match=next(iter(change))):
        Augmentation(**change)


def test_all_frames_of_a_sample_are_changed_alike() -> None:
    image = PREPROCESSING(road_image(0.3))
    images, steering = np.repeat(image[None, None], 3, axis=1), np.zeros(1, np.float32)
    arguments = (np.full(1, 8.0, np.float32), np.random.default_rng(3), PREPROCESSING, GEOMETRY)
    changed, _ = Augmentation().apply(images, steering, *arguments)
    assert changed.shape == (1, 3, 66, 200, 3)
    np.testing.assert_array_equal(changed[0, 0], changed[0, 2])
    assert (changed[0, 0] != image).any()
    arguments = (np.full(1, 8.0, np.float32), np.random.default_rng(3), PREPROCESSING, GEOMETRY)
    alone, _ = Augmentation().apply(images[:, 0], steering, *arguments)
    np.testing.assert_array_equal(alone[0], changed[0, 0])


def test_the_steering_of_a_side_camera_follows_from_its_mount_and_the_distance() -> None:
    assert GEOMETRY.camera_steering("center", 8.0) == 0.0
    assert GEOMETRY.camera_steering("left", 8.0) == pytest.approx(0.156, abs=0.001)
    assert GEOMETRY.camera_steering("left", 16.0) < 0.3 * GEOMETRY.camera_steering("left", 8.0)
    wide = Geometry(camera_offsets=(("center", 0.0), ("left", -1.6)))
    assert wide.camera_steering("left", 8.0) == pytest.approx(0.31, abs=0.01)
    inward = Geometry(camera_headings=(("left", 0.1),))  # it looks where a car would that comes back already
    assert inward.camera_steering("left", 8.0) == pytest.approx(0.156 - 0.155, abs=0.01)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"focal_length": 0.0}, "focal_length=0.0 must be a finite number above 0"),
        ({"wheelbase": -2.7}, "wheelbase"),
        ({"max_steering": 25.0}, "max_steering=25.0"),  # degrees
        ({"vanishing_point": (158.0,)}, "column, row"),
        ({"vanishing_point": (158.0, math.nan)}, "vanishing_point"),
        ({"camera_offsets": (("center", "0"),)}, "camera_offsets of 'center'"),
    ],
)
def test_a_geometry_that_can_not_be_is_refused(setting: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        Geometry(**setting)
