"""Read published tables as their readers do, and the tables of the warehouse as they should be published."""

import json
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from topo_pipeline.defs.activities import LISTS
from topo_pipeline.warehouse.extensions import load
from topo_pipeline.warehouse.sql import identifier
from topo_pipeline_tests.engagement.helpers import KEPT_BESIDE, TABLES, Workspace

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

    from topo_pipeline_tests.services.postgres import Database
    from topo_pipeline_tests.services.s3 import Bucket

EXPORTED = {*(f"engagement.{name}" for name in (*TABLES, *KEPT_BESIDE)), "topo.activities", "topo.loads"} | {
    f"topo.{table}" for table in LISTS
}
Tables = dict[str, list[str]]
"""Tables by name without schema: the rows as text, in order."""


def rows(found: Any) -> list[str]:
    """Return the rows as text, in order. Instants are in UTC, because each reader has its own time zone objects."""
    return sorted(repr([_plain(value) for value in row]) for row in found)


def _plain(value: Any) -> Any:
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return list(map(_plain, value)) if isinstance(value, list) else value


def expected(workspace: Workspace, names: Collection[str]) -> Tables:
    """Return these tables of the warehouse, as they should be published."""
    columns = {"topo.activities": "* EXCLUDE (payload)"}
    return {
        name.partition(".")[2]: rows(workspace.select(f"SELECT {columns.get(name, '*')} FROM {name}"))  # noqa: S608
        for name in names
    }


def _in_polars(environment: dict[str, str]) -> dict[str, str]:
    others = {name: value for name, value in environment.items() if name != "AWS_ENDPOINT_URL_S3"}
    return {**others, "AWS_ENDPOINT_URL": environment["AWS_ENDPOINT_URL_S3"], "AWS_ALLOW_HTTP": "true"}


@contextmanager
def duckdb_with(*extensions: str, bucket: dict[str, str]) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection that can read S3."""
    with duckdb.connect() as connection:
        for extension in ("httpfs", *extensions):
            load(connection, extension)
        connection.execute(
            "SET TimeZone = 'UTC'; CREATE SECRET (TYPE s3, URL_STYLE 'path', USE_SSL false,"
            f" KEY_ID '{bucket['AWS_ACCESS_KEY_ID']}', SECRET '{bucket['AWS_SECRET_ACCESS_KEY']}',"
            f" REGION '{bucket['AWS_REGION']}',"
            f" ENDPOINT '{bucket['AWS_ENDPOINT_URL_S3'].removeprefix('http://')}')"
        )
        yield connection


def published_in(bucket: "Bucket", folder: str = "a folder/") -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Return `latest.json`, and the keys of each table's files."""
    latest = json.loads(bucket.read(f"{folder}latest.json"))
    keys = {
        name.partition(".")[2]: [f"{folder}{latest['folder']}/{file['path']}" for file in table["files"]]
        for name, table in latest["tables"].items()
    }
    return latest, keys


def by_pyarrow(bucket: "Bucket") -> Tables:
    import pyarrow.parquet as pq

    def read(key: str) -> list[tuple[Any, ...]]:
        return tuples(pq.read_table(f"{bucket.name}/{key}", filesystem=bucket.files))

    return {name: rows(row for key in keys for row in read(key)) for name, keys in published_in(bucket)[1].items()}


def by_polars(bucket: "Bucket") -> Tables:
    import polars

    def read(key: str) -> list[tuple[Any, ...]]:
        frame = polars.read_parquet(f"{bucket.url}/{key}", storage_options=_in_polars(bucket.environment))
        return frame.rows()

    return {name: rows(row for key in keys for row in read(key)) for name, keys in published_in(bucket)[1].items()}


def by_duckdb(bucket: "Bucket") -> Tables:
    with duckdb_with(bucket=bucket.environment) as connection:
        return {
            name: rows(connection.execute(f"FROM read_parquet({[f'{bucket.url}/{key}' for key in keys]})").fetchall())
            for name, keys in published_in(bucket)[1].items()
        }


def by_psycopg(database: "Database", schema: str) -> Tables:
    with database.connect() as connection:
        return {
            name: rows(connection.execute(f"TABLE {identifier(schema)}.{identifier(name)}".encode()).fetchall())
            for (name,) in connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename <> 'published'", [schema]
            ).fetchall()
        }


def by_duckdb_from_postgres(database: "Database", schema: str) -> Tables:
    with duckdb.connect() as connection:
        load(connection, "postgres_scanner")
        connection.execute(f"SET TimeZone = 'UTC'; ATTACH '{database.dsn}' AS target (TYPE postgres, READ_ONLY)")
        return {
            name: rows(connection.execute(f"FROM target.{identifier(schema)}.{identifier(name)}").fetchall())
            for (name,) in connection.execute(
                "SELECT table_name FROM duckdb_tables() WHERE schema_name = ? AND table_name <> 'published'", [schema]
            ).fetchall()
        }


def by_pyiceberg(catalog: "Catalog", namespace: str) -> Tables:
    return {
        name: rows(tuples(catalog.load_table((space, name)).scan().to_arrow()))
        for space, name in _in(catalog, namespace)
    }


def by_polars_from_iceberg(catalog: "Catalog", namespace: str) -> Tables:
    import polars

    def read(name: tuple[str, str]) -> list[tuple[Any, ...]]:
        table = catalog.load_table(name)
        return polars.scan_iceberg(table, storage_options=_in_polars(_bucket_of(catalog))).collect().rows()

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("POLARS_ICEBERG_PLANNER", "pyiceberg")  # otherwise it warns that its own is not installed
        return {name[1]: rows(read(name)) for name in _in(catalog, namespace)}


def by_duckdb_from_iceberg(catalog: "Catalog", namespace: str) -> Tables:
    """Read the tables by the REST catalog, as DuckDB's own extension does."""
    properties = catalog.properties
    key, _, secret = properties["credential"].partition(":")
    with duckdb_with("avro", "iceberg", bucket=_bucket_of(catalog)) as connection:
        connection.execute(
            f"ATTACH '{properties['warehouse'].removeprefix('s3://')}' AS target (TYPE iceberg,"
            f" ENDPOINT '{properties['uri']}', CLIENT_ID '{key}', CLIENT_SECRET '{secret}',"
            f" OAUTH2_SERVER_URI '{properties['oauth2-server-uri']}')"
        )
        names = [name for _, name in _in(catalog, namespace)]
        return {name: rows(connection.execute(f"FROM target.{namespace}.{name}").fetchall()) for name in names}


def _bucket_of(catalog: "Catalog") -> dict[str, str]:
    """Return the variables that give access to the catalog's files."""
    names = {"ACCESS_KEY_ID": "access-key-id", "SECRET_ACCESS_KEY": "secret-access-key", "REGION": "region"}
    access = {f"AWS_{variable}": catalog.properties[f"s3.{name}"] for variable, name in names.items()}
    return {**access, "AWS_ENDPOINT_URL_S3": catalog.properties["s3.endpoint"]}


def _in(catalog: "Catalog", namespace: str) -> list[tuple[str, str]]:
    return [(found[0], found[-1]) for found in catalog.list_tables(namespace)]


def tuples(table: Any) -> list[tuple[Any, ...]]:
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))
