"""A ``driving_log.csv`` as columns, without looking at its images."""

from __future__ import annotations

import codecs
import datetime
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from udacity_gym.errors import RecordingError
from udacity_gym.recording import dialect
from udacity_gym.recording.images import is_image_name
from udacity_gym.recording.report import (
    ENCODING,
    EXTRA_COLUMNS,
    REPEATED_HEADER,
    UNREADABLE_ROW,
    Findings,
)
from udacity_gym.recording.storage import LOG_LIMIT, UNREADABLE, Storage
from udacity_gym.telemetry import CAMERAS

LONGEST_ROW = 1_000_000
"""Characters of a line from which on a file is no log at all."""

_STAMP = re.compile(r"([0-9]{4})_([0-9]{2})_([0-9]{2})_([0-9]{2})_([0-9]{2})_([0-9]{2})_([0-9]{3})\.")
_EPOCH = datetime.date(1970, 1, 1).toordinal()
_NUMERIC = re.compile(r"[ \t]*[+-]?[0-9]*[.,]?[0-9]+(?:[eE][+-]?[0-9]+)?[ \t]*")
_BLOCK = 1 << 20
"""Characters that are read at once."""


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


@dataclass(frozen=True)
class Log:
    """Readable rows of a log, in the order of the file.

    Attributes:
        path: the file.
        lines: rows the log has, readable or not.
        row: (n,) int64 line in the file, from 1.
        images: camera to its n paths as written.
        values: (n, 4) float64 steering, throttle, brake and speed in mph.
        findings: what was noticed.
    """

    path: Path
    lines: int
    row: NDArray[np.int64]
    images: dict[str, Paths]
    values: NDArray[np.float64]
    findings: Findings


def read_log(path: Path, storage: Storage, name: str) -> Log:
    """Read a log in any dialect.

    Args:
        path: what messages call the file.
        storage: where the file is.
        name: its name there.

    Returns:
        Its readable rows and what was noticed.

    Raises:
        RecordingError: The file is empty, is not text, is too large, or is another program's.
    """

    def parse(numbers_follow: bool = False) -> _Parsed:
        with storage.open(name, LOG_LIMIT) as file:
            encoding = "utf-16" if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
        for code in (encoding, "latin-1"):
            parsed = _Parsed()
            try:
                with storage.open(name, LOG_LIMIT) as file:
                    _parse(_blocks(path, file, code), parsed, numbers_follow)
            except UnicodeDecodeError as error:
                if code == "utf-16":
                    raise RecordingError(f"{path} is cut off inside of a character (UTF-16)") from error
                continue  # only the names of foreign folders can have such letters: any one-byte code will do
            if code != "utf-8-sig":
                parsed.findings.add_count(ENCODING, 1, "UTF-16" if code == "utf-16" else "not UTF-8")
            return parsed
        raise AssertionError("every byte is a letter of latin-1")

    try:
        parsed = parse()
        if parsed.further_numbers:
            parsed = parse(numbers_follow=True)
    except UNREADABLE as error:
        raise RecordingError(f"{path} can't be read: {error}") from error
    if not parsed.lines:
        problem = "has a header but no rows" if parsed.has_header else "is empty"
        raise RecordingError(
            f"{path} {problem}. Udacity's simulator writes the rows when the recording is stopped and its "
            "images are saved: record again, or choose another folder"
        )
    if not parsed.row:
        raise RecordingError(f"{path} {_refusal(parsed.first_line, parsed.findings)}")
    return Log(
        path,
        parsed.lines,
        np.array(parsed.row, np.int64),
        parsed.images,
        np.concatenate(parsed.values),
        parsed.findings,
    )


@dataclass
class _Parsed:
    """Lines of a log: how many are rows, which of them could be read, and what was noticed.

    Columns and not one object per row, whose number would keep Python's garbage collector busy.
    """

    lines: int = 0
    has_header: bool = False
    first_line: str = ""
    further_numbers: bool = False
    row: list[int] = field(default_factory=list)
    images: dict[str, Paths] = field(default_factory=lambda: {name: Paths() for name in CAMERAS})
    values: list[NDArray[np.float64]] = field(default_factory=list)
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


def _parse(blocks: Iterator[list[str]], parsed: _Parsed, numbers_follow: bool) -> None:
    start = 1
    for lines in blocks:
        block = dialect.parse_block(lines)
        if block is not None:
            parsed.add_block(start, block)
        else:
            for number, line in enumerate(lines, start):
                if line and not line.isspace():
                    _parse_line(number, line, parsed, numbers_follow)
        start += len(lines)


def _parse_line(number: int, line: str, parsed: _Parsed, numbers_follow: bool) -> None:
    try:
        parsed.add(number, dialect.parse(line, numbers_follow))
    except dialect.LineError as error:
        if not dialect.is_header(line):
            parsed.findings.add(error.kind, number, error.detail)
        elif dialect.has_image(line):
            detail = f"a header written over the row: {dialect.shorten(line)}"
            parsed.findings.add(UNREADABLE_ROW, number, detail)
        else:
            if parsed.has_header or parsed.lines:
                parsed.findings.add(REPEATED_HEADER, number, dialect.shorten(line))
            parsed.has_header = True
            return
        if not parsed.first_line:
            parsed.first_line = line
    parsed.lines += 1


def _blocks(path: Path, file: IO[bytes], encoding: str) -> Iterator[list[str]]:
    """The lines of a text file with any of the usual line ends, without these, some thousand at once."""
    text = io.TextIOWrapper(file, encoding=encoding, newline=None)
    rest = ""
    try:
        while block := text.read(_BLOCK):
            if "\0" in block:
                raise RecordingError(f"{path} is no text file; expected Udacity's driving_log.csv")
            *lines, rest = (rest + block).split("\n")
            if len(rest) > LONGEST_ROW:
                raise RecordingError(
                    f"{path} has a line of more than {LONGEST_ROW:,} characters; "
                    "it is no log of Udacity's simulator"
                )
            # What is odd is mostly at the top, such as a header: it should not cost the rest its speed.
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
