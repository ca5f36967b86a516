"""What the processes do that are killed, run at the same time as others, or have no room to write."""

import functools
import itertools
import os
import re
import resource
import signal
import tempfile
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import httpx
import stamina.instrumentation
from duckdb import DuckDBPyConnection
from stamina.instrumentation import RetryDetails

from topo_pipeline.engagement.tables import build, tables
from topo_pipeline.ingest.loading import Refusal, load_days
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline.warehouse.landing import Load
from topo_pipeline_tests.conftest import PATIENCE
from topo_pipeline_tests.crashes.source import DAYS, Version, client, days_of
from topo_pipeline_tests.warehouse.builders import LATER, activity, landing_in, reading

Point = tuple[str, int]  # what a process does, and which time it does it: threads do things in any order


class Points:
    """Tells what a process does to the API and to the warehouse; at the chosen point it is killed before it does."""

    def __init__(self, fatal: Point | None, tell: Callable[[str], None]) -> None:
        self._fatal = fatal
        self._tell = tell
        self._times: Counter[str] = Counter()
        self._one_at_a_time = threading.Lock()

    def reach(self, name: str) -> None:
        with self._one_at_a_time:
            self._times[name] += 1
            if (name, self._times[name]) == self._fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            self._tell(name)

    def watch(self) -> None:
        """Tell it from now on, of all of this process."""
        duckdb.connect = functools.partial(_Watched.connect, self, duckdb.connect)
        ask = httpx.AsyncHTTPTransport.handle_async_request

        async def told(transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
            self.reach(f"ask {request.url.path}")
            response = await ask(transport, request)
            self.reach(f"answer of {request.url.path}")
            return response

        httpx.AsyncHTTPTransport.handle_async_request = told


class _Watched:
    """A connection each of whose calls is a point, and what comes after a COMMIT another."""

    def __init__(self, points: Points, connection: duckdb.DuckDBPyConnection) -> None:
        self._points, self._connection = points, connection

    @classmethod
    def connect(cls, points: Points, connect: Callable[..., duckdb.DuckDBPyConnection]) -> "_Watched":
        points.reach("connect")
        return cls(points, connect())

    def cursor(self) -> "_Watched":
        return _Watched(self._points, self._connection.cursor())

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            statement = re.sub("'.*?'", "'…'", str(arguments[0] if arguments else ""))  # paths are each load's own
            self._points.reach(" ".join([name, *statement.split()[:4]]))
            result = getattr(self._connection, name)(*arguments, **named)
            if name == "commit":
                self._points.reach("committed")
            return self if result is self._connection else result

        return call


def load(target: str, api_url: str, now: datetime, fatal: Point | None, pipe: Any) -> None:
    """Read and land the three days, tell each point that is passed, and be killed at the fatal one."""
    points = Points(fatal, pipe.send)
    points.watch()
    for outcome in _load(target, api_url, now):
        points.reach(f"landed {outcome.day}")


def _load(target: str, api_url: str, now: datetime) -> Iterator[Load | Refusal]:
    tempfile.tempdir = str(Path(target).parent)  # the buffers of a killed process stay there
    numbers = itertools.count(1)
    uuid.uuid4 = lambda: uuid.UUID(int=next(numbers))  # each such load writes the same bytes
    return load_days(
        lambda: client(api_url, now),
        Warehouse(target),
        days_of(DAYS),
        run_id="2 killed",
        clock=lambda: now,
        timezone="UTC",
    )


def load_with_little_room(target: str, api_url: str, now: datetime, largest_file: int, pipe: Any) -> None:
    """Read and land the three days where no file can grow beyond a size; send what the pipeline says of it."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    try:
        for outcome in _load(target, api_url, now):
            pipe.send(f"landed {outcome.day}")
    except WarehouseError as error:
        pipe.send(str(error))


def land_with_little_room(target: str, count: int, room: int, pipe: Any) -> None:
    """Land a day of so many activities where the file can grow by so many bytes; send what came of it."""
    read = reading(*(activity(number) for number in range(count)))
    largest_file = Path(target).stat().st_size + room
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    try:
        with landing_in(Warehouse(target)) as (_, land):
            land(read, LATER, "2 starved")
        pipe.send("it was landed")
    except WarehouseError as error:
        pipe.send(str(error))


def load_to_be_torn(target: str, api_url: str, now: datetime, largest_file: int, pipe: Any) -> None:
    """Read and land the three days; the system kills it in the midst of the write that would grow a file further."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    load_with_little_room(target, api_url, now, largest_file, pipe)


def write_step_by_step(target: str, pipe: Any) -> None:
    """Land versions of days and build `sequence_runs` as told, one transaction each, and commit only when told to.

    Says `waiting` where the file is another's, `inside` before the commit, `committed` after it.
    """
    tempfile.tempdir = str(Path(target).parent)
    _wait_briefly(lambda details: pipe.send("waiting") if details.retry_num == 1 else None)
    for what, *terms in iter(pipe.recv, None):
        with landing_in(Warehouse(target, wait_seconds=PATIENCE)) as (connection, land):
            if what == "build":
                _build_runs(connection, *terms)
            else:
                _land_version(land, *terms)
            pipe.send("inside")
            pipe.recv()
        pipe.send("committed")


def land_versions(target: str, pipe: Any) -> None:
    """Land all days of each version that is sent, as fast as the others let it; say when they are landed."""
    tempfile.tempdir = str(Path(target).parent)
    _wait_briefly()
    clock = (LATER - timedelta(minutes=n) for n in itertools.count())  # of a machine that runs behind
    for version in iter(pipe.recv, None):
        for day in DAYS:
            with landing_in(Warehouse(target, wait_seconds=PATIENCE)) as (_, land):
                _land_version(land, version, day, next(clock))
        pipe.send("landed")


def build_again_and_again(target: str, pipe: Any) -> None:
    """Build `sequence_runs` until something is sent; say after each build that it is done."""
    _wait_briefly()
    for number in itertools.count(1):
        with Warehouse(target, wait_seconds=PATIENCE).transaction() as connection:
            _build_runs(connection, LATER + timedelta(minutes=number))
        pipe.send("built")
        if pipe.poll():
            return


def _land_version(land: Callable[..., Load], version: Version, day: date, now: datetime) -> None:
    land(version.read(day), now, "a run", may_shrink=True)


def _build_runs(connection: DuckDBPyConnection, now: datetime) -> None:
    build(connection, tables()["sequence_runs"], timezone="UTC", now=now)


def _wait_briefly(on_waiting: Callable[[RetryDetails], None] = lambda _: None) -> None:
    """In this process: whoever finds the file taken looks again at once, which makes for many ways to interleave."""
    stamina.instrumentation.set_on_retry_hooks([on_waiting])
    briefly = {"wait_initial": 0.001, "wait_max": 0.005, "wait_jitter": 0.005}
    retry = stamina.retry_context
    stamina.retry_context = lambda **terms: retry(**terms | briefly)
