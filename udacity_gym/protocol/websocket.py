"""WebSocket frames (RFC 6455) over a plain socket, either end, in the thread that calls.

Small on purpose: text messages, no extensions. It exists because Udacity's simulator needs control of
the socket underneath: it sends in fragments of 1016 bytes, one write each, with Nagle's algorithm on,
and a receiver that delays its acknowledgements as Linux does waits 40 ms for each message.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import socket
import threading
from collections.abc import Callable
from typing import NoReturn

import numpy as np
from typing_extensions import Self

from udacity_gym.errors import SimulatorError

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
"""Opcodes."""
NORMAL, PROTOCOL_ERROR, INVALID_TEXT, TOO_BIG = 1000, 1002, 1007, 1009
"""Close codes."""
MAX_MESSAGE = 16 * 2**20
"""Bytes; a message that is longer closes the connection."""

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CHUNK = 65536


class WebSocketClosedError(ConnectionError):
    """The other end closed the connection, or broke the protocol."""


class WebSocket:
    """One end of an open connection. One thread receives; any thread may send.

    Attributes:
        socket: the socket underneath.
    """

    def __init__(
        self,
        connection: socket.socket,
        *,
        masks: bool,
        read: Callable[[int], bytes] | None = None,
        fragment: int | None = None,
        max_message: int = MAX_MESSAGE,
    ) -> None:
        """Take over a socket after the handshake.

        Args:
            connection: a connected socket.
            masks: whether this end masks what it sends, as a client must.
            read: reads at most that many bytes, if something before us has read ahead; None reads the socket.
            fragment: bytes of payload per frame, each written by itself; None sends messages whole.
            max_message: bytes of the longest message that is accepted.
        """
        self.socket = connection
        self._masks = masks
        self._read = connection.recv if read is None else read
        self._fragment = fragment
        self._max_message = max_message
        self._buffer = bytearray()
        self._message = bytearray()
        self._opcode: int | None = None
        self._sending = threading.Lock()
        self._closing = False

    @classmethod
    def connect(
        cls, host: str, port: int, path: str, *, fragment: int | None = None, timeout: float = 10.0
    ) -> Self:
        """Connect to a server, as Udacity's simulator does: no origin, no extensions.

        Args:
            host: name or address.
            port: port.
            path: path and query of the request.
            fragment: bytes of payload per frame; None sends messages whole and without delay.
            timeout: s for connection and handshake.

        Raises:
            OSError: Nobody listens there.
            SimulatorError: The program that listens there is no WebSocket server.
        """
        connection = socket.create_connection((host, port), timeout=timeout)
        name = f"[{host}]" if ":" in host else host
        try:
            if fragment is None:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            key = base64.b64encode(os.urandom(16))
            connection.sendall(
                f"GET {path} HTTP/1.1\r\nHost: {name}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Key: {key.decode()}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
            )
            head = bytearray()
            while b"\r\n\r\n" not in head:
                data = connection.recv(_CHUNK)
                if not data or len(head) > _CHUNK:
                    raise WebSocketClosedError("the server hung up during the handshake")
                head += data
            head, _, rest = head.partition(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            headers = {
                k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])
            }
            if " 101 " not in lines[0] + " " or headers.get("sec-websocket-accept") != accept_key(key):
                raise SimulatorError(
                    f"{name}:{port} answered {lines[0]!r} instead of opening a WebSocket: "
                    "what listens there is no Socket.IO server with the websocket transport"
                )
        except BaseException:
            connection.close()
            raise
        connection.settimeout(None)
        opened = cls(connection, masks=True, fragment=fragment)
        opened._buffer += rest
        return opened

    def send(self, text: str) -> None:
        """Send a text message.

        Raises:
            OSError: The connection is gone.
        """
        payload = text.encode()
        size = self._fragment
        if size is None or len(payload) <= size:
            self._send_frame(TEXT, payload)
            return
        starts = range(0, len(payload), size)
        with self._sending:
            for start in starts:
                frame = self._frame(
                    TEXT if start == 0 else CONTINUATION,
                    payload[start : start + size],
                    final=start == starts[-1],
                )
                self.socket.sendall(frame)

    def receive(self, timeout: float | None = None) -> str | bytes | None:
        """Wait for a message; control frames in between are dealt with.

        Args:
            timeout: s without a byte arriving; None waits for ever, 0 only looks.

        Returns:
            The message; None if there was none in time. Nothing is lost by a timeout.

        Raises:
            WebSocketClosedError: The other end closed, or broke the protocol.
            OSError: The connection broke.
        """
        while True:
            frame = self._take_frame()
            if frame is None:
                if self._fill(timeout) is False:
                    return None
                continue
            message = self._take_message(*frame)
            if message is not None:
                return message

    def close(self, code: int = NORMAL) -> None:
        """Send a close frame and hang up; a waiting `receive` raises. Calling it twice is fine."""
        if not self._closing:
            self._closing = True
            # A simulator that reads nothing any more must not keep us here.
            with contextlib.suppress(OSError):
                self.socket.settimeout(1.0)
                self._send_frame(CLOSE, code.to_bytes(2, "big"))
        self.abort()

    def abort(self) -> None:
        """Hang up without a close frame."""
        self._closing = True
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def _fill(self, timeout: float | None) -> bool:
        """Read what there is; False if nothing came in time."""
        if timeout is None:
            data = self._read(_CHUNK)
        else:
            self.socket.settimeout(timeout)
            try:
                data = self._read(_CHUNK)
            except (TimeoutError, BlockingIOError, socket.timeout):  # noqa: UP041 - two classes before 3.10
                return False
            finally:
                with contextlib.suppress(OSError):
                    self.socket.settimeout(None)
        if not data:
            raise WebSocketClosedError("the other end closed the connection")
        acknowledge(self.socket)
        self._buffer += data
        return True

    def _take_frame(self) -> tuple[int, bool, bytes] | None:
        """The next whole frame in the buffer: opcode, final, payload."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        size, start = buffer[1] & 127, 2
        if size == 126:
            start = 4
            size = int.from_bytes(buffer[2:4], "big")
        elif size == 127:
            start = 10
            size = int.from_bytes(buffer[2:10], "big")
        if len(buffer) < start:
            return None
        if buffer[0] & 0x70:
            self._fail(PROTOCOL_ERROR, "a frame with reserved bits")
        if size + len(self._message) > self._max_message:
            self._fail(TOO_BIG, f"a message of more than {self._max_message} bytes")
        key = b""
        if buffer[1] & 128:
            key = bytes(buffer[start : start + 4])
            start += 4
        if len(buffer) < start + size:
            return None
        payload = bytes(buffer[start : start + size])
        opcode, final = buffer[0] & 15, bool(buffer[0] & 128)
        del buffer[: start + size]
        return opcode, final, _mask(payload, key) if key else payload

    def _take_message(self, opcode: int, final: bool, payload: bytes) -> str | bytes | None:
        """Deal with a frame; the message, if it ends one."""
        if opcode == CLOSE:
            self.close()
            raise WebSocketClosedError("the other end closed the connection")
        if opcode == PING:
            self._send_frame(PONG, payload)
            return None
        if opcode == PONG:
            return None
        if opcode not in (CONTINUATION, TEXT, BINARY) or (opcode == CONTINUATION) == (self._opcode is None):
            self._fail(PROTOCOL_ERROR, f"an unexpected frame (opcode {opcode})")
        if opcode != CONTINUATION:
            self._opcode = opcode
        self._message += payload
        if not final:
            return None
        message, kind = bytes(self._message), self._opcode
        self._message, self._opcode = bytearray(), None
        if kind == BINARY:
            return message
        try:
            return message.decode()
        except UnicodeDecodeError:
            self._fail(INVALID_TEXT, "text that is not UTF-8")

    def _fail(self, code: int, what: str) -> NoReturn:
        self.close(code)
        raise WebSocketClosedError(f"the other end sent {what}")

    def _send_frame(self, opcode: int, payload: bytes) -> None:
        frame = self._frame(opcode, payload)
        with self._sending:
            self.socket.sendall(frame)

    def _frame(self, opcode: int, payload: bytes, final: bool = True) -> bytes:
        size, flag = len(payload), 128 if self._masks else 0
        head = bytes([(128 if final else 0) | opcode])
        if size < 126:
            head += bytes([flag | size])
        elif size < 65536:
            head += bytes([flag | 126]) + size.to_bytes(2, "big")
        else:
            head += bytes([flag | 127]) + size.to_bytes(8, "big")
        if not self._masks:
            return head + payload
        key = os.urandom(4)
        return head + key + _mask(payload, key)


def accept_key(key: bytes) -> str:
    """Compute a server's answer to a client's key (RFC 6455, section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _MAGIC).digest()).decode()


def acknowledge(connection: socket.socket) -> None:
    """Have the kernel acknowledge received data at once; Linux resets this option after a while.

    Without it each of the simulator's messages waits for a delayed acknowledgement: 20 steps/s instead
    of 60 at 60 frames/s. Other systems have no such option.
    """
    if hasattr(socket, "TCP_QUICKACK"):
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _mask(payload: bytes, key: bytes) -> bytes:
    repeated = np.frombuffer(key * (len(payload) // 4 + 1), np.uint8)[: len(payload)]
    return (np.frombuffer(payload, np.uint8) ^ repeated).tobytes()
