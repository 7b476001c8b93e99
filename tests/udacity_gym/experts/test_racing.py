import numpy as np
import pytest

from udacity_gym.conditions import Conditions
from udacity_gym.env import UdacityEnv
from udacity_gym.errors import OptionError
from udacity_gym.experts import PurePursuit, Racing, racing_line
from udacity_gym.experts.base import car_in
from udacity_gym.experts.quadratic import solve_between, solve_cyclic
from udacity_gym.experts.racing_line import LANE, fastest
from udacity_gym.world.physics.car import GRAVITY, CarParameters
from udacity_gym.world.track.generator import generate_track
from udacity_gym.world.track.track import Track


def drive(expert, track, laps=2, conditions=None, **options):
    """Drive until the environment ends the episode; infos of every step."""
    env = UdacityEnv(cameras=(), track=track, max_laps=laps, max_seconds=300.0 * laps, conditions=conditions)
    observation, info = env.reset(seed=0, options=options)
    infos, ended = [info], False
    while not ended:
        observation, _, terminated, truncated, info = env.step(expert(observation, info))
        infos.append(info)
        ended = terminated or truncated
    return infos


def flying_lap(infos):
    """Time of the second lap, s."""
    return infos[-1]["time"] - next(info["time"] for info in infos if info["lap"] == 1)


def beside_its_line(expert, infos):
    """m by which the car misses the expert's line."""
    line, middle = expert.line, expert.track.reference_offset
    return np.array([info["cte"] + middle - line.at(line.offset, info["s"]) for info in infos])


def full_matrix(d0, d1, d2):
    n = len(d0)
    matrix = np.zeros((n, n))
    for i in range(n):
        matrix[i, i] += d0[i]
        for distance, values in ((1, d1), (2, d2)):
            j = (i + distance) % n
            matrix[i, j] += values[i]
            matrix[j, i] += values[i]
    return matrix


def some_programme(seed, n=40):
    generator = np.random.default_rng(seed)
    d1, d2 = generator.normal(size=(2, n))
    d0 = 6.0 + generator.uniform(size=n)
    return d0, d1, d2, generator.normal(size=n) * 5.0


