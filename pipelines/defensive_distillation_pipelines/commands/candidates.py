"""What may stand next on the command line, read off the parser itself."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

from defensive_distillation.config import STAGES, ExperimentConfig, loading
from defensive_distillation.defenses.registry import DEFENSES
from defensive_distillation.suite.registry import ATTACKS
from defensive_distillation_pipelines.commands.parser import WORKSPACE

Candidates = Iterable[tuple[str, str]]  # words, each with what it means or ''


def candidates(parser: argparse.ArgumentParser, words: Sequence[str]) -> list[tuple[str, str]]:
    """Words for the last of `words`, which may be empty; none where a file's name or free text is expected.

    Args:
        parser: of the whole program.
        words: those after the program's name.
    """
    *before, now = words or [""]
    line = Line(parser)
    for word in before:
        line.take(word)
    if now.startswith("-"):
        flag, equals, begun = now.partition("=")
        found = _values(line, line.flags().get(flag), begun) if equals else _flags(line)
        found = [(f"{flag}={word}", meaning) for word, meaning in found] if equals else found
    else:
        found = _values(line, line.expected, now)
    return [(word, meaning) for word, meaning in found if word.startswith(now)]


@dataclass
class Line:
    """How far a command line has been read: the parser of its verb, and what the next word is."""

    parser: argparse.ArgumentParser
    given: list[str] = field(default_factory=list)  # all words
    _flag: argparse.Action | None = None  # that waits for its value
    _positions: int = 0  # arguments without a flag so far

    def take(self, word: str) -> None:
        """Reads a word."""
        expected, after_equals = self.expected, self.given[-1:] == ["="]
        self.given.append(word)
        if word == "=" or (after_equals and self._flag is None):
            return  # bash parts KEY=VALUE into three words
        if word.startswith("-"):
            action = self.flags().get(word.partition("=")[0])
            self._flag = action if action is not None and action.nargs != 0 and "=" not in word else None
        elif isinstance(expected, argparse._SubParsersAction):
            self.parser, self._positions = expected.choices.get(word, self.parser), 0
        elif self._flag is None:
            self._positions += 1
        elif self._flag.nargs not in ("+", "*"):
            self._flag = None

    @property
    def expected(self) -> argparse.Action | None:
        """What a word without a dash would be: the value of a flag, or the next argument."""
        if self._flag is not None:
            return self._flag
        places = [action for action in self.parser._actions if not action.option_strings]
        last = places[-1] if places and places[-1].nargs in ("+", "*") else None
        return places[self._positions] if self._positions < len(places) else last

    def flags(self) -> dict[str, argparse.Action]:
        """The flags of the verb by their names."""
        return {name: action for action in self.parser._actions for name in action.option_strings}

    def value_of(self, flag: str, default: str) -> str:
        """The last value that a flag was given."""
        given = [word for word in self.given if word != "="]
        for word, after in reversed(list(zip(given, [*given[1:], default], strict=True))):
            name, equals, value = word.partition("=")
            if name == flag:
                return value if equals else after
        return default


def _flags(line: Line) -> Candidates:
    """Flags that may be given now: each once, but for those that may be repeated."""
    given = {word.partition("=")[0] for word in line.given}
    for name, action in line.flags().items():
        once = not isinstance(action, argparse._AppendAction) and given.intersection(action.option_strings)
        if name.startswith("--") and not once and action.help != argparse.SUPPRESS:
            yield name, _short(action.help)


def _values(line: Line, action: argparse.Action | None, now: str) -> Candidates:
    if isinstance(action, argparse._SubParsersAction):
        return [(choice.dest, _short(choice.help)) for choice in action._choices_actions]
    if action is None or isinstance(action, argparse._HelpAction):
        return ()
    if action.choices:
        return [(str(choice), "") for choice in action.choices]
    find = _BY_NAME.get(action.dest) or _BY_METAVAR.get(str(action.metavar))
    return find(line, now) if find else ()


def _runs(line: Line, now: str) -> Candidates:
    """The runs of the workspace; those of a cluster are not asked for."""
    if "--workspace" not in line.flags():
        return ()
    from defensive_distillation_pipelines.local.workspace import Workspace

    runs = Workspace(Path(line.value_of("--workspace", WORKSPACE))).runs()
    return [("latest", "the one that was started last"), *((name, "") for name in reversed(runs))] if runs else ()


def _stages(line: Line, now: str) -> Candidates:
    return [(name, _short(stage.summary)) for name, stage in STAGES.items()]


def _settings(line: Line, now: str) -> Candidates:
    yield from _leaves(ExperimentConfig, "")
    yield from _leaves(STAGES[loading.TRAINING[0]], "train.")


def _settings_of_stage(line: Line, now: str) -> Candidates:
    stage = next((word for word in line.given if word in STAGES), None)
    return _leaves(STAGES[stage], "") if stage else ()


def _leaves(model: type[BaseModel], before: str) -> Iterator[tuple[str, str]]:
    for name, known in model.model_fields.items():
        if inner := loading.section(known):
            yield from _leaves(inner, f"{before}{name}.")
        else:
            yield f"{before}{name}=", _short(loading.described(known))


def _among(names: Iterable[str]) -> Callable[[Line, str], Candidates]:
    """Names of which several may stand, with commas between them."""

    def find(line: Line, now: str) -> Candidates:
        before = now.rpartition(",")[0]
        return [(f"{before},{name}" if before else name, "") for name in names if name not in before.split(",")]

    return find


_BY_NAME = {
    "preset": lambda line, now: [(name, "") for name in loading.PRESETS],
    "defenses": _among(DEFENSES),
    "attacks": _among(ATTACKS),
    "profile": _among(("gpu", "cpu")),
}
_BY_METAVAR = {"RUN": _runs, "STAGE": _stages, "STAGE.KEY=VALUE": _settings, "KEY=VALUE": _settings_of_stage}


def _short(text: str | None) -> str:
    """The first clause of a help text, in one line."""
    return " ".join((text or "").replace("%%", "%").split()).split("; ")[0]
