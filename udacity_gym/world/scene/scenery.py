"""What the images show, from a track file: road, land, plants, and everything that stands upright.

A `Scene` is built from the track file alone, deterministically; scenes are shared between renderers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from udacity_gym.world.rendering import surface, textures
from udacity_gym.world.scene.cards import labels
from udacity_gym.world.scene.daylight import Daylight
from udacity_gym.world.scene.furniture import DECK_EDGE, DECK_RISE, build, deck_outlines, outlines, plant
from udacity_gym.world.scene.land import lay_land, pack
from udacity_gym.world.scene.shadows import light_map, no_light, seen_from_afar
from udacity_gym.world.scene.terrain import Grid
from udacity_gym.world.track.track import Track
from udacity_gym.world.track.track_file import EDGE_LINE, Line, Road

KERB_DEPTH, KERB_RISE = 0.74, 0.3
"""m from the foot of the concrete kerb, at the edge of the road, to its top; its height."""
LINE_WIDTH = 0.075
"""m, one of the two stripes of a double line."""
PAINTS = {"yellow": (212.0, 192.0, 70.0), "white": (228.0, 226.0, 220.0)}
"""RGB of road markings."""
STRIPES_INSIDE, STRIPES_CLEAR, STRIPES_PERIOD = 0.26, 0.04, 0.6
"""m: how far the red and white kerb reaches into the edge line, whose outer stripe it covers; how far it ends
before the edge of the road; length of one red and one white bar."""
ASPHALT_TEXELS, COBBLE_TEXELS, COBBLE_TEXELS_ACROSS = 32.0, 32.0, 64.0
"""Texels per m of the road's patterns; cobblestones are 0.9 m long and 0.3 m wide."""

PALETTE = (
    (*Road.colour, Road.grain),
    (169.0, 154.0, 134.0, 0.24),
    (*PAINTS["yellow"], 0.0),
    (0.63, 0.56, 0.54, 0.0),
    (226.0, 92.0, 84.0, 0.0),
    (255.0, 243.0, 226.0, 0.0),
    (165.0, 165.0, 152.0, 0.0),
    (*PAINTS["white"], 0.0),
)
"""RGB and relative spread of asphalt, cobblestones, edge line, the dark between its stripes (relative to
asphalt), red and white bars, concrete across the direction to the sun, centre line.

Asphalt and stones as they look straight below; they get lighter with distance, see `paint.GLANCE`.
"""

DRY = -1e9
"""m, the level of water where there is none."""


class SceneArrays(NamedTuple):
    """A scene as the kernels read it; lengths in m, colours RGB in [0, 255]."""

    heights: NDArray[np.float32]
    colours: NDArray[np.int32]
    nearest: NDArray[np.uint16]
    frame: NDArray[np.float32]
    line: NDArray[np.float32]
    sides: NDArray[np.int32]
    spacing: np.float32
    kerb: NDArray[np.float32]
    section: NDArray[np.float32]
    palette: NDArray[np.float32]
    air: NDArray[np.float32]
    textures: NDArray[np.float32]
    cards: NDArray[np.float32]
    card_texels: NDArray[np.int32]
    card_labels: NDArray[np.uint8]
    faces: NDArray[np.float32]
    water: np.float32
    light_frame: NDArray[np.float32]
    light: NDArray[np.int32]
    decks: NDArray[np.float32]


@dataclass(frozen=True)
class Scene:
    """Everything that can be seen around a track.

    Attributes:
        arrays: what the kernels read.
    """

    arrays: SceneArrays


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
    rows, columns = grid.nearest.shape
    return Scene(
        SceneArrays(
            heights=np.ascontiguousarray(height, np.float32).ravel(),
            colours=pack(colour, rough).ravel(),
            nearest=grid.nearest.ravel(),
            frame=np.array([grid.west, grid.south, columns - 1.01, rows - 1.01, columns], np.float32),
            line=_line(track).ravel(),
            sides=_sides(track, daylight).ravel(),
            spacing=np.float32(track.ds),
            kerb=np.array(
                [track.half_width, track.half_width + KERB_DEPTH, KERB_RISE if track.file.road.kerb else 0.0],
                np.float32,
            ),
            section=np.array(_section(track), np.float32),
            palette=_palette(track),
            air=daylight.air(),
            textures=_patterns(track.file.road.grain_size, rng),
            cards=cards,
            card_texels=card_texels,
            card_labels=labels(),
            faces=build(track, grid, height),
            water=np.float32(max(track.file.surroundings.water_level, DRY)),
            light_frame=lit.frame,
            light=lit.cells,
            decks=_decks(track),
        )
    )


def _section(track: Track) -> Sequence[float]:
    """The cross-section as the kernels read it."""
    edge, line, road = track.half_width, track.lane_half_width, track.file.road
    low, inner, outer = _stripes(road.edge_line)
    middle_low, middle_high, period, dash = _middle(road.centre_line)
    walls = np.concatenate([track.line.wall_left, track.line.wall_right])
    farthest_wall = float(walls[np.isfinite(walls)].max(initial=0.0))
    return (
        line - low, line - inner, line - outer, line, edge - STRIPES_CLEAR, STRIPES_PERIOD, edge,
        edge + (KERB_DEPTH if track.file.road.kerb else 0.0), farthest_wall, ASPHALT_TEXELS, COBBLE_TEXELS,
        COBBLE_TEXELS_ACROSS, line - STRIPES_INSIDE, middle_low, middle_high, period, dash,
    )  # fmt: skip


