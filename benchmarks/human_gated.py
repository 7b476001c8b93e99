"""Human-gated learning against DAgger, at the same number of labels.

Both begin with the same clone of one lap of demonstrations. In human-gated learning (HG-DAgger, Kelly et
al. 2019) a scripted human watches the policy drive, takes over a reaction time after it leaves its path, and
hands back; only what the human drives is labelled. In DAgger (Ross et al. 2011) the policy drives alone,
and the same human, with the same trembling hand, labels every frame. After each round the policy drives
laps alone, and falls are counted as in benchmarks/dagger.py; and so are the falls on the way, while the
rounds were collected.

Everything is kept in the output folder: an interrupted run goes on with the same command.

    python benchmarks/human_gated.py --output human-gated    jungle, 5 seeds
    python benchmarks/human_gated.py --output q --quick      a short run of a minute, which checks its outcome
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from dagger import CTRL_DT, SPEEDS, Run, falls_per_lap, make_env, settings
from proofs import (
    add_executor_options,
    add_output_option,
    go_on_with,
    markdown,
    mean_text,
    plot_mean,
    side_by_side,
)

from algorithms import DAgger, HGDAgger, load_policy
from algorithms.dagger.round_log import Round, read_round_log
from udacity_gym.cli.shared import executor_of
from udacity_gym.experts import PurePursuit, ScriptedHuman
from udacity_gym.files import write_whole
from udacity_gym.world.track.track import Track

METHODS = ("DAgger", "HG-DAgger")
MEMBERS = 3


@dataclass(frozen=True)
class Job:
    """One method on one track with one seed.

    Attributes:
        rounds: after the demonstrations.
        labels: that DAgger asks for in each round.
        laps: that each round of human-gated learning drives.
    """

    track: str
    method: str
    seed: int
    rounds: int
    labels: int
    laps: float
    folder: Path


class Labelling(ScriptedHuman):
    """The same human, asked for every frame: in control from the start, and never hands back."""

    def _start_episode(self) -> None:
        super()._start_episode()
        self.in_control = True

    def __call__(self, observation: Any, info: Mapping[str, Any]) -> Any:
        """What the human would do."""
        action = super().__call__(observation, info)
        if action is None:  # it has just handed back, because the car has recovered
            self.in_control = True
            action = super().__call__(observation, info)
        return action


def work(job: Job) -> list[dict[str, Any]]:
    """Do one run, or what is missing of it."""
    torch.set_num_threads(1)
    rows_file = job.folder / "judged.json"
    rows: list[dict[str, Any]] = json.loads(rows_file.read_text()) if rows_file.exists() else []
    if len(rows) > job.rounds:
        return rows
    env, speed, track = make_env(job.track), SPEEDS[job.track], Track.load(job.track)
    lap = round(track.length / speed / CTRL_DT)
    shared = settings(Run(job.track, job.method, job.seed, 1, lap, 1, job.folder, "Thumbnail"))
    demonstrations = job.folder / "demonstrations"
    expert = PurePursuit(track, speed=speed)
    DAgger(env=env, expert=expert, folder=demonstrations, progress=False, **shared).learn()
    gated = job.method == "HG-DAgger"
    human = (ScriptedHuman if gated else Labelling)(expert, cte=1.2, noise=0.03)
    shared |= {
        "rounds": job.rounds + 1,
        "frames": round(job.laps * lap) if gated else job.labels,
        "start": {"s": "random", "speed": speed},
        "members": MEMBERS,
    }
    done: list[Round] = []

    def judge(round: Round) -> None:
        done.append(round)
        policy = load_policy(job.folder / "learner" / "policies" / f"round_{round.round:03d}")
        row = {
            "track": job.track,
            "method": job.method,
            "seed": job.seed,
            "round": round.round,
            "labels": sum(r.labels for r in done),
            "driven_km": sum(r.metres for r in done) / 1000,
            "takeovers": sum(r.takeovers for r in done),
            "falls_on_the_way": sum(r.falls for r in done),
            "doubt_threshold": round.about.get("doubt_threshold"),
            "falls_per_lap": falls_per_lap(policy, env, 1, speed),
        }
        if round.round >= len(rows):
            rows.append(row)
            write_whole(rows_file, json.dumps(rows))

    learner = (HGDAgger if gated else DAgger)(
        demonstrations / "rounds" / "round_000",
        env=env,
        expert=human,
        folder=job.folder / "learner",
        progress=False,
        **shared,
    )
    for finished in read_round_log(job.folder / "learner"):  # before an interruption
        judge(finished)
    learner.learn(judge)
    env.close()
    for folder in (demonstrations, job.folder / "learner" / "rounds"):
        shutil.rmtree(folder, ignore_errors=True)
    return rows


def at_budget(rows: Sequence[Mapping[str, Any]], name: str, budget: float) -> float:
    """A figure of the last round of one run that needed no more labels than the budget."""
    return float([row for row in rows if row["labels"] <= budget][-1][name])


def by_run(rows: Sequence[Mapping[str, Any]], method: str) -> list[list[Mapping[str, Any]]]:
    """The rounds of each seed."""
    seeds = sorted({row["seed"] for row in rows if row["method"] == method})
    return [[row for row in rows if row["method"] == method and row["seed"] == seed] for seed in seeds]


def table(rows: Sequence[Mapping[str, Any]], budgets: Sequence[int]) -> str:
    """Falls at equal numbers of labels, mean and 95 % interval over seeds, in Markdown."""
    lines = []
    for method in METHODS:
        for budget in budgets:
            cells = [
                mean_text([at_budget(run, name, budget) for run in by_run(rows, method)])
                for name in ("falls_per_lap", "falls_on_the_way", "driven_km")
            ]
            lines.append([method, budget, *cells])
    return markdown(["method", "labels", "falls per lap", "falls on the way", "driven, km"], lines)


def draw(rows: Sequence[Mapping[str, Any]], budgets: Sequence[int], path: Path) -> None:
    """Falls per lap, and falls on the way, against labels."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4))
    titles = {"falls_per_lap": "falls per lap", "falls_on_the_way": "falls while collecting"}
    for axis, (name, title) in zip(axes, titles.items(), strict=True):
        for method in METHODS:
            values = [[at_budget(run, name, b) for run in by_run(rows, method)] for b in budgets]
            plot_mean(axis, budgets, values, method)
        axis.set(title=title, xlabel="labels after the demonstrations", ylim=(0, None))
        axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do all runs, write rows and figure, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_output_option(parser)
    parser.add_argument("--track", default="jungle", choices=list(SPEEDS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--labels", type=int, default=100, help="that DAgger asks for in each round")
    parser.add_argument("--laps", type=float, default=1.0, help="that HG-DAgger drives in each round")
    add_executor_options(parser)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(arguments)
    if options.quick:
        options.track, options.seeds, options.rounds, options.labels = "lake", 1, 3, 130
    jobs = [
        Job(options.track, method, seed, options.rounds, options.labels, options.laps, folder)
        for seed in range(options.seeds)
        for method in METHODS
        for folder in [options.output / "runs" / f"{options.track}-{METHODS.index(method)}-{seed}"]
    ]
    go_on_with(options.output, {name: getattr(options, name) for name in ("rounds", "labels", "laps")})
    begin = time.perf_counter()
    rows: list[dict[str, Any]] = []
    for job, found in side_by_side(work, jobs, executor_of(options)):
        rows += found
        minutes = (time.perf_counter() - begin) / 60
        course = " ".join(f"{row['labels']}:{row['falls_per_lap']:.1f}" for row in found)
        print(f"{minutes:5.1f} min  {job.method:<10} seed {job.seed}, labels:falls {course}", flush=True)
    rows.sort(key=lambda row: (METHODS.index(row["method"]), row["seed"], row["round"]))
    write_whole(options.output / "rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    most = min(run[-1]["labels"] for method in METHODS for run in by_run(rows, method))
    budgets = sorted({round(most * i / 5) for i in range(6)})
    draw(rows, budgets, options.output / "human_gated.png")
    print("\n" + table(rows, [budgets[0], budgets[len(budgets) // 2], budgets[-1]]))
    if not options.quick:
        return 0
    before = float(by_run(rows, "HG-DAgger")[0][0]["falls_per_lap"])
    gated, plain = (at_budget(by_run(rows, method)[0], "falls_per_lap", most) for method in METHODS[::-1])
    print(
        f"\n{most} labels: {before:.1f} falls per lap become {gated:.1f} by HG-DAgger, {plain:.1f} by DAgger"
    )
    return 0 if gated < min(before, plain) else 1


if __name__ == "__main__":
    sys.exit(main())
