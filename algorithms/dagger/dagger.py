"""DAgger: data set aggregation (Ross, Gordon & Bagnell 2011, algorithm 3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import gymnasium

from algorithms.base import Policy
from algorithms.dagger.learner import InteractiveConfig, InteractiveLearner
from algorithms.dagger.round_log import Round
from algorithms.dagger.rounds import RoundSummary, round_folder
from algorithms.dagger.schedules import Beta, Schedule, beta_of, make_schedule
from udacity_gym.driving.gates import Gate, Mixture, PolicyAlone
from udacity_gym.errors import CheckpointError


@dataclass(frozen=True)
class DAggerConfig(InteractiveConfig):
    """Settings of `DAgger`.

    Attributes:
        beta: probability that the expert drives a step, for each round: a schedule of
            `algorithms.dagger.schedules`, the name of one ("first_round", "exponential", "linear"), or a
            constant.
    """

    beta: Beta = "first_round"

    MAY_CHANGE: ClassVar[tuple[str, ...]] = (*InteractiveConfig.MAY_CHANGE, "beta")

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "beta", make_schedule(self.beta))


class DAgger(InteractiveLearner[DAggerConfig]):
    """DAgger: the policy drives, the expert labels, and the policy is trained on all rounds so far.

    In each round expert and policy are mixed, step by step: the expert drives with probability beta, see
    `algorithms.dagger.schedules`. The expert labels every step, whoever drives. The policy is trained on the
    labels of all rounds, so it learns to act in the states that it reaches itself.

    An initial policy replaces round 0. In the paper, the first round is cloning of the expert if beta is
    I(i = 1).

    Without an expert the policy drives alone, and each round is labelled afterwards.

    The paper returns the policy of the round that is best on validation. If ``laps`` is set, so does this
    learner, by driving. Else it returns the last policy.

    Example:
        >>> env = gymnasium.make("UdacitySim-v0")                                  # doctest: +SKIP
        >>> policy = DAgger(env=env, expert=PurePursuit(), rounds=10, seed=1).learn()  # doctest: +SKIP
    """

    Config: ClassVar[type[InteractiveConfig]] = DAggerConfig
    needs_expert: ClassVar[bool] = False

    @property
    def _schedule(self) -> Schedule:
        config: DAggerConfig = self.config
        return make_schedule(config.beta)

    def gate(self, round: int, policy: Policy) -> tuple[Gate, dict[str, Any]]:
        """The mixture of this round, or the policy alone if there is no expert."""
        if self._expert is None:
            return PolicyAlone(), {}
        beta = beta_of(self._schedule, round)
        return Mixture(beta), {"beta": beta}

    def _read_round_log(self, folder: Path, env: gymnasium.Env[Any, Any]) -> list[Round]:
        round_log = super()._read_round_log(folder, env)
        abouts = [round.about for round in round_log]
        collected = round_folder(folder / "rounds", len(round_log))
        if collected.is_dir():
            abouts.append(RoundSummary.read(collected).about)
        for number, about in enumerate(abouts):  # functions can only be compared by their values
            beta = beta_of(self._schedule, number)
            if number > 0 and about.get("beta", beta) != beta:
                raise CheckpointError(
                    f"{folder}: round {number} was driven with beta={about['beta']:g}, now it would be "
                    f"{beta:g}; choose another folder, or delete this one to start anew"
                )
        return round_log
