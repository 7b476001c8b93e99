"""Build the wheel and the source distribution, install them into empty environments, and use them.

    python .ci/test_wheel.py                  the core with every Python that is found, and training
    python .ci/test_wheel.py --extras all     also with these extras, which takes longer
    python .ci/test_wheel.py --core           the wheel's core alone, with this Python
    python .ci/test_wheel.py --dist dist      what is in this folder, instead of building it

The wheel is built from the source distribution, so that nothing is missing in either.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSIONS = ("3.10", "3.11", "3.12", "3.13")
THIS = f"{sys.version_info.major}.{sys.version_info.minor}"

WITHOUT: Mapping[str, Sequence[str]] = {
    "train": ("train", "laps"),
    "plot": ("data", "plot", "laps"),
    "human": ("drive", "expert", "--human", "any"),
    "cockpit": ("cockpit",),
    "video": ("drive", "expert", "--output", "drive.mp4"),
    "convert": ("data", "convert", "laps", "lerobot", "--to", "lerobot"),
    "hub": ("drive", "hf:nobody/nothing"),
    "onnx": ("drive", "model.onnx"),
    "keras": ("drive", "model.h5"),
    "completion": ("completion", "bash"),
    "ray": ("evaluate", "expert", "--suite", "smoke-v1", "--executor", "ray"),
    "slurm": ("evaluate", "expert", "--suite", "smoke-v1", "--executor", "slurm"),
}
"""A command that fails for want of each extra."""
MODULES = {
    "rl": "algorithms.adapters.stable_baselines3",
    "imitation": "algorithms.adapters.imitation",
}
"""Modules that can't be imported for want of an extra."""
DEMO = ("--record-laps", "1", "--record-seconds", "15", "--epochs", "1", "--laps", "1", "--max-seconds", "3")


@dataclass(frozen=True)
class Environment:
    """A virtual environment and a folder to work in."""

    folder: Path

    def __post_init__(self) -> None:
        self.work.mkdir(parents=True, exist_ok=True)

    @property
    def work(self) -> Path:
        """Folder in which commands run."""
        return self.folder / "work"

    def program(self, name: str) -> str:
        """Path of a program of the environment."""
        scripts = "Scripts" if sys.platform == "win32" else "bin"
        return str(self.folder / "venv" / scripts / name)

    def run(self, *command: str, code: int = 0) -> str:
        """Run a program, check its exit status, and return what it has printed."""
        inherited = {
            k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME")
        }
        environment = {**inherited, "MPLBACKEND": "Agg", "NUMBA_NUM_THREADS": "1"}
        done = subprocess.run(
            command, cwd=self.work, env=environment, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if done.returncode != code:
            sys.exit(f"{' '.join(command)}: exit status {done.returncode}, expected {code}\n{done.stdout}")
        return done.stdout

    def gym(self, *words: str, code: int = 0) -> str:
        """Run the command of the package."""
        return self.run(self.program("udacity-gym"), *words, code=code)

    def install(self, requirement: str) -> None:
        """Install with pip, in the versions of constraints.txt.

        Python compiles to bytecode what it imports; pip would compile everything, which is half of its work.
        """
        options = ("--quiet", "--disable-pip-version-check", "--no-compile")
        constraints = ("--constraint", str(ROOT / "constraints.txt"))
        self.run(self.program("python"), "-m", "pip", "install", *options, *constraints, requirement)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and test."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--extras", help="also install and check these, such as all or train,rl")
    parser.add_argument("--core", action="store_true", help="the wheel's core alone, with this Python")
    parser.add_argument("--dist", type=Path, help="folder with a wheel and a source distribution to test")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        dist = options.dist
        if dist is None:
            with step("build"):
                dist = build(folder / "dist")
        wheel, source = find(dist)
        check_content(wheel)
        pythons = {THIS: sys.executable} if options.core else interpreters()
        with ThreadPoolExecutor(2) as threads:
            jobs = [threads.submit(test_this, make(folder / THIS, pythons.pop(THIS)), wheel, options)]
            for version, python in pythons.items():
                jobs.append(
                    threads.submit(test_core, f"Python {version}", make(folder / version, python), wheel)
                )
            if not options.core:
                environment = make(folder / "source", sys.executable)
                jobs.append(threads.submit(test_core, "source distribution", environment, source))
            for job in jobs:
                job.result()


def interpreters() -> dict[str, str]:
    """Every supported Python of this machine by its version, this one first."""
    found = {THIS: sys.executable}
    for version in VERSIONS:
        of_pyenv = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
        for python in (shutil.which(f"python{version}"), *map(str, of_pyenv)):
            if python and _makes_environments(python):
                found.setdefault(version, python)
    return found


def _makes_environments(python: str) -> bool:
    """Whether an interpreter has what a virtual environment needs; Debian packs it separately."""
    return subprocess.run([python, "-c", "import venv, ensurepip"], capture_output=True).returncode == 0


