"""Reports of simulated workspaces: every activity is landed, and the product builds its tables and writes the page.

Truth about a workspace comes from `Simulated` alone, which shares no code with the page.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import cache, cached_property
from pathlib import Path
from shutil import copy
from typing import Any

import numpy as np
import pandas as pd

from bench.calibration.worlds import FIRST_DAY, LOADS, NOW, Contacts, Counts, Floats
from topo_pipeline.engagement.building import build
from topo_pipeline.engagement.leaderboard import leaderboard
from topo_pipeline.engagement.rules import DEFAULT_RULES
from topo_pipeline.engagement.tables import in_order
from topo_pipeline.report.advice import advice
from topo_pipeline.report.page import publish
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.landing import land_list

STEPS = (0, 4)  # days after the first message on which the others are sent
ENDS = 10  # days after which a contact leaves its sequence
TYPES = (
    "sequence.created", "message.sent", "message.opened", "message.replied", "meeting.created", "sequence.completed",
)  # fmt: skip
CATEGORIES = (None, "MEETING", "INTERESTED", "NOT_INTERESTED", "OUT_OF_OFFICE")
_CREATED, _SENT, _OPENED, _REPLIED, _MET, _COMPLETED = range(len(TYPES))
_PENDING, _MEETING, _INTERESTED, _NOT_INTERESTED, _AWAY = range(len(CATEGORIES))

_LAND = f"""
INSERT INTO topo.activities BY NAME
SELECT
    format('{{:032x}}', number)::UUID AS id, moment AS created_at, moment::DATE AS day, {list(TYPES)}[kind + 1] AS type,
    format('{{:032x}}', run + 1_000_000_000)::UUID AS person_id,
    format('{{:032x}}', run + 2_000_000_000)::UUID AS sequence_id,
    format('{{:032x}}', sequence)::UUID AS sequence_template_id,
    CASE WHEN step >= 0 THEN format('{{:032x}}', 10 * run + step + 4_000_000_000)::UUID END AS message_id,
    upper(split_part(type, '.', 1)) AS resource_type, upper(split_part(type, '.', 2)) AS event_type,
    CASE WHEN step >= 0 THEN 'EMAIL' END AS channel, 'payload' AS channel_source,
    CASE WHEN type = 'message.sent' THEN step + 1 END AS step_number,
    nullif({[each or "" for each in CATEGORIES]}[category + 1], '') AS reply_category,
    '{{}}' AS payload, $now::TIMESTAMPTZ AS landed_at, md5(moment::DATE::VARCHAR)::UUID AS load_id
FROM happened
"""  # noqa: S608 - constants


@dataclass(frozen=True)
class Simulated:
    """A workspace, as it truly is.

    Attributes:
        contacts: Its contacts, with the time of their reply and meeting. Times are in days since the first day.
        chance: The chance of each contact to reply within 30 days.
        lasting: The same without the variation from week to week, which is no change.
        step: The step that each reply answers. None: the last one sent before it.
        untracked: Sequences whose opens are not recorded.
        stops: The day from which a sequence sends nothing, by its number.
        missing: Days that are never read. Nobody is contacted first on them.
        statuses: The status of a sequence that is not active, by its number.
        steps: Days after the first message on which messages are sent.
        slow: The days on which replies don't come as fast as usual.
        changed: The days on which contacts don't reply as others did in the twelve weeks before.
    """

    contacts: Contacts
    chance: Floats
    lasting: Floats
    step: Counts | None = None
    untracked: frozenset[int] = frozenset()
    stops: dict[int, int] = field(default_factory=dict)
    missing: frozenset[int] = frozenset()
    statuses: dict[int, str] = field(default_factory=dict)
    steps: tuple[int, ...] = STEPS
    slow: range = range(0)
    changed: range = range(0)

    @property
    def sequences(self) -> int:
        """The number of sequences."""
        return len(self.contacts.rates)

    @cached_property
    def sends(self) -> Floats:
        """When each contact (row) is sent each step (column). NaN: never. None is on a weekend."""
        at = self.contacts.touched[:, None] + np.array(self.steps)
        at += np.where(np.floor(at) % 7 >= 5, 2, 0)  # noqa: PLR2004
        at[:, 1:][at[:, 1:] >= self.contacts.replied[:, None]] = np.nan
        at[at >= self._stopped()[:, None]] = np.nan
        return at

    def ends(self) -> Floats:
        """Return when each contact leaves its sequence. NaN: it waits."""
        replied = self.contacts.replied + 0.001
        at = np.fmin(replied, self.contacts.touched + ENDS)
        return np.where((at >= self._stopped()) & ~(replied <= at), np.nan, at)

    def categories(self) -> Counts:
        """Return the place of each contact's reply category in `CATEGORIES`: one in twenty is not classified."""
        run = np.arange(len(self.contacts.touched))
        found = np.where(run % 2 == 0, _INTERESTED, _NOT_INTERESTED)
        return np.where(~np.isnan(self.contacts.met), _MEETING, np.where(run % 20 == 7, _PENDING, found))  # noqa: PLR2004

    def _stopped(self) -> Floats:
        stopped = np.full(self.sequences, np.inf)
        stopped[[*self.stops]] = [*self.stops.values()]
        return stopped[self.contacts.sequence]

    def activities(self) -> pd.DataFrame:
        """Return everything that happens, by time: at (days), type, run, sequence, step and category, as numbers."""
        chance = np.random.default_rng(5)
        touched, replied, met = self.contacts.touched, self.contacts.replied, self.contacts.met
        sends, run = self.sends, np.arange(len(touched))
        answered = np.nanargmax(np.where(sends <= replied[:, None], sends, -1), axis=1) if len(run) else run
        if self.step is not None:
            answered = self.step
        opened = np.where(chance.random(len(run)) < 0.3, touched + 0.05, np.nan)
        opened[np.isin(self.contacts.sequence, [*self.untracked])] = np.nan
        away = np.where(np.isnan(replied) & (run % 50 == 3), touched + 0.01, np.nan)  # noqa: PLR2004
        none = np.full(len(run), -1)
        parts = [
            (touched - 0.005, _CREATED, none, none),
            *((sends[:, step], _SENT, none + step + 1, none) for step in range(len(self.steps))),
            (opened, _OPENED, none + 1, none),
            (away, _REPLIED, none + 1, none + 1 + _AWAY),
            (replied, _REPLIED, answered, self.categories()),
            (met, _MET, none, none),
            (self.ends(), _COMPLETED, none, none),
        ]
        frames = [
            pd.DataFrame({"at": at, "kind": kind, "run": run, "step": step, "category": category})[~np.isnan(at)]
            for at, kind, step, category in parts
        ]
        found = pd.concat(frames, ignore_index=True).sort_values("at", ignore_index=True)
        found = found[~np.floor(found["at"]).isin([*self.missing])]
        sequence = self.contacts.sequence[found["run"]]
        moment = pd.to_datetime(FIRST_DAY, utc=True) + pd.to_timedelta(found["at"], unit="D").dt.round("s")
        day, number = np.floor(found["at"]).astype(int), np.arange(len(found))
        return found.assign(day=day, moment=moment, sequence=sequence, number=number)


