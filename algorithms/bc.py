"""Behavioural cloning: learn to do what the demonstrations did."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from algorithms.augment import Augmentation, Geometry
from algorithms.checks import SHARE, Number
from algorithms.data import Frames
from algorithms.networks import NETWORKS, NetworkPolicy, check_fits
from algorithms.preprocessing import Preprocessing
from algorithms.training import Epoch, Training
from udacity_gym.errors import CheckpointError, OptionError, RecordingError

if TYPE_CHECKING:
    from udacity_gym.recording import Recording, Report


@dataclass(frozen=True)
class BehavioralCloningConfig:
    """Every setting of `BehavioralCloning`.

    Attributes:
        epochs: passes over the training rows; in each every row comes once on average, seen through
            one of its cameras. Rows in which the car stands are left out, see `data.motion_weights`.
        batch_size: pictures per step of the optimizer.
        learning_rate: greatest learning rate of Adam (Kingma & Ba 2015).
        schedule: "cosine" lets the rate rise over the first epoch and fall to zero along a cosine
            (Loshchilov & Hutter 2017), "constant" keeps it.
        loss: "huber" (Huber 1964) or "mse". Huber is the better one where a few rows are unlike the rest,
            like full throttle at the start; "mse" where those are what counts, like keys pressed in bends.
        huber_delta: where the Huber loss turns from square to linear, in units of the action.
        throttle: "learned": the policy works steering and throttle; "speed_control": steering only,
            a controller keeps the car at ``target_speed``.
        throttle_weight: weight of the throttle's loss; steering has weight 1.
        target_speed: m/s that a steering-only policy is to be driven at; None takes the median speed
            of the training rows. Only with ``throttle="speed_control"``.
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
        threads: parts of each batch that are worked on side by side, one CPU core each; None takes the
            machine's cores, at most 4. The weights depend on it in their last digits.
        seed: same seed, data and settings give the same weights on the same machine.
    """

    epochs: int = 12
    batch_size: int = 64
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    loss: str = "huber"
    huber_delta: float = 0.05
    throttle: str = "learned"
    throttle_weight: float = 0.1
    target_speed: float | None = None
    network: str = "PilotNet"
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    augmentation: Augmentation = field(default_factory=Augmentation)
    geometry: Geometry = field(default_factory=Geometry)
    side_cameras: float = 0.5
    recovery_time: float = 0.6
    recovery_distance: float = 5.0
    smoothing: float = 0.0
    balance: float = 0.5
    validation: float = 0.2
    gap: float = 2.0
    patience: int | None = None
    memory_budget: float = 1e9
    threads: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        choices = {
            "schedule": ("cosine", "constant"),
            "loss": ("mse", "huber"),
            "throttle": ("learned", "speed_control"),
            "network": tuple(NETWORKS),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise OptionError(f"{name}={getattr(self, name)!r} is unknown; choose one of {allowed}")
        for name, kind in _PARTS.items():
            if not isinstance(getattr(self, name), kind):
                raise OptionError(f"{name}={getattr(self, name)!r} must be an object of {kind.__name__}")
        for name, number in _NUMBERS.items():
            number.check(name, getattr(self, name))
        check_fits(self.network, self.preprocessing)
        if self.target_speed is not None and self.throttle != "speed_control":
            raise OptionError(
                f'target_speed={self.target_speed!r} needs throttle="speed_control"; '
                f"with throttle={self.throttle!r} the policy chooses its speed itself"
            )

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


_PARTS = {"preprocessing": Preprocessing, "augmentation": Augmentation, "geometry": Geometry}
_NUMBERS = {
    "epochs": Number(1, whole=True),
    "batch_size": Number(1, whole=True),
    "learning_rate": Number(0, 100, above=True),
    "huber_delta": Number(0, above=True),
    "throttle_weight": Number(0),
    "target_speed": Number(0, above=True, optional=True),
    "side_cameras": SHARE,
    "recovery_time": Number(0, 100, above=True),
    "recovery_distance": Number(0, 1000, above=True),
    "smoothing": Number(0),
    "balance": SHARE,
    "validation": SHARE,
    "gap": Number(0),
    "patience": Number(1, whole=True, optional=True),
    "memory_budget": Number(0),
    "threads": Number(1, whole=True, optional=True),
    "seed": Number(0, 2**63 - 1, whole=True),
}


class BehavioralCloning:
    """Learn to drive from recordings (Pomerleau 1989; Bojarski et al. 2016).

    Example:
        >>> policy = BehavioralCloning("recordings/lake", epochs=20, seed=1).learn()  # doctest: +SKIP
        >>> policy.save("policies/lake")  # doctest: +SKIP

    Attributes:
        config: all settings.
        folder: where the training is kept: ``policy/`` the best checkpoint so far, ``state/`` what is
            needed to go on, ``tensorboard/`` the log. None keeps nothing on disk.
        reports: what was noticed in each recording; its broken pictures are among it.
        history: what the epochs came to so far.
    """

    Config = BehavioralCloningConfig

    def __init__(
        self,
        recordings: str | Path | Recording | Iterable[str | Path | Recording],
        config: BehavioralCloningConfig | None = None,
        *,
        folder: str | Path | None = None,
        progress: bool = True,
        **options: Any,
    ) -> None:
        """Get ready to learn.

        Every picture is decoded once, so that a broken one does not stop the training half-way: its
        row is left out, with a warning.

        Args:
            recordings: recordings or their folders, one or several.
            config: settings; None takes the defaults.
            folder: where to keep the training; if training in it was interrupted, `learn` goes on
                from the last whole epoch.
            progress: show a progress bar.
            **options: single settings that differ from ``config``, by their names.

        Raises:
            OptionError: A setting is misspelt or out of range, or something given is no recording.
            RecordingError: A recording can't be read, or there is nothing in it to learn from.
            CheckpointError: The folder holds something else than a training.
        """
        self.config = (config or BehavioralCloningConfig()).with_options(**options)
        self.folder = None if folder is None else Path(folder)
        self.history: list[Epoch] = []
        self._progress = progress
        if self.folder is not None:
            _check_folder(self.folder)
        checked = [_without_broken_pictures(recording, progress) for recording in _open(recordings)]
        self.reports = tuple(report for _, report in checked)
        frames = Frames.of([recording for recording, _ in checked])
        train, validation = frames.split(self.config.validation, self.config.gap)
        self.train_frames = train.smoothed(self.config.smoothing)
        self.validation_frames = validation.smoothed(self.config.smoothing)
        self.cameras = _cameras(frames, self.config)
        self._target_speed = _target_speed(self.train_frames, self.config)

    def learn(self, after_epoch: Callable[[Epoch], object] | None = None) -> NetworkPolicy:
        """Train to the end, or go on from where training in the same folder stopped.

        Args:
            after_epoch: called with what each epoch came to, after it has been written to disk.

        Returns:
            The policy of the epoch with the least validation loss (of the last epoch if nothing was
            set aside for validation).

        Raises:
            CheckpointError: The folder holds a training with other settings or other data.
            TrainingError: The loss is no longer finite.
        """
        training = Training(
            self.config,
            self.train_frames,
            self.validation_frames,
            self.cameras,
            self._target_speed,
            self.folder,
        )
        self.history = training.history
        return training.run(self._progress, after_epoch)


def _open(recordings: str | Path | Recording | Iterable[str | Path | Recording]) -> list[Recording]:
    from udacity_gym.recording import Recording, open_recording

    if isinstance(recordings, (str, Path, Recording)):
        recordings = [recordings]
    if not isinstance(recordings, Iterable):
        raise OptionError(f"recordings={recordings!r}: expected a recording or its folder, one or several")
    opened = []
    for recording in recordings:
        if not isinstance(recording, (str, Path, Recording)):
            raise OptionError(f"recordings: {recording!r} is neither a recording nor the folder of one")
        opened.append(recording if isinstance(recording, Recording) else open_recording(recording))
    return opened


def _without_broken_pictures(recording: Recording, progress: bool) -> tuple[Recording, Report]:
    """The rows whose pictures can be decoded and have the usual size, and what was noticed."""
    report = recording.check(progress)
    usable = recording.without(report.unusable)
    missing = len(recording) - len(usable)
    if missing:
        warnings.warn(
            f"{recording.path}: {missing} of {len(recording)} rows are left out, their pictures are broken "
            "or of another size than the others; print the learner's reports to see which",
            stacklevel=3,
        )
    return usable, report


def _check_folder(folder: Path) -> None:
    """Make sure that a training can be kept in a folder without mixing it with other things."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is a file; name a folder to keep the training in")
    found = {path.name for path in folder.iterdir()} - {"policy", "state", "tensorboard"}
    if found and not (folder / "state").is_dir():
        raise CheckpointError(
            f"{folder} holds something else than a training ({', '.join(sorted(found)[:5])}); "
            "choose another folder"
        )


def _cameras(frames: Frames, config: BehavioralCloningConfig) -> tuple[str, ...]:
    """The cameras to train with, the centre one first."""
    if "center" not in frames.cameras:
        raise RecordingError(f"the recordings have no pictures of the center camera, only {frames.cameras}")
    sides = tuple(c for c in frames.cameras if c != "center") if config.side_cameras > 0 else ()
    return ("center", *sides)


def _target_speed(frames: Frames, config: BehavioralCloningConfig) -> float | None:
    """The speed that a steering-only policy is to be driven at, m/s; None if the throttle is learned."""
    if config.throttle != "speed_control" or config.target_speed is not None:
        return config.target_speed
    usual = float(np.median(frames.speed))
    if not usual > 0:
        raise OptionError(
            f"the recordings' median speed is {usual:g} m/s, no speed to drive at; give target_speed"
        )
    return usual
