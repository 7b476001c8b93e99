"""The light that falls on every place around the road, and the shadows on it.

Where a track file asks for shadows, the light on the ground is computed once, when a scene is built:
how directly the sun shines there, and what stands between. Shadows of the land are found by moving
its height field along the sun's rays; thin things like palms and boards are drawn as the polygons that
their outlines cast.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from udacity_gym.world.jit import F
from udacity_gym.world.scene.daylight import Daylight
from udacity_gym.world.scene.scene_arrays import FULL_SUN, LightFrame
from udacity_gym.world.scene.terrain import Grid
from udacity_gym.world.track.track import Track
from udacity_gym.world.track.track_file import Shade

CELL = 0.2
"""m, side of a cell of the map of light."""
AROUND = 30.0
"""m around the road that the map of light reaches; what lies farther off is lit by slope alone."""
FARTHEST_SHADE = 90.0
"""m over which the land casts shadows."""
_STEP = 0.5  # m between two looks towards the sun
_STRIP = 0.4  # m, about the width of a strip of a crowned road that has one slope
_PIECE = 20.0  # m of road that are looked at together
_SOFT = 0.25  # m of height over which a shadow of the land ends
MOST_DIRECT, ROUGH_SLOPES = 1.3, (0.4, 0.8)
"""Light on gentle slopes that turn to the sun, at most; rise per m from which on it is less, and from which
on it is no more than on level ground.

