from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from defensive_distillation.errors import InputError
from defensive_distillation.networks import compute
from defensive_distillation.networks.architectures import accuracy, build, predict, scale_output_layer
from defensive_distillation.networks.softmax import soft_labels
from defensive_distillation.networks.training import EpochResult, schedule, train

CPU = torch.device("cpu")
SETTINGS = {"temperature": 5.0, "batch_size": 8, "learning_rate": 0.1, "momentum": 0.5}


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    """Handwritten digits of scikit-learn, real ones, as 20×20 bytes; the paper's network takes 16×16 at least."""
    found = load_digits()
    small = torch.from_numpy(found.images).float()[:, None] / 16
    images = nn.functional.interpolate(small, size=(20, 20), mode="bilinear", align_corners=False)
    return (images * 255).round().to(torch.uint8), torch.from_numpy(found.target)


def network(seed: int = 0, *, batch_norm: bool = False) -> nn.Sequential:
    torch.manual_seed(seed)
    norm = [nn.BatchNorm1d(12)] if batch_norm else []
    layers = [nn.Flatten(), nn.Linear(16, 12), *norm, nn.ReLU(), nn.Dropout(0.5), nn.Linear(12, 3)]
    return nn.Sequential(*layers).double()


def samples(count: int, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 1, 4, 4, generator=generator, dtype=torch.float64)
    return images, torch.rand(count, 3, generator=generator, dtype=torch.float64).softmax(1)


def one_hot(labels: Tensor, classes: int = 10) -> Tensor:
    return nn.functional.one_hot(labels, classes).float()


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def run(model: nn.Module, images: Tensor, targets: Tensor, **settings: object) -> list[EpochResult]:
    return [result for result, _ in train(model, images, targets, **settings)]


@pytest.mark.parametrize("count", [5, 8, 20, 24])
def test_two_epochs_equal_a_literal_loop(count: int) -> None:
    images, targets = samples(count)
    model, literal = network(), network()
    found = run(model, images, targets, **SETTINGS, epochs=2, seed=40)

    velocity: dict[str, Tensor] = {}
    expected = []
    for epoch in (1, 2):
        torch.manual_seed(40 + epoch)
        literal.train()
        order, losses, hits = torch.randperm(count).tolist(), [], 0
        for start in range(0, count, 8):
            chosen = order[start : start + 8]
            logits = literal(images[chosen])
            per_sample = -(targets[chosen] * (logits / 5.0 - (logits / 5.0).logsumexp(1, keepdim=True))).sum(1)
            hits += int((logits.argmax(1) == targets[chosen].argmax(1)).sum())
            losses += per_sample.tolist()
            names, parameters = zip(*literal.named_parameters(), strict=True)
            for name, parameter, gradient in zip(
                names, parameters, torch.autograd.grad(per_sample.mean(), parameters), strict=True
            ):
                velocity[name] = 0.5 * velocity[name] + gradient if name in velocity else gradient
                parameter.data = parameter.data - 0.1 * velocity[name]
        expected.append((epoch, sum(losses) / count, hits / count))

    for name, value in literal.state_dict().items():  # the same steps; sums of some ten terms in another order
        torch.testing.assert_close(model.state_dict()[name], value, rtol=1e-11, atol=1e-13)
    for result, (epoch, loss, share) in zip(found, expected, strict=True):
        assert result.epoch == epoch
        assert result.loss == pytest.approx(loss, rel=1e-6)  # the mean is kept in float32
        assert result.train_accuracy == pytest.approx(share, rel=1e-6)


def test_a_schedule_multiplies_once_for_every_full_delay() -> None:
    assert [schedule(0.01, 0.5, 10, epoch) for epoch in (1, 10, 11, 20, 21, 50)] == [
        0.01,
        0.01,
        0.005,
        0.005,
        0.0025,
        0.01 / 16,
    ]
    assert [schedule(0.1, 1.0, 10, epoch) for epoch in (1, 50)] == [0.1, 0.1]
    assert [schedule(0.9, 0.1, 1, epoch) for epoch in (1, 2, 3)] == pytest.approx([0.9, 0.09, 0.009])


