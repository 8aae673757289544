"""Somebody's own network: built from what names it, and made to take images as the attacks give them."""

from __future__ import annotations

import difflib
import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from defensive_distillation.errors import InputError
from defensive_distillation.networks.adapter import Adapter
from defensive_distillation.networks.forms import FORMS, REGISTERED
from defensive_distillation.networks.input_steps import Step


class Imported(nn.Module):
    """A network behind what it was trained with: size, channels and normalisation of its input, order of its logits."""

    mean: Tensor
    std: Tensor
    chosen: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        image_size: int | None = None,
        channels: int | None = None,
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
        class_logits: Sequence[int] = (),
    ) -> None:
        """What stands around the network.

        Args:
            network: returns logits, as Adapter reads them.
            image_size: pixels square that images are scaled to, bilinearly; None: as they are.
            channels: that grey images are repeated to; None: as they are.
            mean: of each channel, or of all, subtracted; () for none.
            std: of each channel, or of all, divided by; () for none.
            class_logits: the network's logit of each class of the data, in order; () for all as they are.
        """
        super().__init__()
        self.network = Adapter(network)
        self._size, self._channels = image_size, channels
        self.register_buffer("mean", _by_channel(mean or (0.0,)), persistent=False)
        self.register_buffer("std", _by_channel(std or (1.0,)), persistent=False)
        self.register_buffer("chosen", torch.tensor(list(class_logits), dtype=torch.int64), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K) of images (N, C, H, W) in [0, 1]."""
        if self._channels and images.shape[1] == 1:
            images = images.expand(-1, self._channels, -1, -1)
        if self._size and images.shape[2:] != (self._size, self._size):
            images = nn.functional.interpolate(
                images, size=(self._size, self._size), mode="bilinear", align_corners=False, antialias=True
            )
        logits: Tensor = self.network((images - self.mean.to(images)) / self.std.to(images))
        return logits[:, self.chosen] if len(self.chosen) else logits


def _by_channel(values: Sequence[float]) -> Tensor:
    return torch.tensor(list(values), dtype=torch.float32)[:, None, None]


def named_network(name: str, num_classes: int) -> nn.Module:
    """The network called `name`, with random weights or those that its factory gives it.

    Args:
        name: torchvision:NAME, timm:NAME, or package.module:factory, a function without arguments that returns a
            module; a class will do.
        num_classes: outputs of a network of torchvision or timm.

    Raises:
        InputError: if there is no such network, or what it needs is not installed.
    """
    where, colon, what = name.partition(":")
    if not colon or not what:
        raise InputError(f"model: expected {FORMS}, got {name!r}")
    if where == "torchvision":
        return _of_torchvision(what, num_classes)
    if where == "timm":
        return _of_timm(what, num_classes)
    return _of_factory(where, what)


def _of_torchvision(name: str, num_classes: int) -> nn.Module:
    from torchvision import models

    _require_known(f"torchvision:{name}", name, models.list_models(module=models))
    options: dict[str, Any] = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    made: nn.Module = models.get_model(name, weights=None, num_classes=num_classes, **options)
    return made


def _of_timm(name: str, num_classes: int) -> nn.Module:
    try:
        timm: Any = import_module("timm")
    except ModuleNotFoundError as error:
        raise InputError(f"model: timm:{name} needs timm, which is not installed: pip install timm") from error
    _require_known(f"timm:{name}", name, timm.list_models())
    made: nn.Module = timm.create_model(name, pretrained=False, num_classes=num_classes)
    return made


def _require_known(given: str, name: str, names: Sequence[str]) -> None:
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise InputError(f"model: expected a network that there is, got {given}{hint}")


def _of_factory(module: str, name: str) -> nn.Module:
    factory = _function("model", module, name)
    try:
        made = factory()
    except InputError:
        raise
    except Exception as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"model: expected a module from {module}:{name}(), got {said}") from error
    if not isinstance(made, nn.Module):
        raise InputError(f"model: expected a module from {module}:{name}(), got {type(made).__name__}")
    return made


def named_step(name: str) -> Step:
    """The function 'package.module:function' that changes images before a network (networks.input_steps).

    Raises:
        InputError: if there is none, or what its module needs is not installed.
    """
    where, _, what = name.partition(":")
    return _function("input_step", where, what)


def _function(setting: str, module: str, name: str) -> Callable[..., Any]:
    """The function `name` in a module, which `setting` names."""
    try:
        function: Callable[..., Any] | None = getattr(import_module(module), name, None)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise InputError(f"{setting}: {module} needs {error.name}, which is not installed") from error
        raise InputError(
            f"{setting}: expected a module that can be imported, got {module!r}; put its folder on PYTHONPATH"
        ) from error
    except Exception as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{setting}: expected a module that can be imported, got {module!r}: {said}") from error
    if function is None or not callable(function):
        raise InputError(f"{setting}: expected a function {name} in {module}, found none")
    return function


def network_of_onnx(content: bytes) -> nn.Module:
    """The network in an ONNX file, converted by onnx2torch.

    Raises:
        InputError: if it is none, holds what cannot be converted, or onnx2torch is not installed.
    """
    try:
        onnx: Any = import_module("onnx")
        converter: Any = import_module("onnx2torch")
    except ModuleNotFoundError as error:
        raise InputError(
            "model: an ONNX file needs onnx2torch, which is not installed: pip install onnx2torch"
        ) from error
    try:
        made: nn.Module = converter.convert(onnx.load(io.BytesIO(content)))
    except Exception as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"model: expected an ONNX file that onnx2torch can convert, got: {said}") from error
    return made


def network_of_program(content: bytes) -> nn.Module:
    """The network in a program that torch.export has saved. Reading it may run what its author wrote.

    Raises:
        InputError: if it is none, or of a version of PyTorch that this one cannot read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch's, of its own format
            made: nn.Module = torch.export.load(io.BytesIO(content)).module()
    except Exception as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"model: expected a program of torch.export that can be read here, got: {said}") from error
    return made


