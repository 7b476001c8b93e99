"""``udacity-gym evaluate``: evaluate a policy by driving, or compare several on a suite."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from udacity_gym.cli.options import (
    ADDRESS,
    DEVICE,
    EXECUTOR,
    EXECUTOR_OPTION,
    PRECISION,
    VIDEO_FORMAT,
    WORKERS,
    About,
)
from udacity_gym.cli.outputs import check_writable, new_folder
from udacity_gym.cli.shared import check_seed, drive_and_report, executor_of, load_driver, positive
from udacity_gym.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from udacity_gym.evaluation import Comparison
    from udacity_gym.executors import SharedFiles
    from udacity_gym.world.track.track import Track


@dataclass(frozen=True)
class Options:
    """Evaluate a policy by driving: summary, JSON, video and report. With --suite, compare several.

    Autonomy is that of Bojarski et al. 2016, section 7: one minus 6 s for each intervention, over the
    time driven. A suite has drives from many start positions, on several tracks or in several conditions.
    Its results have 95 % confidence intervals. To resume an interrupted suite, use the same --output.
    """

    policies: Annotated[
        tuple[str, ...],
        About("folders of policies or trainings, ONNX or Keras files, or names of experts", positional=True),
    ]
    output: Annotated[Path, About("folder for the results; if it exists, name-2")] = Path("evaluation")
    suite: Annotated[
        str | None, About("suite of drives, such as lake-v1; an unknown name lists all suites")
    ] = None
    cars: Annotated[int, About("number of cars that each worker drives at once, with one batch")] = 1
    workers: WORKERS = None
    executor: EXECUTOR = None
    address: ADDRESS = None
    executor_option: EXECUTOR_OPTION = ()
    human: Annotated[Path | None, About("recording of a human, to compare the steering of a suite with")] = (
        None
    )
    against: Annotated[
        Path | None, About("comparison.json of an earlier run of the same suite, to compare with")
    ] = None
    fail_on_regression: Annotated[
        bool, About("exit status 1 if an outcome is worse than in --against, beyond its 95 %% interval")
    ] = False
    incident_videos: Annotated[bool, About("make videos of the incidents in a suite")] = False
    laps: Annotated[int, About("laps to drive")] = 3
    track: Annotated[str, About("name of a track, or a track file")] = "lake"
    direction: Annotated[
        Literal["forward", "reverse"] | None, About("driving direction, if not the track's own")
    ] = None
    conditions: Annotated[str, About("weather and light, such as rain or dusk; clear is Udacity's")] = "clear"
    intervene: Annotated[
        Literal["edge", "reference", "road"],
        About("put the car back for a wheel over the edge line, 1 m off the reference line, or off the road"),
    ] = "edge"
    max_seconds: Annotated[float | None, About("stop after this many seconds; default: enough for 3 m/s")] = (
        None
    )
    video: Annotated[bool, About("make a video")] = True
    video_format: Annotated[Literal["webm", "mp4"], About(VIDEO_FORMAT)] = "webm"
    speed_up: Annotated[float, About("playback speed of the video, relative to the drive")] = 4.0
    device: DEVICE = None
    precision: PRECISION = None
    seed: Annotated[int, About("seed of the environment")] = 0


ONE_DRIVE = (
    "laps", "track", "direction", "conditions", "intervene", "max_seconds", "video", "speed_up", "seed",
)  # fmt: skip
"""Options that a suite defines itself."""
SUITE_OPTIONS = (
    "cars", "workers", "executor", "address", "executor_option", "human", "against", "fail_on_regression",
    "incident_videos",
)  # fmt: skip
"""Options that need a suite."""


def run(options: Options) -> int:
    """Evaluate."""
    positive(cars=options.cars, laps=options.laps, max_seconds=options.max_seconds, speed_up=options.speed_up)
    check_seed(options.seed)
    if options.suite is not None:
        _refuse(options, ONE_DRIVE, f"not allowed with --suite, {options.suite} defines it")
        return _compare(options, options.suite)
    _refuse(options, SUITE_OPTIONS, "requires a suite, for example --suite lake-v1")
    if len(options.policies) > 1:
        raise OptionError("to compare several policies, choose a suite, for example --suite lake-v1")
    return _evaluate(options, options.policies[0])


def _refuse(options: Options, names: tuple[str, ...], reason: str) -> None:
    """Refuse options that would have no effect."""
    defaults = {field.name: field.default for field in fields(options)}
    for name in names:
        if getattr(options, name) != defaults[name]:
            raise OptionError(f"--{name.replace('_', '-')}: {reason}")


def _evaluate(options: Options, policy: str) -> int:
    """Evaluate one policy in one drive."""
    from udacity_gym.conditions import Conditions
    from udacity_gym.world.track.track import Track

    Conditions.named(options.conditions)
    track = Track.load(options.track).facing(options.direction)
    driver = load_driver(policy, track, device=options.device, precision=options.precision)
    with new_folder(options.output) as folder:
        evaluation = drive_and_report(
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
            video_format=options.video_format,
            speed_up=options.speed_up,
            facts={"Checkpoint": policy},
        )
    print(evaluation)
    print(f"\nThe report is {folder / 'report.html'}")
    return 0


def _compare(options: Options, suite_name: str) -> int:
    """Compare policies on a suite."""
    from udacity_gym.driving.loading import policy_path
    from udacity_gym.evaluation import SUITES, ForEachTrack, compare, run_suite, write_comparison
    from udacity_gym.evaluation.identity import in_precision
    from udacity_gym.evaluation.suite_result import EPISODES
    from udacity_gym.executors import open_executor
    from udacity_gym.files import digest_of, find_policy, write_whole

    executor = executor_of(options)
    if options.fail_on_regression and options.against is None:
        raise OptionError("--fail-on-regression: requires --against comparison.json")
    if options.against is not None and not options.against.is_file():
        raise OptionError(f"--against: there is no file {options.against}")
    suite = SUITES.find(suite_name)
    suite.check()
    human = None if options.human is None else _steering(options.human)
    names = _names(options.policies)
    load = partial(load_driver, device=options.device, precision=options.precision)
    for policy in options.policies:
        load(policy, suite.scenarios[0].track)  # fails before the first drive, not after an hour
    check_writable(options.output, "--output")
    paths = [find_policy(policy_path(policy)).resolve() for policy in options.policies]
    try:
        with open_executor(executor) as opened:
            results = [
                run_suite(
                    ForEachTrack(_maker_of(policy, path, load), name),
                    suite,
                    folder=options.output / re.sub(r"[^\w.-]+", "-", name),
                    executor=opened,
                    cars=options.cars,
                    identity=in_precision(digest_of(path), options.precision),  # an expert has no files
                    videos=options.incident_videos,
                    video_format=options.video_format,
                    progress=True,
                )
                for policy, path, name in zip(options.policies, paths, names, strict=True)
            ]
    except KeyboardInterrupt:
        if not any(options.output.rglob(EPISODES)):
            raise
        raise KeyboardInterrupt(
            f"the drives so far are in {options.output}, and the same command goes on after them"
        ) from None
    comparison = compare(results, human)
    write_whole(options.output / "comparison.json", json.dumps(comparison.summary(), indent=1) + "\n")
    report = write_comparison(options.output / "report.html", comparison)
    print(comparison)
    print(f"\nThe report is {report}")
    return _judge_changes(options, comparison)


def _judge_changes(options: Options, comparison: Comparison) -> int:
    """Compare with an earlier comparison. Returns 1 for a regression, if that is to fail."""
    from udacity_gym.evaluation import changes_since, changes_table

    if options.against is None:
        return 0
    changes = changes_since(options.against, comparison)
    print(f"\nCompared with {options.against}:\n{changes_table(changes)}")
    worse = [f"{change.measure.title} of {change.policy}" for change in changes if change.verdict == "worse"]
    if worse:
        print(f"\nWorse than before: {'; '.join(worse)}.")
    return int(bool(worse) and options.fail_on_regression)


def _maker_of(policy: str, path: Path, load: Callable[..., Any]) -> Callable[[Track], Any]:
    """What makes the driver for a track, also on machines without the files of the policy.

    Args:
        policy: as the user has named it.
        path: its files, found once, as a policy of the Hub may change; an expert has none.
        load: `load_driver` with the device.
    """
    from udacity_gym.executors import SharedFiles

    return partial(_load_files, load, SharedFiles(path)) if path.exists() else partial(load, policy)


def _load_files(load: Callable[..., Any], files: SharedFiles, track: Track) -> Any:
    with files.open() as path:
        return load(str(path), track)


def _names(policies: tuple[str, ...]) -> list[str]:
    """Names of policies: the last component of each path, or the whole path if names are equal."""
    short = [Path(policy).name or policy for policy in policies]
    names = [p if short.count(s) > 1 else s for p, s in zip(policies, short, strict=True)]
    if len(set(names)) < len(names):
        raise OptionError(f"each policy must be given once, got {', '.join(policies)}")
    return names


def _steering(recording: Path) -> NDArray[np.float32]:
    """Steering of all rows of a recording."""
    import numpy as np

    from udacity_gym.recording import open_recording

    return np.concatenate([episode.steering for episode in open_recording(recording).episodes])
