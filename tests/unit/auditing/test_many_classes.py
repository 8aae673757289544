"""A network of thirty classes: attacks that go towards a class go towards a few of them, drawn for each image."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from defensive_distillation import artifacts, audit
from defensive_distillation.artifacts.attack import read_attack
from defensive_distillation.auditing.audit import settings_for
from defensive_distillation.auditing.images import test_images as as_test_images
from defensive_distillation.config import (
    AttackConfig,
    EvaluateConfig,
    ImportModelConfig,
    PrepareDataConfig,
    ReportConfig,
)
from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.stages import attack, evaluate, import_model, prepare_data, report
from defensive_distillation.suite.execution import AttackCall, attack_calls
from support.datasets import save

CLASSES = 30
FACTORY = """
from torch import nn


def toy():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 30))
"""


@pytest.fixture(scope="module")
def toy() -> tuple[nn.Module, Tensor, Tensor]:
    """A linear network that tells thirty patterns apart, and noisy images of them."""
    generator = torch.Generator().manual_seed(0)
    patterns = torch.rand(CLASSES, 1, 8, 8, generator=generator)
    labels = torch.arange(CLASSES).repeat(4)
    images = (patterns[labels] + 0.05 * torch.randn(len(labels), 1, 8, 8, generator=generator)).clamp(0, 1)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES))
    flat = patterns.flatten(1)
    with torch.no_grad():
        network[1].weight.copy_(4 * flat)
        network[1].bias.copy_(-2 * (flat**2).sum(1))
    return network.eval(), images, labels


def call(name: str, **settings: object) -> AttackCall:
    section = "cw" if name.startswith("cw") else name
    config = AttackConfig(attacks=(name,), **{section: settings})
    return next(iter(attack_calls(config, 1.0, None)))


def pairs(of: AttackCall, toy: tuple[nn.Module, Tensor, Tensor], seed: int = 0) -> dict[int, list[int]]:
    """The target classes of each source."""
    dataset = as_test_images(toy[1], toy[2], classes=CLASSES, name="toy", grey=True)
    sources, targets = of.pairs(dataset, seed)
    found: dict[int, list[int]] = {}
    for source, target in zip(sources.tolist(), targets.tolist(), strict=True):
        found.setdefault(source, []).append(target)
    return found


def test_targets_are_other_classes_drawn_by_the_seed_and_the_source_alone(
    toy: tuple[nn.Module, Tensor, Tensor],
) -> None:
    of_40 = pairs(call("jsma", sources=40, targets=9), toy)
    for source, targets in of_40.items():
        assert len(targets) == len(set(targets)) == 9
        assert int(toy[2][source]) not in targets
        assert set(targets) <= set(range(CLASSES))
    few = pairs(call("cw_l2", sources=10, targets=9), toy)
    assert few == {source: of_40[source] for source in few}
    fewer = pairs(call("jsma", sources=10, targets=4), toy)
    assert all(set(targets) < set(few[source]) for source, targets in fewer.items())
    assert pairs(call("jsma", sources=40, targets=9), toy, seed=1) != of_40
    drawn = torch.tensor([target for targets in of_40.values() for target in targets])
    assert torch.bincount(drawn, minlength=CLASSES).min() > 0


@pytest.mark.parametrize("targets", [None, CLASSES - 1, 500])
def test_as_many_as_there_are_is_every_other_class(toy: tuple[nn.Module, Tensor, Tensor], targets: int | None) -> None:
    found = pairs(call("jsma", sources=5, targets=targets), toy)
    for source, reached in found.items():
        assert reached == [label for label in range(CLASSES) if label != int(toy[2][source])]


def test_what_fits_many_classes_is_as_much_work_as_ten_are() -> None:
    images = torch.zeros(500, 1, 28, 28, dtype=torch.uint8)
    labels = torch.zeros(500, dtype=torch.int64)
    of = {
        classes: settings_for(
            as_test_images(images, labels, classes=classes, name="mine", grey=True),
            epsilons=None,
            attacks=None,
            half_width=0.05,
            given={},
        )
        for classes in (10, 20, 21, 100)
    }
    assert [of[classes].jsma.targets for classes in of] == [None, None, 9, 9]
    assert of[100].cw.targets == of[100].jsma_decreasing.targets == 9
    assert of[100].jsma.sources == of[10].jsma.sources
    assert of[100].attacks == of[10].attacks
    assert of[100].jsma_untargeted.sources * 99 == pytest.approx(of[10].jsma_untargeted.sources * 9, rel=0.02)


def test_the_whole_suite_audits_thirty_classes(toy: tuple[nn.Module, Tensor, Tensor], tmp_path: Path) -> None:
    network, images, labels = toy
    settings = {"cw": {"steps": 50, "search_steps": 2}, "square": {"queries": 50}, "pgd": {"steps": 10}}
    found = audit(network, images, labels, half_width=0.2, settings=settings, name="toy", progress=False)
    assert found.accuracy == 1
    jsma = [one for one in found.evaluation.attacks if one.attack == "jsma"]
    assert {(one.targets, one.pairs) for one in jsma} == {(9, 90)}
    assert {(one.targets, one.sources, one.pairs) for one in found.evaluation.distances} == {(9, 10, 90)}
    best, average, worst = (
        found.evaluation.distances[0].best.mean_distance,
        found.evaluation.distances[0].average.mean_distance,
        found.evaluation.distances[0].worst.mean_distance,
    )
    assert best is not None
    assert average is not None
    assert worst is not None
    assert best < average < worst
    found.to_html(tmp_path / "audit.html")
    assert "towards 9 classes drawn at random for each source" in (tmp_path / "audit.html").read_text().replace(
        "\u00a0", " "
    )


def test_shards_are_judged_together_and_the_report_says_how_many_classes(
    toy: tuple[nn.Module, Tensor, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, (image, label) in enumerate(zip(toy[1], toy[2].tolist(), strict=True)):
        side = "test" if number >= 2 * CLASSES else "train"
        pixels = Image.fromarray((image[0] * 255).byte().numpy())
        save(tmp_path / "images" / side / f"{label:02}" / f"{number}.png", pixels)
    source = PrepareDataConfig(source=str(tmp_path / "images"), image_size=8)
    inputs = {"dataset": prepare_data.run(source, output=str(tmp_path / "dataset")).location}
    (tmp_path / "thirty.py").write_text(FACTORY)
    save_file(toy[0].state_dict(), tmp_path / "weights.safetensors")
    monkeypatch.syspath_prepend(str(tmp_path))
    network = ImportModelConfig(model="thirty:toy", weights=str(tmp_path / "weights.safetensors"))
    inputs["model"] = import_model.run(network, **inputs, output=str(tmp_path / "model")).location

    def attacked(shards: int, shard: int) -> artifacts.Artifact:
        quick = {"jsma": {"outputs": ("logits",)}, "cw": {"steps": 20, "search_steps": 1}, "half_width": 0.2}
        config = AttackConfig(attacks=("jsma", "cw_l2"), **quick, shards=shards, shard=shard)
        return attack.run(config, **inputs, output=str(tmp_path / f"{shards}-{shard}"))

    whole, shares = attacked(1, 0), [attacked(2, shard) for shard in (0, 1)]
    assert [facts["targets"] for facts in whole.facts["variants"]] == [9, 9]
    for name, expected in read_attack(whole).items():
        both = [read_attack(share)[name] for share in shares]
        for field in ("source_index", "target_class", "success", "changed_features"):
            assert torch.equal(torch.cat([getattr(one, field) for one in both]), getattr(expected, field)), field
    evaluated = evaluate.run(
        EvaluateConfig(gradient_samples=5),
        **inputs,
        attacks=[share.location for share in shares],
        output=str(tmp_path / "evaluation"),
    )
    found = Evaluation.model_validate(evaluated.facts["evaluation"])
    assert [(one.targets, one.sources, one.pairs) for one in found.distances] == [(9, 10, 90)]
    written = report.run(ReportConfig(), evaluations=[evaluated.location], output=str(tmp_path / "report"))
    page = (written.folder / "report.html").read_text().replace("\u00a0", " ")
    assert page.count("towards 9 classes drawn at random for each source") >= 2
