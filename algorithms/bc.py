"""Behavioural cloning: learn to do what the demonstrations did."""

from __future__ import annotations

import difflib
import functools
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from algorithms.augment import Augmentation, Geometry
from algorithms.checkpoint import check_tensors, read_checkpoint, write_checkpoint
from algorithms.data import Frames, PictureStore, ahead, balance_weights, draw
from algorithms.networks import NetworkPolicy, make_network
from algorithms.preprocessing import Preprocessing
from udacity_gym.errors import CheckpointError, OptionError
from udacity_gym.telemetry import Image

if TYPE_CHECKING:
    from udacity_gym.recording import Recording

Floats: TypeAlias = NDArray[np.float32]
STATE_FORMAT = "udacity-gym-training-state"
STATE_VERSION = 1


@dataclass(frozen=True)
class BehavioralCloningConfig:
    """Every setting of `BehavioralCloning`.

    Attributes:
        epochs: passes over the training rows; in each every row comes once on average, seen through
            one of its cameras.
        batch_size: pictures per step of the optimizer.
        learning_rate: greatest learning rate of Adam (Kingma & Ba 2015).
        schedule: "cosine" lets the rate rise over the first epoch and fall to zero along a cosine
            (Loshchilov & Hutter 2017), "constant" keeps it.
        loss: "mse" or "huber".
        huber_delta: where the Huber loss turns from square to linear, in units of the action.
        throttle: "learned": the policy works steering and throttle; "speed_control": steering only,
            a controller keeps the car at ``target_speed``.
        throttle_weight: weight of the throttle's loss; steering has weight 1.
        target_speed: m/s that a steering-only policy is to be driven at; None takes the median speed
            of the training rows. Not used when the throttle is learned.
        network: name of the network, see `algorithms.networks.NETWORKS`.
        preprocessing: what becomes of a picture before the network sees it.
        augmentation: random changes of pictures and labels.
        geometry: of cameras and car.
        side_cameras: share of the training pictures taken through the left and the right camera, with
            corrected steering, where they were recorded.
        recovery_time: s after which a car that was moved sideways (side camera, shift, turn) shall be
            back on its path; less makes corrections stronger.
        recovery_distance: m, least distance in which it shall be back, whatever the speed.
        smoothing: s, width of the window over which recorded steering is averaged; for keyboards.
        balance: [0, 1] how far the peak of the steering histogram is flattened.
        validation: share of the rows, the last in time, that are not trained on.
        gap: s before those that nothing is trained on either.
        patience: stop after so many epochs without a better validation loss; None never stops early.
        memory_budget: bytes of prepared pictures kept in memory; what does not fit is decoded anew.
        threads: parts of each batch that are worked on side by side, one CPU core each.
        seed: same seed, data and settings give the same weights on the same machine.
    """

    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    loss: str = "mse"
    huber_delta: float = 0.1
    throttle: str = "learned"
    throttle_weight: float = 0.1
    target_speed: float | None = None
    network: str = "PilotNet"
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    augmentation: Augmentation = field(default_factory=Augmentation)
    geometry: Geometry = field(default_factory=Geometry)
    side_cameras: float = 0.5
    recovery_time: float = 0.8
    recovery_distance: float = 6.0
    smoothing: float = 0.0
    balance: float = 0.5
    validation: float = 0.2
    gap: float = 2.0
    patience: int | None = None
    memory_budget: float = 1e9
    threads: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        choices = {
            "schedule": ("cosine", "constant"),
            "loss": ("mse", "huber"),
            "throttle": ("learned", "speed_control"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise OptionError(f"{name}={getattr(self, name)!r} is unknown; choose one of {allowed}")
        for name in (
            "epochs",
            "batch_size",
            "threads",
            "learning_rate",
            "huber_delta",
            "recovery_time",
            "recovery_distance",
        ):
            if not getattr(self, name) > 0:
                raise OptionError(f"{name}={getattr(self, name)!r} must be positive")
        for name in ("side_cameras", "balance"):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"{name}={getattr(self, name)!r} must lie in [0, 1]")
        if self.seed < 0:
            raise OptionError(f"seed={self.seed} must not be negative")

    def with_options(self, **options: Any) -> BehavioralCloningConfig:
        """A copy with some settings changed.

        Raises:
            OptionError: There is no such setting; the message names the nearest.
        """
        known = [f.name for f in fields(self)]
        for name in options:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
                raise OptionError(f"BehavioralCloning has no setting {name!r}; {hint}")
        return replace(self, **options)

    @property
    def actions(self) -> tuple[str, ...]:
        """What the policy will work."""
        return ("steering", "throttle") if self.throttle == "learned" else ("steering",)


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to.

    Attributes:
        epoch: number of the epoch, from 1.
        train_loss: mean loss over the epoch's augmented batches.
        validation_loss: loss on the validation rows, through the centre camera and not augmented; None
            if no rows were set aside.
        steering_mae: mean absolute steering error on them, in shares of full lock.
    """

    epoch: int
    train_loss: float
    validation_loss: float | None
    steering_mae: float | None


class BehavioralCloning:
    """Learn to drive from recordings (Pomerleau 1989; Bojarski et al. 2016).

    Example:
        >>> policy = BehavioralCloning("recordings/lake", epochs=20, seed=1).learn()  # doctest: +SKIP
        >>> policy.save("policies/lake")  # doctest: +SKIP

    Attributes:
        config: all settings.
        folder: where the training is kept: ``policy/`` the best checkpoint so far, ``state/`` what is
            needed to go on, ``tensorboard/`` the log. None keeps nothing on disk.
        history: what the epochs came to so far.
    """

    def __init__(
        self,
        recordings: str | Path | Recording | Sequence[str | Path | Recording],
        config: BehavioralCloningConfig | None = None,
        *,
        folder: str | Path | None = None,
        progress: bool = True,
        **options: Any,
    ) -> None:
        """Get ready to learn.

        Args:
            recordings: recordings or their folders, one or several.
            config: settings; None takes the defaults.
            folder: where to keep the training; if training in it was interrupted, `learn` goes on
                from the last whole epoch.
            progress: show a progress bar.
            **options: single settings that differ from ``config``, by their names.

        Raises:
            OptionError: A setting is misspelt or out of range.
            RecordingError: A recording can't be read, or there is nothing in it to learn from.
        """
        self.config = (config or BehavioralCloningConfig()).with_options(**options)
        self.folder = None if folder is None else Path(folder)
        self.history: list[Epoch] = []
        self._progress = progress
        frames = Frames.of(_open(recordings))
        train, validation = frames.split(self.config.validation, self.config.gap)
        self.train_frames = train.smoothed(self.config.smoothing)
        self.validation_frames = validation.smoothed(self.config.smoothing)
        self.cameras = _cameras(frames, self.config)

    def learn(self, after_epoch: Callable[[Epoch], object] | None = None) -> NetworkPolicy:
        """Train to the end, or go on from where training in the same folder stopped.

        Args:
            after_epoch: called with what each epoch came to, after it has been written to disk.

        Returns:
            The policy of the epoch with the least validation loss (of the last epoch if nothing was
            set aside for validation).

        Raises:
            CheckpointError: The folder holds a training with other settings or other data.
        """
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # within an operation; see `_Training._step`
        try:
            with ThreadPoolExecutor(self.config.threads) as pool:
                return _Training(self, pool).run(after_epoch)
        finally:
            torch.set_num_threads(threads)


class _Training:
    """One run: network, optimizer, and the way to and from disk."""

    def __init__(self, learner: BehavioralCloning, pool: Executor) -> None:
        config = self.config = learner.config
        self.pool = pool
        self.learner, self.history = learner, learner.history
        self.train, self.validation = learner.train_frames, learner.validation_frames
        self.pictures = PictureStore(self.train, learner.cameras, config.preprocessing, config.memory_budget)
        left = config.memory_budget - self.pictures.nbytes
        self.validation_pictures = PictureStore(self.validation, ("center",), config.preprocessing, left)
        self.targets = _targets(self.train, config)
        self.weights = balance_weights(self.train.steering, config.balance)
        self.distance = np.maximum(self.train.speed * config.recovery_time, config.recovery_distance)
        with torch.random.fork_rng(devices=[]):  # the caller's generator is none of our business
            torch.manual_seed(config.seed)
            self.network = make_network(config.network, len(config.actions))
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=config.learning_rate)
        self.best_loss = float("inf")
        self.best = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.steps = -(-len(self.train) // config.batch_size)

    def run(self, after_epoch: Callable[[Epoch], object] | None) -> NetworkPolicy:
        self._resume()
        log = self._open_log()
        bar = tqdm(
            total=self.config.epochs * self.steps,
            initial=len(self.history) * self.steps,
            disable=not self.learner._progress,
            unit="batch",
            desc="training",
        )
        try:
            while len(self.history) < self.config.epochs and not self._out_of_patience():
                epoch = self._epoch(len(self.history), bar)
                self._keep(epoch)
                _write_log(log, epoch)
                bar.set_postfix(_postfix(epoch))
                if after_epoch is not None:
                    after_epoch(epoch)
        finally:
            bar.close()
            if log is not None:
                log.close()
        return self._policy()

    def _epoch(self, number: int, bar: Any) -> Epoch:
        # All randomness of an epoch follows from (seed, epoch): a resumed training draws the same.
        rng = np.random.default_rng([self.config.seed, number])
        order = draw(self.weights, rng)
        size = self.config.batch_size
        self.network.train()
        total = 0.0
        for step, (images, targets) in enumerate(
            ahead(lambda i: self._batch(order[i * size : (i + 1) * size], rng), self.steps)
        ):
            for group in self.optimizer.param_groups:
                group["lr"] = self._learning_rate(number * self.steps + step)
            total += self._step(images, targets) * len(images)
            bar.update()
        validation_loss, mae = self._validate()
        return Epoch(number + 1, total / len(order), validation_loss, mae)

    def _step(self, images: Image, targets: Floats) -> float:
        """One step of the optimizer; returns the batch's loss.

        The batch is cut into parts, whose gradients are computed in a thread each. Against threads
        within every operation, as torch has them, that needs one meeting per step instead of one per
        layer, which is faster on few cores and much faster where other programs use them too.
        """
        parameters = list(self.network.parameters())

        def part(images: Image, targets: Floats) -> tuple[float, tuple[Tensor, ...]]:
            out = self.network(self.config.preprocessing.normalize(torch.from_numpy(images)))
            loss = self._loss(out, torch.from_numpy(targets)) * (len(images) / whole)
            return loss.item(), torch.autograd.grad(loss, parameters)

        whole, parts = len(images), min(self.config.threads, len(images))
        results = list(self.pool.map(part, np.array_split(images, parts), np.array_split(targets, parts)))
        for parameter, *gradients in zip(parameters, *(gradients for _, gradients in results), strict=True):
            parameter.grad = functools.reduce(torch.add, gradients)
        self.optimizer.step()
        return sum(loss for loss, _ in results)

    def _batch(self, rows: NDArray[np.int64], rng: np.random.Generator) -> tuple[Image, Floats]:
        """(n, height, width, 3) uint8 pictures and (n, actions) float32 targets."""
        config, cameras = self.config, self.learner.cameras
        camera = np.zeros(len(rows), np.int64)
        if len(cameras) > 1:
            side = rng.random(len(rows)) < config.side_cameras
            camera = np.where(side, rng.integers(1, len(cameras), len(rows)), 0)
        images, targets = self.pictures.take(rows, camera), self.targets[rows]
        offsets = np.array([config.geometry.camera_offset(name) for name in cameras])[camera]
        distance = self.distance[rows]
        steering = targets[:, 0] + config.geometry.recovery_steering(offsets, 0.0, distance).astype(
            np.float32
        )
        images, targets[:, 0] = config.augmentation.apply(
            images, steering, distance, rng, config.preprocessing, config.geometry
        )
        return images, targets

    def _loss(self, out: Tensor, targets: Tensor) -> Tensor:
        if self.config.loss == "huber":
            errors = nn.functional.huber_loss(out, targets, reduction="none", delta=self.config.huber_delta)
        else:
            errors = nn.functional.mse_loss(out, targets, reduction="none")
        weights = torch.tensor([1.0, self.config.throttle_weight][: errors.shape[1]])
        return (errors.mean(dim=0) * weights).sum()

    def _learning_rate(self, step: int) -> float:
        if self.config.schedule == "constant":
            return self.config.learning_rate
        total = self.config.epochs * self.steps
        warm_up = min(self.steps, total // 5)
        if step < warm_up:
            return self.config.learning_rate * (step + 1) / warm_up
        done = (step - warm_up) / (total - warm_up)
        return self.config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))

    @torch.inference_mode()
    def _validate(self) -> tuple[float | None, float | None]:
        if not len(self.validation):
            return None, None
        self.network.eval()
        targets, size = _targets(self.validation, self.config), 256
        loss = error = 0.0
        for start in range(0, len(targets), size):
            rows = np.arange(start, min(start + size, len(targets)))
            images = self.validation_pictures.take(rows, np.zeros(len(rows), np.int64))
            out = self.network(self.config.preprocessing.normalize(torch.from_numpy(images)))
            wanted = torch.from_numpy(targets[rows])
            loss += float(self._loss(out, wanted)) * len(rows)
            error += float((out[:, 0] - wanted[:, 0]).abs().sum())
        return loss / len(targets), error / len(targets)

    def _out_of_patience(self) -> bool:
        losses = [epoch.validation_loss for epoch in self.history if epoch.validation_loss is not None]
        if self.config.patience is None or not losses:
            return False
        return len(losses) - 1 - int(np.argmin(losses)) >= self.config.patience

    def _keep(self, epoch: Epoch) -> None:
        self.history.append(epoch)
        better = epoch.validation_loss is None or epoch.validation_loss < self.best_loss
        if better:
            self.best_loss = float("inf") if epoch.validation_loss is None else epoch.validation_loss
            self.best = {name: value.clone() for name, value in self.network.state_dict().items()}
        if self.learner.folder is not None:
            self._save_state(self.learner.folder / "state")
            if better:
                self._policy().save(self.learner.folder / "policy")

    def _policy(self) -> NetworkPolicy:
        network = make_network(self.config.network, len(self.config.actions))
        network.load_state_dict(self.best)
        speed = self.config.target_speed
        if self.config.throttle == "learned":
            speed = None
        elif speed is None:
            speed = float(np.median(self.train.speed))
        training = {
            "learner": "BehavioralCloning",
            "settings": asdict(self.config),
            "history": [asdict(epoch) for epoch in self.history],
        }
        return NetworkPolicy(network, self.config.preprocessing, self.config.actions, speed, training)

    def _fingerprint(self) -> str:
        digest = hashlib.sha256(self.targets.tobytes())
        digest.update(_targets(self.validation, self.config).tobytes())
        return digest.hexdigest()

    def _save_state(self, folder: Path) -> None:
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        for number, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{number}.{name}": value for name, value in moments.items()}
        description = {
            "format": STATE_FORMAT,
            "version": STATE_VERSION,
            "settings": asdict(self.config),
            "data": self._fingerprint(),
            "history": [asdict(epoch) for epoch in self.history],
            "best_loss": None if self.best_loss == float("inf") else self.best_loss,
        }
        write_checkpoint(folder, "state", tensors, description)

    def _resume(self) -> None:
        """Go on from the folder's last whole epoch, if there is one."""
        folder = None if self.learner.folder is None else self.learner.folder / "state"
        self.history.clear()
        if folder is None or not folder.exists():
            return
        tensors, description = read_checkpoint(folder, "state", STATE_FORMAT, STATE_VERSION)
        self._check_same_training(description, folder)
        groups: dict[str, dict[str, Tensor]] = {"network": {}, "best": {}, "adam": {}}
        for name, value in tensors.items():
            group, _, rest = name.partition(".")
            groups.setdefault(group, {})[rest] = value
        check_tensors(groups["network"], self.network.state_dict(), str(folder))
        check_tensors(groups["best"], self.best, str(folder))
        self.network.load_state_dict(groups["network"])
        self.best = groups["best"]
        adam = self.optimizer.state_dict()
        for name, value in groups["adam"].items():
            number, _, moment = name.partition(".")
            adam["state"].setdefault(int(number), {})[moment] = value
        self.optimizer.load_state_dict(adam)
        self.best_loss = float("inf") if description["best_loss"] is None else description["best_loss"]
        self.history.extend(Epoch(**epoch) for epoch in description["history"])

    def _check_same_training(self, description: dict[str, Any], folder: Path) -> None:
        advice = "choose another folder, or delete this one to start anew"
        before, now = description["settings"], json.loads(json.dumps(asdict(self.config)))
        for name in sorted(before.keys() | now.keys()):
            if before.get(name) != now.get(name) and name != "memory_budget":
                raise CheckpointError(
                    f"{folder}: a training with {name}={before.get(name)!r} was begun here, now it is "
                    f"{now.get(name)!r}; {advice}"
                )
        if description["data"] != self._fingerprint():
            raise CheckpointError(f"{folder}: a training on other data was begun here; {advice}")

    def _open_log(self) -> Any:
        if self.learner.folder is None:
            return None
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(self.learner.folder / "tensorboard"), purge_step=len(self.history) + 1)


