"""Intervals and correlations against values from published tables and from SciPy 1.14."""

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from udacity_gym.errors import OptionError
from udacity_gym.evaluation.statistics import (
    Estimate,
    bhattacharyya,
    bootstrap_estimate,
    correlation,
    difference,
    mean_estimate,
    spearman,
    student_t,
    wilson_estimate,
)


@pytest.mark.parametrize(
    ("confidence", "degrees", "expected"),
    [
        (0.95, 1, 12.706205),
        (0.95, 2, 4.302653),
        (0.95, 3, 3.182446),
        (0.95, 4, 2.776445),
        (0.95, 9, 2.262157),
        (0.95, 30, 2.042272),
        (0.99, 5, 4.032143),
        (0.80, 7, 1.414924),
        (0.95, 1000, 1.962339),
    ],
)
def test_student_t_is_that_of_the_tables(confidence, degrees, expected):
    assert student_t(confidence, degrees) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("confidence", "degrees"), [(0.0, 3), (1.0, 3), (0.95, 0)])
def test_student_t_refuses_what_it_can_not_be(confidence, degrees):
    with pytest.raises(OptionError, match="confidence"):
        student_t(confidence, degrees)


def test_a_mean_has_the_interval_of_student_t():
    estimate = mean_estimate([1.0, 2.0, 3.0, 4.0, 5.0])
    # s = sqrt(2.5), 2.776445 * s / sqrt(5)
    assert estimate.value == pytest.approx(3.0)
    assert estimate.low == pytest.approx(3.0 - 1.963243, abs=1e-5)
    assert estimate.high == pytest.approx(3.0 + 1.963243, abs=1e-5)
    assert estimate.n == 5


def test_an_interval_is_cut_where_the_figure_can_not_go():
    estimate = mean_estimate([0.9, 1.0, 1.0], 0.0, 1.0)
    assert estimate.high == 1.0
    assert 0.0 < estimate.low < 0.9


def test_what_is_not_known_is_left_out_and_one_measurement_has_no_interval():
    assert mean_estimate([math.nan, 2.0, 4.0]).n == 2
    assert str(mean_estimate([math.nan, 2.0])) == "2.00"
    assert str(mean_estimate([])) == "-"
    assert str(Estimate(0.5, 0.25, 0.75, 3)) == "0.50 [0.25, 0.75]"


def test_intervals_of_student_t_hold_the_mean_as_often_as_they_say():
    rng = np.random.default_rng(0)
    estimates = [mean_estimate(rng.normal(1.0, 2.0, size=5)) for _ in range(2000)]
    share = np.mean([e.low <= 1.0 <= e.high for e in estimates])
    assert share == pytest.approx(0.95, abs=0.015)


def test_a_correlation_is_pearsons_and_unknown_where_nothing_changes():
    assert correlation([1, 2, 3, 4, 5], [5, 6, 7, 8, 7]) == pytest.approx(6 / math.sqrt(10 * 5.2))
    assert correlation([1, 2, 3], [3.0, 2.0, 1.0]) == pytest.approx(-1.0)
    for x, y in (([0.1, 0.1, 0.1], [1, 2, 3]), ([1, 2, 3], [0, 0, 0]), ([1], [2]), ([], [])):
        assert math.isnan(correlation(x, y))


def test_spearman_is_that_of_scipy_with_ties_too():
    assert spearman([1, 2, 3, 4, 5], [5, 6, 7, 8, 7]) == pytest.approx(0.8207826816681233)
    assert spearman([1, 2, 3], [1, 10, 100]) == pytest.approx(1.0)
    assert spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)
    assert math.isnan(spearman([1, 1, 1], [1, 2, 3]))


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=3, max_size=30))
def test_spearman_minds_ranks_only(pairs):
    x, y = np.array(pairs, float).T
    before, after = spearman(x, y), spearman(np.exp(x), y**3)
    assert before == pytest.approx(after, nan_ok=True)
    assert math.isnan(before) or -1 - 1e-9 <= before <= 1 + 1e-9


def test_a_bootstrap_interval_of_a_mean_is_that_of_the_normal_distribution():
    values = np.random.default_rng(1).normal(10.0, 1.0, size=400)
    estimate = bootstrap_estimate(lambda v: float(np.mean(v)), values, resamples=4000)
    half = 1.96 * values.std() / 20
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.low == pytest.approx(values.mean() - half, abs=0.02)
    assert estimate.high == pytest.approx(values.mean() + half, abs=0.02)


def test_a_bootstrap_that_draws_whole_groups_is_wider_where_their_members_agree():
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(8), 10)
    values = rng.normal(size=8)[groups] + 0.01 * rng.normal(size=80)
    rows = bootstrap_estimate(lambda v: float(np.mean(v)), values, resamples=1000)
    whole = bootstrap_estimate(lambda v: float(np.mean(v)), values, groups=groups, resamples=1000)
    assert whole.high - whole.low > 2 * (rows.high - rows.low)
    assert bootstrap_estimate(lambda v: float(np.mean(v)), values, groups=groups, resamples=1000) == whole


def test_a_bootstrap_refuses_columns_of_different_lengths():
    with pytest.raises(OptionError, match="same length"):
        bootstrap_estimate(spearman, [1, 2, 3], [1, 2])


def test_the_bhattacharyya_distance_is_worked_out_by_hand():
    # p = (1/2, 1/2, 0), q = (0, 1/2, 1/2): overlap 1/2
    assert bhattacharyya([0.5, 1.5], [1.5, 2.5], bins=[0, 1, 2, 3]) == pytest.approx(math.log(2))
    assert bhattacharyya([0.1, 0.2], [0.2, 0.1]) == 0.0
    assert bhattacharyya([-1.0], [1.0]) == math.inf
    assert bhattacharyya([0.0, 5.0], [0.0, 1.0]) == 0.0  # beyond full lock is full lock
    with pytest.raises(OptionError, match="no values"):
        bhattacharyya([], [0.0])


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_is_that_of_newcombes_table(successes, trials, low, high):
    """Newcombe 1998, Statistics in Medicine 17, 857-872, table I, method 3."""
    estimate = wilson_estimate(successes, trials)
    assert estimate.value == pytest.approx(successes / trials)
    assert (estimate.low, estimate.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    assert estimate.n == trials


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((10, 10), (0, 20), 0.6791, 1.0),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_the_interval_of_a_difference_is_that_of_newcombes_table(first, second, low, high):
    """Newcombe 1998, Statistics in Medicine 17, 873-890, table II, method 10."""
    found = difference(wilson_estimate(*first), wilson_estimate(*second))
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@given(trials=st.integers(1, 500), data=st.data())
def test_wilsons_interval_holds_the_share_and_mirrors(trials, data):
    successes = data.draw(st.integers(0, trials))
    one, other = wilson_estimate(successes, trials), wilson_estimate(trials - successes, trials)
    assert 0 <= one.low <= one.value <= one.high <= 1
    assert one.low == pytest.approx(1 - other.high)
    assert one.high - one.low > 0


def test_without_trials_nothing_is_known_and_more_successes_than_trials_are_refused():
    assert math.isnan(wilson_estimate(0, 0).value)
    with pytest.raises(OptionError, match="successes must be from 0 to 3 trials, got 4"):
        wilson_estimate(4, 3)
