"""The generated files in bi/: views for DuckDB and sources for dbt, with every exported column and its comment.

`make bi` writes them. A test compares them with the manifest of an export.
"""

import json
import re
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from topo_pipeline.engagement.building import build
from topo_pipeline.engagement.tables import in_order, tables
from topo_pipeline.exports.parquet import Manifest, write_files
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.files import replacing
from topo_pipeline.warehouse.sql import identifier, literal
from topo_pipeline.warehouse.workspace import bind_timezone

BI = Path(__file__).parents[1] / "bi"
_SCHEMAS = {
    "engagement": "The metric tables.",
    "topo": "The activities as landed, without payloads, the ledger of loads, and the sequences.",
}
_KEYS = {"topo.activities": ("day", "id"), "topo.loads": ("load_id",), "topo.sequence_templates": ("id",)}
# Rows that differ only in one of these columns count the same runs.
_OVERLAPPING = ("period", "axis", "scope", "outcome", "horizon_days", "age_days")
# The values of columns by pattern. They apply where the comment names them all.
_VALUES = (
    ("*_evidence", "none too_small usable directional"),
    ("period", "lifetime 7d 28d 90d"),
    ("axis", "touched sent enrolled"),
    ("scope", "sequence workspace"),
    ("*channel", "EMAIL LINKEDIN MANUAL OTHER NONE"),
    ("channel_source", "payload type filter unknown"),
    ("signal", "up down no_clear_change"),
    ("volume_signal", "up down as_usual"),
    ("chance_*", "very_likely likely about_even"),
    ("standing", "best leads"),
    ("outcome", "meeting positive opt_out negative neutral unknown pending out_of_office bounced none"),
    ("outcome", "valid_reply positive_reply meeting"),
    ("outcome", "valid_reply meeting"),
    ("type", "message.sent invitation.sent task.created sequence_step.completed sequence_step.skipped"),
    ("type", "message.replied hot_lead.created meeting.created message.opened"),
    ("class", "positive neutral negative opt_out out_of_office bounced pending unknown"),
    ("closed_by", "task.completed task.skipped"),
    ("max_stage", "enrolled touched engaged replied positive meeting"),
    ("exit_reason", "meeting positive replied stopped completed active"),
    ("reply_attribution", "exact last_touch_same_channel last_touch_any none"),
)
_HEAD = """\
-- Views of the newest Parquet export, with the comments of every table and column. Written by `make bi`.
--
--     duckdb views.duckdb < bi/topo.sql     writes a file of views, which a BI tool opens
--     duckdb -init bi/topo.sql              has the views in memory
--
-- Never sum or average a rate: sum its _num and _den, and divide. docs/bi.md says which columns can be summed.

BEGIN;
CREATE SCHEMA IF NOT EXISTS engagement;
CREATE SCHEMA IF NOT EXISTS topo;

-- The folder of the export, here the demo's. A relative one is below the folder in which DuckDB runs.
CREATE OR REPLACE MACRO engagement.exported(file) AS 'data/demo/report/parquet/latest/' || file;
"""


def main() -> None:
    """Write the generated files."""
    for name, text in files(empty_export()).items():
        with replacing(BI / name) as new:
            new.write_text(text, encoding="utf-8")


def files(manifest: Manifest) -> dict[str, str]:
    """Return the text of each generated file, by its path in bi/."""
    return {
        "topo.sql": "\n".join([_HEAD, *_views(manifest), "COMMIT;\n"]),
        "dbt/models/sources.yml": "\n".join(_sources(manifest)),
    }


def empty_export() -> Manifest:
    """Return the manifest of an export of an empty workspace."""
    now = datetime.now(UTC)
    with tempfile.TemporaryDirectory() as folder:
        warehouse = Warehouse(f"{folder}/topo.duckdb")
        warehouse.prepare()
        with warehouse.transaction() as connection:
            bind_timezone(connection, "UTC", now=now)
            for table in in_order():
                build(connection, table, timezone="UTC", now=now)
        return write_files(warehouse, Path(folder), now=now)


def _views(manifest: Manifest) -> Iterator[str]:
    """Yield the statements that create the views."""
    for name, table in manifest["tables"].items():
        yield f"CREATE OR REPLACE VIEW {name} AS FROM read_parquet(engagement.exported({literal(_path(name))}));"
        yield f"COMMENT ON VIEW {name} IS {literal(_description(name, table))};"
        for column in table["columns"]:
            yield f"COMMENT ON COLUMN {name}.{identifier(column['name'])} IS {literal(column['comment'])};"
        yield ""


def _sources(manifest: Manifest) -> Iterator[str]:
    """Yield the lines of the YAML file. A column is one line of JSON, which is YAML too."""
    yield "# The tables of the newest Parquet export. Written by `make bi`."
    yield "version: 2"
    yield "sources:"
    for schema, about in _SCHEMAS.items():
        yield f"  - name: {schema}"
        yield f"    description: {about}"
        yield "    tables:"
        for full_name, table in manifest["tables"].items():
            if full_name.startswith(f"{schema}."):
                yield from _source(full_name, table)
    yield ""


def _source(name: str, table: dict[str, Any]) -> Iterator[str]:
    key = _key(name)
    yield f"      - name: {name.partition('.')[2]}"
    yield f"        description: {_json(_description(name, table))}"
    yield f"        config: {{meta: {{external_location: \"{{{{ var('export') }}}}/{_path(name)}\"}}}}"
    if len(key) > 1:
        yield f'        data_tests: [{{unique: {{arguments: {{column_name: "row({", ".join(key)})"}}}}}}]'
    yield "        columns:"
    for column in table["columns"]:
        tests = list(_tests(column, key))
        described = {"name": column["name"], "description": column["comment"], "data_type": column["type"]}
        yield f"          - {_json(described | ({'data_tests': tests} if tests else {}))}"


def _tests(column: dict[str, str], key: tuple[str, ...]) -> Iterator[Any]:
    """Yield the tests of a column: of its part in the key, and of its values."""
    if key == (column["name"],):
        yield "unique"
    if column["name"] in key and "NULL" not in column["comment"]:
        yield "not_null"
    words = set(re.findall(r"[\w.]*\w", column["comment"]))
    for pattern, values in _VALUES:
        if fnmatchcase(column["name"], pattern) and words >= set(values.split()):
            yield {"accepted_values": {"arguments": {"values": values.split()}}}
            return


def _description(name: str, table: dict[str, Any]) -> str:
    """Return the comment of a table, and what to fix before its rows are summed."""
    fixed = [column for column in _key(name) if column in _OVERLAPPING]
    advice = f" Before you sum, filter to one {' and one '.join(fixed)}." if fixed else ""
    return f"{table['comment']}{advice}"


def _key(name: str) -> tuple[str, ...]:
    """Return the key columns of an exported table, or nothing if it is the companion of another one."""
    table = tables().get(name.removeprefix("engagement."))
    return table.grain if table else _KEYS.get(name, ())


def _path(name: str) -> str:
    """Return the path of a table's files in an export. The activities have a file for each month."""
    return f"{name.replace('.', '/')}{'/*' if name == 'topo.activities' else ''}.parquet"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    main()
