"""Weather, light and the camera's own faults, put onto a finished picture.

The renderer draws every scene as it looks in Udacity's simulator. What other conditions change is
computed from that picture, the depth of its pixels and what they show (deferred shading, Saito and
Takahashi 1990): so that the usual picture costs nothing more, and no condition needs a scene of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from udacity_gym.conditions import Conditions
from udacity_gym.sensors import Label
from udacity_gym.telemetry import Image
from udacity_gym.world.jit import F, cached_kernel, index, inline
from udacity_gym.world.land import AMBIENT, GENTLE
from udacity_gym.world.paint import GLANCE, GLANCE_DISTANCE
from udacity_gym.world.surface import bilinear_node
from udacity_gym.world.textures import SIZE, texel, texels

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
    """What `relight` reads, all float32.

    Attributes:
        sky: (3,) gain of the light that comes from the sky, by colour.
        direct: (3,) gain of the sun's light on level ground, by colour.
        sun: (3,) direction to the sun.
        day: (3,) direction to the sun in the picture as it was drawn.
        fog: (8,) colour (3) of the track's own haze, its begin in m and the inverse of its length; then
            the colour's share of the weather's fog: 1/m by which contrast falls.
        veil: (3,) colour of the weather's fog.
        glow: (3,) colour that the sun adds around itself.
        mirrored: (3,) colour of the sky that wet ground shows.
        ground: (4,) wetness, snow, wear, each [0, 1], and how much the headlights give.
        rain: (5,) streaks and flakes in a picture, their colour (3).
        camera: (2,) gain of the exposure, standard deviation of the noise.
    """

    sky: NDArray[np.float32]
    direct: NDArray[np.float32]
    sun: NDArray[np.float32]
    day: NDArray[np.float32]
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


def weather(conditions: Conditions, air: NDArray[np.float32]) -> tuple[NDArray[np.float32], Light]:
    """Turn conditions into numbers.

    Args:
        conditions: what it is like.
        air: float32 of the scene, see `scenery.AIR`.

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
    white = 0.56 / AMBIENT  # clouds are not as blue as the sky
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
    rainy, snowy = float(kind == "rain"), float(kind == "snow")
    precipitation = np.clip(day * 215.0 + 40.0 * headlights, 0.0, 235.0)
    arrays = (
        sky,
        direct,
        sun,
        [east, north, math.sqrt(1.0 - flat * flat)],
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


_SKY, _ROAD, _MARKING, _KERB, _TERRAIN, _WATER, _PLANT, _CAR = (
    np.uint8(label)
    for label in (
        Label.SKY,
        Label.ROAD,
        Label.LANE_MARKING,
        Label.KERB,
        Label.TERRAIN,
        Label.WATER,
        Label.VEGETATION,
        Label.CAR,
    )
)
_AMBIENT_R, _AMBIENT_G, _AMBIENT_B = (F(share) for share in AMBIENT)
_ZERO = F(0.0)
_ONE = F(1.0)
_HALF = F(0.5)


@inline
def _smooth(x: Any) -> Any:
    x = min(max(x, _ZERO), _ONE)
    return x * x * (F(3.0) - F(2.0) * x)


@inline
def _smoothly(textures: Any, x: Any, y: Any, footprint: Any) -> Any:
    """The ground's pattern at a place, without the squares of its texels."""
    k00, k10, k01, k11, fu, fv, fade = texels(2 * SIZE, x, y, footprint)
    low = textures[k00] + fu * (textures[k10] - textures[k00])
    high = textures[k01] + fu * (textures[k11] - textures[k01])
    return fade * (low + fv * (high - low))


@inline
def _mix(seed: Any, i: Any) -> Any:
    """32 random bits (lowbias32 of Ellis and Wellons)."""
    x = np.uint32(np.uint32(seed) ^ np.uint32(np.uint32(i) * np.uint32(0x9E3779B9)))
    x = np.uint32((x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D))
    x = np.uint32((x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B))
    return np.uint32(x ^ (x >> np.uint32(16)))


@inline
def _unit(bits: Any) -> Any:
    return F(np.int32(bits >> np.uint32(8))) * F(1.0 / (1 << 24))


@cached_kernel
def relight(
    camera: Any, focal: float, scene: Any, light: Any, planes: Any, ahead: float, picture: Any
) -> None:
    """Put light, wet, snow, wear, haze and glare onto a picture that was drawn without haze.

    Args:
        camera: (12,) float32 position, forward, right and up vector.
        focal: focal length in pixels.
        scene: `scenery.SceneArrays`.
        light: `Light`.
        planes: `survey.Planes` of the picture.
        ahead: m that the headlights are in front of the camera.
        picture: (height, width, 3) uint8, changed.
    """
    height, width = planes.depth.shape
    inverse_focal = _ONE / focal
    nodes = np.int32(scene.frame[4])
    east_end, north_end = scene.frame[2], scene.frame[3]
    cx, cy = camera[0] - scene.frame[0], camera[1] - scene.frame[1]
    sky_r, sky_g, sky_b = light.sky[0] * _AMBIENT_R, light.sky[1] * _AMBIENT_G, light.sky[2] * _AMBIENT_B
    sun_r = light.direct[0] * (_ONE - _AMBIENT_R)
    sun_g = light.direct[1] * (_ONE - _AMBIENT_G)
    sun_b = light.direct[2] * (_ONE - _AMBIENT_B)
    sun_x, sun_y, sun_z = light.sun[0], light.sun[1], light.sun[2]
    day_x, day_y, day_z = light.day[0], light.day[1], light.day[2]
    level = _ONE / max(sun_z, F(0.12))
    haze_r, haze_g, haze_b, haze_start, haze_scale = (
        light.fog[0], light.fog[1], light.fog[2], light.fog[3], light.fog[4]
    )  # fmt: skip
    thick = light.fog[5]
    wet, snow, wear, lamps = light.ground[0], light.ground[1], light.ground[2], light.ground[3]
    glowing = light.glow[0] > _ZERO
    edge = scene.section[6]
    asphalt_r, asphalt_g, asphalt_b = scene.palette[0, 0], scene.palette[0, 1], scene.palette[0, 2]
    exposure = light.camera[0]
    for i in range(height):
        row = np.uint64(i)
        v = (F(height) * _HALF - F(i) - _HALF) * inverse_focal
        for j in range(width):
            column = np.uint64(j)
            label = planes.labels[row, column]
            u = (F(j) + _HALF - F(width) * _HALF) * inverse_focal
            dx = camera[3] + u * camera[6] + v * camera[9]
            dy = camera[4] + u * camera[7] + v * camera[10]
            dz = camera[5] + u * camera[8] + v * camera[11]
            r = F(picture[row, column, np.uint64(0)])
            g = F(picture[row, column, np.uint64(1)])
            b = F(picture[row, column, np.uint64(2)])
            far = planes.depth[row, column]
            if label != _SKY:
                gain_r, gain_g, gain_b = sky_r + sun_r, sky_g + sun_g, sky_b + sun_b
                x, y = camera[0] + far * dx, camera[1] + far * dy
                footprint = far * inverse_focal
                road = _ROAD <= label <= _KERB
                steep = _ZERO
                if label == _TERRAIN:
                    node, fx, fy = bilinear_node(cx + far * dx, cy + far * dy, east_end, north_end, nodes)
                    south_west, south_east = (
                        scene.heights[index(node)],
                        scene.heights[index(node + np.int32(1))],
                    )
                    north_west = scene.heights[index(node + nodes)]
                    north_east = scene.heights[index(node + nodes + np.int32(1))]
                    east = (_ONE - fy) * (south_east - south_west) + fy * (north_east - north_west)
                    north = (_ONE - fx) * (north_west - south_west) + fx * (north_east - south_east)
                    steep = np.sqrt(east * east + north * north)
                    soft = steep / (steep + F(GENTLE))
                    east, north = east * soft, north * soft
                    length = _ONE / np.sqrt(_ONE + east * east + north * north)
                    before = (day_z - day_x * east - day_y * north) * length / day_z
                    before = min(max(before, F(0.3)), F(1.4))
                    after = (sun_z - sun_x * east - sun_y * north) * length * level
                    after = min(max(after, _ZERO), F(1.8))
                    gain_r = (sky_r + sun_r * after) / (_AMBIENT_R + (_ONE - _AMBIENT_R) * before)
                    gain_g = (sky_g + sun_g * after) / (_AMBIENT_G + (_ONE - _AMBIENT_G) * before)
                    gain_b = (sky_b + sun_b * after) / (_AMBIENT_B + (_ONE - _AMBIENT_B) * before)
                if (wear > _ZERO or wet > _ZERO or snow > _ZERO) and label != _CAR:
                    fine = scene.textures[texel(2 * SIZE, x * F(14.0), y * F(14.0), footprint * F(14.0))]
                    coarse = _smoothly(scene.textures, x * F(2.3), y * F(2.3), footprint * F(2.3))
                    if wear > _ZERO and road:
                        shade = F(0.85) * (_ONE + GLANCE * far / (far + GLANCE_DISTANCE))
                        if label != _ROAD:
                            worn = wear * _smooth(F(0.85) * wear + F(0.28) * fine + F(0.35) * coarse)
                            r += worn * (asphalt_r * shade - r)
                            g += worn * (asphalt_g * shade - g)
                            b += worn * (asphalt_b * shade - b)
                        other = _smoothly(scene.textures, y * F(1.7), x * F(1.7), footprint * F(1.7))
                        crack = max(_ONE - abs(other) * F(14.0), _ZERO) * min(F(12.0) / (far + _ONE), _ONE)
                        patch = _ONE - wear * (F(0.14) * _smooth(coarse) + F(0.45) * crack)
                        r, g, b = r * patch, g * patch, b * patch
                    if wet > _ZERO and (road or label == _TERRAIN):
                        soaked = wet if road else F(0.5) * wet
                        darker = _ONE - F(0.48) * soaked
                        r, g, b = r * darker, g * darker, b * darker
                    if snow > _ZERO:
                        if road:
                            # Wheels keep the middle of the road clear; beside the lines snow stays.
                            lateral = planes.lateral[row, column]
                            side = _smooth((lateral - edge + F(2.6)) * F(0.42))
                            lying = F(0.10) + F(0.75) * side
                            cover = snow * _smooth(lying + F(0.20) * coarse + F(0.14) * fine)
                            cover *= F(0.92)
                        elif label == _TERRAIN:
                            cover = _smooth(
                                F(1.9) * snow - F(0.35) * steep + F(0.12) * coarse + F(0.08) * fine
                            )
                            cover *= F(0.95)
                        elif label == _PLANT:
                            cover = snow * F(0.45) * _smooth((r + g + b - F(90.0)) * F(0.012))
                        elif label == _WATER:
                            cover = F(0.35) * snow
                        else:
                            cover = F(0.3) * snow
                        r += cover * (F(236.0) + F(5.0) * fine - r)
                        g += cover * (F(239.0) + F(5.0) * fine - g)
                        b += cover * (F(246.0) + F(5.0) * fine - b)
                    r, g, b = r * gain_r, g * gain_g, b * gain_b
                    if wet > _ZERO and (road or label == _WATER):
                        # Schlick 1994; a film of water between rough stones mirrors only a part.
                        slant = min(max(-dz / np.sqrt(dx * dx + dy * dy + dz * dz), _ZERO), _ONE)
                        grazing = _ONE - slant
                        mirror = F(0.02) + F(0.98) * grazing * grazing * grazing * grazing * grazing
                        puddle = F(0.42) + F(0.58) * _smooth(F(0.4) * coarse + F(0.15))
                        mirror *= wet * puddle * F(0.85)
                        r += mirror * (light.mirrored[0] - r)
                        g += mirror * (light.mirrored[1] - g)
                        b += mirror * (light.mirrored[2] - b)
                else:
                    r, g, b = r * gain_r, g * gain_g, b * gain_b
                if lamps > _ZERO and label != _CAR:
                    reach = max(far - ahead, _ZERO)
                    aside = far * u / (reach + F(2.5))
                    beam = lamps * _smooth((reach + F(0.5)) * F(0.2)) / (_ONE + reach * reach * F(0.0011))
                    beam *= F(0.85) / (_ONE + F(3.2) * aside * aside)
                    beam *= F(1.6) if label == _MARKING else _ONE
                    r += beam * F(picture[row, column, np.uint64(0)])
                    g += beam * F(0.95) * F(picture[row, column, np.uint64(1)])
                    b += beam * F(0.82) * F(picture[row, column, np.uint64(2)])
                if label != _CAR:
                    haze = min(max((far - haze_start) * haze_scale, _ZERO), _ONE)
                    r, g, b = r + haze * (haze_r - r), g + haze * (haze_g - g), b + haze * (haze_b - b)
                    if thick > _ZERO:
                        fog = _ONE - np.exp(-thick * far)
                        r += fog * (light.veil[0] - r)
                        g += fog * (light.veil[1] - g)
                        b += fog * (light.veil[2] - b)
            if glowing:
                towards = (dx * sun_x + dy * sun_y + dz * sun_z) / np.sqrt(dx * dx + dy * dy + dz * dz)
                towards = max(towards, _ZERO)
                squared = towards * towards
                eighth = squared * squared * squared * squared
                sharp = eighth * eighth * eighth * eighth
                glare = F(0.35) * eighth + F(0.45) * sharp
                if label == _SKY:
                    disc = _smooth((towards - F(0.99955)) * F(5000.0))
                    r, g, b = r + disc * F(255.0), g + disc * F(235.0), b + disc * F(200.0)
                else:
                    glare *= F(0.55) if label != _CAR else F(0.15)
                r += glare * light.glow[0]
                g += glare * light.glow[1]
                b += glare * light.glow[2]
            picture[row, column, np.uint64(0)] = np.uint8(min(max(r * exposure, _ZERO), F(255.0)))
            picture[row, column, np.uint64(1)] = np.uint8(min(max(g * exposure, _ZERO), F(255.0)))
            picture[row, column, np.uint64(2)] = np.uint8(min(max(b * exposure, _ZERO), F(255.0)))


@cached_kernel
def precipitate(light: Any, seed: Any, depth: Any, picture: Any) -> None:
    """Let it rain or snow before the camera.

    Args:
        light: `Light`.
        seed: uint32, of this picture.
        depth: (height, width) float32 m, of the picture.
        picture: (height, width, 3) uint8, changed.
    """
    height, width = picture.shape[0], picture.shape[1]
    scale = F(height) / F(160.0)
    area = F(width) / (F(320.0) * scale)
    exposure = light.camera[0]
    red, green, blue = light.rain[2] * exposure, light.rain[3] * exposure, light.rain[4] * exposure
    red, green, blue = min(red, F(255.0)), min(green, F(255.0)), min(blue, F(255.0))
    lean = (_unit(_mix(seed, 0)) - _HALF) * F(0.3)
    for k in range(np.int64(light.rain[0] * area)):
        begin_x = _unit(_mix(seed, 4 * k + 1)) * F(width)
        begin_y = _unit(_mix(seed, 4 * k + 2)) * F(height) * F(1.15) - F(0.15) * F(height)
        near = _unit(_mix(seed, 4 * k + 3))
        away = F(1.5) + F(18.0) * (_ONE - near)
        long = (F(4.0) + F(13.0) * near * near) * scale
        # Drops fly apart from where the car is heading.
        slope = lean + (begin_x / F(width) - _HALF) * F(0.5)
        opacity = F(0.10) + F(0.16) * near
        for step in range(np.int64(long) + 1):
            i, j = np.int64(begin_y + F(step)), np.int64(begin_x + slope * F(step))
            if 0 <= i < height and 0 <= j < width and depth[i, j] > away:
                r, g, b = F(picture[i, j, 0]), F(picture[i, j, 1]), F(picture[i, j, 2])
                picture[i, j, 0] = np.uint8(r + opacity * (red - r))
                picture[i, j, 1] = np.uint8(g + opacity * (green - g))
                picture[i, j, 2] = np.uint8(b + opacity * (blue - b))
    for k in range(np.int64(light.rain[1] * area)):
        middle_x = _unit(_mix(seed, 4 * k + 1)) * F(width)
        middle_y = _unit(_mix(seed, 4 * k + 2)) * F(height)
        near = _unit(_mix(seed, 4 * k + 3))
        away = F(1.4) / (F(0.06) + near * near * near * F(0.9))
        radius = min(F(2.6) / away, F(1.9)) * scale
        strength = F(0.75) * min(radius * F(1.4), _ONE)
        low_i, high_i = np.int64(middle_y - radius - _ONE), np.int64(middle_y + radius + _ONE)
        low_j, high_j = np.int64(middle_x - radius - _ONE), np.int64(middle_x + radius + _ONE)
        for i in range(max(low_i, 0), min(high_i + 1, height)):
            for j in range(max(low_j, 0), min(high_j + 1, width)):
                di, dj = F(i) + _HALF - middle_y, F(j) + _HALF - middle_x
                opacity = radius + _HALF - np.sqrt(di * di + dj * dj)
                opacity = strength * min(max(opacity, _ZERO), _ONE)
                if depth[i, j] > away:
                    r, g, b = F(picture[i, j, 0]), F(picture[i, j, 1]), F(picture[i, j, 2])
                    picture[i, j, 0] = np.uint8(r + opacity * (red - r))
                    picture[i, j, 1] = np.uint8(g + opacity * (green - g))
                    picture[i, j, 2] = np.uint8(b + opacity * (blue - b))


@cached_kernel
def develop(gain: float, noise: float, seed: Any, picture: Any) -> None:
    """Expose a picture, and add the noise of its sensor.

    Args:
        gain: of the light.
        noise: standard deviation at mid grey, in levels.
        seed: uint32, of this picture.
        picture: (height, width, 3) uint8, changed.
    """
    flat = picture.reshape(-1)
    for k in range(flat.shape[0]):
        at = np.uint64(k)
        value = F(flat[at]) * F(gain)
        if noise > _ZERO:
            bits = _mix(seed, k)
            total = (bits & np.uint32(255)) + ((bits >> np.uint32(8)) & np.uint32(255))
            total += ((bits >> np.uint32(16)) & np.uint32(255)) + (bits >> np.uint32(24))
            # The sum of four even draws is about normal; its standard deviation is 147.8.
            normal = (F(np.int32(total)) - F(510.0)) * F(1.0 / 147.8)
            value += normal * F(noise) * np.sqrt(_HALF + value * F(0.5 / 128.0)) + _HALF
        flat[at] = np.uint8(min(max(value, _ZERO), F(255.0)))


def compress(picture: Image, quality: int) -> Image:
    """What is left of a picture after JPEG.

    Args:
        picture: (height, width, 3) uint8 RGB.
        quality: 1 to 100.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    import cv2

    _, data = cv2.imencode(".jpg", picture[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))
    decoded: Any = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return np.asarray(decoded[..., ::-1], np.uint8)
