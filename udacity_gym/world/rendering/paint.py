"""The colours of road, ground and sky, computed from where every pixel is.

Lines, kerbs and edges are averaged over each pixel's extent in closed form (a box filter), so nothing
flickers; patterns are looked up in the halving that fits the pixel.

All kernels take a block of pixel columns, the scene, and the working memory whose planes they read and fill.
"""

from __future__ import annotations

import numpy as np

from udacity_gym.telemetry import Image
from udacity_gym.world.jit import LANES, F, index, inline, kernel
from udacity_gym.world.records import Vector, unpack
from udacity_gym.world.rendering.rays import Block, Camera, lane_ray, lanes_of, row_ray, steps_of
from udacity_gym.world.rendering.sampling import (
    BLUE,
    GREEN,
    RED,
    bars_at,
    cell_of,
    channel,
    dust_at,
    flag,
    painted,
    pattern,
    rgb,
    roadside,
    texel,
    texels,
)
from udacity_gym.world.rendering.scratch import HIGH, LOW, Scratch
from udacity_gym.world.rendering.surface import DECK, FAR
from udacity_gym.world.scene.scene_arrays import (
    COBBLED,
    FULL_SUN,
    LINED,
    RAISED,
    STRIPED,
    TINT_REACH,
    TINT_STEP,
    TINT_UNIT,
    WALL_UNIT,
    Air,
    Gloss,
    Land,
    LightFrame,
    Palette,
    Road,
    SceneArrays,
)
from udacity_gym.world.scene.textures import ASPHALT, COBBLESTONES, GROUND

SHOULDER_CALM, SHOULDER_LEAN = F(0.4), F(0.115)
"""How much less grainy the asphalt outside the edge lines is; how much lighter it is for each unit by which
the direction to the sun points across the road where it rises to a concrete kerb."""
SKYLIGHT = F(1.055)
"""Brightness of a road in the shade, relative to its colour in diffuse light.

Measured on recordings of the jungle, where it does not depend on the direction of view.
"""
PIXEL_MARGIN = F(0.5)
"""m, more than half the extent of a pixel in a row that does not show the edge of the road besides."""
LINE_BLUR = F(0.55)
"""Share of a pixel's length over which edge lines are averaged across the road, too: graphics cards choose
the halving of a texture by the longer side of a pixel."""
GAP_FADE_FROM, GAP_FADE_BY, GAP_FADE_MOST = F(0.4), F(1.0), F(0.6)
"""m of a pixel's length from where the gaps in edge lines fade, the share per m, and the largest share."""
BARS_FADE_FROM, BARS_FADE_BY = F(0.25), F(1.0)
"""Bars in a pixel's length from where they fade into `Palette.far_bars`, and the share per bar; a red and a
white one count as one."""
BARS_DIM = F(0.75)
"""Brightness of bars where the concrete kerb behind them is black: they lean towards the road, too."""
FAR_BARS_LEAN = F(0.24)
"""By how much far bars are lighter for each of 255 by which the concrete kerb is, which they blend with."""
LEAST_UPRIGHT = F(0.12)
"""Least vertical^2 in `reflection`, a little less than with the lake's sun: limits the glare of a low sun."""
DIRT_WIDTH = F(1.4)
"""m across over which the dirt of a road that joins gets denser, around the outer side of the edge line."""
KERB_BULGE, KERB_BULGE_PER_METRE, KERB_BULGE_WIDTH = F(0.88), F(0.55), F(1.0)
"""How strongly a concrete kerb's colour depends on the sun: at its foot, more per m above it, up to so
many m."""
FINE_TEXELS, FINE_FOOTPRINT, COARSE_TEXELS = F(12.0), F(14.0), F(1.5)
"""Texels per m of the ground's two patterns; the finer one is a little smoother than its texels are small."""

_TINT_END, _TINTS_PER_METRE = F(TINT_REACH), F(1.0 / TINT_STEP)
_ZERO = F(0.0)
_ONE = F(1.0)
_HALF = F(0.5)
_TO_UNIT = F(1.0 / 255.0)
_BLUR = F(1.4)  # patterns are as sharp as in recordings: correlation of neighbours along a row


