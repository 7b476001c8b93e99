"""Parquet files that Hugging Face's ``datasets`` opens with images as images.

``datasets.load_dataset("parquet", data_files="folder/*.parquet")`` gives a row per frame: ``episode``,
``frame``, an image of each camera, ``steering``, ``throttle``, ``brake``, ``speed`` (m/s), ``time`` (s),
``start`` (local time of the episode's first frame), ``reward``, ``terminated`` and ``truncated`` (null where
they were not recorded) and ``extra`` (the side file, as JSON). Nothing is lost;
images are the recording's own JPEG files, byte for byte. Written and read with pyarrow alone.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from udacity_gym.errors import RecordingError
from udacity_gym.installation import require
from udacity_gym.recording.convert.common import (
    UsableFrames,
    converting_bar,
    frames_of,
    from_text,
    moment,
    parquet_rows,
    to_text,
)
from udacity_gym.recording.episodes import Recording
from udacity_gym.recording.tools import NewEpisode, NewFrame, new_folder, start_of, write_episodes
from udacity_gym.telemetry import CAMERAS

NUMBERS = ("steering", "throttle", "brake", "speed", "time")
ROWS = 256
"""Frames that are held in memory at once."""
FILE_ROWS = 1 << 16
"""Frames per file, some 2 GB with three cameras."""


def save(recording: Recording, folder: Path) -> Path:
    """Convert a recording, see `udacity_gym.recording.convert.save`."""
    pa, parquet = require("pyarrow", "Parquet"), require("pyarrow.parquet", "Parquet")
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    fields = [("episode", pa.int64()), ("frame", pa.int64())]
    fields += [(camera, image) for camera in recording.cameras]
    fields += [(name, pa.float64()) for name in NUMBERS]
    fields += [("reward", pa.float64()), ("terminated", pa.bool_()), ("truncated", pa.bool_())]
    fields += [("start", pa.string()), ("extra", pa.string())]
    kinds = {name: {"_type": "Image"} if kind is image else _value(kind) for name, kind in fields}
    about = {b"huggingface": json.dumps({"info": {"features": kinds}}).encode()}
    schema = pa.schema(fields, metadata=about)
    files = -(-len(recording) // FILE_ROWS)
    with new_folder(folder) as part:
        rows = _rows(recording)
        for number in range(files):
            name = f"train-{number:05d}-of-{files:05d}.parquet"
            with parquet.ParquetWriter(part / name, schema, compression="zstd") as writer:
                for _ in range(FILE_ROWS // ROWS):
                    block = list(itertools.islice(rows, ROWS))
                    if block:
                        writer.write_table(pa.Table.from_pylist(block, schema))
    return folder


def load(folder: Path, output: Path) -> Recording:
    """Convert to a recording, see `udacity_gym.recording.convert.load`."""
    parquet = require("pyarrow.parquet", "Parquet")
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise RecordingError(f"{folder} has no Parquet files")
    schema = parquet.read_schema(files[0])
    missing = [name for name in ("episode", *NUMBERS, "center") if name not in schema.names]
    if missing:
        raise RecordingError(
            f"{files[0]} lacks the columns {', '.join(missing)}; it has {', '.join(schema.names)}"
        )
    cameras = [camera for camera in CAMERAS if camera in schema.names]
    total = sum(parquet.read_metadata(file).num_rows for file in files)

    usable = UsableFrames()
    rows = parquet_rows(files, parquet, ROWS)

    make = functools.partial(_frame, cameras=cameras)

    def episode(named_rows: Iterator[tuple[str, dict[str, Any]]]) -> NewEpisode:
        name, first = next(named_rows)
        frames = usable.of(itertools.chain([(name, first)], named_rows), make)
        return NewEpisode(frames, moment(first.get("start")))

    episodes = (episode(group) for _, group in itertools.groupby(rows, key=lambda named: named[1]["episode"]))
    return usable.reported(lambda: write_episodes(output, episodes, cameras, total, "converting"), folder)


def _rows(recording: Recording) -> Iterator[dict[str, Any]]:
    with converting_bar(recording) as bar:
        for index, episode in enumerate(recording.episodes):
            start, outcomes = start_of(episode), episode.outcomes()
            for number, (frame, extra) in enumerate(frames_of(episode, bar)):
                row: dict[str, Any] = {"episode": index, "frame": number, "extra": to_text(extra)}
                row["start"] = start and start.isoformat()
                for camera in recording.cameras:
                    row[camera] = {"bytes": frame.data(camera), "path": None}
                row |= {
                    "reward": None if outcomes is None else float(outcomes.rewards[number]),
                    "terminated": None if outcomes is None else bool(outcomes.terminated[number]),
                    "truncated": None if outcomes is None else bool(outcomes.truncated[number]),
                }
                yield row | {name: getattr(frame, name) for name in NUMBERS}


def _frame(row: dict[str, Any], cameras: list[str]) -> NewFrame:
    images = {camera: row[camera]["bytes"] for camera in cameras}
    numbers = (float(row[name]) for name in NUMBERS)
    steering, throttle, brake, speed, time = numbers
    return NewFrame(images, steering, throttle, brake, speed, time, from_text(row.get("extra")))


def _value(kind: Any) -> dict[str, str]:
    names = {"double": "float64", "float": "float32"}
    return {"dtype": names.get(str(kind), str(kind)), "_type": "Value"}
