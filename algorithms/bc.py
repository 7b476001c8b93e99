"""Behavioural cloning: learn to imitate demonstrations."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tqdm import tqdm

from algorithms.checks import NotNegative, Positive, Share
from algorithms.policies.loading import load_policy
from algorithms.policies.network_policy import NetworkPolicy
from algorithms.tracking import TrackerLike, check_tracker
from algorithms.training.config import TrainingConfig
from algorithms.training.data import Frames, Labels, drop_broken_images, open_recordings
from algorithms.training.throttle import choose_throttle
from algorithms.training.trainer import Epoch, Training, TrainingStep, check_begun_training
from algorithms.training.training_set import TrainingSet, check_recorded
from udacity_gym.errors import CheckpointError, OptionError
from udacity_gym.evaluation.metrics import INTERVENTION_SECONDS
from udacity_gym.files import LOCK, using_folder

if TYPE_CHECKING:
    import gymnasium

    from udacity_gym.evaluation import Evaluation
    from udacity_gym.recording import Recording


@dataclass(frozen=True)
class BehavioralCloningConfig(TrainingConfig):
    """Settings of `BehavioralCloning`: those of `TrainingConfig`, labels, and the split of the rows.

    Attributes:
        labels: "expert" learns the expert's actions where the recording has them, "executed" the executed
            ones; see `algorithms.training.data.Frames.of`.
        smoothing: s, width of the window over which recorded steering is averaged; for keyboards.
        validation: share of the rows for validation, which are not trained on.
        validation_by: "time": each recording's last rows; "episode": whole episodes, drawn by the seed, for
            recordings of many episodes whose last one is unlike the others.
        gap: s before the validation rows that are not trained on either.
        select: how the best epoch is chosen: "loss", least validation loss, or "driving", best drive, see
            `driving_score`. A low loss does not mean that a policy drives well (Codevilla et al. 2018).
        drive_seconds: s of simulated time of such a drive, every ``judge_every`` epochs.
    """

    labels: Labels = "expert"
    smoothing: NotNegative = 0.0
    validation: Share = 0.2
    validation_by: Literal["time", "episode"] = "time"
    gap: NotNegative = 2.0
    select: Literal["loss", "driving"] = "loss"
    drive_seconds: Positive = 60.0


class BehavioralCloning:
    """Behavioural cloning: learn to drive from recordings (Pomerleau 1989; Bojarski et al. 2016).

    Example:
        >>> policy = BehavioralCloning("recordings/lake", epochs=20, seed=1).learn()  # doctest: +SKIP
        >>> policy.save("policies/lake")  # doctest: +SKIP

    Attributes:
        config: all settings.
        folder: folder of the training: ``policy/`` has the best checkpoint so far, ``state/`` the data needed
            to resume, ``tensorboard/`` the log of that tracker. None keeps nothing on disk.
        reports: findings about each recording, including its broken images.
        throttle_reason: what ``throttle="auto"`` has chosen and why; None if the settings had chosen.
        epoch_log: results of each finished epoch.
    """

    Config = BehavioralCloningConfig

    def __init__(
        self,
        recordings: str | Path | Recording | Iterable[str | Path | Recording],
        config: BehavioralCloningConfig | None = None,
        *,
        weights: Sequence[float] | None = None,
        initial: NetworkPolicy | str | Path | None = None,
        env: gymnasium.Env[Any, Any] | Callable[[], gymnasium.Env[Any, Any]] | None = None,
        folder: str | Path | None = None,
        tracker: TrackerLike = "tensorboard",
        progress: bool = True,
        **options: Any,
    ) -> None:
        """Prepare to learn.

        Every image is decoded once, so that a broken one does not stop the training later: its
        row is left out, with a warning.

        Args:
            recordings: recordings or their folders, one or several.
            config: settings; None takes the defaults.
            weights: for each recording, how often its rows are drawn relative to those of the others;
                None takes 1 for all.
            initial: a policy with the same network to start from, its folder, or the folder of its training;
                None starts from random weights.
            env: environment to drive in if ``select="driving"``, or a function that makes one; it is closed
                only if it was made here. None makes "UdacitySim-v0", with cameras and image size of the
                policy.
            folder: folder of the training; if training in it was interrupted, `learn` resumes after the
                last complete epoch.
            tracker: shows the results of each epoch: "tensorboard" or "wandb", with a folder, or an object,
                see `algorithms.tracking`.
            progress: show a progress bar.
            **options: single settings that differ from ``config``, by their names.

        Raises:
            OptionError: A setting is unknown or out of range, or an argument is no recording.
            RecordingError: A recording can't be read, has no usable rows, or lacks a measurement among
                ``inputs``.
            CheckpointError: The folder holds other files than a training.
        """
        config = BehavioralCloningConfig() if config is None else config
        if not isinstance(config, BehavioralCloningConfig):
            raise OptionError(f"config must be a BehavioralCloningConfig, got {config!r}")
        self.config = config.with_options(**options)
        self.folder = None if folder is None else Path(folder)
        self.epoch_log: list[Epoch] = []
        self._progress = progress
        check_tracker(tracker)
        self._tracker = tracker
        opened = open_recordings(recordings)
        rows_of_all = Frames.of(opened, self.config.labels, weights)
        self._initial = _load_initial(initial)
        self.config, self.throttle_reason = choose_throttle(self.config, rows_of_all, self._initial)
        check_recorded(rows_of_all, self.config)  # before anything is decoded, which takes long
        self._source: str | None = None
        if self.folder is not None:
            _check_folder(self.folder)
            self._source = _hash_of(rows_of_all)
            check_begun_training(self.folder, self.config, self._source)
        if self.throttle_reason is not None and progress:
            tqdm.write(self.throttle_reason, file=sys.stderr)
        checked = [drop_broken_images(recording, progress) for recording in opened]
        self.reports = tuple(report for _, report in checked)
        frames = Frames.of([recording for recording, _ in checked], self.config.labels, weights)
        if self.config.validation_by == "episode":
            train, validation = frames.split_episodes(self.config.validation, self.config.seed)
        else:
            train, validation = frames.split(self.config.validation, self.config.gap)
        self.train_frames = train.smoothed(self.config.smoothing)
        self.validation_frames = validation.smoothed(self.config.smoothing)
        rows = TrainingSet(self.train_frames, self.config)  # raises errors now and not in training
        self.cameras, self.target_speed = rows.cameras, rows.target_speed
        self._env = env

    def learn(
        self,
        after_epoch: Callable[[Epoch], object] | None = None,
        after_step: Callable[[TrainingStep], object] | None = None,
    ) -> NetworkPolicy:
        """Train to the end, or resume the training in the same folder.

        Args:
            after_epoch: called with the results of each epoch, after they have been written to disk.
            after_step: called after each step of the optimizer.

        Returns:
            The policy of the best epoch: least validation loss or best drive, depending on ``select``.
            Without validation rows and drives, it is the policy of the last epoch.

        Raises:
            CheckpointError: The folder holds a training with other settings or other data.
            TrainingError: The loss is no longer finite.
            UdacityGymError: Another run uses the folder.
        """
        with ExitStack() as stack:
            if self.folder is not None:
                stack.enter_context(using_folder(self.folder))
            training = Training(
                self.config,
                self.train_frames,
                self.validation_frames,
                folder=self.folder,
                initial=self._initial,
                judge=self._judge(stack) if self.config.select == "driving" else None,
                learner=type(self).__name__,
                source=self._source,
                tracker=self._tracker,
            )
            self.epoch_log = training.epoch_log
            return training.run(self._progress, after_epoch, after_step)

    def _judge(self, stack: ExitStack) -> Callable[[NetworkPolicy], float]:
        """Make a function that scores policies by driving; ``stack`` closes an environment made here."""
        import gymnasium

        from udacity_gym import ENV_ID
        from udacity_gym.evaluation import evaluate

        env: Any = self._env
        if not isinstance(env, gymnasium.Env):
            size, cameras = self.config.preprocessing.camera_size, self.config.cameras
            env = gymnasium.make(ENV_ID, image_size=size, cameras=cameras) if env is None else env()
            stack.callback(env.close)
        seconds = self.config.drive_seconds
        laps = 1 + int(seconds * MAX_SPEED / env.unwrapped.track.length)
        return lambda policy: driving_score(
            evaluate(policy, env, laps, seed=self.config.seed % 2**32, max_seconds=seconds)
        )


MAX_SPEED = 20.0
"""m/s, above the top speed of Udacity's cars."""


