"""Training batches: the right frames in a repeatable order, from a buffer that does not grow."""

import gc
import pickle
import threading
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray
from recording_tools import MakeRecording, image_name, make_image, row

from algorithms import Preprocessing
from udacity_gym.errors import OptionError, RecordingError
from udacity_gym.recording import (
    Downscale,
    PackedFrames,
    Recording,
    RecordingWriter,
    TrainingLoader,
    open_recording,
    pack,
)
from udacity_gym.recording.frames import FRAME_NUMBERS, ordered_map
from udacity_gym.recording.loader import FrameBatch, Permutation
from udacity_gym.telemetry import CAMERAS, Image

SMALL = Downscale((33, 100), (60, 135))


@dataclass(frozen=True)
class Mean:
    """Leaves one pixel of an image."""

    def __call__(self, image: Image) -> Image:
        return np.asarray(image.mean((0, 1), keepdims=True), dtype=np.uint8)


@pytest.fixture
def recording(make_recording: MakeRecording) -> Recording:
    """Two episodes of 25 and 15 frames; steering tells the frame."""
    seconds = [index / 10 + (60 if index >= 25 else 0) for index in range(40)]
    lines = [row(s, f"0.{i:03d},0.5,0.25,10") for i, s in enumerate(seconds)]
    return open_recording(make_recording(lines, [image_name(c, s) for s in seconds for c in CAMERAS]))


def frame_numbers(loader: TrainingLoader, epoch: int | None = None) -> list[int]:
    batches = loader if epoch is None else loader.epoch(epoch)
    return [i for batch in batches for i in batch.index.tolist()]


@given(n=st.integers(1, 5000), seed=st.integers(0, 1 << 40))
def test_a_permutation_has_every_number_once(n: int, seed: int) -> None:
    order = Permutation(n, (seed, 1))(np.arange(n))
    assert np.array_equal(np.sort(order), np.arange(n))


def test_permutations_of_a_million_are_computed_in_pieces_and_look_random() -> None:
    order = Permutation(1_000_000, (0, 0))
    piece = order(np.arange(5000))
    assert np.array_equal(piece[100:200], order(np.arange(100, 200)))
    assert len(set(piece.tolist())) == 5000
    assert piece.mean() == pytest.approx(500_000, rel=0.03)
    assert abs(np.corrcoef(piece[:-1], piece[1:])[0, 1]) < 0.05
    assert not np.array_equal(piece, Permutation(1_000_000, (0, 1))(np.arange(5000)))


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_an_epoch_has_every_frame_once_with_its_image_and_numbers(recording: Recording, workers: int) -> None:
    frames = list(recording.frames())
    loader = TrainingLoader(recording, ("center", "left"), SMALL, batch_size=7, workers=workers)
    assert len(loader) == 6
    batches = list(loader)
    assert [len(batch) for batch in batches] == [7] * 5 + [5]
    assert sorted(i for batch in batches for i in batch.index.tolist()) == list(range(40))
    for batch in batches:
        for k, i in enumerate(batch.index.tolist()):
            assert batch.steering[k] == np.float32(frames[i].steering)
            assert batch.brake[k] == np.float32(0.25)
            assert batch.speed[k] == np.float32(frames[i].speed)
            for camera in ("center", "left"):
                assert np.array_equal(batch.images[camera][k], SMALL(frames[i].image(camera)))


def test_the_order_depends_on_seed_and_epoch_and_not_on_the_workers(recording: Recording) -> None:
    orders = [
        [frame_numbers(loader), frame_numbers(loader)]
        for loader in (
            TrainingLoader(recording, prepare=Mean(), batch_size=4, workers=w, prefetch=p, seed=5)
            for w, p in ((0, 1), (1, 1), (4, 9))
        )
    ]
    assert orders[0] == orders[1] == orders[2]
    assert orders[0][0] != orders[0][1]
    other = TrainingLoader(recording, prepare=Mean(), batch_size=4, seed=6)
    assert frame_numbers(other) != orders[0][0]
    assert frame_numbers(TrainingLoader(recording, prepare=Mean(), seed=5), 1) == orders[0][1]
    in_order = TrainingLoader(recording, prepare=Mean(), shuffle=False)
    assert frame_numbers(in_order) == frame_numbers(in_order) == list(range(40))


def test_the_last_batch_may_be_left_out(recording: Recording) -> None:
    loader = TrainingLoader(recording, prepare=Mean(), batch_size=32, drop_last=True)
    assert [len(batch) for batch in loader] == [32]
    assert len(loader) == 1


def test_a_recording_in_a_zip_and_a_pattern_load_too(recording: Recording) -> None:
    loader = TrainingLoader(recording.path.parent / "dri*", prepare=Mean())
    assert len(frame_numbers(loader)) == 40


