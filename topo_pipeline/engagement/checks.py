"""What has to hold of the tables, and what somebody should look at: one entry a check.

A check is an entry of `CHECKS`. Its SQL returns one row for whatever is wrong, with one column that shows it: a day, a
sequence, never a person. Every table's key and rates are checked without an entry. A check is an ERROR where only our
own code can be wrong or the warehouse is lost, a WARN where data can be wrong.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal

from topo_pipeline.engagement.lineage import firsts
from topo_pipeline.engagement.tables import MetricTable, tables
from topo_pipeline.text import one_line
from topo_pipeline.warehouse.catalogue import columns_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

EXAMPLES_TOLD, EXAMPLES_KEPT, LONGEST_EXAMPLE = 5, 100, 80

# Names are other people's text; a sequence without one is shown by its id.
_SEQUENCE = """
CREATE OR REPLACE TEMP MACRO sequence_called(wanted) AS coalesce(
    (SELECT any_value(name) FROM topo.sequence_templates WHERE id = wanted), wanted::VARCHAR, '(no sequence)')
"""


@dataclass(frozen=True)
class Check:
    """Something to be checked of a table.

    Attributes:
        table: its full name.
        name: the check's.
        holds: a sentence: what is so where the check passes.
        else_rows: what the rows found are or do, said after their number.
        sql: returns a row, of one column, for each thing that is wrong; may be made of the table's column names.
        then: a sentence: what to do about it.
    """

    table: str
    name: str
    severity: Literal["WARN", "ERROR"]
    holds: str
    else_rows: str
    sql: str | Callable[[list[str]], str]
    then: str = ""


@dataclass(frozen=True)
class Recorded:
    """What Dagster's records say of a day, to be held against the ledger.

    Attributes:
        day: the reporting day.
        load_id: the load that its last materialisation told of; None where it never landed.
        failed: whether it did not land when it was last read.
    """

    day: date
    load_id: str | None
    failed: bool = False


@dataclass(frozen=True)
class Verdict:
    """What a check came to; `rows` is None where it could not be told."""

    passed: bool
    severity: Literal["WARN", "ERROR"]
    sentence: str
    rows: int | None = None
    examples: tuple[str, ...] = ()


CHECKS = (
    Check(
        "topo.activities",
        "every_day_is_proved",
        "WARN",
        "Every landed day was proved complete against Topo's own count.",
        "landed days are not proved complete",
        "SELECT day FROM landed_days WHERE NOT proved ORDER BY day DESC",
        "Read them again; docs/operations.md says what else to do.",
    ),
    Check(
        "topo.activities",
        "every_row_is_readable",
        "WARN",
        "Every row that the last load of each day received could be read.",
        "days have rows that could not be read",
        "SELECT day || ' (' || rejects || ')' FROM landed_days WHERE rejects > 0 ORDER BY day DESC",
        "topo.rejects has their text and the reason.",
    ),
    Check(
        "topo.activities",
        "every_day_is_closed",
        "WARN",
        "Every landed day that is over was last read after its end.",
        "days were last read before they were over",
        "SELECT day FROM landed_days WHERE is_open AND day <= $due::DATE ORDER BY day DESC",
        "Read them again.",
    ),
    Check(
        "topo.activities",
        "yesterday_is_landed",
        "WARN",
        "Yesterday has landed (before a quarter past one in the morning: the day before it).",
        "days that were due have not landed",
        "SELECT $due::DATE WHERE NOT EXISTS (FROM landed_days WHERE day = $due::DATE)"
        " AND coalesce((SELECT min(day) FROM landed_days) <= $due::DATE, true)",
        "Each night reads them where TOPO_AUTOMATION is on.",
    ),
    Check(
        "topo.activities",
        "no_day_is_missing",
        "WARN",
        "Every day from the first landed one to yesterday has landed.",
        "days since the first landed one have not landed",
        "SELECT day FROM (SELECT unnest(generate_series(min(day), $due::DATE, INTERVAL 1 DAY))::DATE AS day"
        " FROM landed_days) ANTI JOIN landed_days USING (day) ORDER BY day DESC",
        "Read them.",
    ),
    Check(
        "topo.activities",
        "last_reading_landed",
        "WARN",
        "Every day landed when it was last read.",
        "days did not land when they were last read",
        "SELECT day FROM recorded_days WHERE failed ORDER BY day DESC",
        "The runs that failed say why.",
    ),
    Check(
        "topo.activities",
        "ledger_agrees_with_dagster",
        "ERROR",
        "The ledger's last load of each day is the one that Dagster has recorded.",
        "days are landed otherwise than Dagster has recorded",
        "SELECT day FROM landed_days AS landed FULL JOIN recorded_days AS recorded USING (day)"
        " WHERE landed.load_id::VARCHAR IS DISTINCT FROM recorded.load_id ORDER BY day DESC",
        "A warehouse or a DAGSTER_HOME was lost or replaced: topo-pipeline doctor says which, and what to do.",
    ),
    Check(
        "topo.activities",
        "each_activity_is_landed_once",
        "WARN",
        "Each activity is landed once, under one day.",
        "activities are landed more than once, on",
        "SELECT string_agg(day, ' and ' ORDER BY day) FROM topo.activities"
        " GROUP BY id HAVING count(*) > 1 ORDER BY ALL",
        "Read these days again: Topo may have moved the activities from one to the other.",
    ),
    Check(
        "engagement.sequence_activity",
        "every_activity_has_a_run",
        "WARN",
        "Every activity names its run.",
        "days have activities without a run, which are in no rate",
        "SELECT day || ' (' || sum(orphans) || ')' FROM engagement.sequence_activity"
        " GROUP BY day HAVING sum(orphans) > 0 ORDER BY day DESC",
    ),
    Check(
        "engagement.sequence_activity",
        "every_type_is_known",
        "WARN",
        "Every activity is of a type that the tables know.",
        "days have activities of types that the tables don't know",
        "SELECT day || ' (' || sum(other) || ')' FROM engagement.sequence_activity"
        " GROUP BY day HAVING sum(other) > 0 ORDER BY day DESC",
        "Look at type in topo.activities: Topo may have added one.",
    ),
    Check(
        "engagement.sequence_activity",
        "replies_are_classified_within_72_hours",
        "WARN",
        "No landed reply has been waiting for its category for more than 72 hours.",
        "replies have had no category for more than 72 hours, on",
        "SELECT day FROM topo.activities WHERE type = 'message.replied' AND sequence_id IS NOT NULL"
        " AND reply_category IS NULL AND created_at < $now::TIMESTAMPTZ - INTERVAL 72 HOUR ORDER BY day DESC",
        "Topo may have classified them since: run the job reread_replies.",
    ),
    Check(
        "engagement.sequence_runs",
        "actions_are_kept_once",
        "ERROR",
        "sequence_actions has the messages, invitations and ended steps of every run in sequence_runs, once.",
        "runs have more or fewer actions than they did, or actions and no row, in",
        """
        SELECT sequence_called(coalesce(runs.sequence_template_id, kept.sequence_template_id))
        FROM engagement.sequence_runs AS runs
        FULL JOIN (
            SELECT sequence_id, sequence_template_id, count(position) AS touches,
                count(*) FILTER (type IN ('sequence_step.completed', 'sequence_step.skipped')) AS ended
            FROM engagement.sequence_actions
            GROUP BY ALL
        ) AS kept
            ON kept.sequence_id = runs.sequence_id
            AND kept.sequence_template_id IS NOT DISTINCT FROM runs.sequence_template_id
        WHERE runs.sequence_id IS NULL OR messages_sent + invitations_sent <> coalesce(touches, 0)
            OR steps_completed + steps_skipped <> coalesce(ended, 0)
        ORDER BY ALL
        """,
        "Build sequence_runs again with full_refresh; if it stays, it is a fault of this project.",
    ),
    Check(
        "engagement.sequence_daily",
        "uniques_are_within_totals",
        "WARN",
        "No sequence has more uniques than totals.",
        "times a sequence has more uniques than totals",
        """
        SELECT event || ' of ' || sequence_called(sequence_template_id)
        FROM (
            SELECT sequence_template_id, n, split_part(name, '_', 1) AS kind, name[strpos(name, '_') + 1 :] AS event
            FROM (UNPIVOT engagement.sequence_daily ON COLUMNS('^(total|unique)_') INTO NAME name VALUE n)
        )
        GROUP BY sequence_template_id, event
        HAVING sum(n) FILTER (kind = 'unique') > coalesce(sum(n) FILTER (kind = 'total'), 0)
        ORDER BY ALL
        """,
        "Runs whose activities name different sequences, or none, count under one.",
    ),
    Check(
        "engagement.sequence_daily",
        "uniques_add_up_to_runs",
        "ERROR",
        "Uniques, summed over days, are the runs with the event.",
        "times uniques do not add up to the runs with the event",
        lambda _: _uniques_that_differ(),
        "Build sequence_daily again; if it stays, it is a fault of this project.",
    ),
    Check(
        "engagement.sequence_daily",
        "volume_is_as_usual",
        "WARN",
        "In the last seven closed days every sequence sent about as much as it does on such days.",
        "times in the last seven closed days a sequence sent unusually much or little",
        """
        SELECT sequence_called(sequence_template_id) || ' on ' || day
        FROM engagement.sequence_daily
        WHERE is_volume_anomaly
            AND day > (SELECT max(day) FILTER (is_closed) - 7 FROM engagement.sequence_daily)
        ORDER BY day DESC, 1
        """,
    ),
    Check(
        "engagement.sequence_summary",
        "no_sequence_is_silent",
        "WARN",
        "Every sequence with active runs has sent something of late.",
        "sequences have active runs and send nothing",
        "SELECT DISTINCT sequence_called(sequence_template_id) FROM engagement.sequence_summary"
        " WHERE is_silent ORDER BY ALL",
    ),
    Check(
        "engagement.sequence_channels",
        "tracking_is_on",
        "WARN",
        "Where emails are sent, opens and clicks are seen.",
        "sequences send emails without a single open or click: tracking seems to be off",
        "SELECT DISTINCT sequence_called(sequence_template_id) FROM engagement.sequence_channels"
        " WHERE tracking_off ORDER BY ALL",
        "Their open and click rates are empty.",
    ),
)


def checks_of(table: str) -> list[Check]:
    """The checks of a table, by its full name: its entries, and for a metric table its key and its rates."""
    checks = [check for check in CHECKS if check.table == table]
    metrics = tables().get(table.removeprefix("engagement."))
    if metrics is not None:
        checks.append(_key(metrics))
        if _rates_among(list(metrics.columns)):
            checks.append(_rates(metrics))
    return checks


def evaluate(
    connection: "DuckDBPyConnection", table: str, *, now: datetime, due: date, recorded: Sequence[Recorded] = ()
) -> Iterator[tuple[Check, Verdict]]:
    """Evaluate every check of a table.

    Args:
        connection: Of a reader or a transaction.
        table: Its full name.
        now: The instant, aware.
        due: The last day that has to be landed.
        recorded: What Dagster's records say of the days; only checks of `topo.activities` ask.
    """
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
    for check in checks_of(table):
        yield check, _verdict(connection, check, {"now": now, "due": due})


def _verdict(connection: "DuckDBPyConnection", check: Check, values: Mapping[str, Any]) -> Verdict:
    import duckdb  # noqa: PLC0415 - definitions load without it

    schema, _, name = check.table.partition(".")
    if isinstance(check.sql, str):
        sql = check.sql
    else:
        sql = check.sql([column.name for column in columns_of(connection, schema, name)])
    try:
        found = connection.execute(sql, {name: it for name, it in values.items() if f"${name}" in sql}).fetchall()
    except (duckdb.BinderException, duckdb.CatalogException) as error:
        # The table is not there yet, or was built by a version that knew less: a build mends both.
        reason = str(error).strip().partition("\n")[0]
        return Verdict(False, "WARN", f"Can't be told before the tables are built anew: {reason}")
    examples = list(dict.fromkeys(one_line(str(example), LONGEST_EXAMPLE) for (example,) in found))
    if not found:
        return Verdict(True, check.severity, check.holds, 0)
    more = f" and {len(examples) - EXAMPLES_TOLD} more" if len(examples) > EXAMPLES_TOLD else ""
    sentence = f"{len(found)} {check.else_rows}: {', '.join(examples[:EXAMPLES_TOLD])}{more}. {check.then}".rstrip()
    return Verdict(False, check.severity, sentence, len(found), tuple(examples[:EXAMPLES_KEPT]))


def _uniques_that_differ() -> str:
    runs = ", ".join(f"-count({first}) AS {unique}" for unique, first in firsts().items())
    return f"""
        SELECT event || ' of ' || sequence_called(sequence_template_id)
        FROM (
            UNPIVOT (
                SELECT sequence_template_id, sum(COLUMNS('^unique_'))
                FROM (
                    SELECT sequence_template_id, COLUMNS('^unique_') FROM engagement.sequence_daily
                    UNION ALL BY NAME
                    SELECT sequence_template_id, {runs} FROM engagement.sequence_runs
                    WHERE NOT left_censored GROUP BY ALL
                )
                GROUP BY ALL
            ) ON COLUMNS('^unique_') INTO NAME event VALUE difference
        )
        WHERE difference <> 0
        ORDER BY ALL
        """  # noqa: S608 - the names are of our own files


def _key(table: MetricTable) -> Check:
    columns = ", ".join(table.grain)
    return Check(
        f"engagement.{table.name}",
        "key_is_unique",
        "ERROR",
        f"One row for each {columns}.",
        f"keys ({columns}) have more than one row, in",
        f"SELECT sequence_called(sequence_template_id) FROM engagement.{table.name}"  # noqa: S608 - our files' names
        f" GROUP BY {columns} HAVING count(*) > 1 ORDER BY ALL",
        "Build the table again, an incremental one with full_refresh; if it stays, it is a fault of this project.",
    )


def _rates(table: MetricTable) -> Check:
    return Check(
        f"engagement.{table.name}",
        "rates_are_shares",
        "ERROR",
        "Every numerator is part of its denominator, every rate between 0 and 1 and within its bounds.",
        "rates are no shares",
        lambda columns: _no_shares(table.name, columns),
        "It is a fault of this project.",
    )


def _rates_among(columns: list[str]) -> list[str]:
    return [name.removesuffix("_num") for name in columns if name.endswith("_num")]


def _no_shares(table: str, columns: list[str]) -> str:
    """Select what is wrong with any rate whose columns there are; NULL, where nothing is told, is not."""
    selects = []
    for rate in _rates_among(columns):
        wrong = [f"{rate}_num < 0", f"{rate}_num > {rate}_den"]
        wrong += [f"{name} NOT BETWEEN 0 AND 1" for name in (rate, f"{rate}_low", f"{rate}_high") if name in columns]
        if f"{rate}_low" in columns:  # at 0 and 1 bound and rate are the same but for rounding
            wrong += [f"{rate} NOT BETWEEN {rate}_low - 1e-9 AND {rate}_high + 1e-9"]
        selects.append(
            f"SELECT '{rate} of ' || sequence_called(sequence_template_id) FROM engagement.{table}"  # noqa: S608
            f" WHERE {' OR '.join(wrong)}"
        )
    return " UNION ALL ".join(selects) or f"SELECT NULL FROM engagement.{table} WHERE false"  # noqa: S608
