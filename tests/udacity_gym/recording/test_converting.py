"""Recordings convert to other formats and back; the formats' own libraries read what was written."""

import contextlib
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recording_tools import make_image

from udacity_gym.driving import drive
from udacity_gym.env import UdacityEnv
from udacity_gym.errors import MissingDependencyError, OptionError, RecordingError
from udacity_gym.installation import install_command
from udacity_gym.recording import Downscale, Recorder, Recording, RecordingWriter, convert, open_recording
from udacity_gym.recording.convert.imitation import Trajectory, trajectories
from udacity_gym.telemetry import CAMERAS

NEEDS = {
    "lerobot": ("pyarrow",),
    "minari": ("minari", "h5py"),
    "huggingface": ("pyarrow",),
    "imitation": ("pyarrow",),
    "donkeycar": (),
}
LOSSLESS = ("lerobot", "huggingface", "donkeycar")


def need(format_: str, *further: str) -> None:
    for module in (*NEEDS[format_], *further):
        pytest.importorskip(module, reason=f"{module} is not installed: pip install 'udacity-gym[convert]'")


def expect_no_rewards(format_: str) -> Any:
    """Minari's format has rewards in any case, so that a recording without them is warned about."""
    if format_ == "minari":
        return pytest.warns(UserWarning, match="has no rewards")
    return contextlib.nullcontext()


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    """Two episodes of 7 and 5 frames, with brakes and a side file."""
    rng = np.random.default_rng(0)
    with RecordingWriter(tmp_path / "drive") as writer:
        for frames in (7, 5):
            writer.new_episode()
            for index in range(frames):
                images = {camera: make_image(index + 10 * k, 120, 240) for k, camera in enumerate(CAMERAS)}
                steering, speed, pedal = rng.uniform(-1, 1), rng.uniform(0, 13), rng.uniform(-1, 1)
                extra = {"cte": index / 7, "driver": "policy", "pose": [1.0, 2.0, 3.0, float(index)]}
                writer.write(
                    images, steering, max(pedal, 0), max(-pedal, 0), speed, time=index / 15, extra=extra
                )
    return open_recording(tmp_path / "drive", strict=True)


def assert_same(ours: Recording, theirs: Recording, exactly: bool) -> None:
    assert [len(episode) for episode in ours.episodes] == [len(episode) for episode in theirs.episodes]
    for a, b in zip(ours.episodes, theirs.episodes, strict=True):
        for name in ("steering", "throttle", "brake", "speed"):
            np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(a.time, b.time, atol=0.0011)
        assert a.extras() == b.extras()
        assert a.name("center", 0) == b.name("center", 0)  # the local time, too
        for i in range(len(a)):
            for camera in ours.cameras:
                if exactly:
                    assert a.data(camera, i) == b.data(camera, i)


@pytest.mark.parametrize("format_", convert.FORMATS)
def test_a_recording_comes_back_from_every_format(recording: Recording, tmp_path: Path, format_: str) -> None:
    need(format_)
    with expect_no_rewards(format_):
        folder = convert.save(recording, tmp_path / "data", format_)
    assert folder == tmp_path / "data"
    back = convert.load(folder, tmp_path / "back", format_)
    assert back.cameras == (("center",) if format_ == "imitation" else CAMERAS)
    assert_same(back, recording, exactly=format_ in LOSSLESS)
    if format_ == "minari":  # it compresses images anew
        difference = np.abs(
            back.episodes[0][3].image("left").astype(int) - recording.episodes[0][3].image("left")
        )
        assert difference.mean() < 4
    if format_ == "imitation":
        assert back.episodes[0][0].image().shape == (66, 200, 3)
    with pytest.raises(RecordingError, match="exists already; choose another folder"):
        convert.save(recording, tmp_path / "data", format_)


@pytest.mark.parametrize("format_", convert.FORMATS)
def test_a_broken_image_leaves_no_half_data_set(recording: Recording, tmp_path: Path, format_: str) -> None:
    need(format_)
    recording.episodes[1].path("center", 3).unlink()
    with pytest.raises(RecordingError, match="can't be read"):
        convert.save(recording, tmp_path / "data", format_)
    assert not list(tmp_path.glob("data*"))


