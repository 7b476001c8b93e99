"""``udacity-gym data``: inspect, edit, repair and convert recordings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from udacity_gym.cli.options import About
from udacity_gym.errors import OptionError

_RECORDINGS = "recordings: folders, logs, zip files or patterns"
_FOLDER = "folder of a recording"


@dataclass(frozen=True)
class Options:
    """Inspect, edit, repair and convert recordings.

    The edits trim, split, balance and check --leave-out are kept in a list. They do not change the files of
    the recording. undo removes the last edit; fix applies all edits.
    """


@dataclass(frozen=True)
class InfoOptions:
    """Summarize recordings: frames, duration, distance, steering, laps, and problems."""

    paths: Annotated[tuple[Path, ...], About(_RECORDINGS, positional=True)]


def info(options: InfoOptions) -> int:
    """Summarize recordings."""
    from udacity_gym.recording import open_recording, summarize

    recording = open_recording(options.paths)
    for single_recording in recording.parts:
        print(summarize(single_recording), end="\n\n")
    print(recording.report)
    return 0


@dataclass(frozen=True)
class PlotOptions:
    """Plot a recording: histogram of steering, speed, path of the car, and images."""

    path: Annotated[Path, About("recording: folder, log, zip file or pattern", positional=True)]
    output: Annotated[Path, About("image file: png, svg, pdf or jpg")] = Path("recording.png")
    bins: Annotated[int, About("bins of the histogram")] = 25
    images: Annotated[int, About("columns of the contact sheet")] = 6


def plot(options: PlotOptions) -> int:
    """Plot a recording."""
    from udacity_gym.recording import open_recording
    from udacity_gym.recording.plot import plot

    recording = open_recording(options.path)
    unedited = open_recording(options.path, edits=False)
    print(plot(recording, options.output, unedited, options.bins, options.images))
    return 0


@dataclass(frozen=True)
class CheckOptions:
    """Decode all images and report problems. Exit status 1 if rows can't be used."""

    paths: Annotated[tuple[Path, ...], About(_RECORDINGS, positional=True)]
    leave_out: Annotated[bool, About("add an edit that removes the rows that can't be used")] = False


def check(options: CheckOptions) -> int:
    """Decode all images and report problems."""
    from udacity_gym.recording import tools
    from udacity_gym.recording.report import EDITED

    paths = options.paths[0] if len(options.paths) == 1 else options.paths
    report = tools.check(paths, options.leave_out)
    print(report)
    has_unusable_rows = any(finding.kind.left_out and finding.kind is not EDITED for finding in report)
    return int(has_unusable_rows and not options.leave_out)


@dataclass(frozen=True)
class FixOptions:
    """Apply edits, remove unusable rows, and write relative paths."""

    path: Annotated[Path, About("recording", positional=True)]
    output: Annotated[
        Path | None, About("new folder for a clean copy; default: rewrite the log, keep a .bak file")
    ] = None


def fix(options: FixOptions) -> int:
    """Write a clean recording."""
    from udacity_gym.recording import tools

    print(tools.fix(options.path, options.output).report)
    return 0


@dataclass(frozen=True)
class SplitOptions:
    """Split episodes. This is an edit and can be undone."""

    path: Annotated[Path, About(_FOLDER, positional=True)]
    seconds: Annotated[float | None, About("maximum duration of a piece, in seconds")] = None
    rows: Annotated[tuple[int, ...], About("lines of the log before which to split")] = ()


def split(options: SplitOptions) -> int:
    """Split episodes."""
    from udacity_gym.recording import tools

    return _print_edit(options.path, tools.split(options.path, options.seconds, options.rows))


@dataclass(frozen=True)
class TrimOptions:
    """Remove the beginning and the end of episodes. This is an edit and can be undone."""

    path: Annotated[Path, About(_FOLDER, positional=True)]
    start: Annotated[float, About("seconds to remove at the beginning of each episode")] = 0.0
    end: Annotated[float, About("seconds to remove at the end of each episode")] = 0.0
    episodes: Annotated[tuple[int, ...], About("indices of the episodes, from 0; default: all")] = ()


