"""What the pictures show: the land, the road's markings, trees, and everything that stands upright.

A `Scene` is built from a track file alone, deterministically; scenes are shared between renderers.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from udacity_gym.world import billboards, paint, surface, textures
from udacity_gym.world.terrain import Grid
from udacity_gym.world.track import Track

SUN = np.array([0.743, 0.0, 0.669])
"""Direction to the sun: from +x, 42 degrees up."""
KERB_FOOT, KERB_TOP, KERB_RISE = 4.76, 5.5, 0.3
"""m from the centre line to the foot and the top of the concrete kerb, and its height."""
BRIDGE_HALF_WIDTH = 5.85
"""m from the centre line to the bridge's walls."""
LINE_LOW, LINE_HIGH, LINE_WIDTH = 3.39, 3.88, 0.12
"""m: double yellow edge line, its inner and outer side and the width of one of its two stripes."""
STRIPES_HIGH, STRIPES_PERIOD = 4.98, 0.6
"""m: outer side of the red and white kerb, length of one red and one white bar."""
ASPHALT_TEXELS, COBBLE_TEXELS = 40.0, 24.0
"""Texels per m of the road's patterns."""


class SceneArrays(NamedTuple):
    """A scene as the kernels read it; lengths in m, colours RGB in [0, 255]."""

    heights: NDArray[np.float32]
    colours: NDArray[np.int32]
    nearest: NDArray[np.uint16]
    frame: NDArray[np.float32]
    line: NDArray[np.float32]
    style: NDArray[np.int32]
    kerb_colours: NDArray[np.int32]
    spacing: np.float32
    kerb: NDArray[np.float32]
    section: NDArray[np.float32]
    palette: NDArray[np.float32]
    air: NDArray[np.float32]
    textures: NDArray[np.float32]
    cards: NDArray[np.float32]
    card_texels: NDArray[np.int32]


@dataclass(frozen=True)
class Scene:
    """Everything that can be seen around a track.

    Attributes:
        arrays: what the kernels read.
    """

    arrays: SceneArrays


def scene_of(track: Track) -> Scene:
    """Build the scene around a track, or fetch it if it was built before."""
    return _build(json.dumps(track.data, sort_keys=True))


@lru_cache(maxsize=4)
def _build(content: str) -> Scene:
    track = Track(json.loads(content))
    rng = np.random.default_rng(int(track.data.get("surroundings", {}).get("seed", 0)))
    grid = Grid.around(track)
    bits, rises = _roadside(track)
    height = _heights(grid, rng)
    colours = _ground_colours(grid, height, rng)
    cards, texels = _trees(grid, height, rng)
    n = len(track.s)
    line = np.zeros((n, surface.LINE_FIELDS), np.float32)
    line[:, 0], line[:, 1] = track.x, track.y
    line[:, 2], line[:, 3] = np.cos(track.heading), np.sin(track.heading)
    line[:, 4] = track.curvature
    line[:, 5:7] = rises
    rows, columns = grid.nearest.shape
    section = (
        LINE_LOW, LINE_LOW + LINE_WIDTH, LINE_HIGH - LINE_WIDTH, LINE_HIGH, STRIPES_HIGH, STRIPES_PERIOD,
        KERB_FOOT, KERB_TOP, BRIDGE_HALF_WIDTH, ASPHALT_TEXELS, ASPHALT_TEXELS, COBBLE_TEXELS,
    )  # fmt: skip
    palette = (
        (112, 110, 98, 0.22), (160, 138, 122, 0.22), (190, 165, 50, 0), (86, 76, 58, 0), (220, 84, 78, 0),
        (246, 228, 214, 0),
    )  # fmt: skip
    fog = (105.0, 153.0, 217.0)
    air = (*fog, 100.0, 1 / 500.0, 178, 205, 235, 82, 108, 165, 2.2)
    arrays = SceneArrays(
        heights=np.ascontiguousarray(height, np.float32).ravel(),
        colours=colours.ravel(),
        nearest=grid.nearest.ravel(),
        frame=np.array([grid.west, grid.south, columns - 1.01, rows - 1.01, columns], np.float32),
        line=line.ravel(),
        style=bits,
        kerb_colours=_kerb_colours(track).ravel(),
        spacing=np.float32(track.ds),
        kerb=np.array([KERB_FOOT, KERB_TOP, KERB_RISE], np.float32),
        section=np.array(section, np.float32),
        palette=np.array(palette, np.float32),
        air=np.array(air, np.float32),
        textures=_patterns(rng),
        cards=cards,
        card_texels=texels,
    )
    return Scene(arrays)


