"""The attack and the defense that CONTRIBUTING shows, as they stand there, through stages and report."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.chain import Chain

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"
SWEEP = """
import json, sys
from defensive_distillation import artifacts, config
from defensive_distillation.evaluation.results import Evaluation
from defensive_distillation.runtime.code_version import code_digest
from defensive_distillation.stages import attack, evaluate, report, train_defended

chain, folder, training = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
dataset = f"{chain}/dataset"
settings = config.TrainDefendedConfig(defense="gaussian", parameters={"sigma": 0.2}, **training)
train_defended.run(settings, dataset=dataset, output=f"{folder}/model")
few = {"samples": 4, "epsilons": [0.1, 1.0]}
attacks = config.stage_config(
    "attack",
    {"attacks": ["momentum", "pgd"], "momentum": {"steps": 3}, "pgd": {"steps": 3}, "bounded": few},
)
inputs = {"dataset": dataset, "model": f"{folder}/model"}
attack.run(attacks, **inputs, output=f"{folder}/attack")
evaluate.run(
    config.EvaluateConfig(gradient_samples=4), **inputs, attacks=[f"{folder}/attack"], output=f"{folder}/evaluation"
)
evaluations = [f"{chain}/evaluation-baseline", f"{chain}/evaluation", f"{folder}/evaluation"]
report.run(config.ReportConfig(), evaluations=evaluations, output=f"{folder}/report")
facts = artifacts.read_manifest(f"{folder}/evaluation").facts
evaluation = Evaluation.model_validate(facts["evaluation"])
print(json.dumps({
    "model": facts["model"],
    "attacks": [found.name for found in evaluation.bounded],
    "worst case": evaluation.worst_case.attacks,
    "digest": code_digest("attack"),
}))
"""
HELP_AND = """
import contextlib, sys
from defensive_distillation_pipelines.commands.cli import main

with contextlib.suppress(SystemExit):
    main(["stage", "attack", "--help"])
main(sys.argv[1:])
"""
# one epoch: it is the way through the stages that is tested
TRAINING = {"epochs": 1, "batch_size": 32, "minimum_progress": 0}


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the modules that CONTRIBUTING shows."""
    folder = tmp_path_factory.mktemp("plugins")
    for block in re.findall(r"```python\n(.*?)```", CONTRIBUTING.read_text(), flags=re.DOTALL):
        name, _, body = block.removeprefix("# ").partition("\n")
        (folder / name).write_text(body)
    assert {path.name for path in folder.iterdir()} == {"momentum.py", "gaussian.py"}
    return folder


def run(plugins: Path, *command: str) -> str:
    path = os.pathsep.join([str(plugins), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "DEFDISTILL_PLUGINS": "momentum, gaussian"}
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_attack_and_a_defense_in_a_module_of_their_own_go_through_stages_and_report(
    plugins: Path, chain: Chain, tmp_path: Path
) -> None:
    import json

    found = json.loads(run(plugins, "-c", SWEEP, str(chain.folder), str(tmp_path), json.dumps(TRAINING)))
    assert found["model"]["role"] == "defended"
    assert found["model"]["label"] == "gaussian sigma=0.2"
    ran = ["pgd/cross_entropy", "pgd/margin", "pgd/scaled", "momentum/cross_entropy", "momentum/margin"]
    assert found["attacks"] == ran
    assert set(found["worst case"]) == {"pgd", "momentum"}
    page = (tmp_path / "report" / "report.html").read_text()
    assert "Gaussian noise, sigma 0.2" in page
    assert "MI-FGSM" in page
    table = json.loads((tmp_path / "report" / "sweep.json").read_text())
    assert [row["model"] for row in table["rows"]] == ["baseline", "T=20", "gaussian sigma=0.2"]
    before = found["digest"]
    (plugins / "momentum.py").write_text((plugins / "momentum.py").read_text() + "\n# changed\n")
    code = "from defensive_distillation.runtime.code_version import code_digest; print(code_digest('attack'))"
    assert run(plugins, "-c", code).strip() != before, "a change of the plugin makes its results stale"


def test_settings_flags_and_pipeline_know_the_attack_and_the_defense(plugins: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "sweep.yaml")
    compiling = ("compile", "--defenses", "distillation,gaussian:sigma=0.2", "-o", out)
    chosen = ("--set", "attacks=jsma,momentum", "--set", "attack.momentum.steps=7")
    said = run(plugins, "-c", HELP_AND, *compiling, *chosen)
    assert "--momentum.decay X" in said
    assert "Weight of the earlier gradients." in said
    text = Path(out).read_text()
    assert "comp-train-defended" in text
    assert "momentum" in text


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (None, "expected importable modules, got 'other': No module named 'other'"),
        ("def (", "expected importable modules, got 'other': invalid syntax"),
        ("1 / 0", "expected importable modules, got 'other': division by zero"),
        ("x = 1", "expected ATTACK or DEFENSE in other, found neither"),
        (
            "from dataclasses import replace\nfrom defensive_distillation.suite.attacks.ball.square import ATTACK\n"
            "ATTACK = replace(ATTACK, title='Other')",
            "expected a name of its own for the ATTACK of other, got 'square', which there is already",
        ),
    ],
)
def test_a_plugin_that_does_not_fit_is_said_in_one_line(tmp_path: Path, source: str | None, said: str) -> None:
    if source is not None:
        (tmp_path / "other.py").write_text(source)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "DEFDISTILL_PLUGINS": "other"}
    command = [sys.executable, "-m", "defensive_distillation_pipelines.commands", "--help"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"DEFDISTILL_PLUGINS: {said}" in done.stderr
    assert done.stderr.count("\n") == 1
