"""Jobs on a cluster with SLURM, through submitit: `Slurm`."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from udacity_gym.checks import check_integer, check_number
from udacity_gym.errors import UdacityGymError
from udacity_gym.executors.calls import (
    Failure,
    FetchFile,
    Outcome,
    describe,
    do_call,
    failure_of,
    pack,
    raise_failures,
    this_process,
)
from udacity_gym.executors.executor import RETRIES, LostWorkerError
from udacity_gym.files import write_whole
from udacity_gym.installation import require

Job = TypeVar("Job")
Result = TypeVar("Result")

TIME_LIMIT = 24 * 60
"""Minutes that a task may take, if the options do not say otherwise; submitit itself has 5."""


@dataclass(frozen=True)
class Slurm:
    """Settings of an executor: an array of SLURM tasks, each of which does its share of the jobs.

    Jobs and results are files in a folder that all nodes see. A result is there as soon as its job is done,
    so that what a lost task has finished stays; the rest of its share is submitted again.

    Attributes:
        folder: folder for jobs, results and logs, which all nodes see; what is done is deleted, logs stay.
        workers: tasks of the array.
        cluster: "slurm"; "local" for processes of this machine; None for what submitit finds.
        retries: how often a job that was begun and lost is done again.
        poll_seconds: s between two looks for results.
        options: parameters of submitit, such as ``{"slurm_partition": "cpu", "timeout_min": 240}``.
    """

    folder: str | Path = "slurm"
    workers: int = 8
    cluster: str | None = None
    retries: int = RETRIES
    poll_seconds: float = 1.0
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_integer("workers", self.workers, 1)
        check_integer("retries", self.retries, 0)
        check_number("poll_seconds", self.poll_seconds, positive=True)

    @contextlib.contextmanager
    def open(self) -> Iterator[SlurmExecutor]:
        """The executor, for the length of a block; tasks that still run then are cancelled."""
        submitit = require("submitit", "an executor on SLURM")
        folder = Path(self.folder).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        submitter = submitit.AutoExecutor(folder=folder / "logs", cluster=self.cluster)
        defaults = {"name": "udacity-gym", "cpus_per_task": 1, "timeout_min": TIME_LIMIT}
        submitter.update_parameters(**{**defaults, **self.options})
        yield SlurmExecutor(submitter, folder, self)


class SlurmExecutor:
    """Does jobs in arrays of SLURM tasks, see `Slurm`."""

    def __init__(self, submitter: Any, folder: Path, settings: Slurm) -> None:
        self._submitter = submitter
        self._folder = folder
        self._settings = settings

    def map(self, function: Callable[[Job], Result], jobs: Iterable[Job]) -> Iterator[tuple[int, Result]]:
        """Do some jobs, see `Executor.map`."""
        jobs = list(jobs)
        contents, shared = pack(function, jobs)
        folder = self._folder / f"jobs-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
        (folder / "shared").mkdir(parents=True)
        try:
            for key, content in shared.items():
                write_whole(folder / "shared" / key, content)
            for number, content in enumerate(contents):
                write_whole(folder / f"{number}.job", content)
            yield from self._results(folder, jobs)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _results(self, folder: Path, jobs: Sequence[Job]) -> Iterator[tuple[int, Any]]:
        """Submit jobs until each has a result or has failed."""
        missing, begun = set(range(len(jobs))), Counter[int]()
        failures: list[Failure] = []
        while missing:
            tasks = self._submit(folder, sorted(missing))
            try:
                running = True
                while running:
                    running = not all(task.done() for task in tasks)  # before the look, to miss nothing
                    for number in [n for n in sorted(missing) if (folder / f"{n}.result").is_file()]:
                        missing.remove(number)
                        outcome = Outcome.read((folder / f"{number}.result").read_bytes())
                        if outcome.error is None:
                            yield number, outcome.result
                        else:
                            name = describe(jobs[number])
                            failures.append(Failure(number, name, outcome.error, outcome.text))
                    if running and missing:
                        time.sleep(self._settings.poll_seconds)
                    elif not missing:
                        break
            finally:
                for task in tasks:
                    if not task.done():
                        task.cancel()
            lost = {number for number in missing if (folder / f"{number}.begun").is_file()}
            if missing and not lost:
                raise UdacityGymError(f"no task has begun a job: {_why(tasks)}")
            for number in lost:
                (folder / f"{number}.begun").unlink()
                begun[number] += 1
                if begun[number] > self._settings.retries:
                    missing.remove(number)
                    error = LostWorkerError(f"the task of the job was lost, time after time: {_why(tasks)}")
                    failures.append(failure_of(number, jobs[number], error))
        raise_failures(sorted(failures, key=lambda failure: failure.number), len(jobs))

    def _submit(self, folder: Path, numbers: Sequence[int]) -> list[Any]:
        """Submit an array of tasks, each with its share of the jobs."""
        shares = [numbers[i :: self._settings.workers] for i in range(self._settings.workers)]
        tasks: list[Any] = self._submitter.map_array(
            _Share(folder, this_process()), [list(share) for share in shares if share]
        )
        return tasks


@dataclass(frozen=True)
class _Share:
    """Does the jobs of a task, and writes each result to a file."""

    folder: Path
    caller: str

    def __call__(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            if (self.folder / f"{number}.result").exists():  # the task was begun anew
                continue
            (self.folder / f"{number}.begun").touch()
            content = (self.folder / f"{number}.job").read_bytes()
            outcome = do_call(self.caller, content, FetchFile(self.folder / "shared"))
            write_whole(self.folder / f"{number}.result", outcome)


def _why(tasks: Sequence[Any]) -> str:
    """What submitit knows of the tasks that failed, in short."""
    for task in tasks:
        error = task.exception()
        if error is not None:
            lines = [line for line in str(error).splitlines() if line.strip()]
            return f"{lines[-1] if lines else error!r} (see {task.paths.stderr})"
    return "see the logs of the tasks"
