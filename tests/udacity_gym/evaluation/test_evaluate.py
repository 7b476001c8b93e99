"""`evaluate` on the simplest car there is, so that every figure can be worked out by hand."""

import dataclasses
import itertools
import math

import gymnasium as gym
import numpy as np
import pytest

from udacity_gym.errors import OptionError, SimulatorError, UdacityGymError
from udacity_gym.evaluation import Evaluation, EvaluationStep, Trajectory, autonomy, evaluate
from udacity_gym.evaluation.metrics import EdgeDepartures, ReferenceDepartures
from udacity_gym.world.track.track import Track

DT = 0.1
SPEED = 10.0


class Glider(gym.Env):
    """Throttle above 0 moves 1 m along the track per step; steering is the share of the sideways speed.

    A wheel is over the edge line beyond 2.68 m, off the road is beyond 4.76 m.
    """

    observation_space = gym.spaces.Box(0, 255, (4, 4, 3), np.uint8)
    action_space = gym.spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self, places=True, steps=None, sideways=1.0):
        self.track = Track.load("lake")
        self.sideways = sideways  # m per step
        self.places = places
        self.steps = steps
        self.placed = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if options and not self.places:
            raise SimulatorError("this simulator can't place the car")
        self.placed += [options] if options else []
        options = options or {}
        self.s, self.cte = options.get("s", 267.0), options.get("offset", 0.0)
        self.progress, self.count, self.action = 0.0, 0, np.zeros(2)
        return self._observation(), self._info()

    def step(self, action):
        self.action = np.asarray(action, dtype=np.float64)
        self.cte += self.sideways * float(self.action[0])
        self.progress += float(np.sign(self.action[1]))
        self.count += 1
        info = self._info()
        truncated = self.steps is not None and self.count >= self.steps
        return self._observation(), 0.0, info["offroad"], truncated, info

    def _observation(self):
        return np.zeros((4, 4, 3), np.uint8)

    def _info(self):
        s = self.track.wrap(self.s + self.progress)
        pose = self.track.pose_at(s, self.cte)
        return {
            "time": self.count * DT,
            "progress": self.progress,
            "s": s,
            "cte": self.cte,
            "speed": float(np.sign(self.action[1])) * SPEED,
            "steering": float(self.action[0]),
            "throttle": max(0.0, float(self.action[1])),
            "brake": max(0.0, -float(self.action[1])),
            "curvature": self.track.curvature_at(s),
            "offroad": abs(self.cte) > 4.76,
            "off_lane": abs(self.cte) > 2.68,
            "pose": np.array([pose.x, pose.y, pose.z, pose.yaw]),
        }


def straight_on(observation, info):
    return np.array([0.0, 1.0], np.float32)


def drift(observation, info):
    return np.array([0.25, 1.0], np.float32)


def stand_still(observation, info):
    return np.array([0.0, 0.0], np.float32)


class Policy:
    """Drives straight on and remembers how it was asked."""

    name = "straight"

    def __init__(self):
        self.starts = []

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        self.starts.append((state, bool(episode_start[0])))
        return np.array([0.0, 1.0], np.float32), (state or 0) + 1


@pytest.mark.parametrize(
    ("interventions", "seconds", "expected"),
    [(0, 100.0, 1.0), (10, 600.0, 0.9), (1, 12.0, 0.5), (5, 10.0, 0.0), (0, 0.0, 0.0)],
)
def test_autonomy_charges_six_seconds_per_intervention(interventions, seconds, expected):
    assert autonomy(interventions, seconds) == pytest.approx(expected)


def test_autonomy_refuses_negative_numbers():
    with pytest.raises(ValueError, match="negative"):
        autonomy(-1, 10.0)


def test_one_excursion_from_the_reference_line_counts_once():
    departures = ReferenceDepartures()
    ctes = [0.5, 1.1, 0.9, 1.2, 1.0, -0.7, -1.01, -3.0, 0.0]
    assert [departures.update(c) for c in ctes] == [
        False,
        True,
        False,
        False,
        False,
        False,
        True,
        False,
        False,
    ]


def test_one_excursion_over_the_edge_line_counts_once():
    departures = EdgeDepartures()
    outside = [False, True, True, False, True, False, False, True]
    times = [0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.9, 1.0]
    begins = [departures.update(o, t) for o, t in zip(outside, times, strict=True)]
    assert begins == [False, True, False, False, False, False, False, True]


def test_a_clean_drive_has_full_autonomy_and_all_laps():
    evaluation = evaluate(straight_on, Glider(), laps=2)
    length = Track.load("lake").length
    assert evaluation.laps == evaluation.laps_without_intervention == 2
    assert evaluation.interventions == 0
    assert evaluation.autonomy == evaluation.edge_autonomy == evaluation.reference_autonomy == 1.0
    assert evaluation.distance == math.ceil(2 * length)
    assert evaluation.mean_speed == pytest.approx(SPEED)
    assert evaluation.lap_times == pytest.approx([length / SPEED] * 2)
    assert evaluation.distance_to_first_intervention is None
    assert evaluation.longest_distance_without_intervention == evaluation.distance
    assert evaluation.ended == "all laps driven"
    assert len(evaluation.trajectory) == math.ceil(2 * length) + 1


