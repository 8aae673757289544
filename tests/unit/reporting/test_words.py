"""Numbers and names as a reader meets them."""

from __future__ import annotations

import pytest

from defensive_distillation.model_id import ModelId
from defensive_distillation.reporting.findings.headline import headline
from defensive_distillation.reporting.words import radius, title
from support.evaluations import evaluation


@pytest.mark.parametrize(
    ("epsilon", "said"),
    [
        (0.3, "0.3"),
        (0.05, "0.05"),
        (8 / 255, "8/255"),
        (2 / 255, "2/255"),
        (51 / 255, "0.2"),
        (1.0, "1"),
        (1 / 3, "85/255"),
    ],
)
def test_a_radius_is_said_in_255ths_where_it_is_one_and_no_short_decimal(epsilon: float, said: str) -> None:
    assert radius(epsilon) == said


def test_a_report_is_called_after_the_data_and_the_network_that_was_imported() -> None:
    network = evaluation(20.0, probabilities=1, logits=60, scaled=80)
    data = network.dataset.model_copy(update={"name": "digits"})
    ours = network.model_copy(update={"dataset": data, "model": ModelId(role="imported", label="ours", title="ours")})
    assert title([network.model_copy(update={"dataset": data})]) == (
        "Defensive distillation on scikit-learn's handwritten digits"
    )
    assert title([ours]) == "ours on scikit-learn's handwritten digits"
    assert title([network.model_copy(update={"dataset": data.model_copy(update={"name": "photos"})})]).endswith(
        "on photos"
    )
    assert headline([ours]).startswith("ours classifies ")
    assert headline([ours]).endswith("an attack that climbs them sees less than there is.")
