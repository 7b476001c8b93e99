"""Read a ``driving_log.csv`` into columns, without its images."""

from __future__ import annotations

import codecs
import contextlib
import datetime
import io
import itertools
import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from udacity_gym.errors import RecordingError
from udacity_gym.recording import dialect
from udacity_gym.recording.columns import (
    LOCK_DEGREES,
    camera_of,
    camera_order,
    moment_of,
    number_order,
    steering_limit,
)
from udacity_gym.recording.header import FIELDS, UDACITY, Columns, HeaderError, parse_header
from udacity_gym.recording.images import is_image_name
from udacity_gym.recording.report import (
    COLUMN_ORDER,
    DEGREES,
    ENCODING,
    EXTRA_COLUMNS,
    OUT_OF_RANGE,
    REPEATED_HEADER,
    SIDE_IMAGE,
    SIDE_ONLY,
    UNKNOWN_HEADER,
    UNREADABLE_ROW,
    ZERO_BYTES,
    Findings,
)
from udacity_gym.recording.storage import LOG_LIMIT, UNREADABLE, Storage
from udacity_gym.telemetry import CAMERAS
from udacity_gym.text import count

LONGEST_ROW = 1_000_000
"""Maximum length of a line, characters. A file with a longer line is no log."""

_STAMP = re.compile(r"([0-9]{4})_([0-9]{2})_([0-9]{2})_([0-9]{2})_([0-9]{2})_([0-9]{2})_([0-9]{3})\.")
_EPOCH = datetime.date(1970, 1, 1).toordinal()
_NUMERIC = re.compile(r"[ \t]*[+-]?[0-9]*[.,]?[0-9]+(?:[eE][+-]?[0-9]+)?[ \t]*")
_BLOCK = 1 << 20
"""Characters that are read at once."""
_SAMPLE = 50
"""Number of unreadable lines that are kept."""
_ZEROS = re.compile("\0{2,}")
_SEPARATOR_LINE = re.compile(r"\ufeff?[\"']?sep=.[\"']?\s*", re.IGNORECASE)
"""First line of files for Excel."""
_FEWER_COLUMNS = (
    Columns((*CAMERAS, "steering")),
    Columns(("center", *FIELDS)),
    Columns(("center", "steering")),
)
_OTHER_FILES = {
    b"pk\x03\x04": "an Excel workbook or a zip file. Save the workbook as CSV, or name the zip file .zip",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook. Save it as CSV",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x89png": "a PNG image",
    b"\x1f\x8b": "a gzip archive. Unpack it",
    b"par1": "a Parquet file. Write it as CSV, for example with pandas",
    b"\x89hdf": "an HDF5 file",
    b"%pdf": "a PDF document",
    b"<!doctype html": "a web page. Download the file itself",
    b"<html": "a web page. Download the file itself",
    b"version https://git-lfs": "a placeholder of Git LFS. Fetch the file with git lfs pull",
}
"""Beginnings of other files in lower case, and advice."""


@dataclass
class Paths:
    """One camera's column of paths, each split into its folder and its file.

    Attributes:
        folders: n folder parts as written; "" where there is none.
        names: n file names; "" where the field is empty.
    """

    folders: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[str, str]:
        return self.folders[index], self.names[index]

    def append(self, path: tuple[str, str]) -> None:
        """Add one path."""
        self.folders.append(path[0])
        self.names.append(path[1])

    def replace(self, index: int, path: tuple[str, str]) -> None:
        """Replace one path."""
        self.folders[index], self.names[index] = path

    def select(self, indices: Sequence[int]) -> Paths:
        """Some of the paths."""
        return Paths([self.folders[i] for i in indices], [self.names[i] for i in indices])


@dataclass(frozen=True)
class Log:
    """Readable rows of a log, in the order of the file.

    Attributes:
        path: the file.
        lines: number of rows of the log, readable or not.
        row: (n,) int64 line in the file, from 1.
        images: n paths as written for each camera.
        values: (n, 4) float64 steering, throttle, brake and speed in mph; NaN for numbers without a column.
        findings: problems of the log.
        is_udacity: whether a row in Udacity's format can be added: its columns are Udacity's, and its
            steering is not in degrees.
    """

    path: Path
    lines: int
    row: NDArray[np.int64]
    images: dict[str, Paths]
    values: NDArray[np.float64]
    findings: Findings
    is_udacity: bool = True


