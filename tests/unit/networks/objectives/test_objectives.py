"""What defenses minimise in place of the cross-entropy, each beside a slow and literal form of it."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from defensive_distillation.errors import InputError
from defensive_distillation.networks.architectures import build
from defensive_distillation.networks.architectures.denoised import Denoised
from defensive_distillation.networks.kernels.fused import fused
from defensive_distillation.networks.objectives.adversarial import Adversarial, worst_in_ball
from defensive_distillation.networks.objectives.contractive import Contractive, with_jacobians
from defensive_distillation.networks.objectives.denoising import Denoising
from defensive_distillation.networks.objectives.objective import PLAIN
from defensive_distillation.networks.softmax import smoothed


def samples(count: int = 6, side: int = 8, classes: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(count, 1, side, side, generator=generator, dtype=torch.float64)
    return images, nn.functional.one_hot(torch.arange(count) % classes, classes).double()


def layered(*, dropout: float = 0.5) -> nn.Sequential:
    torch.manual_seed(2)
    return nn.Sequential(
        *(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(16, 5), nn.ReLU(), nn.Dropout(dropout), nn.Linear(5, 3)),
    ).double()


def test_the_worst_point_is_that_of_a_literal_loop_over_samples_and_features() -> None:
    images, targets = samples()
    model = layered().eval()
    options = {"epsilon": 0.2, "steps": 4, "step_size": 0.08}
    torch.manual_seed(5)
    found = worst_in_ball(model, images, targets, **options, random_start=True)
    torch.manual_seed(5)
    draws = torch.rand_like(images)
    for n in range(len(images)):
        source, x = images[n].flatten().tolist(), []
        for value, draw in zip(source, draws[n].flatten().tolist(), strict=True):
            low, high = max(0.0, value - 0.2), min(1.0, value + 0.2)
            x.append(low + draw * (high - low))
        for _ in range(4):
            at = torch.tensor(x, dtype=torch.float64).view(1, 1, 8, 8).requires_grad_()
            loss = -(targets[n] * model(at).log_softmax(1)[0]).sum()
            gradient = torch.autograd.grad(loss, at)[0].flatten().tolist()
            moved = [v + 0.08 * ((g > 0) - (g < 0)) for v, g in zip(x, gradient, strict=True)]
            x = [min(max(v, s - 0.2, 0.0), s + 0.2, 1.0) for v, s in zip(moved, source, strict=True)]
        torch.testing.assert_close(found[n].flatten(), torch.tensor(x, dtype=torch.float64), rtol=0, atol=1e-12)


def test_the_worst_point_of_a_linear_network_is_a_corner_of_the_ball_and_the_box() -> None:
    """Of two classes the loss grows along w_other - w_own from wherever it starts; two radii of steps reach it."""
    images, _ = samples(side=4)
    targets = torch.tensor([[1.0, 0.0]], dtype=torch.float64).expand(len(images), 2)
    torch.manual_seed(3)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).double()
    towards = (model[1].weight[1] - model[1].weight[0]).detach().sign().view(1, 1, 4, 4)
    for start in (False, True):
        found = worst_in_ball(model, images, targets, epsilon=0.3, steps=4, step_size=0.15, random_start=start)
        torch.testing.assert_close(found, (images + 0.3 * towards).clamp(0, 1), rtol=0, atol=1e-12)


def test_adversarial_training_descends_the_loss_of_the_worst_point_and_its_radius_grows() -> None:
    images, targets = samples()
    model = layered(dropout=0.0).train()
    objective = Adversarial(epsilon=0.2, steps=3, step_size=0.5, random_start=False, warm_up=0.5)
    plain, _ = PLAIN(model, images, targets, 0.0)
    losses = [objective(model, images, targets, progress)[0].item() for progress in (0.0, 0.25, 0.5, 0.9)]
    assert losses[0] == plain.item(), "the radius begins at 0"
    assert losses[0] < losses[1] < losses[2] == losses[3]
    for radius, loss in ((0.05, losses[1]), (0.2, losses[2])):
        worst = worst_in_ball(
            model.eval(), images, targets, epsilon=radius, steps=3, step_size=radius / 2, random_start=False
        )
        assert PLAIN(model.train(), worst, targets, 0.0)[0].item() == loss


def test_the_attack_meets_the_network_without_dropout_and_leaves_it_as_it_was() -> None:
    images, targets = samples()
    model = layered().train()
    model[0].bias.requires_grad_(False)
    objective = Adversarial(epsilon=0.2, steps=2, step_size=0.5, random_start=False, warm_up=0.0)
    torch.manual_seed(0)
    loss, _ = objective(model, images, targets, 0.0)
    assert all(module.training for module in model.modules())
    assert [name for name, one in model.named_parameters() if not one.requires_grad] == ["0.bias"]
    worst = worst_in_ball(
        copy.deepcopy(model).eval(), images, targets, epsilon=0.2, steps=2, step_size=0.1, random_start=False
    )
    torch.manual_seed(0)
    assert torch.equal(loss, PLAIN(model, worst, targets, 0.0)[0])


def jacobians(model: nn.Sequential, image: Tensor) -> list[float]:
    """Squared norms of whole Jacobians by automatic differentiation, from one layer with weights to the next."""
    layers = [layer for layer in model.children() if not isinstance(layer, nn.Dropout)]
    starts = [n for n, layer in enumerate(layers) if isinstance(layer, nn.Conv2d | nn.Linear)]
    found, x = [], image[None]
    for begin, end in zip(starts, [*starts[1:], len(layers)], strict=True):
        part = nn.Sequential(*layers[begin:end])
        found.append(float(torch.autograd.functional.jacobian(part, x).square().sum()))
        x = part(x).detach()
    return found


def test_the_norms_of_the_jacobians_are_those_of_automatic_differentiation() -> None:
    images, _ = samples()
    model = layered(dropout=0.0)
    logits, squared = with_jacobians(model, images)
    assert torch.equal(logits, model(images))
    expected = [jacobians(model, image) for image in images]
    assert len(squared) == 4
    torch.testing.assert_close(torch.stack(squared, 1), torch.tensor(expected, dtype=torch.float64))


def test_fused_layers_have_the_norms_of_the_layers_that_they_are_made_of() -> None:
    model = build("papernot_mnist", 10, (1, 16, 16), dropout=0.0, seed=4)
    images = torch.rand(5, 1, 16, 16)
    expected = with_jacobians(model, images)[1]
    found = with_jacobians(fused(copy.deepcopy(model)), images)[1]
    assert len(expected) == len(found) == 7
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_contractive_loss_is_cross_entropy_and_the_sum_of_the_norms() -> None:
    images, targets = samples()
    model = layered(dropout=0.0)
    loss, logits = Contractive(weight=0.25)(model, images, targets, 0.0)
    norms = [sum(math.sqrt(squared) for squared in jacobians(model, image)) for image in images]
    expected = PLAIN(model, images, targets, 0.0)[0].item() + 0.25 * sum(norms) / len(norms)
    assert loss.item() == pytest.approx(expected, rel=1e-6)  # the norms are taken in float32
    assert torch.equal(logits, model(images))


def test_a_layer_without_active_units_has_a_finite_gradient() -> None:
    images, targets = samples()
    model = layered(dropout=0.0)
    with torch.no_grad():
        model[0].bias.fill_(-100)
    Contractive(weight=1.0)(model, images, targets, 0.0)[0].backward()
    assert all(bool(one.grad.isfinite().all()) for one in model.parameters())


@pytest.mark.parametrize("layer", [nn.BatchNorm2d(3), nn.Conv2d(1, 3, 3, padding=1)])
def test_a_network_whose_jacobians_are_not_known_is_refused(layer: nn.Module) -> None:
    with pytest.raises(InputError, match=f"such as papernot_mnist; got {type(layer).__name__} in it"):
        with_jacobians(nn.Sequential(layer, nn.Flatten()), samples()[0])


def test_auto_encoder_and_network_learn_apart() -> None:
    images, targets = samples(side=16)
    model = build("denoised:papernot_mnist", 3, (1, 16, 16), dropout=0.0, seed=1).double()
    assert isinstance(model, Denoised)
    torch.manual_seed(7)
    loss, logits = Denoising(noise=0.3, rate=0.5)(model, images, targets, 0.0)
    torch.manual_seed(7)
    restored = model.autoencoder(images + 0.3 * torch.randn_like(images))
    errors = [sum((restored[n] - images[n]).flatten() ** 2) for n in range(len(images))]
    plain, expected = PLAIN(model.classifier, images, targets, 0.0)
    assert torch.equal(logits, expected)
    torch.testing.assert_close(loss, plain + 0.5 * sum(errors) / len(errors))
    ours = torch.autograd.grad(loss, list(model.classifier.parameters()))
    alone = torch.autograd.grad(plain, list(model.classifier.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(ours, alone, strict=True))


def test_denoising_needs_an_auto_encoder() -> None:
    with pytest.raises(InputError, match="expected a network behind an auto-encoder, got Sequential"):
        Denoising(noise=0.1, rate=1.0)(layered(), *samples(), 0.0)


def test_smoothed_labels_are_the_formula() -> None:
    found = smoothed(torch.tensor([2, 0]), 4, 0.2)
    torch.testing.assert_close(found, torch.tensor([[0.05, 0.05, 0.85, 0.05], [0.85, 0.05, 0.05, 0.05]]))
    assert torch.equal(smoothed(torch.tensor([1]), 2, 0.0), torch.tensor([[0.0, 1.0]]))
    assert torch.equal(smoothed(torch.tensor([1]), 2, 1.0), torch.tensor([[0.5, 0.5]]))
