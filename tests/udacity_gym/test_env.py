import gc
import inspect
import math
import os
import pickle
import re
import warnings
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env as gymnasium_check
from gymnasium.wrappers import FlattenObservation, RecordEpisodeStatistics
from stable_baselines3.common.env_checker import check_env as sb3_check

import udacity_gym
from udacity_gym.env import UdacityEnv
from udacity_gym.errors import (
    ActionError,
    DisplayError,
    MissingDependencyError,
    OptionError,
    SimulatorError,
    TrackError,
)
from udacity_gym.experts import PurePursuit
from udacity_gym.installation import install_command
from udacity_gym.observer import PREVIEW, STATE_SCALES
from udacity_gym.rewards import DEFAULT_REWARDS
from udacity_gym.simulators.embedded import EmbeddedSimulator
from udacity_gym.telemetry import CAMERAS, Control
from udacity_gym.world.physics.car import CarParameters
from udacity_gym.world.track.track import Track

ALL_CAMERAS = pytest.mark.parametrize("cameras", [("center",), ("left",), CAMERAS, ()])
FORWARD = np.array([0.0, 1.0], np.float32)
NO_DISPLAY = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")


def make(**arguments) -> gymnasium.Env:
    return gymnasium.make(udacity_gym.ENV_ID, **arguments)


def blind(**arguments) -> UdacityEnv:
    return UdacityEnv(cameras=(), **arguments)


