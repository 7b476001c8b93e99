"""The simulator's side of the wire: our simulator as a client, as Udacity's behaves there.

Any server written for Udacity's simulator drives it. It differs from Udacity's in two things on purpose:

- Lock-step, the default: each command advances the simulator by ``ctrl_dt`` and nothing moves in
  between. So a slow driver loses nothing, and a fast one runs faster than real time. With `real_time` it
  runs at 60 frames per second whatever the driver does, as Udacity's.
- In lock-step the answers to the two telemetries of the start, and a command that a server sends by
  itself when a simulator connects, count as one. Udacity's simulator would go on in two or three
  interleaved request loops, in which every image is as many commands old.

Udacity's simulator never sends a Socket.IO CONNECT. Servers of Socket.IO 2, for which it was made, send one
by themselves. Later ones wait for it, and drop events before it (Python) or close the connection
(JavaScript). So this client keeps its telemetry until the server has sent a CONNECT. It sends one itself
if the server's first packet shows that it waits for it, or if none has come after a while.

It tells our own server that it is ours, and then executes exact commands; see `dialects.Twin`.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode

from udacity_gym.errors import OptionError, TrackError, UdacityGymError
from udacity_gym.protocol.clock import Clock
from udacity_gym.protocol.dialects import (
    ANNOUNCEMENT,
    DIALECTS,
    Command,
    Dialect,
    Event,
    Twin,
    write_event,
)
from udacity_gym.protocol.images import encode_image, encode_labels
from udacity_gym.protocol.numbers import CULTURES, Culture, JsonNumber, find_culture, read_number
from udacity_gym.protocol.websocket import WebSocket
from udacity_gym.telemetry import CAMERAS, CTRL_DT, Control, Telemetry

if TYPE_CHECKING:
    from udacity_gym.simulators.base import Simulator

PING_INTERVAL = 25.0
"""s between pings, as Udacity's."""
FRAME = 1 / 60
"""s of a frame in real time."""
FIRST_RETRY, LAST_RETRY = 0.005, 1.0
"""s until the first attempt to connect again, which is Udacity's, and the most that it grows to."""
SETTLING, SLOW_START = 0.3, 3.0
"""s of silence after which the start is over: with at least two commands received, or with one."""
PATIENT_CONNECT = 0.5
"""s in which a server of Socket.IO 2 sends its packets of the start by itself."""
HINT_AFTER, FRUITLESS = 5.0, 3
"""s, and number of connections, without a command in lock-step after which a hint says what to do."""
LONGEST_STEP = 10.0
"""s of the longest control step that a server may choose."""
MAX_LAG = 0.25
"""s that the simulation may fall behind real time before frames are left out."""

Ending = Literal["stopped", "no server", "server gone"]
"""Why a client ended."""


