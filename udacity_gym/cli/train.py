"""``udacity-gym train``: behavioural cloning of recordings."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from udacity_gym.cli.options import About
from udacity_gym.cli.shared import one_thread
from udacity_gym.errors import OptionError

if TYPE_CHECKING:
    from algorithms import BehavioralCloning

MANY_STRAIGHT = 0.4
"""Share of rows with a steering of exactly 0 from which on they look like those of a keyboard."""


@dataclass(frozen=True)
class Options:
    """Train a policy on recordings, by behavioural cloning.

    The output folder gets "policy" (the best checkpoint so far), "state" (to go on from after an
    interruption: the same command again) and "tensorboard" (the log).
    """

    recordings: Annotated[tuple[Path, ...], About("folders with a driving_log.csv", positional=True)]
    output: Annotated[Path, About("folder of the training")] = Path("training")
    epochs: Annotated[int, About("passes over the rows")] = 12
    batch_size: Annotated[int, About("pictures per step of the optimizer")] = 64
    learning_rate: Annotated[float, About("greatest learning rate of Adam")] = 1e-3
    loss: Annotated[Literal["mse", "huber"], About("what is minimised")] = "huber"
    throttle: Annotated[
        Literal["learned", "speed_control"],
        About("who works the throttle: the policy, or a controller that keeps a speed"),
    ] = "learned"
    target_speed: Annotated[
        float | None, About("m/s for the controller; the recordings' median if not given")
    ] = None
    side_cameras: Annotated[float, About("share of training pictures from the side cameras")] = 0.5
    balance: Annotated[float, About("how far the peak of straight driving is flattened, 0 to 1")] = 0.5
    smoothing: Annotated[float, About("s over which recorded steering is averaged; for keyboards")] = 0.0
    validation: Annotated[float, About("share of the rows, the last in time, that are not trained on")] = 0.2
    patience: Annotated[int | None, About("stop after so many epochs without getting better")] = None
    threads: Annotated[int | None, About("CPU threads; the learner's choice if not given")] = None
    seed: Annotated[int, About("seed of everything random")] = 0


def run(options: Options) -> int:
    """Train."""
    from udacity_gym.recording import open_recording

    recordings = []
    for path in options.recordings:
        recording = open_recording(path)
        print(recording.report, end="\n\n")
        recordings.append(recording)
    settings = {
        name: value
        for name, value in asdict(options).items()
        if name not in ("recordings", "output") and value is not None
    }
    if options.output.is_file():
        raise OptionError(f"--output must be a folder, {options.output} is a file")

    from algorithms import BehavioralCloning

    learner = BehavioralCloning(recordings, folder=options.output, **settings)
    policy = learner.learn()
    policy.save(options.output / "policy")
    with one_thread():
        print("\n".join(outcome(learner, policy)))
    print(f"\nThe policy is in {options.output / 'policy'}. Let it drive:")
    print(f"  udacity-gym evaluate {options.output}")
    return 0


def outcome(learner: BehavioralCloning, policy: Any) -> list[str]:
    """What the training came to, against what needs no learning at all, as lines of text.

    Args:
        learner: the learner after training.
        policy: what it has learnt.

    Returns:
        A table of steering on the rows that were set aside: mean absolute error in shares of full
        lock, and correlation with the driver's steering.
    """
    frames = learner.validation_frames
    if not len(frames):
        return [f"{len(learner.history)} epochs; no rows were set aside to validate on"]
    truth = np.asarray(frames.steering, np.float64)
    steering = np.array([policy.predict(frames.image(row, "center"))[0][0] for row in range(len(frames))])
    mean = float(np.mean(learner.train_frames.steering))
    guesses = {
        type(policy.network).__name__: steering,
        "always straight": np.zeros_like(truth),
        "always the mean": np.full_like(truth, mean),
    }
    title = f"steering on the last {len(truth)} rows, never trained on"
    lines = [f"{title:<52}error  correlation"]
    for name, guess in guesses.items():
        correlation = np.corrcoef(guess, truth)[0, 1] if np.ptp(guess) > 0 and np.ptp(truth) > 0 else 0.0
        lines.append(f"  {name:<50}{np.abs(guess - truth).mean():.4f}  {correlation:>11.2f}")
    straight = float(np.mean(frames.recorded_steering == 0))
    if straight > MANY_STRAIGHT:
        lines += [
            f"The driver's wheel is exactly straight in {straight:.0%} of these rows, as with a keyboard.",
            "Going straight then has a small error without following the road; the drive will tell.",
        ]
    return lines
