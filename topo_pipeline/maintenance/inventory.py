"""Every place that can hold personal data, and how `forget` treats it.

A new table, file or temporary folder gets an entry here, except a table whose comment ends with `NO_PERSON`. Tests
compare the tables with those of a built warehouse, and search every place for a person after `forget`.

These hold no personal data: the report and the table pages in Dagster (sequence names and numbers), Dagster's records
(days, counts, sequence ids), logs and alerts. The tables in S3, Postgres and Iceberg are published again; what these
keep of earlier ones is in docs/data.md. These are unknown here, so the user has to delete them: backups, files
that `export` wrote, and copies made by others.
"""

from collections.abc import Mapping
from pathlib import Path

from topo_pipeline.exports.parquet import LATEST
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.files import temporary

TABLES: Mapping[str, str] = {
    "topo.activities": "rows are erased",
    "topo.activity_changes": "rows are erased",
    "topo.rejects": "rows are erased",
    "topo.forgotten": "keyed hashes of ids are kept",
    "topo.contract_checks": "holds no person",
    "topo.loads": "holds no person",
    "topo.migrations": "holds no person",
    "topo.sequence_templates": "holds no person",
    "topo.workspace": "holds no person",
}
"""What `forget` does with the tables of schema `topo`. The tables of schema `engagement` are rebuilt."""
NO_PERSON = "Holds no personal data."
"""The end of the comment of a list endpoint's table, in its migration, if `forget` need not change the table."""


def treatment_of(table: str, comment: str) -> str | None:
    """Return what `forget` does with a table, from `TABLES` or its comment. None if neither says so."""
    return TABLES.get(table) or ("holds no person" if comment.endswith(NO_PERSON) else None)


def written_files(warehouse: Warehouse, exports: Path, report: Path) -> list[Path]:
    """Return the files for which killed processes may have left temporary folders."""
    return list(dict.fromkeys((*warehouse.place.written_files(), exports / LATEST, report, temporary())))
