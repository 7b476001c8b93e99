"""The command, through `main` as the shell calls it."""

import argparse
import dataclasses
import json
import socket
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest

from udacity_gym.cli import VERBS, main
from udacity_gym.cli.doctor import Options as DoctorOptions
from udacity_gym.cli.doctor import checks
from udacity_gym.cli.options import About, add_options, read_options
from udacity_gym.cli.shared import unused
from udacity_gym.recording import open_recording


@dataclasses.dataclass
class Everything:
    """One option of each kind."""

    paths: Annotated[tuple[Path, ...], About("some paths", positional=True)]
    number: Annotated[int, About("a number")]
    rate: Annotated[float, About("a rate")] = 0.5
    limit: Annotated[float | None, About("a limit")] = None
    choice: Annotated[Literal["a", "b"], About("a choice")] = "a"
    flag: Annotated[bool, About("a flag")] = True
    long_name: Annotated[str, About("a name")] = "x"


def _parse(*arguments):
    parser = argparse.ArgumentParser()
    add_options(parser, Everything)
    return read_options(Everything, parser.parse_args(arguments))


def test_options_have_the_types_and_defaults_of_the_dataclass():
    assert _parse("p", "--number", "3") == Everything(paths=(Path("p"),), number=3)


def test_options_are_read_from_the_command_line():
    options = _parse(
        "p", "q", "--number=1", "--rate=2", "--limit=9.5", "--choice=b", "--no-flag", "--long-name=y"
    )
    assert options == Everything((Path("p"), Path("q")), 1, 2.0, 9.5, "b", False, "y")


@pytest.mark.parametrize(
    "bad", [["p"], ["--number=1"], ["p", "--number=x"], ["p", "--number=1", "--choice=c"]]
)
def test_options_that_are_missing_or_wrong_end_with_code_2(bad):
    with pytest.raises(SystemExit) as end:
        _parse(*bad)
    assert end.value.code == 2


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_and_every_option(verb, capsys):
    assert main([verb, "--help"]) == 0
    text = capsys.readouterr().out
    for field in dataclasses.fields(import_module(f"udacity_gym.cli.{verb}").Options):
        assert field.name in text or "--" + field.name.replace("_", "-") in text


def test_no_verb_or_a_wrong_one_ends_with_code_2(capsys):
    assert main([]) == 2
    assert main(["fly"]) == 2
    assert "fly" in capsys.readouterr().err


def test_help_is_quick_because_nothing_heavy_is_imported():
    code = (
        "import sys; from udacity_gym.cli import main; main(['--help']); "
        "print(sorted({'torch', 'numba', 'cv2', 'matplotlib', 'pandas', 'algorithms'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_options_of_train_have_the_defaults_of_the_learner():
    from algorithms import BehavioralCloningConfig
    from udacity_gym.cli.train import Options

    config = BehavioralCloningConfig()
    for field in dataclasses.fields(Options):
        if field.name not in ("recordings", "output") and field.default is not None:
            assert field.default == getattr(config, field.name), field.name


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "nowhere"], ["nowhere"]),
        (["drive", "nowhere"], ["nowhere", "checkpoint"]),
        (["evaluate", "empty"], ["empty", "policy.json"]),
        (["evaluate", "broken"], ["broken", "corrupt"]),
        (["evaluate", "expert", "--track", "moon"], ["moon", "lake"]),
        (["evaluate", "expert", "--laps", "0"], ["--laps", "above 0"]),
        (["drive", "expert", "--output", "film.avi"], ["webm"]),
        (["record", "new", "--track", "moon"], ["moon", "lake"]),
        (["record", "new", "--laps", "-1"], ["--laps"]),
        (["record", "old"], ["old", "--append"]),
        (["demo", "--recording", "nowhere"], ["nowhere"]),
        (["demo", "--track", "moon"], ["moon"]),
        (["demo", "--epochs", "0"], ["--epochs"]),
    ],
)
def test_a_mistake_ends_with_one_message_and_code_2_and_leaves_nothing(
    arguments, words, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "policy.json").write_text("{")
    (tmp_path / "broken" / "policy.safetensors").write_bytes(b"")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "driving_log.csv").write_text("")
    before = sorted(tmp_path.rglob("*"))
    assert main(arguments) == 2
    message = capsys.readouterr().err
    for word in words:
        assert word in message
    assert "Traceback" not in message
    assert sorted(tmp_path.rglob("*")) == before


