"""gate: the sweep beside the champion's; it fails where a measure is clearly worse than its rule allows."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from defensive_distillation.artifacts import Artifact
from defensive_distillation.artifacts.evaluation import read_measured
from defensive_distillation.artifacts.facts import GateFacts, checked
from defensive_distillation.comparison.change import Measure
from defensive_distillation.comparison.rules import Rules, judge
from defensive_distillation.comparison.sweeps import changes
from defensive_distillation.config import GateConfig
from defensive_distillation.config.stages.gate import AccuracyRule, DistanceRule, JsmaRule, RobustAccuracyRule
from defensive_distillation.errors import GateError
from defensive_distillation.reporting.gate import FAILED, write_gate
from defensive_distillation.runtime.command import main
from defensive_distillation.runtime.stage import Places, Result, Stage, Task
from defensive_distillation.tracking.registry.champion import registry


def _compute(task: Task[GateConfig]) -> Result:
    champion = [task.read(read_measured, one) for one in task.inputs.get("champion", ())]
    candidate = [task.read(read_measured, one) for one in task.inputs["evaluations"]]
    rules = _rules(task.config)
    judged = None
    if champion:
        compared = changes(champion, candidate, roles=task.config.networks, compared=tuple(rules.limits))
        judged = judge(compared, rules)
    page = task.input("report").file("report.html").read_text(encoding="utf-8")
    found, write_files = write_gate(judged, page)
    return Result({**found, "champion": sorted(one.digest for one in champion)}, write_files)


def _rules(config: GateConfig) -> Rules:
    rules: dict[Measure, AccuracyRule | RobustAccuracyRule | JsmaRule | DistanceRule] = {
        "accuracy": config.accuracy,
        "robust_accuracy": config.robust_accuracy,
        "jsma_success": config.jsma_success,
        "distance": config.distance,
    }
    heeded = {measure: rule.tolerance for measure, rule in rules.items() if rule.compared}
    if config.verdict.compared:
        heeded["masked"] = 0.0
    return Rules(heeded, incomparable=config.incomparable == "fail")


@contextmanager
def _found(config: GateConfig, given: Places) -> Iterator[Places]:
    """The champion's evaluations, from MLflow's registry where none are given."""
    known = registry() if config.from_registry and not given.get("champion") else None
    if known is None:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="defdistill-") as folder:
        yield {"champion": known.evaluations(config.experiment, Path(folder))}


def _require(artifact: Artifact) -> None:
    """Raises what failed."""
    if checked(artifact, GateFacts).outcome == FAILED:
        raise GateError(artifact.facts["sentence"], artifact.location)


STAGE = Stage(GateConfig, _compute, _found, _require)
run = STAGE.run

if __name__ == "__main__":
    main("gate")
