"""The messages of every simulator, and their translation to `Telemetry` and `Control`.

A dialect is a class with both sides of the wire. The driver reads telemetry and writes commands such as
`Dialect.drive`; the simulator writes telemetry and reads commands. An event is a pair (name, JSON object).
Degrees, mph, numbers as text and cultures occur nowhere else.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, TypeAlias, TypeVar

import numpy as np

from udacity_gym.conditions import Conditions
from udacity_gym.errors import OptionError
from udacity_gym.protocol.images import EncodedImages
from udacity_gym.protocol.numbers import Culture, JsonNumber, read_number, write_number
from udacity_gym.telemetry import (
    CAMERAS,
    MPH,
    VEHICLE_ENTRIES,
    Capabilities,
    Control,
    Pose,
    Telemetry,
    TrackState,
)

Event: TypeAlias = tuple[str, Any]
"""Name and data; the data is JSON, or a `JsonText`."""

MAX_STEERING_ANGLE = 25.0
"""Degrees at the front wheels for a command of 1."""
PID_BIAS = math.radians(1.0)
"""What term 2's PID build adds to the steering command, for its students to find."""
LARGEST = 1e6
"""Numbers of a telemetry are smaller: metres, seconds, miles per hour, degrees."""
NEXT = 10.0
"""m ahead of the car for which the research build's "next_cte" holds."""
SECTOR = 100.0
"""m of the track in one of our sectors, as the research build's "sector" counts them."""
ANNOUNCEMENT = "udacity_gym"
"""Query parameter by which our simulator tells our server who it is."""


class JsonText(str):
    """Data of an event as JSON that is already written, where the way in which it is written matters."""

    __slots__ = ()


def write_event(event: Event) -> str:
    """Write an event as the JSON that Socket.IO sends: an array of name and data."""
    name, data = event
    text = data if isinstance(data, JsonText) else json.dumps(data, separators=(",", ":"))
    return f"[{json.dumps(name)},{text}]"


@dataclass(frozen=True, slots=True)
class Command:
    """A command as a simulator reads it.

    Attributes:
        control: the control that drives the car from now on; None changes nothing.
        reset: whether to put the car back to the start.
        options: options of that reset, see `Simulator.reset`.
        pause: stand still (True) or go on (False) in real time; None changes nothing.
        reply: event that answers the command, in place of a telemetry.
    """

    control: Control | None = None
    reset: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    pause: bool | None = None
    reply: Event | None = None


class Dialect(ABC):
    """The messages of one kind of simulator.

    Attributes:
        name: name of the dialect.
        capabilities: what a simulator of this kind can do.
        reset_options: names of the options that `reset` takes.
        tracks: tracks that `reset` can choose from.
        event: name of the event that carries telemetry.
    """

    name: ClassVar[str]
    capabilities: ClassVar[Capabilities]
    reset_options: ClassVar[tuple[str, ...]] = ()
    tracks: ClassVar[tuple[str, ...]] = ()
    event: ClassVar[str] = "telemetry"

    @abstractmethod
    def read_telemetry(self, data: Mapping[str, Any]) -> Telemetry:
        """Read telemetry.

        Args:
            data: the event's data, not empty.

        Returns:
            Telemetry at time 0: these dialects send no time.

        Raises:
            ValueError: A field is missing or malformed; the message names it.
        """

    def is_manual(self, data: Any) -> bool:
        """Whether a telemetry only means that a person drives at the simulator's keyboard."""
        return not data

    def drive(self, control: Control) -> Event:
        """Command to drive; the simulator answers with a telemetry."""
        return "steer", _steer(control)

    def proceed(self) -> Event:
        """Answer to the empty telemetry of a simulator that a person drives."""
        return "manual", {}

    def reset(self, options: Mapping[str, Any]) -> Sequence[Event]:
        """Commands that put the car back to the start; none if the dialect has no such command."""
        return ()

    def pause(self) -> Event | None:
        """Command to stand still, None if the dialect has none."""
        return None

    def resume(self) -> Event | None:
        """Command to go on after `pause`."""
        return None

    @abstractmethod
    def write_telemetry(self, telemetry: Telemetry, images: Mapping[str, str], culture: Culture) -> Event:
        """Write telemetry.

        Args:
            telemetry: the telemetry.
            images: encoded images by camera, those of `Capabilities.cameras` that there are.
            culture: how numbers are written.
        """

    def write_manual(self) -> Event:
        """Write the telemetry of a simulator that a person drives."""
        return self.event, None

    def read_command(self, event: str, data: Any, culture: Culture) -> Command | None:
        """Read a command.

        Returns:
            What to do before the next telemetry is sent; None if the event is no command and needs no answer.

        Raises:
            ValueError: The data is malformed.
        """
        if event == "steer":
            return Command(_control(data, culture))
        if event == "manual":
            return Command()
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

    def read_telemetry(self, data: Mapping[str, Any]) -> Telemetry:
        """Read telemetry, see `Dialect`."""
        throttle = _number(data, "throttle")
        return _telemetry(
            speed=_number(data, "speed") * MPH,
            steering=_number(data, "steering_angle") / MAX_STEERING_ANGLE,
            throttle=throttle,
            images=_images(data, {"center": "image"}),
        )

    def write_telemetry(self, telemetry: Telemetry, images: Mapping[str, str], culture: Culture) -> Event:
        """Write telemetry, see `Dialect`."""
        return self.event, {**_instruments(telemetry, culture), "image": images.get("center", "")}


