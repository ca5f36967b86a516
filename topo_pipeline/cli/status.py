"""The command `status`."""

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from topo_pipeline.cli.console import PATIENCE, AsJson, by_day, get_settings, now, out, quiet, report_errors, show_json
from topo_pipeline.cli.leaderboard_table import leaderboard_table
from topo_pipeline.cli.workspace import Demo
from topo_pipeline.common.text import counted, one_line
from topo_pipeline.days import format_counts, format_days, last_due_day, missing_command

if TYPE_CHECKING:
    from topo_pipeline.engagement.status import Status

_TOP = 5  # sequences that `status` shows
_TWO_DAYS = 48  # hours


def status(as_json: AsJson = False, demo: Demo = False) -> None:
    """Show landed and missing days, the best sequences, and what to do this week.

    Waits up to 5 seconds while another process writes to the warehouse. Exits with 1 if the warehouse can't be read.

    \b
    Examples:
      topo-pipeline status
      topo-pipeline status --json | jq -r .complete
    """
    with report_errors(), quiet():
        from topo_pipeline.engagement import status as status_of_warehouse
        from topo_pipeline.report.advice import advice
        from topo_pipeline.warehouse.connection import Warehouse

        settings = get_settings()
        warehouse = Warehouse.of(settings, wait_seconds=PATIENCE)
        with warehouse.reader() as connection:
            found = status_of_warehouse.status(connection, last_due_day(now(), settings.zone))
            to_do = advice(connection, settings.rules) or ()
    if as_json:
        show_json(_as_json(warehouse.name, settings.timezone, found) | {"to_do": [asdict(each) for each in to_do]})
        return
    _show(found, is_demo=demo)
    if to_do:
        out.print("Do this week, as in the report:")
    for number, each in enumerate(to_do, start=1):
        out.print(escape(one_line(f"{number}. {each.claim} {each.action}", 1000)))


def _as_json(warehouse: str, timezone: str, found: "Status") -> dict[str, Any]:
    return {
        "warehouse": warehouse,
        "timezone": timezone,
        **asdict(found.days),
        "unreadable": by_day(found.days.unreadable),
        "behind": found.behind,
        "pending_replies": found.pending,
        "sequences": found.board or [],
    }


def _show(found: "Status", *, is_demo: bool) -> None:
    days = found.days
    if days.first is None or days.read_at is None:
        due = last_due_day(now(), get_settings().zone)
        out.print(f"No day has landed yet. To read one: topo-pipeline backfill {due}")
        return
    gaps = {
        "missing": days.missing, "last read before the day was over": days.unclosed, "not proved": days.unproved,
        "not in the tables yet": found.behind,
    }  # fmt: skip
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_row("Complete up to", f"[bold]{days.complete or 'no day yet'}[/], last read {_ago(days.read_at)}")
    table.add_row(
        "Landed",
        f"{counted(days.activities, 'activity', 'activities')}, {counted(days.days, 'day')} since {days.first}",
    )
    for gap, affected in gaps.items():
        if affected:
            table.add_row("[yellow]Gap[/]", f"{counted(len(affected), 'day')} {gap}: {format_days(affected)}")
    if not any(gaps.values()):
        table.add_row("Gaps", "none")
    if days.unreadable:
        rows = counted(sum(days.unreadable.values()), "row")
        table.add_row("[yellow]Unreadable[/]", f"{rows} could not be read: {format_counts(days.unreadable)}")
    table.add_row("Pending", f"{counted(found.pending, 'reply', 'replies')} not classified by Topo yet")
    out.print(table)
    if missing := [*days.missing, *days.unclosed]:
        out.say(f"To read the missing days: {'topo-pipeline demo' if is_demo else missing_command(missing)}")
    if found.behind:
        out.say(f"To build the tables: topo-pipeline {'demo' if is_demo else 'backfill --missing'}")
    if found.board is None:
        out.print("The tables are not built yet. topo-pipeline backfill builds them, and so does topo-pipeline dev.")
    else:
        out.print(leaderboard_table(found.board[:_TOP]))


def _ago(moment: datetime) -> str:
    hours = (now() - moment).total_seconds() / 3600
    if hours < 1:
        return "less than an hour ago"
    return f"{counted(round(hours), 'hour')} ago" if hours < _TWO_DAYS else f"{hours / 24:.0f} days ago"
