"""What a GPU does beside what a CPU does; run where there is one: `pytest tests/unit/networks/test_gpu.py`."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from defensive_distillation import config
from defensive_distillation.artifacts import opened
from defensive_distillation.artifacts.attack import read_attack
from defensive_distillation.artifacts.dataset import read_dataset
from defensive_distillation.artifacts.model import read_model
from defensive_distillation.attacks import AttackResult, jsma
from defensive_distillation.attacks.saliency.slots import Slots
from defensive_distillation.attacks.saliency.step import Attempts, Climb
from defensive_distillation.evaluation.gradients import log10_mean_amplitude, logit_jacobian, zero_gradient
from defensive_distillation.networks import compute
from defensive_distillation.networks.architectures import build
from defensive_distillation.networks.kernels import cuda_graph
from defensive_distillation.networks.training import train
from support.attacks import ATTACKS, DESCENDING
from support.networks import assert_equal, smooth, starts

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

SETTINGS: dict[str, Any] = {"temperature": 20.0, "batch_size": 32, "learning_rate": 0.05, "momentum": 0.5}


@pytest.fixture(autouse=True)
def gpu() -> torch.device:
    return compute.device("cuda", 1)


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the recordings."""
    made: list[int] = []
    record = cuda_graph._Recorded._record
    monkeypatch.setattr(
        cuda_graph._Recorded, "_record", lambda self, *arguments: made.append(1) or record(self, *arguments)
    )
    return made


def images(count: int, channels: int = 1, side: int = 28, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shown = torch.randint(0, 256, (count, channels, side, side), generator=generator, dtype=torch.uint8)
    return shown, torch.rand(count, 10, generator=generator).softmax(1)


def trained(device: str, *, dropout: float = 0.5, epochs: int = 3, **options: Any) -> tuple[dict[str, Tensor], Any]:
    model = compute.on(torch.device(device), build("papernot_mnist", 10, (1, 28, 28), dropout=dropout, seed=3))
    shown, labels = (each.to(device) for each in images(300))
    settings = {**SETTINGS, "decay": 0.5, "decay_epochs": 2, "epochs": epochs, **options}
    found = [
        (result, {k: v.cpu() for k, v in buffers.items()})
        for result, buffers in train(model, shown, labels, **settings)
    ]
    return {name: value.cpu() for name, value in model.state_dict().items()}, found


@pytest.mark.parametrize("mixed_precision", [False, True])
def test_a_recorded_training_takes_the_steps_of_one_that_is_told(
    monkeypatch: pytest.MonkeyPatch, mixed_precision: bool
) -> None:
    made = recorded(monkeypatch)
    weights, results = trained("cuda", mixed_precision=mixed_precision)
    assert len(made) == 2, "one for each pair of rates"
    with cuda_graph.told_step_by_step():
        others, expected = trained("cuda", mixed_precision=mixed_precision)
    assert len(made) == 2
    assert [result for result, _ in results] == [result for result, _ in expected]
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def test_a_training_on_a_gpu_follows_one_on_a_cpu() -> None:
    weights, results = trained("cuda", dropout=0.0, epochs=2)
    others, expected = trained("cpu", dropout=0.0, epochs=2)
    for name in weights:
        torch.testing.assert_close(weights[name], others[name], rtol=1e-3, atol=1e-4)
    assert results[-1][0].loss == pytest.approx(expected[-1][0].loss, rel=1e-3)


def test_a_training_that_is_continued_takes_the_same_steps() -> None:
    whole, _ = trained("cuda", epochs=4)
    model = compute.on(torch.device("cuda"), build("papernot_mnist", 10, (1, 28, 28), seed=3))
    shown, labels = (each.to("cuda") for each in images(300))
    options = {**SETTINGS, "decay": 0.5, "decay_epochs": 2}
    velocity: dict[str, Tensor] = {}
    for _, buffers in train(model, shown, labels, **options, epochs=1):
        velocity = {name: value.cpu() for name, value in buffers.items()}
    model = copy.deepcopy(model)
    for _ in train(model, shown, labels, **options, epochs=4, finished_epochs=1, velocity=velocity):
        pass
    assert all(torch.equal(value.cpu(), whole[name]) for name, value in model.state_dict().items())


def test_a_network_that_may_ask_the_host_is_told_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    class Asking(nn.Sequential):
        def forward(self, shown: Tensor) -> Tensor:
            assert float(shown.sum()) >= 0
            found: Tensor = super().forward(shown)
            return found

    made = recorded(monkeypatch)
    model = Asking(nn.Flatten(), nn.Dropout(0.5), nn.Linear(784, 10)).to("cuda")
    shown, labels = (each.to("cuda") for each in images(200))
    list(train(model, shown, labels, **SETTINGS, epochs=2))
    assert not made


JSMA = (
    {"output": "logits", "max_features": 12},
    {"output": "logits", "theta": -0.4, "max_features": 9},
    {"output": "probabilities", "temperature": 3.0, "max_features": 12},
    {"output": "logits", "max_features": 12, "targeted": False},
)


def on_cpu(found: AttackResult) -> AttackResult:
    return AttackResult(**{f.name: getattr(found, f.name).cpu() for f in dataclasses.fields(AttackResult)})


@pytest.mark.parametrize("options", JSMA)
@pytest.mark.parametrize("size", [4, 40, None])
def test_jsma_finds_what_it_finds_on_a_cpu(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], size: int | None
) -> None:
    made = recorded(monkeypatch)
    model, shown = smooth(64, 4, seed=5), starts(60, (1, 8, 8), seed=6)
    classes = torch.arange(60) % 4
    expected = jsma(model, shown, classes, batch_size=size, **options)
    found = on_cpu(jsma(copy.deepcopy(model).to("cuda"), shown.cuda(), classes.cuda(), batch_size=size, **options))
    # lengths are sums, which a device may add up in its own order
    torch.testing.assert_close(found.l2, expected.l2, rtol=1e-12, atol=0)
    assert_equal(dataclasses.replace(found, l2=expected.l2), expected)
    assert made


