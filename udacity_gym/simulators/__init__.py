"""Simulators: where the car lives, behind one interface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from udacity_gym.errors import SimulatorError
from udacity_gym.simulators.base import Simulator


@dataclass(frozen=True, slots=True)
class SimulatorSettings:
    """What an environment tells a simulator when it makes one.

    Attributes:
        track: name of a built-in track, or path of a track file.
        ctrl_dt: s of one control step.
        mode: "autonomous" or "training".
        host: address to listen on, for simulators that connect from outside.
        port: port to listen on, likewise.
    """

    track: str
    ctrl_dt: float
    mode: str
    host: str
    port: int


def _embedded(settings: SimulatorSettings) -> Simulator:
    from udacity_gym.simulators.embedded import EmbeddedSimulator

    return EmbeddedSimulator(settings.track, ctrl_dt=settings.ctrl_dt, mode=settings.mode)


SIMULATORS: dict[str, Callable[[SimulatorSettings], Simulator]] = {"embedded": _embedded}
"""Name to what makes that simulator."""


def make_simulator(name: str, settings: SimulatorSettings) -> Simulator:
    """Make a simulator by name.

    Raises:
        SimulatorError: There is no simulator of that name.
    """
    if name not in SIMULATORS:
        raise SimulatorError(
            f"no simulator {name!r}: this version of udacity-gym has only "
            f"{', '.join(map(repr, SIMULATORS))}; connecting to a Unity build "
            '("remote", or the path of one) comes with a later version'
        )
    return SIMULATORS[name](settings)
