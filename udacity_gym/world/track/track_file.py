"""The content of a track file: fields with types, ranges and defaults, and the checks of `TrackFile.read`.

`docs/tracks.md` describes the format. A file that breaks it is refused with the field named, unknown fields
included. Lengths are in m, angles in rad, positions along the track (``s``, ``begin``, ``end``) in m from the
start; offsets are positive to the right of the centre line.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple, NoReturn, get_args

import numpy as np
from numpy.typing import NDArray

from udacity_gym.errors import TrackError
from udacity_gym.world.track.reader import RGB, Range, read

FORMAT, VERSION = "udacity-gym-track", 2
"""Version 1 has no `Line.dashes`, `Road.tint`, `Road.bars`, `Road.dust` or `Surroundings.shade`, and no
boards among the objects."""
READABLE = (1, VERSION)
CLOSURE_TOLERANCE = 0.5
"""m by which the end of a loop may miss its start."""
LONGEST = 10_000.0
"""Greatest length of a lap in m, so that the map of the land fits into memory."""
NARROWEST, WIDEST = 1.0, 7.0
"""m from the centre line to the edge of the road surface: land and kerbs are drawn for such roads."""
NEAREST_WALL, FARTHEST_WALL = 1.5, 7.99
"""m from the centre line to a bridge's wall: the car fits between, and the ground is level up to there."""
BRIDGE_WALL = 5.85
"""m from the centre line to the inner face of a bridge's walls by default."""
LEVEL_DECK = 0.05
"""Greatest change of the road's height on a deck in m."""
FARTHEST = 220.0
"""m from the road within which there is land."""
BRIGHTEST = 400.0
"""Greatest value of a colour's channel. Images end at 255; a sky above that is white in a larger part."""

Mode = Literal["training", "autonomous"]
Direction = Literal["forward", "reverse"]
Side = Literal["left", "right"]
Paint = Literal["white", "yellow"]
Cover = Literal[
    "sand",
    "orange",
    "dirt",
    "umber",
    "tan",
    "slate",
    "grass",
    "lime",
    "meadow",
    "olive",
    "rock",
    "cliff",
    "turf",
    "ledge",
    "crag",
]
Plant = Literal["pine", "shrub", "reeds", "rock", "palm", "board"]

MODES: tuple[str, ...] = get_args(Mode)
DIRECTIONS: tuple[str, ...] = get_args(Direction)
COVERS: tuple[str, ...] = get_args(Cover)
PLANTS: tuple[str, ...] = get_args(Plant)

Colour = Annotated[RGB, Range(0.0, BRIGHTEST)]
Coordinate = Annotated[float, Range(-1e6, 1e6)]
Distance = Annotated[float, Range(0.0, FARTHEST)]
Size = Annotated[float, Range(0.1, FARTHEST)]
"""Of an object; 0, the default, where its kind has no such size."""
DashLength = Annotated[float, Range(0.1, 100.0)]


class Segment(NamedTuple):
    """A stretch of the centre line: length in m, curvature in 1/m, positive bends left."""

    length: float
    curvature: float


class Height(NamedTuple):
    """A height of the road in m above the start, at a position along the track."""

    s: float
    height: float


class Interval(NamedTuple):
    """A part of the track between two positions."""

    begin: float
    end: float


class RoadPoint(NamedTuple):
    """A place relative to the centre line: position along the track, and offset to the right."""

    s: float
    offset: float


class Tint(NamedTuple):
    """Colour of the asphalt at an offset from the centre line, as factors of the road's colour."""

    offset: Annotated[float, Range(-WIDEST, WIDEST)]
    red: Annotated[float, Range(0.5, 1.5)]
    green: Annotated[float, Range(0.5, 1.5)]
    blue: Annotated[float, Range(0.5, 1.5)]


class Bars(NamedTuple):
    """Length in m of one red and one white bar of kerbs at a position along the track."""

    s: float
    length: Annotated[float, Range(0.1, 20.0)]


class Dust(NamedTuple):
    """Share of the road that dirt covers at a position along the track."""

    s: float
    share: Annotated[float, Range(0.0, 1.0)]