def read_log(path: Path, storage: Storage, name: str) -> Log:
    """Read a log in any dialect.

    Args:
        path: path of the file for messages.
        storage: storage that has the file.
        name: name of the file there.

    Returns:
        Readable rows and findings.

    Raises:
        RecordingError: The file is empty, is not text, is too large, or is another program's.
    """
    try:
        parsed = _parse_file(path, storage, name)
        if parsed.further_numbers:
            parsed = _parse_file(path, storage, name, numbers_follow=True)
        if not parsed.row:
            columns = _columns_of(parsed.unreadable)
            if columns is not None:
                parsed = _parse_file(path, storage, name, columns=columns)
                parsed.findings.add_count(COLUMN_ORDER, 1, f"{columns}; there are no others")
    except UNREADABLE as error:
        raise RecordingError(f"{path} can't be read: {error}") from error
    if not parsed.lines:
        problem = "has a header but no rows" if parsed.has_header else "is empty"
        if parsed.zero_bytes:
            problem += " but for zero bytes, as after a power failure"
        raise RecordingError(
            f"{path} {problem}. Udacity's simulator writes the rows when the recording is stopped and its "
            "images are saved: record again, or choose another folder"
        )
    if not parsed.row and parsed.zero_bytes:
        raise RecordingError(f"{path} is no text file; expected Udacity's driving_log.csv")
    if not parsed.row:
        raise RecordingError(f"{path} {_refusal(parsed.first_line, parsed.findings)}")
    if parsed.zero_bytes:
        parsed.findings.add_count(ZERO_BYTES, 1, f"in line {parsed.zero_bytes}")
    return _checked(path, parsed)


def _checked(path: Path, parsed: _Parsed) -> Log:
    """Find the order of columns, and leave out rows of side images or with numbers out of range."""
    row, values = np.array(parsed.row, np.int64), np.concatenate(parsed.values)
    images, findings, is_udacity = parsed.images, parsed.findings, parsed.columns.is_udacity
    _order_images(images, findings)
    keep = _without_side_rows(path, row, images, findings)
    if not parsed.has_known_header:
        order = number_order(values[keep], stamps(images["center"].names)[keep])
        if order is not None:
            is_udacity = False
            values = values[:, list(order.order)]
            findings.add_count(COLUMN_ORDER, 1, str(order))
    limit = steering_limit(values[keep, 0])
    if limit is not None:
        if limit > LOCK_DEGREES:
            raise RecordingError(
                f"{path}: steering reaches {limit:g}, which is neither a share of full lock, [-1, 1], nor an "
                f"angle of the wheels, at most {LOCK_DEGREES:g} degrees. Divide it by its value at full lock"
            )
        is_udacity = False
        values[:, 0] /= LOCK_DEGREES
        findings.add_count(DEGREES, 1, f"up to {limit:g}; divided by {LOCK_DEGREES:g}")
    low, high = np.array(list(dialect.RANGES.values())).T
    for index in np.flatnonzero(keep & ((values < low) | (values > high)).any(axis=1)).tolist():
        findings.add(OUT_OF_RANGE, int(row[index]), dialect.out_of_range(values[index].tolist()) or "")
        keep[index] = False
    if keep.all():
        return Log(path, parsed.lines, row, images, values, findings, is_udacity)
    if not keep.any():
        raise RecordingError(f"{path} {_refusal(parsed.first_line, findings)}")
    kept = {camera: paths.select(np.flatnonzero(keep).tolist()) for camera, paths in images.items()}
    return Log(path, parsed.lines, row[keep], kept, values[keep], findings, is_udacity)


def _order_images(images: dict[str, Paths], findings: Findings) -> None:
    """Move images to the column that their names say."""
    columns = [images[camera].names for camera in CAMERAS]
    if all(_all_begin_with(names, f"{camera}_") for names, camera in zip(columns, CAMERAS, strict=True)):
        return
    moved = 0
    for index, names in enumerate(zip(*columns, strict=True)):
        order = camera_order(names)
        if order is not None and order != (0, 1, 2):
            paths = [images[CAMERAS[column]][index] for column in order]
            for camera, path in zip(CAMERAS, paths, strict=True):
                images[camera].replace(index, path)
            moved += 1
    if moved:
        findings.add_count(COLUMN_ORDER, 1, f"images of {count(moved, 'row')}, as their names say")


