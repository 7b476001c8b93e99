"""Minari: a data set of episodes with observations, actions and infos.

Observations are a dictionary of the cameras' images and ``speed`` (m/s), actions are (steering,
throttle - brake) as the environment takes them. Minari needs an observation after the last action, for
which the last observation is repeated. Rewards, terminations and truncations are the recorded ones; a
recording of another program has none, and its rewards become 0, with a warning. ``infos`` has time, throttle,
brake and the side file (as JSON). Minari compresses images again, so they are not restored exactly. It holds
a whole episode in memory, 150 kB per image; `udacity_gym.recording.tools.split` makes episodes shorter.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from udacity_gym.errors import RecordingError
from udacity_gym.installation import require
from udacity_gym.recording.convert.common import (
    converting_bar,
    frames_of,
    from_text,
    moment,
    to_text,
)
from udacity_gym.recording.episodes import Recording
from udacity_gym.recording.tools import NewEpisode, NewFrame, new_folder, start_of, write_episodes
from udacity_gym.telemetry import CAMERAS

DATASET_ID = "udacity/recording-v0"


def save(recording: Recording, folder: Path) -> Path:
    """Convert a recording, see `udacity_gym.recording.convert.save`."""
    minari, storages = (
        require("minari", "Minari's format"),
        require("minari.dataset.minari_storage", "Minari"),
    )
    require("h5py", "Minari's format")
    shape = recording.episodes[0][0].image("center").shape
    observations = spaces.Dict(
        {
            **{camera: spaces.Box(0, 255, shape, np.uint8) for camera in recording.cameras},
            "speed": spaces.Box(0, np.inf, (1,), np.float32),
        }
    )
    actions = spaces.Box(-1, 1, (2,), np.float32)
    with new_folder(folder) as part, converting_bar(recording) as bar:
        storage = storages.MinariStorage.new(part.absolute() / "data", observations, actions)
        storage.update_metadata({"dataset_id": DATASET_ID, "minari_version": minari.__version__})
        unrewarded = 0
        for number in range(len(recording.episodes)):
            buffer, has_rewards = _buffer(recording, number, minari, bar)
            storage.update_episodes([buffer])
            unrewarded += not has_rewards
    if unrewarded:
        warnings.warn(
            f"{recording.path} has no rewards in {unrewarded} of {len(recording.episodes)} episodes, so that "
            "they are 0 in the data set: good for imitation learning, useless for reinforcement learning. "
            "Recordings of udacity_gym have rewards, see udacity_gym.recording.record",
            stacklevel=3,
        )
    return folder


def load(folder: Path, output: Path) -> Recording:
    """Convert to a recording, see `udacity_gym.recording.convert.load`.

    Any data set can be read whose observations have an image "center", or are images, and whose actions
    are (steering, throttle).
    """
    minari = require("minari", "Minari's format")
    require("h5py", "Minari's format")
    try:
        dataset = minari.MinariDataset(folder.absolute() / "data")
    except (OSError, ValueError, KeyError) as error:
        raise RecordingError(f"{folder} has no Minari data set: {error}") from error
    space = dataset.observation_space
    is_dict = isinstance(space, spaces.Dict)
    cameras = [camera for camera in CAMERAS if camera in space.spaces] if is_dict else ["center"]
    image = space["center"] if is_dict and "center" in cameras else space
    if len(image.shape or ()) != 3 or dataset.action_space.shape != (2,):
        raise RecordingError(
            f"{folder} needs images as observations, and actions (steering, throttle); it has {space} and "
            f"{dataset.action_space}"
        )

    def episodes() -> Iterator[NewEpisode]:
        for episode in dataset.iterate_episodes():
            infos = episode.infos or {}
            starts = infos.get("start")
            yield NewEpisode(
                _frames(episode, cameras, is_dict), None if starts is None else moment(_text(starts[0]))
            )

    return write_episodes(output, episodes(), cameras, int(dataset.total_steps), "converting")


def _buffer(recording: Recording, number: int, minari: Any, bar: Any) -> tuple[Any, bool]:
    """An episode as Minari takes it, and whether its rewards were recorded."""
    episode = recording.episodes[number]
    n = len(episode)
    image_arrays: dict[str, Any] = {}
    extras: list[dict[str, Any]] = []
    for i, (frame, extra) in enumerate(frames_of(episode, bar)):
        for camera in recording.cameras:
            image = frame.image(camera)
            images = image_arrays.setdefault(camera, np.empty((n + 1, *image.shape), np.uint8))
            images[i] = images[n] = image
        extras.append(extra)
    again = [*range(n), n - 1]
    start = start_of(episode)
    outcomes = episode.outcomes(extras)
    last = np.arange(n) == n - 1
    buffer = minari.data_collector.EpisodeBuffer(
        id=number,
        observations={**image_arrays, "speed": episode.speed[again, None].astype(np.float32)},
        actions=np.stack([episode.steering, episode.throttle - episode.brake], axis=1).astype(np.float32),
        rewards=np.zeros(n) if outcomes is None else outcomes.rewards,
        terminations=np.zeros(n, bool) if outcomes is None else outcomes.terminated,
        truncations=last if outcomes is None else outcomes.truncated,
        infos={
            "time": episode.time[again],
            "throttle": episode.throttle[again],
            "brake": episode.brake[again],
            "extra": [to_text(extras[i]) for i in again],
            "start": ["" if start is None else start.isoformat()] * (n + 1),
        },
    )
    return buffer, outcomes is not None


def _frames(episode: Any, cameras: list[str], is_dict: bool) -> Iterator[NewFrame]:
    infos = episode.infos or {}
    for i, action in enumerate(episode.actions):
        images = {
            c: np.ascontiguousarray(episode.observations[c][i] if is_dict else episode.observations[i])
            for c in cameras
        }
        throttle = float(np.clip(action[1], -1, 1))
        speeds = episode.observations.get("speed") if is_dict else None
        yield NewFrame(
            images,
            float(np.clip(action[0], -1, 1)),
            float(infos["throttle"][i]) if "throttle" in infos else max(throttle, 0.0),
            float(infos["brake"][i]) if "brake" in infos else max(-throttle, 0.0),
            float(speeds[i][0]) if speeds is not None else 0.0,
            float(infos["time"][i]) if "time" in infos else i / 15,
            from_text(_text(infos["extra"][i])) if "extra" in infos else _outcome(episode, i),
        )


def _outcome(episode: Any, i: int) -> dict[str, Any]:
    """Entries of the side file for what came of a step of another program's data set."""
    entries: dict[str, Any] = {"reward": float(episode.rewards[i])}
    if i == len(episode.actions) - 1:
        entries["terminated"] = bool(episode.terminations[i])
        entries["truncated"] = bool(episode.truncations[i])
    return entries


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
