"""Adapter to Stable-Baselines3: improve a cloned policy with reinforcement learning.

`start_from` makes a model of SB3 (PPO, A2C or SAC) whose actor is a cloned network: before any training it
acts like the policy. `policy_of` takes the trained actor out again, as a policy that is saved, exported
and evaluated like any other. Models of SB3 have ``predict``, so `udacity_gym.evaluation.evaluate` takes them
too, in the environment that they were trained in. `StateVectorExpert` makes an expert from a model that
drives by the state vector.
"""

from __future__ import annotations

from udacity_gym.installation import missing

try:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
    from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
    from stable_baselines3.common.vec_env import VecEnv
    from stable_baselines3.sac.policies import SACPolicy
    from stable_baselines3.sac.sac import SAC
except ImportError as error:
    raise missing("stable_baselines3", __name__, error=error) from error

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from algorithms.policies.losses import Gaussian, MeanSquare
from algorithms.policies.network_policy import NetworkPolicy, one_thread
from algorithms.policies.preprocessing import Preprocessing
from udacity_gym.errors import OptionError, SimulatorError
from udacity_gym.observer import STATE_SCALES, state_vector
from udacity_gym.telemetry import Image, Telemetry
from udacity_gym.world.track.track import Track
from udacity_gym.wrappers import fit_to

if TYPE_CHECKING:
    from pathlib import Path

Model = TypeVar("Model", bound=BaseAlgorithm)


class PreparedImages(gymnasium.ObservationWrapper[Image, Any, Any]):
    """Observations are prepared images instead of camera images: a quarter of the memory in SB3's buffers.

    The observation becomes ``Box(0, 255, (3, *preprocessing.size), uint8)``, channels first as SB3 has them.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], preprocessing: Preprocessing) -> None:
        """Wrap an environment.

        Args:
            env: its observation is one image.
            preprocessing: the policy's preprocessing.

        Raises:
            OptionError: The observation is something else, or of another size.
        """
        super().__init__(env)
        expected = (*preprocessing.camera_size, 3)
        if env.observation_space.shape != expected:
            raise OptionError(
                f"the policy looks at one image {expected}, this environment gives {env.observation_space}; "
                "make it with cameras=('center',)"
            )
        self.preprocessing = preprocessing
        self.observation_space = spaces.Box(0, 255, (3, *preprocessing.size), np.uint8)

    def observation(self, observation: Image) -> Image:
        """Prepare an image."""
        return self.see(observation)

    def see(self, image: Image) -> Image:
        """The observation that a camera's image, (*preprocessing.camera_size, 3) uint8 RGB, becomes."""
        return np.ascontiguousarray(np.moveaxis(self.preprocessing(image), 2, 0))


class NetworkFeatures(gymnasium.ObservationWrapper[NDArray[np.float32], Any, Any]):
    """Observations are the features of a network's convolutions, as a vector.

    If the convolutions are not trained, an actor needs nothing else. They run once for each step
    instead of once in every epoch of training, and a buffer holds a thousand numbers for each image.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], policy: NetworkPolicy) -> None:
        """Wrap an environment.

        Args:
            env: its observation is one image.
            policy: the policy with network and preprocessing.

        Raises:
            OptionError: The observation is something else, or the network can't be divided.
        """
        self._features = _divide(_actor(policy), len(policy.actions))[0].requires_grad_(False)
        self._images = PreparedImages(env, policy.preprocessing)
        super().__init__(self._images)
        self._preprocessing = policy.preprocessing
        shape = self._compute_features(np.zeros(self._images.observation_space.shape or (), np.uint8)).shape
        self.observation_space = spaces.Box(-np.inf, np.inf, shape, np.float32)

    def observation(self, observation: Image) -> NDArray[np.float32]:
        """Compute the features of a prepared image."""
        return self._compute_features(observation)

    def see(self, image: Image) -> NDArray[np.float32]:
        """The observation that a camera's image, (*preprocessing.camera_size, 3) uint8 RGB, becomes."""
        return self._compute_features(self._images.see(image))

    def _compute_features(self, image: Image) -> NDArray[np.float32]:
        with torch.inference_mode(), one_thread(when=True):
            batch = self._preprocessing.normalize(torch.from_numpy(image).permute(1, 2, 0)[None])
            features: NDArray[np.float32] = self._features(batch)[0].numpy()
        return features


