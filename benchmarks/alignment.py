"""Where was the car in a real recording: poses from the log and the images.

Udacity's logs hold no poses. Steering and speed give the path by dead reckoning, which drifts; the
images show the road's edges and lines, which stay where the track is. Two passes bring them
together. A particle filter (Gordon, Salmond and Smith 1993) follows the car through ambiguous views:
each particle is a pose on the track, weighed by how well road, verge and lines would lie in the
image. Then an extended Kalman smoother (Rauch, Tung and Striebel 1965) fits the poses to the images. On a
level road with lines on both sides it fits them to the lines, which are searched across where they are
expected (`Aligner.smooth`). On a hilly one it fits them to the shape of road and land (`Aligner.refine`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from udacity_gym.telemetry import Image, Pose
from udacity_gym.world.physics.car import (
    CAR_STATE,
    SIDEWAYS,
    SPEED,
    YAW,
    CarParameters,
    advance,
    standing_start,
)
from udacity_gym.world.rendering.camera import camera_row
from udacity_gym.world.track.track import AXLES, Track

Floats = NDArray[np.float64]
Plane = NDArray[np.float32]

FOCAL = 80.0 / math.tan(math.radians(30.0))
"""px, of the recorded images, 320x160 with a vertical field of view of 60 degrees."""
ROWS = (20.0, 134.0)
"""Rows of an image to look at: below the treetops, above the bonnet."""
NEAR, FAR = 2.4, 32.0
"""m before the car's root between which the road is looked at; what is nearer lies under the bonnet."""
FAR_BARS = 9.0
"""m from the camera beyond which red and white bars are too pale to tell from concrete."""
REACH = 14.0
"""px to either side of where a line is expected that it is searched in."""


COARSE = 2
"""Pixels of an image, each way, in one of those in which road and land are compared."""
EDGES = (-8.2, -4.75, 4.75, 8.2)
"""m right of the centre line where the land beside the road ends and where the road does."""
LAND, ROAD, ELSEWHERE = 0, 1, 2
SEARCHED = ((2.0, 0.8, 0.2), (1.0, 0.4, 0.06))
"""Standard deviations of s in m, offset in m and heading in rad in which poses are sought, by round."""
SHARPNESS, RELIANCE = 0.05, 200.0
"""By how much a pose gets less likely with each coarse pixel that is wrong, and more likely with lines."""


class Trust(NamedTuple):
    """How far log, first pass and body are trusted, as standard deviations.

    Attributes:
        way: relative error of a way driven between two images of the first pass.
        first: of s in m, offset in m and heading error in rad of the first pass.
        s_step: m of s by which the log is wrong from one image to the next: per m driven, for the first m,
            always.
        offset_step: the same of the offset, per m driven.
        heading_step: rad, always, and rad per m driven, of the heading.
        pitch: rad, mean and standard deviation of the body's pitch.
    """

    way: float = 0.15
    first: tuple[float, float, float] = (0.4, 0.15, 0.03)
    s_step: tuple[float, float, float] = (0.03, 0.03, 0.01)
    offset_step: float = 0.03
    heading_step: tuple[float, float] = (0.006, 0.006)
    pitch: tuple[float, float] = (0.009, 0.02)


HILLY = Trust()
LEVEL = Trust(0.06, (3.0, 0.5, 0.1), (0.03, 0.0, 0.01), 0.015, (0.003, 0.003), (0.0, 0.012))
"""For a road that is flat, with lines on both sides."""


@dataclass(frozen=True)
class Look:
    """What a track's road looks like to the alignment.

    Attributes:
        lines: m right of the centre line of the painted lines.
        line_width: m across one line.
        solid: for each line whether it is solid; dashes are looked for less.
        inside: m right of the centre line where there is always road surface.
        outside: m right of the centre line where there is none.
        surface: image to (h, w) float32 in [0, 1], how much each pixel looks like road surface.
        paint: image to (h, w) float32, brighter where there is line paint.
        contrast: rise of ``paint`` from beside a line to its middle that counts as a line.
        bars: m from the centre line to the middle of red and white bars, where the track has a kerb of
            them; they begin and end at known places. 0 for roads without.
        sure: image to (h, w) float32 in [0, 1], how much ``surface`` is to be believed at each pixel; None
            where the lines are enough, so that road and land need not be compared.
        trust: how far log, first pass and body are trusted.
    """

    lines: tuple[float, ...]
    line_width: float
    solid: tuple[bool, ...]
    inside: tuple[float, ...]
    outside: tuple[float, ...]
    surface: Callable[[Image], Plane]
    paint: Callable[[Image], Plane]
    contrast: float
    bars: float = 0.0
    sure: Callable[[Image], Plane] | None = None
    trust: Trust = HILLY


def _redness(image: Image) -> Plane:
    """How much like a red bar each pixel is, in [0, 1], blurred over red and white."""
    red, green, blue = (image[..., i].astype(np.float32) for i in range(3))
    pure = (red - green - 2 * np.abs(green - blue)) / 80.0
    return np.asarray(cv2.GaussianBlur(pure.clip(0, 1), (0, 0), 3.0), np.float32)


