"""One line of a ``driving_log.csv``, in any of the forms found in the wild, to seven fields.

Udacity's simulators write ``center, left, right, steering, throttle, brake, speed``: the 2016 builds
separate with ``", "``, later ones with ``","``; paths are those of the recording machine; numbers
follow that machine's culture, so that on some systems a comma is separator and decimal mark at
once. Spreadsheets and hand-edited copies add quotes, semicolons and further columns.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from udacity_gym.recording.report import AMBIGUOUS, NOT_A_NUMBER, OUT_OF_RANGE, UNREADABLE_ROW, Kind

FIELDS = ("steering", "throttle", "brake", "speed")
"""The four numbers of a row, in the order of the file."""

RANGES = {"steering": (-1.0, 1.0), "throttle": (0.0, 1.0), "brake": (0.0, 1.0), "speed": (0.0, 200.0)}
"""What a number may be. Speed is in mph; the simulator's car reaches 30, modified ones more."""

LONGEST_LINE = 10_000
"""Characters; a row of the simulator has some hundred, so that longer lines are no rows."""

_IMAGE = r"[^,;\t\"\\/]*\.(?:jpe?g|png)"
_NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
# Every part of these patterns can match a character in one way only, so that no line takes long.
_PLAIN = re.compile(
    ",".join([rf"((?:[^,;\t\"]*[\\/])?)({_IMAGE})[ \t]*"] * 3 + [rf"[ \t]*({_NUMBER})[ \t]*"] * 4),
    re.IGNORECASE,
)
_PLAIN_NUMBERS = re.compile(r"[0-9+\-.eE ]*")
_ODD_IN_NAMES = re.compile(r"""[/\\;\t" ]""")
_NUMBER_ONLY = re.compile(_NUMBER)
_COMMA_NUMBER = re.compile(r"[+-]?[0-9]+(?:,[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WHOLE = re.compile(r"[+-]?[0-9]+(?:[eE][+-]?[0-9]+)?")
_IMAGE_NAME = re.compile(r".*\.(?:jpe?g|png)", re.IGNORECASE | re.DOTALL)
_SEPARATOR = re.compile(r"\.(?:jpe?g|png)[\"']?[ ]*([,;\t])", re.IGNORECASE)
_QUOTES = " \t\"'"
_Paths: TypeAlias = "tuple[tuple[str, str], tuple[str, str], tuple[str, str]]"


class Row(NamedTuple):
    """The fields of one line.

    Attributes:
        center: (folder part, file name) of the image; ("", "") where the field is empty.
        left: the same.
        right: the same.
        steering: [-1, 1], positive turns right.
        throttle: [0, 1].
        brake: [0, 1].
        speed: mph, [0, 200].
        further: columns that follow.
        further_numbers: the first of them are numbers too, so that whole numbers may be as well.
    """

    center: tuple[str, str]
    left: tuple[str, str]
    right: tuple[str, str]
    steering: float
    throttle: float
    brake: float
    speed: float
    further: int = 0
    further_numbers: bool = False


class Block(NamedTuple):
    """The fields of many lines of one style.

    Attributes:
        paths: of center, left and right the folder part, and the n file names.
        values: (n, 4) float64 steering, throttle, brake, and speed in mph; all in range.
    """

    paths: tuple[tuple[str, list[str]], ...]
    values: NDArray[np.float64]


class LineError(ValueError):
    """A line can't be used.

    Attributes:
        kind: what the report calls it.
        detail: what is wrong, naming the field.
    """

    def __init__(self, kind: Kind, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


def is_header(line: str) -> bool:
    """Whether the line names the columns of Udacity's log."""
    names = [name.strip(" \t\"'").casefold() for name in re.split("[,;\t]", line)[:5]]
    if names and names[0] == "":  # the unnamed index column that pandas writes
        names = names[1:]
    return names[:3] == ["center", "left", "right"]


def has_image(line: str) -> bool:
    """Whether the line has a name of an image somewhere."""
    return re.search(r"\.(?:jpe?g|png)", line, re.IGNORECASE) is not None


def parse(line: str, numbers_follow: bool = False) -> Row:
    """Read one line.

    Args:
        line: without its end.
        numbers_follow: the file has lines with `Row.further_numbers`, so that more than four whole
            numbers may be further columns as well as decimal commas.

    Returns:
        The fields.

    Raises:
        LineError: The line can't be used; `LineError.kind` says why.
    """
    plain = _PLAIN.fullmatch(line)
    if plain is not None:
        center, center_name, left, left_name, right, right_name, *numbers = plain.groups()
        steering, throttle, brake, speed = map(float, numbers)
        row = Row(
            (center.lstrip(), center_name.lstrip()),
            (left.lstrip(), left_name.lstrip()),
            (right.lstrip(), right_name.lstrip()),
            steering,
            throttle,
            brake,
            speed,
        )
    else:
        row = _parse_odd(line, numbers_follow)
    if not (
        -1.0 <= row.steering <= 1.0
        and 0 <= row.throttle <= 1
        and 0 <= row.brake <= 1
        and 0 <= row.speed <= 200
    ):
        raise _out_of_range(row)
    return row


def parse_block(lines: Sequence[str]) -> Block | None:
    """Read many lines at once, column by column, which is several times as fast as line by line.

    Args:
        lines: without their ends.

    Returns:
        What `parse` gives for each of them; None where not all are of one plain style.
    """
    rows = [line.split(",") for line in lines]
    if set(map(len, rows)) != {7}:
        return None
    *columns, steering, throttle, brake, speed = zip(*rows, strict=True)
    numbers = (steering, throttle, brake, speed)
    if not all(_PLAIN_NUMBERS.fullmatch(" ".join(column)) for column in numbers):
        return None
    paths = [_split_column(column) for column in columns]
    try:
        values = np.array([[float(text) for text in column] for column in numbers]).T
    except ValueError:
        return None
    low, high = np.array(list(RANGES.values())).T
    if None in paths or not ((values >= low) & (values <= high)).all():
        return None
    return Block(tuple(path for path in paths if path is not None), np.ascontiguousarray(values))


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


def _parse_odd(line: str, numbers_follow: bool) -> Row:
    if len(line) > LONGEST_LINE:
        raise LineError(UNREADABLE_ROW, f"a line of {len(line)} characters: {shorten(line)}")
    paths, rest = _episode_paths(line)
    (steering, throttle, brake, speed), further, further_numbers = _episode_numbers(rest, numbers_follow)
    return Row(*paths, steering, throttle, brake, speed, further, further_numbers)


def _split(line: str) -> list[str]:
    """Split at the separator, which is the one that follows an image's name; blanks are kept."""
    match = _SEPARATOR.search(line)
    separator = match.group(1) if match else ","
    if '"' in line:
        with contextlib.suppress(csv.Error, StopIteration):
            return next(csv.reader([line], delimiter=separator, skipinitialspace=True))
    return line.split(separator)


def _episode_paths(line: str) -> tuple[_Paths, list[str]]:
    """Split off the three images.

    Folders may have commas in their names, so a path goes on until a field that ends like an image.

    Returns:
        Three (folder part, file name), and the fields after them.
    """
    fields = _split(line)
    paths: list[tuple[str, str]] = []
    start = 0
    for index, field in enumerate(fields):
        text = field.strip(_QUOTES)
        if index == start and not text and paths:
            paths.append(("", ""))
        elif _IMAGE_NAME.fullmatch(text):
            cut = max(field.rfind("/"), field.rfind("\\")) + 1
            folder = ",".join([*fields[start:index], field[:cut]]).strip(_QUOTES)
            paths.append((folder, field[cut:].strip(_QUOTES)))
        else:
            continue
        start = index + 1
        if len(paths) == 3:
            return (paths[0], paths[1], paths[2]), fields[start:]
    raise LineError(
        UNREADABLE_ROW, f"{len(paths)} images where center, left and right belong: {shorten(line)}"
    )


def _leading_numbers(fields: Sequence[str]) -> list[str]:
    stripped = (field.strip(" \t\"'") for field in fields)
    return list(itertools.takewhile(lambda text: _NUMBER_ONLY.fullmatch(text) is not None, stripped))


def _episode_numbers(fields: Sequence[str], numbers_follow: bool) -> tuple[list[float], int, bool]:
    """Read the four numbers, whatever the decimal mark.

    Returns:
        The numbers, how many columns follow, and whether those begin with numbers.
    """
    spaced = re.split(r",[ \t]+", ",".join(fields).strip(" \t"))
    for columns in (fields[:4], spaced):  # commas inside of fields; ", " between them
        texts = [text.strip(_QUOTES) for text in columns]
        if len(texts) == 4 and "," in "".join(texts) and all(map(_COMMA_NUMBER.fullmatch, texts)):
            further = 0 if columns is spaced else len(fields) - 4
            return [float(text.replace(",", ".")) for text in texts], further, False
    numbers = _leading_numbers(fields)
    if len(numbers) < min(4, len(fields)):
        raise LineError(
            NOT_A_NUMBER, f"{FIELDS[len(numbers)]} is {shorten(fields[len(numbers)].strip(_QUOTES))!r}"
        )
    if len(numbers) < 4:
        raise LineError(UNREADABLE_ROW, f"{len(numbers)} numbers after the images instead of four")
    if len(numbers) == 4 or any("." in text for text in numbers):
        return [float(text) for text in numbers[:4]], len(fields) - 4, len(numbers) > 4
    readings = list(_decimal_comma_readings(numbers))
    if numbers_follow:
        readings.append([float(text) for text in numbers[:4]])
    if len(readings) == 1:
        return readings[0], len(fields) - len(numbers), False
    written = shorten(",".join(numbers))
    if not readings:
        raise LineError(UNREADABLE_ROW, f"{written} can't be read as four numbers")
    meanings = " or ".join(" ".join(f"{value:g}" for value in reading) for reading in readings[:2])
    raise LineError(AMBIGUOUS, f"{written} may mean {meanings}")


def _decimal_comma_readings(tokens: Sequence[str]) -> Iterator[list[float]]:
    """All ways to join whole numbers to four with decimal commas that the simulator can have written."""
    pairs = len(tokens) - 4
    if pairs > 4 or not all(_WHOLE.fullmatch(token) for token in tokens):
        return
    for joined in itertools.combinations(range(4), pairs):
        texts, position = [], 0
        for index in range(4):
            width = 2 if index in joined else 1
            texts.append(".".join(tokens[position : position + width]))
            position += width
        if all(_is_written_by_simulator(text) for text in texts):
            values = [float(text) for text in texts]
            if all(low <= value <= high for value, (low, high) in zip(values, RANGES.values(), strict=True)):
                yield values


def _is_written_by_simulator(text: str) -> bool:
    """Whether C#'s ``float.ToString`` writes a number like this.

    It puts no zeros in front or at the end, and with an exponent one digit before the point.
    """
    if not _NUMBER_ONLY.fullmatch(text):
        return False
    mantissa, *exponent = re.split("[eE]", text)
    whole, *fraction = mantissa.split(".")
    digits = whole.lstrip("+-")
    if len(digits) > 1 and (digits[0] == "0" or exponent):
        return False
    if fraction:
        return not fraction[0].endswith("0")
    return digits != "0" or (whole == "0" and not exponent)


def _out_of_range(row: Row) -> LineError:
    for name, (low, high) in RANGES.items():
        value: float = getattr(row, name)
        if not low <= value <= high:
            unit = " mph" if name == "speed" else ""
            return LineError(OUT_OF_RANGE, f"{name} is {value:g}, not in [{low:g}, {high:g}]{unit}")
    raise AssertionError("called for a row that is in range")


def shorten(text: str, length: int = 60) -> str:
    """Cut text for a message."""
    return text if len(text) <= length else f"{text[: length - 3]}..."
