"""A scene for views that people look at: finer plants, and shadows of all that stands in it.

The cameras of the car see a scene as Udacity's simulator draws it: plants are pictures of 64 texels cut out
without smoothing, and on the lake nothing but the land is shaded. Views from outside are looked at closely.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from udacity_gym.world.jit import F
from udacity_gym.world.records import pack
from udacity_gym.world.scene.cards import KINDS, SIDE, card_size, refine
from udacity_gym.world.scene.scene_arrays import (
    FULL_SUN,
    LINE_FIELDS,
    LINE_X,
    LINE_Y,
    Land,
    LightFrame,
    SceneArrays,
)
from udacity_gym.world.scene.shadows import AROUND, CELL

LEAFY = 0.85
"""Share of the sun's light that plants and boards take away."""
LEAST_FACE = 0.2
"""m, faces whose sides are shorter cast no shadows: wires and struts."""
_MARCH = 14  # steps along a ray to the ground, which shrink as it comes close

Array = NDArray[np.float64]


def for_views(arrays: SceneArrays, sun: Array) -> SceneArrays:
    """A scene with finer plants and more shadows.

    Args:
        arrays: the scene as the car's cameras see it.
        sun: (3,) unit vector to the sun.
    """
    frame, light = _light(arrays, sun)
    land = arrays.land.copy()
    land[Land._fields.index("smooth")] = 1.0
    return arrays._replace(
        land=land, card_texels=refine(arrays.card_texels), light_frame=pack(frame), light=light
    )


class _Ground:
    """Where rays of the sun meet the ground, in cells of a map of light."""

    def __init__(self, arrays: SceneArrays, frame: LightFrame, sun: Array) -> None:
        self._west, self._south = float(arrays.land[0]), float(arrays.land[1])
        self._height = arrays.heights.reshape(-1, int(arrays.land[4]))
        self._frame, self._slope = frame, sun[:2] / max(float(sun[2]), 0.1)

    def cells(self, points: Array) -> Array:
        """Column and row in cells where the shadow of each point falls, (n, 3) m to (n, 2)."""
        rows, columns = self._height.shape
        fall = np.zeros(len(points))
        for _ in range(_MARCH):
            place = points[:, :2] - fall[:, None] * self._slope
            j = np.clip(np.round(place[:, 0] - self._west), 0, columns - 1).astype(int)
            i = np.clip(np.round(place[:, 1] - self._south), 0, rows - 1).astype(int)
            fall += 0.7 * (np.maximum(points[:, 2] - self._height[i, j], 0.0) - fall)
        place = points[:, :2] - fall[:, None] * self._slope
        corner = np.array([self._frame.west, self._frame.south], np.float64)
        return np.asarray((place - corner) * float(self._frame.cells_per_metre))


def _light(arrays: SceneArrays, sun: Array) -> tuple[LightFrame, NDArray[np.int32]]:
    """The map of the sun's light with the shadows of cards and faces."""
    columns = int(arrays.light_frame[5])
    if columns:  # there is a map already
        frame = LightFrame(*map(F, arrays.light_frame))
        shown = (arrays.light & 255).astype(np.uint8).reshape(-1, columns)
    else:
        frame, shown = _new_map(arrays)
    cast = np.zeros(shown.shape, np.uint8)
    ground = _Ground(arrays, frame, sun)
    _cast_cards(cast, arrays, ground, sun, has_palms=columns > 0)
    _cast_faces(cast, arrays.faces, ground)
    cast = np.asarray(cv2.GaussianBlur(cast, (0, 0), 0.7), np.uint8)
    cells = np.minimum(shown, FULL_SUN * (1.0 - cast / np.float32(255.0))).astype(np.uint32)
    east = np.roll(cells, -1, axis=1)
    packed = cells | east << 8 | np.roll(cells, -1, axis=0) << 16 | np.roll(east, -1, axis=0) << 24
    return frame, packed.view(np.int32).ravel()


