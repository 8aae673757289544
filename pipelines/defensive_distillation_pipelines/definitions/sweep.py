"""The sweep over temperatures as a Kubeflow pipeline: one definition for this machine and for a cluster.

The shape of the pipeline stands in `_Sweep.define` and nowhere else: what a run shows of its progress is read off the
compiled pipeline (plan.py).
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Mapping
from typing import Any

from kfp import dsl

from defensive_distillation.config import STAGES, ExperimentConfig
from defensive_distillation_pipelines.definitions.asking import ask
from defensive_distillation_pipelines.definitions.components import LOCAL_IMAGE, component, finishing
from defensive_distillation_pipelines.definitions.resources import FINISH, Cluster

_DESCRIPTIONS = {
    "temperatures": "Temperatures of the sweep; the undistilled model is always added.",
    "undistilled": "Settings of attack on the undistilled model and its controls, whose logits are multiplied by T.",
    "attacks": "Settings of attack on a defended model.",
    "baseline_attacks": "Settings of each step of attacks on the undistilled model.",
    "controls": "Settings of attack on each control, the undistilled model with its logits multiplied by T.",
    "defenses": "Settings of train_defended, one object for each defense beside distillation.",
}
_SETTINGS_FROM_LISTS = ("attack", "train_defended")  # stages whose settings come from parameters of other names


def sweep(
    config: ExperimentConfig,
    *,
    cluster: Cluster | None,
    work: str = "",
    codes: Mapping[str, str] | None = None,
    image: str = LOCAL_IMAGE,
    gate: bool = False,
) -> Any:
    """The pipeline of `config`: the undistilled and each defended network, attacked and evaluated, and one report.

    Args:
        config: its values become the defaults of the pipeline's parameters.
        cluster: what the run asks of a cluster; None asks for nothing, for the local runners.
        work: folder or s3:// prefix for unfinished work, so that a killed step goes on; 'auto' on a cluster is beside
            the artifacts, '' none.
        codes: code digest of each stage, part of the cache key; without it the image decides.
        image: of every step, for a local runner that uses one.
        gate: whether the sweep is compared with the champion at the end.

    Returns:
        A KFP pipeline, which can be compiled, or called to run it locally.
    """
    definition = _Sweep(config, cluster, work, codes or {}, cluster.image if cluster else image, gate)

    def body(*values: Any) -> None:
        definition.define(dict(zip(definition.parameters, values, strict=True)))

    body.__signature__ = inspect.Signature(list(definition.parameters.values()))  # type: ignore[attr-defined]
    body.__doc__ = definition.documentation()
    return dsl.pipeline(name=f"defensive-distillation-{config.name}")(body)


class _Sweep:
    def __init__(
        self,
        config: ExperimentConfig,
        cluster: Cluster | None,
        work: str,
        codes: Mapping[str, str],
        image: str,
        gate: bool,
    ) -> None:
        self.cluster, self.work, self.codes, self.image, self.gate = cluster, work, codes, image, gate
        self.values: Mapping[str, Any] = {}
        self.parameters = {
            name: inspect.Parameter(
                name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=_kind(default)
            )
            for name, default in self._defaults(config).items()
        }

    def _defaults(self, config: ExperimentConfig) -> dict[str, Any]:
        """The pipeline's parameters; on a cluster, whose image fixes the defaults, settings that differ from them."""
        lean = self.cluster is not None
        attacks, baseline = config.attack_tasks(lean=lean), config.baseline_tasks(lean=lean)
        controls = config.control_tasks(lean=lean)
        values: dict[str, Any] = {"temperatures": list(config.temperatures)}
        if len(baseline) == 1:
            values["undistilled"] = baseline + controls
        else:
            values |= {"baseline_attacks": baseline, "controls": controls}
        values["attacks"] = attacks if len(attacks) > 1 else attacks[0]
        if config.defenses:
            values["defenses"] = config.defense_tasks(lean=lean)
        left_out = {*_SETTINGS_FROM_LISTS, *(() if self.gate else ("gate",))}
        return values | {stage: config.settings(stage, lean=lean) for stage in STAGES if stage not in left_out}

    def documentation(self) -> str:
        """A line for the pipeline, and one for each parameter."""
        lines = ["Defensive distillation: train, attack and evaluate a network at each temperature.", "", "Args:"]
        for name in self.parameters:
            text = _DESCRIPTIONS.get(name) or f"Settings of {name}: {STAGES[name].summary}"
            lines.append(f"    {name}: {text}")
        return "\n".join(lines)

    def define(self, values: Mapping[str, Any]) -> None:
        """The pipeline itself."""
        self.values = values
        with self._ending():
            dataset = self._step("prepare_data")
            baseline = self._step("train_teacher", "train baseline", dataset=dataset, temperature=1.0)
            evaluations = {**self._undistilled(dataset, baseline), "students": self._students(dataset, baseline)}
            if "defenses" in values:
                evaluations["defended"] = self._defended(dataset, baseline)
            report = self._step("report", evaluations=evaluations)
            if self.gate:
                self._step("gate", evaluations=_once_more(evaluations), report=report)

    def _undistilled(self, dataset: Any, baseline: Any) -> dict[str, Any]:
        """The undistilled network and its controls: one loop, since all are attacks on one network."""
        if "undistilled" in self.values:
            with self._loop("undistilled") as attack:
                one = self._judged("undistilled", attack, dataset=dataset, model=baseline)
            return {"undistilled": dsl.Collected(one)}
        of_baseline = self._judged("baseline", self.values["baseline_attacks"], dataset=dataset, model=baseline)
        with self._loop("controls") as attack:
            of_control = self._judged("control", attack, dataset=dataset, model=baseline)
        return {"baseline": of_baseline, "controls": dsl.Collected(of_control)}

    def _students(self, dataset: Any, baseline: Any) -> Any:
        with self._loop("temperatures") as temperature:
            teacher = self._step("train_teacher", dataset=dataset, temperature=temperature)
            soft_labels = self._step("generate_soft_labels", dataset=dataset, teacher=teacher, temperature=temperature)
            student = self._step("train_student", dataset=dataset, soft_labels=soft_labels, temperature=temperature)
            one = self._judged("student", self.values["attacks"], dataset=dataset, model=student, surrogate=baseline)
        return dsl.Collected(one)

    def _defended(self, dataset: Any, baseline: Any) -> Any:
        with self._loop("defenses") as settings:
            defended = self._step("train_defended", dataset=dataset, settings=settings)
            one = self._judged("defended", self.values["attacks"], dataset=dataset, model=defended, surrogate=baseline)
        return dsl.Collected(one)

    def _judged(self, label: str, attacks: Any, *, dataset: Any, model: Any, **surrogate: Any) -> Any:
        """The evaluation of a network after its attacks, which are one step, or one for each item of a list."""

        def attacked(settings: Any) -> Any:
            return self._step("attack", f"attack {label}", settings=settings, dataset=dataset, model=model, **surrogate)

        if self._is_list(attacks):
            with dsl.ParallelFor(attacks, name=f"attacks-on-{label}") as settings:
                samples = attacked(settings)
            samples = dsl.Collected(samples)
        else:
            samples = attacked(attacks)
        return self._step("evaluate", f"evaluate {label}", dataset=dataset, model=model, attacks={"attacks": samples})

    def _is_list(self, channel: Any) -> bool:
        parameter = self.parameters.get(getattr(channel, "name", ""))
        return parameter is not None and isinstance(parameter.default, list)

    def _loop(self, parameter: str) -> Any:
        return dsl.ParallelFor(
            self.values[parameter],
            name=parameter,
            parallelism=self.cluster.parallelism if self.cluster else None,
        )

    @contextlib.contextmanager
    def _ending(self) -> Any:
        """On a cluster, around all steps: a last one that ends what a failed run has left open."""
        if self.cluster is None:
            yield
            return
        last = finishing(self.image)(name=dsl.PIPELINE_JOB_NAME_PLACEHOLDER, step=self._told(FINISH))
        ask(last, FINISH, self.cluster)
        with dsl.ExitHandler(last, name="sweep"):
            yield

    def _step(self, stage: str, title: str = "", *, settings: Any = None, **inputs: Any) -> Any:
        """A task of the stage; its one output. An input that takes several artifacts is a mapping of named ones."""
        given, arguments = {}, {}
        for name, channel in inputs.items():
            if name == "temperature":
                arguments[name] = channel
                continue
            several = channel if isinstance(channel, dict) else {name: channel}
            given[name] = tuple(f"{key}*" if isinstance(one, dsl.Collected) else key for key, one in several.items())
            arguments |= several
        task = component(stage, self.image, given)(
            **arguments, settings=self.values[stage] if settings is None else settings, step=self._told(stage)
        )
        if title:
            task.set_display_name(title)
        if self.cluster is not None:
            ask(task, stage, self.cluster)
        else:
            task.set_caching_options(stage not in ("report", "gate"))
        return task.outputs[STAGES[stage].output]

    def _told(self, stage: str) -> dict[str, str]:
        told = {"work": self.work, "code": self.codes.get(stage, "")}
        return {name: value for name, value in told.items() if value}


def _kind(default: Any) -> Any:
    """The annotation of a parameter: a loop over a list of unknown items would hand on texts."""
    if isinstance(default, list):
        return list[float] if isinstance(default[0], float) else list[dict[str, Any]]
    return type(default)


def _once_more(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs for a second task: the compiler writes into a Collected, so each task needs its own."""
    return {name: dsl.Collected(one.output) if isinstance(one, dsl.Collected) else one for name, one in inputs.items()}
