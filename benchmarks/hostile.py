"""What the wire survives: malformed frames, other clients, opening and closing, on both sides.

The driver's side is the environment's server with a raw client. The simulator's side is our simulator with a
raw server. After each attack a real conversation must work, and the threads must be as many as before. It
ends with an error if something did not survive, or took longer than --minutes.

Run it with: python benchmarks/hostile.py
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import faulthandler
import gc
import http.client
import json
import random
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from udacity_gym.errors import SimulatorError
from udacity_gym.protocol.client import SimulatorClient
from udacity_gym.protocol.listener import Listener
from udacity_gym.protocol.server import SimulatorServer
from udacity_gym.protocol.websocket import WebSocket
from udacity_gym.simulators import SimulatorSettings
from udacity_gym.simulators.embedded import EmbeddedSimulator
from udacity_gym.simulators.remote import RemoteOptions, RemoteSimulator
from udacity_gym.telemetry import Control

TELEMETRY = {"steering_angle": "0.0000", "throttle": "0.0000", "speed": "1.0000"}
FIELDS = (
    "steering_angle",
    "throttle",
    "speed",
    "image",
    "cte",
    "ptsx",
    "twin",
    "process",
    "number",
    "options",
)
VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0.5, 1e300, 10**90, "", "x", "NaN", "1e999", "1,5000", "4.2141-", "12/3456", "\ud7ff"),
    *([], [[]], {}, {"a": {}}, "A" * 5000, [1.0] * 50),
)
CURIOUS = (
    "",
    "0",
    "1x",
    "2probe",
    "3",
    "4",
    "40",
    "41",
    "42",
    "42[]",
    "42{}",
    "42[1]",
    '42["x"',
    "43[]",
    "44",
    "5",
    "6",
)
FRAMES_AT_ONCE = 50
"""Frames on one connection, at most; some of them end it."""
PATIENCE = 60.0
"""s after which an answer counts as missing."""


def frame(random_numbers: random.Random) -> str:
    """A frame that no simulator and no driver should send."""
    kind = random_numbers.randrange(4)
    if kind == 0:
        return random_numbers.choice(CURIOUS)
    if kind == 1:
        return "".join(chr(random_numbers.randrange(32, 1000)) for _ in range(random_numbers.randrange(40)))
    event = random_numbers.choice(
        ("telemetry", "car_telemetry", "steer", "manual", "reset", "step", "", "disconnect")
    )
    data: Any = {
        random_numbers.choice(FIELDS): random_numbers.choice(VALUES)
        for _ in range(random_numbers.randrange(6))
    }
    if kind == 3:
        data = random_numbers.choice(({**TELEMETRY, **data}, random_numbers.choice(VALUES)))
    return "42" + json.dumps([event, data])


def memory() -> float:
    """Resident set of this process in MB; 0 where the system does not show it."""
    status = Path("/proc/self/status")
    return int(status.read_text().split("VmRSS:")[1].split()[0]) / 1024 if status.exists() else 0.0


def wait_until(condition: Callable[[], bool]) -> bool:
    """Wait for something; whether it came."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def connect(port: int, version: int = 4) -> WebSocket:
    """Open a WebSocket as a simulator does."""
    return WebSocket.connect("127.0.0.1", port, f"/socket.io/?EIO={version}&transport=websocket")


def answers_ping(wire: WebSocket) -> bool:
    """Whether the other end still answers; False if it has hung up."""
    try:
        wire.send("2")
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if wire.receive(PATIENCE) == "3":
                return True
    except OSError:
        return False
    raise SystemExit("no answer to a ping: the server hangs")


@contextlib.contextmanager
def simulator(port: int, **settings: Any) -> Iterator[SimulatorClient]:
    """Our simulator in a thread."""
    client = SimulatorClient(
        lambda ctrl_dt: EmbeddedSimulator(SimulatorSettings("lake", ctrl_dt=ctrl_dt)),
        port=port,
        patience=PATIENCE,
        **settings,
    )
    thread = threading.Thread(target=client.run, daemon=True)
    thread.start()
    try:
        yield client
    finally:
        client.stop()
        thread.join(PATIENCE)


def drives(server: SimulatorServer) -> bool:
    """Whether a simulator that comes now is served."""
    with simulator(server.port, announce=False):
        server.connect(PATIENCE)
        steer = ("steer", {"steering_angle": "0", "throttle": "1"})
        return all(server.exchange(steer, PATIENCE) is not None for _ in range(10))


