"""Supervised training: epochs, validation, the best policy, and resuming after an interruption."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from algorithms.base import Floats, TrainingError
from algorithms.checks import START_OVER, check_same_settings
from algorithms.older_files import upgrade_training
from algorithms.policies.checkpoint import check_tensors, read_checkpoint, write_checkpoint
from algorithms.policies.network_policy import NetworkPolicy, scale_measurements
from algorithms.policies.networks import make_network
from algorithms.training.config import TrainingConfig
from algorithms.training.data import Frames
from algorithms.training.throttle import choose_throttle
from algorithms.training.training_set import Batch, TrainingSet
from udacity_gym.errors import CheckpointError, OptionError
from udacity_gym.progress import progress_bar
from udacity_gym.recording.frames import ImageCache, ordered_map
from udacity_gym.telemetry import Image

STATE_FORMAT = "udacity-gym-training-state"
STATE_VERSION = 3


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
    """

    epoch: int
    train_loss: float
    validation_loss: float | None
    steering_mae: float | None
    score: float | None = None


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
        network: the network in training.
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
    ) -> None:
        """Prepare a run.

        Args:
            config: all settings.
            train: rows to train on.
            validation: rows to validate on; None or no rows: the last epoch is the best one.
            folder: of the run: ``policy/`` has the best checkpoint so far, ``state/`` the data needed to
                resume, ``tensorboard/`` the log. A run that was interrupted in this folder is resumed. None
                keeps nothing.
            initial: a policy to start from, with the same network; its weights are copied. None starts
                from random weights.
            cache: reads images, and keeps those of earlier runs; None makes one of ``config.memory_budget``
                bytes.
            judge: returns the score of a policy, greater is better, for example by driving; called every
                ``config.judge_every`` epochs and after the last one, and decides which epoch is the best.
            learner: name of the learner, for the checkpoint.
            source: hash of the recordings, for `check_begun_training`.

        Raises:
            OptionError: The initial policy or the cache does not fit the settings.
            RecordingError: There are no rows, or none has an image of the centre camera.
        """
        config, self.throttle_reason = choose_throttle(config, train, initial)
        self.config, self.folder, self._learner, self._source = config, folder, learner, source
        self._objective = config.objective
        self._judge = judge
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
        self.network = make_network_for(config, config.seed)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if initial is not None:
            check_initial(initial, self.network, config)
            self.network.load_state_dict(initial.network.state_dict())
        self._optimizer = torch.optim.Adam(self.network.parameters(), lr=config.learning_rate)
        self._fingerprint = self._hash_data(initial) if folder is not None else ""
        self._best_value = math.inf  # loss, or score with its sign turned
        self.best = _copy(self.network)

    def run(
        self, progress: bool = False, after_epoch: Callable[[Epoch], object] | None = None
    ) -> NetworkPolicy:
        """Train to the end, or resume the training in the same folder.

        Args:
            progress: show a progress bar.
            after_epoch: called with the results of each epoch, after they have been written to disk.

        Returns:
            The policy of the best epoch.

        Raises:
            CheckpointError: The folder holds a training with other settings or other data.
            TrainingError: The loss is no longer finite.
        """
        self._resume()
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # within an operation; threads compute parts of a batch, see `_step`
        log = None if self.folder is None else _Log(self.folder / "tensorboard", len(self.epoch_log))
        bar = progress_bar(
            progress,
            total=self.config.epochs * self._steps,
            initial=len(self.epoch_log) * self._steps,
            unit="batch",
            desc="training",
        )
        try:
            with ThreadPoolExecutor(self._threads) as pool:
                while len(self.epoch_log) < self.config.epochs and not self._is_out_of_patience():
                    epoch = self._epoch(len(self.epoch_log), pool, bar)
                    self._keep(epoch)
                    if log is not None:
                        log.write(epoch)
                    bar.set_postfix(_postfix(epoch))
                    if after_epoch is not None:
                        after_epoch(epoch)
        finally:
            torch.set_num_threads(threads)
            bar.close()
            if log is not None:
                log.close()
        policy = self._policy(self.best)
        if self.folder is not None:
            policy.save(self.folder / "policy")  # once more, with the whole epoch log
        return policy

    def _epoch(self, number: int, pool: Executor, bar: Any) -> Epoch:
        rng = np.random.default_rng([self.config.seed, number])
        order, size = self._train.draw_rows(rng, self._rows), self.config.batch_size
        self.network.train()
        total = 0.0

        def make(step: int) -> Batch:
            return self._train.augmented_batch(order[step * size : (step + 1) * size], rng)

        # One worker makes one batch after the other, so that the order of random draws is fixed.
        for step, batch in enumerate(ordered_map(make, range(self._steps), workers=1, prefetch=1)):
            rate = self._learning_rate(number * self._steps + step)
            loss = self._step(batch, rate, pool)
            if not math.isfinite(loss):
                raise self._diverged(f"the loss of step {step + 1} of {self._steps} is {loss}", number)
            total += loss * len(batch.images)
            bar.update()
        validation_loss, mae = self._validate()
        if not all(bool(value.isfinite().all()) for value in self.network.parameters()):
            raise self._diverged("weights are no longer finite after the last step", number)
        if validation_loss is not None and not math.isfinite(validation_loss):
            raise self._diverged(f"the validation loss is {validation_loss}", number)
        return Epoch(number + 1, total / len(order), validation_loss, mae, self._score(number + 1))

    def _score(self, epoch: int) -> float | None:
        """The judge's score of the network, if it is asked after this epoch."""
        if self._judge is None or (epoch % self.config.judge_every and epoch < self.config.epochs):
            return None
        threads = torch.get_num_threads()
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

    def _step(self, batch: Batch, rate: float, pool: Executor) -> float:
        """One step of the optimizer; returns the batch's loss.

        The batch is split into parts, and a thread computes the gradients of each. Threads within every
        operation, as torch has them, synchronise once per layer; these synchronise once per step, which
        is faster on few cores and much faster if other programs use them too.
        Networks that draw random numbers or change themselves in ``forward`` don't fit, see `NETWORKS`.
        """
        parameters, batch_size = list(self.network.parameters()), len(batch.images)

        def compute_part(
            images: Image, measurements: Floats, targets: Floats
        ) -> tuple[float, tuple[Tensor, ...]]:
            out = self._run_network(images, measurements)
            loss = self._loss(out, torch.from_numpy(targets)) * (len(images) / batch_size)
            return loss.item(), torch.autograd.grad(loss, parameters)

        parts = min(self._threads, batch_size)
        results = list(pool.map(compute_part, *(np.array_split(column, parts) for column in batch)))
        for parameter, *gradients in zip(parameters, *(gradients for _, gradients in results), strict=True):
            parameter.grad = functools.reduce(torch.add, gradients)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        return sum(loss for loss, _ in results)

    def _run_network(self, images: Image, measurements: Floats) -> Tensor:
        """Run the network; returns its outputs by action: (n, actions, width)."""
        normalized = self.config.preprocessing.normalize(torch.from_numpy(images))
        inputs = self.config.inputs
        numbers = (scale_measurements(measurements, inputs),) if inputs else ()
        return self._objective.split(self.network(normalized, *numbers))

    def _loss(self, out: Tensor, targets: Tensor) -> Tensor:
        errors = self._objective.loss(out, targets)
        weights = torch.tensor([1.0, self.config.throttle_weight][: errors.shape[1]])
        return (errors.mean(dim=0) * weights).sum()

    def _learning_rate(self, step: int) -> float:
        if self.config.schedule == "constant":
            return self.config.learning_rate
        total = self.config.epochs * self._steps
        warm_up = min(self._steps, total // 5)
        if step < warm_up:
            return self.config.learning_rate * (step + 1) / warm_up
        done = (step - warm_up) / (total - warm_up)
        return self.config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))

    @torch.inference_mode()
    def _validate(self) -> tuple[float | None, float | None]:
        """Loss and mean absolute steering error on the validation rows."""
        count, size = len(self._validation), self.config.batch_size
        if not count:
            return None, None
        self.network.eval()
        loss = error = 0.0
        for start in range(0, count, size):
            batch = self._validation.recorded_batch(np.arange(start, min(start + size, count)))
            out = self._run_network(batch.images, batch.measurements)
            targets = torch.from_numpy(batch.targets)
            loss += float(self._loss(out, targets)) * len(targets)
            error += float((self._objective.mean(out)[:, 0] - targets[:, 0]).abs().sum())
        return loss / count, error / count

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
        config = self.config
        network = make_network_for(config)
        network.load_state_dict(weights)
        training = {
            "learner": self._learner,
            "settings": config.to_json(),
            "epoch_log": [asdict(epoch) for epoch in self.epoch_log],
        }
        return NetworkPolicy(
            network,
            config.preprocessing,
            config.actions,
            self.target_speed,
            training,
            loss=self._objective,
            inputs=config.inputs,
            past_frames=config.past_frames,
        )

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
        for number, moments in self._optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{number}.{name}": value for name, value in moments.items()}
        description = {
            "format": STATE_FORMAT,
            "version": STATE_VERSION,
            "settings": self.config.to_json(),
            "data": self._fingerprint,
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
        tensors, description = read_checkpoint(folder, "state", STATE_FORMAT, (1, 2, STATE_VERSION))
        if description["version"] < 3:
            description = upgrade_training(description)
        self._check_is_same_run(description)
        groups: dict[str, dict[str, Tensor]] = {"network": {}, "best": {}, "adam": {}}
        for name, value in tensors.items():
            group, _, rest = name.partition(".")
            groups[group][rest] = value
        check_tensors(groups["network"], self.network.state_dict(), str(folder))
        self.network.load_state_dict(groups["network"])
        self.best = groups["best"]
        adam = self._optimizer.state_dict()
        for name, value in groups["adam"].items():
            number, _, moment = name.partition(".")
            adam["state"].setdefault(int(number), {})[moment] = value
        self._optimizer.load_state_dict(adam)
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
        may_change={"memory_budget"},
    )


