"""What a suite found: `SuiteResult`, and several of them side by side: `compare`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udacity_gym.errors import OptionError
from udacity_gym.evaluation.episode_log import Episode, read_log
from udacity_gym.evaluation.measures import HELPED, MEASURES, Measure
from udacity_gym.evaluation.result import Criterion, Evaluation
from udacity_gym.evaluation.statistics import Estimate, bhattacharyya, mean_estimate
from udacity_gym.evaluation.suites import Scenario, Suite
from udacity_gym.text import table

EPISODES = "episodes.jsonl"
"""Name of the file of episodes in a result's folder."""

METHOD = "mean of the drives with its 95 % interval by Student's t over them"
"""How figures come about, for people."""


@dataclass(frozen=True, repr=False)
class SuiteResult:
    """A policy's drives of a suite; prints as a table.

    Attributes:
        suite: which drives.
        policy: who drove.
        episodes: in the suite's order; fewer than its cases if it was interrupted.
        folder: where films are, None if nothing was kept.
    """

    suite: Suite
    policy: str
    episodes: tuple[Episode, ...]
    folder: Path | None = None

    @staticmethod
    def load(path: str | Path) -> SuiteResult:
        """Read what `run_suite` has kept.

        Args:
            path: its folder, or the file of episodes.

        Raises:
            UdacityGymError: There is nothing, or something else.
        """
        path = Path(path)
        path = path / EPISODES if path.is_dir() else path
        suite, policy, episodes = read_log(path)
        order = {case: number for number, case in enumerate(suite)}
        return SuiteResult(suite, policy, tuple(sorted(episodes, key=lambda e: order[e.case])), path.parent)

    @property
    def complete(self) -> bool:
        """Whether all cases were driven."""
        return len(self.episodes) == len(self.suite)

    def drives(
        self, wanted: Sequence[Criterion] = HELPED, scenario: Scenario | None = None
    ) -> list[Evaluation]:
        """Drives that were put back for the first of some criteria that the suite has.

        Args:
            wanted: criteria in order of preference.
            scenario: only there; None is everywhere.
        """
        criterion = next((c for c in wanted if c in self.suite.intervene), None)
        return [
            e.evaluation
            for e in self.episodes
            if e.case.intervene == criterion and scenario in (None, e.case.scenario)
        ]

    def measure(self, measure: Measure, scenario: Scenario | None = None) -> Estimate:
        """A measure over the drives that tell it: mean, and 95 % interval of Student's t.

        Args:
            measure: which one.
            scenario: only there; None is everywhere.
        """
        values = [measure.of(drive) for drive in self.drives(measure.drives, scenario)]
        return mean_estimate(values, measure.lowest, measure.highest)

    def measures(
        self, scenario: Scenario | None = None, human: NDArray[np.floating[Any]] | None = None
    ) -> dict[str, Estimate]:
        """All measures by name.

        Args:
            scenario: only there; None is everywhere.
            human: (n,) steering of a human's recording; adds "steering_distance", see `steering_distance`.
        """
        return {m.name: self.measure(m, scenario) for m in all_measures(human)}

    def __repr__(self) -> str:
        return f"<SuiteResult: {self.policy} on {self.suite.name}, {len(self.episodes)} drives>"

    def __str__(self) -> str:
        return str(compare([self]))


def steering_distance(human: NDArray[np.floating[Any]]) -> Measure:
    """The Bhattacharyya distance between the histograms of a drive's steering and of a human's.

    Args:
        human: (n,) steering of a recording, [-1, 1].
    """
    return Measure(
        "steering_distance",
        "steering, distance to the human's",
        lambda drive: bhattacharyya(drive.trajectory.steering, human),
        (*HELPED, "road"),
    )


def all_measures(human: NDArray[np.floating[Any]] | None = None) -> tuple[Measure, ...]:
    """The measures there are, with that of a human's steering where there is one."""
    return MEASURES if human is None else (*MEASURES, steering_distance(human))