@inline
def band(distance: F, extent: F, low: F, high: F) -> F:
    """Share of a pixel's extent that lies between two distances."""
    inside = min(distance + _HALF * extent, high) - max(distance - _HALF * extent, low)
    return max(inside, _ZERO) / extent


@inline
def step_up(distance: F, extent: F, edge: F) -> F:
    """Share of a pixel's extent that lies beyond a distance."""
    return min(max((distance - edge) / extent + _HALF, _ZERO), _ONE)


@inline
def bars(place: F, extent: F) -> F:
    """Share of a pixel's extent that lies in the first halves of bars; place and extent count bars.

    Halves up to x add up to floor(x) / 2 + min(x modulo 1, 1 / 2); the share is the difference of that
    between the pixel's two ends.
    """
    first, last = place - _HALF * extent, place + _HALF * extent
    a, b = np.floor(first), np.floor(last)
    return ((b - a) * _HALF + min(last - b, _HALF) - min(first - a, _HALF)) / extent


@inline
def _widest(road: Road) -> F:
    """Metres from the centre line beyond which no pixel shows road or kerb."""
    return max(road.kerb_top, road.farthest_wall) + PIXEL_MARGIN


@inline
def _misses_edges(low: F, high: F, road: Road) -> np.bool_:
    """Whether a row, from ``low`` to ``high`` m from the centre line, shows no edge of the road."""
    return (low > _widest(road)) | (high < road.line_inner - PIXEL_MARGIN)


@inline
def reflection(gloss: Gloss, sun: Vector, ray: Vector, fall: F) -> tuple[F, F]:
    """Brightness of a surface as seen from a direction: in diffuse light, and of the sunlight besides.

    A simple form of what Unity's standard shader does in gamma space. h is half the sum of the unit vectors
    to the camera and to the sun. Sunlight comes back

    * from everywhere, more of it at grazing angles with the sun behind: (1 - cosine)^5 * |h|^2, after Burley
      (2012);
    * from the blurred image of the sun: the square root of the microfacets' distribution of Trowbridge and
      Reitz (1975), which is 1 / (horizontal^2 + roughness * vertical^2) with the parts of h.

    Args:
        gloss: of the surface.
        sun: unit vector to the sun.
        ray: direction of the pixel's ray, of any length.
        fall: by how much the ray comes closer to the surface over its length.

    Returns:
        Factors of `Material.colour` and of `Material.sunlit`.
    """
    inverse = _ONE / np.sqrt(ray.x * ray.x + ray.y * ray.y + ray.z * ray.z)
    east, north = _HALF * (sun.x - ray.x * inverse), _HALF * (sun.y - ray.y * inverse)
    cosine = max(fall * inverse, _ZERO)
    vertical = _HALF * (sun.z + cosine)
    horizontal, upright = east * east + north * north, max(vertical * vertical, LEAST_UPRIGHT)
    flat = _ONE - cosine
    grazing = flat * flat * flat * flat * flat
    backward = grazing * gloss.backward * (horizontal + upright)
    mirrored = gloss.mirror * gloss.roughness / (horizontal + gloss.roughness * upright)
    return _ONE + grazing * gloss.grazing, backward + mirrored


