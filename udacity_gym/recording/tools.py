"""Jobs on whole recordings: edits that can be taken back, and clean copies."""

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
from tqdm import tqdm

from udacity_gym.errors import OptionError, RecordingError
from udacity_gym.files import replacing
from udacity_gym.recording.balance import BINS, balanced
from udacity_gym.recording.edits import Edit, edited_folder, log_crc, read_edits, write_edits
from udacity_gym.recording.episodes import Episode, Recording
from udacity_gym.recording.log import stamp
from udacity_gym.recording.reader import EPISODE_GAP, open_recording
from udacity_gym.recording.report import Report
from udacity_gym.recording.writer import RecordingWriter, format_number
from udacity_gym.telemetry import CAMERAS, Image

PathOrPaths: TypeAlias = "str | PathLike[str] | Sequence[str | PathLike[str]]"

_EPOCH = datetime.datetime(1970, 1, 1)
_NO_DATE = datetime.datetime(2000, 1, 1)
"""Of episodes whose images' names tell no time."""


@dataclass(frozen=True)
class NewFrame:
    """A frame on its way into a recording; see `RecordingWriter.write`."""

    images: Mapping[str, Image | bytes]
    steering: float
    throttle: float
    brake: float
    speed: float
    time: float
    extra: Mapping[str, Any]


@dataclass(frozen=True)
class NewEpisode:
    """An episode on its way into a recording.

    Attributes:
        frames: in the order of time.
        start: local time of the first one; None puts the episode behind the one before.
    """

    frames: Iterable[NewFrame]
    start: datetime.datetime | None = None


def trim(
    path: str | PathLike[str], start: float = 0.0, end: float = 0.0, episodes: Sequence[int] | None = None
) -> Edit:
    """Leave out the beginning and the end of episodes.

    Args:
        path: a recording's folder.
        start: s to leave out at the beginning of an episode.
        end: s to leave out at its end.
        episodes: which, counted from 0; all if not given.

    Returns:
        The edit that was added to the recording.

    Raises:
        OptionError: A number is negative or not finite, or there is no such episode.
    """
    if not (start >= 0 and end >= 0 and np.isfinite(start + end)):
        raise OptionError(f"start and end must be s from 0 on, got {start!r} and {end!r}")

    def rows(recording: Recording) -> NDArray[np.int64]:
        trimmed = [
            episode.row[(episode.time < start) | (episode.time > episode.time[-1] - end)]
            for episode in _chosen(recording, episodes)
        ]
        return np.concatenate(trimmed) if trimmed else np.empty(0, np.int64)

    arguments = {"start": start, "end": end} | ({} if episodes is None else {"episodes": list(episodes)})
    return _add_edit(path, "trim", arguments, leave_out=rows)


def split(path: str | PathLike[str], seconds: float | None = None, rows: Sequence[int] = ()) -> Edit:
    """Cut episodes into several.

    Args:
        path: a recording's folder.
        seconds: cut into pieces of at most so many s.
        rows: cut before these lines of the log.

    Returns:
        The edit that was added to the recording.

    Raises:
        OptionError: Neither is given, or a row is not in the recording.
    """
    if (seconds is None) == (not rows):
        raise OptionError("say where to cut: seconds=60, or rows=(512, 900)")
    if seconds is not None and not seconds > 0:
        raise OptionError(f"seconds must be positive, got {seconds!r}")

    def cuts(recording: Recording) -> NDArray[np.int64]:
        if seconds is not None:
            found = [
                int(episode.row[i])
                for episode in recording.episodes
                for i in np.flatnonzero(np.diff(np.floor(episode.time / seconds + 1e-9)) > 0) + 1
            ]
            return np.array(found, np.int64)
        known = {row for episode in recording.episodes for row in episode.row.tolist()}
        unknown = [row for row in rows if row not in known]
        if unknown:
            raise OptionError(f"{path} has no usable row {', '.join(map(str, unknown))}")
        return np.array(sorted(rows), np.int64)

    arguments = {"seconds": seconds} if seconds is not None else {"rows": list(rows)}
    return _add_edit(path, "split", arguments, cut_before=cuts)


def balance(path: str | PathLike[str], bins: int = BINS, keep: int | None = None, seed: int = 0) -> Edit:
    """Remove frames with the most common steering at random, see `udacity_gym.recording.balance.balanced`.

    Args:
        path: a recording's folder.
        bins: number of bins over [-1, 1].
        keep: most frames of a bin; None takes the mean of the bins that have any.
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
    """Leave out rows.

    Args:
        path: a recording's folder.
        rows: lines of the log.

    Returns:
        The edit that was added to the recording.
    """
    wanted = np.unique(np.fromiter(rows, np.int64))
    return _add_edit(path, "leave_out", {}, leave_out=lambda _: wanted)


def check(path: PathOrPaths, leave_out_unusable: bool = False, progress: bool = True) -> Report:
    """Decode every image, and report what is wrong with a recording.

    Args:
        path: what `open_recording` takes.
        leave_out_unusable: add an edit that leaves out what was found; a single folder only.
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
    return [edit for part in recording.parts if part.storage for edit in read_edits(part.storage)]


