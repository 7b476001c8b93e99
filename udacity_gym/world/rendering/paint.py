"""The colours of road, ground and sky, computed from where every pixel is.

Lines, kerbs and edges are averaged over each pixel's extent in closed form, so nothing flickers;
patterns are looked up in the halving that fits the pixel.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from udacity_gym.world.jit import LANES, F, index, inline, kernel
from udacity_gym.world.rendering.surface import COBBLED, DECK, FAR, LINED, RAISED, STRIPED, WALL_UNIT
from udacity_gym.world.rendering.textures import SIZE, texel, texels
from udacity_gym.world.scene.shadows import FULL

SHOULDER_RED, SHOULDER_GREEN, SHOULDER_CALM = F(0.06), F(0.04), F(0.4)
"""How much more red and green the asphalt outside the edge lines is, and how much less grainy."""
MARGIN = F(0.5)
"""m, more than half the extent of a pixel in a row that does not show the edge of the road besides."""
SHARPNESS = F(0.6)
"""Share of a pixel's length over which the bars of the kerb are averaged."""

_ZERO = F(0.0)
_ONE = F(1.0)
_HALF = F(0.5)
_TO_UNIT = F(1.0 / 255.0)
_BLUR = F(1.0)  # patterns are as sharp as in recordings: correlation of neighbours along a row

GLANCE, COBBLE_GLANCE, GLANCE_DISTANCE = F(0.59), F(0.25), F(4.0)
"""The road looks lighter the flatter one looks at it: up to this share more, half of it at so many m.

Fitted to the mean brightness of asphalt by image row: 118 at row 136, 129 at row 100, 146 at row 70.
"""


@inline
def band(distance: Any, extent: Any, low: Any, high: Any) -> Any:
    """Share of a pixel's extent that lies between two distances."""
    inside = min(distance + _HALF * extent, high) - max(distance - _HALF * extent, low)
    return max(inside, _ZERO) / extent


@inline
def step_up(distance: Any, extent: Any, edge: Any) -> Any:
    """Share of a pixel's extent that lies beyond a distance."""
    return min(max((distance - edge) / extent + _HALF, _ZERO), _ONE)


@inline
def dashes(place: Any, extent: Any, period: Any, dash: Any) -> Any:
    """Share of a pixel's extent that lies in the beginnings, so long as a dash, of a repeating period."""
    first, last = place - _HALF * extent, place + _HALF * extent
    inverse = _ONE / period
    a, b = np.floor(first * inverse), np.floor(last * inverse)
    return ((b - a) * dash + min(last - b * period, dash) - min(first - a * period, dash)) / extent


@inline
def bars(place: Any, extent: Any, period: Any) -> Any:
    """Share of a pixel's extent that lies in the first halves of a repeating period."""
    return dashes(place, extent, period, period * _HALF)


@inline
def channel(packed: Any, shift: Any) -> Any:
    """One of the four bytes of a packed colour as a number."""
    return F(np.int32((packed >> shift) & np.int32(255)))


@inline
def _widest(section: Any) -> Any:
    """Metres from the centre line beyond which no pixel shows road or kerb."""
    return max(section[7], section[8]) + MARGIN


@inline
def flag(packed: Any, bit: Any) -> Any:
    """One bit as 0.0 or 1.0."""
    return F(np.int32((packed >> bit) & np.int32(1)))


