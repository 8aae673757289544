"""Whatever is given wrongly, on every command: one line that says what was expected, the right code, nothing left."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from defensive_distillation import artifacts
from defensive_distillation.artifacts import storage
from defensive_distillation.artifacts.arrays import TENSORS
from defensive_distillation.artifacts.attack import read_attack
from defensive_distillation.config import STAGES, PrepareDataConfig
from defensive_distillation.stages import prepare_data
from defensive_distillation_pipelines.commands import cli
from defensive_distillation_pipelines.local.run_folder import RunFolder
from support.chain import Chain, lay_out
from support.comparisons.measured import rewritten

KINDS = "expected an artifact of kind {}, got one of kind {}"
NO_KEY = "got a key that does not exist"
OUT = "--output {tmp}/out/x"


@dataclass(frozen=True)
class Row:
    """A command that cannot work: its words with names of places, its exit code, and what its one line says."""

    name: str
    command: str
    message: str
    code: int = 2
    environment: dict[str, str] = field(default_factory=dict)
    disk: str = ""  # size of a disk of its own, which is the working folder


def run(name: str, options: str, message: str) -> Row:
    return Row(f"run {name}", f"run --workspace {{tmp}}/out {options}", message)


def compiling(name: str, options: str, message: str) -> Row:
    return Row(f"compile {name}", f"compile -o {{tmp}}/out/sweep.yaml {options}", message)


def rerun(name: str, options: str, message: str) -> Row:
    return Row(f"rerun {name}", f"rerun {options}", message)


def prepare(name: str, options: str, message: str, **more: object) -> Row:
    return Row(f"prepare_data {name}", f"stage prepare_data {OUT} {options}", message, **more)  # type: ignore[arg-type]


def teacher(name: str, options: str, message: str) -> Row:
    command = f"stage train_teacher --dataset {{chain}}/dataset {OUT} --epochs 1 {options}"
    return Row(f"train_teacher {name}", command, message)


def defended(name: str, options: str, message: str) -> Row:
    return Row(f"train_defended {name}", f"stage train_defended --dataset {{chain}}/dataset {OUT} {options}", message)


def attack(name: str, options: str, message: str) -> Row:
    command = f"stage attack --dataset {{chain}}/dataset --model {{chain}}/student {OUT} {options}"
    return Row(f"attack {name}", command, message)


def imported(name: str, options: str, message: str) -> Row:
    return Row(f"import_model {name}", f"stage import_model --dataset {{chain}}/dataset {OUT} {options}", message)


def audit(name: str, options: str, message: str) -> Row:
    return Row(f"audit {name}", f"audit --data digits {options}", message)


ROWS = [
    Row(
        "the workspace of run in an object store",
        "run --workspace s3://bucket/x",
        r"expected a folder on this machine, got 's3://bucket/x'",
    ),
    Row(
        "the workspace of rerun in an object store",
        "rerun attack --run latest --workspace s3://bucket/x",
        r"expected a folder on this machine, got 's3://bucket/x'",
    ),
    Row(
        "the workspace of report in an object store",
        "report latest --workspace s3://bucket/x",
        r"expected a folder on this machine, got 's3://bucket/x'",
    ),
    Row(
        "the workspace of ui in an object store",
        "ui --workspace s3://bucket/x",
        r"expected a folder on this machine, got 's3://bucket/x'",
    ),
    Row(
        "the output of report in an object store",
        "report latest -o s3://bucket/x",
        r"expected a folder on this machine, got 's3://bucket/x'",
    ),
    # networks of others
    imported("of nothing", "", "model: expected torchvision:NAME, .* or FILE.onnx, got ''"),
    imported("of a module that is not there", "--model no.where:net", "got 'no.where'; put its folder on PYTHON"),
    imported("without weights", "--model torchvision:resnet18", "weights: expected a file with those of torch"),
    imported("with a std of 0", "--model x:y --std 0", "std: expected numbers above 0, got 0"),
    imported("with two means", "--model x:y --mean 1,2", "mean: expected one number, or one for each of"),
    imported("of a file that is not there", "--model x.onnx", "x.onnx: expected a file, found nothing"),
    imported("by a registry's name alone", "--model models:/net", "expected models:/NAME@ALIAS or models:/NAME/VERS"),
    imported("of a registry that is none", "--model models:/net/1", "MLFLOW_TRACKING_URI to name the regi.*, got none"),
    imported(
        "with weights beside a version", "--model models:/net/1 --weights w.pth", "expected none, those of models:"
    ),
    audit("with a step that is no name", "--model x:y --input-step round", r"input_step: expected package.module:func"),
    audit("with no draw", "--model x:y --draws 0", r"draws: .*greater than or equal to 1, got '0'"),
    audit("without a model", "", "the following arguments are required: --model; see defdistill audit --help"),
    audit("with a radius in 255ths", "--model x:y --epsilons 8", "for images in .*, got 8; for 8 of 255 give"),
    audit(
        "with radii that are none",
        "--model x:y --epsilons few",
        "--epsilons: expected numbers such as 0.1",
    ),
    audit("with a half width of 1", "--model x:y --half-width 1", r"attack\.half_width: .*less than 0.5, got '1'"),
    audit("with an attack that is none", "--model x:y --attacks hope", "expected attacks among jsma, .*, not 'hope'"),
    # which command, which stage
    Row("no such command", "trian", r"invalid choice: 'trian' \(choose from 'run', 'audit', .*see defdistill --help"),
    Row("no such stage", "stage publish", r"invalid choice: 'publish' \(choose from 'prepare_data', .*'gate'\)"),
    Row("no stage", "stage", "arguments are required: STAGE; see defdistill stage --help"),
    Row(
        "no output", "stage prepare_data", "arguments are required: --output; see defdistill stage prepare_data --help"
    ),
    Row("no such flag", f"stage prepare_data {OUT} --sauce digits", "unrecognized arguments: --sauce"),
    # temperatures
    run("at T = 0", "--temperatures 0", r"temperatures\.0: .*greater than 0, got '0'"),
    run("at a negative T", "--temperatures 1,-2", r"temperatures\.1: .*greater than 0, got '-2'"),
    run("at T = nan", "--temperatures nan", r"temperatures\.0: .*finite number, got 'nan'"),
    run("at T = inf", "--temperatures 1,inf", r"temperatures\.1: .*finite number, got 'inf'"),
    run("at no number", "--temperatures 1,hot", r"temperatures\.1: .*valid number.*, got 'hot'"),
    run("at no temperature", "--temperatures ''", "defenses: expected temperatures for distillation, got none"),
    run("by a misspelt defense", "--defenses label_smoothin", "got 'label_smoothin'; did you mean label_smoothing\\?$"),
    run("at T without distillation", "--temperatures 2 --defenses none", "expected with distillation among the def"),
    run("at one T twice", "--temperatures 20,20.0", "temperatures: each temperature may stand once, repeated: 20"),
    run("of a stage's T", "--set train.temperature=3", r"temperature: the sweep sets it, expected 'temperatures'"),
    teacher("at T = 0", "--temperature 0", r"train_teacher\.temperature: .*greater than 0, got '0'"),
    # settings
    run(
        "of no preset",
        "--preset imagenet",
        "preset: expected one of cifar10, digits, mnist, mnist-short, got 'imagenet'",
    ),
    attack("of no preset", "--preset imagenet", r"--preset: invalid choice: 'imagenet' \(choose from 'cifar10'"),
    run("with no such key", "--set attack.budget=3", rf"attack\.budget: .*{NO_KEY}"),
    run("with no such section", "--set atack.theta=1", f"atack: .*{NO_KEY}"),
    run("without '='", "--set attack.theta", r"--set: expected stage\.key=value, got 'attack\.theta'"),
    run("without a key", "--set =3", r"--set: expected stage\.key=value, got '=3'"),
    run("with a section as value", "--set train=3", "--set train=3: expected settings below train, got '3'"),
    run("with half a seed", "--seed 0.5", "seed: .*valid integer.*, got '0.5'"),
    run("of a name with spaces", "--set 'name=My run'", "name: .*pattern.*, got 'My run'"),
    run("called nothing", "--run ''", "--run: expected up to 100 letters, digits, '-', '_' and '.', got ''"),
    run("called after a place", "--run ../mine", "--run: expected up to 100 letters, .* got '../mine'"),
    run("called like a flag", "--run=-x", "--run: expected up to 100 letters, .* got '-x'"),
    run("of a placeholder", "--set 'report.title={{{{$.pipeline_job_name}}}}'", "report.title: expected a text"),
    run("of a network without its library", "--set train.architecture=resnet18", "would be torchvision:resnet18"),
    Row("run in a URI", "run --workspace {tmp}/feature%2Fx", "--workspace: .* without '%', .*feature%2Fx$"),
    Row("run in a query", "run --workspace {tmp}/runs?1", r"--workspace: expected a path without '\?', .*runs\?1$"),
    compiling("in 100,000 shards", "--set attack.shards=100000", "attack.shards: expected at most 5000 steps of att"),
    run("with a file that is not there", "--config {tmp}/no.yaml", r"no\.yaml: expected a readable YAML or TOML file"),
    run("with a folder as file", "--config {tmp}", "expected a readable YAML or TOML file, got: .*Is a directory"),
    run("with an image as file", "--config {files}/image.png", r"image\.png: expected a readable YAML or TOML file"),
    run("with broken YAML", "--config {files}/broken.yaml", r"broken\.yaml: expected YAML or TOML, got: while pars"),
    run("with broken TOML", "--config {files}/broken.toml", r"broken\.toml: expected YAML or TOML, got: .*line 1"),
    run("with a list as file", "--config {files}/list.yaml", r"list\.yaml: expected keys and values, got list"),
    run("with an empty file", "--config {files}/empty.yaml", r"empty\.yaml: expected keys and values, got NoneType"),
    run("with an empty section", "--config {files}/section.yaml", "expected settings below attack, got None"),
    attack("with a file of no stage", "--config {files}/typo.yaml", "expected the name of a stage, got 'atack'"),
    attack(
        "of no such output",
        "--jsma.outputs logits,margins",
        r"attack\.jsma\.outputs\.1: .*'probabilities'.*, got 'margins'",
    ),
    attack("of one output twice", "--jsma.outputs logits,logits", r"attack\.jsma\.outputs: each may be named once"),
    attack("of no such attack", "--attacks jsma,hope", r"attack\.attacks: expected attacks among jsma, .*, not 'hope'"),
    attack("of one attack twice", "--attacks fgsm,fgsm", r"attack\.attacks: each attack may be named once"),
    attack(
        "in falling balls",
        "--attacks fgsm --bounded.epsilons 0.3,0.1",
        r"attack\.bounded\.epsilons: expected rising numbers above 0",
    ),
    attack(
        "in a ball too large",
        "--attacks fgsm --bounded.epsilons 2",
        r"attack\.bounded\.epsilons: expected rising numbers .* at most 1",
    ),
    attack(
        "at negative confidence",
        "--attacks transfer --transfer.confidences=-1",
        r"attack\.transfer\.confidences: .* numbers from 0, got",
    ),
    attack(
        "transferred from nowhere", "--attacks transfer", "expected --surrogate, the undistilled model, for transfer"
    ),
    attack(
        "transferred from itself",
        "--attacks transfer --surrogate {chain}/student",
        "expected a surrogate for transfer, got the attacked model itself",
    ),
    Row(
        "control of a distilled model",
        f"stage attack --dataset {{chain}}/dataset --model {{chain}}/student --logit-scale 5 {OUT}",
        "student: expected an undistilled model trained at T = 1, got the defended T=20",
    ),
    attack("of logits times 0", "--logit-scale 0", r"attack\.logit_scale: .*greater than 0, got '0'"),
    run("of no such attack", "--set attacks=jsma,hope", "attacks: expected attacks among jsma, .*, not 'hope'"),
    run("of one attack twice", "--set attacks=jsma,jsma", "attacks: each attack may be named once"),
    run(
        "of nothing but transfer", "--set attacks=transfer", "transfer alone leaves no attack on the undistilled model"
    ),
    run(
        "of half the attacks in groups",
        "--set attacks=jsma,pgd --set attack_groups=jsma",
        r"attack_groups: expected each of jsma, pgd once, got \['jsma'\]",
    ),
    run(
        "by no such defense",
        "--config {files}/no-defense.yaml",
        r"defenses\.0: expected a defense among adversarial_training, .*, got 'hope'",
    ),
    run(
        "by one defense twice",
        "--config {files}/defense-twice.yaml",
        "defenses: each network may stand once, repeated: T=7",
    ),
    run("of a stage's scale", "--set attack.logit_scale=3", "logit_scale: the sweep sets it, expected 'temperatures'"),
    run("of a transfer to controls", "--set control_attacks=transfer", "transfer to a control is no attack"),
    run("of a stage's attacks", "--set attack.attacks=jsma", r"attack\.attacks: the sweep sets it, expected 'attacks'"),
    # datasets
    prepare("from nowhere", "--source {tmp}/nowhere", "source: expected .*digits, .*nowhere', which does not exist"),
    prepare("from an empty folder", "--source {files}/none", "expected at least 2 classes, got 0"),
    prepare("from one class", "--source {files}/one", "expected at least 2 classes, got 1"),
    prepare("from a class without images", "--source {files}/hollow", "dog/: expected the images of a class, got none"),
    prepare("from no image", "--source {files}/unreadable", r"cat/0\.png: expected an image \(.*PNG.*\), got: "),
    prepare("from images of two sizes", "--source {files}/sizes", "expected images of one size, .*--image-size"),
    prepare("from a broken zip", "--source {files}/broken.zip", r"broken\.zip: damaged or truncated"),
    prepare("from a broken tar", "--source {files}/broken.tar.gz", r"broken\.tar\.gz: damaged or truncated"),
    prepare("from no archive", "--source {files}/image.png", r"image\.png: expected an archive of type \.zip, \.tar"),
    prepare(
        "from elsewhere", "--source gs://bucket/x", "expected a local path or s3://bucket/prefix, got 'gs://bucket/x'"
    ),
    prepare("from no MNIST", "--source mnist --data-root {files}", "mnist: expected the file MNIST/raw/.*, found none"),
    prepare("with a needless root", "--data-root {files}", "data_root: expected the source cifar10 or mnist with it"),
    prepare(
        "with few test images", "--test-limit 9", "test_limit: expected at least 10, one image for each class, got 9"
    ),
    # artifacts that do not go together
    Row(
        "dataset is none",
        f"stage train_teacher --dataset {{tmp}}/x {OUT}",
        "x: expected an artifact of kind dataset, f",
    ),
    Row(
        "dataset is a model",
        f"stage train_teacher --dataset {{chain}}/student {OUT}",
        "student: " + KINDS.format("dataset", "model"),
    ),
    Row(
        "model is a dataset",
        f"stage attack --dataset {{chain}}/dataset --model {{chain}}/dataset {OUT}",
        "dataset: " + KINDS.format("model", "dataset"),
    ),
    Row("dataset is damaged", f"stage train_teacher --dataset {{files}}/damaged {OUT}", "safetensors, got .*truncated"),
    Row("place has a name too long", f"stage train_teacher --dataset {'a' * 300} {OUT}", "File name too long"),
    Row(
        "soft labels of another dataset",
        f"stage train_student --dataset {{files}}/dataset --soft-labels {{chain}}/soft-labels --temperature 20 {OUT}",
        "soft-labels: expected soft labels of the dataset [0-9a-f]{12}, got those of [0-9a-f]{12}",
    ),
    Row(
        "student at another T than its soft labels",
        f"stage train_student --dataset {{chain}}/dataset --soft-labels {{chain}}/soft-labels --temperature 5 {OUT}",
        "soft-labels: expected soft labels at T = 5, got those at T = 20",
    ),
    Row(
        "soft labels at another T than their teacher",
        f"stage generate_soft_labels --dataset {{chain}}/dataset --teacher {{chain}}/teacher-1 --temperature 5 {OUT}",
        "teacher-1: expected a teacher trained at T = 5, got the baseline",
    ),
    Row(
        "evaluation of a model with the attack on another",
        f"stage evaluate --dataset {{chain}}/dataset --model {{chain}}/teacher-1 --attacks {{chain}}/attack {OUT}",
        "attack: expected an attack on the model [0-9a-f]{12}, got one on [0-9a-f]{12}",
    ),
    Row(
        "evaluation with one attack twice",
        f"stage evaluate --dataset {{chain}}/dataset --model {{chain}}/student {OUT}"
        " --attacks {chain}/attack {chain}/attack",
        "attacks: expected each artifact once, got .*attack twice",
    ),
    Row(
        "report on one evaluation twice",
        f"stage report --evaluations {{chain}}/evaluation {{chain}}/evaluation {OUT}",
        "evaluations: expected each artifact once, got .*evaluation twice",
    ),
    Row(
        "report on one model twice",
        f"stage report --evaluations {{chain}}/evaluation {{files}}/evaluation-again {OUT}",
        "evaluations: expected one for each model, got T=20, T=20",
    ),
    Row(
        "report on two datasets",
        f"stage report --evaluations {{chain}}/evaluation-baseline {{files}}/evaluation-elsewhere {OUT}",
        "evaluations: expected all on one dataset, got 2 datasets",
    ),
    # what cannot be computed
    attack(
        "with more features than there are",
        "--jsma.max-features 785",
        r"jsma\.max_features: expected at most 784, .*, got 785",
    ),
    attack("from no image", "--jsma.sources 0", r"attack\.jsma\.sources: .*greater than or equal to 1, got '0'"),
    attack("by nothing", "--jsma.theta 0", r"attack\.jsma\.theta: .*not be 0, got '0'"),
    teacher("of no such network", "--architecture lenet", "architecture: expected papernot_mnist, .*, got 'lenet'"),
    teacher(
        "of no classifier", "--architecture torchvision:lenet", "expected a torchvision classifier such as .*'lenet'"
    ),
    teacher("too large for the images", "--architecture torchvision:inception_v3", "does not take images of 1×28×28"),
    teacher(
        "on a GPU that is not there", "--device cuda:99", r"expected one of the \d+ GPUs that PyTorch sees.*cuda:99"
    ),
    teacher("on no device", "--device gpu", r"train_teacher\.device: .*cuda.*, got 'gpu'"),
    teacher("on no thread", "--threads 0", r"train_teacher\.threads: .*greater than or equal to 1, got '0'"),
    defended("by no such defense", "--defense hope", "defense: expected one of adversarial_training, .*, got 'hope'$"),
    defended("at T = 0", "--parameters temperature=0", r"train_defended\.temperature: .*greater than 0, got '0'"),
    defended("with no such parameter", "--parameters hope=1", rf"train_defended\.hope: .*{NO_KEY}"),
    # places that cannot be written
    Row(
        "output below a file",
        "stage prepare_data --output {files}/image.png/x",
        "x: expected a writable path, got 'Not a",
    ),
    Row("output is a file", "stage prepare_data --output {files}/image.png", "expected a place where nothing stands"),
    Row("output is a folder", "stage prepare_data --output {files}/one", "one: expected a place where nothing stands"),
    Row(
        "output is a result", "stage prepare_data --output {chain}/student", "student: expected nothing or this stage's"
    ),
    Row("output is nothing", "stage prepare_data --output ''", "expected a local path or s3://bucket/prefix, got ''"),
    Row(
        "workspace below a file", "run --workspace {files}/image.png/x", "--workspace: expected a folder that can be w"
    ),
    Row("compile below a file", "compile -o {files}/image.png/x", "expected a writable path"),
    Row("compile to a folder", "compile -o {files}/one", "one: expected a writable path, got 'Is a directory'"),
    Row("disk full", "stage prepare_data --output x", "x: expected room on the disk, found it full", 1, disk="8k"),
    Row("disk full of a sweep", "compile -o x/y", "x/y: expected room on the disk, found it full", 1, disk="8k"),
    # resources
    compiling("with no such resource", "--resources attack.gpus=1", f"resources: attack.gpus: .*{NO_KEY}"),
    compiling(
        "for no stage", "--resources atack.cpu=1", "resources: expected one of all, prepare_data, .*, got 'atack'"
    ),
    compiling("with many GPUs", "--resources attack.gpu_count=many", r"attack\.gpu_count: .*integer, got 'many'"),
    compiling("with much memory", "--resources attack.memory=much", r"attack\.memory: .*pattern.*, got 'much'"),
    compiling("without '='", "--resources attack.cpu", r"attack\.cpu: expected a readable YAML or TOML file, got: "),
    compiling(
        "without a key", "--resources =1", r"--resources: expected a file, KEY=VALUE or STAGE\.KEY=VALUE, got '=1"
    ),
    compiling(
        "with two files", "--resources a.yaml --resources b", "expected one file and KEY=VALUE over it, got a.yaml"
    ),
    compiling(
        "with a list as file", "--resources {files}/list.yaml", r"list\.yaml: expected keys and values, got list"
    ),
    compiling(
        "with no keys for a stage",
        "--resources {files}/no-stages.yaml",
        "resources: attack: expected keys and values, g",
    ),
    compiling("for no cluster", "--resources que=team-a", rf"resources\.que: .*{NO_KEY}"),
    compiling("in no queue", "--resources 'queue=Team A'", r"resources\.queue: .*pattern.*, got 'Team A'"),
    compiling("as root", "--resources run_as_user=0", r"resources\.run_as_user: .*greater than or equal to 1, got '0'"),
    compiling("with no profile", "--profile tpu", r"resources\.profile: expected 'gpu' or 'cpu', got 'tpu'"),
    compiling(
        "with work elsewhere", "--work gs://b/w", r"--work: expected an s3:// prefix, or auto .*, got 'gs://b/w'"
    ),
    compiling("with half a JSON", "--resources 'attack.tolerations=[1'", "--resources: expected JSON after '='"),
    # earlier runs
    rerun("of no run", "attack --run no --temperature 20 {ws}", "which has .*finished.*; got 'no'"),
    rerun(
        "without a run", "attack --run no --temperature 20 --workspace {tmp}/out", "start one with defdistill run; got"
    ),
    rerun(
        "of no such T",
        "attack --run finished --temperature 3 {ws}",
        "expected one of baseline, T=20, control T=20, got 'T=3'",
    ),
    rerun(
        "of no number", "attack --run finished --temperature hot {ws}", "--temperature: expected a number, got 'hot'"
    ),
    rerun("of no model", "attack --run finished {ws}", "--model: expected the model whose attack is run again"),
    rerun(
        "of no stage",
        "publish --run finished --temperature 20 {ws}",
        "stage: expected one of prepare_data.*got 'publish'",
    ),
    rerun(
        "of a stage that the baseline has not",
        "train_student --run finished --model baseline {ws}",
        "stage: expected one of .* for baseline, got 'train_student'",
    ),
    rerun(
        "with no such key", "attack --run finished --temperature 20 --set budget=3 {ws}", rf"attack\.budget: .*{NO_KEY}"
    ),
    rerun(
        "without '='",
        "attack --run finished --temperature 20 --set theta {ws}",
        "--set: expected KEY=VALUE, got 'theta'",
    ),
    rerun("of a run without end", "attack --run unfinished --temperature 20 {ws}", "it has no report yet"),
    Row(
        "report of a run without end",
        "report unfinished {ws}",
        "run unfinished: expected a finished run, it has no rep",
    ),
    Row("times of no run", "times no {ws}", "run: expected a run of .*workspace, which has .*; got 'no'"),
    Row("times of a run without end", "times unfinished {ws}", "run: expected one with a step that has ended, got unf"),
    Row("report of no run", "report no {ws}", "run: expected a run of .*workspace, which has .*; got 'no'"),
    Row(
        "report of the last of none",
        "report latest --workspace {tmp}/out",
        "start one with defdistill run; got 'latest'",
    ),
    Row("report of a damaged run", "report damaged {ws}", r"config\.json: expected the settings of a run as JSON, got"),
    Row(
        "report below a file", "report finished -o {files}/image.png/x {ws}", "--output: expected a folder that can be"
    ),
    # comparisons
    Row("compare one run", "compare finished {ws}", "compare: expected two runs or more, got 1"),
    Row("compare with no run", "compare finished nobody {ws}", "expected a run of .*, which has .*; got 'nobody'"),
    Row(
        "compare with an unfinished run",
        "compare finished unfinished {ws}",
        "expected a finished run, it has no report",
    ),
    Row(
        "compare with MLflow down",
        "compare finished nobody {ws}",
        r"MLflow at http://127\.0\.0\.1:\d+ did not",
        1,
        {"MLFLOW_TRACKING_URI": "{closed}"},
    ),
    Row("promote nothing", "promote {ws}", "promote: expected a run, or --list"),
    Row("promote and list", "promote finished --list {ws}", "promote: expected a run, or --list"),
    Row("promote no run", "promote nobody {ws}", "expected a run of .*, which has .*; got 'nobody'"),
    Row(
        "gate without evaluations",
        f"stage gate --report {{chain}}/report {OUT}",
        "the following arguments are required: --evaluations",
    ),
    Row(
        "gate against a report",
        f"stage gate --evaluations {{chain}}/evaluation --report {{chain}}/report --champion {{chain}}/report {OUT}",
        KINDS.format("evaluation", "report"),
    ),
    Row(
        "gate against the same twice",
        f"stage gate --evaluations {{chain}}/evaluation --report {{chain}}/report --champion {{chain}}/evaluation "
        f"{{chain}}/evaluation {OUT}",
        "champion: expected each artifact once, got .* twice",
    ),
    Row(
        "gate with MLflow down",
        f"stage gate --evaluations {{chain}}/evaluation --report {{chain}}/report {OUT}",
        r"MLflow at http://127\.0\.0\.1:\d+ did not",
        1,
        {"MLFLOW_TRACKING_URI": "{closed}"},
    ),
    Row("ui of nothing", "ui --workspace {tmp}/out", "--workspace: expected a folder that defdistill run made, got"),
    Row("ui on no port", "ui --port 99999 {ws}", "--port: expected a port from 1 to 65535, got '99999'"),
    Row(
        "run called latest", "run --workspace {tmp}/out --run latest", "--run: expected a name for a run, got 'latest'"
    ),
    Row("submit called latest", "submit --name latest", "--name: expected a name for a run, got 'latest'"),
    Row("stage with half a flag", f"stage prepare_data --out {{tmp}}/x {OUT}", "unrecognized arguments: --out"),
    Row(
        "list of nothing", "list --workspace {tmp}/out", "--workspace: expected a folder that defdistill run made, got"
    ),
    Row("show no run", "show nobody {ws}", "expected a run of .*, which has .*; got 'nobody'"),
    Row("show nothing", "show '' {ws}", "expected a run of .*, which has .*; got ''"),
    Row("show a damaged run", "show damaged {ws}", "config.json: expected the settings of a run as JSON, got"),
    Row(
        "clean of nothing",
        "clean --workspace {tmp}/out",
        "--workspace: expected a folder that defdistill run made, got",
    ),
    Row("clean no run", "clean nobody {ws}", "expected a run of .*, which has .*; got 'nobody'"),
    Row("clean what is no age", "clean --older-than x {ws}", "expected a number of days, got 'x'"),
    Row("clean what is to be", "clean --older-than -1 {ws}", "expected a number of days, got '-1'"),
    Row("config of no run", "config --run nobody {ws}", "expected a run of .*, which has .*; got 'nobody'"),
    Row("config of a run and flags", "config --run finished --seed 1 {ws}", "--seed: expected without --run"),
    Row("config of no preset", "config --preset x", "preset: expected one of .*, got 'x'"),
    Row("completion for nothing", "completion", "completion: expected a shell, one of bash, zsh, fish, got none"),
    Row("completion for no shell", "completion tcsh", "invalid choice: 'tcsh'"),
    rerun(
        "and what comes after the last",
        "report --run finished --and-after {ws}",
        "--and-after: expected a stage that others come after, got report",
    ),
    rerun(
        "and what comes after a part of a step",
        "attack --run finished --model T=20 --set attacks=fgsm --and-after {ws}",
        "--and-after: expected all of .*fgsm.* again, which were one step, or none of them, got fgsm",
    ),
    rerun(
        "and what comes after on a cluster",
        "attack --cluster --run latest --model T=20 --and-after",
        "--and-after: expected without --cluster",
    ),
    Row("ui on a port that is taken", "ui --port {port} {ws}", r"--port: expected a free port, got \d+: "),
    Row(
        "run with half a flag",
        "run --workspace {tmp}/out --temp 20",
        "unrecognized arguments: --temp 20; see defdistill",
    ),
    # S3 and MLflow
    Row("no S3 URI", "stage prepare_data --output s3:/bucket/x", "expected s3://bucket/prefix, got 's3:/bucket/x"),
    Row(
        "a bucket as output",
        "stage prepare_data --output {bucket}",
        "expected s3://bucket/prefix to write to, got a wh",
    ),
    Row(
        "nothing on S3",
        f"stage train_teacher --dataset {{bucket}}/x {OUT}",
        r"x: expected an artifact, found no manifest",
    ),
    prepare("from nothing on S3", "--source {bucket}/x.zip", r"x\.zip: expected a folder of files, found nothing"),
    Row(
        "no such bucket",
        "stage prepare_data --output {bucket}-no/x",
        "expected a bucket named test-.*-no, found none: create it or correct the name",
        1,
    ),
    Row(
        "a wrong secret",
        "stage prepare_data --output {bucket}/x",
        "S3 refused the credentials .*: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        1,
        {"AWS_SECRET_ACCESS_KEY": "wrong"},
    ),
    Row(
        "no S3 there",
        "stage prepare_data --output {bucket}/x",
        r"S3 endpoint http://127\.0\.0\.1:\d+: expected an answer, got .*: check AWS_ENDPOINT_URL_S3",
        1,
        {"AWS_ENDPOINT_URL_S3": "{closed}"},
    ),
    prepare(
        "with MLflow down",
        "",
        r"MLflow at http://127\.0\.0\.1:\d+ did not take the results: ",
        code=1,
        environment={"MLFLOW_TRACKING_URI": "{closed}"},
    ),
]


def image(path: Path, number: int, size: int = 16) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (size, size), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="session")
def files(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Settings, images and artifacts that somebody may give by mistake."""
    files = tmp_path_factory.mktemp("files")
    image(files / "image.png", 0)
    for name, text in {
        "broken.yaml": "a: [1\nb: }\n",
        "broken.toml": "a = = 1\n",
        "list.yaml": "- attack\n- evaluate\n",
        "empty.yaml": "",
        "section.yaml": "attack:\n",
        "typo.yaml": "atack: {theta: 1}\n",
        "no-defense.yaml": "defenses: [{defense: hope}]\n",
        "defense-twice.yaml": "defenses:\n" + 2 * "- {defense: distillation, parameters: {temperature: 7}}\n",
        "no-stages.yaml": "stages: {attack: 3}\n",
        "broken.zip": "PK\3\4 and nothing else",
        "broken.tar.gz": "no gzip",
    }.items():
        (files / name).write_text(text)
    (files / "none").mkdir()
    for number in range(3):
        for name in ("one/cat", "hollow/cat", "unreadable/cat", "unreadable/dog", "sizes/cat", "sizes/dog"):
            image(files / name / f"{number}.png", number + 3 * name.endswith("dog"))
    (files / "hollow" / "dog").mkdir()
    (files / "unreadable" / "cat" / "0.png").write_text("no image")
    image(files / "sizes" / "cat" / "0.png", 9, size=20)
    prepare_data.run(PrepareDataConfig(train_limit=50, test_limit=10), output=str(files / "dataset"))
    shutil.copytree(chain.place("dataset"), files / "damaged")
    with (files / "damaged" / TENSORS).open("r+b") as file:
        file.truncate(1000)
    rewritten(chain.place("evaluation"), files / "evaluation-again", accuracy=0.5)
    rewritten(
        chain.place("evaluation"),
        files / "evaluation-elsewhere",
        change=lambda facts: facts["evaluation"]["dataset"].update(digest="d"),
    )
    return files


