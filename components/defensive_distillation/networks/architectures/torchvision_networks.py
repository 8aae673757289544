"""Any classifier of torchvision, for images of any number of channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from defensive_distillation.errors import InputError
from defensive_distillation.networks.forms import check_architecture


def torchvision(name: str, num_classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
    """The classifier called `name`. Raises InputError where there is none, or it does not take the images."""
    from torchvision import models

    check_architecture(f"torchvision:{name}")
    options = {"aux_logits": False, "init_weights": True} if name in ("googlenet", "inception_v3") else {}
    model: nn.Module = models.get_model(name, weights=None, num_classes=num_classes, **options)
    if image_shape[0] != 3:
        _replace_first_convolution(model, image_shape[0])
    _check_fits(model.eval(), name, num_classes, image_shape)
    return model.train()


def _replace_first_convolution(model: nn.Module, channels: int) -> None:
    for path, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d):
            parent, _, child = path.rpartition(".")
            first = nn.Conv2d(
                channels,
                layer.out_channels,
                layer.kernel_size,  # type: ignore[arg-type]
                layer.stride,  # type: ignore[arg-type]
                layer.padding,  # type: ignore[arg-type]
                bias=layer.bias is not None,
            )
            nn.init.kaiming_normal_(first.weight, mode="fan_out", nonlinearity="relu")
            setattr(model.get_submodule(parent), child, first)
            return


@torch.no_grad()
def _check_fits(model: nn.Module, name: str, num_classes: int, image_shape: tuple[int, int, int]) -> None:
    size = "×".join(map(str, image_shape))
    try:
        logits = model(torch.zeros(1, *image_shape))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise InputError(f"architecture: torchvision:{name} does not take images of {size}: {error}") from error
    if not isinstance(logits, Tensor) or logits.shape != (1, num_classes):
        raise InputError(f"architecture: expected {num_classes} logits of torchvision:{name} for images of {size}")
