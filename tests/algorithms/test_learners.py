"""Learners by name: ours, and those of a real package that knows nothing of ours."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pages import ROOT

from algorithms.learners import LEARNERS, find_learner, make_learner, options_of
from udacity_gym.cli import main
from udacity_gym.errors import OptionError
from udacity_gym.recording import open_recording
from udacity_gym.world.track.track import Track

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pip has put the tiny package."""
    target = tmp_path_factory.mktemp("installed")
    source = ROOT / "tests" / "packages" / "tiny_learner"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run(
        [*command, "--target", str(target), str(source)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        (pytest.fail if os.environ.get("UDACITY_GYM_REQUIRE_CONFORMANCE") else pytest.skip)(done.stderr)
    return target


@pytest.fixture
def tiny(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(installed))
    monkeypatch.delitem(sys.modules, "tiny_learner", raising=False)


def test_our_own_learners_are_entry_points_too() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"][LEARNERS.group] == LEARNERS.objects
    for name in LEARNERS.objects:
        assert callable(find_learner(name).learn)


def test_our_own_learners_take_their_settings_from_the_command_line() -> None:
    options = {option.name: option.default for option in options_of(find_learner("bc")) or []}
    assert options["epochs"] == find_learner("bc").Config().epochs  # type: ignore[attr-defined]
    assert "seed" not in options
    assert "recordings" not in options


@pytest.mark.parametrize("name", LEARNERS.objects)
def test_the_options_of_our_learners_are_such_that_words_can_set(name: str) -> None:
    names = [option.name for option in options_of(find_learner(name)) or []]
    assert names
    assert not {"config", "labeller", "progress", "folder", "env", "expert", "self"} & set(names)


def test_an_interactive_learner_that_is_stopped_says_how_it_goes_on(
    road_recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("algorithms.dagger.learner.run_round", stopped)
    arguments = ["train", str(road_recording), "--output", str(tmp_path / "out"), "--algorithm", "dagger"]
    small = ["--option", "steps_per_epoch=2", "--epochs", "1", "--threads", "1", "--batch-size", "4"]
    assert main([*arguments, *small]) == 130
    assert "the same command goes on after the last whole round" in capsys.readouterr().err
    assert (tmp_path / "out" / "policy" / "policy.json").is_file()  # of round 0, the recording


def test_the_expert_of_the_command_acts_as_a_person_for_a_learner_that_needs_one(
    road_recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", str(road_recording), "--output", str(tmp_path), "--algorithm", "hg_dagger"]
    small = ["rounds=2", "frames=12", "members=1", "steps_per_epoch=2", "epochs=1", "batch_size=4"]
    assert main([*arguments, *(word for option in small for word in ("--option", option))]) == 0
    assert "expert acts as a human who takes over" in capsys.readouterr().out
    rows = [frame.extra for frame in open_recording(tmp_path / "rounds" / "round_001").frames()]
    assert "policy" in {extra["driver"] for extra in rows}


def test_a_person_is_not_asked_what_a_person_can_not_answer(
    road_recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", str(road_recording), "--output", str(tmp_path / "out"), "--algorithm", "dagger"]
    assert main([*arguments, "--expert", "human"]) == 2
    assert "--algorithm hg_dagger learns from people" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("tiny")
def test_a_package_that_is_installed_offers_its_learner() -> None:
    assert LEARNERS.entry_points()["tiny"] == "tiny_learner:Average"
    assert "tiny" in LEARNERS.names()
    assert [str(option) for option in options_of(find_learner("tiny")) or []] == [
        "throttle=None",
        "label='average'",
    ]


@pytest.mark.usefixtures("tiny")
def test_a_learner_of_another_package_is_trained_saved_and_judged(
    road_recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "training"
    arguments = ["train", str(road_recording), "--output", str(output), "--algorithm", "tiny"]
    assert main([*arguments, "--option", "throttle=0.25", "--option", "label=mine"]) == 0
    steering = np.concatenate([episode.steering for episode in open_recording(road_recording).episodes])
    learnt = json.loads((output / "policy" / "always.json").read_text())
    assert learnt == pytest.approx([steering.mean(), 0.25], abs=1e-6)
    result = tmp_path / "judged"
    judge = ["evaluate", str(output), "--max-seconds", "1", "--no-video", "--output", str(result)]
    assert main(judge) == 0
    assert json.loads((result / "evaluation.json").read_text())["policy"] == "Always"
    assert main(["learners"]) == 0
    assert "tiny_learner:Average" in capsys.readouterr().out


@pytest.mark.usefixtures("tiny")
def test_a_learner_gets_the_environment_and_the_expert_that_its_signature_names(
    road_recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "training"
    arguments = ["train", str(road_recording), "--output", str(output), "--algorithm", "tiny_learner:Asker"]
    assert main(arguments) == 2
    assert "needs the option 'steps'" in capsys.readouterr().err
    assert not output.exists()
    assert main([*arguments, "--option", "steps=15"]) == 0
    steering, throttle = json.loads((output / "policy" / "always.json").read_text())
    assert abs(steering) < 0.5
    assert throttle > 0.3


@pytest.mark.usefixtures("tiny")
def test_a_learner_learns_to_drive_the_other_way_around_in_the_weather_it_is_told(
    road_recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tiny_learner

    seen = {}

    def learn(learner: object) -> object:
        seen["env"], seen["expert"] = learner.env, learner.expert  # type: ignore[attr-defined]
        _, seen["info"] = learner.env.reset(seed=0)  # type: ignore[attr-defined]
        return tiny_learner.Always([0.0, 0.0])

    monkeypatch.setattr(tiny_learner.Asker, "learn", learn)
    arguments = ["train", str(road_recording), "--output", str(tmp_path / "out")]
    arguments += ["--algorithm", "tiny_learner:Asker", "--option", "steps=1"]
    assert main([*arguments, "--direction", "reverse", "--conditions", "rain"]) == 0
    assert seen["info"]["conditions"]["weather"] == "rain"
    assert seen["env"].get_wrapper_attr("track").starts == seen["expert"].track.starts
    assert seen["expert"].track.starts != Track.load("lake").starts


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--algorithm", "tiny", "--option", "throtle=1"], "did you mean 'throttle'"),
        (["--algorithm", "tiny", "--epochs", "3"], "no option 'epochs'"),
        (["--algorithm", "tiny", "--option", "throttle"], "KEY=VALUE"),
        (["--algorithm", "tiny", "--option", "label=a", "--option", "label=b"], "twice"),
        (["--algorithm", "tinny"], "did you mean 'tiny'"),
        (["--algorithm", "tiny_learner:Mean"], "its learners are Average, Asker"),
        (["--algorithm", "tiny_learner:Always"], "that has learn()"),
        (["--algorithm", "huge_learner:Average"], "is it installed"),
        (["--option", "epoch=1"], "did you mean 'epochs'"),
    ],
)
def test_what_is_wrong_about_an_algorithm_is_said_before_anything_is_made(
    arguments: list[str],
    words: str,
    road_recording: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["train", str(road_recording), "--output", str(tmp_path / "out"), *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_training_of_a_learner_that_is_not_installed_is_not_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "learner.json").write_text(json.dumps({"learner": "pickle:Unpickler"}))
    assert main(["evaluate", str(tmp_path), "--output", str(tmp_path / "out")]) == 2
    assert "not installed" in capsys.readouterr().err


def test_a_learner_of_your_own_is_made_with_what_its_signature_names() -> None:
    class Mine:
        def __init__(self, recordings: object, *, env: object = None, depth: int = 1) -> None:
            self.given = (recordings, env, depth)

        def learn(self) -> None: ...

    assert make_learner(Mine, "laps", {"depth": 2}, seed=3, folder=None, env="env").given == (
        "laps",
        "env",
        2,
    )
    with pytest.raises(OptionError, match="did you mean 'depth'"):
        make_learner(Mine, "laps", {"dept": 2})


@pytest.mark.parametrize("name", ["", ":", "algorithms:", ":Class", ".algorithms:Class"])
def test_a_name_that_is_half_of_one_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match="package:Class"):
        find_learner(name)
