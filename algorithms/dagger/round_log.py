"""Files of an interactive learner: its settings, and the results of each finished round."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from algorithms.checks import check_same_settings
from algorithms.older_files import upgrade_settings
from udacity_gym.errors import CheckpointError
from udacity_gym.files import write_whole

SETTINGS = "settings.json"
ROUNDS = "rounds.json"
OLD_ROUNDS = "history.json"
"""Older name of `ROUNDS`. Learning in a folder with this file resumes; its next round writes `ROUNDS`."""


@dataclass(frozen=True)
class Round:
    """Results of a round.

    Attributes:
        round: number of the round, from 0.
        frames: rows collected; 0 if recordings or a policy replaced round 0.
        labels: collected rows that have a label, from the expert or from a labeller afterwards.
        expert_frames: collected rows that the expert or the human drove.
        takeovers: number of times that the expert or the human took the wheel.
        falls: number of times that the car left the road or was stuck while the round was collected.
        metres: metres driven while the round was collected; NaN if the environment does not report progress.
        about: parameters of the gate, such as beta.
        train_frames: rows with a label that were trained on.
        train_loss: mean loss of the training's last epoch; None if nothing was trained.
        interventions: interventions in the evaluation of the policy; None without evaluation.
        judged_metres: metres driven in the evaluation.
        autonomy: autonomy of the policy, see `udacity_gym.evaluation`; None without evaluation.
    """

    round: int
    frames: int
    labels: int
    expert_frames: int
    takeovers: int
    falls: int
    metres: float
    about: Mapping[str, Any]
    train_frames: int
    train_loss: float | None
    interventions: int | None = None
    judged_metres: float | None = None
    autonomy: float | None = None


def find_best_round(round_log: Sequence[Round]) -> Round:
    """The last round with the fewest interventions per metre; the last round if none was evaluated."""
    evaluated = [round for round in round_log if round.interventions is not None]

    def interventions_per_metre(round: Round) -> float:
        return (round.interventions or 0) / max(round.judged_metres or 0.0, 1.0)

    return min(evaluated[::-1], key=interventions_per_metre) if evaluated else round_log[-1]


def check_folder(folder: Path) -> None:
    """Check that a folder is empty or holds the files of an interactive learner.

    Raises:
        CheckpointError: The folder holds something else.
    """
    if not folder.exists() or (folder / SETTINGS).is_file():
        return
    foreign = {path.name for path in folder.iterdir()} if folder.is_dir() else {"a file"}
    if foreign:
        raise CheckpointError(
            f"{folder} holds something else than an interactive learner's work "
            f"({', '.join(sorted(foreign)[:5])}); choose another folder"
        )


def check_or_write_settings(
    folder: Path, now: Mapping[str, Any], *, defaults: Mapping[str, Any], may_change: Collection[str]
) -> None:
    """Write the settings to a new folder, or compare them with those that learning began with.

    Args:
        folder: folder of the learner.
        now: settings and data sources of the learner, as JSON values.
        defaults: values for settings that the older version which began the learner did not have.
        may_change: names of settings that may change.

    Raises:
        CheckpointError: Learning began with other settings.
    """
    path = folder / SETTINGS
    if not path.exists():
        write_whole(path, json.dumps(now, indent=1) + "\n")
    check_same_settings(
        f"{folder}: learning",
        upgrade_settings(_read_json(path)),
        now,
        defaults=defaults,
        may_change=may_change,
    )


def check_begun_learner(
    folder: Path, now: Mapping[str, Any], *, defaults: Mapping[str, Any], may_change: Collection[str]
) -> None:
    """Check, before images are decoded, that a folder is new or learning began in it with these settings.

    Args:
        folder: folder of the learner.
        now: some of the settings, as JSON values.
        defaults: values for settings that the older version which began the learner did not have.
        may_change: names of settings that may change.

    Raises:
        CheckpointError: The folder holds something else, or learning began with other settings.
    """
    check_folder(folder)
    if (folder / SETTINGS).is_file():
        before = upgrade_settings(_read_json(folder / SETTINGS))
        before = {name: value for name, value in before.items() if name in now}
        check_same_settings(f"{folder}: learning", before, now, defaults=defaults, may_change=may_change)


def read_round_log(folder: Path) -> list[Round]:
    """Read the results of the finished rounds.

    Raises:
        CheckpointError: The file can't be read.
    """
    path = next((path for name in (ROUNDS, OLD_ROUNDS) if (path := folder / name).exists()), None)
    return [] if path is None else [Round(**entry) for entry in _read_json(path)]


def write_round_log(folder: Path, round_log: Sequence[Round]) -> None:
    """Write the results of the finished rounds."""
    text = json.dumps([asdict(round) for round in round_log], indent=1)
    write_whole(folder / ROUNDS, f"{text}\n")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} can't be read: {error}; delete the folder to start anew") from error
