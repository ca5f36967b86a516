"""The command `backfill`, which reads days in this process and shows each one as it lands."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from topo_pipeline.cli import arguments
from topo_pipeline.cli.console import (
    AsJson,
    by_day,
    err,
    fail,
    get_settings,
    get_warehouse,
    now,
    out,
    own_stderr,
    print_error,
    print_line,
    print_warning,
    relative,
    report_errors,
    show_json,
)
from topo_pipeline.cli.progress import shown
from topo_pipeline.cli.signals import Stop, stoppable
from topo_pipeline.common.text import counted
from topo_pipeline.days import format_counts, format_days
from topo_pipeline.warehouse.errors import WarehouseError

if TYPE_CHECKING:
    from topo_pipeline.orchestration.ranged_runs import Outcome, Progress

_INTERRUPTED = 130  # the exit code that shells use for Ctrl-C


FirstDay = Annotated[
    str | None, typer.Argument(metavar="FROM", help="First day: a date such as 2026-03-01, today or yesterday.")
]
LastDay = Annotated[str | None, typer.Argument(metavar="TO", help="Last day, included. Without it, FROM alone.")]
Span = Annotated[str | None, typer.Option(metavar="SPAN", help="The last days or weeks up to yesterday: 7d, 4w.")]
Missing = Annotated[
    bool,
    typer.Option(
        "--missing", help="Only days that have not landed since they ended. Without FROM: since the first landed day."
    ),
]
AllowShrink = Annotated[
    list[str] | None,
    typer.Option(metavar="DAY", help="A day whose reload may remove any number of rows. Can be repeated."),
]
AcceptUnreadable = Annotated[
    list[str] | None,
    typer.Option(metavar="DAY", help="A day to land even if many of its rows can't be read. Can be repeated."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be read. Asks Topo only for its count.")]


def backfill(
    start: FirstDay = None,
    end: LastDay = None,
    *,
    last: Span = None,
    missing: Missing = False,
    allow_shrink: AllowShrink = None,
    accept_unreadable: AcceptUnreadable = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Read days and update the tables.

    The days are FROM to TO, both included, or --last, or --missing. Exits with 0 only if every day landed and is
    proved complete, with 1 if a day is not, with 2 for bad arguments, and with 130 after Ctrl-C. The first Ctrl-C stops
    after the current day and updates the tables, the second stops at once. Days that have landed are kept in both
    cases.

    \b
    Examples:
      topo-pipeline backfill 2026-03-01 2026-03-31
      topo-pipeline backfill yesterday
      topo-pipeline backfill --last 4w
      topo-pipeline backfill --missing
      topo-pipeline backfill 2026-01-01 2026-12-31 --dry-run
      topo-pipeline backfill 2026-03-14 --allow-shrink 2026-03-14
      topo-pipeline backfill 2026-03-14 --accept-unreadable 2026-03-14
    """
    with report_errors(), stoppable() as stop:
        days = _named(start, end, last, missing=missing)
        may_shrink = [arguments.day(day) for day in allow_shrink or []]
        accepted = [arguments.day(day) for day in accept_unreadable or []]
        _require_read(days, {"--allow-shrink": may_shrink, "--accept-unreadable": accepted})
        behind = _days_behind()
        if not days and not as_json and (dry_run or not behind):
            out.print("No day is missing." if missing else "No day is over yet.")
            return
        if dry_run:
            _show_estimate(days, as_json)
            return
        _check()
        started_at = now()
        title = f"Reading {counted(len(days), 'day')}" if days else f"Building {counted(len(behind), 'day')}"
        outcome = read_days(days, title, stop, may_shrink=may_shrink, accept_unreadable=accepted, behind=behind)
    if as_json:
        _show_as_json(outcome)
    else:
        _show_landed(outcome)
        _show_contract_check(since=started_at)
    finish(outcome, stop)


def _named(start: str | None, end: str | None, last: str | None, *, missing: bool) -> list[date]:
    """Return the days that the arguments name, in order, or exit."""
    if start and last:
        fail("Give FROM and TO, or --last, but not both.", 2)
    if last:
        first, until = arguments.last(last)
    elif start:
        first, until = arguments.day(start), arguments.day(end or start)
    elif missing:
        from topo_pipeline.ingest.estimate import first_landed

        first, until = first_landed(get_warehouse()) or get_settings().start_date, arguments.day("yesterday")
    else:
        fail("Name the days to read: FROM and TO, --last 7d, or --missing.", 2)
    if first > until and not start:
        return []  # no day is over yet
    days = arguments.days(first, until)
    if missing:
        from topo_pipeline.ingest.estimate import missing_days

        return missing_days(get_warehouse(), days)
    return days


def _days_behind() -> tuple[date, ...]:
    """Return the landed days that are not in the tables yet."""
    from topo_pipeline.engagement.building import days_behind

    warehouse = get_warehouse()
    with suppress(WarehouseError):  # the check that follows says what is wrong
        if warehouse.exists():
            with warehouse.reader() as connection:
                behind = days_behind(connection, "sequence_activity")
                return tuple(day for day in behind if day >= get_settings().start_date)
    return ()


