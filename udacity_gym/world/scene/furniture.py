"""What stands in the land: plants as cards, everything with edges as faces, from a track file."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from udacity_gym.world.scene import cards
from udacity_gym.world.scene.faces import FIELDS, box, face, ribbon
from udacity_gym.world.scene.scene_arrays import Card
from udacity_gym.world.scene.terrain import DECK_END, Grid
from udacity_gym.world.track.track import Track
from udacity_gym.world.track.track_file import Roadside

_SIDES = {"left": (-1.0,), "right": (1.0,), "both": (-1.0, 1.0)}
WALL_HEIGHT = 0.7
"""m, the bridge's walls above the road."""
_WALL_STEP = 4.0  # m, length of one face of a wall
_WALL_THICKNESS = 1.8  # m
_BLACK = (2.0, 5.0, 8.0)
_WALL_INSIDE = {-1.0: (1.0, 1.0, 2.0), 1.0: (5.0, 12.0, 15.0)}  # of the left one and of the right one
_WALL_TOP = {-1.0: (147.0, 155.0, 148.0), 1.0: (159.0, 167.0, 153.0)}
_WALL_END = (7.0, 16.0, 24.0)
DECK_EDGE, DECK_RISE = 0.5, 0.02
"""m that a bridge's deck is wider than the road on each side, and that it lies above its approaches."""
_DECK_DEPTH = 0.8  # m
_CONCRETE, _UNDERSIDE, _RAIL = (92.0, 92.0, 84.0), (34.0, 37.0, 40.0), (196.0, 198.0, 200.0)
_TYRE, _TYRE_TOP = (18.0, 27.0, 36.0), (150.0, 146.0, 134.0)
_TYRE_STACK = 0.65  # m, height
_STEEL = (58.0, 78.0, 112.0)
BARE_VERGE = 0.5
"""m beside the road in which nothing grows."""


