"""Write recordings exactly like Udacity's simulator of 2017: `RecordingWriter`."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import json
import math
import os
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from typing_extensions import Self

from udacity_gym.errors import RecordingError
from udacity_gym.recording.header import FIELDS
from udacity_gym.recording.images import JPEG_START, PNG_START, encode_jpeg
from udacity_gym.recording.log import read_log, stamps
from udacity_gym.recording.reader import EPISODE_GAP, LOG_NAME
from udacity_gym.recording.side_file import SIDE_FILE
from udacity_gym.recording.storage import FolderStorage
from udacity_gym.telemetry import CAMERAS, CTRL_DT, MPH, Image

IMAGE_FOLDER = "IMG"
"""Folder of the images, beside the log."""

EPISODE_PAUSE = datetime.timedelta(seconds=5)
"""Between the time stamps of two episodes: more than any gap within one."""

ROUNDING = 0.002
"""s by which a time stamp, in whole milliseconds, may differ from the time."""
REACH = 4500
"""Number of last frames that can be discarded by time: five minutes at 15 a second."""

_MILLISECOND = datetime.timedelta(milliseconds=1)
_EPOCH = datetime.datetime(1970, 1, 1)


class _Written(NamedTuple):
    """A frame on the disk, and the state of the recording before it."""

    moment: datetime.datetime
    starts_episode: bool
    last: datetime.datetime
    rows: int
    log_size: int
    side_size: int
    image_bytes: int


class RecordingWriter:
    """Write a recording frame by frame; use it in a ``with`` block.

    The folder gets ``IMG/<camera>_YYYY_MM_DD_HH_MM_SS_mmm.jpg`` (JPEG, quality 75, 4:2:0) and
    ``driving_log.csv`` as the simulator of 2017 writes it: paths of the three images, steering,
    throttle, brake and speed in mph with up to seven digits, separated by commas, no header. What
    Udacity has no column for goes to ``frames.jsonl``, one JSON object per frame.

    A frame is in its files when `write` returns, and its row is written, whole, after its images
    are: the folder is a readable recording at any moment, also after the process was killed. A frame
    of three images takes about a millisecond, a thread beside the caller would make it two; and
    whoever drives faster than the disk writes waits for it, so that nothing piles up in memory.

    Args:
        folder: created if missing.
        cameras: the images each frame has. Udacity's format has three; of fewer, the other fields
            are left empty, which `open_recording` reads, but notebooks that use all cameras don't.
        absolute_paths: write absolute paths into the log, as the simulator does, instead of
            ``IMG/...``, which stay true when the folder is moved.
        start: local time of the first frame; by default now. With a given one, the same frames
            give the same bytes.
        append: go on with the recording that is in the folder, as a new episode.
        numbers: columns of numbers, of `FIELDS`. With fewer than all, a header names the columns; the values
            of the others are not written.

    Raises:
        RecordingError: The folder has a recording already and ``append`` is not set, ``start`` is
            not after it, or the folder can't be written to.

    Example:
        >>> with RecordingWriter("my-drive") as writer:     # doctest: +SKIP
        ...     writer.write(images, steering=0.1, throttle=0.5, brake=0.0, speed=9.0, time=0.0)
    """

    def __init__(
        self,
        folder: str | PathLike[str],
        cameras: Sequence[str] = CAMERAS,
        absolute_paths: bool = False,
        start: datetime.datetime | None = None,
        append: bool = False,
        numbers: Sequence[str] = FIELDS,
    ) -> None:
        self.folder = Path(folder)
        self._columns = [i for i, name in enumerate(FIELDS) if name in numbers]
        self.cameras = _check_cameras(cameras)
        self._prefix = f"{IMAGE_FOLDER}/"
        if absolute_paths:
            self._prefix = str(self.folder.resolve() / IMAGE_FOLDER) + os.sep
        log = self.folder / LOG_NAME
        last = _last_stamp(log) if append and log.is_file() and log.stat().st_size else None
        self._episode_start = _start(start, last)
        self._episode_time: float | None = None
        self._last_time = -math.inf
        self._last = last or datetime.datetime.min
        self._rows = 0
        self.bytes_written = 0
        """Bytes of the images written."""
        self._written: deque[_Written] = deque()  # the last frames, at most `REACH`
        self._start_before: _Written | None = None  # the last frame before these that starts an episode
        try:
            (self.folder / IMAGE_FOLDER).mkdir(parents=True, exist_ok=True)
            self._log = _AppendedFile(log, new=not append)
            self._side_file = _AppendedFile(self.folder / SIDE_FILE, new=False)
            if len(self._columns) < len(FIELDS) and not self._log.size:
                self._log.add(header_line(numbers))
            self._header_size = self._log.size if len(self._columns) < len(FIELDS) else 0
        except FileExistsError as error:
            raise RecordingError(
                f"{error.filename} exists already; choose another folder, or append=True to add an episode"
            ) from error
        except OSError as error:
            raise RecordingError(f"{self.folder} can't be written to: {error.strerror}") from error
        self._closed = False

    def __len__(self) -> int:
        """Number of frames written so far."""
        return self._rows

    @property
    def end(self) -> datetime.datetime | None:
        """The time stamp of the last frame, None before the first."""
        return None if self._last == datetime.datetime.min else self._last

    def write(
        self,
        images: Mapping[str, Image | bytes],
        steering: float,
        throttle: float,
        brake: float,
        speed: float,
        time: float,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Add a frame: what was seen, what was done about it, and how fast the car was.

        Args:
            images: camera name to (height, width, 3) uint8 RGB, (160, 320, 3) is Udacity's size; or
                the bytes of a JPEG or PNG file, which are written as they are.
            steering: [-1, 1], positive turns right.
            throttle: [0, 1].
            brake: [0, 1].
            speed: m/s; its magnitude is kept, as Udacity's simulator does.
            time: s on any clock that goes forward; only differences within an episode count. Stamps
                have milliseconds and are unique, so that closer frames are moved apart.
            extra: what else to keep of this frame, in ``frames.jsonl``; anything JSON can say,
                arrays and scalars of NumPy included.

        Raises:
            RecordingError: An argument is not as described, the writer is closed, or the frame can't
                be written (say, the disk is full): the frames before it are kept.
        """
        if self._closed:
            raise RecordingError(f"the recording in {self.folder} is closed; make a new RecordingWriter")
        self._check_images(images)
        numbers = _check_numbers(steering, throttle, brake, speed)
        entries = _as_json(extra)
        moment = self._next_stamp(time)
        frame = _Written(
            moment,
            starts_episode=self._episode_time is None,
            last=self._last,
            rows=self._rows,
            log_size=self._log.size,
            side_size=self._side_file.size,
            image_bytes=self.bytes_written,
        )
        names = {camera: _image_name(camera, moment, images[camera]) for camera in self.cameras}
        paths = [self._prefix + names[camera] if camera in names else "" for camera in CAMERAS]
        image_bytes = 0
        try:
            for camera, name in names.items():
                image = images[camera]
                data = image if isinstance(image, bytes) else encode_jpeg(image)
                _write_image(self.folder / IMAGE_FOLDER / name, data)
                image_bytes += len(data)
            self._side_file.add(_side_line(names["center"], entries))
            values = [format_number(numbers[i]) for i in self._columns]
            self._log.add(",".join([*paths, *values]) + "\n")
        except OSError as error:
            with contextlib.suppress(OSError):
                self._side_file.truncate(frame.side_size)
            self._delete_images(names.values())
            raise RecordingError(
                f"a frame can't be written to {self.folder}: {error.strerror or error}. "
                f"The {self._rows} frames before it are kept"
            ) from error
        self._written.append(frame)
        if len(self._written) > REACH and (oldest := self._written.popleft()).starts_episode:
            self._start_before = oldest
        self._last, self._last_time = moment, time
        self._episode_time = time if self._episode_time is None else self._episode_time
        self.bytes_written += image_bytes
        self._rows += 1

    def replace_extras(self, extras: Sequence[Mapping[str, Any]]) -> None:
        """Replace the entries of the last frames in the side file.

        Args:
            extras: ``extra`` of the last frames, see `write`; at most `REACH`.

        Raises:
            RecordingError: There are fewer frames, an entry is wrong, or the file can't be changed (say, the
                disk is full): the entries before are kept.
        """
        first = len(self._written) - len(extras)
        if first < 0:
            raise RecordingError(f"{len(extras)} entries for {len(self._written)} frames")
        if not extras:
            return
        size = self._written[first].side_size
        sizes, text = [], ""
        for entries, names in zip(
            map(_as_json, extras), self._image_names(self._written[first]), strict=True
        ):
            sizes.append(size + len(text.encode()))
            text += _side_line(names[0], entries)
        try:
            self._side_file.replace_from(size, text)
        except OSError as error:
            raise RecordingError(
                f"{self._side_file.path} can't be changed: {error.strerror or error}"
            ) from error
        for i, start in enumerate(sizes, first):
            self._written[i] = self._written[i]._replace(side_size=start)

    def new_episode(self, start: datetime.datetime | None = None) -> None:
        """Begin a new episode: the time of the next frame may be anything, and a pause is put before it.

        Args:
            start: local time of its first frame; by default a pause after the frame before.

        Raises:
            RecordingError: ``start`` is not after the episode before.
        """
        if self._episode_time is not None:
            self._episode_start = self._last + EPISODE_PAUSE
            self._episode_time = None
            self._last_time = -math.inf
        if start is not None:
            self._episode_start = _start(start, self.end)

    def discard_episode(self) -> None:
        """Delete the present episode with its rows, images and side file entries.

        Raises:
            RecordingError: The writer is closed, or the files can't be changed.
        """
        self._check_open()
        start = self._last_start()
        if self._episode_time is not None and start is not None:
            self._discard_from(start)

    def discard_last(self, seconds: float | None = None) -> tuple[int, int]:
        """Delete the last frames with their rows, images and side file entries.

        The next frame begins an episode. Seconds reach back into earlier episodes, up to `REACH` frames.

        Args:
            seconds: s of recording to delete; pauses between episodes don't count. None deletes the episode
                of the last frame.

        Returns:
            Number of deleted frames, and number of episodes that are gone with them.

        Raises:
            RecordingError: The writer is closed, or the files can't be changed.
        """
        self._check_open()
        rows, gone = self._rows, 0
        if seconds is None:
            first, gone = self._last_start(), 1
        else:
            first, passed = None, 0.0
            for frame, before in itertools.zip_longest(
                reversed(self._written), itertools.islice(reversed(self._written), 1, None)
            ):
                if passed >= seconds - ROUNDING:
                    break
                first, gone = frame, gone + frame.starts_episode
                if before is None or frame.starts_episode:
                    passed += CTRL_DT
                else:
                    passed += (frame.moment - before.moment).total_seconds()
        if first is None:
            return 0, 0
        self._discard_from(first)
        return rows - self._rows, gone

    def _last_start(self) -> _Written | None:
        """The frame that starts the last episode; None without a frame."""
        return next((frame for frame in reversed(self._written) if frame.starts_episode), self._start_before)

    def _discard_from(self, first: _Written) -> None:
        """Delete a frame and all after it; the next one begins an episode.

        Raises:
            RecordingError: The files can't be changed.
        """
        try:
            names = self._image_names(first)
            # Rows first: killed in between, the folder has images without rows, which is no harm.
            self._log.truncate(first.log_size)
            self._side_file.truncate(first.side_size)
        except OSError as error:
            raise RecordingError(
                f"frames in {self.folder} can't be discarded: {error.strerror or error}"
            ) from error
        self._delete_images(itertools.chain.from_iterable(names))
        while self._written and self._written[-1].rows >= first.rows:
            self._written.pop()
        if self._start_before is not None and self._start_before.rows >= first.rows:
            self._start_before = None
        self._last, self._rows, self.bytes_written = first.last, first.rows, first.image_bytes
        if self._last != datetime.datetime.min:
            self._episode_start = max(self._episode_start, self._last + EPISODE_PAUSE)
        self._episode_time = None
        self._last_time = -math.inf

    def _image_names(self, first: _Written) -> list[list[str]]:
        """Names of the images of a frame and of each one after it, as in its row: the centre image first."""
        rows = self._log.lines(first.log_size)
        return [[name for name in row.replace(self._prefix, "").split(",")[:3] if name] for row in rows]

    def close(self) -> None:
        """Close the files. Can be called twice. A recording without a frame leaves none behind."""
        if self._closed:
            return
        self._closed = True
        empty = self._log.size == self._header_size
        self._log.close()
        self._side_file.close()
        if not self._side_file.size:
            self._side_file.path.unlink(missing_ok=True)
        if empty:
            self._log.path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # somebody else's files are in there
                (self.folder / IMAGE_FOLDER).rmdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _delete_images(self, names: Iterable[str]) -> None:
        for name in names:
            (self.folder / IMAGE_FOLDER / name).unlink(missing_ok=True)

    def _check_open(self) -> None:
        if self._closed:
            raise RecordingError(f"the recording in {self.folder} is closed; its frames are kept")

    def _check_images(self, images: Mapping[str, Image | bytes]) -> None:
        if set(images) != set(self.cameras):
            given = ", ".join(sorted(images)) or "none"
            raise RecordingError(f"a frame needs images of {', '.join(self.cameras)}, got {given}")
        for camera, image in images.items():
            if isinstance(image, bytes) and image.startswith((JPEG_START, PNG_START)):
                continue
            if not isinstance(image, np.ndarray):
                raise RecordingError(f"the {camera} image must be an array, got {type(image).__name__}")
            if image.dtype != np.uint8 or image.shape[2:] != (3,) or not image.size:
                got = f"{image.dtype} {image.shape}"
                raise RecordingError(f"the {camera} image must be uint8 (height, width, 3) RGB, got {got}")

    def _next_stamp(self, time: float) -> datetime.datetime:
        """The moment of a frame, in whole milliseconds after the one before."""
        if not math.isfinite(time):
            raise RecordingError(f"time must be a number of seconds, got {time!r}")
        if time < self._last_time:
            raise RecordingError(
                f"time went back from {self._last_time:g} to {time:g} s; call new_episode() between episodes"
            )
        begin = time if self._episode_time is None else self._episode_time
        try:
            passed = datetime.timedelta(milliseconds=round((time - begin) * 1000))
            return max(self._episode_start + passed, self._last + _MILLISECOND)
        except OverflowError:
            raise RecordingError(f"time {time:g} s is beyond what a time stamp can say") from None


