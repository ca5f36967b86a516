"""Output that all commands share: results on stdout, everything else on stderr, each error as one sentence."""

import json
import logging
import os
import re
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console, ConsoleDimensions
from rich.markup import escape

from topo_pipeline.common.commands import pasteable
from topo_pipeline.common.text import in_json, one_line
from topo_pipeline.topo_api.errors import TopoError
from topo_pipeline.warehouse.errors import WarehouseError

if TYPE_CHECKING:
    from topo_pipeline.settings import Settings
    from topo_pipeline.warehouse.connection import Warehouse

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 5.0  # seconds to wait while another process writes to the warehouse
_UNBOUNDED = 1000  # columns
_LONGEST = 10_000  # characters: a sentence may list every day of a year
Value = TypeVar("Value")


class _Console(Console):
    """A console as wide as the terminal. In a pipe, nothing is cut, wrapped or padded with spaces."""

    @property
    def size(self) -> ConsoleDimensions:
        return super().size if self.is_terminal else ConsoleDimensions(_UNBOUNDED, super().size.height)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        raise NotImplementedError

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does, with the organization in commands. In a pipe, no line ends in spaces."""
        objects = tuple(pasteable(each) if isinstance(each, str) else each for each in objects)
        if self.is_terminal:
            super().print(*objects, **options)
        else:
            with self.capture() as printed:
                super().print(*objects, **options)
            try:
                self.file.write(re.sub(" +$", "", printed.get(), flags=re.MULTILINE))
                self.file.flush()
            except BrokenPipeError:  # the reader has closed the pipe, as head does
                self.on_broken_pipe()

    def say(self, text: str) -> None:
        """Print text as it is. Its lines can be copied, because they are not wrapped in a narrow terminal."""
        self.print(text, soft_wrap=True, markup=False)


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, for scripts.")]
out = _Console(highlight=False)
err = _Console(highlight=False, stderr=True)


def now() -> datetime:
    """Return the current time (UTC). The command line reads the clock only here."""
    return datetime.now(UTC)


def get_settings() -> "Settings":
    """Return the settings of this process. Importing them takes longer than `--help`."""
    from topo_pipeline.settings import get_settings

    return get_settings()


def get_warehouse() -> "Warehouse":
    """Return the warehouse of the settings. Importing it takes longer than `--help`."""
    from topo_pipeline.warehouse.connection import Warehouse

    return Warehouse.of(get_settings())


@contextmanager
def report_errors() -> Iterator[None]:
    """Print an error that the user can fix as one sentence, and exit with 1."""
    from topo_pipeline.orchestration.errors import HomeUnusable, UnderWay
    from topo_pipeline.settings import OrganizationError, SettingsError

    try:
        yield
    except OrganizationError as error:
        if not error.choices:
            fail(str(error))
        example = shlex.join(["--organization", error.choices[0], *sys.argv[1:]])
        fail(f"{error} For example: {program()} {example}", 2)
    except (HomeUnusable, UnderWay, SettingsError, TopoError, WarehouseError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.strerror}: {error.filename}" if error.filename else str(error))
    except ModuleNotFoundError as error:
        if error.name not in {"fastapi", "uvicorn"}:
            raise
        fail("The sandbox is not installed. It is the extra sandbox of this package (make install).")


def print_error(sentence: str, details: Sequence[str] = ()) -> None:
    """Print an error, and its details on indented lines."""
    err.print(f"[red]topo-pipeline:[/] {escape(one_line(sentence, _LONGEST))}", soft_wrap=True)
    for detail in details:
        err.say(f"  {one_line(detail, _LONGEST)}")


def print_warning(sentence: str) -> None:
    """Print a warning."""
    err.print(f"[yellow]{escape(one_line(sentence, _LONGEST))}[/]", soft_wrap=True)


def fail(sentence: str, code: int = 1) -> NoReturn:
    """Print an error and exit with `code`. Use 2 for bad arguments."""
    print_error(sentence)
    raise typer.Exit(code)


@contextmanager
def quiet() -> Iterator[None]:
    """Hide log messages below errors, such as retries: the command reports the result."""
    log = logging.getLogger("topo_pipeline")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


@contextmanager
def own_stderr() -> Iterator[None]:
    """Keep printing to the current stderr: Dagster redirects the process's streams to its log while a step runs."""
    with os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8") as own:
        err.file = own
        try:
            yield
        finally:
            err.file = sys.stderr


def by_day(values: Mapping[date, Value]) -> dict[str, Value]:
    """Return the mapping with its days as text, for JSON."""
    return {str(day): value for day, value in values.items()}


def show_json(value: object) -> None:
    """Print one JSON document on stdout."""
    typer.echo(in_json(json.dumps(value, default=_plain, ensure_ascii=False, indent=2)))


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def print_line(text: str) -> None:
    """Print a progress line where there is no progress bar: in a pipe or a log."""
    if not err.is_terminal:
        err.say(text)


def program() -> str:
    """Return what to type to run this command: its name if the shell finds it, else its path."""
    own, found = Path(sys.argv[0]).absolute(), shutil.which("topo-pipeline")
    is_found = found is not None and own.exists() and own.samefile(found)
    return "topo-pipeline" if is_found or not own.exists() else shlex.quote(relative(str(own)))


def relative(path: str) -> str:
    """Return the path relative to the current folder if it is inside it, else unchanged."""
    target = Path(path)
    return str(target.relative_to(Path.cwd())) if target.is_relative_to(Path.cwd()) else path