@pytest.mark.parametrize("architecture", ["papernot_mnist", "papernot_cifar10"])
@pytest.mark.parametrize("output", ["probabilities", "logits"])
def test_jsma_on_the_papers_networks_differs_from_a_cpus_by_rounding_alone(architecture: str, output: Any) -> None:
    channels, side = (1, 28) if architecture == "papernot_mnist" else (3, 32)
    model = build(architecture, 10, (channels, side, side), seed=4).eval().requires_grad_(False)
    shown = images(64, channels, side)[0].float() / 255 * 0.3
    classes = torch.arange(64) % 10
    options: dict[str, Any] = {"output": output, "max_features": 40, "batch_size": 48}
    expected = jsma(model, shown, classes, **options)
    on_gpu = compute.on(torch.device("cuda"), copy.deepcopy(model))
    found = on_cpu(jsma(on_gpu, shown.cuda(), classes.cuda(), **options))
    same = (found.adversarial == expected.adversarial).flatten(1).all(1).double().mean()
    assert float(same) >= 0.9
    with cuda_graph.told_step_by_step():
        assert_equal(on_cpu(jsma(on_gpu, shown.cuda(), classes.cuda(), **options)), found)


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")  # that it may miss some
@pytest.mark.parametrize("output", ["probabilities", "logits"])
def test_steps_between_two_looks_wait_for_nothing(output: str) -> None:
    model = build("papernot_mnist", 10, (1, 28, 28), seed=4).eval().requires_grad_(False)
    model = compute.on(torch.device("cuda"), model)
    shown, classes = images(64)[0].float().cuda() / 255, torch.arange(64).cuda() % 10
    slots = Slots(Attempts(model, shown, classes, None, Climb(1.0, 40, output, 1.0, (0.0, 1.0))), 32)
    slots.step(looked_at=True)
    try:
        torch.cuda.set_sync_debug_mode("error")
        slots.step(looked_at=False)
        with pytest.raises(RuntimeError, match="synchroniz"):
            slots.look()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("targeted", [True, False])
