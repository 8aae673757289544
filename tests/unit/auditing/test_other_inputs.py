"""An audit of what is no image: vectors, series, many channels; and of images on the grid of 256 values."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from defensive_distillation import audit
from defensive_distillation.errors import InputError
from support.networks import smooth

SMALL: dict[str, Any] = {"steps": 20, "learning_rate": 0.05, "search_steps": 2}
SETTINGS = {"cw": {**SMALL, "sources": 4}, "square": {"queries": 20}, "pgd": {"steps": 5, "rivals": 1}}
QUICK: dict[str, Any] = {"half_width": 0.2, "settings": SETTINGS, "progress": False}


class Series(nn.Module):
    """A convolution over moments, which takes nothing but (N, C, L)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.convolution, self.last = nn.Conv1d(2, 4, 3), nn.Linear(4 * 8, 3)
        with torch.no_grad():
            self.last.weight.mul_(6)

    def forward(self, series: Tensor) -> Tensor:
        logits: Tensor = self.last(self.convolution(series).tanh().flatten(1))
        return logits


class Flat(nn.Module):
    """Of inputs of one shape alone."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape, self.network = shape, smooth(math.prod(shape), 3, 2).float()

    def forward(self, inputs: Tensor) -> Tensor:
        assert inputs.shape[1:] == self.shape
        logits: Tensor = self.network(inputs)
        return logits


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (Flat((20,)), (20,)),
        (Series(), (2, 10)),
        (Flat((4, 2, 5)), (4, 2, 5)),
        (Flat((2, 3, 2, 2)), (2, 3, 2, 2)),
    ],
    ids=["vectors", "series", "four channels", "videos"],
)
def test_what_is_no_image_is_audited_as_it_is_and_its_page_has_no_pictures(
    model: nn.Module, shape: tuple[int, ...], tmp_path: Path
) -> None:
    inputs = torch.rand(12, *shape, generator=torch.Generator().manual_seed(5))
    labels = model(inputs).argmax(1)
    found = audit(model, inputs, labels, **QUICK)
    assert found.accuracy == 1
    assert found.evaluation.dataset.image_shape == shape
    ran = {name for name, _ in found.evaluation.by_attack}
    assert {"jsma", "fgsm", "pgd", "square", "cw_l2", "cw_l0", "cw_linf", "noise"} <= ran
    assert found.evaluation.distances[0].success_rate > 0
    assert all(one.in_eight_bits is None for _, one in found.evaluation.by_attack)
    assert found.evaluation.bounded[0].epsilons == (0.1, 0.2, 0.3, 1.0)
    page = found.to_html(tmp_path / "audit.html").read_text().replace("\N{NO-BREAK SPACE}", " ")
    assert " × ".join(map(str, shape)) in page
    assert "Input shape" in page
    assert json.loads(found.to_json())["evaluation"]["dataset"]["image_shape"] == list(shape)


def test_inputs_that_are_no_images_are_not_rounded() -> None:
    """A model that tells 1e-4 apart, which 8 bits would not."""
    inputs = torch.tensor([[0.5, 0.5], [0.5001, 0.5], [0.5, 0.4999], [0.5002, 0.5]])

    def model(x: Tensor) -> Tensor:
        z = 1e5 * (x[:, 0] - x[:, 1] - 5e-5)
        return torch.stack([torch.zeros_like(z), z], dim=1)

    found = audit(model, inputs, torch.tensor([0, 1, 1, 1]), attacks="noise", **QUICK)
    assert found.accuracy == 1


def test_samples_on_a_grid_are_refused_of_what_is_no_image() -> None:
    with pytest.raises(InputError, match=r"on_grid: expected images \(N, C, H, W\) with C 1 or 3, got .* \(12, 20\)$"):
        audit(Flat((20,)), torch.rand(12, 20), torch.zeros(12), on_grid=True, **QUICK)


def test_a_model_that_takes_no_form_of_three_dimensions_is_refused_as_of_grey_images() -> None:
    with pytest.raises(InputError, match=r"model: expected one that takes images .* of 1×2×9"):
        audit(Series(), torch.rand(12, 2, 9), torch.zeros(12), **QUICK)


def test_an_audit_says_how_many_samples_hold_in_8_bits_and_on_the_grid_all_do() -> None:
    images = torch.randint(0, 256, (12, 1, 5, 4), generator=torch.Generator().manual_seed(6)).to(torch.uint8)
    model = Flat((1, 5, 4))
    labels = model(images.float() / 255).argmax(1)
    plain = audit(model, images, labels, **QUICK)
    distance = plain.evaluation.distance("cw_l2")
    assert distance is not None
    assert distance.in_eight_bits is not None
    assert distance.in_eight_bits < 1
    assert "of the samples hold when saved in 8 bits" in str(plain)
    gridded = audit(model, images, labels, on_grid=True, **QUICK)
    shares = {one.in_eight_bits for _, one in gridded.evaluation.by_attack}
    assert shares <= {1.0, None}
    assert 1.0 in shares
    assert "in 8 bits" not in str(gridded)
    assert gridded.evaluation.distances[0].success_rate >= 0.9 * plain.evaluation.distances[0].success_rate
