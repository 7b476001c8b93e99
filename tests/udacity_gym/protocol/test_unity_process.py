"""Finding, starting and ending a simulator's program, with a stand-in for Unity's."""

import os
import signal
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from wire_tools import PATIENCE, PATIENT, free_port, wait_until

import udacity_gym
from udacity_gym.errors import SimulatorError
from udacity_gym.simulators.unity import UnityProcess, find_binary

posix = pytest.mark.skipif(os.name == "nt", reason="the stand-in is a script with a #! line")


def program(path, text="#!/bin/sh\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("platform", "files", "expected"),
    [
        ("linux", ["beta_simulator.x86_64", "beta_simulator_Data/level0"], "beta_simulator.x86_64"),
        ("linux", ["sim.x86", "sim.x86_64"], "sim.x86_64"),
        ("linux", ["beta_simulator_linux/sim.x86_64", "README.txt"], "beta_simulator_linux/sim.x86_64"),
        ("win32", ["beta_simulator.exe", "UnityCrashHandler64.exe", "uninstall.exe"], "beta_simulator.exe"),
        (
            "darwin",
            ["sim.app/Contents/MacOS/sim", "sim.app/Contents/Info.plist"],
            "sim.app/Contents/MacOS/sim",
        ),
        ("darwin", ["sim.app/Contents/MacOS/Udacity"], "sim.app/Contents/MacOS/Udacity"),
    ],
)
def test_the_program_is_found_in_the_folder(tmp_path, platform, files, expected):
    for name in files:
        program(tmp_path / name)
    assert find_binary(tmp_path, platform) == tmp_path / expected
    assert find_binary(tmp_path / expected, platform) == tmp_path / expected


def test_an_app_is_a_program(tmp_path):
    program(tmp_path / "my.app" / "Contents" / "MacOS" / "my")
    assert find_binary(tmp_path / "my.app").name == "my"


def test_no_program_and_several_programs_are_said(tmp_path):
    with pytest.raises(SimulatorError, match="no program of a simulator"):
        find_binary(tmp_path, "linux")
    program(tmp_path / "a.x86_64")
    program(tmp_path / "b.x86_64")
    with pytest.raises(SimulatorError, match=r"several programs.*a\.x86_64.*b\.x86_64"):
        find_binary(tmp_path, "linux")
    with pytest.raises(SimulatorError, match="no simulator at"):
        find_binary(tmp_path / "nowhere")


@posix
def test_a_program_that_may_not_be_executed_says_how_to_allow_it(tmp_path):
    program(tmp_path / "sim.x86_64").chmod(0o644)
    with pytest.raises(SimulatorError, match="chmod"):
        find_binary(tmp_path, "linux")


def stand_in(folder):
    """A program that takes Unity's arguments: our own client, in dialect term1 and unannounced."""
    script = f"""#!{sys.executable}
import sys
sys.path.insert(0, {str(Path(udacity_gym.__file__).parents[1])!r})
from udacity_gym.cli import main
from udacity_gym.protocol import client

assert sys.argv[1] == "--port"
client.SLOW_START = 0.1
sys.exit(main(["sim", "--port", sys.argv[2], "--no-announce", "--patience", "{PATIENCE}"]))
"""
    return program(folder / "sim.x86_64", script)


def make(path, port):
    return gym.make(
        udacity_gym.ENV_ID,
        simulator=path,
        port=port,
        ctrl_dt=1e-6,
        simulator_options=PATIENT,
        disable_env_checker=True,
    )


@posix
def test_a_path_starts_the_program_restarts_it_for_a_reset_and_ends_it(tmp_path):
    stand_in(tmp_path)
    env = make(tmp_path, port=free_port())
    launcher = env.unwrapped.simulator._launcher
    assert launcher.pid is None  # nothing is started before it is needed
    env.reset()
    first = launcher.pid
    for _ in range(10):
        _, _, _, _, info = env.step(np.array([0.0, 1.0]))
    assert info["speed"] > 0.5
    _, info = env.reset()
    second = launcher.pid
    assert second not in (None, first)
    assert info["speed"] == 0.0
    env.close()
    assert launcher.pid is None
    for process in (first, second):
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


@posix
def test_a_program_that_dies_truncates_the_episode_and_is_started_again(tmp_path):
    stand_in(tmp_path)
    env = make(tmp_path, port=free_port())
    env.reset()
    simulator = env.unwrapped.simulator
    os.kill(simulator._launcher.pid, signal.SIGKILL)
    wait_until(lambda: simulator.server.client is None and simulator._launcher.pid is None)
    assert env.step(np.zeros(2))[4]["end_reason"] == "simulator_gone"
    env.reset()
    assert not env.step(np.zeros(2))[3]
    env.close()


@posix
def test_a_program_that_ends_at_once_is_said_with_its_last_words(tmp_path):
    program(tmp_path / "sim.x86_64", "#!/bin/sh\necho no graphics card here >&2\nexit 7\n")
    env = make(tmp_path, port=0)
    with pytest.raises(SimulatorError, match=r"exit code 7.*no graphics card here"):
        env.reset()
    env.close()


@posix
def test_a_program_that_is_none_is_said(tmp_path):
    program(tmp_path / "sim.x86_64", "\x00\x01\x02")
    process = UnityProcess(tmp_path / "sim.x86_64")
    with pytest.raises(SimulatorError, match=r"can't be started.*built for this system"):
        process.start(4567)
    process.stop()


@posix
def test_only_what_was_started_is_ended(tmp_path):
    program(tmp_path / "sim.x86_64", "#!/bin/sh\nsleep 600 &\necho $! > child\nwait\n")
    one, other = UnityProcess(tmp_path), UnityProcess(tmp_path)
    one.start(4567)
    child = tmp_path / "child"
    wait_until(lambda: child.exists() and child.read_text().strip())
    pid = int(child.read_text())
    other.start(4567)
    one.stop()
    one.stop()
    wait_until(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text())
    assert other.pid is not None
    other.check()
    other.stop()


def test_a_name_that_is_neither_a_simulator_nor_a_path_is_said():
    with pytest.raises(SimulatorError, match=r"'unity'.*'embedded', 'remote'"):
        gym.make(udacity_gym.ENV_ID, simulator="unity", disable_env_checker=True)
