"""The way of JSMA that waits for no device: the same results, shapes that stay, and no result asked for in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from defensive_distillation.attacks import AttackResult, StopReason, pair_search
from defensive_distillation.attacks.jsma import jsma
from defensive_distillation.attacks.pair_search import best_pair, best_pair_of_few
from defensive_distillation.attacks.saliency import slots as jsma_slots
from defensive_distillation.attacks.saliency.slots import Slots, climb_in_slots
from defensive_distillation.attacks.saliency.step import Attempts, Climb
from defensive_distillation.errors import InputError
from support.networks import assert_equal, linear, smooth, starts

SETTINGS = (
    {"theta": 1.0, "max_features": 12, "output": "logits", "temperature": 1.0},
    {"theta": 0.3, "max_features": 7, "output": "logits", "temperature": 1.0},
    {"theta": -0.4, "max_features": 9, "output": "logits", "temperature": 1.0},
    {"theta": 1.0, "max_features": 12, "output": "probabilities", "temperature": 3.0},
    {"theta": 1.0, "max_features": 0, "output": "probabilities", "temperature": 1.0},
)
BOX = (0.0, 1.0)


def in_slots(model: nn.Module, images: Tensor, targets: Tensor, size: int, **options: Any) -> AttackResult:
    interval = options.pop("interval", 3)
    attempts = Attempts(model, images, targets, None, Climb(clip=BOX, **options))
    return climb_in_slots(attempts, size=size, on_finished=None, interval=interval)


@pytest.mark.parametrize("options", SETTINGS)
def test_the_results_are_those_of_the_batch_that_shrinks(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With slots that are given up when half of them are idle, with few of them, or never."""
    model, images = smooth(16, 4, seed=5), starts(23, (1, 4, 4), seed=6)
    targets = torch.arange(23) % 4
    expected = jsma(model, images, targets, **options)
    for size, interval, few in ((1, 1, 256), (4, 1, 256), (4, 3, 0), (7, 8, 3), (100, 2, 0), (100, 2, 256)):
        monkeypatch.setattr(jsma_slots, "FEW", few)
        assert_equal(in_slots(model, images, targets, size, interval=interval, **options), expected)
    if options["max_features"]:
        assert len(set(expected.stop_reason.tolist())) > 1, "samples end for several reasons, at several steps"


def test_a_class_that_is_to_be_left_ends_a_sample_too() -> None:
    model, images = smooth(16, 4, seed=5), starts(11, (1, 4, 4), seed=8)
    labels = model(images).argmax(1)
    targets = (labels + 1) % 4
    attempts = Attempts(model, images, targets, labels, Climb(1.0, 12, "logits", 1.0, BOX))
    found = climb_in_slots(attempts, size=4, on_finished=None)
    assert bool(found.success.any())
    left = model(found.adversarial).argmax(1) != labels
    assert torch.equal(left, found.success)


