"""What the images show, from a track file: road, land, plants, and everything that stands upright.

A `Scene` is built from the track file alone, deterministically; scenes are shared between renderers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from udacity_gym.world.jit import F
from udacity_gym.world.records import Rgb, pack
from udacity_gym.world.scene import textures
from udacity_gym.world.scene.cards import labels
from udacity_gym.world.scene.daylight import Daylight
from udacity_gym.world.scene.furniture import DECK_EDGE, DECK_RISE, build, deck_outlines, outlines, plant
from udacity_gym.world.scene.land import lay_land, pack_colours
from udacity_gym.world.scene.scene_arrays import (
    COBBLED,
    LINE_COSINE,
    LINE_CURVATURE,
    LINE_FIELDS,
    LINE_SINE,
    LINE_X,
    LINE_Y,
    LINED,
    PAINT_MARGIN,
    PAINT_STEP,
    RAISED,
    SLOPE_UNIT,
    STRIPED,
    TINT_REACH,
    TINT_STEP,
    TINT_UNIT,
    WALL_UNIT,
    Air,
    Deck,
    Gloss,
    Land,
    Material,
    Paint,
    Palette,
    Road,
    SceneArrays,
)
from udacity_gym.world.scene.shadows import light_map, no_light, seen_from_afar
from udacity_gym.world.scene.terrain import Grid
from udacity_gym.world.scene.view_scene import for_views
from udacity_gym.world.track.track import Track
from udacity_gym.world.track.track_file import (
    BARS,
    EDGE_LINE,
    Bars,
    Dust,
    Line,
    Road as RoadOfFile,
    Surroundings,
)

KERB_DEPTH, KERB_RISE = 1.2, 0.3
"""m from the foot of the concrete kerb, at the edge of the road, to its top; its height."""
LINE_WIDTH = 0.075
"""m, one of the two stripes of a double centre line."""
STRIPE_SHARE = 0.21
"""Share of a double edge line's width that each of its two stripes has."""
PAINTS = {"yellow": (184.0, 172.0, 82.0), "white": (228.0, 226.0, 220.0)}
"""RGB of road markings."""
WORN = {
    "yellow": (
        Paint(Rgb.of((149.0, 141.0, 66.0)), Rgb.of((0.43, 0.43, 0.43))),
        Paint(Rgb.of((70.0, 63.0, 24.0)), Rgb.of((0.72, 0.72, 0.72))),
    ),
    "white": (
        Paint(Rgb.of((145.0, 145.0, 143.0)), Rgb.of((0.43, 0.43, 0.43))),
        Paint(Rgb.of((70.0, 70.0, 69.0)), Rgb.of((0.72, 0.72, 0.72))),
    ),
}
"""Inner and outer stripe of a double edge line, whose paint is worn; the white one is a guess."""
STRIPES_INSIDE, STRIPES_CLEAR = 0.38, 0.04
"""Share of a double edge line's width that the red and white kerb covers, with its outer stripe; m that it
ends before the edge of the road."""
KERB_FACINGS = (-1.0, -0.5, 0.0, 0.5, 1.0)
KERB_COLOURS = (
    (2.15, ((94, 105, 100), (127, 133, 124), (172, 172, 152), (224, 216, 184), (252, 248, 210))),
    (5.03, ((110, 118, 111), (150, 153, 138), (200, 199, 174), (248, 245, 214), (253, 253, 236))),
)
"""Colour of the left and of the right concrete kerb by the heading of the road: the heading in rad, relative
to the direction of the sun, at which the kerb is lightest, and RGB by the cosine of the angle from there."""
ASPHALT_TEXELS, ASPHALT_TEXELS_ACROSS = 24.0, 48.0
COBBLE_TEXELS, COBBLE_TEXELS_ACROSS = 28.0, 76.0
"""Texels per m of the road's patterns, along the road and across it; cobblestones are 0.48 m long and 0.24 m
wide."""
BLACK = Rgb.of((0.0, 0.0, 0.0))


def _asphalt(road: RoadOfFile | type[RoadOfFile]) -> Material:
    """The asphalt of a track file; of the class, its default."""
    sunlit = [channel * tint for channel, tint in zip(road.colour, road.sunlight, strict=True)]
    return Material(Rgb.of(road.colour), Rgb.of(sunlit), F(road.grain), Gloss(*map(F, road.gloss)))


