"""The exact text frames of each dialect, in both directions, at both ends of a real connection."""

import json
import re
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
from simulated_clock import SimulatedClock
from wire_tools import PATIENCE, PATIENT, running_client, wait_for_start

from udacity_gym.protocol import client
from udacity_gym.protocol.images import encode_image
from udacity_gym.protocol.server import SETTLING
from udacity_gym.protocol.websocket import WebSocket, accept_key
from udacity_gym.simulators import SimulatorSettings
from udacity_gym.simulators.base import Simulator
from udacity_gym.simulators.remote import RemoteOptions, RemoteSimulator
from udacity_gym.telemetry import MPH, Capabilities, Control, Pose, Telemetry, TrackState

SESSIONS = {path.stem: path for path in sorted(Path(__file__).with_name("frames").glob("*.txt"))}
CONTROLS = (Control(0.1, 0.3), Control(-1.0, -1.0))
IMAGE = np.random.default_rng(0).integers(0, 256, (160, 320, 3)).astype(np.uint8)
ENCODED_IMAGE = encode_image(IMAGE)
WAYPOINTS = np.array([[10.0, 1.0], [20.0, 1.0], [30.0, 1.0], [40.0, 1.0]])


def session(name):
    """Pairs (who, frame) with who "<" (simulator) or ">" (driver)."""
    lines = [line for line in SESSIONS[name].read_text(encoding="utf-8").splitlines() if line[0] in "<>"]
    return [(line[0], line[2:].replace("IMAGE", ENCODED_IMAGE)) for line in lines]


def anonymous(frame):
    """A frame without what differs every time."""
    if frame[:1] == "0":
        assert set(json.loads(frame[1:])) >= {"sid", "upgrades", "pingInterval", "pingTimeout"}
        return '0{"sid":"SID"}'
    return re.sub(r'(?<=^40\{"sid":")[^"]+', "SID", frame)


class Puppet(Simulator):
    """A car that gains 1.5 mph with every step wherever it is steered."""

    capabilities = Capabilities(("center",), True, True, True, True, True, True)
    ctrl_dt = 0.1

    def reset(self, seed=None, options=None):
        self.steps = 0
        return self._telemetry(Control())

    def step(self, control):
        self.steps += 1
        return self._telemetry(control)

    def close(self):
        pass

    def _telemetry(self, control):
        return Telemetry(
            time=0.1 * self.steps,
            speed=1.5 * MPH * self.steps,
            steering=control.steering,
            throttle=max(0.0, control.throttle),
            brake=max(0.0, -control.throttle),
            pose=Pose(5.0, 0.0, 2.0, 0.0),
            track=TrackState(0.0, -0.25, 0.0, 0.0, 0.0, 0, False, False),
            cameras=("center",),
            draw=lambda cameras: dict.fromkeys(cameras, IMAGE),
            extra={"waypoints": WAYPOINTS},
        )


def test_there_is_a_session_for_every_dialect():
    assert set(SESSIONS) == {"term1", "term1_de_DE", "term2", "mpc", "research"}


@pytest.mark.parametrize("name", SESSIONS)
def test_our_server_says_exactly_these_frames(name):
    frames, heard, failures, wires = session(name), [], [], []
    cameras = () if name == "mpc" else ("center",)
    clock = SimulatedClock()
    options = RemoteOptions(**PATIENT, clock=clock)
    with RemoteSimulator(SimulatorSettings(port=0, ctrl_dt=0.1, cameras=cameras), options) as simulator:

        def play():
            try:
                path = "/socket.io/?EIO=4&transport=websocket"
                wire = WebSocket.connect("127.0.0.1", simulator.server.port, path, fragment=1016)
                wires.append(wire)
                for who, frame in frames:
                    if who == "<":
                        clock.advance(0.1)
                        wire.send(frame)
                    else:
                        heard.append(anonymous(wire.receive(PATIENCE)))
            except Exception as error:
                failures.append(error)

        thread = threading.Thread(target=play)
        thread.start()
        wait_for_start(simulator.server)
        clock.advance(SETTLING)
        received = [simulator.reset(), *(simulator.step(control) for control in CONTROLS)]
        if name == "term2":
            clock.advance(SETTLING)
            received.append(simulator.reset())
        thread.join(PATIENCE)
        wires[0].abort()
        assert not failures
    assert heard == [frame for who, frame in frames if who == ">"]
    assert [round(t.speed / MPH, 3) for t in received[:3]] == [1.5, 3.0, 4.5]
    bias = 0.017453 if name == "term2" else 0.0
    steered = [control.steering + bias for control in (Control(), *CONTROLS)]
    assert [t.steering for t in received[:3]] == pytest.approx(steered, abs=1e-5)
    assert received[1].throttle == 0.3
    for telemetry in received if cameras else ():
        assert telemetry.image().shape == (160, 320, 3)
    if name in ("term2", "research"):
        assert received[0].extra["cte"] == -0.25
    if name == "research":
        assert received[0].extra["position"].tolist() == [5.0, 0.0, 2.0]
    if name == "mpc":
        assert received[0].pose == Pose(5.0, 0.0, 0.0, 0.0)
        assert received[0].extra["waypoints"].tolist() == WAYPOINTS.tolist()
        # The line is a metre to the left of the car: the car is a metre right of it, and parallel.
        assert received[0].extra["cte"] == pytest.approx(1.0)
        assert received[0].extra["heading_error"] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("name", SESSIONS)
def test_our_simulator_says_exactly_these_frames(name, monkeypatch):
    monkeypatch.setattr(client, "SETTLING", 0.05)
    monkeypatch.setattr(client, "SLOW_START", 0.05)
    dialect, _, culture = name.partition("_")
    frames, heard = session(name), []
    # Our server connects a client with its first event, the servers of that time at once.
    frames.sort(key=lambda item: item[0] == "<" or item[1][:1] not in ("0", "4") or item[1][:2] == "42")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)
        port = server.getsockname()[1]
        settings = {"dialect": dialect, "culture": culture or "en_US", "announce": False}
        with running_client(port, make=lambda ctrl_dt: Puppet(), **settings):
            connection, _ = server.accept()
            request = b""
            while b"\r\n\r\n" not in request:
                request += connection.recv(65536)
            assert request.startswith(b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n")
            assert b"Origin" not in request
            assert b"Extensions" not in request
            key = re.search(rb"Sec-WebSocket-Key: (\S+)", request)[1]
            answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            connection.sendall(f"{answer}Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n".encode())
            wire = WebSocket(connection, masks=False)
            for who, frame in frames:
                if who == ">":
                    wire.send(frame)
                else:
                    heard.append(wire.receive(PATIENCE))
        assert wire.receive(PATIENCE) == "41"
        assert wire.receive(PATIENCE) == "1"
        wire.abort()
    assert heard == [frame for who, frame in frames if who == "<"]
