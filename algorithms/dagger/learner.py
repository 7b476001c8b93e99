"""`InteractiveLearner`: base class of learners that collect a round, train on the data, and repeat.

    folder/
      settings.json        the learner's settings, see `algorithms.dagger.round_log`
      rounds/round_000/    recordings, see `algorithms.dagger.rounds`
      policies/round_000/  the policy after training on that round, and so on
      rounds.json          results of each finished round
      policy/              the best policy so far

A learner with a folder resumes after an interruption, with the same policies as without one: each round's
seeds follow from the learner's seed and the number of the round, an incomplete round is collected again, and
an unfinished training begins again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Literal, TypeAlias, cast

import gymnasium
import numpy as np
from tqdm import tqdm
from typing_extensions import TypeVar

from algorithms.base import Policy, TrainingError
from algorithms.checks import Count, Number
from algorithms.dagger.calibration import HELD_OUT_GAP
from algorithms.dagger.collect import Driving, EnvMaker, check_driving, check_env
from algorithms.dagger.fitting import Fit, LoadPolicy, PolicyStore, SavePolicy, check_fit_options
from algorithms.dagger.round_log import (
    Round,
    check_begun_learner,
    check_or_write_settings,
    find_best_round,
    read_round_log,
    write_round_log,
)
from algorithms.dagger.rounds import (
    SKIP,
    Labeller,
    RoundPlan,
    RoundSummary,
    count_labelled,
    count_unlabelled,
    label_round,
    round_folder,
    run_round,
)
from algorithms.policies.device import AUTO
from algorithms.policies.ensemble import Ensemble
from algorithms.policies.network_policy import NetworkPolicy
from algorithms.tracking import TrackerLike, check_tracker, log_numbers, open_tracker
from algorithms.training.config import NESTED_SETTINGS, TrainingConfig
from algorithms.training.data import Frames, check_weights, drop_broken_images, open_recordings
from algorithms.training.throttle import choose_throttle
from algorithms.training.trainer import Training, TrainingStep, check_initial, make_network_for, weights_bytes
from algorithms.training.training_set import check_recorded
from udacity_gym.driving.driver import ExpertFunction
from udacity_gym.driving.gates import Gate, Mixture
from udacity_gym.driving.loop import same_road, tracks_for
from udacity_gym.errors import OptionError
from udacity_gym.evaluation.runner import evaluate
from udacity_gym.executors.calls import Shared
from udacity_gym.executors.executor import ExecutorLike, is_here, open_executor
from udacity_gym.files import using_folder
from udacity_gym.progress import progress_bar
from udacity_gym.recording import ImageCache, open_recording
from udacity_gym.world.track.track import Track

if TYPE_CHECKING:
    from udacity_gym.recording import Recording


Collect: TypeAlias = Callable[..., RoundSummary]
"""`run_round` without folder, number, gate, policy and ``about``, which the call gives."""


@dataclass(frozen=True)
class InteractiveConfig(TrainingConfig):
    """Settings of every interactive learner: those of `TrainingConfig` for each round's training, and these.

    Attributes:
        epochs: epochs of each round's training.
        steps_per_epoch: batches of an epoch, so that late rounds take no longer than early ones; None takes
            as many as the rows fill.
        rounds: number of rounds, including round 0, in which the expert drives alone. Recordings or an
            initial policy replace round 0.
        frames: rows that each round collects; a lap of the lake at 12 m/s has about 1400.
        rollouts: parts of a round, each with a seed of its own.
        start: options of the environment's reset for every episode, such as ``{"s": "random", "speed": (0,
            10)}``; None starts anywhere on the lap at up to 6 m/s, or at the simulator's own start if the
            simulator can't place the car.
        put_back: after a fall, put the car back on its lane where it was, as in section 5.1 of Ross et al.
            2011, instead of starting with ``start``.
        train_on: "all" rounds so far, as in the paper (data set aggregation), or only the "last" one that
            has labels.
        warm_start: start each round's training with the weights of the round before; False starts
            with random weights, as in the paper, and needs more epochs.
        members: networks that are trained on the same data with different seeds; several networks drive by
            their mean, and their disagreement is doubt, see `algorithms.policies.ensemble`.
        device: where the networks are trained, and where they drive and are asked for features; with "auto"
            they drive on the CPU, which is quick enough for one image and leaves the GPU to one process.
        laps: laps of the evaluation of each round's policy, from the start of the track of the rounds; 0
            evaluates none.

    A round's training always runs all epochs: there is no ``patience``, and no ``judge_every``. The settings
    in `MAY_CHANGE` may change when a learner resumes.
    """

    epochs: Count = 4
    steps_per_epoch: Count | None = 100
    rounds: Count = 10
    frames: Count = 1000
    rollouts: Count = 2
    start: Mapping[str, Any] | None = None
    put_back: bool = False
    train_on: Literal["all", "last"] = "all"
    warm_start: bool = True
    members: Count = 1
    laps: Annotated[int, Number(0)] = 0
    patience: Count | None = field(default=None, init=False, repr=False)
    judge_every: Count = field(default=1, init=False, repr=False)

    MAY_CHANGE: ClassVar[tuple[str, ...]] = ("rounds", "memory_budget", "laps", "device")

    @property
    def driving_device(self) -> str:
        """Where the rounds' policies compute: on ``device``, or for "auto" on the CPU."""
        return "cpu" if self.device == AUTO else self.device


