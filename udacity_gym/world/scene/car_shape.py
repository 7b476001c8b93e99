"""The shape of our car: a coupé as meshes of faces, built once.

The body is lofted: curves over the length of the car give the width, the deck and the roof of each
cross-section. What lies on it, such as windows and lamps, is a patch of the same surface, a little proud of
it. All points are in the car's frame: m forward, left and up of its root, at the height of the road.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FRONT_AXLE, REAR_AXLE = 1.27, -1.60
"""m in front of the car's root."""
HALF_TRACK = 0.88
"""m from the middle of the car to the middle of a wheel."""
FRONT_RADIUS, REAR_RADIUS = 0.335, 0.37
"""m, wheels."""
TYRE_WIDTH = 0.25
"""m."""
SPOKES = 5
"""Spokes of a rim."""

Array = NDArray[np.float64]
_Rgb = tuple[float, float, float]


class Material(NamedTuple):
    """A surface.

    Attributes:
        colour: RGB in [0, 255].
        gloss: [0, 1] share of the light that it mirrors when seen at right angles; more at flat angles.
        shine: [0, 1] how strongly it shows the sun itself.
    """

    colour: _Rgb
    gloss: float
    shine: float


PAINT = Material((196.0, 178.0, 140.0), 0.06, 0.55)
TRIM = Material((28.0, 29.0, 31.0), 0.03, 0.1)
GLASS = Material((20.0, 25.0, 30.0), 0.16, 0.9)
TYRE = Material((27.0, 27.0, 28.0), 0.01, 0.0)
RIM = Material((176.0, 178.0, 182.0), 0.12, 0.6)
WELL = Material((9.0, 9.0, 10.0), 0.0, 0.0)
LENS = Material((128.0, 12.0, 14.0), 0.08, 0.6)
CLEAR_LENS = Material((206.0, 206.0, 200.0), 0.1, 0.6)
PLATE = Material((222.0, 222.0, 214.0), 0.02, 0.1)
CHROME = Material((150.0, 152.0, 156.0), 0.35, 0.8)

_PROUD = 0.006  # m by which windows and lamps stand out
# Curves over the length of the car: m forward, m.
_HALF_WIDTH = ((-2.30, 0.80), (-2.05, 0.90), (-1.60, 0.965), (-1.10, 0.93), (-0.30, 0.895), (0.70, 0.90),
               (1.27, 0.95), (1.75, 0.90), (2.08, 0.80), (2.26, 0.66))  # fmt: skip
_DECK = ((-2.30, 0.86), (-2.18, 0.95), (-1.85, 0.985), (-1.20, 0.965), (0.70, 0.945), (1.00, 0.925),
         (1.55, 0.855), (1.95, 0.755), (2.15, 0.66), (2.26, 0.56))  # fmt: skip
_SILL = ((-2.30, 0.40), (-2.15, 0.30), (-1.80, 0.22), (1.90, 0.20), (2.15, 0.24), (2.26, 0.32))
_ROOF = ((-1.88, 0.985), (-1.50, 1.12), (-1.10, 1.265), (-0.75, 1.345), (-0.35, 1.375), (0.05, 1.355),
         (0.35, 1.275), (0.75, 1.075), (1.00, 0.925))  # fmt: skip
_REAR_END, _FRONT_END = -2.30, 2.26
_CABIN_REAR, _CABIN_FRONT = -1.88, 1.00
_SIDE_RISE = 0.14  # m from where the sides end up to the deck; the shoulder between them is round
# The side from its upper end down to the sill: share of the way, and of the half width.
_SIDE_DOWN, _SIDE_WIDE = (0.0, 0.45, 0.85, 1.0), (1.0, 0.995, 0.97, 0.93)
_ROOF_EDGE = 0.62  # share of the way round the cabin at which its roof ends and its sides begin


def _curve(knots: Sequence[tuple[float, float]], x: Array, soft: float = 0.09) -> Array:
    """A curve near knots: the mean, over a stretch, of the straight lines between them."""
    at, value = np.array(knots).T
    taps = np.linspace(-soft, soft, 7)
    return np.asarray(np.interp(x[..., None] + taps, at, value).mean(axis=-1))


