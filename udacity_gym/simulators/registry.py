"""Simulators by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from udacity_gym.errors import SimulatorError
from udacity_gym.registry import Registry
from udacity_gym.simulators.base import Simulator, SimulatorSettings

SIMULATORS: Registry[Callable[[SimulatorSettings], Simulator]] = Registry(
    "simulator",
    {
        "embedded": "udacity_gym.simulators.embedded:EmbeddedSimulator",
        "remote": "udacity_gym.simulators.remote:RemoteSimulator",
    },
    expected="a callable (SimulatorSettings) -> Simulator",
    group="udacity_gym.simulators",
)
"""Simulators by name: what makes each of its settings."""


def make_simulator(name: str, settings: SimulatorSettings) -> Simulator:
    """Make a simulator.

    Args:
        name: a name of `SIMULATORS`, or the path of a Unity build: its program, ``.app`` or folder.
        settings: the environment's settings.

    Raises:
        SimulatorError: There is no simulator of that name, and no program at that path.
    """
    if name in SIMULATORS:
        return SIMULATORS.find(name)(settings)
    if not Path(name).expanduser().exists():
        names = ", ".join(map(repr, SIMULATORS.names()))
        raise SimulatorError(f"no simulator {name!r}: neither one of {names} nor a path")
    from udacity_gym.simulators.remote import RemoteOptions, RemoteSimulator
    from udacity_gym.simulators.unity import UnityProcess

    settings.refuse_embedded_only()  # before the program is looked for
    options = dict(settings.options)
    launcher = UnityProcess(name, options.pop("arguments", ()))
    return RemoteSimulator(settings, RemoteOptions.read(options), launcher)
