"""Jobs that lose their workers, for the tests of executors; in a module that workers can import."""

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import NamedTuple


class Job(NamedTuple):
    folder: Path
    number: int
    fatal: tuple[int, ...] = ()
    tries: int = 1

    def __str__(self):
        return f"number {self.number}"


def kill_the_worker(job):
    """Square a number; the worker of a fatal one is killed, at the first tries."""
    with contextlib.suppress(FileExistsError):
        if job.number in job.fatal:
            for n in range(job.tries):
                mark = job.folder / f"{job.number}-{n}"
                if not mark.exists():
                    mark.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
    (job.folder / f"done-{job.number}-{time.time_ns()}").touch()
    return job.number**2


def times_done(folder, number):
    return len(list(folder.glob(f"done-{number}-*")))


def wait_for(path):
    """Wait until a file is there; then say in which process."""
    beside = path.with_name(f"{path.name}-{os.getpid()}")
    beside.touch()
    while not path.exists():
        time.sleep(0.05)
    return os.getpid()


def write_file(job):
    output, name = job
    with output.writing() as folder:
        (folder / "files").mkdir(exist_ok=True)
        (folder / "files" / name).write_text(f"{name} of {os.getpid()}")
    with output.writing_folder(f"folder-{name}") as folder:
        (folder / "inside").write_text(name)
    return os.getpid(), str(folder)


def read_shared_files(files):
    with files.open() as path:
        return os.getpid(), sorted((p.name, p.read_text()) for p in path.rglob("*") if p.is_file()), path.name


def node_of(_):
    import ray

    time.sleep(0.2)
    return ray.get_runtime_context().get_node_id()
