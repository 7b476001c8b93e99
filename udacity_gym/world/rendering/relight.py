"""Weather, light and the camera's own faults, put onto a finished image.

The renderer draws every scene as it looks in Udacity's simulator. What other conditions change is
computed from that image, the depth of its pixels and what they show (deferred shading, Saito and
Takahashi 1990): so that the usual image costs nothing more, and no condition needs a scene of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from udacity_gym.sensors import Label
from udacity_gym.telemetry import Image
from udacity_gym.world.jit import F, cached_kernel, index, inline, kernel
from udacity_gym.world.rendering.paint import GLANCE, GLANCE_DISTANCE
from udacity_gym.world.rendering.surface import bilinear_node
from udacity_gym.world.rendering.textures import SIZE, texel, texels

WET_LOSS = F(0.48)
"""Share of its light that ground no longer gives back when wet."""
FRESH_SNOW = (236.0, 239.0, 246.0)
"""RGB of snow on level ground in the usual light."""
TRODDEN = F(2.6)
"""m inside the edge of the road from where snow stays lying: wheels keep the rest clear."""
MAPPED = F(30.0)
"""m from the centre line within which there is a map of the sun's light, if there is one."""
BEAM_WIDTH, BEAM_REACH = F(3.2), F(0.0011)
"""How fast the headlights' light falls: by the square of the tangent of the angle aside, and of the m."""

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
_SNOW = (F(FRESH_SNOW[0]), F(FRESH_SNOW[1]), F(FRESH_SNOW[2]))
_LAMP = (F(1.0), F(0.95), F(0.82))
_DISC = (F(255.0), F(235.0), F(200.0))
_ZERO = F(0.0)
_ONE = F(1.0)
_HALF = F(0.5)


@inline
def _smooth(x: Any) -> Any:
    x = min(max(x, _ZERO), _ONE)
    return x * x * (F(3.0) - F(2.0) * x)


@inline
def _times(colour: Any, gain: Any) -> Any:
    return colour[0] * gain, colour[1] * gain, colour[2] * gain


@inline
def _lit(colour: Any, gain: Any) -> Any:
    return colour[0] * gain[0], colour[1] * gain[1], colour[2] * gain[2]


@inline
def _plus(colour: Any, share: Any, other: Any) -> Any:
    return colour[0] + share * other[0], colour[1] + share * other[1], colour[2] + share * other[2]


@inline
def _blend(colour: Any, share: Any, other: Any) -> Any:
    return (
        colour[0] + share * (other[0] - colour[0]),
        colour[1] + share * (other[1] - colour[1]),
        colour[2] + share * (other[2] - colour[2]),
    )


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


@kernel
def _slope(heights: Any, frame: Any, x: Any, y: Any) -> Any:
    """Rise of the ground to the east and to the north at a place, and its steepness, m per m."""
    nodes = np.int32(frame[4])
    node, fx, fy = bilinear_node(x - frame[0], y - frame[1], frame[2], frame[3], nodes)
    south_west, south_east = heights[index(node)], heights[index(node + np.int32(1))]
    north_west, north_east = heights[index(node + nodes)], heights[index(node + nodes + np.int32(1))]
    east = (_ONE - fy) * (south_east - south_west) + fy * (north_east - north_west)
    north = (_ONE - fx) * (north_west - south_west) + fx * (north_east - south_east)
    return east, north, np.sqrt(east * east + north * north)


