"""Recordings for the page: episodes, curves, findings, edits and images."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from udacity_gym.cockpit.workspace import Workspace
from udacity_gym.errors import OptionError, RecordingError, UdacityGymError
from udacity_gym.recording import Recording, open_recording
from udacity_gym.recording.balance import balanced, steering_histogram
from udacity_gym.recording.images import JPEG_START
from udacity_gym.recording.tools import balance, check, edits_of, leave_out, trim, undo

KEPT = 4
"""Recordings that stay open."""
MAX_ROWS = 2000
"""Rows of one finding that are sent."""


class Browser:
    """The recordings of a workspace. Thread-safe.

    Recordings are opened without their edits, so that rows that are left out can be seen and brought back.
    """

    def __init__(self, workspace: Workspace, load_driver: Callable[[str], Any]) -> None:
        """Open nothing yet.

        Args:
            workspace: where the recordings are.
            load_driver: loads a policy, given its path.
        """
        self._workspace = workspace
        self._load_driver = load_driver
        self._open: OrderedDict[Path, tuple[float, Recording]] = OrderedDict()
        self._lock = threading.RLock()

    def recording(self, name: object) -> Recording:
        """A recording, without its edits.

        Raises:
            OptionError: There is none of that name.
            RecordingError: It can't be read.
        """
        folder = self._workspace.existing(name)
        log = folder / "driving_log.csv"
        if not log.exists():
            raise OptionError(f"{name!r} holds no recording")
        changed = log.stat().st_mtime
        with self._lock:
            if folder in self._open and self._open[folder][0] == changed:
                self._open.move_to_end(folder)
                return self._open[folder][1]
            recording = open_recording(folder, edits=False)
            self._open[folder] = (changed, recording)
            while len(self._open) > KEPT:
                self._open.popitem(last=False)
            return recording

    def forget(self, name: object) -> None:
        """Read a recording again when it is next asked for, because its files have changed."""
        with self._lock:
            self._open.pop(self._workspace.path(name), None)

    def overview(self, name: str) -> dict[str, Any]:
        """What is in a recording: its episodes, findings, edits, and the steering of all frames."""
        recording = self.recording(name)
        left_out = self._left_out(name)
        steering = np.concatenate([episode.steering for episode in recording.episodes])
        rows = np.concatenate([episode.row for episode in recording.episodes])
        used = steering[~np.isin(rows, left_out)]
        kept = used[balanced(used)]
        return {
            "name": name,
            "cameras": list(recording.cameras),
            "frames": len(recording),
            "left_out": len(left_out),
            "episodes": [
                {
                    "frames": len(episode),
                    "seconds": round(float(episode.time[-1]), 2),
                    "mph": round(float(episode.speed_mph.mean()), 1),
                    "first": int(episode.row[0]),
                    "left_out": int(np.isin(episode.row, left_out).sum()),
                }
                for episode in recording.episodes
            ],
            "findings": [
                {
                    "kind": finding.kind.name,
                    "advice": finding.kind.advice,
                    "count": finding.count,
                    "detail": finding.detail,
                    "rows": list(finding.rows[:MAX_ROWS]),
                }
                for finding in recording.report
            ],
            "edits": [str(edit) for edit in self._edits(name)],
            "histogram": steering_histogram(used)[1].tolist(),
            "balanced": steering_histogram(kept)[1].tolist(),
            "editable": len(recording.parts) == 1,
        }

    def episode(self, name: str, number: int) -> dict[str, Any]:
        """Columns of an episode: row, time, steering, throttle, speed, who drove, labels, pose, left out."""
        recording = self.recording(name)
        if not isinstance(number, int) or not 0 <= number < len(recording.episodes):
            raise OptionError(f"{name} has {len(recording.episodes)} episodes; there is no {number!r}")
        episode = recording.episodes[number]
        extras = episode.extras()
        left_out = self._left_out(name)

        def column(key: str, index: int) -> list[float | None]:
            values = [extra.get(key) for extra in extras]
            return [round(float(v[index]), 4) if isinstance(v, (list, tuple)) else None for v in values]

        track = next((str(extra["track"]) for extra in extras if "track" in extra), None)
        return {
            "number": number,
            "row": episode.row.tolist(),
            "time": [round(float(t), 3) for t in episode.time],
            "steering": [round(float(v), 4) for v in episode.steering],
            "throttle": [round(float(v), 4) for v in episode.throttle - episode.brake],
            "mph": [round(float(v), 2) for v in episode.speed_mph],
            "left_out": np.isin(episode.row, left_out).tolist(),
            "driver": [extra.get("driver") for extra in extras],
            "policy": column("policy_action", 0),
            "expert": column("expert_action", 0),
            "skipped": [bool(extra.get("skipped")) for extra in extras],
            "image": [episode.name("center", i).rpartition("/")[2] for i in range(len(episode))],
            "x": column("pose", 0),
            "y": column("pose", 1),
            "outline": None if track is None else _outline(track),
        }

    def steer(self, name: str, number: int, policy: str) -> list[float]:
        """What a policy would steer at the images of an episode, in [-1, 1]."""
        from udacity_gym.driving.driver import PolicyDriver

        recording = self.recording(name)
        if not isinstance(number, int) or not 0 <= number < len(recording.episodes):
            raise OptionError(f"{name} has {len(recording.episodes)} episodes; there is no {number!r}")
        driver = PolicyDriver(self._load_driver(str(self._workspace.existing(policy))))
        return [
            round(
                float(driver.decide(frame.image(), {"time": frame.time, "speed": frame.speed}).action[0]), 4
            )
            for frame in recording.episodes[number]
        ]

    def image(self, name: str, row: int, camera: str) -> tuple[bytes, str]:
        """The file of an image as it is, and its media type.

        Raises:
            OptionError: There is no such row or camera.
            RecordingError: The file can't be read.
        """
        recording = self.recording(name)
        for episode in recording.episodes:
            if camera not in episode.cameras:
                break
            index = int(np.searchsorted(episode.row, row)) if episode.row[0] <= row <= episode.row[-1] else -1
            matches = np.flatnonzero(episode.row == row) if index < 0 else np.array([index])
            if len(matches) and index < len(episode) and episode.row[matches[0]] == row:
                data = episode.data(camera, int(matches[0]))
                return data, "image/jpeg" if data.startswith(JPEG_START) else "image/png"
        raise OptionError(f"{name} has no row {row} with an image of {camera!r}")

    def edit(self, name: str, kind: str, **arguments: Any) -> dict[str, Any]:
        """Leave rows out or undo it; the recording's own files stay as they are.

        Args:
            name: of the recording.
            kind: "leave_out" with ``rows``, "trim" with ``start`` and ``end`` in s, "balance", "check", or
                "undo".
            **arguments: see ``kind``.

        Returns:
            The overview afterwards.

        Raises:
            OptionError: There is no such edit, or it would leave no frame.
        """
        folder = self._workspace.existing(name)
        self.recording(name)
        if kind == "leave_out":
            leave_out(folder, _rows(arguments.get("rows")))
        elif kind == "trim":
            trim(folder, float(arguments.get("start", 0.0)), float(arguments.get("end", 0.0)))
        elif kind == "balance":
            balance(folder)
        elif kind == "check":
            check(folder, leave_out_unusable=True, progress=False)
        elif kind == "undo":
            undo(folder)
        else:
            raise OptionError(f"no edit {kind!r}; there are leave_out, trim, balance, check and undo")
        return self.overview(name)

    def _edits(self, name: str) -> Sequence[Any]:
        try:
            return edits_of(self._workspace.existing(name))
        except RecordingError:
            return ()

    def _left_out(self, name: str) -> np.ndarray[Any, Any]:
        edits = [edit.leave_out for edit in self._edits(name)]
        return np.unique(np.concatenate(edits)) if edits else np.empty(0, np.int64)


def _rows(rows: object) -> list[int]:
    if not isinstance(rows, list) or not rows or not all(type(row) is int and row > 0 for row in rows):
        raise OptionError("rows must be a list of lines of the log, counted from 1")
    return rows


def _outline(track: str) -> dict[str, Any] | None:
    """The reference line of a built-in track, for the map."""
    from udacity_gym.world.track.track import Track

    if "/" in track or "\\" in track:
        return None
    try:
        loaded = Track.load(track)
    except (UdacityGymError, OSError):
        return None
    every = max(1, len(loaded.x) // 240)
    return {
        "x": [round(float(x), 1) for x in loaded.x[::every]],
        "y": [round(float(y), 1) for y in loaded.y[::every]],
    }
