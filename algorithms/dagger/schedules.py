"""How often the expert drives in each round of DAgger: schedules of beta.

A schedule maps the number of a round, counted from 0, to beta: the probability with which, at each
step, the expert drives and not the policy (Ross, Gordon & Bagnell 2011, section 3, who count rounds from
1). Their guarantee asks only that the mean of beta over the rounds goes to zero, which `Constant` above
zero does not fulfil. In round 0 there is no policy yet, so the expert drives whatever a schedule says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from udacity_gym.checks import check_integer, check_number, is_number
from udacity_gym.errors import OptionError
from udacity_gym.registry import Registry


class Schedule(Protocol):
    """Anything that says how often the expert drives."""

    def __call__(self, round: int, /) -> float:
        """Beta in [0, 1] of a round, counted from 0."""
        ...


@dataclass(frozen=True)
class FirstRound:
    """The expert drives the first round, the policy all others: I(i = 1), without a parameter.

    Ross et al. 2011, section 3; what their experiments use (section 5).
    """

    def __call__(self, round: int) -> float:
        """Beta of a round."""
        return 1.0 if round == 0 else 0.0


@dataclass(frozen=True)
class Exponential:
    """Each round the expert drives a fixed share of the time it drove before: base^(i - 1).

    Ross et al. 2011, section 3, after SMILe and SEARN.

    Attributes:
        base: [0, 1).
    """

    base: float = 0.5

    def __post_init__(self) -> None:
        if not is_number(self.base) or not 0.0 <= self.base < 1.0:
            raise OptionError(f"base must be a number in [0, 1), got {self.base!r}")

    def __call__(self, round: int) -> float:
        """Beta of a round."""
        return float(self.base**round)


@dataclass(frozen=True)
class Linear:
    """From 1 to 0 in equal steps; the default schedule of the library ``imitation``.

    Attributes:
        rounds: the round, counted from 0, from which on the expert no longer drives.
    """

    rounds: int = 10

    def __post_init__(self) -> None:
        check_integer("rounds", self.rounds, 1)

    def __call__(self, round: int) -> float:
        """Beta of a round."""
        return max(0.0, 1.0 - round / self.rounds)


@dataclass(frozen=True)
class Constant:
    """The same in all rounds; `Constant(0.5)` is the mixture without the guarantee.

    Attributes:
        beta: [0, 1].
    """

    beta: float

    def __post_init__(self) -> None:
        check_number("beta", self.beta, 0.0, 1.0)

    def __call__(self, round: int) -> float:
        """Beta of a round."""
        return self.beta


Beta: TypeAlias = Schedule | str | float
"""A schedule, the name of one, or a constant."""

SCHEDULES: Registry[Callable[[], Schedule]] = Registry(
    "schedule",
    {"first_round": FirstRound, "exponential": Exponential, "linear": Linear},
    expected="a function from the number of a round to a number in [0, 1]",
)
"""Schedules by name, with their defaults."""


def make_schedule(beta: Beta) -> Schedule:
    """The schedule that is meant.

    Args:
        beta: a schedule, a name of `SCHEDULES` such as "linear", or a constant.

    Raises:
        OptionError: It is none of these.
    """
    if isinstance(beta, str):
        if beta in SCHEDULES:
            return SCHEDULES.find(beta)()
    elif isinstance(beta, (int, float)):
        return Constant(beta)
    elif callable(beta):
        return beta
    names = ", ".join(map(repr, SCHEDULES.names()))
    raise OptionError(
        f"beta={beta!r} is no schedule: give a number in [0, 1], one of {names}, or a "
        "function from the number of a round to a number"
    )


def beta_of(schedule: Schedule, round: int) -> float:
    """Beta of a round, checked.

    Raises:
        OptionError: The schedule gives something else than a number in [0, 1].
    """
    return check_number(f"beta of round {round}", schedule(round), 0.0, 1.0)
