"""The environment with a simulator that behaves like Unity's at the other end of the wire."""

import contextlib
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from simulated_clock import SimulatedClock
from unity_like import UnityLike
from wire_tools import (
    PATIENCE,
    PATIENT,
    free_port,
    make_remote,
    port_of,
    server_of,
    wait_for_start,
    wait_until,
)

from udacity_gym.errors import (
    OptionError,
    ResetNotSupportedError,
    SimulatorError,
    SimulatorTimeoutError,
)
from udacity_gym.protocol.server import SETTLING, SimulatorServer
from udacity_gym.telemetry import MPH

TAKEN = r"port \d+ is taken by .*\(process \d+\)" if sys.platform == "linux" else "can't listen"
STRAIGHT = np.array([0.0, 0.1], dtype=np.float32)


@pytest.fixture
def env():
    made = make_remote()
    yield made
    made.close()


def clock_of(env):
    return env.unwrapped.simulator.options.clock


@contextlib.contextmanager
def connected(env, make_unity=UnityLike, **settings):
    """A simulator like Unity's that has connected and waits for its first command."""
    with make_unity(port_of(env), clock_of(env), **settings) as unity:
        wait_for_start(server_of(env))
        yield unity


def reset(env, **arguments):
    """Reset when nothing has arrived for a while."""
    clock_of(env).advance(SETTLING)
    return env.reset(**arguments)


def only_loop(unity):
    """Whether exactly one request is in flight, or none."""
    return unity.sent - len(unity.commands) <= 2  # the start's second telemetry is never answered


def test_the_observation_is_caused_by_its_action(env):
    with connected(env, fps=60) as unity:
        reset(env)
        for i in range(20):
            steering = 0.5 - i / 20
            _, _, _, _, info = env.step(np.array([steering, 0.1]))
            assert info["steering"] == pytest.approx(steering, abs=1e-4)
            assert unity.commands[-1] == (
                "steer",
                {"steering_angle": f"{round(steering * 1e6)}E-6", "throttle": "100000E-6"},
            )
        assert only_loop(unity)


def test_both_telemetries_of_the_start_are_swallowed(env):
    with connected(env) as unity:
        reset(env)
        wait_until(lambda: unity.sent == 3)
        assert [event for event, _ in unity.commands] == ["steer"]


def test_nothing_is_sent_before_the_second_telemetry_of_the_start_has_arrived():
    clock = SimulatedClock()
    server = SimulatorServer(port=0, clock=clock)
    second = threading.Event()

    class Hesitant(UnityLike):
        def _emit(self):
            if self.sent == 1:
                second.wait(PATIENCE)
            super()._emit()

    with Hesitant(server.port), ThreadPoolExecutor() as pool:
        connecting = pool.submit(server.connect, PATIENCE)
        wait_until(lambda: server.received == 1)
        clock.advance(0.9 * SETTLING)
        second.set()
        wait_for_start(server)
        clock.advance(0.9 * SETTLING)
        assert not connecting.done()
        clock.advance(0.2 * SETTLING)
        assert connecting.result(PATIENCE).speed == 0.0
    server.close()


def test_a_step_lasts_ctrl_dt_and_a_frame():
    env = make_remote(ctrl_dt=1 / 15)
    with connected(env, fps=60):
        reset(env)
        begin = clock_of(env).now()
        for _ in range(15):
            _, _, _, _, info = env.step(STRAIGHT)
        seconds = clock_of(env).now() - begin
        env.close()
    frame = 1 / 60
    assert info["time"] == pytest.approx(seconds)
    assert seconds == pytest.approx(15 * (1 / 15 + frame))
    latency = info["latency"]
    assert latency["command_to_image"] == pytest.approx(1 / 15 + frame)
    assert latency["period"] == pytest.approx(1 / 15 + frame)
    assert latency["round_trip"] == pytest.approx(frame)
    assert latency["jitter"] == pytest.approx(0.0)
    assert latency["missed"] == 0


def test_a_slow_policy_misses_deadlines(env):
    with connected(env):
        reset(env)
        for _ in range(4):
            _, _, _, _, info = env.step(STRAIGHT)
            clock_of(env).advance(0.05)
    assert info["latency"]["missed"] == 3
    assert info["latency"]["period"] == pytest.approx(0.02 + 0.05)


def test_steps_shorter_than_a_frame_last_a_frame():
    env = make_remote(ctrl_dt=1e-6)
    with connected(env, fps=60) as unity:
        reset(env)
        begin, commands = clock_of(env).now(), len(unity.commands)
        for _ in range(60):
            env.step(STRAIGHT)
        assert clock_of(env).now() - begin == pytest.approx(1.0)
        assert len(unity.commands) - commands == 60
        env.close()