def test_every_attack_does_on_a_gpu_what_it_does_on_a_cpu(name: str, targeted: bool) -> None:
    model, shown = smooth(64, 4, seed=5), starts(24, (1, 8, 8), seed=6)
    classes = (model(shown).argmax(1) + targeted) % 4
    expected = ATTACKS[name](model, shown, classes, targeted=targeted)
    on_gpu = copy.deepcopy(model).cuda()
    found = ATTACKS[name](on_gpu, shown.cuda(), classes.cuda(), targeted=targeted)
    assert found.adversarial.is_cuda
    if name in DESCENDING:  # through real numbers that a device rounds in its own way
        assert float((found.success.cpu() == expected.success).double().mean()) >= 0.9
        near = (found.adversarial.cpu() - expected.adversarial).abs().flatten(1).amax(1) < 1e-3
        assert float(near.double().mean()) >= 0.8
    else:
        assert torch.equal(found.success.cpu(), expected.success)
        torch.testing.assert_close(found.adversarial.cpu(), expected.adversarial, rtol=1e-9, atol=1e-9)


def test_gradients_are_those_of_a_cpu() -> None:
    model = smooth(64, 4, seed=5)
    shown = starts(24, (1, 8, 8), seed=6)
    logits, jacobian = logit_jacobian(model, shown)
    on_gpu = copy.deepcopy(model).cuda()
    others = logit_jacobian(on_gpu, shown.cuda())
    torch.testing.assert_close(others[1].cpu(), jacobian, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(
        log10_mean_amplitude(*others, 1.0).cpu(), log10_mean_amplitude(logits, jacobian, 1.0), rtol=1e-9, atol=1e-9
    )
    zeros = zero_gradient(on_gpu, shown.cuda(), 0.001, torch.float64)
    assert torch.equal(zeros.cpu(), zero_gradient(model, shown, 0.001, torch.float64))


def test_the_stages_run_there(tmp_path: Path) -> None:
    """Data to report, all attacks, on 300 real digits."""
    from defensive_distillation.stages import (
        attack,
        evaluate,
        generate_soft_labels,
        prepare_data,
        report,
        train_student,
        train_teacher,
    )
    from support.chain import OTHERS, SMALL, TRAINING

    def at(name: str) -> str:
        return str(tmp_path / name)

    on: dict[str, Any] = {"device": "cuda"}
    training = {**TRAINING, "epochs": 12}
    prepare_data.run(config.PrepareDataConfig(train_limit=300, test_limit=60), output=at("dataset"))
    for t, name in ((1.0, "baseline"), (20.0, "teacher")):
        teacher = config.TrainTeacherConfig(**training, **on, temperature=t)
        train_teacher.run(teacher, dataset=at("dataset"), output=at(name))
    labels = config.GenerateSoftLabelsConfig(temperature=20, **on)
    generate_soft_labels.run(labels, dataset=at("dataset"), teacher=at("teacher"), output=at("labels"))
    student = config.TrainStudentConfig(**training, **on, temperature=20)
    train_student.run(student, dataset=at("dataset"), soft_labels=at("labels"), output=at("student"))
    evaluations = []
    for name in ("baseline", "student"):
        inputs = {"dataset": at("dataset"), "model": at(name), "surrogate": at("baseline")}
        suite = {**SMALL, "attacks": OTHERS[:-1] if name == "baseline" else OTHERS}
        attack.run(
            config.AttackConfig(jsma={"sources": 10, "max_features": 20}, **on), **inputs, output=at(f"jsma-{name}")
        )
        attack.run(config.AttackConfig(**suite, **on), **inputs, output=at(f"others-{name}"))
        made = [at(f"jsma-{name}"), at(f"others-{name}")]
        found = at(f"evaluation-{name}")
        evaluate.run(config.EvaluateConfig(**on), dataset=at("dataset"), model=at(name), attacks=made, output=found)
        evaluations.append(found)
    report.run(config.ReportConfig(), evaluations=evaluations, output=at("report"))
    with opened(at("dataset"), "dataset") as data, opened(at("baseline"), "model") as network:
        dataset = read_dataset(data)
        model = read_model(network, dataset)
        with opened(at("jsma-baseline"), "attack") as attacked:
            stored = read_attack(attacked)["jsma/logits"]
        assert network.facts["test_accuracy"] > 0.4
    expected = jsma(
        model,
        dataset.test_images[stored.source_index].float() / 255,
        stored.target_class,
        max_features=20,
        output="logits",
    )
    assert float((expected.success == stored.success).double().mean()) > 0.9
