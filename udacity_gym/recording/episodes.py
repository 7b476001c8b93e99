"""Recordings, their episodes and frames."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from udacity_gym.checks import is_number
from udacity_gym.errors import RecordingError
from udacity_gym.progress import progress_bar
from udacity_gym.recording.header import FIELDS
from udacity_gym.recording.images import decode_image
from udacity_gym.recording.report import BROKEN_IMAGE, WRONG_SIZE, Finding, Findings, Report
from udacity_gym.recording.side_file import SIDE_FILE, SideFile
from udacity_gym.recording.storage import Storage, ZipStorage
from udacity_gym.telemetry import Image
from udacity_gym.text import count

_COLUMNS = (*FIELDS, "speed_mph", "time")


def encode_names(names: Sequence[str]) -> NDArray[np.bytes_]:
    """A column of file names in a fraction of the memory that so many strings take."""
    try:
        return np.array(names, dtype="S")
    except UnicodeEncodeError:
        return np.array([os.fsencode(name) for name in names], dtype="S")


@dataclass(frozen=True, slots=True)
class Frame:
    """One row of a recording.

    Attributes:
        steering: [-1, 1], positive turns right.
        throttle: [0, 1].
        brake: [0, 1].
        speed: m/s.
        time: s since the episode's first frame, from the time stamps in the images' names.
        row: line in the log, from 1.
    """

    steering: float
    throttle: float
    brake: float
    speed: float
    time: float
    row: int
    _episode: Episode = field(repr=False)
    _index: int = field(repr=False)

    @property
    def cameras(self) -> tuple[str, ...]:
        """Cameras with an image of this frame."""
        return self._episode.cameras

    @property
    def speed_mph(self) -> float:
        """Speed as in the log, miles per hour."""
        return float(self._episode.speed_mph[self._index])

    @property
    def extra(self) -> dict[str, Any]:
        """Entry of the frame in the side file ``frames.jsonl``; {} for recordings of other programs."""
        return self._episode.extra(self._index)

    def path(self, camera: str = "center") -> Path:
        """The file of a camera's image, see `Episode.path`."""
        return self._episode.path(camera, self._index)

    def data(self, camera: str = "center") -> bytes:
        """Read the file of a camera's image, as it is.

        Raises:
            RecordingError: There is no such camera, or the file can't be read.
        """
        return self._episode.data(camera, self._index)

    def image(self, camera: str = "center") -> Image:
        """Read the image of one camera.

        Args:
            camera: one of `cameras`.

        Returns:
            (height, width, 3) uint8 RGB, (160, 320, 3) as Udacity's simulator records it.

        Raises:
            RecordingError: There is no such camera, or the file is no whole image.
        """
        try:
            return self._episode.image(camera, self._index)
        except RecordingError as error:
            raise RecordingError(f"{self._episode.log}, row {self.row}, {camera}: {error}") from error


@dataclass(frozen=True)
class Outcomes:
    """What came of the actions of an episode: rewards, and how the episode ended.

    Attributes:
        rewards: (n,) float64, reward of each frame's action.
        terminated: (n,) bool, whether the environment ended the episode for what happened.
        truncated: (n,) bool, whether it was cut off otherwise; true for the last frame if that is not
            terminated, because nothing is recorded after it.
        end_reason: why the episode ended, such as "off_road" or "stuck"; None if that was not recorded, as
            where whoever recorded stopped.
    """

    rewards: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    end_reason: str | None


