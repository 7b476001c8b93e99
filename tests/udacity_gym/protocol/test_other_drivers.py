"""Our simulator at drivers of other shapes than the course's, and at hostile ones."""

import base64
import contextlib
import itertools
import json
import socket
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from wire_tools import PATIENCE, free_port, running_client, wait_until

from udacity_gym.cli import main
from udacity_gym.protocol import client as client_module
from udacity_gym.protocol.client import SimulatedCar, SimulatorClient, _LockStep
from udacity_gym.protocol.clock import Clock
from udacity_gym.protocol.dialects import DIALECTS, MAX_STEERING_ANGLE, JsonText
from udacity_gym.protocol.listener import Listener
from udacity_gym.protocol.numbers import CULTURES, JsonNumber
from udacity_gym.protocol.websocket import WebSocket, accept_key
from udacity_gym.sensors import PALETTE
from udacity_gym.simulators import SimulatorSettings
from udacity_gym.simulators.embedded import EmbeddedSimulator
from udacity_gym.world.track.track import Track


class Driver:
    """A driver on a Socket.IO server, which sends what a test wants."""

    def __init__(self, greeting=None, answer=lambda event, data: None):
        self.greeting, self.answer, self.events = greeting, answer, []
        self.client = None
        self.ready = threading.Event()
        self.listener = Listener("127.0.0.1", 0, self)
        self.ready.set()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.listener.close()

    def send(self, event):
        self.listener.emit(self.client, event)

    def connected(self, client, query):
        self.ready.wait()
        self.client, self.query = client, query
        if self.greeting is not None:
            self.send(self.greeting)

    def disconnected(self, client):
        pass

    def unreadable(self, client, what):
        pass

    def handle(self, client, event, data):
        self.events.append((event, data))
        reply = self.answer(event, data)
        if reply is not None:
            self.send(reply)
        return True


FULL_THROTTLE = ("steer", {"steering_angle": "0", "throttle": "1"})


def test_the_research_projects_driver_finds_all_that_it_reads(monkeypatch):
    monkeypatch.setattr(client_module, "SLOW_START", 0.1)
    readings = []

    def drive(event, data):
        if event != "car_telemetry":
            return None
        decoded = [
            cv2.imdecode(np.frombuffer(base64.b64decode(data[name]), np.uint8), cv2.IMREAD_COLOR)
            for name in ("image", "semantic_segmentation")
        ]
        numbers = [float(data[name]) for name in ("speed", "cte", "next_cte", "pos_x", "pos_y", "pos_z")]
        readings.append((decoded, numbers, int(data["lap"]), int(data["sector"])))
        return "action", {"steering_angle": "0.0", "throttle": "0.5"}

    with Driver(answer=drive) as driver, running_client(driver.listener.port, dialect="research") as client:
        wait_until(lambda: client.steps >= 30)
    (image, segmentation), numbers, lap, sector = readings[-1]
    assert image.shape == segmentation.shape == (160, 320, 3)
    colours = {tuple(colour) for colour in segmentation[..., ::-1].reshape(-1, 3)}
    assert len(colours) > 3
    assert colours <= {tuple(colour) for colour in PALETTE}
    assert np.isfinite(numbers).all()
    assert (lap, sector) == (1, 2)  # the autonomous start is at 267 m


def test_a_driver_that_steers_only_once_gets_a_hint_in_lock_step(monkeypatch):
    monkeypatch.setattr(client_module, "SLOW_START", 0.05)
    monkeypatch.setattr(client_module, "HINT_AFTER", 0.1)
    news = []
    with (
        Driver(greeting=FULL_THROTTLE) as driver,
        running_client(driver.listener.port, on_news=news.append) as client,
    ):
        wait_until(lambda: any("--real-time" in item for item in news))
        assert client.steps <= 1
    assert sum("--real-time" in item for item in news) == 1


def test_a_driver_that_steers_only_once_drives_in_real_time():
    with (
        Driver(greeting=FULL_THROTTLE) as driver,
        running_client(driver.listener.port, real_time=True) as client,
    ):
        wait_until(lambda: client.steps > 30 and client.car.telemetry.speed > 3.0)


class OneMessagePerConnection:
    """A server that sends one command to everybody who connects, and hangs up."""

    def __enter__(self):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.connections = 0
        self.greets = True
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self.thread.join(PATIENCE)

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.server.accept()
                with contextlib.suppress(OSError):
                    self._greet(connection)
                connection.close()

    def _greet(self, connection):
        if not self.greets:
            return
        request = b""
        while b"\r\n\r\n" not in request:
            request += connection.recv(65536)
        key = next(line[19:] for line in request.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key: "))
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept_key(key).encode() + b"\r\n\r\n"
        )
        wire = WebSocket(connection, masks=False)
        wire.send("40")
        wire.send('42["steer",{"steering_angle":"0","throttle":"1"}]')
        while wire.receive(PATIENCE) is None:  # it is read before the end
            pass
        wire.close()
        self.connections += 1


