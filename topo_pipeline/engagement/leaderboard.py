"""The order of the sequences, best first: by the reply rate, adjusted for the number of contacts.

Only active sequences with enough runs have a rank. The others follow, by the number of touched runs. Activities that
name no sequence are in the tables, in a row without an id. That row is no sequence, so no list and no finding has it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from duckdb import DuckDBPyConnection

NAME = "coalesce(sequence_name, sequence_template_id::VARCHAR)"
"""The name of a sequence, else its id."""
RANKED = """
FROM engagement.sequence_summary
WHERE period = 'lifetime' AND sequence_template_id IS NOT NULL
ORDER BY reply_rank NULLS LAST, unique_touched DESC, sequence_name NULLS LAST, sequence_template_id
"""
"""The end of every query that lists the sequences. The order is total, because the last column is the table's key."""

_LEADERBOARD = f"""
SELECT
    {NAME} AS sequence,
    unique_touched AS touched,
    total_sent AS messages,
    total_opens AS opens,
    total_replies AS replies,
    reply_rate,
    reply_rate_low,
    reply_rate_high,
    reply_rate_den AS matured,
    reply_rate_evidence AS evidence
{RANKED}
"""


def leaderboard(connection: "DuckDBPyConnection") -> "pd.DataFrame":
    """Return one row per sequence, best first, those without a rank last.

    Returns:
        sequence (its name, else its id), touched (runs with a message or invitation), messages, opens, replies
        (events), reply_rate with reply_rate_low and reply_rate_high (shares, NaN if no run has matured), matured (runs
        that the rate covers), evidence.
    """
    return connection.execute(_LEADERBOARD).df()
