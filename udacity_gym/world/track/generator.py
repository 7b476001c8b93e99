"""Tracks from a seed.

A star-shaped polygon is drawn with corners at random angles and distances from its middle, as in Loiacono,
Cardamone and Lanzi 2011, "Automatic Track Generation for High-End Racing Games Using Evolutionary
Computation", section III, then twisted around its middle, and its corners are rounded (`layout`). What comes
too close to itself is drawn again, each time a little less wild; the last attempt is a rounded regular
polygon, which fits always. So every track

- is closed, and no part of it comes closer to another than `CLEARANCE`, so it never crosses itself;
- bends no tighter than its ``curvature`` says, and climbs no steeper than its ``hills``;
- changes its grade by no more than `VERTICAL_CURVATURE`;
- says in ``design_speed`` how fast it can be driven all around, at a lateral acceleration of `LATERAL`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udacity_gym.checks import check_integer, check_number
from udacity_gym.errors import OptionError
from udacity_gym.world.track.landscape import SURROUNDINGS, landscape
from udacity_gym.world.track.layout import (
    SHARPEST,
    lay_road,
    nearest_approach,
    tangent_length,
    turns,
    widest_radii,
)
from udacity_gym.world.track.track import Track

CLEARANCE = 26.0
"""m between the centre lines of two parts of a road at least."""
APART = 4 * CLEARANCE
"""m along the road between two places from which on they are different parts of it."""
VERTICAL_CURVATURE = 1 / 120
"""1/m, by which the grade changes per m of road at most: 1.5 m/s² at 30 mph."""
LATERAL = 4.0
"""m/s², lateral acceleration at the design speed in the sharpest bend."""
FASTEST = 13.0
"""m/s of design speed at most; Udacity's car goes 13.5."""
SHORTEST, LONGEST = 400.0, 6000.0
"""m of a lap."""
MILDEST, TIGHTEST = 1 / 60, 1 / 10
"""1/m, range of the sharpest bend."""
MARKINGS = ("edges", "lanes")
"""Kinds of markings."""
STEEPEST = 0.25
"""Rise per m of road at most."""

_ATTEMPTS = 240
_GENTLEST = 9.0  # the widest bends have so many times the radius of the sharpest
_SHORTEST_ARC = 15.0  # m of a bend's sharpest arc, about
_NARROW, _WIDE = 3.6, 7.0  # m, half the road's width
_EDGE = 0.88  # m from the outer side of the edge line to the edge of the road, about as on the lake
_KERBED = 1 / 45  # 1/m from which on bends have kerbs