class Episode(Sequence[Frame]):
    """An unbroken episode: frames in the order of time. Slices are episodes too.

    Attributes:
        log: the file the rows come from.
        cameras: cameras with an image of every frame.
        steering: (n,) float64 [-1, 1], positive turns right.
        throttle: (n,) float64 [0, 1].
        brake: (n,) float64 [0, 1].
        speed: (n,) float64 m/s.
        speed_mph: (n,) float64 miles per hour, as the file has it.
        time: (n,) float64 s since the episode's first frame (a slice counts from its own first).
        row: (n,) int64 line in the log, from 1.
        unrecorded: names among "steering", "throttle", "brake" and "speed" of what was not recorded in every
            frame; 0 stands in its place.
    """

    def __init__(
        self,
        log: Path,
        images: Mapping[str, NDArray[np.bytes_]],
        columns: Mapping[str, NDArray[np.float64]],
        row: NDArray[np.int64],
        side_file: SideFile,
        storage: Storage,
        unrecorded: Collection[str] = (),
    ) -> None:
        self.log = log
        self._storage = storage
        self.cameras = tuple(images)
        self._images = images
        self._side_file = side_file
        self.steering = _frozen(columns["steering"])
        self.throttle = _frozen(columns["throttle"])
        self.brake = _frozen(columns["brake"])
        self.speed = _frozen(columns["speed"])
        self.speed_mph = _frozen(columns["speed_mph"])
        self.time = _frozen(columns["time"] - columns["time"][:1])
        self.row: NDArray[np.int64] = _frozen(row)
        self.unrecorded = frozenset(unrecorded)

    def __len__(self) -> int:
        return len(self.row)

    @overload
    def __getitem__(self, index: int) -> Frame: ...
    @overload
    def __getitem__(self, index: slice) -> Episode: ...
    def __getitem__(self, index: int | slice) -> Frame | Episode:
        if isinstance(index, slice):
            return Episode(
                self.log,
                {camera: names[index] for camera, names in self._images.items()},
                {name: getattr(self, name)[index] for name in _COLUMNS},
                self.row[index],
                self._side_file,
                self._storage,
                self.unrecorded,
            )
        i = range(len(self))[index]
        return Frame(
            float(self.steering[i]),
            float(self.throttle[i]),
            float(self.brake[i]),
            float(self.speed[i]),
            float(self.time[i]),
            int(self.row[i]),
            self,
            i,
        )

    def select(self, keep: NDArray[np.bool_]) -> Episode:
        """The frames at which ``keep``, (n,) bool, is true."""
        kept = np.flatnonzero(keep)
        return Episode(
            self.log,
            {camera: names[kept] for camera, names in self._images.items()},
            {name: getattr(self, name)[kept] for name in _COLUMNS},
            self.row[kept],
            self._side_file,
            self._storage,
            self.unrecorded,
        )

    def path(self, camera: str, index: int) -> Path:
        """The file of a camera's image.

        Args:
            camera: one of `cameras`.
            index: number of the frame.

        Raises:
            RecordingError: The recording has no such camera, or is in a zip file.
        """
        return self._storage.file(self.name(camera, index))

    def data(self, camera: str, index: int) -> bytes:
        """Read the file of a camera's image, as it is."""
        return self._storage.read(self.name(camera, index))

    def image(self, camera: str, index: int) -> Image:
        """Read the image of one camera, see `Frame.image`."""
        name = self.name(camera, index)
        return decode_image(self._storage.read(name), self._storage.path / name)

    def extras(self) -> list[dict[str, Any]]:
        """Entries of all frames in the side file, read at once; {} for missing ones."""
        frame_numbers = {self.name("center", i).rpartition("/")[2].encode(): i for i in range(len(self))}
        entries: list[dict[str, Any]] = [{} for _ in frame_numbers]
        for image, entry in self._side_file.entries(frame_numbers):
            entries[frame_numbers[image.encode()]] = entry
        return entries

    def outcomes(self, extras: Sequence[Mapping[str, Any]] | None = None) -> Outcomes | None:
        """Rewards and ends of the episode, from the side file.

        Args:
            extras: entries of all frames in the side file, if they were read before.

        Returns:
            None if rewards were not recorded, as by other programs.

        Raises:
            RecordingError: Some frames have a reward and others have none, or a reward is no number.
        """
        extras = self.extras() if extras is None else extras
        missing = [i for i, extra in enumerate(extras) if "reward" not in extra]
        if len(missing) == len(extras):
            return None
        if missing:
            raise RecordingError(
                f"{self.log}, row {self.row[missing[0]]}: {SIDE_FILE} has no reward for this row, and for "
                f"others of the episode it has ({len(missing)} of {len(extras)} lack it); remove these rows"
            )
        for i, extra in enumerate(extras):
            if not is_number(extra["reward"]):
                raise RecordingError(
                    f"{self.log}, row {self.row[i]}: a reward must be a finite number, {SIDE_FILE} has "
                    f"{extra['reward']!r}"
                )
        terminated = np.array([bool(extra.get("terminated")) for extra in extras])
        truncated = np.array([bool(extra.get("truncated")) for extra in extras]) & ~terminated
        truncated[-1] |= not terminated[-1]
        reason = extras[-1].get("end_reason")
        return Outcomes(
            rewards=np.array([float(extra["reward"]) for extra in extras]),
            terminated=terminated,
            truncated=truncated,
            end_reason=None if reason is None else str(reason),
        )

    def extra(self, index: int) -> dict[str, Any]:
        """Entry of a frame in the side file; {} if there is none."""
        return self._side_file.get(self.name("center", index).rpartition("/")[2])

    def names(self, camera: str) -> NDArray[np.bytes_]:
        """The files of a camera's images, relative to the log's folder, as the file system encodes them."""
        return self._images[camera]

    def places(self) -> set[Path]:
        """What changes when images are added or replaced: their folders, or the zip file."""
        if isinstance(self._storage, ZipStorage):
            return {self._storage.archive}
        firsts = {
            os.fsdecode(name).rpartition("/")[0] for names in self._images.values() for name in names[:1]
        }
        return {self._storage.path / folder for folder in firsts}

    def name(self, camera: str, index: int) -> str:
        """The file of a camera's image, relative to the log's folder."""
        try:
            return os.fsdecode(self._images[camera][index])
        except KeyError:
            raise RecordingError(
                f"{self.log} has no images of a camera {camera!r}; there are {', '.join(self.cameras)}"
            ) from None

    def __repr__(self) -> str:
        return f"<Episode: {len(self)} frames, {self.time[-1] if len(self) else 0:.1f} s>"


