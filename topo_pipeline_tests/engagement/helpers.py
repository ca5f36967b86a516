"""A workspace to land days in, and activities to land; whatever is not said is plain and the same every time."""

import functools
import json
import re
import shutil
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from duckdb import DuckDBPyConnection

from topo_pipeline.engagement import building, macros
from topo_pipeline.engagement.building import Built, build
from topo_pipeline.engagement.rules import DEFAULT_RULES, Rules
from topo_pipeline.engagement.tables import in_order, tables
from topo_pipeline.warehouse import instances, sql
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.erasure import has_erased_subjects
from topo_pipeline.warehouse.landing import Load, ReadDay, land_list
from topo_pipeline.warehouse.ledger import mark_unproved
from topo_pipeline.warehouse.places import LakeStorage
from topo_pipeline_tests.warehouse.builders import buffer_for, land_from, land_new_days, landing_in

# Every table that has a script, each after its upstream tables.
TABLES = tuple(table.name for table in in_order())
# The incremental ones. The others are rebuilt from scratch each time.
KEPT = tuple(name for name in TABLES if tables()[name].is_incremental)
# The daily table and those that it is made of.
DAILY = ("sequence_activity", "sequence_runs", "sequence_daily")
# Companion tables that only record what has changed since a build.
CHANGES_BESIDE = ("sequence_firsts", "sequence_cohorts_known")
# The other companion tables.
KEPT_BESIDE = tuple(
    beside for table in in_order() for beside in table.comments() if beside not in (table.name, *CHANGES_BESIDE)
)
_NAMED = re.compile(r"\bengagement\.(\w+)")
_NO_REJECTS = pd.DataFrame({"raw": [], "reason": [], "id": []}, dtype=object)
CLOCK_STARTS = datetime(2026, 6, 1, tzinfo=UTC)

Row = dict[str, Any]
Test = TypeVar("Test", bound=Callable[..., None])


@functools.cache
def uid(name: str) -> str:
    """The id that a name always gets."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))


def march(day: int, hour: int = 9, minute: int = 0, second: int = 0) -> datetime:
    """A moment in March 2026, UTC; days before the 1st and after the 31st are those of the months around it."""
    return datetime(2026, 3, 1, hour, minute, second, tzinfo=UTC) + timedelta(days=day - 1)


@dataclass(frozen=True)
class Activity:
    """What Topo recorded. `run`, `sequence`, `person`, `message` and `task` are names; None is a null on the wire."""

    type: str | None
    created_at: datetime
    run: str | None = "A"
    sequence: str | None = "outbound"
    person: str | None = "Ada"
    channel: str | None = None
    category: str | None = None
    salt: str = ""
    snake_case: bool = False
    message: str | None = None
    step: int | None = None
    task: str | None = None

    @property
    def id(self) -> str:
        """Stays when a reply is labelled otherwise."""
        return uid(f"{self.type} {self.created_at} {self.run} {self.sequence} {self.salt}")

    @property
    def payload(self) -> str:
        """Its JSON, in either of the API's spellings; what is None is missing."""
        spelling = 0 if self.snake_case else 1
        named = {
            ("person_id", "personId"): self.person,
            ("sequence_id", "sequenceId"): self.run,
            ("sequence_template_id", "sequenceTemplateId"): self.sequence,
            ("message_id", "messageId"): self.message,
            ("task_id", "taskId"): self.task,
        }
        details = {("reply_category", "replyCategory"): self.category, ("step_number", "stepNumber"): self.step}
        wire: dict[str, Any] = {"type": self.type, "channel": self.channel}
        wire |= {keys[spelling]: uid(name) for keys, name in named.items() if name is not None}
        wire["metadata"] = {keys[spelling]: value for keys, value in details.items() if value is not None} or None
        return json.dumps({name: value for name, value in wire.items() if value is not None})

    def relabelled(self, category: str) -> "Activity":
        return replace(self, category=category)

    def of_case(self, case: str) -> "Activity":
        """The same of a run and a sequence that only this case has."""
        run, sequence = (None if name is None else f"{case} {name}" for name in (self.run, self.sequence))
        return replace(self, run=run, sequence=sequence)


