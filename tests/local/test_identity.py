"""What tells a result apart: code, settings, inputs, and what it was computed with."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from defensive_distillation import artifacts
from defensive_distillation.config import PrepareDataConfig
from defensive_distillation.errors import ConfigurationError, InputError
from defensive_distillation.runtime.code_version import code_digest
from defensive_distillation.stages import prepare_data
from support.chain import Chain


def test_an_artifact_names_the_libraries_and_the_device_that_computed_it(chain: Chain) -> None:
    computed = {"torch": version("torch"), "numpy": version("numpy")}
    for name, environment in {
        "dataset": computed,
        "student": {**computed, "device": "cpu"},
        "attack": {**computed, "device": "cpu"},
        "report": {name: version(name) for name in ("matplotlib", "pillow")},
    }.items():
        assert artifacts.read_manifest(chain.place(name)).environment == environment, name


def test_a_result_of_another_pytorch_is_not_taken_for_this_ones(chain: Chain, tmp_path: Path) -> None:
    with artifacts.opened(chain.place("dataset"), "dataset") as found:
        manifest = found.manifest
        for name, environment in (("same", manifest.environment), ("other", {**manifest.environment, "torch": "1.0"})):
            artifacts.write(
                str(tmp_path / name),
                kind="dataset",
                stage=manifest.stage,
                code=manifest.code,
                config=manifest.config,
                inputs=manifest.inputs,
                environment=environment,
                facts=manifest.facts,
                write_files=lambda folder: [
                    (folder / n).write_bytes(found.file(n).read_bytes()) for n in manifest.files
                ],
            )
    config = PrepareDataConfig.model_validate(manifest.config)
    assert prepare_data.run(config, output=str(tmp_path / "same")).manifest == manifest
    with pytest.raises(InputError, match="a result of prepare_data with other settings, inputs, code or libraries"):
        prepare_data.run(config, output=str(tmp_path / "other"))


def test_a_stage_is_told_which_code_and_which_inputs_it_has(tmp_path: Path) -> None:
    config, output = PrepareDataConfig(train_limit=50, test_limit=10), str(tmp_path / "dataset")
    with pytest.raises(ConfigurationError, match="prepare_data: expected code version 0, this installation has"):
        prepare_data.run(config, output=output, code="0")
    with pytest.raises(ConfigurationError, match="prepare_data: expected no input, got 'dataset'"):
        prepare_data.run(config, output=output, dataset="x")
    assert prepare_data.run(config, output=output, code=code_digest("prepare_data")).manifest.code
