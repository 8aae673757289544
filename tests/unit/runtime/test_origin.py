"""Where the inputs of an evaluation lie, as one text in Kubeflow's metadata."""

from __future__ import annotations

import pytest

from defensive_distillation.runtime.kubeflow.artifact import inputs_of, origin

RUN = "minio://mlpipeline/v2/artifacts/digits/ea5e723a"
EVALUATION = f"{RUN}/evaluate/67404b95/evaluation"
INPUTS = {
    "attacks": [f"{RUN}/attack/c892bb5d/samples", f"{RUN}/attack-2/03716ef9/samples"],
    "model": [f"{RUN}/train-student/4d912e5f/model"],
}


def test_places_in_the_run_of_the_artifact_are_told_from_there() -> None:
    told = origin(INPUTS, EVALUATION)
    assert (
        told == "attacks=attack/c892bb5d/samples attacks=attack-2/03716ef9/samples model=train-student/4d912e5f/model"
    )
    assert inputs_of(told, EVALUATION) == INPUTS


@pytest.mark.parametrize(
    "elsewhere",
    [
        "minio://mlpipeline/v2/artifacts/digits/29b1a88e/prepare-data/6a4b325d/dataset",
        "/here/with a blank=%/dataset",
        "oci://registry.example/dataset",
        "s3://bucket/über/dataset",
    ],
)
def test_places_elsewhere_are_told_whole(elsewhere: str) -> None:
    """Kubeflow's cache hands on what another run has made."""
    inputs = {"dataset": [elsewhere], **INPUTS}
    assert inputs_of(origin(inputs, EVALUATION), EVALUATION) == inputs
