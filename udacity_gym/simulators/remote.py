"""A simulator that connects over Socket.IO: Udacity's builds, or ours in another process."""

from __future__ import annotations

import atexit
import functools
import math
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np

from udacity_gym.conditions import (
    Conditions,
    ConditionsLike,
    Randomization,
    plain_conditions,
    read_conditions,
)
from udacity_gym.errors import (
    OptionError,
    ResetNotSupportedError,
    SimulatorError,
    SimulatorGoneError,
    SimulatorTimeoutError,
)
from udacity_gym.protocol.server import PORT, SimulatorServer
from udacity_gym.simulators.base import Simulator
from udacity_gym.telemetry import CAMERAS, MPH, Capabilities, Control, Image, Telemetry
from udacity_gym.world.track.track import Track

OnReset = Literal["error", "brake", "restart"]
"""What `reset` does where the simulator has no reset: refuse, brake to a standstill, restart the program."""

BRAKING_ABOVE = 5 * MPH
"""m/s; below, a negative throttle no longer brakes but reverses."""
STANDING = 0.1
"""m/s below which the car counts as standing."""
_SCENE_LOADS = 10.0
"""s within which a simulator that was told to reset tells something."""

BEFORE_CONNECTING = Capabilities(
    cameras=(*CAMERAS, "segmentation"),
    can_reset=True,
    can_place=True,
    has_pose=True,
    has_track=True,
    is_lockstep=True,
    is_deterministic=False,
)
"""What a simulator that is still to come may be able to do; `reset` says what it really can't."""


class Launcher(Protocol):
    """Starts and stops a simulator's program, see `udacity_gym.simulators.unity`."""

    def start(self, port: int) -> None:
        """Start the program unless it runs."""

    def check(self) -> None:
        """Raise `SimulatorError` if the program has ended."""

    def stop(self) -> None:
        """End what `start` started."""


@dataclass(frozen=True, slots=True)
class RemoteOptions:
    """How to deal with a simulator that connects.

    Attributes:
        on_reset: where the simulator has no reset: "error" refuses with `ResetNotSupportedError`, "brake"
            brings the car to a standstill and goes on from there, "restart" restarts the program that we
            started. None is "restart" if we started it, else "error".
        dialect: name of the simulator's dialect; None finds out.
        connect_timeout: s to wait for a simulator.
        silence_timeout: s without telemetry after which it counts as stuck.
        idle_timeout: s without a `step` after which the car is braked, so that no stale command drives it.
        stuck_after: s of standing still under throttle after which the car counts as stuck.
    """

    on_reset: OnReset | None = None
    dialect: str | None = None
    connect_timeout: float = 60.0
    silence_timeout: float = 5.0
    idle_timeout: float = 1.0
    stuck_after: float = 5.0

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> RemoteOptions:
        """Make it from a mapping.

        Raises:
            OptionError: A name is unknown or a value out of range.
        """
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise OptionError(
                f"unknown simulator option {', '.join(map(repr, unknown))}; known are {', '.join(known)}"
            )
        made = cls(**options)
        if made.on_reset is not None and made.on_reset not in get_args(OnReset):
            raise OptionError(
                f"simulator option 'on_reset' must be one of {get_args(OnReset)}, got {made.on_reset!r}"
            )
        for name in ("connect_timeout", "silence_timeout", "idle_timeout", "stuck_after"):
            value = getattr(made, name)
            if not (isinstance(value, (int, float)) and value > 0):
                raise OptionError(f"simulator option {name!r} must be a positive number of s, got {value!r}")
        return made


