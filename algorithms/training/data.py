"""Driving data for learners: the rows of recordings as columns in memory. Images stay on disk."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from algorithms.base import Floats
from algorithms.checks import Number
from udacity_gym.errors import OptionError, RecordingError
from udacity_gym.telemetry import CTRL_DT, Image

if TYPE_CHECKING:
    from udacity_gym.recording import Episode, Recording, Report

Indices: TypeAlias = NDArray[np.int64]

PEDALS = ("throttle", "brake")
"""Columns that a learned throttle is made of: the first less the second."""
MAX_FRAME_GAP = 0.25
"""Seconds between two rows above which they are no neighbours, unless all rows of the episode are this far
apart; recordings have 0.067 to 0.12 s."""

Labels: TypeAlias = Literal["expert", "executed"]
"""Which actions are the labels, see `Frames.of`."""


@dataclass(frozen=True)
class Frames:
    """Rows of recordings as columns, in order of episode and time. The images stay on disk.

    Attributes:
        episodes: the episodes that the rows come from.
        recording: (n,) number of the recording that the row comes from; each part of a joined recording has
            a number of its own.
        episode: (n,) index into ``episodes``.
        index: (n,) index within the episode.
        time: (n,) s since the episode began.
        steering: (n,) label, [-1, 1], positive turns right.
        throttle: (n,) label, [-1, 1], throttle minus brake, the meaning of the env's second action.
        speed: (n,) m/s.
        weight: (n,) how often the row is drawn, relative to the others.
    """

    episodes: tuple[Episode, ...]
    recording: Indices
    episode: Indices
    index: Indices
    time: NDArray[np.float64]
    steering: Floats
    throttle: Floats
    speed: Floats
    weight: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        recordings: Sequence[Recording],
        labels: Labels = "expert",
        weights: Sequence[float] | None = None,
    ) -> Frames:
        """Gather the rows of recordings.

        Args:
            recordings: the recordings.
            labels: "expert" takes the side file's ``expert_action`` if there is one, as in rounds of
                DAgger and DART, else the executed action. It leaves out rows that a policy drove
                (``driver`` is "policy") and nobody has labelled, so that no policy learns from itself, and
                rows that were skipped, see `algorithms.label_round`.
                "executed" takes the executed action, whoever drove.
            weights: for each recording, how often its rows are drawn relative to those of the others;
                None takes 1 for all.

        Raises:
            OptionError: ``labels`` is unknown, or weights do not fit the recordings.
            RecordingError: There are no rows, or an ``expert_action`` is not an action.
        """
        if labels not in get_args(Labels):
            raise OptionError(f"labels={labels!r} is unknown; choose one of {get_args(Labels)}")
        weights = check_weights(weights, len(recordings))
        parts = [
            (part, weight)
            for recording, weight in zip(recordings, weights, strict=True)
            for part in recording.parts
        ]
        sources = [
            (number, episode, weight)
            for number, (part, weight) in enumerate(parts)
            for episode in part.episodes
            if len(episode)
        ]
        columns = [_labelled_rows(episode, labels) for _, episode, _ in sources]
        if not sum(len(rows) for rows, _, _ in columns):
            paths = ", ".join(str(recording.path) for recording in recordings) or "no recording was given"
            hint = "; nobody labelled what the policy drove" if columns else ""
            raise RecordingError(f"nothing to learn from: no usable rows ({paths}){hint}")
        rows = [rows for rows, _, _ in columns]
        lengths = [len(r) for r in rows]
        pairs = [(episode, r) for (_, episode, _), r in zip(sources, rows, strict=True)]
        return cls(
            episodes=tuple(episode for _, episode, _ in sources),
            recording=np.repeat([number for number, _, _ in sources], lengths),
            episode=np.repeat(np.arange(len(sources)), lengths),
            index=np.concatenate(rows),
            time=np.concatenate([np.asarray(e.time[r], np.float64) for e, r in pairs]),
            steering=np.concatenate([np.asarray(steering, np.float32) for _, steering, _ in columns]),
            throttle=np.concatenate([np.asarray(throttle, np.float32) for _, _, throttle in columns]),
            speed=np.concatenate([np.asarray(e.speed[r], np.float32) for e, r in pairs]),
            weight=np.repeat([weight for _, _, weight in sources], lengths),
        )

    @classmethod
    def from_arrays(
        cls,
        images: Image | Mapping[str, Image],
        actions: NDArray[Any],
        *,
        speed: NDArray[Any] | None = None,
        episode_starts: NDArray[Any] | None = None,
        dt: float = CTRL_DT,
    ) -> Frames:
        """Make training data of arrays in memory.

        Args:
            images: (n, height, width, 3) uint8 RGB of the centre camera, or such arrays by camera; they are
                not copied.
            actions: (n, 2) steering and throttle in [-1, 1], or (n, 1) steering.
            speed: (n,) m/s; None is unknown.
            episode_starts: (n,) bool, whether an episode begins with a row; None is a single episode.
            dt: s between two rows.

        Raises:
            OptionError: An array has another shape, dtype or range.

        Example:
            >>> frames = Frames.from_arrays(images, actions)                         # doctest: +SKIP
            >>> policy = Training(TrainingConfig(throttle="learned"), frames).run()  # doctest: +SKIP
        """
        from algorithms.training.arrays import read_arrays

        episodes = read_arrays(images, actions, speed, episode_starts, dt)
        lengths = [len(episode) for episode in episodes]
        return cls(
            episodes=tuple(episodes),
            recording=np.zeros(sum(lengths), np.int64),
            episode=np.repeat(np.arange(len(episodes)), lengths),
            index=np.concatenate([np.arange(length) for length in lengths]),
            time=np.concatenate([episode.time for episode in episodes]),
            steering=np.concatenate([episode.steering for episode in episodes]).astype(np.float32),
            throttle=np.concatenate([e.throttle - e.brake for e in episodes]).astype(np.float32),
            speed=np.concatenate([episode.speed for episode in episodes]).astype(np.float32),
            weight=np.ones(sum(lengths)),
        )

    def __len__(self) -> int:
        return len(self.index)

    @property
    def by_recording(self) -> list[Indices]:
        """The rows of each recording."""
        return [np.flatnonzero(self.recording == number) for number in np.unique(self.recording)]

    @property
    def median_speed(self) -> float:
        """Median speed of all recordings that contain the speed, m/s; 0 if none does."""
        moving = [rows for rows in self.by_recording if self.speed[rows].any()]
        return float(np.median(self.speed[np.concatenate(moving)])) if moving else 0.0

    @property
    def cameras(self) -> tuple[str, ...]:
        """Cameras that every episode has images of."""
        return tuple(c for c in self.episodes[0].cameras if all(c in e.cameras for e in self.episodes))

    @property
    def recorded_steering(self) -> Floats:
        """(n,) steering as it was recorded, before any smoothing."""
        rows = zip(self.episode.tolist(), self.index.tolist(), strict=True)
        return np.array([self.episodes[e].steering[i] for e, i in rows], np.float32)

    def image(self, row: int, camera: str) -> Image:
        """Read the image of one row.

        Returns:
            (height, width, 3) uint8 RGB.

        Raises:
            RecordingError: The image can't be read.
        """
        return self.episodes[int(self.episode[row])][int(self.index[row])].image(camera)

    def identity(self, cameras: Sequence[str]) -> Iterator[bytes]:
        """Bytes that identify these rows, for a hash; images count by name and size of their files."""
        yield repr((len(self), cameras)).encode()
        for column in (self.steering, self.throttle, self.speed):
            yield column.tobytes()
        if (self.weight != 1.0).any():
            yield self.weight.tobytes()
        for number, index in zip(self.episode.tolist(), self.index.tolist(), strict=True):
            episode = self.episodes[number]
            for camera in cameras:
                name = episode.name(camera, index).rpartition("/")[2]
                yield f"{name} {_file_size(episode, camera, index)}\n".encode()

    def columns(self, names: Sequence[str]) -> Floats:
        """Some columns side by side, such as the actions of a policy.

        Args:
            names: "steering", "throttle" or "speed" each.

        Returns:
            (n, len(names)) float32.
        """
        columns = [getattr(self, name) for name in names]
        return np.stack(columns, axis=1) if columns else np.empty((len(self), 0), np.float32)

    def measurements(self, names: Sequence[str]) -> Floats:
        """Measurements that a policy gets besides images, as a driver gives them to it at each row.

        Steering, throttle and brake are those in force when the image was taken, so those of the row before;
        0 where an episode begins, or after a cut in it, see `MAX_FRAME_GAP`.

        Args:
            names: names of `udacity_gym.driving.policy_inputs.MEASUREMENTS`; "speed" and those in force are
                in every recording, others are taken from the side file.

        Returns:
            (n, len(names)) float32 in SI units.

        Raises:
            RecordingError: A recording has no such measurement.
        """
        for name in names:
            others = tuple(other for other in names if other != name)
            self.check_recorded(name, f"it can't be an input of the network; take inputs={others!r}")
        columns = [self.speed if name == "speed" else self._measurement(name) for name in names]
        return np.stack(columns, axis=1) if columns else np.empty((len(self), 0), np.float32)

    def _measurement(self, name: str) -> Floats:
        values = np.empty(len(self), np.float32)
        for number in np.unique(self.episode).tolist():
            rows, episode = self.episode == number, self.episodes[number]
            if name in ("steering", "throttle", "brake"):
                column = np.concatenate([[0.0], getattr(episode, name)[:-1]])
                column[_begins(episode)] = 0.0
            else:
                column = _side_file_column(episode, name)
            values[rows] = column[self.index[rows]]
        return values

    def logs_without(self, name: str) -> list[str]:
        """Logs among these rows' that lack a column: "steering", "throttle", "brake" or "speed"."""
        used = [self.episodes[number] for number in np.unique(self.episode).tolist()]
        return sorted({str(episode.log) for episode in used if name in episode.unrecorded})

    def check_recorded(self, name: str, consequence: str) -> None:
        """Check that a column was recorded, and is not 0 because it is unknown.

        Args:
            name: "steering", "throttle", "brake" or "speed"; other names are not checked.
            consequence: what can't be done without it and what to do instead, for the message.

        Raises:
            RecordingError: A recording lacks it.
        """
        lacking = self.logs_without(name)
        if lacking:
            more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
            raise RecordingError(
                f"{lacking[0]}{more}: the {name} was not recorded, so {consequence}, or leave out the "
                f"{'recordings' if more else 'recording'}"
            )

    def check_pedals_recorded(self, advice: str) -> None:
        """Check that the throttle can be learned, which needs throttle and brake.

        Args:
            advice: what to do instead, for the message.

        Raises:
            RecordingError: A recording lacks one of them.
        """
        for pedal in PEDALS:
            self.check_recorded(pedal, f"the throttle can't be learned; {advice}")

    def select(self, rows: Indices | slice) -> Frames:
        """Some of the rows, in the given order."""
        columns = ("recording", "episode", "index", "time", "steering", "throttle", "speed", "weight")
        return replace(self, **{name: getattr(self, name)[rows] for name in columns})

    def split(self, validation: float, gap: float) -> tuple[Frames, Frames]:
        """Split each recording by time: train on the first rows, validate on the last ones.

        Frames are not shuffled before the split. Neighbours in time are nearly the same image, so a
        shuffled split would validate on training data. A recording that is too short, so that the gap would
        leave nothing to train on, is used for training as a whole.

        Args:
            validation: share of each recording's rows that come last.
            gap: s before the first validation row that are not used at all.

        Returns:
            Training rows and validation rows.

        Raises:
            OptionError: All recordings are too short.
        """
        if not 0.0 <= validation < 1.0 or gap < 0.0:
            raise OptionError(
                f"validation={validation} must lie in [0, 1) and gap={gap} s must not be negative"
            )
        train_rows, validation_rows, is_split = [], [], False
        for rows in self.by_recording:
            count = len(rows) - round(len(rows) * validation)
            first, last = rows[:count], rows[count:]
            if len(last):
                same = self.episode[first] == self.episode[last[0]]
                first = first[~(same & (self.time[first] > self.time[last[0]] - gap))]
            is_split |= len(first) > 0
            train_rows.append(first if len(first) else rows)
            validation_rows.append(last if len(first) else rows[:0])
        if not is_split:
            raise OptionError(
                f"{len(self)} rows are too few to train on {1 - validation:.0%} of them with a gap of {gap} s"
            )
        return self.select(np.concatenate(train_rows)), self.select(np.concatenate(validation_rows))

    def split_episodes(self, validation: float, seed: int) -> tuple[Frames, Frames]:
        """Split into episodes to train on and episodes to validate on.

        Args:
            validation: share of the rows, met as nearly as whole episodes allow.
            seed: seed of the draw of episodes.

        Returns:
            Training rows and validation rows; with a share above 0 there is at least one episode of each.

        Raises:
            OptionError: There are too few episodes.
        """
        if not 0.0 <= validation < 1.0:
            raise OptionError(f"validation={validation} must lie in [0, 1)")
        numbers, rows = np.unique(self.episode, return_counts=True)
        if validation == 0.0:
            return self, self.select(slice(0, 0))
        if len(numbers) < 2:
            raise OptionError(
                "all rows are of one episode: nothing would be left to train on. Record several episodes, or "
                'choose validation_by="time"'
            )
        order = np.random.default_rng(seed).permutation(len(numbers))
        excess = np.cumsum(rows[order[:-1]]) - validation * len(self)
        count = int(np.argmin(np.abs(excess))) + 1
        validates = np.isin(self.episode, numbers[order[:count]])
        return self.select(np.flatnonzero(~validates)), self.select(np.flatnonzero(validates))

    def past(self, past_frames: int) -> Indices:
        """Indices of the rows before each row, within the same episode.

        Args:
            past_frames: number of rows before each row.

        Returns:
            (n, past_frames + 1) indices within the row's episode, the oldest first, the row itself last. Rows
            before the start of the episode, or before a cut in it (see `MAX_FRAME_GAP`), are replaced by the
            first row after it, as a policy does when an episode begins.
        """
        past = np.repeat(self.index[:, None], past_frames + 1, axis=1) - np.arange(past_frames, -1, -1)
        for number in np.unique(self.episode) if past_frames else ():
            begins = _begins(self.episodes[number])
            first = np.maximum.accumulate(np.where(begins, np.arange(len(begins)), 0))
            rows = self.episode == number
            past[rows] = np.maximum(past[rows], first[self.index[rows]][:, None])
        return past

    def future(self, steps: int) -> tuple[Indices, NDArray[np.bool_]]:
        """The rows after each row, as targets of several steps.

        A step counts if its label is among these rows and nothing was cut between: rows that were left out or
        held out for validation are never targets.

        Args:
            steps: number of steps, the row itself first.

        Returns:
            (n, steps) row numbers, and whether each is that step; where it is not, the row number is
            that of the last step that is.
        """
        rows = np.arange(len(self))
        target = np.repeat(rows[:, None], steps, axis=1)
        valid = np.ones((len(self), steps), np.bool_)
        follower = self.next_rows()
        for step in range(1, steps):
            last = target[:, step - 1]
            after = follower[last]
            valid[:, step] = valid[:, step - 1] & (after >= 0)
            target[:, step] = np.where(valid[:, step], after, last)
        return target, valid

    def next_rows(self) -> Indices:
        """(n,) the row that follows each row in time; -1 at the end of an episode and before a cut in it."""
        before = self.past(1)[:, 0]
        follows = np.diff(self.episode, append=-1) == 0
        follows[:-1] &= before[1:] == self.index[:-1]
        return np.where(follows, np.arange(len(self)) + 1, -1)

    def smoothed(self, seconds: float) -> Frames:
        """Steering averaged over a centred window, never across episodes or cuts.

        A keyboard gives full left, nothing or full right. The average over a short time is closer to what
        the driver meant than any single row.

        Args:
            seconds: s, whole width of the window; 0 changes nothing.
        """
        if seconds <= 0.0 or len(self) < 2:
            return self
        ends = np.flatnonzero((np.diff(self.episode) != 0) | (np.diff(self.index) != 1)) + 1
        steering = self.steering.copy()
        for rows in np.split(np.arange(len(self)), ends):
            time, summed = (
                self.time[rows],
                np.concatenate([[0.0], np.cumsum(self.steering[rows], dtype=np.float64)]),
            )
            first = np.searchsorted(time, time - seconds / 2 - 1e-6)
            last = np.searchsorted(time, time + seconds / 2 + 1e-6)
            steering[rows] = (summed[last] - summed[first]) / (last - first)
        return replace(self, steering=steering)


