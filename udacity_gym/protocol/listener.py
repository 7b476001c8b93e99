"""A Socket.IO server that accepts every revision a simulator may speak.

python-socketio 5 speaks Engine.IO 4 and Socket.IO 5. Three things are put around it here:

- Udacity's simulator says EIO=4 and behaves like Engine.IO 3: it never sends a Socket.IO CONNECT, on
  which python-socketio drops its events, and it sends pings and expects pongs. Its first event connects
  it, and pings are answered.
- Clients that say EIO=3 (Socket.IO 2) are connected at once, as their protocol wants; their polling
  requests are translated.
- Nothing that arrives can stop a thread: what is not understood is dropped and counted.
"""

from __future__ import annotations

import contextlib
import io
import ipaddress
import logging
import os
import re
import socket
import socketserver
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit
from wsgiref.simple_server import WSGIRequestHandler

import engineio
import socketio
from engineio import exceptions as engineio_exceptions, packet as engineio_packet

from udacity_gym.errors import SimulatorError
from udacity_gym.protocol.dialects import Event, write_event
from udacity_gym.protocol.ports import listener
from udacity_gym.protocol.websocket import WebSocket, WebSocketClosedError, accept_key, acknowledge

PING_INTERVAL = 20.0
"""s between our pings; also keeps a silent connection open."""
NOT_ENGINE_IO, NOT_SOCKET_IO = "a message that is not Engine.IO", "a message that is not Socket.IO"
DECIMAL_COMMAS = (
    "a telemetry that is no JSON, because the simulator's machine writes decimal commas: start the simulator "
    "with LC_ALL=C, or choose English as the format of numbers of its system"
)
"""Keys of `Listener.drops`."""
MAX_CONNECTIONS, MAX_SESSIONS = 64, 32
"""Connections and sessions at a time; for a new one, the oldest that is no simulator's is closed."""
MAX_SILENCE = 20.0
"""s after which a session that has sent no telemetry is closed, at the next ping."""
REQUEST_TIMEOUT = 10.0
"""s within which a client must send its request, and take the answer."""
_MAX_MESSAGE = 2_000_000
"""Bytes of a message or an HTTP request; a telemetry with three images has 60 000."""
_SOCKET, _REVISION, _ANSWERED = "udacity_gym.socket", "udacity_gym.revision", "udacity_gym.answered"
_SESSION = "udacity_gym.session"
"""Keys in a request's environment: connection, Engine.IO revision named, whether it was a WebSocket, and the
session."""
_PACKET = re.compile(r"4[0-3]|1$|2probe$|3|5$|6$")
"""Packets that are let through: none that is binary, or that python-engineio parses by itself."""
_PING, _PONG = "2", "3"
_COMMA_IN_NUMBER = re.compile(r'42\["telemetry",.*"(x|y|psi|speed|throttle|steering_angle)":-?\d+,\d', re.S)
"""Telemetry of the MPC build in a culture with decimal commas; it writes numbers without quotes."""
_LOCAL_SUFFIXES = (".localhost", ".local", ".internal", ".lan", ".home.arpa")
"""Ends of names that nobody can register in the internet."""
_WAITING = 3
"""Packets that may wait for a client that is pinged; more means that the client reads none."""

_log = logging.getLogger("udacity_gym.protocol")
_log.addHandler(logging.NullHandler())
_library_log = logging.getLogger("udacity_gym.protocol.socketio")
_library_log.setLevel(logging.CRITICAL)


class Handlers(Protocol):
    """What the listener calls, in the threads of the connections; each call must return soon."""

    def connected(self, client: str, query: dict[str, str]) -> None:
        """Note that a client has connected, with the query of its request."""

    def handle(self, client: str, event: str, data: Any) -> bool:
        """Handle an event that a client sent; ``data`` is its first argument, None if it has none.

        Returns:
            Whether the client is a simulator, for which others have to make room.
        """

    def unreadable(self, client: str, what: str) -> None:
        """Note that a client has sent a message that can't be read, and what it was."""

    def disconnected(self, client: str) -> None:
        """Note that a client has disconnected."""


