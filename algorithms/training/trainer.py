"""Supervised training: epochs, validation, the best policy, and resuming after an interruption."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from algorithms.base import TrainingError
from algorithms.checks import START_OVER, check_same_settings
from algorithms.older_files import upgrade_training
from algorithms.policies.batch import Batch
from algorithms.policies.checkpoint import check_tensors, read_checkpoint, write_checkpoint
from algorithms.policies.device import (
    describe_device,
    forked_random_state,
    keep_freed_memory,
    torch_threads,
)
from algorithms.policies.network_policy import NetworkPolicy
from algorithms.policies.networks import network_name
from algorithms.tracking import TrackerLike, log_numbers, open_tracker
from algorithms.training.config import TrainingConfig
from algorithms.training.data import Frames
from algorithms.training.optimizers import Schedule, make_optimizer
from algorithms.training.throttle import choose_throttle
from algorithms.training.training_set import TrainingSet
from udacity_gym.errors import CheckpointError, OptionError
from udacity_gym.progress import progress_bar
from udacity_gym.recording.frames import ImageCache, ordered_map

STATE_FORMAT = "udacity-gym-training-state"
STATE_VERSION = 4
"""Version 3 had only Adam, under "adam", and its own schedules. Versions 1 and 2 used other names."""

STEERING_MAE = "steering_mae"
"""The metric that the epoch log has for itself."""


@dataclass(frozen=True)
class Epoch:
    """Results of an epoch.

    Attributes:
        epoch: number of the epoch, from 1.
        train_loss: mean loss over the epoch's augmented batches.
        validation_loss: loss on the validation rows, through the centre camera and not augmented; None
            if no rows were set aside.
        steering_mae: mean absolute steering error on them, in shares of full lock.
        score: score of the judge, greater is better; None if there is no judge or it was not asked.
        metrics: other measures of the policy's loss, see `NetworkPolicy.loss`: "train/NAME" over the
            augmented batches, "validation/NAME" over the validation rows.
    """

    epoch: int
    train_loss: float
    validation_loss: float | None
    steering_mae: float | None
    score: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


class TrainingStep(NamedTuple):
    """How far a training is, after a step of the optimizer.

    Attributes:
        epoch: number of the epoch, from 1.
        epochs: number of epochs.
        step: number of the step within the epoch, from 1.
        steps: number of steps of an epoch.
        network: number of the network, from 1, if several are trained one after another.
        networks: number of networks.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    network: int = 1
    networks: int = 1


