"""`backfill` and `demo`: days read in this process, and shown as they land."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from topo_pipeline.cli import arguments
from topo_pipeline.cli.board import show_leaderboard
from topo_pipeline.cli.console import (
    AsJson,
    by_day,
    clear_errors,
    complain,
    counted,
    err,
    fail,
    now,
    out,
    relative,
    show_json,
    undisturbed,
    warn,
)
from topo_pipeline.cli.contract_report import show_latest
from topo_pipeline.cli.looking import write_report
from topo_pipeline.cli.progress import shown
from topo_pipeline.cli.stopping import Stop, stoppable
from topo_pipeline.days import counts_in_words, in_words
from topo_pipeline.settings import get_settings

if TYPE_CHECKING:
    from topo_pipeline.runs import Outcome, Progress

_INTERRUPTED = 130  # what a shell takes for an end by Ctrl-C


def demo() -> None:
    """Read 60 days of a simulated workspace and show them.

    \b
    Example:
      topo-pipeline demo
    """
    with clear_errors(), stoppable() as stop:
        from topo_pipeline import demo as simulated

        today = now().date()
        days = [today - timedelta(days=ago) for ago in range(simulated.DAYS, 0, -1)]
        # The sandbox stands still at last midnight: to run the demo again changes no number.
        midnight = datetime.combine(today, time.min, UTC)
        # Its answers are dated by the machine's clock all the same: the pipeline compares the two.
        with simulated.sandbox(lambda: midnight, dated_by=now) as api_url:
            simulated.enter(api_url)
            outcome = _backfill(days, f"Reading {len(days)} days from the sandbox", stop)
    _finish(outcome, stop)
    show_leaderboard()
    with clear_errors():
        report = write_report()
    out.print(f"The report: [bold]{escape(relative(str(report)))}[/] (open it in a browser)")
    out.print(f"The warehouse: [bold]{escape(relative(get_settings().warehouse))}[/] (open it with DuckDB)")
    out.print(
        "Next: [bold]make dev[/] shows the same in Dagster's UI; the README shows how to read your own workspace."
    )


def backfill(
    start: Annotated[str, typer.Argument(metavar="FROM", help="First day, such as 2026-03-01.")],
    end: Annotated[str, typer.Argument(metavar="TO", help="Last day, included.")],
    *,
    allow_shrink: Annotated[
        list[str] | None,
        typer.Option(metavar="DAY", help="A day of which any number of landed rows may be removed; can be repeated."),
    ] = None,
    accept_unreadable: Annotated[
        list[str] | None,
        typer.Option(metavar="DAY", help="A day to land however many of its rows can't be read; can be repeated."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would be read, by one request; change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read days, and bring the tables up to date.

    FROM is the first day, TO the last: both are read, and what lies between.

    Exits with 0 only if every day landed and is proved complete; with 1 if one is not, 2 if the command is mistyped,
    130 if Ctrl-C ended it: the first after the day under way, with the tables brought up to date, the second at once.
    Days that had landed stay either way.

    \b
    Examples:
      topo-pipeline backfill 2026-03-01 2026-03-31
      topo-pipeline backfill 2026-01-01 2026-12-31 --dry-run
      topo-pipeline backfill 2026-03-14 2026-03-14 --allow-shrink 2026-03-14
      topo-pipeline backfill 2026-03-14 2026-03-14 --accept-unreadable 2026-03-14
    """
    with clear_errors(), stoppable() as stop:
        days = arguments.days(arguments.day(start), arguments.day(end))
        may_shrink = [arguments.day(day) for day in allow_shrink or []]
        accepted = [arguments.day(day) for day in accept_unreadable or []]
        _within(days, {"--allow-shrink": may_shrink, "--accept-unreadable": accepted})
        if dry_run:
            _foretell(days, as_json)
            return
        _check()
        began = now()
        outcome = _backfill(days, f"Reading {counted(len(days), 'day')}", stop, may_shrink, accepted)
    if as_json:
        days_told = {"unproved": by_day(outcome.unproved), "unreadable": by_day(outcome.unreadable)}
        show_json(asdict(outcome) | days_told)
    elif not outcome.problems:
        where = escape(relative(get_settings().warehouse))
        out.print(
            f"{counted(len(outcome.landed), 'day')} landed in {where}:"
            f" {outcome.activities:,} activities in {outcome.requests:,} requests.",
            highlight=False,
        )
    if not as_json:
        show_latest(since=began)
    _finish(outcome, stop)


