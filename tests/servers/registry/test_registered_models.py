"""A model of MLflow's registry is imported, attacked and evaluated, or refused with what to do."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn

from defensive_distillation import artifacts
from defensive_distillation.artifacts.dataset import read_dataset
from defensive_distillation.artifacts.model import read_model
from defensive_distillation.config import AttackConfig, EvaluateConfig, ImportModelConfig, PrepareDataConfig
from defensive_distillation.errors import InputError, TrackingError
from defensive_distillation.networks.architectures import as_input
from defensive_distillation.runtime import origin
from defensive_distillation.stages import attack, evaluate, import_model, prepare_data
from defensive_distillation.tracking.client import connect
from defensive_distillation.tracking.run_tree import RunTree
from defensive_distillation_pipelines.commands import cli
from defensive_distillation_pipelines.commands.local.audit import settings_of
from defensive_distillation_pipelines.local.run_folder import default_name
from defensive_distillation_pipelines.local.workspace import Workspace
from support.datasets import two_sides
from support.recording import finished_run

if TYPE_CHECKING:
    from support.chain import Chain

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"),
]

STUDENT = "defensive-distillation-digits-T=20"


@pytest.fixture(scope="module")
def workspace(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a finished run that was promoted, and models of others beside it in its MLflow."""
    run, tree = finished_run(chain, tmp_path_factory.mktemp("work") / "workspace", "digits-1a2b3c")
    made = run.workspace
    cli.main(["promote", "latest", "--workspace", str(made.root)])
    folder = made.root / "others"
    for name, form in (("exported", "pt2"), ("pickled", "pickle")):
        logged(made.tracking_uri, tree, name, form, folder / name)
    return made


