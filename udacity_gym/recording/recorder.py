"""Record drives: `Recorder`, step by step, and `record`, a whole drive of an expert."""

from __future__ import annotations

import contextlib
import datetime
import warnings
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from typing_extensions import Self

from udacity_gym.checks import check_number
from udacity_gym.conditions import Conditions
from udacity_gym.driving.decision import Decision
from udacity_gym.driving.driver import ExpertDriver, as_driver, name_of
from udacity_gym.driving.loop import Step, drive
from udacity_gym.errors import OptionError, RecordingError
from udacity_gym.progress import progress_bar
from udacity_gym.recording.episodes import Recording
from udacity_gym.recording.reader import open_recording
from udacity_gym.recording.writer import REACH, RecordingWriter
from udacity_gym.telemetry import CAMERAS, Control, Image, Telemetry

if TYPE_CHECKING:
    from udacity_gym.experts import Expert

KEPT = ("time", "s", "cte", "heading_error", "curvature", "progress", "lap", "pose")
"""Entries of ``info`` that are written to the side file, if present."""


class Recorder:
    """Record episodes in a folder: start one, add frames, then stop or discard it.

    Frames come from a drive (`add`), a simulator (`add_telemetry`), or any other source (`add_frame`). A
    frame is on the disk when the call returns, so nothing accumulates in memory.

    Args:
        folder: folder of the recording, in Udacity's format; see `RecordingWriter`.
        cameras: cameras to record; None for those of Udacity's cameras that the first frame has.
        about: entries of every frame in ``frames.jsonl``: ``seed``, ``track``, ``direction``,
            ``weather``, ``driver``.
        append: append to the recording in the folder.
        absolute_paths: see `RecordingWriter`.
        start: local time of the first frame; by default now.

    Attributes:
        about: entries of every frame; can be changed between frames.
        recording: whether an episode is being recorded.
        episodes: number of saved episodes.
        frames: number of frames of the present episode, or of the last one when stopped.

    Example:
        >>> with Recorder("my-drive") as recorder:                                  # doctest: +SKIP
        ...     for step in drive(env, "my-policy", laps=1):
        ...         recorder.add(step)
        ...     recorder.discard()  # that went badly
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
        self._weather: str | None = None
        # Entries of the idle frames so far, as if they were not; only the last ones can be replaced.
        self._idle: deque[dict[str, Any]] = deque(maxlen=REACH)

    @property
    def folder(self) -> Path:
        """Folder of the recording; can be changed while no episode is being recorded."""
        return self._folder

    @folder.setter
    def folder(self, folder: str | PathLike[str]) -> None:
        if self.recording:
            raise RecordingError("stop or discard the episode before choosing another folder")
        self._close_writer()
        self._folder = Path(folder)

    def start(self) -> None:
        """Begin an episode; saves one that is being recorded."""
        self.stop()
        self.recording, self.frames = True, 0
        if self._writer is not None:
            self._writer.new_episode()

    def add(self, step: Step) -> None:
        """Add a step of a drive, see `udacity_gym.driving.drive`.

        A row holds the images that the action was chosen on, and the speed then. Images of cameras that are
        not in the observation are drawn by the simulator where it has them. The first step of an episode
        begins a new episode of the recording, and so does the first one that is added after `stop`. Who
        drove, what policy and expert would have done, the reward of the step, whether and why it ended the
        episode, the seed, the track, the weather and the conditions that are not Udacity's go to the side
        file. A step in which the driver paused the simulation is no frame.

        Idle steps of a human, see `udacity_gym.driving.Decision`, are written as ``skipped``, without a
        label. If the human touches the controls again, their labels are added, and ``skipped`` is removed.

        Raises:
            RecordingError: The step can't be recorded.
        """
        if step.decision is None:
            return
        if step.starts_episode or not self.recording:
            self._describe(step)
            self.start()
        decision, info = step.decision, step.info
        action = _action(decision.action, "a recorded action must be")

        def entries(decision: Decision) -> dict[str, Any]:
            return {**_side_file_entries(info), "action": action, **decision.as_notes(), **_outcome(step)}

        if self._idle and self._writer is not None and decision.confirms_idle:
            self._writer.replace_extras(self._idle)
        self.add_frame(
            images_of(step, self.cameras or CAMERAS),
            action,
            _entry(info, "speed"),
            _entry(info, "time"),
            entries(decision),
        )
        if decision.is_idle:
            self._idle.append({**self.about, **entries(replace(decision, is_idle=False))})
        else:
            self._idle.clear()

    def _describe(self, step: Step) -> None:
        """Update ``about`` with seed, track, direction and conditions of the episode."""
        about, info = self.about, step.info
        if step.seed is not None:
            about["seed"] = step.seed
        track = getattr(step.env.unwrapped, "track", None)
        if track is not None:
            about.setdefault("track", str(getattr(track, "name", track)))
        if "track" in info:
            about["track"] = info["track"]
        if getattr(track, "direction", "forward") == "forward":
            about.pop("direction", None)
        else:
            about["direction"] = "reverse"
        if "conditions" in info:
            conditions = Conditions.from_dict(info["conditions"])
            if about.get("weather", self._weather) == self._weather:  # nobody has said it by hand
                about["weather"] = self._weather = conditions.weather
            about.pop("conditions", None)
            if conditions.changes():
                about["conditions"] = conditions.changes()

    def add_frame(
        self,
        images: Mapping[str, Image],
        action: Sequence[float] | np.ndarray[Any, Any],
        speed: float,
        time: float,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Add a frame to the episode.

        Args:
            images: (height, width, 3) uint8 RGB by camera; images of other cameras are ignored.
            action: (2,) executed action: steering [-1, 1], positive turns right, and throttle
                [-1, 1], negative brakes.
            speed: speed at that moment, m/s.
            time: time, s, increasing within an episode.
            extra: other entries of the side file. By convention, ``action`` is the executed action,
                ``policy_action`` and ``expert_action`` are those of policy and expert, ``driver`` is the
                driver, ``intervention`` says whether another driver replaced a policy, ``skipped`` frames are
                left out by learners, ``reward`` is the reward of the action; the last frame of an episode
                has ``terminated``, ``truncated`` and ``end_reason``. See also `KEPT`.

        Raises:
            RecordingError: No episode is being recorded, the frame is invalid, or it can't be written, for
                example because the disk is full. Earlier frames are kept and readable.
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
        """Add the telemetry of a simulator and the control that was chosen for it.

        Args:
            telemetry: telemetry with an image of the centre camera at least.
            control: steering and throttle.
            extra: other entries of the side file, see `add_frame`.
        """
        cameras = [c for c in CAMERAS if c in telemetry.cameras and (not self.cameras or c in self.cameras)]
        action = (control.steering, control.throttle)
        self.add_frame(
            telemetry.images(cameras),
            action,
            telemetry.speed,
            telemetry.time,
            {**_side_file_entries(telemetry.as_info()), "action": action, **(extra or {})},
        )

    def stop(self) -> int:
        """End and save the episode, if there is one.

        Returns:
            Number of frames of the episode.
        """
        if not self.recording:
            return 0
        self.recording = False
        self._idle.clear()
        self.episodes += self.frames > 0
        return self.frames

    def discard(self) -> None:
        """Delete the episode that is being recorded, with its rows, images and folders.

        Raises:
            RecordingError: No episode is being recorded.
        """
        if not self.recording:
            raise RecordingError("no episode is being recorded; an episode that was stopped is kept")
        self.recording, self.frames = False, 0
        self._idle.clear()
        if self._writer is not None:
            self._writer.discard_episode()
            if not self.episodes:
                self._close_writer()

    @property
    def bytes_written(self) -> int:
        """Bytes of the images on the disk that were recorded since the folder was opened."""
        return 0 if self._writer is None else self._writer.bytes_written

    def discard_last(self, seconds: float | None = None) -> int:
        """Delete the last seconds, and end the episode: the next frame that is added begins another.

        Args:
            seconds: s of recording to delete, which may reach back into earlier episodes; None deletes the
                last episode, also one that was stopped.

        Returns:
            Number of deleted frames.

        Raises:
            OptionError: ``seconds`` is not positive.
            RecordingError: The files can't be changed.
        """
        if seconds is not None:
            check_number("seconds", seconds, positive=True)
        self.stop()
        if self._writer is None:
            return 0
        count, gone = self._writer.discard_last(seconds)
        self.episodes -= gone
        self.frames = max(0, self.frames - count)
        if not self.episodes:
            self._close_writer()
        return count

    def close(self) -> None:
        """Save the episode that is being recorded and close the files. Can be called twice."""
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


def record(
    env: gymnasium.Env[Any, Any],
    expert: Expert | Any,
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
    """Record an expert in Udacity's format.

    A row has the images before the action, the action, and the speed at that moment. A negative throttle is
    written as brake. ``frames.jsonl`` has the position of the car, the seed, the track, the driver, and the
    action before it was clipped.

    Args:
        env: environment with the three cameras; ``mode="training"`` gives images as the simulator
            records them. It is reset, driven, and not closed.
        expert: ``expert(observation, info) -> (steering, throttle)``, or another driver that
            `udacity_gym.driving.as_driver` accepts. One with a ``label`` (a
            `udacity_gym.experts.NoisyExpert`) executes its action, and the label is kept as
            ``expert_action``.
        folder: folder of the recording; see `RecordingWriter`.
        laps: number of laps.
        seconds: seconds of simulated time.
        seed: seed of the environment's reset.
        progress: show a progress bar.
        start: local time of the first frame; by default now. With a given one, the same drive gives
            the same bytes.
        append: append an episode to the recording in the folder.
        allow_missing: allow that side cameras are missing; their fields in the log stay empty.
        extra: other entries of every frame in ``frames.jsonl``, such as ``{"weather": "fog"}``.

    Returns:
        The recording, opened; with ``append``, with all of its episodes.

    Raises:
        OptionError: Neither laps nor seconds is given, or one is not positive.
        RecordingError: The environment has no images of the three cameras, or its info no speed or
            time; or the folder can't be written to.
        ActionError: The expert gives something else than two finite numbers.

    Warns:
        UserWarning: The environment ended the drive before ``laps`` or ``seconds``, for example
            because the car left the road. The recording so far is kept and returned.
    """
    if laps is None and seconds is None:
        raise OptionError("choose when to stop: laps=3 or seconds=60")
    driver = as_driver(expert)
    own_name = getattr(driver.expert, "driver", None) if isinstance(driver, ExpertDriver) else None
    about = {"driver": str(own_name or name_of(driver)), **(extra or {})}
    if isinstance(driver, ExpertDriver):
        driver.name = str(about["driver"])
    steps = drive(env, driver, laps=laps, seconds=seconds, seed=seed, stuck_seconds=None)
    step: Step | None = None
    with (
        Recorder(folder, about=about, append=append, start=start) as recorder,
        progress_bar(progress, desc="recording", unit=" frames") as bar,
    ):
        for step in steps:
            if step.starts_episode:
                _check_cameras(images_of(step, CAMERAS), allow_missing)
            recorder.add(step)
            bar.update()
            if laps is not None:
                bar.set_postfix_str(f"lap {min(step.lap + 1, laps)} of {laps}", refresh=False)
    assert step is not None, "a drive has at least one step"
    if not ((laps is not None and step.lap >= laps) or (seconds is not None and step.time >= seconds - 1e-9)):
        warnings.warn(_ended_early(step, recorder.frames), stacklevel=2)
    return open_recording(folder)


def _check_cameras(images: Mapping[str, Image], allow_missing: bool) -> None:
    """Check that the images of all required cameras are present."""
    missing = [camera for camera in CAMERAS if camera not in images]
    if "center" in missing or (missing and not allow_missing):
        raise RecordingError(
            f"the environment gives no image of {', '.join(missing)}: make it with cameras={CAMERAS!r}"
            + ("" if "center" in missing else ", or set allow_missing=True to leave their fields empty")
        )


def images_of(step: Step, cameras: Sequence[str]) -> dict[str, Image]:
    """Images before the action of a step.

    They are those of the observation; the simulator renders the others.

    Args:
        step: step of a drive.
        cameras: names of the cameras.

    Returns:
        (height, width, 3) uint8 RGB by camera, without missing cameras.
    """
    images: dict[str, Image] = {}
    if isinstance(step.observation, Mapping):
        images = {camera: step.observation[camera] for camera in cameras if camera in step.observation}
    elif isinstance(step.observation, np.ndarray) and step.observation.ndim == 3:
        camera, *_ = getattr(step.env.unwrapped, "cameras", ("center",))
        images = {camera: step.observation} if camera in cameras else {}
    if step.telemetry is not None:
        others = [camera for camera in cameras if camera in step.telemetry.cameras and camera not in images]
        images |= step.telemetry.images(others) if others else {}
    return images


def _side_file_entries(info: Mapping[str, Any]) -> dict[str, Any]:
    """Entries of an environment's info for the side file."""
    return {key: info[key] for key in KEPT if key in info}


