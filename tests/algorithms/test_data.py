"""Rows, splits, balance, and images within a memory budget."""

import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from simple_road import wanted_steering, write_road_recording

from algorithms import Augmentation, Preprocessing, TrainingConfig
from algorithms.training.data import Frames
from algorithms.training.training_set import TrainingSet, motion_weights, systematic_resampling
from udacity_gym.errors import OptionError, RecordingError
from udacity_gym.recording import Episode, ImageCache, open_recording
from udacity_gym.recording.balance import balance_weights
from udacity_gym.recording.frames import ordered_map

IMAGE_BYTES = 66 * 200 * 3
NO_AUGMENTATION = Augmentation(flip=0, shift=0, turn=0, vertical=0, brightness=0, shadow=0)


@pytest.fixture(scope="module")
def frames(road_recording: Path) -> Frames:
    return Frames.of([open_recording(road_recording)])


@pytest.fixture(scope="module")
def episodes(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    """Three episodes of 20 rows."""
    folder = tmp_path_factory.mktemp("episodes") / "recording"
    return Frames.of([open_recording(write_road_recording(folder, np.linspace(-1, 1, 60), episodes=3))])


def test_every_row_becomes_a_frame(frames: Frames) -> None:
    assert len(frames) == 160
    assert frames.cameras == ("center", "left", "right")
    assert frames.speed == pytest.approx(10.0, rel=1e-4)


def test_braking_is_negative_throttle(lake_recording: Path) -> None:
    recording = open_recording(lake_recording)
    frames = Frames.of([recording])
    brake = np.concatenate([episode.brake for episode in recording.episodes])
    assert (brake > 0).any()
    assert (frames.throttle[brake > 0] < 1).all()
    assert frames.throttle.min() < 0


def test_several_recordings_are_one_after_the_other(
    frames: Frames, road_recording: Path, episodes: Frames
) -> None:
    both = Frames.of([open_recording(road_recording), open_recording(episodes.episodes[0].log)])
    assert len(both) == len(frames) + len(episodes)
    assert len(both.episodes) == 1 + 3


def test_no_recording_is_nothing_to_learn_from() -> None:
    with pytest.raises(RecordingError, match="nothing to learn from"):
        Frames.of([])


def test_validation_rows_come_last_and_training_keeps_its_distance(frames: Frames) -> None:
    train, validation = frames.split(validation=0.2, gap=1.0)
    assert len(validation) == 32
    np.testing.assert_array_equal(validation.index, np.arange(128, 160))
    assert validation.time[0] - train.time[-1] >= 1.0
    assert len(train) == 128 - 15
    assert np.all(np.diff(train.index) == 1)


def test_the_split_follows_episodes(episodes: Frames) -> None:
    train, validation = episodes.split(validation=1 / 3, gap=1.0)
    assert set(validation.episode) == {2}
    assert set(train.episode) == {0, 1}
    assert len(train) == 40  # another episode is far enough away


def test_each_of_several_recordings_is_split(tmp_path: Path) -> None:
    for name, rows in (("one", 40), ("other", 60)):
        write_road_recording(tmp_path / name, np.linspace(-1, 1, rows))
    apart = Frames.of([open_recording(tmp_path / name) for name in ("one", "other")])
    joined = Frames.of([open_recording(str(tmp_path / "*"))])
    for frames in (apart, joined):
        train, validation = frames.split(validation=0.25, gap=0.19)
        assert validation.index.tolist() == [*range(30, 40), *range(45, 60)]
        assert train.index.tolist() == [*range(28), *range(43)]
        assert np.unique(train.episode).tolist() == np.unique(validation.episode).tolist() == [0, 1]


def test_a_recording_too_short_to_be_split_is_trained_on_as_a_whole(tmp_path: Path) -> None:
    for name, rows in (("long", 60), ("short", 20)):
        write_road_recording(tmp_path / name, np.linspace(-1, 1, rows))
    frames = Frames.of([open_recording(tmp_path / name) for name in ("long", "short")], weights=[1, 5])
    train, validation = frames.split(validation=0.25, gap=1.01)
    assert np.bincount(train.recording).tolist() == [30, 20]
    assert np.bincount(validation.recording).tolist() == [15]


def test_no_image_is_in_both_parts_of_a_split(frames: Frames) -> None:
    train, validation = frames.split(validation=0.3, gap=0.5)

    def images(part: Frames) -> set[Path]:
        rows = zip(part.episode.tolist(), part.index.tolist(), strict=True)
        return {part.episodes[e].path(camera, i) for e, i in rows for camera in part.cameras}

    assert len(images(train)) == 3 * len(train)
    assert not images(train) & images(validation)


def test_everything_can_be_trained_on(frames: Frames) -> None:
    train, validation = frames.split(validation=0.0, gap=2.0)
    assert (len(train), len(validation)) == (160, 0)


@pytest.mark.parametrize(("validation", "gap"), [(1.0, 0.0), (-0.1, 0.0), (0.2, -1.0), (0.9, 100.0)])
def test_a_split_that_leaves_nothing_is_refused(frames: Frames, validation: float, gap: float) -> None:
    with pytest.raises(OptionError):
        frames.split(validation, gap)


def test_smoothing_is_a_centred_mean(frames: Frames) -> None:
    smooth = frames.smoothed(0.3).steering
    assert smooth[50] == pytest.approx(frames.steering[48:53].mean(), abs=1e-6)
    assert smooth[0] == pytest.approx(frames.steering[:3].mean(), abs=1e-6)


def test_smoothing_keeps_what_was_recorded(frames: Frames) -> None:
    np.testing.assert_array_equal(frames.smoothed(1.0).recorded_steering, frames.steering)


def test_smoothing_does_not_cross_episodes(episodes: Frames) -> None:
    smooth = episodes.smoothed(1.0)
    assert smooth.steering[19] == pytest.approx(episodes.steering[12:20].mean(), abs=1e-6)
    assert smooth.steering[20] == pytest.approx(episodes.steering[20:28].mean(), abs=1e-6)


def test_smoothing_training_rows_does_not_look_at_validation_rows(frames: Frames) -> None:
    train, _ = frames.split(0.2, gap=0.0)
    assert train.smoothed(1.0).steering[-1] == pytest.approx(train.steering[-8:].mean(), abs=1e-6)


def test_balance_flattens_the_peak_at_zero() -> None:
    steering = np.concatenate([np.zeros(900), np.full(90, 0.3), np.full(10, -0.9)]).astype(np.float32)
    weights = balance_weights(steering, 1.0)
    assert weights.mean() == pytest.approx(1.0)
    shares = [weights[steering == value].sum() for value in np.float32((0.0, 0.3, -0.9))]
    assert shares == pytest.approx([shares[0]] * 3)
    half = balance_weights(steering, 0.5)
    assert half[0] < half[950] < half[-1]
    np.testing.assert_array_equal(balance_weights(steering, 0.0), 1.0)


def test_standing_is_not_learnt() -> None:
    speed = np.array([0.0, 2.5, 5.0, 10.0, 10.0, 10.0, 12.0], np.float32)
    np.testing.assert_allclose(motion_weights(speed), [0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0])
    rows = systematic_resampling(motion_weights(speed), np.random.default_rng(0), 7)
    assert 0 not in rows
    assert len(rows) == len(speed)
    np.testing.assert_array_equal(motion_weights(np.zeros(3, np.float32)), 1.0)


def test_who_was_driven_slowly_beside_others_did_not_creep() -> None:
    speed = np.array([0.0, 1.0, 4.0, 4.0, 4.0], np.float32)
    assert motion_weights(speed, usual=20.0).tolist() == [0.0, 0.5, 1.0, 1.0, 1.0]
    assert motion_weights(speed, usual=8.0).tolist() == [0.0, 0.25, 1.0, 1.0, 1.0]
    assert motion_weights(np.zeros(2, np.float32), usual=8.0).tolist() == [1.0, 1.0]
    mostly_standing = np.array([0.0, 0.0, 2.0], np.float32)
    assert motion_weights(mostly_standing, usual=8.0).tolist() == [0.0, 0.0, 0.5]


def test_equal_weights_draw_every_row_once() -> None:
    rows = systematic_resampling(np.ones(1000), np.random.default_rng(0), 1000)
    np.testing.assert_array_equal(np.sort(rows), np.arange(1000))
    assert (rows != np.arange(1000)).any()


def test_rows_are_drawn_as_often_as_their_weight_says() -> None:
    weights = np.array([0.25, 2.0, 0.75, 1.0] * 100)
    counts = np.bincount(systematic_resampling(weights, np.random.default_rng(0), 400), minlength=400)
    assert counts.sum() == 400
    assert (counts >= np.floor(weights)).all()
    assert (counts <= np.ceil(weights)).all()


def test_images_come_prepared_from_the_right_frame_and_camera(frames: Frames) -> None:
    preprocessing, episode = Preprocessing(), frames.episodes[0]
    cache = ImageCache(preprocessing, 1e8)
    for _ in range(2):  # decoded, then remembered
        for index, camera in [(7, "center"), (3, "left"), (7, "left")]:
            truth = preprocessing(episode[index].image(camera))
            np.testing.assert_array_equal(cache.image(episode, index, camera), truth)
    assert len(cache) == 3


def test_what_fits_the_budget_is_decoded_once_and_the_rest_anew(
    frames: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = 0
    read = Episode.__getitem__

    def counting(self: Episode, index: Any) -> Any:
        nonlocal decoded
        decoded += 1
        return read(self, index)

    monkeypatch.setattr(Episode, "__getitem__", counting)
    training_set = TrainingSet(frames, TrainingConfig(memory_budget=100 * IMAGE_BYTES))
    for _ in range(3):
        training_set.recorded_batch(np.arange(160))
    assert decoded == 100 + 3 * 60
    assert len(training_set.cache) == 100


def test_memory_stays_within_the_budget(frames: Frames) -> None:
    budget = 20 * IMAGE_BYTES
    config = TrainingConfig(memory_budget=budget, augmentation=NO_AUGMENTATION)
    tracemalloc.start()
    training_set = TrainingSet(frames, config)
    rng = np.random.default_rng(0)
    for _ in range(20):
        training_set.augmented_batch(rng.integers(0, 160, 8), rng)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    batch_and_decoder = 8 * IMAGE_BYTES + 1_500_000
    assert training_set.cache.nbytes <= budget
    assert peak < budget + batch_and_decoder
    assert peak < 0.2 * len(frames) * 3 * IMAGE_BYTES


def test_a_part_of_an_image_is_kept_without_the_rest(frames: Frames) -> None:
    cache = ImageCache(lambda image: image[:10, :10], memory_budget=300_000)
    tracemalloc.start()
    for index in range(160):
        cache.image(frames.episodes[0], index, "center")
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (len(cache), cache.nbytes) == (160, 160 * 300)
    assert kept < 300_000


def test_a_image_of_another_size_is_named(tmp_path: Path) -> None:
    folder = write_road_recording(tmp_path / "recording", np.zeros(3))
    frames = Frames.of([open_recording(folder)])
    odd = frames.episodes[0].path("center", 1)
    cv2.imwrite(str(odd), np.zeros((80, 160, 3), np.uint8))
    training_set = TrainingSet(frames, TrainingConfig())
    with pytest.raises(RecordingError, match=rf"row 2, center: .*{odd.name}.*80x160"):
        training_set.recorded_batch(np.array([0, 1]))


def test_results_made_ahead_come_in_order() -> None:
    made: list[int] = []

    def make(i: int) -> int:
        made.append(i)
        return i * i

    results = ordered_map(make, range(5), workers=1, prefetch=1)
    assert next(results) == 0
    assert len(made) <= 2  # one in use, one ahead
    assert list(results) == [1, 4, 9, 16]
    assert made == [0, 1, 2, 3, 4]


def test_an_error_while_making_ahead_arrives() -> None:
    def make(i: int) -> float:
        return 1 / (2 - i)

    with pytest.raises(ZeroDivisionError):
        list(ordered_map(make, range(4), workers=1, prefetch=1))


def test_the_simple_road_is_driven_back_to_the_middle(frames: Frames) -> None:
    assert wanted_steering(1.0) < 0 < wanted_steering(-1.0)
    assert frames.steering.std() > 0.05


def test_the_past_of_a_row_is_what_came_before_it_in_its_episode(episodes: Frames) -> None:
    past = episodes.past(3)
    assert past[5].tolist() == [2, 3, 4, 5]
    assert past[0].tolist() == [0, 0, 0, 0]
    assert past[21].tolist() == [0, 0, 0, 1]  # the second row of the second episode
    assert episodes.past(0).tolist() == episodes.index[:, None].tolist()


def test_the_past_of_rows_that_are_not_trained_on_still_counts(episodes: Frames) -> None:
    some = episodes.select(np.array([4, 23]))
    assert some.past(2).tolist() == [[2, 3, 4], [1, 2, 3]]


def test_the_past_ends_at_a_cut(tmp_path: Path) -> None:
    recording = open_recording(write_road_recording(tmp_path / "laps", np.linspace(-1, 1, 20)))
    cut = recording.without(range(8, 13))  # a third of a second is missing before index 7
    assert Frames.of([cut]).past(2)[6:10].tolist() == [[4, 5, 6], [7, 7, 7], [7, 7, 8], [7, 8, 9]]
    whole = recording.without([8])  # one row is missing
    assert Frames.of([whole]).past(2)[8].tolist() == [6, 7, 8]


def test_images_come_with_their_past_through_the_same_camera(frames: Frames) -> None:
    config = TrainingConfig(
        past_frames=2, side_cameras=1.0, augmentation=NO_AUGMENTATION, memory_budget=30 * IMAGE_BYTES
    )
    rows = np.array([0, 40])
    images, _, targets, _ = (
        column.numpy()
        for column in TrainingSet(frames, config).augmented_batch(rows, np.random.default_rng(0))
    )
    assert images.shape == (2, 3, 66, 200, 3)
    sides = np.where(targets[:, 0] > frames.steering[rows], "left", "right").tolist()
    for found, (row, camera) in zip(
        images.reshape(-1, 66, 200, 3),
        [(0, sides[0]), (0, sides[0]), (0, sides[0]), (38, sides[1]), (39, sides[1]), (40, sides[1])],
        strict=True,
    ):
        np.testing.assert_array_equal(found, Preprocessing()(frames.image(row, camera)))


def test_whole_episodes_are_set_aside_near_the_share_that_is_wanted(episodes: Frames) -> None:
    train, validation = episodes.split_episodes(0.3, seed=0)
    assert len(np.unique(validation.episode)) == 1
    assert len(validation) == 20
    assert not set(train.episode.tolist()) & set(validation.episode.tolist())
    drawn = {tuple(np.unique(episodes.split_episodes(0.3, seed)[1].episode)) for seed in range(20)}
    assert drawn == {(0,), (1,), (2,)}
    assert len(episodes.split_episodes(0.9, 0)[0]) == 20  # one is left to train on
    assert len(episodes.split_episodes(0.0, 0)[1]) == 0


def test_one_episode_can_not_be_split_into_episodes(frames: Frames) -> None:
    with pytest.raises(OptionError, match=r'several episodes.*validation_by="time"'):
        frames.split_episodes(0.2, seed=0)


def test_starting_off_is_learnt_by_who_is_told_the_speed() -> None:
    speed = np.array([0.0, 0.0, 1.0, 10.0, 10.0, 10.0], np.float32)
    throttle = np.array([0.0, 1.0, 1.0, 0.2, 0.0, -0.5], np.float32)
    assert motion_weights(speed, throttle).tolist() == [0, 1, 1, 1, 1, 1]
    assert motion_weights(speed)[1] == 0


def test_a_recording_in_a_zip_file_is_the_same_data(tmp_path: Path) -> None:
    folder = write_road_recording(tmp_path / "laps", np.linspace(-1, 1, 3))
    shutil.make_archive(str(tmp_path / "zipped"), "zip", folder)
    plain, zipped = (Frames.of([open_recording(path)]) for path in (folder, tmp_path / "zipped.zip"))
    identity = list(plain.identity(("center", "left")))
    assert list(zipped.identity(("center", "left"))) == identity
    assert plain.episodes[0].path("left", 1).name in identity[-3].decode()
