"""The order of the sequences, best first: by the reply rate, adjusted for the number of contacts.

Only active sequences with enough runs have a rank. The others follow, by the number of touched runs. Activities that
name no sequence are in the tables, in a row without an id. That row is no sequence, so no list and no finding has it.
"""

from typing import TYPE_CHECKING

from topo_pipeline.warehouse.sql import Row, rows

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

NAME = "coalesce(nullif(trim(sequence_name), ''), sequence_template_id::VARCHAR)"
"""The name of a sequence, else its id."""


class SequenceUnclear(ValueError):
    """The sequence that was asked for is unclear, or nothing is known about it."""


ORDER = "reply_rank NULLS LAST, unique_touched DESC, sequence_name NULLS LAST, sequence_template_id"
"""The order of every list of sequences. It is total, because the last column is the table's key."""
RANKED = f"""
FROM engagement.sequence_summary
WHERE period = 'lifetime' AND sequence_template_id IS NOT NULL
ORDER BY {ORDER}
"""
"""The end of the queries that list the sequences."""

_LEADERBOARD = f"""
SELECT
    {NAME} AS sequence,
    sequence_template_id::VARCHAR AS id,
    status,
    unique_touched AS touched,
    unique_valid_replies AS replies,
    unique_positive_replies AS positive,
    unique_meetings AS meetings,
    early.* EXCLUDE (sequence_template_id, signal, halving_noticeable),
    reply_rate,
    reply_rate_low,
    reply_rate_high,
    reply_rate_den AS matured,
    reply_rate_evidence AS evidence,
    signal,
    halving_noticeable,
    reply_rank AS rank
FROM engagement.sequence_summary
LEFT JOIN (
    SELECT sequence_template_id, early_contacts, early_rate, early_rate_low, early_rate_high, signal, halving_noticeable
    FROM engagement.sequence_signals
    WHERE scope = 'sequence'
) AS early USING (sequence_template_id)
WHERE period = 'lifetime' AND sequence_template_id IS NOT NULL
ORDER BY {ORDER}
"""  # noqa: S608 - constants


def leaderboard(connection: "DuckDBPyConnection") -> list[Row]:
    """Return one row per sequence, best first, those without a rank last.

    Returns:
        sequence (its name, else its id), id, status, touched (runs with a message or invitation), replies, positive
        and meetings (runs with a valid reply, a positive one and a meeting so far), early_contacts, early_rate with
        early_rate_low and early_rate_high (shares, None without an early read), reply_rate with reply_rate_low and
        reply_rate_high (shares, None if no run has matured), matured (runs that the rate covers), evidence, signal (up,
        down, no_clear_change), halving_noticeable, rank.
    """
    return rows(connection, _LEADERBOARD)
