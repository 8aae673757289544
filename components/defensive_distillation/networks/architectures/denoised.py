"""A network behind a denoising auto-encoder (Gu and Rigazio 2014, https://arxiv.org/abs/1412.5068)."""

from __future__ import annotations

import itertools
import math

from torch import Tensor, nn

WIDTHS = (256, 128, 256)  # of the hidden layers, the paper's for 784 pixels


class Autoencoder(nn.Sequential):
    """From images (N, C, H, W) through layers of 256, 128 and 256 units to images of the same shape, in [0, 1].

    Deviation: rectified hidden units, which SGD trains in a few epochs; the last units are sigmoids.
    """

    def __init__(self, image_shape: tuple[int, int, int]) -> None:
        features = math.prod(image_shape)
        sizes = (features, *WIDTHS, features)
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs in itertools.pairwise(sizes):
            layers += [_linear(inputs, outputs), nn.ReLU()]
        super().__init__(*layers[:-1], nn.Sigmoid(), nn.Unflatten(1, image_shape))


class Denoised(nn.Module):
    """The network `classifier`, which sees of every image what the `autoencoder` makes of it."""

    def __init__(self, autoencoder: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.autoencoder, self.classifier = autoencoder, classifier

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] to logits (N, K)."""
        logits: Tensor = self.classifier(self.autoencoder(images))
        return logits


def _linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def reconstruction_error(reconstructed: Tensor, images: Tensor) -> Tensor:
    """Mean over images of the squared distance ‖r - x‖², summed over the features."""
    return (reconstructed - images).square().flatten(1).sum(1).mean()