@kernel
def pave(
    camera: Any,
    air: Any,
    bottom: int,
    covered: Any,
    span: Any,
    t: Any,
    s: Any,
    d: Any,
    along: Any,
    across: Any,
    section: Any,
    palette: Any,
    textures: Any,
    red: Any,
    green: Any,
    blue: Any,
    road: Any,
) -> None:
    """Colour the pixels of the road as if it were all asphalt.

    Args:
        camera: (12,) float32 position, forward, right and up vector.
        air: float32, see `daylight.Daylight.air`.
        bottom: rows to look at, from the top.
        covered: (rows,) int32, how many of the row's pixels meet the ground.
        span: (rows, 2) float32 m, smallest and greatest distance from the centre line.
        t: (rows, LANES) float32 m, depth of each pixel.
        s: (rows, LANES) float32 m along the track.
        d: (rows, LANES) float32 m to the right of the centre line.
        along: (rows, LANES) float32 m, extent of the pixel along the track.
        across: (rows, LANES) float32 m, extent of the pixel across the track.
        section: float32 cross-section, see `scenery._section`.
        palette: (materials, 4) float32 colours, see `scenery.PALETTE`.
        textures: float32 patterns: asphalt, cobblestones, ground.
        red: (rows, LANES) float32, receives the red.
        green: the same, green.
        blue: the same, blue.
        road: (rows, LANES) float32, receives the share of the pixel that is road: all of it.
    """
    line_high, scale = section[3], section[9]
    widest = _widest(section)
    ar, ag, ab, contrast = palette[0, 0], palette[0, 1], palette[0, 2], palette[0, 3]
    light = _ONE + air[18] * (camera[3] * air[12] + camera[4] * air[13])
    for i in range(bottom):
        row = np.uint64(i)
        if covered[i] == 0 or span[row, np.uint64(0)] > widest:
            continue
        for e in range(LANES):
            lane = np.uint64(e)
            offset, extent, depth = d[row, lane], across[row, lane], t[row, lane]
            footprint = max(extent, along[row, lane]) * (scale * _BLUR)
            k00, k10, k01, k11, fu, fv, fade = texels(0, s[row, lane] * scale, offset * scale, footprint)
            low, high = textures[k00], textures[k01]
            low += fu * (textures[k10] - low)
            high += fu * (textures[k11] - high)
            shoulder = step_up(abs(offset), extent, line_high)
            grain = contrast * fade * (_ONE - SHOULDER_CALM * shoulder) * (low + fv * (high - low))
            bright = light * (_ONE + GLANCE * depth / (depth + GLANCE_DISTANCE)) * (_ONE + grain)
            red[row, lane] = ar * bright * (_ONE + SHOULDER_RED * shoulder)
            green[row, lane] = ag * bright * (_ONE + SHOULDER_GREEN * shoulder)
            blue[row, lane] = ab * bright
            road[row, lane] = _ONE


