"""The checks that follow from the names of a table's columns: its key, its rates, and counts that limit others."""

import re
from collections.abc import Callable, Mapping
from itertools import pairwise

from topo_pipeline.engagement.tables import MetricTable
from topo_pipeline.engagement.verdicts import Check

# The runs eligible in an early window, in sequence_cohorts and in the tables that sum it.
_EARLY = re.compile(r"eligible_(\d+)d|reply_rate_(\d+)d_den")
_COUNT_OF_REPLIES = re.compile(r"^(total|unique)_\w*replies$|reply\w*_num$|replies_to_date$")


def column_checks(table: MetricTable) -> list[Check]:
    """Return the checks of a table that follow from the names of its columns."""
    makers: tuple[Callable[[MetricTable], Check | None], ...] = (_key, _rates, _replies, _uniques, _outcomes, _eligible)
    return [check for make in makers if (check := make(table)) is not None]


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


def _row_name(table: MetricTable) -> str:
    """Return the SQL that names a row in a finding: by its sequence, else by the first column of its key."""
    if "scope" in table.grain:
        return "if(scope = 'workspace', 'the workspace', sequence_called(sequence_template_id))"
    if "sequence_template_id" in table.grain:
        return "sequence_called(sequence_template_id)"
    return f"{table.grain[0]}::VARCHAR"


def _select(table: MetricTable, wrong: Mapping[str, list[str]]) -> str:
    """Return a query of the rows that meet one of the conditions listed for a name. NULL meets none."""
    is_wrong = " OR ".join(condition for conditions in wrong.values() for condition in conditions) or "false"
    return _named(_row_name(table), f"engagement.{table.name} WHERE {is_wrong}", wrong)


def _named(row: str, source: str, wrong: Mapping[str, list[str]]) -> str:
    """Return a query that names what is wrong with each row. It scans the table once, which in a lake costs most.

    Args:
        row: SQL of the name of a row.
        source: What follows FROM.
        wrong: SQL conditions, by the name of what is wrong if one of them is met.
    """
    names = [f"CASE WHEN {' OR '.join(conditions)} THEN '{name}' END" for name, conditions in wrong.items()]
    return (
        f"SELECT wrong || ' of ' || row_name FROM (SELECT {row} AS row_name,"  # noqa: S608
        f" unnest([{', '.join(names or ['NULL'])}]) AS wrong FROM {source}) WHERE wrong IS NOT NULL ORDER BY ALL"
    )


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
    above = {unique: [f"sum({unique}) > sum({total})"] for unique, total in _totals_of_uniques(columns).items()}
    return _named(name, f"engagement.{table.name}{where}{grouped}", above)


def _outcomes_among(columns: list[str]) -> list[str]:
    return [name for name in columns if name.startswith("outcome_")]
