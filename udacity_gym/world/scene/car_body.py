"""Our car as the chase view shows it: shaded faces, lamps that shine, and its shadow on the road."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from udacity_gym.telemetry import Pose
from udacity_gym.world.scene.car_shape import (
    CLEAR_LENS,
    FRONT_AXLE,
    FRONT_RADIUS,
    HALF_TRACK,
    LENS,
    REAR_AXLE,
    REAR_RADIUS,
    Array,
    Solid,
    body,
    lamps,
    outline,
    wheel,
)
from udacity_gym.world.scene.daylight import Daylight
from udacity_gym.world.scene.faces import COLOUR, FIELDS, OPACITY

FULL_LOCK = math.radians(25.0)
"""rad, steering angle of the front wheels at full lock."""
TAIL_LIGHT, BRAKE_LIGHT, HEADLIGHT = (176.0, 20.0, 16.0), (255.0, 66.0, 48.0), (255.0, 250.0, 232.0)
"""RGB of lamps that are on."""
GLOW, GLOW_RADIUS = 0.5, 0.32
"""Share of its light that a lamp spreads around itself in the dark, and within how many m."""

CELL = 0.06
"""m, side of a cell of the car's shadow."""
LOWEST_SUN = 0.3
"""Sine of the sun's elevation below which the shadow grows no longer."""
_MARGIN = 0.6  # m around the shadow over which it fades
_GROUND = np.array((112.0, 108.0, 96.0))  # RGB that the car mirrors from below
_SUN_COLOUR = np.array((255.0, 244.0, 220.0))


@dataclass(frozen=True, slots=True)
class CarState:
    """What moves and shines on the car.

    Attributes:
        steering: [-1, 1] share of full lock, positive turns right.
        brake: [0, 1] how hard it brakes.
        travelled: m that it has driven, by which its wheels have turned.
    """

    steering: float = 0.0
    brake: float = 0.0
    travelled: float = 0.0


class Sunlight(NamedTuple):
    """The light on the car.

    Attributes:
        sun: (3,) unit vector to the sun.
        strength: [0, 1] of its light, relative to a clear day.
        is_dark: whether the car has its lights on.
    """

    sun: Array
    strength: float
    is_dark: bool


class GroundShadow(NamedTuple):
    """The car's shadow, in a plane through its wheels' lowest points.

    Attributes:
        frame: (9,) float32: the car's root, and its axes forward and left.
        begin: (2,) float32 m, forward and left, middle of the first cell.
        cells: (rows, columns, 2) float32, [0, 1] shares of the sun's and the sky's light that it takes away,
            by m to the left and m forward.
    """

    frame: NDArray[np.float32]
    begin: NDArray[np.float32]
    cells: NDArray[np.float32]


class CarParts(NamedTuple):
    """The car in the world.

    Attributes:
        faces: (n, FIELDS) float32, see `faces.face`: all of it but the lamps that are on.
        lit: (m, FIELDS) float32, lamps that are on.
        glows: (k, 7) float32, x, y, z and radius in m and RGB of the light around lamps.
        shadow: on the road.
    """

    faces: NDArray[np.float32]
    lit: NDArray[np.float32]
    glows: NDArray[np.float32]
    shadow: GroundShadow


def car_parts(
    pose: Pose, state: CarState, daylight: Daylight, light: Sunlight, eye: NDArray[np.floating[Any]]
) -> CarParts:
    """The car as it looks from a point.

    Args:
        pose: the car's pose.
        state: what moves and shines.
        daylight: sky and ambient light of the track.
        light: of the sun.
        eye: (3,) m, where it is looked at from.
    """
    axes, root = _axes(pose), np.array([pose.x, pose.y, pose.z])
    sun, local_eye = axes @ light.sun, (np.asarray(eye) - root) @ axes.T
    solid = _solid(state)
    middles = solid.corners.mean(axis=1)
    view = local_eye - middles
    view /= np.linalg.norm(view, axis=1, keepdims=True)
    seen = np.sum(solid.normals * view, axis=1) > 0.0
    solid = Solid(*(getattr(solid, name)[seen] for name in Solid.__dataclass_fields__))
    colours = _shade(solid, middles[seen], view[seen], sun, light.strength, daylight)
    faces = [_packed(solid.corners @ axes + root, colours)]
    lit: list[NDArray[np.float32]] = []
    glows: list[tuple[float, ...]] = []
    for lamp in lamps():
        corners = lamp.corners @ axes + root
        colour, glow = LENS.colour if lamp.is_rear else CLEAR_LENS.colour, 0.0
        is_on = light.is_dark and lamp.is_tail
        if lamp.is_rear and state.brake > 0.0:
            colour, glow, is_on = BRAKE_LIGHT, 1.0 if light.is_dark else 0.35, True
        elif is_on:
            colour, glow = (TAIL_LIGHT if lamp.is_rear else HEADLIGHT), 0.7
        (lit if is_on else faces).append(_packed(corners, np.array(colour)))
        if glow > 0.0:
            glows.append((*corners.mean(axis=(0, 1)), GLOW_RADIUS, *(GLOW * glow * np.array(colour))))
    return CarParts(
        np.concatenate(faces),
        np.concatenate([np.zeros((0, FIELDS), np.float32), *lit]),
        np.array(glows, np.float32).reshape(-1, 7),
        _shadow(axes, root, sun),
    )