class Listener:
    """Listens on a port, in background threads.

    Attributes:
        host: address it listens on.
        port: port it listens on.
        drops: what arrived that was not understood, and how often.
        visitor: the last request of a program that is no simulator, None if there was none.
    """

    def __init__(self, host: str, port: int, handlers: Handlers) -> None:
        """Start to listen.

        Args:
            host: address; "127.0.0.1" is reached from this machine only.
            port: port; 0 takes a free one.
            handlers: called when a client connects, sends an event or disconnects.

        Raises:
            SimulatorError: The port is taken, or the address is not this machine's.
        """
        self.drops: Counter[str] = Counter()
        self.visitor: str | None = None
        self._handlers = handlers
        self._sockets = _Server(
            self.drops,
            handlers.unreadable,
            async_mode="threading",
            async_handlers=False,
            logger=_library_log,
        )
        self._sockets.on(
            "connect", lambda client, environ, auth=None: handlers.connected(client, _query(environ))
        )
        self._sockets.on("disconnect", lambda client, reason=None: handlers.disconnected(client))
        self._sockets.on("*", self._handle_event)
        try:
            self._http = _HttpServer(host, port, self._answer)
        except (OSError, OverflowError, UnicodeError) as error:
            raise SimulatorError(_why_not(host, port, error)) from error
        self.host, self.port = host, int(self._http.server_address[1])
        if not is_loopback(host):
            warnings.warn(
                f"listening on {host!r}: everybody who can reach port {self.port} of this machine can "
                "connect as a simulator. Do this only in a network that you trust; an SSH tunnel is "
                "safer, see docs/unity.md",
                stacklevel=2,
            )
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True),
            threading.Thread(target=self._keep_alive, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def sessions(self) -> int:
        """How many clients have a session open, even if no event has arrived from them yet."""
        return len(self._sockets.eio.sockets)

    def emit(self, client: str, event: Event) -> None:
        """Send an event to a client; nothing happens if it is gone."""
        session = self._sockets.manager.eio_sid_from_sid(client, "/")
        with contextlib.suppress(engineio_exceptions.EngineIOError):
            self._sockets.eio.send(session, f"2{write_event(event)}")

    def hang_up(self, client: str) -> None:
        """Close a client's connection; Udacity's simulator then connects again within milliseconds."""
        self._sockets.eio.hang_up(self._sockets.manager.eio_sid_from_sid(client, "/"))

    def _handle_event(self, event: str, client: str, *data: Any) -> None:
        if self._handlers.handle(client, event, data[0] if data else None):
            wire = self._sockets.eio.keep(self._sockets.manager.eio_sid_from_sid(client, "/"))
            self._http.keep(wire)

    def close(self) -> None:
        """Stop listening and hang up on all clients; never waits for one. Calling it twice is fine."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._http.shutdown()  # first, because a simulator connects again within milliseconds
        self._http.server_close()
        self._http.hang_up()
        for thread in self._threads:
            thread.join()
        self._sockets.shutdown()

    def _keep_alive(self) -> None:
        while not self._closing.wait(PING_INTERVAL):
            self._sockets.eio.free()
            self._sockets.eio.ping()

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        """Answer a request (WSGI application): Socket.IO under its path, a sentence elsewhere."""
        request = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"[:100]
        host = environ.get("HTTP_HOST", "")
        if not is_local(host, self.host):
            # A web page whose name was bound to this machine's address after it was loaded.
            self.visitor = f"{request} of the host {host[:100]!r} from {environ['REMOTE_ADDR']}"
            start_response("403 Forbidden", [("Content-Type", "text/plain; charset=utf-8")])
            return [b"udacity-gym: connect by IP address, or by a name of the local network.\n"]
        if not environ["PATH_INFO"].startswith("/socket.io"):
            self.visitor = f"{request} from {environ['REMOTE_ADDR']}"
            start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
            return [b"udacity-gym waits for a simulator here (Socket.IO, path /socket.io/).\n"]
        query = dict(parse_qsl(environ["QUERY_STRING"]))
        environ[_REVISION] = query.get("EIO", "")
        session = query.get("sid")
        if session is None:
            self._sockets.eio.make_room()
        elif self._sockets.eio.is_simulator(session):
            self._http.keep(environ[_SOCKET][0])
        if environ[_REVISION] == "3":
            environ["QUERY_STRING"] = urlencode({**query, "EIO": "4"})
            if query.get("transport") != "websocket":
                return self._poll_revision_3(environ, start_response, query)
        elif environ["REQUEST_METHOD"] == "POST":
            self._set_packets(environ, _body(environ).split("\x1e"))
        return self._handle(environ, start_response)

    def _poll_revision_3(
        self, environ: dict[str, Any], start_response: Callable[..., object], query: dict[str, str]
    ) -> Iterable[bytes]:
        """Engine.IO 3 holds packets differently in its polling requests, and pings there too."""
        if environ["REQUEST_METHOD"] == "POST":
            packets = _split_revision_3(_body(environ))
            if _PING in packets:
                packets.remove(_PING)
                self._sockets.eio.pong(query.get("sid", ""))
            self._set_packets(environ, packets)
        answer: list[Any] = []
        body = b"".join(self._handle(environ, lambda *head: answer.extend(head))).decode()
        status, headers = answer[0], answer[1]
        if status.startswith("200") and environ["REQUEST_METHOD"] == "GET":
            body = "".join(f"{_utf16_length(packet)}:{packet}" for packet in body.split("\x1e"))
        start_response(status, headers)
        return [body.encode()]

    def _set_packets(self, environ: dict[str, Any], packets: list[str]) -> None:
        """Make these the request's packets, without those that are not Engine.IO."""
        valid = [packet for packet in packets if _PACKET.match(packet)]
        if len(valid) < len(packets):
            self.drops[NOT_ENGINE_IO] += len(packets) - len(valid)
        body = "\x1e".join(valid).encode()
        environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(body), str(len(body))

    def _handle(self, environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        answer: Iterable[bytes] = self._sockets.handle_request(environ, start_response)
        return answer


class _Server(socketio.Server):  # type: ignore[misc]
    """python-socketio, with clients that never say CONNECT."""

    def __init__(
        self, drops: Counter[str], on_unreadable: Callable[[str, str], object], **options: Any
    ) -> None:
        super().__init__(
            engineio_logger=_library_log,
            monitor_clients=False,
            http_compression=False,
            max_http_buffer_size=_MAX_MESSAGE,
            ping_interval=PING_INTERVAL,
            **options,
        )
        self.drops, self.on_unreadable = drops, on_unreadable
        self.eio.drops = drops

    def _engineio_server_class(self) -> type[engineio.Server]:
        return _Engine

    def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> None:
        super()._handle_eio_connect(eio_sid, environ)
        if environ.get(_REVISION) == "3":
            self._handle_connect(eio_sid, None, None)

    def _handle_connect(self, eio_sid: str, namespace: str | None, data: Any) -> None:
        if not self._is_connected(eio_sid, namespace):
            super()._handle_connect(eio_sid, namespace, data)

    def _handle_event(self, eio_sid: str, namespace: str | None, id: Any, data: Any) -> None:
        if not (isinstance(data, list) and data and isinstance(data[0], str)):
            self.drops["an event without a name"] += 1
            return
        if data[0] in self.reserved_events:  # would call the handlers of a connection's end
            self.drops[f"an event named {data[0]!r}"] += 1
            return
        # Not earlier: a client of Socket.IO 5 says CONNECT itself, and would be connected twice.
        self._handle_connect(eio_sid, namespace, None)
        super()._handle_event(eio_sid, namespace, id, data)

    def _handle_eio_message(self, eio_sid: str, data: Any) -> None:
        try:
            super()._handle_eio_message(eio_sid, data)
        except Exception as error:
            has_commas = isinstance(data, str) and _COMMA_IN_NUMBER.match(f"4{data[:2000]}")
            what = DECIMAL_COMMAS if has_commas else NOT_SOCKET_IO
            self.drops[what] += 1
            client = self.manager.sid_from_eio_sid(eio_sid, "/")
            if client is not None:
                self.on_unreadable(client, what)
            _log.debug("dropped %.80r: %s", data, error)

    def _is_connected(self, eio_sid: str, namespace: str | None) -> bool:
        client = self.manager.sid_from_eio_sid(eio_sid, namespace or "/")
        return client is not None and bool(self.manager.is_connected(client, namespace or "/"))


class _Engine(engineio.Server):  # type: ignore[misc]
    """python-engineio, with our WebSocket and one thread that pings everybody."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.drops: Counter[str] = Counter()
        self._async: dict[str, Any] = {**self._async, "websocket": _EngineWebSocket}

    def start_background_task(self, target: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        # A thread that sleeps through the ping interval would outlive its connection by as much.
        if getattr(target, "__name__", "") == "_send_ping":
            return None
        thread = threading.Thread(target=target, args=args, kwargs=kwargs, daemon=True)
        thread.start()
        return thread

    def ping(self) -> None:
        """Ping every client, and drop those that have stopped reading."""
        for sid, connection in list(self.sockets.items()):
            if connection.queue.qsize() > _WAITING:
                self.drop(sid)
                continue
            # Clients of revision 3 ping by themselves, but a packet in the queue keeps its writer going.
            kind = engineio_packet.NOOP if connection.revision == "3" else engineio_packet.PING
            connection.queue.put(engineio_packet.Packet(kind))

    def keep(self, sid: str | None) -> socket.socket | None:
        """Note that a session is a simulator's, which is never closed for silence; return its connection."""
        connection = self.sockets.get(sid)
        if connection is None:
            return None
        connection.is_simulator = True
        wire: socket.socket = connection.wire
        return wire

    def is_simulator(self, sid: str) -> bool:
        """Whether the session is a simulator's."""
        connection = self.sockets.get(sid)
        return connection is not None and connection.is_simulator

    def make_room(self) -> None:
        """Make sure that there is room for one more session.

        Closes the oldest of those that have sent no telemetry. If all have, the last that came is closed: the
        first is the simulator that is served.
        """
        sessions = list(self.sockets.items())
        silent = [sid for sid, connection in sessions if not connection.is_simulator]
        simulators = [sid for sid, connection in sessions if connection.is_simulator]
        for sid in [*silent, *reversed(simulators)][: max(0, len(sessions) + 1 - MAX_SESSIONS)]:
            self.drop(sid)

    def free(self) -> None:
        """Close sessions that have never sent telemetry, and forget closed ones."""
        latest = time.monotonic() - MAX_SILENCE
        for sid, connection in list(self.sockets.items()):
            if connection.closed or (not connection.is_simulator and connection.since <= latest):
                self.drop(sid)

    def drop(self, sid: str) -> None:
        """Close a session, and free all that belongs to it."""
        connection = self.sockets.pop(sid, None)
        if connection is not None:
            connection.close(wait=False, abort=True)
            with contextlib.suppress(OSError):
                connection.wire.shutdown(socket.SHUT_RDWR)

    def hang_up(self, sid: str | None) -> None:
        """Shut the connection underneath."""
        if sid is not None:
            self.drop(sid)

    def pong(self, sid: str) -> None:
        """Answer a ping that came by polling."""
        connection = self.sockets.get(sid)
        if connection is not None:
            connection.queue.put(engineio_packet.Packet(engineio_packet.PONG))

    def _handle_connect(
        self, environ: dict[str, Any], start_response: Callable[..., object], *arguments: Any
    ) -> Any:
        try:
            return super()._handle_connect(environ, start_response, *arguments)
        finally:
            if "HTTP_UPGRADE" in environ and _SESSION in environ:  # the WebSocket was its session
                self.drop(environ[_SESSION])

    def _trigger_event(self, event: str, *args: Any, **kwargs: Any) -> Any:
        if event == "connect":
            sid, environ = args
            environ[_SESSION] = sid
            connection = self.sockets[sid]
            connection.revision = environ[_REVISION]
            connection.wire = environ[_SOCKET][0]
            connection.since, connection.is_simulator = time.monotonic(), False
        return super()._trigger_event(event, *args, **kwargs)


class _EngineWebSocket:
    """The interface that python-engineio expects of a WebSocket, on top of ours."""

    def __init__(self, handler: Callable[[Any], object], server: _Engine) -> None:
        self._handler = handler
        self._server = server

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        connection, reader = environ[_SOCKET]
        session = self._server.sockets.get(dict(parse_qsl(environ["QUERY_STRING"])).get("sid"))
        if session is not None:  # it began with polling
            session.wire = connection
        connection.settimeout(None)
        key = environ.get("HTTP_SEC_WEBSOCKET_KEY", "").encode("latin-1")
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept_key(key).encode() + b"\r\n\r\n"
        )
        acknowledge(connection)
        self._websocket = WebSocket(connection, masks=False, read=reader.read1, max_message=_MAX_MESSAGE)
        environ[_ANSWERED] = True
        self._handler(self)
        self.close()
        return []

    def wait(self) -> str | None:
        """Wait for the next packet that python-engineio understands; None at the end."""
        while True:
            try:
                packet = self._websocket.receive()
                if packet == _PING:
                    self._websocket.send(_PONG)
                    continue
            except (WebSocketClosedError, OSError):
                return None
            if isinstance(packet, str) and _PACKET.match(packet):
                return packet
            self._server.drops[NOT_ENGINE_IO] += 1

    def send(self, packet: str | bytes) -> None:
        self._websocket.send(packet if isinstance(packet, str) else packet.decode())

    def close(self) -> None:
        self._websocket.close()


class _HttpServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """A thread per connection, and a list of connections to hang up on."""

    daemon_threads = True
    allow_reuse_address = os.name != "nt"  # there it would let two servers have one port
    request_queue_size = 64

    def __init__(self, host: str, port: int, application: Callable[..., Iterable[bytes]]) -> None:
        self.application = application
        self._connections: dict[socket.socket, bool] = {}
        """Connections, oldest first, and whether each is a simulator's."""
        self._lock = threading.Lock()
        families = [family for family, *_ in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        # Simulators connect to 127.0.0.1, so of a name that has both addresses it is that one.
        self.address_family = socket.AF_INET if socket.AF_INET in families else families[0]
        super().__init__((host, port), _RequestHandler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        with self._lock:
            if len(self._connections) >= MAX_CONNECTIONS:
                others = (other for other, is_simulator in self._connections.items() if not is_simulator)
                dispensable = next(others, next(reversed(self._connections)))
                del self._connections[dispensable]
                with contextlib.suppress(OSError):
                    dispensable.shutdown(socket.SHUT_RDWR)
            self._connections[connection] = False
        return connection, address

    def keep(self, connection: socket.socket | None) -> None:
        """Note that a connection is a simulator's."""
        with self._lock:
            if connection in self._connections:
                self._connections[connection] = True

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.pop(request, None)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            _log.warning("a connection from %s broke: %r", client_address, error)


class _RequestHandler(WSGIRequestHandler):
    """One HTTP request, then the connection closes or is a WebSocket."""

    server: _HttpServer
    timeout = REQUEST_TIMEOUT

    def handle(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        self.requestline, self.request_version, self.command = "", "", ""
        if len(self.raw_requestline) > 65536 or not self.parse_request():
            return
        environ = self._environ()
        head: list[Any] = []
        body = b"".join(self.server.application(environ, lambda *arguments: head.extend(arguments)))
        if _ANSWERED in environ:
            return
        status, headers = head[0], head[1]
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]
        lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
        self.wfile.write("\r\n".join(lines).encode("latin-1") + body)

    def _environ(self) -> dict[str, Any]:
        path, _, query = self.path.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REMOTE_ADDR": str(self.client_address[0]),
            "wsgi.url_scheme": "http",
            _SOCKET: (self.connection, self.rfile),
        }
        for name, value in self.headers.items():
            environ["HTTP_" + name.upper().replace("-", "_")] = value.strip()
        length = self.headers.get("Content-Length", "0")
        size = int(length) if length.isdecimal() else 0
        environ["CONTENT_LENGTH"] = str(size)
        environ["wsgi.input"] = io.BytesIO(self.rfile.read(size) if size <= _MAX_MESSAGE else b"")
        return environ

    def log_message(self, format: str, *args: Any) -> None:
        _log.debug(format, *args)


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_local(host: str, own: str) -> bool:
    """Whether a request's host is one that no web page can choose to be: none with a registered name.

    Args:
        host: the Host header, "" if there is none; browsers always send one.
        own: name or address that the server listens on.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(name.partition("%")[0])
        return True
    machine = socket.gethostname().lower()
    return "." not in name or name.endswith(_LOCAL_SUFFIXES) or name in (own.lower(), machine)


def _query(environ: dict[str, Any]) -> dict[str, str]:
    return dict(parse_qsl(environ["QUERY_STRING"]))


def _body(environ: dict[str, Any]) -> str:
    body: bytes = environ["wsgi.input"].read()
    return body.decode("utf-8", "replace")


def _split_revision_3(body: str) -> list[str]:
    """Split a polling request of Engine.IO 3, in which each packet is ``length:packet``."""
    packets = []
    while body:
        length, colon, rest = body.partition(":")
        if not colon or not length.isdecimal() or len(length) > 9:
            break
        end = _end_of(rest, int(length))
        packets.append(rest[:end])
        body = rest[end:]
    return packets


def _end_of(text: str, units: int) -> int:
    """Index at which that many UTF-16 units end; JavaScript counts in those."""
    if text.isascii():
        return units
    return len(text.encode("utf-16-le")[: 2 * units].decode("utf-16-le", "ignore"))


def _utf16_length(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _why_not(host: str, port: int, error: OSError | OverflowError | UnicodeError) -> str:
    owner = listener(port) if isinstance(error, OSError) else None
    if owner is not None:
        return (
            f"port {port} is taken by {owner}: stop that program (an old drive.py?), or choose another port "
            "here and at the simulator"
        )
    reason = getattr(error, "strerror", None) or error
    if ":" in host:
        host = f"[{host}]"
    return f"can't listen on {host}:{port}: {reason}"