def network_with(name: str, num_classes: int, weights: Mapping[str, Tensor], what: str) -> nn.Module:
    """The network called `name` with these weights, which decide how many outputs one of torchvision or timm has.

    Args:
        name: as of `named_network`, and `num_classes`.
        num_classes: outputs, if the weights do not say otherwise.
        weights: as of `load_weights`, and `what`.
        what: where they come from, for errors.

    Raises:
        InputError: as of both.
    """
    network = named_network(name, num_classes)
    own = network.state_dict()
    outputs = {
        weights[key].shape[0]
        for key, tensor in own.items()
        if key in weights and tensor.dim() and weights[key].shape[1:] == tensor.shape[1:] and len(tensor) == num_classes
    }
    if outputs and outputs != {num_classes} and len(outputs) == 1 and name.startswith(REGISTERED):
        network = named_network(name, outputs.pop())
    load_weights(network, weights, what)
    return network


def load_weights(network: nn.Module, weights: Mapping[str, Tensor], what: str) -> None:
    """Puts weights into a network, all of them.

    Args:
        network: whose they are.
        weights: by name; a 'module.' that all names begin with, as of nn.DataParallel, is left out.
        what: where they come from, for errors.

    Raises:
        InputError: if names or shapes differ.
    """
    if weights and all(name.startswith("module.") for name in weights):
        weights = {name.removeprefix("module."): tensor for name, tensor in weights.items()}
    own = network.state_dict()
    missing, unknown = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    if missing or unknown:
        lacks = f"{len(missing)} missing such as {missing[0]}" if missing else ""
        more = f"{len(unknown)} unknown such as {unknown[0]}" if unknown else ""
        raise InputError(f"{what}: expected the weights of the model, got {' and '.join(filter(None, (lacks, more)))}")
    for name, tensor in own.items():
        if tensor.shape != weights[name].shape:
            raise InputError(
                f"{what}: expected {name} of shape {tuple(tensor.shape)}, got {tuple(weights[name].shape)}; is the "
                "number of classes that of the data?"
            )
    network.load_state_dict(dict(weights))
