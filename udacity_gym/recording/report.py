"""Report on the problems of a recording; prints as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from udacity_gym.errors import RecordingError
from udacity_gym.text import count, table


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of finding.

    Attributes:
        name: name in the table.
        left_out: whether rows of this kind are left out; they stay in the file.
        advice: how to solve the problem.
    """

    name: str
    left_out: bool
    advice: str


UNREADABLE_ROW = Kind("unreadable row", True, "correct or delete the line; nothing of it could be used")
NOT_A_NUMBER = Kind("not a number", True, "correct the field in the file")
OUT_OF_RANGE = Kind("out of range", True, "correct the field in the file; steering is in [-1, 1]")
AMBIGUOUS = Kind("ambiguous numbers", True, "write decimal points instead of commas in these lines")
MISSING_IMAGE = Kind("missing image", True, "copy the images into IMG/ beside the log")
OUTSIDE_IMAGE = Kind("link out of the folder", True, "copy the linked images into the recording's folder")
DUPLICATE = Kind("duplicate", True, "nothing; the first of the rows is used")
START_POSE = Kind("start pose", True, "nothing; the simulator gave the episode's last row its first image")
EDITED = Kind("left out by an edit", True, "nothing; undo reverts the last edit")
BROKEN_IMAGE = Kind("broken image", True, "copy the image again, or leave the row out")
WRONG_SIZE = Kind("image of another size", True, "resize the images, or leave the rows out")
SIDE_IMAGE = Kind(
    "side image as center", True, "nothing; joined with the row of the center image of that moment"
)
SIDE_ONLY = Kind(
    "side image without center", True, "use the original log; here the steering is a corrected one"
)
OVERLAP = Kind("drives at the same time", False, "nothing; they are separate episodes")
NOT_RECORDED = Kind("not recorded", False, "nothing; 0 was assumed, which is no value to train on")
COLUMN_ORDER = Kind(
    "columns in another order", False, "nothing if this is right; otherwise name the columns in a header"
)
UNKNOWN_HEADER = Kind(
    "unknown header", False, "nothing if the columns are in Udacity's order; otherwise use Udacity's names"
)
DEGREES = Kind("steering in degrees", False, "nothing if this is right; 25 degrees are full lock")
ZERO_BYTES = Kind("zero bytes", False, "nothing; what was there is lost, as when the power fails")
SKIPPED_RECORD = Kind("skipped record", True, "correct it in the data set and convert it again")
OUT_OF_ORDER = Kind("time runs backwards", False, "nothing; rows were sorted by time")
NO_TIME = Kind("no time stamp", False, "nothing; 1/15 s after the row before was assumed")
STANDING = Kind("standing still", False, "leave them out of training if the car should not learn to stand")
EXTRA_COLUMNS = Kind("columns after the speed", False, "nothing; they were ignored")
REPEATED_HEADER = Kind("header inside the log", False, "nothing; the line was skipped")
CAMERA_DROPPED = Kind("camera without images", False, "copy its images into IMG/ to use this camera")
UNLISTED_IMAGE = Kind("image without a row", False, "nothing; no row means no steering to learn from")
ENCODING = Kind("unusual encoding", False, "save the log as UTF-8")


@dataclass(frozen=True, slots=True)
class Finding:
    """All findings of one kind.

    Attributes:
        kind: kind of the finding.
        rows: lines of the log, counted from 1, in ascending order; empty if it is not about rows.
        detail: description of the first case, which names the field.
        count: number of cases; the number of rows unless it is not about rows.
    """

    kind: Kind
    rows: tuple[int, ...]
    detail: str
    count: int