def start_from(
    policy: NetworkPolicy,
    algorithm: type[Model],
    env: gymnasium.Env[Any, Any] | VecEnv,
    *,
    train_features: bool = False,
    log_std: float | tuple[float, ...] = -2.5,
    critic: tuple[int, ...] = (128, 64),
    **settings: Any,
) -> Model:
    """Make a model of SB3 that begins as a cloned policy.

    The actor is a copy of the policy's network. The critic is new, on the same features, and untrained: train
    it first with `CriticFirst`, or its wrong values spoil the policy.

    Args:
        policy: of a network that is ``features`` and then ``head``, such as PilotNet, on one image. Of one
            that was trained with ``loss="gaussian"``, the mean is taken.
        algorithm: ``PPO``, ``A2C`` or ``SAC``, the class.
        env: a UdacityEnv with one camera. It is wrapped in `NetworkFeatures`, or `PreparedImages` if the
            convolutions are to learn, and for a policy that only steers in `SpeedControl`. Or a ``VecEnv`` of
            such, each wrapped already; then it says by itself whether the convolutions are to learn.
        train_features: whether the convolutions learn as well; without them training is several times
            faster, and does not forget what roads look like.
        log_std: natural logarithm of the noise's standard deviation at the beginning, in shares of full lock
            and full throttle; one for all actions, or one for each.
        critic: sizes of the critic's hidden layers.
        settings: of the algorithm, such as ``learning_rate``.

    Returns:
        The model, ready to ``learn``.

    Raises:
        OptionError: The network can't be divided, the environment is not wrapped as it should be, or the
            algorithm is of another kind.
    """
    settings["policy_kwargs"] = {
        **actor_settings(policy, log_std, critic),
        **settings.get("policy_kwargs", {}),
    }
    if issubclass(algorithm, SAC):
        kind: type[Any] = ClonedSACPolicy
    elif issubclass(algorithm, OffPolicyAlgorithm):
        raise OptionError(f"{algorithm.__name__} can't start from a policy here; PPO, A2C and SAC can")
    else:
        kind = ClonedActorCritic
    return algorithm(kind, _fit_env(env, policy, train_features), **settings)


def _fit_env(
    env: gymnasium.Env[Any, Any] | VecEnv, policy: NetworkPolicy, train_features: bool
) -> gymnasium.Env[Any, Any] | VecEnv:
    """Wrap an environment so that it fits the actor's observations and actions."""
    if isinstance(env, VecEnv):
        fits = env.action_space.shape == (len(policy.actions),)
        if not fits or not all(env.env_is_wrapped(PreparedImages)):
            raise OptionError(
                "start_from can't reach into a VecEnv: wrap each of its environments before, "
                "DummyVecEnv([lambda: NetworkFeatures(fit_to(policy, gym.make(...)), policy)] * 4)"
            )
        return env
    if not isinstance(env, gymnasium.Env):
        raise OptionError(f"env={env!r} must be an environment, or a VecEnv of Stable-Baselines3")
    env = fit_to(policy, env)
    return PreparedImages(env, policy.preprocessing) if train_features else NetworkFeatures(env, policy)


def actor_settings(
    policy: NetworkPolicy, log_std: float | tuple[float, ...] = -2.5, critic: tuple[int, ...] = (128, 64)
) -> dict[str, Any]:
    """Arguments of `ClonedActorCritic` and `ClonedSACPolicy`, with a copy of a policy's network."""
    return {
        "network": _actor(policy),
        "preprocessing": policy.preprocessing,
        "log_std": log_std,
        "critic": critic,
    }


