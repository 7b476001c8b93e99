"""Which place of the world every pixel shows: arc length, lateral offset, footprint.

A grid names the centre-line sample nearest to each of its nodes; from that sample the place
relative to the road follows in closed form for the arc through it, so lines stay sharp and smooth
at any distance. The concrete kerb, too narrow for the height field, is intersected in closed form.

All kernels take a block of pixel columns, the scene, and the working memory whose planes they read and fill.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from udacity_gym.world.jit import LANES, F, index, inline, kernel
from udacity_gym.world.records import unpack
from udacity_gym.world.rendering.rays import Block, Camera, lane_ray, lanes_of, row_ray, steps_of
from udacity_gym.world.rendering.sampling import height_at, roadside
from udacity_gym.world.rendering.scratch import HIGH, LOW, Scratch
from udacity_gym.world.scene.scene_arrays import (
    LINE_COSINE,
    LINE_CURVATURE,
    LINE_FIELDS,
    LINE_SINE,
    LINE_X,
    LINE_Y,
    RAISED,
    Deck,
    Land,
    Road,
    SceneArrays,
)

ROADSIDE = F(9.0)
"""m from the centre line beyond which there is neither road nor kerb."""
COMPACT = F(3.0)
"""m that the pixels of a row may be spread over the ground to share one centre-line sample."""
LEVEL_SLOPE = F(1e-4)
"""Rise of the ground per m of depth below which a profile is exact enough."""
NEWTON_LIMIT = F(0.06)
"""Share of a pixel's depth by which it is moved at most."""
LEAST_FALL = F(0.004)
"""m that a ray comes closer to the ground per m of depth, at least: keeps quotients finite."""

DECK = F(2.0**-16)
"""Slope that pixels on a bridge's deck are given, which no ground has: the deck is level, and not ground."""
DECK_VISIBLE = F(250.0)
"""m from the beginning of a deck up to which its surface is drawn."""
FAR = F(900.0)
"""m, depth that pixels of the sky are given while they are computed along with their neighbours."""

_ZERO = F(0.0)
_ONE = F(1.0)
_TWO = F(2.0)
_HALF = F(0.5)


class Sample(NamedTuple):
    """A sample of the centre line: m east and north, direction, 1/m (positive bends left)."""

    x: F
    y: F
    cosine: F
    sine: F
    curvature: F


@inline
def _sample(line: NDArray[np.float32], k: np.int32) -> Sample:
    """Row k of the centre-line table."""
    at = np.int32(k * LINE_FIELDS)
    return Sample(
        line[index(at + np.int32(LINE_X))],
        line[index(at + np.int32(LINE_Y))],
        line[index(at + np.int32(LINE_COSINE))],
        line[index(at + np.int32(LINE_SINE))],
        line[index(at + np.int32(LINE_CURVATURE))],
    )


@inline
def _nearest_sample(nearest: NDArray[np.uint16], land: Land, x: F, y: F) -> np.int32:
    """Index of the centre-line sample that is nearest to the node nearest to a point.

    Args:
        nearest: of `SceneArrays`.
        land: the grid.
        x: m east of the grid's first node.
        y: m north of it.
    """
    column = np.int32(min(max(x, _ZERO), land.east_end) + _HALF)
    row = np.int32(min(max(y, _ZERO), land.north_end) + _HALF)
    return np.int32(nearest[index(row * np.int32(land.columns) + column)])


@inline
def _beside(sample: Sample, east: F, north: F) -> tuple[F, F]:
    """Metres past a centre-line sample along its arc, and metres to the right of it.

    To second order in the distance past the sample, which is a metre or two: a point that is ``left`` m left
    of the tangent lies on a circle that is 1 - curvature * left times as long as the centre line's, and the
    centre line has bent away from the tangent by curvature * ahead^2 / 2.

    Args:
        sample: the sample.
        east: m east of it.
        north: m north of it.
    """
    ahead = east * sample.cosine + north * sample.sine
    left = north * sample.cosine - east * sample.sine
    stretch = _ONE / max(_ONE - sample.curvature * left, F(0.1))
    return ahead * stretch, _HALF * sample.curvature * ahead * ahead * stretch - left


@kernel
def follow_slopes(block: Block, scene: SceneArrays, scratch: Scratch) -> None:
    """Move each pixel to where its own ray meets the ground: one Newton step from the column's profile.

    With f(t) = height of the ray above the ground at depth t, whose derivative is ray.z - slope, the step is
    f / (slope - ray.z). Rows of level ground are left alone, there the profile is exact.
    """
    steps, land = steps_of(block), unpack(Land, scene.land)
    position = unpack(Camera, block.projection.camera).position
    t, slope, covered = scratch.t, scratch.slope, scratch.covered
    east, north = position.x - land.west, position.y - land.south
    for i in range(block.bottom):
        if covered[i] == 0:
            continue
        row = np.uint64(i)
        steepest = _ZERO
        for e in range(LANES):
            steepest = max(steepest, abs(slope[row, np.uint64(e)]))
        if steepest < LEVEL_SLOPE:
            continue
        middle = row_ray(block, steps, i)
        for e in range(LANES):
            lane = np.uint64(e)
            ray = lane_ray(steps, middle, e)
            before = t[row, lane]
            depth = min(before, FAR)
            ground = height_at(scene.heights, land, east + depth * ray.x, north + depth * ray.y)
            above = position.z + depth * ray.z - ground
            step = above / max(slope[row, lane] - ray.z, F(0.02))
            limit = NEWTON_LIMIT * depth
            t[row, lane] = before + min(max(step, -limit), limit)


