"""What an interactive learner keeps of itself: what it was begun with, and what its rounds came to."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from algorithms.checks import check_same_settings
from algorithms.older_files import renamed_settings
from udacity_gym.errors import CheckpointError
from udacity_gym.files import write_whole

SETTINGS = "settings.json"
ROUNDS = "rounds.json"
OLD_ROUNDS = "history.json"
"""What `ROUNDS` was called once; a folder with it goes on, and has both from its next round on."""


@dataclass(frozen=True)
class Round:
    """What a round came to.

    Attributes:
        round: its number, from 0.
        frames: rows collected; 0 where recordings or a policy took the place of round 0.
        labels: of them, how many have a label, from the expert or from somebody afterwards.
        expert_frames: of them, how many the expert or the human drove.
        takeovers: how often the expert or the human took the wheel.
        falls: how often the car left the road or was stuck while the round was collected.
        metres: driven meanwhile; NaN where the environment does not tell.
        about: what the gate was, such as its beta.
        train_frames: rows with a label that were trained on.
        train_loss: mean loss of the training's last epoch; None where there was nothing to train.
        interventions: how often its policy had to be put back while it was judged; None if it was not.
        judged_metres: driven while it was judged.
        autonomy: of its policy, see `udacity_gym.evaluation`; None if it was not judged.
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


def best_of(round_log: Sequence[Round]) -> Round:
    """The round with the fewest interventions per metre, of several the last; the last if none was judged."""
    judged = [round for round in round_log if round.interventions is not None]

    def interventions_per_metre(round: Round) -> float:
        return (round.interventions or 0) / max(round.judged_metres or 0.0, 1.0)

    return min(judged[::-1], key=interventions_per_metre) if judged else round_log[-1]


def check_folder(folder: Path) -> None:
    """Make sure that a folder holds an interactive learner's work, or nothing.

    Raises:
        CheckpointError: It holds something else.
    """
    if not folder.exists() or (folder / SETTINGS).is_file():
        return
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else {"a file"}
    if found:
        raise CheckpointError(
            f"{folder} holds something else than an interactive learner's work "
            f"({', '.join(sorted(found)[:5])}); choose another folder"
        )


def go_on_with(
    folder: Path, now: Mapping[str, Any], *, defaults: Mapping[str, Any], may_change: Collection[str]
) -> None:
    """Begin in a folder, or make sure that learning was begun there in the same way.

    Args:
        folder: of the learner.
        now: settings of the learner and names of what it learns from, as JSON has them.
        defaults: of settings, for those that the version which began the learner did not have.
        may_change: settings that may be others than they were.

    Raises:
        CheckpointError: It was begun in another way.
    """
    path = folder / SETTINGS
    if not path.exists():
        write_whole(path, json.dumps(now, indent=1) + "\n")
    check_same_settings(
        f"{folder}: learning",
        renamed_settings(_read_json(path)),
        now,
        defaults=defaults,
        may_change=may_change,
    )


def read_round_log(folder: Path) -> list[Round]:
    """What the finished rounds came to.

    Raises:
        CheckpointError: The file can't be read.
    """
    path = next((path for name in (ROUNDS, OLD_ROUNDS) if (path := folder / name).exists()), None)
    return [] if path is None else [Round(**entry) for entry in _read_json(path)]


def write_round_log(folder: Path, round_log: Sequence[Round]) -> None:
    """Keep what the finished rounds came to."""
    text = json.dumps([asdict(round) for round in round_log], indent=1)
    write_whole(folder / ROUNDS, f"{text}\n")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} can't be read: {error}; delete the folder to start anew") from error
