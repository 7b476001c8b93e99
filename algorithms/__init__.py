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
    from algorithms.checkpoint import load_policy
    from algorithms.learners import find_learner
    from algorithms.networks import NetworkPolicy, PilotNet
    from algorithms.preprocessing import Preprocessing

__all__ = [
    "Augmentation",
    "BehavioralCloning",
    "BehavioralCloningConfig",
    "Learner",
    "NetworkPolicy",
    "PilotNet",
    "Policy",
    "Preprocessing",
    "find_learner",
    "load_policy",
]

_HOME = {
    "Augmentation": "algorithms.augment",
    "BehavioralCloning": "algorithms.bc",
    "BehavioralCloningConfig": "algorithms.bc",
    "Learner": "algorithms.base",
    "NetworkPolicy": "algorithms.networks",
    "PilotNet": "algorithms.networks",
    "Policy": "algorithms.base",
    "Preprocessing": "algorithms.preprocessing",
    "find_learner": "algorithms.learners",
    "load_policy": "algorithms.checkpoint",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
