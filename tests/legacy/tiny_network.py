"""A network of a few hundred weights, so that checkpoints with it are small."""

import torch
from torch import Tensor, nn


class TinyNetwork(nn.Module):
    """Two convolutions and a fully connected layer, on images of 8 x 24 pixels."""

    input_size = (8, 24)

    def __init__(self, outputs: int = 1, frames: int = 1, measurements: int = 0) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3 * frames, 4, 3, stride=2),
            nn.ReLU(),
            nn.Conv2d(4, 4, 3, stride=2),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.head = nn.Linear(4 * 5 + measurements, outputs)

    def forward(self, pictures: Tensor, measurements: Tensor | None = None) -> Tensor:
        features = self.features(pictures.flatten(1, -3))
        if measurements is not None:
            features = torch.cat([features, measurements], dim=1)
        return self.head(features)
