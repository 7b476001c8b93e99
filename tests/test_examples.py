"""Each example keeps what it promises, in a smaller form where it takes minutes.

An example ends by asserting its result. The examples that need recordings or other environments are tested
elsewhere: `test_cloning_example.py`, `test_many.py` and `test_offline_examples.py` in `tests/algorithms`.
"""

import runpy
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages import ROOT

EXAMPLES = ROOT / "examples"
TESTED_ELSEWHERE = {"behavioral_cloning_from_log.py", "dagger_scikit_learn.py", "offline_rl.py", "sweep.py"}
SMALL: dict[str, list[str]] = {
    "bc_to_ppo.py": [],  # a clone of fewer epochs is slow, and PPO then takes longer to pass the expert
    "custom_learner.py": ["--record-seconds", "60", "--drive-seconds", "30"],
    "custom_track.py": [],
    "dagger.py": [],
    "dagger_with_a_human.py": ["--scripted", "--rounds", "2", "--frames", "300", "--steps", "20"],
}
"""Arguments with which an example takes about half a minute, or two minutes at most."""


def test_every_example_is_tested_and_named_in_the_readme():
    names = {path.name for path in EXAMPLES.glob("*.py")}
    assert names == {*SMALL, *TESTED_ELSEWHERE, "drive_py_server.py", "unity.py"}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in sorted(names) if f"examples/{name}" not in readme] == []


@pytest.mark.long
@pytest.mark.parametrize("name", SMALL)
def test_an_example_keeps_its_promise(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [name, *SMALL[name]])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")  # ends by asserting its result


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.mark.long
def test_an_old_drive_py_drives_as_far_as_the_environment():
    pytest.importorskip("eventlet", reason="needs eventlet, as the course's drive.py does")
    command = [sys.executable, str(EXAMPLES / "drive_py_server.py"), "--port", free_port(), "--steps", "150"]
    subprocess.run(command, check=True, cwd=ROOT)


@pytest.mark.long
def test_the_example_for_unity_drives_a_simulator_that_connects():
    port = free_port()
    simulator = [sys.executable, "-m", "udacity_gym", "sim", "--port", port, "--patience", "300"]
    example = [
        sys.executable,
        str(EXAMPLES / "unity.py"),
        "--port",
        port,
        "--seconds",
        "15",
        "--metres",
        "60",
    ]
    with subprocess.Popen(simulator, cwd=ROOT) as process:
        try:
            subprocess.run(example, check=True, cwd=ROOT)
        finally:
            process.terminate()