class SimulatedCar:
    """The car that a client simulates, and the person who may drive it.

    Attributes:
        ctrl_dt: s of one control step, unless a `reset` says otherwise.
        telemetry: the latest telemetry, after a `reset`.
        control: the control that drives the car in real time, until the next one.
        is_paused: whether the car stands still in real time.
        steps: how many control steps the car has made.
        drops: how many messages were not understood; they change nothing.
    """

    telemetry: Telemetry

    def __init__(
        self,
        make: Callable[[float], Simulator],
        ctrl_dt: float,
        seed: int | None,
        person: Callable[[], Control | None] | None,
        on_step: Callable[[Simulator], object] | None,
        on_news: Callable[[str], object],
        tracks: Collection[str] | None,
    ) -> None:
        """Prepare; `reset` makes the simulator.

        Args:
            make: makes the simulator, given the length of the control step in s.
            ctrl_dt: s of one control step.
            seed: seed of the simulator.
            person: asked for a person's control; None if nobody can drive here.
            on_step: called after every step with the simulator.
            on_news: called with a sentence when something happens.
            tracks: names of the tracks that a `reset` may choose; None allows all, and track files by path.
        """
        self.ctrl_dt = ctrl_dt
        self._tracks = tracks
        self._make, self._seed = make, seed
        self._person, self._on_step, self._on_news = person, on_step, on_news
        self._simulator: Simulator | None = None
        self.control = Control()
        self.is_paused = False
        self.steps = self.drops = 0

    @property
    def is_started(self) -> bool:
        """Whether there is a simulator, because of a `reset`."""
        return self._simulator is not None

    def reset(
        self, options: Mapping[str, Any] | None = None, ctrl_dt: float | None = None, seed: int | None = None
    ) -> None:
        """Start an episode.

        Args:
            options: see `Simulator.reset`.
            ctrl_dt: s of one control step, at most `LONGEST_STEP`; None is the client's.
            seed: seed of the episode; None is the client's.

        Raises:
            OptionError: An option is unknown or out of range, or the track is none that may be chosen.
            TrackError: There is no such track.
        """
        ctrl_dt = self.ctrl_dt if ctrl_dt is None else ctrl_dt
        if not 0 < ctrl_dt <= LONGEST_STEP:
            raise OptionError(f"ctrl_dt must be in (0, {LONGEST_STEP:g}] s, got {ctrl_dt!r}")
        track = (options or {}).get("track")
        if track is not None and self._tracks is not None and track not in self._tracks:
            raise OptionError(
                f"no track {track!r:.80} over the wire: a driver may choose "
                f"{', '.join(self._tracks) or 'none'}; track files only if the simulator allows it: "
                "udacity-gym sim --track-files"
            )
        if self._simulator is None or self._simulator.ctrl_dt != ctrl_dt:
            simulator = self._make(ctrl_dt)
            self.close()
            self._simulator = simulator
        self.telemetry = self._simulator.reset(self._seed if seed is None else seed, options or {})
        self.control = Control()

    def restart(self, options: Mapping[str, Any]) -> None:
        """Start an episode with a server's options, or without them if they make no sense."""
        try:
            self.reset(options)
        except (OptionError, TrackError) as error:
            self.drops += 1
            self._on_news(f"an episode as usual, because of this: {error}")
            self.reset()

    def step(self, control: Control) -> None:
        """Drive for one control step."""
        assert self._simulator is not None
        self.telemetry = self._simulator.step(control)
        self.steps += 1
        if self._on_step is not None:
            self._on_step(self._simulator)

    def person(self) -> Control | None:
        """Ask the person at the simulator for a control; None if no person drives."""
        return None if self._person is None else self._person()

    def close(self) -> None:
        """Close the simulator."""
        if self._simulator is not None:
            self._simulator.close()
            self._simulator = None


