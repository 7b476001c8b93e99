"""A ``driving_log.csv`` as columns, without looking at its pictures."""

from __future__ import annotations

import codecs
import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

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
from udacity_gym.telemetry import CAMERAS

_STAMP = re.compile(r"([0-9]{4})_([0-9]{2})_([0-9]{2})_([0-9]{2})_([0-9]{2})_([0-9]{2})_([0-9]{3})\.")
_EPOCH = datetime.date(1970, 1, 1).toordinal()
_NUMERIC = re.compile(r"[ \t]*[+-]?[0-9]*[.,]?[0-9]+(?:[eE][+-]?[0-9]+)?[ \t]*")


@dataclass(frozen=True)
class Log:
    """The rows of a log that can be read, in the order of the file.

    Attributes:
        path: the file.
        lines: rows the log has, readable or not.
        row: (n,) int64 line in the file, from 1.
        images: camera to n (folder part, file name) as written; ("", "") where the field is empty.
        values: (n, 4) float64 steering, throttle, brake and speed in mph.
        findings: what was noticed.
    """

    path: Path
    lines: int
    row: NDArray[np.int64]
    images: dict[str, list[tuple[str, str]]]
    values: NDArray[np.float64]
    findings: Findings


def read_log(path: Path) -> Log:
    """Read a log in any dialect.

    Args:
        path: the file.

    Returns:
        Its readable rows and what was noticed.

    Raises:
        RecordingError: The file is empty, is not text, or is another program's.
    """
    lines, findings = _lines(path)
    parsed = _parse(lines)
    if parsed.further_numbers:
        parsed = _parse(lines, numbers_follow=True)
    findings.extend(parsed.findings)
    if not parsed.lines:
        what = "has a header but no rows" if parsed.has_header else "is empty"
        raise RecordingError(
            f"{path} {what}. Udacity's simulator writes the rows when the recording is stopped and its "
            "pictures are saved: record again, or choose another folder"
        )
    if not parsed.row:
        raise RecordingError(f"{path} {_refusal(lines, findings)}")
    return Log(
        path,
        parsed.lines,
        np.array(parsed.row, np.int64),
        parsed.images,
        np.array(parsed.values, np.float64),
        findings,
    )


@dataclass
class _Parsed:
    """Lines of a log: how many are rows, which of them could be read, and what was noticed.

    Columns and not one object per row, whose number would keep Python's garbage collector busy.
    """

    lines: int = 0
    has_header: bool = False
    further_numbers: bool = False
    row: list[int] = field(default_factory=list)
    images: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: {name: [] for name in CAMERAS})
    values: list[tuple[float, ...]] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)

    def add(self, number: int, row: dialect.Row) -> None:
        self.row.append(number)
        self.images["center"].append(row.center)
        self.images["left"].append(row.left)
        self.images["right"].append(row.right)
        self.values.append(row[3:7])
        if row.further:
            self.further_numbers |= row.further_numbers
            self.findings.add(EXTRA_COLUMNS, number, f"{row.further} more")


def _parse(lines: Sequence[str], numbers_follow: bool = False) -> _Parsed:
    parsed = _Parsed()
    for number, line in enumerate(lines, start=1):
        if not line or line.isspace():
            continue
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
                continue
        parsed.lines += 1
    return parsed


def stamp(name: str) -> float:
    """The time in a picture's name.

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


@lru_cache(maxsize=64)
def _days(year: int, month: int, day: int) -> int | None:
    try:
        return datetime.date(year, month, day).toordinal() - _EPOCH
    except ValueError:
        return None


def _lines(path: Path) -> tuple[list[str], Findings]:
    """The lines of a text file in any of the usual encodings and line ends."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RecordingError(f"{path} can't be read: {error.strerror or error}") from error
    findings = Findings()
    encoding = "utf-8-sig"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
        findings.add_count(ENCODING, 1, "UTF-16")
    elif b"\0" in data:
        raise RecordingError(f"{path} is no text file; expected Udacity's driving_log.csv")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding == "utf-16":
            raise RecordingError(f"{path} is cut off inside of a character (UTF-16)") from error
        # Only the names of foreign folders can have such letters, so that any one-byte code will do.
        text = data.decode("latin-1")
        findings.add_count(ENCODING, 1, "not UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), findings


def _refusal(lines: Sequence[str], findings: Findings) -> str:
    """Say in a sentence why nothing of a log can be used, and whose log it may be."""
    first = findings.first_left_out()
    if first is not None and first[0] is not UNREADABLE_ROW:
        kind, row, detail = first
        return f"has no usable row; row {row}, {kind.name}: {detail}"
    line = next(line for line in lines if line.strip() and not dialect.is_header(line))
    fields = [text.strip() for text in re.split("[,;\t]", line)]
    numeric = [_NUMERIC.fullmatch(text) is not None for text in fields]
    expected = "Udacity's log has seven columns: center, left, right, steering, throttle, brake, speed"
    if "nombre_imagen" in fields or "comando" in fields:
        whose = "a logger for conditional imitation learning (nombre_imagen, steering, comando)"
    elif numeric == [True] * 4 + [False] and is_image_name(fields[-1]):
        whose = "Udacity's pre-release simulator of August 2016 (steering in degrees first, one picture last)"
    elif numeric == [False, True] and is_image_name(fields[0]):
        whose = "a Webots controller (one picture and the steering)"
    else:
        count = f"{len(fields)} column{'' if len(fields) == 1 else 's'}"
        whose = f"another program's, with {count}: {dialect.shorten(line)}"
    return f"is not a log of Udacity's simulator; it looks like the log of {whose}. {expected}"
