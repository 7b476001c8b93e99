"""Jobs in processes of this machine: `Processes`."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from udacity_gym.checks import check_integer
from udacity_gym.executors.calls import Fetch, FetchFile, FetchHere, do_call, one_thread, this_process
from udacity_gym.executors.executor import RETRIES, SendingExecutor


@dataclass(frozen=True)
class Processes:
    """Settings of an executor: processes of this machine, each with one thread.

    A process that ends in the middle of a job, such as one that was killed for its memory, is replaced, and
    its job alone is done again.

    Attributes:
        workers: number of processes; None is one for each core that this process may use.
        retries: how often a job whose process was lost is done again.
    """

    workers: int | None = None
    retries: int = RETRIES

    def __post_init__(self) -> None:
        if self.workers is not None:
            check_integer("workers", self.workers, 1)
        check_integer("retries", self.retries, 0)

    @contextlib.contextmanager
    def open(self) -> Iterator[ProcessesExecutor]:
        """The executor, for the length of a block; its processes start with their first job."""
        executor = ProcessesExecutor(self.workers or available_cores(), self.retries)
        try:
            yield executor
        finally:
            executor.close()


def available_cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class ProcessesExecutor(SendingExecutor):
    """Does jobs in processes of this machine, see `Processes`.

    Each process is a pool of its own, so that the end of one breaks nothing but its own job.
    """

    def __init__(self, workers: int, retries: int) -> None:
        super().__init__(workers, retries)
        self._idle: list[_Worker] = [_Worker() for _ in range(workers)]
        self._busy: dict[Future[bytes], _Worker] = {}

    def close(self) -> None:
        """End the processes; those that are in the middle of a job don't finish it."""
        for worker in self._busy.values():
            worker.kill()
        for worker in (*self._idle, *self._busy.values()):
            worker.close()
        self._idle, self._busy = [], {}

    @contextlib.contextmanager
    def _sharing(self, shared: dict[str, bytes]) -> Iterator[Fetch]:
        if not shared:
            yield FetchHere({})
            return
        with tempfile.TemporaryDirectory(prefix="udacity-gym-", ignore_cleanup_errors=True) as folder:
            for key, content in shared.items():
                (Path(folder) / key).write_bytes(content)
            yield FetchFile(Path(folder))

    def _submit(self, content: bytes, fetch: Fetch) -> Future[bytes]:
        worker = self._idle.pop()
        try:
            future = worker.submit(content, fetch)
        except BrokenExecutor:  # its process was killed while it had nothing to do
            worker.close()
            worker = _Worker()
            future = worker.submit(content, fetch)
        self._busy[future] = worker
        return future

    def _release(self, future: Future[bytes]) -> None:
        worker = self._busy.pop(future)
        if isinstance(future.exception(), BrokenExecutor):
            worker.close()
            worker = _Worker()
        self._idle.append(worker)

    def _cancel(self, future: Future[bytes]) -> None:
        """Nobody waits for a job any more: its process ends with it."""
        worker = self._busy.pop(future)
        worker.kill()
        worker.close()
        self._idle.append(_Worker())


class _Worker:
    """A process that does one job at a time."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._process: Future[int] | None = None

    def submit(self, content: bytes, fetch: Fetch) -> Future[bytes]:
        """Let it do a job."""
        with one_thread():  # the process is spawned here, and inherits the environment variables
            if self._pool is None:
                # Spawned, not forked: a fork of a process with threads, such as torch's, may hang.
                context = multiprocessing.get_context("spawn")
                self._pool = ProcessPoolExecutor(1, context, initializer=_begin)
                self._process = self._pool.submit(os.getpid)
            return self._pool.submit(do_call, this_process(), content, fetch)

    def kill(self) -> None:
        """End the process at once; one that is just being started ends with its next job."""
        if self._process is not None and self._process.done() and self._process.exception() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.result(), signal.SIGTERM)

    def close(self) -> None:
        """End the process when it has done what it is doing."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """What a process does first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for its parent, who ends it
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when its parent is no more, however that ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
