"""``udacity-gym demo``: the whole workflow, from demonstrations to a policy that drives."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np

from udacity_gym.cli.options import VIDEO_FORMAT, About
from udacity_gym.cli.outputs import new_folder
from udacity_gym.cli.shared import check_seed, drive_and_report, make_env, make_expert, positive
from udacity_gym.installation import require
from udacity_gym.text import count

if TYPE_CHECKING:
    from udacity_gym.recording import Recording
    from udacity_gym.telemetry import Image


@dataclass(frozen=True)
class Options:
    """Record an expert, train a policy on the recording, and evaluate it, in five minutes.

    Records laps of an expert on the lake track in Udacity's format, trains a PilotNet on them, evaluates
    it, and writes a summary, a video and a report. --recording uses a recording of your own instead.
    """

    recording: Annotated[Path | None, About("train on this recording instead of an expert's laps")] = None
    output: Annotated[Path, About("folder for all results; if it exists, name-2")] = Path("demo-output")
    record_laps: Annotated[int, About("laps of the expert to record")] = 2
    expert: Annotated[str, About("expert that is recorded: pure_pursuit, racing, pid")] = "pure_pursuit"
    record_speed: Annotated[float, About("maximum speed of the expert, in m/s")] = 12.0
    record_seconds: Annotated[float | None, About("stop recording after this many seconds")] = None
    epochs: Annotated[int, About("passes over the recorded rows")] = 12
    laps: Annotated[int, About("laps that the policy drives")] = 3
    max_seconds: Annotated[float | None, About("stop the policy's drive after this many seconds")] = None
    track: Annotated[str, About("name of a track, or a track file")] = "lake"
    video: Annotated[bool, About("make a video")] = True
    video_format: Annotated[Literal["webm", "mp4"], About(VIDEO_FORMAT)] = "webm"
    seed: Annotated[int, About("seed of everything random")] = 0


def run(options: Options) -> int:
    """Record, train and evaluate."""
    positive(
        record_laps=options.record_laps,
        record_speed=options.record_speed,
        record_seconds=options.record_seconds,
        epochs=options.epochs,
        laps=options.laps,
        max_seconds=options.max_seconds,
    )
    check_seed(options.seed)
    require("torch", "the demo, which trains a network,")
    from udacity_gym.recording import open_recording
    from udacity_gym.world.track.track import Track

    Track.load(options.track)
    start_time = time.monotonic()
    recording = None
    if options.recording is not None:
        recording = open_recording(options.recording)
        print(recording.report, end="\n\n")
    with new_folder(options.output) as folder:
        _record_train_evaluate(options, recording, folder)
    print(f"\nDone in {time.monotonic() - start_time:.0f} s. The results are in {folder}:")
    contents = {
        "report.html": "results with map, plots and video; open it in a browser",
        f"drive.{options.video_format}": "the video",
        "evaluation.json": "the results as JSON",
        "policy": f"the policy: udacity-gym evaluate {folder}",
        "recording": "the demonstrations, in Udacity's format",
        "training": f"the training log: tensorboard --logdir {folder / 'training'}",
    }
    for name, description in contents.items():
        if (folder / name).exists():
            print(f"  {name:<16} {description}")
    return 0


def _record_train_evaluate(options: Options, recording: Recording | None, folder: Path) -> None:
    """Record an expert if no recording is given, train, and evaluate."""
    if recording is None:
        print(f"[1/3] Recording {count(options.record_laps, 'lap')} of an expert with three cameras.")
        recording = _record(options, folder / "recording")
    else:
        print(f"[1/3] The demonstrations are {recording.path}.")
    print(f"\n[2/3] Training a PilotNet on {count(len(recording), 'row')}.")

    from algorithms import BehavioralCloning
    from algorithms.policies.device import find_device, quickest_precision
    from udacity_gym.cli.train import computation, outcome

    learner = BehavioralCloning(
        recording,
        folder=folder / "training",
        epochs=options.epochs,
        precision=quickest_precision(find_device()),
        seed=options.seed,
    )
    print("\n".join(computation(learner)))
    policy = learner.learn().to("cpu")  # one image at a time needs no GPU
    policy.save(folder / "policy")
    print("\n".join(outcome(learner, policy)))
    print(f"\n[3/3] The policy drives {count(options.laps, 'lap')} with the images of the centre camera.")
    evaluation = drive_and_report(
        policy,
        folder,
        track=options.track,
        laps=options.laps,
        seed=options.seed,
        max_seconds=options.max_seconds,
        video=options.video,
        video_format=options.video_format,
        speed_up=8.0,
        title=f"A PilotNet drives the {options.track} track",
        facts={
            "Demonstrations": _demonstrations(options, recording),
            "Machine": f"Python {platform.python_version()}, {platform.machine()}",
        },
        demonstrations=np.concatenate([episode.steering for episode in recording.episodes]),
        images=_images(recording),
    )
    print(f"\n{evaluation}")


def _record(options: Options, folder: Path) -> Recording:
    from udacity_gym.recording import record
    from udacity_gym.telemetry import CAMERAS

    env = make_env(options.track, cameras=CAMERAS, mode="training")
    try:
        return record(
            env,
            make_expert(options.expert, options.track, options.record_speed),
            folder,
            laps=options.record_laps,
            seconds=options.record_seconds,
            seed=options.seed,
            progress=True,
        )
    finally:
        env.close()


def _demonstrations(options: Options, recording: Recording) -> str:
    if options.recording is not None:
        return f"{count(len(recording), 'row')} of {options.recording}"
    return f"{count(len(recording), 'row')} of the expert {options.expert} at {options.record_speed:g} m/s"


def _images(recording: Recording) -> list[tuple[str, Image]]:
    """Images of all cameras from the middle of the longest episode, with captions."""
    episode = max(recording.episodes, key=len)
    frame = episode[len(episode) // 2]
    order = [camera for camera in ("left", "center", "right") if camera in frame.cameras]
    return [
        (f"demonstration, {camera} camera, steering {frame.steering:+.2f}", frame.image(camera))
        for camera in order
    ]
