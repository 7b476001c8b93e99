"""Behavioural cloning: learn to do what the demonstrations did."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from algorithms.checks import NotNegative, Positive, Share
from algorithms.policies.loading import load_policy
from algorithms.policies.network_policy import NetworkPolicy
from algorithms.training.config import TrainingConfig
from algorithms.training.data import Frames, Labels, open_recordings, without_broken_images
from algorithms.training.trainer import Epoch, Training
from algorithms.training.training_set import TrainingSet
from udacity_gym.errors import CheckpointError, OptionError
from udacity_gym.evaluation.metrics import INTERVENTION_SECONDS

if TYPE_CHECKING:
    import gymnasium

    from udacity_gym.evaluation import Evaluation
    from udacity_gym.recording import Recording


@dataclass(frozen=True)
class BehavioralCloningConfig(TrainingConfig):
    """Every setting of `BehavioralCloning`: those of `TrainingConfig`, and what is done with the rows before.

    Attributes:
        labels: "expert" learns what an expert wanted where the recording knows it, "executed" what was
            done; see `algorithms.training.data.Frames.of`.
        smoothing: s, width of the window over which recorded steering is averaged; for keyboards.
        validation: share of the rows that are not trained on.
        validation_by: "time": each recording's last rows; "episode": whole episodes, drawn by the seed, for
            recordings of many episodes whose last one is unlike the others.
        gap: s before the last rows that nothing is trained on either.
        select: which epoch's policy is the best: "loss", of the least validation loss, or "driving", of the
            best drive, see `driving_score`. The loss says little of driving (Codevilla et al. 2018).
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
    """Learn to drive from recordings (Pomerleau 1989; Bojarski et al. 2016).

    Example:
        >>> policy = BehavioralCloning("recordings/lake", epochs=20, seed=1).learn()  # doctest: +SKIP
        >>> policy.save("policies/lake")  # doctest: +SKIP

    Attributes:
        config: all settings.
        folder: where the training is kept: ``policy/`` the best checkpoint so far, ``state/`` what is
            needed to go on, ``tensorboard/`` the log. None keeps nothing on disk.
        reports: what was noticed in each recording; its broken images are among it.
        epoch_log: what the epochs came to so far.
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
        progress: bool = True,
        **options: Any,
    ) -> None:
        """Get ready to learn.

        Every image is decoded once, so that a broken one does not stop the training half-way: its
        row is left out, with a warning.

        Args:
            recordings: recordings or their folders, one or several.
            config: settings; None takes the defaults.
            weights: for each recording, how often its rows are drawn relative to those of the others;
                None takes 1 for all.
            initial: a policy of the same network to start from, or its folder or its training's; None starts
                from random weights.
            env: where to drive if ``select="driving"``, or what makes it; it is reset, driven, and closed
                only if it was made here. None makes "UdacitySim-v0", with images of the policy's size.
            folder: where to keep the training; if training in it was interrupted, `learn` goes on
                from the last whole epoch.
            progress: show a progress bar.
            **options: single settings that differ from ``config``, by their names.

        Raises:
            OptionError: A setting is misspelt or out of range, or something given is no recording.
            RecordingError: A recording can't be read, or there is nothing in it to learn from.
            CheckpointError: The folder holds something else than a training.
        """
        config = BehavioralCloningConfig() if config is None else config
        if not isinstance(config, BehavioralCloningConfig):
            raise OptionError(f"config must be a BehavioralCloningConfig, got {config!r}")
        self.config = config.with_options(**options)
        self.folder = None if folder is None else Path(folder)
        self.epoch_log: list[Epoch] = []
        self._progress = progress
        if self.folder is not None:
            _check_folder(self.folder)
        checked = [without_broken_images(recording, progress) for recording in open_recordings(recordings)]
        self.reports = tuple(report for _, report in checked)
        frames = Frames.of([recording for recording, _ in checked], self.config.labels, weights)
        if self.config.validation_by == "episode":
            train, validation = frames.split_episodes(self.config.validation, self.config.seed)
        else:
            train, validation = frames.split(self.config.validation, self.config.gap)
        self.train_frames = train.smoothed(self.config.smoothing)
        self.validation_frames = validation.smoothed(self.config.smoothing)
        rows = TrainingSet(self.train_frames, self.config)  # fails here and not in training
        self.cameras, self.target_speed = rows.cameras, rows.target_speed
        self._initial = _policy(initial)
        self._env = env

    def learn(self, after_epoch: Callable[[Epoch], object] | None = None) -> NetworkPolicy:
        """Train to the end, or go on from where training in the same folder stopped.

        Args:
            after_epoch: called with what each epoch came to, after it has been written to disk.

        Returns:
            The policy of the best epoch: of the least validation loss, or of the best drive, as ``select``
            says. With neither, if nothing was set aside for validation, it is that of the last one.

        Raises:
            CheckpointError: The folder holds a training with other settings or other data.
            TrainingError: The loss is no longer finite.
        """
        with ExitStack() as stack:
            training = Training(
                self.config,
                self.train_frames,
                self.validation_frames,
                folder=self.folder,
                initial=self._initial,
                judge=self._judge(stack) if self.config.select == "driving" else None,
                learner=type(self).__name__,
            )
            self.epoch_log = training.epoch_log
            return training.run(self._progress, after_epoch)

    def _judge(self, stack: ExitStack) -> Callable[[NetworkPolicy], float]:
        """Lets policies drive; what is made for that is closed by ``stack``."""
        import gymnasium

        from udacity_gym import ENV_ID
        from udacity_gym.evaluation import evaluate

        env: Any = self._env
        if not isinstance(env, gymnasium.Env):
            size = self.config.preprocessing.camera_size
            env = gymnasium.make(ENV_ID, image_size=size) if env is None else env()
            stack.callback(env.close)
        seconds = self.config.drive_seconds
        laps = 1 + int(seconds * FASTEST / env.unwrapped.track.length)
        return lambda policy: driving_score(
            evaluate(policy, env, laps, seed=self.config.seed % 2**32, max_seconds=seconds)
        )


FASTEST = 20.0
"""m/s that no car of Udacity's reaches."""


def driving_score(evaluation: Evaluation) -> float:
    r"""How good a short drive was, for comparison of drives of the same length.

    Autonomy (Bojarski et al. 2016, section 7) without its floor at 0, so that bad drives can be told from
    worse ones; the mean distance from the reference line decides between drives that are alike.

    Returns:
        At most 1, greater is better: 6 s of the time for each intervention, a hundredth for each metre of
        mean \|cte\|.
    """
    lost = evaluation.interventions * INTERVENTION_SECONDS / max(evaluation.seconds, INTERVENTION_SECONDS)
    return 1.0 - lost - 0.01 * evaluation.mean_abs_cte


def _policy(initial: NetworkPolicy | str | Path | None) -> NetworkPolicy | None:
    policy = load_policy(initial) if isinstance(initial, (str, Path)) else initial
    if policy is not None and not isinstance(policy, NetworkPolicy):
        raise OptionError(f"initial={initial!r} is neither a policy of a network nor the folder of one")
    return policy


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
