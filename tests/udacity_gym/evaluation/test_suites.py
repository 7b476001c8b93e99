"""Suites of real drives: deterministic, in several processes, resumable, compared."""

import json
import math
import os
import pickle
import subprocess
import sys
import threading
from contextlib import closing
from functools import partial

import numpy as np
import pytest

from algorithms import NetworkPolicy, Preprocessing, load_policy
from algorithms.policies.ensemble import Ensemble
from algorithms.policies.networks import make_network
from udacity_gym.errors import OptionError, TrackError, UdacityGymError
from udacity_gym.evaluation import (
    SUITES,
    ForEachTrack,
    Scenario,
    Suite,
    SuiteResult,
    compare,
    run_suite,
    scenarios,
)
from udacity_gym.evaluation.episode_log import EpisodeLog
from udacity_gym.evaluation.identity import identity_of
from udacity_gym.evaluation.measures import MEASURES
from udacity_gym.evaluation.suites import BUILT_IN
from udacity_gym.experts import Noise, NoisyExpert, PolicyExpert, make_expert
from udacity_gym.files import digest_of

SHORT = Suite(
    "short-v1",
    scenarios(conditions=("clear", "dusk")),
    seeds=(0, 1),
    intervene=("edge", "road"),
    max_seconds=4.0,
)

BLINK = Suite("blink-v1", scenarios(), seeds=(0,), intervene=("edge",), max_seconds=0.2)


def drunk(track):
    """An expert so perturbed that it leaves its lane."""
    return NoisyExpert(make_expert("pure_pursuit", track), Noise.of(0.9, correlation=2.0), seed=3)


DRUNK = ForEachTrack(drunk, "drunk")


class Counting:
    """An expert that never steers, and counts."""

    count = 0

    def __call__(self, observation, info):
        """Choose an action."""
        self.count += 1
        return np.array([0.0, 1.0], np.float32)


class Straight:
    """A policy that never steers."""

    name = "straight"

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        """Choose an action."""
        return np.array([0.0, 1.0], np.float32), state


@pytest.fixture(scope="module")
def sober_result(tmp_path_factory):
    return run_suite("pure_pursuit", SHORT, folder=tmp_path_factory.mktemp("sober"))


@pytest.fixture(scope="module")
def drunk_result(tmp_path_factory):
    return run_suite(DRUNK, SHORT, folder=tmp_path_factory.mktemp("drunk"))


def lines(result):
    return [json.loads(line) for line in (result.folder / "episodes.jsonl").read_text().splitlines()]


def test_a_suite_is_every_scenario_from_every_start_for_every_criterion():
    cases = list(SHORT)
    assert len(cases) == len(SHORT) == len(set(map(str, cases))) == 8
    assert {case.scenario for case in cases} == set(SHORT.scenarios)
    assert str(cases[0]) == "lake-forward-clear-edge-0"


@pytest.mark.parametrize("name", [suite.name for suite in BUILT_IN])
def test_the_built_in_suites_know_their_tracks_and_conditions(name):
    suite = SUITES.find(name)
    suite.check()
    assert suite.name == name
    assert suite.about


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "short"}, "version"),
        ({"scenarios": ()}, "scenarios"),
        ({"seeds": (1, 1)}, "seeds"),
        ({"seeds": (-1,)}, "seed"),
        ({"intervene": ("never",)}, "intervene"),
        ({"laps": 0}, "laps"),
        ({"offset": -1.0}, "offset"),
        ({"max_seconds": 0.0}, "max_seconds"),
    ],
)
def test_a_suite_that_makes_no_sense_is_refused(change, message):
    with pytest.raises(OptionError, match=message):
        Suite(**{"name": "x-v1", "scenarios": scenarios(), **change})


