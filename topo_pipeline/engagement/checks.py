"""The data quality checks of the tables.

Each entry of `CHECKS` is one check. Its SQL returns one row per problem, with one column that identifies it: a day or a
sequence, never a person. What follows from the names of a table's columns is checked without an entry: its key, its
rates, and the counts that cannot be above others. Severity is ERROR for a bug in this project or a lost warehouse, and
WARN for a problem in the data.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from topo_pipeline.common.text import first_line, one_line
from topo_pipeline.days import backfill_commands
from topo_pipeline.engagement.lineage import firsts
from topo_pipeline.engagement.tables import MetricTable, tables
from topo_pipeline.warehouse.catalogue import columns_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

EXAMPLES_SHOWN, EXAMPLES_KEPT, LONGEST_EXAMPLE = 5, 100, 80
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
# The runs eligible in an early window, in sequence_cohorts and in the tables that sum it.
_EARLY = re.compile(r"eligible_(\d+)d|reply_rate_(\d+)d_den")
_COUNT_OF_REPLIES = re.compile(r"^(total|unique)_\w*replies$|reply\w*_num$|replies_to_date$")

# A sequence without a name is shown by its id.
_SEQUENCE = """
CREATE OR REPLACE TEMP MACRO sequence_called(wanted) AS coalesce(
    (SELECT any_value(name) FROM topo.sequence_templates WHERE id = wanted), wanted::VARCHAR, '(no sequence)')
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


