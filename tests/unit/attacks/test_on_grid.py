"""Samples that can be saved as images: on the grid of 256 values, within the ball, and adversarial there."""

from __future__ import annotations

import functools
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from defensive_distillation.attacks import AttackResult, StopReason
from defensive_distillation.attacks.on_grid import Grid
from defensive_distillation.config import AttackConfig
from defensive_distillation.datasets.dataset import to_unit_interval
from defensive_distillation.evaluation.eight_bits import share_in_eight_bits
from defensive_distillation.evaluation.outcome import Outcome
from defensive_distillation.evaluation.stored_attack import counted, store_attack
from defensive_distillation.networks.views import Views
from defensive_distillation.suite.execution import AttackCall, attack_calls
from defensive_distillation.suite.registry import ATTACKS
from support.networks import linear, smooth

EPSILONS = (0.01, 0.05, 1.0)
SECTIONS: dict[str, Any] = {
    "bounded": {"epsilons": EPSILONS},
    "cw": {"steps": 60, "learning_rate": 0.03, "search_steps": 3},
    "jsma": {"theta": 0.3, "max_features": 12},
    "jsma_decreasing": {"theta": -0.3, "max_features": 12},
    "jsma_untargeted": {"theta": 0.3, "max_features": 12},
    "square": {"queries": 30},
    "pgd": {"steps": 10, "restarts": 2, "rivals": 2},
    "transfer": {"confidences": (0.0, 0.1)},
}
CPU = torch.device("cpu")


def calls(name: str, *, on_grid: bool) -> list[AttackCall]:
    config = AttackConfig(attacks=(name,), on_grid=on_grid, **SECTIONS)
    return list(attack_calls(config, 2.0, smooth(48, 3, 4).float()))


@functools.cache
def attacked(name: str, *, on_grid: bool) -> list[tuple[AttackCall, list[AttackResult], Outcome]]:
    model, shown, labels, _ = case()
    found = []
    for call in calls(name, on_grid=on_grid):
        classes = (labels + 1) % 3 if call.attack.targeted else labels
        results = call.results(
            Views.of(model),
            to_unit_interval(shown),
            classes,
            seeds=torch.arange(len(shown)),
            batch_size=7,
            on_finished=lambda count: None,
        )
        stored = store_attack(shown, torch.arange(len(shown)), classes, results, dense=call.attack.dense)
        found.append((call, results, Outcome(counted(call.facts, stored), stored)))
    return found


@functools.cache
def case() -> tuple[nn.Module, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    shown = torch.randint(0, 256, (20, 3, 4, 4), generator=generator).to(torch.uint8)
    model = smooth(48, 3, 3, scale=1.0).float()
    logits = model(to_unit_interval(shown)).detach()
    return model, shown, logits.argmax(1), logits


@pytest.mark.parametrize("name", ATTACKS)
def test_on_the_grid_every_sample_that_is_kept_survives_exactly(name: str) -> None:
    model, shown, labels, _ = case()
    for call, results, outcome in attacked(name, on_grid=True):
        wanted = (labels + 1) % 3 if call.attack.targeted else labels
        for number, result in enumerate(results):
            saved = (result.adversarial * 255).round().to(torch.uint8)
            assert torch.equal(to_unit_interval(saved), result.adversarial)
            predicted = model(to_unit_interval(saved)).argmax(1)
            assert torch.equal(result.success, predicted == wanted if call.attack.targeted else predicted != wanted)
            assert torch.equal(result.success, result.stop_reason == StopReason.SUCCESS)
            if call.attack.family == "ball":
                steps = (saved.int() - shown.int()).abs().max()
                assert int(steps) <= math.floor(EPSILONS[number] * 255)
        assert outcome.facts["arguments"]["on_grid"] is True
        assert outcome.samples.value.dtype == torch.uint8
        if bool(outcome.samples.success.any()):
            assert share_in_eight_bits(model, outcome, shown, batch_size=3, device=CPU) == 1


@pytest.mark.parametrize("name", [name for name in ATTACKS if name != "transfer"])
def test_hardly_a_success_is_lost_and_sparse_attacks_change_no_other_feature(name: str) -> None:
    """An attack without a gradient has no repair, and may lose one of twenty."""
    for (call, plain, _), (_, gridded, _) in zip(
        attacked(name, on_grid=False), attacked(name, on_grid=True), strict=True
    ):
        for before, after in zip(plain, gridded, strict=True):
            lost = int((before.success & ~after.success).sum())
            assert lost <= 1, (call.name, lost)
            # beyond rounding, by at most eight steps of the features that a repair moves
            assert float((after.linf - before.linf).max()) <= 9 / 255
            if not call.attack.dense:
                source = to_unit_interval(case()[1])
                moved = (after.adversarial != source) & (before.adversarial == source)
                assert not moved.any()


def test_samples_at_the_boundary_do_not_survive_by_themselves_and_their_share_is_told() -> None:
    model, shown, _, _ = case()
    (_, results, outcome) = attacked("cw_l2", on_grid=False)[0]
    share = share_in_eight_bits(model, outcome, shown, batch_size=6, device=CPU)
    saved = (results[0].adversarial * 255).round() / 255
    held = (model(saved).argmax(1) == outcome.samples.target_class) & results[0].success
    assert share == int(held.sum()) / int(results[0].success.sum())
    assert 0 < share < 1
    # the grid costs hardly any distance
    on_grid = attacked("cw_l2", on_grid=True)[0][1][0]
    both = results[0].success & on_grid.success
    assert float(on_grid.l2[both].mean()) <= 1.1 * float(results[0].l2[both].mean())


def test_no_share_is_told_of_no_successes_or_of_inputs_that_are_no_images() -> None:
    model, shown, _, _ = case()
    outcome = attacked("cw_l2", on_grid=False)[0][2]
    assert share_in_eight_bits(model, outcome, to_unit_interval(shown), batch_size=6, device=CPU) is None
    none = Outcome(outcome.facts, outcome.samples.only(~outcome.samples.success))
    assert share_in_eight_bits(model, none, shown, batch_size=6, device=CPU) is None


@pytest.mark.parametrize("differentiated", [True, False])
def test_a_repair_moves_as_few_features_as_suffice(differentiated: bool) -> None:
    """The logits 100 / 255 · Σ w (x - x₀) - 1: rounding loses the sample, one step of the steepest feature suffices."""
    weight = torch.tensor([0.1, 0.2, 4.0, 0.3])
    source = torch.full((1, 1, 1, 4), 128.0) / 255
    model = linear([[0.0] * 4, (255 * weight).tolist()], [1.0, -255 * float((weight * source.flatten()).sum())]).float()
    adversarial = source + torch.tensor([0.0, 0.0, 0.3, 0.0]) / 255  # rounds down to the source
    labels = torch.tensor([0])
    grid = Grid(
        judged=model, differentiated=model if differentiated else None, targeted=False, epsilon=0.1, sparse=False
    )
    before = AttackResult.of(source, adversarial, torch.tensor([True]), torch.tensor([0]).to(torch.int8), labels)
    found = grid.rounded(before, source, labels, batch_size=None)
    assert bool(found.success.all())
    assert ((found.adversarial - source) * 255).round().flatten().tolist() == [0, 0, 1, 0]
    assert found.gradient_evaluations.tolist() == [int(differentiated)]
