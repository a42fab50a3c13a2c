"""One way to the database: `with site.connect() as db:` is one short transaction.

DuckDB lets one process at a time open the file for writing, and an open reader blocks a writer too. So everybody opens
read-write, for one short transaction, behind a file lock that queues the processes; heavy work stands outside. A
transaction that raises is rolled back whole.

`Database` adds small conveniences to DuckDB's own connection: rows as dicts, bulk insert, JSON columns, and what is to
be done once the transaction is committed and the file is free again (`after_commit`).
"""

from __future__ import annotations

import atexit
import errno
import functools
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from data.errors import GenbaError
from data.migrations import MIGRATIONS, migrate

if TYPE_CHECKING:
    import duckdb
    import pandas
    import pyarrow

WAIT_SECONDS = 60.0
DAMAGED = (
    "Corrupt database",
    "checksum",
    "Could not read enough bytes",
    "not a valid DuckDB",
)  # as DuckDB says it
LONG_SECONDS = 0.2  # after so long a transaction a new engine costs little


class Database:
    """An open transaction. Parameters always go beside the SQL, never into it."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: Path) -> None:
        self.connection = connection
        self.path = path
        self.after_commit: dict[str, Callable[[], None]] = {}  # by name, so that the same is done once

    def execute(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> None:
        """Run one statement."""
        self.connection.execute(sql, parameters)

    def rows(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[dict[str, Any]]:
        """All rows as dicts; columns of type JSON come back parsed."""
        cursor = self.connection.execute(sql, parameters)
        columns = cursor.description or []
        json_at = [i for i, column in enumerate(columns) if str(column[1]) == "JSON"]
        names = [column[0] for column in columns]
        found = []
        for row in cursor.fetchall():
            values = list(row)
            for i in json_at:
                values[i] = json.loads(values[i]) if values[i] is not None else None
            found.append(dict(zip(names, values, strict=True)))
        return found

    def one(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> dict[str, Any] | None:
        """The first row, or None."""
        found = self.rows(sql, parameters)
        return found[0] if found else None

    def value(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> Any:
        """The first column of the first row, or None."""
        row = self.connection.execute(sql, parameters).fetchone()
        return row[0] if row else None

    def frame(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> pandas.DataFrame:
        """All rows as a pandas frame."""
        return self.connection.execute(sql, parameters).df()

    def table(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> pyarrow.Table:
        """All rows as an Arrow table: a million rows without a million Python objects."""
        return self.connection.sql(sql, params=parameters or None).to_arrow_table()

    def batches(
        self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = (), rows: int = 10_000
    ) -> Iterator[pyarrow.RecordBatch]:
        """All rows as Arrow, so many at a time: for what does not fit into memory. Use it up before the next query."""
        reader = self.connection.sql(sql, params=parameters or None).to_arrow_reader(rows)
        try:
            yield from reader
        finally:
            reader.close()  # an open one holds the file

    def insert(self, table: str, rows: Iterable[Mapping[str, Any]], on_conflict: str = "") -> int:
        """Insert dicts (all with the same keys; dicts and lists become JSON, or a MAP where the column is one).

        `on_conflict`: "", "ignore" or "replace".

        Table and column names come from the code, never from input, and are checked against the schema all the same.
        Returns the number of rows given. Past a few hundred rows the way is Arrow, which is 50 times faster here.
        """
        given = [{key: _plain(value) for key, value in row.items()} for row in rows]
        if not given:
            return 0
        columns = list(given[0])
        # information_schema takes 13 ms
        known = dict(
            self.connection.execute("SELECT name, type FROM pragma_table_info(?)", [table]).fetchall()
        )
        unknown = [column for column in columns if column not in known]
        if unknown:
            raise ValueError(f"table {table!r} has no column {unknown[0]!r}; it has {sorted(known)}")
        verb = {"": "INSERT", "ignore": "INSERT OR IGNORE", "replace": "INSERT OR REPLACE"}[on_conflict]
        names = ", ".join(columns)
        casts = [f"CAST(CAST({{}} AS JSON) AS {known[column]})" if known[column].startswith("MAP(") else "{}"
                 for column in columns]  # fmt: skip
        if len(given) <= 50:
            marks = ", ".join(cast.format("?") for cast in casts)
            self.connection.executemany(
                f"{verb} INTO {table} ({names}) VALUES ({marks})",
                [[row[c] for c in columns] for row in given],
            )
        else:
            import pyarrow

            self.connection.register("rows_to_insert", pyarrow.Table.from_pylist(given))
            values = ", ".join(cast.format(column) for cast, column in zip(casts, columns, strict=True))
            self.connection.execute(f"{verb} INTO {table} ({names}) SELECT {values} FROM rows_to_insert")
            self.connection.unregister("rows_to_insert")
        return len(given)

    def event(self, actor: str, what: str, detail: Mapping[str, Any] | None = None) -> None:
        """Who did what, when."""
        self.insert(
            "events", [{"occurred_at": now(), "actor": actor, "what": what, "detail": dict(detail or {})}]
        )

    def get_state(self, key: str) -> Any:
        """A small remembered value, or None."""
        row = self.one("SELECT value FROM state WHERE key = ?", [key])
        return row["value"] if row else None

    def set_state(self, key: str, value: Any) -> None:
        """Remember a small value."""
        self.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", [key, json.dumps(value)])

    def forget_state(self, key: str) -> None:
        """Remember it no more."""
        self.execute("DELETE FROM state WHERE key = ?", [key])


def _plain(value: Any) -> Any:
    return (
        json.dumps(value, ensure_ascii=False, default=str)
        if isinstance(value, (dict, list, tuple))
        else value
    )


def now() -> datetime:
    """UTC without a zone, as the store keeps it."""
    return datetime.now(UTC).replace(tzinfo=None)


@contextmanager
def connect(path: Path, wait_seconds: float = WAIT_SECONDS) -> Iterator[Database]:
    """Open the store for one transaction; commit at the end, roll back when the block raises.

    Waits its turn behind other processes, at most `wait_seconds`, then raises GenbaError that says who holds the file.
    """
    after_commit: dict[str, Callable[[], None]] = {}
    try:
        with (
            _turn(path, wait_seconds),
            FileLock(str(path.with_suffix(".lock")), timeout=wait_seconds, poll_interval=0.01),
            _opened(path, wait_seconds) as connection,
        ):
            db = Database(connection, path)
            yield from _transaction(db)
            after_commit = db.after_commit
    except Timeout:
        raise GenbaError(
            f"{path} has been in use by another process for {wait_seconds:.0f} seconds.",
            next=f"genba doctor {path.parent}",
        ) from None
    except _duckdb_error() as error:
        if not any(sign in str(error) for sign in DAMAGED):
            raise
        raise GenbaError(
            f"{path} is damaged: {error}",
            next="keep it aside and put the last backup in its place: tar xzf BACKUP.tar.gz (genba backup made it)",
        ) from None
    except PermissionError as error:
        raise _unwritable(path, error) from None
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        raise _unwritable(path, error) from None
    for call in after_commit.values():
        call()


def copy(path: Path, to: Path, wait_seconds: float = WAIT_SECONDS) -> None:
    """Copy the store's file while nobody writes it. What was committed stands in it, and nothing half."""
    with (
        _turn(path, wait_seconds),
        FileLock(str(path.with_suffix(".lock")), timeout=wait_seconds, poll_interval=0.01),
    ):
        with _opened(path, wait_seconds):
            pass  # puts in what a killed process left in the log beside the file
        shutil.copyfile(path, to)


