"""Many jobs, here or on other machines: `Executor`, and `open_executor`, which opens one of any kind."""

from __future__ import annotations

import concurrent.futures
import contextlib
import math
import queue
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

from udacity_gym.checks import check_integer
from udacity_gym.errors import OptionError, UdacityGymError
from udacity_gym.executors.calls import (
    Failure,
    Fetch,
    FetchHere,
    Outcome,
    describe,
    do_call,
    failure_of,
    one_thread,
    pack,
    raise_failures,
    this_process,
)
from udacity_gym.registry import Registry

Job = TypeVar("Job")
Result = TypeVar("Result")

RETRIES = 2
"""How often a job whose worker was lost is sent again."""


@runtime_checkable
class Executor(Protocol):
    """Does jobs."""

    def map(self, function: Callable[[Job], Result], jobs: Iterable[Job]) -> Iterator[tuple[int, Result]]:
        """Do some jobs.

        A job whose worker is lost is sent again. A job that raises an error is not: with the same seed it
        would do the same. The other jobs go on, and the error is raised when they are done.

        Args:
            function: does a job. It and the jobs are sent to other processes, by cloudpickle.
            jobs: its arguments; ``str(job)`` names them in messages.

        Yields:
            The number of each job and its result, as they come.

        Raises:
            OptionError: Function or jobs can't be sent to other processes.
            FailedJobsError: Some jobs failed; it has the traceback of each.
            Exception: What the jobs raised, if all of them failed alike.
        """
        ...


@runtime_checkable
class ExecutorSettings(Protocol):
    """Says what kind of executor to open: `Processes`, `Ray`, `Slurm`, or one of another package."""

    def open(self) -> contextlib.AbstractContextManager[Executor]:
        """The executor, for the length of a block."""
        ...


ExecutorLike: TypeAlias = int | str | ExecutorSettings | Executor | concurrent.futures.Executor
"""Who does jobs: a number of processes, 1 being this one; the name of a kind, see `EXECUTORS`; the settings
of one, such as ``Ray(address="auto")``; one that is open; or any executor of `concurrent.futures`."""

EXECUTORS: Registry[Callable[..., ExecutorSettings]] = Registry(
    "executor",
    {
        "processes": "udacity_gym.executors.processes:Processes",
        "ray": "udacity_gym.executors.ray:Ray",
        "slurm": "udacity_gym.executors.slurm:Slurm",
    },
    expected="a class with open()",
    group="udacity_gym.executors",
    fits=lambda name, item: callable(item) and hasattr(item, "open"),
)
"""Kinds of executors by name."""


class SerialExecutor:
    """Does jobs one after the other, in this process."""

    def map(self, function: Callable[[Job], Result], jobs: Iterable[Job]) -> Iterator[tuple[int, Result]]:
        """Do some jobs, see `Executor.map`."""
        failures: list[Failure] = []
        number = -1
        for number, job in enumerate(jobs):
            try:
                with one_thread():
                    result = function(job)
            except Exception as error:
                failures.append(failure_of(number, job, error))
                continue
            yield number, result
        raise_failures(failures, number + 1)


class LostWorkerError(UdacityGymError, RuntimeError):
    """The worker of a job was lost, and so was that of each further try."""


