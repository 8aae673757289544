"""The paper's two networks (Table I), and any torchvision classifier, all from images in [0, 1] to logits."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from defensive_distillation.errors import InputError
from defensive_distillation.networks.kernels.convolution import InputConvolution

# widths of the convolutions and of the fully connected layers (Table I)
PAPERNOT = {
    "papernot_mnist": ((32, 32, 64, 64), 200),
    "papernot_cifar10": ((64, 64, 128, 128), 256),
}


def build(
    architecture: str, num_classes: int, image_shape: tuple[int, int, int], *, dropout: float = 0.5, seed: int = 0
) -> nn.Module:
    """A freshly initialised network from images (N, C, H, W) in [0, 1] to logits (N, K), in training mode.

    Args:
        architecture: 'papernot_mnist', 'papernot_cifar10' (Table I: unpadded convolutions), or 'torchvision:NAME'.
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
        if architecture in PAPERNOT:
            return _papernot(*PAPERNOT[architecture], num_classes, image_shape, dropout)
        if architecture.startswith("torchvision:"):
            return _torchvision(architecture.removeprefix("torchvision:"), num_classes, image_shape)
    raise InputError(f"architecture: expected {', '.join(PAPERNOT)} or torchvision:NAME, got {architecture!r}")


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


def _papernot(
    convolutions: tuple[int, int, int, int], hidden: int, num_classes: int, image_shape: tuple[int, int, int], p: float
) -> nn.Module:
    channels, height, width = image_shape
    a, b, c, d = convolutions
    rows, columns = (((side - 4) // 2 - 4) // 2 for side in (height, width))
    if min(rows, columns) < 1:
        raise InputError(f"images: expected at least 16×16 pixels for the paper's network, got {height}×{width}")
    # the largest of each window, rectified, is the largest of the rectified: the same for a quarter of the work
    relu = functools.partial(nn.ReLU, inplace=True)
    model = nn.Sequential(
        *(InputConvolution(channels, a, 3), relu(), nn.Conv2d(a, b, 3), nn.MaxPool2d(2), relu()),
        *(nn.Conv2d(b, c, 3), relu(), nn.Conv2d(c, d, 3), nn.MaxPool2d(2), relu()),
        nn.Flatten(),
        *(nn.Linear(d * rows * columns, hidden), relu(), nn.Dropout(p)),
        *(nn.Linear(hidden, hidden), relu(), nn.Dropout(p)),
        nn.Linear(hidden, num_classes),
    )
    for layer in model:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return model


def _torchvision(name: str, num_classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
    from torchvision import models

    names: list[str] = models.list_models(module=models)
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3) or names[:3]
        raise InputError(f"architecture: expected a torchvision classifier such as {', '.join(near)}, got {name!r}")
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


def predict(model: Callable[[Tensor], Tensor], images: Tensor, *, batch_size: int, device: torch.device) -> Tensor:
    """Logits (N, K) on the CPU of `images` (N, C, H, W), uint8 or float in [0, 1], batch by batch."""
    with torch.no_grad():
        return torch.cat([model(as_input(batch.to(device))).cpu() for batch in images.split(batch_size)])


def as_input(images: Tensor) -> Tensor:
    """Images as a network takes them: float32 in [0, 1]; uint8 is divided by 255."""
    return images.float() / 255 if images.dtype == torch.uint8 else images


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Share of samples whose largest logit is the label's; logits (N, K), labels (N,)."""
    return float((logits.argmax(1) == labels).double().mean())
