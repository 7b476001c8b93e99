"""The loop that drives: falls, putting the car back, laps, limits, pauses and seeds."""

import itertools
import math

import gymnasium
import numpy as np
import pytest

from udacity_gym.driving import Decision, Handover, PutBack, PutBackError, Reading, drive
from udacity_gym.driving.loop import PUT_BACK_LATERAL
from udacity_gym.env import UdacityEnv
from udacity_gym.errors import ActionError, OptionError, SimulatorError
from udacity_gym.experts import PID, Noise, NoisyExpert, PurePursuit
from udacity_gym.world import generate_track

DT = 1 / 15
START = {"s": 100.0, "speed": 8.0}


@pytest.fixture(scope="module")
def env():
    """The environment without images."""
    made = UdacityEnv(cameras=())
    yield made
    made.close()


def to_the_right(observation, info):
    """Leaves the road within two seconds."""
    return np.array([1.0, 0.5], np.float32)


def coast(observation, info):
    return np.zeros(2, np.float32)


class Scripted:
    """A driver that does what is written, None being a pause, and remembers how it was asked."""

    def __init__(self, *actions):
        self.actions = iter(actions)
        self.resets = []

    def reset(self, env, info, seed=None):
        self.resets.append((float(info["time"]), seed))

    def decide(self, observation, info):
        action = next(self.actions)
        return None if action is None else Decision(np.array(action, np.float32), "policy")


