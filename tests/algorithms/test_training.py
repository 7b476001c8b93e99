"""The training that all learners stand on: growing data, warm starts, whose labels, which weights."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simple_road import road_images, write_road_recording

from algorithms import (
    Frames,
    NetworkPolicy,
    Preprocessing,
    Training,
    TrainingConfig,
    load_policy,
)
from algorithms.base import TrainingError
from algorithms.dagger.replay import replay
from algorithms.policies.losses import Classes
from algorithms.training.augment import Augmentation
from algorithms.training.trainer import Epoch
from algorithms.training.training_set import TrainingSet
from udacity_gym.errors import OptionError, RecordingError
from udacity_gym.recording import Episode, ImageCache, Recording, RecordingWriter, open_recording

QUICK = TrainingConfig(epochs=1, batch_size=32, threads=1)


def write_driven(folder: Path, extras: list[dict[str, Any]]) -> Recording:
    """Ten rows a second with steering 0.1 and what the side file says of each."""
    with RecordingWriter(folder) as writer:
        for i, extra in enumerate(extras):
            writer.write(
                road_images(0.1 * i),
                steering=0.1,
                throttle=0.2,
                brake=0.0,
                speed=9.0,
                time=i / 10,
                extra=extra,
            )
    return open_recording(folder)


@pytest.fixture
def round_of_dagger(tmp_path: Path) -> Recording:
    labelled = {"driver": "policy", "policy_action": [0.1, 0.2], "expert_action": [-0.5, -1.5]}
    return write_driven(
        tmp_path / "round",
        [labelled, {"driver": "policy", "expert_action": None}, {"driver": "human"}, {}],
    )


def weights_of(policy: NetworkPolicy) -> np.ndarray[Any, Any]:
    return np.concatenate([value.numpy().ravel() for value in policy.network.state_dict().values()])


def test_what_the_expert_wanted_is_learnt_and_unlabelled_policy_driving_is_not(
    round_of_dagger: Recording,
) -> None:
    frames = Frames.of([round_of_dagger])
    assert frames.index.tolist() == [0, 2, 3]
    np.testing.assert_allclose(frames.steering, [-0.5, 0.1, 0.1])
    np.testing.assert_allclose(frames.throttle, [-1.0, 0.2, 0.2], atol=1e-6)


def test_what_was_executed_is_learnt_on_request(round_of_dagger: Recording) -> None:
    frames = Frames.of([round_of_dagger], labels="executed")
    np.testing.assert_allclose(frames.steering, [0.1] * 4)
    with pytest.raises(OptionError, match="labels='human'"):
        Frames.of([round_of_dagger], labels="human")  # type: ignore[arg-type]


def test_rounds_that_nobody_labelled_are_nothing_to_learn_from(tmp_path: Path) -> None:
    recording = write_driven(tmp_path / "round", [{"driver": "policy"}] * 3)
    with pytest.raises(RecordingError, match="nobody labelled"):
        Frames.of([recording])


@pytest.mark.parametrize("value", ["left", [1, 2, 3], [None, 0], {}])
def test_a_broken_label_is_named_with_its_row(tmp_path: Path, value: Any) -> None:
    recording = write_driven(tmp_path / "round", [{}, {"expert_action": value}])
    with pytest.raises(RecordingError, match=r"row 2: expert_action=.*\[steering, throttle\]"):
        Frames.of([recording])


def test_recordings_are_drawn_by_their_weights(road_recording: Path, tmp_path: Path) -> None:
    other = open_recording(write_road_recording(tmp_path / "other", np.linspace(-1, 1, 40)))
    frames = Frames.of([open_recording(road_recording), other], weights=[1.0, 3.0])
    assert frames.weight.tolist() == [1.0] * 160 + [3.0] * 40
    with pytest.raises(OptionError, match="1 weights for 2"):
        Frames.of([other, other], weights=[1.0])
    with pytest.raises(OptionError, match="weight=0"):
        Frames.of([other], weights=[0])


def test_a_weight_of_a_recording_changes_what_is_learnt(road_recording: Path, tmp_path: Path) -> None:
    """The other recording's driver always steers right; the more it weighs, the more the policy does."""
    contrary = write_driven(tmp_path / "other", [{"expert_action": [0.8, 0.2]}] * 40)
    steering = []
    for weight in (0.01, 30.0):
        frames = Frames.of([open_recording(road_recording), contrary], weights=[1.0, weight])
        config = TrainingConfig(
            epochs=1,
            batch_size=16,
            threads=2,
            balance=0.0,
            side_cameras=0.0,
            augmentation=Augmentation(flip=0.0),
        )
        policy = Training(config, frames).run()
        steering.append(float(policy.predict(road_images(0.0)["center"])[0][0]))
    assert steering[1] > steering[0] + 0.1


