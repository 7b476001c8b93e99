"""Tools for whole recordings: edits that can be undone, and clean copies."""

from __future__ import annotations

import contextlib
import datetime
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from udacity_gym.errors import OptionError, RecordingError
from udacity_gym.files import replacing
from udacity_gym.progress import progress_bar
from udacity_gym.recording.balance import BINS, balanced
from udacity_gym.recording.edits import Edit, edited_folder, log_crc, read_edits, write_edits
from udacity_gym.recording.episodes import Episode, Recording
from udacity_gym.recording.header import FIELDS
from udacity_gym.recording.log import stamp
from udacity_gym.recording.reader import EPISODE_GAP, open_recording
from udacity_gym.recording.report import Report
from udacity_gym.recording.writer import RecordingWriter, format_number, header_line
from udacity_gym.telemetry import CAMERAS, Image
from udacity_gym.text import count

PathOrPaths: TypeAlias = "str | PathLike[str] | Sequence[str | PathLike[str]]"

_EPOCH = datetime.datetime(1970, 1, 1)
_NO_DATE = datetime.datetime(2000, 1, 1)
"""Start of episodes whose image names contain no time."""


@dataclass(frozen=True)
class NewFrame:
    """A frame to be written to a recording; see `RecordingWriter.write`."""

    images: Mapping[str, Image | bytes]
    steering: float
    throttle: float
    brake: float
    speed: float
    time: float
    extra: Mapping[str, Any]


@dataclass(frozen=True)
class NewEpisode:
    """An episode to be written to a recording.

    Attributes:
        frames: frames in order of time.
        start: local time of the first frame; None for a time after the episode before.
    """

    frames: Iterable[NewFrame]
    start: datetime.datetime | None = None


def trim(
    path: str | PathLike[str], start: float = 0.0, end: float = 0.0, episodes: Sequence[int] | None = None
) -> Edit:
    """Remove the beginning and the end of episodes.

    Args:
        path: folder of the recording.
        start: seconds to remove at the beginning of each episode.
        end: seconds to remove at the end of each episode.
        episodes: indices of the episodes, from 0; None for all.

    Returns:
        The edit that was added to the recording.

    Raises:
        OptionError: A number is negative or not finite, or an episode does not exist.
    """
    if not (start >= 0 and end >= 0 and np.isfinite(start + end)):
        raise OptionError(f"start and end must be 0 or more seconds, got {start!r} and {end!r}")

    def rows(recording: Recording) -> NDArray[np.int64]:
        trimmed = [
            episode.row[(episode.time < start) | (episode.time > episode.time[-1] - end)]
            for episode in _selected(recording, episodes)
        ]
        return np.concatenate(trimmed) if trimmed else np.empty(0, np.int64)

    arguments = {"start": start, "end": end} | ({} if episodes is None else {"episodes": list(episodes)})
    return _add_edit(path, "trim", arguments, leave_out=rows)


def split(path: str | PathLike[str], seconds: float | None = None, rows: Sequence[int] = ()) -> Edit:
    """Split episodes.

    Args:
        path: folder of the recording.
        seconds: maximum duration of a piece, s.
        rows: lines of the log before which to split.

    Returns:
        The edit that was added to the recording.

    Raises:
        OptionError: Neither is given, or a row is not in the recording.
    """
    if (seconds is None) == (not rows):
        raise OptionError("choose where to split: seconds=60 or rows=(512, 900)")
    if seconds is not None and not seconds > 0:
        raise OptionError(f"seconds must be positive, got {seconds!r}")

    def cuts(recording: Recording) -> NDArray[np.int64]:
        if seconds is not None:
            first_rows = [
                int(episode.row[i])
                for episode in recording.episodes
                for i in np.flatnonzero(np.diff(np.floor(episode.time / seconds + 1e-9)) > 0) + 1
            ]
            return np.array(first_rows, np.int64)
        used = {row for episode in recording.episodes for row in episode.row.tolist()}
        unknown = [row for row in rows if row not in used]
        if unknown:
            raise OptionError(f"{path} has no usable row {', '.join(map(str, unknown))}")
        return np.array(sorted(rows), np.int64)

    arguments = {"seconds": seconds} if seconds is not None else {"rows": list(rows)}
    return _add_edit(path, "split", arguments, cut_before=cuts)


def balance(path: str | PathLike[str], bins: int = BINS, keep: int | None = None, seed: int = 0) -> Edit:
    """Remove frames with the most common steering at random, see `udacity_gym.recording.balance.balanced`.

    Args:
        path: folder of the recording.
        bins: number of bins over [-1, 1].
        keep: maximum number of frames per bin; None for the mean of the non-empty bins.
        seed: seed of the random choice.

    Returns:
        The edit that was added to the recording.
    """

    def rows(recording: Recording) -> NDArray[np.int64]:
        steering = np.concatenate([episode.steering for episode in recording.episodes])
        row = np.concatenate([episode.row for episode in recording.episodes])
        return row[~balanced(steering, bins, keep, seed)]

    arguments = {"bins": bins, "keep": keep, "seed": seed}
    return _add_edit(path, "balance", arguments, leave_out=rows)


