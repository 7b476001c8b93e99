"""Edits of a recording: a list that can be undone; the recording itself is not changed.

``edits.jsonl`` beside the log has one JSON object per edit, in the order they were made. Each says
which rows it leaves out and before which rows it cuts. So a recording with edits opens as fast as one
without, and later versions apply an edit in the same way.
"""

from __future__ import annotations

import itertools
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udacity_gym.errors import RecordingError
from udacity_gym.files import replacing
from udacity_gym.recording.episodes import Episode, Recording
from udacity_gym.recording.report import EDITED, Finding, row_ranges
from udacity_gym.recording.storage import LOG_LIMIT, FolderStorage, Storage
from udacity_gym.text import count

EDITS = "edits.jsonl"
"""The file with the edits, beside the log."""

EDITS_LIMIT = 1 << 27
"""Bytes."""


@dataclass(frozen=True)
class Edit:
    """One edit.

    Attributes:
        verb: kind of the edit: "trim", "split", "balance", "leave_out".
        arguments: arguments of the edit.
        leave_out: (n,) int64 lines of the log that are left out, ascending.
        cut_before: (m,) int64 lines of the log that begin an episode, ascending.
        log_bytes: size of the log when the edit was made.
        log_crc: CRC-32 of the log then, so that an edit is never applied to other rows than was meant.
    """

    verb: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    leave_out: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    cut_before: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    log_bytes: int = 0
    log_crc: int = 0

    def __str__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        effects = []
        if len(self.leave_out):
            effects.append(
                f"leaves out {count(len(self.leave_out), 'row')} ({row_ranges(self.leave_out.tolist())})"
            )
        if len(self.cut_before):
            effects.append(f"cuts before rows {row_ranges(self.cut_before.tolist())}")
        return f"{self.verb}({arguments}): {' and '.join(effects) or 'changes nothing'}"

    def to_json(self) -> str:
        """One line of the file."""
        return json.dumps(
            {
                "edit": self.verb,
                "arguments": dict(self.arguments),
                "log": [self.log_bytes, self.log_crc],
                "leave_out": _ranges(self.leave_out),
                "cut_before": self.cut_before.tolist(),
            }
        )

    @classmethod
    def from_json(cls, line: str) -> Edit:
        """Read a line of the file.

        Raises:
            ValueError: It is no edit.
        """
        entry = json.loads(line)
        try:
            log_bytes, log_crc = map(int, entry["log"])
            ranges = [(int(first), int(last)) for first, last in entry["leave_out"]]
            if any(not 1 <= first <= last <= 1 << 40 for first, last in ranges):
                raise ValueError("rows are counted from 1")
            if sum(last - first + 1 for first, last in ranges) > 1 << 24:
                raise ValueError("more rows than a log has")
            spans = [np.arange(first, last + 1, dtype=np.int64) for first, last in ranges]
            leave_out = np.concatenate(spans) if spans else np.empty(0, np.int64)
            cuts = np.array(entry["cut_before"], np.int64).reshape(-1)
            return cls(str(entry["edit"]), dict(entry["arguments"]), leave_out, cuts, log_bytes, log_crc)
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"{error!r}") from error


def read_edits(storage: Storage) -> list[Edit]:
    """The edits of a recording, in the order they were made.

    Raises:
        RecordingError: The file can't be read.
    """
    if EDITS not in storage.listing().files:
        return []
    try:
        lines = storage.read(EDITS, EDITS_LIMIT).decode().splitlines()
        return [Edit.from_json(line) for line in lines if line.strip()]
    except (ValueError, RecursionError) as error:
        if isinstance(error, RecordingError):
            raise
        raise RecordingError(
            f"{storage.path / EDITS} has a line that is no edit ({error}); correct or delete it, or open "
            "the recording with edits=False"
        ) from error


def apply_edits(recording: Recording) -> Recording:
    """Apply the edits of a recording.

    Raises:
        RecordingError: The edits can't be read, or the log was changed since they were made.
    """
    assert recording.storage is not None
    edits = read_edits(recording.storage)
    if not edits:
        return recording
    for size, crc in {(edit.log_bytes, edit.log_crc) for edit in edits}:
        if crc != log_crc(recording, size):
            raise RecordingError(
                f"{recording.log} was changed since {EDITS} was written, so that its rows are other ones: "
                f"delete {recording.path / EDITS}, or open the recording with edits=False"
            )
    leave_out = np.unique(np.concatenate([edit.leave_out for edit in edits]))
    cuts = np.concatenate([edit.cut_before for edit in edits])
    episodes: list[Episode] = []
    for episode in recording.episodes:
        starts = [0, *np.flatnonzero(np.isin(episode.row, cuts)).tolist(), len(episode)]
        pieces = [episode[a:b] for a, b in itertools.pairwise(starts)]
        episodes += [piece.select(~np.isin(piece.row, leave_out)) for piece in pieces]
    episodes = [episode for episode in episodes if len(episode)]
    if not episodes:
        raise RecordingError(
            f"{recording.path / EDITS} leaves no frame of the recording: undo an edit, or open "
            "it with edits=False"
        )
    used = np.concatenate([episode.row for episode in recording.episodes])
    rows = tuple(np.intersect1d(leave_out, used).tolist())
    verbs = ", ".join(dict.fromkeys(edit.verb for edit in edits if len(edit.leave_out)))
    return recording.with_episodes(episodes, [Finding(EDITED, rows, verbs, len(rows))] if rows else [])


def log_crc(recording: Recording, size: int) -> int:
    """CRC-32 of the first bytes of a recording's log; rows that are appended don't change it."""
    assert recording.storage is not None
    crc = 0
    with recording.storage.open(recording.log.name, LOG_LIMIT) as file:
        while size > 0 and (data := file.read(min(size, 1 << 20))):
            crc = zlib.crc32(data, crc)
            size -= len(data)
    return crc if size == 0 else -1


def write_edits(recording: Recording, edits: Sequence[Edit]) -> None:
    """Write the list of edits, atomically.

    Raises:
        RecordingError: The recording is in a zip file or of several folders, or the file can't be written.
    """
    path = edited_folder(recording) / EDITS
    with replacing(path, RecordingError) as temporary:
        if edits:
            temporary.write_text("".join(f"{edit.to_json()}\n" for edit in edits), encoding="utf-8")
        else:
            temporary.unlink()
            path.unlink(missing_ok=True)


def edited_folder(recording: Recording) -> Path:
    """The folder of a recording that can be edited.

    Raises:
        RecordingError: The recording is in a zip file, or of several folders.
    """
    if len(recording.parts) > 1:
        raise RecordingError(f"{len(recording.parts)} recordings can't be edited at once; open one of them")
    if not isinstance(recording.storage, FolderStorage):
        raise RecordingError(f"{recording.path} is in a zip file, which is never written to; unpack it")
    return recording.storage.path


def _ranges(rows: NDArray[np.int64]) -> list[list[int]]:
    """Ascending numbers as [first, last] of each run."""
    if not len(rows):
        return []
    runs = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)
    return [[int(run[0]), int(run[-1])] for run in runs]
