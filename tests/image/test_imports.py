"""What an image runs imports nothing that the image does not hold."""

from __future__ import annotations

import subprocess
import sys

import pytest

from support.containers.locks import locked

# imports all modules below the packages, where only what these distributions bring can be imported
PROGRAM = """
import importlib, pkgutil, sys
from importlib.machinery import PathFinder
from importlib.metadata import packages_distributions

held, packages = set(sys.argv[1].split(",")), sys.argv[2].split(",")
brought_by = {
    name: {one.lower().replace("_", "-") for one in several} for name, several in packages_distributions().items()
}


class Held(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        lacking = brought_by.get(name.partition(".")[0], held).isdisjoint(held)
        return None if lacking else super().find_spec(name, path, target)


sys.meta_path[sys.meta_path.index(PathFinder)] = Held
for package in packages:
    found = importlib.import_module(package)
    for module in pkgutil.walk_packages(getattr(found, "__path__", ()), package + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
"""
OURS = "defensive-distillation"
PIPELINES = "defensive_distillation_pipelines"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("groups", "packages"),
    [
        (("step", "alone"), ["defensive_distillation", f"{PIPELINES}.commands"]),
        (("cli",), [f"{PIPELINES}.{room}" for room in ("definitions", "cluster", "commands", "display")]),
    ],
    ids=["step", "cli"],
)
def test_an_image_holds_all_that_its_programs_import(groups: tuple[str, ...], packages: list[str]) -> None:
    held = {OURS, *(name for group in groups for name in locked(group))}
    held |= {"mlflow"} if "mlflow-skinny" in held else set()  # where the whole is installed, it brings the package
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, ",".join(sorted(held)), ",".join(packages)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