ConfigT = TypeVar("ConfigT", bound=InteractiveConfig, default=InteractiveConfig)
"""Settings of a learner: ``class Mine(InteractiveLearner[MyConfig])`` with ``Config = MyConfig``."""


class InteractiveLearner(ABC, Generic[ConfigT]):
    """Base class of learners that collect rounds with a policy and an expert, and train after each.

    Subclasses define `gate`, which decides who drives.

    Attributes:
        asks_human: whether the expert is a human, who returns None while the hands are off the wheel.
        gate_learns: whether the gate is learned from labelled rows.
        wants_features: whether the gate is learned from features of the policy's network.
        needs_expert: whether rounds need an expert; else a labeller can label them afterwards.
        config: all settings.
        folder: folder of the learner; None keeps nothing.
        round_log: results of each finished round.
    """

    Config: ClassVar[type[InteractiveConfig]] = InteractiveConfig
    asks_human: ClassVar[bool] = False
    gate_learns: ClassVar[bool] = False
    wants_features: ClassVar[bool] = False
    needs_expert: ClassVar[bool] = True

    def __init__(
        self,
        recordings: str | Path | Recording | Iterable[str | Path | Recording] | None = None,
        config: ConfigT | None = None,
        *,
        weights: Sequence[float] | None = None,
        env: EnvMaker,
        expert: ExpertFunction | None = None,
        initial: Policy | str | Path | None = None,
        labeller: Labeller | None = None,
        fit: Fit | None = None,
        save: SavePolicy | None = None,
        load: LoadPolicy | None = None,
        executor: ExecutorLike = 1,
        folder: str | Path | None = None,
        tracker: TrackerLike = "tensorboard",
        progress: bool = True,
        **options: Any,
    ) -> None:
        """Prepare to learn.

        Args:
            recordings: demonstrations, which replace round 0; None lets the expert drive it.
            config: settings, an object of `Config`; None takes the defaults.
            weights: for each recording, how often its rows are drawn relative to those of the rounds; None
                takes 1 for all.
            env: environment with images, whose action is (steering, throttle); or a function that makes
                one. An environment is not closed.
            expert: the expert, ``expert(observation, info) -> (steering, throttle)``, see
                `udacity_gym.experts`. Its ``reset(env, info, seed)``, if any, is called when an episode
                begins. None is for learners that need no expert, see `needs_expert`.
            initial: policy to start from, or its folder, or the folder of its training. It is the policy of
                round 0, in which nobody drives and nothing is trained; recordings are trained on from
                round 1 on.
            labeller: labels each round's frames after it was driven, see `algorithms.label_round`.
            fit: trains the policies in place of the networks of this package: a function
                ``fit(frames, policy) -> policy`` of all labelled rows so far, `algorithms.Frames`, and of the
                policy of the round before, or None. The new policy needs ``predict``. The settings of
                `TrainingConfig`, such as ``epochs``, are not used then.
            save: ``save(policy, folder)`` writes a policy of ``fit`` into a new folder; None calls
                ``policy.save(folder)``.
            load: ``load(folder)`` reads it again; None is `algorithms.load_policy`.
            executor: who collects the rollouts of a round: a number of processes, or anything that
                `open_executor` takes; the results do not depend on it. All but 1 need an environment that
                can be pickled, or a function that makes one, and an expert that can be; several processes
                need a script that is guarded by ``if __name__ == "__main__"``.
            folder: folder of the learner; `learn` resumes a learner that was interrupted in it.
            tracker: shows the results of each round: "tensorboard" or "wandb", with a folder, or an object,
                see `algorithms.tracking`.
            progress: show a progress bar.
            **options: single settings that differ from ``config``, by their names.

        Raises:
            OptionError: A setting is unknown or out of range; an argument is no recording, environment or
                expert; the initial policy does not fit the settings; or there is no source of labels.
            RecordingError: A recording can't be read, or lacks a measurement among ``inputs``.
            CheckpointError: The folder holds something else, or a learner with other settings.
        """
        if config is not None and not isinstance(config, self.Config):
            raise OptionError(f"config must be of type {self.Config.__name__}, got {config!r}")
        made = cast("ConfigT", self.Config() if config is None else config)
        self.config: ConfigT = made.with_options(**options)
        if fit is not None:
            check_fit_options(options)
        self._store = PolicyStore(
            fit, save, load, keeps_files=folder is not None, device=self.config.driving_device
        )
        self.folder = None if folder is None else Path(folder)
        self.round_log: list[Round] = []
        self._env, self._expert, self._labeller, self._fit = env, expert, labeller, fit
        self._executor = executor
        check_tracker(tracker)
        self._tracker = tracker
        self._progress = progress
        self._after_step: Callable[[TrainingStep], object]
        check_driving(env, expert, many=not is_here(executor))
        if isinstance(env, gymnasium.Env):
            check_env(env, self._image_size)
        if labeller is not None and not callable(labeller):
            raise OptionError(f"labeller={labeller!r} must be a function: labeller(frame) -> label")
        self._initial = self._store.get(Path(initial)) if isinstance(initial, (str, Path)) else initial
        self._recordings = [] if recordings is None else open_recordings(recordings)
        self._weights = check_weights(weights, len(self._recordings))
        self.config, self.throttle_reason = self._choose_throttle()
        if self.folder is not None:  # before anything is decoded, which takes long
            settings = {"learner": type(self).__name__, **_settings(self.config)}
            check_begun_learner(
                self.folder,
                settings,
                defaults=_settings(self.Config()),
                may_change=self.config.MAY_CHANGE,
            )
        self._recordings = [drop_broken_images(recording, progress)[0] for recording in self._recordings]
        if self._initial is not None:
            self._check_initial(self._initial)
        self._check_experts()
        self._opened: dict[int, Recording] = {}
        self._work = self.folder or Path()
        self._clear_caches()

    def _choose_throttle(self) -> tuple[Any, str | None]:
        """The settings with a throttle that all rounds share, and why it was chosen."""
        if self._fit is not None:
            return self.config, None
        frames = Frames.of(self._recordings, weights=self._weights) if self._recordings else None
        config, reason = choose_throttle(self.config, frames, self._initial)
        if frames is not None:
            check_recorded(frames, config)
        if reason is not None and self._progress:
            tqdm.write(reason, file=sys.stderr)
        return config, reason

    def _check_experts(self) -> None:
        """Check that there is a source of labels."""
        name = type(self).__name__
        if self._fit is not None and self.wants_features:
            raise OptionError(
                f"{name} learns from features of the policy's network, and fit=... may return anything; use "
                "DAgger, HGDAgger, DART, or EnsembleDAgger with a policy that has predict_with_doubt"
            )
        if self._initial is not None and self.gate_learns and not self._recordings:
            raise OptionError(
                f"{name} learns from demonstrations where the expert is to drive: give recordings beside "
                "the initial policy"
            )
        if self._expert is not None:
            return
        if self.needs_expert:
            raise OptionError(
                f"{name} needs expert=..., who drives or is asked while a round is driven; only DAgger "
                "can do without, whose rounds somebody may label afterwards"
            )
        if self._drives_first:
            raise OptionError(
                f"{name} needs somebody to learn from: expert=..., or recordings or a policy to begin with"
            )
        if self._labeller is None and self.folder is None:
            raise OptionError(
                f"{name} without an expert waits for labels after each round: give labeller=..., or "
                "folder=..., where the rounds are kept until somebody has labelled them"
            )

    @property
    def _drives_first(self) -> bool:
        """Whether the expert drives round 0, and nothing takes its place."""
        return not self._recordings and self._initial is None

    def _check_initial(self, policy: Policy) -> None:
        """Check that the rounds can start from a policy."""
        if self._fit is not None:
            if not callable(getattr(policy, "predict", None)):
                raise OptionError(f"initial={policy!r} has no predict(observation, ...), so it can't drive")
            return
        members = members_of(policy)
        if not members:
            raise OptionError(f"initial={policy!r} is neither a policy of a network nor the folder of one")
        if len(members) != self.config.members:
            raise OptionError(
                f"initial={policy!r} is of {len(members)} networks, but members={self.config.members}; an "
                "Ensemble joins policies that were trained with different seeds"
            )
        if self.config.warm_start:
            for member in members:
                check_initial(member, make_network_for(self.config), self.config)
                if member.preprocessing != self.config.preprocessing:
                    raise OptionError(
                        f"initial={policy!r} sees its images through {member.preprocessing}; give the same "
                        "preprocessing, or warm_start=False"
                    )

    def _clear_caches(self) -> None:
        """Clear the caches of recordings and images."""
        self._opened.clear()
        self._cache = self._empty_cache()

    def _empty_cache(self) -> ImageCache:
        return ImageCache(self.config.preprocessing, self.config.memory_budget)

    @abstractmethod
    def gate(self, round: int, policy: Policy) -> tuple[Gate, dict[str, Any]]:
        """Make the gate of a round, which decides who drives.

        Args:
            round: number of the round, above 0.
            policy: the policy of the round before.

        Returns:
            The gate, and its parameters for the round log.
        """

    def learn(
        self,
        after_round: Callable[[Round], object] | None = None,
        after_step: Callable[[TrainingStep], object] | None = None,
    ) -> Policy:
        """Run all rounds, or resume them in the same folder.

        A window of the environment stays alive while a round is trained, and says so.

        Args:
            after_round: called with the results of each round, after they have been written to disk.
            after_step: called after each step of the optimizer of every training.

        Returns:
            The policy of the round with the fewest interventions per metre if rounds are evaluated, else of
            the last round.

        Raises:
            CheckpointError: The folder holds a learner with other settings, demonstrations or track, or of
                another kind of expert.
            TrainingError: The loss is no longer finite, or labels of a round are missing.
            UdacityGymError: Another run uses the folder.
        """
        self._clear_caches()  # of another folder, or from before rounds were labelled
        with contextlib.ExitStack() as stack:
            folder = self._work = stack.enter_context(_open_folder(self.folder))
            stack.enter_context(using_folder(folder))
            env = stack.enter_context(_open_env(self._env))
            check_env(env, self._image_size)
            collect = stack.enter_context(self._collector(env))
            self._after_step = _with_window(env, after_step)
            self.round_log = self._read_round_log(folder, env)
            total, done = self.config.rounds, len(self.round_log)
            tracker = stack.enter_context(open_tracker(self._tracker, self.folder, done))
            bar = stack.enter_context(progress_bar(self._progress, total=total, initial=done, unit="round"))
            while len(self.round_log) < total:
                round = self._round(len(self.round_log), env, collect)
                self._keep(round)
                if tracker is not None:
                    log_numbers(tracker, _values(round), round.round)
                bar.update()
                bar.set_postfix(_postfix(round))
                if after_round is not None:
                    after_round(round)
            policy: Policy = self._store.get(self._policy_folder(find_best_round(self.round_log).round))
            if self.folder is not None:
                self._store.put(self.folder / "policy", policy)
            return policy

    def policy(self, round: int) -> Policy:
        """The policy after a finished round.

        Args:
            round: number of the round, from 0.

        Raises:
            CheckpointError: The round is not finished, or the learner has no folder.
        """
        policy: Policy = self._store.get(self._policy_folder(round))
        return policy

    def rounds(self) -> list[Recording]:
        """Recordings of the finished rounds, in order; for learners with a folder."""
        numbers = range(len(self.round_log))
        return [self._open(i) for i in numbers if round_folder(self._work / "rounds", i).is_dir()]

    @contextlib.contextmanager
    def _collector(self, env: gymnasium.Env[Any, Any]) -> Iterator[Collect]:
        """A function that collects a round, while `learn` runs; ``env`` is that of this process."""
        here = is_here(self._executor)
        driving = Shared(Driving(env if here else self._env, self._expert), "env and expert")
        settings = {f.name: getattr(self.config, f.name) for f in fields(RoundPlan)}
        plan = RoundPlan(**{**settings, "device": self.config.driving_device})
        with open_executor(self._executor) as executor:
            yield partial(run_round, executor, driving, plan=plan, progress=self._progress)

    def _round(self, number: int, env: gymnasium.Env[Any, Any], collect: Collect) -> Round:
        summary = self._collect(number, collect)
        frames = self._frames(number)
        if self.config.train_on == "last":
            self._cache = self._empty_cache()  # images of earlier rounds are not needed
        policy, loss = self._train_policy(number, frames)
        folder = self._policy_folder(number)
        if folder.exists():
            shutil.rmtree(folder)  # of a round that was interrupted before it was finished
        self._store.put(folder, policy)
        round = Round(
            round=number,
            frames=summary.frames,
            labels=count_labelled(self._open(number)) if summary.frames else 0,
            expert_frames=summary.frames - sum(episode.policy for episode in summary.episodes),
            takeovers=sum(episode.takeovers for episode in summary.episodes),
            falls=summary.falls,
            metres=summary.metres,
            about=summary.about,
            train_frames=0 if frames is None else len(frames),
            train_loss=loss,
        )
        return self._evaluate(round, policy, env)

    def _collect(self, number: int, collect: Collect) -> RoundSummary:
        if number == 0 and not self._drives_first:
            return RoundSummary(0, (), {})
        folder = round_folder(self._work / "rounds", number)
        summary = RoundSummary.read(folder) if folder.is_dir() else self._drive(number, collect)
        if self._labeller is not None and number > 0:
            label_round(folder, self._labeller)
        if self._expert is None and (remaining := count_unlabelled(self._open(number))):
            missing = f"{remaining} of {summary.frames} labels are missing"
            skip = f"a labeller that answers {SKIP!r} leaves a frame out"
            if self.folder is None:
                raise TrainingError(
                    f"{missing} in round {number}, which is lost without a folder; give folder=..., "
                    f"or label all frames: {skip}"
                )
            raise TrainingError(
                f"{folder} waits for labels, {missing}: algorithms.label_round({str(folder)!r}, labeller), "
                f"then call learn again, which resumes; {skip}"
            )
        return summary

    def _drive(self, number: int, collect: Collect) -> RoundSummary:
        if number == 0:
            gate: Gate = Mixture(1.0)
            policy, about = None, {"beta": 1.0}
        else:
            folder = self._policy_folder(number - 1)
            policy = self._store.for_rollouts(folder)
            gate, about = self.gate(number, self._store.get(folder))
        return collect(round_folder(self._work / "rounds", number), number, gate, policy, about=about)

    def _train_policy(self, number: int, frames: Frames | None) -> tuple[Policy, float | None]:
        """Train the policy of a round; returns it and its mean loss."""
        if frames is None:
            policy = self._initial if number == 0 else self._store.get(self._policy_folder(number - 1))
            assert policy is not None
            return policy, None
        if self._fit is not None:
            before = self._initial if number == 0 else self._store.get(self._policy_folder(number - 1))
            return self._fit(frames, before), None
        members, loss = self._train(number, frames)
        return (members[0] if len(members) == 1 else Ensemble(members)), loss

    def _train(self, number: int, frames: Frames) -> tuple[list[NetworkPolicy], float]:
        """Train on some rows; returns the members and their mean loss."""
        initials: Sequence[NetworkPolicy | None] = [None] * self.config.members
        if number > 0 and self.config.warm_start:
            initials = members_of(self._store.get(self._policy_folder(number - 1)))
        plain = TrainingConfig(**{f.name: getattr(self.config, f.name) for f in fields(TrainingConfig)})
        members, losses = [], []
        for i, initial in enumerate(initials):
            seed = int(np.random.SeedSequence((self.config.seed, number, i)).generate_state(1)[0])
            training = Training(
                replace(plain, seed=seed),
                frames,
                initial=initial,
                cache=self._cache,
                learner=type(self).__name__,
            )

            def after_step(step: TrainingStep, number: int = i + 1) -> None:
                self._after_step(step._replace(network=number, networks=len(initials)))

            members.append(training.run(after_step=after_step))
            losses.append(training.epoch_log[-1].train_loss)
        return members, float(np.mean(losses))

    def _data(self, number: int) -> list[Recording]:
        """The recordings that a round is trained on."""
        numbers = range(number + 1)
        if self.config.train_on == "last":  # with labels; a round without takeovers may have none
            last = next(i for i in reversed(numbers) if i == 0 or count_labelled(self._open(i)))
            numbers = range(last, last + 1)
        rounds = [self._open(i) for i in numbers if i > 0 or self._drives_first]
        return [*(self._recordings if 0 in numbers else []), *rounds]

    def _frames(self, number: int) -> Frames | None:
        """The rows that a round is trained on; None if the initial policy is not to be trained."""
        data = self._data(number)
        if self._initial is not None and (
            number == 0 or not (self._recordings or any(map(count_labelled, data)))
        ):
            return None
        weight_of = dict(zip(map(id, self._recordings), self._weights, strict=True))
        frames = Frames.of(data, weights=[weight_of.get(id(recording), 1.0) for recording in data])
        if self._held_out_share and any(recording is data[0] for recording in self._demonstrations):
            frames = self._without_held_out(frames)
        # The rounds count as one recording. In a single round a bad policy may have stood most of the time,
        # so its median speed would be useless, see `motion_weights`.
        first_round = sum(len(recording.parts) for recording in self._recordings)
        return replace(frames, recording=np.minimum(frames.recording, first_round))

    @property
    def _image_size(self) -> tuple[int, int] | None:
        """(height, width) px of the images that the policies take; None if a ``fit`` decides."""
        size: tuple[int, int] = self.config.preprocessing.camera_size
        return size if self._fit is None else None

    @property
    def _held_out_share(self) -> float:
        """Share of the demonstrations that is not trained on, to calibrate thresholds with."""
        return 0.0

    @property
    def _demonstrations(self) -> list[Recording]:
        """The recordings, or the expert's round 0, or nothing if only a policy replaces it."""
        return [self._open(0)] if self._drives_first else self._recordings

    def _held_out(self) -> Frames:
        """The rows of the demonstrations that are not trained on.

        Raises:
            OptionError: There are too few rows to hold some out.
        """
        return Frames.of(self._demonstrations).split(self._held_out_share, HELD_OUT_GAP)[1]

    def _without_held_out(self, frames: Frames) -> Frames:
        """Rows that begin with those of the demonstrations, without those that are held out."""
        parts = sum(len(recording.parts) for recording in self._demonstrations)
        rows = np.flatnonzero(frames.recording < parts)
        numbered = replace(frames.select(rows), weight=rows.astype(np.float64))  # to know the rows again
        train = numbered.split(self._held_out_share, HELD_OUT_GAP)[0].weight.astype(np.int64)
        return frames.select(np.concatenate([train, np.flatnonzero(frames.recording >= parts)]))

    def _open(self, number: int) -> Recording:
        if number not in self._opened:
            self._opened[number] = open_recording(round_folder(self._work / "rounds", number))
        return self._opened[number]

    def _evaluate(self, round: Round, policy: Policy, env: gymnasium.Env[Any, Any]) -> Round:
        if not self.config.laps:
            return round
        start = same_road(self.config.start) or None
        evaluation = evaluate(policy, env, self.config.laps, seed=self.config.seed, start=start)
        return replace(
            round,
            interventions=evaluation.interventions,
            judged_metres=evaluation.distance,
            autonomy=evaluation.autonomy,
        )

    def _policy_folder(self, number: int) -> Path:
        return round_folder(self._work / "policies", number)

    def _keep(self, round: Round) -> None:
        self.round_log.append(round)
        write_round_log(self._work, self.round_log)
        if self.folder is not None and find_best_round(self.round_log) == round:
            policy = self._store.get(self._policy_folder(round.round))
            self._store.put(self.folder / "policy", policy)

    def _read_round_log(self, folder: Path, env: gymnasium.Env[Any, Any]) -> list[Round]:
        """Read the results of the finished rounds, after a check that the settings are the same."""
        if self.folder is None:
            return []
        sources = self._describe_sources(env)
        now = {"learner": type(self).__name__, **_settings(self.config), **sources}
        defaults = {**sources, **_settings(self.Config())}
        check_or_write_settings(folder, now, defaults=defaults, may_change=self.config.MAY_CHANGE)
        return read_round_log(folder)[: self.config.rounds]

    def _describe_initial(self) -> str:
        """What identifies the initial policy."""
        assert self._initial is not None
        return _weights_of(self._initial) if members_of(self._initial) else type(self._initial).__name__

    def _describe_sources(self, env: gymnasium.Env[Any, Any]) -> dict[str, Any]:
        """Demonstrations, experts and track of a learner, as JSON values."""
        demonstrations = None
        if self._recordings:
            frames = Frames.of(self._recordings, weights=self._weights)
            digest = hashlib.sha256(b"".join(frames.identity(frames.cameras))).hexdigest()
            demonstrations = f"{len(frames)} rows, {digest[:16]}"
        tracks = [
            f"{track.name} {track.direction}, {track.length:.0f} m"
            for track in tracks_for(env, self.config.start)
            if isinstance(track, Track)
        ]
        return {
            "demonstrations": demonstrations,
            "initial": None if self._initial is None else self._describe_initial(),
            "fit": None if self._fit is None else _name_of(self._fit),
            "expert": None if self._expert is None else _name_of(self._expert),
            "track": "; ".join(tracks) or None,
            "env_start": repr(dict(getattr(env.unwrapped, "start", {}))),
            "conditions": repr(getattr(env.unwrapped, "conditions", None)),
            "ctrl_dt": env.get_wrapper_attr("ctrl_dt"),
        }


