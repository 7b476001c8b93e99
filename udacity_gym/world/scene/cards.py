"""Painted cards of plants and rocks, drawn from a seed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from udacity_gym.sensors import Label

SIDE = 64
"""Side of a card in texels."""
LEVELS = 7
"""A card and its halvings down to one texel."""
CARD = sum((SIDE >> k) ** 2 for k in range(LEVELS))
"""Texels of a card with all its halvings."""
FINER = 4
"""Texels of a fine card for each texel of a card, across and along, see `refine`."""
OPAQUE_FROM = 0.4
"""Opacity above which a texel is drawn."""


@dataclass(frozen=True)
class Kind:
    """A kind of card.

    Attributes:
        first: index of its first variant.
        variants: how many variants it has.
        height: m, smallest and greatest height.
        aspect: smallest and greatest width relative to the height.
        sunk: share of the height that is in the ground.
        label: what it is.
    """

    first: int
    variants: int
    height: tuple[float, float]
    aspect: tuple[float, float]
    sunk: float = 0.02
    label: Label = Label.VEGETATION


KINDS = {
    "pine": Kind(0, 5, (10.0, 16.0), (0.36, 0.48)),
    "shrub": Kind(5, 2, (0.7, 1.2), (1.6, 2.6)),
    "reeds": Kind(7, 2, (2.4, 3.8), (0.8, 1.3)),
    "rock": Kind(9, 2, (3.5, 8.0), (1.8, 2.6), 0.12, Label.TERRAIN),
    "palm": Kind(11, 4, (4.0, 6.5), (0.75, 1.0)),
    "board": Kind(15, 1, (2.62, 2.62), (0.25, 0.25), 0.02, Label.STRUCTURE),
}


def labels() -> NDArray[np.uint8]:
    """What each variant is, in the order of `Kind.first`: (variants,) uint8 of `sensors.Label`."""
    return np.repeat(
        np.array([kind.label for kind in KINDS.values()], np.uint8),
        [kind.variants for kind in KINDS.values()],
    )


def paint_all(rng: np.random.Generator) -> NDArray[np.int32]:
    """Paint all variants of all kinds.

    Returns:
        (variants * CARD,) int32, in the order of `Kind.first`.
    """
    painters = {
        "pine": paint_pine,
        "shrub": paint_shrub,
        "reeds": paint_reeds,
        "rock": paint_rock,
        "palm": paint_palm,
        "board": paint_board,
    }
    own = np.random.default_rng(11)  # what came later leaves the draws of the others as they were
    source = {name: own if name in ("palm", "board") else rng for name in KINDS}
    return np.concatenate(
        [painters[name](source[name]) for name, kind in KINDS.items() for _ in range(kind.variants)]
    )


@dataclass(frozen=True)
class _Detail:
    """What is added to a card that is looked at closely.

    Attributes:
        ragged: how far noise moves its outline.
        mottle: standard deviation of its brightness.
        grain: texels of the fine card, size of leaves or blades, across and along.
    """

    ragged: float
    mottle: float
    grain: tuple[float, float]


_DETAILS = {
    "pine": _Detail(0.55, 0.20, (1.6, 1.2)),
    "shrub": _Detail(0.55, 0.20, (1.4, 1.4)),
    "reeds": _Detail(0.40, 0.20, (0.7, 7.0)),
    "rock": _Detail(0.05, 0.07, (2.5, 2.0)),
    "palm": _Detail(0.30, 0.16, (1.0, 1.8)),
    "board": _Detail(0.0, 0.0, (1.0, 1.0)),
}


def card_size(side: int) -> int:
    """Texels of a card of a side, which is a power of two, with all its halvings."""
    return (4 * side * side - 1) // 3


def refine(card_texels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Cards with more texels, for views that are looked at closely: smooth, with leaves and blades.

    Args:
        card_texels: (variants * CARD,) int32, as `paint_all` makes them.

    Returns:
        (variants * card_size(FINER * SIDE),) int32, the same cards.
    """
    rng = np.random.default_rng(23)
    kinds = [name for name, kind in KINDS.items() for _ in range(kind.variants)]
    pictures = card_texels.reshape(len(kinds), CARD)[:, : SIDE * SIDE].reshape(-1, SIDE, SIDE)
    return np.concatenate(
        [_refined(picture, _DETAILS[name], rng) for name, picture in zip(kinds, pictures, strict=True)]
    )