CHECKS = (
    Check(
        "topo.activities",
        "every_day_is_proved",
        "WARN",
        "Every landed day is proved complete against Topo's own count.",
        "Landed days not proved complete",
        "SELECT day FROM landed_days WHERE NOT proved ORDER BY day DESC",
        "Read them again: $backfill. More in docs/operations.md, When a day is refused.",
    ),
    Check(
        "topo.activities",
        "every_row_is_readable",
        "WARN",
        "Every row that the last load of each day received could be read.",
        "Days with unreadable rows (number of rows)",
        "SELECT day || ' (' || rejects || ')' FROM landed_days WHERE rejects > 0 ORDER BY day DESC",
        "See their text and the reason: topo-pipeline export rejects --output rejects.csv",
    ),
    Check(
        "topo.activities",
        "every_day_is_closed",
        "WARN",
        "Every landed day that is over was last read after it ended.",
        "Days last read before they ended",
        "SELECT day FROM landed_days WHERE is_open AND day <= $due::DATE ORDER BY day DESC",
        "Read them again: $backfill",
    ),
    Check(
        "topo.activities",
        "yesterday_is_landed",
        "WARN",
        "Yesterday has landed. Before 01:15 this checks the day before yesterday instead.",
        "Days due but not landed",
        "SELECT $due::DATE WHERE NOT EXISTS (FROM landed_days WHERE day = $due::DATE)"
        " AND coalesce((SELECT min(day) FROM landed_days) <= $due::DATE, true)",
        "With TOPO_AUTOMATION=on the next night reads them. To read them now: $backfill",
    ),
    Check(
        "topo.activities",
        "no_day_is_missing",
        "WARN",
        "Every day from the first landed day to yesterday has landed.",
        "Missing days since the first landed day",
        "SELECT day FROM (SELECT unnest(generate_series(min(day), $due::DATE, INTERVAL 1 DAY))::DATE AS day"
        " FROM landed_days) ANTI JOIN landed_days USING (day) ORDER BY day DESC",
        "Read them: $backfill",
    ),
    Check(
        "topo.activities",
        "last_reading_landed",
        "WARN",
        "The latest attempt to read each day landed it.",
        "Days whose latest attempt failed",
        "SELECT day FROM recorded_days WHERE failed ORDER BY day DESC",
        "The logs of the failed runs say why.",
    ),
    Check(
        "topo.activities",
        "ledger_agrees_with_dagster",
        "ERROR",
        "The latest load of each day in the ledger is the one in Dagster's records.",
        "Days on which the ledger and Dagster's records differ",
        "SELECT day FROM landed_days AS landed FULL JOIN recorded_days AS recorded USING (day)"
        " WHERE landed.load_id::VARCHAR IS DISTINCT FROM recorded.load_id ORDER BY day DESC",
        "The warehouse or DAGSTER_HOME was lost or replaced. To see which, and what to do: topo-pipeline doctor",
    ),
    Check(
        "topo.activities",
        "each_activity_is_landed_once",
        "WARN",
        "Every activity is landed once, on one day.",
        "Activities landed on more than one day",
        "SELECT string_agg(day, ' and ' ORDER BY day) FROM topo.activities"
        " GROUP BY id HAVING count(*) > 1 ORDER BY ALL",
        "Topo may have moved them from one day to the other. Read these days again: $backfill",
    ),
    Check(
        "engagement.sequence_activity",
        "every_activity_has_a_run",
        "WARN",
        "Every activity names its sequence run.",
        "Days with activities that name no sequence run (number of activities)",
        "SELECT day || ' (' || sum(orphans) || ')' FROM engagement.sequence_activity"
        " GROUP BY day HAVING sum(orphans) > 0 ORDER BY day DESC",
    ),
    Check(
        "engagement.sequence_activity",
        "every_type_is_known",
        "WARN",
        "Every activity has a type that the metric tables know.",
        "Days with activities of unknown types (number of activities)",
        "SELECT day || ' (' || sum(other) || ')' FROM engagement.sequence_activity"
        " GROUP BY day HAVING sum(other) > 0 ORDER BY day DESC",
        "Topo may have added a type. Report it as a bug.",
    ),
    Check(
        "engagement.sequence_activity",
        "replies_are_classified_within_72_hours",
        "WARN",
        "No landed reply has been without a category for more than 72 hours.",
        "Replies without a category for more than 72 hours (by day)",
        "SELECT day FROM topo.activities WHERE type = 'message.replied' AND sequence_id IS NOT NULL"
        " AND reply_category IS NULL AND created_at < $now::TIMESTAMPTZ - INTERVAL 72 HOUR ORDER BY day DESC",
        "Topo may have classified them since. To read them again, run the job reread_replies in Dagster's UI.",
    ),
    Check(
        "engagement.sequence_runs",
        "actions_are_kept_once",
        "ERROR",
        "sequence_actions has every message, invitation and ended step of the runs in sequence_runs exactly once.",
        "Runs that differ between sequence_runs and sequence_actions (by sequence)",
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
        "Materialize sequence_runs with full_refresh: true. If the check still fails, report it as a bug.",
    ),
    Check(
        "engagement.sequence_daily",
        "uniques_add_up_to_runs",
        "ERROR",
        "The unique counts, summed over days, equal the number of runs with the event.",
        "Unique counts that do not add up to the runs with the event",
        lambda _: _uniques_that_differ(),
        "Materialize sequence_daily. If the check still fails, report it as a bug.",
    ),
    Check(
        "engagement.sequence_daily",
        "volume_is_as_usual",
        "WARN",
        "In the last seven closed days every sequence sent about as many messages as on the same weekday before.",
        "Unusual numbers of messages in the last seven closed days",
        """
        SELECT sequence_called(sequence_template_id) || ' on ' || day
        FROM engagement.sequence_daily
        WHERE is_volume_anomaly
            AND day > (SELECT max(day) FILTER (is_closed) - 7 FROM engagement.sequence_daily)
        ORDER BY day DESC, 1
        """,
    ),
    Check(
        "engagement.sequence_cohorts",
        "early_windows_are_known",
        "ERROR",
        "No early window with an unknown day in it has eligible runs.",
        "Early windows with eligible runs and an unknown day",
        # A window of n days from a day d reaches day d + n. What was unknown when the runs were counted is kept.
        r"""
        SELECT name || ' of ' || sequence_called(sequence_template_id) || ' on ' || cohort_day
        FROM (UNPIVOT engagement.sequence_cohorts ON COLUMNS('^eligible_\d+d$') INTO NAME name VALUE eligible_runs)
        SEMI JOIN (SELECT unnest(unknown_days) AS unknown_day FROM engagement.sequence_cohorts_known) AS known
            ON unknown_day BETWEEN cohort_day AND cohort_day + regexp_extract(name, '\d+')::INTEGER
        WHERE eligible_runs > 0
        ORDER BY ALL
        """,
        "Materialize sequence_cohorts with full_refresh: true. If the check still fails, report it as a bug.",
    ),
    Check(
        "engagement.sequence_summary",
        "no_sequence_is_silent",
        "WARN",
        "Every sequence with active runs sent a message or an invitation recently.",
        "Sequences with active runs that send nothing",
        "SELECT DISTINCT sequence_called(sequence_template_id) FROM engagement.sequence_summary"
        " WHERE is_silent ORDER BY ALL",
    ),
    Check(
        "engagement.sequence_channels",
        "tracking_is_on",
        "WARN",
        "Every sequence that sends many emails has opens or clicks.",
        "Sequences with many emails and no open or click",
        "SELECT DISTINCT sequence_called(sequence_template_id) FROM engagement.sequence_channels"
        " LEFT JOIN topo.sequence_templates AS templates ON templates.id = sequence_template_id"
        " WHERE tracking_off AND coalesce(status, 'ACTIVE') = 'ACTIVE' ORDER BY ALL",
        "Tracking seems to be off, so their open and click rates are NULL.",
    ),
)


