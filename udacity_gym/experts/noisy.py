"""Noise on the actions of experts, so that they show how to recover."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import ArrayLike, NDArray

from udacity_gym.checks import check_number
from udacity_gym.driving.decision import make_action
from udacity_gym.driving.driver import check_expert, reset_expert
from udacity_gym.errors import OptionError
from udacity_gym.experts.base import EpisodicExpert, Expert

MILD = ((0.01, 0.0), (0.0, 0.0))
"""Covariance with a standard deviation of 0.1 for the steering, and no noise on the throttle."""


@dataclass(frozen=True)
class Noise:
    """Gaussian noise on (steering, throttle).

    Attributes:
        covariance: 2 × 2 covariance of (steering, throttle).
        correlation: correlation time, s. With 0, the noise is independent at every step; otherwise it is an
            Ornstein-Uhlenbeck process with the same covariance. A car hardly reacts to noise that changes at
            every step; correlated noise takes it further off its path.
    """

    covariance: Sequence[Sequence[float]] = MILD
    correlation: float = 0.0

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            OptionError: The covariance is invalid, or the correlation is negative.
        """
        try:
            matrix = np.asarray(self.covariance, np.float64)
        except (TypeError, ValueError):  # strings, or rows of different lengths
            matrix = np.empty(0)
        if matrix.shape != (2, 2) or not np.isfinite(matrix).all() or not np.allclose(matrix, matrix.T):
            raise OptionError(f"covariance must be a symmetric 2 x 2 matrix, got {self.covariance!r}")
        if np.linalg.eigvalsh(matrix).min() < -1e-9 * max(1.0, float(np.trace(matrix))):
            raise OptionError(f"covariance must have no negative eigenvalue, got {self.covariance!r}")
        check_number("correlation", self.correlation, 0.0)
        object.__setattr__(self, "covariance", tuple(map(tuple, matrix.tolist())))

    @classmethod
    def of(cls, steering: float = 0.1, throttle: float = 0.0, correlation: float = 0.0) -> Noise:
        """Independent noise with these standard deviations."""
        check_number("steering", steering, 0.0)
        check_number("throttle", throttle, 0.0)
        return cls(((steering**2, 0.0), (0.0, throttle**2)), correlation)

    @classmethod
    def fitted(
        cls,
        policy_actions: ArrayLike,
        expert_actions: ArrayLike,
        error: float | None = None,
        dt: float | None = None,
    ) -> Noise:
        """Fit noise to the errors of a policy, by maximum likelihood (Laskey et al. 2017, "DART").

        The covariance is the policy's mean squared error on drives of the expert (section 4). If the final
        policy is expected to have another error, the covariance is scaled to it:
        ``error / trace(covariance) · covariance``. The paper's α is ``error`` times the number of steps.

        Args:
            policy_actions: (n, 2) actions of the policy.
            expert_actions: (n, 2) actions of the expert for the same observations.
            error: expected mean squared distance of the final policy's actions; None for the measured one.
            dt: seconds between the rows, if they are one drive in order: the noise then gets the correlation
                time of the policy's errors.

        Raises:
            OptionError: The actions have wrong shapes or are not finite.
        """
        policy, expert = np.asarray(policy_actions, np.float64), np.asarray(expert_actions, np.float64)
        if policy.shape != expert.shape or policy.ndim != 2 or policy.shape[1] != 2 or len(policy) == 0:
            raise OptionError(
                f"actions must be two arrays of shape (n, 2), got {policy.shape} and {expert.shape}"
            )
        errors = policy - expert
        if not np.isfinite(errors).all():
            raise OptionError("actions must be finite numbers")
        covariance = errors.T @ errors / len(errors)
        trace = float(np.trace(covariance))
        if error is not None:
            check_number("error", error, 0.0)
            covariance = covariance * (error / trace) if trace > 0 else np.eye(2) * error / 2
        correlation = 0.0
        if dt is not None:
            check_number("dt", dt, positive=True)
            autocorrelation = float(np.sum(errors[1:] * errors[:-1])) / max(
                1e-12, float(np.sum(errors[:-1] ** 2))
            )
            correlation = -dt / math.log(min(0.999, autocorrelation)) if autocorrelation > 0.01 else 0.0
        return cls(covariance.tolist(), correlation)


class NoisyExpert(EpisodicExpert):
    """Add noise to the actions of an expert; the label is the action without noise (Laskey et al. 2017).

    Its recordings have the executed action in the log, and the expert's action in the side file as
    ``expert_action``, on which learners train.

    Attributes:
        expert: the expert.
        noise: the noise; can be changed at any time, as DART does between rounds.
        label: (2,) float32 action of the expert in the last call; None before.
    """

    def __init__(self, expert: Expert, noise: Noise | None = None, seed: int = 0) -> None:
        """Wrap an expert.

        Args:
            expert: any expert.
            noise: the noise; None for mild noise on the steering.
            seed: seed of the noise, which continues from episode to episode.

        Raises:
            OptionError: The expert is not callable.
        """
        check_expert(expert)
        self.expert = expert
        self.noise = Noise() if noise is None else noise
        self._seed = seed
        self._forget()

    def _forget(self) -> None:
        super()._forget()
        self.label: NDArray[np.float32] | None = None
        self._generator = np.random.default_rng(self._seed)

    def _start_episode(self) -> None:
        self._present: NDArray[np.float64] | None = None

    def reset(self, env: gymnasium.Env[Any, Any], info: Mapping[str, Any], seed: int | None = None) -> None:
        """Prepare for an episode; a seed restarts the noise, so that a rollout can be repeated."""
        super().reset(env, info, seed)
        reset_expert(self.expert, env, info, seed)
        if seed is not None:
            self._generator = np.random.default_rng(seed)

    def __call__(self, observation: Any, info: Mapping[str, Any]) -> NDArray[np.float32]:
        """Choose the action to execute, see `Expert`; `label` is the action without noise."""
        elapsed = self._notice_episode(info)
        self.label = np.asarray(self.expert(observation, info), np.float32)
        perturbed = self.label + self._draw(elapsed)
        return make_action(float(perturbed[0]), float(perturbed[1]))

    def _draw(self, elapsed: float) -> NDArray[np.float64]:
        """Sample a discrete Ornstein-Uhlenbeck process, ``elapsed`` seconds after the last step."""
        sample: NDArray[np.float64] = _root(self.noise) @ self._generator.normal(size=2)
        if self._present is None or self.noise.correlation == 0.0:
            self._present = sample
        else:
            decay = math.exp(-elapsed / self.noise.correlation)
            self._present = decay * self._present + math.sqrt(1.0 - decay * decay) * sample
        return self._present


@lru_cache(maxsize=16)
def _root(noise: Noise) -> NDArray[np.float64]:
    """Square root of the covariance."""
    values, vectors = np.linalg.eigh(np.asarray(noise.covariance))
    root: NDArray[np.float64] = vectors * np.sqrt(np.maximum(values, 0.0))
    return root