def frames_to_the_server(count: int, random_numbers: random.Random) -> str:
    """Send malformed frames as a client."""
    server = SimulatorServer(port=0)
    sent = connections = 0
    while sent < count:
        wire = connect(server.port, random_numbers.choice((3, 4)))
        connections += 1
        with contextlib.suppress(OSError):
            for _ in range(FRAMES_AT_ONCE):
                wire.send(frame(random_numbers))
                sent += 1
        answers_ping(wire)
        wire.abort()
    freed = wait_until(lambda: server._listener.sessions == 0)
    ok = freed and drives(server)
    result = f"{sent} frames on {connections} connections, {server.drops.total()} counted as dropped"
    server.close()
    return check(ok, f"{result}; a simulator then drives")


def connections_to_the_server(count: int, random_numbers: random.Random) -> str:
    """Open connections of clients that are no simulators, while one drives."""
    simulator_settings = SimulatorSettings(port=0, cameras=(), ctrl_dt=1e-6)
    most = steps = 0
    with (
        RemoteSimulator(simulator_settings, RemoteOptions(connect_timeout=PATIENCE)) as remote,
        simulator(remote.server.port, announce=False, real_time=True),
    ):
        remote.reset()
        port, open_ones = remote.server.port, []
        for i in range(count):
            kind = random_numbers.randrange(5)
            with contextlib.suppress(OSError, SimulatorError, http.client.HTTPException):
                if kind == 0:
                    get = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
                    get.request("GET", f"/socket.io/?EIO={random_numbers.choice('34')}&transport=polling")
                    get.getresponse().read()
                    get.close()
                elif kind == 1:
                    wire = connect(port)
                    wire.send("40")
                    open_ones.append(wire.socket)
                elif kind == 2:
                    open_ones.append(socket.create_connection(("127.0.0.1", port)))
                elif kind == 3:
                    open_ones.append(connect(port).socket)
                else:
                    raw = socket.create_connection(("127.0.0.1", port))
                    raw.sendall(
                        b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"
                    )
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    raw.close()
            most = max(most, remote.server._listener.sessions)
            if i % 20 == 0:
                remote.step(Control(0.0, 0.1))
                steps += 1
        gone = "end_reason" in remote.step(Control()).extra
        for opened in open_ones:
            opened.close()
    return check(
        not gone, f"{count} connections, at most {most} sessions at a time, {steps} steps driven meanwhile"
    )