class SimulatorClient:
    """A simulator that connects to a driver's server.

    Attributes:
        connections: how often it has connected.
        car: the car that it simulates.
    """

    def __init__(
        self,
        make: Callable[[float], Simulator],
        *,
        track: str = "lake",
        host: str = "127.0.0.1",
        port: int = 4567,
        ctrl_dt: float = CTRL_DT,
        dialect: str = "term1",
        culture: str = "en_US",
        real_time: bool = False,
        announce: bool = True,
        seed: int | None = 0,
        patience: float = 30.0,
        person: Callable[[], Control | None] | None = None,
        fragment: int | None = None,
        on_step: Callable[[Simulator], object] | None = None,
        on_news: Callable[[str], object] | None = None,
        tracks: Collection[str] | None = (),
        clock: Clock | None = None,
    ) -> None:
        """Prepare; `run` connects.

        Args:
            make: makes the simulator, given the length of the control step in s.
            track: name of its track.
            host: address of the server.
            port: port of the server.
            ctrl_dt: s that a command lasts in lock-step; our own server may choose another.
            dialect: "term1", "term2", "mpc" or "research".
            culture: how numbers are written and read, such as "de_DE" or "de-DE"; see `CULTURES`.
            real_time: run at 60 frames per second instead of in lock-step.
            announce: tell our own server that this client is ours, and obey its exact commands; other
                servers do not notice.
            seed: seed of the simulator.
            patience: s to go on trying while there is no server.
            person: asked before every step; its control drives the car, unless that is None.
            fragment: bytes per WebSocket fragment; 1016 is Udacity's, None does not fragment.
            on_step: called after every step with the simulator.
            on_news: called with a sentence when something happens.
            tracks: names of the tracks that a server may choose; None allows all, and track files by path.
            clock: measures time; None is the machine's clock.

        Raises:
            OptionError: There is no such dialect or culture.
        """
        if dialect not in DIALECTS or dialect == Twin.name:
            names = ", ".join(name for name in DIALECTS if name != Twin.name)
            raise OptionError(f"no dialect {dialect!r} to simulate; there are {names}")
        chosen_culture = find_culture(culture)
        if chosen_culture is None:
            raise OptionError(f"no culture {culture!r}; there are {', '.join(CULTURES)}")
        self._host, self._port = host, port
        self._track = track
        self._dialect = DIALECTS[dialect]
        self._culture = chosen_culture
        self._real_time = real_time
        query = {"EIO": "4", "transport": "websocket"}
        self._is_announced = announce and not real_time
        if self._is_announced:
            query[ANNOUNCEMENT] = "1"
        self._path = f"/socket.io/?{urlencode(query)}"
        self._patience = patience
        self._fragment = fragment
        self._on_news = on_news or (lambda news: None)
        self._clock = clock or Clock()
        self._stopping = threading.Event()
        self._websocket: WebSocket | None = None
        self.car = SimulatedCar(
            make, FRAME if real_time else ctrl_dt, seed, person, on_step, self._on_news, tracks
        )
        self._world = _World(self.car, self._clock) if real_time else None
        self._fruitless = 0  # connections, one after the other, without a step
        self._has_hinted = False
        self.connections = 0

    @property
    def steps(self) -> int:
        """How many control steps the car has made."""
        return self.car.steps

    @property
    def drops(self) -> int:
        """How many messages were not understood; they change nothing."""
        return self.car.drops

    def run(self) -> Ending:
        """Connect and simulate, again and again, until `stop` or until there is no server any more.

        Returns:
            Why it ended.
        """
        give_up_at, retry = self._clock.now() + self._patience, FIRST_RETRY
        self._on_news(f"looking for a driver at {self._host}:{self._port}")
        try:
            while not self._stopping.is_set():
                try:
                    self._websocket = WebSocket.connect(
                        self._host, self._port, self._path, fragment=self._fragment
                    )
                except OSError:
                    if self._clock.now() >= give_up_at:
                        break
                    self._wait(retry)
                    retry = min(LAST_RETRY, 2 * retry)
                    continue
                self.connections += 1
                self._on_news("connected")
                steps_before = self.steps
                self._converse(self._websocket)
                if self._stopping.is_set():
                    break
                self._on_news("the connection was closed")
                self._fruitless = 0 if self.steps > steps_before else self._fruitless + 1
                if self._fruitless >= FRUITLESS:
                    self._hint(f"{self._fruitless} connections without a step")
                give_up_at = self._clock.now() + self._patience
                # A server that hangs up at once must not make this spin.
                retry = FIRST_RETRY if self.steps > steps_before else min(LAST_RETRY, 2 * retry)
                self._wait(retry)
        finally:
            if self._websocket is not None:
                self._websocket.abort()
            self.car.close()
        if self._stopping.is_set():
            return "stopped"
        return "server gone" if self.connections else "no server"

    def stop(self) -> None:
        """Make `run` return; disconnects as Udacity's simulator does. May be called from any thread."""
        self._stopping.set()
        websocket = self._websocket
        if websocket is not None:
            try:
                websocket.send("41")
                websocket.send("1")
            except OSError:
                pass
            websocket.close()

    def _wait(self, seconds: float) -> None:
        """Wait until the next attempt to connect; in real time the world goes on."""
        if self._world is None or not self.car.is_started:
            self._stopping.wait(seconds)
            return
        end = self._clock.now() + seconds
        while not self._stopping.is_set() and (remaining := end - self._clock.now()) > 0:
            self._clock.sleep(min(FRAME, remaining))
            self._world.catch_up()

    def _hint(self, what: str) -> None:
        """Say once why nothing moves in lock-step."""
        if not self._real_time and not self._has_hinted:
            self._has_hinted = True
            self._on_news(
                f"{what}: in lock-step the car waits for a command after each telemetry. If the driver is "
                "only slow, all is well. If it sends commands without waiting for telemetry, or one per "
                "connection, use --real-time (SimulatorClient(real_time=True))"
            )

    def _converse(self, websocket: WebSocket) -> None:
        """Simulate over one connection, until it ends."""
        if self._world is None or not self.car.is_started:
            self.car.reset()
        messages = _Messages(websocket, self.car, self._dialect, self._culture, self._clock)
        try:
            if self._world is not None:
                _RealTime(self.car, messages, self._world, self._clock).run()
            else:
                _LockStep(
                    self.car,
                    messages,
                    self._clock,
                    lambda: self._hint(f"no command for {HINT_AFTER:g} s"),
                    self._track if self._is_announced else None,
                ).run()
        except OSError:
            websocket.abort()


