"""Roads from corners: a closed polygon, its corners rounded as road engineers do it.

Every corner becomes three arcs, the outer two with half the curvature of the middle one: the three-centred
compound curve of AASHTO's "A Policy on Geometric Design of Highways and Streets", section 3.3. It begins and
ends on the polygon's sides, so the loop closes exactly whatever the corners are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from udacity_gym.errors import TrackError
from udacity_gym.world.track.track_file import arc

SHARES = ((0.25, 0.5), (0.5, 1.0), (0.25, 0.5))
"""Share of a corner's angle and share of its curvature, for each of its three arcs."""
SHARPEST = math.radians(155)
"""rad that a corner may turn."""
_METRES, _CURVATURES = 6, 9  # digits kept: the loop then closes within a tenth of a millimetre


def tangent_length(turn: float) -> float:
    """Distance from a corner to where its curve begins, in radii of the curve's middle arc.

    Args:
        turn: rad by which the road turns there, (0, pi).
    """
    x = y = heading = 0.0
    for angle, curvature in SHARES:
        east, north = arc(angle * turn / curvature, curvature, heading)
        x, y, heading = x + float(east), y + float(north), heading + angle * turn
    return (x * math.cos(turn / 2) + y * math.sin(turn / 2)) / (2 * math.cos(turn / 2))


def turns(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """By how much the polygon turns at each corner: (n,) rad in (-pi, pi], positive left."""
    sides = np.roll(corners, -1, axis=0) - corners
    heading = np.arctan2(sides[:, 1], sides[:, 0])
    turn = heading - np.roll(heading, 1)
    wrapped: NDArray[np.float64] = np.arctan2(np.sin(turn), np.cos(turn))
    return wrapped


def widest_radii(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Radii that all corners can have at once: (n,) m; neighbours share the side between them by need."""
    need = np.array([tangent_length(abs(turn)) for turn in turns(corners)])
    side = np.hypot(*(np.roll(corners, -1, axis=0) - corners).T)
    after = side / np.maximum(need + np.roll(need, -1), 1e-9)
    radii: NDArray[np.float64] = np.minimum(after, np.roll(after, 1))
    return radii


def lay_road(
    corners: Sequence[Sequence[float]] | NDArray[np.float64], radii: Sequence[float] | NDArray[np.float64]
) -> tuple[list[list[float]], dict[str, float]]:
    """Lay a closed road around a polygon.

    Args:
        corners: (n, 2) m east and north, in the order in which they are driven past; n is 3 or more.
        radii: (n,) m, of each corner's sharpest arc.

    Returns:
        "segments" and "start" of a track file. The start line lies in the middle of the longest straight.

    Raises:
        TrackError: A number is not finite, a corner turns too sharply, or its curve does not fit between its
            neighbours.
    """
    points, radius = np.asarray(corners, np.float64), np.asarray(radii, np.float64)
    if points.ndim != 2 or points.shape[1:] != (2,) or len(points) < 3 or radius.shape != (len(points),):
        raise TrackError("a road needs three or more corners [east, north], and a radius for each")
    if not np.isfinite(points).all() or not np.isfinite(radius).all():
        raise TrackError("the corners of a road and their radii must be finite numbers")
    turn = turns(points)
    sides = np.roll(points, -1, axis=0) - points
    tangent = radius * [tangent_length(abs(angle)) for angle in turn]
    straight = np.hypot(*sides.T) - tangent - np.roll(tangent, -1)
    for k, angle in enumerate(turn):
        if abs(angle) > SHARPEST or not radius[k] > 0:
            raise TrackError(
                f"corner {k} turns {math.degrees(angle):.0f} degrees with a radius of {radius[k]:g} m: at "
                f"most {math.degrees(SHARPEST):.0f} degrees, and a positive radius"
            )
        if straight[k] < -1e-9:
            raise TrackError(
                f"the curves of corners {k} and {(k + 1) % len(turn)} overlap by {-straight[k]:.1f} m: move "
                "them apart or make their radii smaller"
            )
    first = int(np.argmax(straight))
    segments = [[straight[first] / 2, 0.0]]
    for j in range(1, len(points) + 1):
        k = (first + j) % len(points)
        for angle, share in SHARES:
            curvature = math.copysign(share / radius[k], turn[k])
            segments.append([angle * abs(turn[k]) * radius[k] / share, curvature])
        segments.append([straight[k] / (2 if k == first else 1), 0.0])
    kept = [[round(float(length), _METRES), round(float(k), _CURVATURES)] for length, k in segments]
    ahead = sides[first] / np.hypot(*sides[first])
    x, y = points[first] + ahead * (tangent[first] + straight[first] / 2)
    start = {"x": x, "y": y, "z": 0.0, "heading": math.atan2(ahead[1], ahead[0])}
    return (
        [segment for segment in kept if segment[0] > 0.0],
        {name: round(float(value), _METRES) for name, value in start.items()},
    )


def points_along(segments: Sequence[Sequence[float]], spacing: float) -> NDArray[np.float64]:
    """Points of a road about every ``spacing`` m: (n, 3) east, north and m along it, from the origin."""
    x = y = heading = s = 0.0
    points: list[tuple[float, float, float]] = []
    for length, curvature in segments:
        for k in range(max(1, round(length / spacing))):
            along = length * k / max(1, round(length / spacing))
            east, north = arc(along, curvature, heading)
            points.append((x + float(east), y + float(north), s + along))
        east, north = arc(length, curvature, heading)
        x, y, heading, s = x + float(east), y + float(north), heading + length * curvature, s + length
    return np.array(points)


def nearest_approach(segments: Sequence[Sequence[float]], apart: float) -> float:
    """How close a road comes to another part of itself, in m from centre line to centre line.

    Args:
        segments: "segments" of a track file.
        apart: m along the road between two places from which on they are different parts of it.
    """
    points = points_along(segments, 3.0)
    length = sum(segment[0] for segment in segments)
    distance = np.hypot(*(points[:, None, :2] - points[None, :, :2]).transpose(2, 0, 1))
    along = np.abs(points[:, None, 2] - points[None, :, 2])
    other = np.minimum(along, length - along) >= apart
    return float(distance[other].min(initial=math.inf))