def _packed(corners: Array, colours: Array) -> NDArray[np.float32]:
    """Opaque faces, (n, FIELDS) float32."""
    faces: NDArray[np.float32] = np.ones((len(corners), FIELDS), np.float32)
    faces[:, :COLOUR] = corners.reshape(-1, COLOUR)
    faces[:, COLOUR:OPACITY] = colours
    return faces


def _solid(state: CarState) -> Solid:
    """Body and wheels in the car's frame."""
    parts = [body()]
    for axle, radius, turn in (
        (FRONT_AXLE, FRONT_RADIUS, -state.steering * FULL_LOCK),
        (REAR_AXLE, REAR_RADIUS, 0.0),
    ):
        c, s = math.cos(turn), math.sin(turn)
        rolled = (state.travelled / radius) % math.tau
        cr, sr = math.cos(rolled), math.sin(rolled)
        # Rolled about the axle, then turned about the upright axis.
        axes = np.array([[c * cr, -s, c * sr], [s * cr, c, s * sr], [-sr, 0.0, cr]])
        for side in (1.0, -1.0):
            part = wheel(radius, side)
            corners = part.corners @ axes.T + (axle, side * HALF_TRACK, radius)
            parts.append(Solid(corners, part.normals @ axes.T, part.colours, part.gloss, part.shine))
    return Solid(*(np.concatenate([getattr(p, name) for p in parts]) for name in Solid.__dataclass_fields__))


def _shade(
    solid: Solid, middles: Array, view: Array, sun: Array, strength: float, daylight: Daylight
) -> Array:
    """Colours of faces: light of sky and sun (Lambert), what they mirror (Schlick 1994), the sun's highlight.

    Args:
        solid: the faces.
        middles: (n, 3) m.
        view: (n, 3) unit vectors to the eye.
        sun: (3,) unit vector to the sun.
        strength: of its light.
        daylight: sky and ambient light.

    Returns:
        (n, 3) RGB in [0, 255].
    """
    ambient, up = np.array(daylight.ambient), solid.normals[:, 2:]
    lit = np.clip(solid.normals @ sun / max(sun[2], 0.15), 0.0, 1.35)[:, None]
    # From above comes the sky's light, from below what the road throws back; little of both low down.
    sky = ambient * (0.72 + 0.28 * up) + 0.15 * (1.0 - up)
    matt = solid.colours * np.clip(0.45 + 1.1 * middles[:, 2:], 0.0, 1.0) * (sky + (1.0 - ambient) * lit)
    facing = np.sum(solid.normals * view, axis=1)[:, None]
    mirrored = 2.0 * facing * solid.normals - view
    gloss, shine = solid.gloss[:, None], solid.shine[:, None]
    grazing = np.minimum(9.0 * gloss, 0.55)  # share that is mirrored at the flattest angles
    share = gloss + (grazing - gloss) * (1.0 - np.clip(facing, 0.0, 1.0)) ** 5
    height = mirrored[:, 2:]
    horizon, zenith = np.minimum(daylight.horizon, 255.0), np.array(daylight.zenith)
    above = horizon + (zenith - horizon) * np.sqrt(np.clip(height, 0.0, 1.0))
    around = _GROUND + (above - _GROUND) * np.clip(height * 5.0 + 0.5, 0.0, 1.0)
    towards = np.clip(mirrored @ sun, 0.0, 1.0)[:, None]
    highlight = strength * shine * (0.85 * towards**90 + 0.22 * towards**14) * _SUN_COLOUR
    return np.asarray(np.clip(matt + share * (around - matt) + highlight, 0.0, 255.0))


def _shadow(axes: Array, root: Array, sun: Array) -> GroundShadow:
    """The shadow of the car: convex hulls of body and cabin along the sun's rays, blurred."""
    shift = -sun[:2] / max(sun[2], LOWEST_SUN)
    parts = [points[:, :2] + points[:, 2:] * shift for points in outline()]
    underneath = outline()[0][:, :2]
    low = np.concatenate([*parts, underneath]).min(axis=0) - _MARGIN
    high = np.concatenate([*parts, underneath]).max(axis=0) + _MARGIN
    columns, rows = np.ceil((high - low) / CELL).astype(int)
    cells = np.zeros((rows, columns, 2), np.float32)

    def fill(points: Array, blur: float) -> NDArray[np.float32]:
        mask = np.zeros((rows, columns), np.uint8)
        corners = np.round((points - low) / CELL * 16.0).astype(np.int32)
        cv2.fillConvexPoly(mask, cv2.convexHull(corners), 255, cv2.LINE_AA, shift=4)
        return np.asarray(cv2.GaussianBlur(mask, (0, 0), blur) / 255.0, np.float32)

    cells[..., 0] = np.maximum(fill(parts[0], 1.5), fill(parts[1], 2.2))
    cells[..., 1] = 0.85 * fill(underneath * (0.97, 0.94), 4.0)
    frame = np.concatenate([root, axes[0], axes[1]]).astype(np.float32)
    return GroundShadow(frame, low.astype(np.float32), cells)


def _axes(pose: Pose) -> Array:
    """The car's axes in the world: rows forward, left and up."""
    cy, sy = math.cos(pose.yaw), math.sin(pose.yaw)
    cp, sp = math.cos(pose.pitch), math.sin(pose.pitch)
    cr, sr = math.cos(pose.roll), math.sin(pose.roll)
    forward = np.array([cy * cp, sy * cp, sp])
    level = np.array([-sy, cy, 0.0])
    left = cr * level + sr * np.cross(forward, level)
    return np.stack([forward, left, np.cross(forward, left)])