class Road(gymnasium.Env):
    """A road of laps of 10 m that tells the time, and laps if wanted; the throttle is the speed in m/s."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self, tells_laps):
        self.tells_laps = tells_laps

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time, self.metres = 0.0, 0.0
        return np.zeros(1, np.float32), self._info()

    def step(self, action):
        self.time += 1.0
        self.metres += float(action[1])
        return np.zeros(1, np.float32), 0.0, bool(action[0] > 0.5), False, self._info()

    def _info(self):
        laps = {"lap": int(self.metres // 10)} if self.tells_laps else {}
        return {"time": self.time, "speed": 1.0, **laps}


def first_steps(steps):
    """The first step of each episode."""
    return [step for step in steps if step.starts_episode]


def actions_of(steps):
    return np.array([step.decision.action for step in steps])


def test_a_step_has_what_there_was_before_the_action_and_what_came_of_it(env):
    steps = list(drive(env, PurePursuit(), steps=3, seed=5, start=START))
    for before, after in itertools.pairwise(steps):
        assert before.next_info is after.info
        np.testing.assert_array_equal(before.next_observation, after.observation)
        assert before.next_telemetry is after.telemetry
    first = steps[0]
    assert (first.info["time"], first.info["s"]) == (0.0, pytest.approx(100.0))
    assert first.next_info["time"] == pytest.approx(DT)
    assert first.reward == pytest.approx(sum(first.next_info["reward_terms"].values()))
    assert first.telemetry.speed == pytest.approx(first.info["speed"])
    assert first.env is env
    assert first.seed == 5
    assert [step.starts_episode for step in steps] == [True, False, False]
    assert [step.time for step in steps] == pytest.approx([DT, 2 * DT, 3 * DT])
    assert steps[-1].distance == steps[-1].next_info["progress"] > 1.0
    assert not any(step.is_held or step.ends_episode or step.fell for step in steps)


def test_leaving_the_road_ends_a_drive(env):
    *before, last = drive(env, to_the_right, start=START)
    assert (last.reason, last.fell, last.terminated, last.ends_episode) == ("off_road", True, True, True)
    assert not any(step.ends_episode for step in before)
    assert len(first_steps([*before, last])) == 1


@pytest.mark.parametrize("start", [START, {**START, "track": "jungle", "direction": "reverse"}])
def test_a_car_that_left_the_road_is_put_back_on_the_reference_line_where_it_is(env, start):
    steps = list(drive(env, to_the_right, steps=100, start=start, on_fall="put_back"))
    falls = [step for step in steps if step.fell]
    assert len(falls) > 2
    for fall, first in zip(falls, first_steps(steps)[1:], strict=False):
        # Beside the centre line of a bend, a pose is as exact as a node's curvature.
        assert first.info["s"] == pytest.approx(fall.next_info["s"], abs=0.2)
        assert first.info["cte"] == pytest.approx(0.0, abs=0.02)
        assert first.info["heading_error"] == pytest.approx(0.0, abs=0.02)
        assert first.info["time"] == 0.0
        assert first.info["track"] == start.get("track", "lake")
    assert env.track.direction == start.get("direction", "forward")


def test_a_car_that_is_put_back_keeps_its_speed_unless_that_is_too_fast_for_the_bend(env):
    fits = []
    for s in (100.0, 300.0, 500.0, 700.0):  # straights and hairpins
        start = {"track": "jungle", "s": s, "speed": 10.0}
        steps = list(drive(env, lambda *_: [0.0, 0.8], steps=150, start=start, on_fall="put_back"))
        falls = [step for step in steps if step.fell]
        for fall, first in zip(falls, first_steps(steps)[1:], strict=False):
            limit = math.sqrt(PUT_BACK_LATERAL / max(abs(fall.next_info["curvature"]), 1e-3))
            assert first.info["speed"] == pytest.approx(min(fall.next_info["speed"], limit), abs=1e-6)
            fits.append(fall.next_info["speed"] < limit)
    assert set(fits) == {True, False}


@pytest.mark.parametrize(
    ("rule", "start", "expected"),
    [("start", START, 8.0), ("start", {"s": 100.0}, 0.0), (3.0, START, 3.0), (0.0, START, 0.0)],
)
def test_a_car_is_put_back_with_the_speed_of_the_start_or_a_given_one(env, rule, start, expected):
    driver = Scripted(*[(1.0, 1.0)] * 100)
    put_back = PutBack(speed=rule)
    steps = drive(env, driver, start=start, on_fall="put_back", put_back=put_back)
    second = [step for step in itertools.islice(steps, 100) if step.starts_episode][1]
    assert second.info["speed"] == pytest.approx(expected)


def weathers(env, start, put_back, on_fall="put_back"):
    """Conditions of each of several episodes."""
    drivers = drive(env, to_the_right, steps=150, seed=1, start=start, on_fall=on_fall, put_back=put_back)
    return [step.info["conditions"] for step in drivers if step.starts_episode]


@pytest.mark.parametrize("speed", ["keep", "start", 5.0])
def test_weather_stays_as_it_was_drawn_or_is_drawn_anew(env, speed):
    start = {**START, "weather": ["rain", "fog", "snow", "overcast"], "road_wear": (0.0, 1.0)}
    kept = weathers(env, start, PutBack(speed=speed))
    assert len(kept) > 3
    assert all(conditions == kept[0] for conditions in kept)
    redrawn = weathers(env, start, PutBack(speed=speed, keep_conditions=False))
    assert len({conditions["road_wear"] for conditions in redrawn}) == len(redrawn)
    assert len({conditions["weather"] for conditions in redrawn}) > 1


@pytest.mark.parametrize("speed", ["keep", "start", 5.0])
def test_weather_that_the_start_asks_for_is_there_in_every_episode(env, speed):
    for start in ({**START, "weather": "rain"}, {**START, "conditions": "rain"}):
        for put_back in (PutBack(speed=speed), PutBack(speed=speed, keep_conditions=False)):
            assert {conditions["weather"] for conditions in weathers(env, start, put_back)} == {"rain"}


def test_a_drive_restarts_as_it_started(env):
    steps = list(drive(env, to_the_right, steps=100, seed=0, start=START, on_fall="restart"))
    assert len(first_steps(steps)) > 2
    for step in first_steps(steps):
        assert (step.info["s"], step.info["speed"]) == (pytest.approx(100.0), pytest.approx(8.0))
    anywhere = {"s": "random", "speed": 8.0}
    places = [
        step.info["s"]
        for step in drive(env, to_the_right, steps=100, seed=0, start=anywhere, on_fall="restart")
        if step.starts_episode
    ]
    assert len(set(places)) == len(places) > 2


def test_a_car_that_gets_no_further_for_five_seconds_is_stuck(env):
    *before, last = drive(env, coast, start={"s": 100.0})
    assert (last.reason, last.is_stuck, last.fell, last.terminated) == ("stuck", True, True, False)
    assert last.time == pytest.approx(5.0)
    assert not any(step.is_stuck for step in before)
    last = list(drive(env, coast, stuck_seconds=2.0, on_fall="put_back", seconds=5.0))[-1]
    assert (last.time, last.is_stuck) == (pytest.approx(5.0), False)
    assert not any(step.ends_episode for step in drive(env, coast, stuck_seconds=None, seconds=7.0))


def test_a_car_that_creeps_is_not_stuck(env):
    creep = [step.is_stuck for step in drive(env, PID(speed=0.4), seconds=12.0)]
    assert not any(creep)


def test_laps_are_counted_over_all_episodes():
    track = generate_track(3, difficulty=0.2, length=400.0)
    env = UdacityEnv(cameras=(), track=track)
    expert = PurePursuit(track)

    def slips(observation, info):  # off the road once in 150 m
        return to_the_right(observation, info) if info["progress"] > 150.0 else expert(observation, info)

    *before, last = drive(env, slips, laps=1, on_fall="put_back", put_back=PutBack(speed=8.0))
    assert last.lap == 1
    assert {step.lap for step in before} == {0}
    assert sum(step.fell for step in before) >= 2
    assert last.distance >= track.length > before[-1].distance
    assert last.next_info["lap"] == 0, "it is none in any episode"
    times, distances = (np.array([getattr(step, name) for step in before]) for name in ("time", "distance"))
    assert np.diff(times) == pytest.approx(DT)
    assert np.abs(np.diff(distances)).max() < 1.5, "no jump where the car is put back"


def test_laps_are_those_of_the_environment_where_it_tells_no_metres():
    steps = list(drive(Road(tells_laps=True), Scripted(*[(0.0, 1.0)] * 30), laps=2))
    assert len(steps) == 20
    assert math.isnan(steps[-1].distance)
    driver = Scripted(*[(0.0, 1.0)] * 12, (1.0, 0.0), *[(0.0, 1.0)] * 20)
    steps = list(drive(Road(tells_laps=True), driver, laps=2, on_fall="restart"))
    assert len(steps) == 23, "a lap in the first episode and one in the second"


def test_seconds_and_steps_are_counted_over_all_episodes(env):
    def options(**limit):
        return {"start": START, "on_fall": "put_back", **limit}

    steps = list(drive(env, to_the_right, **options(seconds=6.0)))
    assert len(steps) == 90
    assert len(first_steps(steps)) > 2
    assert [step.time for step in steps] == pytest.approx(DT * np.arange(1, 91))
    assert len(list(drive(env, to_the_right, **options(steps=50)))) == 50
    assert len(list(drive(env, PurePursuit(), seconds=1.0, steps=50))) == 15
    assert len(list(drive(env, PurePursuit(), seconds=1.0, steps=5))) == 5


def test_an_environment_that_truncates_ends_the_drive_or_starts_anew():
    env = UdacityEnv(cameras=(), max_seconds=1.0)
    *before, last = drive(env, coast, start=START, on_fall="put_back")
    assert len(before) == 14
    assert (last.reason, last.truncated, last.fell) == ("max_seconds", True, False)
    steps = list(drive(env, coast, start=START, on_truncation="restart", steps=40))
    assert [number for number, step in enumerate(steps) if step.starts_episode] == [0, 15, 30]
    assert all(step.info["s"] == pytest.approx(100.0) for step in first_steps(steps))
    assert steps[-1].time == pytest.approx(40 * DT)


def test_a_fall_is_also_what_the_caller_says(env):
    def too_far(step):
        return "too far" if step.next_info["progress"] > 5.0 else None

    options = {"start": START, "fall_reason": too_far}
    *before, last = drive(env, PurePursuit(), **options)
    assert (last.reason, last.fell, last.terminated) == ("too far", True, False)
    assert not any(step.fell for step in before)
    steps = list(drive(env, PurePursuit(), on_fall="put_back", seconds=3.0, **options))
    assert sum(step.reason == "too far" for step in steps) > 3


def test_nothing_happens_while_the_driver_holds_the_world(env):
    go = (0.0, 0.5)
    driver = Scripted(None, None, go, None, go, None, None, go, go)
    steps = list(drive(env, driver, steps=4, seed=0, start=START))
    held = [step.is_held for step in steps]
    assert held == [True, True, False, True, False, True, True, False, False]
    assert [step.starts_episode for step in steps] == [False, False, True, *[False] * 6]
    for before, step in itertools.pairwise(steps):
        if step.is_held:
            assert (step.reward, step.reason, step.fell, step.is_stuck) == (0.0, None, False, False)
            assert step.next_info is step.info is before.next_info
            assert step.next_observation is step.observation
            assert (step.time, step.distance, step.lap) == (before.time, before.distance, before.lap)
    assert [step.time for step in steps if not step.is_held] == pytest.approx(DT * np.arange(1, 5))


def test_a_drive_with_pauses_is_the_drive_without_them(env):
    class Policy:
        """Steers by what it remembers; its speed is kept for it."""

        actions = ("steering",)

        def predict(self, observation, state=None, episode_start=None, deterministic=True):
            count = 0 if episode_start[0] else state
            return np.array([0.02 * math.sin(count / 3)], np.float32), count + 1

    class Pauses:
        """A human who only presses "pause"."""

        def __init__(self, *at):
            self.at, self.number = at, -1

        def read(self, observation, info):
            self.number += 1
            return Reading(info["time"], buttons=frozenset({"pause"} if self.number in self.at else ()))

    drives = [
        [step for step in drive(env, Handover(Policy(), human), steps=40, seed=0) if not step.is_held]
        for human in (Pauses(), Pauses(0, 1, 7, 30, 31, 200))
    ]
    without, with_pauses = drives[0], drives[1]
    assert len(without) == len(with_pauses) == 40
    np.testing.assert_array_equal(actions_of(without), actions_of(with_pauses))
    for one, other in zip(without, with_pauses, strict=True):
        assert one.time == other.time
        np.testing.assert_array_equal(one.next_info["pose"], other.next_info["pose"])


def test_whoever_wants_to_stop_breaks_off(env):
    last = None
    for step in drive(env, PurePursuit(), start=START):
        last = step
        if step.time > 0.3:
            break
    assert last is not None
    assert env.telemetry is last.next_telemetry
    env.step(np.zeros(2, np.float32))
    assert env.telemetry.time == pytest.approx(6 * DT)
    assert len(list(drive(env, PurePursuit(), steps=3))) == 3


def test_nothing_is_driven_before_somebody_asks_for_the_first_step(env):
    driver = Scripted()
    drive(env, driver, start=START)
    assert driver.resets == []


def test_a_driver_is_reset_at_every_episode_and_given_its_seed_at_the_first(env):
    driver = Scripted(*[(1.0, 0.5)] * 60)
    steps = list(drive(env, driver, steps=60, driver_seed=7, start=START, on_fall="put_back"))
    assert driver.resets == [(0.0, 7)] + [(0.0, None)] * (len(first_steps(steps)) - 1)
    assert len(driver.resets) > 2


def noise_of(expert, env, **seeds):
    """The noise of each step, by episodes of 15 steps each."""
    steps = drive(env, expert, steps=45, start=START, on_truncation="restart", **seeds)
    return np.array([step.decision.action - step.decision.label for step in steps]).reshape(3, 15, 2)


def test_noise_does_not_repeat_itself_from_episode_to_episode_and_a_rollout_can_be_repeated():
    env = UdacityEnv(cameras=(), max_seconds=1.0)
    expert = NoisyExpert(PurePursuit(), Noise.of(0.1, 0.1, correlation=0.3), seed=1)
    first = noise_of(expert, env, seed=3, driver_seed=4)
    for one, other in itertools.combinations(first, 2):
        assert np.abs(one - other).mean() > 0.05
    np.testing.assert_array_equal(noise_of(expert, env, seed=3, driver_seed=4), first)
    assert np.abs(noise_of(expert, env, seed=3, driver_seed=5) - first).mean() > 0.05
    assert np.abs(noise_of(expert, env, seed=3) - first).mean() > 0.05, "it goes on with its own"


def test_the_same_seed_starts_at_the_same_place(env):
    starts = [next(drive(env, coast, seed=seed, start={"s": "random"})).info["s"] for seed in (1, 1, 2)]
    assert starts[0] == starts[1] != starts[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"laps": 0}, "laps must be a whole number from 1"),
        ({"laps": 1.5}, "laps must be a whole number"),
        ({"seconds": 0.0}, "seconds must be a positive number"),
        ({"seconds": math.nan}, "seconds must be"),
        ({"steps": 0}, "steps must be a whole number from 1"),
        ({"stuck_seconds": -1.0}, "stuck_seconds must be a positive number"),
        ({"on_fall": "fly"}, "on_fall must be one of end, put_back, restart, got 'fly'"),
        ({"on_truncation": "put_back"}, "on_truncation must be 'end' or 'restart'"),
    ],
)
def test_options_out_of_range_are_refused_at_once(env, options, message):
    with pytest.raises(OptionError, match=message):
        drive(env, coast, **options)


def test_who_can_not_drive_is_refused_at_once(env):
    with pytest.raises(OptionError, match="a driver is a policy with predict"):
        drive(env, 3)
    with pytest.raises(OptionError, match="PurePursuit is a class: give an object of it"):
        drive(env, PurePursuit)


def test_what_is_no_action_is_refused(env):
    for driver in (lambda *_: [0.0], lambda *_: [math.nan, 0.0], lambda *_: "left"):
        with pytest.raises(ActionError, match=r"the expert must give two (finite )?numbers"):
            next(drive(env, driver))
    with pytest.raises(ActionError, match="nobody else drives"):
        next(drive(env, lambda *_: None))


def test_laps_that_the_environment_does_not_tell_are_refused():
    with pytest.raises(SimulatorError, match=r"laps can't be counted: .* give seconds"):
        next(drive(Road(tells_laps=False), coast, laps=1))
    assert len(list(drive(Road(tells_laps=False), coast, seconds=3.0))) == 3


def test_a_car_that_can_not_be_put_back_says_so_and_keeps_the_steps_until_then():
    steps = drive(Road(tells_laps=True), Scripted((0.0, 1.0), (1.0, 1.0)), on_fall="put_back")
    driven = list(itertools.islice(steps, 2))
    assert driven[-1].fell
    with pytest.raises(PutBackError, match="does not tell where on its track it is"):
        next(steps)


def test_a_car_is_put_back_on_the_track_that_was_drawn():
    with UdacityEnv(cameras=(), track=["lake", "jungle"], start={"direction": ["forward", "reverse"]}) as env:
        roads = set()
        for seed in range(6):
            places, falls = set(), 0
            for step in drive(env, to_the_right, seconds=8.0, seed=seed, on_fall="put_back"):
                places.add((env.track.name, env.track.direction))
                falls += step.fell
            assert falls > 1
            assert len(places) == 1
            roads |= places
        assert len(roads) > 1


def test_an_environment_that_ends_a_standstill_says_so():
    with UdacityEnv(cameras=(), stuck_seconds=2.0) as env:
        steps = list(drive(env, coast, seconds=20.0))
    assert steps[-1].time == pytest.approx(2.0)
    assert (steps[-1].reason, steps[-1].is_stuck, steps[-1].fell) == ("stuck", True, True)
