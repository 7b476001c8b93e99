"""The same preparation of images in training and driving."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from simple_road import road_image

from algorithms import Preprocessing
from udacity_gym.errors import OptionError


def test_a_image_becomes_what_pilotnet_wants() -> None:
    prepared = Preprocessing()(road_image(0.0))
    assert prepared.shape == (66, 200, 3)
    assert prepared.dtype == np.uint8


def test_only_the_crop_is_seen() -> None:
    image = road_image(0.0)
    other = image.copy()
    other[:60] = 0
    other[135:] = 255
    preprocessing = Preprocessing()
    np.testing.assert_array_equal(preprocessing(image), preprocessing(other))
    other[60:62] = 0
    assert (preprocessing(image) != preprocessing(other)).any()


def test_grey_has_no_chroma_in_yuv() -> None:
    prepared = Preprocessing()(np.full((160, 320, 3), 70, np.uint8))
    np.testing.assert_array_equal(np.unique(prepared.reshape(-1, 3), axis=0), [[70, 128, 128]])


def test_red_and_blue_are_not_confused() -> None:
    red = np.zeros((160, 320, 3), np.uint8)
    red[..., 0] = 255
    luma, blueness, redness = Preprocessing()(red)[0, 0]
    assert luma == 76
    assert redness > 128 > blueness
    assert Preprocessing(color="rgb")(red)[0, 0].tolist() == [255, 0, 0]


def test_a_batch_is_prepared_like_its_images() -> None:
    images = np.stack([road_image(offset) for offset in (-1.0, 0.0, 1.0)])
    preprocessing = Preprocessing()
    batch = preprocessing.prepare_batch(images)
    for image, prepared in zip(images, batch, strict=True):
        np.testing.assert_array_equal(preprocessing(image), prepared)


def test_normalisation_maps_bytes_to_minus_one_to_one() -> None:
    batch = np.array([0, 255], np.uint8).repeat(3).reshape(1, 1, 2, 3)
    out = Preprocessing().normalize(torch.from_numpy(batch))
    assert out.shape == (1, 3, 1, 2)
    torch.testing.assert_close(out[0, :, 0], torch.tensor([[-1.0, 1.0]] * 3))


def test_settings_survive_json() -> None:
    settings = Preprocessing(crop=(50, 140), size=(64, 128), color="rgb", scale=1 / 255, offset=0.0)
    assert Preprocessing.from_json(json.loads(json.dumps(settings.to_json()))) == settings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crop": [100, 50]}, "crop"),
        ({"crop": [0, 161]}, "crop"),
        ({"crop": 5}, "crop=5 must be a tuple of two whole numbers"),
        ({"image": [160]}, "image"),
        ({"image": [160, "320"]}, "image"),
        ({"size": [66.5, 200]}, "size"),
        ({"size": [0, 200]}, "size"),
        ({"color": "hsv"}, "hsv"),
        ({"scale": "much"}, "scale='much' must be a finite number"),
        ({"scale": float("nan")}, "scale"),
        ({"offset": float("inf")}, "offset"),
        ({"colour": "yuv"}, "colour"),
    ],
)
def test_wrong_settings_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Preprocessing.from_json({**Preprocessing().to_json(), **change})


ALL_STEPS = [
    Preprocessing(),
    Preprocessing(columns=(20, 300), blur=3, color="rgb"),
    Preprocessing(order=("blur", "crop", "color", "resize"), blur=5, interpolation="linear", color="rgb"),
    Preprocessing(
        order=("resize", "crop"),
        resized=(80, 160),
        crop=(30, 70),
        columns=(10, 150),
        size=(40, 140),
        color="rgb",
    ),
    Preprocessing(crop=(0, 160), order=("resize",), size=(64, 64), color="rgb"),
]


@pytest.mark.parametrize("preprocessing", ALL_STEPS)
def test_pixels_of_a_prepared_image_are_known_in_the_cameras(preprocessing: Preprocessing) -> None:
    rows, columns = np.mgrid[0:160, 0:320]
    coordinates = np.stack([columns // 2, rows, np.zeros_like(rows)], axis=-1).astype(np.uint8)
    prepared = replace(preprocessing, color="rgb")(coordinates)
    height, width = preprocessing.size
    for row, column in ((5, 5), (height - 6, width - 6), (height // 2, width // 2)):
        x, y, _ = preprocessing.camera_pixels() @ (column, row, 1.0)
        red, green, _ = prepared[row, column]
        assert (2.0 * red + 0.5, green) == pytest.approx((x, y), abs=1.6)


@pytest.mark.parametrize("preprocessing", ALL_STEPS)
def test_crop_blur_and_resize_are_matrices_too(preprocessing: Preprocessing) -> None:
    image = road_image(0.3)
    by_rows, by_columns = preprocessing.matrices()
    product = np.einsum("hr,rcx,cw->hwx", by_rows, image.astype(np.float32), by_columns)
    difference = np.abs(product - replace(preprocessing, color="rgb")(image))
    assert difference.max() < 3.0
    assert difference.mean() < 0.6


def test_settings_of_older_versions_have_the_usual_steps() -> None:
    older = {
        name: value
        for name, value in Preprocessing().to_json().items()
        if name not in ("columns", "blur", "order", "resized")
    }
    assert Preprocessing.from_json(older) == Preprocessing()
    for settings in ALL_STEPS:
        assert Preprocessing.from_json(json.loads(json.dumps(settings.to_json()))) == settings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blur": 2}, "blur=2 must be odd"),
        ({"columns": (50, 321)}, "columns of an image of 320 columns"),
        ({"columns": 5}, "columns=5 must be a tuple of two whole numbers, or None"),
        ({"order": ("crop", "crop")}, "each once"),
        ({"order": ("crop", "resize")}, "lacks color"),
        ({"order": ("resize", "color")}, "lacks crop"),
        ({"order": ("resize", "crop", "color")}, "resized=None with order"),
        ({"resized": (80, 160)}, "None otherwise"),
        ({"order": ("resize", "crop", "color"), "resized": (160, 320)}, "a crop of .* comes after resizing"),
    ],
)
def test_steps_that_do_not_go_together_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Preprocessing(**change)