@pytest.fixture
def no_display(monkeypatch):
    for name in NO_DISPLAY:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def dummy_display(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


@ALL_CAMERAS
@pytest.mark.parametrize("render_mode", [None, "rgb_array", "human"])
@pytest.mark.parametrize("check", [gymnasium_check, sb3_check])
def test_checkers_pass_without_a_warning(check, cameras, render_mode, dummy_display):
    env = make(cameras=cameras, render_mode=render_mode)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(env.unwrapped)
        env.close()


def test_the_checker_passes_where_there_is_no_display(no_display):
    gymnasium_check(make().unwrapped)


@ALL_CAMERAS
def test_observations_belong_to_their_space_and_are_fresh(cameras):
    env = make(cameras=cameras)
    first, _ = env.reset(seed=0)
    second = env.step(FORWARD)[0]
    for observation in (first, second):
        assert observation in env.observation_space
    pairs = [(first, second)] if not isinstance(first, dict) else [(first[c], second[c]) for c in cameras]
    for before, after in pairs:
        assert not np.shares_memory(before, after)


def test_several_cameras_see_the_road_from_different_places():
    observation, _ = make(cameras=CAMERAS).reset(seed=0)
    assert tuple(observation) == CAMERAS
    alone, _ = make(cameras=("center",)).reset(seed=0)
    np.testing.assert_array_equal(observation["center"], alone)
    assert (observation["left"] != observation["right"]).any()


@ALL_CAMERAS
def test_same_seed_and_actions_give_the_same_bytes(cameras):
    runs = []
    for _ in range(2):
        env = make(cameras=cameras, render_mode="rgb_array")
        env.action_space.seed(5)
        observation, info = env.reset(seed=11, options={"s": "random", "offset": (-1, 1), "speed": (0, 10)})
        steps = [env.step(env.action_space.sample()) for _ in range(10)]
        runs.append(repr_bytes([observation, info, steps, env.render()]))
    assert runs[0] == runs[1]


def repr_bytes(value) -> bytes:
    if isinstance(value, np.ndarray):
        return value.dtype.str.encode() + value.tobytes()
    if isinstance(value, dict):
        return b"".join(key.encode() + repr_bytes(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return b"".join(repr_bytes(item) for item in value)
    return repr(value).encode()


def test_a_image_of_a_past_step_can_still_be_drawn():
    simulator = EmbeddedSimulator()
    past = simulator.reset(0)
    before = past.image()
    for _ in range(30):
        now = simulator.step(Control(0.0, 1.0))
    np.testing.assert_array_equal(past.image(), before)
    assert (now.image() != before).any()


def test_no_camera_means_that_no_image_is_ever_drawn(monkeypatch):
    def refuse(*_):
        raise AssertionError("an image was drawn")

    monkeypatch.setattr(EmbeddedSimulator, "_camera_rig", refuse)
    env = make(cameras=())
    env.reset(seed=0)
    for _ in range(20):
        env.step(FORWARD)


def test_the_state_vector_is_info_and_the_curvature_ahead_divided_by_the_documented_scales():
    env = blind()
    env.reset(seed=0, options={"s": 830.0, "offset": 1.0, "heading_error": 0.1, "speed": 10.0})
    state, _, _, _, info = env.step(np.array([0.3, -0.4], np.float32))
    values = dict(zip(STATE_SCALES, state.tolist(), strict=True))
    assert state.dtype == np.float32
    for name in ("speed", "steering", "cte", "heading_error"):
        assert values[name] == pytest.approx(info[name] / STATE_SCALES[name], abs=1e-6)
    assert values["throttle"] == pytest.approx(-0.4)
    assert values["curvature_0m"] == pytest.approx(info["curvature"] / 0.1)
    assert values["curvature_20m"] == pytest.approx(0.35298)
    assert f"curvature_{PREVIEW[-1]:g}m" in values


def documented(section: str) -> list[str]:
    """First column of the table in a section of the class docstring."""
    text = inspect.getdoc(UdacityEnv) or ""
    body = text.split(f"## {section}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `(\w+)`", body, flags=re.MULTILINE)


def test_the_docstring_names_exactly_the_keys_of_info():
    env = blind(max_seconds=0.1)
    _, first = env.reset(seed=0)
    env.step(FORWARD)
    last = env.step(FORWARD)[4]
    assert [*first, "end_reason"] == list(last)
    assert sorted(documented("Info")) == sorted(last)


def test_the_docstring_names_exactly_the_entries_of_the_state_vector():
    text = inspect.getdoc(UdacityEnv) or ""
    rows = re.findall(r"^\| (\d) +\| `(\w+)` +\| (\S+)", text, flags=re.MULTILINE)
    assert [name for _, name, _ in rows] == list(STATE_SCALES)
    scales = [math.pi if scale == "pi" else float(scale) for _, _, scale in rows]
    assert scales == pytest.approx(list(STATE_SCALES.values()))


def test_the_docstring_names_exactly_the_arguments_and_the_reset_options():
    text = inspect.getdoc(UdacityEnv) or ""
    arguments = text.split("## Arguments\n")[1].split("## Version")[0]
    named = re.findall(r"`(\w+)=[^`]+`(?=[,:])", arguments)
    assert named == list(inspect.signature(UdacityEnv).parameters)
    options = documented("Starting State")
    with pytest.raises(OptionError, match=", ".join(options)):
        blind().reset(options={"nonsense": 1})


def test_info_is_in_si_units_and_positive_to_the_right():
    env = blind()
    _, info = env.reset(seed=0, options={"s": 300.0, "offset": 1.5, "speed": 8.0})
    assert (info["cte"], info["speed"], info["s"]) == pytest.approx((1.5, 8.0, 300.0))
    assert info["pose"].shape == (4,)
    assert info["pose"].dtype == np.float64
    for _ in range(8):
        info = env.step(np.array([0.3, 0.2], np.float32))[4]
    assert info["steering"] == pytest.approx(0.3)
    assert info["heading_error"] > 0
    assert info["cte"] > 1.5
    assert info["time"] == pytest.approx(8 / 15)


def test_reward_is_the_sum_of_its_named_terms():
    env = blind()
    env.reset(seed=0)
    for _ in range(60):
        _, reward, terminated, _, info = env.step(np.array([0.15, 1.0], np.float32))
        assert tuple(info["reward_terms"]) == tuple(DEFAULT_REWARDS)
        assert reward == pytest.approx(sum(info["reward_terms"].values()))
        if terminated:
            break
    assert terminated
    assert info["reward_terms"]["off_road"] == -100.0


def test_rewards_can_be_weighted_and_added_to():
    rewards = {**DEFAULT_REWARDS, "progress": 2.0, "haste": lambda step: step.after.speed}
    env = blind(rewards=rewards)
    env.reset(seed=0)
    info = env.step(FORWARD)[4]
    assert info["reward_terms"]["progress"] == pytest.approx(2 * info["progress"])
    assert info["reward_terms"]["haste"] == info["speed"]


def test_the_default_reward_of_a_clean_metre_is_one():
    env = blind()
    _, start = env.reset(seed=0, options={"s": 700.0, "speed": 10.0})
    total = sum(env.step(FORWARD)[1] for _ in range(20))
    assert total == pytest.approx(env.step(np.zeros(2))[4]["progress"] - start["progress"], abs=1.0)


def test_leaving_the_road_terminates():
    env = blind()
    env.reset(seed=0, options={"s": 300.0, "offset": 4.7, "heading_error": 0.5, "speed": 10.0})
    _, _, terminated, truncated, info = env.step(FORWARD)
    assert (terminated, truncated, info["end_reason"], info["offroad"]) == (True, False, "off_road", True)


def test_time_truncates():
    env = blind(max_seconds=0.2)
    env.reset(seed=0)
    ends = [env.step(FORWARD)[2:4] for _ in range(3)]
    assert ends == [(False, False), (False, False), (False, True)]


def test_laps_truncate():
    env = blind(max_laps=1)
    expert = PurePursuit(speed=13.0)
    observation, info = env.reset(seed=0)
    truncated = False
    while not truncated:
        observation, _, terminated, truncated, info = env.step(expert(observation, info))
        assert not terminated
    assert (info["lap"], info["end_reason"]) == (1, "max_laps")
    assert info["progress"] == pytest.approx(1137.8, abs=1.0)


@pytest.mark.parametrize(
    ("action", "says"),
    [
        (np.zeros(1), "SpeedControl"),
        (np.zeros(3), r"shape \(2,\)"),
        (0.5, r"shape \(2,\)"),
        (np.zeros((2, 1)), r"shape \(2,\)"),
        ([np.nan, 0.0], "finite"),
        ([0.0, np.inf], "finite"),
        (["left", "fast"], "two numbers"),
        (None, r"\(2,\)|two numbers"),
    ],
)
def test_a_bad_action_is_refused_and_the_car_stays_where_it_is(action, says):
    env = blind()
    _, before = env.reset(seed=0)
    with pytest.raises(ActionError, match=says):
        env.step(action)
    assert env.step(np.zeros(2))[4]["time"] == pytest.approx(before["time"] + 1 / 15)


def test_actions_beyond_the_space_are_clipped():
    infos = []
    for action in ([-7.0, 3.0], [-1.0, 1.0]):
        env = blind()
        env.reset(seed=0)
        infos.append(env.step(np.array(action))[4])
    assert infos[0]["steering"] == infos[1]["steering"] == -1.0
    np.testing.assert_array_equal(infos[0]["pose"], infos[1]["pose"])


def test_step_and_render_before_reset_are_refused():
    for env in (make(cameras=()), blind()):
        with pytest.raises(ResetNeeded):
            env.step(FORWARD)
    with pytest.raises(ResetNeeded):
        blind(render_mode="rgb_array").render()


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"simulator": "/opt/beta_simulator"}, SimulatorError, "'embedded', 'remote'"),
        ({"simulator_options": {"jpg": True}}, OptionError, "jpeg"),
        ({"track": "atlantis"}, TrackError, "lake"),
        ({"cameras": ("center", "rear")}, OptionError, "center, left, right"),
        ({"cameras": ("center", "center")}, OptionError, "different"),
        ({"cameras": "center"}, OptionError, r"\('center',\)"),
        ({"ctrl_dt": 0.0}, OptionError, "ctrl_dt"),
        ({"max_laps": 0}, OptionError, "max_laps"),
        ({"max_seconds": math.nan}, OptionError, "max_seconds"),
        ({"mode": "manual"}, OptionError, "training"),
        ({"render_mode": "ansi"}, OptionError, "rgb_array"),
        ({"render_view": "drone"}, OptionError, "chase"),
        ({"rewards": {"progres": 1.0}}, OptionError, "progress"),
        ({"rewards": None}, OptionError, "mapping"),
        ({"rewards": ["progress"]}, OptionError, "mapping"),
        ({"ctrl_dt": None}, OptionError, "ctrl_dt"),
        ({"ctrl_dt": "0.1"}, OptionError, "ctrl_dt"),
        ({"ctrl_dt": 100}, OptionError, "up to 1"),
        ({"max_laps": "3"}, OptionError, "whole number"),
        ({"max_laps": 0.5}, OptionError, "whole number"),
        ({"max_laps": True}, OptionError, "whole number"),
        ({"max_seconds": "9"}, OptionError, "max_seconds"),
        ({"cameras": None}, OptionError, "cameras must be a tuple"),
        ({"mode": ["training"]}, OptionError, "training"),
        ({"port": "abc"}, OptionError, "port"),
        ({"host": 5}, OptionError, "host"),
    ],
)
def test_a_bad_argument_is_refused_with_what_would_be_right(arguments, error, says):
    with pytest.raises(error, match=says):
        UdacityEnv(**arguments)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (5, "mapping"),
        ({"mode": []}, "'mode'"),
        ({"s": "5"}, "finite number"),
        ({"s": (5, 1)}, "low <= high"),
        ({"s": (1, 2, 3)}, "pair"),
        ({"speed": True}, "finite number"),
        ({"offset": math.nan}, "finite number"),
        ({"offset": 9.0}, r"\[-4.9, 4.9\]"),
    ],
)
def test_a_bad_reset_option_is_refused(options, says):
    with pytest.raises(OptionError, match=says):
        blind().reset(options=options)


