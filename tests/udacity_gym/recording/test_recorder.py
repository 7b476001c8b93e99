"""Episodes are started, stopped and discarded at will; the folder is always a readable recording."""

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recording_tools import make_image
from test_recording_an_expert import StraightRoad

from udacity_gym.driving import Decision, drive
from udacity_gym.errors import OptionError, RecordingError
from udacity_gym.recording import Recorder, RecordingWriter, open_recording, writer
from udacity_gym.telemetry import CAMERAS, Control, Image


def images(seed: int = 0, cameras: tuple[str, ...] = CAMERAS) -> dict[str, Image]:
    return {camera: make_image(3 * seed + number) for number, camera in enumerate(cameras)}


def add_episode(recorder: Recorder, frames: int, steering: float = 0.1) -> None:
    recorder.start()
    for index in range(frames):
        recorder.add_frame(images(index), (steering, 0.5), speed=5.0, time=index / 15, extra={"cte": index})


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_episodes_are_kept_one_after_the_other(tmp_path: Path) -> None:
    with Recorder(tmp_path / "drive", about={"driver": "human", "weather": "fog"}) as recorder:
        assert not recorder.recording
        add_episode(recorder, 4)
        assert recorder.recording
        assert recorder.stop() == 4
        assert recorder.stop() == 0
        recorder.about["driver"] = "policy"
        add_episode(recorder, 3)
        add_episode(recorder, 5)  # starting again keeps the episode before
    assert recorder.episodes == 3
    recording = open_recording(tmp_path / "drive", strict=True)
    assert [len(episode) for episode in recording.episodes] == [4, 3, 5]
    assert recording.episodes[0][1].extra == {"driver": "human", "weather": "fog", "cte": 1}
    assert recording.episodes[1][2].extra["driver"] == "policy"


def test_a_discarded_episode_leaves_no_trace_among_others(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "drive")
    add_episode(recorder, 4)
    recorder.stop()
    before = files(tmp_path)
    add_episode(recorder, 6)
    assert files(tmp_path) != before
    recorder.discard()
    assert files(tmp_path) == before
    assert not recorder.recording
    add_episode(recorder, 2, steering=0.7)
    recorder.close()
    recording = open_recording(tmp_path / "drive", strict=True)
    assert [len(episode) for episode in recording.episodes] == [4, 2]
    assert recording.episodes[1].steering.tolist() == [0.7, 0.7]
    assert len(recording.report) == 0


def test_a_discarded_first_episode_leaves_not_even_a_folder(tmp_path: Path) -> None:
    with Recorder(tmp_path / "drives" / "today") as recorder:
        add_episode(recorder, 3)
        recorder.discard()
        assert list(tmp_path.iterdir()) == []
        add_episode(recorder, 2)
    assert len(open_recording(tmp_path / "drives" / "today")) == 2


def test_a_discarded_episode_leaves_what_was_in_the_folder_as_it_was(tmp_path: Path) -> None:
    with Recorder(tmp_path / "drive") as recorder:
        add_episode(recorder, 3)
    (tmp_path / "drive" / "notes.txt").write_text("mine")
    before = files(tmp_path)
    with Recorder(tmp_path / "drive", append=True) as recorder:
        add_episode(recorder, 3)
        recorder.discard()
    assert files(tmp_path) == before


def test_a_recorder_that_never_started_writes_nothing(tmp_path: Path) -> None:
    with Recorder(tmp_path / "drive") as recorder:
        recorder.start()
    assert list(tmp_path.iterdir()) == []
    assert recorder.episodes == 0


def test_another_folder_is_chosen_between_episodes(tmp_path: Path) -> None:
    with Recorder(tmp_path / "a") as recorder:
        add_episode(recorder, 2)
        with pytest.raises(
            RecordingError, match="stop or discard the episode before choosing another folder"
        ):
            recorder.folder = tmp_path / "b"
        recorder.stop()
        recorder.folder = tmp_path / "b"
        add_episode(recorder, 3)
    assert len(open_recording(tmp_path / "a")) == 2
    assert len(open_recording(tmp_path / "b")) == 3