def test_the_learning_rate_and_the_momentum_follow_the_schedule() -> None:
    """A linear loss in one weight has a constant gradient, so each epoch's step is known."""
    images = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 2, bias=False)).double()
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[1e6], [0.0]]))  # F = (1, 0), Y = (0, 1): the gradient is (1, -1) / T
    targets = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    at, velocity = [1e6], {}
    settings = {"temperature": 2.0, "batch_size": 4, "learning_rate": 8.0, "momentum": 0.5}
    for _, buffers in train(model, images, targets, **settings, epochs=5, decay=0.5, decay_epochs=2):
        at.append(float(model[1].weight.detach()[0]))
        velocity = buffers
    v1 = 0.5
    v2 = 0.5 * v1 + 0.5
    v3 = 0.25 * v2 + 0.5
    v4 = 0.25 * v3 + 0.5
    v5 = 0.125 * v4 + 0.5
    assert at == [1e6 - sum((8 * v1, 8 * v2, 4 * v3, 4 * v4, 2 * v5)[:n]) for n in range(6)]
    assert velocity["1.weight"].tolist() == [[v5], [-v5]]


def plain(model: nn.Module, images: Tensor, targets: Tensor, *, epochs: int, seed: int) -> Iterator[nn.Module]:
    """Table I of PyTorch's own layers, rectified before pooling, by a plain loop with `PLAIN`; after each epoch."""
    layers = list(model.children())
    literal = nn.Sequential()
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            literal.append(nn.Conv2d(layer.in_channels, layer.out_channels, 3, dtype=images.dtype))
            literal[-1].load_state_dict(layer.state_dict())
        elif not isinstance(layer, nn.ReLU):
            literal.append(copy.deepcopy(layer))
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer is not layers[-1]:
            literal.append(nn.ReLU())
    optimiser = torch.optim.SGD(literal.parameters(), lr=0.05, momentum=0.9, foreach=False)
    for epoch in range(1, epochs + 1):
        torch.manual_seed(seed + epoch)
        for chosen in torch.randperm(len(images)).split(32):
            optimiser.zero_grad()
            nn.functional.cross_entropy(literal(images[chosen]) / 20.0, targets[chosen]).backward()
            optimiser.step()
        yield literal


def pair(seed: int, dtype: torch.dtype) -> tuple[nn.Module, nn.Module]:
    """The same network twice, the first laid out as the stage lays it out."""
    start = build("papernot_mnist", 10, (1, 20, 20), seed=seed).to(dtype)
    scale_output_layer(start, 10, 20.0**0.75)
    return compute.on(torch.device("cpu"), copy.deepcopy(start)), start


PLAIN = {"temperature": 20.0, "batch_size": 32, "learning_rate": 0.05, "momentum": 0.9}


def test_the_fast_path_and_a_plain_loop_take_the_same_steps(digits: tuple[Tensor, Tensor]) -> None:
    """In float64: in float32 the rounding of sums in another order grows to a hundredth of a weight in an epoch."""
    images, targets = digits[0][:480].double() / 255, one_hot(digits[1][:480]).double()
    fast, start = pair(10, torch.float64)
    before = weights(fast)
    run(fast, images, targets, **PLAIN, epochs=1, seed=10)
    literal = next(plain(start, images, targets, epochs=1, seed=10))
    for (name, ours), other in zip(fast.state_dict().items(), literal.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, other, rtol=1e-9, atol=1e-11)
        assert not torch.allclose(ours, before[name], rtol=1e-3, atol=0), "it has learned"


@pytest.mark.slow
def test_the_fast_path_and_a_plain_loop_are_as_accurate_over_seeds(digits: tuple[Tensor, Tensor]) -> None:
    images, labels = digits[0].float() / 255, digits[1]
    targets, test = one_hot(labels[:1200]), slice(1200, None)
    differences = []
    for seed in (10, 20, 30):
        fast, start = pair(seed, torch.float32)
        run(fast, images[:1200], targets, **PLAIN, epochs=4, seed=seed)
        *_, literal = plain(start, images[:1200], targets, epochs=4, seed=seed)
        accuracies = [
            accuracy(predict(model.eval(), images[test], batch_size=500, device=CPU), labels[test])
            for model in (fast, literal)
        ]
        assert min(accuracies) > 0.8, "both have learned"
        differences.append(accuracies[0] - accuracies[1])
    assert abs(sum(differences)) / 3 < 0.02, differences


