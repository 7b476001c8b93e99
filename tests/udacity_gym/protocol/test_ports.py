"""Who holds a port, and who knocks there."""

import http.server
import socket
import subprocess
import sys
import threading
import wsgiref.simple_server

import pytest
import socketio
from unity_like import UnityLike
from wire_tools import PATIENCE, free_port, running_client, wait_until

from udacity_gym.cli import doctor
from udacity_gym.protocol import ports
from udacity_gym.protocol.server import SimulatorServer

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows the process of a port")


class QuietHandler(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *arguments):
        pass


class QuietFiles(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def serve():
    """Run servers in threads until the end of the test."""
    servers = []

    def start(server):
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server.server_address[1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_driver_is_recognised_and_does_not_notice(serve):
    sio = socketio.Server(async_mode="threading", monitor_clients=False)
    connections = []
    sio.on("connect", lambda client, environ: connections.append(client))
    sio.eio.on("connect", lambda client, environ: connections.append(client))
    app = socketio.WSGIApp(sio)
    port = serve(wsgiref.simple_server.make_server("127.0.0.1", 0, app, handler_class=QuietHandler))
    assert ports.identify(port) == "driver"
    assert not connections


def test_a_web_server_is_recognised(serve):
    port = serve(http.server.HTTPServer(("127.0.0.1", 0), QuietFiles))
    assert ports.identify(port) == "web server"
    check = doctor._port(port)
    assert check.status == "warn"
    assert "a web server, which is no driver" in check.result


def test_our_environment_is_recognised_and_so_is_its_simulator():
    server = SimulatorServer(port=0)
    assert ports.identify(server.port) == "udacity-gym"
    assert "an environment of udacity-gym" in doctor._port(server.port).result
    with UnityLike(server.port):
        wait_until(lambda: server.client is not None)
        if sys.platform == "linux":
            assert "a client is connected" in doctor._port(server.port).result
        assert server.client is not None
    server.close()


def test_a_program_that_says_nothing_is_unknown(monkeypatch):
    monkeypatch.setattr(ports, "_TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert ports.identify(other.getsockname()[1]) == "unknown"


def test_nobody_is_said(monkeypatch):
    monkeypatch.setattr(doctor, "KNOCK_SECONDS", 0.05)
    check = doctor._port(free_port())
    assert check.status == "ok"
    assert "none tries to connect" in check.result
    assert doctor._port(99999).result == "there is no such port"


def test_a_simulator_that_knocks_is_seen_and_connects_afterwards(monkeypatch):
    monkeypatch.setattr(doctor, "KNOCK_SECONDS", PATIENCE)
    port = free_port()
    with UnityLike(port) as unity:
        check = doctor._port(port)
        assert "a simulator tries to connect" in check.result
        assert "drive.py" in check.advice
        server = SimulatorServer(port=port)
        wait_until(lambda: server.client is not None)
        assert unity.connections >= 1
        server.close()


def test_our_own_simulator_is_seen_too():
    port = free_port()
    with running_client(port):
        assert ports.wait_for_knock(port, PATIENCE) == "a simulator"


def test_another_program_that_knocks_is_named():
    port = free_port()
    found = []
    waiting = threading.Thread(target=lambda: found.append(ports.wait_for_knock(port, PATIENCE)))
    waiting.start()

    def knock():
        try:
            with socket.create_connection(("127.0.0.1", port)) as wire:
                wire.sendall(b"GET /index.html HTTP/1.1\r\n\r\n")
        except OSError:
            pass

    wait_until(lambda: found, meanwhile=knock)
    waiting.join()
    assert found == ["GET /index.html HTTP/1.1"]


@linux
def test_the_holder_is_named_with_its_script(tmp_path):
    script = tmp_path / "drive.py"
    script.write_text(
        "import socket\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "print(server.getsockname()[1], flush=True)\n"
        "input()\n"
    )
    process = subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        port = int(process.stdout.readline())
        assert ports.listener(port).endswith(f"drive.py (process {process.pid})")
        process.communicate("\n")
