"""What an audit takes, what it refuses, and how it attacks where nobody says."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from defensive_distillation import audit
from defensive_distillation.auditing.audit import settings_for
from defensive_distillation.auditing.images import test_images as as_test_images
from defensive_distillation.errors import ConfigurationError, DatasetError, InputError
from defensive_distillation.evaluation.intervals import wilson_interval
from defensive_distillation.suite import fitting
from defensive_distillation.suite.registry import ATTACKS
from support.auditing.digits import QUICK, Digits
from support.networks import linear

PIXELS = torch.randint(0, 256, (6, 1, 4, 5), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
LABELS = torch.tensor([0, 1, 2, 2, 1, 0])


@pytest.mark.parametrize(
    "images",
    [
        PIXELS,
        PIXELS[:, 0],
        PIXELS.float() / 255,
        (PIXELS.double() / 255).requires_grad_(),
        PIXELS.half() / 255,
        PIXELS.numpy(),
        PIXELS.numpy().astype(np.float32) / 255,
        PIXELS.permute(0, 1, 3, 2).numpy().transpose(0, 1, 3, 2),
        (PIXELS / 255).tolist(),
    ],
    ids=["uint8", "(N, H, W)", "float32", "gradient", "half", "array", "float array", "strided", "lists"],
)
@pytest.mark.parametrize(
    "labels",
    [
        LABELS,
        LABELS.int(),
        LABELS.float(),
        LABELS[:, None],
        torch.eye(3)[LABELS],
        LABELS.numpy(),
        LABELS.tolist(),
    ],
    ids=["int64", "int32", "float", "column", "one-hot", "array", "list"],
)
def test_every_form_of_the_same_images_and_labels_is_the_same(images: Any, labels: Any) -> None:
    found = as_test_images(images, labels, classes=3, name="mine", grey=True)
    assert torch.equal(found.test_images, PIXELS)
    assert torch.equal(found.test_labels, LABELS)
    assert found.test_labels.dtype == torch.int64
    assert (found.name, found.classes, found.image_shape) == ("mine", ("0", "1", "2"), (1, 4, 5))


PHOTOGRAPHS = torch.rand(6, 3, 8, 9)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (PIXELS.float(), r"images: expected values within \[0, 1\], got 1 to 254; divide them by 255$"),
        (PHOTOGRAPHS * 2 - 1, r"got -0\.\d+ to [01]\.?\d*; put the normalisation into the model$"),
        (PHOTOGRAPHS * 1000, r"; put the normalisation into the model$"),
        (PHOTOGRAPHS.permute(0, 2, 3, 1), r"move the channels to the front: images\.transpose\(0, 3, 1, 2\)$"),
        (torch.rand(6), r"images: expected shape \(N, C, H, W\) or \(N, ...\), got \(6,\)$"),
        (torch.rand(6, 0), r"images: expected shape \(N, C, H, W\) or \(N, ...\), got \(6, 0\)$"),
        (torch.rand(0, 1, 4, 5), r"images: expected shape .*, got \(0, 1, 4, 5\)$"),
        (
            torch.rand(6, 20) * 3000,
            r"images: expected values within \[0, 1\], got .*; put the normalisation into the model$",
        ),
        (PIXELS.long(), r"images: expected uint8 or floating point in \[0, 1\], got torch\.int64$"),
        (PIXELS > 9, r"images: expected uint8 or floating point in \[0, 1\], got torch\.bool$"),
        (PHOTOGRAPHS / 0, "images: expected finite values, got NaN or infinity$"),
        ("photos.zip", "images: expected a tensor or an array of numbers, got str$"),
        (None, "images: expected a tensor or an array of numbers, got NoneType$"),
        ([[1, 2], [3]], "images: expected a tensor or an array of numbers, got list$"),
    ],
)
def test_images_in_a_wrong_form_are_refused_with_what_to_do(images: Any, expected: str) -> None:
    with pytest.raises(DatasetError, match=expected) as caught:
        as_test_images(images, LABELS, classes=3, name="mine", grey=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (LABELS[:5], "labels: expected one for each of 6 images, got 5$"),
        (LABELS + 1, "labels: expected 0 to 2, the model's classes, got 1 to 3; do they count from 1[?]$"),
        (LABELS + 4, "labels: expected 0 to 2, the model's classes, got 4 to 6$"),
        (LABELS - 1, "labels: expected 0 to 2, the model's classes, got -1 to 1$"),
        (LABELS / 2, "labels: expected whole numbers, got fractions$"),
        (LABELS > 0, r"labels: expected whole numbers of shape \(N,\), got torch\.bool \(6,\)$"),
        (torch.rand(6, 3), r"labels: expected \(N,\) or one-hot \(N, K\), got \(6, 3\) that is not one-hot$"),
        (torch.zeros(6, 3), r"got \(6, 3\) that is not one-hot$"),
        (torch.zeros(6, 3, 2), r"labels: expected whole numbers of shape \(N,\), got torch\.float32 \(6, 3, 2\)$"),
        ([], r"labels: expected whole numbers of shape \(N,\), got torch\.float64 \(0,\)$"),
        (["cat"] * 6, "labels: expected a tensor or an array of numbers, got list$"),
        (torch.full((6,), float("nan")), "labels: expected whole numbers, got fractions$"),
    ],
)
def test_labels_in_a_wrong_form_are_refused_with_what_to_do(labels: Any, expected: str) -> None:
    with pytest.raises(DatasetError, match=expected) as caught:
        as_test_images(PIXELS, labels, classes=3, name="mine", grey=True)
    assert "\n" not in str(caught.value)


def test_digits_have_large_radii_and_photographs_those_of_eight_bits() -> None:
    drawing = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
    drawing[:, :, 10:18, 10:18] = 128
    grey = torch.full((2, 1, 28, 28), 128, dtype=torch.uint8)
    assert fitting.radii(drawing) == fitting.radii(255 - drawing) == (0.1, 0.2, 0.3)
    assert fitting.radii(grey) == fitting.radii(drawing.repeat(1, 3, 1, 1)) == (2 / 255, 4 / 255, 8 / 255)


def test_the_digits_of_the_tests_are_drawings(digits: Digits) -> None:
    assert fitting.radii((digits.images * 255).round().to(torch.uint8))[-1] == 0.3


@pytest.mark.parametrize("half_width", [0.02, 0.05, 0.1, 0.3])
def test_enough_sources_for_the_stated_half_width_and_hardly_more(half_width: float) -> None:
    count = fitting.sources_for(half_width)
    low, high = wilson_interval(count // 2, count)  # widest at one half
    assert (high - low) / 2 <= half_width
    assert 2 * math.sqrt(0.25 / (count - 1)) * 0.98 > half_width  # Wald's at one sample less


@pytest.mark.parametrize("half_width", [0.0, 0.5, -0.1, float("nan")])
def test_a_half_width_that_is_none_is_refused(half_width: float) -> None:
    with pytest.raises(InputError, match=r"half_width: expected a share between 0 and 0\.5, got"):
        fitting.sources_for(half_width)


def settings(images: Tensor, classes: int = 10, **more: Any) -> Any:
    dataset = as_test_images(
        images, torch.zeros(len(images), dtype=torch.int64), classes=classes, name="mine", grey=True
    )
    given = {"epsilons": None, "attacks": None, "half_width": 0.05, "given": {}, **more}
    return settings_for(dataset, **given)


def test_budgets_follow_the_size_of_the_images() -> None:
    digits, photographs = torch.zeros(500, 1, 28, 28, dtype=torch.uint8), torch.zeros(500, 3, 224, 224).byte()
    assert settings(digits).jsma.max_features == 112  # the paper's
    assert settings(photographs).jsma.max_features == 500
    assert settings(torch.zeros(500, 1, 2, 2).byte()).jsma.max_features == 2
    assert settings(digits).bounded.samples == 385
    assert settings(digits[:20]).bounded.samples == 20
    assert settings(digits).jsma.sources * 9 >= 385  # pairs towards each of nine other classes


def test_attacks_that_need_another_network_are_left_out() -> None:
    assert {*settings(torch.zeros(50, 3, 8, 8).byte()).attacks} == {*ATTACKS} - {"transfer"}


def test_radii_are_sorted_and_the_unbounded_one_is_among_them() -> None:
    images = torch.zeros(50, 3, 8, 8).byte()
    assert settings(images, epsilons=[8 / 255, 2 / 255]).bounded.epsilons == (2 / 255, 8 / 255, 1.0)
    assert settings(images, epsilons=[1, 0.5, 0.5]).bounded.epsilons == (0.5, 1.0)


@pytest.mark.parametrize(
    ("epsilons", "expected"),
    [
        ([8], r"got 8; for 8 of 255 give 0\.03137$"),
        ([0.1, 0.0], "got 0$"),
        ([-0.1], "got -0.1$"),
        ([], "got none$"),
        ([float("nan")], "got nan$"),
    ],
)
def test_radii_that_are_none_are_refused(epsilons: list[float], expected: str) -> None:
    with pytest.raises(InputError, match=f"^epsilons: expected radii above 0 and at most 1.*{expected}"):
        settings(torch.zeros(5, 1, 4, 4).byte(), epsilons=epsilons)


def test_one_radius_and_one_attack_need_no_list() -> None:
    found = settings(torch.zeros(50, 3, 8, 8).byte(), epsilons=0.25, attacks="pgd")
    assert (found.bounded.epsilons, found.attacks) == ((0.25, 1.0), ("pgd",))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"attacks": ["pgd", "transfer"]}, "attacks: expected some that need no other network than the model, got tra"),
        ({"batch_size": 0}, "batch_size: expected at least 1, got 0"),
        ({"draws": 0}, "draws: expected a whole number, at least 1, got 0"),
        ({"device": "gpu"}, "device: expected auto, cpu, cuda, cuda:N or mps, got gpu"),
    ],
)
def test_arguments_out_of_range_are_refused(digits: Digits, arguments: dict[str, Any], expected: str) -> None:
    with pytest.raises((InputError, ConfigurationError), match=f"^{expected}"):
        digits.audited(digits.plain, **arguments)


@pytest.mark.parametrize("model", [None, "network.pt", torch.zeros(3)])
def test_what_cannot_be_called_is_no_model(digits: Digits, model: Any) -> None:
    with pytest.raises(InputError, match=f"^model: expected a module or a function, got {type(model).__name__}$"):
        digits.audited(model)


def test_an_unknown_attack_or_setting_is_refused_by_its_name(digits: Digits) -> None:
    with pytest.raises(ConfigurationError, match="deepfool"):
        digits.audited(digits.plain, attacks=["deepfool"])
    with pytest.raises(ConfigurationError, match="stepz"):
        digits.audited(digits.plain, settings={"pgd": {"stepz": 3}})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda z: z.softmax(1), "leave the softmax out"),
        (lambda z: z[:, :5], "labels: expected 0 to 4, the model's classes, got 0 to 9"),
        (lambda z: z.argmax(1), "leave the argmax out"),
        (lambda z: z.where(z > z.min(), torch.nan), "expected finite logits, got NaN or infinity"),
    ],
)
def test_a_model_without_logits_is_refused(digits: Digits, change: Callable[[Tensor], Tensor], expected: str) -> None:
    with pytest.raises((InputError, DatasetError), match=expected):
        digits.audited(lambda images: change(digits.plain(images)))


def test_a_logit_that_is_not_finite_on_one_image_is_counted(digits: Digits) -> None:
    last = digits.images[-1]

    def model(images: Tensor) -> Tensor:
        return digits.plain(images).masked_fill((images - last).abs().flatten(1).amax(1)[:, None] < 0.01, torch.nan)

    with pytest.raises(InputError, match=r"got NaN or infinity on 1 of 397 images$"):
        digits.audited(model)


def test_names_of_classes_are_as_many_as_logits(digits: Digits) -> None:
    with pytest.raises(InputError, match=r"classes: expected 10 names, one for each logit of the model, got 2$"):
        digits.audited(digits.plain, classes=["cat", "dog"])


def test_of_a_model_no_better_than_chance_the_user_is_asked_about_its_input(digits: Digits) -> None:
    few = {"attacks": ["noise"], "settings": {"bounded": {"samples": 10}}}
    found = digits.audited(lambda images: digits.plain(images.flip(3).flip(2)).roll(1, 1), **few)
    assert any("normalisation, order of the classes and of the channels" in warning for warning in found.warnings)


def test_of_few_images_it_is_said_that_they_are_few(digits: Digits) -> None:
    found = digits.audited(
        digits.plain, attacks=["noise"], settings={}, images=digits.images[:7], labels=digits.labels[:7]
    )
    assert found.warnings[-1] == (
        "Noise, robust accuracy and worst case rest on 7 images: take these numbers as an indication."
    )


def test_the_users_model_arrays_and_chance_are_left_as_they_were() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(20, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 3)).train()
    weights, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    images, labels = (PIXELS.numpy() / 255).astype(np.float32), LABELS.numpy()
    kept = images.copy(), labels.copy()
    audit(model, images, labels, **{**QUICK, "attacks": ("pgd", "jsma_untargeted")})
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, weights[name]), name
    assert np.array_equal(images, kept[0])
    assert np.array_equal(labels, kept[1])
    assert torch.equal(torch.get_rng_state(), state)


def test_a_network_in_training_mode_and_one_in_half_precision_are_those_that_they_become() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(20, 8), nn.Dropout(0.9), nn.Linear(8, 3)).train()
    few = {**QUICK, "attacks": ("pgd",)}
    found = audit(model, PIXELS, LABELS, **few)
    assert found.evaluation == audit(copy.deepcopy(model).eval(), PIXELS, LABELS, **few).evaluation
    half = copy.deepcopy(model).half()
    assert audit(half, PIXELS, LABELS, **few).evaluation == audit(half.float(), PIXELS, LABELS, **few).evaluation


def test_float64_is_audited_too() -> None:
    model = linear(torch.randn(3, 20, generator=torch.Generator().manual_seed(0)).double())
    found = audit(lambda images: model(images.double()), PIXELS, LABELS, **{**QUICK, "attacks": ("pgd",)})
    assert found.evaluation.gradient_check.slope == pytest.approx(1, abs=1e-4)
    with pytest.raises(InputError, match=r"give a function that casts: lambda images: model\(images\.double\(\)\)$"):
        audit(model, PIXELS, LABELS, **QUICK)
