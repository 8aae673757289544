"""What an audit says of networks of which the answer is known."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from defensive_distillation import Audit
from support.auditing.digits import Digits, trained


def rounded(images: Tensor) -> Tensor:
    return (images * 7).round() / 7


def as_jpeg(images: Any) -> np.ndarray[Any, Any]:
    """Each grey image (1, H, W) written as JPEG and read again."""
    read = []
    for image in np.asarray(images):
        file = io.BytesIO()
        Image.fromarray((image[0] * 255).round().astype("uint8")).save(file, "JPEG", quality=60)
        read.append(np.asarray(Image.open(file), dtype=np.float32) / 255)
    return np.stack(read)[:, None]


def noisy(images: Tensor) -> Tensor:
    return (images + 0.15 * torch.randn_like(images)).clamp(0, 1)


def multiplied(network: nn.Module, factor: float) -> nn.Module:
    """The network with its last layer's weights multiplied: larger logits, the same decisions."""
    first, last = network[:-1], network[-1]
    larger = nn.Linear(last.in_features, last.out_features)
    with torch.no_grad():
        larger.weight.copy_(factor * last.weight)
        larger.bias.copy_(factor * last.bias)
    return nn.Sequential(*first, larger)


def fooled(found: Audit) -> dict[str, Any]:
    """Samples that each attack on the logits, or without gradients, fools."""
    bounded = {one.name: one.successes for one in found.evaluation.bounded if one.loss != "cross_entropy"}
    jsma = {one.output: one.successes for one in found.evaluation.attacks if one.output != "probabilities"}
    return {**bounded, **jsma}


def faults(found: Audit) -> list[str]:
    return [sign.name for sign in found.evaluation.masking.gradient]


def test_a_plain_network_is_not_masked(digits: Digits) -> None:
    found = digits.audited(digits.plain)
    assert found.verdict == "not masked"
    assert "no gain (" in found.reason
    assert "that would show masked gradients" in found.reason
    assert "sanity conditions hold" in found.reason
    assert found.warnings == ()


def test_an_adversarially_trained_network_is_not_masked_and_more_robust(digits: Digits) -> None:
    found, plain = digits.audited(digits.robust), digits.audited(digits.plain)
    assert found.verdict == "not masked"
    assert "that would show masked gradients" in found.reason
    assert found.robust_accuracy[0.2] > plain.robust_accuracy[0.2] + 0.2


@pytest.mark.parametrize("factor", [20.0, 100.0, 1000.0])
@pytest.mark.parametrize("of", ["plain", "robust"])
def test_a_network_of_which_the_logits_were_multiplied_is_masked(digits: Digits, of: str, factor: float) -> None:
    network = getattr(digits, of)
    # logits of the robust one are a quarter as large, and multiplied by 20 leave untargeted JSMA enough gradient
    towards_each = {"attacks": ("jsma", "pgd"), "settings": {"jsma": {"sources": 43}, "bounded": {"samples": 60}}}
    found = digits.audited(multiplied(network, factor), **(towards_each if of == "robust" else {}))
    assert found.verdict == "masked"
    assert "masks the gradients" in found.reason or "the gradients are masked" in found.reason
    assert faults(found) == []  # the logits' own gradient is as it was
    with torch.no_grad():
        margins = network(digits.images).topk(2, dim=1).values
    expected = factor * float((margins[:, 0] - margins[:, 1]).median()) / 1.5434
    assert found.evaluation.temperature == pytest.approx(expected, rel=0.01)


def test_a_student_of_which_the_temperature_is_not_told_is_masked(digits: Digits) -> None:
    found = digits.audited(digits.distilled)
    assert found.verdict == "masked"
    assert "PGD on z/T gains" in found.reason
    assert found.evaluation.temperature > 50  # trained at 100


def test_whom_the_logits_are_all_the_multiplication_changes_nothing(digits: Digits) -> None:
    # 1024 is a power of two: every number of the attacks is 1024 times what it was, to the last bit
    assert fooled(digits.audited(multiplied(digits.plain, 1024))) == fooled(digits.audited(digits.plain))


@pytest.mark.slow
@pytest.mark.parametrize("factor", [1.0, 20.0])
def test_adversarial_training_at_a_large_radius_is_not_masked(digits: Digits, factor: float) -> None:
    """Its loss is so crooked that PGD by the cross-entropy misses what Square finds, at T = 1 and at any other T."""
    hard = torch.nn.functional.one_hot(digits.train_labels, 10).float()
    robust = trained(digits.train_images, hard, radius=0.3)
    found = digits.audited(
        lambda images: factor * robust(images),
        attacks=("jsma_untargeted", "pgd", "square"),
        settings={"bounded": {"samples": 300}, "square": {"queries": 200}},
    )
    assert found.verdict == "not masked"
    assert found.robust_accuracy[0.1] > digits.audited(digits.plain).robust_accuracy[0.1] + 0.2


def test_a_rounded_input_is_named_and_the_user_asked_for_it(digits: Digits) -> None:
    found = digits.audited(lambda images: digits.plain(rounded(images)))
    assert found.verdict == "masked"
    assert faults(found) == ["stepped"]
    assert "the input is rounded to 8 levels: the gradients are masked" in found.reason
    assert "An attack without gradients does better than those on the logits" in found.reason
    (warning,) = found.warnings
    assert warning.startswith("give the step without a gradient as input_step=")