@kernel
def pave(block: Block, scene: SceneArrays, scratch: Scratch) -> None:
    """Colour the pixels of the road as if it were all asphalt; their share of ``road`` is 1."""
    air, road, palette = unpack(Air, scene.air), unpack(Road, scene.road), unpack(Palette, scene.palette)
    asphalt, dirt, inverse_spacing = palette.asphalt, palette.dirt, _ONE / F(road.spacing)
    steps, sun = steps_of(block), air.sun
    s, d, along, across = scratch.s, scratch.d, scratch.along, scratch.across
    slope, span, covered, share = scratch.slope, scratch.span, scratch.covered, scratch.road
    reflections = scratch.reflections
    red, green, blue = scratch.red, scratch.green, scratch.blue
    scale, scale_across = road.asphalt_texels, road.asphalt_texels_across
    widest = _widest(road)
    colour, sunlit, contrast, gloss = asphalt.colour, asphalt.sunlit, asphalt.spread, asphalt.gloss
    for i in range(block.bottom):
        row = np.uint64(i)
        if covered[i] == 0 or span[row, LOW] > widest:
            continue
        middle = row_ray(block, steps, i)
        for e in range(LANES):
            lane = np.uint64(e)
            ray = lane_ray(steps, middle, e)
            offset, extent = d[row, lane], across[row, lane]
            footprint = max(extent * scale_across, along[row, lane] * scale) * _BLUR
            near = texels(ASPHALT, s[row, lane] * scale, offset * scale_across, footprint)
            shoulder = step_up(abs(offset), extent, road.line_outer)
            grain = (
                contrast * near.contrast * (_ONE - SHOULDER_CALM * shoulder) * pattern(scene.textures, near)
            )
            diffuse, direct = reflection(gloss, sun, ray, slope[row, lane] - ray.z)
            reflections[row, lane] = diffuse + direct
            diffuse += grain
            red[row, lane] = diffuse * colour.red + direct * sunlit.red
            green[row, lane] = diffuse * colour.green + direct * sunlit.green
            blue[row, lane] = diffuse * colour.blue + direct * sunlit.blue
            share[row, lane] = _ONE
        if scene.tints.shape[0] > 0:
            for e in range(LANES):
                lane = np.uint64(e)
                offset = min(max(d[row, lane], -_TINT_END), _TINT_END)
                tint = scene.tints[index(np.int32((offset + _TINT_END) * _TINTS_PER_METRE + _HALF))]
                red[row, lane] *= channel(tint, 0) * TINT_UNIT
                green[row, lane] *= channel(tint, 8) * TINT_UNIT
                blue[row, lane] *= channel(tint, 16) * TINT_UNIT
        first, last = s[row, np.uint64(0)], s[row, np.uint64(LANES - 1)]  # s hardly turns back within a row
        if max(first, last) > road.dust_from and min(first, last) < road.dust_to:
            for e in range(LANES):
                lane = np.uint64(e)
                dust = dust_at(scene.dust, inverse_spacing, s[row, lane])
                red[row, lane] += dust * (dirt.red - red[row, lane])
                green[row, lane] += dust * (dirt.green - green[row, lane])
                blue[row, lane] += dust * (dirt.blue - blue[row, lane])


@kernel
def mark(block: Block, scene: SceneArrays, scratch: Scratch) -> None:
    """Put the edge lines on the road; ``road`` receives the share that is road or kerb."""
    road, palette = unpack(Road, scene.road), unpack(Palette, scene.palette)
    s, d, along, across = scratch.s, scratch.d, scratch.along, scratch.across
    span, covered, share = scratch.span, scratch.covered, scratch.road
    red, green, blue = scratch.red, scratch.green, scratch.blue
    inverse_spacing = _ONE / F(road.spacing)
    gap, inner, outer = palette.edge_line_gap, palette.inner_stripe, palette.outer_stripe
    for i in range(block.bottom):
        row = np.uint64(i)
        if covered[i] == 0 or _misses_edges(span[row, LOW], span[row, HIGH], road):
            continue
        for e in range(LANES):
            lane = np.uint64(e)
            offset, length, extent = d[row, lane], along[row, lane], across[row, lane]
            r, g, b = red[row, lane], green[row, lane], blue[row, lane]
            distance = abs(offset)
            side = roadside(scene.sides, inverse_spacing, s[row, lane], np.int32(offset > _ZERO))
            lined = flag(side, LINED)

            # Two stripes, and the darker asphalt between them.
            wide = max(extent, min(length * LINE_BLUR, PIXEL_MARGIN))
            faded = min(max((length - GAP_FADE_FROM) * GAP_FADE_BY, _ZERO), GAP_FADE_MOST)
            dark = band(distance, wide, road.gap_inner, road.gap_outer) * (lined * (_ONE - faded))
            r *= _ONE + dark * (gap.red - _ONE)
            g *= _ONE + dark * (gap.green - _ONE)
            b *= _ONE + dark * (gap.blue - _ONE)
            first = band(distance, wide, road.line_inner, road.gap_inner) * lined
            second = band(distance, wide, road.gap_outer, road.line_outer) * lined
            red_through = first * (inner.through.red - _ONE) + second * (outer.through.red - _ONE)
            green_through = first * (inner.through.green - _ONE) + second * (outer.through.green - _ONE)
            blue_through = first * (inner.through.blue - _ONE) + second * (outer.through.blue - _ONE)
            red[row, lane] = r + r * red_through + first * inner.colour.red + second * outer.colour.red
            green[row, lane] = (
                g + g * green_through + first * inner.colour.green + second * outer.colour.green
            )
            blue[row, lane] = b + b * blue_through + first * inner.colour.blue + second * outer.colour.blue
            end = road.edge + flag(side, RAISED) * (road.kerb_top - road.edge)
            share[row, lane] = _ONE - step_up(distance, extent, end)


