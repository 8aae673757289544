"""A network that was trained elsewhere: imported, attacked and evaluated like any other, or refused with what to do."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from defensive_distillation import artifacts
from defensive_distillation.artifacts.dataset import read_dataset
from defensive_distillation.artifacts.model import read_model
from defensive_distillation.config import EvaluateConfig, ImportModelConfig, ReportConfig, stage_config
from defensive_distillation.errors import InputError
from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.networks.architectures import as_input
from defensive_distillation.stages import attack, evaluate, import_model, report
from defensive_distillation_pipelines.commands import cli
from defensive_distillation_pipelines.commands.local.audit import settings_of
from defensive_distillation_pipelines.local.run_folder import RunFolder, default_name
from defensive_distillation_pipelines.local.workspace import Workspace
from support.chain import Chain

FACTORY = """
import torch
from torch import nn


def small():
    return nn.Sequential(nn.Conv2d(1, 4, 5, stride=3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10))


def number():
    return 7


def quantised(images):
    return (images * 7).round() / 7


def as_bytes(images):
    return (images * 255).byte()


class Noisy(nn.Sequential):
    def forward(self, images):
        return super().forward(images + 0.5 * torch.randn_like(images))


def noisy():
    return Noisy(*small())
"""
MEAN, STD = 0.3, 0.5


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the module `own_network` in it, on the path that modules are imported from."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "own_network.py").write_text(FACTORY)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    sys.modules.pop("own_network", None)


@pytest.fixture(scope="module")
def images(chain: Chain) -> tuple[Tensor, Tensor]:
    """All of the chain's digits, and their labels."""
    with artifacts.opened(chain.place("dataset"), "dataset") as found:
        dataset = read_dataset(found)
    both = torch.cat([dataset.train_images, dataset.test_images])
    return as_input(both), torch.cat([dataset.train_labels, dataset.test_labels])


@pytest.fixture(scope="module")
def trained(own: Path, images: tuple[Tensor, Tensor]) -> nn.Module:
    """The module's network, trained on normalised images."""
    from own_network import small  # type: ignore[import-not-found]

    torch.manual_seed(0)
    network: nn.Module = small()
    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(60):
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(network((images[0] - MEAN) / STD), images[1])
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    save_file(network.state_dict(), own / "weights.safetensors")
    torch.save({"state_dict": network.state_dict(), "epoch": 60}, own / "weights.pth")
    return network.eval()


def imported(chain: Chain, folder: Path, **settings: Any) -> artifacts.Artifact:
    config = ImportModelConfig(**{"model": "own_network:small", "mean": (MEAN,), "std": (STD,), **settings})
    return import_model.run(config, dataset=chain.place("dataset"), output=str(folder / "model"))


def logits_of(artifact: artifacts.Artifact, images: Tensor) -> Tensor:
    with torch.no_grad():
        result: Tensor = read_model(artifact)(images)
    return result


@pytest.mark.parametrize("weights", ["weights.safetensors", "weights.pth"])
def test_the_network_is_the_same_as_before_it_was_imported(
    chain: Chain, own: Path, trained: nn.Module, images: tuple[Tensor, Tensor], tmp_path: Path, weights: str
) -> None:
    made = imported(chain, tmp_path, weights=str(own / weights), trust=weights.endswith(".pth"))
    with torch.no_grad():
        expected = trained((images[0] - MEAN) / STD)
    assert torch.equal(logits_of(made, images[0]), expected)
    assert made.facts["model"]["role"] == "imported"
    assert made.facts["model"]["label"] == "own_network:small"
    assert made.facts["test_accuracy"] > 0.7
    assert made.facts["warnings"] == []


def test_an_onnx_file_is_a_network(
    chain: Chain, own: Path, trained: nn.Module, images: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's exporter on itself
        torch.onnx.export(
            trained, (images[0][:2],), buffer, dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "n"}}
        )
    (own / "network.onnx").write_bytes(buffer.getvalue())
    made = imported(chain, tmp_path, model=str(own / "network.onnx"))
    with torch.no_grad():
        expected = trained((images[0] - MEAN) / STD)
    torch.testing.assert_close(logits_of(made, images[0]), expected)
    assert made.facts["model"]["label"] == "network.onnx"