def test_this(environment: Environment, wheel: Path, options: argparse.Namespace) -> None:
    """Install the core with this Python, look at all errors, and add extras."""
    with step("install the core"):
        environment.install(str(wheel))
    with step("use the core"):
        use_core(environment)
        environment.gym("drive", "pretrained:lake", "--max-seconds", "3", "--output", "drive.webm")
    with step("each missing extra is named"):
        check_errors(environment)
    if not options.core:
        with step("install train,plot"):
            environment.install(f"{wheel}[train,plot]")
        with step("demo"):
            check_demo(environment)
    if options.extras:
        with step(f"install {options.extras}"):
            environment.install(f"{wheel}[{options.extras}]")
        check_extras(environment, options.extras.split(","))


def test_core(name: str, environment: Environment, distribution: Path) -> None:
    """Install a wheel or a source distribution without extras, and use it."""
    with step(f"{name}: install the core"):
        environment.install(str(distribution))
    with step(f"{name}: use the core"):
        use_core(environment)


@contextmanager
def step(name: str) -> Iterator[None]:
    """Print what is done and how long it took."""
    start_time = time.monotonic()
    yield
    print(f"ok  {name}, {time.monotonic() - start_time:.0f} s", flush=True)


def build(folder: Path) -> Path:
    """Build the source distribution and, from it, the wheel."""
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return folder


def find(folder: Path) -> tuple[Path, Path]:
    """The wheel and the source distribution of a folder that has nothing else."""
    wheels, sources = sorted(folder.glob("*.whl")), sorted(folder.glob("*.tar.gz"))
    if len(wheels) != 1 or len(sources) != 1 or len(list(folder.iterdir())) != 2:
        names = sorted(path.name for path in folder.iterdir())
        sys.exit(f"{folder} must have one wheel and one source distribution and nothing else, it has {names}")
    return wheels[0].resolve(), sources[0].resolve()


def check_content(wheel: Path) -> None:
    """Check that a wheel has what is not Python, and nothing of other packages."""
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "udacity_gym/py.typed",
        "udacity_gym/world/tracks/lake.json",
        "udacity_gym/evaluation/templates/report.html",
        "udacity_gym/cockpit/static/index.html",
        "udacity_gym/pretrained/lake/policy.safetensors",
        "algorithms/__init__.pyi",
    ):
        if needed not in names:
            sys.exit(f"{wheel.name} lacks {needed}")
    if foreign := [name for name in names if not name.startswith(("udacity_gym", "algorithms/"))]:
        sys.exit(f"{wheel.name} has files of other packages: {foreign[:5]}")


def make(folder: Path, python: str) -> Environment:
    """Make an empty environment."""
    environment = Environment(folder)
    subprocess.run([python, "-m", "venv", str(folder / "venv")], check=True)
    return environment


def use_core(environment: Environment) -> None:
    """Check what the core does."""
    expect(
        environment.gym("doctor"), "All checks passed", r"extra train +not installed", r"pip install .*\[rl\]"
    )
    expect(environment.gym("record", "laps", "--seconds", "3"), "frames")
    report = environment.gym(
        "evaluate", "pretrained:lake", "--max-seconds", "5", "--output", "drive", "--no-video"
    )
    expect(report, "The report has no figures", r"\[plot\]")


def check_errors(environment: Environment) -> None:
    """Check that each missing extra is named by what needs it."""
    for name in ("model.onnx", "model.h5"):
        (environment.work / name).touch()
    for extra, words in WITHOUT.items():
        expect(environment.gym(*words, code=2), rf"pip install .*\[{extra}\]")
    expect(environment.gym("demo", code=2), r"pip install .*\[train\]")
    for extra, module in MODULES.items():
        code = f"try: import {module}\nexcept ImportError as error: print(error)"
        expect(environment.run(environment.program("python"), "-c", code), rf"pip install .*\[{extra}\]")


def check_demo(environment: Environment) -> None:
    """Check that training works, and that figures are drawn."""
    expect(
        environment.gym("doctor"), r"extra train +installed", r"extra plot +installed", "All checks passed"
    )
    environment.gym("demo", *DEMO, "--no-video")
    report = (environment.work / "demo-output" / "report.html").read_text(encoding="utf-8")
    expect(report, "<svg")


def check_extras(environment: Environment, extras: Sequence[str]) -> None:
    """Check that the doctor finds the extras, and advises none where it can't live."""
    text = environment.gym("doctor")
    code = (
        "from udacity_gym.installation import EXTRAS\nfor name in EXTRAS: print(name, EXTRAS[name].conflict)"
    )
    for line in environment.run(environment.program("python"), "-c", code).splitlines():
        extra, conflict = line.split(" ", 1)
        if extra in extras or ("all" in extras and conflict == "None"):
            expect(text, rf"extra {extra} +installed")
        elif conflict != "None":
            expect(text, rf"extra {extra} .*\n.*an environment of its own")


def expect(text: str, *patterns: str) -> None:
    """Fail if a text lacks a pattern."""
    for pattern in patterns:
        if re.search(pattern, text) is None:
            sys.exit(f"expected {pattern!r} in\n{text}")


if __name__ == "__main__":
    main()
