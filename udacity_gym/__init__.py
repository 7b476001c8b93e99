"""Udacity's self-driving-car simulator as a Gymnasium environment.

Importing this package registers ``UdacitySim-v0`` with Gymnasium and does nothing else: what is
heavy (numba, OpenCV, pandas, socket.io) is imported when it is first needed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import gymnasium

if TYPE_CHECKING:
    from udacity_gym.env import UdacityEnv
    from udacity_gym.vector import UdacityVectorEnv

__version__ = "0.1.0"

ENV_ID = "UdacitySim-v0"
"""Id of the environment in Gymnasium's registry."""

_ATTRIBUTES = {"UdacityEnv": "udacity_gym.env", "UdacityVectorEnv": "udacity_gym.vector"}
_SUBMODULES = ("errors", "evaluation", "experts", "recording", "rewards", "telemetry", "wrappers")

__all__ = ["ENV_ID", "UdacityEnv", "UdacityVectorEnv", "__version__"]

if ENV_ID not in gymnasium.registry:
    gymnasium.register(
        id=ENV_ID,
        entry_point="udacity_gym.env:UdacityEnv",
        vector_entry_point="udacity_gym.vector:UdacityVectorEnv",
    )


def __getattr__(name: str) -> Any:
    if name in _ATTRIBUTES:
        return getattr(importlib.import_module(_ATTRIBUTES[name]), name)
    if name in _SUBMODULES:
        return importlib.import_module(f"udacity_gym.{name}")
    raise AttributeError(f"module 'udacity_gym' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ATTRIBUTES, *_SUBMODULES})
