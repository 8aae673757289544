"""MLflow's database of a workspace is whole or not there, whoever is killed, and lies where its folder is."""

from __future__ import annotations

import multiprocessing
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from defensive_distillation.errors import TrackingError
from defensive_distillation.tracking import database
from defensive_distillation.tracking.client import connect, experiment
from defensive_distillation.tracking.run_tree import RunTree
from support.chain import Chain
from support.recording import children, files, record

# MLflow 3.17 beside SQLAlchemy 2.1; Python shows it to no user
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")

_MAKE = """
import sys
from defensive_distillation.errors import TrackingError
from defensive_distillation.tracking.run_tree import RunTree
try:
    RunTree(sys.argv[1], "first", alone=True)
except TrackingError as error:
    print(error)
    raise SystemExit(1)
"""


def making(uri: str, small_disk: int = 0) -> subprocess.Popen[str]:
    """A process that makes a database and one run in it; no file of it is larger than `small_disk` bytes, if given."""

    def limit() -> None:
        if small_disk:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (small_disk, small_disk))

    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _MAKE, uri], stdout=subprocess.PIPE, text=True, preexec_fn=limit
    )


def runs(path: Path) -> int:
    """How many runs a database has; it is whole."""
    with closing(sqlite3.connect(path)) as opened:
        assert opened.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return int(opened.execute("SELECT count(*) FROM runs").fetchone()[0])


def test_a_process_that_is_killed_while_mlflow_makes_its_tables_leaves_none_or_all(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    beside = path.with_name(".mlflow.db.new")
    seen = 0
    for tables in (1, 30, 60):  # of those that MLflow makes one after the other, before and while it migrates
        process = making(f"sqlite:///{path}")
        while process.poll() is None and (beside.stat().st_size if beside.exists() else 0) < tables * 4096:
            time.sleep(0.002)
        process.kill()
        process.communicate()
        seen += not path.exists()
    assert seen == 3  # each was killed before it was whole
    assert RunTree(f"sqlite:///{path}", "second", alone=True).children() == []
    assert runs(path) == 1
    assert not beside.exists()


def test_a_half_made_database_of_before_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(path)) as half:
        half.execute("CREATE TABLE webhooks (webhook_id VARCHAR(256))")
        half.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        half.execute("INSERT INTO alembic_version VALUES ('1b5f0d9ad7c1')")
        half.commit()
    RunTree(f"sqlite:///{path}", "first", alone=True)
    assert runs(path) == 1


def test_a_full_disk_leaves_no_half_of_it_and_says_so_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    process = making(f"sqlite:///{path}", small_disk=500_000)
    said, _ = process.communicate()
    assert process.returncode == 1
    assert said.startswith(f"{tmp_path}: MLflow's database could not be made: ")
    assert said.count("\n") == 1
    assert [found.name for found in tmp_path.iterdir()] == [".mlflow.db.lock"]
    RunTree(f"sqlite:///{path}", "second", alone=True)
    assert runs(path) == 1


def test_runs_of_an_earlier_mlflow_are_kept_and_two_that_begin_together_share_one_database(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    with ThreadPoolExecutor(2) as pool:
        processes = list(pool.map(lambda _: making(f"sqlite:///{path}"), range(2)))
    assert [(process.communicate()[0], process.returncode) for process in processes] == [("", 0)] * 2
    there = runs(path)
    assert there > 0
    with closing(sqlite3.connect(path)) as opened:
        opened.execute("PRAGMA user_version = 30000")
    RunTree(f"sqlite:///{path}", "another", alone=True)
    assert runs(path) == there + 1
    with closing(sqlite3.connect(path)) as opened:
        assert opened.execute("PRAGMA user_version").fetchone()[0] > 30000


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("a folder", r"mlflow\.db: expected MLflow's database, got a folder"),
        (
            "a text",
            r"mlflow\.db: expected MLflow's database, which could not be read or written: file is not a database",
        ),
        ("no folder", r"/proc/none/mlflow\.db: MLflow's database could not be made: "),
    ],
)
def test_what_is_no_database_is_said_at_once_in_one_line(tmp_path: Path, made: str, said: str) -> None:
    path = Path("/proc/none/mlflow.db") if made == "no folder" else tmp_path / "mlflow.db"
    if made == "a folder":
        path.mkdir()
    elif made == "a text":
        path.write_text("something else\n" * 500)
    before = path.read_bytes() if path.is_file() else b""
    start = time.monotonic()
    with pytest.raises(TrackingError, match=said) as caught:
        connect(f"sqlite:///{path}")
    assert time.monotonic() - start < 20
    assert "\n" not in str(caught.value)
    assert before == (path.read_bytes() if path.is_file() else b"")


def recorded(folder: Path, chain: Chain) -> None:
    """Records a network in a new database in `folder`, and tags that name places."""
    tree = RunTree(f"sqlite:///{folder}/mlflow.db", "digits", alone=True)
    for name in ("dataset", "teacher-1", "attack-baseline", "others-baseline", "evaluation-baseline"):
        record(chain, name, tree)
    tree.parent.tags({"defdistill.artifact.report": f"{folder}/store/report", "elsewhere": f"{folder}er/x"})


@pytest.mark.parametrize("how", ["copied", "moved"])
def test_a_workspace_that_was_copied_or_moved_is_at_home_where_it_is(tmp_path: Path, chain: Chain, how: str) -> None:
    old, new = tmp_path / "old", tmp_path / "new place"
    process = multiprocessing.get_context("fork").Process(target=recorded, args=(old, chain))
    process.start()  # of its own, for MLflow remembers places for as long as a process lives
    process.join()
    (shutil.copytree if how == "copied" else shutil.move)(old, new)
    before = {path: path.read_bytes() for path in old.rglob("*") if path.is_file()}

    again = RunTree(f"sqlite:///{new}/mlflow.db", "digits", alone=True)
    tags = again.client.get_run(again.parent_id).data.tags
    assert (tags["defdistill.artifact.report"], tags["elsewhere"]) == (f"{new}/store/report", f"{old}er/x")
    run_id = children(again)["baseline"].info.run_id
    assert "evaluation/manifest.json" in files(again.client, run_id)
    record(chain, "evaluation-baseline", again)
    again.parent.files({"note.txt": b"new"})
    assert (new / "mlartifacts" / again.parent_id / "artifacts" / "note.txt").read_bytes() == b"new"
    assert {path: path.read_bytes() for path in old.rglob("*") if path.is_file()} == before
    (model,) = again.client.search_logged_models([again.experiment_id])
    assert model.artifact_location.startswith((new / "mlartifacts").as_uri())


def test_a_database_that_was_moved_without_its_files_still_finds_them(tmp_path: Path, chain: Chain) -> None:
    tree = RunTree(f"sqlite:///{tmp_path}/old/mlflow.db", "digits", alone=True)
    record(chain, "dataset", tree)
    tree.parent.files({"note.txt": b"old"})
    (tmp_path / "new").mkdir()
    shutil.move(tmp_path / "old" / "mlflow.db", tmp_path / "new" / "mlflow.db")
    again = RunTree(f"sqlite:///{tmp_path}/new/mlflow.db", "digits", alone=True)
    assert "note.txt" in files(again.client, again.parent_id)
    assert database.experiment_id(tmp_path / "new" / "mlflow.db", "none of this name") is None
    assert experiment(again.client, again.uri) == again.experiment_id
