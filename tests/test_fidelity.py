"""The twin's images of the poses of a real drive have its colours; the page about that runs."""

import fidelity
import numpy as np

from tests.pages import ROOT, run_page
from udacity_gym.recording import open_recording
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


def test_sheets_show_real_and_drawn_images_side_by_side(tmp_path):
    image = np.zeros((160, 320, 3), np.uint8)
    pairs = [fidelity.Pair(k, 10.0 * k, 0.0, image, image + 200, image[..., 0]) for k in range(20)]
    fidelity.write_sheets(pairs, tmp_path, "lake")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["lake-sheet-00.png", "lake-sheet-01.png"]


def test_the_page_about_fidelity_runs():
    run_page(ROOT / "docs" / "fidelity.md")
