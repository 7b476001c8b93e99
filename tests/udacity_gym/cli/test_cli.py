"""The command, through `main` as the shell calls it."""

import argparse
import dataclasses
import json
import re
import signal
import socket
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal, get_args, get_type_hints

import numpy as np
import pytest

from algorithms import load_policy
from algorithms.policies.device import describe_device, find_device, quickest_precision
from udacity_gym.cli import VERBS, main
from udacity_gym.cli.doctor import Options as DoctorOptions, checks
from udacity_gym.cli.options import About, add_options, read_options
from udacity_gym.cli.outputs import new_folder, new_video
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
    pair: Annotated[tuple[str, ...], About("one of several", repeated=True)] = ()


def _parse(*arguments):
    parser = argparse.ArgumentParser()
    add_options(parser, Everything)
    return read_options(Everything, parser.parse_args(arguments))


def test_options_have_the_types_and_defaults_of_the_dataclass():
    assert _parse("p", "--number", "3") == Everything(paths=(Path("p"),), number=3)


def test_options_are_read_from_the_command_line():
    options = _parse(
        "p",
        "q",
        "--number=1",
        "--rate=2",
        "--limit=9.5",
        "--choice=b",
        "--no-flag",
        "--long-name=y",
        "--pair=1",
        "--pair",
        "2",
    )
    assert options == Everything((Path("p"), Path("q")), 1, 2.0, 9.5, "b", False, "y", ("1", "2"))


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


@pytest.mark.parametrize("algorithm", ["bc", "dagger", "thrifty_dagger"])
def test_every_setting_of_a_learner_that_words_can_set_is_an_option_of_train(algorithm, capsys):
    from algorithms.learners import find_learner, options_of
    from algorithms.training.config import NESTED_SETTINGS

    assert main(["train", "--algorithm", algorithm, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for option in options_of(find_learner(algorithm)):
        assert option.description, f"{option.name} is not documented"
        is_part = isinstance(option.default, NESTED_SETTINGS)
        is_option = re.search(f"--{option.name.replace('_', '-')}[ ,]", text) is not None
        assert is_option != is_part, option.name


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        (["--epochs", "5", "--loss", "mse"], {"epochs": 5, "loss": "mse"}),
        (["--learning-rate", "1", "--memory-budget=1e9"], {"learning_rate": 1.0, "memory_budget": 1e9}),
        (["--option", "epochs=5", "--patience", "none"], {"epochs": 5, "patience": None}),
        (["--inputs", "speed", "--network", "PilotLSTM"], {"inputs": "speed", "network": "PilotLSTM"}),
        (["--weights", "[1, 3]"], {"weights": [1, 3]}),
        (["--algorithm", "dagger", "--no-warm-start", "--put-back"], {"warm_start": False, "put_back": True}),
        (["--algorithm", "dagger", "--beta", "linear", "--rounds=3"], {"beta": "linear", "rounds": 3}),
        (["--algorithm", "dagger", "--option", "start={'s': 3.0}"], {"start": {"s": 3.0}}),
    ],
)
def test_settings_of_a_learner_are_read_by_their_types(words, settings, tmp_path, monkeypatch, capsys):
    import algorithms.learners

    def remember(learner_class, recordings, options, **given):
        assert options == settings
        assert {name: type(value) for name, value in options.items()} == {
            name: type(value) for name, value in settings.items()
        }
        raise KeyboardInterrupt

    assert main(["record", str(tmp_path / "laps"), "--seconds", "0.4"]) == 0
    monkeypatch.setattr(algorithms.learners, "make_learner", remember)
    assert main(["train", str(tmp_path / "laps"), "--output", str(tmp_path / "out"), *words]) == 130


def test_train_names_the_nearest_setting_to_one_that_there_is_not(capsys):
    assert main(["train", "laps", "--epohcs", "3"]) == 2
    assert "no option 'epohcs'; did you mean 'epochs'?" in capsys.readouterr().err
    assert main(["train", "laps", "--epochs", "3", "--option", "epochs=3"]) == 2
    assert main(["train", "laps", "--algorithm", "dager", "--help"]) == 2
    assert "did you mean 'dagger'?" in capsys.readouterr().err


def test_the_views_of_drive_are_those_that_can_be_drawn():
    from udacity_gym.cli.drive import Options
    from udacity_gym.world.rendering.camera import VIEWS

    hint, _ = get_args(get_type_hints(Options, include_extras=True)["view"])
    assert get_args(hint) == VIEWS


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
        (["demo", "--record-seconds", "inf"], ["--record-seconds"]),
        (["demo", "--seed", "-3"], ["--seed", "-3"]),
        (["record", "new", "--seed", "-3"], ["--seed", "-3"]),
        (["evaluate", "expert", "--seed", "-3"], ["--seed", "-3"]),
        (["drive", "expert", "--seed", "-3"], ["--seed", "-3"]),
        (["drive", "expert", "--output", "new/film.webm", "--width", "3"], ["width"]),
        (["train", "old", "--seed", str(2**63)], ["--seed"]),
        (["sim", "--seed", "-3"], ["--seed", "-3"]),
        (["evaluate", "expert", "--output", "."], ["--output"]),
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