def generate_track(
    seed: int,
    *,
    difficulty: float = 0.5,
    length: float = 1200.0,
    curvature: float | None = None,
    hills: float | None = None,
    width: float | None = None,
    markings: str = "edges",
    surroundings: str | None = None,
    name: str | None = None,
) -> Track:
    """Make a track that nobody has seen.

    Same arguments, same track, to the byte.

    Args:
        seed: of everything that is drawn.
        difficulty: [0, 1], from a wide flat oval to a narrow winding hill road; chooses what the following
            arguments leave open.
        length: m of a lap, 400 to 6000; what comes out is within 1 % of it.
        curvature: 1/m of the sharpest bend, 1/60 to 1/10; at 0.5 of difficulty 1/20.
        hills: steepest rise per m of road, 0 to 0.25; 0 is flat; at 0.5 of difficulty 0.06.
        width: m of road surface, 7.2 to 14; at 0.5 of difficulty 9.6.
        markings: "edges", the lake's edge lines and concrete kerb, or "lanes", two lanes as in the jungle,
            of which the right-hand one is to be driven in.
        surroundings: "meadow", "forest", "desert" or "mountain"; None draws one.
        name: what to call it; None is "generated-" and the seed.

    Returns:
        The track; ``track.save(path)`` keeps it.

    Raises:
        OptionError: An argument is out of range, or the length leaves no room for so wide bends.
    """
    check_integer("seed", seed, 0)
    check_number("difficulty", difficulty, 0.0, 1.0)
    check_number("length", length, SHORTEST, LONGEST)
    if curvature is None:
        curvature = 0.025 * 4.0**difficulty
        curvature = max(curvature, 16.0 / length)
    if hills is None:
        hills = 0.24 * difficulty**2
    if width is None:
        width = 11.0 - 2.8 * difficulty
    check_number("curvature", curvature, MILDEST, TIGHTEST)
    check_number("hills", hills, 0.0, STEEPEST)
    check_number("width", width, 2 * _NARROW, 2 * _WIDE)
    if length * curvature < 15.0:
        raise OptionError(
            f"a lap of {length:g} m is too short for bends no sharper than {curvature:g} 1/m: make the "
            f"length {15.0 / curvature:.0f} m or the curvature {15.0 / length:.3g} 1/m at least"
        )
    rng = np.random.default_rng(seed)
    if markings not in MARKINGS:
        raise OptionError(f"markings must be one of {', '.join(MARKINGS)}, got {markings!r}")
    chosen = str(rng.choice(sorted(SURROUNDINGS)))
    if surroundings is not None:
        chosen = surroundings
    if chosen not in list(SURROUNDINGS):
        raise OptionError(f"surroundings must be one of {', '.join(SURROUNDINGS)}, got {surroundings!r}")

    corners, radii = _corners(rng, difficulty, length, 1.0 / curvature)
    segments, start = lay_road(corners, radii)
    lap = sum(segment[0] for segment in segments)
    road = _road(width / 2, markings)
    lane = road.get("reference_offset", 0.0)
    quarter = _straightest(segments, 0.2 * lap, 0.4 * lap)
    data: dict[str, Any] = {
        "format": "udacity-gym-track",
        "version": 1,
        "name": f"generated-{seed}" if name is None else name,
        "design_speed": round(min(FASTEST, math.sqrt(LATERAL * (1.0 / curvature - lane))), 2),
        "start": start,
        "start_poses": {
            "training": {"s": 0.0, "offset": lane},
            "autonomous": {"s": round(quarter, 2), "offset": lane},
        },
        "road": road,
        "segments": segments,
        "elevation": _elevation(rng, lap, hills),
        "roadside": _kerbs(segments, lap) if markings == "edges" else [],
    }
    data["surroundings"] = landscape(Track(data), SURROUNDINGS[chosen], rng)
    return Track(data, source=f"generate_track({seed})")


