"""Imitation learners for udacity_gym: they learn from recordings and are judged by driving.

Names are imported when first used, so that ``import algorithms`` is quick and needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from algorithms.augment import Augmentation
    from algorithms.base import Learner, Policy
    from algorithms.bc import BehavioralCloning, BehavioralCloningConfig
    from algorithms.config import TrainingConfig
    from algorithms.dagger import DAgger, DAggerConfig
    from algorithms.data import Frames, PictureCache
    from algorithms.ensemble import Ensemble
    from algorithms.learners import find_learner
    from algorithms.networks import PilotNet
    from algorithms.policy import NetworkPolicy, load_policy
    from algorithms.preprocessing import Preprocessing
    from algorithms.rounds import label_round
    from algorithms.training import Training
    from algorithms.variants import DART, EnsembleDAgger, HGDAgger, SafeDAgger, ThriftyDAgger

__all__ = [
    "DART",
    "Augmentation",
    "BehavioralCloning",
    "BehavioralCloningConfig",
    "DAgger",
    "DAggerConfig",
    "Ensemble",
    "EnsembleDAgger",
    "Frames",
    "HGDAgger",
    "Learner",
    "NetworkPolicy",
    "PictureCache",
    "PilotNet",
    "Policy",
    "Preprocessing",
    "SafeDAgger",
    "ThriftyDAgger",
    "Training",
    "TrainingConfig",
    "find_learner",
    "label_round",
    "load_policy",
]

_HOME = {
    "DART": "algorithms.variants",
    "EnsembleDAgger": "algorithms.variants",
    "HGDAgger": "algorithms.variants",
    "SafeDAgger": "algorithms.variants",
    "ThriftyDAgger": "algorithms.variants",
    "Augmentation": "algorithms.augment",
    "BehavioralCloning": "algorithms.bc",
    "BehavioralCloningConfig": "algorithms.bc",
    "DAgger": "algorithms.dagger",
    "DAggerConfig": "algorithms.dagger",
    "Ensemble": "algorithms.ensemble",
    "Frames": "algorithms.data",
    "Learner": "algorithms.base",
    "NetworkPolicy": "algorithms.policy",
    "PilotNet": "algorithms.networks",
    "PictureCache": "algorithms.data",
    "Policy": "algorithms.base",
    "Preprocessing": "algorithms.preprocessing",
    "find_learner": "algorithms.learners",
    "Training": "algorithms.training",
    "TrainingConfig": "algorithms.config",
    "label_round": "algorithms.rounds",
    "load_policy": "algorithms.policy",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