def driving_score(evaluation: Evaluation) -> float:
    r"""Score of a short drive, to compare drives of the same length.

    Autonomy (Bojarski et al. 2016, section 7) without its floor at 0, so that bad drives can be distinguished
    from worse ones; the mean distance from the reference line decides between drives that are alike.

    Returns:
        At most 1, greater is better: 6 s of the time for each intervention, a hundredth for each metre of
        mean \|cte\|.
    """
    lost_share = (
        evaluation.interventions * INTERVENTION_SECONDS / max(evaluation.seconds, INTERVENTION_SECONDS)
    )
    return 1.0 - lost_share - 0.01 * evaluation.mean_abs_cte


def _load_initial(initial: NetworkPolicy | str | Path | None) -> NetworkPolicy | None:
    policy = load_policy(initial) if isinstance(initial, (str, Path)) else initial
    if policy is not None and not isinstance(policy, NetworkPolicy):
        raise OptionError(f"initial={initial!r} is neither a policy of a network nor the folder of one")
    return policy


def _hash_of(frames: Frames) -> str:
    digest = hashlib.sha256()
    for chunk in frames.identity(frames.cameras):
        digest.update(chunk)
    return digest.hexdigest()


def _check_folder(folder: Path) -> None:
    """Check that a folder is new, or holds a training and nothing else."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is a file; give a folder for the training")
    foreign = {path.name for path in folder.iterdir()} - {"policy", "state", "tensorboard", "wandb", LOCK}
    if foreign and not (folder / "state").is_dir():
        raise CheckpointError(
            f"{folder} holds something else than a training ({', '.join(sorted(foreign)[:5])}); "
            "choose another folder"
        )
