"""The twin's images of the poses of a real drive have its colours; the page about that runs."""

import copy
import shutil
from types import SimpleNamespace

import dynamics
import fidelity
import gymnasium
import numpy as np
import pytest
import shade
from alignment import Alignment

from tests.pages import ROOT, run_page
from udacity_gym.executors import Shared
from udacity_gym.experts import PurePursuit
from udacity_gym.recording import open_recording, record
from udacity_gym.telemetry import CAMERAS
from udacity_gym.world.rendering.camera import CameraRig
from udacity_gym.world.track.track import Track
from udacity_gym.world.track.track_file import Shade


def compare(recording, name, start, first, particles=300):
    episode = open_recording(recording).episodes[0][first : first + 60]
    track = Track.load(name)
    frames, aligned = fidelity.reconstruct(episode, track, start, 0, particles, seed=0)
    pairs = fidelity.draw_pairs(episode, track, frames, aligned, 6)
    regions = fidelity.compare_regions(pairs, track, frames, aligned)
    return regions, fidelity.compare_edges(pairs, track, frames, aligned)


def distance(region):
    return np.linalg.norm(np.subtract(region["real"], region["drawn"]))


def test_the_lakes_road_has_the_colours_and_the_grain_of_the_real_one(lake_recording):
    regions, edges = compare(lake_recording, "lake", (267.5, 0.05, 0.0), 300)
    assert distance(regions["asphalt"]) < 6
    assert distance(regions["line"]) < 14
    assert 0.8 < regions["asphalt"]["drawn_spread"] / regions["asphalt"]["real_spread"] < 1.25
    assert edges["real"]["median"] < 1.8
    assert edges["drawn"]["median"] < 1.2


def test_the_lakes_bridge_is_as_wide_and_as_light_as_the_real_one(lake_recording):
    regions, _ = compare(lake_recording, "lake", (655.3, -1.27, 0.01), 695)
    assert distance(regions["bridge"]) < 7, "walls that stood 5.85 m from the middle were 14 off"
    assert 0.9 < regions["bridge"]["drawn_spread"] / regions["bridge"]["real_spread"] < 1.1


def test_the_jungles_road_has_its_colours_and_its_lines_where_they_really_are(jungle_recording):
    regions, edges = compare(jungle_recording, "jungle", (1034.0, 1.8, -0.15), 196)
    assert distance(regions["asphalt"]) < 20
    assert distance(regions["line"]) < 20
    assert edges["real"]["median"] < 1.8
    assert edges["drawn"]["median"] < 1.2


def test_the_tint_of_the_asphalt_is_measured():
    data = copy.deepcopy(Track.load("jungle").data)
    tints = [[-4.0, 1.1, 1.0, 0.9], [0.0, 1.1, 1.1, 1.2], [4.0, 0.9, 1.0, 1.0]]
    tracks = [Track({**data, "road": {**data["road"], "tint": tint}}) for tint in (tints, [])]
    sunny, shaded = np.arange(590.0, 640.0, 5.0), np.arange(1405.0, 1440.0, 5.0)
    s = np.concatenate([sunny, shaded])
    still, unknown = np.zeros(len(s)), np.zeros((len(s), 4))
    aligned = Alignment(s, still + 1.0, still, still, unknown, still.astype(int), still)
    pairs = []
    for i in range(len(s)):
        tinted, plain = (
            CameraRig(track).draw_all(aligned.pose(track, i), ("center", "center_segmentation"), "training")
            for track in tracks
        )
        labels = plain["center_segmentation"]
        pairs.append(fidelity.Pair(i, s[i], 1.0, tinted["center"], plain["center"], labels))
    offsets, *measured = np.array(fidelity.measure_tint(pairs, tracks[1], list(range(len(s))), aligned)).T
    for channel, factors in enumerate(measured):
        expected = np.interp(offsets, *np.array(tints)[:, [0, channel + 1]].T)
        assert factors[1:-1] == pytest.approx(expected[1:-1], abs=0.025)  # lines are at the ends


def test_sheets_show_real_and_drawn_images_side_by_side(tmp_path):
    image = np.zeros((160, 320, 3), np.uint8)
    pairs = [fidelity.Pair(k, 10.0 * k, 0.0, image, image + 200, image[..., 0]) for k in range(20)]
    fidelity.write_sheets(pairs, tmp_path, "lake")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["lake-sheet-00.png", "lake-sheet-01.png"]


def test_poses_are_kept_for_their_recording_and_start_alone(tmp_path):
    env = gymnasium.make("UdacitySim-v0", mode="training")
    folders = [tmp_path / "slow", tmp_path / "fast"]
    for folder, speed in zip(folders, (4.0, 9.0), strict=True):
        record(env, PurePursuit(speed=speed), folder, seconds=1.0)
    env.close()
    slow, fast = (open_recording(folder).episodes[0] for folder in folders)
    track, kept = Track.load("lake"), tmp_path / "poses.npz"
    frames, poses = fidelity.find_poses(slow, track, None, 0, kept)
    again = fidelity.find_poses(slow, track, fidelity.STARTS["lake"], 0, kept)
    assert again[0] == frames
    np.testing.assert_array_equal(again[1].s, poses.s)
    for other in ((fast, None, 0), (slow, (100.0, 0.0, 0.0), 0), (slow, None, 2)):
        with pytest.raises(SystemExit, match="another recording, start or method"):
            fidelity.find_poses(other[0], track, *other[1:], kept)


