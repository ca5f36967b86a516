"""The evaluation of checks: what a check is, and the verdict on it."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from topo_pipeline.common.text import first_line, one_line
from topo_pipeline.days import backfill_commands
from topo_pipeline.engagement import macros
from topo_pipeline.warehouse.catalogue import columns_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

EXAMPLES_SHOWN, EXAMPLES_KEPT, LONGEST_EXAMPLE = 5, 100, 80
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")

# A sequence without a name is shown by its id.
_SEQUENCE = """
CREATE OR REPLACE TEMP TABLE sequence_names AS SELECT id, min(name) AS name FROM topo.sequence_templates GROUP BY id;
CREATE OR REPLACE TEMP MACRO sequence_called(wanted) AS coalesce(
    (SELECT name FROM temp.sequence_names WHERE id = wanted), wanted::VARCHAR, '(no sequence)')
"""


@dataclass(frozen=True)
class Check:
    """A check of a table.

    Attributes:
        table: Full name of the table.
        name: Name of the check.
        holds: A sentence that is true when the check passes.
        finding: The kind of problem, followed by the number and examples in the result.
        sql: A query that returns one row per problem, or a function of the column names that returns such a query.
        advice: What to do about the problem. `$backfill` becomes the commands that read the days found.
    """

    table: str
    name: str
    severity: Literal["WARN", "ERROR"]
    holds: str
    finding: str
    sql: str | Callable[[list[str]], str]
    advice: str = ""


@dataclass(frozen=True)
class Recorded:
    """Dagster's record of a day, for comparison with the ledger.

    Attributes:
        day: The reporting day.
        load_id: The load in its latest materialisation. None if it never landed.
        failed: Whether the latest attempt to read the day failed.
    """

    day: date
    load_id: str | None
    failed: bool = False


@dataclass(frozen=True)
class Verdict:
    """The result of a check. `rows` is the number of problems, None if the check could not run."""

    passed: bool
    severity: Literal["WARN", "ERROR"]
    sentence: str
    rows: int | None = None
    examples: tuple[str, ...] = ()


def evaluate(
    connection: "DuckDBPyConnection",
    checks: Iterable[Check],
    *,
    now: datetime,
    due: date,
    recorded: Sequence[Recorded] = (),
) -> Iterator[tuple[Check, Verdict]]:
    """Evaluate checks, one after the other.

    Args:
        connection: A reader's or a transaction's connection.
        checks: The checks, such as those of a table (`checks_of`).
        now: The current time, with a time zone.
        due: The last day that should have landed.
        recorded: Dagster's records of the days. Only checks of `topo.activities` use them.
    """
    macros.define(connection)
    connection.execute(_SEQUENCE)
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE recorded_days AS SELECT unnest($days::DATE[]) AS day,"
        " unnest($loads::VARCHAR[]) AS load_id, unnest($failed::BOOLEAN[]) AS failed",
        {
            "days": [record.day for record in recorded],
            "loads": [record.load_id for record in recorded],
            "failed": [record.failed for record in recorded],
        },
    )
    columns = cache(lambda table: [column.name for column in columns_of(connection, *table.split("."))])
    for check in checks:
        sql = check.sql if isinstance(check.sql, str) else check.sql(columns(check.table))
        yield check, _verdict(connection, check, sql, {"now": now, "due": due})


def _verdict(connection: "DuckDBPyConnection", check: Check, sql: str, values: Mapping[str, Any]) -> Verdict:
    import duckdb  # noqa: PLC0415 - definitions load without it

    try:
        found = connection.execute(sql, {name: it for name, it in values.items() if f"${name}" in sql}).fetchall()
    except (duckdb.BinderException, duckdb.CatalogException) as error:
        # The table has not been built yet, or was built by an older version.
        return Verdict(False, "WARN", f"Could not run. Build the tables of this check first: {first_line(error)}")
    examples = list(dict.fromkeys(one_line(str(example), LONGEST_EXAMPLE) for (example,) in found))
    if not found:
        return Verdict(True, check.severity, check.holds, 0)
    more = f" and {len(examples) - EXAMPLES_SHOWN} more" if len(examples) > EXAMPLES_SHOWN else ""
    shown = ", ".join(examples[:EXAMPLES_SHOWN])
    advice = check.advice
    if "$backfill" in advice:  # the violations are days, not names from outside
        days = {date.fromisoformat(day) for example in examples for day in _DAY.findall(example)}
        advice = advice.replace("$backfill", "; ".join(backfill_commands(days)))
    sentence = f"{check.finding}, {len(found):,} in total: {shown}{more}. {advice}".rstrip()
    return Verdict(False, check.severity, sentence, len(found), tuple(examples[:EXAMPLES_KEPT]))
