"""LeRobotDataset v3.0, with images inside of its Parquet files.

Features: ``observation.images.center`` (and left, right), ``observation.state`` (speed, m/s), ``action``
(steering, throttle, brake), and ``extra`` (the side file, as JSON) where there is one. Where rewards were
recorded, also ``next.reward``, ``next.done`` (the episode ends with this frame) and ``next.terminated`` (the
environment ended it for what happened, such as leaving the road). Images are the
recording's own JPEG files, byte for byte. ``timestamp`` is the measured time and not a multiple of 1 / fps;
the local times of the episodes are in ``info.json`` under "udacity_gym". Numbers are float32, LeRobot's kind.

Format: https://huggingface.co/docs/lerobot/lerobot-dataset-v3. Written and read with pyarrow alone;
data sets with videos can't be read.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udacity_gym.errors import RecordingError
from udacity_gym.installation import require
from udacity_gym.recording.convert.common import (
    UsableFrames,
    clip,
    converting_bar,
    frames_of,
    from_text,
    moment,
    parquet_rows,
    to_text,
)
from udacity_gym.recording.episodes import Episode, Outcomes, Recording
from udacity_gym.recording.tools import NewEpisode, NewFrame, new_folder, start_of, write_episodes
from udacity_gym.telemetry import CAMERAS

VERSION = "v3.0"
CHUNK = 1000
"""Files per folder."""
FILE_BYTES = 100 << 20
"""Maximum size of a file, bytes of images, except for its last episode."""
ROWS = 128
"""Number of frames that are held in memory at once."""
SAMPLES = 20
"""Number of images per episode for the statistics of colours."""
TASK = "drive along the road"

_ACTION = ("steering", "throttle", "brake")
_OUTCOMES = {"next.reward": "float32", "next.done": "bool", "next.terminated": "bool"}
_COUNTERS = ("frame_index", "episode_index", "index", "task_index")
_QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}


def save(recording: Recording, folder: Path) -> Path:
    """Convert a recording, see `udacity_gym.recording.convert.save`."""
    pa, parquet = require("pyarrow", "LeRobot's format"), require("pyarrow.parquet", "LeRobot's format")
    pd = require("pandas", "LeRobot's format")

    shape = recording.episodes[0][0].image("center").shape
    outcomes = [episode.outcomes() for episode in recording.episodes]
    rewarded = all(outcome is not None for outcome in outcomes)
    features = _features(recording.cameras, shape, rewarded)
    schema = _schema(pa, recording.cameras, rewarded)
    steps = np.concatenate([np.diff(episode.time) for episode in recording.episodes])
    fps = round(1 / float(np.median(steps))) if len(steps) and np.median(steps) > 0 else 15
    episodes = []
    with new_folder(folder) as part, converting_bar(recording) as bar:
        files = _Files(part, parquet, schema)
        index = 0
        try:
            for number, episode in enumerate(recording.episodes):
                files.next_episode()
                begin = index
                block: list[dict[str, Any]] = []
                outcome = outcomes[number] if rewarded else None
                for i, (frame, extra) in enumerate(frames_of(episode, bar)):
                    row: dict[str, Any] = {
                        _key(camera): {"bytes": frame.data(camera), "path": None}
                        for camera in recording.cameras
                    }
                    row |= {
                        "observation.state": frame.speed,
                        "action": [getattr(frame, name) for name in _ACTION],
                        "extra": to_text(extra),
                        "timestamp": frame.time,
                        "frame_index": i,
                        "episode_index": number,
                        "index": index,
                        "task_index": 0,
                    }
                    if outcome is not None:
                        ends = outcome.terminated[i] or outcome.truncated[i]
                        reward, terminated = float(outcome.rewards[i]), bool(outcome.terminated[i])
                        row |= dict(zip(_OUTCOMES, (reward, bool(ends), terminated), strict=True))
                    block.append(row)
                    index += 1
                    if len(block) == ROWS or i == len(episode) - 1:
                        files.write(pa.Table.from_pylist(block, schema))
                        block = []
                entry: dict[str, Any] = {"episode_index": number, "tasks": [TASK], "length": len(episode)}
                entry |= {"data/chunk_index": files.chunk, "data/file_index": files.file}
                entry |= {"dataset_from_index": begin, "dataset_to_index": index}
                entry |= {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}
                stats = _statistics(
                    [episode], recording.cameras, [outcome] if outcome else [], number=number, begin=begin
                )
                for name, values in stats.items():
                    entry |= {f"stats/{name}/{what}": value for what, value in values.items()}
                episodes.append(entry)
        finally:
            files.close()
        meta = part / "meta"
        (meta / "episodes" / "chunk-000").mkdir(parents=True)
        parquet.write_table(
            pa.Table.from_pylist(episodes), meta / "episodes" / "chunk-000" / "file-000.parquet"
        )
        pd.DataFrame({"task_index": [0]}, index=pd.Index([TASK], name="task")).to_parquet(
            meta / "tasks.parquet"
        )
        known = [outcome for outcome in outcomes if outcome is not None] if rewarded else []
        whole = _statistics(list(recording.episodes), recording.cameras, known)
        (meta / "stats.json").write_text(json.dumps(whole, indent=4))
        starts = [start and start.isoformat() for start in map(start_of, recording.episodes)]
        info = {
            "codebase_version": VERSION,
            "robot_type": "udacity_car",
            "total_episodes": len(recording.episodes),
            "total_frames": len(recording),
            "total_tasks": 1,
            "chunks_size": CHUNK,
            "data_files_size_in_mb": FILE_BYTES >> 20,
            "video_files_size_in_mb": 200,
            "fps": fps,
            "splits": {"train": f"0:{len(recording.episodes)}"},
            "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
            "video_path": None,
            "features": features,
            "udacity_gym": {"starts": starts},
        }
        (meta / "info.json").write_text(json.dumps(info, indent=4))
    return folder


def load(folder: Path, output: Path) -> Recording:
    """Convert to a recording, see `udacity_gym.recording.convert.load`.

    Any data set with an image ``observation.images.center`` and an action whose names have "steering"
    and "throttle" can be read.
    """
    parquet = require("pyarrow.parquet", "LeRobot's format")
    try:
        info = json.loads((folder / "meta" / "info.json").read_text(encoding="utf-8"))
        version, features = str(info["codebase_version"]), info["features"]
        names = list(features["action"]["names"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordingError(
            f"{folder} is no LeRobot data set with an action: meta/info.json gives {error!r}"
        ) from error
    if not version.startswith("v3."):
        raise RecordingError(f"{folder} is of LeRobot's format {version}, only v3 can be read")
    cameras = [camera for camera in CAMERAS if _key(camera) in features]
    kinds = {features[_key(camera)]["dtype"] for camera in cameras}
    if "center" not in cameras or kinds != {"image"} or not {"steering", "throttle"} <= set(names):
        kind = ", ".join(sorted(kinds)) or "no image"
        raise RecordingError(
            f"{folder} needs the feature {_key('center')} of dtype image, and an action with the names "
            f"steering and throttle; it has {', '.join(features)} ({kind}), "
            f"and an action {names}"
        )
    starts = dict(enumerate(info.get("udacity_gym", {}).get("starts", [])))
    files = sorted(folder.glob("data/chunk-*/file-*.parquet"))
    has_speed = features.get("observation.state", {}).get("names") == ["speed"]

    usable = UsableFrames()
    rows = parquet_rows(files, parquet, ROWS)

    def frame(row: dict[str, Any]) -> NewFrame:
        action = dict(zip(names, row["action"], strict=True))
        throttle = action["throttle"]
        return NewFrame(
            {camera: row[_key(camera)]["bytes"] for camera in cameras},
            clip(action["steering"]),
            clip(throttle, low=0.0),
            clip(action.get("brake", -throttle), low=0.0),
            row["observation.state"] if has_speed else 0.0,
            row["timestamp"],
            from_text(row["extra"]) if "extra" in row else _outcome(row),
        )

    def episodes() -> Iterator[NewEpisode]:
        for number, group in itertools.groupby(rows, key=lambda named: named[1]["episode_index"]):
            yield NewEpisode(usable.of(group, frame), moment(starts.get(number)))

    total = info.get("total_frames")
    return usable.reported(lambda: write_episodes(output, episodes(), cameras, total, "converting"), folder)


def _outcome(row: dict[str, Any]) -> dict[str, Any]:
    """Entries of the side file for what came of a frame of another program's data set."""
    if row.get("next.reward") is None:
        return {}
    entries: dict[str, Any] = {"reward": float(row["next.reward"])}
    if row.get("next.done"):
        terminated = bool(row.get("next.terminated", True))
        entries |= {"terminated": terminated, "truncated": not terminated}
    return entries


