"""Falls per lap against rounds: DAgger and behavioural cloning on the same number of labels.

The experiment of Ross et al. 2011, section 5.1 (Super Tux Kart), on our tracks. In each round every method
gets the same number of labelled frames and goes on training the same controller on all of its frames so
far, for the same number of steps; they differ in who drives while frames are collected: the expert
(behavioural cloning), or expert and policy mixed by one of three schedules of beta. After each round the
policy drives laps alone; whenever it leaves the road or is stuck it is put back on its lane, which counts
as a fall.

As in the paper the speed is given, the policy steers by linear regression on a thumbnail of the camera's
image, and cloning learns from the expert's clean drives alone: no side cameras, no augmentation. Those are
other cures of the same disease, see docs/learners.md; so is a better controller, see --network.

Everything is kept in the output folder: an interrupted run goes on with the same command.

    python benchmarks/dagger.py --output dagger      both tracks, 5 seeds, 15 rounds
    python benchmarks/dagger.py --output q --quick   a short run of minutes, which checks its outcome
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import torch
from proofs import (
    add_executor_options,
    add_output_option,
    go_on_with,
    markdown,
    mean_text,
    plot_mean,
    side_by_side,
)
from torch import Tensor, nn

from algorithms import DAgger, Policy, Preprocessing, load_policy
from algorithms.dagger.round_log import Round, read_round_log
from algorithms.dagger.schedules import Constant, Exponential, FirstRound, Linear, Schedule
from algorithms.policies.networks import NETWORKS
from algorithms.training.augment import Augmentation
from udacity_gym import ENV_ID
from udacity_gym.cli.shared import executor_of
from udacity_gym.evaluation import evaluate
from udacity_gym.evaluation.measures import laps_driven
from udacity_gym.experts import Expert, PurePursuit, Racing
from udacity_gym.files import write_whole

SPEEDS = {"lake": 13.0, "jungle": 8.0}
"""m/s that expert and policies are driven at, by track."""

RACING_LINE = 3.8
"""m from the middle of the lake's road that its expert uses, which leaves a metre to the edge. On the middle
of that wide road even cloning does not fall, however little it is like driving there."""

CTRL_DT = 1 / 15
"""s of a step."""

IMAGE_SIZE = (80, 160)
NO_AUGMENTATION = Augmentation(flip=0.0, shift=0.0, turn=0.0, vertical=0.0, brightness=0.0, shadow=0.0)


class Linear24(nn.Module):
    """Linear regression on thumbnails of 24x64 px: the controller of Ross et al. 2011, section 5.1."""

    input_size = (24, 64)

    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 64, outputs))

    def forward(self, images: Tensor) -> Tensor:
        """Map (n, 3, 24, 64) normalised images to (n, outputs)."""
        out: Tensor = self.layers(images)
        return out


class Thumbnail(nn.Module):
    """A small convolutional network on the same thumbnails: 14 thousand weights."""

    input_size = (24, 64)

    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 12, 5, stride=2),  # (n, 12, 10, 30)
            nn.ELU(),
            nn.Conv2d(12, 16, 5, stride=2),  # (n, 16, 3, 13)
            nn.ELU(),
            nn.Conv2d(16, 24, 3),  # (n, 24, 1, 11)
            nn.ELU(),
            nn.Flatten(),
            nn.Linear(264, 32),
            nn.ELU(),
            nn.Linear(32, outputs),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map (n, 3, 24, 64) normalised images to (n, outputs)."""
        out: Tensor = self.layers(images)
        return out


NETWORKS.register("Thumbnail", Thumbnail)
NETWORKS.register("Linear24", Linear24)


