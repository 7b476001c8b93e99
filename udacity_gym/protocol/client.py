"""The side that simulates: our simulator on the wire, as Udacity's behaves there.

Any server written for Udacity's simulator drives it. Two things are chosen, not copied:

- Lock-step, the default: each command advances the simulator by ``ctrl_dt`` and nothing moves in
  between. So a slow driver loses nothing, and a fast one runs faster than real time. `real_time` runs at
  60 frames per second whatever the driver does, as Udacity's.
- In lock-step the answers to the two telemetries of the start, and a command that a server sends on its
  own when a simulator connects, count as one. Udacity's simulator would go on in two or three
  interleaved loops, in which every image is as many commands old.

Servers of Socket.IO 5 wait for a CONNECT, which Udacity's simulator never says: it opens, and the car
does not move. This client says it after a while, and then tells its telemetry again.

To our own server it says who it is, and obeys its exact commands; see `dialects.Twin`.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal
from urllib.parse import urlencode

from udacity_gym.errors import OptionError, SimulatorError, TrackError
from udacity_gym.protocol.dialects import ANNOUNCEMENT, DIALECTS, Order, Twin
from udacity_gym.protocol.images import encode_image
from udacity_gym.protocol.numbers import CULTURES
from udacity_gym.protocol.websocket import WebSocket
from udacity_gym.simulators.base import Simulator
from udacity_gym.telemetry import Control, Telemetry

PING_INTERVAL = 25.0
"""s between pings, as Udacity's."""
FRAME = 1 / 60
"""s of a frame in real time."""
FIRST_RETRY, LAST_RETRY = 0.005, 1.0
"""s until the first attempt to connect again, which is Udacity's, and the longest that it grows to."""
SETTLING, SLOW_START = 0.3, 3.0
"""s of silence after which the start is over: with at least two commands received, or with one."""
_PATIENT_CONNECT = 0.5
"""s after the session's opening in which a server of Socket.IO 2 connects a client by itself."""
_LAG = 0.25
"""s that real time may fall behind before frames are left out."""

Ending = Literal["stopped", "no server", "server gone"]
"""Why a client ended."""


