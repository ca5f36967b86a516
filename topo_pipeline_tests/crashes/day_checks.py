"""Checks that each day in the warehouse is complete and agrees with the ledger."""

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


def without_waiting(target: str | Path) -> Warehouse:
    """Return the warehouse with no time to wait, so that a leftover lock is an error."""
    return Warehouse(str(target), wait_seconds=0.001)


def read_all(target: str | Path, api_url: str, version: Version, run_id: str) -> list[Load | Refusal]:
    now = version.now
    return list(
        load_days(
            lambda: client(api_url, now),
            without_waiting(target),
            days_of(DAYS),
            run_id=run_id,
            clock=lambda: now,
            timezone="UTC",
        )
    )


@dataclass(frozen=True)
class LandedDay:
    """A day in the warehouse."""

    day: date
    activities: list[Row]
    changes: list[Row]
    loads: list[Row]

    @property
    def payloads(self) -> dict[str, Any]:
        payloads = {str(row["id"]): json.loads(row["payload"]) for row in self.activities}
        assert len(payloads) == len(self.activities), "an activity is in the table twice"
        return payloads

    def is_new(self) -> bool:
        """Return whether this is the new version of the day. Fail if it is neither version."""
        if self.payloads == NEW.payloads(self.day):
            self._assert_new_version_was_landed_once()
            return True
        assert self.payloads == OLD.payloads(self.day)
        assert (len(self.loads), self.changes) == (1, [])
        self._assert_rows_match_the_last_load()
        return False

    def _assert_rows_match_the_last_load(self) -> None:
        assert self.loads[-1]["rows"] == len(self.activities)
        assert {row["load_id"] for row in self.activities} <= {load["load_id"] for load in self.loads}

    def _assert_new_version_was_landed_once(self) -> None:
        """Assert that one load replaced the old version, and later loads changed nothing."""
        self._assert_rows_match_the_last_load()
        old, new = OLD.payloads(self.day), NEW.payloads(self.day)
        added, removed = new.keys() - old.keys(), old.keys() - new.keys()
        changed = {id_ for id_ in old.keys() & new.keys() if old[id_] != new[id_]}
        numbers = [(load["added"], load["changed"], load["removed"]) for load in self.loads]
        assert numbers[1:] == [(len(added), len(changed), len(removed))] + [(0, 0, 0)] * (len(numbers) - 2)
        kept = {(str(row["id"]), row["change"]): json.loads(row["payload"]) for row in self.changes}
        assert kept == {(id_, "removed"): old[id_] for id_ in removed} | {(id_, "changed"): old[id_] for id_ in changed}
        assert {row["replaced_by"] for row in self.changes} == {self.loads[1]["load_id"]}
        landed = {str(row["id"]) for row in self.activities if row["load_id"] == self.loads[1]["load_id"]}
        assert landed == added | changed


def landed_days(target: str | Path) -> list[LandedDay]:
    tables = snapshot(without_waiting(target))
    loads = sorted(tables["loads"], key=lambda load: (load["finished_at"], load["run_id"]))
    assert {row["day"] for rows in tables.values() for row in rows} == set(DAYS)
    return [
        LandedDay(
            day,
            activities=[row for row in tables["activities"] if row["day"] == day],
            changes=[row for row in tables["activity_changes"] if row["day"] == day],
            loads=[load for load in loads if load["day"] == day],
        )
        for day in DAYS
    ]