def enrolled(at: datetime, run: str | None = "A", **details: Any) -> Activity:
    return Activity("sequence.created", at, run, **details)


def sent(at: datetime, run: str | None = "A", **details: Any) -> Activity:
    return Activity("message.sent", at, run, **{"channel": "EMAIL"} | details)


def opened(at: datetime, run: str | None = "A", **details: Any) -> Activity:
    return Activity("message.opened", at, run, **details)


def replied(at: datetime, run: str | None = "A", **details: Any) -> Activity:
    return Activity("message.replied", at, run, **{"channel": "EMAIL"} | details)


def by_day(activities: Iterable[Activity], zone: str = "UTC") -> dict[date, list[Activity]]:
    """Each activity under the day on which its zone's clocks saw it."""
    days: dict[date, list[Activity]] = {}
    for activity in activities:
        days.setdefault(activity.created_at.astimezone(ZoneInfo(zone)).date(), []).append(activity)
    return days


class Cases:
    """What happened in the tests of a module that share one workspace, each with runs and sequences of its own.

    A table's rows of one sequence do not depend on other sequences. They do depend on the landed days, on which days
    are open and on the rules: a test that needs other ones than the rest of its module has a workspace of its own.
    """

    def __init__(self) -> None:
        self.activities: list[Activity] = []
        self.later: list[Activity] = []
        self._added = 0
        self._of_test: dict[str, str] = {}

    def add(self, *activities: Activity, later: Iterable[Activity] | None = None) -> str:
        """Add a case, for a parameter of the fixture `case`; return its name.

        `later` is what happened in it as it is read after the first build, if that differs.
        """
        self._added += 1
        name = f"case {self._added}"
        self.activities += [activity.of_case(name) for activity in activities]
        self.later += [activity.of_case(name) for activity in (activities if later is None else later)]
        return name

    def happened(self, *activities: Activity, later: Iterable[Activity] | None = None) -> Callable[[Test], Test]:
        """Decorate a test that uses the fixture `case`, and `case_later` if `later` is given: this happened in it."""

        def decorate(test: Test) -> Test:
            self._of_test[test.__name__] = self.add(*activities, later=later)
            return test

        return decorate

    def of(self, test: str) -> str:
        """The name of a decorated test's case."""
        return self._of_test[test]


