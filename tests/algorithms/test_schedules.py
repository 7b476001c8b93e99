"""Schedules of beta: how often the expert drives."""

from typing import Any

import pytest
from hypothesis import given, strategies as st

from algorithms.dagger.schedules import Constant, Exponential, FirstRound, Linear, beta_of, make_schedule
from udacity_gym.errors import OptionError


def test_schedules_are_those_of_their_papers() -> None:
    assert [FirstRound()(i) for i in range(4)] == [1, 0, 0, 0]
    assert [Exponential()(i) for i in range(4)] == [1, 0.5, 0.25, 0.125]
    assert [Linear(4)(i) for i in range(6)] == [1, 0.75, 0.5, 0.25, 0, 0]
    assert [Constant(0.3)(i) for i in range(2)] == [0.3, 0.3]


@given(st.sampled_from([FirstRound(), Exponential(), Exponential(0.9), Linear(7)]), st.integers(0, 30))
def test_the_share_of_the_expert_never_grows_and_its_mean_goes_to_zero(schedule: Any, round: int) -> None:
    assert 0.0 <= schedule(round + 1) <= schedule(round) <= 1.0
    assert sum(schedule(i) for i in range(1000)) / 1000 < 0.02


def test_a_schedule_is_found_by_its_name_or_made_of_a_number() -> None:
    assert make_schedule("linear") == Linear()
    assert make_schedule("exponential") == Exponential(0.5)
    assert make_schedule(0.25) == Constant(0.25)
    assert make_schedule(FirstRound()) == FirstRound()


@pytest.mark.parametrize("beta", ["liner", 1.5, None, True, float("nan")])
def test_what_is_no_schedule_is_refused(beta: Any) -> None:
    with pytest.raises(OptionError, match="beta"):
        beta_of(make_schedule(beta if beta is not True else lambda i: 2.0), 0)
