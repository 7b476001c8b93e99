"""Networks, named after their papers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from algorithms.preprocessing import Preprocessing
from udacity_gym.errors import OptionError


class PilotNet(nn.Module):
    """The network of "End to End Learning for Self-Driving Cars" (Bojarski et al. 2016, section 4, figure 4).

    About 250 thousand weights and 27 million connections. The paper's hard-coded normalisation layer is
    `Preprocessing.normalize`. The paper does not name the activation; ELU (Clevert et al. 2016) is what
    most reproductions use.

    Attributes:
        input_size: (height, width) px of the pictures it takes.
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


NETWORKS: dict[str, type[PilotNet]] = {"PilotNet": PilotNet}
"""Networks by the name that checkpoints know them by.

Training works on the parts of a batch side by side, and repeats itself bit for bit (see `training`). A
network must therefore neither draw random numbers nor change itself in ``forward``: no dropout, no batch
normalisation; `make_network` refuses both. Group or layer normalisation fit.
"""

_UNFIT = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._NormBase)


def make_network(name: str, outputs: int, seed: int = 0) -> nn.Module:
    """Make a network by its name; torch's own generator is left as it was.

    Args:
        name: one of `NETWORKS`.
        outputs: number of outputs.
        seed: of the initial weights.

    Raises:
        OptionError: No network has that name, or it has layers that training can't work with.
    """
    if name not in NETWORKS:
        raise OptionError(f"no network {name!r}; there are {sorted(NETWORKS)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = NETWORKS[name](outputs)
    for path, layer in network.named_modules():
        if isinstance(layer, _UNFIT):
            raise OptionError(
                f"{name}.{path} is a {type(layer).__name__}: networks with dropout or batch normalisation "
                "can't be trained here; use augmentation, or group or layer normalisation"
            )
    return network


def check_fits(name: str, preprocessing: Preprocessing) -> None:
    """Make sure that pictures are prepared in the size that a network takes.

    Raises:
        OptionError: They are not.
    """
    wanted = NETWORKS[name].input_size
    if preprocessing.size != wanted:
        raise OptionError(f"preprocessing.size={preprocessing.size}, but {name} takes {wanted}")
