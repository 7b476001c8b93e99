"""Does a lower validation loss drive better? Loss against autonomy over many checkpoints.

After Codevilla et al. 2018, "On Offline Evaluation of Vision-based Driving Models", section 5: networks that
differ in data, augmentation, seed and length of training are each judged twice, by the loss on held-out
demonstrations and by driving, and the two rankings are compared by Spearman's correlation.

Every network steers, a controller keeps 11 m/s. Demonstrations are a lap of the lake by an expert and a lap
by the same expert perturbed (Laskey et al. 2017). The validation rows are the last fifth of the unperturbed
lap for all of them, which nothing was trained on. Driving is the mean autonomy of drives from random places,
put back 1 m off the reference line as in Bojarski et al. 2016, section 7. Intervals: percentile bootstrap,
whole trainings drawn.

Run it with: python benchmarks/loss_versus_driving.py --output FOLDER [--seeds 2] [--workers 2]
It goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from proofs import add_executor_options, add_output_option, go_on_with, side_by_side

from algorithms import BehavioralCloning, BehavioralCloningConfig
from algorithms.policies.network_policy import NetworkPolicy
from algorithms.training.augment import Augmentation
from algorithms.training.data import Frames
from algorithms.training.trainer import Training
from udacity_gym import ENV_ID
from udacity_gym.cli.shared import executor_of
from udacity_gym.evaluation import evaluate
from udacity_gym.evaluation.statistics import Estimate, bootstrap_estimate, mean_estimate, spearman
from udacity_gym.executors import ExecutorLike
from udacity_gym.experts import Noise, NoisyExpert, PurePursuit
from udacity_gym.files import replacing, write_whole
from udacity_gym.recording import open_recording, record
from udacity_gym.telemetry import CAMERAS

SPEED = 11.0
"""m/s of demonstrations and of driving."""
UNCHANGED = Augmentation(flip=0, shift=0, turn=0, vertical=0, brightness=0, shadow=0)
SETTINGS: dict[str, dict[str, Any]] = {
    "center camera": {"side_cameras": 0.0, "augmentation": UNCHANGED},
    "three cameras": {"side_cameras": 0.5, "augmentation": UNCHANGED},
    "augmented": {"side_cameras": 0.5},
}
DEMONSTRATIONS = ("expert", "perturbed")
COLOURS = {"center camera": "#dc2626", "three cameras": "#d97706", "augmented": "#2563eb"}


@dataclass(frozen=True)
class Args:
    """The proof's settings.

    Attributes:
        seeds: trainings of each kind.
        checkpoints: epochs after which the network is judged, in order; training ends with the last.
        record_seconds: of demonstrations; a lap takes 105 s.
        drives: from random places, for each checkpoint.
        drive_seconds: of each of them.
    """

    seeds: int = 2
    checkpoints: tuple[int, ...] = (1, 2, 4, 8)
    record_seconds: float = 105.0
    drives: int = 2
    drive_seconds: float = 40.0


@dataclass(frozen=True)
class Checkpoint:
    """A network at an epoch of its training, judged.

    Attributes:
        training: which training it is of.
        setting: name in `SETTINGS`.
        demonstrations: name in `DEMONSTRATIONS`.
        seed: of the training.
        epoch: after which it was taken.
        mse, mae: mean squared and absolute error of steering on the validation rows, full lock is 1.
        autonomy: mean over its drives, [0, 1]; more than 1 m off the reference line is an intervention.
        interventions_per_km: over its drives.
    """

    training: str
    setting: str
    demonstrations: str
    seed: int
    epoch: int
    mse: float
    mae: float
    autonomy: float
    interventions_per_km: float


def demonstrate(folder: Path, seconds: float) -> None:
    """Record the demonstrations, unless they exist."""
    expert = PurePursuit("lake", speed=SPEED)
    drivers = {"expert": expert, "perturbed": NoisyExpert(expert, Noise.of(0.15, correlation=0.5))}
    for name, driver in drivers.items():
        if (folder / name / "done").exists():
            continue
        env = gym.make(ENV_ID, cameras=CAMERAS, mode="training", disable_env_checker=True)
        with replacing(folder / name / "done"):
            record(env, driver, folder / name / "laps", seconds=seconds, seed=0, append=False)
        env.close()


def judge_training(
    folder: Path, args: Args, setting: str, demonstrations: str, seed: int
) -> list[Checkpoint]:
    """Train a network, and evaluate it after some of its epochs."""
    torch.set_num_threads(1)
    config = BehavioralCloningConfig(
        epochs=args.checkpoints[-1],
        schedule="constant",
        learning_rate=5e-4,
        throttle="speed_control",
        target_speed=SPEED,
        threads=1,
        seed=seed,
        **SETTINGS[setting],
    )
    data = open_recording(folder / demonstrations / "laps")
    cloning = BehavioralCloning(data, config, progress=False)
    held_out = BehavioralCloning(
        open_recording(folder / "expert" / "laps"), config, progress=False
    ).validation_frames
    checkpoints: list[Checkpoint] = []

    def judge(policy: NetworkPolicy) -> float:
        epoch = len(training.epoch_log) + 1
        if epoch in args.checkpoints:
            error = errors(policy, held_out)
            autonomy, interventions = drive(policy, args)
            checkpoints.append(
                Checkpoint(
                    training=f"{setting}, {demonstrations}, seed {seed}",
                    setting=setting,
                    demonstrations=demonstrations,
                    seed=seed,
                    epoch=epoch,
                    mse=float(np.mean(error**2)),
                    mae=float(np.mean(np.abs(error))),
                    autonomy=autonomy,
                    interventions_per_km=interventions,
                )
            )
        return 0.0

    training = Training(config, cloning.train_frames, cloning.validation_frames, judge=judge)
    training.run()
    return checkpoints


def errors(policy: NetworkPolicy, frames: Frames, batch: int = 64) -> Any:
    """(n,) errors of steering on recorded rows, through the centre camera."""
    steering = []
    for begin in range(0, len(frames), batch):
        rows = range(begin, min(begin + batch, len(frames)))
        images = np.stack([frames.image(row, "center") for row in rows])
        steering.append(policy.predict(images)[0][:, 0])
    return np.concatenate(steering) - frames.steering


def drive(policy: NetworkPolicy, args: Args) -> tuple[float, float]:
    """Mean autonomy and interventions per km of drives from random places."""
    env = gym.make(ENV_ID, disable_env_checker=True)
    start = {"s": "random", "offset": (-0.3, 0.3), "speed": SPEED}
    drives = [
        evaluate(
            policy,
            env,
            laps=2,
            seed=seed,
            max_seconds=args.drive_seconds,
            intervene="reference",
            start=start,
        )
        for seed in range(args.drives)
    ]
    env.close()
    metres = sum(drive.distance for drive in drives)
    interventions = sum(drive.interventions for drive in drives)
    return float(np.mean([drive.autonomy for drive in drives])), interventions / max(metres, 1.0) * 1000


def run(folder: Path, args: Args, executor: ExecutorLike = 1, log: Any = print) -> list[Checkpoint]:
    """Judge all checkpoints, those left over from an interrupted run.

    Args:
        folder: folder of demonstrations and results; an interrupted run is resumed.
        args: settings; those of an interrupted run must be the same.
        executor: who trains, see `udacity_gym.executors.open_executor`.
        log: called with a line about every training.
    """
    go_on_with(folder, {k: v for k, v in asdict(args).items() if k != "seeds"})
    demonstrate(folder, args.record_seconds)
    done = {path.stem: path for path in sorted((folder / "trainings").glob("*.json"))}
    kinds = [
        kind
        for seed in range(args.seeds)
        for kind in product(SETTINGS, DEMONSTRATIONS, [seed])
        if name_of(kind) not in done
    ]
    for _, judged in side_by_side(partial(_judge_and_keep, folder, args), kinds, executor):
        text = ", ".join(f"{c.epoch}: {c.mse:.5f} {c.autonomy:.0%}" for c in judged)
        log(f"{judged[0].training}  (epoch: loss autonomy)  {text}", flush=True)
    names = {name_of(kind) for kind in product(SETTINGS, DEMONSTRATIONS, range(args.seeds))}
    files = sorted(path for path in (folder / "trainings").glob("*.json") if path.stem in names)
    return [Checkpoint(**row) for path in files for row in json.loads(path.read_text())]


def name_of(kind: tuple[str, str, int]) -> str:
    """The name of a training's file."""
    return "-".join(str(part).replace(" ", "-") for part in kind)