def test_a_missing_package_sends_to_the_doctor(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "algorithms", None)
    (tmp_path / "policy.json").write_text("{}")
    assert main(["drive", str(tmp_path)]) == 2
    assert "udacity-gym doctor" in capsys.readouterr().err


def test_ctrl_c_ends_without_a_traceback(monkeypatch, capsys):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr("udacity_gym.cli.doctor.run", interrupted)
    assert main(["doctor"]) == 130
    assert "stopped" in capsys.readouterr().err


def test_a_new_folder_is_one_that_nobody_else_has(tmp_path):
    path = tmp_path / "deep" / "v1.5"
    with new_folder(path) as first, new_folder(path) as second:
        assert first == path
        assert second == path.with_name("v1.5-2")
        assert first.is_dir()
        assert second.is_dir()
    path.with_name("v1.5-3").touch()
    with new_folder(path) as fourth:
        assert fourth == path.with_name("v1.5-4")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_new_folder_that_stays_empty_goes_away_with_what_is_above_it(tmp_path, error):
    def work():
        with new_folder(tmp_path / "a" / "b") as folder:
            (folder / "c" / "d").mkdir(parents=True)
            raise error

    with pytest.raises(error):
        work()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_interrupted_keeps_what_is_in_it_and_says_so(tmp_path):
    def work():
        with new_folder(tmp_path / "a") as folder:
            (folder / "empty").mkdir()
            (folder / "result").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=f"are in {tmp_path / 'a'}"):
        work()
    assert list((tmp_path / "a").iterdir()) == [tmp_path / "a" / "result"]


@pytest.mark.parametrize(
    ("name", "free"), [("drive.webm", "drive-2.webm"), ("v1.5", "v1.5-2"), ("v1.5.webm", "v1.5-2.webm")]
)
def test_a_new_video_has_a_name_that_nobody_has(tmp_path, name, free):
    with new_video(tmp_path / name) as path:
        assert path == tmp_path / name
    (tmp_path / name).touch()
    with new_video(tmp_path / name) as path:
        assert path == tmp_path / free


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["demo", "--output", "file/out"], "--output"),
        (["evaluate", "expert", "--output", "file/out"], "--output"),
        (["drive", "expert", "--output", "file/out.webm"], "--output"),
        (["train", "old", "--output", "file"], "--output"),
        (["record", "file/out"], "folder"),
    ],
)
def test_a_place_that_can_not_be_written_to_is_found_before_any_work(
    arguments, option, tmp_path, monkeypatch, capsys
):
    def work(*_, **__):
        raise AssertionError("the work has begun")

    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    monkeypatch.setattr("udacity_gym.recording.record", work)
    monkeypatch.setattr("udacity_gym.evaluation.evaluate", work)
    monkeypatch.setattr("udacity_gym.recording.open_recording", work)
    assert main(arguments) == 2
    message = capsys.readouterr().err
    assert f"{tmp_path / 'file'}" in message
    assert "can't be written to" in message
    assert f"choose another {option}" in message
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


class Interrupted:
    """Drives straight on and gets a signal at a control step."""

    def __init__(self, step, kind):
        self.step, self.kind = step, kind

    def __call__(self, observation, info):
        if round(info["time"] * 15) == self.step:
            signal.raise_signal(self.kind)
        return np.array([0.0, 1.0], np.float32)