def _with_window(
    env: gymnasium.Env[Any, Any], after_step: Callable[[TrainingStep], object] | None
) -> Callable[[TrainingStep], object]:
    """What is called after each step of the optimizer: the environment's window, and what the user gave."""
    keep_window_alive = getattr(env.unwrapped, "keep_window_alive", None)

    def call(step: TrainingStep) -> None:
        if keep_window_alive is not None:
            network = f" of network {step.network}/{step.networks}" if step.networks > 1 else ""
            keep_window_alive(f"training{network}, epoch {step.epoch} of {step.epochs}")
        if after_step is not None:
            after_step(step)

    return call


def _weights_of(policy: Policy) -> str:
    """Hash of the weights of a policy's networks."""
    return hashlib.sha256(b"".join(map(weights_bytes, members_of(policy)))).hexdigest()[:16]


def _name_of(driver: Any) -> str:
    """Name of an expert with the experts that it wraps: ``ScriptedHuman(PurePursuit)``."""
    name = str(getattr(driver, "__name__", type(driver).__name__))
    if members_of(driver):
        return f"{name} {_weights_of(driver)}"
    wrapped = [getattr(driver, role) for role in ("expert", "human", "policy") if hasattr(driver, role)]
    return f"{name}({', '.join(map(_name_of, wrapped))})" if wrapped else name


