"""Trainings and evaluations in processes of their own, so that the page stays alive."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from udacity_gym.errors import OptionError

TAIL = 4000
"""Bytes at the end of a log in which progress and errors are looked for."""
CHILD = "udacity_gym.cockpit.child"
"""Module that runs a job's module with progress bars."""
GRACE = 10.0
"""s that a process has to end by itself."""
_BAR = re.compile(r"(\d+)%\|[^|]*\|\s*([\d.]+)/([\d.]+)[^\r\n]*")
_PART = re.compile(r"network (\d+)")
_LEFT = re.compile(r"<([\d:]+)")


@dataclass
class Job:
    """A process and what it works on.

    Attributes:
        number: counts the jobs.
        kind: "train", "evaluate", "round" or "label".
        name: of the folder in the workspace that it writes.
        about: what else the page shows of it.
        log: file with its output.
        process: the process.
    """

    number: int
    kind: str
    name: str
    about: Mapping[str, Any]
    log: Path
    process: subprocess.Popen[bytes]
    stopped: bool = field(default=False)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def as_json(self) -> dict[str, Any]:
        """What the page shows."""
        tail = _tail(self.log)
        code = self.process.poll()
        state = (
            "running" if code is None else "done" if code == 0 else "stopped" if self.stopped else "failed"
        )
        return {
            "number": self.number,
            "kind": self.kind,
            "name": self.name,
            "state": state,
            "about": dict(self.about),
            **_progress(tail),
            "error": _error(tail) if state == "failed" else None,
        }


class Jobs:
    """The processes that this cockpit has started. Thread-safe.

    Attributes:
        folder: folder of their logs.
    """

    def __init__(self, folder: Path, cwd: Path) -> None:
        """Start none yet.

        Args:
            folder: folder of their logs, which is made with the first one.
            cwd: folder in which they work.
        """
        self.folder = folder
        self._cwd = cwd
        self._jobs: list[Job] = []
        self._lock = threading.Lock()

    def start(self, kind: str, name: str, words: Sequence[str], **about: Any) -> Job:
        """Start a process of this Python.

        Args:
            kind: see `Job`.
            name: see `Job`; two jobs can't write one folder at once.
            words: command line after ``python``.
            **about: what else the page shows.

        Raises:
            OptionError: Such a job is running already.
        """
        with self._lock:
            if any(job.running and job.name == name for job in self._jobs):
                raise OptionError(f"{name} is being worked on already; wait for it or stop it")
            self.folder.mkdir(parents=True, exist_ok=True)
            number = len(self._jobs) + 1
            log = self.folder / f"{kind}-{number}-{os.getpid()}.log"
            paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
            with log.open("wb") as output:
                process = subprocess.Popen(
                    [sys.executable, *(("-m", CHILD, *words[1:]) if words[0] == "-m" else words)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=self._cwd,
                    env={
                        **os.environ,
                        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
                        "PYTHONUNBUFFERED": "1",
                        "MPLBACKEND": "Agg",
                    },
                )
            if hasattr(os, "setpriority"):  # whoever drives goes first
                with contextlib.suppress(OSError):
                    os.setpriority(os.PRIO_PROCESS, process.pid, 5)
            job = Job(number, kind, name, about, log, process)
            self._jobs.append(job)
            return job

    def find(self, number: object) -> Job:
        """A job by its number.

        Raises:
            OptionError: There is none.
        """
        for job in self._jobs:
            if job.number == number:
                return job
        raise OptionError(f"there is no job {number!r}")

    def latest(self, name: str, *kinds: str) -> Job | None:
        """The last job of some kinds that worked on a folder."""
        return next((job for job in reversed(self._jobs) if job.name == name and job.kind in kinds), None)

    def stop(self, number: object) -> None:
        """Ask a job to end; it keeps its results so far."""
        job = self.find(number)
        if job.running:
            job.stopped = True
            job.process.terminate()

    def as_json(self) -> list[dict[str, Any]]:
        """All jobs, the newest first."""
        return [job.as_json() for job in reversed(self._jobs)]

    def close(self) -> None:
        """End all jobs and wait for them."""
        for job in self._jobs:
            if job.running:
                job.stopped = True
                job.process.terminate()
        for job in self._jobs:
            with contextlib.suppress(subprocess.TimeoutExpired):
                job.process.wait(GRACE)
            job.process.kill()
            job.process.wait()


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _progress(text: str) -> dict[str, Any]:
    """Progress of the last progress bar in a log: share in [0, 1], and the time left as the bar says it."""
    bars = list(_BAR.finditer(text))
    parts = _PART.findall(text)
    if not bars:
        return {"share": None, "left": None, "part": None}
    left = _LEFT.search(bars[-1].group(0))
    total = float(bars[-1].group(3))
    return {
        "share": min(1.0, float(bars[-1].group(2)) / total) if total else 0.0,
        "left": left.group(1) if left else None,
        "part": int(parts[-1]) if parts else None,
    }


def _error(text: str) -> str:
    """The last line of a log that is no progress bar."""
    lines = [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]
    lines = [line for line in lines if not _BAR.search(line) and not _PART.match(line)]
    return lines[-1] if lines else "it ended without a message"
