"""What simulators say on the wire, and what they understand: message to vocabulary and back.

Each dialect is a class with both sides: `Dialect.read` and the commands are for who drives,
`Dialect.telemetry` and `Dialect.order` for who simulates. An event is a pair (name, JSON object).
Degrees, mph, strings and cultures end here.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, TypeAlias

import numpy as np

from udacity_gym.conditions import Conditions
from udacity_gym.errors import OptionError
from udacity_gym.protocol.images import decode_image
from udacity_gym.protocol.numbers import Culture, read_number, write_number
from udacity_gym.telemetry import CAMERAS, MPH, Capabilities, Control, Image, Pose, Telemetry, TrackState

Event: TypeAlias = tuple[str, Any]
"""Name and data."""

MAX_STEERING_ANGLE = 25.0
"""Degrees at the front wheels for a command of 1."""
PID_BIAS = math.radians(1.0)
"""What term 2's PID build adds to the steering command, for its students to find."""
ANNOUNCEMENT = "udacity_gym"
"""Query parameter by which our simulator tells our server who it is."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a simulator is told to do.

    Attributes:
        control: drive like this; None leaves it.
        resets: put the car back to the start.
        options: what to start with, as `Simulator.reset` takes it.
        pauses: stand still (True) or go on (False) in real time; None leaves it.
        says: what is answered instead of a telemetry.
    """

    control: Control | None = None
    resets: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    pauses: bool | None = None
    says: Event | None = None


class Dialect(ABC):
    """One simulator's way to talk.

    Attributes:
        name: its name.
        capabilities: what a simulator that talks like this can do.
        reset_options: names that `reset` takes.
        tracks: those that `reset` can choose from.
    """

    name: ClassVar[str]
    capabilities: ClassVar[Capabilities]
    reset_options: ClassVar[tuple[str, ...]] = ()
    tracks: ClassVar[tuple[str, ...]] = ()
    event: ClassVar[str] = "telemetry"

    @abstractmethod
    def read(self, data: Mapping[str, Any]) -> Telemetry:
        """Read what the simulator tells.

        Args:
            data: the event's data, not empty.

        Returns:
            Telemetry at time 0: these dialects tell no time.

        Raises:
            ValueError: A field is missing or malformed; the message names it.
        """

    def is_manual(self, data: Any) -> bool:
        """Whether a telemetry says nothing but that a person drives at the simulator's keyboard."""
        return not data

    def drive(self, control: Control) -> Event:
        """Command to drive; the simulator answers with a telemetry."""
        return "steer", _steer(control)

    def proceed(self) -> Event:
        """Answer to the empty telemetry of a simulator that a person drives."""
        return "manual", {}

    def reset(self, options: Mapping[str, Any]) -> Sequence[Event]:
        """Commands that put the car back to the start; none where the dialect has no such thing."""
        return ()

    def pause(self) -> Event | None:
        """Command to stand still, where the dialect has one."""
        return None

    def resume(self) -> Event | None:
        """Command to go on after `pause`."""
        return None

    @abstractmethod
    def telemetry(self, telemetry: Telemetry, image: str, culture: Culture) -> Event:
        """Say what the simulator tells.

        Args:
            telemetry: the present moment.
            image: the center camera's, as `encode_image` makes it.
            culture: how numbers are written.
        """

    def manual(self) -> Event:
        """Say that a person drives."""
        return self.event, None

    def order(self, event: str, data: Any, culture: Culture) -> Order | None:
        """Read a command.

        Returns:
            What to do before the next telemetry is sent; None if nothing is and no answer is due.
        """
        if event == "steer":
            return Order(_control(data, culture))
        if event == "manual":
            return Order()
        return None


class Term1(Dialect):
    """The behavioural-cloning simulator, 2016 builds and 2017 open source alike."""

    name = "term1"
    capabilities = Capabilities(
        cameras=("center",),
        can_reset=False,
        can_place=False,
        has_pose=False,
        has_track=False,
        is_lockstep=False,
        is_deterministic=False,
    )

    def read(self, data: Mapping[str, Any]) -> Telemetry:
        """Read what the simulator tells, see `Dialect`."""
        throttle = _number(data, "throttle")
        return _telemetry(
            speed=_number(data, "speed") * MPH,
            steering=_number(data, "steering_angle") / MAX_STEERING_ANGLE,
            throttle=throttle,
            images=_images(data, {"center": "image"}),
        )

    def telemetry(self, telemetry: Telemetry, image: str, culture: Culture) -> Event:
        """Say what the simulator tells, see `Dialect`."""
        return self.event, {**_instruments(telemetry, culture), "image": image}


