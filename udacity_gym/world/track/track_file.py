"""What a track file may say; everything else is refused with the field that says it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from udacity_gym.errors import TrackError

FORMAT, VERSION = "udacity-gym-track", 1
COVERS = (
    "sand",
    "orange",
    "dirt",
    "grass",
    "lime",
    "meadow",
    "olive",
    "rock",
    "cliff",
    "turf",
    "ledge",
    "crag",
)
PLANTS = ("pine", "shrub", "reeds", "rock", "palm", "board")
PAINTS = ("white", "yellow")
MODES = ("training", "autonomous")
DIRECTIONS = ("forward", "reverse")
CLOSURE_TOLERANCE = 0.5
"""m by which the end of a loop may miss its start."""
LONGEST = 10_000.0
"""m of a lap at most, so that the map of the land fits into memory."""
NARROWEST, WIDEST = 1.0, 7.0
"""m from the centre line to the edge of the road surface: land and kerbs are drawn for such roads."""
NEAREST_WALL, FARTHEST_WALL = 1.5, 7.99
"""m from the centre line to a bridge's wall: the car fits between, and the ground is level up to there."""
LEVEL_DECK = 0.05
"""m that the road's height may change on a deck."""
FARTHEST = 220.0
"""m from the road within which there is land."""
BRIGHTEST = 400.0
"""Of a colour's channels: 255 is as light as an image gets, what is farther off may be meant lighter."""
LIGHT = {
    "azimuth": (-math.tau, math.tau),
    "elevation": (0.05, 0.5 * math.pi),
    "gentle": (0.0, 100.0),
    "glance": (-1.0, 1.0),
    "haze": (0.01, 10.0),
    "fog_from": (0.0, 1e5),
    "fog_to": (1.0, 1e5),
}
"""Numbers that a track file may say about the light, and their ranges."""
LIGHT_COLOURS = ("ambient", "horizon", "zenith", "fog")
"""Colours that it may say."""
MOST = 10_000
"""Plants of one entry at most."""
NOTES = ("description", "comment")
"""Fields that are allowed everywhere and mean nothing."""


def check(data: Any, source: str) -> None:
    """Check the content of a track file.

    Args:
        data: what the file holds.
        source: where it came from, for error messages.

    Raises:
        TrackError: A field is missing, unknown or out of range; the message names it.
    """
    _Check(source).file(data)


def arc(length: float, curvature: float, heading: float) -> NDArray[np.float64]:
    """Displacement (east, north) in m along an arc that begins with ``heading``."""
    half = 0.5 * length * curvature
    chord = length * (math.sin(half) / half if abs(half) > 1e-12 else 1.0)
    return np.array([chord * math.cos(heading + half), chord * math.sin(heading + half)])


