"""``udacity-gym record``: an expert drives and is recorded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from udacity_gym.cli.options import About
from udacity_gym.cli.outputs import check_writable, no_empty_folders
from udacity_gym.cli.shared import check_seed, make_env, make_expert, positive
from udacity_gym.errors import RecordingError


@dataclass(frozen=True)
class Options:
    """Record an expert's laps in Udacity's format, with three cameras."""

    folder: Annotated[Path, About("where the recording goes", positional=True)] = Path("recording")
    laps: Annotated[int, About("laps to drive")] = 2
    seconds: Annotated[float | None, About("s after which to stop, if that comes first")] = None
    speed: Annotated[float, About("m/s where the bends allow it")] = 12.0
    track: Annotated[str, About("name of a track, or a track file")] = "lake"
    seed: Annotated[int, About("seed of the environment")] = 0
    append: Annotated[bool, About("add a take to the recording that is in the folder")] = False


def run(options: Options) -> int:
    """Record."""
    positive(laps=options.laps, seconds=options.seconds, speed=options.speed)
    check_seed(options.seed)
    log = options.folder / "driving_log.csv"
    if log.exists() and not options.append:
        raise RecordingError(
            f"{options.folder} holds a recording already; choose another folder, or add a take with --append"
        )
    from udacity_gym.recording import open_recording, record
    from udacity_gym.telemetry import CAMERAS

    expert = make_expert(options.track, options.speed)
    check_writable(options.folder, "folder")
    env = make_env(options.track, cameras=CAMERAS, mode="training")
    try:
        with no_empty_folders(options.folder):
            recording = record(
                env,
                expert,
                options.folder,
                laps=options.laps,
                seconds=options.seconds,
                seed=options.seed,
                progress=True,
                append=options.append,
            )
    except KeyboardInterrupt:
        if not log.exists():
            raise
        raise KeyboardInterrupt(
            f"the recording in {options.folder} has the {len(open_recording(options.folder))} frames until "
            f"then. Add a take with\n  udacity-gym record {options.folder} --append\n"
            "or start anew in another folder"
        ) from None
    finally:
        env.close()
    print(recording.report)
    print(f"\nRecorded {len(recording)} frames in {options.folder}. Learn from them:")
    print(f"  udacity-gym train {options.folder}")
    return 0
