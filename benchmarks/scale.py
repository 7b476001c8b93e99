"""What more cores, Ray and more cars per process are worth, and what a cluster would make of it.

Everything is measured in one run on this machine, as ratios to one process, and alternately. The times by the
wall clock need a machine that does nothing else; the processor times do not. Work is as long as real work: a
round of some laps, drives of 20 s, trainings of several epochs. Speeds are given without the start of the
workers, who do some work first, and with it.

The figures of the cluster are a model on paper, with constants from the measurement; those of networks, disks
and schedulers are in `Cluster`.

Run it with: python benchmarks/scale.py [--repeats 3] [--workers 1 2] [--output FILE.json]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

import algorithms
from algorithms import DAgger, NetworkPolicy, Preprocessing, make_network
from udacity_gym import UdacityVectorEnv
from udacity_gym.driving import Drive, Mixture, Rules, Step, drive_many
from udacity_gym.evaluation import Suite, run_suite, scenarios
from udacity_gym.executors import Executor, Processes, Ray, open_executor
from udacity_gym.executors.calls import one_thread
from udacity_gym.experts import PurePursuit
from udacity_gym.files import write_whole
from udacity_gym.text import table

CARS = 8
"""Cars of a process in batched suites."""
FIGURES = (
    "cores",
    "work",
    "workers",
    "seconds",
    "cpu_seconds",
    "seconds_with_start",
    "job_ms",
    "worker_mb",
    "episode_bytes",
    "rollout_bytes",
    "step_ms",
    "start_seconds",
)
"""Entries of a file of results."""


@dataclass(frozen=True)
class Work:
    """Size of the work.

    Attributes:
        drives: drives of a suite.
        drive_seconds: s of each drive.
        frames: rows of a rollout.
        rollouts: rollouts of a round.
        trials: trainings of a sweep.
        rows: rows that each of them is trained on.
        epochs: of each of them.
        steps: steps of each car whose parts are measured.
    """

    drives: int = 16
    drive_seconds: float = 20.0
    frames: int = 600
    rollouts: int = 8
    trials: int = 4
    rows: int = 1200
    epochs: int = 6
    steps: int = 450


def make_env() -> Any:
    """The environment of the rollouts."""
    return gymnasium.make("UdacitySim-v0", disable_env_checker=True)


def make_policy() -> NetworkPolicy:
    """A network with random weights, which costs what a trained one does."""
    return NetworkPolicy(make_network("PilotNet", 2, 0), Preprocessing())


def drive_suite(executor: Executor | int, work: Work, cars: int = 1) -> None:
    """A suite of one policy."""
    suite = Suite(
        "scale-v1",
        scenarios(),
        seeds=tuple(range(work.drives)),
        intervene=("road",),
        max_seconds=work.drive_seconds,
    )
    run_suite(make_policy(), suite, executor=executor, cars=cars)


def collect_rollouts(executor: Executor | int, work: Work) -> None:
    """The rollouts of a round, without training."""
    with tempfile.TemporaryDirectory() as folder:
        algorithms.collect_round(
            make_env,
            make_policy(),
            PurePursuit(),
            Mixture(0.5),
            Path(folder) / "round",
            frames=work.frames * work.rollouts,
            rollouts=work.rollouts,
            executor=executor,
        )


def sweep(executor: Executor | int, work: Work, recording: Path) -> None:
    """Trainings with different learning rates."""
    common = {"epochs": work.epochs, "validation": 0.0, "side_cameras": 0.0}
    settings = [{**common, "seed": i, "learning_rate": 1e-3 / (i + 1)} for i in range(work.trials)]
    with tempfile.TemporaryDirectory() as folder:
        algorithms.learn_many("bc", recording, settings, folder, executor=executor, progress=False)


def make_recording(folder: Path, rows: int) -> Path:
    """A recording of the expert."""
    DAgger(
        env=make_env, expert=PurePursuit(), folder=folder, rounds=1, frames=rows, rollouts=1, epochs=1,
        steps_per_epoch=1, side_cameras=0.0, progress=False,
    ).learn()  # fmt: skip
    return folder / "rounds" / "round_000"


def seconds_of(do: Callable[[], object]) -> float:
    """Seconds by the wall clock."""
    begin = time.perf_counter()
    do()
    return time.perf_counter() - begin


def cpu_seconds(processes: set[int]) -> float:
    """Seconds of processor time that some processes have used."""
    ticks = 0
    for process in processes:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def nothing(_: int) -> int:
    """A job without work; says which process does it."""
    return os.getpid()


def memory_of(_: int) -> tuple[int, float]:
    """The process of a job, and its proportional memory in MB."""
    make_env().close()
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return os.getpid(), kilobytes / 1000


@contextmanager
def opened(workers: list[int], with_ray: bool) -> Iterator[dict[str, Any]]:
    """All executors, which have started their workers."""
    with ExitStack() as stack:
        executors: dict[str, Any] = {"1 process (this one)": 1}
        for count in workers:
            name = f"{count} process{'es' if count > 1 else ''} beside it"
            executors[name] = stack.enter_context(Processes(count).open())
        if with_ray:
            count = max(workers)
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            executors[f"Ray, {count} workers"] = stack.enter_context(Ray(workers=count).open())
        yield executors


def warm_up(executor: Any, count: int, recording: Path) -> None:
    """Let each worker import and compile what the work needs."""
    work = Work(drives=2 * count, drive_seconds=0.5, frames=10, rollouts=2 * count)
    drive_suite(executor, work)
    drive_suite(executor, work, cars=2)
    collect_rollouts(executor, work)
    sweep(executor, Work(trials=2 * count, epochs=1), recording)


class _FixedActions:
    """A policy that asks its network, and then gives other actions, so that cars keep to their lane."""

    def __init__(self, policy: NetworkPolicy, actions: NDArray[np.float32]) -> None:
        self._policy = policy
        self._actions = actions
        self._step = 0

    def predict(self, observations: Any, **inputs: Any) -> tuple[NDArray[np.float32], Any]:
        """Actions of the next step, (cars, 2)."""
        _, state = self._policy.predict(observations, **inputs)
        self._step += 1
        return self._actions[self._step - 1], state


def split_of_step(cars: int, steps: int) -> dict[str, float]:
    """Processor time of the parts of a car's step, in ms, when some cars are driven at once by one policy.

    All parts are measured with the same drives on the lane.

    Args:
        cars: number of cars, spread over the lap.
        steps: steps of each.

    Returns:
        "total", and its parts "rendering", "network" with the preparation of its images, "physics" with
        rewards and infos, and "the rest": the loop of the drive and its account.
    """
    with closing(UdacityVectorEnv(cars)) as envs, closing(UdacityVectorEnv(cars, cameras=())) as blind:
        starts = [{"s": envs.envs[0].track.length * i / cars} for i in range(cars)]
        drives = [Drive(Rules(steps=steps, start=start), seed=i) for i, start in enumerate(starts)]
        driven: list[list[Any]] = [[] for _ in drives]
        for i, step in drive_many(envs, None, [replace(drive, driver=PurePursuit()) for drive in drives]):
            assert isinstance(step, Step)
            driven[i].append(step.decision.action)
        actions = np.array(driven, np.float32).swapaxes(0, 1)
        network = make_policy()
        images = np.stack([envs.envs[i].reset(seed=i, options=start)[0] for i, start in enumerate(starts)])

        def drive() -> None:
            deque(drive_many(envs, _FixedActions(network, actions), drives), maxlen=0)

        def step_all(some: UdacityVectorEnv) -> None:
            for i, start in enumerate(starts):
                some.envs[i].reset(seed=i, options=start)
            for chosen in actions:
                some.step_cars(range(cars), list(chosen))

        def predict() -> None:
            state = None
            for _ in range(steps):
                _, state = network.predict(images, state=state, episode_start=np.zeros(cars, np.bool_))

        with one_thread():
            total, stepping, physics, deciding = (
                1000 * _processor_seconds(do) / (cars * steps)
                for do in (drive, partial(step_all, envs), partial(step_all, blind), predict)
            )
    parts = {"rendering": stepping - physics, "network": deciding, "physics": physics}
    return {"total": total, **parts, "the rest": total - sum(parts.values())}


def _processor_seconds(do: Callable[[], object], repeats: int = 3) -> float:
    """Least processor time of some runs, after one that compiles and fills caches."""
    do()
    measured = []
    for _ in range(repeats):
        begin = time.process_time()
        do()
        measured.append(time.process_time() - begin)
    return min(measured)


def measure(work: Work, workers: list[int], repeats: int, with_ray: bool) -> dict[str, Any]:
    """Seconds of each kind of work by each executor, and costs of workers."""
    results: dict[str, Any] = {"cores": os.cpu_count(), "work": asdict(work)}
    with tempfile.TemporaryDirectory() as folder, opened(workers, with_ray) as executors:
        recording = make_recording(Path(folder) / "learner", work.rows)
        kinds: dict[str, Callable[[Any], object]] = {
            "rollouts of a round": partial(collect_rollouts, work=work),
            "suite": partial(drive_suite, work=work),
            f"suite, {CARS} cars at once": partial(drive_suite, work=work, cars=CARS),
            "sweep": partial(sweep, work=work, recording=recording),
        }
        for executor in executors.values():
            warm_up(executor, max(workers), recording)
        processes = {
            name: {os.getpid(), *(process for _, process in _map(executor, nothing, 100))}
            for name, executor in executors.items()
        }
        most = max(workers)
        fresh: dict[str, list[float]] = {kind: [] for kind in kinds}
        seconds: dict[str, dict[str, list[float]]] = {kind: {n: [] for n in executors} for kind in kinds}
        cpu: dict[str, dict[str, list[float]]] = {kind: {n: [] for n in executors} for kind in kinds}
        for _ in range(repeats):
            for kind, do in kinds.items():
                for name, executor in executors.items():
                    before = cpu_seconds(processes[name])
                    seconds[kind][name].append(seconds_of(partial(do, executor)))
                    cpu[kind][name].append(cpu_seconds(processes[name]) - before)
                fresh[kind].append(seconds_of(partial(do, Processes(most))))
        for title, measured in (("seconds", seconds), ("cpu_seconds", cpu)):
            results[title] = {
                kind: {name: statistics.median(values) for name, values in row.items()}
                for kind, row in measured.items()
            }
        results["seconds_with_start"] = {kind: statistics.median(values) for kind, values in fresh.items()}
        results["workers"] = most
        results["job_ms"] = {
            name: 1000 * seconds_of(partial(_map_nothing, executor, 200)) / 200
            for name, executor in executors.items()
        }
        results["worker_mb"] = {
            name: statistics.mean(dict(dict(_map(executor, memory_of, 4)).values()).values())
            for name, executor in executors.items()
        }
        results["episode_bytes"], results["rollout_bytes"] = _sizes(work, Path(folder))
    results["step_ms"] = {str(cars): split_of_step(cars, work.steps) for cars in (1, CARS)}
    results["start_seconds"] = {"processes": seconds_of(partial(_start, Processes(1)))}
    if with_ray:
        results["start_seconds"]["ray"] = seconds_of(partial(_start, Ray(workers=1)))
    return {name: results[name] for name in FIGURES}


def read_results(path: Path) -> dict[str, Any]:
    """Read a file of results.

    Raises:
        SystemExit: It lacks figures, as files of older versions do.
    """
    results: dict[str, Any] = json.loads(path.read_text())
    missing = [name for name in FIGURES if name not in results]
    missing += [f"work.{item.name}" for item in fields(Work) if item.name not in results.get("work", ())]
    if missing:
        raise SystemExit(
            f"{path} lacks {', '.join(missing)}; another version wrote it: measure again with --output {path}"
        )
    return results


def _map(executor: Any, function: Callable[[int], Any], jobs: int) -> list[tuple[int, Any]]:
    with open_executor(executor) as opened_one:
        return list(opened_one.map(function, range(jobs)))


def _map_nothing(executor: Any, jobs: int) -> None:
    _map(executor, nothing, jobs)


def _start(settings: Any) -> None:
    _map(settings, memory_of, 1)


def _sizes(work: Work, folder: Path) -> tuple[float, float]:
    """Bytes of an episode of a suite, and of a row of a rollout, as they are written."""
    suite = Suite("scale-v1", scenarios(), seeds=(0,), intervene=("road",), max_seconds=work.drive_seconds)
    run_suite(make_policy(), suite, folder=folder / "suite")
    episode = (folder / "suite" / "episodes.jsonl").stat().st_size
    round_folder = folder / "learner" / "rounds" / "round_000"
    return episode, sum(p.stat().st_size for p in round_folder.rglob("*") if p.is_file()) / work.rows


@dataclass(frozen=True)
class Cluster:
    """Constants of a cluster that can't be measured here.

    Attributes:
        nodes: number of nodes.
        cores: cores of a node.
        network: bytes/s into the node that collects.
        disk: bytes/s of the shared folder.
        files: small files that the shared folder makes per second.
        submit: s to submit a SLURM array.
        queue: s from there to the first task.
        tasks: Ray tasks that one driver hands out per second.
    """

    nodes: int = 100
    cores: int = 32
    network: float = 1.25e9
    disk: float = 5e8
    files: float = 2000.0
    submit: float = 1.0
    queue: float = 30.0
    tasks: float = 1000.0


def model(
    results: dict[str, Any], cluster: Cluster, suites: int = 10_000, drives: int = 30
) -> list[list[str]]:
    """Seconds on a cluster, and what would hold it up, as rows of text.

    Work is shared among cores, each as quick as one of this machine. Everything else is done by one place for
    all: the node that collects, the shared folder, the scheduler. The longest of these times counts.
    """
    work = Work(**results["work"])
    one = "1 process (this one)"
    # A drive of a lap at 10 m/s and one of this run take time in proportion to their steps.
    lap = 110.0
    drive = results["cpu_seconds"]["suite"][one] / work.drives * lap / work.drive_seconds
    row = results["cpu_seconds"]["rollouts of a round"][one] / (work.rollouts * work.frames)
    episode = results["episode_bytes"] * lap / work.drive_seconds
    handling = min(ms for name, ms in results["job_ms"].items() if name != one) / 1000
    cores = cluster.nodes * cluster.cores
    titles = ("computing", "network", "disk", "files", "scheduler")
    rows = [["", "jobs", *(f"{title}, s" for title in titles), "limit", "speed-up"]]
    bytes_of_rollout = 1000 * results["rollout_bytes"]
    cases = {
        "a suite of 30 drives": (30, drive, episode, 0.0),
        "10,000 suites of 30 drives": (300_000, drive, episode, 0.0),
        "a round of 100 rollouts of 1,000 rows": (100, 1000 * row, bytes_of_rollout, 1000.0),
        "a round of 3,200 rollouts of 1,000 rows": (3200, 1000 * row, bytes_of_rollout, 1000.0),
    }
    for name, (jobs, seconds, size, files) in cases.items():
        times = {
            "computing": -(-jobs // cores) * seconds,
            "network": jobs * size / cluster.network,
            "disk": jobs * size / cluster.disk,
            "files": jobs * files / cluster.files,
            "scheduler": jobs * max(handling, 1 / cluster.tasks),
        }
        limit = max(times, key=lambda key: times[key])
        speed_up = jobs * seconds / times[limit]
        texts = [f"{value:,.1f}" for value in times.values()]
        rows.append([name, f"{jobs:,}", *texts, limit, f"{speed_up:,.0f}"])
    return rows


def show(results: dict[str, Any], cluster: Cluster) -> None:
    """Print all figures."""
    seconds = results["seconds"]
    names = list(next(iter(seconds.values())))
    one = names[0]
    print(f"Speed relative to one process, on {results['cores']} cores; in brackets seconds\n")
    cpu = results["cpu_seconds"]
    rows = [["", *names, f"{results['workers']} processes that start for it", "cores busy with one process"]]
    for kind, row in seconds.items():
        started = results["seconds_with_start"][kind]
        cells = [f"{row[one] / value:.2f} ({value:.1f})" for value in (*(row[n] for n in names), started)]
        rows.append([kind, *cells, f"{cpu[kind][one] / row[one]:.2f}"])
    print(table(rows, header=True))
    print("\nWhere one process keeps more than a core busy, as threads prepare images, processes gain less.")
    print("\nProcessor time relative to one process, which other programs do not disturb; 1 is no overhead\n")
    rows = [["", *names]]
    for kind, row in cpu.items():
        rows.append([kind, *(f"{row[name] / row[one]:.2f} ({row[name]:.1f})" for name in names)])
    print(table(rows, header=True))
    batched, single = (cpu[kind][one] for kind in (f"suite, {CARS} cars at once", "suite"))
    quicker = f"{single / batched:.2f} times one car at a time"
    print(f"\n{CARS} cars at once on one core: {quicker}, in processor time")
    print("\nProcessor time of a car's step, ms\n")
    parts = list(next(iter(results["step_ms"].values())))
    rows = [["cars at once", *parts]]
    rows += [[cars, *(f"{row[part]:.2f}" for part in parts)] for cars, row in results["step_ms"].items()]
    print(table(rows, header=True))
    print("\nWhat a worker costs\n")
    rows = [["", "a job, ms", "memory, MB"]]
    rows += [[n, f"{results['job_ms'][n]:.1f}", f"{results['worker_mb'][n]:.0f}"] for n in names]
    print(table(rows, header=True))
    starts = ", ".join(f"{name} {value:.1f} s" for name, value in results["start_seconds"].items())
    print(f"\nFrom nothing to the first job done in an environment: {starts}")
    print(f"\nA model on paper: {cluster}\n")
    print(table(model(results, cluster), header=True))
    print(f"\nSLURM adds {cluster.submit + cluster.queue:.0f} s before the first task begins.")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--repeats", type=int, default=3, help="measurements of each, of which the median counts"
    )
    parser.add_argument("--workers", type=int, nargs="+", default=[1, os.cpu_count() or 1])
    parser.add_argument("--ray", action=argparse.BooleanOptionalAction, default=True, help="measure Ray, too")
    parser.add_argument("--quick", action="store_true", help="little work, to see that everything runs")
    parser.add_argument("--output", type=Path, help="file to write the figures to")
    parser.add_argument("--read", type=Path, help="show the figures of such a file instead of measuring")
    options = parser.parse_args()
    work = Work(4, 2.0, 30, 4, 2, 60, 1, 30) if options.quick else Work()
    if options.read is not None:
        results = read_results(options.read)
    else:
        results = measure(work, sorted(set(options.workers)), options.repeats, options.ray)
    if options.output is not None:
        write_whole(options.output, json.dumps(results, indent=1) + "\n")
    show(results, Cluster())


if __name__ == "__main__":
    main()