def _hull(x: Array, around: Array) -> Array:
    """Points of the body without its cabin.

    Args:
        x: m forward.
        around: [-1, 1] from the right sill over the deck (0) to the left sill.

    Returns:
        (..., 3) m.
    """
    wide, deck, sill = _curve(_HALF_WIDTH, x), _curve(_DECK, x), _curve(_SILL, x)
    share = np.abs(around)
    # From the middle of the deck out to the shoulder, round it, and down the side to the sill.
    at = np.linspace(0.0, 1.0, 9)
    y = np.interp(share, at, (0.0, 0.45, 0.80, 0.915, 0.975, *_SIDE_WIDE)) * wide
    above = np.interp(share, at[:6], (0.03, 0.018, -0.008, -0.035, -0.08, -_SIDE_RISE)) + deck
    top = deck - _SIDE_RISE
    below = top + np.interp(share, at[5:], _SIDE_DOWN) * (sill - top)
    return np.stack([x, np.sign(around) * y, np.where(share <= at[5], above, below)], axis=-1)


def _flank(x: Array, z: Array, side: float, out: float) -> Array:
    """Points of the body's side by m forward and up, moved so many m outward."""
    top, sill = _curve(_DECK, x) - _SIDE_RISE, _curve(_SILL, x)
    down = np.clip((top - z) / (top - sill), 0.0, 1.0)
    wide = np.interp(down, _SIDE_DOWN, _SIDE_WIDE) * _curve(_HALF_WIDTH, x)
    return np.stack([x, side * (wide + out), z], axis=-1)


def _cabin(x: Array, around: Array) -> Array:
    """Points of the cabin, arguments as of `_hull`: side windows, then the roof or a window in the middle."""
    deck, wide = _curve(_DECK, x), _curve(_HALF_WIDTH, x)
    roof = np.maximum(_curve(_ROOF, x), deck - 0.02)
    rise = np.maximum(roof - deck, 0.0)
    belt = wide - 0.09
    edge = belt - 0.40 * rise
    share = np.abs(around)
    up = np.clip(share / _ROOF_EDGE, 0.0, 1.0)  # from the middle of the roof to its edge
    down = np.clip((share - _ROOF_EDGE) / (1.0 - _ROOF_EDGE), 0.0, 1.0)  # from there to the belt
    drop = 0.05 * np.minimum(rise / 0.2, 1.0)  # by which the roof curves down to its edge
    y = np.where(share <= _ROOF_EDGE, edge * up, edge + (belt - edge) * down)
    z = np.where(share <= _ROOF_EDGE, roof - drop * up**4, roof - drop + (deck - 0.03 - roof + drop) * down)
    return np.stack([x, np.sign(around) * y, z], axis=-1)


def _tail(z: Array, y: Array) -> Array:
    """Points of the rear panel by m up and to the left: it bulges in the middle, and leans forward above."""
    bulge = 0.07 * (1.0 - (y / 0.8) ** 2)
    x = _REAR_END - bulge - 0.05 * np.cos((z - 0.62) * 5.0) + 0.03
    return np.stack([x, y, z], axis=-1)


class _Mesh:
    """Faces that are being put together."""

    def __init__(self) -> None:
        self.corners: list[Array] = []
        self.materials: list[Material] = []

    def add(self, points: Array, material: Material) -> None:
        """Add the faces between the points of a grid, (m, n, 3)."""
        self.corners.append(_faces_of(points))
        self.materials += [material] * len(self.corners[-1])


@dataclass(frozen=True)
class Solid:
    """Faces in a frame of their own.

    Attributes:
        corners: (n, 4, 3) m.
        normals: (n, 3) unit vectors outward.
        colours: (n, 3) RGB in [0, 255].
        gloss, shine: (n,) see `Material`.
    """

    corners: Array
    normals: Array
    colours: Array
    gloss: Array
    shine: Array