def test_logits_are_put_into_the_order_of_the_classes(
    chain: Chain, own: Path, trained: nn.Module, images: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    weights = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    order = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
    for name in ("3.weight", "3.bias"):
        weights[name] = weights[name][torch.tensor(order).argsort()]  # logit order[k] is that of class k
    save_file(weights, tmp_path / "mixed.safetensors")
    right = imported(chain, tmp_path / "a", weights=str(tmp_path / "mixed.safetensors"), class_logits=order)
    with torch.no_grad():
        expected = trained((images[0] - MEAN) / STD)
    assert torch.equal(logits_of(right, images[0]), expected)


def test_a_network_near_chance_is_imported_with_a_warning_that_says_what_to_look_at(
    chain: Chain, own: Path, trained: nn.Module, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order = [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
    made = imported(chain, tmp_path, weights=str(own / "weights.safetensors"), class_logits=order)
    (warning,) = made.facts["warnings"]
    assert "are mean, std, class_logits and image_size those of the training?" in warning
    assert f"import_model: warning: {warning}" in capsys.readouterr().err


def test_grey_images_of_another_size_fit_a_network_for_coloured_ones(
    chain: Chain, images: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    from torchvision.models import squeezenet1_1

    torch.manual_seed(0)
    network = squeezenet1_1(num_classes=10).eval()
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    made = imported(
        chain,
        tmp_path,
        model="torchvision:squeezenet1_1",
        weights=str(tmp_path / "weights.safetensors"),
        image_size=40,
        mean=(0.1, 0.2, 0.3),
        std=(0.5, 0.6, 0.7),
    )
    few = images[0][:3]
    larger = nn.functional.interpolate(few.expand(-1, 3, -1, -1), size=(40, 40), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(values)[:, None, None] for values in ((0.1, 0.2, 0.3), (0.5, 0.6, 0.7)))
    with torch.no_grad():
        expected = network((larger - mean) / std)
    torch.testing.assert_close(logits_of(made, few), expected)


def test_networks_of_timm_are_known_by_name(chain: Chain, images: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    import timm

    torch.manual_seed(0)
    network = timm.create_model("resnet10t", num_classes=10).eval()
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    weights = str(tmp_path / "weights.safetensors")
    made = imported(chain, tmp_path, model="timm:resnet10t", weights=weights, mean=(), std=())
    with torch.no_grad():
        expected = network(images[0][:3].expand(-1, 3, -1, -1))
    torch.testing.assert_close(logits_of(made, images[0][:3]), expected)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"model": "here"},
            "model: expected torchvision:NAME, timm:NAME, package.module:factory, models:/NAME@ALIAS, ",
        ),
        ({"model": "nowhere.at_all:f"}, "can be imported, got 'nowhere.at_all'; put its folder on PYTHONPATH$"),
        ({"model": "own_network:big"}, "model: expected a function big in own_network, found none$"),
        ({"model": "own_network:number"}, r"model: expected a module from own_network:number\(\), got int$"),
        (
            {"model": "torchvision:resnet19", "weights": "weights.safetensors"},
            "got torchvision:resnet19; did you mean resnet18",
        ),
        (
            {"weights": "weights.pth"},
            "weights.pth, which may be pickled, and run code when it is read; convert",
        ),
        ({"weights": "other.safetensors"}, "expected the weights of the model, got 1 missing such as 3.bias$"),
        ({"weights": "wide.safetensors"}, r"expected 3.weight of shape \(10, 256\), got \(11, 256\); is the number of"),
        ({"weights": "evil.pth", "trust": True}, "evil.pth: expected a checkpoint of tensors alone, got: "),
        (
            {"weights": "weights.safetensors", "sha256": "0" * 64},
            "expected the file with SHA-256 000.*: it was changed$",
        ),
        (
            {"weights": "weights.safetensors", "class_logits": (0, 1)},
            "class_logits: expected one for each of 10 classes",
        ),
        (
            {"input_step": "nowhere:f"},
            "input_step: expected a module that can be imported, got 'nowhere'; put its folder",
        ),
        ({"input_step": "own_network:big"}, "input_step: expected a function big in own_network, found none$"),
        (
            {"input_step": "own_network:as_bytes"},
            r"input_step: expected floating point in \[0, 1\] back, got torch.uint8",
        ),
        ({"input_step": "own_network:number"}, "input_step: expected a function of images"),
        ({"model": "empty.onnx"}, "model: expected an ONNX file that onnx2torch can convert, got: "),
    ],
)
def test_what_cannot_be_imported_is_refused_in_a_line(
    chain: Chain, own: Path, trained: nn.Module, tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    weights = trained.state_dict()
    save_file({name: tensor for name, tensor in weights.items() if name != "3.bias"}, own / "other.safetensors")
    save_file({**weights, "3.weight": torch.zeros(11, 256), "3.bias": torch.zeros(11)}, own / "wide.safetensors")
    torch.save({"state_dict": print}, own / "evil.pth")
    (own / "empty.onnx").write_bytes(b"no")
    for key in ("weights", "model"):
        if str(settings.get(key, "")).endswith((".pth", ".safetensors", ".onnx")):
            settings = {**settings, key: str(own / settings[key])}
    with pytest.raises(InputError, match=said) as refused:
        imported(chain, tmp_path, **settings)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "model").exists()


def test_the_rest_of_the_pipeline_follows(chain: Chain, own: Path, trained: nn.Module, tmp_path: Path) -> None:
    model = imported(chain, tmp_path, weights=str(own / "weights.safetensors"), name="ours").location
    few = {"bounded": {"samples": 9}, "pgd": {"steps": 5}, "jsma": {"sources": 3}, "half_width": 0.2}
    inputs = {"dataset": chain.place("dataset"), "model": model}
    attacks = stage_config("attack", {"attacks": ["jsma", "pgd", "noise"], **few})
    made = attack.run(attacks, **inputs, output=str(tmp_path / "attack"))
    assert 1 < made.facts["temperature"] < 100  # of the size of the logits: no T is known
    arguments = {facts["name"]: facts["arguments"] for facts in made.facts["variants"]}
    assert arguments["jsma/scaled"]["temperature"] == made.facts["temperature"]
    assert arguments["jsma/scaled"]["max_features"] == 112  # a seventh of 784
    assert made.facts["variants"][-1]["levels"] == [0.1, 0.2, 0.3, 1.0]
    evaluated = evaluate.run(
        EvaluateConfig(gradient_samples=10), **inputs, attacks=[made.location], output=str(tmp_path / "evaluation")
    )
    found = Evaluation.model_validate(evaluated.facts["evaluation"])
    assert (found.name, found.temperature, found.train_accuracy) == ("ours", made.facts["temperature"], None)
    assert found.gradient_check is not None
    assert found.gradient_check.slope == pytest.approx(1, rel=0.1)
    written = report.run(ReportConfig(), evaluations=[evaluated.location], output=str(tmp_path / "report"))
    assert "<h1>ours on scikit-learn’s handwritten digits</h1>" in (written.folder / "report.html").read_text().replace(
        "&#39;", "’"
    )


def test_one_command_does_it_all_and_other_weights_are_another_run(
    own: Path, trained: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(own), prepend=":")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ours.safetensors").write_bytes((own / "weights.safetensors").read_bytes())
    command = ["audit", "--model", "own_network:small", "--weights", "ours.safetensors", "--data", "digits"]
    command += ["--mean", str(MEAN), "--std", str(STD), "--attacks", "fgsm,noise", "--epsilons", "8/255,0.2"]
    command += ["--on-grid", "--set", "evaluate.gradient_samples=5", "--half-width", "0.2"]
    cli.main(command)
    printed = capsys.readouterr().out
    assert "own_network:small" in printed
    (run,) = Path("workspace", "runs").glob("audit-digits-*")
    table = json.loads((run / "report" / "sweep.json").read_text())
    assert table["rows"][0]["model"] == "own_network:small"
    assert table["rows"][0]["masked"] == "undecided"  # neither JSMA nor PGD was run
    assert table["rows"][0]["fgsm_margin_in_eight_bits"] == 1  # on the grid every sample holds
    plan = json.loads((run / "plan.json").read_text())
    assert [step["stage"] for step in plan] == ["prepare_data", "import_model", "attack", "evaluate", "report"]
    weights = {name: tensor * 2 for name, tensor in trained.state_dict().items()}
    save_file(weights, tmp_path / "ours.safetensors")
    digest = hashlib.sha256((tmp_path / "ours.safetensors").read_bytes()).hexdigest()
    again = settings_of(cli.command_parser().parse_args(command))
    assert again.import_model is not None
    assert again.import_model.sha256 == digest


def audited(own: Path, monkeypatch: pytest.MonkeyPatch, folder: Path, *options: str) -> tuple[Evaluation, str]:
    """The evaluation and the page of an audit by command, with the network's weights."""
    monkeypatch.setenv("PYTHONPATH", str(own), prepend=":")
    monkeypatch.chdir(folder)
    command = ["audit", "--weights", str(own / "weights.safetensors"), "--data", "digits", "--mean", str(MEAN)]
    cli.main([*command, "--std", str(STD), "--set", "evaluate.gradient_samples=5", *options])
    (run,) = Path("workspace", "runs").glob("audit-digits-*")
    (evaluation,) = RunFolder(Workspace(Path("workspace")), run.name).evaluations()
    found = Evaluation.model_validate(evaluation.manifest.facts["evaluation"])
    return found, (run / "report" / "report.html").read_text()


def test_attacks_that_know_of_a_step_go_round_it(
    own: Path, trained: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attacks = ["--attacks", "jsma_untargeted,fgsm,pgd,square,noise", "--half-width", "0.1"]
    options = ["--model", "own_network:small", "--input-step", "own_network:quantised", *attacks]
    found, page = audited(own, monkeypatch, tmp_path, *options)
    assert found.masking.masked == "yes"
    assert "rounded to 8 levels" in page
    jsma = {one.output: one.success_rate for one in found.attacks}
    assert jsma["logits"] > jsma["probabilities"] + 0.5
    pgd = {one.loss: one.success_by_epsilon[1] for one in found.bounded if one.attack == "pgd"}
    assert pgd["margin"] > pgd["cross_entropy"] + 0.3


def test_draws_of_a_random_network_count_as_one(
    own: Path, trained: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--model", "own_network:noisy", "--draws", "4", "--attacks", "pgd,square", "--half-width", "0.2"]
    found, page = audited(own, monkeypatch, tmp_path, *options)
    assert found.masking.masked == "yes"
    assert "the network is random" in page
    assert found.accuracy > 0.7
    pgd = {one.loss: one.success_by_epsilon[1] for one in found.bounded if one.attack == "pgd"}
    assert pgd["margin"] > 0.5


@pytest.mark.parametrize("draws", [1, 3])
def test_an_attack_on_a_random_network_that_was_killed_ends_as_if_it_had_not_been(
    chain: Chain, own: Path, trained: nn.Module, tmp_path: Path, draws: int
) -> None:
    weights = str(own / "weights.safetensors")
    model = imported(chain, tmp_path, model="own_network:noisy", weights=weights, draws=draws)
    again = imported(chain, tmp_path / "again", model="own_network:noisy", weights=weights, draws=draws)
    assert model.digest == again.digest
    few = {"attacks": ["pgd", "square"], "bounded": {"samples": 12}, "pgd": {"steps": 5}, "square": {"queries": 20}}
    config = stage_config("attack", {**few, "part_size": 4, "shards": 2, "shard": 1})

    def attacked(name: str) -> Path:
        inputs = {"dataset": chain.place("dataset"), "model": model.location}
        return attack.run(config, **inputs, output=str(tmp_path / name), work=str(tmp_path / "work")).folder

    first = attacked("first")
    parts = sorted((tmp_path / "work").rglob("*.safetensors"))
    assert len(parts) == 8
    for part in parts[1::2]:
        part.unlink()
    second = attacked("second")
    for file in ("manifest.json", "tensors.safetensors"):
        assert (first / file).read_bytes() == (second / file).read_bytes()


def test_changed_code_of_a_factory_is_another_run_and_no_part_of_an_old_one(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "my_factory.py"
    module.write_text(FACTORY)
    monkeypatch.syspath_prepend(str(tmp_path))
    arguments = cli.command_parser().parse_args(["audit", "--model", "my_factory:small", "--data", "digits"])
    before, again = settings_of(arguments), settings_of(arguments)
    torch.manual_seed(0)
    made = imported(chain, tmp_path, model="my_factory:small")
    assert default_name(before) == default_name(again)
    assert made.manifest.config["code_sha256"] == made.facts["code_sha256"] == before.import_model.code_sha256
    read_model(made)
    module.write_text(FACTORY.replace("nn.ReLU()", "nn.Tanh()"))
    assert default_name(settings_of(arguments)) != default_name(before)
    with pytest.raises(InputError, match=r"expected the code of my_factory:small as it was imported, .*; import it ag"):
        read_model(made)
    with pytest.raises(
        InputError, match=r"model: expected the code of my_factory:small with SHA-256 .*: it was changed"
    ):
        imported(chain, tmp_path / "b", model="my_factory:small", code_sha256=before.import_model.code_sha256)
    torch.manual_seed(0)
    other = imported(chain, tmp_path / "c", model="my_factory:small")
    assert other.digest != made.digest
    with pytest.raises(InputError, match="a result of import_model with other settings"):
        imported(chain, tmp_path, model="my_factory:small")
