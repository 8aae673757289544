"""The speed of one device, and the paper's MNIST grid on it: `python -m benchmarks.device --mnist FOLDER`.

It needs torch and numpy alone, and writes what is finished after each part: one JSON file and one page of Markdown. On
a machine without a GPU `--small` runs all of it in minutes, with 60 pairs and two temperatures.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.machine import commit, operations, seconds
from benchmarks.work import MAX_FEATURES, STEPS, network, pairs
from defensive_distillation import compute
from defensive_distillation.attacks import AttackResult, jsma
from defensive_distillation.distillation import soft_labels
from defensive_distillation.gradients import log10_mean_amplitude, logit_jacobian
from defensive_distillation.metrics import accuracy, amplitude_counts
from defensive_distillation.models import as_input, build, predict, scale_output_layer
from defensive_distillation.training import train

TEMPERATURES = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 100.0)
GAIN_EXPONENT = 0.75  # the pipeline's default, see docs/decisions.md
# Figure 7, share of targeted attacks that succeed, by temperature; 0 is 'no distillation'
PUBLISHED = {0: 0.9589, 1: 0.91, 2: 0.8223, 5: 0.2467, 10: 0.0678, 20: 0.0134, 30: 0.0144, 40: 0.0045, 50: 0.0145}
PUBLISHED[100] = 0.0045
EVALUATED = 500  # images in a forward pass


@dataclass(frozen=True)
class Plan:
    """How much of it."""

    device: torch.device
    pairs: int
    batch: int
    epochs: int
    train_images: int
    test_images: int
    sources: int
    temperatures: tuple[float, ...]
    tf32: bool
    mixed_precision: bool


@dataclass(frozen=True)
class Mnist:
    """Images as bytes (N, 1, 28, 28) and labels (N,), on the device."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor


def main(arguments: Sequence[str]) -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.device", description=__doc__)
    parser.add_argument("--mnist", type=Path, required=True, help="folder that holds MNIST/raw as torchvision has it")
    parser.add_argument("--output", type=Path, default=Path("docs/results"), help="folder (default docs/results)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--small", action="store_true", help="everything at a small size")
    parser.add_argument("--tf32", action="store_true", help="matrix products and convolutions in TensorFloat-32")
    parser.add_argument("--mixed-precision", action="store_true", help="the trainings' passes in bfloat16")
    options = parser.parse_args(arguments)
    threads = 1 if options.small else torch.get_num_threads()
    device = compute.device(options.device, threads, tf32=options.tf32)
    sizes: dict[str, Any] = {"pairs": 90_000, "batch": 8192, "epochs": 50, "train_images": 60_000}
    sizes |= {"test_images": 10_000, "sources": 10_000, "temperatures": TEMPERATURES}
    if options.small:
        sizes = {"pairs": 60, "batch": 32, "epochs": 3, "train_images": 2_000, "test_images": 500, "sources": 5}
        sizes["temperatures"] = (20.0, 100.0)
    plan = Plan(device=device, tf32=options.tf32, mixed_precision=options.mixed_precision, **sizes)
    data = _mnist(options.mnist, plan)
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        "torch": torch.__version__,
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d"),
        "tf32": plan.tf32,
        "mixed_precision": plan.mixed_precision,
        "sizes": {**sizes, "temperatures": list(plan.temperatures)},
    }
    options.output.mkdir(parents=True, exist_ok=True)
    for name, part in (("limits", _limits), ("speed", _speed), ("training", _training), ("grid", _grid)):
        print(f"{name} …", file=sys.stderr, flush=True)
        found[name] = part(plan, data)
        (options.output / "device.json").write_text(json.dumps(found, indent=1) + "\n")
        (options.output / "device.md").write_text(_page(found))
    print(_page(found))


