"""``udacity-gym evaluate``: a policy is judged by driving."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from udacity_gym.cli.options import About
from udacity_gym.cli.outputs import new_folder
from udacity_gym.cli.shared import check_seed, judge, load_driver, positive


@dataclass(frozen=True)
class Options:
    """Judge a policy by driving: summary, JSON, video and report.

    Autonomy is that of Bojarski et al. 2016, section 7: one minus 6 s for each intervention, over the
    time driven.
    """

    policy: Annotated[
        str, About("folder of a policy or its training, ONNX or Keras file, or an expert", positional=True)
    ]
    output: Annotated[Path, About("folder for the results; if it exists, name-2")] = Path("evaluation")
    laps: Annotated[int, About("laps to drive")] = 3
    track: Annotated[str, About("name of a track, or a track file")] = "lake"
    conditions: Annotated[str, About("weather and light: rain, dusk, ... or clear as Udacity's")] = "clear"
    intervene: Annotated[
        Literal["edge", "reference"],
        About("put the car back with a wheel over the edge line, or 1 m off the reference line"),
    ] = "edge"
    max_seconds: Annotated[float | None, About("s after which to stop; enough for 3 m/s if not given")] = None
    video: Annotated[bool, About("make a video")] = True
    speed_up: Annotated[float, About("how much faster than the drive the video runs")] = 4.0
    seed: Annotated[int, About("seed of the environment")] = 0


def run(options: Options) -> int:
    """Evaluate."""
    positive(laps=options.laps, max_seconds=options.max_seconds, speed_up=options.speed_up)
    check_seed(options.seed)
    from udacity_gym.conditions import Conditions
    from udacity_gym.world.track import Track

    Track.load(options.track)
    Conditions.named(options.conditions)
    driver = load_driver(options.policy, options.track)
    with new_folder(options.output) as folder:
        evaluation = judge(
            driver,
            folder,
            track=options.track,
            conditions=options.conditions,
            laps=options.laps,
            seed=options.seed,
            intervene=options.intervene,
            max_seconds=options.max_seconds,
            video=options.video,
            speed_up=options.speed_up,
            facts={"Checkpoint": options.policy},
        )
    print(evaluation)
    print(f"\nThe report is {folder / 'report.html'}")
    return 0