class LandPoint(NamedTuple):
    """A point of a profile: distance from the centre line in m, height above the road in m, cover."""

    distance: float
    height: float
    cover: Cover


@dataclass(frozen=True)
class Start:
    """Where the centre line begins; headings are counter-clockwise from +x."""

    x: Coordinate
    y: Coordinate
    z: Coordinate
    heading: Coordinate


@dataclass(frozen=True)
class StartPose:
    """Where the car stands after a reset."""

    s: float
    offset: float


@dataclass(frozen=True)
class StartPoses:
    """Where the car stands after a reset, by mode."""

    training: StartPose
    autonomous: StartPose


@dataclass(frozen=True)
class Line:
    """A line painted on the road.

    Attributes:
        dash, gap: lengths of a dashed line with regular dashes; otherwise 0.
        dashes: where each dash of a dashed line begins and ends, if they are not regular.
    """

    kind: Literal["solid", "double", "dashed"]
    colour: Paint
    width: float
    dash: DashLength = 0.0
    gap: DashLength = 0.0
    dashes: tuple[Interval, ...] = ()


EDGE_LINE = Line("double", "yellow", 0.6)
"""The edge line of the lake."""
BARS = 0.6
"""m, length of one red and one white bar where a track file does not say."""


class Gloss(NamedTuple):
    """How the brightness of a road depends on the directions to the camera and to the sun.

    All are relative to its brightness in diffuse light; `udacity_gym.world.rendering.paint.reflection` has
    the formula. The defaults are fitted to recordings of the lake.

    Attributes:
        grazing: what is added where one looks along the road.
        backward: what is added there besides with the sun behind the camera.
        mirror: how bright the blurred image of the sun in the road is.
        roughness: how blurred that image is.
    """

    grazing: Annotated[float, Range(-1.0, 5.0)] = -0.1
    backward: Annotated[float, Range(0.0, 5.0)] = 0.87
    mirror: Annotated[float, Range(0.0, 1.0)] = 0.18
    roughness: Annotated[float, Range(0.02, 1.0)] = 0.22


LAKE_GLOSS = Gloss()


@dataclass(frozen=True)
class Road:
    """The cross-section of the road and its looks; the defaults are the lake's.

    Attributes:
        half_width: from the centre line to the edge of the road surface.
        lane_half_width: from the centre line to the outer side of the edge line.
        reference_offset: offset of the line that cross-track error is measured from.
        level: from the centre line, within which the ground is as level as the road.
        kerb: whether a concrete kerb runs along the edges.
        colour: RGB of the asphalt in diffuse light.
        grain: relative spread of its brightness.
        grain_size: size of its largest blotches.
        gloss: how its brightness depends on the direction of view.
        sunlight: RGB of the sunlight that it throws back, relative to its colour.
        tint: how the colour of the asphalt changes across the road, from left to right. Between two entries
            it is interpolated; beyond the outer ones it stays.
        bars: length of the red and white bars of kerbs along the lap. Between two entries it is interpolated,
            also from the last one to the first; without entries it is `BARS` everywhere.
        dust: share of the road that dirt covers along the lap, interpolated in the same way; without entries
            there is none.
        crown: slope at the edges of the road, which is arched. Only the sunlight on it depends on it.
        edge_line: the line at ``lane_half_width``.
        centre_line: the line in the middle, if there is one.
    """

    half_width: Annotated[float, Range(NARROWEST, WIDEST)]
    lane_half_width: float
    reference_offset: float = 0.0
    level: float = WIDEST
    kerb: bool = True
    colour: Colour = (103.4, 106.1, 94.5)
    grain: Annotated[float, Range(0.0, 1.0)] = 0.38
    grain_size: Annotated[float, Range(0.05, 3.0)] = 1.875
    gloss: Gloss = LAKE_GLOSS
    sunlight: Colour = (1.107, 0.991, 0.894)
    tint: tuple[Tint, ...] = ()
    bars: tuple[Bars, ...] = ()
    dust: tuple[Dust, ...] = ()
    crown: Annotated[float, Range(0.0, 0.5)] = 0.0
    edge_line: Line = EDGE_LINE
    centre_line: Line | None = None


