"""The paper's two networks (Papernot et al. 2016, Table I)."""

from __future__ import annotations

import functools

from torch import nn

from defensive_distillation.errors import InputError
from defensive_distillation.networks.kernels.convolution import InputConvolution

# widths of the convolutions and of the fully connected layers (Table I)
PAPERNOT = {
    "papernot_mnist": ((32, 32, 64, 64), 200),
    "papernot_cifar10": ((64, 64, 128, 128), 256),
}


def papernot(architecture: str, num_classes: int, image_shape: tuple[int, int, int], dropout: float) -> nn.Sequential:
    """One of `PAPERNOT`; unpadded convolutions. Raises InputError for images that are too small for it."""
    (a, b, c, d), hidden = PAPERNOT[architecture]
    channels, height, width = image_shape
    rows, columns = (((side - 4) // 2 - 4) // 2 for side in (height, width))
    if min(rows, columns) < 1:
        raise InputError(f"images: expected at least 16×16 pixels for the paper's network, got {height}×{width}")
    # the largest of each window, rectified, is the largest of the rectified: the same for a quarter of the work
    relu = functools.partial(nn.ReLU, inplace=True)
    model = nn.Sequential(
        *(InputConvolution(channels, a, 3), relu(), nn.Conv2d(a, b, 3), nn.MaxPool2d(2), relu()),
        *(nn.Conv2d(b, c, 3), relu(), nn.Conv2d(c, d, 3), nn.MaxPool2d(2), relu()),
        nn.Flatten(),
        *(nn.Linear(d * rows * columns, hidden), relu(), nn.Dropout(dropout)),
        *(nn.Linear(hidden, hidden), relu(), nn.Dropout(dropout)),
        nn.Linear(hidden, num_classes),
    )
    for layer in model:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return model