def test_recordings_of_other_speeds_or_of_none_are_drawn_as_often_as_the_others(tmp_path: Path) -> None:
    recordings = [
        open_recording(write_road_recording(tmp_path / f"{speed}", np.linspace(-1, 1, 40), speed=speed))
        for speed in (13.0, 3.0, 0.0)  # a log of 0 throughout does not know its speed
    ]
    frames = Frames.of(recordings, weights=[1, 1, 5])
    shares = TrainingSet(frames, QUICK).weights.reshape(3, 40).sum(axis=1)
    assert shares / shares.sum() == pytest.approx([1 / 7, 1 / 7, 5 / 7])
    steering_only = replace(QUICK, throttle="speed_control")
    assert TrainingSet(frames, steering_only).target_speed == pytest.approx(8.0, rel=1e-3)


def test_training_goes_on_from_the_policy_it_is_given(road_recording: Path) -> None:
    frames = Frames.of([open_recording(road_recording)])
    first = Training(QUICK, frames).run()
    config = TrainingConfig(epochs=1, steps_per_epoch=1, learning_rate=1e-9, threads=1)
    again = Training(config, frames, initial=first).run()
    np.testing.assert_allclose(weights_of(again), weights_of(first), atol=1e-7)
    assert np.abs(weights_of(Training(config, frames).run()) - weights_of(first)).max() > 1e-3


def test_an_initial_policy_of_other_actions_is_refused(road_recording: Path) -> None:
    frames = Frames.of([open_recording(road_recording)])
    policy = Training(QUICK, frames).run()
    steering = TrainingConfig(epochs=1, throttle="speed_control")
    with pytest.raises(OptionError, match="can't be the initial policy"):
        Training(steering, frames, initial=policy)


