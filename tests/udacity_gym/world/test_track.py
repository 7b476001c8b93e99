import json
import math
import pickle
from importlib import resources

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from udacity_gym.errors import TrackError
from udacity_gym.world.rendering.camera import RIDES
from udacity_gym.world.scene import cards, land
from udacity_gym.world.track import track_file
from udacity_gym.world.track.track import Track, built_in_tracks
from udacity_gym.world.track.track_file import Line, Road, Surroundings

LAKE = Track.load("lake")


def lake_file() -> dict:
    text = (resources.files("udacity_gym.world") / "tracks" / "lake.json").read_text(encoding="utf-8")
    return json.loads(text)


def start_poses(**changes) -> dict:
    pose = {"s": 0, "offset": 0}
    return {"training": pose, "autonomous": {**pose, **changes}}


def road(**changes) -> dict:
    return {"half_width": 4.76, "lane_half_width": 3.88, **changes}


def bridge(**changes) -> dict:
    return {"kind": "bridge", "side": "both", "from": 100, "to": 200, **changes}


def test_the_lake_is_a_built_in_track_of_its_measured_length():
    assert "lake" in built_in_tracks()
    assert LAKE.length == pytest.approx(1137.8, abs=0.1)


def test_the_end_of_the_lap_meets_its_beginning():
    end, begin = LAKE.pose_at(LAKE.length - 1e-6), LAKE.pose_at(0.0)
    assert math.hypot(end.x - begin.x, end.y - begin.y) < 0.01
    assert math.remainder(end.yaw - begin.yaw, math.tau) == pytest.approx(0.0, abs=0.01)


def test_the_lake_is_driven_counter_clockwise():
    area = 0.5 * np.sum(LAKE.x * np.roll(LAKE.y, -1) - np.roll(LAKE.x, -1) * LAKE.y)
    assert area > 0


def test_samples_lie_their_spacing_apart_all_around():
    steps = np.hypot(np.diff(LAKE.x, append=LAKE.x[0]), np.diff(LAKE.y, append=LAKE.y[0]))
    np.testing.assert_allclose(steps, LAKE.ds, atol=2e-3)


@given(
    s=st.floats(0, LAKE.length, exclude_max=True),
    offset=st.floats(-8, 8),
    error=st.floats(-3, 3),
)
@settings(max_examples=200)
def test_locate_finds_what_pose_at_placed(s, offset, error):
    pose = LAKE.pose_at(s, offset, error)
    for near in (None, s):
        found = LAKE.locate(pose.x, pose.y, near=near)
        assert abs(math.remainder(found.s - s, LAKE.length)) < 0.1
        assert found.offset == pytest.approx(offset, abs=0.01)
        assert math.remainder(found.heading - pose.yaw - error, math.tau) == pytest.approx(0.0, abs=0.01)


def test_offset_is_positive_to_the_right():
    pose = LAKE.pose_at(600.0, 2.0)
    centre = LAKE.pose_at(600.0)
    right = (math.sin(centre.yaw), -math.cos(centre.yaw))
    assert (pose.x - centre.x) * right[0] + (pose.y - centre.y) * right[1] == pytest.approx(2.0)


def test_curvature_is_positive_where_the_road_bends_left():
    assert LAKE.curvature_at(850.0) > 0.02
    assert LAKE.curvature_at(1000.0) < -0.02


def test_only_the_bridge_has_walls():
    on_bridge = (LAKE.s >= 686) & (LAKE.s < 795)
    for wall in (LAKE.line.wall_left, LAKE.line.wall_right):
        assert np.isfinite(wall[on_bridge]).all()
        assert np.isinf(wall[~on_bridge]).all()
        assert (np.diff(wall[on_bridge]) > 0).all(), "it gets wider, as in recordings"
        assert wall[on_bridge].min() > 4.5
        assert wall[on_bridge].max() < 6.5


