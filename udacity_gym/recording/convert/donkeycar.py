"""Donkeycar's tub, version 2: a catalog of JSON lines, and images beside it.

Steering is ``user/angle`` and throttle minus brake is ``user/throttle``, as Donkeycar's own trainer wants
them. Throttle, brake, speed (m/s) and the side file are kept beside them under ``udacity/...``. Episodes are
sessions. Tubs that Donkeycar recorded have no side cameras and no speed, so the speed is 0.
"""

from __future__ import annotations

import datetime
import functools
import itertools
import json
import math
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from udacity_gym.errors import RecordingError
from udacity_gym.recording.convert.common import (
    UsableFrames,
    clip,
    converting_bar,
    frames_of,
    from_text,
    to_text,
)
from udacity_gym.recording.episodes import Recording
from udacity_gym.recording.storage import FolderStorage
from udacity_gym.recording.tools import NewEpisode, NewFrame, new_folder, start_of, write_episodes
from udacity_gym.telemetry import CAMERAS

KEYS = {"center": "cam/image_array", "left": "left/image_array", "right": "right/image_array"}
NUMBERS = ("udacity/throttle", "udacity/brake", "udacity/speed")
CATALOG_ROWS = 1000
"""Records per catalog, Donkeycar's own number."""
LINE_LIMIT = 1 << 20

_EPOCH = datetime.datetime(1970, 1, 1)


def save(recording: Recording, folder: Path) -> Path:
    """Convert a recording, see `udacity_gym.recording.convert.save`."""
    created = time.time()
    inputs = {KEYS[camera]: "image_array" for camera in recording.cameras}
    inputs |= {"user/angle": "float", "user/throttle": "float", "user/mode": "str"}
    inputs |= dict.fromkeys(NUMBERS, "float") | {"udacity/extra": "str"}
    with new_folder(folder) as part:
        (part / "images").mkdir()
        catalogs: list[str] = []
        records = _records(recording, part / "images")
        while block := list(itertools.islice(records, CATALOG_ROWS)):
            name = f"catalog_{len(catalogs)}"
            lines = [json.dumps(record, allow_nan=False, sort_keys=True) + "\n" for record in block]
            (part / f"{name}.catalog").write_text("".join(lines), encoding="utf-8", newline="")
            about = {
                "created_at": created,
                "line_lengths": list(map(len, lines)),
                "path": f"{name}.catalog_manifest",
                "start_index": len(catalogs) * CATALOG_ROWS,
            }
            (part / f"{name}.catalog_manifest").write_text(json.dumps(about) + "\n", newline="")
            catalogs.append(f"{name}.catalog")
        names = [f"{i}" for i in range(len(recording.episodes))]
        sessions = {"last_id": len(names) - 1, "last_full_id": names[-1], "all_full_ids": names}
        manifest = [
            list(inputs),
            list(inputs.values()),
            {},
            {"created_at": created, "sessions": sessions},
            {
                "paths": catalogs,
                "current_index": len(recording),
                "max_len": CATALOG_ROWS,
                "deleted_indexes": [],
            },
        ]
        text = "".join(f"{json.dumps(line)}\n" for line in manifest)
        (part / "manifest.json").write_text(text, encoding="utf-8", newline="")
    return folder