@kernel
def _daylight(light: Any, east: Any, north: Any, steep: Any, level: Any) -> Any:
    """How much lighter ground of a slope is than in the image as it was drawn, by colour.

    ``level`` is whether it was drawn as if it were level, else it was lit as `land` does it: gentle slopes
    hardly differ from level ground.
    """
    soft = _ONE if level else steep / (steep + light.ambient[3] + F(1e-6))
    east, north = east * soft, north * soft
    length = _ONE / np.sqrt(_ONE + east * east + north * north)
    before = (light.day[2] - light.day[0] * east - light.day[1] * north) * length / light.day[2]
    before = _ONE if level else min(max(before, F(0.3)), F(1.4))
    after = (light.sun[2] - light.sun[0] * east - light.sun[1] * north) * length
    after = min(max(after / max(light.sun[2], F(0.12)), _ZERO), F(1.8))
    return (
        (light.sky[0] * light.ambient[0] + light.direct[0] * (_ONE - light.ambient[0]) * after)
        / (light.ambient[0] + (_ONE - light.ambient[0]) * before),
        (light.sky[1] * light.ambient[1] + light.direct[1] * (_ONE - light.ambient[1]) * after)
        / (light.ambient[1] + (_ONE - light.ambient[1]) * before),
        (light.sky[2] * light.ambient[2] + light.direct[2] * (_ONE - light.ambient[2]) * after)
        / (light.ambient[2] + (_ONE - light.ambient[2]) * before),
    )


@kernel
def _worn(
    colour: Any,
    wear: Any,
    label: Any,
    scene: Any,
    x: Any,
    y: Any,
    far: Any,
    footprint: Any,
    coarse: Any,
    fine: Any,
) -> Any:
    """A pixel of a worn road: paint has come off, there are cracks and patches."""
    if label != _ROAD:
        shade = F(0.85) * (_ONE + GLANCE * far / (far + GLANCE_DISTANCE))
        asphalt = scene.palette[0, 0] * shade, scene.palette[0, 1] * shade, scene.palette[0, 2] * shade
        gone = wear * _smooth(F(0.85) * wear + F(0.28) * fine + F(0.35) * coarse)
        colour = _blend(colour, gone, asphalt)
    other = _smoothly(scene.textures, y * F(1.7), x * F(1.7), footprint * F(1.7))
    crack = max(_ONE - abs(other) * F(14.0), _ZERO) * min(F(12.0) / (far + _ONE), _ONE)
    return _times(colour, _ONE - wear * (F(0.14) * _smooth(coarse) + F(0.45) * crack))


@inline
def _snow_cover(
    snow: Any, label: Any, brightness: Any, from_edge: Any, steep: Any, coarse: Any, fine: Any
) -> Any:
    """Share of a pixel that snow covers; ``from_edge`` is m beyond the edge of the road."""
    if _ROAD <= label <= _KERB:
        lying = F(0.10) + F(0.75) * _smooth((from_edge + TRODDEN) * F(0.42))
        cover = F(0.92) * snow * _smooth(lying + F(0.20) * coarse + F(0.14) * fine)
    elif label == _TERRAIN:
        cover = F(0.95) * _smooth(F(1.9) * snow - F(0.35) * steep + F(0.12) * coarse + F(0.08) * fine)
    elif label == _PLANT:  # on what is light: the upper sides
        cover = F(0.45) * snow * _smooth((brightness - F(90.0)) * F(0.012))
    elif label == _WATER:
        cover = F(0.35) * snow
    else:
        cover = F(0.3) * snow
    return cover


@inline
def _mirror(wet: Any, slant: Any, coarse: Any) -> Any:
    """Share of the sky in what a wet road shows, by the sine of the angle at which one looks at it.

    Schlick 1994; a film of water between rough stones mirrors only a part.
    """
    grazing = _ONE - min(max(slant, _ZERO), _ONE)
    fresnel = F(0.02) + F(0.98) * grazing * grazing * grazing * grazing * grazing
    puddle = F(0.42) + F(0.58) * _smooth(F(0.4) * coarse + F(0.15))
    return F(0.85) * wet * puddle * fresnel


@inline
def _beam(reach: Any, aside: Any) -> Any:
    """Light of the headlights by the m ahead of them and the tangent of the angle aside."""
    begins = _smooth((reach + _HALF) * F(0.2))
    return F(0.85) * begins / ((_ONE + BEAM_REACH * reach * reach) * (_ONE + BEAM_WIDTH * aside * aside))


