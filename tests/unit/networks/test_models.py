from __future__ import annotations

import math
import re
import runpy
import sys

import pytest
import torch
from torch import Tensor, nn

from defensive_distillation.errors import InputError
from defensive_distillation.networks import architectures
from defensive_distillation.networks.architectures import as_input, build, output_layer, predict, scale_output_layer

MNIST, CIFAR10 = ("papernot_mnist", (1, 28, 28)), ("papernot_cifar10", (3, 32, 32))
# one network a family, with the smallest images that are comfortable to it
TORCHVISION = [
    ("resnet18", 32),
    ("squeezenet1_0", 32),  # the last layer is a convolution
    ("mobilenet_v3_small", 32),
    ("densenet121", 32),
    ("googlenet", 32),  # auxiliary outputs
    ("convnext_tiny", 32),  # a first convolution that is also a patch embedding
]


def layers(model: nn.Module) -> list[str]:
    return [type(layer).__name__ for layer in model.children()]


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("architecture", "image_shape", "convolutions", "linear"),
    [
        (*MNIST, [(1, 32), (32, 32), (32, 64), (64, 64)], [(64 * 4 * 4, 200), (200, 200), (200, 10)]),
        (*CIFAR10, [(3, 64), (64, 64), (64, 128), (128, 128)], [(128 * 5 * 5, 256), (256, 256), (256, 10)]),
    ],
)
def test_the_papers_networks_are_table_1_layer_by_layer(
    architecture: str,
    image_shape: tuple[int, int, int],
    convolutions: list[tuple[int, int]],
    linear: list[tuple[int, int]],
) -> None:
    model = build(architecture, 10, image_shape)
    first, half = (
        ["InputConvolution", "ReLU", "Conv2d", "MaxPool2d", "ReLU"],  # rectified after pooling, which is the same
        ["Conv2d", "ReLU", "Conv2d", "MaxPool2d", "ReLU"],
    )
    assert layers(model) == [*first, *half, "Flatten", *["Linear", "ReLU", "Dropout"] * 2, "Linear"]
    found = [layer for layer in model.children() if isinstance(layer, nn.Conv2d)]
    assert [(layer.in_channels, layer.out_channels) for layer in found] == convolutions
    assert all(layer.kernel_size == (3, 3) and layer.padding == (0, 0) and layer.stride == (1, 1) for layer in found)
    assert all(
        layer.kernel_size == 2 and layer.stride == 2 for layer in model.children() if type(layer) is nn.MaxPool2d
    )
    dense = [layer for layer in model.children() if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in dense] == linear
    assert [layer.p for layer in model.children() if isinstance(layer, nn.Dropout)] == [0.5, 0.5]
    assert model.training
    assert model.eval()(torch.rand(2, *image_shape)).shape == (2, 10)


@pytest.mark.parametrize(("architecture", "image_shape"), [MNIST, CIFAR10])
def test_rectifying_after_pooling_changes_no_bit_of_outputs_and_gradients(
    architecture: str, image_shape: tuple[int, int, int]
) -> None:
    model = build(architecture, 10, image_shape, dropout=0.0, seed=3)
    rest = [layer for layer in model.children() if not isinstance(layer, nn.ReLU | nn.MaxPool2d)]
    literal = nn.Sequential()
    for number, layer in enumerate(rest):  # Table I as it stands there
        literal.append(layer)
        if isinstance(layer, nn.Conv2d) or (isinstance(layer, nn.Linear) and layer.out_features != 10):
            literal.append(nn.ReLU())
        if number in (1, 3):
            literal.append(nn.MaxPool2d(2))
    images = torch.rand(3, *image_shape, generator=torch.Generator().manual_seed(0))
    found = []
    for network in (model, literal):
        x = images.clone().requires_grad_()
        logits = network(x)
        assert bool((logits != 0).any())
        found.append((logits, *torch.autograd.grad(logits.square().sum(), [x, *network.parameters()])))
    for ours, plain in zip(*found, strict=True):
        assert torch.equal(ours, plain)


@pytest.mark.parametrize(
    ("architecture", "image_shape", "expected"),
    [
        # weights and biases: (9 in + 1) out of a convolution, (in + 1) out of a linear layer
        # 320 + 9,248 + 18,496 + 36,928 + 205,000 + 40,200 + 2,010
        (*MNIST, 10 * 32 + 289 * 32 + 289 * 64 + 577 * 64 + 1025 * 200 + 201 * 200 + 201 * 10),
        # 1,792 + 36,928 + 73,856 + 147,584 + 819,456 + 65,792 + 2,570
        (*CIFAR10, 28 * 64 + 577 * 64 + 577 * 128 + 1153 * 128 + 3201 * 256 + 257 * 256 + 257 * 10),
    ],
)
def test_the_papers_networks_have_as_many_parameters_as_counted_by_hand(
    architecture: str, image_shape: tuple[int, int, int], expected: int
) -> None:
    assert parameters(build(architecture, 10, image_shape)) == expected
    assert expected in (312_202, 1_147_978)


