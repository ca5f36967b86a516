"""Sample workspaces: nine weeks from Monday 2 March 2026, with any number of sequences, always the same."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import ceil
from pathlib import Path

import pandas as pd

from tools.demo_tables import write_demo
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.landing import land_list
from topo_pipeline_tests.engagement.helpers import Activity, Workspace, enrolled, march, replied, sent, uid

FIRST, LAST = 2, 64  # Monday 2 March, Sunday 3 May
NOW = datetime(2026, 5, 4, 6, 30, tzinfo=UTC)
SEQUENCES = 60
STATUSES = ("ACTIVE", "FINISHING", "ARCHIVED")
HOSTILE = (
    "<script>window.hacked = 1</script>",
    "</script><script>window.hacked = 1</script>",
    "<!--<script>",
    '"><img src=x onerror="window.hacked = 1">',
    "{{ 7 * 7 }} {% raw %} ${7*7}",
    "\N{RIGHT-TO-LEFT OVERRIDE}drawkcab\N{ARABIC LETTER ALEF}",
    "\N{PARTY POPPER}\N{FAMILY}\N{ZERO WIDTH JOINER} emoji & 'quotes' \"double\"",
    "**bold** [link](javascript:window.hacked=1) | pipe",
    "W" * 500,
    "line\nfeed\x07bell\N{LINE SEPARATOR}end",
)


def activities(sequences: int) -> Iterator[Activity]:
    """Yield the activities.

    The first sequence is large, the second medium, the others tiny. The last one has just begun, and some stopped.
    """
    for number in range(sequences):
        name = f"sequence {number}"
        only_begun = bool(number) and number == sequences - 1
        stops = number % 6 == 3
        for week in [8] if only_begun else range(6 if stops else 9):
            for run in range({0: 40, 1: 12}.get(number, int(only_begun or stops or week % 4 == number % 4))):
                yield from _run(name, number, week, run)


def _run(sequence: str, number: int, week: int, run: int) -> Iterator[Activity]:
    name = f"{sequence} {week} {run}"
    start = FIRST + 7 * week + run % 5
    channel = "LINKEDIN" if number % 4 == 3 else "EMAIL"
    details = {"sequence": sequence, "channel": channel}
    step = (lambda nth: None) if number % 5 == 4 else (lambda nth: nth)
    yield enrolled(march(start, 8), name, sequence=sequence)
    yield sent(march(start, 9), name, step=step(1), message=f"{name} 1", **details)
    if (7 * run + number + week) % (5 + number % 11) == 0 and start + 12 <= LAST:
        category = (None, "INTERESTED", "NOT_INTERESTED", "MEETING")[(run + week) % 4]
        yield replied(march(start + 1 + run % 12, 15), name, message=f"{name} 1", category=category, **details)
    elif start + 3 <= LAST:
        yield sent(march(start + 3, 9), name, step=step(2), message=f"{name} 2", **details)


def land(workspace: Workspace, sequences: int, names: tuple[str, ...] = ()) -> list[Activity]:
    """Land the activities, name the sequences and build the tables; the first sequences get `names`."""
    happened = list(activities(sequences))
    quiet = [(march(FIRST) + timedelta(days=n)).date() for n in range(LAST - FIRST + 1)]
    workspace.land_all(happened, *quiet)
    called = [names[n] if n < len(names) else f"Outreach {n:03} to buyers" for n in range(sequences)]
    frame = pd.DataFrame(
        {
            "id": [uid(f"sequence {n}") for n in range(sequences)],
            "name": called,
            "status": [STATUSES[n % 3] for n in range(sequences)],
            "step_count": 2,
        }
    )
    with workspace.warehouse.transaction() as connection:
        land_list(connection, "sequence_templates", frame, now=workspace.now)
    workspace.build()
    return happened


# The tables that the report doesn't read row by row for each sequence.
_NOT_COPIED = ("sequence_runs", "sequence_actions", "sequence_firsts", "sequence_responses", "sequence_activity")
_COPY = """
INSERT INTO {table} BY NAME
SELECT built.* REPLACE (md5({id}::VARCHAR || copy)::UUID AS {id}{name})
FROM {table} AS built CROSS JOIN range($copies) AS copies(copy)
WHERE {id} IS NOT NULL
"""


def busy(path: Path, sequences: int) -> Warehouse:
    """Write a warehouse with the demo's sequences and copies of them, at least this many in all."""
    warehouse = write_demo(str(path))
    with warehouse.transaction() as connection:
        columns = connection.execute(
            "SELECT table_name, list(column_name) FROM duckdb_columns() WHERE schema_name = 'engagement' GROUP BY ALL"
        ).fetchall()
        [(built,)] = connection.execute(
            "SELECT count(DISTINCT sequence_template_id) FROM engagement.sequence_summary"
        ).fetchall()
        copies = {"copies": ceil(sequences / built) - 1}
        for table, has in columns:
            if table not in _NOT_COPIED and "sequence_template_id" in has:
                name = ", sequence_name || ' ' || copy AS sequence_name" if "sequence_name" in has else ""
                sql = _COPY.format(table=f"engagement.{table}", id="sequence_template_id", name=name)
                connection.execute(sql, copies)
        sql = _COPY.format(table="topo.sequence_templates", id="id", name=", name || ' ' || copy AS name")
        connection.execute(sql, copies)
    return warehouse
