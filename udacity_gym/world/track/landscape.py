"""Land and plants for a road that has none: profiles that meet where the land of two stretches meets.

Land is described by its height above the nearest road. Where two parts of a road at different heights come
close, each profile is bent so that both have the same height half way between them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from udacity_gym.world.track.track import Track

Profile: TypeAlias = Sequence[tuple[float, float, str]]
"""Distance from the centre line (m), height above the road (m), cover."""

STRETCH, CHANGE = 34.0, 12.0
"""m of road with one profile, and m in which it turns into the next."""
REACH = 216.0
"""m from the centre line up to which another part of the road matters."""
SHOULDER = 7.5
"""m from the centre line up to which the ground stays level with the road."""
NEAREST_PLANT = 11.0
"""m from the centre line."""
CLOSEST = 9.0
"""m from any part of the road that a plant stands at least."""
_THIN = 6  # one sample in 3 m is enough for land


@dataclass(frozen=True)
class Surroundings:
    """What lies beside a road.

    Attributes:
        left, right: profiles to choose among, for either side.
        plants: kind of plant to how many there are on 100 m of road on each side.
        steady: how many stretches in a row keep the same profile, on average.
    """

    left: Sequence[Profile]
    right: Sequence[Profile]
    plants: Mapping[str, float]
    steady: float = 2.0


_MEADOW: Sequence[Profile] = (
    ((8, 0.0, "grass"), (20, 0.6, "grass"), (50, 2.0, "meadow"), (120, 5.0, "meadow")),
    ((8, 0.0, "grass"), (14, 1.0, "lime"), (30, 4.0, "lime"), (70, 9.0, "meadow")),
    ((8, 0.0, "grass"), (16, -0.8, "grass"), (40, -1.8, "meadow"), (90, 1.0, "meadow")),
    ((8, 0.0, "lime"), (35, 0.4, "lime"), (80, 4.0, "olive")),
)
_FOREST: Sequence[Profile] = (
    ((8, 0.0, "olive"), (14, 0.8, "olive"), (40, 5.0, "olive"), (110, 14.0, "meadow")),
    ((8, 0.0, "grass"), (22, 3.0, "olive"), (60, 12.0, "olive")),
    ((8, 0.0, "olive"), (20, -1.5, "olive"), (60, -4.0, "meadow")),
)
_DESERT: Sequence[Profile] = (
    ((8, 0.0, "sand"), (25, 0.8, "sand"), (60, 3.0, "orange"), (120, 9.0, "rock")),
    ((8, 0.0, "orange"), (13, 1.0, "rock"), (20, 7.0, "rock"), (60, 16.0, "rock")),
    ((8, 0.0, "sand"), (16, -1.0, "orange"), (45, -3.0, "sand")),
)
_CLIFFS: Sequence[Profile] = (
    ((8, 0.0, "rock"), (10, 0.8, "rock"), (14, 8.0, "cliff"), (24, 13.0, "rock"), (70, 26.0, "olive")),
    ((8, 0.0, "rock"), (11, 1.5, "cliff"), (16, 5.0, "cliff"), (40, 13.0, "rock"), (110, 34.0, "rock")),
)
_DROPS: Sequence[Profile] = (
    ((7.5, 0.0, "rock"), (9, -0.6, "rock"), (16, -7.0, "cliff"), (34, -15.0, "rock"), (90, -32.0, "olive")),
    ((7.5, 0.0, "olive"), (10, -1.0, "rock"), (24, -8.0, "rock"), (70, -24.0, "olive")),
)

SURROUNDINGS: Mapping[str, Surroundings] = MappingProxyType(
    {
        "meadow": Surroundings(_MEADOW, _MEADOW, MappingProxyType({"pine": 2.5, "shrub": 7.0})),
        "forest": Surroundings(_FOREST, _FOREST, MappingProxyType({"pine": 15.0, "shrub": 5.0})),
        "desert": Surroundings(_DESERT, _DESERT, MappingProxyType({"rock": 2.0, "shrub": 2.0, "reeds": 0.6})),
        "mountain": Surroundings(
            _CLIFFS, _DROPS, MappingProxyType({"pine": 4.0, "rock": 1.5, "shrub": 2.5}), steady=4.0
        ),
    }
)
"""Surroundings by name."""


def landscape(
    track: Track,
    kind: Surroundings,
    rng: np.random.Generator,
    summit: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """Describe land and plants along a road.

    Args:
        track: the road; what surroundings it has don't matter.
        kind: what there is to lie beside it.
        rng: chooses.
        summit: m east and north, to which all land rises: on the side towards it the profiles are those of
            the left; None takes those of either side as they are.

    Returns:
        "surroundings" of a track file.
    """
    count = max(3, round(track.length / (STRETCH + CHANGE)))
    pitch = track.length / count
    land: list[dict[str, Any]] = []
    plants: list[dict[str, Any]] = []
    for side, sign in (("left", -1.0), ("right", 1.0)):
        before = None
        for k in range(count):
            uphill = side == "left" if summit is None else _rises(track, (k + 0.5) * pitch, sign, summit)
            profiles = kind.left if uphill else kind.right
            if rng.random() * kind.steady < 1.0 or profiles is not before:
                chosen = int(rng.integers(len(profiles)))
            before = profiles
            relief = float(rng.uniform(0.75, 1.25))
            begin, end = k * pitch + CHANGE / 2, (k + 1) * pitch - CHANGE / 2
            profile = _meeting(profiles[chosen], relief, *_neighbour(track, (begin + end) / 2, sign))
            stretch = {"side": side, "from": round(begin, 2), "to": round(end, 2)}
            land.append({**stretch, "profile": profile})
            free = min(_free(track, s, sign) for s in np.linspace(begin, end, 5))
            for plant, per_100_m in kind.plants.items():
                number = int(rng.poisson(per_100_m * pitch / 100.0))
                if number and free >= NEAREST_PLANT + 2.0:
                    near = NEAREST_PLANT + (4.0 if plant == "rock" else 0.0)
                    far = round(max(near, min(free, 70.0)), 1)
                    plants.append({"kind": plant, **stretch, "near": near, "far": far, "count": number})
    return {"seed": int(rng.integers(2**31)), "land": land, "plants": plants}


def _rises(track: Track, s: float, sign: float, summit: tuple[float, float]) -> bool:
    """Whether a side of the road is the one towards a point."""
    pose = track.pose_at(s)
    east, north = summit[0] - pose.x, summit[1] - pose.y
    return sign * (east * math.sin(pose.yaw) - north * math.cos(pose.yaw)) > 0.0


def _beside(track: Track, s: float, sign: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Offsets (m) along a line across the road, and for each its distance (m) to every `_THIN`th sample."""
    offsets = np.arange(SHOULDER, REACH + 1.0, 3.0)
    pose = track.pose_at(s)
    x, y = pose.x + sign * offsets * np.sin(pose.yaw), pose.y - sign * offsets * np.cos(pose.yaw)
    return offsets, np.hypot(x[:, None] - track.x[None, ::_THIN], y[:, None] - track.y[None, ::_THIN])


