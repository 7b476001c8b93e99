import copy
import gc
import tracemalloc

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded

from udacity_gym.conditions import Conditions, Randomization
from udacity_gym.env import UdacityEnv
from udacity_gym.errors import ActionError, OptionError
from udacity_gym.vector import FINAL_OBSERVATION, AutoresetMode, UdacityVectorEnv, gather_infos
from udacity_gym.world.physics.car import CarParameters
from udacity_gym.world.rendering.renderer import Renderer

BEFORE_1_0 = FINAL_OBSERVATION == "final_observation"
SCATTER = {"s": "random", "offset": (-3.0, 3.0), "speed": (0.0, 13.0)}


def blind(cars: int, **arguments) -> UdacityVectorEnv:
    return UdacityVectorEnv(cars, cameras=(), **arguments)


def same(one, other) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, np.ndarray) and one.dtype != object:
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(one, (list, tuple, np.ndarray)):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


@pytest.mark.parametrize(
    "arguments",
    [
        {"cameras": ()},
        {"image_size": (66, 200)},
        {
            "image_size": (84, 84),
            "cameras": ("center", "left", "right"),
            "sensors": ("depth", "segmentation"),
        },
        {"image_size": (66, 200), "conditions": {"named": ("clear", "rain"), "grip": (0.5, 1.0)}},
        {"image_size": (66, 200), "track": "jungle", "simulator_options": {"jpeg": True}},
        {"cameras": (), "car": CarParameters(top_speed=20.0), "direction": "reverse"},
    ],
    ids=["state", "image", "sensors", "conditions", "jpeg", "car"],
)
@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_every_car_does_what_an_environment_of_its_own_does(arguments, mode):
    cars, steps = 3, 12
    arguments = {**arguments, "max_seconds": 0.4}
    envs = UdacityVectorEnv(cars, autoreset_mode=mode, **arguments)
    singles = [UdacityEnv(**arguments) for _ in range(cars)]
    observations, infos = envs.reset(seed=7, options=SCATTER)
    firsts = [env.reset(seed=7 + i, options=SCATTER) for i, env in enumerate(singles)]
    ended = [False] * cars

    def check(told):
        for i, (observation, _) in enumerate(told):
            mine = (
                {name: part[i] for name, part in observations.items()}
                if isinstance(observations, dict)
                else observations[i]
            )
            assert same(mine, observation)
        assert same(infos, gather_infos([info for _, info in told]))

    check(firsts)
    generator = np.random.default_rng(3)
    finals = 0
    for _ in range(steps):
        actions = generator.uniform(-1, 1, (cars, 2)).astype(np.float32)
        observations, rewards, terminated, truncated, infos = envs.step(actions)
        told = []
        for i, env in enumerate(singles):
            if ended[i]:
                told.append(env.reset())
                assert (rewards[i], terminated[i], truncated[i]) == (0.0, False, False)
                ended[i] = False
                continue
            observation, *outcome, info = env.step(actions[i])
            assert outcome == [rewards[i], terminated[i], truncated[i]]
            if outcome[1] or outcome[2]:
                finals += 1
                if mode == "SameStep":
                    last = {FINAL_OBSERVATION: observation, "final_info": info}
                    observation, info = env.reset()
                    info = last | info
                else:
                    ended[i] = True
            told.append((observation, info))
        check(told)
    assert finals >= cars
    envs.close()


@pytest.mark.skipif(BEFORE_1_0, reason="that version knows neither the mode nor the name")
@pytest.mark.parametrize("mode", [None, *AutoresetMode])
def test_gymnasium_makes_it_by_its_id_and_finds_infos_as_its_own(mode):
    arguments = {} if mode is None else {"autoreset_mode": mode}
    envs = gymnasium.make_vec(
        "UdacitySim-v0",
        2,
        vectorization_mode="vector_entry_point",
        cameras=(),
        max_episode_steps=3,
        **arguments,
    )
    assert isinstance(envs.unwrapped, UdacityVectorEnv)
    assert envs.metadata["autoreset_mode"] is (mode or AutoresetMode.NEXT_STEP)
    theirs = gymnasium.make_vec(
        "UdacitySim-v0", 2, vectorization_mode="sync", cameras=(), max_seconds=0.2, vector_kwargs=arguments
    )
    assert envs.observation_space == theirs.observation_space
    assert envs.action_space == theirs.action_space
    assert same(envs.reset(seed=1), theirs.reset(seed=1))
    for _ in range(3):
        assert same(envs.step(np.ones((2, 2), np.float32)), theirs.step(np.ones((2, 2), np.float32)))


