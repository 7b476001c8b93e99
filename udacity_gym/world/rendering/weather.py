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
from udacity_gym.world.jit import F
from udacity_gym.world.records import Rgb, Vector
from udacity_gym.world.scene.scene_arrays import Air

UDACITY = Conditions()
"""What it is like in Udacity's simulator."""
LIT_BY_SLOPE, LIT_BY_MAP, DRAWN_LEVEL = F(0.0), F(1.0), F(2.0)
"""How the ground near the road was drawn: lit by its slope, as all ground is that lies far off; by a map of
the sun's light; or as if it were level, because the sun has moved and the map is wrong."""

_Colour = tuple[float, float, float]
_Curve = Sequence[tuple[float, _Colour]]
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
    """How conditions change an image, for `relight`.

    Attributes:
        sky, direct: gains, by colour, of the light that comes from the sky, and of the sun's on level ground.
        sun, day: unit vectors to the sun, and to where it was when the image was drawn.
        ambient, gentle: of `Air`, as the image was drawn.
        shadows: `LIT_BY_SLOPE`, `LIT_BY_MAP` or `DRAWN_LEVEL`.
        haze: RGB of the track's own haze.
        haze_start: m at which it begins.
        haze_scale: 1/m, inverse of the length over which it becomes complete.
        fog: 1/m by which contrast falls in the weather's fog.
        veil: RGB of that fog.
        glow: RGB that the sun adds around itself.
        mirrored: RGB of the sky that wet ground shows.
        wet, snow, ice, wear: [0, 1] how wet the ground is, how much snow lies on it, how much of the road is
            frozen, how worn it is.
        headlights: [0, 1] how much light they give.
        streaks, flakes: drops and flakes in an image of 160 rows and 320 columns.
        precipitation: RGB of drops and flakes.
        exposure: gain of the camera.
        shade: by colour the sky's share of all light on level ground: what is left of it in the shadow.
    """

    gentle: F
    day: Vector
    sun: Vector
    sky: Rgb
    ambient: Rgb
    direct: Rgb
    shadows: F
    haze: Rgb
    haze_start: F
    haze_scale: F
    fog: F
    veil: Rgb
    glow: Rgb
    mirrored: Rgb
    wet: F
    snow: F
    ice: F
    wear: F
    headlights: F
    streaks: F
    flakes: F
    precipitation: Rgb
    exposure: F
    shade: Rgb


def changes_light(conditions: Conditions) -> bool:
    """Whether the world looks other than in Udacity's simulator, whatever the camera does."""
    usual = replace(
        UDACITY,
        intensity=conditions.intensity,
        grip=conditions.grip,
        exposure=conditions.exposure,
        noise=conditions.noise,
        jpeg=conditions.jpeg,
    )
    return usual != conditions


class _Cover(NamedTuple):
    """What covers the sky in a weather.

    Attributes:
        share: [0, 1] of the sky.
        low, high: RGB at the horizon and at the zenith, by day.
        bright: light from it, relative to that from the clear sky.
        fog: 1/m by which contrast falls.
    """

    share: float = 0.0
    low: _Colour = (0.0, 0.0, 0.0)
    high: _Colour = (0.0, 0.0, 0.0)
    bright: float = 1.0
    fog: float = 0.0


def _cover(kind: str, k: float) -> _Cover:
    """The clouds and the fog of a weather of intensity k."""
    return {
        "clear": _Cover(),
        "overcast": _Cover(k, (216.0, 220.0, 224.0), (170.0, 176.0, 184.0)),
        "rain": _Cover(
            0.7 + 0.3 * k, (176.0, 182.0, 188.0), (128.0, 134.0, 142.0), 0.80, _thickness(1200, 150, k)
        ),
        "fog": _Cover(
            0.5 + 0.5 * k, (206.0, 210.0, 214.0), (196.0, 201.0, 207.0), 0.98, _thickness(500, 28, k)
        ),
        "snow": _Cover(
            0.7 + 0.3 * k, (218.0, 221.0, 226.0), (196.0, 201.0, 208.0), 1.4, _thickness(1500, 110, k)
        ),
        "ice": _Cover(0.45 * k, (226.0, 228.0, 232.0), (150.0, 168.0, 194.0), 1.1, _thickness(4000, 500, k)),
    }[kind]


def _thickness(least: float, most: float, intensity: float) -> float:
    """1/m of a fog whose visibility goes from ``least`` to ``most`` m with the intensity.

    Visibility is where 5 % of all contrast is left, at 3 / thickness (Koschmieder 1924); in between it goes
    in equal ratios.
    """
    return 3.0 / math.exp(math.log(least) + intensity * math.log(most / least))


