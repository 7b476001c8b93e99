"""What is recorded in the cockpit, and what is thrown away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from udacity_gym.driving.loop import Step
from udacity_gym.recording.recorder import Recorder
from udacity_gym.telemetry import CTRL_DT


class Tape:
    """Records a drive, so that the last seconds or the episode can be thrown away.

    Of steps shorter than Udacity's 1/15 s every second, third ... is recorded, so that a recording has 15
    frames a second whatever the pace of the drive.

    Attributes:
        folder: folder of the recording; None before `start`.
        running: whether steps are recorded.
        drop: s that are thrown away before each fall; 0 keeps them.
        dropped: frames thrown away before falls.
        discarded: frames thrown away by hand.
        frames: frames on the disk that were recorded since `start`.
    """

    def __init__(self, drop: float) -> None:
        self.folder: Path | None = None
        self.running = False
        self.drop = drop
        self.dropped = self.discarded = self.frames = 0
        self._recorder: Recorder | None = None
        self._steps = 0

    @property
    def is_open(self) -> bool:
        """Whether there is a recording to go on with or to finish."""
        return self._recorder is not None

    def start(self, folder: Path) -> None:
        """Record in a folder, after what is already there, or go on after a pause."""
        if self._recorder is None or self.folder != folder:
            self.finish()
            # All cameras that there are: Unity's autonomous mode has one.
            self._recorder = Recorder(folder, append=(folder / "driving_log.csv").exists())
            self.folder = folder
            self.dropped = self.discarded = self.frames = 0
        self.running, self._steps = True, 0

    def pause(self) -> None:
        """Record nothing until `start`; what comes then is another episode."""
        self.running = False
        if self._recorder is not None:
            self._recorder.stop()

    def finish(self) -> int:
        """Close the recording.

        Returns:
            Number of frames recorded since `start`.
        """
        self.running = False
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.close()
        return self.frames

    def add(self, step: Step) -> int:
        """Record a step if it is its turn.

        Returns:
            Number of frames thrown away because the step is a fall.
        """
        if not self.running or self._recorder is None or step.decision is None:
            return 0
        if step.starts_episode:
            self._steps = 0
        every = max(1, round(CTRL_DT / float(step.next_info.get("ctrl_dt", CTRL_DT))))
        if self._steps % every == 0:
            self._recorder.add(step)
            self.frames += 1
        self._steps += 1
        if not step.fell or self.drop <= 0.0:
            return 0
        # Of this episode alone: it is what led to the fall.
        count = self._discard(min(self.drop, (self._recorder.frames - 0.5) * CTRL_DT))
        self.dropped += count
        return count

    def discard(self, seconds: float | None) -> int:
        """Throw away the last seconds, or the episode if ``seconds`` is None.

        Returns:
            Number of frames thrown away.
        """
        if self._recorder is None:
            return 0
        count = self._discard(seconds)
        self.discarded += count
        self._steps = 0
        return count

    def _discard(self, seconds: float | None) -> int:
        assert self._recorder is not None
        count = self._recorder.discard_last(seconds)
        self.frames -= count
        return count

    def as_json(self) -> dict[str, Any]:
        """What the page shows."""
        return {
            "running": self.running,
            "open": self.is_open,
            "frames": self.frames,
            "episodes": 0
            if self._recorder is None
            else self._recorder.episodes + (self._recorder.recording and self._recorder.frames > 0),
            "seconds": round(self.frames * CTRL_DT, 2),
            "megabytes": 0.0 if self._recorder is None else round(self._recorder.bytes_written / 1e6, 2),
            "dropped": self.dropped,
            "discarded": self.discarded,
            "drop": self.drop,
        }
