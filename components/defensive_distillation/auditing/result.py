"""What an audit found: the verdict with its reason, a short table, JSON, and a page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor

from defensive_distillation.artifacts.storage.disk import write_bytes
from defensive_distillation.datasets.dataset import Dataset
from defensive_distillation.evaluation import samples
from defensive_distillation.evaluation.outcome import Outcome
from defensive_distillation.evaluation.results import Attacked, Evaluation
from defensive_distillation.provenance import here_and_now
from defensive_distillation.reporting import words
from defensive_distillation.reporting.findings.verdicts import verdicts
from defensive_distillation.reporting.grid import Examples, Grid
from defensive_distillation.reporting.words import per_cent, per_cent_range
from defensive_distillation.suite.registry import title

Word = Literal["masked", "not masked", "undecided"]
_WORDS: Mapping[str, Word] = {"yes": "masked", "no": "not masked", "undecided": "undecided"}


@dataclass(frozen=True, repr=False, eq=False)
class Audit:
    """What came of an audit; printed, it is a short table.

    Attributes:
        evaluation: every number.
        warnings: what to know before the numbers are believed.
        seconds: that it took.
    """

    evaluation: Evaluation
    warnings: tuple[str, ...]
    seconds: float
    _grids: Mapping[str, Grid] = field(repr=False)
    _examples: Examples | None = field(repr=False)

    @classmethod
    def of(
        cls,
        evaluation: Evaluation,
        dataset: Dataset,
        outcomes: Mapping[str, Outcome],
        *,
        warnings: tuple[str, ...],
        seconds: float,
    ) -> Audit:
        """With the samples that its page shows, of inputs that are images."""
        if dataset.test_images.dtype != torch.uint8:
            return cls(evaluation, warnings, seconds, {}, None)
        grids = {
            outcome.variant: Grid.of(_arrays(samples.sample_grid(dataset, outcome.samples)), dataset.classes)
            for outcome in outcomes.values()
            if outcome.attack.by_class
        }
        shown, names = samples.examples(dataset, list(outcomes.values()))
        sheet = Examples.of(_arrays(shown), names) if shown else None
        return cls(evaluation, warnings, seconds, grids, sheet)

    @property
    def verdict(self) -> Word:
        """Whether the gradients are masked."""
        return _WORDS[self.evaluation.masking.masked]

    @property
    def reason(self) -> str:
        """Why the verdict is what it is, in words."""
        return verdicts([self.evaluation])[0].sentence

    @property
    def accuracy(self) -> float:
        """Share of the images that are classified right."""
        return self.evaluation.accuracy

    @property
    def robust_accuracy(self) -> dict[float, float]:
        """By L∞ radius the share that is classified right and that no attack fools within it."""
        robust = self.evaluation.robust
        return dict(zip(robust.epsilons, robust.accuracy, strict=True)) if robust else {}

    def __repr__(self) -> str:
        robust = "".join(f", robust accuracy {per_cent(value)} at ε = {words.radius(e)}" for e, value in self._quoted())
        return f"Audit({self.verdict!r}, accuracy {per_cent(self.accuracy)}{robust}, {self.seconds:.0f} s)"

    def __str__(self) -> str:
        return "\n".join([*self._lines(), "", self.reason, *(f"Warning: {each}" for each in self.warnings)])

    def to_json(self, path: str | Path | None = None) -> str:
        """Verdict, reason, warnings and every number as JSON; written to `path` as well, if one is given."""
        document = {
            "verdict": self.verdict,
            "reason": self.reason,
            "warnings": list(self.warnings),
            "seconds": round(self.seconds, 1),
            "evaluation": self.evaluation.model_dump(mode="json"),
        }
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        if path is not None:
            _write(Path(path), text)
        return text

    def to_html(self, path: str | Path) -> Path:
        """The report's page at `path`, one file that needs no other; returns where it lies."""
        from defensive_distillation.reporting.page.document import page

        network = self.evaluation
        document = page(
            [network],
            {network.name: self._grids} if self._grids else {},
            words.title([network]),
            made=here_and_now(),
            examples={network.name: self._examples} if self._examples else {},
        )
        return _write(Path(path), document)

    def _quoted(self) -> list[tuple[float, float]]:
        """The radius that people quote, the largest below 1, with its robust accuracy."""
        bounded = [(epsilon, value) for epsilon, value in self.robust_accuracy.items() if epsilon < 1]
        return bounded[-1:]

    def _lines(self) -> list[str]:
        network = self.evaluation
        robust = network.robust
        lines = [
            ("verdict", self.verdict, "are the gradients masked?"),
            ("accuracy", per_cent(network.accuracy), f"of {words.counted(network.dataset.test_images, 'image')}"),
        ]
        if robust:
            lines += [
                (
                    "robust accuracy",
                    per_cent(value),
                    f"at ε = {words.radius(e)}, {per_cent_range(interval)}: of "
                    f"{words.counted(robust.samples, 'image')} {robust.misclassified:,} wrong without an attack, "
                    f"{fooled:,} fooled",
                )
                for e, value, interval, fooled in zip(
                    robust.epsilons, robust.accuracy, robust.intervals, robust.fooled, strict=True
                )
                if e < 1
            ]
        lines += [
            (
                title(f"{one.attack}/{one.output}"),
                per_cent(one.success_rate),
                f"of {words.counted(one.pairs, 'pair')} fooled{_saved(one)}",
            )
            for one in network.attacks
        ]
        lines += [
            (
                title(one.name),
                per_cent(one.success_by_epsilon[-1]),
                f"of {words.counted(one.sources, 'image')} fooled, unbounded{_saved(one)}",
            )
            for one in network.bounded
        ]
        for one in network.distances:
            mean = one.average.mean_distance
            far = f" at {mean:.3g}" if mean is not None else ""
            lines.append(
                (
                    title(one.attack),
                    per_cent(one.success_rate),
                    f"of {words.counted(one.pairs, 'pair')} fooled{far}{_saved(one)}",
                )
            )
        lines.append(("T̂", f"{network.temperature:.3g}", "the temperature that fits the size of the logits"))
        widths = [max(len(line[column]) for line in lines) for column in range(2)]
        return [f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c}" for a, b, c in lines]


def _saved(attack: Attacked) -> str:
    """How many of its samples hold as images of 8 bits, unless all do."""
    share = attack.in_eight_bits
    return "" if share is None or share == 1 else f"; {per_cent(share)} of the samples hold when saved in 8 bits"


def _arrays(tensors: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def _write(path: Path, text: str) -> Path:
    """`text` at `path`, whole or not at all."""
    write_bytes(path, text.encode())
    return path