class RemoteSimulator(Simulator):
    """Listens for a simulator, and drives it.

    Our own simulator is driven in lock-step: one command, one answer, nothing moves in between. Udacity's
    run in real time: `step` sends the command, lets ``ctrl_dt`` pass and then asks for the image with
    the same command, so that what it returns was caused by the action.

    What a simulator does not tell is missing in the telemetry; what it tells beyond the vocabulary is in
    ``extra``. This class adds to ``extra``

    - "latency": see `LatencyMeter`;
    - "manual": True while a person drives at the simulator's keyboard; the episode then stands still, and
      telemetry and images are those from before;
    - "stuck": True if the car has stood under throttle for `RemoteOptions.stuck_after` seconds;
    - "offroad": True if it is stuck, or further from the middle ("cte", where told) than the road reaches;
    - "end_reason": "simulator_gone" if the simulator closed or crashed; the next `reset` waits for it.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = PORT,
        ctrl_dt: float = 1 / 15,
        *,
        track: str | Path | Track = "lake",
        mode: str = "autonomous",
        cameras: Sequence[str] = ("center",),
        options: RemoteOptions | None = None,
        launcher: Launcher | None = None,
        conditions: ConditionsLike = None,
    ) -> None:
        """Start to listen; `reset` waits for the simulator.

        Args:
            host: address to listen on. Anything but loopback lets others connect.
            port: port to listen on; Udacity's builds know only 4567.
            ctrl_dt: s of one control step.
            track: track that our own simulator must be driving on; Udacity's don't tell.
            mode: "autonomous" or "training", for our own simulator.
            cameras: the images that are wanted with every step.
            options: the rest.
            launcher: starts the simulator's program; None waits for one that somebody else starts.
            conditions: what it is like, as for `EmbeddedSimulator`; our own simulator knows all of it, the
                research build weather and time of day, others nothing.

        Raises:
            OptionError: There are no such conditions.
            SimulatorError: The port is taken.
        """
        self.ctrl_dt = ctrl_dt
        self.options = options or RemoteOptions()
        road = Track.load(track)
        self._track, self._track_name, self._half_width = road.source, road.name, road.half_width
        self._direction = road.direction
        self._mode, self._cameras = mode, tuple(cameras)
        self._conditions = read_conditions(conditions)
        self.server = SimulatorServer(host, port, self.options.dialect)
        self._launcher = launcher
        self._turn = threading.RLock()
        self._closing = threading.Event()
        self._watchdog: threading.Thread | None = None
        self._client: str | None = None
        self._driven: str | None = None
        self._silent = False
        self._number = 0
        self._last: Telemetry | None = None
        self._over = True
        self._begin = self._moved = self._active = 0.0
        self._paused = False
        self._at_rest = True
        self._latency = LatencyMeter(ctrl_dt)
        # A program that ends without close() must not leave a car that drives on.
        self._at_exit = functools.partial(_close, weakref.ref(self))
        atexit.register(self._at_exit)

    @property
    def capabilities(self) -> Capabilities:
        """What the simulator can do; before one has connected, what it may be able to do."""
        dialect = self.server.dialect
        return BEFORE_CONNECTING if dialect is None else dialect.capabilities

    def reset(self, seed: int | None = None, options: Mapping[str, Any] | None = None) -> Telemetry:
        """Start an episode, as far as the simulator can.

        A simulator that has just connected is taken as it is. Later on, one that knows a reset is reset;
        with one that doesn't, `RemoteOptions.on_reset` is done.

        Args:
            seed: for our own simulator.
            options: for our own simulator those of `EmbeddedSimulator.reset`; for the research build
                "track", "weather" and "daytime" by its own names, or "conditions"; for others none.

        Returns:
            Telemetry at time 0.

        Raises:
            OptionError: The simulator does not know an option.
            ResetNotSupportedError: It can't be reset, and nothing was chosen instead.
            SimulatorTimeoutError: Nobody connected, or nothing was told.
            SimulatorError: It lacks what was asked for.
        """
        episode = dict(options or {})
        asked = "conditions" in episode
        conditions = read_conditions(episode.pop("conditions", self._conditions))
        with self._turn:
            self._connect()
            lockstep = self.capabilities.is_lockstep
            # Our own simulator may have been started with others, which the default has to replace if asked.
            if conditions != Conditions() or (asked and lockstep):
                episode["conditions"] = conditions
            telemetry = (
                self._reset_lockstep(seed, episode) if lockstep else self._reset_real_time(seed, episode)
            )
            self._check_cameras(telemetry)
            self._driven = self._client
            self._latency = LatencyMeter(self.ctrl_dt)
            self._begin = self._moved = self._active = time.monotonic()
            self._at_rest = False
            self._last, self._over = replace(telemetry, time=0.0), False
            if not lockstep and self._watchdog is None:
                self._watchdog = threading.Thread(target=self._watch, daemon=True)
                self._watchdog.start()
            return self._last

    def step(self, control: Control) -> Telemetry:
        """Drive for ``ctrl_dt`` seconds.

        Returns:
            Telemetry caused by the control; with ``extra["end_reason"]`` if the simulator has gone.

        Raises:
            SimulatorTimeoutError: The simulator is silent; the message says what was seen.
            SimulatorError: It was never reset, or is gone since an earlier step.
        """
        before = self._last
        if before is None or self._over:
            raise SimulatorError(
                "no episode has begun, or the simulator has gone: call reset() before step()"
            )
        with self._turn:
            try:
                if self.server.client != self._client:
                    raise SimulatorGoneError("the simulator disconnected")
                if self.capabilities.is_lockstep:
                    after = self._step_lockstep(control)
                else:
                    after = self._step_real_time(control, before)
            except SimulatorGoneError:
                self._over = True
                return replace(before, extra={**before.extra, "end_reason": "simulator_gone"})
            except SimulatorTimeoutError:
                self._silent = True
                self._over = True
                raise
            finally:
                self._active = time.monotonic()
            self._last = after
            return after

    def view(self, name: str, width: int, height: int) -> Image:
        """Show what the car's center camera sees: other views there are none over the wire.

        Args:
            name: any.
            width: pixels.
            height: pixels.

        Returns:
            (height, width, 3) uint8 RGB.

        Raises:
            SimulatorError: There is no image.
        """
        telemetry = self._last
        if telemetry is None or not telemetry.cameras:
            raise SimulatorError(f"no image for the {name!r} view: the simulator has sent none")
        import cv2

        image = telemetry.image(telemetry.cameras[0])
        return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)

    def close(self) -> None:
        """Let the car roll out, hang up, end what we started. Never waits for the simulator."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._over = True
        atexit.unregister(self._at_exit)
        dialect = self.server.dialect
        if self._driven is not None and dialect is not None and not dialect.capabilities.is_lockstep:
            with suppress(SimulatorError):
                self.server.exchange(dialect.drive(Control()), 0.2, patience=0.2)
        self.server.close()
        if self._watchdog is not None:
            self._watchdog.join(5.0)
        if self._launcher is not None:
            self._launcher.stop()

    def _connect(self) -> None:
        if self._closing.is_set():
            raise SimulatorError("this simulator was closed; make a new environment")
        check = None
        if self._launcher is not None:
            self._launcher.start(self.server.port)
            check = self._launcher.check
        if self._silent:  # a loop that died stays dead; a new connection has a new one
            self.server.hang_up()
            self._silent = False
        self.server.connect(self.options.connect_timeout, check)
        self._client = self.server.client

    def _reset_lockstep(self, seed: int | None, options: dict[str, Any]) -> Telemetry:
        request = {
            "seed": seed,
            "options": _plain({"direction": self._direction, **options}),
            "ctrl_dt": self.ctrl_dt,
            "mode": self._mode,
            "cameras": self._cameras,
        }
        # The first one may have to compile the renderer.
        telemetry = self._command("reset", request, self.options.connect_timeout)
        there = telemetry.extra["track"]
        if there != self._track_name and "track" not in options:
            raise SimulatorError(
                f"the simulator drives on track {there!r}, this environment is for {self._track!r}: start it "
                f"with udacity-gym sim --track {self._track}, or make the environment with track={there!r}"
            )
        return telemetry

    def _step_lockstep(self, control: Control) -> Telemetry:
        begin = time.monotonic()
        request = {"steering": control.steering, "throttle": control.throttle, "cameras": self._cameras}
        telemetry = self._command("step", request, self.options.silence_timeout)
        told = self._latency.measure(begin, begin, time.monotonic())
        return replace(telemetry, extra={**telemetry.extra, "latency": told})

    def _command(self, name: str, request: dict[str, Any], timeout: float) -> Telemetry:
        self._number += 1
        event = (name, {"number": self._number, **request})
        telemetry = self.server.exchange(event, timeout, number=self._number)
        assert telemetry is not None
        return telemetry

    def _reset_real_time(self, seed: int | None, options: dict[str, Any]) -> Telemetry:
        dialect = self.server.dialect
        assert dialect is not None
        conditions = options.get("conditions")
        if isinstance(conditions, Randomization):
            conditions = conditions.draw(np.random.default_rng(seed))
        if conditions is not None:
            options["conditions"] = conditions.changes()
        unknown = sorted(set(options) - set(dialect.reset_options))
        if unknown:
            knows = ", ".join(dialect.reset_options) or "none"
            raise OptionError(
                f"reset option {', '.join(map(repr, unknown))}: the connected simulator ({dialect.name}) "
                f"can't do that (it knows {knows}); ours can: udacity-gym sim"
            )
        if self._track_name in dialect.tracks:
            options.setdefault("track", self._track_name)
        self._resume()
        begun = self._driven == self._client
        if dialect.capabilities.can_reset and (begun or dialect.reset_options):
            *before, last = dialect.reset(options)
            for event in before:
                self.server.send(event)
            self.server.exchange(last, _SCENE_LOADS, patience=_SCENE_LOADS if dialect.reset_options else 1.0)
        elif begun:
            self._reset_without_reset()
        return self._ask(Control())

    def _reset_without_reset(self) -> None:
        how = self.options.on_reset or ("error" if self._launcher is None else "restart")
        if how == "brake":
            end = time.monotonic() + 60.0
            while not self._brake():
                if time.monotonic() > end:
                    raise SimulatorTimeoutError("the car did not come to a standstill within 60 s of braking")
                self._closing.wait(0.05)
            return
        if how == "restart" and self._launcher is not None:
            self._launcher.stop()
            self._launcher.start(self.server.port)
            gone = self._client
            self.server.connect(self.options.connect_timeout, self._launcher.check)
            if self.server.client == gone:
                raise SimulatorError("the simulator was restarted, but its old connection is still open")
            self._client = self.server.client
            return
        raise ResetNotSupportedError(
            "this simulator has no reset: it can't put the car back to the start. Choose what to do instead: "
            'gym.make(..., simulator_options={"on_reset": "brake"}) brakes to a standstill and goes on from '
            'there; gym.make(..., simulator="<path of the simulator\'s program>") restarts it for every '
            "episode; or drive our simulator, which has a real reset: udacity-gym sim"
        )

    def _ask(self, control: Control) -> Telemetry:
        """Exchange one command, however long a person drives meanwhile (within reason)."""
        dialect = self.server.dialect
        if dialect is None:
            raise SimulatorGoneError(f"the simulator at {self.server.address} disconnected")
        end = time.monotonic() + self.options.connect_timeout
        while True:
            if self.server.wait_for_person(max(0.0, end - time.monotonic())):
                telemetry = self.server.exchange(dialect.drive(control), self.options.silence_timeout)
                if telemetry is not None:
                    return telemetry
            if time.monotonic() >= end:
                raise SimulatorTimeoutError(
                    "a person drives at the simulator's keyboard: let go of W and S in its window"
                )

    def _step_real_time(self, control: Control, before: Telemetry) -> Telemetry:
        begin = time.monotonic()
        dialect = self.server.dialect
        if dialect is None:
            raise SimulatorGoneError("the simulator disconnected")
        self._resume()
        if not self.server.wait_for_person(self.ctrl_dt):
            return self._stand_still(before, begin)
        command, silence = dialect.drive(control), self.options.silence_timeout
        telemetry, asked = self.server.exchange(command, silence), begin
        remaining = begin + self.ctrl_dt - time.monotonic()
        if telemetry is not None and remaining > 0:
            time.sleep(remaining)
            asked = time.monotonic()
            telemetry = self.server.exchange(command, silence)
        if telemetry is None:
            self.server.wait_for_person(begin + self.ctrl_dt - time.monotonic())
            return self._stand_still(before, begin)
        now = time.monotonic()
        self._at_rest = False
        if abs(telemetry.speed) > STANDING or control.throttle <= 0:
            self._moved = now
        told: dict[str, Any] = {**telemetry.extra, "manual": False}
        told["latency"] = self._latency.measure(begin, asked, now)
        told["stuck"] = now - self._moved >= self.options.stuck_after
        told["offroad"] = told["stuck"] or abs(told.get("cte", 0.0)) > self._half_width
        return replace(telemetry, time=now - self._begin, extra=told)

    def _stand_still(self, before: Telemetry, begin: float) -> Telemetry:
        """A person drives: time stands still, and everything is as it was."""
        lost = time.monotonic() - begin
        self._begin += lost
        self._moved += lost
        self._latency.pause()
        return replace(before, extra={**before.extra, "manual": True})

    def _check_cameras(self, telemetry: Telemetry) -> None:
        missing = [camera for camera in self._cameras if camera not in telemetry.cameras]
        if missing:
            dialect = self.server.dialect
            raise SimulatorError(
                f"the connected simulator ({dialect.name if dialect else 'gone'}) sends no image of "
                f"{', '.join(map(repr, missing))}; make the environment with cameras={telemetry.cameras!r}"
            )

    def _brake(self) -> bool:
        """One exchange on the way to a standstill; True when it is reached."""
        dialect = self.server.dialect
        if dialect is None:
            return True
        latest = self.server.latest
        speed = 0.0 if latest is None else abs(latest.speed)
        standing = speed < STANDING
        throttle = -1.0 if speed > BRAKING_ABOVE else 0.0 if standing else -min(0.5, 0.5 * speed)
        self.server.exchange(dialect.drive(Control(0.0, throttle)), 0.5, patience=0.5)
        return standing

    def _resume(self) -> None:
        dialect = self.server.dialect
        event = None if dialect is None else dialect.resume()
        if self._paused and event is not None:
            self.server.send(event)
        self._paused = False

    def _watch(self) -> None:
        """The watchdog: brakes, or pauses, a car that nobody steps any more."""
        wait = self.options.idle_timeout
        while not self._closing.wait(wait):
            wait = self._active + self.options.idle_timeout - time.monotonic()
            if wait > 0:
                continue
            wait = self.options.idle_timeout
            if self._over or self._at_rest or self._paused:
                continue
            with self._turn:
                if self._active + self.options.idle_timeout > time.monotonic():
                    continue
                dialect = self.server.dialect
                pause = None if dialect is None else dialect.pause()
                if pause is not None:
                    self.server.send(pause)
                    self._paused = True
                    continue
                with suppress(SimulatorError):
                    self._at_rest = self._brake()
                wait = 0.05