def leave_out(path: str | PathLike[str], rows: Iterable[int]) -> Edit:
    """Remove rows.

    Args:
        path: folder of the recording.
        rows: lines of the log.

    Returns:
        The edit that was added to the recording.
    """
    left_out = np.unique(np.fromiter(rows, np.int64))
    return _add_edit(path, "leave_out", {}, leave_out=lambda _: left_out)


def check(path: PathOrPaths, leave_out_unusable: bool = False, progress: bool = True) -> Report:
    """Decode all images and report problems of a recording.

    Args:
        path: argument of `open_recording`.
        leave_out_unusable: add an edit that removes the rows with problems; only for a single folder.
        progress: show a progress bar if it takes longer than a second.

    Returns:
        The report.
    """
    recording = open_recording(path)
    report = recording.check(progress)
    if leave_out_unusable:
        folder = edited_folder(recording)
        used = {row for episode in recording.episodes for row in episode.row.tolist()}
        rows = used.intersection(report.unusable)
        if rows:
            leave_out(folder, rows)
    return report


def edits_of(path: str | PathLike[str]) -> list[Edit]:
    """The edits of a recording, in the order they were made."""
    recording = open_recording(path, edits=False)
    return [edit for single in recording.parts if single.storage for edit in read_edits(single.storage)]


def undo(path: str | PathLike[str], everything: bool = False) -> list[Edit]:
    """Undo the last edit.

    Args:
        path: folder of the recording.
        everything: undo all edits.

    Returns:
        The undone edits; empty if there were none.
    """
    recording = open_recording(path, edits=False)
    edited_folder(recording)
    assert recording.storage is not None
    edits = read_edits(recording.storage)
    keep = [] if everything else edits[:-1]
    if edits:
        write_edits(recording, keep)
    return edits[len(keep) :]


def fix(
    path: str | PathLike[str], output: str | PathLike[str] | None = None, progress: bool = True
) -> Recording:
    """Write a clean recording: only usable rows, edits applied, relative paths, Udacity's number format.

    If numbers such as the throttle were not recorded, the log has a header and lacks their columns.

    Args:
        path: a recording.
        output: new folder for a clean copy. None rewrites the log in place; the old log is kept as
            ``driving_log.csv.bak``, and no image is changed.
        progress: show a progress bar if it takes longer than a second.

    Returns:
        The clean recording.

    Raises:
        RecordingError: The recording can't be read, or the files can't be written.
    """
    if output is not None:
        return merge(path, output, progress)
    recording = open_recording(path)
    folder = edited_folder(recording)
    assert recording.storage is not None
    log = recording.log
    had_edits = bool(read_edits(recording.storage))
    recorded = _recorded(recording)
    lines = [] if len(recorded) == len(FIELDS) else [header_line(recorded)]
    starts: list[int] = []
    for episode in recording.episodes:
        starts.append(len(lines) + 1)
        for i in range(len(episode)):
            paths = [episode.name(c, i) if c in recording.cameras else "" for c in CAMERAS]
            numbers = [getattr(episode, "speed_mph" if name == "speed" else name)[i] for name in recorded]
            lines.append(",".join([*paths, *map(format_number, numbers)]) + "\n")
    with replacing(log, RecordingError) as temporary:
        temporary.write_bytes("".join(lines).encode("utf-8", "surrogateescape"))
        shutil.copy2(log, _unused(log.with_name(log.name + ".bak")))
    if had_edits:
        write_edits(recording, [])
    fixed = open_recording(folder if log.name == "driving_log.csv" else log)
    # Episodes that were split by an edit have no gap in time, so the log alone does not separate them.
    cuts = [start for start in starts[1:] if start not in {int(e.row[0]) for e in fixed.episodes}]
    if cuts:
        split(fixed.log, rows=cuts)
        fixed = open_recording(fixed.log)
    return fixed


def merge(paths: PathOrPaths, output: str | PathLike[str], progress: bool = True) -> Recording:
    """Copy the episodes of recordings into one new folder, in Udacity's format with relative paths.

    If numbers such as the throttle were not recorded, the log has a header and lacks their columns.

    Images are copied byte for byte. Episodes keep the time in the names of their images, unless that
    is before the end of the previous episode: it then gets a later time, so that episodes stay separate.

    Args:
        paths: argument of `open_recording`; edits are applied.
        output: new folder, written atomically.
        progress: show a progress bar if it takes longer than a second.

    Returns:
        The merged recording.

    Raises:
        RecordingError: A recording can't be read, a number was recorded in some of them only, or the folder
            can't be written or is not empty.
    """
    recording = open_recording(paths)
    return write_episodes(
        output,
        (_copy_of(episode, recording.cameras) for episode in recording.episodes),
        recording.cameras,
        len(recording),
        "copying",
        progress,
        _recorded(recording),
    )


