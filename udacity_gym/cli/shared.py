"""Shared by several verbs: environments, drivers, checks of options, evaluation with a report."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from udacity_gym.errors import CheckpointError, OptionError
from udacity_gym.text import count

if TYPE_CHECKING:
    import gymnasium
    import numpy as np
    from numpy.typing import NDArray

    from udacity_gym.evaluation import Evaluation, EvaluationStep
    from udacity_gym.evaluation.encoders import VideoFormat
    from udacity_gym.evaluation.result import Criterion
    from udacity_gym.executors import ExecutorLike
    from udacity_gym.telemetry import Image
    from udacity_gym.world.track.track import Track

EXPERT = "expert"
"""Name of the built-in expert, in place of the folder of a policy."""


def make_env(track: str, **settings: Any) -> gymnasium.Env[Any, Any]:
    """Make the environment with the embedded simulator."""
    import gymnasium

    from udacity_gym import ENV_ID

    return gymnasium.make(ENV_ID, track=track, disable_env_checker=True, **settings)


def make_expert(
    expert: str,
    track: str | Track,
    speed: float | None = None,
    noise: float = 0.0,
    *,
    device: str | None = None,
    precision: str | None = None,
) -> Any:
    """Make an expert.

    Args:
        expert: name of an expert; "expert", which is pure pursuit; or a policy's folder or ONNX file.
        track: track that it drives on.
        speed: maximum speed, m/s; None for the default of the expert.
        noise: standard deviation of the noise on its steering.
        device: where a policy computes, see `udacity_gym.driving.load_policy`.
        precision: arithmetic of a policy.

    Raises:
        OptionError: There is no such expert or device, or a policy was given a speed.
        CheckpointError: The folder has no policy.
    """
    from udacity_gym.driving.loading import policy_path
    from udacity_gym.experts import (
        EXPERTS,
        Noise,
        NoisyExpert,
        PolicyExpert,
        make_expert as make_named_expert,
    )

    expert = "pure_pursuit" if expert == EXPERT else expert
    if expert not in EXPERTS and policy_path(expert).exists():
        if speed is not None:
            raise OptionError("--speed needs a named expert; a policy has its own speed")
        driver: Any = PolicyExpert(load_driver(expert, track, device=device, precision=precision))
    else:
        driver = make_named_expert(expert, track, speed)
    return NoisyExpert(driver, Noise.of(noise)) if noise else driver


def load_driver(
    policy: str, track: str | Track, *, device: str | None = None, precision: str | None = None
) -> Any:
    """Load a policy or make an expert.

    Args:
        policy: a policy's folder, an ONNX file, a Keras model, the name of an expert, or "expert", which is
            pure pursuit.
        track: track of the expert.
        device: where a policy computes, see `udacity_gym.driving.load_policy`; an expert needs none.
        precision: arithmetic of a policy.

    Returns:
        A policy or an expert.

    Raises:
        CheckpointError: The folder has no policy, or there is neither a file nor an expert of this name.
        OptionError: There is no such device, or the policy has no choice of it.
    """
    from udacity_gym.driving.loading import load_policy, policy_path, unknown_driver
    from udacity_gym.experts import EXPERTS, make_expert as make_named_expert

    name = "pure_pursuit" if policy == EXPERT else policy
    path = policy_path(policy)
    if not path.exists():
        if name in EXPERTS:
            return make_named_expert(name, track)
        raise CheckpointError(unknown_driver(policy))
    return load_policy(path, device=device, precision=precision)


class ExecutorOptions(Protocol):
    """Options of a verb whose work is many jobs."""

    @property
    def executor(self) -> str | None:
        """Name of the kind."""
        ...

    @property
    def workers(self) -> int | None:
        """Number of workers."""
        ...

    @property
    def address(self) -> str | None:
        """Address of a cluster."""
        ...

    @property
    def executor_option(self) -> tuple[str, ...]:
        """Further settings, each KEY=VALUE."""
        ...


def executor_of(options: ExecutorOptions) -> ExecutorLike:
    """The executor that the options of a verb describe.

    Raises:
        OptionError: There is no such executor, or it has no such setting.
    """
    from udacity_gym.cli.options import read_value
    from udacity_gym.executors import EXECUTORS

    positive(workers=options.workers)
    settings: dict[str, Any] = {}
    for text in options.executor_option:
        key, sign, value = text.partition("=")
        if not sign:
            raise OptionError(f"--executor-option {text!r} must be KEY=VALUE, such as cpus=2")
        settings[key.strip().replace("-", "_")] = read_value(Any, value)
    settings |= {"address": options.address} if options.address is not None else {}
    if options.executor is None:
        if settings:
            name = "--address" if options.address is not None else "--executor-option"
            raise OptionError(f"{name}: requires an executor, for example --executor ray")
        return options.workers or 1
    kind: Any = EXECUTORS.find(options.executor)
    settings |= {"workers": options.workers} if options.workers is not None else {}
    if is_dataclass(kind):
        known = {field.name for field in fields(kind)}
        # what is no setting of ours is one of the engine
        own = {name: value for name, value in settings.items() if name in known}
        others = {name: value for name, value in settings.items() if name not in known}
        if others and "options" not in known:
            raise OptionError(
                f"--executor {options.executor} has no setting {', '.join(others)}; it has {', '.join(known)}"
            )
        settings = {**own, "options": others} if others else own
    executor: ExecutorLike = kind(**settings)
    return executor


def check_seed(seed: int) -> None:
    """Check that a seed is valid for all random number generators.

    Raises:
        OptionError: The seed is negative, or has more than 63 bits.
    """
    if not 0 <= seed < 2**63:
        raise OptionError(f"--seed must be 0 or above, and below 2**63, got {seed}")


def positive(**numbers: float | None) -> None:
    """Check that options are finite and above zero, or None.

    Raises:
        OptionError: The message names the option.
    """
    for name, value in numbers.items():
        if value is not None and not 0 < value < math.inf:
            raise OptionError(f"--{name.replace('_', '-')} must be above 0, got {value}")


class ImageSampler:
    """Keep camera images at even distances over the first lap; an ``on_step`` hook.

    Attributes:
        images: pairs of caption and image.
    """

    def __init__(self, track_length: float, count: int = 5) -> None:
        self.images: list[tuple[str, Image]] = []
        self._distances = [track_length * (k + 0.5) / count for k in range(count)]

    def __call__(self, step: EvaluationStep) -> None:
        """Keep the image if the car has reached the next distance."""
        if len(self.images) < len(self._distances) and step.distance >= self._distances[len(self.images)]:
            observation = step.observation
            image = observation["center"] if isinstance(observation, Mapping) else observation
            self.images.append((f"driving, at {float(step.next_info['s']):.0f} m", image))


def drive_and_report(
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
    video_format: VideoFormat = "webm",
    speed_up: float = 4.0,
    title: str | None = None,
    facts: Mapping[str, str] | None = None,
    demonstrations: NDArray[np.floating[Any]] | None = None,
    images: Sequence[tuple[str, Image]] = (),
) -> Evaluation:
    """Evaluate a driver and write ``evaluation.json``, a video ``drive`` and ``report.html`` to a folder.

    Returns:
        The evaluation.
    """
    from udacity_gym.driving.policy_inputs import cameras_for, image_size_for
    from udacity_gym.evaluation import DriveVideo, evaluate, write_report
    from udacity_gym.evaluation.figures import NO_FIGURES
    from udacity_gym.world.track.track import Track

    sampler = ImageSampler(Track.load(track).length)
    hooks: list[Callable[[EvaluationStep], object]] = [sampler]
    video_path = folder / f"drive.{video_format}" if video else None
    env = make_env(
        track,
        direction=direction,
        conditions=conditions,
        image_size=image_size_for(driver),
        cameras=cameras_for(driver),
    )
    with ExitStack() as stack:
        stack.callback(env.close)
        if video_path is not None:
            hooks.append(stack.enter_context(DriveVideo(video_path, speed_up=speed_up)))
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
    if NO_FIGURES is not None:
        print(f"The report has no figures: {NO_FIGURES}")
    write_report(
        folder / "report.html",
        evaluation,
        title=title,
        facts={"Conditions": conditions, **training_facts(driver), **(facts or {})},
        demonstrations=demonstrations,
        losses=losses_of(driver),
        images=[*images, *sampler.images],
        video=video_path if video_path is not None and video_path.exists() else None,
    )
    return evaluation


def losses_of(driver: Any) -> dict[str, list[float]]:
    """Loss of each epoch, from the checkpoint of a policy: "training" and "validation"."""
    epoch_log = _training(driver).get("epoch_log", [])
    losses = {
        "training": [epoch.get("train_loss") for epoch in epoch_log],
        "validation": [epoch.get("validation_loss") for epoch in epoch_log],
    }
    return {name: values for name, values in losses.items() if values and None not in values}


def training_facts(driver: Any) -> dict[str, str]:
    """Facts about the training for the report, from the checkpoint of a policy."""
    training = _training(driver)
    settings = training.get("settings", {})
    facts = {}
    if "learner" in training:
        facts["Learner"] = str(training["learner"])
    if settings:
        facts["Training"] = (
            f"{count(len(training.get('epoch_log', [])), 'epoch')}, seed {settings.get('seed')}"
        )
    actions = getattr(driver, "actions", None)
    if actions is not None:
        facts["Actions"] = ", ".join(actions)
    speed = getattr(driver, "target_speed", None)
    if speed is not None:
        facts["Speed"] = f"{speed:.1f} m/s, kept by a controller"
    law = getattr(driver, "throttle_law", None)
    if law is not None:
        facts["Throttle law"] = str(law)
    return facts


def _training(driver: Any) -> Mapping[str, Any]:
    training = getattr(driver, "training", None)
    return training if isinstance(training, Mapping) else {}
