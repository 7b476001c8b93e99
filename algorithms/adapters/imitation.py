"""Adapter to imitation (https://imitation.readthedocs.io): BC, DAgger, GAIL and AIRL on recordings and env.

- `Demonstrations` are recordings as ``demonstrations=`` of any of its algorithms, decoded batch by batch;
- `actor_critic` makes the ``policy=`` of its `BC` from a policy, and `policy_of` takes it out again;
- `DAgger` is its ``DAggerTrainer`` with images that stay uint8, and `demonstrate` lets an expert,
  who needs ``info``, label a round.

imitation 1.0.1 needs gymnasium 0.29 and Stable-Baselines3 2.2: ``pip install "udacity-gym[imitation]"`` in an
environment of its own. Its problems, and the solutions here:

- flattening trajectories keeps every image twice, as observation and as next one: `Demonstrations` hold
  each once, and never more than ``memory_budget``;
- its DAgger writes images as lists of numbers and reads them as int64, eight times the size: `DAgger` casts
  them back, episode by episode;
- its BC leaves the policy in evaluation mode after the first rollout (``log_rollouts_venv``):
  `stay_in_training` is the ``on_batch_end`` that puts it back. Our own networks do the same in both modes;
- it has no validation: judge by driving, with `udacity_gym.evaluation.evaluate`;
- its check of horizons refuses episodes of different lengths, but episodes here end off the road: give GAIL
  and AIRL ``allow_variable_horizon=True``, and note that the end of an episode then leaks the reward.
"""

from __future__ import annotations

from udacity_gym.installation import missing

try:
    from imitation.algorithms.dagger import DAggerTrainer, InteractiveTrajectoryCollector
    from imitation.data import rollout, serialize
    from imitation.data.types import Transitions
except ImportError as error:
    raise missing("imitation", __name__, error=error) from error

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from algorithms.adapters.offline import terminated_rows
from algorithms.adapters.stable_baselines3 import (
    ClonedActorCritic,
    NetworkFeatures,
    PreparedImages,
    actor_settings,
    policy_of,
)
from algorithms.training.data import Frames, drop_broken_images, open_recordings
from udacity_gym.errors import OptionError
from udacity_gym.recording.frames import ImageCache

if TYPE_CHECKING:
    from algorithms import NetworkPolicy
    from udacity_gym.recording import Recording

__all__ = ["DAgger", "Demonstrations", "actor_critic", "demonstrate", "policy_of", "stay_in_training"]

TransitionBatch = Mapping[str, NDArray[Any]]
"""Columns of several transitions: ``obs``, ``acts``, ``next_obs`` and ``dones``."""