@dataclass(frozen=True, repr=False)
class Comparison:
    """Several policies' drives of one suite; prints as a table.

    Attributes:
        suite: which drives.
        results: a policy each.
        human: (n,) steering of a human's recording that theirs is compared with, None for none.
    """

    suite: Suite
    results: tuple[SuiteResult, ...]
    human: NDArray[np.floating[Any]] | None = None

    def table(self) -> dict[str, dict[str, Estimate]]:
        """Policy to measure to figure."""
        return {result.policy: result.measures(human=self.human) for result in self.results}

    def told(self) -> tuple[Measure, ...]:
        """The measures that at least one of them tells."""
        table = self.table()
        return tuple(
            m
            for m in all_measures(self.human)
            if any(not math.isnan(row[m.name].value) for row in table.values())
        )

    def best(self, measure: Measure) -> tuple[str, ...]:
        """Who is best by a measure; several if equal, none if neither more nor less of it is better."""
        if not measure.better:
            return ()
        pick: Callable[[Iterable[float]], float] = max if measure.better == "more" else min
        values = {policy: row[measure.name].value for policy, row in self.table().items()}
        known = [value for value in values.values() if not math.isnan(value)]
        if len(known) < min(2, len(values)):  # nothing to be better than
            return ()
        return tuple(p for p, v in values.items() if v == pick(known))

    def differences(self, measure: Measure) -> Mapping[str, Estimate]:
        """By how much the others differ from the first, drive by drive from the same starts.

        Args:
            measure: of what.

        Returns:
            Policy to the mean difference with its 95 % interval, of paired drives (Student's t).
        """
        first, *others = self.results
        found = {}
        for other in others:
            pairs = _paired(first, other, measure)
            found[other.policy] = mean_estimate([b - a for a, b in pairs])
        return found

    def summary(self) -> dict[str, Any]:
        """The figures as JSON can hold them; what is not known is None."""

        def plain(value: float) -> float | None:
            return value if math.isfinite(value) else None

        return {
            "suite": self.suite.name,
            "method": METHOD,
            "policies": {
                policy: {
                    name: {
                        "value": plain(e.value),
                        "low": plain(e.low),
                        "high": plain(e.high),
                        "drives": e.n,
                    }
                    for name, e in row.items()
                }
                for policy, row in self.table().items()
            },
        }

    def __repr__(self) -> str:
        return f"<Comparison: {', '.join(r.policy for r in self.results)} on {self.suite.name}>"

    def __str__(self) -> str:
        estimates = self.table()
        rows = [
            [
                measure.title,
                *(row[measure.name].text(measure.digits, measure.scale) for row in estimates.values()),
            ]
            for measure in self.told()
        ]
        return f"{self.suite.name}: {METHOD}\n{table([['', *estimates], *rows])}"


def compare(
    results: Iterable[SuiteResult | str | Path], human: NDArray[np.floating[Any]] | None = None
) -> Comparison:
    """Put several policies' drives of one suite side by side.

    Args:
        results: what `run_suite` returned, or its folders.
        human: (n,) steering of a human's recording, [-1, 1].

    Returns:
        Prints as a table; `udacity_gym.evaluation.write_comparison` makes a report of it.

    Raises:
        OptionError: There is none, they are of different suites, or two policies have one name.
    """
    loaded = tuple(r if isinstance(r, SuiteResult) else SuiteResult.load(r) for r in results)
    if not loaded:
        raise OptionError("there is nothing to compare")
    suites = {result.suite.name for result in loaded}
    if any(result.suite != loaded[0].suite for result in loaded):
        raise OptionError(f"only drives of the same suite can be compared, these are of {', '.join(suites)}")
    names = [result.policy for result in loaded]
    if len(set(names)) < len(names):
        raise OptionError(
            f"policies need names of their own to be compared: run_suite(..., name=...), got {names}"
        )
    return Comparison(loaded[0].suite, loaded, human)


def _paired(a: SuiteResult, b: SuiteResult, measure: Measure) -> list[tuple[float, float]]:
    """The measure of drives that both have, from the same start each."""
    criterion = next((c for c in measure.drives if c in a.suite.intervene), None)
    other = {episode.case: episode.evaluation for episode in b.episodes}
    return [
        (measure.of(episode.evaluation), measure.of(other[episode.case]))
        for episode in a.episodes
        if episode.case.intervene == criterion and episode.case in other
    ]
