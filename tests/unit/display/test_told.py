from __future__ import annotations

import io
import json

import pytest
from rich.console import Console
from rich.text import Text

from defensive_distillation_pipelines.display.board import Board
from defensive_distillation_pipelines.display.grid import Grid
from defensive_distillation_pipelines.display.told import Told, show

GRID = Grid(
    heads=("name", "rate\nof one", "\nof two", "last"),
    rows=[("a", "1", "2", Text("masked", "red")), ("bb", "10", "20", "none")],
    left=(0, 3),
)
TOLD = Told([GRID, "a line"], {"rate": 0.5, "name": "ü"}, ["run:     a"])


def drawn(width: int, grid: Grid = GRID) -> list[str]:
    text = io.StringIO()
    Console(file=text, width=width).print(grid)
    return [line.rstrip() for line in text.getvalue().splitlines()]


def test_a_table_that_fits_is_one() -> None:
    assert drawn(40) == [
        "        rate",
        "name  of one  of two  last",
        "────────────────────────────",
        "a          1       2  masked",
        "bb        10      20  none",
    ]


def test_one_that_does_not_comes_in_pieces_that_begin_alike_and_keep_what_belongs_together() -> None:
    assert drawn(24) == [
        "        rate",
        "name  of one  of two",
        "────────────────────",
        "a          1       2",
        "bb        10      20",
        "",
        "name  last",
        "────────────",
        "a     masked",
        "bb    none",
    ]


def test_or_in_lines_where_it_has_such() -> None:
    grid = Grid(GRID.heads, GRID.rows, narrow=["a", "  one two three four five"])
    assert drawn(16, grid) == ["a", "  one two three", "  four five"]
    assert drawn(40, grid)[1].split() == ["name", "of", "one", "of", "two", "last"]


def test_in_a_pipe_there_is_neither_colour_nor_a_blank_at_the_end_of_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    TOLD.tell(as_json=False, quiet=False)
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert said.splitlines()[-2:] == ["a line", "run:     a"]
    assert all(line == line.rstrip() for line in said.splitlines())


def test_quiet_is_the_result_alone(capsys: pytest.CaptureFixture[str]) -> None:
    TOLD.tell(as_json=False, quiet=True)
    assert capsys.readouterr().out.splitlines()[-1] == "a line"
    board = Board(quiet=True)
    board.show({})
    board.say("attack waits")
    board.close()
    assert capsys.readouterr() == ("", "")


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    TOLD.tell(as_json=True, quiet=False)
    assert json.loads(capsys.readouterr().out) == {"rate": 0.5, "name": "ü"}


def test_colours_are_left_out_where_they_are_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    for wanted in (True, False):
        monkeypatch.delenv("NO_COLOR", raising=False)
        if not wanted:
            monkeypatch.setenv("NO_COLOR", "1")
        text = io.StringIO()
        Console(file=text, width=40, force_terminal=True, color_system="standard").print(GRID)
        assert ("\x1b[31m" in text.getvalue()) == wanted


def test_a_name_moves_no_cursor_and_turns_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "cat\x1b[2J\u202edog\r\x07"
    show(f"class {evil}", Grid(heads=("\nname", "\nnumber"), rows=[[evil, "1"]]))
    said = capsys.readouterr().out
    assert said.count(r"cat\x1b[2J\u202edog\r\x07") == 2
    assert all(sign.isprintable() or sign == "\n" for sign in said)
