"""Values that are written into a query are what they would be as bound parameters."""

import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest

from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.sql import rows

VALUES = [
    *(True, 3, -7, 2.8, 1e300, 0.060622045954926485, float("inf")),
    *("", "it's $value; -- '' \\ \n ü", date(2026, 3, 1), [], ["a'b", "c"], [1, 2]),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_has_the_value_and_type_of_a_bound_parameter(value: object) -> None:
    with duckdb.connect() as connection:
        bound = connection.execute("SELECT $value, typeof($value)", {"value": value}).fetchone()
        [written] = rows(connection, "SELECT $value AS value, typeof($value) AS type", value=value)
    assert tuple(written.values()) == bound


def test_none_is_null_and_a_missing_or_unsuitable_value_is_an_error() -> None:
    with duckdb.connect() as connection:
        assert rows(connection, "SELECT $value IS NULL AS unknown", value=None) == [{"unknown": True}]
        with pytest.raises(KeyError, match="value"):
            rows(connection, "SELECT $value")
        with pytest.raises(TypeError, match="datetime"):
            rows(connection, "SELECT $value", value=datetime(2026, 3, 1, tzinfo=UTC))


def test_a_negative_number_after_a_minus_is_no_comment() -> None:
    with duckdb.connect() as connection:
        assert rows(connection, "SELECT 10-$value AS value", value=-7) == [{"value": 17}]


def test_a_dollar_without_a_name_is_left_alone() -> None:
    with duckdb.connect() as connection:
        assert rows(connection, "SELECT regexp_matches($text, 'b$') AS matches", text="ab") == [{"matches": True}]


def test_the_status_imports_neither_pandas_nor_dagster(tmp_path: Path) -> None:
    """Each of them takes as long as everything else that the command does."""
    target = tmp_path / "topo.duckdb"
    Warehouse(str(target)).prepare()
    code = (
        "import os, sys; os.environ['TOPO_WAREHOUSE'] = sys.argv[1]\n"
        "from topo_pipeline.cli import app\n"
        "app(['status'], standalone_mode=False)\n"
        "print({'pandas', 'dagster'} & sys.modules.keys(), file=sys.stderr)"
    )
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code, str(target)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "No day has landed yet" in done.stdout
    assert done.stderr == "set()\n"