def _other_data(folder: Path) -> CheckpointError:
    return CheckpointError(f"{folder}: training on other data was begun here; {START_OVER}")


def make_network_for(config: TrainingConfig, seed: int = 0) -> nn.Module:
    """Make the network of a training, with new weights."""
    outputs, frames = len(config.actions) * config.objective.width, config.past_frames + 1
    return make_network(config.network, outputs, seed, frames=frames, measurements=len(config.inputs))


def weights_bytes(policy: NetworkPolicy) -> bytes:
    """Weights of a policy with their names as bytes, for a hash."""
    weights = policy.network.state_dict().items()
    return b"".join(name.encode() + value.numpy().tobytes() for name, value in weights)


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
            f"{policy!r} can't be the initial policy of a {config.network} with the actions "
            f"{config.actions}: its weights differ; take a policy with the same network and actions"
        )


class _Log:
    """The TensorBoard log."""

    def __init__(self, folder: Path, epochs: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # Epochs after the last complete one of an interrupted run are logged again.
        self._writer: Any = SummaryWriter(str(folder), purge_step=epochs + 1)

    def write(self, epoch: Epoch) -> None:
        self._writer.add_scalar("loss/train", epoch.train_loss, epoch.epoch)
        if epoch.validation_loss is not None:
            self._writer.add_scalar("loss/validation", epoch.validation_loss, epoch.epoch)
            self._writer.add_scalar("error/steering_mae", epoch.steering_mae, epoch.epoch)
        if epoch.score is not None:
            self._writer.add_scalar("score", epoch.score, epoch.epoch)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def _postfix(epoch: Epoch) -> dict[str, str]:
    values = {"epoch": str(epoch.epoch), "loss": f"{epoch.train_loss:.4f}"}
    if epoch.validation_loss is not None:
        values["validation"] = f"{epoch.validation_loss:.4f}"
    if epoch.score is not None:
        values["score"] = f"{epoch.score:.3f}"
    return values
