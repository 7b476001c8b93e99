"""Results of a suite: `SuiteResult`; comparison of several: `compare`."""

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
from udacity_gym.evaluation.provenance import Provenance
from udacity_gym.evaluation.result import Criterion, Evaluation
from udacity_gym.evaluation.statistics import Estimate, bhattacharyya, mean_estimate, wilson_estimate
from udacity_gym.evaluation.suites import Scenario, Suite
from udacity_gym.text import count, table

EPISODES = "episodes.jsonl"
"""Name of the file of episodes in the folder of a result."""

FORMAT = "udacity-gym-comparison"
VERSION = 2
"""Version 1, without format and version, has neither provenance nor differences from the control arm."""

CONTROLLED = MEASURES[0]
"""Measure that is compared with the control arm: autonomy."""

METHOD = "mean over the drives with its 95 % interval by Student's t, of N by Wilson's"
"""Description of the values in tables."""


@dataclass(frozen=True, repr=False)
class SuiteResult:
    """Results of a policy on a suite. Prints as a table.

    Attributes:
        suite: the suite.
        policy: name of the policy or expert.
        episodes: finished drives in the order of the suite; fewer than its cases if interrupted.
        folder: folder of the results and films, None if nothing was saved.
    """

    suite: Suite
    policy: str
    episodes: tuple[Episode, ...]
    folder: Path | None = None

    @staticmethod
    def load(path: str | Path) -> SuiteResult:
        """Read the results of `run_suite`.

        Args:
            path: the folder, or the file of episodes.

        Raises:
            UdacityGymError: The file is missing or not a log of episodes.
        """
        path = Path(path)
        path = path / EPISODES if path.is_dir() else path
        suite, policy, episodes = read_log(path)
        order = {case: number for number, case in enumerate(suite)}
        return SuiteResult(suite, policy, tuple(sorted(episodes, key=lambda e: order[e.case])), path.parent)

    @property
    def complete(self) -> bool:
        """Whether all cases are finished."""
        return len(self.episodes) == len(self.suite)

    def drives(
        self, criteria: Sequence[Criterion] = HELPED, scenario: Scenario | None = None
    ) -> list[Evaluation]:
        """Drives with the first of some criteria that the suite has.

        Args:
            criteria: criteria for putting the car back, in order of preference.
            scenario: only drives of this scenario; None for all.
        """
        criterion = next((c for c in criteria if c in self.suite.intervene), None)
        return [
            e.evaluation
            for e in self.episodes
            if e.case.intervene == criterion and scenario in (None, e.case.scenario)
        ]

    def measure(self, measure: Measure, scenario: Scenario | None = None) -> Estimate:
        """Mean of a measure over the drives, with the 95 % interval of Student's t, or of Wilson for counts.

        Args:
            measure: the measure.
            scenario: only drives of this scenario; None for all.
        """
        if measure.counts is not None:
            counts = [measure.counts(drive) for drive in self.drives(measure.drives, scenario)]
            return wilson_estimate(sum(c[0] for c in counts), sum(c[1] for c in counts))
        values = [measure.of(drive) for drive in self.drives(measure.drives, scenario)]
        return mean_estimate(values, measure.lowest, measure.highest)

    def measures(
        self, scenario: Scenario | None = None, human: NDArray[np.floating[Any]] | None = None
    ) -> dict[str, Estimate]:
        """All measures by name.

        Args:
            scenario: only drives of this scenario; None for all.
            human: (n,) steering of a recording of a human; adds "steering_distance", see `steering_distance`.
        """
        return {m.name: self.measure(m, scenario) for m in all_measures(human)}

    def against_control(self, measure: Measure) -> dict[Scenario, Estimate]:
        """What other conditions change: differences from the drives in clear ones, paired by start.

        Args:
            measure: the measure.

        Returns:
            Mean difference with its 95 % interval (Student's t) for each scenario that has a control, see
            `Suite.control_of`.
        """
        criterion = next((c for c in measure.drives if c in self.suite.intervene), None)
        drives = {
            (e.case.scenario, e.case.seed): measure.of(e.evaluation)
            for e in self.episodes
            if e.case.intervene == criterion
        }
        differences = {}
        for scenario in self.suite.scenarios:
            control = self.suite.control_of(scenario)
            if control is not None:
                pairs = [(scenario, seed) for seed in self.suite.seeds if (scenario, seed) in drives]
                differences[scenario] = mean_estimate(
                    [drives[pair] - drives.get((control, pair[1]), math.nan) for pair in pairs]
                )
        return differences

    @property
    def provenances(self) -> tuple[Provenance, ...]:
        """Where the episodes come from; several if the suite was resumed by another version or command."""
        found = (episode.evaluation.provenance for episode in self.episodes)
        unique: list[Provenance] = []
        for provenance in found:
            if provenance is not None and provenance not in unique:
                unique.append(provenance)
        return tuple(unique)

    def __repr__(self) -> str:
        return f"<SuiteResult: {self.policy} on {self.suite.name}, {count(len(self.episodes), 'drive')}>"

    def __str__(self) -> str:
        return str(compare([self]))


