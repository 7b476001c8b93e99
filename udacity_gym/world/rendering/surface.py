"""Which place of the world every pixel shows: arc length, lateral offset, footprint.

A grid names the centre-line sample nearest to each of its nodes; from that sample the place
relative to the road follows in closed form for the arc through it, so lines stay sharp and smooth
at any distance. The concrete kerb, too narrow for the height field, is intersected in closed form.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from udacity_gym.world.jit import LANES, F, index, inline, kernel

LINE_FIELDS = 5
"""Columns of the centre-line table: x, y, cosine and sine of the heading, curvature."""

LINED, STRIPED, COBBLED, RAISED = 24, 25, 26, 27
"""Bits of what is beside a sample: edge line, red and white kerb, bridge, concrete kerb. Below them are three
bytes, the colour of the concrete; on a bridge the distance of its wall in units of `WALL_UNIT`."""
WALL_UNIT = F(2.0**-21)
"""m; three bytes of it reach up to 8 m, and hold any float32 from 4 m on exactly."""

BESIDE = F(9.0)
"""m from the centre line beyond which there is neither road nor kerb."""
COMPACT = F(3.0)
"""m that the pixels of a row may be spread over the ground to share one centre-line sample."""

DECK = F(2.0**-16)
"""Slope that pixels on a bridge's deck are given, which no ground has: the deck is level, and not ground."""
DECK_SEEN = F(250.0)
"""m from the beginning of a deck up to which its surface is drawn."""
FAR = F(900.0)
"""m, depth that pixels of the sky are given while they are computed along with their neighbours."""

_ZERO = F(0.0)
_ONE = F(1.0)
_HALF = F(0.5)


@inline
def bilinear_node(x: Any, y: Any, east_end: Any, north_end: Any, nodes: Any) -> Any:
    """Lower left node of the grid cell of a point, and where in the cell the point is."""
    x = min(max(x, _ZERO), east_end)
    y = min(max(y, _ZERO), north_end)
    ix = np.int32(x)
    iy = np.int32(y)
    return np.int32(iy * nodes + ix), x - F(ix), y - F(iy)


@kernel
def follow_slopes(
    camera: Any,
    focal: float,
    heights: Any,
    frame: Any,
    width: int,
    first: int,
    bottom: int,
    covered: Any,
    slope: Any,
    t: Any,
) -> None:
    """Move each pixel to where its own ray meets the ground: one Newton step from the column's profile.

    Rows of level ground are left alone, there the profile is exact. Arguments as of `cast_columns`.
    """
    nodes = np.int32(frame[4])
    east_end, north_end = frame[2], frame[3]
    rows = t.shape[0]
    inverse_focal = _ONE / focal
    cx, cy, cz = camera[0] - frame[0], camera[1] - frame[1], camera[2]
    ux, uy, uz = camera[6] * inverse_focal, camera[7] * inverse_focal, camera[8] * inverse_focal
    u0 = F(first) + _HALF - F(width) * _HALF
    for i in range(bottom):
        if covered[i] == 0:
            continue
        row = np.uint64(i)
        steepest = _ZERO
        for e in range(LANES):
            steepest = max(steepest, abs(slope[row, np.uint64(e)]))
        if steepest < F(1e-4):
            continue
        v = (F(rows) * _HALF - F(i) - _HALF) * inverse_focal
        ax = camera[3] + v * camera[9]
        ay = camera[4] + v * camera[10]
        az = camera[5] + v * camera[11]
        for e in range(LANES):
            lane = np.uint64(e)
            u = u0 + F(np.int32(e))
            dx, dy, dz = ax + u * ux, ay + u * uy, az + u * uz
            seen = t[row, lane]
            depth = min(seen, FAR)
            node, fx, fy = bilinear_node(cx + depth * dx, cy + depth * dy, east_end, north_end, nodes)
            south_west, south_east = heights[index(node)], heights[index(node + np.int32(1))]
            north_west = heights[index(node + nodes)]
            north_east = heights[index(node + nodes + np.int32(1))]
            a = south_west + fx * (south_east - south_west)
            b = north_west + fx * (north_east - north_west)
            above = cz + depth * dz - (a + fy * (b - a))
            step = above / max(slope[row, lane] - dz, F(0.02))
            limit = F(0.06) * depth
            t[row, lane] = seen + min(max(step, -limit), limit)


