"""The command `demo`: a backfill from the sandbox."""

from datetime import UTC, datetime, time, timedelta

from rich.markup import escape

from topo_pipeline.cli.backfill import finish, read_days
from topo_pipeline.cli.console import now, out, relative, report_errors
from topo_pipeline.cli.leaderboard_table import leaderboard_table
from topo_pipeline.cli.report import write_report
from topo_pipeline.cli.signals import stoppable
from topo_pipeline.settings import get_settings


def demo() -> None:
    """Read 26 weeks of a simulated workspace and show the results.

    \b
    Example:
      topo-pipeline demo
    """
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
    _show_leaderboard()
    with report_errors():
        report = write_report()
    out.print(f"Report: [bold]{escape(relative(str(report.path)))}[/] (open it in a browser)")
    from topo_pipeline.warehouse.connection import Warehouse

    name = relative(Warehouse.of(get_settings()).name)
    out.print(f"Warehouse: [bold]{escape(name)}[/] (open it with DuckDB)")
    out.print(
        "Next: [bold]make dev[/] shows the same data in Dagster's UI. To read your own workspace, see the README."
    )


def _show_leaderboard() -> None:
    """Print every sequence."""
    from topo_pipeline.engagement.leaderboard import leaderboard
    from topo_pipeline.warehouse.connection import Warehouse

    with report_errors(), Warehouse.of(get_settings()).reader() as connection:
        out.print(leaderboard_table(leaderboard(connection)))
