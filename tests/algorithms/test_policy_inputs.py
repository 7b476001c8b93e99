"""Inputs of networks: several cameras together, and measurements by name."""

from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from simple_road import log_without, road_image, road_images, write_road_recording

from algorithms import (
    BehavioralCloning,
    DAgger,
    Frames,
    NetworkPolicy,
    Preprocessing,
    Training,
    TrainingConfig,
    load_policy,
)
from algorithms.base import ObservationError
from algorithms.dagger.replay import replay
from algorithms.policies.networks import make_network
from algorithms.training.augment import Augmentation
from algorithms.training.training_set import TrainingSet, mirrored_cameras
from udacity_gym.driving import PolicyDriver, drive
from udacity_gym.driving.policy_inputs import MEASUREMENTS, cameras_for
from udacity_gym.errors import OptionError, RecordingError
from udacity_gym.recording import Recording, RecordingWriter, open_recording
from udacity_gym.telemetry import CAMERAS
from udacity_gym.wrappers import fit_to

NOTHING = Augmentation(flip=0, shift=0, turn=0, vertical=0, brightness=0, shadow=0)
ALL = ("left", "center", "right")
QUICK: dict[str, Any] = {
    "epochs": 1, "steps_per_epoch": 2, "batch_size": 8, "threads": 2, "device": "cpu", "progress": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def frames(road_recording: Path) -> Frames:
    return Frames.of([open_recording(road_recording)])


def make_policy(cameras: tuple[str, ...] = ALL, past_frames: int = 0) -> NetworkPolicy:
    network = make_network("PilotNet", 2, seed=1, frames=past_frames + 1, cameras=len(cameras))
    return NetworkPolicy(network, Preprocessing(), cameras=cameras, past_frames=past_frames)


def test_several_cameras_are_channels_in_their_order(frames: Frames) -> None:
    policy, images = make_policy(), road_images(0.4)
    prepared = torch.from_numpy(np.stack([policy.preprocessing(images[name]) for name in ALL])[None])
    with torch.no_grad():
        expected = policy.network(policy.preprocessing.normalize(prepared))[0]
    np.testing.assert_allclose(policy.predict(images)[0], expected.clamp(-1, 1), atol=1e-6)
    swapped = {"left": images["right"], "center": images["center"], "right": images["left"]}
    assert np.abs(policy.predict(swapped)[0] - policy.predict(images)[0]).max() > 1e-5


def test_several_cameras_have_their_past() -> None:
    policy, moments = make_policy(past_frames=1), [road_images(offset) for offset in (0.0, 1.0)]
    _, state = policy.predict(moments[0])
    action, after = policy.predict(moments[1], state)
    prepared = [policy.preprocessing(moment[name]) for moment in moments for name in ALL]
    with torch.no_grad():
        batch = policy.preprocessing.normalize(torch.from_numpy(np.stack(prepared)[None]))
        expected = policy.network(batch)[0]
    np.testing.assert_allclose(action, expected.clamp(-1, 1), atol=1e-6)
    assert after is not None
    assert after[0].shape == (1, 3, 66, 200, 3)


@pytest.mark.parametrize(
    ("observation", "message"),
    [
        (road_image(0.0), r"left, center, right together.*cameras=\('left', 'center', 'right'\)"),
        ({"center": road_image(0.0)}, "'left' camera"),
        (
            {name: np.stack([road_image(0.0)] * (1 + (name == "left"))) for name in ALL},
            "equally many moments",
        ),
    ],
)
def test_images_that_are_missing_are_named(observation: Any, message: str) -> None:
    with pytest.raises(ObservationError, match=message):
        make_policy().predict(observation)


@pytest.mark.parametrize("cameras", [(), ("center", "center"), ["center"], (3,)])
def test_cameras_that_can_not_be_are_refused(cameras: Any) -> None:
    with pytest.raises(OptionError, match="cameras="):
        TrainingConfig(cameras=cameras)


def test_a_batch_has_the_images_of_all_cameras(frames: Frames) -> None:
    config = TrainingConfig(cameras=ALL, augmentation=NOTHING)
    training_set = TrainingSet(frames, config)
    assert training_set.cameras == ALL
    batch = training_set.augmented_batch(np.array([4]), np.random.default_rng(0))
    for image, camera in zip(batch.images[0], ALL, strict=True):
        np.testing.assert_array_equal(image, Preprocessing()(frames.image(4, camera)))
    np.testing.assert_allclose(batch.targets[0, 0], frames.steering[4])  # no side camera, no correction


def test_left_and_right_change_places_in_a_mirrored_world(frames: Frames) -> None:
    always = Augmentation(flip=1.0, shift=0, turn=0, vertical=0, brightness=0, shadow=0)
    found = {
        cameras: TrainingSet(frames, TrainingConfig(cameras=cameras, augmentation=always, side_cameras=0.0))
        .augmented_batch(np.array([4]), np.random.default_rng(0))
        .images[0]
        for cameras in (ALL, ("right", "center", "left"))
    }
    # The mirrored right camera stands where the left one does; and so the order of names makes no difference.
    np.testing.assert_array_equal(found[ALL][0], found["right", "center", "left"][2])
    unmirrored = [Preprocessing()(frames.image(4, name)).astype(int) for name in ALL]
    mirrored = found[ALL].numpy().astype(int)
    assert (
        np.abs(mirrored[0][:, ::-1] - unmirrored[2]).mean()
        < np.abs(mirrored[0][:, ::-1] - unmirrored[0]).mean()
    )
    assert mirrored_cameras(("center", "left")) is None
    one_side = TrainingSet(frames, TrainingConfig(cameras=("center", "left"), augmentation=always))
    batch = one_side.augmented_batch(np.array([4]), np.random.default_rng(0))
    np.testing.assert_allclose(batch.targets[0, 0], frames.steering[4])  # can't be mirrored


def test_a_camera_that_was_not_recorded_is_named(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path, ("center",)) as writer:
        for i in range(20):
            writer.write(
                {"center": road_image(0.0)}, steering=0.0, throttle=0.5, brake=0.0, speed=9.0, time=i / 15
            )
    with pytest.raises(RecordingError, match="no images of the left and right camera"):
        BehavioralCloning(tmp_path, cameras=ALL, validation=0.0, progress=False)


@pytest.mark.parametrize("network", ["PilotNet", "PilotLSTM", "SmallResNet", "ACT"])
def test_several_cameras_and_measurements_train_load_and_drive(
    network: str, road_recording: Path, tmp_path: Path
) -> None:
    learner = BehavioralCloning(
        road_recording, **QUICK, network=network, cameras=ALL, past_frames=1,
        inputs=("speed", "steering", "throttle", "brake"), folder=tmp_path,
    )  # fmt: skip
    policy = learner.learn()
    loaded = load_policy(tmp_path)
    assert cameras_for(loaded) == ALL
    assert loaded.inputs == ("speed", "steering", "throttle", "brake")
    with gymnasium.make("UdacitySim-v0", cameras=CAMERAS, max_seconds=0.5) as env:
        first, second = (
            [step.decision.action for step in drive(env, driver, steps=4, seed=0)]  # type: ignore[union-attr]
            for driver in (policy, loaded)
        )
        np.testing.assert_array_equal(first, second)
        wrapped = fit_to(policy, env)  # for loops of one's own
        observation, _ = wrapped.reset(seed=0)
        np.testing.assert_allclose(policy.predict(observation)[0], first[0], atol=1e-6)
    np.testing.assert_array_equal(
        replay(loaded, learner.validation_frames).actions, replay(policy, learner.validation_frames).actions
    )


def test_the_best_epoch_by_driving_is_found_with_several_cameras(road_recording: Path) -> None:
    learner = BehavioralCloning(road_recording, **QUICK, cameras=ALL, select="driving", drive_seconds=1.0)
    learner.learn()
    assert learner.epoch_log[0].score is not None


def test_what_is_in_force_is_what_the_row_before_did(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path) as writer:
        for i in range(4):
            writer.write(
                road_images(0.0), steering=i / 10, throttle=0.5, brake=0.25, speed=9.0 + i, time=i / 10,
                extra={"yaw_rate": 0.5 * i},
            )  # fmt: skip
        writer.new_episode()
        writer.write(road_images(0.0), steering=0.9, throttle=0.5, brake=0.0, speed=9.0, time=0.0)
    frames = Frames.of([open_recording(tmp_path)])
    measured = frames.measurements(("steering", "brake", "speed"))
    np.testing.assert_allclose(measured[:, 0], [0.0, 0.0, 0.1, 0.2, 0.0], atol=1e-6)
    np.testing.assert_allclose(measured[:, 1], [0.0, 0.25, 0.25, 0.25, 0.0])
    np.testing.assert_allclose(measured[:4, 2], [9.0, 10.0, 11.0, 12.0], atol=0.01)
    np.testing.assert_allclose(frames.select(slice(0, 4)).measurements(("yaw_rate",))[:, 0], [0, 0.5, 1, 1.5])
    with pytest.raises(RecordingError, match=r"row 5: .*yaw_rate=None, .* leave this input out"):
        frames.measurements(("yaw_rate",))


def test_recorded_measurements_are_those_of_driving(tmp_path: Path) -> None:
    """A policy that is driven gets the numbers that it was trained on."""
    from udacity_gym.experts import PurePursuit
    from udacity_gym.recording import record

    env = gymnasium.make("UdacitySim-v0")
    names = ("speed", "steering", "throttle", "brake")
    seen: list[list[float]] = []

    class Listening(PurePursuit):
        def __call__(self, observation: Any, info: Any) -> Any:
            seen.append([float(info[name]) for name in names])
            return super().__call__(observation, info)

    recording = record(env, Listening("lake"), tmp_path, seconds=2.0, seed=0)
    env.close()
    np.testing.assert_allclose(Frames.of([recording]).measurements(names), seen, atol=1e-3)


def test_a_mirrored_world_has_the_mirrored_steering_in_force(tmp_path: Path) -> None:
    frames = Frames.of([open_recording(write_road_recording(tmp_path, np.linspace(-1, 1, 30)))])
    always = Augmentation(flip=1.0, shift=0.5, turn=0, vertical=0, brightness=0, shadow=0)
    config = TrainingConfig(inputs=("speed", "steering"), augmentation=always, side_cameras=0.0)
    rows = np.arange(3, 9)
    batch = TrainingSet(frames, config).augmented_batch(rows, np.random.default_rng(0))
    np.testing.assert_allclose(batch.measurements[:, 1], -frames.steering[rows - 1], atol=1e-6)
    np.testing.assert_allclose(batch.measurements[:, 0], frames.speed[rows])


def test_a_measurement_of_ones_own_is_used_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OptionError, match="inputs="):
        TrainingConfig(inputs=("yaw_rate",))
    monkeypatch.setitem(MEASUREMENTS, "yaw_rate", "rad/s, positive turns left")
    with RecordingWriter(tmp_path / "laps") as writer:
        for i in range(30):
            writer.write(
                road_images(0.0), steering=0.0, throttle=0.5, brake=0.0, speed=9.0, time=i / 15,
                extra={"yaw_rate": i / 30},
            )  # fmt: skip
    policy = BehavioralCloning(tmp_path / "laps", **QUICK, inputs=("yaw_rate",), gap=0.0).learn()
    slow, fast = (
        policy.predict({"center": road_image(0.0), "yaw_rate": np.array([rate], np.float32)})[0]
        for rate in (0.0, 2.0)
    )
    assert np.abs(slow - fast).max() > 1e-4


