"""What the images hold is locked, with hashes, and the locks are what pyproject.toml asks for."""

from __future__ import annotations

import re

import pytest

from support.containers.locks import GROUPS, OURS, ROOT, locked, requirements


@pytest.mark.parametrize("group", GROUPS)
def test_every_package_is_locked_to_one_version_with_its_hashes(group: str) -> None:
    text = (ROOT / "docker" / f"{group}.txt").read_text()
    named = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert len(named) == len(locked(group)) > 0
    for name, pin in locked(group).items():
        assert pin.hashes, name
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in pin.hashes), name


@pytest.mark.parametrize("group", GROUPS)
def test_a_lock_satisfies_what_pyproject_asks_for_and_holds_nothing_else(group: str) -> None:
    asked = requirements(group)
    for name, requirement in asked.items():
        assert name in locked(group), f"docker/{group}.txt has no {name}: make lock"
        version = locked(group)[name].version
        assert version in requirement.specifier, f"docker/{group}.txt has {name} {version}: make lock"
    for name, pin in locked(group).items():
        assert pin.wanted_by & {OURS, *locked(group)}, f"docker/{group}.txt: nobody asks for {name}: make lock"
        assert (OURS in pin.wanted_by) == (name in asked), f"docker/{group}.txt: {name} is asked for: make lock"


@pytest.mark.parametrize("group", GROUPS)
def test_a_lock_names_no_place_that_packages_come_from(group: str) -> None:
    assert not re.search(r"https?:|--index-url|--find-links", (ROOT / "docker" / f"{group}.txt").read_text())


@pytest.mark.parametrize("group", ["step", "alone", "cli"])
def test_the_images_hold_what_the_project_requires_in_the_versions_that_it_allows(group: str) -> None:
    required = requirements("")
    required["mlflow-skinny"] = required["mlflow"]  # its client, without the server
    for name, requirement in requirements(group).items():
        assert requirement.specifier == required[name].specifier, name


def test_libraries_that_decide_bytes_have_one_version_in_both_images() -> None:
    step, cli = locked("step"), locked("cli")
    for name in ("pydantic", "mlflow-skinny", "pyyaml", "boto3"):
        assert step[name].version == cli[name].version, name
    assert locked("alone")["kfp"].version == cli["kfp"].version


def test_the_step_image_has_no_library_of_kubeflows_client_and_no_compiler_of_kernels() -> None:
    names = set(locked("step")) | set(locked("alone"))
    assert not names & {"kubernetes", "kfp-server-api", "google-cloud-storage", "triton", "pandas", "scipy"}
