"""Who drives: a policy, or the person who watches it and takes over."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import Enum
from types import MappingProxyType
from typing import Any, Protocol, SupportsFloat

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from udacity_gym.checks import check_number
from udacity_gym.errors import ActionError, OptionError
from udacity_gym.experts.base import Expert, action
from udacity_gym.experts.human import TURNING, Reading


class State(Enum):
    """Who drives."""

    AUTONOMOUS = "autonomous"
    """The policy."""
    PAUSED = "paused"
    """Nobody: the environment stands still."""
    CORRECTING = "correcting"
    """The person."""


class Signal(Enum):
    """What people ask for."""

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


CAPTIONS = {"human": "you drive", "nobody": "paused"}
"""What the window says of who drives."""


class Person(Protocol):
    """Who may take over: a `udacity_gym.experts.Human`, or a programme that acts like one."""

    def read(self, observation: Any, info: Mapping[str, Any], /) -> Reading:
        """Say what the person does, having seen this."""
        ...


class Watch:
    """Follows what a person asks for through `TABLE`.

    Attributes:
        state: who drives now.
        takeovers: how often the person has taken over since `begin`.
    """

    def __init__(self, release: float | None) -> None:
        """Prepare; see `Takeover` for ``release``.

        Raises:
            OptionError: ``release`` is negative.
        """
        self.release = math.inf if release is None else check_number("release", release, 0.0)
        self.begin()

    def begin(self) -> None:
        """An episode begins, with the policy at the wheel."""
        self.state, self.takeovers = State.AUTONOMOUS, 0
        self._touched, self._idle = False, 0.0

    def follow(self, reading: Reading, dt: float) -> State:
        """Change the state as the person asks for; ``dt`` s last until the next reading."""
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
        self.begin("")

    def begin(self, driver: str) -> None:
        """An episode begins with somebody at the wheel, straight on."""
        self.driver, self.steering = driver, 0.0
        self._gap = 0.0

    def turn(self, wanted: float, driver: str, dt: float) -> float:
        """Where the wheel is in the next ``dt`` s, [-1, 1]; ``wanted`` is where the driver wants it."""
        if driver != self.driver:
            self.driver, self._gap = driver, self.steering - wanted
        most = self.rate * dt
        self._gap -= min(most, max(-most, self._gap))
        self.steering = min(1.0, max(-1.0, wanted + self._gap))
        return self.steering


class Takeover(gymnasium.Wrapper[Any, NDArray[np.float32], Any, NDArray[np.float32]]):
    """Lets a person take the wheel from whoever calls `step`, and give it back.

    The person wins: who touches the wheel or a pedal drives, from the same step on. Control goes back
    when nothing has been touched for ``release`` s, or when "hand_back" is pressed. "pause" lets
    everything stand still until it is pressed again, or somebody takes over; `step` then drives nothing
    and gives the last observation again, with reward 0. (A simulator in real time can't stand still; it
    brakes the car when it has been left alone for a second.) `TABLE` has all transitions.

    When control passes, in either direction, the wheel does not jump: it is let from where it is to
    where the new driver wants it at no more than ``rate`` of full lock per second, on top of the new
    driver's own movements. The pedals pass at once.

    ``info`` tells who drove: ``driver`` is "policy", "human", or "nobody" in a pause; ``takeover`` the
    state; ``policy_action`` what the policy wanted. Around an environment that records
    (`udacity_gym.recording.RecordDrives`, which must be the inner one) these go into the recording, with
    the action executed: ``driver``, ``policy_action``, ``intervention`` (whether the person drove instead
    of the policy), and ``expert_action`` where there is an ``expert`` to say.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        human: Person | Callable[[Any, Mapping[str, Any]], NDArray[np.float32] | None],
        *,
        release: float | None = 1.0,
        rate: float = TURNING,
        expert: Expert | None = None,
        driver: str = "policy",
    ) -> None:
        """Wrap an environment.

        Args:
            env: environment with (steering, throttle) as its action.
            human: who may take over: has ``read``, or is a callable such as `ScriptedHuman`, which gives an
                action, or None while the hands are off the wheel.
            release: s of simulated time without touch after which control goes back; None waits for
                "hand_back".
            rate: shares of full lock per second.
            expert: asked at every step what it would have done; see `RecordDrives`.
            driver: what to call who calls `step`.

        Raises:
            OptionError: A number is out of range, or the person has no ``read``.
        """
        super().__init__(env)
        person: Person
        if callable(getattr(human, "read", None)):
            person = human  # type: ignore[assignment]
        elif callable(human):
            person = _ByActions(human)
        else:
            raise OptionError(f"who takes over needs read(observation, info) -> Reading, got {human!r}")
        self.human = person
        self.expert = expert
        self.driver = driver
        self._watch, self._wheel = Watch(release), Wheel(rate)
        self._dt = float(env.get_wrapper_attr("ctrl_dt"))
        self._seen: tuple[Any, dict[str, Any]] | None = None

    @property
    def state(self) -> State:
        """Who drives now."""
        return self._watch.state

    @property
    def takeovers(self) -> int:
        """How often the person has taken over since `reset`."""
        return self._watch.takeovers

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode; the policy drives until somebody takes over."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._watch.begin()
        self._wheel.begin(self.driver)
        self._seen = observation, info
        return observation, {**info, "driver": self.driver, "takeover": self.state.value}

    def step(self, action: NDArray[np.float32]) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Drive for one control step, whoever does.

        Args:
            action: (2,) float32, what the policy wants.

        Raises:
            ActionError: The action is none.
            ResetNeeded: `reset` was never called.
        """
        if self._seen is None:
            raise ResetNeeded("call reset() before the first step()")
        policy_action = np.asarray(action, np.float32)
        if policy_action.shape != (2,) or not np.isfinite(policy_action).all():
            raise ActionError(f"an action is two finite numbers (steering, throttle), got {action!r}")
        observation, info = self._seen
        reading = self.human.read(observation, info)
        self._watch.follow(reading, self._dt)
        driver = {State.AUTONOMOUS: self.driver, State.CORRECTING: "human"}.get(self.state, "nobody")
        self.unwrapped.caption = CAPTIONS.get(driver, f"{driver} drives")  # type: ignore[attr-defined]
        if self.state is State.PAUSED:
            return self._stand_still()
        wanted = policy_action if self.state is State.AUTONOMOUS else reading.action
        steering, throttle = np.clip(wanted, -1.0, 1.0).tolist()
        executed = np.array([self._wheel.turn(steering, driver, self._dt), throttle], np.float32)
        known: dict[str, Any] = {"driver": driver, "policy_action": policy_action}
        noted = {**known, "intervention": driver == "human"}
        if self.expert is not None:
            noted["expert_action"] = np.asarray(self.expert(observation, info), np.float64)
        self._note(noted)
        observation, reward, terminated, truncated, info = self.env.step(executed)
        self._seen = observation, info
        info = {**info, **known, "takeover": self.state.value}
        return observation, reward, terminated, truncated, info

    def _stand_still(self) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        assert self._seen is not None
        if self.env.render_mode == "human":
            self.env.render()  # the window goes on, at its pace
        observation, info = self._seen
        terms = dict.fromkeys(info.get("reward_terms", ()), 0.0)
        known = {"driver": "nobody", "takeover": self.state.value, "reward_terms": terms}
        return observation, 0.0, False, False, {**info, **known}

    def _note(self, what: Mapping[str, Any]) -> None:
        """Tell the recorder, if there is one."""
        try:
            note = self.env.get_wrapper_attr("note")
        except AttributeError:
            return
        note(**what)


class Corrections:
    """A person as an expert who answers only while correcting: None while the hands are off the wheel.

    For loops that ask an expert at every step and let a policy drive where there is no answer, as
    human-gated learning does (Kelly et al. 2019). Taking over and handing back work as in `Takeover`, but
    nobody can pause. The wheel is taken over from where the command in force has it.

    Example:
        >>> env = gymnasium.make("UdacitySim-v0", render_mode="human")              # doctest: +SKIP
        >>> HGDAgger(env=env, expert=Corrections(Human("keyboard")), ...)
    """

    driver = "human"

    def __init__(self, human: Person, *, release: float | None = 1.0, rate: float = TURNING) -> None:
        """Watch a person; see `Takeover` for the arguments.

        Raises:
            OptionError: A number is out of range.
        """
        self.human = human
        self._watch, self._wheel = Watch(release), Wheel(rate)
        self._time = math.inf

    def __call__(self, observation: Any, info: Mapping[str, Any]) -> NDArray[np.float32] | None:
        """Say what the person does, or None.

        Returns:
            (2,) float32 (steering, throttle); None while the hands are off the wheel.
        """
        time = float(info["time"])
        if time < self._time:
            self._watch.begin()
            self._time = time
        dt, self._time = time - self._time, time
        reading = self.human.read(observation, info)
        reading = replace(reading, buttons=reading.buttons - {"pause"})
        if self._watch.follow(reading, dt) is not State.CORRECTING:
            self._wheel.begin("")
            return None
        if self._wheel.driver != self.driver:
            self._wheel.steering = float(info["steering"])
        wanted = reading.action
        return action(self._wheel.turn(float(wanted[0]), self.driver, dt), float(wanted[1]))


class _ByActions:
    """A person of whom there is only what they do: an action, or None while the hands are off the wheel."""

    def __init__(self, acts: Callable[[Any, Mapping[str, Any]], NDArray[np.float32] | None]) -> None:
        self._acts = acts

    def read(self, observation: Any, info: Mapping[str, Any], /) -> Reading:
        done, time = self._acts(observation, info), float(info["time"])
        if done is None:
            return Reading(time, buttons=frozenset({"hand_back"}))
        steering, throttle = np.asarray(done, np.float64).tolist()
        return Reading(time, steering, max(0.0, throttle), max(0.0, -throttle), active=True)