class SendingExecutor(ABC):
    """Sends jobs to workers elsewhere; subclasses say how.

    Attributes:
        capacity: number of jobs that are sent at a time.
        retries: how often a job whose worker was lost is sent again.
    """

    def __init__(self, capacity: float = math.inf, retries: int = RETRIES) -> None:
        self.capacity = capacity
        self.retries = check_integer("retries", retries, 0)

    def map(self, function: Callable[[Job], Result], jobs: Iterable[Job]) -> Iterator[tuple[int, Result]]:
        """Do some jobs, see `Executor.map`."""
        jobs = list(jobs)
        # Pickled here, not by the pool, whose queue may hang after something that can't be pickled.
        contents, shared = pack(function, jobs)
        waiting = deque(range(len(jobs)))
        running: dict[concurrent.futures.Future[bytes], int] = {}
        finished: queue.SimpleQueue[concurrent.futures.Future[bytes]] = queue.SimpleQueue()
        tries: Counter[int] = Counter()
        failures: list[Failure] = []
        with self._sharing(shared) as fetch:
            try:
                while waiting or running:
                    while waiting and len(running) < self.capacity:
                        number = waiting.popleft()
                        tries[number] += 1
                        future = self._submit(contents[number], fetch)
                        running[future] = number
                        future.add_done_callback(finished.put)
                    future = _next(finished)
                    number = running.pop(future)
                    self._release(future)
                    try:
                        content = future.result()
                    except Exception as lost:  # not of the job, of whoever was to do it
                        if tries[number] <= self.retries:
                            waiting.append(number)
                        else:
                            failures.append(failure_of(number, jobs[number], _lost(lost)))
                        continue
                    outcome = Outcome.read(content)
                    if outcome.error is not None:
                        failures.append(Failure(number, describe(jobs[number]), outcome.error, outcome.text))
                        continue
                    yield number, outcome.result
            finally:
                for future in running:
                    self._cancel(future)
        raise_failures(sorted(failures, key=lambda failure: failure.number), len(jobs))

    @contextlib.contextmanager
    def _sharing(self, shared: dict[str, bytes]) -> Iterator[Fetch]:
        """Bring what the jobs share to where workers can get it."""
        yield FetchHere(shared)

    @abstractmethod
    def _submit(self, content: bytes, fetch: Fetch) -> concurrent.futures.Future[bytes]:
        """Send a job."""

    def _release(self, future: concurrent.futures.Future[bytes]) -> None:  # noqa: B027 - nothing by default
        """A job has ended; its future has a result or an error."""

    def _cancel(self, future: concurrent.futures.Future[bytes]) -> None:
        """Nobody waits for a job any more."""
        future.cancel()


class FuturesExecutor(SendingExecutor):
    """Does jobs in an executor of `concurrent.futures`, which is somebody else's and is not shut down."""

    def __init__(self, executor: concurrent.futures.Executor, retries: int = RETRIES) -> None:
        super().__init__(retries=retries)
        self._executor = executor

    def _submit(self, content: bytes, fetch: Fetch) -> concurrent.futures.Future[bytes]:
        with one_thread():  # workers may be spawned here, and inherit the environment variables
            try:
                return self._executor.submit(do_call, this_process(), content, fetch)
            except concurrent.futures.BrokenExecutor as error:
                failed: concurrent.futures.Future[bytes] = concurrent.futures.Future()
                failed.set_exception(error)
                return failed


def _lost(error: Exception) -> LostWorkerError:
    """What to say of a job whose workers were lost."""
    lost = LostWorkerError(
        f"the worker of the job was lost, time after time: {' '.join(str(error).split())}; perhaps it needs "
        'more memory than there is. A script that uses several processes needs if __name__ == "__main__":'
    )
    lost.__cause__ = error
    return lost


def _next(finished: queue.SimpleQueue[Any]) -> Any:
    """The next item, as soon as there is one; Ctrl-C ends the waiting on every system."""
    while True:
        with contextlib.suppress(queue.Empty):
            return finished.get(timeout=1.0)


@contextlib.contextmanager
def open_executor(executor: ExecutorLike) -> Iterator[Executor]:
    """What does jobs, for the length of a block.

    Args:
        executor: how many processes, 1 being this one; the name of a kind of executor, such as "ray"; the
            settings of one, such as ``Ray(address="auto")``; an executor that is open, or one of
            `concurrent.futures`, such as one of Dask or MPI, neither of which is closed.

    Raises:
        OptionError: It is none of these.
        MissingDependencyError: The package of the executor is not installed.
    """
    if isinstance(executor, str):
        executor = EXECUTORS.find(executor)()
    if isinstance(executor, concurrent.futures.Executor):
        yield FuturesExecutor(executor)
    elif isinstance(executor, type):
        raise OptionError(f"executor must be an object, got the class {executor.__name__}; call it")
    elif isinstance(executor, ExecutorSettings):
        with executor.open() as opened:
            yield opened
    elif isinstance(executor, Executor):
        yield executor
    elif isinstance(executor, int) and check_integer("executor", executor, 1) == 1:
        yield SerialExecutor()
    elif isinstance(executor, int):
        from udacity_gym.executors.processes import Processes

        with Processes(executor).open() as opened:
            yield opened
    else:
        raise OptionError(
            "executor must be a number of processes, a name such as 'ray', the settings of an executor, or "
            f"an executor of concurrent.futures, got {executor!r}"
        )


def is_here(executor: ExecutorLike) -> bool:
    """Whether jobs are done in this process, where nothing must be sent."""
    return executor == 1 or isinstance(executor, SerialExecutor)
