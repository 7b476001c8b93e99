"""What only views from outside show: the car's shadow on the ground, and its lamps that are on."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from udacity_gym.sensors import Label
from udacity_gym.telemetry import Image
from udacity_gym.world.jit import F, cached_kernel, kernel
from udacity_gym.world.records import Rgb, Vector, unpack
from udacity_gym.world.rendering.polygons import NEAR, draw_faces
from udacity_gym.world.rendering.rays import Camera, Projection, column_tangent, pixel_ray, row_tangent
from udacity_gym.world.rendering.sampling import BLUE, GREEN, RED
from udacity_gym.world.rendering.scratch import Scratch
from udacity_gym.world.scene.car_body import CELL, GroundShadow
from udacity_gym.world.scene.scene_arrays import SceneArrays

SHADOW_REACH = F(40.0)
"""m from the camera within which the car's shadow is looked for."""
SHADOW_HEIGHT = F(1.0)
"""m above or below the plane of the wheels within which the ground is shaded."""

_CAR, _GROUND = np.uint8(Label.CAR), np.uint8(Label.SKY)
_CELLS_PER_METRE = F(1.0 / CELL)
_ZERO = F(0.0)
_ONE = F(1.0)
_HALF = F(0.5)
_WHITE = F(255.0)


@kernel
def _extent(projection: Projection, shadow: GroundShadow) -> tuple[int, int, int, int]:
    """Rows and columns of the image that can show the shadow: the first, and that after the last, of each."""
    frame = shadow.frame
    top, bottom, left, right = F(1e9), F(-1e9), F(1e9), F(-1e9)
    for corner in range(8):
        high, far, wide = corner & 1, (corner >> 1) & 1, (corner >> 2) & 1
        ahead = shadow.begin[0] + F(far * shadow.cells.shape[1] * CELL)
        aside = shadow.begin[1] + F(wide * shadow.cells.shape[0] * CELL)
        camera = unpack(Camera, projection.camera)
        position, forward, right_axis, up = camera.position, camera.forward, camera.right, camera.up
        x = frame[0] + ahead * frame[3] + aside * frame[6] - position.x
        y = frame[1] + ahead * frame[4] + aside * frame[7] - position.y
        z = frame[2] + ahead * frame[5] + aside * frame[8] - position.z
        z += (F(2.0) * F(high) - _ONE) * SHADOW_HEIGHT
        depth = x * forward.x + y * forward.y + z * forward.z
        if depth < NEAR:
            return 0, projection.height, 0, projection.width
        scale = projection.focal / depth
        column = F(projection.width) * _HALF + scale * (
            x * right_axis.x + y * right_axis.y + z * right_axis.z
        )
        row = F(projection.height) * _HALF - scale * (x * up.x + y * up.y + z * up.z)
        top, bottom, left, right = min(top, row), max(bottom, row), min(left, column), max(right, column)
    return (
        np.int64(min(max(top, _ZERO), F(projection.height))),
        np.int64(min(max(bottom + _ONE, _ZERO), F(projection.height))),
        np.int64(min(max(left, _ZERO), F(projection.width))),
        np.int64(min(max(right + _ONE, _ZERO), F(projection.width))),
    )


