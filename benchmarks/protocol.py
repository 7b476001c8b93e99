"""Steps per second and latency over the wire: our server against everybody's drive.py, in one run.

Both are fed by the same client, which sends as Udacity's simulator does: a telemetry with an image of
14 KB in fragments of 1016 bytes, one write each, with Nagle's algorithm on; once at 60 frames per second,
once as fast as it can. The classic loop (Flask, eventlet, python-socketio 4.6.1) is installed into a
virtual environment of its own. Latency is from the telemetry to the command that answers it, as the
simulator sees it; every row is the median of several runs, taken in turns.

Run it with: python benchmarks/protocol.py
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import cv2
import numpy as np

from udacity_gym.errors import SimulatorError
from udacity_gym.protocol.dialects import DIALECTS
from udacity_gym.protocol.server import SimulatorServer
from udacity_gym.protocol.websocket import WebSocket
from udacity_gym.telemetry import Control

FRAGMENT = 1016
CLASSIC = ("flask", "eventlet", "python-socketio==4.6.1", "python-engineio==3.13.2")


def telemetry_frame() -> str:
    """What the simulator sends: about 14 KB."""
    noise = np.random.default_rng(0).normal(110, 9, (160, 320, 3)).clip(0, 255).astype(np.uint8)
    image = base64.b64encode(cv2.imencode(".jpg", cv2.blur(noise, (3, 3)))[1].tobytes()).decode()
    data = {"steering_angle": "0.0000", "throttle": "0.0000", "speed": "0.0000", "image": image}
    return "42" + json.dumps(["telemetry", data], separators=(",", ":"))


class SilenceError(Exception):
    """The server does not answer."""


def simulate(port: int, fps: float | None, exchanges: int) -> list[float]:
    """Be the simulator for a number of exchanges.

    Returns:
        s from each telemetry to the command that answers it, and at last the s that all took.
    """
    frame = telemetry_frame()
    wire = WebSocket.connect("127.0.0.1", port, "/socket.io/?EIO=4&transport=websocket", fragment=FRAGMENT)
    wire.send(frame)  # one request in flight: what is measured is one loop
    latencies, begin, sent = [], 0.0, time.perf_counter()
    while len(latencies) < exchanges + 20:
        message = wire.receive(10.0)
        if message is None:
            raise SilenceError("no answer within 10 s")
        if not str(message).startswith('42["steer"'):
            continue
        now = time.perf_counter()
        latencies.append(now - sent)
        if len(latencies) == 20:  # the first ones are for warming up
            begin = now
        if fps is not None:
            time.sleep(1 / fps - time.perf_counter() % (1 / fps))
        sent = time.perf_counter()
        wire.send(frame)
    total = time.perf_counter() - begin
    wire.abort()
    return [*latencies[20:], total]


@contextmanager
def our_server() -> Iterator[int]:
    """Our server, stepped synchronously as an environment does."""
    server = SimulatorServer(port=0)
    dialect = DIALECTS["term1"]
    closing = threading.Event()

    def exchange_until_it_goes() -> None:
        with suppress(SimulatorError):
            server.connect(1.0)
            while True:
                server.exchange(dialect.drive(Control(0.1, 0.1)), 5.0)

    def drive() -> None:
        while not closing.is_set():
            exchange_until_it_goes()

    thread = threading.Thread(target=drive, daemon=True)
    thread.start()
    try:
        yield server.port
    finally:
        closing.set()
        server.close()
        thread.join(5)


@contextmanager
def classic_server(python: Path) -> Iterator[int]:
    """Everybody's drive.py, in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = subprocess.Popen([python, Path(__file__).parent / "classic" / "drive.py", str(port)])
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def install_classic(folder: Path) -> Path:
    """A virtual environment with the classic versions; kept, as it does not change."""
    python = folder.joinpath(*(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")))
    ready = folder / "ready"
    if not ready.exists():
        print(f"installing {' '.join(CLASSIC)} into {folder}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *CLASSIC], check=True)
        ready.touch()
    return python


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--exchanges", type=int, default=200, help="per run at 60 fps; unlimited has 5 times more"
    )
    parser.add_argument("--runs", type=int, default=3, help="runs per row, the median counts")
    parser.add_argument(
        "--classic", type=Path, default=Path(tempfile.gettempdir()) / "udacity-gym-classic-drive"
    )
    options = parser.parse_args()
    python = install_classic(options.classic)

    quick = f"{platform.system()} {'with' if hasattr(socket, 'TCP_QUICKACK') else 'without'} TCP_QUICKACK"
    print(f"Python {platform.python_version()}, {quick}, {os.cpu_count()} cores")
    print(f"{'server':<30}{'simulator':>12}{'steps/s':>10}{'p50 ms':>9}{'p99 ms':>9}")
    rates: dict[tuple[str, float | None], float] = {}
    with our_server() as ours, classic_server(python) as classic:
        ports = {"classic Flask + eventlet": classic, "udacity-gym": ours}
        for fps, count in ((60.0, options.exchanges), (None, 5 * options.exchanges)):
            runs: dict[str, list[list[float]]] = {name: [] for name in ports}
            for _ in range(options.runs):
                for name, port in ports.items():
                    # The classic loop takes 44 ms each, whatever the simulator could do.
                    runs[name].append(simulate(port, fps, options.exchanges if port == classic else count))
                    time.sleep(0.5)
            for name, taken in runs.items():
                rate = statistics.median((len(run) - 1) / run[-1] for run in taken)
                p50, p99 = (
                    statistics.median(float(np.percentile(run[:-1], q)) * 1e3 for run in taken)
                    for q in (50, 99)
                )
                rates[name, fps] = rate
                speed = "60 fps" if fps else "unlimited"
                print(f"{name:<30}{speed:>12}{rate:>10.1f}{p50:>9.2f}{p99:>9.2f}", flush=True)
    for fps in (60.0, None):
        ratio = rates["udacity-gym", fps] / rates["classic Flask + eventlet", fps]
        print(f"{'60 fps' if fps else 'unlimited'}: {ratio:.1f} times the classic loop's steps per second")


if __name__ == "__main__":
    main()