def _judge_and_keep(folder: Path, args: Args, kind: tuple[str, str, int]) -> list[Checkpoint]:
    checkpoints = judge_training(folder, args, *kind)
    rows = [asdict(checkpoint) for checkpoint in checkpoints]
    write_whole(folder / "trainings" / f"{name_of(kind)}.json", json.dumps(rows))
    return checkpoints


@dataclass(frozen=True)
class Findings:
    """Correlation of loss and driving over all checkpoints.

    Attributes:
        mse_correlation, mae_correlation: Spearman's, of low loss with high autonomy: 1 if the
            checkpoint with less loss always drives better, 0 if the loss says nothing.
        least_loss: the checkpoint of the least squared error.
        best_driver: the checkpoint that drives best; of several, the one with the least loss.
        drive_better: number of checkpoints that drive better than ``least_loss``.
    """

    mse_correlation: Estimate
    mae_correlation: Estimate
    least_loss: Checkpoint
    best_driver: Checkpoint
    drive_better: int


def findings(checkpoints: Sequence[Checkpoint]) -> Findings:
    """Compare the ranking by loss with that by driving."""
    autonomy = [c.autonomy for c in checkpoints]
    groups = [c.training for c in checkpoints]
    least = min(checkpoints, key=lambda c: c.mse)

    def correlation(loss: list[float]) -> Estimate:
        return bootstrap_estimate(
            spearman, [-value for value in loss], autonomy, groups=groups, resamples=4000
        )

    return Findings(
        mse_correlation=correlation([c.mse for c in checkpoints]),
        mae_correlation=correlation([c.mae for c in checkpoints]),
        least_loss=least,
        best_driver=min(checkpoints, key=lambda c: (-c.autonomy, c.mse)),
        drive_better=sum(value > least.autonomy for value in autonomy),
    )


