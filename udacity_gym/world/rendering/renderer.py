"""The images: any number of cameras in one call, drawn on the CPU.

A column-profile ray caster. For every block of pixel columns: the ground along each column
(`profile`), the place that each pixel shows (`surface`), its colour (`paint`); then, for the whole
image, what stands upright (`polygons`, `billboards`), and the bonnet. Images of any size are
drawn directly, nothing is allocated per image, and the GIL is released.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from udacity_gym.conditions import Conditions
from udacity_gym.sensors import Label
from udacity_gym.telemetry import Image
from udacity_gym.world.jit import LANES, F, cached_kernel, is_on_disk, kernel
from udacity_gym.world.records import pack, unpack
from udacity_gym.world.rendering.billboards import draw_cards, find_cards
from udacity_gym.world.rendering.chase import light_lamps, shade_ground
from udacity_gym.world.rendering.paint import (
    border,
    cobble,
    finish,
    mark,
    mark_middle,
    paint_ground,
    pave,
    shine,
)
from udacity_gym.world.rendering.polygons import draw_faces
from udacity_gym.world.rendering.profile import cast_columns
from udacity_gym.world.rendering.rays import Block, Projection
from udacity_gym.world.rendering.relight import Row, compress, develop, relight
from udacity_gym.world.rendering.scratch import Scratch
from udacity_gym.world.rendering.surface import cross_decks, follow_slopes, lift_kerbs, locate, measure
from udacity_gym.world.rendering.survey import Planes, note_ground, note_rest, planes_of
from udacity_gym.world.rendering.weather import UDACITY, Light, changes_light, weather
from udacity_gym.world.scene.car_body import CarParts
from udacity_gym.world.scene.faces import FIELDS
from udacity_gym.world.scene.scene_arrays import Road, SceneArrays
from udacity_gym.world.scene.scenery import Scene

_LOG = logging.getLogger(__name__)

_GROUND = np.uint8(Label.SKY)  # until `survey` looks at it
_STRUCTURE, _CAR = np.uint8(Label.STRUCTURE), np.uint8(Label.CAR)
_ALPHA = np.uint64(3)
_ZERO = F(0.0)
_NO_FACES = np.zeros((0, FIELDS), np.float32)

KEPT_WEATHERS = 64
"""Conditions whose numbers a renderer keeps."""
BATCH = 8
"""Images with sensors or unusual conditions that are drawn in one call; their planes are kept."""


class Overlays(NamedTuple):
    """What is drawn over images: nothing (overlay 0), or the bonnet as one of the cameras sees it.

    Attributes:
        images: (m, height, width, 4) uint8 RGB and opacity.
        visible_rows: (m, blocks) int64, rows from the top of each block of columns that are not hidden.
        first_rows: (m,) int64, first row in which there is anything.
    """

    images: NDArray[np.uint8]
    visible_rows: NDArray[np.int64]
    first_rows: NDArray[np.int64]

    @staticmethod
    def of(images: Sequence[Image], width: int, height: int) -> Overlays:
        """Look through overlays; one without anything is put before them."""
        stack: NDArray[np.uint8] = np.stack([np.zeros((height, width, 4), np.uint8), *images])
        touched: NDArray[np.bool_] = (stack[..., 3] > 0).max(axis=2)
        first_rows = np.where(touched.any(axis=1), touched.argmax(axis=1), height)
        return Overlays(stack, _visible_rows(stack), first_rows)


@kernel
def _overlay(overlay: NDArray[np.uint8], first_row: int, image: Image) -> None:
    """Put an overlay over an image, in integers."""
    over, under = overlay.reshape(-1), image.reshape(-1)  # flat, so that bytes in a row can be read together
    width = image.shape[1]
    for k in range(first_row * width, image.shape[0] * width):
        pixel = np.uint64(k)
        opacity = np.uint32(over[np.uint64(4) * pixel + _ALPHA])
        for c in range(3):
            channel = np.uint64(c)
            place = np.uint64(3) * pixel + channel
            mixed = np.uint32(under[place]) * np.uint32(np.uint32(255) - opacity)
            mixed = np.uint32(mixed + np.uint32(over[np.uint64(4) * pixel + channel]) * opacity)
            under[place] = np.uint8(np.uint32(mixed + np.uint32(127)) // np.uint32(255))


@cached_kernel
def _render(
    cameras: NDArray[np.float32],
    focal: F,
    scene: SceneArrays,
    scratch: Scratch,
    overlays: Overlays,
    which: NDArray[np.int64],
    faces: NDArray[np.float32],
    airs: NDArray[np.float32],
    is_noted: bool,
    planes: Planes,
    out: Image,
) -> None:
    """Draw images.

    Args:
        cameras: (n, 12) float32, a packed `rays.Camera` in each row.
        focal: focal length in pixels.
        scene: the scene; its air is overwritten.
        scratch: working memory.
        overlays: what can be drawn over the images.
        which: (n,) int64, overlay of each image.
        faces: (k, FIELDS) float32, cars.
        airs: (n, fields) float32, a packed `Air` of each image.
        is_noted: whether planes are filled.
        planes: of the images, receive what they show.
        out: (n, height, width, 3) uint8, receives the images.
    """
    n, height, width = out.shape[0], out.shape[1], out.shape[2]
    has_kerb = unpack(Road, scene.road).kerb_rise > _ZERO
    for c in range(n):
        projection = Projection(cameras[c], focal, width, height)
        image = out[c]
        for k in range(airs.shape[1]):
            scene.air[k] = airs[c, k]
        for first in range(0, width, LANES):
            block = Block(projection, first, overlays.visible_rows[which[c], first // LANES])
            cast_columns(block, scene, scratch)
            follow_slopes(block, scene, scratch)
            locate(block, scratch.covered, scene, scratch)
            if has_kerb:
                lift_kerbs(block, scene, scratch)
                locate(block, scratch.lifted, scene, scratch)
            cross_decks(block, scene, scratch)
            if is_noted:
                note_ground(block, scene, scratch, planes_of(planes, c))
            measure(block, scratch)
            pave(block, scene, scratch)
            mark(block, scene, scratch)
            border(block, scene, scratch)
            mark_middle(block, scene, scratch)
            cobble(block, scene, scratch)
            paint_ground(block, scene, scratch)
            shine(block, scene, scratch)
            finish(block, scene, scratch, image)
        scratch.labels[:] = _GROUND
        draw_faces(projection, scene.faces, _STRUCTURE, scene, scratch, image)
        draw_faces(projection, faces, _CAR, scene, scratch, image)
        count = find_cards(projection, scene, scratch)
        draw_cards(projection, count, scene, scratch, image)
        if is_noted:
            note_rest(projection, scratch, overlays.images[which[c]], planes_of(planes, c))
        _overlay(overlays.images[which[c]], overlays.first_rows[which[c]], image)


class Look(NamedTuple):
    """What is peculiar to one image.

    Attributes:
        conditions: what it is like there.
        seed: of everything random in the image: noise, drops, flakes; 32 bits.
        lamps_ahead: m that the car's headlights are in front of the camera.
    """

    conditions: Conditions = UDACITY
    seed: int = 0
    lamps_ahead: float = 1.2


_USUAL = Look()


class Renderer:
    """Draws images of a scene, all of one size.

    Not safe for use by two threads at once (its working memory is shared); make one per thread.

    Args:
        scene: what to draw.
        width: columns of an image.
        height: rows of an image.
        fov: rad, vertical field of view.
        overlays: (m, height, width, 4) uint8 RGB and opacity, drawn over an image on request.

    Attributes:
        width, height: columns and rows of an image.
        focal: float32, focal length in pixels.
        scratch: working memory, overwritten by every image.
    """

    def __init__(
        self, scene: Scene, width: int, height: int, fov: float, overlays: Sequence[Image] = ()
    ) -> None:
        self.width, self.height = width, height
        self.focal = np.float32(height / 2 / math.tan(fov / 2))
        self._air = scene.air
        self._scene = scene.arrays._replace(air=pack(scene.air))  # its own, which kernels overwrite
        self._weathers: dict[Conditions, _Weather] = {}
        self._has_light_map = scene.has_light_map
        self._planes, self._row = Planes.for_images(0, width, height), Row.of(width)
        self.scratch = Scratch.for_images(width, height)
        self._overlays = Overlays.of(overlays, width, height)

    def render(
        self,
        cameras: NDArray[np.float32],
        out: Image,
        overlays: Sequence[int] | None = None,
        car: CarParts | None = None,
        looks: Sequence[Look] | None = None,
        depth: NDArray[np.float32] | None = None,
        labels: NDArray[np.uint8] | None = None,
    ) -> None:
        """Draw one image per camera.

        Args:
            cameras: (n, 12) float32: position in m, then the unit vectors forward, right and up.
            out: (n, height, width, 3) uint8, C-contiguous; receives the images, RGB.
            overlays: for each camera the index of its overlay, -1 for none; None means none.
            car: our car, for a view from outside: of one camera.
            looks: for each camera what is peculiar to its image; None is Udacity's look.
            depth: (n, height, width) float32, receives m along the optical axis, `sensors.FAR` for the sky;
                None does not compute it.
            labels: (n, height, width) uint8, receives what each pixel shows, see `sensors.Label`.

        Raises:
            ValueError: An array has the wrong shape, type or layout.
        """
        cameras = np.ascontiguousarray(cameras, np.float32)
        n = len(cameras)
        if cameras.shape != (n, 12):
            raise ValueError(f"cameras must be (n, 12), got {cameras.shape}")
        expected = (n, self.height, self.width, 3)
        if out.shape != expected or out.dtype != np.uint8 or not out.flags.c_contiguous:
            raise ValueError(
                f"out must be a C-contiguous uint8 array of shape {expected}, got {out.dtype} {out.shape}"
            )
        which = np.zeros(n, np.int64) if overlays is None else np.asarray(overlays, np.int64) + 1
        _announce_compilation("the renderer", _render)
        looks = [_USUAL] * n if looks is None else looks
        weathers = [self._weather(look.conditions) for look in looks]
        noted = depth is not None or labels is not None or any(each.changes_light for each in weathers)
        step = BATCH if noted else max(n, 1)
        for first in range(0, n, step):
            batch = slice(first, first + step)
            planes = self._draw(
                cameras[batch], which[batch], car, out[batch], looks[batch], weathers[batch], noted
            )
            for sensed, plane in ((depth, planes.depth), (labels, planes.labels)):
                if sensed is not None:
                    sensed[batch] = plane[: len(sensed[batch])]

    def _draw(
        self,
        cameras: NDArray[np.float32],
        which: NDArray[np.int64],
        car: CarParts | None,
        out: Image,
        looks: Sequence[Look],
        weathers: Sequence[_Weather],
        noted: bool,
    ) -> Planes:
        """Draw a few images; their planes are filled if they are to be noted."""
        if noted and len(self._planes.depth) < len(out):
            self._planes = Planes.for_images(len(out), self.width, self.height)
        planes, focal, scratch = self._planes, self.focal, self.scratch
        airs = np.stack([each.air for each in weathers])
        faces = _NO_FACES if car is None else car.faces
        _render(cameras, focal, self._scene, scratch, self._overlays, which, faces, airs, noted, planes, out)
        if car is not None:
            shade_ground(cameras[0], focal, car.shadow, weathers[0].shade, scratch, out[0])
        lit = np.array([each.changes_light for each in weathers])
        if lit.any():
            _announce_compilation("the weather", relight)
            seeds = np.array([look.seed & 0xFFFFFFFF for look in looks], np.uint32)
            ahead = np.array([look.lamps_ahead for look in looks], np.float32)
            lights = np.stack([each.light for each in weathers])
            relight(cameras, focal, self._scene, lit, lights, planes, ahead, seeds, self._row, out)
        if car is not None:
            light_lamps(cameras[0], focal, car.lit, car.glows, self._scene, scratch, out[0])
        for image, look, is_lit in zip(out, looks, lit.tolist(), strict=True):
            conditions = look.conditions
            gain = 1.0 if is_lit else 2.0**conditions.exposure
            if gain != 1.0 or conditions.noise > 0.0:
                seed = np.uint32(look.seed & 0xFFFFFFFF)
                develop(np.float32(gain), np.float32(conditions.noise), seed, image)
            if conditions.jpeg is not None:
                image[:] = compress(image, conditions.jpeg)
        return planes

    def light(self, conditions: Conditions) -> Light:
        """The light of conditions."""
        return weather(conditions, self._air, self._has_light_map)[1]

    def _weather(self, conditions: Conditions) -> _Weather:
        """Conditions as kernels read them."""
        if conditions not in self._weathers:
            if len(self._weathers) >= KEPT_WEATHERS:
                self._weathers.clear()
            # A scene without shadows is drawn in the same way whether shadows are asked for or not.
            seen = conditions if self._has_light_map else conditions.changed(shadows=UDACITY.shadows)
            air, light = weather(seen, self._air, self._has_light_map)
            changed = changes_light(seen)
            packed = pack(air if changed else self._air)
            self._weathers[conditions] = _Weather(packed, pack(light), pack(light.shade), changed)
        return self._weathers[conditions]


class _Weather(NamedTuple):
    """Conditions as kernels read them.

    Attributes:
        air: a packed `Air`.
        light: a packed `Light`.
        shade: (3,) float32, ``Light.shade``.
        changes_light: whether the world looks other than in Udacity's simulator.
    """

    air: NDArray[np.float32]
    light: NDArray[np.float32]
    shade: NDArray[np.float32]
    changes_light: bool


def _visible_rows(overlays: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Rows from the top, per overlay and block of columns, below which the overlay hides everything."""
    m, height, width, _ = overlays.shape
    blocks = (width + LANES - 1) // LANES
    rows = np.full((m, blocks), height, np.int64)
    for k in range(m):
        for b in range(blocks):
            opaque = (overlays[k, :, b * LANES : (b + 1) * LANES, 3] == 255).all(axis=1)
            clear = np.flatnonzero(~opaque)
            rows[k, b] = clear[-1] + 1 if len(clear) else 0
    return rows


@lru_cache(maxsize=8)
def _announce_compilation(what: str, kernel: Any) -> None:
    """Log, once, that a kernel has to be compiled because no cache holds it."""
    if not is_on_disk(kernel):
        _LOG.warning(f"compiling {what} for this machine; this happens once and takes some seconds")