def test_without_a_track_the_reward_is_the_way_driven(env):
    with connected(env):
        reset(env)
        driven = 0.0
        for _ in range(10):
            _, reward, terminated, truncated, info = env.step(STRAIGHT)
            driven += reward
            assert not terminated
            assert not truncated
    assert info["reward_terms"]["progress"] > 0
    assert info["reward_terms"]["off_road"] == info["reward_terms"]["off_lane"] == 0
    assert driven == pytest.approx(0.5 * info["speed"] * info["time"], rel=0.3)
    assert "s" not in info
    assert "pose" not in info


def test_a_car_that_stands_under_throttle_is_stuck():
    env = make_remote(simulator_options={"stuck_after": 0.3})
    with connected(env) as unity:
        unity.obey = lambda event, data: True
        reset(env)
        for _ in range(100):
            _, reward, terminated, truncated, info = env.step(STRAIGHT)
            if terminated:
                break
        env.close()
    assert (terminated, truncated, info["end_reason"]) == (True, False, "stuck")
    assert info["time"] == pytest.approx(0.3)
    assert reward == pytest.approx(-100, abs=1)


def test_term_2_tells_the_cross_track_error_and_ends_off_the_road(env):
    with connected(env, extra={"cte": "0.5000"}) as unity:
        _, info = reset(env)
        assert info["cte"] == 0.5
        unity.extra = {"cte": "-5,0000"}
        _, reward, terminated, _, info = env.step(STRAIGHT)
        assert terminated
        assert info["end_reason"] == "off_road"
        assert reward < -90


def test_term_2_is_reset(env):
    with connected(env, extra={"cte": "0.0000"}) as unity:
        obey = unity.obey
        unity.obey = lambda event, data: event == "reset" or obey(event, data)
        reset(env)
        env.step(STRAIGHT)
        reset(env)
        assert [event for event, _ in unity.commands][-2:] == ["reset", "steer"]


def test_what_a_simulator_does_not_tell_is_zero_in_the_state_vector():
    env = make_remote(cameras=())
    with connected(env, image=False):
        state, _ = reset(env)
        assert state.tolist() == [0.0] * 10
        state, _, _, _, info = env.step(np.array([0.5, 1.0]))
        env.close()
    assert state[0] == pytest.approx(info["speed"] / 15)
    assert state[1] == pytest.approx(0.5)
    assert state[3:].tolist() == [0.0] * 7


def test_cameras_that_a_simulator_has_not_are_refused():
    env = make_remote(cameras=("center", "left"))
    with connected(env):
        with pytest.raises(SimulatorError, match=r"sends no image of 'left'.*cameras=\('center',\)"):
            reset(env)
        env.close()


@pytest.mark.parametrize(
    ("culture", "speed"),
    [
        (lambda text: text, 1234.5),
        (lambda text: text.translate({44: ".", 46: ","}), 1234.5),
        (lambda text: text.replace(",", "\u00a0").replace(".", ","), 1234.5),
    ],
    ids=["en_US", "de_DE", "fr_FR"],
)
def test_numbers_of_any_culture_are_understood(env, culture, speed):
    with connected(env, culture=culture) as unity:
        unity.speed = speed
        reset(env)
        assert env.step(np.array([-0.5, 0.0]))[4]["speed"] == pytest.approx(speed * MPH)


def test_a_person_at_the_keyboard_pauses_the_environment(env):
    with connected(env) as unity:
        reset(env)
        before, _, _, _, info = env.step(STRAIGHT)
        assert info["manual"] is False
        time_before = info["time"]
        unity.manual = True
        with clock_of(env).passing(when=lambda: server_of(env).manual):
            for _ in range(10):
                observation, reward, terminated, truncated, info = env.step(STRAIGHT)
        assert info["manual"] is True
        assert np.array_equal(observation, before)
        assert (reward, terminated, truncated) == (0.0, False, False)
        assert info["time"] == time_before
        wait_until(lambda: unity.commands[-1][0] == "manual")  # the answer may still be on its way
        answered = len(unity.commands)
        wait_until(lambda: len(unity.commands) > answered + 20)  # the loop is kept alive
        assert {name for name, *_ in unity.commands[answered:]} == {"manual"}
        unity.manual = False
        wait_until(lambda: not server_of(env).manual)
        _, _, _, _, info = env.step(np.array([0.25, 0.1]))
        assert info["manual"] is False
        assert info["steering"] == pytest.approx(0.25, abs=1e-4)
        assert info["time"] == pytest.approx(time_before + 0.02)


def test_a_reset_that_there_is_not_names_the_ways_out(env):
    with connected(env):
        reset(env)
        env.step(STRAIGHT)
        with pytest.raises(ResetNotSupportedError, match=r"on_reset.*brake.*path.*udacity-gym sim"):
            reset(env)


