"""Carlini and Wagner's attacks towards one of several classes of a linear network, against exact optimisers.

There the samples of a class are a polytope, and the nearest one within the box is a quadratic or a linear programme.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linprog, minimize
from torch import Tensor

from defensive_distillation.attacks import carlini_wagner
from support.networks import linear

STEPS: dict[str, Any] = {"steps": 200, "learning_rate": 0.01}  # short beside 0.05


def halfspaces(weight: Tensor, bias: Tensor, image: Tensor, target: int, confidence: float) -> tuple[Any, Any]:
    """A (K - 1, D) and b (K - 1,): the change δ leads to the target by κ where A δ <= b."""
    rest = torch.arange(len(weight)) != target
    rows = weight[rest] - weight[target]
    return rows.numpy(), (bias[target] - bias[rest] - rows @ image.flatten() - confidence).numpy()


def room(image: Tensor, box: bool) -> list[tuple[float, float]]:
    """How far each feature may move."""
    return [(-value, 1 - value) if box else (-9.0, 9.0) for value in image.flatten().tolist()]


def exact_l2(rows: Any, limits: Any, image: Tensor, *, box: bool = True) -> float:
    found = minimize(
        lambda change: change @ change,
        np.zeros(image.numel()),
        jac=lambda change: 2 * change,
        bounds=room(image, box),
        constraints={"type": "ineq", "fun": lambda change: limits - rows @ change, "jac": lambda change: -rows},
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 500},
    )
    assert found.success
    return float(np.sqrt(found.fun))


def exact_linf(rows: Any, limits: Any, image: Tensor, *, box: bool = True) -> float:
    """The least r with A δ <= b and -r <= δ <= r."""
    count = image.numel()
    one, ones = np.eye(count), np.ones((count, 1))
    above = np.block([[rows, np.zeros((len(rows), 1))], [one, -ones], [-one, -ones]])
    found = linprog(
        np.append(np.zeros(count), 1.0),
        A_ub=above,
        b_ub=np.concatenate([limits, np.zeros(2 * count)]),
        bounds=[*room(image, box), (0, None)],
    )
    assert found.success
    return float(found.fun)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_the_nearest_sample_of_one_of_several_classes_is_found_within_5_per_cent(norm: str) -> None:
    """The last six images reach to the ends of the box, so that the box bounds what may be changed."""
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(4, 27, generator=generator, dtype=torch.float64)
    bias = -(weight * 0.5).sum(1)
    images = torch.rand(6, 3, 3, 3, generator=generator, dtype=torch.float64)
    images = torch.cat((0.4 + 0.2 * images, images * 0.98 + 0.01))
    model = linear(weight, bias)
    targets = (model(images).argmax(1) + 1 + torch.arange(12) % 3) % 4
    confidence = 1.0
    exact = exact_l2 if norm == "l2" else exact_linf
    optimum, free = (
        torch.tensor(
            [
                exact(*halfspaces(weight, bias, x, int(t), confidence), x, box=box)
                for x, t in zip(images, targets, strict=True)
            ]
        )
        for box in (True, False)
    )
    binds = optimum > 1.01 * free
    assert bool(binds[6:].any())
    assert not bool(binds[:6].any())
    found = carlini_wagner(
        model,
        images,
        targets,
        norm=norm,  # type: ignore[arg-type]
        confidence=confidence,
        **STEPS,
    )
    assert bool(found.success.all())
    got = found.l2 if norm == "l2" else found.linf
    # the optimisers are exact to 1e-6, and the attack asks for a hundred roundings more than κ
    assert bool((got >= optimum * (1 - 1e-5)).all())
    assert bool((got <= 1.05 * optimum).all()), got / optimum