def _begins(episode: Episode) -> NDArray[np.bool_]:
    """(n,) whether a row has no row before it: the first one, and those after a cut, see `MAX_FRAME_GAP`."""
    step = np.diff(np.asarray(episode.time, np.float64))
    cut = step > max(MAX_FRAME_GAP, 2.5 * float(np.median(step))) if len(step) else np.empty(0, np.bool_)
    return np.concatenate([[True], cut])[: len(episode)]


def _side_file_column(episode: Episode, name: str) -> NDArray[np.float64]:
    """A number of each row from the side file."""
    values = [extra.get(name) for extra in episode.extras()]
    for row, value in zip(episode.row.tolist(), values, strict=True):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise RecordingError(
                f"{episode.log}, row {row}: the side file has {name}={value!r}, which must be a "
                f'finite number for inputs=("{name}",); record it with the frames, or leave this input out'
            )
    return np.array(values, np.float64)


def _file_size(episode: Episode, camera: str, index: int) -> int:
    """Bytes of the file of an image."""
    try:
        return episode.path(camera, index).stat().st_size
    except RecordingError:  # in a zip file
        return len(episode.data(camera, index))


def check_weights(weights: Sequence[float] | None, count: int) -> Sequence[float]:
    """Check the weights of recordings; returns 1 for each if none are given.

    Args:
        weights: a weight for each recording, or None.
        count: number of recordings.

    Raises:
        OptionError: The number of weights is wrong, or a weight is not above 0.
    """
    if weights is None:
        return [1.0] * count
    if len(weights) != count:
        raise OptionError(f"{len(weights)} weights for {count} recordings; give one for each")
    for weight in weights:
        Number(0, above=True).check("weight", weight)
    return weights