def test_elevation_goes_smoothly_from_knot_to_knot():
    data = lake_file()
    data["elevation"] = [[0.0, 0.0], [100.0, 10.0], [600.0, 0.0]]
    track = Track(data)
    assert track.elevation_at(50.0) == pytest.approx(5.0, abs=0.01)
    assert track.elevation_at(100.0) == pytest.approx(10.0, abs=0.01)
    slope = np.diff(track.z) / track.ds
    assert np.abs(np.diff(slope)).max() < 0.005
    assert track.pose_at(50.0).pitch == pytest.approx(math.atan(0.15), abs=0.005)
    assert track.pose_at(50.0, heading_error=math.pi).pitch == pytest.approx(-math.atan(0.15), abs=0.005)


def test_a_track_loads_from_a_file(tmp_path):
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({**lake_file(), "name": "mine"}), encoding="utf-8")
    assert Track.load(file).name == "mine"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": "gpx"}, "not a track file"),
        ({"segments": [[100.0, 0.0]]}, "does not close"),
        ({"segments": [[1e9, 0.0]]}, "at most 10000 m"),
        ({"segments": [[100.0]]}, r"segments\[0\]"),
        ({"segments": [[-1.0, 0.0]]}, "positive length"),
        ({"segments": [[1.0, 0.5]]}, "folds over"),
        ({"segments": []}, "segments"),
        ({"road": {"half_width": 4.0}}, "lane_half_width"),
        ({"road": {"half_width": -1, "lane_half_width": 3}}, "road.half_width"),
        ({"road": {"half_width": math.nan, "lane_half_width": 3}}, "road.half_width"),
        ({"road": {"half_width": 4, "lane_half_width": 5}}, "road.lane_half_width"),
        ({"road": {"half_width": 4, "lane_half_width": 3, "referenceoffset": 1}}, "road.*'referenceoffset'"),
        ({"start_poses": {"training": {"s": 0, "offset": 0}}}, "start_poses: lacks 'autonomous'"),
        ({"start_poses": start_poses(s="here")}, r"start_poses.autonomous.s: .* number, got 'here'"),
        ({"start_poses": start_poses(offset=20)}, "start_poses.autonomous.offset"),
        ({"elevation": [1, 2]}, r"elevation\[0\]"),
        ({"elevation": [[0, 0], [10, math.nan]]}, r"elevation\[1\]"),
        ({"elevation": [[10, 0], [5, 1]]}, r"elevation\[1\]: s must rise"),
        ({"elevation": []}, "elevation"),
        ({"elevaton": [[0, 0]]}, "'elevaton'"),
        ({"roadside": "x"}, "roadside: must be a list"),
        ({"roadside": ["x"]}, r"roadside\[0\]"),
        ({"roadside": [{"kind": "bridge", "side": "both", "from": 1}]}, r"roadside\[0\]: lacks 'to'"),
        ({"roadside": [bridge(side="top")]}, "left, right, both"),
        ({"roadside": [bridge(wall_offset=20)]}, r"roadside\[0\].wall_offset"),
        ({"roadside": [bridge(wall_offset_at_end=1)]}, r"roadside\[0\].wall_offset_at_end"),
        ({"roadside": [bridge(kind="kerb", wall_offset=6)]}, "only a bridge has a 'wall_offset'"),
        ({"roadside": [bridge(kind="kerb", wall_offset_at_end=6)]}, "only a bridge"),
        ({"roadside": [{**bridge(), "from": 300}]}, "'from' must be less"),
        ({"roadside": [bridge(kind="deck", side="left")]}, r"roadside\[0\].side: a deck carries both sides"),
        ({"surroundings": {"seed": 1.5}}, "surroundings.seed"),
        ({"surroundings": {"seed": -1}}, "surroundings.seed: must be a whole number from 0 on"),
        ({"surroundings": {"land": []}}, "surroundings.land: needs a stretch on each side"),
        (
            {"surroundings": {"objects": [{"kind": "sign", "s": 0, "offset": 9, "height": 3}]}},
            "pylon need it",
        ),
        ({"surroundings": {"objects": [{"kind": "tyres", "s": 0, "offset": 9}]}}, r"objects\[0\].length"),
        (
            {"surroundings": {"light": {"ambient": [0.1, 0.2]}}},
            r"light.ambient: must be \[red, green, blue\]",
        ),
        ({"surroundings": {"light": {"fog_from": 700}}}, "light.fog_to: must be farther"),
        ({"road": road(kerb=1)}, "road.kerb: must be true or false"),
        ({"road": road(edge_line={"kind": "dashed", "colour": "white", "width": 0.2})}, "edge_line.kind"),
        ({"road": road(centre_line={"kind": "dashed", "colour": "white", "width": 0.2})}, "centre_line.dash"),
        ({"name": 5}, "name"),
    ],
)
def test_a_broken_track_file_is_refused_with_the_field_named(change, says):
    with pytest.raises(TrackError, match=says):
        Track({**lake_file(), **change})


