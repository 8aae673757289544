"""What MLflow calls inputs and logged models: the dataset that a run rests on, and the network that it made."""

from __future__ import annotations

import json
import platform
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from defensive_distillation.artifacts import Artifact
from defensive_distillation.evaluation.results import DatasetFacts
from defensive_distillation.model_id import ModelId
from defensive_distillation.tracking.client import reported

if TYPE_CHECKING:
    from defensive_distillation.tracking.mlflow_runs import Run

DIGEST = "defdistill.model_digest"  # tag of a logged model: the digest of our artifact
ARTIFACT = "artifact"  # folder of our artifact in that of a model of MLflow's
_SHOWN = 8  # characters of a dataset's digest: its name in MLflow, the whole stands in a tag


def log_dataset(run: Run, facts: DatasetFacts, location: str = "") -> None:
    """Logs the dataset that a run rests on, once.

    Args:
        run: of a sweep or a network.
        facts: name, digest, and how many images of which shape.
        location: of the artifact, '' where it is not known.

    Raises:
        TrackingError: if MLflow did not take it.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    shape = [-1, *facts.image_shape]
    dataset = Dataset(
        name=facts.name,
        digest=facts.digest[:_SHOWN],
        source_type="s3" if location.startswith("s3://") else "local",
        source=json.dumps({"uri": location}),
        schema=json.dumps({"mlflow_tensorspec": {"features": _tensors(shape), "targets": None}}),
        profile=json.dumps(
            {"train_images": facts.train_images, "test_images": facts.test_images, "classes": len(facts.classes)}
        ),
    )
    with reported(run.uri):
        known = run.client.get_run(run.run_id).inputs.dataset_inputs
        if not any(one.dataset.digest == dataset.digest for one in known):
            run.client.log_inputs(
                run.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training and attacks")])]
            )


def log_model(run: Run, sweep: Run, experiment_id: str, model: ModelId, artifact: Artifact) -> None:
    """Logs a network with its weights, so that `mlflow.pyfunc.load_model('models:/ID')` loads it without pickle.

    It takes images (N, C, H, W), float32 in [0, 1], and returns logits (N, K).

    Args:
        run: of the network.
        sweep: that it belongs to.
        experiment_id: that the run is in.
        model: which network it is.
        artifact: of its training or its import.

    Raises:
        TrackingError: if MLflow did not take it.
    """
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    with reported(run.uri), tempfile.TemporaryDirectory(prefix="defdistill-") as folder:
        for known in run.client.search_logged_models(
            [experiment_id], f"source_run_id = '{run.run_id}' AND tags.`{DIGEST}` = '{artifact.digest}'"
        ):
            if known.status == LoggedModelStatus.READY:
                return
            run.client.delete_logged_model(known.model_id)  # of a process that was killed on the way
        made = run.client.create_logged_model(
            experiment_id,
            name=re.sub(r"[^\w=-]+", "-", model.label),
            source_run_id=run.run_id,
            tags={DIGEST: artifact.digest, "defdistill.artifact": artifact.location},
            params={"temperature": f"{model.temperature:g}", "defense": model.defense or "none", "role": model.role},
            model_type="classifier",
        )
        _write(Path(folder), made.model_id, run.run_id, artifact)
        run.client.log_model_artifacts(made.model_id, folder)
        run.client.finalize_logged_model(made.model_id, LoggedModelStatus.READY)
        for one in {run.run_id, sweep.run_id}:
            run.client.log_outputs(one, [LoggedModelOutput(made.model_id, 0)])


def _write(folder: Path, model_id: str, run_id: str, artifact: Artifact) -> None:
    """A model in MLflow's form: our artifact, and a file that says by which code it is loaded."""
    import yaml
    from mlflow.version import VERSION

    shutil.copytree(artifact.folder, folder / ARTIFACT)
    signature = {
        "inputs": _tensors([-1, *artifact.facts["image_shape"]]),
        "outputs": _tensors([-1, artifact.facts["num_classes"]]),
    }
    loaded_by = {
        "loader_module": "defensive_distillation.tracking.registry.loader",
        "data": ARTIFACT,
        "python_version": platform.python_version(),
    }
    content: Mapping[str, Any] = {
        "flavors": {"python_function": loaded_by},
        "mlflow_version": VERSION,
        "model_id": model_id,
        "run_id": run_id,
        "signature": signature,
    }
    (folder / "MLmodel").write_text(yaml.safe_dump(content))


def _tensors(shape: list[int]) -> str:
    """MLflow's description of one array of float32; −1 is any number."""
    return json.dumps([{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": shape}}])
