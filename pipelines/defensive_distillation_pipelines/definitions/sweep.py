"""The sweep over temperatures and defenses as a Kubeflow pipeline: one definition for this machine and for a cluster.

The shape of the pipeline stands in `_Sweep.define` and nowhere else: what a run shows of its progress is read off the
compiled pipeline (plan.py). Only how it fans out differs. Here it does by loops, since Kubeflow's local runner runs at
once what is in a loop. For a cluster every network is written out: a loop there costs two pods and twenty seconds, and
begins only when all is there that its body reads, while the tasks of one network wait for nothing but their own inputs.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kfp import dsl

from defensive_distillation.config import STAGES, AttackConfig, DefenseChoice, ExperimentConfig
from defensive_distillation.defenses import distillation
from defensive_distillation.model_id import BASELINE
from defensive_distillation_pipelines.definitions.asking import ask
from defensive_distillation_pipelines.definitions.components import LOCAL_IMAGE, component, finishing
from defensive_distillation_pipelines.definitions.resources import FINISH, Cluster

_DESCRIPTIONS = {
    "temperatures": "Temperatures of the sweep; the undistilled model is always added.",
    "undistilled": "Settings of attack on the undistilled model and its controls, whose logits are multiplied by T.",
    "baseline_attacks": "Settings of each step of attacks on the undistilled model.",
    "controls": "Settings of attack on each control, the undistilled model with its logits multiplied by T.",
    "crafting": "Settings of attack for the samples crafted on the undistilled model, which defended ones are shown.",
    "attacks": "Settings of attack on a defended model.",
    "defenses": "Settings of train_defended, one object for each defense but distillation.",
}
_SETTINGS_FROM_LISTS = ("attack", "train_defended")  # stages whose settings come from parameters of other names
_OF_DISTILLATION = ("generate_soft_labels", "train_student")  # stages that there are for distilled networks alone


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
        self.crafted: dict[str, Any] = {}  # the samples that defended networks are shown, if any
        self.ended: list[dsl.PipelineTask] = []  # the last task of each network so far
        self.first: list[dsl.PipelineTask] = []  # what the first task of the next network waits for
        lean = cluster is not None  # the image there fixes the defaults: only what differs from them is told
        self.lists = _lists(config, lean)
        settings: dict[str, Any] = {} if lean else dict(self.lists)
        if "attacks" not in self.lists:
            (settings["attacks"],) = _attacks(config, lean)
        if crafting := config.crafting_task(lean=lean):
            settings["crafting"] = crafting
        left_out = {*_SETTINGS_FROM_LISTS, *(() if gate else ("gate",)), *_stages_without_use(config)}
        settings |= {stage: config.settings(stage, lean=lean) for stage in STAGES if stage not in left_out}
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        self.parameters = {
            name: inspect.Parameter(name, kind, default=default, annotation=_annotation(default))
            for name, default in settings.items()
        }

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
            if "import_model" in values:
                model = self._step("import_model", dataset=dataset)
                self._end({"imported": self._judged("imported", dataset=dataset, model=model)})
                return
            baseline = self._step("train_teacher", "train baseline", dataset=dataset, temperature=1.0)
            if "crafting" in values:
                crafting = {"dataset": dataset, "model": baseline, "settings": values["crafting"]}
                self.crafted = {"crafted": self._step("attack", "craft on baseline", **crafting)}
            evaluations = self._undistilled(dataset, baseline)
            if "temperatures" in self.lists:
                evaluations |= self._fan_out("temperatures", lambda each: self._student(each, dataset))
            if "defenses" in self.lists:
                evaluations |= self._fan_out("defenses", lambda each: self._defended(each, dataset))
            self._end(evaluations)

    def _end(self, evaluations: dict[str, Any]) -> None:
        report = self._step("report", evaluations=evaluations)
        if self.gate:
            self._step("gate", evaluations=_once_more(evaluations), report=report)

    def _undistilled(self, dataset: Any, baseline: Any) -> dict[str, Any]:
        """The undistilled network and its controls, which are attacks on one network."""
        given = {"dataset": dataset, "model": baseline}
        if "undistilled" in self.lists:
            return self._fan_out("undistilled", lambda each: self._evaluated(_undistilled(each), each, **given))
        of_baseline = self._evaluated("baseline", "baseline_attacks", **given)
        if "controls" not in self.lists:
            return {"baseline": of_baseline}
        controls = self._fan_out("controls", lambda each: self._evaluated(_undistilled(each), each, **given))
        return {"baseline": of_baseline, **controls}

    def _student(self, temperature: Any, dataset: Any) -> Any:
        """The paper's chain: teacher, soft labels, student."""
        label = distillation.student(temperature).label if isinstance(temperature, float) else ""
        at = {"dataset": dataset, "temperature": temperature}
        teacher = self._step("train_teacher", f"train teacher {label}", **at)
        soft_labels = self._step("generate_soft_labels", f"generate soft labels {label}", teacher=teacher, **at)
        student = self._step("train_student", f"train student {label}", soft_labels=soft_labels, **at)
        return self._judged(label or "student", dataset=dataset, model=student, **self.crafted)

    def _defended(self, settings: Any, dataset: Any) -> Any:
        label = DefenseChoice.model_validate(_chosen(settings)).label if isinstance(settings, dict) else ""
        defended = self._step("train_defended", f"train {label or 'defended'}", dataset=dataset, settings=settings)
        return self._judged(label or "defended", dataset=dataset, model=defended, **self.crafted)

    def _judged(self, label: str, **given: Any) -> Any:
        """The evaluation of a defended network after its attacks."""
        return self._evaluated(label, "attacks" if "attacks" in self.lists else self.values["attacks"], **given)

    def _evaluated(self, label: str, attacks: Any, *, dataset: Any, model: Any, **crafted: Any) -> Any:
        """The evaluation of a network after a step of attacks with these settings, or those of the list so called."""
        given = {"dataset": dataset, "model": model}

        def attacked(settings: Any) -> Any:
            borrows = not isinstance(settings, dict) or AttackConfig.model_validate(settings).needs("crafted")
            shown = crafted if borrows else {}  # a step of other attacks need not wait for them
            return self._step("attack", f"attack {label}", settings=settings, **given, **shown)

        several = self._fan_out(attacks, attacked) if isinstance(attacks, str) else {"attacks": attacked(attacks)}
        return self._step("evaluate", f"evaluate {label}", attacks=several, **given)

    def _fan_out(self, name: str, chain: Callable[[Any], Any]) -> dict[str, Any]:
        """What `chain` makes of each item of the list `name`, by the names under which a step takes them."""
        if self.cluster is None:
            with dsl.ParallelFor(self.values[name], name=name) as item:
                one = chain(item)
            return {name: dsl.Collected(one)}
        made = {}
        for number, item in enumerate(self.lists[name], start=1):
            with self._turn(apart=name.endswith("attacks")):
                made[f"{name}_{number}"] = chain(item)
        return made

    @contextlib.contextmanager
    def _turn(self, *, apart: bool) -> Iterator[None]:
        """Keeps no more networks at work at once than the run may have; steps of attacks `apart` are no network."""
        most = self.cluster.parallelism if self.cluster else None
        if apart or most is None:
            yield
            return
        self.first = self.ended[-most:][:1] if len(self.ended) >= most else []
        yield
        self.ended.append(self.last)

    @contextlib.contextmanager
    def _ending(self) -> Iterator[None]:
        """On a cluster, around all steps: a last one that ends what a failed run has left open."""
        if self.cluster is None:
            yield
            return
        last = finishing(self.image)(name=dsl.PIPELINE_JOB_NAME_PLACEHOLDER, step=self._told(FINISH))
        ask(last, FINISH, self.cluster)
        with dsl.ExitHandler(last, name="sweep"):
            yield

    def _step(self, stage: str, title: str = "", *, settings: Any = None, **inputs: Any) -> Any:
        """A task of the stage; its one output.

        Args:
            stage: its name.
            title: for people.
            settings: of the stage, if not those of its own parameter.
            inputs: artifacts by name, or for an input that takes several a mapping of named ones; and settings that
                are told apart from the others.
        """
        apart = {name: value for name, value in inputs.items() if name in STAGES[stage].model_fields}
        read = {
            name: one if isinstance(one, dict) else {name: one} for name, one in inputs.items() if name not in apart
        }
        given = {name: tuple(map(_delivered, several.items())) for name, several in read.items()}
        task = component(stage, self.image, given, tuple(apart))(
            **apart,
            **{key: one for several in read.values() for key, one in several.items()},
            settings=self.values[stage] if settings is None else settings,
            step=self._told(stage),
        )
        for before in self.first:
            task.after(before)
        self.first, self.last = [], task
        if title:
            task.set_display_name(title.strip())
        if self.cluster is not None:
            ask(task, stage, self.cluster)
        else:
            task.set_caching_options(stage not in ("report", "gate"))
        return task.outputs[STAGES[stage].output]

    def _told(self, stage: str) -> dict[str, str]:
        told = {"work": self.work, "code": self.codes.get(stage, "")}
        return {name: value for name, value in told.items() if value}


