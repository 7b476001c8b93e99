"""Helpers that the formats share."""

from __future__ import annotations

import datetime
import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from udacity_gym.errors import RecordingError
from udacity_gym.progress import progress_bar
from udacity_gym.recording.dialect import shorten
from udacity_gym.recording.episodes import Episode, Frame, Recording
from udacity_gym.recording.images import decode_image
from udacity_gym.recording.report import SKIPPED_RECORD, Finding
from udacity_gym.recording.tools import NewFrame

T = TypeVar("T")


def frames_of(episode: Episode, bar: tqdm[Any]) -> Iterator[tuple[Frame, dict[str, Any]]]:
    """The frames of an episode, each with its entry of the side file."""
    for frame, extra in zip(episode, episode.extras(), strict=True):
        yield frame, extra
        bar.update()


def parquet_rows(files: Iterable[Path], parquet: Any, rows: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows of Parquet files, each with a name for messages.

    Args:
        files: the files.
        parquet: the module ``pyarrow.parquet``.
        rows: number of rows that are held in memory at once.
    """
    for file in files:
        with parquet.ParquetFile(file) as opened:
            blocks = (batch.to_pylist() for batch in opened.iter_batches(rows))
            for number, row in enumerate(itertools.chain.from_iterable(blocks), 1):
                yield f"{file.name}, row {number}", row


class UsableFrames:
    """Makes frames of the records of a data set; a record that can't be used is skipped and counted.

    Attributes:
        skipped: number of records that were skipped.
        first: name of the first of them, and its problem.
    """

    def __init__(self) -> None:
        self.skipped = 0
        self.first = ""

    def of(self, records: Iterable[tuple[str, T]], make: Callable[[T], NewFrame]) -> Iterator[NewFrame]:
        """Make the frames.

        Args:
            records: name of each record for messages, and the record.
            make: makes a frame of a record. A record that it raises an error for is skipped, as is one with
                broken images or numbers out of range.
        """
        for name, record in records:
            frame = self._make(name, record, make)
            if frame is not None:
                yield frame

    def _make(self, name: str, record: T, make: Callable[[T], NewFrame]) -> NewFrame | None:
        try:
            frame = make(record)
            _check_frame(frame)
        except RecordingError as problem:
            self.skip(name, str(problem))
        except (KeyError, TypeError, ValueError, OverflowError) as problem:
            self.skip(name, f"no frame: {problem!r}")
        else:
            return frame
        return None

    def skip(self, name: str, problem: str) -> None:
        """Count a record that can't be used."""
        self.skipped += 1
        self.first = self.first or f"{name}: {shorten(problem, 200)}"

    def reported(self, write: Callable[[], Recording], folder: Path) -> Recording:
        """Write the recording, and add a finding about the skipped records to its report.

        Raises:
            RecordingError: No record can be used, or the recording can't be written.
        """
        try:
            recording = write()
        except RecordingError as error:
            if not self.skipped:
                raise
            raise RecordingError(
                f"{error}; in {folder}, {self.skipped} records were skipped: {self.first}"
            ) from error
        if not self.skipped:
            return recording
        finding = Finding(SKIPPED_RECORD, (), self.first, self.skipped)
        return recording.with_episodes(recording.episodes, [finding])


def clip(value: Any, low: float = -1.0, high: float = 1.0) -> float:
    """A number within limits.

    Raises:
        ValueError: It is not finite.
    """
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is no finite number")
    return min(high, max(low, number))


def _check_frame(frame: NewFrame) -> None:
    """Make sure that a frame can be written.

    Raises:
        RecordingError: An image is broken, or a number is out of range.
    """
    for camera, image in frame.images.items():
        if not isinstance(image, bytes):
            raise RecordingError(f"the {camera} image is missing")
        decode_image(image, Path(f"the {camera} image"))
    limits = {"steering": (-1.0, 1.0), "throttle": (0.0, 1.0), "brake": (0.0, 1.0)}
    for name, (low, high) in limits.items():
        if not low <= getattr(frame, name) <= high:
            raise RecordingError(f"{name} is {getattr(frame, name)!r}, not in [{low:g}, {high:g}]")
    for name in ("speed", "time"):
        if not math.isfinite(getattr(frame, name)):
            raise RecordingError(f"{name} is {getattr(frame, name)!r}")


def converting_bar(recording: Recording) -> tqdm[Any]:
    """A progress bar over all frames, shown if the job takes longer than a second."""
    return progress_bar(desc="converting", total=len(recording), unit=" frames", delay=1.0, leave=False)


def to_text(extra: Mapping[str, Any]) -> str:
    """Convert an entry of the side file to text."""
    return json.dumps(extra, allow_nan=False)


def from_text(text: object) -> dict[str, Any]:
    """Inverse of `to_text`; {} for other texts."""
    try:
        extra = json.loads(text) if isinstance(text, str) else {}
    except ValueError:
        return {}
    if not isinstance(extra, dict):
        return {}
    extra.pop("image", None)
    return extra


def moment(text: object) -> datetime.datetime | None:
    """A local time that `datetime.isoformat` wrote; None of anything else."""
    try:
        return datetime.datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
