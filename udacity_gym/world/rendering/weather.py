"""Conditions as numbers: colours of sun, sky, haze and fog, how wet the road is, how much of it is snow.

`relight` puts them onto images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from udacity_gym.conditions import Conditions

CLEAR = Conditions()

_Curve = Sequence[tuple[float, tuple[float, float, float]]]
# By the elevation of the sun in degrees; 1 is what Udacity's sun, 42 degrees up, and its sky give.
_DIRECT: _Curve = (
    (-4.0, (0.0, 0.0, 0.0)),
    (0.0, (0.34, 0.15, 0.06)),
    (5.0, (0.72, 0.46, 0.25)),
    (12.0, (0.98, 0.80, 0.56)),
    (24.0, (1.02, 0.95, 0.82)),
    (42.0, (1.0, 1.0, 1.0)),
    (70.0, (1.05, 1.06, 1.10)),
)
_SKYLIGHT: _Curve = (
    (-18.0, (0.30, 0.27, 0.36)),
    (-9.0, (0.55, 0.50, 0.68)),
    (-4.0, (0.90, 0.80, 0.98)),
    (2.0, (1.10, 1.00, 1.10)),
    (12.0, (1.05, 1.00, 1.05)),
    (42.0, (1.0, 1.0, 1.0)),
    (70.0, (1.02, 1.04, 1.06)),
)
# RGB of the sky at the horizon and at the zenith, taken relative to that of 42 degrees.
_HORIZON: _Curve = (
    (-18.0, (16.0, 20.0, 36.0)),
    (-9.0, (48.0, 46.0, 74.0)),
    (-4.0, (128.0, 100.0, 110.0)),
    (2.0, (214.0, 164.0, 134.0)),
    (6.0, (236.0, 204.0, 172.0)),
    (14.0, (242.0, 240.0, 226.0)),
    (42.0, (241.0, 268.0, 284.0)),
    (70.0, (236.0, 264.0, 285.0)),
)
_ZENITH: _Curve = (
    (-18.0, (4.0, 6.0, 15.0)),
    (-9.0, (14.0, 18.0, 42.0)),
    (-4.0, (36.0, 46.0, 92.0)),
    (2.0, (66.0, 84.0, 130.0)),
    (6.0, (80.0, 104.0, 150.0)),
    (14.0, (92.0, 118.0, 164.0)),
    (42.0, (95.0, 122.0, 165.0)),
    (70.0, (84.0, 116.0, 168.0)),
)


@lru_cache(maxsize=256)
def _table(curve: _Curve) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.array([degrees for degrees, _ in curve]), np.array([colour for _, colour in curve])


def _at(curve: _Curve, degrees: float) -> NDArray[np.float64]:
    x, colours = _table(curve)
    return np.array([np.interp(degrees, x, colours[:, c]) for c in range(3)])


class Light(NamedTuple):
    """What `relight.relight` reads, all float32.

    Attributes:
        sky: (3,) gain of the light that comes from the sky, by colour.
        direct: (3,) gain of the sun's light on level ground, by colour.
        sun: (3,) direction to the sun.
        day: (3,) direction to the sun in the image as it was drawn.
        ambient: (4,) the sky's share of the light by colour as it was drawn, and `daylight.Daylight.gentle`.
        shadows: () 0 if slopes are lit in the colours of the land; 1 if the image was drawn with a map of
            the sun's light near the road; 2 if it was drawn as if all were level there, as the sun has moved.
        fog: (8,) colour (3) of the track's own haze, its begin in m and the inverse of its length; then
            the colour's share of the weather's fog: 1/m by which contrast falls.
        veil: (3,) colour of the weather's fog.
        glow: (3,) colour that the sun adds around itself.
        mirrored: (3,) colour of the sky that wet ground shows.
        ground: (4,) wetness, snow, wear, each [0, 1], and how much the headlights give.
        rain: (5,) streaks and flakes in an image, their colour (3).
        camera: (2,) gain of the exposure, standard deviation of the noise.
    """

    sky: NDArray[np.float32]
    direct: NDArray[np.float32]
    sun: NDArray[np.float32]
    day: NDArray[np.float32]
    ambient: NDArray[np.float32]
    shadows: NDArray[np.float32]
    fog: NDArray[np.float32]
    veil: NDArray[np.float32]
    glow: NDArray[np.float32]
    mirrored: NDArray[np.float32]
    ground: NDArray[np.float32]
    rain: NDArray[np.float32]
    camera: NDArray[np.float32]


def changes_light(conditions: Conditions) -> bool:
    """Whether the world looks other than in Udacity's simulator, whatever the camera does."""
    usual = replace(
        CLEAR,
        intensity=conditions.intensity,
        grip=conditions.grip,
        exposure=conditions.exposure,
        noise=conditions.noise,
        jpeg=conditions.jpeg,
    )
    return usual != conditions