class Demonstrations(Iterable[TransitionBatch]):
    """Recordings as the demonstrations of an algorithm of imitation, decoded when a batch is asked for.

    Each pass is over all rows in a new random order, in batches of ``obs``, ``acts``, ``next_obs`` and
    ``dones``; what is left over at the end comes in another pass. ``dones`` are true where the environment
    ended the episode for what happened, if that was recorded. Observations that have been made are kept
    as far as ``memory_budget`` allows. Rows whose images are broken are left out, with a warning.

    Args:
        recordings: recordings or their folders.
        env: the environment to train in, `PreparedImages` or `NetworkFeatures`: recorded images are
            prepared as it does. Its action space says whether the throttle is learned too.
        batch_size: rows of a batch; the algorithm's ``demo_batch_size`` or ``batch_size``.
        seed: seed of the order.
        memory_budget: bytes of observations to keep.

    Raises:
        OptionError: The environment is another one, or there are fewer rows than a batch takes.
        RecordingError: A recording can't be read, or lacks throttle or brake that are to be learned.
    """

    def __init__(
        self,
        recordings: str | Path | Recording | Iterable[str | Path | Recording],
        env: gymnasium.Env[Any, Any],
        batch_size: int = 32,
        *,
        seed: int = 0,
        memory_budget: float = 1e9,
    ) -> None:
        self._images = ImageCache(_image_function(env), memory_budget)
        checked = [drop_broken_images(r, progress=False)[0] for r in open_recordings(recordings)]
        self._frames = Frames.of(checked)
        if not 1 <= batch_size <= len(self._frames):
            raise OptionError(
                f"batch_size={batch_size} must be from 1 to the {len(self._frames)} rows there are"
            )
        self.batch_size = batch_size
        columns = (self._frames.steering, self._frames.throttle)
        actions: tuple[int, ...] = env.action_space.shape or ()
        if actions == (2,):
            self._frames.check_pedals_recorded("wrap the environment in udacity_gym.wrappers.SpeedControl")
        self._acts = np.stack(columns[: actions[0]], axis=1).astype(np.float32)
        self._rng = np.random.default_rng(seed)
        rows, following = np.arange(len(self._frames)), self._frames.next_rows()
        # The last row of an episode, or before a cut, is followed by itself: the next image is unknown.
        self._next = np.where(following < 0, rows, following)
        self._dones = terminated_rows(self._frames)

    def __iter__(self) -> Iterator[TransitionBatch]:
        order = self._rng.permutation(len(self._frames))
        for start in range(0, len(order) - self.batch_size + 1, self.batch_size):
            rows = order[start : start + self.batch_size]
            yield {
                "obs": self._observations(rows),
                "acts": self._acts[rows],
                "next_obs": self._observations(self._next[rows]),
                "dones": self._dones[rows],
            }

    def __len__(self) -> int:
        """Number of batches of a pass."""
        return len(self._frames) // self.batch_size

    def _observations(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        frames = self._frames
        frame_numbers = zip(frames.episode[rows].tolist(), frames.index[rows].tolist(), strict=True)
        return np.stack([self._images.image(frames.episodes[e], i, "center") for e, i in frame_numbers])


def actor_critic(policy: NetworkPolicy, env: gymnasium.Env[Any, Any]) -> ClonedActorCritic:
    """A policy as the ``policy=`` of imitation's BC, or of whatever takes one of Stable-Baselines3.

    Args:
        policy: its network is copied; `policy_of` takes the trained one out again.
        env: `PreparedImages`, to train all of it, or `NetworkFeatures`, to train its head.
    """
    _image_function(env)
    # An infinite rate reveals mistaken use of the policy's own optimizer; imitation's BC has its own one.
    return ClonedActorCritic(
        env.observation_space, _box(env), lr_schedule=lambda _: float("inf"), **actor_settings(policy)
    )


class DAgger(DAggerTrainer):  # type: ignore[misc, unused-ignore]
    """imitation's ``DAggerTrainer``, with demonstrations in the type that the environment shows them in."""

    def _load_all_demos(self) -> tuple[Transitions, list[int]]:
        dtype = self.venv.observation_space.dtype
        counts = []
        for number in range(self._last_loaded_round + 1, self.round_num + 1):
            paths = self._get_demo_paths(self._demo_dir_path_for_round(number))
            counts.append(len(paths))
            for path in paths:
                for trajectory in serialize.load(path):
                    obs = np.asarray(trajectory.obs).astype(dtype)
                    self._all_demos.append(replace(trajectory, obs=obs))
        return rollout.flatten_trajectories(self._all_demos), counts


def demonstrate(
    collector: InteractiveTrajectoryCollector, experts: Sequence[Callable[..., Any]], episodes: int = 1
) -> int:
    """Let experts label a round of DAgger; who drives is up to the round's beta.

    Args:
        collector: the result of ``trainer.create_trajectory_collector()``.
        experts: one for each environment, each ``(observation, info) -> action``. They get the observation
            that the policy gets, and the privileged info.
        episodes: minimum number of finished episodes.

    Returns:
        Number of steps.

    Raises:
        OptionError: There are not as many experts as environments.
    """
    if len(experts) != collector.num_envs:
        raise OptionError(f"{len(experts)} experts for {collector.num_envs} environments; give each its own")
    observations = collector.reset()
    infos = list(collector.venv.reset_infos)
    done, steps = 0, 0
    while done < episodes:
        acts = [
            np.asarray(expert(observation, info), np.float32)[: collector.action_space.shape[0]]
            for expert, observation, info in zip(experts, observations, infos, strict=True)
        ]
        observations, _, ends, infos = collector.step(np.stack(acts))
        # Where an episode has ended the environment was reset, and the info is still of the old one.
        infos = [
            collector.venv.reset_infos[i] if end else info
            for i, (end, info) in enumerate(zip(ends, infos, strict=True))
        ]
        done, steps = done + int(np.sum(ends)), steps + len(acts)
    return steps


def stay_in_training(trainer: Any) -> Callable[[], None]:
    """``on_batch_end`` for ``BC.train``, which otherwise stays in evaluation mode after its first rollout."""
    return lambda: trainer.policy.set_training_mode(True)


def _image_function(env: gymnasium.Env[Any, Any]) -> Callable[[Any], NDArray[Any]]:
    if not isinstance(env, (PreparedImages, NetworkFeatures)):
        raise OptionError(
            f"{env} must be wrapped, outermost, in PreparedImages or NetworkFeatures of "
            "algorithms.adapters.stable_baselines3, so that recorded images are prepared as its own"
        )
    return env.see


def _box(env: gymnasium.Env[Any, Any]) -> gymnasium.spaces.Box:
    space = env.action_space
    assert isinstance(space, gymnasium.spaces.Box)
    return space