def _neighbour(track: Track, s: float, sign: float) -> tuple[float, float]:
    """Where another part of the road is as near as this one: offset (m), and its height above ours (m)."""
    offsets, distance = _beside(track, s, sign)
    along = np.abs(track.s[::_THIN] - s)
    ours = np.minimum(along, track.length - along) < 1.2 * offsets[:, None] + 20.0
    distance = np.where(ours, np.inf, distance)
    closer = np.flatnonzero(distance.min(axis=1) <= offsets)
    if not len(closer):
        return REACH * 2, 0.0
    i = closer[0]
    nearest = _THIN * int(distance[i].argmin())
    return float(offsets[i]), float(track.z[nearest] - track.elevation_at(s))


def _meeting(profile: Profile, relief: float, at: float, rise: float) -> list[list[Any]]:
    """Bend a profile so that at a distance (m) it has half the height (m) of what begins there."""
    if at > REACH:
        return [[d, round(h * relief, 2), cover] for d, h, cover in profile]
    knots = sorted({*(float(d) for d, _, _ in profile), at})
    distances, heights = [d for d, _, _ in profile], [h for _, h, _ in profile]
    bent: list[list[Any]] = []
    for d in knots:
        if d > at:
            break
        share = min(1.0, max(0.0, (d - SHOULDER) / max(1e-6, at - SHOULDER)))
        height = relief * float(np.interp(d, distances, heights)) * (1.0 - share) + 0.5 * rise * share
        cover = next((c for k, _, c in reversed(profile) if k <= d), profile[0][2])
        bent.append([round(d, 2), round(height, 2), cover])
    return bent


def _free(track: Track, s: float, sign: float) -> float:
    """How far (m) across the road one can go without coming closer to any part of it than `CLOSEST`."""
    offsets, distance = _beside(track, s, sign)
    blocked = np.flatnonzero(distance.min(axis=1) < np.minimum(0.9 * offsets, CLOSEST + 3.0))
    return float(offsets[blocked[0]] - 3.0) if len(blocked) else REACH
