"""The options of verbs whose work is many jobs, and the executors that they describe."""

import json

import pytest

from udacity_gym.cli import main
from udacity_gym.cli.evaluate import Options
from udacity_gym.cli.shared import executor_of
from udacity_gym.errors import OptionError
from udacity_gym.evaluation import SUITES, Suite, scenarios
from udacity_gym.executors import EXECUTORS, Processes, Ray, Slurm


@pytest.mark.parametrize(
    ("options", "executor"),
    [
        ({}, 1),
        ({"workers": 3}, 3),
        ({"executor": "processes"}, Processes()),
        ({"executor": "processes", "workers": 2, "executor_option": ("retries=0",)}, Processes(2, 0)),
        ({"executor": "ray", "address": "auto"}, Ray("auto")),
        (
            {"executor": "ray", "executor_option": ("cpus=2", "num_gpus=0")},
            Ray(cpus=2, options={"num_gpus": 0}),
        ),
        (
            {"executor": "slurm", "workers": 4, "executor_option": ("slurm_partition=cpu", "folder=jobs")},
            Slurm("jobs", 4, options={"slurm_partition": "cpu"}),
        ),
    ],
)
def test_options_describe_an_executor(options, executor):
    assert executor_of(Options(("pid",), **options)) == executor


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"address": "auto"}, "--address: requires an executor"),
        ({"executor_option": ("cpus=2",)}, "--executor-option: requires an executor"),
        ({"executor": "ray", "executor_option": ("cpus",)}, "must be KEY=VALUE"),
        ({"executor": "rai"}, "did you mean 'ray'"),
        ({"executor": "processes", "address": "auto"}, "--executor processes has no setting address"),
        ({"workers": 0}, "--workers must be above 0"),
        ({"executor": "processes", "workers": 0}, "--workers must be above 0"),
    ],
)
def test_options_that_describe_none_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        executor_of(Options(("pid",), **options))


class Recorded:
    """An executor of another package, which notes what it was made with."""

    made: tuple = ()

    def __init__(self, **settings):
        Recorded.made = (*Recorded.made, settings)

    def open(self):
        return Processes(1).open()


def test_an_executor_of_another_package_drives_a_suite(tmp_path, monkeypatch):
    monkeypatch.setitem(EXECUTORS.objects, "recorded", Recorded)
    suite = Suite("brief-v1", scenarios(), seeds=(0, 1), intervene=("edge",), max_seconds=0.5)
    monkeypatch.setitem(SUITES.objects, suite.name, suite)
    command = ["evaluate", "pid", "--suite", suite.name, "--cars", "2", "--output", str(tmp_path / "out")]
    assert main([*command, "--executor", "recorded", "--address", "there"]) == 0
    assert Recorded.made == ({"address": "there"},)
    found = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert found["policies"]["pid"]["autonomy"]["drives"] == 2


@pytest.mark.long
def test_dagger_collects_in_processes_and_clones_need_no_workers(tmp_path, capsys, lake_recording):
    command = ["train", str(lake_recording), "--output", str(tmp_path / "run"), "--workers", "2"]
    small = [
        "--rounds",
        "2",
        "--frames",
        "16",
        "--epochs",
        "1",
        "--steps-per-epoch",
        "1",
        "--batch-size",
        "4",
    ]
    assert main([*command, "--algorithm", "dagger", *small]) == 0
    assert (tmp_path / "run" / "rounds" / "round_001" / "driving_log.csv").exists()
    assert main([*command[:-2], "--workers", "2"]) == 2
    assert "bc collects no data" in capsys.readouterr().err
