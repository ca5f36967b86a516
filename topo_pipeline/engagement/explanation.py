"""What is known about one sequence: which one is meant, and the facts that `sentences` puts into words."""

from dataclasses import dataclass
from datetime import date, timedelta
from difflib import get_close_matches
from itertools import groupby
from typing import TYPE_CHECKING

from topo_pipeline.engagement import sentences
from topo_pipeline.engagement.leaderboard import NAME, SequenceUnclear
from topo_pipeline.engagement.rules import Rules
from topo_pipeline.warehouse.sql import Row, rows

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_NAMES = f"""
SELECT sequence_template_id, {NAME} AS name
FROM engagement.sequence_signals
WHERE scope = 'sequence' AND sequence_template_id IS NOT NULL
ORDER BY name, sequence_template_id
"""  # noqa: S608 - a constant
_FACTS = f"""
WITH named AS (
    SELECT {NAME} AS name, * EXCLUDE (sequence_name) FROM engagement.sequence_signals
), ranked AS (
    -- The names in the order of the ranks: the first sequence is compared with the next, the others with the first.
    SELECT count(*) AS ranked, list(name ORDER BY reply_rank, sequence_template_id) AS names
    FROM named
    WHERE reply_rank IS NOT NULL
)
SELECT
    named.* REPLACE (named.sequence_template_id::VARCHAR AS sequence_template_id),
    rate_period_start, rate_period_end, ranked,
    names[if(standing IS NULL, 1, 2)] AS other_name,
    (SELECT early_rate FROM named WHERE scope = 'workspace') AS early_rate_of_all
FROM named
JOIN engagement.sequence_summary AS summary
    ON summary.sequence_template_id = named.sequence_template_id AND period = 'lifetime'
CROSS JOIN ranked
WHERE named.scope = 'sequence' AND named.sequence_template_id = coalesce($sequence, named.sequence_template_id)
ORDER BY sequence_template_id
"""  # noqa: S608 - a constant
_FORECASTS = """
SELECT * REPLACE (sequence_template_id::VARCHAR AS sequence_template_id)
FROM engagement.sequence_forecast
WHERE scope = 'sequence' AND sequence_template_id = coalesce($sequence, sequence_template_id)
ORDER BY sequence_template_id, outcome = 'meeting', outcome, horizon_days
"""
# Contacts whose outcome windows have not closed, by the day from which the reply rate counts them.
_WAITING = """
SELECT sequence_template_id::VARCHAR AS sequence_template_id, cohort_day + $window::INTEGER + 1 AS counted_on,
    members - eligible AS contacts
FROM engagement.sequence_cohorts
WHERE axis = 'touched' AND sequence_template_id = coalesce($sequence, sequence_template_id) AND members > eligible
    AND days_unknown = 0 AND counted_on > $as_of::DATE
ORDER BY sequence_template_id, counted_on
"""

SHOWN = 5  # sequences that an error names


@dataclass(frozen=True)
class Explanation:
    """What is known about a sequence at the end of `last_day`: pairs of a topic and sentences."""

    name: str
    status: str | None
    last_day: date | None
    parts: tuple[tuple[str, str], ...]


def find(connection: "DuckDBPyConnection", text: str) -> str:
    """Return the id of the sequence with this id, this name, or a name that contains the text (in any case).

    Raises:
        SequenceUnclear: There is no such sequence, or there are several.
    """
    names = {str(number): name for number, name in connection.execute(_NAMES).fetchall()}
    wanted = text.strip().casefold()
    equal = [number for number, name in names.items() if wanted in (number, name.casefold())]
    found = equal or [number for number, name in names.items() if wanted and wanted in name.casefold()]
    if len(found) == 1:
        return found[0]
    if found:
        several = "; ".join(f"{names[number]} ({number})" if equal else names[number] for number in found[:SHOWN])
        more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise SequenceUnclear(
            f"{len(found)} sequences match {text!r}: {several}{more}. Use more of the name, or the id."
        )
    close = get_close_matches(text, names.values(), n=3, cutoff=0.4)
    hint = f"Did you mean: {'; '.join(close)}?" if close else "List them with: topo-pipeline sequences"
    raise SequenceUnclear(f"No sequence matches {text!r}. {hint}")


def explain(connection: "DuckDBPyConnection", sequence: str, rules: Rules) -> Explanation:
    """Return what is known about the sequence with this id.

    Raises:
        SequenceUnclear: No day is known, or the tables are being rebuilt.
    """
    found = explanations(connection, rules, sequence).get(sequence)
    if found is None:
        raise SequenceUnclear("Nothing is known about it yet: the tables are being rebuilt. Try again in a minute.")
    if found.last_day is None:
        raise SequenceUnclear("Nothing is known yet: no day is over and proved complete.")
    return found


def explanations(connection: "DuckDBPyConnection", rules: Rules, sequence: str | None = None) -> dict[str, Explanation]:
    """Return what is known about every sequence by its id, or about the one with this id."""
    window = rules.reply_window_days
    all_facts = rows(connection, _FACTS, sequence=sequence)
    if not all_facts:
        return {}
    last_day = all_facts[0]["early_last_day"]
    forecasts = _by_sequence(rows(connection, _FORECASTS, sequence=sequence))
    waiting = _by_sequence(rows(connection, _WAITING, sequence=sequence, window=window, as_of=last_day))
    found = {}
    for facts in all_facts:
        number = facts["sequence_template_id"]
        to_come = _waiting(waiting.get(number, []), facts, rules)
        parts = (
            ("Reply rate", sentences.reply_rate(facts, window)),
            ("Rank", sentences.rank(facts)),
            ("Early read", sentences.early_read(facts)),
            ("Change", sentences.change(facts)),
            ("Still to come", _still_to_come(forecasts.get(number, []))),
            ("When more is known", sentences.more_to_come(to_come, window)),
            ("Comparison", sentences.contacts_needed(facts, rules.detectable_ratio)),
        )
        found[number] = Explanation(facts["name"], facts["status"], last_day, parts)
    return found


def _by_sequence(found: list[Row]) -> dict[str, list[Row]]:
    return {number: list(group) for number, group in groupby(found, key=lambda row: row["sequence_template_id"])}


def _still_to_come(forecasts: list[Row]) -> str:
    outcomes = [list(group) for _, group in groupby(forecasts, key=lambda row: row["outcome"])]
    return " ".join(map(sentences.forecast, outcomes)) or "Nothing: no contact is in flight."


def _waiting(days: list[Row], facts: Row, rules: Rules) -> Row:
    """Return how many contacts the reply rate will count soon, and when there are enough for a rank."""
    if not days:
        return {"waiting": 0}
    soon_day = facts["early_last_day"] + timedelta(days=8)
    counted, ranked_on = facts["reply_rate_den"], None
    needs_more = facts["reply_rank"] is None and facts["status"] in {"ACTIVE", None}
    for row in days:
        counted += row["contacts"]
        if needs_more and counted >= max(rules.evidence_small, 1):
            ranked_on = row["counted_on"]
            break
    return {
        "waiting": sum(row["contacts"] for row in days),
        "soon": sum(row["contacts"] for row in days if row["counted_on"] <= soon_day),
        "soon_day": soon_day,
        "next_day": days[0]["counted_on"],
        "ranked_on": ranked_on,
    }