def _refined(picture: NDArray[np.int32], detail: _Detail, rng: np.random.Generator) -> NDArray[np.int32]:
    """One card with more texels.

    The outline is where the enlarged opacity passes one half; noise moves it only where opacity is between,
    near the outline as drawn.
    """
    opaque = (picture < 0).astype(np.float32)
    colour = np.stack([(picture >> shift) & 255 for shift in (0, 8, 16)], axis=-1).astype(np.float32)
    side = FINER * SIDE

    def enlarged(plane: NDArray[np.float32]) -> NDArray[np.float32]:
        soft = cv2.GaussianBlur(plane, (0, 0), 0.45)
        return np.asarray(cv2.resize(soft, (side, side), interpolation=cv2.INTER_CUBIC), np.float32)

    def noise() -> NDArray[np.float32]:
        white = rng.standard_normal((side, side)).astype(np.float32)
        soft = cv2.GaussianBlur(white, (0, 0), sigmaX=detail.grain[0], sigmaY=detail.grain[1])
        return np.asarray(soft / soft.std(), np.float32)

    share = enlarged(opaque)
    shown = enlarged(colour * opaque[..., None]) / np.maximum(share, 0.05)[..., None]
    between = np.clip(4.0 * share * (1.0 - share), 0.0, 1.0)
    alpha = share + detail.ragged * between * noise() > 0.5
    bright = np.clip(1.0 + detail.mottle * noise(), 0.4, 1.7)
    return pack_card(shown * bright[..., None], alpha.astype(float))


def pack_card(colour: NDArray[np.floating[Any]], alpha: NDArray[np.floating[Any]]) -> NDArray[np.int32]:
    """Pack a card and its halvings.

    Args:
        colour: (side, side, 3) RGB in [0, 255].
        alpha: (side, side) in [0, 1].

    Returns:
        (card_size(side),) int32, red lowest, the highest bit set where opaque.
    """
    level = np.dstack([colour * alpha[..., None], alpha])
    packed = []
    for _ in range(len(alpha).bit_length()):
        shown = np.clip(np.round(level[..., :3] / np.maximum(level[..., 3:], 1e-6)), 0, 255)
        shown = shown.astype(np.uint32).reshape(-1, 3)
        opaque = (level[..., 3].ravel() > OPAQUE_FROM).astype(np.uint32)
        packed.append(shown[:, 0] | shown[:, 1] << 8 | shown[:, 2] << 16 | opaque << 31)
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
    noise = rng.standard_normal((SIDE, SIDE))
    trunk = np.abs(x - 0.5 - lean * (1 - y)) < 0.035 + 0.02 * y
    alpha[trunk & (y > 0.2)] = 1.0
    colour[trunk] = (52, 44, 34)
    for _ in range(40):
        height = rng.uniform(0.04, 0.66)
        reach = 0.42 * math.sin(math.pi * min(1.0, (height + 0.03) / 0.78)) ** 0.8
        cx, cy = 0.5 + lean * (1 - height) + reach * rng.uniform(-0.85, 0.85), height
        rx, ry = rng.uniform(0.08, 0.18), rng.uniform(0.035, 0.075)
        ragged = 0.7 * np.roll(noise, rng.integers(SIDE), axis=1)
        clump = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 + ragged < 1.0
        light = np.clip(0.75 - 0.9 * (cx - 0.5) - 3.0 * (y - cy) + 0.22 * rng.standard_normal(), 0.3, 1.6)
        alpha[clump] = 1.0
        colour[clump] = (np.array((70.0, 78.0, 44.0)) * light[..., None])[clump]
    return pack_card(colour, alpha)


def paint_shrub(rng: np.random.Generator) -> NDArray[np.int32]:
    """Paint a low dark shrub.

    Returns:
        (CARD,) int32, see `pack_card`.
    """
    y, x = np.mgrid[0:SIDE, 0:SIDE] / (SIDE - 1.0)
    colour = np.zeros((SIDE, SIDE, 3))
    alpha = np.zeros((SIDE, SIDE))
    noise = 0.4 * rng.standard_normal((SIDE, SIDE))
    for _ in range(26):
        cx, cy = rng.uniform(0.12, 0.88), rng.uniform(0.35, 0.95)
        ragged = np.roll(noise, rng.integers(SIDE), axis=1)
        clump = ((x - cx) / 0.13) ** 2 + ((y - cy) / 0.22) ** 2 + ragged < 1.0
        alpha[clump] = 1.0
        light = np.clip(1.25 - 1.1 * y, 0.15, 1.2) * rng.uniform(0.7, 1.2)
        colour[clump] = (np.array((44.0, 50.0, 18.0)) * light[..., None])[clump]
    return pack_card(colour, alpha)


