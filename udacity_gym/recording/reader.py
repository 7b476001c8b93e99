"""Opens recordings: the log, its images, and what is wrong with them."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from udacity_gym.errors import RecordingError
from udacity_gym.recording.dialect import FIELDS
from udacity_gym.recording.edits import apply_edits
from udacity_gym.recording.episodes import Episode, Recording, encode_names
from udacity_gym.recording.images import ImageFolder, decode_image
from udacity_gym.recording.log import Log, read_log, stamps
from udacity_gym.recording.report import (
    CAMERA_DROPPED,
    DUPLICATE,
    MISSING_IMAGE,
    NO_TIME,
    OUT_OF_ORDER,
    OUTSIDE_IMAGE,
    STANDING,
    START_POSE,
    UNLISTED_IMAGE,
    Report,
)
from udacity_gym.recording.side_file import SIDE_FILE, SideFile
from udacity_gym.recording.storage import FolderStorage, Storage, ZipStorage
from udacity_gym.telemetry import CAMERAS, CTRL_DT, MPH

LOG_NAME = "driving_log.csv"
"""What Udacity's simulator calls its log."""

EPISODE_GAP = 1.0
"""s between two rows from which on they belong to different episodes; within one it is 0.12 at most."""

NOMINAL_DT = CTRL_DT
"""s between two rows, assumed where the images' names tell no time."""

STANDING_SPEED = 0.1
"""m/s below which the car stands."""


def open_recording(
    path: str | PathLike[str] | Sequence[str | PathLike[str]], strict: bool = False, edits: bool = True
) -> Recording:
    """Open recordings of Udacity's simulator, or written in its format.

    Reads the log and lists the folder of the images; images are read when asked for. Rows that
    can't be used are left out and listed in `Recording.report`; the files are never touched.

    Args:
        path: a folder with ``driving_log.csv`` and ``IMG/``, the log itself under any name, a zip file
            with such folders, a pattern such as ``"drives/*"``, or several of these.
        strict: raise on the first row that can't be used instead of leaving it out.
        edits: apply the edits that were made, see `udacity_gym.recording.edits`.

    Returns:
        The recording, split into episodes; of several, one after the other, see `Recording.parts`.

    Raises:
        RecordingError: There is no log, it is empty or another program's, none of its images is
            there; or, if ``strict``, a row can't be used: the message names file, row and field.

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
        places = [place for p in paths for place in _find_places(p)]
        recordings = [_open(place, name, strict) for place, name in places]
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
    order = np.flatnonzero(keep)
    order = order[np.argsort(time[order], kind="stable")]
    groups = (
        np.split(order, np.flatnonzero(np.diff(time[order]) > EPISODE_GAP * 1000) + 1) if len(order) else []
    )
    groups = [_without_start_pose(log, storage, images["center"], rows) for rows in groups]
    _note_standing(log, np.sort(order))
    unlisted = folder.unlisted(name for names in images.values() for name in names if name)
    if unlisted:
        log.findings.add_count(UNLISTED_IMAGE, len(unlisted), unlisted[0])
    used = sum(map(len, groups))
    report = Report(log.path, log.lines, used, len(groups), log.findings.collect())
    first = log.findings.first_left_out()
    if first is not None and (strict or not used):
        kind, row, detail = first
        what = "" if used else "no row can be used; "
        raise RecordingError(f"{log.path}, {what}row {row}, {kind.name}: {detail}. What to do: {kind.advice}")
    side_file = SideFile(storage, SIDE_FILE if folder.has(SIDE_FILE) else None)
    columns = {camera: encode_names(names) for camera, names in images.items()}
    episodes = [_episode(log, storage, columns, time, rows, side_file) for rows in groups]
    return Recording(log.path, episodes, tuple(images), report, storage)


def _find_places(path: Path) -> list[tuple[Storage, str]]:
    """Where the logs are that a path means: their folder, and their name there."""
    if not path.exists() and any(letter in str(path) for letter in "*?["):
        found = sorted(Path(match) for match in glob.glob(str(path), recursive=True))
        places = [place for match in found if _may_be_one(match) for place in _find_places(match)]
        if not places:
            raise RecordingError(f"no recording matches {path}; {len(found)} other files and folders do")
        return places
    if path.suffix.lower() == ".zip" and path.is_file():
        return _find_in_zip(path)
    log = find_log(path)
    return [(FolderStorage(log.parent), log.name)]


def _may_be_one(path: Path) -> bool:
    """Whether something that a pattern matches is meant: folders with a log, logs, zip files."""
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
        what = f", but {', '.join(tables[:5])}" if tables else ""
        raise RecordingError(f"no {LOG_NAME} in {path}{what}")
    folder, slash, name = tables[0].rpartition("/")
    return [(ZipStorage(path, folder + slash), name)]


def find_log(path: Path) -> Path:
    """The log of a recording.

    Args:
        path: a folder, or the log itself.

    Returns:
        The log's file: ``driving_log.csv``, else the only CSV file of the folder.

    Raises:
        RecordingError: There is none; says what was found instead.
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

    A camera that lacks more than half of its images is given up; rows that lack an image of the
    other cameras can't be used.

    Returns:
        Camera to the relative path of its image in each row ("" where there is none), and (n,)
        bool which rows have all images.
    """
    found = {camera: folder.find(paths.folders, paths.names) for camera, paths in log.images.items()}
    there = {camera: np.array(list(map(bool, names))) for camera, names in found.items()}
    where = folder.storage.path
    some = np.any([there[camera] for camera in CAMERAS], axis=0)
    if not some.any():
        place, name = log.images["center"][0]
        links = ", ".join(folder.links_out)
        if links or folder.leads_outside(place, name):
            raise RecordingError(
                f"{log.path}: none of its {len(some)} rows has an image; {links or name} in {where} "
                "is a link that leads out of the folder. Copy the images themselves into IMG/"
            )
        raise RecordingError(
            f"{log.path}: none of its {len(some)} rows has an image in {where}. Row {log.row[0]} "
            f"asks for {name!r}, which was looked for beside the log, in IMG/ there, and in a folder there "
            f"called as the last one of {place!r}. Copy the images into IMG/"
        )
    for camera in CAMERAS[1:]:
        missing = int((some & ~there[camera]).sum())
        if missing * 2 > some.sum():
            log.findings.add_count(CAMERA_DROPPED, 1, f"{camera}: {missing} images are missing")
            del found[camera]
    keep = np.ones(len(some), bool)
    for camera in found:
        for index in np.flatnonzero(~there[camera]):
            place, name = log.images[camera][int(index)]
            kind = OUTSIDE_IMAGE if folder.leads_outside(place, name) else MISSING_IMAGE
            log.findings.add(
                kind, int(log.row[index]), f"{camera}: {place}{name}" if name else f"{camera}: empty"
            )
        keep &= there[camera]
    return found, keep


def _times(log: Log) -> NDArray[np.float64]:
    """Time of each row in ms; rows whose images tell none follow the row before."""
    time = stamps(log.images["center"].names)
    unknown = np.flatnonzero(np.isnan(time))
    for index in unknown:
        time[index] = time[index - 1] + NOMINAL_DT * 1000 if index else 0.0
        log.findings.add(NO_TIME, int(log.row[index]), log.images["center"].names[index])
    for index in np.flatnonzero(np.diff(time) < 0) + 1:
        log.findings.add(
            OUT_OF_ORDER, int(log.row[index]), f"by {(time[index - 1] - time[index]) / 1000:g} s"
        )
    return time


def _first_of_duplicates(log: Log, names: Sequence[str], keep: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n,) bool which rows are not a repetition of an earlier usable row with the same centre image."""
    first: dict[str, int] = {}
    unique = np.ones(len(names), bool)
    if len(set(names)) == len(names):
        return unique
    for index in np.flatnonzero(keep):
        earlier = first.setdefault(names[int(index)], int(index))
        if earlier != index:
            unique[index] = False
            same = bool((log.values[earlier] == log.values[index]).all())
            what = "of" if same else "with other numbers, of"
            log.findings.add(DUPLICATE, int(log.row[index]), f"{what} row {log.row[earlier]}")
    return unique


