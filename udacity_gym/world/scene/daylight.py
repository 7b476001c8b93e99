"""Sun, sky and haze of a track, as its file tells them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from udacity_gym.world.jit import F
from udacity_gym.world.records import Rgb, Vector
from udacity_gym.world.scene.scene_arrays import Air
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

    def air(self) -> Air:
        """What kernels read of it."""
        sun = self.sun
        return Air(
            fog=Rgb.of(self.fog),
            fog_start=F(self.fog_from),
            fog_scale=F(1.0 / (self.fog_to - self.fog_from)),
            horizon=Rgb.of(self.horizon),
            zenith=Rgb.of(self.zenith),
            sky_scale=F(1.0 / self.haze),
            sun=Vector.of(sun),
            ambient=Rgb.of(self.ambient),
            gentle=F(self.gentle),
        )
