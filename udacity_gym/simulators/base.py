"""The interface of all simulators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from typing_extensions import Self

from udacity_gym.errors import SimulatorError
from udacity_gym.telemetry import Capabilities, Control, Image, Telemetry


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
