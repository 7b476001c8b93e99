"""Pictures of a recording: where they are, and what is in them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from udacity_gym.errors import RecordingError
from udacity_gym.telemetry import Image

_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_JPEG_OPTIONS = (
    cv2.IMWRITE_JPEG_QUALITY,
    75,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
)
_PNG_START, _PNG_END = b"\x89PNG", b"IEND"


class ImageFolder:
    """Finds pictures by name in a recording's folder, and nowhere else.

    A log keeps the paths of the machine that recorded it. Of such a path the file name counts, and
    the name of the last folder: the picture is looked for in that folder beside the log, in ``IMG/``
    beside the log, and beside the log. Each folder is listed once.

    Args:
        folder: the recording's folder.

    Attributes:
        links_out: entries beside the log that are links to something outside of the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._root = folder.resolve()
        self._subfolders: dict[str, str] = {}
        self.links_out: list[str] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                if self._is_inside(entry, "dir"):
                    self._subfolders[entry.name.casefold()] = entry.name
                elif entry.is_symlink():
                    self.links_out.append(entry.name)
        self._names: dict[str, set[str]] = {}
        self._outside: dict[str, set[str]] = {}
        self._places: dict[str, list[tuple[str, set[str]]]] = {}

    def find(self, wanted: Iterable[tuple[str, str]]) -> list[str]:
        """Where pictures are.

        Args:
            wanted: (folder part, file name) of paths in the log, in any system's writing.

        Returns:
            Paths relative to the recording's folder, "" for pictures that aren't there.
        """
        found = []
        for folder, name in wanted:
            places = self._places.get(folder)
            if places is None:
                places = self._places[folder] = [(p, self._names[p]) for p in self._look_in(folder)]
            for place, names in places:
                if name in names:
                    found.append(place + name)
                    break
            else:
                found.append("")
        return found

    def leads_outside(self, folder: str, name: str) -> bool:
        """Whether the picture is a link to something outside of the recording's folder."""
        return any(name in self._outside[place] for place in self._look_in(folder))

    def side_file(self, name: str) -> Path | None:
        """A file beside the log, None if it isn't there or leads out of the recording."""
        path = self.folder / name
        return path if path.is_file() and path.resolve().is_relative_to(self._root) else None

    def unlisted(self, used: Iterable[str]) -> list[str]:
        """Pictures in the folders looked at that are not among ``used``, which were all found; sorted."""
        mentioned = set(used)
        if len(mentioned) == sum(map(len, self._names.values())):
            return []
        there = {place + name for place, names in self._names.items() for name in names}
        return sorted(there - mentioned)

    def _look_in(self, folder: str) -> tuple[str, ...]:
        last = folder.replace("\\", "/").rstrip("/").rpartition("/")[2].casefold()
        places = [f"{self._subfolders[name]}/" for name in (last, "img") if name in self._subfolders]
        places = list(dict.fromkeys([*places, ""]))
        for place in places:
            if place not in self._names:
                self._list(place)
        return tuple(places)

    def _list(self, place: str) -> None:
        inside, outside = set(), set()
        with os.scandir(self.folder / place) as entries:
            for entry in entries:
                if not is_image_name(entry.name):
                    continue
                if self._is_inside(entry, "file"):
                    inside.add(entry.name)
                elif entry.is_symlink():
                    outside.add(entry.name)
        self._names[place], self._outside[place] = inside, outside

    def _is_inside(self, entry: os.DirEntry[str], what: str) -> bool:
        """Whether an entry is a plain file (or folder), and no link that leads out of the recording."""
        try:
            if not (entry.is_dir() if what == "dir" else entry.is_file()):
                return False
            return not entry.is_symlink() or Path(entry.path).resolve().is_relative_to(self._root)
        except (OSError, RuntimeError):  # a loop of links, or no permission
            return False


def is_image_name(name: str) -> bool:
    """Whether a file name ends like a picture's."""
    return name.lower().endswith((".jpg", ".jpeg", ".png"))


def read_image(path: Path) -> Image:
    """Read a picture.

    Args:
        path: a JPEG or PNG file.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        RecordingError: The file is gone, cut off, or no picture.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RecordingError(f"{path} can't be read: {error.strerror or error}") from error
    if not data:
        raise RecordingError(f"{path} is empty")
    # Decoders fill the missing part of a picture that was cut off with grey, and say nothing.
    for start, end in ((_JPEG_START, _JPEG_END), (_PNG_START, _PNG_END)):
        if data.startswith(start):
            if end not in data[-64:].rstrip(b"\0"):
                raise RecordingError(f"{path} is cut off after {len(data)} bytes")
            break
    else:
        raise RecordingError(f"{path} is no picture: neither JPEG nor PNG")
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise RecordingError(f"{path} can't be decoded")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def encode_jpeg(image: Image) -> bytes:
    """Encode a picture as Udacity's simulator does: JPEG, quality 75, chroma 4:2:0.

    Args:
        image: (height, width, 3) uint8 RGB.

    Returns:
        The bytes of a JFIF file; tables and header are those of the simulator's own pictures.

    Raises:
        RecordingError: OpenCV can't encode it.
    """
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), _JPEG_OPTIONS)
    if not ok:
        raise RecordingError(f"a picture of shape {image.shape} can't be encoded as JPEG")
    return data.tobytes()
