"""What an installation takes: packages, megabytes and seconds, without extras and with them.

Each row is an installation of the wheel into an empty virtual environment. The packages are downloaded first,
so that the seconds are pip's work on this machine, whatever its network. Versions are those of
constraints.txt. What pip downloads depends on its configuration, too: on Linux, torch has CUDA in it, and

    PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu python benchmarks/install_size.py

measures the build for CPUs.

    python benchmarks/install_size.py                         the rows of docs/install.md
    python benchmarks/install_size.py "" train train,plot     these combinations of extras
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
COMBINATIONS = ("", "plot", "cockpit", "train", "train,plot", "all")


@dataclass(frozen=True)
class Size:
    """What an installation takes.

    Attributes:
        extras: the extras, separated by commas.
        packages: number of installed packages, this one included.
        download: MB of their wheels.
        size: MB in ``site-packages``.
        seconds: s that pip takes to install the downloaded wheels.
        largest: the largest entries of ``site-packages`` and their MB.
    """

    extras: str
    packages: int
    download: float
    size: float
    seconds: float
    largest: tuple[tuple[str, float], ...]


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("extras", nargs="*", help='combinations such as "" or train,plot')
    parser.add_argument("--constraint", type=Path, default=ROOT / "constraints.txt", help="versions")
    parser.add_argument("--source", type=Path, default=ROOT, help="source folder of the project")
    options = parser.parse_args(arguments)
    print("| extras | packages | download | on disk | installed in | largest |")
    print("|---|---:|---:|---:|---:|---|")
    with tempfile.TemporaryDirectory() as scratch:
        wheel = build_wheel(options.source, Path(scratch))
        for extras in options.extras or COMBINATIONS:
            with tempfile.TemporaryDirectory() as folder:
                print(row(measure(wheel, extras, options.constraint, Path(folder))), flush=True)


def row(size: Size) -> str:
    """A line of the table."""
    largest = ", ".join(f"{name} {megabytes:.0f}" for name, megabytes in size.largest)
    return (
        f"| {size.extras or 'none'} | {size.packages} | {size.download:.0f} MB | {size.size:.0f} MB | "
        f"{size.seconds:.0f} s | {largest} |"
    )


def build_wheel(source: Path, folder: Path) -> Path:
    """Build the wheel of a source folder."""
    pip(sys.executable, "wheel", "--no-deps", "--wheel-dir", str(folder), str(source))
    return next(folder.glob("udacity_gym-*.whl"))


def measure(wheel: Path, extras: str, constraint: Path, folder: Path) -> Size:
    """Install a wheel with extras into an empty environment, and use it."""
    requirement = f"{wheel}[{extras}]" if extras else str(wheel)
    wheels = folder / "wheels"
    pip(sys.executable, "download", "--constraint", str(constraint), "--dest", str(wheels), requirement)
    python = make_environment(folder / "venv")
    offline = ("--no-index", "--find-links", str(wheels))
    before = time.perf_counter()
    pip(python, "install", "--constraint", str(constraint), *offline, requirement)
    seconds = time.perf_counter() - before
    code = "import gymnasium, udacity_gym; gymnasium.make('UdacitySim-v0')"
    subprocess.run([python, "-c", code], check=True, cwd=folder, stdout=subprocess.DEVNULL)
    packages = next((folder / "venv").glob("**/site-packages"))
    sizes = {path.name: megabytes(path) for path in packages.iterdir() if not is_pip(path.name)}
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:4]
    count = sum(name.endswith(".dist-info") for name in sizes)
    return Size(extras, count, megabytes(wheels), sum(sizes.values()), seconds, tuple(largest))


def make_environment(folder: Path) -> str:
    """Make an empty virtual environment with pip, and return its Python."""
    venv.create(folder, with_pip=True)
    scripts = "Scripts" if sys.platform == "win32" else "bin"
    return str(folder / scripts / "python")


def pip(python: str, *arguments: str) -> None:
    """Run pip quietly; its errors are shown."""
    subprocess.run([python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments], check=True)


def is_pip(name: str) -> bool:
    """Whether an entry of ``site-packages`` belongs to the empty environment."""
    return name.partition("-")[0] in ("pip", "setuptools", "_distutils_hack", "pkg_resources", "__pycache__")


def megabytes(path: Path) -> float:
    """Size of a file or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


if __name__ == "__main__":
    main()
