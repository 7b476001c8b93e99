"""The cameras of Udacity's car, and the views for people.

Geometry from the simulator's own numbers and from measurements on its recordings: each camera
sits fixed in the car's body, the body rides nose-up in training mode and nearly level in
autonomous mode, and the car's pose moves both.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from udacity_gym.conditions import Conditions
from udacity_gym.errors import OptionError
from udacity_gym.telemetry import CAMERAS, SENSORS, VIEWS, Image, Pose, split_name
from udacity_gym.world.jit import cached
from udacity_gym.world.rendering.bonnet import FIELD_OF_VIEW, bonnet_overlay
from udacity_gym.world.rendering.renderer import Look, Renderer
from udacity_gym.world.rendering.weather import UDACITY
from udacity_gym.world.scene.car_body import CarState, Sunlight, car_parts
from udacity_gym.world.scene.daylight import Daylight
from udacity_gym.world.scene.scenery import scene_of
from udacity_gym.world.track.track import Track

YAW = math.radians(0.723)
"""rad that every camera points to the right of the car's nose."""
ROLL = math.radians(1.20)
"""rad that every camera is rolled: the horizon falls to the right."""
CHASED, ABOVE, LOOKING_DOWN = 7.0, 3.0, math.radians(12.0)
"""m that the chase view is behind the car and above it; rad that it looks down."""
KINDS = {"depth": np.float32, "segmentation": np.uint8}
"""Types of the sensors' arrays."""
Planes: TypeAlias = "Mapping[str | None, NDArray[Any]]"
"""Arrays of images (None) and of what sensors tell (their names), see `CameraRig.planes`."""
AT_REST = CarState()
VIEW_OVERSAMPLING = 1.5
"""Rows and columns of the chase view drawn for each one of its image, which smooths all edges."""
KEPT_VIEWS = 2
"""Sizes of view whose renderers a rig keeps."""


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


@dataclass(frozen=True, slots=True)
class Shot:
    """What a car's cameras look at.

    Attributes:
        pose: the car's pose.
        mode: "training" or "autonomous": how the body rides.
        conditions: weather, light and the cameras' own.
        seed: of everything random in the images, such as their noise.
    """

    pose: Pose
    mode: str = "autonomous"
    conditions: Conditions = UDACITY
    seed: int = 0


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
    row: NDArray[np.float32] = camera_rows([(pose, mode)], (camera,))[0]
    return row


def camera_rows(cars: Sequence[tuple[Pose, str]], cameras: Sequence[str]) -> NDArray[np.float32]:
    """Position and axes of the cameras of several cars.

    Args:
        cars: pose of each, and how its body rides: "training" or "autonomous".
        cameras: names of the cameras.

    Returns:
        (cameras * cars, 12) float32, cars of the first camera first, see `camera_row`.

    Raises:
        OptionError: Unknown camera or mode.
    """
    for camera in cameras:
        if camera not in MOUNTS:
            raise OptionError(f"no camera {camera!r}; the car has {', '.join(MOUNTS)}")
    for _, mode in cars:
        if mode not in RIDES:
            raise OptionError(f"no mode {mode!r}; choose one of {', '.join(RIDES)}")
    rows = np.empty((len(cameras) * len(cars), 12), np.float32)
    if not len(rows):
        return rows
    poses = np.array([(pose.x, pose.y, pose.z, pose.yaw, pose.pitch, pose.roll) for pose, _ in cars])
    rides = np.array([(RIDES[mode].pitch, RIDES[mode].height) for _, mode in cars])
    mounts = np.array([(MOUNTS[camera].right, MOUNTS[camera].forward) for camera in cameras])
    _mount(poses, rides, mounts, rows)
    return rows


@cached
def _axes(yaw: float, pitch: float, roll: float) -> tuple[float, ...]:
    """`rotation` in compiled code: forward, right and up, one after the other."""
    cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    cr, sr = math.cos(roll), math.sin(roll)
    ux, uy, uz = -cy * sp, -sy * sp, cp  # up, before the roll
    rx, ry, rz = cr * sy - sr * ux, -cr * cy - sr * uy, -sr * uz
    return cy * cp, sy * cp, sp, rx, ry, rz, cr * ux + sr * sy, cr * uy - sr * cy, cr * uz