def logged(uri: str, tree: RunTree, name: str, form: str, folder: Path) -> None:
    """Registers a network as others do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.pytorch

        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).eval()
        example = np.zeros((2, 1, 28, 28), np.float32)
        mlflow.pytorch.save_model(
            network, str(folder), serialization_format=form, input_example=example, pip_requirements=["torch"]
        )
    client = connect(uri)
    client.log_artifacts(tree.parent_id, str(folder), name)
    client.create_registered_model(name)
    client.create_model_version(name, f"runs:/{tree.parent_id}/{name}", tree.parent_id)


@pytest.fixture
def tracked(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", workspace.tracking_uri)
    return workspace.tracking_uri


def imported(chain: Chain, folder: Path, **settings: object) -> artifacts.Artifact:
    config = ImportModelConfig(**settings)  # type: ignore[arg-type]
    return import_model.run(config, dataset=chain.place("dataset"), output=str(folder / "model"))


def test_a_promoted_model_is_audited_by_one_command_as_it_was_promoted(
    workspace: Workspace, chain: Chain, capsys: pytest.CaptureFixture[str]
) -> None:
    model = f"models:/{STUDENT}@champion"
    command = ["audit", "--model", model, "--data", "digits", "--attacks", "fgsm,noise", "--half-width", "0.2"]
    command += ["--set", "evaluate.gradient_samples=5", "--workspace", str(workspace.root)]
    command += ["--set", "prepare_data.test_limit=60", "--set", "prepare_data.train_limit=240"]
    cli.main(command)
    assert f"{model} is version 1\n" in capsys.readouterr().out
    (run,) = (workspace.root / "runs").glob("audit-digits-*")
    settings = json.loads((run / "config.json").read_text())["import_model"]
    assert settings["model"] == f"models:/{STUDENT}/1"
    assert settings["sha256"] == artifacts.stored(chain.place("student")).digest
    (row,) = json.loads((run / "report" / "sweep.json").read_text())["rows"]
    assert row["model"] == f"{STUDENT} v1"
    promoted = artifacts.read_manifest(chain.place("student")).facts["test_accuracy"]
    assert row["accuracy"] == pytest.approx(promoted)


def test_a_promoted_model_is_the_same_network_and_needs_the_registry_no_more(
    tracked: str, chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = imported(chain, tmp_path, model=f"models:/{STUDENT}@champion")
    assert made.manifest.config["model"] == f"models:/{STUDENT}/1"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    inputs = {"dataset": chain.place("dataset"), "model": made.location}
    with artifacts.opened(inputs["dataset"], "dataset") as found:
        images = as_input(read_dataset(found).test_images)
    with artifacts.opened(chain.place("student"), "model") as student:
        assert torch.equal(read_model(made)(images), read_model(student)(images))
    few = AttackConfig(attacks=("fgsm",), bounded={"samples": 9})
    attacks = attack.run(few, **inputs, output=str(tmp_path / "attack")).location
    found = evaluate.run(EvaluateConfig(gradient_samples=5), **inputs, attacks=[attacks], output=str(tmp_path / "e"))
    assert found.facts["evaluation"]["gradient_check"]["slope"] == pytest.approx(1, rel=0.1)


def test_a_graph_that_others_exported_is_imported_where_it_is_trusted(
    tracked: str, chain: Chain, tmp_path: Path
) -> None:
    made = imported(chain, tmp_path, model="models:/exported/1", trust=True)
    torch.manual_seed(0)
    expected = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    images = torch.rand(5, 1, 28, 28, requires_grad=True)
    assert torch.equal(read_model(made)(images), expected(images))
    (gradient,) = torch.autograd.grad(read_model(made)(images)[:, 3].sum(), images)
    torch.testing.assert_close(gradient[0].flatten(), expected[1].weight[3])


def test_an_alias_that_has_moved_is_another_run(workspace: Workspace) -> None:
    command = ["audit", "--model", "models:/exported@best", "--data", "digits", "--trust"]
    arguments = cli.command_parser().parse_args([*command, "--workspace", str(workspace.root)])
    client = connect(workspace.tracking_uri)
    first = client.get_model_version("exported", "1")
    client.set_registered_model_alias("exported", "best", "1")
    before = settings_of(arguments)
    second = client.create_model_version("exported", first.source, first.run_id)
    assert default_name(settings_of(arguments)) == default_name(before)
    client.set_registered_model_alias("exported", "best", second.version)
    after = settings_of(arguments)
    assert (before.import_model.model, after.import_model.model) == ("models:/exported/1", "models:/exported/2")
    assert default_name(after) != default_name(before)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": f"models:/{STUDENT}x@champion"}, f"got '{STUDENT}x'; it has {STUDENT}"),
        ({"model": f"models:/{STUDENT}@best"}, f"an alias of {STUDENT}, which has champion, got 'best'$"),
        ({"model": f"models:/{STUDENT}/7"}, f"a version of {STUDENT}, which has 1, got 7$"),
        ({"model": "models:/defensive-distillation-digits@champion"}, f"is a sweep; its models are {STUDENT}, "),
        ({"model": "models:/exported/1"}, r"got models:/exported/1 \(model.pt2\), a graph that others exported, which"),
        ({"model": "models:/pickled/1"}, r"\(model.pth\), which is pickled, and runs code when it is read; log it"),
        ({"model": "models:/pickled/1", "trust": True}, "a checkpoint of tensors alone, got: .*; log it with mlflow"),
        (
            {"model": f"models:/{STUDENT}/1", "sha256": "0" * 64},
            "expected the file with SHA-256 000.*: it was changed$",
        ),
    ],
)
def test_what_the_registry_does_not_have_or_others_pickled_is_refused_in_a_line(
    tracked: str, chain: Chain, tmp_path: Path, settings: dict[str, object], said: str
) -> None:
    with pytest.raises(InputError, match=said) as refused:
        imported(chain, tmp_path, **settings)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "model").exists()


def test_a_model_for_images_of_another_shape_is_refused(tracked: str, tmp_path: Path) -> None:
    images = PrepareDataConfig(source=str(two_sides(tmp_path / "images", "RGB")), image_size=9)
    dataset = prepare_data.run(images, output=str(tmp_path / "dataset")).location
    for model, trust in ((f"models:/{STUDENT}/1", False), ("models:/exported/1", True)):
        config = ImportModelConfig(model=model, trust=trust)
        with pytest.raises(InputError, match=r"expected one that takes images of 3×9×9, got .*, which takes 1×28×28$"):
            import_model.run(config, dataset=dataset, output=str(tmp_path / "model"))


def test_a_registry_that_is_none_or_does_not_answer_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ImportModelConfig(model=f"models:/{STUDENT}@champion")
    with pytest.raises(InputError, match=r"expected MLFLOW_TRACKING_URI to name the registry that has .*, got none$"):
        origin.settled(config, "")
    with pytest.raises(InputError, match="got no database at /"):
        origin.settled(config, f"sqlite:///{tmp_path}/mlflow.db")
    assert not (tmp_path / "mlflow.db").exists()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrackingError, match=r"127.0.0.1:9 did not give the model: .*; try again when it is up$"):
        origin.settled(config, "http://127.0.0.1:9")
