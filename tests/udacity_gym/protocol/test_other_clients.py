"""Who connects first and is no simulator keeps nobody out, costs little, and is forgotten."""

import contextlib
import http.client
import socket
import struct

import pytest
from unity_like import HANDSHAKE, UnityLike
from wire_tools import PATIENCE, PATIENT, running_client, wait_for_start, wait_until

from udacity_gym.errors import SimulatorTimeoutError
from udacity_gym.protocol import listener, server as server_module
from udacity_gym.protocol.server import SimulatorServer
from udacity_gym.protocol.websocket import WebSocket
from udacity_gym.simulators import SimulatorSettings
from udacity_gym.simulators.remote import RemoteOptions, RemoteSimulator
from udacity_gym.telemetry import Control

TELEMETRY = '42["telemetry",{"steering_angle":"0","throttle":"0","speed":"0"}]'


@pytest.fixture
def server():
    opened = SimulatorServer(port=0)
    yield opened
    opened.close()


def get(port, path, host=None):
    """The status of a request, as an <img> on a web page sends it: without Origin."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("GET", path, headers={} if host is None else {"Host": host})
    status = connection.getresponse().status
    connection.close()
    return status


def open_websocket(port, *packets, version=4):
    wire = WebSocket.connect("127.0.0.1", port, f"/socket.io/?EIO={version}&transport=websocket")
    for packet in packets:
        wire.send(packet)
    return wire


def reset_handshake(port):
    """Ask for a WebSocket and vanish before the answer."""
    wire = socket.create_connection(("127.0.0.1", port))
    wire.sendall(HANDSHAKE)
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.close()


def sessions(server):
    """Everything that is kept for clients: of Engine.IO, of Socket.IO, of ours."""
    sockets = server._listener._sockets
    return len(sockets.eio.sockets), len(sockets.environ), len(server._connections)


FIRST = {
    "an image of a web page": lambda port: get(port, "/socket.io/?EIO=3&transport=polling"),
    "that says it is our simulator": lambda port: get(
        port, "/socket.io/?EIO=3&transport=polling&udacity_gym=1"
    ),
    "polling of version 4": lambda port: get(port, "/socket.io/?EIO=4&transport=polling"),
    "a WebSocket that says nothing": open_websocket,
    "CONNECT and nothing more": lambda port: open_websocket(port, "40"),
    "version 3 and nothing more": lambda port: open_websocket(port, version=3),
    "other events": lambda port: open_websocket(port, "40", '42["hello",{}]', '42["hello"]'),
    "telemetry that is none": lambda port: open_websocket(port, '42["telemetry",{"speed":"fast"}]'),
    "a handshake that was reset": reset_handshake,
    "a connection without a request": lambda port: socket.create_connection(("127.0.0.1", port)),
}


@pytest.mark.parametrize("first", FIRST)
def test_who_connects_first_does_not_keep_the_simulator_out(first):
    with RemoteSimulator(
        SimulatorSettings(port=0, ctrl_dt=1e-6, cameras=()), RemoteOptions(**PATIENT)
    ) as simulator:
        other = FIRST[first](simulator.server.port)
        with UnityLike(simulator.server.port, image=False) as unity:
            wait_for_start(simulator.server)
            simulator.reset()
            assert simulator.step(Control(0.0, 0.5)).speed > 0
            assert simulator.server.connections == 1
            assert unity.commands
        if hasattr(other, "close"):
            other.close()


@pytest.mark.parametrize("first", ["CONNECT and nothing more", "that says it is our simulator"])
def test_our_own_simulator_is_not_kept_out_either(first):
    with RemoteSimulator(SimulatorSettings(port=0, cameras=()), RemoteOptions(**PATIENT)) as simulator:
        other = FIRST[first](simulator.server.port)
        with running_client(simulator.server.port):
            simulator.reset(seed=1)
            assert simulator.step(Control(0.0, 1.0)).time > 0
        if hasattr(other, "close"):
            other.close()


def test_clients_that_are_no_simulators_are_counted_in_the_message(server):
    wires = [open_websocket(server.port) for _ in range(3)]
    wait_until(lambda: server._listener.sessions == 3)
    with pytest.raises(SimulatorTimeoutError, match="3 clients are connected and sent no telemetry"):
        server.connect(0.01)
    for wire in wires:
        wire.abort()


def test_sessions_without_telemetry_are_closed_after_a_while_and_simulators_are_not(monkeypatch):
    monkeypatch.setattr(listener, "PING_INTERVAL", 0.05)
    monkeypatch.setattr(listener, "MAX_SILENCE", 0.0)
    server = SimulatorServer(port=0)
    simulator = open_websocket(server.port, TELEMETRY)
    wait_until(lambda: server.client is not None)
    client = server.client
    for _ in range(20):
        get(server.port, "/socket.io/?EIO=3&transport=polling")
        get(server.port, "/socket.io/?EIO=4&transport=polling")
    wires = [open_websocket(server.port, "40"), open_websocket(server.port)]
    for wire in wires:
        with contextlib.suppress(OSError):  # hung up on
            while wire.receive(PATIENCE) is not None:
                pass
        wire.abort()
    wait_until(lambda: sessions(server) == (1, 1, 1))
    assert server.client == client
    simulator.abort()
    server.close()


def test_sessions_are_bounded_in_number_and_the_simulator_stays(server):
    simulator = open_websocket(server.port, TELEMETRY)
    wait_until(lambda: server.client is not None)
    client = server.client
    for _ in range(3 * listener.MAX_SESSIONS):
        get(server.port, "/socket.io/?EIO=3&transport=polling")
    assert max(sessions(server)) <= listener.MAX_SESSIONS
    imitators = []
    for count in range(2, listener.MAX_SESSIONS + 5):
        imitators.append(open_websocket(server.port, TELEMETRY))
        wait_until(lambda count=count: server.connections == count)
    assert max(sessions(server)) <= listener.MAX_SESSIONS
    assert server.client == client
    simulator.send("2")
    while simulator.receive(PATIENCE) != "3":
        pass
    for wire in (simulator, *imitators):
        wire.abort()


def test_connections_are_bounded_in_number_and_the_simulator_stays(server):
    simulator = open_websocket(server.port, TELEMETRY)
    wait_until(lambda: server.client is not None)
    address = ("127.0.0.1", server.port)
    idle = [socket.create_connection(address) for _ in range(2 * listener.MAX_CONNECTIONS)]
    assert get(server.port, "/") == 404
    wait_until(lambda: len(server._listener._http._connections) <= listener.MAX_CONNECTIONS)
    simulator.send("2")
    while simulator.receive(PATIENCE) != "3":
        pass
    for wire in idle:
        wire.close()
    simulator.abort()


def test_a_request_that_does_not_come_ends_the_connection(server, monkeypatch):
    monkeypatch.setattr(listener._RequestHandler, "timeout", 0.05)
    with socket.create_connection(("127.0.0.1", server.port)) as wire:
        wire.settimeout(PATIENCE)
        wire.sendall(b"GET /socket.io/?EIO=4")
        assert wire.recv(100) == b""


def test_handshakes_that_were_reset_leave_nothing(server):
    for _ in range(200):
        reset_handshake(server.port)
    get(server.port, "/")
    wait_until(lambda: not server._listener._http._connections)
    wait_until(lambda: sessions(server) == (0, 0, 0))


def test_a_simulator_that_has_left_makes_room_for_the_next(server):
    first, second = open_websocket(server.port, TELEMETRY), None
    wait_until(lambda: server.client is not None)
    client = server.client
    second = open_websocket(server.port, TELEMETRY)
    wait_until(lambda: server.connections == 2)
    assert server.client == client
    first.abort()
    wait_until(lambda: server.client not in (client, None))
    second.abort()


@pytest.mark.parametrize("host", ["evil.example", "rebound.attacker.com:4567", "evil.com.", "[", "a.b:x"])
def test_a_host_that_a_web_page_can_have_is_refused(server, host):
    for path in ("/", "/socket.io/?EIO=4&transport=polling", "/socket.io/?EIO=3&transport=polling"):
        assert get(server.port, path, host) == 403
    assert sessions(server) == (0, 0, 0)
    with pytest.raises(SimulatorTimeoutError, match="of the host"):
        server.connect(0.01)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost:4567", "LOCALHOST", "[::1]:4567", "192.168.1.5:4567", "", "mybox"),
        *("mybox.local", "host.docker.internal:4567", "[fe80::1%25eth0]:4567", socket.gethostname()),
    ],
)
def test_hosts_of_this_machine_and_its_network_are_served(server, host):
    assert get(server.port, "/socket.io/?EIO=4&transport=polling", host) == 200


def test_the_host_to_listen_on_may_have_a_name():
    assert listener.is_local("sim.example.org:4567", "sim.example.org")
    assert not listener.is_local("sim.example.org:4567", "127.0.0.1")


def test_listening_for_the_network_warns():
    with pytest.warns(UserWarning, match=r"everybody who can reach port \d+.*SSH tunnel"):
        opened = SimulatorServer("0.0.0.0", 0)
    assert get(opened.port, "/") == 404
    opened.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1"])
def test_listening_on_loopback_does_not_warn(host):
    assert listener.is_loopback(host)


def test_the_loopback_address_of_ipv6_works():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        pytest.skip("no IPv6 on this machine")
    settings = SimulatorSettings(host="::1", port=0, cameras=())
    with RemoteSimulator(settings, RemoteOptions(**PATIENT)) as simulator:
        assert simulator.server.address == f"[::1]:{simulator.server.port}"
        with running_client(simulator.server.port, host="::1"):
            simulator.reset(seed=1)
            assert simulator.step(Control(0.0, 1.0)).time > 0


def test_telemetry_of_a_german_mpc_build_says_what_to_do(server):
    wire = open_websocket(
        server.port,
        '42["telemetry",{"ptsx":[-32,16173,-43,49173],"ptsy":[113,361,105,941],"x":-40,62,"y":108,73}]',
    )
    wait_until(lambda: server.drops.total() == 1)
    with pytest.raises(SimulatorTimeoutError, match=r"decimal commas.*LC_ALL=C"):
        server.connect(0.01)
    wire.abort()


def test_a_research_build_that_waits_for_its_episode_is_asked_to_start(server, monkeypatch):
    monkeypatch.setattr(server_module, "SILENT", 0.0)
    image = open_websocket(server.port, "40")  # another client that says nothing
    wire = open_websocket(server.port, "40")
    wait_until(lambda: len(server._connections) == 2)
    with pytest.raises(SimulatorTimeoutError):
        server.connect(0.01)
    received = []
    while not any("start_episode" in packet for packet in received):
        received.append(wire.receive(PATIENCE))
    data = '{"pos_x":"1","pos_y":"0","pos_z":"2","speed":"0","steering_angle":"0","throttle":"0"}'
    wire.send(f'42["car_telemetry",{data}]')
    assert server.connect(PATIENCE).speed == 0.0
    assert server.dialect.name == "research"
    for client in (image, wire):
        client.abort()
