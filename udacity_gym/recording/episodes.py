"""Recordings, their episodes (takes) and frames."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from udacity_gym.errors import RecordingError
from udacity_gym.recording.dialect import FIELDS
from udacity_gym.recording.images import read_image
from udacity_gym.recording.report import BROKEN_IMAGE, WRONG_SIZE, Findings, Report
from udacity_gym.telemetry import Image

SIDE_FILE = "frames.jsonl"
"""What Udacity's format has no column for: one JSON object per frame, beside the log."""

_COLUMNS = (*FIELDS, "time")


class SideFile:
    """Reads ``frames.jsonl``: the picture's name to what else is known of the frame.

    Nothing is read before the first question; lines that were cut off are passed over.

    Args:
        path: the file, None where there is none.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lines: dict[str, bytes] | None = None

    def get(self, image: str) -> dict[str, Any]:
        """What is known of the frame whose centre picture has this file name; {} if nothing."""
        if self._lines is None:
            self._lines = self._load()
        line = self._lines.get(image)
        if line is None:
            return {}
        extra: dict[str, Any] = json.loads(line)
        del extra["image"]
        return extra

    def _load(self) -> dict[str, bytes]:
        lines: dict[str, bytes] = {}
        if self._path is not None:
            try:
                data = self._path.read_bytes()
            except OSError as error:
                raise RecordingError(f"{self._path} can't be read: {error.strerror or error}") from error
            for line in data.split(b"\n"):
                try:
                    entry = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                if isinstance(entry, dict) and isinstance(entry.get("image"), str):
                    lines[entry["image"]] = line
        return lines


@dataclass(frozen=True, slots=True)
class Frame:
    """One row of a recording.

    Attributes:
        steering: [-1, 1], positive turns right.
        throttle: [0, 1].
        brake: [0, 1].
        speed: m/s.
        time: s since the episode's first frame, from the time stamps in the pictures' names.
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
        """Cameras with a picture of this frame."""
        return self._episode.cameras

    @property
    def extra(self) -> dict[str, Any]:
        """What the side file ``frames.jsonl`` knows of this frame; {} for a recording made elsewhere."""
        return self._episode.extra(self._index)

    def path(self, camera: str = "center") -> Path:
        """The file of a camera's picture."""
        return self._episode.path(camera, self._index)

    def image(self, camera: str = "center") -> Image:
        """Read the picture of one camera.

        Args:
            camera: one of `cameras`.

        Returns:
            (height, width, 3) uint8 RGB, (160, 320, 3) as Udacity's simulator records it.

        Raises:
            RecordingError: There is no such camera, or the file is no whole picture.
        """
        path = self.path(camera)
        try:
            return read_image(path)
        except RecordingError as error:
            raise RecordingError(f"{self._episode.log}, row {self.row}, {camera}: {error}") from error


class Episode(Sequence[Frame]):
    """An unbroken take: frames in the order of time. Slices are episodes too.

    Attributes:
        log: the file the rows come from.
        cameras: cameras with a picture of every frame.
        steering: (n,) float64 [-1, 1], positive turns right.
        throttle: (n,) float64 [0, 1].
        brake: (n,) float64 [0, 1].
        speed: (n,) float64 m/s.
        time: (n,) float64 s since the episode's first frame (a slice counts from its own first).
        row: (n,) int64 line in the log, from 1.
    """

    def __init__(
        self,
        log: Path,
        images: Mapping[str, Sequence[str]],
        columns: Mapping[str, NDArray[np.float64]],
        row: NDArray[np.int64],
        side_file: SideFile,
    ) -> None:
        self.log = log
        self.cameras = tuple(images)
        self._images = images
        self._side_file = side_file
        self.steering = _frozen(columns["steering"])
        self.throttle = _frozen(columns["throttle"])
        self.brake = _frozen(columns["brake"])
        self.speed = _frozen(columns["speed"])
        self.time = _frozen(columns["time"] - columns["time"][:1])
        self.row: NDArray[np.int64] = _frozen(row)

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
            {camera: [names[i] for i in kept.tolist()] for camera, names in self._images.items()},
            {name: getattr(self, name)[kept] for name in _COLUMNS},
            self.row[kept],
            self._side_file,
        )

    def path(self, camera: str, index: int) -> Path:
        """The file of a camera's picture.

        Args:
            camera: one of `cameras`.
            index: number of the frame.

        Raises:
            RecordingError: The recording has no such camera.
        """
        return self.log.parent / self._name(camera, index)

    def extra(self, index: int) -> dict[str, Any]:
        """What the side file knows of a frame; {} if nothing."""
        return self._side_file.get(self._name("center", index).rpartition("/")[2])

    def _name(self, camera: str, index: int) -> str:
        try:
            return self._images[camera][index]
        except KeyError:
            raise RecordingError(
                f"{self.log} has no pictures of a camera {camera!r}; there are {', '.join(self.cameras)}"
            ) from None

    def __repr__(self) -> str:
        return f"<Episode: {len(self)} frames, {self.time[-1] if len(self) else 0:.1f} s>"