PALETTE = Palette(
    asphalt=_asphalt(RoadOfFile),
    cobblestones=Material(
        Rgb.of((135.1, 121.4, 108.9)),
        Rgb.of((144.6, 135.5, 111.5)),
        F(0.35),
        Gloss(F(-0.292), F(0.988), F(0.151), F(0.215)),
    ),
    inner_stripe=WORN["yellow"][0],
    outer_stripe=WORN["yellow"][1],
    edge_line_gap=Rgb.of((0.66, 0.61, 0.58)),
    red_bar=Rgb.of((232.0, 103.0, 91.0)),
    white_bar=Rgb.of((254.0, 246.0, 218.0)),
    far_bars=Rgb.of((236.0, 206.0, 181.0)),
    dirt=Rgb.of((170.0, 147.0, 109.0)),
    concrete=Rgb.of((165.0, 165.0, 152.0)),
    centre_line=Rgb.of(PAINTS["white"]),
)
"""The lake's road, measured on recordings."""

SLOPE_BLUR = 1.0
"""m over which the slopes of the ground are averaged."""
DRY = -1e9
"""m, the level of water where there is none."""


@dataclass(frozen=True)
class Scene:
    """Everything that can be seen around a track.

    Attributes:
        arrays: what kernels read.
        air: fog, sky and sunlight as the track file has them.
        has_light_map: whether there is a map of the sun's light near the road, see `shadows`.
    """

    arrays: SceneArrays
    air: Air
    has_light_map: bool

    @cached_property
    def for_views(self) -> Scene:
        """The scene for views that people look at, see `view_scene`."""
        return replace(self, arrays=for_views(self.arrays, np.array(self.air.sun, np.float64)))


def scene_of(track: Track) -> Scene:
    """Build the scene around a track, or fetch it if it was built before, for either direction."""
    return _build(json.dumps({**track.data, "direction": "forward"}, sort_keys=True))


@lru_cache(maxsize=4)
def _build(content: str) -> Scene:
    track = Track(json.loads(content))
    rng = np.random.default_rng(track.file.surroundings.seed)
    grid, daylight = Grid.around(track), Daylight.of(track)
    height, colour, rough = lay_land(track, grid, rng, daylight)
    cards, card_texels = plant(track, grid, height, rng)
    lit = no_light(grid)
    if daylight.shadows:
        lit = light_map(track, grid, height, daylight, [*outlines(cards), *deck_outlines(track)])
        colour = seen_from_afar(height, colour, lit.inside, daylight)
    return Scene(
        SceneArrays(
            land=pack(_land(grid, track.file.surroundings)),
            heights=np.ascontiguousarray(height, np.float32).ravel(),
            slopes=_slopes(height),
            colours=pack_colours(colour, rough).ravel(),
            nearest=grid.nearest.ravel(),
            road=pack(_road(track)),
            line=_line(track).ravel(),
            sides=_sides(track, daylight).ravel(),
            bars=_bars(track),
            dust=_dust(track),
            paint=_paint(track),
            palette=pack(_palette(track)),
            tints=_tints(track.file.road),
            textures=_patterns(track.file.road.grain_size, rng),
            air=pack(daylight.air()),
            light_frame=pack(lit.frame),
            light=lit.cells,
            cards=cards,
            card_texels=card_texels,
            card_labels=labels(),
            faces=build(track, grid, height),
            decks=_decks(track),
        ),
        daylight.air(),
        daylight.shadows,
    )


def _land(grid: Grid, surroundings: Surroundings) -> Land:
    """The grid of the ground, and the water on it."""
    rows, columns = grid.nearest.shape
    return Land(
        west=F(grid.west),
        south=F(grid.south),
        east_end=F(columns - 1.01),
        north_end=F(rows - 1.01),
        columns=F(columns),
        water=F(max(surroundings.water_level, DRY)),
        smooth=F(surroundings.smooth_ground),
    )


def _slopes(height: NDArray[np.float32]) -> NDArray[np.int32]:
    """Slopes of the ground, see `SceneArrays`, without the smallest folds."""
    north, east = np.gradient(cv2.GaussianBlur(height, (0, 0), SLOPE_BLUR))
    units = [np.clip(np.round(rise / SLOPE_UNIT), -32768, 32767).astype(np.int32) for rise in (east, north)]
    packed: NDArray[np.int32] = units[0] & 0xFFFF | units[1] << 16
    return packed.ravel()


