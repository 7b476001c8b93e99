"""Trees and shrubs: painted cards that always face the camera, tested against the depth of the ground.

A texel is opaque or not, as in the simulator's own trees, which are cut out without smoothing.
"""

from __future__ import annotations

import math

import numpy as np

from udacity_gym.telemetry import Image
from udacity_gym.world.jit import F, kernel
from udacity_gym.world.records import unpack
from udacity_gym.world.rendering.paint import fog_share
from udacity_gym.world.rendering.rays import Camera, Projection
from udacity_gym.world.rendering.sampling import BLUE, GREEN, RED
from udacity_gym.world.rendering.scratch import (
    CARD_BIN,
    CARD_BINS,
    CARD_DEPTH,
    CARD_FOOT,
    CARD_HEIGHT,
    CARD_MIDDLE,
    CARD_VARIANT,
    CARD_WIDTH,
    VISIBLE_CARDS,
    Scratch,
)
from udacity_gym.world.scene.scene_arrays import Air, Card, SceneArrays

FARTHEST_CARD = F(600.0)
"""m, where fog has swallowed everything."""
SMALLEST_CARD = F(0.7)
"""Pixels, height below which a card is left out."""
LIGHT_ACROSS, LIGHT_SWING = F(0.95), F(0.45)
"""Brightness of cards seen across the direction to the sun, and its change by the direction of projection."""
TEXELS_PER_PIXEL = F(1.4)
"""Texels of a card for each pixel, at most: beyond that the next halving is taken."""

_ZERO = F(0.0)
_ONE = F(1.0)
_HALF = F(0.5)


@kernel
def find_cards(projection: Projection, scene: SceneArrays, scratch: Scratch) -> int:
    """Project the cards into the image and sort those in it, nearest first.

    A counting sort: the bins are eighths of octaves of the depth, read off the bits of its float32 (the
    exponent and the first three bits of the mantissa). Within a bin cards keep the order of the scene.

    Args:
        projection: the camera with its image.
        scene: the scene.
        scratch: working memory; ``cards`` and ``order`` are filled.

    Returns:
        How many cards are in the image.
    """
    width, height = projection.width, projection.height
    visible, counts, order = scratch.cards, scratch.counts, scratch.order
    count = 0
    for k in range(counts.shape[0]):
        counts[k] = 0
    for q in range(scene.cards.shape[0]):
        camera = unpack(Camera, projection.camera)
        position, forward, right, up = camera.position, camera.forward, camera.right, camera.up
        card = unpack(Card, scene.cards[q])
        rx, ry = card.x - position.x, card.y - position.y
        depth = rx * forward.x + ry * forward.y
        if depth < _ONE or depth > FARTHEST_CARD:
            continue
        rz = card.z - position.z
        depth += rz * forward.z
        if depth < _ONE:
            continue
        scale = F(projection.focal) / depth
        wide, high = card.width * scale, card.height * scale
        middle = F(width) * _HALF + (rx * right.x + ry * right.y + rz * right.z) * scale
        foot = F(height) * _HALF - (rx * up.x + ry * up.y + rz * up.z) * scale
        outside = middle + wide * _HALF < _ZERO or middle - wide * _HALF > F(width)
        outside = outside or foot < _ZERO or foot - high > F(height)
        if outside or high < SMALLEST_CARD or count == VISIBLE_CARDS:
            continue
        octave_eighth = np.int64((F(depth).view(np.int32) - 0x3F800000) >> 20)
        bin_ = min(max(octave_eighth, 0), CARD_BINS - 1)
        visible[count, CARD_DEPTH], visible[count, CARD_MIDDLE] = depth, middle
        visible[count, CARD_FOOT], visible[count, CARD_VARIANT] = foot, card.variant
        visible[count, CARD_WIDTH], visible[count, CARD_HEIGHT] = wide, high
        visible[count, CARD_BIN] = F(bin_)
        counts[bin_ + 1] += 1
        count += 1
    for k in range(CARD_BINS):  # from numbers of cards to where each bin begins
        counts[k + 1] += counts[k]
    for q in range(count):
        bin_ = np.int64(visible[q, CARD_BIN])
        order[counts[bin_]] = q
        counts[bin_] += 1
    return count


@kernel
def draw_cards(
    projection: Projection, count: int, scene: SceneArrays, scratch: Scratch, image: Image
) -> None:
    """Draw the cards that `find_cards` found, nearest first; ``depth`` and ``labels`` go along.

    What is hidden behind nearer cards is not drawn, and of cards that are equally far the first one is seen.

    Args:
        projection: the camera with its image.
        count: how many cards.
        scene: the scene.
        scratch: working memory as `find_cards` left it.
        image: (height, width, 3) uint8, drawn into.
    """
    height, width, air = projection.height, projection.width, unpack(Air, scene.air)
    forward = unpack(Camera, projection.camera).forward
    visible, order, depth, labels = scratch.cards, scratch.order, scratch.depth, scratch.labels
    texels = scene.card_texels
    card = texels.shape[0] // scene.card_labels.shape[0]
    whole_side = np.int64(
        math.sqrt(0.75 * card + 0.25) + 0.5
    )  # all halvings of a side have (4 side^2 - 1) / 3
    # Against the sun the cards show their shaded side.
    light = LIGHT_ACROSS - LIGHT_SWING * (forward.x * air.sun.x + forward.y * air.sun.y)
    for position in range(count):
        q = order[position]
        far, wide, high = visible[q, CARD_DEPTH], visible[q, CARD_WIDTH], visible[q, CARD_HEIGHT]
        foot, variant = visible[q, CARD_FOOT], np.int64(visible[q, CARD_VARIANT])
        left, top = visible[q, CARD_MIDDLE] - wide * _HALF, foot - high
        first = max(np.int64(math.ceil(left - _HALF)), 0)
        last = min(np.int64(math.floor(left + wide - _HALF)) + 1, width)
        upper = max(np.int64(math.ceil(top - _HALF)), 0)
        lower = min(np.int64(math.floor(foot - _HALF)) + 1, height)
        if first >= last or upper >= lower:
            continue
        side, start = whole_side, 0
        while side > 1 and F(side) > max(high, wide) * TEXELS_PER_PIXEL:
            start += side * side
            side >>= 1
        base = variant * card + start
        label = scene.card_labels[variant]
        # Colours in integers of 1/256.
        fog = fog_share(air, far)
        thick = np.int32(fog * F(256.0))
        clear = np.int32((_ONE - fog) * light * F(256.0))
        fog_r = np.int32(air.fog.red) * thick
        fog_g = np.int32(air.fog.green) * thick
        fog_b = np.int32(air.fog.blue) * thick
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
                if depth[row, column] > far and colour < 0:  # the highest bit is set where opaque
                    red = ((colour & 255) * clear + fog_r) >> 8
                    green = (((colour >> 8) & 255) * clear + fog_g) >> 8
                    blue = (((colour >> 16) & 255) * clear + fog_b) >> 8
                    image[row, column, RED] = np.uint8(min(red, 255))
                    image[row, column, GREEN] = np.uint8(min(green, 255))
                    image[row, column, BLUE] = np.uint8(min(blue, 255))
                    depth[row, column] = far
                    labels[row, column] = label
