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
        beta: how often the expert drives in each round: a schedule of `algorithms.dagger.schedules`, the
            name of one ("first_round", "exponential", "linear"), or a constant.
    """

    beta: Beta = "first_round"

    MAY_CHANGE: ClassVar[tuple[str, ...]] = (*InteractiveConfig.MAY_CHANGE, "beta")

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "beta", make_schedule(self.beta))


class DAgger(InteractiveLearner):
    """Let the policy drive, ask the expert what it would have done, train on everything so far, repeat.

    In each round expert and policy are mixed, step by step: the expert drives with probability beta, see
    `algorithms.dagger.schedules`. The expert labels every step whoever drives, and the policy is trained on
    the labels of all rounds, so it learns what to do where it itself gets to.

    A policy that is given takes the place of round 0: in the paper the first expert drive and what is learnt
    from it, where I(i = 1), is cloning.

    Without an expert the policy drives alone, and somebody labels each round afterwards.

    The paper returns the best of all rounds' policies on validation; so does this learner if ``laps`` is
    set, and judges by driving. Else it returns the last.

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
        """The mixture of this round, or the policy alone where there is no expert to mix it with."""
        if self._expert is None:
            return PolicyAlone(), {}
        beta = beta_of(self._schedule, round)
        return Mixture(beta), {"beta": beta}

    def _read_round_log(self, folder: Path, env: gymnasium.Env[Any, Any]) -> list[Round]:
        round_log = super()._read_round_log(folder, env)
        known = [round.about for round in round_log]
        collected = round_folder(folder / "rounds", len(round_log))
        if collected.is_dir():
            known.append(RoundSummary.read(collected).about)
        for number, about in enumerate(known):  # functions can only be compared by what they say
            beta = beta_of(self._schedule, number)
            if number > 0 and about.get("beta", beta) != beta:
                raise CheckpointError(
                    f"{folder}: round {number} was driven with beta={about['beta']:g}, now it would be "
                    f"{beta:g}; choose another folder, or delete this one to start anew"
                )
        return round_log