class Term2(Term1):
    """Term 2's PID build: tells the cross-track error, and can be reset."""

    name = "term2"
    capabilities = Capabilities(
        cameras=("center",),
        can_reset=True,
        can_place=False,
        has_pose=False,
        has_track=False,
        is_lockstep=False,
        is_deterministic=False,
    )

    def is_manual(self, data: Any) -> bool:
        """Whether a person drives: nothing is told, or only that "process" is 0."""
        return not data or (isinstance(data, dict) and "cte" not in data and data.get("process") in ("0", 0))

    def drive(self, control: Control) -> Event:
        """Command to drive: here as JSON numbers, since these builds parse the value with its quotes."""
        return "steer", _numeric_steer(control)

    def read(self, data: Mapping[str, Any]) -> Telemetry:
        """Read what the simulator tells, see `Dialect`; ``extra["cte"]`` is in metres."""
        return _telemetry(
            speed=_number(data, "speed") * MPH,
            steering=_number(data, "steering_angle") / MAX_STEERING_ANGLE,
            throttle=_number(data, "throttle"),
            images=_images(data, {"center": "image"}),
            extra={"cte": _number(data, "cte")},
        )

    def reset(self, options: Mapping[str, Any]) -> Sequence[Event]:
        """Command that puts the car back to the start."""
        return (("reset", {}),)

    def telemetry(self, telemetry: Telemetry, image: str, culture: Culture) -> Event:
        """Say what the simulator tells, see `Dialect`."""
        cte = telemetry.track.cte if telemetry.track is not None else 0.0
        told = {**_instruments(telemetry, culture), "cte": culture.write(cte), "image": image}
        return self.event, told

    def order(self, event: str, data: Any, culture: Culture) -> Order | None:
        """Read a command, see `Dialect`; this build steers a little to the right of what it is told."""
        if event == "reset":
            return Order(resets=True)
        order = super().order(event, data, culture)
        if order is None or order.control is None:
            return order
        return Order(Control(min(1.0, order.control.steering + PID_BIAS), order.control.throttle))


class Mpc(Dialect):
    """Term 2's MPC build: waypoints and pose, no image."""

    name = "mpc"
    capabilities = Capabilities(
        cameras=(),
        can_reset=False,
        can_place=False,
        has_pose=True,
        has_track=False,
        is_lockstep=False,
        is_deterministic=False,
    )

    def drive(self, control: Control) -> Event:
        """Command to drive; the lines it could draw are empty, but must be there."""
        return "steer", {**_numeric_steer(control), "next_x": [], "next_y": [], "mpc_x": [], "mpc_y": []}

    def read(self, data: Mapping[str, Any]) -> Telemetry:
        """Read what the simulator tells, see `Dialect`.

        ``extra`` has "waypoints" ((n, 2) float64, m east and north) and, from a cubic through them as the
        course's solution has it, "cte" (m) and "heading_error" (rad).
        """
        east, north = (_numbers(data, name) for name in ("ptsx", "ptsy"))
        if len(east) != len(north):
            raise ValueError(f"'ptsx' has {len(east)} numbers, 'ptsy' {len(north)}")
        pose = Pose(_number(data, "x"), _number(data, "y"), 0.0, _number(data, "psi"))
        waypoints = np.array([east, north]).T
        return _telemetry(
            speed=_number(data, "speed") * MPH,
            steering=_number(data, "steering_angle") / math.radians(MAX_STEERING_ANGLE),
            throttle=_number(data, "throttle"),
            pose=pose,
            extra={"waypoints": waypoints, **_deviation(pose, waypoints)},
        )

    def telemetry(self, telemetry: Telemetry, image: str, culture: Culture) -> Event:
        """Say what the simulator tells; waypoints are taken from ``extra["waypoints"]``."""
        pose = telemetry.pose or Pose(0.0, 0.0, 0.0, 0.0)
        waypoints = np.asarray(telemetry.extra.get("waypoints", np.empty((0, 2))), dtype=np.float64)
        return self.event, {
            "ptsx": [_single(x) for x in waypoints[:, 0]],
            "ptsy": [_single(y) for y in waypoints[:, 1]],
            "psi_unity": _single((math.pi / 2 - pose.yaw) % math.tau),
            "psi": _single(pose.yaw % math.tau),
            "x": _single(pose.x),
            "y": _single(pose.y),
            "steering_angle": _single(math.radians(telemetry.steering * MAX_STEERING_ANGLE)),
            "throttle": _single(telemetry.throttle - telemetry.brake),
            "speed": _single(abs(telemetry.speed) / MPH),
        }