@pytest.mark.parametrize("step", [rounded, lambda images: np.round(images * 7) / 7], ids=["tensors", "arrays"])
def test_a_rounded_input_that_is_told_is_gone_round(digits: Digits, step: Callable[[Any], Any]) -> None:
    untold, found = digits.audited(lambda x: digits.plain(rounded(x))), digits.audited(digits.plain, input_step=step)
    assert found.verdict == "masked"
    assert "the input is rounded to 8 levels" in found.reason
    assert found.warnings == ()
    assert found.accuracy == untold.accuracy  # the decisions are of the network behind its step
    before, behind = fooled(untold), fooled(found)
    assert behind["logits"] > before["logits"] + 30  # of 60
    assert found.evaluation.masking.within > 0.5
    assert found.evaluation.masking.broken == ()  # the adaptive attack holds what Square and noise reach
    assert {"pgd/margin", "square/margin"} <= behind.keys()
    assert max(found.robust_accuracy[e] - untold.robust_accuracy[e] for e in (0.1, 0.2, 0.3)) <= 0


def test_jpeg_is_named_and_gone_round(digits: Digits) -> None:
    few = {
        "attacks": ("pgd", "square"),
        "settings": {"bounded": {"samples": 25}, "pgd": {"steps": 10}, "square": {"queries": 20}},
    }
    found = digits.audited(digits.plain, input_step=as_jpeg, **few)
    assert found.verdict == "masked"
    assert faults(found) == ["stepped"]
    assert "rounded to 8 bits (as JPEG does, too)" in found.reason
    assert found.evaluation.masking.within > 0.5
    assert found.evaluation.masking.broken == ()


def test_jpeg_within_a_function_of_tensors_is_named(digits: Digits) -> None:
    few = {
        "attacks": ("pgd", "square"),
        "settings": {"bounded": {"samples": 25}, "pgd": {"steps": 10}, "square": {"queries": 20}},
    }
    found = digits.audited(lambda images: digits.plain(torch.from_numpy(as_jpeg(images.numpy()))), **few)
    assert found.verdict == "masked"
    assert faults(found) == ["stepped"]
    assert any("a step that it cannot as input_step=" in warning for warning in found.warnings)


def test_a_random_network_is_named_and_the_user_asked_for_draws(digits: Digits) -> None:
    found = digits.audited(lambda images: digits.plain(noisy(images)))
    assert found.verdict == "masked"
    assert faults(found) == ["random"]
    assert "the network is random" in found.reason
    assert found.warnings[0].startswith("give draws=16 or so")
    assert "network.eval()" in found.warnings[0]


def test_with_draws_the_adaptive_attack_climbs_their_mean(digits: Digits) -> None:
    few = {
        "attacks": ("pgd", "square"),
        "settings": {"bounded": {"samples": 40}, "pgd": {"steps": 10}, "square": {"queries": 20}},
    }
    found = digits.audited(lambda images: digits.plain(noisy(images)), draws=8, **few)
    assert (found.verdict, faults(found), found.warnings) == ("masked", ["random"], ())
    adaptive, naive = found.evaluation.within("pgd/margin"), found.evaluation.within("pgd/cross_entropy")
    assert adaptive is not None
    assert naive is not None
    assert sum(adaptive.successes) > sum(naive.successes)
    assert digits.audited(lambda images: digits.plain(noisy(images)), draws=8, **few).evaluation == found.evaluation


@pytest.mark.parametrize(
    ("activation", "fault", "reason"),
    [
        (lambda hidden: (2 * hidden.relu()).round() / 2, "stepped", "a step has no gradient (rounding, JPEG, …)"),
        (lambda hidden: torch.tanh(1000 * (hidden - 0.5)), "saturating", "something saturates"),
    ],
    ids=["stepped", "saturating"],
)
def test_an_activation_without_a_gradient_is_named(
    digits: Digits, activation: Callable[[Tensor], Tensor], fault: str, reason: str
) -> None:
    _, first, _, last = digits.plain
    found = digits.audited(lambda images: last(activation(first(images.flatten(1)))))
    assert found.verdict == "masked"
    assert faults(found) == [fault]
    assert reason in found.reason
    assert found.evaluation.within("square/margin").success_by_epsilon[-1] == 1


def test_an_input_that_saturates_is_named_where_square_shows_it(digits: Digits) -> None:
    found = digits.audited(lambda images: digits.plain(torch.sigmoid(500 * (images - 0.5))))
    assert found.verdict == "masked"
    assert faults(found) == ["saturating"]
    assert "black_box" in found.evaluation.masking.broken


@pytest.mark.parametrize("of", ["plain", "robust"])
def test_of_a_function_of_arrays_it_is_said_that_the_verdict_is_not_the_networks(digits: Digits, of: str) -> None:
    network = getattr(digits, of)
    found = digits.audited(lambda images: network(torch.from_numpy(images)).detach().numpy())
    assert found.verdict == "masked"
    assert found.accuracy == digits.audited(network).accuracy
    assert found.warnings[0].startswith(
        "the model returns logits without a gradient (arrays, no_grad or detach within)"
    )


def test_towards_each_class_jsma_decides_and_is_told(digits: Digits) -> None:
    few = {"attacks": ("jsma",), "settings": {"jsma": {"sources": 12}}}
    found = digits.audited(multiplied(digits.plain, 1000), **few)
    assert found.verdict == "masked"
    assert found.reason.startswith("With the model, JSMA on the probabilities succeeds on ")
    assert "the defense masks the gradients; it does not remove the adversarial samples" in found.reason


def test_one_logit_of_two_classes_is_audited(digits: Digits) -> None:
    zero_or_one = digits.labels < 2
    images, labels = digits.images[zero_or_one], digits.labels[zero_or_one]

    def logit(images: Tensor) -> Tensor:
        z = digits.plain(images)
        return 50 * (z[:, 1] - z[:, 0])

    found = digits.audited(logit, images=images, labels=labels)
    assert found.verdict == "masked"
    assert found.evaluation.dataset.classes == ("0", "1")
    assert found.accuracy > 0.95