@inline
def _glare(towards: Any) -> Any:
    """Light that the sun adds around itself, by the cosine of the angle to it."""
    squared = towards * towards
    eighth = squared * squared * squared * squared
    return F(0.35) * eighth + F(0.45) * eighth * eighth * eighth * eighth


@cached_kernel
def relight(camera: Any, focal: float, scene: Any, light: Any, planes: Any, ahead: float, image: Any) -> None:
    """Put light, wet, snow, wear, haze and glare onto an image that was drawn without haze.

    Args:
        camera: (12,) float32 position, forward, right and up vector.
        focal: focal length in pixels.
        scene: `scenery.SceneArrays`.
        light: `weather.Light`.
        planes: `survey.Planes` of the image.
        ahead: m that the headlights are in front of the camera.
        image: (height, width, 3) uint8, changed.
    """
    height, width = planes.depth.shape
    inverse_focal = _ONE / focal
    wet, snow, wear, lamps = light.ground[0], light.ground[1], light.ground[2], light.ground[3]
    haze_start, haze_scale, thick = light.fog[3], light.fog[4], light.fog[5]
    patterned, glowing = wet + snow + wear > _ZERO, light.glow[0] > _ZERO
    angled = glowing or wet > _ZERO
    sun_x, sun_y, sun_z = light.sun[0], light.sun[1], light.sun[2]
    level = (
        light.sky[0] * light.ambient[0] + light.direct[0] * (_ONE - light.ambient[0]),
        light.sky[1] * light.ambient[1] + light.direct[1] * (_ONE - light.ambient[1]),
        light.sky[2] * light.ambient[2] + light.direct[2] * (_ONE - light.ambient[2]),
    )
    shadows = light.shadows[()]
    exposure, edge = light.camera[0], scene.section[6]
    for i in range(height):
        row = np.uint64(i)
        v = (F(height) * _HALF - F(i) - _HALF) * inverse_focal
        for j in range(width):
            column = np.uint64(j)
            u = (F(j) + _HALF - F(width) * _HALF) * inverse_focal
            dx = camera[3] + u * camera[6] + v * camera[9]
            dy = camera[4] + u * camera[7] + v * camera[10]
            dz = camera[5] + u * camera[8] + v * camera[11]
            inverse_length = _ONE / np.sqrt(dx * dx + dy * dy + dz * dz) if angled else _ONE
            label, far = planes.labels[row, column], planes.depth[row, column]
            colour = (
                F(image[row, column, np.uint64(0)]),
                F(image[row, column, np.uint64(1)]),
                F(image[row, column, np.uint64(2)]),
            )
            if label == _CAR:
                colour = _lit(colour, level)
            elif label != _SKY:
                drawn, gain = colour, level
                steep, coarse, fine, cover = _ZERO, _ZERO, _ZERO, _ZERO
                x, y = camera[0] + far * dx, camera[1] + far * dy
                road = _ROAD <= label <= _KERB
                if label == _TERRAIN:
                    east, north, steep = _slope(scene.heights, scene.frame, x, y)
                    near = shadows > _ZERO and planes.lateral[row, column] < MAPPED
                    if not near or shadows > _ONE:
                        gain = _daylight(light, east, north, steep, near)
                if patterned:
                    footprint = far * inverse_focal
                    fine = scene.textures[texel(2 * SIZE, x * F(14.0), y * F(14.0), footprint * F(14.0))]
                    coarse = _smoothly(scene.textures, x * F(2.3), y * F(2.3), footprint * F(2.3))
                    if wear > _ZERO and road:
                        colour = _worn(colour, wear, label, scene, x, y, far, footprint, coarse, fine)
                    if road:
                        colour = _times(colour, _ONE - WET_LOSS * wet)
                    elif label == _TERRAIN:
                        colour = _times(colour, _ONE - _HALF * WET_LOSS * wet)
                    if snow > _ZERO:
                        brightness = colour[0] + colour[1] + colour[2]
                        from_edge = planes.lateral[row, column] - edge
                        cover = _snow_cover(snow, label, brightness, from_edge, steep, coarse, fine)
                colour = _lit(colour, gain)
                if cover > _ZERO:  # what is under it no longer matters, but that steep snow gets less light
                    white = _times(_SNOW, (_ONE + F(0.02) * fine) * (_ONE - F(0.3) * steep / (steep + _ONE)))
                    colour = _blend(colour, cover, _lit(white, level))
                if wet > _ZERO and (road or label == _WATER):
                    colour = _blend(colour, _mirror(wet, -dz * inverse_length, coarse), light.mirrored)
                if lamps > _ZERO:
                    reach = max(far - ahead, _ZERO)
                    beam = lamps * _beam(reach, far * u / (reach + F(2.5)))
                    beam *= F(1.6) if label == _MARKING else _ONE  # road paint throws light back
                    colour = _plus(colour, beam, _lit(drawn, _LAMP))
                colour = _blend(colour, min(max((far - haze_start) * haze_scale, _ZERO), _ONE), light.fog)
                if thick > _ZERO:
                    colour = _blend(colour, _ONE - np.exp(-thick * far), light.veil)
            if glowing:
                towards = max((dx * sun_x + dy * sun_y + dz * sun_z) * inverse_length, _ZERO)
                glare = _glare(towards)
                if label == _SKY:
                    colour = _plus(colour, _smooth((towards - F(0.99955)) * F(5000.0)), _DISC)
                else:
                    glare *= F(0.15) if label == _CAR else F(0.55)
                colour = _plus(colour, glare, light.glow)
            image[row, column, np.uint64(0)] = np.uint8(min(max(colour[0] * exposure, _ZERO), F(255.0)))
            image[row, column, np.uint64(1)] = np.uint8(min(max(colour[1] * exposure, _ZERO), F(255.0)))
            image[row, column, np.uint64(2)] = np.uint8(min(max(colour[2] * exposure, _ZERO), F(255.0)))