def _chroma(image: Image) -> tuple[Plane, Plane, Plane]:
    """Excess of green, of blue, and brightness, each relative to the pixel's brightness."""
    red, green, blue = (image[..., i].astype(np.float32) for i in range(3))
    total = red + green + blue + 15.0
    return (2 * green - red - blue) / total, (2 * blue - red - green) / total, total / 3.0


def _jungle_surface(image: Image) -> Plane:
    """Grey asphalt, bluish in the shade; plants and cliffs are greener, the sky bluer."""
    green, blue, _ = _chroma(image)
    seen = 1 / (1 + np.exp((green - 0.075) / 0.02)) / (1 + np.exp((blue - 0.26) / 0.03))
    return np.asarray(cv2.GaussianBlur(seen, (0, 0), 1.5), np.float32)


def _jungle_sure(image: Image) -> Plane:
    """What is in the sun, or green even in the shade: cliffs in the shade are as blue as asphalt there."""
    green, _, light = _chroma(cv2.GaussianBlur(image, (0, 0), 1.5))
    seen = np.maximum(1 / (1 + np.exp((85.0 - light) / 8.0)), 1 / (1 + np.exp((0.1 - green) / 0.015)))
    return np.asarray(0.07 + 0.93 * seen, np.float32)


def _jungle_paint(image: Image) -> Plane:
    """White lines: locally bright in every channel, in the sun and in the shade alike."""
    light: Plane = np.log(image.min(axis=2).astype(np.float32) + 12.0)
    return light - 1.2 * (1.0 - _jungle_surface(image))


def _lake_surface(image: Image) -> Plane:
    """Grey asphalt and pale stones; sand and grass are more colourful, the bridge's walls black."""
    green, blue, light = _chroma(image)
    yellow = -blue
    seen = 1 / (1 + np.exp((np.abs(yellow) - 0.2) / 0.03)) / (1 + np.exp((green - 0.12) / 0.02))
    seen *= 1 / (1 + np.exp((55.0 - light) / 8.0))
    return np.asarray(cv2.GaussianBlur(seen, (0, 0), 1.5), np.float32)


def _lake_paint(image: Image) -> Plane:
    """Yellow lines: red and green without blue; the red and white bars beside them don't count."""
    red, green, blue = (image[..., i].astype(np.float32) for i in range(3))
    return (np.minimum(red, green) - blue) / 60.0


LOOKS = {
    "lake": Look(
        lines=(-3.45, 3.45), line_width=0.2, solid=(True, True), inside=(-2.4, -1.0, 1.0, 2.4),
        outside=(-6.6, 6.6), surface=_lake_surface, paint=_lake_paint, contrast=0.08, bars=4.3,
        trust=LEVEL,
    ),
    "jungle": Look(
        lines=(-4.6, 0.0, 4.6), line_width=0.25, solid=(True, False, True),
        inside=(-3.4, -1.7, 1.7, 3.4), outside=(-6.4, -5.5, 5.5, 6.4), surface=_jungle_surface,
        paint=_jungle_paint, contrast=0.12, sure=_jungle_sure,
    ),
}  # fmt: skip
"""How the roads of Udacity's tracks look, by the name of the track."""


class Alignment(NamedTuple):
    """Poses of the frames of a recording relative to its track.

    Attributes:
        s: (n,) m along the track, growing over the laps.
        offset: (n,) m right of the centre line.
        heading_error: (n,) rad by which the car points to the right of the track.
        pitch: (n,) rad that the body is nose-up beyond how it usually rides.
        deviation: (n, 4) standard deviations of these.
        found: (n,) points of lines found in each image.
        error: (n,) px, median distance in an image between lines found and lines of the aligned
            track; nan where none was found.
    """

    s: Floats
    offset: Floats
    heading_error: Floats
    pitch: Floats
    deviation: Floats
    found: NDArray[np.int64]
    error: Floats

    def pose(self, track: Track, i: int) -> Pose:
        """Pose of frame ``i`` on the track."""
        pose = track.pose_at(float(self.s[i]), float(self.offset[i]), float(self.heading_error[i]))
        return replace(pose, pitch=pose.pitch + float(self.pitch[i]))


class Way(NamedTuple):
    """How a car moved since the first row of a log, in its own directions.

    Attributes:
        driven: (n,) m along its nose.
        turned: (n,) rad to the left.
        drifted: (n,) m to its left, see `udacity_gym.world.physics.car`.
    """

    driven: Floats
    turned: Floats
    drifted: Floats

    def between(self, first: int, last: int) -> tuple[float, float, float]:
        """The way from one row to another: m along the nose, rad and m to the left."""
        driven, turned, drifted = (float(column[last] - column[first]) for column in self)
        return driven, turned, drifted


