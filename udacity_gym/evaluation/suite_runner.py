"""Let a policy drive a suite, in several processes if wanted, resumably: `run_suite`."""

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
from udacity_gym.world.track.track import Track

if TYPE_CHECKING:
    from udacity_gym.experts import Expert


@dataclass(frozen=True)
class ForEachTrack:
    """Makes who drives anew for every episode, from its track: for experts that need to know the track.

    Attributes:
        make: ``make(track)`` returns a policy or an expert; with several processes it must be picklable,
            such as a function of a module or a `functools.partial` of one.
        name: who drives.
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
    progress: bool = False,
) -> SuiteResult:
    """Judge a policy by the drives of a suite.

    The same policy and suite give the same episodes, whatever the number of processes and however
    often it was interrupted.

    Args:
        policy: anything with ``predict``, an expert, the name of an expert, or `ForEachTrack`. One object
            drives all episodes of a process; what it remembers other than in ``predict``'s state goes on. An
            expert's ``reset``, if it has one, is given the seed of the case.
        suite: a suite or its name.
        folder: where the episodes are kept, a line of JSON each, and films of what went wrong; None keeps
            nothing. Episodes that are there are not driven again.
        processes: drives at the same time; more than one need ``if __name__ == "__main__":`` in a script,
            and a policy that can be pickled.
        executor: an executor of `concurrent.futures`, in place of processes of this machine; it is not
            shut down.
        name: what to call who drives; None asks the policy.
        identity: what tells this policy from others of that name, such as a version; a folder with episodes
            of another one is refused. None takes a hash of the policy, see `identity_of`.
        videos: also videos of incidents.
        progress: show a progress bar.

    Returns:
        The episodes and what they come to.

    Raises:
        OptionError: There is no such suite or expert, or the policy can't be sent to other processes.
        UdacityGymError: The folder holds episodes of another policy or suite, or of one that nothing tells
            from this one, or can't be written to.
    """
    suite = SUITES.find(suite) if isinstance(suite, str) else suite
    suite.check()
    check_integer("processes", processes, 1)
    if videos and folder is None:
        raise OptionError("videos need a folder to be in: run_suite(..., folder=...)")
    if isinstance(policy, str):
        policy = _expert(policy)
    called = name or (policy.name if isinstance(policy, ForEachTrack) else name_of(policy))
    place = None if folder is None else Path(folder)
    with contextlib.ExitStack() as stack:
        log = None
        done: list[Episode] = []
        if place is not None:
            is_given = identity is not None
            identity = identity or identity_of(policy)
            log = EpisodeLog(place / EPISODES, suite, called, identity, identity_is_given=is_given)
            stack.callback(log.close)
            done = log.read()
            if done and identity is None:
                raise UdacityGymError(
                    f"{place} has episodes of {called!r}, and nothing tells whether this is the same: it can "
                    "be neither saved nor pickled; choose another folder, or give run_suite an identity=..."
                )
        known = {episode.case for episode in done}
        bar = stack.enter_context(_bar(len(suite), len(known), progress))
        run = Shared(_Run(policy, called, suite, place, videos), "this policy")
        jobs = [(run, case) for case in suite if case not in known]
        workers = executor or max(1, min(processes, len(jobs)))
        for _, episode in stack.enter_context(open_executor(workers)).map(_drive, jobs):
            if log is not None:
                log.add(episode)
            done.append(episode)
            bar.update()
    order = {case: number for number, case in enumerate(suite)}
    done.sort(key=lambda episode: order[episode.case])
    return SuiteResult(suite, called, tuple(done), place)


def _expert(name: str) -> ForEachTrack:
    from udacity_gym.experts import EXPERTS, make_expert

    EXPERTS.find(name)  # raises if there is none
    return ForEachTrack(partial(make_expert, name), name)


@dataclass(frozen=True)
class _Run:
    """What all cases of a run have in common."""

    policy: Any
    name: str
    suite: Suite
    folder: Path | None
    videos: bool


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

        films = IncidentFilms(run.folder, str(case), run.videos)
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
    return Episode(case, evaluation.called(run.name), tuple(films.films) if films is not None else ())


@contextlib.contextmanager
def _bar(total: int, done: int, show: bool) -> Iterator[Any]:
    from tqdm import tqdm

    with tqdm(total=total, initial=done, unit="drive", desc="driving", disable=not show) as bar:
        yield bar
