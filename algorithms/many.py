"""Many trainings at once, such as several seeds, the members of an ensemble, or a sweep: `learn_many`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from algorithms.base import Policy
from algorithms.learners import find_learner
from algorithms.policies.loading import load_policy
from udacity_gym.errors import OptionError
from udacity_gym.executors.calls import OutputFolder, SharedFiles
from udacity_gym.executors.executor import ExecutorLike, open_executor
from udacity_gym.files import using_folder
from udacity_gym.progress import progress_bar


def learn_many(
    learner: str | type[Any],
    recordings: str | Path | SharedFiles | Iterable[str | Path | SharedFiles],
    settings: Sequence[Mapping[str, Any]],
    folder: str | Path,
    *,
    executor: ExecutorLike = 1,
    progress: bool = True,
) -> list[Policy]:
    """Train many policies on the same recordings, each in one thread.

    The policies do not depend on the executor. Each training has a folder of its own, in which it resumes
    after an interruption.

    Args:
        learner: name or class of a learner with ``folder=...``, such as "bc".
        recordings: their folders, which all machines of the executor see; or `SharedFiles` of them, which
            are sent.
        settings: settings of each training, such as ``{"seed": 3, "epochs": 20}``.
        folder: folder of the trainings ``000``, ``001``, and so on.
        executor: who trains, see `open_executor`.
        progress: show a progress bar of the trainings.

    Returns:
        The policies, in the order of the settings.

    Raises:
        OptionError: There is no such learner or setting.
        FailedJobsError: Some trainings failed; the others are in the folder.

    Example:
        >>> settings = [{"seed": seed, "epochs": 20} for seed in range(5)]
        >>> policies = learn_many("bc", "recordings/lake", settings, "seeds", executor=5)  # doctest: +SKIP
        >>> ensemble = Ensemble(policies)                                                # doctest: +SKIP
    """
    learner_class: Any = find_learner(learner) if isinstance(learner, str) else learner
    given = [recordings] if isinstance(recordings, (str, Path, SharedFiles)) else list(recordings)
    sources = tuple(r if isinstance(r, SharedFiles) else Path(r).absolute() for r in given)
    for number, values in enumerate(settings):
        if "folder" in values:
            raise OptionError(f"settings {number} have a folder, which each training gets below {folder}")
    with using_folder(folder), OutputFolder(folder) as output, open_executor(executor) as opened:
        jobs = [_Job(learner_class, sources, dict(v), output, f"{n:03d}") for n, v in enumerate(settings)]
        with progress_bar(progress, total=len(jobs), unit="training") as bar:
            for _ in opened.map(_learn, jobs):
                bar.update()
    return [load_policy(Path(folder) / job.name, **_own(job.settings)) for job in jobs]


def _own(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Classes and functions among the settings, which no checkpoint imports."""
    return {name: settings[name] for name in ("network", "loss", "policy") if callable(settings.get(name))}


class _Job(NamedTuple):
    """A training for an executor."""

    learner: Any
    recordings: tuple[Path | SharedFiles, ...]
    settings: dict[str, Any]
    output: OutputFolder
    name: str

    def __str__(self) -> str:
        return f"training {self.name} with {self.settings}"


def _learn(job: _Job) -> None:
    """Train a policy."""
    with contextlib.ExitStack() as stack:
        paths = [stack.enter_context(r.open()) if isinstance(r, SharedFiles) else r for r in job.recordings]
        folder = stack.enter_context(job.output.writing()) / job.name
        settings = {"threads": 1, "progress": False, **job.settings}
        policy = job.learner(paths, folder=folder, **settings).learn()
        policy.save(folder / "policy")
