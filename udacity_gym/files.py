"""Files that have their name only when they are whole: `replacing`."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from udacity_gym.errors import UdacityGymError


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; what is written there takes its place when the block ends well.

    Whatever ends the block otherwise, Ctrl-C included, leaves the older file as it was and nothing beside
    it. So does a block that removes the temporary file.

    Args:
        path: the file to be; folders above it are made.

    Yields:
        An empty file in the same folder, with the same suffix.

    Raises:
        UdacityGymError: Nothing can be written there.
    """
    path = Path(path)
    # A name of its own for each writer: two that write the same file don't write into each other's.
    part = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.touch(exist_ok=False)
    except OSError as error:
        raise UdacityGymError(
            f"can't write {path}: {error.strerror}; choose a place that can be written to"
        ) from error
    try:
        yield part
        if part.exists():
            os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise
