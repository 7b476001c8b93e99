"""Programs of Unity builds of the simulator: find, start and end them."""

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
"""How the names of other programs in a Unity build's folder begin."""
_GRACE = 5.0
"""s that the program has to end by itself after it is asked to."""


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
    folders = [given, *sorted(p for p in given.iterdir() if p.is_dir() and p.suffix != ".app")]
    programs: list[Path] = []
    for folder in folders:
        with contextlib.suppress(PermissionError):
            programs += [entry for entry in sorted(folder.iterdir()) if _is_program(entry, platform)]
    if platform == "darwin":
        programs = [_inside_app(app) for app in programs]
    if len(programs) > 1 and platform == "linux":  # a build for 32 and 64 bits has one of each
        programs = [program for program in programs if program.suffix == ".x86_64"] or programs
    if not programs:
        endings = ".app" if platform == "darwin" else " or ".join(_ENDINGS.get(platform, _ENDINGS["linux"]))
        raise SimulatorError(f"no program of a simulator in {given}: looked for {endings}, two levels deep")
    if len(programs) > 1:
        raise SimulatorError(
            f"several programs in {given}: {', '.join(map(str, programs))}; give the path of one of them"
        )
    if platform != "win32" and not os.access(programs[0], os.X_OK):
        raise SimulatorError(f"{programs[0]} may not be executed: chmod +x '{programs[0]}'")
    return programs[0]


def _is_program(entry: Path, platform: str) -> bool:
    if platform == "darwin":
        return entry.suffix == ".app" and entry.is_dir()
    if not entry.is_file() or entry.name.lower().startswith(_HELPERS):
        return False
    return entry.suffix in _ENDINGS.get(platform, _ENDINGS["linux"])


def _inside_app(app: Path) -> Path:
    folder = app / "Contents" / "MacOS"
    programs = sorted(p for p in folder.iterdir() if p.is_file()) if folder.is_dir() else []
    programs = [program for program in programs if program.name == app.stem] or programs
    if not programs:
        raise SimulatorError(f"{app} has no program in Contents/MacOS")
    return programs[0]


class UnityProcess:
    """Starts and ends a simulator's program, with its window no larger than needed.

    Attributes:
        binary: the program.
        arguments: arguments of the program, after its port and window.
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
            width: width of the window in pixels.
            height: height of the window in pixels.

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
        """Process ID of the program, None if it does not run."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self, port: int) -> None:
        """Start the program unless it runs.

        Args:
            port: port to which it shall connect; builds that don't have the argument use 4567.

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
        """Check that the program runs.

        Raises:
            SimulatorError: It was started and has ended; the message has the last lines of its output.
        """
        if self._process is not None and self._process.poll() is not None:
            output = self._last_output()
            raise SimulatorError(
                f"{self.binary.name} ended by itself (exit code {self._process.returncode})"
                + (f"; the last it said: {output}" if output else "; it said nothing")
            )

    def stop(self) -> None:
        """End the program that `start` started, children included; calling it twice is fine."""
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

    def _last_output(self) -> str:
        if self._output is None or not self._output.exists():
            return ""
        return " | ".join(self._output.read_text(errors="replace").splitlines()[-5:])[-500:]

    def _forget(self) -> None:
        self._process = None
        if self._output is not None:
            self._output.unlink(missing_ok=True)
            self._output = None
