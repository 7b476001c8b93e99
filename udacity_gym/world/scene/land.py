"""The land beside the road: heights and colours of the ground from the profiles of a track file.

A profile says for a stretch of the track, on one side, how high the ground is and what covers it at
some distances from the centre line; between stretches one profile turns into the next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from udacity_gym.world.jit import cached
from udacity_gym.world.physics.ground import REACH, STEP, blend
from udacity_gym.world.scene.daylight import Daylight
from udacity_gym.world.scene.terrain import DECK_END, Grid
from udacity_gym.world.track.track import Track
from udacity_gym.world.track.track_file import Land, LandPoint

COVERS: dict[str, tuple[float, float, float, float]] = {
    "sand": (222.0, 190.0, 124.0, 0.03),
    "orange": (168.0, 134.0, 80.0, 0.03),
    "dirt": (190.0, 152.0, 98.0, 0.06),
    "umber": (166.0, 126.0, 79.0, 0.05),
    "tan": (214.0, 177.0, 124.0, 0.05),
    "slate": (118.0, 134.0, 124.0, 0.08),
    "grass": (190.0, 174.0, 92.0, 0.05),
    "lime": (240.0, 232.0, 134.0, 0.07),
    "meadow": (168.0, 172.0, 118.0, 0.08),
    "olive": (138.0, 124.0, 62.0, 0.09),
    "rock": (202.0, 193.0, 152.0, 0.10),
    "cliff": (172.0, 180.0, 140.0, 0.28),
    "turf": (119.0, 127.0, 82.0, 0.20),
    "ledge": (104.0, 110.0, 72.0, 0.25),
    "crag": (100.0, 103.0, 80.0, 0.34),
}
"""Ground covers: RGB as seen level in the sun, measured on recordings of the lake and, the last three, of the
jungle, and relative roughness."""
WATER = (166.0, 197.0, 213.0, 0.012)
UNDER_DECK = 2.0
"""m below and beside a bridge's road that are kept free of land."""
BARE_FROM, BARE_TO = 0.6, 1.3
"""Rise per m from which grass gives way to bare rock in canyons, and at which nothing else is left."""


