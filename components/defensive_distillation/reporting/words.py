"""How numbers are said: one form for every sentence, table and figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from defensive_distillation.evaluation.results import Evaluation

OUTPUTS = {"probabilities": "probabilities", "logits": "logits", "scaled": "probabilities of z/T"}
MASKED = {"yes": "masked", "no": "not masked", "undecided": "undecided"}
CONDITIONS = {
    "iterated": "iterated at least as strong as one step",
    "black_box": "no gradient-free attack stronger",
    "transfer": "no transferred sample stronger",
    "noise": "stronger than noise",
    "unbounded": "fools all without a bound",
    "monotone": "never weaker with more budget",
}


DATASETS = {"digits": "scikit-learn's handwritten digits", "mnist": "MNIST", "cifar10": "CIFAR-10"}


def per_cent(share: float) -> str:
    """`share` as '1.7 %': one decimal, none where it is zero; a rate that only rounds to 0 or 100 % says so."""
    if 0 < share < 0.0005:
        return "under 0.1 %"
    if 0.9995 <= share < 1:
        return "over 99.9 %"
    return f"{_short(100 * share)} %"


def column_per_cent(share: float) -> str:
    """`share` for a column, where decimals stand below one another: '85.0 %'."""
    text = per_cent(share)
    return text if text[0] in "uo" else f"{100 * share:.1f} %"


def published_per_cent(share: float) -> str:
    """A published share with the decimals it was published with: '0.45 %'."""
    return f"{100 * share:.2f}".rstrip("0").rstrip(".") + " %"


def per_cent_range(interval: tuple[float, float]) -> str:
    """A confidence interval of shares as '0.6–4.8 %'."""
    return f"{_short(100 * interval[0])}–{_short(100 * interval[1])} %"


def points(difference: float) -> str:
    """A difference of shares as '+88.3 points'; the minus is a minus sign."""
    return f"{_signed(difference)} points"


def points_range(interval: tuple[float, float]) -> str:
    """A confidence interval of a difference as '+80.2 to +92.4 points'."""
    return f"{_signed(interval[0])} to {_signed(interval[1])} points"


def drawn_targets(targets: int | None) -> str:
    """', towards 9 classes drawn at random for each source'; '' where each goes towards every other class."""
    if targets is None:
        return ""
    return f", towards {counted(targets, 'class')} drawn at random for each source"


def count(number: int) -> str:
    """`number` with thousands set apart: '90,000'."""
    return f"{number:,}"


def counted(number: int, what: str, *, shown: str | None = None) -> str:
    """'1 pair', '90,000 pairs', '2 classes': a number of things, one or more of them.

    Args:
        number: of them.
        what: one of them.
        shown: what stands for the number, such as '3 of 40'.
    """
    plural = f"{what}es" if what.endswith("s") else f"{what}s"
    return f"{count(number) if shown is None else shown} {what if number == 1 else plural}"


def distance(length: float) -> str:
    """A distance with three figures, so that columns of them line up: '1.52', '14.3', '784'."""
    return f"{length:#.3g}".rstrip(".") if abs(length) < 1000 else count(round(length))


def times(ratio: float) -> str:
    """How many times as large: '1.3 ×', '0.95 ×', '120 ×'."""
    if ratio < 0.995:
        return f"{ratio:.2g} ×"
    return f"{ratio:.1f} ×" if ratio < 10 else f"{ratio:,.0f} ×"


def label(network: Evaluation) -> str:
    """A network's name for a reader: 'no distillation', 'T = 20', or 'control, T = 20'."""
    return network.model.title


def title(evaluations: Sequence[Evaluation]) -> str:
    """The title of a report on these networks, after the data."""
    given = [label(network) for network in evaluations if network.model.role == "imported"]
    what = series(given) or "Defensive distillation"
    data = evaluations[0].dataset.name
    return f"{what} on {DATASETS.get(data, data)}"


def radius(epsilon: float) -> str:
    """A radius in [0, 1] for a reader: '0.3', or '8/255' where it is so many of 255."""
    levels = epsilon * 255
    if round(epsilon, 2) != epsilon and abs(levels - round(levels)) < 1e-6:
        return f"{round(levels)}/255"
    return f"{epsilon:.3g}"


def listed(networks: Sequence[Evaluation], value: Callable[[Evaluation], str | None]) -> str:
    """A value of each network that has it: 'no distillation 85 %, T = 20 1.7 %'."""
    return ", ".join(f"{label(network)} {text}" for network in networks if (text := value(network)) is not None)


def temperatures(models: Sequence[Evaluation]) -> str:
    """Distilled models by their temperatures: 'T = 20 and 100'."""
    return "T = " + series([f"{network.temperature:g}" for network in models])


def span(shares: Sequence[float]) -> str:
    """From the least to the greatest share: '74.4 % to 76.1 %', or one where they are equal."""
    low, high = per_cent(min(shares)), per_cent(max(shares))
    return low if low == high else f"{low} to {high}"


def series(parts: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return " and ".join((", ".join(parts[:-1]), parts[-1])) if len(parts) > 1 else "".join(parts)


def shorten(text: str, length: int) -> str:
    """`text` in at most `length` characters, the last an ellipsis where something was cut."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def _short(number: float) -> str:
    text = f"{number:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def _signed(difference: float) -> str:
    text = _short(100 * difference)
    return text if text == "0" else text.replace("-", "−") if text.startswith("-") else f"+{text}"
