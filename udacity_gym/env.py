"""The environment: actions become controls, telemetry becomes observation, reward and info."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from udacity_gym.errors import ActionError, OptionError
from udacity_gym.rewards import DEFAULT_REWARDS, RewardTerm, Transition, compile_rewards
from udacity_gym.simulators import SimulatorSettings, make_simulator
from udacity_gym.telemetry import Control, Image, Telemetry, TrackState

if TYPE_CHECKING:
    from udacity_gym.world.track import Track

Observation: TypeAlias = NDArray[Any] | dict[str, Image]
"""What the agent sees; which of the two depends on ``cameras``, see `UdacityEnv`."""

PICTURE = (160, 320, 3)
"""Shape of the pictures of Udacity's cameras."""
PREVIEW = (0.0, 5.0, 10.0, 20.0, 40.0)
"""m ahead at which the state vector tells the curvature."""
STATE_SCALES = MappingProxyType(
    {
        "speed": 15.0,
        "steering": 1.0,
        "throttle": 1.0,
        "cte": 5.0,
        "heading_error": math.pi,
        **{f"curvature_{distance:g}m": 0.1 for distance in PREVIEW},
    }
)
"""Entries of the state vector in their order, and what each is divided by (m/s, -, -, m, rad, 1/m)."""


class UdacityEnv(gymnasium.Env[Observation, NDArray[np.float32]]):
    """Udacity's car."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array", "human"], "render_fps": 15}  # noqa: RUF012

    def __init__(
        self,
        simulator: str | Path = "embedded",
        track: str | Path = "lake",
        cameras: Sequence[str] = ("center",),
        ctrl_dt: float = 1 / 15,
        max_laps: int | None = None,
        max_seconds: float | None = None,
        mode: str = "autonomous",
        host: str = "127.0.0.1",
        port: int = 4567,
        render_mode: str | None = None,
        render_view: str = "chase",
        rewards: Mapping[str, float | RewardTerm] = DEFAULT_REWARDS,
    ) -> None:
        _check_positive("ctrl_dt", ctrl_dt)
        _check_positive("max_laps", max_laps)
        _check_positive("max_seconds", max_seconds)
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise OptionError(f"render_mode must be None, 'rgb_array' or 'human', got {render_mode!r}")
        self._terms = compile_rewards(rewards)
        settings = SimulatorSettings(track=str(track), ctrl_dt=ctrl_dt, mode=mode, host=host, port=port)
        self.simulator = make_simulator(str(simulator), settings)
        self.cameras = _check_cameras(cameras, self.simulator.capabilities.cameras)
        self.ctrl_dt = ctrl_dt
        self.max_laps = max_laps
        self.max_seconds = max_seconds
        self.render_mode = render_mode
        self.render_view = render_view
        self.metadata = {**type(self).metadata, "render_fps": max(1, round(1 / ctrl_dt))}
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.observation_space = _observation_space(self.cameras)
        self._track: Track | None = None
        if not self.cameras:
            from udacity_gym.world.track import Track

            self._track = Track.load(track)
        self._telemetry: Telemetry | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: seed of the episode's random numbers; None goes on with the present generator.
            options: where to start, see the class.

        Returns:
            The first observation and its info.

        Raises:
            OptionError: An option is unknown or out of range.
        """
        super().reset(seed=seed)
        # One generator, gymnasium's, is the root of all randomness: the simulator's seed comes from it.
        telemetry = self.simulator.reset(int(self.np_random.integers(2**63)), options)
        self._telemetry = telemetry
        return self._observe(telemetry), self._info(telemetry, dict.fromkeys(self._terms, 0.0))

    def step(self, action: NDArray[np.float32]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Drive for ``ctrl_dt`` seconds.

        Args:
            action: (2,) float32 (steering, throttle); beyond [-1, 1] it is clipped.

        Returns:
            Observation caused by the action, reward, terminated (off the road), truncated (laps or
            time used up), info.

        Raises:
            ActionError: The action has another shape or is not finite.
            ResetNeeded: `reset` was never called.
        """
        before = self._telemetry
        if before is None:
            raise ResetNeeded("call reset() before the first step()")
        after = self.simulator.step(_control(action))
        self._telemetry = after
        transition = Transition(before, after, self.ctrl_dt)
        terms = {name: term(transition) for name, term in self._terms.items()}
        info = self._info(after, terms)
        end = self._end_reason(after)
        if end is not None:
            info["end_reason"] = end
        terminated = end == "off_road"
        return (
            self._observe(after),
            float(sum(terms.values())),
            terminated,
            end is not None and not terminated,
            info,
        )

    def close(self) -> None:
        """Let go of the simulator."""
        self.simulator.close()

    def _end_reason(self, telemetry: Telemetry) -> str | None:
        track = telemetry.track
        if track is not None and track.offroad:
            return "off_road"
        if track is not None and self.max_laps is not None and track.lap >= self.max_laps:
            return "max_laps"
        if self.max_seconds is not None and telemetry.time >= self.max_seconds - 1e-9:
            return "max_seconds"
        return None

    def _observe(self, telemetry: Telemetry) -> Observation:
        if not self.cameras:
            return self._state_vector(telemetry)
        if len(self.cameras) == 1:
            return telemetry.image(self.cameras[0])
        return telemetry.images(self.cameras)

    def _state_vector(self, telemetry: Telemetry) -> NDArray[np.float32]:
        assert telemetry.track is not None
        assert self._track is not None
        at = telemetry.track
        ahead = [self._track.curvature_at(at.s + distance) for distance in PREVIEW]
        throttle = telemetry.throttle - telemetry.brake
        values = [telemetry.speed, telemetry.steering, throttle, at.cte, at.heading_error, *ahead]
        scaled = np.array(values) / np.array(list(STATE_SCALES.values()))
        return np.asarray(np.clip(scaled, -1.0, 1.0), dtype=np.float32)

    def _info(self, telemetry: Telemetry, terms: dict[str, float]) -> dict[str, Any]:
        info: dict[str, Any] = {
            "time": telemetry.time,
            "speed": telemetry.speed,
            "steering": telemetry.steering,
            "throttle": telemetry.throttle,
            "brake": telemetry.brake,
        }
        if telemetry.track is not None:
            track: TrackState = telemetry.track
            info |= {
                "s": track.s,
                "cte": track.cte,
                "heading_error": track.heading_error,
                "curvature": track.curvature,
                "progress": track.progress,
                "lap": track.lap,
                "offroad": track.offroad,
                "off_lane": track.off_lane,
            }
        if telemetry.pose is not None:
            pose = telemetry.pose
            info["pose"] = np.array([pose.x, pose.y, pose.z, pose.yaw])
        info["reward_terms"] = terms
        return info


def _control(action: Any) -> Control:
    """Check an action and turn it into a control."""
    try:
        values = np.asarray(action, dtype=np.float64)
    except (TypeError, ValueError):
        raise ActionError(
            f"an action is (steering, throttle), two numbers in [-1, 1], got {action!r}"
        ) from None
    if values.shape == (1,):
        raise ActionError(
            "this action has one number, the environment wants two (steering, throttle); for steering alone "
            "wrap it: udacity_gym.wrappers.SpeedControl(env, target_speed=11.0) keeps the speed by itself"
        )
    if values.shape != (2,):
        raise ActionError(
            f"an action has shape (2,): (steering, throttle); this one has shape {values.shape}"
        )
    steering, throttle = values.tolist()
    if not (math.isfinite(steering) and math.isfinite(throttle)):
        raise ActionError(
            f"an action must be finite, got steering {steering}, throttle {throttle}; "
            "a network that gives NaN has usually diverged or was fed NaN"
        )
    return Control(min(1.0, max(-1.0, steering)), min(1.0, max(-1.0, throttle)))


def _observation_space(cameras: Sequence[str]) -> spaces.Space[Any]:
    if not cameras:
        return spaces.Box(-1.0, 1.0, (len(STATE_SCALES),), np.float32)
    if len(cameras) == 1:
        return spaces.Box(0, 255, PICTURE, np.uint8)
    return spaces.Dict({camera: spaces.Box(0, 255, PICTURE, np.uint8) for camera in cameras})


def _check_cameras(cameras: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    if isinstance(cameras, str):
        raise OptionError(f"cameras must be a tuple of names, such as ({cameras!r},), got {cameras!r}")
    unknown = [camera for camera in cameras if camera not in known]
    if unknown or len(set(cameras)) != len(cameras):
        raise OptionError(f"cameras must be different ones of {', '.join(known)}, got {tuple(cameras)!r}")
    return tuple(cameras)


def _check_positive(name: str, value: float | None) -> None:
    if value is not None and not (math.isfinite(value) and value > 0):
        raise OptionError(f"{name} must be a positive number, got {value!r}")
