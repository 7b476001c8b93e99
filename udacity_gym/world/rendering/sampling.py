"""Look-ups in the scene's arrays: patterns, the grid of the ground, the roadside, packed colours."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped, unused-ignore]
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from udacity_gym.world.jit import F, index, inline
from udacity_gym.world.records import Rgb
from udacity_gym.world.scene.scene_arrays import PAINT_MARGIN, PAINT_STEP, Land
from udacity_gym.world.scene.textures import LEVELS, STRIDE, TEXELS

PATTERN_FADE = F(0.27)
"""Share of its contrast that a pattern like asphalt loses from one halving to the next."""
RED, GREEN, BLUE = np.uint64(0), np.uint64(1), np.uint64(2)
"""Channels of an image."""

_ZERO = F(0.0)
_ONE = F(1.0)
_BIAS = F(1 << 14)  # makes coordinates positive, so that truncation rounds them down


class Cell(NamedTuple):
    """A place in a grid.

    Attributes:
        node: index of the node south-west of it.
        east, north: [0, 1] m from that node.
    """

    node: np.int32
    east: F
    north: F


class Texels(NamedTuple):
    """The four texels around a place in a pattern.

    Attributes:
        low_left, low_right, high_left, high_right: their indices.
        across, up: [0, 1] the place's share of the way to the right and to the upper ones.
        contrast: factor that leads over to the next halving.
    """

    low_left: np.uint64
    low_right: np.uint64
    high_left: np.uint64
    high_right: np.uint64
    across: F
    up: F
    contrast: F


@inline
def channel(packed: np.int32, shift: int) -> F:
    """One of the bytes of a packed colour as a number: red has the shift 0, green 8, blue 16."""
    return F(np.int32((packed >> shift) & np.int32(255)))


@inline
def rgb(packed: np.int32) -> Rgb:
    """The colour in an integer's three lower bytes."""
    return Rgb(channel(packed, 0), channel(packed, 8), channel(packed, 16))


@inline
def flag(packed: np.int32, bit: int) -> F:
    """One bit as 0.0 or 1.0."""
    return F(np.int32((packed >> bit) & np.int32(1)))


@intrinsic  # type: ignore[misc, unused-ignore]
def _load_pair(typing_context: Any, array: Any, first: Any) -> Any:
    """`load_pair` in machine code: a load of 64 bits, which is then cut in halves."""
    if array.dtype.bitwidth != 32 or array.ndim != 1 or array.layout != "C":
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        both, one = ir.IntType(64), ir.IntType(32)
        data = context.make_array(array)(context, builder, arguments[0]).data
        place = builder.gep(data, [arguments[1]], inbounds=True)
        pair = builder.load(builder.bitcast(place, both.as_pointer()), align=4)
        halves = (builder.trunc(pair, one), builder.trunc(builder.lshr(pair, both(32)), one))
        kind = context.get_value_type(array.dtype)
        return context.make_tuple(
            builder, signature.return_type, [builder.bitcast(half, kind) for half in halves]
        )

    pair_type: Any = types.UniTuple
    return pair_type(array.dtype, 2)(array, first), generate


@inline
def load_pair(array: NDArray[np.float32], first: np.uint64) -> tuple[F, F]:
    """Two elements of an array that follow each other, loaded as one.

    Fetching elements for the lanes of a vector takes as long as there are elements, however large they are.

    Args:
        array: (n,) float32.
        first: index of the first of the two.
    """
    read: Any = _load_pair
    pair: tuple[F, F] = read(array, first)
    return pair


@inline
def cell_of(land: Land, x: F, y: F) -> Cell:
    """The cell of the ground's grid that a point is in; points outside the grid are moved to its edge.

    Args:
        land: the grid.
        x: m east of the grid's first node.
        y: m north of it.
    """
    x = min(max(x, _ZERO), land.east_end)
    y = min(max(y, _ZERO), land.north_end)
    column = np.int32(x)
    row = np.int32(y)
    return Cell(np.int32(row * np.int32(land.columns) + column), x - F(column), y - F(row))


@inline
def height_at(heights: NDArray[np.float32], land: Land, x: F, y: F) -> F:
    """Height of the ground in m at a point, bilinear between nodes; arguments as of `cell_of`."""
    cell = cell_of(land, x, y)
    node, columns = cell.node, np.int32(land.columns)
    south_west, south_east = heights[index(node)], heights[index(node + np.int32(1))]
    north_west = heights[index(node + columns)]
    north_east = heights[index(node + columns + np.int32(1))]
    return _between(cell, south_west, south_east, north_west, north_east)


@inline
def height_by_pairs(heights: NDArray[np.float32], land: Land, x: F, y: F) -> F:
    """`height_at` with nodes loaded in pairs, which is quicker where little else is computed.

    Vectors of pairs are half as long, so what is computed together with them may be rounded differently.
    """
    cell = cell_of(land, x, y)
    south_west, south_east = load_pair(heights, index(cell.node))
    north_west, north_east = load_pair(heights, index(cell.node + np.int32(land.columns)))
    return _between(cell, south_west, south_east, north_west, north_east)


@inline
def _between(cell: Cell, south_west: F, south_east: F, north_west: F, north_east: F) -> F:
    """Bilinear interpolation between the nodes of a cell."""
    south = south_west + cell.east * (south_east - south_west)
    north = north_west + cell.east * (north_east - north_west)
    return south + cell.north * (north - south)


