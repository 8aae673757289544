"""What the images hold, as docker/NAME.txt locks it, and what pyproject.toml asks for."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
OURS = "pyproject.toml"
GROUPS = ("step", "alone", "cli", "build")
PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>\S+?)(?P<marker> ;[^\\]*)? \\$", re.MULTILINE)


@dataclass(frozen=True)
class Pin:
    version: str
    hashes: list[str]
    wanted_by: set[str]  # packages, and OURS


@cache
def project() -> dict[str, list[str]]:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return {"": told["project"]["dependencies"], **told["dependency-groups"]}


def requirements(group: str) -> dict[str, Requirement]:
    return {canonicalize_name(one.name): one for one in map(Requirement, project()[group])}


@cache
def locked(group: str) -> dict[str, Pin]:
    text = (ROOT / "docker" / f"{group}.txt").read_text()
    starts = list(PIN.finditer(text))
    pins = {}
    for start, end in zip(starts, [*(one.start() for one in starts[1:]), len(text)], strict=True):
        own = text[start.end() : end]
        hashes = re.findall(r"--hash=(\S+)", own)
        said = re.findall(r"^    #(?: via)? +(\S.*)$", own, re.MULTILINE)
        wanted_by = {OURS if f"({OURS}:{group})" in one else canonicalize_name(one) for one in said if one != "via"}
        pins[canonicalize_name(start["name"])] = Pin(start["version"], hashes, wanted_by)
    return pins
