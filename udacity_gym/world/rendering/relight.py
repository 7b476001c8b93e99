"""Weather, light and the camera's own faults, put onto a finished image.

The renderer draws every scene as it looks in Udacity's simulator. What other conditions change is
computed from that image, the depth of its pixels and what they show (deferred shading, Saito and
Takahashi 1990): so that the usual image costs nothing more, and no condition needs a scene of its own.

`relight` works on one row of the image at a time, in one loop per effect: each loop is without branches, so
that it is vectorised, and effects that a condition does not have cost nothing.
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
from udacity_gym.world.rendering.rays import Camera, Projection, pixel_ray, row_tangent
from udacity_gym.world.rendering.sampling import BLUE, GREEN, RED, cell_of, pattern, rgb, texel, texels
from udacity_gym.world.rendering.survey import Planes, planes_of
from udacity_gym.world.rendering.weather import DRAWN_LEVEL, LIT_BY_SLOPE, Light
from udacity_gym.world.scene.scene_arrays import SLOPE_UNIT, Land, Palette, Road, SceneArrays
from udacity_gym.world.scene.textures import GROUND

WET_LOSS = F(0.48)
"""Share of its light that ground no longer gives back when wet."""
FRESH_SNOW = Rgb.of((236.0, 239.0, 246.0))
"""RGB of snow on level ground in the usual light."""
FROST = Rgb.of((198.0, 210.0, 222.0))
"""RGB of frost on grass and sand in the usual light."""
ROAD_ICE, ICE_TINT = Rgb.of((112.0, 138.0, 172.0)), F(0.55)
"""RGB of ice on the road, and the share of the road's own colour that it hides."""
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
LOW_SUN = F(0.5)
"""Sine of the sun's elevation below which slopes differ from level ground as they do at this elevation: a
sun at the horizon would light them without end, and level ground not at all."""
SUNNIEST = F(1.3)
"""Direct light on the sunniest slopes, relative to level ground."""