def _corners(
    rng: np.random.Generator, difficulty: float, length: float, radius: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corners and radii of a road of that length whose sharpest bend has that radius."""
    for attempt in range(_ATTEMPTS):
        wild = 1.0 - attempt / (_ATTEMPTS - 1)
        spacing = max(55.0, 130.0 - 70.0 * difficulty, 4.0 * radius)
        count = max(4, round((0.4 + 0.6 * wild) * length / spacing))
        shape = _star(rng, count, wild * (0.45 + 0.55 * difficulty))
        share = rng.random(count) ** (0.5 + difficulty)
        turn = np.abs(turns(shape))
        wanted = np.maximum(radius * _GENTLEST**share, _SHORTEST_ARC / np.maximum(turn, 1e-9))
        wanted[int(np.argmax(turn))] = radius
        fitted = _scale(shape, wanted, length, radius)
        if fitted is None:
            continue
        corners, radii = fitted
        segments, _ = lay_road(corners, radii)
        turned = sum(segment[0] * segment[1] for segment in segments)
        if abs(abs(turned) - math.tau) < 1e-3 and nearest_approach(segments, APART) >= CLEARANCE:
            return corners, radii
    raise OptionError(
        f"no road of {length:g} m with bends of {radius:.1f} m fits: make it longer, or its curvature larger"
    )


def _star(rng: np.random.Generator, count: int, wild: float) -> NDArray[np.float64]:
    """A polygon around the origin, of about unit size; the wilder, the more its corners stray."""
    angle = math.tau * (np.arange(count) + wild * rng.uniform(-0.35, 0.35, count)) / count
    distance = 1.0 + 0.75 * wild * rng.uniform(-1.0, 1.0, count)
    angle += wild * rng.uniform(-1.2, 1.2) * (distance - 1.0)
    shape = distance[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    shape[:, 1] *= 1.0 - 0.5 * wild * rng.random()
    turn = rng.uniform(0.0, math.tau)
    shape = shape @ np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    turned: NDArray[np.float64] = shape[::-1] if rng.random() < 0.5 else shape
    return turned


def _scale(
    shape: NDArray[np.float64], wanted: NDArray[np.float64], length: float, radius: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Blow a polygon up until its road has the length; None where a corner is too sharp for the radius."""
    turn = np.abs(turns(shape))
    if turn.max() > SHARPEST:
        return None
    widest = widest_radii(shape)
    perimeter = float(np.hypot(*(np.roll(shape, -1, axis=0) - shape).T).sum())
    # What a corner's curve saves against its two tangents, per m of radius.
    saved = 2.0 * np.array([tangent_length(float(angle)) for angle in turn]) - 1.5 * turn
    size = length / perimeter
    for _ in range(60):
        radii = np.minimum(wanted, size * widest)
        size *= length / (size * perimeter - float(radii @ saved))
    radii = np.minimum(wanted, size * widest)
    if radii.min() < radius or abs(size * perimeter - float(radii @ saved) - length) > 0.01 * length:
        return None
    return size * shape, radii


def _elevation(rng: np.random.Generator, lap: float, hills: float) -> list[list[float]]:
    """Knots of a height that is no steeper than ``hills`` and bends no more than `VERTICAL_CURVATURE`."""
    count = max(4, round(lap / 90.0))
    at = lap * (np.arange(count) + rng.uniform(-0.3, 0.3, count)) / count
    at[0] = 0.0
    phase, size = rng.uniform(0.0, math.tau, 5), rng.uniform(0.3, 1.0, 5)
    wave = np.arange(1, 6)
    height = (size / wave * np.sin(math.tau * at[:, None] * wave / lap + phase)).sum(axis=1)
    if hills <= 0.0:
        return [[0.0, 0.0]]
    ramp = np.diff(at, append=lap)
    rise = np.abs(np.diff(height, append=height[0]))
    # A smoothstep's grade is 1.5 times its mean grade in its middle; its ends bend the most, 6 h / l².
    highest = np.minimum(hills * ramp / 1.5, VERTICAL_CURVATURE * ramp**2 / 6.0)
    height = (height - height[0]) * 0.999 * float((highest / np.maximum(rise, 1e-9)).min())
    return [[round(float(s), 3), round(float(z), 3)] for s, z in zip(at, height, strict=True)]


def _road(half_width: float, markings: str) -> dict[str, Any]:
    """Cross-section and markings of a road."""
    half_width = round(half_width, 3)
    if markings == "edges":
        return {"half_width": half_width, "lane_half_width": round(half_width - _EDGE, 3)}
    return {
        "half_width": half_width,
        "lane_half_width": half_width,
        "reference_offset": round(half_width / 2, 3),
        "kerb": False,
        "edge_line": {"kind": "solid", "colour": "white", "width": 0.2},
        "centre_line": {"kind": "dashed", "colour": "white", "width": 0.2, "dash": 3.6, "gap": 1.4},
    }


def _kerbs(segments: list[list[float]], lap: float) -> list[dict[str, Any]]:
    """Red and white kerbs along sharp bends."""
    kerbs: list[dict[str, Any]] = []
    s = 0.0
    for length, curvature in segments:
        if abs(curvature) >= _KERBED:
            begin, end = max(0.0, s - 6.0), min(lap, s + length + 6.0)
            if kerbs and begin <= kerbs[-1]["to"]:
                kerbs[-1]["to"] = round(end, 2)
            else:
                kerbs.append({"kind": "kerb", "side": "both", "from": round(begin, 2), "to": round(end, 2)})
        s += length
    return kerbs


def _straightest(segments: list[list[float]], low: float, high: float) -> float:
    """The middle (m along the road) of the longest straight that has it in a range."""
    best, where, s = 0.0, (low + high) / 2, 0.0
    for length, curvature in segments:
        middle = s + length / 2
        if curvature == 0.0 and length > best and low <= middle <= high:
            best, where = length, middle
        s += length
    return where