class LatencyMeter:
    """Tells the truth about timing, for ``info["latency"]``.

    Each measurement is a mapping with

    - "command_to_image": s from sending the command to having the image that it caused;
    - "round_trip": s from asking for the image to having it;
    - "period": s between this command and the one before, None in the first step;
    - "jitter": s, standard deviation of the last hundred periods;
    - "missed": how many commands of the episode came more than half a ``ctrl_dt`` late.
    """

    def __init__(self, ctrl_dt: float) -> None:
        self._ctrl_dt = ctrl_dt
        self._periods: deque[float] = deque(maxlen=100)
        self._before: float | None = None
        self._missed = 0

    def measure(self, sent: float, asked: float, received: float) -> dict[str, float | int | None]:
        """Note when, in s of one clock, the command was sent, the image asked for, and received."""
        period = None if self._before is None else sent - self._before
        self._before = sent
        if period is not None:
            self._periods.append(period)
            self._missed += period > 1.5 * self._ctrl_dt
        mean = sum(self._periods) / max(1, len(self._periods))
        spread = sum((p - mean) ** 2 for p in self._periods) / max(1, len(self._periods))
        return {
            "command_to_image": received - sent,
            "round_trip": received - asked,
            "period": period,
            "jitter": math.sqrt(spread),
            "missed": self._missed,
        }

    def pause(self) -> None:
        """Leave out the time until the next step."""
        self._before = None


def _plain(value: Any) -> Any:
    """A value as JSON has it: numpy's numbers and arrays become Python's."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(inner) for inner in value]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (Conditions, Randomization)):
        return plain_conditions(value)
    if isinstance(value, Track):
        return value.source
    return str(value) if isinstance(value, Path) else value


def _close(simulator: weakref.ref[RemoteSimulator]) -> None:
    alive = simulator()
    if alive is not None:
        alive.close()
