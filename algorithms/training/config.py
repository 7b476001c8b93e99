"""The settings that every learner by supervision shares: `TrainingConfig`."""

from __future__ import annotations

import difflib
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Annotated, Any, Literal

from typing_extensions import Self

from algorithms.checks import Count, NotNegative, Number, Positive, Share, check_fields
from algorithms.policies.losses import LOSSES, Huber, Loss
from algorithms.policies.network_policy import check_inputs
from algorithms.policies.networks import NETWORKS, check_fits
from algorithms.policies.preprocessing import Preprocessing
from algorithms.training.augment import Augmentation, Geometry
from udacity_gym.errors import OptionError

PARTS = (Preprocessing, Augmentation, Geometry)
"""Types of settings that have settings of their own."""


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of `algorithms.training.trainer.Training`; learners add their own in a subclass.

    Attributes:
        epochs: passes over the training rows; in each every row comes once on average, seen through
            one of its cameras. Rows in which the car stands are left out, see `training_set.motion_weights`.
        steps_per_epoch: batches of an epoch; None takes as many as the rows fill. With a number, training
            takes the same time however much data there is, as for rounds on growing data.
        batch_size: images per step of the optimizer.
        learning_rate: greatest learning rate of Adam (Kingma & Ba 2015).
        schedule: "cosine" lets the rate rise over the first epoch and fall to zero along a cosine
            (Loshchilov & Hutter 2017), "constant" keeps it.
        loss: name of the loss, see `algorithms.policies.losses.LOSSES`, or a `Loss`, for one with its own
            settings. "huber" where a few rows are unlike the rest, like full throttle at the start; "mse"
            where those are what counts, like keys pressed in bends; "gaussian" also predicts how far
            demonstrations scatter; "classes" keeps different opinions apart instead of steering between them.
        huber_delta: where the Huber loss turns from square to linear, in units of the action.
        inputs: what the network is told besides images: () or ("speed",). With the speed it can tell
            standing from driving, and learns to start off and to brake; see `training_set.motion_weights`.
        past_frames: how many past images the network sees besides the present one.
        throttle: "learned": the policy works steering and throttle; "speed_control": steering only,
            a controller keeps the car at ``target_speed``.
        throttle_weight: weight of the throttle's loss; steering has weight 1.
        target_speed: m/s that a steering-only policy is to be driven at; None takes the median speed
            of the training rows. Only with ``throttle="speed_control"``.
        network: name of the network, see `algorithms.policies.networks.NETWORKS`.
        preprocessing: what becomes of an image before the network sees it.
        augmentation: random changes of images and labels.
        geometry: of cameras and car.
        side_cameras: share of the training images taken through the left and the right camera, with
            corrected steering, where they were recorded.
        recovery_time: s after which a car that was moved sideways (side camera, shift, turn) shall be
            back on its path; less makes corrections stronger.
        recovery_distance: m, least distance in which it shall be back, whatever the speed.
        balance: [0, 1] how far the peak of the steering histogram is flattened.
        patience: stop after so many epochs without a better one, by loss or by score; None never stops early.
        judge_every: epochs between two scores, where something else than the loss chooses the best one.
        memory_budget: bytes of prepared images kept in memory; what does not fit is decoded anew.
        threads: parts of each batch that are worked on side by side, one CPU core each; None takes the
            machine's cores, at most 4. The weights depend on it in their last digits.
        seed: same seed, data and settings give the same weights on the same machine.
    """

    epochs: Count = 12
    steps_per_epoch: Count | None = None
    batch_size: Count = 64
    learning_rate: Annotated[float, Number(0, 100, above=True)] = 1e-3
    schedule: Literal["cosine", "constant"] = "cosine"
    loss: Annotated[str | Loss, LOSSES] = "huber"
    huber_delta: Positive = 0.05
    inputs: tuple[str, ...] = ()
    past_frames: Annotated[int, Number(0, 64)] = 0
    throttle: Literal["learned", "speed_control"] = "learned"
    throttle_weight: NotNegative = 0.1
    target_speed: Positive | None = None
    network: Annotated[str, NETWORKS] = "PilotNet"
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
    threads: Count | None = None
    seed: Annotated[int, Number(0, 2**63 - 1)] = 0

    def __post_init__(self) -> None:
        inputs: object = self.inputs
        if isinstance(inputs, str):  # one, as words can give it
            object.__setattr__(self, "inputs", (inputs,))
        check_fields(self)
        check_inputs(self.inputs, self.past_frames)
        check_fits(self.network, self.preprocessing)
        if self.target_speed is not None and self.throttle != "speed_control":
            raise OptionError(
                f'target_speed={self.target_speed!r} needs throttle="speed_control"; '
                f"with throttle={self.throttle!r} the policy chooses its speed itself"
            )

    def with_options(self, **options: Any) -> Self:
        """A copy with some settings changed.

        Raises:
            OptionError: There is no such setting; the message names the nearest.
        """
        known = [f.name for f in fields(self) if f.init]
        for name in options:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
                learner = type(self).__name__.removesuffix("Config")
                raise OptionError(f"{learner} has no setting {name!r}; {hint}")
        return replace(self, **options)

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON-ready values; a loss with settings of its own keeps its name among them."""
        loss = self.loss.to_json() if isinstance(self.loss, Loss) else self.loss
        return {**asdict(self), "loss": loss}

    @property
    def objective(self) -> Loss:
        """What the network's outputs mean, and what is minimised."""
        if isinstance(self.loss, Loss):
            return self.loss
        return Huber(self.huber_delta) if self.loss == Huber.name else LOSSES.find(self.loss)()

    @property
    def actions(self) -> tuple[str, ...]:
        """What the policy will work."""
        return ("steering", "throttle") if self.throttle == "learned" else ("steering",)