class Research(Dialect):
    """The research build ``udacity-gym``: tracks, weather, time of day, pause, segmentation."""

    name = "research"
    event = "car_telemetry"
    capabilities = Capabilities(
        cameras=("center", "segmentation"),
        can_reset=True,
        can_place=False,
        has_pose=False,
        has_track=False,
        is_lockstep=False,
        is_deterministic=False,
    )
    reset_options = ("track", "weather", "daytime", "conditions")
    tracks = ("lake", "jungle", "mountain")

    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "track": tracks,
        "weather": ("sunny", "rainy", "snowy", "foggy"),
        "daytime": ("day", "daynight"),
    }
    WEATHERS: ClassVar[Mapping[str, str]] = {
        "sunny": "clear",
        "rainy": "rain",
        "snowy": "snow",
        "foggy": "fog",
    }

    def read(self, data: Mapping[str, Any]) -> Telemetry:
        """Read what the simulator tells, see `Dialect`.

        ``extra`` has "position" ((3,) float64, m east, north, up) and, where told, "cte" and "next_cte"
        (m), "lap" and "sector".
        """
        x, up, y = (_number(data, name) for name in ("pos_x", "pos_y", "pos_z"))
        extra: dict[str, Any] = {"position": np.array([x, y, up])}
        extra |= {name: _number(data, name) for name in ("cte", "next_cte") if name in data}
        extra |= {name: int(_number(data, name)) for name in ("lap", "sector") if name in data}
        return _telemetry(
            speed=_number(data, "speed"),
            steering=_number(data, "steering_angle") / MAX_STEERING_ANGLE,
            throttle=_number(data, "throttle"),
            images=_images(data, {"center": "image", "segmentation": "semantic_segmentation"}),
            extra=extra,
        )

    def drive(self, control: Control) -> Event:
        """Command to drive."""
        return "action", _steer(control)

    def reset(self, options: Mapping[str, Any]) -> Sequence[Event]:
        """Commands that end the episode and start one.

        Args:
            options: "track", "weather" and "daytime" by the simulator's own names; instead of the latter two
                "conditions", the fields of `Conditions` that are not the default.

        Raises:
            OptionError: There is no such track, weather or time of day.
        """
        options = {**self._scene(options.get("conditions", {})), **options}
        chosen = {name: options.get(name, choices[0]) for name, choices in self.CHOICES.items()}
        for name, choice in chosen.items():
            if choice not in self.CHOICES[name]:
                raise OptionError(
                    f"reset option {name!r} must be one of {', '.join(map(repr, self.CHOICES[name]))}, "
                    f"got {choice!r}"
                )
        start = {f"{name}_name": choice for name, choice in chosen.items()}
        return ("end_episode", {}), ("start_episode", start)

    def _scene(self, conditions: Mapping[str, Any]) -> dict[str, str]:
        """Weather and time of day by the simulator's own names."""
        names = {ours: theirs for theirs, ours in self.WEATHERS.items()}
        scene = {
            "weather": names.get(conditions.get("weather", "clear"), ""),
            "daytime": "day" if conditions.get("time_of_day", "day") == "day" else "daynight",
        }
        beyond = set(conditions) - {"weather", "intensity", "time_of_day"}
        if not scene["weather"] or beyond:
            raise OptionError(
                f"the connected simulator ({self.name}) knows the weathers {', '.join(names)} and day or "
                f"night as it has them, no more; asked for were {dict(conditions)}. Ours can: udacity-gym sim"
            )
        return scene

    def pause(self) -> Event | None:
        """Command to stand still."""
        return "pause_sim", {}

    def resume(self) -> Event | None:
        """Command to go on."""
        return "resume_sim", {}

    def telemetry(self, telemetry: Telemetry, image: str, culture: Culture) -> Event:
        """Say what the simulator tells, see `Dialect`."""
        pose = telemetry.pose or Pose(0.0, 0.0, 0.0, 0.0)
        told = {
            "timestamp": culture.write(telemetry.time),
            **_instruments(telemetry, culture),
            "speed": culture.write(abs(telemetry.speed)),
            "image": image,
            "pos_x": culture.write(pose.x),
            "pos_y": culture.write(pose.z),
            "pos_z": culture.write(pose.y),
        }
        if telemetry.track is not None:
            told |= {"cte": culture.write(telemetry.track.cte), "lap": str(telemetry.track.lap + 1)}
        return self.event, told

    def order(self, event: str, data: Any, culture: Culture) -> Order | None:
        """Read a command, see `Dialect`."""
        if event == "action":
            return Order(_control(data, culture))
        if event == "start_episode":
            return Order(resets=True, options=_episode(data))
        if event == "end_episode":
            return Order(says=("episode_metrics", {}))
        if event == "pause_sim":
            return Order(pauses=True, says=("sim_paused", {}))
        if event == "resume_sim":
            return Order(pauses=False, says=("sim_resumed", {}))
        return None


