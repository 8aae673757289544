"""The speed of one device, and the paper's MNIST grid on it: `python -m benchmarks.device --mnist FOLDER`.

Writes what is finished after each part, into a JSON file and a page of Markdown; `--only` runs parts of it and keeps
the others. It asks for neither Kubeflow nor MLflow, and names the peers that are not installed. On a machine without a
GPU `--small` runs all of it in minutes, with 36 pairs and two temperatures.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import grid
from benchmarks.machine import commit, operations, seconds
from benchmarks.programs import jsma, training
from benchmarks.work import MAX_FEATURES, network, pairs, plain_network
from defensive_distillation.attacks import AttackResult
from defensive_distillation.attacks import jsma as attack
from defensive_distillation.attacks.saliency.step import saliency
from defensive_distillation.config import ExperimentConfig, experiment, loading
from defensive_distillation.networks import compute
from defensive_distillation.networks.architectures import accuracy, as_input, build, predict
from defensive_distillation.networks.kernels import cuda_graph
from defensive_distillation.networks.training import train

EVALUATED = 500  # images in a forward pass
TRAINING: dict[str, Any] = {"temperature": 1.0, "batch_size": 128, "learning_rate": 0.1, "momentum": 0.5}  # Table II
OUTPUTS = {"papernot_mnist": {"probabilities": 2, "logits": 3}, "papernot_cifar10": {"logits": 3}}  # and their passes
KINDS = {  # of arithmetic: TF32 in products and convolutions, passes in bfloat16
    "float32": (False, False),
    "TF32": (True, False),
    "mixed precision": (False, True),
}


@dataclass(frozen=True)
class Sizes:
    """How much of it."""

    pairs: int
    max_features: int  # of a pair, two a step
    slots: tuple[int, ...]  # pairs that JSMA works on at once
    epochs: int
    train_images: int
    test_images: int
    sources: int
    temperatures: tuple[float, ...]
    peer_pairs: dict[str, int]  # by peer
    peer_images: int
    workers: int  # networks of the grid at once


FULL = Sizes(
    pairs=90_000,
    max_features=MAX_FEATURES,
    slots=(128, 1024, 4096),
    epochs=50,
    train_images=60_000,
    test_images=10_000,
    sources=10_000,
    temperatures=(1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 100.0),
    peer_pairs={"torchattacks": 2, "art": 64},
    peer_images=12_800,
    workers=3,
)
SMALL = Sizes(
    pairs=36,
    max_features=MAX_FEATURES,
    slots=(128, 1024, 4096),
    epochs=3,
    train_images=2_000,
    test_images=500,
    sources=5,
    temperatures=(1.0, 20.0),
    peer_pairs={"torchattacks": 1, "art": 4},
    peer_images=640,
    workers=2,
)


@dataclass(frozen=True)
class Plan:
    """What is measured, and where."""

    sizes: Sizes
    device: torch.device
    threads: int
    kinds: list[str]  # of arithmetic, float32 first
    limit: float  # seconds for the grid
    work: Path
    data_root: Path


@dataclass(frozen=True)
class Mnist:
    """Images as bytes (N, 1, 28, 28) and labels (N,), on the device."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor


def main(arguments: Sequence[str]) -> int:
    """Measures and writes; 1 if a part failed, which does not keep the others from being measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.device", description=__doc__, allow_abbrev=False)
    parser.add_argument("--mnist", type=Path, required=True, help="folder that holds MNIST/raw as torchvision has it")
    parser.add_argument("--output", type=Path, default=Path("out/device"), help="folder (default out/device)")
    parser.add_argument("--work", type=Path, default=Path("workspace/device"), help="folder for the grid's artifacts")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--small", action="store_true", help="everything at a small size")
    parser.add_argument("--only", choices=PARTS, action="append", help="a part of it; may be repeated")
    parser.add_argument("--pairs", type=int, help="pairs of each attack (default 90000)")
    parser.add_argument(
        "--arithmetic", choices=KINDS, action="append", help="of trainings, beside float32; may be repeated"
    )
    parser.add_argument("--limit", type=float, default=3600.0, help="seconds for the grid (default 3600)")
    parser.add_argument("--commit", default=commit(), help="what is measured, where git cannot say")
    options = parser.parse_args(arguments)
    threads = 1 if options.small else 4
    device = compute.device(options.device, threads)
    sizes = SMALL if options.small else FULL
    sizes = replace(sizes, pairs=options.pairs or sizes.pairs)
    chosen = options.arithmetic or (KINDS if device.type == "cuda" else [])
    kinds = [kind for kind in KINDS if kind == "float32" or kind in chosen]
    plan = Plan(sizes, device, threads, kinds, options.limit, options.work, options.mnist)
    try:
        data = _mnist(plan)
    except OSError as error:
        parser.error(f"--mnist: expected a folder with the files of MNIST in MNIST/raw, got {error}")
    options.output.mkdir(parents=True, exist_ok=True)
    kept = options.output / "device.json"
    found: dict[str, Any] = json.loads(kept.read_text()) if options.only and kept.exists() else {}
    found |= {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        "torch": torch.__version__,
        "commit": options.commit,
        "date": time.strftime("%Y-%m-%d"),
        "sizes": asdict(sizes),
    }
    failed = False
    for name in options.only or PARTS:
        print(f"{name} …", file=sys.stderr, flush=True)
        try:
            found[name] = PARTS[name](plan, data)
        except Exception:
            failed = True
            traceback.print_exc()
            continue
        finally:
            compute.device(options.device, threads)  # as it was
        if name == "grid":
            shutil.copytree(found[name].pop("report"), options.output / "mnist", dirs_exist_ok=True)
        kept.write_text(json.dumps(found, indent=1) + "\n")
        (options.output / "device.md").write_text(page(found))
    print(page(found))
    return int(failed)


def _limits(plan: Plan, _: Mnist) -> dict[str, float]:
    """Rates of a matrix product, of the second convolutions of both networks, and of a copy."""
    side, batch = (8192, 4096) if plan.device.type == "cuda" else (1024, 64)
    a = torch.rand(side, side, device=plan.device)
    source = torch.rand(2**28 if plan.device.type == "cuda" else 2**25, device=plan.device)
    target = torch.empty_like(source)

    def rate(run: Callable[[], object], amount: float) -> float:
        return amount / seconds(run, lambda: _wait(plan.device))

    def convolution(channels: int, pixels: int) -> float:
        layer = compute.on(plan.device, nn.Conv2d(channels, channels, 3)).requires_grad_(False)
        images = torch.rand(batch, channels, pixels, pixels, device=plan.device)
        return rate(lambda: layer(images), 2 * (pixels - 2) ** 2 * channels**2 * 9 * batch)

    return {
        "matrix_product": rate(lambda: a @ a, 2 * side**3),
        "papernot_mnist": convolution(32, 26),
        "papernot_cifar10": convolution(64, 30),
        "bandwidth": rate(lambda: target.copy_(source), 2 * source.nbytes),
    }


def _worst_case(architecture: str) -> Callable[[Plan, Mnist], dict[str, Any]]:
    """JSMA on an architecture, all steps of every pair, see `work.network`."""

    def part(plan: Plan, _: Mnist) -> dict[str, Any]:
        found: dict[str, Any] = {}
        model = compute.on(plan.device, network(architecture)).requires_grad_(False)
        images, targets = (each.to(plan.device) for each in pairs(architecture, plan.sizes.pairs))
        steps = plan.sizes.max_features // 2
        for output, passes in OUTPUTS[architecture].items():
            one = _jsma(plan, model, images, targets, output, jsma.FLAT if output == "probabilities" else 1.0)
            rate = passes * operations(architecture) * (steps + 1) * plan.sizes.pairs / one["seconds"]
            found[output] = {**_figures(one), "operations": rate}
        return found

    return part


def _training(plan: Plan, data: Mnist) -> dict[str, Any]:
    """The baseline by each kind of arithmetic, and JSMA on it: what TF32 changes."""
    found: dict[str, Any] = {}
    images = as_input(data.test_images[: plan.sizes.sources])
    labels = data.test_labels[: plan.sizes.sources]
    targets = torch.arange(10, device=plan.device).expand(len(labels), -1)
    others = targets != labels[:, None]
    shown, wanted = images.repeat_interleave(9, dim=0), targets[others]
    for kind in plan.kinds:
        tf32, mixed = KINDS[kind]
        compute.device(str(plan.device), plan.threads, tf32=tf32)
        start = time.perf_counter()
        model = _trained(plan, data, mixed_precision=mixed)
        _wait(plan.device)
        found[kind] = {"seconds": time.perf_counter() - start}
        compute.device(str(plan.device), plan.threads)
        found[kind]["accuracy"] = _accuracy(model, data)
        if kind != "float32":
            continue
        for output in ("probabilities", "logits"):
            results = {}
            for name in ("float32", "TF32"):
                compute.device(str(plan.device), plan.threads, tf32=name == "TF32")
                results[name] = _jsma(plan, model, shown, wanted, output, 1.0)
                found[kind][f"{output}/{name}"] = _figures(results[name])
            exact, rough = (results[name]["result"] for name in ("float32", "TF32"))
            same = (exact.adversarial == rough.adversarial).flatten(1).all(1)
            found[kind][f"{output}/agree"] = {
                "samples": float(same.double().mean()),
                "success": float((exact.success == rough.success).double().mean()),
            }
    return found


def _jsma(
    plan: Plan, model: nn.Module, images: Tensor, targets: Tensor, output: Any, t: float, slots: int | None = None
) -> dict[str, Any]:
    """Seconds and result, after a first run on few pairs."""

    def run(count: int) -> AttackResult:
        shown, wanted = images[:count], targets[:count]
        options: dict[str, Any] = {"output": output, "temperature": t, "batch_size": slots}
        return attack(model, shown, wanted, max_features=plan.sizes.max_features, **options)

    run(64)
    _wait(plan.device)
    start = time.perf_counter()
    result = run(len(images))
    _wait(plan.device)
    return {"seconds": time.perf_counter() - start, "result": result}


def _figures(one: dict[str, Any]) -> dict[str, Any]:
    result: AttackResult = one["result"]
    changed = result.changed_features.double()
    return {
        "pairs": len(result.success),
        "seconds": one["seconds"],
        "success": float(result.success.double().mean()),
        "changed": float(changed.mean()),
        "evaluations": float(result.gradient_evaluations.double().mean()),
    }


def _changes(plan: Plan, data: Mnist) -> dict[str, Any]:
    """Milliseconds with and without what makes a GPU fast: fused networks, recorded steps, many slots."""
    found: dict[str, Any] = {}
    for architecture, outputs in OUTPUTS.items():
        images, targets = (each.to(plan.device) for each in pairs(architecture, min(2048, plan.sizes.pairs)))
        plain = plain_network(architecture).to(plan.device)
        for name, model in (("plain", plain), ("ours", compute.on(plan.device, network(architecture)))):
            step = functools.partial(saliency, model.requires_grad_(False), images, targets, "logits", 1.0)
            taken = 1e3 * seconds(step, lambda: _wait(plan.device))
            found[f"{architecture}, {outputs['logits']} passes, {len(images):,} images, {name}"] = taken
    model = compute.on(plan.device, network("papernot_mnist")).requires_grad_(False)
    for name, way in (("recorded", contextlib.nullcontext), ("told step by step", cuda_graph.told_step_by_step)):
        with way():
            found[f"papernot_mnist, epoch of a training, {name}"] = 1e3 * _epoch(plan, data)
            for slots in plan.sizes.slots:
                images, targets = (each.to(plan.device) for each in pairs("papernot_mnist", 2 * slots))
                one = _jsma(plan, model, images[: plan.sizes.pairs], targets[: plan.sizes.pairs], "logits", 1.0, slots)
                each = 1e3 * one["seconds"] / len(one["result"].success)
                found[f"papernot_mnist, JSMA on logits, a pair, {slots:,} slots, {name}"] = each
    return found


def _epoch(plan: Plan, data: Mnist) -> float:
    """Seconds of the second epoch of a training."""
    model = compute.on(plan.device, build("papernot_mnist", 10, (1, 28, 28), seed=0))
    ended = []
    for _ in train(model, data.train_images, _hard(data.train_labels), epochs=2, **TRAINING):
        _wait(plan.device)
        ended.append(time.perf_counter())
    return ended[1] - ended[0]


def _hard(labels: Tensor) -> Tensor:
    return nn.functional.one_hot(labels, 10).float()


def _peers(plan: Plan, _: Mnist) -> dict[str, Any]:
    """JSMA's pairs and training's images a second; why not, where one does not run."""
    name = str(plan.device)
    found: dict[str, Any] = {}
    for architecture in ("papernot_mnist", "papernot_cifar10"):
        for peer, count in plan.sizes.peer_pairs.items():
            settings = {"architecture": architecture, "count": count, "batch": count, "device": name}
            found[f"{architecture}/{peer}"] = _peer(plan, jsma.prepare, peer, settings)
    for peer in ("plain", "lightning"):
        settings = {"architecture": "papernot_mnist", "count": plan.sizes.peer_images, "device": name}
        found[f"training/{peer}"] = _peer(plan, training.prepare, peer, settings)
    return found


def _peer(plan: Plan, prepare: Callable[..., Any], name: str, settings: dict[str, Any]) -> dict[str, Any]:
    try:
        run = prepare(name, **settings)
    except ImportError as error:
        return {"reason": str(error)}
    _wait(plan.device)
    start = time.perf_counter()
    figures: dict[str, float] = run()
    _wait(plan.device)
    taken = time.perf_counter() - start
    return {"rate": figures["work"] / taken, "changed": figures.get("changed"), "work": figures["work"]}


def paper_grid(plan: Plan) -> ExperimentConfig:
    """The preset's sweep, JSMA alone, its trainings in TF32 on a GPU; attacks and gradients in float32."""
    on = {"device": str(plan.device), "threads": plan.threads}
    epochs = {
        "epochs": plan.sizes.epochs,
        "tf32": True,
        "minimum_progress": 0.0 if plan.sizes.epochs < 10 else 0.1,
        **on,
    }
    jsma_settings = {
        "sources": plan.sizes.sources,
        "max_features": plan.sizes.max_features,
        "outputs": ["probabilities", "scaled"],
    }
    limits = {"train_limit": plan.sizes.train_images, "test_limit": plan.sizes.test_images}
    return experiment(
        {
            **loading.preset_values("mnist"),
            "temperatures": plan.sizes.temperatures,
            "attacks": ["jsma"],
            "prepare_data": {"source": "mnist", "data_root": str(plan.data_root), **limits},
            "train_teacher": epochs,
            "generate_soft_labels": on,
            "train_student": epochs,
            "attack": {"jsma": jsma_settings, **on},
            "evaluate": {"gradient_samples": plan.sizes.sources, **on},
            "report": {"title": "Defensive distillation on MNIST: the paper's grid"},
        }
    )


