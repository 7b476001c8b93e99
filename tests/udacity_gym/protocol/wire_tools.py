"""What several tests of the wire share."""

import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import gymnasium as gym
import pytest
from filelock import FileLock
from simulated_clock import SimulatedClock

import udacity_gym
from udacity_gym.protocol.client import SimulatorClient
from udacity_gym.simulators import SimulatorSettings
from udacity_gym.simulators.embedded import EmbeddedSimulator
from udacity_gym.world.track.track import built_in_tracks

PATIENCE = 300.0
"""Seconds after which something counts as hanging; never a measure of how fast it must be."""
PATIENT = {"connect_timeout": PATIENCE, "silence_timeout": PATIENCE, "idle_timeout": PATIENCE}
"""Options of a remote simulator for a machine of any speed."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make_remote(**settings):
    """An environment that waits for a simulator, on any free port, and whose time is simulated."""
    options = {**PATIENT, "clock": SimulatedClock(), **settings.pop("simulator_options", {})}
    return gym.make(
        udacity_gym.ENV_ID,
        simulator="remote",
        **{"port": 0, "ctrl_dt": 0.02, **settings},
        simulator_options=options,
        disable_env_checker=True,
    )


@contextlib.contextmanager
def running_client(port, make=None, **settings):
    """Our simulator on the wire, in a thread; yields the client."""
    make = make or (lambda ctrl_dt: EmbeddedSimulator(SimulatorSettings("lake", ctrl_dt=ctrl_dt)))
    settings = {"patience": PATIENCE, "tracks": built_in_tracks(), **settings}
    client = SimulatorClient(make, port=port, **settings)
    thread = threading.Thread(target=client.run, daemon=True)
    thread.start()
    try:
        yield client
    finally:
        client.stop()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def wait_until(condition, meanwhile=lambda: None):
    """Wait for an event; ``meanwhile`` is called again and again, for instance to let simulated time pass."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        meanwhile()
        time.sleep(0.001)


def server_of(env):
    return env.unwrapped.simulator.server


def port_of(env):
    return server_of(env).port


def wait_for_start(server):
    """Wait until both telemetries have arrived that a simulator sends when it connects."""
    wait_until(lambda: server.received == 2)


def _cached(config, name, requirements, build):
    """A folder with packages installed, kept between runs; built again when the requirements change."""
    mark = hashlib.sha256(f"{requirements}{sys.version}".encode()).hexdigest()[:12]
    folder = Path(config.cache.mkdir("udacity-gym-wire")) / f"{name}-{mark}"
    with FileLock(f"{folder}.lock"):  # other processes may run tests that need it, too
        if not (folder / "ready").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            try:
                build(folder)
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired, OSError) as error:
                output = getattr(error, "stderr", b"") or b""
                reason = f"{name} can't be installed here: {output.decode(errors='replace')[-300:] or error}"
                if os.environ.get("UDACITY_GYM_REQUIRE_CONFORMANCE"):
                    pytest.fail(reason)
                pytest.skip(reason)
            (folder / "ready").touch()
    return folder


def _run(*command, cwd=None):
    subprocess.run(command, check=True, capture_output=True, timeout=2 * PATIENCE, cwd=cwd)


def python_with(config, name, *requirements):
    """The interpreter of a virtual environment of its own."""
    inside = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")

    def build(folder):
        _run(sys.executable, "-m", "venv", str(folder))
        python = str(folder.joinpath(*inside))
        _run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements)

    return _cached(config, name, requirements, build).joinpath(*inside)


def node_with(config, name, *packages):
    """A folder in which node finds packages."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("no node and npm here: clients of JavaScript are not tried")

    def build(folder):
        _run("npm", "install", "--no-audit", "--no-fund", "--silent", *packages, cwd=folder)

    return _cached(config, name, packages, build)
