"""Handing the wheel over: a policy drives, and a human who watches it may take over. `Handover`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from udacity_gym.checks import check_number
from udacity_gym.driving.decision import HUMAN, Decision, check_action, make_action
from udacity_gym.driving.driver import EpisodeClock, as_driver, reset_expert
from udacity_gym.driving.human import TURNING, Reading
from udacity_gym.errors import OptionError

if TYPE_CHECKING:
    from udacity_gym.experts import Expert


class State(Enum):
    """Who has the wheel."""

    AUTONOMOUS = "autonomous"
    """The policy."""
    PAUSED = "paused"
    """Nobody: the environment stands still."""
    CORRECTING = "correcting"
    """The human."""


class Signal(Enum):
    """What a human asks for."""

    TAKE_OVER = "take_over"
    HAND_BACK = "hand_back"
    PAUSE = "pause"
    RESUME = "resume"


TABLE: Mapping[tuple[State, Signal], State] = MappingProxyType(
    {
        (State.AUTONOMOUS, Signal.TAKE_OVER): State.CORRECTING,
        (State.AUTONOMOUS, Signal.HAND_BACK): State.AUTONOMOUS,
        (State.AUTONOMOUS, Signal.PAUSE): State.PAUSED,
        (State.AUTONOMOUS, Signal.RESUME): State.AUTONOMOUS,
        (State.PAUSED, Signal.TAKE_OVER): State.CORRECTING,
        (State.PAUSED, Signal.HAND_BACK): State.AUTONOMOUS,
        (State.PAUSED, Signal.PAUSE): State.PAUSED,
        (State.PAUSED, Signal.RESUME): State.AUTONOMOUS,
        (State.CORRECTING, Signal.TAKE_OVER): State.CORRECTING,
        (State.CORRECTING, Signal.HAND_BACK): State.AUTONOMOUS,
        (State.CORRECTING, Signal.PAUSE): State.PAUSED,
        (State.CORRECTING, Signal.RESUME): State.CORRECTING,
    }
)
"""Where each signal leads from each state."""


class HumanLike(Protocol):
    """Who may take over: a `Human`, or a program that acts like one."""

    def read(self, observation: Any, info: Mapping[str, Any], /) -> Reading:
        """Say what the human does, given what the environment returned."""
        ...


class TakeoverState:
    """Who has the wheel: follows the signals of a human through `TABLE`.

    Attributes:
        state: who drives now.
        is_idle: whether the human drives without touching anything, which hands back after ``release`` s.
        takeovers: how often the human has taken over since `reset`.
    """

    def __init__(self, release: float | None) -> None:
        """Prepare; see `Handover` for ``release``.

        Raises:
            OptionError: ``release`` is negative.
        """
        self.release = math.inf if release is None else check_number("release", release, 0.0)
        self.reset()

    def reset(self) -> None:
        """An episode begins, with the policy at the wheel."""
        self.state, self.takeovers, self.is_idle = State.AUTONOMOUS, 0, False
        self._touched, self._idle = False, 0.0

    def follow(self, reading: Reading, dt: float) -> State:
        """Change the state as the human asks for; ``dt`` s pass until the next reading."""
        if "pause" in reading.buttons:
            self._signal(Signal.RESUME if self.state is State.PAUSED else Signal.PAUSE)
        if "hand_back" in reading.buttons:
            self._signal(Signal.HAND_BACK)
        if "take_over" in reading.buttons:
            self._signal(Signal.TAKE_OVER)
        # In a pause, hands that were there before do not count: else one could not pause while driving.
        if reading.active and (self.state is not State.PAUSED or not self._touched):
            self._signal(Signal.TAKE_OVER)
        self._touched = reading.active
        if self.state is State.CORRECTING and not reading.active:
            if self._idle >= self.release - 1e-9:
                self._signal(Signal.HAND_BACK)
            self._idle += dt
        else:
            self._idle = 0.0
        untouched = self.state is State.CORRECTING and not reading.active
        self.is_idle = untouched and math.isfinite(self.release)
        return self.state

    def _signal(self, signal: Signal) -> None:
        before, self.state = self.state, TABLE[self.state, signal]
        if self.state is State.CORRECTING and before is not State.CORRECTING:
            self._idle = 0.0
            self.takeovers += 1


class Wheel:
    """A steering wheel that passes from hand to hand without a jump.

    At a change of hands the difference between where the wheel is and where the new driver wants it is
    kept, and let go at no more than ``rate`` of full lock per second.
    """

    def __init__(self, rate: float) -> None:
        self.rate = check_number("rate", rate, positive=True)
        self.reset("")

    def reset(self, driver: str) -> None:
        """An episode begins with somebody at the wheel, straight on."""
        self.driver, self.steering = driver, 0.0
        self._gap = 0.0

    def turn(self, target: float, driver: str, dt: float) -> float:
        """Where the wheel is in the next ``dt`` s, [-1, 1]; ``target`` is where the driver wants it."""
        if driver != self.driver:
            self.driver, self._gap = driver, self.steering - target
        largest = self.rate * dt
        self._gap -= min(largest, max(-largest, self._gap))
        self.steering = min(1.0, max(-1.0, target + self._gap))
        return self.steering


class Handover:
    """Driver in which a policy drives until a human takes over, and again once the human hands back.

    A human who touches the wheel or a pedal drives, from the same step on. Control goes back when nothing
    has been touched for ``release`` s, or when "hand_back" is pressed. "pause" pauses the simulation until
    it is pressed again, or the human takes over. (A simulator in real time can't be paused; it brakes the
    car if it gets no command for a second.) `TABLE` has all transitions.

    When control passes, in either direction, the wheel does not jump: it moves from where it is to where
    the new driver wants it at no more than ``rate`` of full lock per second, on top of the new driver's own
    movements. The pedals pass at once.

    A `Decision` says who drives, what the policy and the expert would have done, whether the human is idle,
    and in its notes ``intervention``: whether the human drives in place of the policy.

    Example:
        >>> driver = Handover("my-policy", Human("keyboard"))                      # doctest: +SKIP
        >>> with Recorder("corrections") as recorder:                              # doctest: +SKIP
        ...     for step in drive(env, driver, laps=3, on_fall="put_back"):
        ...         recorder.add(step)
    """

    def __init__(
        self,
        driver: Any,
        human: HumanLike | Callable[[Any, Mapping[str, Any]], NDArray[np.float32] | None],
        *,
        release: float | None = 1.0,
        rate: float = TURNING,
        expert: Expert | None = None,
    ) -> None:
        """Put two at one wheel.

        Args:
            driver: who drives until the human takes over: whatever `as_driver` accepts.
            human: who may take over: has ``read``, or is a callable such as `ScriptedHuman`, which gives an
                action, or None while the hands are off the wheel.
            release: s of simulated time without touch after which control goes back; None waits for
                "hand_back".
            rate: shares of full lock per second.
            expert: asked at every step what it would have done, which is the label; None labels nothing.

        Raises:
            OptionError: A number is out of range, or the human has no ``read``.
        """
        self.driver = as_driver(driver)
        self.human = _human(human)
        self.expert = expert
        self._signals, self._wheel = TakeoverState(release), Wheel(rate)
        self._env: gymnasium.Env[Any, Any] | None = None

    @property
    def state(self) -> State:
        """Who has the wheel now."""
        return self._signals.state

    @property
    def takeovers(self) -> int:
        """How often the human has taken over since `reset`."""
        return self._signals.takeovers

    def reset(self, env: gymnasium.Env[Any, Any], info: Mapping[str, Any], seed: int | None = None) -> None:
        """Prepare for an episode, with the policy at the wheel; see `Driver.reset`."""
        self.driver.reset(env, info, seed)
        reset_expert(self.human, env, info, seed)
        reset_expert(self.expert, env, info, seed)
        self._env = env
        self._signals.reset()
        self._wheel.reset("")
        self._seconds = float(env.get_wrapper_attr("ctrl_dt"))

    def decide(self, observation: Any, info: Mapping[str, Any]) -> Decision | None:
        """Let the policy or the human drive, see `Driver.decide`.

        Raises:
            ActionError: The policy gives something else than two finite numbers.
            ResetNeeded: `reset` was never called.
        """
        if self._env is None:
            raise ResetNeeded("call reset(env, info) before the first decide(observation, info)")
        reading = self.human.read(observation, info)
        state = self._signals.follow(reading, self._seconds)
        if state is State.PAUSED:
            self._say("paused")
            return None
        decision = self.driver.decide(observation, info)
        if decision is None:
            return None
        corrects = state is State.CORRECTING
        self._say("you drive" if corrects else f"{decision.driver} drives")
        policy_action = check_action(decision.action, f"the {decision.driver}")
        steering, throttle = np.clip(reading.action if corrects else policy_action, -1.0, 1.0).tolist()
        driver = HUMAN if corrects else decision.driver
        if not self._wheel.driver:
            self._wheel.reset(decision.driver)
        executed = make_action(self._wheel.turn(steering, driver, self._seconds), throttle)
        label = None if self.expert is None else self.expert(observation, info)
        return Decision(
            executed,
            driver,
            policy_action=policy_action,
            expert_action=None if label is None else np.asarray(label, np.float64),
            is_label=label is not None,
            doubt=decision.doubt,
            is_idle=self._signals.is_idle and self.expert is None,
            notes={**decision.notes, "intervention": corrects},
        )

    def _say(self, caption: str) -> None:
        """Write into the corner of the window who drives."""
        assert self._env is not None
        if hasattr(self._env.unwrapped, "caption"):
            self._env.unwrapped.caption = caption


class Corrections:
    """A human as an expert who answers only while correcting: None while the hands are off the wheel.

    For loops that ask an expert at every step and let a policy drive where there is no answer, as
    human-gated learning does (Kelly et al. 2019). Taking over and handing back work as in `Handover`, but
    nobody can pause. The wheel is taken over from where the command in force has it.

    Example:
        >>> env = gymnasium.make("UdacitySim-v0", render_mode="human")              # doctest: +SKIP
        >>> HGDAgger(env=env, expert=Corrections(Human("keyboard")), ...)
    """

    driver = HUMAN

    def __init__(self, human: HumanLike, *, release: float | None = 1.0, rate: float = TURNING) -> None:
        """Watch a human; see `Handover` for the arguments.

        Raises:
            OptionError: A number is out of range.
        """
        self.human = human
        self._signals, self._wheel = TakeoverState(release), Wheel(rate)
        self._clock = EpisodeClock()

    @property
    def is_idle(self) -> bool:
        """Whether the last answer was given without touching the controls, see `Decision.is_idle`."""
        return self._signals.is_idle

    def reset(self, env: gymnasium.Env[Any, Any], info: Mapping[str, Any], seed: int | None = None) -> None:
        """Take the hands off the wheel: an episode begins."""
        self._clock.reset()
        reset_expert(self.human, env, info, seed)

    def __call__(self, observation: Any, info: Mapping[str, Any]) -> NDArray[np.float32] | None:
        """Say what the human does, or None.

        Returns:
            (2,) float32 (steering, throttle); None while the hands are off the wheel.
        """
        if self._clock.update(info):
            self._signals.reset()
        dt = self._clock.elapsed
        reading = self.human.read(observation, info)
        reading = replace(reading, buttons=reading.buttons - {"pause"})
        if self._signals.follow(reading, dt) is not State.CORRECTING:
            self._wheel.reset("")
            return None
        if self._wheel.driver != self.driver:
            self._wheel.steering = float(info["steering"])
        steering, throttle = reading.action.tolist()
        return make_action(self._wheel.turn(steering, self.driver, dt), throttle)


class _ByActions:
    """A human who is known only by actions: one, or None while the hands are off the wheel."""

    def __init__(self, act: Callable[[Any, Mapping[str, Any]], NDArray[np.float32] | None]) -> None:
        self._act = act

    def read(self, observation: Any, info: Mapping[str, Any], /) -> Reading:
        action, time = self._act(observation, info), float(info["time"])
        if action is None:
            return Reading(time, buttons=frozenset({"hand_back"}))
        steering, throttle = np.asarray(action, np.float64).tolist()
        return Reading(time, steering, max(0.0, throttle), max(0.0, -throttle), active=True)

    def reset(self, env: gymnasium.Env[Any, Any], info: Mapping[str, Any], seed: int | None = None) -> None:
        reset_expert(self._act, env, info, seed)


def _human(human: Any) -> HumanLike:
    if callable(getattr(human, "read", None)):
        checked: HumanLike = human
        return checked
    if callable(human):
        return _ByActions(human)
    raise OptionError(f"who takes over needs read(observation, info) -> Reading, got {human!r}")
