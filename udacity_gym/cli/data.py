"""``udacity-gym data``: look at recordings, mend them, and convert them; a verb per job."""

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
    """Look at recordings, mend them, and convert them to other formats.

    Edits (trim, split, balance, and check --leave-out) are a list on top of a recording, which undo
    takes back; the recording stays as it is until fix carries them out.
    """


@dataclass(frozen=True)
class InfoOptions:
    """Tell what recordings have: frames, time, way, steering, laps, and what is wrong with them."""

    paths: Annotated[tuple[Path, ...], About(_RECORDINGS, positional=True)]


def info(options: InfoOptions) -> int:
    """Tell what recordings have."""
    from udacity_gym.recording import open_recording, summarize

    recording = open_recording(options.paths)
    for part in recording.parts:
        print(summarize(part), end="\n\n")
    print(recording.report)
    return 0


@dataclass(frozen=True)
class PlotOptions:
    """Draw a page of a recording: histogram of steering, speed, the way, and what was seen."""

    path: Annotated[Path, About("recording: folder, log, zip file or pattern", positional=True)]
    output: Annotated[Path, About("the image: png, svg, pdf or jpg")] = Path("recording.png")
    bins: Annotated[int, About("bins of the histogram")] = 25
    images: Annotated[int, About("columns of the contact sheet")] = 6


def plot(options: PlotOptions) -> int:
    """Draw a page of a recording."""
    from udacity_gym.recording import open_recording
    from udacity_gym.recording.plot import plot

    recording = open_recording(options.path)
    before = open_recording(options.path, edits=False)
    print(plot(recording, options.output, before, options.bins, options.images))
    return 0


@dataclass(frozen=True)
class CheckOptions:
    """Decode every image and report what is wrong; exit code 1 if rows can't be used."""

    paths: Annotated[tuple[Path, ...], About(_RECORDINGS, positional=True)]
    leave_out: Annotated[bool, About("add an edit that leaves out what can't be used")] = False


def check(options: CheckOptions) -> int:
    """Decode every image."""
    from udacity_gym.recording import tools
    from udacity_gym.recording.report import EDITED

    paths = options.paths[0] if len(options.paths) == 1 else options.paths
    report = tools.check(paths, options.leave_out)
    print(report)
    bad = any(finding.kind.left_out and finding.kind is not EDITED for finding in report)
    return int(bad and not options.leave_out)


@dataclass(frozen=True)
class FixOptions:
    """Write a recording clean: usable rows only, edits carried out, relative paths."""

    path: Annotated[Path, About("recording", positional=True)]
    output: Annotated[
        Path | None, About("new folder for a clean copy; else the log is rewritten and a .bak kept")
    ] = None


def fix(options: FixOptions) -> int:
    """Write a recording clean."""
    from udacity_gym.recording import tools

    print(tools.fix(options.path, options.output).report)
    return 0


@dataclass(frozen=True)
class SplitOptions:
    """Cut episodes into several, by an edit."""

    path: Annotated[Path, About(_FOLDER, positional=True)]
    seconds: Annotated[float | None, About("s of a piece at most")] = None
    rows: Annotated[tuple[int, ...], About("lines of the log to cut before")] = ()


def split(options: SplitOptions) -> int:
    """Cut episodes into several."""
    from udacity_gym.recording import tools

    return _edited(options.path, tools.split(options.path, options.seconds, options.rows))


@dataclass(frozen=True)
class TrimOptions:
    """Leave out the beginning and the end of episodes, by an edit."""

    path: Annotated[Path, About(_FOLDER, positional=True)]
    start: Annotated[float, About("s to leave out at the beginning of an episode")] = 0.0
    end: Annotated[float, About("s to leave out at its end")] = 0.0
    episodes: Annotated[tuple[int, ...], About("which episodes, from 0; all if not given")] = ()


def trim(options: TrimOptions) -> int:
    """Leave out the beginning and the end of episodes."""
    from udacity_gym.recording import tools

    if not (options.start or options.end):
        raise OptionError("say what to leave out: --start 2 --end 1")
    return _edited(
        options.path, tools.trim(options.path, options.start, options.end, options.episodes or None)
    )


@dataclass(frozen=True)
class MergeOptions:
    """Copy the episodes of recordings into one new folder."""

    paths: Annotated[tuple[Path, ...], About(_RECORDINGS, positional=True)]
    output: Annotated[Path, About("the new folder")]


def merge(options: MergeOptions) -> int:
    """Copy the episodes of recordings into one new folder."""
    from udacity_gym.recording import tools

    print(tools.merge(options.paths, options.output).report)
    return 0


@dataclass(frozen=True)
class BalanceOptions:
    """Leave out frames of the commonest steering at random, by an edit."""

    path: Annotated[Path, About(_FOLDER, positional=True)]
    bins: Annotated[int, About("bins of the histogram")] = 25
    keep: Annotated[int | None, About("most frames of a bin; the mean of the bins if not given")] = None
    seed: Annotated[int, About("seed of the choice")] = 0


def balance(options: BalanceOptions) -> int:
    """Leave out frames of the commonest steering."""
    from udacity_gym.recording import tools

    return _edited(options.path, tools.balance(options.path, options.bins, options.keep, options.seed))


@dataclass(frozen=True)
class UndoOptions:
    """Take the last edit back."""

    path: Annotated[Path, About(_FOLDER, positional=True)]
    everything: Annotated[bool, About("take all edits back")] = False


def undo(options: UndoOptions) -> int:
    """Take the last edit back."""
    from udacity_gym.recording import open_recording, tools

    edits = tools.undo(options.path, options.everything)
    for edit in edits:
        print(f"taken back: {edit}")
    if not edits:
        print(f"{options.path} has no edits")
    print(repr(open_recording(options.path)))
    return 0


@dataclass(frozen=True)
class ConvertOptions:
    """Convert a recording to another format, or from it.

    Formats: lerobot (LeRobotDataset v3.0), minari, huggingface (Parquet for the datasets package),
    imitation (its trajectories), donkeycar (tub v2).
    """

    source: Annotated[Path, About("what to convert", positional=True)]
    target: Annotated[Path, About("the new folder", positional=True)]
    to: Annotated[
        Literal["lerobot", "minari", "huggingface", "imitation", "donkeycar"] | None,
        About("format to convert a recording to"),
    ] = None
    origin: Annotated[
        Literal["lerobot", "minari", "huggingface", "imitation", "donkeycar"] | None,
        About("format to convert to a recording"),
    ] = None


def convert(options: ConvertOptions) -> int:
    """Convert a recording."""
    from udacity_gym.recording import convert, open_recording

    if (options.to is None) == (options.origin is None):
        raise OptionError("say which way: --to lerobot, or --origin lerobot")
    if options.to is not None:
        print(convert.save(open_recording(options.source), options.target, options.to))
    else:
        assert options.origin is not None
        print(convert.load(options.source, options.target, options.origin).report)
    return 0


def _edited(path: Path, edit: object) -> int:
    from udacity_gym.recording import open_recording

    print(edit)
    print(repr(open_recording(path)))
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
