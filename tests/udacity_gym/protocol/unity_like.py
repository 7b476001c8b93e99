"""A simulator on a raw socket that shares no code of the wire with the package: Unity's, byte for byte.

It sends every message in fragments of 1016 bytes, one write each, with Nagle's algorithm on; it never
says CONNECT, pings by itself, and answers each steer with a telemetry of the next frame.
"""

import base64
import contextlib
import json
import os
import socket
import struct
import threading

import cv2
import numpy as np

from udacity_gym.protocol.clock import Clock

HANDSHAKE = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nUser-Agent: websocket-sharp/1.0\r\n"
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nHost: 127.0.0.1:4567\r\n"
    b"Sec-WebSocket-Key: bDvKTVboSqCiNNJlpvH9rg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
FRAGMENT = 1016


def jpeg(seed=0, size=(160, 320)):
    pixels = np.random.default_rng(seed).normal(110, 9, (*size, 3)).clip(0, 255).astype(np.uint8)
    return base64.b64encode(cv2.imencode(".jpg", cv2.blur(pixels, (3, 3)))[1].tobytes()).decode()


def frame(opcode, final, payload):
    key, size = os.urandom(4), len(payload)
    head = bytes([(0x80 if final else 0) | opcode])
    head += bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126]) + struct.pack(">H", size)
    mask = np.frombuffer((key * (size // 4 + 1))[:size], np.uint8)
    return head + key + (np.frombuffer(payload, np.uint8) ^ mask).tobytes()


class UnityLike:
    """Connects, and is then driven by the server.

    Args:
        port: of the server.
        clock: measures the frames.
        fps: frames per second; None answers at once.
        image: whether there is an image in the telemetry.
        fragment: bytes per fragment; None sends whole messages with TCP_NODELAY.
        culture: rewrites numbers as a machine's culture does.
        extra: further fields of the telemetry.
        event: name of the telemetry.
        mute: send no telemetry.
        manual: a person drives.

    Attributes:
        attempts: how often it has tried to connect.
        connections: how often it has connected.
    """

    def __init__(
        self,
        port,
        clock=None,
        fps=None,
        image=True,
        fragment=FRAGMENT,
        culture=str,
        extra=None,
        event="telemetry",
        mute=False,
        manual=False,
    ):
        self.port, self.fps, self.fragment, self.culture = port, fps, fragment, culture
        self.image = jpeg() if image else None
        self.clock = clock or Clock()
        self.extra, self.event, self.mute, self.manual = extra or {}, event, mute, manual
        self.commands, self.received = [], []
        self.sent = self.attempts = self.connections = 0
        self.steering = self.throttle = self.speed = 0.0
        self.wire = None
        self._stop = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.quit()

    def quit(self):
        """What Unity does when its window is closed."""
        self._stop.set()
        if self.wire is not None:  # it may have been closed before anybody listened
            with contextlib.suppress(OSError):
                self._send_text("41")
                self._send_text("1")
                self.wire.sendall(frame(8, True, b"\x03\xe8"))
        self.crash()

    def crash(self):
        self._stop.set()
        if self.wire is not None:
            with contextlib.suppress(OSError):
                self.wire.shutdown(socket.SHUT_RDWR)
        self.thread.join(60)

    def tell(self):
        """The data of a telemetry."""
        if self.manual:
            return None
        data = {
            "steering_angle": self.culture(f"{self.steering * 25:,.4f}"),
            "throttle": self.culture(f"{max(0.0, self.throttle):,.4f}"),
            "speed": self.culture(f"{self.speed:,.4f}"),
        }
        return {**data, **self.extra, **({"image": self.image} if self.image else {})}

    def obey(self, event, data):
        """Deal with an event; whether a telemetry is due."""
        if event == "steer":
            self.steering, self.throttle = float(data["steering_angle"]), float(data["throttle"])
            self.speed = max(0.0, self.speed + self.throttle)
        return event in ("steer", "manual")

    def _run(self):
        while not self._stop.is_set():
            with contextlib.suppress(OSError, EOFError):
                self._connect()
                self._converse()
            if self.wire is not None:
                self.wire.close()
            self._stop.wait(0.005)

    def _connect(self):
        while True:
            self.attempts += 1
            try:
                self.wire = socket.create_connection(("127.0.0.1", self.port))
                break
            except OSError:
                if self._stop.wait(0.02):
                    raise
        if self.fragment is None:
            self.wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.wire.sendall(HANDSHAKE)
        self.buffer = b""
        while b"\r\n\r\n" not in self.buffer:
            self._fill()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        assert head.startswith(b"HTTP/1.1 101"), head
        self.connections += 1

    def _converse(self):
        self._emit()  # the socket is open
        next_ping = self.clock.now() + 25
        while not self._stop.is_set():
            text = self._next()
            self.received.append(text)
            if self.clock.now() > next_ping:
                self._send_text("2")
                next_ping += 25
            if text[:1] == "0":
                self._emit()  # Engine.IO is open
            elif text == "2":
                self._send_text("3")
            elif text[:2] == "42":
                event, data = json.loads(text[2:])
                self.commands.append((event, data))
                if self.obey(event, data):
                    self._emit()
            if len(self.commands) > 5000:
                del self.commands[:2500], self.received[:2500]

    def _emit(self):
        if self.fps is not None:  # the image is taken with the next frame
            frames = self.clock.now() * self.fps
            self.clock.sleep((int(frames + 1e-6) + 1 - frames) / self.fps)
        if not self.mute:
            self.sent += 1
            self._send_text("42" + json.dumps([self.event, self.tell()], separators=(",", ":")))

    def _send_text(self, text):
        data, size = text.encode(), self.fragment or len(text)
        pieces = [data[start : start + size] for start in range(0, len(data), size)]
        for i, piece in enumerate(pieces):
            self.wire.sendall(frame(1 if i == 0 else 0, i == len(pieces) - 1, piece))

    def _fill(self):
        data = self.wire.recv(65536)
        if not data:
            raise EOFError
        self.buffer += data

    def _next(self):
        while True:
            if len(self.buffer) >= 2:
                size, start = self.buffer[1] & 127, 2
                if size == 126 and len(self.buffer) >= 4:
                    size, start = struct.unpack(">H", self.buffer[2:4])[0], 4
                if (size != 126 or start == 4) and len(self.buffer) >= start + size:
                    opcode, payload = self.buffer[0] & 15, self.buffer[start : start + size]
                    self.buffer = self.buffer[start + size :]
                    if opcode == 8:
                        raise EOFError
                    return payload.decode()
            self._fill()