@pytest.fixture(scope="session")
def workspace(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace as `defdistill run` leaves it: a finished run, one without an end, and one with a damaged file."""
    finished, damaged = lay_out(chain, tmp_path_factory.mktemp("workspaces") / "workspace", "finished", "damaged")
    RunFolder(finished.workspace, "unfinished").begin(finished.config())
    (damaged.path / "config.json").write_text('{"name": ')
    return finished.workspace.root


@pytest.fixture(scope="session")
def closed() -> Iterator[str]:
    """The address of a server that refuses connections; bound, so that nobody else takes the port."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@pytest.fixture
def words(
    request: pytest.FixtureRequest, chain: Chain, files: Path, workspace: Path, closed: str, tmp_path: Path
) -> Callable[[str], list[str]]:
    """Puts the places into a command and takes it apart."""

    def words(text: str) -> list[str]:
        places = {"chain": chain.folder, "files": files, "ws": f"--workspace {workspace}", "tmp": tmp_path}
        if "{bucket}" in text:
            places["bucket"] = request.getfixturevalue("s3_bucket")
        return shlex.split(text.format(**places, closed=closed, port=closed.rpartition(":")[2]))

    return words


def in_process(command: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and standard error of a command."""
    capsys.readouterr()
    try:
        cli.main(command)
    except SystemExit as exit_:
        return int(exit_.code or 0), capsys.readouterr().err
    return 0, capsys.readouterr().err


def on_small_disk(size: str, command: list[str], folder: Path) -> tuple[int, str, list[str]]:
    """Exit code, standard error and what is left of a command in a tmpfs of its own; skipped where Linux forbids it."""
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    mount = f'mount -t tmpfs -o size={size} tmpfs "$0" && cd "$0" && "$@"; code=$?; find . -type f; exit $code'
    disk = folder / "disk"
    disk.mkdir()
    allowed = subprocess.run([*unshare, "sh", "-c", mount, str(disk), "true"], capture_output=True, text=True)
    if allowed.returncode:
        if os.environ.get("DEFDISTILL_REQUIRE_ALL") == "1":
            pytest.fail(f"expected leave to mount a small disk: {allowed.stderr}")
        pytest.skip(f"no leave to mount a small disk: {allowed.stderr}")
    program = [sys.executable, "-m", "defensive_distillation_pipelines.commands", *command]
    ended = subprocess.run([*unshare, "sh", "-c", mount, str(disk), *program], capture_output=True, text=True)
    return ended.returncode, ended.stderr, ended.stdout.split()


def snapshot(*folders: Path) -> dict[str, tuple[int, int]]:
    """Every file below some folders, with its size and when it was changed."""
    paths = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in paths}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_wrong_input_ends_in_one_line_and_leaves_nothing(
    row: Row,
    words: Callable[[str], list[str]],
    files: Path,
    chain: Chain,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = words(row.command)
    before = snapshot(files, chain.folder, tmp_path)
    left: list[str] = []
    with monkeypatch.context() as changed:
        changed.chdir(tmp_path)
        for name, value in row.environment.items():
            changed.setenv(name, words(value)[0])
        if row.disk:
            code, said, left = on_small_disk(row.disk, command, tmp_path)
        else:
            code, said = in_process(command, capsys)
    assert code == row.code, said
    assert said.startswith("defdistill")
    assert said.endswith("\n")
    assert said.strip().count("\n") == 0, said
    assert len(said) < 1000, "one line that nobody can read"
    assert "Traceback" not in said
    assert re.search(row.message, said), said
    assert left == []
    assert snapshot(files, chain.folder, tmp_path) == before
    assert not [path for path in tmp_path.rglob("*") if "draft" in path.name or path.name.endswith(".unfinished")]
    if "{bucket}/" in row.command:
        assert storage.list_names(next(word for word in command if word.startswith("s3://")).rpartition("/")[0]) == []


def test_the_table_covers_every_command() -> None:
    commands = {row.command.split()[0] for row in ROWS}
    assert {"run", "compile", "rerun", "stage", "report", "compare", "promote", "times", "ui"} <= commands
    assert {"list", "show", "clean", "config", "completion"} <= commands
    stages = {row.command.split()[1] for row in ROWS if row.command.startswith("stage ")}
    assert set(STAGES) <= stages
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("budget", [0, 1])
def test_the_smallest_budgets_are_kept_and_evaluated(
    budget: int, chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--dataset", chain.place("dataset"), "--model", chain.place("student")]
    place = str(tmp_path / "attack")
    attack = ["--jsma.max-features", str(budget), "--jsma.sources", "4", "--output", place]
    assert in_process(["stage", "attack", *given, *attack], capsys) == (0, "")
    with artifacts.opened(place, "attack") as artifact:
        found = read_attack(artifact)
    assert set(found) == {"jsma/probabilities", "jsma/logits", "jsma/scaled"}
    for one in found.values():
        assert int(one.changed_features.max()) <= budget
        assert int(one.offset.diff().max()) <= budget
        assert len(one.feature) <= budget * len(one.success)
    evaluate = ["--attacks", place, "--gradient-samples", "5", "--output", str(tmp_path / "evaluation")]
    assert in_process(["stage", "evaluate", *given, *evaluate], capsys) == (0, "")
