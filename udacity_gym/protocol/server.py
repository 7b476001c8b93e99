"""The driver's side of the wire: serves one simulator at a time, with one request in flight.

Whoever connects may be no simulator: a web page, a program that only looks, a simulator in its menu. So a
client becomes the simulator with its first telemetry, and until then nobody waits for it.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from udacity_gym.errors import OptionError, SimulatorError, SimulatorGoneError, SimulatorTimeoutError
from udacity_gym.protocol.clock import Clock
from udacity_gym.protocol.dialects import DIALECTS, Dialect, Event, detect
from udacity_gym.protocol.listener import Listener
from udacity_gym.telemetry import Telemetry

PORT = 4567
"""Port to which Udacity's simulator connects; built into it."""
SETTLING = 0.3
"""s of silence after which no message is in flight any more.

A simulator sends two telemetries when it connects. Answering the first before the second has arrived
would start two request loops, and every observation would be two commands old from then on.
"""
SILENT = 2.0
"""s after which a client that has sent nothing may be a simulator that waits for a first command."""
CHECK_INTERVAL = 0.2
"""s between two checks, while waiting, that the simulator's program still runs."""


@dataclass(slots=True)
class _Connection:
    """State of a connected client.

    Attributes:
        query: parameters of the request with which it connected.
        since: s, when it connected.
        is_simulator: whether it has sent telemetry.
        is_settled: whether no message of it is in flight, so that a command starts the only request loop.
        dialect: how it talks, None while that is not known.
        events: how often it sent which event.
        latest: its last telemetry.
        received: how many telemetries it has sent.
        received_at: s, when the last one arrived.
        unreadable: how many telemetries it has sent that could not be read.
        answer: its last answer to a numbered command.
        manual: whether a person drives at its keyboard.
        dropped: what the last message that was not understood was.
        asked_to_start: whether the research build has been asked to start an episode.
    """

    query: Mapping[str, str]
    since: float
    dialect: Dialect | None
    is_simulator: bool = False
    is_settled: bool = False
    events: Counter[str] = field(default_factory=Counter)
    latest: Telemetry | None = None
    received: int = 0
    received_at: float = 0.0
    unreadable: int = 0
    answer: Mapping[str, Any] = field(default_factory=dict)
    manual: bool = False
    dropped: str = ""
    asked_to_start: bool = False


