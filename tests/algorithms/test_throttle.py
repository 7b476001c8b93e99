"""Whether the throttle is learned is chosen by the recordings."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from algorithms import BehavioralCloning, DAgger, Frames, TrainingConfig
from algorithms.training.throttle import choose_throttle
from algorithms.training.trainer import Training
from udacity_gym.evaluation import evaluate
from udacity_gym.experts import PurePursuit
from udacity_gym.recording import open_recording
from udacity_gym.telemetry import MPH

SMALL = {"epochs": 1, "steps_per_epoch": 2, "batch_size": 4, "threads": 1, "progress": False}


@pytest.fixture
def frames(road_recording: Path) -> Frames:
    return Frames.of([open_recording(road_recording)])


def with_taps(frames: Frames, released: float) -> Frames:
    """The same rows, with the throttle released in a share of them, as a person on a keyboard does."""
    throttle = np.where(np.arange(len(frames)) % 100 < 100 * released, 0.0, 1.0).astype(np.float32)
    return replace(frames, throttle=throttle)


@pytest.mark.parametrize(
    ("released", "chosen"),
    [(0.0, "learned"), (0.4, "learned"), (0.6, "speed_control"), (1.0, "speed_control")],
)
def test_a_throttle_that_is_mostly_released_is_not_learned(
    frames: Frames, released: float, chosen: str
) -> None:
    config, reason = choose_throttle(TrainingConfig(), with_taps(frames, released))
    assert config.throttle == chosen
    assert reason is not None
    assert reason.startswith(f'throttle="{chosen}": the throttle is released in ')


def test_rows_in_which_the_car_stands_do_not_count(frames: Frames) -> None:
    standing = np.arange(len(frames)) % 10 < 8
    waiting = replace(
        frames,
        throttle=np.where(standing, 0.0, 0.5).astype(np.float32),
        speed=np.where(standing, 0.0, 10.0).astype(np.float32),
    )
    assert choose_throttle(TrainingConfig(), waiting)[0].throttle == "learned"
    without_speed = replace(with_taps(frames, 0.9), speed=np.zeros(len(frames), np.float32))
    config, reason = choose_throttle(TrainingConfig(), without_speed)
    assert (config.throttle, reason) == (
        "learned",
        'throttle="learned": the recordings have no speed',
    )


@pytest.mark.parametrize(
    ("settings", "chosen", "reason"),
    [
        ({"target_speed": 9.0}, "speed_control", "target_speed is given"),
        ({"inputs": ("speed",)}, "learned", "the network gets the speed"),
        ({"throttle": "learned"}, "learned", None),
        ({"throttle": "speed_control"}, "speed_control", None),
    ],
)
def test_settings_come_before_the_recordings(
    frames: Frames, settings: dict[str, Any], chosen: str, reason: str | None
) -> None:
    for released in (0.1, 0.9):
        config, said = choose_throttle(TrainingConfig(**settings), with_taps(frames, released))
        assert config.throttle == chosen
        assert (said is None) == (reason is None)
        assert reason is None or reason in str(said)


def test_an_initial_policy_keeps_its_actions(frames: Frames) -> None:
    steering = Training(TrainingConfig(throttle="speed_control", epochs=1, steps_per_epoch=1), frames).run()
    config, reason = choose_throttle(TrainingConfig(), frames, steering)
    assert (config.throttle, reason) == ("speed_control", 'throttle="speed_control": as the initial policy')
    training = Training(TrainingConfig(epochs=1, steps_per_epoch=1), frames, initial=steering)
    assert training.run().actions == ("steering",)


def test_real_recordings_are_told_apart(lake_recording: Path, jungle_recording: Path) -> None:
    learner = BehavioralCloning(jungle_recording, epochs=1, steps_per_epoch=1, progress=False)
    assert learner.config.throttle == "speed_control"
    assert "released in 6" in str(learner.throttle_reason)
    policy = learner.learn()
    assert policy.actions == ("steering",)
    assert policy.target_speed == pytest.approx(5.2, abs=0.3)
    lake = Frames.of([open_recording(lake_recording)])
    assert choose_throttle(TrainingConfig(), lake)[0].throttle == "learned"


def test_training_says_what_it_has_chosen(road_recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    BehavioralCloning(road_recording, **{**SMALL, "progress": True})
    said = capsys.readouterr().err
    assert 'throttle="learned": the throttle is released in 0% of the rows in which the car moves' in said


def test_all_rounds_share_the_throttle_that_was_chosen_first(jungle_recording: Path, tmp_path: Path) -> None:
    env = gymnasium.make("UdacitySim-v0", track="jungle", max_seconds=2.0)
    settings: dict[str, Any] = {"env": env, "expert": PurePursuit("jungle"), "rounds": 2, "frames": 8} | SMALL
    learner = DAgger(jungle_recording, **settings, folder=tmp_path / "run")
    assert learner.config.throttle == "speed_control"
    assert learner.learn().actions == ("steering",)
    assert DAgger(**settings).config.throttle == "learned"
    env.close()


@pytest.mark.long
def test_a_clone_of_a_stop_and_go_drive_does_not_stand_still(jungle_recording: Path) -> None:
    policy = BehavioralCloning(jungle_recording, epochs=3, seed=0, progress=False).learn()
    with gymnasium.make("UdacitySim-v0", track="jungle") as env:
        evaluation = evaluate(policy, env, laps=1, max_seconds=60.0)
    assert evaluation.stuck == 0
    assert evaluation.mean_speed > 8 * MPH
    assert evaluation.distance > 200
    assert str(evaluation).splitlines()[7].split() == ["stuck", "0", "times"]
