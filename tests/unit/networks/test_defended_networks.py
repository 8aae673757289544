"""Networks that a defense brings: radial basis functions, and one behind an auto-encoder."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from defensive_distillation.errors import InputError
from defensive_distillation.networks.architectures import build, output_layer
from defensive_distillation.networks.architectures.denoised import Denoised, reconstruction_error
from defensive_distillation.networks.architectures.radial_basis import STRIDE, RadialBasisNetwork, place
from defensive_distillation.networks.kernels.fused import PooledConvolution, fused


def test_radial_basis_functions_are_the_formula() -> None:
    """exp(-(x - μ)ᵀ β (x - μ)) of each unit, feature by feature, and a linear layer."""
    model = build("rbf:5", 3, (1, 2, 3), seed=1).double()
    assert isinstance(model, RadialBasisNetwork)
    with torch.no_grad():
        model.units.log_precisions.add_(0.1 * torch.rand(5, 6))
    images = torch.rand(4, 1, 2, 3, dtype=torch.float64)
    model.requires_grad_(False)
    found = model(images)
    for n in range(4):
        x = images[n].flatten().tolist()
        units = []
        for m in range(5):
            centre = [STRIDE * float(value) for value in model.units.centres[m].detach()]
            precision = [math.exp(STRIDE * float(value)) for value in model.units.log_precisions[m].detach()]
            units.append(math.exp(-sum(b * (v - c) ** 2 for v, c, b in zip(x, centre, precision, strict=True))))
        for k in range(3):
            weights = model.output.weight[k].tolist()
            expected = float(model.output.bias[k].detach()) + sum(w * h for w, h in zip(weights, units, strict=True))
            assert float(found[n, k].detach()) == pytest.approx(expected, rel=1e-12)


def test_far_from_every_centre_only_the_biases_speak() -> None:
    model = build("rbf:4", 2, (1, 2, 2), seed=1)
    with torch.no_grad():
        model.units.log_precisions.fill_(math.log(1e4) / STRIDE)
        model.output.bias.copy_(torch.tensor([1.0, 2.0]))
    assert model(torch.full((1, 1, 2, 2), 2.0)).tolist() == [[1.0, 2.0]]


def test_centres_are_placed_on_images_of_each_class_in_turn() -> None:
    images, labels = torch.rand(6, 1, 3, 3), torch.tensor([1, 1, 0, 1, 0, 1])
    model = build("rbf:5", 2, (1, 3, 3), seed=1)
    place(model, images, labels, width=2.0, gain=7.0)
    chosen = [2, 0, 4, 1, 2]  # the first of class 0, of class 1, the second of each, and the first of class 0 again
    torch.testing.assert_close(STRIDE * model.units.centres, images[chosen].flatten(1))
    assert model.output.weight.argmax(0).tolist() == [0, 1, 0, 1, 0]
    assert sorted(set(model.output.weight.flatten().tolist())) == [0.0, 7.0]
    exponents = -model.units(images).log()  # (6, 5), zero where an image is a centre
    assert float(exponents.detach().mean()) == pytest.approx(2.0, rel=1e-4)


def test_a_network_behind_an_auto_encoder_sees_what_it_makes_of_an_image() -> None:
    model = build("denoised:papernot_mnist", 10, (1, 16, 16), seed=2).eval()
    assert isinstance(model, Denoised)
    assert [tuple(one.weight.shape) for one in model.autoencoder if isinstance(one, nn.Linear)] == [
        *((256, 256), (128, 256), (256, 128), (256, 256)),
    ]
    images = torch.rand(3, 1, 16, 16)
    restored = model.autoencoder(images)
    assert restored.shape == images.shape
    assert 0 <= float(restored.detach().min()) <= float(restored.detach().max()) <= 1
    assert torch.equal(model(images), model.classifier(restored))
    assert output_layer(model, 10) == "classifier.17"


def test_on_a_gpu_the_network_behind_an_auto_encoder_is_fused() -> None:
    model = build("denoised:papernot_mnist", 10, (1, 16, 16), seed=2).eval()
    images = torch.rand(3, 1, 16, 16)
    expected, names = model(images), list(model.state_dict())
    made = fused(model)
    assert any(isinstance(module, PooledConvolution) for module in made.modules())
    assert list(made.state_dict()) == names
    torch.testing.assert_close(made(images), expected)


def test_the_reconstruction_error_is_summed_over_features() -> None:
    assert float(reconstruction_error(torch.ones(2, 1, 2, 2), torch.zeros(2, 1, 2, 2))) == 4.0


@pytest.mark.parametrize("name", ["rbf:2", "rbf:", "rbf:many", "rbf:-5"])
def test_too_few_units_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=rf"expected rbf:UNITS with at least 3 of them, got '{name}'"):
        build(name, 3, (1, 4, 4))


def test_centres_belong_to_radial_basis_functions() -> None:
    with pytest.raises(InputError, match="expected a network of radial basis functions, got Linear"):
        place(nn.Linear(2, 2), torch.rand(2, 1, 1, 2), torch.tensor([0, 1]), width=1.0, gain=1.0)