class _AppendedFile:
    """A text file that grows by whole lines.

    Attributes:
        path: the file.
        size: bytes.
    """

    def __init__(self, path: Path, new: bool) -> None:
        self.path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        self._file = os.open(path, flags | (os.O_EXCL if new else 0), 0o666)
        self.size = os.fstat(self._file).st_size
        if self.size:  # a line that a killed process or an editor left without an end
            with path.open("rb") as file:
                file.seek(-1, os.SEEK_END)
                ended = file.read(1) == b"\n"
            if not ended:
                self._add(b"\n")

    def add(self, lines: str) -> None:
        """Append lines: all of them or, if the disk is full, nothing."""
        self._add(lines.encode())

    def replace_from(self, start: int, lines: str) -> None:
        """Replace all lines from a byte on: all of them or, if the disk is full, none.

        The new lines are appended before they overwrite the old ones, so that the room for them is taken.
        Killed in between, the file has both; readers of the side file take the last line of a frame.
        """
        self.add(lines)
        with self.path.open("r+b") as file:  # at the end of `_file`, whatever is written is appended
            file.seek(start)
            file.write(lines.encode())
        self.truncate(start + len(lines.encode()))

    def lines(self, start: int) -> list[str]:
        """The lines from a byte on."""
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read().decode().split("\n")[:-1]

    def truncate(self, size: int) -> None:
        """Truncate the file to an earlier size."""
        os.ftruncate(self._file, size)
        self.size = size

    def close(self) -> None:
        os.fsync(self._file)
        os.close(self._file)

    def _add(self, data: bytes) -> None:
        try:
            written = os.write(self._file, data)
            if written < len(data):  # the rest tells why, or completes the line
                written += os.write(self._file, data[written:])
            if written < len(data):
                raise OSError(f"only a part of a line could be written to {self.path}")
        except OSError:
            os.ftruncate(self._file, self.size)
            raise
        self.size += len(data)


