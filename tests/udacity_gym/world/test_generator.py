"""Tracks from a seed: what holds for all of them."""

import json
import math

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import udacity_gym  # noqa: F401 - registers the environment
from udacity_gym.cli import main
from udacity_gym.errors import OptionError, TrackError
from udacity_gym.evaluation import evaluate
from udacity_gym.experts import PurePursuit
from udacity_gym.world.track.generator import APART, CLEARANCE, VERTICAL_CURVATURE, generate_track
from udacity_gym.world.track.landscape import SURROUNDINGS
from udacity_gym.world.track.layout import (
    lay_road,
    nearest_approach,
    points_along,
    tangent_length,
    widest_radii,
)
from udacity_gym.world.track.track import Track

SEEDS = st.integers(0, 2**32)


def crossings(points: np.ndarray) -> int:
    """How many pairs of the polygon's sides cross."""
    a, b = points, np.roll(points, -1, axis=0)

    def side(p, q, r):
        return np.sign((q[..., 0] - p[..., 0]) * (r[..., 1] - p[..., 1])
                       - (q[..., 1] - p[..., 1]) * (r[..., 0] - p[..., 0]))  # fmt: skip

    a1, b1, a2, b2 = a[:, None], b[:, None], a[None], b[None]
    crossed = (side(a1, b1, a2) * side(a1, b1, b2) < 0) & (side(a2, b2, a1) * side(a2, b2, b1) < 0)
    return int(crossed.sum()) // 2


@given(seed=SEEDS, difficulty=st.floats(0, 1), length=st.floats(400, 2500))
@settings(max_examples=25)
def test_every_track_is_closed_apart_from_itself_and_within_its_bounds(seed, difficulty, length):
    track = generate_track(seed, difficulty=difficulty, length=length)
    segments = track.data["segments"]
    assert abs(track.length / length - 1) < 0.01
    end = sum((np.array(step) for step in _steps(segments)), np.zeros(2))
    assert np.hypot(*end) < 0.01
    turned = sum(metres * curvature for metres, curvature in segments)
    assert abs(turned) == pytest.approx(math.tau, abs=1e-4)
    assert crossings(points_along(segments, 4.0)[:, :2]) == 0
    assert nearest_approach(segments, APART) >= CLEARANCE
    sharpest = max(0.025 * 4.0**difficulty, 16.0 / length)
    assert np.abs(track.curvature).max() == pytest.approx(sharpest, rel=1e-3)
    grade = np.diff(track.z, append=track.z[0]) / track.ds
    assert np.abs(grade).max() <= 0.24 * difficulty**2 + 1e-3
    assert np.abs(np.diff(grade)).max() / track.ds <= VERTICAL_CURVATURE * 1.05 + 1e-3


def _steps(segments):
    heading = 0.0
    for metres, curvature in segments:
        turn = metres * curvature
        chord = metres * np.sinc(turn / math.tau)
        yield chord * math.cos(heading + turn / 2), chord * math.sin(heading + turn / 2)
        heading += turn


@given(seed=SEEDS, difficulty=st.floats(0, 1))
@settings(max_examples=5)
def test_an_expert_holds_the_design_speed_all_around(seed, difficulty):
    track = generate_track(seed, difficulty=difficulty, length=600)
    env = gym.make("UdacitySim-v0", track=track, cameras=())
    result = evaluate(PurePursuit(track, speed=track.design_speed), env, laps=1)
    assert result.complete
    assert not result.incidents
    assert result.trajectory.speed[60:].min() > 0.9 * track.design_speed


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_lanes_can_be_driven_both_ways(direction):
    track = generate_track(8, difficulty=0.9, length=700, markings="lanes").facing(direction)
    assert track.reference_offset == pytest.approx(track.half_width / 2, abs=1e-3)
    env = gym.make("UdacitySim-v0", track=track, cameras=())
    result = evaluate(PurePursuit(track, speed=track.design_speed), env, laps=1)
    assert result.complete
    assert result.interventions == 0


