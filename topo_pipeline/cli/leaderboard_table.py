"""The leaderboard in the terminal."""

from typing import TYPE_CHECKING

import rich.box
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from topo_pipeline.cli.console import get_settings, out
from topo_pipeline.common.text import LONGEST, one_line, rate_with_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from topo_pipeline.warehouse.sql import Row

NARROW, WIDE = 80, 116  # columns, from which the early read, and also replies and meetings have room
_SIGNALS = {"up": "[green]▲ up[/]", "down": "[red]▼ down[/]", "no_clear_change": "≈ none", None: "not judged"}


def leaderboard_table(board: "Sequence[Row]") -> Group:
    """Return a table for the width of the terminal, and its legend. Sequences without a rank are dimmed."""
    table = Table(box=rich.box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    counts = ("replies", "meetings") if out.width >= WIDE else ()
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("Sequence", min_width=16)
    headings = ["Contacts", *(count.capitalize() for count in counts)]
    headings += ["Early read"] if out.width >= NARROW else []
    for heading in (*headings, "Reply rate"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Change", no_wrap=True)
    for row in board:
        early = (rate_with_interval(row["early_rate"], row["early_rate_low"], row["early_rate_high"]),)
        table.add_row(
            "" if row["rank"] is None else str(row["rank"]),
            escape(one_line(row["sequence"], LONGEST)),
            *(f"{row[count]:,}" for count in ("touched", *counts)),
            *(early if out.width >= NARROW else ()),
            rate_with_interval(row["reply_rate"], row["reply_rate_low"], row["reply_rate_high"]),
            "too few" if row["halving_noticeable"] is False else _SIGNALS[row["signal"]],
            style="dim" if row["rank"] is None else None,
        )
    title = "Sequences, ranked by reply rate, adjusted for the number of contacts"
    return Group(Text(title, "bold"), table, *map(Text, _legend(board)))


def _legend(rows: "Sequence[Row]") -> list[str]:
    """Return what the columns mean, and those of their words that are in the rows."""
    window = get_settings().rules.reply_window_days
    legend = [
        "Contacts: those with a first message or invitation.",
        "Early read: contacts of the last 28 days, counting the replies still to come.",
        f"Reply rate: contacts whose {window} days are over. In parentheses: likely range (95%).",
        "Change: the last four weeks against the eight before.",
    ]
    if any(row["halving_noticeable"] is False for row in rows):
        legend.append("Too few: even a fall to half would go unnoticed.")
    if any(row["rank"] is None or row["signal"] is None for row in rows):
        legend.append("Why one has no rank or is not judged: topo-pipeline explain NAME")
    return legend