def undo(path: str | PathLike[str], everything: bool = False) -> list[Edit]:
    """Take the last edit back.

    Args:
        path: a recording's folder.
        everything: take all of them back.

    Returns:
        What was taken back, empty if there was nothing.
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
    """Write a recording clean: usable rows only, edits carried out, relative paths, Udacity's numbers.

    Args:
        path: a recording.
        output: a new folder for a clean copy. If not given, the log is rewritten where it is; the old
            one is kept as ``driving_log.csv.bak``, and no image is touched.
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
    lines: list[str] = []
    starts: list[int] = []
    for episode in recording.episodes:
        starts.append(len(lines) + 1)
        for i in range(len(episode)):
            paths = [episode.name(c, i) if c in recording.cameras else "" for c in CAMERAS]
            numbers = (episode.steering[i], episode.throttle[i], episode.brake[i], episode.speed_mph[i])
            lines.append(",".join([*paths, *map(format_number, numbers)]) + "\n")
    with replacing(log, RecordingError) as part:
        part.write_bytes("".join(lines).encode("utf-8", "surrogateescape"))
        shutil.copy2(log, _unused(log.with_name(log.name + ".bak")))
    if had_edits:
        write_edits(recording, [])
    fixed = open_recording(folder if log.name == "driving_log.csv" else log)
    # Takes that an edit had cut where time has no gap can't be told apart by the log alone.
    cuts = [start for start in starts[1:] if start not in {int(e.row[0]) for e in fixed.episodes}]
    if cuts:
        split(fixed.log, rows=cuts)
        fixed = open_recording(fixed.log)
    return fixed


def merge(paths: PathOrPaths, output: str | PathLike[str], progress: bool = True) -> Recording:
    """Copy the episodes of recordings into one new folder, in Udacity's format with relative paths.

    Images are copied byte for byte. Takes keep the time in their images' names, except where that
    is not after the episode before: such an episode is put behind it, so that all episodes stay apart.

    Args:
        paths: what `open_recording` takes; edits are carried out.
        output: the new folder; it has this name only when it is whole.
        progress: show a progress bar if it takes longer than a second.

    Returns:
        The merged recording.

    Raises:
        RecordingError: A recording can't be read, or the folder can't be written or is not empty.
    """
    recording = open_recording(paths)
    return write_episodes(
        output,
        (_rewritten(episode, recording.cameras) for episode in recording.episodes),
        recording.cameras,
        len(recording),
        "copying",
        progress,
    )


def write_episodes(
    output: str | PathLike[str],
    episodes: Iterable[NewEpisode],
    cameras: Sequence[str],
    total: int | None = None,
    label: str = "writing",
    progress: bool = True,
) -> Recording:
    """Write episodes into a new recording, whole or not at all.

    Args:
        output: the new folder.
        episodes: what to write.
        cameras: images that each frame has.
        total: how many frames there are, for the progress bar.
        label: what the progress bar says.
        progress: show a progress bar if it takes longer than a second.

    Returns:
        The recording.

    Raises:
        RecordingError: There is something already, there is no frame, or it can't be written.
    """
    output = Path(output)
    with new_folder(output) as part:
        end = _NO_DATE
        with (
            RecordingWriter(part, cameras, start=_NO_DATE) as writer,
            tqdm(
                desc=label, total=total, unit=" frames", delay=1.0, leave=False, disable=not progress
            ) as bar,
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
    """A folder that gets its name when it is whole, and leaves nothing behind if it never is.

    Raises:
        RecordingError: There is something already, or it can't be made.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise RecordingError(f"{output} exists already; choose another folder")
    part = output.with_name(output.name + ".part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        yield part
        if output.exists():
            output.rmdir()
        os.replace(part, output)
    except OSError as error:
        raise RecordingError(f"{output} can't be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def start_of(episode: Episode) -> datetime.datetime | None:
    """Local time of an episode's first frame, None where the images' names tell none."""
    ms = stamp(episode.name("center", 0).rpartition("/")[2])
    return None if np.isnan(ms) else _EPOCH + datetime.timedelta(milliseconds=ms)


def _rewritten(episode: Episode, cameras: Sequence[str]) -> NewEpisode:
    def frames() -> Iterator[NewFrame]:
        for frame, extra in zip(episode, episode.extras(), strict=True):
            images = {camera: frame.data(camera) for camera in cameras}
            numbers = (frame.steering, frame.throttle, frame.brake, frame.speed)
            yield NewFrame(images, *numbers, frame.time, extra)

    return NewEpisode(frames(), start_of(episode))


def _chosen(recording: Recording, episodes: Sequence[int] | None) -> list[Episode]:
    if episodes is None:
        return list(recording.episodes)
    unknown = [number for number in episodes if not 0 <= number < len(recording.episodes)]
    if unknown:
        raise OptionError(
            f"{recording.path} has {len(recording.episodes)} episodes, counted from 0; there is no episode "
            f"{', '.join(map(str, unknown))}"
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
    """The path itself, or with a number where it is taken."""
    number, candidate = 1, path
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}{number}")
    return candidate