class _Files:
    """Writes the data files one after the other; an episode is in one file."""

    def __init__(self, folder: Path, parquet: Any, schema: Any) -> None:
        self._folder, self._parquet, self._schema = folder, parquet, schema
        self._writer: Any = None
        self._bytes = 0
        self._number = -1

    @property
    def chunk(self) -> int:
        return self._number // CHUNK

    @property
    def file(self) -> int:
        return self._number % CHUNK

    def next_episode(self) -> None:
        if self._writer is None or self._bytes >= FILE_BYTES:
            self.close()
            self._number += 1
            self._bytes = 0
            path = self._folder / f"data/chunk-{self.chunk:03d}/file-{self.file:03d}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._parquet.ParquetWriter(path, self._schema, compression="snappy")

    def write(self, table: Any) -> None:
        self._writer.write_table(table)
        self._bytes += table.nbytes

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _key(camera: str) -> str:
    return f"observation.images.{camera}"


def _features(cameras: tuple[str, ...], shape: tuple[int, ...], rewarded: bool) -> dict[str, Any]:
    image = {"dtype": "image", "shape": list(shape), "names": ["height", "width", "channels"]}
    features: dict[str, Any] = {_key(camera): image for camera in cameras}
    features["observation.state"] = {"dtype": "float32", "shape": [1], "names": ["speed"]}
    features["action"] = {"dtype": "float32", "shape": [3], "names": list(_ACTION)}
    features["extra"] = {"dtype": "string", "shape": [1], "names": None}
    features["timestamp"] = {"dtype": "float32", "shape": [1], "names": None}
    features |= {name: {"dtype": "int64", "shape": [1], "names": None} for name in _COUNTERS}
    for name, dtype in _OUTCOMES.items() if rewarded else ():
        features[name] = {"dtype": dtype, "shape": [1], "names": None}
    return features