def _all_begin_with(names: Sequence[str], prefix: str) -> bool:
    return all(name.startswith(prefix) for name in names)


def _without_side_rows(
    path: Path, row: NDArray[np.int64], images: dict[str, Paths], findings: Findings
) -> NDArray[np.bool_]:
    """Join rows of an expanded log, which has a row for each camera's image, with a corrected steering.

    Returns:
        (n,) bool rows to keep: those of center images.

    Raises:
        RecordingError: All rows are of side images.
    """
    keep = np.ones(len(row), bool)
    names = images["center"].names
    if _all_begin_with(names, "center_"):
        return keep
    cameras = [camera_of(name) for name in names]
    if "left" not in cameras and "right" not in cameras:
        return keep
    moments = {moment_of(name): i for i, name in reversed(list(enumerate(names))) if cameras[i] == "center"}
    for index, camera in enumerate(cameras):
        if camera not in CAMERAS[1:]:
            continue
        keep[index] = False
        center = moments.get(moment_of(names[index]))
        if center is None:
            findings.add(SIDE_ONLY, int(row[index]), names[index])
            continue
        findings.add(SIDE_IMAGE, int(row[index]), f"{names[index]}, see row {row[center]}")
        if camera_of(images[camera].names[center]) != camera:
            images[camera].replace(center, images["center"][index])
    if not keep.any():
        raise RecordingError(
            f"{path} has only images of side cameras, such as {names[0]}, where the center image belongs. "
            "It was expanded to a row for each camera, with a correction of the steering: use the log that "
            "it was made from"
        )
    return keep


@dataclass
class _Parsed:
    """Lines of a log: the rows that could be read, and findings.

    Columns and not one object per row, whose number would keep Python's garbage collector busy.
    """

    lines: int = 0
    has_header: bool = False
    has_known_header: bool = False
    first_line: str = ""
    further_numbers: bool = False
    zero_bytes: int = 0
    columns: Columns = UDACITY
    row: list[int] = field(default_factory=list)
    images: dict[str, Paths] = field(default_factory=lambda: {name: Paths() for name in CAMERAS})
    values: list[NDArray[np.float64]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)

    def add(self, number: int, row: dialect.Row) -> None:
        self.row.append(number)
        self.images["center"].append(row.center)
        self.images["left"].append(row.left)
        self.images["right"].append(row.right)
        self.values.append(np.array([row[3:7]]))
        if row.further:
            self.further_numbers |= row.further_numbers
            self.findings.add(EXTRA_COLUMNS, number, f"{row.further} more")

    def add_block(self, start: int, block: dialect.Block) -> None:
        count = len(block.values)
        self.row.extend(range(start, start + count))
        for camera, (folder, names) in zip(CAMERAS, block.paths, strict=True):
            self.images[camera].folders.extend(itertools.repeat(folder, count))
            self.images[camera].names.extend(names)
        self.values.append(block.values)
        self.lines += count