@dataclass(frozen=True)
class Written:
    """A report, as somebody reads it.

    Attributes:
        today: The day on which it was written, in days since the first day. All days before it are over.
        html: The page.
        message: The Monday message.
        status: What `topo-pipeline status` says there is to do.
        board: The rows of the board in the terminal.
    """

    today: int
    html: str
    message: str
    status: tuple[str, ...]
    board: list[dict[str, Any]]


_EMPTY = "empty.duckdb"


@cache
def _empty() -> tempfile.TemporaryDirectory[str]:
    """Return a folder with a file that has every table and its comments, which take most of the time of a build."""
    folder = tempfile.TemporaryDirectory()
    with Warehouse(str(Path(folder.name, _EMPTY))).transaction() as connection:
        for table in in_order():
            build(connection, table, timezone="UTC", now=NOW)
    return folder


def written(simulated: Simulated, days: Sequence[int]) -> Iterator[Written]:
    """Write the report in the morning of each of these days. All are kept, so that the next compares with them."""
    happened, landed = simulated.activities(), 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        warehouse = Warehouse(str(copy(Path(_empty().name, _EMPTY), folder / "simulated.duckdb")))
        _name(warehouse, simulated)
        for today in days:
            _land(warehouse, happened[happened["day"].between(landed, today - 1)], simulated, range(landed, today))
            landed = today
            yield _write(warehouse, folder / "report", today)


def _name(warehouse: Warehouse, simulated: Simulated) -> None:
    numbers = range(simulated.sequences)
    ids = [f"{number:032x}" for number in numbers]
    statuses = [simulated.statuses.get(number, "ACTIVE") for number in numbers]
    frame = pd.DataFrame({"id": ids, "name": [*map(called, numbers)], "status": statuses, "step_count": 3})
    with warehouse.transaction() as connection:
        land_list(connection, "sequence_templates", frame, now=NOW)


def called(sequence: int) -> str:
    """Return the name of a sequence."""
    return f"Sequence {sequence:02}"


def _land(warehouse: Warehouse, happened: pd.DataFrame, simulated: Simulated, days: range) -> None:
    with warehouse.transaction() as connection:
        connection.execute("SET threads = 1")  # with more, so little data takes more time in all
        connection.register("happened", happened)
        connection.execute(_LAND, {"now": NOW})
        connection.unregister("happened")
        read = [day_of(day) for day in days if day not in simulated.missing]
        connection.execute(LOADS, {"now": NOW, "days": read})
        for table in in_order():
            build(connection, table, timezone="UTC", now=NOW)


def _write(warehouse: Warehouse, folder: Path, today: int) -> Written:
    now = datetime.combine(day_of(today), time(6, 30), NOW.tzinfo)
    with warehouse.reader() as connection:
        page = publish(connection, folder, timezone="UTC", rules=DEFAULT_RULES, now=now)
        status = tuple(f"{said.claim} {said.action}" for said in advice(connection, DEFAULT_RULES) or ())
        return Written(today, page.path.read_text(encoding="utf-8"), page.text, status, leaderboard(connection))


def day_of(number: int) -> date:
    """Return a day, given the days since the first."""
    return FIRST_DAY + timedelta(days=int(number))