@kernel
def border(block: Block, scene: SceneArrays, scratch: Scratch) -> None:
    """Colour the road outside its lines: shoulders that lean, concrete kerbs, red and white bars, dirt."""
    road, palette = unpack(Road, scene.road), unpack(Palette, scene.palette)
    if road.bordered == _ZERO:
        return
    s, d, along, across = scratch.s, scratch.d, scratch.along, scratch.across
    sines, cosines, sun = scratch.sines, scratch.cosines, unpack(Air, scene.air).sun
    span, covered = scratch.span, scratch.covered
    red, green, blue = scratch.red, scratch.green, scratch.blue
    inverse_spacing = _ONE / F(road.spacing)
    concrete, dirt = palette.concrete, palette.dirt
    red_bar, white_bar, far_bars = palette.red_bar, palette.white_bar, palette.far_bars
    for i in range(block.bottom):
        row = np.uint64(i)
        if covered[i] == 0 or _misses_edges(span[row, LOW], span[row, HIGH], road):
            continue
        for e in range(LANES):
            lane = np.uint64(e)
            offset, length, extent = d[row, lane], along[row, lane], across[row, lane]
            r, g, b = red[row, lane], green[row, lane], blue[row, lane]
            distance = abs(offset)
            side = roadside(scene.sides, inverse_spacing, s[row, lane], np.int32(offset > _ZERO))
            raised, kerb = flag(side, RAISED), rgb(side)

            # The shoulder rises to the kerb: it leans towards the sun or away from it.
            shoulder = step_up(distance, extent, road.line_outer) * raised
            sun_right = sines[row, lane] * sun.x - cosines[row, lane] * sun.y
            lean = _ONE - SHOULDER_LEAN * shoulder * (sun_right if offset > _ZERO else -sun_right)
            r, g, b = r * lean, g * lean, b * lean

            # Where a dirt road joins, its dirt lies on the edge of the road.
            dirty = (_ONE - flag(side, LINED)) * (_ONE - flag(side, COBBLED))
            soiled = step_up(distance, DIRT_WIDTH, road.line_outer) * dirty
            r += soiled * (dirt.red - r)
            g += soiled * (dirt.green - g)
            b += soiled * (dirt.blue - b)

            # The kerb bulges: its top turns more to the sun, or away from it, than its foot.
            face = step_up(distance, extent, road.edge) * raised
            bulge = KERB_BULGE + KERB_BULGE_PER_METRE * min(
                max(distance - road.edge, _ZERO), KERB_BULGE_WIDTH
            )
            r += face * (concrete.red + bulge * (kerb.red - concrete.red) - r)
            g += face * (concrete.green + bulge * (kerb.green - concrete.green) - g)
            b += face * (concrete.blue + bulge * (kerb.blue - concrete.blue) - b)

            red[row, lane], green[row, lane], blue[row, lane] = r, g, b
        # Most roads have no bars: they are looked for left and right of either end of the row.
        either = np.int32(0)
        for lane in (np.uint64(0), np.uint64(LANES - 1)):
            either |= roadside(scene.sides, inverse_spacing, s[row, lane], np.int32(0))
            either |= roadside(scene.sides, inverse_spacing, s[row, lane], np.int32(1))
        if (either >> STRIPED) & np.int32(1) == np.int32(0):
            continue
        for e in range(LANES):
            lane = np.uint64(e)
            offset, length, extent = d[row, lane], along[row, lane], across[row, lane]
            r, g, b = red[row, lane], green[row, lane], blue[row, lane]
            side = roadside(scene.sides, inverse_spacing, s[row, lane], np.int32(offset > _ZERO))
            kerb = rgb(side)
            striped = band(abs(offset), extent, road.bars_inner, road.bars_outer) * flag(side, STRIPED)
            place, density = bars_at(scene.bars, road.spacing, inverse_spacing, s[row, lane])
            far = min(max((length * density - BARS_FADE_FROM) * BARS_FADE_BY, _ZERO), _ONE)
            white = (_ONE - far) * bars(place, length * density)
            reddish = _ONE - far - white
            lit = BARS_DIM + (_ONE - BARS_DIM) * min(kerb.red / concrete.red, _ONE)
            white, reddish = white * lit, reddish * lit
            lighter = far * (FAR_BARS_LEAN * (kerb.red - concrete.red))
            bar_red = reddish * red_bar.red + white * white_bar.red + far * far_bars.red + lighter
            bar_green = reddish * red_bar.green + white * white_bar.green + far * far_bars.green + lighter
            bar_blue = reddish * red_bar.blue + white * white_bar.blue + far * far_bars.blue + lighter
            red[row, lane] = r + striped * (bar_red - r)
            green[row, lane] = g + striped * (bar_green - g)
            blue[row, lane] = b + striped * (bar_blue - b)


