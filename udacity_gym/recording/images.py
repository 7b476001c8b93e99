"""Images of a recording: find, decode, encode and scale them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from udacity_gym.errors import OptionError, RecordingError
from udacity_gym.recording.storage import Listing, Storage
from udacity_gym.telemetry import Image

MOST_PIXELS = 1 << 24
"""Of an image; Udacity's have 51,200."""

JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_READ_RGB: int = getattr(cv2, "IMREAD_COLOR_RGB", 0)  # since OpenCV 4.10
_JPEG_OPTIONS = (
    cv2.IMWRITE_JPEG_QUALITY,
    75,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
)
PNG_START, _PNG_END = b"\x89PNG", b"IEND"


class ImageFolder:
    """Find images by name in the folder of a recording.

    A log keeps the paths of the machine that recorded it. An image is searched in the folder that such a
    path ends with, as deep as it exists beside the log: for ``/home/me/drives/lap1/IMG/`` in
    ``drives/lap1/IMG/``, ``lap1/IMG/`` and ``IMG/``. Then it is searched in ``IMG/`` and beside the log.
    Only folders that a listing contains are searched, each is listed once, and links are not followed out
    of the recording.

    Args:
        storage: storage of the recording.

    Attributes:
        links_out: entries beside the log that are links to something outside of the recording.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._top = storage.listing()
        self._listings = {"": self._top}
        self._folders: dict[str, dict[str, str]] = {}
        self.links_out = sorted(self._top.links_out)
        self._names: dict[str, set[str]] = {}
        self._outside: dict[str, set[str]] = {}

    def find(self, folders: Sequence[str], names: Sequence[str]) -> list[str]:
        """Find images.

        Args:
            folders: folder parts of paths in the log, in any system's writing.
            names: file names of the images.

        Returns:
            Paths relative to the recording, "" for missing images.
        """
        subfolders = {folder: self._subfolders_for(folder) for folder in set(folders)}
        if len(subfolders) == 1:
            (subfolder, *_), *_ = subfolders.values()
            if self._names[subfolder].issuperset(names):
                return [subfolder + name for name in names]
        paths = []
        for folder, name in zip(folders, names, strict=True):
            paths.append(next((p + name for p in subfolders[folder] if name in self._names[p]), ""))
        return paths

    def leads_outside(self, folder: str, name: str) -> bool:
        """Whether the image is a link out of the folder of the recording."""
        return any(name in self._outside[subfolder] for subfolder in self._subfolders_for(folder))

    def has(self, name: str) -> bool:
        """Whether there is such a file beside the log; links out of the folder don't count."""
        return name in self._top.files

    def unlisted(self, used: Iterable[str]) -> list[str]:
        """Images in the searched folders that are not in ``used``, sorted."""
        mentioned = set(used)
        if len(mentioned) == sum(map(len, self._names.values())):
            return []
        existing = {subfolder + name for subfolder, names in self._names.items() for name in names}
        return sorted(existing - mentioned)

    def _subfolders_for(self, folder: str) -> tuple[str, ...]:
        """Existing folders in which images of a path are searched, in this order."""
        parts = folder.replace("\\", "/").split("/")
        parts = [part.casefold() for part in parts if part not in ("", ".")]
        ends = [self._existing(parts[start:]) for start in range(len(parts))]
        subfolders = list(dict.fromkeys([*filter(None, ends), *filter(None, [self._existing(["img"])]), ""]))
        for subfolder in subfolders:
            if subfolder not in self._names:
                listing = self._listing(subfolder)
                self._names[subfolder] = {name for name in listing.files if is_image_name(name)}
                self._outside[subfolder] = listing.links_out
        return tuple(subfolders)

    def _existing(self, parts: Sequence[str]) -> str | None:
        """The path of a folder, part by part; None if there is none."""
        path = ""
        for part in parts:
            folders = self._folders.get(path)
            if folders is None:
                folders = {name.casefold(): name for name in sorted(self._listing(path).folders)}
                self._folders[path] = folders
            if part not in folders:
                return None
            path += f"{folders[part]}/"
        return path or None

    def _listing(self, subfolder: str) -> Listing:
        if subfolder not in self._listings:
            self._listings[subfolder] = self.storage.listing(subfolder)
        return self._listings[subfolder]


def is_image_name(name: str) -> bool:
    """Whether a file name has the suffix of an image."""
    return name.endswith((".jpg", ".png")) or name.lower().endswith((".jpg", ".jpeg", ".png"))


