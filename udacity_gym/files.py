"""Files that have their name only when they are whole, hashes of files, and where a policy's are."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from udacity_gym.errors import UdacityGymError


@contextlib.contextmanager
def replacing(path: str | Path, error: type[UdacityGymError] = UdacityGymError) -> Iterator[Path]:
    """Give a temporary path beside ``path``; what is written there takes its place when the block ends well.

    Whatever ends the block otherwise, Ctrl-C included, leaves the older file as it was and nothing beside
    it. So does a block that removes the temporary file.

    Args:
        path: the file to be; folders above it are made.
        error: what to raise where nothing can be written.

    Yields:
        An empty file in the same folder, with the same suffix.

    Raises:
        UdacityGymError: or ``error``: nothing can be written there, or the block ends with an OSError, for
            example because the disk is full.
    """
    path = Path(path)
    # A name of its own for each writer: two that write the same file don't write into each other's.
    part = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.part{path.suffix}")
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
        part.touch(exist_ok=False)
        yield part
        with contextlib.suppress(FileNotFoundError):  # the block has removed it
            os.replace(part, path)
    except OSError as problem:
        raise error(
            f"{path} can't be written: {problem.strerror or problem}; make room, or choose another place"
        ) from problem
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def write_whole(
    path: str | Path, content: str | bytes, error: type[UdacityGymError] = UdacityGymError
) -> Path:
    """Write a file, whole or not at all: bytes as they are, text in UTF-8 with its own ends of lines.

    Returns:
        The path of the file.

    Raises:
        UdacityGymError: or ``error``: it can't be written there, for example because the disk is full.
    """
    with replacing(path, error) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
    return Path(path)


LOCK = ".lock"
"""Name of the file that marks a folder as in use."""


@contextlib.contextmanager
def using_folder(folder: str | Path) -> Iterator[None]:
    """Refuse any other run in a folder while the block runs, on whatever machine that sees it.

    The lock is the operating system's, so that a run that was killed leaves a file at most, no lock.

    Args:
        folder: the folder; made if missing.

    Raises:
        UdacityGymError: Another run uses the folder, or it can't be written.
    """
    from filelock import FileLock, Timeout

    path = Path(folder) / LOCK
    lock = FileLock(path, timeout=0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise UdacityGymError(
            f"another run is writing to {folder}; wait until it has ended, or choose another folder"
        ) from None
    except NotImplementedError:  # a file system without locks
        yield
        return
    except OSError as problem:
        raise UdacityGymError(
            f"{folder} can't be written: {problem.strerror or problem}; make room, or choose another place"
        ) from problem
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()  # while it is locked, so that nobody else's is deleted
        lock.release()


def digest_of(path: str | Path) -> str | None:
    """A hash of what is in a file, or in all files of a folder, in the order of their paths.

    Returns:
        16 hexadecimal digits; None if there is no file.
    """
    path = Path(path)
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    if not files:
        return None
    found = hashlib.sha256()
    for file in files:
        found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()[:16]


def find_policy(path: Path) -> Path:
    """The checkpoint in a folder: the folder itself, or ``policy`` in the folder of a training or a demo."""
    for folder in (path, path / "policy", path / "training" / "policy"):
        if (folder / "policy.json").is_file():
            return folder
    return path
