"""The sweep over temperatures as a Kubeflow pipeline: one definition for this machine and for a cluster."""

from __future__ import annotations

import inspect
import itertools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kfp import compiler, dsl, kubernetes
from kfp.dsl.pipeline_task import PipelineTask

from defensive_distillation.config import STAGES, ExperimentConfig
from defensive_distillation_pipelines.definitions import components
from defensive_distillation_pipelines.definitions.resources import RUNTIME, Resources

CONFIG_MAP = "defensive-distillation"  # where MLflow and the object store are
SECRET = "defensive-distillation"  # the credentials of both
_FROM_CONFIG_MAP = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "AWS_ENDPOINT_URL", "AWS_REGION")
_DESCRIPTIONS = {
    "temperatures": "Temperatures of the sweep; the baseline is always added.",
    "control_temperatures": "Temperatures T of the controls, the undistilled model with its logits multiplied by T.",
    "attacks": "Settings of attack, one object for each task on a distilled model; each names its attacks.",
    "baseline_attacks": "The same for the undistilled model.",
    "control_attacks": "The same for the controls.",
    "work": "Folder or s3:// prefix for unfinished work, so that a killed step goes on.",
}
_FROM_SECRET = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")


def sweep(
    config: ExperimentConfig, *, resources: Mapping[str, Resources] | None, codes: Mapping[str, str] | None = None
) -> Any:
    """The pipeline of `config`: the baseline and each temperature, attacked and evaluated, and one report.

    Args:
        config: its values become the defaults of the pipeline's parameters.
        resources: of each stage, for a cluster; None asks for nothing, for the local runners.
        codes: code digest of each stage, part of the cache key; without it the image decides.

    Returns:
        A KFP pipeline, which can be compiled, or called to run it locally.
    """
    parameters = _parameters(config, resources)

    def body(*values: Any) -> None:
        _define(dict(zip(parameters, values, strict=True)), resources, codes or {})

    body.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
    body.__doc__ = _documentation(parameters, resources)
    return dsl.pipeline(name=f"defensive-distillation-{config.name}")(body)


def compiled(pipeline: Any) -> str:
    """The compiled pipeline as YAML, the same text for the same definition.

    KFP heads it with a comment whose dictionaries come in another order each time: that comment is left out.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pipeline.yaml")
        compiler.Compiler().compile(pipeline, str(path))
        lines = path.read_text().splitlines(keepends=True)
    return "".join(itertools.dropwhile(lambda line: line.startswith("#"), lines))


def _parameters(config: ExperimentConfig, resources: Mapping[str, Resources] | None) -> dict[str, inspect.Parameter]:
    """The pipeline's parameters: temperatures, the settings of each stage, and what its steps ask of the cluster."""
    defaults: dict[str, tuple[type, Any]] = {
        "temperatures": (list, list(config.temperatures)),
        "control_temperatures": (list, list(config.control_temperatures)),
        "attacks": (list, config.attack_tasks(config.attacks)),
        "baseline_attacks": (list, config.attack_tasks(config.baseline_attacks)),
        "control_attacks": (list, config.attack_tasks(config.control_attacks)),
    }
    defaults |= {stage: (dict, config.settings(stage)) for stage in STAGES if stage != "attack"}
    defaults["work"] = (str, "")
    for stage, wanted in (resources or {}).items():
        for name in RUNTIME:
            value = getattr(wanted, name)
            defaults[f"{stage}_{name}"] = (type(value), value)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return {
        name: inspect.Parameter(name, kind, default=default, annotation=annotation)
        for name, (annotation, default) in defaults.items()
    }


def _documentation(parameters: Mapping[str, Any], resources: Mapping[str, Resources] | None) -> str:
    lines = ["Defensive distillation: train, attack and evaluate a network at each temperature.", "", "Args:"]
    for name in parameters:
        if name in _DESCRIPTIONS:
            text = _DESCRIPTIONS[name]
        elif name in STAGES:
            text = f"Settings of {name}: {STAGES[name].summary}"
        else:
            stage = next(stage for stage in resources or {} if name.startswith(f"{stage}_"))
            text = f"{stage}: {Resources.model_fields[name.removeprefix(f'{stage}_')].description}"
        lines.append(f"    {name}: {text}")
    return "\n".join(lines)


def _define(values: Mapping[str, Any], resources: Mapping[str, Resources] | None, codes: Mapping[str, str]) -> None:
    def step(stage: str, name: str = "", *, settings: Any = None, **inputs: Any) -> PipelineTask:
        component, chosen = getattr(components, stage), values[stage] if settings is None else settings
        task = component(**inputs, settings=chosen, work=values["work"], code=codes.get(stage, ""))
        if name:
            task.set_display_name(name)
        # a report also records models that were taken from the cache
        task.set_caching_options(resources[stage].cache if resources is not None else stage != "report")
        if resources is not None:
            _ask(task, stage, resources[stage], values)
        return task

    def judged(model: Any, label: str, attacks: str) -> Any:
        inputs = {"dataset": dataset, "model": model}
        with dsl.ParallelFor(values[attacks], name=f"attacks-on-{label}") as attack:
            made = step("attack", f"attack {label}", settings=attack, surrogate=network, **inputs)
        found = step("evaluate", f"evaluate {label}", samples=dsl.Collected(made.outputs["samples"]), **inputs)
        return found.outputs["evaluation"]

    dataset = step("prepare_data").outputs["dataset"]
    network = step("train_teacher", "train baseline", dataset=dataset, temperature=1.0).outputs["model"]
    baseline = judged(network, "baseline", "baseline_attacks")
    with dsl.ParallelFor(values["control_temperatures"], name="controls") as temperature:
        scaled = step("scale_logits", model=network, temperature=temperature).outputs["control"]
        control = judged(scaled, "control", "control_attacks")
    with dsl.ParallelFor(values["temperatures"], name="temperatures") as temperature:
        teacher = step("train_teacher", dataset=dataset, temperature=temperature).outputs["model"]
        soft_labels = step("generate_soft_labels", dataset=dataset, teacher=teacher, temperature=temperature)
        student = step(
            "train_student", dataset=dataset, soft_labels=soft_labels.outputs["soft_labels"], temperature=temperature
        )
        evaluation = judged(student.outputs["model"], "student", "attacks")
    step("report", baseline=baseline, evaluations=dsl.Collected(evaluation), controls=dsl.Collected(control))


def _ask(task: PipelineTask, stage: str, wanted: Resources, values: Mapping[str, Any]) -> None:
    """Puts a stage's resources on one of its steps, and tells it where MLflow and the object store are."""
    task.set_accelerator_type(values[f"{stage}_gpu_type"]).set_accelerator_limit(values[f"{stage}_gpu_count"])
    task.set_cpu_limit(values[f"{stage}_cpu"]).set_cpu_request(values[f"{stage}_cpu"])
    task.set_memory_limit(values[f"{stage}_memory"]).set_memory_request(values[f"{stage}_memory"])
    task.set_retry(wanted.retries, backoff_duration="30s", backoff_factor=2)
    kubernetes.add_node_selector_json(task, values[f"{stage}_node_selector"])
    kubernetes.add_toleration_json(task, values[f"{stage}_tolerations"])
    kubernetes.use_field_path_as_env(task, "KFP_RUN_ID", "metadata.labels['pipeline/runid']")
    kubernetes.use_config_map_as_env(task, CONFIG_MAP, {name: name for name in _FROM_CONFIG_MAP}, optional=True)
    kubernetes.use_secret_as_env(task, SECRET, {name: name for name in _FROM_SECRET}, optional=True)