def decode_image(data: bytes, path: Path | str) -> Image:
    """Decode an image.

    Args:
        data: content of a JPEG or PNG file.
        path: what messages call it.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        RecordingError: It is cut off, too large, or no image.
    """
    # Decoders fill the missing part of an image that was cut off with grey, and say nothing.
    end = _JPEG_END if data.startswith(JPEG_START) else _PNG_END
    if data.startswith((JPEG_START, PNG_START)) and end not in data[-64:].rstrip(b"\0"):
        raise RecordingError(f"{path} is cut off after {len(data)} bytes")
    check_size(data, path)
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), _READ_RGB or cv2.IMREAD_COLOR)
    if pixels is None:
        raise RecordingError(f"{path} can't be decoded")
    return np.asarray(pixels if _READ_RGB else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def check_size(data: bytes, path: Path | str) -> tuple[int, int]:
    """Read width and height in the header of an image, which is not decoded.

    Args:
        data: content of a JPEG or PNG file.
        path: what messages call it.

    Raises:
        RecordingError: It is too large, or no image.
    """
    if not data:
        raise RecordingError(f"{path} is empty")
    if not data.startswith((JPEG_START, PNG_START)):
        raise RecordingError(f"{path} is no image: neither JPEG nor PNG")
    width, height = _size(data)
    if not width * height:
        raise RecordingError(f"{path} can't be decoded: it has no size")
    if width * height > MOST_PIXELS:  # a file of some kB may say that it unpacks to many GB
        raise RecordingError(f"{path} is too large: {width}x{height} pixels")
    return width, height


def _size(data: bytes) -> tuple[int, int]:
    """Width and height that a JPEG's or PNG's header tells; (0, 0) if it tells none."""
    if data.startswith(PNG_START):
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    at = 2
    while at + 9 <= len(data):
        if data[at] != 0xFF:
            return 0, 0
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return 0, 0


def encode_jpeg(image: Image) -> bytes:
    """Encode an image as Udacity's simulator does: JPEG, quality 75, chroma 4:2:0.

    Args:
        image: (height, width, 3) uint8 RGB.

    Returns:
        The bytes of a JFIF file; tables and header are those of the simulator's own images.

    Raises:
        RecordingError: OpenCV can't encode it.
    """
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), _JPEG_OPTIONS)
    if not ok:
        raise RecordingError(f"an image of shape {image.shape} can't be encoded as JPEG")
    return data.tobytes()


@dataclass(frozen=True)
class Downscale:
    """Crop sky and bonnet, and scale the rest to the size of a network's input.

    Attributes:
        size: (height, width) px of the result; NVIDIA's network takes (66, 200).
        crop: (top, bottom) rows of the image that are kept: ``image[top:bottom]``.

    Raises:
        OptionError: The crop keeps no row.
    """

    size: tuple[int, int] = (66, 200)
    crop: tuple[int, int] = (60, 135)

    def __post_init__(self) -> None:
        check_crop(self.crop)

    def __call__(self, image: Image) -> Image:
        """Prepare an image.

        Args:
            image: (height, width, 3) uint8.

        Returns:
            (*size, 3) uint8.

        Raises:
            OptionError: The crop leaves nothing of it.
        """
        return crop_and_resize(image, self.crop, self.size)


def check_crop(crop: tuple[int, int], height: int | None = None) -> None:
    """Make sure that ``image[top:bottom]`` keeps rows of an image, and only rows that it has.

    Raises:
        OptionError: It doesn't; the message recognises numbers of rows to cut off.
    """
    top, bottom = crop
    if 0 <= top < bottom and (height is None or bottom <= height):
        return
    rows = "an image" if height is None else f"an image of {height} rows"
    hint = (
        f"; to cut off {bottom} rows at the bottom, give ({top}, height - {bottom})" if bottom <= top else ""
    )
    raise OptionError(
        f"crop={crop} must be (top, bottom), the rows of {rows} that are kept: image[top:bottom]{hint}"
    )


def crop_and_resize(
    image: Image, crop: tuple[int, int], size: tuple[int, int], interpolation: int = cv2.INTER_AREA
) -> Image:
    """The rows ``image[top:bottom]``, scaled to (*size, 3) uint8; a view where nothing is to be scaled.

    Raises:
        OptionError: The crop leaves nothing of the image.
    """
    top, bottom = crop
    cropped = image[top:bottom]
    if not cropped.size:
        raise OptionError(f"crop={crop} leaves nothing of an image of {len(image)} rows")
    if cropped.shape[:2] == size:
        return cropped
    return np.asarray(cv2.resize(cropped, size[::-1], interpolation=interpolation), np.uint8)
