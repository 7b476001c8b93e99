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
from udacity_gym.world.jit import LANES, cached_kernel, is_on_disk, kernel
from udacity_gym.world.rendering.billboards import BINS, MOST, draw_cards, find_cards
from udacity_gym.world.rendering.paint import cobble, finish, mark, mark_middle, paint_ground, pave, shine
from udacity_gym.world.rendering.polygons import CORNERS, FIELDS, draw_faces
from udacity_gym.world.rendering.profile import cast_columns, sample_distances
from udacity_gym.world.rendering.relight import compress, develop, precipitate, relight
from udacity_gym.world.rendering.surface import cross_decks, follow_slopes, lift_kerbs, locate, measure
from udacity_gym.world.rendering.survey import Planes, survey
from udacity_gym.world.rendering.weather import Light, changes_light, weather
from udacity_gym.world.scene.scenery import Scene

_LOG = logging.getLogger(__name__)

_GROUND = np.uint8(Label.SKY)  # until `survey` looks at it
_STRUCTURE, _CAR = np.uint8(Label.STRUCTURE), np.uint8(Label.CAR)
_NO_FACES = np.zeros((0, FIELDS), np.float32)

KEPT_WEATHERS = 64
"""Conditions whose numbers a renderer keeps."""
SAMPLES = 91
"""Samples of a terrain profile: each 6 % farther than the one before."""


class Scratch(NamedTuple):
    """Working memory of one renderer, allocated once."""

    distances: NDArray[np.float32]
    inverse_distances: NDArray[np.float32]
    inverse_gaps: NDArray[np.float32]
    drops: NDArray[np.float32]
    level_from: NDArray[np.int32]
    levels: NDArray[np.float32]
    cosines: NDArray[np.float32]
    sines: NDArray[np.float32]
    packed: NDArray[np.int32]
    covered: NDArray[np.int32]
    lifted: NDArray[np.int32]
    span: NDArray[np.float32]
    t: NDArray[np.float32]
    slope: NDArray[np.float32]
    s: NDArray[np.float32]
    d: NDArray[np.float32]
    along: NDArray[np.float32]
    across: NDArray[np.float32]
    red: NDArray[np.float32]
    green: NDArray[np.float32]
    blue: NDArray[np.float32]
    road: NDArray[np.float32]
    depth: NDArray[np.float32]
    labels: NDArray[np.uint8]
    cards: NDArray[np.float32]
    corners: NDArray[np.float32]
    counts: NDArray[np.int64]
    order: NDArray[np.int64]

    @staticmethod
    def for_images(width: int, height: int) -> Scratch:
        """Allocate the working memory for images of a size."""
        distances = sample_distances(SAMPLES)

        def plane() -> NDArray[np.float32]:
            return np.zeros((height, LANES), np.float32)

        return Scratch(
            distances=distances,
            inverse_distances=(1 / distances).astype(np.float32),
            inverse_gaps=(1 / np.diff(distances, prepend=0)).astype(np.float32),
            drops=np.zeros(SAMPLES, np.float32),
            level_from=np.zeros(LANES, np.int32),
            levels=np.zeros(LANES, np.float32),
            cosines=plane(),
            sines=plane(),
            packed=np.zeros(LANES, np.int32),
            covered=np.zeros(height, np.int32),
            lifted=np.zeros(height, np.int32),
            span=np.zeros((height, 2), np.float32),
            t=plane(),
            slope=plane(),
            s=plane(),
            d=plane(),
            along=plane(),
            across=plane(),
            red=plane(),
            green=plane(),
            blue=plane(),
            road=plane(),
            depth=np.zeros((height, width), np.float32),
            labels=np.zeros((height, width), np.uint8),
            cards=np.zeros((MOST, 7), np.float32),
            corners=np.zeros((CORNERS, 3), np.float32),
            counts=np.zeros(BINS + 1, np.int64),
            order=np.zeros(MOST, np.int64),
        )


