"""Many cars at once: each has the drive that it would have alone."""

from contextlib import closing

import numpy as np
import pytest

from udacity_gym import UdacityEnv, UdacityVectorEnv
from udacity_gym.driving import Drive, Rules, drive, drive_many
from udacity_gym.errors import ActionError, OptionError
from udacity_gym.evaluation import ForEachTrack, Suite, run_suite, scenarios
from udacity_gym.experts import Noise, NoisyExpert, PurePursuit, make_expert

SIZE = (40, 80)


class ByBrightness:
    """A policy that looks, remembers, and takes single observations and batches."""

    image_size = SIZE
    inputs = ("speed",)

    def __init__(self):
        self.sizes = []

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        image, speed = observation["center"], np.asarray(observation["speed"])
        batch = image if image.ndim == 4 else image[None]
        self.sizes.append(len(batch))
        halves = batch[:, 20:].astype(np.int64).sum((1, 3)).reshape(len(batch), 2, -1).sum(2)
        steering = np.clip((halves[:, 1] - halves[:, 0]) / halves.sum(1) * 8, -1, 1)
        past = np.zeros(len(batch)) if state is None else np.where(episode_start, 0.0, state)
        actions = np.stack([(steering + past) / 2, np.where(speed.reshape(-1) < 8, 0.6, 0.0)], 1)
        return actions.astype(np.float32) if image.ndim == 4 else actions[0].astype(np.float32), steering


def what(step):
    return step.time, step.distance, step.info["s"], step.reason, tuple(step.decision.action), step.fell


RULES = [
    Rules(seconds=4.0, on_fall="put_back", start={"s": "random", "conditions": "rain"}),
    Rules(steps=20, start={"s": 100.0, "speed": 5.0}),
    Rules(seconds=6.0, on_fall="restart", start={"s": 300.0, "speed": 13.0, "track": "jungle"}),
]


@pytest.mark.parametrize("policy", [ByBrightness(), None])
def test_each_car_has_the_drive_that_it_would_have_alone(policy):
    experts = [NoisyExpert(PurePursuit(), Noise.of(0.5)) if policy is None else None for _ in RULES]
    alone = []
    for seed, (rules, expert) in enumerate(zip(RULES, experts, strict=True)):
        with closing(UdacityEnv(image_size=SIZE)) as env:
            steps = drive(
                env,
                policy or expert,
                seconds=rules.seconds,
                steps=rules.steps,
                seed=seed,
                driver_seed=seed,
                start=rules.start,
                on_fall=rules.on_fall,
            )
            alone.append([what(step) for step in steps])
    assert {len(steps) for steps in alone} == {60, 20, 90}, "they end one after the other"
    with closing(UdacityVectorEnv(4, image_size=SIZE)) as envs:
        drives = [
            Drive(r, seed, seed, driver=e) for seed, (r, e) in enumerate(zip(RULES, experts, strict=True))
        ]
        together = [[] for _ in RULES]
        for i, step in drive_many(envs, policy, drives):
            together[i].append(what(step))
    assert together == alone


def test_the_policy_always_gets_a_batch_of_one_size_and_cars_that_are_done_are_not_moved(monkeypatch):
    policy, moved = ByBrightness(), []
    step_cars = UdacityVectorEnv.step_cars

    def counted(self, cars, actions):
        moved.append(list(cars))
        return step_cars(self, cars, actions)

    monkeypatch.setattr(UdacityVectorEnv, "step_cars", counted)
    with closing(UdacityVectorEnv(3, image_size=SIZE)) as envs:
        list(drive_many(envs, policy, [Drive(Rules(steps=2)), Drive(Rules(steps=4))]))
    assert policy.sizes == [3] * 4
    assert moved == [[0, 1], [0, 1], [1], [1]]


def test_what_can_not_drive_many_cars_is_refused():
    with closing(UdacityVectorEnv(1, image_size=SIZE)) as envs:
        with pytest.raises(OptionError, match="2 drives need as many cars, and there are 1"):
            drive_many(envs, ByBrightness(), [Drive(), Drive()])
        with pytest.raises(OptionError, match="each drive needs a driver"):
            drive_many(envs, None, [Drive()])

        class Single(ByBrightness):
            def predict(self, observation, **_):
                return np.zeros(2, np.float32), None

        with pytest.raises(ActionError, match=r"Single gave actions of shape \(2,\) for a batch of 1"):
            list(drive_many(envs, Single(), [Drive()]))


SUITE = Suite(
    "both-v1",
    scenarios(("lake", "jungle"), ("forward", "reverse"), ("clear", "fog"))[:5],
    seeds=(0, 1),
    intervene=("edge", "road"),
    max_seconds=3.0,
)


def noisy(track):
    return NoisyExpert(make_expert("pure_pursuit", track), Noise.of(0.9, correlation=2.0), seed=3)


def look(track):
    return ByBrightness()


@pytest.mark.long
@pytest.mark.parametrize("make", [noisy, look])
def test_a_suite_of_many_cars_is_that_of_one_where_batches_round_alike(make, tmp_path):
    policy = ForEachTrack(make, "pilot")
    one = run_suite(policy, SUITE, folder=tmp_path / "one")
    for name, settings in {"together": {}, "two processes": {"executor": 2}}.items():
        many = run_suite(policy, SUITE, folder=tmp_path / name, cars=3, **settings)
        for a, b in zip(one.episodes, many.episodes, strict=True):
            assert a.case == b.case
            assert a.films == b.films
            assert a.evaluation.to_json() == b.evaluation.to_json()
        for film in (tmp_path / "one").glob("films/*"):
            assert film.read_bytes() == (tmp_path / name / "films" / film.name).read_bytes()


@pytest.mark.long
def test_a_networks_falls_and_autonomy_stay_within_their_intervals():
    algorithms = pytest.importorskip("algorithms")
    suite = Suite("network-v1", scenarios(), seeds=(0, 1, 2), intervene=("edge", "road"), max_seconds=5.0)
    network = algorithms.make_network("PilotNet", 2, 0)
    policy = algorithms.NetworkPolicy(network, algorithms.Preprocessing())
    one, many = run_suite(policy, suite), run_suite(policy, suite, cars=4)
    for a, b in zip(one.episodes, many.episodes, strict=True):
        np.testing.assert_allclose(a.evaluation.trajectory.x, b.evaluation.trajectory.x, atol=0.05)
    for name in ("autonomy", "interventions_per_km", "falls_per_lap", "mean_abs_cte"):
        before, after = one.measures()[name], many.measures()[name]
        assert before.n == after.n == 3
        assert before.low - 1e-6 <= after.value <= before.high + 1e-6, name
