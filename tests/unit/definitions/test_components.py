"""A stage as Kubeflow's component."""

from __future__ import annotations

import pytest

from defensive_distillation.config import STAGES
from defensive_distillation_pipelines.definitions.components import LOCAL_IMAGE, component, finishing, repeating, source


@pytest.mark.parametrize("stage", STAGES)
def test_a_component_takes_what_its_stage_reads_and_no_setting_twice(stage: str) -> None:
    config = STAGES[stage]
    given = {name: (f"{name}*" if wanted.many else name,) for name, wanted in config.reads.items()}
    apart = ("temperature",) if "temperature" in config.model_fields else ()
    found = component(stage, LOCAL_IMAGE, given, apart).component_spec
    assert list(found.inputs) == [*config.reads, "settings", "step", *apart]
    assert list(found.outputs) == [config.output]
    for name, one in found.inputs.items():
        assert one.type.startswith("system.") == (name in config.reads), name
        assert one.is_artifact_list == (name in config.reads and config.reads[name].many), name


def test_an_input_that_is_not_given_is_no_input() -> None:
    """One that is optional would be an artifact of nothing; the one that is left out is the surrogate."""
    found = component("attack", LOCAL_IMAGE, {"dataset": ("dataset",), "model": ("model",)}).component_spec
    assert list(found.inputs) == ["dataset", "model", "settings", "step"]


def test_one_input_may_be_given_from_several_places() -> None:
    given = {"evaluations": ("baseline", "others*")}
    found = component("report", LOCAL_IMAGE, given).component_spec
    assert list(found.inputs) == ["baseline", "others", "settings", "step"]
    assert [found.inputs[name].is_artifact_list for name in ("baseline", "others")] == [False, True]
    assert '{"evaluations": [baseline, *others]}' in source("report", given)


def test_the_last_step_and_a_rerun_are_told_what_they_need() -> None:
    assert list(finishing("image:1").component_spec.inputs) == ["status", "name", "step"]
    assert list(repeating("image:1").component_spec.inputs) == ["stage", "request", "step"]
    for made in (finishing("image:1"), repeating("image:1"), component("prepare_data", "image:1", {})):
        assert made.component_spec.implementation.container.image == "image:1"
