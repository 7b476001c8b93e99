"""Our simulator on the wire, at servers of all kinds."""

import json
import subprocess
import sys
import threading
import time

import gymnasium as gym
import numpy as np
import pytest
from wire_tools import free_port, running_client, wait_until

import udacity_gym
from udacity_gym.cli import main
from udacity_gym.cli.sim import WINDOW, Person
from udacity_gym.conditions import Conditions, Randomization
from udacity_gym.errors import OptionError, SimulatorError
from udacity_gym.experts import PurePursuit
from udacity_gym.protocol import client as client_module
from udacity_gym.protocol.client import SimulatorClient
from udacity_gym.protocol.server import SimulatorServer
from udacity_gym.simulators.embedded import EmbeddedSimulator
from udacity_gym.simulators.remote import RemoteOptions, RemoteSimulator
from udacity_gym.telemetry import MPH, Control
from udacity_gym.window import Window

NO_WAITING = {"connect_timeout": 30.0}


def remote_env(cameras=(), **settings):
    return gym.make(
        udacity_gym.ENV_ID, simulator="remote", port=0, cameras=cameras, disable_env_checker=True, **settings
    )


def port_of(env):
    return env.unwrapped.simulator.server.port


def drive(env, steps, seed, options):
    """Observations, rewards, ends and infos of an expert's drive."""
    expert, told = PurePursuit(), []
    observation, info = env.reset(seed=seed, options=options)
    told.append((observation, 0.0, False, False, info))
    for _ in range(steps):
        told.append(env.step(expert(observation, info)))
        observation, info = told[-1][0], told[-1][4]
    return told


def assert_equal(here, there):
    for (seen, *ends, info), (seen_there, *ends_there, info_there) in zip(here, there, strict=True):
        info_there.pop("latency", None)
        assert ends == ends_there
        assert info.keys() == info_there.keys()
        assert all(np.array_equal(info[name], info_there[name]) for name in info)
        if isinstance(seen, dict):
            assert seen.keys() == seen_there.keys()
            assert all(np.array_equal(seen[camera], seen_there[camera]) for camera in seen)
        else:
            assert np.array_equal(seen, seen_there)


@pytest.mark.parametrize("cameras", [(), ("center",), ("center", "left", "right")])
def test_over_the_wire_and_in_process_everything_is_equal_to_the_byte(cameras):
    options = {"s": "random", "offset": (-1.0, 1.0), "speed": np.array([2.0, 5.0]).tolist()}
    with gym.make(udacity_gym.ENV_ID, cameras=cameras, simulator_options={"jpeg": True}) as embedded:
        here = drive(embedded, 40, 7, options) + drive(embedded, 10, None, {"mode": "training"})
    env = remote_env(cameras)
    with running_client(port_of(env)) as client:
        there = drive(env, 40, 7, options) + drive(env, 10, None, {"mode": "training"})
        env.close()
    assert_equal(here, there)
    assert client.steps == 50


def test_in_lock_step_there_is_exactly_one_command_per_step():
    env = remote_env()
    with running_client(port_of(env)) as client:
        env.reset()
        time.sleep(1.5)  # longer than the watchdog's patience: nothing moves in lock-step
        for i in range(5):
            env.step(np.zeros(2))
            assert client.steps == i + 1
        env.close()


def test_the_environment_chooses_the_length_of_the_control_step():
    env = remote_env(ctrl_dt=1 / 30)
    with running_client(port_of(env)):
        env.reset()
        assert env.step(np.zeros(2))[4]["time"] == pytest.approx(1 / 30)
        env.close()


def test_another_track_than_the_environments_is_an_error():
    env = remote_env()
    with (
        running_client(port_of(env), lambda ctrl_dt: EmbeddedSimulator("jungle", ctrl_dt=ctrl_dt)),
        pytest.raises(SimulatorError, match=r"on track 'jungle'.*udacity-gym sim --track lake"),
    ):
        env.reset()
    env.close()


