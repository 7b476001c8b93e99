"""``udacity-gym sim`` counts laps, departures and steps, and judges a driver by them."""

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
from dataclasses import replace

import pytest
from wire_tools import PATIENCE, PATIENT, free_port

from udacity_gym.cli import main
from udacity_gym.cli.sim import DriveAccount, Goal
from udacity_gym.errors import SimulatorError
from udacity_gym.experts import PurePursuit
from udacity_gym.simulators import SimulatorSettings
from udacity_gym.simulators.remote import RemoteOptions, RemoteSimulator
from udacity_gym.telemetry import Control, Telemetry, TrackState

ON_ROAD = TrackState(
    s=0.0, cte=0.0, heading_error=0.0, curvature=0.0, progress=0.0, lap=0, offroad=False, off_lane=False
)


def moment(time, **track):
    return Telemetry(time, 5.0, 0.0, 0.0, 0.0, track=replace(ON_ROAD, **track))


def test_laps_and_departures_are_counted_over_all_episodes():
    news = []
    account = DriveAccount(news.append)
    account.update(moment(1.0, s=10.0, progress=10.0))
    account.update(moment(2.0, s=20.0, progress=20.0, off_lane=True))
    account.update(moment(3.0, s=30.0, progress=30.0, off_lane=True, offroad=True))
    account.update(moment(3.1, s=31.0, progress=31.0))
    account.update(moment(3.2, s=32.0, progress=32.0, offroad=True, off_lane=True))  # the same excursion
    account.update(moment(9.0, s=5.0, progress=105.0, lap=1))
    account.update(moment(1.0, s=10.0, progress=10.0))  # the driver has connected again
    account.update(moment(2.0, s=50.0, progress=50.0, offroad=True))
    account.update(moment(12.0, s=5.0, progress=105.0, lap=1))
    assert account.to_json() == {
        "laps": 2,
        "departures": [
            {"time": 3.0, "distance": 30.0, "s": 30.0},
            {"time": 11.0, "distance": 155.0, "s": 50.0},
        ],
        "edge_departures": 2,
        "steps": 9,
        "seconds": 21.0,
        "distance": 210.0,
    }
    assert news == [
        "off the road at s = 30 m, after 3.0 s",
        "lap 1 after 9.0 s",
        "off the road at s = 50 m, after 11.0 s",
        "lap 2 after 21.0 s",
    ]
    assert str(account).startswith(
        "2 laps, 2 departures from the road, 2 times a wheel over the line, 9 steps"
    )


def test_a_goal_says_when_a_drive_is_over_and_whether_it_has_passed():
    account = DriveAccount(lambda news: None)
    goal = Goal(laps=1, max_departures=0, max_seconds=20.0)
    account.update(moment(1.0))
    assert (goal.ending(account), goal.failure(account)) == (None, "0 of 1 lap")
    account.update(moment(19.0, lap=1))
    assert (goal.ending(account), goal.failure(account)) == ("all laps driven", None)
    assert Goal(2, 0, 19.0).ending(account) == "time limit of 19 s"
    account.update(moment(19.5, lap=1, offroad=True))
    assert goal.ending(account) == "too many departures"
    assert goal.failure(account) == "1 departure from the road, allowed are 0"
    assert (Goal(None, None, None).ending(account), Goal(None, None, None).failure(account)) == (None, None)


def drive_until_it_ends(port, expert):
    """Serve a simulator until it has gone."""
    settings = SimulatorSettings(port=port, cameras=())
    with RemoteSimulator(settings, RemoteOptions(**PATIENT)) as simulator:
        try:
            telemetry = simulator.reset()
            while True:
                telemetry = simulator.step(expert(telemetry))
        except SimulatorError:
            pass


def pursue(telemetry, expert=PurePursuit()):  # noqa: B008 - it remembers nothing
    return Control(*map(float, expert(None, telemetry.as_info())))


@pytest.mark.parametrize(
    ("expert", "options", "status", "expected"),
    [
        (pursue, ["--laps", "1", "--max-departures", "0"], 0, ("all laps driven", True)),
        (lambda _: Control(0.3, 1.0), ["--max-departures", "0"], 1, ("too many departures", False)),
        (lambda _: Control(0.0, 0.0), ["--laps", "1", "--max-seconds", "2"], 1, ("time limit of 2 s", False)),
        (lambda _: Control(0.0, 0.5), ["--max-seconds", "2"], 0, ("time limit of 2 s", True)),
    ],
)
def test_a_driver_is_judged_by_the_exit_status_and_in_a_file(
    expert, options, status, expected, tmp_path, capsys
):
    port = free_port()
    driver = threading.Thread(target=drive_until_it_ends, args=(port, expert))
    driver.start()
    file = tmp_path / "results.json"
    assert main(["sim", "--port", str(port), "--patience", "20", "--json", str(file), *options]) == status
    driver.join(PATIENCE)
    assert not driver.is_alive()
    results = json.loads(file.read_text())
    assert (results["ended"], results["passed"]) == expected
    assert results["track"] == "lake"
    said = capsys.readouterr().out
    assert f"{expected[0]}: {results['laps']} lap" in said
    assert ("failed: " in said) == (status == 1)
    if "--laps" in options and status == 0:
        assert results["distance"] >= 1100
        assert "lap 1 after" in said
    if expected[0] == "too many departures":
        assert len(results["departures"]) == 1


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_drive_tells_how_far_it_came(stop, tmp_path):
    file = tmp_path / "results.json"
    with RemoteSimulator(SimulatorSettings(port=0, cameras=()), RemoteOptions(**PATIENT)) as simulator:
        command = [sys.executable, "-m", "udacity_gym", "sim", "--json", str(file), "--port"]
        process = subprocess.Popen(
            [*command, str(simulator.server.port)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        simulator.reset()
        for _ in range(15):
            simulator.step(Control(0.0, 1.0))
        process.send_signal(stop)
        said, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "interrupted: 0 laps, 0 departures from the road" in said
    assert "stopped by you" in errors
    assert "Traceback" not in errors
    results = json.loads(file.read_text())
    assert (results["ended"], results["passed"], results["steps"]) == ("interrupted", False, 15)


def test_on_a_terminal_one_line_is_updated_in_place():
    terminal, other_end = pty.openpty()
    fcntl.ioctl(other_end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 150, 0, 0))
    port = free_port()
    driver = threading.Thread(target=drive_until_it_ends, args=(port, pursue))
    driver.start()
    command = [sys.executable, "-m", "udacity_gym", "sim", "--max-seconds", "80", "--port", str(port)]
    process = subprocess.Popen(command, stdout=other_end, stderr=other_end)
    os.close(other_end)
    shown = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # Linux: the other end was closed
            break
        if not part:
            break
        shown += part
    assert process.wait(PATIENCE) == 0
    driver.join(PATIENCE)
    os.close(terminal)
    assert b"\r0 laps, 0 departures from the road" in shown
    assert b"time limit of 80 s: 0 laps" in shown


def test_wrong_numbers_are_refused():
    assert main(["sim", "--laps", "0"]) == 2
    assert main(["sim", "--max-departures", "-1"]) == 2
    assert main(["sim", "--max-seconds", "0"]) == 2