def _limits(plan: Plan, _: Mnist) -> dict[str, float]:
    """Rates of a matrix product, of MNIST's second convolution and of a copy."""
    side, batch = (8192, 4096) if plan.device.type == "cuda" else (1024, 64)
    a = torch.rand(side, side, device=plan.device)
    layer = compute.on(plan.device, nn.Conv2d(32, 32, 3)).requires_grad_(False)
    images = torch.rand(batch, 32, 26, 26, device=plan.device)
    source = torch.rand(2**25, device=plan.device)
    target = torch.empty_like(source)

    def rate(run: Callable[[], object], amount: float) -> float:
        return amount / seconds(run, lambda: _wait(plan.device))

    return {
        "matrix_product": rate(lambda: a @ a, 2 * side**3),
        "convolution": rate(lambda: layer(images), 2 * 24 * 24 * 32 * 32 * 9 * batch),
        "bandwidth": rate(lambda: target.copy_(source), 2 * source.nbytes),
    }


def _speed(plan: Plan, _: Mnist) -> dict[str, Any]:
    """JSMA on both architectures: all steps of every pair, see `work.network`."""
    found: dict[str, Any] = {}
    for architecture in ("papernot_mnist", "papernot_cifar10"):
        model = compute.on(plan.device, network(architecture)).requires_grad_(False)
        images, targets = (each.to(plan.device) for each in pairs(architecture, plan.pairs))
        for output, passes in (("probabilities", 2), ("logits", 3)):
            run = _attack(model, output, 1e4 if output == "probabilities" else 1.0, plan)
            run(images[: plan.batch], targets[: plan.batch])
            start = time.perf_counter()
            result = run(images, targets)
            _wait(plan.device)
            taken = time.perf_counter() - start
            found[f"{architecture}/{output}"] = {
                "pairs": plan.pairs,
                "seconds": taken,
                "operations": passes * operations(architecture) * (STEPS + 1) * plan.pairs / taken,
                "mean_changed": float(result.changed_features.double().mean()),
            }
    return found


def _training(plan: Plan, data: Mnist) -> dict[str, float]:
    start = time.perf_counter()
    model = _trained(plan, data, _hard(data.train_labels), 1.0)
    _wait(plan.device)
    taken = time.perf_counter() - start
    return {"epochs": plan.epochs, "seconds": taken, "accuracy": _accuracy(model, data)}


def _grid(plan: Plan, data: Mnist) -> list[dict[str, Any]]:
    """The baseline, and a student at each temperature: Figures 7 (success), 8 (accuracy) and 9 (amplitudes)."""
    rows: list[dict[str, Any]] = []
    baseline = _trained(plan, data, _hard(data.train_labels), 1.0)
    rows.append(_row(plan, data, baseline, 0.0))
    for temperature in plan.temperatures:
        teacher = _trained(plan, data, _hard(data.train_labels), temperature)
        batches = data.train_images.split(EVALUATED)
        soft = torch.cat([soft_labels(teacher, as_input(batch), temperature) for batch in batches])
        student = _trained(plan, data, soft, temperature)
        rows.append(_row(plan, data, student, temperature))
        print(f"  T = {temperature:g}: {rows[-1]}", file=sys.stderr, flush=True)
    return rows


def _row(plan: Plan, data: Mnist, model: nn.Module, temperature: float) -> dict[str, Any]:
    model.requires_grad_(False)
    images = as_input(data.test_images[: plan.sources])
    labels = data.test_labels[: plan.sources]
    targets = torch.arange(10, device=plan.device).expand(len(labels), -1)
    others = targets != labels[:, None]
    chosen, target = images.repeat_interleave(9, dim=0), targets[others]
    row: dict[str, Any] = {"temperature": temperature, "accuracy": _accuracy(model, data)}
    for name, output, divided in (
        ("probabilities", "probabilities", 1.0),
        ("logits", "logits", 1.0),
        ("scaled", "probabilities", temperature or 1.0),
    ):
        result = _attack(model, output, divided, plan)(chosen, target)
        row[f"success/{name}"] = float(result.success.double().mean())
        row[f"changed/{name}"] = float(result.changed_features[result.success].double().mean())
    amplitudes = []
    for batch in as_input(data.test_images).split(100):
        logits, jacobian = logit_jacobian(model, batch)
        amplitudes.append(log10_mean_amplitude(logits, jacobian, 1.0).cpu())
    row["amplitudes"] = amplitude_counts(torch.cat(amplitudes))
    return row


