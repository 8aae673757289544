"""The last layer of a network, which decides how large its logits are."""

from __future__ import annotations

import torch
from torch import nn

from defensive_distillation.errors import InputError


def scale_output_layer(model: nn.Module, num_classes: int, gain: float) -> None:
    """Multiplies the weights and biases of the last layer by `gain`, so that all logits are `gain` times larger.

    With gain = T the network starts at temperature T with the probabilities and the hidden gradients that it would
    have at T = 1, but its last layer hardly learns, and the training is as noisy as at a high learning rate. With
    gain = 1 the hidden gradients are T times smaller, and training at T >= 20 hardly starts. A power of T between the
    two does both: TrainConfig.output_gain_exponent.

    Raises:
        InputError: if no layer of the model has `num_classes` outputs.
    """
    layer = model.get_submodule(output_layer(model, num_classes))
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(gain)


def output_layer(model: nn.Module, num_classes: int) -> str:
    """The name of the last linear or convolutional layer with K outputs."""
    modules: list[tuple[str, nn.Module]] = list(model.named_modules())
    for name, layer in reversed(modules):
        outputs = layer.out_features if isinstance(layer, nn.Linear) else getattr(layer, "out_channels", None)
        if isinstance(layer, nn.Linear | nn.Conv2d) and outputs == num_classes:
            return name
    raise InputError(f"model: expected a last layer with {num_classes} outputs, found none")
