"""The twin's images of the poses of a real drive have its colours; the page about that runs."""

import copy

import fidelity
import numpy as np
import pytest
from alignment import Alignment

from tests.pages import ROOT, run_page
from udacity_gym.recording import open_recording
from udacity_gym.world.rendering.camera import CameraRig
from udacity_gym.world.track.track import Track


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
    assert distance(regions["asphalt"]) < 25
    assert distance(regions["line"]) < 30
    assert 0.6 < regions["asphalt"]["drawn_spread"] / regions["asphalt"]["real_spread"] < 1.5
    assert edges["real"]["median"] < 1.8
    assert edges["drawn"]["median"] < 1.2


def test_the_jungles_lines_are_where_they_really_are(jungle_recording):
    _, edges = compare(jungle_recording, "jungle", (1034.0, 1.8, -0.15), 196)
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


def test_the_page_about_fidelity_runs():
    run_page(ROOT / "docs" / "fidelity.md")
