"""The cameras of Udacity's car, and the views for people.

Geometry from the simulator's own numbers and from measurements on its recordings: each camera
sits fixed in the car's body, the body rides nose-up in training mode and nearly level in
autonomous mode, and the car's pose moves both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from udacity_gym.errors import OptionError
from udacity_gym.telemetry import CAMERAS, Image, Pose
from udacity_gym.world.bonnet import bonnet_overlay
from udacity_gym.world.car_body import car_faces
from udacity_gym.world.renderer import Renderer
from udacity_gym.world.scenery import scene_of
from udacity_gym.world.track import Track

FIELD_OF_VIEW = math.radians(60.0)
"""rad, vertical; 138.56 px focal length at 160 rows."""
YAW = math.radians(0.723)
"""rad that every camera points to the right of the car's nose."""
ROLL = math.radians(1.20)
"""rad that every camera is rolled: the horizon falls to the right."""
MODES = ("training", "autonomous")
VIEWS = ("chase", "cockpit")


@dataclass(frozen=True)
class Mount:
    """Where a camera sits in the car.

    Attributes:
        right: m right of the car's root.
        forward: m in front of the car's root.
    """

    right: float
    forward: float


@dataclass(frozen=True)
class Ride:
    """How the car's body sits on its springs.

    Attributes:
        pitch: rad that the cameras look below the road plane.
        height: m of the cameras above the road.
    """

    pitch: float
    height: float


MOUNTS = {"center": Mount(0.0, 1.0), "left": Mount(-0.806, 0.984), "right": Mount(0.825, 0.999)}
RIDES = {
    "training": Ride(math.radians(7.69), 1.25),
    "autonomous": Ride(math.radians(9.2), 1.264),
}


def rotation(yaw: float, pitch: float, roll: float) -> NDArray[np.float64]:
    """Axes of a body: rows forward, right, up in world coordinates.

    Args:
        yaw: rad counter-clockwise from +x.
        pitch: rad nose up.
        roll: rad right side down.
    """
    cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    forward = np.array([cy * cp, sy * cp, sp])
    level = np.array([sy, -cy, 0.0])
    up = np.cross(level, forward)
    right = math.cos(roll) * level - math.sin(roll) * up
    return np.stack([forward, right, np.cross(right, forward)])


def camera_row(pose: Pose, camera: str, mode: str) -> NDArray[np.float32]:
    """Position and axes of one of the car's cameras.

    Args:
        pose: the car's pose.
        camera: "center", "left" or "right".
        mode: "training" or "autonomous": how the body rides.

    Returns:
        (12,) float32: position in m, unit vectors forward, right and up.

    Raises:
        OptionError: Unknown camera or mode.
    """
    if camera not in MOUNTS:
        raise OptionError(f"no camera {camera!r}; the car has {', '.join(MOUNTS)}")
    if mode not in RIDES:
        raise OptionError(f"no mode {mode!r}; choose one of {', '.join(RIDES)}")
    mount, ride = MOUNTS[camera], RIDES[mode]
    body = rotation(pose.yaw, pose.pitch, pose.roll)
    position = (
        np.array([pose.x, pose.y, pose.z])
        + mount.forward * body[0]
        + mount.right * body[1]
        + ride.height * body[2]
    )
    # Yaw, pitch and roll of the camera within the body.
    axes = rotation(-YAW, -ride.pitch, -ROLL)
    frame = np.stack([body[0], -body[1], body[2]])
    return np.concatenate([position, (axes @ frame).ravel()]).astype(np.float32)


class CameraRig:
    """Draws what the cameras of a car on a track see.

    Rigs of the same track share their scene. Not safe for use by two threads at once; make one
    per thread.

    Args:
        track: where the car is.
        width: columns of the cameras' pictures.
        height: rows of the cameras' pictures.

    Attributes:
        renderer: what draws the cameras' pictures; overlay k is the bonnet seen by ``CAMERAS[k]``.
    """

    def __init__(self, track: Track, width: int = 320, height: int = 160) -> None:
        self.width, self.height = width, height
        self._scene = scene_of(track)
        self.renderer = self._make_renderer(width, height)
        self._views: dict[tuple[int, int], Renderer] = {}

    def _make_renderer(self, width: int, height: int) -> Renderer:
        overlays = [bonnet_overlay(camera, width, height) for camera in CAMERAS]
        return Renderer(self._scene, width, height, FIELD_OF_VIEW, overlays)

    def draw(self, pose: Pose, camera: str = "center", mode: str = "autonomous") -> Image:
        """Draw the picture of one camera.

        Args:
            pose: the car's pose.
            camera: "center", "left" or "right".
            mode: "training" or "autonomous".

        Returns:
            (height, width, 3) uint8 RGB, a fresh array.

        Raises:
            OptionError: Unknown camera or mode.
        """
        return self.draw_all(pose, (camera,), mode)[camera]

    def draw_all(
        self, pose: Pose, cameras: Sequence[str] = CAMERAS, mode: str = "autonomous"
    ) -> dict[str, Image]:
        """Draw the pictures of several cameras in one go.

        Args:
            pose: the car's pose.
            cameras: names of cameras.
            mode: "training" or "autonomous".

        Returns:
            Camera name to (height, width, 3) uint8 RGB, fresh arrays.

        Raises:
            OptionError: Unknown camera or mode.
        """
        rows = np.stack([camera_row(pose, camera, mode) for camera in cameras])
        out = np.empty((len(rows), self.height, self.width, 3), np.uint8)
        self.renderer.render(rows, out, [CAMERAS.index(camera) for camera in cameras])
        return dict(zip(cameras, out, strict=True))

    def view(
        self, name: str, pose: Pose, width: int = 640, height: int = 360, steering: float = 0.0
    ) -> Image:
        """Draw a picture for people.

        Args:
            name: "chase" (from behind and above the car) or "cockpit" (the center camera).
            pose: the car's pose.
            width: columns of the picture.
            height: rows of the picture.
            steering: [-1, 1] share of full lock of the front wheels, positive turns right.

        Returns:
            (height, width, 3) uint8 RGB, a fresh array.

        Raises:
            OptionError: Unknown view.
        """
        if name not in VIEWS:
            raise OptionError(f"no view {name!r}; choose one of {', '.join(VIEWS)}")
        size = (width, height)
        if size not in self._views:
            self._views[size] = self._make_renderer(width, height)
        out = np.empty((1, height, width, 3), np.uint8)
        if name == "cockpit":
            self._views[size].render(camera_row(pose, "center", "autonomous")[None], out, [0])
        else:
            self._views[size].render(_chase_row(pose)[None], out, faces=car_faces(pose, steering))
        picture: Image = out[0]
        return picture


def _chase_row(pose: Pose) -> NDArray[np.float32]:
    body = rotation(pose.yaw, 0.0, 0.0)
    position = np.array([pose.x, pose.y, pose.z + 3.0]) - 7.0 * body[0]
    return np.concatenate([position, rotation(pose.yaw, math.radians(-12.0), 0.0).ravel()]).astype(np.float32)