def policy_of(model: BaseAlgorithm | BasePolicy, like: NetworkPolicy) -> NetworkPolicy:
    """Take the actor out of a model.

    Args:
        model: a model that `start_from` made, trained or not; or the policy of such a model.
        like: the policy that it started from.

    Returns:
        A new policy that acts like ``model.predict(..., deterministic=True)``.

    Raises:
        OptionError: The model's actor is no cloned network.
    """
    actor = model.policy if isinstance(model, BaseAlgorithm) else model
    if not isinstance(actor, (ClonedActorCritic, ClonedSACPolicy)):
        raise OptionError(f"{type(actor).__name__} is no cloned network; make the model with start_from")
    network = copy.deepcopy(actor.cloned).cpu().requires_grad_(True)
    training = dict(like.training)
    if isinstance(model, BaseAlgorithm):
        training["then"] = f"{type(model).__name__}, {model.num_timesteps} steps"
    return NetworkPolicy(
        network,
        like.preprocessing,
        like.actions,
        like.target_speed,
        training,
        throttle_law=like.throttle_law,
    )


class CriticFirst(BaseCallback):
    """Callback that trains only the critic at first, so that its values are useful before the actor learns.

    Args:
        steps: steps of the environment in which the actor is not trained.
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def _on_training_start(self) -> None:
        self._freeze_actor(True)

    def _on_rollout_start(self) -> None:
        # After the steps a whole rollout begins with an actor that learns.
        self._freeze_actor(self.num_timesteps < self.steps)

    def _on_step(self) -> bool:
        return True

    def _freeze_actor(self, held: bool) -> None:
        policy = self.model.policy
        if not isinstance(policy, ClonedActorCritic):
            raise OptionError("CriticFirst is for PPO and A2C models that start_from has made")
        policy.hold_actor(held)


class ClonedFeatures(BaseFeaturesExtractor):
    """A cloned network's convolutions, from prepared images (n, 3, height, width) to features (n, k).

    Where the environment shows features already, it hands them through.
    """

    def __init__(
        self, observation_space: spaces.Box, features: nn.Module, preprocessing: Preprocessing
    ) -> None:
        shape = observation_space.shape
        if len(shape) == 1:
            super().__init__(observation_space, shape[0])
            self.features: nn.Module | None = None
            return
        with torch.no_grad():
            size = features(torch.zeros(1, *shape)).shape[1]
        super().__init__(observation_space, int(size))
        self.features = features
        self.scale, self.offset = preprocessing.scale, preprocessing.offset

    def forward(self, observations: Tensor) -> Tensor:
        """Map observations to features."""
        if self.features is None:
            return observations
        out: Tensor = self.features(observations.float() * self.scale + self.offset)
        return out


class _Heads(nn.Module):
    """What SB3 calls the MLP extractor: hidden layers of the actor, from the network, and of the critic."""

    def __init__(self, size: int, actor: nn.Sequential, critic: tuple[int, ...]) -> None:
        super().__init__()
        self.policy_net = actor
        layers: list[nn.Module] = []
        for before, width in zip((size, *critic), critic, strict=False):
            layers += [nn.Linear(before, width), nn.ELU()]
        self.value_net = nn.Sequential(*layers)
        with torch.no_grad():
            self.latent_dim_pi = int(actor(torch.zeros(1, size)).shape[1])
        self.latent_dim_vf = critic[-1] if critic else size

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return self.forward_actor(features), self.forward_critic(features)

    def forward_actor(self, features: Tensor) -> Tensor:
        out: Tensor = self.policy_net(features)
        return out

    def forward_critic(self, features: Tensor) -> Tensor:
        # The critic only reads the features, so that its errors do not change them for the actor.
        out: Tensor = self.value_net(features.detach())
        return out


class ClonedActorCritic(ActorCriticPolicy):
    """SB3's actor and critic with a cloned network as actor; `start_from` makes it.

    Attributes:
        cloned: the network whose parts the actor consists of.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Box,
        lr_schedule: Any,
        *,
        network: nn.Module,
        preprocessing: Preprocessing,
        log_std: float | tuple[float, ...],
        critic: tuple[int, ...],
        **settings: Any,
    ) -> None:
        features, hidden, last = _divide(network, int(np.prod(action_space.shape)))
        self._parts = (
            hidden,
            last,
            critic,
            log_std,
        )  # a Module takes no Modules so early, but a tuple
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            features_extractor_class=ClonedFeatures,
            features_extractor_kwargs={"features": features, "preprocessing": preprocessing},
            normalize_images=False,
            ortho_init=False,
            **settings,
        )
        self.cloned = network

    def _build_mlp_extractor(self) -> None:
        hidden, _, critic, _ = self._parts
        self.mlp_extractor: Any = _Heads(self.features_dim, hidden, critic)

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        _, self.action_net, _, log_std = self._parts
        with torch.no_grad():
            self.log_std.copy_(torch.tensor(log_std))
        make_optimizer: Any = self.optimizer_class
        self.optimizer = make_optimizer(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)

    def hold_actor(self, held: bool) -> None:
        """Keep the actor from learning, or let it learn again."""
        self.mlp_extractor.policy_net.requires_grad_(not held)
        self.action_net.requires_grad_(not held)
        self.log_std.requires_grad_(not held)
        self.features_extractor.requires_grad_(not held)