@cached
def _mount(
    poses: NDArray[np.float64],
    rides: NDArray[np.float64],
    mounts: NDArray[np.float64],
    rows: NDArray[np.float32],
) -> None:
    n = poses.shape[0]
    for i in range(n):
        body = _axes(poses[i, 3], poses[i, 4], poses[i, 5])
        # Forward, left and up of the camera within the body.
        inner = _axes(-YAW, -rides[i, 0], -ROLL)
        for k in range(mounts.shape[0]):
            row = rows[k * n + i]
            for c in range(3):
                forward, right, up = body[c], body[3 + c], body[6 + c]
                row[c] = poses[i, c] + mounts[k, 1] * forward + mounts[k, 0] * right + rides[i, 1] * up
                for axis in range(3):
                    row[3 + 3 * axis + c] = (
                        inner[3 * axis] * forward - inner[3 * axis + 1] * right + inner[3 * axis + 2] * up
                    )


class CameraRig:
    """Draws what the cameras of a car on a track see.

    Rigs of the same track share their scene. Not safe for use by two threads at once; make one
    per thread.

    Args:
        track: where the car is.
        width: columns of the cameras' images.
        height: rows of the cameras' images.
        field_of_view: rad, vertical field of view of the cameras.

    Attributes:
        renderer: what draws the cameras' images; overlay k is the bonnet seen by ``CAMERAS[k]``.
    """

    def __init__(
        self, track: Track, width: int = 320, height: int = 160, field_of_view: float = FIELD_OF_VIEW
    ) -> None:
        self.width, self.height = width, height
        self.field_of_view = field_of_view
        self._scene = scene_of(track)
        self._daylight = Daylight.of(track)
        self.renderer = self._make_renderer(width, height)
        self._views: dict[tuple[int, int, bool], Renderer] = {}
        self._views_lock = threading.Lock()  # videos draw views in a thread of their own

    def _make_renderer(self, width: int, height: int, for_views: bool = False) -> Renderer:
        scene = self._scene.for_views if for_views else self._scene
        overlays = [bonnet_overlay(camera, width, height, self.field_of_view) for camera in CAMERAS]
        return Renderer(scene, width, height, self.field_of_view, overlays)

    def draw(
        self,
        pose: Pose,
        camera: str = "center",
        mode: str = "autonomous",
        conditions: Conditions = UDACITY,
        seed: int = 0,
    ) -> Image:
        """Draw the image of one camera.

        Args:
            pose: the car's pose.
            camera: "center", "left" or "right", or a sensor of it, see `draw_all`.
            mode: "training" or "autonomous".
            conditions: weather, light and the camera's own.
            seed: of everything random in the image, such as its noise.

        Returns:
            (height, width, 3) uint8 RGB, a fresh array; of a sensor what `draw_all` says.

        Raises:
            OptionError: Unknown camera or mode.
        """
        return self.draw_all(pose, (camera,), mode, conditions, seed)[camera]

    def draw_all(
        self,
        pose: Pose,
        cameras: Sequence[str] = CAMERAS,
        mode: str = "autonomous",
        conditions: Conditions = UDACITY,
        seed: int = 0,
    ) -> dict[str, Image]:
        """Draw the images of several cameras in one go.

        Args:
            pose: the car's pose.
            cameras: names of cameras, and of their sensors: a camera's with "_depth" or "_segmentation" at
                the end.
            mode: "training" or "autonomous".
            conditions: weather, light and the cameras' own.
            seed: of everything random in the images, such as their noise.

        Returns:
            Name to a fresh array: of a camera (height, width, 3) uint8 RGB, of a depth sensor (height, width)
            float32 m along the optical axis, see `sensors.FAR`, of a segmentation (height, width) uint8,
            see `sensors.Label`.

        Raises:
            OptionError: Unknown camera or mode.
        """
        wanted = [split_name(name) for name in cameras]
        drawn = list(dict.fromkeys(camera for camera, _ in wanted))
        planes = self.planes(1, len(drawn), {sensor for _, sensor in wanted})
        self.shoot([Shot(pose, mode, conditions, seed)], drawn, planes)
        return {
            name: planes[sensor][drawn.index(camera), 0]
            for name, (camera, sensor) in zip(cameras, wanted, strict=True)
        }

    def planes(self, cars: int, cameras: int, sensors: Collection[str | None] = ()) -> Planes:
        """Make the arrays that `shoot` fills.

        Args:
            cars: how many.
            cameras: how many each of them has.
            sensors: "depth" and "segmentation" are looked for here, and anything else is not.

        Returns:
            None to (cameras, cars, height, width, 3) uint8 for the images; the name of a sensor to
            (cameras, cars, height, width) of its type.
        """
        shape = (cameras, cars, self.height, self.width)
        planes: dict[str | None, NDArray[Any]] = {None: np.zeros((*shape, 3), np.uint8)}
        return planes | {name: np.zeros(shape, KINDS[name]) for name in SENSORS if name in sensors}

    def shoot(self, shots: Sequence[Shot], cameras: Sequence[str], planes: Planes) -> None:
        """Draw what several cars see in one go.

        Args:
            shots: of each car.
            cameras: names of the cameras that are looked through.
            planes: as `planes` makes them; receive images and what sensors tell. They must be whole
                arrays, C-contiguous.

        Raises:
            OptionError: Unknown camera or mode.
        """
        rows = camera_rows([(shot.pose, shot.mode) for shot in shots], cameras)
        which = [CAMERAS.index(camera) for camera in cameras for _ in shots]
        looks = None
        if any(shot.conditions != UDACITY for shot in shots):
            looks = [
                Look(shot.conditions, 3 * shot.seed + CAMERAS.index(camera))
                for camera in cameras
                for shot in shots
            ]
        flat = {name: plane.reshape(-1, *plane.shape[2:]) for name, plane in planes.items()}
        self.renderer.render(
            rows, flat[None], which, None, looks, flat.get("depth"), flat.get("segmentation")
        )

    def view(
        self,
        name: str,
        pose: Pose,
        width: int = 640,
        height: int = 360,
        car: CarState = AT_REST,
        conditions: Conditions = UDACITY,
        seed: int = 0,
    ) -> Image:
        """Draw an image for people; may be called from several threads, also while the cameras draw.

        Args:
            name: "chase" (from behind and above the car) or "cockpit" (the center camera).
            pose: the car's pose.
            width: columns of the image.
            height: rows of the image.
            car: its wheels and lamps.
            conditions: weather and light; the cameras' own noise, exposure and JPEG are left out.
            seed: of drops and flakes.

        Returns:
            (height, width, 3) uint8 RGB, a fresh array.

        Raises:
            OptionError: Unknown view.
        """
        if name not in VIEWS:
            raise OptionError(f"no view {name!r}; choose one of {', '.join(VIEWS)}")
        is_chase = name == "chase"
        finer = VIEW_OVERSAMPLING if is_chase else 1  # the cockpit view is what the center camera sees
        size = (round(finer * width), round(finer * height))
        key = (*size, is_chase)
        out = np.empty((1, *size[::-1], 3), np.uint8)
        conditions = conditions.changed(noise=0.0, exposure=0.0, jpeg=None)
        with self._views_lock:
            renderer = self._views.pop(key, None) or self._make_renderer(*size, is_chase)
            self._views[key] = renderer
            if len(self._views) > KEPT_VIEWS:
                del self._views[next(iter(self._views))]
            if is_chase:
                row, light = _chase_row(pose), renderer.light(conditions)
                strength = float(np.mean(light.direct)) / max(1.0, float(np.mean(light.sky)))
                sunlight = Sunlight(
                    np.array(light.sun, np.float64), min(strength, 1.0), bool(light.headlights > 0.0)
                )
                parts = car_parts(pose, car, self._daylight, sunlight, row[:3])
                renderer.render(row[None], out, car=parts, looks=[Look(conditions, seed, CHASED + 2.2)])
            else:
                row = camera_row(pose, "center", "autonomous")
                renderer.render(row[None], out, [0], looks=[Look(conditions, seed)])
        image: Image = out[0]
        if finer > 1:
            image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        return image


def _chase_row(pose: Pose) -> NDArray[np.float32]:
    """The camera behind and above the car; it goes along with the slope of the road, not with its camber."""
    forward = rotation(pose.yaw, pose.pitch, 0.0)[0]
    position = np.array([pose.x, pose.y, pose.z + ABOVE]) - CHASED * forward
    axes = rotation(pose.yaw, pose.pitch - LOOKING_DOWN, 0.0)
    return np.concatenate([position, axes.ravel()]).astype(np.float32)
