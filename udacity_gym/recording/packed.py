"""One file with all frames of a recording, prepared for training, each with a checksum.

The file contains nothing that is not in the recording, so it can be deleted and written again.

The file begins with ``UDGPACK1``, the length of a JSON header (4 bytes, little-endian), the header and its
CRC-32. Records of equal length follow from ``header["start"]`` on. A record is six float64 (steering,
throttle, brake, speed in m/s, time in s, row), the images of the cameras, and the CRC-32 of all that.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import weakref
import zlib
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udacity_gym.errors import OptionError, RecordingError
from udacity_gym.files import replacing
from udacity_gym.progress import progress_bar
from udacity_gym.recording.episodes import Recording
from udacity_gym.recording.frames import FRAME_NUMBERS, Prepare, RecordedFrames, ordered_map
from udacity_gym.telemetry import Image

_MAGIC = b"UDGPACK1"
_HEADER_LIMIT = 1 << 16
_NUMBERS = len(FRAME_NUMBERS) * 8


class PackedFrames:
    """A packed file; a source of frames for `TrainingLoader`.

    Frames are read from the file on access. Several threads and processes can use it at once.

    Args:
        path: packed file.

    Attributes:
        cameras: cameras of the images.
        shape: height, width and channels of every image.
        fingerprint: hash of the recording, its edits and the preprocessing.

    Raises:
        RecordingError: It is no packed file, or was cut off.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        try:
            self._file = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except OSError as error:
            raise RecordingError(f"{self.path} can't be read: {error.strerror or error}") from error
        self._close = weakref.finalize(self, os.close, self._file)
        self._lock = threading.Lock()
        header = self._read_header()
        try:
            self.cameras = tuple(map(str, header["cameras"]))
            height, width, channels = map(int, header["shape"])
            self.shape = (height, width, channels)
            self.fingerprint = str(header["fingerprint"])
            self._frames, self._start = int(header["frames"]), int(header["start"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._damaged(f"has a header without {error}") from error
        self._image_bytes = height * width * channels
        self._record_bytes = _NUMBERS + len(self.cameras) * self._image_bytes + 4
        size, expected = os.fstat(self._file).st_size, self._start + self._frames * self._record_bytes
        if size != expected:
            raise self._damaged(f"has {size} bytes instead of {expected}")

    def __len__(self) -> int:
        return self._frames

    def read(self, index: int, images: Sequence[Image]) -> NDArray[np.float64]:
        """Read a frame, see `udacity_gym.recording.frames.FrameSource`.

        Raises:
            RecordingError: The frame is damaged.
        """
        data = self._read_at(self._record_bytes, self._start + index * self._record_bytes)
        if len(data) != self._record_bytes or zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
            raise self._damaged(f"is damaged at frame {index}")
        for k, image in enumerate(images):
            start = _NUMBERS + k * self._image_bytes
            image[...] = np.frombuffer(data, np.uint8, self._image_bytes, start).reshape(self.shape)
        return np.frombuffer(data, "<f8", len(FRAME_NUMBERS))

    def close(self) -> None:
        """Close the file. Can be called twice."""
        self._close()

    def _read_header(self) -> dict[str, Any]:
        start = self._read_at(len(_MAGIC) + 4, 0)
        length = int.from_bytes(start[len(_MAGIC) :], "little")
        if start[: len(_MAGIC)] != _MAGIC or length > _HEADER_LIMIT:
            raise self._damaged("is no packed recording")
        data = self._read_at(length + 4, len(start))
        if zlib.crc32(data[:length]) != int.from_bytes(data[length:], "little"):
            raise self._damaged("is damaged at its beginning")
        try:
            header: dict[str, Any] = json.loads(bytes(data[:length]))
        except (ValueError, RecursionError) as error:
            raise self._damaged(f"has a broken header: {error}") from error
        return header

    def _read_at(self, count: int, offset: int) -> memoryview:
        if hasattr(os, "pread"):
            return memoryview(os.pread(self._file, count, offset))
        with self._lock:
            os.lseek(self._file, offset, os.SEEK_SET)
            return memoryview(os.read(self._file, count))

    def _damaged(self, what: str) -> RecordingError:
        return RecordingError(f"{self.path} {what}; delete it and pack the recording again")

    def __reduce__(self) -> tuple[Any, ...]:
        return PackedFrames, (self.path,)


def pack(
    recording: Recording,
    path: str | PathLike[str],
    cameras: Sequence[str] = ("center",),
    prepare: Prepare | None = None,
    *,
    workers: int = 2,
    reuse: bool = False,
    progress: bool = True,
) -> PackedFrames:
    """Write all frames of a recording into one file, prepared for training.

    Args:
        recording: recording to pack.
        path: file to write, atomically.
        cameras: cameras to include.
        prepare: preprocessing of each image, such as `Downscale()`. Its ``repr`` must describe it completely,
            as that of a dataclass does, because it decides whether an existing file can be reused.
        workers: number of threads that decode images.
        reuse: open an existing file if it was made from this recording with the same preprocessing.
        progress: show a progress bar if it takes longer than a second.

    Returns:
        The packed file.

    Raises:
        OptionError: The ``repr`` of ``prepare`` does not describe it.
        RecordingError: The file can't be written, is something else, or an image can't be read.
    """
    path = Path(path)
    frames = RecordedFrames(recording, cameras, prepare)
    fingerprint = _fingerprint(frames)
    if path.exists():
        try:
            packed = PackedFrames(path)
        except RecordingError:
            if not _is_ours(path):  # somebody's file is never replaced
                raise
        else:
            if reuse and packed.fingerprint == fingerprint:
                return packed
            packed.close()
    header = {
        "version": 1,
        "frames": len(frames),
        "cameras": frames.cameras,
        "shape": frames.shape,
        "labels": FRAME_NUMBERS,
        "prepare": repr(prepare),
        "fingerprint": fingerprint,
        "start": 4096,
    }
    with replacing(path, RecordingError) as part, part.open("wb") as file:
        text = json.dumps(header).encode()
        start = _MAGIC + len(text).to_bytes(4, "little") + text + zlib.crc32(text).to_bytes(4, "little")
        file.write(start.ljust(4096, b"\0"))
        records = ordered_map(lambda i: _record(frames, i), range(len(frames)), workers, 64)
        bar = progress_bar(
            progress,
            iterable=records,
            desc="packing",
            total=len(frames),
            unit=" frames",
            delay=1.0,
            leave=False,
        )
        for record in bar:
            file.write(record)
    return PackedFrames(path)


def _record(frames: RecordedFrames, index: int) -> bytes:
    images = [np.empty(frames.shape, np.uint8) for _ in frames.cameras]
    numbers = frames.read(index, images)
    data = numbers.astype("<f8").tobytes() + b"".join(image.tobytes() for image in images)
    return data + zlib.crc32(data).to_bytes(4, "little")


def _is_ours(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def _fingerprint(frames: RecordedFrames) -> str:
    """Of the frames, of when the folders of their images last changed, and of how they are prepared."""
    prepared = repr(frames.prepare)
    if " at 0x" in prepared:
        raise OptionError(
            f"prepare={prepared} doesn't say what it does, so that nobody could tell whether a packed file "
            "fits: use Downscale, or a dataclass with __call__"
        )
    digest = hashlib.sha256(repr((frames.cameras, prepared, frames.shape)).encode())
    folders: set[Path] = set()
    for episode in frames.recording.episodes:
        digest.update(str(episode.log).encode())
        for name in FRAME_NUMBERS:
            digest.update(np.ascontiguousarray(getattr(episode, name)).tobytes())
        for camera in frames.cameras:
            digest.update(episode.names(camera).tobytes())
        folders |= episode.places()
    for folder in sorted(folders):
        with contextlib.suppress(OSError):
            digest.update(f"{folder} {folder.stat().st_mtime_ns}".encode())
    return digest.hexdigest()