class _Unsquash(nn.Module):
    """The last layers of a network as SAC wants them: SAC squashes its mean by tanh, a policy clips its."""

    def __init__(self, last: nn.Module) -> None:
        super().__init__()
        self.last = last

    def forward(self, latent: Tensor) -> Tensor:
        out: Tensor = torch.atanh(_Bounded.apply(self.last(latent)))  # type: ignore[no-untyped-call]
        return out


class _Bounded(torch.autograd.Function):
    """Clips to what tanh can reach. Unlike that of a clamp, its gradient leads back in from beyond.

    Only what would lead further out is zero: the clone of an expert at full throttle is a little beyond
    it, and has to be able to lift.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        """Clip values."""
        ctx.save_for_backward(values)
        return values.clamp(-_NEARLY_ONE, _NEARLY_ONE)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Pass a gradient on, unless following it (downhill) leads further out."""
        (values,) = ctx.saved_tensors
        outwards = (values.abs() > _NEARLY_ONE) & (values * gradient < 0)
        return gradient.masked_fill(outwards, 0.0)


_NEARLY_ONE = 0.999


class ClonedSACPolicy(SACPolicy):
    """SB3's policy of SAC with a cloned network as the mean of its actor; `start_from` makes it.

    Attributes:
        cloned: the network whose parts the actor consists of.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Box,
        lr_schedule: Any,
        *,
        network: nn.Module,
        preprocessing: Preprocessing,
        log_std: float | tuple[float, ...],
        critic: tuple[int, ...],
        **settings: Any,
    ) -> None:
        features, hidden, last = _divide(network, int(np.prod(action_space.shape)))
        self._parts = hidden, last, log_std
        self._used = False
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            net_arch={"pi": [], "qf": list(critic)},
            features_extractor_class=ClonedFeatures,
            features_extractor_kwargs={"features": features, "preprocessing": preprocessing},
            normalize_images=False,
            share_features_extractor=True,
            **settings,
        )
        self.cloned = network

    def make_actor(self, features_extractor: Any = None) -> Any:
        """Make SB3's actor and put the network's layers into it."""
        hidden, last, log_std = self._parts
        actor: Any = super().make_actor(features_extractor)
        noise = nn.Linear(last.in_features, last.out_features)
        nn.init.zeros_(noise.weight)
        with torch.no_grad():
            noise.bias.copy_(torch.tensor(log_std))
        actor.latent_pi, actor.mu, actor.log_std = hidden, _Unsquash(last), noise
        return actor.to(self.device)

    def make_features_extractor(self) -> BaseFeaturesExtractor:
        """The network's convolutions for the actor, which the critic shares; a copy for its target."""
        extractor = super().make_features_extractor()
        first, self._used = not self._used, True
        return extractor if first else copy.deepcopy(extractor)