def _require_read(days: Sequence[date], options: Mapping[str, Sequence[date]]) -> None:
    """Exit if an option names a day that is not read."""
    for option, named in options.items():
        for day in named:
            if day not in days:
                fail(f"{option} {day} has no effect: that day is not among those to read ({format_days(days)}).", 2)


def _show_estimate(days: Sequence[date], as_json: bool) -> None:
    """Print what would be read."""
    from topo_pipeline.defs.partitions import daily_partitions, day_of
    from topo_pipeline.defs.resources import Topo
    from topo_pipeline.ingest.estimate import estimate

    settings = get_settings()
    daily = daily_partitions(settings)
    with err.status("Asking Topo for its count"):
        found = estimate(
            Topo(settings, now).client,
            get_warehouse(),
            [day_of(str(day), daily) for day in days],
            requests_per_second=settings.requests_per_second,
        )
    if as_json:
        show_json(asdict(found))
        return
    landed = f"{len(found.again)} already landed: {format_days(found.again)}" if found.again else "none landed yet"
    out.print(f"Would read {counted(len(days), 'day')}: {format_days(days)} ({landed}).")
    out.print(
        f"Topo counts {counted(found.activities, 'activity', 'activities')}. Reading takes about"
        f" {counted(found.requests, 'request')}, which at {settings.requests_per_second:g} per second take at least"
        f" {timedelta(seconds=math.ceil(found.seconds))} (h:mm:ss). The tables are built after"
        " that. Nothing was changed.",
    )


def _check() -> None:
    """Fail before the run starts if every day would fail."""
    with err.status("Checking the warehouse and the key"):
        from topo_pipeline.defs.resources import Topo
        from topo_pipeline.ingest.session import check

        settings = get_settings()
        check(Topo(settings, now).client, get_warehouse(), timezone=settings.timezone, clock=now)


def read_days(days: Sequence[date], title: str, stop: Stop, **options: Sequence[date]) -> "Outcome":
    """Read the days and show the progress. `options` are those of `ranged_runs.backfill`."""
    try:
        return _read_days(days, title, stop, **options)
    except KeyboardInterrupt:  # outside of a run, such as before the first one
        fail("Interrupted. Days that have landed are kept: topo-pipeline status shows them.", _INTERRUPTED)


def _read_days(days: Sequence[date], title: str, stop: Stop, **options: Sequence[date]) -> "Outcome":
    print_line(title)
    home = get_settings().dagster_home
    with err.status("Starting Dagster"):
        from topo_pipeline.orchestration.instance import opened, prepare

        prepare(home)
        from topo_pipeline.definitions import defs
        from topo_pipeline.defs.records import compare, describe_lost_days
        from topo_pipeline.orchestration import ranged_runs as runs

    with own_stderr(), opened(home) as instance, shown(title, len(days)) as show:
        warehouse = get_warehouse()
        if lost := set(compare(instance, get_settings(), warehouse).lost) - set(days):
            print_warning(" ".join(describe_lost_days(lost, relative(warehouse.name))))

        def on_progress(progress: "Progress") -> None:
            stop.is_reading = True
            show(progress)

        return runs.backfill(defs, days, instance=instance, on_progress=on_progress, is_stopped=stop, **options)


def _show_as_json(outcome: "Outcome") -> None:
    totals = {name: getattr(outcome, name) for name in ("landed", "problems", "activities", "requests")}
    show_json(totals | {"unproved": by_day(outcome.unproved), "unreadable": by_day(outcome.unreadable)})


def _show_landed(outcome: "Outcome") -> None:
    """Print what landed, unless there was a problem."""
    if not outcome.problems:
        where = escape(relative(get_warehouse().name))
        out.print(
            f"{counted(len(outcome.landed), 'day')} landed in {where}:"
            f" {counted(outcome.activities, 'activity', 'activities')} in {counted(outcome.requests, 'request')}.",
        )


def _show_contract_check(since: datetime) -> None:
    """Print one line about the contract check that ran automatically since `since`, if there is one."""
    from topo_pipeline.ingest.first_contact import latest_summary

    with suppress(WarehouseError):  # a backfill that worked is not failed for this line
        sentence = latest_summary(get_warehouse(), since)
        if sentence:
            out.say(sentence)


def finish(outcome: "Outcome", stop: Stop) -> None:
    """Print what did not work, and exit with an error unless every day landed and is proved complete."""
    if outcome.unreadable:
        rows = counted(sum(outcome.unreadable.values()), "row")
        print_warning(f"{rows} could not be read: {format_counts(outcome.unreadable)}. topo.rejects has the reasons.")
    unproved = [f"{day} landed, but is not proved complete: {why}." for day, why in outcome.unproved.items()]
    problems = [*unproved, *outcome.problems]
    for problem in problems:
        sentence, *details = problem.splitlines()
        print_error(sentence, details)
    if problems:
        raise typer.Exit(_INTERRUPTED if stop.is_requested else 1)