def _solid(mesh: _Mesh, inside: Callable[[Array], Array]) -> Solid:
    """Finish a mesh; ``inside`` gives for the middles of faces points that are inside of the solid."""
    corners = np.concatenate(mesh.corners)
    middles = corners.mean(axis=1)
    normals = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    normals *= np.where(np.sum(normals * (middles - inside(middles)), axis=1) < 0.0, -1.0, 1.0)[:, None]
    colours, gloss, shine = (np.array(values) for values in zip(*mesh.materials, strict=True))
    return Solid(corners, normals, colours, gloss, shine)


def _span(*stops: float, step: float) -> Array:
    """Numbers from the first stop to the last, through all others, at most so far apart."""
    parts = [np.linspace(a, b, math.ceil((b - a) / step), endpoint=False) for a, b in pairwise(stops)]
    return np.append(np.concatenate(parts), stops[-1])


def _faces_of(points: Array) -> Array:
    """Faces between the points of a grid: (m, n, 3) gives ((m - 1) * (n - 1), 4, 3)."""
    corners = [points[:-1, :-1], points[1:, :-1], points[1:, 1:], points[:-1, 1:]]
    return np.stack(corners, axis=2).reshape(-1, 4, 3)


def _row(x: float, y: Array, z: float) -> Array:
    """Points across the car, (n, 3)."""
    return np.stack([np.full(y.shape, x), y, np.full(y.shape, z)], axis=-1)


def _patch(surface: Callable[[Array, Array], Array], u: Array, v: Array, lift: Sequence[float]) -> Array:
    """A part of a surface, moved outward."""
    points = surface(*np.meshgrid(u, v, indexing="ij"))
    return np.asarray(points + np.array(lift))


def _both_ways(*stops: float, step: float) -> Array:
    """`_span` to the right, from the far end, and to the left."""
    left = _span(*stops, step=step)
    return np.concatenate([-left[:0:-1], left])


@lru_cache(maxsize=1)
def body() -> Solid:
    """The car without its wheels and lamps."""
    mesh = _Mesh()
    along, around = _span(_REAR_END, _FRONT_END, step=0.11), _both_ways(0.0, 0.5, 0.75, 1.0, step=0.07)
    mesh.add(_hull(*np.meshgrid(along, around, indexing="ij")), PAINT)
    _add_ends(mesh, around)
    along, around = _span(_CABIN_REAR, _CABIN_FRONT, step=0.1), _both_ways(0.0, _ROOF_EDGE, 1.0, step=0.1)
    mesh.add(_cabin(*np.meshgrid(along, around, indexing="ij")), PAINT)
    across = np.linspace(-0.55, 0.55, 13)
    mesh.add(_patch(_cabin, _span(-1.80, -1.00, step=0.08), across, (-_PROUD, 0.0, 2 * _PROUD)), GLASS)
    mesh.add(_patch(_cabin, _span(0.22, 0.94, step=0.08), across, (_PROUD, 0.0, 2 * _PROUD)), GLASS)
    _add_tail(mesh)
    for side in (-1.0, 1.0):
        down = side * np.linspace(0.69, 0.93, 4)
        for begin, end in ((-1.42, -0.52), (-0.45, 0.60)):  # side windows
            out = (0.0, side * 2 * _PROUD, _PROUD)
            mesh.add(_patch(_cabin, _span(begin, end, step=0.1), down, out), GLASS)
        low, out = side * np.array([0.93, 1.0]), (0.0, side * 2 * _PROUD, 0.0)
        mesh.add(_patch(_hull, _span(-1.15, 0.80, step=0.2), low, out), TRIM)
        for x in (-0.62, 0.62):  # the gaps before and behind the door
            gap, out = np.array([x - 0.006, x + 0.006]), (0.0, side * 0.004, 0.002)
            mesh.add(_patch(_hull, gap, side * np.linspace(0.5, 0.92, 8), out), TRIM)
        _add_arch(mesh, FRONT_AXLE, FRONT_RADIUS, side)
        _add_arch(mesh, REAR_AXLE, REAR_RADIUS, side)
        _add_mirror(mesh, side)
    return _solid(mesh, _spine)


def _spine(middles: Array) -> Array:
    """Points within the body, each beside one of those given."""
    inside = np.zeros_like(middles)
    inside[:, 0], inside[:, 2] = np.clip(middles[:, 0], -1.6, 1.6), 0.55
    return inside