@cached_kernel
def shade_ground(
    camera: NDArray[np.float32],
    focal: F,
    shadow: GroundShadow,
    shade: NDArray[np.float32],
    scratch: Scratch,
    image: Image,
) -> None:
    """Put the car's shadow onto the ground.

    Args:
        camera: (12,) float32, a packed `rays.Camera`.
        focal: focal length in pixels.
        shadow: of the car.
        shade: (3,) float32, by colour the share of all light that the sky gives.
        scratch: working memory as the image left it.
        image: (height, width, 3) uint8, changed.
    """
    height, width = image.shape[0], image.shape[1]
    projection = Projection(camera, focal, width, height)
    frame, cells = shadow.frame, shadow.cells
    root, forward = Vector(frame[0], frame[1], frame[2]), Vector(frame[3], frame[4], frame[5])
    left, begin_x, begin_y = Vector(frame[6], frame[7], frame[8]), shadow.begin[0], shadow.begin[1]
    last_row, last_column = F(cells.shape[0] - 1.01), F(cells.shape[1] - 1.01)
    top, bottom, first, last = _extent(projection, shadow)
    for i in range(top, bottom):
        row = np.uint64(i)
        v = row_tangent(projection, i)
        for j in range(first, last):
            column = np.uint64(j)
            far = scratch.depth[row, column]
            if far > SHADOW_REACH or scratch.labels[row, column] != _GROUND:
                continue
            ray, position = (
                pixel_ray(projection, column_tangent(projection, j), v),
                unpack(Camera, camera).position,
            )
            x, y = position.x + far * ray.x - root.x, position.y + far * ray.y - root.y
            z = position.z + far * ray.z - root.z
            across = (x * forward.x + y * forward.y + z * forward.z - begin_x) * _CELLS_PER_METRE - _HALF
            up = (x * left.x + y * left.y + z * left.z - begin_y) * _CELLS_PER_METRE - _HALF
            if (
                across < _ZERO
                or across > last_column
                or up < _ZERO
                or up > last_row
                or abs(z) > SHADOW_HEIGHT
            ):
                continue
            a, b = np.int64(across), np.int64(up)
            fa, fb = across - F(a), up - F(b)
            w00, w01, w10, w11 = (_ONE - fa) * (_ONE - fb), fa * (_ONE - fb), (_ONE - fa) * fb, fa * fb
            sun = w00 * cells[b, a, 0] + w01 * cells[b, a + 1, 0]
            sun += w10 * cells[b + 1, a, 0] + w11 * cells[b + 1, a + 1, 0]
            sky = w00 * cells[b, a, 1] + w01 * cells[b, a + 1, 1]
            sky += w10 * cells[b + 1, a, 1] + w11 * cells[b + 1, a + 1, 1]
            for c in range(3):
                light = (_ONE - sun) * (_ONE - shade[c]) + (_ONE - sky) * shade[c]
                image[row, column, c] = np.uint8(F(image[row, column, c]) * light)


@cached_kernel
def light_lamps(
    camera: NDArray[np.float32],
    focal: F,
    lit: NDArray[np.float32],
    glows: NDArray[np.float32],
    scene: SceneArrays,
    scratch: Scratch,
    image: Image,
) -> None:
    """Draw lamps that are on, and the light around them, onto an image that has its light.

    Args:
        camera: (12,) float32, a packed `rays.Camera`.
        focal: focal length in pixels.
        lit: (n, FIELDS) float32, faces of the lamps.
        glows: (k, 7) float32, see `CarParts`.
        scene: the scene, of which only the air is read.
        scratch: working memory as the image left it.
        image: (height, width, 3) uint8, changed.
    """
    height, width = image.shape[0], image.shape[1]
    projection = Projection(camera, focal, width, height)
    draw_faces(projection, lit, _CAR, scene, scratch, image)
    for k in range(glows.shape[0]):
        position, forward = unpack(Camera, camera).position, unpack(Camera, camera).forward
        right, up = unpack(Camera, camera).right, unpack(Camera, camera).up
        x, y, z = glows[k, 0] - position.x, glows[k, 1] - position.y, glows[k, 2] - position.z
        far = x * forward.x + y * forward.y + z * forward.z
        if far < NEAR:
            continue
        scale = F(focal) / far
        middle_x = F(width) * _HALF + (x * right.x + y * right.y + z * right.z) * scale
        middle_y = F(height) * _HALF - (x * up.x + y * up.y + z * up.z) * scale
        radius = glows[k, 3] * scale
        at_i, at_j = np.int64(middle_y), np.int64(middle_x)
        if not (0 <= at_i < height and 0 <= at_j < width) or scratch.depth[at_i, at_j] < far - F(0.3):
            continue  # out of the image, or behind something
        colour = Rgb(glows[k, 4], glows[k, 5], glows[k, 6])
        low_i, high_i = np.int64(math.floor(middle_y - radius)), np.int64(math.ceil(middle_y + radius))
        low_j, high_j = np.int64(math.floor(middle_x - radius)), np.int64(math.ceil(middle_x + radius))
        for i in range(max(low_i, 0), min(high_i, height)):
            for j in range(max(low_j, 0), min(high_j, width)):
                dy, dx = (F(i) + _HALF - middle_y) / radius, (F(j) + _HALF - middle_x) / radius
                near = max(_ONE - dx * dx - dy * dy, _ZERO)
                near *= near
                image[i, j, RED] = np.uint8(min(F(image[i, j, RED]) + near * colour.red, _WHITE))
                image[i, j, GREEN] = np.uint8(min(F(image[i, j, GREEN]) + near * colour.green, _WHITE))
                image[i, j, BLUE] = np.uint8(min(F(image[i, j, BLUE]) + near * colour.blue, _WHITE))
