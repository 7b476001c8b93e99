"""The ground beside the road as wheels feel it: heights from a track file's land profiles, and its cliffs.

The image's land (`land`) is made from the same tables, on a grid of 1 m; it adds bumps that grow with
distance from the road and with height, and softens the land far from the road. Up to 12 m from the centre
line the two agree within the height that the ground changes in a metre, and a tenth of its height. In a
canyon the image's cliffs waver besides: one stands up to about 1.4 m from the wall that stops the car.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from udacity_gym.world.track.track import Track
from udacity_gym.world.track.track_file import Land, LandPoint

REACH = 170
"""m from the centre line up to which profiles are tabulated."""
STEP = 2.0
"""m along the track between two rows of a table of profiles."""
CLIFF = 1.2
"""Rise per m from which on the ground is a wall to a car."""
STONE = 0.5
"""m that the ground must have risen there: wheels roll over what is lower."""


class Ground(NamedTuple):
    """Heights beside a road in the form that compiled code takes.

    Attributes:
        heights: (2, rows, `REACH`) float64 m above the road, left and right in the direction of travel, by
            s of the file (rows, `STEP`) and distance from the centre line (columns, 1 m).
        level: m from the centre line within which the ground is level with the road.
        water: m, height below which there is water, which carries the car.
        length: m once around.
        backwards: the direction of travel is against the s of the file.
    """

    heights: NDArray[np.float64]
    level: float
    water: float
    length: float
    backwards: bool


def ground_of(track: Track) -> Ground:
    """Tabulate the ground beside a track."""
    surroundings = track.file.surroundings
    tables = []
    for side in ("left", "right"):
        stretches = [land for land in surroundings.land if land.side == side]
        profiles = np.stack([_heights(land.profile) for land in stretches])
        tables.append(blend(track, stretches, profiles[..., None])[..., 0].astype(np.float64))
    backwards = track.direction == "reverse"
    heights = np.stack(tables[::-1] if backwards else tables)
    return Ground(heights, track.file.road.level, surroundings.water_level, track.length, backwards)


def cliffs(track: Track, ground: Ground) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the ground becomes too steep for a car: m from the centre line by sample, inf where nowhere.

    Returns:
        (n,) left and (n,) right.
    """
    s = (track.length - track.s) % track.length if ground.backwards else track.s
    rows = np.minimum(s / STEP, ground.heights.shape[1] - 1).astype(np.int64)
    walls = []
    for table in ground.heights:
        steep = (np.diff(table, axis=1) > CLIFF) & (table[:, 1:] > STONE)
        steep[:, : math.ceil(ground.level)] = False
        foot = np.where(steep.any(axis=1), steep.argmax(axis=1), np.inf)
        walls.append(foot[rows])
    return walls[0], walls[1]


def blend(track: Track, stretches: Sequence[Land], profiles: NDArray[np.float64]) -> NDArray[np.float32]:
    """Turn one profile into the next along a track.

    Args:
        track: the track.
        stretches: of one side.
        profiles: (stretches, columns, ...) values of each.

    Returns:
        (rows, columns, ...) float32, a row every `STEP` m of the file's s.
    """
    order = sorted(range(len(stretches)), key=lambda k: stretches[k].begin)
    profiles = profiles[order]
    begins = np.array([stretches[k].begin for k in order])
    ends = np.array([stretches[k].end for k in order])
    s = np.arange(math.ceil(track.length / STEP) + 1) * STEP % track.length
    n = len(stretches)
    k = (np.searchsorted(begins, s, side="right") - 1) % n
    gap = (begins[(k + 1) % n] - ends[k]) % track.length
    into = np.where(s >= begins[k], s - ends[k], s + track.length - ends[k])
    share = np.clip(into / np.maximum(gap, 1e-6), 0.0, 1.0)
    share = (share * share * (3 - 2 * share)).reshape(-1, *[1] * (profiles.ndim - 1))
    table: NDArray[np.float32] = (profiles[k] * (1 - share) + profiles[(k + 1) % n] * share).astype(
        np.float32
    )
    return table


def _heights(profile: Sequence[LandPoint]) -> NDArray[np.float64]:
    distances, heights = [point.distance for point in profile], [point.height for point in profile]
    return np.interp(np.arange(REACH), distances, heights)
