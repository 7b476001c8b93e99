"""Our simulator on the wire, at servers of all kinds."""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import gymnasium as gym
import numpy as np
import pytest
from simulated_clock import SimulatedClock
from wire_tools import (
    PATIENCE,
    PATIENT,
    free_port,
    port_of,
    running_client,
    server_of,
    wait_for_start,
    wait_until,
)

import udacity_gym
from udacity_gym.cli import main
from udacity_gym.cli.sim import WINDOW, KeyboardTakeover
from udacity_gym.conditions import Conditions, Randomization
from udacity_gym.errors import OptionError, SimulatorError
from udacity_gym.experts import PurePursuit
from udacity_gym.protocol import client as client_module
from udacity_gym.protocol.client import FRAME, SimulatorClient
from udacity_gym.protocol.server import SETTLING, SimulatorServer
from udacity_gym.protocol.websocket import WebSocket
from udacity_gym.simulators import SimulatorSettings
from udacity_gym.simulators.embedded import EmbeddedSimulator
from udacity_gym.simulators.remote import RemoteOptions, RemoteSimulator
from udacity_gym.telemetry import MPH, Control
from udacity_gym.window import Window


def remote_env(cameras=(), **settings):
    """An environment whose time is simulated."""
    return gym.make(
        udacity_gym.ENV_ID,
        simulator="remote",
        port=0,
        cameras=cameras,
        simulator_options={**PATIENT, "clock": SimulatedClock()},
        disable_env_checker=True,
        **settings,
    )


def clock_of(env):
    return env.unwrapped.simulator.options.clock


def reset(env, **arguments):
    """Reset a real-time simulator when nothing has arrived for a while."""
    clock_of(env).advance(SETTLING)
    return env.reset(**arguments)


def drive(env, steps, seed, options):
    """Observations, rewards, ends and infos of an expert's drive."""
    expert, results = PurePursuit(), []
    observation, info = env.reset(seed=seed, options=options)
    results.append((observation, 0.0, False, False, info))
    for _ in range(steps):
        results.append(env.step(expert(observation, info)))
        observation, info = results[-1][0], results[-1][4]
    return results


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
        clock_of(env).advance(10 * PATIENCE)  # nothing moves in lock-step
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
        running_client(
            port_of(env), lambda ctrl_dt: EmbeddedSimulator(SimulatorSettings("jungle", ctrl_dt=ctrl_dt))
        ),
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
    env = remote_env(("center",))
    settings = {"dialect": dialect, "culture": culture, "on_step": lambda _: clock_of(env).advance(1 / 15)}
    with running_client(port_of(env), announce=False, **settings) as client:
        wait_for_start(server_of(env))
        observation, info = reset(env)
        assert env.unwrapped.simulator.server.dialect.name == dialect
        for _ in range(30):
            observation, _, _, _, info = env.step(np.array([0.1, 1.0]))
        assert info["steering"] == pytest.approx(0.117453 if dialect == "term2" else 0.1, abs=1e-4)
        assert info["speed"] > 5
        assert observation.shape == (160, 320, 3)
        assert client.drops == 0
        assert ("cte" in info) == (dialect != "term1")
        if dialect != "term1":
            _, info = reset(env)
            assert info["speed"] < 0.5
        env.close()


def test_the_research_builds_driver_chooses_track_weather_and_time_of_day(monkeypatch):
    monkeypatch.setattr(client_module, "SLOW_START", 0.1)
    env = remote_env(("center",))
    simulators = []

    def make(ctrl_dt):
        simulators.append(EmbeddedSimulator(SimulatorSettings("lake", ctrl_dt=ctrl_dt)))
        return simulators[-1]

    with running_client(port_of(env), make, announce=False, dialect="research") as client:
        wait_for_start(server_of(env))
        reset(env)
        (simulator,) = simulators
        for options, track, conditions in (
            ({"track": "jungle", "weather": "snowy"}, "jungle", Conditions.named("snow")),
            ({"weather": "foggy"}, "lake", Conditions.named("fog")),
            ({"conditions": {"weather": "rain"}}, "lake", Conditions.named("rain")),
            ({}, "lake", Conditions()),
        ):
            reset(env, options=options)
            assert (simulator.world.track.name, simulator.conditions) == (track, conditions)
        elevations = set()
        for _ in range(2):
            reset(env, options={"daytime": "daynight"})
            elevations.add(simulator.conditions.sun_elevation)
        assert None not in elevations
        with pytest.raises(OptionError, match="knows the weathers clear, rain, snow, fog"):
            reset(env, options={"conditions": "overcast"})
        assert client.drops == 0
        env.close()


def test_a_driver_that_wants_an_unknown_track_gets_an_episode_all_the_same():
    news = []
    client = SimulatorClient(
        lambda ctrl_dt: EmbeddedSimulator(SimulatorSettings("lake", ctrl_dt=ctrl_dt)),
        dialect="research",
        on_news=news.append,
    )
    client.car.restart({"track": "moon"})
    assert client.car.telemetry.extra["track"] == "lake"
    assert client.drops == 1
    assert "no track 'moon'" in news[-1]


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
        port_of(env),
        lambda ctrl_dt: EmbeddedSimulator(SimulatorSettings("lake", ctrl_dt=ctrl_dt, conditions=anything)),
    ):
        for options in ({}, {"conditions": "clear"}, {"conditions": "ice"}):
            _, info = env.reset(options=options)
            for _ in range(3):
                _, again = env.reset(options={"conditions": info["conditions"]})
                assert again["conditions"] == info["conditions"]
        assert info["conditions"]["grip"] == 0.3
        env.close()


class ScriptedWire:
    """A connection in simulated time, whose other end sends packets at given times."""

    def __init__(self, clock, packets, end):
        """Prepare.

        Args:
            clock: measures time.
            packets: pairs of time and packet, in order.
            end: when the other end closes the connection.
        """
        self.clock, self.end = clock, end
        self.packets = list(packets)
        self.sent = []

    def receive(self, timeout):
        at = self.packets[0][0] if self.packets else self.end
        now = self.clock.now()
        self.clock.sleep(max(0.0, min(at - now, timeout)))
        if at > now + timeout:
            return None
        if not self.packets:
            raise ConnectionError
        return self.packets.pop(0)[1]

    def send(self, packet):
        self.sent.append((self.clock.now(), packet))

    def abort(self):
        pass

    def close(self):
        pass


def run_in_real_time(monkeypatch, packets, end, step_seconds=lambda step: 0.0, **settings):
    """Run the real-time simulator for some simulated seconds.

    Args:
        packets: pairs of time and packet that it receives.
        end: s after which the connection ends.
        step_seconds: how long the machine takes for a step.

    Returns:
        The client, and times of the telemetries that it has sent.
    """
    clock = SimulatedClock()
    wire = ScriptedWire(clock, [(0.0, "40"), *packets], end)
    monkeypatch.setattr(client_module.WebSocket, "connect", lambda *arguments, **options: wire)

    def on_step(simulator):
        clock.sleep(step_seconds(client.steps))

    client = SimulatorClient(
        lambda ctrl_dt: EmbeddedSimulator(SimulatorSettings("lake", ctrl_dt=ctrl_dt)),
        real_time=True,
        on_step=on_step,
        on_news=lambda news: client.stop() if news == "the connection was closed" else None,
        clock=clock,
        **settings,
    )
    assert client.run() == "stopped"
    return client, [time for time, packet in wire.sent if packet.startswith('42["telemetry"')]


FULL_THROTTLE = '42["steer",{"steering_angle":"0","throttle":"1"}]'


def test_in_real_time_a_second_is_a_second(monkeypatch):
    client, sent = run_in_real_time(monkeypatch, [(0.0, FULL_THROTTLE)], end=2.0)
    assert client.steps == pytest.approx(2 * 60, abs=1)
    assert client.car.telemetry.time == pytest.approx(2.0, abs=2 * FRAME)
    assert client.car.telemetry.speed == pytest.approx(9.5, abs=0.5)
    assert sent == [0.0, 0.0, pytest.approx(FRAME)]  # the start's, and the answer: nothing else was asked


def test_in_real_time_a_command_is_answered_with_the_next_frame(monkeypatch):
    times = [0.010, 0.050, 0.051, 0.9]
    _, sent = run_in_real_time(monkeypatch, [(time, FULL_THROTTLE) for time in times], end=1.0)
    assert sent[2:] == pytest.approx([np.ceil(time / FRAME) * FRAME for time in times])