@pytest.mark.parametrize("few", [2, 3])
def test_slots_whose_pair_is_not_known_wait_for_the_search_that_copes(
    few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = []

    def counting(*arguments: Tensor, increase: bool) -> tuple[Tensor, ...]:
        found = best_pair_of_few(*arguments, increase=increase, few=few)
        waited.append(int((~found[3]).sum()))
        return found

    monkeypatch.setattr(jsma_slots, "best_pair_of_few", counting)
    model, images, targets = smooth(16, 4, seed=5), starts(23, (1, 4, 4), seed=6), torch.arange(23) % 4
    expected = jsma(model, images, targets, batch_size=5, **SETTINGS[0])
    assert_equal(in_slots(model, images, targets, 5, **SETTINGS[0]), expected)
    assert sum(waited) > 0


@pytest.mark.parametrize("correlation", [0.0, 0.9, 0.999])
@pytest.mark.parametrize("increase", [True, False])
def test_a_pair_that_is_known_is_the_best(correlation: float, increase: bool) -> None:
    generator = torch.Generator().manual_seed(2)
    alpha, other = torch.randn(2, 40, 300, generator=generator, dtype=torch.float64)
    beta = correlation * alpha + (1 - correlation**2) ** 0.5 * other
    allowed = torch.rand(40, 300, generator=generator) < 0.8
    expected = best_pair(alpha, beta, allowed, increase=increase)
    p, q, valid, known = best_pair_of_few(alpha, beta, allowed, increase=increase)
    share = float(known.double().mean())
    assert share == 1 if correlation == 0 else share > 0.5 if correlation == 0.9 else share < 0.5, "the more opposed"
    for found, wanted in zip((p, q, valid), expected, strict=True):
        assert torch.equal(found[known], wanted[known])


def test_all_samples_are_counted_as_they_end() -> None:
    seen: list[int] = []
    model, images, targets = smooth(16, 4, seed=5), starts(23, (1, 4, 4), seed=6), torch.arange(23) % 4
    attempts = Attempts(model, images, targets, None, Climb(1.0, 12, "logits", 1.0, BOX))
    climb_in_slots(attempts, size=5, on_finished=seen.append, interval=2)
    assert seen == sorted(set(seen))
    assert seen[-1] == 23
    assert len(seen) > 3


class Watch(TorchDispatchMode):
    """Refuses every operator whose result the host would have to wait for, and keeps the shapes of all others."""

    WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "is_nonzero", "equal", "_to_copy")
    WAITING += ("scalar_tensor",)  # a number given to where, which is copied to the device

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[str, tuple[torch.Size, ...]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().removeprefix("aten::").split(".")[0]
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        copies_elsewhere = name == "_to_copy" and (kwargs or {}).get("device") is not None
        by_mask = name.startswith(("index", "_index")) and any(
            leaf.dtype == torch.bool for leaf in tree_leaves(args[1]) if isinstance(leaf, Tensor)
        )
        if (name in self.WAITING and name != "_to_copy") or copies_elsewhere or by_mask:
            raise AssertionError(f"{func} makes the host wait")
        self.shapes.append((str(func), tuple(tensor.shape for tensor in tensors)))
        return func(*args, **(kwargs or {}))


@contextmanager
def watched() -> Iterator[list[tuple[str, tuple[torch.Size, ...]]]]:
    with Watch() as watch:
        yield watch.shapes


@pytest.mark.parametrize("options", SETTINGS)
@pytest.mark.parametrize("channels", [1, 3])
def test_steps_between_two_looks_ask_for_no_result_and_change_no_shape(options: dict[str, Any], channels: int) -> None:
    model, images = smooth(16 * channels, 4, seed=5), starts(23, (channels, 4, 4), seed=6)
    slots = Slots(Attempts(model, images, torch.arange(23) % 4, None, Climb(clip=BOX, **options)), 5)
    slots.step(looked_at=True)
    seen: list[Sequence[Any]] = []
    for _ in range(12):
        with watched() as shapes:
            slots.step(looked_at=False)
        seen.append(shapes)
    assert len(seen[0]) > 50
    assert all(shapes == seen[0] for shapes in seen)
    assert int(slots.waiting) > 5, "slots were filled again meanwhile"


def test_the_watch_notices_what_makes_the_host_wait() -> None:
    x = torch.rand(4)
    asked: list[Callable[[], object]] = [lambda: bool((x > 0).any()), lambda: x[x > 0.5], lambda: x.nonzero()]
    asked += [lambda: float(x.sum()), lambda: torch.where(x > 0.5, x, 0.0)]
    for ask in asked:
        with pytest.raises(AssertionError, match="makes the host wait"), Watch():
            ask()


def test_logits_that_are_not_finite_are_told_at_the_next_look() -> None:
    class Breaking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.calls = linear([[1.0, 2.0], [2.0, -1.0]]), 0

        def forward(self, images: Tensor) -> Tensor:
            self.calls += 1
            return self.inner(images) * (torch.nan if self.calls == 2 else 1.0)

    images = torch.full((3, 1, 1, 2), 0.5, dtype=torch.float64)

    def climb(model: nn.Module) -> AttackResult:
        attempts = Attempts(model, images, torch.zeros(3, dtype=torch.int64), None, Climb(0.01, 2, "logits", 1.0, BOX))
        return climb_in_slots(attempts, size=3, on_finished=None)

    model = Breaking().eval()
    found = climb(model)
    assert model.calls > 2
    assert set(found.stop_reason.tolist()) <= {StopReason.SUCCESS, StopReason.NO_PAIR}, "one bad answer ends nothing"
    always = nn.Sequential(linear([[1.0, 2.0], [2.0, -1.0]]), nn.Threshold(1e9, torch.nan)).eval()
    with pytest.raises(InputError, match="expected finite logits"):
        climb(always)


def test_the_search_of_few_is_exact_up_to_the_features_that_come_into_question() -> None:
    assert best_pair_of_few.__kwdefaults__["few"] == pair_search._FEW, "where the other search looks at layers first"


def test_a_network_that_writes_into_its_input_changes_no_sample() -> None:
    class InPlace(nn.Module):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.network(x.mul_(0.5).add_(0.25))
            return logits

    model, images = smooth(16, 4, seed=5), starts(7, (1, 4, 4), seed=6)
    aside = nn.Sequential(linear(0.5 * torch.eye(16), torch.full((16,), 0.25)), model).eval()
    options = SETTINGS[0]
    found = in_slots(InPlace(model).eval(), images, torch.arange(7) % 4, 3, **options)
    assert_equal(found, in_slots(aside, images, torch.arange(7) % 4, 3, **options))
