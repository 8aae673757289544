"""A network by the name of its architecture, which with its weights is all that an artifact keeps of it."""

from __future__ import annotations

import torch
from torch import nn

from defensive_distillation.errors import InputError
from defensive_distillation.networks.architectures.denoised import Autoencoder, Denoised
from defensive_distillation.networks.architectures.papernot import PAPERNOT, papernot
from defensive_distillation.networks.architectures.radial_basis import radial_basis
from defensive_distillation.networks.architectures.torchvision_networks import torchvision
from defensive_distillation.networks.forms import check_architecture


def build(
    architecture: str, num_classes: int, image_shape: tuple[int, int, int], *, dropout: float = 0.5, seed: int = 0
) -> nn.Module:
    """A freshly initialised network from images (N, C, H, W) in [0, 1] to logits (N, K), in training mode.

    Args:
        architecture: 'papernot_mnist', 'papernot_cifar10' (Table I: unpadded convolutions), 'torchvision:NAME',
            'rbf:UNITS' (a radial basis function network), or 'denoised:' and one of these, behind an auto-encoder.
        num_classes: K, at least 2.
        image_shape: (C, H, W).
        dropout: rate after the fully connected layers; torchvision's networks keep their own.
        seed: of the initialisation.

    Deviation: the paper does not state its initialisation. Weights are drawn from Glorot's uniform distribution and
    biases are zero, the custom of its time; with PyTorch's default the network never leaves chance at T >= 20.
    Torchvision's networks keep the initialisation of their authors.

    Raises:
        InputError: if there is no such architecture, or the images are too small for it.
    """
    if num_classes < 2:
        raise InputError(f"num_classes: expected at least 2, got {num_classes}")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return _built(architecture, num_classes, image_shape, dropout)


def _built(architecture: str, num_classes: int, image_shape: tuple[int, int, int], dropout: float) -> nn.Module:
    check_architecture(architecture)
    kind, _, name = architecture.partition(":")
    if architecture in PAPERNOT:
        return papernot(architecture, num_classes, image_shape, dropout)
    if kind == "torchvision":
        return torchvision(name, num_classes, image_shape)
    if kind == "rbf":
        return radial_basis(name, num_classes, image_shape)
    classifier = _built(name, num_classes, image_shape, dropout)
    return Denoised(Autoencoder(image_shape), classifier)