def trim(options: TrimOptions) -> int:
    """Remove the beginning and the end of episodes."""
    from udacity_gym.recording import tools

    if not (options.start or options.end):
        raise OptionError("choose how many seconds to remove, for example --start 2 --end 1")
    return _print_edit(
        options.path, tools.trim(options.path, options.start, options.end, options.episodes or None)
    )


@dataclass(frozen=True)
class MergeOptions:
    """Copy the episodes of recordings into one new folder."""

    paths: Annotated[tuple[Path, ...], About(_RECORDINGS, positional=True)]
    output: Annotated[Path, About("new folder")]


def merge(options: MergeOptions) -> int:
    """Copy the episodes of recordings into one new folder."""
    from udacity_gym.recording import tools

    print(tools.merge(options.paths, options.output).report)
    return 0


@dataclass(frozen=True)
class BalanceOptions:
    """Remove frames with the most common steering angles at random. This is an edit and can be undone."""

    path: Annotated[Path, About(_FOLDER, positional=True)]
    bins: Annotated[int, About("bins of the histogram")] = 25
    keep: Annotated[int | None, About("maximum number of frames per bin; default: the mean of the bins")] = (
        None
    )
    seed: Annotated[int, About("seed of the random choice")] = 0


def balance(options: BalanceOptions) -> int:
    """Remove frames with the most common steering angles."""
    from udacity_gym.recording import tools

    return _print_edit(options.path, tools.balance(options.path, options.bins, options.keep, options.seed))


@dataclass(frozen=True)
class UndoOptions:
    """Undo the last edit."""

    path: Annotated[Path, About(_FOLDER, positional=True)]
    everything: Annotated[bool, About("undo all edits")] = False


def undo(options: UndoOptions) -> int:
    """Undo the last edit."""
    from udacity_gym.recording import open_recording, tools

    edits = tools.undo(options.path, options.everything)
    for edit in edits:
        print(f"undone: {edit}")
    if not edits:
        print(f"{options.path} has no edits")
    print(open_recording(options.path))
    return 0


@dataclass(frozen=True)
class ConvertOptions:
    """Convert a recording to or from another format.

    Formats: lerobot (LeRobotDataset v3.0), minari, huggingface (Parquet for the datasets package),
    imitation (trajectories), donkeycar (tub v2).
    """

    source: Annotated[Path, About("recording or data set to convert", positional=True)]
    target: Annotated[Path, About("new folder", positional=True)]
    to: Annotated[
        Literal["lerobot", "minari", "huggingface", "imitation", "donkeycar"] | None,
        About("format of the target"),
    ] = None
    origin: Annotated[
        Literal["lerobot", "minari", "huggingface", "imitation", "donkeycar"] | None,
        About("format of the source"),
    ] = None


def convert(options: ConvertOptions) -> int:
    """Convert a recording."""
    from udacity_gym.recording import convert, open_recording

    if (options.to is None) == (options.origin is None):
        raise OptionError("choose a direction: --to lerobot or --origin lerobot")
    if options.to is not None:
        print(convert.save(open_recording(options.source), options.target, options.to))
    else:
        assert options.origin is not None
        print(convert.load(options.source, options.target, options.origin).report)
    return 0


def _print_edit(path: Path, edit: object) -> int:
    from udacity_gym.recording import open_recording

    print(edit)
    print(open_recording(path))
    return 0


VERBS: dict[str, tuple[type[Any], Callable[[Any], int]]] = {
    "info": (InfoOptions, info),
    "plot": (PlotOptions, plot),
    "check": (CheckOptions, check),
    "fix": (FixOptions, fix),
    "split": (SplitOptions, split),
    "trim": (TrimOptions, trim),
    "merge": (MergeOptions, merge),
    "balance": (BalanceOptions, balance),
    "undo": (UndoOptions, undo),
    "convert": (ConvertOptions, convert),
}
