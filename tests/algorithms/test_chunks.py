"""Chunks of actions: targets of several steps, temporal ensembling, and the queue of actions."""

import math
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from simple_road import road_image, road_images, write_road_recording
from torch import Tensor, nn

from algorithms import (
    Batch,
    BehavioralCloning,
    Chunks,
    Ensemble,
    Frames,
    NetworkPolicy,
    PilotNet,
    Preprocessing,
    Training,
    TrainingConfig,
    load_policy,
)
from algorithms.base import ObservationError
from algorithms.training.augment import Augmentation
from algorithms.training.training_set import TrainingSet
from udacity_gym.driving import drive
from udacity_gym.errors import OptionError
from udacity_gym.recording import RecordingWriter, open_recording

NOTHING = Augmentation(flip=0, shift=0, turn=0, vertical=0, brightness=0, shadow=0)


class Counting(nn.Module):
    """Predicts 0.01 for the present step in its first call, 0.02 for the next; 0.11 in its second call."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs, self.calls = outputs, 0
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, images: Tensor) -> Tensor:
        steps = torch.arange(1, self.outputs + 1) * 0.01 + 0.1 * self.calls
        self.calls += 1
        return steps.expand(len(images), -1)


def make_policy(chunks: Chunks) -> NetworkPolicy:
    return NetworkPolicy(Counting(chunks.size), Preprocessing(), ("steering",), 9.0, chunks=chunks)


def steer(policy: Any, steps: int, begins: dict[int, bool] | None = None) -> list[float]:
    state, actions = None, []
    for step in range(steps):
        start = None if begins is None else np.array([begins.get(step, False)])
        action, state = policy.predict(road_image(0.0), state, start)
        actions.append(float(action[0]))
    return actions


def test_a_queue_is_executed_to_its_end_before_the_network_runs_again() -> None:
    policy = make_policy(Chunks(4, action_steps=3))
    assert steer(policy, 7) == pytest.approx([0.01, 0.02, 0.03, 0.11, 0.12, 0.13, 0.21])
    assert policy.network.calls == 3


def test_an_episode_begins_with_a_new_chunk() -> None:
    policy = make_policy(Chunks(4, action_steps=3))
    assert steer(policy, 5, {0: True, 2: True}) == pytest.approx([0.01, 0.02, 0.11, 0.12, 0.13])


def test_the_predictions_for_a_step_are_averaged_with_the_weights_of_the_paper() -> None:
    decay = 0.7
    policy = make_policy(Chunks(3, ensemble_decay=decay))
    expected = []
    for step in range(5):
        ages = range(min(step, 2), -1, -1)  # the oldest first
        predictions = [0.1 * (step - age) + 0.01 * (age + 1) for age in ages]
        weights = np.exp(-decay * np.arange(len(predictions)))
        expected.append(float(np.average(predictions, weights=weights)))
    assert steer(policy, 5) == pytest.approx(expected, abs=1e-6)


def test_without_averaging_the_newest_prediction_counts() -> None:
    assert steer(make_policy(Chunks(3, ensemble_decay=None)), 3) == pytest.approx([0.01, 0.11, 0.21])


def test_cars_side_by_side_have_chunks_of_their_own() -> None:
    """The network runs for the car that begins an episode only; the other one goes on with its queue."""
    policy = make_policy(Chunks(4, action_steps=4))
    images = np.stack([road_image(0.0)] * 2)
    _, state = policy.predict(images)
    actions, state = policy.predict(images, state, np.array([False, True]))
    assert actions[:, 0].tolist() == pytest.approx([0.02, 0.11])
    actions, state = policy.predict(images, state, np.array([False, False]))
    assert actions[:, 0].tolist() == pytest.approx([0.03, 0.12])
    with pytest.raises(ObservationError, match=r"3 cars need .*state=None"):
        policy.predict(np.stack([road_image(0.0)] * 3), state)


def test_predicting_does_not_change_the_state_it_was_given() -> None:
    for chunks in (Chunks(3), Chunks(3, action_steps=2)):
        policy = make_policy(chunks)
        _, state = policy.predict(road_image(0.0))
        assert state is not None
        before = [part.copy() for part in state]
        policy.predict(road_image(0.0), state)
        for part, old in zip(state, before, strict=True):
            np.testing.assert_array_equal(part, old)


def test_members_of_an_ensemble_keep_their_own_chunks() -> None:
    members = [make_policy(Chunks(3, action_steps=3)) for _ in range(2)]
    assert steer(Ensemble(members), 4) == pytest.approx([0.01, 0.02, 0.03, 0.11])


@pytest.mark.parametrize("wrong", [{"size": 0}, {"size": 2, "action_steps": 3}, {"ensemble_decay": math.nan}])
def test_chunks_that_can_not_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        Chunks(**wrong)
    names = {"size": "chunk_size"}
    with pytest.raises(OptionError):
        TrainingConfig(**{names.get(name, name): value for name, value in wrong.items()})


def write_counted(folder: Path, episodes: int = 2, rows: int = 6, cut_after: int | None = None) -> Path:
    """Steering of row i is i / 100; the time jumps after a row."""
    with RecordingWriter(folder) as writer:
        for number in range(episodes):
            if number:
                writer.new_episode()
            for i in range(rows):
                jump = 5.0 if cut_after is not None and i > cut_after else 0.0
                writer.write(
                    road_images(0.0), steering=(10 * number + i) / 100, throttle=0.5, brake=0.0, speed=10.0,
                    time=i / 10 + jump,
                )  # fmt: skip
    return folder


def steps_of(frames: Frames, size: int) -> tuple[NDArray[Any], NDArray[Any]]:
    rows, valid = frames.future(size)
    return (frames.steering[rows] * 100).round().astype(int), valid


def test_targets_end_with_the_episode(tmp_path: Path) -> None:
    frames = Frames.of([open_recording(write_counted(tmp_path / "laps"))])
    steps, valid = steps_of(frames, 3)
    assert steps[0].tolist() == [0, 1, 2]
    assert steps[4].tolist() == [4, 5, 5]
    assert valid[4].tolist() == [True, True, False]
    assert steps[5].tolist() == [5, 5, 5]
    assert steps[6].tolist() == [10, 11, 12]


def test_targets_end_at_a_cut_and_where_rows_were_held_out(tmp_path: Path) -> None:
    cut = Frames.of([open_recording(write_counted(tmp_path / "cut", 1, 6, cut_after=2))])
    steps, valid = steps_of(cut, 3)
    assert steps[1].tolist() == [1, 2, 2]
    assert valid[2].tolist() == [True, False, False]
    assert steps[3].tolist() == [3, 4, 5]
    frames = Frames.of([open_recording(write_counted(tmp_path / "laps", 1, 10))])
    train, validation = frames.split(0.3, 0.0)
    assert steps_of(train, 4)[0].max() == 6
    assert steps_of(validation, 2)[0][:, 0].tolist() == [7, 8, 9]


def test_batches_have_the_labels_of_all_steps(tmp_path: Path) -> None:
    frames = Frames.of([open_recording(write_counted(tmp_path / "laps"))])
    config = TrainingConfig(chunk_size=3, augmentation=NOTHING, side_cameras=0.0)
    batch = TrainingSet(frames, config).augmented_batch(np.array([0, 5]), np.random.default_rng(0))
    np.testing.assert_allclose(batch.targets[0], [[0.0, 0.5], [0.01, 0.5], [0.02, 0.5]], atol=1e-6)
    assert batch.valid.tolist() == [[True] * 3, [True, False, False]]


def test_later_steps_of_a_moved_car_need_less_correction(tmp_path: Path) -> None:
    frames = Frames.of([open_recording(write_counted(tmp_path / "laps", 1, 12))])
    config = TrainingConfig(chunk_size=8, augmentation=NOTHING, side_cameras=1.0, recovery_time=0.5)
    batch = TrainingSet(frames, config).augmented_batch(np.array([0]), np.random.default_rng(0))
    correction = batch.targets[0, :, 0].numpy() - np.arange(8) / 100
    shares = correction / correction[0]
    np.testing.assert_allclose(shares, [1.0, 0.8, 0.6, 0.4, 0.2, 0.0, 0.0, 0.0], atol=1e-4)


def test_mirrored_chunks_are_mirrored_as_a_whole(tmp_path: Path) -> None:
    frames = Frames.of([open_recording(write_counted(tmp_path / "laps"))])
    always = Augmentation(flip=1.0, shift=0, turn=0, vertical=0, brightness=0, shadow=0)
    config = TrainingConfig(chunk_size=3, augmentation=always, side_cameras=0.0)
    batch = TrainingSet(frames, config).augmented_batch(np.array([2]), np.random.default_rng(0))
    np.testing.assert_allclose(batch.targets[0, :, 0], [-0.02, -0.03, -0.04], atol=1e-6)


def test_steps_after_the_end_do_not_count_in_the_loss() -> None:
    config = TrainingConfig(chunk_size=3, throttle="speed_control", target_speed=9.0, loss="mae")
    policy = NetworkPolicy.from_config(config, target_speed=9.0)
    images = torch.zeros(2, 66, 200, 3, dtype=torch.uint8)
    targets = torch.zeros(2, 3, 1)
    valid = torch.tensor([[True, True, True], [True, False, False]])
    out = policy.run_network(images, torch.zeros(2, 0))[..., 0].reshape(2, 3)
    loss, metrics = policy.loss(Batch(images, torch.zeros(2, 0), targets, valid))
    assert loss.item() == pytest.approx((out.abs() * valid).sum().item() / 6)
    torch.testing.assert_close(metrics["steering_mae"], out[:, 0].abs())


def test_a_mean_can_not_leave_out_steps(tmp_path: Path) -> None:
    frames = Frames.of([open_recording(write_counted(tmp_path / "laps"))])
    with pytest.raises(OptionError, match="chunk_size=3 a loss must return the loss of each sample"):
        Training(TrainingConfig(chunk_size=3, loss=nn.L1Loss()), frames).run()


@pytest.mark.parametrize(
    "options",
    [
        {"network": "ACT", "loss": "mae", "inputs": ("speed",)},
        {"network": "PilotNet", "loss": "gmm", "past_frames": 1},
        {"network": "PilotLSTM", "loss": "gaussian", "past_frames": 1, "action_steps": 2},
    ],
)
def test_chunks_are_trained_saved_loaded_and_driven(
    road_recording: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    learner = BehavioralCloning(
        road_recording, epochs=1, steps_per_epoch=2, batch_size=8, threads=2, chunk_size=4, device="cpu",
        progress=False, folder=tmp_path, **options,
    )  # fmt: skip
    policy = learner.learn()
    loaded = load_policy(tmp_path)
    assert isinstance(loaded, NetworkPolicy)
    assert loaded.chunks == policy.chunks == Chunks(4, options.get("action_steps", 1))
    assert "chunk_size=4" in repr(loaded)
    env = gymnasium.make("UdacitySim-v0")
    first, second = (
        [step.decision.action for step in drive(env, driver, steps=5, seed=0)]  # type: ignore[union-attr]
        for driver in (policy, loaded)
    )
    env.close()
    np.testing.assert_array_equal(first, second)


@pytest.mark.long
@pytest.mark.parametrize("latent", [0, 8])
def test_act_learns_the_bends_ahead(tmp_path: Path, latent: int) -> None:
    """Steering that the image shows now, and that goes on as it is."""
    rng = np.random.default_rng(0)
    offsets = np.repeat(rng.uniform(-1.2, 1.2, 40), 8)
    laps = write_road_recording(tmp_path / "laps", offsets)
    policy = BehavioralCloning(
        laps, epochs=12, batch_size=32, network="ACT", loss="mae", chunk_size=3, validation=0.0, device="cpu",
        progress=False, learning_rate=5e-4, latent=latent,
    ).learn()  # fmt: skip
    images = [road_image(offset) for offset in np.linspace(-1.0, 1.0, 9).tolist()]
    steering = np.array([policy.predict(image)[0][0] for image in images])
    assert np.corrcoef(steering, np.linspace(1.0, -1.0, 9))[0, 1] > 0.95


ACT_32: dict[str, Any] = {"network": "ACT", "chunk_size": 4, "latent": 32, "loss": "mae", "device": "cpu"}


def act_batch(policy: NetworkPolicy, n: int = 6) -> Batch:
    rng = np.random.default_rng(0)
    targets = torch.from_numpy(rng.uniform(-1, 1, (n, 4, 2)).astype(np.float32))
    images = torch.from_numpy(rng.integers(0, 256, (n, *policy.preprocessing.size, 3), np.uint8))
    return Batch(images, torch.empty(n, 0), targets, torch.ones(n, 4, dtype=torch.bool))


def test_the_loss_of_act_has_the_divergence_of_its_latent_variable() -> None:
    policy = NetworkPolicy.from_config(TrainingConfig(**ACT_32, throttle="learned", kl_weight=0.0))
    batch = act_batch(policy)
    policy.network.train()
    losses = {}
    for policy.kl_weight in (0.0, 1.0, 10.0):
        torch.manual_seed(0)
        losses[policy.kl_weight], metrics = policy.loss(batch)
    mean, log_variance = policy.network.encode(batch.targets, batch.valid)  # type: ignore[operator]
    assert mean.shape == log_variance.shape == (6, 32)
    normal = torch.distributions.Normal(mean, torch.exp(0.5 * log_variance))
    divergence = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum(dim=1)
    torch.testing.assert_close(metrics["kl"], divergence.detach())
    for weight in (1.0, 10.0):
        assert losses[weight].item() == pytest.approx((losses[0.0] + weight * divergence.mean()).item())
    losses[10.0].backward()
    used = [p.grad for p in policy.network.encode.parameters()]  # type: ignore[union-attr]
    assert all(gradient is not None for gradient in used)


def test_the_encoder_of_act_sees_no_steps_after_the_end() -> None:
    policy = NetworkPolicy.from_config(TrainingConfig(**ACT_32, throttle="learned"))
    batch = act_batch(policy)
    batch.valid[:, 2:] = False
    other = batch.targets.clone()
    other[:, 2:] = 0.9
    encode: Any = policy.network.encode
    torch.testing.assert_close(encode(batch.targets, batch.valid), encode(other, batch.valid))
    other[:, 1] = 0.9
    assert not torch.allclose(encode(batch.targets, batch.valid)[0], encode(other, batch.valid)[0])


def test_act_drives_with_a_latent_variable_of_zero(tmp_path: Path) -> None:
    policy = NetworkPolicy.from_config(TrainingConfig(**ACT_32, throttle="learned"))
    batch = act_batch(policy)
    with torch.no_grad():
        zero = policy.run_network(batch.images, batch.measurements, torch.zeros(6, 32))
        torch.testing.assert_close(policy.run_network(batch.images, batch.measurements), zero)
        other = policy.run_network(batch.images, batch.measurements, torch.ones(6, 32))
        assert (other - zero).abs().max() > 1e-3
        assert "kl" not in policy.loss(batch)[1]  # validation judges what drives
    image = road_image(0.3)
    loaded = load_policy(policy.save(tmp_path / "policy"))
    np.testing.assert_array_equal(loaded.predict(image)[0], policy.predict(image)[0])
    np.testing.assert_array_equal(policy.predict(image)[0], policy.predict(image)[0])
    with pytest.raises(OptionError, match="network 'PilotNet' can't take latent; ACT can"):
        NetworkPolicy.from_config(TrainingConfig(latent=8, throttle="learned"))


class Autoencoder(PilotNet):
    """A network with an ``encode`` of its own, which is no encoder of a latent variable."""

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        raise AssertionError("not for actions")


def test_a_network_without_a_latent_variable_may_have_an_encoder() -> None:
    policy = NetworkPolicy(Autoencoder(8), Preprocessing(), chunks=Chunks(4))
    policy.network.train()
    assert "kl" not in policy.loss(act_batch(policy))[1]


def test_a_training_with_a_latent_variable_repeats_itself_and_resumes(tmp_path: Path) -> None:
    laps = write_road_recording(tmp_path / "laps", np.linspace(-1.0, 1.0, 24))
    options: dict[str, Any] = {
        **ACT_32, "batch_size": 8, "steps_per_epoch": 2, "validation": 0.25,
        "gap": 0.0, "threads": 2, "progress": False,
    }  # fmt: skip
    first, again = (BehavioralCloning(laps, epochs=2, **options) for _ in range(2))
    policies = [first.learn(), again.learn()]
    assert first.epoch_log == again.epoch_log
    assert first.epoch_log[-1].metrics["train/kl"] >= 0.0
    image = road_image(0.3)
    np.testing.assert_array_equal(policies[0].predict(image)[0], policies[1].predict(image)[0])

    def stop(epoch: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        BehavioralCloning(laps, epochs=2, folder=tmp_path / "run", **options).learn(stop)
    resumed = BehavioralCloning(laps, epochs=2, folder=tmp_path / "run", **options).learn()
    np.testing.assert_array_equal(resumed.predict(image)[0], policies[0].predict(image)[0])
