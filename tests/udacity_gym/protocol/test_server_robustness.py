"""Whatever arrives is a telemetry, a counted drop or a clear error; never a hang or the server's end."""

import gc
import http.client
import json
import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from unity_like import UnityLike
from wire_tools import PATIENCE, PATIENT, free_port, wait_for_start, wait_until

from udacity_gym.errors import SimulatorError, SimulatorTimeoutError
from udacity_gym.protocol.dialects import DIALECTS, PID_BIAS, detect, write_event
from udacity_gym.protocol.numbers import CULTURES, JsonNumber
from udacity_gym.protocol.server import SimulatorServer
from udacity_gym.protocol.websocket import WebSocket
from udacity_gym.simulators import SimulatorSettings
from udacity_gym.simulators.remote import RemoteOptions, RemoteSimulator
from udacity_gym.telemetry import Control

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
NUMERIC = ("steering_angle", "throttle", "speed", "cte", "x", "y", "psi", "pos_x", "pos_y", "pos_z", "lap")
FIELDS = st.sampled_from([*NUMERIC, "image", "ptsx", "ptsy", "twin", "process"])
TELEMETRY = st.dictionaries(FIELDS, JSON | st.just("1,5000") | st.just(0.5) | st.just([1.0, 2.0]), max_size=8)
EVENTS = st.sampled_from(["telemetry", "car_telemetry", "connect", "disconnect", "status", "sim_paused", ""])
CURIOUS = [
    *("2", "3", "5", "6", "1", "40", "41", "42", "43", "44", "45", "4", "0", "2probe", "b4aaaa"),
    *("42[]", "42{}", "40/x", "431[1]"),
    '42["telemetry"]',
    '42["telemetry",{},{},{}]',
    '420["telemetry",{}]',
    '42/x,["telemetry",{}]',
    '451-["telemetry",{"_placeholder":true,"num":0}]',
    "42" + "[" * 5000,
    "4" * 3000,
]
PACKETS = st.one_of(
    st.text(max_size=60),
    st.builds(lambda name, data: "42" + json.dumps([name, data]), EVENTS, JSON | TELEMETRY),
    st.sampled_from(CURIOUS),
)


def connect(server, version=4):
    return WebSocket.connect("127.0.0.1", server.port, f"/socket.io/?EIO={version}&transport=websocket")


@pytest.fixture(scope="module")
def server():
    opened = SimulatorServer(port=0)
    yield opened
    opened.close()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(packets=st.lists(PACKETS, max_size=8), version=st.sampled_from([3, 4]))
def test_any_packets_leave_the_server_in_service(server, packets, version):
    wire = connect(server, version)
    try:
        for packet in packets:
            wire.send(packet)
        # The end of the connection, or the answer to a ping: the thread that reads it is alive.
        wire.send("2")
        while (answer := wire.receive(PATIENCE)) != "3":
            assert answer is not None, f"no answer after {packets}"
    except OSError:
        pass  # hung up on, as "1" asks for
    finally:
        wire.abort()


def test_after_all_that_a_simulator_is_served(server):
    wait_until(lambda: server.client is None)
    with UnityLike(server.port):
        wait_for_start(server)
        assert server.connect(PATIENCE).speed == 0.0
        assert server.exchange(("steer", {"steering_angle": "0", "throttle": "1"}), PATIENCE).speed > 0
    assert server.drops


def refused(call, *arguments):
    """What a call returns, or the ValueError by which it refuses."""
    try:
        return call(*arguments)
    except ValueError as error:
        return error


@given(JSON | TELEMETRY, EVENTS)
def test_any_telemetry_is_read_or_refused_with_a_value_error(data, event):
    dialect = detect({}, event, data)
    for reader in DIALECTS.values() if dialect is None else [dialect]:
        if isinstance(data, dict) and data and not reader.is_manual(data):
            result = refused(reader.read_telemetry, data)
            assert str(result) if isinstance(result, ValueError) else -1 <= result.steering <= 1


@given(EVENTS | st.sampled_from(["steer", "action", "manual", "reset", "pause_sim"]), JSON | TELEMETRY)
def test_any_command_is_read_or_refused_with_a_value_error(event, data):
    for dialect in DIALECTS.values():
        command = refused(dialect.read_command, event, data, CULTURES["de_DE"])
        if isinstance(command, ValueError):
            assert str(command)
        else:
            assert command is None or command.control is None or -1 <= command.control.steering <= 1