def _road(track: Track) -> Road:
    """The road's cross-section and markings."""
    edge, line, road = track.half_width, track.lane_half_width, track.file.road
    low, inner, outer = _stripes(road.edge_line)
    middle_low, middle_high = _middle(road.centre_line)
    walls = np.concatenate([track.line.wall_left, track.line.wall_right])
    dirty = track.s[_dust(track) > 0]
    farthest_wall = float(walls[np.isfinite(walls)].max(initial=0.0))
    return Road(
        line_inner=F(line - low),
        gap_inner=F(line - inner),
        gap_outer=F(line - outer),
        line_outer=F(line),
        bars_inner=F(line - (STRIPES_INSIDE * low if road.edge_line.kind == "double" else 0.0)),
        bars_outer=F(edge - STRIPES_CLEAR),
        centre_inner=F(middle_low),
        centre_outer=F(middle_high),
        edge=F(edge),
        kerb_top=F(edge + (KERB_DEPTH if road.kerb else 0.0)),
        kerb_rise=F(KERB_RISE if road.kerb else 0.0),
        dust_from=F(dirty.min(initial=np.inf)),
        dust_to=F(dirty.max(initial=-np.inf) + track.ds),
        bordered=F(road.kerb or any(entry.kind in ("kerb", "dirt_mouth") for entry in track.file.roadside)),
        farthest_wall=F(farthest_wall),
        asphalt_texels=F(ASPHALT_TEXELS),
        asphalt_texels_across=F(ASPHALT_TEXELS_ACROSS),
        cobble_texels=F(COBBLE_TEXELS),
        cobble_texels_across=F(COBBLE_TEXELS_ACROSS),
        spacing=F(track.ds),
    )


def _stripes(line: Line) -> tuple[float, float, float]:
    """Metres from the outer side of an edge line to its inner side, and to the dark between its stripes."""
    if line.kind == "double":
        stripe = STRIPE_SHARE * line.width
        return line.width, line.width - stripe, stripe
    return line.width, 0.0, 0.0


def _middle(line: Line | None) -> tuple[float, float]:
    """Inner and outer side of the centre line's stripes, in m from its middle."""
    if line is None:
        return 0.0, 0.0
    half = 0.5 * line.width
    return (half - LINE_WIDTH if line.kind == "double" else 0.0), half


def _bars(track: Track) -> NDArray[np.float32]:
    """Red and white bars up to each sample, and how many per m follow, see `SceneArrays.bars`."""
    lengths = _along(track, track.file.road.bars or (Bars(0.0, BARS),), track.s + 0.5 * track.ds)
    density = 1.0 / lengths
    before = np.concatenate([[0.0], np.cumsum(density[:-1])]) * track.ds
    return np.stack([before, density], axis=1).astype(np.float32).ravel()


def _dust(track: Track) -> NDArray[np.float32]:
    """Share of the road that dirt covers at each sample, see `SceneArrays.dust`."""
    return _along(track, track.file.road.dust or (Dust(0.0, 0.0),), track.s).astype(np.float32)