@dataclass
class Workspace:
    """A warehouse whose days the test lands and whose tables it builds; its clock ticks once a load.

    Of the tables that a test has built, those that it looks at are made, and what they are made of, when it looks: most
    tests look at one, and to make all of them is most of a test's time. A load and the next build find those made that
    are incremental; the others are rebuilt from scratch anyway. A statement of the test's own finds all of them made.
    """

    target: str
    zone: str = "UTC"
    rules: Rules = DEFAULT_RULES
    now: datetime = CLOCK_STARTS
    stale: set[date] = field(default_factory=set)
    case: str | None = None
    storage: LakeStorage | None = None  # of a shared lake
    _due: dict[str, Callable[[DuckDBPyConnection], Built]] = field(default_factory=dict)
    _passed_over: set[str] = field(default_factory=set)
    _read: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def of_case(self, case: str) -> "Workspace":
        """The same workspace, to look at one of the cases in it by the names that the case was written with."""
        return replace(self, case=case)

    def copied(self, folder: Path) -> "Workspace":
        """A copy in a folder, to be changed. Every table that is due is made first."""
        return replace(
            self,
            target=str(shutil.copy(self.warehouse.name, folder)),
            stale=set(self.stale),
            _due={},
            _passed_over=set(self._passed_over),
            _read={},
        )

    @property
    def warehouse(self) -> Warehouse:
        if self._due:
            with self.seeing(*TABLES):
                pass
        return self._warehouse

    @property
    def _to_be_changed(self) -> Warehouse:
        """The warehouse, before a load or the next build."""
        if self._due:
            with self.seeing(*KEPT):
                self._passed_over |= self._due.keys()
                self._due.clear()
        return self._warehouse

    @property
    def _warehouse(self) -> Warehouse:
        return Warehouse(self.target, storage=self.storage)

    def land(
        self,
        day: date,
        activities: Iterable[Activity] = (),
        *,
        is_open: bool = False,
        proved: bool = True,
        finished_at: datetime | None = None,
    ) -> None:
        """Make the warehouse hold exactly these activities of the day."""
        with landing_in(self._to_be_changed) as (_, land):
            self._land(land, self._reading(day, list(activities), is_open, proved), finished_at)

    def land_all(
        self,
        activities: Iterable[Activity],
        *quiet: date,
        still_open: date | None = None,
        open_days: Collection[date] = (),
        unproved_days: Collection[date] = (),
    ) -> None:
        """Land every day that something happened on, and the quiet days."""
        days: dict[date, list[Activity]] = dict.fromkeys(quiet, []) | by_day(activities, self.zone)
        loads = [(day, days[day]) for day in sorted(days)]
        self.land_each(loads, still_open, open_days=open_days, unproved_days=unproved_days)

    def land_each(
        self,
        loads: Iterable[tuple[date, list[Activity]]],
        still_open: date | None = None,
        *,
        open_days: Collection[date] = (),
        unproved_days: Collection[date] = (),
    ) -> None:
        """Land one version of a day after the other. `still_open` is one more open day."""
        reads = [
            self._reading(day, version, day == still_open or day in open_days, day not in unproved_days)
            for day, version in loads
        ]
        warehouse = self._to_be_changed
        with buffer_for(warehouse) as buffer, warehouse.transaction(buffer=buffer) as connection:
            landed = {day for (day,) in connection.execute("SELECT day FROM topo.loads").fetchall()}
            if len({read.day for read in reads} - landed) == len(reads) and not has_erased_subjects(connection):
                land_new_days(buffer, [self._at_next_tick(read) for read in reads], "a run")
            else:
                for read in reads:
                    self._land(functools.partial(land_from, buffer), read)

    def _land(self, land: Callable[..., Load], read: ReadDay, finished_at: datetime | None = None) -> None:
        read, now = self._at_next_tick(read)
        land(read, finished_at or now, "a run")

    def _at_next_tick(self, read: ReadDay) -> tuple[ReadDay, datetime]:
        self.now += timedelta(minutes=1)
        self.stale.add(read.day)
        return replace(read, started_at=self.now), self.now

    def withdraw_proof(self, *days: date) -> None:
        """Mark days as not proved, without a load. What is due of an earlier build comes first."""
        with self._to_be_changed.transaction() as connection:
            mark_unproved(connection, days)

    def name(self, status: str | None = "ACTIVE", /, **names: str | None) -> None:
        """Give sequences the names and the status that the API has for them."""
        frame = pd.DataFrame(
            {"id": [uid(key) for key in names], "name": list(names.values()), "status": status, "step_count": 3}
        )
        with self._to_be_changed.transaction() as connection:
            land_list(connection, "sequence_templates", frame, now=self.now)

    def build(self, *names: str, rules: Rules | None = None, full_refresh: bool = False) -> dict[str, Built]:
        """Build these tables (else all of them, as they are looked at), the daily one over the days landed since."""
        _ = self._to_be_changed  # what is due of an earlier build comes first
        self._read.clear()
        self._passed_over -= {*(names or TABLES)}
        how = {
            "timezone": self.zone,
            "now": self.now,
            "rules": rules or self.rules,
            "days": sorted(self.stale),
            "full_refresh": full_refresh,
        }
        for name in names or TABLES:
            self._due[name] = functools.partial(build, table=tables()[name], **how)
        if "sequence_activity" in self._due:
            self.stale.clear()
        if not names:
            return {}
        with self._warehouse.transaction() as connection:
            return self._make(connection, *names, counted=True)

    def _make(self, connection: DuckDBPyConnection, *names: str, counted: bool = False) -> dict[str, Built]:
        """Make what is due of these tables, and of those that they are made of."""
        assert not self._passed_over & made_of(*names), "A load came between the build and this look at its rows."
        due = [name for name in self._due if name in made_of(*names)]
        with quick_builds(counted=counted):
            return {name: self._due.pop(name)(connection) for name in due}

    @contextmanager
    def seeing(self, *names: str) -> Iterator[DuckDBPyConnection]:
        """A connection that sees these tables made. Those of `warehouse` see every table made."""
        warehouse, due = self._warehouse, dict(self._due)
        try:
            with warehouse.transaction() if due.keys() & made_of(*names) else warehouse.reader() as connection:
                self._make(connection, *names)
                yield connection
        except BaseException:  # what was made is rolled back
            self._due.clear()
            self._due.update(due)
            raise

    def select(self, sql: str) -> list[tuple[Any, ...]]:
        """Query the tables that the statement names, or all of them if it is about the tables themselves."""
        named = {*TABLES} if "duckdb_" in sql or "engagement.builds" in sql else named_in(sql)
        with self.seeing(*named) as connection:
            return connection.execute(sql).fetchall()

    def rows(self, table: str) -> list[dict[str, Any]]:
        """The table's rows in an order of their own, so that equal tables are equal lists; read once a build."""
        if table not in self._read:
            with self.seeing(table) as connection:
                found = _rows(connection, table)
            self._read[table] = found
        return self._read[table]

    def all_rows(self) -> dict[str, list[dict[str, Any]]]:
        """The rows of every table. Of sequence_firsts those with a count, without their loads: the rest is history."""
        with self.seeing(*TABLES) as connection:
            found = {name: _rows(connection, name) for name in (*TABLES, *KEPT_BESIDE, *CHANGES_BESIDE)}
        for row in found["sequence_firsts"]:
            del row["load_id"]
        key = ("sequence_template_id", "day")
        counted = [row for row in found["sequence_firsts"] if any(row[name] for name in row if name not in key)]
        return found | {"sequence_firsts": counted}

    def rows_of(self, table: str, sequence: str | None = "outbound") -> list[Row]:
        """The table's rows of one sequence."""
        return [row for row in self.rows(table) if is_of(row, self._name(sequence))]

    def _name(self, name: str | None) -> str | None:
        """The name of a run or a sequence in the workspace."""
        return name if self.case is None or name is None else f"{self.case} {name}"

    def daily(self, sequence: str | None = "outbound") -> dict[date, dict[str, Any]]:
        """The daily rows of one sequence, by day."""
        return {row["day"]: row for row in self.rows_of("sequence_daily", sequence)}

    def run(self, name: str = "A", sequence: str | None = "outbound") -> dict[str, Any]:
        """The one row of a run."""
        id_ = uid(self._name(name) or "")
        (row,) = (row for row in self.rows_of("sequence_runs", sequence) if row["sequence_id"] == id_)
        return row

    def summary(self, sequence: str | None = "outbound", period: str = "lifetime") -> dict[str, Any]:
        """The one row of a sequence and period."""
        (row,) = (row for row in self.rows_of("sequence_summary", sequence) if row["period"] == period)
        return row

    def channel(self, channel: str = "EMAIL", period: str = "lifetime", sequence: str | None = "outbound") -> Row:
        """The one row of a sequence's channel and period."""
        rows = self.rows_of("sequence_channels", sequence)
        (row,) = (row for row in rows if (row["channel"], row["period"]) == (channel, period))
        return row

    def steps(self, sequence: str | None = "outbound") -> dict[tuple[int | None, int | None, str], Row]:
        """A sequence's rows by step, inferred position and channel."""
        rows = self.rows_of("sequence_steps", sequence)
        return {(row["step"], row["inferred_position"], row["channel"]): row for row in rows}

    def cohorts(self, axis: str = "sent", sequence: str | None = "outbound") -> dict[date, dict[str, Any]]:
        """The cohorts of one sequence and axis, by day."""
        rows = self.rows_of("sequence_cohorts", sequence)
        return {row["cohort_day"]: row for row in rows if row["axis"] == axis}

    def trend(self, sequence: str | None = "outbound") -> dict[date, dict[str, Any]]:
        """The weeks of one sequence, by their Monday."""
        rows = self.rows_of("sequence_trends", sequence)
        return {row["week_start"]: row for row in sorted(rows, key=lambda row: row["week_start"])}

    def _reading(self, day: date, activities: list[Activity], is_open: bool, proved: bool) -> ReadDay:
        start = datetime.combine(day, time.min, ZoneInfo(self.zone))
        return ReadDay(
            day=day,
            asked_after=start - timedelta(seconds=1),
            asked_before=datetime.combine(day + timedelta(days=1), time.min, ZoneInfo(self.zone)),
            is_open=is_open,
            proved=proved,
            api_total_count=len(activities),
            requests=1,
            started_at=self.now,
            activities=[(activity.id, activity.created_at, activity.payload) for activity in activities],
            channels={},
            rejects=_NO_REJECTS,
        )


