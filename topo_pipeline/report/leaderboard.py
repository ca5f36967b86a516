"""The sequences, best first: by the lower bound of the reply rate, never by the rate."""

import math
import re
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
# What markdown or HTML may read as more than text; as a character reference it is nothing but text.
_MARKUP = re.compile(r"[!\"$&'*<>\[\\\]_`|~]")
_ALIGNED = ("left", *["right"] * 6, "left")


def leaderboard(connection: "DuckDBPyConnection") -> "pd.DataFrame":
    """Return one row a sequence, best first.

    Returns:
        sequence (its name, else its id), contacted (runs), messages, opens, replies (events), reply_rate with
        reply_rate_low and reply_rate_high (shares, NaN where nothing matured), matured (runs that the rate is over),
        evidence.
    """
    return connection.execute(_LEADERBOARD).df()


def leaderboard_markdown(board: "pd.DataFrame") -> str:
    """Write a leaderboard as a markdown table; names are other people's text and can't break out of their cell."""
    rates = zip(board["reply_rate"], board["reply_rate_low"], board["reply_rate_high"], strict=True)
    shown = board.assign(
        sequence=[_as_text(name) for name in board["sequence"]],
        reply_rate=[rate_with_interval(*rate) for rate in rates],
    )
    columns = ["sequence", "contacted", "messages", "opens", "replies", "reply_rate", "matured", "evidence"]
    return str(shown[columns].to_markdown(index=False, disable_numparse=True, colalign=_ALIGNED))


def _as_text(name: str) -> str:
    """Write a name so that a markdown reader shows it, on one line, and does nothing else with it."""
    printable = "".join(character if character.isprintable() else " " for character in name)
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", " ".join(printable.split()))


def rate_with_interval(rate: float, low: float, high: float) -> str:
    """A share and its bounds as a person reads them: `6.3 % (3.8–10.3)`; a dash where there is nothing to tell."""
    return "–" if math.isnan(rate) else f"{100 * rate:.1f} % ({100 * low:.1f}–{100 * high:.1f})"