class Recording:
    """A folder with ``driving_log.csv`` and pictures, see `open_recording`.

    ``len(recording)`` is the number of usable frames, over all episodes.

    Attributes:
        path: the recording's folder.
        log: the file its rows come from.
        episodes: takes in the order of time.
        cameras: cameras with a picture of every frame.
        report: what was noticed; prints as a table.
    """

    def __init__(
        self, log: Path, episodes: Sequence[Episode], cameras: tuple[str, ...], report: Report
    ) -> None:
        self.path = log.parent
        self.log = log
        self.episodes = tuple(episodes)
        self.cameras = cameras
        self.report = report

    def __len__(self) -> int:
        return sum(map(len, self.episodes))

    def frames(self) -> Iterator[Frame]:
        """All frames of all episodes, in the order of time."""
        for episode in self.episodes:
            yield from episode

    def check(self, progress: bool = True) -> Report:
        """Decode every picture and report those that are broken or of another size than most.

        Args:
            progress: show a progress bar if it takes longer than a second.

        Returns:
            The recording's report with the findings added; `without` leaves their rows out.
        """
        findings = Findings()
        rows_of: dict[tuple[int, ...], list[int]] = {}
        frames = tqdm(self.frames(), "checking", len(self), unit=" frames", delay=1.0, disable=not progress)
        for frame, camera in ((frame, camera) for frame in frames for camera in self.cameras):
            try:
                rows_of.setdefault(frame.image(camera).shape, []).append(frame.row)
            except RecordingError as error:  # noqa: PERF203 - one broken picture must not hide the next
                path = frame.path(camera)
                findings.add(BROKEN_IMAGE, frame.row, str(error.__cause__).replace(str(path), path.name))
        usual = max(rows_of, key=lambda size: len(rows_of[size]), default=())
        for size in set(rows_of) - {usual}:
            for row in rows_of[size]:
                findings.add(WRONG_SIZE, row, f"{size[1]}x{size[0]} where most have {usual[1]}x{usual[0]}")
        return Report(
            self.log, self.report.rows, len(self), len(self.episodes), [*self.report, *findings.collect()]
        )

    def without(self, rows: Iterable[int]) -> Recording:
        """The same recording without some rows; the files stay as they are.

        Args:
            rows: lines of the log, such as ``report.rows_of("standing still")``.

        Returns:
            A recording whose episodes lack these rows; episodes that lose all of theirs are gone.
        """
        leave = np.fromiter(rows, np.int64)
        episodes = [episode.select(~np.isin(episode.row, leave)) for episode in self.episodes]
        episodes = [episode for episode in episodes if len(episode)]
        used = sum(map(len, episodes))
        report = Report(self.log, self.report.rows, used, len(episodes), list(self.report))
        return Recording(self.log, episodes, self.cameras, report)

    def __repr__(self) -> str:
        return f"<Recording {self.path}: {len(self)} frames in {len(self.episodes)} episodes>"


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    """A view that can't be written to, so that nobody changes a recording by accident."""
    view: NDArray[Any] = array.view()
    view.flags.writeable = False
    return view
