"""The deep contractive network's penalty (Gu and Rigazio 2014, https://arxiv.org/abs/1412.5068)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from defensive_distillation.errors import InputError
from defensive_distillation.networks.kernels.fused import PooledConvolution, RectifiedConvolution
from defensive_distillation.networks.softmax import soft_cross_entropy

_WEIGHTED = (nn.Conv2d, nn.Linear, RectifiedConvolution, PooledConvolution)
_BETWEEN = (nn.ReLU, nn.MaxPool2d, nn.Flatten, nn.Dropout)


class Contractive:
    """Cross-entropy and λ times the sum over layers of the norm of their Jacobians, ‖∂h_j/∂h_{j-1}‖ (Section 4)."""

    recordable = False  # never tried
    passes = 1

    def __init__(self, *, weight: float) -> None:
        """`weight`: λ, the same for all layers."""
        self._weight = weight

    def __call__(self, model: nn.Module, images: Tensor, targets: Tensor, progress: float) -> tuple[Tensor, Tensor]:
        """See `Objective`."""
        logits, squared = with_jacobians(model, images)
        logits = logits.to(targets.dtype)
        # the root has no derivative at 0, where no unit of a layer is active
        norms = torch.stack([(one.float() + 1e-12).sqrt() for one in squared])  # (layers, B)
        return soft_cross_entropy(logits, targets, 1.0) + self._weight * norms.sum(0).mean(), logits


def with_jacobians(model: nn.Module, images: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Logits (N, K), and of each layer with weights the squared Frobenius norm of its Jacobian, (N,).

    Of a layer that rectifies, also behind max pooling, the derivative of a unit that is active is the row of its
    weights, and of any other zero: ‖J‖² = Σ_units [h > 0] ‖w‖², in which units of a channel share their weights.
    Dropout is no part of the layers: units that it silences count as others do.

    Raises:
        InputError: for a model that is no sequence of convolutions without padding, linear layers and what rectifies.
    """
    require_layered(model)
    layers = list(model.children())
    squared: list[Tensor] = []
    x = images
    for number, layer in enumerate(layers):
        x = layer(x)
        following = _rectifying(layers, number)
        if isinstance(layer, _WEIGHTED):
            rows: Tensor = layer.weight.square().flatten(1).sum(1)  # ‖w‖² of each channel or unit
        if isinstance(layer, nn.ReLU | RectifiedConvolution | PooledConvolution):
            active = (x.detach() > 0).to(rows.dtype)
            squared.append((active.flatten(2).sum(2) if active.dim() == 4 else active) @ rows)
        elif isinstance(layer, nn.Linear) and not following:
            squared.append(rows.sum().expand(len(x)))
    return x, squared


def require_layered(model: nn.Module) -> None:
    """Raises InputError unless the Jacobian of each layer is known in closed form."""
    found = [layer for layer in model.children() if not isinstance(layer, (*_WEIGHTED, *_BETWEEN))]
    padded = [layer for layer in model.children() if isinstance(layer, nn.Conv2d) and set(layer.padding) != {0}]
    if not isinstance(model, nn.Sequential) or found or padded:
        raise InputError(
            "architecture: expected for a deep contractive network convolutions, linear layers and what rectifies, in "
            f"a row, such as papernot_mnist; got {type((found or padded or [model])[0]).__name__} in it"
        )


def _rectifying(layers: Sequence[nn.Module], number: int) -> bool:
    """Whether a layer that rectifies follows before the next with weights."""
    for layer in layers[number + 1 :]:
        if isinstance(layer, _WEIGHTED):
            return False
        if isinstance(layer, nn.ReLU):
            return True
    return False