def test_a_wrong_option_comes_back_as_the_error_it_is():
    env = remote_env()
    with running_client(port_of(env)):
        with pytest.raises(OptionError, match="unknown reset option 'bend'"):
            env.reset(options={"bend": 3})
        with pytest.raises(OptionError, match="offset"):
            env.reset(options={"offset": 1e9})
        env.reset(options={"offset": 1.0})
        env.close()


def test_a_stopped_simulator_truncates_and_the_next_one_goes_on():
    env = remote_env()
    with running_client(port_of(env)):
        env.reset(seed=1)
        env.step(np.zeros(2))
    assert env.step(np.zeros(2))[4]["end_reason"] == "simulator_gone"
    with running_client(port_of(env)):
        env.reset(seed=1)
        assert not env.step(np.zeros(2))[3]
    env.close()


@pytest.mark.parametrize("dialect", ["term1", "term2", "research"])
@pytest.mark.parametrize("culture", ["en_US", "de_DE"])
def test_unannounced_it_is_driven_like_any_simulator(dialect, culture, monkeypatch):
    monkeypatch.setattr(client_module, "SLOW_START", 0.1)
    env = remote_env(("center",), ctrl_dt=1e-6, simulator_options=NO_WAITING)
    with running_client(port_of(env), announce=False, dialect=dialect, culture=culture) as client:
        observation, info = env.reset()
        assert env.unwrapped.simulator.server.dialect.name == dialect
        for _ in range(30):
            observation, _, _, _, info = env.step(np.array([0.1, 1.0]))
        assert info["steering"] == pytest.approx(0.117453 if dialect == "term2" else 0.1, abs=1e-4)
        assert info["speed"] > 5
        assert observation.shape == (160, 320, 3)
        assert client.drops == 0
        assert ("cte" in info) == (dialect != "term1")
        if dialect != "term1":
            _, info = env.reset()
            assert info["speed"] < 0.5
        env.close()


def test_the_research_builds_driver_chooses_track_weather_and_time_of_day(monkeypatch):
    monkeypatch.setattr(client_module, "SLOW_START", 0.1)
    patient = {**NO_WAITING, "silence_timeout": 60.0}  # the renderer of weather may have to be compiled
    env = remote_env(("center",), ctrl_dt=1e-6, simulator_options=patient)
    simulators = []

    def make(ctrl_dt):
        simulators.append(EmbeddedSimulator("lake", ctrl_dt=ctrl_dt))
        return simulators[-1]

    with running_client(port_of(env), make, announce=False, dialect="research") as client:
        env.reset()
        (simulator,) = simulators
        for options, track, conditions in (
            ({"track": "jungle", "weather": "snowy"}, "jungle", Conditions.named("snow")),
            ({"weather": "foggy"}, "lake", Conditions.named("fog")),
            ({"conditions": {"weather": "rain"}}, "lake", Conditions.named("rain")),
            ({}, "lake", Conditions()),
        ):
            env.reset(options=options)
            assert (simulator.world.track.name, simulator.conditions) == (track, conditions)
        elevations = set()
        for _ in range(2):
            env.reset(options={"daytime": "daynight"})
            elevations.add(simulator.conditions.sun_elevation)
        assert None not in elevations
        with pytest.raises(OptionError, match="knows the weathers clear, rain, snow, fog"):
            env.reset(options={"conditions": "overcast"})
        assert client.drops == 0
        env.close()


def test_a_driver_that_wants_an_unknown_track_gets_an_episode_all_the_same():
    told = []
    client = SimulatorClient(
        lambda ctrl_dt: EmbeddedSimulator("lake", ctrl_dt=ctrl_dt), dialect="research", on_news=told.append
    )
    client._restart({"track": "moon"}, 0.1)
    assert client._telemetry.extra["track"] == "lake"
    assert client.drops == 1
    assert "no track 'moon'" in told[-1]


