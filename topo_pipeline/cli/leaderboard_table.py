"""The leaderboard in the terminal."""

from typing import TYPE_CHECKING

from rich import box
from rich.markup import escape
from rich.table import Table

from topo_pipeline.cli.console import out
from topo_pipeline.common.text import LONGEST, one_line, rate_with_interval
from topo_pipeline.settings import get_settings

if TYPE_CHECKING:
    import pandas as pd

NARROW = 72  # columns, below which the reply rate would be cut


def leaderboard_table(board: "pd.DataFrame") -> Table:
    """Return a table for 80 columns, or without event counts for fewer. Sequences with too little data are dimmed."""
    window = get_settings().rules.reply_window_days
    table = Table(
        title="Sequences, ranked by reply rate, adjusted for the number of contacts",
        caption="Touched: sequence runs with a first message or invitation. Reply rate (95% interval):\n"
        f"those with a valid reply within {window} days of it, among runs whose {window} days are over."
        + (" Dimmed: too little data." if out.is_terminal else ""),
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    counts = ("touched", "messages", "opens", "replies") if out.width >= NARROW else ("touched",)
    table.add_column("Sequence", min_width=16)
    for heading in (*(count.capitalize() for count in counts), "Reply rate"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in board.to_dict("records"):
        table.add_row(
            escape(one_line(row["sequence"], LONGEST)),
            *(f"{row[count]:,}" for count in counts),
            rate_with_interval(row["reply_rate"], row["reply_rate_low"], row["reply_rate_high"]),
            style="dim" if row["evidence"] in {"none", "too_small"} else None,
        )
    return table