@kernel
def locate(block: Block, rows: NDArray[np.int32], scene: SceneArrays, scratch: Scratch) -> None:
    """Find where each pixel is relative to the road: fills ``s``, ``d``, ``cosines``, ``sines`` and ``span``.

    Pixels of a row that are close together on the ground share one centre-line sample; the others
    look up their own.

    Args:
        block: pixel columns.
        rows: (rows,) int32, rows with 0 are left alone.
        scene: the scene.
        scratch: working memory.
    """
    steps, position = steps_of(block), unpack(Camera, block.projection.camera).position
    land, spacing = unpack(Land, scene.land), unpack(Road, scene.road).spacing
    t, s, d, span = scratch.t, scratch.s, scratch.d, scratch.span
    cosines, sines = scratch.cosines, scratch.sines
    east, north = position.x - land.west, position.y - land.south
    for i in range(block.bottom):
        if rows[i] == 0:
            continue
        row = np.uint64(i)
        middle = row_ray(block, steps, i)
        nearest_depth, farthest_depth = FAR, _ZERO
        for e in range(LANES):
            depth = t[row, np.uint64(e)]
            nearest_depth, farthest_depth = min(nearest_depth, depth), max(farthest_depth, depth)
        if farthest_depth * (F(LANES) * steps.tangent) + farthest_depth - nearest_depth < COMPACT:
            depth, ray = t[row, np.uint64(LANES // 2)], lane_ray(steps, middle, LANES // 2)
            k = _nearest_sample(scene.nearest, land, east + depth * ray.x, north + depth * ray.y)
            sample = _sample(scene.line, k)
            ox, oy = land.west - sample.x, land.south - sample.y
            begin = F(k) * spacing
            for e in range(LANES):
                lane = np.uint64(e)
                depth, ray = t[row, lane], lane_ray(steps, middle, e)
                x, y = east + depth * ray.x, north + depth * ray.y
                past, right = _beside(sample, x + ox, y + oy)
                s[row, lane], d[row, lane] = begin + past, right
                cosines[row, lane], sines[row, lane] = sample.cosine, sample.sine
        else:
            for e in range(LANES):
                lane = np.uint64(e)
                depth, ray = min(t[row, lane], FAR), lane_ray(steps, middle, e)
                x, y = east + depth * ray.x, north + depth * ray.y
                k = _nearest_sample(scene.nearest, land, x, y)
                sample = _sample(scene.line, k)
                ox, oy = land.west - sample.x, land.south - sample.y
                past, right = _beside(sample, x + ox, y + oy)
                s[row, lane], d[row, lane] = F(k) * spacing + past, right
                cosines[row, lane], sines[row, lane] = sample.cosine, sample.sine
        _note_span(row, d, span)


@inline
def _note_span(row: np.uint64, d: NDArray[np.float32], span: NDArray[np.float32]) -> None:
    """Write down how close to the centre line a row's pixels come, and how far from it."""
    low, high = FAR, _ZERO
    for e in range(LANES):
        distance = abs(d[row, np.uint64(e)])
        low, high = min(low, distance), max(high, distance)
    span[row, LOW], span[row, HIGH] = low, high


@kernel
def lift_kerbs(block: Block, scene: SceneArrays, scratch: Scratch) -> None:
    """Bring pixels that show the concrete kerb, or the land behind it, nearer: both stand above the road.

    The kerb's face rises evenly from the edge of the road to its top, and the land behind is level with the
    top. ``t`` is where the ray would meet the road's level. Going back along it by b m of depth, the ray is
    fall * b above that level, and outward * b closer to the road. It is on the land where fall * b = rise,
    and on the face where fall * b = steepness * (distance - outward * b - edge).

    Fills ``lifted``: rows whose places relative to the road have changed.
    """
    steps, road = steps_of(block), unpack(Road, scene.road)
    t, slope, s, d, span = scratch.t, scratch.slope, scratch.s, scratch.d, scratch.span
    cosines, sines, covered, lifted = scratch.cosines, scratch.sines, scratch.covered, scratch.lifted
    steepness = road.kerb_rise / (road.kerb_top - road.edge)
    inverse_spacing = _ONE / F(road.spacing)
    for i in range(block.bottom):
        row = np.uint64(i)
        lifted[row] = 0
        if covered[i] == 0 or span[row, HIGH] <= road.edge:
            continue
        lifted[row] = np.int32(span[row, LOW] <= ROADSIDE)
        middle = row_ray(block, steps, i)
        for e in range(LANES):
            lane = np.uint64(e)
            ray = lane_ray(steps, middle, e)
            offset = d[row, lane]
            right = np.int32(offset > _ZERO)
            side = roadside(scene.sides, inverse_spacing, s[row, lane], right)
            raised = F(np.int32((side >> RAISED) & np.int32(1)))
            distance = abs(offset)
            outward = (ray.x * sines[row, lane] - ray.y * cosines[row, lane]) * (_TWO * F(right) - _ONE)
            fall = max(slope[row, lane] - ray.z, LEAST_FALL)
            plateau = raised * road.kerb_rise / fall
            face = raised * max(distance - road.edge, _ZERO) * steepness
            face = max(face / max(fall + steepness * outward, LEAST_FALL), _ZERO)
            # Seen from the road, whatever comes first; from outside, the land hides the face.
            behind_top = F(np.int32(distance - outward * plateau >= road.kerb_top))
            incoming = F(np.int32(outward < _ZERO))
            back = incoming * behind_top * plateau + (_ONE - incoming) * min(plateau, face)
            t[row, lane] = max(t[row, lane] - back, _HALF * t[row, lane])


@kernel
def cross_decks(block: Block, scene: SceneArrays, scratch: Scratch) -> None:
    """Put the road of bridges before what lies under them, for cameras above the deck.

    A deck is a level rectangle: a ray meets its plane at depth (height of the deck above the camera) / ray.z.
    """
    bottom, lanes, steps = block.bottom, lanes_of(block), steps_of(block)
    position = unpack(Camera, block.projection.camera).position
    t, slope, s, d, span = scratch.t, scratch.slope, scratch.s, scratch.d, scratch.span
    cosines, sines, covered = scratch.cosines, scratch.sines, scratch.covered
    left, step = steps.left, steps.right
    for q in range(scene.decks.shape[0]):
        deck = unpack(Deck, scene.decks[q])
        east, north, height = position.x - deck.x, position.y - deck.y, deck.z - position.z
        if height >= _ZERO or east * east + north * north > DECK_VISIBLE * DECK_VISIBLE:
            continue
        for i in range(bottom):
            middle = row_ray(block, steps, i)
            if min(middle.z + left * step.z, middle.z + (left + F(LANES)) * step.z) > F(-1e-3):
                continue  # at or above the horizon
            row = np.uint64(i)
            shown, fresh = np.int32(0), np.int32(0)
            for e in range(LANES):
                lane = np.uint64(e)
                ray = lane_ray(steps, middle, e)
                depth = height / min(ray.z, F(-1e-6))
                x, y = east + depth * ray.x, north + depth * ray.y
                along, right = x * deck.cosine + y * deck.sine, x * deck.sine - y * deck.cosine
                before = t[row, lane]
                on = np.int32(along > _ZERO) & np.int32(along < deck.length)
                on &= np.int32(abs(right) < deck.half_width)
                on &= np.int32(depth < before) & np.int32(e < lanes)
                shown += on
                fresh += on & np.int32(before >= FAR)
                is_on = on == np.int32(1)
                t[row, lane] = depth if is_on else before
                slope[row, lane] = DECK if is_on else slope[row, lane]
                s[row, lane] = deck.s + along if is_on else s[row, lane]
                d[row, lane] = right if is_on else d[row, lane]
                cosines[row, lane] = deck.cosine if is_on else cosines[row, lane]
                sines[row, lane] = deck.sine if is_on else sines[row, lane]
            if shown > np.int32(0):
                covered[i] += fresh
                _note_span(row, d, span)


@kernel
def measure(block: Block, scratch: Scratch) -> None:
    """Find how far each pixel near the road extends along and across it: fills ``along`` and ``across``.

    On a plane across the optical axis a pixel at depth t is t / focal wide and high. On the ground it is as
    wide, and as long as a ray takes to fall by its height: t / focal / fall for each m of horizontal
    direction. Both are turned into the road's directions, and their parts added up.
    """
    steps = steps_of(block)
    t, slope, span, covered = scratch.t, scratch.slope, scratch.span, scratch.covered
    cosines, sines, along, across = scratch.cosines, scratch.sines, scratch.along, scratch.across
    for i in range(block.bottom):
        row = np.uint64(i)
        if covered[i] == 0 or span[row, LOW] > ROADSIDE:
            continue
        middle = row_ray(block, steps, i)
        for e in range(LANES):
            lane = np.uint64(e)
            ray = lane_ray(steps, middle, e)
            cosine, sine = cosines[row, lane], sines[row, lane]
            wide = min(t[row, lane], FAR) * steps.tangent
            long = wide / max(slope[row, lane] - ray.z, LEAST_FALL)
            forward, sideways = abs(ray.x * cosine + ray.y * sine), abs(ray.x * sine - ray.y * cosine)
            along[row, lane] = forward * long + sideways * wide
            across[row, lane] = sideways * long + forward * wide
