"""Our car from outside: shaded faces for the chase view, with wheels that steer and a soft shadow."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from udacity_gym.telemetry import Pose
from udacity_gym.world.scene.daylight import Daylight
from udacity_gym.world.scene.faces import face

FRONT_AXLE, REAR_AXLE = 1.27, -1.60
"""m in front of the car's root."""
HALF_TRACK = 0.94
"""m from the middle of the car to the middle of a wheel."""
FRONT_RADIUS, REAR_RADIUS = 0.335, 0.37
"""m, wheels."""
TYRE_WIDTH = 0.26
"""m."""
FULL_LOCK = math.radians(25.0)
"""rad, steering angle of the front wheels at full lock."""

_PAINT, _GLASS, _TYRE, _HUB = (
    (205.0, 190.0, 158.0),
    (52.0, 66.0, 78.0),
    (30.0, 30.0, 32.0),
    (150.0, 150.0, 150.0),
)
_LAMP = (190.0, 30.0, 28.0)
_SILL = 0.26  # m, height of the body's lower edge
# Side view of the body from tail to nose: m forward, m up, m half width; then the colour in front.
_PROFILE = (
    (-2.22, 0.27, 0.84, _PAINT),
    (-2.30, 0.58, 0.90, _LAMP),
    (-2.28, 0.74, 0.92, _PAINT),
    (-2.05, 0.98, 0.88, _PAINT),
    (-1.55, 1.02, 0.86, _GLASS),
    (-0.85, 1.33, 0.66, _PAINT),
    (0.05, 1.36, 0.66, _GLASS),
    (0.85, 0.98, 0.84, _PAINT),
    (1.55, 0.86, 0.88, _PAINT),
    (2.10, 0.68, 0.84, _PAINT),
    (2.22, 0.48, 0.80, _PAINT),
    (2.18, 0.28, 0.78, _PAINT),
)
_WIDEST = 0.9  # m, half the width of the body
_BELT = 0.98  # m, height above which the sides are glass
_SPOKES = 10  # corners of a wheel
_SHADOW_LAYERS = 9


def car_faces(pose: Pose, steering: float, daylight: Daylight) -> NDArray[np.float32]:
    """The car as faces in the world.

    Args:
        pose: the car's pose.
        steering: [-1, 1] share of full lock, positive turns right.
        daylight: the light on it.

    Returns:
        (n, FIELDS) float32, see `faces.face`; the shadow first.
    """
    solid = [*_body(), *_wheels(steering)]
    corners = np.array([part for part, _ in solid])  # (n, 4, 3) in the car's frame: forward, left, up
    colours = np.array([colour for _, colour in solid])
    world = _to_world(corners, pose)
    first, second = world[:, 1] - world[:, 0], world[:, 2] - world[:, 0]
    normal = np.cross(first, second)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    outward = np.sign(np.sum(normal * (world.mean(axis=1) - _to_world(np.zeros((1, 3)), pose)), axis=1))
    sun, ambient = daylight.sun, np.array(daylight.ambient)
    lit = np.clip(outward * (normal @ sun) / sun[2], 0.0, 1.3)[:, None]
    shaded = np.clip(colours * (0.3 + ambient + (0.7 - ambient) * lit), 0, 255)
    faces = [face(part, colour) for part, colour in zip(world, shaded, strict=True)]
    return np.array([*_shadow(pose, sun), *faces], np.float32)


_Face = tuple[NDArray[np.float64], tuple[float, float, float]]