class SimulatorServer:
    """Waits for a simulator and exchanges commands for telemetry with it.

    The first client that sends telemetry is served; others wait until it disconnects. All methods may be
    called from any thread, but only one at a time may be in `exchange`.

    Attributes:
        connections: how many simulators have connected so far; other clients do not count.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = PORT,
        dialect: str | None = None,
        clock: Clock | None = None,
        on_simulator: Callable[[], object] | None = None,
    ) -> None:
        """Start to listen.

        Args:
            host: address to listen on; other than loopback, anybody who reaches it can connect.
            port: port; 0 takes a free one.
            dialect: name of the simulator's dialect; None detects it.
            clock: measures time; None is the machine's clock.
            on_simulator: called, in any thread, when another simulator than before is served.

        Raises:
            OptionError: There is no such dialect.
            SimulatorError: The port is taken; the message names the program if the system tells which it is.
        """
        if dialect is not None and dialect not in DIALECTS:
            raise OptionError(f"no dialect {dialect!r}; there are {', '.join(DIALECTS)}")
        self._chosen_dialect = None if dialect is None else DIALECTS[dialect]
        self._clock = clock or Clock()
        self._changed = threading.Condition()
        self._connections: dict[str, _Connection] = {}
        self._simulator: str | None = None
        self._on_simulator = on_simulator or (lambda: None)
        self._drops: Counter[str] = Counter()
        self._closed = False
        self.connections = 0
        with self._changed:  # a simulator may connect before the listener has a name here
            self._listener = Listener(host, port, self)

    @property
    def address(self) -> str:
        """Host and port."""
        host = self._listener.host
        return f"{f'[{host}]' if ':' in host else host}:{self._listener.port}"

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._listener.port

    @property
    def client(self) -> str | None:
        """Name of the simulator that is served now, new with every connection; None if there is none."""
        with self._changed:
            return self._simulator

    @property
    def dialect(self) -> Dialect | None:
        """How the simulator talks, if that is known yet."""
        with self._changed:
            connection = self._connection()
            return None if connection is None else connection.dialect

    @property
    def latest(self) -> Telemetry | None:
        """The last telemetry of the simulator that is served now."""
        with self._changed:
            connection = self._connection()
            return None if connection is None else connection.latest

    @property
    def silence(self) -> float:
        """Seconds since the last telemetry of the simulator that is served now; infinite without one."""
        with self._changed:
            connection = self._connection()
            if connection is None or connection.latest is None:
                return math.inf
            return self._clock.now() - connection.received_at

    @property
    def received(self) -> int:
        """How many telemetries the simulator that is served now has sent."""
        with self._changed:
            connection = self._connection()
            return 0 if connection is None else connection.received

    @property
    def manual(self) -> bool:
        """Whether a person drives at the simulator's own keyboard."""
        with self._changed:
            connection = self._connection()
            return connection is not None and connection.manual

    @property
    def drops(self) -> Counter[str]:
        """What arrived that was not understood, and how often."""
        return self._drops + self._listener.drops

    def connect(self, timeout: float, check: Callable[[], None] | None = None) -> Telemetry | None:
        """Wait until a simulator has connected and no message is in flight.

        Args:
            timeout: s to wait.
            check: called now and then while waiting; may raise.

        Returns:
            Its latest telemetry; None from our own simulator, which sends nothing before it is asked.

        Raises:
            SimulatorTimeoutError: No simulator connected, or it sent nothing that is understood.
            SimulatorError: The server was closed.
        """
        end = self._clock.now() + timeout
        with self._changed:
            while True:
                if self._closed:
                    raise SimulatorError("the server was closed while it waited for a simulator")
                now = self._clock.now()
                connection = self._connection()
                if connection is None:
                    self._ask_to_start(now)
                elif connection.dialect is not None:
                    if connection.dialect.capabilities.is_lockstep:
                        return None
                    if connection.latest is not None and not connection.manual:
                        settled_at = connection.received_at + SETTLING
                        if connection.is_settled or now >= settled_at:
                            connection.is_settled = True
                            return connection.latest
                        self._clock.wait(self._changed, settled_at)
                        continue
                if now >= end:
                    raise SimulatorTimeoutError(self._describe_silence(f"{timeout:g} s"))
                if check is not None:
                    check()
                self._clock.wait(self._changed, min(now + CHECK_INTERVAL, end))

    def exchange(
        self, event: Event, timeout: float, *, number: int | None = None, patience: float | None = None
    ) -> Telemetry | None:
        """Send a command and wait for the telemetry that answers it.

        Args:
            event: the command.
            timeout: s of silence after which the simulator counts as stuck.
            number: of the command, where the dialect has numbers; the answer repeats it.
            patience: s of silence after which the answer is None, in place of ``timeout`` and its error.

        Returns:
            The answer; None if a person drives at the simulator, or after ``patience``.

        Raises:
            SimulatorGoneError: It disconnected.
            SimulatorTimeoutError: It is silent.
            SimulatorError: It refused the command, or answered with a telemetry that can't be read.
        """
        with self._changed:
            client = self._simulator
            if client is None:
                raise SimulatorGoneError(f"no simulator is connected to {self.address}")
            connection = self._connections[client]
            received_before, unreadable_before = connection.received, connection.unreadable
            connection.is_settled = False
        end = self._clock.now() + (timeout if patience is None else patience)
        self._listener.emit(client, event)

        def is_answered() -> bool:
            if number is not None:
                return connection.answer.get("number") == number
            return connection.received > received_before or connection.manual

        def is_over() -> bool:
            return (
                client not in self._connections or is_answered() or connection.unreadable > unreadable_before
            )

        with self._changed:
            self._clock.wait_for(self._changed, is_over, end)
            if client not in self._connections:
                raise SimulatorGoneError(f"the simulator at {self.address} disconnected")
            if connection.unreadable > unreadable_before:
                connection.is_settled = True
                raise SimulatorError(
                    f"the simulator at {self.address} answered with {connection.dropped}. If its messages "
                    "are right, name its dialect with simulator_options={'dialect': ...}: one of "
                    f"{', '.join(DIALECTS)}"
                )
            if not is_answered():
                if patience is not None:
                    return None
                raise SimulatorTimeoutError(self._describe_silence(f"{timeout:g} s"))
            connection.is_settled = True
            refusal = connection.answer.get("refusal") if number is not None else None
            if refusal is not None:
                error_type = OptionError if refusal.get("kind") == "OptionError" else SimulatorError
                raise error_type(f"the simulator refused: {refusal.get('message')}")
            return None if connection.manual else connection.latest

    def send(self, event: Event) -> None:
        """Send a command that has no answer, if a simulator is connected."""
        client = self.client
        if client is not None:
            self._listener.emit(client, event)

    def wait_for_person(self, timeout: float) -> bool:
        """Wait while a person drives at the simulator; return whether nobody does any more.

        Args:
            timeout: s to wait.
        """

        def nobody_drives() -> bool:
            connection = self._connection()
            return connection is None or not connection.manual

        end = self._clock.now() + timeout
        with self._changed:
            return self._clock.wait_for(self._changed, nobody_drives, end)

    def hang_up(self) -> None:
        """Close the simulator's connection; it then connects anew by itself."""
        client = self.client
        if client is not None:
            end = self._clock.now() + 1.0
            self._listener.hang_up(client)
            with self._changed:
                self._clock.wait_for(self._changed, lambda: client not in self._connections, end)

    def close(self) -> None:
        """Stop listening and hang up; never waits for the simulator. Calling it twice is fine."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._listener.close()
        with self._changed:
            self._connections.clear()
            self._simulator = None
            self._changed.notify_all()

    def connected(self, client: str, query: dict[str, str]) -> None:
        """Note that a client has connected; called by the listener."""
        with self._changed:
            if not self._closed:
                dialect = self._chosen_dialect or detect(query, "", None)
                self._connections[client] = _Connection(query, self._clock.now(), dialect)
                self._changed.notify_all()

    def unreadable(self, client: str, what: str) -> None:
        """Note that a client has sent a message that can't be read; called by the listener."""
        with self._changed:
            connection = self._connections.get(client)
            if connection is not None:
                connection.dropped = what
                connection.unreadable += 1
                self._changed.notify_all()

    def disconnected(self, client: str) -> None:
        """Note that a client has disconnected; called by the listener."""
        with self._changed:
            self._connections.pop(client, None)
            is_replaced = False
            if client == self._simulator:
                waiting = (name for name, other in self._connections.items() if other.is_simulator)
                self._simulator = next(waiting, None)
                is_replaced = self._simulator is not None
            self._changed.notify_all()
        if is_replaced:
            self._on_simulator()

    def handle(self, client: str, event: str, data: Any) -> bool:
        """Handle an event that a client sent; called by the listener. Never raises: no thread may end.

        Returns:
            Whether the client is a simulator.
        """
        with self._changed:
            connection = self._connections.get(client)
            if connection is None:
                return False
            # The simulator chooses the names; a strange one must not fill our memory.
            is_countable = event in connection.events or len(connection.events) < 20
            connection.events[event[:40] if is_countable else "others"] += 1
            connection.dialect = connection.dialect or detect(connection.query, event, data)
            dialect = connection.dialect
            name = "telemetry" if dialect is None else dialect.event
            if event != name:
                self._drop(connection, f"an event {event[:40]!r}", count=event not in _EXPECTED)
                return connection.is_simulator
            reply = self._handle_telemetry(connection, dialect, data)
            is_new = connection.is_simulator and self._simulator is None
            if is_new:
                self._simulator = client
                self._changed.notify_all()
        if reply is not None:  # keeps the simulator's request loop going while the person drives
            self._listener.emit(client, reply)
        if is_new:
            self._on_simulator()
        return connection.is_simulator

    def _handle_telemetry(self, connection: _Connection, dialect: Dialect | None, data: Any) -> Event | None:
        """Handle a telemetry, whose sender is a simulator if it can be read; return the answer to it."""
        if dialect is not None and dialect.capabilities.is_lockstep:
            self._note_simulator(connection)
            self._read_answer(connection, dialect, data)
        elif not data or (dialect is not None and dialect.is_manual(data)):
            self._note_simulator(connection)
            connection.manual = True
            self._changed.notify_all()
            return ("manual", {}) if dialect is None else dialect.proceed()
        elif not isinstance(data, dict):
            self._drop_telemetry(connection, f"a telemetry that is no JSON object: {data!r:.40}")
        elif dialect is not None:
            self._read(connection, dialect, data)
        return None

    def _note_simulator(self, connection: _Connection) -> None:
        if not connection.is_simulator:
            connection.is_simulator = True
            self.connections += 1

    def _read(self, connection: _Connection, dialect: Dialect, data: dict[str, Any]) -> None:
        try:
            connection.latest = dialect.read_telemetry(data)
        except ValueError as error:
            self._drop_telemetry(connection, f"a telemetry of {dialect.name} in which {error}")
            return
        self._note_simulator(connection)
        connection.manual = False
        connection.received += 1
        connection.received_at = self._clock.now()
        self._changed.notify_all()

    def _read_answer(self, connection: _Connection, dialect: Dialect, data: Any) -> None:
        """Read an answer of our own simulator; telemetry that answers no command is for other servers."""
        answer = data.get("twin") if isinstance(data, dict) else None
        if not isinstance(answer, dict):
            return
        if "refusal" not in answer:
            self._read(connection, dialect, data)
        connection.answer = answer
        self._changed.notify_all()

    def _ask_to_start(self, now: float) -> None:
        """Ask clients that have sent nothing to start an episode: the research build waits for that."""
        for client, connection in list(self._connections.items()):
            is_waiting = not connection.events and now - connection.since > SILENT
            if is_waiting and not connection.asked_to_start:
                connection.asked_to_start = True
                for event in DIALECTS["research"].reset({}):
                    self._listener.emit(client, event)

    def _drop_telemetry(self, connection: _Connection, what: str) -> None:
        self._drop(connection, what)
        connection.unreadable += 1
        self._changed.notify_all()

    def _drop(self, connection: _Connection, what: str, count: bool = True) -> None:
        if count:
            connection.dropped = what
            self._drops[what if what in self._drops or len(self._drops) < 50 else "others"] += 1

    def _connection(self) -> _Connection | None:
        """The connection of the simulator that is served now."""
        return None if self._simulator is None else self._connections[self._simulator]

    def _describe_silence(self, patience: str) -> str:
        """Say what arrived instead of telemetry, and what to do about it."""
        address = self.address
        # Without a simulator it is about the client that has said most.
        connection = self._connection() or max(
            self._connections.values(), key=lambda other: other.events.total(), default=None
        )
        if connection is None or (connection.latest is None and not connection.events):
            problem = f"no simulator connected to {address} within {patience}"
            sessions = max(self._listener.sessions, len(self._connections))
            if self._listener.drops:
                problem += f" (but this arrived: {_count_events(self._listener.drops)})"
            elif self._listener.visitor is not None:
                problem += f" (but somebody asked for {self._listener.visitor}, which is no simulator)"
            elif sessions:
                clients = "a client is" if sessions == 1 else f"{sessions} clients are"
                problem += (
                    f" ({clients} connected and sent no telemetry: a simulator still in its menu, or no "
                    "simulator at all?)"
                )
            if self.connections:
                problem += "; the one that was here has disconnected"
            return (
                f"{problem}. Start Udacity's simulator, choose a track and Autonomous Mode (it always "
                f"connects to port {PORT} of its own machine); or start ours: udacity-gym sim "
                f"--port {self.port}"
            )
        if connection.manual:
            return (
                f"a person drives at the simulator's keyboard ({connection.events.total()} empty "
                "telemetries): let go of W and S in its window"
            )
        age = self._clock.now() - connection.since
        if connection.dropped and connection.latest is None:
            return (
                f"a simulator is connected to {address} but is not understood; the last thing dropped was "
                f"{connection.dropped}. Events seen: {_count_events(connection.events)}. Dialects known: "
                f"{', '.join(DIALECTS)}; name one with simulator_options={{'dialect': ...}}"
            )
        if connection.latest is None:
            events = (
                f"events seen: {_count_events(connection.events)}" if connection.events else "it said nothing"
            )
            return (
                f"a simulator connected to {address} {age:.1f} s ago but sends no telemetry ({events}). "
                "Is it in Autonomous Mode, past its menu?"
            )
        dropped = f"; the last thing dropped was {connection.dropped}" if connection.dropped else ""
        return (
            f"the simulator at {address} has sent no telemetry for {patience}{dropped}. "
            "Is its window minimised, paused or in the menu? The next reset() connects afresh"
        )


_EXPECTED = ("sim_paused", "sim_resumed", "episode_metrics", "episode_event", "episode_events")
"""Events that need no reaction."""


def _count_events(events: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count} times)" for name, count in events.items())
