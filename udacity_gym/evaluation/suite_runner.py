"""Evaluate a policy on a suite, in parallel, with resume: `run_suite`."""

from __future__ import annotations

import concurrent.futures
import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym

from udacity_gym import ENV_ID
from udacity_gym.checks import check_integer
from udacity_gym.driving.driver import Predictor, name_of
from udacity_gym.driving.executor import Shared, open_executor
from udacity_gym.driving.policy_inputs import image_size_for
from udacity_gym.errors import OptionError, UdacityGymError
from udacity_gym.evaluation.episode_log import Episode, EpisodeLog
from udacity_gym.evaluation.identity import identity_of
from udacity_gym.evaluation.runner import evaluate
from udacity_gym.evaluation.suite_result import EPISODES, SuiteResult
from udacity_gym.evaluation.suites import SUITES, Case, Suite
from udacity_gym.progress import progress_bar
from udacity_gym.world.track.track import Track

if TYPE_CHECKING:
    from udacity_gym.evaluation.encoders import VideoFormat
    from udacity_gym.experts import Expert


@dataclass(frozen=True)
class ForEachTrack:
    """Make a new driver for every episode from its track, for experts that need the track.

    Attributes:
        make: ``make(track)`` returns a policy or an expert; with several processes it must be picklable,
            such as a function of a module or a `functools.partial` of one.
        name: name of the driver.
    """

    make: Callable[[Track], Any]
    name: str


def run_suite(
    policy: Predictor | Expert | ForEachTrack | str,
    suite: Suite | str,
    *,
    folder: str | Path | None = None,
    processes: int = 1,
    executor: concurrent.futures.Executor | None = None,
    name: str | None = None,
    identity: str | None = None,
    videos: bool = False,
    video_format: VideoFormat = "webm",
    progress: bool = False,
) -> SuiteResult:
    """Evaluate a policy on a suite.

    The same policy and suite give the same episodes, independent of the number of processes and of
    interruptions.

    Args:
        policy: anything with ``predict``, an expert, the name of an expert, or `ForEachTrack`. One object
            drives all episodes of a process, and keeps its own state from one episode to the next. The
            ``reset`` of an expert, if it has one, gets the seed of the case.
        suite: a suite or its name.
        folder: folder of the episodes, a line of JSON each, and of films of incidents; None saves nothing.
            Episodes that are already in the folder are not driven again.
        processes: number of parallel processes; more than one need ``if __name__ == "__main__":`` in a
            script, and a policy that can be pickled.
        executor: an executor of `concurrent.futures`, in place of processes of this machine; it is not
            shut down.
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
        UdacityGymError: The folder is not writable, or has episodes of another policy or suite, or of a
            policy that can't be compared with this one.
    """
    suite = SUITES.find(suite) if isinstance(suite, str) else suite
    suite.check()
    check_integer("processes", processes, 1)
    if videos and folder is None:
        raise OptionError("videos need a folder: run_suite(..., folder=...)")
    if videos:
        from udacity_gym.evaluation.encoders import check_format  # needs OpenCV

        check_format(Path(f"film.{video_format}"))
    if isinstance(policy, str):
        policy = _expert(policy)
    driver_name = name or (policy.name if isinstance(policy, ForEachTrack) else name_of(policy))
    path = None if folder is None else Path(folder)
    with contextlib.ExitStack() as stack:
        log = None
        done: list[Episode] = []
        if path is not None:
            is_given = identity is not None
            identity = identity or identity_of(policy)
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
        run = Shared(_Run(policy, driver_name, suite, path, videos, video_format), "this policy")
        jobs = [(run, case) for case in suite if case not in done_cases]
        workers = executor or max(1, min(processes, len(jobs)))
        for _, episode in stack.enter_context(open_executor(workers)).map(_drive, jobs):
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
    folder: Path | None
    videos: bool
    video_format: VideoFormat


def _drive(job: tuple[Shared[_Run], Case]) -> Episode:
    """Drive one case."""
    shared, case = job
    run = shared.get()
    scenario = case.scenario
    track = Track.load(scenario.track).facing(scenario.direction)
    driver: Any = run.policy.make(track) if isinstance(run.policy, ForEachTrack) else run.policy
    env = gym.make(
        ENV_ID,
        track=track,
        conditions=scenario.conditions,
        image_size=image_size_for(driver),
        disable_env_checker=True,
    )
    films: Any = None
    if run.folder is not None:
        from udacity_gym.evaluation.films import IncidentFilms  # needs OpenCV

        films = IncidentFilms(run.folder, str(case), run.videos, run.video_format)
    try:
        with warnings.catch_warnings():
            # A drive that was cut short says so in `ended`; the comparison shows it.
            warnings.filterwarnings("ignore", message="only .* laps are judged")
            evaluation = evaluate(
                driver,
                env,
                run.suite.laps,
                seed=case.seed,
                driver_seed=case.seed,
                max_seconds=run.suite.max_seconds,
                intervene=case.intervene,
                start=run.suite.start(track),
                on_step=films,
            )
    finally:
        env.close()
    return Episode(case, evaluation.renamed(run.name), tuple(films.films) if films is not None else ())


@contextlib.contextmanager
def _bar(total: int, done: int, show: bool) -> Iterator[Any]:
    with progress_bar(show, total=total, initial=done, unit="drive", desc="driving") as bar:
        yield bar
