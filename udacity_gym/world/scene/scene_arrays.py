"""A scene in the form that kernels read: large arrays, and records of single numbers.

Everything that both sides need to know about these arrays is here: `scenery` fills them, `rendering` draws
them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from udacity_gym.world.jit import F
from udacity_gym.world.records import Rgb, Vector

LINE_X, LINE_Y, LINE_COSINE, LINE_SINE, LINE_CURVATURE = range(5)
"""Columns of the centre-line table: m east, m north, cosine and sine of the heading, 1/m (positive bends
left)."""
LINE_FIELDS = 5
"""Columns of the centre-line table."""

LINED, STRIPED, COBBLED, RAISED = 24, 25, 26, 27
"""Bits of what is beside a sample: edge line, red and white kerb, bridge, concrete kerb. Below them are three
bytes, the colour of the concrete; on a bridge the distance of its wall in units of `WALL_UNIT`."""
WALL_UNIT = F(2.0**-21)
"""m; three bytes of it reach up to 8 m, and hold any float32 from 4 m on exactly."""

PAINT_STEP, PAINT_MARGIN = 0.1, 60.0
"""m between two entries of the table of paint on the centre line; m that it goes on before the start and
behind the end of the lap, for pixels that show both."""

SLOPE_UNIT = F(2.0**-12)
"""m per m, unit of `SceneArrays.slopes`."""

TINT_REACH, TINT_STEP = 7.0, 0.05
"""m from the middle of the road to either end of the table of tints; m between two of its entries."""
TINT_UNIT = F(1.0 / 170.0)
"""Unit of the factors in the table of tints, which are bytes and so reach up to 1.5."""

FULL_SUN = 150.0
"""Value of a cell of the light map on which the sun shines as on level ground."""


class Land(NamedTuple):
    """The grid of the ground, one node per m; its arrays are (rows * columns,), row by row from the south.

    Attributes:
        west, south: m, position of the first node.
        east_end, north_end: last column and last row that a point may be in, so that it has four neighbours.
        columns: nodes in a row.
        water: m, level of the water.
        smooth: 1 where patterns of the ground are smooth between their texels, 0 where squares can be seen.
    """

    west: F
    south: F
    east_end: F
    north_end: F
    columns: F
    water: F
    smooth: F


class Road(NamedTuple):
    """The road's cross-section and markings; distances in m from the centre line, the same on both sides.

    Attributes:
        line_inner, gap_inner, gap_outer, line_outer: an edge line's inner side, the inner and outer side of
            the gap between its two stripes, and its outer side. A single line has no gap.
        bars_inner, bars_outer: sides of the red and white bars.
        centre_inner, centre_outer: sides of the centre line's right-hand stripe; outer is 0 without a line.
        edge: edge of the road, where the concrete kerb begins.
        kerb_top: where the concrete kerb ends; the edge of the road without one.
        kerb_rise: m, height of the concrete kerb; 0 without one.
        dust_from, dust_to: m along the track between which there is dirt on it; the first is larger without.
        bordered: 1 where there are kerbs or dirt roads join, 0 where the road has nothing outside its lines.
        farthest_wall: the farthest wall of a bridge, 0 without bridges.
        asphalt_texels, asphalt_texels_across: texels of asphalt per m along the road and across it.
        cobble_texels, cobble_texels_across: texels of cobblestones per m along the road and across it.
        spacing: m between two samples of the centre line.
    """

    line_inner: F
    gap_inner: F
    gap_outer: F
    line_outer: F
    bars_inner: F
    bars_outer: F
    centre_inner: F
    centre_outer: F
    edge: F
    kerb_top: F
    kerb_rise: F
    dust_from: F
    dust_to: F
    bordered: F
    farthest_wall: F
    asphalt_texels: F
    asphalt_texels_across: F
    cobble_texels: F
    cobble_texels_across: F
    spacing: F


class Gloss(NamedTuple):
    """How the brightness of a surface depends on the directions to the camera and to the sun.

    Attributes:
        grazing: what is added where one looks along the surface.
        backward: what is added there besides with the sun behind the camera.
        mirror: how bright the blurred image of the sun in the surface is.
        roughness: how blurred that image is, [0, 1].

    See `paint.reflection`. The first is relative to `Material.colour`, the next two to `Material.sunlit`.
    """

    grazing: F
    backward: F
    mirror: F
    roughness: F


class Material(NamedTuple):
    """A surface with a pattern.

    Attributes:
        colour: RGB in [0, 255] in diffuse light.
        sunlit: RGB of the sunlight that comes back besides, see `paint.reflection`.
        spread: standard deviation of its pattern relative to that.
        gloss: how its brightness depends on directions.
    """

    colour: Rgb
    sunlit: Rgb
    spread: F
    gloss: Gloss


class Paint(NamedTuple):
    """A line on the asphalt; what is seen is ``colour + through * asphalt``.

    Attributes:
        colour: RGB of the paint times the share that is left of it.
        through: shares of the asphalt that show through.
    """

    colour: Rgb
    through: Rgb


class Palette(NamedTuple):
    """Colours of the road.

    Attributes:
        asphalt, cobblestones: the two road surfaces.
        inner_stripe, outer_stripe: the two stripes of an edge line; a single line is an inner stripe.
        edge_line_gap: what lies between the two stripes of an edge line, relative to asphalt.
        red_bar, white_bar: the red and white kerb near by.
        far_bars: the red and white kerb where single bars can no longer be told apart.
        dirt: what lies on a dusty road, and on the edge of the road where a dirt road joins.
        concrete: the concrete kerb where it faces across the direction to the sun.
        centre_line: paint of the centre line.
    """

    asphalt: Material
    cobblestones: Material
    inner_stripe: Paint
    outer_stripe: Paint
    edge_line_gap: Rgb
    red_bar: Rgb
    white_bar: Rgb
    far_bars: Rgb
    dirt: Rgb
    concrete: Rgb
    centre_line: Rgb


class Air(NamedTuple):
    """Fog, sky and sunlight; `daylight` makes it, `weather` changes it.

    Attributes:
        fog: RGB of the fog.
        fog_start: m at which fog begins.
        fog_scale: 1/m, inverse of the length over which it becomes complete.
        horizon, zenith: RGB of the sky; above 255 the image saturates.
        sky_scale: inverse of the sine of the height over which the horizon's colour turns into the zenith's.
        sun: unit vector to the sun; where clouds hide it, its horizontal part is shorter.
        ambient: share of the light, by colour, that comes from the sky and is left in the shade.
        gentle: rise per m below which slopes hardly look darker away from the sun or lighter towards it.
    """

    fog: Rgb
    fog_start: F
    fog_scale: F
    horizon: Rgb
    zenith: Rgb
    sky_scale: F
    sun: Vector
    ambient: Rgb
    gentle: F


class LightFrame(NamedTuple):
    """Where the light map lies.

    Attributes:
        west, south: m, position of the first cell's middle.
        cells_per_metre: 1/m.
        east_end, north_end: last column and last row that a point may be in, so that it has four neighbours.
        columns: cells in a row; 0 in scenes without shadows, which have no map.
    """

    west: F
    south: F
    cells_per_metre: F
    east_end: F
    north_end: F
    columns: F


class Deck(NamedTuple):
    """A bridge that carries the road over something: a straight level rectangle.

    Attributes:
        x, y, z: m, middle of the road where the bridge begins, and height of its surface.
        cosine, sine: of the road's heading.
        length, half_width: m.
        s: m along the track at which it begins.
    """

    x: F
    y: F
    z: F
    cosine: F
    sine: F
    length: F
    half_width: F
    s: F


class Card(NamedTuple):
    """A plant or a rock: a picture that always faces the camera.

    Attributes:
        x, y, z: m, its foot.
        width, height: m.
        variant: index of its picture, see `cards.Kind`.
    """

    x: F
    y: F
    z: F
    width: F
    height: F
    variant: F


class SceneArrays(NamedTuple):
    """A scene as kernels take it. Records are packed, see `records`; lengths in m, colours RGB in [0, 255].

    Attributes:
        land: `Land`, packed.
        heights: (nodes,) float32 m, height of the ground.
        slopes: (nodes,) int32, rise of the ground to the east (lower half) and north, in `SLOPE_UNIT`.
        colours: (nodes,) int32, colour of the ground, red lowest; the highest byte is its roughness.
        nearest: (nodes,) uint16, centre-line sample nearest to each node.
        road: `Road`, packed.
        line: (samples * LINE_FIELDS,) float32, the centre-line table, columns `LINE_X` and so on.
        sides: (samples * 2,) int32, what is left and right of each sample, bits `LINED` and so on.
        bars: (samples * 2,) float32, red and white bars from the start of the lap to each sample, one of each
            counting as 1, and how many per m follow.
        dust: (samples,) float32 in [0, 1], share of the road that dirt covers.
        paint: (n,) float32, m of paint on the centre line from the start to each position, every `PAINT_STEP`
            m from `PAINT_MARGIN` before the start to as much behind the end.
        palette: `Palette`, packed.
        tints: (n,) int32, how the colour of asphalt changes across the road, every `TINT_STEP` m from
            `TINT_REACH` m left of its middle to as much right of it: factors of red (lowest byte), green and
            blue, in `TINT_UNIT`. Empty where it does not change.
        textures: (3 * textures.SIZE,) float32, patterns of asphalt, cobblestones and ground.
        air: `Air`, packed.
        light_frame: `LightFrame`, packed.
        light: (cells,) int32, see `shadows.LightMap`.
        cards: (n, 6) float32, a `Card` in each row.
        card_texels: (variants * cards.CARD,) int32, the cards' pictures, see `cards.pack_card`.
        card_labels: (variants,) uint8, what each variant is, see `sensors.Label`.
        faces: (n, faces.FIELDS) float32, what has edges, see `faces`.
        decks: (n, 8) float32, a `Deck` in each row.
    """

    land: NDArray[np.float32]
    heights: NDArray[np.float32]
    slopes: NDArray[np.int32]
    colours: NDArray[np.int32]
    nearest: NDArray[np.uint16]
    road: NDArray[np.float32]
    line: NDArray[np.float32]
    sides: NDArray[np.int32]
    bars: NDArray[np.float32]
    dust: NDArray[np.float32]
    paint: NDArray[np.float32]
    palette: NDArray[np.float32]
    tints: NDArray[np.int32]
    textures: NDArray[np.float32]
    air: NDArray[np.float32]
    light_frame: NDArray[np.float32]
    light: NDArray[np.int32]
    cards: NDArray[np.float32]
    card_texels: NDArray[np.int32]
    card_labels: NDArray[np.uint8]
    faces: NDArray[np.float32]
    decks: NDArray[np.float32]
