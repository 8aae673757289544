"""The stages as lightweight Kubeflow components: the body of each is a call of the installed package.

Every component takes the settings of its stage as one JSON value (docs/configuration.md lists them), `work` for what
lets a killed step go on, the `code` digest that the pipeline counts on, and the name of a `rerun`.
"""

# no 'from __future__ import annotations' here: KFP reads the annotations as objects
import os
from typing import List  # noqa: UP035  KFP knows only this spelling

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from defensive_distillation import __version__

# the image of every step; the variable decides when a pipeline is compiled
IMAGE = os.environ.get("DEFDISTILL_IMAGE", f"defensive-distillation:{__version__}")


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def prepare_data(dataset: Output[Dataset], settings: dict, work: str = "", code: str = "", rerun: str = ""):
    """Read, check and split a dataset.

    Args:
        dataset: Images as uint8, labels, classes and digests.
        settings: Settings of prepare_data.
        work: Folder or s3:// prefix for unfinished work.
        code: Code digest that the step must have, '' for any.
        rerun: Name of a rerun, recorded beside the first run.
    """
    from defensive_distillation.runtime.step import run

    run("prepare_data", settings, {}, dataset, work=work, code=code, rerun=rerun)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train_teacher(
    dataset: Input[Dataset],
    model: Output[Model],
    settings: dict,
    temperature: float,
    work: str = "",
    code: str = "",
    rerun: str = "",
):
    """Train a network on hard labels with a softmax at T; at T = 1 it is the baseline.

    Args:
        dataset: From prepare_data.
        model: Weights, architecture, and how it was trained.
        settings: Settings of train_teacher.
        temperature: T of the softmax.
        work: Folder or s3:// prefix for unfinished work.
        code: Code digest that the step must have, '' for any.
        rerun: Name of a rerun, recorded beside the first run.
    """
    from defensive_distillation.runtime.step import run

    settings = {**settings, "temperature": temperature}
    run("train_teacher", settings, {"dataset": dataset}, model, work=work, code=code, rerun=rerun)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def generate_soft_labels(
    dataset: Input[Dataset],
    teacher: Input[Model],
    soft_labels: Output[Artifact],
    settings: dict,
    temperature: float,
    work: str = "",
    code: str = "",
    rerun: str = "",
):
    """Label the training images again with the teacher's probabilities at T.

    Args:
        dataset: From prepare_data.
        teacher: From train_teacher at the same T.
        soft_labels: Probability vectors of the training images.
        settings: Settings of generate_soft_labels.
        temperature: T of the softmax.
        work: Folder or s3:// prefix for unfinished work.
        code: Code digest that the step must have, '' for any.
        rerun: Name of a rerun, recorded beside the first run.
    """
    from defensive_distillation.runtime.step import run

    settings, inputs = {**settings, "temperature": temperature}, {"dataset": dataset, "teacher": teacher}
    run("generate_soft_labels", settings, inputs, soft_labels, work=work, code=code, rerun=rerun)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train_student(
    dataset: Input[Dataset],
    soft_labels: Input[Artifact],
    model: Output[Model],
    settings: dict,
    temperature: float,
    work: str = "",
    code: str = "",
    rerun: str = "",
):
    """Train the distilled network on soft labels with a softmax at the same T.

    Args:
        dataset: From prepare_data.
        soft_labels: From generate_soft_labels.
        model: Weights, architecture, and how it was trained.
        settings: Settings of train_student.
        temperature: T of the softmax.
        work: Folder or s3:// prefix for unfinished work.
        code: Code digest that the step must have, '' for any.
        rerun: Name of a rerun, recorded beside the first run.
    """
    from defensive_distillation.runtime.step import run

    settings, inputs = {**settings, "temperature": temperature}, {"dataset": dataset, "soft_labels": soft_labels}
    run("train_student", settings, inputs, model, work=work, code=code, rerun=rerun)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def scale_logits(
    model: Input[Model],
    control: Output[Model],
    settings: dict,
    temperature: float,
    work: str = "",
    code: str = "",
    rerun: str = "",
):
    """Multiply the logits of the undistilled network by T: the control.

    Args:
        model: From train_teacher at T = 1.
        control: The same network, its last layer multiplied by T.
        settings: Settings of scale_logits.
        temperature: T.
        work: Folder or s3:// prefix for unfinished work.
        code: Code digest that the step must have, '' for any.
        rerun: Name of a rerun, recorded beside the first run.
    """
    from defensive_distillation.runtime.step import run

    settings = {**settings, "temperature": temperature}
    run("scale_logits", settings, {"model": model}, control, work=work, code=code, rerun=rerun)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def attack(
    dataset: Input[Dataset],
    model: Input[Model],
    surrogate: Input[Model],
    samples: Output[Artifact],
    settings: dict,
    work: str = "",
    code: str = "",
    rerun: str = "",
):
    """Attack a model: JSMA as in the paper, and the attacks of those who know the defense.

    Args:
        dataset: From prepare_data.
        model: From train_teacher or train_student.
        surrogate: The undistilled model, on which transfer crafts its samples.
        samples: Adversarial samples with source, target, success, distances and stop reason.
        settings: Settings of attack, which name the attacks.
        work: Folder or s3:// prefix for unfinished work.
        code: Code digest that the step must have, '' for any.
        rerun: Name of a rerun, recorded beside the first run.
    """
    from defensive_distillation.runtime.step import run

    inputs = {"dataset": dataset, "model": model, "surrogate": surrogate}
    run("attack", settings, inputs, samples, work=work, code=code, rerun=rerun)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate(
    dataset: Input[Dataset],
    model: Input[Model],
    samples: Input[List[Artifact]],  # noqa: UP006
    evaluation: Output[Artifact],
    settings: dict,
    work: str = "",
    code: str = "",
    rerun: str = "",
):
    """Measure accuracy, robustness and gradients of an attacked model.

    Args:
        dataset: From prepare_data.
        model: From train_teacher or train_student.
        samples: From the tasks of attack, in any order.
        evaluation: Every number of the paper for this model, and the honest ones.
        settings: Settings of evaluate.
        work: Folder or s3:// prefix for unfinished work.
        code: Code digest that the step must have, '' for any.
        rerun: Name of a rerun, recorded beside the first run.
    """
    from defensive_distillation.runtime.step import run

    inputs = {"dataset": dataset, "model": model, "attacks": samples}
    run("evaluate", settings, inputs, evaluation, work=work, code=code, rerun=rerun)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def report(
    baseline: Input[Artifact],
    evaluations: Input[List[Artifact]],  # noqa: UP006
    controls: Input[List[Artifact]],  # noqa: UP006
    report: Output[Artifact],
    settings: dict,
    work: str = "",
    code: str = "",
    rerun: str = "",
):
    """Write the sweep's table, figures and HTML page.

    Args:
        baseline: Evaluation of the network without distillation.
        evaluations: Evaluations of the distilled networks, in any order.
        controls: Evaluations of the controls, in any order.
        report: Table (CSV and JSON), figures, and one self-contained page.
        settings: Settings of report.
        work: Folder or s3:// prefix for unfinished work.
        code: Code digest that the step must have, '' for any.
        rerun: Name of a rerun, recorded beside the first run.
    """
    from defensive_distillation.runtime.step import run

    inputs = {"evaluations": [baseline, *evaluations, *controls]}
    run("report", settings, inputs, report, work=work, code=code, rerun=rerun)
