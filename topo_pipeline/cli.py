"""The command line: `topo-pipeline COMMAND`. Parses, shows, and exits with a code that tells; the work is elsewhere."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from topo_pipeline import dagster_home
from topo_pipeline.settings import SettingsError, get_settings

if TYPE_CHECKING:
    import pandas as pd

    from topo_pipeline.runs import Outcome
    from topo_pipeline.runs import Progress as RunProgress

# Locals of a frame may hold the key: no traceback shows them.
app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False, rich_markup_mode="rich"
)
out = Console()
err = Console(stderr=True)


@app.callback()
def main() -> None:
    """Topo's engagement events, proved complete day by day, in DuckDB."""


@app.command()
def demo() -> None:
    """Materialise the last 60 complete days of a simulated workspace and show what they come to."""
    from topo_pipeline import demo as world

    today = datetime.now(UTC).date()
    days = [today - timedelta(days=ago) for ago in range(world.DAYS, 0, -1)]
    # The sandbox stands still at last midnight: to run the demo again changes no number.
    midnight = datetime.combine(today, time.min, UTC)
    with world.sandbox(lambda: midnight) as api_url:
        world.enter(api_url)
        with _clear_errors():
            outcome = _backfill(days, f"Reading {len(days)} days from the sandbox")
    _finish(outcome)
    _show_leaderboard()
    out.print(f"The warehouse: [bold]{escape(_relative(get_settings().warehouse))}[/] (open it with DuckDB)")
    out.print(
        "Next: [bold]make dev[/] shows the same in Dagster's UI; the README shows how to read your own workspace."
    )


@app.command()
def backfill(
    start: Annotated[str, typer.Argument(metavar="FROM", help="First day, such as 2026-03-01.")],
    end: Annotated[str, typer.Argument(metavar="TO", help="Last day, included.")],
) -> None:
    """Read the days FROM to TO, both included, and bring the tables up to date.

    Exits with 0 only if every day landed complete.

    Example: topo-pipeline backfill 2026-03-01 2026-03-31
    """
    with _clear_errors():
        days = _days(_date(start), _date(end))
        _check()
        outcome = _backfill(days, f"Reading {len(days)} days")
    _finish(outcome)
    out.print(f"{len(outcome.landed)} days landed in {escape(_relative(get_settings().warehouse))}.")


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(help="The port on 127.0.0.1; 0 takes a free one.")] = 8100,
    seed: Annotated[int, typer.Option(help="Another seed is another workspace.")] = 7,
) -> None:
    """Serve a simulated Topo API until Ctrl-C."""
    from topo_pipeline import demo as world

    with _clear_errors(), world.sandbox(_now, port=port, seed=seed) as api_url:
        out.print(f"TOPO_API_URL={api_url}\nTOPO_API_KEY={world.API_KEY}", highlight=False)
        err.print("The sandbox serves until Ctrl-C.")
        _wait_for_signal()


@app.command()
def dev(port: Annotated[int, typer.Option(help="The port of Dagster's UI.")] = 3000) -> None:
    """Open Dagster's UI: over Topo where TOPO_API_KEY is set, else over the demo and its sandbox."""
    with _clear_errors():
        if get_settings().api_key is not None:
            err.print(f"Dagster's UI over {escape(get_settings().api_url)}: http://127.0.0.1:{port}")
            raise typer.Exit(_dagster_dev(port))
        from topo_pipeline import demo as world

        get_settings.cache_clear()
        with world.sandbox(_now) as api_url:
            world.enter(api_url)
            err.print(f"TOPO_API_KEY is not set: Dagster's UI over the demo's sandbox: http://127.0.0.1:{port}")
            raise typer.Exit(_dagster_dev(port))


def _now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def _clear_errors() -> Iterator[None]:
    """Say what a person can mend in one sentence, and exit with 1."""
    from topo_pipeline.topo_api.errors import TopoError
    from topo_pipeline.warehouse.errors import WarehouseError

    try:
        yield
    except (SettingsError, TopoError, WarehouseError, OSError) as error:
        _fail(str(error))


def _fail(sentence: str, code: int = 1) -> NoReturn:
    err.print(f"[red]topo-pipeline:[/] {escape(sentence)}", soft_wrap=True, highlight=False)
    raise typer.Exit(code)