Cliffs are rough and shade themselves. Measured on recordings of the jungle.
"""
MEASURED = 7.5
"""m from the centre line within which the shade of a track file holds."""


@dataclass(frozen=True)
class LightMap:
    """The sun's light on the ground around the road, in cells of `CELL`.

    Attributes:
        frame: where the map lies.
        cells: (rows * columns,) int32, in four bytes the light of a cell and of its neighbours to the east,
            north and north-east; `FULL_SUN` is that on level ground in the sun.
        inside: (rows of the grid, its columns) bool, nodes whose light is in the map.
    """

    frame: LightFrame
    cells: NDArray[np.int32]
    inside: NDArray[np.bool_]


def no_light(grid: Grid) -> LightMap:
    """A map for scenes without shadows."""
    return LightMap(LightFrame(*[F(0.0)] * 6), np.zeros(1, np.int32), np.zeros(grid.nearest.shape, np.bool_))


def directness(height: NDArray[np.float32], sun: NDArray[np.float64]) -> NDArray[np.float32]:
    """How directly the sun shines on every node of a height field: 1 on level ground."""
    north, east = np.gradient(height)
    lit = (sun[2] - sun[0] * east - sun[1] * north) / (sun[2] * np.sqrt(1 + north**2 + east**2))
    most = np.interp(np.hypot(north, east), ROUGH_SLOPES, (MOST_DIRECT, 1.0))
    direct: NDArray[np.float32] = np.clip(lit, 0.0, most).astype(np.float32)
    return direct


def ceiling(height: NDArray[np.float32], sun: NDArray[np.float64]) -> NDArray[np.float32]:
    """Height up to which every node of a height field with 1 m between nodes lies in the land's shadow."""
    across = math.hypot(sun[0], sun[1])
    rows, columns = height.shape
    top = np.full_like(height, -1e3)
    for distance in np.arange(1.0, FARTHEST_SHADE, _STEP):
        shift = np.array([[1, 0, distance * sun[0] / across], [0, 1, distance * sun[1] / across]])
        moved = cv2.warpAffine(
            height, shift, (columns, rows), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        np.maximum(top, moved - np.float32(distance * sun[2] / across), out=top)
    return top


def light_map(
    track: Track,
    grid: Grid,
    height: NDArray[np.float32],
    daylight: Daylight,
    outlines: Sequence[tuple[NDArray[np.float64], float]] = (),
) -> LightMap:
    """Compute the sun's light on the ground around the road.

    Args:
        track: the track.
        grid: the grid around it.
        height: (rows, columns) float32 m, height of the ground.
        daylight: the sun.
        outlines: of what casts thin shadows: (k, 3) m corners of a convex polygon, and its opacity.
    """
    sun = daylight.sun
    box = _box(track, grid)
    west, south, columns, rows = box
    x = ((np.arange(columns) + 0.5) * CELL + west).astype(np.float32)
    y = ((np.arange(rows) + 0.5) * CELL + south).astype(np.float32)
    at_x, at_y = np.meshgrid(x, y)

    def fine(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.remap(values, at_x, at_y, cv2.INTER_LINEAR), np.float32)

    ground = fine(height)
    bright = fine(directness(height, sun))
    clear = np.clip((ground - fine(ceiling(height, sun))) / _SOFT + 0.5, 0.0, 1.0)
    cast = np.zeros((rows, columns), np.uint8)
    for corners, opacity in outlines:
        _cast(cast, corners, opacity, box, grid, height, sun)
    sunny = clear * (1.0 - cast.astype(np.float32) / 255.0)
    for shade in track.file.surroundings.shade:
        _measured(sunny, shade, track, box, grid)
    if track.file.road.crown:
        bright += _crown(track, box, grid, daylight)
    shown = bright * sunny
    cells = np.clip(np.round(shown * FULL_SUN), 0, 255).astype(np.uint32)
    east = np.roll(cells, -1, axis=1)
    packed = cells | east << 8 | np.roll(cells, -1, axis=0) << 16 | np.roll(east, -1, axis=0) << 24
    frame = LightFrame(
        west=F(grid.west + west + 0.5 * CELL),
        south=F(grid.south + south + 0.5 * CELL),
        cells_per_metre=F(1 / CELL),
        east_end=F(columns - 2.0),
        north_end=F(rows - 2.0),
        columns=F(columns),
    )
    across, up = grid.x - grid.west - west, grid.y - grid.south - south
    inside = ((up > CELL) & (up < (rows - 2) * CELL))[:, None] & (
        (across > CELL) & (across < (columns - 2) * CELL)
    )[None, :]
    return LightMap(frame, packed.view(np.int32).ravel(), inside)


def seen_from_afar(
    height: NDArray[np.float32], colour: NDArray[np.float32], inside: NDArray[np.bool_], daylight: Daylight
) -> NDArray[np.float32]:
    """Colours of the land, lit where the map of light does not reach.

    Args:
        height: (rows, columns) float32 m.
        colour: (rows, columns, 3) as seen level in the sun.
        inside: see `LightMap`.
        daylight: the sun.
    """
    sun = daylight.sun
    direct = directness(height, sun) * np.clip((height - ceiling(height, sun)) / _SOFT + 0.5, 0.0, 1.0)
    shade = np.array(daylight.ambient, np.float32)
    lit = np.where(inside, 1.0, direct)[..., None]
    seen: NDArray[np.float32] = (colour * (shade + (1 - shade) * lit)).astype(np.float32)
    return seen


def _box(track: Track, grid: Grid) -> tuple[float, float, int, int]:
    """West and south end of the map from those of the grid in m; its columns and rows."""
    west, south = track.x.min() - AROUND - grid.west, track.y.min() - AROUND - grid.south
    columns = int((track.x.max() + AROUND - grid.west - west) / CELL)
    rows = int((track.y.max() + AROUND - grid.south - south) / CELL)
    return float(west), float(south), columns, rows


def _crown(
    track: Track, box: tuple[float, float, int, int], grid: Grid, daylight: Daylight
) -> NDArray[np.float32]:
    """What the lanes of a crowned road get more of the sun, or less, than level ground.

    The road is an arch: its slope grows in proportion to the distance from the middle.
    """
    west, south, columns, rows = box
    more = np.zeros((rows, columns), np.float32)
    sun = daylight.sun
    strips = np.linspace(-1.0, 1.0, 2 * round(track.half_width / _STRIP)) * track.half_width
    right = (np.sin(track.heading) * sun[0] - np.cos(track.heading) * sun[1]) / sun[2]
    for low, high in pairwise(strips):
        lean = (low + high) / 2 / track.half_width * track.file.road.crown
        edges = []
        for offset in (low, high):
            x = (track.x + offset * np.sin(track.heading) - grid.west - west) / CELL - 0.5
            y = (track.y - offset * np.cos(track.heading) - grid.south - south) / CELL - 0.5
            edges.append(np.round(np.stack([x, y], axis=1) * 16).astype(np.int32))
        inner, outer = edges
        for k in range(len(track.s)):
            ahead = (k + 1) % len(track.s)
            corners = np.stack([inner[k], inner[ahead], outer[ahead], outer[k]])
            cv2.fillConvexPoly(more, corners, float(lean * right[k]), cv2.LINE_8, shift=4)
    return more


def _measured(
    sunny: NDArray[np.float32],
    shade: Shade,
    track: Track,
    box: tuple[float, float, int, int],
    grid: Grid,
) -> None:
    """Put the shade that a track file has on the road and verges in place of the shadows there."""
    west, south, columns, rows = box
    near, dark = np.zeros((rows, columns), np.uint8), np.zeros((rows, columns), np.uint8)

    def cells(outline: Sequence[tuple[float, float]]) -> NDArray[np.int32]:
        poses = [track.pose_at(s, offset) for s, offset in _fine(outline)]
        x = np.array([pose.x for pose in poses]) - grid.west - west
        y = np.array([pose.y for pose in poses]) - grid.south - south
        return np.round((np.stack([x, y], axis=1) / CELL - 0.5) * 16).astype(np.int32)

    for begin in np.arange(shade.begin, shade.end, _PIECE):
        end = min(begin + _PIECE, shade.end)
        around = [(begin, -MEASURED), (end, -MEASURED), (end, MEASURED), (begin, MEASURED)]
        cv2.fillPoly(near, [cells(around)], 255, cv2.LINE_8, shift=4)
    if shade.outlines:  # all at once: what two outlines have in common stays clear
        cv2.fillPoly(dark, [cells(outline) for outline in shade.outlines], 255, cv2.LINE_AA, shift=4)
    sunny[:] = np.where(near > 0, 1.0 - dark.astype(np.float32) / 255.0, sunny)


def _fine(outline: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    """An outline in (s, offset) with a corner every metre, so that it follows the bends of the road."""
    corners = np.array([*outline, outline[0]], np.float64)
    sides = [
        np.linspace(a, b, max(1, math.ceil(abs(b[0] - a[0]))), endpoint=False) for a, b in pairwise(corners)
    ]
    return np.concatenate(sides)


def _cast(
    cast: NDArray[np.uint8],
    corners: NDArray[np.float64],
    opacity: float,
    box: tuple[float, float, int, int],
    grid: Grid,
    height: NDArray[np.float32],
    sun: NDArray[np.float64],
) -> None:
    """Draw the shadow of a polygon on the ground, each corner where its ray meets the ground."""
    west, south, columns, rows = box
    points = []
    for x, y, z in corners:
        ground = z
        for _ in range(12):  # down the ray in steps that shrink as it comes close
            fall = z - ground
            at_x, at_y = x - grid.west - fall * sun[0] / sun[2], y - grid.south - fall * sun[1] / sun[2]
            i = min(max(round(at_y), 0), height.shape[0] - 1)
            j = min(max(round(at_x), 0), height.shape[1] - 1)
            ground += 0.7 * (min(float(height[i, j]), z) - ground)
        points.append(((at_x - west) / CELL - 0.5, (at_y - south) / CELL - 0.5))
    outline = np.round(np.array(points) * 16).astype(np.int32)
    if (outline.max(axis=0) < 0).any() or (outline.min(axis=0) > np.array([columns, rows]) * 16).any():
        return
    left, low = np.maximum(outline.min(axis=0) // 16 - 1, 0)
    right, high = np.minimum(outline.max(axis=0) // 16 + 2, [columns, rows])
    if right <= left or high <= low:
        return
    patch = np.zeros((high - low, right - left), np.uint8)
    cv2.fillConvexPoly(
        patch, outline - np.array([left, low]) * 16, round(255 * opacity), cv2.LINE_AA, shift=4
    )
    np.maximum(cast[low:high, left:right], patch, out=cast[low:high, left:right])