def open_and_close_the_server(count: int, random_numbers: random.Random) -> str:
    """Open and close environments while a simulator tries to connect."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    driven = 0
    with simulator(port, announce=False, real_time=True):
        for i in range(count):
            settings = SimulatorSettings(port=port, cameras=(), ctrl_dt=1e-6)
            with RemoteSimulator(settings, RemoteOptions(connect_timeout=PATIENCE)) as remote:
                if i % 50 == 0:
                    remote.reset()
                    remote.step(Control(0.0, 0.1))
                    driven += 1
    return check(True, f"{count} times opened and closed, driven in {driven} of them")


class Attacker:
    """A driver that sends malformed frames to a simulator."""

    def __init__(self) -> None:
        self.client: str | None = None
        self.answers: set[Any] = set()
        self._opened = threading.Event()
        self.listener = Listener("127.0.0.1", 0, self)
        self._opened.set()

    def connected(self, client: str, query: dict[str, str]) -> None:
        """Note the simulator."""
        self._opened.wait()
        self.client = client

    def disconnected(self, client: str) -> None:
        """Forget the simulator."""
        if client == self.client:
            self.client = None

    def unreadable(self, client: str, what: str) -> None:
        """Ignore it."""

    def handle(self, client: str, event: str, data: Any) -> bool:
        """Note the number of an exact answer."""
        answer = data.get("twin") if isinstance(data, dict) else None
        if isinstance(answer, dict) and "pose" in answer and isinstance(answer.get("number"), int):
            self.answers.add(answer["number"])
        return True

    def send(self, packet: str) -> None:
        """Send a raw packet, if a simulator is connected."""
        sockets = self.listener._sockets
        client = self.client
        session = None if client is None else sockets.manager.eio_sid_from_sid(client, "/")
        if session is not None and packet[:1] == "4":
            with contextlib.suppress(Exception):
                sockets.eio.send(session, packet[1:])


def frames_to_the_simulator(count: int, random_numbers: random.Random) -> str:
    """Send malformed frames as a driver."""
    attacker = Attacker()
    sent = 0
    with simulator(attacker.listener.port) as client:
        while sent < count:
            if not wait_until(lambda: attacker.client is not None):
                return check(False, f"the simulator was gone after {sent} frames")
            for _ in range(FRAMES_AT_ONCE):
                attacker.send(frame(random_numbers))
                sent += 1
        data = {"number": 7, "seed": 0, "options": {}, "ctrl_dt": 0.1, "mode": "training", "cameras": []}
        attacker.send("42" + json.dumps(["reset", data]))
        ok = wait_until(lambda: 7 in attacker.answers)
        result = f"{sent} frames, {client.drops} counted as dropped, {client.connections} connections"
    attacker.listener.close()
    return check(ok, f"{result}; it then obeys")


def open_and_close_the_simulator(count: int, random_numbers: random.Random) -> str:
    """Hang up on the simulator again and again."""
    attacker = Attacker()
    with simulator(attacker.listener.port, real_time=True) as client:
        for _ in range(count):
            if not wait_until(lambda: attacker.client is not None):
                return check(False, f"the simulator did not come back after {client.connections} connections")
            hung_up = attacker.client
            if hung_up is not None:
                attacker.listener.hang_up(hung_up)
        ok = wait_until(lambda: attacker.client is not None)
        result = f"{client.connections} connections, {client.steps} frames simulated meanwhile"
    attacker.listener.close()
    return check(ok, result)


def images(count: int, random_numbers: random.Random) -> str:
    """Refuse images that are bombs, by their header."""
    from udacity_gym.protocol.images import EncodedImages

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    header = (30_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", b"\0" * 1_500_000)
        + chunk(b"IEND", b"")
    )
    encoded = EncodedImages({"center": base64.b64encode(bomb).decode()})
    before, begin, refused = memory(), time.perf_counter(), 0
    for _ in range(count):
        for call in (lambda: encoded.check(("center",), (160, 320)), lambda: encoded(("center",))):
            with contextlib.suppress(SimulatorError):
                call()
                continue
            refused += 1
    milliseconds = (time.perf_counter() - begin) / (2 * count) * 1e3
    grown = memory() - before
    return check(
        refused == 2 * count and grown < 20,
        f"{refused} images of 30000x30000 pixels refused in {milliseconds:.1f} ms each, {grown:+.0f} MB",
    )


def check(ok: bool, text: str) -> str:
    """A result; the end of the program if it is a bad one."""
    if not ok:
        raise SystemExit(f"FAILED: {text}")
    return text


def main() -> int:
    """Attack, and print what survived."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=10_000, help="malformed frames, on each side")
    parser.add_argument("--connections", type=int, default=1000, help="connections of other clients")
    parser.add_argument("--cycles", type=int, default=500, help="times of opening and closing, on each side")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=8.0, help="after which it counts as hanging")
    options = parser.parse_args()
    faulthandler.dump_traceback_later(60 * options.minutes, exit=True)
    attacks: list[tuple[str, Callable[[int, random.Random], str], int]] = [
        ("server: frames", frames_to_the_server, options.frames),
        ("server: other clients", connections_to_the_server, options.connections),
        ("server: open, close", open_and_close_the_server, options.cycles),
        ("server: images", images, 20),
        ("simulator: frames", frames_to_the_simulator, options.frames),
        ("simulator: hang up", open_and_close_the_simulator, options.cycles),
    ]
    drives_once = SimulatorServer(port=0)
    drives(drives_once)  # compiles, and loads what is loaded once
    drives_once.close()
    print(f"{'attack':<24}{'s':>6}{'threads':>9}{'MB':>7}  result")
    for name, attack, count in attacks:
        threads, before, begin = threading.active_count(), memory(), time.monotonic()
        result = attack(count, random.Random(options.seed))
        seconds = time.monotonic() - begin
        check(
            wait_until(lambda threads=threads: threading.active_count() <= threads), f"{name}: threads left"
        )
        gc.collect()
        grown, more = memory() - before, threading.active_count() - threads
        print(f"{name:<24}{seconds:>6.1f}{more:>+9}{grown:>+7.1f}  {result}", flush=True)
    print("all survived")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
