"""Virtual environments for programs of others, whose versions do not go together with ours."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path


def make_environment(name: str, *requirements: str, folder: Path | None = None) -> Path:
    """Make a virtual environment, once: it is kept, as what is in it does not change.

    Args:
        name: what it is called.
        requirements: what pip installs into it.
        folder: where it is; None takes a place for temporary files.

    Returns:
        Its Python.
    """
    folder = folder or Path(tempfile.gettempdir()) / f"udacity-gym-{name}"
    python = folder.joinpath(*(("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")))
    ready = folder / "ready"
    if not ready.exists():
        print(f"installing {' '.join(requirements)} into {folder}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *requirements], check=True)
        ready.touch()
    return python
