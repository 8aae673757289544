"""The sweep over temperatures as a Kubeflow pipeline: one definition for this machine and for a cluster.

The shape of the pipeline stands in `_define` and nowhere else: what a run shows of its progress is read off the
compiled pipeline (plan.py).
"""

from __future__ import annotations

import inspect
import itertools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from kfp import compiler, dsl, kubernetes
from kfp.dsl.pipeline_task import PipelineTask

from defensive_distillation.config import STAGES, ExperimentConfig
from defensive_distillation_pipelines.definitions.components import component
from defensive_distillation_pipelines.definitions.resources import RUNTIME, Resources

CONFIG_MAP = "defensive-distillation"  # where MLflow and the object store are
SECRET = "defensive-distillation"  # the credentials of both
_FROM_CONFIG_MAP = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "AWS_ENDPOINT_URL", "AWS_REGION")
_FROM_SECRET = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
_DESCRIPTIONS = {
    "temperatures": "Temperatures of the sweep; the baseline is always added.",
    "control_temperatures": "Temperatures T of the controls, the undistilled model with its logits multiplied by T.",
    "defenses": "Settings of train_defended, one object for each defense beside distillation.",
    "attacks": "Settings of attack, one object for each task on a defended model; each names its attacks.",
    "baseline_attacks": "The same for the undistilled model.",
    "control_attacks": "The same for the controls.",
}
_SETTINGS_FROM_LISTS = ("attack", "train_defended")  # stages whose settings come from a list that is looped over


def sweep(
    config: ExperimentConfig,
    *,
    resources: Mapping[str, Resources] | None,
    work: str = "",
    codes: Mapping[str, str] | None = None,
) -> Any:
    """The pipeline of `config`: the baseline and each defended network, attacked and evaluated, and one report.

    Args:
        config: its values become the defaults of the pipeline's parameters.
        resources: of each stage, for a cluster; None asks for nothing, for the local runners.
        work: folder or s3:// prefix for unfinished work, so that a killed step goes on; '' for none.
        codes: code digest of each stage, part of the cache key; without it the image decides.

    Returns:
        A KFP pipeline, which can be compiled, or called to run it locally.
    """
    parameters = _parameters(config, resources)

    def body(*values: Any) -> None:
        _define(dict(zip(parameters, values, strict=True)), resources, work, codes or {})

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


def _define(
    values: Mapping[str, Any], resources: Mapping[str, Resources] | None, work: str, codes: Mapping[str, str]
) -> None:
    def step(
        stage: str,
        title: str = "",
        *,
        settings: Any = None,
        delivered: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
        **inputs: Any,
    ) -> Any:
        """A task of the stage; its one output."""
        chosen = values[stage] if settings is None else settings
        told = {"work": work, "code": codes.get(stage, ""), "rerun": ""}
        task = component(stage, **delivered)(**inputs, settings=chosen, step=told)
        if title:
            task.set_display_name(title)
        # a report also records models that were taken from the cache
        task.set_caching_options(resources[stage].cache if resources is not None else stage != "report")
        if resources is not None:
            _ask(task, stage, resources[stage], values)
        return task.outputs[STAGES[stage].output]

    def judged(model: Any, label: str, attacks: str) -> Any:
        with dsl.ParallelFor(values[attacks], name=f"attacks-on-{label}") as settings:
            samples = step(
                "attack", f"attack {label}", settings=settings, dataset=dataset, model=model, surrogate=baseline
            )
        return step("evaluate", f"evaluate {label}", dataset=dataset, model=model, attacks=dsl.Collected(samples))

    dataset = step("prepare_data")
    baseline = step("train_teacher", "train baseline", dataset=dataset, temperature=1.0)
    evaluations = {"baseline": judged(baseline, "baseline", "baseline_attacks")}
    with dsl.ParallelFor(values["control_temperatures"], name="controls") as temperature:
        control = step("scale_logits", model=baseline, temperature=temperature)
        of_control = judged(control, "control", "control_attacks")
    with dsl.ParallelFor(values["temperatures"], name="temperatures") as temperature:
        teacher = step("train_teacher", dataset=dataset, temperature=temperature)
        soft_labels = step("generate_soft_labels", dataset=dataset, teacher=teacher, temperature=temperature)
        student = step("train_student", dataset=dataset, soft_labels=soft_labels, temperature=temperature)
        of_student = judged(student, "student", "attacks")
    evaluations |= {"students": dsl.Collected(of_student), "controls": dsl.Collected(of_control)}
    if "defenses" in values:
        with dsl.ParallelFor(values["defenses"], name="defenses") as settings:
            defended = step("train_defended", dataset=dataset, settings=settings)
            of_defended = judged(defended, "defended", "attacks")
        evaluations["defended"] = dsl.Collected(of_defended)
    names = tuple(name if name == "baseline" else f"{name}*" for name in evaluations)
    step("report", delivered={"evaluations": names}, **evaluations)


def _parameters(config: ExperimentConfig, resources: Mapping[str, Resources] | None) -> dict[str, inspect.Parameter]:
    """The pipeline's parameters: temperatures, the settings of each stage, and what its steps ask of the cluster."""
    defaults: dict[str, Any] = {
        "temperatures": list(config.temperatures),
        "control_temperatures": list(config.control_temperatures),
        "attacks": config.attack_tasks(config.attacks),
        "baseline_attacks": config.attack_tasks(config.baseline_attacks),
        "control_attacks": config.attack_tasks(config.control_attacks),
    }
    if config.defenses:
        defaults["defenses"] = config.defense_tasks()
    defaults |= {stage: config.settings(stage) for stage in STAGES if stage not in _SETTINGS_FROM_LISTS}
    for stage, wanted in (resources or {}).items():
        defaults |= {f"{stage}_{name}": getattr(wanted, name) for name in RUNTIME}
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return {
        name: inspect.Parameter(name, kind, default=default, annotation=type(default))
        for name, default in defaults.items()
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