def _schema(pa: Any, cameras: tuple[str, ...], rewarded: bool) -> Any:
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    fields = [(_key(camera), image) for camera in cameras]
    fields += [("observation.state", pa.float32()), ("action", pa.list_(pa.float32(), 3))]
    fields += [("extra", pa.string()), ("timestamp", pa.float32())]
    fields += [(name, pa.int64()) for name in _COUNTERS]
    if rewarded:
        fields += [(name, pa.bool_() if kind == "bool" else pa.float32()) for name, kind in _OUTCOMES.items()]
    value = {"float": "float32", "string": "string", "int64": "int64", "bool": "bool"}
    kinds: dict[str, Any] = {name: {"dtype": value.get(str(k)), "_type": "Value"} for name, k in fields}
    kinds |= {_key(camera): {"_type": "Image"} for camera in cameras}
    number = {"dtype": "float32", "_type": "Value"}
    kinds["action"] = {"feature": number, "length": 3, "_type": "Sequence"}
    about = {b"huggingface": json.dumps({"info": {"features": kinds}}).encode()}
    return pa.schema(fields, metadata=about)


def _statistics(
    episodes: list[Episode],
    cameras: tuple[str, ...],
    outcomes: list[Outcomes],
    *,
    number: int = 0,
    begin: int = 0,
) -> dict[str, dict[str, Any]]:
    """Minimum, maximum, mean, standard deviation and quantiles of every feature, as LeRobot needs them."""

    def column(name: str) -> NDArray[np.float64]:
        return np.concatenate([getattr(episode, name) for episode in episodes])

    lengths = np.array([len(episode) for episode in episodes])
    numbers = {
        "observation.state": column("speed")[:, None],
        "action": np.stack([column(name) for name in _ACTION], axis=1),
        "timestamp": column("time")[:, None],
        "frame_index": np.concatenate([np.arange(n) for n in lengths])[:, None],
        "episode_index": np.repeat(np.arange(number, number + len(lengths)), lengths)[:, None],
        "index": np.arange(begin, begin + lengths.sum())[:, None],
        "task_index": np.zeros((lengths.sum(), 1)),
    }
    if outcomes:
        rewards = np.concatenate([outcome.rewards for outcome in outcomes])
        terminated = np.concatenate([outcome.terminated for outcome in outcomes])
        ends = terminated | np.concatenate([outcome.truncated for outcome in outcomes])
        numbers |= {
            name: values[:, None] for name, values in zip(_OUTCOMES, (rewards, ends, terminated), strict=True)
        }
    statistics = {name: _figures(values.astype(np.float64)) for name, values in numbers.items()}
    for camera in cameras:
        # Every fourth pixel of some images: colours don't need more.
        sampled = [
            episode.image(camera, int(i))[::4, ::4].reshape(-1, 3) / 255
            for episode in episodes[:: max(1, len(episodes) // SAMPLES)]
            for i in np.linspace(0, len(episode) - 1, min(len(episode), SAMPLES)).astype(int)
        ]
        figures = _figures(np.concatenate(sampled))
        statistics[_key(camera)] = {
            name: value if name == "count" else [[[v]] for v in value] for name, value in figures.items()
        } | {"count": [len(sampled)]}
    return statistics


def _figures(values: NDArray[np.float64]) -> dict[str, list[Any]]:
    """Statistics of (n, d) values."""
    statistics: dict[str, list[Any]] = {
        "min": values.min(0).tolist(),
        "max": values.max(0).tolist(),
        "mean": values.mean(0).tolist(),
        "std": values.std(0).tolist(),
        "count": [len(values)],
    }
    return statistics | {name: np.quantile(values, q, axis=0).tolist() for name, q in _QUANTILES.items()}
