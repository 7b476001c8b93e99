"""Judging policies by driving: `evaluate` and what it finds."""

from udacity_gym.evaluation.metrics import autonomy
from udacity_gym.evaluation.result import Evaluation, Incident, Trajectory
from udacity_gym.evaluation.runner import Step, evaluate

__all__ = ["Evaluation", "Incident", "Step", "Trajectory", "autonomy", "evaluate"]