class _LineParser:
    """Reads the lines of a log one after the other; a header decides the order of the columns below it."""

    def __init__(self, path: Path, numbers_follow: bool, columns: Columns) -> None:
        self.parsed = _Parsed()
        self._path = path
        self._numbers_follow = numbers_follow
        self.parsed.columns = columns

    def read(self, blocks: Iterator[list[str]]) -> None:
        """Read all lines.

        Raises:
            RecordingError: A header does not say which column is which.
        """
        start = 1
        for lines in blocks:
            block = dialect.parse_block(lines, self.parsed.columns)
            if block is not None:
                self.parsed.add_block(start, block)
            else:
                for number, line in enumerate(lines, start):
                    self._read_line(number, line)
            start += len(lines)

    def _read_line(self, number: int, line: str) -> None:
        parsed = self.parsed
        texts = [line]
        if "\0" in line:  # a file system fills what it could not save with zeros
            parsed.zero_bytes = parsed.zero_bytes or number
            texts = line.split("\0")
        texts = [text for text in texts if text and not text.isspace()]
        is_first = not (parsed.lines or parsed.has_header)
        if not texts or (is_first and _SEPARATOR_LINE.fullmatch(line)):
            return
        problem: dialect.LineError | None = None
        for text in texts:
            try:
                parsed.add(number, dialect.parse(text, self._numbers_follow, self.parsed.columns))
                problem = None
                break
            except dialect.LineError as error:
                problem = error
        if problem is not None:
            columns = self._header(number, line, is_first)
            if columns is None:
                parsed.findings.add(problem.kind, number, problem.detail)
            elif dialect.has_image(line):
                detail = f"a header written over the row: {dialect.shorten(line)}"
                parsed.findings.add(UNREADABLE_ROW, number, detail)
            else:
                self._add_header(number, line, columns)
                return
            parsed.first_line = parsed.first_line or line
            if len(parsed.unreadable) < _SAMPLE:
                parsed.unreadable.append(line)
        parsed.lines += 1

    def _header(self, number: int, line: str, is_first: bool) -> Columns | None:
        try:
            return parse_header(line, is_first)
        except HeaderError as error:
            if dialect.has_image(line):
                return UDACITY
            expected = ",".join(UDACITY.names)
            raise RecordingError(f"{self._path}, line {number}: {error}. Udacity's is {expected}") from error

    def _add_header(self, number: int, line: str, columns: Columns) -> None:
        parsed = self.parsed
        if parsed.has_header or parsed.lines:
            parsed.findings.add(REPEATED_HEADER, number, dialect.shorten(line))
        if not columns.known:
            parsed.findings.add_count(UNKNOWN_HEADER, 1, dialect.shorten(line))
            parsed.first_line = line
        parsed.has_header = True
        parsed.has_known_header |= columns.known
        self.parsed.columns = columns


def _parse_file(
    path: Path, storage: Storage, name: str, numbers_follow: bool = False, columns: Columns = UDACITY
) -> _Parsed:
    with storage.open(name, LOG_LIMIT) as file:
        head = file.read(64)
    for start, program in _OTHER_FILES.items():
        if head.removeprefix(codecs.BOM_UTF8).lower().startswith(start):
            raise RecordingError(f"{path} is no text file with a log, but {program}")
    for code in _encodings(head):
        parser = _LineParser(path, numbers_follow, columns)
        try:
            with (
                storage.open(name, LOG_LIMIT) as file,
                contextlib.closing(_blocks(path, file, code)) as blocks,
            ):
                parser.read(blocks)
        except UnicodeDecodeError as error:
            if code.startswith("utf-16"):
                raise RecordingError(f"{path} is cut off inside of a character (UTF-16)") from error
            continue  # only the names of foreign folders can have such letters: any one-byte code will do
        if code != "utf-8-sig":
            is_utf16 = code.startswith("utf-16")
            parser.parsed.findings.add_count(ENCODING, 1, "UTF-16" if is_utf16 else "not UTF-8")
        return parser.parsed
    raise AssertionError("every byte is a letter of latin-1")


def _encodings(head: bytes) -> tuple[str, ...]:
    """Encodings to try for a file that begins so."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return ("utf-16",)
    for code, zeros, letters in (("utf-16-le", head[1::2], head[::2]), ("utf-16-be", head[::2], head[1::2])):
        if len(head) > 8 and not any(zeros) and all(letters):
            return (code,)
    return ("utf-8-sig", "latin-1")


def _columns_of(lines: Sequence[str]) -> Columns | None:
    """Columns of a log without a header that has fewer columns than Udacity's; None for other programs."""
    for columns in _FEWER_COLUMNS:
        with contextlib.suppress(dialect.LineError):
            rows = [dialect.parse(line, columns=columns) for line in lines]
            if rows and all(camera_of(row.center[1]) is not None for row in rows):
                return columns
    return None


def _blocks(path: Path, file: IO[bytes], encoding: str) -> Generator[list[str], None, None]:
    """Lines of a text file with any of the usual line ends, without these, some thousand at once."""
    text = io.TextIOWrapper(file, encoding=encoding, newline=None)
    rest = ""
    try:
        while block := text.read(_BLOCK):
            if "\0" in block:  # there may be megabytes of them
                block = _ZEROS.sub("\0", block)
            *lines, rest = (rest + block).split("\n")
            if len(rest) > LONGEST_ROW:
                raise RecordingError(
                    f"{path} has a line of more than {LONGEST_ROW:,} characters; "
                    "it is no log of Udacity's simulator"
                )
            # Unusual lines, such as a header, are mostly at the top: they should not slow down the rest.
            if lines:
                yield lines[:1]
                yield lines[1:]
        if rest:
            yield [rest]
    finally:
        text.detach()  # whoever opened the file closes it