class _Check:
    """Walks through a track file."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.length = 0.0
        self.half_width = 0.0

    def refuse(self, field: str, problem: str) -> NoReturn:
        raise TrackError(f"{self.source}: {field}: {problem}")

    def fields(
        self, value: Any, field: str, required: Iterable[str], optional: Iterable[str] = ()
    ) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            self.refuse(field, f"must be an object with {', '.join(required)}, got {value!r}")
        missing = [name for name in required if name not in value]
        if missing:
            self.refuse(field, f"lacks {', '.join(map(repr, missing))}")
        known = (*required, *optional, *NOTES)
        unknown = [name for name in value if name not in known]
        if unknown:
            self.refuse(
                field, f"unknown {', '.join(map(repr, unknown))}; there are {', '.join(known)} to choose from"
            )
        return value

    def entries(self, value: Any, field: str) -> list[tuple[str, Any]]:
        if not isinstance(value, Sequence) or isinstance(value, str):
            self.refuse(field, f"must be a list, got {value!r}")
        return [(f"{field}[{i}]", entry) for i, entry in enumerate(value)]

    def number(self, value: Any, field: str, low: float = -math.inf, high: float = math.inf) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e300:
            self.refuse(field, f"must be a finite number, got {value!r}")
        if not low <= value <= high:
            self.refuse(field, f"must lie within [{low:g}, {high:g}], got {value!r}")
        return float(value)

    def whole(self, value: Any, field: str, high: float = math.inf) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= high:
            span = "from 0 on" if math.isinf(high) else f"from 0 to {high:g}"
            self.refuse(field, f"must be a whole number {span}, got {value!r}")

    def one_of(self, value: Any, field: str, choices: Sequence[str]) -> str:
        if not isinstance(value, str) or value not in choices:
            self.refuse(field, f"must be one of {', '.join(choices)}, got {value!r}")
        return value

    def stretch(self, entry: Mapping[str, Any], field: str, sides: Sequence[str]) -> None:
        """Where along the track something is."""
        self.one_of(entry["side"], f"{field}.side", sides)
        begin = self.number(entry["from"], f"{field}.from", 0.0, self.length)
        self.number(entry["to"], f"{field}.to", 0.0, self.length)
        if not begin < entry["to"]:
            self.refuse(field, f"'from' must be less than 'to', got {begin:g} and {entry['to']:g}")

    def file(self, data: Any) -> None:
        if not isinstance(data, Mapping) or (data.get("format"), data.get("version")) != (FORMAT, VERSION):
            raise TrackError(
                f"{self.source}: not a track file: 'format' must be {FORMAT!r} and 'version' {VERSION}"
            )
        required = ("format", "version", "start", "start_poses", "road", "segments")
        self.fields(
            data,
            "track",
            required,
            ("name", "direction", "design_speed", "elevation", "roadside", "surroundings"),
        )
        if not isinstance(data.get("name", ""), str):
            self.refuse("name", f"must be a text, got {data['name']!r}")
        self.one_of(data.get("direction", "forward"), "direction", DIRECTIONS)
        self.number(data.get("design_speed", 1.0), "design_speed", 1.0, 100.0)
        start = self.fields(data["start"], "start", ("x", "y", "z", "heading"))
        for name in ("x", "y", "z", "heading"):
            self.number(start[name], f"start.{name}", -1e6, 1e6)
        self.road(data["road"])
        self.segments(data["segments"])
        self.elevation(data.get("elevation", [[0.0, 0.0]]))
        poses = self.fields(data["start_poses"], "start_poses", MODES)
        for mode in MODES:
            field = f"start_poses.{mode}"
            pose = self.fields(poses[mode], field, ("s", "offset"))
            self.number(pose["s"], f"{field}.s", 0.0, self.length)
            self.number(pose["offset"], f"{field}.offset", -self.half_width, self.half_width)
        for field, entry in self.entries(data.get("roadside", ()), "roadside"):
            self.roadside(entry, field)
            if entry["kind"] == "deck":
                self.deck(entry, field, data)
        self.surroundings(data.get("surroundings", {}))

    def road(self, value: Any) -> None:
        looks = (
            "reference_offset",
            "level",
            "kerb",
            "colour",
            "grain",
            "grain_size",
            "edge_line",
            "centre_line",
        )
        road = self.fields(value, "road", ("half_width", "lane_half_width"), looks)
        self.half_width = self.number(road["half_width"], "road.half_width", NARROWEST, WIDEST)
        lane = self.number(road["lane_half_width"], "road.lane_half_width", 0.5, self.half_width)
        offset = road.get("reference_offset", 0.0)
        self.number(offset, "road.reference_offset", -self.half_width, self.half_width)
        self.number(road.get("level", WIDEST), "road.level", self.half_width, WIDEST)
        if not isinstance(road.get("kerb", True), bool):
            self.refuse("road.kerb", f"must be true or false, got {road['kerb']!r}")
        if "colour" in road:
            self.colour(road["colour"], "road.colour")
        self.number(road.get("grain", 0.0), "road.grain", 0.0, 1.0)
        self.number(road.get("grain_size", 1.0), "road.grain_size", 0.05, 3.0)
        if "edge_line" in road:
            self.painted(road["edge_line"], "road.edge_line", ("solid", "double"), 0.5 * lane)
        if "centre_line" in road:
            self.painted(road["centre_line"], "road.centre_line", ("solid", "double", "dashed"), lane)

    def painted(self, value: Any, field: str, kinds: Sequence[str], widest: float) -> None:
        """A line painted on the road."""
        line = self.fields(value, field, ("kind", "colour", "width"), ("dash", "gap"))
        kind = self.one_of(line["kind"], f"{field}.kind", kinds)
        self.one_of(line["colour"], f"{field}.colour", PAINTS)
        self.number(line["width"], f"{field}.width", 0.2 if kind == "double" else 0.02, widest)
        for name in ("dash", "gap"):
            if (name in line) != (kind == "dashed"):
                self.refuse(f"{field}.{name}", "a dashed line needs it and no other line has it")
            self.number(line.get(name, 1.0), f"{field}.{name}", 0.1, 100.0)

    def colour(self, value: Any, field: str, most: float = BRIGHTEST) -> None:
        if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 3:
            self.refuse(field, f"must be [red, green, blue], got {value!r}")
        for channel in value:
            self.number(channel, field, 0.0, most)

    def pair(self, value: Any, field: str, meaning: str) -> tuple[float, float]:
        if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
            self.refuse(field, f"must be {meaning}, got {value!r}")
        return self.number(value[0], field), self.number(value[1], field)

    def segments(self, value: Any) -> None:
        segments = self.entries(value, "segments")
        for field, entry in segments:
            length, curvature = self.pair(entry, field, "[length in m, curvature in 1/m]")
            if length <= 0:
                self.refuse(field, f"needs a positive length, got {length:g}")
            if abs(curvature) * self.half_width >= 1:
                self.refuse(field, "bends so tightly that the road's inner edge folds over itself")
            self.length += length
        if not 0 < self.length <= LONGEST:
            self.refuse(
                "segments", f"a lap must be longer than 0 and at most {LONGEST:g} m, not {self.length:g}"
            )

        end, turned = np.zeros(2), 0.0
        for length, curvature in value:
            end += arc(length, curvature, turned)
            turned += length * curvature
        gap = float(np.hypot(*end))
        if gap > CLOSURE_TOLERANCE or abs(math.remainder(turned, math.tau)) > 0.05:
            self.refuse(
                "segments",
                f"the loop does not close: its end misses its start by {gap:.2f} m and it turns "
                f"{math.degrees(turned):.1f} degrees in all",
            )

    def elevation(self, value: Any) -> None:
        knots = self.entries(value, "elevation")
        if not knots:
            self.refuse(
                "elevation", "needs at least one [s in m, height in m]; a flat track has no such field"
            )
        before = -math.inf
        for field, entry in knots:
            s, _ = self.pair(entry, field, "[s in m, height in m]")
            self.number(s, field, 0.0, self.length)
            if s <= before:
                self.refuse(field, f"s must rise from one to the next, got {s:g} after {before:g}")
            before = s

    def roadside(self, value: Any, field: str) -> None:
        entry = self.fields(value, field, ("kind", "side", "from", "to"), ("wall_offset",))
        kind = self.one_of(entry["kind"], f"{field}.kind", ("kerb", "bridge", "dirt_mouth", "deck"))
        self.stretch(entry, field, ("left", "right", "both"))
        if kind == "deck" and entry["side"] != "both":
            self.refuse(f"{field}.side", "a deck carries both sides of the road")
        if "wall_offset" in entry:
            if kind != "bridge":
                self.refuse(field, f"only a bridge has a 'wall_offset', not a {kind}")
            self.number(entry["wall_offset"], f"{field}.wall_offset", NEAREST_WALL, FARTHEST_WALL)

    def deck(self, entry: Mapping[str, Any], field: str, data: Mapping[str, Any]) -> None:
        """What carries the road over something is one straight and level slab."""
        first, last = float(entry["from"]), float(entry["to"])
        begin = 0.0
        for length, curvature in data["segments"]:
            if curvature and begin < last and begin + length > first:
                self.refuse(
                    field,
                    f"a deck must be straight, but the road bends from s = {begin:g} to {begin + length:g}; "
                    "let it begin after the bend, or end before it",
                )
            begin += length
        knots = np.array(data.get("elevation", [[0.0, 0.0]]), np.float64)
        inside = knots[(knots[:, 0] > first) & (knots[:, 0] < last), 0]
        heights = np.interp([first, *inside, last], knots[:, 0], knots[:, 1], period=self.length)
        if np.ptp(heights) > LEVEL_DECK:
            self.refuse(
                field,
                f"a deck must be level, but the road's height changes by {np.ptp(heights):.2f} m on it; give "
                "the elevation knots before and after it the same height",
            )

    def surroundings(self, value: Any) -> None:
        lists: dict[str, Callable[[Any, str], None]] = {
            "land": self.land, "plants": self.plants, "objects": self.object
        }  # fmt: skip
        looks = ("seed", "water_level", "relief", "light")
        around = self.fields(value, "surroundings", (), (*looks, *lists))
        self.one_of(around.get("relief", "hills"), "surroundings.relief", ("hills", "canyon"))
        self.whole(around.get("seed", 0), "surroundings.seed")
        self.number(around.get("water_level", 0.0), "surroundings.water_level")
        if "light" in around:
            self.light(around["light"])
        for name, one in lists.items():
            for field, entry in self.entries(around.get(name, ()), f"surroundings.{name}"):
                one(entry, field)
        if "land" in around:
            missing = {"left", "right"} - {entry["side"] for entry in around["land"]}
            if missing:
                self.refuse("surroundings.land", f"needs a stretch on each side; none is {missing.pop()}")

    def light(self, value: Any) -> None:
        light = self.fields(value, "surroundings.light", (), (*LIGHT, *LIGHT_COLOURS, "shadows"))
        for name, (low, high) in LIGHT.items():
            if name in light:
                self.number(light[name], f"surroundings.light.{name}", low, high)
        for name in LIGHT_COLOURS:
            if name in light:
                self.colour(light[name], f"surroundings.light.{name}")
        if not isinstance(light.get("shadows", False), bool):
            self.refuse("surroundings.light.shadows", f"must be true or false, got {light['shadows']!r}")
        if not light.get("fog_from", 100.0) < light.get("fog_to", 600.0):
            self.refuse("surroundings.light.fog_to", "must be farther than fog_from (100 unless given)")

    def land(self, value: Any, field: str) -> None:
        entry = self.fields(value, field, ("side", "from", "to", "profile"))
        self.stretch(entry, field, ("left", "right"))
        knots = self.entries(entry["profile"], f"{field}.profile")
        before = 0.0
        for where, knot in knots:
            if not isinstance(knot, Sequence) or isinstance(knot, str) or len(knot) != 3:
                self.refuse(where, f"must be [distance in m, height in m, cover], got {knot!r}")
            before = self.number(knot[0], where, before, FARTHEST)
            self.number(knot[1], where)
            self.one_of(knot[2], where, COVERS)
        if not knots:
            self.refuse(f"{field}.profile", "needs at least one [distance in m, height in m, cover]")

    def plants(self, value: Any, field: str) -> None:
        entry = self.fields(value, field, ("kind", "side", "from", "to", "near", "far", "count"))
        self.one_of(entry["kind"], f"{field}.kind", PLANTS)
        self.stretch(entry, field, ("left", "right"))
        near = self.number(entry["near"], f"{field}.near", 0.0, FARTHEST)
        self.number(entry["far"], f"{field}.far", near, FARTHEST)
        self.whole(entry["count"], f"{field}.count", MOST)

    def object(self, value: Any, field: str) -> None:
        sizes = {"tyres": ("length",), "sign": (), "pylon": ("height",)}
        kind = self.one_of(value.get("kind") if isinstance(value, Mapping) else value, field, tuple(sizes))
        entry = self.fields(value, field, ("kind", "s", "offset", *sizes[kind]))
        self.number(entry["s"], f"{field}.s", 0.0, self.length)
        self.number(entry["offset"], f"{field}.offset", -FARTHEST, FARTHEST)
        for size in sizes[kind]:
            self.number(entry[size], f"{field}.{size}", 0.1, FARTHEST)
