"""Behavioural cloning: it learns, it repeats itself, and it can be interrupted."""

import dataclasses
import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import cv2
import gymnasium
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from simple_road import road_image, road_images, wanted_steering, write_road_recording

from algorithms import (
    BehavioralCloning,
    BehavioralCloningConfig,
    Learner,
    NetworkPolicy,
    Preprocessing,
    load_policy,
)
from algorithms.base import TrainingError
from algorithms.bc import driving_score
from algorithms.policies.losses import MeanSquare
from algorithms.training.augment import Augmentation
from algorithms.training.trainer import Epoch, Training
from udacity_gym.errors import CheckpointError, OptionError, RecordingError
from udacity_gym.evaluation import evaluate
from udacity_gym.experts import PurePursuit
from udacity_gym.recording import RecordingWriter, open_recording

QUICK: dict[str, Any] = {"epochs": 3, "batch_size": 32, "validation": 0.25, "gap": 0.5, "progress": False}


def weights(policy: NetworkPolicy) -> dict[str, NDArray[np.float32]]:
    return {name: value.numpy() for name, value in policy.network.state_dict().items()}


def assert_same_weights(first: NetworkPolicy, second: NetworkPolicy) -> None:
    a, b = weights(first), weights(second)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


class InterruptionError(Exception):
    pass


def interrupt_after(epochs: int) -> Any:
    def after_epoch(epoch: Epoch) -> None:
        if epoch.epoch == epochs:
            raise InterruptionError

    return after_epoch


@pytest.mark.long
def test_it_learns_to_steer_back_to_the_middle_of_a_simple_road(road_recording: Path) -> None:
    options = {**QUICK, "epochs": 12, "batch_size": 16}
    policy = BehavioralCloning(road_recording, **options).learn()
    offsets = np.linspace(-1.2, 1.2, 9)
    wanted = np.array([wanted_steering(x) for x in offsets.tolist()])
    steering = policy.predict(np.stack([road_image(x) for x in offsets.tolist()]))[0][:, 0]
    assert np.abs(steering - wanted).mean() < 0.4 * np.abs(wanted).mean()
    assert np.corrcoef(steering, wanted)[0, 1] > 0.97


def test_same_seed_gives_the_same_weights_and_another_seed_others(road_recording: Path) -> None:
    first, again, other = (
        BehavioralCloning(road_recording, **{**QUICK, "epochs": 1}, seed=seed).learn() for seed in (1, 1, 2)
    )
    assert_same_weights(first, again)
    assert any((value != weights(other)[name]).any() for name, value in weights(first).items())


def test_training_leaves_the_callers_randomness_and_threads_alone(road_recording: Path) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    BehavioralCloning(road_recording, **{**QUICK, "epochs": 1}).learn()
    assert torch.get_num_threads() == threads
    torch.testing.assert_close(torch.rand(3), wanted)


def test_resumed_training_equals_uninterrupted_training_bit_for_bit(
    road_recording: Path, tmp_path: Path
) -> None:
    whole = BehavioralCloning(road_recording, **QUICK, folder=tmp_path / "whole")
    uninterrupted = whole.learn()
    with pytest.raises(InterruptionError):
        BehavioralCloning(road_recording, **QUICK, folder=tmp_path / "cut").learn(interrupt_after(2))
    second_half = BehavioralCloning(road_recording, **QUICK, folder=tmp_path / "cut")
    epochs: list[int] = []
    resumed = second_half.learn(lambda epoch: epochs.append(epoch.epoch))
    assert epochs == [3]
    assert_same_weights(uninterrupted, resumed)
    assert second_half.epoch_log == whole.epoch_log


