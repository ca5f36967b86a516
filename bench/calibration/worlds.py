"""Simulated workspaces: what happens in them, and the product's own tables built from it on any day.

A workspace is generated with NumPy and put straight into `engagement.sequence_runs` and the tables beside it, in a
DuckDB in memory. `as_of` then makes only the days before a date known and builds the tables with the product's SQL.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from uuid import UUID

import duckdb
import numpy as np
import pandas as pd

from topo_pipeline.engagement.building import build
from topo_pipeline.engagement.rules import DEFAULT_RULES, Rules
from topo_pipeline.engagement.tables import in_order, tables
from topo_pipeline.warehouse.migrate import migrate
from topo_pipeline.warehouse.sql import SESSION

LOADS = """
INSERT INTO topo.loads BY NAME
SELECT
    day, md5(day::VARCHAR)::UUID AS load_id, 'bench' AS run_id, day AS asked_after, day + 1 AS asked_before,
    false AS is_open, true AS proved, 0 AS api_total_count, 0 AS rows, 0 AS added, 0 AS changed, 0 AS removed,
    1 AS requests, 0 AS rejects, $now AS started_at, $now AS finished_at, 0 AS suppressed, false AS count_capped
FROM (SELECT unnest($days::DATE[]) AS day)
"""
"""Statement that records a proved load of each of `$days`."""

FIRST_DAY = date(2024, 1, 1)  # a Monday
NOW = datetime(2030, 1, 1, tzinfo=UTC)
# Time to a reply: lognormal, the median 3.5 days and nine of ten within 15 days, cut at 28.
MEDIAN_DAYS, SPREAD, LONGEST_DAYS = 3.5, np.log(15 / 3.5) / 1.2816, 28.0
WORKING_WEEK = (0.22, 0.22, 0.2, 0.2, 0.16, 0.0, 0.0)
MEETINGS_PER_REPLY = 0.25
JUMP = 0.5  # standard deviation of the logarithm of a lasting change: half of them are by a third or more

_IDS = "CREATE TEMP MACRO id_of(number) AS format('{:032x}', number::BIGINT)::UUID"
# No number depends on the ids of the runs, and random ones are made in a tenth of the time.
_HOLD = """
CREATE OR REPLACE TEMP TABLE contacts AS SELECT *, id_of(sequence) AS template, uuid() AS run FROM given;
INSERT INTO engagement.sequence_runs BY NAME
SELECT template AS sequence_template_id, run AS sequence_id,
    touched AS touched_at, false AS left_censored, false AS start_uncertain
FROM contacts;
INSERT INTO engagement.sequence_responses BY NAME
SELECT template AS sequence_template_id, run AS sequence_id,
    type, CASE type WHEN 'message.replied' THEN 'positive' END AS class, responded_at
FROM (SELECT template, run, replied AS "message.replied", met AS "meeting.created" FROM contacts)
UNPIVOT (responded_at FOR type IN ("message.replied", "meeting.created"));
INSERT INTO engagement.sequence_summary BY NAME
SELECT DISTINCT sequence_template_id, 'lifetime' AS period, 0 AS reply_rate_num, 0 AS reply_rate_den
FROM engagement.sequence_runs;
"""
_RATE = f"""
DELETE FROM engagement.sequence_daily;
DELETE FROM engagement.sequence_cohorts;
INSERT INTO engagement.sequence_daily BY NAME
SELECT id_of(sequence) AS sequence_template_id, DATE '{FIRST_DAY}' AS day FROM given;
INSERT INTO engagement.sequence_cohorts BY NAME
SELECT id_of(sequence) AS sequence_template_id, DATE '{FIRST_DAY}' AS cohort_day, 'touched' AS axis, 0 AS days_unknown,
    den AS members, den AS eligible, num AS reply_rate_num, den AS reply_rate_den
