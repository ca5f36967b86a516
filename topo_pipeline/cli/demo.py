"""The command `demo`: everything that the pipeline does, with the sandbox in place of Topo."""

import shlex
from datetime import UTC, datetime, time, timedelta

import typer
from rich.markup import escape

from topo_pipeline.cli.backfill import finish, read_days
from topo_pipeline.cli.console import (
    err,
    fail,
    get_settings,
    get_warehouse,
    now,
    out,
    own_stderr,
    print_line,
    program,
    relative,
    report_errors,
)
from topo_pipeline.cli.leaderboard_table import leaderboard_table
from topo_pipeline.cli.signals import stoppable
from topo_pipeline.cli.workspace import refuse_organization


def demo(context: typer.Context) -> None:
    """Read 26 weeks of a simulated workspace, build every table, publish, and show the results.

    Everything is written to data/demo.

    \b
    Example:
      topo-pipeline demo
    """
    refuse_organization(context)
    with report_errors(), stoppable() as stop:
        from topo_pipeline.sandbox import demo as simulated

        today = now().date()
        days = [today - timedelta(days=ago) for ago in range(simulated.DAYS, 0, -1)]
        # The sandbox's clock shows last midnight, so a second demo on the same day gives the same numbers.
        midnight = datetime.combine(today, time.min, UTC)
        # Its responses carry the machine's time, because the pipeline compares the two clocks.
        with simulated.sandbox(lambda: midnight, date_clock=now) as api_url:
            simulated.enter(api_url, today)
            outcome = read_days(days, f"Reading {len(days)} days from the sandbox", stop)
    finish(outcome, stop)
    with report_errors():
        _publish()
        best = _show_leaderboard()
    settings = get_settings()
    for what, path in {"Warehouse": settings.warehouse, "Report and Parquet files": settings.report_dir}.items():
        out.print(f"{what}: [bold]{escape(relative(str(path)))}[/]", soft_wrap=True)
    commands = {
        "report --demo --open": "the report, in your browser",
        f"explain --demo {shlex.quote(best)}": "what is known about the first sequence",
        "dev --demo": "the same data in Dagster's UI",
    }
    lines = {f"{program()} {command}": what for command, what in commands.items()}
    width = max(map(len, lines))
    out.print("Next:")
    for line, what in lines.items():
        out.print(f"  [bold]{escape(line):{width}}[/]  {what}", soft_wrap=True)


def _publish() -> None:
    """Materialize the report and the Parquet export."""
    from topo_pipeline.definitions import defs
    from topo_pipeline.orchestration.instance import opened
    from topo_pipeline.orchestration.ranged_runs import publish

    title = "Publishing the report and the Parquet files"
    print_line(title)
    with own_stderr(), err.status(title), opened(get_settings().dagster_home) as instance:
        problems = publish(defs, instance)
    if problems:
        fail(" ".join(problems))


def _show_leaderboard() -> str:
    """Print every sequence, and return the name of the first."""
    from topo_pipeline.engagement.leaderboard import leaderboard

    with get_warehouse().reader() as connection:
        board = leaderboard(connection)
    out.print(leaderboard_table(board))
    return str(board[0]["sequence"])