@inline
def texel(start: int, x: F, y: F, footprint: F) -> np.uint64:
    """Index of the texel at a place, in the halving whose texels are about as large as the footprint.

    Args:
        start: index of the pattern's first texel.
        x: texels of the full tile, any number above -2**14.
        y: the same, across.
        footprint: extent of the pixel in texels of the full tile.
    """
    # The exponent of a float32 is the integer part of its logarithm to base 2.
    level = min(max(np.int32((F(footprint).view(np.int32) >> 23) - 127), np.int32(0)), np.int32(LEVELS - 1))
    side = np.int32(TEXELS >> level)
    shrink = F(side) * F(1.0 / TEXELS)
    column = np.int32(np.int32(x * shrink + _BIAS) & (side - 1))
    row = np.int32(np.int32(y * shrink + _BIAS) & (side - 1))
    return index(row * np.int32(STRIDE) + np.int32(start) + np.int32(STRIDE - (STRIDE >> level)) + column)


@inline
def texels(start: int, x: F, y: F, footprint: F) -> Texels:
    """The four texels around a place, as graphics cards look a pattern up without blending its halvings.

    Args:
        start: index of the pattern's first texel.
        x: texels of the full tile, any number above -2**14.
        y: the same, across.
        footprint: extent of the pixel in texels of the full tile.
    """
    bits = F(max(footprint, _ONE)).view(np.int32)
    level = min((bits >> 23) - np.int32(127), np.int32(LEVELS - 1))
    # The mantissa, [1, 2): how far the footprint is on its way to the next halving, whose contrast is less.
    mantissa = np.int32((bits & 0x7FFFFF) | 0x3F800000).view(np.float32)
    contrast = _ONE - PATTERN_FADE * (mantissa - _ONE)
    side = np.int32(TEXELS >> level)
    shrink = F(side) * F(1.0 / TEXELS)
    u, v = x * shrink + _BIAS, y * shrink + _BIAS
    left, low = np.int32(u), np.int32(v)
    mask = np.int32(side - 1)
    begin = np.int32(start) + np.int32(STRIDE - (STRIDE >> level))
    column, next_column = begin + (left & mask), begin + ((left + np.int32(1)) & mask)
    row, next_row = (low & mask) * np.int32(STRIDE), ((low + np.int32(1)) & mask) * np.int32(STRIDE)
    return Texels(
        low_left=index(row + column),
        low_right=index(row + next_column),
        high_left=index(next_row + column),
        high_right=index(next_row + next_column),
        across=u - F(left),
        up=v - F(low),
        contrast=contrast,
    )


@inline
def pattern(textures: NDArray[np.float32], near: Texels) -> F:
    """A pattern between its texels, in standard deviations and without the contrast of `Texels`."""
    low = textures[near.low_left] + near.across * (textures[near.low_right] - textures[near.low_left])
    high = textures[near.high_left] + near.across * (textures[near.high_right] - textures[near.high_left])
    return low + near.up * (high - low)


@inline
def painted(paint: NDArray[np.float32], s: F) -> F:
    """Metres of paint on the centre line from the start of the lap to a position, see `SceneArrays.paint`."""
    last = np.int32(paint.shape[0] - 2)
    place = max((s + F(PAINT_MARGIN)) * F(1.0 / PAINT_STEP), _ZERO)
    entry = min(np.int32(place), last)
    rest = min(place - F(entry), _ONE)
    before = paint[index(entry)]
    return before + rest * (paint[index(entry + np.int32(1))] - before)


@inline
def _sample_at(count: int, inverse_spacing: F, s: F) -> np.int32:
    """The sample of the centre line, of so many, at or just before a position."""
    return min(max(np.int32(s * inverse_spacing), np.int32(0)), np.int32(count - 1))


@inline
def dust_at(dust: NDArray[np.float32], inverse_spacing: F, s: F) -> F:
    """Share of the road that dirt covers at a position, see `SceneArrays.dust` and `roadside`."""
    return dust[index(_sample_at(dust.shape[0], inverse_spacing, s))]


@inline
def bars_at(table: NDArray[np.float32], spacing: F, inverse_spacing: F, s: F) -> tuple[F, F]:
    """Red and white bars from the start of the lap to a position, and how many there are per m.

    Args:
        table: ``bars`` of `SceneArrays`.
        spacing: m between samples of the centre line.
        inverse_spacing: 1/m, samples of the centre line per m.
        s: m along the track.
    """
    sample = _sample_at(table.shape[0] // 2, inverse_spacing, s)
    density = table[index(sample * np.int32(2) + np.int32(1))]
    return table[index(sample * np.int32(2))] + (s - F(sample) * spacing) * density, density


@inline
def roadside(sides: NDArray[np.int32], inverse_spacing: F, s: F, right: np.int32) -> np.int32:
    """What is beside the road at a place: the bits `scene_arrays.LINED` and so on.

    Args:
        sides: of `SceneArrays`.
        inverse_spacing: 1/m, samples of the centre line per m.
        s: m along the track.
        right: 1 for the right-hand side, 0 for the left.
    """
    sample = _sample_at(sides.shape[0] // 2, inverse_spacing, s)
    return sides[index(sample * np.int32(2) + right)]