def test_a_drift_over_the_edge_line_is_put_back_on_the_reference_line_at_the_same_place():
    env = Glider()
    evaluation = evaluate(drift, env, max_seconds=11.0)  # 10 whole excursions of 11 steps
    # 0.25 m per step: past 1 m in step 5, past 2.68 m in step 11.
    assert evaluation.interventions == evaluation.edge_departures == evaluation.reference_departures == 10
    assert [i.kind for i in evaluation.incidents[:2]] == ["reference", "edge"]
    assert [i.intervention for i in evaluation.incidents[:2]] == [False, True]
    assert evaluation.distance_to_first_intervention == pytest.approx(11.0)
    assert evaluation.distance == pytest.approx(110.0)
    assert evaluation.max_abs_cte == pytest.approx(2.75)
    for k, options in enumerate(env.placed, start=1):
        assert options["s"] == pytest.approx(267.0 + 11 * k)
        assert options["offset"] == env.track.reference_offset
        assert 8.0 <= options["speed"] <= SPEED


def test_intervening_on_the_reference_line_puts_back_after_a_metre():
    evaluation = evaluate(drift, Glider(), max_seconds=10.0, intervene="reference")
    assert evaluation.interventions == evaluation.reference_departures == 20  # every 5 steps
    assert evaluation.edge_departures == 0
    assert evaluation.edge_autonomy == 1.0
    assert evaluation.autonomy == evaluation.reference_autonomy == 0.0
    assert evaluation.max_abs_cte == pytest.approx(1.25)


def test_autonomy_of_a_drive_is_the_formula_of_its_interventions_and_seconds():
    steps = itertools.count()

    def one_slip(observation, info):
        return np.array([0.5 if 20 <= next(steps) < 26 else 0.0, 1.0], np.float32)

    evaluation = evaluate(one_slip, Glider(), laps=1)
    assert evaluation.interventions == 1
    assert evaluation.autonomy == pytest.approx(1 - 6 / evaluation.seconds)
    assert evaluation.laps == 1
    assert evaluation.laps_without_intervention == 0
    first = evaluation.distance_to_first_intervention
    assert evaluation.longest_distance_without_intervention == pytest.approx(evaluation.distance - first)


def test_leaving_the_road_in_one_step_is_one_intervention():
    def jump(observation, info):
        return np.array([0.0 if info["progress"] < 10 else 1.0, 1.0])

    evaluation = evaluate(jump, Glider(sideways=5.0), max_seconds=11.0)
    assert evaluation.interventions == evaluation.edge_departures == evaluation.reference_departures == 10


def test_standing_still_is_an_intervention_every_five_seconds_and_the_time_limit_ends_it():
    evaluation = evaluate(stand_still, Glider(), max_seconds=30.0)
    assert evaluation.interventions == 6
    assert {i.kind for i in evaluation.incidents} == {"stuck"}
    assert evaluation.autonomy == evaluation.edge_autonomy == evaluation.reference_autonomy == 0.0
    assert evaluation.seconds == pytest.approx(30.0)
    assert evaluation.laps == 0
    assert "time limit" in evaluation.ended


def test_driving_backwards_counts_as_stuck_and_earns_no_laps():
    evaluation = evaluate(lambda o, i: np.array([0.0, -1.0]), Glider(), max_seconds=120.0)
    assert evaluation.interventions == 24
    assert evaluation.laps == 0
    assert evaluation.distance == pytest.approx(-1200.0)


def test_a_policy_is_told_where_episodes_begin_and_gets_its_own_state_back():
    policy = Policy()
    evaluation = evaluate(policy, Glider(), max_seconds=0.3)
    assert policy.starts == [(None, True), (1, False), (2, False)]
    assert evaluation.policy == "straight"


def test_a_simulator_that_can_not_place_the_car_ends_the_evaluation_at_the_first_intervention():
    with pytest.warns(UserWarning, match="can't be put back"):
        evaluation = evaluate(drift, Glider(places=False))
    assert evaluation.interventions == 1
    assert evaluation.seconds == pytest.approx(1.1)
    assert evaluation.distance == pytest.approx(11.0)
    assert "can't be put back" in evaluation.ended


def test_an_environment_that_truncates_ends_the_evaluation():
    with pytest.warns(UserWarning, match=r"only 0 of 3 laps .* the environment truncated .* after 7 m"):
        evaluation = evaluate(straight_on, Glider(steps=7))
    assert evaluation.seconds == pytest.approx(0.7)
    assert "truncated" in evaluation.ended


