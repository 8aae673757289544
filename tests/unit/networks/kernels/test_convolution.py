from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from defensive_distillation.networks.kernels.convolution import InputConvolution


def pair(channels: int, kernel: int | tuple[int, int], *, bias: bool = True) -> tuple[InputConvolution, nn.Conv2d]:
    """The same weights in our layer and in the library's."""
    ours = InputConvolution(channels, 7, kernel, bias=bias).double()
    plain = nn.Conv2d(channels, 7, kernel, bias=bias).double()
    plain.load_state_dict(ours.state_dict())
    return ours, plain


def images(channels: int, *, wanted: bool = True) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    made = torch.randn(5, channels, 9, 11, generator=generator, dtype=torch.float64)
    return made.requires_grad_(wanted)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kernel", [1, 3, (2, 5)])
@pytest.mark.parametrize("channels", [1, 3, 4, 5])
def test_outputs_and_all_gradients_are_those_of_the_librarys_convolution(
    channels: int, kernel: int | tuple[int, int], bias: bool, layout: torch.memory_format
) -> None:
    found = []
    for layer in pair(channels, kernel, bias=bias):
        layer.to(memory_format=layout)
        x = images(channels).detach().to(memory_format=layout).requires_grad_()
        out = layer(x)
        wanted = torch.autograd.grad(out.square().sum() + out.sum(), [x, *layer.parameters()])
        found.append([out, *wanted])
    for ours, plain in zip(*found, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("which", ["images", "weight", "bias"])
def test_a_gradient_may_be_taken_with_respect_to_one_of_them_alone(which: str) -> None:
    found = []
    for layer in pair(3, 3):
        layer.requires_grad_(False)
        x = images(3, wanted=which == "images")
        wanted = x if which == "images" else getattr(layer, which).requires_grad_()
        found.append(torch.autograd.grad(layer(x).square().sum(), wanted)[0])
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-11)


def test_second_derivatives_are_right_too() -> None:
    layer, _ = pair(1, 3)
    x = images(1)[:1, :, :4, :4]
    assert torch.autograd.gradgradcheck(lambda x: layer(x).square(), (x.detach().requires_grad_(),))


def test_the_gradient_of_a_network_of_float32_is_the_librarys_but_for_rounding() -> None:
    ours, plain = (layer.float() for layer in pair(1, 3))
    found = []
    for layer in (ours, plain):
        x = images(1).detach().float().requires_grad_()
        found.append(torch.autograd.grad(layer(x).relu().sum(), x)[0])
    torch.testing.assert_close(*found, rtol=0, atol=2e-6)  # sums of 63 products of order 0.1