def test_with_a_message_per_connection_the_world_goes_on_in_real_time():
    with OneMessagePerConnection() as server, running_client(server.port, real_time=True) as client:
        wait_until(lambda: server.connections >= 3)
        wait_until(lambda: client.car.telemetry.speed > 3.0)
        server.greets = False  # nobody is there any more, and the car drives on
        time = client.car.telemetry.time
        wait_until(lambda: client.car.telemetry.time > time + 1.0)


def test_with_a_message_per_connection_lock_step_gives_a_hint():
    news = []
    with OneMessagePerConnection() as server, running_client(server.port, on_news=news.append) as client:
        wait_until(lambda: any("connections without a step" in item for item in news))
        assert client.steps == 0


def exact(name, number, **changes):
    data = {
        "reset": {"seed": 1, "options": {}, "ctrl_dt": 1 / 15, "mode": "autonomous", "cameras": []},
        "step": {"steering": 0.0, "throttle": 0.5, "cameras": []},
    }[name]
    return name, {"number": number, **data, **changes}


def answer_to(driver, number):
    """The exact answer of our simulator to a command."""

    def find():
        answers = (
            data["twin"] for _, data in list(driver.events) if isinstance(data, dict) and "twin" in data
        )
        return next((answer for answer in answers if answer["number"] == number), None)

    wait_until(lambda: find() is not None)
    return find()


HOSTILE = {
    "a number of 400 digits": exact("step", 1, steering=10**90)[1] | {"steering": JsonText("1" * 400)},
    "not a number": exact("step", 1, throttle="full")[1],
    "NaN": exact("step", 1, throttle=float("nan"))[1],
    "infinity": exact("step", 1, steering=float("inf"))[1],
    "out of range": exact("step", 1, steering=1e300)[1],
    "cameras that are none": exact("step", 1, cameras=3)[1],
    "nothing": {"number": 1},
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_step_is_refused_and_the_simulator_stays(kind):
    with Driver() as driver, running_client(driver.listener.port) as client:
        wait_until(lambda: driver.events)
        driver.send(exact("reset", 0))
        answer_to(driver, 0)
        fields = [
            f"{json.dumps(name)}:{value if isinstance(value, JsonText) else json.dumps(value)}"
            for name, value in HOSTILE[kind].items()
        ]
        driver.send(("step", JsonText("{" + ",".join(fields) + "}")))
        assert answer_to(driver, 1)["refusal"]["message"]
        driver.send(exact("step", 2))
        assert answer_to(driver, 2)["time"] > 0
        assert client.connections == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"ctrl_dt": 1e9},
        {"ctrl_dt": 0},
        {"ctrl_dt": -1},
        {"ctrl_dt": "soon"},
        {"ctrl_dt": 10**90},
        {"seed": "x"},
        {"seed": -1},
        {"options": 3},
        {"options": {"conditions": {"weather": []}}},
        {"options": {"track": ["lake"]}},
        {"mode": {}},
        {"mode": "fly"},
    ],
)
def test_a_hostile_reset_is_refused_and_the_simulator_stays(changes):
    with Driver() as driver, running_client(driver.listener.port):
        wait_until(lambda: driver.events)
        driver.send(exact("reset", 1, **changes))
        assert answer_to(driver, 1)["refusal"]["message"]
        driver.send(exact("reset", 2))
        assert answer_to(driver, 2)["time"] == 0
        driver.send(exact("step", 3))
        assert answer_to(driver, 3)["time"] > 0


def test_track_files_are_opened_over_the_wire_only_where_that_is_allowed(tmp_path):
    path = Track.load("jungle").save(tmp_path / "mine.json")
    for tracks, is_allowed in ((("lake", "jungle"), False), (None, True)):
        with Driver() as driver, running_client(driver.listener.port, tracks=tracks):
            wait_until(lambda driver=driver: driver.events)
            driver.send(exact("reset", 1, options={"track": str(path)}))
            answer = answer_to(driver, 1)
            assert ("refusal" not in answer) == is_allowed
            if not is_allowed:
                assert answer["refusal"]["kind"] == "OptionError"
                assert "--track-files" in answer["refusal"]["message"]
            driver.send(exact("reset", 2, options={"track": "jungle"}))
            assert "refusal" not in answer_to(driver, 2)


