"""Where verbs put their results: places that destroy nothing, are tried first, and leave nothing empty."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from udacity_gym.errors import OptionError

VIDEO = ".webm"


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Make a folder that nobody else has: ``path``, or the first of ``path-2``, ``path-3`` that is free.

    If the block fails, what is empty of it goes away again; on Ctrl-C, the message says what remains.

    Raises:
        OptionError: No folder can be made there.
    """
    if path.name in ("", ".."):
        raise OptionError(f"--output must name a folder to make, got {str(path)!r}")
    check_writable(path.parent, "--output")
    for number in itertools.count(1):
        folder = path if number == 1 else path.with_name(f"{path.name}-{number}")
        with no_empty_folders(folder):
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                continue
            try:
                yield folder
            except KeyboardInterrupt as stop:
                if any(file.is_file() for file in folder.rglob("*")) and not stop.args:
                    raise KeyboardInterrupt(f"what was finished until then is in {folder}") from None
                raise
            return


@contextmanager
def new_video(path: Path) -> Iterator[Path]:
    """Find a name for a video that nobody has: ``x.webm``, or the first of ``x-2.webm``, ``x-3.webm``.

    Raises:
        OptionError: Nothing can be written there.
    """
    check_writable(path.parent, "--output")
    stem = path.name.removesuffix(VIDEO)
    suffix = path.name[len(stem) :]
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{stem}-{number}{suffix}")
    with no_empty_folders(path.parent):
        yield free


@contextmanager
def no_empty_folders(folder: Path) -> Iterator[None]:
    """If the block fails, remove empty folders that it made: above ``folder``, it, and within it."""
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        yield
    except BaseException:
        within = sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True) if made else []
        for place in (*within, *made):
            with suppress(OSError):  # not empty, or never made
                place.rmdir()
        raise


def check_writable(folder: Path, option: str) -> None:
    """Try whether a folder can be written to, or made, before hours of work are lost for it.

    Args:
        folder: need not exist.
        option: what names it on the command line.

    Raises:
        OptionError: It can't.
    """
    try:
        place = next(p for p in (folder, *folder.absolute().parents) if p.exists())
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise OptionError(
            f"{folder.absolute()} can't be written to ({error.strerror}); choose another {option}"
        ) from error