def test_a_frame_that_takes_too_long_is_caught_up_with(monkeypatch):
    client, sent = run_in_real_time(
        monkeypatch, [(0.52, FULL_THROTTLE)], end=2.0, step_seconds=lambda step: 0.2 * (step == 30)
    )
    assert client.steps == pytest.approx(2 * 60, abs=1)
    assert sent[-1] == pytest.approx(0.7, abs=2 * FRAME)  # frames that are late have no image


def test_a_machine_that_is_too_slow_leaves_frames_out(monkeypatch):
    client, _ = run_in_real_time(monkeypatch, [], end=4.0, step_seconds=lambda step: 2 * FRAME)
    assert client.steps == pytest.approx(4 * 30, abs=10)


def test_a_silent_driver_does_not_stop_the_world_but_the_watchdog_stops_the_car():
    clock = SimulatedClock()
    simulator = RemoteSimulator(
        SimulatorSettings(port=0), RemoteOptions(connect_timeout=PATIENCE, clock=clock)
    )
    with running_client(simulator.server.port, real_time=True, fragment=1016):
        wait_for_start(simulator.server)
        clock.advance(SETTLING)
        simulator.reset()
        while simulator.step(Control(0.0, 1.0)).speed < 1.0:
            pass
        wait_until(lambda: simulator.server.latest.speed < 0.2, meanwhile=lambda: clock.advance(0.05))
        assert simulator.server.dialect.name == "term1"
        simulator.close()


def test_a_person_at_the_simulator_gives_empty_telemetry():
    person = [None]
    simulator = RemoteSimulator(SimulatorSettings(port=0, ctrl_dt=0.05), RemoteOptions(**PATIENT))
    with running_client(simulator.server.port, real_time=True, person=lambda: person[0]) as client:
        simulator.reset()
        person[0] = Control(0.0, 1.0)
        wait_until(lambda: simulator.step(Control()).extra["manual"])
        wait_until(lambda: client.car.telemetry.speed > 5 * MPH)  # by the person's throttle
        person[0] = None
        wait_until(lambda: not simulator.step(Control()).extra["manual"])
        simulator.close()


def test_keys_of_the_window_take_over_and_steer_like_udacitys(monkeypatch):
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")

    def press(kind, key):
        pygame.event.post(pygame.event.Event(kind, key=key))

    def frames(count):
        for _ in range(count):
            human.update(car)

    with EmbeddedSimulator() as car:
        car.reset(0)
        human = KeyboardTakeover(Window("test", *WINDOW))
        press(pygame.KEYDOWN, pygame.K_a)
        frames(3)
        assert human() is None  # steering alone does not take over, as in Udacity's simulator
        press(pygame.KEYDOWN, pygame.K_w)
        frames(12)
        assert (human().steering, human().throttle) == (pytest.approx(-14 * 2.5 / 60), 1.0)
        frames(30)
        assert human() == Control(-1.0, 1.0)
        press(pygame.KEYUP, pygame.K_a)
        press(pygame.KEYUP, pygame.K_w)
        press(pygame.KEYDOWN, pygame.K_DOWN)
        frames(10)
        assert (human().steering, human().throttle) == (pytest.approx(-0.5), -1.0)
        frames(60)
        assert human() == Control(0.0, -1.0)
        press(pygame.KEYUP, pygame.K_DOWN)
        frames(3)
        assert human() is None
        press(pygame.QUIT, 0)
        with pytest.raises(KeyboardInterrupt):
            frames(3)


def test_a_window_is_for_real_time(capsys):
    assert main(["sim", "--window"]) == 2
    assert "--real-time" in capsys.readouterr().err


def test_commands_that_are_not_understood_change_nothing(monkeypatch):
    monkeypatch.setattr(client_module, "SLOW_START", 0.1)
    server = SimulatorServer(port=0)
    with running_client(server.port, announce=False) as client:
        wait_for_start(server)
        server.connect(PATIENCE)
        for data in (None, [], {}, {"steering_angle": "left", "throttle": "0"}, {"steering_angle": None}):
            server.send(("steer", data))
        server.send(("dance", {}))
        wait_until(lambda: client.drops == 5)
        assert client.steps == 0
        assert server.exchange(("steer", {"steering_angle": "0", "throttle": "1"}), PATIENCE).speed > 0
        server.close()


