"""Shared parts of the benchmarks: settings of a folder, jobs by executors, means with intervals, tables."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from udacity_gym.evaluation import mean_estimate
from udacity_gym.executors import ExecutorLike, open_executor
from udacity_gym.files import write_whole

Job = TypeVar("Job")
Result = TypeVar("Result")


def go_on_with(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write the settings to a new folder, or check that they are those of the existing results.

    Args:
        folder: folder of the results.
        settings: settings that the results depend on, without the number of results.

    Raises:
        SystemExit: The folder has results with other settings.
    """
    path, now = folder / "settings.json", json.loads(json.dumps(settings))
    if not path.exists():
        write_whole(path, json.dumps(now, indent=1) + "\n")
    before = json.loads(path.read_text())
    if before != now:
        raise SystemExit(f"{folder} was begun with {before}, now it is {now}; choose another --output")


def add_output_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that says where the results go; benchmarks write nowhere else."""
    parser.add_argument("--output", type=Path, required=True, help="folder of the results")


def add_executor_options(parser: argparse.ArgumentParser, workers: int = 2) -> None:
    """Add the options that say who does the jobs, as the command ``udacity-gym`` has them."""
    parser.add_argument("--workers", type=int, default=workers, help="jobs at the same time")
    parser.add_argument("--executor", help="kind of executor: processes, ray, slurm; default: processes")
    parser.add_argument("--address", help="address of the executor's cluster, such as auto for Ray")
    parser.add_argument(
        "--executor-option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting of the executor",
    )


def side_by_side(
    work: Callable[[Job], Result], jobs: Sequence[Job], executor: ExecutorLike
) -> Iterator[tuple[Job, Result]]:
    """Do jobs in parallel, and yield each with its result as soon as it is done.

    Args:
        work: does a job: a function, or a `functools.partial` of one.
        jobs: the jobs, in the order in which they start.
        executor: who does them, see `udacity_gym.executors.open_executor`.
    """
    with open_executor(executor) as opened:
        for number, result in opened.map(work, jobs):
            yield jobs[number], result


def interval(values: Sequence[float]) -> float:
    """Half the width of a 95 % confidence interval of the mean (Student's t); NaN for a single value."""
    estimate = mean_estimate(values)
    return (estimate.high - estimate.low) / 2


def mean_text(values: Sequence[float]) -> str:
    """Mean and 95 % interval over seeds as "1.20 ± 0.56"; "" without values."""
    if not values:
        return ""
    mean = f"{np.mean(values):.2f}"
    return f"{mean} ± {interval(values):.2f}" if len(values) > 1 else mean


def markdown_row(cells: Iterable[object]) -> str:
    """A row of a table in Markdown."""
    return f"| {' | '.join(map(str, cells))} |"


def markdown(titles: Sequence[str], rows: Iterable[Iterable[object]] = ()) -> str:
    """A table in Markdown; without rows its head, for a table whose rows are printed one by one."""
    return "\n".join([markdown_row(titles), "|---" * len(titles) + "|", *map(markdown_row, rows)])


def plot_mean(axis: Any, x: Sequence[float], values: Sequence[Sequence[float]], label: str) -> None:
    """Draw the mean over seeds of values that can't be negative, and its 95 % interval as a band.

    Args:
        axis: axes of matplotlib.
        x: (n,) horizontal positions.
        values: (n, seeds) values.
        label: label of the curve.
    """
    mean = np.array([np.mean(v) for v in values])
    half = np.nan_to_num([interval(v) for v in values])
    (line,) = axis.plot(x, mean, marker="o", markersize=3, label=label)
    axis.fill_between(x, np.maximum(mean - half, 0), mean + half, color=line.get_color(), alpha=0.15)
