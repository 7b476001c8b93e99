"""Weather, light and the camera's own faults, put onto a finished image.

The renderer draws every scene as it looks in Udacity's simulator. What other conditions change is
computed from that image, the depth of its pixels and what they show (deferred shading, Saito and
Takahashi 1990): so that the usual image costs nothing more, and no condition needs a scene of its own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from udacity_gym.sensors import Label
from udacity_gym.telemetry import Image
from udacity_gym.world.jit import F, cached_kernel, index, inline, kernel
from udacity_gym.world.records import Rgb, unpack
from udacity_gym.world.rendering.paint import reflection
from udacity_gym.world.rendering.rays import Camera, Projection, column_tangent, pixel_ray, row_tangent
from udacity_gym.world.rendering.sampling import BLUE, GREEN, RED, cell_of, pattern, texel, texels
from udacity_gym.world.rendering.survey import Planes
from udacity_gym.world.rendering.weather import DRAWN_LEVEL, LIT_BY_SLOPE, Light
from udacity_gym.world.scene.scene_arrays import Land, Palette, Road, SceneArrays
from udacity_gym.world.scene.textures import GROUND

WET_LOSS = F(0.48)
"""Share of its light that ground no longer gives back when wet."""
FRESH_SNOW = Rgb.of((236.0, 239.0, 246.0))
"""RGB of snow on level ground in the usual light."""
CLEARED_EDGE = F(2.6)
"""m inside the edge of the road from where snow stays lying: wheels keep the rest clear."""
MAPPED = F(30.0)
"""m from the centre line within which there is a map of the sun's light, if there is one."""
BEAM_WIDTH, BEAM_FALL_OFF = F(3.2), F(0.0011)
"""How fast the headlights' light falls: by the square of the tangent of the angle aside, and of the m."""
FINE_TEXELS, COARSE_TEXELS, CRACK_TEXELS = F(14.0), F(2.3), F(1.7)
"""Texels per m of the patterns that wear, wetness and snow follow."""
HEADLIGHTS = Rgb.of((1.0, 0.95, 0.82))
"""Colour of the headlights, relative to daylight."""
SUN_DISC = Rgb.of((255.0, 235.0, 200.0))
"""RGB that the sun itself adds."""
SUN_RIM = F(0.99955)
"""Cosine of the angle from the sun's middle at which its disc ends: 1.7 degrees, as a camera shows it."""

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
_ZERO = F(0.0)
_ONE = F(1.0)
_HALF = F(0.5)
_WHITE = F(255.0)


@inline
def _smooth(x: F) -> F:
    """0 below 0, 1 above 1, and between them 3 x^2 - 2 x^3, which begins and ends level."""
    x = min(max(x, _ZERO), _ONE)
    return x * x * (F(3.0) - F(2.0) * x)


@inline
def _times(colour: Rgb, gain: F) -> Rgb:
    """A colour, so many times as bright."""
    return Rgb(colour.red * gain, colour.green * gain, colour.blue * gain)


@inline
def _lit(colour: Rgb, light: Rgb) -> Rgb:
    """A colour under a light."""
    return Rgb(colour.red * light.red, colour.green * light.green, colour.blue * light.blue)


@inline
def _plus(colour: Rgb, share: F, other: Rgb) -> Rgb:
    """A colour with a share of another on top."""
    return Rgb(
        colour.red + share * other.red, colour.green + share * other.green, colour.blue + share * other.blue
    )


@inline
def _blend(colour: Rgb, share: F, other: Rgb) -> Rgb:
    """A colour of which a share is replaced by another."""
    return Rgb(
        colour.red + share * (other.red - colour.red),
        colour.green + share * (other.green - colour.green),
        colour.blue + share * (other.blue - colour.blue),
    )


@inline
def _ground_pattern(textures: NDArray[np.float32], x: F, y: F, footprint: F) -> F:
    """The ground's pattern at a place in standard deviations, without the squares of its texels."""
    near = texels(GROUND, x, y, footprint)
    return near.contrast * pattern(textures, near)