def test_a_scenario_that_there_is_not_is_refused_before_any_drive():
    with pytest.raises(OptionError, match="conditions"):
        run_suite("pid", Suite("x-v1", (Scenario(conditions="hail"),)))
    with pytest.raises(TrackError, match="desert"):
        run_suite("pid", Suite("x-v1", (Scenario("desert"),)))
    with pytest.raises(OptionError, match="no suite 'x-v2'"):
        run_suite("pid", "x-v2")
    with pytest.raises(OptionError, match="no expert 'nobody'"):
        run_suite("nobody", SHORT)


def test_registered_suites_are_found_and_names_mean_one_suite():
    suite = SUITES.register("registered-v1", Suite("registered-v1", scenarios()))
    assert SUITES.find("registered-v1") is suite
    assert "registered-v1" in SUITES.names()
    SUITES.register(suite.name, suite)
    with pytest.raises(OptionError, match="version"):
        SUITES.register("registered-v1", Suite("registered-v1", scenarios(), laps=2))
    with pytest.raises(OptionError, match="version"):
        SUITES.register("lake-v1", Suite("lake-v1", scenarios(), laps=2))


def test_another_seed_starts_somewhere_else_and_the_criteria_share_their_starts(sober_result):
    starts = {
        (e.case.scenario, e.case.seed, e.case.intervene): (e.evaluation.trajectory.s[0], e.evaluation.seed)
        for e in sober_result.episodes
    }
    for scenario in SHORT.scenarios:
        assert starts[scenario, 0, "edge"] == starts[scenario, 0, "road"]
        assert abs(starts[scenario, 0, "edge"][0] - starts[scenario, 1, "edge"][0]) > 10
    assert max(abs(e.evaluation.trajectory.cte[0]) for e in sober_result.episodes) <= 0.5


def test_an_expert_drives_a_suite_without_help(sober_result):
    measures = sober_result.measures()
    assert measures["autonomy"].value == measures["autonomy"].low == 1.0
    assert measures["falls_per_lap"].value == 0.0
    assert measures["off_lane_seconds"].value == 0.0
    assert measures["interventions_per_km"].value == 0.0
    assert math.isnan(measures["lap_time"].value)  # no lap in six seconds
    assert measures["mean_speed"].n == 4
    assert not any(e.films for e in sober_result.episodes)


def test_who_leaves_the_lane_is_seen_by_every_measure_and_filmed(drunk_result, sober_result):
    drunk, sober = drunk_result.measures(), sober_result.measures()
    assert drunk["autonomy"].value < 0.8
    for name in ("interventions_per_km", "off_lane_seconds", "mean_abs_cte", "steering_jerk"):
        assert drunk[name].value > sober[name].value
    films = [film for e in drunk_result.episodes for film in e.films]
    assert len(films) == sum(e.evaluation.interventions for e in drunk_result.episodes)
    for film in films:
        assert (drunk_result.folder / film.strip).stat().st_size > 5000
        assert film.video is None


def test_episodes_read_back_from_their_lines_as_they_were(drunk_result):
    again = SuiteResult.load(drunk_result.folder)
    assert again.suite == SHORT
    assert again.complete
    assert again.measures() == pytest.approx(drunk_result.measures())
    for before, after in zip(drunk_result.episodes, again.episodes, strict=True):
        assert after.case == before.case
        assert after.films == before.films
        assert after.evaluation.to_json() == before.evaluation.to_json()
        np.testing.assert_array_equal(
            after.evaluation.trajectory.off_lane, before.evaluation.trajectory.off_lane
        )


@pytest.mark.long
def test_two_processes_find_what_one_finds(drunk_result, tmp_path):
    parallel = run_suite(DRUNK, SHORT, folder=tmp_path, executor=2)
    for one, two in zip(drunk_result.episodes, parallel.episodes, strict=True):
        assert one.case == two.case
        assert one.evaluation.to_json() == two.evaluation.to_json()
        for film in one.films:
            assert (drunk_result.folder / film.strip).read_bytes() == (tmp_path / film.strip).read_bytes()


