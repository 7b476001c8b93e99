"""A comparison against an earlier one; the control arm; where results come from."""

import json
import math
import shlex
import sys
from dataclasses import replace

import numpy as np
import pytest

from udacity_gym.cli import main
from udacity_gym.errors import OptionError, UdacityGymError
from udacity_gym.evaluation import (
    SUITES,
    Estimate,
    ForEachTrack,
    Suite,
    SuiteResult,
    changes_since,
    changes_table,
    compare,
    run_suite,
    scenarios,
    write_comparison,
)
from udacity_gym.evaluation.measures import MEASURES, completed_laps
from udacity_gym.evaluation.provenance import Provenance
from udacity_gym.evaluation.regression import OUTCOMES, Change
from udacity_gym.experts import Noise, NoisyExpert, make_expert

WEATHER = Suite("wet-v1", scenarios(conditions=("clear", "rain")), seeds=(0, 1), max_seconds=3.0)
BY_NAME = {measure.name: measure for measure in MEASURES}


def sober(track):
    return make_expert("pure_pursuit", track)


def drunk(track):
    return NoisyExpert(make_expert("pure_pursuit", track), Noise.of(0.9, correlation=2.0), seed=3)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    return {
        make.__name__: run_suite(ForEachTrack(make, "pilot"), WEATHER, folder=folder / make.__name__)
        for make in (sober, drunk)
    }


@pytest.fixture
def earlier(results, tmp_path):
    path = tmp_path / "comparison.json"
    path.write_text(json.dumps(compare([results["sober"]]).summary()))
    return path


def test_the_control_arm_starts_where_the_others_do(results):
    rain = WEATHER.scenarios[1]
    control = WEATHER.control_of(rain)
    assert control == WEATHER.scenarios[0]
    assert WEATHER.control_of(control) is None
    for seed in WEATHER.seeds:
        first = [
            e.evaluation.trajectory
            for e in results["sober"].episodes
            if e.case.seed == seed and e.case.intervene == "edge"
        ]
        for column in ("s", "x", "y", "cte", "speed"):
            clear, wet = (getattr(trajectory, column)[0] for trajectory in first)
            assert clear == wet, (column, seed)


@pytest.mark.parametrize("name", ["weather-v1", "camera-v1"])
def test_suites_of_conditions_have_a_control_arm(name):
    suite = SUITES.find(name)
    assert sum(suite.control_of(scenario) is None for scenario in suite.scenarios) == 1


def test_the_difference_from_the_control_arm_is_paired_by_start(results):
    result = results["drunk"]
    (scenario,) = found = result.against_control(BY_NAME["mean_abs_cte"])
    values = {
        (e.case.scenario.conditions, e.case.seed): e.evaluation.mean_abs_cte
        for e in result.episodes
        if e.case.intervene == "road"
    }
    differences = [values["rain", seed] - values["clear", seed] for seed in WEATHER.seeds]
    assert scenario.conditions == "rain"
    assert found[scenario].value == pytest.approx(np.mean(differences))
    assert found[scenario].n == 2
    text, page = str(compare([result])), "autonomy, %: lake, rain, minus lake"
    assert page in text
    assert compare([result]).summary()["against_control"]["pilot"].keys() == {"lake, rain"}


def test_the_report_has_the_control_arm_and_where_it_comes_from(results, tmp_path):
    page = write_comparison(tmp_path / "report.html", compare([results["drunk"]])).read_text()
    assert "autonomy, %: lake, rain, minus lake" in page
    assert "Made with" in page
    assert "udacity-gym 0" in page


def test_every_result_says_where_it_comes_from(results):
    loaded = SuiteResult.load(results["sober"].folder)
    (provenance,) = loaded.provenances
    assert provenance == results["sober"].provenances[0]
    assert provenance.versions.keys() >= {"python", "udacity-gym", "numpy"}
    assert provenance.command == shlex.join(sys.argv)
    (identity,) = {json.loads(line)["identity"] for line in _lines(results["sober"])}
    assert provenance.policy == identity
    assert provenance != results["drunk"].provenances[0], "another policy"
    assert Provenance.of(None) is None


def _lines(result):
    return (result.folder / "episodes.jsonl").read_text().splitlines()


def test_laps_of_n_have_wilsons_interval(results):
    one_lap = next(e.evaluation for e in results["sober"].episodes)
    whole = replace(one_lap, distance=one_lap.track_length * 1.01, incidents=())
    assert completed_laps(one_lap) == (0, 0), "time ran out before anything went wrong"
    assert completed_laps(whole) == (1, 1)
    episodes = [replace(e, evaluation=whole) for e in results["sober"].episodes]
    estimate = replace(results["sober"], episodes=tuple(episodes)).measure(BY_NAME["completed_laps"])
    assert (estimate.value, estimate.n) == (1.0, 4)
    assert estimate.low == pytest.approx(0.5101, abs=1e-4)
    assert "100 [51, 100] of 4" in str(compare([replace(results["sober"], episodes=tuple(episodes))]))


