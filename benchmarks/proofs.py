"""What proofs share: a folder with one set of settings, jobs in several processes, means with intervals."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from udacity_gym.evaluation import mean_estimate
from udacity_gym.files import write_whole

Job = TypeVar("Job")
Result = TypeVar("Result")


def go_on_with(folder: Path, settings: Mapping[str, Any]) -> None:
    """Begin in a folder, or go on there with the settings that it was begun with.

    Args:
        folder: where the proof keeps what it has found.
        settings: what the findings depend on; how many there are to be does not belong here.

    Raises:
        SystemExit: The folder was begun with other settings.
    """
    known, now = folder / "settings.json", json.loads(json.dumps(settings))
    if not known.exists():
        write_whole(known, json.dumps(now, indent=1) + "\n")
    before = json.loads(known.read_text())
    if before != now:
        raise SystemExit(f"{folder} was begun with {before}, now it is {now}; choose another --output")


def side_by_side(
    work: Callable[[Job], Result], jobs: Sequence[Job], processes: int
) -> Iterator[tuple[Job, Result]]:
    """Do jobs, and give each with its result as soon as it is done.

    Args:
        work: does one job: a function that other processes can import, or a `functools.partial` of one.
        jobs: in the order in which they are begun.
        processes: jobs at the same time; one is done in this process.
    """
    if processes == 1:
        for job in jobs:
            yield job, work(job)
        return
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        coming = {pool.submit(work, job): job for job in jobs}
        for done in as_completed(coming):
            yield coming[done], done.result()


def interval(values: Sequence[float]) -> float:
    """Half the width of a 95 % confidence interval of the mean (Student's t); NaN for a single value."""
    found = mean_estimate(values)
    return (found.high - found.low) / 2


def mean_text(values: Sequence[float]) -> str:
    """Mean and 95 % interval over seeds as "1.20 ± 0.56"; nothing of nothing."""
    if not values:
        return ""
    mean = f"{np.mean(values):.2f}"
    return f"{mean} ± {interval(values):.2f}" if len(values) > 1 else mean


def plot_mean(axis: Any, x: Sequence[float], values: Sequence[Sequence[float]], label: str) -> None:
    """Draw the mean over seeds of what can't be negative, and its 95 % interval as a band.

    Args:
        axis: of matplotlib.
        x: (n,) where.
        values: (n, seeds) what was found there.
        label: of the curve.
    """
    mean = np.array([np.mean(v) for v in values])
    half = np.nan_to_num([interval(v) for v in values])
    (line,) = axis.plot(x, mean, marker="o", markersize=3, label=label)
    axis.fill_between(x, np.maximum(mean - half, 0), mean + half, color=line.get_color(), alpha=0.15)
