"""Rounds of DAgger with a human at the page: driven here, trained in a process of their own.

    session/
      session.json     what the session was begun with
      collected/       a round that was driven and is not trained on yet, with episodes.json
      learner/         the folder of the learner, see `algorithms.dagger.learner`

Everything that a session needs is in its folder, so that it goes on another day.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from udacity_gym.checks import check_integer
from udacity_gym.cockpit.jobs import Jobs
from udacity_gym.cockpit.workspace import SESSION_FILE, Workspace, read_json
from udacity_gym.driving.decision import POLICY
from udacity_gym.driving.driver import Driver
from udacity_gym.driving.episode_counter import EpisodeCounter
from udacity_gym.driving.gates import GatedDriver, HumanGate, PolicyAlone
from udacity_gym.driving.handover import Corrections
from udacity_gym.driving.human import Human
from udacity_gym.driving.loop import Step
from udacity_gym.errors import OptionError
from udacity_gym.files import write_whole
from udacity_gym.recording.recorder import Recorder
from udacity_gym.telemetry import CTRL_DT

if TYPE_CHECKING:
    from udacity_gym.cockpit.session import Session
    from udacity_gym.cockpit.setup import Setup

Method = Literal["hg_dagger", "dagger"]
EPISODES = "episodes.json"
COLLECTED = "collected"


@dataclass(frozen=True)
class Lesson:
    """What a session is begun with.

    Attributes:
        recordings: names of demonstrations in the workspace.
        initial: name of a policy in the workspace to begin with; None trains the first one.
        method: "hg_dagger": the human corrects while the policy drives; "dagger": the policy drives alone,
            and its images are labelled afterwards.
        track: name of a track.
        direction: "forward" or "reverse".
        conditions: name of weather and light.
        rounds: rounds to drive.
        frames: frames of a round.
        budget: labels that the human wants to give in all rounds.
        members: networks of the policy; more than one can doubt.
        epochs: epochs of each round's training.
        steps_per_epoch: batches of an epoch.
        laps: laps of the evaluation after each round; 0 evaluates none.
        seed: of everything random.
    """

    recordings: tuple[str, ...] = ()
    initial: str | None = None
    method: Method = "hg_dagger"
    track: str = "lake"
    direction: Literal["forward", "reverse"] = "forward"
    conditions: str = "clear"
    rounds: int = 10
    frames: int = 1000
    budget: int = 3000
    members: int = 3
    epochs: int = 4
    steps_per_epoch: int = 100
    laps: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("rounds", "frames", "budget", "members", "epochs", "steps_per_epoch"):
            check_integer(name, getattr(self, name), 1)
        check_integer("laps", self.laps, 0)
        if self.method not in ("hg_dagger", "dagger"):
            raise OptionError(f"method must be 'hg_dagger' or 'dagger', got {self.method!r}")
        if not self.recordings and self.initial is None:
            raise OptionError(
                "a session begins with a recording, to train the first policy, or with a policy"
            )

    @classmethod
    def read(cls, values: object) -> Lesson:
        """Make one of JSON.

        Raises:
            OptionError: A value is unknown or wrong.
        """
        names = {entry.name for entry in fields(cls)}
        if not isinstance(values, Mapping) or not set(values) <= names:
            raise OptionError(f"a session has {', '.join(sorted(names))}; got {values!r}")
        return cls(**{**values, "recordings": tuple(values.get("recordings", ()))})


@dataclass
class Round:
    """A round that is driven: records every step, and counts what the learner wants to know.

    Attributes:
        number: of the round, from 1.
        of: rounds of the session.
        policy: path of the policy that drives.
        setup: what is driven.
        folder: folder of the round's recording; an earlier try is deleted.
        frames: frames to collect.
        method: see `Lesson`.
        labels_before: labels of earlier rounds.
        budget: see `Lesson`.
        threshold: doubt above which the human took over in earlier rounds; None before the first takeover.
    """

    number: int
    of: int
    policy: str
    setup: Setup
    folder: Path
    frames: int
    method: Method = "hg_dagger"
    labels_before: int = 0
    budget: int = 3000
    threshold: float | None = None
    corrects: bool = field(default=False, init=False)
    start: Mapping[str, Any] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self._recorder = Recorder(self.folder, ("center",), {"round": self.number})
        self._counter = EpisodeCounter()
        self._falls = 0

    def driver(self, policy: Any, human: Human) -> Driver:
        """Who drives: the policy, and the human if this round is corrected while it is driven."""
        if self.method == "dagger":
            return GatedDriver(policy, None, PolicyAlone())
        return GatedDriver(policy, Corrections(human), HumanGate())

    def add(self, step: Step) -> None:
        """Record a step."""
        if step.decision is None or self.is_full:
            return
        self._recorder.add(step)
        self._counter.add(step)
        self._falls += step.fell
        self.corrects = step.decision.driver != POLICY and not step.ends_episode

    def discard_correction(self) -> int:
        """Throw away the last correction and what came after it.

        Returns:
            Number of frames thrown away; 0 if there is none.
        """
        first = self._counter.last_correction
        if first is None:
            return 0
        count = len(self._counter) - first
        self._recorder.discard_last((count - 0.5) * CTRL_DT)
        self._counter.discard_last(count)
        self.corrects = False
        return count

    def pause(self) -> None:
        """Close the episode; the next step begins another."""
        self._recorder.stop()
        self._counter.split()

    def close(self) -> None:
        """Close the recording, and keep the account of it."""
        self._recorder.close()
        if len(self._counter):
            episodes = [asdict(episode) for episode in self._counter.episodes()]
            write_whole(self.folder / EPISODES, json.dumps({"round": self.number, "episodes": episodes}))

    @property
    def is_full(self) -> bool:
        """Whether all frames are collected."""
        return len(self._counter) >= self.frames

    def as_json(self) -> dict[str, Any]:
        """What the page shows."""
        count, labels, by_policy = len(self._counter), self._counter.labels, self._counter.policy
        return {
            "number": self.number,
            "of": self.of,
            "method": self.method,
            "frames": count,
            "total": self.frames,
            "labels": labels,
            "labels_used": self.labels_before + labels,
            "budget": self.budget,
            "takeovers": self._counter.takeovers,
            "falls": self._falls,
            "by_hand": round((count - by_policy) * CTRL_DT, 1),
            "autonomy": by_policy / count if count else None,
            "threshold": self.threshold,
            "full": self.is_full,
        }


class Teaching:
    """A session of DAgger in a folder of the workspace.

    Attributes:
        name: of its folder.
        lesson: what it was begun with.
        folder: its folder.
    """

    def __init__(self, workspace: Workspace, jobs: Jobs, name: str, lesson: Lesson) -> None:
        self.name, self.lesson = name, lesson
        self.folder = workspace.path(name)
        self._workspace, self._jobs = workspace, jobs
        self._is_driving = False

    @classmethod
    def begin(cls, workspace: Workspace, jobs: Jobs, name: object, values: object) -> Teaching:
        """Begin a session in a new folder, and train its first policy.

        Raises:
            OptionError: The folder is in use, or a value is wrong.
        """
        lesson = Lesson.read(values)
        folder = workspace.new(name)
        for recording in lesson.recordings:
            workspace.existing(recording)
        if lesson.initial is not None:
            workspace.existing(lesson.initial)
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / SESSION_FILE, json.dumps(asdict(lesson), indent=1) + "\n")
        teaching = cls(workspace, jobs, workspace.name_of(folder), lesson)
        teaching.train()
        return teaching

    @classmethod
    def resume(cls, workspace: Workspace, jobs: Jobs, name: object) -> Teaching:
        """Go on with a session.

        Raises:
            OptionError: There is none in that folder.
        """
        folder = workspace.existing(name)
        values = read_json(folder / SESSION_FILE)
        if values is None:
            raise OptionError(f"{name!r} holds no session: it has no readable {SESSION_FILE}")
        return cls(workspace, jobs, workspace.name_of(folder), Lesson.read(values))

    @property
    def round_log(self) -> list[dict[str, Any]]:
        """Results of the finished rounds, as the learner wrote them."""
        log = read_json(self.folder / "learner" / "rounds.json")
        return log if isinstance(log, list) else []

    @property
    def phase(self) -> str:
        """What happens now: "training", "ready", "driving", "labelling", "untrained", "failed" or "done"."""
        if self._is_driving:
            return "driving"
        job = self._jobs.latest(self.name, "round", "label")
        if job is not None and job.running:
            return "training" if job.kind == "round" else "labelling"
        if (self.folder / COLLECTED / EPISODES).exists():
            if self.lesson.method == "dagger" and self.unlabelled():
                return "labelling"
            return "failed" if job is not None and job.process.poll() and job.kind == "round" else "untrained"
        if not self.round_log:
            return "failed" if job is not None else "untrained"
        return "done" if len(self.round_log) > self.lesson.rounds else "ready"

    def unlabelled(self) -> int:
        """Frames of the collected round that are neither labelled nor skipped."""
        from udacity_gym.recording import open_recording

        if not (self.folder / COLLECTED / "driving_log.csv").exists():
            return 0
        recording = open_recording(self.folder / COLLECTED)
        return sum(
            extra.get("expert_action") is None and not extra.get("skipped")
            for episode in recording.episodes
            for extra in episode.extras()
        )

    def train(self) -> None:
        """Train on what was collected, in a process of its own.

        Raises:
            OptionError: It is being trained already, or labels are missing.
        """
        if self.lesson.method == "dagger" and (left := self.unlabelled()):
            raise OptionError(f"{left} images are neither labelled nor skipped")
        words = ["-m", "udacity_gym.cli.teaching", "round", str(self._workspace.root), self.name]
        self._jobs.start("round", self.name, words, epochs=self.lesson.epochs, round=len(self.round_log))

    def drive(self, session: Session) -> None:
        """Begin the next round; runs in the session's thread.

        Raises:
            OptionError: The policy before is not trained yet.
        """
        log = self.round_log
        if self.phase != "ready":
            raise OptionError(f"a round can't begin now: the session is {self.phase}")
        number = len(log)
        lesson = self.lesson
        session.teach(
            Round(
                number=number,
                of=lesson.rounds,
                policy=str(self.folder / "learner" / "policies" / f"round_{number - 1:03d}"),
                setup=session.setup.changed(
                    {
                        "track": lesson.track,
                        "direction": lesson.direction,
                        "conditions": lesson.conditions,
                        "driver": "human",
                        "seed": lesson.seed + number,
                    }
                ),
                folder=self.folder / COLLECTED,
                frames=lesson.frames,
                method=lesson.method,
                labels_before=sum(int(entry["labels"]) for entry in log),
                budget=lesson.budget,
                threshold=log[-1].get("about", {}).get("doubt_threshold"),
            )
        )
        self._is_driving = True

    def end(self, session: Session, keep: bool) -> None:
        """End the round; runs in the session's thread.

        Args:
            session: the car.
            keep: train on what was collected; else it is deleted, and the round can be driven again.
        """
        round = session.end_round()
        self._is_driving = False
        if round is None:
            return
        if not keep:
            shutil.rmtree(self.folder / COLLECTED, ignore_errors=True)
        elif self.lesson.method == "hg_dagger":
            self.train()

    def as_json(self) -> dict[str, Any]:
        """What the page shows."""
        job = self._jobs.latest(self.name, "round")
        return {
            "name": self.name,
            "lesson": asdict(self.lesson),
            "phase": self.phase,
            "round": len(self.round_log),
            "log": self.round_log,
            "job": None if job is None else job.as_json(),
            "unlabelled": self.unlabelled() if self.phase == "labelling" else 0,
        }
