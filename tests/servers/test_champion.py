"""A run becomes the champion in a real MLflow, gates find it there, and its models load from there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from defensive_distillation import artifacts
from defensive_distillation.artifacts.dataset import read_dataset
from defensive_distillation.artifacts.model import read_model
from defensive_distillation.errors import TrackingError
from defensive_distillation.networks.architectures import as_input
from defensive_distillation.tracking.client import connect
from defensive_distillation.tracking.registry.champion import EVALUATIONS, RUN, Registry
from defensive_distillation.tracking.run_tree import RunTree
from defensive_distillation_pipelines.commands import cli
from support import mlflow_server
from support.chain import lay_out
from support.comparisons.measured import rewritten
from support.recording import ARTIFACTS, EVALUATED, finished_run, record

if TYPE_CHECKING:
    from support.chain import Chain

# MLflow 3.17 beside SQLAlchemy 2.1; Python shows it to no user
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"),
]

RUN_ID = "0d3c6a54-7be4-4d0e-8a3f-5f1f6a3f0c11"  # as Kubeflow names a run
SWEEP = "defensive-distillation-digits"
MODELS = [f"{SWEEP}-baseline", f"{SWEEP}-T=20"]
# what was printed, in a process that has nothing of this project; an audit hook sees every name that pickle looks up
LOAD = """
import sys
import mlflow, mlflow.pytorch, mlflow.pyfunc
import numpy as np
import torch, torch.export.pt2_archive._package
seen = []
sys.addaudithook(lambda event, given: seen.append(given) if event.startswith("pickle") else None)
name, images = sys.argv[1:]
images = np.load(images)
logits = mlflow.pytorch.load_model(f"models:/{name}@champion")(torch.from_numpy(images)).detach().numpy()
assert np.array_equal(mlflow.pyfunc.load_model(f"models:/{name}@champion").predict(images), logits)
assert seen == [], seen
assert not [module for module in sys.modules if module.startswith("defensive_distillation")]
print(logits.tolist())
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, chain: Chain) -> Iterator[str]:
    """A server that knows a sweep as a cluster has recorded it."""
    with mlflow_server.running(tmp_path_factory.mktemp("server")) as address:
        tree = RunTree(address, RUN_ID, alone=True)
        for name in ARTIFACTS:
            record(chain, name, tree)
        record(chain, "attack", RunTree(address, RUN_ID, rerun="rerun attack", alone=True))
        yield address


