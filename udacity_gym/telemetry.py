"""The types that all modules share: `Control` goes to the simulator, `Telemetry` comes back.

`Telemetry.as_info` makes the environment's `Info` of it, and `Telemetry.from_info` reads that again.

Units are SI and radians. The world is right-handed: x east, y north, z up, yaw counter-clockwise
from +x (Unity's left-handed x, y, z are our x, z, y). Steering, lateral offsets and heading errors
count **positive to the right**, as Udacity's steering does. On a straight,
``d(cte)/dt = speed * sin(heading_error)``; in a bend the nose of a car points outwards besides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias, TypedDict, cast

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from udacity_gym.conditions import Conditions
from udacity_gym.errors import OptionError

Image: TypeAlias = NDArray[np.uint8]
"""An image, (height, width, 3) uint8 RGB."""

CAMERAS = ("center", "left", "right")
"""The three cameras of Udacity's car, in the order of the columns of ``driving_log.csv``."""

VIEWS = ("chase", "cockpit")
"""The images for people: from behind and above the car, and through its windscreen."""

SENSORS = ("depth", "segmentation")
"""What a camera can tell besides its image, see `udacity_gym.sensors`; named "center_depth" and so on."""

CTRL_DT = 1 / 15
"""Default duration of a control step in s; Udacity's recordings have 15 rows a second."""
MPH = 0.44704
"""Metres per second in one mile per hour (exact)."""


class Info(TypedDict, total=False):
    """The environment's info: everything but images, in plain values that Gymnasium's wrappers can handle.

    Entries that the simulator does not tell are missing. There may be more than these: what the simulator
    tells besides, by the names that `udacity_gym.protocol.dialects` gives it, and what wrappers add.

    Attributes:
        time: s of simulated time since the episode began.
        speed: m/s, negative in reverse.
        steering: [-1, 1] steering command in force, positive turns right.
        throttle: [0, 1] throttle in force.
        brake: [0, 1] brake in force.
        s: m along the track, [0, track length).
        cte: m cross-track error, positive right of the reference line.
        heading_error: rad in [-pi, pi], positive if the car points to the right of the track.
        curvature: 1/m of the reference line at ``s``, positive bends left.
        progress: m driven along the track since the episode began, negative backwards.
        lap: completed laps since the episode began.
        offroad: the car's centre has left the road surface.
        off_lane: a wheel is over the edge line.
        pose: (4,) float64: x m east, y m north, z m up, yaw rad counter-clockwise from +x.
        track: name of the track of this episode.
        conditions: of this episode, as `Conditions.to_dict` gives them; the reset option "conditions" takes
            them again.
        ctrl_dt: s of one step of the environment.
        reward_terms: name of each reward term to its share of this step's reward.
        end_reason: why the episode ended, only in its last step: "off_road", "stuck", "max_laps",
            "max_seconds" or "simulator_gone".
        latency: timing over the wire in s, see `udacity_gym.simulators.remote.LatencyMeter`.
        manual: a person drives at the simulator's own keyboard.
    """

    time: float
    speed: float
    steering: float
    throttle: float
    brake: float
    s: float
    cte: float
    heading_error: float
    curvature: float
    progress: float
    lap: int
    offroad: bool
    off_lane: bool
    pose: NDArray[np.float64]
    track: str
    conditions: dict[str, float | str]
    ctrl_dt: float
    reward_terms: dict[str, float]
    end_reason: str
    latency: dict[str, float]
    manual: bool


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

    @classmethod
    def from_info(cls, info: Mapping[str, Any]) -> Self | None:
        """Read the pose in an environment's info, which has no pitch and roll; None if there is none."""
        pose = info.get("pose")
        return None if pose is None else cls(*(float(value) for value in pose))


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

    @classmethod
    def from_info(cls, info: Mapping[str, Any]) -> Self | None:
        """Read where the car is on its track in an environment's info; None if it has not all of that."""
        if any(name not in info for name in TRACK_ENTRIES):
            return None
        return cls(
            s=float(info["s"]),
            cte=float(info["cte"]),
            heading_error=float(info["heading_error"]),
            curvature=float(info["curvature"]),
            progress=float(info["progress"]),
            lap=int(info["lap"]),
            offroad=bool(info["offroad"]),
            off_lane=bool(info["off_lane"]),
        )