@dataclass(frozen=True)
class Roadside:
    """What differs along the road between two positions.

    Attributes:
        wall_offset: m from the centre line to the inner face of a bridge's walls where it begins; None is
            `BRIDGE_WALL` on a bridge, and nothing elsewhere.
        wall_offset_at_end: the same where the bridge ends, linear between; None is as where it begins.
    """

    kind: Literal["kerb", "bridge", "dirt_mouth", "deck"]
    side: Literal["left", "right", "both"]
    begin: float
    end: float
    wall_offset: Annotated[float, Range(NEAREST_WALL, FARTHEST_WALL)] | None = None
    wall_offset_at_end: Annotated[float, Range(NEAREST_WALL, FARTHEST_WALL)] | None = None

    def wall_at(self, s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Metres from the centre line to the inner face of a bridge's walls, at positions along it."""
        begin = BRIDGE_WALL if self.wall_offset is None else self.wall_offset
        end = begin if self.wall_offset_at_end is None else self.wall_offset_at_end
        return np.interp(s, (self.begin, self.end), (begin, end))


@dataclass(frozen=True)
class Land:
    """The profile of the land on one side of the road."""

    side: Side
    begin: float
    end: float
    profile: tuple[LandPoint, ...]


_GRASS = (LandPoint(8.0, 0.0, "grass"), LandPoint(60.0, 3.0, "grass"))
GRASSLAND = (Land("left", 0.0, 1.0, _GRASS), Land("right", 0.0, 1.0, _GRASS))
"""The land of a track file without any."""


@dataclass(frozen=True)
class Shade:
    """Where the road and its verges lie in shade between two positions; the sun shines on the rest there.

    Attributes:
        outlines: corners of each shadow. What two of them have in common is in the sun, so that a shadow can
            have holes.
    """

    begin: float
    end: float
    outlines: tuple[tuple[RoadPoint, ...], ...] = ()


@dataclass(frozen=True)
class Plants:
    """Plants of a kind, at random places between two positions and two distances from the centre line."""

    kind: Plant
    side: Side
    begin: float
    end: float
    near: Distance
    far: Distance
    count: Annotated[int, Range(0, 10_000)]


@dataclass(frozen=True)
class Item:
    """An object beside the road.

    Attributes:
        kind: what it is.
        s: m along the track.
        offset: m right of the centre line.
        length: m of tyres along the road, or across a board; a board without is 0.65 m wide.
        height: m of a pylon or a board; a board without is 2.6 m high.
    """

    kind: Literal["tyres", "sign", "pylon", "board"]
    s: float
    offset: Annotated[float, Range(-FARTHEST, FARTHEST)]
    length: Size = 0.0
    height: Size = 0.0


@dataclass(frozen=True)
class Light:
    """The light around a track; the defaults are the lake's.

    Attributes:
        azimuth: rad, direction to the sun, counter-clockwise from +x. That of the lake is fitted to the
            brightness of kerbs and asphalt.
        elevation: rad of the sun above the horizon.
        ambient: RGB, share of the light that comes from the sky: what is left of it in the shade.
        gentle: rise per m below which slopes hardly look darker away from the sun or lighter towards it.
        shadows: whether land and what stands on it cast shadows.
        horizon: RGB of the sky at the horizon; above 255 it is as light as an image can be a little higher.
        zenith: RGB of the sky overhead.
        haze: sine of the height at which the horizon's colour has faded to a third.
        fog: RGB of the haze before what is far.
        fog_from: m at which it begins.
        fog_to: m at which nothing else is seen any more.
    """

    azimuth: Annotated[float, Range(-math.tau, math.tau)] = math.radians(2.0)
    elevation: Annotated[float, Range(0.05, 0.5 * math.pi)] = math.radians(42.0)
    ambient: Colour = (0.16, 0.24, 0.28)
    gentle: Annotated[float, Range(0.0, 100.0)] = 1.2
    shadows: bool = False
    horizon: Colour = (241.0, 268.0, 284.0)
    zenith: Colour = (95.0, 122.0, 165.0)
    haze: Annotated[float, Range(0.01, 10.0)] = 0.18
    fog: Colour = (105.0, 153.0, 217.0)
    fog_from: Annotated[float, Range(0.0, 1e5)] = 100.0
    fog_to: Annotated[float, Range(1.0, 1e5)] = 600.0


@dataclass(frozen=True)
class Surroundings:
    """The land around; the default is gentle grassland.

    Attributes:
        seed: of roughness and places of plants.
        water_level: height of the water; -inf without water.
        relief: "hills" get softer away from the road; a "canyon" keeps its cliffs sharp.
        smooth_ground: whether patterns of the ground are smooth from close by; on the original tracks they
            show squares.
        light: sun, sky and haze.
        land: profiles of both sides; between two stretches one profile turns into the next.
        plants: what grows.
        objects: what stands; power lines hang between pylons in their order.
        shade: measured shade on the road. Elsewhere, land and plants cast their shadows on it.
    """

    seed: Annotated[int, Range(0)] = 0
    water_level: float = -math.inf
    relief: Literal["hills", "canyon"] = "hills"
    smooth_ground: bool = False
    light: Light = field(default_factory=Light)
    land: tuple[Land, ...] = GRASSLAND
    plants: tuple[Plants, ...] = ()
    objects: tuple[Item, ...] = ()
    shade: tuple[Shade, ...] = ()


@dataclass(frozen=True)
class TrackFile:
    """The content of a track file.

    Attributes:
        start: where the centre line begins.
        start_poses: where the car stands after a reset.
        road: the cross-section of the road.
        segments: the centre line.
        name: the track's name, if the file gives one.
        direction: the way around that cars drive.
        design_speed: m/s at which the whole lap can be driven on the reference line, if the file says so.
        elevation: heights of the road; a smoothstep leads from one to the next, around the lap.
        roadside: what differs along the road.
        surroundings: the land around.
    """

    start: Start
    start_poses: StartPoses
    road: Road
    segments: tuple[Segment, ...]
    name: str | None = None
    direction: Direction = "forward"
    design_speed: Annotated[float, Range(1.0, 100.0)] | None = None
    elevation: tuple[Height, ...] = (Height(0.0, 0.0),)
    roadside: tuple[Roadside, ...] = ()
    surroundings: Surroundings = field(default_factory=Surroundings)

    @staticmethod
    def read(data: Any, source: str) -> TrackFile:
        """Read the content of a track file.

        Args:
            data: what the file holds, as JSON has it.
            source: where it came from, for error messages.

        Raises:
            TrackError: A field is missing, unknown or out of range; the message names it.
        """
        known = isinstance(data, Mapping) and data.get("format") == FORMAT
        if not known or data.get("version") not in READABLE:
            raise TrackError(
                f"{source}: not a track file: 'format' must be {FORMAT!r} and 'version' "
                f"{' or '.join(map(str, READABLE))}"
            )
        content = {name: value for name, value in data.items() if name not in ("format", "version")}
        file = read(TrackFile, content, source)
        _Check(file, source).file()
        return file

    @property
    def length(self) -> float:
        """Length of a lap in m."""
        return sum(segment.length for segment in self.segments)

    @property
    def decks(self) -> list[Roadside]:
        """The bridges that carry the road over something."""
        return [entry for entry in self.roadside if entry.kind == "deck"]


def arc(length: float, curvature: float, heading: float) -> NDArray[np.float64]:
    """Displacement (east, north) in m along an arc that begins with ``heading``."""
    half = 0.5 * length * curvature
    chord = length * (math.sin(half) / half if abs(half) > 1e-12 else 1.0)
    return np.array([chord * math.cos(heading + half), chord * math.sin(heading + half)])


class _Check:
    """Checks what the fields of a track file mean together."""

    def __init__(self, track: TrackFile, source: str) -> None:
        self.track, self.source = track, source
        self.length = track.length

    def refuse(self, path: str, problem: str) -> NoReturn:
        raise TrackError(f"{self.source}: {path}: {problem}")

    def within(self, value: float, path: str, low: float, high: float) -> None:
        if not low <= value <= high:
            self.refuse(path, f"must lie within [{low:g}, {high:g}], got {value!r}")

    def stretch(self, entry: Roadside | Land | Plants | Shade | Interval, path: str) -> None:
        self.within(entry.begin, f"{path}.from", 0.0, self.length)
        self.within(entry.end, f"{path}.to", 0.0, self.length)
        if not entry.begin < entry.end:
            self.refuse(path, f"'from' must be less than 'to', got {entry.begin:g} and {entry.end:g}")

    def file(self) -> None:
        track = self.track
        self.segments()
        self.road()
        self.elevation()
        for mode in MODES:
            pose: StartPose = getattr(track.start_poses, mode)
            self.within(pose.s, f"start_poses.{mode}.s", 0.0, self.length)
            half = track.road.half_width
            self.within(pose.offset, f"start_poses.{mode}.offset", -half, half)
        for i, entry in enumerate(track.roadside):
            self.roadside(entry, f"roadside[{i}]")
        self.surroundings()

    def road(self) -> None:
        road = self.track.road
        half, lane = road.half_width, road.lane_half_width
        self.within(lane, "road.lane_half_width", 0.5, half)
        self.within(road.reference_offset, "road.reference_offset", -half, half)
        self.within(road.level, "road.level", half, WIDEST)
        before = -math.inf
        for i, tint in enumerate(road.tint):
            if tint.offset <= before:
                problem = f"the offset must rise from one to the next, got {tint.offset:g} after {before:g}"
                self.refuse(f"road.tint[{i}]", problem)
            before = tint.offset
        for name, entries in (("bars", road.bars), ("dust", road.dust)):
            before = -math.inf
            for i, (s, _) in enumerate(entries):
                self.within(s, f"road.{name}[{i}]", 0.0, self.length)
                if s <= before:
                    self.refuse(
                        f"road.{name}[{i}]", f"s must rise from one to the next, got {s:g} after {before:g}"
                    )
                before = s
        if road.edge_line.kind == "dashed":
            self.refuse("road.edge_line.kind", "must be one of solid, double, got 'dashed'")
        if road.edge_line is not EDGE_LINE:
            self.line(road.edge_line, "road.edge_line", 0.5 * lane)
        if road.centre_line is not None:
            self.line(road.centre_line, "road.centre_line", lane)

    def line(self, line: Line, path: str, widest: float) -> None:
        self.within(line.width, f"{path}.width", 0.2 if line.kind == "double" else 0.02, widest)
        if line.dashes and line.kind != "dashed":
            self.refuse(f"{path}.dashes", "only a dashed line has them")
        for name, length in (("dash", line.dash), ("gap", line.gap)):
            if (length > 0) != (line.kind == "dashed" and not line.dashes):
                self.refuse(
                    f"{path}.{name}", "a dashed line needs it, unless it has 'dashes'; no other line has it"
                )
        before = 0.0
        for i, dash in enumerate(line.dashes):
            self.stretch(dash, f"{path}.dashes[{i}]")
            if dash.begin < before:
                self.refuse(f"{path}.dashes[{i}]", f"begins before the one before it ends, at {before:g}")
            before = dash.end

    def segments(self) -> None:
        for i, (length, curvature) in enumerate(self.track.segments):
            if length <= 0:
                self.refuse(f"segments[{i}]", f"needs a positive length, got {length:g}")
            if abs(curvature) * self.track.road.half_width >= 1:
                problem = "bends so tightly that the road's inner edge folds over itself"
                self.refuse(f"segments[{i}]", problem)
        if not 0 < self.length <= LONGEST:
            self.refuse(
                "segments", f"a lap must be longer than 0 and at most {LONGEST:g} m, not {self.length:g}"
            )
        end, turned = np.zeros(2), 0.0
        for length, curvature in self.track.segments:
            end += arc(length, curvature, turned)
            turned += length * curvature
        gap = float(np.hypot(*end))
        if gap > CLOSURE_TOLERANCE or abs(math.remainder(turned, math.tau)) > 0.05:
            self.refuse(
                "segments",
                f"the loop does not close: its end misses its start by {gap:.2f} m and it turns "
                f"{math.degrees(turned):.1f} degrees in all",
            )

    def elevation(self) -> None:
        if not self.track.elevation:
            self.refuse(
                "elevation", "needs at least one [s in m, height in m]; a flat track has no such field"
            )
        before = -math.inf
        for i, (s, _) in enumerate(self.track.elevation):
            self.within(s, f"elevation[{i}]", 0.0, self.length)
            if s <= before:
                self.refuse(
                    f"elevation[{i}]", f"s must rise from one to the next, got {s:g} after {before:g}"
                )
            before = s

    def roadside(self, entry: Roadside, path: str) -> None:
        self.stretch(entry, path)
        if entry.kind == "deck":
            self.deck(entry, path)
        for name in ("wall_offset", "wall_offset_at_end"):
            if getattr(entry, name) is not None and entry.kind != "bridge":
                self.refuse(path, f"only a bridge has a {name!r}, not a {entry.kind}")

    def deck(self, entry: Roadside, path: str) -> None:
        """What carries the road over something is one straight and level slab."""
        if entry.side != "both":
            self.refuse(f"{path}.side", "a deck carries both sides of the road")
        begin = 0.0
        for length, curvature in self.track.segments:
            if curvature and begin < entry.end and begin + length > entry.begin:
                self.refuse(
                    path,
                    f"a deck must be straight, but the road bends from s = {begin:g} to {begin + length:g}; "
                    "let it begin after the bend, or end before it",
                )
            begin += length
        s, height = np.array(self.track.elevation, np.float64).T
        inside = s[(s > entry.begin) & (s < entry.end)]
        heights = np.interp([entry.begin, *inside, entry.end], s, height, period=self.length)
        if np.ptp(heights) > LEVEL_DECK:
            self.refuse(
                path,
                f"a deck must be level, but the road's height changes by {np.ptp(heights):.2f} m on it; give "
                "the elevation knots before and after it the same height",
            )

    def surroundings(self) -> None:
        around = self.track.surroundings
        if not around.light.fog_from < around.light.fog_to:
            self.refuse("surroundings.light.fog_to", "must be farther than fog_from (100 unless given)")
        for i, land in enumerate(around.land):
            self.land(land, f"surroundings.land[{i}]")
        missing = {"left", "right"} - {land.side for land in around.land}
        if missing:
            self.refuse("surroundings.land", f"needs a stretch on each side; none is {missing.pop()}")
        for i, plants in enumerate(around.plants):
            self.stretch(plants, f"surroundings.plants[{i}]")
            self.within(plants.far, f"surroundings.plants[{i}].far", plants.near, FARTHEST)
        for i, item in enumerate(around.objects):
            self.item(item, f"surroundings.objects[{i}]")
        for i, shade in enumerate(around.shade):
            self.stretch(shade, f"surroundings.shade[{i}]")
            for k, outline in enumerate(shade.outlines):
                if len(outline) < 3:
                    self.refuse(f"surroundings.shade[{i}].outlines[{k}]", "needs at least three corners")

    def land(self, land: Land, path: str) -> None:
        self.stretch(land, path)
        if not land.profile:
            self.refuse(f"{path}.profile", "needs at least one [distance in m, height in m, cover]")
        before = 0.0
        for i, (distance, _, _) in enumerate(land.profile):
            self.within(distance, f"{path}.profile[{i}]", before, FARTHEST)
            before = distance

    def item(self, item: Item, path: str) -> None:
        self.within(item.s, f"{path}.s", 0.0, self.length)
        for name, size, kind in (("length", item.length, "tyres"), ("height", item.height, "pylon")):
            if item.kind != "board" and (size > 0) != (item.kind == kind):
                self.refuse(f"{path}.{name}", f"{kind} need it and no other object has it")