@kernel
def mark_middle(block: Block, scene: SceneArrays, scratch: Scratch) -> None:
    """Put the centre line on the road, where there is one."""
    road, paint = unpack(Road, scene.road), unpack(Palette, scene.palette).centre_line
    low, high = road.centre_inner, road.centre_outer
    if high <= _ZERO:
        return
    s, d, along, across = scratch.s, scratch.d, scratch.along, scratch.across
    span, covered = scratch.span, scratch.covered
    red, green, blue = scratch.red, scratch.green, scratch.blue
    for i in range(block.bottom):
        row = np.uint64(i)
        if covered[i] == 0 or span[row, LOW] > high + PIXEL_MARGIN:
            continue
        for e in range(LANES):
            lane = np.uint64(e)
            offset, extent = d[row, lane], across[row, lane]
            line = band(offset, extent, low, high) + band(offset, extent, -high, -low)
            length = along[row, lane]
            first, last = s[row, lane] - _HALF * length, s[row, lane] + _HALF * length
            line *= (painted(scene.paint, last) - painted(scene.paint, first)) / length
            red[row, lane] += line * (paint.red - red[row, lane])
            green[row, lane] += line * (paint.green - green[row, lane])
            blue[row, lane] += line * (paint.blue - blue[row, lane])


@kernel
def cobble(block: Block, scene: SceneArrays, scratch: Scratch) -> None:
    """Lay cobblestones over the road where there is a bridge.

    A row is looked at when its first or last pixel shows the bridge: along a row, s only rises or falls.
    """
    road, stones = unpack(Road, scene.road), unpack(Palette, scene.palette).cobblestones
    steps, sun = steps_of(block), unpack(Air, scene.air).sun
    s, d, along, across = scratch.s, scratch.d, scratch.along, scratch.across
    slope, span, covered, share = scratch.slope, scratch.span, scratch.covered, scratch.road
    red, green, blue = scratch.red, scratch.green, scratch.blue
    inverse_spacing = _ONE / F(road.spacing)
    scale, scale_across = road.cobble_texels, road.cobble_texels_across
    widest = _widest(road)
    colour, sunlit, contrast, gloss = stones.colour, stones.sunlit, stones.spread, stones.gloss
    for i in range(block.bottom):
        row = np.uint64(i)
        if covered[i] == 0 or span[row, LOW] > widest:
            continue
        cobbled = np.int32(0)
        for e in (0, LANES - 1):
            for right in range(2):
                side = roadside(scene.sides, inverse_spacing, s[row, np.uint64(e)], np.int32(right))
                cobbled += (side >> COBBLED) & np.int32(1)
        if cobbled == 0:
            continue
        middle = row_ray(block, steps, i)
        for e in range(LANES):
            lane = np.uint64(e)
            ray, offset = lane_ray(steps, middle, e), d[row, lane]
            side = roadside(scene.sides, inverse_spacing, s[row, lane], np.int32(offset > _ZERO))
            stony = flag(side, COBBLED)
            wall = F(side & np.int32(0xFFFFFF)) * WALL_UNIT
            footprint = max(across[row, lane] * scale_across, along[row, lane] * scale) * _BLUR
            near = texels(COBBLESTONES, s[row, lane] * scale, offset * scale_across, footprint)
            diffuse, direct = reflection(gloss, sun, ray, slope[row, lane] - ray.z)
            diffuse += contrast * near.contrast * pattern(scene.textures, near)
            r = diffuse * colour.red + direct * sunlit.red
            g = diffuse * colour.green + direct * sunlit.green
            b = diffuse * colour.blue + direct * sunlit.blue
            red[row, lane] += stony * (r - red[row, lane])
            green[row, lane] += stony * (g - green[row, lane])
            blue[row, lane] += stony * (b - blue[row, lane])
            inside = _ONE - step_up(abs(offset), across[row, lane], wall)
            share[row, lane] += stony * (inside - share[row, lane])


