"""Open recordings: `open_recording`."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from udacity_gym.errors import RecordingError
from udacity_gym.recording.edits import apply_edits
from udacity_gym.recording.episodes import Episode, Recording, encode_names
from udacity_gym.recording.header import FIELDS
from udacity_gym.recording.images import ImageFolder, decode_image
from udacity_gym.recording.log import Log, read_log, stamps
from udacity_gym.recording.report import (
    CAMERA_DROPPED,
    DUPLICATE,
    MISSING_IMAGE,
    NO_TIME,
    NOT_RECORDED,
    OUT_OF_ORDER,
    OUTSIDE_IMAGE,
    OVERLAP,
    STANDING,
    START_POSE,
    UNLISTED_IMAGE,
    Report,
)
from udacity_gym.recording.side_file import SIDE_FILE, SideFile
from udacity_gym.recording.splitting import drives_of, ends_with_start_pose
from udacity_gym.recording.storage import FolderStorage, Storage, ZipStorage
from udacity_gym.telemetry import CAMERAS, CTRL_DT, MPH, Image

LOG_NAME = "driving_log.csv"
"""File name of the log of Udacity's simulator."""

EPISODE_GAP = 1.0
"""Time between two rows above which a new episode begins, s; within an episode it is 0.12 at most."""

NOMINAL_DT = CTRL_DT
"""Assumed time between two rows if the names of the images contain no time, s."""

STANDING_SPEED = 0.1
"""Speed below which the car stands still, m/s."""


def open_recording(
    path: str | PathLike[str] | Sequence[str | PathLike[str]], strict: bool = False, edits: bool = True
) -> Recording:
    """Open recordings of Udacity's simulator, or written in its format.

    Reads the log and lists the folder of the images. Images are read on access. Rows that can't be used are
    left out and listed in `Recording.report`. The files are never changed.

    Args:
        path: a folder with ``driving_log.csv`` and ``IMG/``, the log itself under any name, a zip file
            with such folders, a pattern such as ``"drives/*"``, or several of these.
        strict: raise an error for the first row that can't be used, instead of leaving it out.
        edits: apply the edits of the recording, see `udacity_gym.recording.edits`.

    Returns:
        The recording, split into episodes; of several, one after the other, see `Recording.parts`.

    Raises:
        RecordingError: The log is missing, empty or of another program, or has no images; or, if ``strict``,
            a row can't be used: the message names file, row and field.

    Example:
        >>> recording = open_recording("my-drive")          # doctest: +SKIP
        >>> print(recording.report)                         # doctest: +SKIP
        >>> recording.episodes[0][0].image("left").shape    # doctest: +SKIP
        (160, 320, 3)
    """
    paths = [Path(p) for p in path] if not isinstance(path, (str, PathLike)) else [Path(path)]
    if not paths:
        raise RecordingError("no recording to open: the list of paths is empty")
    try:
        logs = [log for p in paths for log in _find_logs(p)]
        recordings = [_open(storage, name, strict) for storage, name in logs]
    except OSError as error:
        raise RecordingError(f"{path} can't be opened: {error.strerror or error}") from error
    if edits:
        recordings = [apply_edits(recording) for recording in recordings]
    return recordings[0] if len(recordings) == 1 else Recording.joined(recordings)


def _open(storage: Storage, name: str, strict: bool) -> Recording:
    log = read_log(storage.path / name, storage, name)
    folder = ImageFolder(storage)
    images, keep = _find_images(log, folder)
    time = _times(log)
    keep &= _first_of_duplicates(log, images["center"], keep)
    used_rows = np.flatnonzero(keep)
    groups = _episode_rows(log, time, used_rows)
    groups = [_without_start_pose(log, storage, images["center"], rows) for rows in groups]
    log = _without_unrecorded_speed(log, used_rows)
    _note_standing(log, used_rows)
    unlisted = folder.unlisted(name for names in images.values() for name in names if name)
    if unlisted:
        log.findings.add_count(UNLISTED_IMAGE, len(unlisted), unlisted[0])
    used = sum(map(len, groups))
    report = Report(log.path, log.lines, used, len(groups), log.findings.collect())
    first = log.findings.first_left_out()
    if first is not None and (strict or not used):
        kind, row, detail = first
        prefix = "" if used else "no row can be used; "
        raise RecordingError(
            f"{log.path}, {prefix}row {row}, {kind.name}: {detail}. What to do: {kind.advice}"
        )
    side_file = SideFile(storage, SIDE_FILE if folder.has(SIDE_FILE) else None)
    columns = {camera: encode_names(names) for camera, names in images.items()}
    episodes = [_episode(log, storage, columns, time, rows, side_file) for rows in groups]
    return Recording(log.path, episodes, tuple(images), report, storage)