def test_the_same_policy_has_not_changed(results, earlier):
    changes = changes_since(earlier, compare([results["sober"]]))
    assert {change.verdict for change in changes} == {"no change"}
    assert {change.measure.name for change in changes} <= set(OUTCOMES)


def test_a_worse_policy_is_told(results, earlier):
    data = json.loads(earlier.read_text())
    data["policies"]["pilot"]["autonomy"] |= {"value": 0.5, "low": 0.4, "high": 0.6}
    data["policies"]["pilot"]["falls_per_lap"] |= {"value": -3.0, "low": -3.1, "high": -2.9}
    earlier.write_text(json.dumps(data))
    changes = changes_since(earlier, compare([results["sober"]]))
    verdicts = {change.measure.name: change.verdict for change in changes}
    assert verdicts["falls_per_lap"] == "worse"
    assert verdicts["autonomy"] == "better"
    text = changes_table(changes)
    assert "falls per lap" in text
    assert "-3.00 [-3.10, -2.90]" in text


@pytest.mark.parametrize(
    ("name", "before", "now", "verdict"),
    [
        ("autonomy", (0.9, 0.88, 0.92), (0.8, 0.78, 0.82), "worse"),
        ("autonomy", (0.8, 0.78, 0.82), (0.9, 0.88, 0.92), "better"),
        ("autonomy", (1.0, 1.0, 1.0), (0.99, 0.97, 1.0), "no change"),
        ("autonomy", (1.0, 1.0, 1.0), (0.99, 0.99, 0.99), "worse"),
        ("autonomy", (1.0, 1.0, 1.0), (1.0 - 1e-9, 1.0 - 1e-9, 1.0 - 1e-9), "no change"),
        ("falls_per_lap", (0.1, 0.0, 0.2), (0.9, 0.8, 1.0), "worse"),
        ("falls_per_lap", (0.9, 0.8, 1.0), (0.1, 0.0, 0.2), "better"),
        ("falls_per_lap", (0.9, math.nan, math.nan), (0.1, 0.0, 0.2), "unknown"),
    ],
)
def test_a_change_is_one_beyond_its_interval(name, before, now, verdict):
    from udacity_gym.evaluation import difference

    old, new = Estimate(*before, 5), Estimate(*now, 5)
    assert Change("pilot", BY_NAME[name], old, new, difference(new, old)).verdict == verdict


def test_a_comparison_of_earlier_versions_is_read(results, earlier):
    data = json.loads(earlier.read_text())
    for name in ("format", "version", "provenance", "against_control"):
        del data[name]
    del data["policies"]["pilot"]["completed_laps"]
    data["policies"] = {"another name": data["policies"]["pilot"]}
    earlier.write_text(json.dumps(data))
    changes = changes_since(earlier, compare([results["sober"]]))
    assert {change.verdict for change in changes} == {"no change"}


def test_what_can_not_be_compared_is_refused(results, earlier, tmp_path):
    now = compare([results["sober"]])
    data = json.loads(earlier.read_text())
    earlier.write_text(json.dumps({**data, "suite": "other-v1"}))
    with pytest.raises(OptionError, match="is of the suite other-v1, not of wet-v1"):
        changes_since(earlier, now)
    earlier.write_text(json.dumps({**data, "policies": {}}))
    with pytest.raises(OptionError, match="none of pilot"):
        changes_since(earlier, now)
    for text in ("{}", "[1]", "no JSON", json.dumps({**data, "version": 99})):
        earlier.write_text(text)
        with pytest.raises(UdacityGymError, match=r"is no comparison\.json"):
            changes_since(earlier, now)
    with pytest.raises(UdacityGymError, match="can't read"):
        changes_since(tmp_path / "nothing", now)


def test_a_regression_fails_on_the_command_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(
        SUITES.objects, "brief-v1", Suite("brief-v1", scenarios(), seeds=(0, 1), max_seconds=2.0)
    )
    before = tmp_path / "before"
    assert main(["evaluate", "pid", "--suite", "brief-v1", "--output", str(before)]) == 0
    path = before / "comparison.json"
    command = ["evaluate", "pid", "--suite", "brief-v1", "--output", str(tmp_path / "now")]
    command += ["--against", str(path), "--fail-on-regression"]
    assert main(command) == 0
    assert "no change" in capsys.readouterr().out
    data = json.loads(path.read_text())
    data["policies"]["pid"]["interventions_per_km"] |= {"value": -5.0, "low": -5.0, "high": -5.0}
    path.write_text(json.dumps(data))
    assert main(command) == 1
    assert "Worse than before: interventions, 1/km of pid." in capsys.readouterr().out
    assert main(command[:-1]) == 0, "it was not asked to fail"
    assert main([*command[:6], "--fail-on-regression"]) == 2
    assert "requires --against" in capsys.readouterr().err
    assert main([*command[:6], "--against", str(tmp_path / "nothing")]) == 2