def dead_reckon(time: Floats, steering: Floats, pedals: Floats, speed: Floats) -> Way:
    """The way from a log, by the car's own model with the speed of the log.

    Args:
        time: (n,) s.
        steering: (n,) [-1, 1], positive right.
        pedals: (n,) [-1, 1], throttle less brake.
        speed: (n,) m/s.
    """
    car = CarParameters()
    state = np.zeros(CAR_STATE)
    standing_start(state, float(speed[0]), car)
    way = np.zeros((3, len(time)))
    for i in range(1, len(time)):
        steps = max(1, math.ceil((time[i] - time[i - 1]) / 0.02 - 1e-9))
        dt = (time[i] - time[i - 1]) / steps
        way[:, i] = way[:, i - 1]
        for k in range(steps):
            share = (k + 0.5) / steps
            hand, pedal, v = (
                column[i - 1] + share * (column[i] - column[i - 1]) for column in (steering, pedals, speed)
            )
            state[SPEED] = math.sqrt(max(0.0, v * v - state[SIDEWAYS] ** 2))
            way[0, i] += state[SPEED] * dt
            yaw, sideways = state[YAW], state[SIDEWAYS]
            advance(state, hand, pedal, dt, 0.0, 0.0, car)
            way[1, i] += state[YAW] - yaw
            way[2, i] += 0.5 * (sideways + state[SIDEWAYS]) * dt
    return Way(*way)


class _Evidence(NamedTuple):
    """What an image shows of road and land.

    Attributes:
        surface: (80, 160) float32 in [0, 1], how much each coarse pixel looks like road.
        sure: (80, 160) float32 in [0, 1], how much that is to be believed.
        paint: (160, 320) float32, brighter where there is line paint.
        rows: coarse rows to look at, below the treetops and above the bonnet.
    """

    surface: Plane
    sure: Plane
    paint: Plane
    rows: slice

    @classmethod
    def of(cls, image: Image, look: Look) -> _Evidence:
        """Look at an image; the look must say what is sure."""
        assert look.sure is not None
        size = (image.shape[1] // COARSE, image.shape[0] // COARSE)
        surface, sure = (
            np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.float32)
            for plane in (look.surface(image), look.sure(image))
        )
        paint = np.asarray(cv2.GaussianBlur(look.paint(image), (0, 0), 0.7), np.float32)
        return cls(surface, sure, paint, slice(22, round(ROWS[1] / COARSE)))