@kernel
def paint_ground(block: Block, scene: SceneArrays, scratch: Scratch) -> None:
    """Colour the pixels of the ground beside the road from the map of its colours.

    Rows that show nothing but road are left alone.
    """
    if unpack(Land, scene.land).smooth > _ZERO:
        _paint_ground(block, scene, scratch, True)
    else:
        _paint_ground(block, scene, scratch, False)


@kernel
def _paint_ground(block: Block, scene: SceneArrays, scratch: Scratch, smooth: bool) -> None:
    """`paint_ground`; ``smooth`` is a constant of the caller, so that loops have no branches."""
    steps, land, road = steps_of(block), unpack(Land, scene.land), unpack(Road, scene.road)
    position = unpack(Camera, block.projection.camera).position
    t, span, covered, share = scratch.t, scratch.span, scratch.covered, scratch.road
    red, green, blue = scratch.red, scratch.green, scratch.blue
    colours, textures, columns = scene.colours, scene.textures, np.int32(land.columns)
    east, north = position.x - land.west, position.y - land.south
    narrowest, widest = road.edge - PIXEL_MARGIN, _widest(road)
    for i in range(block.bottom):
        row = np.uint64(i)
        if covered[i] == 0 or span[row, HIGH] < narrowest:
            continue
        keep = F(np.int32(span[row, LOW] <= widest))  # 0 where the row's planes of colour were not filled
        middle = row_ray(block, steps, i)
        for e in range(LANES):
            lane = np.uint64(e)
            depth, ray = min(t[row, lane], FAR), lane_ray(steps, middle, e)
            x, y = east + depth * ray.x, north + depth * ray.y
            footprint = depth * steps.tangent
            fine = textures[texel(GROUND, x * FINE_TEXELS, y * FINE_TEXELS, footprint * FINE_FOOTPRINT)]
            if smooth:
                near = texels(GROUND, x * COARSE_TEXELS, y * COARSE_TEXELS, footprint * COARSE_TEXELS)
                coarse = near.contrast * pattern(textures, near)
            else:
                coarse = textures[
                    texel(GROUND, x * COARSE_TEXELS, y * COARSE_TEXELS, footprint * COARSE_TEXELS)
                ]
            mottle = F(0.5) * fine + coarse
            cell = cell_of(land, x, y)
            south_west, south_east = colours[index(cell.node)], colours[index(cell.node + np.int32(1))]
            north_west = colours[index(cell.node + columns)]
            north_east = colours[index(cell.node + columns + np.int32(1))]
            # Bilinear weights of the four nodes.
            w11 = cell.east * cell.north
            w10 = cell.east - w11
            w01 = cell.north - w11
            w00 = _ONE - cell.east - w01
            sw, se, nw, ne = rgb(south_west), rgb(south_east), rgb(north_west), rgb(north_east)
            r = w00 * sw.red + w10 * se.red + w01 * nw.red + w11 * ne.red
            g = w00 * sw.green + w10 * se.green + w01 * nw.green + w11 * ne.green
            b = w00 * sw.blue + w10 * se.blue + w01 * nw.blue + w11 * ne.blue
            rough = channel(south_west, 24)
            if smooth:
                rough = w00 * rough + w10 * channel(south_east, 24)
                rough += w01 * channel(north_west, 24) + w11 * channel(north_east, 24)
            rough *= _TO_UNIT
            shade = _ONE + rough * mottle
            kept = keep * share[row, lane]
            red[row, lane] = kept * red[row, lane] + (_ONE - kept) * r * shade
            green[row, lane] = kept * green[row, lane] + (_ONE - kept) * g * shade
            blue[row, lane] = kept * blue[row, lane] + (_ONE - kept) * b * shade


