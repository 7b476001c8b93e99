"""A drive.py that we did not write in spirit: the course's, with the course's versions and with today's."""

import subprocess
from pathlib import Path

import pytest
from wire_tools import PATIENCE, free_port, python_with, running_client, wait_until

from udacity_gym.protocol import client as client_module
from udacity_gym.simulators.base import SimulatorSettings
from udacity_gym.simulators.embedded import EmbeddedSimulator

DRIVE_PY = Path(__file__).with_name("course_drive.py")
COMMON = ("flask", "eventlet", "numpy", "pillow")
VERSIONS = {
    "classic": ("python-socketio==4.6.1", "python-engineio==3.13.2", *COMMON),
    "current": ("python-socketio>=5.18", *COMMON),
}
LAKE = 1137.8


class Watched(EmbeddedSimulator):
    """The embedded simulator, and how far it was driven."""

    progress = worst = 0.0

    def step(self, control):
        telemetry = super().step(control)
        self.progress = telemetry.track.progress
        self.worst = max(self.worst, abs(telemetry.track.cte))
        return telemetry


@pytest.mark.long
@pytest.mark.parametrize("versions", VERSIONS)
def test_the_courses_drive_py_drives_a_lap_of_the_lake(request, versions, monkeypatch):
    monkeypatch.setattr(client_module, "SETTLING", 3.0)  # a slow driver may send its first commands in turns
    python = python_with(request.config, f"drive-py-{versions}", *VERSIONS[versions])
    port, cars = free_port(), []

    def make(ctrl_dt):
        cars.append(Watched(SimulatorSettings("lake", ctrl_dt=ctrl_dt)))
        return cars[-1]

    drive = subprocess.Popen(
        [python, DRIVE_PY, "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        with running_client(port, make=make) as client:
            wait_until(lambda: client.steps > 0 or drive.poll() is not None)
            wait_until(lambda: cars[0].progress > LAKE or drive.poll() is not None)
        assert drive.poll() is None, drive.stderr.read().decode()
        assert cars[0].worst < 4.76
        assert client.connections == 1
        assert client.drops == 0
    finally:
        drive.terminate()
        drive.wait(PATIENCE)
        drive.stderr.close()