def _unwritable(path: Path, error: OSError) -> GenbaError:
    return GenbaError(
        f"{path.parent} cannot be written to: {error.strerror}. Also reading takes a lock there.",
        next=f"cp -r {path.parent} a folder of your own, or mend its rights",
    )


@contextmanager
def _turn(path: Path, wait_seconds: float) -> Iterator[None]:
    """The threads of this process queue here, so that only one of them polls the lock of the file."""
    lock = _thread_lock(path)
    if not lock.acquire(timeout=wait_seconds):
        raise Timeout(str(path))
    try:
        yield
    finally:
        lock.release()


@functools.cache
def _thread_lock(path: Path) -> threading.Lock:
    return threading.Lock()


def _transaction(db: Database) -> Iterator[Database]:
    db.execute("BEGIN")
    try:
        yield db
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


@contextmanager
def _opened(path: Path, wait_seconds: float) -> Iterator[duckdb.DuckDBPyConnection]:
    """The file, attached to this process's engine, and let go at the end for the next process."""
    started, is_well = time.monotonic(), False
    connection = _engine(path).cursor()
    try:
        _attach(connection, path, wait_seconds)
        yield connection
        connection.execute("USE memory")
        connection.execute("DETACH site")  # writes its log into the file, as closing does
        is_well = True
    finally:
        connection.close()
        if not is_well or time.monotonic() - started > LONG_SECONDS:
            _engine.cache_clear()  # a fatal error has broken it, or it holds memory that a large query took


@functools.lru_cache(maxsize=4)
def _engine(path: Path) -> duckdb.DuckDBPyConnection:
    """DuckDB without a file, kept: to make one takes 16 ms of a processor, to attach a file to it 3 (decision 2).

    One for each site, because what does not fit into memory goes beside its store.
    """
    import duckdb

    return duckdb.connect(":memory:", config={"temp_directory": f"{path}.tmp"})


atexit.register(_engine.cache_clear)  # its threads end before the interpreter's own parts are taken down
# In a forked child the threads would be gone, and the engine's end a crash
os.register_at_fork(before=_engine.cache_clear)


def _duckdb_error() -> type[Exception]:
    import duckdb

    return duckdb.Error


def _attach(connection: duckdb.DuckDBPyConnection, path: Path, wait_seconds: float) -> None:
    import duckdb

    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            connection.execute("ATTACH ? AS site", [str(path)])
            break
        except duckdb.IOException as error:
            # Somebody opened the file past our lock, e.g. the duckdb shell.
            if any(sign in str(error) for sign in DAMAGED):
                raise
            if "lock" not in str(error).lower():
                raise GenbaError(f"{path} cannot be opened: {error}", next="see to its disk") from None
            if time.monotonic() > deadline:
                raise GenbaError(
                    f"{path} is held by another program: {error}", next="close that program"
                ) from None
            time.sleep(0.05)
    connection.execute("USE site")
    _require_schema(connection, path)


def _require_schema(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Migrate an older site, refuse one written by a newer Genba."""
    try:
        row = connection.execute("SELECT max(version) FROM schema_version").fetchone()
        version = (row[0] if row else 0) or 0
    except Exception as error:
        if "schema_version" not in str(error):
            raise
        version = 0
    if version > len(MIGRATIONS):
        raise GenbaError(
            f"{path} was written by a newer Genba (schema {version}, this one knows {len(MIGRATIONS)}).",
            next="update Genba: git pull && make .venv",
        )
    if version < len(MIGRATIONS):
        migrate(connection)