class Aligner:
    """Aligns recordings of one track.

    Args:
        track: the track, "lake" or "jungle" by name.
        look: how its road looks; None takes it from `LOOKS` by the track's name.

    Raises:
        KeyError: No look is known for the track and none is given.
    """

    def __init__(self, track: Track, look: Look | None = None) -> None:
        self.track = track
        self.look = LOOKS[track.name] if look is None else look
        self._frame = camera_row(Pose(0.0, 0.0, 0.0, 0.0), "center", "training").astype(np.float64)
        self._painted = self._find_painted()
        self._barred = self._find_barred()

    def _find_painted(self) -> NDArray[np.bool_]:
        """(lines, samples) where each line is painted; mouths and bridges of the lake have none."""
        painted = np.ones((len(self.look.lines), len(self.track.s)), bool)
        if self.track.name == "jungle":
            return painted
        for item in self.track.data.get("roadside", ()):
            if item["kind"] in ("dirt_mouth", "bridge"):
                inside = (self.track.s >= item["from"]) & (self.track.s < item["to"])
                for line, offset in enumerate(self.look.lines):
                    if item["side"] in ("both", "left" if offset < 0 else "right"):
                        painted[line, inside] = False
        return painted

    def _find_barred(self) -> NDArray[np.bool_]:
        """(2, samples) where there are red and white bars on the left and on the right."""
        barred = np.zeros((2, len(self.track.s)), bool)
        for item in self.track.data.get("roadside", ()):
            if item["kind"] == "kerb":
                inside = (self.track.s >= item["from"]) & (self.track.s < item["to"])
                for side, name in enumerate(("left", "right")):
                    if item["side"] in ("both", name):
                        barred[side, inside] = True
        return barred

    def _ground(self, s: Floats, offset: Floats) -> tuple[Floats, Floats, NDArray[np.int64]]:
        """Points (…, 3) of the road, its heading there, and the sample before."""
        track = self.track
        at = (s % track.length) / track.ds
        i = at.astype(np.int64) % len(track.s)
        along = (at - np.floor(at)) * track.ds
        heading = track.heading[i] + 0.5 * along * track.curvature[i]
        x, y = track.x[i] + along * np.cos(heading), track.y[i] + along * np.sin(heading)
        z = track.z[i] + (track.z[(i + 1) % len(track.z)] - track.z[i]) * along / track.ds
        heading = track.heading[i] + along * track.curvature[i]
        point = np.stack([x + offset * np.sin(heading), y - offset * np.cos(heading), z], axis=-1)
        return point, heading, i

    def project(self, states: Floats, s: Floats, offset: Floats) -> tuple[Floats, Floats, Floats]:
        """Where points of the road lie in the center camera's images.

        Args:
            states: (n, 4) s, offset, heading error and pitch of the car.
            s: (n, ...) m along the track.
            offset: (n, ...) m right of the centre line.

        Returns:
            column, row (px, pixel centres at integers) and depth (m), each (n, ...).
        """
        points, _, _ = self._ground(s, offset)
        root, heading, _ = self._ground(states[:, 0], states[:, 1])
        slope = self._slope(states)
        yaw = heading - states[:, 2]
        pitch = slope * np.cos(states[:, 2]) + states[:, 3]
        roll = slope * np.sin(states[:, 2])
        cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
        forward = np.stack([cy * cp, sy * cp, sp], axis=-1)
        level = np.stack([-sy, cy, np.zeros_like(sy)], axis=-1)
        left = np.cos(roll)[:, None] * level + np.sin(roll)[:, None] * np.cross(forward, level)
        body = np.stack([forward, left, np.cross(forward, left)], axis=1)  # (n, 3, 3), rows in the world
        frame = np.einsum("cj,njk->nck", self._frame.reshape(4, 3), body)
        shape = (len(states),) + (1,) * (points.ndim - 2) + (3,)
        away = points - (root + frame[:, 0]).reshape(shape)
        depth = np.einsum("n...k,nk->n...", away, frame[:, 1])
        scale = FOCAL / np.maximum(depth, 0.3)
        column = scale * np.einsum("n...k,nk->n...", away, frame[:, 2]) + 159.5
        row = 79.5 - scale * np.einsum("n...k,nk->n...", away, frame[:, 3])
        return column, row, depth

    def _slope(self, states: Floats) -> Floats:
        """(n,) rad uphill along the road under cars, as `slope_at` of the track."""
        track = self.track
        s, offset = states[:, 0], states[:, 1]
        heights = []
        for way in (AXLES[0], -AXLES[1]):
            i = (((s + 0.5 * way) % track.length) / track.ds).astype(np.int64) % len(track.s)
            point, _, _ = self._ground(s + way / np.maximum(0.3, 1 + track.curvature[i] * offset), 0.0 * s)
            heights.append(point[:, 2])
        return np.asarray(np.arctan((heights[0] - heights[1]) / sum(AXLES)), np.float64)

    def _follow(self, states: Floats, driven: Any, turned: Any, drifted: float) -> Floats:
        """Move poses along, see `Way`; ``driven`` and ``turned`` are (n,) or scalars."""
        s, offset, error, pitch = states.T.copy()
        steps = max(1, math.ceil(float(np.max(np.abs(driven))) / 0.3))
        driven = driven * np.cos(self._slope(states))  # the log has the way along the slope
        for _ in range(steps):
            i = ((s % self.track.length) / self.track.ds).astype(np.int64) % len(self.track.s)
            curvature = self.track.curvature[i]
            middle = error + 0.5 * (curvature * driven - turned) / steps
            along = (driven * np.cos(middle) + drifted * np.sin(middle)) / steps
            along = along / np.maximum(0.3, 1 + curvature * offset)
            offset = offset + (driven * np.sin(middle) - drifted * np.cos(middle)) / steps
            error = error + curvature * along - turned / steps
            s = s + along
        return np.stack([s, offset, error, pitch], axis=1)

    def _likelihood(self, states: Floats, image: Image) -> Floats:
        """How well road, verges and lines of each pose agree with the image, about -1 to 1."""
        look = self.look
        ahead = np.concatenate([np.arange(NEAR, 12.0, 1.0), np.arange(12.0, FAR, 2.0)])
        bars = (-look.bars, look.bars) if look.bars else ()
        offsets = np.array([*look.lines, *look.inside, *look.outside, *bars])
        shape = (len(states), len(offsets), len(ahead))
        s = np.broadcast_to(states[:, 0, None, None] + ahead, shape)
        column, row, depth = self.project(states, s, np.broadcast_to(offsets[:, None], shape))
        before = _highest_before(row)
        seen = (depth > 1) & (column > 1) & (column < 318) & (row > ROWS[0] - 5) & (row < ROWS[1])
        seen &= before > row + 0.2
        pixel = (np.clip(row, 0, 159).astype(np.int64), np.clip(column, 0, 319).astype(np.int64))
        surface = look.surface(image)
        ridge = self._ridge(image, surface)
        lines, inside = len(look.lines), len(look.inside)
        value = surface[pixel].astype(np.float64) - 0.5
        value[:, lines + inside :] *= -1  # (those of bars are overwritten below)
        found = ridge[pixel][:, :lines].astype(np.float64)
        sample = ((s[:, :lines] % self.track.length) / self.track.ds).astype(np.int64) % len(self.track.s)
        painted = np.take_along_axis(
            np.broadcast_to(self._painted[None], (len(states), *self._painted.shape)), sample, axis=2
        )
        gain = np.where(look.solid, 1.6, 1.0)[:, None]
        # A dash may be missing, and so may what the paint looks like in the distance.
        value[:, :lines] = np.where(painted, gain * found - 0.15 * gain, 0.1 - gain * found)
        if bars:
            red = _redness(image)[pixel][:, -2:].astype(np.float64)
            there = np.take_along_axis(
                np.broadcast_to(self._barred[None], (len(states), *self._barred.shape)),
                np.broadcast_to(sample[:, :1], red.shape),
                axis=2,
            )
            value[:, -2:] = np.where(there, 3.0 * red - 0.3, 0.15 - 3.0 * red)
            seen[:, -2:] &= depth[:, -2:] < FAR_BARS
        return np.asarray((value * seen).sum(axis=(1, 2)) / (seen.sum(axis=(1, 2)) + 15.0))

    def _ridge(self, image: Image, surface: Plane) -> Plane:
        """Lines in an image, blurred so that near misses count."""
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (15, 15))
        hat = cv2.morphologyEx(self.look.paint(image), cv2.MORPH_TOPHAT, kernel)
        hat[: int(ROWS[0])] = 0
        # Lines lie on the road, though they need not look like it.
        road = cv2.morphologyEx(surface, cv2.MORPH_CLOSE, kernel)
        ridge = cv2.GaussianBlur(np.minimum(hat, 0.6) * (road > 0.6), (0, 0), 1.5)
        return np.asarray(1.6 * ridge, np.float32)

    def follow(
        self,
        image: Callable[[int], Image],
        frames: Sequence[int],
        way: Way,
        start: Floats,
        spread: Floats,
        particles: int = 1500,
        seed: int = 0,
    ) -> Floats:
        """First pass: the particle filter.

        Args:
            image: gives the center image of a frame.
            frames: indices of the frames to look at, in order.
            way: of `dead_reckon`, for the whole log.
            start: (3,) s, offset and heading error of the first of the frames, about.
            spread: (3,) how far off that may be.
            particles: how many.
            seed: seed of the generator.

        Returns:
            (len(frames), 4) mean s, offset, heading error, and the mean likelihood.
        """
        generator = np.random.default_rng(seed)
        states = np.zeros((particles, 4))
        states[:, :3] = start + generator.uniform(-1, 1, (particles, 3)) * spread
        means = []
        for n, k in enumerate(frames):
            if n:
                driven, turned, drifted = way.between(frames[n - 1], k)
                draw = generator.normal(0, 1, (4, particles))
                ways = driven * (1 + self.look.trust.way * draw[0]) + 0.02 * min(abs(driven), 1.0) * draw[1]
                turns = turned * (1 + 0.15 * draw[2]) + (0.003 + 0.008 * abs(driven)) * draw[3]
                states = self._follow(states, ways, turns, drifted)
            score = self._likelihood(states, image(k))
            excess = np.maximum(0.0, np.abs(states[:, 1]) - self.track.half_width)
            weight = np.exp(60.0 * (score - score.max()) - 2.0 * excess**2)
            weight /= weight.sum()
            means.append([*(weight @ states[:, :3]), weight @ score])
            places = (generator.random() + np.arange(particles)) / particles
            chosen = np.searchsorted(np.cumsum(weight), places).clip(0, particles - 1)
            states = states[chosen]
            states[:, :3] += generator.normal(0, 1, (particles, 3)) * (0.05, 0.02, 0.004)
        return np.array(means)

    def search(self, image: Image, state: Floats, deviation: Floats) -> tuple[Floats, Floats, Floats]:
        """Look for the lines around where they are expected.

        Args:
            image: (160, 320, 3) uint8 RGB, the center image.
            state: (4,) s, offset, heading error and pitch.
            deviation: (4, 4) their covariance: how far to search.

        Returns:
            (m,) px from the expected to the found place of each point of a line, across the line, to the
            right; (m, 4) its derivative by the state; and (m,) which line.
        """
        look = self.look
        ahead = np.concatenate([np.arange(NEAR, 10.0, 0.8), np.arange(10.0, FAR, 1.6)])
        shape = (len(look.lines), len(ahead))
        s = np.broadcast_to(state[0] + ahead, shape)
        offsets = np.broadcast_to(np.array(look.lines)[:, None], shape)
        steps = np.array([0.05, 0.02, 0.004, 0.002])
        states = np.concatenate([state[None], state[None] + np.diag(steps), state[None], state[None]])
        across = np.zeros((7, *shape))
        across[5], across[6] = -look.line_width / 2, look.line_width / 2
        column, row, depth = self.project(states, np.broadcast_to(s, (7, *shape)), offsets + across)
        place = np.stack([column, row], axis=-1)
        tangent = np.gradient(place[0], axis=1)
        tangent /= np.linalg.norm(tangent, axis=-1, keepdims=True) + 1e-9
        normal = np.stack([-tangent[..., 1], tangent[..., 0]], axis=-1)
        width = ((place[6] - place[5]) * normal).sum(axis=-1)
        normal *= np.sign(width + 1e-12)[..., None]
        width = np.abs(width)
        slope = (((place[1:5] - place[0]) * normal).sum(axis=-1) / steps[:, None, None]).transpose(1, 2, 0)
        before = _highest_before(row[0])
        sample = ((s % self.track.length) / self.track.ds).astype(np.int64) % len(self.track.s)
        seen = np.take_along_axis(self._painted, sample, axis=1) & (before > row[0] + 0.3)
        seen &= (depth[0] > 1) & (column[0] > 2) & (column[0] < 317) & (width > 0.7)
        seen &= (row[0] > ROWS[0]) & (row[0] < ROWS[1])
        which = np.nonzero(seen)[0]
        if not len(which):
            return np.zeros(0), np.zeros((0, 4)), np.zeros(0)
        place, normal, width, slope = place[0][seen], normal[seen], width[seen], slope[seen]
        sure = np.sqrt(np.einsum("mi,ij,mj->m", slope, deviation, slope))
        reach = np.minimum(REACH, 3 * np.maximum(sure, 1.5))
        shift, response = _responses(look.paint(image), place, normal, width)
        best = np.where(np.abs(shift) <= reach[:, None], response, -np.inf).argmax(axis=1)
        best = best.clip(1, len(shift) - 2)
        rows = np.arange(len(best))
        left, top, right = (response[rows, best + k] for k in (-1, 0, 1))
        bend = left - 2 * top + right
        part = np.where(bend < -1e-6, 0.5 * (left - right) / np.where(bend < -1e-6, bend, -1.0), 0.0)
        found = shift[best] + part.clip(-1, 1) * (shift[1] - shift[0])
        kept = (top > look.contrast) & (np.abs(found) < reach - 0.3)
        return found[kept], slope[kept], which[kept].astype(np.float64)

    def _raster(self, states: Floats) -> NDArray[np.uint8]:
        """Where each pose has road and land: (n, rows, columns) of coarse pixels."""
        ahead = np.concatenate(
            [np.arange(-3.0, 6.0, 0.6), np.arange(6.0, 12.0, 1.2), np.arange(12.0, 34.0, 2.4)]
        )
        shape = (len(states), len(EDGES), len(ahead))
        column, row, depth = self.project(
            states,
            np.broadcast_to(states[:, 0, None, None] + ahead, shape),
            np.broadcast_to(np.array(EDGES)[:, None], shape),
        )
        scale = np.maximum(depth, 0.3) / FOCAL
        place = np.stack([(column - 159.5) * scale, (row - 79.5) * scale, depth], axis=-1)
        labels = np.full((len(states), 160 // COARSE, 320 // COARSE), ELSEWHERE, np.uint8)
        strips = [(*_before_camera(place[:, i], place[:, i + 1]), i) for i in (0, 2, 1)]
        for n, image in enumerate(labels):
            for k in range(len(ahead) - 2, -1, -1):  # what is near hides what is behind a crest
                for left, right, seen, i in strips:
                    if seen[n, k] and seen[n, k + 1]:
                        piece = np.stack([left[n, k], left[n, k + 1], right[n, k + 1], right[n, k]])
                        cv2.fillConvexPoly(image, piece, ROAD if i == 1 else LAND, cv2.LINE_8, 4)
        return labels

    def _cost(self, states: Floats, evidence: _Evidence) -> Floats:
        """How unlikely an image makes each pose: (n,) negative logarithms, but for a constant."""
        labels = self._raster(states)[:, evidence.rows]
        surface, sure = evidence.surface[evidence.rows], evidence.sure[evidence.rows]
        wrong = ((1 - surface) * sure * (labels == ROAD)).sum(axis=(1, 2))
        wrong += (surface * sure * (labels == LAND)).sum(axis=(1, 2))
        low = 46 - evidence.rows.start  # what looks like road so low in an image should be road
        wrong += 0.5 * ((surface * sure)[low:] * (labels[:, low:] == ELSEWHERE)).sum(axis=(1, 2))
        return np.asarray(
            SHARPNESS * wrong - RELIANCE * self._line_contrast(states, evidence.paint), np.float64
        )

    def _line_contrast(self, states: Floats, paint: Plane) -> Floats:
        """How much brighter the lines are than what lies beside them, mean over each pose: (n,)."""
        lines = np.array(self.look.lines)
        offsets = np.concatenate([lines, lines - 0.42, lines + 0.42])
        ahead = np.concatenate([np.arange(NEAR, 10.0, 0.45), np.arange(10.0, 24.0, 1.0)])
        shape = (len(states), len(offsets), len(ahead))
        column, row, depth = self.project(
            states,
            np.broadcast_to(states[:, 0, None, None] + ahead, shape),
            np.broadcast_to(offsets[:, None], shape),
        )
        value = cv2.remap(
            paint, column.reshape(-1, len(ahead)).astype(np.float32),
            row.reshape(-1, len(ahead)).astype(np.float32), cv2.INTER_LINEAR,
        ).reshape(shape)  # fmt: skip
        middle, left, right = np.split(value, 3, axis=1)
        inside = ((column > 4) & (column < 315)).reshape(len(states), 3, len(lines), -1).all(axis=1)
        row, depth = row[:, : len(lines)], depth[:, : len(lines)]
        visible = inside & (depth > 1) & (row > 45) & (row < 133) & (_highest_before(row) > row + 0.2)
        weight = visible * np.where(self.look.solid, 1.0, 0.7)[:, None]
        brighter = (middle - np.maximum(left, right)).clip(-0.05, 0.5)
        return np.asarray((brighter * weight).sum(axis=(1, 2)) / (weight.sum(axis=(1, 2)) + 6.0))

    def _fit(self, image: Image, expected: Floats, spread: Floats, seed: int) -> tuple[Floats, Floats]:
        """Sample poses where road, land and lines agree with the image: mean (4,) and covariance (4, 4).

        The samples contract around the best ones, as in the cross-entropy method (Rubinstein 1999).
        """
        generator = np.random.default_rng(seed)
        evidence = _Evidence.of(image, self.look)
        centre, width = expected, spread
        rounds: list[tuple[Floats, Floats]] = []
        for count in (180, 90, 90, 90, 90, 90, 90):
            states = centre + generator.normal(size=(count, 4)) * width
            states[0] = centre
            cost = self._cost(states, evidence) + 0.5 * np.square((states - expected) / spread).sum(axis=1)
            rounds.append((states, cost))
            best = np.argsort(cost)[:15]
            weight = np.exp(cost[best[0]] - cost[best])
            centre = weight @ states[best] / weight.sum()
            width = np.sqrt(weight @ np.square(states[best] - centre) / weight.sum())
            width = np.maximum(1.4 * width, (0.06, 0.02, 0.004, 0.0015))
        states, cost = (np.concatenate(parts[2:]) for parts in zip(*rounds, strict=True))
        weight = np.exp(cost.min() - cost)
        weight /= weight.sum()
        mean = weight @ states
        away = states - mean
        return mean, (away * weight[:, None]).T @ away + np.diag(np.square((0.15, 0.03, 0.005, 0.003)))

    def refine(
        self,
        image: Callable[[int], Image],
        frames: Sequence[int],
        way: Way,
        expected: Floats,
    ) -> Alignment:
        """Second pass on hilly roads: fit the poses to road, land and lines in each image, over time.

        Args:
            image: gives the center image of a frame.
            frames: indices of the frames, in order.
            way: of `dead_reckon`, for the whole log.
            expected: (len(frames), 3 or more) s, offset and heading error of the first pass.

        Returns:
            The poses of the frames.

        Raises:
            ValueError: The look of the track says nothing about road and land.
        """
        if self.look.sure is None:
            raise ValueError(f"the look of {self.track.name} has no 'sure': use smooth")
        level, swing = self.look.trust.pitch
        states = np.column_stack([expected[:, :3], np.full(len(expected), level)])
        covariances = np.zeros((len(states), 4, 4))
        for spread in SEARCHED:
            fits = [
                self._fit(image(k), states[n], np.array([*spread, swing]), n) for n, k in enumerate(frames)
            ]

            def update(n: int, x: Floats, p: Floats, fits: Any = fits) -> tuple[Floats, Floats]:
                mean, covariance = fits[n]
                total = p + covariance
                away = mean - x
                # One that is far off, such as a road taken for another, counts less.
                total = p + covariance * max(1.0, away @ np.linalg.solve(total, away) / 9.0)
                gain = p @ np.linalg.inv(total)
                return x + gain @ away, p - gain @ p

            states, covariances = self._filter(frames, way, *fits[0], update)
        return self._aligned(image, frames, states, covariances)

    def _aligned(
        self, image: Callable[[int], Image], frames: Sequence[int], states: Floats, covariances: Floats
    ) -> Alignment:
        """Poses, with how far the lines in their images are from those of the track."""
        found, errors = [], []
        for k, state, covariance in zip(frames, states, covariances, strict=True):
            r, _, _ = self.search(image(k), state, covariance)
            found.append(len(r))
            errors.append(float(np.median(np.abs(r))) if len(r) else math.nan)
        deviation = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2).clip(0))
        s, offset, error, pitch = states.T
        return Alignment(s, offset, error, pitch, deviation, np.array(found), np.array(errors))

    def _filter(
        self,
        frames: Sequence[int],
        way: Way,
        x: Floats,
        p: Floats,
        update: Callable[[int, Floats, Floats], tuple[Floats, Floats]],
    ) -> tuple[Floats, Floats]:
        """Kalman smoother over frames.

        Args:
            frames: indices of the frames, in order.
            way: of `dead_reckon`, for the whole log.
            x: (4,) expected state of the first frame.
            p: (4, 4) its covariance.
            update: gives the state and its covariance after the n-th image, from those before it.

        Returns:
            (n, 4) states and (n, 4, 4) covariances.
        """
        trust = self.look.trust
        level, _ = trust.pitch
        means, covariances, ahead_x, ahead_p, moves = [], [], [], [], []
        for n, k in enumerate(frames):
            move = np.eye(4)
            if n:
                driven, turned, drifted = way.between(frames[n - 1], k)
                nudge = np.array([0.5, 0.1, 0.02, 0.01])
                ends = self._follow(np.concatenate([x[None], x + np.diag(nudge)]), driven, turned, drifted)
                between = k - frames[n - 1]
                ends[:, 3] = level + 0.9**between * (ends[:, 3] - level)
                move = ((ends[1:] - ends[0]) / nudge[:, None]).T
                x, w = ends[0], abs(driven)
                per_metre, first_metre, always = trust.s_step
                noise = (per_metre * w + first_metre * min(1.0, w) + always, trust.offset_step * w + 0.004,
                         trust.heading_step[0] + 0.08 * abs(turned) + trust.heading_step[1] * w,
                         math.radians(0.25) * math.sqrt(between))  # fmt: skip
                p = move @ p @ move.T + np.diag(np.square(np.array(noise)))
            ahead_x.append(x)
            ahead_p.append(p)
            moves.append(move)
            x, p = update(n, x, p)
            means.append(x)
            covariances.append(p)
        smoothed, spread = list(means), list(covariances)
        for n in range(len(means) - 2, -1, -1):
            gain = covariances[n] @ moves[n + 1].T @ np.linalg.inv(ahead_p[n + 1])
            smoothed[n] = means[n] + gain @ (smoothed[n + 1] - ahead_x[n + 1])
            spread[n] = covariances[n] + gain @ (spread[n + 1] - ahead_p[n + 1]) @ gain.T
        return np.array(smoothed), np.array(spread)

    def smooth(
        self,
        image: Callable[[int], Image],
        frames: Sequence[int],
        way: Way,
        expected: Floats,
    ) -> Alignment:
        """Second pass on level roads: fit the poses to the lines found in each image, over time.

        Args:
            image: gives the center image of a frame.
            frames: indices of the frames, in order.
            way: of `dead_reckon`, for the whole log.
            expected: (len(frames), 3 or more) s, offset and heading error of the first pass.

        Returns:
            The poses of the frames.
        """
        level, swing = self.look.trust.pitch
        prior: Floats = np.diag(1 / np.square([*self.look.trust.first, swing]))

        def update(n: int, x: Floats, p: Floats) -> tuple[Floats, Floats]:
            inverse = np.linalg.inv(p)
            pull = np.array([*expected[n, :3], level])
            centre = x + np.linalg.solve(inverse + prior, prior @ (pull - x))
            inverse = np.asarray(inverse + prior, np.float64)
            x, p = centre, np.linalg.inv(inverse)
            seen = image(frames[n])
            for attempt in range(4):
                r, slope, _ = self.search(seen, x, p)
                if len(r) < 4:
                    break
                # Points of one line are not independent, and far ones may lie on something else.
                variance = 3.0 * np.maximum(1.0, np.abs(r) / (1.5 if attempt else 5.0))
                information = slope.T @ (slope / variance[:, None]) + inverse
                step = np.linalg.solve(information, slope.T @ (r / variance) + inverse @ (centre - x))
                x = x + step.clip((-1.5, -0.4, -0.1, -0.02), (1.5, 0.4, 0.1, 0.02))
                p = np.linalg.inv(information)
            return x, p

        start = np.array([*expected[0, :3], level])
        states, covariances = self._filter(frames, way, start, np.diag([0.5, 0.05, 0.003, 1e-4]), update)
        return self._aligned(image, frames, states, covariances)


