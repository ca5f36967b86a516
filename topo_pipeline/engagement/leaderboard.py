"""The sequences, best first: by the lower bound of the reply rate, never by the rate."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from duckdb import DuckDBPyConnection

_LEADERBOARD = """
SELECT
    coalesce(sequence_name, sequence_template_id::VARCHAR, '(no sequence)') AS sequence,
    unique_sent AS contacted,
    total_sent AS messages,
    total_opens AS opens,
    total_replies AS replies,
    reply_rate,
    reply_rate_low,
    reply_rate_high,
    reply_rate_den AS matured,
    reply_rate_evidence AS evidence
FROM engagement.sequence_summary
WHERE period = 'lifetime'
ORDER BY reply_rank NULLS LAST, contacted DESC, sequence
"""


def leaderboard(connection: "DuckDBPyConnection") -> "pd.DataFrame":
    """Return one row a sequence, best first.

    Returns:
        sequence (its name, else its id), contacted (runs), messages, opens, replies (events), reply_rate with
        reply_rate_low and reply_rate_high (shares, NaN where nothing matured), matured (runs that the rate is over),
        evidence.
    """
    return connection.execute(_LEADERBOARD).df()


def rate_with_interval(rate: float, low: float, high: float) -> str:
    """Return a share and its bounds as text: `6.3% (3.8–10.3)`, or a dash if it is unknown."""
    return "–" if math.isnan(rate) else f"{100 * rate:.1f}% ({100 * low:.1f}–{100 * high:.1f})"
