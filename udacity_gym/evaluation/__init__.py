"""Judging policies by driving: `evaluate` for one drive, `run_suite` and `compare` for many of several.

Figures, their intervals, videos and reports.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from udacity_gym.evaluation.metrics import autonomy
from udacity_gym.evaluation.result import Evaluation, Incident, Trajectory
from udacity_gym.evaluation.runner import EvaluationStep, evaluate
from udacity_gym.evaluation.statistics import Estimate, bootstrap_estimate, mean_estimate, spearman
from udacity_gym.evaluation.suite_result import Comparison, SuiteResult, compare
from udacity_gym.evaluation.suite_runner import ForEachTrack, run_suite
from udacity_gym.evaluation.suites import SUITES, Scenario, Suite, scenarios

if TYPE_CHECKING:
    from udacity_gym.evaluation.comparison_report import write_comparison
    from udacity_gym.evaluation.report import write_report
    from udacity_gym.evaluation.video import DriveVideo

__all__ = [
    "SUITES",
    "Comparison",
    "DriveVideo",
    "Estimate",
    "Evaluation",
    "EvaluationStep",
    "ForEachTrack",
    "Incident",
    "Scenario",
    "Suite",
    "SuiteResult",
    "Trajectory",
    "autonomy",
    "bootstrap_estimate",
    "compare",
    "evaluate",
    "mean_estimate",
    "run_suite",
    "scenarios",
    "spearman",
    "write_comparison",
    "write_report",
]

_LATER = {
    "DriveVideo": "udacity_gym.evaluation.video",
    "write_comparison": "udacity_gym.evaluation.comparison_report",
    "write_report": "udacity_gym.evaluation.report",
}
"""What needs OpenCV or matplotlib, imported when it is first used."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