@inline
def _place(rx: Any, ry: Any, tx: Any, ty: Any, bend: Any) -> Any:
    """Metres past a centre-line sample along its arc, and metres to the right of it.

    To second order in the distance past the sample, which is a metre or two.
    """
    ahead = rx * tx + ry * ty
    left = ry * tx - rx * ty
    stretch = _ONE / max(_ONE - bend * left, F(0.1))
    return ahead * stretch, _HALF * bend * ahead * ahead * stretch - left


@kernel
def locate(
    camera: Any,
    focal: float,
    nearest: Any,
    line: Any,
    frame: Any,
    spacing: float,
    width: int,
    first: int,
    bottom: int,
    wanted: Any,
    t: Any,
    s: Any,
    d: Any,
    cosines: Any,
    sines: Any,
    span: Any,
) -> None:
    """Find where each pixel is relative to the road.

    Pixels of a row that are close together on the ground share one centre-line sample; the others
    look up their own.

    Args:
        camera: (12,) float32 position, forward, right and up vector.
        focal: focal length in pixels.
        nearest: (rows * columns,) uint16, centre-line sample nearest to each node of the grid.
        line: (n * LINE_FIELDS,) float32, the centre-line table.
        frame: (5,) float32, see `cast_columns`.
        spacing: m between two centre-line samples.
        width: pixels in a row of the image.
        first: first column of the block.
        bottom: rows to look at, from the top.
        wanted: (rows,) int32, rows with 0 are left alone.
        t: (rows, LANES) float32 m, depth of each pixel.
        s: (rows, LANES) float32, receives m along the track.
        d: (rows, LANES) float32, receives m to the right of the centre line.
        cosines: (rows, LANES) float32, receives the cosine of the track's heading.
        sines: (rows, LANES) float32, receives the sine of the track's heading.
        span: (rows, 2) float32, receives the smallest and greatest distance from the centre line.
    """
    nodes = np.int32(frame[4])
    west, south, east_end, north_end = frame[0], frame[1], frame[2], frame[3]
    rows = t.shape[0]
    inverse_focal = _ONE / focal
    cx, cy = camera[0] - west, camera[1] - south
    ux, uy = camera[6] * inverse_focal, camera[7] * inverse_focal
    u0 = F(first) + _HALF - F(width) * _HALF
    one, two, three, four = np.int32(1), np.int32(2), np.int32(3), np.int32(4)
    for i in range(bottom):
        if wanted[i] == 0:
            continue
        row = np.uint64(i)
        v = (F(rows) * _HALF - F(i) - _HALF) * inverse_focal
        ax, ay = camera[3] + v * camera[9], camera[4] + v * camera[10]
        nearest_depth, farthest_depth = FAR, _ZERO
        for e in range(LANES):
            depth = t[row, np.uint64(e)]
            nearest_depth, farthest_depth = min(nearest_depth, depth), max(farthest_depth, depth)
        if farthest_depth * (F(LANES) * inverse_focal) + farthest_depth - nearest_depth < COMPACT:
            depth, u = t[row, np.uint64(LANES // 2)], u0 + F(LANES // 2)
            ix = np.int32(min(max(cx + depth * (ax + u * ux), _ZERO), east_end) + _HALF)
            iy = np.int32(min(max(cy + depth * (ay + u * uy), _ZERO), north_end) + _HALF)
            sample = np.int32(nearest[index(iy * nodes + ix)])
            at = np.int32(sample * LINE_FIELDS)
            ox, oy = west - line[index(at)], south - line[index(at + one)]
            tx, ty, bend = line[index(at + two)], line[index(at + three)], line[index(at + four)]
            begin = F(sample) * spacing
            for e in range(LANES):
                lane = np.uint64(e)
                u = u0 + F(np.int32(e))
                depth = t[row, lane]
                x, y = cx + depth * (ax + u * ux), cy + depth * (ay + u * uy)
                past, offset = _place(x + ox, y + oy, tx, ty, bend)
                s[row, lane], d[row, lane] = begin + past, offset
                cosines[row, lane], sines[row, lane] = tx, ty
        else:
            for e in range(LANES):
                lane = np.uint64(e)
                u = u0 + F(np.int32(e))
                depth = min(t[row, lane], FAR)
                x, y = cx + depth * (ax + u * ux), cy + depth * (ay + u * uy)
                ix = np.int32(min(max(x, _ZERO), east_end) + _HALF)
                iy = np.int32(min(max(y, _ZERO), north_end) + _HALF)
                sample = np.int32(nearest[index(iy * nodes + ix)])
                at = np.int32(sample * LINE_FIELDS)
                ox, oy = west - line[index(at)], south - line[index(at + one)]
                tx, ty, bend = line[index(at + two)], line[index(at + three)], line[index(at + four)]
                past, offset = _place(x + ox, y + oy, tx, ty, bend)
                s[row, lane], d[row, lane] = F(sample) * spacing + past, offset
                cosines[row, lane], sines[row, lane] = tx, ty
        low, high = FAR, _ZERO
        for e in range(LANES):
            distance = abs(d[row, np.uint64(e)])
            low, high = min(low, distance), max(high, distance)
        span[row, np.uint64(0)], span[row, np.uint64(1)] = low, high


@kernel
def lift_kerbs(
    camera: Any,
    focal: float,
    sides: Any,
    spacing: float,
    kerb: Any,
    width: int,
    first: int,
    bottom: int,
    covered: Any,
    slope: Any,
    s: Any,
    d: Any,
    cosines: Any,
    sines: Any,
    span: Any,
    t: Any,
    lifted: Any,
) -> None:
    """Bring pixels that show the concrete kerb, or the land behind it, nearer: both stand above the road.

    Arguments as of `locate`; ``sides`` is (2 * n,) int32, what is left and right of each sample, see
    `LINED`, ``kerb`` (3,) float32 m from the centre line to the kerb's foot and to its top, and its rise;
    ``lifted`` is (rows,) int32 and receives 1 for rows whose places relative to the road have changed.
    """
    rows = t.shape[0]
    inverse_focal = _ONE / focal
    ux, uy, uz = camera[6] * inverse_focal, camera[7] * inverse_focal, camera[8] * inverse_focal
    u0 = F(first) + _HALF - F(width) * _HALF
    foot, top, rise = kerb[0], kerb[1], kerb[2]
    steepness = rise / (top - foot)
    inverse_spacing = _ONE / F(spacing)
    last_sample = np.int32(sides.shape[0] // 2 - 1)
    for i in range(bottom):
        row = np.uint64(i)
        lifted[row] = 0
        if covered[i] == 0 or span[row, np.uint64(1)] <= foot:
            continue
        lifted[row] = np.int32(span[row, np.uint64(0)] <= BESIDE)
        v = (F(rows) * _HALF - F(i) - _HALF) * inverse_focal
        ax, ay, az = camera[3] + v * camera[9], camera[4] + v * camera[10], camera[5] + v * camera[11]
        for e in range(LANES):
            lane = np.uint64(e)
            u = u0 + F(np.int32(e))
            dx, dy, dz = ax + u * ux, ay + u * uy, az + u * uz
            offset = d[row, lane]
            right = np.int32(offset > _ZERO)
            sample = min(max(np.int32(s[row, lane] * inverse_spacing), np.int32(0)), last_sample)
            raised = F(np.int32((sides[index(sample * np.int32(2) + right)] >> RAISED) & np.int32(1)))
            distance = abs(offset)
            outward = (dx * sines[row, lane] - dy * cosines[row, lane]) * (F(2.0) * F(right) - _ONE)
            fall = max(slope[row, lane] - dz, F(0.004))
            # Back along the ray: onto the level behind the kerb, or onto its face if that is nearer.
            plateau = raised * rise / fall
            face = raised * max(distance - foot, _ZERO) * steepness
            face = max(face / max(fall + steepness * outward, F(0.004)), _ZERO)
            behind_top = F(np.int32(distance - outward * plateau >= top))
            incoming = F(np.int32(outward < _ZERO))
            back = incoming * behind_top * plateau + (_ONE - incoming) * min(plateau, face)
            t[row, lane] = max(t[row, lane] - back, _HALF * t[row, lane])


@kernel
def cross_decks(
    camera: Any,
    focal: float,
    decks: Any,
    width: int,
    first: int,
    bottom: int,
    covered: Any,
    t: Any,
    slope: Any,
    s: Any,
    d: Any,
    cosines: Any,
    sines: Any,
    span: Any,
) -> None:
    """Put the road of bridges before what lies under them, for cameras above the deck.

    Arguments as of `locate`; ``decks`` is (n, 8) float32: x, y and z of a deck's beginning, cosine and sine
    of its heading, its length, half its width, and s where it begins.
    """
    rows = t.shape[0]
    inverse_focal = _ONE / focal
    lanes = min(LANES, width - first)
    ux, uy, uz = camera[6] * inverse_focal, camera[7] * inverse_focal, camera[8] * inverse_focal
    u0 = F(first) + _HALF - F(width) * _HALF
    for q in range(decks.shape[0]):
        cosine, sine, length, half = decks[q, 3], decks[q, 4], decks[q, 5], decks[q, 6]
        cx, cy, height = camera[0] - decks[q, 0], camera[1] - decks[q, 1], decks[q, 2] - camera[2]
        if height >= _ZERO or cx * cx + cy * cy > DECK_SEEN * DECK_SEEN:
            continue
        begin = decks[q, 7]
        for i in range(bottom):
            v = (F(rows) * _HALF - F(i) - _HALF) * inverse_focal
            ax, ay, az = camera[3] + v * camera[9], camera[4] + v * camera[10], camera[5] + v * camera[11]
            if min(az + u0 * uz, az + (u0 + F(LANES)) * uz) > F(-1e-3):
                continue
            row = np.uint64(i)
            shown, fresh = np.int32(0), np.int32(0)
            for e in range(LANES):
                lane = np.uint64(e)
                u = u0 + F(np.int32(e))
                depth = height / min(az + u * uz, F(-1e-6))
                x, y = cx + depth * (ax + u * ux), cy + depth * (ay + u * uy)
                along, right = x * cosine + y * sine, x * sine - y * cosine
                seen = t[row, lane]
                on = np.int32(along > _ZERO) & np.int32(along < length) & np.int32(abs(right) < half)
                on &= np.int32(depth < seen) & np.int32(e < lanes)
                shown += on
                fresh += on & np.int32(seen >= FAR)
                is_on = on == np.int32(1)
                t[row, lane] = depth if is_on else seen
                slope[row, lane] = DECK if is_on else slope[row, lane]
                s[row, lane] = begin + along if is_on else s[row, lane]
                d[row, lane] = right if is_on else d[row, lane]
                cosines[row, lane] = cosine if is_on else cosines[row, lane]
                sines[row, lane] = sine if is_on else sines[row, lane]
            if shown > np.int32(0):
                covered[i] += fresh
                low, high = FAR, _ZERO
                for e in range(LANES):
                    distance = abs(d[row, np.uint64(e)])
                    low, high = min(low, distance), max(high, distance)
                span[row, np.uint64(0)], span[row, np.uint64(1)] = low, high


@kernel
def measure(
    camera: Any,
    focal: float,
    width: int,
    first: int,
    bottom: int,
    covered: Any,
    slope: Any,
    t: Any,
    cosines: Any,
    sines: Any,
    span: Any,
    along: Any,
    across: Any,
) -> None:
    """Find how far each pixel near the road extends along and across it.

    Arguments as of `locate`; ``along`` and ``across`` are (rows, LANES) float32 and receive m.
    """
    rows = t.shape[0]
    inverse_focal = _ONE / focal
    ux, uy, uz = camera[6] * inverse_focal, camera[7] * inverse_focal, camera[8] * inverse_focal
    u0 = F(first) + _HALF - F(width) * _HALF
    for i in range(bottom):
        row = np.uint64(i)
        if covered[i] == 0 or span[row, np.uint64(0)] > BESIDE:
            continue
        v = (F(rows) * _HALF - F(i) - _HALF) * inverse_focal
        ax, ay, az = camera[3] + v * camera[9], camera[4] + v * camera[10], camera[5] + v * camera[11]
        for e in range(LANES):
            lane = np.uint64(e)
            u = u0 + F(np.int32(e))
            dx, dy, dz = ax + u * ux, ay + u * uy, az + u * uz
            tx, ty = cosines[row, lane], sines[row, lane]
            # Beside and behind each other on the ground, turned into the road's directions.
            beside = min(t[row, lane], FAR) * inverse_focal
            behind = beside / max(slope[row, lane] - dz, F(0.004))
            forward, sideways = abs(dx * tx + dy * ty), abs(dx * ty - dy * tx)
            along[row, lane] = forward * behind + sideways * beside
            across[row, lane] = sideways * behind + forward * beside