def test_same_arguments_give_the_same_bytes_and_other_seeds_other_tracks(tmp_path):
    for name in "ab":
        generate_track(3, difficulty=0.8).save(tmp_path / f"{name}.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    lengths = {generate_track(seed).length for seed in range(5)}
    assert len(lengths) == 5


@given(seed=SEEDS, kind=st.sampled_from(sorted(SURROUNDINGS)))
@settings(max_examples=8)
def test_plants_stand_beside_the_road_and_not_on_it(seed, kind):
    track = generate_track(seed, difficulty=1.0, length=900, surroundings=kind)
    rng = np.random.default_rng(seed)
    for entry in track.data["surroundings"]["plants"]:
        sign = 1.0 if entry["side"] == "right" else -1.0
        for s in rng.uniform(entry["from"], entry["to"], 4):
            pose = track.pose_at(s, sign * rng.uniform(entry["near"], entry["far"]))
            assert np.hypot(track.x - pose.x, track.y - pose.y).min() > track.half_width + 1.5


def test_arguments_are_what_comes_out():
    track = generate_track(1, length=900, curvature=1 / 15, hills=0.1, width=8.0, name="mine")
    assert 1 / np.abs(track.curvature).max() == pytest.approx(15.0, rel=1e-3)
    grade = np.abs(np.diff(track.z, append=track.z[0])).max() / track.ds
    assert 0.02 < grade <= 0.1
    assert (track.name, track.half_width) == ("mine", 4.0)
    assert generate_track(1, hills=0).z.any() == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"difficulty": 2}, "difficulty must be .* from 0 to 1"),
        ({"length": 10}, "length"),
        ({"length": 400, "curvature": 1 / 50}, "too short for bends"),
        ({"curvature": 1}, "curvature"),
        ({"hills": -1}, "hills"),
        ({"width": 30}, "width"),
        ({"markings": "none"}, "edges, lanes"),
        ({"surroundings": "moon"}, "meadow"),
        ({"surroundings": ["meadow"]}, "meadow"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, says):
    with pytest.raises(OptionError, match=says):
        generate_track(0, **arguments)


def test_a_generated_track_survives_its_file(tmp_path):
    track = generate_track(4)
    again = Track.load(track.save(tmp_path / "again.json"))
    assert again.data == track.data
    assert again.design_speed == track.design_speed > 5
    np.testing.assert_array_equal(again.x, track.x)


def test_a_road_laid_around_corners_passes_between_them():
    corners = [(0, 0), (200, 0), (200, 120), (90, 60), (0, 120)]
    segments, start = lay_road(corners, [30, 30, 20, 30, 25])
    assert start == {"x": 100.0, "y": 0.0, "z": 0.0, "heading": 0.0}
    points = points_along(segments, 1.0)[:, :2] + [start["x"], start["y"]]
    for corner in corners:
        nearest = np.hypot(*(points - corner).T).min()
        assert 3.0 < nearest < 40.0
    assert max(curvature for _, curvature in segments) == pytest.approx(1 / 20)
    assert min(curvature for _, curvature in segments) == pytest.approx(-1 / 30)


@given(st.lists(st.floats(0.7, 1.3), min_size=5, max_size=10))
@settings(max_examples=30)
def test_the_widest_radii_fit(distances):
    angle = math.tau * np.arange(len(distances)) / len(distances)
    corners = 100 * np.array(distances)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    segments, _ = lay_road(corners, widest_radii(corners))
    assert sum(m * k for m, k in segments) == pytest.approx(math.tau, abs=1e-3)


def test_what_does_not_fit_is_refused_with_the_corner_named():
    square = [(0, 0), (100, 0), (100, 100), (0, 100)]
    fits = 50.0 / tangent_length(math.pi / 2)
    lay_road(square, [fits - 0.01] * 4)
    with pytest.raises(TrackError, match="curves of corners 0 and 1 overlap"):
        lay_road(square, [fits + 0.1] * 4)
    with pytest.raises(TrackError, match="corner 1 turns 17"):
        lay_road([(0, 0), (100, 0), (0, 10), (0, 5)], [1] * 4)
    with pytest.raises(TrackError, match="three or more corners"):
        lay_road([(0, 0), (100, 0)], [1, 1])
    with pytest.raises(TrackError, match="must be finite"):
        lay_road([(0, 0), (100, 0), (math.nan, 100)], [1] * 3)


def test_the_command_makes_a_track_and_draws_it(tmp_path, capsys):
    file, image = tmp_path / "hill.json", tmp_path / "hill.png"
    assert main(["track", "new", str(file), "--seed", "3", "--difficulty", "0.7"]) == 0
    assert json.loads(file.read_text())["name"] == "hill"
    assert main(["track", "show", str(file), "--output", str(image)]) == 0
    assert "design speed" in capsys.readouterr().out
    assert image.read_bytes().startswith(b"\x89PNG")
    assert main(["track", "show", str(file), "--output", "map.txt"]) == 2
    assert main(["track", "new", str(file), "--difficulty", "7"]) == 2
    assert "difficulty" in capsys.readouterr().err