def test_numpys_numbers_and_pairs_are_numbers_and_pairs():
    env = blind(ctrl_dt=np.float32(0.1), max_laps=np.int64(2), rewards={"progress": np.float32(2)})
    _, info = env.reset(seed=0, options={"s": np.array([100, 110]), "speed": np.float64(3)})
    assert 100 <= info["s"] <= 110
    assert info["speed"] == 3


def test_a_reward_term_that_returns_no_number_is_named():
    env = blind(rewards={"mine": lambda transition: None})
    env.reset(seed=0)
    with pytest.raises(OptionError, match=r"'mine'.*None"):
        env.step(FORWARD)


def test_another_kind_of_car_drives_as_it_is_made():
    env = blind(car=CarParameters(top_speed=5.0))
    env.reset(seed=0)
    speed = max(env.step(FORWARD)[4]["speed"] for _ in range(60))
    assert 5.0 <= speed <= 5.2
    with pytest.raises(OptionError, match="CarParameters"):
        blind(car="truck")


def test_the_track_is_one_for_the_environment_and_its_simulator():
    data = {**Track.load("lake").data, "name": "mine"}
    track = Track(data)
    env = blind(track=track)
    assert env.track is track
    assert env.simulator.world.track is track
    assert make(cameras=(), track=track).reset(seed=0)[1]["s"] == pytest.approx(267.0)


