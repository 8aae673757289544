from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from defensive_distillation.runtime import code_version
from defensive_distillation.runtime.code_version import ROOT, SURROUNDING, code_digest

STAGES = sorted(path.stem for path in (ROOT / "stages").glob("*.py") if path.stem != "__init__")
TRAININGS = {"train_teacher", "train_student", "train_defended"}

# prints, for each file named in the arguments, the stages whose digest a change of it changes
CHANGE = """
import ast, functools, json, sys
from defensive_distillation.runtime import code_version
from defensive_distillation.runtime.code_version import ROOT, code_digest

# a text is parsed once, however many digests it counts in
ast.parse = functools.cache(ast.parse)
imported = code_version._imported
code_version._imported = functools.cache(lambda tree: tuple(imported(tree)))
stages = sorted(path.stem for path in (ROOT / "stages").glob("*.py") if path.stem != "__init__")
before = {stage: code_digest(stage) for stage in stages}
changed = {}
for name in sys.argv[1:]:
    text = (ROOT / name).read_text()
    (ROOT / name).write_text(text + "\\n# changed\\n")
    code_digest.cache_clear()
    changed[name] = [stage for stage in stages if code_digest(stage) != before[stage]]
    (ROOT / name).write_text(text)
code_digest.cache_clear()
assert before == {stage: code_digest(stage) for stage in stages}
print(json.dumps({"root": str(ROOT), "before": before, "changed": changed, "modules": list(sys.modules)}))
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package that may be changed."""
    copy = tmp_path / "lib" / "defensive_distillation"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def change(package: Path, *names: str) -> dict[str, set[str]]:
    found = run(package, *names)
    return {name: set(stages) for name, stages in found["changed"].items()}


def run(package: Path, *names: str) -> dict[str, dict[str, list[str]]]:
    environment = {**os.environ, "PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", CHANGE, *names]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, list[str]]] = json.loads(done.stdout)
    assert found["root"] == str(package)
    return found


def test_a_digest_is_twelve_hexadecimal_digits_and_each_stage_has_its_own() -> None:
    digests = [code_digest(stage) for stage in STAGES]
    assert len(set(digests)) == len(STAGES) == 10
    assert all(len(digest) == 12 and int(digest, 16) >= 0 for digest in digests)


def test_a_copy_elsewhere_has_the_same_digests(package: Path) -> None:
    assert run(package)["before"] == {stage: code_digest(stage) for stage in STAGES}


@pytest.mark.slow
def test_a_change_makes_stale_the_stages_that_run_the_changed_code_and_no_others(package: Path) -> None:
    changed = change(
        package,
        *[f"stages/{stage}.py" for stage in STAGES],
        *[
            "networks/training.py",
            "evaluation/gradients.py",
            "datasets/sources/mnist.py",
            "reporting/figures/as_in_paper.py",
            "reporting/words.py",
            "reporting/templates/page.css",
            "reporting/templates/page.html",
        ],
        *[
            "attacks/jsma.py",
            "attacks/pair_search.py",
            "networks/architectures/building.py",
            "datasets/dataset.py",
            "networks/softmax.py",
        ],
    )
    for stage in STAGES:
        assert changed[f"stages/{stage}.py"] == {stage}
    assert changed["networks/training.py"] == TRAININGS
    assert changed["evaluation/gradients.py"] == {"evaluate"}
    assert changed["datasets/sources/mnist.py"] == {"prepare_data"}
    for name in [name for name in changed if name.startswith("reporting/")]:
        assert {"report"} <= changed[name] <= {"report", "gate"}  # a gate puts its outcome before the report
    for name in ("attacks/jsma.py", "attacks/pair_search.py"):
        assert "attack" in changed[name]
        # a report and a gate name the attacks, with what they call
        assert changed[name] <= {"attack", "evaluate", "report", "gate"}
    assert changed["networks/architectures/building.py"] >= {*TRAININGS, "generate_soft_labels", "attack", "evaluate"}
    assert changed["datasets/dataset.py"] >= {*TRAININGS, "prepare_data", "generate_soft_labels", "attack", "evaluate"}
    assert changed["networks/softmax.py"] >= {*TRAININGS, "generate_soft_labels", "attack", "evaluate"}
    assert "report" not in changed["networks/architectures/building.py"]


@pytest.mark.slow
def test_what_only_calls_reports_or_stores_a_stage_makes_nothing_stale(package: Path) -> None:
    surrounding = [path for room in SURROUNDING for path in sorted((package / room).rglob("*.py"))]
    names = [path.relative_to(package).as_posix() for path in surrounding]
    assert len(names) > len(SURROUNDING)
    assert change(package, *names) == {name: set() for name in names}


def test_every_form_of_an_import_is_seen(package: Path) -> None:
    modules = ("plain", "alias", "member", "several_a", "several_b", "lazy", "typed", "deep/inner", "indirect", "cycle")
    (package / "deep").mkdir()
    (package / "deep" / "__init__.py").write_text("from defensive_distillation.deep.inner import x\n")
    for name in modules:
        (package / f"{name}.py").write_text("x = 1\n")
    (package / "indirect.py").write_text("import defensive_distillation.cycle\nx = 1\n")
    (package / "cycle.py").write_text("import defensive_distillation.indirect\nx = 1\n")
    (package / "unused.py").write_text("import defensive_distillation.stages.probe\n")
    (package / "stages" / "probe.py").write_text(
        "import json, defensive_distillation.plain\n"
        "import defensive_distillation.alias as a\n"
        "from defensive_distillation.member import x\n"
        "from defensive_distillation import (\n    several_a,\n    several_b as b,\n)\n"
        "from defensive_distillation.deep import x as y\n"
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from defensive_distillation.typed import x\n"
        "def late():\n    from defensive_distillation.lazy import x\n    import defensive_distillation.indirect\n"
        "# import defensive_distillation.unused\n"
        "text = 'import defensive_distillation.unused'\n"
    )
    names = [f"{name}.py" for name in modules]
    changed = change(package, *names, "deep/__init__.py", "unused.py")
    assert changed.pop("unused.py") == set()
    assert changed == {name: {"probe"} for name in [*names, "deep/__init__.py"]}


def test_reading_the_code_imports_neither_torch_nor_the_stages(package: Path) -> None:
    loaded = set(run(package)["modules"])
    assert "defensive_distillation.runtime.code_version" in loaded
    assert not loaded & {"torch", "numpy", "pydantic", "mlflow", "kfp", "defensive_distillation.stages"}


def test_all_imports_of_the_package_are_absolute_which_the_digest_relies_on() -> None:
    assert code_version.PACKAGE == "defensive_distillation"
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}: a relative import"