def test_gymnasiums_statistics_wrapper_counts_every_episode():
    wrappers = pytest.importorskip("gymnasium.wrappers.vector", reason="gymnasium before 1.0")
    envs = wrappers.RecordEpisodeStatistics(blind(2, max_seconds=0.2))
    envs.reset(seed=0)
    lengths = []
    for _ in range(8):
        infos = envs.step(np.full((2, 2), (0.0, 1.0), np.float32))[4]
        if "episode" in infos:
            lengths += infos["episode"]["l"].tolist()
    assert lengths == [3, 3, 3, 3]


def test_disabled_autoreset_waits_for_a_reset_of_those_that_ended():
    envs = blind(2, autoreset_mode="Disabled", max_seconds=0.2)
    envs.reset(seed=[1, 2], options=[{"s": 0.0}, {"s": 500.0}])
    actions = np.zeros((2, 2), np.float32)
    mask = np.array([False, True])
    envs.step(actions)
    _, infos = envs.reset(options={"reset_mask": mask, "s": 100.0})
    assert infos["_s"].tolist() == [False, True]
    assert infos["s"][1] == pytest.approx(100.0)
    envs.step(actions)
    *_, truncated, infos = envs.step(actions)
    assert truncated.tolist() == [True, False]
    with pytest.raises(ResetNeeded, match=r"cars \[0\]"):
        envs.step(actions)
    envs.reset(options={"reset_mask": truncated})
    *_, infos = envs.step(actions)
    assert infos["time"] == pytest.approx([1 / 15, 3 / 15])


def test_all_images_of_a_step_are_drawn_by_one_call(monkeypatch):
    drawn = []
    render = Renderer.render

    def counted(self, cameras, out, *rest):
        drawn.append(len(cameras))
        return render(self, cameras, out, *rest)

    envs = UdacityVectorEnv(4, cameras=("center", "left"), image_size=(32, 64))
    envs.reset(seed=0)
    monkeypatch.setattr(Renderer, "render", counted)
    envs.step(np.zeros((4, 2), np.float32))
    assert drawn == [8]


def test_cars_on_different_tracks_see_their_own():
    envs = UdacityVectorEnv(3, image_size=(32, 64))
    images, infos = envs.reset(seed=0, options=[{}, {"track": "jungle"}, {}])
    single = UdacityEnv(image_size=(32, 64))
    assert infos["track"].tolist() == ["lake", "jungle", "lake"]
    np.testing.assert_array_equal(images[1], single.reset(options={"track": "jungle"})[0])
    np.testing.assert_array_equal(images[2], single.reset()[0])


@pytest.mark.parametrize("cameras", [(), ("center",), ("center", "left")])
def test_observations_are_copies_unless_the_buffers_themselves_are_wanted(cameras):
    actions = np.ones((2, 2), np.float32)
    for wanted in (True, False):
        envs = UdacityVectorEnv(2, copy=wanted, cameras=cameras, image_size=(32, 64))
        first, _ = envs.reset(seed=0)
        before = copy.deepcopy(first)
        second = envs.step(actions)[0]
        assert (second is first) is not wanted
        assert same(first, before) is wanted
        assert envs.observation_space.contains(second)


def test_conditions_of_every_car_are_told():
    envs = blind(2, conditions="rain")
    _, infos = envs.reset(options=[{}, {"weather": "fog"}])
    assert infos["conditions"]["weather"].tolist() == ["rain", "fog"]
    assert [Conditions.from_dict(info["conditions"]).weather for info in envs.infos] == ["rain", "fog"]


@pytest.mark.skipif(BEFORE_1_0, reason="infos in infos were not gathered yet")
@pytest.mark.parametrize("named", [("compressed", "clear", "low_sun", "ice"), ("ice",)])
def test_gymnasiums_vector_environments_and_wrappers_gather_the_conditions_of_every_car(named):
    from gymnasium.wrappers.vector import DictInfoToList, RecordEpisodeStatistics

    arguments = {"cameras": (), "max_seconds": 0.3, "conditions": Randomization(named, grip=(0.3, 1.0))}
    own = UdacityVectorEnv(4, **arguments)
    sync = gymnasium.make_vec("UdacitySim-v0", num_envs=4, vectorization_mode="sync", **arguments)
    listed = DictInfoToList(
        RecordEpisodeStatistics(
            gymnasium.make_vec("UdacitySim-v0", num_envs=4, vectorization_mode="sync", **arguments)
        )
    )
    actions = np.zeros((4, 2), np.float32)
    for seed in range(3):
        gathered = [own.reset(seed=seed)[1]["conditions"], sync.reset(seed=seed)[1]["conditions"]]
        lists = [listed.reset(seed=seed)[1]]
        for _ in range(7):
            gathered += [envs.step(actions)[4]["conditions"] for envs in (own, sync)]
            lists.append(listed.step(actions)[4])
        assert all(map(same, gathered[::2], gathered[1::2]))
        for conditions, infos in zip(gathered[::2], lists, strict=True):
            assert conditions["grip"].dtype == np.float64
            assert conditions["_grip"].all()
            for car, info in enumerate(infos):
                values = {name: column[car] for name, column in conditions.items() if name[0] != "_"}
                there = {name: value for name, value in values.items() if conditions[f"_{name}"][car]}
                assert Conditions.from_dict(there) == Conditions.from_dict(info["conditions"])


