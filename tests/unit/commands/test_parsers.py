"""What holds for the parser of every program of ours."""

from __future__ import annotations

import argparse
import ast
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from defensive_distillation_pipelines.commands import cli

ROOT = Path(__file__).parents[3]
SOURCES = [path for folder in ("components", "pipelines", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
NO_NUMBERS = {"stop", "schedule", "compile", "promote", "ui", "completion", "stage", ""}  # verbs that find out none


def parsers(parser: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """A parser and all below it, by the words that lead to them."""
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, below in action.choices.items():
                yield from parsers(below, f"{name} {word}".strip())


EVERY = dict(parsers(cli.command_parser()))


@pytest.mark.parametrize("name", EVERY)
def test_no_parser_takes_half_a_flag(name: str) -> None:
    assert not EVERY[name].allow_abbrev


def test_no_other_program_of_ours_does_either() -> None:
    made = [
        (path.name, {keyword.arg: keyword.value for keyword in node.keywords})
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "argparse.ArgumentParser"
    ]
    assert made
    for name, keywords in made:
        value = keywords.get("allow_abbrev")
        assert isinstance(value, ast.Constant), name
        assert value.value is False, name


@pytest.mark.parametrize("name", [name for name in EVERY if name not in NO_NUMBERS])
def test_wherever_numbers_come_out_they_come_as_json_too(name: str) -> None:
    flags = {flag for action in EVERY[name]._actions for flag in action.option_strings}
    assert "--json" in flags
    assert "--quiet" in flags or name == "config"


def test_a_port_that_another_program_has_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "workspace" / "runs" / "one").mkdir(parents=True)
    (tmp_path / "workspace" / "runs" / "one" / "config.json").write_text("{}")
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with pytest.raises(SystemExit) as ended:
            cli.main(["ui", "--port", str(port)])
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.err == (
        f"defdistill: --port: expected a free port, got {port}: Address already in use; choose another with --port\n"
    )
    assert said.out == ""
