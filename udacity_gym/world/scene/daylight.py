"""Sun, sky and haze of a track, as its file tells them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udacity_gym.world.jit import F
from udacity_gym.world.records import Rgb
from udacity_gym.world.scene.scene_arrays import Air
from udacity_gym.world.track.track import Track

RGB = tuple[float, float, float]


@dataclass(frozen=True)
class Daylight:
    """The light around a track; the defaults are the lake's.

    Attributes:
        azimuth: rad, direction to the sun, counter-clockwise from +x. That of the lake is fitted to the
            brightness of kerbs and asphalt.
        elevation: rad of the sun above the horizon.
        ambient: RGB, share of the light that comes from the sky: what is left of it in the shade.
        gentle: rise per m below which slopes hardly look darker away from the sun or lighter towards it.
        glance: how much lighter asphalt looks towards the sun, per unit of its horizontal direction; negative
            where it is lightest with the sun in the back. Measured on recordings of the road.
        shadows: whether land and what stands on it cast shadows.
        horizon: RGB of the sky at the horizon; above 255 it is as light as an image can be a little higher.
        zenith: RGB of the sky overhead.
        haze: sine of the height at which the horizon's colour has faded to a third.
        fog: RGB of the haze before what is far.
        fog_from: m at which it begins.
        fog_to: m at which nothing else is seen any more.
    """

    azimuth: float = math.radians(12.0)
    elevation: float = math.radians(42.0)
    ambient: RGB = (0.16, 0.24, 0.28)
    gentle: float = 1.2
    glance: float = 0.19
    shadows: bool = False
    horizon: RGB = (241.0, 268.0, 284.0)
    zenith: RGB = (95.0, 122.0, 165.0)
    haze: float = 0.18
    fog: RGB = (105.0, 153.0, 217.0)
    fog_from: float = 100.0
    fog_to: float = 600.0

    @staticmethod
    def of(track: Track) -> Daylight:
        """The light of a track file; what it does not say is as at the lake."""
        says: Mapping[str, Any] = track.data.get("surroundings", {}).get("light", {})
        given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in says.items()}
        return Daylight(**given)

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
            sun_east=F(sun[0]),
            sun_north=F(sun[1]),
            ambient=Rgb.of(self.ambient),
            gentle=F(self.gentle),
            glance=F(self.glance),
        )