@pytest.mark.parametrize("format_", convert.FORMATS)
def test_a_folder_that_is_something_else_is_refused(tmp_path: Path, format_: str) -> None:
    need(format_)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("hello")
    with pytest.raises(RecordingError, match=r"other"):
        convert.load(tmp_path / "other", tmp_path / "back", format_)
    assert not list(tmp_path.glob("back*"))


@pytest.mark.parametrize(("format_", "package"), [("lerobot", "pyarrow"), ("minari", "minari")])
def test_a_package_that_is_missing_is_named_with_the_pip_command(
    recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_: str, package: str
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=f"{package}.*{re.escape(install_command('convert'))}"):
        convert.save(recording, tmp_path / "data", format_)


def test_an_unknown_format_is_refused(recording: Recording, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no format 'hdf9'; there are lerobot, minari"):
        convert.save(recording, tmp_path / "data", "hdf9")


def test_a_lerobot_data_set_has_the_documented_schema(recording: Recording, tmp_path: Path) -> None:
    """https://huggingface.co/docs/lerobot/lerobot-dataset-v3."""
    need("lerobot")
    import pandas as pd
    import pyarrow.parquet as pq

    folder = convert.save(recording, tmp_path / "data", "lerobot")
    info = json.loads((folder / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0"
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"], info["fps"]) == (2, 12, 1, 15)
    data = pq.read_table(folder / info["data_path"].format(chunk_index=0, file_index=0))
    assert set(data.column_names) == set(info["features"])
    assert data["index"].to_pylist() == list(range(12))
    assert data["frame_index"].to_pylist() == [*range(7), *range(5)]
    assert data["episode_index"].to_pylist() == [0] * 7 + [1] * 5
    assert str(data.schema.field("action").type) == "fixed_size_list<element: float>[3]"
    episodes = pd.read_parquet(folder / "meta/episodes/chunk-000/file-000.parquet")
    assert episodes["length"].tolist() == [7, 5]
    assert episodes["dataset_from_index"].tolist() == [0, 7]
    assert episodes["dataset_to_index"].tolist() == [7, 12]
    tasks = pd.read_parquet(folder / "meta/tasks.parquet")
    assert tasks.loc["drive along the road", "task_index"] == 0
    stats = json.loads((folder / "meta/stats.json").read_text())
    steering = np.concatenate([episode.steering for episode in recording.episodes])
    assert stats["action"]["mean"][0] == pytest.approx(steering.mean())
    assert np.shape(stats["observation.images.left"]["q99"]) == (3, 1, 1)
    assert stats["observation.images.left"]["max"][0][0][0] <= 1


def test_the_real_lerobot_reads_what_was_written(recording: Recording, tmp_path: Path) -> None:
    need("lerobot")
    lerobot = pytest.importorskip(
        "lerobot.datasets.lerobot_dataset",
        reason="lerobot is not installed; it wants a torch of its own",
        exc_type=Exception,  # it can be there beside a torch it does not fit
    )
    folder = convert.save(recording, tmp_path / "data", "lerobot")
    dataset = lerobot.LeRobotDataset("local/drive", root=folder)
    assert (len(dataset), dataset.num_episodes) == (12, 2)
    item = dataset[8]
    frame = recording.episodes[1][1]
    assert item["action"].tolist() == pytest.approx([frame.steering, frame.throttle, frame.brake])
    image = (item["observation.images.right"].permute(1, 2, 0) * 255).round().byte().numpy()
    assert np.abs(image.astype(int) - frame.image("right")).mean() < 1


def test_the_real_datasets_library_reads_parquet_and_trajectories(
    recording: Recording, tmp_path: Path
) -> None:
    need("huggingface", "datasets")
    import datasets

    parquet = convert.save(recording, tmp_path / "hf", "huggingface")
    frames = datasets.Dataset.from_parquet(
        [str(path) for path in sorted(parquet.glob("*.parquet"))], cache_dir=str(tmp_path / "cache")
    )
    assert len(frames) == 12
    assert frames[3]["steering"] == recording.episodes[0][3].steering
    image = np.asarray(frames[3]["left"])
    assert np.abs(image.astype(int) - recording.episodes[0][3].image("left")).mean() < 1
    saved = datasets.load_from_disk(str(convert.save(recording, tmp_path / "im", "imitation")))
    assert saved.column_names == ["obs", "acts", "infos", "terminal"]
    obs = np.asarray(saved[1]["obs"], np.uint8)
    expected = trajectories(recording, prepare=Downscale())[1]
    assert np.array_equal(obs, expected.obs)
    assert np.allclose(saved[1]["acts"], expected.acts)
    assert json.loads(saved[1]["infos"][2])["speed"] == recording.episodes[1][2].speed


def test_the_real_minari_reads_episodes(recording: Recording, tmp_path: Path) -> None:
    need("minari")
    import minari

    with expect_no_rewards("minari"):
        folder = convert.save(recording, tmp_path / "data", "minari")
    dataset = minari.MinariDataset(folder / "data")
    assert (dataset.total_episodes, dataset.total_steps) == (2, 12)
    episode = dataset[1]
    assert episode.observations["center"].shape == (6, 120, 240, 3)
    assert episode.actions[:, 0] == pytest.approx(recording.episodes[1].steering)
    assert episode.truncations.tolist() == [False] * 4 + [True]


def test_trajectories_decode_a_take_when_it_is_asked_for(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    decode = type(recording.episodes[0]).image

    def counted(episode: Any, camera: str, index: int) -> Any:
        read.append(index)
        return decode(episode, camera, index)

    monkeypatch.setattr(type(recording.episodes[0]), "image", counted)
    found = trajectories(recording, "left")
    assert len(found) == 2
    assert read == []
    second = found[-1]
    assert len(read) == 5
    assert len(second) == 5
    assert second.obs.shape == (6, 120, 240, 3)
    assert second.acts.dtype == np.float32
    assert second.acts[:, 1] == pytest.approx(recording.episodes[1].throttle - recording.episodes[1].brake)
    assert second.infos[3]["speed"] == recording.episodes[1][3].speed
    assert not second.terminal
    assert len(found[:]) == 2


def test_trajectories_need_no_imitation(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imitation.data.types", None)
    assert isinstance(trajectories(recording)[0], Trajectory)


def test_a_tub_is_what_donkeycar_writes(recording: Recording, tmp_path: Path) -> None:
    folder = convert.save(recording, tmp_path / "tub", "donkeycar")
    inputs, types, _, _, about = map(json.loads, (folder / "manifest.json").read_text().splitlines())
    assert dict(zip(inputs, types, strict=True))["cam/image_array"] == "image_array"
    assert about["paths"] == ["catalog_0.catalog"]
    assert about["current_index"] == 12
    lines = (folder / "catalog_0.catalog").read_bytes().splitlines(keepends=True)
    lengths = json.loads((folder / "catalog_0.catalog_manifest").read_text())["line_lengths"]
    assert lengths == list(map(len, lines))
    record = json.loads(lines[9])
    frame = recording.episodes[1][2]
    assert record["_index"] == 9
    assert record["_session_id"] == 1
    assert record["user/angle"] == frame.steering
    assert record["user/throttle"] == frame.throttle - frame.brake
    assert (folder / "images" / record["cam/image_array"]).read_bytes() == frame.data()


def edit_tub(folder: Path, change: Callable[[dict[str, Any]], None], deleted: list[int]) -> None:
    catalog = folder / "catalog_0.catalog"
    records = [json.loads(line) for line in catalog.read_text().splitlines()]
    for record in records:
        change(record)
    catalog.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    lines = (folder / "manifest.json").read_text().splitlines()
    about = json.loads(lines[4]) | {"deleted_indexes": deleted}
    (folder / "manifest.json").write_text("\n".join([*lines[:4], json.dumps(about)]))


def test_a_tub_of_donkeycars_own_reads_without_what_udacity_adds(
    recording: Recording, tmp_path: Path
) -> None:
    def strip(record: dict[str, Any]) -> None:
        for key in [key for key in record if key.startswith("udacity/")]:
            del record[key]

    folder = convert.save(recording, tmp_path / "tub", "donkeycar")
    edit_tub(folder, strip, deleted=[0, 1])
    back = convert.load(folder, tmp_path / "back", "donkeycar")
    assert [len(episode) for episode in back.episodes] == [5, 5]
    assert back.episodes[1].steering == pytest.approx(recording.episodes[1].steering)
    assert back.episodes[1].brake == pytest.approx(recording.episodes[1].brake)
    assert back.episodes[1].speed.tolist() == [0] * 5


DAMAGES: dict[str, tuple[str, Callable[[Path, str], object]]] = {
    "empty image": ("center image", lambda tub, name: (tub / "images" / name).write_bytes(b"")),
    "image of zeros": (
        "neither JPEG nor PNG",
        lambda tub, name: (tub / "images" / name).write_bytes(bytes(3861)),
    ),
    "image cut off": ("cut off", lambda tub, name: cut_off(tub / "images" / name)),
    "missing image": ("lacks", lambda tub, name: (tub / "images" / name).unlink()),
    "record of zeros": ("no record", lambda tub, name: change_record(tub, lambda line: "\0" * 3861)),
    "record cut off": ("no record", lambda tub, name: change_record(tub, lambda line: line[:40])),
    "record of a list": ("no record", lambda tub, name: change_record(tub, lambda line: "[1, 2]")),
    "no angle": (
        "no frame",
        lambda tub, name: change_record(tub, lambda line: line.replace("user/angle", "x")),
    ),
    "angle is a word": ("no frame", lambda tub, name: change_number(tub, "user/angle", '"left"')),
    "angle is NaN": ("no finite number", lambda tub, name: change_number(tub, "user/angle", "NaN")),
    "angle is null": ("no frame", lambda tub, name: change_number(tub, "user/angle", "null")),
    "speed is infinite": ("speed is inf", lambda tub, name: change_number(tub, "udacity/speed", "1e999")),
    "time is a word": ("no time", lambda tub, name: change_number(tub, "_timestamp_ms", '"noon"')),
}


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def change_record(tub: Path, change: Callable[[str], str]) -> None:
    """Change the fourth record."""
    lines = (tub / "catalog_0.catalog").read_text().splitlines()
    lines[3] = change(lines[3])
    (tub / "catalog_0.catalog").write_text("\n".join(lines))


def change_number(tub: Path, key: str, value: str) -> None:
    change_record(tub, lambda line: re.sub(rf'"{key}": [^,}}]*', f'"{key}": {value}', line))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_record_of_a_tub_is_skipped_counted_and_named(
    recording: Recording, tmp_path: Path, damage: str
) -> None:
    folder = convert.save(recording, tmp_path / "tub", "donkeycar")
    said, do = DAMAGES[damage]
    do(folder, json.loads((folder / "catalog_0.catalog").read_text().splitlines()[3])["cam/image_array"])
    back = convert.load(folder, tmp_path / "back", "donkeycar")
    assert [len(episode) for episode in back.episodes] == [6, 5]
    steering = np.delete(recording.episodes[0].steering, 3)
    assert back.episodes[0].steering == pytest.approx(steering, abs=1e-6)
    (finding,) = [finding for finding in back.report if finding.kind.name == "skipped record"]
    assert finding.count == 1
    assert finding.detail.startswith("catalog_0.catalog, line 4: ")
    assert said in finding.detail
    assert len(finding.detail) < 300
    assert back.without(back.report).report.used == 11  # the finding is about no row of the new log


def test_a_tub_with_one_record_that_can_be_used_is_used(recording: Recording, tmp_path: Path) -> None:
    folder = convert.save(recording, tmp_path / "tub", "donkeycar")
    for image in sorted((folder / "images").glob("*.jpg"))[:-3]:
        image.write_bytes(b"")
    back = convert.load(folder, tmp_path / "back", "donkeycar")
    assert (len(back), back.report.count("skipped record")) == (1, 11)


def test_a_tub_whose_clock_was_set_back_has_one_more_episode(recording: Recording, tmp_path: Path) -> None:
    folder = convert.save(recording, tmp_path / "tub", "donkeycar")
    edit_tub(
        folder,
        lambda record: record.update(
            {"_timestamp_ms": record["_timestamp_ms"] - 10**6 * (record["_index"] >= 4)}
        ),
        [],
    )
    assert [len(e) for e in convert.load(folder, tmp_path / "back", "donkeycar").episodes] == [4, 3, 5]


def test_a_tub_without_speed_has_no_rows_that_stand_still(recording: Recording, tmp_path: Path) -> None:
    folder = convert.save(recording, tmp_path / "tub", "donkeycar")
    edit_tub(folder, lambda record: record.pop("udacity/speed"), [])
    report = convert.load(folder, tmp_path / "back", "donkeycar").report
    assert report.count("standing still") == 0
    assert report.count("not recorded") == 12


@pytest.mark.parametrize("format_", ["lerobot", "huggingface"])
def test_a_broken_image_in_a_parquet_file_is_skipped_counted_and_named(
    recording: Recording, tmp_path: Path, format_: str
) -> None:
    need(format_)
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = convert.save(recording, tmp_path / "data", format_)
    (path,) = [path for path in folder.rglob("*.parquet") if "meta" not in path.parts]
    with pq.ParquetFile(path) as file:
        table = file.read()
    column = "observation.images.left" if format_ == "lerobot" else "left"
    rows = table.to_pylist()
    rows[4][column]["bytes"] = b""
    rows[8][column]["bytes"] = bytes(4000)
    rows[9][column] = None
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)
    back = convert.load(folder, tmp_path / "back", format_)
    assert [len(episode) for episode in back.episodes] == [6, 3]
    (finding,) = [finding for finding in back.report if finding.kind.name == "skipped record"]
    assert finding.count == 3
    assert finding.detail == f"{path.name}, row 5: the left image is empty"


@pytest.mark.filterwarnings("ignore:.*has no rewards")
@pytest.mark.parametrize("format_", convert.FORMATS)
@pytest.mark.parametrize("place", ["data", "a folder/of data", "./x/../data", "{absolute}/data here"])
def test_formats_are_written_and_read_at_any_kind_of_path(
    recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_: str, place: str
) -> None:
    need(format_)
    (tmp_path / "x").mkdir()
    monkeypatch.chdir(tmp_path)
    target = place.format(absolute=tmp_path)
    assert convert.save(recording, target, format_) == Path(target)
    back = convert.load(target, f"{target} back", format_)
    assert [len(episode) for episode in back.episodes] == [7, 5]
    assert back.path == Path(f"{target} back")
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("name", ["../secret.jpg", "/etc/passwd", "sub/x.jpg", "gone.jpg"])
def test_a_tub_can_not_read_files_outside_of_itself(recording: Recording, tmp_path: Path, name: str) -> None:
    folder = convert.save(recording, tmp_path / "tub", "donkeycar")
    (folder / "secret.jpg").write_bytes(recording.episodes[0][0].data())
    edit_tub(folder, lambda record: record.update({"cam/image_array": name}), [])
    with pytest.raises(RecordingError, match="images lacks"):
        convert.load(folder, tmp_path / "back", "donkeycar")
    lines = (folder / "manifest.json").read_text().splitlines()
    about = json.loads(lines[4]) | {"paths": ["../other.catalog"]}
    (folder / "manifest.json").write_text("\n".join([*lines[:4], json.dumps(about)]))
    with pytest.raises(RecordingError, match=r"lacks \.\./other\.catalog"):
        convert.load(folder, tmp_path / "back", "donkeycar")


def test_a_lerobot_data_set_with_videos_says_what_is_needed(recording: Recording, tmp_path: Path) -> None:
    need("lerobot")
    folder = convert.save(recording, tmp_path / "data", "lerobot")
    path = folder / "meta/info.json"
    path.write_text(path.read_text().replace('"dtype": "image"', '"dtype": "video"'))
    with pytest.raises(RecordingError, match=r"of dtype image.*\(video\)"):
        convert.load(folder, tmp_path / "back", "lerobot")
    path.write_text(path.read_text().replace("v3.0", "v2.1"))
    with pytest.raises(RecordingError, match=r"LeRobot's format v2\.1, only v3 can be read"):
        convert.load(folder, tmp_path / "back", "lerobot")


@pytest.fixture(scope="module")
def drive_off_the_road(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Two episodes: one that ends off the road, and one that whoever recorded has ended."""
    folder = tmp_path_factory.mktemp("outcomes") / "drive"

    def straight_on(observation: Any, info: Any) -> np.ndarray:
        return np.array([0.4, 1.0], np.float32)

    with UdacityEnv() as env, Recorder(folder, cameras=("center",)) as recorder:
        for step in drive(env, straight_on, seed=0, seconds=4.2, on_fall="restart", start={"speed": 10.0}):
            recorder.add(step)
    return open_recording(folder)


def test_the_side_file_keeps_rewards_and_ends(drive_off_the_road: Recording) -> None:
    *fallen, cut = drive_off_the_road.episodes
    assert fallen
    for episode in fallen:
        outcomes = episode.outcomes()
        assert outcomes is not None
        assert outcomes.end_reason == "off_road"
        assert outcomes.terminated.tolist() == [False] * (len(episode) - 1) + [True]
        assert not outcomes.truncated.any()
        assert outcomes.rewards[-1] < -90
        assert (outcomes.rewards[:5] > 0.5).all()
        ends = {"terminated": True, "truncated": False, "end_reason": "off_road"}
        assert {name: episode.extra(-1)[name] for name in ends} == ends
        assert not set(ends) & set(episode.extra(0))
    outcomes = cut.outcomes()
    assert outcomes is not None
    assert outcomes.end_reason is None
    assert not outcomes.terminated.any()
    assert outcomes.truncated.tolist() == [False] * (len(cut) - 1) + [True]


def test_the_recorded_rewards_are_those_of_the_environment(tmp_path: Path) -> None:
    rewards, reasons = [], []
    with UdacityEnv(image_size=(40, 80), max_seconds=0.6) as env, Recorder(tmp_path / "drive") as recorder:
        for step in drive(env, "pure_pursuit", seed=1, steps=20, on_truncation="restart"):
            recorder.add(step)
            rewards.append(step.reward)
            reasons += [step.reason] if step.ends_episode else []
    episodes = open_recording(tmp_path / "drive").episodes
    outcomes = [episode.outcomes() for episode in episodes]
    assert [reward for outcome in outcomes if outcome for reward in outcome.rewards] == rewards
    assert [outcome.end_reason for outcome in outcomes if outcome] == [*reasons, None]
    assert reasons == ["max_seconds"] * 2
    assert all(outcome.truncated[-1] for outcome in outcomes if outcome)


def test_rewards_of_a_part_of_an_episode_are_refused(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "drive", cameras=("center",)) as writer:
        for index in range(4):
            extra = {"reward": 1.0} if index != 2 else {"cte": 0.0}
            writer.write({"center": make_image(index)}, 0.0, 0.0, 0.0, 3.0, time=index / 15, extra=extra)
    with pytest.raises(RecordingError, match=r"row 3: .* has no reward for this row.*1 of 4 lack it"):
        open_recording(tmp_path / "drive").episodes[0].outcomes()


@pytest.mark.parametrize("format_", convert.FORMATS)
def test_rewards_and_ends_come_back_from_every_format(
    drive_off_the_road: Recording, tmp_path: Path, format_: str
) -> None:
    need(format_)
    folder = convert.save(drive_off_the_road, tmp_path / "data", format_)
    back = convert.load(folder, tmp_path / "back", format_)
    for ours, theirs in zip(drive_off_the_road.episodes, back.episodes, strict=True):
        expected, outcomes = ours.outcomes(), theirs.outcomes()
        assert expected is not None
        assert outcomes is not None
        np.testing.assert_array_equal(outcomes.rewards, expected.rewards)
        np.testing.assert_array_equal(outcomes.terminated, expected.terminated)
        np.testing.assert_array_equal(outcomes.truncated, expected.truncated)
        assert outcomes.end_reason == expected.end_reason


def test_minari_gets_rewards_and_terminations(drive_off_the_road: Recording, tmp_path: Path) -> None:
    need("minari")
    import minari

    folder = convert.save(drive_off_the_road, tmp_path / "data", "minari")
    episodes = list(minari.MinariDataset(folder / "data").iterate_episodes())
    for episode, ours in zip(episodes, drive_off_the_road.episodes, strict=True):
        outcomes = ours.outcomes()
        assert outcomes is not None
        np.testing.assert_array_equal(episode.rewards, outcomes.rewards)
        np.testing.assert_array_equal(episode.terminations, outcomes.terminated)
        np.testing.assert_array_equal(episode.truncations, outcomes.truncated)
    assert [bool(episode.terminations[-1]) for episode in episodes] == [True] * (len(episodes) - 1) + [False]


def test_numbers_that_were_not_recorded_are_announced(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "drive", numbers=("steering", "speed")) as writer:
        for i in range(3):
            writer.write({camera: make_image(i) for camera in CAMERAS}, 0.1, 0.5, 0.0, 5.0, i / 15)
    with pytest.warns(UserWarning, match="not recorded, .*no value to learn from: throttle, brake$"):
        convert.save(open_recording(tmp_path / "drive"), tmp_path / "tub", "donkeycar")


def test_minari_warns_where_rewards_were_not_recorded(recording: Recording, tmp_path: Path) -> None:
    need("minari")
    with pytest.warns(UserWarning, match="no rewards in 2 of 2 episodes.*useless for reinforcement"):
        folder = convert.save(recording, tmp_path / "data", "minari")
    assert convert.load(folder, tmp_path / "back", "minari").episodes[0].outcomes() is None


def test_lerobot_gets_rewards_and_ends(drive_off_the_road: Recording, tmp_path: Path) -> None:
    need("lerobot")
    import pyarrow.parquet as pq

    folder = convert.save(drive_off_the_road, tmp_path / "data", "lerobot")
    info = json.loads((folder / "meta/info.json").read_text())
    data = pq.read_table(folder / info["data_path"].format(chunk_index=0, file_index=0))
    assert set(data.column_names) == set(info["features"])
    outcomes = [episode.outcomes() for episode in drive_off_the_road.episodes]
    known = [outcome for outcome in outcomes if outcome is not None]
    rewards = np.concatenate([outcome.rewards for outcome in known])
    terminated = np.concatenate([outcome.terminated for outcome in known])
    np.testing.assert_allclose(data["next.reward"].to_numpy(), rewards, rtol=1e-6)
    assert data["next.terminated"].to_pylist() == terminated.tolist()
    assert sum(data["next.done"].to_pylist()) == len(known)
    stats = json.loads((folder / "meta/stats.json").read_text())
    assert stats["next.reward"]["mean"] == pytest.approx([rewards.mean()])
    assert stats["next.terminated"]["max"] == [1.0]


def test_trajectories_have_rewards_and_say_which_are_terminal(drive_off_the_road: Recording) -> None:
    for trajectory, episode in zip(
        trajectories(drive_off_the_road), drive_off_the_road.episodes, strict=True
    ):
        outcomes = episode.outcomes()
        assert outcomes is not None
        np.testing.assert_array_equal(trajectory.rews, outcomes.rewards)
        assert trajectory.terminal == outcomes.terminated[-1]


@pytest.mark.parametrize("format_", ["minari", "lerobot"])
def test_rewards_of_data_sets_of_others_are_kept(
    drive_off_the_road: Recording, tmp_path: Path, format_: str
) -> None:
    """Data sets of other programs have no side file."""
    need(format_)
    folder = convert.save(drive_off_the_road, tmp_path / "data", format_)
    if format_ == "minari":
        import h5py

        with h5py.File(folder / "data" / "main_data.hdf5", "a") as file:
            for name in list(file):
                del file[name]["infos"]
    else:
        import pyarrow.parquet as pq

        for path in folder.glob("data/chunk-*/file-*.parquet"):
            pq.write_table(pq.read_table(path).drop_columns(["extra"]), path)
    back = convert.load(folder, tmp_path / "back", format_)
    for ours, theirs in zip(drive_off_the_road.episodes, back.episodes, strict=True):
        expected, outcomes = ours.outcomes(), theirs.outcomes()
        assert expected is not None
        assert outcomes is not None
        np.testing.assert_allclose(outcomes.rewards, expected.rewards, rtol=1e-6)
        np.testing.assert_array_equal(outcomes.terminated, expected.terminated)