class SimulatorClient:
    """A simulator that connects to a driver's server.

    Attributes:
        steps: how many control steps it has made.
        connections: how often it has connected.
        drops: how many messages it did not understand; they change nothing.
    """

    def __init__(
        self,
        make: Callable[[float], Simulator],
        *,
        track: str = "lake",
        host: str = "127.0.0.1",
        port: int = 4567,
        ctrl_dt: float = 1 / 15,
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
    ) -> None:
        """Prepare; `run` connects.

        Args:
            make: makes the simulator for a length of the control step in s.
            track: name of its track.
            host: where the server is.
            port: its port.
            ctrl_dt: s that a command lasts in lock-step; our own server may choose another.
            dialect: "term1", "term2", "mpc" or "research".
            culture: how numbers are written and read, such as "de_DE"; see `CULTURES`.
            real_time: run at 60 frames per second instead of in lock-step.
            announce: tell our own server who we are; others do not notice.
            seed: of the simulator.
            patience: s to go on trying while there is no server.
            person: asked before every step; what it returns drives the car, unless that is None.
            fragment: bytes per WebSocket fragment; 1016 is Udacity's, None does not fragment.
            on_step: called after every step with the simulator.
            on_news: called with a sentence when something happens.

        Raises:
            OptionError: There is no such dialect or culture.
        """
        if dialect not in DIALECTS or dialect == Twin.name:
            known = ", ".join(name for name in DIALECTS if name != Twin.name)
            raise OptionError(f"no dialect {dialect!r} to simulate; there are {known}")
        if culture not in CULTURES:
            raise OptionError(f"no culture {culture!r}; there are {', '.join(CULTURES)}")
        self._make, self._track = make, track
        self._host, self._port = host, port
        self._ctrl_dt = FRAME if real_time else ctrl_dt
        self._dialect = DIALECTS[dialect]
        self._culture = CULTURES[culture]
        self._real_time = real_time
        query = {"EIO": "4", "transport": "websocket"}
        if announce and not real_time:
            query[ANNOUNCEMENT] = "1"
        self._path = f"/socket.io/?{urlencode(query)}"
        self._seed, self._patience = seed, patience
        self._person = person
        self._fragment = fragment
        self._on_step = on_step or (lambda simulator: None)
        self._news = on_news or (lambda news: None)
        self._stopping = threading.Event()
        self._websocket: WebSocket | None = None
        self._simulator: Simulator | None = None
        self._telemetry: Telemetry | None = None
        self._control = Control()
        self._paused = False
        self.steps = self.connections = self.drops = 0

    def run(self) -> Ending:
        """Connect and simulate, again and again, until `stop` or until there is no server any more.

        Returns:
            Why it ended.
        """
        give_up, retry = time.monotonic() + self._patience, FIRST_RETRY
        self._news(f"looking for a driver at {self._host}:{self._port}")
        try:
            while not self._stopping.is_set():
                try:
                    self._websocket = WebSocket.connect(
                        self._host, self._port, self._path, fragment=self._fragment
                    )
                except OSError:
                    if time.monotonic() >= give_up:
                        break
                    self._stopping.wait(retry)
                    retry = min(LAST_RETRY, 2 * retry)
                    continue
                self.connections += 1
                self._news("connected")
                before = self.steps
                self._converse(self._websocket)
                if self._stopping.is_set():
                    break
                self._news("the connection was closed")
                give_up = time.monotonic() + self._patience
                # A server that hangs up at once must not make this spin.
                retry = FIRST_RETRY if self.steps > before else min(LAST_RETRY, 2 * retry)
                self._stopping.wait(retry)
        finally:
            if self._websocket is not None:
                self._websocket.abort()
            if self._simulator is not None:
                self._simulator.close()
                self._simulator = None
        if self._stopping.is_set():
            return "stopped"
        return "server gone" if self.connections else "no server"

    def stop(self) -> None:
        """Make `run` return; says goodbye as Udacity's simulator does. May be called from any thread."""
        self._stopping.set()
        websocket = self._websocket
        if websocket is not None:
            try:
                websocket.send("41")
                websocket.send("1")
            except OSError:
                pass
            websocket.close()

    def _converse(self, websocket: WebSocket) -> None:
        """Simulate over one connection, until it ends."""
        if not self._real_time or self._telemetry is None:
            self._reset({}, self._ctrl_dt)
        conversation = _RealTime(self, websocket) if self._real_time else _LockStep(self, websocket)
        try:
            conversation.run()
        except OSError:
            websocket.abort()

    def _reset(self, options: Mapping[str, Any], ctrl_dt: float, seed: int | None = None) -> None:
        if self._simulator is None or self._simulator.ctrl_dt != ctrl_dt:
            if self._simulator is not None:
                self._simulator.close()
            self._simulator = self._make(ctrl_dt)
        self._telemetry = self._simulator.reset(self._seed if seed is None else seed, options)
        self._control = Control()

    def _restart(self, options: Mapping[str, Any], ctrl_dt: float) -> None:
        """Start an episode as a server wants it, or if there is nothing like that, as usual."""
        try:
            self._reset(options, ctrl_dt)
        except (OptionError, TrackError) as error:
            self.drops += 1
            self._news(f"an episode as usual, because of this: {error}")
            self._reset({}, ctrl_dt)

    def _step(self, control: Control) -> None:
        assert self._simulator is not None
        self._telemetry = self._simulator.step(control)
        self.steps += 1
        self._on_step(self._simulator)

    def _drives_itself(self) -> Control | None:
        """The person's control, if a person drives."""
        return None if self._person is None else self._person()


class _Conversation:
    """What both ways of keeping time share."""

    def __init__(self, client: SimulatorClient, websocket: WebSocket) -> None:
        self.client = client
        self.websocket = websocket
        self._next_ping = time.monotonic() + PING_INTERVAL
        self._connect_at: float | None = None
        self._connecting = False

    def run(self) -> None:
        """Talk until the connection ends, which raises."""
        raise NotImplementedError

    def emit(self, event: tuple[str, Any]) -> None:
        self.websocket.send("42" + json.dumps(event, separators=(",", ":")))

    def tell(self) -> None:
        """Send a telemetry."""
        client = self.client
        if client._drives_itself() is not None:
            self.emit(client._dialect.manual())
            return
        telemetry = client._telemetry
        assert telemetry is not None
        image = encode_image(telemetry.image()) if "center" in telemetry.cameras else ""
        self.emit(client._dialect.telemetry(telemetry, image, client._culture))

    def next_event(self, timeout: float | None) -> tuple[str, Any] | None:
        """Wait for an event; deal with everything else. None if there was none in time."""
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            now = time.monotonic()
            if now >= self._next_ping:
                self.websocket.send("2")
                self._next_ping = now + PING_INTERVAL
            if self._connect_at is not None and now >= self._connect_at:
                self._connect_at, self._connecting = None, True
                self.websocket.send("40")
            until = min(t for t in (end, self._next_ping, self._connect_at) if t is not None)
            packet = self.websocket.receive(max(0.0, until - now))
            if packet is None:
                if end is not None and time.monotonic() >= end:
                    return None
                continue
            event = self._event(packet)
            if event is not None:
                return event

    def _event(self, packet: str | bytes) -> tuple[str, Any] | None:
        if packet[:1] == "0":
            self._connect_at = time.monotonic() + _PATIENT_CONNECT
            self.tell()  # the second one: Udacity's simulator does so, too
        elif packet[:2] == "40":
            self._connect_at = None
            if self._connecting:
                self._connecting = False
                self.tell()  # what was told before has been dropped
        elif packet == "2":
            self.websocket.send("3")
        elif packet == "1":
            raise ConnectionError("the server closed the session")
        elif isinstance(packet, str) and packet[:2] == "42":
            self._connect_at = None
            try:
                event, *data = json.loads(packet[2:])
                if isinstance(event, str):
                    return event, data[0] if data else None
            except (ValueError, TypeError, RecursionError):
                pass
            self.client.drops += 1
        return None

    def order(self, event: tuple[str, Any]) -> Order | None:
        """Read a command; None if it is none, or wrong."""
        try:
            return self.client._dialect.order(*event, self.client._culture)
        except ValueError:
            self.client.drops += 1
            return None


