"""`TrainingConfig`: settings that all supervised learners share."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Annotated, Any, Literal

from typing_extensions import Self

from algorithms.checks import Count, NotNegative, Number, Positive, Share, check_fields
from algorithms.policies.device import AUTO, Precision, check_precision, find_device
from algorithms.policies.losses import LOSSES, Huber, Loss, LossSetting, make_loss
from algorithms.policies.network_policy import NetworkPolicy, check_cameras, check_inputs
from algorithms.policies.networks import NETWORKS, Network, check_fits, network_name
from algorithms.policies.preprocessing import Preprocessing
from algorithms.training.augment import Augmentation, Geometry
from algorithms.training.optimizers import OPTIMIZERS, SCHEDULES, OptimizerClass, optimizer_name
from udacity_gym.driving.chunks import Chunks
from udacity_gym.errors import OptionError

NESTED_SETTINGS = (Preprocessing, Augmentation, Geometry)
"""Types of settings that are dataclasses with settings of their own."""


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of `algorithms.training.trainer.Training`; learners add their own in a subclass.

    Attributes:
        epochs: passes over the training rows; in each, every row is used once on average, with the image of
            one of its cameras. Rows in which the car stands are left out, see `training_set.motion_weights`.
        steps_per_epoch: batches of an epoch; None takes as many as the rows fill. With a number, the training
            time does not depend on the amount of data, as for rounds on growing data.
        batch_size: images per step of the optimizer.
        learning_rate: maximum learning rate.
        optimizer: name of a class of ``torch.optim``, or a class or function of your own; the default is Adam
            (Kingma & Ba 2015).
        optimizer_options: other arguments of the optimizer, such as ``{"betas": (0.9, 0.99)}``.
        weight_decay: weight decay; None takes the optimizer's own default.
        max_grad_norm: norm to which the gradients of a step are clipped (Pascanu et al. 2013); None clips
            none.
        schedule: "cosine" raises the rate over the first epoch and lowers it to zero along a cosine
            (Loshchilov & Hutter 2017), "constant" keeps it; or a class of ``torch.optim.lr_scheduler``.
        schedule_options: arguments of such a class, such as ``{"step_size": 5}`` of StepLR.
        loss: name of the loss, see `algorithms.policies.losses.LOSSES`, a `Loss` with settings of its own, or
            a function of predictions and labels. "huber" if a few rows are outliers, like full throttle at
            the start; "mse" if such rows matter, like keys pressed in bends; "gaussian" also predicts the
            spread of the demonstrations; "classes" and "gmm" keep different opinions apart instead of
            steering between them.
        huber_delta: error above which the Huber loss is linear, in units of the action.
        inputs: inputs of the network besides images, names of
            `udacity_gym.driving.policy_inputs.MEASUREMENTS`. With ("speed",) the network can tell standing
            from driving, and learns to start off and to brake; see `training_set.motion_weights`.
        cameras: cameras whose images the network gets together. With more than one, no side camera
            replaces the centre camera in training, see ``side_cameras``.
        past_frames: number of past images that the network gets besides the present one.
        chunk_size: number of steps whose actions the network predicts, the present one first.
        action_steps: number of actions that the policy executes before the network runs again; 1 runs it at
            every step, see `udacity_gym.driving.chunks.Chunks`.
        ensemble_decay: with ``action_steps=1``, weights of the average over the predictions for a step; None
            takes the newest alone.
        latent: size of the latent variable of a network that has one, such as ACT (32 in Zhao et al. 2023); 0
            trains without.
        kl_weight: weight of the divergence of the latent variable from its prior.
        throttle: "learned": the policy controls steering and throttle; "speed_control": the policy only
            steers, a controller keeps the car at ``target_speed``; "auto" chooses by the recordings, see
            `algorithms.training.throttle.choose_throttle`.
        throttle_weight: weight of the throttle's loss; steering has weight 1.
        target_speed: m/s, speed for a steering-only policy; None takes the median speed
            of the training rows. Not with ``throttle="learned"``.
        network: name of the network, see `algorithms.policies.networks.NETWORKS`, or a class or function that
            makes one.
        policy: class of the policy, with a loss of its own: a subclass of `NetworkPolicy`.
        preprocessing: how images are prepared for the network.
        augmentation: random changes of images and labels.
        geometry: geometry of cameras and car.
        side_cameras: share of the training images taken through the left and the right camera, with
            corrected steering, where they were recorded.
        recovery_time: s after which a car that was moved sideways (side camera, shift, turn) should be
            back on its path; a shorter time makes corrections stronger.
        recovery_distance: m, minimum distance in which it should be back, at any speed.
        balance: [0, 1] how far the peak of the steering histogram is flattened.
        patience: stop after this many epochs without a better one, by loss or score; None never stops early.
        judge_every: epochs between two scores, if a score chooses the best epoch and not the loss.
        memory_budget: bytes of prepared images kept in memory; other images are decoded again.
        device: where the network computes: "cpu", "cuda", "cuda:1", "mps"; "auto" takes a GPU if there is
            one.
        precision: arithmetic of the network: "float32", or "bfloat16", which is quicker on GPUs and on CPUs
            with instructions for it. Weights and optimizer are float32.
        threads: parts of each batch that are computed in parallel, one CPU core each; None takes the
            machine's cores, at most 4. The weights depend on it in their last digits.
        seed: same seed, data and settings give the same weights on the same CPU.
    """

    epochs: Count = 12
    steps_per_epoch: Count | None = None
    batch_size: Count = 64
    learning_rate: Annotated[float, Number(0, 100, above=True)] = 1e-3
    optimizer: Annotated[str | OptimizerClass, OPTIMIZERS] = "Adam"
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    weight_decay: NotNegative | None = None
    max_grad_norm: Positive | None = None
    schedule: Annotated[str, SCHEDULES] = "cosine"
    schedule_options: Mapping[str, Any] = field(default_factory=dict)
    loss: Annotated[LossSetting, LOSSES] = "huber"
    huber_delta: Positive = 0.05
    inputs: tuple[str, ...] = ()
    past_frames: Annotated[int, Number(0, 64)] = 0
    cameras: tuple[str, ...] = ("center",)
    chunk_size: Annotated[int, Number(1, 1000)] = 1
    action_steps: Count = 1
    ensemble_decay: Annotated[float, Number(-100, 100, optional=True)] | None = 0.01
    latent: Annotated[int, Number(0, 1024)] = 0
    kl_weight: NotNegative = 10.0
    throttle: Literal["auto", "learned", "speed_control"] = "auto"
    throttle_weight: NotNegative = 0.1
    target_speed: Positive | None = None
    network: Annotated[str | Network, NETWORKS] = "PilotNet"
    policy: type[NetworkPolicy] = NetworkPolicy
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    augmentation: Augmentation = field(default_factory=Augmentation)
    geometry: Geometry = field(default_factory=Geometry)
    side_cameras: Share = 0.5
    recovery_time: Annotated[float, Number(0, 100, above=True)] = 0.6
    recovery_distance: Annotated[float, Number(0, 1000, above=True)] = 5.0
    balance: Share = 0.5
    patience: Count | None = None
    judge_every: Count = 1
    memory_budget: NotNegative = 1e9
    device: str = AUTO
    precision: Precision = "float32"
    threads: Count | None = None
    seed: Annotated[int, Number(0, 2**63 - 1)] = 0

    def __post_init__(self) -> None:
        for name in ("inputs", "cameras"):
            value = getattr(self, name)
            if isinstance(value, str):  # as from the command line: one, or several with commas
                object.__setattr__(self, name, tuple(part.strip() for part in value.split(",")))
        check_fields(self)
        check_inputs(self.inputs, self.past_frames)
        check_cameras(self.cameras)
        check_precision(find_device(self.device), self.precision)
        for name in ("optimizer_options", "schedule_options"):
            options = getattr(self, name)
            if not isinstance(options, Mapping) or not all(isinstance(key, str) for key in options):
                raise OptionError(
                    f'{name}={options!r} must be a dict by argument, such as {{"step_size": 5}}'
                )
        if not (isinstance(self.policy, type) and issubclass(self.policy, NetworkPolicy)):
            raise OptionError(f"policy={self.policy!r} must be a subclass of NetworkPolicy")
        _ = self.chunks  # checks the settings together
        check_fits(self.network, self.preprocessing)
        if self.target_speed is not None and self.throttle == "learned":
            raise OptionError(
                f'target_speed={self.target_speed!r} needs throttle="speed_control"; '
                f"with throttle={self.throttle!r} the policy chooses its speed itself"
            )

    def with_options(self, **options: Any) -> Self:
        """A copy with some settings changed.

        Raises:
            OptionError: A setting is unknown; the message suggests the closest name.
        """
        names = [f.name for f in fields(self) if f.init]
        for name in options:
            if name not in names:
                matches = difflib.get_close_matches(name, names, n=1)
                hint = f"did you mean {matches[0]!r}?" if matches else f"there are {', '.join(names)}"
                learner = type(self).__name__.removesuffix("Config")
                raise OptionError(f"{learner} has no setting {name!r}; {hint}")
        return replace(self, **options)

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON-ready values; a loss with settings of its own includes its name."""
        loss = self.loss if isinstance(self.loss, str) else make_loss(self.loss).to_json()
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            **{
                name: asdict(value) if isinstance(value, NESTED_SETTINGS) else value
                for name, value in values.items()
            },
            "loss": loss,
            "network": network_name(self.network),
            "optimizer": optimizer_name(self.optimizer),
            "policy": self.policy.__name__,
            **{
                name: json.loads(json.dumps(dict(values[name]), default=repr))
                for name in ("optimizer_options", "schedule_options")
            },
        }

    @property
    def objective(self) -> Loss:
        """The loss object: what the network's outputs mean, and what is minimised."""
        return Huber(self.huber_delta) if self.loss == Huber.name else make_loss(self.loss)

    @property
    def chunks(self) -> Chunks:
        """How many steps the network predicts, and how the policy drives with them."""
        return Chunks(self.chunk_size, self.action_steps, self.ensemble_decay)

    @property
    def actions(self) -> tuple[str, ...]:
        """Names of the policy's actions; with ``throttle="auto"`` they are not known before the data are."""
        return ("steering",) if self.throttle == "speed_control" else ("steering", "throttle")