def steering_distance(human: NDArray[np.floating[Any]]) -> Measure:
    """Measure: Bhattacharyya distance between the steering histograms of a drive and of a human.

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
    """All measures; with the steering of a human, also the distance to it."""
    return MEASURES if human is None else (*MEASURES, steering_distance(human))


@dataclass(frozen=True, repr=False)
class Comparison:
    """Results of several policies on one suite. Prints as a table.

    Attributes:
        suite: the suite.
        results: results of each policy.
        human: (n,) steering of a recording of a human, for comparison; None for none.
    """

    suite: Suite
    results: tuple[SuiteResult, ...]
    human: NDArray[np.floating[Any]] | None = None

    def table(self) -> dict[str, dict[str, Estimate]]:
        """Estimates by policy and name of the measure."""
        return {result.policy: result.measures(human=self.human) for result in self.results}

    def available_measures(self) -> tuple[Measure, ...]:
        """Measures that have a value for at least one policy."""
        table = self.table()
        return tuple(
            m
            for m in all_measures(self.human)
            if any(not math.isnan(row[m.name].value) for row in table.values())
        )

    def best(self, measure: Measure) -> tuple[str, ...]:
        """Best policies by a measure; several if equal, none if the measure has no direction."""
        if not measure.better:
            return ()
        pick: Callable[[Iterable[float]], float] = max if measure.better == "more" else min
        values = {policy: row[measure.name].value for policy, row in self.table().items()}
        numbers = [value for value in values.values() if not math.isnan(value)]
        if len(numbers) < min(2, len(values)):  # nothing to compare with
            return ()
        return tuple(p for p, v in values.items() if v == pick(numbers))

    def differences(self, measure: Measure) -> Mapping[str, Estimate]:
        """Differences of the other policies from the first one, paired by start.

        Args:
            measure: the measure.

        Returns:
            Mean difference of each policy with its 95 % interval, of paired drives (Student's t).
        """
        first, *others = self.results
        differences = {}
        for other in others:
            pairs = _paired(first, other, measure)
            differences[other.policy] = mean_estimate([b - a for a, b in pairs])
        return differences

    def summary(self) -> dict[str, Any]:
        """Results as data for JSON; unknown values are None."""

        def plain(value: float) -> float | None:
            return value if math.isfinite(value) else None

        return {
            "format": FORMAT,
            "version": VERSION,
            "suite": self.suite.name,
            "method": METHOD,
            "provenance": {r.policy: [p.to_data() for p in r.provenances] for r in self.results},
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
            "against_control": {
                result.policy: {
                    str(scenario): {"value": plain(e.value), "low": plain(e.low), "high": plain(e.high)}
                    for scenario, e in result.against_control(CONTROLLED).items()
                }
                for result in self.results
            },
        }

    def __repr__(self) -> str:
        return f"<Comparison: {', '.join(r.policy for r in self.results)} on {self.suite.name}>"

    def __str__(self) -> str:
        estimates = self.table()
        rows = [
            [
                measure.title,
                *(_text(measure, row[measure.name]) for row in estimates.values()),
            ]
            for measure in self.available_measures()
        ]
        for scenario in self.suite.scenarios:
            control = self.suite.control_of(scenario)
            if control is not None:
                found = [result.against_control(CONTROLLED)[scenario] for result in self.results]
                texts = [e.text(CONTROLLED.digits, CONTROLLED.scale) for e in found]
                rows.append([f"{CONTROLLED.title}: {scenario}, minus {control}", *texts])
        return f"{self.suite.name}: {METHOD}\n{table([['', *estimates], *rows])}"


def _text(measure: Measure, estimate: Estimate) -> str:
    text = estimate.text(measure.digits, measure.scale)
    return text if measure.counts is None or not estimate.n else f"{text} of {estimate.n}"


def compare(
    results: Iterable[SuiteResult | str | Path], human: NDArray[np.floating[Any]] | None = None
) -> Comparison:
    """Compare several policies on one suite.

    Args:
        results: results of `run_suite`, or their folders.
        human: (n,) steering of a recording of a human, [-1, 1].

    Returns:
        The comparison, which prints as a table. `udacity_gym.evaluation.write_comparison` writes a report.

    Raises:
        OptionError: There are no results, the suites differ, or two policies have the same name.
    """
    loaded = tuple(r if isinstance(r, SuiteResult) else SuiteResult.load(r) for r in results)
    if not loaded:
        raise OptionError("there is nothing to compare")
    suites = {result.suite.name for result in loaded}
    if any(result.suite != loaded[0].suite for result in loaded):
        raise OptionError(f"only drives of the same suite can be compared, these are of {', '.join(suites)}")
    names = [result.policy for result in loaded]
    if len(set(names)) < len(names):
        raise OptionError(f"compared policies need different names: run_suite(..., name=...), got {names}")
    return Comparison(loaded[0].suite, loaded, human)


def _paired(a: SuiteResult, b: SuiteResult, measure: Measure) -> list[tuple[float, float]]:
    """Pairs of the measure for drives that both results have, with the same start."""
    criterion = next((c for c in measure.drives if c in a.suite.intervene), None)
    other = {episode.case: episode.evaluation for episode in b.episodes}
    return [
        (measure.of(episode.evaluation), measure.of(other[episode.case]))
        for episode in a.episodes
        if episode.case.intervene == criterion and episode.case in other
    ]