class _Messages:
    """Sends telemetry and receives commands over one connection; handles all other packets by itself."""

    def __init__(
        self, websocket: WebSocket, car: SimulatedCar, dialect: Dialect, culture: Culture, clock: Clock
    ) -> None:
        self._websocket, self._car = websocket, car
        self._dialect, self._culture = dialect, culture
        self._clock = clock
        self._next_ping = clock.now() + PING_INTERVAL
        # The start: the server's open packet, CONNECT, two telemetries. A server may leave out the first two.
        self._is_open = self._has_sent_connect = self._is_ready = False
        self._go_on_at = clock.now() + PATIENT_CONNECT

    def send(self, event: Event) -> None:
        """Send an event."""
        self._websocket.send(f"42{write_event(event)}")

    def send_telemetry(self) -> None:
        """Send the car's telemetry, or that a person drives."""
        if self._car.person() is not None:
            self.send(self._dialect.write_manual())
            return
        telemetry = self._car.telemetry
        self.send(self._dialect.write_telemetry(telemetry, self._encode_images(telemetry), self._culture))

    def _encode_images(self, telemetry: Telemetry) -> dict[str, str]:
        """Draw and encode the images that the dialect has."""
        if "center" not in telemetry.cameras:
            return {}
        names = ["center"]
        if "segmentation" in self._dialect.capabilities.cameras and "segmentation" in telemetry.sensors:
            names.append("center_segmentation")
        images = telemetry.images(names)
        encoded = {"center": encode_image(images["center"])}
        if "center_segmentation" in images:
            encoded["segmentation"] = encode_labels(images["center_segmentation"])
        return encoded

    def receive(self, timeout: float | None) -> Event | None:
        """Wait for an event.

        Args:
            timeout: s to wait; None waits for ever.

        Returns:
            The event, None if there was none in time.

        Raises:
            OSError: The connection has ended.
        """
        end = math.inf if timeout is None else self._clock.now() + timeout
        while True:
            now = self._clock.now()
            if now >= self._next_ping:
                self._websocket.send("2")
                self._next_ping = now + PING_INTERVAL
            if now >= self._go_on_at:
                self._go_on()
                continue
            until = min(end, self._next_ping, self._go_on_at)
            packet = self._websocket.receive(max(0.0, until - now))
            if packet is None:
                if self._clock.now() >= end:
                    return None
                continue
            event = self._handle(packet)
            if event is not None:
                return event

    def _handle(self, packet: str | bytes) -> Event | None:
        """React to a packet; return the event if it is one."""
        if not isinstance(packet, str):
            return None
        if packet[:1] == "0":
            self._is_open, self._is_ready = True, False
            self._go_on_at = self._clock.now() + PATIENT_CONNECT
            if '"maxPayload"' in packet:  # of Socket.IO 4 and 5; these never send a CONNECT by themselves
                self._go_on()
        elif packet[:2] == "40":
            self._start()
        elif packet == "2":
            self._websocket.send("3")
        elif packet == "1":
            raise ConnectionError("the server closed the session")
        elif packet[:2] == "42":
            self._start()
            try:
                event, *data = json.loads(packet[2:], parse_float=JsonNumber)
                if isinstance(event, str):
                    return event, data[0] if data else None
            except (ValueError, TypeError, RecursionError):
                pass
            self._car.drops += 1
        return None

    def _go_on(self) -> None:
        """Go on without the packet of the start for which the server was given time."""
        if self._is_open and not self._has_sent_connect:
            self._has_sent_connect = True
            self._go_on_at = self._clock.now() + PATIENT_CONNECT
            self._websocket.send("40")
        else:
            self._start()

    def _start(self) -> None:
        """Send the telemetries of the start, two as Udacity's simulator does, unless that has been done."""
        if not self._is_ready:
            self._is_ready, self._go_on_at = True, math.inf
            for _ in range(2):
                self.send_telemetry()

    def read_command(self, event: Event) -> Command | None:
        """Read a command; None if the event is none, or is malformed."""
        try:
            return self._dialect.read_command(*event, self._culture)
        except ValueError:
            self._car.drops += 1
            return None


