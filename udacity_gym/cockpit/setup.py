"""What is driven in the cockpit, and who drives: `Setup`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import gymnasium

from udacity_gym.conditions import Conditions
from udacity_gym.driving.decision import HUMAN
from udacity_gym.errors import OptionError
from udacity_gym.telemetry import VIEWS


@dataclass(frozen=True)
class Setup:
    """What is driven, and who drives.

    Attributes:
        simulator: "embedded", "remote", or the path of a Unity build; see `udacity_gym.UdacityEnv`.
        track: name of a built-in track.
        direction: "forward" or "reverse".
        conditions: name of weather and light, see `udacity_gym.conditions.NAMED`.
        driver: "human"; or the name of an expert or the path of a policy, from which a human takes over.
        seed: of the environment.
        port: at which a remote simulator connects.
    """

    simulator: str = "embedded"
    track: str = "lake"
    direction: Literal["forward", "reverse"] = "forward"
    conditions: str = "clear"
    driver: str = HUMAN
    seed: int = 0
    port: int = 4567

    def __post_init__(self) -> None:
        if self.direction not in ("forward", "reverse"):
            raise OptionError(f"direction must be 'forward' or 'reverse', got {self.direction!r}")
        Conditions.named(self.conditions)

    def changed(self, changes: Mapping[str, Any]) -> Setup:
        """This setup with some changes by the page.

        Raises:
            OptionError: There is no such setting, or its value is wrong.
        """
        known = {entry.name for entry in fields(self)} - {"simulator", "port"}
        unknown = sorted(set(changes) - known)
        if unknown:
            raise OptionError(f"no setting {', '.join(unknown)}; there are {', '.join(sorted(known))}")
        for name, value in changes.items():
            if not isinstance(value, int if name == "seed" else str):
                raise OptionError(f"{name} can't be {value!r}")
        return replace(self, **changes)

    def make_env(self, cameras: tuple[str, ...], ctrl_dt: float, **settings: Any) -> gymnasium.Env[Any, Any]:
        """Make the environment.

        Args:
            cameras: whose images a policy gets.
            ctrl_dt: s of a step.
            settings: of the embedded simulator alone, see `udacity_gym.UdacityEnv`.
        """
        from udacity_gym import ENV_ID

        if self.simulator != "embedded":
            settings = {"port": self.port}
        return gymnasium.make(
            ENV_ID,
            disable_env_checker=True,
            simulator=self.simulator,
            track=self.track,
            direction=self.direction,
            conditions=self.conditions,
            cameras=cameras,
            ctrl_dt=ctrl_dt,
            **settings,
        )

    def features(self, env: gymnasium.Env[Any, Any]) -> dict[str, Any]:
        """What the simulator of its environment can do, for the page, which shows nothing else."""
        simulator, track = env.unwrapped.simulator, env.unwrapped.track  # type: ignore[attr-defined]
        can = simulator.capabilities
        outline = None
        if can.has_pose:
            every = max(1, len(track.x) // 240)
            outline = {
                "x": [round(float(x), 1) for x in track.x[::every]],
                "y": [round(float(y), 1) for y in track.y[::every]],
                "length": float(track.length),
            }
        return {
            "views": list(VIEWS) if self.simulator == "embedded" else ["center"],
            "cameras": list(can.cameras),
            "restarts": can.can_reset,
            "places": can.can_place,
            "holds": can.is_lockstep,
            "chooses": self.simulator == "embedded",
            "track": outline,
        }