def test_a_research_driver_can_not_open_files_either(tmp_path):
    path = Track.load("jungle").save(tmp_path / "mine.json")
    news = []
    client = SimulatorClient(
        lambda ctrl_dt: EmbeddedSimulator(SimulatorSettings("lake", ctrl_dt=ctrl_dt)), on_news=news.append
    )
    client.car.restart({"track": str(path)})
    assert client.car.telemetry.extra["track"] == "lake"
    assert "--track-files" in news[-1]


def test_an_unannounced_simulator_obeys_no_exact_commands():
    with Driver() as driver, running_client(driver.listener.port, announce=False) as client:
        wait_until(lambda: len(driver.events) == 2)
        assert "udacity_gym" not in driver.query
        driver.send(exact("reset", 1))
        driver.send(exact("step", 2))
        for _ in range(2):
            driver.send(FULL_THROTTLE)
        wait_until(lambda: client.steps >= 1)
        assert not any("twin" in data for _, data in driver.events if data)


class Wire:
    """The messages of a connection, for `_LockStep` alone."""

    def __init__(self):
        self.sent = []

    def send(self, event):
        self.sent.append(event)


COUNT = itertools.count()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("number", "seed", "options", "mode", "cameras", "steering", "throttle")


@pytest.fixture(scope="module")
def lock_step():
    car = SimulatedCar(
        lambda ctrl_dt: EmbeddedSimulator(SimulatorSettings("lake", ctrl_dt=ctrl_dt)),
        1 / 15,
        0,
        None,
        None,
        lambda news: None,
        ("lake",),
    )
    car.reset()
    yield _LockStep(car, Wire(), Clock(), lambda: None, "lake")
    car.close()


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    name=st.sampled_from(["reset", "step"]),
    changes=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=3),
)
def test_any_exact_command_is_executed_or_refused(lock_step, name, changes):
    data = {**exact(name, next(COUNT))[1], **changes}
    assert lock_step._try_exact_command((name, data))
    event, data = lock_step._messages.sent.pop()
    assert event == "telemetry"
    assert "twin" in data


@given(st.floats(-1, 1), st.floats(-1, 1), st.sampled_from(sorted(CULTURES)))
def test_telemetry_of_every_culture_and_dialect_is_read_back(steering, cte, culture):
    car = EmbeddedSimulator(SimulatorSettings("lake"))
    telemetry = car.reset(0)
    for name in ("term1", "term2", "research"):
        dialect = DIALECTS[name]
        _, data = dialect.write_telemetry(telemetry, {}, CULTURES[culture])
        read = dialect.read_telemetry(json.loads(json.dumps(data)))
        assert read.speed == pytest.approx(telemetry.speed, abs=1e-3)
        assert read.steering == pytest.approx(telemetry.steering, abs=1e-4 / MAX_STEERING_ANGLE)
    if CULTURES[culture].decimal != ".":
        _, data = DIALECTS["mpc"].write_telemetry(telemetry, {}, CULTURES[culture])
        with pytest.raises(ValueError, match="Expecting"):
            json.loads(data)


@pytest.mark.parametrize(
    ("culture", "action", "held"),
    [
        ("en_US", (0.1, 0.3), (0.1 + 0.0174533, 0.3)),
        ("de_DE", (0.1, 0.3), (1.0, 1.0)),  # 1.017 and 3 in Udacity's, whose wheels take 1 at most
        ("de_DE", (-0.05, 0.3), (-0.9825467, 1.0)),
    ],
)
def test_term_2_reads_a_drivers_numbers_in_its_culture(culture, action, held):
    data = json.loads(
        json.dumps({"steering_angle": action[0], "throttle": action[1]}), parse_float=JsonNumber
    )
    control = DIALECTS["term2"].read_command("steer", data, CULTURES[culture]).control
    assert (control.steering, control.throttle) == pytest.approx(held, abs=1e-6)


def test_in_french_a_number_with_a_point_is_an_error_inside_term_2():
    data = {"steering_angle": JsonNumber("0.1"), "throttle": JsonNumber("0.3")}
    with pytest.raises(ValueError, match="culture"):
        DIALECTS["term2"].read_command("steer", data, CULTURES["fr_FR"])


@pytest.mark.parametrize("culture", ["ar-SA", "fa-IR", "de_DE"])
def test_the_command_knows_cultures(culture, capsys):
    command = ["sim", "--culture", culture, "--patience", "0.01", "--port", str(free_port())]
    assert main(command) == 1
    assert "No server listens" in capsys.readouterr().out


def test_the_page_of_drivers_names_the_options():
    page = (Path(__file__).parents[3] / "docs" / "drive-py.md").read_text(encoding="utf-8")
    for option in ("--track-files", "--no-announce", "--culture", "--real-time"):
        assert f"`{option}" in page