@kernel
def mark(
    bottom: int,
    covered: Any,
    span: Any,
    s: Any,
    d: Any,
    along: Any,
    across: Any,
    section: Any,
    palette: Any,
    sides: Any,
    spacing: float,
    red: Any,
    green: Any,
    blue: Any,
    road: Any,
) -> None:
    """Put the edge lines and the kerbs on the road.

    Arguments as of `pave`; ``sides`` is (2 * n,) int32, what is left and right of each sample, see
    `surface.LINED`, ``spacing`` m between two samples, and ``road`` receives the share of the pixel that
    is road or kerb.
    """
    last_sample = np.int32(sides.shape[0] // 2 - 1)
    inverse_spacing = _ONE / F(spacing)
    line_low, line_inner, line_outer, line_high = section[0], section[1], section[2], section[3]
    stripes_low, stripes_high, period = section[12], section[4], section[5]
    foot, top = section[6], section[7]
    widest = _widest(section)
    yr, yg, yb = palette[2, 0], palette[2, 1], palette[2, 2]
    kr, kg, kb = palette[3, 0], palette[3, 1], palette[3, 2]
    rr, rg, rb = palette[4, 0], palette[4, 1], palette[4, 2]
    wr, wg, wb = palette[5, 0], palette[5, 1], palette[5, 2]
    mr, mg, mb = palette[6, 0], palette[6, 1], palette[6, 2]
    for i in range(bottom):
        row = np.uint64(i)
        if covered[i] == 0 or span[row, np.uint64(0)] > widest:
            continue
        if span[row, np.uint64(1)] < line_low - MARGIN:
            continue
        for e in range(LANES):
            lane = np.uint64(e)
            place, offset = s[row, lane], d[row, lane]
            length, extent = along[row, lane], across[row, lane]
            r, g, b = red[row, lane], green[row, lane], blue[row, lane]
            distance = abs(offset)
            sample = min(max(np.int32(place * inverse_spacing), np.int32(0)), last_sample)
            side = sides[index(sample * np.int32(2) + np.int32(offset > _ZERO))]
            raised = flag(side, RAISED)

            lined = flag(side, LINED)
            dark = band(distance, extent, line_inner, line_outer) * lined
            r *= _ONE + dark * (kr - _ONE)
            g *= _ONE + dark * (kg - _ONE)
            b *= _ONE + dark * (kb - _ONE)
            yellow = band(distance, extent, line_low, line_inner)
            yellow = (yellow + band(distance, extent, line_outer, line_high)) * lined
            r += yellow * (yr - r)
            g += yellow * (yg - g)
            b += yellow * (yb - b)

            # The kerb bulges: its top turns more to the sun, or away from it, than its foot.
            face = step_up(distance, extent, foot) * raised
            bulge = F(0.75) + F(0.6) * min(max(distance - foot, _ZERO), F(0.8))
            r += face * (mr + bulge * (channel(side, 0) - mr) - r)
            g += face * (mg + bulge * (channel(side, 8) - mg) - g)
            b += face * (mb + bulge * (channel(side, 16) - mb) - b)

            stripes = band(distance, extent, stripes_low, stripes_high) * flag(side, STRIPED)
            white = bars(place, length * SHARPNESS, period)
            red[row, lane] = r + stripes * (rr + white * (wr - rr) - r)
            green[row, lane] = g + stripes * (rg + white * (wg - rg) - g)
            blue[row, lane] = b + stripes * (rb + white * (wb - rb) - b)
            road[row, lane] = _ONE - step_up(distance, extent, foot + raised * (top - foot))


@kernel
def mark_middle(
    bottom: int,
    covered: Any,
    span: Any,
    s: Any,
    d: Any,
    along: Any,
    across: Any,
    section: Any,
    palette: Any,
    red: Any,
    green: Any,
    blue: Any,
) -> None:
    """Put the centre line on the road, where there is one; arguments as of `pave`."""
    low, high, period, dash = section[13], section[14], section[15], section[16]
    if high <= _ZERO:
        return
    wr, wg, wb = palette[7, 0], palette[7, 1], palette[7, 2]
    for i in range(bottom):
        row = np.uint64(i)
        if covered[i] == 0 or span[row, np.uint64(0)] > high + MARGIN:
            continue
        for e in range(LANES):
            lane = np.uint64(e)
            offset, extent = d[row, lane], across[row, lane]
            line = band(offset, extent, low, high) + band(offset, extent, -high, -low)
            line *= dashes(s[row, lane], along[row, lane], period, dash)
            red[row, lane] += line * (wr - red[row, lane])
            green[row, lane] += line * (wg - green[row, lane])
            blue[row, lane] += line * (wb - blue[row, lane])


@kernel
def cobble(
    bottom: int,
    covered: Any,
    span: Any,
    t: Any,
    s: Any,
    d: Any,
    along: Any,
    across: Any,
    section: Any,
    palette: Any,
    sides: Any,
    textures: Any,
    spacing: float,
    red: Any,
    green: Any,
    blue: Any,
    road: Any,
) -> None:
    """Lay cobblestones over the road where there is a bridge; arguments as of `pave` and `mark`.

    A row is looked at when its first or last pixel shows the bridge: along a row, s only rises or falls.
    """
    last_sample = np.int32(sides.shape[0] // 2 - 1)
    inverse_spacing = _ONE / F(spacing)
    scale, scale_across = section[10], section[11]
    widest = _widest(section)
    cr, cg, cb, contrast = palette[1, 0], palette[1, 1], palette[1, 2], palette[1, 3]
    for i in range(bottom):
        row = np.uint64(i)
        if covered[i] == 0 or span[row, np.uint64(0)] > widest:
            continue
        stones = np.int32(0)
        for e in (0, LANES - 1):
            sample = min(max(np.int32(s[row, np.uint64(e)] * inverse_spacing), np.int32(0)), last_sample)
            stones += (sides[index(sample * np.int32(2))] >> COBBLED) & np.int32(1)
            stones += (sides[index(sample * np.int32(2) + np.int32(1))] >> COBBLED) & np.int32(1)
        if stones == 0:
            continue
        for e in range(LANES):
            lane = np.uint64(e)
            place, offset, depth = s[row, lane], d[row, lane], t[row, lane]
            sample = min(max(np.int32(place * inverse_spacing), np.int32(0)), last_sample)
            side = sides[index(sample * np.int32(2) + np.int32(offset > _ZERO))]
            stony = flag(side, COBBLED)
            edge = F(side & np.int32(0xFFFFFF)) * WALL_UNIT
            footprint = max(across[row, lane] * scale_across, along[row, lane] * scale) * _BLUR
            k00, k10, k01, k11, fu, fv, fade = texels(SIZE, place * scale, offset * scale_across, footprint)
            low, high = textures[k00], textures[k01]
            low += fu * (textures[k10] - low)
            high += fu * (textures[k11] - high)
            bright = _ONE + COBBLE_GLANCE * depth / (depth + GLANCE_DISTANCE)
            bright *= _ONE + contrast * fade * (low + fv * (high - low))
            red[row, lane] += stony * (cr * bright - red[row, lane])
            green[row, lane] += stony * (cg * bright - green[row, lane])
            blue[row, lane] += stony * (cb * bright - blue[row, lane])
            inside = _ONE - step_up(abs(offset), across[row, lane], edge)
            road[row, lane] += stony * (inside - road[row, lane])


@kernel
def paint_ground(
    camera: Any,
    focal: float,
    frame: Any,
    width: int,
    first: int,
    bottom: int,
    covered: Any,
    span: Any,
    section: Any,
    t: Any,
    colours: Any,
    textures: Any,
    red: Any,
    green: Any,
    blue: Any,
    road: Any,
) -> None:
    """Colour the pixels of the ground beside the road from the map of its colours.

    Rows that show nothing but road are left alone.
    """
    nodes = np.int32(frame[4])
    east_end, north_end = frame[2], frame[3]
    rows = t.shape[0]
    inverse_focal = _ONE / focal
    cx, cy = camera[0] - frame[0], camera[1] - frame[1]
    ux, uy = camera[6] * inverse_focal, camera[7] * inverse_focal
    u0 = F(first) + _HALF - F(width) * _HALF
    narrowest, widest = section[6] - MARGIN, _widest(section)
    for i in range(bottom):
        row = np.uint64(i)
        if covered[i] == 0 or span[row, np.uint64(1)] < narrowest:
            continue
        keep = F(np.int32(span[row, np.uint64(0)] <= widest))
        v = (F(rows) * _HALF - F(i) - _HALF) * inverse_focal
        ax = camera[3] + v * camera[9]
        ay = camera[4] + v * camera[10]
        for e in range(LANES):
            lane = np.uint64(e)
            u = u0 + F(np.int32(e))
            depth = min(t[row, lane], FAR)
            x, y = cx + depth * (ax + u * ux), cy + depth * (ay + u * uy)
            footprint = depth * inverse_focal
            fine = textures[texel(2 * SIZE, x * F(12.0), y * F(12.0), footprint * F(14.0))]
            coarse = textures[texel(2 * SIZE, x * F(1.5), y * F(1.5), footprint * F(1.5))]
            mottle = F(0.5) * fine + coarse
            x = min(max(x, _ZERO), east_end)
            y = min(max(y, _ZERO), north_end)
            ix = np.int32(x)
            iy = np.int32(y)
            fx, fy = x - F(ix), y - F(iy)
            node = np.int32(iy * nodes + ix)
            a, b = colours[index(node)], colours[index(node + np.int32(1))]
            c, k = colours[index(node + nodes)], colours[index(node + nodes + np.int32(1))]
            w11 = fx * fy
            w10 = fx - w11
            w01 = fy - w11
            w00 = _ONE - fx - w01
            r = w00 * channel(a, 0) + w10 * channel(b, 0) + w01 * channel(c, 0) + w11 * channel(k, 0)
            g = w00 * channel(a, 8) + w10 * channel(b, 8) + w01 * channel(c, 8) + w11 * channel(k, 8)
            bl = w00 * channel(a, 16) + w10 * channel(b, 16) + w01 * channel(c, 16) + w11 * channel(k, 16)
            rough = channel(a, 24) * _TO_UNIT
            shade = _ONE + rough * mottle
            share = keep * road[row, lane]
            red[row, lane] = share * red[row, lane] + (_ONE - share) * r * shade
            green[row, lane] = share * green[row, lane] + (_ONE - share) * g * shade
            blue[row, lane] = share * blue[row, lane] + (_ONE - share) * bl * shade


@kernel
def shine(
    camera: Any,
    focal: float,
    air: Any,
    width: int,
    first: int,
    bottom: int,
    covered: Any,
    slope: Any,
    t: Any,
    frame: Any,
    cells: Any,
    red: Any,
    green: Any,
    blue: Any,
) -> None:
    """Darken what lies in the shadow or turns away from the sun, lighten what turns towards it.

    Arguments as of `paint_ground`; ``slope`` is (rows, LANES) float32, `surface.DECK` on bridges, which
    nothing shades; ``frame`` and ``cells`` are those of `shadows.LightMap`.
    """
    if frame[5] == _ZERO:
        return
    west, south, per_metre, columns = frame[0], frame[1], frame[2], np.int32(frame[5])
    east_end, north_end = frame[3], frame[4]
    shade_r, shade_g, shade_b = air[14], air[15], air[16]
    rows = t.shape[0]
    inverse_focal = _ONE / focal
    ux, uy = camera[6] * inverse_focal * per_metre, camera[7] * inverse_focal * per_metre
    cx, cy = (camera[0] - west) * per_metre, (camera[1] - south) * per_metre
    u0 = F(first) + _HALF - F(width) * _HALF
    for i in range(bottom):
        if covered[i] == 0:
            continue
        row = np.uint64(i)
        v = (F(rows) * _HALF - F(i) - _HALF) * inverse_focal
        ax = (camera[3] + v * camera[9]) * per_metre
        ay = (camera[4] + v * camera[10]) * per_metre
        for e in range(LANES):
            lane = np.uint64(e)
            u = u0 + F(np.int32(e))
            depth = min(t[row, lane], FAR)
            x, y = cx + depth * (ax + u * ux), cy + depth * (ay + u * uy)
            px, py = min(max(x, _ZERO), east_end), min(max(y, _ZERO), north_end)
            ix, iy = np.int32(px), np.int32(py)
            fx, fy = px - F(ix), py - F(iy)
            packed = cells[index(iy * columns + ix)]
            low = channel(packed, 0) + fx * (channel(packed, 8) - channel(packed, 0))
            high = channel(packed, 16) + fx * (channel(packed, 24) - channel(packed, 16))
            direct = (low + fy * (high - low)) * F(1.0 / FULL)
            # What is outside the map, or on a bridge, keeps its colour.
            known = F(np.int32(px == x) & np.int32(py == y) & np.int32(slope[row, lane] != DECK))
            direct = _ONE + known * (direct - _ONE)
            red[row, lane] *= shade_r + direct * (_ONE - shade_r)
            green[row, lane] *= shade_g + direct * (_ONE - shade_g)
            blue[row, lane] *= shade_b + direct * (_ONE - shade_b)


@inline
def _haze(height: Any, scale: Any) -> Any:
    """The exponential of minus the height over the horizon, by its series."""
    h = max(height, _ZERO) * scale
    return _ONE / (_ONE + h * (_ONE + h * (_HALF + h * F(1.0 / 6.0))))


@kernel
def finish(
    camera: Any,
    focal: float,
    air: Any,
    image: Any,
    first: int,
    bottom: int,
    covered: Any,
    t: Any,
    red: Any,
    green: Any,
    blue: Any,
    packed: Any,
    depth: Any,
) -> None:
    """Put sky behind and fog before a block of pixels, and write it into the image.

    Args:
        camera: (12,) float32 position, forward, right and up vector.
        focal: focal length in pixels.
        air: float32, see `daylight.Daylight.air`.
        image: (height, width, 3) uint8, receives the block.
        first: first column of the block.
        bottom: rows to write, from the top.
        covered: (rows,) int32, how many of the row's pixels meet the ground.
        t: (rows, LANES) float32 m, depth of each pixel.
        red: (rows, LANES) float32 red of the ground.
        green: green of the ground.
        blue: blue of the ground.
        packed: (LANES,) int32 scratch.
        depth: (height, width) float32, receives the depth of each pixel in m.
    """
    rows, width = image.shape[0], image.shape[1]
    lanes = min(LANES, width - first)
    inverse_focal = _ONE / focal
    fog_r, fog_g, fog_b, fog_start, fog_scale = air[0], air[1], air[2], air[3], air[4]
    low_r, low_g, low_b = air[5], air[6], air[7]
    high_r, high_g, high_b, sky_scale = air[8], air[9], air[10], air[11]
    uz = camera[8] * inverse_focal
    u0 = F(first) + _HALF - F(width) * _HALF
    for i in range(bottom):
        row = np.uint64(i)
        v = (F(rows) * _HALF - F(i) - _HALF) * inverse_focal
        az = camera[5] + v * camera[11]
        ground = covered[i]
        if ground == 0:
            for e in range(LANES):
                lane = np.uint64(e)
                haze = _haze(az + (u0 + F(np.int32(e))) * uz, sky_scale)
                red[row, lane] = high_r + haze * (low_r - high_r)
                green[row, lane] = high_g + haze * (low_g - high_g)
                blue[row, lane] = high_b + haze * (low_b - high_b)
        elif ground < lanes:
            for e in range(LANES):
                lane = np.uint64(e)
                haze = _haze(az + (u0 + F(np.int32(e))) * uz, sky_scale)
                sky_r = high_r + haze * (low_r - high_r)
                sky_g = high_g + haze * (low_g - high_g)
                sky_b = high_b + haze * (low_b - high_b)
                solid = F(np.int32(t[row, lane] < FAR))
                fog = min(max((t[row, lane] - fog_start) * fog_scale, _ZERO), _ONE)
                r, g, b = red[row, lane], green[row, lane], blue[row, lane]
                red[row, lane] = sky_r + solid * (r + fog * (fog_r - r) - sky_r)
                green[row, lane] = sky_g + solid * (g + fog * (fog_g - g) - sky_g)
                blue[row, lane] = sky_b + solid * (b + fog * (fog_b - b) - sky_b)
        else:
            for e in range(LANES):
                lane = np.uint64(e)
                fog = min(max((t[row, lane] - fog_start) * fog_scale, _ZERO), _ONE)
                red[row, lane] += fog * (fog_r - red[row, lane])
                green[row, lane] += fog * (fog_g - green[row, lane])
                blue[row, lane] += fog * (fog_b - blue[row, lane])
        for e in range(LANES):
            lane = np.uint64(e)
            r = np.int32(min(max(red[row, lane], _ZERO), F(255.0)))
            g = np.int32(min(max(green[row, lane], _ZERO), F(255.0)))
            b = np.int32(min(max(blue[row, lane], _ZERO), F(255.0)))
            packed[lane] = r | (g << 8) | (b << 16)
        for e in range(lanes):
            lane = np.uint64(e)
            column = np.uint64(first + e)
            colour = packed[lane]
            image[row, column, np.uint64(0)] = np.uint8(colour & 255)
            image[row, column, np.uint64(1)] = np.uint8((colour >> 8) & 255)
            image[row, column, np.uint64(2)] = np.uint8(colour >> 16)
        for e in range(lanes):
            depth[row, np.uint64(first + e)] = t[row, np.uint64(e)]