@pytest.mark.parametrize("learner", [BehavioralCloning, partial(DAgger, env=object, expert=lambda *_: None)])
@pytest.mark.parametrize("name", ["speed", "throttle", "brake"])
def test_what_was_not_recorded_is_no_input(
    learner: Any, name: str, road_recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing learns from zeros in silence, and nothing is decoded before that is found."""
    monkeypatch.setattr(Recording, "check", None)
    poor = log_without(road_recording, tmp_path / "poor", name)
    inputs = ("steering", name)
    message = rf"poor.*{name} was not recorded.*take inputs=\('steering',\), or leave out the recording"
    with pytest.raises(RecordingError, match=message):
        learner([road_recording, poor], inputs=inputs, throttle="speed_control", target_speed=9.0)
    if name != "speed":
        message = rf'{name} was not recorded, so the throttle.*choose throttle="speed_control", with a target'
        with pytest.raises(RecordingError, match=message):
            learner(poor, throttle="learned")


@pytest.mark.parametrize("names", [("throttle", "brake"), ("brake",)])
def test_a_throttle_that_was_not_recorded_is_left_to_a_controller(
    names: tuple[str, ...], road_recording: Path, tmp_path: Path
) -> None:
    poor = log_without(road_recording, tmp_path / "poor", *names)
    learner = BehavioralCloning(poor, **QUICK)
    assert learner.throttle_reason == f'throttle="speed_control": the {names[0]} was not recorded everywhere'
    assert learner.learn().actions == ("steering",)


def test_arrays_without_speed_or_throttle_say_so() -> None:
    images = np.stack([road_image(0.0)] * 8)
    steering = np.zeros((8, 1), np.float32)
    frames = Frames.from_arrays(images, steering)
    with pytest.raises(RecordingError, match="speed was not recorded"):
        frames.select(slice(2, 5)).measurements(("speed",))
    with pytest.raises(RecordingError, match="the throttle was not recorded"):
        TrainingSet(frames, TrainingConfig(throttle="learned"))
    frames = Frames.from_arrays(images, steering, speed=np.full(8, 9.0))
    np.testing.assert_array_equal(frames.measurements(("speed",)), np.full((8, 1), 9.0))
    assert Training(TrainingConfig(device="cpu"), frames).config.throttle == "speed_control"


@pytest.mark.parametrize("options", [{"inputs": ("speed",)}, {"actions": ("steering",), "target_speed": 9.0}])
def test_an_environment_without_speed_is_refused_with_advice(options: dict[str, Any]) -> None:
    outputs, measurements = len(options.get("actions", "12")), len(options.get("inputs", ""))
    network = make_network("PilotNet", outputs, measurements=measurements)
    driver = PolicyDriver(NetworkPolicy(network, Preprocessing(), **options))
    driver.decide(road_image(0.0), {"time": 0.0, "speed": 5.0})
    for info in ({"time": 0.0}, {"time": 0.0, "speed": None}):
        with pytest.raises(
            ObservationError, match="has no speed; use a simulator that reports it, or a policy"
        ):
            driver.decide(road_image(0.0), info)
