"""The workflows on the forge, which cannot run here: checked by three programs, pinned, and with few rights."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
PINNED = re.compile(r"uses: [\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
every_workflow = pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)


def program(name: str) -> str | Path:
    beside = Path(sys.executable).with_name(name)
    return beside if beside.exists() else shutil.which(name) or ""


def checked(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def jobs(workflow: Path) -> dict[str, Any]:
    told: dict[str, Any] = yaml.safe_load(workflow.read_text())
    return dict(told["jobs"])


def test_actionlint_finds_nothing() -> None:
    if not program("actionlint"):
        if os.environ.get("DEFDISTILL_REQUIRE_ALL") == "1":
            pytest.fail("expected actionlint, which 'make test' builds where there is Go, found none")
        pytest.skip("actionlint is built by 'make test' where there is Go")
    checked(program("actionlint"), "-no-color", *WORKFLOWS)


def test_zizmor_finds_no_hole() -> None:
    checked(program("zizmor"), "--offline", "--no-progress", "--persona", "pedantic", ".github/workflows")


def test_the_workflows_are_of_the_form_that_the_forge_takes() -> None:
    checked(program("check-jsonschema"), "--builtin-schema", "vendor.github-workflows", *WORKFLOWS)


@every_workflow
def test_every_action_is_pinned_by_digest_and_says_its_version(workflow: Path) -> None:
    uses = [line.strip().removeprefix("- ") for line in workflow.read_text().splitlines() if "uses:" in line]
    assert uses
    for line in uses:
        assert PINNED.fullmatch(line), line


@every_workflow
def test_a_workflow_has_no_right_but_what_each_job_asks_for(workflow: Path) -> None:
    assert yaml.safe_load(workflow.read_text())["permissions"] == {}
    for name, job in jobs(workflow).items():
        assert "timeout-minutes" in job, name
        writes = {right for right, level in job.get("permissions", {}).items() if level == "write"}
        assert writes <= {"packages", "id-token", "attestations"} or name == "publish", name


def test_a_release_has_images_for_both_devices_signed_with_what_they_hold() -> None:
    release = jobs(ROOT / ".github" / "workflows" / "release.yaml")
    kinds = {(one["target"], one["device"]) for one in release["image"]["strategy"]["matrix"]["include"]}
    assert kinds == {("step", "cpu"), ("step", "cuda"), ("cli", "cpu")}
    steps = release["image"]["steps"]
    used = [step.get("uses", step.get("run", "")).partition("@")[0] for step in steps]
    order = ["docker/build-push-action", "actions/attest-build-provenance", "actions/attest-sbom"]
    assert [one for one in used if one in order] == order
    assert "cosign sign" in steps[-1]["run"]
    assert "cosign sign" in release["chart"]["steps"][-1]["run"]


def test_the_tests_on_the_forge_are_those_of_ci_and_known_holes_are_looked_for() -> None:
    test = jobs(ROOT / ".github" / "workflows" / "test.yaml")
    assert any(step.get("run") == "bash .ci/run" for step in test["test"]["steps"])
    audited = test["audit"]["steps"][-1]["run"]
    for lock in (ROOT / "docker").glob("*.txt"):
        assert lock.stem in audited
