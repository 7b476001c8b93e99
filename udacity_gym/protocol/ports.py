"""Which program listens on a TCP port, and who connects to it."""

from __future__ import annotations

import http.client
import os
import socket
import time
from pathlib import Path
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["udacity-gym", "driver", "web server", "unknown"]
"""What listens: our environment, another Socket.IO server (a drive.py), a web server, something else."""

_TIMEOUT = 2.0
"""s within which a program must answer."""
_LISTENS, _ESTABLISHED = "0A", "01"
"""States of a connection in Linux' tables."""


def listener(port: int) -> str | None:
    """Find the process that listens on a TCP port; only Linux shows it.

    Returns:
        Its name and process ID, such as "python drive.py (process 123)"; None if it can't be found.
    """
    inodes = {f"socket:[{inode}]" for state, inode in _connections(port) if state == _LISTENS}
    for process in Path("/proc").glob("[0-9]*") if inodes else ():
        if inodes & _open_files(process):
            return f"{_command(process)} (process {process.name})"
    return None


def count_clients(port: int) -> int:
    """Count the clients that are connected to a port of this machine; 0 where the system does not show it."""
    return sum(state == _ESTABLISHED for state, _ in _connections(port))


def identify(port: int, host: str = "127.0.0.1") -> Kind:
    """Find out what kind of program listens on a port.

    It is asked about a session that does not exist, so that a driver does not take this for a simulator.

    Args:
        port: port on which something listens.
        host: its address.
    """
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT)
    try:
        connection.request("GET", "/")
        if b"udacity-gym" in connection.getresponse().read(1000):
            return "udacity-gym"
        connection.close()
        connection.request("GET", "/socket.io/?EIO=4&transport=polling&sid=nobody")
        answer = connection.getresponse().read(1000).lower()
        # "Invalid session nobody" of Python's servers, "Session ID unknown" of JavaScript's.
        return "driver" if b"session" in answer else "web server"
    except (OSError, http.client.HTTPException):
        return "unknown"
    finally:
        connection.close()


def wait_for_knock(port: int, seconds: float, host: str = "127.0.0.1") -> str | None:
    """Listen on a port until a client connects, which is then hung up on.

    Args:
        port: a free port.
        seconds: s to listen. Udacity's simulator tries every few ms, ours every second.
        host: address to listen on.

    Returns:
        "a simulator", or the first line of another program's request; None if there was no client.

    Raises:
        OSError: The port is not free.
    """
    end = time.monotonic() + seconds
    with socket.create_server((host, port), reuse_port=False) as server:
        while (remaining := end - time.monotonic()) > 0:
            server.settimeout(remaining)
            try:
                client, _ = server.accept()
            except TimeoutError:
                return None
            with client:
                client.settimeout(_TIMEOUT)
                try:
                    request = client.recv(4000).decode("latin-1")
                except OSError:
                    continue
            is_simulator = request.startswith("GET /socket.io/") and "upgrade: websocket" in request.lower()
            return "a simulator" if is_simulator else request.partition("\r\n")[0][:80]
    return None


def _connections(port: int) -> list[tuple[str, str]]:
    """State and inode of connections with a port at this end; empty where the system does not show them."""
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port:
                found.append((fields[3], fields[9]))
    return found


def _command(process: Path) -> str:
    """Name of a program; of an interpreter also the script that it runs."""
    name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
    arguments = (process / "cmdline").read_text(encoding="utf-8", errors="replace").split("\0")
    scripts = [Path(argument).name for argument in arguments[1:] if argument.endswith((".py", ".js"))]
    return " ".join([name, *scripts[:1]])


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