def test_debug_shows_the_whole_error(tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        main(["drive", str(tmp_path / "nowhere"), "--debug"])


def test_a_missing_package_sends_to_the_doctor(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "algorithms", None)
    assert main(["drive", "nowhere"]) == 2
    assert "udacity-gym doctor" in capsys.readouterr().err


def test_ctrl_c_ends_without_a_traceback(monkeypatch, capsys):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr("udacity_gym.cli.doctor.run", interrupted)
    assert main(["doctor"]) == 130
    assert "stopped" in capsys.readouterr().err


def test_unused_never_gives_a_path_that_holds_something(tmp_path):
    path = tmp_path / "out"
    assert unused(path) == path
    path.mkdir()
    assert unused(path) == path
    (path / "x").touch()
    assert unused(path) == tmp_path / "out-2"
    (tmp_path / "out-2").touch()
    assert unused(path) == tmp_path / "out-3"
    (tmp_path / "drive.webm").touch()
    assert unused(tmp_path / "drive.webm") == tmp_path / "drive-2.webm"


def test_record_writes_a_recording_and_adds_a_take(tmp_path, capsys):
    folder = tmp_path / "laps"
    assert main(["record", str(folder), "--seconds", "2", "--speed", "9"]) == 0
    assert f"udacity-gym train {folder}" in capsys.readouterr().out
    recording = open_recording(folder)
    assert len(recording) == 30
    assert recording.cameras == ("center", "left", "right")
    assert main(["record", str(folder), "--seconds", "2", "--append"]) == 0
    assert [len(episode) for episode in open_recording(folder).episodes] == [30, 30]


def test_drive_makes_a_video_and_never_writes_over_one(tmp_path, monkeypatch, capsys):
    from udacity_gym.evaluation import runner

    monkeypatch.setattr(runner, "SLOWEST", 1000.0)  # ends after a second
    arguments = ["drive", "expert", "--output", str(tmp_path / "x.webm"), "--width", "128", "--height", "72"]
    assert main(arguments) == 0
    assert main(arguments) == 0
    assert "autonomy" in capsys.readouterr().out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x-2.webm", "x.webm"]


def test_evaluate_writes_figures_video_and_report(tmp_path, capsys):
    folder = tmp_path / "result"
    assert main(["evaluate", "expert", "--max-seconds", "2", "--output", str(folder), "--seed", "4"]) == 0
    out = capsys.readouterr().out
    assert "PurePursuit on track lake" in out
    assert str(folder / "report.html") in out
    assert sorted(p.name for p in folder.iterdir()) == ["drive.webm", "evaluation.json", "report.html"]
    figures = json.loads((folder / "evaluation.json").read_text())
    assert figures["seed"] == 4
    assert figures["autonomy"] == 1.0
    assert main(["evaluate", "expert", "--max-seconds", "1", "--output", str(folder), "--no-video"]) == 0
    again = folder.with_name("result-2")
    assert sorted(p.name for p in again.iterdir()) == ["evaluation.json", "report.html"]


@pytest.mark.long
def test_the_demo_records_learns_drives_and_reports_and_can_be_run_twice(tmp_path, capsys):
    folder = tmp_path / "demo"
    arguments = [
        "demo",
        "--output",
        str(folder),
        "--record-seconds",
        "8",
        "--epochs",
        "1",
        "--max-seconds",
        "4",
    ]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    for words in ("laps", "autonomy", "interventions", "cross-track error", f"Everything is in {folder}:"):
        assert words in out
    assert {p.name for p in folder.iterdir()} == {
        "report.html",
        "drive.webm",
        "evaluation.json",
        "policy",
        "recording",
        "training",
    }
    assert 'src="drive.webm"' in (folder / "report.html").read_text()
    assert len(open_recording(folder / "recording")) == 120

    # The next run gets a folder of its own; this one learns from the first one's recording.
    assert main([*arguments, "--recording", str(folder / "recording")]) == 0
    out = capsys.readouterr().out
    assert "120 of 120 rows used" in out
    assert (tmp_path / "demo-2" / "report.html").is_file()
    assert not (tmp_path / "demo-2" / "recording").exists()

    # What the demo leaves, the other verbs understand.
    assert (
        main(["evaluate", str(folder), "--max-seconds", "1", "--output", str(tmp_path / "e"), "--no-video"])
        == 0
    )
    assert main(["doctor", "--policy", str(folder / "policy")]) in (0, 1)
    assert "PilotNet" in capsys.readouterr().out


@pytest.mark.long
def test_the_demo_learns_from_a_persons_recording(lake_recording, tmp_path, capsys):
    folder = tmp_path / "demo"
    before = {path: path.stat().st_mtime_ns for path in lake_recording.rglob("*")}
    arguments = ["--output", str(folder), "--epochs", "1", "--max-seconds", "2", "--no-video"]
    assert main(["demo", "--recording", str(lake_recording), *arguments]) == 0
    out = capsys.readouterr().out
    assert "2000 of 2000 rows used" in out
    assert "as with a keyboard" in out
    assert sorted(p.name for p in folder.iterdir()) == [
        "evaluation.json",
        "policy",
        "report.html",
        "training",
    ]
    assert {path: path.stat().st_mtime_ns for path in lake_recording.rglob("*")} == before


@pytest.mark.long
def test_train_says_how_far_it_beats_doing_nothing_and_goes_on_where_it_stopped(tmp_path, capsys):
    laps, training = tmp_path / "laps", tmp_path / "training"
    assert main(["record", str(laps), "--seconds", "10"]) == 0
    arguments = ["train", str(laps), "--output", str(training), "--epochs", "1", "--threads", "1"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "always straight" in out
    assert f"udacity-gym evaluate {training}" in out
    weights = (training / "policy" / "policy.safetensors").read_bytes()
    assert main(arguments) == 0  # nothing is left to do
    assert (training / "policy" / "policy.safetensors").read_bytes() == weights
    assert main([*arguments, "--seed", "7"]) == 2
    assert "seed" in capsys.readouterr().err


def test_the_doctor_finds_a_sound_installation(capsys):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "fail" not in out
    for name in ("Python", "OpenCV", "torch", "pictures", "video", "port 4567", "disk"):
        assert name in out


def test_the_doctor_names_the_process_that_holds_the_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (check,) = [c for c in checks(DoctorOptions(port=port)) if c.name == f"port {port}"]
    assert check.status == "warn"
    assert check.advice
    if sys.platform == "linux":
        assert f"process {_own_process()}" in check.found


def test_the_doctor_fails_with_a_policy_that_does_not_load(tmp_path, capsys):
    assert main(["doctor", "--policy", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "policy.json" in out
    assert "must be put right" in out


def test_the_doctor_fails_if_no_picture_can_be_drawn(monkeypatch, capsys):
    class Blind:
        def reset(self, seed):
            return np.zeros((160, 320, 3), np.uint8), {}

        def step(self, action):
            return np.zeros((160, 320, 3), np.uint8), 0.0, False, False, {}

        def close(self):
            pass

    monkeypatch.setattr("udacity_gym.cli.doctor.make_env", lambda track: Blind())
    assert main(["doctor"]) == 1
    assert "empty" in capsys.readouterr().out


def _own_process():
    import os

    return os.getpid()