def weather(
    conditions: Conditions, air: NDArray[np.float32], shadows: bool = False
) -> tuple[NDArray[np.float32], Light]:
    """Turn conditions into numbers.

    Args:
        conditions: what it is like.
        air: float32 of the scene, see `daylight.Daylight.air`.
        shadows: whether the scene has a map of the sun's light near the road, shaded by ``air[14:17]``.

    Returns:
        The air that the scene is drawn in, without haze if `relight` is to add it, and the light.
    """
    kind, k = conditions.weather, conditions.intensity
    east, north = float(air[12]), float(air[13])
    flat = min(math.hypot(east, north), 1.0)
    day_elevation, day_azimuth = math.acos(flat), math.atan2(north, east)
    elevation, azimuth = conditions.sun((day_elevation, day_azimuth))
    degrees, usual = math.degrees(elevation), math.degrees(day_elevation)

    def since(curve: _Curve) -> NDArray[np.float64]:
        return _at(curve, degrees) / _at(curve, usual)

    direct, sky = since(_DIRECT), since(_SKYLIGHT)
    horizon, zenith, haze = air[5:8] * since(_HORIZON), air[8:11] * since(_ZENITH), air[0:3] * since(_HORIZON)
    day = float(since(_HORIZON).mean())

    # How much cloud covers the sky, its colours at horizon and zenith, how light it is, 1/m of fog.
    cover, low, high, bright, thick = {
        "clear": (0.0, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 1.0, 0.0),
        "overcast": (k, (216.0, 220.0, 224.0), (170.0, 176.0, 184.0), 1.0, 0.0),
        "rain": (0.7 + 0.3 * k, (176.0, 182.0, 188.0), (128.0, 134.0, 142.0), 0.80, _thickness(1200, 150, k)),
        "fog": (0.5 + 0.5 * k, (206.0, 210.0, 214.0), (196.0, 201.0, 207.0), 0.98, _thickness(500, 28, k)),
        "snow": (0.7 + 0.3 * k, (218.0, 221.0, 226.0), (196.0, 201.0, 208.0), 1.4, _thickness(1500, 110, k)),
    }[kind]
    if conditions.visibility is not None:
        thick = 3.0 / conditions.visibility
    white = 0.56 / air[14:17]  # clouds are not as blue as the sky
    direct = direct * (1.0 - 0.88 * cover)
    sky = sky * (1.0 + cover * (bright * white - 1.0))
    veil = day * np.array(low) if cover > 0.0 else haze + 0.6 * (horizon - haze)
    horizon = horizon + cover * (day * np.array(low) - horizon)
    zenith = zenith + cover * (day * np.array(high) - zenith)
    haze = haze + cover * (day * np.array(low) - haze)
    # Deep fog hides the sky too, first at the horizon.
    hidden = 1.0 - math.exp(-120.0 * thick)
    horizon, zenith = horizon + hidden * (veil - horizon), zenith + 0.9 * hidden**2 * (veil - zenith)

    low_sun = float(np.interp(degrees, (-3.0, 2.0, 12.0, 30.0), (0.0, 1.0, 0.8, 0.0))) * (1.0 - cover)
    glow = low_sun * (1.0 - hidden) * np.array([250.0, 170.0, 92.0])
    sun = np.array(
        [
            math.cos(elevation) * math.cos(azimuth),
            math.cos(elevation) * math.sin(azimuth),
            math.sin(elevation),
        ]
    )
    drawn = np.array(air, np.float32)
    drawn[4] = 0.0
    drawn[5:8], drawn[8:11] = horizon, zenith
    drawn[12:14] = sun[:2] * float(np.clip(direct.mean(), 0.0, 1.0))
    headlights = float(np.interp(degrees, (-6.0, 0.0), (1.0, 0.0)))
    # Clouds soften shadows; where the sun has moved they would be wrong.
    ambient, moved = air[14:17], (elevation, azimuth) != (day_elevation, day_azimuth)
    drawn[14:17] = 1.0 if moved else sky * ambient / (sky * ambient + direct * (1.0 - ambient))
    rainy, snowy = float(kind == "rain"), float(kind == "snow")
    precipitation = np.clip(day * 215.0 + 40.0 * headlights, 0.0, 235.0)
    arrays = (
        sky,
        direct,
        sun,
        [east, north, math.sqrt(1.0 - flat * flat)],
        air[14:18],
        0.0 if not shadows else 2.0 if moved else 1.0,
        [*haze, air[3], air[4], thick],
        veil,
        glow,
        0.45 * horizon + 0.55 * zenith,
        [rainy * k**0.5, snowy * k, conditions.road_wear, headlights],
        [rainy * (60.0 + 340.0 * k), snowy * (60.0 + 440.0 * k), *([precipitation] * 3)],
        [2.0**conditions.exposure, conditions.noise],
    )
    return drawn, Light(*(np.array(values, np.float32) for values in arrays))


def _thickness(least: float, most: float, intensity: float) -> float:
    """1/m of a fog whose visibility goes from ``least`` to ``most`` m with the intensity."""
    return 3.0 / math.exp(math.log(least) + intensity * math.log(most / least))
