"""Parse one line of a ``driving_log.csv``, in any of the forms found in the wild.

Udacity's simulators write ``center, left, right, steering, throttle, brake, speed``. Builds of 2016
separate with ``", "``, later ones with ``","``. Paths are those of the recording machine. Numbers are in
the culture of that machine, so that a comma may be both separator and decimal mark. Spreadsheets and
programs of students add quotes, semicolons and more columns, and change the order of the columns.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from udacity_gym.recording.header import FIELDS, UDACITY, Columns
from udacity_gym.recording.report import AMBIGUOUS, NOT_A_NUMBER, UNREADABLE_ROW, Kind
from udacity_gym.telemetry import CAMERAS

RANGES = {"steering": (-1.0, 1.0), "throttle": (0.0, 1.0), "brake": (0.0, 1.0), "speed": (0.0, 200.0)}
"""Range of each number. Speed is in mph: the simulator's car reaches 30, modified ones more."""

LONGEST_LINE = 10_000
"""Maximum length of a row, characters. A row of the simulator has some hundred."""

_IMAGE = r"[^,;\t\"\\/]*\.(?:jpe?g|png)"
_NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
# Every part of these patterns can match a character in one way only, so that no line takes long.
_PLAIN = re.compile(
    ",".join([rf"((?:[^,;\t\"]*[\\/])?)({_IMAGE})[ \t]*"] * 3 + [rf"[ \t]*({_NUMBER})[ \t]*"] * 4),
    re.IGNORECASE,
)
_PLAIN_NUMBERS = re.compile(r"[0-9+\-.eE ]*")
_ODD_IN_NAMES = re.compile(r"""[/\\;\t" ]""")
# Cultures of Arabic machines write the minus sign behind the number.
_NUMBER_ONLY = re.compile(rf"{_NUMBER}|(?=[0-9.]){_NUMBER}-")
_COMMA_NUMBER = re.compile(
    r"[+-]?[0-9]+(?:,[0-9]+)?(?:[eE][+-]?[0-9]+)?|[0-9]+(?:,[0-9]+)?(?:[eE][+-]?[0-9]+)?-"
)
_WHOLE = re.compile(r"[+-]?[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+(?:[eE][+-]?[0-9]+)?-")
_SLASH_NUMBER = re.compile(r"([+-]?[0-9]+)/([0-9]+(?:[eE][+-]?[0-9]+)?-?)")
_SIGNS = {ord(sign): "-" for sign in "\u2212\u2010\u2011\u2012\u2013\ufe63\uff0d"} | {ord("\u066b"): "."}
_MARKS = dict.fromkeys(map(ord, "\u200e\u200f\u061c\u202a\u202b\u202c\u2066\u2067\u2068\u2069"))
"""Marks of the direction of writing, which some cultures put around signs."""
_IMAGE_NAME = re.compile(r".*\.(?:jpe?g|png)", re.IGNORECASE | re.DOTALL)
_SEPARATOR = re.compile(r"\.(?:jpe?g|png)[\"']?[ ]*([,;\t|])", re.IGNORECASE)
_QUOTES = " \t\"'"
_STEERING_ONLY = (*CAMERAS, "steering")
_Path: TypeAlias = "tuple[str, str]"
_NO_PATH: _Path = ("", "")


class Row(NamedTuple):
    """Fields of one line. Numbers may be out of range, see `out_of_range`.

    Attributes:
        center: (folder part, file name) of the image; ("", "") where the field is empty.
        left: the same.
        right: the same.
        steering: [-1, 1], positive turns right.
        throttle: [0, 1]; NaN if the log has no such column, as for the other numbers.
        brake: [0, 1].
        speed: mph, [0, 200].
        further: number of columns that follow.
        further_numbers: whether the first of them is a number, so that whole numbers may be as well.
    """

    center: _Path
    left: _Path
    right: _Path
    steering: float
    throttle: float
    brake: float
    speed: float
    further: int = 0
    further_numbers: bool = False


class Block(NamedTuple):
    """Fields of many lines of one style.

    Attributes:
        paths: folder part and n file names for each of center, left and right.
        values: (n, 4) float64 steering, throttle, brake, and speed in mph; NaN for missing columns.
    """

    paths: tuple[tuple[str, list[str]], ...]
    values: NDArray[np.float64]


