"""The side that drives: one simulator at a time, one request in flight, and a word about what went wrong."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from udacity_gym.errors import OptionError, SimulatorError, SimulatorGoneError, SimulatorTimeoutError
from udacity_gym.protocol.dialects import DIALECTS, Dialect, Event, detect
from udacity_gym.protocol.listener import Listener
from udacity_gym.telemetry import Telemetry

PORT = 4567
"""Where Udacity's simulator looks for its driver; built into it."""
SETTLING = 0.3
"""s of silence after which nothing is in flight any more.

On connecting the simulator sends two telemetries. Answering the first before the second has arrived
would start two loops, and every observation would be two commands old for ever.
"""
SILENT = 2.0
"""s after which a simulator that has connected properly and said nothing is taken to wait for us."""


@dataclass(slots=True)
class _Conversation:
    """What is known of a connected simulator."""

    query: Mapping[str, str]
    since: float = field(default_factory=time.monotonic)
    events: Counter[str] = field(default_factory=Counter)
    dialect: Dialect | None = None
    latest: Telemetry | None = None
    answer: Mapping[str, Any] = field(default_factory=dict)
    received: int = 0
    last: float = 0.0
    manual: bool = False
    unread: str = ""
    knocked: bool = False


class SimulatorServer:
    """Waits for a simulator and exchanges commands for telemetry with it.

    The first simulator that connects is served; others wait until it goes. All methods may be called
    from any thread, but only one at a time may be in `exchange`.

    Attributes:
        connections: how many simulators have connected so far.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = PORT, dialect: str | None = None) -> None:
        """Start to listen.

        Args:
            host: address to listen on; other than loopback, anybody who reaches it can connect.
            port: port; 0 takes a free one.
            dialect: name of the simulator's dialect; None finds out.

        Raises:
            OptionError: There is no such dialect.
            SimulatorError: The port is taken; the message says by whom, where the system tells.
        """
        if dialect is not None and dialect not in DIALECTS:
            raise OptionError(f"no dialect {dialect!r}; there are {', '.join(DIALECTS)}")
        self._forced = None if dialect is None else DIALECTS[dialect]
        self._changed = threading.Condition()
        self._conversations: dict[str, _Conversation] = {}
        self._drops: Counter[str] = Counter()
        self._closed = False
        self.connections = 0
        with self._changed:  # a simulator may connect before the listener has a name here
            self._listener = Listener(host, port, self)

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{self._listener.host}:{self._listener.port}"

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._listener.port

    @property
    def client(self) -> str | None:
        """Who is served now: differs after every connection; None if nobody is."""
        with self._changed:
            return self._served()

    @property
    def dialect(self) -> Dialect | None:
        """How the simulator talks, if that is known yet."""
        with self._changed:
            conversation = self._conversations.get(self._served() or "")
            return None if conversation is None else conversation.dialect

    @property
    def latest(self) -> Telemetry | None:
        """The last telemetry of the simulator that is served now."""
        with self._changed:
            conversation = self._conversations.get(self._served() or "")
            return None if conversation is None else conversation.latest

    @property
    def manual(self) -> bool:
        """Whether a person drives at the simulator's own keyboard."""
        with self._changed:
            conversation = self._conversations.get(self._served() or "")
            return conversation is not None and conversation.manual

    @property
    def drops(self) -> Counter[str]:
        """What arrived and was not understood, and how often."""
        return self._drops + self._listener.drops

    def connect(self, timeout: float, check: Callable[[], None] | None = None) -> Telemetry | None:
        """Wait until a simulator is there and nothing is in flight.

        Args:
            timeout: s to wait.
            check: called now and then while waiting; may raise.

        Returns:
            Its latest telemetry; None from our own simulator, which says nothing before it is asked.

        Raises:
            SimulatorTimeoutError: No simulator, or none that tells anything that is understood.
        """
        end = time.monotonic() + timeout
        with self._changed:
            while True:
                now = time.monotonic()
                conversation = self._conversations.get(self._served() or "")
                if conversation is not None and conversation.dialect is not None:
                    if conversation.dialect.capabilities.is_lockstep:
                        return None
                    if conversation.latest is None and conversation.dialect.reset_options:
                        return None  # it waits to be told what to start
                    if conversation.latest is not None and not conversation.manual:
                        quiet = conversation.last + SETTLING - now
                        if quiet <= 0:
                            return conversation.latest
                        self._changed.wait(quiet)
                        continue
                elif conversation is not None and now - conversation.since > SILENT:
                    self._knock(conversation)
                if now >= end:
                    raise SimulatorTimeoutError(self._why_nothing(f"{timeout:g} s"))
                if check is not None:
                    check()
                self._changed.wait(min(0.2, end - now))

    def exchange(
        self, event: Event, timeout: float, *, number: int | None = None, patience: float | None = None
    ) -> Telemetry | None:
        """Send a command and wait for the telemetry that answers it.

        Args:
            event: the command.
            timeout: s of silence after which the simulator counts as stuck.
            number: of the command, where the dialect has numbers; the answer repeats it.
            patience: s after which silence is no error but the answer None; None is never.

        Returns:
            The answer; None if a person drives at the simulator, or patience ran out.

        Raises:
            SimulatorGoneError: It disconnected.
            SimulatorTimeoutError: It is silent.
            SimulatorError: It refused the command.
        """
        with self._changed:
            client = self._served()
            if client is None:
                raise SimulatorGoneError(f"no simulator is connected to {self.address}")
            conversation = self._conversations[client]
            before = conversation.received
        self._listener.emit(client, *event)

        def answered() -> bool:
            if number is not None:
                return conversation.answer.get("number") == number
            return conversation.received > before or conversation.manual

        with self._changed:
            self._changed.wait_for(
                lambda: client not in self._conversations or answered(),
                timeout if patience is None else patience,
            )
            if client not in self._conversations:
                raise SimulatorGoneError(f"the simulator at {self.address} disconnected")
            if not answered():
                if patience is not None:
                    return None
                raise SimulatorTimeoutError(self._why_nothing(f"{timeout:g} s"))
            refusal = conversation.answer.get("refusal") if number is not None else None
            if refusal is not None:
                kind = OptionError if refusal.get("kind") == "OptionError" else SimulatorError
                raise kind(f"the simulator refused: {refusal.get('message')}")
            return None if conversation.manual else conversation.latest

    def send(self, event: Event) -> None:
        """Send a command that has no answer, if a simulator is there."""
        client = self.client
        if client is not None:
            self._listener.emit(client, *event)

    def wait_for_person(self, timeout: float) -> bool:
        """Wait while a person drives; True if nobody does any more."""
        with self._changed:
            return self._changed.wait_for(
                lambda: (
                    (conversation := self._conversations.get(self._served() or "")) is None
                    or not conversation.manual
                ),
                timeout,
            )

    def hang_up(self) -> None:
        """Close the simulator's connection; it then connects again by itself, and afresh."""
        client = self.client
        if client is not None:
            self._listener.hang_up(client)
            with self._changed:
                self._changed.wait_for(lambda: client not in self._conversations, 1.0)

    def close(self) -> None:
        """Stop listening and hang up; never waits for the simulator. Twice is fine."""
        with self._changed:
            self._closed = True
        self._listener.close()
        with self._changed:
            self._conversations.clear()
            self._changed.notify_all()

    def connected(self, client: str, query: dict[str, str]) -> None:
        """A simulator connected; called by the listener."""
        with self._changed:
            if not self._closed:
                dialect = self._forced or detect(query, "", None)
                self._conversations[client] = _Conversation(query, dialect=dialect)
                self.connections += 1
                self._changed.notify_all()

    def disconnected(self, client: str) -> None:
        """A simulator is gone; called by the listener."""
        with self._changed:
            self._conversations.pop(client, None)
            self._changed.notify_all()

    def received(self, client: str, event: str, data: Any) -> None:
        """A simulator sent an event; called by the listener. Nothing is raised here: no thread may end."""
        with self._changed:
            conversation = self._conversations.get(client)
            if conversation is None:
                return
            # The names are the simulator's; a strange one must not fill our memory.
            known = event if event in conversation.events or len(conversation.events) < 20 else "others"
            conversation.events[known[:40]] += 1
            conversation.dialect = conversation.dialect or detect(conversation.query, event, data)
            dialect = conversation.dialect
            name = "telemetry" if dialect is None else dialect.event
            if event != name:
                self._drop(conversation, f"an event {event[:40]!r}", count=event not in _EXPECTED)
                return
            if dialect is not None and dialect.capabilities.is_lockstep:
                self._read_answer(conversation, dialect, data)
                return
            proceed: Event | None = None
            if not data or (dialect is not None and dialect.is_manual(data)):
                conversation.manual = True
                proceed = ("manual", {}) if dialect is None else dialect.proceed()
                self._changed.notify_all()
            elif not isinstance(data, dict):
                self._drop(conversation, f"a telemetry that is no JSON object: {data!r:.40}")
            elif dialect is not None:
                self._read(conversation, dialect, data)
        if proceed is not None:  # keeps the simulator's loop alive while the person drives
            self._listener.emit(client, *proceed)

    def _read(self, conversation: _Conversation, dialect: Dialect, data: dict[str, Any]) -> None:
        try:
            conversation.latest = dialect.read(data)
        except ValueError as error:
            self._drop(conversation, f"a telemetry of {dialect.name} in which {error}")
            return
        conversation.manual = False
        conversation.received += 1
        conversation.last = time.monotonic()
        self._changed.notify_all()

    def _read_answer(self, conversation: _Conversation, dialect: Dialect, data: Any) -> None:
        """Our own simulator: what answers no command is for other servers, and is passed over."""
        told = data.get("twin") if isinstance(data, dict) else None
        if not isinstance(told, dict):
            return
        if "refusal" not in told:
            self._read(conversation, dialect, data)
        conversation.answer = told
        self._changed.notify_all()

    def _knock(self, conversation: _Conversation) -> None:
        """Wake the research build, which says nothing before it is told what to start."""
        if not conversation.events and not conversation.knocked:
            conversation.knocked = True
            for event in DIALECTS["research"].reset({}):
                self._listener.emit(self._served() or "", *event)

    def _drop(self, conversation: _Conversation, what: str, count: bool = True) -> None:
        if count:
            conversation.unread = what
            self._drops[what if what in self._drops or len(self._drops) < 50 else "others"] += 1

    def _served(self) -> str | None:
        return next(iter(self._conversations), None)

    def _why_nothing(self, patience: str) -> str:
        """What was seen instead of telemetry, and what to do about it."""
        where = self.address
        conversation = self._conversations.get(self._served() or "")
        if conversation is None:
            seen = f"no simulator connected to {where} within {patience}"
            if self._listener.visitor is not None:
                seen += f" (but somebody asked for {self._listener.visitor}, which is no simulator)"
            elif self._listener.drops:
                seen += f" (but this arrived: {_counted(self._listener.drops)})"
            elif self._listener.has_sessions:
                seen += " (somebody opened a WebSocket and says nothing: a simulator still in its menu?)"
            if self.connections:
                seen += "; the one that was here has disconnected"
            return (
                f"{seen}. Start Udacity's simulator, choose a track and Autonomous Mode (it always connects "
                f"to port {PORT} of its own machine); or start ours: udacity-gym sim --port {self.port}"
            )
        if conversation.manual:
            return (
                f"a person drives at the simulator's keyboard ({sum(conversation.events.values())} empty "
                "telemetries): let go of W and S in its window"
            )
        age = time.monotonic() - conversation.since
        if conversation.unread and conversation.latest is None:
            return (
                f"a simulator is connected to {where} but is not understood; the last thing dropped was "
                f"{conversation.unread}. Events seen: {_counted(conversation.events)}. Dialects known: "
                f"{', '.join(DIALECTS)}; name one with simulator_options={{'dialect': ...}}"
            )
        if conversation.latest is None:
            told = (
                f"events seen: {_counted(conversation.events)}" if conversation.events else "it said nothing"
            )
            return (
                f"a simulator connected to {where} {age:.1f} s ago but sends no telemetry ({told}). "
                "Is it in Autonomous Mode, past its menu?"
            )
        dropped = f"; the last thing dropped was {conversation.unread}" if conversation.unread else ""
        return (
            f"the simulator at {where} has sent no telemetry for {patience}{dropped}. "
            "Is its window minimised, paused or in the menu? The next reset() connects afresh"
        )


_EXPECTED = ("sim_paused", "sim_resumed", "episode_metrics", "episode_event", "episode_events")
"""Events that ask for nothing."""


def _counted(events: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count} times)" for name, count in events.items())