def _check() -> None:
    """Meet what would fail every day before a run is made of it."""
    from topo_pipeline.defs.resources import Topo
    from topo_pipeline.ingest import check
    from topo_pipeline.warehouse.connection import Warehouse

    with err.status("Looking at the warehouse and the key"):
        settings = get_settings()
        topo, warehouse = Topo(settings, now), Warehouse(settings.warehouse)
        check(topo.client, warehouse, timezone=settings.timezone, clock=now)


def _foretell(days: Sequence[date], as_json: bool) -> None:
    """Tell what would be read."""
    from topo_pipeline.defs.partitions import day_of, key_of
    from topo_pipeline.defs.resources import Topo
    from topo_pipeline.estimate import estimate
    from topo_pipeline.warehouse.connection import Warehouse

    settings = get_settings()
    with err.status("Asking Topo how much there is"):
        found = estimate(
            Topo(settings, now).client,
            Warehouse(settings.warehouse),
            [day_of(key_of(day)) for day in days],
            requests_per_second=settings.requests_per_second,
        )
    if as_json:
        show_json(asdict(found))
        return
    again = f", {len(found.again)} of them again ({in_words(found.again)})" if found.again else ", all of them new"
    out.print(f"Would read {counted(len(days), 'day')}{again}: {days[0]} to {days[-1]}.", highlight=False)
    out.print(
        f"Topo counts {found.activities:,} activities by now: about {counted(found.requests, 'request')}, which take"
        f" {timedelta(seconds=math.ceil(found.seconds))} or longer at {settings.requests_per_second:g} a second; then"
        " the tables. Nothing was changed.",
        highlight=False,
    )


def _within(days: Sequence[date], options: Mapping[str, Sequence[date]]) -> None:
    """Refuse an option for a day that is not read: it would have no effect."""
    for option, named in options.items():
        for day in named:
            if day not in days:
                fail(f"{option} {day}: that day is not between {days[0]} and {days[-1]}.", 2)


def _backfill(
    days: Sequence[date],
    title: str,
    stop: Stop,
    may_shrink: Sequence[date] = (),
    accept_unreadable: Sequence[date] = (),
) -> "Outcome":
    """Run the days and show how far it is."""
    from topo_pipeline.instance import opened, prepare

    home = get_settings().dagster_home
    prepare(home)
    from topo_pipeline import runs
    from topo_pipeline.definitions import defs
    from topo_pipeline.defs.agreement import compare, told
    from topo_pipeline.warehouse.connection import Warehouse

    with undisturbed(), opened(home) as instance, shown(title, len(days)) as show:
        warehouse = get_settings().warehouse
        if lost := set(compare(instance, Warehouse(warehouse)).lost) - set(days):
            warn(" ".join(told(lost, relative(warehouse))))

        def tell(progress: "Progress") -> None:
            stop.is_reading = True
            show(progress)

        return runs.backfill(
            defs,
            days,
            instance=instance,
            tell=tell,
            may_shrink=may_shrink,
            accept_unreadable=accept_unreadable,
            is_stopped=stop,
        )


def _finish(outcome: "Outcome", stop: Stop) -> None:
    """Say what did not work, and exit unless every day landed and is proved complete."""
    if outcome.unreadable:
        rows = counted(sum(outcome.unreadable.values()), "row")
        warn(f"{rows} could not be read: {counts_in_words(outcome.unreadable)}. topo.rejects has the reasons.")
    unproved = [f"{day} landed, but is not proved complete: {why}." for day, why in outcome.unproved.items()]
    problems = [*unproved, *outcome.problems]
    for problem in problems[:-1]:
        complain(problem)
    if problems:
        fail(problems[-1], _INTERRUPTED if stop.is_asked else 1)