def load(folder: Path, output: Path) -> Recording:
    """Convert to a recording, see `udacity_gym.recording.convert.load`.

    Records that were deleted in the tub are left out. Records that can't be used, such as those with an empty
    image, are skipped; the report counts them.
    """
    storage = FolderStorage(folder)
    try:
        lines = (folder / "manifest.json").read_text(encoding="utf-8").splitlines()
        inputs, about = json.loads(lines[0]), json.loads(lines[4])
        catalogs, deleted = list(map(str, about["paths"])), set(about["deleted_indexes"])
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise RecordingError(f"{folder} has no manifest.json of a Donkeycar tub v2: {error}") from error
    top_files, files = storage.listing().files, storage.listing("images/").files
    cameras = [camera for camera in CAMERAS if KEYS[camera] in inputs]
    usable = UsableFrames()

    def records() -> Iterator[tuple[str, dict[str, Any]]]:
        for catalog in catalogs:
            if catalog not in top_files:
                usable.skip(catalog, f"{folder} lacks {catalog}, which its manifest names")
                continue
            with (folder / catalog).open("rb") as file:
                for number in itertools.count(1):
                    line = file.readline(LINE_LIMIT)
                    if not line:
                        break
                    name = f"{catalog}, line {number}"
                    record = _record(line)
                    if record is None:
                        usable.skip(name, f"no record: {line[:40]!r}")
                    elif record["_index"] not in deleted:
                        yield name, record

    def frame(record: dict[str, Any], begin: float) -> NewFrame:
        images = {camera: _read(storage, files, str(record[KEYS[camera]])) for camera in cameras}
        throttle = clip(record["user/throttle"])
        return NewFrame(
            images,
            clip(record["user/angle"]),
            float(record.get("udacity/throttle", max(throttle, 0.0))),
            float(record.get("udacity/brake", max(-throttle, 0.0))),
            float(record.get("udacity/speed", 0.0)),
            (float(record["_timestamp_ms"]) - begin) / 1000,
            from_text(record.get("udacity/extra")),
        )

    def timed() -> Iterator[tuple[str, dict[str, Any]]]:
        for name, record in records():
            if _moment(record) is None:
                usable.skip(name, f"no time: {record.get('_timestamp_ms')!r}")
            else:
                yield name, record

    def episode(named_records: Iterator[tuple[str, dict[str, Any]]]) -> NewEpisode:
        name, first = next(named_records)
        make = functools.partial(frame, begin=float(first["_timestamp_ms"]))
        return NewEpisode(usable.of(itertools.chain([(name, first)], named_records), make), _moment(first))

    episodes = (episode(group) for _, group in itertools.groupby(timed(), key=_Sessions()))
    return usable.reported(lambda: write_episodes(output, episodes, cameras, label="converting"), folder)


class _Sessions:
    """Number of the episode of each record: a new one for each session, and where the clock was set back."""

    def __init__(self) -> None:
        self._number = 0
        self._session: object = None
        self._time = -math.inf

    def __call__(self, named_record: tuple[str, dict[str, Any]]) -> int:
        _, record = named_record
        session, time = record.get("_session_id"), float(record["_timestamp_ms"])
        if session != self._session or time < self._time:
            self._number += 1
        self._session, self._time = session, time
        return self._number


def _moment(record: Mapping[str, Any]) -> datetime.datetime | None:
    """Time of a record; None if it has none."""
    try:
        return _EPOCH + datetime.timedelta(milliseconds=float(record["_timestamp_ms"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _records(recording: Recording, images: Path) -> Iterator[dict[str, Any]]:
    index = 0
    with converting_bar(recording) as bar:
        for session, episode in enumerate(recording.episodes):
            start = start_of(episode) or _EPOCH + datetime.timedelta(days=session)
            begin = (start - _EPOCH) / datetime.timedelta(milliseconds=1)
            for frame, extra in frames_of(episode, bar):
                record: dict[str, Any] = {
                    "_index": index,
                    "_session_id": session,
                    "_timestamp_ms": round(begin + frame.time * 1000),
                    "user/angle": frame.steering,
                    "user/throttle": frame.throttle - frame.brake,
                    "user/mode": str(extra.get("driver", "user")),
                    "udacity/throttle": frame.throttle,
                    "udacity/brake": frame.brake,
                    "udacity/speed": frame.speed,
                    "udacity/extra": to_text(extra),
                }
                for camera in recording.cameras:
                    data = frame.data(camera)
                    ending = ".png" if data.startswith(b"\x89PNG") else ".jpg"
                    name = f"{index}_{KEYS[camera].replace('/', '_')}_{ending}"
                    (images / name).write_bytes(data)
                    record[KEYS[camera]] = name
                yield record
                index += 1


def _record(line: bytes) -> dict[str, Any] | None:
    """A line of a catalog; None if it is no record."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_record = isinstance(record, dict) and isinstance(record.get("_index"), int)
    return record if is_record else None


def _read(storage: FolderStorage, images: set[str], name: str) -> bytes:
    if name not in images:  # a name with a folder in it is never in the listing
        raise RecordingError(f"{storage.path / 'images'} lacks {re.sub(r'[^ -~]', '?', name)!r}")
    return storage.read(f"images/{name}")