def test_the_training_folder_holds_the_best_policy_and_a_log(road_recording: Path, tmp_path: Path) -> None:
    policy = BehavioralCloning(road_recording, **QUICK, folder=tmp_path).learn()
    saved = load_policy(tmp_path / "policy")
    assert isinstance(saved, NetworkPolicy)
    assert_same_weights(policy, saved)
    assert list((tmp_path / "tensorboard").glob("events.out.tfevents.*"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["policy", "state", "tensorboard"]


def test_finished_training_is_not_repeated(road_recording: Path, tmp_path: Path) -> None:
    options = {**QUICK, "epochs": 1}
    first = BehavioralCloning(road_recording, **options, folder=tmp_path).learn()
    epochs: list[Epoch] = []
    again = BehavioralCloning(road_recording, **options, folder=tmp_path).learn(epochs.append)
    assert not epochs
    assert_same_weights(first, again)


@dataclass(frozen=True)
class AbsoluteError(MeanSquare):
    """A loss that, like the mean square, has no settings."""

    name: ClassVar[str] = "absolute"

    def loss(self, out: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (out[..., 0] - targets).abs()


def test_a_training_with_a_loss_of_ones_own_does_not_go_on_with_another(
    road_recording: Path, tmp_path: Path
) -> None:
    options = {**QUICK, "epochs": 1}
    policy = BehavioralCloning(road_recording, **options, loss=MeanSquare(), folder=tmp_path).learn()
    assert policy.training["settings"]["loss"] == {"name": "mse"}
    with pytest.raises(CheckpointError, match=r"with loss=\{'name': 'mse'\} was begun here"):
        BehavioralCloning(road_recording, **options, loss=AbsoluteError(), folder=tmp_path)


def test_a_folder_with_another_training_is_refused_before_any_image_is_decoded(
    road_recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**QUICK, "epochs": 1}
    BehavioralCloning(road_recording, **options, folder=tmp_path / "training").learn()
    other = shutil.copytree(road_recording, tmp_path / "other")
    log = other / "driving_log.csv"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:-2]))

    def decode(*_: object) -> None:
        raise AssertionError("an image was decoded")

    monkeypatch.setattr("udacity_gym.recording.episodes.Recording.check", decode)
    for recording, changed, said in (
        (road_recording, {"epochs": 2}, "with epochs=1 was begun here, now it is 2"),
        (other, {}, "training on other data was begun here"),
    ):
        with pytest.raises(CheckpointError, match=said):
            BehavioralCloning(recording, **{**options, **changed}, folder=tmp_path / "training")
    with pytest.raises(CheckpointError, match="holds something else"):
        BehavioralCloning(road_recording, **options, folder=other)


@pytest.mark.parametrize("validation", [0.25, 0.0])
def test_training_that_diverges_says_where_and_leaves_no_policy(
    road_recording: Path, tmp_path: Path, validation: float
) -> None:
    options = {**QUICK, "validation": validation, "learning_rate": 100.0, "schedule": "constant"}
    with pytest.raises(TrainingError, match=r"epoch 1: .*step \d+ of \d+.*lower learning_rate=100"):
        BehavioralCloning(road_recording, **options, loss="mse", folder=tmp_path).learn()
    assert not (tmp_path / "policy").exists()


def poison_weights(training: Training, *_: Any) -> float:
    with torch.no_grad():
        next(training.network.parameters()).fill_(math.nan)
    return 1.0


def poison_validation(_: Training) -> tuple[float, float]:
    return math.nan, 0.0


@pytest.mark.parametrize(("method", "poison"), [("_step", poison_weights), ("_validate", poison_validation)])
def test_divergence_in_the_very_last_step_is_noticed(
    road_recording: Path, monkeypatch: pytest.MonkeyPatch, method: str, poison: Any
) -> None:
    monkeypatch.setattr(Training, method, poison)
    with pytest.raises(TrainingError, match=r"epoch 1: .*(weights|validation loss)"):
        BehavioralCloning(road_recording, **{**QUICK, "epochs": 1}).learn()


