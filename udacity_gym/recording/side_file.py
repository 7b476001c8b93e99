"""Side file of a recording: data without a column in Udacity's format, a JSON object per frame."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udacity_gym.errors import RecordingError
from udacity_gym.recording.storage import UNREADABLE, Storage

SIDE_FILE = "frames.jsonl"
"""Name of the file. Every line has the name of its frame's centre image under "image"."""

LONGEST_LINE = 1 << 20
"""Maximum size of a line, bytes; longer lines are ignored."""

_START = b'{"image": "'


class SideFile:
    """Look up the entries of frames by the name of their centre image.

    The first access builds an index of the file; a line is read on access. Incomplete lines are ignored.

    Args:
        storage: storage of the recording.
        name: name of the file, None if there is none.
    """

    def __init__(self, storage: Storage, name: str | None) -> None:
        self._storage = storage
        self._name = name
        self._index: tuple[NDArray[np.bytes_], NDArray[np.int64]] | None = None

    def get(self, image: str) -> dict[str, Any]:
        """Entry of the frame whose centre image has this file name; {} if there is none.

        Raises:
            RecordingError: The file can't be read.
        """
        if self._name is None:
            return {}
        if self._index is None:
            self._index = self._find_lines(self._name)
        names, offsets = self._index
        key = image.encode()
        position = int(np.searchsorted(names, key, side="right")) - 1
        if position < 0 or names[position] != key:
            return {}
        with self._storage.open_to_seek(self._name) as file:
            file.seek(int(offsets[position]))
            entry = _entry(file.readline(LONGEST_LINE))
        entry.pop("image", None)
        return entry

    def entries(self, images: Container[bytes] | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        """All entries in the order of the file, with the name of the centre image.

        Args:
            images: encoded names of images; other lines are not parsed. None for all.

        Raises:
            RecordingError: The file can't be read.
        """
        if self._name is None:
            return
        try:
            with self._storage.open_to_seek(self._name) as file:
                while line := file.readline(LONGEST_LINE):
                    if images is not None and _image(line) not in images:
                        continue
                    entry = _entry(line)
                    image = entry.pop("image", None)
                    if isinstance(image, str):
                        yield image, entry
        except UNREADABLE as error:
            raise RecordingError(f"{self._storage.path / self._name} can't be read: {error}") from error

    def _find_lines(self, name: str) -> tuple[NDArray[np.bytes_], NDArray[np.int64]]:
        """Sorted names of images, and the offsets of their lines; the last line of a name counts."""
        names, offsets, offset = [], [], 0
        try:
            with self._storage.open_to_seek(name) as file:
                while line := file.readline(LONGEST_LINE):
                    image = _image(line)
                    if image is not None:
                        names.append(image)
                        offsets.append(offset)
                    offset += len(line)
        except UNREADABLE as error:
            raise RecordingError(f"{self._storage.path / name} can't be read: {error}") from error
        keys = np.array(names, dtype="S") if names else np.empty(0, "S1")
        order = np.argsort(keys, kind="stable")
        return keys[order], np.array(offsets, np.int64)[order]


def _image(line: bytes) -> bytes | None:
    """Name of the image in a complete line; lines in our own format are not parsed."""
    if not line.rstrip().endswith(b"}"):
        return None
    end = line.find(b'"', len(_START))
    name = line[len(_START) : end]
    if line.startswith(_START) and end > 0 and b"\\" not in name:
        return name
    image = _entry(line).get("image")
    return image.encode() if isinstance(image, str) else None


def _entry(line: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return entry if isinstance(entry, dict) else {}
