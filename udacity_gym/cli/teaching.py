"""What the cockpit lets a process of its own do with the learners: train on a round, write labels.

It is no verb of the command: the cockpit calls ``python -m udacity_gym.cli.teaching``.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from udacity_gym.cli.shared import make_env
from udacity_gym.cockpit.teaching import COLLECTED, EPISODES, Lesson
from udacity_gym.cockpit.workspace import SESSION_FILE, Workspace
from udacity_gym.driving.episode_counter import EpisodeSummary
from udacity_gym.errors import UdacityGymError
from udacity_gym.files import write_whole
from udacity_gym.progress import progress_bar

if TYPE_CHECKING:
    from algorithms import TrainingStep


def human_at_the_page(observation: Any, info: Mapping[str, Any]) -> None:
    """Stands for the human, who has driven already when a round is trained on."""
    raise UdacityGymError("the round to train on was never driven")


def train_round(root: Path, name: str) -> None:
    """Train on the round that a session has collected, or its first policy.

    Args:
        root: the workspace.
        name: of the session.
    """
    from algorithms import DAgger, HGDAgger
    from algorithms.dagger.rounds import SUMMARY, RoundSummary, round_folder

    session = root / name
    lesson = Lesson.read(json.loads((session / SESSION_FILE).read_text(encoding="utf-8")))
    learner_folder, collected = session / "learner", session / COLLECTED
    rounds = learner_folder / "rounds"
    is_new = (collected / EPISODES).exists()
    done = len(json.loads(log.read_text())) if (log := learner_folder / "rounds.json").exists() else 0
    if is_new:
        entry = json.loads((collected / EPISODES).read_text(encoding="utf-8"))
        episodes = tuple(EpisodeSummary(**episode) for episode in entry["episodes"])
        summary = RoundSummary(int(entry["round"]), episodes, {})
        write_whole(collected / SUMMARY, summary.to_json())
        target = round_folder(rounds, summary.round)
        shutil.rmtree(target, ignore_errors=True)
        rounds.mkdir(parents=True, exist_ok=True)
        collected.rename(target)
        (target / EPISODES).unlink()
        done = summary.round
    corrects = lesson.method == "hg_dagger"
    learner_class: Any = HGDAgger if corrects else DAgger
    env = make_env(lesson.track, direction=lesson.direction, conditions=lesson.conditions)
    try:
        learner = learner_class(
            [str(root / recording) for recording in lesson.recordings] or None,
            env=env,
            expert=human_at_the_page if corrects else None,
            initial=None if lesson.initial is None else str(Workspace(root).existing(lesson.initial)),
            folder=learner_folder,
            progress=False,
            rounds=done + 1,
            frames=lesson.frames,
            members=lesson.members,
            epochs=lesson.epochs,
            steps_per_epoch=lesson.steps_per_epoch,
            laps=lesson.laps,
            seed=lesson.seed,
        )
        learner.learn(after_step=_progress_bars())
    finally:
        env.close()


def write_labels(root: Path, name: str, labels: Path) -> None:
    """Write labels of frames to a recording, see `algorithms.label_round`.

    Args:
        root: the workspace.
        name: of the recording.
        labels: JSON file: name of the centre image to steering in [-1, 1], or "skip".
    """
    from algorithms import label_round

    answers = json.loads(labels.read_text(encoding="utf-8"))
    count = label_round(root / name, lambda frame: answers.get(frame.path().name), again=True)
    print(f"{count} labels")


def _progress_bars() -> Callable[[TrainingStep], None]:
    """What draws a progress bar for each training of a round, which the cockpit reads."""
    bar: Any = None

    def draw(step: TrainingStep) -> None:
        nonlocal bar
        if (step.epoch, step.step) == (1, 1):
            if bar is not None:
                bar.close()
            print(f"network {step.network}", flush=True)
            bar = progress_bar(total=step.epochs * step.steps, unit="batch")
        bar.update()

    return draw


def main(words: list[str]) -> int:
    """Do one job; returns the exit code."""
    job, root, *rest = words
    try:
        if job == "round":
            train_round(Path(root), *rest)
        else:
            write_labels(Path(root), rest[0], Path(rest[1]))
    except UdacityGymError as error:
        print(f"{error}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
