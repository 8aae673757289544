"""Cron lines of five fields, as crontab has them, and of six, as Kubeflow wants them: seconds first.

Of a line of five fields Kubeflow would take the first for seconds. What it knows is what robfig/cron does: numbers,
names of months and days, lists, ranges, steps, '*' and '?'.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from defensive_distillation.errors import InputError

_DAYS_OF_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_PART = re.compile(r"^(?:(?P<any>[*?])|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\d+))?$")


@dataclass(frozen=True)
class _Field:
    name: str
    low: int
    high: int
    words: tuple[str, ...] = ()

    def values(self, text: str) -> set[int]:
        """The numbers that a field stands for."""
        found: set[int] = set()
        for part in text.split(","):
            found |= self._part(part, text)
        return found

    def _part(self, part: str, text: str) -> set[int]:
        match = _PART.match(part)
        step = int(match["step"] or 1) if match else 0
        if match is None or step == 0:
            raise self._wrong(text)
        if match["any"]:
            return set(range(self.low, self.high + 1, step))
        first = self._number(match["first"], text)
        last = self._number(match["last"], text) if match["last"] else (self.high if match["step"] else first)
        if last < first:
            raise self._wrong(text)
        return set(range(first, last + 1, step))

    def _number(self, word: str, text: str) -> int:
        if word.lower() in self.words:
            return self.words.index(word.lower()) + self.low
        if not word.isdecimal() or not self.low <= int(word) <= self.high:
            raise self._wrong(text)
        return int(word)

    def _wrong(self, text: str) -> InputError:
        words = f" or {self.words[0]} to {self.words[-1]}" if self.words else ""
        return InputError(
            f"--cron: {self.name}: expected {self.low} to {self.high}{words}, *, lists, ranges or steps, got {text!r}"
        )


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of the week", 0, 6, _DAYS),
)


def six_fields(line: str) -> str:
    """The line as Kubeflow wants it; one of five fields begins at second 0.

    Raises:
        InputError: for a line that is none, or whose day never comes.
    """
    texts = line.split()
    if len(texts) == 5:
        texts = ["0", *texts]
    if len(texts) != 6:
        raise InputError(f"--cron: expected five fields such as '0 3 * * *', or six with seconds first, got {line!r}")
    *_, days, months, weekdays = [field.values(text) for field, text in zip(_FIELDS, texts, strict=True)]
    if len(weekdays) == 7 and not any(min(days) <= _DAYS_OF_MONTHS[month - 1] for month in months):
        raise InputError(f"--cron: expected a day that comes, got {line!r}")
    return " ".join(texts)


def shown(line: str) -> str:
    """A line of six fields as crontab has it, where that can say it."""
    seconds, _, rest = line.partition(" ")
    return rest if seconds == "0" and rest.count(" ") == 4 else line
