"""Search for settings with Optuna: many trainings at once, each judged by driving.

A low validation loss does not mean that a policy drives well, so the value of a trial is its autonomy on a
suite of drives. Trials are trained in rounds, all trainings of a round at once. The study is kept in a file:
the same command goes on after an interruption.

Without a recording, the program records laps of the built-in expert. It prints the best settings, and checks
that they drive at least as well as the first trial, which has the defaults.

    pip install "udacity-gym[sweep]"
    python examples/sweep.py --recording recordings/lake --trials 20 --workers 4
    python examples/sweep.py --trials 20 --executor ray
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import gymnasium
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

import udacity_gym  # noqa: F401  (registers the environment)
from algorithms.many import learn_many
from udacity_gym.evaluation import Suite, run_suite, scenarios
from udacity_gym.evaluation.measures import MEASURES
from udacity_gym.executors import EXECUTORS, ExecutorLike, open_executor
from udacity_gym.experts import Noise, NoisyExpert, PurePursuit
from udacity_gym.recording import record

AUTONOMY = MEASURES[0]
DEFAULTS = {"learning_rate": 1e-3, "balance": 0.5, "weight_decay": 1e-4}
"""Settings of the first trial; a sweep should not end below what it began with."""


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """Settings of a trial."""
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
        "balance": trial.suggest_float("balance", 0.0, 0.9),
        "weight_decay": trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True),
        "seed": trial.number,
    }


def open_study(folder: Path, seed: int) -> optuna.Study:
    """The study in a folder; trials that an interruption has left unfinished are tried again."""
    study = optuna.create_study(
        study_name="sweep",
        storage=JournalStorage(JournalFileBackend(str(folder / "study.log"))),
        sampler=optuna.samplers.TPESampler(seed=seed),
        direction="maximize",
        load_if_exists=True,
    )
    if not study.trials:
        study.enqueue_trial(DEFAULTS)
    for trial in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        study.enqueue_trial(trial.params)
    return study


def sweep(
    recording: Path, folder: Path, suite: Suite, trials: int, at_once: int, epochs: int, how: ExecutorLike
) -> optuna.Study:
    """Try settings until there are enough finished trials.

    Args:
        recording: recording to train on.
        folder: folder of the study and the trainings.
        suite: drives that judge.
        trials: number of finished trials at which to stop.
        at_once: trainings of a round.
        epochs: epochs of each training.
        how: who trains and drives, see `open_executor`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    study = open_study(folder, seed=0)
    finished = [optuna.trial.TrialState.COMPLETE]
    with open_executor(how) as executor:
        while (done := len(study.get_trials(states=finished))) < trials:
            asked = [study.ask() for _ in range(min(at_once, trials - done))]
            # All rows are trained on, as driving judges and not a validation loss.
            settings = [{**suggest(trial), "epochs": epochs, "validation": 0.0} for trial in asked]
            name = f"trials-{asked[0].number:03d}"
            policies = learn_many("bc", recording, settings, folder / name, executor=executor)
            for trial, policy in zip(asked, policies, strict=True):
                result = run_suite(policy, suite, executor=executor, cars=4, name=f"trial {trial.number}")
                value = result.measure(AUTONOMY)
                study.tell(trial, value.value)
                print(f"trial {trial.number}: autonomy {value.text(1, 100)} %, {trial.params}")
    return study


def record_expert(path: Path, seconds: float) -> Path:
    """Record a perturbed expert, who shows how to come back to the middle."""
    if not path.exists():
        cameras = ("center", "left", "right")
        env = gymnasium.make("UdacitySim-v0", cameras=cameras, mode="training")
        record(env, NoisyExpert(PurePursuit(speed=9.0), Noise.of(0.2)), path, seconds=seconds, seed=0)
        env.close()
    return path


def main(arguments: list[str] | None = None) -> None:
    """Search, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--recording", type=Path, help="recording to train on; default: laps of an expert")
    parser.add_argument("--output", type=Path, default=Path("sweep"), help="folder of the study")
    parser.add_argument("--trials", type=int, default=20, help="finished trials at which to stop")
    parser.add_argument("--epochs", type=int, default=10, help="epochs of each training")
    parser.add_argument("--workers", type=int, default=2, help="trainings at once")
    parser.add_argument("--executor", help="kind of executor: processes, ray, slurm; default: processes")
    parser.add_argument("--seconds", type=float, default=300.0, help="seconds of the expert's recording")
    parser.add_argument("--max-seconds", type=float, help="limit of each judging drive, s")
    options = parser.parse_args(arguments)
    suite = Suite(
        "sweep-v1", scenarios(), seeds=(0, 1, 2, 3), intervene=("edge",), max_seconds=options.max_seconds
    )
    recording = options.recording or record_expert(options.output / "recording", options.seconds)
    how: ExecutorLike = options.workers
    if options.executor is not None:
        how = EXECUTORS.find(options.executor)(workers=options.workers)
    study = sweep(recording, options.output, suite, options.trials, options.workers, options.epochs, how)
    first = next(trial for trial in study.trials if trial.value is not None)
    print(f"best of {len(study.trials)}: autonomy {study.best_value:.1%} with {study.best_params}")
    assert first.value is not None
    assert study.best_value >= first.value, "the best trial is at least as good as the defaults"


if __name__ == "__main__":
    main()