@inline
def _mix(seed: np.uint32, i: int) -> np.uint32:
    """32 random bits for every i: a hash, lowbias32 of Ellis and Wellons."""
    x = np.uint32(np.uint32(seed) ^ np.uint32(np.uint32(i) * np.uint32(0x9E3779B9)))
    x = np.uint32((x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D))
    x = np.uint32((x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B))
    return np.uint32(x ^ (x >> np.uint32(16)))


@inline
def _unit(bits: np.uint32) -> F:
    """Random bits as a number in [0, 1)."""
    return F(np.int32(bits >> np.uint32(8))) * F(1.0 / (1 << 24))


@kernel
def _slope(heights: NDArray[np.float32], land: Land, x: F, y: F) -> tuple[F, F, F]:
    """Rise of the ground to the east and to the north, and its steepness, in m per m.

    Args:
        heights: of `SceneArrays`.
        land: the grid.
        x: m east.
        y: m north.
    """
    cell = cell_of(land, x - land.west, y - land.south)
    node, columns, east, north = cell.node, np.int32(land.columns), cell.east, cell.north
    south_west, south_east = heights[index(node)], heights[index(node + np.int32(1))]
    north_west = heights[index(node + columns)]
    north_east = heights[index(node + columns + np.int32(1))]
    to_east = (_ONE - north) * (south_east - south_west) + north * (north_east - north_west)
    to_north = (_ONE - east) * (north_west - south_west) + east * (north_east - south_east)
    return to_east, to_north, np.sqrt(to_east * to_east + to_north * to_north)


@inline
def _relit(sky: F, direct: F, ambient: F, before: F, after: F) -> F:
    """Light of one colour now over that in the image as it was drawn.

    Both are the sky's share plus the sun's, which goes by how directly the sun shines: then ambient +
    (1 - ambient) * before, now the same with the gains of the sky and of the sun.
    """
    return (sky * ambient + direct * (_ONE - ambient) * after) / (ambient + (_ONE - ambient) * before)


@kernel
def _daylight(packed_light: NDArray[np.float32], east: F, north: F, steep: F, level: bool) -> Rgb:
    """How much lighter ground of a slope is than in the image as it was drawn, by colour.

    Lambert's law: light is the cosine between the sun and the ground's normal, (-east, -north, 1) / length;
    here relative to that on level ground, which is the sun's z.

    Args:
        packed_light: a packed `Light`.
        east: rise of the ground to the east, m per m.
        north: the same to the north.
        steep: steepness, m per m.
        level: whether the ground was drawn as if it were level; else it was lit as `land` does it: gentle
            slopes hardly differ from level ground.
    """
    light = unpack(Light, packed_light)
    sun, day = light.sun, light.day
    soft = _ONE if level else steep / (steep + light.gentle + F(1e-6))
    east, north = east * soft, north * soft
    length = _ONE / np.sqrt(_ONE + east * east + north * north)
    before = (day.z - day.x * east - day.y * north) * length / day.z
    before = _ONE if level else min(max(before, F(0.3)), F(1.4))
    after = (sun.z - sun.x * east - sun.y * north) * length
    after = min(max(after / max(sun.z, F(0.12)), _ZERO), F(1.8))
    sky, direct, ambient = light.sky, light.direct, light.ambient
    return Rgb(
        _relit(sky.red, direct.red, ambient.red, before, after),
        _relit(sky.green, direct.green, ambient.green, before, after),
        _relit(sky.blue, direct.blue, ambient.blue, before, after),
    )


class _Spot(NamedTuple):
    """The ground that a pixel shows.

    Attributes:
        x, y: m.
        far: m, depth of the pixel.
        footprint: m, width of the pixel there.
        bright: brightness of asphalt there, relative to that in diffuse light.
        coarse, fine: the ground's pattern, in standard deviations.
    """

    x: F
    y: F
    far: F
    footprint: F
    bright: F
    coarse: F
    fine: F


