"""Trees and shrubs: painted cards that always face the camera, tested against the depth of the ground.

A texel is opaque or not, as in the simulator's own trees, which are cut out without smoothing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from udacity_gym.world.jit import F, kernel

SIDE = 64
"""Side of a card in texels."""
LEVELS = 7
"""A card and its halvings down to one texel."""
CARD = sum((SIDE >> k) ** 2 for k in range(LEVELS))
"""Texels of a card with all its halvings."""
MOST = 1024
"""Cards that an image can show at once; the nearest of a full bin are dropped beyond that."""
BINS = 64
"""Bins of the counting sort by depth: eight to an octave."""
FARTHEST = F(600.0)
"""m, where fog has swallowed everything."""

LIGHT_ACROSS, LIGHT_SWING = F(0.95), F(0.6)
"""Brightness of cards seen across the direction to the sun, and its change by the direction of view."""

_ZERO = F(0.0)
_ONE = F(1.0)
_HALF = F(0.5)


@kernel
def find_cards(
    camera: Any, focal: float, height: int, width: int, cards: Any, visible: Any, counts: Any, order: Any
) -> int:
    """Project the cards into the image and sort those in it, farthest first.

    Args:
        camera: (12,) float32 position, forward, right and up vector.
        focal: focal length in pixels.
        height: rows of the image.
        width: columns of the image.
        cards: (n, 6) float32: x, y, z of the foot in m, width and height in m, kind.
        visible: (MOST, 7) float32, receives depth, column of the middle, row of the foot, width and height in
            pixels, kind, bin.
        counts: (BINS + 1,) int64 scratch.
        order: (MOST,) int64, receives rows of ``visible``.

    Returns:
        How many are in the image.
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


@kernel
def draw_cards(
    camera: Any,
    found: int,
    visible: Any,
    order: Any,
    texels: Any,
    kinds: Any,
    air: Any,
    image: Any,
    depth: Any,
    labels: Any,
) -> None:
    """Draw the cards that `find_cards` found, farthest first.

    Args:
        camera: (12,) float32 position, forward, right and up vector.
        found: how many.
        visible: (MOST, 7) float32 of `find_cards`.
        order: (MOST,) int64 of `find_cards`.
        texels: (kinds * CARD,) int32 packed colours, red lowest, the highest bit set where opaque.
        kinds: (kinds,) uint8, what each kind is, see `sensors.Label`.
        air: fog, see `daylight.Daylight.air`.
        image: (height, width, 3) uint8, drawn into.
        depth: (height, width) float32 m, tested against and written.
        labels: (height, width) uint8, receives what each pixel shows.
    """
    height, width = image.shape[0], image.shape[1]
    # Against the sun the cards show their shaded side.
    light = LIGHT_ACROSS - LIGHT_SWING * (camera[3] * air[12] + camera[4] * air[13])
    for position in range(found):
        q = order[position]
        far, wide, high = visible[q, 0], visible[q, 3], visible[q, 4]
        left, top = visible[q, 1] - wide * _HALF, visible[q, 2] - high
        first = max(np.int64(math.ceil(left - _HALF)), 0)
        last = min(np.int64(math.floor(left + wide - _HALF)) + 1, width)
        upper = max(np.int64(math.ceil(top - _HALF)), 0)
        lower = min(np.int64(math.floor(visible[q, 2] - _HALF)) + 1, height)
        if first >= last or upper >= lower:
            continue
        level, side, start = 0, SIDE, 0
        while level < LEVELS - 1 and F(side) > max(high, wide) * F(1.4):
            start += side * side
            side >>= 1
            level += 1
        base = np.int64(visible[q, 5]) * CARD + start
        label = kinds[np.int64(visible[q, 5])]
        fog = min(max((far - air[3]) * air[4], _ZERO), _ONE)
        thick = np.int32(fog * F(256.0))
        clear = np.int32((_ONE - fog) * light * F(256.0))
        fog_r, fog_g, fog_b = np.int32(air[0]) * thick, np.int32(air[1]) * thick, np.int32(air[2]) * thick
        # Texels are stepped through in 1/65536ths.
        across = np.int64(F(side) / wide * F(65536.0))
        begin = np.int64((F(first) + _HALF - left) * F(side) / wide * F(65536.0))
        down = F(side) / high
        for i in range(upper, lower):
            ty = min(max(np.int64((F(i) + _HALF - top) * down), 0), side - 1)
            line = base + ty * side
            row = np.uint64(i)
            tx = begin
            for j in range(first, last):
                colour = texels[np.uint64(line + min(tx >> 16, side - 1))]
                tx += across
                column = np.uint64(j)
                if colour < 0 and depth[row, column] > far:
                    red = ((colour & 255) * clear + fog_r) >> 8
                    green = (((colour >> 8) & 255) * clear + fog_g) >> 8
                    blue = (((colour >> 16) & 255) * clear + fog_b) >> 8
                    image[row, column, np.uint64(0)] = np.uint8(min(red, 255))
                    image[row, column, np.uint64(1)] = np.uint8(min(green, 255))
                    image[row, column, np.uint64(2)] = np.uint8(min(blue, 255))
                    depth[row, column] = far
                    labels[row, column] = label
