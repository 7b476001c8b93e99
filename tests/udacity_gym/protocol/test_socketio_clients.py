"""Clients that we did not write, as simulators at our server; and servers, as drivers of our simulator."""

import contextlib
import queue
import subprocess
import threading
from pathlib import Path

import pytest
from simulated_clock import SimulatedClock
from unity_like import jpeg
from wire_tools import (
    PATIENCE,
    PATIENT,
    free_port,
    node_with,
    running_client,
    wait_for_start,
    wait_until,
)

from udacity_gym.protocol import listener
from udacity_gym.protocol.server import SETTLING
from udacity_gym.simulators import SimulatorSettings
from udacity_gym.simulators.remote import RemoteOptions, RemoteSimulator
from udacity_gym.telemetry import Control

NODE_SIMULATOR = Path(__file__).with_name("node_simulator.js")
PACKAGES = {
    "socket.io-client-2": "npm:socket.io-client@2",
    "socket.io-client-4": "npm:socket.io-client@4",
}
NODE_SERVER = Path(__file__).with_name("node_server.js")
SERVER_PACKAGES = {f"socket.io-{version}": f"npm:socket.io@{version}" for version in (2, 3, 4)}


@contextlib.contextmanager
def node_process(folder, *arguments):
    """Run a program of JavaScript; its input is an image, yields the lines of its output."""
    process = subprocess.Popen(
        ["node", *arguments],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said = queue.Queue()
    reader = threading.Thread(target=lambda: [said.put(line.strip()) for line in process.stdout], daemon=True)
    reader.start()
    try:
        process.stdin.write(jpeg())
        process.stdin.close()
        yield said
    finally:
        process.kill()
        process.wait(PATIENCE)
        reader.join(PATIENCE)
        process.stdout.close()


def make_simulator(port=0):
    """A remote simulator in simulated time: every step is two exchanges."""
    options = RemoteOptions(**PATIENT, clock=SimulatedClock())
    return RemoteSimulator(SimulatorSettings(port=port, ctrl_dt=0.02), options)


def reset(simulator):
    """Reset a simulator that has just connected."""
    wait_for_start(simulator.server)
    simulator.options.clock.advance(SETTLING)
    return simulator.reset()


@pytest.fixture(scope="module")
def node_folder(request):
    folder = node_with(request.config, "socket.io-clients", *(f"{n}@{p}" for n, p in PACKAGES.items()))
    (folder / NODE_SIMULATOR.name).write_text(NODE_SIMULATOR.read_text())
    return folder


@pytest.mark.parametrize("transports", ["default", "websocket", "polling"])
@pytest.mark.parametrize("package", PACKAGES)
def test_clients_of_javascript_are_driven(node_folder, package, transports, monkeypatch):
    monkeypatch.setattr(listener, "PING_INTERVAL", 0.2)
    pings, ping = [], listener._Engine.ping
    monkeypatch.setattr(listener._Engine, "ping", lambda engine: [pings.append(1), ping(engine)])
    with make_simulator() as simulator:
        port = str(simulator.server.port)
        with node_process(node_folder, NODE_SIMULATOR.name, package, port, transports) as said:
            first = reset(simulator)
            assert first.image().shape == (160, 320, 3)
            for i in range(40):
                telemetry = simulator.step(Control(0.5 - i / 100, 0.25))
            assert telemetry.steering == pytest.approx(0.5 - 39 / 100, abs=1e-4)
            assert telemetry.speed == pytest.approx(0.44704 * 0.25 * 80, rel=0.02)
            count = len(pings)
            wait_until(lambda: len(pings) >= count + 3)
            simulator.step(Control())
            assert said.get(timeout=PATIENCE) == "connect"
            assert said.empty(), said.get()
            assert simulator.server.connections == 1
            assert not simulator.server.drops
        wait_until(lambda: simulator.server.client is None)


@pytest.mark.parametrize("package", PACKAGES)
def test_clients_of_javascript_connect_again_to_a_new_server(node_folder, package):
    first = make_simulator()
    port = first.server.port
    with node_process(node_folder, NODE_SIMULATOR.name, package, str(port), "default"):
        reset(first)
        first.close()
        with make_simulator(port) as second:
            reset(second)
            assert second.step(Control(0.1, 0.1)).steering == pytest.approx(0.1, abs=1e-4)


@pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]])
def test_python_socketios_own_client_is_driven(transports):
    socketio = pytest.importorskip("socketio")
    pytest.importorskip("requests", reason="python-socketio's client polls with requests")
    pytest.importorskip("websocket", reason="python-socketio's client needs websocket-client")
    sio, image = socketio.Client(reconnection=False), jpeg()

    def telemetry(data):
        controls = {name: f"{float(data[name]):.4f}" for name in ("steering_angle", "throttle")}
        with contextlib.suppress(socketio.exceptions.SocketIOError):  # a command may come as it disconnects
            sio.emit("telemetry", {**controls, "speed": "12,3456", "image": image})

    sio.on("connect", lambda: [telemetry({"steering_angle": 0, "throttle": 0}) for _ in range(2)])
    sio.on("steer", telemetry)
    with make_simulator() as simulator:
        address = f"http://127.0.0.1:{simulator.server.port}"
        sio.connect(address, transports=transports, wait_timeout=PATIENCE)
        try:
            reset(simulator)
            for _ in range(20):
                state = simulator.step(Control(0.04, 0.2))
            assert state.steering == pytest.approx(0.04 / 25, abs=1e-4)
            assert state.speed == pytest.approx(12.3456 * 0.44704)
            assert simulator.server.connections == 1
        finally:
            simulator.close()  # first, since this client may wait long for a server that it has left
            sio.disconnect()


@pytest.fixture(scope="module")
def node_server_folder(request):
    folder = node_with(request.config, "socket.io-servers", *(f"{n}@{p}" for n, p in SERVER_PACKAGES.items()))
    (folder / NODE_SERVER.name).write_text(NODE_SERVER.read_text())
    return folder


@pytest.mark.parametrize("real_time", [False, True])
@pytest.mark.parametrize("package", SERVER_PACKAGES)
def test_our_simulator_is_driven_by_servers_of_javascript(node_server_folder, package, real_time):
    port = free_port()
    with node_process(node_server_folder, NODE_SERVER.name, package, str(port)) as said:
        assert said.get(timeout=PATIENCE) == "listening"
        with running_client(port, real_time=real_time) as client:
            wait_until(lambda: client.steps >= 30 and client.car.telemetry.speed > 0.5)
            assert client.car.telemetry.steering == pytest.approx(0.1)
            assert client.connections == 1
            assert client.drops == 0
        assert said.get(timeout=PATIENCE) == "connection"