def test_an_interrupted_suite_goes_on_and_a_torn_line_is_cut(drunk_result, tmp_path):
    whole = (drunk_result.folder / "episodes.jsonl").read_bytes()
    rows = whole.splitlines(keepends=True)
    (tmp_path / "episodes.jsonl").write_bytes(b"".join(rows[:6]) + rows[6][:1000])
    again = run_suite(DRUNK, SHORT, folder=tmp_path)
    assert [e.evaluation.to_json() for e in again.episodes] == [
        e.evaluation.to_json() for e in drunk_result.episodes
    ]
    found = lines(again)
    assert len(found) == 8
    assert found[:6] == lines(drunk_result)[:6]


def test_a_finished_suite_is_not_driven_again(drunk_result):
    def never(track):
        raise AssertionError("it drives again")

    (identity,) = {line["identity"] for line in lines(drunk_result)}
    driver = ForEachTrack(never, "drunk")
    assert run_suite(driver, SHORT, folder=drunk_result.folder, identity=identity).complete


def test_episodes_of_another_policy_or_suite_are_not_mixed(drunk_result):
    with pytest.raises(UdacityGymError, match=r"the episodes here have policy 'drunk', now it is 'pid'"):
        run_suite("pid", SHORT, folder=drunk_result.folder)
    with pytest.raises(UdacityGymError, match="now it is 'abc'"):
        run_suite(DRUNK, SHORT, folder=drunk_result.folder, identity="abc")
    with pytest.raises(UdacityGymError, match="suite"):
        run_suite(DRUNK, "smoke-v1", folder=drunk_result.folder)


def test_policies_of_one_class_are_told_apart_by_what_is_in_them(tmp_path):
    first, second = (NetworkPolicy(make_network("PilotNet", 2, seed), Preprocessing()) for seed in (0, 1))
    result = run_suite(first, BLINK, folder=tmp_path)
    with pytest.raises(UdacityGymError, match="the episodes here have"):
        run_suite(second, BLINK, folder=tmp_path)
    again = run_suite(load_policy(first.save(tmp_path / "saved")), BLINK, folder=tmp_path)
    assert again.episodes[0].evaluation.to_json() == result.episodes[0].evaluation.to_json()
    assert identity_of(first) == digest_of(tmp_path / "saved")  # so that the command finds the same


def test_whoever_holds_something_else_has_another_identity():
    def made(number):
        policy = NetworkPolicy(make_network("PilotNet", 2, number), Preprocessing())
        straight = Straight()
        straight.network = policy.network  # neither a checkpoint nor bytes that pickle twice alike
        return (
            make_expert("pid", "lake", speed=10.0 + number),
            NoisyExpert(make_expert("pure_pursuit", "lake"), Noise.of(0.1 + number)),
            PolicyExpert(policy),
            Ensemble([policy, policy]),
            straight,
            ForEachTrack(partial(make_expert, "pid", speed=10.0 + number), "pid"),
        )

    for one, same, other in zip(made(0), made(0), made(1), strict=True):
        assert identity_of(one) == identity_of(same) != identity_of(other)
        assert identity_of(one) is not None


@pytest.mark.parametrize("who", ["pid", "pure_pursuit", "racing", "policy", "noisy"])
def test_an_object_that_has_driven_a_suite_is_still_the_same(who, tmp_path):
    policy = NetworkPolicy(make_network("PilotNet", 2, 0), Preprocessing())
    made = {"policy": PolicyExpert(policy), "noisy": NoisyExpert(make_expert("pid", "lake"), seed=3)}
    driver = made.get(who) or make_expert(who, "lake")
    both_ways = Suite(
        "both-ways-v1", scenarios(directions=("forward", "reverse")), (0,), ("edge",), max_seconds=0.2
    )
    first, second = (run_suite(driver, both_ways, folder=tmp_path / "in") for _ in range(2))
    assert lines(first) == lines(second)
    assert lines(run_suite(driver, both_ways, folder=tmp_path / "again")) == lines(first)
    pickled = pickle.loads(pickle.dumps(driver))
    assert lines(run_suite(pickled, both_ways, folder=tmp_path / "copy")) == lines(first)