def stamp(name: str) -> float:
    """The time in an image's name.

    Args:
        name: such as ``center_2018_07_16_17_11_43_382.jpg``; local time of the recording machine.

    Returns:
        ms since 1970 if the time were UTC, NaN if the name has no such time.
    """
    match = _STAMP.search(name)
    if match is None:
        return float("nan")
    year, month, day, hour, minute, second, millisecond = map(int, match.groups())
    days = _days(year, month, day)
    if days is None or hour > 23 or minute > 59 or second > 59:
        return float("nan")
    return (((days * 24.0 + hour) * 60 + minute) * 60 + second) * 1000 + millisecond


def stamps(names: Sequence[str]) -> NDArray[np.float64]:
    """The times in many images' names, as `stamp` gives them; (n,) ms, NaN where there is none."""
    first = _STAMP.search(names[0]) if names else None
    if first is None or len(set(map(len, names))) != 1 or not "".join(names).isascii():
        return np.array([stamp(name) for name in names], np.float64)
    letters = np.frombuffer("".join(names).encode(), np.uint8).reshape(len(names), -1)
    start = first.start()
    pattern = letters[:, start : first.end()].astype(np.int64) - ord("0")
    is_digit = np.array([letter.isdigit() for letter in first.group()])
    alike = (
        (letters[:, :start] == letters[0, :start]).all()
        and (pattern[:, ~is_digit] == pattern[0, ~is_digit]).all()
        and ((pattern[:, is_digit] >= 0) & (pattern[:, is_digit] <= 9)).all()
    )
    if not alike or any(letter.isdigit() for letter in names[0][:start]):
        return np.array([stamp(name) for name in names], np.float64)

    def number(begin: int, end: int) -> NDArray[np.int64]:
        powers: NDArray[np.int64] = 10 ** np.arange(end - begin - 1, -1, -1)
        value: NDArray[np.int64] = pattern[:, begin:end] @ powers
        return value

    date, which = np.unique(number(0, 4) * 10000 + number(5, 7) * 100 + number(8, 10), return_inverse=True)
    days = [_days(day // 10000, day // 100 % 100, day % 100) for day in date.tolist()]
    day = np.array([float("nan") if value is None else value for value in days], np.float64)[which]
    hour, minute, second = number(11, 13), number(14, 16), number(17, 19)
    time: NDArray[np.float64] = (((day * 24 + hour) * 60 + minute) * 60 + second) * 1000 + number(20, 23)
    time[(hour > 23) | (minute > 59) | (second > 59)] = np.nan
    return time


@lru_cache(maxsize=64)
def _days(year: int, month: int, day: int) -> int | None:
    try:
        return datetime.date(year, month, day).toordinal() - _EPOCH
    except ValueError:
        return None


def _refusal(line: str, findings: Findings) -> str:
    """Message for an unusable log, with the program that may have written it."""
    first = findings.first_left_out()
    if first is not None and first[0] is not UNREADABLE_ROW:
        kind, row, detail = first
        return f"has no usable row; row {row}, {kind.name}: {detail}"
    fields = [text.strip() for text in re.split("[,;\t]", line)]
    numeric = [_NUMERIC.fullmatch(text) is not None for text in fields]
    expected = "Udacity's log has seven columns: center, left, right, steering, throttle, brake, speed"
    if "nombre_imagen" in fields or "comando" in fields:
        program = "a logger for conditional imitation learning (nombre_imagen, steering, comando)"
    elif numeric == [True] * 4 + [False] and is_image_name(fields[-1]):
        program = "Udacity's pre-release simulator of August 2016 (steering in degrees first, one image last)"
    elif numeric == [False, True] and is_image_name(fields[0]):
        program = "a Webots controller (one image and the steering)"
    else:
        count = f"{len(fields)} column{'' if len(fields) == 1 else 's'}"
        program = f"another program's, with {count}: {dialect.shorten(line)}"
    return f"is not a log of Udacity's simulator; it looks like the log of {program}. {expected}"