def _check() -> None:
    """Meet what would fail every day before a run is made of it."""
    from topo_pipeline.defs.resources import Topo
    from topo_pipeline.ingest import check
    from topo_pipeline.warehouse.connection import Warehouse

    with err.status("Asking Topo whether the key works"):
        check(Topo(get_settings(), _now).client, Warehouse(get_settings().warehouse))


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        _fail(f"{text!r} is not a day: write it as 2026-03-01.", 2)


def _days(start: date, end: date) -> list[date]:
    settings = get_settings()
    today = datetime.now(settings.zone).date()
    if end < start:
        _fail(f"The last day {end} is before the first one {start}.", 2)
    if start < settings.start_date:
        _fail(
            f"{start} is before the first partition {settings.start_date}: set TOPO_START_DATE to an earlier day.",
            2,
        )
    if end > today:
        _fail(f"{end} has not begun yet: today is {today} in {settings.timezone}.", 2)
    return [start + timedelta(days=n) for n in range((end - start).days + 1)]


def _backfill(days: Sequence[date], title: str) -> "Outcome":
    """Run the days with a progress bar; where nobody watches, without."""
    import dagster as dg

    dagster_home.prepare(get_settings().dagster_home)
    from topo_pipeline import runs
    from topo_pipeline.definitions import defs

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("days"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with dg.DagsterInstance.get() as instance, Progress(*columns, console=err) as bar:
        task = bar.add_task(title, total=len(days))
        seen: set[date] = set()

        def tell(progress: "RunProgress") -> None:
            if progress.landed:
                seen.add(progress.landed)
                bar.update(task, completed=len(seen))
            elif progress.step and progress.step.startswith("engagement"):
                bar.update(task, description=f"Building {progress.step.removeprefix('engagement__')}")

        outcome = runs.backfill(defs, days, instance=instance, tell=tell)
        bar.update(task, description=title)
    return outcome


def _finish(outcome: "Outcome") -> None:
    if outcome.problems:
        for problem in outcome.problems[:-1]:
            err.print(f"[red]topo-pipeline:[/] {escape(problem)}", soft_wrap=True, highlight=False)
        _fail(outcome.problems[-1])


def _show_leaderboard() -> None:
    from topo_pipeline.report.leaderboard import leaderboard
    from topo_pipeline.warehouse.connection import Warehouse

    with _clear_errors(), Warehouse(get_settings().warehouse).reader() as connection:
        out.print(_leaderboard_table(leaderboard(connection)))


def _leaderboard_table(board: "pd.DataFrame") -> Table:
    """A table that reads well in 80 columns; what rests on too few runs is dimmed."""
    from topo_pipeline.report.leaderboard import rate_with_interval

    table = Table(
        title="Sequences, best first by what their reply rate is at least",
        caption="Reply rate, with its 95 % interval: contacted runs with a valid reply within 30 days,\n"
        "of those whose 30 days are over. Dimmed: too few of them to tell.",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("Sequence", min_width=16)
    for heading in ("Contacted", "Messages", "Opens", "Replies", "Reply rate"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in board.to_dict("records"):
        table.add_row(
            escape(row["sequence"]),
            *(f"{row[count]:,}" for count in ("contacted", "messages", "opens", "replies")),
            rate_with_interval(row["reply_rate"], row["reply_rate_low"], row["reply_rate_high"]),
            style="dim" if row["evidence"] in {"none", "too_small"} else None,
        )
    return table


def _relative(path: str) -> str:
    target = Path(path)
    return str(target.relative_to(Path.cwd())) if target.is_relative_to(Path.cwd()) else path


def _dagster_dev(port: int) -> int:
    """Run Dagster's UI and daemon until they end, or until a signal tells us to end them."""
    dagster_home.prepare(get_settings().dagster_home)
    where = ["-w", "workspace.yaml"] if Path("workspace.yaml").exists() else ["-m", "topo_pipeline.definitions"]
    command = [sys.executable, "-m", "dagster", "dev", *where, "-p", str(port)]
    # dg dev supersedes it, but is no part of what an installed package brings.
    quiet = {**os.environ, "PYTHONWARNINGS": "ignore:Function `dev_command` is superseded"}
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    # In a session of its own: Ctrl-C reaches it once, through us.
    with subprocess.Popen(command, env=quiet, start_new_session=True) as process:  # noqa: S603 - our own words
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            return process.wait()


def _wait_for_signal() -> None:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