def test_an_epoch_has_as_many_steps_as_asked_for(
    road_recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(
        Training, "_step", lambda self, batch, *_: float(sizes.append(len(batch.images)) or 0)
    )
    frames = Frames.of([open_recording(road_recording)])
    Training(TrainingConfig(epochs=2, batch_size=50, steps_per_epoch=7), frames).run()
    assert sizes == [50] * 14


def test_rounds_that_share_a_cache_decode_each_image_once(
    road_recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    read = Episode.__getitem__

    def counting(self: Episode, index: Any) -> Any:
        decoded.append(index)
        return read(self, index)

    monkeypatch.setattr(Episode, "__getitem__", counting)
    config = TrainingConfig(epochs=1, threads=2, side_cameras=0.0, balance=0.0)
    cache = ImageCache(config.preprocessing, 1e8)
    first = open_recording(road_recording)
    Training(config, Frames.of([first]), cache=cache).run()
    assert len(decoded) == 160
    second = open_recording(write_road_recording(tmp_path / "second", np.linspace(-1, 1, 40)))
    Training(config, Frames.of([first, second]), cache=cache).run()
    assert len(decoded) == 200
    assert len(cache) == 200


def test_sharing_a_cache_changes_nothing_about_the_weights(road_recording: Path) -> None:
    frames = Frames.of([open_recording(road_recording)])
    cache = ImageCache(QUICK.preprocessing, 20 * 66 * 200 * 3)
    Training(QUICK, frames, cache=cache).run()
    np.testing.assert_array_equal(
        weights_of(Training(QUICK, frames, cache=cache).run()), weights_of(Training(QUICK, frames).run())
    )


def test_a_cache_of_otherwise_prepared_images_is_refused(road_recording: Path) -> None:
    frames = Frames.of([open_recording(road_recording)])
    with pytest.raises(OptionError, match="cache"):
        Training(QUICK, frames, cache=ImageCache(Preprocessing(crop=(50, 140)), 1e8))


def test_the_checkpoint_says_who_trained(road_recording: Path, tmp_path: Path) -> None:
    frames = Frames.of([open_recording(road_recording)])
    Training(QUICK, frames, folder=tmp_path, learner="DAgger").run()
    description = json.loads((tmp_path / "policy" / "policy.json").read_text())
    assert description["training"]["learner"] == "DAgger"
    assert description["training"]["settings"]["augmentation"] == vars(Augmentation())


def write_speeds(folder: Path) -> Recording:
    """Images that look all alike, fast rows without throttle and slow rows with all of it."""
    with RecordingWriter(folder, ("center",)) as writer:
        for i in range(120):
            slow = (i // 20) % 2 == 0
            writer.write(
                {"center": road_images(0.0)["center"]},
                steering=0.0,
                throttle=1.0 if slow else 0.0,
                brake=0.0,
                speed=1.0 if slow else 12.0,
                time=i / 15,
            )
    return open_recording(folder)


def test_the_throttle_follows_the_speed_where_images_do_not_tell(tmp_path: Path) -> None:
    frames = Frames.of([write_speeds(tmp_path / "laps")])
    config = TrainingConfig(epochs=6, batch_size=20, inputs=("speed",), throttle_weight=1.0, threads=2)
    policy = Training(config, frames).run()
    throttle = replay(policy, frames).actions[:, 1]
    assert throttle[frames.speed < 5].mean() > 0.7
    assert throttle[frames.speed > 5].mean() < 0.3


@pytest.mark.parametrize(
    "options",
    [
        {"network": "PilotLSTM", "past_frames": 2, "inputs": ("speed",), "loss": "gaussian"},
        {"network": "SmallResNet", "loss": "classes", "throttle": "speed_control"},
        {"past_frames": 1, "loss": Classes(bins=21, decoding="argmax")},
    ],
    ids=["lstm", "resnet", "stacked"],
)
def test_what_a_policy_does_is_what_was_validated_whatever_it_is_made_of(
    road_recording: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    train, validation = Frames.of([open_recording(road_recording)]).split(0.2, 0.5)
    config = TrainingConfig(epochs=1, steps_per_epoch=3, batch_size=8, threads=2, **options)
    training = Training(config, train, validation, folder=tmp_path)
    policy = training.run()
    error = np.abs(replay(policy, validation).actions[:, 0] - validation.steering).mean()
    assert error == pytest.approx(training.epoch_log[0].steering_mae, rel=1e-3)
    assert training.epoch_log[0].train_loss != 0
    saved = load_policy(tmp_path / "policy")
    np.testing.assert_array_equal(replay(saved, validation).actions, replay(policy, validation).actions)
    again = Training(config, train, validation, folder=tmp_path).run()  # finished: nothing is left to do
    np.testing.assert_array_equal(weights_of(again), weights_of(policy))


def test_the_judge_chooses_the_best_epoch_and_when_to_stop(road_recording: Path, tmp_path: Path) -> None:
    train, validation = Frames.of([open_recording(road_recording)]).split(0.2, 0.5)
    config = TrainingConfig(
        epochs=9, steps_per_epoch=1, batch_size=8, judge_every=2, patience=3, threads=1, schedule="constant"
    )
    scores, judged = iter([0.1, 0.9, 0.5, 0.7]), []

    def judge(policy: NetworkPolicy) -> float:
        judged.append(weights_of(policy))
        return next(scores)

    training = Training(config, train, validation, folder=tmp_path, judge=judge)
    policy = training.run()
    assert [epoch.score for epoch in training.epoch_log] == [None, 0.1, None, 0.9, None, 0.5, None]
    np.testing.assert_array_equal(weights_of(policy), judged[1])


def test_the_last_epoch_is_judged_whatever_comes_before(road_recording: Path) -> None:
    frames = Frames.of([open_recording(road_recording)])
    config = TrainingConfig(epochs=3, steps_per_epoch=1, judge_every=2, threads=1)
    training = Training(config, frames, judge=lambda _: 1.0)
    training.run()
    assert [epoch.score for epoch in training.epoch_log] == [None, 1.0, 1.0]


def test_a_score_that_is_no_number_ends_the_training(road_recording: Path) -> None:
    frames = Frames.of([open_recording(road_recording)])
    config = TrainingConfig(epochs=1, steps_per_epoch=1, threads=1)
    with pytest.raises(TrainingError, match="score is nan"):
        Training(config, frames, judge=lambda _: float("nan")).run()


def test_judging_is_resumed_to_the_same_weights(road_recording: Path, tmp_path: Path) -> None:
    frames = Frames.of([open_recording(road_recording)])
    config = TrainingConfig(epochs=4, steps_per_epoch=2, batch_size=8, threads=2, past_frames=1)

    def judge(policy: NetworkPolicy) -> float:
        return -float(np.abs(weights_of(policy)).mean())

    def interrupt(epoch: Epoch) -> None:
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    whole = Training(config, frames, judge=judge).run()
    with pytest.raises(KeyboardInterrupt):
        Training(config, frames, judge=judge, folder=tmp_path).run(after_epoch=interrupt)
    resumed = Training(config, frames, judge=judge, folder=tmp_path)
    np.testing.assert_array_equal(weights_of(resumed.run()), weights_of(whole))
    assert len(resumed.epoch_log) == 4


def test_a_training_that_an_older_version_began_goes_on(road_recording: Path, tmp_path: Path) -> None:
    frames = Frames.of([open_recording(road_recording)])
    config = TrainingConfig(epochs=2, steps_per_epoch=2, batch_size=8, threads=2)
    whole = Training(config, frames).run()

    def interrupt(_: Epoch) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Training(config, frames, folder=tmp_path).run(after_epoch=interrupt)
    path = tmp_path / "state" / "state.json"
    state = json.loads(path.read_text())
    for name in ("inputs", "past_frames", "judge_every"):
        del state["settings"][name]
    del state["settings"]["geometry"]["camera_headings"], state["epoch_log"][0]["score"]
    state |= {"version": 1, "best_loss": state.pop("best_value")}
    path.write_text(json.dumps(state))
    resumed = Training(config, frames, folder=tmp_path).run()
    np.testing.assert_array_equal(weights_of(resumed), weights_of(whole))