@kernel
def _worn(colour: Rgb, wear: F, label: np.uint8, scene: SceneArrays, spot: _Spot) -> Rgb:
    """A pixel of a worn road: paint has come off down to the asphalt, there are cracks and dark patches.

    Cracks run where a pattern changes its sign; far off they close up.

    Args:
        colour: of the pixel.
        wear: [0, 1].
        label: what the pixel shows, see `sensors.Label`.
        scene: the scene.
        spot: the ground there.
    """
    if label != _ROAD:
        asphalt = _times(unpack(Palette, scene.palette).asphalt.colour, F(0.85) * spot.bright)
        gone = wear * _smooth(F(0.85) * wear + F(0.28) * spot.fine + F(0.35) * spot.coarse)
        colour = _blend(colour, gone, asphalt)
    other = _ground_pattern(
        scene.textures, spot.y * CRACK_TEXELS, spot.x * CRACK_TEXELS, spot.footprint * CRACK_TEXELS
    )
    crack = max(_ONE - abs(other) * F(14.0), _ZERO) * min(F(12.0) / (spot.far + _ONE), _ONE)
    return _times(colour, _ONE - wear * (F(0.14) * _smooth(spot.coarse) + F(0.45) * crack))


@inline
def _snow_cover(snow: F, label: np.uint8, brightness: F, from_edge: F, steep: F, coarse: F, fine: F) -> F:
    """Share of a pixel that snow covers.

    Args:
        snow: [0, 1] how much there is.
        label: what the pixel shows, see `sensors.Label`.
        brightness: red, green and blue of the pixel together.
        from_edge: m beyond the edge of the road, negative on it.
        steep: rise of the ground, m per m.
        coarse: the pattern of the ground.
        fine: the same, finer.
    """
    if _ROAD <= label <= _KERB:
        lying = F(0.10) + F(0.75) * _smooth((from_edge + CLEARED_EDGE) * F(0.42))
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
def _mirror(wet: F, slant: F, coarse: F) -> F:
    """Share of the sky in what a wet road shows.

    Fresnel's law as approximated by Schlick (1994), F0 + (1 - F0) * (1 - cos)^5 with water's F0 of 0.02; a
    film of water between rough stones mirrors only a part.

    Args:
        wet: [0, 1] how wet the road is.
        slant: sine of the angle between the ray and the road, the cosine of that between ray and normal.
        coarse: the pattern that puddles follow.
    """
    grazing = _ONE - min(max(slant, _ZERO), _ONE)
    fresnel = F(0.02) + F(0.98) * grazing * grazing * grazing * grazing * grazing
    puddle = F(0.42) + F(0.58) * _smooth(F(0.4) * coarse + F(0.15))
    return F(0.85) * wet * puddle * fresnel


@inline
def _beam(reach: F, aside: F) -> F:
    """Light of the headlights by the m ahead of them and the tangent of the angle aside."""
    begins = _smooth((reach + _HALF) * F(0.2))
    return F(0.85) * begins / ((_ONE + BEAM_FALL_OFF * reach * reach) * (_ONE + BEAM_WIDTH * aside * aside))


@inline
def _glare(towards: F) -> F:
    """Light that the sun adds around itself: a wide glow and a narrow one, 8th and 32nd power of the cosine.

    Args:
        towards: cosine of the angle to the sun.
    """
    squared = towards * towards
    eighth = squared * squared * squared * squared
    return F(0.35) * eighth + F(0.45) * eighth * eighth * eighth * eighth


@inline
def _to_byte(value: F) -> np.uint8:
    """A number as a channel of an image."""
    return np.uint8(min(max(value, _ZERO), _WHITE))