def _attack(model: nn.Module, output: Any, temperature: float, plan: Plan) -> Callable[[Tensor, Tensor], AttackResult]:
    def run(images: Tensor, targets: Tensor) -> AttackResult:
        options: dict[str, Any] = {"output": output, "temperature": temperature, "batch_size": plan.batch}
        return jsma(model, images, targets, max_features=MAX_FEATURES, **options)

    return run


def _trained(plan: Plan, data: Mnist, targets: Tensor, temperature: float) -> nn.Module:
    """Table II: batches of 128, learning rate 0.1, momentum 0.5."""
    model = build("papernot_mnist", 10, (1, 28, 28), seed=0)
    scale_output_layer(model, 10, temperature**GAIN_EXPONENT)
    compute.on(plan.device, model)
    options: dict[str, Any] = {"batch_size": 128, "learning_rate": 0.1, "momentum": 0.5}
    options["mixed_precision"] = plan.mixed_precision
    for _ in train(model, data.train_images, targets, temperature=temperature, epochs=plan.epochs, **options):
        pass
    return model.eval()


def _accuracy(model: nn.Module, data: Mnist) -> float:
    logits = predict(model, data.test_images, batch_size=EVALUATED, device=data.test_images.device)
    return accuracy(logits, data.test_labels.cpu())


def _hard(labels: Tensor) -> Tensor:
    return nn.functional.one_hot(labels, 10).float()


def _mnist(folder: Path, plan: Plan) -> Mnist:
    """The first images of each side."""

    def read(name: str, header: int, count: int) -> Tensor:
        content = np.fromfile(folder / "MNIST" / "raw" / name, dtype=np.uint8)[header:]
        shape = (-1, 1, 28, 28) if "images" in name else (-1,)
        return torch.from_numpy(content.reshape(shape)[:count]).to(plan.device)

    return Mnist(
        read("train-images-idx3-ubyte", 16, plan.train_images),
        read("train-labels-idx1-ubyte", 8, plan.train_images).long(),
        read("t10k-images-idx3-ubyte", 16, plan.test_images),
        read("t10k-labels-idx1-ubyte", 8, plan.test_images).long(),
    )


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _page(found: dict[str, Any]) -> str:
    sizes = found["sizes"]
    lines = [
        "# One device",
        "",
        f"{found['device']}, torch {found['torch']}, TF32 {'on' if found['tf32'] else 'off'}, commit "
        f"{found['commit']}, {found['date']}; {sizes['train_images']:,} training images, {sizes['epochs']} epochs, "
        f"{sizes['sources']:,} sources.",
    ]
    if "limits" in found:
        rates = {name: rate / 1e9 for name, rate in found["limits"].items()}
        lines += [
            "",
            f"Limits: matrix product {rates['matrix_product']:,.0f} GFLOP/s, MNIST's second convolution forwards "
            f"{rates['convolution']:,.0f} GFLOP/s, copying {rates['bandwidth']:,.0f} GB/s.",
        ]
    if "speed" in found:
        lines += [
            "",
            "| JSMA, 56 steps a pair | pairs | seconds | of the convolution's rate |",
            "| --- | --- | --- | --- |",
        ]
        for name, one in found["speed"].items():
            share = one["operations"] / found["limits"]["convolution"]
            lines.append(f"| {name} | {one['pairs']:,} | {one['seconds']:.2f} | {share:.0%} |")
    if "training" in found:
        one = found["training"]
        lines += ["", f"Training: {one['epochs']} epochs in {one['seconds']:.1f} s, accuracy {one['accuracy']:.2%}."]
    if "grid" in found:
        lines += [
            "",
            "| T | accuracy (Fig. 8) | JSMA on probabilities (Fig. 7) | the paper | on logits | on z/T "
            "| mean gradient below 1e-40, above 1e-3 (Fig. 9) |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        for row in found["grid"]:
            published = PUBLISHED.get(row["temperature"])
            counts = row["amplitudes"]
            cells = [
                f"{row['temperature']:g}" if row["temperature"] else "none",
                f"{row['accuracy']:.1%}",
                f"{row['success/probabilities']:.1%}",
                f"{published:.2%}" if published is not None else "",
                f"{row['success/logits']:.1%}",
                f"{row['success/scaled']:.1%}",
                f"{counts[0]:,}, {counts[-1]:,} of {sum(counts):,}",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