def test_mixed_precision_learns_the_same_and_keeps_weights_in_float32(digits: tuple[Tensor, Tensor]) -> None:
    images, labels = digits
    settings = {"temperature": 1.0, "batch_size": 16, "learning_rate": 0.05, "momentum": 0.5, "epochs": 6}
    accuracies, losses = [], []
    for mixed in (False, True):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(400, 32), nn.ReLU(), nn.Linear(32, 10))
        seen: list[torch.dtype] = []
        hook = model[1].register_forward_hook(lambda _, __, out, seen=seen: seen.append(out.dtype))
        found = run(model, images[:1200], one_hot(labels[:1200]), **settings, mixed_precision=mixed)
        hook.remove()
        assert set(seen) == {torch.bfloat16 if mixed else torch.float32}
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
        logits = predict(model.eval(), images[1200:], batch_size=500, device=CPU)
        accuracies.append(accuracy(logits, labels[1200:]))
        losses.append(found[-1].loss)
    assert losses[0] != losses[1]
    assert accuracies == pytest.approx([accuracies[0]] * 2, abs=0.03)
    assert min(accuracies) > 0.8


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize(("decay", "decay_epochs"), [(1.0, 10), (0.5, 1), (0.5, 3)])
@pytest.mark.parametrize("stopped_after", [1, 3, 4])
def test_a_continued_training_gives_the_same_bytes_as_an_undisturbed_one(
    batch_norm: bool, decay: float, decay_epochs: int, stopped_after: int
) -> None:
    images, targets = samples(21)
    settings = {**SETTINGS, "decay": decay, "decay_epochs": decay_epochs, "epochs": 5, "seed": 3}
    whole = network(batch_norm=batch_norm)
    results = run(whole, images, targets, **settings)

    first = network(batch_norm=batch_norm)
    for result, buffers in train(first, images, targets, **settings):
        if result.epoch == stopped_after:
            saved, velocity = weights(first), {name: buffer.clone() for name, buffer in buffers.items()}
            break
    second = network(seed=99, batch_norm=batch_norm)
    second.load_state_dict(saved)
    torch.rand(7)  # whatever else happened in between
    rest = run(second, images, targets, **settings, finished_epochs=stopped_after, velocity=velocity)

    assert results[stopped_after:] == rest
    assert all(torch.equal(second.state_dict()[name], value) for name, value in whole.state_dict().items())


def test_a_continued_training_of_convolutions_takes_velocity_of_any_memory_layout(
    digits: tuple[Tensor, Tensor],
) -> None:
    images, targets = digits[0][:64], one_hot(digits[1][:64])
    found = []
    for layout in (None, torch.contiguous_format, torch.channels_last):
        fast, _ = pair(4, torch.float32)
        _, buffers = next(trainer := train(fast, images, targets, **PLAIN, epochs=2))
        if layout is None:
            list(trainer)
        else:
            velocity = {
                name: buffer.clone(memory_format=layout if buffer.dim() == 4 else torch.contiguous_format)
                for name, buffer in buffers.items()
            }
            run(fast, images, targets, **PLAIN, epochs=2, finished_epochs=1, velocity=velocity)
        found.append(weights(fast))
    for name, value in found[0].items():
        assert all(torch.equal(other[name], value) for other in found[1:]), name


def test_continuing_leaves_the_given_velocity_as_it_was() -> None:
    images, targets = samples(16)
    model = network()
    _, buffers = next(train(model, images, targets, **SETTINGS, epochs=1))
    kept = {name: buffer.clone() for name, buffer in buffers.items()}
    assert set(kept) == {name for name, _ in model.named_parameters()}
    run(model, images, targets, **SETTINGS, epochs=2, finished_epochs=1, velocity=kept)
    assert all(torch.equal(kept[name], buffers[name]) for name in kept)


def test_without_momentum_there_is_no_velocity_to_keep() -> None:
    images, targets = samples(16)
    _, buffers = next(train(network(), images, targets, **{**SETTINGS, "momentum": 0.0}, epochs=1))
    assert buffers == {}


def test_a_finished_training_takes_no_further_step() -> None:
    images, targets = samples(16)
    model = network()
    before = weights(model)
    assert run(model, images, targets, **SETTINGS, epochs=3, finished_epochs=3) == []
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_global_generator_is_left_alone_and_has_no_say() -> None:
    images, targets = samples(20)
    found = []
    for state in (1, 2):
        model = network()
        torch.manual_seed(state)
        before = torch.get_rng_state()
        for _ in train(model, images, targets, **SETTINGS, epochs=2, seed=5):
            assert torch.equal(torch.get_rng_state(), before)
        found.append(weights(model))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_seeds_and_epochs_have_orders_of_their_own() -> None:
    images, targets = samples(20)
    a, b = network(), network()
    run(a, images, targets, **SETTINGS, epochs=1, seed=5)
    run(b, images, targets, **SETTINGS, epochs=1, seed=6)
    assert not torch.equal(a[1].weight, b[1].weight)