def test_what_can_not_be_loaded_says_so(recording: Recording) -> None:
    with pytest.raises(OptionError, match="cameras must be some of"):
        TrainingLoader(recording, ("rear",))
    with pytest.raises(OptionError, match="batch_size must be 1 or more"):
        TrainingLoader(recording, batch_size=0)
    with pytest.raises(RecordingError, match=r"row 1, center: IMG/.* leaves nothing of an image of 160 rows"):
        TrainingLoader(recording, prepare=Downscale(crop=(160, 200)))
    with pytest.raises(RecordingError, match="has no frame to learn from"):
        TrainingLoader(recording.without(range(100)))


def test_a_crop_is_the_rows_that_are_kept() -> None:
    image = make_image(3)
    assert np.array_equal(Downscale((75, 320), (60, 135))(image), image[60:135])
    with pytest.raises(OptionError, match=r"to cut off 25 rows at the bottom, give \(60, height - 25\)"):
        Downscale(crop=(60, 25))
    with pytest.raises(OptionError, match=r"rows of an image that are kept: image\[top:bottom\]$"):
        Downscale(crop=(-5, 25))


def test_a_policys_preprocessing_prepares_images_too(recording: Recording, tmp_path: Path) -> None:
    preprocessing = Preprocessing()
    loader = TrainingLoader(
        recording, prepare=preprocessing, batch_size=1, shuffle=False, cache=tmp_path / "a.pack"
    )
    image = next(iter(loader)).images["center"][0]
    assert np.array_equal(image, preprocessing(recording.episodes[0][0].image()))


def test_a_broken_image_stops_training_with_its_file_and_row(recording: Recording) -> None:
    recording.episodes[0].path("center", 7).write_bytes(b"\xff\xd8")
    with pytest.raises(RecordingError, match=r"driving_log\.csv, row 8, center: .* is cut off"):
        list(TrainingLoader(recording, prepare=Mean()))
    assert len(frame_numbers(TrainingLoader(recording.without(recording.check()), prepare=Mean()))) == 39


def test_a_image_of_another_size_is_named(recording: Recording) -> None:
    import cv2

    path = recording.episodes[0].path("center", 3)
    path.write_bytes(cv2.imencode(".jpg", make_image(0, 80, 160))[1].tobytes())
    with pytest.raises(RecordingError, match=r"row 4, center: an image of shape \(80, 160, 3\)"):
        list(TrainingLoader(recording))


def test_work_ahead_is_bounded_and_ends_when_nobody_listens_any_more() -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        return item

    results: Iterator[int] = ordered_map(work, iter(range(10_000)), workers=3, prefetch=5)
    for expected in range(20):
        assert next(results) == expected
        assert len(begun) <= expected + 7
    results.close()  # type: ignore[attr-defined]
    assert len(begun) < 40
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("recording")]