class LineError(ValueError):
    """A line can't be used.

    Attributes:
        kind: kind of the finding in the report.
        detail: description of the problem, which names the field.
    """

    def __init__(self, kind: Kind, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


def has_image(line: str) -> bool:
    """Whether the line contains the name of an image."""
    return re.search(r"\.(?:jpe?g|png)", line, re.IGNORECASE) is not None


def parse(line: str, numbers_follow: bool = False, columns: Columns = UDACITY) -> Row:
    """Read one line.

    Args:
        line: without its end.
        numbers_follow: the file has lines with `Row.further_numbers`, so that more than four whole
            numbers may be further columns as well as decimal commas.
        columns: order of the columns.

    Returns:
        The fields.

    Raises:
        LineError: The line can't be used; `LineError.kind` says why.
    """
    if not columns.is_udacity:
        return _parse_columns(line, numbers_follow, columns)
    plain = _PLAIN.fullmatch(line)
    if plain is None:
        return _parse_blocks(_split(line, columns.separator), numbers_follow, UDACITY)
    center, center_name, left, left_name, right, right_name, *numbers = plain.groups()
    steering, throttle, brake, speed = map(float, numbers)
    return Row(
        (center.lstrip(), center_name.lstrip()),
        (left.lstrip(), left_name.lstrip()),
        (right.lstrip(), right_name.lstrip()),
        steering,
        throttle,
        brake,
        speed,
    )


def parse_block(lines: Sequence[str], columns: Columns = UDACITY) -> Block | None:
    """Read many lines at once, column by column, which is several times as fast as line by line.

    Args:
        lines: without their ends.
        columns: order of the columns.

    Returns:
        What `parse` gives for each of them; None where not all are of one plain style.
    """
    rows = [line.split(",") for line in lines]
    if set(map(len, rows)) != {len(columns.names)} or (columns.is_udacity and columns.names != UDACITY.names):
        return None
    table = list(zip(*rows, strict=True))
    paths = {camera: _split_column(table[columns.index[camera]]) for camera in columns.cameras}
    if None in paths.values():
        return None
    values = np.full((len(rows), len(FIELDS)), np.nan)
    try:
        for name in columns.numbers:
            column = table[columns.index[name]]
            if not _PLAIN_NUMBERS.fullmatch(" ".join(column)):
                return None
            values[:, FIELDS.index(name)] = [float(text) for text in column]
    except ValueError:
        return None
    return Block(tuple(paths.get(camera) or ("", [""] * len(rows)) for camera in CAMERAS), values)


def out_of_range(values: Sequence[float]) -> str | None:
    """Describe the first number of a row that is out of range; None if all are in range or missing (NaN)."""
    for value, (name, (low, high)) in zip(values, RANGES.items(), strict=True):
        if not (low <= value <= high or math.isnan(value)):
            unit = " mph" if name == "speed" else ""
            return f"{name} is {value:g}, not in [{low:g}, {high:g}]{unit}"
    return None


def _split_column(column: Sequence[str]) -> tuple[str, list[str]] | None:
    """Split paths into their common folder and their names; None where that takes a closer look."""
    cut = max(column[0].rfind("/"), column[0].rfind("\\")) + 1
    folder = column[0][:cut]
    if not all(path.startswith(folder) for path in column):
        return None
    names = [path[cut:] for path in column]
    if _ODD_IN_NAMES.search("\n".join(names)) or any(letter in folder for letter in ';\t"'):
        return None
    if not all(name.endswith((".jpg", ".png")) for name in names):
        return None
    return folder.lstrip(), names


def _parse_columns(line: str, numbers_follow: bool, columns: Columns) -> Row:
    """Read a line whose columns are not Udacity's."""
    fields = _split(line, columns.separator)
    if columns.names == _STEERING_ONLY:  # the header may be shorter than the rows
        _, numbers = _paths(fields, CAMERAS)
        if len(numbers) >= len(FIELDS):
            return _parse_blocks(fields, numbers_follow, UDACITY)
    count = len(columns.names)
    if len(fields) >= count and not any(field.strip(_QUOTES) for field in fields[count:]):
        return _parse_in_place(fields, columns)
    if len(fields) > count and columns.is_in_blocks:
        return _parse_blocks(fields[columns.leading :], numbers_follow, columns)
    raise LineError(UNREADABLE_ROW, f"{len(fields)} fields, but {count} columns: {shorten(line)}")


def _parse_in_place(fields: Sequence[str], columns: Columns) -> Row:
    """Read a line with a field for each column."""
    paths: dict[str, _Path] = {}
    for camera in columns.cameras:
        field = fields[columns.index[camera]]
        text = field.strip(_QUOTES)
        if not (_IMAGE_NAME.fullmatch(text) or (not text and camera != "center")):
            raise LineError(UNREADABLE_ROW, f"{camera} is {shorten(text)!r}, not an image")
        cut = max(text.rfind("/"), text.rfind("\\")) + 1
        paths[camera] = (text[:cut], text[cut:])
    numbers: dict[str, float] = {}
    for name in columns.numbers:
        text = _plain(fields[columns.index[name]])
        if _COMMA_NUMBER.fullmatch(text):
            text = text.replace(",", ".")
        if not _NUMBER_ONLY.fullmatch(text):
            raise LineError(NOT_A_NUMBER, f"{name} is {shorten(text)!r}")
        numbers[name] = _value(text)
    return _row(paths, numbers)


def _parse_blocks(fields: Sequence[str], numbers_follow: bool, columns: Columns) -> Row:
    """Read a line with images first, and numbers after them in which commas may be decimal marks."""
    paths, rest = _paths(fields, columns.cameras)
    values, further, further_numbers = _numbers(rest, numbers_follow, columns.numbers)
    row = _row(paths, dict(zip(columns.numbers, values, strict=True)))
    return row._replace(further=further, further_numbers=further_numbers)


def _row(paths: Mapping[str, _Path], numbers: Mapping[str, float]) -> Row:
    center, left, right = (paths.get(camera, _NO_PATH) for camera in CAMERAS)
    steering, throttle, brake, speed = (numbers.get(name, math.nan) for name in FIELDS)
    return Row(center, left, right, steering, throttle, brake, speed)


def _split(line: str, default: str = ",") -> list[str]:
    """Split at the separator, which is the one that follows an image's name; blanks are kept."""
    if len(line) > LONGEST_LINE:
        raise LineError(UNREADABLE_ROW, f"a line of {len(line)} characters: {shorten(line)}")
    match = _SEPARATOR.search(line)
    separator = match.group(1) if match else default
    if '"' in line:
        with contextlib.suppress(csv.Error, StopIteration):
            return next(csv.reader([line], delimiter=separator, skipinitialspace=True))
    return line.split(separator)


def _paths(fields: Sequence[str], cameras: Sequence[str]) -> tuple[dict[str, _Path], list[str]]:
    """Read the images.

    Folders may have commas in their names, so a path goes on until a field that ends like an image.

    Returns:
        (folder part, file name) for each camera, and the fields after them.
    """
    paths: list[_Path] = []
    start = 0
    for index, field in enumerate(fields):
        text = field.strip(_QUOTES)
        if index == start and not text and paths:
            paths.append(_NO_PATH)
        elif _IMAGE_NAME.fullmatch(text):
            cut = max(field.rfind("/"), field.rfind("\\")) + 1
            folder = ",".join([*fields[start:index], field[:cut]]).strip(_QUOTES)
            paths.append((folder, field[cut:].strip(_QUOTES)))
        else:
            continue
        start = index + 1
        if len(paths) == len(cameras):
            return dict(zip(cameras, paths, strict=True)), list(fields[start:])
    belong = " and ".join([", ".join(cameras[:-1]), cameras[-1]] if len(cameras) > 1 else cameras)
    raise LineError(UNREADABLE_ROW, f"{len(paths)} images where {belong} belong: {shorten(','.join(fields))}")


def _numbers(
    fields: Sequence[str], numbers_follow: bool, names: Sequence[str]
) -> tuple[list[float], int, bool]:
    """Read the numbers, whatever the decimal mark.

    Returns:
        The numbers, how many columns follow, and whether those begin with numbers.
    """
    count = len(names)
    spaced = re.split(r",[ \t]+", ",".join(fields).strip(" \t"))
    for columns in (fields[:count], spaced):  # commas inside of fields; ", " between them
        texts = list(map(_plain, columns))
        if len(texts) == count and "," in "".join(texts) and all(map(_COMMA_NUMBER.fullmatch, texts)):
            further = 0 if columns is spaced else len(fields) - count
            return [_value(text.replace(",", ".")) for text in texts], further, False
    plain = map(_plain, fields)
    numbers = list(itertools.takewhile(lambda text: _NUMBER_ONLY.fullmatch(text) is not None, plain))
    if len(numbers) < min(count, len(fields)):
        raise LineError(
            NOT_A_NUMBER, f"{names[len(numbers)]} is {shorten(fields[len(numbers)].strip(_QUOTES))!r}"
        )
    if len(numbers) < count:
        wanted = "four" if count == len(FIELDS) else count
        raise LineError(UNREADABLE_ROW, f"{len(numbers)} numbers after the images instead of {wanted}")
    if len(numbers) == count or any("." in text for text in numbers):
        return [_value(text) for text in numbers[:count]], len(fields) - count, len(numbers) > count
    readings = list(_decimal_comma_readings(numbers, names))
    if numbers_follow:
        readings.append([_value(text) for text in numbers[:count]])
    if len(readings) == 1:
        return readings[0], len(fields) - len(numbers), False
    written = shorten(",".join(numbers))
    if not readings:
        wanted = "four numbers" if count == len(FIELDS) else " and ".join(names)
        raise LineError(UNREADABLE_ROW, f"{written} can't be read as {wanted}")
    meanings = " or ".join(" ".join(f"{value:g}" for value in reading) for reading in readings[:2])
    raise LineError(AMBIGUOUS, f"{written} may mean {meanings}")


def _plain(field: str) -> str:
    """A number of any culture with ASCII digits and signs; its comma and a minus sign behind it stay."""
    text = field.strip(_QUOTES)
    if not text.isascii():
        text = text.translate(_SIGNS).translate(_MARKS)
        text = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text).strip(_QUOTES)
    match = _SLASH_NUMBER.fullmatch(text) if "/" in text else None  # the decimal mark in Iran
    return text if match is None else f"{match[1]}.{match[2]}"


