"""``udacity-gym record``: record an expert or a human."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from udacity_gym.checks import check_number
from udacity_gym.cli.options import DEVICE, PRECISION, About
from udacity_gym.cli.outputs import check_writable, no_empty_folders
from udacity_gym.cli.people import Devices, people, record_people
from udacity_gym.cli.shared import check_seed, make_env, make_expert, positive
from udacity_gym.errors import RecordingError
from udacity_gym.text import count

if TYPE_CHECKING:
    import gymnasium

    from udacity_gym.recording import Recording


@dataclass(frozen=True)
class Options:
    """Record an expert's laps, or your own, in Udacity's format, with three cameras.

    With --human, you drive in a window. Recording begins when you first use the controls.
    """

    folder: Annotated[Path, About("folder of the recording", positional=True)] = Path("recording")
    laps: Annotated[int, About("laps to drive")] = 2
    seconds: Annotated[float | None, About("stop after this many seconds, if the laps take longer")] = None
    expert: Annotated[str, About("expert that drives: pure_pursuit, racing, pid, or a policy")] = (
        "pure_pursuit"
    )
    speed: Annotated[float | None, About("maximum speed, in m/s; default: the expert's own")] = None
    noise: Annotated[
        float, About("standard deviation of noise on the steering, [0, 1]; labels stay clean")
    ] = 0.0
    human: Annotated[Devices | None, About("drive yourself in a window, with these devices")] = None
    track: Annotated[str, About("name of a track, or a track file")] = "lake"
    direction: Annotated[
        Literal["forward", "reverse"] | None, About("driving direction, if not the track's own")
    ] = None
    conditions: Annotated[str, About("weather and light, such as rain or dusk; clear is Udacity's")] = "clear"
    device: DEVICE = None
    precision: PRECISION = None
    seed: Annotated[int, About("seed of the environment")] = 0
    append: Annotated[bool, About("append an episode to the recording in the folder")] = False


def run(options: Options) -> int:
    """Record."""
    positive(laps=options.laps, seconds=options.seconds, speed=options.speed)
    check_seed(options.seed)
    log = options.folder / "driving_log.csv"
    if log.exists() and not options.append:
        raise RecordingError(
            f"{options.folder} already has a recording; choose another folder, or append an episode "
            "with --append"
        )
    from udacity_gym.driving.policy_inputs import image_size_for
    from udacity_gym.recording import open_recording, record
    from udacity_gym.world.track.track import Track

    check_number("--noise", options.noise, 0.0, 1.0)
    if options.human is not None:
        return _run_human(options)
    track = Track.load(options.track).facing(options.direction)
    expert = make_expert(
        options.expert,
        track,
        options.speed,
        options.noise,
        device=options.device,
        precision=options.precision,
    )
    check_writable(options.folder, "folder")
    env = _make_env(options, image_size=image_size_for(expert))
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
        frames = count(len(open_recording(options.folder)), "frame")
        raise KeyboardInterrupt(
            f"the recording in {options.folder} has the {frames} so far. Append an episode with\n"
            f"  udacity-gym record {options.folder} --append\n"
            "or record into another folder"
        ) from None
    finally:
        env.close()
    _print_outcome(recording, options.folder)
    return 0


def _make_env(options: Options, **settings: Any) -> gymnasium.Env[Any, Any]:
    """Make the environment for recordings."""
    from udacity_gym.telemetry import CAMERAS

    return make_env(
        options.track,
        direction=options.direction,
        cameras=CAMERAS,
        mode="training",
        conditions=options.conditions,
        **settings,
    )


def _run_human(options: Options) -> int:
    from udacity_gym.recording import open_recording

    human = people(options.human or "any")
    check_writable(options.folder, "folder")
    env = _make_env(options, render_mode="human")
    with closing(env), no_empty_folders(options.folder):
        record_people(
            human,
            env,
            options.folder,
            laps=options.laps,
            seconds=options.seconds,
            seed=options.seed,
            append=options.append,
        )
    if not (options.folder / "driving_log.csv").exists():
        print("Nothing was recorded, because the controls were never touched.")
        return 1
    _print_outcome(open_recording(options.folder), options.folder)
    return 0


def _print_outcome(recording: Recording, folder: Path) -> None:
    print(recording.report)
    print(f"\nRecorded {count(len(recording), 'frame')} in {folder}. Train a policy on them:")
    print(f"  udacity-gym train {folder}")