class Twin(Dialect):
    """Our simulator to our server: lock-step, everything in SI units, exact.

    Commands are "step" and "reset"; each carries a number, and the telemetry that answers repeats it.
    The telemetry has the images that the command asked for, and beside them only "twin".
    """

    name = "twin"
    capabilities = Capabilities(
        cameras=CAMERAS,
        can_reset=True,
        can_place=True,
        has_pose=True,
        has_track=True,
        is_lockstep=True,
        is_deterministic=True,
    )

    def read(self, data: Mapping[str, Any]) -> Telemetry:
        """Read what the simulator tells, exactly as it was there; the time is the simulator's."""
        told = data.get("twin")
        if not isinstance(told, dict):
            raise ValueError("'twin' is missing")
        try:
            images = _images(told, {camera: camera for camera in CAMERAS})
            return Telemetry(
                time=told["time"],
                speed=told["speed"],
                steering=told["steering"],
                throttle=told["throttle"],
                brake=told["brake"],
                pose=Pose(**told["pose"]),
                track=TrackState(**told["track"]),
                conditions=Conditions(**told.get("conditions", {})),
                cameras=tuple(images),
                draw=_Images(images),
                extra={"track": told["track_name"]},
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"'twin' is not what this version expects: {error}") from None

    def telemetry(self, telemetry: Telemetry, image: str, culture: Culture) -> Event:
        """Say what an unknown server may see, which is what Udacity's simulator says."""
        return Term1().telemetry(telemetry, image, culture)

    @staticmethod
    def state(telemetry: Telemetry, images: Mapping[str, str], track: str, number: int) -> Event:
        """Say everything, in answer to the command of that number."""
        assert telemetry.pose is not None
        assert telemetry.track is not None
        return Twin.event, {
            "twin": {
                "number": number,
                "track_name": telemetry.extra.get("track", track),
                "time": telemetry.time,
                "speed": telemetry.speed,
                "steering": telemetry.steering,
                "throttle": telemetry.throttle,
                "brake": telemetry.brake,
                "pose": asdict(telemetry.pose),
                "track": asdict(telemetry.track),
                "conditions": (telemetry.conditions or Conditions()).changes(),
                **images,
            }
        }


DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect for dialect in (Term1(), Term2(), Mpc(), Research(), Twin())
}
"""Dialects by name."""


def detect(query: Mapping[str, str], event: str, data: Any) -> Dialect | None:
    """Which dialect a simulator speaks.

    Args:
        query: of the request with which it connected.
        event: name of an event that it sent.
        data: that event's data.

    Returns:
        The dialect; None if the event does not tell.
    """
    if ANNOUNCEMENT in query:
        return DIALECTS["twin"]
    if not isinstance(data, dict) or not data:
        return None
    if event == Research.event:
        return DIALECTS["research"]
    if event != "telemetry":
        return None
    if "ptsx" in data:
        return DIALECTS["mpc"]
    if data.keys() == {"process"}:  # term 2's builds, while a person drives
        return DIALECTS["term2"]
    return DIALECTS["term2" if "cte" in data else "term1"]