def test_an_interruption_while_an_epoch_is_kept_does_not_lose_the_best_policy(
    road_recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([1.0, 2.0, 3.0, 1.0, 2.0, 3.0])
    monkeypatch.setattr("algorithms.training.trainer.Training._validate", lambda self: (next(losses), 0.0))

    def killed(*_: Any) -> None:
        raise InterruptionError

    with monkeypatch.context() as patch:
        patch.setattr("algorithms.training.trainer.NetworkPolicy.save", killed)
        with pytest.raises(InterruptionError):
            BehavioralCloning(road_recording, **QUICK, folder=tmp_path).learn()
    assert not (tmp_path / "state").exists()  # so the epoch is trained again
    with monkeypatch.context() as patch:
        patch.setattr("algorithms.training.trainer.Training._save", killed)
        with pytest.raises(InterruptionError):
            BehavioralCloning(road_recording, **QUICK, folder=tmp_path).learn()
    assert isinstance(load_policy(tmp_path / "policy"), NetworkPolicy)


def test_training_begins_anew_if_its_first_state_was_never_whole(
    road_recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, replace = {**QUICK, "epochs": 1}, os.replace

    def killed(source: Path, target: Path) -> None:
        if Path(target).name == "state.json":
            raise InterruptionError
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(InterruptionError):
            BehavioralCloning(road_recording, **options, folder=tmp_path).learn()
    assert list((tmp_path / "state").iterdir())  # weights that no JSON names
    learner = BehavioralCloning(road_recording, **options, folder=tmp_path)
    learner.learn()
    assert len(learner.epoch_log) == 1
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == ["state.json", "state.safetensors"]


def test_the_kept_policy_has_the_whole_history(
    road_recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "algorithms.training.trainer.Training._validate", lambda self: (1.0 + len(self.epoch_log), 0.0)
    )
    BehavioralCloning(road_recording, **QUICK, folder=tmp_path).learn()  # the first epoch is the best
    saved = load_policy(tmp_path / "policy")
    assert isinstance(saved, NetworkPolicy)
    assert [epoch["epoch"] for epoch in saved.training["epoch_log"]] == [1, 2, 3]


@pytest.mark.parametrize("changed", ["speed", "image", "camera"])
def test_going_on_with_data_that_differs_only_in_speed_or_images_is_refused(
    tmp_path: Path, changed: str
) -> None:
    laps, options = tmp_path / "laps", {**QUICK, "epochs": 1, "gap": 0.0}
    write_road_recording(laps, np.linspace(-1, 1, 20))
    BehavioralCloning(laps, **options, folder=tmp_path / "training").learn()
    log = laps / "driving_log.csv"
    lines = log.read_text().splitlines()
    if changed == "speed":
        log.write_text("\n".join(f"{line.rsplit(',', 1)[0]},9.5" for line in lines) + "\n")
    elif changed == "image":
        images = sorted((laps / "IMG").glob("center*"))
        images[3].write_bytes(cv2.imencode(".jpg", road_image(2.0))[1].tobytes())
    else:
        for path in (laps / "IMG").glob("right*"):
            path.unlink()
    with pytest.raises(CheckpointError, match="other data"):
        BehavioralCloning(laps, **options, folder=tmp_path / "training").learn()


def test_going_on_with_other_settings_or_data_is_refused(road_recording: Path, tmp_path: Path) -> None:
    options = {**QUICK, "epochs": 1}
    BehavioralCloning(road_recording, **options, folder=tmp_path).learn()
    with pytest.raises(CheckpointError, match=r"learning_rate=0\.001"):
        BehavioralCloning(road_recording, **options, learning_rate=0.01, folder=tmp_path).learn()
    with pytest.raises(CheckpointError, match="other data"):
        BehavioralCloning([road_recording] * 2, **options, folder=tmp_path).learn()
    (tmp_path / "state" / "state.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match="corrupt"):
        BehavioralCloning(road_recording, **options, folder=tmp_path).learn()


def test_the_policy_is_that_of_the_best_epoch(road_recording: Path) -> None:
    learner = BehavioralCloning(
        road_recording, **{**QUICK, "epochs": 4}, learning_rate=0.01, schedule="constant"
    )
    policy = learner.learn()
    losses = [epoch.validation_loss for epoch in learner.epoch_log]
    best = int(np.argmin(np.array(losses, np.float64)))
    mae = learner.epoch_log[best].steering_mae
    frames = learner.validation_frames
    images = np.stack([frames.image(row, "center") for row in range(len(frames))])
    error = np.abs(policy.act(images)[:, 0] - frames.steering).mean()
    assert error == pytest.approx(mae, rel=1e-4)


def test_training_stops_early_when_nothing_gets_better(
    road_recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "algorithms.training.trainer.Training._validate", lambda self: (1.0 + len(self.epoch_log), 0.0)
    )
    learner = BehavioralCloning(road_recording, **{**QUICK, "epochs": 9}, patience=2)
    learner.learn()
    assert len(learner.epoch_log) == 3  # the first was best, two were not


def test_without_validation_rows_the_last_epoch_counts(road_recording: Path) -> None:
    learner = BehavioralCloning(road_recording, **{**QUICK, "epochs": 1, "validation": 0.0})
    learner.learn()
    assert [epoch.validation_loss for epoch in learner.epoch_log] == [None]


def test_throttle_is_learnt_or_left_to_a_controller(road_recording: Path) -> None:
    options = {**QUICK, "epochs": 1}
    both = BehavioralCloning(road_recording, **options).learn()
    assert both.actions == ("steering", "throttle")
    assert both.target_speed is None
    assert both.predict(road_image(0.0))[0].shape == (2,)
    steering = BehavioralCloning(road_recording, **options, throttle="speed_control").learn()
    assert steering.actions == ("steering",)
    assert steering.target_speed == pytest.approx(10.0)
    slow = BehavioralCloning(road_recording, **options, throttle="speed_control", target_speed=5.0).learn()
    assert slow.target_speed == 5.0


def test_a_recording_that_does_not_know_its_speed_needs_a_target_speed(tmp_path: Path) -> None:
    laps = write_road_recording(tmp_path / "laps", np.linspace(-1, 1, 20), speed=0.0)
    options = {**QUICK, "gap": 0.0, "throttle": "speed_control"}
    with pytest.raises(OptionError, match="give target_speed"):
        BehavioralCloning(laps, **options)
    BehavioralCloning(laps, **options, target_speed=9.0)


@pytest.mark.parametrize("loss", ["mse", "huber"])
def test_both_losses_and_all_settings_train(road_recording: Path, loss: str, tmp_path: Path) -> None:
    options = {**QUICK, "epochs": 1, "gap": 0.0}
    learner = BehavioralCloning(
        road_recording, **options, loss=loss, smoothing=0.3, threads=3, side_cameras=0.0
    )
    assert learner.cameras == ("center",)
    policy = learner.learn()
    assert policy.training["settings"]["loss"] == loss
    assert np.isfinite(learner.epoch_log[0].train_loss)
    policy.save(tmp_path / "policy")


def test_a_misspelt_setting_is_recognised(road_recording: Path) -> None:
    with pytest.raises(OptionError, match="did you mean 'learning_rate'"):
        BehavioralCloning(road_recording, learning_rat=0.1)


@pytest.mark.parametrize(
    "change",
    [
        {"loss": "l1"},
        {"loss": ["mse"]},
        {"inputs": ("cte",)},
        {"past_frames": 1.5},
        {"validation_by": "luck"},
        {"select": "beauty"},
        {"labels": "mine"},
        {"drive_seconds": 0},
        {"judge_every": 0},
        {"steps_per_epoch": 0},
        {"throttle": "none"},
        {"schedule": "linear"},
        {"network": "AlexNet"},
        {"network": ["PilotNet"]},
        {"epochs": 0},
        {"epochs": True},
        {"batch_size": 1.5},
        {"learning_rate": -1.0},
        {"learning_rate": "1e-3"},
        {"learning_rate": 1e38},
        {"huber_delta": math.nan},
        {"throttle_weight": -1.0},
        {"throttle_weight": math.nan},
        {"target_speed": -5.0, "throttle": "speed_control"},
        {"target_speed": math.nan, "throttle": "speed_control"},
        {"side_cameras": 1.1},
        {"recovery_time": math.inf},
        {"recovery_distance": 0},
        {"smoothing": -1.0},
        {"smoothing": math.nan},
        {"balance": 2.0},
        {"validation": math.nan},
        {"gap": -1.0},
        {"patience": 0},
        {"patience": -3},
        {"memory_budget": -1},
        {"threads": 0},
        {"seed": -1},
        {"seed": 2**64},
        {"preprocessing": None},
        {"augmentation": {"flip": 0.0}},
        {"preprocessing": Preprocessing(size=(64, 64))},
    ],
)
def test_a_setting_out_of_range_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=f"^{next(iter(change))}"):
        BehavioralCloningConfig(**change)


def test_every_numeric_setting_is_checked() -> None:
    for setting in dataclasses.fields(BehavioralCloningConfig):
        change: dict[str, Any] = {setting.name: object()}
        with pytest.raises(OptionError, match=f"^{setting.name}="):
            BehavioralCloningConfig(**change)


def test_a_target_speed_without_a_controller_is_refused() -> None:
    with pytest.raises(OptionError, match='needs throttle="speed_control"'):
        BehavioralCloningConfig(throttle="learned", target_speed=9.0)


def test_every_setting_is_documented() -> None:
    documentation = "".join(kind.__doc__ or "" for kind in BehavioralCloningConfig.__mro__)
    for setting in dataclasses.fields(BehavioralCloningConfig):
        assert f"\n        {setting.name}: " in documentation


def test_settings_can_come_as_one_object(road_recording: Path) -> None:
    config = BehavioralCloningConfig(epochs=2, augmentation=Augmentation(flip=0.0))
    learner = BehavioralCloning(road_recording, config, seed=3)
    assert (learner.config.epochs, learner.config.seed, learner.config.augmentation.flip) == (2, 3, 0.0)
    assert isinstance(learner, Learner)
    with pytest.raises(OptionError, match="config must be a BehavioralCloningConfig"):
        BehavioralCloning(road_recording, {"epochs": 2})  # type: ignore[arg-type]


def test_numbers_of_numpy_are_settings_too() -> None:
    config = BehavioralCloningConfig(seed=np.int64(3), learning_rate=np.float32(0.5))  # type: ignore[arg-type]
    assert (type(config.seed), type(config.learning_rate)) == (int, float)
    assert config == BehavioralCloningConfig(seed=3, learning_rate=0.5)


def test_one_input_is_a_setting_as_it_is() -> None:
    assert BehavioralCloningConfig(inputs="speed").inputs == ("speed",)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="must be a tuple of names"):
        BehavioralCloningConfig(inputs="sped")  # type: ignore[arg-type]


def test_no_recording_at_all_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(RecordingError):
        BehavioralCloning(tmp_path / "nowhere")


@pytest.mark.parametrize("nonsense", [None, 3, [3], [None], iter([3])])
def test_what_is_no_recording_is_said_to_be_none(nonsense: Any) -> None:
    with pytest.raises(OptionError, match="recording"):
        BehavioralCloning(nonsense)


def test_recordings_may_come_one_by_one(road_recording: Path) -> None:
    learner = BehavioralCloning(iter([road_recording, open_recording(road_recording)]), **QUICK)
    assert len(learner.train_frames.episodes) == 2


def test_recordings_without_the_centre_camera_are_refused(tmp_path: Path) -> None:
    laps = write_road_recording(tmp_path / "laps", np.linspace(-1, 1, 40))
    for path in (laps / "IMG").glob("center*"):
        path.unlink()
    with pytest.raises(RecordingError, match="center"):
        BehavioralCloning(laps, **QUICK)


def test_rows_with_broken_images_are_left_out_and_reported(tmp_path: Path) -> None:
    laps = write_road_recording(tmp_path / "laps", np.linspace(-1, 1, 40))
    centre, left = (sorted((laps / "IMG").glob(f"{camera}*")) for camera in ("center", "left"))
    centre[3].write_bytes(centre[3].read_bytes()[:500])
    left[35].write_bytes(b"")
    cv2.imwrite(str(left[8]), np.zeros((80, 160, 3), np.uint8))
    with pytest.warns(UserWarning, match="laps: 3 of 40 rows are left out"):
        learner = BehavioralCloning(laps, **{**QUICK, "epochs": 1, "gap": 0.0})
    assert len(learner.train_frames) + len(learner.validation_frames) == 37
    assert learner.reports[0].count("broken image") == 2
    assert learner.reports[0].rows_of("image of another size") == (9,)
    learner.learn()


def test_a_recording_of_broken_images_only_is_nothing_to_learn_from(tmp_path: Path) -> None:
    laps = write_road_recording(tmp_path / "laps", np.zeros(3))
    for image in (laps / "IMG").iterdir():
        image.write_bytes(b"")
    with pytest.warns(UserWarning, match="3 of 3"), pytest.raises(RecordingError, match="nothing to learn"):
        BehavioralCloning(laps, **QUICK)


def test_a_folder_that_holds_something_else_is_refused(road_recording: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"IMG, driving_log\.csv.*another folder"):
        BehavioralCloning(road_recording, **QUICK, folder=road_recording)
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(CheckpointError, match="is a file"):
        BehavioralCloning(road_recording, **QUICK, folder=tmp_path / "thesis.txt")
    (tmp_path / "tensorboard").mkdir()  # a training that was killed in its first epoch
    (tmp_path / "thesis.txt").unlink()
    BehavioralCloning(road_recording, **QUICK, folder=tmp_path)


def test_takes_are_set_aside_on_request(tmp_path: Path) -> None:
    laps = write_road_recording(tmp_path / "laps", np.linspace(-1, 1, 60), episodes=3)
    learner = BehavioralCloning(laps, **{**QUICK, "validation_by": "episode"})
    assert (len(learner.train_frames), len(learner.validation_frames)) == (40, 20)


def test_recordings_are_mixed_by_weights_and_training_begins_where_another_ended(
    road_recording: Path, tmp_path: Path
) -> None:
    options = {**QUICK, "epochs": 1, "steps_per_epoch": 2}
    first = BehavioralCloning(road_recording, **options, folder=tmp_path / "first").learn()
    options |= {"weights": [1, 4], "learning_rate": 1e-9}
    both = [road_recording, road_recording]
    second = BehavioralCloning(both, **options, initial=tmp_path / "first", folder=tmp_path / "2")
    for name, value in weights(second.learn()).items():
        np.testing.assert_allclose(value, weights(first)[name], atol=1e-7)
    with pytest.raises(CheckpointError, match="other data"):  # other initial weights are other data
        BehavioralCloning(both, **options, folder=tmp_path / "2").learn()
    with pytest.raises(OptionError, match="initial=3"):
        BehavioralCloning(both, **options, initial=3)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="2 weights for 1"):
        BehavioralCloning(road_recording, **options)


