from __future__ import annotations

import importlib.util
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import s3_server
from defensive_distillation import storage

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture(scope="session")
def s3() -> Iterator[s3_server.S3Server]:
    """A real S3 server for the session; nothing points to it until a test asks for `s3_bucket`."""
    if importlib.util.find_spec("swift") is None:
        if os.environ.get("DEFDISTILL_REQUIRE_ALL") == "1":
            pytest.fail("expected the S3 server 'swift', found no such package: pip install swift")
        pytest.skip("the S3 server needs the package 'swift', of the extra 'dev'")
    with s3_server.running() as server:
        yield server


@pytest.fixture(scope="session")
def s3_client(s3: s3_server.S3Server) -> Iterator[S3Client]:
    """A client that shares nothing with `storage`, to see what really is on the server."""
    import boto3

    client = boto3.session.Session(s3.access_key, s3.secret_key, region_name=s3.region).client(
        "s3", endpoint_url=s3.endpoint
    )
    yield client
    client.close()


@pytest.fixture
def s3_bucket(s3: s3_server.S3Server, s3_client: S3Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A fresh bucket, as `s3://name`, with the environment set so that `storage` finds it."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    bucket = f"test-{secrets.token_hex(6)}"
    s3_client.create_bucket(Bucket=bucket)
    storage.close()
    yield f"s3://{bucket}"
    storage.close()


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
SUITE: dict[str, Any] = {
    "max_features": 20,
    "other_sources": 2,
    "samples": 6,
    "epsilons": (0.2, 1.0),
    "pgd_steps": 10,
    "square_queries": 20,
    "cw_sources": 1,
    "cw_steps": 30,
    "cw_search_steps": 4,
    "cw_learning_rate": 0.2,
    "cw_initial_constant": 0.01,
    "cw_constant_factor": 100.0,
    "confidences": (0.0, 5.0),
    "part_size": 10,
}


@dataclass(frozen=True)
class Chain:
    """Where the artifacts of a small sweep lie: 300 digits, six epochs, ninety pairs, a handful for other attacks."""

    folder: Path

    def place(self, name: str) -> str:
        """The artifact called `name`: dataset, teacher-1, teacher-20, soft-labels, student, attack, suite, evaluation.

        Of attack, suite and evaluation those of the student, and with '-baseline' and '-control' the others.
        """
        return str(self.folder / name)


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Every stage run once on real digits: a baseline, and a student at T = 20 that has hardly learnt anything."""
    from defensive_distillation import config
    from defensive_distillation.stages import (
        attack,
        evaluate,
        generate_soft_labels,
        prepare_data,
        report,
        scale_logits,
        train_student,
        train_teacher,
    )

    chain = Chain(tmp_path_factory.mktemp("chain"))
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
    scale_logits.run(config.ScaleLogitsConfig(temperature=20), model=at("teacher-1"), output=at("control"))
    for model, suffix, names in (
        ("teacher-1", "-baseline", OTHERS[:-1]),
        ("student", "", OTHERS),
        ("control", "-control", ("fgsm", "pgd", "square", "noise")),
    ):
        jsma = config.AttackConfig(sources=10, part_size=30, max_features=20)
        others = config.AttackConfig(**SUITE, attacks=names)
        for made, name in ((jsma, "attack" + suffix), (others, "suite" + suffix)):
            inputs = {"dataset": at("dataset"), "model": at(model), "surrogate": at("teacher-1")}
            attack.run(made, **inputs, output=at(name))
        attacks = [at("attack" + suffix), at("suite" + suffix)]
        found = at("evaluation" + suffix)
        evaluate.run(config.EvaluateConfig(), dataset=at("dataset"), model=at(model), attacks=attacks, output=found)
    evaluations = [at("evaluation-baseline"), at("evaluation"), at("evaluation-control")]
    report.run(config.ReportConfig(), evaluations=evaluations, output=at("report"))
    return chain


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Small networks are quickest on one thread, and the tests' processes share the cores."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the tracking server, the run or the image of whoever starts the tests."""
    for name in [n for n in os.environ if n.startswith(("MLFLOW_", "KFP_", "DEFDISTILL_RUN", "DEFDISTILL_IMAGE"))]:
        monkeypatch.delenv(name)