@cached_kernel
def relight(
    camera: NDArray[np.float32],
    focal: F,
    scene: SceneArrays,
    packed_light: NDArray[np.float32],
    planes: Planes,
    ahead: F,
    image: Image,
) -> None:
    """Put light, wet, snow, wear, haze and glare onto an image that was drawn without haze.

    Args:
        camera: (12,) float32, a packed `rays.Camera`.
        focal: focal length in pixels.
        scene: the scene.
        packed_light: a packed `Light`.
        planes: what the image shows.
        ahead: m that the headlights are in front of the camera.
        image: (height, width, 3) uint8, changed.
    """
    height, width = planes.depth.shape
    projection, light = Projection(camera, focal, width, height), unpack(Light, packed_light)
    land, textures = unpack(Land, scene.land), scene.textures
    edge = unpack(Road, scene.road).edge
    sun, day, ambient = light.sun, light.day, light.ambient
    asphalt = unpack(Palette, scene.palette).asphalt
    wet, snow, wear, lamps = light.wet, light.snow, light.wear, light.headlights
    patterned, glowing = wet + snow + wear > _ZERO, light.glow.red > _ZERO
    angled = glowing or wet > _ZERO
    level = Rgb(  # `_relit` of level ground, for which before and after are 1
        light.sky.red * ambient.red + light.direct.red * (_ONE - ambient.red),
        light.sky.green * ambient.green + light.direct.green * (_ONE - ambient.green),
        light.sky.blue * ambient.blue + light.direct.blue * (_ONE - ambient.blue),
    )
    for i in range(height):
        row = np.uint64(i)
        v = row_tangent(projection, i)
        for j in range(width):
            column = np.uint64(j)
            u = column_tangent(projection, j)
            ray = pixel_ray(projection, u, v)
            inverse_length = _ONE / np.sqrt(ray.x * ray.x + ray.y * ray.y + ray.z * ray.z) if angled else _ONE
            label, far = planes.labels[row, column], planes.depth[row, column]
            colour = Rgb(
                F(image[row, column, RED]), F(image[row, column, GREEN]), F(image[row, column, BLUE])
            )
            if label == _CAR:
                colour = _lit(colour, level)
            elif label != _SKY:
                drawn, gain = colour, level
                steep, coarse, fine, cover = _ZERO, _ZERO, _ZERO, _ZERO
                position = unpack(Camera, camera).position
                x, y = position.x + far * ray.x, position.y + far * ray.y
                road = _ROAD <= label <= _KERB
                if label == _TERRAIN:
                    east, north, steep = _slope(scene.heights, land, x, y)
                    near = light.shadows > LIT_BY_SLOPE and planes.lateral[row, column] < MAPPED
                    if not near or light.shadows == DRAWN_LEVEL:
                        gain = _daylight(packed_light, east, north, steep, near)
                if patterned:
                    footprint = far * (_ONE / focal)
                    fine = textures[texel(GROUND, x * FINE_TEXELS, y * FINE_TEXELS, footprint * FINE_TEXELS)]
                    coarse = _ground_pattern(
                        textures, x * COARSE_TEXELS, y * COARSE_TEXELS, footprint * COARSE_TEXELS
                    )
                    if wear > _ZERO and road:
                        bright = reflection(asphalt.gloss, day, ray, -ray.z)
                        spot = _Spot(x, y, far, footprint, bright, coarse, fine)
                        colour = _worn(colour, wear, label, scene, spot)
                    if road:
                        colour = _times(colour, _ONE - WET_LOSS * wet)
                    elif label == _TERRAIN:
                        colour = _times(colour, _ONE - _HALF * WET_LOSS * wet)
                    if snow > _ZERO:
                        brightness = colour.red + colour.green + colour.blue
                        from_edge = planes.lateral[row, column] - edge
                        cover = _snow_cover(snow, label, brightness, from_edge, steep, coarse, fine)
                colour = _lit(colour, gain)
                if cover > _ZERO:  # what is under it no longer matters, but that steep snow gets less light
                    white = _times(
                        FRESH_SNOW, (_ONE + F(0.02) * fine) * (_ONE - F(0.3) * steep / (steep + _ONE))
                    )
                    colour = _blend(colour, cover, _lit(white, level))
                if wet > _ZERO and (road or label == _WATER):
                    colour = _blend(colour, _mirror(wet, -ray.z * inverse_length, coarse), light.mirrored)
                if lamps > _ZERO:
                    reach = max(far - ahead, _ZERO)
                    beam = lamps * _beam(reach, far * u / (reach + F(2.5)))
                    beam *= F(1.6) if label == _MARKING else _ONE  # road paint throws light back
                    colour = _plus(colour, beam, _lit(drawn, HEADLIGHTS))
                haze = min(max((far - light.haze_start) * light.haze_scale, _ZERO), _ONE)
                colour = _blend(colour, haze, light.haze)
                if light.fog > _ZERO:  # Koschmieder's law: contrast falls by the exponential of the distance
                    colour = _blend(colour, _ONE - np.exp(-light.fog * far), light.veil)
            if glowing:
                towards = max((ray.x * sun.x + ray.y * sun.y + ray.z * sun.z) * inverse_length, _ZERO)
                glare = _glare(towards)
                if label == _SKY:
                    colour = _plus(colour, _smooth((towards - SUN_RIM) * F(5000.0)), SUN_DISC)
                else:
                    glare *= F(0.15) if label == _CAR else F(0.55)
                colour = _plus(colour, glare, light.glow)
            image[row, column, RED] = _to_byte(colour.red * light.exposure)
            image[row, column, GREEN] = _to_byte(colour.green * light.exposure)
            image[row, column, BLUE] = _to_byte(colour.blue * light.exposure)


