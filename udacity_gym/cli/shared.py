"""What several verbs need: environments, drivers, checks of options, and a judged drive."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from udacity_gym.errors import OptionError

if TYPE_CHECKING:
    import gymnasium
    import numpy as np
    from numpy.typing import NDArray

    from udacity_gym.evaluation import Evaluation, EvaluationStep
    from udacity_gym.evaluation.result import Criterion
    from udacity_gym.telemetry import Image
    from udacity_gym.world.track.track import Track

EXPERT = "expert"
"""What to say instead of a policy's folder to have the built-in expert drive."""


def make_env(track: str, **settings: Any) -> gymnasium.Env[Any, Any]:
    """Make the environment with the embedded simulator."""
    import gymnasium

    from udacity_gym import ENV_ID

    return gymnasium.make(ENV_ID, track=track, disable_env_checker=True, **settings)


def make_expert(expert: str, track: str | Track, speed: float | None = None, noise: float = 0.0) -> Any:
    """The expert that demonstrates.

    Args:
        expert: name of an expert; "expert", which is pure pursuit; or a policy's folder or ONNX file.
        track: where it drives.
        speed: m/s at most; None is its own choice.
        noise: standard deviation of what its steering is perturbed by.

    Raises:
        OptionError: There is no such expert, or a policy was given a speed.
        CheckpointError: The folder holds no policy.
    """
    from udacity_gym.experts import EXPERTS, Noise, NoisyExpert, PolicyExpert, make_expert as by_name

    expert = "pure_pursuit" if expert == EXPERT else expert
    if expert not in EXPERTS and Path(expert).exists():
        if speed is not None:
            raise OptionError("--speed is for experts by name; a policy drives at its own speed")
        made: Any = PolicyExpert(load_driver(expert, track))
    else:
        made = by_name(expert, track, speed)
    return NoisyExpert(made, Noise.of(noise)) if noise else made


def load_driver(policy: str, track: str | Track) -> Any:
    """Load who is to drive.

    Args:
        policy: a policy's folder, an ONNX file, a Keras model, the name of an expert, or "expert", which is
            pure pursuit.
        track: the expert's track.

    Returns:
        A policy or an expert.

    Raises:
        CheckpointError: The folder holds no policy.
    """
    from udacity_gym.driving.loading import load_policy
    from udacity_gym.experts import EXPERTS, make_expert as by_name

    name = "pure_pursuit" if policy == EXPERT else policy
    if not Path(policy).exists() and name in EXPERTS:
        return by_name(name, track)
    return load_policy(policy)


def check_seed(seed: int) -> None:
    """Refuse a seed that not every generator of random numbers takes.

    Raises:
        OptionError: The seed is negative, or has more than 63 bits.
    """
    if not 0 <= seed < 2**63:
        raise OptionError(f"--seed must be 0 or above, and below 2**63, got {seed}")


def positive(**numbers: float | None) -> None:
    """Refuse numbers that are not finite and above zero; None is fine.

    Raises:
        OptionError: The message names the option.
    """
    for name, value in numbers.items():
        if value is not None and not 0 < value < math.inf:
            raise OptionError(f"--{name.replace('_', '-')} must be above 0, got {value}")


class Sightseer:
    """Keeps some images of what the car sees, evenly over the first lap; an ``on_step`` hook.

    Attributes:
        images: captions and images.
    """

    def __init__(self, track_length: float, count: int = 5) -> None:
        self.images: list[tuple[str, Image]] = []
        self._places = [track_length * (k + 0.5) / count for k in range(count)]

    def __call__(self, step: EvaluationStep) -> None:
        """Take an image if it is time for one."""
        if len(self.images) < len(self._places) and step.distance >= self._places[len(self.images)]:
            seen = step.observation
            image = seen["center"] if isinstance(seen, Mapping) else seen
            self.images.append((f"driving, at {float(step.next_info['s']):.0f} m", image))


def judge(
    driver: Any,
    folder: Path,
    *,
    track: str,
    direction: str | None = None,
    conditions: str = "clear",
    laps: int,
    seed: int,
    intervene: Criterion = "edge",
    max_seconds: float | None = None,
    video: bool = True,
    speed_up: float = 4.0,
    title: str | None = None,
    facts: Mapping[str, str] | None = None,
    demonstrations: NDArray[np.floating[Any]] | None = None,
    images: Sequence[tuple[str, Image]] = (),
) -> Evaluation:
    """Let somebody drive, and write ``evaluation.json``, ``drive.webm`` and ``report.html`` into a folder.

    Returns:
        The evaluation.
    """
    from udacity_gym.driving.policy_inputs import image_size_for
    from udacity_gym.evaluation import DriveVideo, evaluate, write_report
    from udacity_gym.world.track.track import Track

    sightseer = Sightseer(Track.load(track).length)
    hooks: list[Callable[[EvaluationStep], object]] = [sightseer]
    film = folder / "drive.webm" if video else None
    env = make_env(track, direction=direction, conditions=conditions, image_size=image_size_for(driver))
    with ExitStack() as stack:
        stack.callback(env.close)
        if film is not None:
            hooks.append(stack.enter_context(DriveVideo(film, speed_up=speed_up)))
        evaluation = evaluate(
            driver,
            env,
            laps,
            seed=seed,
            max_seconds=max_seconds,
            intervene=intervene,
            on_step=lambda step: [hook(step) for hook in hooks],
            progress=True,
        )
        evaluation.save(folder / "evaluation.json")
    write_report(
        folder / "report.html",
        evaluation,
        title=title,
        facts={"Conditions": conditions, **training_facts(driver), **(facts or {})},
        demonstrations=demonstrations,
        losses=losses_of(driver),
        images=[*images, *sightseer.images],
        video=film if film is not None and film.exists() else None,
    )
    return evaluation


def losses_of(driver: Any) -> dict[str, list[float]]:
    """Loss by epoch, as a policy's checkpoint remembers it: "training" and "validation"."""
    epoch_log = _training(driver).get("epoch_log", [])
    losses = {
        "training": [epoch.get("train_loss") for epoch in epoch_log],
        "validation": [epoch.get("validation_loss") for epoch in epoch_log],
    }
    return {name: values for name, values in losses.items() if values and None not in values}


def training_facts(driver: Any) -> dict[str, str]:
    """What a policy's checkpoint remembers of its training, for people."""
    training = _training(driver)
    settings = training.get("settings", {})
    facts = {}
    if "learner" in training:
        facts["Learner"] = str(training["learner"])
    if settings:
        facts["Training"] = f"{len(training.get('epoch_log', []))} epochs, seed {settings.get('seed')}"
    actions = getattr(driver, "actions", None)
    if actions is not None:
        facts["Actions"] = ", ".join(actions)
    speed = getattr(driver, "target_speed", None)
    if speed is not None:
        facts["Speed"] = f"kept at {speed:.1f} m/s by a controller"
    return facts


def _training(driver: Any) -> Mapping[str, Any]:
    training = getattr(driver, "training", None)
    return training if isinstance(training, Mapping) else {}
