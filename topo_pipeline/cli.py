"""The command line: `topo-pipeline COMMAND`. Parses, shows, and exits with a code that tells; the work is elsewhere."""

import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from dotenv import dotenv_values
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

from topo_pipeline.settings import SettingsError, get_settings

if TYPE_CHECKING:
    import pandas as pd

    from topo_pipeline.runs import Outcome
    from topo_pipeline.runs import Progress as RunProgress
    from topo_pipeline.warehouse.forgetting import Trace

# Locals of a frame may hold the key: no traceback shows them.
app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False, rich_markup_mode="rich"
)
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NARROW = 72  # columns, below which the reply rate would be cut
out = Console()
err = Console(stderr=True)


@app.callback()
def main() -> None:
    """Topo's engagement events, proved complete day by day, in DuckDB."""


@app.command()
def demo() -> None:
    """Materialise the last 60 complete days of a simulated workspace and show what they come to."""
    with _clear_errors():
        from topo_pipeline import demo as simulated

        today = datetime.now(UTC).date()
        days = [today - timedelta(days=ago) for ago in range(simulated.DAYS, 0, -1)]
        # The sandbox stands still at last midnight: to run the demo again changes no number.
        midnight = datetime.combine(today, time.min, UTC)
        with simulated.sandbox(lambda: midnight) as api_url:
            simulated.enter(api_url)
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
    allow_shrink: Annotated[
        list[str] | None,
        typer.Option(metavar="DAY", help="A day of which more than half of what is landed may go; can be repeated."),
    ] = None,
) -> None:
    """Read the days FROM to TO, both included, and bring the tables up to date.

    Exits with 0 only if every day landed complete.

    Example: topo-pipeline backfill 2026-03-01 2026-03-31
    """
    with _clear_errors():
        days = _days(_date(start), _date(end))
        may_shrink = [_date(day) for day in allow_shrink or []]
        _check()
        outcome = _backfill(days, f"Reading {len(days)} days", may_shrink)
    _finish(outcome)
    out.print(f"{len(outcome.landed)} days landed in {escape(_relative(get_settings().warehouse))}.")