def test_attributes_and_methods_of_all_cars_are_in_reach():
    envs = blind(2, render_mode="rgb_array")
    envs.reset(seed=0)
    assert envs.get_attr("ctrl_dt") == (1 / 15, 1 / 15)
    envs.set_attr("caption", ["one", "two"])
    assert envs.call("caption") == ("one", "two")
    assert [frame.shape for frame in envs.render()] == [(448, 800, 3)] * 2
    envs.close()
    envs.close()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"num_envs": 0}, "num_envs"),
        ({"simulator": "remote"}, "AsyncVectorEnv"),
        ({"render_mode": "human"}, "no windows"),
        ({"autoreset_mode": "never"}, "'Disabled'"),
        ({"cameras": ("behind",)}, "center"),
    ],
)
def test_a_bad_argument_is_refused(arguments, says):
    with pytest.raises(OptionError, match=says):
        UdacityVectorEnv(**arguments)


def test_what_is_not_one_for_each_car_is_refused():
    envs = blind(2)
    with pytest.raises(ResetNeeded):
        envs.step(np.zeros((2, 2), np.float32))
    with pytest.raises(OptionError, match="2 cars, got 3"):
        envs.reset(seed=[1, 2, 3])
    with pytest.raises(OptionError, match="2 cars, got 1"):
        envs.reset(options=[{}])
    for mask in ([True, False], np.array([1, 0]), np.zeros(2, np.bool_)):
        with pytest.raises(OptionError, match="reset_mask"):
            envs.reset(options={"reset_mask": mask})
    envs.reset(seed=0)
    with pytest.raises(ActionError, match=r"\(2, 2\)"):
        envs.step(np.zeros(2, np.float32))
    with pytest.raises(ActionError, match="finite"):
        envs.step(np.array([[0.0, 1.0], [np.nan, 0.0]]))
    assert [env.simulator.world.time for env in envs.envs] == [0.0, 0.0]


def test_a_thousand_episodes_do_not_grow():
    envs = UdacityVectorEnv(4, image_size=(16, 32), max_seconds=0.06, autoreset_mode="SameStep")
    actions = np.zeros((4, 2), np.float32)
    envs.reset(seed=0)
    tracemalloc.start()
    for _ in range(20):
        envs.step(actions)
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(250):
        envs.step(actions)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 500_000  # an image of each episode alone would be 1.5 MB


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_every_episode_of_every_car_starts_as_the_environment_says(mode):
    arguments = {"start": {"s": "random", "speed": (0, 6)}, "track": ["lake", "jungle"], "max_seconds": 0.2}
    envs = blind(3, autoreset_mode=mode, **arguments)
    envs.reset(seed=0)
    starts, tracks = [set() for _ in range(3)], set()
    for _ in range(60):
        envs.step(np.zeros((3, 2), np.float32))
        for car, info in enumerate(envs.reset_infos):
            starts[car].add(info["s"])
            tracks.add(info["track"])
    assert min(map(len, starts)) >= 15
    assert tracks == {"lake", "jungle"}


@pytest.mark.skipif(BEFORE_1_0, reason="that version does not know the mode")
def test_make_vec_hands_a_start_to_every_car():
    envs = gymnasium.make_vec(
        "UdacitySim-v0",
        num_envs=2,
        vectorization_mode="vector_entry_point",
        cameras=(),
        start={"s": "random", "speed": (0, 0.05)},
        track=["lake", "jungle"],
        stuck_seconds=1.0,
    )
    envs.reset(seed=1)
    starts = set()
    for _ in range(100):
        *_, infos = envs.step(np.zeros((2, 2), np.float32))
        starts |= set(infos["s"][infos["time"] == 0.0])
    envs.close()
    assert len(starts) >= 6


def test_no_infos_gather_to_none():
    assert gather_infos([]) == {}