def test_the_best_epoch_is_that_of_the_best_drive(road_recording: Path) -> None:
    env = gymnasium.make("UdacitySim-v0")
    resets: list[Any] = []
    reset = env.reset
    env.reset = lambda **options: (resets.append(options), reset(**options))[1]  # type: ignore[method-assign]
    learner = BehavioralCloning(
        road_recording,
        **{**QUICK, "epochs": 3},
        select="driving",
        drive_seconds=4.0,
        throttle="speed_control",
        learning_rate=0.01,
        schedule="constant",
        env=env,
    )
    policy = learner.learn()
    assert resets
    scores = [epoch.score for epoch in learner.epoch_log]
    assert None not in scores
    best = driving_score(evaluate(policy, env, laps=1, seed=0, max_seconds=4.0))
    assert best == max(np.array(scores, np.float64))
    env.reset()  # it is still open
    env.close()


def test_small_images_are_driven_with_small_ones(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path) as writer:
        for i, offset in enumerate(np.linspace(-1, 1, 32).tolist()):
            images = {name: cv2.resize(p, (160, 80)) for name, p in road_images(offset).items()}
            steering = wanted_steering(offset)
            writer.write(images, steering=steering, throttle=0.5, brake=0.0, speed=10.0, time=i / 15)
    learner = BehavioralCloning(
        tmp_path,
        **{**QUICK, "epochs": 1},
        preprocessing=Preprocessing(camera_size=(80, 160), crop=(30, 68)),
        select="driving",
        drive_seconds=1.0,
    )
    assert learner.learn().image_size == (80, 160)
    assert learner.epoch_log[0].score is not None


def test_a_drive_is_better_without_interventions_and_then_nearer_to_the_line() -> None:
    env = gymnasium.make("UdacitySim-v0", cameras=())
    expert = PurePursuit("lake", speed=8.0)
    drives: list[Any] = [
        expert,
        lambda observation, info: expert(observation, info) + np.array([0.03, 0.0], np.float32),  # beside it
        lambda *_: np.array([0.0, 0.5], np.float32),
        lambda *_: np.array([0.4, 0.5], np.float32),
    ]
    scores = [driving_score(evaluate(driver, env, laps=1, max_seconds=25.0)) for driver in drives]
    assert scores == sorted(scores, reverse=True)
    assert scores[1] > 0.97
    assert scores[3] < 0  # autonomy itself would be 0
    env.close()


def test_a_policy_that_needs_the_speed_is_told_it_while_it_is_judged(road_recording: Path) -> None:
    options = {**QUICK, "epochs": 1, "steps_per_epoch": 1}
    policy = BehavioralCloning(road_recording, **options, inputs=("speed",), past_frames=1).learn()
    env = gymnasium.make("UdacitySim-v0")
    assert evaluate(policy, env, laps=1, max_seconds=1.0).seconds >= 1.0
    env.close()