@kernel
def shine(block: Block, scene: SceneArrays, scratch: Scratch) -> None:
    """Darken what lies in the shadow or turns away from the sun, lighten what turns towards it.

    Light is the sky's share plus the sun's, ambient + direct * (1 - ambient), relative to level ground in the
    sun; the map tells ``direct``. The road is glossy in the sun and matt in the shade. Nothing shades it on
    bridges, and nothing casts a shadow at all where ``ambient`` is 1.
    """
    frame, ambient = unpack(LightFrame, scene.light_frame), unpack(Air, scene.air).ambient
    if frame.columns == _ZERO or min(ambient.red, ambient.green, ambient.blue) >= _ONE:
        return
    t, slope, covered, span = scratch.t, scratch.slope, scratch.covered, scratch.span
    share, reflections = scratch.road, scratch.reflections
    red, green, blue = scratch.red, scratch.green, scratch.blue
    widest = _widest(unpack(Road, scene.road))
    steps, position = steps_of(block), unpack(Camera, block.projection.camera).position
    columns, scale = np.int32(frame.columns), frame.cells_per_metre
    east, north = (position.x - frame.west) * scale, (position.y - frame.south) * scale
    for i in range(block.bottom):
        if covered[i] == 0:
            continue
        row = np.uint64(i)
        paved = F(np.int32(span[row, LOW] <= widest))  # 0 where `pave` left the row alone
        middle = row_ray(block, steps, i)
        for e in range(LANES):
            lane = np.uint64(e)
            depth, ray = min(t[row, lane], FAR), lane_ray(steps, middle, e)
            x, y = east + depth * (ray.x * scale), north + depth * (ray.y * scale)
            inside_x = min(max(x, _ZERO), frame.east_end)
            inside_y = min(max(y, _ZERO), frame.north_end)
            ix, iy = np.int32(inside_x), np.int32(inside_y)
            fx, fy = inside_x - F(ix), inside_y - F(iy)
            # The light of a cell and of its neighbours to the east, north and north-east.
            packed = scene.light[index(iy * columns + ix)]
            low = channel(packed, 0) + fx * (channel(packed, 8) - channel(packed, 0))
            high = channel(packed, 16) + fx * (channel(packed, 24) - channel(packed, 16))
            direct = (low + fy * (high - low)) * F(1.0 / FULL_SUN)
            # What is outside the map, or on a bridge, keeps its colour.
            mapped = np.int32(inside_x == x) & np.int32(inside_y == y) & np.int32(slope[row, lane] != DECK)
            direct = _ONE + F(mapped) * (direct - _ONE)
            matt = SKYLIGHT / max(reflections[row, lane], SKYLIGHT * _HALF)
            sky = (_ONE - direct) * (_ONE + paved * share[row, lane] * (matt - _ONE))
            red[row, lane] *= direct + ambient.red * sky
            green[row, lane] *= direct + ambient.green * sky
            blue[row, lane] *= direct + ambient.blue * sky


