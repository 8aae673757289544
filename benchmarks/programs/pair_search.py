"""The pair search alone, sample by sample: its growth with the number of features, also where α and -β are opposed."""

from __future__ import annotations

from collections.abc import Callable

import torch

from defensive_distillation.attacks.pair_search import best_pair

FEATURES = (784, 3_072, 150_528, 268_203)
CORRELATIONS = (0.0, 0.9, 0.99, 0.99999)  # of α with β: the gain of a feature, α, is opposed to its drop, -β
SAMPLES, TIMES = 3, 10  # and how often each is searched in a round


def prepare(name: str, *, features: int) -> Callable[[], dict[str, float]]:
    """`name` is the correlation of α with β; it has run once."""
    correlation = float(name)
    generator = torch.Generator().manual_seed(3)
    alpha, other = torch.randn(2, SAMPLES, features, generator=generator)
    beta = correlation * alpha + (1 - correlation**2) ** 0.5 * other
    allowed = torch.ones(SAMPLES, features, dtype=torch.bool)

    def run() -> dict[str, float]:
        for number in range(SAMPLES * TIMES):
            rows = slice(number % SAMPLES, number % SAMPLES + 1)
            best_pair(alpha[rows], beta[rows], allowed[rows])
        return {"work": float(SAMPLES * TIMES)}

    run()
    return run