@pytest.fixture
def tracked(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The environment names the server, and the working folder has no runs."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    monkeypatch.chdir(tmp_path)
    return server


def call(capsys: pytest.CaptureFixture[str], *command: str) -> tuple[int, str, str]:
    """Exit code, output and error of a command."""
    code = 0
    try:
        cli.main(list(command))
    except SystemExit as ended:
        code = int(ended.code or 0)
    said = capsys.readouterr()
    return code, said.out, said.err


def gate(chain: Chain, student: str, *options: str) -> list[str]:
    evaluations = [chain.place("evaluation-baseline"), student]
    return ["stage", "gate", "--evaluations", *evaluations, "--report", chain.place("report"), *options]


def test_a_run_is_promoted_and_gates_compare_with_it(
    tracked: str, chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect(tracked)
    same = chain.place("evaluation")
    assert call(capsys, "promote", "--list") == (0, "there is no champion yet\n", "")
    assert call(capsys, *gate(chain, same, "--output", "first"))[0] == 0
    assert json.loads(Path("first/gate.json").read_text())["sentence"].startswith("There is no champion")

    code, told, _ = call(capsys, "promote", RUN_ID[:8])
    assert code == 0
    assert f"{RUN_ID} is now the champion of digits: {SWEEP}, version 1\n" in told
    assert all(f"  {name}" in told for name in MODELS)
    entries = {entry.name: client.get_model_version_by_alias(entry.name, "champion") for entry in registered(tracked)}
    assert sorted(entries) == sorted([SWEEP, *MODELS])

    code, told, _ = call(capsys, "promote", RUN_ID)
    assert (code, f"{RUN_ID} is already the champion" in told) == (0, True)
    assert {entry.name: len(versions(tracked, entry.name)) for entry in registered(tracked)} == dict.fromkeys(
        entries, 1
    )

    # the first evaluations and artifacts may be gone
    (parent,) = {version.tags[RUN] for version in entries.values()}
    arrays = {"correct": np.zeros(60, dtype=np.bool_)}
    worse = rewritten(same, tmp_path / "worse", arrays, accuracy=0.0)
    monkeypatch.setenv("KFP_RUN_ID", "the-next-one")
    assert call(capsys, *gate(chain, same, "--output", "second"))[0] == 0
    manifest = artifacts.read_manifest("second")
    promoted = {artifacts.file_digest(Path(chain.place(name), artifacts.MANIFEST)) for name in EVALUATED}
    assert set(manifest.inputs["champion"]) == promoted
    code, _, said = call(capsys, *gate(chain, worse, "--output", "third"))
    assert code == 1
    assert "T = 20, accuracy: 0 % against 6" in said

    # the run that failed its gate says so, and its report begins with it
    run = RunTree(tracked, "the-next-one", alone=True)
    found = client.get_run(run.parent_id)
    assert (found.data.tags["defdistill.gate"], found.info.status) == ("failed", "FAILED")
    assert found.data.tags["defdistill.gate.why"] in said
    page = Path(client.download_artifacts(run.parent_id, "report/report.html", str(tmp_path)))
    assert page.read_bytes() == Path("third/report.html").read_bytes()
    assert parent != run.parent_id


def test_promoted_models_load_without_pickle_and_without_this_package(
    tracked: str, chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(capsys, "promote", RUN_ID)[0] == 0
    with artifacts.opened(chain.place("dataset"), "dataset") as dataset:
        images = as_input(read_dataset(dataset).test_images[:5])
    with artifacts.opened(chain.place("student"), "model") as model:
        expected = read_model(model)(images)
    np.save(tmp_path / "images.npy", images.numpy())
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    command = [sys.executable, "-W", "ignore", "-c", LOAD, MODELS[1], str(tmp_path / "images.npy")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert np.allclose(json.loads(done.stdout), expected.numpy(), atol=1e-5)


def test_an_interrupted_promotion_leaves_the_old_champion(
    server: str, chain: Chain, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    assert call(capsys, "promote", RUN_ID)[0] == 0
    tree = RunTree(server, "other", alone=True)
    for name in ("teacher-1", "student", *EVALUATED):
        record(chain, name, tree)
    code, _, said = call(capsys, "promote", "other")
    assert (code, said.count("\n")) == (2, 1)
    assert "--experiment: expected the name in the settings of other, which it does not tell" in said
    with mlflow_server.Gate(server) as between:
        between.shut_at("/api/2.0/mlflow/registered-models/alias", 2)  # the first asks which is the champion
        monkeypatch.setenv("MLFLOW_TRACKING_URI", between.address)
        code, _, said = call(capsys, "promote", "other", "--experiment", "digits")
        assert (code, said.count("\n")) == (1, 1), said
    champion = Registry.of(server).champion("digits")
    assert champion is not None
    assert champion.tags["defdistill.pipeline_run"] == RUN_ID
    assert len(versions(server, SWEEP)) == 2, "all but the alias was done"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    assert call(capsys, "promote", "other", "--experiment", "digits")[0] == 0
    moved = Registry.of(server).champion("digits")
    assert moved is not None
    assert (moved.tags["defdistill.pipeline_run"], len(versions(server, SWEEP))) == ("other", 2)


def test_runs_here_and_on_a_cluster_are_compared_alike(
    tracked: str, chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lay_out(chain, tmp_path / "workspace", "digits-1a2b3c")

    code, told, _ = call(capsys, "compare", "digits-1a", RUN_ID, "--json")
    assert code == 0
    found = json.loads(told)
    assert (found["reference"], [one["run"] for one in found["runs"]]) == ("digits-1a2b3c", [RUN_ID])
    changes = found["runs"][0]["changes"]
    assert {change["model"] for change in changes} == {"baseline", "T=20", "control T=20"}
    assert {change["change"] for change in changes} == {"same"}
    assert all(change["paired"] for change in changes if change["measure"] != "masked")

    code, told, _ = call(capsys, "compare", "latest", RUN_ID, "digits-1a2b3c")
    assert code == 0
    assert f"{RUN_ID} beside digits-1a2b3c" in told
    assert told.count("JSMA success on logits") == 6
    assert "nothing differs beyond chance" in call(capsys, "compare", "latest", RUN_ID, "--changed")[1]

    code, _, said = call(capsys, "compare", "latest", "nobody")
    assert (code, said.count("\n")) == (2, 1)
    assert "in MLflow, got 'nobody'" in said


def test_a_run_of_this_machine_is_promoted_from_its_workspace(
    chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = finished_run(chain, tmp_path / "workspace", "digits-1a2b3c")
    workspace = run.workspace
    code, told, said = call(capsys, "promote", "latest", "--workspace", str(workspace.root))
    assert (code, said) == (0, "")
    assert f"digits-1a2b3c is now the champion of digits: {SWEEP}, version 1\n" in told
    assert (
        f"{SWEEP}: digits-1a2b3c, version 1\n"
        == call(capsys, "promote", "--list", "--workspace", str(workspace.root))[1]
    )
    listed = call(capsys, "promote", "--list", "--json", "--workspace", str(workspace.root))[1]
    assert json.loads(listed) == {"champions": [{"name": SWEEP, "version": "1", "run": run.name}]}
    again = json.loads(call(capsys, "promote", "latest", "--json", "--workspace", str(workspace.root))[1])
    assert (again["name"], again["version"], again["run"], again["new"]) == (SWEEP, "1", run.name, False)
    assert [model["model"] for model in again["models"]] == ["baseline", "T=20"]


def test_a_champion_that_was_tampered_with_is_refused(
    tracked: str, chain: Chain, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(capsys, "promote", RUN_ID)[0] == 0
    champion = Registry.of(tracked).champion("digits")
    assert champion is not None
    connect(tracked).set_model_version_tag(champion.name, champion.version, EVALUATIONS, "champion")
    code, _, said = call(capsys, *gate(chain, chain.place("evaluation"), "--output", "gate"))
    assert (code, said.count("\n")) == (2, 1)
    assert "its evaluations in MLflow are not those that were promoted; promote again" in said


def test_a_server_that_is_down_is_no_missing_champion(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrackingError, match="did not"):
        Registry.of("http://127.0.0.1:9").evaluations("digits", tmp_path)


def registered(uri: str) -> list[object]:
    return list(connect(uri).search_registered_models("name LIKE 'defensive-distillation-digits%'"))


def versions(uri: str, name: str) -> list[object]:
    return list(connect(uri).search_model_versions(f"name = '{name}'"))
