"""``udacity-gym drive``: make a video of a policy that drives."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from udacity_gym.cli.options import DEVICE, PRECISION, About
from udacity_gym.cli.outputs import check_writable, new_video
from udacity_gym.cli.people import Devices, drive_with_people, people
from udacity_gym.cli.shared import check_seed, load_driver, make_env, make_expert, positive
from udacity_gym.errors import OptionError

if TYPE_CHECKING:
    import gymnasium


@dataclass(frozen=True)
class Options:
    """Make a video of a policy that drives.

    With --human, it drives in a window instead, and you can take over.
    """

    policy: Annotated[
        str,
        About(
            "folder of a policy or its training, ONNX or Keras file, pretrained:lake, or an expert",
            positional=True,
        ),
    ]
    output: Annotated[Path, About("video, .webm or .mp4; if it exists, name-2.webm")] = Path("drive.webm")
    laps: Annotated[int, About("laps to drive")] = 1
    track: Annotated[str, About("name of a track, or a track file")] = "lake"
    direction: Annotated[
        Literal["forward", "reverse"] | None, About("driving direction, if not the track's own")
    ] = None
    conditions: Annotated[str, About("weather and light, such as rain or dusk; clear is Udacity's")] = "clear"
    view: Annotated[Literal["chase", "cockpit"], About("camera of the video")] = "chase"
    width: Annotated[int, About("width of the video, pixels")] = 640
    height: Annotated[int, About("height of the video, pixels")] = 360
    speed_up: Annotated[float, About("playback speed of the video, relative to the drive")] = 4.0
    max_seconds: Annotated[float | None, About("stop after this many seconds; default: enough for 3 m/s")] = (
        None
    )
    human: Annotated[Devices | None, About("devices to take over with, in a window; makes no video")] = None
    record: Annotated[
        Path | None, About("with --human: folder of a recording, which also says who drove each frame")
    ] = None
    device: DEVICE = None
    precision: PRECISION = None
    seed: Annotated[int, About("seed of the environment")] = 0


def run(options: Options) -> int:
    """Drive."""
    positive(laps=options.laps, max_seconds=options.max_seconds, speed_up=options.speed_up)
    check_seed(options.seed)
    if options.human is not None:
        return _run_human(options)
    if options.record is not None:
        raise OptionError(
            "--record requires --human; to record a policy, use udacity-gym record --expert POLICY"
        )
    from udacity_gym.evaluation import DriveVideo, evaluate
    from udacity_gym.world.track.track import Track

    track = Track.load(options.track).facing(options.direction)
    driver = load_driver(options.policy, track, device=options.device, precision=options.precision)
    env = _make_env(options, driver)
    with ExitStack() as stack:
        stack.callback(env.close)
        path = stack.enter_context(new_video(options.output))
        video = stack.enter_context(
            DriveVideo(
                path,
                width=options.width,
                height=options.height,
                speed_up=options.speed_up,
                view=options.view,
            )
        )
        evaluation = evaluate(
            driver,
            env,
            options.laps,
            seed=options.seed,
            max_seconds=options.max_seconds,
            on_step=video,
            progress=True,
        )
    print(evaluation)
    print(f"\nThe video is {path}; any browser plays it.")
    return 0


def _make_env(options: Options, driver: object, **settings: Any) -> gymnasium.Env[Any, Any]:
    """Make the environment with the image size that the driver needs."""
    from udacity_gym.driving.policy_inputs import cameras_for, image_size_for

    return make_env(
        options.track,
        direction=options.direction,
        conditions=options.conditions,
        image_size=image_size_for(driver),
        cameras=cameras_for(driver),
        **settings,
    )


def _run_human(options: Options) -> int:
    from udacity_gym.world.track.track import Track

    human = people(options.human or "any")
    if options.record is not None:
        check_writable(options.record, "record")
    track = Track.load(options.track).facing(options.direction)
    driver = make_expert(options.policy, track, device=options.device, precision=options.precision)
    env = _make_env(options, driver, render_mode="human", render_view=options.view)
    with closing(env):
        outcome = drive_with_people(
            driver,
            human,
            env,
            laps=options.laps,
            seconds=options.max_seconds,
            seed=options.seed,
            folder=options.record,
        )
    print(outcome)
    return 0