def test_conditions_go_over_the_wire_with_everything_that_is_drawn():
    random = Randomization(("rain", "night"), noise=(0, 9))
    settings = {"cameras": ("center",), "conditions": random}
    with gym.make(udacity_gym.ENV_ID, simulator_options={"jpeg": True}, **settings) as embedded:
        here = drive(embedded, 4, 7, {"grip": (0.5, 0.9)})
    env = remote_env(**settings)
    with running_client(port_of(env)):
        there = drive(env, 4, 7, {"grip": (0.5, 0.9)})
        assert env.reset(options={"track": "jungle"})[1]["track"] == "jungle"
        env.close()
    assert_equal(here, there)
    assert here[0][-1]["conditions"]["grip"] < 0.9


def test_the_conditions_of_info_put_a_car_over_the_wire_into_the_same_again():
    anything = Randomization(("clear", "rain"), grip=(0.5, 0.9))
    env = remote_env(cameras=())
    with running_client(
        port_of(env), lambda ctrl_dt: EmbeddedSimulator("lake", ctrl_dt=ctrl_dt, conditions=anything)
    ):
        for options in ({}, {"conditions": "clear"}, {"conditions": "ice"}):
            _, info = env.reset(options=options)
            for _ in range(3):
                _, again = env.reset(options={"conditions": info["conditions"]})
                assert again["conditions"] == info["conditions"]
        assert info["conditions"]["grip"] == 0.3
        env.close()


def test_in_real_time_a_second_is_a_second():
    simulator = RemoteSimulator(port=0, ctrl_dt=0.1)
    with running_client(simulator.server.port, real_time=True, fragment=1016) as client:
        simulator.reset()
        steps, begin = client.steps, time.monotonic()
        for _ in range(10):
            telemetry = simulator.step(Control(0.0, 1.0))
        seconds = time.monotonic() - begin
        assert client.steps - steps == pytest.approx(60 * seconds, rel=0.15)
        assert telemetry.speed == pytest.approx(5.0, abs=1.5)
        assert simulator.server.dialect.name == "term1"
        # A driver that falls silent does not stop the world, but the watchdog stops the car.
        wait_until(lambda: simulator.server.latest.speed < 0.2, 15)
        simulator.close()


def test_a_person_at_the_simulator_gives_empty_telemetry():
    person = [None]
    simulator = RemoteSimulator(port=0, ctrl_dt=0.05, options=RemoteOptions(idle_timeout=60.0))
    with running_client(simulator.server.port, real_time=True, person=lambda: person[0]):
        simulator.reset()
        person[0] = Control(0.0, 1.0)
        wait_until(lambda: simulator.step(Control()).extra["manual"])
        time.sleep(0.5)
        person[0] = None
        wait_until(lambda: not simulator.step(Control()).extra["manual"])
        assert simulator.step(Control()).speed > 5 * MPH  # it was the person's throttle
        simulator.close()


def test_keys_of_the_window_take_over_and_steer_like_udacitys(monkeypatch):
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")

    def press(kind, key):
        pygame.event.post(pygame.event.Event(kind, key=key))

    def frames(count):
        for _ in range(count):
            person.look(car)

    with EmbeddedSimulator() as car:
        car.reset(0)
        person = Person(Window("test", *WINDOW))
        press(pygame.KEYDOWN, pygame.K_a)
        frames(3)
        assert person() is None  # steering alone does not take over, as in Udacity's simulator
        press(pygame.KEYDOWN, pygame.K_w)
        frames(12)
        assert (person().steering, person().throttle) == (pytest.approx(-14 * 2.5 / 60), 1.0)
        frames(30)
        assert person() == Control(-1.0, 1.0)
        press(pygame.KEYUP, pygame.K_a)
        press(pygame.KEYUP, pygame.K_w)
        press(pygame.KEYDOWN, pygame.K_DOWN)
        frames(10)
        assert (person().steering, person().throttle) == (pytest.approx(-0.5), -1.0)
        frames(60)
        assert person() == Control(0.0, -1.0)
        press(pygame.KEYUP, pygame.K_DOWN)
        frames(3)
        assert person() is None
        press(pygame.QUIT, 0)
        with pytest.raises(KeyboardInterrupt):
            frames(3)


