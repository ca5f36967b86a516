"""The next day is read while one lands, and only that one, over real HTTP and in a real warehouse."""

import json
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import pytest

from topo_pipeline.days import Day, Window
from topo_pipeline.ingest.loading import Refusal, load_days
from topo_pipeline.sandbox.server import serve
from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.landing import Load
from topo_pipeline_tests.conftest import PATIENCE

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
ONE_DAY = timedelta(days=1)
ONE, TWO, THREE, FOUR = (date(2026, 3, number) for number in range(1, 5))


def _item(moment: datetime) -> dict[str, Any]:
    payload = {"type": "message.sent", "channel": "EMAIL"}
    return {"id": str(UUID(int=moment.toordinal())), "created_at": moment.isoformat(), "payload": payload}


_NOONS = [datetime(2026, 3, number, 12, 0, 0, 500_000, tzinfo=UTC) for number in range(1, 31)]
_ITEMS = [(moment, _item(moment)) for moment in _NOONS]


@dataclass
class DailyApi:
    """One activity a day. `on_request` is called with each requested day."""

    on_request: Any = lambda day: None
    events: list[tuple[str, date]] = field(default_factory=list)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        query = parse_qs(scope["query_string"].decode())
        body: dict[str, Any] = {"id": str(UUID(int=1)), "organization_id": str(UUID(int=1))}
        if "created_at_before" in query:
            after, before = (datetime.fromisoformat(query[f"created_at_{bound}"][0]) for bound in ("after", "before"))
            if before - after > ONE_DAY:
                day = (before - timedelta(minutes=1)).date()
                self.events.append(("requested", day))
                self.on_request(day)
            items = [item for moment, item in _ITEMS if after < moment < before]
            body = {"items": items, "total_count": len(items), "total_pages": 1, "has_more": False}
        content = json.dumps(body).encode()
        headers = [(b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})


@contextmanager
def loading(api: Any, warehouse: Warehouse, *days: date) -> Iterator[Any]:
    def window(day: date) -> Window:
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return Window(start, start + ONE_DAY)

    with serve(api) as address:

        def connect() -> TopoClient:
            return TopoClient(f"{address}/v1", "topo_k", requests_per_second=10_000, clock=lambda: NOW)

        yield load_days(
            connect, warehouse, [Day(day, window(day)) for day in days], run_id="r", clock=lambda: NOW, timezone="UTC"
        )


def test_the_next_day_is_requested_while_one_waits_to_land(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path / "topo.duckdb"), wait_seconds=PATIENCE)
    other_process = ExitStack()

    def on_request(day: date) -> None:
        if day == ONE:
            other_process.enter_context(warehouse.exclusive())
        elif day == TWO:  # requested only if reading doesn't wait for the first day, which can't land yet
            other_process.close()

    with loading(DailyApi(on_request), warehouse, ONE, TWO) as outcomes:
        assert [outcome.rows for outcome in outcomes] == [1, 1]


def test_a_day_is_requested_only_after_the_last_but_one_has_landed(tmp_path: Path) -> None:
    api = DailyApi()
    with loading(api, Warehouse(str(tmp_path / "topo.duckdb")), ONE, TWO, THREE, FOUR) as outcomes:
        for outcome in outcomes:
            api.events.append(("landed", outcome.day))
    at = {event: place for place, event in enumerate(api.events)}
    assert len(at) == len(api.events) == 8
    assert at["landed", ONE] < at["requested", THREE]
    assert at["landed", TWO] < at["requested", FOUR]


def test_closing_early_stops_reading_and_leaves_no_files_or_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    was_requested, may_answer = threading.Event(), threading.Event()

    def on_request(day: date) -> None:
        if day == TWO:
            was_requested.set()
            may_answer.wait(PATIENCE)

    api, warehouse = DailyApi(on_request), Warehouse(str(tmp_path / "topo.duckdb"))
    before = set(threading.enumerate())
    with loading(api, warehouse, ONE, TWO, THREE) as outcomes:
        assert isinstance(next(outcomes), Load)
        assert was_requested.wait(PATIENCE)
        outcomes.close()  # while the second day is read
        assert not [*temporary.iterdir()]
        assert not [each for each in set(threading.enumerate()) - before if each.name.startswith("buffer")]
        may_answer.set()
    assert ("requested", THREE) not in api.events
    with warehouse.reader() as connection:
        assert connection.execute("SELECT day FROM topo.loads").fetchall() == [(ONE,)]


def test_each_activity_lands_in_its_own_day(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path / "topo.duckdb"))
    with loading(DailyApi(), warehouse, ONE, TWO, THREE, FOUR) as outcomes:
        assert not any(isinstance(outcome, Refusal) for outcome in outcomes)
    with warehouse.reader() as connection:
        landed = connection.execute("SELECT day, id FROM topo.activities ORDER BY ALL").fetchall()
    assert landed == [(day, UUID(int=day.toordinal())) for day in (ONE, TWO, THREE, FOUR)]