def test_a_soft_reset_brakes_to_a_standstill():
    env = make_remote(simulator_options={"on_reset": "brake"})

    class Car(UnityLike):
        def obey(self, event, data):
            due = super().obey(event, data)
            if event == "steer":  # above 5 mph a negative throttle brakes, below it reverses
                self.speed = abs(self.speed)
            return due

    with connected(env, Car) as unity:
        reset(env)
        while unity.speed < 20:
            env.step(np.array([0.3, 1.0]))
        _, info = reset(env)
        assert info["speed"] < 0.1
        assert info["time"] == 0.0
        assert info["steering"] == 0.0
        env.close()


def test_options_that_a_simulator_can_not_do_are_refused(env):
    with (
        connected(env),
        pytest.raises(OptionError, match=r"'offset', 's'.*term1.*udacity-gym sim"),
    ):
        reset(env, options={"s": 100.0, "offset": 1.0})


def test_a_simulator_that_crashes_truncates_the_episode(env):
    with connected(env) as unity:
        reset(env)
        env.step(STRAIGHT)
        unity.crash()
        observation, _, terminated, truncated, info = env.step(STRAIGHT)
        assert (terminated, truncated, info["end_reason"]) == (False, True, "simulator_gone")
        assert observation.shape == (160, 320, 3)
        with pytest.raises(SimulatorError, match="call reset"):
            env.step(STRAIGHT)
    with connected(env):
        reset(env)
        assert not env.step(STRAIGHT)[3]


def test_a_simulator_that_quits_politely_truncates_the_episode(env):
    with connected(env) as unity:
        reset(env)
        unity.quit()
        assert env.step(STRAIGHT)[4]["end_reason"] == "simulator_gone"


def test_a_simulator_that_reconnects_between_two_steps_ends_the_episode(env):
    with connected(env) as unity:
        reset(env)
        server_of(env).hang_up()
        wait_until(lambda: unity.connections == 2)
        wait_for_start(server_of(env))
        assert env.step(STRAIGHT)[4]["end_reason"] == "simulator_gone"
        reset(env)
        assert env.step(STRAIGHT)[4]["speed"] > 0


def test_the_simulator_may_be_there_before_the_environment():
    port = free_port()
    with UnityLike(port) as unity:
        wait_until(lambda: unity.attempts > 1)
        for _ in range(2):  # and it finds the next one, too
            env = make_remote(port=port)
            wait_for_start(server_of(env))
            reset(env)
            env.close()


def test_two_simulators_are_served_one_after_the_other(env):
    with connected(env) as first:
        reset(env)
        with UnityLike(port_of(env)) as second:
            wait_until(lambda: second.sent == 2)
            for _ in range(5):
                env.step(STRAIGHT)
            assert not second.commands
            first.quit()
            assert env.step(STRAIGHT)[3]
            wait_for_start(server_of(env))
            reset(env)
            env.step(STRAIGHT)
            assert second.commands


def test_a_policy_that_stops_leaves_a_car_that_brakes():
    env = make_remote(simulator_options={"idle_timeout": 0.2})
    with connected(env) as unity:
        reset(env)
        while unity.speed < 10:
            env.step(np.array([0.7, 1.0]))
        wait_until(lambda: unity.speed < 0.3, meanwhile=lambda: clock_of(env).advance(0.05))
        assert unity.steering == 0.0
        count = len(unity.commands)
        for _ in range(100):
            clock_of(env).advance(0.05)
        assert len(unity.commands) <= count + 3  # it stands: no more commands are needed
        _, _, _, _, info = env.step(np.array([0.7, 1.0]))  # and it may go on
        assert info["steering"] == pytest.approx(0.7, abs=1e-4)
        env.close()
        wait_until(lambda: unity.throttle == 0.0)


def test_a_program_that_ends_without_closing_leaves_a_neutral_command():
    port = free_port()
    program = (
        "import gymnasium, udacity_gym, numpy\n"
        f"settings = dict(port={port}, ctrl_dt=0.02, simulator_options={PATIENT})\n"
        "env = gymnasium.make('UdacitySim-v0', simulator='remote', **settings)\n"
        "env.reset()\n"
        "env.step(numpy.array([0.7, 1.0], dtype=numpy.float32))\n"
    )
    action = {"steering_angle": "700000E-6", "throttle": "1000000E-6"}
    neutral = {"steering_angle": "0E-6", "throttle": "0E-6"}
    with UnityLike(port) as unity:
        subprocess.run([sys.executable, "-c", program], check=True, timeout=PATIENCE)
        wait_until(lambda: [data for _, data in unity.commands[-2:]] == [action, neutral])


