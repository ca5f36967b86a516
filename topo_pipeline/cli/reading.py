"""`backfill` and `demo`: days read in this process, and shown as they land."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from topo_pipeline.cli import arguments
from topo_pipeline.cli.board import show_leaderboard
from topo_pipeline.cli.console import clear_errors, complain, err, fail, line, now, out, relative
from topo_pipeline.settings import get_settings

if TYPE_CHECKING:
    from topo_pipeline.runs import Outcome
    from topo_pipeline.runs import Progress as RunProgress


def demo() -> None:
    """Read 60 days of a simulated workspace, and show what they come to."""
    with clear_errors():
        from topo_pipeline import demo as simulated

        today = now().date()
        days = [today - timedelta(days=ago) for ago in range(simulated.DAYS, 0, -1)]
        # The sandbox stands still at last midnight: to run the demo again changes no number.
        midnight = datetime.combine(today, time.min, UTC)
        with simulated.sandbox(lambda: midnight) as api_url:
            simulated.enter(api_url)
            outcome = _backfill(days, f"Reading {len(days)} days from the sandbox")
    _finish(outcome)
    show_leaderboard()
    out.print(f"The warehouse: [bold]{escape(relative(get_settings().warehouse))}[/] (open it with DuckDB)")
    out.print(
        "Next: [bold]make dev[/] shows the same in Dagster's UI; the README shows how to read your own workspace."
    )


def backfill(
    start: Annotated[str, typer.Argument(metavar="FROM", help="First day, such as 2026-03-01.")],
    end: Annotated[str, typer.Argument(metavar="TO", help="Last day, included.")],
    allow_shrink: Annotated[
        list[str] | None,
        typer.Option(metavar="DAY", help="A day of which more than half of what is landed may go; can be repeated."),
    ] = None,
) -> None:
    r"""Read days, and bring the tables up to date.

    Exits with 0 only if every day landed complete.

    Example: topo-pipeline backfill 2026-03-01 2026-03-31
    """
    with clear_errors():
        days = arguments.days(arguments.day(start), arguments.day(end))
        may_shrink = [arguments.day(day) for day in allow_shrink or []]
        _check()
        outcome = _backfill(days, f"Reading {len(days)} days", may_shrink)
    _finish(outcome)
    out.print(f"{len(outcome.landed)} days landed in {escape(relative(get_settings().warehouse))}.")


def _check() -> None:
    """Meet what would fail every day before a run is made of it."""
    from topo_pipeline.defs.resources import Topo
    from topo_pipeline.ingest import check
    from topo_pipeline.warehouse.connection import Warehouse

    with err.status("Looking at the warehouse and the key"):
        settings = get_settings()
        topo, warehouse = Topo(settings, now), Warehouse(settings.warehouse)
        check(topo.client, warehouse, timezone=settings.timezone, clock=now)


def _backfill(days: Sequence[date], title: str, may_shrink: Sequence[date] = ()) -> "Outcome":
    """Run the days and show how far it is."""
    # A terminal that closes is an interruption like Ctrl-C, which Dagster knows how to take.
    signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGINT))
    import dagster as dg

    from topo_pipeline.instance import prepare

    prepare(get_settings().dagster_home)
    from topo_pipeline import runs
    from topo_pipeline.definitions import defs

    with dg.DagsterInstance.get() as instance, _progress(title, len(days)) as tell:
        return runs.backfill(defs, days, instance=instance, tell=tell, may_shrink=may_shrink)


@contextmanager
def _progress(title: str, total: int) -> Iterator[Callable[["RunProgress"], None]]:
    """Yield what shows each day that landed and each table begun: a bar on a terminal, a line each elsewhere."""
    landed: set[date] = set()
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("days"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=err, disable=not err.is_terminal) as bar:
        task = bar.add_task(title, total=total)

        def tell(progress: "RunProgress") -> None:
            if progress.landed and progress.landed not in landed:  # told once more as the run ends
                landed.add(progress.landed)
                bar.update(task, completed=len(landed))
                line(f"{progress.landed} landed: {len(landed)} of {total} days")
            elif progress.step and progress.step.startswith("engagement") and not progress.step.endswith("checks"):
                doing = f"Building {progress.step.removeprefix('engagement__')}"
                bar.update(task, description=doing)
                line(doing)

        line(title)
        yield tell
        bar.update(task, description=title)


def _finish(outcome: "Outcome") -> None:
    if outcome.problems:
        for problem in outcome.problems[:-1]:
            complain(problem)
        fail(outcome.problems[-1])