@pytest.mark.parametrize("cameras", [("center",), ()])
def test_an_environment_that_was_pickled_has_the_same_future(cameras):
    env = make(cameras=cameras, render_mode="rgb_array").unwrapped
    env.reset(seed=3, options={"s": "random"})
    env.step(FORWARD)
    twin = pickle.loads(pickle.dumps(env))
    for _ in range(5):
        assert repr_bytes(env.step(FORWARD)) == repr_bytes(twin.step(FORWARD))
    assert repr_bytes(env.render()) == repr_bytes(twin.render())
    again = {"options": {"s": "random"}}
    assert repr_bytes(env.reset(**again)) == repr_bytes(twin.reset(**again))


def test_modes_differ_in_start_and_in_ride():
    images = []
    for mode, s in (("training", 0.0), ("autonomous", 267.0)):
        env = make(mode=mode)
        assert env.reset(seed=0)[1]["s"] == pytest.approx(s, abs=1e-6)
        images.append(env.reset(seed=0, options={"s": 500.0})[0])
        assert env.reset(seed=0, options={"mode": "training"})[1]["s"] == pytest.approx(0.0, abs=1e-6)
    assert (images[0] != images[1]).any()


@pytest.mark.parametrize("view", ["chase", "cockpit"])
def test_rgb_array_renders_the_view_with_instruments(view):
    env = make(render_mode="rgb_array", render_view=view, cameras=())
    env.reset(seed=0)
    parked = env.render()
    assert parked.shape == (448, 800, 3)
    assert parked.dtype == np.uint8
    for _ in range(20):
        env.step(np.array([-0.05, 1.0], np.float32))
    driving = env.render()
    green = (driving[..., 1] > 180) & (driving[..., 0] < 120) & (driving[..., 2] < 150)
    assert green[-60:, :260].sum() > 300, "the throttle bar"
    assert (parked != driving).any()


def test_render_without_a_mode_warns_as_gymnasium_does():
    env = blind()
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="rgb_array"):
        assert env.render() is None


