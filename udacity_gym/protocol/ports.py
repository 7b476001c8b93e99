"""Which program listens on a TCP port."""

from __future__ import annotations

import os
from pathlib import Path


def listener(port: int) -> str | None:
    """Find the process that listens on a TCP port; only Linux shows it.

    Returns:
        Its name and process ID, such as "python (process 123)"; None if it can't be found.
    """
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").glob("[0-9]*") if inodes else ():
        if inodes & _open_files(process):
            command = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
            return f"{command} (process {process.name})"
    return None


def _open_files(process: Path) -> set[str]:
    """List what a process has open; empty if the process is another user's or has just ended."""
    try:
        return {_target(handle) for handle in (process / "fd").iterdir()}
    except OSError:
        return set()


def _target(link: Path) -> str:
    """Read a link; empty if it has just been closed."""
    try:
        return os.readlink(link)
    except OSError:
        return ""
