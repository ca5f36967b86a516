"""The commands `sequences`, `explain` and `compare`: what the tables say about the sequences."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.table import Table

from topo_pipeline.cli.console import PATIENCE, AsJson, fail, get_settings, out, quiet, report_errors, show_json
from topo_pipeline.cli.leaderboard_table import leaderboard_table
from topo_pipeline.cli.workspace import Demo
from topo_pipeline.common.text import LONGEST, one_line

Name = Annotated[str, typer.Argument(metavar="SEQUENCE", help="Its name, a part of its name, or its id.")]


def sequences(as_json: AsJson = False, demo: Demo = False) -> None:
    """List every sequence: contacts, early read, reply rate, change, rank.

    \b
    Examples:
      topo-pipeline sequences
      topo-pipeline sequences --json | jq '.[] | select(.signal == "down") | .sequence'
    """
    from topo_pipeline.engagement.leaderboard import leaderboard

    with _tables() as connection:
        board = leaderboard(connection)
    if as_json:
        show_json(board)
    else:
        out.print(leaderboard_table(board))


def explain(sequence: Name, as_json: AsJson = False, demo: Demo = False) -> None:
    """Say what is known about a sequence, how sure it is, and when more will be known.

    \b
    Examples:
      topo-pipeline explain "Founders UK"
      topo-pipeline explain 7d9f5f3c-2f43-4f9c-8f5a-1d2b3c4d5e6f --json
    """
    from topo_pipeline.engagement import explanation

    with _tables() as connection:
        found = explanation.explain(connection, explanation.find(connection, sequence), get_settings().rules)
    if as_json:
        show_json(asdict(found) | {"parts": dict(found.parts)})
        return
    title = escape(one_line(found.name, LONGEST))
    status = escape(one_line(found.status or "status unknown", LONGEST))
    out.print(f"[bold]{title}[/] ({status}), as of the end of {found.last_day}")
    table = Table.grid(padding=(0, 2, 0, 0))
    for topic, text in found.parts:
        table.add_row(topic, escape(one_line(text, 1000)))
    out.print(table)


def compare(
    first: Name,
    second: Name,
    period: Annotated[
        Literal["lifetime", "90d", "28d", "7d"],
        typer.Option(help="Contacts of which period: all, or the last days whose windows have closed."),
    ] = "lifetime",
    as_json: AsJson = False,
    demo: Demo = False,
) -> None:
    """Compare the reply rates of two sequences: the difference, how sure it is, and how many contacts it takes.

    \b
    Examples:
      topo-pipeline compare "Founders UK" "CFOs Benelux"
      topo-pipeline compare "Founders UK" "CFOs Benelux" --period 90d
    """
    from topo_pipeline.engagement import comparison, explanation, sentences

    with _tables() as connection:
        pair = [explanation.find(connection, text) for text in (first, second)]
        if pair[0] == pair[1]:
            fail("Both are the same sequence. Name two.", 2)
        found = comparison.compare(connection, pair[0], pair[1], get_settings().rules, period)
    if as_json:
        show_json(asdict(found) | {"is_clear": found.is_clear})
        return
    for sentence in sentences.comparison(found, get_settings().rules.reply_window_days):
        out.print(escape(one_line(sentence, 1000)))


@contextmanager
def _tables() -> Iterator[Any]:
    """Yield a connection that reads the tables. An error that the user can fix is printed as one sentence."""
    with report_errors(), quiet():
        from topo_pipeline.engagement.leaderboard import SequenceUnclear
        from topo_pipeline.engagement.status import has_board
        from topo_pipeline.warehouse.connection import Warehouse

        with Warehouse.of(get_settings(), wait_seconds=PATIENCE).reader() as connection:
            if not has_board(connection):
                fail("The tables are not built yet. topo-pipeline backfill builds them, and so does topo-pipeline dev.")
            try:
                yield connection
            except SequenceUnclear as error:
                fail(str(error))
