"""The vocabulary that every room of the house speaks: Control goes down, Telemetry comes up.

Units are SI and radians. The world is right-handed: x east, y north, z up, yaw counter-clockwise
from +x (Unity's left-handed x, y, z are our x, z, y). Steering, lateral offsets and heading errors
count **positive to the right**, as Udacity's steering does, so that
``d(cte)/dt = speed * sin(heading_error)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.uint8]
"""An image, (height, width, 3) uint8 RGB."""

CAMERAS = ("center", "left", "right")
"""The three cameras of Udacity's car, in the order of the columns of ``driving_log.csv``."""

VIEWS = ("chase", "cockpit")
"""The images for people: from behind and above the car, and through its windscreen."""

SENSORS = ("depth", "segmentation")
"""What a camera can tell besides its image, see `udacity_gym.sensors`; named "center_depth" and so on."""

MPH = 0.44704
"""Metres per second in one mile per hour (exact)."""


@dataclass(frozen=True, slots=True)
class Control:
    """What the driver does with the car.

    Attributes:
        steering: [-1, 1] share of full lock, positive turns right.
        throttle: [-1, 1] share of full throttle; negative brakes, and reverses below 5 mph.
    """

    steering: float = 0.0
    throttle: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("steering", self.steering), ("throttle", self.throttle)):
            if not math.isfinite(value) or not -1.0 <= value <= 1.0:
                raise ValueError(f"{name} must be a number in [-1, 1], got {value!r}")


@dataclass(frozen=True, slots=True)
class Pose:
    """Where the car's root stands in the world.

    Attributes:
        x: m east.
        y: m north.
        z: m up.
        yaw: rad counter-clockwise from +x.
        pitch: rad, positive nose up.
        roll: rad, positive right side down.
    """

    x: float
    y: float
    z: float
    yaw: float
    pitch: float = 0.0
    roll: float = 0.0


@dataclass(frozen=True, slots=True)
class TrackState:
    """Where the car is relative to the track's reference line.

    Attributes:
        s: m along the track, [0, track length).
        cte: m cross-track error, positive right of the reference line.
        heading_error: rad in [-pi, pi], positive if the car points to the right of the track.
        curvature: 1/m of the reference line at ``s``, positive bends **left** (counter-clockwise).
        progress: m driven along the track since the episode began, negative when driving backwards.
        lap: completed laps since the episode began.
        offroad: the car's centre has left the road surface.
        off_lane: a wheel is beyond the edge line (beyond its place where the line is interrupted).
    """

    s: float
    cte: float
    heading_error: float
    curvature: float
    progress: float
    lap: int
    offroad: bool
    off_lane: bool


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What the simulator says after a control step.

    Attributes:
        time: s since the episode began (simulated time where the simulator is lock-step).
        speed: m/s along the car's nose, negative in reverse.
        steering: [-1, 1] steering command in force, positive turns right.
        throttle: [0, 1] throttle in force.
        brake: [0, 1] brake in force.
        pose: pose of the car, None where the simulator does not tell.
        track: position relative to the track, None where the simulator does not tell.
        cameras: names of the cameras that have an image of this moment.
        sensors: what each camera tells besides: those of `SENSORS` that there are.
        draw: gives the images of the cameras named, and what their sensors tell, by name; None where
            there is no camera. Images are drawn or decoded only when asked for.
        extra: whatever else the simulator told, by its own names.
    """

    time: float
    speed: float
    steering: float
    throttle: float
    brake: float
    pose: Pose | None = None
    track: TrackState | None = None
    cameras: tuple[str, ...] = ()
    sensors: tuple[str, ...] = ()
    draw: Callable[[Sequence[str]], dict[str, NDArray[Any]]] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def images(self, cameras: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        """Draw or fetch the images of several cameras at once.

        Args:
            cameras: names of cameras, and of their sensors such as "center_depth"; None means the
                images of all cameras there are.

        Returns:
            Camera name to (height, width, 3) uint8 RGB, fresh arrays; a depth sensor's name to
            (height, width) float32 m along the optical axis, a segmentation's to (height, width) uint8,
            see `udacity_gym.sensors`.

        Raises:
            KeyError: The simulator has no such camera.
        """
        wanted = self.cameras if cameras is None else tuple(cameras)
        there = {*self.cameras, *(f"{camera}_{name}" for camera in self.cameras for name in self.sensors)}
        unknown = [name for name in wanted if name not in there]
        if unknown:
            raise KeyError(f"no camera {', '.join(map(repr, unknown))}; this simulator has {self.cameras}")
        return {} if self.draw is None else self.draw(wanted)

    def image(self, camera: str = "center") -> NDArray[Any]:
        """Draw or fetch the image of one camera.

        Args:
            camera: name of the camera, see `Capabilities.cameras`, or of one of its sensors.

        Returns:
            (height, width, 3) uint8 RGB, a fresh array; of a sensor what `images` says.

        Raises:
            KeyError: The simulator has no such camera.
        """
        return self.images((camera,))[camera]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a simulator can do.

    The environment refuses cameras that it has not; for what is missing in its telemetry, `UdacityEnv` says
    what stands in. A simulator whose car can't be reset or placed refuses that in ``reset`` itself.

    Attributes:
        cameras: names of the cameras it has.
        can_reset: ``reset`` puts the car back to a start pose.
        can_place: ``reset`` takes options for pose, position along the track and speed.
        has_pose: telemetry has a pose.
        has_track: telemetry has the position relative to the track.
        is_lockstep: nothing moves between two calls of ``step``.
        is_deterministic: same seed and controls give the same telemetry and images.
        sensors: what its cameras can tell besides their images.
    """

    cameras: tuple[str, ...]
    can_reset: bool
    can_place: bool
    has_pose: bool
    has_track: bool
    is_lockstep: bool
    is_deterministic: bool
    sensors: tuple[str, ...] = ()


def split_name(name: str) -> tuple[str, str | None]:
    """Camera and sensor of a name such as "center_depth"; of a camera's own name (camera, None)."""
    camera, _, sensor = name.rpartition("_")
    return (camera, sensor) if camera and sensor in SENSORS else (name, None)
