"""Jobs on their way to workers and back: what they share, the files that they write, how they fail."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import secrets
import shutil
import socket
import sys
import tempfile
import threading
import traceback
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import cloudpickle

from udacity_gym.errors import OptionError, UdacityGymError
from udacity_gym.text import count

T = TypeVar("T")

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Environment variables from which libraries read, when they are loaded, how many threads they may use."""

KEPT = 8
"""Number of things that a worker keeps between its jobs; the ones that were used last."""

_WORKER = threading.local()
"""What a worker, a thread of some process, keeps between its jobs."""

_PROCESS = uuid.uuid4().hex
"""Tells this process from those of other machines, whose numbers may be the same."""


def this_process() -> str:
    """A name of this process that no other one has, on whatever machine."""
    return f"{_PROCESS}-{os.getpid()}"  # a fork inherits the first part


class Fetch(Protocol):
    """Gets the bytes of something shared to a worker; can be pickled."""

    def __call__(self, key: str) -> bytes:
        """The bytes that were packed under a key."""
        ...


@dataclass(frozen=True)
class FetchHere:
    """Shared bytes that travel with the job itself."""

    packed: Mapping[str, bytes]

    def __call__(self, key: str) -> bytes:
        """The bytes that were packed under a key."""
        return self.packed[key]


@dataclass(frozen=True)
class FetchFile:
    """Shared bytes in files of a folder that all workers see."""

    folder: Path

    def __call__(self, key: str) -> bytes:
        """The bytes that were packed under a key."""
        return (self.folder / key).read_bytes()


class Shared(Generic[T]):
    """Something that many jobs need, such as what makes the environment: sent once, made once per worker.

    A job that is not sent anywhere gets the thing itself. Any other worker gets a copy, made for the first
    job that asks for it and kept for those that follow.

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
        self._fetch: Fetch | None = None
        self._packed: bytes | None = None
        self.key = uuid.uuid4().hex

    @property
    def is_sent(self) -> bool:
        """Whether this is a copy at a worker."""
        return self._fetch is not None

    def get(self) -> T:
        """The thing, or this worker's copy of it."""
        if self._fetch is not None:
            return worker_cached(f"shared {self.key}", self._unpack)
        thing: T = self._thing  # type: ignore[assignment]
        return thing

    def packed(self) -> bytes:
        """The thing as bytes.

        Raises:
            OptionError: It can't be sent; the message says what to do.
        """
        if self._packed is None:
            assert self._fetch is None, "a worker sends nothing on"
            self._packed = pickled(self._thing, self._name)
        return self._packed

    def _unpack(self) -> T:
        assert self._fetch is not None
        copy: T = pickle.loads(self._fetch(self.key))  # written by this very program
        return copy

    def __getstate__(self) -> dict[str, Any]:
        return {"_name": self._name, "key": self.key, "_fetch": FetchHere({self.key: self.packed()})}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update({"_thing": None, "_packed": None, **state})


class SharedFiles(Shared[dict[str, bytes]]):
    """A file, or all files of a folder, that many jobs need, wherever they run."""

    def __init__(self, path: str | Path) -> None:
        """Share files.

        Args:
            path: the file or the folder; read when it is first sent.
        """
        super().__init__({}, str(path))
        self._path = Path(path)

    @contextlib.contextmanager
    def open(self) -> Iterator[Path]:
        """The path of the files, on whatever machine, for the length of a block."""
        if not self.is_sent:
            yield self._path
            return
        with tempfile.TemporaryDirectory(prefix="udacity-gym-") as folder:
            write_files(Path(folder), self.get())
            yield Path(folder) / self._path.name

    def packed(self) -> bytes:
        """The files as bytes."""
        if self._packed is None:
            files = read_files(self._path, self._path.parent)
            self._packed = pickled(files, self._name)
        return self._packed

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_path": self._path}


def read_files(path: Path, base: Path) -> dict[str, bytes]:
    """A file, or all files of a folder, by their paths relative to ``base``."""
    paths = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return {file.relative_to(base).as_posix(): file.read_bytes() for file in paths}


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files by their paths relative to a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