def test_the_page_about_fidelity_runs():
    run_page(ROOT / "docs" / "fidelity.md")


def test_the_table_of_swapped_jobs_has_means_and_intervals_over_seeds():
    def of_seed(seed, bends, ratio):
        named = {"bends": bends, "all": 0.4, "smoothed": 0.6}
        drive = {"autonomy": 1.0, "interventions": seed}
        ratios = {**named, "bends": ratio}
        return {"seed": seed, "rows": 400, "real": named, "twin": named, "ratio": ratios,
                "one network on both": 0.8, "drive": drive}  # fmt: skip

    text = fidelity.cross_tables([of_seed(0, 0.5, 0.8), of_seed(1, 0.6, 1.0)])
    line = next(line for line in text.splitlines() if line.startswith("bends"))
    assert line.split("  ")[-1].strip() == "0.90 [-0.37, 2.17]"  # Student's t with one degree of freedom
    assert "400 real rows that neither was trained on, 2 seeds" in text
    assert "interventions by seed 0, 1" in text


@pytest.mark.long
def test_networks_swap_their_jobs_once_for_each_seed(lake_recording, tmp_path):
    images = [
        np.asarray(open_recording(lake_recording).episodes[0].image("center", k)) for k in range(0, 60, 20)
    ]
    shared = Shared([(image, 255 - image) for image in images], "the images")
    settings = fidelity.Cross(lake_recording, "lake", epochs=1, laps=1)
    result = fidelity.cross_train(settings, shared, tmp_path, 3)
    assert result["rows"] == 400
    for which, ratio in result["ratio"].items():
        assert -1 <= result["twin"][which] <= 1
        assert ratio == pytest.approx(result["twin"][which] / result["real"][which])
    shutil.rmtree(tmp_path / "3")
    assert fidelity.cross_train(settings, shared, tmp_path, 3) == result  # read, not trained again
    assert not (tmp_path / "3").exists()


def test_shade_is_found_where_the_twin_casts_it():
    track = Track.load("jungle")
    rig = CameraRig(track)
    s = np.arange(1408.0, 1432.0, 0.8)  # the road goes into the shade of a cliff
    still = np.zeros(len(s))
    aligned = Alignment(s, still + 1.0, still, still, np.zeros((len(s), 4)), still.astype(int), still)
    images = [rig.draw(aligned.pose(track, i), "center", "training") for i in range(len(s))]
    episode = SimpleNamespace(image=lambda _, k: images[k])
    frames = list(range(len(s)))
    dark, light = shade.observe(episode, track, frames, aligned, frames)
    found = shade.outlines(dark, light, 1412.0, 1432.0)
    fresh = (Shade(1412.0, 1432.0, tuple(tuple(map(tuple, outline)) for outline in found)),)
    maps = [shade.shade_map(shades, dark.shape) for shades in (fresh, track.file.surroundings.shade)]
    place = np.zeros(dark.shape, bool)
    place[round(1412 / shade.ALONG) : round(1432 / shade.ALONG)] = np.abs(shade.OFFSETS) < 4.0
    place &= dark + light > 0
    assert (maps[0] == maps[1])[place].mean() > 0.97
    ends = [s for outline in found for s, _ in outline]
    assert max(ends) >= 1432.0  # shade that goes on has no gap there
    assert 0.2 < maps[0][place].mean() < 0.9


def test_the_twins_own_recordings_turn_like_its_car(tmp_path):
    begin = {"s": 250.0, "speed": 12.0}
    env = gymnasium.make("UdacitySim-v0", track="lake", image_size=(16, 32), cameras=CAMERAS, start=begin)
    record(env, Swerving(), tmp_path / "drive", seconds=14.0)
    env.close()
    episode = open_recording(tmp_path / "drive").episodes[0]
    way = fidelity.way_of(episode)
    yaw = np.unwrap([extra["pose"][3] for extra in episode.extras()])
    for seconds in dynamics.WINDOWS:
        turning = dynamics.turning(episode, way, yaw, seconds, every=3)
        assert turning.windows > 40
        assert turning.error < 0.0115
        assert turning.ratio == pytest.approx(1.0, abs=0.015)


class Swerving(PurePursuit):
    """Turns more than the bends of the lake ask for."""

    def __call__(self, observation, info):
        action = super().__call__(observation, info)
        action[0] = np.clip(action[0] + 0.12 * np.sin(2.5 * info["time"]), -1.0, 1.0)
        return action