def lay_land(
    track: Track, grid: Grid, rng: np.random.Generator, daylight: Daylight
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Heights and colours of the ground at every node of a grid.

    Args:
        track: the track with its file's surroundings.
        grid: the grid around it.
        rng: source of the land's roughness.
        daylight: the light on it.

    Returns:
        (rows, columns) float32 heights in m, (rows, columns, 3) RGB in [0, 255], and (rows, columns) relative
        roughness, of which 255 is 1. Where the track file has shadows, the colours are as seen level in the
        sun, elsewhere they are lit.
    """
    surroundings = track.file.surroundings
    tables = {
        side: _table(track, [land for land in surroundings.land if land.side == side])
        for side in ("left", "right")
    }
    ground = np.empty((*grid.nearest.shape, 5), np.float32)
    rows = np.minimum(track.s / STEP, len(tables["left"]) - 1).astype(np.int64)
    canyon = surroundings.relief == "canyon"
    level = track.file.road.level
    distance = _fluted(grid, level, rng) if canyon else grid.distance
    _spread(tables["left"], tables["right"], rows, grid.nearest, distance, grid.right, ground)
    road = grid.elevation(track)
    ground[..., 0] += road  # before it is softened: half way to a higher part of the road is no wall
    if not canyon:
        ground = _soften(ground, grid.distance)
    height = ground[..., 0] + _roughness(ground[..., 0] - road, grid, rng)
    colour, rough = ground[..., 1:4], ground[..., 4]
    if canyon:
        _bare(height, colour, rough)
    if not daylight.shadows:
        colour = _shade(height, colour, daylight)
    colour = colour * _patches(height.shape, rng)[..., None]
    wet = height < surroundings.water_level
    colour[wet], rough[wet], height[wet] = WATER[:3], WATER[3], surroundings.water_level
    near = grid.distance < level
    height[near] = road[near]
    _dig_under_decks(height, track, grid)
    return height, colour.astype(np.float32), (rough * 255.0).astype(np.float32)


def _dig_under_decks(height: NDArray[np.float32], track: Track, grid: Grid) -> None:
    """Keep the land below the bridges over it."""
    for deck in track.file.decks:
        begin = track.pose_at(deck.begin)
        dx, dy = grid.x[None, :] - begin.x, grid.y[:, None] - begin.y
        along = dx * math.cos(begin.yaw) + dy * math.sin(begin.yaw)
        right = dx * math.sin(begin.yaw) - dy * math.cos(begin.yaw)
        inside = (along > DECK_END) & (along < deck.end - deck.begin - DECK_END)
        under = inside & (np.abs(right) < track.half_width + UNDER_DECK)
        height[under] = np.minimum(height[under], begin.z - UNDER_DECK)


def _fluted(grid: Grid, level: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Distances from the road that waver beyond its level ground, so that cliffs have folds."""
    shape = grid.distance.shape
    folds = 0.5 * smooth_noise(rng, shape, 4.0) + 0.9 * smooth_noise(rng, shape, 13.0)
    into = np.clip((grid.distance - level) / 4.0, 0.0, 1.0)
    return np.asarray(np.clip(grid.distance + folds * into, 0.0, None), np.float32)


def _bare(height: NDArray[np.float32], colour: NDArray[np.float32], rough: NDArray[np.float32]) -> None:
    """Bare the rock where it is too steep for grass, down to the foot of cliffs."""
    steepest = np.hypot(*(_steepest(height, axis) for axis in (0, 1)))
    bare = np.clip((steepest - BARE_FROM) / (BARE_TO - BARE_FROM), 0.0, 1.0)
    crag = np.array(COVERS["crag"], np.float32)
    colour += bare[..., None] * (crag[:3] - colour)
    rough += bare * (crag[3] - rough)


def _steepest(height: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """The greater rise per m of the two sides of every node, along one axis."""
    rise = np.abs(np.diff(height, axis=axis))
    sides = [np.insert(rise, at, 0.0, axis=axis) for at in (0, rise.shape[axis])]
    return np.asarray(np.maximum(*sides), np.float32)


def pack_colours(colour: NDArray[np.floating[Any]], top: NDArray[np.floating[Any]]) -> NDArray[np.int32]:
    """Pack colours into integers.

    Args:
        colour: (..., 3) RGB in [0, 255].
        top: (...) in [0, 255], the highest byte.

    Returns:
        (...) int32, red lowest.
    """
    c = np.clip(np.round(colour), 0, 255).astype(np.uint32)
    a = np.clip(np.round(top), 0, 255).astype(np.uint32)
    return (c[..., 0] | c[..., 1] << 8 | c[..., 2] << 16 | a << 24).view(np.int32)


def _table(track: Track, stretches: Sequence[Land]) -> NDArray[np.float32]:
    """Height, RGB and roughness by s (rows, `STEP`) and distance (columns, 1 m)."""
    return blend(track, stretches, np.stack([_profile(land.profile) for land in stretches]))


@cached
def _spread(
    left: Any, right: Any, rows: Any, nearest: Any, distance: Any, is_right: Any, ground: Any
) -> None:
    """Look every node up in its side's table."""
    for i in range(ground.shape[0]):
        for j in range(ground.shape[1]):
            table = right if is_right[i, j] else left
            row = rows[nearest[i, j]]
            column = min(distance[i, j], REACH - 1.01)
            low = int(column)
            rest = column - low
            for c in range(5):
                ground[i, j, c] = table[row, low, c] + rest * (table[row, low + 1, c] - table[row, low, c])


def _profile(points: Sequence[LandPoint]) -> NDArray[np.float64]:
    at = np.array([point.distance for point in points])
    height = np.array([point.height for point in points])
    cover = np.array([COVERS[point.cover] for point in points])
    distance = np.arange(REACH)
    columns = [np.interp(distance, at, height)]
    columns += [np.interp(distance, at, cover[:, c]) for c in range(4)]
    return np.stack(columns, axis=1)


def _soften(ground: NDArray[np.float32], distance: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blur more the farther from the road, to hide where the land of one stretch meets another's."""
    small = cv2.resize(ground, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    size = (ground.shape[1], ground.shape[0])
    wide = cv2.resize(cv2.GaussianBlur(small, (0, 0), 2.5), size, interpolation=cv2.INTER_LINEAR)
    share = np.clip((distance - 18.0) / 30.0, 0.0, 1.0)[..., None]
    softened: NDArray[np.float32] = ground + share * (wide - ground)
    return softened


def _roughness(height: NDArray[np.float32], grid: Grid, rng: np.random.Generator) -> NDArray[np.float32]:
    """Bumps that grow with the height of the land above the road."""
    shape = height.shape
    bumps = 0.16 * smooth_noise(rng, shape, 26.0) + 0.07 * smooth_noise(rng, shape, 9.0)
    strength = np.clip(height, 0.0, 14.0) * np.clip((grid.distance - 9.0) / 6.0, 0.0, 1.0)
    return np.asarray(bumps * strength, np.float32)


def _shade(
    height: NDArray[np.float32], colour: NDArray[np.float32], daylight: Daylight
) -> NDArray[np.float32]:
    """Colour under the sun: covers are given as they look on level ground."""
    sun, ambient = daylight.sun, np.array(daylight.ambient)
    north, east = np.gradient(cv2.GaussianBlur(height, (0, 0), 0.8))
    steepness = np.hypot(north, east)
    soft = steepness / (steepness + daylight.gentle) if daylight.gentle else 1.0
    north, east = north * soft, east * soft
    lit = (sun[2] - sun[0] * east - sun[1] * north) / (sun[2] * np.sqrt(1 + north**2 + east**2))
    lit = np.clip(lit, 0.0, 1.4)[..., None]
    shaded: NDArray[np.float32] = (colour * (ambient + (1 - ambient) * lit)).astype(np.float32)
    return shaded


def _patches(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Slow variation of brightness, so that wide ground is not of one colour."""
    fine, middle, wide = (smooth_noise(rng, shape, wavelength) for wavelength in (4.0, 12.0, 45.0))
    patches: NDArray[np.float32] = 1.0 + 0.04 * fine + 0.06 * middle + 0.05 * wide
    return patches


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], wavelength: float) -> NDArray[np.float32]:
    """Noise of about unit spread without anything shorter than a wavelength in nodes."""
    rows, columns = (max(4, int(n / wavelength) + 3) for n in shape)
    coarse = rng.standard_normal((rows, columns)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC), np.float32)
