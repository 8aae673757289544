"""Anybody's classifier: every output that can be understood, a line for every one that cannot."""

from __future__ import annotations

import copy
import threading
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from defensive_distillation.errors import InputError
from defensive_distillation.networks.adapter import Adapter, try_on
from defensive_distillation.networks.input_steps import Stepped
from support.networks import smooth, starts

Named = namedtuple("Named", ["loss", "logits"])


@dataclass
class Output:
    logits: Tensor


NETWORK = smooth(12, 3).float()
IMAGES = starts(6, (1, 3, 4)).float()
EXPECTED = NETWORK(IMAGES).detach()


class Around(nn.Module):
    """A network whose output, or input, something is done to."""

    def __init__(self, change: Callable[[Tensor], Any], network: nn.Module = NETWORK) -> None:
        super().__init__()
        self.network, self.change = network, change

    def forward(self, images: Tensor) -> Any:
        return self.change(self.network(images))


@pytest.mark.parametrize(
    "change",
    [
        lambda z: z,
        lambda z: {"logits": z, "features": torch.zeros(6, 2)},
        lambda z: {"output": z, "loss": torch.tensor(0.0)},
        lambda z: (z, torch.zeros(6, 2)),
        lambda z: [z],
        lambda z: Named(torch.tensor(0.0), z),
        lambda z: Output(z),
        lambda z: z.double(),
    ],
    ids=["tensor", "logits", "only matrix", "tuple", "list", "named tuple", "dataclass", "float64"],
)
@pytest.mark.parametrize("module", [True, False])
def test_logits_come_out_of_whatever_holds_them(change: Callable[[Tensor], Any], module: bool) -> None:
    around = Around(change)
    adapter = Adapter(around if module else lambda images: around(images))
    assert torch.equal(try_on(adapter, IMAGES), EXPECTED[:2])
    assert torch.equal(adapter(IMAGES), EXPECTED)
    assert adapter(IMAGES).dtype == torch.float32


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_one_output_becomes_two_classes_with_its_probability(shape: tuple[int, ...]) -> None:
    z = EXPECTED[:, 0] * 3
    adapter = Adapter(Around(lambda out: (3 * out[:, 0]).reshape(shape)))
    found = adapter(IMAGES)
    assert found.shape == (6, 2)
    assert torch.allclose(found.softmax(1), torch.stack([1 - z.sigmoid(), z.sigmoid()], dim=1), atol=1e-6)


def test_a_gradient_passes_as_through_the_network_itself() -> None:
    for model in (NETWORK, lambda images: NETWORK(images)):
        a, b = IMAGES.clone().requires_grad_(), IMAGES.clone().requires_grad_()
        (of_adapter,) = torch.autograd.grad(Adapter(model)(a)[:, 1].sum(), a)
        (of_network,) = torch.autograd.grad(NETWORK(b)[:, 1].sum(), b)
        assert torch.equal(of_adapter, of_network)
    assert all(parameter.grad is None for parameter in NETWORK.parameters())


@pytest.mark.parametrize(
    "model",
    [
        lambda images: NETWORK(torch.from_numpy(images)).detach().numpy(),
        lambda images: NETWORK(torch.from_numpy(images.numpy())),
        lambda images: NETWORK(images).numpy(),
        lambda images: NETWORK(images.detach()),
        torch.no_grad()(lambda images: NETWORK(images)),
        torch.inference_mode()(lambda images: NETWORK(images)),
    ],
    ids=["arrays", "array within", "array out", "detached before", "no_grad", "inference mode"],
)
def test_where_no_gradient_passes_it_is_zero(model: Callable[[Any], Any]) -> None:
    adapter = Adapter(model)
    assert torch.equal(try_on(adapter, IMAGES), EXPECTED[:2])
    x = IMAGES.clone().requires_grad_()
    logits = adapter(x)
    assert torch.equal(logits.detach(), EXPECTED)
    (gradient,) = torch.autograd.grad(logits.sum(), x)
    assert torch.equal(gradient, torch.zeros_like(x))


def test_a_module_that_makes_arrays_within_is_taken_too() -> None:
    class Rounding(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return NETWORK(torch.from_numpy(np.round(images.numpy())))

    adapter = Adapter(Rounding())
    assert torch.equal(try_on(adapter, IMAGES), NETWORK(IMAGES.round())[:2])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_computes_in_float32_and_stays_as_it_was(dtype: torch.dtype) -> None:
    half = copy.deepcopy(NETWORK).to(dtype)
    half.register_buffer("shift", torch.zeros(1, dtype=dtype))
    found = Adapter(half)(IMAGES)
    assert found.dtype == torch.float32
    # the weights round to 8 or 11 bits, a relative 2^-9 each; logits here are below 10
    assert torch.allclose(found, EXPECTED, atol=0.1)
    assert {tensor.dtype for tensor in half.state_dict().values()} == {dtype}


def test_a_function_of_half_precision_is_told_to_cast() -> None:
    half = copy.deepcopy(NETWORK).half()
    with pytest.raises(InputError, match=r"give a function that casts: lambda images: model\(images\.half\(\)\)$"):
        try_on(Adapter(lambda images: half(images)), IMAGES)
    assert torch.allclose(try_on(Adapter(lambda images: half(images.half())), IMAGES), EXPECTED[:2], atol=0.1)


def test_the_users_module_is_left_as_it_was() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 3)).train()
    before = copy.deepcopy(model.state_dict())
    adapter = Adapter(model)
    assert torch.equal(adapter(IMAGES), adapter(IMAGES))  # in evaluation mode there is no chance
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_a_function_with_what_cannot_be_copied_goes_through_a_copy_of_the_adapter() -> None:
    class Session:
        lock = None

        def __init__(self) -> None:
            self.lock = threading.Lock()

        def __call__(self, images: Tensor) -> Tensor:
            return NETWORK(images)

    assert torch.equal(copy.deepcopy(Adapter(Session())).double()(IMAGES), EXPECTED)


