"""Publish an export to a schema of a Postgres database: one table per table, in one transaction.

A table is emptied and filled again rather than replaced. So readers see all tables as they were until the commit, also
in a transaction that they began before it, and grants, views and indexes remain.
"""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from topo_pipeline.common.text import first_line
from topo_pipeline.exports.parquet import Manifest
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline.warehouse.extensions import load, new_instance
from topo_pipeline.warehouse.sql import SESSION, identifier, literal
from topo_pipeline.warehouse.transactions import undone_on_error

PUBLISHED = "published"
_LOCK_TIMEOUT = "5min"  # for another process that publishes, or for readers of a table whose columns change
_PUBLISHED_COLUMNS = [
    ("written_at", "TIMESTAMP WITH TIME ZONE"), ("as_of", "TIMESTAMP WITH TIME ZONE"), ("manifest", "VARCHAR"),
]  # fmt: skip
_COLUMNS = """
SELECT column_name, data_type FROM duckdb_columns()
WHERE database_name = 'target' AND schema_name = ? AND table_name = ? ORDER BY column_index
"""


@dataclass(frozen=True)
class Postgres:
    """A schema of a Postgres database."""

    address: str = field(repr=False)  # the connection string, a secret
    schema: str

    @property
    def place(self) -> str:
        """The target, as it is named in messages."""
        return f"the Postgres schema {self.schema}"

    def check(self) -> None:
        """Create a table in the schema, and the schema if it is missing, in a transaction that is not committed.

        Raises:
            WarehouseError: the database can't be reached or refuses a statement.
        """
        with self._transaction() as connection:
            self._create_schema(connection)
            connection.execute(
                f"CREATE TABLE {self._target(f'topo_pipeline_check_{uuid.uuid4().hex}')} (number INTEGER)"
            )
            connection.rollback()

    def publish(self, folder: Path, manifest: Manifest, *, keep_last: bool) -> None:  # noqa: ARG002 - nothing is kept
        """Replace the rows of every table, and those of `published`, which says up to when the tables reach.

        Raises:
            WarehouseError: the database can't be reached or refuses a statement. No table has changed.
        """
        with self._transaction() as connection:
            self._fill(connection, folder, manifest)
            connection.commit()

    @contextmanager
    def _transaction(self) -> Iterator[DuckDBPyConnection]:
        """Yield a connection in a transaction, which the caller ends. The database is attached as `target`."""
        try:
            with new_instance() as connection:
                connection.execute(SESSION)
                load(connection, "postgres_scanner")
                connection.execute("SET pg_null_byte_replacement = ''")  # Postgres has no such character
                connection.execute(f"ATTACH {literal(self.address)} AS target (TYPE postgres)")
                with undone_on_error(connection):
                    self._execute(connection, f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
                    yield connection
        except duckdb.Error as error:
            raise WarehouseError(f"The tables can't be published to {self.place}: {self._reason(error)}") from None

    def _fill(self, connection: DuckDBPyConnection, folder: Path, manifest: Manifest) -> None:
        self._create_schema(connection)
        # First, so that of two processes that publish at the same time the second one waits here, and then fails.
        self._empty(connection, PUBLISHED, _PUBLISHED_COLUMNS)
        row = [manifest["written_at"], manifest["as_of"], json.dumps(manifest, ensure_ascii=False)]
        connection.execute(f"INSERT INTO {self._target(PUBLISHED)} VALUES (?, ?, ?)", row)  # noqa: S608
        for full_name, table in manifest["tables"].items():
            name = full_name.partition(".")[2]
            self._empty(connection, name, [(column["name"], column["type"]) for column in table["columns"]])
            for file in table["files"]:
                source = literal(str(folder / file["path"]))
                connection.execute(f"INSERT INTO {self._target(name)} FROM read_parquet({source})")  # noqa: S608
        self._execute(connection, "; ".join(self._comments(manifest)))

    def _create_schema(self, connection: DuckDBPyConnection) -> None:
        """Create the schema if it is missing."""
        exists = "SELECT count(*) FROM duckdb_schemas() WHERE database_name = 'target' AND schema_name = ?"
        if connection.execute(exists, [self.schema]).fetchall() == [(0,)]:
            connection.execute(f"CREATE SCHEMA target.{identifier(self.schema)}")

    def _empty(self, connection: DuckDBPyConnection, name: str, columns: list[tuple[str, str]]) -> None:
        """Delete the rows of a table, or create it if it is missing or has other columns."""
        target = self._target(name)
        found = connection.execute(_COLUMNS, [self.schema, name]).fetchall()
        if found == columns:
            self._execute(connection, f"DELETE FROM {self._in_postgres(name)}")  # noqa: S608
            return
        if found:
            connection.execute(f"DROP TABLE {target}")
        defined = ", ".join(f"{identifier(column)} {kind}" for column, kind in columns)
        connection.execute(f"CREATE TABLE {target} ({defined})")

    def _comments(self, manifest: Manifest) -> list[str]:
        comments = {f"TABLE {self._in_postgres(PUBLISHED)}": "When the tables of this schema were published. One row."}
        for full_name, table in manifest["tables"].items():
            name = self._in_postgres(full_name.partition(".")[2])
            comments[f"TABLE {name}"] = table["comment"]
            comments |= {f"COLUMN {name}.{identifier(c['name'])}": c["comment"] for c in table["columns"]}
        return [f"COMMENT ON {what} IS {literal(text)}" for what, text in comments.items() if text]

    def _execute(self, connection: DuckDBPyConnection, statement: str) -> None:
        connection.execute("CALL postgres_execute('target', ?)", [statement])

    def _in_postgres(self, name: str) -> str:
        return f"{identifier(self.schema)}.{identifier(name)}"

    def _target(self, name: str) -> str:
        return f"target.{self._in_postgres(name)}"

    def _reason(self, error: duckdb.Error) -> str:
        """Return why Postgres refused, without the connection string that DuckDB or, if it is invalid, libpq quotes."""
        message = str(error)
        if "Unable to connect" in message:
            _, found, reason = message.partition('": connection to server ')
            return f"connection to server {first_line(reason)}" if found else "the connection string is invalid"
        _, found, reason = message.partition("ERROR:")
        return first_line(reason if found else message).strip()
