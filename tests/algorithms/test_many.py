"""Many trainings at once, and the example of a sweep over them."""

import runpy
import shutil
import subprocess
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from algorithms import Ensemble, learn_many, load_policy
from udacity_gym.driving import drive
from udacity_gym.errors import OptionError, UdacityGymError
from udacity_gym.executors import FailedJobsError, OutputFolder, SharedFiles, open_executor
from udacity_gym.experts import PurePursuit
from udacity_gym.files import using_folder
from udacity_gym.recording.recorder import Recorder

EXAMPLE = Path(__file__).parents[2] / "examples" / "sweep.py"
SMALL = {"epochs": 1, "steps_per_epoch": 1, "batch_size": 4, "side_cameras": 0.0, "validation": 0.0}
SETTINGS = [{"seed": seed, **SMALL} for seed in (1, 2)]


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recording") / "lap"
    env = gymnasium.make("UdacitySim-v0", disable_env_checker=True)
    with Recorder(folder, ("center",)) as recorder:
        for step in drive(env, PurePursuit(), steps=12, seed=0):
            recorder.add(step)
    env.close()
    return folder


def weights(folder):
    return [path.read_bytes() for path in sorted(folder.rglob("policy/*.safetensors"))]


@pytest.mark.long
def test_trainings_are_the_same_by_every_executor(recording, tmp_path):
    one = learn_many("bc", recording, SETTINGS, tmp_path / "one", progress=False)
    learn_many("bc", SharedFiles(recording), SETTINGS, tmp_path / "two", executor=2, progress=False)
    assert len(set(weights(tmp_path / "one"))) == 2, "two seeds"
    assert weights(tmp_path / "one") == weights(tmp_path / "two")
    image = np.zeros((160, 320, 3), np.uint8)
    assert Ensemble(one).predict(image)[0].shape == one[0].predict(image)[0].shape


def test_a_training_that_fails_is_named_and_the_others_are_there(recording, tmp_path):
    settings = [SETTINGS[0], {**SETTINGS[0], "epochs": -1}]
    with pytest.raises(FailedJobsError, match=r"training 001 with .*'epochs': -1"):
        learn_many("bc", recording, settings, tmp_path, progress=False)
    assert load_policy(tmp_path / "000") is not None
    with pytest.raises(OptionError, match="settings 0 have a folder"):
        learn_many("bc", recording, [{"folder": "x"}], tmp_path)
    with using_folder(tmp_path), pytest.raises(UdacityGymError, match="another run is writing"):
        learn_many("bc", recording, SETTINGS, tmp_path)


def test_a_folder_that_is_in_use_is_refused_by_everything_that_writes_into_it(recording, tmp_path):
    from algorithms import BehavioralCloning, DAgger
    from udacity_gym.evaluation import run_suite

    env = gymnasium.make("UdacitySim-v0", disable_env_checker=True)
    cloning = BehavioralCloning(recording, folder=tmp_path / "bc", progress=False, **SMALL)
    dagger = DAgger(env=env, expert=PurePursuit(), folder=tmp_path / "dagger", progress=False)
    runs = {
        "bc": cloning.learn,
        "dagger": dagger.learn,
        "suite": lambda: run_suite("pid", "smoke-v1", folder=tmp_path / "suite"),
    }
    for name, run in runs.items():
        with using_folder(tmp_path / name), pytest.raises(UdacityGymError, match="another run is writing"):
            run()
        assert list((tmp_path / name).iterdir()) == []
    env.close()


@pytest.mark.long
def test_a_sweep_finds_settings_and_goes_on_after_an_interruption(tmp_path, capsys, recording):
    optuna = pytest.importorskip("optuna")
    example = runpy.run_path(str(EXAMPLE))
    options = ["--recording", str(recording), "--output", str(tmp_path), "--epochs", "1"]
    options += ["--workers", "1", "--max-seconds", "1"]
    example["main"]([*options, "--trials", "2"])
    study = example["open_study"](tmp_path, 0)
    interrupted = study.ask({"learning_rate": optuna.distributions.FloatDistribution(1e-4, 1e-2, log=True)})
    example["main"]([*options, "--trials", "3"])
    trials = example["open_study"](tmp_path, 0).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE"]
    assert trials[0].params == example["DEFAULTS"]
    assert trials[3].params["learning_rate"] == interrupted.params["learning_rate"]
    assert "best of 4: autonomy" in capsys.readouterr().out


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_round_on_a_full_disk_says_so_and_is_collected_when_there_is_room(small_disk, tmp_path):
    from algorithms import collect_round
    from udacity_gym.driving import Mixture

    env = gymnasium.make("UdacitySim-v0", disable_env_checker=True)
    (small_disk / "ballast").write_bytes(bytes(900_000))
    given = {"frames": 60, "rollouts": 2}
    with pytest.raises((UdacityGymError, OSError), match=r"(?i)no space"):
        collect_round(env, None, PurePursuit(), Mixture(1.0), small_disk / "round", **given)
    assert not (small_disk / "round").exists()
    (small_disk / "ballast").unlink()
    collect_round(env, None, PurePursuit(), Mixture(1.0), small_disk / "round", **given)
    collect_round(env, None, PurePursuit(), Mixture(1.0), tmp_path / "elsewhere", **given)
    env.close()
    first, second = (
        {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        for folder in (small_disk / "round", tmp_path / "elsewhere")
    )
    assert first == second


def test_a_suite_on_a_full_disk_says_so_and_goes_on_when_there_is_room(small_disk):
    from udacity_gym.evaluation import Suite, run_suite, scenarios

    suite = Suite("disk-v1", scenarios(), seeds=(0, 1, 2), intervene=("edge",), max_seconds=2.0)
    whole = run_suite("pid", suite)
    free = shutil.disk_usage(small_disk).free
    (small_disk / "ballast").write_bytes(bytes(free - 8192))
    with pytest.raises(UdacityGymError, match=r"(?i)can't write .*no space"):
        run_suite("pid", suite, folder=small_disk / "suite")
    (small_disk / "ballast").unlink()
    again = run_suite("pid", suite, folder=small_disk / "suite")
    assert [e.evaluation.summary() for e in again.episodes] == [
        e.evaluation.summary() for e in whole.episodes
    ]


def test_files_that_do_not_fit_on_the_disk_are_told(small_disk):
    with OutputFolder(small_disk / "out") as output, open_executor(1) as executor:
        (small_disk / "ballast").write_bytes(bytes(shutil.disk_usage(small_disk).free - 4096))
        with pytest.raises(OSError, match="No space"):
            list(executor.map(_fill, [output]))


def _fill(output):
    with output.writing_folder("x") as folder:
        (folder / "file").write_bytes(bytes(100_000))
