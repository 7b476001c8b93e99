"""A Unity build of the simulator: finds its program, starts it, ends what was started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from udacity_gym.errors import SimulatorError

_ENDINGS = {"linux": (".x86_64", ".x86"), "win32": (".exe",)}
_HELPERS = ("unitycrashhandler", "unins", "crash_handler")
"""Beginnings of names of programs that lie beside a Unity build and are not it."""
_GRACE = 5.0
"""s to end by itself after being asked."""


def find_binary(path: str | Path, platform: str = sys.platform) -> Path:
    """Find the program of a Unity build.

    Args:
        path: the program, an ``.app``, or the folder that was unpacked (looked at two levels deep).
        platform: as `sys.platform` names it.

    Returns:
        The program.

    Raises:
        SimulatorError: There is none, or more than one; the message names them.
    """
    given = Path(path).expanduser()
    if not given.exists():
        raise SimulatorError(
            f"no simulator at {given}: give the program or the folder of Udacity's simulator, "
            '"embedded" for the one in this process, or "remote" for one that you start yourself'
        )
    if given.suffix == ".app":
        return _inside_app(given)
    if given.is_file():
        if platform != "win32" and not os.access(given, os.X_OK):
            raise SimulatorError(f"{given} may not be executed: chmod +x '{given}'")
        return given
    levels = [given, *sorted(p for p in given.iterdir() if p.is_dir() and p.suffix != ".app")]
    found: list[Path] = []
    for level in levels:
        with contextlib.suppress(PermissionError):
            found += [entry for entry in sorted(level.iterdir()) if _is_program(entry, platform)]
    if platform == "darwin":
        found = [_inside_app(app) for app in found]
    if len(found) > 1 and platform == "linux":  # a build for both has one of each
        wide = [program for program in found if program.suffix == ".x86_64"]
        found = wide or found
    if not found:
        endings = ".app" if platform == "darwin" else " or ".join(_ENDINGS.get(platform, _ENDINGS["linux"]))
        raise SimulatorError(f"no program of a simulator in {given}: looked for {endings}, two levels deep")
    if len(found) > 1:
        raise SimulatorError(
            f"several programs in {given}: {', '.join(map(str, found))}; give the path of one of them"
        )
    if platform != "win32" and not os.access(found[0], os.X_OK):
        raise SimulatorError(f"{found[0]} may not be executed: chmod +x '{found[0]}'")
    return found[0]


def _is_program(entry: Path, platform: str) -> bool:
    if platform == "darwin":
        return entry.suffix == ".app" and entry.is_dir()
    if not entry.is_file() or entry.name.lower().startswith(_HELPERS):
        return False
    return entry.suffix in _ENDINGS.get(platform, _ENDINGS["linux"])


def _inside_app(app: Path) -> Path:
    folder = app / "Contents" / "MacOS"
    programs = sorted(p for p in folder.iterdir() if p.is_file()) if folder.is_dir() else []
    named = [program for program in programs if program.name == app.stem] or programs
    if not named:
        raise SimulatorError(f"{app} has no program in Contents/MacOS")
    return named[0]


class UnityProcess:
    """A simulator's program that we start and end, with its window no larger than needed.

    Attributes:
        binary: the program.
        arguments: what it is started with, after its port and window.
    """

    def __init__(
        self,
        path: str | Path,
        arguments: Sequence[str] = (),
        width: int = 640,
        height: int = 480,
    ) -> None:
        """Find the program; `start` starts it.

        Args:
            path: program, ``.app`` or folder, see `find_binary`.
            arguments: further arguments.
            width: of the window, pixels.
            height: of the window, pixels.

        Raises:
            SimulatorError: There is no program.
        """
        self.binary = find_binary(path)
        self.arguments = tuple(arguments)
        self._window = ("-screen-width", str(width), "-screen-height", str(height), "-screen-fullscreen", "0")
        self._process: subprocess.Popen[bytes] | None = None
        self._output: Path | None = None

    @property
    def pid(self) -> int | None:
        """Number of the process that runs, None if none does."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if running and self._process is not None else None

    def start(self, port: int) -> None:
        """Start the program unless it runs.

        Args:
            port: where it shall connect; builds that don't know the argument use 4567.

        Raises:
            SimulatorError: It can't be started.
        """
        if self.pid is not None:
            return
        self._forget()
        handle, name = tempfile.mkstemp(prefix="udacity-gym-simulator-", suffix=".log")
        self._output = Path(name)
        command = [str(self.binary), "--port", str(port), *self._window, *self.arguments]
        try:
            with os.fdopen(handle, "wb") as output:
                self._process = subprocess.Popen(
                    command,
                    cwd=self.binary.parent,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=os.name != "nt",  # so that we can end its children with it
                )
        except OSError as error:
            self._forget()
            raise SimulatorError(
                f"{self.binary} can't be started: {error.strerror or error}. Is it built for this system?"
            ) from error

    def check(self) -> None:
        """See that it lives.

        Raises:
            SimulatorError: It was started and has ended; with the last it said.
        """
        if self._process is not None and self._process.poll() is not None:
            said = self._said()
            raise SimulatorError(
                f"{self.binary.name} ended by itself (exit code {self._process.returncode})"
                + (f"; the last it said: {said}" if said else "; it said nothing")
            )

    def stop(self) -> None:
        """End what `start` started, children included; nothing else. Twice is fine."""
        process = self._process
        if process is not None and process.poll() is None:
            self._signal(signal.SIGTERM)
            try:
                process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                self._signal(getattr(signal, "SIGKILL", signal.SIGTERM))
                process.wait()
        self._forget()

    def _signal(self, number: int) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            if os.name == "nt":
                self._process.terminate()
            else:
                os.killpg(self._process.pid, number)

    def _said(self) -> str:
        if self._output is None or not self._output.exists():
            return ""
        return " | ".join(self._output.read_text(errors="replace").splitlines()[-5:])[-500:]

    def _forget(self) -> None:
        self._process = None
        if self._output is not None:
            self._output.unlink(missing_ok=True)
            self._output = None