def _open(recordings: str | Path | Recording | Sequence[str | Path | Recording]) -> list[Recording]:
    from udacity_gym.recording import open_recording

    if isinstance(recordings, (str, Path)) or not isinstance(recordings, Sequence):
        recordings = [recordings]
    return [open_recording(r) if isinstance(r, (str, Path)) else r for r in recordings]


def _cameras(frames: Frames, config: BehavioralCloningConfig) -> tuple[str, ...]:
    """The cameras to train with, the centre one first."""
    if "center" not in frames.cameras:
        raise OptionError(f"the recordings have no pictures of the center camera, only {frames.cameras}")
    sides = tuple(c for c in frames.cameras if c != "center") if config.side_cameras > 0 else ()
    return ("center", *sides)


def _targets(frames: Frames, config: BehavioralCloningConfig) -> Floats:
    """(n, actions) float32."""
    return np.stack([getattr(frames, name) for name in config.actions], axis=1)


def _postfix(epoch: Epoch) -> dict[str, str]:
    shown = {"epoch": str(epoch.epoch), "loss": f"{epoch.train_loss:.4f}"}
    if epoch.validation_loss is not None:
        shown["validation"] = f"{epoch.validation_loss:.4f}"
    return shown


def _write_log(log: Any, epoch: Epoch) -> None:
    if log is None:
        return
    log.add_scalar("loss/train", epoch.train_loss, epoch.epoch)
    if epoch.validation_loss is not None:
        log.add_scalar("loss/validation", epoch.validation_loss, epoch.epoch)
        log.add_scalar("error/steering_mae", epoch.steering_mae, epoch.epoch)
    log.flush()