def _labelled_rows(
    episode: Episode, labels: Labels
) -> tuple[Indices, NDArray[np.float64], NDArray[np.float64]]:
    """Rows of an episode to train on, their steering labels and their throttle labels."""
    steering, throttle = episode.steering.copy(), episode.throttle - episode.brake
    keep = np.ones(len(episode), np.bool_)
    for i, extra in enumerate(episode.extras() if labels == "expert" else ()):
        if extra.get("expert_action") is not None:
            action = _expert_action(episode, i, extra["expert_action"])
            steering[i] = action[0]
            throttle[i] = action[1] if len(action) == 2 else throttle[i]
        else:
            keep[i] = extra.get("driver") != "policy" and not extra.get("skipped")
    rows = np.flatnonzero(keep)
    return rows, steering[rows], throttle[rows]


def _expert_action(episode: Episode, index: int, value: object) -> NDArray[np.float64]:
    try:
        action = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        action = np.empty(0)
    if action.shape not in ((1,), (2,)) or not np.isfinite(action).all():
        raise RecordingError(
            f"{episode.log}, row {episode.row[index]}: expert_action={value!r} in the side file must be "
            '[steering, throttle] or [steering], finite numbers; correct it, or take labels="executed"'
        )
    return np.clip(action, -1.0, 1.0)


