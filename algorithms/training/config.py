"""`TrainingConfig`: settings that all supervised learners share."""

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
        learning_rate: maximum learning rate of Adam (Kingma & Ba 2015).
        schedule: "cosine" raises the rate over the first epoch and lowers it to zero along a cosine
            (Loshchilov & Hutter 2017), "constant" keeps it.
        loss: name of the loss, see `algorithms.policies.losses.LOSSES`, or a `Loss` with settings of its
            own. "huber" if a few rows are outliers, like full throttle at the start; "mse" if such rows
            matter, like keys pressed in bends; "gaussian" also predicts the spread of the
            demonstrations; "classes" keeps different opinions apart instead of steering between them.
        huber_delta: error above which the Huber loss is linear, in units of the action.
        inputs: inputs of the network besides images: () or ("speed",). With the speed the network can tell
            standing from driving, and learns to start off and to brake; see `training_set.motion_weights`.
        past_frames: number of past images that the network gets besides the present one.
        throttle: "learned": the policy controls steering and throttle; "speed_control": the policy only
            steers, a controller keeps the car at ``target_speed``; "auto" chooses by the recordings, see
            `algorithms.training.throttle.choose_throttle`.
        throttle_weight: weight of the throttle's loss; steering has weight 1.
        target_speed: m/s, speed for a steering-only policy; None takes the median speed
            of the training rows. Not with ``throttle="learned"``.
        network: name of the network, see `algorithms.policies.networks.NETWORKS`.
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
        threads: parts of each batch that are computed in parallel, one CPU core each; None takes the
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
    throttle: Literal["auto", "learned", "speed_control"] = "auto"
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
        if isinstance(inputs, str):  # a single one, as from the command line
            object.__setattr__(self, "inputs", (inputs,))
        check_fields(self)
        check_inputs(self.inputs, self.past_frames)
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
        loss = self.loss.to_json() if isinstance(self.loss, Loss) else self.loss
        return {**asdict(self), "loss": loss}

    @property
    def objective(self) -> Loss:
        """The loss object: what the network's outputs mean, and what is minimised."""
        if isinstance(self.loss, Loss):
            return self.loss
        return Huber(self.huber_delta) if self.loss == Huber.name else LOSSES.find(self.loss)()

    @property
    def actions(self) -> tuple[str, ...]:
        """Names of the policy's actions; with ``throttle="auto"`` they are not known before the data are."""
        return ("steering",) if self.throttle == "speed_control" else ("steering", "throttle")