def test_a_decimal_point_is_full_lock_on_a_german_machine(monkeypatch):
    monkeypatch.setattr(client_module, "SLOW_START", 0.1)
    server = SimulatorServer(port=0)
    with running_client(server.port, announce=False, culture="de_DE"):
        wait_for_start(server)
        server.connect(PATIENCE)
        telemetry = server.exchange(("steer", {"steering_angle": "0.1", "throttle": "0"}), PATIENCE)
        assert telemetry.steering == 1.0
        server.close()


def test_it_gives_up_when_there_is_no_server():
    news = []
    client = SimulatorClient(None, port=free_port(), patience=0.3, on_news=news.append)
    begin = time.monotonic()
    assert client.run() == "no server"
    assert time.monotonic() - begin >= 0.3
    assert len(news) == 1


def test_it_ends_when_the_server_has_gone_for_good_and_does_not_spin(monkeypatch):
    attempts, connect = [], WebSocket.connect
    monkeypatch.setattr(
        WebSocket,
        "connect",
        lambda *arguments, **settings: [attempts.append(1), connect(*arguments, **settings)][1],
    )
    simulator = RemoteSimulator(SimulatorSettings(port=0), RemoteOptions(**PATIENT))
    client = SimulatorClient(
        lambda ctrl_dt: EmbeddedSimulator(SimulatorSettings(ctrl_dt=ctrl_dt)),
        port=simulator.server.port,
        patience=0.5,
    )
    with ThreadPoolExecutor() as pool:
        running = pool.submit(client.run)
        simulator.reset()
        simulator.close()
        assert running.result(PATIENCE) == "server gone"
    assert len(attempts) < 12  # every pause is twice as long as the one before


def test_a_server_that_hangs_up_at_once_does_not_make_it_spin():
    server = SimulatorServer(port=0)
    with running_client(server.port, announce=False) as client:
        begin = time.monotonic()
        for count in range(1, 6):
            wait_until(lambda count=count: client.connections == count and server.client is not None)
            server.hang_up()
        wait_until(lambda: client.connections >= 6)
        pauses = [2**n * client_module.FIRST_RETRY for n in range(1, 6)]
        assert time.monotonic() - begin >= sum(pauses)
        server.close()


@pytest.mark.parametrize("settings", [{"dialect": "klingon"}, {"dialect": "twin"}, {"culture": "xx_XX"}])
def test_a_dialect_or_culture_that_there_is_not_is_refused(settings):
    with pytest.raises(OptionError):
        SimulatorClient(None, **settings)


def test_the_command_simulates_until_the_server_has_gone():
    with RemoteSimulator(SimulatorSettings(port=0, cameras=()), RemoteOptions(**PATIENT)) as simulator:
        command = [sys.executable, "-m", "udacity_gym", "sim", "--patience", "1", "--port"]
        process = subprocess.Popen(
            [*command, str(simulator.server.port)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        simulator.reset()
        for _ in range(15):
            simulator.step(Control(0.0, 1.0))
        simulator.close()
    said, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert "server gone: 0 laps, 0 departures from the road" in said
    assert "15 steps (1 s of simulated time)" in said
    assert errors == ""


def test_the_command_says_what_is_missing_when_nobody_listens():
    done = subprocess.run(
        [sys.executable, "-m", "udacity_gym", "sim", "--patience", "0.1", "--port", str(free_port())],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    assert "No server listens" in done.stdout


def test_what_old_servers_see_is_what_udacitys_simulator_says():
    server = SimulatorServer(port=0, dialect="term1")
    events = []
    handle = server.handle
    server.handle = lambda client, event, data: (events.append((event, data)), handle(client, event, data))
    with running_client(server.port):  # announced, but this server does not know what that means
        wait_until(lambda: len(events) == 2)
        server.close()
    assert [event for event, _ in events] == ["telemetry"] * 2
    assert list(events[0][1]) == ["steering_angle", "throttle", "speed", "image"]
    assert json.dumps({**events[0][1], "image": ""}) == (
        '{"steering_angle": "0.0000", "throttle": "0.0000", "speed": "0.0000", "image": ""}'
    )
