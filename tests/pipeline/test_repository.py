"""What the repository promises beside its code: the wheel, the documentation, the commands of the README."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from defensive_distillation.config import page as configuration_page
from defensive_distillation_pipelines.commands import cli
from defensive_distillation_pipelines.commands.parser import settings_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (made,) = folder.glob("*.whl")
    return made


def test_the_wheel_holds_every_module_of_both_packages_and_nothing_else(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = set()
    for package in (ROOT / "components/defensive_distillation", ROOT / "pipelines/defensive_distillation_pipelines"):
        for path in package.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                expected.add(path.relative_to(package.parent).as_posix())
    assert names == expected
    assert "defensive_distillation/reporting/templates/page.css" in names
    assert (
        "defensive_distillation/datasets/dataset.py" in names
    )  # an unanchored line in .gitignore would have dropped it


def test_the_wheel_brings_the_command_and_the_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (entry,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        assert "defdistill = defensive_distillation_pipelines.commands.__main__:main" in archive.read(entry).decode()
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())


def test_the_configuration_page_is_that_of_the_models() -> None:
    assert (ROOT / "docs/configuration.md").read_text() == configuration_page.page(), "run make docs"


def test_a_folder_holds_at_most_twelve_modules() -> None:
    roots = [ROOT / name for name in ("components", "pipelines", "benchmarks", "tests")]
    folders = {folder for root in roots for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]}
    counts = {folder.relative_to(ROOT).as_posix(): len(list(folder.glob("*.py"))) for folder in folders}
    assert {folder: count for folder, count in counts.items() if count > 12} == {}


DOCUMENTS = ("README.md", "CONTRIBUTING.md", *(f"docs/{name}.md" for name in ("attacks", "stages", "results/README")))


def readme_commands() -> list[str]:
    """The commands of the README and of the pages that it leads to first."""
    texts = "".join((ROOT / document).read_text() for document in DOCUMENTS if document != "CONTRIBUTING.md")
    blocks = re.findall(r"```sh\n(.*?)```", texts, flags=re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip()]


@pytest.mark.parametrize("command", [line for line in readme_commands() if "defdistill" in line.split()[0]])
def test_commands_of_the_readme_are_understood(command: str) -> None:
    arguments = cli.command_parser().parse_args(shlex.split(command, comments=True)[1:])
    assert callable(arguments.call)
    if arguments.command in {"run", "compile"}:
        assert settings_of(arguments)


def test_make_targets_of_the_readme_exist() -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    for line in readme_commands():
        if line.startswith("make "):
            assert line.split()[1] in targets


def test_files_that_the_documents_name_exist() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\((?!http)([^)#]+)[^)]*\)", (ROOT / document).read_text()):
            assert ((ROOT / document).parent / target).exists(), (document, target)
