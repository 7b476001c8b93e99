"""Many jobs, here or in other processes: `open_executor`, and `Shared`, for what all jobs need."""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import os
import pickle
import sys
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from udacity_gym.checks import check_integer
from udacity_gym.errors import OptionError

T = TypeVar("T")
Job = TypeVar("Job")
Result = TypeVar("Result")

ExecutorLike: TypeAlias = int | concurrent.futures.Executor
"""A number of processes, 1 being this one; or any executor of `concurrent.futures`."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Environment variables from which libraries read, when they are loaded, how many threads they may use."""

_WORKER = threading.local()
"""What a worker, a thread of some process, keeps between its jobs."""


class Executor(Protocol):
    """Does jobs."""

    def map(self, function: Callable[[Job], Result], jobs: Iterable[Job]) -> Iterator[tuple[int, Result]]:
        """Do some jobs.

        Args:
            function: of a module, so that it can be sent to other processes.
            jobs: its arguments; they are sent too.

        Yields:
            The number of each job and its result, as they come.

        Raises:
            OptionError: Function or jobs can't be sent to other processes.
        """
        ...


class Shared(Generic[T]):
    """Something that many jobs need, such as what makes the environment: sent with each, made once.

    A job that is not sent anywhere gets the thing itself. Any other worker gets a copy, unpickled by the
    first job that asks for it and kept for those that follow, as long as the worker lives.

    Attributes:
        key: tells it from everything else that is shared, in every process.
    """

    def __init__(self, thing: T, name: str) -> None:
        """Share something.

        Args:
            thing: what is shared; pickled when it is first sent.
            name: what to call it in messages.
        """
        self._thing: T | None = thing
        self._name = name
        self._is_sent = False
        self._pickled: bytes | None = None
        self.key = uuid.uuid4().hex

    def get(self) -> T:
        """The thing, or this worker's copy of it."""
        if self._is_sent:
            return worker_cached(f"shared {self.key}", self._unpickle)
        thing: T = self._thing  # type: ignore[assignment]
        return thing

    def _unpickle(self) -> T:
        assert self._pickled is not None
        copy: T = pickle.loads(self._pickled)  # written by this very program
        return copy

    def __getstate__(self) -> dict[str, Any]:
        if self._pickled is None:
            self._pickled = _pickled(self._thing, self._name)
        return {**vars(self), "_thing": None, "_is_sent": True}


def _pickled(thing: object, name: str) -> bytes:
    """Something as it is sent to workers.

    Raises:
        OptionError: It can't be sent; the message says what to do.
    """
    try:
        return pickle.dumps(thing)
    except OptionError:  # of something shared within it
        raise
    except Exception as error:  # classes of others raise what they like
        raise OptionError(
            f"{name} can't be sent to other processes: {error}; a function must stand at the top of a "
            "module. Or use one process"
        ) from error


def worker_cached(key: str, make: Callable[[], T]) -> T:
    """What this worker keeps under a key, made when it is first asked for."""
    kept: dict[str, Any] = vars(_WORKER)
    if key not in kept:
        kept[key] = make()
    thing: T = kept[key]
    return thing


class SerialExecutor:
    """Does jobs one after the other, in this process."""

    def map(self, function: Callable[[Job], Result], jobs: Iterable[Job]) -> Iterator[tuple[int, Result]]:
        """Do some jobs, see `Executor.map`."""
        for number, job in enumerate(jobs):
            with one_thread():
                result = function(job)
            yield number, result


class FuturesExecutor:
    """Does jobs in an executor of `concurrent.futures`, which is somebody else's and is not shut down."""

    def __init__(self, executor: concurrent.futures.Executor) -> None:
        self._executor = executor

    def map(self, function: Callable[[Job], Result], jobs: Iterable[Job]) -> Iterator[tuple[int, Result]]:
        """Do some jobs, see `Executor.map`."""
        # Pickled here, not by the pool, whose queue may hang after something that can't be pickled.
        calls = [_pickled((function, job), "a job") for job in jobs]
        with one_thread():  # workers are spawned here, and inherit the environment variables
            numbers = {
                self._executor.submit(_work, os.getpid(), call): number for number, call in enumerate(calls)
            }
        try:
            for future in concurrent.futures.as_completed(numbers):
                yield numbers[future], future.result()
        finally:
            for future in numbers:
                future.cancel()


@contextlib.contextmanager
def open_executor(executor: ExecutorLike) -> Iterator[Executor]:
    """What does jobs, for the length of a block.

    Args:
        executor: how many processes; 1 is this one. Or an executor of `concurrent.futures`, such as one of a
            cluster, which is not shut down.

    Raises:
        OptionError: It is neither.
    """
    if isinstance(executor, concurrent.futures.Executor):
        yield FuturesExecutor(executor)
    elif check_integer("processes", executor, 1) == 1:
        yield SerialExecutor()
    else:
        # Spawned, not forked: a fork of a process with threads, such as torch's, may hang.
        pool = concurrent.futures.ProcessPoolExecutor(executor, multiprocessing.get_context("spawn"))
        try:
            yield FuturesExecutor(pool)
        finally:
            pool.shutdown(cancel_futures=True)


def _work(caller: int, call: bytes) -> Any:
    """Do a job; in a process of its own with one thread, as its neighbours use the other cores."""
    if os.getpid() == caller:
        function, job = pickle.loads(call)  # written by this very program
        return function(job)
    with one_thread():
        function, job = pickle.loads(call)
        return function(job)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let libraries work in one thread each: jobs share the cores, and sums come out alike everywhere."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    torch = sys.modules.get("torch")  # this package never imports it; a policy may have
    threads = None if torch is None else torch.get_num_threads()
    if torch is not None and threads != 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if torch is not None and threads != 1:
            torch.set_num_threads(threads)