class _LockStep:
    """Simulates one control step per command; nothing moves between commands."""

    def __init__(
        self,
        car: SimulatedCar,
        messages: _Messages,
        clock: Clock,
        hint: Callable[[], object],
        exact_track: str | None,
    ) -> None:
        """Prepare; `run` simulates.

        Args:
            car: the car.
            messages: the connection.
            clock: measures time.
            hint: called when no command has come for a while.
            exact_track: name of the track, if exact commands are obeyed.
        """
        self._car, self._messages = car, messages
        self._clock, self._hint, self._exact_track = clock, hint, exact_track

    def run(self) -> None:
        """Simulate until the connection ends, which raises."""
        command = self._first_command()
        while True:
            if command is not None:
                self._execute(command)
            event = self._wait_for_event()
            command = None
            if not self._try_exact_command(event):
                command = self._messages.read_command(event)

    def _wait_for_event(self) -> Event:
        event = self._messages.receive(HINT_AFTER)
        while event is None:
            self._hint()
            event = self._messages.receive(None)
        return event

    def _first_command(self) -> Command | None:
        """Wait until the server has sent all commands of the start, and return the last of them."""
        last, count = None, 0
        while True:
            if last is None:
                event = self._wait_for_event()
            else:
                following = self._messages.receive(SETTLING if count > 1 else SLOW_START)
                if following is None:
                    return last
                event = following
            if self._try_exact_command(event):
                return None
            command = self._messages.read_command(event)
            if command is not None and command.reply is not None:
                self._messages.send(command.reply)
            elif command is not None:
                last, count = command, count + 1

    def _execute(self, command: Command) -> None:
        car = self._car
        if command.reply is not None:
            self._messages.send(command.reply)
            return
        if command.reset:
            car.restart(command.options)
        else:
            control = car.person()
            if control is not None:
                self._clock.sleep(car.ctrl_dt)  # a person drives in real time
                car.step(control)
            elif command.control is not None:
                car.step(command.control)
        self._messages.send_telemetry()

    def _try_exact_command(self, event: Event) -> bool:
        """Execute and answer a command of our own server; return False if the event is none."""
        name, data = event
        is_exact = name in ("reset", "step") and isinstance(data, dict) and "number" in data
        if self._exact_track is None or not is_exact:
            return False
        number, car = data["number"], self._car
        try:
            if name == "reset":
                options = {"mode": data["mode"], **data["options"]}
                car.reset(options, read_number(data["ctrl_dt"]), data["seed"])
            else:
                car.step(Control(read_number(data["steering"]), read_number(data["throttle"])))
            cameras = [camera for camera in CAMERAS if camera in data["cameras"]]
            images = car.telemetry.images(cameras) if cameras else {}
            encoded = {camera: encode_image(image) for camera, image in images.items()}
            state = Twin.state(car.telemetry, encoded, self._exact_track, number)
        except (
            UdacityGymError,
            ArithmeticError,
            AttributeError,
            LookupError,
            TypeError,
            ValueError,
        ) as error:
            kind = "OptionError" if isinstance(error, OptionError) else "SimulatorError"
            refusal = {"kind": kind, "message": str(error)}
            state = (Twin.event, {"twin": {"number": number, "refusal": refusal}})
        self._messages.send(state)
        return True


class _World:
    """The car in real time: `FRAME` by `FRAME`, whether or not anybody drives it."""

    def __init__(self, car: SimulatedCar, clock: Clock) -> None:
        self._car, self._clock = car, clock
        self._frame_end: float | None = None

    @property
    def remaining(self) -> float:
        """Seconds until the present frame ends."""
        if self._frame_end is None:
            self._frame_end = self._clock.now() + FRAME
        return self._frame_end - self._clock.now()

    def advance(self) -> float:
        """Simulate the present frame; frames that are far too late are left out.

        Returns:
            By how many s it is late.
        """
        lag = -self.remaining
        assert self._frame_end is not None
        if lag > MAX_LAG:
            self._frame_end += lag
        control = self._car.person() or self._car.control
        if not self._car.is_paused:
            self._car.step(control)
        self._frame_end += FRAME
        return lag

    def catch_up(self) -> None:
        """Simulate all frames that should have ended by now."""
        while self.remaining <= 0:
            self.advance()


class _RealTime:
    """Simulates 60 frames per second by itself; a command is answered with the next frame."""

    def __init__(self, car: SimulatedCar, messages: _Messages, world: _World, clock: Clock) -> None:
        self._car, self._messages, self._world, self._clock = car, messages, world, clock

    def run(self) -> None:
        """Simulate until the connection ends, which raises."""
        messages, answers_due = self._messages, 0
        while True:
            while (event := messages.receive(self._world.remaining)) is not None:
                answers_due += self._execute(event)
            lag = self._world.advance()
            # Frames that are late are simulated without an image, to catch up.
            if lag < FRAME:
                for _ in range(answers_due):
                    messages.send_telemetry()
                answers_due = 0

    def _execute(self, event: Event) -> int:
        """Execute a command; return how many telemetries have to answer it."""
        command = self._messages.read_command(event)
        if command is None:
            return 0
        if command.pause is not None:
            self._car.is_paused = command.pause
        if command.reply is not None:
            self._messages.send(command.reply)
            return 0
        if command.reset:
            self._car.restart(command.options)
        elif command.control is not None:
            self._car.control = command.control
        return 1