class _LockStep(_Conversation):
    """Nothing moves between commands."""

    def run(self) -> None:
        self.tell()
        order = self._start()
        while True:
            if order is not None:
                self._obey(order)
            event = self.next_event(None)
            order = None
            if event is not None and not self._is_exact(event):
                order = self.order(event)

    def _start(self) -> Order | None:
        """Take what the server sends at first as one command: the last of it."""
        last, count = None, 0
        while True:
            timeout = None if last is None else SETTLING if count > 1 else SLOW_START
            event = self.next_event(timeout)
            if event is None:
                return last
            if self._is_exact(event):
                return None
            order = self.order(event)
            if order is not None and order.says is not None:
                self.emit(order.says)
            elif order is not None:
                last, count = order, count + 1

    def _obey(self, order: Order) -> None:
        client = self.client
        if order.says is not None:
            self.emit(order.says)
            return
        if order.resets:
            client._restart(order.options, client._ctrl_dt)
        else:
            person = client._drives_itself()
            if person is not None:
                time.sleep(client._ctrl_dt)  # a person drives in real time
                client._step(person)
            elif order.control is not None:
                client._step(order.control)
        self.tell()

    def _is_exact(self, event: tuple[str, Any]) -> bool:
        """Obey our own server; False if the command is none of its."""
        name, data = event
        if name not in ("reset", "step") or not isinstance(data, dict) or "number" not in data:
            return False
        number, client = data["number"], self.client
        try:
            if name == "reset":
                options = {"mode": data["mode"], **data["options"]}
                client._reset(options, float(data["ctrl_dt"]), data["seed"])
            else:
                client._step(Control(float(data["steering"]), float(data["throttle"])))
            telemetry = client._telemetry
            assert telemetry is not None
            wanted = [camera for camera in data["cameras"] if camera in telemetry.cameras]
            images = telemetry.images(wanted) if wanted else {}
            encoded = {camera: encode_image(image) for camera, image in images.items()}
            self.emit(Twin.state(telemetry, encoded, client._track, number))
        except (OptionError, TrackError, SimulatorError, KeyError, TypeError, ValueError) as error:
            kind = "OptionError" if isinstance(error, OptionError) else "SimulatorError"
            refusal = {"kind": kind, "message": str(error)}
            self.emit((Twin.event, {"twin": {"number": number, "refusal": refusal}}))
        return True


class _RealTime(_Conversation):
    """The world goes on by itself, a frame at a time; commands are answered with the next frame."""

    def run(self) -> None:
        client = self.client
        self.tell()
        frame, due = time.monotonic(), 0
        while True:
            frame += FRAME
            while (event := self.next_event(frame - time.monotonic())) is not None:
                due += self._take(event)
            late = time.monotonic() - frame
            if late > _LAG:
                frame += late
            person = client._drives_itself()
            if not client._paused:
                client._step(client._control if person is None else person)
            # Frames that are behind are made up for without an image.
            if late < FRAME:
                for _ in range(due):
                    self.tell()
                due = 0

    def _take(self, event: tuple[str, Any]) -> int:
        """Note a command; how many telemetries it asks for."""
        client = self.client
        order = self.order(event)
        if order is None:
            return 0
        if order.pauses is not None:
            client._paused = order.pauses
        if order.says is not None:
            self.emit(order.says)
            return 0
        if order.resets:
            client._restart(order.options, FRAME)
        elif order.control is not None:
            client._control = order.control
        return 1
