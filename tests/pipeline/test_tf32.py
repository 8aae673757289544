"""What TF32 changes in an attack: its rounding, done by hand on a CPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from defensive_distillation.artifacts import opened
from defensive_distillation.artifacts.dataset import read_dataset
from defensive_distillation.artifacts.model import read_model
from defensive_distillation.attacks import jsma
from defensive_distillation.networks.architectures import as_input
from support.chain import Chain

FACTORS = {  # which arguments of an operator are factors of its products
    "convolution": (0, 1),
    "convolution_backward": (0, 1, 2),
    "addmm": (1, 2),
    "mm": (0, 1),
}


def rounded(numbers: Tensor) -> Tensor:
    """Float32 with 10 bits after the point, as a tensor core reads it: the nearest, halves away from zero."""
    return ((numbers.contiguous().view(torch.int32) + 2**12) & -(2**13)).view(torch.float32)


class Tf32(TorchDispatchMode):
    """Rounds the factors of all products, forwards and backwards; sums stay as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.products: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().removeprefix("aten::").split(".")[0]
        if name in FACTORS:
            self.products.add(name)
            args = [rounded(arg) if number in FACTORS[name] else arg for number, arg in enumerate(args)]
        return func(*args, **(kwargs or {}))


def test_ten_bits_are_left() -> None:
    one, bit = 1.0, 2.0**-10
    numbers = torch.tensor([one, one + bit, one + bit / 2, one + bit / 2 - 2**-20, -(one + bit / 2), 0.0, -3.0])
    assert rounded(numbers).tolist() == [one, one + bit, one + bit, one, -(one + bit), 0.0, -3.0]


@pytest.mark.parametrize("output", ["probabilities", "logits"])
def test_tf32_hardly_changes_whom_jsma_fools_but_changes_by_what(chain: Chain, output: Any) -> None:
    with opened(chain.place("dataset"), "dataset") as data, opened(chain.place("teacher-1"), "model") as network:
        dataset = read_dataset(data)
        model = read_model(network, dataset)
    images = as_input(dataset.test_images[:6]).repeat_interleave(9, dim=0)
    labels = dataset.test_labels[:6]
    targets = torch.arange(10).expand(6, -1)
    wanted = targets[targets != labels[:, None]]
    exact = jsma(model, images, wanted, output=output)
    with Tf32() as mode:
        rough = jsma(model, images, wanted, output=output)
    assert mode.products == {"convolution", "convolution_backward", "addmm", "mm"}
    same = float((exact.adversarial == rough.adversarial).flatten(1).all(1).double().mean())
    success = [float(found.success.double().mean()) for found in (exact, rough)]
    print(f"{output}: {same:.1%} the same samples, success {success[0]:.1%} and {success[1]:.1%}")
    assert 0.2 < same < 1
    assert success[0] == pytest.approx(success[1], abs=0.05)
