"""MLflow's database of a workspace: whole or not there at all, and at home in the folder that it lies in.

MLflow makes its tables in some fifty steps; a process that is killed, or a disk that is full, between two of them
leaves a database that MLflow itself can neither use nor mend. So it is made, and brought up to date, in a file beside
its place that is renamed when it is whole. And MLflow keeps absolute places: those of a workspace that was copied or
moved are led to where it is now, so that nothing is written into the one that it came from.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from urllib.parse import unquote, urlsplit

from filelock import FileLock

from defensive_distillation.errors import TrackingError

FILES = "mlartifacts"  # folder beside the database that holds the files of runs
_PREFIX = "sqlite:///"


def place_of(uri: str) -> Path | None:
    """The file that the URI of a database names, None for a server, another database, or one in memory."""
    name = unquote(uri.removeprefix(_PREFIX).partition("?")[0]) if uri.startswith(_PREFIX) else ""
    return Path(name) if name not in ("", ":memory:") else None


def prepare(path: Path) -> None:
    """Makes the database at `path` whole where it is not there, half made or of an earlier MLflow, and at home there.

    Raises:
        TrackingError: if it cannot be made or is no database of MLflow's; what was there is as it was.
    """
    if path.is_dir():
        raise TrackingError(f"{path}: expected MLflow's database, got a folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            if not _is_current(path):
                _renew(path)
            _settle(path)
    except sqlite3.DatabaseError as error:
        raise TrackingError(
            f"{path}: expected MLflow's database, which could not be read or written: {error}; if it is damaged, "
            "move it away: runs, reports and artifacts lie beside it and stay"
        ) from error
    except OSError as error:
        raise TrackingError(f"{path}: MLflow's database could not be made: {error.strerror or error}") from error


def experiment_id(path: Path, name: str) -> str | None:
    """The id of the experiment called `name` in a database that is there; None if it has none of that name."""
    with _opened(path) as database:
        found = database.execute("SELECT experiment_id FROM experiments WHERE name = ?", (name,)).fetchone()
    return None if found is None else str(found[0])


def _is_current(path: Path) -> bool:
    """Whether this function's module has made it whole with the MLflow that is installed."""
    if not path.exists():
        return False
    with _opened(path) as database:
        return bool(database.execute("PRAGMA user_version").fetchone()[0] == _installed())


def _installed() -> int:
    """MLflow's version as a number, which SQLite keeps in the file: 3.17.2 is 31702."""
    parts = [int(part) for part in re.findall(r"\d+", version("mlflow-skinny"))[:3]]
    return sum(part * factor for part, factor in zip(parts, (10_000, 100, 1), strict=False))


def _renew(path: Path) -> None:
    """Puts a whole database in the place of one that is not, with all that the old one tells of runs."""
    beside = path.with_name(f".{path.name}.new")
    for name in (beside, *_journals(beside)):
        name.unlink(missing_ok=True)  # of a process that was killed on the way
    try:
        if path.exists() and _has_runs(path):
            with _opened(path) as old, _opened(beside) as new:
                old.backup(new)
        _migrate(beside)
        with _opened(beside) as new:
            new.execute(f"PRAGMA user_version = {_installed()}")
            new.commit()
        for journal in _journals(path):
            journal.unlink(missing_ok=True)  # of the old file: SQLite would play it back into the new one
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _migrate(path: Path) -> None:
    """Has MLflow make all its tables, or bring those of an earlier version up to date."""
    from mlflow.exceptions import MlflowException
    from mlflow.store.db.utils import _upgrade_db
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError

    uri = f"{_PREFIX}{path}"
    try:
        if path.exists():
            engine = create_engine(uri)
            _upgrade_db(engine)
            engine.dispose()
        else:
            store = SqlAlchemyStore(uri, (path.parent / FILES).as_uri())
            store.engine.dispose()
    except (DBAPIError, MlflowException) as error:
        reason = str(error.orig if isinstance(error, DBAPIError) else error).split("\n")[0]
        raise TrackingError(f"{path.parent}: MLflow's database could not be made: {reason}") from error


def _has_runs(path: Path) -> bool:
    with _opened(path) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        return "runs" in tables and database.execute("SELECT count(*) FROM runs").fetchone()[0] > 0


def _settle(path: Path) -> None:
    """Leads places in another folder to those in this one, where the files have come along."""
    home = path.absolute().parent
    with _opened(path) as database:
        for old in _homes(database) - {home}:
            if (home / FILES).is_dir() and not _is_same(old, home):
                _lead(database, old, home)
        database.commit()


def _homes(database: sqlite3.Connection) -> set[Path]:
    """The folders of the databases that the files of experiments lie beside."""
    places = [
        Path(unquote(urlsplit(one).path))
        for (one,) in database.execute(
            "SELECT artifact_location FROM experiments WHERE artifact_location LIKE 'file:%'"
        )
    ]
    return {place.parent for place in places if place.name == FILES}


def _is_same(one: Path, other: Path) -> bool:
    with contextlib.suppress(OSError):
        return one.samefile(other)
    return False


def _lead(database: sqlite3.Connection, old: Path, new: Path) -> None:
    """Replaces a folder by another wherever a text of the database begins with it, or has it as one of its places."""
    forms = {str(old): str(new), f"file://{old}": new.as_uri(), old.as_uri(): new.as_uri()}
    begins = re.compile(rf'(^|\n|")({"|".join(map(re.escape, forms))})(?=/|$)')
    database.create_function("led", 1, lambda text: begins.sub(lambda found: found[1] + forms[found[2]], text))
    for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        for _, column, kind, *_ in database.execute(f'PRAGMA table_info("{table}")').fetchall():
            if kind.upper().startswith(("VARCHAR", "TEXT")):
                database.execute(
                    f'UPDATE "{table}" SET "{column}" = led("{column}") '
                    f'WHERE instr("{column}", ?) > 0 OR instr("{column}", ?) > 0',
                    (str(old), old.as_uri()),
                )


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, timeout=30)) as database:
        yield database


def _journals(path: Path) -> list[Path]:
    return [path.with_name(f"{path.name}{end}") for end in ("-journal", "-wal", "-shm")]
