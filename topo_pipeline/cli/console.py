"""What every command says, and how: results to one stream, the rest to the other, errors in one sentence."""

import json
import logging
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import typer
from rich.console import Console, ConsoleDimensions
from rich.markup import escape

from topo_pipeline.settings import SettingsError
from topo_pipeline.text import in_json, one_line

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_UNBOUNDED = 1000  # columns
_LONGEST = 10_000  # characters of a sentence, which may name every day of a year
Value = TypeVar("Value")


class _Console(Console):
    """As wide as the terminal; in a pipe nothing is cut or wrapped."""

    @property
    def size(self) -> ConsoleDimensions:
        return super().size if self.is_terminal else ConsoleDimensions(_UNBOUNDED, super().size.height)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        raise NotImplementedError


AsJson = Annotated[bool, typer.Option("--json", help="One JSON document, for scripts.")]
out = _Console()
err = _Console(stderr=True)


def now() -> datetime:
    """The instant it is (UTC): the command line is an edge, and reads the clock here alone."""
    return datetime.now(UTC)


@contextmanager
def clear_errors() -> Iterator[None]:
    """Say what a person can mend in one sentence, and exit with 1."""
    from topo_pipeline.instance import HomeUnusable, UnderWay
    from topo_pipeline.topo_api.errors import TopoError
    from topo_pipeline.warehouse.errors import WarehouseError

    try:
        yield
    except (HomeUnusable, UnderWay, SettingsError, TopoError, WarehouseError, OSError) as error:
        fail(str(error))
    except ModuleNotFoundError as error:
        if error.name not in {"fastapi", "uvicorn"}:
            raise
        fail("The sandbox needs its extra: pip install 'topo-pipeline[sandbox]'.")


def complain(sentence: str) -> None:
    """Say what went wrong."""
    err.print(f"[red]topo-pipeline:[/] {escape(one_line(sentence, _LONGEST))}", soft_wrap=True, highlight=False)


def warn(sentence: str) -> None:
    """Say what a person should know although it worked."""
    err.print(f"[yellow]{escape(one_line(sentence, _LONGEST))}[/]", soft_wrap=True, highlight=False)


def fail(sentence: str, code: int = 1) -> NoReturn:
    """Say what went wrong, and exit with `code`: 2 where the command was mistyped."""
    complain(sentence)
    raise typer.Exit(code)


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out what is logged on the way, such as each try: the command tells what came of it."""
    log = logging.getLogger("topo_pipeline")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Say what is said where it is said now: while a step runs, Dagster takes the process's streams for its own log."""
    with os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8") as own:
        err.file = own
        try:
            yield
        finally:
            err.file = sys.stderr


def counted(number: int, what: str) -> str:
    """So many of them, in words that agree."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def by_day(values: Mapping[date, Value]) -> dict[str, Value]:
    """Values by their days, as JSON takes them."""
    return {str(day): value for day, value in values.items()}


def show_json(value: object) -> None:
    """Write what a script reads: one JSON document, alone on its stream."""
    typer.echo(in_json(json.dumps(value, default=_plain, ensure_ascii=False, indent=2)))


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def line(text: str) -> None:
    """Say it where no bar does: in a pipe, a log or a service's journal."""
    if not err.is_terminal:
        err.print(text, soft_wrap=True, highlight=False)


def relative(path: str) -> str:
    """A path as short as it can be told from here."""
    target = Path(path)
    return str(target.relative_to(Path.cwd())) if target.is_relative_to(Path.cwd()) else path