class Term2(Term1):
    """Term 2's PID build: sends the cross-track error, and can be reset."""

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
        """Whether a person drives: the telemetry is empty, or only has "process" 0."""
        return not data or (isinstance(data, dict) and "cte" not in data and data.get("process") in ("0", 0))

    def drive(self, control: Control) -> Event:
        """Command to drive: here as JSON numbers, since these builds parse the value with its quotes."""
        return "steer", _numeric_steer(control)

    def read_telemetry(self, data: Mapping[str, Any]) -> Telemetry:
        """Read telemetry, see `Dialect`; ``extra["cte"]`` is in metres."""
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

    def write_telemetry(self, telemetry: Telemetry, images: Mapping[str, str], culture: Culture) -> Event:
        """Write telemetry, see `Dialect`."""
        cte = telemetry.track.cte if telemetry.track is not None else 0.0
        data = {**_instruments(telemetry, culture), "cte": culture.write(cte)}
        return self.event, {**data, "image": images.get("center", "")}

    def read_command(self, event: str, data: Any, culture: Culture) -> Command | None:
        """Read a command, see `Dialect`; this build adds a little steering to the right."""
        if event == "reset":
            return Command(reset=True)
        command = super().read_command(event, data, culture)
        if command is None or command.control is None:
            return command
        steering, throttle = command.control.steering, command.control.throttle
        return Command(Control(min(1.0, steering + PID_BIAS), throttle))


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
        return "steer", _numeric_steer(control, ',"next_x":[],"next_y":[],"mpc_x":[],"mpc_y":[]')

    def read_telemetry(self, data: Mapping[str, Any]) -> Telemetry:
        """Read telemetry, see `Dialect`.

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

    def write_telemetry(self, telemetry: Telemetry, images: Mapping[str, str], culture: Culture) -> Event:
        """Write telemetry; waypoints are taken from ``extra["waypoints"]``.

        This build writes numbers without quotes in its machine's culture. With commas that is no JSON.
        """
        pose = telemetry.pose or Pose(0.0, 0.0, 0.0, 0.0)
        waypoints = np.asarray(telemetry.extra.get("waypoints", np.empty((0, 2))), dtype=np.float64)
        numbers = {
            "psi_unity": (math.pi / 2 - pose.yaw) % math.tau,
            "psi": pose.yaw % math.tau,
            "x": pose.x,
            "y": pose.y,
            "steering_angle": math.radians(telemetry.steering * MAX_STEERING_ANGLE),
            "throttle": telemetry.throttle - telemetry.brake,
            "speed": abs(telemetry.speed) / MPH,
        }
        entries = [
            f'"{name}":[{",".join(map(culture.write_json, column))}]'
            for name, column in (("ptsx", waypoints[:, 0]), ("ptsy", waypoints[:, 1]))
        ]
        entries += [f'"{name}":{culture.write_json(number)}' for name, number in numbers.items()]
        return self.event, JsonText(f"{{{','.join(entries)}}}")


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

    def read_telemetry(self, data: Mapping[str, Any]) -> Telemetry:
        """Read telemetry, see `Dialect`.

        ``extra`` has "position" ((3,) float64, m east, north, up) and, where the build sends them, "cte" and
        "next_cte" (m), "lap" and "sector".
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
        own_names = {weather: own_name for own_name, weather in self.WEATHERS.items()}
        scene = {
            "weather": own_names.get(conditions.get("weather", "clear"), ""),
            "daytime": "day" if conditions.get("time_of_day", "day") == "day" else "daynight",
        }
        unsupported = set(conditions) - {"weather", "intensity", "time_of_day"}
        if not scene["weather"] or unsupported:
            raise OptionError(
                f"the connected simulator ({self.name}) knows the weathers {', '.join(own_names)} and day or "
                f"night as it has them, no more; asked for were {dict(conditions)}. Ours can: udacity-gym sim"
            )
        return scene

    def pause(self) -> Event | None:
        """Command to stand still."""
        return "pause_sim", {}

    def resume(self) -> Event | None:
        """Command to go on."""
        return "resume_sim", {}

    def write_telemetry(self, telemetry: Telemetry, images: Mapping[str, str], culture: Culture) -> Event:
        """Write telemetry, see `Dialect`.

        Our "next_cte" is the cross-track error that the car would have `NEXT` metres further on if it drove
        straight on; our "sector" counts pieces of the lap of `SECTOR` metres.
        """
        pose = telemetry.pose or Pose(0.0, 0.0, 0.0, 0.0)
        data = {
            "timestamp": culture.write(telemetry.time),
            **_instruments(telemetry, culture),
            "speed": culture.write(abs(telemetry.speed)),
            "image": images.get("center", ""),
            "semantic_segmentation": images.get("segmentation", ""),
            "pos_x": culture.write(pose.x),
            "pos_y": culture.write(pose.z),
            "pos_z": culture.write(pose.y),
        }
        if telemetry.track is not None:
            track = telemetry.track
            drift = NEXT * math.sin(track.heading_error) + 0.5 * NEXT**2 * track.curvature
            data |= {
                "cte": culture.write(track.cte),
                "next_cte": culture.write(track.cte + drift),
                "lap": str(track.lap + 1),
                "sector": str(int(track.s // SECTOR)),
            }
        return self.event, data

    def read_command(self, event: str, data: Any, culture: Culture) -> Command | None:
        """Read a command, see `Dialect`."""
        if event == "action":
            return Command(_control(data, culture))
        if event == "start_episode":
            return Command(reset=True, options=_reset_options(data))
        if event == "end_episode":
            return Command(reply=("episode_metrics", {}))
        if event == "pause_sim":
            return Command(pause=True, reply=("sim_paused", {}))
        if event == "resume_sim":
            return Command(pause=False, reply=("sim_resumed", {}))
        return None


class Twin(Dialect):
    """Our simulator to our server: lock-step, everything in SI units, exact.

    Commands are "step" and "reset"; each has a number, which the telemetry that answers it repeats. The
    telemetry is the field "twin"; it holds the state and the images that the command asked for.
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

    def read_telemetry(self, data: Mapping[str, Any]) -> Telemetry:
        """Read telemetry, exact to the last bit; the time is the simulator's."""
        state = data.get("twin")
        if not isinstance(state, dict):
            raise ValueError("'twin' is missing")
        images = _images(state, {camera: camera for camera in CAMERAS})
        name, conditions = state.get("track_name"), state.get("conditions", {})
        if not isinstance(name, str) or not isinstance(conditions, dict):
            raise ValueError("'twin' has no 'track_name' or no 'conditions'")
        try:
            time, speed, steering, throttle, brake = (_number(state, name) for name in VEHICLE_ENTRIES)
            return Telemetry(
                time=time,
                speed=speed,
                steering=steering,
                throttle=throttle,
                brake=brake,
                pose=_record(Pose, state["pose"]),
                track=_record(TrackState, state["track"]),
                conditions=Conditions(**conditions),
                cameras=tuple(images),
                draw=EncodedImages(images),
                extra={"track": name},
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"'twin' is not what this version expects: {error}") from None

    def write_telemetry(self, telemetry: Telemetry, images: Mapping[str, str], culture: Culture) -> Event:
        """Write telemetry for servers that are not ours, as Udacity's simulator does."""
        return Term1().write_telemetry(telemetry, images, culture)

    @staticmethod
    def state(telemetry: Telemetry, images: Mapping[str, str], track: str, number: int) -> Event:
        """Write the exact state, in answer to the command of that number."""
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
    """Find out which dialect a simulator uses.

    Args:
        query: parameters of the request with which it connected.
        event: name of an event that it sent.
        data: that event's data.

    Returns:
        The dialect; None if the event does not show it.
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


def _reset_options(data: Any) -> dict[str, Any]:
    """Read the reset options of a command to start an episode; what it leaves out stays at its default.

    "daynight" is a day that goes by; here every episode has a fixed time of that day.
    """
    names = data if isinstance(data, Mapping) else {}
    options: dict[str, Any] = {}
    if "track_name" in names:
        options["track"] = str(names["track_name"])
    if "weather_name" in names:
        weather = str(names["weather_name"])
        options["conditions"] = Research.WEATHERS.get(weather, weather)
    if names.get("daytime_name") == "daynight":
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
        draw=EncodedImages(images) if images else None,
        extra=dict(extra or {}),
    )


def _images(data: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, str]:
    """Get the encoded images that the data has, by camera; ``names`` are the fields' names by camera."""
    images = {camera: data[name] for camera, name in names.items() if data.get(name)}
    for camera, text in images.items():
        if not isinstance(text, str):
            raise ValueError(f"{names[camera]!r} is no text: {text!r:.60}")
    return images


def _number(data: Mapping[str, Any], name: str) -> float:
    if name not in data:
        raise ValueError(f"{name!r} is missing")
    try:
        number = read_number(data[name])
    except ValueError as error:
        raise ValueError(f"{name!r} is {error}") from None
    if abs(number) > LARGEST:
        raise ValueError(f"{name!r} is {number:g}, beyond all that a car can reach")
    return number


_Record = TypeVar("_Record", Pose, TrackState)


def _record(kind: type[_Record], data: Any) -> _Record:
    """Read a pose or a place on the track that our simulator wrote; exact to the last bit."""
    if not isinstance(data, dict):
        raise ValueError(f"{kind.__name__} is no JSON object: {data!r:.60}")
    values: dict[str, Any] = {}
    for item in fields(kind):
        if item.type == "bool":
            values[item.name] = bool(data[item.name])
        else:
            number = _number(data, item.name)
            values[item.name] = int(number) if item.type == "int" else number
    return kind(**values)


def _numbers(data: Mapping[str, Any], name: str) -> list[float]:
    values = data.get(name)
    if not isinstance(values, list):
        raise ValueError(f"{name!r} is no list")
    return [_number({name: value}, name) for value in values]


def _deviation(pose: Pose, waypoints: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float]:
    """Compare the car with a cubic through the waypoints, in the car's frame; {} if none can be fitted."""
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


def _instruments(telemetry: Telemetry, culture: Culture) -> dict[str, str]:
    """Write the three numbers that every build sends, in its order and units."""
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


def _numeric_steer(control: Control, more: str = "") -> JsonText:
    """Write a command as numbers; the simulator reads also those in its culture, where "0.1" may be 1."""
    steering, throttle = write_number(control.steering), write_number(control.throttle)
    return JsonText(f'{{"steering_angle":{steering},"throttle":{throttle}{more}}}')


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
        if isinstance(value, JsonNumber):
            value = value.text
        number = culture.read(value) if isinstance(value, str) else read_number(value)
        values.append(min(1.0, max(-1.0, number)))
    return Control(*values)
