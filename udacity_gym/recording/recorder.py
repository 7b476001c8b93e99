"""Records drives: anybody's, episode by episode, or an expert's from beginning to end."""

from __future__ import annotations

import contextlib
import datetime
import math
import warnings
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from tqdm import tqdm
from typing_extensions import Self

from udacity_gym.conditions import Conditions
from udacity_gym.errors import OptionError, RecordingError
from udacity_gym.recording.episodes import Recording
from udacity_gym.recording.reader import open_recording
from udacity_gym.recording.writer import RecordingWriter
from udacity_gym.telemetry import CAMERAS, Control, Image, Telemetry

if TYPE_CHECKING:
    from udacity_gym.experts import Expert

KEPT = ("time", "s", "cte", "heading_error", "curvature", "progress", "lap", "pose")
"""Entries of ``info`` that go to the side file, where the environment has them."""


class Recorder:
    """Records episodes into a folder: start one, add frames, then stop or discard it.

    It doesn't matter who drives what: frames come from an environment (`RecordDrives` adds them by
    itself), a simulator (`add_telemetry`), or anywhere (`add`). A frame is on the disk when adding it
    returns. Whoever drives faster than the disk writes is held up by it, so nothing piles up in memory.

    Args:
        folder: where to, in Udacity's format; see `RecordingWriter`.
        cameras: whose images are recorded; None takes those of Udacity's cameras that the first
            frame has.
        about: what to keep with every frame in ``frames.jsonl``: ``seed``, ``track``, ``direction``,
            ``weather``, ``driver``.
        append: add to the recording that is in the folder.
        absolute_paths: see `RecordingWriter`.
        start: local time of the first frame; by default now.

    Attributes:
        about: may be changed between frames.
        recording: an episode is being recorded.
        episodes: episodes that were kept.
        frames: frames of the present episode; of the last one when stopped.

    Example:
        >>> with Recorder("my-drive", about={"driver": "human"}) as recorder:       # doctest: +SKIP
        ...     recorder.start()
        ...     recorder.add(images, action, speed=9.0, time=0.0)
        ...     recorder.discard()  # that went badly
        ...     recorder.start()
    """

    def __init__(
        self,
        folder: str | PathLike[str],
        cameras: Sequence[str] | None = None,
        about: Mapping[str, Any] | None = None,
        *,
        append: bool = False,
        absolute_paths: bool = False,
        start: datetime.datetime | None = None,
    ) -> None:
        self.cameras = None if cameras is None else tuple(cameras)
        self.about: dict[str, Any] = dict(about or {})
        self.recording = False
        self.episodes = 0
        self.frames = 0
        self._options: dict[str, Any] = {"absolute_paths": absolute_paths, "start": start}
        self._append = append
        self._folder = Path(folder)
        self._writer: RecordingWriter | None = None
        self._made: list[Path] = []

    @property
    def folder(self) -> Path:
        """Where episodes go; another one may be chosen while no episode is recorded."""
        return self._folder

    @folder.setter
    def folder(self, folder: str | PathLike[str]) -> None:
        if self.recording:
            raise RecordingError("stop or discard the episode before choosing another folder")
        self._close_writer()
        self._folder = Path(folder)

    def start(self) -> None:
        """Begin an episode; one that is being recorded is kept."""
        self.stop()
        self.recording, self.frames = True, 0
        if self._writer is not None:
            self._writer.new_episode()

    def add(
        self,
        images: Mapping[str, Image],
        action: Sequence[float] | np.ndarray[Any, Any],
        speed: float,
        time: float,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Add a frame to the episode.

        Args:
            images: what was seen: camera to (height, width, 3) uint8 RGB; further ones are passed over.
            action: (2,) what was done about it: steering [-1, 1], positive turns right, and throttle
                [-1, 1], negative brakes.
            speed: m/s at that moment.
            time: s, growing within an episode.
            extra: what else to keep in the side file. By convention ``action`` is what was executed,
                ``policy_action`` and ``expert_action`` what these wanted, ``driver`` who drove,
                ``intervention`` whether somebody drove instead of a policy; see also `KEPT`.

        Raises:
            RecordingError: No episode is being recorded, the frame is not as described, or it can't be
                written (say, the disk is full): what was recorded before is kept and readable.
        """
        if not self.recording:
            raise RecordingError("no episode is being recorded: call start() first")
        steering, throttle = _action(action, "a recorded action must be")
        cameras = self.cameras or tuple(camera for camera in CAMERAS if camera in images)
        if self._writer is None:
            self._made = [path for path in (self._folder, *self._folder.parents) if not path.exists()]
            self._writer = RecordingWriter(self._folder, cameras, append=self._append, **self._options)
            self.cameras = cameras
        self._writer.write(
            {camera: images[camera] for camera in cameras if camera in images},
            steering=steering,
            throttle=max(throttle, 0.0),
            brake=max(-throttle, 0.0),
            speed=speed,
            time=time,
            extra={**self.about, **(extra or {})},
        )
        self.frames += 1

    def add_telemetry(
        self, telemetry: Telemetry, control: Control, extra: Mapping[str, Any] | None = None
    ) -> None:
        """Add what a simulator told, and the control that was chosen on it.

        Args:
            telemetry: with an image of the centre camera at least.
            control: steering and throttle.
            extra: what else to keep, see `add`.
        """
        cameras = [c for c in CAMERAS if c in telemetry.cameras and (not self.cameras or c in self.cameras)]
        action = (control.steering, control.throttle)
        self.add(
            telemetry.images(cameras),
            action,
            telemetry.speed,
            telemetry.time,
            {**_kept(telemetry.as_info()), "action": action, **(extra or {})},
        )

    def stop(self) -> int:
        """Keep the episode; without one, nothing happens.

        Returns:
            Frames of the episode.
        """
        if not self.recording:
            return 0
        self.recording = False
        self.episodes += self.frames > 0
        return self.frames

    def discard(self) -> None:
        """Delete the episode that is being recorded; no row, image or folder of it is left.

        Raises:
            RecordingError: No episode is being recorded.
        """
        if not self.recording:
            raise RecordingError("no episode is being recorded; an episode that was stopped is kept")
        self.recording, self.frames = False, 0
        if self._writer is not None:
            self._writer.discard_episode()
            if not self.episodes:
                self._close_writer()

    def close(self) -> None:
        """Keep the episode that is being recorded, and close the files; calling it twice is fine."""
        self.stop()
        self._close_writer()

    def _close_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._append = self._append or self.episodes > 0
            self._options["start"] = None if self.episodes else self._options["start"]
            self._writer = None
            with contextlib.suppress(OSError):  # a folder that has something in it stays
                for folder in self._made:
                    folder.rmdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class RecordDrives(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Adds every step to a recorder while that records; else the environment is as it was.

    A row holds the images of the observation the action was chosen on, and the speed then. Images of
    cameras that are not in the observation are drawn by the simulator where it has them. A reset begins a
    new episode. The seed, the track, the weather, the conditions that are not Udacity's and what `note` was
    told go to the side file.

    Args:
        env: environment whose action is (steering, throttle), with "speed" and "time" in its info.
        recorder: who writes; it is not closed with the environment.

    Raises:
        RecordingError: A person may take over inside of it, so that what is done is not what it is told.

    Example:
        >>> env = RecordDrives(gymnasium.make("UdacitySim-v0"), Recorder("my-drive"))    # doctest: +SKIP
        >>> observation, info = env.reset(seed=1)
        >>> env.recorder.start()
        >>> env.note(driver="policy", expert_action=expert(observation, info))
        >>> env.step(policy(observation))
    """

    def __init__(self, env: gymnasium.Env[Any, Any], recorder: Recorder) -> None:
        if _has(env, "takeovers"):
            raise RecordingError(
                "this would record what the policy wants, not what is done: wrap the other way around, "
                "Takeover(RecordDrives(env, recorder), human)"
            )
        super().__init__(env)
        self.recorder = recorder
        self._note: dict[str, Any] = {}
        self._weather: str | None = None
        self._seen: tuple[Any, Mapping[str, Any]] | None = None
        track = getattr(env.unwrapped, "track", None)
        if track is not None:
            recorder.about.setdefault("track", str(getattr(track, "name", track)))

    def note(self, **extra: Any) -> None:
        """Say what to keep of the next step, see ``extra`` of `Recorder.add`."""
        self._note.update(extra)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode; a recorder that records begins a new one."""
        if seed is not None:
            self.recorder.about["seed"] = seed
        observation, info = self.env.reset(seed=seed, options=options)
        if getattr(getattr(self.env.unwrapped, "track", None), "direction", "forward") == "forward":
            self.recorder.about.pop("direction", None)
        else:
            self.recorder.about["direction"] = "reverse"
        self._tell(info)
        self._seen = observation, info
        self._note = {}
        if self.recorder.recording:
            self.recorder.start()
        return observation, info

    def _tell(self, info: Mapping[str, Any]) -> None:
        """Keep with every frame of the episode which track it is on, and what it is like there."""
        about = self.recorder.about
        if "track" in info:
            about["track"] = info["track"]
        if "conditions" in info:
            conditions = Conditions.from_dict(info["conditions"])
            if about.get("weather", self._weather) == self._weather:  # nobody has said it by hand
                about["weather"] = self._weather = conditions.weather
            about.pop("conditions", None)
            if conditions.changes():
                about["conditions"] = conditions.changes()

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Drive for one control step, and record it.

        Raises:
            RecordingError: The step can't be recorded; it is then not driven either.
            ResetNeeded: `reset` was never called.
        """
        if self._seen is None:
            raise ResetNeeded("call reset() before the first step()")
        if self.recorder.recording:
            observation, info = self._seen
            executed = _action(action, "a recorded action must be")
            self.recorder.add(
                images(self.env, observation, self.recorder.cameras or CAMERAS),
                executed,
                _entry(info, "speed"),
                _entry(info, "time"),
                {**_kept(info), "action": executed, **self._note},
            )
        self._note = {}
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._seen = observation, info
        return observation, reward, terminated, truncated, info


def record(
    env: gymnasium.Env[Any, Any],
    expert: Expert,
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

    A row holds the images the expert saw, the action it chose on them, and the speed at that
    moment; a negative throttle is written as brake. ``frames.jsonl`` keeps where the car was, the
    seed, the track, who drove, and the action it chose, before it was clipped.

    Args:
        env: environment with the three cameras; ``mode="training"`` gives images as the simulator
            records them. It is reset, driven, and not closed.
        expert: ``expert(observation, info) -> (steering, throttle)``. One with a ``label`` (a
            `udacity_gym.experts.NoisyExpert`) executes its action, and the label is kept as
            ``expert_action``.
        folder: where to; see `RecordingWriter`.
        laps: end after so many laps.
        seconds: end after so many seconds of driving.
        seed: seed of the environment's reset.
        progress: show a progress bar.
        start: local time of the first frame; by default now. With a given one, the same drive gives
            the same bytes.
        append: add an episode to the recording that is in the folder.
        allow_missing: record without the side cameras too; their fields in the log stay empty.
        extra: what else to keep with every frame in ``frames.jsonl``, such as ``{"weather": "fog"}``.

    Returns:
        The recording, opened; with ``append``, with all of its episodes.

    Raises:
        OptionError: Neither laps nor seconds is given, or one is not positive.
        RecordingError: The environment has no images of the three cameras, or its info no speed or
            time; or the folder can't be written to.

    Warns:
        UserWarning: The environment ended the drive before ``laps`` or ``seconds``, for example
            because the car left the road. What was recorded until then is kept and returned.
    """
    _check_limits(laps, seconds)
    about = {"driver": _name(expert), **(extra or {})}
    recorder = Recorder(folder, about=about, append=append, start=start)
    drive = RecordDrives(env, recorder)
    observation, info = drive.reset(seed=seed)
    there = images(env, observation, CAMERAS)
    missing = [camera for camera in CAMERAS if camera not in there]
    if "center" in missing or (missing and not allow_missing):
        raise RecordingError(
            f"the environment gives no image of {', '.join(missing)}: make it with cameras={CAMERAS!r}"
            + ("" if "center" in missing else ", or set allow_missing=True to leave their fields empty")
        )
    begin = _entry(info, "time")
    end_reason = None
    with recorder, tqdm(desc="recording", unit=" frames", disable=not progress) as bar:
        recorder.start()
        while not _is_done(info, begin, laps, seconds):
            if end_reason is not None:
                warnings.warn(_ended_early(info, end_reason, begin, recorder.frames), stacklevel=2)
                break
            wanted = expert(observation, info)
            action = np.array(_action(wanted, "the expert must give"), np.float32)
            label = getattr(expert, "label", None)
            drive.note(expert_action=np.asarray(wanted if label is None else label, np.float64))
            observation, _, terminated, truncated, info = drive.step(action)
            bar.update()
            if laps is not None:
                bar.set_postfix_str(f"lap {int(info['lap']) + 1} of {laps}", refresh=False)
            if terminated or truncated:
                end_reason = info.get("end_reason", "terminated" if terminated else "truncated")
    return open_recording(folder)


def images(env: gymnasium.Env[Any, Any], observation: object, cameras: Sequence[str]) -> dict[str, Image]:
    """Images of the present moment: from the observation, and else from the simulator.

    Args:
        env: the environment that gave the observation, wrapped or not.
        observation: its last one.
        cameras: whose images.

    Returns:
        Camera to (height, width, 3) uint8 RGB, of those that there are.
    """
    found: dict[str, Image] = {}
    if isinstance(observation, Mapping):
        found = {camera: observation[camera] for camera in cameras if camera in observation}
    elif isinstance(observation, np.ndarray) and observation.ndim == 3:
        camera, *_ = getattr(env.unwrapped, "cameras", ("center",))
        found = {camera: observation} if camera in cameras else {}
    telemetry = getattr(env.unwrapped, "telemetry", None)
    if isinstance(telemetry, Telemetry):
        drawn = [camera for camera in cameras if camera in telemetry.cameras and camera not in found]
        found |= telemetry.images(drawn) if drawn else {}
    return found


def _kept(info: Mapping[str, Any]) -> dict[str, Any]:
    """What goes to the side file of an environment's info."""
    return {key: info[key] for key in KEPT if key in info}


def _has(env: gymnasium.Env[Any, Any], attribute: str) -> bool:
    """Whether the environment, or one that it wraps, has an attribute (Gymnasium 0.29 can't tell)."""
    try:
        env.get_wrapper_attr(attribute)
    except AttributeError:
        return False
    return True


def _name(expert: Expert) -> str:
    """Who drives: what the expert says itself, or else its name."""
    return str(getattr(expert, "driver", None) or getattr(expert, "__name__", type(expert).__name__))


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


def _action(action: Any, whose: str) -> tuple[float, float]:
    """An action as the environment carries it out."""
    values = np.asarray(action, dtype=np.float64)
    if values.shape != (2,) or not np.isfinite(values).all():
        raise RecordingError(f"{whose} two finite numbers (steering, throttle), got {action!r}")
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
