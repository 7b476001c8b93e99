"""Trees and shrubs: painted cards that always face the camera, tested against the depth of the ground."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from udacity_gym.world.jit import KERNEL, F

SIDE = 64
"""Side of a card in texels."""
LEVELS = 7
"""A card and its halvings down to one texel."""
CARD = sum((SIDE >> k) ** 2 for k in range(LEVELS))
"""Texels of a card with all its halvings."""
MOST = 1024
"""Cards that a picture can show at once; the nearest of a full bin are dropped beyond that."""
BINS = 64
"""Bins of the counting sort by depth: eight to an octave."""
FARTHEST = F(600.0)
"""m, where fog has swallowed everything."""

_ZERO = F(0.0)
_ONE = F(1.0)
_HALF = F(0.5)


@njit(**KERNEL)
def find_cards(
    camera: Any, focal: float, height: int, width: int, cards: Any, visible: Any, counts: Any, order: Any
) -> int:
    """Project the cards into the picture and sort those in it, farthest first.

    Args:
        camera: (12,) float32 position, forward, right and up vector.
        focal: focal length in pixels.
        height: rows of the picture.
        width: columns of the picture.
        cards: (n, 6) float32: x, y, z of the foot in m, width and height in m, kind.
        visible: (MOST, 7) float32, receives depth, column of the middle, row of the foot, width and height in
            pixels, kind, bin.
        counts: (BINS + 1,) int64 scratch.
        order: (MOST,) int64, receives rows of ``visible``.

    Returns:
        How many are in the picture.
    """
    found = 0
    for k in range(counts.shape[0]):
        counts[k] = 0
    for q in range(cards.shape[0]):
        rx, ry = cards[q, 0] - camera[0], cards[q, 1] - camera[1]
        depth = rx * camera[3] + ry * camera[4]
        if depth < _ONE or depth > FARTHEST:
            continue
        rz = cards[q, 2] - camera[2]
        depth += rz * camera[5]
        if depth < _ONE:
            continue
        scale = F(focal) / depth
        wide, high = cards[q, 3] * scale, cards[q, 4] * scale
        middle = F(width) * _HALF + (rx * camera[6] + ry * camera[7] + rz * camera[8]) * scale
        foot = F(height) * _HALF - (rx * camera[9] + ry * camera[10] + rz * camera[11]) * scale
        outside = middle + wide * _HALF < _ZERO or middle - wide * _HALF > F(width)
        if outside or foot < _ZERO or foot - high > F(height) or high < F(0.7) or found == MOST:
            continue
        octave_eighth = np.int64((F(depth).view(np.int32) - 0x3F800000) >> 20)
        bin_ = BINS - 1 - min(max(octave_eighth, 0), BINS - 1)
        visible[found, 0], visible[found, 1], visible[found, 2] = depth, middle, foot
        visible[found, 3], visible[found, 4], visible[found, 5] = wide, high, cards[q, 5]
        visible[found, 6] = F(bin_)
        counts[bin_ + 1] += 1
        found += 1
    for k in range(BINS):
        counts[k + 1] += counts[k]
    for q in range(found):
        bin_ = np.int64(visible[q, 6])
        order[counts[bin_]] = q
        counts[bin_] += 1
    return found


@njit(**KERNEL)
def draw_cards(
    found: int, visible: Any, order: Any, texels: Any, air: Any, hidden_below: Any, picture: Any, depth: Any
) -> None:
    """Draw the cards that `find_cards` found, farthest first.

    Args:
        found: how many.
        visible: (MOST, 7) float32 of `find_cards`.
        order: (MOST,) int64 of `find_cards`.
        texels: (kinds * CARD,) int32 packed colours, red lowest, alpha highest, multiplied by alpha.
        air: fog, see `scenery.Air`.
        hidden_below: int, first row of the picture that lies behind the bonnet in all columns.
        picture: (height, width, 3) uint8, drawn into.
        depth: (height, width) float32 m, tested against and written where a card is opaque.
    """
    width = picture.shape[1]
    for position in range(found):
        q = order[position]
        far, wide, high = visible[q, 0], visible[q, 3], visible[q, 4]
        left, top = visible[q, 1] - wide * _HALF, visible[q, 2] - high
        first = max(np.int64(math.ceil(left - _HALF)), 0)
        last = min(np.int64(math.floor(left + wide - _HALF)) + 1, width)
        upper = max(np.int64(math.ceil(top - _HALF)), 0)
        lower = min(np.int64(math.floor(visible[q, 2] - _HALF)) + 1, hidden_below)
        if first >= last or upper >= lower:
            continue
        level, side, start = 0, SIDE, 0
        while level < LEVELS - 1 and F(side) > max(high, wide) * F(1.4):
            start += side * side
            side >>= 1
            level += 1
        base = np.int64(visible[q, 5]) * CARD + start
        fog = min(max((far - air[3]) * air[4], _ZERO), _ONE)
        thick = np.int32(fog * F(256.0))
        clear = np.int32(256) - thick
        fog_r, fog_g, fog_b = np.int32(air[0]) * thick, np.int32(air[1]) * thick, np.int32(air[2]) * thick
        across = F(side) / wide
        down = F(side) / high
        for i in range(upper, lower):
            ty = min(max(np.int64((F(i) + _HALF - top) * down), 0), side - 1)
            line = base + ty * side
            for j in range(first, last):
                tx = min(max(np.int64((F(j) + _HALF - left) * across), 0), side - 1)
                colour = np.int32(texels[np.uint64(line + tx)])
                alpha = np.int32((colour >> 24) & 255)
                row, column = np.uint64(i), np.uint64(j)
                if alpha > 0 and depth[row, column] > far:
                    rest = np.int32(255) - alpha
                    red = np.int32(picture[row, column, 0]) * rest
                    green = np.int32(picture[row, column, 1]) * rest
                    blue = np.int32(picture[row, column, 2]) * rest
                    red += ((fog_r * alpha) >> 8) + (((colour & 255) * clear * 255) >> 8)
                    green += ((fog_g * alpha) >> 8) + ((((colour >> 8) & 255) * clear * 255) >> 8)
                    blue += ((fog_b * alpha) >> 8) + ((((colour >> 16) & 255) * clear * 255) >> 8)
                    picture[row, column, 0] = np.uint8(red // 255)
                    picture[row, column, 1] = np.uint8(green // 255)
                    picture[row, column, 2] = np.uint8(blue // 255)
                    if alpha > 127:
                        depth[row, column] = far


def pack_card(colour: NDArray[np.floating[Any]], alpha: NDArray[np.floating[Any]]) -> NDArray[np.int32]:
    """Pack a card and its halvings.

    Args:
        colour: (SIDE, SIDE, 3) RGB in [0, 255].
        alpha: (SIDE, SIDE) in [0, 1].

    Returns:
        (CARD,) int32, red lowest, alpha highest, colours multiplied by alpha.
    """
    level = np.dstack([colour * alpha[..., None], alpha * 255.0])
    packed = []
    for _ in range(LEVELS):
        texel = np.clip(np.round(level), 0, 255).astype(np.uint32).reshape(-1, 4)
        packed.append(texel[:, 0] | texel[:, 1] << 8 | texel[:, 2] << 16 | texel[:, 3] << 24)
        if len(level) > 1:
            level = 0.25 * (level[::2, ::2] + level[1::2, ::2] + level[::2, 1::2] + level[1::2, 1::2])
    return np.concatenate(packed).view(np.int32)


def paint_pine(rng: np.random.Generator) -> NDArray[np.int32]:
    """Paint a tall bare trunk with a crown of ragged clumps, lit from the left.

    Returns:
        (CARD,) int32, see `pack_card`.
    """
    y, x = np.mgrid[0:SIDE, 0:SIDE] / (SIDE - 1.0)
    colour = np.zeros((SIDE, SIDE, 3))
    alpha = np.zeros((SIDE, SIDE))
    lean = 0.04 * rng.standard_normal()
    trunk = np.abs(x - 0.5 - lean * (1 - y)) < 0.035 + 0.02 * y
    alpha[trunk & (y > 0.2)] = 1.0
    colour[trunk] = (52, 44, 34)
    for _ in range(34):
        height = rng.uniform(0.05, 0.62)
        reach = 0.40 * math.sin(math.pi * min(1.0, (height + 0.04) / 0.72)) ** 0.7
        cx, cy = 0.5 + lean * (1 - height) + reach * rng.uniform(-0.85, 0.85), height
        rx, ry = rng.uniform(0.09, 0.20), rng.uniform(0.035, 0.07)
        ragged = 0.35 * rng.standard_normal((SIDE, SIDE))
        clump = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 + ragged < 1.0
        light = np.clip(0.75 - 0.9 * (cx - 0.5) - 2.2 * (y - cy) + 0.15 * rng.standard_normal(), 0.35, 1.5)
        alpha[clump] = 1.0
        colour[clump] = (np.array((66.0, 72.0, 40.0)) * light[..., None])[clump]
    return pack_card(colour, alpha)


def paint_shrub(rng: np.random.Generator, blades: int = 60) -> NDArray[np.int32]:
    """Paint a dark shrub of upright blades.

    Returns:
        (CARD,) int32, see `pack_card`.
    """
    y, x = np.mgrid[0:SIDE, 0:SIDE] / (SIDE - 1.0)
    colour = np.zeros((SIDE, SIDE, 3))
    alpha = np.zeros((SIDE, SIDE))
    for _ in range(blades):
        foot = rng.uniform(0.04, 0.96)
        tip = rng.uniform(0.1, 0.55) + 0.5 * abs(foot - 0.5) ** 2
        blade = (np.abs(x - foot - 0.05 * (1 - y) * rng.standard_normal()) < 0.028) & (y > tip)
        alpha[blade] = 1.0
        light = np.clip(1.5 - 1.1 * y, 0.3, 1.3) * rng.uniform(0.7, 1.2)
        colour[blade] = (np.array((52.0, 62.0, 22.0)) * light[..., None])[blade]
    return pack_card(colour, alpha)