def _find_logs(path: Path) -> list[tuple[Storage, str]]:
    """Find the logs of a path: storage and file name of each."""
    if not path.exists() and any(letter in str(path) for letter in "*?["):
        matches = sorted(Path(match) for match in glob.glob(str(path), recursive=True))
        logs = [log for match in matches if _may_be_recording(match) for log in _find_logs(match)]
        if not logs:
            raise RecordingError(f"no recording matches {path}; {len(matches)} other files and folders do")
        return logs
    if path.suffix.lower() == ".zip" and path.is_file():
        return _find_in_zip(path)
    log = find_log(path)
    return [(FolderStorage(log.parent), log.name)]


def _may_be_recording(path: Path) -> bool:
    """Whether a match of a pattern may be a recording: a folder with a log, a log, a zip file."""
    if path.is_dir():
        return any(name.suffix.lower() == ".csv" for name in path.iterdir())
    return path.suffix.lower() in (".csv", ".zip")


def _find_in_zip(path: Path) -> list[tuple[Storage, str]]:
    archive = ZipStorage(path)
    folders = archive.logs(LOG_NAME)
    if folders:
        return [(ZipStorage(path, folder), LOG_NAME) for folder in folders]
    tables = archive.tables()
    if len(tables) != 1:
        other_files = f", but {', '.join(tables[:5])}" if tables else ""
        raise RecordingError(f"no {LOG_NAME} in {path}{other_files}")
    folder, slash, name = tables[0].rpartition("/")
    return [(ZipStorage(path, folder + slash), name)]


def find_log(path: Path) -> Path:
    """Find the log of a recording.

    Args:
        path: a folder, or the log itself.

    Returns:
        The log's file: ``driving_log.csv``, else the only CSV file of the folder.

    Raises:
        RecordingError: There is no log; the message lists the files instead.
    """
    if path.is_file():
        return path
    if not path.exists():
        near = next(parent for parent in path.absolute().parents if parent.exists())
        raise RecordingError(f"no such file or folder: {path}; {near} has {_listing(near)}")
    log = path / LOG_NAME
    if not log.is_file():
        tables = sorted(p for p in path.iterdir() if p.suffix.lower() == ".csv" and p.is_file())
        if len(tables) > 1:
            names = ", ".join(table.name for table in tables[:5])
            raise RecordingError(f"no {LOG_NAME} in {path}, but {names}: open one of these files")
        if not tables:
            others = [*sorted(path.glob(f"*/{LOG_NAME}")), path.absolute().parent / LOG_NAME]
            hint = next((f"; open {other.parent} instead" for other in others if other.is_file()), "")
            raise RecordingError(f"no {LOG_NAME} in {path}, which has {_listing(path)}{hint}")
        log = tables[0]
    if not log.resolve().is_relative_to(path.resolve()):
        raise RecordingError(f"{log} is a link that leads out of the folder; open {log.resolve()} itself")
    return log


def _listing(folder: Path, most: int = 5) -> str:
    names = sorted(f"{p.name}/" if p.is_dir() else p.name for p in folder.iterdir())
    if not names:
        return "nothing in it"
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _find_images(log: Log, folder: ImageFolder) -> tuple[dict[str, list[str]], NDArray[np.bool_]]:
    """Look up the images of every row.

    A camera without more than half of its images is dropped. Rows without an image of the other cameras
    can't be used.

    Returns:
        Relative path of the image in each row by camera ("" if missing), and (n,) bool which rows have all
        images.
    """
    image_paths = {camera: folder.find(paths.folders, paths.names) for camera, paths in log.images.items()}
    exists = {camera: np.array(list(map(bool, names))) for camera, names in image_paths.items()}
    folder_path = folder.storage.path
    some = np.any([exists[camera] for camera in CAMERAS], axis=0)
    if not some.any():
        subfolder, name = log.images["center"][0]
        links = ", ".join(folder.links_out)
        if links or folder.leads_outside(subfolder, name):
            raise RecordingError(
                f"{log.path}: none of its {len(some)} rows has an image; {links or name} in {folder_path} "
                "is a link that leads out of the folder. Copy the images themselves into IMG/"
            )
        raise RecordingError(
            f"{log.path}: none of its {len(some)} rows has an image in {folder_path}. Row {log.row[0]} "
            f"needs {name!r}, which is neither beside the log, nor in IMG/, nor in a folder with the "
            f"last name of {subfolder!r}. Copy the images into IMG/"
        )
    for camera in CAMERAS[1:]:
        missing = int((some & ~exists[camera]).sum())
        if missing * 2 > some.sum():
            log.findings.add_count(CAMERA_DROPPED, 1, f"{camera}: {missing} images are missing")
            del image_paths[camera]
    keep = np.ones(len(some), bool)
    for camera in image_paths:
        for index in np.flatnonzero(~exists[camera]):
            subfolder, name = log.images[camera][int(index)]
            kind = OUTSIDE_IMAGE if folder.leads_outside(subfolder, name) else MISSING_IMAGE
            log.findings.add(
                kind, int(log.row[index]), f"{camera}: {subfolder}{name}" if name else f"{camera}: empty"
            )
        keep &= exists[camera]
    return image_paths, keep