@cached_kernel
def precipitate(light: Any, seed: Any, depth: Any, image: Any) -> None:
    """Let it rain or snow before the camera.

    Args:
        light: `Light`.
        seed: uint32, of this image.
        depth: (height, width) float32 m, of the image.
        image: (height, width, 3) uint8, changed.
    """
    height, width = image.shape[0], image.shape[1]
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
                r, g, b = F(image[i, j, 0]), F(image[i, j, 1]), F(image[i, j, 2])
                image[i, j, 0] = np.uint8(r + opacity * (red - r))
                image[i, j, 1] = np.uint8(g + opacity * (green - g))
                image[i, j, 2] = np.uint8(b + opacity * (blue - b))
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
                    r, g, b = F(image[i, j, 0]), F(image[i, j, 1]), F(image[i, j, 2])
                    image[i, j, 0] = np.uint8(r + opacity * (red - r))
                    image[i, j, 1] = np.uint8(g + opacity * (green - g))
                    image[i, j, 2] = np.uint8(b + opacity * (blue - b))


@cached_kernel
def develop(gain: float, noise: float, seed: Any, image: Any) -> None:
    """Expose an image, and add the noise of its sensor.

    Args:
        gain: of the light.
        noise: standard deviation at mid grey, in levels.
        seed: uint32, of this image.
        image: (height, width, 3) uint8, changed.
    """
    flat = image.reshape(-1)
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


def compress(image: Image, quality: int) -> Image:
    """What is left of an image after JPEG.

    Args:
        image: (height, width, 3) uint8 RGB.
        quality: 1 to 100.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    import cv2

    _, data = cv2.imencode(".jpg", image[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))
    decoded: Any = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return np.asarray(decoded[..., ::-1], np.uint8)