@given(st.floats(-1, 1), st.floats(-1, 1), st.sampled_from(sorted(CULTURES)))
def test_a_command_arrives_as_it_was_meant(steering, throttle, culture):
    for name in ("term1", "term2", "research", "mpc"):
        dialect = DIALECTS[name]
        text = write_event(dialect.drive(Control(steering, throttle)))
        command = dialect.read_command(*json.loads(text, parse_float=JsonNumber), CULTURES[culture])
        bias = PID_BIAS if name == "term2" else 0.0
        assert command.control.steering == pytest.approx(min(1.0, steering + bias), abs=5.1e-7)
        assert command.control.throttle == pytest.approx(throttle, abs=5.1e-7)


@pytest.mark.parametrize(
    ("request_line", "headers", "body"),
    [
        (("GET", "/"), {}, None),
        (("GET", "/socket.io/"), {}, None),
        (("GET", "/socket.io/?EIO=4&transport=websocket"), {}, None),
        (("GET", "/socket.io/?EIO=2&transport=polling"), {}, None),
        (("GET", "/socket.io/?EIO=3&transport=polling&sid=nobody"), {}, None),
        (("POST", "/socket.io/?EIO=4&transport=polling&sid=nobody"), {}, b"4x"),
        (("POST", "/socket.io/?EIO=3&transport=polling&sid=nobody"), {}, b"9999:4x"),
        (("DELETE", "/socket.io/?EIO=4&transport=polling"), {}, None),
        (("GET", "/socket.io/?EIO=4&transport=polling"), {"Content-Length": "abc"}, None),
    ],
)
def test_any_request_is_answered(server, request_line, headers, body):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    connection.request(*request_line, body=body, headers=headers)
    assert connection.getresponse().status in (200, 400, 401, 404, 405)
    connection.close()


def test_a_message_without_end_is_refused(server):
    wire = connect(server)

    def go_on():
        wire.socket.sendall(wire._frame(1, b"x", final=False))
        for _ in range(1000):
            wire.socket.sendall(wire._frame(0, b"x" * 65000, final=False))

    with pytest.raises(OSError, match=r"reset|pipe"):
        go_on()
    wire.abort()


def test_events_with_a_thousand_names_take_no_memory(server):
    wire = connect(server)
    for i in range(1000):
        wire.send(f'42["event {i}",{{}}]')
    wire.send("2")
    while wire.receive(PATIENCE) != "3":
        pass
    assert len(server.drops) < 100
    wire.abort()


@pytest.mark.parametrize("version", [3, 4])
def test_who_has_left_is_forgotten(version):
    server = SimulatorServer(port=0)
    for _ in range(20):
        wire = connect(server, version)
        wire.send('42["telemetry",{"steering_angle":"0","throttle":"0","speed":"0"}]')
        wait_until(lambda: server.client is not None)
        assert server._listener.sessions  # a session is open
        wire.abort()
        wait_until(lambda: server.client is None)
    wait_until(lambda: not server._listener.sessions)
    assert server.connections == 20
    server.close()


def open_files():
    return len(list(Path("/proc/self/fd").iterdir())) if os.path.isdir("/proc/self/fd") else 0


@pytest.mark.long
def test_500_times_open_and_close_leak_no_thread_no_socket_no_memory():
    port, steps = free_port(), 0
    with UnityLike(port) as unity:
        for i in range(500):
            if i == 20:
                gc.collect()
                threads, files, objects = threading.active_count(), open_files(), len(gc.get_objects())
            simulator = RemoteSimulator(SimulatorSettings(port=port, ctrl_dt=1e-6), RemoteOptions(**PATIENT))
            if i % 10 == 0:  # with a conversation; the others hang up somewhere in the handshake
                simulator.reset()
                simulator.step(Control())
                steps += 1
            simulator.close()
        wait_until(lambda: threading.active_count() <= threads)
        wait_until(lambda: open_files() <= files + 2)
        gc.collect()
        assert len(gc.get_objects()) < objects + 2000
        assert unity.connections >= steps == 50


def test_close_never_hangs_in_the_middle_of_anything():
    for delay in (0.0, 0.002, 0.01, 0.05):
        port = free_port()
        with UnityLike(port):
            simulator = RemoteSimulator(SimulatorSettings(port=port), RemoteOptions(**PATIENT))
            failed = []

            def drive(simulator=simulator, failed=failed):
                try:
                    simulator.reset()
                    while True:
                        simulator.step(Control())
                except (SimulatorError, SimulatorTimeoutError) as error:
                    failed.append(error)

            thread = threading.Thread(target=drive)
            thread.start()
            time.sleep(delay)  # the moment does not matter: any will do
            simulator.close()
            thread.join(PATIENCE)
            assert failed
