"""The run of a sweep in MLflow shows the sweep by itself, and MLflow knows its data, its networks and its code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from defensive_distillation import artifacts, provenance
from defensive_distillation.artifacts.model import read_model
from defensive_distillation.tracking.records.sweep import MEASURES
from defensive_distillation.tracking.run_tree import RunTree
from support.recording import ARTIFACTS, children, record, values

if TYPE_CHECKING:
    from support.chain import Chain

# MLflow 3.17 beside SQLAlchemy 2.1; Python shows it to no user
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory, chain: Chain) -> RunTree:
    """A sweep of a baseline, T = 20 and a control, recorded twice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(provenance.COMMAND, "defdistill run --temperatures 20")
        tree = RunTree(f"sqlite:///{tmp_path_factory.mktemp('database')}/mlflow.db", "digits-1", alone=True)
        for name in (*ARTIFACTS, *ARTIFACTS):
            record(chain, name, tree)
    return tree


def test_the_sweeps_run_has_its_measures_by_temperature(sweep: RunTree) -> None:
    parent, below = sweep.client.get_run(sweep.parent_id), children(sweep)
    found = values(sweep.client, parent)
    steps = {"baseline": (0, ""), "T=20": (20, ""), "control T=20": (20, "control/")}
    expected: dict[str, dict[int, float]] = {}
    for label, (step, prefix) in steps.items():
        for name in MEASURES:
            if name in below[label].data.metrics:
                expected.setdefault(prefix + name, {})[step] = below[label].data.metrics[name]
    assert {name: dict(points) for name, points in found.items()} == expected
    assert all(len(points) == len(dict(points)) for points in found.values())
    assert set(found["accuracy"]) == {(0, expected["accuracy"][0]), (20, expected["accuracy"][20])}
    assert "control/jsma_success/scaled" in found


def test_its_description_is_what_was_found_and_the_table(sweep: RunTree, chain: Chain) -> None:
    said = sweep.client.get_run(sweep.parent_id).data.tags["mlflow.note.content"]
    found = json.loads(Path(chain.place("report"), "sweep.json").read_text())
    headline, table, *how = said.split("\n\n")
    assert "mlflow.pyfunc.load_model" in how[-1]
    assert headline == found["findings"]["headline"]
    head, rule, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.split("\n")]
    assert {len(line) for line in (head, rule, *rows)} == {len(head)}
    assert [row[0] for row in rows] == ["baseline", "T=20", "control T=20"]
    assert [row[head.index("accuracy")] for row in rows] == [f"{100 * row['accuracy']:.1f} %" for row in found["rows"]]
    assert not [column for column in zip(*rows, strict=True) if not any(column)]


def test_runs_tell_of_their_data_command_commit_and_user(sweep: RunTree, chain: Chain) -> None:
    digest = artifacts.file_digest(Path(chain.place("dataset"), artifacts.MANIFEST))
    for run in (sweep.client.get_run(sweep.parent_id), *children(sweep).values()):
        (given,) = run.inputs.dataset_inputs
        assert (given.dataset.name, given.dataset.digest) == ("digits", digest[:8])
        assert json.loads(given.dataset.profile) == {"train_images": 300, "test_images": 60, "classes": 10}
        assert run.data.tags["mlflow.source.name"] == "defdistill run --temperatures 20"
        assert run.data.tags["mlflow.source.type"] == "LOCAL"
        assert run.data.tags["mlflow.source.git.commit"] == provenance.commit()
        assert run.data.tags["mlflow.user"] == provenance.user()


_LOAD = """
import sys
import mlflow
import numpy as np
images = np.load(sys.argv[1])
for model in sys.argv[2:]:
    np.save(f"{sys.argv[1]}.{model}.npy", mlflow.pyfunc.load_model(f"models:/{model}").predict(images))
"""


def test_networks_are_models_of_mlflows_that_load_without_pickle(sweep: RunTree, chain: Chain, tmp_path: Path) -> None:
    runs = children(sweep)
    logged = {model.name: model for model in sweep.client.search_logged_models([sweep.experiment_id])}
    assert set(logged) == {"baseline", "T=20"}
    images, file = np.random.default_rng(0).random((3, 1, 28, 28), np.float32), tmp_path / "images.npy"
    np.save(file, images)
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _LOAD, str(file), *(model.model_id for model in logged.values())],
        env={**os.environ, "MLFLOW_TRACKING_URI": sweep.uri},
        check=True,
        capture_output=True,
    )
    for name, network in (("baseline", "teacher-1"), ("T=20", "student")):
        model = logged[name]
        assert (str(model.status), model.source_run_id) == ("READY", runs[name].info.run_id)
        place = Path(model.artifact_location.removeprefix("file://"))
        kinds = {path.suffix for path in place.rglob("*") if path.is_file()}
        assert kinds == {"", ".json", ".safetensors"}
        logits = torch.from_numpy(np.load(f"{file}.{model.model_id}.npy"))
        with artifacts.opened(chain.place(network), "model") as artifact, torch.no_grad():
            assert torch.equal(logits, read_model(artifact)(torch.from_numpy(images)))
    outputs = sweep.client.get_run(sweep.parent_id).outputs.model_outputs
    assert {one.model_id for one in outputs} == {model.model_id for model in logged.values()}


def test_a_library_has_no_command_and_a_commit_is_the_repositorys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(provenance.COMMAND, raising=False)
    assert provenance.command() == ""
    monkeypatch.setattr(sys, "argv", ["x", "run", "--set", "report.title=two words"])
    monkeypatch.setenv(provenance.COMMAND, "")
    provenance.told_to_children("defdistill")
    assert provenance.command() == "defdistill run --set 'report.title=two words'"
    monkeypatch.setenv(provenance.COMMIT, "0123abc")
    provenance.commit.cache_clear()
    try:
        assert provenance.commit() == "0123abc"
    finally:
        provenance.commit.cache_clear()