def _lists(config: ExperimentConfig, lean: bool) -> dict[str, list[Any]]:
    """What the sweep fans out over; attacks only where a network has several steps of them."""
    attacks = _attacks(config, lean)
    if config.imported:
        return {"attacks": attacks} if len(attacks) > 1 else {}
    baseline = config.baseline_tasks(lean=lean)
    controls = config.control_tasks(lean=lean)
    lists: dict[str, list[Any]] = {"temperatures": list(config.temperatures)} if config.distilled else {}
    # a loop within a loop, and Kubeflow's local runner would hand the inner one's items to the outer one's steps
    lists |= (
        {"undistilled": baseline + controls}
        if len(baseline) == 1
        else {"baseline_attacks": baseline, **({"controls": controls} if controls else {})}
    )
    lists |= {"attacks": attacks} if len(attacks) > 1 else {}
    return lists | ({"defenses": config.defense_tasks(lean=lean)} if config.other_defenses else {})


def _attacks(config: ExperimentConfig, lean: bool) -> list[dict[str, Any]]:
    """The settings of each step of attacks on a defended network, or on one that was imported."""
    return config.baseline_tasks(lean=lean) if config.imported else config.attack_tasks(lean=lean)


def _stages_without_use(config: ExperimentConfig) -> tuple[str, ...]:
    """Stages that this pipeline has no step of."""
    if config.imported:
        return ("train_teacher", *_OF_DISTILLATION)
    return ("import_model", *(() if config.distilled else _OF_DISTILLATION))


def _undistilled(settings: Any) -> str:
    """The label of the undistilled network or of a control, as far as it is known when the pipeline is compiled."""
    if not isinstance(settings, dict):
        return "undistilled"
    return distillation.control(settings["logit_scale"]).label if "logit_scale" in settings else BASELINE.label


def _chosen(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: settings[name] for name in ("defense", "parameters") if name in settings}


def _delivered(named: tuple[str, Any]) -> str:
    name, channel = named
    return f"{name}*" if isinstance(channel, dsl.Collected) else name


def _annotation(default: Any) -> Any:
    """The annotation of a parameter: a loop over a list of unknown items would hand on texts."""
    if isinstance(default, list):
        return list[float] if isinstance(default[0], float) else list[dict[str, Any]]
    return type(default)


def _once_more(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs for a second task: the compiler writes into a Collected, so each task needs its own."""
    return {name: dsl.Collected(one.output) if isinstance(one, dsl.Collected) else one for name, one in inputs.items()}
