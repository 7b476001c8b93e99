"""The rounds of an interactive learner on disk, each a recording in Udacity's format.

``round_000`` and so on have ``driving_log.csv``, ``IMG/`` and ``frames.jsonl`` as every recording. The log's
columns are the executed actions. The side file keeps for each frame ``driver`` ("policy", "expert", "human"),
``policy_action``, ``expert_action`` if the expert was asked, and values that the gate noted.
``round.json`` has the results of the round. A round gets its name once it is complete. A round that was
interrupted is deleted and collected again, with the same seeds.
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from algorithms.dagger.collect import (
    Driving,
    EnvMaker,
    Rollout,
    RolloutJob,
    check_driving,
    run_job,
)
from udacity_gym.checks import check_integer
from udacity_gym.driving.driver import ExpertFunction
from udacity_gym.driving.episode_counter import EpisodeSummary
from udacity_gym.driving.gates import Gate
from udacity_gym.errors import OptionError, RecordingError
from udacity_gym.executors.calls import OutputFolder, Shared, SharedFiles
from udacity_gym.executors.executor import Executor, ExecutorLike, is_here, open_executor
from udacity_gym.files import replacing, write_whole
from udacity_gym.progress import progress_bar
from udacity_gym.recording import Recording, open_recording
from udacity_gym.recording.reader import LOG_NAME
from udacity_gym.recording.side_file import SIDE_FILE
from udacity_gym.recording.writer import IMAGE_FOLDER

if TYPE_CHECKING:
    from udacity_gym.recording import Frame

SUMMARY = "round.json"
"""File with the results of a round, beside its log."""

FIRST_STAMP = datetime.datetime(2020, 1, 1)
"""Artificial time of the first frame of round 0; every rollout has a day of its own. With the true time the
same seeds would not give the same bytes."""

SAVE_INTERVAL = 50
"""Number of answers after which `label_round` saves them."""


@dataclass(frozen=True)
class RoundSummary:
    """Results of collecting a round.

    Attributes:
        round: number of the round, from 0.
        episodes: summaries of the episodes of its recording.
        about: parameters of the gate, such as beta.
    """

    round: int
    episodes: tuple[EpisodeSummary, ...]
    about: Mapping[str, Any]

    @property
    def fell(self) -> tuple[bool, ...]:
        """Whether each episode ended off the road or stuck."""
        return tuple(episode.fell for episode in self.episodes)

    @property
    def frames(self) -> int:
        """Number of recorded rows."""
        return sum(episode.frames for episode in self.episodes)

    @property
    def falls(self) -> int:
        """Number of falls: the car left the road or was stuck."""
        return sum(self.fell)

    @property
    def metres(self) -> float:
        """Metres driven along the track."""
        return float(sum(episode.metres for episode in self.episodes))

    def to_json(self) -> str:
        """The summary as JSON text."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def read(cls, folder: Path) -> RoundSummary:
        """Read the summary of a round.

        Raises:
            RecordingError: There is no summary, or it is invalid.
        """
        path = folder / SUMMARY
        try:
            entry = json.loads(path.read_text(encoding="utf-8"))
            episodes = tuple(
                EpisodeSummary(**episode) for episode in entry["episodes" if "episodes" in entry else "takes"]
            )
            return cls(int(entry["round"]), episodes, dict(entry["about"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RecordingError(f"{path} is no summary of a round: {error!r}") from error


def round_folder(folder: Path, number: int) -> Path:
    """Folder of a round, below the folder of all rounds."""
    return folder / f"round_{number:03d}"


@dataclass(frozen=True)
class RoundPlan:
    """Settings that all rounds of a learner share.

    Attributes:
        frames: rows of a whole round.
        rollouts: number of parts of a round, each with a seed of its own, which may be collected in parallel.
        start: options of the environment's reset.
        put_back: see `algorithms.dagger.collect.Rollout`.
        seed: seed of the learner.
        device: see `algorithms.dagger.collect.Rollout`.
    """

    frames: int
    rollouts: int
    start: Mapping[str, Any] | None
    put_back: bool
    seed: int
    device: str = "cpu"


def collect_round(
    env: EnvMaker,
    policy: Any,
    expert: ExpertFunction | None,
    gate: Gate,
    folder: str | Path,
    *,
    frames: int = 1000,
    rollouts: int = 2,
    start: Mapping[str, Any] | None = None,
    put_back: bool = False,
    seed: int = 0,
    number: int = 0,
    executor: ExecutorLike = 1,
    about: Mapping[str, Any] | None = None,
) -> RoundSummary:
    """Collect a round for a learning loop of your own: a gate decides who drives and what is labelled.

    The round is a recording, which `algorithms.Frames.of` and all learners take. The result does not depend
    on the executor.

    Args:
        env: environment with images, whose action is (steering, throttle); or a function that makes one.
        policy: anything with ``predict``, or the folder of a checkpoint; None lets the expert drive alone.
        expert: ``(observation, info) -> (steering, throttle)``; None where the gate never asks.
        gate: decides who drives and what is labelled, see `udacity_gym.driving.gates`.
        folder: folder of the round, which must not exist.
        frames: number of rows.
        rollouts: number of parts, each with a seed of its own.
        start: options of the environment's reset for every episode, see `InteractiveConfig.start`.
        put_back: whether the car is put back on its lane after a fall.
        seed: seed of all randomness.
        number: number of the round; rounds with other numbers have other random numbers.
        executor: who collects the rollouts: a number of processes, or anything that `open_executor` takes.
            All but 1 need an env, a policy and an expert that can be pickled.
        about: values to keep with the round's summary.

    Returns:
        The round's summary.

    Raises:
        OptionError: An argument is unsuitable; the message says what to give instead.
        RecordingError: The folder exists.

    Example:
        >>> summary = collect_round(env, policy, PurePursuit(), Mixture(0.5), "round_000")  # doctest: +SKIP
        >>> frames = Frames.of([open_recording("round_000")])                               # doctest: +SKIP
    """
    for name, value in (("frames", frames), ("rollouts", rollouts)):
        check_integer(name, value, 1)
    folder = Path(folder)
    if folder.exists():
        raise RecordingError(f"{folder} exists already; choose another folder for the round")
    check_driving(env, expert, many=not is_here(executor))
    driver = Path(policy) if isinstance(policy, (str, Path)) else policy
    if driver is None and expert is None:
        raise OptionError("nobody can drive: give a policy, an expert, or both")
    driving = Shared(Driving(env, expert), "env and expert")
    plan = RoundPlan(frames, rollouts, start, put_back, seed)
    with open_executor(executor) as opened:
        return run_round(opened, driving, folder, number, gate, driver, plan, about or {})


def run_round(
    executor: Executor,
    driving: Shared[Driving],
    folder: Path,
    number: int,
    gate: Gate,
    policy: Any,
    plan: RoundPlan,
    about: Mapping[str, Any],
    progress: bool = False,
) -> RoundSummary:
    """Collect a round; an unfinished one in the same folder is deleted first.

    The result does not depend on the executor: each rollout has its own seed and folder.

    Args:
        executor: runs the rollouts.
        driving: environment and expert of the rollouts.
        folder: folder of the round.
        number: number of this round.
        gate: decides who drives and what is labelled.
        policy: folder of the policy's checkpoint, or the policy; None if the expert drives alone.
        plan: settings of the rounds.
        about: parameters of the gate, for the round's summary.
        progress: show a progress bar of the rollouts.

    Returns:
        The round's summary.
    """
    part = folder.with_name(f".{folder.name}.part")
    if part.exists():
        shutil.rmtree(part)
    part.mkdir(parents=True)
    policy = SharedFiles(policy) if isinstance(policy, Path) else policy
    ends = [plan.frames * i // plan.rollouts for i in range(plan.rollouts + 1)]
    shares = [end - begin for begin, end in itertools.pairwise(ends)]
    rollouts = [
        Rollout(
            name=f"drive_{i}",
            policy=policy,
            gate=gate,
            frames=share,
            seed=(plan.seed, number, i),
            start=plan.start,
            put_back=plan.put_back,
            stamp=FIRST_STAMP + datetime.timedelta(days=number * plan.rollouts + i),
            about={"round": number},
            device=plan.device,
        )
        for i, share in enumerate(shares)
        if share
    ]
    summaries = {}
    bar = progress_bar(progress, total=len(rollouts), unit="rollout", desc=f"round {number}", leave=False)
    with OutputFolder(part) as output, bar:
        jobs = [RolloutJob(driving, rollout, output) for rollout in rollouts]
        for i, summary_of_rollout in executor.map(run_job, jobs):
            summaries[i] = summary_of_rollout
            bar.update()
    episodes = [episode for i in range(len(rollouts)) for episode in summaries[i]]
    _merge([part / rollout.name for rollout in rollouts], part)
    for lost in part.glob(".*.part"):  # of workers that were killed
        shutil.rmtree(lost)
    summary = RoundSummary(number, tuple(episodes), dict(about))
    write_whole(part / SUMMARY, summary.to_json())
    part.rename(folder)
    return summary


def _merge(parts: Iterable[Path], folder: Path) -> None:
    """Merge recordings, whose images have different names, into one."""
    (folder / IMAGE_FOLDER).mkdir()
    with (folder / LOG_NAME).open("wb") as log, (folder / SIDE_FILE).open("wb") as side:
        for part in parts:
            for image in sorted((part / IMAGE_FOLDER).iterdir()):
                image.rename(folder / IMAGE_FOLDER / image.name)
            log.write((part / LOG_NAME).read_bytes())
            side.write((part / SIDE_FILE).read_bytes())
            shutil.rmtree(part)


SKIP = "skip"
"""Answer of a labeller to leave a frame out for good."""

Labeller = Callable[["Frame"], Any]
"""A function that returns the label of a frame, whose image is ``frame.image()``: (steering, throttle) in
[-1, 1], or the steering alone, or None to be asked again later, or `SKIP`."""


def label_round(folder: str | Path, labeller: Labeller, again: bool = False) -> int:
    """Label the frames of a round, or of any recording, afterwards.

    The labels go to the side file as ``expert_action``, or ``skipped`` if the answer was `SKIP`. The file is
    replaced as a whole, every `SAVE_INTERVAL` answers and at the end, so an interruption leaves a readable
    recording with the answers until then. The next call continues with the other frames.

    Args:
        folder: the recording.
        labeller: returns the label of a frame: (steering, throttle) in [-1, 1], or steering alone, in which
            case the label of the throttle is the executed one; "skip" to leave the frame out for good; None
            to be asked again later.
        again: ask for frames that have been labelled or skipped, too.

    Returns:
        Number of frames that this call labelled.

    Raises:
        RecordingError: The recording can't be read or written.
        OptionError: The labeller returned something else than an action.
    """
    recording = open_recording(folder)
    lines = _side_lines(recording)
    count = unsaved = 0
    try:
        for frame in recording.frames():
            image = frame.path("center").name
            entry = lines.setdefault(image, {"image": image})
            if not again and not _needs_label(entry):
                continue
            answer = labeller(frame)
            if answer is None:
                continue
            label = None if isinstance(answer, str) and answer == SKIP else _check_label(answer, frame)
            for name in ("expert_action", "skipped"):
                entry.pop(name, None)
            entry.update({"skipped": True} if label is None else {"expert_action": label})
            count, unsaved = count + (label is not None), unsaved + 1
            if unsaved == SAVE_INTERVAL:
                _write_side_file(recording.path, lines)
                unsaved = 0
    finally:  # also if the human presses Ctrl-C
        if unsaved:
            _write_side_file(recording.path, lines)
    return count


def count_labelled(recording: Recording) -> int:
    """Number of frames of a round that have a label."""
    extras = (extra for episode in recording.episodes for extra in episode.extras())
    return sum(extra.get("expert_action") is not None for extra in extras)


def count_unlabelled(recording: Recording) -> int:
    """Number of frames of a round that are neither labelled nor skipped."""
    return sum(_needs_label(extra) for episode in recording.episodes for extra in episode.extras())


def _needs_label(entry: Mapping[str, Any]) -> bool:
    return entry.get("expert_action") is None and not entry.get("skipped")


def _side_lines(recording: Recording) -> dict[str, dict[str, Any]]:
    lines: dict[str, dict[str, Any]] = {}
    path = recording.path / SIDE_FILE
    if not path.is_file():
        return lines
    for line in path.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError):  # an incomplete line
            entry = json.loads(line)
            lines[entry["image"]] = entry
    return lines


def _write_side_file(folder: Path, lines: Mapping[str, Mapping[str, Any]]) -> None:
    with replacing(folder / SIDE_FILE) as part, part.open("w", encoding="utf-8") as file:
        for entry in lines.values():
            file.write(json.dumps(entry, allow_nan=False) + "\n")


def _check_label(answer: Any, frame: Frame) -> list[float]:
    try:
        values = np.asarray(answer, np.float64).reshape(-1)
    except (TypeError, ValueError):
        values = np.empty(0)
    if len(values) not in (1, 2) or not np.isfinite(values).all():
        raise OptionError(
            f"row {frame.row}: a label is (steering, throttle) in [-1, 1], or the steering alone, or None, "
            f"or {SKIP!r}; got {answer!r}"
        )
    throttle = values[1] if len(values) == 2 else frame.throttle - frame.brake
    return [float(np.clip(value, -1.0, 1.0)) for value in (values[0], throttle)]