class Recording:
    """Result of `open_recording`: the episodes of one or several drives.

    ``len(recording)`` is the number of usable frames, over all episodes.

    Attributes:
        path: the recording's folder; of several, the folder that has them all.
        log: the file its rows come from; of several, `path`.
        episodes: in the order of time; of several recordings, one recording after the other.
        cameras: cameras with an image of every frame.
        report: findings; prints as a table.
        parts: the recordings that this one was joined from, itself if it is one.
        storage: storage of the files; None for several recordings.
    """

    def __init__(
        self,
        log: Path,
        episodes: Sequence[Episode],
        cameras: tuple[str, ...],
        report: Report,
        storage: Storage | None,
        parts: Sequence[Recording] = (),
    ) -> None:
        self.path = log if storage is None else storage.path
        self.log = log
        self.episodes = tuple(episodes)
        self.cameras = cameras
        self.report = report
        self.storage = storage
        self.parts: tuple[Recording, ...] = tuple(parts) or (self,)

    @classmethod
    def joined(cls, recordings: Sequence[Recording]) -> Recording:
        """Join several recordings.

        Raises:
            RecordingError: None is given.
        """
        parts = [part for recording in recordings for part in recording.parts]
        if not parts:
            raise RecordingError("no recordings to join")
        folder = Path(os.path.commonpath([part.path.absolute() for part in parts]))
        cameras = tuple(c for c in parts[0].cameras if all(c in part.cameras for part in parts))
        episodes = [episode for part in parts for episode in part.episodes]
        return cls(folder, episodes, cameras, Report.joined(folder, [p.report for p in parts]), None, parts)

    def __len__(self) -> int:
        return sum(map(len, self.episodes))

    def frames(self) -> Iterator[Frame]:
        """All frames of all episodes, in their order."""
        for episode in self.episodes:
            yield from episode

    def check(self, progress: bool = True) -> Report:
        """Decode all images and report those that are broken or of an unusual size.

        Args:
            progress: show a progress bar if it takes longer than a second.

        Returns:
            The recording's report with the findings added; `without` leaves their rows out.
        """
        with progress_bar(
            progress, desc="checking", total=len(self), unit=" frames", delay=1.0, leave=False
        ) as bar:
            reports = [part._check(bar) for part in self.parts]
        return reports[0] if len(reports) == 1 else Report.joined(self.log, reports)

    def _check(self, bar: tqdm[Any]) -> Report:
        findings = Findings()
        rows_of: dict[tuple[int, ...], list[int]] = {}
        for frame in self.frames():
            for camera in self.cameras:
                try:
                    rows_of.setdefault(frame.image(camera).shape, []).append(frame.row)
                except RecordingError as error:  # noqa: PERF203 - one broken image must not hide the next
                    findings.add(BROKEN_IMAGE, frame.row, str(error.__cause__).replace(f"{self.path}/", ""))
            bar.update()
        usual = max(rows_of, key=lambda size: len(rows_of[size]), default=())
        for size in set(rows_of) - {usual}:
            for row in rows_of[size]:
                findings.add(WRONG_SIZE, row, f"{size[1]}x{size[0]} where most have {usual[1]}x{usual[0]}")
        return self.report.extended(findings.collect(), len(self), len(self.episodes))

    def without(self, rows: Report | Iterable[int], *kinds: str) -> Recording:
        """Copy without some rows; the files are not changed.

        Args:
            rows: lines of the log; or a report, which means the rows that it says can't be used.
            kinds: of a report, the rows with these findings instead, such as "standing still".

        Returns:
            A recording whose episodes lack these rows; episodes that lose all of theirs are gone.

        Raises:
            RecordingError: Line numbers were given for several recordings at once.
        """
        if len(self.parts) > 1:
            if not isinstance(rows, Report):
                raise RecordingError(
                    f"{len(self.parts)} recordings have lines of the same numbers: give a report, or take "
                    "the rows out of the recordings in .parts and join these with Recording.joined"
                )
            pairs = zip(self.parts, rows.parts, strict=True)
            return Recording.joined([part.without(report, *kinds) for part, report in pairs])
        if isinstance(rows, Report):
            rows = {row for kind in kinds for row in rows.rows_of(kind)} if kinds else rows.unusable
        leave = np.fromiter(rows, np.int64)
        episodes = [episode.select(~np.isin(episode.row, leave)) for episode in self.episodes]
        return self.with_episodes([episode for episode in episodes if len(episode)])

    def with_episodes(self, episodes: Sequence[Episode], findings: Sequence[Finding] = ()) -> Recording:
        """The same recording with other episodes of it.

        Args:
            episodes: slices and selections of its episodes.
            findings: what to add to its report.
        """
        report = self.report.extended(findings, sum(map(len, episodes)), len(episodes))
        return Recording(self.log, episodes, self.cameras, report, self.storage)

    def __str__(self) -> str:
        frames, episodes = count(len(self), "frame"), count(len(self.episodes), "episode")
        return f"{self.path}: {frames} in {episodes}"

    def __repr__(self) -> str:
        several = f" ({len(self.parts)} recordings)" if len(self.parts) > 1 else ""
        return f"<Recording {self.path}{several}: {len(self)} frames in {len(self.episodes)} episodes>"


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Read-only view, so that recordings are not changed by accident."""
    view: NDArray[Any] = array.view()
    view.flags.writeable = False
    return view
