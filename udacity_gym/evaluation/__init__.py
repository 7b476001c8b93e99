"""Judging policies by driving: `evaluate`, what it finds, a video and a report of it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from udacity_gym.evaluation.metrics import autonomy
from udacity_gym.evaluation.result import Evaluation, Incident, Trajectory
from udacity_gym.evaluation.runner import Step, evaluate

if TYPE_CHECKING:
    from udacity_gym.evaluation.report import write_report
    from udacity_gym.evaluation.video import DriveVideo

__all__ = [
    "DriveVideo",
    "Evaluation",
    "Incident",
    "Step",
    "Trajectory",
    "autonomy",
    "evaluate",
    "write_report",
]

_LATER = {"DriveVideo": "udacity_gym.evaluation.video", "write_report": "udacity_gym.evaluation.report"}
"""What needs OpenCV or matplotlib, imported when it is first used."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