def _write_image(path: Path, data: bytes) -> None:
    """Write an image atomically.

    `udacity_gym.files.write_whole` asks the disk more, which would double the time that a frame takes.
    """
    part = path.with_suffix(".part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def header_line(numbers: Sequence[str]) -> str:
    """Header of a log that has only some of the columns of numbers, in the order of `FIELDS`."""
    return ",".join([*CAMERAS, *(name for name in FIELDS if name in numbers)]) + "\n"


def format_number(value: float) -> str:
    """Write a number as C#'s ``float.ToString`` does on Unity's runtime.

    Args:
        value: rounded to single precision first.

    Returns:
        Up to seven digits, such as ``0.6497864``, ``30.18999``, ``7.927273E-05``, ``1``.
    """
    text = f"{float(np.float32(value)):.7G}"
    return "0" if text == "-0" else text


def _check_cameras(cameras: Sequence[str]) -> tuple[str, ...]:
    names = tuple(cameras)
    if isinstance(cameras, str) or not set(names) <= set(CAMERAS) or "center" not in names:
        raise RecordingError(f"cameras must be center, and left and right if wanted; got {cameras!r}")
    return tuple(camera for camera in CAMERAS if camera in names)


def _check_numbers(steering: float, throttle: float, brake: float, speed: float) -> tuple[float, ...]:
    """Steering, throttle, brake, and speed in mph."""
    for name, value, low in (("steering", steering, -1), ("throttle", throttle, 0), ("brake", brake, 0)):
        if not low <= value <= 1:
            raise RecordingError(f"{name} must be in [{low}, 1], got {value!r}")
    if not math.isfinite(speed):
        raise RecordingError(f"speed must be a number of m/s, got {speed!r}")
    return steering, throttle, brake, abs(speed) / MPH


def _side_line(image: str, entries: str) -> str:
    """Line of the side file for a frame, whose entries are a JSON object; "" if there are none."""
    return f'{{"image": "{image}", {entries[1:]}\n' if entries else ""


def _as_json(extra: Mapping[str, Any] | None) -> str:
    """Entries of a frame as a JSON object; "" if there are none."""
    if not extra:
        return ""
    if "image" in extra:
        raise RecordingError("extra can't have a key 'image': it holds the name of the frame's image")
    try:
        return json.dumps(dict(extra), allow_nan=False, default=_plain)
    except (TypeError, ValueError) as error:
        raise RecordingError(f"extra must be what JSON can say: {error}") from error


def _plain(value: object) -> object:
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise TypeError(f"not {type(value).__name__}")


def _image_name(camera: str, moment: datetime.datetime, image: Image | bytes) -> str:
    is_png = isinstance(image, bytes) and image.startswith(PNG_START)
    return _stem(camera, moment) + (".png" if is_png else ".jpg")


def _stem(camera: str, moment: datetime.datetime) -> str:
    # Not strftime, which writes years before 1000 without zeros on some systems.
    date = f"{moment.year:04d}_{moment.month:02d}_{moment.day:02d}"
    time = f"{moment.hour:02d}_{moment.minute:02d}_{moment.second:02d}_{moment.microsecond // 1000:03d}"
    return f"{camera}_{date}_{time}"


def _last_stamp(log: Path) -> datetime.datetime | None:
    """The latest time in the names of a log's images.

    Raises:
        RecordingError: The log can't be read, or has other columns than the rows to be added.
    """
    rows = read_log(log, FolderStorage(log.parent), log.name)
    if not rows.is_udacity:
        raise RecordingError(
            f"{log} has other columns than Udacity's, so no rows can be added; if it lacks none of them, "
            f"udacity-gym data fix {log.parent} writes it in Udacity's format; otherwise record into another "
            "folder"
        )
    times = stamps(rows.images["center"].names)
    times = times[np.isfinite(times)]
    return _EPOCH + float(times.max()) * _MILLISECOND if len(times) else None


def _start(start: datetime.datetime | None, last: datetime.datetime | None) -> datetime.datetime:
    if start is None:
        start = datetime.datetime.now()
        if last is not None:
            start = max(start, last + EPISODE_PAUSE)  # recorded faster than real time, it ends in the future
    elif last is not None and start.replace(tzinfo=None) <= last + datetime.timedelta(seconds=EPISODE_GAP):
        raise RecordingError(
            f"start must be more than {EPISODE_GAP:g} s after {last}, where the recording ends"
        )
    return start.replace(tzinfo=None, microsecond=start.microsecond // 1000 * 1000)
