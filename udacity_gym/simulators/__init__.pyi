from . import (
    base as base,
    embedded as embedded,
    registry as registry,
    remote as remote,
    unity as unity,
)
from .base import Simulator as Simulator, SimulatorSettings as SimulatorSettings
from .registry import SIMULATORS as SIMULATORS, make_simulator as make_simulator
