"""Output folders and files: never overwrite, check for write access first, leave nothing empty behind."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from udacity_gym.errors import OptionError

VIDEO_SUFFIXES = (".webm", ".mp4")


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Make a new folder: ``path``, or the first of ``path-2``, ``path-3`` that does not exist.

    If the block fails, empty folders are removed. On Ctrl-C, the message names the folder that remains.

    Raises:
        OptionError: The folder can't be made.
    """
    if path.name in ("", ".."):
        raise OptionError(f"--output must be the path of a new folder, got {str(path)!r}")
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
                    raise KeyboardInterrupt(f"the results so far are in {folder}") from None
                raise
            return


@contextmanager
def new_video(path: Path) -> Iterator[Path]:
    """Choose a new file name for a video: ``x.webm``, or the first of ``x-2.webm``, ``x-3.webm``.

    Raises:
        OptionError: The folder is not writable.
    """
    check_writable(path.parent, "--output")
    stem = path.stem if path.suffix.lower() in VIDEO_SUFFIXES else path.name
    suffix = path.name[len(stem) :]
    number, new_path = 1, path
    while new_path.exists():
        number += 1
        new_path = path.with_name(f"{stem}-{number}{suffix}")
    with no_empty_folders(path.parent):
        yield new_path


@contextmanager
def no_empty_folders(folder: Path) -> Iterator[None]:
    """If the block fails, remove the empty folders that it made: ``folder``, its parents, its subfolders."""
    new_folders = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    except BaseException:
        subfolders = sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True) if new_folders else []
        for path in (*subfolders, *new_folders):
            with suppress(OSError):  # not empty, or not made
                path.rmdir()
        raise


def check_writable(folder: Path, option: str) -> None:
    """Check that a folder is writable, or can be made, before hours of work are lost.

    Args:
        folder: the folder; need not exist.
        option: name of the command-line option, for the message.

    Raises:
        OptionError: The folder is not writable.
    """
    try:
        existing_folder = next(p for p in (folder, *folder.absolute().parents) if p.exists())
        with tempfile.TemporaryFile(dir=existing_folder):
            pass
    except OSError as error:
        raise OptionError(
            f"{folder.absolute()} can't be written to ({error.strerror}); choose another {option}"
        ) from error
