"""What comes out of an audit: a table, JSON, a page, a summary."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import defensive_distillation
from defensive_distillation import Audit
from support.auditing.digits import Digits

NAME, DATA = "our <net>", "handwritten & digits"


@pytest.fixture(scope="module")
def found(digits: Digits) -> Audit:
    return digits.audited(digits.distilled, name=NAME, data=DATA, epsilons=[0.05, 0.2])


def test_the_verdict_is_importable_without_pytorch_until_it_is_asked_for() -> None:
    program = (
        "import sys, defensive_distillation as d; assert 'torch' not in sys.modules; d.audit; d.Audit;"
        "assert 'torch' in sys.modules; from defensive_distillation import audit, Audit; print(audit.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("audit\n", "")
    assert {"audit", "Audit"} <= set(defensive_distillation.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'audti'"):
        _ = defensive_distillation.audti


def test_its_repr_is_one_line_with_the_verdict_and_what_people_quote(found: Audit) -> None:
    said = repr(found)
    assert re.fullmatch(r"Audit\('masked', accuracy [\d.]+ %, robust accuracy [\d.]+ % at ε = 0\.2, \d+ s\)", said), (
        said
    )


def test_printed_it_is_a_short_table_with_the_reason_below(found: Audit) -> None:
    lines = str(found).splitlines()
    table = lines[: lines.index("")]
    assert len(table) < 20
    assert table[0].split()[:2] == ["verdict", "masked"]
    assert [line.split("  ")[0] for line in table[:4]] == ["verdict", "accuracy", "robust accuracy", "robust accuracy"]
    assert table[-1].startswith("T̂")
    assert f"{found.evaluation.temperature:.3g}" in table[-1]
    assert len({re.search(r"\S(?=  \S*[a-zA-Z(])", line).start() for line in table} - {0}) >= 1
    assert lines[len(table) + 1] == found.reason
    assert all("tensor(" not in line for line in lines)


def test_robust_accuracy_is_by_the_radii_that_were_asked_for_and_never_rises(found: Audit) -> None:
    assert list(found.robust_accuracy) == [0.05, 0.2, 1.0]
    values = list(found.robust_accuracy.values())
    assert values == sorted(values, reverse=True)
    assert found.accuracy == found.evaluation.accuracy


def test_json_is_strict_and_holds_every_number(found: Audit, tmp_path: Path) -> None:
    def refuse(constant: str) -> Any:
        raise AssertionError(constant)

    path = tmp_path / "new folder" / "audit.json"
    text = found.to_json(path)
    assert path.read_text(encoding="utf-8") == text == found.to_json()
    document = json.loads(text, parse_constant=refuse)
    assert document["verdict"] == "masked"
    assert document["reason"] == found.reason
    assert document["warnings"] == list(found.warnings)
    assert document["evaluation"] == found.evaluation.model_dump(mode="json")
    assert document["evaluation"]["model"]["title"] == NAME


def test_the_page_is_one_file_whose_title_comes_from_model_and_data(found: Audit, tmp_path: Path) -> None:
    path = found.to_html(tmp_path / "new folder" / "audit.html")
    page = path.read_text(encoding="utf-8")
    assert list(path.parent.iterdir()) == [path]
    assert "<title>our &lt;net&gt; on handwritten &amp; digits" in page
    assert "<net>" not in page
    assert page.rstrip().endswith("</html>")
    # nothing is loaded from elsewhere
    assert re.findall(r"<(?:script|img|iframe)[^>]+src=[\"'](?!data:)", page) == []
    assert re.findall(r"<link[^>]+href=[\"'](?!data:)", page) == []
    assert re.findall(r"url\([\"']?(?!data:|#)", page) == []
    assert str(found.to_html(str(path))) == str(path)


def test_a_page_that_cannot_be_written_leaves_the_one_that_was_there(found: Audit, tmp_path: Path) -> None:
    there = tmp_path / "audit.html"
    there.mkdir()
    with pytest.raises(OSError, match=r"audit\.html"):
        found.to_html(there)
    assert [path.name for path in tmp_path.iterdir()] == ["audit.html"]
    assert there.is_dir()


def test_audits_can_stand_in_sets_and_are_equal_to_themselves_alone(found: Audit, digits: Digits) -> None:
    other = digits.audited(digits.distilled, attacks=["noise"], settings={"bounded": {"samples": 10}})
    assert len({found, found, other}) == 2
    assert found != other


def test_an_audit_without_jsma_has_a_page_too(digits: Digits, tmp_path: Path) -> None:
    one = digits.audited(digits.plain, attacks=["pgd"], settings={"bounded": {"samples": 10}, "pgd": {"steps": 3}})
    assert one.verdict in ("not masked", "undecided")
    assert "JSMA was not run on" in one.reason
    assert one.to_html(tmp_path / "page.html").stat().st_size > 10_000


def test_the_same_seed_makes_the_same_audit(digits: Digits, found: Audit) -> None:
    again = digits.audited(digits.distilled, name=NAME, data=DATA, epsilons=[0.2, 0.05])
    assert again.evaluation == found.evaluation
    assert again.reason == found.reason