def plot(checkpoints: Sequence[Checkpoint], result: Findings, path: Path) -> None:
    """Scatter plot of loss and autonomy, a colour per setting, a marker per kind of demonstrations."""
    from matplotlib.artist import setp
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(8.0, 5.2), layout="constrained")
    axes = figure.subplots()
    for setting, demonstrations in product(SETTINGS, DEMONSTRATIONS):
        those = [c for c in checkpoints if (c.setting, c.demonstrations) == (setting, demonstrations)]
        axes.scatter(
            [c.mse for c in those],
            [c.autonomy for c in those],
            s=[14 + 7 * c.epoch for c in those],
            marker="o" if demonstrations == "expert" else "^",
            facecolor=COLOURS[setting] if demonstrations == "perturbed" else "none",
            edgecolor=COLOURS[setting],
            alpha=0.85,
            label=f"{setting}, {demonstrations}",
        )
    marked = [("least loss", result.least_loss), ("best driver", result.best_driver)]
    if result.least_loss == result.best_driver:
        marked = [("least loss, best driver", result.best_driver)]
    for k, (name, checkpoint) in enumerate(marked):
        axes.annotate(
            name,
            (checkpoint.mse, checkpoint.autonomy),
            (24, -26 - 16 * k),
            textcoords="offset points",
            arrowprops={"arrowstyle": "->", "color": "#52606d"},
            color="#1f2933",
        )
    axes.set_xscale("log")
    axes.set_ylim(-0.04, 1.06)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("validation loss: mean squared error of steering on held-out demonstrations")
    axes.set_ylabel("autonomy, driving from random places")
    axes.set_title(
        f"{len(checkpoints)} checkpoints of {len({c.training for c in checkpoints})} trainings: "
        f"rank correlation {result.mse_correlation}",
        fontsize=11,
    )
    axes.grid(color="#e4e7eb", linewidth=0.7)
    axes.set_axisbelow(True)
    legend = axes.legend(
        title="larger: trained longer",
        title_fontsize=8,
        fontsize=8,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        frameon=False,
    )
    setp(legend.legend_handles, sizes=[40])
    with replacing(path) as part:
        figure.savefig(part, dpi=150)


def table(checkpoints: Sequence[Checkpoint]) -> str:
    """Mean over seeds at the last epoch, by kind of training."""
    last = max(c.epoch for c in checkpoints)
    lines = [f"{f'after epoch {last}':<28} {'squared error':<36} autonomy, %"]
    for setting, demonstrations in product(SETTINGS, DEMONSTRATIONS):
        those = [
            c
            for c in checkpoints
            if (c.setting, c.demonstrations, c.epoch) == (setting, demonstrations, last)
        ]
        if those:
            loss = mean_estimate([c.mse for c in those], 0).text(5)
            share = mean_estimate([c.autonomy for c in those], 0, 1).text(1, 100)
            lines.append(f"{f'{setting}, {demonstrations}':<28} {loss:<36} {share}")
    return "\n".join(lines)


def main() -> None:
    """Judge, compare, draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_output_option(parser)
    parser.add_argument("--seeds", type=int, default=Args.seeds)
    add_executor_options(parser)
    options = parser.parse_args()
    checkpoints = run(options.output, Args(seeds=options.seeds), executor_of(options))
    result = findings(checkpoints)
    plot(checkpoints, result, options.output / "loss-versus-driving.png")
    output = {**asdict(result), "checkpoints": [asdict(c) for c in checkpoints]}
    write_whole(options.output / "loss-versus-driving.json", json.dumps(output, indent=1) + "\n")
    print(f"\n{table(checkpoints)}\n")
    print(f"rank correlation of low loss with autonomy: {result.mse_correlation} (squared error),")
    print(f"                                            {result.mae_correlation} (absolute error)")
    least, best = result.least_loss, result.best_driver
    print(
        f"least loss:  {least.mse:.5f}, autonomy {least.autonomy:.1%}: {least.training}, epoch {least.epoch}"
    )
    print(f"best driver: {best.mse:.5f}, autonomy {best.autonomy:.1%}: {best.training}, epoch {best.epoch}")
    print(f"{result.drive_better} of {len(checkpoints)} checkpoints drive better than the one of least loss")


if __name__ == "__main__":
    main()