def _new_map(arrays: SceneArrays) -> tuple[LightFrame, NDArray[np.uint8]]:
    """A map around the road on which the sun shines everywhere, as on level ground."""
    line = arrays.line.reshape(-1, LINE_FIELDS)
    low = line[:, [LINE_X, LINE_Y]].min(axis=0) - AROUND
    size = line[:, [LINE_X, LINE_Y]].max(axis=0) + AROUND - low
    columns, rows = (size / CELL).astype(int)
    frame = LightFrame(
        west=F(low[0] + 0.5 * CELL),
        south=F(low[1] + 0.5 * CELL),
        cells_per_metre=F(1.0 / CELL),
        east_end=F(columns - 2.0),
        north_end=F(rows - 2.0),
        columns=F(columns),
    )
    return frame, np.full((rows, columns), FULL_SUN, np.uint8)


def _cast_cards(
    cast: NDArray[np.uint8], arrays: SceneArrays, ground: _Ground, sun: Array, has_palms: bool
) -> None:
    """Draw the shadows of plants, rocks and boards: their pictures, as the sun sees them, laid on the ground.

    Args:
        cast: (rows, columns) opacity of 255, drawn into.
        arrays: the scene.
        ground: where shadows fall.
        sun: (3,) unit vector to the sun.
        has_palms: whether the scene's own map has the shadows of palms.
    """
    cards = arrays.cards.astype(np.float64)
    if has_palms:
        palm = KINDS["palm"]
        cards = cards[(cards[:, 5] < palm.first) | (cards[:, 5] >= palm.first + palm.variants)]
    pictures = arrays.card_texels.reshape(-1, card_size(SIDE))[:, : SIDE * SIDE].reshape(-1, SIDE, SIDE)
    opacity = np.where(pictures < 0, round(255 * LEAFY), 0).astype(np.uint8)
    across = np.array([-sun[1], sun[0]]) / np.hypot(sun[0], sun[1])
    foot, top = cards[:, :3], cards[:, :3] + cards[:, 4:5] * (0.0, 0.0, 1.0)
    feet, heads = ground.cells(foot), ground.cells(top)
    rows, columns = cast.shape
    for card, at, head in zip(cards, feet, heads, strict=True):
        side = across * card[3] / CELL  # cells
        corners = np.array([at + 0.5 * side, at - 0.5 * side, head + 0.5 * side, head - 0.5 * side])
        low = np.maximum(np.floor(corners.min(axis=0)).astype(int) - 1, 0)
        high = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 2, (columns, rows))
        if (high <= low).any():
            continue
        # From texels, counted from the picture's upper left corner, to cells.
        matrix = np.column_stack([side / SIDE, (at - head) / SIDE, head - 0.5 * side - low])
        patch = cast[low[1] : high[1], low[0] : high[0]]
        size = (int(high[0] - low[0]), int(high[1] - low[1]))
        drawn = np.asarray(cv2.warpAffine(opacity[int(card[5])], matrix, size), np.uint8)
        np.maximum(patch, drawn, out=patch)


def _cast_faces(cast: NDArray[np.uint8], faces: NDArray[np.float32], ground: _Ground) -> None:
    """Draw the shadows of walls, signs and stacks."""
    corners = faces[:, :12].reshape(-1, 4, 3).astype(np.float64)
    sides = np.linalg.norm(np.roll(corners, -1, axis=1) - corners, axis=2)
    corners = corners[np.sort(sides, axis=1)[:, 1] > LEAST_FACE]
    places = np.round(ground.cells(corners.reshape(-1, 3)).reshape(-1, 4, 2) * 16.0).astype(np.int32)
    rows, columns = cast.shape
    inside = (places.max(axis=1) > 0).all(axis=1) & (places.min(axis=1) < (16 * columns, 16 * rows)).all(
        axis=1
    )
    for place in places[inside]:
        cv2.fillConvexPoly(cast, cv2.convexHull(place), 255, cv2.LINE_AA, shift=4)