def _value(text: str) -> float:
    """A number whose minus sign may be behind it."""
    return -float(text[:-1]) if text.endswith("-") else float(text)


def _decimal_comma_readings(tokens: Sequence[str], names: Sequence[str]) -> Iterator[list[float]]:
    """All ways to join whole numbers with decimal commas to numbers that the simulator can have written."""
    count = len(names)
    pairs = len(tokens) - count
    if pairs > count or not all(_WHOLE.fullmatch(token) for token in tokens):
        return
    ranges = [RANGES[name] for name in names]
    for joined in itertools.combinations(range(count), pairs):
        texts, position = [], 0
        for index in range(count):
            width = 2 if index in joined else 1
            texts.append(".".join(tokens[position : position + width]))
            position += width
        if all(_is_written_by_simulator(text) for text in texts):
            values = [_value(text) for text in texts]
            if all(low <= value <= high for value, (low, high) in zip(values, ranges, strict=True)):
                yield values


def _is_written_by_simulator(text: str) -> bool:
    """Whether C#'s ``float.ToString`` writes a number like this.

    It puts no zeros in front or at the end, and with an exponent one digit before the point.
    """
    if not _NUMBER_ONLY.fullmatch(text):
        return False
    mantissa, *exponent = re.split("[eE]", text.removesuffix("-"))
    whole, *fraction = mantissa.split(".")
    digits = whole.lstrip("+-")
    if len(digits) > 1 and (digits[0] == "0" or exponent):
        return False
    if fraction:
        return not fraction[0].endswith("0")
    return digits != "0" or (whole == "0" and not exponent)


def shorten(text: str, length: int = 60) -> str:
    """Cut text for a message."""
    return text if len(text) <= length else f"{text[: length - 3]}..."
