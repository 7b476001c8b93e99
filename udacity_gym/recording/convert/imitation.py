"""Trajectories of the ``imitation`` library, in memory and in its files.

A trajectory has the images of one camera as ``obs``, (steering, throttle - brake) as ``acts``, and speed,
time and the side file as ``infos``. Where rewards were recorded, it has them as ``rews``; ``terminal`` says
whether the environment ended the episode for what happened. ``imitation`` needs an observation after the
last action, for which the last observation is repeated. `trajectories` decodes an episode on access. `save`
writes files for ``imitation.data.serialize.load`` with pyarrow alone, because imitation 1.0.1 can't be
installed with current versions of NumPy and Gymnasium. That library reads images number by number, so images
are scaled down.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from udacity_gym.errors import RecordingError
from udacity_gym.installation import require
from udacity_gym.recording.convert.common import converting_bar, from_text, moment, to_text
from udacity_gym.recording.episodes import Recording
from udacity_gym.recording.images import Downscale
from udacity_gym.recording.tools import NewEpisode, NewFrame, new_folder, start_of, write_episodes
from udacity_gym.telemetry import Image

SMALL = Downscale()
"""Preprocessing of images in files: 66x200 pixels."""


@dataclass(frozen=True)
class Trajectory:
    """Same fields as ``imitation.data.types.TrajectoryWithRew``, for use without that library.

    Attributes:
        obs: (n + 1, height, width, 3) uint8 RGB.
        acts: (n, 2) float32 steering, and throttle minus brake.
        infos: n dictionaries.
        terminal: whether the environment ended the episode for what happened, such as leaving the road.
        rews: (n,) float64 rewards; None if they were not recorded.
    """

    obs: Image
    acts: NDArray[np.float32]
    infos: NDArray[np.object_]
    terminal: bool = False
    rews: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.acts)


class Trajectories(Sequence[Any]):
    """Episodes of a recording as trajectories, decoded on access.

    The type is ``imitation.data.types.Trajectory`` if ``imitation`` is installed, else `Trajectory`.

    Args:
        recording: the recording.
        camera: camera of the images.
        prepare: preprocessing of each image, such as `Downscale()`.
    """

    def __init__(
        self,
        recording: Recording,
        camera: str = "center",
        prepare: Callable[[Image], Image] | None = None,
    ) -> None:
        self._recording, self._camera, self._prepare = recording, camera, prepare

    def __len__(self) -> int:
        return len(self._recording.episodes)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        episode = self._recording.episodes[index]
        prepare = self._prepare or (lambda image: image)
        images = [prepare(frame.image(self._camera)) for frame in episode]
        start, extras = start_of(episode), episode.extras()
        outcomes = episode.outcomes(extras)
        infos = np.empty(len(episode), object)
        for i, (frame, extra) in enumerate(zip(episode, extras, strict=True)):
            infos[i] = {
                "speed": frame.speed,
                "time": frame.time,
                "throttle": frame.throttle,
                "brake": frame.brake,
                "start": start and start.isoformat(),
                "extra": to_text(extra),
            }
        acts = np.stack([episode.steering, episode.throttle - episode.brake], axis=1).astype(np.float32)
        columns = {"obs": np.stack([*images, images[-1]]), "acts": acts, "infos": infos}
        if outcomes is None:
            return _kind("Trajectory")(**columns, terminal=False)
        terminal = bool(outcomes.terminated[-1])
        return _kind("TrajectoryWithRew")(**columns, terminal=terminal, rews=outcomes.rewards)


def trajectories(
    recording: Recording, camera: str = "center", prepare: Callable[[Image], Image] | None = None
) -> Trajectories:
    """The episodes of a recording for ``imitation``, for example ``rollout.flatten_trajectories(...)``."""
    return Trajectories(recording, camera, prepare)


def save(recording: Recording, folder: Path, prepare: Callable[[Image], Image] = SMALL) -> Path:
    """Convert a recording, see `udacity_gym.recording.convert.save`.

    Args:
        recording: its centre camera is kept.
        folder: the new folder.
        prepare: preprocessing of each image; the default scales it to 66x200 pixels.
    """
    pa = require("pyarrow", "the format of imitation's trajectories")
    require("pyarrow.ipc", "the format of imitation's trajectories")
    pixels = pa.list_(pa.list_(pa.list_(pa.list_(pa.uint8()))))
    types = {
        "obs": pixels,
        "acts": pa.list_(pa.list_(pa.float32())),
        "infos": pa.list_(pa.string()),
        "terminal": pa.bool_(),
    }
    rewarded = all(episode.outcomes() is not None for episode in recording.episodes)
    if rewarded:
        types["rews"] = pa.list_(pa.float64())
    features = {
        "obs": _sequence(_sequence(_sequence(_sequence(_value("uint8"))))),
        "acts": _sequence(_sequence(_value("float32"))),
        "infos": _sequence(_value("string")),
        "terminal": _value("bool"),
    }
    if rewarded:
        features["rews"] = _sequence(_value("float64"))
    about = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    schema = pa.schema(list(types.items()), metadata=about)
    name = "data-00000-of-00001.arrow"
    with new_folder(folder) as part, converting_bar(recording) as bar:
        with pa.OSFile(str(part / name), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
            for trajectory in trajectories(recording, prepare=prepare):
                columns = [
                    _list_of(pa, trajectory.obs),
                    _list_of(pa, trajectory.acts),
                    pa.array([[json.dumps(info) for info in trajectory.infos]], types["infos"]),
                    pa.array([bool(trajectory.terminal)]),
                ]
                if rewarded:
                    columns.append(pa.array([trajectory.rews.tolist()], types["rews"]))
                writer.write_batch(pa.record_batch(columns, schema=schema))
                bar.update(len(trajectory))
        state: dict[str, Any] = {
            "_data_files": [{"filename": name}],
            "_fingerprint": "0" * 16,
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": None,
        }
        (part / "state.json").write_text(json.dumps(state))
        info = {"citation": "", "description": "", "features": features, "homepage": "", "license": ""}
        (part / "dataset_info.json").write_text(json.dumps(info))
    return folder


def load(folder: Path, output: Path) -> Recording:
    """Convert to a recording of one camera, see `udacity_gym.recording.convert.load`."""
    pa = require("pyarrow", "the format of imitation's trajectories")
    require("pyarrow.ipc", "the format of imitation's trajectories")
    files = sorted(folder.glob("data-*.arrow"))
    if not files:
        raise RecordingError(f"{folder} has no trajectories of imitation: data-*.arrow is missing")

    def episodes() -> Iterator[NewEpisode]:
        for file in files:
            with pa.memory_map(str(file)) as source, pa.ipc.open_stream(source) as batches:
                for batch in batches:
                    for i in range(batch.num_rows):
                        yield _episode(batch, i)

    return write_episodes(output, episodes(), ("center",), label="converting")


def _episode(batch: Any, i: int) -> NewEpisode:
    obs, acts = _array(batch.column("obs")[i]), _array(batch.column("acts")[i])
    infos = batch.column("infos")[i].as_py() if "infos" in batch.schema.names else []
    if obs.ndim != 4 or obs.shape[3] != 3 or acts.shape[1:] != (2,) or len(obs) < len(acts):
        raise RecordingError(
            f"trajectories must have images (n + 1, height, width, 3) and actions (n, 2) of steering and "
            f"throttle; these have {obs.shape} and {acts.shape}"
        )
    entries = [from_text(info) for info in infos] or [{}] * len(acts)
    rewards = batch.column("rews")[i].as_py() if "rews" in batch.schema.names else None
    terminal = bool(batch.column("terminal")[i].as_py()) if "terminal" in batch.schema.names else False

    def extra_of(k: int) -> dict[str, Any]:
        if "extra" in entries[k] or rewards is None:
            return from_text(entries[k].get("extra"))
        ends = {"terminated": terminal, "truncated": not terminal} if k == len(acts) - 1 else {}
        return {"reward": float(rewards[k]), **ends}

    def frames() -> Iterator[NewFrame]:
        for k, (steering, throttle) in enumerate(np.clip(acts, -1, 1).tolist()):
            info = entries[k]
            yield NewFrame(
                {"center": np.ascontiguousarray(obs[k], np.uint8)},
                steering,
                float(info.get("throttle", max(throttle, 0.0))),
                float(info.get("brake", max(-throttle, 0.0))),
                float(info.get("speed", 0.0)),
                float(info.get("time", k / 15)),
                extra_of(k),
            )

    return NewEpisode(frames(), moment(entries[0].get("start")) if entries else None)


def _list_of(pa: Any, array: NDArray[Any]) -> Any:
    """A column of one row, which is the array as nested lists, without making Python's numbers of it."""
    column = pa.array(np.ascontiguousarray(array).reshape(-1))
    for size in (*array.shape[:0:-1], array.shape[0]):
        offsets = np.arange(0, len(column) + 1, size, dtype=np.int32)
        column = pa.ListArray.from_arrays(pa.array(offsets), column)
    return column


def _array(scalar: Any) -> NDArray[Any]:
    """A nested list of Arrow as an array."""
    shape: list[int] = []
    values = scalar.values
    length = len(values)
    while True:
        shape.append(length)
        if not hasattr(values, "flatten") or not hasattr(values.type, "value_type"):
            break
        inner = values.flatten()
        length = len(inner) // max(1, len(values))
        values = inner
    array: NDArray[Any] = values.to_numpy(zero_copy_only=False).reshape(shape)
    return array


def _kind(name: str) -> Any:
    """A class of imitation's trajectories, or ours where that library is not installed."""
    try:
        return getattr(import_module("imitation.data.types"), name)
    except ImportError:
        return Trajectory


def _sequence(feature: dict[str, Any]) -> dict[str, Any]:
    return {"feature": feature, "_type": "Sequence"}


def _value(dtype: str) -> dict[str, Any]:
    return {"dtype": dtype, "_type": "Value"}
