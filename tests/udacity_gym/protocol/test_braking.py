"""No car drives on with an old command: it is braked whenever nobody steps it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from simulated_clock import SimulatedClock
from unity_like import UnityLike
from wire_tools import PATIENCE, PATIENT, wait_for_start, wait_until

from udacity_gym.errors import SimulatorError, SimulatorTimeoutError
from udacity_gym.protocol.server import SETTLING
from udacity_gym.protocol.websocket import WebSocket
from udacity_gym.simulators import SimulatorSettings
from udacity_gym.simulators.remote import RemoteOptions, RemoteSimulator
from udacity_gym.telemetry import Control

NEUTRAL = {"steering_angle": "0E-6", "throttle": "0E-6"}
IDLE, SILENCE = 1.0, 5.0


class Car(UnityLike):
    """A car that a negative throttle brakes, and that knows how fast it has been reversed."""

    reversed_by = 0.0

    def obey(self, event, data):
        due = super().obey(event, data)
        self.reversed_by = max(self.reversed_by, -self.speed)
        return due


@pytest.fixture
def simulator():
    options = {**PATIENT, "idle_timeout": IDLE, "silence_timeout": SILENCE, "connect_timeout": 60.0}
    made = RemoteSimulator(
        SimulatorSettings(port=0, ctrl_dt=0.02), RemoteOptions(**options, clock=SimulatedClock())
    )
    yield made
    made.close()


def drive(simulator, unity, speed=20.0):
    """Reset, and drive until the car is as fast as that, mph."""
    wait_for_start(simulator.server)
    simulator.options.clock.advance(SETTLING)
    simulator.reset()
    while unity.speed < speed:
        simulator.step(Control(0.7, 0.6))


def fall_silent(simulator, unity):
    """Let the simulator obey, but send no telemetry any more."""
    unity.mute, count = True, len(unity.commands)
    with simulator.options.clock.passing(), pytest.raises(SimulatorTimeoutError):
        simulator.step(Control(0.7, 0.6))
    wait_until(lambda: len(unity.commands) > count)


def commands_from(unity, count):
    return [(float(data["steering_angle"]), float(data["throttle"])) for _, data in unity.commands[count:]]


def test_after_a_timeout_the_car_is_braked_and_then_left_alone(simulator):
    clock = simulator.options.clock
    with Car(simulator.server.port, clock) as unity:
        drive(simulator, unity)
        fall_silent(simulator, unity)
        begin = clock.now()
        wait_until(lambda: unity.commands[-1][1] == NEUTRAL, meanwhile=lambda: clock.advance(0.05))
        commands = commands_from(unity, 0)
        commands = commands[len(commands) - commands[::-1].index((0.7, 0.6)) :]
        assert (0.0, -1.0) in commands
        assert all(steering == 0.0 and throttle <= 0.0 for steering, throttle in commands)
        # Without telemetry nobody knows when it stands: not braked for longer than from full speed.
        assert clock.now() - begin < 13.5 / 7.0 + 1.5
        count = len(unity.commands)
        for _ in range(100):
            clock.advance(0.05)
        assert len(unity.commands) == count


def test_a_reset_that_fails_leaves_a_car_that_was_braked(simulator):
    clock = simulator.options.clock
    with Car(simulator.server.port, clock) as unity, ThreadPoolExecutor() as pool:
        drive(simulator, unity)
        fall_silent(simulator, unity)
        count = len(unity.commands)
        resetting = pool.submit(simulator.reset)
        wait_until(resetting.done, meanwhile=lambda: clock.advance(0.05))
        with pytest.raises(SimulatorTimeoutError, match="no simulator connected"):
            resetting.result()
        assert (0.0, -1.0) in commands_from(unity, count)
        assert unity.commands[-1] == ("steer", NEUTRAL)
        assert unity.connections == 2


def test_a_simulator_that_connects_again_is_braked_though_nobody_resets(simulator):
    clock = simulator.options.clock
    with Car(simulator.server.port, clock) as unity:
        drive(simulator, unity)
        wait_until(lambda: unity.speed < 0.3, meanwhile=lambda: clock.advance(0.05))
        unity.speed, unity.throttle, count = 20.0, 0.6, len(unity.commands)
        simulator.server.hang_up()
        wait_until(lambda: unity.connections == 2)
        wait_for_start(simulator.server)
        assert len(unity.commands) == count  # not before both telemetries of the start have arrived
        clock.advance(SETTLING)
        wait_until(lambda: unity.speed < 0.3, meanwhile=lambda: clock.advance(0.05))
        wait_until(lambda: unity.commands[-1][1] == NEUTRAL, meanwhile=lambda: clock.advance(0.05))
        assert commands_from(unity, count)[0] == (0.0, -1.0)
        assert unity.reversed_by < 0.5


def test_between_two_episodes_the_car_is_braked(simulator):
    clock = simulator.options.clock
    with Car(simulator.server.port, clock) as unity:
        drive(simulator, unity)
        wait_until(lambda: unity.commands[-1][1] == NEUTRAL, meanwhile=lambda: clock.advance(0.05))
        assert unity.speed < 0.5


def test_a_simulator_that_was_never_driven_gets_no_command(simulator):
    clock = simulator.options.clock
    with Car(simulator.server.port, clock) as unity:
        wait_for_start(simulator.server)
        for _ in range(200):
            clock.advance(0.05)
        assert not unity.commands


def nobody(port):
    return None


def a_client_that_says_nothing(port):
    return WebSocket.connect("127.0.0.1", port, "/socket.io/?EIO=4&transport=websocket")


def a_person(port):
    return UnityLike(port, manual=True)


@pytest.mark.parametrize("client", [nobody, a_client_that_says_nothing, a_person])
def test_close_ends_a_reset_that_waits_in_another_thread(client):
    simulator = RemoteSimulator(SimulatorSettings(port=0), RemoteOptions(connect_timeout=10 * PATIENCE))
    waits = threading.Event()
    connect = simulator.server.connect
    simulator.server.connect = lambda timeout, check=None: connect(timeout, waits.set)
    other = client(simulator.server.port)
    with ThreadPoolExecutor() as pool:
        resetting = pool.submit(simulator.reset)
        assert waits.wait(PATIENCE)
        simulator.close()
        with pytest.raises(SimulatorError, match="closed"):
            resetting.result(PATIENCE)
    if isinstance(other, UnityLike):
        other.quit()
    elif other is not None:
        other.abort()