def _grid(plan: Plan, _: Mnist) -> dict[str, Any]:
    """The baseline, and a student at each temperature: the report has Figures 7, 8 and 9."""
    return grid.run(paper_grid(plan), plan.work, workers=plan.sizes.workers, limit=plan.limit)


def _trained(plan: Plan, data: Mnist, *, mixed_precision: bool) -> nn.Module:
    model = compute.on(plan.device, build("papernot_mnist", 10, (1, 28, 28), seed=0))
    options = {**TRAINING, "epochs": plan.sizes.epochs, "mixed_precision": mixed_precision}
    for _ in train(model, data.train_images, _hard(data.train_labels), **options):
        pass
    return model.eval().requires_grad_(False)


def _accuracy(model: nn.Module, data: Mnist) -> float:
    logits = predict(model, data.test_images, batch_size=EVALUATED, device=data.test_images.device)
    return accuracy(logits, data.test_labels.cpu())


def _mnist(plan: Plan) -> Mnist:
    """The first images of each side."""

    def read(name: str, header: int, count: int) -> Tensor:
        content = np.fromfile(plan.data_root / "MNIST" / "raw" / name, dtype=np.uint8)[header:]
        shape = (-1, 1, 28, 28) if "images" in name else (-1,)
        return torch.from_numpy(content.reshape(shape)[:count].copy()).to(plan.device)

    return Mnist(
        read("train-images-idx3-ubyte", 16, plan.sizes.train_images),
        read("train-labels-idx1-ubyte", 8, plan.sizes.train_images).long(),
        read("t10k-images-idx3-ubyte", 16, plan.sizes.test_images),
        read("t10k-labels-idx1-ubyte", 8, plan.sizes.test_images).long(),
    )


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


