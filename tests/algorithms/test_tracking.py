"""Trackers: what they show, how they go on, and those of others."""

import os
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from algorithms import TRACKERS, BehavioralCloning, DAgger
from algorithms.tracking import TensorBoard, WandB, open_tracker
from udacity_gym.errors import OptionError
from udacity_gym.experts import PurePursuit

IMAGE = np.arange(12 * 20 * 3, dtype=np.uint8).reshape(12, 20, 3)
SMALL = {"epochs": 1, "steps_per_epoch": 1, "batch_size": 4, "threads": 1, "side_cameras": 0.0}
ROUNDS = {**SMALL, "rounds": 2, "frames": 8, "rollouts": 1, "progress": False}


class Memory:
    """A tracker that keeps what it gets."""

    def __init__(self, folder=None, steps=0):
        self.folder, self.steps = folder, steps
        self.logged, self.finished = [], 0

    def log(self, values, step):
        self.logged.append((step, dict(values)))

    def image(self, name, image, step):
        """Show an image."""

    def video(self, name, frames, step, fps=15):
        """Show a video."""

    def artefact(self, name, path):
        """Keep a file."""

    def finish(self):
        self.finished += 1


@pytest.fixture
def recording(tmp_path):
    """A short recording of an expert."""
    from udacity_gym.driving import drive
    from udacity_gym.recording.recorder import Recorder

    env = gymnasium.make("UdacitySim-v0", disable_env_checker=True)
    with Recorder(tmp_path / "recording", ("center",)) as recorder:
        for step in drive(env, PurePursuit(), steps=12, seed=0):
            recorder.add(step)
    env.close()
    return tmp_path / "recording"


def make_env():
    return gymnasium.make("UdacitySim-v0", disable_env_checker=True)


def test_tensorboard_has_numbers_texts_images_and_videos(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with open_tracker("tensorboard", tmp_path) as tracker:
        tracker.log({"loss/train": 0.5, "device": "a processor"}, 1)
        tracker.image("camera", IMAGE, 1)
        tracker.video("drive", np.stack([IMAGE, 255 - IMAGE]), 1, fps=10)
        tracker.artefact("policy", tmp_path / "policy")
    log = EventAccumulator(str(tmp_path / "tensorboard"))
    log.Reload()
    assert log.Scalars("loss/train")[0].value == 0.5
    assert set(log.Tags()["images"]) == {"camera", "drive"}
    assert log.Images("drive")[0].encoded_image_string.startswith(b"GIF89a")
    assert log.Images("camera")[0].encoded_image_string.startswith(b"\x89PNG")
    assert {"device/text_summary", "artefacts/policy/text_summary"} <= set(log.Tags()["tensors"])


def test_a_tracker_of_ones_own_gets_the_results_and_is_not_finished(recording):
    tracker = Memory()
    cloning = {**SMALL, "epochs": 2, "validation": 0.0}
    BehavioralCloning(recording, tracker=tracker, progress=False, **cloning).learn()
    DAgger(env=make_env, expert=PurePursuit(), tracker=tracker, **ROUNDS).learn()
    steps = [step for step, values in tracker.logged if "loss/train" in values]
    assert len(steps) == 2
    rounds = [(step, values["rounds/falls"]) for step, values in tracker.logged if "rounds/falls" in values]
    assert [step for step, _ in rounds] == [0, 1]
    assert tracker.finished == 0


def test_a_tracker_by_name_is_finished_and_goes_on_after_an_interruption(tmp_path, monkeypatch):
    made = []

    def make(folder, steps):
        made.append(Memory(folder, steps))
        return made[-1]

    monkeypatch.setitem(TRACKERS.objects, "memory", make)
    given = {"env": make_env, "expert": PurePursuit(), "tracker": "memory"}
    DAgger(**given, folder=tmp_path / "run", **{**ROUNDS, "rounds": 1}).learn()
    DAgger(**given, folder=tmp_path / "run", **ROUNDS).learn()
    DAgger(**given, **ROUNDS).learn()
    assert [(tracker.folder, tracker.steps, tracker.finished) for tracker in made] == [
        (tmp_path / "run", 0, 1),
        (tmp_path / "run", 1, 1),
    ], "and without a folder there is none"
    assert [step for step, _ in made[1].logged] == [1]


@pytest.mark.parametrize("wrong", ["nothing", 1, None, Memory, TensorBoard])
def test_what_is_no_tracker_is_refused(wrong, recording):
    with pytest.raises(OptionError, match="tracker"):
        BehavioralCloning(recording, tracker=wrong, progress=False, **SMALL)
    with pytest.raises(OptionError, match="tracker"):
        DAgger(env=make_env, expert=PurePursuit(), tracker=wrong, **ROUNDS)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_weights_and_biases_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    home = set(os.listdir(Path.home()))
    for name in ("CONFIG", "CACHE", "DATA"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / name))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    policy = tmp_path / "policy.txt"
    policy.write_text("weights")
    for steps in (0, 2):
        tracker = WandB(tmp_path / "run", steps)
        tracker.log({"loss/train": 0.5, "device": "a processor"}, steps)
        tracker.image("camera", IMAGE, steps + 1)
        tracker.video("drive", np.stack([IMAGE, 255 - IMAGE]), steps + 1)
        tracker.artefact("policy", policy)
        tracker.finish()
    runs = list((tmp_path / "run" / "wandb").glob("offline-run-*"))
    assert len(runs) == 2
    assert len({run.name.rsplit("-", 1)[1] for run in runs}) == 1, "the same run goes on"
    assert list((tmp_path / "run" / "wandb").rglob("*.gif"))
    assert set(os.listdir(Path.home())) == home