@kernel
def _overlay(overlay: Any, first_row: int, image: Any) -> None:
    for i in range(first_row, image.shape[0]):
        for j in range(image.shape[1]):
            row, column = np.uint64(i), np.uint64(j)
            opacity = np.int32(overlay[row, column, 3])
            if opacity > 0:
                for c in range(3):
                    under = np.int32(image[row, column, c]) * (255 - opacity)
                    over = np.int32(overlay[row, column, c]) * opacity
                    image[row, column, c] = np.uint8((under + over + 127) // 255)


@cached_kernel
def _render(
    cameras: Any,
    focal: Any,
    scene: Any,
    airs: Any,
    scratch: Any,
    overlays: Any,
    which: Any,
    visible_rows: Any,
    overlay_rows: Any,
    faces: Any,
    out: Any,
) -> None:
    n, height, width = out.shape[0], out.shape[1], out.shape[2]
    for c in range(n):
        camera = cameras[c]
        air = airs[min(c, airs.shape[0] - 1)]
        image = out[c]
        for first in range(0, width, LANES):
            bottom = visible_rows[which[c], first // LANES]
            cast_columns(
                camera, focal, scene.heights, scene.frame, scratch.distances, scratch.inverse_distances,
                width, first, bottom, scratch.inverse_gaps, scratch.drops, scratch.level_from,
                scratch.levels, scratch.t, scratch.slope, scratch.covered,
            )  # fmt: skip
            follow_slopes(
                camera, focal, scene.heights, scene.frame, width, first, bottom, scratch.covered,
                scratch.slope, scratch.t,
            )  # fmt: skip
            locate(
                camera, focal, scene.nearest, scene.line, scene.frame, scene.spacing, width, first,
                bottom, scratch.covered, scratch.t, scratch.s, scratch.d, scratch.cosines,
                scratch.sines, scratch.span,
            )  # fmt: skip
            if scene.kerb[2] > 0:
                lift_kerbs(
                    camera, focal, scene.sides, scene.spacing, scene.kerb, width, first, bottom,
                    scratch.covered, scratch.slope, scratch.s, scratch.d, scratch.cosines, scratch.sines,
                    scratch.span, scratch.t, scratch.lifted,
                )  # fmt: skip
                locate(
                    camera, focal, scene.nearest, scene.line, scene.frame, scene.spacing, width, first,
                    bottom, scratch.lifted, scratch.t, scratch.s, scratch.d, scratch.cosines,
                    scratch.sines, scratch.span,
                )  # fmt: skip
            cross_decks(
                camera, focal, scene.decks, width, first, bottom, scratch.covered, scratch.t,
                scratch.slope, scratch.s, scratch.d, scratch.cosines, scratch.sines, scratch.span,
            )  # fmt: skip
            measure(
                camera, focal, width, first, bottom, scratch.covered, scratch.slope, scratch.t,
                scratch.cosines, scratch.sines, scratch.span, scratch.along, scratch.across,
            )  # fmt: skip
            pave(
                camera, air, bottom, scratch.covered, scratch.span, scratch.t, scratch.s,
                scratch.d, scratch.along, scratch.across, scene.section, scene.palette,
                scene.textures, scratch.red, scratch.green, scratch.blue, scratch.road,
            )  # fmt: skip
            mark(
                bottom, scratch.covered, scratch.span, scratch.s, scratch.d, scratch.along,
                scratch.across, scene.section, scene.palette, scene.sides, scene.spacing, scratch.red,
                scratch.green, scratch.blue, scratch.road,
            )  # fmt: skip
            mark_middle(
                bottom, scratch.covered, scratch.span, scratch.s, scratch.d, scratch.along,
                scratch.across, scene.section, scene.palette, scratch.red, scratch.green, scratch.blue,
            )  # fmt: skip
            cobble(
                bottom, scratch.covered, scratch.span, scratch.t, scratch.s, scratch.d, scratch.along,
                scratch.across, scene.section, scene.palette, scene.sides, scene.textures,
                scene.spacing, scratch.red, scratch.green, scratch.blue, scratch.road,
            )  # fmt: skip
            paint_ground(
                camera, focal, scene.frame, width, first, bottom, scratch.covered, scratch.span,
                scene.section, scratch.t, scene.colours, scene.textures, scratch.red, scratch.green,
                scratch.blue, scratch.road,
            )  # fmt: skip
            shine(
                camera, focal, air, width, first, bottom, scratch.covered, scratch.slope, scratch.t,
                scene.light_frame, scene.light, scratch.red, scratch.green, scratch.blue,
            )  # fmt: skip
            finish(
                camera, focal, air, image, first, bottom, scratch.covered, scratch.t, scratch.red,
                scratch.green, scratch.blue, scratch.packed, scratch.depth,
            )  # fmt: skip
        scratch.labels[:] = _GROUND
        draw_faces(
            camera, focal, scene.faces, _STRUCTURE, air, scratch.corners, image, scratch.depth,
            scratch.labels,
        )  # fmt: skip
        draw_faces(
            camera, focal, faces, _CAR, air, scratch.corners, image, scratch.depth, scratch.labels
        )  # fmt: skip
        found = find_cards(
            camera, focal, height, width, scene.cards, scratch.cards, scratch.counts, scratch.order
        )
        draw_cards(
            camera, found, scratch.cards, scratch.order, scene.card_texels, scene.card_labels, air,
            image, scratch.depth, scratch.labels,
        )  # fmt: skip
        _overlay(overlays[which[c]], overlay_rows[which[c]], image)


class Look(NamedTuple):
    """What is peculiar to one image.

    Attributes:
        conditions: what it is like there.
        seed: of everything random in the image: noise, drops, flakes; 32 bits.
        lamps_ahead: m that the car's headlights are in front of the camera.
    """

    conditions: Conditions = Conditions()
    seed: int = 0
    lamps_ahead: float = 1.2


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
        self._scene = scene.arrays
        self._weathers: dict[Conditions, tuple[NDArray[np.float32], Light]] = {}
        self._planes: Planes | None = None
        self.scratch = Scratch.for_images(width, height)
        clear = np.zeros((height, width, 4), np.uint8)
        self._overlays: NDArray[np.uint8] = np.stack([clear, *overlays])
        self._visible_rows = _visible_rows(self._overlays)
        touched: NDArray[np.bool_] = (self._overlays[..., 3] > 0).max(axis=2)
        self._overlay_rows = np.where(touched.any(axis=1), touched.argmax(axis=1), height)

    def render(
        self,
        cameras: NDArray[np.float32],
        out: Image,
        overlays: Sequence[int] | None = None,
        faces: NDArray[np.float32] | None = None,
        looks: Sequence[Look] | None = None,
        depth: NDArray[np.float32] | None = None,
        labels: NDArray[np.uint8] | None = None,
    ) -> None:
        """Draw one image per camera.

        Args:
            cameras: (n, 12) float32: position in m, then the unit vectors forward, right and up.
            out: (n, height, width, 3) uint8, C-contiguous; receives the images, RGB.
            overlays: for each camera the index of its overlay, -1 for none; None means none.
            faces: (k, 16) float32, what stands in the scene besides what always does, see `polygons.face`.
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
        also = _NO_FACES if faces is None else np.ascontiguousarray(faces, np.float32)
        if depth is None and labels is None and (looks is None or not any(map(_matters, looks))):
            self._draw(cameras, self._scene.air, which, also, out)
            return
        sensed = depth is not None or labels is not None
        for c in range(n):
            look = Look() if looks is None else looks[c]
            planes = self._draw_one(cameras[c], int(which[c]), also, out[c], look, sensed)
            if depth is not None:
                depth[c] = planes.depth
            if labels is not None:
                labels[c] = planes.labels

    def _draw(
        self,
        cameras: NDArray[np.float32],
        air: NDArray[np.float32],
        which: NDArray[np.int64],
        faces: NDArray[np.float32],
        out: Image,
    ) -> None:
        _render(
            cameras, self.focal, self._scene, air[None], self.scratch, self._overlays, which,
            self._visible_rows, self._overlay_rows, faces, out,
        )  # fmt: skip

    def _draw_one(
        self,
        camera: NDArray[np.float32],
        overlay: int,
        faces: NDArray[np.float32],
        out: Image,
        look: Look,
        sensed: bool,
    ) -> Planes:
        """Draw one image with everything that is not usual; the planes are filled in where needed."""
        if self._planes is None:
            self._planes = Planes.for_images(self.width, self.height)
        planes, conditions = self._planes, look.conditions
        lit = changes_light(conditions)
        air, light = self._weather(conditions)
        drawn = air if lit else self._scene.air
        self._draw(camera[None], drawn, np.array([overlay]), faces, out[None])
        if lit or sensed:
            _announce_compilation("the sensors", survey)
            survey(
                camera, self.focal, self._scene, self.scratch, self._overlays[overlay],
                self._visible_rows[overlay], planes,
            )  # fmt: skip
        seed = np.uint32(look.seed & 0xFFFFFFFF)
        if lit:
            _announce_compilation("the weather", relight)
            relight(camera, self.focal, self._scene, light, planes, np.float32(look.lamps_ahead), out)
            precipitate(light, seed, planes.depth, out)
        gain = 1.0 if lit else 2.0**conditions.exposure
        if gain != 1.0 or conditions.noise > 0.0:
            develop(np.float32(gain), np.float32(conditions.noise), seed, out)
        if conditions.jpeg is not None:
            out[:] = compress(out, conditions.jpeg)
        return planes

    def _weather(self, conditions: Conditions) -> tuple[NDArray[np.float32], Light]:
        if conditions not in self._weathers:
            if len(self._weathers) >= KEPT_WEATHERS:
                self._weathers.clear()
            self._weathers[conditions] = weather(
                conditions, self._scene.air, shadows=bool(self._scene.light_frame[5])
            )
        return self._weathers[conditions]


def _matters(look: Look) -> bool:
    conditions = look.conditions
    camera = (conditions.exposure, conditions.noise, conditions.jpeg)
    return camera != (0.0, 0.0, None) or changes_light(conditions)


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
