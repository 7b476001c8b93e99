"""Throttle laws do what the formulas of the ``drive.py`` files do that they come from."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from udacity_gym.driving import (
    ConstantThrottle,
    PIThrottle,
    PolicyDriver,
    SpeedThrottle,
    SteeringThrottle,
    drive,
)
from udacity_gym.driving.throttle_laws import (
    THROTTLE_LAWS,
    ThrottleLaw,
    make_throttle_law,
    throttle_law_to_json,
)
from udacity_gym.env import UdacityEnv
from udacity_gym.errors import OptionError
from udacity_gym.telemetry import MPH
from udacity_gym.wrappers import fit_to

MOMENTS = [(0.0, 0.0), (0.1, 5.0), (-0.65, 9.5), (0.3, 26.0), (0.0, 20.0), (0.2, 9.0), (0.0, 24.0)]
"""Steering, and speed in mph, of telemetries one after the other."""


def course() -> Callable[[float, float], float]:
    """The controller of the course's drive.py at 9 mph, as it stands there."""
    integral = 0.0

    def update(steering: float, mph: float) -> float:
        nonlocal integral
        error = 9 - mph
        integral += error
        return 0.1 * error + 0.002 * integral

    return update


def coasting() -> Callable[[float, float], float]:
    update = course()

    def throttle(steering: float, mph: float) -> float:
        chosen = update(steering, mph)
        return 0.0 if abs(steering) >= 0.6 else chosen

    return throttle


def limited() -> Callable[[float, float], float]:
    limit = 25

    def throttle(steering: float, mph: float) -> float:
        nonlocal limit
        limit = 10 if mph > limit else 25
        return 1.0 - steering**2 - (mph / limit) ** 2

    return throttle


@pytest.mark.parametrize(
    ("law", "formula"),
    [
        (PIThrottle(9 * MPH), course),
        (PIThrottle(9 * MPH, coast_steering=0.6), coasting),
        (SpeedThrottle(0.8, 30 * MPH, 0.1), lambda: lambda _, mph: 0.8 * max(0.1, 1 - mph / 30)),
        (SteeringThrottle(25 * MPH, 10 * MPH), limited),
        (SteeringThrottle(25 * MPH, None), lambda: lambda a, mph: 1 - a**2 - (mph / 25) ** 2),
        (ConstantThrottle(0.2), lambda: lambda *_: 0.2),
    ],
)
def test_a_law_is_the_formula_and_begins_anew_after_a_reset(law: ThrottleLaw, formula: Any) -> None:
    for _ in range(2):
        law.reset()
        expected = formula()
        for steering, mph in MOMENTS:
            assert law(steering, mph * MPH) == pytest.approx(expected(steering, mph), abs=1e-9)


class Steers:
    """Steers a little to the right, with a throttle law."""

    actions = ("steering",)
    target_speed = None

    def __init__(self, law: ThrottleLaw) -> None:
        self.throttle_law = law

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[Any, Any]:
        return np.array([0.01], np.float32), None


@pytest.mark.parametrize("law", [PIThrottle(4.0), SteeringThrottle(), SpeedThrottle()])
def test_a_policy_drives_by_its_law_as_a_driver_and_in_a_wrapped_environment(law: ThrottleLaw) -> None:
    policy = Steers(law)
    speeds = {}
    driver = PolicyDriver(policy)
    for run in ("first", "again"):
        steps = list(drive(UdacityEnv(cameras=()), driver, steps=40, seed=0))
        speeds[run] = [step.next_info["speed"] for step in steps]
    env = fit_to(policy, UdacityEnv(cameras=()))
    assert env.action_space.shape == (1,)
    for run in ("wrapped", "wrapped again"):
        env.reset(seed=0)
        speeds[run] = [env.step(np.array([0.01], np.float32))[4]["speed"] for _ in range(40)]
    law.reset()
    assert law(0.0, 0.0) == type(law)(**vars_of(law))(0.0, 0.0), "the policy's own law was not used up"
    assert speeds["first"][-1] > 1.0
    for run, values in speeds.items():
        assert values == speeds["first"], run


def vars_of(law: ThrottleLaw) -> dict[str, Any]:
    return {name: value for name, value in throttle_law_to_json(law).items() if name != "law"}


@pytest.mark.parametrize("name", THROTTLE_LAWS)
def test_a_law_comes_back_from_json(name: str) -> None:
    law = make_throttle_law({"law": name})
    law(0.7, 20.0)
    assert make_throttle_law(throttle_law_to_json(law)) == law == THROTTLE_LAWS[name]()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("pi", "must be an object"),
        ({"target_speed": 4.0}, "one of constant, pi, speed, steering"),
        ({"law": "pid"}, "one of constant, pi"),
        ({"law": "pi", "set_speed": 9}, "'pi' has no set_speed; it has target_speed, proportional"),
        ({"law": "pi", "_sum": 9}, "has no _sum"),
        ({"law": "pi", "target_speed": "fast"}, "target_speed must be a finite number"),
        ({"law": "pi", "coast_steering": 2.0}, "coast_steering"),
        ({"law": "speed", "top_speed": 0}, "top_speed must be a positive number"),
        ({"law": "steering", "speed_limit": -1}, "speed_limit"),
        ({"law": "constant", "throttle": math.nan}, "throttle must be a finite number"),
    ],
)
def test_a_law_that_is_none_is_refused_with_the_reason(data: Any, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        make_throttle_law(data)


def test_a_law_of_ones_own_drives_and_is_no_file() -> None:
    class Coast:
        def reset(self) -> None:
            pass

        def __call__(self, steering: float, speed: float) -> float:
            return 0.0

    steps = list(drive(UdacityEnv(cameras=()), Steers(Coast()), steps=3, seed=0))
    assert [float(step.decision.action[1]) for step in steps if step.decision] == [0.0] * 3
    with pytest.raises(OptionError, match="Coast can't be written to a file"):
        throttle_law_to_json(Coast())
