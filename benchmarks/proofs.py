"""What all proofs share: a folder that holds one set of settings, and jobs in several processes at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from udacity_gym.files import write_whole

Job = TypeVar("Job")
Result = TypeVar("Result")


def go_on_with(folder: Path, settings: Mapping[str, Any]) -> None:
    """Begin in a folder, or go on there with the settings that it was begun with.

    Args:
        folder: where the proof keeps what it has found.
        settings: what the findings depend on; how many there are to be does not belong here.

    Raises:
        SystemExit: The folder was begun with other settings.
    """
    known, now = folder / "settings.json", json.loads(json.dumps(settings))
    if not known.exists():
        write_whole(known, json.dumps(now, indent=1) + "\n")
    before = json.loads(known.read_text())
    if before != now:
        raise SystemExit(f"{folder} was begun with {before}, now it is {now}; choose another --output")


def side_by_side(
    work: Callable[[Job], Result], jobs: Sequence[Job], processes: int
) -> Iterator[tuple[Job, Result]]:
    """Do jobs, and give each with its result as soon as it is done.

    Args:
        work: does one job: a function that other processes can import, or a `functools.partial` of one.
        jobs: in the order in which they are begun.
        processes: jobs at the same time; one is done in this process.
    """
    if processes == 1:
        for job in jobs:
            yield job, work(job)
        return
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        coming = {pool.submit(work, job): job for job in jobs}
        for done in as_completed(coming):
            yield coming[done], done.result()