def plant(
    track: Track, grid: Grid, height: NDArray[np.float32], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Place the plants and rocks of a track file.

    Args:
        track: the track with its file's surroundings.
        grid: the grid around it.
        height: (rows, columns) float32 m, height of the ground.
        rng: source of their places and sizes.

    Returns:
        (n, 6) float32, a `Card` in each row, and their packed texels.
    """
    surroundings = track.file.surroundings
    placed = []
    for plants in surroundings.plants:
        kind = cards.KINDS[plants.kind]
        sign = 1.0 if plants.side == "right" else -1.0
        for _ in range(plants.count):
            s = rng.uniform(plants.begin, plants.end)
            x, y = _beside(track, s, sign * rng.uniform(plants.near, plants.far))
            tall = rng.uniform(*kind.height)
            variant = kind.first + int(rng.integers(kind.variants))
            ground = _ground(grid, height, x, y)
            if ground <= surroundings.water_level + 0.1 and plants.kind != "rock":
                continue
            # Beyond the middle of a tight bend, what is beside the road here is on it over there.
            if float(np.hypot(track.x - x, track.y - y).min()) < track.half_width + BARE_VERGE:
                continue
            placed.append((x, y, ground - kind.sunk * tall, rng.uniform(*kind.aspect) * tall, tall, variant))
    board = cards.KINDS["board"]
    for item in surroundings.objects:
        if item.kind == "board":
            x, y = _beside(track, item.s, item.offset)
            tall, wide = item.height or board.height[0], item.length or board.aspect[0] * board.height[0]
            on_road = abs(item.offset) <= track.file.road.level  # a bridge is not the ground below it
            foot = track.elevation_at(item.s) if on_road else _ground(grid, height, x, y)
            placed.append((x, y, foot - board.sunk * tall, wide, tall, board.first))
    return np.array(placed, np.float32).reshape(-1, len(Card._fields)), cards.paint_all(rng)


def outlines(placed: NDArray[np.float32]) -> list[tuple[NDArray[np.float64], float]]:
    """What casts thin shadows, as convex polygons: palms, see `shadows.light_map`."""
    palm = cards.KINDS["palm"]
    found: list[tuple[NDArray[np.float64], float]] = []
    for x, y, z, wide, tall, variant in placed.tolist():
        if palm.first <= variant < palm.first + palm.variants:
            found += palm_outline(x, y, z, wide, tall)
    return found


def palm_outline(
    x: float, y: float, z: float, wide: float, tall: float
) -> list[tuple[NDArray[np.float64], float]]:
    """Trunk and fronds of a palm."""
    top = z + 0.82 * tall
    trunk = np.array([(x - 0.12, y, z), (x + 0.12, y, z), (x + 0.08, y, top), (x - 0.08, y, top)])
    found = [(trunk, 1.0)]
    turn = 7.0 * (x + 1.7 * y)  # as good as random, and the same on every run
    for k in range(9):
        angle = turn + k * math.tau / 9
        c, s = math.cos(angle), math.sin(angle)
        halves = ((0.05, 0.32, 0.0, 0.02, 0.34), (0.3, 0.52, 0.02, 0.14, 0.3))
        for inner, outer, rise, drop, breadth in halves:
            half = 0.5 * breadth * 0.3 * wide
            a, b = inner * wide, outer * wide
            found.append(
                (
                    np.array(
                        [
                            (x + a * c - 0.5 * half * s, y + a * s + 0.5 * half * c, top - rise * tall),
                            (x + a * c + 0.5 * half * s, y + a * s - 0.5 * half * c, top - rise * tall),
                            (x + b * c + half * s * 0.6, y + b * s - half * c * 0.6, top - drop * tall),
                            (x + b * c - half * s * 0.6, y + b * s + half * c * 0.6, top - drop * tall),
                        ]
                    ),
                    0.92,
                )
            )
    return found


def deck_outlines(track: Track) -> list[tuple[NDArray[np.float64], float]]:
    """What the bridges of a track cast shadows with, in strips of a metre."""
    found: list[tuple[NDArray[np.float64], float]] = []
    half = track.half_width + DECK_EDGE
    for deck in track.file.decks:
        # Not over its ends, where the ground is as high as what casts the shadow.
        stations = np.arange(deck.begin + DECK_END, deck.end - DECK_END, 1.0)
        for s in stations:
            corners = [(s, -half), (s, half), (s + 1.05, half), (s + 1.05, -half)]
            poses = [track.pose_at(at, offset) for at, offset in corners]
            found.append((np.array([(pose.x, pose.y, pose.z - 0.3) for pose in poses]), 1.0))
    return found


def _deck(track: Track, begin: float, end: float) -> Iterable[NDArray[np.float32]]:
    """Underside, edges and railings of a bridge."""
    edge = track.half_width + DECK_EDGE
    stations = np.linspace(begin, end, max(2, math.ceil((end - begin) / _WALL_STEP) + 1))
    z = np.array([track.elevation_at(s) for s in stations])
    sides = []
    for sign in (-1.0, 1.0):
        places = np.array([_beside(track, s, sign * edge) for s in stations])
        sides.append(places)
        x, y = places[:, 0], places[:, 1]
        yield from ribbon(x, y, z - _DECK_DEPTH, z, _CONCRETE)
        for rail in (0.5, 0.95):
            yield from ribbon(x, y, z + rail, z + rail + 0.07, _RAIL)
        for s, foot in zip(stations, z, strict=True):
            x, y = (
                np.array(c)
                for c in zip(*(_beside(track, s + h, sign * edge) for h in (0.0, 0.1)), strict=True)
            )
            yield from ribbon(x, y, np.full(2, foot), np.full(2, foot + 1.0), _RAIL)
    left, right = sides
    for k in range(len(stations) - 1):
        low, high = z[k] - _DECK_DEPTH, z[k + 1] - _DECK_DEPTH
        yield face(
            [(*left[k], low), (*left[k + 1], high), (*right[k + 1], high), (*right[k], low)], _UNDERSIDE
        )


def build(track: Track, grid: Grid, height: NDArray[np.float32]) -> NDArray[np.float32]:
    """Build everything that has edges: bridge walls, tyre stacks, signs, pylons and their lines.

    Returns:
        (n, FIELDS) float32, see `faces`.
    """
    faces: list[NDArray[np.float32]] = []
    for entry in track.file.roadside:
        if entry.kind == "bridge":
            for sign in _SIDES[entry.side]:
                faces += _wall(track, entry, sign)
        elif entry.kind == "deck":
            faces += _deck(track, entry.begin, entry.end)
    pylons: list[tuple[float, float, float]] = []
    for item in track.file.surroundings.objects:
        x, y = _beside(track, item.s, item.offset)
        z = _ground(grid, height, x, y)
        heading = track.pose_at(item.s).yaw
        if item.kind == "tyres":
            faces += box((x, y, z), heading, (1.2, item.length, _TYRE_STACK), _TYRE, _TYRE_TOP)
        elif item.kind == "sign":
            faces += _sign(x, y, z, heading)
        elif item.kind == "pylon":
            faces += _pylon(x, y, z, item.height)
            pylons.append((x, y, z + item.height))
    for a, b in pairwise(pylons):
        faces += _lines(a, b)
    return np.array(faces, np.float32).reshape(-1, FIELDS)


def _beside(track: Track, s: float, offset: float) -> tuple[float, float]:
    pose = track.pose_at(s, offset)
    return pose.x, pose.y


def _ground(grid: Grid, height: NDArray[np.float32], x: float, y: float) -> float:
    i = min(max(round(y - grid.south), 0), height.shape[0] - 1)
    j = min(max(round(x - grid.west), 0), height.shape[1] - 1)
    return float(height[i, j])


def _wall(track: Track, bridge: Roadside, sign: float) -> Iterable[NDArray[np.float32]]:
    length = bridge.end - bridge.begin
    stations = np.linspace(bridge.begin, bridge.end, max(2, math.ceil(length / _WALL_STEP) + 1))
    base = np.array([track.elevation_at(s) for s in stations])
    inner, outer = (
        np.array([_beside(track, s, sign * offset) for s, offset in zip(stations, offsets, strict=True)])
        for offsets in (bridge.wall_at(stations), bridge.wall_at(stations) + _WALL_THICKNESS)
    )
    yield from ribbon(inner[:, 0], inner[:, 1], base - 0.05, base + WALL_HEIGHT, _WALL_INSIDE[sign])
    yield from ribbon(outer[:, 0], outer[:, 1], base - 0.3, base + WALL_HEIGHT, _BLACK)
    for k in (0, -1):
        ends = np.array([inner[k], outer[k]])
        low, high = np.full(2, base[k] - 0.3), np.full(2, base[k] + WALL_HEIGHT)
        yield from ribbon(ends[:, 0], ends[:, 1], low, high, _WALL_END)
    top = base + WALL_HEIGHT
    for k in range(len(stations) - 1):
        yield face(
            [
                (*inner[k], top[k]),
                (*inner[k + 1], top[k + 1]),
                (*outer[k + 1], top[k + 1]),
                (*outer[k], top[k]),
            ],
            _WALL_TOP[sign],
        )


def _sign(x: float, y: float, z: float, heading: float) -> list[NDArray[np.float32]]:
    across, along = math.sin(heading), math.cos(heading)
    posts = [
        box((x + side * across, y - side * along, z), heading, (0.1, 0.1, 1.4), _BLACK, _BLACK)
        for side in (-0.22, 0.22)
    ]
    board = box((x, y, z + 1.3), heading, (0.1, 0.85, 0.55), _BLACK, _BLACK)
    return [*posts[0], *posts[1], *board]


def _bar(
    a: tuple[float, float, float], b: tuple[float, float, float], thickness: float
) -> NDArray[np.float32]:
    """An upright strip from a to b."""
    h = thickness / 2
    if abs(a[0] - b[0]) + abs(a[1] - b[1]) < abs(a[2] - b[2]):
        return face([(a[0] - h, a[1] - h, a[2]), (a[0] + h, a[1] + h, a[2]),
                     (b[0] + h, b[1] + h, b[2]), (b[0] - h, b[1] - h, b[2])], _STEEL)  # fmt: skip
    return face([(*a[:2], a[2] - h), (*b[:2], b[2] - h), (*b[:2], b[2] + h), (*a[:2], a[2] + h)], _STEEL)


def _pylon(x: float, y: float, z: float, height: float) -> list[NDArray[np.float32]]:
    """A lattice mast: four legs, braces, two arms."""
    faces = []
    levels = np.linspace(0.0, 1.0, 8)
    spread = [4.0 * (1 - 0.8 * level) for level in levels]
    corners = [(1, 1), (-1, 1), (-1, -1), (1, -1)]
    for k in range(len(levels) - 1):
        low, high = z + height * levels[k], z + height * levels[k + 1]
        for c, (a, b) in enumerate(corners):
            e, f = corners[(c + 1) % 4]
            foot = (x + a * spread[k], y + b * spread[k], low)
            head = (x + a * spread[k + 1], y + b * spread[k + 1], high)
            across = (x + e * spread[k + 1], y + f * spread[k + 1], high)
            faces += [_bar(foot, head, 0.5), _bar(foot, across, 0.35), _bar(head, across, 0.35)]
    for level in (0.72, 0.86):
        faces.append(_bar((x - 8.0, y, z + height * level), (x + 8.0, y, z + height * level), 0.8))
    return faces


def _lines(
    a: tuple[float, float, float], b: tuple[float, float, float], sag: float = 6.0
) -> list[NDArray[np.float32]]:
    """Power lines between two masts."""
    faces = []
    share = np.linspace(0.0, 1.0, 9)
    for arm in (-8.0, 8.0):
        for level in (6.0, 11.0):
            points = [
                (a[0] + t * (b[0] - a[0]) + arm, a[1] + t * (b[1] - a[1]),
                 a[2] + t * (b[2] - a[2]) - level - 4 * sag * t * (1 - t))
                for t in share
            ]  # fmt: skip
            faces += [_bar(p, q, 0.12) for p, q in pairwise(points)]
    return faces