@pytest.mark.parametrize("seed", range(3))
def test_cyclic_systems_are_solved(seed):
    d0, d1, d2, rhs = some_programme(seed)
    wanted = np.linalg.solve(full_matrix(d0, d1, d2), rhs)
    np.testing.assert_allclose(solve_cyclic(d0, d1, d2, rhs), wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_programmes_with_bounds_are_solved_to_their_optimum(seed):
    d0, d1, d2, linear = some_programme(seed)
    low, high = np.full(40, -0.5), np.full(40, 0.3)
    x = solve_between(d0, d1, d2, linear, low, high)
    gradient = full_matrix(d0, d1, d2) @ x + linear
    at_low, at_high = x < low + 1e-5, x > high - 1e-5
    assert at_low.any()
    assert at_high.any()
    assert (x >= low).all()
    assert (x <= high).all()
    assert np.abs(gradient[~at_low & ~at_high]).max() < 1e-4
    assert (gradient[at_low] > -1e-4).all()
    assert (gradient[at_high] < 1e-4).all()


@pytest.mark.parametrize("name", ["lake", "jungle"])
def test_a_wider_corridor_gives_a_quicker_line(name):
    track = Track.load(name)
    times = [racing_line(track, within).lap_time for within in (0.0, "lane", 1.0, "road")]
    assert times == sorted(times, reverse=True)
    assert times[-1] < 0.985 * times[0]


@pytest.mark.parametrize("name", ["lake", "jungle"])
@pytest.mark.parametrize("turned", [False, True])
def test_lines_stay_within_their_corridor_and_what_the_car_can_do(name, turned):
    track = Track.load(name).reversed() if turned else Track.load(name)
    car = CarParameters()
    for within in ("lane", "road"):
        line = racing_line(track, within)
        wheels = np.abs(line.offset) + 0.5 * car.track_width
        assert wheels.max() < track.lane_half_width
        if within == "lane":
            assert np.abs(line.offset - track.reference_offset).max() <= LANE + 1e-6
        assert (line.curvature * line.speed**2).max() < 0.71 * car.lateral_limit
        assert line.speed.max() <= fastest(car)
        assert line.acceleration.max() < car.engine + GRAVITY * 0.32
        assert line.acceleration.min() > -car.brake - car.drag * 14 - GRAVITY * 0.32 - 3.0


def test_a_line_closes_without_a_kink_at_the_start():
    line = racing_line(Track.load("jungle"), "road")
    turns = np.abs(np.diff(np.concatenate([line.curvature, line.curvature])))
    n = len(line.curvature)
    assert turns[n - 5 : n + 5].max() <= np.quantile(turns, 0.999)


def test_a_line_is_computed_once_and_goes_with_its_track():
    import gc
    import weakref

    track = Track(Track.load("lake").data)
    assert racing_line(track, "road") is racing_line(track, "road")
    np.testing.assert_array_equal(
        racing_line(track, "road").offset, racing_line(Track(track.data), "road").offset
    )
    seen = weakref.ref(racing_line(track, "road"))
    del track
    gc.collect()
    assert seen() is None


@pytest.mark.parametrize(
    ("name", "within", "seconds"),
    [("lake", "lane", 84.5), ("lake", "road", 83.0), ("jungle", "lane", 111.0), ("jungle", "road", 102.0)],
)
def test_racing_laps_cleanly_as_fast_as_planned(name, within, seconds):
    expert = Racing(name, within=within)
    infos = drive(expert, name)
    assert infos[-1]["end_reason"] == "max_laps"
    assert not any(info["off_lane"] for info in infos)
    assert flying_lap(infos) == pytest.approx(expert.line.lap_time, rel=0.005)
    assert flying_lap(infos) < seconds
    beside = np.abs(beside_its_line(expert, infos))[150:]
    assert beside.mean() < 0.08
    assert beside.max() < 0.6  # at top speed, where one bend follows the other
    if within == "lane":
        assert max(abs(info["cte"]) for info in infos[150:]) < 1.0, "no departure from the reference line"


@pytest.mark.parametrize("name", ["lake", "jungle"])
def test_racing_is_faster_than_pure_pursuit_and_smoother(name):
    strong, weak = Racing(name), PurePursuit(name, speed=13.5)
    quick, slow = (drive(expert, name, laps=1) for expert in (strong, weak))
    assert quick[-1]["time"] < slow[-1]["time"]

    def unrest(infos):
        return np.abs(np.diff([info["steering"] for info in infos])).mean()

    assert unrest(quick) < unrest(slow)


@pytest.mark.parametrize("expert", [PurePursuit, Racing])
def test_the_jungle_is_lapped_the_other_way_as_well(expert):
    track = Track.load("jungle").reversed()
    infos = drive(expert(track), track, laps=1)
    assert infos[-1]["end_reason"] == "max_laps"
    assert not any(info["off_lane"] for info in infos)


def test_pure_pursuit_laps_the_jungle_in_its_lane():
    infos = drive(PurePursuit("jungle"), "jungle", laps=1)
    assert infos[-1]["end_reason"] == "max_laps"
    assert np.abs([info["cte"] for info in infos]).mean() < 0.25
    assert np.abs([info["cte"] for info in infos]).max() < 1.0
    assert not any(info["off_lane"] for info in infos)


@pytest.mark.parametrize("expert", [PurePursuit, Racing])
@pytest.mark.parametrize(("seed", "difficulty", "markings"), [(3, 0.7, "lanes"), (4, 1.0, "edges")])
def test_tracks_that_nobody_has_seen_are_lapped_as_well(expert, seed, difficulty, markings):
    track = generate_track(seed, difficulty=difficulty, length=800.0, markings=markings)
    infos = drive(expert(track), track, laps=1)
    assert infos[-1]["end_reason"] == "max_laps"
    assert not any(info["off_lane"] for info in infos)
    assert max(abs(info["cte"]) for info in infos[60:]) < 1.0


@pytest.mark.parametrize("name", ["lake", "jungle"])
def test_racing_finds_back_to_its_line(name):
    expert = Racing(name)
    track = Track.load(name)
    env = UdacityEnv(cameras=(), track=name, max_seconds=10)
    for seed in range(10):
        middle = track.reference_offset
        offset = (middle - 2.0, min(middle + 2.0, track.half_width - 1.0))
        options = {"s": "random", "offset": offset, "heading_error": (-0.3, 0.3), "speed": (0, 9)}
        observation, info = env.reset(seed=seed, options=options)
        infos, ended = [], False
        while not ended:
            observation, _, terminated, truncated, info = env.step(expert(observation, info))
            infos.append(info)
            ended = terminated or truncated
        assert not terminated
        assert np.abs(beside_its_line(expert, infos))[-30:].max() < 0.4


def test_an_expert_takes_the_grip_of_its_car_from_info():
    env = UdacityEnv(cameras=(), conditions=Conditions(grip=0.3))
    _, info = env.reset(seed=0)
    car = car_in(info, CarParameters())
    assert car.grip == pytest.approx(0.3 * CarParameters().grip)
    assert car.ground_grip == pytest.approx(0.3 * CarParameters().ground_grip)
    assert car.brake == pytest.approx(0.3 * CarParameters().brake)
    assert car_in({"speed": 1.0}, CarParameters()) == CarParameters()
    with pytest.raises(AttributeError):
        car_in({"conditions": Conditions(grip=0.3)}, CarParameters())


@pytest.mark.parametrize("expert", [PurePursuit, Racing])
@pytest.mark.parametrize("grip", [0.3, 0.62])
def test_experts_mind_how_slippery_the_road_is(expert, grip):
    infos = drive(expert("jungle"), "jungle", laps=1, conditions=Conditions(grip=grip))
    dry = drive(expert("jungle"), "jungle", laps=1)
    assert infos[-1]["end_reason"] == "max_laps"
    assert not any(info["off_lane"] for info in infos)
    assert max(abs(info["cte"]) for info in infos[60:]) < 1.0
    assert infos[-1]["time"] > dry[-1]["time"] + 0.5


def test_racing_has_no_memory():
    expert = Racing("jungle")
    infos = drive(expert, "jungle", laps=1)[:60]
    there = [expert(None, info) for info in infos]
    back = [expert(None, info) for info in reversed(infos)][::-1]
    np.testing.assert_array_equal(there, back)


def test_racing_keeps_to_the_speed_it_is_given():
    infos = drive(Racing("jungle", speed=6.0), "jungle", laps=1)
    assert not any(info["off_lane"] for info in infos)
    assert max(info["speed"] for info in infos) < 6.4


def test_racing_refuses_another_track_and_settings_out_of_range():
    env = UdacityEnv(cameras=(), track="jungle")
    observation, info = env.reset(seed=0)
    with pytest.raises(OptionError, match=r"track=env\.unwrapped\.track"):
        Racing("lake")(observation, info)
    for setting in ({"within": "grass"}, {"within": -1.0}, {"grip": 1.5}, {"braking": 0.0}, {"speed": 0.0}):
        with pytest.raises(OptionError, match=f"^{next(iter(setting))} must be"):
            Racing("lake", **setting)
