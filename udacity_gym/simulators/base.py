"""The interface of all simulators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Self

from udacity_gym.checks import check_integer, check_number, is_number
from udacity_gym.conditions import ConditionsLike, read_conditions
from udacity_gym.errors import OptionError, SimulatorError
from udacity_gym.sensors import IMAGE_SIZE, check_field_of_view, check_image_size
from udacity_gym.telemetry import CTRL_DT, Capabilities, Control, Image, Telemetry
from udacity_gym.world.physics.car import CarParameters
from udacity_gym.world.track.track import Track
from udacity_gym.world.track.track_file import MODES

WHY_EMBEDDED = "why others have it not"
"""Key in the metadata of settings that only the embedded simulator has."""
KEPT_TRACKS = 4
"""Number of tracks that the embedded simulator keeps by default."""
_OWN_CAMERAS = {WHY_EMBEDDED: "others send images as they are. Wrap the environment to shrink them"}
_OWN_CAR = {WHY_EMBEDDED: "others have cars of their own"}


@dataclass(frozen=True)
class SimulatorSettings:
    """Settings with which an environment makes its simulator; wrong ones are refused.

    Attributes:
        track: the track; given as a track, the name of a built-in one, or the path of a track file.
        ctrl_dt: duration of a control step in s.
        mode: "autonomous" or "training", as in Udacity's simulator: start pose, and pitch of the body.
        host: address to listen on, for simulators that connect. Anything but loopback lets others connect.
        port: port to listen on, for simulators that connect; Udacity's builds know only 4567.
        cameras: cameras whose images every step returns.
        conditions: weather and light: `Conditions`, a name, or a `Randomization` from which every episode
            draws; None is as in Udacity's simulator.
        image_size: (height, width) of the images in pixels.
        field_of_view: vertical field of view of the cameras in rad; None is Udacity's, 60 degrees.
        car: parameters of the car; None is Udacity's.
        kept_tracks: number of tracks whose worlds and renderers the embedded simulator keeps for later
            episodes.
        options: options of the simulator itself, see `EmbeddedSimulator` and
            `udacity_gym.simulators.remote.RemoteOptions`.

    Raises:
        OptionError: A setting is out of range.
        TrackError: There is no such track.
    """

    track: str | Path | Track = "lake"
    ctrl_dt: float = CTRL_DT
    mode: str = "autonomous"
    host: str = "127.0.0.1"
    port: int = 4567
    cameras: tuple[str, ...] = ("center",)
    conditions: ConditionsLike = None
    image_size: tuple[int, int] = field(default=IMAGE_SIZE, metadata=_OWN_CAMERAS)
    field_of_view: float | None = field(default=None, metadata=_OWN_CAMERAS)
    car: CarParameters | None = field(default=None, metadata=_OWN_CAR)
    kept_tracks: int = KEPT_TRACKS
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checked: dict[str, Any] = {
            "track": Track.load(self.track),
            "ctrl_dt": check_number("ctrl_dt", self.ctrl_dt, positive=True),
            "port": check_integer("port", self.port, 0, 65535),
            "conditions": read_conditions(self.conditions),
            "image_size": check_image_size(self.image_size),
        }
        if self.field_of_view is not None:
            checked["field_of_view"] = check_field_of_view(self.field_of_view)
        if self.mode not in MODES:
            raise OptionError(f"mode must be one of {', '.join(map(repr, MODES))}, got {self.mode!r}")
        if not isinstance(self.host, str):
            raise OptionError(f"host must be an address such as '127.0.0.1', got {self.host!r}")
        if self.car is not None and not _is_car(self.car):
            raise OptionError(
                f"car must be CarParameters of finite numbers, such as CarParameters(), got {self.car!r}"
            )
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def refuse_embedded_only(self) -> None:
        """Refuse what only the embedded simulator has.

        Raises:
            OptionError: Such a setting is not the default; the message names it.
        """
        for setting in fields(self):
            why = setting.metadata.get(WHY_EMBEDDED)
            if why is not None and getattr(self, setting.name) != setting.default:
                raise OptionError(f"{setting.name} is the embedded simulator's alone; {why}")


def _is_car(car: Any) -> bool:
    return isinstance(car, CarParameters) and all(map(is_number, car))


class Simulator(ABC):
    """Simulates the car.

    `reset` starts an episode, `step` applies a control for one control step and returns the telemetry after
    it, `close` releases all resources. A simulator is a context manager that closes itself.

    Attributes:
        ctrl_dt: s of one control step.
    """

    ctrl_dt: float

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What this simulator can do."""

    @abstractmethod
    def reset(self, seed: int | None = None, options: Mapping[str, Any] | None = None) -> Telemetry:
        """Start an episode.

        Args:
            seed: seed of all randomness of the simulator; None goes on with the present generator.
            options: how to start; each simulator documents its own.

        Returns:
            Telemetry at time 0.

        Raises:
            OptionError: An option is unknown or out of range.
            SimulatorError: The simulator can't be reset.
        """

    def check_options(self, options: Mapping[str, Any]) -> None:  # noqa: B027 - optional
        """Check options of `reset` without starting an episode, as far as that can be done now.

        A simulator that connects later checks them in `reset`.

        Args:
            options: as for `reset`.

        Raises:
            TrackError: No such track.
            OptionError: An option is unknown or out of range.
        """

    @abstractmethod
    def step(self, control: Control) -> Telemetry:
        """Apply ``control`` for ``ctrl_dt`` seconds.

        Returns:
            Telemetry caused by the control.

        Raises:
            SimulatorError: The simulator is gone, or was never reset.
        """

    def view(self, name: str, width: int, height: int) -> Image:
        """Draw an image for people, from a camera that the car does not have.

        Args:
            name: "chase" (from behind and above) or "cockpit" (through the windscreen).
            width: pixels.
            height: pixels.

        Returns:
            (height, width, 3) uint8 RGB.

        Raises:
            SimulatorError: This simulator can't draw it.
        """
        raise SimulatorError(f"{type(self).__name__} draws no {name!r} view; use the images of its cameras")

    @abstractmethod
    def close(self) -> None:
        """Release all resources; calling it twice is fine."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