def schedules(rounds: int) -> dict[str, Schedule]:
    """The methods: who drives in each round."""
    return {
        "cloning": Constant(1.0),
        "DAgger, I(i=1)": FirstRound(),
        "DAgger, linear": Linear(max(1, rounds // 3)),
        "DAgger, 0.5^(i-1)": Exponential(0.5),
    }


@dataclass(frozen=True)
class Run:
    """One method on one track with one seed."""

    track: str
    method: str
    seed: int
    rounds: int
    frames: int
    laps: int
    folder: Path
    network: str = "Linear24"


def make_env(track: str) -> gymnasium.Env[Any, Any]:
    """The environment of all runs."""
    return gymnasium.make(ENV_ID, track=track, image_size=IMAGE_SIZE, ctrl_dt=CTRL_DT)


def make_expert(track: str) -> Expert:
    """Who shows how to drive, see `SPEEDS`."""
    if track == "lake":
        return Racing(track, speed=SPEEDS[track], within=RACING_LINE)
    return PurePursuit(track, speed=SPEEDS[track])


def settings(run: Run) -> dict[str, Any]:
    """Settings that all methods share."""
    speed = SPEEDS[run.track]
    return {
        "rounds": run.rounds,
        "frames": run.frames,
        "start": {"s": "random", "speed": speed},
        "throttle": "speed_control",
        "target_speed": speed,
        "network": run.network,
        "preprocessing": Preprocessing(camera_size=IMAGE_SIZE, crop=(30, 68), size=(24, 64)),
        "augmentation": NO_AUGMENTATION,
        "side_cameras": 0.0,
        "balance": 0.0,
        "loss": "mse",
        "epochs": 4,
        "steps_per_epoch": 100,
        "threads": 1,
        "seed": run.seed,
    }


def falls_per_lap(policy: Policy, env: gymnasium.Env[Any, Any], laps: int, speed: float) -> float:
    """Let a policy drive, put it back on its lane where it falls, and count.

    Returns:
        Falls per lap; of the way until then, if laps take more than three times as long as they should.
    """
    track: Any = env.get_wrapper_attr("track")
    start = {"s": 0.0, "offset": float(track.reference_offset), "heading_error": 0.0, "speed": speed}
    seconds = 3 * laps * track.length / speed
    drive = evaluate(policy, env, laps, intervene="road", start=start, max_seconds=seconds)
    return drive.falls / laps_driven(drive)


def work(run: Run) -> list[dict[str, Any]]:
    """Do one run, or what is missing of it."""
    torch.set_num_threads(1)
    judged = run.folder / "judged.json"
    rows: list[dict[str, Any]] = json.loads(judged.read_text()) if judged.exists() else []
    if len(rows) >= run.rounds:
        return rows[: run.rounds]
    env = make_env(run.track)
    speed = SPEEDS[run.track]

    def judge(round: Round) -> None:
        policy = load_policy(run.folder / "learner" / "policies" / f"round_{round.round:03d}")
        rows.append(
            {
                "track": run.track,
                "method": run.method,
                "seed": run.seed,
                "round": round.round + 1,
                "labels": round.train_frames,
                "falls_per_lap": falls_per_lap(policy, env, run.laps, speed),
                "train_loss": round.train_loss,
            }
        )
        write_whole(judged, json.dumps(rows))

    learner = DAgger(
        env=env,
        expert=make_expert(run.track),
        beta=schedules(run.rounds)[run.method],
        folder=run.folder / "learner",
        progress=False,
        **settings(run),
    )
    for finished in read_round_log(run.folder / "learner")[len(rows) :]:  # not judged before an interruption
        judge(finished)
    learner.learn(judge)
    env.close()
    shutil.rmtree(run.folder / "learner" / "rounds", ignore_errors=True)  # images: the bulk of it
    return rows


def cells(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str, int], list[float]]:
    """Falls per lap of all seeds, by track, method and round."""
    falls: dict[tuple[str, str, int], list[float]] = {}
    for row in rows:
        key = (str(row["track"]), str(row["method"]), int(row["round"]))
        falls.setdefault(key, []).append(float(row["falls_per_lap"]))
    return falls


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Falls per lap as a table in Markdown, mean and 95 % interval over seeds."""
    falls = cells(rows)
    last = max(key[2] for key in falls)
    shown = sorted({1, min(2, last), min(5, last), min(10, last), last})
    return markdown(
        ["track", "method", *(f"round {i}" for i in shown)],
        [
            [track, method, *(mean_text(falls.get((track, method, i), [])) for i in shown)]
            for track, method in dict.fromkeys(key[:2] for key in falls)
        ],
    )


def draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """The figure: falls per lap against rounds, a panel for each track."""
    import matplotlib.pyplot as plt

    falls = cells(rows)
    tracks = list(dict.fromkeys(key[0] for key in falls))
    figure, axes = plt.subplots(1, len(tracks), figsize=(5.5 * len(tracks), 4), squeeze=False)
    for axis, track in zip(axes[0], tracks, strict=True):
        for method in dict.fromkeys(key[1] for key in falls if key[0] == track):
            rounds = sorted(key[2] for key in falls if key[:2] == (track, method))
            plot_mean(axis, rounds, [falls[track, method, i] for i in rounds], method)
        axis.set(title=track, xlabel="round", ylabel="falls per lap", ylim=(0, None))
        axis.legend()
    figure.suptitle("Falls per lap against rounds, mean and 95 % interval over seeds")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do all runs, write rows and figure, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_output_option(parser)
    parser.add_argument("--tracks", nargs="+", default=["lake", "jungle"], choices=list(SPEEDS))
    parser.add_argument("--methods", nargs="+", default=list(schedules(1)), choices=list(schedules(1)))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--frames", type=int, default=1000, help="labelled in each round")
    parser.add_argument("--laps", type=int, default=1, help="driven to judge each round")
    add_executor_options(parser)
    parser.add_argument("--network", default=Run.network, choices=("Linear24", "Thumbnail"))
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(arguments)
    if options.quick:
        options.tracks, options.methods, options.seeds = ["lake"], ["cloning", "DAgger, I(i=1)"], 2
        options.rounds = 6
    runs = [
        Run(track, method, seed, options.rounds, options.frames, options.laps, folder, options.network)
        for seed in range(options.seeds)
        for track in options.tracks
        for method in options.methods
        for folder in [options.output / "runs" / f"{track}-{list(schedules(1)).index(method)}-{seed}"]
    ]
    names = ("rounds", "frames", "laps", "network")
    go_on_with(options.output, {name: getattr(options, name) for name in names})
    begin = time.perf_counter()
    rows: list[dict[str, Any]] = []
    for run, run_rows in side_by_side(work, runs, executor_of(options)):
        rows += run_rows
        minutes = (time.perf_counter() - begin) / 60
        course = " ".join(f"{row['falls_per_lap']:.1f}" for row in run_rows)
        print(f"{minutes:5.1f} min  {run.track:<7}{run.method:<18} seed {run.seed}: {course}", flush=True)
    order = list(schedules(1))
    rows.sort(key=lambda row: (row["track"] != "lake", order.index(row["method"]), row["seed"], row["round"]))
    write_whole(options.output / "rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    draw(rows, options.output / "falls.png")
    print("\n" + table(rows))
    return check(rows) if options.quick else 0


def check(rows: Sequence[Mapping[str, Any]]) -> int:
    """Whether DAgger falls less than half as often as cloning in the last two rounds, twice a lap at most.

    The check is of seeds 0 and 1, where they fall 4.5 and 1.3 times a lap: a margin, as falls are partly
    chance, and processors round differently (4.8 and 1.8 without AVX).
    """
    falls = cells(rows)
    last = max(key[2] for key in falls)
    ends = {}
    for method in ("cloning", "DAgger, I(i=1)"):
        ends[method] = statistics.mean(v for i in (last - 1, last) for v in falls["lake", method, i])
    cloning, dagger = ends.values()
    print(f"\nlast two of {last} rounds: cloning {cloning:.1f} falls per lap, DAgger {dagger:.1f}")
    return 0 if dagger <= 2.0 and dagger < 0.5 * cloning else 1


if __name__ == "__main__":
    sys.exit(main())
