"""What Udacity's format has no column for: one JSON object per frame, beside the log."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udacity_gym.errors import RecordingError
from udacity_gym.recording.storage import UNREADABLE, Storage

SIDE_FILE = "frames.jsonl"
"""The file's name; every line has the name of its frame's centre image under "image"."""

LONGEST_LINE = 1 << 20
"""Bytes; longer lines are passed over."""

_START = b'{"image": "'


class SideFile:
    """Finds what is known of a frame by the name of its centre image.

    Before the first question nothing is read; then the file is gone through once for where each line
    is, and a line is read when it is asked for. Lines that were cut off are passed over.

    Args:
        storage: where the file is.
        name: its name there, None where there is none.
    """

    def __init__(self, storage: Storage, name: str | None) -> None:
        self._storage = storage
        self._name = name
        self._index: tuple[NDArray[np.bytes_], NDArray[np.int64]] | None = None

    def get(self, image: str) -> dict[str, Any]:
        """What is known of the frame whose centre image has this file name; {} if nothing.

        Raises:
            RecordingError: The file can't be read.
        """
        if self._name is None:
            return {}
        if self._index is None:
            self._index = self._find_lines(self._name)
        names, places = self._index
        key = image.encode()
        at = int(np.searchsorted(names, key, side="right")) - 1
        if at < 0 or names[at] != key:
            return {}
        with self._storage.open_to_seek(self._name) as file:
            file.seek(int(places[at]))
            entry = _entry(file.readline(LONGEST_LINE))
        entry.pop("image", None)
        return entry

    def entries(self, images: Container[bytes] | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        """What the file has, in its order: the name of a frame's image, and what is known of it.

        Args:
            images: encoded names of images; lines about others are not even parsed. None takes all.

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
        """Names of images, sorted, and where in the file their lines begin; the last of a name counts."""
        names, places, place = [], [], 0
        try:
            with self._storage.open_to_seek(name) as file:
                while line := file.readline(LONGEST_LINE):
                    image = _image(line)
                    if image is not None:
                        names.append(image)
                        places.append(place)
                    place += len(line)
        except UNREADABLE as error:
            raise RecordingError(f"{self._storage.path / name} can't be read: {error}") from error
        keys = np.array(names, dtype="S") if names else np.empty(0, "S1")
        order = np.argsort(keys, kind="stable")
        return keys[order], np.array(places, np.int64)[order]


def _image(line: bytes) -> bytes | None:
    """The image that a whole line is about, without parsing the line if it is one of ours."""
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