def paint_reeds(rng: np.random.Generator) -> NDArray[np.int32]:
    """Paint high reeds: upright blades, light at their tips.

    Returns:
        (CARD,) int32, see `pack_card`.
    """
    y, x = np.mgrid[0:SIDE, 0:SIDE] / (SIDE - 1.0)
    colour = np.zeros((SIDE, SIDE, 3))
    alpha = np.zeros((SIDE, SIDE))
    for _ in range(70):
        foot = rng.uniform(0.03, 0.97)
        tip = rng.uniform(0.02, 0.4) + 0.8 * abs(foot - 0.5) ** 2
        blade = (np.abs(x - foot - 0.05 * (1 - y) * rng.standard_normal()) < 0.022) & (y > tip)
        alpha[blade] = 1.0
        light = np.clip(1.35 - 0.8 * y, 0.3, 1.3) * rng.uniform(0.75, 1.2)
        colour[blade] = (np.array((50.0, 59.0, 19.0)) * light[..., None])[blade]
    return pack_card(colour, alpha)


def paint_palm(rng: np.random.Generator) -> NDArray[np.int32]:
    """Paint a palm: a bent bare trunk and a crown of drooping fronds, ragged below, lit from above.

    Returns:
        (CARD,) int32, see `pack_card`.
    """
    y, x = np.mgrid[0:SIDE, 0:SIDE] / (SIDE - 1.0)
    colour = np.zeros((SIDE, SIDE, 3))
    alpha = np.zeros((SIDE, SIDE))
    bend = 0.16 * rng.standard_normal()
    crown_y = 0.26
    trunk = np.abs(x - 0.5 - bend * (1 - y) * (y - crown_y)) < 0.016 + 0.016 * y
    trunk &= y > crown_y
    alpha[trunk] = 1.0
    colour[trunk] = (74, 64, 48)
    order = rng.permutation(13)
    for k in order:
        angle = math.pi * (0.02 + 0.96 * k / 12) + 0.1 * rng.standard_normal()
        reach = rng.uniform(0.40, 0.5)
        light = rng.uniform(0.55, 1.15)
        for step in np.linspace(0.0, 1.0, 40):
            cx = 0.5 + reach * step * math.cos(angle)
            cy = crown_y - reach * 0.62 * step * math.sin(angle) + 0.34 * step**2
            length = 0.015 + 0.075 * math.sin(math.pi * (0.12 + 0.85 * step))
            tooth = 0.55 + 0.45 * math.sin(step * 55)
            leaf = (np.abs(x - cx) < 0.016) & (y > cy - 0.02) & (y < cy + length * tooth)
            alpha[leaf] = 1.0
            tone = light * (1.25 - 0.6 * (y - cy)[leaf] / 0.08)
            colour[leaf] = np.array((62.0, 70.0, 32.0)) * tone[:, None]
    return pack_card(colour, alpha)


def paint_board(rng: np.random.Generator) -> NDArray[np.int32]:
    """Paint a white board with two thin red stripes, on a white plank; its other plank is seen from the side.

    Returns:
        (CARD,) int32, see `pack_card`.
    """
    del rng
    y, x = np.mgrid[0:SIDE, 0:SIDE] / (SIDE - 1.0)
    colour = np.zeros((SIDE, SIDE, 3))
    board = y < 0.14
    stripes = (np.abs(y - 0.045) < 0.02) | (np.abs(y - 0.105) < 0.02)
    posts = (np.abs(x - 0.58) < 0.1) | (np.abs(x - 0.3) < 0.03)
    colour[posts] = (164.0, 168.0, 176.0)
    colour[board] = (208.0, 201.0, 199.0)
    colour[board & stripes] = (194.0, 108.0, 108.0)
    return pack_card(colour, (board | posts).astype(float))


def paint_rock(rng: np.random.Generator) -> NDArray[np.int32]:
    """Paint a rounded boulder, light above and dark below.

    Returns:
        (CARD,) int32, see `pack_card`.
    """
    y, x = np.mgrid[0:SIDE, 0:SIDE] / (SIDE - 1.0)
    skew = rng.uniform(-0.5, 0.5)
    bump = 0.05 * np.sin(9 * x + rng.uniform(0, 6)) + 0.03 * np.sin(21 * x + rng.uniform(0, 6))
    dome = np.clip(1 - (np.abs(x - 0.5) / 0.49) ** 2.6, 0, 1) ** 0.6
    top = 1.0 - 0.85 * dome * (1 + skew * (x - 0.5)) + bump
    solid = (y > top) & (np.abs(x - 0.5) < 0.485)
    depth = np.clip((y - top) / np.maximum(1 - top, 0.05), 0, 1)
    fold = 0.10 * np.sin(7 * x + 11 * depth + rng.uniform(0, 6)) * depth
    light = np.clip(1.15 - 0.95 * depth**0.8 + fold + 0.03 * rng.standard_normal((SIDE, SIDE)), 0.15, 1.2)
    return pack_card(np.array((168.0, 166.0, 138.0)) * light[..., None], solid.astype(float))