def _stripes(line: Line) -> tuple[float, float, float]:
    """Metres from the outer side of an edge line to its inner side, and to the dark between its stripes."""
    if line.kind == "double":
        return line.width, line.width - LINE_WIDTH, LINE_WIDTH
    return line.width, 0.0, 0.0


def _middle(line: Line | None) -> tuple[float, float, float, float]:
    """Inner and outer side of the centre line's stripes, in m from its middle; period and dash in m."""
    if line is None:
        return 0.0, 0.0, 1.0, 1.0
    half = 0.5 * line.width
    if line.kind == "dashed":
        return 0.0, half, line.dash + line.gap, line.dash
    return (half - LINE_WIDTH if line.kind == "double" else 0.0), half, 1.0, 1.0


def _decks(track: Track) -> NDArray[np.float32]:
    """The bridges that have the road pass over something, see `surface.cross_decks`."""
    rows = []
    for deck in track.file.decks:
        begin = track.pose_at(deck.begin)
        rows.append(
            (
                begin.x, begin.y, begin.z + DECK_RISE, math.cos(begin.yaw), math.sin(begin.yaw),
                deck.end - deck.begin, track.half_width + DECK_EDGE, deck.begin,
            )
        )  # fmt: skip
    return np.array(rows, np.float32).reshape(-1, 8)


def _palette(track: Track) -> NDArray[np.float32]:
    """The colours of road and markings, see `PALETTE`."""
    palette, road = np.array(PALETTE, np.float32), track.file.road
    palette[0] = *road.colour, road.grain
    palette[2, :3] = PAINTS[road.edge_line.colour]
    palette[7, :3] = PAINTS[(road.centre_line or EDGE_LINE).colour]
    return palette


def _line(track: Track) -> NDArray[np.float32]:
    """The centre-line table, see `surface.LINE_FIELDS`."""
    line = np.zeros((len(track.s), surface.LINE_FIELDS), np.float32)
    line[:, 0], line[:, 1] = track.x, track.y
    line[:, 2], line[:, 3] = np.cos(track.heading), np.sin(track.heading)
    line[:, 4] = track.curvature
    return line


def _sides(track: Track, daylight: Daylight) -> NDArray[np.int32]:
    """What is left and right of each sample, (n, 2): bits, and below them a colour or a distance."""
    bits = _roadside(track)
    walls = np.stack([track.line.wall_left, track.line.wall_right], axis=1).astype(np.float32)
    walls = np.where(np.isfinite(walls), walls, 0.0)
    stony = bits >> surface.COBBLED & 1 == 1
    return bits | np.where(
        stony, np.round(walls / surface.WALL_UNIT).astype(np.int32), _kerb_colours(track, daylight)
    )


def _roadside(track: Track) -> NDArray[np.int32]:
    """What is left and right of each sample, (n, 2) bits, see `surface.LINED`."""
    s = track.s
    usual = 1 << surface.LINED | int(track.file.road.kerb) << surface.RAISED
    bits = np.full((len(s), 2), usual, np.int32)
    for entry in track.file.roadside:
        inside = (s >= entry.begin) & (s < entry.end)
        for side in {"left": (0,), "right": (1,), "both": (0, 1)}[entry.side]:
            if entry.kind == "kerb":
                bits[inside, side] |= 1 << surface.STRIPED
            elif entry.kind == "deck":
                pass  # the road goes on as it is
            elif entry.kind == "bridge":
                bits[inside, side] = 1 << surface.COBBLED
            else:
                bits[inside, side] = 0
    return bits


def _kerb_colours(track: Track, daylight: Daylight) -> NDArray[np.int32]:
    """Colour of the concrete kerb by its direction to the sun.

    Fitted to recordings of the lake, by the kerb's direction to the sun, from -1 to 1.
    """
    dark, light = np.array([65.0, 80.0, 90.0]), np.array([255.0, 250.0, 228.0])
    azimuth = daylight.sun[:2] / np.hypot(*daylight.sun[:2])
    sides = []
    for sign in (1.0, -1.0):  # the left kerb faces right, the right one left
        facing = sign * (np.sin(track.heading) * azimuth[0] - np.cos(track.heading) * azimuth[1])
        share = np.clip((190.0 + 125.0 * facing - dark[0]) / (light[0] - dark[0]), 0.0, 1.0)[:, None]
        sides.append(pack(dark + (light - dark) * share, np.zeros(len(share))))
    return np.stack(sides, axis=1)


def _patterns(grain_size: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Asphalt, whose blotches are at most so many m large, cobblestones and ground, one after the other."""
    return np.concatenate(
        [
            textures.pyramid(textures.coloured_noise(rng, 0.55, grain_size * ASPHALT_TEXELS)),
            textures.pyramid(textures.cobblestones(rng)),
            textures.pyramid(textures.coloured_noise(rng, 0.9, 80.0)),
        ]
    )