def _roadside(track: Track) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Style bits of each sample, and the rise of the concrete kerb left and right of it."""
    s = track.s
    bits = np.full(len(s), paint.LINE_LEFT | paint.LINE_RIGHT, np.int32)
    rises = np.full((len(s), 2), KERB_RISE, np.float32)
    for item in track.data.get("roadside", ()):
        inside = (s >= item["from"]) & (s < item["to"])
        sides = {"left": (0,), "right": (1,), "both": (0, 1)}[item["side"]]
        for side in sides:
            if item["kind"] == "kerb":
                bits[inside] |= (paint.STRIPES_LEFT, paint.STRIPES_RIGHT)[side]
            else:
                rises[inside, side] = 0.0
                bits[inside] &= ~(paint.LINE_LEFT, paint.LINE_RIGHT)[side]
        if item["kind"] == "bridge":
            bits[inside] |= paint.BRIDGE
    return bits, rises


def _pack(colour: NDArray[np.floating[Any]], alpha: NDArray[np.floating[Any]]) -> NDArray[np.int32]:
    c = np.clip(np.round(colour), 0, 255).astype(np.uint32)
    a = np.clip(np.round(alpha), 0, 255).astype(np.uint32)
    return (c[..., 0] | c[..., 1] << 8 | c[..., 2] << 16 | a << 24).view(np.int32)


def _kerb_colours(track: Track) -> NDArray[np.int32]:
    """Colour of the concrete kerb: white where it faces the sun, blue-grey where it does not."""
    steep = math.atan2(KERB_RISE, KERB_TOP - KERB_FOOT)
    sides = []
    for sign in (1.0, -1.0):  # the left kerb faces right, the right one left
        normal_x = math.sin(steep) * sign * np.sin(track.heading)
        light = np.clip(normal_x * SUN[0] + math.cos(steep) * SUN[2], 0.0, 1.0)[:, None]
        lit, dark = np.array([255.0, 248.0, 225.0]), np.array([60.0, 78.0, 96.0])
        sides.append(_pack(dark + (lit - dark) * np.clip(light * 1.25 - 0.2, 0, 1), np.zeros(len(light))))
    return np.stack(sides, axis=1)


def _smooth_noise(rng: np.random.Generator, shape: tuple[int, int], wavelength: float) -> NDArray[np.float32]:
    rows, columns = (max(4, int(n / wavelength) + 3) for n in shape)
    coarse = rng.standard_normal((rows, columns)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def _heights(grid: Grid, rng: np.random.Generator) -> NDArray[np.float32]:
    shape = grid.nearest.shape
    away = np.clip((grid.distance - 9.0) / 40.0, 0.0, 1.5)
    hills = 6.0 * _smooth_noise(rng, shape, 70.0) + 2.0 * _smooth_noise(rng, shape, 22.0)
    inside = ~grid.right
    height = away * np.where(inside, -2.0, 7.0 + hills)
    smooth = cv2.GaussianBlur(height.astype(np.float32), (0, 0), 3.0)
    return np.where(grid.distance > 8.0, smooth, 0.0).astype(np.float32)


def _ground_colours(grid: Grid, height: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.int32]:
    shape = grid.nearest.shape
    north, east = np.gradient(height)
    normal = 1 / np.sqrt(1 + north**2 + east**2)
    light = np.clip((SUN[2] - SUN[0] * east) * normal / SUN[2], 0.0, 1.5)
    green = np.clip(0.5 + 0.5 * _smooth_noise(rng, shape, 30.0), 0, 1)[..., None]
    colour = np.array([186.0, 132.0, 82.0]) * (1 - green) + np.array([196.0, 178.0, 84.0]) * green
    colour = colour * (0.35 + 0.65 * light[..., None])
    water = height < -1.0
    colour[water] = (168, 200, 226)
    return _pack(colour, np.where(water, 0.0, 255 * 0.10))


def _trees(
    grid: Grid, height: NDArray[np.float32], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    kinds = [billboards.paint_pine(rng) for _ in range(4)] + [billboards.paint_shrub(rng) for _ in range(2)]
    cards = []
    while len(cards) < 334:
        i, j = rng.integers(grid.nearest.shape[0]), rng.integers(grid.nearest.shape[1])
        if grid.distance[i, j] > 9.0 and height[i, j] > -0.5:
            tall = rng.uniform(9.0, 14.0)
            cards.append((grid.x[j], grid.y[i], height[i, j] - 0.2, 0.45 * tall, tall, rng.integers(4)))
    return np.array(cards, np.float32), np.concatenate(kinds)


def _patterns(rng: np.random.Generator) -> NDArray[np.float32]:
    asphalt = textures.coloured_noise(rng, 0.5, 60.0)
    ground = textures.coloured_noise(rng, 0.9, 80.0)
    return np.concatenate(
        [textures.pyramid(asphalt), textures.pyramid(textures.cobblestones(rng)), textures.pyramid(ground)]
    )