def test_a_window_is_for_real_time(capsys):
    assert main(["sim", "--window"]) == 2
    assert "--real-time" in capsys.readouterr().err


def test_commands_that_are_not_understood_change_nothing():
    server = SimulatorServer(port=0)
    with running_client(server.port, announce=False) as client:
        server.connect(10.0)
        for data in (None, [], {}, {"steering_angle": "left", "throttle": "0"}, {"steering_angle": None}):
            server.send(("steer", data))
        server.send(("dance", {}))
        wait_until(lambda: client.drops == 5)
        assert client.steps == 0
        assert server.exchange(("steer", {"steering_angle": "0", "throttle": "1"}), 10.0).speed > 0
        server.close()


def test_a_decimal_point_is_full_lock_on_a_german_machine():
    server = SimulatorServer(port=0)
    with running_client(server.port, announce=False, culture="de_DE"):
        server.connect(10.0)
        told = server.exchange(("steer", {"steering_angle": "0.1", "throttle": "0"}), 10.0)
        assert told.steering == 1.0
        server.close()


def test_it_gives_up_when_there_is_no_server():
    news = []
    client = SimulatorClient(None, port=free_port(), patience=0.3, on_news=news.append)
    begin = time.monotonic()
    assert client.run() == "no server"
    assert 0.3 <= time.monotonic() - begin < 2.0
    assert len(news) == 1


def test_it_ends_when_the_server_has_gone_for_good_and_does_not_spin():
    simulator = RemoteSimulator(port=0)
    client = SimulatorClient(
        lambda ctrl_dt: EmbeddedSimulator(ctrl_dt=ctrl_dt), port=simulator.server.port, patience=0.5
    )
    endings = []
    thread = threading.Thread(target=lambda: endings.append(client.run()))
    thread.start()
    simulator.reset()
    simulator.close()
    cpu, begin = time.process_time(), time.monotonic()
    thread.join(5)
    assert endings == ["server gone"]
    assert time.monotonic() - begin < 3.0
    assert time.process_time() - cpu < 0.4


def test_a_server_that_hangs_up_at_once_does_not_make_it_spin():
    server = SimulatorServer(port=0)
    with running_client(server.port, announce=False) as client:
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            server.hang_up()
            time.sleep(0.001)
        assert client.connections < 20
        server.close()


@pytest.mark.parametrize("settings", [{"dialect": "klingon"}, {"dialect": "twin"}, {"culture": "xx_XX"}])
def test_a_dialect_or_culture_that_there_is_not_is_refused(settings):
    with pytest.raises(OptionError):
        SimulatorClient(None, **settings)


def test_the_command_simulates_until_the_server_has_gone():
    with RemoteSimulator(port=0, cameras=()) as simulator:
        command = [sys.executable, "-m", "udacity_gym", "sim", "--patience", "1", "--port"]
        process = subprocess.Popen(
            [*command, str(simulator.server.port)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        simulator.reset()
        for _ in range(15):
            simulator.step(Control(0.0, 1.0))
        simulator.close()
    said, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert "server gone: drove 15 steps (1 s of simulated time)" in said
    assert errors == ""


def test_the_command_says_what_is_missing_when_nobody_listens():
    done = subprocess.run(
        [sys.executable, "-m", "udacity_gym", "sim", "--patience", "0.1", "--port", str(free_port())],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "Nobody listens" in done.stdout


def test_what_old_servers_see_is_what_udacitys_simulator_says():
    server = SimulatorServer(port=0, dialect="term1")
    seen = []
    received = server.received
    server.received = lambda client, event, data: (seen.append((event, data)), received(client, event, data))
    with running_client(server.port):  # announced, but this server does not know what that means
        wait_until(lambda: len(seen) == 2)
        server.close()
    assert [event for event, _ in seen] == ["telemetry"] * 2
    assert list(seen[0][1]) == ["steering_angle", "throttle", "speed", "image"]
    assert json.dumps({**seen[0][1], "image": ""}) == (
        '{"steering_angle": "0.0000", "throttle": "0.0000", "speed": "0.0000", "image": ""}'
    )