def _settings(config: InteractiveConfig) -> dict[str, Any]:
    """The settings that must not change when a learner resumes, as JSON values."""
    values = {f.name: getattr(config, f.name) for f in fields(config) if f.name not in config.MAY_CHANGE}
    plain = {
        name: asdict(value) if isinstance(value, NESTED_SETTINGS) else value for name, value in values.items()
    }
    settings: dict[str, Any] = json.loads(json.dumps(plain, default=_setting_name))
    return settings


def _setting_name(value: Any) -> str:
    """The name of a class or function, whose representation may differ from run to run; else what it is."""
    return str(value.__name__) if hasattr(value, "__name__") else repr(value)


def members_of(policy: Policy) -> list[NetworkPolicy]:
    """The networks of a policy of an interactive learner: one, or those of an ensemble."""
    members = policy.members if isinstance(policy, Ensemble) else (policy,)
    return [member for member in members if isinstance(member, NetworkPolicy)]


@contextlib.contextmanager
def _open_env(env: EnvMaker) -> Iterator[gymnasium.Env[Any, Any]]:
    """Use or make the environment of this process; one that is made here is closed at the end."""
    if isinstance(env, gymnasium.Env):
        yield env
        return
    with contextlib.closing(env()) as new_env:
        yield new_env


@contextlib.contextmanager
def _open_folder(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="udacity-gym-") as name:
        yield Path(name)


def _values(round: Round) -> dict[str, float | None]:
    """Results of a round by name, for a tracker."""
    return {
        "rounds/falls": round.falls,
        "rounds/takeovers": round.takeovers,
        "rounds/labels": round.labels,
        "rounds/expert_frames": round.expert_frames,
        "rounds/metres": round.metres,
        "rounds/train_loss": round.train_loss,
        "rounds/interventions": round.interventions,
        "rounds/autonomy": round.autonomy,
    }


def _postfix(round: Round) -> dict[str, str]:
    values = {"falls": str(round.falls), "labels": str(round.labels)}
    if round.train_loss is not None:
        values["loss"] = f"{round.train_loss:.4f}"
    if round.autonomy is not None:
        values["autonomy"] = f"{round.autonomy:.0%}"
    return values