def _outcome(step: Step) -> dict[str, Any]:
    """Entries of the side file for what came of a step."""
    if not step.ends_episode:
        return {"reward": step.reward}
    ends = {"terminated": step.terminated, "truncated": step.truncated, "end_reason": step.reason}
    return {"reward": step.reward, **ends}


def _action(action: Any, message: str) -> tuple[float, float]:
    """The action as the environment executes it, clipped."""
    values = np.asarray(action, dtype=np.float64)
    if values.shape != (2,) or not np.isfinite(values).all():
        raise RecordingError(f"{message} two finite numbers (steering, throttle), got {action!r}")
    steering, throttle = np.clip(values, -1.0, 1.0).tolist()
    return steering, throttle


def _entry(info: Mapping[str, Any], key: str) -> float:
    try:
        return float(info[key])
    except KeyError:
        raise RecordingError(f"the environment's info has no {key!r}; it has {', '.join(info)}") from None


def _ended_early(step: Step, frames: int) -> str:
    info = step.next_info
    position = f" at s = {info['s']:.0f} m" if "s" in info else ""
    lap = f" in lap {step.lap + 1}" if "lap" in info else ""
    return (
        f"the drive ended early ({step.reason}) after {step.time:.1f} s{lap}{position}; "
        f"the {frames} frames until then are kept"
    )