class OutputFolder:
    """A folder into which jobs write files, whether or not their machine sees it.

    While it is open, it has a marker file. A job that sees the marker writes into the folder. Any other job
    writes into a folder of its own machine, and its files come back with its result.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()
        self._marker = self.path / f".jobs-{secrets.token_hex(8)}"

    def __enter__(self) -> OutputFolder:
        self.path.mkdir(parents=True, exist_ok=True)
        self._marker.touch()
        return self

    def __exit__(self, *_: object) -> None:
        self._marker.unlink(missing_ok=True)

    @contextlib.contextmanager
    def writing(self) -> Iterator[Path]:
        """Where a job may write, for the length of a block."""
        if self._marker.is_file():
            yield self.path
            return
        with tempfile.TemporaryDirectory(prefix="udacity-gym-") as name:
            yield Path(name)
            _outbox().append((self.path, read_files(Path(name), Path(name))))

    @contextlib.contextmanager
    def writing_folder(self, name: str) -> Iterator[Path]:
        """An empty folder that gets its name below this one when the block ends well.

        It takes the place of what an earlier try of the same job has left there.
        """
        with self.writing() as folder:
            whole, part = folder / name, folder / f".{name}.{secrets.token_hex(4)}.part"
            part.mkdir()
            try:
                yield part
                if whole.exists():
                    shutil.rmtree(whole)
                part.rename(whole)
            finally:
                shutil.rmtree(part, ignore_errors=True)


def _outbox() -> list[tuple[Path, dict[str, bytes]]]:
    """Files that the present job sends back: folder, and content by relative path."""
    files: list[tuple[Path, dict[str, bytes]]] = vars(_WORKER).setdefault("outbox", [])
    return files


def worker_cached(key: str, make: Callable[[], T]) -> T:
    """What this worker keeps under a key, made when it is first asked for.

    A worker keeps the `KEPT` things that it used last.
    """
    kept: OrderedDict[str, Any] = vars(_WORKER).setdefault("kept", OrderedDict())
    if key not in kept:
        kept[key] = make()
        while len(kept) > KEPT:
            kept.popitem(last=False)
    kept.move_to_end(key)
    thing: T = kept[key]
    return thing


@dataclass(frozen=True)
class Failure:
    """A job that failed.

    Attributes:
        number: its number.
        job: the job, as text.
        error: what it raised; or what took its worker, time after time.
        text: the traceback.
    """

    number: int
    job: str
    error: BaseException
    text: str


class FailedJobsError(UdacityGymError, RuntimeError):
    """Some jobs failed; the others are done, and their results were given.

    Attributes:
        failures: the failed jobs.
    """

    SHOWN = 3

    def __init__(self, failures: Sequence[Failure], jobs: int) -> None:
        self.failures = tuple(failures)
        lines = [f"{len(failures)} of {count(jobs, 'job')} failed, the others are done:"]
        for failure in self.failures[: self.SHOWN]:
            lines += [f"job {failure.number}, {failure.job}:", failure.text.rstrip()]
        rest = self.failures[self.SHOWN :]
        lines += [f"job {f.number}, {f.job}: {_short(f.error)}" for f in rest]
        super().__init__("\n".join(lines))

    def __reduce__(self) -> Any:
        return RuntimeError, (str(self),)


def raise_failures(failures: Sequence[Failure], jobs: int) -> None:
    """Raise an error if jobs failed.

    Args:
        failures: the failed jobs.
        jobs: number of all jobs.

    Raises:
        Exception: What the jobs raised, if all of them failed alike.
        FailedJobsError: Some jobs failed, or in different ways.
    """
    if not failures:
        return
    first = failures[0].error
    if len(failures) == jobs and len({(type(f.error), str(f.error)) for f in failures}) == 1:
        raise first
    raise FailedJobsError(failures, jobs) from first


def describe(job: object) -> str:
    """A job as text of one line."""
    text = " ".join(str(job).split())
    return text if len(text) <= 100 else f"{text[:97]}..."


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def failure_of(number: int, job: object, error: BaseException) -> Failure:
    """Describe a failure in this process."""
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return Failure(number, describe(job), error, text)


class _RemoteError(Exception):
    """The traceback of a job, as the cause of the error that it raised elsewhere."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


