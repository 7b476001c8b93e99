"""Behavioural cloning with `imitation`, PilotNet as its policy; runs in an environment of its own.

Reads prepared images and actions from a file, then, for each line "THREADS" on standard input, trains for
one pass over them and answers with the images per second.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from imitation.algorithms.bc import BC
from imitation.data.types import Transitions
from imitation.util.logger import configure
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn


class Convolutions(BaseFeaturesExtractor):
    """PilotNet's convolutions (Bojarski et al. 2016)."""

    def __init__(self, observation_space: spaces.Box) -> None:
        super().__init__(observation_space, 1152)
        layers: list[nn.Module] = []
        for channels, out, kernel, stride in (
            (3, 24, 5, 2), (24, 36, 5, 2), (36, 48, 5, 2), (48, 64, 3, 1), (64, 64, 3, 1),
        ):  # fmt: skip
            layers += [nn.Conv2d(channels, out, kernel, stride), nn.ELU()]
        self.layers = nn.Sequential(*layers, nn.Flatten())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(n, 3, 66, 200) -> (n, 1152)."""
        out: torch.Tensor = self.layers(images)
        return out


def main(path: str, batch: int) -> None:
    """Serve."""
    logging.disable()
    data = np.load(path)
    images, actions = data["images"], data["actions"]
    observation_space = spaces.Box(0, 255, images.shape[1:], np.uint8)
    action_space = spaces.Box(-1.0, 1.0, actions.shape[1:], np.float32)
    network: dict[str, Any] = {"pi": [100, 50, 10], "vf": []}
    policy = ActorCriticPolicy(
        observation_space,
        action_space,
        lambda _: 1e-3,
        net_arch=network,
        activation_fn=nn.ELU,
        features_extractor_class=Convolutions,
    )
    trainer = BC(
        observation_space=observation_space,
        action_space=action_space,
        rng=np.random.default_rng(0),
        policy=policy,
        demonstrations=Transitions(
            obs=images,
            acts=actions,
            infos=np.array([{}] * len(actions)),
            next_obs=images,  # it collates them, and does not use them
            dones=np.zeros(len(actions), np.bool_),
        ),
        batch_size=batch,
        optimizer_kwargs={"lr": 1e-3},
        custom_logger=configure(None, []),
        device="cpu",
    )
    for line in sys.stdin:
        torch.set_num_threads(int(line))
        begin = time.perf_counter()
        trainer.train(n_epochs=1, log_interval=10**9, progress_bar=False)
        print(len(images) // batch * batch / (time.perf_counter() - begin), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
