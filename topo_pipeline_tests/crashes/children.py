"""Functions for processes that are killed, run concurrently, or have no disk space."""

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

from topo_pipeline.engagement.building import build
from topo_pipeline.engagement.tables import tables
from topo_pipeline.ingest.loading import Refusal, load_days
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline.warehouse.landing import Load
from topo_pipeline_tests.conftest import PATIENCE
from topo_pipeline_tests.crashes.source import DAYS, Version, client, days_of
from topo_pipeline_tests.warehouse.builders import LATER, activity, landing_in, reading

Point = tuple[str, int]  # an operation and its occurrence number, as threads run in any order


class PointRecorder:
    """Reports a process's operations on the API and the warehouse. Kills the process just before the kill point."""

    def __init__(self, kill_point: Point | None, report: Callable[[str], None]) -> None:
        self._kill_point = kill_point
        self._report = report
        self._times: Counter[str] = Counter()
        self._one_at_a_time = threading.Lock()

    def reach(self, name: str) -> None:
        with self._one_at_a_time:
            self._times[name] += 1
            if (name, self._times[name]) == self._kill_point:
                os.kill(os.getpid(), signal.SIGKILL)
            self._report(name)

    def observe_process(self) -> None:
        """Report all operations of this process from now on."""
        duckdb.connect = functools.partial(_ObservedConnection.connect, self, duckdb.connect)
        send_request = httpx.AsyncHTTPTransport.handle_async_request

        async def observed_request(transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
            self.reach(f"request {request.url.path}")
            response = await send_request(transport, request)
            self.reach(f"response from {request.url.path}")
            return response

        httpx.AsyncHTTPTransport.handle_async_request = observed_request


class _ObservedConnection:
    """A connection that reports each call, and the end of each COMMIT."""

    def __init__(self, points: PointRecorder, connection: duckdb.DuckDBPyConnection) -> None:
        self._points, self._connection = points, connection

    @classmethod
    def connect(
        cls, points: PointRecorder, connect: Callable[..., duckdb.DuckDBPyConnection], **options: Any
    ) -> "_ObservedConnection":
        points.reach("connect")
        return cls(points, connect(**options))

    def cursor(self) -> "_ObservedConnection":
        return _ObservedConnection(self._points, self._connection.cursor())

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            statement = re.sub("'.*?'", "'…'", str(arguments[0] if arguments else ""))  # each load has its own paths
            self._points.reach(" ".join([name, *statement.split()[:4]]))
            result = getattr(self._connection, name)(*arguments, **named)
            if name == "commit":
                self._points.reach("committed")
            return self if result is self._connection else result

        return call


def load(target: str, api_url: str, now: datetime, kill_point: Point | None, pipe: Any) -> None:
    """Read and land the three days. Report each point, and be killed at `kill_point`."""
    points = PointRecorder(kill_point, pipe.send)
    points.observe_process()
    for outcome in _load(target, api_url, now):
        points.reach(f"landed {outcome.day}")


def _load(target: str, api_url: str, now: datetime) -> Iterator[Load | Refusal]:
    tempfile.tempdir = str(Path(target).parent)  # where the buffers of a killed process remain
    numbers = itertools.count(1)
    uuid.uuid4 = lambda: uuid.UUID(int=next(numbers))  # so that each load writes the same bytes
    return load_days(
        lambda: client(api_url, now),
        Warehouse(target),
        days_of(DAYS),
        run_id="2 killed",
        clock=lambda: now,
        timezone="UTC",
    )


def load_with_size_limit(target: str, api_url: str, now: datetime, largest_file: int, pipe: Any) -> None:
    """Read and land the three days with a limit on the size of files. Send the outcomes or the error."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    try:
        for outcome in _load(target, api_url, now):
            pipe.send(f"landed {outcome.day}")
    except WarehouseError as error:
        pipe.send(str(error))


def land_with_size_limit(target: str, count: int, room: int, pipe: Any) -> None:
    """Land a day of `count` activities while the file can grow by `room` bytes. Send the outcome."""
    read = reading(*(activity(number) for number in range(count)))
    largest_file = Path(target).stat().st_size + room
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    try:
        with landing_in(Warehouse(target)) as (_, land):
            land(read, LATER, "2 starved")
        pipe.send("landed")
    except WarehouseError as error:
        pipe.send(str(error))


def load_killed_at_size_limit(target: str, api_url: str, now: datetime, largest_file: int, pipe: Any) -> None:
    """Read and land the three days. The system kills the process during the write that exceeds the limit."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    load_with_size_limit(target, api_url, now, largest_file, pipe)


def write_in_steps(target: str, pipe: Any) -> None:
    """Land versions of days and build `sequence_runs` as requested, one transaction each. Commit when the test says so.

    Sends `waiting` if another process has the file, `inside` before the commit, `committed` after it.
    """
    tempfile.tempdir = str(Path(target).parent)
    _use_short_waits(lambda details: pipe.send("waiting") if details.retry_num == 1 else None)
    for action, *arguments in iter(pipe.recv, None):
        with landing_in(Warehouse(target, wait_seconds=PATIENCE)) as (connection, land):
            if action == "build":
                _build_runs(connection, *arguments)
            else:
                _land_version(land, *arguments)
            pipe.send("inside")
            pipe.recv()
        pipe.send("committed")


def land_versions(target: str, pipe: Any) -> None:
    """Land all days of each version that the test sends, and send `landed` after each."""
    tempfile.tempdir = str(Path(target).parent)
    _use_short_waits()
    clock = (LATER - timedelta(minutes=n) for n in itertools.count())  # a clock that is behind
    for version in iter(pipe.recv, None):
        for day in DAYS:
            with landing_in(Warehouse(target, wait_seconds=PATIENCE)) as (_, land):
                _land_version(land, version, day, next(clock))
        pipe.send("landed")


def build_repeatedly(target: str, pipe: Any) -> None:
    """Build `sequence_runs` until the test sends something. Send `built` after each build."""
    _use_short_waits()
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


def _use_short_waits(on_waiting: Callable[[RetryDetails], None] = lambda _: None) -> None:
    """Retry a locked file almost at once in this process, so that operations interleave in many ways."""
    stamina.instrumentation.set_on_retry_hooks([on_waiting])
    short_waits = {"wait_initial": 0.001, "wait_max": 0.005, "wait_jitter": 0.005}
    retry = stamina.retry_context
    stamina.retry_context = lambda **arguments: retry(**arguments | short_waits)