def _before_camera(
    left: Floats, right: Floats
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.bool_]]:
    """Cut the ends off lines across the road that are behind the camera.

    Args:
        left: (..., 3) left ends, m to the right of, below and before the camera.
        right: (..., 3) right ends.

    Returns:
        (..., 2) int32 left and right ends in sixteenths of coarse pixels, and (...) whether there are any.
    """
    near = 0.6
    ends = []
    for end, other in ((left, right), (right, left)):
        along = other - end
        share = (near - end[..., 2]) / np.where(np.abs(along[..., 2]) > 1e-6, along[..., 2], 1e-6)
        cut = end + (share * (end[..., 2] < near))[..., None] * along
        pixel = FOCAL * cut[..., :2] / np.maximum(cut[..., 2:], near) + (160.0, 80.0)
        ends.append(np.round((pixel / COARSE - 0.5).clip(-500, 800) * 16).astype(np.int32))
    return ends[0], ends[1], np.asarray(np.maximum(left[..., 2], right[..., 2]) > near, np.bool_)


def _highest_before(row: Floats) -> Floats:
    """Row of the highest point before each one of a line, (..., points) px from near to far.

    What lies behind a crest is no higher in the image than that.
    """
    first = np.full((*row.shape[:-1], 1), 1e9)
    return np.asarray(np.minimum.accumulate(np.concatenate([first, row[..., :-1]], axis=-1), axis=-1))