@pytest.mark.parametrize("size", [(1, 16, 16), (3, 17, 40), (4, 64, 30)])
def test_the_papers_networks_take_other_images_and_classes(size: tuple[int, int, int]) -> None:
    for classes in (2, 3, 1000):
        assert build("papernot_mnist", classes, size, dropout=0.0).eval()(torch.rand(2, *size)).shape == (2, classes)


def test_dropout_is_as_asked_for_and_only_acts_in_training() -> None:
    model, images = build("papernot_mnist", 10, (1, 28, 28), dropout=0.25), torch.rand(2, 1, 28, 28)
    assert [layer.p for layer in model.children() if isinstance(layer, nn.Dropout)] == [0.25, 0.25]
    assert not torch.equal(model(images), model(images))
    model.eval()
    assert torch.equal(model(images), model(images))


@pytest.mark.parametrize(("architecture", "image_shape"), [MNIST, CIFAR10])
def test_weights_are_uniform_with_glorots_bound_and_biases_are_0(
    architecture: str, image_shape: tuple[int, int, int]
) -> None:
    model = build(architecture, 10, image_shape, seed=7)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any()
            continue
        field = parameter[0, 0].numel()
        fan_in, fan_out = parameter.shape[1] * field, parameter.shape[0] * field
        w = parameter.detach().flatten().double() / math.sqrt(6 / (fan_in + fan_out))  # uniform on [-1, 1]
        assert float(w.abs().max()) <= 1 + 1e-6  # rounding to float32
        # standard errors of n numbers' mean, second and fourth moment (1/3, 1/5); five of them for 14 layers
        n = w.numel()
        assert abs(float(w.mean())) < 5 * math.sqrt(1 / 3 / n)
        assert abs(float(w.square().mean()) - 1 / 3) < 5 * math.sqrt((1 / 5 - 1 / 9) / n)
        assert abs(float(w.pow(4).mean()) - 1 / 5) < 5 * math.sqrt((1 / 9 - 1 / 25) / n)


