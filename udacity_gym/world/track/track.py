"""The track: centre line, elevation, width; where a point is relative to it.

A track is a data file (see `docs/tracks.md`): stretches of constant curvature, elevation knots,
road width, start poses, and what stands beside the road. Lateral offsets are positive to the
**right** of the driving direction, curvature is positive where the road bends **left**.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from udacity_gym.errors import OptionError, TrackError
from udacity_gym.files import write_whole
from udacity_gym.telemetry import Pose
from udacity_gym.world.jit import cached
from udacity_gym.world.track.track_file import DIRECTIONS, MODES, Start, StartPose, TrackFile, arc

SPACING = 0.5
"""m between two samples of the centre line, to within the rounding that closes the loop."""
AXLES = (1.27, 1.60)
"""m from the root of Udacity's car forward to its front axle and back to its rear axle."""


@dataclass(frozen=True, slots=True)
class TrackPoint:
    """A place relative to the centre line.

    Attributes:
        s: m along the track, [0, length).
        offset: m to the right of the centre line.
        heading: rad direction of the track, counter-clockwise from +x.
        curvature: 1/m, positive bends left.
    """

    s: float
    offset: float
    heading: float
    curvature: float


class CentreLine(NamedTuple):
    """The samples of a track in the form that compiled code takes.

    Attributes:
        x, y, z, heading, curvature: (n,) float64, see `Track`.
        wall_left, wall_right: (n,) float64 m from the centre line to a wall, inf where there is none.
        spacing: m between samples.
        length: m once around.
        half_width: m from the centre line to the edge of the road surface.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    z: NDArray[np.float64]
    heading: NDArray[np.float64]
    curvature: NDArray[np.float64]
    wall_left: NDArray[np.float64]
    wall_right: NDArray[np.float64]
    spacing: float
    length: float
    half_width: float


@cached
def locate(
    x: float, y: float, line: CentreLine, near: float, reach: float, z: float = np.nan
) -> tuple[float, float, int]:
    """Find where a point is relative to the centre line: compiled, for loops over steps.

    Args:
        x: m east.
        y: m north.
        line: the track.
        near: m along the track, where to look; negative looks everywhere.
        reach: m before and after ``near`` to look at.
        z: m up, which tells roads above each other apart; NaN if unknown.

    Returns:
        s (m, [0, length)), offset (m right of the centre line) and the index of the nearest sample;
        exact for the arc of that sample, see `Track.locate`.
    """
    n = line.x.shape[0]
    first, count = 0, n
    if near >= 0.0:
        span = max(1, int(reach / line.spacing))
        first, count = int(near / line.spacing) - span, min(n, 2 * span + 1)
    i, best = 0, np.inf
    for k in range(first, first + count):
        j = k % n
        distance = (line.x[j] - x) ** 2 + (line.y[j] - y) ** 2
        if not math.isnan(z):
            distance += (line.z[j] - z) ** 2
        if distance < best:
            i, best = j, distance
    c, sn, curvature = math.cos(line.heading[i]), math.sin(line.heading[i]), line.curvature[i]
    ahead = c * (x - line.x[i]) + sn * (y - line.y[i])
    left = c * (y - line.y[i]) - sn * (x - line.x[i])
    q = 1.0 - curvature * left
    along = ahead
    if abs(curvature) > 1e-9:
        along = math.atan2(curvature * ahead, q) / curvature
    offset_left = (2 * left - curvature * (ahead * ahead + left * left)) / (
        1.0 + math.hypot(curvature * ahead, q)
    )
    s = (i * line.spacing + along) % line.length
    if s >= line.length:
        s = 0.0
    return s, -offset_left, i


@cached
def axle_places(line: CentreLine, s: float, offset: float, front: float, rear: float) -> tuple[float, float]:
    """Where the axles of a car are that points along the road.

    Inside a bend the centre line is longer than the car's way, outside it is shorter.

    Args:
        line: the track.
        s: m along the track, of the car's root.
        offset: m right of the centre line. At least 0.3 of the bend's radius from its middle is assumed.
        front: m from the root forward to the front axle.
        rear: m from the root back to the rear axle.

    Returns:
        m along the track of the rear and of the front axle, [0, length).
    """
    n = line.x.shape[0]
    behind = int(((s - 0.5 * rear) % line.length) / line.spacing) % n
    before = int(((s + 0.5 * front) % line.length) / line.spacing) % n
    return (
        (s - rear / max(0.3, 1.0 + line.curvature[behind] * offset)) % line.length,
        (s + front / max(0.3, 1.0 + line.curvature[before] * offset)) % line.length,
    )


@cached
def slope_at(line: CentreLine, s: float, offset: float, front: float, rear: float) -> float:
    """Slope of the road under a car that points along it.

    The road is level across. Inside a bend it is steeper than along the centre line, as it rises as much on a
    shorter way, and outside it is less steep. This changes at once where a bend turns into its opposite, so
    the slope is that of a line through both axles.

    Args:
        line: the track.
        s: m along the track, of the car's root.
        offset: m right of the centre line.
        front: m from the root forward to the front axle.
        rear: m from the root back to the rear axle.

    Returns:
        rad, positive uphill.
    """
    n = line.x.shape[0]
    heights = np.zeros(2)
    places = axle_places(line, s, offset, front, rear)
    for side in range(2):
        place = places[side] / line.spacing
        k = int(place) % n
        heights[side] = line.z[k] + (place - int(place)) * (line.z[(k + 1) % n] - line.z[k])
    return math.atan((heights[1] - heights[0]) / (front + rear))


class Track:
    """A closed track, sampled about every half metre.

    Attributes:
        name: name of the track.
        source: where it came from: name of a built-in track, or path.
        design_speed: m/s at which the whole lap can be driven on the centre line, None where the file
            does not say.
        direction: "forward", or "reverse": the road of the file driven the other way around.
        length: m once around the centre line.
        half_width: m from the centre line to the edge of the road surface.
        lane_half_width: m from the centre line to the outer side of the edge line.
        reference_offset: m from the centre line to the reference line that cross-track error is
            measured from, positive right.
        starts: start pose by mode ("training", "autonomous"): (s in m, offset in m right of the centre line).
        data: the content of the track file, as JSON has it.
        line: what compiled code needs of the track.
        s, x, y, z, heading, curvature: (n,) float64 samples of the centre line: m, m, m, m, rad, 1/m.
    """

    def __init__(self, data: Mapping[str, Any], source: str = "track") -> None:
        """Build a track from the content of a track file.

        Args:
            data: content of the track file.
            source: where it came from, for error messages.

        Raises:
            TrackError: The content breaks the format; the message names the field.
        """
        file = TrackFile.read(data, source)
        self.data = dict(data)
        self.source = source
        self.file = file
        self.name = source if file.name is None else file.name
        self.design_speed = file.design_speed
        self.direction: str = file.direction
        self.half_width = file.road.half_width
        self.lane_half_width = file.road.lane_half_width
        self.reference_offset = file.road.reference_offset
        poses: dict[str, StartPose] = {mode: getattr(file.start_poses, mode) for mode in MODES}
        self.starts = {mode: (pose.s, pose.offset) for mode, pose in poses.items()}
        segments = np.array(file.segments, dtype=np.float64)
        self.length = float(segments[:, 0].sum())
        self._sample(segments, np.array(file.elevation, dtype=np.float64), file.start)
        self._other_way: Track | None = None

    def __getstate__(self) -> dict[str, Any]:
        state = {**vars(self), "_other_way": None}
        state.pop("file", None)
        return state  # without what can be made again

    @cached_property
    def file(self) -> TrackFile:
        """The content of the track file, with types and defaults."""
        return TrackFile.read(self.data, self.source)

    @staticmethod
    def load(name_or_path: str | Path | Track) -> Track:
        """Load a track by the name of a built-in one, or from a track file; a track is returned as it is.

        Raises:
            TrackError: No such track, or the file breaks the format.
        """
        if isinstance(name_or_path, Track):
            return name_or_path
        text = str(name_or_path)
        if text in built_in_tracks():
            return _load_built_in(text)
        path = Path(name_or_path)
        if not path.is_file():
            raise TrackError(
                f"no track {text!r}: neither a built-in track ({', '.join(built_in_tracks())}) nor a file"
            )
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise TrackError(f"{path}: not a track file: it can't be read as text: {error}") from error
        return Track(_parse(text, str(path)), source=str(path))

    def save(self, path: str | Path) -> Path:
        """Write the track file; `load` and ``gym.make(track=...)`` read it.

        Returns:
            Its path.

        Raises:
            UdacityGymError: It can't be written there.
        """
        return write_whole(path, _format(self.data))

    def _sample(
        self,
        segments: NDArray[np.float64],
        elevation: NDArray[np.float64],
        start: Start,
    ) -> None:
        ends = np.cumsum(segments[:, 0])
        turned = np.concatenate([[0.0], np.cumsum(segments[:, 0] * segments[:, 1])])
        # Corner points of the segments, then every sample from the corner before it: exact on arcs.
        corners = np.zeros((len(segments) + 1, 2))
        for i, (length, curvature) in enumerate(segments):
            corners[i + 1] = corners[i] + arc(length, curvature, turned[i])
        n = round(self.length / SPACING)
        self.ds = self.length / n
        self.s: NDArray[np.float64] = np.arange(n, dtype=np.float64) * self.ds
        which = np.minimum(np.searchsorted(ends, self.s, side="right"), len(segments) - 1)
        begins = ends - segments[:, 0]
        local = np.array(
            [
                corners[i] + arc(s - begins[i], segments[i, 1], turned[i])
                for s, i in zip(self.s, which, strict=True)
            ]
        )
        local -= np.outer(self.s / self.length, corners[-1])  # millimetres, spread over the lap
        c, sn = math.cos(start.heading), math.sin(start.heading)
        self.x = start.x + c * local[:, 0] - sn * local[:, 1]
        self.y = start.y + sn * local[:, 0] + c * local[:, 1]
        self.curvature = segments[which, 1]
        self.heading = start.heading + turned[which] + (self.s - begins[which]) * self.curvature
        self.z = start.z + _elevation(self.s, elevation, self.length)
        wall_left, wall_right = self._walls("left"), self._walls("right")
        if self.direction == "reverse":
            at = -np.arange(n) % n
            stretch = at - 1  # what holds from a sample to the next now does from the one before it
            self.x, self.y, self.z = self.x[at], self.y[at], self.z[at]
            self.heading = np.unwrap(self.heading[at] + math.pi)
            self.curvature = -self.curvature[stretch]
            wall_left, wall_right = wall_right[stretch], wall_left[stretch]
            self.starts = {mode: (self.wrap(-s), offset) for mode, (s, offset) in self.starts.items()}
        self.line = CentreLine(
            x=self.x,
            y=self.y,
            z=self.z,
            heading=self.heading,
            curvature=self.curvature,
            wall_left=wall_left,
            wall_right=wall_right,
            spacing=self.ds,
            length=self.length,
            half_width=self.half_width,
        )

    def reversed(self) -> Track:
        """The same road driven the other way.

        The start line stays where it is; ``s``, headings, curvature, sides, walls and starts are those of
        the new direction. Offsets stay: whoever drove in the right-hand lane does so again.
        """
        if self._other_way is None:
            other = "forward" if self.direction == "reverse" else "reverse"
            self._other_way = Track({**self.data, "direction": other}, self.source)
            self._other_way._other_way = self
        return self._other_way

    def facing(self, direction: str | None) -> Track:
        """This track, or the same one reversed, whichever goes in a direction.

        Args:
            direction: "forward" (as the track file describes the road) or "reverse"; None is as it is.

        Raises:
            OptionError: There is no such direction.
        """
        if direction is not None and direction not in DIRECTIONS:
            raise OptionError(f"direction must be 'forward' or 'reverse', got {direction!r}")
        return self if direction in (None, self.direction) else self.reversed()

    def _walls(self, side: str) -> NDArray[np.float64]:
        """Distance (m) of the wall on one side from the centre line at every sample, inf without one."""
        distance = np.full(len(self.s), np.inf)
        for entry in self.file.roadside:
            if entry.kind == "bridge" and entry.side in (side, "both"):
                inside = (self.s >= entry.begin) & (self.s < entry.end)
                distance[inside] = entry.wall_at(self.s[inside])
        return distance

    def wrap(self, s: float) -> float:
        """Bring a distance along the track into [0, length)."""
        s = s % self.length
        return 0.0 if s >= self.length else s

    def index(self, s: float) -> int:
        """Index of the sample at or just before ``s``."""
        return min(int(self.wrap(s) / self.ds), len(self.s) - 1)

    def curvature_at(self, s: float) -> float:
        """Curvature at ``s`` in 1/m, positive bends left."""
        return float(self.curvature[self.index(s)])

    def elevation_at(self, s: float) -> float:
        """Height of the centre line at ``s`` in m."""
        i = self.index(s)
        rest = (self.wrap(s) - self.s[i]) / self.ds
        return float(self.z[i] + rest * (self.z[(i + 1) % len(self.z)] - self.z[i]))

    def heading_at(self, s: float) -> float:
        """Heading at ``s``, rad counter-clockwise from east; it jumps by a full turn where the lap begins."""
        i = self.index(s)
        return float(self.heading[i] + (self.wrap(s) - self.s[i]) * self.curvature[i])

    def pose_at(self, s: float, offset: float = 0.0, heading_error: float = 0.0) -> Pose:
        """Pose at a place on the track.

        Args:
            s: m along the track; wraps around.
            offset: m to the right of the centre line.
            heading_error: rad by which the car points to the right of the track.

        Returns:
            The pose at the height of the road, pitched and rolled like Udacity's car on both axles.
        """
        i = self.index(s)
        east, north = arc(self.wrap(s) - self.s[i], self.curvature[i], self.heading[i])
        heading = self.heading_at(s)
        yaw = heading - heading_error
        slope = slope_at(self.line, self.wrap(s), offset, *AXLES)
        return Pose(
            x=float(self.x[i] + east + offset * math.sin(heading)),
            y=float(self.y[i] + north - offset * math.cos(heading)),
            z=self.elevation_at(s),
            yaw=math.atan2(math.sin(yaw), math.cos(yaw)),
            pitch=slope * math.cos(heading_error),
            roll=slope * math.sin(heading_error),
        )

    def locate(
        self, x: float, y: float, near: float | None = None, reach: float = 10.0, z: float | None = None
    ) -> TrackPoint:
        """Find where a point is relative to the centre line.

        Args:
            x: m east.
            y: m north.
            near: where along the track to look; None looks everywhere. A track that passes over
                itself is only unambiguous with it, or with ``z``.
            reach: m before and after ``near`` to look at.
            z: m up, for tracks that pass over themselves; None if unknown.

        Returns:
            The nearest place, exact for the arc of the nearest sample. Where the curvature changes, the
            arcs of two samples do not continue each other. At the edges of the road, ``s`` is therefore off
            by up to 0.05 m on the lake, 0.12 m on the mountain and 0.67 m inside the jungle's bends of 10 m
            radius, and ``offset`` by up to 0.04 m.
        """
        begin, height = -1.0 if near is None else self.wrap(near), math.nan if z is None else z
        s, offset, i = locate(x, y, self.line, begin, reach, height)
        ahead = (s - self.s[i] + 0.5 * self.length) % self.length - 0.5 * self.length
        curvature = float(self.curvature[i])
        return TrackPoint(s, offset, float(self.heading[i]) + ahead * curvature, curvature)

    def __repr__(self) -> str:
        way = "" if self.direction == "forward" else ", reverse"
        return f"Track({self.name!r}, length={self.length:.1f} m{way})"


def built_in_tracks() -> Sequence[str]:
    """Names of the tracks that come with the library."""
    folder = resources.files("udacity_gym.world") / "tracks"
    return sorted(entry.name[: -len(".json")] for entry in folder.iterdir() if entry.name.endswith(".json"))


@lru_cache(maxsize=8)
def _load_built_in(name: str) -> Track:
    text = (resources.files("udacity_gym.world") / "tracks" / f"{name}.json").read_text(encoding="utf-8")
    return Track(_parse(text, name), source=name)


def _format(value: Any, indent: str = "") -> str:
    """JSON with a line for everything that has no further objects or lists of lists in it."""
    inner = indent + "  "
    flat = json.dumps(value, allow_nan=False, ensure_ascii=False)
    lists = isinstance(value, (list, tuple)) and any(isinstance(entry, (dict, list)) for entry in value)
    if isinstance(value, dict) and (not indent or len(flat) > 100) and "profile" not in value:
        lines = [f"{inner}{json.dumps(key)}: {_format(entry, inner)}" for key, entry in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if lists and (len(flat) > 100 or isinstance(value[0], dict)) and not _is_profile(value):
        return "[\n" + ",\n".join(inner + _format(entry, inner) for entry in value) + f"\n{indent}]"
    return flat


def _is_profile(value: Any) -> bool:
    return isinstance(value[0], list) and isinstance(value[0][-1], str)


def _parse(text: str, source: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise TrackError(f"{source}: line {error.lineno}: not JSON: {error.msg}") from error


def _elevation(s: NDArray[np.float64], knots: NDArray[np.float64], length: float) -> NDArray[np.float64]:
    """Height at ``s``: smoothstep from knot to knot, around the loop."""
    at = np.concatenate([knots[:, 0], [knots[0, 0] + length]])
    height = np.concatenate([knots[:, 1], [knots[0, 1]]])
    s = at[0] + (s - at[0]) % length
    i = np.minimum(np.searchsorted(at, s, side="right") - 1, len(knots) - 1)
    f = (s - at[i]) / np.maximum(at[i + 1] - at[i], 1e-9)
    rise: NDArray[np.float64] = height[i] + (height[i + 1] - height[i]) * f * f * (3 - 2 * f)
    return rise