def test_a_module_that_cannot_be_copied_is_refused() -> None:
    model = Around(lambda z: z)
    model.lock = threading.Lock()
    with pytest.raises(InputError, match=r"expected a module that can be copied, got .*; give a function instead$"):
        Adapter(model)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda z: z.softmax(1), r"got probabilities \(rows that sum to 1\); leave the softmax out$"),
        (lambda z: z.half().softmax(1), r"got probabilities \(rows that sum to 1\); leave the softmax out$"),
        (lambda z: z[:, :2].bfloat16().softmax(1), r"got probabilities \(rows that sum to 1\); leave the softmax out$"),
        (lambda z: z[:, 0].sigmoid(), r"got numbers within \[0, 1\] alone; leave the sigmoid out$"),
        (lambda z: z[:, :1].sigmoid(), r"got numbers within \[0, 1\] alone; leave the sigmoid out$"),
        (lambda z: z.argmax(1), r"got whole numbers \(torch\.int64\); leave the argmax out$"),
        (lambda z: z / 0, "expected finite logits, got NaN or infinity$"),
        (lambda z: z[None], r"expected logits of shape \(2, K\), got \(1, 2, 3\)$"),
        (lambda z: z.sum(), r"expected logits of shape \(2, K\), got \(\)$"),
        (lambda z: z[:1], r"expected logits of shape \(2, K\), got \(1, 3\)$"),
        (lambda z: {"a": z, "b": z}, r"expected a dict with 'logits' or one tensor \(N, K\), got the keys 'a', 'b'$"),
        (lambda z: {}, "expected a dict with 'logits'"),
        (lambda z: z.tolist(), "expected logits as a tensor or an array, got list$"),
        (lambda z: None, "expected logits as a tensor or an array, got NoneType$"),
        (lambda z: (), "expected logits as a tensor or an array, got tuple$"),
    ],
)
def test_what_is_no_logits_is_refused_with_a_line_that_says_what_to_do(
    change: Callable[[Tensor], Any], expected: str
) -> None:
    for model in (Around(change), lambda images: Around(change)(images)):
        with pytest.raises(InputError, match=expected) as caught:
            try_on(Adapter(model), IMAGES)
        assert "\n" not in str(caught.value)


def test_one_logit_that_happens_to_lie_within_0_and_1_twice_is_no_probability() -> None:
    z = torch.tensor([0.3, 0.6, 2.0, -1.0, 0.5, 0.1])
    assert try_on(Adapter(lambda images: z[: len(images)]), IMAGES).shape == (2, 2)


def test_images_that_the_model_does_not_take_are_told_with_their_size() -> None:
    with pytest.raises(InputError, match=r"takes images \(N, C, H, W\) of 1×3×4 in \[0, 1\], got .*; put normal") as e:
        try_on(Adapter(nn.Conv2d(3, 4, 1)), IMAGES)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("behind", ["function", "module", "arrays", "step"])
def test_images_stay_as_they_are_whatever_writes_into_them(behind: str) -> None:
    """A normalisation in place, in each of the places where somebody else's code gets images."""

    def in_place(images: Any) -> Any:
        images -= 0.5
        return images

    def of_arrays(images: Any) -> Any:
        return in_place(np.asarray(images)).reshape(len(images), -1)[:, :3]

    class Module(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return in_place(images).flatten(1)[:, :3]  # type: ignore[no-any-return]

    networks: dict[str, Any] = {
        "function": lambda x: in_place(x).flatten(1)[:, :3],
        "module": Module(),
        "arrays": of_arrays,
        "step": lambda x: x.flatten(1)[:, :3],
    }
    before = torch.rand(4, 1, 2, 2)
    adapter = Adapter(networks[behind])
    network = Stepped(in_place, adapter) if behind == "step" else adapter
    if behind == "arrays":
        while adapter.hand_over_otherwise():
            pass
    for wanting in (False, True):
        given = before.clone().requires_grad_(wanting)
        logits = network(given)
        assert torch.equal(given, before)
        assert torch.equal(logits.detach(), (before - 0.5).flatten(1)[:, :3])
