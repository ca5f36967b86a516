"""Values that not every target can hold are published as text."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from topo_pipeline.exports.parquet import write_files
from topo_pipeline.exports.postgres import Postgres
from topo_pipeline_tests.engagement.helpers import Workspace
from topo_pipeline_tests.exports.conftest import Written
from topo_pipeline_tests.exports.readers import tuples

if TYPE_CHECKING:
    from topo_pipeline_tests.services.postgres import Database
    from topo_pipeline_tests.services.s3 import S3

# The value in the warehouse, and as published.
VALUES: dict[str, tuple[str, Any]] = {
    "uuid": ("'0B9C4A52-6f0e-4c5b-9d5e-2f6f3c1d7a10'::UUID", "0b9c4a52-6f0e-4c5b-9d5e-2f6f3c1d7a10"),
    "huge": ("170141183460469231731687303715884105727::HUGEINT", "170141183460469231731687303715884105727"),
    "unsigned_huge": (
        "340282366920938463463374607431768211455::UHUGEINT", "340282366920938463463374607431768211455",
    ),
    "unsigned": ("18446744073709551615::UBIGINT", "18446744073709551615"),
    "struct": ("{'a': 1, 'b': 'it''s'}", '{"a":1,"b":"it\'s"}'),
    "map": ("MAP {'k': 2}", '{"k":2}'),
    "nested": ("[[1], [2, NULL]]", "[[1],[2,null]]"),
    "enum": ("'open'::ENUM ('open', 'closed')", "open"),
    "time": ("TIME '10:30:00'", "10:30:00"),
    "interval": ("INTERVAL 3 DAY", "3 days"),
    "bytes": (r"'\x00a'::BLOB", r"\x00a"),
    "list": ("['a', NULL]", ["a", None]),
    "number": ("9007199254740993", 9007199254740993),  # no float is equal to it
    "instant": ("TIMESTAMPTZ '2026-03-01 10:00:00+02'", datetime(2026, 3, 1, 8, tzinfo=UTC)),
    "nothing": ("NULL::HUGEINT", None),
}  # fmt: skip
ROW = {name: value for name, (_, value) in VALUES.items()}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """The export of a table with such values, and with a text that Postgres cannot hold."""
    folder = tmp_path_factory.mktemp("odd")
    workspace = Workspace(str(folder / "topo.duckdb"))
    selected = ", ".join(f'{value} AS "{name}"' for name, (value, _) in VALUES.items())
    with workspace.warehouse.transaction() as connection:
        connection.execute(f"CREATE TABLE engagement.odd AS SELECT {selected}, 'a' || chr(0) || 'b' AS null_byte")
    (folder / "export").mkdir()
    manifest = write_files(workspace.warehouse, folder / "export", now=datetime(2026, 4, 2, tzinfo=UTC))
    only = {**manifest, "tables": {"engagement.odd": manifest["tables"]["engagement.odd"]}}
    return Written(folder / "export", only, {})


def test_parquet_and_the_manifest(odd: Written) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(odd.folder / "engagement" / "odd.parquet")
    assert dict(zip(table.column_names, *tuples(table), strict=True)) == {**ROW, "null_byte": "a\0b"}
    types = {column["name"]: column["type"] for column in odd.manifest["tables"]["engagement.odd"]["columns"]}
    kept = {"list": "VARCHAR[]", "number": "BIGINT", "instant": "TIMESTAMP WITH TIME ZONE"}
    assert types == {**dict.fromkeys(types, "VARCHAR"), **kept}


def test_postgres(odd: Written, postgres_database: "Database") -> None:
    for _ in range(2):  # the second time, the table exists and has the same types
        odd.publish(Postgres(postgres_database.dsn, "topo"))
    with postgres_database.connect() as connection:
        cursor = connection.execute("TABLE topo.odd")
        [row] = cursor.fetchall()
        names = [column.name for column in cursor.description or ()]
    assert dict(zip(names, row, strict=True)) == {**ROW, "null_byte": "ab"}


def test_iceberg(odd: Written, s3: "S3") -> None:
    from pyiceberg.catalog import load_catalog

    from topo_pipeline.exports.iceberg import Iceberg

    catalog = load_catalog("test", **s3.catalog())
    odd.publish(Iceberg("test", "topo", catalog.properties))
    table = catalog.load_table(("topo", "odd")).scan().to_arrow()
    assert dict(zip(table.column_names, *tuples(table), strict=True)) == {**ROW, "null_byte": "a\0b"}
