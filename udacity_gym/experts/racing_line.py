"""Fast lines around a track, with the speeds that a car can reach on them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from udacity_gym.checks import check_number
from udacity_gym.errors import OptionError
from udacity_gym.experts.quadratic import solve_between
from udacity_gym.world.jit import cached
from udacity_gym.world.physics.car import CAP_PERIOD, GRAVITY, CarParameters
from udacity_gym.world.track.track import Track

Floats = NDArray[np.float64]

LANE = 0.5
"""Maximum distance of a line "in the lane" from the reference line, m: less than the 1 m at which an
evaluation counts a departure, with room for the error of the controller."""
MARGIN = 0.45
"""Distance between the outer wheels and the edge line for a line "on the road", m."""
STIFFNESS = (math.inf, 60.0, 30.0, 15.0, 8.0)
"""Stiffness of the candidate lines, m, see `racing_line`."""
ROUNDS = 4
"""Number of linearisations of the curvature about the previous line."""
CRAWL = 1.0
"""Minimum speed, m/s, however steep the road is."""

# Cache of lines by track; weak, so that it does not keep tracks alive.
_line_cache: WeakKeyDictionary[Track, dict[Any, RacingLine]] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class RacingLine:
    """A closed line along a track with target speeds, at the samples of the track.

    Attributes:
        spacing: distance between two samples along the track, m.
        track_length: length of a lap along the track, m.
        offset: (n,) float64 distance to the right of the centre line, m.
        heading_error: (n,) float64 angle to the track, rad, positive points right.
        curvature: (n,) float64 turn per length of the line, 1/m, positive bends left.
        stretch: (n,) float64 length of the line per length of the track.
        slope: (n,) float64 slope, rad, positive uphill.
        speed: (n,) float64 target speed, m/s.
        acceleration: (n,) float64 acceleration along the line that follows from the speeds, m/s².
    """

    spacing: float
    track_length: float
    offset: Floats
    heading_error: Floats
    curvature: Floats
    stretch: Floats
    slope: Floats
    speed: Floats
    acceleration: Floats

    @property
    def length(self) -> float:
        """Length of the line, m."""
        return float(self.stretch.sum() * self.spacing)

    @property
    def lap_time(self) -> float:
        """Lap time at these speeds, s."""
        after = np.roll(self.speed, -1)
        return float(np.sum(2.0 * self.stretch * self.spacing / (self.speed + after)))

    def at(self, values: Floats, s: float) -> float:
        """Interpolate a column at ``s``, the position along the track, m."""
        sample = s % self.track_length / self.spacing
        i = min(int(sample), len(values) - 1)
        rest = sample - i
        return float((1.0 - rest) * values[i] + rest * values[(i + 1) % len(values)])


def racing_line(
    track: Track,
    within: str | float = "lane",
    speed: float = math.inf,
    grip: float = 0.7,
    braking: float = 0.8,
    car: CarParameters | None = None,
) -> RacingLine:
    """Compute a fast line around a track.

    Among lines with bounded offsets, one that minimises ``∫ curvature² + length / stiffness²`` bends as a
    beam under tension does: a stiff one is the line of least curvature (Heilmeier et al. 2020, "Minimum
    curvature trajectory planning and control for an autonomous race car"), a slack one the shortest. Which
    is fastest depends on whether the bends or the engine limit the car (Braghin et al. 2008, "Race driver
    model"), so several are computed and the one with the shortest lap is taken. Each is a quadratic
    programme with box constraints and a cyclic band of five, solved by an interior-point method, and
    repeated with the curvature linearised about the last line.

    Lines are cached as long as their track exists.

    Args:
        track: the track.
        within: "lane" keeps to the reference line by `LANE`; "road" uses the whole road between the edge
            lines; a number is m from the reference line, 0 is that line itself.
        speed: maximum speed, m/s; the car has its own limit.
        grip: share of `CarParameters.lateral_limit` to use.
        braking: share of the brakes to use.
        car: parameters of the car; None for Udacity's.

    Raises:
        OptionError: ``within`` is invalid, or a number is out of range.
    """
    car = CarParameters() if car is None else car
    check_settings(within, speed, grip, braking, car)
    lines = _line_cache.setdefault(track, {})
    key = (within, speed, grip, braking, car)
    if key not in lines:
        lines[key] = _fastest_line(track, within, min(speed, fastest(car)), grip, braking, car)
    return lines[key]


def check_settings(
    within: str | float, speed: float, grip: float, braking: float, car: CarParameters
) -> None:
    """Check the arguments of `racing_line`.

    Raises:
        OptionError: A setting is out of range.
    """
    if within not in ("lane", "road"):
        if isinstance(within, str):
            raise OptionError(f"within must be 'lane', 'road' or m from the reference line, got {within!r}")
        check_number("within", within, 0.0)
    check_number("grip", grip, 0.0, 1.0, positive=True)
    check_number("braking", braking, 0.0, 1.0, positive=True)
    if speed != math.inf:
        check_number("speed", speed, positive=True)


def fastest(car: CarParameters) -> float:
    """Speed at full throttle on level road, m/s, see `udacity_gym.world.physics.car.advance`."""
    return (car.top_speed + CAP_PERIOD * car.engine) * (1.0 - CAP_PERIOD * car.drag)


def line_at(track: Track, offset: float) -> RacingLine:
    """Line at a constant offset (m to the right of the centre line), without speeds."""
    offsets = np.full(len(track.s), offset)
    level = 1.0 + track.curvature * offsets
    slope = np.arctan2(np.roll(track.z, -1) - track.z, level * track.ds)
    return RacingLine(
        spacing=track.ds,
        track_length=track.length,
        offset=offsets,
        heading_error=np.zeros_like(offsets),
        curvature=track.curvature / level * np.cos(slope),
        stretch=level / np.cos(slope),
        slope=slope,
        speed=np.full_like(offsets, np.nan),
        acceleration=np.full_like(offsets, np.nan),
    )


def with_speeds(
    line: RacingLine, top_speed: float, lateral: float, braking: float, car: CarParameters
) -> RacingLine:
    """Add the speeds that a car can reach on a line.

    A forward pass limits the speed by the engine, a backward pass by the brakes. Both include slope and drag.

    Args:
        line: the line.
        top_speed: maximum speed, m/s.
        lateral: maximum lateral acceleration in bends, m/s².
        braking: maximum deceleration of the brakes on level road, m/s².
        car: parameters of the car.
    """
    metres = line.stretch * line.spacing
    speed = np.minimum(top_speed, np.sqrt(lateral / np.maximum(np.abs(line.curvature), 1e-6)))
    _limit_speeds(speed, line.slope, metres, braking, car)
    acceleration = (np.roll(speed, -1) ** 2 - speed**2) / (2.0 * metres)
    return replace(line, speed=speed, acceleration=acceleration)


def _fastest_line(
    track: Track, within: str | float, top_speed: float, grip: float, braking: float, car: CarParameters
) -> RacingLine:
    low, high = _bounds(track, within, car)
    limits = (top_speed, grip * car.lateral_limit, braking * car.brake, car)
    if float(np.max(high - low)) < 0.01:
        offsets = 0.5 * (low + high)
        return with_speeds(_along(track, offsets), *limits)
    lines = (with_speeds(_along(track, _bend(track, low, high, stiff)), *limits) for stiff in STIFFNESS)
    return min(lines, key=lambda line: line.lap_time)


def _bounds(track: Track, within: str | float, car: CarParameters) -> tuple[Floats, Floats]:
    """Lower and upper bounds of the offsets, m to the right of the centre line."""
    widest = max(0.0, track.lane_half_width - 0.5 * car.track_width - MARGIN)
    left = np.minimum(widest, np.maximum(0.0, track.line.wall_left - 0.5 * car.body_width - MARGIN))
    right = np.minimum(widest, np.maximum(0.0, track.line.wall_right - 0.5 * car.body_width - MARGIN))
    if within == "road":
        return -left, right
    reach = LANE if within == "lane" else float(within)
    middle = track.reference_offset
    return np.clip(middle - reach, -left, right), np.clip(middle + reach, -left, right)


def _bend(track: Track, low: Floats, high: Floats, stiffness: float) -> Floats:
    """Offsets (n,) of the line with the least ``∫ curvature² + length / stiffness²`` between the bounds."""
    normal = np.stack([np.sin(track.heading), -np.cos(track.heading)], axis=1)
    centre = np.stack([track.x, track.y], axis=1)
    offsets = 0.5 * (low + high)
    for _ in range(ROUNDS):
        path = centre + offsets[:, None] * normal
        step = np.roll(path, -1, axis=0) - path
        after = np.hypot(step[:, 0], step[:, 1])
        before = np.roll(after, 1)
        tangent = step / after[:, None] + np.roll(step / after[:, None], 1, axis=0)
        tangent /= np.hypot(tangent[:, 0], tangent[:, 1])[:, None]
        # Curvature is tangent x second derivative; linear in the offsets once the tangent is given.
        weight = 0.5 * (before + after)
        backward, centred, forward = 1.0 / (before * weight), -2.0 / (before * after), 1.0 / (after * weight)
        last, next_ = np.roll(normal, 1, axis=0), np.roll(normal, -1, axis=0)
        a = backward * _cross(tangent, last)
        b = centred * _cross(tangent, normal)
        c = forward * _cross(tangent, next_)
        straight = backward * _cross(tangent, np.roll(centre, 1, axis=0) - centre) + forward * _cross(
            tangent, np.roll(centre, -1, axis=0) - centre
        )
        diagonal, first, second, linear = _normal_equations(a, b, c, straight, weight)
        # Length is |step|² / |last step|, up to a factor that the stiffness takes.
        tension = (0.0 if math.isinf(stiffness) else stiffness**-2) / after
        gap = np.roll(centre, -1, axis=0) - centre
        diagonal += tension + np.roll(tension, 1)
        first -= tension * np.sum(normal * next_, axis=1)
        linear -= tension * np.sum(normal * gap, axis=1)
        linear += np.roll(tension * np.sum(next_ * gap, axis=1), 1)
        offsets = solve_between(diagonal, first, second, linear, low, high)
    return offsets


def _cross(a: Floats, b: Floats) -> Floats:
    product: Floats = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    return product


def _normal_equations(
    a: Floats, b: Floats, c: Floats, constant: Floats, weight: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Matrix (three cyclic diagonals) and vector of ``½ Σ weight · (a x₋ + b x + c x₊ + constant)²``."""
    diagonal = weight * b * b + np.roll(weight * c * c, 1) + np.roll(weight * a * a, -1)
    first = weight * b * c + np.roll(weight * a * b, -1)
    second = np.roll(weight * a * c, -1)
    pull = weight * constant
    linear = pull * b + np.roll(pull * c, 1) + np.roll(pull * a, -1)
    return diagonal, first, second, linear


def _along(track: Track, offsets: Floats) -> RacingLine:
    """Line with these offsets, without speeds."""
    stretch_ahead = 1.0 + track.curvature * offsets
    aside = (np.roll(offsets, -1) - np.roll(offsets, 1)) / (2.0 * track.ds)
    x = track.x + offsets * np.sin(track.heading)
    y = track.y - offsets * np.cos(track.heading)
    east, north = np.roll(x, -1) - x, np.roll(y, -1) - y
    metres = np.hypot(east, north)
    heading = np.arctan2(north, east)
    turned = heading - np.roll(heading, 1)
    turned = np.arctan2(np.sin(turned), np.cos(turned))
    slope = np.arctan2(np.roll(track.z, -1) - track.z, metres)
    return RacingLine(
        spacing=track.ds,
        track_length=track.length,
        offset=offsets,
        heading_error=np.arctan2(aside, stretch_ahead),
        curvature=2.0 * turned / (metres + np.roll(metres, 1)) * np.cos(slope),
        stretch=metres / track.ds / np.cos(slope),
        slope=slope,
        speed=np.full_like(offsets, np.nan),
        acceleration=np.full_like(offsets, np.nan),
    )


@cached
def _limit_speeds(speed: Floats, slope: Floats, metres: Floats, braking: float, car: CarParameters) -> None:
    """Limit speeds in place by brakes and engine, consistent across the start line."""
    n = speed.shape[0]
    for _ in range(2):  # twice, because the end of a lap depends on its beginning
        for i in range(2 * n - 1, -1, -1):
            k, after = i % n, (i + 1) % n
            v = speed[after]
            deceleration = braking + car.drag * v + GRAVITY * math.sin(slope[k])
            speed[k] = min(speed[k], math.sqrt(max(CRAWL * CRAWL, v * v + 2.0 * metres[k] * deceleration)))
        for i in range(2 * n):
            k, after = i % n, (i + 1) % n
            v = speed[k]
            acceleration = car.engine - car.drag * v - GRAVITY * math.sin(slope[k])
            speed[after] = min(
                speed[after], max(CRAWL, math.sqrt(max(0.0, v * v + 2.0 * metres[k] * acceleration)))
            )
