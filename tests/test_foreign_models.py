"""Models that others trained on Udacity's own simulator drive in the embedded one."""

import json
import shutil
from pathlib import Path

import fidelity
import foreign_models as benchmark
import numpy as np
import pytest
from alignment import Alignment

from tests.pages import ROOT
from udacity_gym.driving import PIThrottle
from udacity_gym.recording import open_recording
from udacity_gym.telemetry import MPH
from udacity_gym.world.track.track import Track

OURS = ROOT / "tests" / "algorithms" / "adapters" / "keras_models"
LAWS = json.loads((ROOT / "benchmarks" / "foreign_laws.json").read_text())


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "track", "conditions", "departures"),
    [
        ("naokishibuya-lake", "lake", "clear", 0),
        ("marcomarasca-both", "lake", "clear", 0),
        # They leave the road here or there, depending on how a processor rounds.
        ("marcomarasca-both", "jungle", "clear", 4),
        ("naokishibuya-jungle", "jungle", "no_shadows", 2),
    ],
)
def test_a_fast_model_drives_a_lap_where_its_author_shows_it(
    name: str, track: str, conditions: str, departures: int, foreign_models: Path
) -> None:
    model = benchmark.load_model(foreign_models / f"{name}.h5", LAWS)
    lap = benchmark.drive_lap(name, model, track, conditions)
    assert lap.laps == 1
    assert len(lap.departures) <= departures, lap


@pytest.mark.long
@pytest.mark.parametrize(
    "name", ["atinfinity-lake", "jiaweihan88-both", "jiaweihan88-lake2", "johnrobinsn-lake"]
)
def test_a_slow_model_of_the_lake_stays_on_its_road(name: str, foreign_models: Path) -> None:
    model = benchmark.load_model(foreign_models / f"{name}.h5", LAWS)
    drive = benchmark.drive_lap(name, model, "lake", max_seconds=40.0)
    assert drive.departures == ()
    assert drive.edge_departures == 0


@pytest.mark.long
def test_models_of_the_lake_steer_alike_on_real_and_drawn_images(
    foreign_models: Path, lake_recording: Path
) -> None:
    episode = open_recording(lake_recording).episodes[0][300:420]
    track = Track.load("lake")
    frames, aligned = fidelity.reconstruct(episode, track, (267.5, 0.05, 0.0), 0, 300, seed=0)
    pairs = fidelity.draw_pairs(episode, track, frames, aligned, 3)
    real, drawn = (np.stack([getattr(pair, name) for pair in pairs]) for name in ("real", "drawn"))
    moved = benchmark.move(real, aligned, range(0, len(frames), 3))
    s = np.array([pair.s for pair in pairs])
    for name in ("naokishibuya-lake", "marcomarasca-both", "johnrobinsn-lake"):
        model = benchmark.load_model(foreign_models / f"{name}.h5", LAWS)
        alike, *_ = benchmark.compare(model, real, drawn, moved, s, np.array([0.0, 1200.0]))
        assert alike.correlation > 0.6, name
        assert alike.ceiling > 0.9, name


def test_the_models_of_a_folder_are_found_and_get_their_laws() -> None:
    everything = benchmark.find_models(OURS)
    assert [path.stem for path in everything][:2] == ["keras1_course", "keras1_course_weights"]
    (path,) = benchmark.find_models(OURS, ["keras2_functional"])
    assert path.name == "keras2_functional.h5"
    with pytest.raises(SystemExit, match="has no missing; it has keras1_course"):
        benchmark.find_models(OURS, ["missing"])
    with pytest.raises(SystemExit, match="has no Keras model"):
        benchmark.find_models(ROOT / "benchmarks")


def test_a_file_that_cannot_be_read_is_named_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.h5").write_bytes(b"no model")
    shutil.copy(OURS / "keras2_functional.h5", tmp_path / "b.h5")
    (tmp_path / "b.policy.json").write_text('{"preprocessing": {"scale": 1}}')
    models = list(benchmark.read_models(benchmark.find_models(tmp_path), {}))
    assert [name for name, _ in models] == ["b"]
    assert "a.h5 is left out: " in capsys.readouterr().err


def test_every_law_of_the_file_is_one() -> None:
    from udacity_gym.driving.throttle_laws import make_throttle_law

    laws = {name: make_throttle_law(law) for name, law in LAWS.items()}
    assert laws["marcomarasca-both"] == PIThrottle(25 * MPH, coast_steering=0.6)
    assert laws["atinfinity-lake"] == PIThrottle(9 * MPH)


def test_images_are_moved_as_far_as_their_poses_are_uncertain() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 160, 320, 3), np.uint8)
    zeros = np.zeros(4)
    certain = Alignment(zeros, zeros, zeros, zeros, np.zeros((4, 4)), zeros.astype(int), zeros)
    np.testing.assert_array_equal(benchmark.move(images, certain, range(4)), images)
    uncertain = certain._replace(deviation=np.full((4, 4), 0.02))
    assert (benchmark.move(images, uncertain, range(4)) != images).any()


def test_likeness_is_the_correlation_beside_its_ceiling() -> None:
    steering = np.array([0.0, 0.1, -0.2, 0.3])
    alike = benchmark.Likeness.of(steering, -steering, 2 * steering)
    assert str(alike) == "-1.00 / 1.00"
    assert np.isnan(benchmark.Likeness.of(steering, np.zeros(4), steering).correlation)