def test_what_a_file_leaves_out_has_the_default_of_its_field():
    data = lake_file()
    del data["surroundings"]
    data["road"] = {**road(), "centre_line": {"kind": "solid", "colour": "white", "width": 1}}
    file = Track(data).file
    assert file.road == Road(4.76, 3.88, centre_line=Line("solid", "white", 1.0))
    assert file.surroundings == Surroundings()
    assert file.elevation == ((0.0, 0.0),)
    assert (file.roadside[-1].begin, file.roadside[-1].end) == tuple(
        data["roadside"][-1][name] for name in ("from", "to")
    )


def test_a_pickled_track_keeps_the_content_of_its_file():
    track = pickle.loads(pickle.dumps(LAKE))
    assert track.file == LAKE.file
    assert track.data == LAKE.data == lake_file()


def test_an_unknown_track_is_refused_with_the_known_ones_named():
    with pytest.raises(TrackError, match="lake"):
        Track.load("atlantis")


def test_a_track_file_that_is_no_json_is_refused_with_its_line(tmp_path):
    file = tmp_path / "broken.json"
    file.write_text('{\n"format":\n', encoding="utf-8")
    with pytest.raises(TrackError, match="line 3"):
        Track.load(file)


@pytest.mark.parametrize("content", [b"\x7fELF\xff\xfe\x00", b"[1, 2]", b"7"])
def test_any_other_file_is_refused(tmp_path, content):
    file = tmp_path / "program"
    file.write_bytes(content)
    with pytest.raises(TrackError, match="not a track file"):
        Track.load(file)


def test_notes_are_allowed_everywhere():
    data = lake_file()
    data["road"]["comment"] = "as measured"
    data["comment"] = data["roadside"][0]["description"] = "for people"
    assert Track(data).length == LAKE.length


def test_the_file_knows_the_covers_and_plants_that_can_be_drawn():
    assert tuple(land.COVERS) == track_file.COVERS
    assert tuple(cards.KINDS) == track_file.PLANTS
    assert tuple(RIDES) == track_file.MODES


@pytest.mark.parametrize(
    ("name", "along", "across", "angle"),
    [("lake", 0.05, 0.04, 0.01), ("mountain", 0.12, 0.04, 0.03), ("jungle", 0.67, 0.04, 0.15)],
)
def test_a_place_on_the_road_is_found_as_exactly_as_documented(name, along, across, angle):
    track = Track.load(name)
    errors = []
    for offset in (-track.half_width, 0.0, track.half_width):
        for s in np.arange(0.0, track.length, 1.0):
            pose = track.pose_at(s, offset)
            place = track.locate(pose.x, pose.y, near=s)
            ahead = (place.s - s + 0.5 * track.length) % track.length - 0.5 * track.length
            turned = (place.heading - pose.yaw + np.pi) % (2 * np.pi) - np.pi
            errors.append((abs(ahead), abs(place.offset - offset), abs(turned)))
    assert (np.max(errors, axis=0) < (along, across, angle)).all()