def _without_start_pose(
    log: Log, storage: Storage, names: Sequence[str], rows: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Leave out the last row of an episode if its image shows where the episode began.

    The simulator renders after the drive, putting the car back pose by pose, and its last image
    is often that of the start pose. It then resembles the episode's first image (up to the noise of
    JPEG) and not at all the one before.
    """
    if len(rows) < 3:
        return rows
    try:
        first, before, last = (
            decode_image(storage.read(names[i]), storage.path / names[i]).astype(np.int16)
            for i in rows[[0, -2, -1]].tolist()
        )
    except RecordingError:  # a broken image is found when it is asked for
        return rows
    if first.shape == before.shape == last.shape:
        to_first, to_before = np.abs(last - first).mean(), np.abs(last - before).mean()
        if to_first < 3.0 and to_before > 2.0 * to_first + 3.0:
            log.findings.add(START_POSE, int(log.row[rows[-1]]), f"same image as row {log.row[rows[0]]}")
            return rows[:-1]
    return rows


def _note_standing(log: Log, kept: NDArray[np.int64]) -> None:
    speed = log.values[:, 3] * MPH
    for index in kept[speed[kept] < STANDING_SPEED]:
        log.findings.add(STANDING, int(log.row[index]), f"slower than {STANDING_SPEED} m/s")


def _episode(
    log: Log,
    storage: Storage,
    images: Mapping[str, NDArray[np.bytes_]],
    time: NDArray[np.float64],
    rows: NDArray[np.int64],
    side_file: SideFile,
) -> Episode:
    columns = {name: log.values[rows, i] for i, name in enumerate(FIELDS)}
    columns["speed_mph"] = columns["speed"]
    columns["speed"] = columns["speed"] * MPH
    columns["time"] = (time[rows] - time[rows[0]]) / 1000
    names = {camera: paths[rows] for camera, paths in images.items()}
    return Episode(log.path, names, columns, log.row[rows], side_file, storage)