def drop_all_but(warehouse: Warehouse, *names: str) -> None:
    """Drop all metric tables but these and those that they are made of, as it takes long to rebuild or publish all."""
    with warehouse.transaction() as connection:
        for name in {*TABLES} - made_of(*names):
            connection.execute(f"DROP TABLE engagement.{name}")


@contextmanager
def without_comments() -> Iterator[None]:
    """Leave out the 900 comments of a build, which cost half of it if there are few rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "_comment", lambda *_: None)
        yield


@contextmanager
def quick_builds(*, counted: bool) -> Iterator[None]:
    """Define the macros once for all builds of a transaction.

    Args:
        counted: Whether rows are counted, as a caller may look at what the builds return.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(macros, "define", functools.cache(macros.define))
        if not counted:
            patch.setattr(building, "_count", lambda *_: (0, {}))
        yield


@contextmanager
def with_threads() -> Iterator[None]:
    """Use DuckDB with as many threads as in production."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(instances, "SESSION", sql.SESSION)
        patch.setattr(instances, "_IDLE", defaultdict(list))  # DuckDB's instances keep the setting
        yield


def named_in(sql: str) -> set[str]:
    """The metric tables that a statement names."""
    return {*_NAMED.findall(sql)}


@functools.cache
def made_of(*names: str) -> set[str]:
    """The tables whose scripts make these, and all that those are made of."""
    makers = [table for table in tables().values() if table.comments().keys() & set(names)]
    above = {read for table in makers for schema, read in table.reads if schema == "engagement"}
    return {*(table.name for table in makers), *made_of(*above)} if makers else set()


def is_of(row: dict[str, Any], sequence: str | None) -> bool:
    return bool(row["sequence_template_id"] == (None if sequence is None else uid(sequence)))


def _rows(connection: DuckDBPyConnection, table: str) -> list[dict[str, Any]]:
    found = connection.execute(f"FROM engagement.{table}")  # noqa: S608
    names = [column[0] for column in found.description]
    return sorted((dict(zip(names, map(_plain, row), strict=True)) for row in found.fetchall()), key=repr)


def canonical(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows as they compare with others that were computed elsewhere: any order, shares to nine digits."""
    return sorted(({name: _comparable(row[name]) for name in sorted(row)} for row in rows), key=repr)


def _comparable(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return round(value, 9) + 0.0 if isinstance(value, float) else value  # 0.0 and -0.0 sort differently


def _plain(value: object) -> object:
    return str(value) if isinstance(value, uuid.UUID) else value


def begun(sequence: str, day: int, runs: int = 1) -> list[Activity]:
    """Runs of a sequence that begin on a day of March, each with its first message."""
    names = [f"{sequence} {n}" for n in range(runs)]
    return [
        *(enrolled(march(day, 8), run, sequence=sequence) for run in names),
        *(sent(march(day), run, sequence=sequence, step=1) for run in names),
    ]