class _Images:
    """Decodes images when they are asked for."""

    def __init__(self, encoded: Mapping[str, str]) -> None:
        self._encoded = encoded

    def __call__(self, cameras: Sequence[str]) -> dict[str, Image]:
        return {camera: decode_image(self._encoded[camera]) for camera in cameras}


def _episode(data: Any) -> dict[str, Any]:
    """Reset options of an order to start an episode; what it does not say stays as it is.

    "daynight" is a day that goes by; here every episode has its own time of it.
    """
    told = data if isinstance(data, Mapping) else {}
    options: dict[str, Any] = {}
    if "track_name" in told:
        options["track"] = str(told["track_name"])
    if "weather_name" in told:
        weather = str(told["weather_name"])
        options["conditions"] = Research.WEATHERS.get(weather, weather)
    if told.get("daytime_name") == "daynight":
        options["sun_elevation"] = (math.radians(-20.0), math.radians(70.0))
    return options


def _telemetry(
    *,
    speed: float,
    steering: float,
    throttle: float,
    images: Mapping[str, str] | None = None,
    pose: Pose | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Telemetry:
    return Telemetry(
        time=0.0,
        speed=speed,
        steering=min(1.0, max(-1.0, steering)),
        throttle=min(1.0, max(0.0, throttle)),
        brake=min(1.0, max(0.0, -throttle)),
        pose=pose,
        cameras=tuple(images or ()),
        draw=_Images(images) if images else None,
        extra=dict(extra or {}),
    )


def _images(data: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, str]:
    """The images there are, by camera."""
    found = {camera: data[name] for camera, name in names.items() if data.get(name)}
    for camera, text in found.items():
        if not isinstance(text, str):
            raise ValueError(f"{names[camera]!r} is no text: {text!r:.60}")
    return found


def _number(data: Mapping[str, Any], name: str) -> float:
    if name not in data:
        raise ValueError(f"{name!r} is missing")
    try:
        return read_number(data[name])
    except ValueError as error:
        raise ValueError(f"{name!r} is {error}") from None


def _numbers(data: Mapping[str, Any], name: str) -> list[float]:
    values = data.get(name)
    if not isinstance(values, list):
        raise ValueError(f"{name!r} is no list")
    return [_number({name: value}, name) for value in values]


def _deviation(pose: Pose, waypoints: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float]:
    if len(waypoints) < 4:
        return {}
    east, north = (waypoints - [pose.x, pose.y]).T
    ahead = math.cos(pose.yaw) * east + math.sin(pose.yaw) * north
    left = math.cos(pose.yaw) * north - math.sin(pose.yaw) * east
    try:
        cubic = np.polynomial.Polynomial.fit(ahead, left, 3)
    except (np.linalg.LinAlgError, ValueError):
        return {}
    slope = math.atan(float(cubic.deriv()(0.0)))
    return {"cte": float(cubic(0.0)) * math.cos(slope), "heading_error": slope}


def _single(value: float) -> float:
    """As Unity writes a number: single precision, seven digits."""
    return float(f"{value:.7g}")


def _instruments(telemetry: Telemetry, culture: Culture) -> dict[str, str]:
    """The three numbers that every build tells, in its order and units."""
    return {
        "steering_angle": culture.write(telemetry.steering * MAX_STEERING_ANGLE),
        "throttle": culture.write(telemetry.throttle),
        "speed": culture.write(abs(telemetry.speed) / MPH),
    }


def _steer(control: Control) -> dict[str, str]:
    return {
        "steering_angle": write_number(control.steering),
        "throttle": write_number(control.throttle),
    }


def _numeric_steer(control: Control) -> dict[str, float]:
    return {"steering_angle": round(control.steering, 6), "throttle": round(control.throttle, 6)}


def _control(data: Any, culture: Culture) -> Control:
    """Read a command as the simulator does: strictly in its culture, then clamped.

    Raises:
        ValueError: The data has no such numbers.
    """
    if not isinstance(data, dict):
        raise ValueError(f"a command's data must be a JSON object, got {data!r:.60}")
    values = []
    for name in ("steering_angle", "throttle"):
        value = data.get(name)
        number = culture.read(value) if isinstance(value, str) else read_number(value)
        values.append(min(1.0, max(-1.0, number)))
    return Control(*values)
