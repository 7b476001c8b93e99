"""Poses reconstructed from the twin's own images, where they are known, and from real recordings."""

import math

import numpy as np
import pytest
from alignment import Aligner, Way
from fidelity import way_of

from udacity_gym.recording import open_recording
from udacity_gym.world.rendering.camera import CameraRig, camera_row
from udacity_gym.world.track.track import Track


@pytest.mark.parametrize("name", ["lake", "jungle"])
def test_points_of_the_road_are_projected_as_the_cameras_of_the_twin_see_them(name):
    track = Track.load(name)
    aligner = Aligner(track)
    for s, offset, error, ahead, aside in (
        (30.0, 0.5, 0.1, 8.0, -3.0),
        (700.0, -1.0, -0.2, 15.0, 2.0),
        (1065.0, 2.5, 0.3, 6.0, 1.0),
    ):
        row = camera_row(track.pose_at(s, offset, error), "center", "training").astype(np.float64)
        point = track.pose_at(s + ahead, aside)
        away = np.array([point.x, point.y, point.z]) - row[:3]
        depth = away @ row[3:6]
        focal = 80 / math.tan(math.radians(30))
        expected = (159.5 + focal * (away @ row[6:9]) / depth, 79.5 - focal * (away @ row[9:12]) / depth)
        column, line, _ = aligner.project(
            np.array([[s, offset, error, 0.0]]), np.array([[s + ahead]]), np.array([[aside]])
        )
        assert (column[0, 0], line[0, 0]) == pytest.approx(expected, abs=0.1)


def test_a_drive_in_the_twin_is_found_where_it_was():
    """Twenty images at known poses, with a log whose speed is 10 % wrong."""
    track = Track.load("lake")
    rig, aligner = CameraRig(track), Aligner(track)
    true = np.array([(980.0 + k, 0.4 + 0.02 * k, 0.03) for k in range(24)])
    images = [rig.draw(track.pose_at(*pose), "center", "training") for pose in true]
    turned = np.array([np.interp(s, track.s, track.heading) for s, _, _ in true])
    way = Way(0.9 * np.arange(24.0), turned - turned[0], np.zeros(24))
    frames = list(range(24))
    rough = aligner.follow(
        images.__getitem__, frames, way,
        np.array([980.5, 0.2, 0.0]), np.array([1.0, 0.5, 0.1]), particles=300,
    )  # fmt: skip
    aligned = aligner.smooth(images.__getitem__, frames, way, rough)
    assert np.abs(aligned.offset - true[:, 1]).max() < 0.25
    assert np.abs(aligned.heading_error - true[:, 2]).max() < 0.03
    assert np.abs(aligned.s - true[:, 0]).max() < 1.5
    assert np.nanmedian(aligned.error) < 0.8


def test_the_shape_of_road_and_land_corrects_poses_that_are_far_off():
    track = Track.load("jungle")
    rig = CameraRig(track)
    true = np.array([(1213.0 + 1.5 * k, 2.0, 0.05) for k in range(8)])  # a ramp that bends to the left
    images = [rig.draw(track.pose_at(*pose), "center", "training") for pose in true]
    turned = np.unwrap(np.interp(true[:, 0], track.s, np.unwrap(track.heading)))
    driven = 1.5 * np.arange(8) / np.cos(math.atan(0.2))
    off = true + np.array([1.0, -0.8, -0.15])
    refined = Aligner(track).refine(
        images.__getitem__, range(8), Way(driven, turned - turned[0], np.zeros(8)), off
    )
    assert np.abs(refined.offset - true[:, 1]).mean() < 0.3
    assert np.abs(refined.heading_error - true[:, 2]).mean() < 0.05


def test_lines_correct_a_first_pass_that_is_off():
    track = Track.load("lake")
    rig = CameraRig(track)
    true = np.array([(300.0 + k, 0.4, 0.03) for k in range(20)])
    images = [rig.draw(track.pose_at(*pose), "center", "training") for pose in true]
    turned = np.interp(true[:, 0], track.s, track.heading)
    aligned = Aligner(track).smooth(
        images.__getitem__, range(20), Way(np.arange(20.0), turned - turned[0], np.zeros(20)),
        true + np.array([0.0, 0.75, 0.0]),
    )  # fmt: skip
    assert np.abs(aligned.offset - true[:, 1])[5:].max() < 0.2, (
        "the first pass, 0.75 m off, still pulls a little"
    )


@pytest.mark.parametrize(
    ("name", "first", "start", "most"),
    [("lake", 0, (0.0, 0.46, 0.0), 1.6), ("jungle", 196, (1034.0, 1.8, -0.15), 1.6)],
)
def test_lines_of_a_real_recording_lie_where_the_aligned_track_has_them(name, first, start, most, request):
    episode = open_recording(request.getfixturevalue(f"{name}_recording")).episodes[0]
    aligner = Aligner(Track.load(name))
    way = way_of(episode)
    frames = list(range(first, first + 72, 3))

    def image(k):
        return episode.image("center", k)

    rough = aligner.follow(image, frames, way, np.array(start), np.array([1.0, 0.3, 0.08]), particles=300)
    second = aligner.smooth if name == "lake" else aligner.refine
    aligned = second(image, frames, way, rough)
    assert np.nanmedian(aligned.error) < most
    assert np.nanpercentile(aligned.error, 80) < 3.0
    assert aligned.found.mean() > 4
    # The car stays on the road, and goes about as far as its log says.
    assert np.abs(aligned.offset).max() < 4.6
    assert aligned.s[-1] - aligned.s[0] == pytest.approx(way.between(first, frames[-1])[0], abs=4.0)


def test_a_level_road_is_not_aligned_by_its_shape():
    with pytest.raises(ValueError, match="use smooth"):
        Aligner(Track.load("lake")).refine(lambda _: None, [0], Way(*np.zeros((3, 1))), np.zeros((1, 3)))


def test_without_a_look_of_its_own_a_track_cannot_be_aligned():
    with pytest.raises(KeyError):
        Aligner(Track({**Track.load("lake").data, "name": "elsewhere"}))
