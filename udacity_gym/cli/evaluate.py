"""``udacity-gym evaluate``: policies are judged by driving, one by itself or several by a suite."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from udacity_gym.cli.options import About
from udacity_gym.cli.outputs import check_writable, new_folder
from udacity_gym.cli.shared import check_seed, judge, load_driver, positive
from udacity_gym.errors import OptionError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Options:
    """Judge a policy by driving: summary, JSON, video and report. With --suite, several, side by side.

    Autonomy is that of Bojarski et al. 2016, section 7: one minus 6 s for each intervention, over the
    time driven. A suite is drives from many starts, on several tracks or in several conditions;
    figures have 95 % intervals, and what was interrupted goes on in the same --output.
    """

    policies: Annotated[
        tuple[str, ...],
        About("folders of policies or their trainings, ONNX or Keras files, or experts", positional=True),
    ]
    output: Annotated[Path, About("folder for the results; if it exists, name-2")] = Path("evaluation")
    suite: Annotated[str | None, About("drives to judge by, such as lake-v1; a wrong name tells all")] = None
    processes: Annotated[int, About("drives of a suite at the same time")] = 1
    human: Annotated[Path | None, About("recording to compare the steering of a suite's drives with")] = None
    incident_videos: Annotated[bool, About("videos of what went wrong in a suite's drives")] = False
    laps: Annotated[int, About("laps to drive")] = 3
    track: Annotated[str, About("name of a track, or a track file")] = "lake"
    direction: Annotated[
        Literal["forward", "reverse"] | None, About("which way around, if not the track's own")
    ] = None
    conditions: Annotated[str, About("weather and light: rain, dusk, ... or clear as Udacity's")] = "clear"
    intervene: Annotated[
        Literal["edge", "reference", "road"],
        About(
            "put the car back with a wheel over the edge line, 1 m off the reference line, or off the road"
        ),
    ] = "edge"
    max_seconds: Annotated[float | None, About("s after which to stop; enough for 3 m/s if not given")] = None
    video: Annotated[bool, About("make a video")] = True
    speed_up: Annotated[float, About("how much faster than the drive the video runs")] = 4.0
    seed: Annotated[int, About("seed of the environment")] = 0


ONE_DRIVE = (
    "laps", "track", "direction", "conditions", "intervene", "max_seconds", "video", "speed_up", "seed",
)  # fmt: skip
"""Options that a suite answers by itself."""
SUITE_OPTIONS = ("processes", "human", "incident_videos")
"""Options that only a suite has."""


def run(options: Options) -> int:
    """Evaluate."""
    positive(laps=options.laps, max_seconds=options.max_seconds, speed_up=options.speed_up)
    positive(processes=options.processes)
    check_seed(options.seed)
    if options.suite is not None:
        _refuse(options, ONE_DRIVE, f"{options.suite} says that by itself")
        return _compare(options, options.suite)
    _refuse(options, SUITE_OPTIONS, "is for suites: --suite lake-v1")
    if len(options.policies) > 1:
        raise OptionError("several policies are compared by a suite: --suite lake-v1")
    return _judge(options, options.policies[0])


def _refuse(options: Options, names: tuple[str, ...], why: str) -> None:
    """Refuse options that would have no effect."""
    defaults = {field.name: field.default for field in fields(options)}
    for name in names:
        if getattr(options, name) != defaults[name]:
            raise OptionError(f"--{name.replace('_', '-')}: {why}")


def _judge(options: Options, policy: str) -> int:
    """One policy, one drive."""
    from udacity_gym.conditions import Conditions
    from udacity_gym.world.track.track import Track

    Conditions.named(options.conditions)
    driver = load_driver(policy, Track.load(options.track).facing(options.direction))
    with new_folder(options.output) as folder:
        evaluation = judge(
            driver,
            folder,
            track=options.track,
            direction=options.direction,
            conditions=options.conditions,
            laps=options.laps,
            seed=options.seed,
            intervene=options.intervene,
            max_seconds=options.max_seconds,
            video=options.video,
            speed_up=options.speed_up,
            facts={"Checkpoint": policy},
        )
    print(evaluation)
    print(f"\nThe report is {folder / 'report.html'}")
    return 0


def _compare(options: Options, name: str) -> int:
    """Policies by a suite."""
    from udacity_gym.evaluation import SUITES, ForEachTrack, compare, run_suite, write_comparison
    from udacity_gym.files import digest_of, find_policy, write_whole

    suite = SUITES.find(name)
    suite.check()
    human = None if options.human is None else _steering(options.human)
    names = _names(options.policies)
    for policy in options.policies:
        load_driver(policy, suite.scenarios[0].track)  # fails before the first drive, not after an hour
    check_writable(options.output, "--output")
    results = [
        run_suite(
            ForEachTrack(partial(load_driver, policy), called),
            suite,
            folder=options.output / re.sub(r"[^\w.-]+", "-", called),
            processes=options.processes,
            identity=digest_of(find_policy(Path(policy))),  # an expert by name has no files
            videos=options.incident_videos,
            progress=True,
        )
        for policy, called in zip(options.policies, names, strict=True)
    ]
    comparison = compare(results, human)
    write_whole(options.output / "comparison.json", json.dumps(comparison.summary(), indent=1) + "\n")
    report = write_comparison(options.output / "report.html", comparison)
    print(comparison)
    print(f"\nThe report is {report}")
    return 0


def _names(policies: tuple[str, ...]) -> list[str]:
    """What to call them: the last part of each path, or all of it where that is not enough."""
    short = [Path(policy).name or policy for policy in policies]
    names = [p if short.count(s) > 1 else s for p, s in zip(policies, short, strict=True)]
    if len(set(names)) < len(names):
        raise OptionError(f"each policy once, got {', '.join(policies)}")
    return names


def _steering(recording: Path) -> NDArray[np.float32]:
    """Steering of all of a recording's rows."""
    import numpy as np

    from udacity_gym.recording import open_recording

    return np.concatenate([episode.steering for episode in open_recording(recording).episodes])