_SKY, _ROAD, _MARKING, _KERB, _TERRAIN, _WATER, _PLANT, _CAR = (
    np.int32(label)
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


class Row(NamedTuple):
    """Working memory of `relight`: one row of an image, (width,) float32 each.

    Attributes:
        red, green, blue: colours, [0, 255] and above.
        drawn_red, drawn_green, drawn_blue: colours as drawn, before any light.
        x, y: m, place of what is shown.
        east, north: of the ground there, m per m; 0 for what is not ground.
        fine, coarse: the ground's pattern there, in standard deviations.
        cover: [0, 1] share that snow or frost covers.
        slant: sine of the angle between the ray and level ground.
        label: what is shown, (width,) int32.
        packed: colours, (width,) int32.
    """

    red: NDArray[np.float32]
    green: NDArray[np.float32]
    blue: NDArray[np.float32]
    drawn_red: NDArray[np.float32]
    drawn_green: NDArray[np.float32]
    drawn_blue: NDArray[np.float32]
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    east: NDArray[np.float32]
    north: NDArray[np.float32]
    fine: NDArray[np.float32]
    coarse: NDArray[np.float32]
    cover: NDArray[np.float32]
    slant: NDArray[np.float32]
    label: NDArray[np.int32]
    packed: NDArray[np.int32]

    @staticmethod
    def of(width: int) -> Row:
        """Allocate the memory for images of a width."""
        kinds = [np.int32 if name in ("label", "packed") else np.float32 for name in Row._fields]
        planes: list[NDArray[Any]] = [np.zeros(width, kind) for kind in kinds]
        return Row(*planes)


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
def _blend(colour: Rgb, share: F, other: Rgb) -> Rgb:
    """A colour of which a share is replaced by another."""
    return Rgb(
        colour.red + share * (other.red - colour.red),
        colour.green + share * (other.green - colour.green),
        colour.blue + share * (other.blue - colour.blue),
    )


@inline
def _put(row: Row, at: np.uint64, share: F, colour: Rgb) -> None:
    """Replace a share of a pixel's colour."""
    row.red[at] += share * (colour.red - row.red[at])
    row.green[at] += share * (colour.green - row.green[at])
    row.blue[at] += share * (colour.blue - row.blue[at])


@inline
def _is(condition: bool) -> F:
    """1.0 where a condition holds, else 0.0."""
    return F(np.int32(condition))


@inline
def _decay(x: F) -> F:
    """exp(-x) for x >= 0: the cubic of exp(x / 8), to the power of -8; within 0.002."""
    part = x * F(0.125)
    part = _ONE + part * (_ONE + part * (_HALF + part * F(1.0 / 6.0)))
    part *= part
    part *= part
    return _ONE / (part * part)


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


@inline
def _to_byte(value: F) -> np.uint8:
    """A number as a channel of an image."""
    return np.uint8(min(max(value, _ZERO), _WHITE))


@kernel
def _load(i: int, projection: Projection, planes: Planes, image: Image, row: Row) -> int:
    """Read a row of the image, find where its pixels are; returns how many of them show the sky."""
    at_row = np.uint64(i)
    v = row_tangent(projection, i)
    middle, tangent = _HALF - F(projection.width) * _HALF, _ONE / projection.focal
    skies = np.int32(0)
    for j in range(projection.width):
        at = np.uint64(j)
        label = np.int32(planes.labels[at_row, at])
        row.label[at] = label
        skies += np.int32(label == _SKY)
    for j in range(projection.width):  # single bytes can only be read one by one; the rest is vectorised
        at = np.uint64(j)
        red, green = np.int32(image[at_row, at, RED]), np.int32(image[at_row, at, GREEN])
        row.packed[at] = red | (green << 8) | (np.int32(image[at_row, at, BLUE]) << 16)
    for j in range(projection.width):
        at = np.uint64(j)
        colour = rgb(row.packed[at])
        row.red[at], row.green[at], row.blue[at] = colour.red, colour.green, colour.blue
    position = unpack(Camera, projection.camera).position
    for j in range(projection.width):
        at = np.uint64(j)
        ray = pixel_ray(projection, (F(np.int32(j)) + middle) * tangent, v)
        far = planes.depth[at_row, at]
        row.x[at], row.y[at] = position.x + far * ray.x, position.y + far * ray.y
        row.slant[at] = -ray.z / np.sqrt(ray.x * ray.x + ray.y * ray.y + ray.z * ray.z)
    return skies


@inline
def _low_half(packed: np.int32) -> F:
    """The lower 16 bits of an integer as a signed number."""
    return F(np.int32(np.int32(packed << 16) >> 16))


@inline
def _high_half(packed: np.int32) -> F:
    """The upper 16 bits of an integer as a signed number."""
    return F(np.int32(packed >> 16))


@kernel
def _incline(width: int, scene: SceneArrays, row: Row) -> None:
    """Look up the slope of the ground where pixels show it, bilinear between nodes."""
    land, slopes = unpack(Land, scene.land), scene.slopes
    columns = np.int32(land.columns)
    for j in range(width):
        at = np.uint64(j)
        cell = cell_of(land, row.x[at] - land.west, row.y[at] - land.south)
        south_west, south_east = slopes[index(cell.node)], slopes[index(cell.node + np.int32(1))]
        north_west = slopes[index(cell.node + columns)]
        north_east = slopes[index(cell.node + columns + np.int32(1))]
        ground = _is(row.label[at] == _TERRAIN) * SLOPE_UNIT
        w11 = cell.east * cell.north
        w10, w01 = cell.east - w11, cell.north - w11
        w00 = _ONE - cell.east - w01
        east = w00 * _low_half(south_west) + w10 * _low_half(south_east)
        east += w01 * _low_half(north_west) + w11 * _low_half(north_east)
        north = w00 * _high_half(south_west) + w10 * _high_half(south_east)
        north += w01 * _high_half(north_west) + w11 * _high_half(north_east)
        row.east[at], row.north[at] = ground * east, ground * north


@inline
def _relit(sky: F, direct: F, ambient: F, before: F, after: F) -> F:
    """Light of one colour now over that in the image as it was drawn.

    Both are the sky's share plus the sun's, which goes by how directly the sun shines: then ambient +
    (1 - ambient) * before, now the same with the gains of the sky and of the sun.
    """
    return (sky * ambient + direct * (_ONE - ambient) * after) / (ambient + (_ONE - ambient) * before)


@kernel
def _illuminate(i: int, width: int, light: Light, level: Rgb, planes: Planes, row: Row) -> None:
    """Put the light of sun and sky onto a row: Lambert's law for the ground, as on level ground for the rest.

    The cosine between the sun and the ground's normal, (-east, -north, 1) / length, is taken relative to that
    on level ground, which is the sun's z. Far from the road the ground was drawn as its slope is lit by day;
    near it, where there is a map of the sun's light, either with that light, which stays, or as if it were
    level.

    Args:
        i: row.
        width: of the image.
        light: as it is now.
        level: gain on level ground.
        planes: what the image shows.
        row: changed.
    """
    at_row = np.uint64(i)
    sun, day, sky, direct, ambient = light.sun, light.day, light.sky, light.direct, light.ambient
    mapped, kept = _is(light.shadows > LIT_BY_SLOPE), _is(light.shadows != DRAWN_LEVEL)
    inverse_day, inverse_sun = _ONE / day.z, _ONE / max(sun.z, LOW_SUN)
    for j in range(width):
        at = np.uint64(j)
        near = mapped * _is(planes.lateral[at_row, at] < MAPPED)
        east, north = row.east[at], row.north[at]
        steep = np.sqrt(east * east + north * north)
        soft = near + (_ONE - near) * steep / (steep + light.gentle + F(1e-6))
        east, north = east * soft, north * soft
        length = _ONE / np.sqrt(_ONE + east * east + north * north)
        before = (day.z - day.x * east - day.y * north) * length * inverse_day
        before = near + (_ONE - near) * min(max(before, F(0.3)), F(1.4))
        after = _ONE + ((sun.z - sun.x * east - sun.y * north) * length - sun.z) * inverse_sun
        after = min(max(after, _ZERO), SUNNIEST)
        same = max(
            near * kept, _is(row.label[at] != _TERRAIN)
        )  # these keep the light that they were drawn with
        before, after = before + same * (_ONE - before), after + same * (_ONE - after)
        shown = _is(row.label[at] != _SKY)
        row.red[at] *= _ONE + shown * (_relit(sky.red, direct.red, ambient.red, before, after) - _ONE)
        row.green[at] *= _ONE + shown * (_relit(sky.green, direct.green, ambient.green, before, after) - _ONE)
        row.blue[at] *= _ONE + shown * (_relit(sky.blue, direct.blue, ambient.blue, before, after) - _ONE)


@kernel
def _illuminate_level(width: int, level: Rgb, row: Row) -> None:
    """Put the light on level ground onto a row that shows no slopes."""
    for j in range(width):
        at = np.uint64(j)
        shown = _is(row.label[at] != _SKY)
        row.red[at] *= _ONE + shown * (level.red - _ONE)
        row.green[at] *= _ONE + shown * (level.green - _ONE)
        row.blue[at] *= _ONE + shown * (level.blue - _ONE)


@kernel
def _look_up_patterns(i: int, projection: Projection, scene: SceneArrays, planes: Planes, row: Row) -> None:
    """Look up the patterns that wear, wetness, snow and frost follow."""
    at_row, tangent = np.uint64(i), _ONE / projection.focal
    for j in range(projection.width):
        at = np.uint64(j)
        footprint = planes.depth[at_row, at] * tangent
        x, y = row.x[at], row.y[at]
        row.fine[at] = scene.textures[
            texel(GROUND, x * FINE_TEXELS, y * FINE_TEXELS, footprint * FINE_TEXELS)
        ]
        row.coarse[at] = _ground_pattern(
            scene.textures, x * COARSE_TEXELS, y * COARSE_TEXELS, footprint * COARSE_TEXELS
        )


@inline
def _is_road(label: np.int32) -> F:
    """Whether a label is one of the road's."""
    return _is(label >= _ROAD) * _is(label <= _KERB)


@kernel
def _wear(i: int, projection: Projection, scene: SceneArrays, light: Light, planes: Planes, row: Row) -> None:
    """Wear the road: paint has come off down to the asphalt, there are cracks and dark patches.

    Cracks run where a pattern changes its sign; far off they close up.
    """
    at_row, v, tangent = np.uint64(i), row_tangent(projection, i), _ONE / projection.focal
    middle, wear = _HALF - F(projection.width) * _HALF, light.wear
    asphalt = unpack(Palette, scene.palette).asphalt
    for j in range(projection.width):
        at = np.uint64(j)
        label, far = row.label[at], planes.depth[at_row, at]
        coarse = row.coarse[at]
        ray = pixel_ray(projection, (F(np.int32(j)) + middle) * tangent, v)
        diffuse, direct = reflection(asphalt.gloss, light.day, ray, -ray.z)
        shade = F(0.85) * (diffuse + direct)
        painted = _is(label == _MARKING) + _is(label == _KERB)
        gone = painted * wear * _smooth(F(0.85) * wear + F(0.28) * row.fine[at] + F(0.35) * coarse)
        _put(row, at, gone, _times(asphalt.colour, shade))
        footprint = far * tangent * CRACK_TEXELS
        other = _ground_pattern(scene.textures, row.y[at] * CRACK_TEXELS, row.x[at] * CRACK_TEXELS, footprint)
        crack = max(_ONE - abs(other) * F(14.0), _ZERO) * min(F(12.0) / (far + _ONE), _ONE)
        kept = _ONE - _is_road(label) * wear * (F(0.14) * _smooth(coarse) + F(0.45) * crack)
        row.red[at] *= kept
        row.green[at] *= kept
        row.blue[at] *= kept


@kernel
def _wet(width: int, wet: F, row: Row) -> None:
    """Darken ground that is wet."""
    for j in range(width):
        at = np.uint64(j)
        label = row.label[at]
        kept = _ONE - WET_LOSS * wet * (_is_road(label) + _HALF * _is(label == _TERRAIN))
        row.red[at] *= kept
        row.green[at] *= kept
        row.blue[at] *= kept


@kernel
def _find_snow(i: int, width: int, snow: F, edge: F, planes: Planes, row: Row) -> None:
    """Find the share of each pixel that snow covers: ``cover``, before the light changes what is drawn.

    Args:
        i: row.
        width: of the image.
        snow: [0, 1] how much there is.
        edge: m from the centre line to the edge of the road.
        planes: what the image shows.
        row: ``cover`` is filled.
    """
    at_row = np.uint64(i)
    for j in range(width):
        at = np.uint64(j)
        label, coarse, fine = row.label[at], row.coarse[at], row.fine[at]
        brightness = row.red[at] + row.green[at] + row.blue[at]
        from_edge = planes.lateral[at_row, at] - edge
        lying = F(0.10) + F(0.75) * _smooth((from_edge + CLEARED_EDGE) * F(0.42))
        on_road = F(0.92) * snow * _smooth(lying + F(0.20) * coarse + F(0.14) * fine)
        steep = np.sqrt(row.east[at] * row.east[at] + row.north[at] * row.north[at])
        on_land = F(0.95) * _smooth(F(1.9) * snow - F(0.35) * steep + F(0.12) * coarse + F(0.08) * fine)
        on_plants = F(0.45) * snow * _smooth((brightness - F(90.0)) * F(0.012))  # on their upper sides
        road, land, plant = _is_road(label), _is(label == _TERRAIN), _is(label == _PLANT)
        other = (F(0.30) + F(0.05) * _is(label == _WATER)) * snow
        other *= (_ONE - road - land - plant) * _is(label != _SKY) * _is(label != _CAR)
        row.cover[at] = road * on_road + land * on_land + plant * on_plants + other


@kernel
def _lay_snow(width: int, level: Rgb, row: Row) -> None:
    """Put snow where it was found; steep snow gets less light."""
    for j in range(width):
        at = np.uint64(j)
        steep = np.sqrt(row.east[at] * row.east[at] + row.north[at] * row.north[at])
        bright = (_ONE + F(0.02) * row.fine[at]) * (_ONE - F(0.3) * steep / (steep + _ONE))
        _put(row, at, row.cover[at], _lit(_times(FRESH_SNOW, bright), level))


@kernel
def _freeze(width: int, ice: F, level: Rgb, row: Row) -> None:
    """Cover the road with clear bluish ice and the land with frost, more on what is rough."""
    for j in range(width):
        at = np.uint64(j)
        label, coarse, fine = row.label[at], row.coarse[at], row.fine[at]
        sheet = ice * ICE_TINT * (F(0.72) + F(0.28) * _smooth(_HALF + F(0.5) * coarse))
        _put(row, at, _is_road(label) * sheet, _lit(_times(ROAD_ICE, _ONE + F(0.02) * coarse), level))
        frost = F(0.46) + F(0.10) * coarse + F(0.14) * fine
        rough = _is(label == _TERRAIN) + F(0.62) * _is(label == _PLANT) + F(0.35) * _is(label > _PLANT)
        rough *= _is(label != _CAR)
        _put(row, at, ice * rough * min(max(frost, F(0.08)), F(0.8)), _lit(FROST, level))


@kernel
def _mirror(width: int, wet: F, ice: F, sky: Rgb, row: Row) -> None:
    """Let wet and frozen road, and water, mirror the sky.

    Fresnel's law as approximated by Schlick (1994), F0 + (1 - F0) * (1 - cos)^5 with water's F0 of 0.02; a
    film of water between rough stones mirrors only a part, a sheet of ice nearly all.
    """
    for j in range(width):
        at = np.uint64(j)
        grazing = _ONE - min(max(row.slant[at], _ZERO), _ONE)
        squared = grazing * grazing
        fresnel = F(0.02) + F(0.98) * squared * squared * grazing
        puddle = wet * (F(0.42) + F(0.58) * _smooth(F(0.4) * row.coarse[at] + F(0.15)))
        sheet = ice * (F(0.78) + F(0.22) * _smooth(F(0.5) * row.coarse[at] + _HALF))
        label = row.label[at]
        share = F(0.85) * (puddle * fresnel + sheet * (F(0.05) + fresnel))
        _put(row, at, (_is_road(label) + _is(label == _WATER)) * min(share, _ONE), sky)


@kernel
def _shine(i: int, projection: Projection, lamps: F, ahead: F, planes: Planes, row: Row) -> None:
    """Add the light of the car's headlights, by the m ahead of them and the tangent of the angle aside."""
    at_row, tangent = np.uint64(i), _ONE / projection.focal
    middle = _HALF - F(projection.width) * _HALF
    for j in range(projection.width):
        at = np.uint64(j)
        label, far = row.label[at], planes.depth[at_row, at]
        reach = max(far - ahead, _ZERO)
        aside = far * (F(np.int32(j)) + middle) * tangent / (reach + F(2.5))
        begins = _smooth((reach + _HALF) * F(0.2))
        beam = (_ONE + BEAM_FALL_OFF * reach * reach) * (_ONE + BEAM_WIDTH * aside * aside)
        beam = lamps * F(0.85) * begins / beam
        beam *= _ONE + F(0.6) * _is(label == _MARKING)  # road paint throws light back
        beam *= _is(label != _SKY) * _is(label != _CAR)
        row.red[at] += beam * HEADLIGHTS.red * row.drawn_red[at]
        row.green[at] += beam * HEADLIGHTS.green * row.drawn_green[at]
        row.blue[at] += beam * HEADLIGHTS.blue * row.drawn_blue[at]


@kernel
def _veil(i: int, width: int, light: Light, planes: Planes, row: Row) -> None:
    """Put the track's own haze before a row, and fog: by Koschmieder's law contrast falls exponentially."""
    at_row = np.uint64(i)
    for j in range(width):
        at = np.uint64(j)
        far, label = planes.depth[at_row, at], row.label[at]
        shown = _is(label != _SKY) * _is(label != _CAR)
        haze = shown * min(max((far - light.haze_start) * light.haze_scale, _ZERO), _ONE)
        fog = shown * (_ONE - _decay(light.fog * far))
        _put(row, at, haze, light.haze)
        _put(row, at, fog, light.veil)


@kernel
def _glare(i: int, projection: Projection, light: Light, row: Row) -> None:
    """Add the sun's disc, and its light around it: a wide glow and a narrow one.

    They are the 8th and the 32nd power of the cosine of the angle to the sun.
    """
    v, tangent = row_tangent(projection, i), _ONE / projection.focal
    middle, sun = _HALF - F(projection.width) * _HALF, light.sun
    for j in range(projection.width):
        at = np.uint64(j)
        ray = pixel_ray(projection, (F(np.int32(j)) + middle) * tangent, v)
        length = _ONE / np.sqrt(ray.x * ray.x + ray.y * ray.y + ray.z * ray.z)
        towards = max((ray.x * sun.x + ray.y * sun.y + ray.z * sun.z) * length, _ZERO)
        squared = towards * towards
        eighth = squared * squared * squared * squared
        glow = F(0.35) * eighth + F(0.45) * eighth * eighth * eighth * eighth
        sky, car = _is(row.label[at] == _SKY), _is(row.label[at] == _CAR)
        glow *= F(0.55) + F(0.45) * sky - F(0.40) * car
        disc = sky * _smooth((towards - SUN_RIM) * F(5000.0))
        row.red[at] += disc * SUN_DISC.red + glow * light.glow.red
        row.green[at] += disc * SUN_DISC.green + glow * light.glow.green
        row.blue[at] += disc * SUN_DISC.blue + glow * light.glow.blue


@cached_kernel
def relight(
    cameras: NDArray[np.float32],
    focal: F,
    scene: SceneArrays,
    lit: NDArray[np.bool_],
    lights: NDArray[np.float32],
    planes: Planes,
    ahead: NDArray[np.float32],
    seeds: NDArray[np.uint32],
    row: Row,
    out: Image,
) -> None:
    """Put light, wet, snow, ice, wear, haze, glare, drops and flakes onto images drawn without haze.

    Args:
        cameras: (n, 12) float32, a packed `rays.Camera` of each image.
        focal: focal length in pixels.
        scene: the scene.
        lit: (n,) bool, images with 0 are left alone.
        lights: (n, fields) float32, a packed `Light` of each.
        planes: what the images show.
        ahead: (n,) float32 m that the headlights are in front of the camera.
        seeds: (n,) uint32, of drops and flakes.
        row: working memory.
        out: (n, height, width, 3) uint8, changed.
    """
    for c in range(out.shape[0]):
        if lit[c]:
            shown = planes_of(planes, c)
            _relight_one(cameras[c], focal, scene, lights[c], shown, ahead[c], row, out[c])
            _precipitate(lights[c], seeds[c], shown.depth, out[c])


@kernel
def _relight_one(
    camera: NDArray[np.float32],
    focal: F,
    scene: SceneArrays,
    packed_light: NDArray[np.float32],
    planes: Planes,
    ahead: F,
    row: Row,
    image: Image,
) -> None:
    """`relight` for one image, without drops and flakes."""
    height, width = planes.depth.shape
    projection, light = Projection(camera, focal, width, height), unpack(Light, packed_light)
    edge = unpack(Road, scene.road).edge
    ambient = light.ambient
    wet, snow, ice, wear, lamps = light.wet, light.snow, light.ice, light.wear, light.headlights
    level = Rgb(  # `_relit` of level ground, for which before and after are 1
        light.sky.red * ambient.red + light.direct.red * (_ONE - ambient.red),
        light.sky.green * ambient.green + light.direct.green * (_ONE - ambient.green),
        light.sky.blue * ambient.blue + light.direct.blue * (_ONE - ambient.blue),
    )
    glowing, exposed = light.glow.red > _ZERO, light.exposure != _ONE
    for i in range(height):
        skies = _load(i, projection, planes, image, row)
        if skies == width and not glowing and not exposed:
            continue  # the sky was drawn as it is now
        if skies < width:
            terrain = np.int32(0)
            for j in range(width):
                terrain += np.int32(row.label[np.uint64(j)] == _TERRAIN)
            if terrain > np.int32(0):
                _incline(width, scene, row)
            else:
                for j in range(width):
                    row.east[np.uint64(j)], row.north[np.uint64(j)] = _ZERO, _ZERO
            if lamps > _ZERO:
                for j in range(width):
                    at = np.uint64(j)
                    row.drawn_red[at], row.drawn_green[at] = row.red[at], row.green[at]
                    row.drawn_blue[at] = row.blue[at]
            if wet + snow + ice + wear > _ZERO:
                _look_up_patterns(i, projection, scene, planes, row)
            if wear > _ZERO:
                _wear(i, projection, scene, light, planes, row)
            if wet > _ZERO:
                _wet(width, wet, row)
            if snow > _ZERO:
                _find_snow(i, width, snow, edge, planes, row)
            if terrain > np.int32(0):
                _illuminate(i, width, light, level, planes, row)
            else:
                _illuminate_level(width, level, row)
            if snow > _ZERO:
                _lay_snow(width, level, row)
            if ice > _ZERO:
                _freeze(width, ice, level, row)
            if wet + ice > _ZERO:
                _mirror(width, wet, ice, light.mirrored, row)
            if lamps > _ZERO:
                _shine(i, projection, lamps, ahead, planes, row)
            _veil(i, width, light, planes, row)
        if glowing:
            _glare(i, projection, light, row)
        at_row, exposure = np.uint64(i), light.exposure
        for j in range(width):
            at = np.uint64(j)
            red = np.int32(min(max(row.red[at] * exposure, _ZERO), _WHITE))
            green = np.int32(min(max(row.green[at] * exposure, _ZERO), _WHITE))
            blue = np.int32(min(max(row.blue[at] * exposure, _ZERO), _WHITE))
            row.packed[at] = red | (green << 8) | (blue << 16)
        for j in range(width):
            at = np.uint64(j)
            colour = row.packed[at]
            image[at_row, at, RED] = np.uint8(colour & 255)
            image[at_row, at, GREEN] = np.uint8((colour >> 8) & 255)
            image[at_row, at, BLUE] = np.uint8(colour >> 16)


@kernel
def _precipitate(
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
