"""Storage of a recording: a folder or a zip file.

Files are asked for by names that a listing gave, never by a path that a log holds. So ``..``, absolute
paths, links and the names of zip members can't lead out of the recording. Sizes are bounded before
anything is read, so that a small zip file can't fill the memory.
"""

from __future__ import annotations

import io
import lzma
import os
import stat
import struct
import threading
import zipfile
import zlib
from abc import ABC, abstractmethod
from pathlib import Path, PurePosixPath
from typing import IO, Any

from udacity_gym.errors import RecordingError

LOG_LIMIT = 1 << 29
"""Bytes; a log of two million rows, forty hours of driving, has about as many."""
IMAGE_LIMIT = 1 << 25
"""Bytes of an image's file; Udacity's have 12 thousand."""
UNPACKING_LIMIT = 200
"""Times its size that a zip member of more than a megabyte may unpack to; logs reach some twenty."""
SIDE_FILE_LIMIT = 1 << 28
"""Maximum size of a side file in a zip file, bytes."""

UNREADABLE = (
    OSError,
    EOFError,
    RuntimeError,
    UnicodeDecodeError,  # of a name in a zip file
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
)
"""Exceptions of reading a file, also for broken and encrypted members of zip files."""


class Storage(ABC):
    """A folder with a log, its images in subfolders, and other files.

    Names are relative to it, with ``/`` between folder and file.

    Attributes:
        path: path for messages.
    """

    path: Path

    @abstractmethod
    def listing(self, subfolder: str = "") -> Listing:
        """List a subfolder such as ``"IMG/"``, or the folder itself, ``""``."""

    @abstractmethod
    def open(self, name: str, limit: int) -> IO[bytes]:
        """Open a file for sequential reading.

        Raises:
            RecordingError: It has more than ``limit`` bytes, or can't be read.
        """

    @abstractmethod
    def file(self, name: str) -> Path:
        """The path of a file.

        Raises:
            RecordingError: The file is inside of a zip file.
        """

    @abstractmethod
    def open_to_seek(self, name: str) -> IO[bytes]:
        """Open a file for random access."""

    def read(self, name: str, limit: int = IMAGE_LIMIT) -> bytes:
        """Read a whole file.

        Raises:
            RecordingError: It has more than ``limit`` bytes, or can't be read.
        """
        with self.open(name, limit) as file:
            try:
                data = file.read(limit + 1)
            except UNREADABLE as error:
                raise RecordingError(f"{self.path / name} can't be read: {_reason(error)}") from error
        if len(data) > limit:
            raise _too_large(self.path / name, limit)
        return data


class Listing:
    """Contents of a folder.

    Attributes:
        files: names of files.
        folders: names of folders.
        links_out: names of links that lead out of the recording.
    """

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.folders: set[str] = set()
        self.links_out: set[str] = set()