def open_recordings(
    recordings: str | Path | Recording | Iterable[str | Path | Recording],
) -> list[Recording]:
    """Open the recordings that a learner is given.

    Raises:
        OptionError: Something is neither a recording nor the folder of one.
        RecordingError: A recording can't be read.
    """
    from udacity_gym.recording import Recording, open_recording

    if isinstance(recordings, (str, Path, Recording)):
        recordings = [recordings]
    if isinstance(recordings, np.ndarray) or (
        isinstance(recordings, (list, tuple)) and any(isinstance(item, np.ndarray) for item in recordings)
    ):
        raise OptionError(
            "recordings are arrays: give recordings or their folders. Frames.from_arrays(images, actions) "
            "makes training data of arrays for algorithms.Training; RecordingWriter of udacity_gym.recording "
            "makes a recording"
        )
    if not isinstance(recordings, Iterable):
        raise OptionError(f"recordings={recordings!r}: expected a recording or its folder, one or several")
    opened = []
    for recording in recordings:
        if not isinstance(recording, (str, Path, Recording)):
            raise OptionError(f"recordings: {recording!r} is neither a recording nor the folder of one")
        opened.append(recording if isinstance(recording, Recording) else open_recording(recording))
    return opened


def drop_broken_images(recording: Recording, progress: bool) -> tuple[Recording, Report]:
    """Leave out rows whose images are broken or of another size; returns the rest and the report."""
    report = recording.check(progress)
    usable = recording.without(report.unusable)
    missing = len(recording) - len(usable)
    if missing:
        warnings.warn(
            f"{recording.path}: {missing} of {len(recording)} rows are left out, their images are broken "
            f"or of another size than the others; udacity-gym data check {recording.path} lists them",
            stacklevel=3,
        )
    return usable, report