class Report(Sequence[Finding]):
    """Findings about a recording; ``print(report)`` shows them as a table.

    A sequence of `Finding`, those that leave out rows first. A report on several recordings counts
    the findings of all of them; the `parts` list the rows of each recording.

    Attributes:
        path: path of the log.
        rows: number of rows of the log (lines that are neither empty nor a header).
        used: number of rows that are used as frames.
        episodes: number of episodes.
        parts: reports on the single recordings; itself if it is one.
    """

    def __init__(
        self,
        path: Path,
        rows: int,
        used: int,
        episodes: int,
        findings: Sequence[Finding],
        parts: Sequence[Report] = (),
    ) -> None:
        self.path = path
        self.rows = rows
        self.used = used
        self.episodes = episodes
        self._findings = sorted(findings, key=lambda finding: not finding.kind.left_out)
        self.parts: tuple[Report, ...] = tuple(parts) or (self,)

    @classmethod
    def joined(cls, path: Path, reports: Sequence[Report]) -> Report:
        """Combine the reports on several recordings."""
        merged: dict[Kind, Finding] = {}
        for report in reports:
            for finding in report:
                before = merged.get(finding.kind)
                detail = before.detail if before else f"{report.path}: {finding.detail}"
                count = finding.count + (before.count if before else 0)
                merged[finding.kind] = Finding(finding.kind, (), detail, count)
        rows, used, episodes = (
            sum(getattr(r, name) for r in reports) for name in ("rows", "used", "episodes")
        )
        return cls(path, rows, used, episodes, list(merged.values()), reports)

    def extended(self, findings: Sequence[Finding], used: int, episodes: int) -> Report:
        """This report with further findings, of so many rows and episodes that are used."""
        merged = {finding.kind: finding for finding in self}
        for finding in findings:
            before = merged.get(finding.kind)
            if before is not None:
                rows = tuple(sorted({*before.rows, *finding.rows}))
                detail = before.detail
                finding = Finding(finding.kind, rows, detail, len(rows))
            merged[finding.kind] = finding
        return Report(self.path, self.rows, used, episodes, list(merged.values()))

    def __len__(self) -> int:
        return len(self._findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._findings)

    @overload
    def __getitem__(self, index: int) -> Finding: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Finding]: ...
    def __getitem__(self, index: int | slice) -> Finding | Sequence[Finding]:
        return self._findings[index]

    @property
    def left_out(self) -> int:
        """Rows that are in the log but were not used."""
        return self.rows - self.used

    def rows_of(self, kind: str) -> tuple[int, ...]:
        """Lines of the log with a finding of this kind, by the name the table gives it.

        Args:
            kind: such as "missing image" or "standing still".

        Returns:
            Line numbers counted from 1, empty if nothing of the kind was found.

        Raises:
            RecordingError: This is a report on several recordings; ask its `parts`.
        """
        self._check_single()
        return next((finding.rows for finding in self if finding.kind.name == kind), ())

    @property
    def unusable(self) -> tuple[int, ...]:
        """Lines of the log, counted from 1, with a finding because of which they should not be used.

        Raises:
            RecordingError: This is a report on several recordings; ask its `parts`.
        """
        self._check_single()
        return tuple(sorted({row for finding in self if finding.kind.left_out for row in finding.rows}))

    def _check_single(self) -> None:
        if len(self.parts) > 1:
            raise RecordingError(
                f"a report on {len(self.parts)} recordings has several lines of each number; "
                "ask the reports in .parts for their rows"
            )

    def count(self, kind: str) -> int:
        """How often this kind was found, by the name the table gives it."""
        return next((finding.count for finding in self if finding.kind.name == kind), 0)

    def __str__(self) -> str:
        if len(self.parts) > 1:
            total = f"{len(self.parts)} recordings: {self.used} of {count(self.rows, 'row')} used, "
            total += count(self.episodes, "episode")
            return "\n\n".join([*map(str, self.parts), total])
        title = (
            f"{self.path}: {self.used} of {count(self.rows, 'row')} used, {count(self.episodes, 'episode')}"
        )
        if not self._findings:
            return f"{title}; nothing to report"
        header = ("finding", "count", "usable", "rows", "first", "what to do")
        return f"{title}\n{table([header, *(_cells(finding) for finding in self)], header=True)}"

    def __repr__(self) -> str:
        return f"<Report: {self.used} of {self.rows} rows used, {len(self)} kinds of findings>"


def _cells(finding: Finding) -> tuple[str, str, str, str, str, str]:
    usable = "no" if finding.kind.left_out else "yes" if finding.rows else ""
    return (
        finding.kind.name,
        str(finding.count),
        usable,
        row_ranges(finding.rows),
        finding.detail,
        finding.kind.advice,
    )


def row_ranges(rows: Sequence[int], most: int = 3) -> str:
    """Write ascending row numbers as ranges, such as ``1-12, 40, ...``."""
    ranges: list[list[int]] = []
    for row in rows:
        if ranges and row == ranges[-1][1] + 1:
            ranges[-1][1] = row
        elif len(ranges) == most:
            return ", ".join([*map(_range, ranges), "..."])
        else:
            ranges.append([row, row])
    return ", ".join(map(_range, ranges))


def _range(ends: Sequence[int]) -> str:
    return str(ends[0]) if ends[0] == ends[1] else f"{ends[0]}-{ends[1]}"


class Findings:
    """Collects findings while a recording is read."""

    def __init__(self) -> None:
        self._rows: dict[Kind, list[int]] = {}
        self._detail: dict[Kind, tuple[int, str]] = {}
        self._count: dict[Kind, int] = {}

    def add(self, kind: Kind, row: int, detail: str = "") -> None:
        """Note that ``row`` has a finding; the detail of the earliest row is kept."""
        self._rows.setdefault(kind, []).append(row)
        self._keep(kind, row, detail)

    def add_count(self, kind: Kind, count: int, detail: str = "") -> None:
        """Note ``count`` cases that belong to no row."""
        self._count[kind] = self._count.get(kind, 0) + count
        self._keep(kind, 0, detail)

    def extend(self, other: Findings) -> None:
        """Take over everything that ``other`` has noticed."""
        for kind, (row, detail) in other._detail.items():
            self._rows.setdefault(kind, []).extend(other._rows.get(kind, ()))
            self._count[kind] = self._count.get(kind, 0) + other._count.get(kind, 0)
            self._keep(kind, row, detail)

    def _keep(self, kind: Kind, row: int, detail: str) -> None:
        if kind not in self._detail or row < self._detail[kind][0]:
            self._detail[kind] = (row, detail)

    def first_left_out(self) -> tuple[Kind, int, str] | None:
        """The earliest row that can't be used: its kind, line and detail."""
        earliest = [
            (*self._detail[kind], kind) for kind, rows in self._rows.items() if kind.left_out and rows
        ]
        if not earliest:
            return None
        row, detail, kind = min(earliest, key=lambda entry: entry[0])
        return kind, row, detail

    def collect(self) -> list[Finding]:
        """All findings in the order in which their kinds first came up."""
        return [
            Finding(
                kind,
                rows := tuple(sorted(set(self._rows.get(kind, ())))),
                self._detail[kind][1],
                len(rows) + self._count.get(kind, 0),
            )
            for kind in self._detail
        ]
