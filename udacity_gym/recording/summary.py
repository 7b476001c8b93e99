"""Summary of a recording: `summarize`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from udacity_gym.errors import TrackError
from udacity_gym.recording.edits import read_edits
from udacity_gym.recording.episodes import Recording
from udacity_gym.telemetry import MPH
from udacity_gym.text import count, table

STRAIGHT = 0.01
"""Steering below which a frame counts as straight: a quarter of a degree at the wheels."""


@dataclass(frozen=True)
class Summary:
    """Statistics of a recording; ``print(summary)`` shows them.

    Attributes:
        path: the recording.
        frames: number of usable frames.
        episodes: number of episodes.
        seconds: duration, s.
        metres: driven distance, from speed and time, m.
        mean_speed: m/s.
        top_speed: m/s.
        cameras: cameras with an image of every frame.
        image_size: height and width of the first image, pixels.
        straight: share of frames with hardly any steering, 0 to 1.
        left: share of frames that steer left.
        right: share of frames that steer right.
        laps: driven laps; None without the progress in the side file, or on an unknown track.
        tracks: tracks named in the side file.
        drivers: number of frames of each driver, from the side file.
        interventions: number of frames in which somebody drove in place of a policy.
        edits: descriptions of the edits of the recording.
    """

    path: str
    frames: int
    episodes: int
    seconds: float
    metres: float
    mean_speed: float
    top_speed: float
    cameras: tuple[str, ...]
    image_size: tuple[int, int]
    straight: float
    left: float
    right: float
    laps: float | None
    tracks: tuple[str, ...]
    drivers: dict[str, int]
    interventions: int
    edits: tuple[str, ...]

    def __str__(self) -> str:
        minutes, seconds = divmod(round(self.seconds), 60)
        shares = f"{self.straight:.0%} straight, {self.left:.0%} left, {self.right:.0%} right"
        lines = {
            "frames": f"{self.frames} in {count(self.episodes, 'episode')}",
            "driven": f"{minutes} min {seconds} s, {self.metres:.0f} m",
            "speed": f"{self.mean_speed:.1f} m/s ({self.mean_speed / MPH:.1f} mph) on average, "
            f"{self.top_speed:.1f} m/s at most",
            "steering": shares,
            "images": f"{self.image_size[1]}x{self.image_size[0]} of {', '.join(self.cameras)}",
        }
        if self.laps is not None:
            lines["laps"] = f"{self.laps:.1f}"
        if self.tracks:
            lines["track"] = ", ".join(self.tracks)
        if self.drivers:
            lines["driver"] = ", ".join(
                f"{name} ({count(frames, 'frame')})" for name, frames in self.drivers.items()
            )
        if self.interventions:
            lines["taken over"] = count(self.interventions, "frame")
        for number, edit in enumerate(self.edits, 1):
            lines[f"edit {number}"] = edit
        return f"{self.path}\n{table(list(lines.items()), indent='  ')}"


def summarize(recording: Recording) -> Summary:
    """Compute statistics of a recording.

    Args:
        recording: recording, with or without its edits.

    Returns:
        The statistics.

    Raises:
        RecordingError: The first image or the side file can't be read.
    """
    steering = np.concatenate([episode.steering for episode in recording.episodes])
    speed = np.concatenate([episode.speed for episode in recording.episodes])
    seconds = sum(float(episode.time[-1]) for episode in recording.episodes)
    metres = sum(
        float(np.sum(np.diff(e.time) * (e.speed[1:] + e.speed[:-1]) / 2)) for e in recording.episodes
    )
    tracks: dict[str, None] = {}
    drivers: dict[str, int] = {}
    interventions, driven, has_progress = 0, 0.0, False
    for episode in recording.episodes:
        extras = episode.extras()
        for extra in extras:
            if "track" in extra:
                tracks[str(extra["track"])] = None
            if "driver" in extra:
                drivers[str(extra["driver"])] = drivers.get(str(extra["driver"]), 0) + 1
            interventions += extra.get("intervention") is True
        progress = [extra["progress"] for extra in extras if isinstance(extra.get("progress"), (int, float))]
        if progress:
            has_progress = True
            driven += progress[-1] - progress[0]
    first = recording.episodes[0][0].image(recording.cameras[0])
    edits = [str(edit) for single in recording.parts if single.storage for edit in read_edits(single.storage)]
    return Summary(
        path=str(recording.path),
        frames=len(recording),
        episodes=len(recording.episodes),
        seconds=seconds,
        metres=metres,
        mean_speed=float(speed.mean()),
        top_speed=float(speed.max()),
        cameras=recording.cameras,
        image_size=(first.shape[0], first.shape[1]),
        straight=float((np.abs(steering) < STRAIGHT).mean()),
        left=float((steering <= -STRAIGHT).mean()),
        right=float((steering >= STRAIGHT).mean()),
        laps=_laps(driven, list(tracks)) if has_progress else None,
        tracks=tuple(tracks),
        drivers=drivers,
        interventions=interventions,
        edits=tuple(edits),
    )


def _laps(driven: float, tracks: list[str]) -> float | None:
    """Laps of so many metres, if one known track was driven."""
    from udacity_gym.world.track.track import Track

    if len(tracks) != 1:
        return None
    try:
        return driven / Track.load(tracks[0]).length
    except (TrackError, OSError):
        return None
