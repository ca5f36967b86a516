"""How far down a sequence do replies still come from, and through which channel?

Run it over an export, from the checkout:

    .venv/bin/python docs/analyses/steps.py data/report/parquet/latest

What it says: for each step and channel, over all sequences, of the runs that got there without an earlier valid reply
and whose outcome window is over, how many answered that very message, with the 95% interval (Wilson); and which share
of all replies so far came by this step or an earlier one. Numerators and denominators are summed and divided once: a
mean of the sequences' rates would let the smallest sequence weigh as much as the largest.

What it does not say: that a step with a low rate is not worth its message. Contacts who reach step four ignored three
messages, so later rates are those of contacts who are harder to reach. Sequences with two steps and with four steps
differ. And a step that adds few replies to many messages may still add the meeting that counts. Messages without a step
number from Topo are left out here: their table row has only the message's position in its run (`inferred_position`).
"""

import sys
from pathlib import Path

import duckdb
import pandas as pd

Z = 1.959964  # of a 95% interval


def steps(export: Path) -> pd.DataFrame:
    """One row for a step and channel, in the order in which a run meets them."""
    counts = {"runs": "step_reply_rate_den", "replied": "step_reply_rate_num", "replies": "share_of_replies_num"}
    file = duckdb.read_parquet(str(export / "engagement" / "sequence_steps.parquet"))
    known = file.project(", ".join(["step", "channel", *counts.values()])).df().dropna(subset="step")
    by_step = known.astype({"step": int}).groupby(["step", "channel"])
    table = by_step.agg(**{name: (column, "sum") for name, column in counts.items()}).reset_index()
    table["reply_rate"] = table["replied"] / table["runs"]
    table["low"], table["high"] = wilson(table["replied"], table["runs"])
    so_far = table.groupby("step")["replies"].sum().cumsum()
    table["replies_so_far"] = table["step"].map(so_far) / so_far.max()
    return table[table["runs"] > 0].drop(columns="replies")


def wilson(k: pd.Series, n: pd.Series) -> tuple[pd.Series, pd.Series]:
    """The interval of k / n that holds 95% of the time, also where k is 0 or n is small."""
    middle, half = k + Z**2 / 2, Z * (k * (n - k) / n + Z**2 / 4) ** 0.5
    return (middle - half) / (n + Z**2), (middle + half) / (n + Z**2)


if __name__ == "__main__":
    print(steps(Path(sys.argv[1])).to_string(index=False, float_format="{:.3f}".format))
