"""The benchmarks' own promises: the same work for all, and a contender that cannot run says why."""

from __future__ import annotations

import subprocess
import sys

import torch

from benchmarks import device, machine, page, work
from benchmarks.race import ROOT, Entry, race, ratio
from defensive_distillation import settings
from defensive_distillation.attacks import StopReason, jsma
from defensive_distillation.models import build
from defensive_distillation.reporting import paper


def test_every_pair_takes_all_steps_and_no_gradient_is_changed_by_what_makes_it_so() -> None:
    for architecture in work.SHAPES:
        model, (images, targets) = work.network(architecture), work.pairs(architecture, 9)
        assert sorted(targets.tolist()) == list(range(1, 10))
        found = jsma(model, images, targets, max_features=6, output="logits")
        assert bool((found.stop_reason == StopReason.BUDGET).all())
        assert bool((found.changed_features == 6).all())
        plain = build(architecture, 10, work.SHAPES[architecture], seed=0).eval()
        gradients = []
        for network in (model, plain):
            x = images.clone().requires_grad_()
            gradients.append(torch.autograd.grad(network(x)[:, 0].sum(), x)[0])
        torch.testing.assert_close(*gradients)


def test_peers_get_the_same_network_of_pytorchs_own_layers_in_the_order_of_table_1() -> None:
    for architecture in work.SHAPES:
        ours, peers = work.network(architecture), work.plain_network(architecture)
        half = ["Conv2d", "ReLU", "Conv2d", "ReLU", "MaxPool2d"]
        names = [type(layer).__name__ for layer in peers.children()]
        assert names == [*half, *half, "Flatten", *["Linear", "ReLU", "Dropout"] * 2, "Linear"]
        images = work.pairs(architecture, 3)[0]
        with torch.no_grad():
            torch.testing.assert_close(peers(images), ours(images))


def test_two_processes_share_no_work() -> None:
    one, two = race([Entry(name, "workers", name, {}) for name in ("1", "2")], 1)
    assert (one.figures["work"], two.figures["work"]) == (64, 128)
    assert ratio(two, one, "seconds") > 1, "not one after the other"


def test_the_attack_stage_needs_no_more_memory_for_ten_times_the_pairs() -> None:
    few, many = race([Entry(name, "memory", name, {}) for name in ("100", "1000")], 1)
    assert (few.figures["work"], many.figures["work"]) == (900, 9000)
    assert many.figures["memory"] < few.figures["memory"] + 100 * 2**20, "what is kept of 8,100 pairs is far less"
    assert many.figures["memory"] < 1.5 * 2**30


def test_the_machines_operations_are_those_of_table_1() -> None:
    conv = 26 * 26 * 32 * 9 + 24 * 24 * 32 * 288 + 10 * 10 * 64 * 288 + 8 * 8 * 64 * 576
    assert machine.operations("papernot_mnist") == 2 * (conv + 1024 * 200 + 200 * 200 + 200 * 10)
    (layer, shape), *_ = work.convolutions("papernot_cifar10")
    assert (layer.in_channels, layer.out_channels, shape) == (3, 64, (3, 32, 32))


def test_contenders_run_in_turn_and_one_that_cannot_says_why() -> None:
    entries = [
        Entry("few", "pair_search", "0", {"features": 20}),
        Entry("many", "pair_search", "0", {"features": 20_000}),
        Entry("nobody", "jsma", "nobody", {"architecture": "papernot_mnist", "count": 1, "batch": 1}),
    ]
    few, many, nobody = race(entries, 3)
    assert (len(few.rounds), few.figures["work"], few.reason) == (3, 3.0, "")
    assert ratio(few, many) > 1
    assert (nobody.reason, nobody.rounds) == ("KeyError: 'nobody'", ())
    rows = page.race_table([few, many, nobody], "samples").splitlines()
    assert len({len(row) for row in rows}) == 1
    assert "KeyError: 'nobody'" in rows[-1]
    assert rows[3].split("|")[4].strip().endswith("×")


def test_the_script_for_a_device_needs_torch_alone() -> None:
    missing = ("pydantic", "mlflow", "kfp", "boto3", "sklearn", "matplotlib", "safetensors", "torchvision")
    code = f"import sys; sys.modules.update(dict.fromkeys({missing})); import benchmarks.device"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_the_papers_numbers_and_the_grid_are_those_of_the_pipeline() -> None:
    expected = {0: paper.MNIST.baseline_success, **paper.MNIST.success}
    assert expected == device.PUBLISHED
    preset = settings.load("mnist")
    assert preset.temperatures == device.TEMPERATURES
    assert preset.train_teacher.output_gain_exponent == device.GAIN_EXPONENT