@inline
def _haze(height: F, scale: F) -> F:
    """exp(-h) of the height over the horizon, by the series 1 / (1 + h + h^2 / 2 + h^3 / 6)."""
    h = max(height, _ZERO) * scale
    return _ONE / (_ONE + h * (_ONE + h * (_HALF + h * F(1.0 / 6.0))))


@inline
def fog_share(air: Air, depth: F) -> F:
    """Share of the fog in what one sees at a depth."""
    return min(max((depth - air.fog_start) * air.fog_scale, _ZERO), _ONE)


@inline
def _to_byte(value: F) -> np.uint8:
    """A channel's value, cut off at both ends and rounded down."""
    return np.uint8(np.int32(min(max(value, _ZERO), F(255.0))))


@kernel
def finish(block: Block, scene: SceneArrays, scratch: Scratch, image: Image) -> None:
    """Put sky behind and fog before a block of pixels, and write it into the image; note the depth of all.

    The sky turns from the horizon's colour into the zenith's by the exponential of the height, see `_haze`.

    Args:
        block: pixel columns.
        scene: the scene.
        scratch: working memory.
        image: (height, width, 3) uint8, receives the block.
    """
    air, lanes, steps = unpack(Air, scene.air), lanes_of(block), steps_of(block)
    t, covered, depth = scratch.t, scratch.covered, scratch.depth
    red, green, blue = scratch.red, scratch.green, scratch.blue
    pixels, width = image.reshape(-1), block.projection.width  # flat: bytes in a row can be written together
    horizon, zenith, fog_colour = air.horizon, air.zenith, air.fog
    for i in range(block.bottom):
        row = np.uint64(i)
        middle = row_ray(block, steps, i)
        ground = covered[i]
        if ground == 0:  # all sky
            for e in range(LANES):
                lane = np.uint64(e)
                haze = _haze(lane_ray(steps, middle, e).z, air.sky_scale)
                red[row, lane] = zenith.red + haze * (horizon.red - zenith.red)
                green[row, lane] = zenith.green + haze * (horizon.green - zenith.green)
                blue[row, lane] = zenith.blue + haze * (horizon.blue - zenith.blue)
        elif ground < lanes:  # both
            for e in range(LANES):
                lane = np.uint64(e)
                haze = _haze(lane_ray(steps, middle, e).z, air.sky_scale)
                sky_r = zenith.red + haze * (horizon.red - zenith.red)
                sky_g = zenith.green + haze * (horizon.green - zenith.green)
                sky_b = zenith.blue + haze * (horizon.blue - zenith.blue)
                solid = F(np.int32(t[row, lane] < FAR))
                fog = fog_share(air, t[row, lane])
                r, g, b = red[row, lane], green[row, lane], blue[row, lane]
                red[row, lane] = sky_r + solid * (r + fog * (fog_colour.red - r) - sky_r)
                green[row, lane] = sky_g + solid * (g + fog * (fog_colour.green - g) - sky_g)
                blue[row, lane] = sky_b + solid * (b + fog * (fog_colour.blue - b) - sky_b)
        else:  # all ground
            for e in range(LANES):
                lane = np.uint64(e)
                fog = fog_share(air, t[row, lane])
                red[row, lane] += fog * (fog_colour.red - red[row, lane])
                green[row, lane] += fog * (fog_colour.green - green[row, lane])
                blue[row, lane] += fog * (fog_colour.blue - blue[row, lane])
        at = np.uint64(3 * (i * width + block.first))
        if lanes == LANES:
            for e in range(LANES):  # of constant length, so that it is vectorised
                lane = np.uint64(e)
                place = at + np.uint64(3) * lane
                pixels[place + RED] = _to_byte(red[row, lane])
                pixels[place + GREEN] = _to_byte(green[row, lane])
                pixels[place + BLUE] = _to_byte(blue[row, lane])
        else:
            for e in range(lanes):
                lane = np.uint64(e)
                place = at + np.uint64(3) * lane
                pixels[place + RED] = _to_byte(red[row, lane])
                pixels[place + GREEN] = _to_byte(green[row, lane])
                pixels[place + BLUE] = _to_byte(blue[row, lane])
        for e in range(lanes):
            depth[row, np.uint64(block.first + e)] = t[row, np.uint64(e)]