def test_a_drive_that_was_cut_short_does_not_look_like_a_success():
    with pytest.warns(UserWarning, match="truncated"):
        evaluation = evaluate(straight_on, Glider(steps=7))
    assert not evaluation.complete
    assert evaluation.summary()["complete"] is False
    assert "0 of 3, not all: the environment truncated the episode after 7 m" in str(evaluation)
    assert "100.0% of 1 s only" in str(evaluation)
    assert "0 of 3 laps" in repr(evaluation)


def test_an_environment_that_truncates_after_the_laps_cuts_nothing_short():
    length = math.ceil(Track.load("lake").length)
    evaluation = evaluate(straight_on, Glider(steps=length), laps=1)
    assert evaluation.complete
    assert "not all" not in str(evaluation)


def test_on_step_sees_every_step_with_what_the_action_was_chosen_on():
    steps: list[EvaluationStep] = []
    evaluation = evaluate(drift, Glider(), max_seconds=2.2, on_step=steps.append)
    assert len(steps) == 22
    assert steps[-1].interventions == evaluation.interventions == 2
    assert [s.incidents[0].kind for s in steps if s.incidents] == ["reference", "edge"] * 2
    assert all(s.observation.shape == (4, 4, 3) for s in steps)
    assert np.diff([s.time for s in steps]) == pytest.approx([DT] * 21)


def test_time_and_distance_run_on_over_a_put_back():
    trajectory = evaluate(drift, Glider(), max_seconds=5.0).trajectory
    assert (np.diff(trajectory.time) >= 0).all()
    assert (np.diff(trajectory.distance) >= 0).all()
    assert trajectory.stretch[0] == 0
    assert trajectory.stretch[-1] == 4


def test_an_evaluation_prints_as_a_table_of_its_figures():
    evaluation = evaluate(drift, Glider(), max_seconds=11.0)
    assert repr(evaluation) == "<Evaluation: drift on lake, 0 of 3 laps, autonomy 0.0%, interventions 10>"
    text = str(evaluation)
    assert "drift on track lake" in text
    assert "interventions" in text
    assert "autonomy" in text
    assert "10, the first after 11 m" in text


def test_a_saved_evaluation_reads_back_with_the_same_figures(tmp_path):
    rng = np.random.default_rng(0)

    def wander(observation, info):
        return np.array([rng.normal(0, 1 / 3), 1.0])

    evaluation = evaluate(wander, Glider(), max_seconds=40.0, seed=3)
    assert evaluation.incidents
    path = evaluation.save(tmp_path / "deep" / "evaluation.json")
    again = Evaluation.load(path)
    assert again.summary() == evaluation.summary()
    assert again.incidents == evaluation.incidents
    for column in dataclasses.fields(Trajectory):
        np.testing.assert_array_equal(
            getattr(again.trajectory, column.name), getattr(evaluation.trajectory, column.name)
        )
    assert again.track_data == evaluation.track_data
    assert [p.name for p in path.parent.iterdir()] == ["evaluation.json"]


def test_saving_where_nothing_can_be_written_says_so(tmp_path):
    (tmp_path / "file").touch()
    evaluation = evaluate(straight_on, Glider(), max_seconds=0.2)
    with pytest.raises(UdacityGymError, match=r"evaluation\.json can't be written"):
        evaluation.save(tmp_path / "file" / "evaluation.json")


def test_loading_something_else_says_what_is_wrong(tmp_path):
    (tmp_path / "x.json").write_text('{"format": "other"}')
    with pytest.raises(UdacityGymError, match="not a saved evaluation"):
        Evaluation.load(tmp_path / "x.json")
    with pytest.raises(UdacityGymError, match="can't read"):
        Evaluation.load(tmp_path / "y.json")


@pytest.mark.parametrize(
    "bad",
    [
        {"laps": 0},
        {"laps": math.nan},
        {"laps": 1.5},
        {"laps": "3"},
        {"max_seconds": 0.0},
        {"max_seconds": math.nan},
        {"max_seconds": "60"},
        {"seed": -3},
        {"intervene": "never"},
    ],
)
def test_bad_arguments_are_refused(bad):
    with pytest.raises(OptionError, match=next(iter(bad))):
        evaluate(straight_on, Glider(), **bad)


def test_a_policy_that_is_none_is_refused():
    with pytest.raises(OptionError, match="predict"):
        evaluate(3, Glider())


def test_an_environment_without_a_track_is_refused():
    env = Glider()
    del env.track
    with pytest.raises(SimulatorError, match="position of the car"):
        evaluate(straight_on, env)


def test_an_environment_whose_info_has_no_cross_track_error_is_refused():
    class Lost(Glider):
        def _info(self):
            return {"time": self.count * DT, "speed": 0.0, "offroad": False}

    with pytest.raises(SimulatorError, match="position of the car"):
        evaluate(straight_on, Lost())