def test_nobody_there_is_said():
    env = make_remote(simulator_options={"connect_timeout": 0.3})
    with (
        clock_of(env).passing(),
        pytest.raises(
            SimulatorTimeoutError,
            match=rf"no simulator connected to 127.0.0.1:{port_of(env)}.*0.3 s.*Autonomous",
        ),
    ):
        env.reset()
    assert clock_of(env).now() == pytest.approx(0.3)
    env.close()


def test_a_visitor_who_is_no_simulator_is_named():
    env = make_remote()
    with socket.create_connection(("127.0.0.1", port_of(env))) as browser:
        browser.sendall(b"GET /index.html HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"404" in browser.recv(1000)
        with (
            clock_of(env).passing(),
            pytest.raises(SimulatorTimeoutError, match=r"GET /index.html from 127\.0\.0\.1"),
        ):
            env.reset()
    env.close()


def test_connected_but_silent_is_said():
    env = make_remote()
    with UnityLike(port_of(env), mute=True) as unity:
        wait_until(lambda: unity.connections == 1)
        with (
            clock_of(env).passing(),
            pytest.raises(SimulatorTimeoutError, match=r"a client is connected and sent no telemetry.*menu"),
        ):
            env.reset()
    env.close()


def test_a_person_who_drives_all_the_time_is_said():
    env = make_remote()
    with UnityLike(port_of(env), manual=True):
        wait_until(lambda: server_of(env).manual)
        with (
            clock_of(env).passing(),
            pytest.raises(SimulatorTimeoutError, match=r"a person drives.*let go of W and S"),
        ):
            env.reset()
    env.close()


def test_a_simulator_that_falls_silent_is_said_and_the_next_reset_connects_afresh():
    env = make_remote(simulator_options={"silence_timeout": 1.0})
    clock = clock_of(env)
    with connected(env) as unity, ThreadPoolExecutor() as pool:
        reset(env)
        unity.mute, begin = True, clock.now()
        with clock.passing(), pytest.raises(SimulatorTimeoutError, match="no telemetry for 1 s"):
            env.step(STRAIGHT)
        assert clock.now() - begin == pytest.approx(1.0)
        unity.mute = False
        resetting = pool.submit(env.reset)
        wait_until(lambda: unity.connections == 2)
        wait_for_start(server_of(env))
        clock.advance(SETTLING)
        resetting.result(PATIENCE)
        env.step(STRAIGHT)
    env.close()


def test_a_strange_dialect_is_said():
    env = make_remote()
    with UnityLike(port_of(env), event="status"):
        wait_until(lambda: server_of(env).drops.total() == 2)
        with (
            clock_of(env).passing(),
            pytest.raises(
                SimulatorTimeoutError, match=r"not understood.*'status'.*status \(2 times\).*term1"
            ),
        ):
            env.reset()
    env.close()


def test_a_field_that_is_wrong_is_named():
    env = make_remote(simulator_options={"dialect": "mpc"}, cameras=())
    with UnityLike(port_of(env)):
        wait_until(lambda: server_of(env).drops.total() == 2)
        with (
            clock_of(env).passing(),
            pytest.raises(SimulatorTimeoutError, match=r"mpc in which 'ptsx' is no list"),
        ):
            env.reset()
    env.close()


def test_a_port_that_is_taken_says_by_whom():
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(SimulatorError, match=TAKEN),
    ):
        make_remote(port=other.getsockname()[1])


@pytest.mark.parametrize(
    "options", [{"nonsense": 1}, {"on_reset": "maybe"}, {"connect_timeout": 0}, {"dialect": "klingon"}]
)
def test_simulator_options_that_make_no_sense_are_refused(options):
    with pytest.raises(OptionError):
        make_remote(simulator_options=options)


def test_it_listens_on_loopback_only_by_default(env):
    assert env.unwrapped.simulator.server.address.startswith("127.0.0.1:")


def test_render_shows_the_center_camera():
    env = make_remote(render_mode="rgb_array")
    with connected(env):
        reset(env)
        assert env.render().shape == (448, 800, 3)
    assert env.step(STRAIGHT)[3]
    assert env.render().shape == (448, 800, 3)  # the last image, though the simulator has gone
    env.close()


def test_closing_never_waits_for_the_simulator():
    env = make_remote()
    clock = clock_of(env)
    with connected(env) as unity:
        reset(env)
        unity.mute, begin = True, clock.now()
        with clock.passing():
            env.close()
            env.close()
        assert clock.now() - begin <= 1.0
        with pytest.raises(SimulatorError):
            env.step(STRAIGHT)


def test_opening_and_closing_leaves_no_thread_and_no_socket():
    port = free_port()
    with UnityLike(port):
        before = threading.active_count()
        for _ in range(5):
            env = make_remote(port=port)
            wait_for_start(server_of(env))
            reset(env)
            env.step(STRAIGHT)
            env.close()
        wait_until(lambda: threading.active_count() <= before)