PARTS: dict[str, Callable[[Plan, Mnist], dict[str, Any]]] = {
    "limits": _limits,
    "papernot_mnist": _worst_case("papernot_mnist"),
    "papernot_cifar10": _worst_case("papernot_cifar10"),
    "changes": _changes,
    "training": _training,
    "peers": _peers,
    "grid": _grid,
}


def page(found: dict[str, Any]) -> str:
    """What was found, as Markdown."""
    lines = [
        "# One device",
        "",
        f"{found['device']}, torch {found['torch']}, commit {found['commit']}, {found['date']}.",
    ]
    for names, write in (
        (["limits"], _limits_page),
        (OUTPUTS, _worst_case_page),
        (["changes"], _changes_page),
        (["training"], _training_page),
        (["peers"], _peers_page),
        (["grid"], _grid_page),
    ):
        if any(name in found for name in names):
            lines += ["", *write(found)]
    return "\n".join(lines) + "\n"


def _limits_page(found: dict[str, Any]) -> list[str]:
    rates = {name: rate / 1e12 for name, rate in found["limits"].items()}
    return [
        f"Limits in float32: matrix product {rates['matrix_product']:.1f} TFLOP/s; the second convolution forwards "
        f"{rates['papernot_mnist']:.1f} (MNIST's) and {rates['papernot_cifar10']:.1f} TFLOP/s (CIFAR-10's); copying "
        f"{rates['bandwidth']:.2f} TB/s."
    ]


