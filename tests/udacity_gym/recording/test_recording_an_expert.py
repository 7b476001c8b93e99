"""An expert's drive is recorded as it was seen and driven."""

import datetime
import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from numpy.typing import NDArray
from recording_tools import make_image

import udacity_gym  # noqa: F401 - registers the environment
from udacity_gym.driving import drive
from udacity_gym.errors import ActionError, OptionError, RecordingError
from udacity_gym.recording import Recorder, open_recording, record
from udacity_gym.telemetry import CAMERAS, Control, Image

START = datetime.datetime(2018, 7, 16, 17, 11)


class StraightRoad(gymnasium.Env[Any, NDArray[np.float32]]):
    """A road of laps of 10 m; the car is as fast as the throttle says and its images tell the step."""

    def __init__(self, cameras: tuple[str, ...] = CAMERAS, ends_at: int | None = None) -> None:
        self.cameras = cameras
        self.ends_at = ends_at
        self.observation_space = spaces.Dict(
            {c: spaces.Box(0, 255, (160, 320, 3), np.uint8) for c in cameras}
        )
        self.action_space = spaces.Box(-1, 1, (2,), np.float32)
        self.actions: list[list[float]] = []
        self.seed: int | None = None

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.seed, self.steps, self.speed, self.s = seed, 0, 0.0, 0.0
        return self._seen(), self._info()

    def step(self, action: NDArray[np.float32]) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.actions.append(action.tolist())
        self.steps += 1
        self.speed = max(0.0, self.speed + float(action[1]))
        self.s += self.speed / 10
        info = self._info()
        ends = self.steps == self.ends_at
        if ends:
            info["end_reason"] = "off_road"
        return self._seen(), 0.0, ends, False, info

    def _seen(self) -> Any:
        images: dict[str, Image] = {c: make_image(3 * self.steps + i) for i, c in enumerate(self.cameras)}
        return images if len(images) > 1 else images[self.cameras[0]] if images else np.zeros(3, np.float32)

    def _info(self) -> dict[str, Any]:
        return {
            "time": self.steps / 10,
            "speed": self.speed,
            "s": self.s % 10,
            "lap": int(self.s // 10),
            "pose": np.array([self.s, 0, 0, 0]),
        }


def accelerate_then_brake(observation: Any, info: Any) -> NDArray[np.float32]:
    return np.array([info["time"] / 10, 1.0 if info["time"] < 0.45 else -0.25], np.float32)


def forward(observation: Any, info: Any) -> list[float]:
    return [0.0, 3.0]  # beyond the range, as clumsy experts do


class Coasts:
    """A policy that lets the car roll."""

    def predict(self, observation: Any, state: Any = None, **_: Any) -> tuple[Any, Any]:
        return np.zeros(2, np.float32), state


def test_a_row_is_what_was_seen_the_action_chosen_on_it_and_the_speed_then(tmp_path: Path) -> None:
    env = StraightRoad()
    recording = record(env, accelerate_then_brake, tmp_path, seconds=0.8, seed=7)
    (episode,) = recording.episodes
    assert episode.time.tolist() == pytest.approx(np.arange(8) / 10)
    assert episode.throttle.tolist() == [1, 1, 1, 1, 1, 0, 0, 0]
    assert episode.brake.tolist() == [0, 0, 0, 0, 0, 0.25, 0.25, 0.25]
    assert episode.speed == pytest.approx([0, 1, 2, 3, 4, 5, 4.75, 4.5])
    assert episode.steering == pytest.approx(np.arange(8) / 100)
    assert len(env.actions) == 8
    assert env.seed == 7
    for index, frame in enumerate(episode):
        for number, camera in enumerate(CAMERAS):
            seen = make_image(3 * index + number).astype(int)
            assert np.abs(frame.image(camera) - seen).mean() < 3


def test_recording_ends_after_the_laps(tmp_path: Path) -> None:
    recording = record(StraightRoad(), forward, tmp_path, laps=2)
    last = recording.episodes[0][-1].extra
    assert last["lap"] == 1
    assert last["s"] > 8
    assert recording.episodes[0].throttle.tolist() == [1.0] * len(recording)


def test_the_side_file_keeps_where_the_car_was_and_who_drove(tmp_path: Path) -> None:
    recording = record(StraightRoad(), forward, tmp_path, seconds=0.3, seed=3, extra={"weather": "fog"})
    extra = recording.episodes[0][2].extra
    assert extra["pose"] == pytest.approx([0.3, 0, 0, 0])
    assert extra == {
        "seed": 3,
        "driver": "forward",
        "weather": "fog",
        "time": 0.2,
        "s": pytest.approx(0.3),
        "lap": 0,
        "pose": extra["pose"],
        "action": [0.0, 1.0],
        "expert_action": [0.0, 3.0],
        "reward": 0.0,
    }


def test_side_cameras_that_are_not_in_the_observation_are_drawn_by_the_simulator(tmp_path: Path) -> None:
    from udacity_gym.experts import PurePursuit

    env = gymnasium.make("UdacitySim-v0", track="lake", cameras=(), mode="training")
    recording = record(env, PurePursuit(track="lake"), tmp_path, seconds=0.2)
    assert recording.cameras == CAMERAS
    telemetry = env.unwrapped.telemetry  # type: ignore[attr-defined]
    env.close()
    assert recording.episodes[0][0].image("right").shape == telemetry.image("right").shape


def test_the_same_drive_with_the_same_start_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        record(StraightRoad(), accelerate_then_brake, tmp_path / name, seconds=0.5, start=START)
    for path in (tmp_path / "a").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


def test_an_environment_that_ends_early_warns_and_keeps_the_frames(tmp_path: Path) -> None:
    message = r"ended early \(off_road\) after 0\.4 s in lap 1 at s = 1 m; the 4 frames until then are kept"
    with pytest.warns(UserWarning, match=message):
        recording = record(StraightRoad(ends_at=4), forward, tmp_path, seconds=5)
    assert len(recording) == 4


def test_an_environment_that_ends_where_the_recording_does_is_fine(tmp_path: Path) -> None:
    assert len(record(StraightRoad(ends_at=4), forward, tmp_path, seconds=0.4)) == 4


def test_an_expert_that_fails_leaves_what_was_recorded(tmp_path: Path) -> None:
    def fails(observation: Any, info: Any) -> list[float]:
        if info["time"] > 0.25:
            raise ZeroDivisionError
        return [0.0, 1.0]

    with pytest.raises(ZeroDivisionError):
        record(StraightRoad(), fails, tmp_path, seconds=5)
    assert len(open_recording(tmp_path, strict=True)) == 3


def test_appending_adds_an_episode(tmp_path: Path) -> None:
    record(StraightRoad(), forward, tmp_path, seconds=0.3)
    recording = record(StraightRoad(), forward, tmp_path, seconds=0.4, append=True)
    assert [len(episode) for episode in recording.episodes] == [3, 4]


@pytest.mark.parametrize("cameras", [("center",), ("center", "left"), ("left",), ()])
def test_an_environment_without_the_three_cameras_is_refused(
    tmp_path: Path, cameras: tuple[str, ...]
) -> None:
    with pytest.raises(
        RecordingError, match=r"gives no image of .*: make it with cameras=\('center', 'left', 'right'\)"
    ):
        record(StraightRoad(cameras), forward, tmp_path / "drive", seconds=1)
    assert not (tmp_path / "drive").exists()


def test_the_centre_camera_alone_is_recorded_on_request(tmp_path: Path) -> None:
    recording = record(StraightRoad(("center",)), forward, tmp_path, seconds=0.3, allow_missing=True)
    assert recording.cameras == ("center",)
    with pytest.raises(RecordingError, match="gives no image of center, right"):
        record(StraightRoad(("left",)), forward, tmp_path / "other", seconds=0.3, allow_missing=True)


@pytest.mark.parametrize("limits", [{}, {"laps": 0}, {"seconds": -1.0}, {"seconds": float("nan")}])
def test_limits_must_be_given_and_positive(tmp_path: Path, limits: dict[str, Any]) -> None:
    with pytest.raises(
        OptionError, match=r"choose when to stop|must be a positive number|must be a whole number from 1"
    ):
        record(StraightRoad(), forward, tmp_path, **limits)


@pytest.mark.parametrize("action", [[0.0], [0.0, float("nan")], [0.0, 0.0, 0.0]])
def test_an_action_that_is_none_is_refused(tmp_path: Path, action: list[float]) -> None:
    with pytest.raises(ActionError, match="the expert must give two finite numbers"):
        record(StraightRoad(), lambda observation, info: action, tmp_path, seconds=1)


def test_a_missing_entry_of_info_is_named(tmp_path: Path) -> None:
    class Bare(StraightRoad):
        def _info(self) -> dict[str, Any]:
            return {"time": self.steps / 10}

    with pytest.raises(RecordingError, match="info has no 'speed'; it has time"):
        record(Bare(), forward, tmp_path, seconds=1)


def test_the_built_in_expert_is_recorded_on_the_embedded_track(tmp_path: Path) -> None:
    from udacity_gym.experts import PurePursuit

    env = gymnasium.make("UdacitySim-v0", track="lake", cameras=CAMERAS, mode="training")
    recording = record(env, PurePursuit(track="lake"), tmp_path, seconds=4, seed=1)
    env.close()
    assert len(recording.check(progress=False).unusable) == 0
    (episode,) = recording.episodes
    assert len(episode) == 60
    assert episode.speed[0] == 0.0
    assert episode.speed[-1] > 5.0
    assert np.diff(episode.time) == pytest.approx(1 / 15, abs=0.0011)
    assert episode[0].image("left").shape == (160, 320, 3)
    extra = [json.loads(line) for line in (tmp_path / "frames.jsonl").read_text().splitlines()]
    assert extra[-1]["track"] == "lake"
    assert extra[-1]["driver"] == "PurePursuit"
    assert extra[-1]["progress"] > 10


def test_the_side_file_tells_track_weather_and_conditions_of_every_episode(tmp_path):
    with gymnasium.make("UdacitySim-v0", image_size=(32, 64)) as env, Recorder(tmp_path) as recorder:
        for options in ({}, {"track": "jungle", "weather": "rain", "noise": 3}):
            for step in drive(env, lambda *_: np.zeros(2), steps=1, seed=0, start=options):
                recorder.add(step)
    first, second = (episode[0].extra for episode in open_recording(tmp_path).episodes)
    assert (first["track"], first["weather"]) == ("lake", "clear")
    assert "conditions" not in first
    assert (second["track"], second["weather"]) == ("jungle", "rain")
    assert second["conditions"] == {"weather": "rain", "noise": 3.0}


def test_telemetry_is_recorded_with_the_same_entries_as_the_environments_info(tmp_path):
    with gymnasium.make("UdacitySim-v0", image_size=(32, 64)) as env:
        with Recorder(tmp_path / "env") as recorder:
            for step in drive(env, Coasts(), steps=1, seed=0, start={"s": 100.0, "speed": 8.0}):
                recorder.add(step)
        env.reset(seed=0, options={"s": 100.0, "speed": 8.0})
        with Recorder(tmp_path / "telemetry", about={"track": "lake", "weather": "clear"}) as recorder:
            recorder.start()
            recorder.add_telemetry(env.unwrapped.telemetry, Control())
    one, other = (open_recording(tmp_path / name).episodes[0][0].extra for name in ("env", "telemetry"))
    for name in ("seed", "driver", "policy_action", "reward"):
        one.pop(name)
    assert one == other
    assert len(one["pose"]) == 4