def write_episodes(
    output: str | PathLike[str],
    episodes: Iterable[NewEpisode],
    cameras: Sequence[str],
    total: int | None = None,
    label: str = "writing",
    progress: bool = True,
    numbers: Sequence[str] = FIELDS,
) -> Recording:
    """Write episodes to a new recording, atomically.

    Args:
        output: new folder.
        episodes: episodes to write.
        cameras: cameras of each frame.
        total: number of frames, for the progress bar.
        label: text of the progress bar.
        progress: show a progress bar if it takes longer than a second.
        numbers: columns of numbers, see `RecordingWriter`.

    Returns:
        The recording.

    Raises:
        RecordingError: The folder is not empty, there is no frame, or it can't be written.
    """
    output = Path(output)
    with new_folder(output) as temporary:
        end = _NO_DATE
        with (
            RecordingWriter(temporary, cameras, start=_NO_DATE, numbers=numbers) as writer,
            progress_bar(progress, desc=label, total=total, unit=" frames", delay=1.0, leave=False) as bar,
        ):
            for episode in episodes:
                start = episode.start
                if start is None or start <= end + datetime.timedelta(seconds=EPISODE_GAP):
                    start = None
                if start is not None or len(writer):
                    writer.new_episode(start)
                for frame in episode.frames:
                    writer.write(
                        frame.images,
                        frame.steering,
                        frame.throttle,
                        frame.brake,
                        frame.speed,
                        frame.time,
                        frame.extra,
                    )
                    bar.update()
                end = writer.end or end
            if not len(writer):
                raise RecordingError(f"there is no frame to write to {output}")
    return open_recording(output)


@contextlib.contextmanager
def new_folder(output: Path) -> Iterator[Path]:
    """Make a folder atomically: it gets its name at the end, and is deleted on errors.

    Raises:
        RecordingError: The folder is not empty, or can't be made.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise RecordingError(f"{output} exists already; choose another folder")
    temporary = output.with_name(output.name + ".part")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        if output.exists():
            output.rmdir()
        os.replace(temporary, output)
    except OSError as error:
        raise RecordingError(f"{output} can't be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def start_of(episode: Episode) -> datetime.datetime | None:
    """Local time of the first frame of an episode; None if the names of the images contain no time."""
    ms = stamp(episode.name("center", 0).rpartition("/")[2])
    return None if np.isnan(ms) else _EPOCH + datetime.timedelta(milliseconds=ms)


def _recorded(recording: Recording) -> list[str]:
    """Columns of numbers that a copy of a recording has, so that it lacks what the recording lacks.

    Raises:
        RecordingError: A number was recorded in some episodes only.
    """
    lacking = [episode.unrecorded for episode in recording.episodes]
    nowhere = frozenset.intersection(*lacking) if lacking else frozenset()
    in_part = [name for name in FIELDS if name not in nowhere and any(name in names for names in lacking)]
    if in_part:
        raise RecordingError(
            f"{recording.path}: {', '.join(in_part)} recorded in some episodes and not in others, which one "
            "log can't say; copy them to separate folders"
        )
    # A speed of 0 in all rows is read as one that was not recorded.
    return [name for name in FIELDS if name not in nowhere or name == "speed"]


def _copy_of(episode: Episode, cameras: Sequence[str]) -> NewEpisode:
    def frames() -> Iterator[NewFrame]:
        for frame, extra in zip(episode, episode.extras(), strict=True):
            images = {camera: frame.data(camera) for camera in cameras}
            numbers = (frame.steering, frame.throttle, frame.brake, frame.speed)
            yield NewFrame(images, *numbers, frame.time, extra)

    return NewEpisode(frames(), start_of(episode))


def _selected(recording: Recording, episodes: Sequence[int] | None) -> list[Episode]:
    if episodes is None:
        return list(recording.episodes)
    unknown = [number for number in episodes if not 0 <= number < len(recording.episodes)]
    if unknown:
        raise OptionError(
            f"{recording.path} has {count(len(recording.episodes), 'episode')}, counted from 0; there is no "
            f"episode {', '.join(map(str, unknown))}"
        )
    return [recording.episodes[number] for number in episodes]


def _add_edit(
    path: str | PathLike[str],
    verb: str,
    arguments: Mapping[str, Any],
    leave_out: Callable[[Recording], NDArray[np.int64]] | None = None,
    cut_before: Callable[[Recording], NDArray[np.int64]] | None = None,
) -> Edit:
    recording = open_recording(path)
    edited_folder(recording)
    assert recording.storage is not None
    empty = np.empty(0, np.int64)
    left_out = np.unique(leave_out(recording)) if leave_out else empty
    cuts = np.unique(cut_before(recording)) if cut_before else empty
    used = np.concatenate([episode.row for episode in recording.episodes])
    if len(used) and np.isin(used, left_out).all():
        raise OptionError(f"{verb} would leave no frame of {recording.path}; nothing was changed")
    size = recording.log.stat().st_size
    edit = Edit(verb, dict(arguments), left_out, cuts, size, log_crc(recording, size))
    write_edits(recording, [*read_edits(recording.storage), edit])
    return edit


def _unused(path: Path) -> Path:
    """The path itself, or with a number if it exists."""
    number, candidate = 1, path
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}{number}")
    return candidate
