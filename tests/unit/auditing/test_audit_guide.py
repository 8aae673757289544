"""docs/audit.md and the README's section, as they stand there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


def blocks(document: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.slow
def test_every_block_of_the_guide_and_the_readmes_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    guide = blocks("docs/audit.md")
    (readme,) = [block for block in blocks("README.md") if "import audit" in block]
    for block in guide:
        exec(block, names)
    exec(readme.replace("audit(model, images, labels)", "audit(model, images, labels, **quick)"), names)
    assert len(guide) == 5
    assert capsys.readouterr().out.startswith("verdict ")
    assert {path.name for path in tmp_path.iterdir()} == {"audit.html", "audit.json"}