def test_human_mode_opens_a_window_that_follows_the_steps(dummy_display):
    import pygame

    env = make(render_mode="human", cameras=(), ctrl_dt=0.02)
    env.reset(seed=0)
    assert pygame.display.get_surface().get_size() == (800, 448)
    before = pygame.surfarray.array3d(pygame.display.get_surface())
    for _ in range(5):
        env.step(FORWARD)
    assert env.render() is None
    assert (pygame.surfarray.array3d(pygame.display.get_surface()) != before).any()
    env.close()
    env.close()
    assert not pygame.display.get_init()


def test_closing_the_window_stops_the_program(dummy_display):
    import pygame

    env = make(render_mode="human", cameras=())
    env.reset(seed=0)
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    with pytest.raises(KeyboardInterrupt, match="closed"):
        env.step(FORWARD)
    env.close()


def test_the_window_stays_alive_while_nobody_drives(dummy_display, monkeypatch):
    import pygame

    import udacity_gym.window

    now = 100.0
    monkeypatch.setattr(udacity_gym.window.time, "monotonic", lambda: now)
    env = make(render_mode="human", cameras=())
    env.reset(seed=0)
    before = pygame.surfarray.array3d(pygame.display.get_surface())

    def shown():
        return (pygame.surfarray.array3d(pygame.display.get_surface()) != before).any()

    env.unwrapped.keep_window_alive("training, epoch 1 of 4")
    assert not shown()  # an image was shown a moment ago
    now += 0.3
    env.unwrapped.keep_window_alive("training, epoch 1 of 4")
    assert shown()
    now += 0.3
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    with pytest.raises(KeyboardInterrupt, match="closed"):
        env.unwrapped.keep_window_alive("training, epoch 2 of 4")
    env.close()


def test_without_a_window_nothing_is_kept_alive():
    env = blind()
    env.reset(seed=0)
    env.unwrapped.keep_window_alive("training")
    assert env.unwrapped.caption == ""


@pytest.mark.skipif(
    not __import__("sys").platform.startswith("linux"), reason="displays are told by Linux' names"
)
def test_human_mode_without_a_display_says_what_to_do(no_display):
    with pytest.raises(DisplayError, match=r"rgb_array.*udacity_gym\.evaluation\.DriveVideo"):
        make(render_mode="human")
    assert blind().metadata["render_modes"] == ["rgb_array"]


def test_human_mode_without_pygame_names_the_pip_command(dummy_display, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=re.escape(install_command("human"))):
        UdacityEnv(render_mode="human")


def test_frames_per_second_follow_ctrl_dt():
    assert make().metadata["render_fps"] == 15
    assert make(ctrl_dt=0.05).metadata["render_fps"] == 20


def test_gymnasium_sets_no_limit_of_its_own():
    assert gymnasium.spec(udacity_gym.ENV_ID).max_episode_steps is None


def test_gymnasiums_wrappers_work():
    env = RecordEpisodeStatistics(FlattenObservation(make(max_seconds=0.4)))
    observation, _ = env.reset(seed=0)
    assert observation.shape == (160 * 320 * 3,)
    ended = False
    while not ended:
        observation, _, terminated, ended, info = env.step(FORWARD)
        assert not terminated
    assert info["episode"]["l"] == 6
    assert FlattenObservation(make(cameras=CAMERAS)).reset(seed=0)[0].shape == (3 * 160 * 320 * 3,)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells a process' memory there")
def test_ten_thousand_resets_do_not_grow():
    def resident() -> int:
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    env = UdacityEnv(image_size=(16, 32))
    for seed in range(500):
        env.reset(seed=seed, options={"s": "random"})
    before = resident()
    for seed in range(10_000):
        env.reset(seed=seed, options={"s": "random"})
    assert resident() - before < 5e6, "the images alone would be 15 MB"


def test_environments_do_not_disturb_each_other():
    first, second = blind(), blind()
    first.reset(seed=0)
    second.reset(seed=1, options={"s": "random"})
    alone = blind()
    alone.reset(seed=0)
    for _ in range(20):
        second.step(np.array([0.1, 1.0]))
        expected = alone.step(FORWARD)[4]["pose"]
        np.testing.assert_array_equal(first.step(FORWARD)[4]["pose"], expected)