def _times(log: Log) -> NDArray[np.float64]:
    """Time of each row, ms; rows without a time follow the row before."""
    time = stamps(log.images["center"].names)
    unknown = np.flatnonzero(np.isnan(time))
    for index in unknown:
        time[index] = time[index - 1] + NOMINAL_DT * 1000 if index else 0.0
        log.findings.add(NO_TIME, int(log.row[index]), log.images["center"].names[index])
    return time


def _episode_rows(
    log: Log, time: NDArray[np.float64], used_rows: NDArray[np.int64]
) -> list[NDArray[np.int64]]:
    """Rows of each episode in the order of time, and episodes in the order of their beginning."""
    groups: list[NDArray[np.int64]] = []
    drive = drives_of(time)
    for number in range(int(drive.max()) + 1):
        rows = np.flatnonzero(drive == number)
        back = -np.diff(time[rows]) / 1000
        for i in np.flatnonzero(back > 0):
            log.findings.add(OUT_OF_ORDER, int(log.row[rows[i + 1]]), f"by {back[i]:g} s")
        if number:
            for index in rows:
                log.findings.add(OVERLAP, int(log.row[index]), f"drive {number + 1}, while another goes on")
        order = rows[np.isin(rows, used_rows)]
        order = order[np.argsort(time[order], kind="stable")]
        if len(order):
            groups += np.split(order, np.flatnonzero(np.diff(time[order]) > EPISODE_GAP * 1000) + 1)
    return sorted(groups, key=lambda rows: float(time[rows[0]]))


def _first_of_duplicates(log: Log, names: Sequence[str], keep: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n,) bool which rows do not repeat the centre image of an earlier usable row."""
    first: dict[str, int] = {}
    unique = np.ones(len(names), bool)
    if len(set(names)) == len(names):
        return unique
    for index in np.flatnonzero(keep):
        earlier = first.setdefault(names[int(index)], int(index))
        if earlier != index:
            unique[index] = False
            same = bool((log.values[earlier] == log.values[index]).all())
            relation = "of" if same else "with other numbers, of"
            log.findings.add(DUPLICATE, int(log.row[index]), f"{relation} row {log.row[earlier]}")
    return unique


def _without_start_pose(
    log: Log, storage: Storage, names: Sequence[str], rows: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Leave out the last row of an episode if its image shows the start of the episode."""

    def read(index: int) -> Image:
        name = names[int(rows[index])]
        return decode_image(storage.read(name), storage.path / name)

    if not ends_with_start_pose(len(rows), read):
        return rows
    log.findings.add(
        START_POSE, int(log.row[rows[-1]]), f"shows the start of the episode, row {log.row[rows[0]]}"
    )
    return rows[:-1]


def _without_unrecorded_speed(log: Log, used_rows: NDArray[np.int64]) -> Log:
    """The log with NaN for a speed that was not recorded; reports all numbers that were not.

    A speed that is exactly 0 in all rows was not recorded: that of a car that stands is some 1e-5 mph.
    """
    values = log.values
    if len(used_rows) > 1 and not values[used_rows, 3].any():
        values = values.copy()
        values[:, 3] = np.nan
    missing = np.isnan(values[used_rows])
    names = ", ".join(name for name, column in zip(FIELDS, missing.T, strict=True) if column.any())
    for index in used_rows[missing.any(axis=1)]:
        log.findings.add(NOT_RECORDED, int(log.row[index]), names)
    return replace(log, values=values)


def _note_standing(log: Log, used_rows: NDArray[np.int64]) -> None:
    speed = log.values[:, 3] * MPH
    for index in used_rows[speed[used_rows] < STANDING_SPEED]:  # not if the speed is missing, NaN
        log.findings.add(STANDING, int(log.row[index]), f"slower than {STANDING_SPEED} m/s")


def _episode(
    log: Log,
    storage: Storage,
    images: Mapping[str, NDArray[np.bytes_]],
    time: NDArray[np.float64],
    rows: NDArray[np.int64],
    side_file: SideFile,
) -> Episode:
    values = log.values[rows]
    unrecorded = [name for name, column in zip(FIELDS, values.T, strict=True) if np.isnan(column).any()]
    values = np.nan_to_num(values)
    columns = {name: values[:, i] for i, name in enumerate(FIELDS)}
    columns["speed_mph"] = columns["speed"]
    columns["speed"] = columns["speed"] * MPH
    columns["time"] = (time[rows] - time[rows[0]]) / 1000
    names = {camera: paths[rows] for camera, paths in images.items()}
    return Episode(log.path, names, columns, log.row[rows], side_file, storage, unrecorded)