def _responses(
    paint: Plane, place: Floats, normal: Floats, width: Floats
) -> tuple[Floats, NDArray[np.float64]]:
    """How much like a line the image is at places across each point: shifts (px) and (m, shifts)."""
    step, margin = 0.5, 12.0
    shift = np.arange(-(REACH + margin), REACH + margin + step / 2, step)
    at = place[:, None] + normal[:, None] * shift[None, :, None]
    profile = cv2.remap(
        paint, at[..., 0].astype(np.float32), at[..., 1].astype(np.float32), cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    half = np.maximum(1, np.round(width / 2 / step)).astype(np.int64)[:, None]
    flank = np.maximum(3, half)
    centre = np.arange(len(shift))[None]
    inside = _window_mean(profile, centre - half, centre + half + 1)
    left = _window_mean(profile, centre - half - flank - 1, centre - half - 1)
    right = _window_mean(profile, centre + half + 2, centre + half + flank + 2)
    return shift, inside - np.maximum(left, right)


def _window_mean(rows: NDArray[Any], low: NDArray[np.int64], high: NDArray[np.int64]) -> Floats:
    """Mean of each row over windows [low, high), (m, n), cut off at the ends."""
    n = rows.shape[1]
    total = np.concatenate([np.zeros((len(rows), 1)), np.cumsum(rows, axis=1)], axis=1)
    low = np.clip(low, 0, n - 1)
    high = np.maximum(np.clip(high, 1, n), low + 1)
    sums = np.take_along_axis(total, high, axis=1) - np.take_along_axis(total, low, axis=1)
    return np.asarray(sums / (high - low), np.float64)
