"""A small sweep, stage by stage, for all tests that need finished artifacts."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from defensive_distillation_pipelines.local.run_folder import RunFolder

# leaves chance on 300 digits within seconds, at T = 1 and at T = 20
TRAINING: dict[str, Any] = {
    "epochs": 6,
    "batch_size": 16,
    "learning_rate": 0.03,
    "momentum": 0.9,
    "output_gain_exponent": 1.0,
}


# every attack but JSMA, as small as it can be; transfer last, which there is none of from a model to itself
OTHERS = (
    "jsma_decreasing",
    "jsma_untargeted",
    "fgsm",
    "pgd",
    "cw_l2",
    "cw_l0",
    "cw_linf",
    "square",
    "noise",
    "transfer",
)
JSMA = {"sources": 7, "max_features": 20}
SMALL: dict[str, Any] = {
    "jsma_decreasing": {"sources": 2, "max_features": 20},
    "jsma_untargeted": {"sources": 2, "max_features": 20},
    "bounded": {"samples": 6, "epsilons": (0.2, 1.0)},
    "pgd": {"steps": 10},
    "square": {"queries": 20},
    "cw": {
        "sources": 1,
        "steps": 20,
        "search_steps": 3,
        "learning_rate": 0.2,
        "initial_constant": 0.01,
        "constant_factor": 100.0,
    },
    "transfer": {"confidences": (0.0, 5.0)},
    "part_size": 10,
}


@dataclass(frozen=True)
class Chain:
    """Where the artifacts of a small sweep lie: 300 digits, six epochs, 63 pairs, a handful for other attacks."""

    folder: Path

    def place(self, name: str) -> str:
        """The artifact called `name`: dataset, teacher-1, teacher-20, soft-labels, student, attack, others, evaluation.

        Of attack, others and evaluation those of the student, and with '-baseline' and '-control' the others.
        """
        return str(self.folder / name)


def lay_out(chain: Chain, root: Path, *names: str) -> list[RunFolder]:
    """Finished runs as `defdistill run` leaves them in the workspace `root`, all with the artifacts of the chain."""
    from defensive_distillation.config import loading
    from defensive_distillation_pipelines.local.run_folder import RunFolder
    from defensive_distillation_pipelines.local.workspace import Workspace

    workspace = Workspace(root)
    workspace.create()
    for place in chain.folder.iterdir():
        if place.name != "report":
            shutil.copytree(place, workspace.store / place.name)
    runs = [RunFolder(workspace, name) for name in names]
    for run in runs:
        run.begin(loading.load("digits", None, ["temperatures=20"]))
        shutil.copytree(chain.place("report"), run.report)
    return runs


def run_chain(folder: Path) -> Chain:
    """Every stage run once on real digits: a baseline, and a student at T = 20 that has hardly learnt anything.

    What is there already is not made again.
    """
    from defensive_distillation import config
    from defensive_distillation.stages import (
        attack,
        evaluate,
        generate_soft_labels,
        prepare_data,
        report,
        train_student,
        train_teacher,
    )

    chain = Chain(folder)
    at = chain.place
    training = TRAINING
    data = config.PrepareDataConfig(train_limit=300, test_limit=60)
    prepare_data.run(data, output=at("dataset"))
    teacher_1 = config.TrainTeacherConfig(**training)
    train_teacher.run(teacher_1, dataset=at("dataset"), output=at("teacher-1"))
    teacher_20 = config.TrainTeacherConfig(**training, temperature=20)
    train_teacher.run(teacher_20, dataset=at("dataset"), output=at("teacher-20"))
    soft = config.GenerateSoftLabelsConfig(temperature=20)
    generate_soft_labels.run(soft, dataset=at("dataset"), teacher=at("teacher-20"), output=at("soft-labels"))
    student = config.TrainStudentConfig(**training, temperature=20)
    train_student.run(student, dataset=at("dataset"), soft_labels=at("soft-labels"), output=at("student"))
    for model, suffix, names, scale in (
        ("teacher-1", "-baseline", OTHERS[:-1], 1),
        ("student", "", OTHERS, 1),
        ("teacher-1", "-control", ("fgsm", "pgd", "square", "noise"), 20),
    ):
        jsma = config.AttackConfig(jsma=JSMA, part_size=30, logit_scale=scale)
        others = config.AttackConfig(**SMALL, attacks=names, logit_scale=scale)
        for made, name in ((jsma, "attack" + suffix), (others, "others" + suffix)):
            inputs = {"dataset": at("dataset"), "model": at(model), "surrogate": at("teacher-1")}
            attack.run(made, **inputs, output=at(name))
        attacks = [at("attack" + suffix), at("others" + suffix)]
        found = at("evaluation" + suffix)
        evaluate.run(config.EvaluateConfig(), dataset=at("dataset"), model=at(model), attacks=attacks, output=found)
    evaluations = [at("evaluation-baseline"), at("evaluation"), at("evaluation-control")]
    report.run(config.ReportConfig(), evaluations=evaluations, output=at("report"))
    return chain