@pytest.fixture
def ctrl_c():
    """Ctrl-C interrupts, as in a terminal: a shell starts commands in the background deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_record_that_is_interrupted_says_what_it_keeps_and_how_to_go_on(kind, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("udacity_gym.cli.record.make_expert", lambda *_, **__: Interrupted(20, kind))
    folder = tmp_path / "laps"
    before = signal.getsignal(signal.SIGTERM)
    assert main(["record", str(folder)]) == 130
    assert signal.getsignal(signal.SIGTERM) is before
    message = capsys.readouterr().err
    assert "stopped by you" in message
    assert f"the recording in {folder} has the 20 frames so far" in message
    assert f"udacity-gym record {folder} --append" in message
    assert len(open_recording(folder)) == 20
    assert not list(folder.rglob("*.part*"))


@pytest.mark.parametrize("step", [0, 20])
@pytest.mark.parametrize(
    "arguments",
    [
        ["drive", "expert", "--output", "new/film.webm"],
        ["evaluate", "expert", "--output", "new/result"],
    ],
)
def test_a_drive_that_is_terminated_leaves_nothing(arguments, step, tmp_path, monkeypatch, capsys):
    verb = arguments[0]
    monkeypatch.setattr(
        f"udacity_gym.cli.{verb}.load_driver", lambda *_, **__: Interrupted(step, signal.SIGTERM)
    )
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 130
    assert "stopped by you" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_recording_or_a_demo_terminated_before_its_first_frame_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for verb in ("record", "demo"):
        monkeypatch.setattr(
            f"udacity_gym.cli.{verb}.make_expert", lambda *_, **__: Interrupted(0, signal.SIGTERM)
        )
    assert main(["record", "laps"]) == 130
    assert main(["demo", "--output", "new/demo"]) == 130
    assert list(tmp_path.iterdir()) == []


def test_record_writes_a_recording_and_adds_an_episode(tmp_path, capsys):
    folder = tmp_path / "laps"
    assert main(["record", str(folder), "--seconds", "2", "--speed", "9"]) == 0
    assert f"udacity-gym train {folder}" in capsys.readouterr().out
    recording = open_recording(folder)
    assert len(recording) == 30
    assert recording.cameras == ("center", "left", "right")
    assert main(["record", str(folder), "--seconds", "2", "--append"]) == 0
    assert [len(episode) for episode in open_recording(folder).episodes] == [30, 30]


def test_a_track_is_recorded_and_judged_the_other_way_around(tmp_path):
    where = []
    for direction in ("forward", "reverse"):
        folder, result = tmp_path / direction, tmp_path / f"{direction}-judged"
        assert main(["record", str(folder), "--seconds", "4", "--direction", direction]) == 0
        (episode,) = open_recording(folder).episodes
        where.append(np.array([extra["pose"][:2] for extra in episode.extras()]))
        judge = ["evaluate", "expert", "--max-seconds", "4", "--no-video", "--direction", direction]
        assert main([*judge, "--output", str(result)]) == 0
        judged = json.loads((result / "evaluation.json").read_text())
        assert judged["track_data"].get("direction", "forward") == direction
        assert judged["autonomy"] == 1.0
        assert judged["distance"] > 5
    forward, reverse = (poses[-1] - poses[0] for poses in where)
    assert forward @ reverse < 0


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
    for words in ("laps", "autonomy", "interventions", "cross-track error", f"The results are in {folder}:"):
        assert words in out
    precision = quickest_precision(find_device())
    assert f"Training on {describe_device(find_device())} in {precision}." in out
    assert load_policy(folder / "policy").training["settings"]["precision"] == precision
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


def test_train_refuses_a_speed_that_nobody_would_keep(tmp_path, capsys):
    laps = tmp_path / "laps"
    assert main(["record", str(laps), "--seconds", "2"]) == 0
    assert (
        main(
            [
                "train",
                str(laps),
                "--output",
                str(tmp_path / "new" / "out"),
                "--throttle",
                "learned",
                "--target-speed",
                "5",
            ]
        )
        == 2
    )
    message = capsys.readouterr().err
    assert "speed_control" in message
    assert "Traceback" not in message
    assert list(tmp_path.iterdir()) == [laps]


@pytest.mark.parametrize("epoch", [0, 1])
def test_train_that_is_terminated_says_how_to_go_on_or_leaves_nothing(epoch, tmp_path, monkeypatch, capsys):
    from algorithms import BehavioralCloning

    def learn(self):
        if epoch:
            (training / "state").mkdir(parents=True)
            (training / "state" / "state.json").touch()
        (training / "tensorboard").mkdir(parents=True)
        signal.raise_signal(signal.SIGTERM)

    laps, training = tmp_path / "laps", tmp_path / "new" / "training"
    assert main(["record", str(laps), "--seconds", "6"]) == 0
    monkeypatch.setattr(BehavioralCloning, "learn", learn)
    assert main(["train", str(laps), "--output", str(training)]) == 130
    message = capsys.readouterr().err
    assert ("the same command goes on" in message) == bool(epoch)
    assert training.exists() == training.parent.exists() == bool(epoch)


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
    for name in ("Python", "OpenCV", "torch", "images", "video", "port 4567", "disk"):
        assert name in out
    device = find_device()
    assert f"trains on {describe_device(device)}, quickest in {quickest_precision(device)}" in out


def test_the_doctor_names_the_process_that_holds_the_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (check,) = [c for c in checks(DoctorOptions(port=port)) if c.name == f"port {port}"]
    assert check.status == "warn"
    assert check.advice
    if sys.platform == "linux":
        assert f"process {_own_process()}" in check.result


def test_the_doctor_fails_with_a_policy_that_does_not_load(tmp_path, capsys):
    assert main(["doctor", "--policy", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "policy.json" in out
    assert "must be fixed first" in out


def test_the_doctor_fails_if_no_image_can_be_drawn(monkeypatch, capsys):
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


def test_verbs_that_drive_take_conditions_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["record", str(tmp_path / "wet"), "--seconds", "1", "--conditions"]
    assert main([*arguments, "rain"]) == 0
    extra = open_recording(tmp_path / "wet").episodes[0][0].extra
    assert (extra["weather"], extra["conditions"]["intensity"]) == ("rain", 0.6)
    for verb in (
        ["record", str(tmp_path / "other")],
        ["drive", "pure_pursuit"],
        ["evaluate", "pure_pursuit", "--output", str(tmp_path / "judged")],
        ["sim", "--patience", "0.1"],
    ):
        assert main([*verb, "--conditions", "hail"]) == 2
        assert "no conditions 'hail'; there are clear, overcast" in capsys.readouterr().err