class FolderStorage(Storage):
    """A folder of the file system. Links inside the folder are followed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._root = path.resolve()

    def listing(self, subfolder: str = "") -> Listing:
        """List a subfolder or the folder itself."""
        listing = Listing()
        with os.scandir(self.path / subfolder) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    listing.files.add(entry.name)
                else:
                    self._sort_in(entry, listing)
        return listing

    def _sort_in(self, entry: os.DirEntry[str], listing: Listing) -> None:
        try:
            if entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(self._root):
                listing.links_out.add(entry.name)
            elif entry.is_dir():
                listing.folders.add(entry.name)
            elif entry.is_file():
                listing.files.add(entry.name)
        except (OSError, RuntimeError):  # a loop of links, or no permission
            listing.links_out.add(entry.name)

    def open(self, name: str, limit: int) -> IO[bytes]:
        """Open a file for sequential reading."""
        path = self.path / name
        try:
            file = path.open("rb")
        except OSError as error:
            raise RecordingError(f"{path} can't be read: {_reason(error)}") from error
        if os.fstat(file.fileno()).st_size > limit:
            file.close()
            raise _too_large(path, limit)
        return file

    def read(self, name: str, limit: int = IMAGE_LIMIT) -> bytes:
        """Read a whole file.

        This is what loading images spends its time with outside of the decoder, hence no file object.
        """
        try:
            file = os.open(f"{self.path}/{name}", os.O_RDONLY | getattr(os, "O_BINARY", 0))
            try:
                size = os.fstat(file).st_size
                if size > limit:
                    raise _too_large(self.path / name, limit)
                # As many bytes as were counted: asking for the limit would reserve the limit's memory.
                return os.read(file, size)
            finally:
                os.close(file)
        except OSError as error:
            raise RecordingError(f"{self.path / name} can't be read: {_reason(error)}") from error

    def open_to_seek(self, name: str) -> IO[bytes]:
        """Open a file for random access."""
        return self.open(name, 1 << 62)

    def file(self, name: str) -> Path:
        """The path of a file."""
        return self.path / name


class ZipStorage(Storage):
    """A folder in a zip file, read without unpacking to the disk.

    Can be used by several threads, and pickled.

    Args:
        archive: the zip file.
        folder: the folder in it, ``""`` or ending with ``/``.
    """

    def __init__(self, archive: Path, folder: str = "") -> None:
        self.archive = archive
        self.folder = folder
        self.path = archive / folder if folder else archive
        self._lock = threading.Lock()
        self._zip: zipfile.ZipFile | None = None
        self._process = -1

    def listing(self, subfolder: str = "") -> Listing:
        """List a subfolder or the folder itself."""
        listing = Listing()
        start = self.folder + subfolder
        for info in self._open().infolist():
            name = info.filename
            if not name.startswith(start) or not is_plain(name):
                continue
            first, slash, _ = name[len(start) :].partition("/")
            if slash:
                listing.folders.add(first)
            elif first and stat.S_ISLNK(info.external_attr >> 16):
                listing.links_out.add(first)
            elif first:
                listing.files.add(first)
        return listing

    def logs(self, name: str) -> list[str]:
        """Folders of this archive, nearest to its top first, that have a file of this name."""
        paths = [PurePosixPath(n) for n in self._open().namelist() if n.endswith(name) and is_plain(n)]
        folders = [path.parent for path in paths if path.name == name]
        folders.sort(key=lambda path: (len(path.parts), str(path)))
        return ["" if str(path) == "." else f"{path}/" for path in folders]

    def tables(self) -> list[str]:
        """All CSV files of this archive, sorted."""
        return sorted(n for n in self._open().namelist() if n.lower().endswith(".csv") and is_plain(n))

    def open(self, name: str, limit: int) -> IO[bytes]:
        """Open a file for sequential reading."""
        try:
            info = self._open().getinfo(self.folder + name)
            if info.file_size > limit:  # the reader never gets more than this number says
                raise _too_large(self.path / name, limit)
            if info.file_size > max(1 << 20, UNPACKING_LIMIT * info.compress_size):
                raise RecordingError(
                    f"{self.path / name} would unpack from {info.compress_size:,} to {info.file_size:,} "
                    "bytes, as nothing of a recording does"
                )
            return self._open().open(info)
        except (KeyError, *UNREADABLE) as error:
            raise RecordingError(f"{self.path / name} can't be read: {_reason(error)}") from error

    def open_to_seek(self, name: str) -> IO[bytes]:
        """Open a file for random access, unpacked in memory."""
        return io.BytesIO(self.read(name, SIDE_FILE_LIMIT))

    def file(self, name: str) -> Path:
        """Raise an error: a file in a zip file has no path."""
        raise RecordingError(
            f"{self.path / name} is inside of a zip file and has no path of its own; read its images "
            "with image(), or unpack the zip file and open the folder"
        )

    def _open(self) -> zipfile.ZipFile:
        with self._lock:
            # After a fork, parent and child would move each other's position in the file.
            if self._zip is None or self._process != os.getpid():
                try:
                    self._zip = zipfile.ZipFile(self.archive)
                except UNREADABLE as error:
                    raise RecordingError(f"{self.archive} can't be read: {_reason(error)}") from error
                self._process = os.getpid()
            return self._zip

    def __getstate__(self) -> dict[str, Any]:
        return {"archive": self.archive, "folder": self.folder}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


def is_plain(name: str) -> bool:
    """Whether a zip member's name leads nowhere else and is no leftover of macOS."""
    if name.startswith(("/", "__MACOSX/")) or "\\" in name or "\0" in name:
        return False
    parts = name.split("/")
    return ".." not in parts and not parts[-1].startswith("._")


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error.args[0]) if error.args else type(error).__name__


def _too_large(path: Path, limit: int) -> RecordingError:
    return RecordingError(f"{path} has more than {limit:,} bytes, which nothing of a recording has")
