"""The jobs of a proof, in several processes at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


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
