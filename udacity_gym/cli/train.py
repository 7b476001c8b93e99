"""``udacity-gym train``: behavioural cloning of recordings."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from udacity_gym.cli.options import About
from udacity_gym.errors import OptionError

if TYPE_CHECKING:
    from algorithms import BehavioralCloning


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
    loss: Annotated[Literal["mse", "huber"], About("what is minimised")] = "mse"
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
    for line in outcome(learner, policy):
        print(line)
    print(f"\nThe policy is in {options.output / 'policy'}. Let it drive:")
    print(f"  udacity-gym evaluate {options.output}")
    return 0


def outcome(learner: BehavioralCloning, policy: Any) -> list[str]:
    """What the training came to, against what needs no learning at all, as lines of text."""
    epochs = [epoch for epoch in learner.history if epoch.validation_loss is not None]
    if not epochs:
        return [f"{len(learner.history)} epochs; no rows were set aside to validate on"]
    best = min(epochs, key=lambda epoch: float(epoch.validation_loss or 0.0))
    truth = np.asarray(learner.validation_frames.steering, np.float64)
    mean = float(np.mean(learner.train_frames.steering))
    return [
        f"mean steering error on the last {len(truth)} rows, never trained on, in shares of full lock:",
        f"  {type(policy.network).__name__ + ', epoch ' + str(best.epoch):<22} {best.steering_mae:.4f}",
        f"  {'always straight':<22} {np.abs(truth).mean():.4f}",
        f"  {'always the mean':<22} {np.abs(truth - mean).mean():.4f}",
    ]