FROM given;
"""  # noqa: S608 - our own names

Counts = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True)
class Plan:
    """How a workspace is generated.

    Attributes:
        weeks: Its length.
        volumes: New contacts a week of each sequence.
        rates: The 30-day reply rate of each sequence.
        variation: Standard deviation of a rate from week to week, as a share of it, each sequence by itself.
        common_variation: The same, common to all sequences.
        growth: Growth of the volumes per week.
        drift: Standard deviation of the weekly steps of a random walk of each sequence's rate, as a share of it.
        jumps: Chance per week that a sequence's rate changes for good, by a lognormal factor (`JUMP`).
        common_jumps: The same for all rates together.
        slower: Factor on the time to a reply from `changes_in` on.
        changes_in: The week in which a change begins.
        factors: Factor on the rate of each sequence from that week on.
        holiday: The two weeks from this one on have few replies, which come after them.
        weekdays: Share of the contacts that are touched first on each weekday.
    """

    weeks: int
    volumes: Sequence[float]
    rates: Sequence[float]
    variation: float = 0.0
    common_variation: float = 0.0
    growth: float = 0.0
    drift: float = 0.0
    jumps: float = 0.0
    common_jumps: float = 0.0
    slower: float = 1.0
    changes_in: int = 0
    factors: Sequence[float] = ()
    holiday: int | None = None
    weekdays: Sequence[float] = WORKING_WEEK


def plan(chance: np.random.Generator, weeks: int, sequences: int = 20) -> Plan:
    """Return a workspace with rates of Beta(3, 47) and 10 to 500 new contacts a week and sequence."""
    volumes = np.exp(chance.uniform(np.log(10), np.log(500), sequences))
    return Plan(weeks, volumes.tolist(), chance.beta(3, 47, sequences).tolist())


@dataclass(frozen=True)
class Contacts:
    """The contacts of a workspace.

    Attributes:
        sequence: The sequence of each.
        touched: The time of its first touch, in days since the first day.
        replied: The same of its reply. NaN: never.
        met: The same of its meeting.
        rates: The reply rate of each sequence (row) in each week (column).
    """

    sequence: Counts
    touched: Floats
    replied: Floats
    met: Floats
    rates: Floats


def simulate(chance: np.random.Generator, how: Plan) -> Contacts:
    """Return the contacts of a plan."""
    weeks = np.arange(how.weeks)
    means = np.outer(how.volumes, (1 + how.growth) ** weeks)
    counts = chance.poisson(means)
    sequence, week = (index.ravel() for index in np.indices(counts.shape))
    sequence, week = np.repeat(sequence, counts.ravel()), np.repeat(week, counts.ravel())
    number = len(sequence)
    day = chance.choice(7, number, p=np.array(how.weekdays) / sum(how.weekdays))
    touched = 7.0 * week + day + chance.uniform(8, 17, number) / 24
    rates = _rates(chance, how)
    slower = np.where(week >= how.changes_in, how.slower, 1.0)
    replied = reply_times(chance, touched, rates[sequence, week], slower)
    if how.holiday is not None:
        replied = around_holiday(chance, replied, 7.0 * how.holiday)
    met = np.where(chance.random(number) < MEETINGS_PER_REPLY, replied + chance.uniform(0.05, 2.0, number), np.nan)
    return Contacts(sequence, touched, replied, np.where(met - touched <= 30, met, np.nan), rates)


def _rates(chance: np.random.Generator, how: Plan) -> Floats:
    """Return the reply rate of each sequence in each week."""
    sequences = len(how.rates)
    factors = np.ones((sequences, how.weeks))
    if how.factors:
        factors[:, how.changes_in :] = np.array(how.factors)[:, None]
    if how.drift:
        factors *= np.exp(chance.normal(0, how.drift, factors.shape).cumsum(axis=1))
    for likely, rows in ((how.jumps, sequences), (how.common_jumps, 1)):
        if likely:
            steps = chance.normal(0, JUMP, (rows, how.weeks)) * (chance.random((rows, how.weeks)) < likely)
            factors = factors * np.exp(steps.cumsum(axis=1))
    for deviation, rows in ((how.variation, sequences), (how.common_variation, 1)):
        factors = factors * np.exp(chance.normal(-(deviation**2) / 2, deviation, (rows, how.weeks)))
    return np.minimum(np.array(how.rates)[:, None] * factors, 0.9)


def reply_times(chance: np.random.Generator, touched: Floats, rate: Floats, slower: Floats) -> Floats:
    """Return the time of each reply. One that would come on a weekend comes on Monday."""
    number = len(touched)
    delay = MEDIAN_DAYS * slower * np.exp(SPREAD * chance.normal(size=number))
    while (late := delay > LONGEST_DAYS).any():
        delay[late] = MEDIAN_DAYS * slower[late] * np.exp(SPREAD * chance.normal(size=int(late.sum())))
    at = np.where(chance.random(number) < rate, touched + delay, np.nan)
    weekday = np.floor(at) % 7
    monday = np.floor(at) + (7 - weekday) + 0.3 + 0.3 * chance.random(number)
    return np.where(weekday >= 5, np.minimum(monday, touched + 29.9), at)


def around_holiday(chance: np.random.Generator, replied: Floats, begins: float) -> Floats:
    """Return the replies around a two-week holiday: of ten in it, four never come, and three in the week after."""
    in_it = (replied >= begins) & (replied < begins + 14) & (chance.random(len(replied)) < 0.7)
    later = begins + 14 + 0.3 + chance.uniform(0, 4, len(replied))
    return np.where(in_it, np.where(chance.random(len(replied)) < 3 / 7, later, np.nan), replied)


def empty_warehouse() -> duckdb.DuckDBPyConnection:
    """Return a warehouse in memory with every table, all empty."""
    connection = duckdb.connect(config={"threads": 1})
    connection.execute(f"{SESSION}; {_IDS}")
    migrate(connection)
    connection.execute("CREATE TEMP TABLE landed_days AS FROM topo.loads LIMIT 0")
    connection.execute("ALTER TABLE landed_days ADD COLUMN is_known BOOLEAN")
    for table in in_order():
        build(connection, table, timezone="UTC", now=NOW)
    return connection


@dataclass
class Workspace:
    """A warehouse in memory that holds one simulated workspace at a time."""

    rules: Rules = DEFAULT_RULES
    connection: duckdb.DuckDBPyConnection = field(default_factory=empty_warehouse)

    def hold(self, contacts: Contacts) -> None:
        """Replace what the workspace holds. Every sequence is listed, with no contact whose window has closed."""
        for table in ("sequence_runs", "sequence_responses", "sequence_summary"):
            self.connection.execute(f"DELETE FROM engagement.{table}")  # noqa: S608 - our own names
        at = {"touched": contacts.touched, "replied": contacts.replied, "met": contacts.met}
        given = pd.DataFrame({"sequence": contacts.sequence} | {name: _moments(days) for name, days in at.items()})
        self.connection.register("given", given)
        self.connection.execute(_HOLD)
        self.connection.unregister("given")

    def rate(self, counts: Sequence[tuple[int, int]]) -> None:
        """Give each sequence these replies and contacts, whose windows have all closed, and nothing else."""
        self.hold(Contacts(*(np.array([]) for _ in range(5))))
        rated = pd.DataFrame(counts, columns=["num", "den"]).reset_index(names="sequence")
        self.connection.register("given", rated)
        self.connection.execute(_RATE)
        self.connection.unregister("given")
        self.known_until(FIRST_DAY + timedelta(days=60))
        self.build("sequence_summary", "sequence_signals")

    def known_until(self, day: date) -> None:
        """Make every day before this one known, and no other."""
        self.connection.execute("DELETE FROM landed_days")
        self.connection.execute(
            "INSERT INTO landed_days BY NAME SELECT unnest(range($first, $day, INTERVAL 1 DAY))::DATE AS day,"
            " true AS is_known, true AS proved, false AS is_open",
            {"first": FIRST_DAY, "day": day},
        )

    def build(self, *names: str) -> None:
        """Build these tables."""
        for name in names:
            build(self.connection, tables()[name], timezone="UTC", now=NOW, rules=self.rules)

    def signals(self, scope: str = "sequence") -> pd.DataFrame:
        """Return the rows of `sequence_signals` by the number of the sequence."""
        return self._numbered("sequence_signals", scope)

    def forecasts(self, scope: str = "sequence") -> pd.DataFrame:
        """Return the rows of `sequence_forecast` by the number of the sequence."""
        return self._numbered("sequence_forecast", scope)

    def _numbered(self, table: str, scope: str) -> pd.DataFrame:
        # DuckDB's conversion of times with a zone warns with pandas 3.1.
        columns = "COLUMNS(lambda name: name <> 'as_of')"
        sql = f"SELECT {columns} FROM engagement.{table} WHERE scope = ? ORDER BY sequence_template_id"  # noqa: S608
        found = self.connection.execute(sql, [scope]).df()
        number = 0 if scope == "workspace" else found["sequence_template_id"].map(number_of)
        return found.assign(sequence=number).set_index("sequence")


@cache
def workspace() -> Workspace:
    """Return the workspace of this process."""
    return Workspace()


def seeded(name: str) -> np.random.Generator:
    """Return a random generator that is always the same for a name."""
    return np.random.default_rng([*name.encode()])


def number_of(sequence_template_id: UUID | None) -> int:
    """Return the number of a sequence. That of the workspace is 0."""
    return 0 if sequence_template_id is None else sequence_template_id.int


def _moments(days: Floats) -> pd.Series:
    return pd.to_datetime(FIRST_DAY, utc=True) + pd.to_timedelta(pd.Series(days), unit="D").dt.round("s")


def monday(week: int) -> date:
    """Return the first day of a week."""
    return FIRST_DAY + timedelta(weeks=week)
