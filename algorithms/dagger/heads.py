"""Risk classifiers: small networks on a policy's features that predict danger."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from algorithms.base import Action, Floats, Policy
from algorithms.policies.ensemble import Ensemble
from algorithms.policies.network_policy import NetworkPolicy, one_thread
from udacity_gym.errors import OptionError


class FeatureTap:
    """Records features of a policy's network: the input of the first fully connected layer of its ``head``.

    Zhang & Cho 2017 use the same for their safety classifier: the activations of the primary policy's last
    convolution. In a network without an attribute ``head`` it is the first fully connected layer of all. Of
    an ensemble, the first member is used.

    Attributes:
        last: (n, k) float32, features of the ``n`` images of the last call.
    """

    def __init__(self, policy: Policy) -> None:
        """Begin to record.

        Raises:
            OptionError: The policy has no network with a fully connected layer.
        """
        member = policy.members[0] if isinstance(policy, Ensemble) else policy
        network = member.network if isinstance(member, NetworkPolicy) else nn.Identity()
        layers = getattr(network, "head", network).modules()
        first = next((layer for layer in layers if isinstance(layer, nn.Linear)), None)
        if first is None:
            raise OptionError(f"{policy!r} has no network with a fully connected layer to take features from")
        self.last: Floats = np.empty((0, first.in_features), np.float32)
        self._hook = first.register_forward_pre_hook(self._record)

    def close(self) -> None:
        """Stop recording."""
        self._hook.remove()

    def _record(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.last = inputs[0].detach().reshape(-1, inputs[0].shape[-1]).float().cpu().numpy()


class Head:
    """A classifier of (features, policy's action): two hidden layers, as in Zhang & Cho 2017, but narrower.

    Attributes:
        network: maps standardised inputs to a logit.
    """

    def __init__(self, network: nn.Module, mean: Floats, scale: Floats) -> None:
        self.network, self._mean, self._scale = network, mean, scale

    @torch.inference_mode()
    def __call__(self, features: Floats, action: Action) -> float:
        """Predict the probability, [0, 1].

        Args:
            features: (k,) float32.
            action: (m,) float32.
        """
        x = (np.concatenate([features, action]).astype(np.float32) - self._mean) / self._scale
        with one_thread(when=True):
            return float(torch.sigmoid(self.network(torch.from_numpy(x[None])))[0, 0])

    @classmethod
    def fit(
        cls,
        features: Floats,
        actions: Floats,
        targets: Floats,
        *,
        seed: int,
        width: int = 64,
        steps: int = 400,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-3,
    ) -> Head:
        """Train a head.

        Args:
            features: (n, k) float32.
            actions: (n, m) float32 actions of the policy.
            targets: (n,) float32 in [0, 1]. Danger is rare, so batches are drawn with as many targets above
                one half as below, if there are both.
            seed: seed of weights and batches.
            width: units of each hidden layer.
            steps: steps of the optimizer.
            batch_size: rows per step.
            learning_rate: learning rate of AdamW.
            weight_decay: weight decay of AdamW.

        Returns:
            The head. Its outputs are calibrated to the true shares of the classes in ``targets``.
        """
        x = np.concatenate([features, actions], axis=1).astype(np.float32)
        mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-3
        inputs, labels = torch.from_numpy((x - mean) / scale), torch.from_numpy(targets.astype(np.float32))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = nn.Sequential(
                nn.Linear(x.shape[1], width),
                nn.ReLU(),
                nn.Linear(width, width),
                nn.ReLU(),
                nn.Linear(width, 1),
            )
        optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=weight_decay)
        rng = np.random.default_rng(seed)
        weights = _balanced(targets)
        with one_thread(when=True):
            for _ in range(steps):
                rows = torch.from_numpy(rng.choice(len(x), batch_size, p=weights))
                loss = nn.functional.binary_cross_entropy_with_logits(
                    network(inputs[rows])[:, 0], labels[rows]
                )
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        with torch.no_grad():  # undo the balance of the batches
            output_layer: Any = network[-1]
            output_layer.bias += _log_odds(targets > 0.5, None) - _log_odds(targets > 0.5, weights)
        return cls(network.eval(), mean, scale)


def _balanced(targets: Floats) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Probabilities with which rows are drawn."""
    high = targets > 0.5
    if high.all() or not high.any():
        return np.full(len(targets), 1 / len(targets))
    weights: np.ndarray[Any, np.dtype[np.float64]] = np.where(high, 0.5 / high.sum(), 0.5 / (~high).sum())
    return weights


def _log_odds(high: Any, weights: Any) -> float:
    share = float(np.average(high, weights=weights))
    return float(np.log((share + 1e-6) / (1 - share + 1e-6)))
