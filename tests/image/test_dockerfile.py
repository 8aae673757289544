"""The image's recipe: checked by hadolint, without rights, and with nothing in it that only builds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "docker" / "Dockerfile"
IMAGES = ("step", "cli")
ADDED_TO_IMAGES = {"COPY", "ENV", "ARG", "LABEL"}


def stages() -> dict[str, tuple[str, list[str]]]:
    """By name of each stage what it begins with and its instructions, each on one line."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if line.strip() and not line.lstrip().startswith("#")]
    text = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    found: dict[str, tuple[str, list[str]]] = {}
    for line in text.splitlines():
        if start := re.fullmatch(r"FROM (\S+) AS (\S+)", line):
            found[start[2]] = (start[1], [])
        elif found:
            list(found.values())[-1][1].append(line)
    return found


def test_hadolint_finds_nothing() -> None:
    program = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([program, DOCKERFILE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("script", sorted((ROOT / "docker").glob("*.sh")), ids=lambda path: path.name)
def test_a_script_can_be_run_and_is_proper_shell(script: Path) -> None:
    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!/bin/sh\n")
    done = subprocess.run(["sh", "-n", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_gets_finished_parts_alone_from_the_stages_that_build(image: str) -> None:
    base, instructions = stages()[image]
    assert base == "common"
    assert {line.split()[0] for line in instructions} <= ADDED_TO_IMAGES
    copies = [line for line in instructions if line.startswith("COPY")]
    assert copies
    assert all(re.fullmatch(rf"COPY --from={image}-\w+ /parts/\w+ /opt/venv", line) for line in copies)
    assert stages()["common"][0] == "${BASE}"


def test_the_user_is_a_number_without_rights() -> None:
    users = [line for _, lines in stages().values() for line in lines if line.startswith("USER")]
    assert users == ["USER 10001:10001"]


def test_all_that_is_written_goes_below_tmp() -> None:
    told = " ".join(line for line in stages()["common"][1] if line.startswith("ENV"))
    places = dict(pair.split("=", 1) for pair in told.split()[1:])
    for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR", "TORCH_HOME"):
        assert Path("/tmp") in (Path(places[name]), *Path(places[name]).parents), name
    assert "PYTHONDONTWRITEBYTECODE" in places


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_says_which_version_and_commit_it_is_of(image: str) -> None:
    labels = " ".join(line for line in stages()[image][1] if line.startswith("LABEL"))
    assert 'org.opencontainers.image.version="${VERSION}"' in labels
    assert 'org.opencontainers.image.revision="${COMMIT}"' in labels
    assert 'org.opencontainers.image.licenses="Apache-2.0"' in labels


def test_every_package_is_installed_by_its_hash() -> None:
    pip = [
        part.strip()
        for _, lines in stages().values()
        for line in lines
        if line.startswith("RUN")
        for part in line.removeprefix("RUN").split("&&")
        if "pip" in part and " install " in part
    ]
    assert pip
    assert all("--require-hashes --no-deps -r" in part for part in pip)
    scripts = "".join(path.read_text() for path in (ROOT / "docker").glob("*.sh"))
    assert [line for line in scripts.splitlines() if "pip" in line and " install " in line] == [
        'pip --python "$venv/bin/python" install -q --no-deps --no-index /wheels/*.whl'
    ]


def test_the_context_holds_what_the_dockerfile_copies_and_little_else() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    let_in = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = {
        place.split("/")[0]
        for _, lines in stages().values()
        for line in lines
        if line.startswith("COPY") and "--from" not in line
        for place in line.split()[1:-1]
    }
    assert copied == let_in