@pytest.mark.parametrize(("count", "batch_size", "batches"), [(20, 8, 3), (17, 8, 2), (8, 8, 1), (1, 8, 1), (3, 1, 3)])
def test_batches_are_reported_as_they_are_done(count: int, batch_size: int, batches: int) -> None:
    images, targets = samples(count)
    seen: list[tuple[int, int]] = []
    run(
        network(),
        images,
        targets,
        **{**SETTINGS, "batch_size": batch_size},
        epochs=1,
        on_batch=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(number, batches) for number in range(1, batches + 1)]


def test_a_single_image_left_over_is_dropped_and_not_counted() -> None:
    """Batch normalisation refuses it; the loss and the accuracy are means over the images that were met."""
    images, targets = samples(9)
    model = network(batch_norm=True)
    (result,) = run(model, images, targets, **{**SETTINGS, "learning_rate": 0.0}, epochs=1, seed=2)
    torch.manual_seed(3)
    met = torch.randperm(9)[:8]
    twin = network(batch_norm=True)
    torch.manual_seed(3)
    torch.randperm(9)
    logits = twin.train()(images[met]) / 5
    expected = -(targets[met] * logits.log_softmax(1)).sum(1).mean()
    assert result.loss == pytest.approx(float(expected.detach()), rel=1e-6)
    assert int(model[2].num_batches_tracked) == 1


def test_batches_of_one_image_train() -> None:
    images, targets = samples(6)
    model, before = network(), weights(network())
    (result,) = run(model, images, targets, **{**SETTINGS, "batch_size": 1}, epochs=1)
    assert result.loss > 0
    assert not torch.equal(model[1].weight, before["1.weight"])


def test_images_of_bytes_are_trained_on_in_the_unit_interval() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (20, 1, 4, 4), generator=generator, dtype=torch.uint8)
    targets = samples(20)[1].float()
    a, b = network().float(), network().float()
    run(a, images, targets, **SETTINGS, epochs=1)
    run(b, images.float() / 255, targets, **SETTINGS, epochs=1)
    assert torch.equal(a[1].weight, b[1].weight)


def test_targets_that_are_class_numbers_are_refused() -> None:
    images, _ = samples(8)
    with pytest.raises(InputError, match=r"soft labels: expected shape \(8, 3\), got \(8,\)"):
        run(network(), images, torch.zeros(8, dtype=torch.int64), **SETTINGS, epochs=1)


def test_a_temperature_of_0_is_refused() -> None:
    images, targets = samples(8)
    with pytest.raises(InputError, match="temperature: expected a finite number above 0, got 0"):
        run(network(), images, targets, **{**SETTINGS, "temperature": 0}, epochs=1)


def accuracy_on(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    logits = predict(model.eval(), images, batch_size=500, device=torch.device("cpu"))
    return float((logits.argmax(1) == labels).float().mean())


@pytest.mark.parametrize("temperature", [20.0, 100.0])
def test_a_high_temperature_leaves_chance_on_real_digits(digits: tuple[Tensor, Tensor], temperature: float) -> None:
    images, labels = digits[0][:500], digits[1][:500]
    settings = {"temperature": temperature, "batch_size": 16, "learning_rate": 0.03, "momentum": 0.9, "epochs": 5}
    teacher, student = (build("papernot_mnist", 10, (1, 20, 20), seed=seed) for seed in (1, 2))
    for network in (teacher, student):
        scale_output_layer(network, 10, temperature)
    run(teacher, images, one_hot(labels), **settings)
    assert accuracy_on(teacher, images, labels) > 0.6  # chance is 0.1; with other seeds 0.9
    soft = soft_labels(teacher, images.float() / 255, temperature)
    run(student, images, soft, **settings)
    assert accuracy_on(student, images, labels) > 0.6  # 0.8


def test_a_learning_rate_far_too_high_gives_a_loss_that_is_not_finite(digits: tuple[Tensor, Tensor]) -> None:
    images, labels = digits[0][:96], digits[1][:96]
    model = build("papernot_mnist", 10, (1, 20, 20))
    settings = {"temperature": 1.0, "batch_size": 32, "learning_rate": 1e6, "momentum": 0.5, "epochs": 3}
    assert not math.isfinite(run(model, images, one_hot(labels), **settings)[-1].loss)