def checks_of(table: str) -> list[Check]:
    """Return the checks of a table by its full name, with those that follow from its column names."""
    checks = [check for check in CHECKS if check.table == table]
    metrics = tables().get(table.removeprefix("engagement."))
    if metrics is not None:
        checks += [check for make in _OF_COLUMNS if (check := make(metrics)) is not None]
    return checks


def evaluate(
    connection: "DuckDBPyConnection", table: str, *, now: datetime, due: date, recorded: Sequence[Recorded] = ()
) -> Iterator[tuple[Check, Verdict]]:
    """Evaluate every check of a table.

    Args:
        connection: A reader's or a transaction's connection.
        table: Full name of the table.
        now: The current time, with a time zone.
        due: The last day that should have landed.
        recorded: Dagster's records of the days. Only checks of `topo.activities` use them.
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
        """  # noqa: S608 - our own names


def _key(table: MetricTable) -> Check:
    columns = ", ".join(table.grain)
    return Check(
        f"engagement.{table.name}",
        "key_is_unique",
        "ERROR",
        f"One row per {columns}.",
        f"Keys ({columns}) with more than one row",
        f"SELECT {_row_name(table)} FROM engagement.{table.name} GROUP BY {columns} HAVING count(*) > 1 ORDER BY ALL",  # noqa: S608
        "Materialize it, an incremental table with full_refresh: true. If the check still fails, report it as a bug.",
    )


def _rates(table: MetricTable) -> Check | None:
    if not _rates_among(table.columns):
        return None
    return Check(
        f"engagement.{table.name}",
        "rates_are_shares",
        "ERROR",
        "Every numerator is at most its denominator. Every rate is between 0 and 1 and within its bounds.",
        "Invalid rates",
        lambda columns: _select(table, {rate: _invalid(rate, den, columns) for rate, den in _rates_among(columns)}),
        "Report it as a bug.",
    )


def _replies(table: MetricTable) -> Check | None:
    """Return the check that no kind of reply is counted more often than a wider kind.

    The uniques of one day need not nest: the first reply can be automatic and the first positive one come days later.
    """
    if not _nested_among(table.columns):
        return None
    return Check(
        f"engagement.{table.name}",
        "replies_nest",
        "ERROR",
        "No more positive replies than valid ones, and no more valid ones than replies of any kind.",
        "Counts of replies above the count of a wider kind",
        lambda columns: _select(
            table,
            {
                narrow: [f"{narrow} > {wide}" + (" AND period = 'lifetime'" if _is_unique(narrow) else "")]
                for narrow, wide in _nested_among(columns)
            },
        ),
        "Report it as a bug.",
    )


def _uniques(table: MetricTable) -> Check | None:
    if not _totals_of_uniques(table.columns):
        return None
    return Check(
        f"engagement.{table.name}",
        "uniques_are_within_totals",
        "ERROR",
        "Over all days, no unique count is above the total count of the same event.",
        "Unique counts above the total",
        lambda columns: _uniques_above_totals(table, columns),
        "Materialize sequence_activity and sequence_runs with full_refresh: true, then the tables that read them."
        " If the check still fails, report it as a bug.",
    )


def _outcomes(table: MetricTable) -> Check | None:
    if not _outcomes_among(table.columns):
        return None
    return Check(
        f"engagement.{table.name}",
        "outcomes_add_up_to_eligible",
        "ERROR",
        "The counts of runs by outcome add up to the eligible runs.",
        "Rows whose outcomes do not add up to the eligible runs",
        lambda columns: _select(
            table, {"outcomes": [f"{' + '.join(found)} <> eligible"]} if (found := _outcomes_among(columns)) else {}
        ),
        "Report it as a bug.",
    )


def _eligible(table: MetricTable) -> Check | None:
    """Return the check that eligible runs are members, in early windows too, the fewer the longer the window.

    In a summary of the last days, each window covers days of its own.
    """
    if "members" not in table.columns:
        return None
    return Check(
        f"engagement.{table.name}",
        "eligible_runs_are_members",
        "ERROR",
        "No more eligible runs than members, and no more in a longer early window than in a shorter one.",
        "Counts of eligible runs that are too high",
        lambda columns: _select(
            table,
            {"eligible": ["eligible > members"]}
            | {
                longer: [f"{longer} > {shorter}" + (" AND period = 'lifetime'" if "period" in columns else "")]
                for shorter, longer in pairwise(["members", *_early(columns).values()])
            },
        ),
        "Report it as a bug.",
    )