@cached_kernel
def precipitate(
    packed_light: NDArray[np.float32], seed: np.uint32, depth: NDArray[np.float32], image: Image
) -> None:
    """Let it rain or snow before the camera.

    Rain is drawn as streaks, snow as round flakes; how many are in an image of 160 rows and 320 columns is
    given by the light. What is farther than what the image shows is hidden by it.

    Args:
        packed_light: a packed `Light`.
        seed: of this image.
        depth: (height, width) float32 m, of the image.
        image: (height, width, 3) uint8, changed.
    """
    light = unpack(Light, packed_light)
    height, width = image.shape[0], image.shape[1]
    scale = F(height) / F(160.0)
    area = F(width) / (F(320.0) * scale)
    rain = _times(light.precipitation, light.exposure)
    drop = Rgb(min(rain.red, _WHITE), min(rain.green, _WHITE), min(rain.blue, _WHITE))
    lean = (_unit(_mix(seed, 0)) - _HALF) * F(0.3)
    for k in range(np.int64(light.streaks * area)):
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
                _tint(image, i, j, opacity, drop)
    for k in range(np.int64(light.flakes * area)):
        middle_x = _unit(_mix(seed, 4 * k + 1)) * F(width)
        middle_y = _unit(_mix(seed, 4 * k + 2)) * F(height)
        near = _unit(_mix(seed, 4 * k + 3))
        # Most flakes are far off and small: the cube of an even draw.
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
                    _tint(image, i, j, opacity, drop)


@inline
def _tint(image: Image, i: int, j: int, opacity: F, colour: Rgb) -> None:
    """Put a colour over a pixel."""
    under = Rgb(F(image[i, j, RED]), F(image[i, j, GREEN]), F(image[i, j, BLUE]))
    over = _blend(under, opacity, colour)
    image[i, j, RED] = np.uint8(over.red)
    image[i, j, GREEN] = np.uint8(over.green)
    image[i, j, BLUE] = np.uint8(over.blue)


@cached_kernel
def develop(gain: F, noise: F, seed: np.uint32, image: Image) -> None:
    """Expose an image, and add the noise of its sensor.

    The noise's variance grows with the light (shot noise), from half of its value at mid grey (read noise).

    Args:
        gain: of the light.
        noise: standard deviation at mid grey, in levels.
        seed: of this image.
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
        flat[at] = _to_byte(value)


def compress(image: Image, quality: int) -> Image:
    """An image after JPEG compression.

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
