"""Records an expert's drive."""

from __future__ import annotations

import datetime
import math
import warnings
from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any, TypeAlias

import gymnasium
import numpy as np
from tqdm import tqdm

from udacity_gym.errors import OptionError, RecordingError
from udacity_gym.recording.episodes import Recording
from udacity_gym.recording.reader import open_recording
from udacity_gym.recording.writer import RecordingWriter
from udacity_gym.telemetry import CAMERAS, Image

Driver: TypeAlias = Callable[[Any, Mapping[str, Any]], Any]
"""``expert(observation, info) -> action``, (2,) steering and throttle in [-1, 1]."""

KEPT = ("time", "s", "cte", "heading_error", "curvature", "progress", "lap", "pose")
"""Entries of ``info`` that go to the side file, where the environment has them."""


def record(
    env: gymnasium.Env[Any, Any],
    expert: Driver,
    folder: str | PathLike[str],
    laps: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    progress: bool = False,
    *,
    start: datetime.datetime | None = None,
    append: bool = False,
    allow_missing: bool = False,
    extra: Mapping[str, Any] | None = None,
) -> Recording:
    """Let an expert drive and record it in Udacity's format.

    A row holds the pictures the expert saw, the action it chose on them, and the speed at that
    moment; a negative throttle is written as brake. ``frames.jsonl`` keeps where the car was, the
    seed, and who drove.

    Args:
        env: environment with the three cameras; ``mode="training"`` gives pictures as the simulator
            records them. It is reset, driven, and not closed.
        expert: ``expert(observation, info) -> (steering, throttle)``.
        folder: where to; see `RecordingWriter`.
        laps: end after so many laps.
        seconds: end after so many seconds of driving.
        seed: seed of the environment's reset.
        progress: show a progress bar.
        start: local time of the first frame; by default now. With a given one, the same drive gives
            the same bytes.
        append: add a take to the recording that is in the folder.
        allow_missing: record without the side cameras too; their fields in the log stay empty.
        extra: what else to keep with every frame in ``frames.jsonl``, such as ``{"weather": "fog"}``.

    Returns:
        The recording, opened; with ``append``, with all of its takes.

    Raises:
        OptionError: Neither laps nor seconds is given, or one is not positive.
        RecordingError: The environment has no pictures of the three cameras, or its info no speed or
            time; or the folder can't be written to.

    Warns:
        UserWarning: The environment ended the drive before ``laps`` or ``seconds``, for example
            because the car left the road. What was recorded until then is kept and returned.
    """
    _check_limits(laps, seconds)
    observation, info = env.reset(seed=seed)
    missing = [camera for camera in CAMERAS if camera not in _pictures(env, observation)]
    if "center" in missing or (missing and not allow_missing):
        raise RecordingError(
            f"the environment gives no picture of {', '.join(missing)}: make it with cameras={CAMERAS!r}"
            + ("" if "center" in missing else ", or set allow_missing=True to leave their fields empty")
        )
    about: dict[str, Any] = {"seed": seed, "driver": getattr(expert, "__name__", type(expert).__name__)}
    if env.spec is not None and "track" in env.spec.kwargs:
        about["track"] = str(env.spec.kwargs["track"])
    about |= extra or {}
    cameras = [camera for camera in CAMERAS if camera not in missing]
    begin = float(_entry(info, "time"))
    end_reason = None
    with (
        RecordingWriter(folder, cameras, start=start, append=append) as writer,
        tqdm(desc="recording", unit=" frames", disable=not progress) as bar,
    ):
        while not _is_done(info, begin, laps, seconds):
            if end_reason is not None:
                warnings.warn(_ended_early(info, end_reason, begin, len(writer)), stacklevel=2)
                break
            action = _action(expert(observation, info))
            writer.write(
                _pictures(env, observation),
                steering=action[0],
                throttle=max(action[1], 0.0),
                brake=max(-action[1], 0.0),
                speed=_entry(info, "speed"),
                time=_entry(info, "time"),
                extra={**about, **{key: info[key] for key in KEPT if key in info}},
            )
            bar.update()
            if laps is not None:
                bar.set_postfix_str(f"lap {int(info['lap']) + 1} of {laps}", refresh=False)
            observation, _, terminated, truncated, info = env.step(np.array(action, np.float32))
            if terminated or truncated:
                end_reason = info.get("end_reason", "terminated" if terminated else "truncated")
    return open_recording(folder)


def _check_limits(laps: int | None, seconds: float | None) -> None:
    if laps is None and seconds is None:
        raise OptionError("say when to stop: laps=3 or seconds=60")
    for name, value in (("laps", laps), ("seconds", seconds)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise OptionError(f"{name} must be a positive number, got {value!r}")


def _is_done(info: Mapping[str, Any], begin: float, laps: int | None, seconds: float | None) -> bool:
    if laps is not None and _entry(info, "lap") >= laps:
        return True
    return seconds is not None and _entry(info, "time") - begin >= seconds - 1e-9


def _pictures(env: gymnasium.Env[Any, Any], observation: object) -> dict[str, Image]:
    """The pictures of Udacity's cameras in an observation."""
    if isinstance(observation, Mapping):
        return {camera: observation[camera] for camera in CAMERAS if camera in observation}
    if isinstance(observation, np.ndarray) and observation.ndim == 3:
        camera, *_ = getattr(env.unwrapped, "cameras", ("center",))
        return {camera: observation}
    return {}


def _action(action: Any) -> tuple[float, float]:
    """An expert's action as the environment carries it out."""
    values = np.asarray(action, dtype=np.float64)
    if values.shape != (2,) or not np.isfinite(values).all():
        raise RecordingError(f"the expert must give two finite numbers (steering, throttle), got {action!r}")
    steering, throttle = np.clip(values, -1.0, 1.0).tolist()
    return steering, throttle


def _entry(info: Mapping[str, Any], key: str) -> float:
    try:
        return float(info[key])
    except KeyError:
        raise RecordingError(f"the environment's info has no {key!r}; it has {', '.join(info)}") from None


def _ended_early(info: Mapping[str, Any], reason: str, begin: float, frames: int) -> str:
    where = f" at s = {info['s']:.0f} m" if "s" in info else ""
    lap = f" in lap {int(info['lap']) + 1}" if "lap" in info else ""
    return (
        f"the drive ended early ({reason}) after {_entry(info, 'time') - begin:.1f} s{lap}{where}; "
        f"the {frames} frames until then are kept"
    )