def test_activations_neither_vanish_nor_explode() -> None:
    model = build("papernot_mnist", 10, (1, 28, 28), seed=1).eval()
    images = torch.randn(50, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    # Glorot's weights halve the variance at a layer as wide as the one before, pooling raises it: 2^-7 in all at least
    assert 0.03 < float(model(images).detach().std()) < 10


@pytest.mark.parametrize("architecture", ["papernot_mnist", "torchvision:resnet18", "torchvision:squeezenet1_0"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_seed_decides_the_weights_and_leaves_the_global_generator_alone(architecture: str, channels: int) -> None:
    torch.manual_seed(123)
    before = torch.get_rng_state()
    first = build(architecture, 5, (channels, 32, 32), seed=11).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(10)
    again = build(architecture, 5, (channels, 32, 32), seed=11).state_dict()
    other = build(architecture, 5, (channels, 32, 32), seed=12).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_a_refused_network_leaves_the_global_generator_alone_too() -> None:
    before = torch.get_rng_state()
    with pytest.raises(InputError):
        build("torchvision:alexnet", 5, (3, 32, 32))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("architecture", "image_shape"), [MNIST, CIFAR10, ("torchvision:squeezenet1_0", (3, 32, 32))])
def test_a_scaled_output_layer_at_t_gives_the_logits_over_t_of_an_unscaled_one(
    architecture: str, image_shape: tuple[int, int, int]
) -> None:
    model, images = build(architecture, 10, image_shape, seed=2).eval(), torch.rand(4, *image_shape)
    with torch.no_grad():
        model.get_submodule(output_layer(model, 10)).bias.copy_(torch.arange(10))  # which is 0 at first
        plain = model(images)
        scale_output_layer(model, 10, 64.0)
        assert torch.equal(model(images) / 64, plain)  # a power of 2 rounds nothing
        scale_output_layer(model, 10, 20 / 64)
        # otherwise each of the layer's weights is rounded twice, by 2^-24 of itself
        scale = float(plain.abs().max())
        torch.testing.assert_close(model(images) / 20, plain, rtol=0, atol=2e-5 * scale)


def test_only_the_output_layer_is_scaled_and_hidden_gradients_are_those_at_temperature_1() -> None:
    images, classes = torch.rand(4, 1, 28, 28), torch.tensor([1, 2, 3, 4])
    gradients = []
    for gain in (1.0, 64.0):
        model = build("papernot_mnist", 10, (1, 28, 28), seed=2).eval()
        scale_output_layer(model, 10, gain)
        loss = nn.functional.cross_entropy(model(images) / gain, classes)
        gradients.append(torch.autograd.grad(loss, list(model.parameters())))
    for at_1, at_64 in zip(gradients[0][:-2], gradients[1][:-2], strict=True):
        assert torch.equal(at_1, at_64)  # powers of 2 again
    for at_1, at_64 in zip(gradients[0][-2:], gradients[1][-2:], strict=True):
        assert torch.equal(at_1, at_64 * 64)


def test_a_network_without_a_layer_of_k_outputs_cannot_be_scaled() -> None:
    with pytest.raises(InputError, match="model: expected a last layer with 11 outputs, found none"):
        scale_output_layer(build("papernot_mnist", 10, (1, 28, 28)), 11, 20.0)


def test_the_output_layer_is_the_last_of_that_width() -> None:
    model = build("papernot_mnist", 200, (1, 28, 28))  # as wide as the hidden layers
    assert model.get_submodule(output_layer(model, 200)) is list(model.children())[-1]


@pytest.mark.parametrize(("name", "size"), TORCHVISION)
def test_torchvisions_classifiers_take_grey_and_coloured_images_and_any_number_of_classes(name: str, size: int) -> None:
    for channels, classes in ((1, 2), (3, 7)):
        model = build(f"torchvision:{name}", classes, (channels, size, size), seed=3)
        assert model.training
        images = torch.rand(2, channels, size, size, generator=torch.Generator().manual_seed(0))
        model.eval()
        plain = model(images).detach()
        assert plain.shape == (2, classes)
        assert bool(plain.isfinite().all())
        scale_output_layer(model, classes, 64.0)
        assert torch.equal(model(images) / 64, plain)


def test_building_does_not_move_the_running_statistics() -> None:
    fresh = build("torchvision:resnet18", 10, (1, 32, 32)).state_dict()
    for name, value in fresh.items():
        if name.endswith("running_mean"):
            assert not value.any()
        if name.endswith("num_batches_tracked"):
            assert int(value) == 0


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ("papernot", "architecture: expected papernot_mnist, papernot_cifar10, torchvision:NAME, .*, got 'papernot'"),
        ("resnet18", "rbf:UNITS or denoised:ARCHITECTURE, got 'resnet18'"),
        ("torchvision:resnet81", "expected a torchvision classifier such as .*resnet18.*, got 'resnet81'"),
        ("torchvision:mobilenetv3_small", "such as .*mobilenet_v3_small.*, got 'mobilenetv3_small'"),
        ("torchvision:qqqq", "expected a torchvision classifier such as [a-z].*, got 'qqqq'"),
        ("torchvision:", "expected a torchvision classifier such as [a-z].*, got ''"),
        ("denoised:hope", "rbf:UNITS or denoised:ARCHITECTURE, got 'hope'"),
        ("torchvision:fasterrcnn_resnet50_fpn", "got 'fasterrcnn_resnet50_fpn'"),  # not a classifier
    ],
)
def test_an_unknown_architecture_is_refused_and_close_names_are_offered(architecture: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(architecture, 10, (3, 32, 32))


@pytest.mark.parametrize(
    ("architecture", "image_shape", "message"),
    [
        ("papernot_mnist", (1, 15, 28), "images: expected at least 16×16 pixels for the paper's network, got 15×28"),
        ("papernot_cifar10", (3, 32, 3), "images: expected at least 16×16 pixels for the paper's network, got 32×3"),
        ("torchvision:alexnet", (3, 32, 32), "torchvision:alexnet does not take images of 3×32×32: "),
        ("torchvision:squeezenet1_0", (1, 8, 8), "torchvision:squeezenet1_0 does not take images of 1×8×8: "),
    ],
)
def test_images_too_small_for_an_architecture_are_refused(
    architecture: str, image_shape: tuple[int, int, int], message: str
) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        build(architecture, 10, image_shape)


@pytest.mark.parametrize("num_classes", [-1, 0, 1])
def test_fewer_than_2_classes_are_refused(num_classes: int) -> None:
    with pytest.raises(InputError, match=f"num_classes: expected at least 2, got {num_classes}"):
        build("papernot_mnist", num_classes, (1, 28, 28))


def test_the_papers_networks_need_no_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchvision", None)  # whoever imports it fails
    fresh = runpy.run_path(architectures.__file__)
    assert parameters(fresh["build"]("papernot_mnist", 10, (1, 28, 28))) == 312_202
    with pytest.raises(ImportError):
        fresh["build"]("torchvision:resnet18", 10, (3, 32, 32))


def test_a_prediction_does_not_depend_on_the_batches() -> None:
    model = build("papernot_mnist", 10, (1, 16, 16), seed=4).double().eval()
    images = torch.rand(7, 1, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole = predict(model, images, batch_size=100, device=torch.device("cpu"))
    parts = predict(model, images, batch_size=3, device=torch.device("cpu"))
    assert not whole.requires_grad
    torch.testing.assert_close(whole, parts, rtol=1e-12, atol=1e-12)  # sums of some 1e3 terms in another order


def test_images_of_bytes_become_shares_of_255_and_others_stay() -> None:
    bytes_: Tensor = torch.arange(256, dtype=torch.uint8)
    assert as_input(bytes_).dtype == torch.float32
    assert as_input(bytes_).tolist() == (torch.arange(256) / 255).tolist()
    for dtype in (torch.float32, torch.float64):
        images = torch.rand(5, dtype=dtype)
        assert as_input(images) is images
