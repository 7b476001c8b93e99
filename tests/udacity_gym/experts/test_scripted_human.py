"""The scripted human: watches, takes over late, corrects, hands back."""

from typing import Any

import gymnasium
import numpy as np
import pytest

import udacity_gym  # noqa: F401  (registers the environment)
from udacity_gym.errors import OptionError
from udacity_gym.evaluation.identity import identity_of
from udacity_gym.experts import PurePursuit, ScriptedHuman

NO_ENV: Any = None
"""A human looks at the info alone."""


def info(time: float, cte: float, heading_error: float = 0.0) -> dict[str, Any]:
    return {"time": time, "cte": cte, "heading_error": heading_error}


def straight(observation: Any, info: Any) -> Any:
    return np.array([0.0, 0.3], np.float32)


def hands(human: ScriptedHuman, ctes: list[float], dt: float = 0.1) -> list[bool]:
    return [human(None, info(i * dt, cte)) is not None for i, cte in enumerate(ctes)]


def test_it_takes_over_a_reaction_time_after_it_saw_trouble_even_if_that_has_passed() -> None:
    human = ScriptedHuman(straight, cte=1.0, reaction_time=0.3)
    assert hands(human, [0.5, 1.2, 1.2, 1.2, 1.2]) == [False, False, False, False, True]
    human.reset(NO_ENV, {})
    assert hands(human, [0.5, 1.2, 0.8, 0.8, 0.8]) == [False, False, False, False, True]


def test_it_hands_back_once_the_car_has_been_in_the_middle_for_a_while() -> None:
    human = ScriptedHuman(straight, cte=1.0, reaction_time=0.0, recovered_cte=0.4, calm=0.2)
    ctes = [1.2, 0.3, 0.6, 0.3, 0.3, 0.3, 0.3]
    assert hands(human, ctes) == [True, True, True, True, True, False, False]


def test_its_hand_trembles_as_its_seed_says() -> None:
    def steering(seed: int) -> list[float]:
        human = ScriptedHuman(straight, reaction_time=0.0, noise=0.1)
        human.reset(NO_ENV, {}, seed)
        return [float(human(None, info(i / 15, 3.0))[0]) for i in range(2000)]  # type: ignore[index]

    first = steering(1)
    assert first == steering(1) != steering(2)
    assert np.std(first) == pytest.approx(0.1, rel=0.3)
    assert np.corrcoef(first[1:], first[:-1])[0, 1] > 0.7


def test_it_brings_a_car_that_goes_astray_back_and_lets_it_go() -> None:
    env = gymnasium.make("UdacitySim-v0", cameras=())
    human = ScriptedHuman(PurePursuit(speed=8.0))
    observation, info = env.reset(seed=0, options={"s": 100.0, "speed": 8.0})
    drivers = []
    for _ in range(600):
        action = human(observation, info)
        drivers.append(action is not None)
        astray = np.array([0.15, 0.3], np.float32)  # the policy pulls to the right, for ever
        observation, _, terminated, _, info = env.step(astray if action is None else action)
        assert not terminated
    env.close()
    assert identity_of(human) == identity_of(ScriptedHuman(PurePursuit(speed=8.0)))
    changes = np.flatnonzero(np.diff(np.array(drivers, int)))
    assert len(changes) >= 6
    assert 0.2 < np.mean(drivers) < 0.9


def test_limits_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(OptionError, match="recovered_cte"):
        ScriptedHuman(straight, cte=0.5, recovered_cte=1.0)
    with pytest.raises(OptionError, match="reaction_time"):
        ScriptedHuman(straight, reaction_time=-1.0)
    with pytest.raises(OptionError, match="an expert is a callable"):
        ScriptedHuman(None)  # type: ignore[arg-type]