def _add_ends(mesh: _Mesh, around: Array) -> None:
    """The rear and front panels, which close the body and bulge."""
    across = np.linspace(-1.0, 1.0, 15)
    for end in (_REAR_END, _FRONT_END):
        edge = _hull(np.full(around.shape, end), around)[: len(around) // 2 + 1]  # one side, from the sill up
        y, z = np.abs(edge[:, 1:2]) * across, edge[:, 2:3] + 0.0 * across
        panel = np.stack([end + 0.05 * (1.0 - across**2) + 0.0 * y, y, z], axis=-1)
        if end == _REAR_END:
            flat = np.stack([end + 0.0 * y, y, z], axis=-1)
            inside = np.minimum(1.0, 6.0 * (1.0 - np.abs(across)))[:, None]
            panel = flat + inside * (_tail(z, y) - flat)
        mesh.add(panel, PAINT)


def _add_arch(mesh: _Mesh, axle: float, radius: float, side: float) -> None:
    """The opening of a wheel: dark inside, with a lip around it."""
    angles = np.linspace(-0.25, math.pi + 0.25, 19)
    clear = radius + 0.075

    def arc(r: float, out: float) -> Array:
        z = np.maximum(radius + r * np.sin(angles), 0.16)
        return _flank(axle + r * np.cos(angles), z, side, out)

    mesh.add(np.stack([arc(0.0, 0.01), arc(0.5 * clear, 0.01), arc(clear, 0.01)]), WELL)
    lip = ((-0.005, 0.012), (0.012, 0.030), (0.05, 0.026), (0.085, 0.004))
    mesh.add(np.stack([arc(clear + beyond, out) for beyond, out in lip]), PAINT)


def _add_mirror(mesh: _Mesh, side: float) -> None:
    """An outside mirror."""
    u, v = np.meshgrid(np.linspace(0.0, math.tau, 11), np.linspace(0.0, math.pi, 7), indexing="ij")
    ball = np.stack(
        [
            0.60 + 0.055 * np.cos(u) * np.sin(v),
            side * (0.955 + 0.115 * np.cos(v)),
            0.985 + 0.07 * np.sin(u) * np.sin(v),
        ],
        axis=-1,
    )
    mesh.add(ball, PAINT)


def _add_tail(mesh: _Mesh) -> None:
    """What is on the rear: bumper, number plate, exhausts, spoiler, the gaps of the boot's lid."""
    for low, high, half_width, lift, material in (
        (0.325, 0.430, 0.70, 0.012, TRIM),  # the lower part of the bumper
        (0.545, 0.695, 0.31, 0.010, TRIM),
        (0.565, 0.675, 0.26, 0.016, PLATE),
        (0.505, 0.513, 0.76, 0.010, TRIM),
    ):
        y = np.linspace(-half_width, half_width, 15)
        mesh.add(_patch(_tail, np.linspace(low, high, 3), y, (-lift, 0.0, 0.0)), material)
    turns = np.linspace(0.0, math.tau, 13)
    for side in (-1.0, 1.0):
        y, z = side * 0.52 + 0.055 * np.cos(turns), 0.37 + 0.042 * np.sin(turns)
        pipe = [np.stack([np.full(y.shape, x), y, z], axis=-1) for x in (-2.42, -2.408, -2.32)]
        mesh.add(np.stack([pipe[0], pipe[2]]), CHROME)
        mesh.add(np.stack([pipe[1], np.broadcast_to(pipe[1].mean(axis=0), pipe[1].shape)]), WELL)
    y = np.linspace(-0.74, 0.74, 13)
    back, droop = 0.05 * (y / 0.74) ** 2, 0.035 * (y / 0.74) ** 4
    wing = ((-2.02, 0.975), (-2.20, 1.035), (-2.24, 1.035), (-2.23, 1.005), (-2.16, 0.965))
    mesh.add(np.stack([np.stack([x + back, y, z - droop], axis=-1) for x, z in wing]), PAINT)
    gap = np.array([-1.907, -1.893])
    mesh.add(_patch(_hull, gap, np.linspace(-0.24, 0.24, 9), (0.0, 0.0, 0.004)), TRIM)


@dataclass(frozen=True)
class Lamp:
    """A lamp.

    Attributes:
        corners: (n, 4, 3) m, its faces.
        is_rear: whether it is red, at the rear.
        is_tail: whether it is on at night; the high brake lamp is not.
    """

    corners: Array
    is_rear: bool
    is_tail: bool = True


@lru_cache(maxsize=1)
def lamps() -> tuple[Lamp, ...]:
    """The lamps: tail and brake lamps, the high brake lamp, headlights."""
    across, down = np.linspace(0.40, 0.735, 9), np.linspace(0.70, 0.81, 5)
    made = [
        Lamp(_faces_of(_patch(_tail, down, side * across, (-0.016, 0.0, 0.0))), True) for side in (-1.0, 1.0)
    ]
    across = np.linspace(-0.22, 0.22, 9)
    high = np.stack([_row(-2.246, across, z) for z in (1.010, 1.030)])
    made.append(Lamp(_faces_of(high), True, False))
    along, around = np.linspace(2.02, 2.22, 4), np.linspace(0.42, 0.60, 5)
    made += [
        Lamp(_faces_of(_patch(_hull, along, side * around, (0.01, 0.0, 0.008))), False)
        for side in (-1.0, 1.0)
    ]
    return tuple(made)


@lru_cache(maxsize=1)
def outline() -> tuple[Array, Array]:
    """Points of the body and of the cabin, (n, 3) each, whose convex hulls cast the car's shadow."""
    along = np.linspace(_REAR_END, _FRONT_END, 24)
    hull = _hull(*np.meshgrid(along, np.array([-1.0, -0.62, -0.4, 0.4, 0.62, 1.0]), indexing="ij"))
    along = np.linspace(_CABIN_REAR, _CABIN_FRONT, 16)
    cabin = _cabin(*np.meshgrid(along, np.array([-1.0, -0.62, 0.0, 0.62, 1.0]), indexing="ij"))
    return hull.reshape(-1, 3), cabin.reshape(-1, 3)


@lru_cache(maxsize=4)
def wheel(radius: float, side: float) -> Solid:
    """A wheel around the origin, its outer side to the left for side 1."""
    mesh = _Mesh()
    turns = np.linspace(0.0, math.tau, 29)
    half = 0.5 * TYRE_WIDTH
    well = 0.68 * radius

    def ring(r: float, y: float, angles: Array = turns) -> Array:
        return np.stack([r * np.cos(angles), np.full(angles.shape, side * y), r * np.sin(angles)], axis=-1)

    tyre = (
        (well, half - 0.01),
        (0.85 * radius, half),
        (0.95 * radius, half - 0.008),
        (radius, half - 0.035),
        (radius, -half + 0.035),
        (0.95 * radius, -half + 0.008),
        (0.5 * radius, -half),
    )
    mesh.add(np.stack([ring(r, y) for r, y in tyre]), TYRE)
    edge = ((well, half - 0.005), (well - 0.022, half + 0.004), (well - 0.035, half - 0.02))
    mesh.add(np.stack([ring(r, y) for r, y in edge]), RIM)
    mesh.add(np.stack([ring(well - 0.03, half - 0.025), ring(0.0, half - 0.03)]), WELL)
    spoke = (
        (0.045, 0.75, 0.0),
        (0.4 * well, 0.17, 0.002),
        (0.75 * well, 0.15, -0.004),
        (well - 0.025, 0.17, -0.01),
    )
    for k in range(SPOKES):
        rows = [
            ring(r, half + out, k * math.tau / SPOKES + wide * np.linspace(-1.0, 1.0, 3))
            for r, wide, out in spoke
        ]
        points = np.stack(rows)
        points[:, 1, 1] += side * 0.008  # their middle stands out
        mesh.add(points, RIM)
    mesh.add(np.stack([ring(0.045, half + 0.008, turns[::2]), ring(0.0, half + 0.012, turns[::2])]), TRIM)
    return _solid(mesh, lambda middles: middles * (0.3, 0.0, 0.3))
