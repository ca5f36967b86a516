"""Two versions of three days, as Topo shows them first and later, and what each contains."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from typing import Any

import msgspec

from topo_pipeline.days import SETTLING, Day, Window
from topo_pipeline.sandbox.activity import Activity
from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.wire import snake_activity
from topo_pipeline.sandbox.world import World
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.warehouse.landing import ReadDay
from topo_pipeline_tests.conftest import API_KEY
from topo_pipeline_tests.warehouse.builders import reading

DAYS = [date(2026, 3, number) for number in (2, 3, 4)]
ONE_DAY = timedelta(days=1)


class PartialWorld(World):
    """A world without the ids that start with one digit, and with another person for those that start with another."""

    def __init__(self, *, hidden_digit: str, changed_digit: str) -> None:
        super().__init__(11, scale=0.1)
        self._hidden_digit, self._changed_digit = hidden_digit, changed_digit

    def activities(self, after: datetime | None, before: datetime) -> list[Activity]:
        shown = (activity for activity in super().activities(after, before) if activity.id[0] != self._hidden_digit)
        return [self._with_changed_person(activity) for activity in shown]

    def _with_changed_person(self, activity: Activity) -> Activity:
        if activity.id[0] != self._changed_digit:
            return activity
        return msgspec.structs.replace(activity, person_id=self.make_id("corrected person"))


class Version(Enum):
    """A version of the days, as shown at a time.

    In the old version the last day is not over. The new version lacks some of its activities and has others.
    """

    OLD = "old"
    NEW = "new"

    @property
    def now(self) -> datetime:
        return _NOW[self]

    @property
    def world(self) -> PartialWorld:
        return _WORLDS[self]

    def app(self) -> Callable[..., Any]:
        return create_app(self.world, api_key=API_KEY, now=lambda: self.now)

    def payloads(self, day: date) -> dict[str, Any]:
        """Return the payload of each activity of the day, by id."""
        return {id_: payload for id_, _, payload in self._shown(day)}

    def read(self, day: date) -> ReadDay:
        """Return a reading of the day, without requests."""
        return reading(*((id_, at, json.dumps(payload)) for id_, at, payload in self._shown(day)), day=day)

    def _shown(self, day: date) -> Iterator[tuple[str, datetime, dict[str, Any]]]:
        window = window_of(day)
        end = min(window.end, self.now - SETTLING)
        for activity in self.world.activities(window.start - timedelta(microseconds=1), end):
            yield activity.id, activity.created_at, payload_of(activity, self.world, self.now)


OLD, NEW = Version
_NOW = {OLD: datetime(2026, 3, 4, 12, tzinfo=UTC), NEW: datetime(2026, 3, 10, 12, tzinfo=UTC)}
_WORLDS = {
    OLD: PartialWorld(hidden_digit="0", changed_digit=""),
    NEW: PartialWorld(hidden_digit="f", changed_digit="8"),
}


def payload_of(activity: Activity, world: World, now: datetime) -> Any:
    return msgspec.to_builtins(snake_activity(world.organization_id, activity, now).payload)


def window_of(day: date) -> Window:
    start = datetime.combine(day, time(), UTC)
    return Window(start, start + ONE_DAY)


def days_of(days: list[date]) -> list[Day]:
    return [Day(day, window_of(day)) for day in days]


def client(api_url: str, now: datetime) -> TopoClient:
    return TopoClient(api_url, API_KEY, requests_per_second=10_000, concurrency=1, clock=lambda: now)
