"""Networks, named after their papers, and the policy that drives with one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from algorithms.base import Action, Policy
from algorithms.preprocessing import Preprocessing
from udacity_gym.errors import OptionError
from udacity_gym.telemetry import Image


class PilotNet(nn.Module):
    """The network of "End to End Learning for Self-Driving Cars" (Bojarski et al. 2016, section 4, figure 4).

    About 250 thousand weights and 27 million connections. The paper's hard-coded normalisation layer is
    `Preprocessing.normalize`. The paper does not name the activation; ELU (Clevert et al. 2016) is what
    most reproductions use.

    Attributes:
        outputs: number of outputs.
    """

    input_size = (66, 200)

    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        self.outputs = outputs
        self.features = nn.Sequential(  # (n, 3, 66, 200)
            nn.Conv2d(3, 24, 5, stride=2),  # (n, 24, 31, 98)
            nn.ELU(),
            nn.Conv2d(24, 36, 5, stride=2),  # (n, 36, 14, 47)
            nn.ELU(),
            nn.Conv2d(36, 48, 5, stride=2),  # (n, 48, 5, 22)
            nn.ELU(),
            nn.Conv2d(48, 64, 3),  # (n, 64, 3, 20)
            nn.ELU(),
            nn.Conv2d(64, 64, 3),  # (n, 64, 1, 18)
            nn.ELU(),
            nn.Flatten(),  # (n, 1152)
        )
        self.head = nn.Sequential(
            nn.Linear(1152, 100),  # (n, 100)
            nn.ELU(),
            nn.Linear(100, 50),  # (n, 50)
            nn.ELU(),
            nn.Linear(50, 10),  # (n, 10)
            nn.ELU(),
            nn.Linear(10, outputs),  # (n, outputs)
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """Map pictures to actions.

        Args:
            pictures: (n, 3, 66, 200) float32, normalised.

        Returns:
            (n, outputs) float32.
        """
        out: Tensor = self.head(self.features(pictures))
        return out


FEW = 8
"""Pictures up to which a network is asked in one thread: for so little work, threads wait for each other
longer than they work, and for tens of milliseconds where other programs use the cores too."""

NETWORKS: dict[str, type[PilotNet]] = {"PilotNet": PilotNet}
"""Networks by the name that checkpoints know them by."""


def make_network(name: str, outputs: int, seed: int = 0) -> nn.Module:
    """Make a network by its name; torch's own generator is left as it was.

    Args:
        name: one of `NETWORKS`.
        outputs: number of outputs.
        seed: of the initial weights.

    Raises:
        OptionError: No network has that name.
    """
    if name not in NETWORKS:
        raise OptionError(f"no network {name!r}; there are {sorted(NETWORKS)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NETWORKS[name](outputs)


@contextmanager
def one_thread(when: bool) -> Iterator[None]:
    """Let torch work in one thread within the block, if ``when`` is true."""
    threads = torch.get_num_threads()
    if not when or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class NetworkPolicy(Policy):
    """A policy that asks a network, and takes its preprocessing with it.

    Attributes:
        network: the network, in evaluation mode.
        preprocessing: what becomes of a picture before the network sees it.
        training: how it came about: settings, seed, losses. Kept in the checkpoint for people to read.
    """

    def __init__(
        self,
        network: nn.Module,
        preprocessing: Preprocessing,
        actions: tuple[str, ...] = ("steering", "throttle"),
        target_speed: float | None = None,
        training: dict[str, Any] | None = None,
    ) -> None:
        self.network = network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.preprocessing = preprocessing
        self.actions = actions
        self.target_speed = target_speed
        self.picture = preprocessing.picture
        self.training = training or {}

    @torch.inference_mode()
    def act(self, images: Image) -> Action:
        """Choose an action for each picture; see `Policy.act`."""
        prepared = torch.from_numpy(self.preprocessing.prepare_batch(images))
        with one_thread(when=len(images) <= FEW):
            action: Action = self.network(self.preprocessing.normalize(prepared)).numpy()
        return action

    def save(self, folder: str | Path) -> Path:
        """Write a checkpoint; see `Policy.save`."""
        from algorithms.checkpoint import save_policy

        return save_policy(self, folder)

    def __repr__(self) -> str:
        at = "" if self.target_speed is None else f", target_speed={self.target_speed:.1f} m/s"
        return f"{type(self).__name__}({type(self.network).__name__}, actions={self.actions}{at})"