def test_frames_outside_of_an_episode_are_refused(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    with pytest.raises(RecordingError, match=r"call start\(\) first"):
        recorder.add_frame(images(), (0, 0), 1.0, 0.0)
    with pytest.raises(RecordingError, match="no episode is being recorded"):
        recorder.discard()
    recorder.start()
    with pytest.raises(RecordingError, match="must be two finite numbers"):
        recorder.add_frame(images(), (0, float("nan")), 1.0, 0.0)


def test_a_folder_with_a_recording_is_refused_unless_appending(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        add_episode(recorder, 2)
    with pytest.raises(RecordingError, match="exists already"):
        add_episode(Recorder(tmp_path), 1)
    assert len(open_recording(tmp_path)) == 2


def test_the_cameras_are_those_of_the_first_frame_or_those_that_were_chosen(tmp_path: Path) -> None:
    with Recorder(tmp_path / "a") as recorder:
        recorder.start()
        recorder.add_frame(images(0, ("center",)), (0, 0), 1.0, 0.0)
        recorder.add_frame(images(1), (0, 0), 1.0, 0.1)
    assert open_recording(tmp_path / "a", strict=True).cameras == ("center",)
    with Recorder(tmp_path / "b", cameras=("center", "left")) as recorder:
        recorder.start()
        recorder.add_frame(images(), (0, 0), 1.0, 0.0)
        with pytest.raises(RecordingError, match="needs images of center, left, got center"):
            recorder.add_frame(images(1, ("center",)), (0, 0), 1.0, 0.1)
    assert open_recording(tmp_path / "b", strict=True).cameras == ("center", "left")


def test_a_simulator_is_recorded_with_pose_and_position(tmp_path: Path) -> None:
    from udacity_gym.simulators import SimulatorSettings, make_simulator

    settings = SimulatorSettings("lake", 1 / 15, "training", "127.0.0.1", 4567)
    simulator = make_simulator("embedded", settings)
    with simulator, Recorder(tmp_path, about={"driver": "human", "track": "lake"}) as recorder:
        telemetry = simulator.reset(seed=1)
        recorder.start()
        for _ in range(4):
            control = Control(0.1, 1.0)
            recorder.add_telemetry(telemetry, control, {"intervention": True})
            telemetry = simulator.step(control)
    (episode,) = open_recording(tmp_path, strict=True).episodes
    assert len(episode) == 4
    assert episode.cameras == CAMERAS
    extra = episode[3].extra
    assert extra["action"] == [0.1, 1.0]
    assert extra["intervention"] is True
    assert extra["track"] == "lake"
    assert len(extra["pose"]) == 4
    assert extra["s"] > 0
    assert extra["time"] == pytest.approx(0.2)


class Scripted:
    """A driver whose decisions are written down; None pauses the simulation."""

    def __init__(self, *decisions: Decision | None) -> None:
        self.decisions = iter(decisions)

    def reset(self, env: Any, info: Any, seed: int | None = None) -> None:
        pass

    def decide(self, observation: Any, info: Any) -> Decision | None:
        return next(self.decisions)


def by_policy(steering: float, throttle: float) -> Decision:
    return Decision(np.array([steering, throttle], np.float32), "policy")


def test_the_steps_of_a_drive_are_recorded_while_they_are_added(tmp_path: Path) -> None:
    taken_over = Decision(
        np.array([-0.2, 0.5], np.float32),
        "expert",
        policy_action=np.array([0.9, 0.1]),
        expert_action=np.array([-0.2, 0.5], np.float32),
        is_label=True,
        doubt=0.25,
        notes={"intervention": True},
    )
    left = by_policy(-0.2, 0.5)
    driver = Scripted(by_policy(0.1, 1.0), left, left, taken_over, left, by_policy(0.3, -2.0))
    road = StraightRoad()
    with Recorder(tmp_path / "drive", about={"driver": "nobody"}) as recorder:
        for number, step in enumerate(drive(road, driver, steps=5, seed=3)):
            if number == 0:  # nothing is recorded before the first step is added
                assert not (tmp_path / "drive").exists()
                continue
            recorder.add(step)
            assert recorder.recording
        for step in drive(road, driver, steps=1, seed=4):
            recorder.add(step)
    first, second = open_recording(tmp_path / "drive", strict=True).episodes
    assert len(first) == 4
    assert first.speed[0] == pytest.approx(1.0)  # the speed at which the first recorded image was seen
    assert np.abs(first[0].image("left").astype(int) - make_image(4)).mean() < 3
    assert not {"intervention", "policy_action", "expert_action", "doubt"} & first[1].extra.keys()
    extra = first[2].extra
    assert (extra["driver"], extra["intervention"], extra["doubt"]) == ("expert", True, 0.25)
    assert extra["policy_action"] == [0.9, 0.1]
    assert extra["expert_action"] == pytest.approx([-0.2, 0.5])
    assert extra["action"] == pytest.approx([-0.2, 0.5])
    assert first[3].extra["driver"] == "policy"
    assert (first[0].extra["seed"], second[0].extra["seed"]) == (3, 4)
    assert second.brake.tolist() == [1.0]


def test_an_expert_action_that_is_no_label_is_not_recorded_as_one(tmp_path: Path) -> None:
    action = np.array([0.1, 0.5], np.float32)
    advised = Decision(action, "policy", policy_action=action, expert_action=np.array([0.4, 0.5]))
    with Recorder(tmp_path) as recorder:
        for step in drive(StraightRoad(), Scripted(advised), steps=1):
            recorder.add(step)
    assert "expert_action" not in open_recording(tmp_path).episodes[0][0].extra


def test_steps_that_are_added_after_a_stop_begin_a_new_episode(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        for number, step in enumerate(drive(StraightRoad(), Scripted(*[by_policy(0.1, 0.5)] * 7), steps=7)):
            if number == 3:
                recorder.stop()
            else:
                recorder.add(step)
    assert [len(episode) for episode in open_recording(tmp_path, strict=True).episodes] == [3, 3]


def test_steps_in_which_nothing_moves_are_not_recorded(tmp_path: Path) -> None:
    driver = Scripted(None, by_policy(0.1, 0.5), None, None, by_policy(0.2, 0.5))
    with Recorder(tmp_path) as recorder:
        for step in drive(StraightRoad(), driver, steps=2):
            recorder.add(step)
    (episode,) = open_recording(tmp_path, strict=True).episodes
    assert episode.steering == pytest.approx([0.1, 0.2])


def test_a_step_that_can_not_be_recorded_is_refused(tmp_path: Path) -> None:
    driver = Scripted(Decision(np.array([np.nan, 0.0], np.float32), "policy"))
    with Recorder(tmp_path / "drive") as recorder:
        (step,) = drive(StraightRoad(), driver, steps=1)
        with pytest.raises(RecordingError, match="must be two finite numbers"):
            recorder.add(step)
    assert not (tmp_path / "drive").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs RLIMIT_FSIZE")
def test_a_disk_that_fills_up_in_a_later_episode_keeps_all_episodes_readable(tmp_path: Path) -> None:
    program = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sys.path[:0] = sys.argv[2:]
from udacity_gym.errors import RecordingError
from test_recorder import images
from udacity_gym.recording import Recorder
with Recorder(sys.argv[1]) as recorder:
    small = {camera: image[:8, :8] for camera, image in images().items()}
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))
    try:
        for index in range(100):
            if index % 5 == 0:
                recorder.start()
            recorder.add_frame(small, (0.1, 0.5), 1.0, index / 15, {"cte": 0.5})
    except RecordingError as error:
        print(error)
"""
    result = run(program, tmp_path)
    assert "can't be written to" in result
    recording = open_recording(tmp_path, strict=True)
    assert len(recording.episodes) == 3
    assert len(recording) > 10
    assert len(recording.report) == 0  # nothing of the frame that failed is left
    assert len((tmp_path / "frames.jsonl").read_text().splitlines()) == len(recording)


KILLED = """
import os, random, signal, sys, time
sys.path[:0] = sys.argv[2:]
from test_recorder import images
from udacity_gym.recording import Recorder
images = [images(index) for index in range(10)]
for trial in range(50):
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        recorder = Recorder(f"{sys.argv[1]}/{trial}")
        recorder.start()
        for index in range(1_000_000):
            # A last image like the first would be a start pose.
            seen = images[1 + index % 9 if index else 0]
            recorder.add_frame(seen, (0.1, 0.5), 9.0, index / 15, {"index": index})
            os.write(writer, b"x")
    os.close(writer)
    written = 0
    while written <= trial % 25 and (data := os.read(reader, 1)):
        written += len(data)
    time.sleep(random.Random(trial).uniform(0, 0.005))  # somewhere within a frame
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while data := os.read(reader, 1 << 16):
        written += len(data)
    os.close(reader)
    print(written)
"""


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and kill -9")
def test_fifty_recordings_killed_at_random_moments_are_readable_to_the_last_frame(tmp_path: Path) -> None:
    counts = [int(line) for line in run(KILLED, tmp_path).split()]
    assert len(counts) == 50
    assert len(set(counts)) > 5
    for trial, written in enumerate(counts):
        recording = open_recording(tmp_path / str(trial), strict=True)
        assert len(recording) in (written, written + 1)
        assert len(recording.check(progress=False).unusable) == 0
        assert [frame.extra["index"] for frame in recording.frames()] == list(range(len(recording)))


def run(program: str, folder: Path) -> str:
    """What a program prints that another process runs, with the folder as its first argument."""
    return subprocess.run(
        [sys.executable, "-c", program, str(folder), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ).stdout


def test_recording_holds_nothing_back_in_memory(tmp_path: Path) -> None:
    """Back-pressure: adding a frame returns when it is on the disk."""
    recorder = Recorder(tmp_path)
    recorder.start()
    for index in itertools.count():
        recorder.add_frame(images(index), (0, 0), 1.0, index / 15)
        log: Any = (tmp_path / "driving_log.csv").read_text()
        assert len(log.splitlines()) == index + 1
        assert len(list((tmp_path / "IMG").glob("*.jpg"))) == 3 * (index + 1)
        if index == 3:
            break
    recorder.close()


def test_the_last_seconds_are_discarded_also_across_episodes(tmp_path: Path) -> None:
    image = np.zeros((160, 320, 3), np.uint8)
    with Recorder(tmp_path / "drive", ("center",)) as recorder:
        for _ in range(2):
            recorder.start()
            for i in range(10):
                recorder.add_frame({"center": image}, (0.1 * i, 0.0), 5.0, i / 15, {"i": i})
        assert recorder.discard_last(0.2) == 3
        assert (recorder.episodes, recorder.frames) == (2, 7)
        assert recorder.discard_last(9 / 15) == 9  # the whole second episode, and two frames of the first
        assert recorder.episodes == 1
        recorder.start()
        recorder.add_frame({"center": image}, (1.0, 0.0), 5.0, 0.0)
        assert recorder.discard_last() == 1
        recorder.start()
        recorder.add_frame({"center": image}, (-1.0, 0.0), 5.0, 7.0)
    recording = open_recording(tmp_path / "drive")
    assert [len(episode) for episode in recording.episodes] == [8, 1]
    assert [extra["i"] for extra in recording.episodes[0].extras()] == list(range(8))
    assert recording.episodes[1].steering.tolist() == [-1.0]
    assert len(list((tmp_path / "drive" / "IMG").iterdir())) == 9


def test_an_hour_in_one_episode_is_not_kept_in_memory_and_can_still_be_discarded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "REACH", 20)
    jpeg = images()["center"]
    with RecordingWriter(tmp_path, ("center",)) as recording:
        for frames in (5, 100):
            for i in range(frames):
                recording.write({"center": jpeg}, 0.0, 0.0, 0.0, 1.0, i / 15, {"i": i})
            recording.new_episode()
        assert len(recording._written) == 20
        assert recording.discard_last(60.0) == (20, 0), "seconds reach back this far"
        assert recording.discard_last() == (80, 1), "an episode is discarded as a whole"
        assert len(list((tmp_path / "IMG").iterdir())) == len(recording) == 5
        assert recording.bytes_written == sum(path.stat().st_size for path in (tmp_path / "IMG").iterdir())
        assert recording.discard_last() == (0, 0), "this reaches back no further"
        recording.write({"center": jpeg}, 0.0, 0.0, 0.0, 1.0, 0.0, {"i": 0})
        recording.discard_episode()
        recording.discard_episode()
    (episode,) = open_recording(tmp_path).episodes
    assert [extra["i"] for extra in episode.extras()] == list(range(5))


def test_entries_of_the_last_frames_are_replaced(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path, ("center",)) as recording:
        for i in range(6):
            image = images(i)["center"]
            recording.write({"center": image}, 0.0, 0.0, 0.0, 1.0, i / 15, {"i": i} if i != 4 else None)
        recording.replace_extras([{"i": 40, "more": "ä"}, {"i": 50}])
        recording.replace_extras([])
        recording.discard_last(1 / 15)
        recording.write({"center": images()["center"]}, 0.0, 0.0, 0.0, 1.0, 0.0, {"i": 7})
        with pytest.raises(RecordingError, match="8 entries for 6 frames"):
            recording.replace_extras([{}] * 8)
    first, second = open_recording(tmp_path).episodes
    assert [extra.get("i") for extra in [*first.extras(), *second.extras()]] == [0, 1, 2, 3, 40, 7]
    assert first[4].extra["more"] == "ä"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs RLIMIT_FSIZE")
def test_entries_that_find_no_room_leave_those_before(tmp_path: Path) -> None:
    """A limit of the file size stands for the full disk."""
    program = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sys.path[:0] = sys.argv[2:]
from test_recorder import images
from udacity_gym.errors import RecordingError
from udacity_gym.recording import RecordingWriter
with RecordingWriter(sys.argv[1], ("center",)) as recording:
    for i in range(6):
        recording.write({"center": images(i)["center"][:8, :8]}, 0.0, 0.0, 0.0, 1.0, i / 15, {"i": i})
    size = (recording.folder / "frames.jsonl").stat().st_size
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40, most))
    try:
        recording.replace_extras([{"i": 40, "more": "x" * 50}, {"i": 50}])
    except RecordingError as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert (recording.folder / "frames.jsonl").stat().st_size == size
    recording.discard_last(1 / 15)
    recording.replace_extras([{"i": 30}, {"i": 40}])
    recording.write({"center": images(7)["center"]}, 0.0, 0.0, 0.0, 1.0, 1.0, {"i": 7})
"""
    assert "frames.jsonl can't be changed: File too large" in run(program, tmp_path)
    first, second = open_recording(tmp_path).episodes
    assert [extra["i"] for extra in [*first.extras(), *second.extras()]] == [0, 1, 2, 30, 40, 7]


def test_a_frame_that_fails_does_not_begin_its_episode(tmp_path: Path) -> None:
    jpeg = images()["center"]
    with RecordingWriter(tmp_path, ("center",)) as recording:
        recording.write({"center": jpeg}, 0.0, 0.0, 0.0, 1.0, 0.0)
        recording.new_episode()
        with pytest.raises(RecordingError, match="JSON"):
            recording.write({"center": jpeg}, 0.0, 0.0, 0.0, 1.0, 9.0, {"bad": object()})
        recording.discard_episode()
        assert len(recording) == 1, "the episode before is kept"
        recording.write({"center": jpeg}, 0.0, 0.0, 0.0, 1.0, 3.0)
    assert [len(episode) for episode in open_recording(tmp_path).episodes] == [1, 1]


def test_discarding_everything_leaves_no_folder_behind(tmp_path: Path) -> None:
    image = np.zeros((160, 320, 3), np.uint8)
    with Recorder(tmp_path / "drive", ("center",)) as recorder:
        assert recorder.discard_last(1.0) == 0
        recorder.start()
        recorder.add_frame({"center": image}, (0.0, 0.0), 5.0, 0.0)
        assert recorder.bytes_written > 0
        assert recorder.discard_last(60.0) == 1
        assert (recorder.episodes, recorder.bytes_written) == (0, 0)
        with pytest.raises(OptionError, match="seconds"):
            recorder.discard_last(0.0)
    assert not (tmp_path / "drive").exists()
