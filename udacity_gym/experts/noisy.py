"""An expert that is perturbed while it drives, so that it shows how to come back."""

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
"""Covariance of a tenth of full lock, and no noise on the throttle."""


@dataclass(frozen=True)
class Noise:
    """Gaussian noise on (steering, throttle).

    Attributes:
        covariance: 2 × 2, of shares of full lock and of full throttle.
        correlation: s in which the noise forgets itself: 0 draws every step anew, anything else is an
            Ornstein-Uhlenbeck process with the same covariance at every moment. A car hardly feels what
            changes at every step, so correlated noise takes it further away.
    """

    covariance: Sequence[Sequence[float]] = MILD
    correlation: float = 0.0

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            OptionError: The covariance is none, or the correlation is negative.
        """
        try:
            matrix = np.asarray(self.covariance, np.float64)
        except (TypeError, ValueError):  # words, or rows of unlike length
            matrix = np.empty(0)
        if matrix.shape != (2, 2) or not np.isfinite(matrix).all() or not np.allclose(matrix, matrix.T):
            raise OptionError(f"covariance must be a symmetric 2 x 2 matrix, got {self.covariance!r}")
        if np.linalg.eigvalsh(matrix).min() < -1e-9 * max(1.0, float(np.trace(matrix))):
            raise OptionError(f"covariance must have no negative eigenvalue, got {self.covariance!r}")
        check_number("correlation", self.correlation, 0.0)
        object.__setattr__(self, "covariance", tuple(map(tuple, matrix.tolist())))

    @classmethod
    def of(cls, steering: float = 0.1, throttle: float = 0.0, correlation: float = 0.0) -> Noise:
        """Noise with these standard deviations, independent of each other."""
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
        """The noise under which the expert does most likely what the policy does (Laskey et al. 2017).

        Its covariance is the policy's mean squared error on the expert's own drives (section 4, "DART").
        Where the policy will still be worse than on these, the covariance is scaled to an expected
        error: ``error / trace(covariance) · covariance``, the paper's α being ``error`` times the number
        of steps.

        Args:
            policy_actions: (n, 2) what the policy would have done.
            expert_actions: (n, 2) what the expert wanted in the same places.
            error: mean over steps of the squared distance of actions, expected of the final policy;
                None takes what was found.
            dt: s between the rows, if they are one drive in its order: then the noise is as correlated
                in time as the policy's errors.

        Raises:
            OptionError: The actions have other shapes or are not finite.
        """
        policy, expert = np.asarray(policy_actions, np.float64), np.asarray(expert_actions, np.float64)
        if policy.shape != expert.shape or policy.ndim != 2 or policy.shape[1] != 2 or len(policy) == 0:
            raise OptionError(
                f"actions must be two arrays of shape (n, 2), got {policy.shape} and {expert.shape}"
            )
        wrong = policy - expert
        if not np.isfinite(wrong).all():
            raise OptionError("actions must be finite numbers")
        covariance = wrong.T @ wrong / len(wrong)
        trace = float(np.trace(covariance))
        if error is not None:
            check_number("error", error, 0.0)
            covariance = covariance * (error / trace) if trace > 0 else np.eye(2) * error / 2
        correlation = 0.0
        if dt is not None:
            check_number("dt", dt, positive=True)
            kept = float(np.sum(wrong[1:] * wrong[:-1])) / max(1e-12, float(np.sum(wrong[:-1] ** 2)))
            correlation = -dt / math.log(min(0.999, kept)) if kept > 0.01 else 0.0
        return cls(covariance.tolist(), correlation)


class NoisyExpert(EpisodicExpert):
    """An expert whose actions are perturbed, while what it wanted remains the label (Laskey et al. 2017).

    Recordings made with it hold the action that was executed in the log, and the expert's own in the side
    file as ``expert_action``, on which learners train.

    Attributes:
        expert: who drives.
        noise: may be changed at any time, as DART does between rounds.
        label: (2,) float32, what the expert itself wanted in the last call; None before.
    """

    def __init__(self, expert: Expert, noise: Noise | None = None, seed: int = 0) -> None:
        """Perturb an expert.

        Args:
            expert: any expert.
            noise: how; None is mild noise on the steering.
            seed: of the noise. It goes on from episode to episode.

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
        """Prepare for an episode; a seed begins the noise anew, so that a rollout can be repeated."""
        super().reset(env, info, seed)
        reset_expert(self.expert, env, info, seed)
        if seed is not None:
            self._generator = np.random.default_rng(seed)

    def __call__(self, observation: Any, info: Mapping[str, Any]) -> NDArray[np.float32]:
        """Choose the action to execute, see `Expert`; `label` is the expert's own."""
        elapsed = self._notice_episode(info)
        self.label = np.asarray(self.expert(observation, info), np.float32)
        perturbed = self.label + self._draw(elapsed)
        return make_action(float(perturbed[0]), float(perturbed[1]))

    def _draw(self, elapsed: float) -> NDArray[np.float64]:
        """The noise of this step, ``elapsed`` s after the last one: a discrete Ornstein-Uhlenbeck process."""
        fresh: NDArray[np.float64] = _root(self.noise) @ self._generator.normal(size=2)
        if self._present is None or self.noise.correlation == 0.0:
            self._present = fresh
        else:
            kept = math.exp(-elapsed / self.noise.correlation)
            self._present = kept * self._present + math.sqrt(1.0 - kept * kept) * fresh
        return self._present


@lru_cache(maxsize=16)
def _root(noise: Noise) -> NDArray[np.float64]:
    """A matrix that gives independent numbers the noise's covariance."""
    values, vectors = np.linalg.eigh(np.asarray(noise.covariance))
    root: NDArray[np.float64] = vectors * np.sqrt(np.maximum(values, 0.0))
    return root
