"""Simulators of the car, behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from udacity_gym.conditions import ConditionsLike
from udacity_gym.errors import OptionError, SimulatorError
from udacity_gym.registry import Registry
from udacity_gym.simulators.base import Simulator

if TYPE_CHECKING:
    from udacity_gym.world.physics.car import CarParameters
    from udacity_gym.world.track.track import Track


@dataclass(frozen=True)
class SimulatorSettings:
    """Settings with which an environment makes its simulator.

    Attributes:
        track: the track.
        ctrl_dt: s of one control step.
        mode: "autonomous" or "training".
        host: address to listen on, for simulators that connect from outside.
        port: port to listen on, likewise.
        cameras: cameras whose images every step returns.
        conditions: weather and light; None is as in Udacity's simulator.
        image_size: (height, width) of the images in pixels.
        field_of_view: rad, vertical, of the cameras; None is Udacity's.
        car: parameters of the car; None is Udacity's.
        options: options of the simulator itself: arguments of `EmbeddedSimulator`, or fields of
            `udacity_gym.simulators.remote.RemoteOptions`.
    """

    track: Track
    ctrl_dt: float
    mode: str
    host: str = "127.0.0.1"
    port: int = 4567
    cameras: tuple[str, ...] = ("center",)
    conditions: ConditionsLike = None
    image_size: tuple[int, int] = (160, 320)
    field_of_view: float | None = None
    car: CarParameters | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def _embedded(settings: SimulatorSettings) -> Simulator:
    from udacity_gym.simulators.embedded import EmbeddedSimulator

    unknown = sorted(set(settings.options) - {"jpeg"})
    if unknown:
        raise OptionError(
            f"unknown simulator option {', '.join(map(repr, unknown))}; the embedded one has jpeg"
        )
    return EmbeddedSimulator(
        settings.track,
        ctrl_dt=settings.ctrl_dt,
        mode=settings.mode,
        car=settings.car,
        jpeg=bool(settings.options.get("jpeg")),
        conditions=settings.conditions,
        image_size=settings.image_size,
        field_of_view=settings.field_of_view,
    )


def _remote(settings: SimulatorSettings, binary: str | None = None) -> Simulator:
    from udacity_gym.simulators.remote import RemoteOptions, RemoteSimulator
    from udacity_gym.simulators.unity import UnityProcess

    if settings.image_size != SimulatorSettings.image_size or settings.field_of_view is not None:
        raise OptionError(
            "image_size and field_of_view are the embedded simulator's alone; others send images as they "
            "are. Wrap the environment to shrink them"
        )
    if settings.car is not None:
        raise OptionError("car is the embedded simulator's alone; others have cars of their own")
    options = dict(settings.options)
    arguments = options.pop("arguments", ()) if binary is not None else ()
    return RemoteSimulator(
        settings.host,
        settings.port,
        settings.ctrl_dt,
        track=settings.track,
        mode=settings.mode,
        cameras=settings.cameras,
        options=RemoteOptions.read(options),
        launcher=None if binary is None else UnityProcess(binary, arguments),
        conditions=settings.conditions,
    )


SIMULATORS: Registry[Callable[[SimulatorSettings], Simulator]] = Registry(
    "simulator",
    {"embedded": _embedded, "remote": _remote},
    expected="a callable (SimulatorSettings) -> Simulator",
    group="udacity_gym.simulators",
)
"""Simulators by name: what makes each."""


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
    return _remote(settings, name)
