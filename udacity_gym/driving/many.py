"""Many cars at once in one process, each with a drive of its own: `drive_many`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from udacity_gym.driving.decision import Decision
from udacity_gym.driving.driver import PolicyDriver, as_driver
from udacity_gym.driving.loop import Loop, PutBackError, Rules, Step, telemetry_of
from udacity_gym.errors import ActionError, OptionError

if TYPE_CHECKING:
    from udacity_gym.vector import UdacityVectorEnv


@dataclass(frozen=True)
class Drive:
    """A drive of one of many cars; the fields are the arguments of `udacity_gym.driving.drive`.

    Attributes:
        rules: when the drive ends, and what happens where an episode does.
        seed: of the environment's first reset.
        driver_seed: of the driver's randomness.
        fall_reason: asked at each step why it is a fall.
        driver: who drives; None for the policy that all cars share.
    """

    rules: Rules = field(default_factory=Rules)
    seed: int | None = None
    driver_seed: int | None = None
    fall_reason: Callable[[Step], str | None] | None = None
    driver: Any = None


def drive_many(
    envs: UdacityVectorEnv, policy: Any, drives: Sequence[Drive]
) -> Iterator[tuple[int, Step | PutBackError]]:
    """Let a policy drive many cars: each has the drive that `udacity_gym.driving.drive` would make.

    The cars are moved by one compiled loop, drawn by one call of the renderer, and the policy is asked once
    for all of them. A car whose drive is over is not moved and not drawn any more.

    The policy always gets a batch of as many observations as there are cars; those of cars that have
    finished are repeated. Sums in a batch are rounded differently from those of one observation, so that
    actions differ in their last digits from those of `drive`.

    Args:
        envs: the cars; its environments are reset.
        policy: takes batches: has ``predict(observations, state, episode_starts, deterministic)``, as
            policies of Stable-Baselines3 and of this project do. None if each drive has a driver.
        drives: one for each car, or fewer.

    Yields:
        The number of the drive and the step, see `drive`. A `PutBackError` follows the last step of a drive
        that ends because the car can't be put back.

    Raises:
        OptionError: There are more drives than cars, or a drive without a driver and no policy.
        ActionError: The policy gives something else than an action for each observation.
    """
    if len(drives) > envs.num_envs:
        raise OptionError(f"{len(drives)} drives need as many cars, and there are {envs.num_envs}")
    if policy is None and any(drive.driver is None for drive in drives):
        raise OptionError("each drive needs a driver where there is no policy")
    batch = None if policy is None else _Batch(policy, envs.num_envs)
    loops = []
    for i, drive in enumerate(drives):
        own = batch.drivers[i] if batch is not None and drive.driver is None else drive.driver
        loops.append(Loop(envs.envs[i], as_driver(own), drive.rules, drive.seed, drive.fall_reason))
    return _drive(envs, batch, loops, drives)


def _drive(
    envs: UdacityVectorEnv, batch: _Batch | None, loops: Sequence[Loop], drives: Sequence[Drive]
) -> Iterator[tuple[int, Step | PutBackError]]:
    for loop, drive in zip(loops, drives, strict=True):
        loop.start_episode(drive.rules.start, drive.seed, drive.driver_seed)
    driving = list(range(len(loops)))
    while driving:
        before = {i: telemetry_of(loops[i].env) for i in driving}
        decisions: dict[int, Decision | None] = {}
        if batch is not None:
            decisions |= batch.decide({i: loops[i] for i in driving if loops[i].driver is batch.drivers[i]})
        for i in driving:
            if i not in decisions:
                decisions[i] = loops[i].driver.decide(loops[i].observation, loops[i].info)
        actions = {i: decision.action for i, decision in decisions.items() if decision is not None}
        after = dict(zip(actions, envs.step_cars(list(actions), list(actions.values())), strict=True))
        for i in list(driving):
            step = loops[i].account(decisions[i], before[i], after.get(i))
            yield i, step
            try:
                if loops[i].is_over(step):
                    driving.remove(i)
            except PutBackError as error:
                driving.remove(i)
                yield i, error


class _Batch:
    """A policy at the wheel of many cars."""

    def __init__(self, policy: Any, size: int) -> None:
        self.drivers = [PolicyDriver(policy) for _ in range(size)]
        self._policy = policy
        self._inputs: list[Any] = [None] * size
        self._state: Any = None

    def decide(self, loops: Mapping[int, Loop]) -> dict[int, Decision]:
        """Ask the policy once for some cars; the others' last inputs fill the batch."""
        if not loops:
            return {}
        starts = np.zeros(len(self.drivers), np.bool_)
        for i, loop in loops.items():
            self._inputs[i], starts[i] = self.drivers[i].prepare(loop.observation, loop.info)
        some = self._inputs[next(iter(loops))]
        observations = _stack([some if inputs is None else inputs for inputs in self._inputs])
        chosen, self._state = self._policy.predict(
            observations, state=self._state, episode_start=starts, deterministic=True
        )
        actions = np.asarray(chosen)
        if actions.ndim != 2 or len(actions) != len(self.drivers):
            raise ActionError(
                f"{type(self._policy).__name__} gave actions of shape {actions.shape} for a batch of "
                f"{len(self.drivers)} observations; a policy that takes single ones drives one car at a time"
            )
        return {i: self.drivers[i].decision_of(actions[i], loop.info) for i, loop in loops.items()}


def _stack(inputs: Sequence[Any]) -> Any:
    """A batch of observations."""
    if isinstance(inputs[0], Mapping):
        return {name: np.stack([np.asarray(one[name]) for one in inputs]) for name in inputs[0]}
    batch: NDArray[Any] = np.stack(inputs)
    return batch
