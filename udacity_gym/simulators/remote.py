"""A simulator that connects over Socket.IO: Udacity's builds, or ours in another process."""

from __future__ import annotations

import atexit
import functools
import math
import threading
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np

from udacity_gym.conditions import (
    Conditions,
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
from udacity_gym.protocol.clock import Clock
from udacity_gym.protocol.images import EncodedImages
from udacity_gym.protocol.server import SETTLING, SimulatorServer
from udacity_gym.sensors import IMAGE_SIZE
from udacity_gym.simulators.base import Simulator, SimulatorSettings
from udacity_gym.telemetry import CAMERAS, MPH, Capabilities, Control, Image, Telemetry
from udacity_gym.world.track.track import Track

OnReset = Literal["error", "brake", "restart"]
"""What `reset` does where the simulator has no reset: refuse, brake to a standstill, restart the program."""

TOP_SPEED = 30.2 * MPH
"""m/s that Udacity's car reaches."""
ACCELERATION, DECELERATION = 5.6, 7.0
"""m/s^2 of Udacity's car at full throttle and when it brakes; for cars whose telemetry does not arrive."""
BRAKING_ABOVE = 5 * MPH
"""m/s; below, a negative throttle no longer brakes but reverses."""
STANDING = 0.1
"""m/s below which the car counts as standing."""
_SCENE_LOADS = 10.0
"""s within which a simulator sends telemetry after a reset command."""
_BRAKING_TIMEOUT = 60.0
"""s within which the car must come to a standstill when `reset` brakes it."""
_BRAKING_PERIOD = 0.05
"""s between the commands that brake the car to a standstill."""
_BLIND_AFTER = 1.0
"""s without telemetry after which the last one no longer tells how fast the car is."""
_CLOSING_TIMEOUT = 1.0
"""s that `close` waits at most for the answer to its last command."""

BEFORE_CONNECTING = Capabilities(
    cameras=(*CAMERAS, "segmentation"),
    can_reset=True,
    can_place=True,
    has_pose=True,
    has_track=True,
    is_lockstep=True,
    is_deterministic=False,
)
"""What a simulator may be able to do before it has connected; `reset` raises what it really can't."""


class Launcher(Protocol):
    """Starts and stops a simulator's program, see `udacity_gym.simulators.unity`."""

    def start(self, port: int) -> None:
        """Start the program unless it runs."""

    def check(self) -> None:
        """Raise `SimulatorError` if the program has ended."""

    def stop(self) -> None:
        """End the program that `start` started."""


@dataclass(frozen=True, slots=True)
class RemoteOptions:
    """Options for a simulator that connects.

    Attributes:
        on_reset: what `reset` does if the simulator has no reset: "error" raises `ResetNotSupportedError`,
            "brake" brakes the car to a standstill and goes on from there, "restart" restarts the program
            that we started. None means "restart" if we started the program, else "error".
        dialect: name of the simulator's dialect; None detects it.
        connect_timeout: s to wait for a simulator.
        silence_timeout: s without telemetry after which the simulator counts as hung.
        idle_timeout: s without a `step` after which the car is braked, so that no old command drives it.
        stuck_after: s of standing still under throttle after which the car counts as stuck.
        resize: whether images of another size than the observations are scaled; otherwise they are an error.
        clock: measures all of these times, and the time of an episode.
    """

    on_reset: OnReset | None = None
    dialect: str | None = None
    connect_timeout: float = 60.0
    silence_timeout: float = 5.0
    idle_timeout: float = 1.0
    stuck_after: float = 5.0
    resize: bool = False
    clock: Clock = field(default_factory=Clock)

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> RemoteOptions:
        """Make options from a mapping.

        Raises:
            OptionError: A name is unknown or a value is out of range.
        """
        names = [option.name for option in fields(cls)]
        unknown = sorted(set(options) - set(names))
        if unknown:
            raise OptionError(
                f"unknown simulator option {', '.join(map(repr, unknown))}; known are {', '.join(names)}"
            )
        checked = cls(**options)
        if checked.on_reset is not None and checked.on_reset not in get_args(OnReset):
            raise OptionError(
                f"simulator option 'on_reset' must be one of {get_args(OnReset)}, got {checked.on_reset!r}"
            )
        for name in ("connect_timeout", "silence_timeout", "idle_timeout", "stuck_after"):
            value = getattr(checked, name)
            if not (isinstance(value, (int, float)) and value > 0):
                raise OptionError(f"simulator option {name!r} must be a positive number of s, got {value!r}")
        return checked


class RemoteSimulator(Simulator):
    """Listens for a simulator, and drives it.

    Our own simulator is driven in lock-step: one command, one answer, nothing moves in between. Udacity's
    run in real time: `step` sends the command, lets ``ctrl_dt`` pass and then asks for the image with
    the same command, so that what it returns was caused by the action.

    A car that was driven in real time is braked whenever nobody steps it, also after an error, between
    episodes, and when its simulator connects again.

    What a simulator does not send is missing in the telemetry; what it sends beyond the fields of `Telemetry`
    is in ``extra``. This class adds to ``extra``

    - "latency": see `LatencyMeter`;
    - "manual": True while a person drives at the simulator's keyboard; the episode then stands still, and
      telemetry and images are the last ones before;
    - "stuck": True if the car has stood under throttle for `RemoteOptions.stuck_after` seconds;
    - "offroad": True if the car is stuck, or its "cte", where the simulator sends it, is beyond the road;
    - "end_reason": "simulator_gone" if the simulator closed or crashed; the next `reset` waits for it.

    Attributes:
        ctrl_dt: s of one control step.
        options: how to deal with the simulator.
        server: the server that the simulator connects to.
    """

    def __init__(
        self,
        settings: SimulatorSettings | None = None,
        options: RemoteOptions | None = None,
        launcher: Launcher | None = None,
    ) -> None:
        """Start to listen; `reset` waits for the simulator.

        Args:
            settings: its settings; None takes the defaults. Our own simulator must be driving on their
                track, and has their mode and conditions. Of conditions, the research build has weather and
                time of day, others have none.
            options: how to deal with the simulator; None reads them from the settings' options.
            launcher: starts the simulator's program; None waits for one that somebody else starts.

        Raises:
            OptionError: A setting is for the embedded simulator alone, or an option is unknown or out of
                range.
            SimulatorError: The port is taken.
        """
        settings = settings or SimulatorSettings()
        settings.refuse_embedded_only()
        self.ctrl_dt = settings.ctrl_dt
        self.options = options or RemoteOptions.read(settings.options)
        self._clock = self.options.clock
        self._track = Track.load(settings.track)
        self._mode, self._cameras = settings.mode, tuple(settings.cameras)
        self._conditions = read_conditions(settings.conditions)
        self._launcher = launcher
        self._watchdog = _Watchdog(self._stop_car, self.options.idle_timeout, self._clock)
        self.server = SimulatorServer(
            settings.host,
            settings.port,
            self.options.dialect,
            self._clock,
            on_simulator=functools.partial(self._watchdog.expect, SETTLING),
        )
        self._timer = _EpisodeTimer(self._clock, self.ctrl_dt)
        # Held while a command is under way, by the one who steps or by the watchdog.
        self._turn = threading.RLock()
        self._launching = threading.Lock()
        self._closed = False
        self._client: str | None = None
        self._driven_client: str | None = None
        self._command_number = 0
        self._last: Telemetry | None = None
        self._episode_ended = True
        self._last_control = Control()
        self._blind: tuple[float, float] | None = None
        """Since when a car is braked without telemetry, s, and its estimated speed then, m/s."""
        self._is_silent = False
        self._is_paused = False
        # A program that ends without close() must not leave a car that drives on.
        self._at_exit = functools.partial(_close, weakref.ref(self))
        atexit.register(self._at_exit)

    @property
    def capabilities(self) -> Capabilities:
        """What the simulator can do; until one has connected, what it may be able to do."""
        dialect = self.server.dialect
        return BEFORE_CONNECTING if dialect is None else dialect.capabilities

    def reset(self, seed: int | None = None, options: Mapping[str, Any] | None = None) -> Telemetry:
        """Start an episode, as far as the simulator can.

        A simulator that has just connected is used as it is. Later, a simulator that has a reset is reset;
        with one that has none, `RemoteOptions.on_reset` decides.

        Args:
            seed: for our own simulator.
            options: for our own simulator those of `EmbeddedSimulator.reset`; for the research build
                "track", "weather" and "daytime" by its own names, or "conditions"; for others none.

        Returns:
            Telemetry at time 0.

        Raises:
            OptionError: The simulator does not know an option.
            ResetNotSupportedError: It can't be reset, and nothing was chosen instead.
            SimulatorTimeoutError: No simulator connected, or it sent no telemetry.
            SimulatorError: It lacks a track or a camera that this environment needs.
        """
        episode = dict(options or {})
        asked = "conditions" in episode
        conditions = read_conditions(episode.pop("conditions", self._conditions))
        self._connect()
        with self._turn:
            self._client = self.server.client
            lockstep = self.capabilities.is_lockstep
            # Our own simulator may have been started with others, which the default has to replace if asked.
            if conditions != Conditions() or (asked and lockstep):
                episode["conditions"] = conditions
            telemetry = (
                self._reset_lockstep(seed, episode) if lockstep else self._reset_real_time(seed, episode)
            )
            telemetry = self._with_images(telemetry)
            self._driven_client = self._client
            self._timer = _EpisodeTimer(self._clock, self.ctrl_dt)
            self._last, self._episode_ended = replace(telemetry, time=0.0), False
            if not lockstep:
                self._watchdog.restart()
            return self._last

    def step(self, control: Control) -> Telemetry:
        """Drive for ``ctrl_dt`` seconds.

        Returns:
            Telemetry caused by the control; with ``extra["end_reason"]`` if the simulator has gone.

        Raises:
            SimulatorTimeoutError: The simulator is silent; the message says what arrived instead.
            SimulatorError: It was never reset, or disconnected in an earlier step. Or its telemetry or an
                image can't be used; the episode then goes on with the next step.
        """
        before = self._last
        if before is None or self._episode_ended:
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
                    self._watchdog.restart()
                    after = self._step_real_time(control, before)
                    self._watchdog.restart()
            except SimulatorGoneError:
                self._episode_ended = True
                return replace(before, extra={**before.extra, "end_reason": "simulator_gone"})
            except SimulatorTimeoutError:
                self._is_silent = self._episode_ended = True
                raise
            self._last = self._with_images(after)
            return self._last

    def view(self, name: str, width: int, height: int) -> Image:
        """Show what the car's center camera sees; simulators that connect send no other view.

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
        """Let the car roll out, disconnect, end the program we started. Never waits for the simulator."""
        if self._closed:
            return
        self._closed = self._episode_ended = True
        atexit.unregister(self._at_exit)
        dialect = self.server.dialect
        if self._driven_client is not None and dialect is not None and not dialect.capabilities.is_lockstep:
            with suppress(SimulatorError):
                self.server.exchange(dialect.drive(Control()), _CLOSING_TIMEOUT, patience=_CLOSING_TIMEOUT)
        self.server.close()
        self._watchdog.close()
        if self._launcher is not None:
            with self._launching:
                self._launcher.stop()

    def _connect(self) -> None:
        check = None if self._launcher is None else self._launcher.check
        self._launch()
        if self._is_silent:
            # A request loop that has died does not start again; a new connection has a new one. The last
            # command goes on to drive the car meanwhile, so it has to be a neutral one.
            with self._turn:
                self._brake_to_standstill()
            self.server.hang_up()
            self._is_silent = False
        # Without the turn, so that the watchdog can brake meanwhile.
        self.server.connect(self.options.connect_timeout, check)

    def _launch(self) -> None:
        """Start the simulator's program, if that is up to us."""
        with self._launching:  # not after close(), which another thread may call
            if self._closed:
                raise SimulatorError("this simulator was closed; make a new environment")
            if self._launcher is not None:
                self._launcher.start(self.server.port)

    def _reset_lockstep(self, seed: int | None, options: dict[str, Any]) -> Telemetry:
        request = {
            "seed": seed,
            "options": _plain({"direction": self._track.direction, **options}),
            "ctrl_dt": self.ctrl_dt,
            "mode": self._mode,
            "cameras": self._cameras,
        }
        # The first one may have to compile the renderer.
        telemetry = self._command("reset", request, self.options.connect_timeout)
        name, source = telemetry.extra["track"], self._track.source
        if name != self._track.name and "track" not in options:
            raise SimulatorError(
                f"the simulator drives on track {name!r}, this environment is for {source!r}: start it "
                f"with udacity-gym sim --track {source}, or make the environment with track={name!r}"
            )
        return telemetry

    def _step_lockstep(self, control: Control) -> Telemetry:
        sent = self._clock.now()
        request = {"steering": control.steering, "throttle": control.throttle, "cameras": self._cameras}
        telemetry = self._command("step", request, self.options.silence_timeout)
        latency = self._timer.latency.measure(sent, sent, self._clock.now())
        return replace(telemetry, extra={**telemetry.extra, "latency": latency})

    def _command(self, name: str, request: dict[str, Any], timeout: float) -> Telemetry:
        self._command_number += 1
        event = (name, {"number": self._command_number, **request})
        telemetry = self.server.exchange(event, timeout, number=self._command_number)
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
            names = ", ".join(dialect.reset_options) or "none"
            raise OptionError(
                f"reset option {', '.join(map(repr, unknown))}: the connected simulator ({dialect.name}) "
                f"can't do that (it knows {names}); ours can: udacity-gym sim"
            )
        if self._track.name in dialect.tracks:
            options.setdefault("track", self._track.name)
        self._resume()
        has_been_driven = self._driven_client == self._client
        if dialect.capabilities.can_reset and (has_been_driven or dialect.reset_options):
            *first_events, last_event = dialect.reset(options)
            for event in first_events:
                self.server.send(event)
            patience = _SCENE_LOADS if dialect.reset_options else 1.0
            self.server.exchange(last_event, _SCENE_LOADS, patience=patience)
        elif has_been_driven:
            self._reset_without_reset()
        return self._ask(Control())

    def _reset_without_reset(self) -> None:
        action = self.options.on_reset or ("error" if self._launcher is None else "restart")
        if action == "brake":
            self._brake_to_standstill()
            return
        if action == "restart" and self._launcher is not None:
            self._launcher.stop()
            self.server.hang_up()
            self._launch()
            self.server.connect(self.options.connect_timeout, self._launcher.check)
            if self.server.client == self._client:
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
        """Exchange one command, after waiting for `RemoteOptions.connect_timeout` while a person drives."""
        dialect = self.server.dialect
        if dialect is None:
            raise SimulatorGoneError(f"the simulator at {self.server.address} disconnected")
        end = self._clock.now() + self.options.connect_timeout
        while True:
            if self.server.wait_for_person(end - self._clock.now()):
                telemetry = self.server.exchange(dialect.drive(control), self.options.silence_timeout)
                if telemetry is not None:
                    return telemetry
            if self._clock.now() >= end:
                raise SimulatorTimeoutError(
                    "a person drives at the simulator's keyboard: let go of W and S in its window"
                )

    def _step_real_time(self, control: Control, before: Telemetry) -> Telemetry:
        sent = self._clock.now()
        dialect = self.server.dialect
        if dialect is None:
            raise SimulatorGoneError("the simulator disconnected")
        self._resume()
        if not self.server.wait_for_person(self.ctrl_dt):
            return self._stand_still(before, sent)
        self._last_control = control
        command, silence = dialect.drive(control), self.options.silence_timeout
        telemetry, asked = self.server.exchange(command, silence), sent
        remaining = sent + self.ctrl_dt - self._clock.now()
        if telemetry is not None and remaining > 0:
            self._clock.sleep(remaining)
            asked = self._clock.now()
            telemetry = self.server.exchange(command, silence)
        if telemetry is None:
            self.server.wait_for_person(sent + self.ctrl_dt - self._clock.now())
            return self._stand_still(before, sent)
        received, timer = self._clock.now(), self._timer
        moves = abs(telemetry.speed) > STANDING or control.throttle <= 0
        extra: dict[str, Any] = {**telemetry.extra, "manual": False}
        extra["latency"] = timer.latency.measure(sent, asked, received)
        extra["stuck"] = timer.update_standstill(received, moves) >= self.options.stuck_after
        extra["offroad"] = extra["stuck"] or abs(extra.get("cte", 0.0)) > self._track.half_width
        return replace(telemetry, time=timer.elapsed(received), extra=extra)

    def _stand_still(self, before: Telemetry, since: float) -> Telemetry:
        """Return the telemetry from before a person drove, and stop the episode's time since then."""
        self._timer.leave_out(since, self._clock.now())
        return replace(before, extra={**before.extra, "manual": True})

    def _with_images(self, telemetry: Telemetry) -> Telemetry:
        """Make sure that a telemetry has the images that the environment needs, without decoding them."""
        missing = [camera for camera in self._cameras if camera not in telemetry.cameras]
        if missing:
            dialect = self.server.dialect
            raise SimulatorError(
                f"the connected simulator ({dialect.name if dialect else 'gone'}) sends no image of "
                f"{', '.join(map(repr, missing))}; make the environment with cameras={telemetry.cameras!r}"
            )

        draw = telemetry.draw
        if not self._cameras or not isinstance(draw, EncodedImages):
            return telemetry
        if self.options.resize:
            return replace(telemetry, draw=draw.resized(IMAGE_SIZE))
        draw.check(self._cameras, IMAGE_SIZE)
        return telemetry

    def _brake_to_standstill(self) -> None:
        end = self._clock.now() + _BRAKING_TIMEOUT
        while not self._brake():
            if self._clock.now() > end:
                raise SimulatorTimeoutError(
                    f"the car did not come to a standstill within {_BRAKING_TIMEOUT:g} s of braking"
                )
            self._clock.sleep(_BRAKING_PERIOD)

    def _brake(self) -> bool:
        """Exchange one command on the way to a standstill; return whether the car stands."""
        dialect = self.server.dialect
        if dialect is None or dialect.capabilities.is_lockstep:
            return True
        speed = self._estimate_speed()
        standing = speed < STANDING
        throttle = -1.0 if speed > BRAKING_ABOVE else 0.0 if standing else -min(0.5, 0.5 * speed)
        self._last_control = Control(0.0, throttle)
        self.server.exchange(dialect.drive(self._last_control), 0.5, patience=0.5)
        return standing

    def _estimate_speed(self) -> float:
        """Speed of the car in m/s, estimated while no telemetry arrives: braking too long would reverse."""
        latest, silence = self.server.latest, self.server.silence
        speed = 0.0 if latest is None else abs(latest.speed)
        if silence < _BLIND_AFTER or latest is None:
            self._blind = None
            return speed
        now = self._clock.now()
        if self._blind is None:
            gained = ACCELERATION * max(0.0, self._last_control.throttle) * silence
            self._blind = now, max(speed, min(TOP_SPEED, speed + gained))
        since, speed_then = self._blind
        return max(0.0, speed_then - DECELERATION * (now - since))

    def _resume(self) -> None:
        dialect = self.server.dialect
        event = None if dialect is None else dialect.resume()
        if self._is_paused and event is not None:
            self.server.send(event)
        self._is_paused = False

    def _stop_car(self) -> bool:
        """Brake, or pause, a car that nobody steps; return whether it stands. The watchdog calls it."""
        with self._turn:
            # It may have been stepped while this waited for its turn.
            if self._closed or not self._watchdog.is_due:
                return True
            dialect = self.server.dialect
            pause = None if dialect is None else dialect.pause()
            if pause is not None:
                self.server.send(pause)
                self._is_paused = True
                return True
            try:
                return self._brake()
            except SimulatorError:
                return False


class _EpisodeTimer:
    """Measures the time of an episode. Time in which a person drives does not count.

    Attributes:
        latency: measures how long exchanges take.
    """

    def __init__(self, clock: Clock, ctrl_dt: float) -> None:
        self.latency = LatencyMeter(ctrl_dt)
        self._start = self._last_motion = clock.now()

    def elapsed(self, now: float) -> float:
        """Seconds since the episode began."""
        return now - self._start

    def update_standstill(self, now: float, moves: bool) -> float:
        """Update for how long the car has stood under throttle, and return that in s.

        Args:
            now: s, the present.
            moves: whether the car moves, or has no throttle.
        """
        if moves:
            self._last_motion = now
        return now - self._last_motion

    def leave_out(self, since: float, now: float) -> None:
        """Leave out the time from one moment to another."""
        self._start += now - since
        self._last_motion += now - since
        self.latency.pause()


class _Watchdog:
    """Stops the car, in a thread of its own, whenever nobody has stepped it for a while."""

    def __init__(self, stop_car: Callable[[], bool], timeout: float, clock: Clock) -> None:
        """Prepare; the first `restart` starts the thread.

        Args:
            stop_car: sends one command on the way to a standstill; returns whether the car stands. Called
                again and again until it does.
            timeout: s without a `restart` after which the car is stopped.
            clock: measures time.
        """
        self._stop_car, self._timeout, self._clock = stop_car, timeout, clock
        self._changed = threading.Condition()
        self._due: float | None = None
        self._closed = False
        self._thread: threading.Thread | None = None

    @property
    def is_due(self) -> bool:
        """Whether the car has to be stopped now."""
        due = self._due
        return due is not None and self._clock.now() >= due

    def restart(self) -> None:
        """Note that the car was stepped just now."""
        with self._changed:
            self._due = self._clock.now() + self._timeout
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._watch, daemon=True)
                self._thread.start()
            self._changed.notify()

    def expect(self, seconds: float) -> None:
        """Note that another car is there: stop it after so many seconds if nobody steps it.

        Nothing happens before the first `restart`.
        """
        with self._changed:
            if self._thread is not None:
                due = self._clock.now() + seconds
                self._due = due if self._due is None else min(self._due, due)
                self._changed.notify()

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(5.0)

    def _watch(self) -> None:
        while self._wait_until_due():
            stands = self._stop_car()
            with self._changed:
                if self.is_due:  # else it was stepped meanwhile
                    self._due = None if stands else self._clock.now() + _BRAKING_PERIOD

    def _wait_until_due(self) -> bool:
        """Wait until the car has to be stopped; False at the end."""
        with self._changed:
            while not (self.is_due or self._closed):
                self._clock.wait(self._changed, self._due)
            return not self._closed


class LatencyMeter:
    """Measures the timing of steps, for ``info["latency"]``.

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
        self._last_sent: float | None = None
        self._missed = 0

    def measure(self, sent: float, asked: float, received: float) -> dict[str, float | int | None]:
        """Measure a step.

        Args:
            sent: when the command was sent, in s of one clock.
            asked: when the image was asked for.
            received: when the image was received.
        """
        period = None if self._last_sent is None else sent - self._last_sent
        self._last_sent = sent
        if period is not None:
            self._periods.append(period)
            self._missed += period > 1.5 * self._ctrl_dt
        mean = sum(self._periods) / max(1, len(self._periods))
        variance = sum((p - mean) ** 2 for p in self._periods) / max(1, len(self._periods))
        return {
            "command_to_image": received - sent,
            "round_trip": received - asked,
            "period": period,
            "jitter": math.sqrt(variance),
            "missed": self._missed,
        }

    def pause(self) -> None:
        """Leave out the time until the next step."""
        self._last_sent = None


def _plain(value: Any) -> Any:
    """Convert a value to what JSON can hold: numbers and arrays of NumPy become Python's."""
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
    referent = simulator()
    if referent is not None:
        referent.close()