TRACK_ENTRIES = tuple(item.name for item in fields(TrackState))
"""Entries of `Info` that are those of `TrackState`."""
VEHICLE_ENTRIES = ("time", "speed", "steering", "throttle", "brake")
"""Entries of `Info` that every simulator tells."""


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What the simulator says after a control step.

    Attributes:
        time: s since the episode began (simulated time where the simulator is lock-step).
        speed: m/s, negative in reverse.
        steering: [-1, 1] steering command in force, positive turns right.
        throttle: [0, 1] throttle in force.
        brake: [0, 1] brake in force.
        pose: pose of the car, None where the simulator does not tell.
        track: position relative to the track, None where the simulator does not tell.
        conditions: weather, light and grip of the episode, None where the simulator does not tell.
        cameras: names of the cameras that have an image of this moment.
        sensors: what each camera tells besides: those of `SENSORS` that there are.
        draw: gives the images of the cameras named, and what their sensors tell, by name; None where
            there is no camera. Images are drawn or decoded only when asked for.
        extra: other values that the simulator reports, by its own names.
    """

    time: float
    speed: float
    steering: float
    throttle: float
    brake: float
    pose: Pose | None = None
    track: TrackState | None = None
    conditions: Conditions | None = None
    cameras: tuple[str, ...] = ()
    sensors: tuple[str, ...] = ()
    draw: Callable[[Sequence[str]], dict[str, NDArray[Any]]] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def as_info(self) -> Info:
        """The environment's info: all of it but images, pitch and roll, as a new dict of plain values."""
        info: dict[str, Any] = {name: getattr(self, name) for name in VEHICLE_ENTRIES}
        if self.track is not None:
            info |= {name: getattr(self.track, name) for name in TRACK_ENTRIES}
        if self.pose is not None:
            info["pose"] = np.array([self.pose.x, self.pose.y, self.pose.z, self.pose.yaw])
        info |= self.extra
        if self.conditions is not None:
            info["conditions"] = self.conditions.to_dict()
        return cast("Info", info)

    @classmethod
    def from_info(cls, info: Mapping[str, Any]) -> Self:
        """Read an environment's info again.

        Args:
            info: as `as_info` gives it. Entries that are no field here go to ``extra``, among them those of
                the environment and its wrappers, such as "reward_terms".

        Returns:
            Telemetry without images, whose pose has no pitch and roll.

        Raises:
            OptionError: The info has no time, speed, steering, throttle or brake.
        """
        missing = [name for name in VEHICLE_ENTRIES if name not in info]
        if missing:
            raise OptionError(
                f"this info has no {', '.join(missing)}; it must be the info of a UdacityEnv, got "
                f"{', '.join(map(str, info)) or 'an empty one'}"
            )
        track = TrackState.from_info(info)
        own = {*VEHICLE_ENTRIES, "pose", "conditions", *(TRACK_ENTRIES if track is not None else ())}
        return cls(
            time=float(info["time"]),
            speed=float(info["speed"]),
            steering=float(info["steering"]),
            throttle=float(info["throttle"]),
            brake=float(info["brake"]),
            pose=Pose.from_info(info),
            track=track,
            conditions=Conditions.from_dict(info["conditions"]) if "conditions" in info else None,
            extra={name: value for name, value in info.items() if name not in own},
        )

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
        names = self.cameras if cameras is None else tuple(cameras)
        available = {*self.cameras, *(f"{camera}_{name}" for camera in self.cameras for name in self.sensors)}
        unknown = [name for name in names if name not in available]
        if unknown:
            raise KeyError(f"no camera {', '.join(map(repr, unknown))}; this simulator has {self.cameras}")
        return {} if self.draw is None else self.draw(names)

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
