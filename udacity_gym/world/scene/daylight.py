"""Sun, sky and haze of a track, as its file tells them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from udacity_gym.world.track.track import Track
from udacity_gym.world.track.track_file import Light


@dataclass(frozen=True)
class Daylight(Light):
    """The light around a track."""

    @staticmethod
    def of(track: Track) -> Daylight:
        """The light of a track file."""
        return Daylight(**vars(track.file.surroundings.light))

    @property
    def sun(self) -> NDArray[np.float64]:
        """Direction to the sun: (3,) unit vector."""
        level = math.cos(self.elevation)
        return np.array(
            [level * math.cos(self.azimuth), level * math.sin(self.azimuth), math.sin(self.elevation)]
        )

    def air(self) -> NDArray[np.float32]:
        """What the kernels read of it, float32.

        Fog: RGB, m at which it begins, inverse of its length (0-4). Sky: RGB at the horizon and at the
        zenith, inverse of the height over which one turns into the other (5-11). East and north part of
        the direction to the sun (12-13). RGB of the ambient light's share (14-16), `gentle` (17),
        `glance` (18).
        """
        sun = self.sun
        return np.array(
            [
                *self.fog, self.fog_from, 1.0 / (self.fog_to - self.fog_from), *self.horizon, *self.zenith,
                1.0 / self.haze, sun[0], sun[1], *self.ambient, self.gentle,
                self.glance,
            ],
            np.float32,
        )  # fmt: skip
