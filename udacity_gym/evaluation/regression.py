"""Compare a comparison with an earlier one, for continuous integration: `changes_since`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from udacity_gym.errors import OptionError, UdacityGymError
from udacity_gym.evaluation.measures import MEASURES, Measure
from udacity_gym.evaluation.statistics import Estimate, difference
from udacity_gym.evaluation.suite_result import FORMAT, VERSION, Comparison
from udacity_gym.text import table

OUTCOMES = (
    "autonomy", "clean_laps", "completed_laps", "interventions_per_km", "stuck_per_lap", "falls_per_lap",
)  # fmt: skip
"""Names of the measures that say whether a policy drives, rather than how."""

SMALLEST = 1e-6
"""Difference that is none, between numbers that were rounded differently."""


@dataclass(frozen=True)
class Change:
    """Change of a measure of a policy.

    Attributes:
        policy: name of the policy.
        measure: the measure.
        before: its earlier estimate.
        now: its present estimate.
        difference: the present one minus the earlier one, with its 95 % interval.
    """

    policy: str
    measure: Measure
    before: Estimate
    now: Estimate
    difference: Estimate

    @property
    def verdict(self) -> Literal["worse", "better", "no change", "unknown"]:
        """Whether the interval of the difference is on one side of 0; "unknown" without an interval."""
        low, high = self.difference.low, self.difference.high
        if math.isnan(low) or math.isnan(high):
            return "unknown"
        if low <= SMALLEST and high >= -SMALLEST:
            return "no change"
        return "better" if (low > 0) == (self.measure.better == "more") else "worse"


def changes_since(path: str | Path, comparison: Comparison) -> list[Change]:
    """Changes of the outcomes since an earlier comparison.

    A policy is compared with the one of its name, or, if each comparison has a single one, with that.

    Args:
        path: ``comparison.json`` of the earlier comparison.
        comparison: the present one.

    Raises:
        OptionError: The earlier comparison is of another suite, or has none of the policies.
        UdacityGymError: The file can't be read, or is no comparison.
    """
    earlier = _read(Path(path))
    if earlier["suite"] != comparison.suite.name:
        raise OptionError(f"{path} is of the suite {earlier['suite']}, not of {comparison.suite.name}")
    now = comparison.table()
    before: Mapping[str, Any] = earlier["policies"]
    pairs = {name: name for name in now if name in before}
    if not pairs and len(now) == len(before) == 1:
        pairs = {next(iter(now)): next(iter(before))}
    if not pairs:
        raise OptionError(f"{path} has {', '.join(before)}, and none of {', '.join(now)}")
    changes = []
    for name, earlier_name in pairs.items():
        for measure in MEASURES:
            if measure.name not in OUTCOMES or measure.name not in before[earlier_name]:
                continue
            old, new = _estimate(before[earlier_name][measure.name]), now[name][measure.name]
            if not (math.isnan(old.value) or math.isnan(new.value)):
                changes.append(Change(name, measure, old, new, difference(new, old)))
    return changes


def changes_table(changes: Sequence[Change]) -> str:
    """Changes as lines of text."""
    rows = [["policy", "measure", "before", "now", "difference", ""]]
    for change in changes:
        digits, scale = change.measure.digits, change.measure.scale
        estimates = (change.before, change.now, change.difference)
        texts = [estimate.text(digits, scale) for estimate in estimates]
        rows.append([change.policy, change.measure.title, *texts, change.verdict])
    return table(rows, header=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if data.get("format", FORMAT) != FORMAT or data.get("version", 1) not in (1, VERSION):
            raise ValueError(f"'format' must be {FORMAT!r} and 'version' 1 or {VERSION}")
        for name in ("suite", "policies"):
            data[name]
        for row in data["policies"].values():
            for values in row.values():
                _estimate(values)
    except OSError as error:
        raise UdacityGymError(f"can't read the comparison {path}: {error.strerror}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UdacityGymError(f"{path} is no comparison.json of udacity-gym evaluate: {error!r}") from error
    return data


def _estimate(values: Mapping[str, Any]) -> Estimate:
    numbers = [math.nan if values[key] is None else float(values[key]) for key in ("value", "low", "high")]
    return Estimate(numbers[0], numbers[1], numbers[2], int(values["drives"]))