def test_every_episode_starts_as_the_environment_says():
    env = blind(start={"s": "random", "speed": (2.0, 6.0)})
    infos = [env.reset(seed=5)[1], env.reset()[1], env.reset()[1]]
    assert len({info["s"] for info in infos}) == 3
    assert all(2.0 <= info["speed"] <= 6.0 for info in infos)
    again = [env.reset(seed=5)[1], env.reset()[1], env.reset()[1]]
    assert [info["s"] for info in again] == [info["s"] for info in infos]
    assert env.reset(options={"s": 100.0, "speed": 0.0})[1]["s"] == pytest.approx(100.0, abs=0.1)
    assert blind().reset(seed=5, options=env.start)[1]["s"] == infos[0]["s"]


def test_every_episode_draws_one_of_several_tracks_and_directions():
    env = blind(track=["lake", "jungle"], start={"direction": ("forward", "reverse")})
    drawn = []
    for episode in range(12):
        info = env.reset(seed=3 if episode == 0 else None)[1]
        assert info["track"] == env.track.name
        drawn.append((env.track.name, env.track.direction))
    assert len(set(drawn)) == 4
    assert len({track.length for track in env.tracks_for()}) == 2
    assert len(env.tracks_for()) == 4
    env.reset(options={"track": "mountain", "direction": "forward"})
    assert (env.track.name, env.track.direction) == ("mountain", "forward")
    env.reset()
    assert env.track.name != "mountain"


def test_conditions_that_are_given_replace_those_of_the_start():
    env = blind(start={"weather": ("rain", "fog")})
    assert env.reset(seed=0)[1]["conditions"]["weather"] in ("rain", "fog")
    assert env.reset(options={"conditions": "night"})[1]["conditions"]["weather"] == "clear"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": {"place": 3.0}}, "unknown reset option 'place'"),
        ({"start": {"speed": 99.0}}, "'speed' must lie within"),
        ({"start": {"weather": "hail"}}, "weather must be one of"),
        ({"start": {"direction": ("forward", "up")}}, "direction must be"),
        ({"start": {"mode": ()}}, "'mode' must have at least one choice"),
        ({"start": "random"}, "start must be a mapping"),
        ({"track": []}, "'track' must have at least one choice"),
        ({"stuck_seconds": 0}, "stuck_seconds must be a positive number"),
    ],
)
def test_a_wrong_start_is_refused_when_the_environment_is_made(arguments, message):
    with pytest.raises(OptionError, match=message):
        blind(**arguments)


def test_a_start_can_be_changed_between_episodes():
    env = blind()
    env.start = {"s": 500.0}
    assert env.reset()[1]["s"] == pytest.approx(500.0, abs=0.1)
    with pytest.raises(OptionError, match="'offset' must lie within"):
        env.start = {"offset": 50.0}
    assert env.start == {"s": 500.0}


def test_a_car_that_stands_ends_the_episode_where_that_is_wanted():
    env = blind(stuck_seconds=2.0)
    for _ in range(2):
        env.reset(seed=0)
        for step in range(1, 31):
            *_, terminated, truncated, info = env.step(np.zeros(2, np.float32))
            assert terminated == (step == 30)
        assert not truncated
        assert info["end_reason"] == "stuck"
    env.reset(seed=0)
    for _ in range(60):
        *_, terminated, truncated, info = env.step(FORWARD)
        assert not terminated


@pytest.mark.parametrize("track", ["lake", "jungle", "mountain"])
def test_a_car_can_start_at_every_speed_that_it_reaches(track):
    env = blind(track=track)
    driver, reached = PurePursuit(speed=20.0), []
    for direction in ("forward", "reverse"):
        observation, info = env.reset(options={"direction": direction})
        for _ in range(1500):
            steering, _ = driver(observation, info)
            observation, _, terminated, _, info = env.step(np.array([steering, 1.0], np.float32))
            reached.append((info["speed"], info["s"], direction))
            if terminated:
                observation, info = env.reset(
                    options={"s": info["s"], "direction": direction, "speed": max(0.0, info["speed"] - 4.0)}
                )
    fastest, s, direction = max(reached)
    assert fastest > 13.4
    info = env.reset(options={"s": s, "direction": direction, "speed": fastest})[1]
    assert info["speed"] == fastest
