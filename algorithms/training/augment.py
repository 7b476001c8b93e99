"""Augmentation of images, with steering labels corrected by geometry.

An image is changed as if the car were elsewhere, and the steering label is changed so that it brings
the car back. The correction follows from the geometry of camera and car. The
viewpoint is moved as in Bojarski et al. 2016, section 5.2 (everything below the horizon lies on flat
ground). The steering is that of pure pursuit (Coulter 1992) to a point on the recorded path.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray

from algorithms.base import Floats
from algorithms.checks import NotNegative, Number, Positive, Share, check_fields
from algorithms.policies.preprocessing import Preprocessing
from udacity_gym.errors import OptionError
from udacity_gym.telemetry import Image


@dataclass(frozen=True)
class Geometry:
    """Geometry of cameras and car; the defaults are Udacity's car in training mode.

    Attributes:
        focal_length: px.
        vanishing_point: (column, row) px where the road's direction meets the horizon.
        roll: rad by which the horizon falls to the right in the image.
        camera_height: m above the road.
        camera_offsets: m by camera, positive right of the car's centre line.
        camera_headings: rad by camera, by which it points right of the centre camera; 0 if not named.
        wheelbase: m from axle to axle, divided by how much more than an ideal bicycle the car turns at full
            throttle (2.87 m / 1.06).
        max_steering: rad of the front wheels at full lock.

    Raises:
        OptionError: A number is out of range: lengths must be above 0, angles small.
    """

    focal_length: Positive = 138.56
    vanishing_point: tuple[float, float] = (158.0, 60.8)
    roll: Annotated[float, Number(-math.pi / 2, math.pi / 2)] = math.radians(1.20)
    camera_height: Positive = 1.25
    camera_offsets: tuple[tuple[str, float], ...] = (("center", 0.0), ("left", -0.806), ("right", 0.825))
    camera_headings: tuple[tuple[str, float], ...] = ()
    wheelbase: Positive = 2.71
    max_steering: Annotated[float, Number(0, math.pi / 2, above=True)] = math.radians(25.0)

    def __post_init__(self) -> None:
        if len(self.vanishing_point) != 2:
            raise OptionError(f"vanishing_point={self.vanishing_point!r} must be (column, row)")
        check_fields(self)
        for name in ("camera_offsets", "camera_headings"):
            for camera, number in dict(getattr(self, name)).items():
                Number().check(f"{name} of {camera!r}", number)

    def camera_offset(self, camera: str) -> float:
        """Metres from the car's centre line to a camera, positive to the right.

        Raises:
            OptionError: The car has no such camera.
        """
        offsets = dict(self.camera_offsets)
        if camera not in offsets:
            raise OptionError(f"no camera {camera!r}; the geometry has {sorted(offsets)}")
        return offsets[camera]

    def camera_heading(self, camera: str) -> float:
        """Radians from the centre camera's direction to that of a camera, positive to the right."""
        return dict(self.camera_headings).get(camera, 0.0)

    def camera_steering(self, camera: str, distance: float) -> float:
        """Steering to add to the label of a side camera's image, the course's "correction angle".

        The image looks like that of the centre camera of a car with the position and direction of the side
        camera. The added steering brings such a car back to its path; see `recovery_steering`.

        Args:
            camera: name of the camera.
            distance: m after which the car should be back: its speed times the recovery time.

        Returns:
            Share of full lock, positive turns right: 0.16 for Udacity's left camera after 8 m.

        Raises:
            OptionError: The car has no such camera.
        """
        offset, heading = np.array([self.camera_offset(camera)]), np.array([self.camera_heading(camera)])
        return float(self.recovery_steering(offset, heading, np.array([distance]))[0])

    def recovery_steering(
        self,
        offset: NDArray[np.floating],
        heading: NDArray[np.floating] | float,
        distance: NDArray[np.floating],
    ) -> NDArray[np.floating]:
        """Steering to add so that a car beside its path is back on it after ``distance``.

        Pure pursuit (Coulter 1992) of the point ``distance`` ahead on the path, small angles.

        Args:
            offset: (n,) m from the path to the car, positive to the right.
            heading: (n,) rad from the path's direction to the car's, positive to the right.
            distance: (n,) m.

        Returns:
            (n,) share of full lock, positive turns right.
        """
        to_the_left = offset * np.cos(heading) + distance * np.sin(heading)
        curvature_left = 2.0 * to_the_left / distance**2
        steering: NDArray[np.floating] = -np.arctan(curvature_left * self.wheelbase) / self.max_steering
        return steering

    def viewpoint(
        self,
        offset: NDArray[np.floating],
        heading: NDArray[np.floating],
        raised: NDArray[np.floating],
        flip: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        """Affine maps that move the camera: from pixels of the new image to pixels of the old one.

        Args:
            offset: (n,) m to move the camera right.
            heading: (n,) rad to turn it right.
            raised: (n,) px to move the image's content up, as looking down does.
            flip: (n,) mirror the world, after the move.

        Returns:
            (n, 3, 3) homogeneous maps of (column, row, 1).
        """
        column, row = self.vanishing_point
        along = np.array([math.cos(self.roll), math.sin(self.roll)])  # direction of the horizon
        down = np.array([-along[1], along[0]])
        n = len(offset)
        # Ground `d` px below the horizon is f*h/d metres ahead: moving right shifts it by d*offset/h px.
        shear = np.eye(2) + (offset / self.camera_height)[:, None, None] * np.outer(along, down)
        mirror = np.where(flip[:, None, None], np.eye(2) - 2.0 * np.outer(along, along), np.eye(2))
        linear = shear @ mirror
        centre = np.array([column, row])
        maps = np.zeros((n, 3, 3))
        maps[:, :2, :2] = linear
        maps[:, :2, 2] = (
            centre
            - linear @ centre
            + self.focal_length * np.tan(heading)[:, None] * along
            + raised[:, None] * down
        )
        maps[:, 2, 2] = 1.0
        return maps


@dataclass(frozen=True)
class Augmentation:
    """Random changes of an image and its steering label; 0 turns a change off.

    Attributes:
        flip: probability of mirroring the world left to right; steering is negated. Mirrored about
            the vanishing point and the camera's roll, so that straight ahead stays straight ahead.
        shift: m, maximum sideways move of the camera, uniform; steering is corrected by geometry.
        turn: rad, maximum turn of the camera, uniform; steering is corrected by geometry.
        vertical: px of the camera's image, maximum move up or down (bumps, nose up or down); the
            label stays. 6 px are 2.5 degrees; the car in recordings is 1.5 degrees nose-up.
        brightness: maximum relative change of brightness, uniform; the label stays.
        shadow: probability of a shadow over one side of a random line; the label stays.
        shadow_strength: maximum share of light that a shadow takes away.
    """

    flip: Share = 0.5
    shift: NotNegative = 0.5
    turn: NotNegative = 0.03
    vertical: NotNegative = 6.0
    brightness: Share = 0.3
    shadow: Share = 0.3
    shadow_strength: Share = 0.6

    def __post_init__(self) -> None:
        check_fields(self)

    def apply(
        self,
        images: Image,
        steering: Floats,
        distance: Floats,
        rng: np.random.Generator,
        preprocessing: Preprocessing,
        geometry: Geometry,
        *,
        shares: Floats | None = None,
        mirrored: Sequence[int] | None = None,
    ) -> tuple[Image, Floats]:
        """Augment a batch.

        Args:
            images: (n, height, width, 3) uint8, prepared by ``preprocessing``; or (n, frames, height,
                width, 3): all frames of a sample are changed alike.
            steering: (n,) labels, positive turns right; or (n, k), several of a sample.
            distance: (n,) m after which the car should be back on its path.
            rng: random generator.
            preprocessing: how the images were prepared.
            geometry: geometry of camera and car.
            shares: (n, k) share of the correction that each of several labels gets; None corrects all fully.
            mirrored: order of the frames of a sample that is mirrored, where they are of several cameras and
                left and right change places; None keeps the order.

        Returns:
            New images and new labels, of the same shapes and dtypes.
        """
        n = len(images)
        flip = rng.random(n) < self.flip
        offset = rng.uniform(-self.shift, self.shift, n)
        heading = rng.uniform(-self.turn, self.turn, n)
        raised = rng.uniform(-self.vertical, self.vertical, n)
        maps = _in_prepared_pixels(geometry.viewpoint(offset, heading, raised, flip), preprocessing)
        light = self._light(n, images.shape[-3], images.shape[-2], rng)
        if images.ndim == 5:
            frames = images.shape[1]
            maps, light = np.repeat(maps, frames, axis=0), np.repeat(light, frames, axis=0)
        lit = shade(warp(images.reshape(-1, *images.shape[-3:]), maps), light, preprocessing.color)
        lit = lit.reshape(images.shape)
        if mirrored is not None:
            lit[flip] = lit[flip][:, list(mirrored)]
        correction = geometry.recovery_steering(offset, heading, distance).astype(np.float32)
        if steering.ndim == 2:
            correction, flip = correction[:, None], flip[:, None]
        steering = steering + (correction if shares is None else correction * shares)
        return lit, np.where(flip, -steering, steering)

    def _light(self, n: int, height: int, width: int, rng: np.random.Generator) -> Floats:
        """Random brightness and shadows: (n, height, width) float32 factors."""
        light = rng.uniform(1.0 - self.brightness, 1.0 + self.brightness, (n, 1, 1)).astype(np.float32)
        ends = rng.uniform(0.0, width, (2, n, 1, 1))  # columns where the shadow's edge meets top and bottom
        is_left = rng.random((n, 1, 1)) < 0.5
        strength = rng.uniform(0.0, self.shadow_strength, (n, 1, 1)) * (rng.random((n, 1, 1)) < self.shadow)
        edge = ends[0] + (ends[1] - ends[0]) * np.linspace(0.0, 1.0, height)[:, None]
        dark = (np.arange(width) < edge) == is_left
        return np.where(dark, light * (1.0 - strength.astype(np.float32)), light)


def warp(images: Image, maps: NDArray[np.float64]) -> Image:
    """Resample images through affine maps, bilinear, borders repeated.

    Args:
        images: (n, height, width, 3) uint8.
        maps: (n, 3, 3) from pixels of the result to pixels of the image.

    Returns:
        (n, height, width, 3) uint8.
    """
    out: Image = np.empty_like(images)
    size = (images.shape[2], images.shape[1])
    for image, matrix, result in zip(images, maps, out, strict=True):
        cv2.warpAffine(
            image,
            matrix[:2],
            size,
            dst=result,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
    return out


def shade(images: Image, light: Floats, color: str) -> Image:
    """Scale the brightness of images.

    Args:
        images: (n, height, width, 3) uint8.
        light: (n, height, width) or broadcastable, factors.
        color: colour space; in "yuv" chroma is scaled around 128, which is the same as scaling RGB.

    Returns:
        (n, height, width, 3) uint8.
    """
    n, height, width, channels = images.shape
    # One long row of interleaved channels: numpy is slow where the innermost axis is only three long.
    black = np.tile(np.array((0, 128, 128) if color.startswith("yuv") else (0, 0, 0), np.float32), width)
    out: Image = np.empty_like(images)
    for image, factor, result in zip(images, np.broadcast_to(light, (n, height, width)), out, strict=True):
        lit = image.reshape(height, width * channels) - black
        lit *= np.repeat(factor, channels, axis=-1)
        lit += black
        result[...] = np.clip(lit, 0, 255, out=lit).reshape(height, width, channels)
    return out


def _in_prepared_pixels(maps: NDArray[np.float64], preprocessing: Preprocessing) -> NDArray[np.float64]:
    """The same maps between pixels of cropped and resized images. Pixel centres lie at whole numbers."""
    to_image = preprocessing.camera_pixels()
    inner: NDArray[np.float64] = np.linalg.inv(to_image) @ maps @ to_image
    return inner