# The checks that follow from the names of a table's columns. None where a table has no such columns.
_OF_COLUMNS: tuple[Callable[[MetricTable], Check | None], ...] = (
    _key,
    _rates,
    _replies,
    _uniques,
    _outcomes,
    _eligible,
)


def _row_name(table: MetricTable) -> str:
    """Return the SQL that names a row in a finding: by its sequence, else by its day or week."""
    if "sequence_template_id" in table.grain:
        return "sequence_called(sequence_template_id)"
    return f"{table.grain[0]}::VARCHAR"


def _select(table: MetricTable, wrong: Mapping[str, list[str]]) -> str:
    """Return a query of the rows that meet one of the conditions listed for a name. NULL meets none."""
    selects = [
        f"SELECT '{name} of ' || {_row_name(table)} FROM engagement.{table.name} WHERE {' OR '.join(conditions)}"  # noqa: S608
        for name, conditions in wrong.items()
    ]
    return _union(table.name, selects)


def _union(table: str, selects: list[str]) -> str:
    """Return the rows of all queries. A table that lacks the columns has no query, and one that is missing fails."""
    return " UNION ALL ".join(selects or [f"SELECT NULL FROM engagement.{table} WHERE false"]) + " ORDER BY ALL"  # noqa: S608


def _early(columns: list[str]) -> dict[int, str]:
    """Return the columns of the runs eligible in each early window, by the length of the window in days."""
    found = {int(match[1] or match[2]): name for name in columns if (match := _EARLY.fullmatch(name)) is not None}
    return dict(sorted(found.items()))


def _rates_among(columns: list[str]) -> list[tuple[str, str]]:
    """Return each rate with its denominator. The rates of a cohort's early window share one."""
    rates = [name.removesuffix("_num") for name in columns if name.endswith("_num")]
    return [(rate, f"{rate}_den" if f"{rate}_den" in columns else f"eligible_{rate.split('_')[-1]}") for rate in rates]


def _invalid(rate: str, denominator: str, columns: list[str]) -> list[str]:
    """Return the conditions that make a rate invalid. Bounds that the table lacks are skipped."""
    wrong = [f"{rate}_num < 0", f"{rate}_num > {denominator}"]
    wrong += [f"{name} NOT BETWEEN 0 AND 1" for name in (rate, f"{rate}_low", f"{rate}_high") if name in columns]
    if f"{rate}_low" in columns:  # at 0 and 1 the rate and its bound differ only by rounding
        wrong += [f"{rate} NOT BETWEEN {rate}_low - 1e-9 AND {rate}_high + 1e-9"]
    return wrong


def _is_unique(column: str) -> bool:
    return column.startswith("unique_")


def _nested_among(columns: list[str]) -> list[tuple[str, str]]:
    """Return the pairs of columns of which the first cannot be above the second: positive, valid, any replies."""
    counts = [name for name in columns if _COUNT_OF_REPLIES.search(name)]
    if "period" not in columns:
        counts = [name for name in counts if not _is_unique(name)]
    found = []
    for narrow in counts:
        # Without a column of valid replies, the plain name means them, and `reply_rate_all` any replies.
        wider = [narrow.replace("positive_", "valid_"), narrow.replace("positive_", ""), narrow.replace("valid_", "")]
        wider += [re.sub("^reply_rate_num$", "reply_rate_all_num", narrow)]
        found += [(narrow, wide) for wide in wider if wide != narrow and wide in counts][:1]
    return found


def _totals_of_uniques(columns: list[str]) -> dict[str, str]:
    """Return the total that each unique count cannot exceed. A touch is a message or an invitation."""
    totals = {name: name.replace("unique_", "total_") for name in columns if _is_unique(name)}
    totals |= {"unique_touched": "total_sent + total_invitations"} if "unique_touched" in totals else {}
    return {unique: total for unique, total in totals.items() if set(total.split(" + ")) <= set(columns)}


def _uniques_above_totals(table: MetricTable, columns: list[str]) -> str:
    of_sequence = "sequence_template_id" in table.grain
    name, grouped = (_row_name(table), " GROUP BY sequence_template_id") if of_sequence else ("'all sequences'", "")
    where = " WHERE period = 'lifetime'" if "period" in columns else ""
    selects = [
        f"SELECT '{unique} of ' || {name} FROM engagement.{table.name}{where}{grouped}"  # noqa: S608
        f" HAVING sum({unique}) > sum({total})"
        for unique, total in _totals_of_uniques(columns).items()
    ]
    return _union(table.name, selects)


def _outcomes_among(columns: list[str]) -> list[str]:
    return [name for name in columns if name.startswith("outcome_")]
