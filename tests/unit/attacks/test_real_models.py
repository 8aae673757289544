"""Networks and inputs as people have them: in-place steps, half precision, vectors, functions, no gradient within."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from defensive_distillation.attacks import AttackResult, carlini_wagner
from defensive_distillation.attacks.network import slack
from defensive_distillation.errors import InputError
from support.attacks import ATTACKS, BALL, DESCENDING, EPSILON
from support.networks import assert_equal, smooth, starts

every_attack = pytest.mark.parametrize("name", ATTACKS)
GRADIENT_FREE = ("square", "noise")


class Wrapped(nn.Module):
    """A network behind a function of the images, in evaluation mode."""

    def __init__(self, network: nn.Module, before: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.before = network, before
        self.eval()

    def forward(self, images: Tensor) -> Any:
        return self.network(self.before(images))


def case(shape: tuple[int, ...] = (3, 4, 5), classes: int = 4) -> tuple[nn.Sequential, Tensor, Tensor]:
    model, images = smooth(math.prod(shape), classes, 2), starts(6, (1, 1, math.prod(shape)), 3).view(6, *shape)
    return model, images, (model(images).argmax(1) + 1) % classes


# what others compute in place


@every_attack
@pytest.mark.parametrize("name_of_step", ["sub_", "div_", "clamp_", "indexed"])
def test_a_network_that_writes_into_its_input_is_attacked_as_one_that_does_not(name: str, name_of_step: str) -> None:
    def indexed(x: Tensor) -> Tensor:
        x[:, :1] = x[:, :1] * 0.5
        return x

    def first_half(x: Tensor) -> Tensor:
        return torch.cat([x[:, :1] * 0.5, x[:, 1:]], dim=1)

    in_place, aside = {
        "sub_": (lambda x: x.sub_(0.5), lambda x: x - 0.5),
        "div_": (lambda x: x.sub_(0.5).div_(0.5), lambda x: (x - 0.5) / 0.5),
        "clamp_": (lambda x: x.clamp_(0.1, 0.9), lambda x: x.clamp(0.1, 0.9)),
        "indexed": (indexed, first_half),
    }[name_of_step]
    model, images, classes = case()
    source = images.clone()
    found = ATTACKS[name](Wrapped(model, in_place), images, classes)
    assert torch.equal(images, source)
    assert_equal(found, ATTACKS[name](Wrapped(model, aside), images, classes))


# shapes, precisions, functions


@pytest.mark.parametrize("targeted", [True, False])
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        (name, shape)
        for name in ATTACKS
        for shape in ((), (24,), (3, 8), (2, 3, 2, 2), (1, 2, 1, 3, 4))
        if shape or not name.startswith("jsma")  # which changes pairs of features
    ],
)
def test_inputs_of_any_shape_are_attacked(name: str, targeted: bool, shape: tuple[int, ...]) -> None:
    model = smooth(math.prod(shape), 3, 2)
    images = starts(6, (1, 1, math.prod(shape)), 3).view(6, *shape)
    seen: list[tuple[int, ...]] = []

    def network(x: Tensor) -> Tensor:
        seen.append(tuple(x.shape[1:]))
        logits: Tensor = model(x.reshape(len(x), -1))
        return logits

    labels = network(images).argmax(1)
    found = ATTACKS[name](network, images, (labels + 1) % 3 if targeted else labels, targeted=targeted)  # type: ignore[arg-type]
    assert set(seen) == {shape}
    assert (found.adversarial.shape, found.adversarial.dtype) == (images.shape, images.dtype)
    assert bool(((found.adversarial >= 0) & (found.adversarial <= 1)).all())
    assert torch.equal(found.changed_features, (found.adversarial != images).reshape(6, -1).sum(1))
    there = network(found.adversarial).argmax(1)
    assert torch.equal(found.success, there == (labels + 1) % 3 if targeted else there != labels)


def test_of_vectors_each_feature_is_a_pixel_and_of_series_each_moment() -> None:
    model, images, classes = case((3, 8))
    for inputs, pixels in ((images.flatten(1), lambda moved: moved), (images, lambda moved: moved.any(1))):
        found = carlini_wagner(model, inputs, classes, norm="l0", steps=20, learning_rate=0.1)
        assert torch.equal(found.changed_pixels, pixels(found.adversarial != inputs).sum(1))


@every_attack
def test_a_vector_is_attacked_as_the_image_of_one_row(name: str) -> None:
    model, images, classes = case((24,))
    found, whole = ATTACKS[name](model, images, classes), ATTACKS[name](model, images[:, None, None], classes)
    assert_equal(dataclasses.replace(found, adversarial=found.adversarial[:, None, None]), whole)


@every_attack
@pytest.mark.parametrize("shape", [(0, 3, 4, 5), (0, 60)])
def test_no_images_are_an_empty_result(name: str, shape: tuple[int, ...]) -> None:
    model, _, _ = case()
    found = ATTACKS[name](model, torch.zeros(shape), torch.zeros(0, dtype=torch.int64))
    assert found.adversarial.shape == shape
    for field in dataclasses.fields(AttackResult):
        assert len(getattr(found, field.name)) == 0


@every_attack
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_attacked_in_single_and_the_samples_hold_as_rounded(name: str, dtype: torch.dtype) -> None:
    model, images, _ = case()
    model, images = model.to(dtype), images.to(dtype)
    labels = model(images).argmax(1)
    found = ATTACKS[name](model, images, labels, targeted=False)
    assert found.adversarial.dtype == dtype
    assert bool(found.success.any())
    assert torch.equal(model(found.adversarial).argmax(1) != labels, found.success)
    moved = (found.adversarial.float() - images.float()).flatten(1)
    assert torch.equal(found.linf, moved.abs().amax(1))
    if name in BALL:
        assert float(found.linf.max()) <= EPSILON + torch.finfo(dtype).eps


@every_attack
def test_within_inference_mode_with_its_tensors_and_its_weights_outside_it_is_the_same(name: str) -> None:
    model, images, classes = case()
    expected = ATTACKS[name](model, images, classes)
    with torch.inference_mode():
        assert_equal(ATTACKS[name](model, images.clone(), classes.clone()), expected)
        inside = images.clone(), classes.clone()
    assert_equal(ATTACKS[name](model, *inside), expected)


# no gradient within


@every_attack
@pytest.mark.parametrize("kind", ["no_grad", "inference_mode", "detach", "byte"])
def test_a_network_without_a_gradient_gets_one_line_and_gradient_free_attacks_none(name: str, kind: str) -> None:
    model, images, _ = case()
    labels = model(images).argmax(1)
    model.requires_grad_(kind != "byte")

    class Hidden(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            if kind == "detach":
                return model(images).detach()  # type: ignore[no-any-return]
            if kind == "byte":
                return model((images * 255).byte().double() / 255)  # type: ignore[no-any-return]
            with torch.no_grad() if kind == "no_grad" else torch.inference_mode():
                return model(images)  # type: ignore[no-any-return]

    network = Hidden().eval()
    if name in GRADIENT_FREE:
        assert bool(ATTACKS[name](network, images, labels, targeted=False).success.any())
        return
    with pytest.raises(InputError, match="model: expected logits that can be differentiated, got none"):
        ATTACKS[name](network, images, labels, targeted=False)


def test_what_is_no_classifier_is_refused() -> None:
    _, images, classes = case()
    with pytest.raises(InputError, match="model: expected a module or a function, got str"):
        ATTACKS["pgd/margin"]("resnet18", images, classes)  # type: ignore[arg-type]


# by how much a goal is to be reached


@pytest.mark.parametrize("norm", ["l2", "l0", "linf"])
@pytest.mark.parametrize("constant", [1e3, 1e5, 1e6])
def test_a_constant_added_to_all_logits_moves_no_sample_away(norm: Any, constant: float) -> None:
    """In float32, where logits of 1e6 are rounded to 0.06: the distance grows by no more than that takes."""
    model, images, classes = case()
    model, images = model.float(), images.float()
    with torch.no_grad():
        model[-1].weight.mul_(50)  # margins of some tens
        model[-1].bias.mul_(50)
    added = nn.Sequential(model, Plus(constant)).eval()
    options: dict[str, Any] = {"norm": norm, "steps": 100, "learning_rate": 0.03}
    plain, moved = (carlini_wagner(network, images, classes, **options) for network in (model, added))
    assert bool(plain.success.all())
    assert bool(moved.success.all())
    field = {"l2": "l2", "l0": "changed_pixels", "linf": "linf"}[norm]
    assert float(getattr(moved, field).double().mean()) <= 1.1 * float(getattr(plain, field).double().mean())


class Plus(nn.Module):
    def __init__(self, constant: float) -> None:
        super().__init__()
        self.constant = constant

    def forward(self, logits: Tensor) -> Tensor:
        return logits + self.constant


@pytest.mark.parametrize("cast_back", [True, False])
def test_an_autocast_network_is_fooled_as_near_as_in_single_precision(cast_back: bool) -> None:
    model, images, classes = case()
    model, images = model.float(), images.float()

    def autocast(x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            logits: Tensor = model(x)
        return logits.float() if cast_back else logits

    options: dict[str, Any] = {"steps": 100, "learning_rate": 0.03}
    plain, cast = (carlini_wagner(network, images, classes, **options) for network in (model, autocast))  # type: ignore[arg-type]
    assert bool(cast.success.all())
    # logits of bfloat16 differ by up to 2^-8 of themselves
    assert float(cast.l2.mean()) == pytest.approx(float(plain.l2.mean()), rel=0.05)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_the_slack_is_beyond_rounding_and_far_below_the_spread(dtype: torch.dtype) -> None:
    logits = torch.tensor([[-3.0, 1.0, 4.0], [250.0, 252.0, 246.0]]).to(dtype)
    allowed, ulp = slack(logits), torch.finfo(dtype).eps * logits.abs().amax(1)
    assert bool((allowed >= 2 * ulp).all())
    assert bool((allowed[0] < 0.02 * 7).all())


@pytest.mark.parametrize("targeted", [True, False])
@pytest.mark.parametrize("name", DESCENDING)
def test_a_source_that_is_barely_where_it_should_be_is_left_alone(name: str, targeted: bool) -> None:
    """Two logits one unit in the last place apart."""
    logits = torch.tensor([1.0, 1.0 + torch.finfo(torch.float32).eps])

    class Barely(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return logits + 1e-9 * images.flatten(1).sum(1, keepdim=True) * torch.tensor([1.0, -1.0])

    images = torch.rand(3, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    found = ATTACKS[name](Barely().eval(), images, torch.full((3,), int(targeted)), targeted=targeted)
    assert torch.equal(found.adversarial, images)
    assert bool(found.success.all())
