"""Evaluate a policy on a suite, in parallel, with resume: `run_suite`."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import gymnasium as gym

from udacity_gym import ENV_ID
from udacity_gym.checks import check_integer
from udacity_gym.driving.driver import Predictor, name_of
from udacity_gym.driving.policy_inputs import cameras_for, image_size_for
from udacity_gym.errors import OptionError, UdacityGymError
from udacity_gym.evaluation.episode_log import Episode, EpisodeLog
from udacity_gym.evaluation.identity import identity_of
from udacity_gym.evaluation.provenance import Provenance
from udacity_gym.evaluation.result import Evaluation
from udacity_gym.evaluation.runner import Trial, evaluate, evaluate_many
from udacity_gym.evaluation.suite_result import EPISODES, SuiteResult
from udacity_gym.evaluation.suites import SUITES, Case, Suite
from udacity_gym.executors.calls import OutputFolder, Shared
from udacity_gym.executors.executor import ExecutorLike, open_executor
from udacity_gym.files import using_folder
from udacity_gym.progress import progress_bar
from udacity_gym.world.track.track import Track

if TYPE_CHECKING:
    from udacity_gym.evaluation.encoders import VideoFormat
    from udacity_gym.experts import Expert


@dataclass(frozen=True)
class ForEachTrack:
    """Make a new driver for every episode from its track, for experts that need the track.

    Attributes:
        make: ``make(track)`` returns a policy or an expert; with several processes it must be picklable.
        name: name of the driver.
    """

    make: Callable[[Track], Any]
    name: str


def run_suite(
    policy: Predictor | Expert | ForEachTrack | str,
    suite: Suite | str,
    *,
    folder: str | Path | None = None,
    executor: ExecutorLike = 1,
    cars: int = 1,
    name: str | None = None,
    identity: str | None = None,
    videos: bool = False,
    video_format: VideoFormat = "webm",
    progress: bool = False,
) -> SuiteResult:
    """Evaluate a policy on a suite.

    The same policy and suite give the same episodes, independent of the executor and of interruptions.

    Args:
        policy: anything with ``predict``, an expert, the name of an expert, or `ForEachTrack`. One object
            drives all episodes of a process, and keeps its own state from one episode to the next. The
            ``reset`` of an expert, if it has one, gets the seed of the case.
        suite: a suite or its name.
        folder: folder of the episodes, a line of JSON each, and of films of incidents; None saves nothing.
            Episodes that are already in the folder are not driven again.
        executor: who drives: a number of processes, or anything that `open_executor` takes. All but 1 need
            a policy that can be pickled, and several processes ``if __name__ == "__main__":`` in a script.
        cars: number of cars that a process drives at once, in one vector environment with one batch of the
            policy, which is quicker. The policy must take batches. What it chooses then differs in the last
            digits from what it chooses for one car, see `udacity_gym.driving.drive_many`.
        name: name of the driver; None for the name of the policy.
        identity: distinguishes this policy from others of that name, such as a version; a folder with
            episodes of another one is refused. None for a hash of the policy, see `identity_of`.
        videos: also make videos of incidents.
        video_format: "webm", or "mp4" with PyAV (the extra "video").
        progress: show a progress bar.

    Returns:
        The episodes and their results.

    Raises:
        OptionError: The suite or expert does not exist, or the policy can't be sent to other processes.
        FailedJobsError: Some drives failed; it has their tracebacks. The others are in the folder.
        UdacityGymError: The folder is not writable, is used by another run, or has episodes of another
            policy or suite, or of a policy that can't be compared with this one.
    """
    suite = SUITES.find(suite) if isinstance(suite, str) else suite
    suite.check()
    check_integer("cars", cars, 1)
    if videos and folder is None:
        raise OptionError("videos need a folder: run_suite(..., folder=...)")
    if videos:
        from udacity_gym.evaluation.encoders import check_format  # needs OpenCV

        check_format(Path(f"film.{video_format}"))
    if isinstance(policy, str):
        policy = _expert(policy)
    driver_name = name or (policy.name if isinstance(policy, ForEachTrack) else name_of(policy))
    path = None if folder is None else Path(folder)
    provenance = Provenance.of_this_process(identity or identity_of(policy))
    with contextlib.ExitStack() as stack:
        log = None
        done: list[Episode] = []
        if path is not None:
            stack.enter_context(using_folder(path))
            is_given = identity is not None
            identity = provenance.policy
            log = EpisodeLog(path / EPISODES, suite, driver_name, identity, identity_is_given=is_given)
            stack.callback(log.close)
            done = log.read()
            if done and identity is None:
                raise UdacityGymError(
                    f"{path} has episodes of {driver_name!r}, but it is unknown whether this is the same: it "
                    "can be neither saved nor pickled; choose another folder, or pass identity=..."
                )
        done_cases = {episode.case for episode in done}
        bar = stack.enter_context(_bar(len(suite), len(done_cases), progress))
        output = None if path is None else stack.enter_context(OutputFolder(path))
        run = Shared(
            _Run(policy, driver_name, suite, output, videos, video_format, provenance), "this policy"
        )
        cases = [case for case in suite if case not in done_cases]
        jobs = [_DriveJob(run, tuple(cases[i : i + cars])) for i in range(0, len(cases), cars)]
        opened = stack.enter_context(open_executor(executor))
        for _, episodes in opened.map(_drive if cars == 1 else partial(_drive_together, cars), jobs):
            for episode in episodes:
                if log is not None:
                    log.add(episode)
                done.append(episode)
                bar.update()
    order = {case: number for number, case in enumerate(suite)}
    done.sort(key=lambda episode: order[episode.case])
    return SuiteResult(suite, driver_name, tuple(done), path)


def _expert(name: str) -> ForEachTrack:
    from udacity_gym.experts import EXPERTS, make_expert

    EXPERTS.find(name)  # raises if it does not exist
    return ForEachTrack(partial(make_expert, name), name)


@dataclass(frozen=True)
class _Run:
    """Settings that all cases of a run share."""

    policy: Any
    name: str
    suite: Suite
    output: OutputFolder | None
    videos: bool
    video_format: VideoFormat
    provenance: Provenance


class _DriveJob(NamedTuple):
    """Cases for an executor."""

    run: Shared[_Run]
    cases: tuple[Case, ...]

    def __str__(self) -> str:
        return ", ".join(map(str, self.cases))


def _drive(job: _DriveJob) -> list[Episode]:
    """Drive a case."""
    run, (case,) = job.run.get(), job.cases
    scenario = case.scenario
    track = Track.load(scenario.track).facing(scenario.direction)
    driver: Any = run.policy.make(track) if isinstance(run.policy, ForEachTrack) else run.policy
    env = gym.make(
        ENV_ID,
        track=track,
        conditions=scenario.conditions,
        image_size=image_size_for(driver),
        cameras=cameras_for(driver),
        disable_env_checker=True,
    )
    with contextlib.closing(env), _driving(run, job.cases) as films:
        evaluation = evaluate(
            driver,
            env,
            run.suite.laps,
            seed=case.seed,
            driver_seed=case.seed,
            max_seconds=run.suite.max_seconds,
            intervene=case.intervene,
            start=run.suite.start(track),
            on_step=films[0],
            provenance=run.provenance,
        )
    return _episodes(run, job.cases, [evaluation], films)


def _drive_together(cars: int, job: _DriveJob) -> list[Episode]:
    """Drive some cases at once."""
    from udacity_gym.vector import UdacityVectorEnv

    run = job.run.get()
    tracks = [Track.load(case.scenario.track).facing(case.scenario.direction) for case in job.cases]
    first = run.policy.make(tracks[0]) if isinstance(run.policy, ForEachTrack) else run.policy
    # A policy drives all cars, as it does not matter on which track it does; experts have a car each.
    policy = first if callable(getattr(first, "predict", None)) else None
    drivers: list[Any] = [None] * len(tracks)
    if policy is None and isinstance(run.policy, ForEachTrack):
        drivers = [run.policy.make(track) for track in tracks]
    elif policy is None:
        drivers = [copy.deepcopy(run.policy) for _ in tracks]
    # Always the same size, so that a policy's sums are rounded alike whatever is left to drive.
    envs = UdacityVectorEnv(
        cars, track=tracks[0], image_size=image_size_for(first), cameras=cameras_for(first)
    )
    with contextlib.closing(envs), _driving(run, job.cases) as films:
        trials = [
            Trial(
                laps=run.suite.laps,
                seed=case.seed,
                max_seconds=run.suite.max_seconds,
                intervene=case.intervene,
                start={"track": track, "conditions": case.scenario.conditions, **run.suite.start(track)},
                driver_seed=case.seed,
                on_step=hook,
                driver=driver,
            )
            for case, track, driver, hook in zip(job.cases, tracks, drivers, films, strict=True)
        ]
        evaluations = evaluate_many(policy, envs, trials, name=run.name, provenance=run.provenance)
    return _episodes(run, job.cases, evaluations, films)


@contextlib.contextmanager
def _driving(run: _Run, cases: Sequence[Case]) -> Iterator[list[Any]]:
    """A hook for each case that films its incidents; None for each if nothing is saved."""
    with contextlib.ExitStack() as stack:
        films: list[Any] = [None] * len(cases)
        if run.output is not None:
            from udacity_gym.evaluation.films import IncidentFilms  # needs OpenCV

            folder = stack.enter_context(run.output.writing())
            films = [IncidentFilms(folder, str(case), run.videos, run.video_format) for case in cases]
        # A drive that was cut short says so in `ended`; the comparison shows it.
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", message="only .* laps are judged")
        yield films


def _episodes(
    run: _Run, cases: Sequence[Case], evaluations: Sequence[Evaluation], films: Sequence[Any]
) -> list[Episode]:
    return [
        Episode(case, evaluation.renamed(run.name), () if hook is None else tuple(hook.films))
        for case, evaluation, hook in zip(cases, evaluations, films, strict=True)
    ]


@contextlib.contextmanager
def _bar(total: int, done: int, show: bool) -> Iterator[Any]:
    with progress_bar(show, total=total, initial=done, unit="drive", desc="driving") as bar:
        yield bar