def weather(conditions: Conditions, air: Air, shadows: bool = False) -> tuple[Air, Light]:
    """Turn conditions into numbers.

    Args:
        conditions: what it is like.
        air: of the scene.
        shadows: whether the scene has a map of the sun's light near the road, shaded by ``air.ambient``.

    Returns:
        The air that the scene is drawn in, without haze if `relight` is to add it, and the light.
    """
    kind, k = conditions.weather, conditions.intensity
    east, north = float(air.sun.x), float(air.sun.y)
    flat = min(math.hypot(east, north), 1.0)
    day_elevation, day_azimuth = math.acos(flat), math.atan2(north, east)
    elevation, azimuth = conditions.sun((day_elevation, day_azimuth))
    degrees, usual = math.degrees(elevation), math.degrees(day_elevation)

    def since(curve: _Curve) -> NDArray[np.float64]:
        """A curve where the sun is now, relative to where it is by day."""
        return _at(curve, degrees) / _at(curve, usual)

    direct, sky = since(_DIRECT), since(_SKYLIGHT)
    horizon, zenith = np.array(air.horizon) * since(_HORIZON), np.array(air.zenith) * since(_ZENITH)
    haze = np.array(air.fog) * since(_HORIZON)
    day = float(since(_HORIZON).mean())

    clouds = _cover(kind, k)
    cover, low, high = clouds.share, day * np.array(clouds.low), day * np.array(clouds.high)
    fog = clouds.fog if conditions.visibility is None else 3.0 / conditions.visibility
    ambient = np.array(air.ambient)
    white = 0.56 / ambient  # clouds are not as blue as the sky
    direct = direct * (1.0 - 0.88 * cover)
    sky = sky * (1.0 + cover * (clouds.bright * white - 1.0))
    veil = low if cover > 0.0 else haze + 0.6 * (horizon - haze)
    horizon = horizon + cover * (low - horizon)
    zenith = zenith + cover * (high - zenith)
    haze = haze + cover * (low - haze)
    # Deep fog hides the sky too, first at the horizon.
    hidden = 1.0 - math.exp(-120.0 * fog)
    horizon, zenith = horizon + hidden * (veil - horizon), zenith + 0.9 * hidden**2 * (veil - zenith)

    low_sun = float(np.interp(degrees, (-3.0, 2.0, 12.0, 30.0), (0.0, 1.0, 0.8, 0.0))) * (1.0 - cover)
    glow = low_sun * (1.0 - hidden) * np.array([250.0, 170.0, 92.0])
    sun = (
        math.cos(elevation) * math.cos(azimuth),
        math.cos(elevation) * math.sin(azimuth),
        math.sin(elevation),
    )
    strength = float(np.clip(direct.mean(), 0.0, 1.0))
    headlights = float(np.interp(degrees, (-6.0, 0.0), (1.0, 0.0)))
    # Clouds make shadows fainter; where the sun has moved they would be wrong.
    moved = (elevation, azimuth) != (day_elevation, day_azimuth)
    none = moved or conditions.shadows == "none"
    shade = sky * ambient / (sky * ambient + direct * (1.0 - ambient))
    rainy, snowy = float(kind == "rain"), float(kind == "snow")
    precipitation = np.clip(day * 215.0 + 40.0 * headlights, 0.0, 235.0)
    drawn = air._replace(
        fog_scale=F(0.0),
        horizon=Rgb.of(horizon),
        zenith=Rgb.of(zenith),
        sun=Vector.of((sun[0] * strength, sun[1] * strength, sun[2])),
        ambient=Rgb.of(np.ones(3) if none else shade),
    )
    light = Light(
        sky=Rgb.of(sky),
        direct=Rgb.of(direct),
        sun=Vector.of(sun),
        day=Vector.of((east, north, math.sqrt(1.0 - flat * flat))),
        ambient=air.ambient,
        gentle=air.gentle,
        shadows=LIT_BY_SLOPE if not shadows else DRAWN_LEVEL if none else LIT_BY_MAP,
        haze=Rgb.of(haze),
        haze_start=air.fog_start,
        haze_scale=air.fog_scale,
        fog=F(fog),
        veil=Rgb.of(veil),
        glow=Rgb.of(glow),
        mirrored=Rgb.of(0.45 * horizon + 0.55 * zenith),
        wet=F(rainy * k**0.5),
        snow=F(snowy * k),
        ice=F(float(kind == "ice") * k),
        wear=F(conditions.road_wear),
        headlights=F(headlights),
        streaks=F(rainy * (60.0 + 340.0 * k)),
        flakes=F(snowy * (60.0 + 440.0 * k)),
        precipitation=Rgb.of([precipitation] * 3),
        exposure=F(2.0**conditions.exposure),
        shade=Rgb.of(shade),
    )
    return drawn, light