def test_an_error_comes_where_its_result_would() -> None:
    results = ordered_map(lambda i: 1 // (3 - i), range(10), workers=2, prefetch=4)
    assert [next(results) for _ in range(3)] == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


class _Drawn:
    """A source of any number of frames that draws them when they are asked for."""

    cameras = ("center",)
    shape = (66, 200, 3)

    def __init__(self, frames: int) -> None:
        self.frames = frames

    def __len__(self) -> int:
        return self.frames

    def read(self, index: int, images: list[Image]) -> NDArray[np.float64]:
        images[0][...] = index % 251
        return np.full(len(FRAME_NUMBERS), index % 100 / 100)


def test_a_million_frames_take_no_more_memory_than_a_thousand() -> None:
    peaks = []
    for frames in (1_000, 1_000_000):
        loader = TrainingLoader(_Drawn(frames), batch_size=32)
        gc.collect()
        tracemalloc.start()
        for count, batch in enumerate(loader, 1):
            assert (batch.images["center"][:, 0, 0, 0] == batch.index % 251).all()
            if count == 31:
                break
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert peaks[-1] < loader.buffer_bytes + 500_000
    assert peaks[1] < 1.1 * peaks[0] + 50_000


def test_a_packed_file_gives_the_same_batches(recording: Recording, tmp_path: Path) -> None:
    packed = pack(recording, tmp_path / "drive.pack", CAMERAS, SMALL)
    assert (len(packed), packed.cameras, packed.shape) == (40, CAMERAS, (33, 100, 3))
    ours = TrainingLoader(packed, batch_size=16, seed=2)
    theirs = TrainingLoader(recording, CAMERAS, SMALL, batch_size=16, seed=2)
    assert_same(list(ours), list(theirs))
    travelled = pickle.loads(pickle.dumps(packed))
    assert_same(list(TrainingLoader(travelled, batch_size=16, seed=2)), list(theirs.epoch(0)))
    packed.close()
    packed.close()
    with pytest.raises(OptionError, match="is prepared already"):
        TrainingLoader(travelled, prepare=SMALL)


def assert_same(ours: list[FrameBatch], theirs: list[FrameBatch]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        assert np.array_equal(a.index, b.index)
        assert np.array_equal(a.steering, b.steering)
        assert np.array_equal(a.speed, b.speed)
        assert a.images.keys() == b.images.keys()
        for camera in a.images:
            assert np.array_equal(a.images[camera], b.images[camera])


def test_a_cache_is_written_once_where_it_is_told_to_and_may_be_deleted(
    recording: Recording, tmp_path: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in recording.path.rglob("*")}
    cache = tmp_path / "cache" / "drive.pack"
    cache.parent.mkdir()
    expected = list(TrainingLoader(recording, prepare=SMALL))
    loader = TrainingLoader(recording, prepare=SMALL, cache=cache)
    written = cache.stat().st_mtime_ns
    assert_same(list(loader), expected)
    assert_same(list(TrainingLoader(recording, prepare=SMALL, cache=cache)), expected)
    assert cache.stat().st_mtime_ns == written
    assert [path.name for path in cache.parent.iterdir()] == ["drive.pack"]
    cache.unlink()
    assert_same(list(TrainingLoader(recording, prepare=SMALL, cache=cache)), expected)
    assert {path: path.stat().st_mtime_ns for path in recording.path.rglob("*")} == before


@pytest.mark.parametrize("change", ["prepare", "cameras", "rows", "images"])
def test_a_cache_that_does_not_fit_any_more_is_written_anew(
    recording: Recording, tmp_path: Path, change: str
) -> None:
    cache = tmp_path / "drive.pack"
    TrainingLoader(recording, ("center",), SMALL, cache=cache)
    prepare, cameras = SMALL, ("center",)
    if change == "prepare":
        prepare = Downscale((33, 100), (50, 135))
    elif change == "cameras":
        cameras = ("left",)
    elif change == "rows":
        recording = recording.without([3])
    else:
        path = recording.episodes[0].path("center", 2)
        path.unlink()
        path.write_bytes(recording.episodes[0].data("center", 1))
    loader = TrainingLoader(recording, cameras, prepare, cache=cache)
    assert_same(list(loader), list(TrainingLoader(recording, cameras, prepare)))


def test_damage_in_a_cache_costs_a_warning_and_no_frame(recording: Recording, tmp_path: Path) -> None:
    cache = tmp_path / "drive.pack"
    TrainingLoader(recording, prepare=SMALL, cache=cache)
    data = bytearray(cache.read_bytes())
    data[4096 + 20_000] ^= 1
    cache.write_bytes(data)
    with pytest.raises(RecordingError, match="is damaged at frame 2; delete it and pack"):
        list(TrainingLoader(PackedFrames(cache), workers=0))
    loader = TrainingLoader(recording, prepare=SMALL, cache=cache, workers=0)
    with pytest.warns(UserWarning, match="is damaged at frame 2.*The recording itself is read"):
        batches = list(loader)
    assert_same(batches, list(TrainingLoader(recording, prepare=SMALL)))


@pytest.mark.parametrize("cut", [5, 100, 5000, -1])
def test_a_cache_that_was_cut_off_is_noticed_and_written_anew(
    recording: Recording, tmp_path: Path, cut: int
) -> None:
    cache = tmp_path / "drive.pack"
    TrainingLoader(recording, prepare=SMALL, cache=cache)
    whole = cache.read_bytes()
    cache.write_bytes(whole[:cut])
    with pytest.raises(RecordingError, match="delete it and pack the recording again"):
        PackedFrames(cache)
    if cut >= 8:
        TrainingLoader(recording, prepare=SMALL, cache=cache)
        assert cache.read_bytes() == whole


def test_somebody_elses_file_is_never_replaced_by_a_cache(recording: Recording, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("all my work")
    with pytest.raises(RecordingError, match=r"thesis\.txt is no packed recording"):
        TrainingLoader(recording, cache=tmp_path / "thesis.txt")
    assert (tmp_path / "thesis.txt").read_text() == "all my work"


def test_a_function_that_does_not_say_what_it_does_is_no_key_of_a_cache(
    recording: Recording, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match="doesn't say what it does"):
        TrainingLoader(recording, prepare=lambda image: image, cache=tmp_path / "a.pack")


def test_a_cache_that_can_not_be_written_says_so_and_leaves_nothing(
    recording: Recording, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RecordingError, match=r"a\.pack can't be written"):
        TrainingLoader(recording, cache=tmp_path / "file" / "a.pack")
    recording.episodes[1].path("center", 7).unlink()
    with pytest.raises(RecordingError, match="row 33, center"):
        TrainingLoader(recording, cache=tmp_path / "a.pack")
    assert not list(tmp_path.glob("*.pack*"))


def test_frames_written_by_the_writer_are_loaded(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "drive") as writer:
        for index in range(5):
            images = {camera: make_image(index) for camera in CAMERAS}
            writer.write(images, index / 10, 0.5, 0, 9.0, time=index / 15)
    (batch,) = TrainingLoader(tmp_path / "drive", shuffle=False)
    assert batch.steering.tolist() == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert batch.images["center"].shape == (5, 160, 320, 3)