@app.command()
def forget(
    person_id: Annotated[str, typer.Argument(metavar="PERSON_ID", help="Topo's id of the contact.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
) -> None:
    """Erase a person for good: from activities, change history, unreadable rows and tables.

    A keyed hash of the id stays, so that no later reading brings the person back.

    Example: topo-pipeline forget 0b9c4a52-6f0e-4c5b-9d5e-2f6f3c1d7a10
    """
    with _clear_errors():
        from topo_pipeline import forget as forgetting
        from topo_pipeline.warehouse.connection import Warehouse

        person, settings = _person(person_id), get_settings()
        warehouse = Warehouse(settings.warehouse)
        if not yes:
            found = _told(forgetting.trace(warehouse, person))
            _confirm(f"Erase {person} from {_relative(settings.warehouse)} ({found})? It can't be undone.")
        with err.status("Erasing, building the tables anew, rewriting the file"):
            erased = forgetting.forget(warehouse, person, timezone=settings.timezone, rules=settings.rules, now=_now())
    out.print(
        f"Erased ({_told(erased)}). Later readings leave the person out.\n"
        "Exports, reports and copies that were made before are not touched: delete them yourself.",
        highlight=False,
    )


def _told(trace: "Trace") -> str:
    return (
        f"activities: {trace.activities}, earlier versions: {trace.changes}, unreadable rows: {trace.rejects},"
        f" runs: {trace.runs}"
    )


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port on 127.0.0.1; 0 takes a free one.")] = 8100,
    seed: Annotated[int, typer.Option(help="Another seed is another workspace.")] = 7,
) -> None:
    """Serve a simulated Topo API until Ctrl-C."""
    with _clear_errors():
        from topo_pipeline import demo as simulated

        with simulated.sandbox(_now, port=port, seed=seed) as api_url:
            out.print(f"TOPO_API_URL={api_url}\nTOPO_API_KEY={simulated.API_KEY}", highlight=False)
            err.print("The sandbox serves until Ctrl-C.")
            _wait_for_signal()


@app.command()
def dev(port: Annotated[int, typer.Option(min=1, max=65535, help="The port of Dagster's UI.")] = 3000) -> None:
    """Open Dagster's UI: over Topo where TOPO_API_KEY is set, else over the demo and its sandbox."""
    with _clear_errors():
        ui = f"http://127.0.0.1:{port}"
        if get_settings().api_key is not None:
            from topo_pipeline.defs.resources import Topo

            Topo(get_settings(), _now).client()  # an address or a key that can't be used is met here, not shown
            err.print(f"Dagster's UI over {escape(get_settings().api_url)}: {ui}", highlight=False)
            raise typer.Exit(_dagster_dev(port, {**dotenv_values(".env"), **os.environ}))
        from topo_pipeline import demo as simulated

        get_settings.cache_clear()
        with simulated.sandbox(_now) as api_url:
            simulated.enter(api_url)
            err.print(f"TOPO_API_KEY is not set: Dagster's UI over the demo's sandbox: {ui}", highlight=False)
            raise typer.Exit(_dagster_dev(port, dict(os.environ)))


def _now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def _clear_errors() -> Iterator[None]:
    """Say what a person can mend in one sentence, and exit with 1."""
    from topo_pipeline.instance import AlreadyReading
    from topo_pipeline.topo_api.errors import TopoError
    from topo_pipeline.warehouse.errors import WarehouseError

    try:
        yield
    except (AlreadyReading, SettingsError, TopoError, WarehouseError, OSError) as error:
        _fail(str(error))
    except ModuleNotFoundError as error:
        if error.name not in {"fastapi", "uvicorn"}:
            raise
        _fail("The sandbox needs its extra: pip install 'topo-pipeline[sandbox]'.")


def _fail(sentence: str, code: int = 1) -> NoReturn:
    err.print(f"[red]topo-pipeline:[/] {escape(sentence)}", soft_wrap=True, highlight=False)
    raise typer.Exit(code)


def _check() -> None:
    """Meet what would fail every day before a run is made of it."""
    from topo_pipeline.defs.resources import Topo
    from topo_pipeline.ingest import check
    from topo_pipeline.warehouse.connection import Warehouse

    with err.status("Looking at the warehouse and the key"):
        settings = get_settings()
        topo, warehouse = Topo(settings, _now), Warehouse(settings.warehouse)
        check(topo.client, warehouse, timezone=settings.timezone, clock=_now)


def _person(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text.strip())
    except ValueError:
        _fail(f"{text!r} is no id of a person: it looks like 0b9c4a52-6f0e-4c5b-9d5e-2f6f3c1d7a10.", 2)


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        _fail("Nobody is there to be asked: say --yes.", 2)
    if not typer.confirm(question):
        _fail("Nothing was erased.")


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
                _line(f"{progress.landed} landed: {len(landed)} of {total} days")
            elif progress.step and progress.step.startswith("engagement") and not progress.step.endswith("checks"):
                doing = f"Building {progress.step.removeprefix('engagement__')}"
                bar.update(task, description=doing)
                _line(doing)

        _line(title)
        yield tell
        bar.update(task, description=title)


def _line(text: str) -> None:
    """Say it where no bar does: in a pipe, a log or a service's journal."""
    if not err.is_terminal:
        err.print(text, soft_wrap=True, highlight=False)


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
    """A table that reads well in 80 columns, in fewer without its events; what rests on too few runs is dimmed."""
    from topo_pipeline.report.leaderboard import rate_with_interval

    window = get_settings().rules.reply_window_days
    table = Table(
        title="Sequences, best first by what their reply rate is at least",
        caption="Reply rate, with its 95 % interval: contacted runs with a valid reply\n"
        f"within {window} days, of those whose {window} days are over. Dimmed: too few to tell.",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    counts = ("contacted", "messages", "opens", "replies") if out.width >= NARROW else ("contacted",)
    table.add_column("Sequence", min_width=16)
    for heading in (*(count.capitalize() for count in counts), "Reply rate"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in board.to_dict("records"):
        table.add_row(
            escape(row["sequence"]),
            *(f"{row[count]:,}" for count in counts),
            rate_with_interval(row["reply_rate"], row["reply_rate_low"], row["reply_rate_high"]),
            style="dim" if row["evidence"] in {"none", "too_small"} else None,
        )
    return table


def _relative(path: str) -> str:
    target = Path(path)
    return str(target.relative_to(Path.cwd())) if target.is_relative_to(Path.cwd()) else path


def _dagster_dev(port: int, environment: dict[str, str | None]) -> int:
    """Run Dagster's UI and daemon until they end, or until a signal tells us to end them."""
    from topo_pipeline.instance import prepare

    settings = get_settings()
    workspace = prepare(settings.dagster_home)
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(workspace), "-p", str(port)]
    told = {
        **{name: value for name, value in environment.items() if value is not None},
        "DAGSTER_HOME": str(settings.dagster_home),
        "TOPO_WAREHOUSE": settings.warehouse,
        "TOPO_REPORT_DIR": str(settings.report_dir),
        "TOPO_RULES": str(settings.rules_file or ""),
        # dg dev supersedes it, but is no part of what an installed package brings.
        "PYTHONWARNINGS": "ignore:Function `dev_command` is superseded",
    }
    for number in _ENDINGS:
        signal.signal(number, signal.default_int_handler)
    # Away from .env, which Dagster would let overrule all this; in a session of its own, so that Ctrl-C reaches it
    # once, through us.
    with subprocess.Popen(command, env=told, cwd=settings.dagster_home, start_new_session=True) as process:  # noqa: S603
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            return process.wait()


def _wait_for_signal() -> None:
    stop = threading.Event()
    for number in _ENDINGS:
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