def _along(
    track: Track, entries: Sequence[tuple[float, float]], s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Interpolate entries (s, value) along the lap, from the last one on to the first."""
    first, last = entries[0], entries[-1]
    around = [(last[0] - track.length, last[1]), *entries, (first[0] + track.length, first[1])]
    at, values = np.array(around).T
    return np.asarray(np.interp(s, at, values), np.float64)


def _paint(track: Track) -> NDArray[np.float32]:
    """Metres of paint on the centre line up to each position, see `SceneArrays.paint`."""
    line, length = track.file.road.centre_line, track.length
    s = np.arange(-PAINT_MARGIN, length + PAINT_MARGIN + PAINT_STEP, PAINT_STEP)
    if line is None or line.kind != "dashed":
        return s.astype(np.float32)
    if line.dashes:
        begins, ends = np.array(line.dashes).T
    else:
        begins = np.arange(0.0, length, line.dash + line.gap)
        ends = np.minimum(begins + line.dash, length)
    knots = np.stack([begins, ends], axis=1).ravel()
    painted = np.repeat(np.cumsum(ends - begins), 2)
    painted[::2] -= ends - begins
    lap, rest = np.divmod(s, length)
    total = painted[-1]
    return np.asarray(lap * total + np.interp(rest, knots, painted, 0.0, total), np.float32)


def _decks(track: Track) -> NDArray[np.float32]:
    """The bridges that have the road pass over something: (n, 8) float32, a `Deck` in each row."""
    rows = []
    for item in track.file.decks:
        begin = track.pose_at(item.begin)
        deck = Deck(
            x=F(begin.x),
            y=F(begin.y),
            z=F(begin.z + DECK_RISE),
            cosine=F(math.cos(begin.yaw)),
            sine=F(math.sin(begin.yaw)),
            length=F(item.end - item.begin),
            half_width=F(track.half_width + DECK_EDGE),
            s=F(item.begin),
        )
        rows.append(pack(deck))
    return np.array(rows, np.float32).reshape(-1, len(Deck._fields))


def _palette(track: Track) -> Palette:
    """The colours of road and markings, see `PALETTE`."""
    palette, road = PALETTE, track.file.road
    inner = outer = Paint(Rgb.of(PAINTS[road.edge_line.colour]), BLACK)
    if road.edge_line.kind == "double":
        inner, outer = WORN[road.edge_line.colour]
    return palette._replace(
        asphalt=_asphalt(road),
        inner_stripe=inner,
        outer_stripe=outer,
        centre_line=Rgb.of(PAINTS[(road.centre_line or EDGE_LINE).colour]),
    )


def _tints(road: RoadOfFile) -> NDArray[np.int32]:
    """How the colour of the asphalt changes across the road, see `SceneArrays.tints`."""
    if not road.tint:
        return np.zeros(0, np.int32)
    offsets, *channels = np.array(road.tint, np.float64).T
    at = np.arange(-TINT_REACH, TINT_REACH + TINT_STEP / 2, TINT_STEP)
    factors = np.stack([np.interp(at, offsets, channel) for channel in channels], axis=1)
    return pack_colours(factors / TINT_UNIT, np.zeros(len(at)))


def _line(track: Track) -> NDArray[np.float32]:
    """The centre-line table: (n, LINE_FIELDS) float32."""
    line = np.zeros((len(track.s), LINE_FIELDS), np.float32)
    line[:, LINE_X], line[:, LINE_Y] = track.x, track.y
    line[:, LINE_COSINE], line[:, LINE_SINE] = np.cos(track.heading), np.sin(track.heading)
    line[:, LINE_CURVATURE] = track.curvature
    return line


def _sides(track: Track, daylight: Daylight) -> NDArray[np.int32]:
    """What is left and right of each sample, (n, 2): bits, and below them a colour or a distance."""
    bits = _roadside(track)
    walls = np.stack([track.line.wall_left, track.line.wall_right], axis=1).astype(np.float32)
    walls = np.where(np.isfinite(walls), walls, 0.0)
    stony = bits >> COBBLED & 1 == 1
    return bits | np.where(
        stony, np.round(walls / WALL_UNIT).astype(np.int32), _kerb_colours(track, daylight)
    )


def _roadside(track: Track) -> NDArray[np.int32]:
    """What is left and right of each sample, (n, 2) bits, see `scene_arrays.LINED`."""
    s = track.s
    usual = 1 << LINED | int(track.file.road.kerb) << RAISED
    bits = np.full((len(s), 2), usual, np.int32)
    for entry in track.file.roadside:
        inside = (s >= entry.begin) & (s < entry.end)
        for side in {"left": (0,), "right": (1,), "both": (0, 1)}[entry.side]:
            if entry.kind == "kerb":
                bits[inside, side] |= 1 << STRIPED
            elif entry.kind == "deck":
                pass  # the road goes on as it is
            elif entry.kind == "bridge":
                bits[inside, side] = 1 << COBBLED
            else:
                bits[inside, side] = 0
    return bits


def _kerb_colours(track: Track, daylight: Daylight) -> NDArray[np.int32]:
    """Colour of the concrete kerbs by their direction to the sun, see `KERB_COLOURS`."""
    azimuth = math.atan2(daylight.sun[1], daylight.sun[0])
    sides = []
    for lightest, colours in KERB_COLOURS:
        facing = np.cos(track.heading - azimuth - lightest)
        channels = [np.interp(facing, KERB_FACINGS, channel) for channel in zip(*colours, strict=True)]
        sides.append(pack_colours(np.stack(channels, axis=1), np.zeros(len(facing))))
    return np.stack(sides, axis=1)


def _patterns(grain_size: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Asphalt, whose blotches are at most so many m large, cobblestones and ground, one after the other."""
    return np.concatenate(
        [
            textures.pyramid(textures.coloured_noise(rng, 0.55, grain_size * ASPHALT_TEXELS_ACROSS)),
            textures.pyramid(textures.cobblestones(rng)),
            textures.pyramid(textures.coloured_noise(rng, 0.9, 80.0)),
        ]
    )