def _worst_case_page(found: dict[str, Any]) -> list[str]:
    lines = [
        f"## JSMA, all {found['sizes']['max_features'] // 2} steps of every pair",
        "",
        "| architecture, output | pairs | seconds | pairs / s | features changed | of the convolution's rate |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for architecture in OUTPUTS:
        for output, one in found.get(architecture, {}).items():
            cells = [f"{architecture}, {output}", f"{one['pairs']:,}", f"{one['seconds']:.1f}"]
            cells += [f"{one['pairs'] / one['seconds']:,.0f}", f"{one['changed']:.1f}"]
            cells.append(f"{one['operations'] / found['limits'][architecture]:.0%}" if "limits" in found else "")
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def _changes_page(found: dict[str, Any]) -> list[str]:
    rows = [f"| {name} | {taken:.4g} |" for name, taken in found["changes"].items()]
    return ["## What the changes bring", "", "| what | ms |", "| --- | --- |", *rows]


def _training_page(found: dict[str, Any]) -> list[str]:
    epochs, kinds = found["sizes"]["epochs"], found["training"]
    lines = [
        f"## A training of {epochs} epochs on MNIST, batches of 128",
        "",
        "| arithmetic | seconds | accuracy |",
        "| --- | --- | --- |",
        *(f"| {kind} | {one['seconds']:.1f} | {one['accuracy']:.2%} |" for kind, one in kinds.items()),
        "",
        "JSMA on the network that was trained in float32:",
        "",
        "| output, arithmetic | pairs | seconds | success | features changed |",
        "| --- | --- | --- | --- | --- |",
    ]
    exact = kinds["float32"]
    for output in ("probabilities", "logits"):
        for kind in ("float32", "TF32"):
            one = exact[f"{output}/{kind}"]
            cells = [f"{output}, {kind}", f"{one['pairs']:,}", f"{one['seconds']:.1f}", f"{one['success']:.2%}"]
            lines.append("| " + " | ".join([*cells, f"{one['changed']:.1f}"]) + " |")
    agreed = [exact[f"{output}/agree"] for output in ("probabilities", "logits")]
    lines += [
        "",
        f"TF32 gives the same sample for {agreed[0]['samples']:.1%} of the pairs on probabilities and "
        f"{agreed[1]['samples']:.1%} on logits, the same success for {agreed[0]['success']:.2%} and "
        f"{agreed[1]['success']:.2%}.",
    ]
    return lines


def _peers_page(found: dict[str, Any]) -> list[str]:
    lines = [
        "## Peers on the same device",
        "",
        "| what | a second | work | features changed |",
        "| --- | --- | --- | --- |",
    ]
    for name, one in found["peers"].items():
        if "reason" in one:
            lines.append(f"| {name} | {one['reason']} | | |")
            continue
        changed = f"{one['changed']:.1f}" if one["changed"] is not None else ""
        lines.append(f"| {name} | {one['rate']:,.2f} | {one['work']:,.0f} | {changed} |")
    return lines


def _grid_page(found: dict[str, Any]) -> list[str]:
    one, sizes = found["grid"], found["sizes"]
    lines = [
        "## The paper's grid",
        "",
        f"{len(sizes['temperatures'])} temperatures and the baseline, {sizes['epochs']} epochs, "
        f"{9 * sizes['sources']:,} pairs twice for each network, in {one['seconds']['all']:.0f} s with "
        f"{sizes['workers']} networks at once: [report](mnist/report.html), [table](mnist/sweep.csv).",
    ]
    for name in ("figure_7", "figure_8", "figure_9"):
        lines += ["", f"![{name.replace('_', ' ')}](mnist/figures/{name}.png)"]
    lines += [f"\nMissing: {name}, {reason}." for name, reason in one["missing"].items()]
    return lines


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
