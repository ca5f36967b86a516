"""What a person finds who opens a warehouse after something went wrong: whole days, and books that agree."""

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from topo_pipeline.ingest.loading import Refusal, load_days
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.landing import Load
from topo_pipeline_tests.crashes.source import DAYS, NEW, OLD, Version, client, days_of
from topo_pipeline_tests.warehouse.builders import snapshot

Row = dict[str, Any]


def at_once(target: str | Path) -> Warehouse:
    """The warehouse, for whoever does not wait: a lock that is left is met."""
    return Warehouse(str(target), wait_seconds=0.001)


def read_all(target: str | Path, api_url: str, version: Version, run_id: str) -> list[Load | Refusal]:
    now = version.now
    return list(
        load_days(
            lambda: client(api_url, now),
            at_once(target),
            days_of(DAYS),
            run_id=run_id,
            clock=lambda: now,
            timezone="UTC",
        )
    )


@dataclass(frozen=True)
class Found:
    """A day as the warehouse holds it."""

    day: date
    activities: list[Row]
    changes: list[Row]
    loads: list[Row]

    @property
    def payloads(self) -> dict[str, Any]:
        found = {str(row["id"]): json.loads(row["payload"]) for row in self.activities}
        assert len(found) == len(self.activities), "an activity is there twice"
        return found

    def is_new(self) -> bool:
        """Whether it is the new version of the day; it is the old one else, or this fails."""
        if self.payloads == NEW.payloads(self.day):
            self._agrees_with_the_new_version()
            return True
        assert self.payloads == OLD.payloads(self.day)
        assert (len(self.loads), self.changes) == (1, [])
        self._agrees_with_its_last_load()
        return False

    def _agrees_with_its_last_load(self) -> None:
        assert self.loads[-1]["rows"] == len(self.activities)
        assert {row["load_id"] for row in self.activities} <= {load["load_id"] for load in self.loads}

    def _agrees_with_the_new_version(self) -> None:
        """One load made it of the old version; those after it found nothing to do."""
        self._agrees_with_its_last_load()
        old, new = OLD.payloads(self.day), NEW.payloads(self.day)
        added, removed = new.keys() - old.keys(), old.keys() - new.keys()
        changed = {id_ for id_ in old.keys() & new.keys() if old[id_] != new[id_]}
        books = [(load["added"], load["changed"], load["removed"]) for load in self.loads]
        assert books[1:] == [(len(added), len(changed), len(removed))] + [(0, 0, 0)] * (len(books) - 2)
        kept = {(str(row["id"]), row["change"]): json.loads(row["payload"]) for row in self.changes}
        assert kept == {(id_, "removed"): old[id_] for id_ in removed} | {(id_, "changed"): old[id_] for id_ in changed}
        assert {row["replaced_by"] for row in self.changes} == {self.loads[1]["load_id"]}
        landed = {str(row["id"]) for row in self.activities if row["load_id"] == self.loads[1]["load_id"]}
        assert landed == added | changed


def found(target: str | Path) -> list[Found]:
    tables = snapshot(at_once(target))
    loads = sorted(tables["loads"], key=lambda load: (load["finished_at"], load["run_id"]))
    assert {row["day"] for rows in tables.values() for row in rows} == set(DAYS)
    return [
        Found(
            day,
            activities=[row for row in tables["activities"] if row["day"] == day],
            changes=[row for row in tables["activity_changes"] if row["day"] == day],
            loads=[load for load in loads if load["day"] == day],
        )
        for day in DAYS
    ]