class StateVectorExpert:
    """Expert with a model that drives by the state vector, to train a policy that gets images.

    Args:
        model: anything with SB3's ``predict``, trained in an environment with ``cameras=()``.
        track: the track to drive on.
    """

    def __init__(self, model: Any, track: str | Path | Track = "lake") -> None:
        shape = getattr(getattr(model, "observation_space", None), "shape", (len(STATE_SCALES),))
        if shape != (len(STATE_SCALES),):
            raise OptionError(
                f"the model observes {model.observation_space}, not the state vector of an environment with "
                "cameras=(); a model that sees images is a policy as it is, evaluate takes it"
            )
        self.model = model
        self.track = Track.load(track)

    def __call__(self, observation: Any, info: Mapping[str, Any], /) -> NDArray[np.float32]:
        """Choose an action from the privileged ``info`` alone."""
        action, _ = self.model.predict(self.state_vector(info), deterministic=True)
        return np.asarray(action, np.float32)

    def state_vector(self, info: Mapping[str, Any]) -> NDArray[np.float32]:
        """The observation of an environment with ``cameras=()``: (10,) float32, see `UdacityEnv`.

        Raises:
            SimulatorError: The info does not say where the car is on its track.
        """
        telemetry = Telemetry.from_info(info)
        if telemetry.track is None:
            raise SimulatorError(
                "StateVectorExpert needs the position of the car on its track, and this simulator does not "
                "report it; the embedded simulator does"
            )
        return state_vector(telemetry, self.track)


def _actor(policy: NetworkPolicy) -> nn.Module:
    """A copy of a policy's network whose outputs are the actions, and that can be divided."""
    if not isinstance(policy, NetworkPolicy):
        raise OptionError(
            f"an actor is one network, {policy!r} is not; of an ensemble give one member, policy.members[0]"
        )
    if policy.inputs or policy.past_frames or len(policy.cameras) > 1 or policy.chunks.size > 1:
        needs = [*policy.inputs, *(["past images"] if policy.past_frames else [])]
        needs += ["several cameras"] if len(policy.cameras) > 1 else []
        needs += ["chunks of actions"] if policy.chunks.size > 1 else []
        raise OptionError(
            f"an actor looks at one image, and this policy needs {', '.join(needs)} too: train one with "
            "inputs=(), past_frames=0, one camera and chunk_size=1"
        )
    network: Any = copy.deepcopy(policy.network)
    if not isinstance(policy.objective, (MeanSquare, Gaussian)):
        raise OptionError(
            f'with loss="{policy.objective.name}" a network does not give actions itself, as an actor has '
            'to; train with loss="huber", "mse" or "gaussian"'
        )
    width, actions = policy.objective.width, len(policy.actions)
    features, hidden, last = _divide(network, actions * width)
    image = torch.rand(1, 3, *policy.preprocessing.size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        whole = network(image)
        try:
            divided = torch.allclose(whole, last(hidden(features(image))), atol=1e-4)
        except RuntimeError:  # the head takes something else than features
            divided = False
    if not divided:
        raise OptionError(
            f"{type(network).__name__} can't be divided for actor and critic: it does more than 'features', "
            "then 'head'; PilotNet and SmallResNet do no more"
        )
    if width > 1:  # the first of each action's outputs is its mean
        means = nn.Linear(last.in_features, actions, bias=last.bias is not None)
        means.load_state_dict({name: value[::width] for name, value in last.state_dict().items()})
        network.head[-1] = means
    divisible: nn.Module = network
    return divisible


def _divide(network: nn.Module, outputs: int) -> tuple[nn.Module, nn.Sequential, nn.Linear]:
    """The features of a network, the hidden layers of its head, and its last layer."""
    features, head = getattr(network, "features", None), getattr(network, "head", None)
    last = head[-1] if isinstance(head, nn.Sequential) and len(head) else None
    if not isinstance(features, nn.Module) or not isinstance(head, nn.Sequential):
        raise OptionError(
            f"{type(network).__name__} can't be divided for actor and critic: it needs 'features', a module, "
            "and 'head', an nn.Sequential, as PilotNet has them"
        )
    if not isinstance(last, nn.Linear) or last.out_features != outputs:
        raise OptionError(
            f"{type(network).__name__}.head must end in an nn.Linear with {outputs} outputs, one for each "
            f"action; it ends in {last}"
        )
    return features, nn.Sequential(*list(head)[:-1]), last