def _body() -> list[_Face]:
    faces: list[_Face] = []
    for (x0, z0, w0, colour), (x1, z1, w1, _) in pairwise(_PROFILE):
        lamp = colour == _LAMP
        for left, right, paint in (
            ((1.0, 0.6, _LAMP), (0.6, -0.6, _PAINT), (-0.6, -1.0, _LAMP)) if lamp else ((1.0, -1.0, colour),)
        ):
            strip = [(x0, left * w0, z0), (x1, left * w1, z1), (x1, right * w1, z1), (x0, right * w0, z0)]
            faces.append((np.array(strip), paint))
        # Below the glass the sides are as wide as the car, and rounded off at its ends.
        low0, low1 = min(z0, _BELT), min(z1, _BELT)
        wide0, wide1 = (_WIDEST if z > 0.9 else w for z, w in ((z0, w0), (z1, w1)))
        for side in (1.0, -1.0):
            door = [
                (x0, side * wide0, _SILL),
                (x1, side * wide1, _SILL),
                (x1, side * wide1, low1),
                (x0, side * wide0, low0),
            ]
            faces.append((np.array(door), _PAINT))
            shoulder = [door[3], door[2], (x1, side * w1, z1), (x0, side * w0, z0)]
            faces.append((np.array(shoulder), _GLASS if max(z0, z1) > _BELT + 0.1 else _PAINT))
    return faces


def _wheels(steering: float) -> list[_Face]:
    faces: list[_Face] = []
    angles = np.linspace(0.0, 2 * math.pi, _SPOKES + 1)
    for axle, radius, turn in (
        (FRONT_AXLE, FRONT_RADIUS, -steering * FULL_LOCK),
        (REAR_AXLE, REAR_RADIUS, 0.0),
    ):
        c, s = math.cos(turn), math.sin(turn)
        for side in (1.0, -1.0):
            rim = np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)

            def corner(
                x: float, y: float, z: float, r: float = radius, a: float = axle, m: float = side
            ) -> tuple[float, float, float]:
                return a + c * x - s * y, m * HALF_TRACK + s * x + c * y, r + z  # noqa: B023

            for (xa, za), (xb, zb) in pairwise(rim):
                inner, outer = -side * TYRE_WIDTH / 2, side * TYRE_WIDTH / 2
                tread = [
                    corner(xa, inner, za),
                    corner(xb, inner, zb),
                    corner(xb, outer, zb),
                    corner(xa, outer, za),
                ]
                faces.append((np.array(tread), _TYRE))
                for share, colour, proud in ((1.0, _TYRE, 0.0), (0.6, _HUB, 0.01 * side)):
                    y = outer + proud
                    wedge = [
                        corner(0, y, 0),
                        corner(share * xa, y, share * za),
                        corner(share * xb, y, share * zb),
                    ]
                    faces.append((np.array([*wedge, wedge[-1]]), colour))
    return faces


def _shadow(pose: Pose, sun: NDArray[np.float64]) -> list[NDArray[np.float32]]:
    """Nested quadrilaterals on the road, shifted away from the sun, each a little darker."""
    shift = -0.35 * sun[:2] / sun[2]
    faces = []
    for k in range(_SHADOW_LAYERS):
        length, width = 2.6 - 0.065 * k, 1.3 - 0.06 * k
        flat = np.array([(length, width, 0), (length, -width, 0), (-length, -width, 0), (-length, width, 0)])
        ground = _to_world(flat, pose) + np.array([shift[0], shift[1], 0.02 + 0.002 * k])
        faces.append(face(ground, (18.0, 20.0, 24.0), 0.13))
    return faces


def _to_world(points: NDArray[np.float64], pose: Pose) -> NDArray[np.float64]:
    """Points of the car (forward, left, up) in the world."""
    cy, sy = math.cos(pose.yaw), math.sin(pose.yaw)
    cp, sp = math.cos(pose.pitch), math.sin(pose.pitch)
    cr, sr = math.cos(pose.roll), math.sin(pose.roll)
    forward = np.array([cy * cp, sy * cp, sp])
    level = np.array([-sy, cy, 0.0])
    up = np.cross(forward, level)
    left = cr * level + sr * up
    axes = np.stack([forward, left, np.cross(forward, left)])
    world: NDArray[np.float64] = points @ axes + np.array([pose.x, pose.y, pose.z])
    return world