class Training:
    """One training run: a network, rows to train on, and a number of epochs.

    All randomness of an epoch follows from (seed, number of the epoch), so a run that resumes from a
    saved epoch has the same result as an uninterrupted one.

    Learners on growing data make a `Training` each round: ``initial`` continues with the weights of the
    round before, ``cache`` keeps its images, ``steps_per_epoch`` keeps rounds equally long.

    Example:
        >>> config = TrainingConfig(epochs=2, steps_per_epoch=50)
        >>> cache = ImageCache(config.preprocessing, config.memory_budget)
        >>> policy = None
        >>> for rounds in ([first], [first, second]):                              # doctest: +SKIP
        ...     policy = Training(config, Frames.of(rounds), initial=policy, cache=cache).run()

    Attributes:
        config: all settings.
        cameras: cameras to train with, the centre camera first.
        target_speed: m/s, speed for a steering-only policy, else None.
        throttle_reason: what ``throttle="auto"`` has chosen and why; None if the settings had chosen.
        epoch_log: results of each finished epoch.
        policy: the policy in training; it owns the loss.
        network: its network.
        best: weights of the best epoch so far: the epoch with the greatest score if there is a judge, else
            with the least validation loss, else the last one.
    """

    def __init__(
        self,
        config: TrainingConfig,
        train: Frames,
        validation: Frames | None = None,
        *,
        folder: Path | None = None,
        initial: NetworkPolicy | None = None,
        cache: ImageCache | None = None,
        judge: Callable[[NetworkPolicy], float] | None = None,
        learner: str = "Training",
        source: str | None = None,
        tracker: TrackerLike = "tensorboard",
    ) -> None:
        """Prepare a run.

        Args:
            config: all settings.
            train: rows to train on.
            validation: rows to validate on; None or no rows: the last epoch is the best one.
            folder: of the run: ``policy/`` has the best checkpoint so far, ``state/`` the data needed to
                resume. A run that was interrupted in this folder is resumed. None
                keeps nothing.
            initial: a policy to start from, with the same network; its weights are copied. None starts
                from random weights.
            cache: reads images, and keeps those of earlier runs; None makes one of ``config.memory_budget``
                bytes.
            judge: returns the score of a policy, greater is better, for example by driving; called every
                ``config.judge_every`` epochs and after the last one, and decides which epoch is the best.
            learner: name of the learner, for the checkpoint.
            source: hash of the recordings, for `check_begun_training`.
            tracker: shows the results; a name needs a folder.

        Raises:
            OptionError: The initial policy or the cache does not fit the settings.
            RecordingError: There are no rows, or none has an image of the centre camera.
        """
        config, self.throttle_reason = choose_throttle(config, train, initial)
        self.config, self.folder, self._learner, self._source = config, folder, learner, source
        self._judge, self._tracker = judge, tracker
        self.epoch_log: list[Epoch] = []
        self._train = TrainingSet(train, config, cache)
        self.cameras, self.target_speed = self._train.cameras, self._train.target_speed
        validation = train.select(slice(0, 0)) if validation is None else validation
        self._validation = TrainingSet(validation, config, self._train.cache)
        self._threads = config.threads or min(os.cpu_count() or 1, 4)
        self._rows = (
            len(train) if config.steps_per_epoch is None else config.steps_per_epoch * config.batch_size
        )
        self._steps = -(-self._rows // config.batch_size)
        self.policy = config.policy.from_config(config, target_speed=self.target_speed)
        self.network = self.policy.network
        if initial is not None:
            check_initial(initial, self.network, config)
            self.network.load_state_dict(initial.network.state_dict())
        self.policy.to(config.device, config.precision)
        self._parameters = [value for value in self.network.parameters() if value.requires_grad]
        if not self._parameters:
            raise OptionError(
                f"network={network_name(config.network)} has nothing to train: all its parameters are frozen "
                "(requires_grad=False)"
            )
        self._optimizer = make_optimizer(
            config.optimizer,
            self._parameters,
            config.learning_rate,
            config.weight_decay,
            config.optimizer_options,
        )
        self._schedule = Schedule(
            config.schedule,
            self._optimizer,
            config.learning_rate,
            config.epochs,
            self._steps,
            config.schedule_options,
        )
        self._fingerprint = self._hash_data(initial) if folder is not None else ""
        self._best_value = math.inf  # loss, or score with its sign turned
        self.best = _copy(self.network)

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return self.policy.device

    def run(
        self,
        progress: bool = False,
        after_epoch: Callable[[Epoch], object] | None = None,
        after_step: Callable[[TrainingStep], object] | None = None,
    ) -> NetworkPolicy:
        """Train to the end, or resume the training in the same folder.

        Args:
            progress: show a progress bar.
            after_epoch: called with the results of each epoch, after they have been written to disk.
            after_step: called after each step of the optimizer.

        Returns:
            The policy of the best epoch.

        Raises:
            CheckpointError: The folder holds a training with other settings or other data.
            TrainingError: The loss is no longer finite.
        """
        self._resume()
        parts = self._count_parts()
        # Within an operation; with several parts, threads compute them, see `_step`.
        threads = torch_threads(1 if parts > 1 else self._threads)
        keep_freed_memory()
        done = len(self.epoch_log)
        bar = progress_bar(
            progress,
            total=self.config.epochs * self._steps,
            initial=len(self.epoch_log) * self._steps,
            unit="batch",
            desc=f"training on {self.device}",
        )
        tracking = open_tracker(self._tracker, self.folder, done)
        try:
            with (
                tracking as tracker,
                threads,
                forked_random_state(self.device),
                ThreadPoolExecutor(parts) as pool,
            ):
                if tracker is not None:
                    tracker.log({"device": self._describe_computation(parts)}, done)
                while len(self.epoch_log) < self.config.epochs and not self._is_out_of_patience():
                    epoch = self._epoch(len(self.epoch_log), pool, parts, bar, after_step)
                    self._keep(epoch)
                    if tracker is not None:
                        log_numbers(tracker, _values(epoch), epoch.epoch)
                    bar.set_postfix(_postfix(epoch))
                    if after_epoch is not None:
                        after_epoch(epoch)
        finally:
            bar.close()
        policy = self._policy(self.best)
        if self.folder is not None:
            policy.save(self.folder / "policy")  # once more, with the whole epoch log
        return policy

    def _describe_computation(self, parts: int) -> str:
        """Device, precision and threads, for the log."""
        how = f", {parts} parts of a batch in parallel" if parts > 1 else ""
        return f"{describe_device(self.device)}, {self.config.precision}{how}, torch {torch.__version__}"

    def _count_parts(self) -> int:
        """Number of parts of each batch that are computed in parallel.

        The loss of a batch can be computed in parts if it is the mean of the losses of its parts. It is not
        with dropout or other random numbers, batch normalisation, or layers that change in ``forward``. A
        small batch shows which is the case, whatever the network is made of.
        """
        parts = min(self._threads, self.config.batch_size)
        if self.device.type != "cpu" or parts < 2 or self._is_divisible:
            return parts if self.device.type == "cpu" else 1
        return 1

    @functools.cached_property
    def _is_divisible(self) -> bool:
        """Whether the loss of a batch is the mean of those of its parts, and computing it changes nothing."""
        rows = np.arange(4) % len(self._train)
        batch = self._train.recorded_batch(rows)
        noise = torch.from_numpy(np.random.default_rng(0).integers(0, 256, batch.images.shape, np.uint8))
        batch = batch._replace(images=noise)  # recorded images may be all alike
        network, before, precision = self.network, _copy(self.network), self.policy.precision
        network.train()
        self.policy.precision = "float32"  # in which parts and whole differ by rounding only
        with forked_random_state(self.device), torch.no_grad():
            state = torch.get_rng_state()
            whole, again = (float(self.policy.loss(batch)[0]) for _ in range(2))
            parts = [float(self.policy.loss(part)[0]) for part in batch.split(2)]
            is_random = not torch.equal(state, torch.get_rng_state())
        changes = any(not torch.equal(value, before[name]) for name, value in network.state_dict().items())
        network.load_state_dict(before)
        self.policy.precision = precision
        is_mean = math.isclose(whole, sum(parts) / 2, rel_tol=1e-3, abs_tol=1e-5)
        return whole == again and is_mean and not is_random and not changes

    def _epoch(
        self,
        number: int,
        pool: Executor,
        parts: int,
        bar: Any,
        after_step: Callable[[TrainingStep], object] | None,
    ) -> Epoch:
        rng = np.random.default_rng([self.config.seed, number])
        torch.manual_seed(int(np.random.SeedSequence((self.config.seed, number)).generate_state(1)[0]))
        order, size = self._train.draw_rows(rng, self._rows), self.config.batch_size
        self.network.train()
        total, metrics = 0.0, _Means()

        def make(step: int) -> Batch:
            return self._train.augmented_batch(order[step * size : (step + 1) * size], rng)

        # One worker makes one batch after the other, so that the order of random draws is fixed.
        for step, batch in enumerate(ordered_map(make, range(self._steps), workers=1, prefetch=1)):
            self._schedule.before_step(number * self._steps + step)
            loss = self._step(batch, pool, parts, metrics)
            self._schedule.after_step()
            if not math.isfinite(loss):
                raise self._diverged(f"the loss of step {step + 1} of {self._steps} is {loss}", number)
            total += loss * batch.size
            bar.update()
            if after_step is not None:
                after_step(TrainingStep(number + 1, self.config.epochs, step + 1, self._steps))
        train_loss = total / len(order)
        validation_loss, validation_metrics = self._validate()
        if not all(bool(value.isfinite().all()) for value in self.network.parameters()):
            raise self._diverged("weights are no longer finite after the last step", number)
        if validation_loss is not None and not math.isfinite(validation_loss):
            raise self._diverged(f"the validation loss is {validation_loss}", number)
        self._schedule.after_epoch(train_loss if validation_loss is None else validation_loss)
        mae = validation_metrics.pop(STEERING_MAE, None)
        others = {f"train/{name}": value for name, value in metrics.values().items() if name != STEERING_MAE}
        others |= {f"validation/{name}": value for name, value in validation_metrics.items()}
        return Epoch(number + 1, train_loss, validation_loss, mae, self._score(number + 1), others)

    def _score(self, epoch: int) -> float | None:
        """The judge's score of the network, if it is asked after this epoch."""
        if self._judge is None or (epoch % self.config.judge_every and epoch < self.config.epochs):
            return None
        threads = torch.get_num_threads()
        with forked_random_state(self.device):
            score = float(self._judge(self._policy(self.network.state_dict())))
        torch.set_num_threads(threads)
        if not math.isfinite(score):
            raise self._diverged(f"the judge's score is {score}", epoch - 1)
        return score

    def _diverged(self, what: str, epoch: int) -> TrainingError:
        elsewhere = "" if self.folder is None else ", and train in another folder"
        return TrainingError(
            f"training diverged in epoch {epoch + 1}: {what}; "
            f"lower learning_rate={self.config.learning_rate:g}{elsewhere}"
        )

    def _step(self, batch: Batch, pool: Executor, parts: int, metrics: _Means) -> float:
        """One step of the optimizer; returns the batch's loss.

        On a CPU, the batch is split into parts, and a thread computes the gradients of each. Threads within
        every operation, as torch has them, synchronise once per layer; these synchronise once per step, which
        is faster on few cores and much faster if other programs use them too.
        """

        def compute_part(part: Batch) -> tuple[float, dict[str, Tensor], tuple[Tensor | None, ...]]:
            loss, measured = self.policy.loss(part.to(self.device))
            loss = loss * (part.size / batch.size)
            gradients = torch.autograd.grad(loss, self._parameters, allow_unused=True)
            return loss.item(), measured, gradients

        pieces = batch.split(min(parts, batch.size))
        # With a single part, in this thread: torch's random generators and settings are those of the thread.
        results = list((pool.map if parts > 1 else map)(compute_part, pieces))
        for part, (_, measured, _) in zip(pieces, results, strict=True):
            metrics.add(measured, part.size)
        columns = zip(*(gradients for *_, gradients in results), strict=True)
        for parameter, gradients in zip(self._parameters, columns, strict=True):
            used = [gradient for gradient in gradients if gradient is not None]
            parameter.grad = functools.reduce(torch.add, used) if used else None
        if self.config.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(self._parameters, self.config.max_grad_norm)
        self._optimizer.step()
        return sum(loss for loss, *_ in results)

    @torch.inference_mode()
    def _validate(self) -> tuple[float | None, dict[str, float]]:
        """Loss and metrics on the validation rows; None and {} without any."""
        count, size = len(self._validation), self.config.batch_size
        if not count:
            return None, {}
        self.network.eval()
        total, metrics = 0.0, _Means()
        for start in range(0, count, size):
            batch = self._validation.recorded_batch(np.arange(start, min(start + size, count)))
            loss, measured = self.policy.loss(batch.to(self.device))
            total += float(loss) * batch.size
            metrics.add(measured, batch.size)
        return total / count, metrics.values()

    def _is_out_of_patience(self) -> bool:
        if self.config.patience is None:
            return False
        values = [(value, e.epoch) for e in self.epoch_log if (value := self._value(e)) is not None]
        return bool(values) and self.epoch_log[-1].epoch - min(values)[1] >= self.config.patience

    def _value(self, epoch: Epoch) -> float | None:
        """Value by which epochs are compared, the least is the best; None if an epoch has none."""
        if self._judge is None:
            return epoch.validation_loss
        return None if epoch.score is None else -epoch.score

    def _keep(self, epoch: Epoch) -> None:
        self.epoch_log.append(epoch)
        value = self._value(epoch)
        is_comparable = self._judge is not None or epoch.validation_loss is not None
        better = not is_comparable or (value is not None and value < self._best_value)
        if better:
            self._best_value = math.inf if value is None else value
            self.best = _copy(self.network)
        if self.folder is not None:
            # In this order: an epoch whose policy is saved but not its state is trained again. In the other
            # order its policy would be lost.
            if better:
                self._policy(self.best).save(self.folder / "policy")
            self._save(self.folder / "state")

    def _policy(self, weights: Mapping[str, Tensor]) -> NetworkPolicy:
        policy = self.config.policy.from_config(self.config, target_speed=self.target_speed)
        policy.network.load_state_dict(weights)
        policy.training = {
            "learner": self._learner,
            "settings": self.config.to_json(),
            "device": describe_device(self.device),
            "epoch_log": [asdict(epoch) for epoch in self.epoch_log],
        }
        return policy.to(self.device)

    def _hash_data(self, initial: NetworkPolicy | None) -> str:
        """Hash of all training data; images count by name and size of their files."""
        digest = hashlib.sha256()
        if initial is not None:
            digest.update(weights_bytes(initial))
        for frames, cameras in ((self._train.frames, self.cameras), (self._validation.frames, ("center",))):
            for chunk in frames.identity(cameras):
                digest.update(chunk)
        return digest.hexdigest()

    def _save(self, folder: Path) -> None:
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        numbers: dict[str, Any] = {}
        for number, moments in self._optimizer.state_dict()["state"].items():
            for name, value in moments.items():
                target = tensors if isinstance(value, Tensor) else numbers
                target[f"optimizer.{number}.{name}"] = value
        description = {
            "format": STATE_FORMAT,
            "version": STATE_VERSION,
            "settings": self.config.to_json(),
            "data": self._fingerprint,
            "device": describe_device(self.device),
            "optimizer": numbers,
            "schedule": self._schedule.state(),
            "source": self._source,
            "epoch_log": [asdict(epoch) for epoch in self.epoch_log],
            "best_value": None if self._best_value == math.inf else self._best_value,
        }
        write_checkpoint(folder, "state", tensors, description)

    def _resume(self) -> None:
        """Resume after the last complete epoch in the folder, if there is one."""
        if self.folder is None:
            return
        folder = self.folder / "state"
        if not (folder / "state.json").exists() and not (folder / "state.safetensors").exists():
            return  # interrupted before the first epoch was saved
        tensors, description = read_checkpoint(folder, "state", STATE_FORMAT, (1, 2, 3, STATE_VERSION))
        if description["version"] < 3:
            description = upgrade_training(description)
        self._check_is_same_run(description)
        groups: dict[str, dict[str, Any]] = {"network": {}, "best": {}, "optimizer": {}}
        for name, value in {**tensors, **description.get("optimizer", {})}.items():
            group, _, rest = name.partition(".")
            groups["optimizer" if group == "adam" else group][rest] = value
        check_tensors(groups["network"], self.network.state_dict(), str(folder))
        self.network.load_state_dict(groups["network"])
        self.best = groups["best"]
        optimizer = self._optimizer.state_dict()
        for name, value in groups["optimizer"].items():
            number, _, moment = name.partition(".")
            optimizer["state"].setdefault(int(number), {})[moment] = value
        self._optimizer.load_state_dict(optimizer)
        self._schedule.load(description.get("schedule", {}))
        best = description["best_loss" if description["version"] == 1 else "best_value"]
        self._best_value = math.inf if best is None else best
        self.epoch_log.extend(Epoch(**epoch) for epoch in description["epoch_log"])

    def _check_is_same_run(self, description: dict[str, Any]) -> None:
        assert self.folder is not None
        _check_same_settings(self.folder, self.config, description)
        if description["data"] != self._fingerprint:
            raise _other_data(self.folder)


def check_begun_training(folder: Path, config: TrainingConfig, source: str) -> None:
    """Check, before images are decoded, that a training that was begun in a folder can be resumed.

    Args:
        folder: folder of the training.
        config: all settings.
        source: hash of the recordings.

    Raises:
        CheckpointError: The folder holds a training with other settings or of other recordings.
    """
    try:
        description = json.loads((folder / "state" / "state.json").read_text(encoding="utf-8"))
        settings, begun_with = upgrade_training(description)["settings"], description.get("source")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return  # there is none, or it is read again, with a clear error, when the training is resumed
    _check_same_settings(folder, config, {"settings": settings})
    if begun_with not in (None, source):
        raise _other_data(folder)


def _check_same_settings(folder: Path, config: TrainingConfig, description: Mapping[str, Any]) -> None:
    check_same_settings(
        f"{folder}: training",
        description["settings"],
        json.loads(json.dumps(config.to_json())),
        defaults=json.loads(json.dumps(type(config)().to_json())),
        may_change={"memory_budget", "device"},
    )


def _other_data(folder: Path) -> CheckpointError:
    return CheckpointError(f"{folder}: training on other data was begun here; {START_OVER}")


def make_network_for(config: TrainingConfig, seed: int = 0) -> nn.Module:
    """Make the network of a training, with new weights."""
    network: nn.Module = config.policy.from_config(
        config, target_speed=_ANY_SPEED[config.throttle], seed=seed
    ).network
    return network


_ANY_SPEED = {"auto": None, "learned": None, "speed_control": 1.0}


def weights_bytes(policy: NetworkPolicy) -> bytes:
    """Weights of a policy with their names as bytes, for a hash."""
    weights = policy.network.state_dict().items()
    return b"".join(name.encode() + value.cpu().numpy().tobytes() for name, value in weights)


def check_initial(policy: NetworkPolicy, network: nn.Module, config: TrainingConfig) -> None:
    """Check that the weights of an initial policy fit the network to train.

    Raises:
        OptionError: They don't fit.
    """
    shapes, expected = (
        {name: tuple(value.shape) for name, value in module.state_dict().items()}
        for module in (policy.network, network)
    )
    if shapes != expected:
        raise OptionError(
            f"{policy!r} can't be the initial policy of a {network_name(config.network)} with the actions "
            f"{config.actions}: its weights differ; take a policy with the same network, actions, "
            "inputs, cameras, past_frames, chunk_size and latent"
        )


def _values(epoch: Epoch) -> dict[str, float | None]:
    """Results of an epoch by name, for a tracker."""
    return {
        "loss/train": epoch.train_loss,
        "loss/validation": epoch.validation_loss,
        "error/steering_mae": epoch.steering_mae,
        "score": epoch.score,
        **{f"metrics/{name}": value for name, value in epoch.metrics.items()},
    }


class _Means:
    """Means of metrics over samples."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def add(self, metrics: Mapping[str, Tensor], samples: int) -> None:
        """Add metrics of a batch of this many samples, each (samples,) or a mean."""
        for name, value in metrics.items():
            added = float(value.sum()) if value.numel() > 1 else float(value) * samples
            count = value.numel() if value.numel() > 1 else samples
            self._sums[name] = self._sums.get(name, 0.0) + added
            self._counts[name] = self._counts.get(name, 0) + count

    def values(self) -> dict[str, float]:
        """The means by name."""
        return {name: value / self._counts[name] for name, value in self._sums.items()}


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def _postfix(epoch: Epoch) -> dict[str, str]:
    values = {"epoch": str(epoch.epoch), "loss": f"{epoch.train_loss:.4f}"}
    if epoch.validation_loss is not None:
        values["validation"] = f"{epoch.validation_loss:.4f}"
    if epoch.score is not None:
        values["score"] = f"{epoch.score:.3f}"
    return values