@dataclass(frozen=True)
class Outcome:
    """What came of a job at a worker.

    Attributes:
        result: what it returned; None if it failed.
        error: what it raised; None if it did not.
        text: the traceback of the error.
        files: files that belong in folders of the process that sent the job.
    """

    result: Any = None
    error: BaseException | None = None
    text: str = ""
    files: tuple[tuple[Path, dict[str, bytes]], ...] = ()

    @staticmethod
    def read(content: bytes) -> Outcome:
        """Read what `do_call` returned, and put the files in their places."""
        outcome: Outcome = pickle.loads(content)  # written by this very program
        for folder, files in outcome.files:
            write_files(folder, files)
        if outcome.error is not None:
            outcome.error.__cause__ = _RemoteError(outcome.text)
        return outcome


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles jobs; what they share is kept aside, and stands in their pickles by its key."""

    def __init__(self, file: io.BytesIO, shared: dict[str, bytes]) -> None:
        super().__init__(file)
        self._shared = shared

    def persistent_id(self, thing: Any) -> object:
        if not isinstance(thing, Shared):
            return None
        if thing.key not in self._shared:
            self._shared[thing.key] = thing.packed()
        return type(thing), {k: v for k, v in thing.__getstate__().items() if k != "_fetch"}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, fetch: Fetch) -> None:
        super().__init__(file)
        self._fetch = fetch

    def persistent_load(self, pid: Any) -> Any:
        kind, state = pid
        shared = kind.__new__(kind)
        shared.__setstate__({**state, "_fetch": self._fetch})
        return shared


def pickled(thing: object, name: str) -> bytes:
    """Something as it is sent to workers.

    Raises:
        OptionError: It can't be sent; the message says what to do.
    """
    try:
        content: bytes = cloudpickle.dumps(thing)
    except OptionError:  # of something shared within it
        raise
    except Exception as error:  # classes of others raise what they like
        raise _unsendable(name, error) from error
    return content


def pack(function: Callable[[Any], Any], jobs: Sequence[Any]) -> tuple[list[bytes], dict[str, bytes]]:
    """Jobs as they are sent to workers.

    Returns:
        The bytes of each job, for `do_call`, and what they share by its key.

    Raises:
        OptionError: Something can't be sent; the message says what to do.
    """
    contents, shared = [], dict[str, bytes]()
    for job in jobs:
        file = io.BytesIO()
        try:
            _Pickler(file, shared).dump((function, job))
        except OptionError:
            raise
        except Exception as error:
            raise _unsendable("a job", error) from error
        contents.append(file.getvalue())
    return contents, shared


def _unsendable(name: str, error: Exception) -> OptionError:
    return OptionError(
        f"{name} can't be sent to other processes: {error}; give something that can be pickled, such as a "
        "function that makes it. Or use one process"
    )


def do_call(caller: str, content: bytes, fetch: Fetch) -> bytes:
    """Do a job at a worker; never raises what the job raised.

    Args:
        caller: the process that sent the job, see `this_process`.
        content: the job, see `pack`.
        fetch: gets what the jobs share.

    Returns:
        What came of it, for `Outcome.read`.
    """
    outbox = _outbox()
    outbox.clear()
    # In a process of its own with one thread, as its neighbours use the other cores.
    with one_thread() if this_process() != caller else contextlib.nullcontext():
        try:
            function, job = _Unpickler(io.BytesIO(content), fetch).load()
            outcome = cloudpickle.dumps(Outcome(result=function(job), files=tuple(outbox)))
        except Exception as error:
            text = f"{traceback.format_exc().rstrip()}\n(process {os.getpid()} of {socket.gethostname()})\n"
            outcome = _dump_failure(error, text)
        finally:
            outbox.clear()
    packed: bytes = outcome
    return packed


def _dump_failure(error: Exception, text: str) -> bytes:
    """A failed outcome as bytes, whatever the error's class is."""
    try:
        content: bytes = cloudpickle.dumps(Outcome(error=error, text=text))
        pickle.loads(content)
    except Exception:  # classes of others raise what they like
        content = cloudpickle.dumps(Outcome(error=RuntimeError(_short(error)), text=text))
    return content


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