def test_whoever_counts_is_told_how_to_be_the_same(tmp_path):
    driver = Counting()
    run_suite(driver, BLINK, folder=tmp_path)
    with pytest.raises(
        UdacityGymError, match=r"the episodes here have .* if it is the same policy, pass identity="
    ):
        run_suite(driver, BLINK, folder=tmp_path)


def test_a_set_has_one_identity_in_every_process():
    code = (
        "from udacity_gym.evaluation.identity import identity_of as i; print(i({'a', 'b', frozenset('cde')}))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }  # fmt: skip
    assert found == {f"{identity_of({'a', 'b', frozenset('cde')})}\n"}
    assert found != {f"{identity_of({'a', 'b', frozenset('cdf')})}\n"}


def test_a_policy_of_small_images_is_shown_small_ones():
    small = NetworkPolicy(
        make_network("PilotNet", 2, seed=0), Preprocessing(camera_size=(80, 160), crop=(30, 68))
    )
    for driver in (small, PolicyExpert(small), Ensemble([small])):
        assert run_suite(driver, BLINK).complete


def test_a_folder_is_refused_where_nothing_tells_who_drove_in_it(tmp_path):
    driver = Straight()
    driver.hook = lambda: None
    run_suite(driver, BLINK, folder=tmp_path)
    with pytest.raises(UdacityGymError, match=r"is unknown whether .* identity="):
        run_suite(driver, BLINK, folder=tmp_path)


def test_a_file_that_is_no_log_is_told_by_its_line(tmp_path):
    path = tmp_path / "episodes.jsonl"
    path.write_text('{"format": "other"}\n')
    log = EpisodeLog(path, SHORT, "x")
    with closing(log), pytest.raises(UdacityGymError, match="line 1 is not an episode"):
        log.read()
    path.write_text("")
    with pytest.raises(UdacityGymError, match="no episodes"):
        SuiteResult.load(tmp_path)
    with pytest.raises(UdacityGymError, match="can't read"):
        SuiteResult.load(tmp_path / "nowhere.jsonl")


def test_a_line_that_does_not_belong_to_its_suite_is_told_by_its_number(drunk_result, tmp_path):
    first, second = lines(drunk_result)[:2]
    path = tmp_path / "episodes.jsonl"

    def write(*rows):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    write(first, {**second, "case": {**second["case"], "seed": 7}})
    with pytest.raises(UdacityGymError, match=r"line 2: lake-forward-.*-7 is not a drive of short-v1"):
        SuiteResult.load(tmp_path)
    with pytest.raises(UdacityGymError, match="line 2: lake-forward"):
        run_suite(DRUNK, SHORT, folder=tmp_path)
    for wrong in (None, {**first["suite"], "scenarios": 3}, {**first["suite"], "laps": 0}):
        write({**first, "suite": wrong})
        with pytest.raises(UdacityGymError, match="line 1 has no valid suite"):
            SuiteResult.load(tmp_path)


@pytest.mark.parametrize("content", ["notes of a person", '{"format": "other"}\nand more'])
def test_a_file_that_is_no_log_is_left_as_it_is(tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_text(content)
    with pytest.raises(UdacityGymError, match="not an episode"):
        EpisodeLog(path, SHORT, "x")
    assert path.read_text() == content


def test_a_torn_line_is_cut_off_a_log(drunk_result, tmp_path):
    path = tmp_path / "episodes.jsonl"
    whole = (drunk_result.folder / "episodes.jsonl").read_bytes()
    for torn in (whole[:7], whole[:200]):
        path.write_bytes(whole + torn)
        EpisodeLog(path, SHORT, "x").close()
        assert path.read_bytes() == whole


def test_a_policy_that_can_not_be_pickled_is_refused_for_several_processes():
    policy = Straight()
    policy.hook = threading.Lock()
    with pytest.raises(OptionError, match="use one process"):
        run_suite(policy, SHORT, executor=2)
    with pytest.raises(OptionError, match="folder"):
        run_suite(policy, SHORT, videos=True)


def test_a_comparison_tells_who_is_best_and_by_how_much_from_the_same_starts(drunk_result, sober_result):
    comparison = compare([drunk_result, sober_result.folder])
    autonomy = next(m for m in MEASURES if m.name == "autonomy")
    assert comparison.best(autonomy) == ("pure_pursuit",)
    difference = comparison.differences(autonomy)["pure_pursuit"]
    gains = [1.0 - e.autonomy for e in drunk_result.drives()]
    assert difference.value == pytest.approx(np.mean(gains))
    assert difference.n == 4
    text = str(comparison)
    assert "drunk" in text
    assert "autonomy, %" in text
    assert "lap time" not in text  # nobody has driven a lap
    assert "Student" in text
    json.dumps(comparison.summary(), allow_nan=False)


def test_a_comparison_with_a_human_tells_the_distance_of_their_steering(drunk_result, sober_result):
    own = np.concatenate([e.trajectory.steering for e in sober_result.drives()])
    table = compare([drunk_result, sober_result], human=own).table()
    assert table["drunk"]["steering_distance"].value > table["pure_pursuit"]["steering_distance"].value


def test_only_drives_of_one_suite_by_policies_of_different_names_are_compared(drunk_result, sober_result):
    with pytest.raises(OptionError, match="nothing"):
        compare([])
    with pytest.raises(OptionError, match="names"):
        compare([drunk_result, drunk_result])
    other = SuiteResult(Suite("other-v1", scenarios()), "x", sober_result.episodes)
    with pytest.raises(OptionError, match="same suite"):
        compare([drunk_result, other])


def test_measures_are_worked_out_by_hand():
    measure = {m.name: m for m in MEASURES}
    steps = partial(np.arange, 7.0)
    from udacity_gym.evaluation import Evaluation, Incident, Trajectory

    at = {"s": 0.0, "x": 0.0, "y": 0.0, "z": 0.0, "yaw": 0.0, "cte": 0.0, "speed": 10.0}
    drive = Evaluation(
        policy="x", track="lake", track_data={}, track_length=25.0, laps_wanted=2, intervene="road", seed=0,
        seconds=6.0, distance=50.0, ended="all laps driven",
        incidents=(Incident(time=4.0, distance=30.0, kind="road", intervention=True, **at),),
        trajectory=Trajectory(
            time=steps(), distance=np.array([0.0, 10, 20, 25, 30, 40, 50]), s=steps(), x=steps(), y=steps(),
            cte=np.array([0.0, 1, -2, 1, 0, 0, 0]), speed=steps(), throttle=steps(),
            steering=np.array([0.5, 0.0, 0.1, 0.1, 0.9, 0.2, 0.4]),
            stretch=np.array([0.0, 0, 0, 0, 0, 1, 1]), off_lane=np.array([0.0, 0, 1, 1, 1, 1, 0]),
        ),
    )  # fmt: skip
    assert measure["falls_per_lap"].of(drive) == pytest.approx(0.5)
    assert measure["interventions_per_km"].of(drive) == pytest.approx(20.0)
    assert measure["clean_laps"].of(drive) == pytest.approx(0.5)
    assert measure["lap_time"].of(drive) == pytest.approx(3.0)
    assert measure["off_lane_seconds"].of(drive) == pytest.approx(3.0 / 2)  # not across the put-back
    # Steering 0, 0.1, 0.1, 0.9 before the put-back, one row after its start.
    assert measure["steering_rate"].of(drive) == pytest.approx((0.1 + 0.0 + 0.8) / 3)
    assert measure["steering_jerk"].of(drive) == pytest.approx(math.sqrt((0.1**2 + 0.8**2) / 2))
    assert measure["max_abs_cte"].of(drive) == 2.0
