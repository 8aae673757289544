"""A workspace that was copied or moved goes on where it is, and leaves the one that it came from alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from defensive_distillation import artifacts

SMALL = (
    *("--defenses", "none", "--set", "prepare_data.train_limit=60", "--set", "prepare_data.test_limit=20"),
    *("--set", "train.epochs=1", "--set", "train.minimum_progress=0", "--set", "attacks=noise,square"),
    *("--set", "attack_groups=noise,square", "--set", "attack.bounded.samples=2"),
)


def run(workspace: Path, queries: int) -> Counter[str]:
    """Runs the sweep, with so many queries of one of its attacks; how often each stage has made something new."""
    before = set(workspace.rglob("store/**/" + artifacts.MANIFEST))
    command = [sys.executable, "-m", "defensive_distillation_pipelines.commands", "run", "--workspace", str(workspace)]
    done = subprocess.run(
        [*command, *SMALL, "--set", f"attack.square.queries={queries}"], capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr
    made = set(workspace.rglob("store/**/" + artifacts.MANIFEST)) - before
    return Counter(json.loads(path.read_text())["stage"] for path in made)


def tree(folder: Path) -> dict[Path, tuple[int, bytes]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_a_workspace_that_was_copied_or_moved_keeps_its_finished_steps(tmp_path: Path) -> None:
    original, copied, moved = tmp_path / "one" / "original", tmp_path / "copied", tmp_path / "another" / "moved"
    assert run(original, 5) == {"prepare_data": 1, "train_teacher": 1, "attack": 2, "evaluate": 1, "report": 1}
    shutil.copytree(original, copied)
    for path in original.rglob("store/**/*"):
        if path.is_file():
            path.write_bytes(b"")  # so that who reads it fails
    left = tree(original)
    assert run(copied, 6) == {"attack": 1, "evaluate": 1, "report": 1}, "all else is as it was"
    assert tree(original) == left
    shutil.rmtree(original)
    moved.parent.mkdir()
    copied.rename(moved)
    assert run(moved, 6) == {"report": 1}, "which is made each time"
    assert run(moved, 5) == {"report": 1}, "from before it was copied"
    assert not original.exists()
    assert not copied.exists()
