"""Loading days over real HTTP: refused, unanswered and unreadable days don't stop the others."""

import asyncio
import functools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import pandas as pd
import pytest

from topo_pipeline.days import Day, Window
from topo_pipeline.ingest import loading
from topo_pipeline.ingest.lists import load_list
from topo_pipeline.ingest.loading import Refusal, UnprovedLoad, load_days
from topo_pipeline.ingest.session import check
from topo_pipeline.sandbox.server import serve
from topo_pipeline.topo_api.client import Retries, TopoClient
from topo_pipeline.topo_api.errors import RequestRefused
from topo_pipeline.topo_api.windows import MARGIN, read_window
from topo_pipeline.topo_api.wire import SequenceTemplate
from topo_pipeline.warehouse.buffer import Buffer
from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline.warehouse.landing import Load
from topo_pipeline_tests.conftest import PATIENCE
from topo_pipeline_tests.topo_api.helpers import Answer, PagedApi, Request, instants, item_of
from topo_pipeline_tests.topo_api.test_channels import Filtering, Sent, sent

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
QUICK = Retries(attempts=2, wait_initial=0.001, wait_max=0.001, wait_jitter=0.0)
LIMITS = [(200, 5, True), (200, 6, False), (11, 5, True)]
MORE_LIMITS = [(1000, 10, True), (1000, 11, False), (10, 5, False)]
EMPTY = {"items": [], "total_count": 0, "total_pages": 0, "has_more": False}


@dataclass
class DayApi:
    """An API with a status and a body for each day. Other days are an empty page."""

    answers: dict[date, tuple[int, object]] = field(default_factory=dict)
    others: dict[str, tuple[int, object]] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        query = parse_qs(scope["query_string"].decode())
        path = scope["path"].removeprefix("/v1/")
        self.paths.append(path)
        status, body = self.others.get(path, (200, EMPTY))
        if "created_at_before" in query:
            status, body = self._activities(query)
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        await send(
            {"type": "http.response.start", "status": status, "headers": [(b"content-length", b"%d" % len(content))]}
        )
        await send({"type": "http.response.body", "body": content})

    def _activities(self, query: dict[str, list[str]]) -> tuple[int, object]:
        before = datetime.fromisoformat(query["created_at_before"][0])
        if "created_at_after" not in query:
            return 200, EMPTY
        after = datetime.fromisoformat(query["created_at_after"][0])
        if before - after > timedelta(hours=12):
            return self.answers.get((before - timedelta(days=1)).date(), (200, EMPTY))
        bodies = [body for _, body in self.answers.values() if isinstance(body, dict)]
        items = {item["id"]: item for body in bodies for item in body.get("items", [])}
        found = [item for item in items.values() if after < datetime.fromisoformat(item["created_at"]) < before]
        return 200, EMPTY | {"items": found, "total_count": len(found)}


@contextmanager
def connecting_to(api: Any) -> Iterator[Callable[[], TopoClient]]:
    with serve(api) as address:
        yield lambda: TopoClient(
            f"{address}/v1", "topo_k", requests_per_second=10_000, retries=QUICK, clock=lambda: NOW
        )


def day(number: int) -> Day:
    start = datetime(2026, 3, number, tzinfo=UTC)
    return Day(start.date(), Window(start, start + timedelta(days=1)))


def problem(status: int, type_: str) -> tuple[int, object]:
    return status, {"status_code": status, "type": type_, "message": "no", "request_id": f"req_{status}"}


def load(api: Any, folder: Path, days: list[Day], **options: Any) -> list[Load | Refusal]:
    warehouse = Warehouse(str(folder / "w.duckdb"))
    with connecting_to(api) as connect:
        options = {"run_id": "r", "clock": lambda: NOW, "timezone": "UTC"} | options
        return list(load_days(connect, warehouse, days, **options))


def landed(outcomes: list[Load | Refusal]) -> list[bool]:
    return [isinstance(outcome, Load) for outcome in outcomes]


INCOMPLETE = (200, {**EMPTY, "total_count": 3})


def load_sequences(connect: Callable[[], TopoClient], warehouse: Warehouse) -> int | None:
    return load_list(connect, warehouse, SequenceTemplate, "sequence_templates", clock=lambda: NOW)


def test_each_day_has_one_outcome_and_a_refused_day_does_not_stop_the_others(tmp_path: Path) -> None:
    outcomes = load(DayApi({date(2026, 3, 2): INCOMPLETE}), tmp_path, [day(n) for n in range(1, 6)])
    assert [outcome.day for outcome in outcomes] == [date(2026, 3, n) for n in range(1, 6)]
    assert landed(outcomes) == [True, False, True, True, True]


def test_with_completeness_warn_an_incomplete_day_lands_unproved(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    item = {"id": str(UUID(int=7)), "created_at": "2026-03-02T10:00:00Z", "payload": {"type": "message.sent"}}
    api = DayApi({date(2026, 3, 2): (200, {**EMPTY, "items": [item], "total_count": 3})})
    [one, two] = load(api, tmp_path, [day(1), day(2)], completeness="warn")
    assert isinstance(one, Load)
    assert isinstance(two, Load)
    assert (one.proved, two.proved) == (True, False)
    assert (two.rows, two.api_total_count) == (1, 3)
    assert isinstance(two, UnprovedLoad)
    assert "2 missing" in two.because
    assert "Landing 2026-03-02 unproved: Window 2026-03-02T00:00:00Z" in caplog.text


def test_with_completeness_warn_an_unanswered_day_is_still_refused(tmp_path: Path) -> None:
    api = DayApi({date(2026, 3, 1): (503, b"<html>gone</html>")})
    assert landed(load(api, tmp_path, [day(1), day(2)], completeness="warn")) == [False, True]


def test_incomplete_days_in_a_row_do_not_end_the_load(tmp_path: Path) -> None:
    bad = {date(2026, 3, n): INCOMPLETE for n in range(1, 5)}
    outcomes = load(DayApi(bad), tmp_path, [day(n) for n in range(1, 6)])
    assert landed(outcomes) == [False, False, False, False, True]


NO_USABLE_ANSWER = pytest.mark.parametrize(
    "fault", [(503, b"<html>gone</html>"), (200, b"<html>welcome</html>")], ids=["5xx", "html"]
)


@NO_USABLE_ANSWER
def test_one_unanswered_day_is_skipped(tmp_path: Path, fault: tuple[int, object]) -> None:
    outcomes = load(DayApi({date(2026, 3, 2): fault}), tmp_path, [day(n) for n in range(1, 4)])
    assert landed(outcomes) == [True, False, True]


def test_after_two_unanswered_days_the_others_are_not_requested(tmp_path: Path) -> None:
    fault = (503, b"<html>gone</html>")
    api = DayApi({date(2026, 3, n): fault for n in range(2, 30)})
    outcomes = load(api, tmp_path, [day(n) for n in range(1, 20)])
    assert landed(outcomes) == [True] + [False] * 18
    assert api.paths.count("activities") == 2 + 2 * QUICK.attempts  # the first day is empty, which takes a request more


@pytest.fixture
def three_pages_deep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read windows of more than 3 pages in parts, and not only those of more than 50."""
    monkeypatch.setattr(loading, "read_window", functools.partial(read_window, depth=3))


class DeepApi(PagedApi):
    """Four days of 360 activities, which are each read in two parts with `three_pages_deep`."""

    def __init__(self) -> None:
        start, step = datetime(2026, 3, 1, 0, 0, 0, 7_000, tzinfo=UTC), timedelta(minutes=4)
        moments = enumerate(instants(4 * 360, start, step))
        super().__init__([item_of(number, moment, channel="EMAIL") for number, moment in moments])
        self.days: Counter[int] = Counter()

    async def answer(self, request: Request) -> Answer:
        if "created_at_before" not in request.params:
            return await super().answer(request)
        after, before = (datetime.fromisoformat(request.params[f"created_at_{bound}"]) for bound in ("after", "before"))
        number = (before - timedelta(minutes=1)).day
        self.days[number] += 1
        is_end = before == day(number).window.end + MARGIN and after > day(number).window.start
        return Answer(b"", status=503) if await self.is_down(number, is_end) else await super().answer(request)

    async def is_down(self, number: int, is_end: bool) -> bool:
        """Return whether to leave a request for this day unanswered. `is_end`: it is for the day's last part."""
        return False


@pytest.mark.usefixtures("three_pages_deep")
@pytest.mark.parametrize("buffered_at_once", [100, loading.BUFFERED_AT_ONCE])
def test_an_outage_during_a_day_affects_only_that_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, buffered_at_once: int
) -> None:
    monkeypatch.setattr(loading, "BUFFERED_AT_ONCE", buffered_at_once)

    class DownOnce(DeepApi):
        """Unavailable from the first day's last part until all attempts at it have failed."""

        failed = 0

        async def is_down(self, number: int, is_end: bool) -> bool:
            if self.failed == QUICK.attempts or not (number == 1 and is_end):
                return False
            self.failed += 1
            return True

    outcomes = load(DownOnce(), tmp_path, [day(1), day(2)])
    assert landed(outcomes) == [False, True]
    assert [outcome.rows for outcome in outcomes if isinstance(outcome, Load)] == [360]


def test_a_reading_that_is_cancelled_ends_once_its_activities_are_in_the_buffer() -> None:
    """Otherwise they could arrive after the buffer was given to another day."""
    begun, may_end, added = Event(), Event(), []

    class SlowBuffer(Buffer):
        def add(self, activities: pd.DataFrame) -> None:
            begun.set()
            may_end.wait(PATIENCE)
            added.append(activities)

    async def cancelled(buffer: Buffer) -> tuple[bool, int]:
        store = loading._DayStore(buffer, day(1).window)  # noqa: SLF001
        adding = asyncio.create_task(store.flush())
        await asyncio.to_thread(begun.wait, PATIENCE)
        adding.cancel()
        for _ in range(10):  # turns of the loop, in which the task could end
            await asyncio.sleep(0)
        ended_early = adding.done()
        may_end.set()
        await asyncio.wait([adding])
        return ended_early, len(added)

    with SlowBuffer() as buffer:
        assert asyncio.run(cancelled(buffer)) == (False, 1)


@pytest.mark.usefixtures("three_pages_deep")
@pytest.mark.parametrize("buffered_at_once", [100, loading.BUFFERED_AT_ONCE])
def test_a_row_that_is_gone_when_a_day_is_read_again_does_not_land(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, buffered_at_once: int
) -> None:
    monkeypatch.setattr(loading, "BUFFERED_AT_ONCE", buffered_at_once)

    class OneMoreInTheParts(DeepApi):
        """Has one row only while the first parts are read, so they have one more than is counted before and after."""

        guests = iter([item_of(90_000, "2026-03-01T12:00:00.5Z", channel="EMAIL")])

        async def answer(self, request: Request) -> Answer:
            if request.params.get("size") == "1":
                del self.items[4 * 360 :]
            answer = await super().answer(request)
            self.items.extend(self.guests)  # after the first count
            return answer

    [outcome] = load(OneMoreInTheParts(), tmp_path, [day(1)])
    assert isinstance(outcome, Load)
    assert (outcome.rows, outcome.proved, outcome.requests > 8) == (360, True, True)
    with Warehouse(str(tmp_path / "w.duckdb")).reader() as connection:
        assert connection.execute("SELECT count(*) FROM topo.activities").fetchall() == [(360,)]


@pytest.mark.usefixtures("three_pages_deep")
def test_after_two_days_that_fail_near_their_end_no_other_is_tried(tmp_path: Path) -> None:
    class DownAtTheEnd(DeepApi):
        async def is_down(self, number: int, is_end: bool) -> bool:
            return is_end

    api = DownAtTheEnd()
    assert landed(load(api, tmp_path, [day(n) for n in range(1, 5)])) == [False] * 4
    assert set(api.days) == {1, 2}


def test_a_refused_request_ends_the_load_at_once(tmp_path: Path) -> None:
    api = DayApi({date(2026, 3, n): problem(401, "UnauthorizedIssue") for n in range(1, 30)})
    outcomes = load(api, tmp_path, [day(n) for n in range(1, 20)])
    assert landed(outcomes) == [False] * 19
    assert all("req_401" in outcome.reason for outcome in outcomes if isinstance(outcome, Refusal))
    assert api.paths.count("activities") == 1


def test_an_unusable_warehouse_is_an_error_before_the_first_request(tmp_path: Path) -> None:
    api = DayApi()
    (tmp_path / "w.duckdb").write_text("not a warehouse, but long enough to be looked at as if it were one")
    with pytest.raises(WarehouseError):
        load(api, tmp_path, [day(1)])
    assert api.paths == []


def test_a_day_is_closed_only_if_its_load_began_at_least_five_minutes_after_its_end(tmp_path: Path) -> None:
    end = day(19).window.end
    with connecting_to(DayApi()) as connect:
        warehouse = Warehouse(str(tmp_path / "w.duckdb"))
        for late in (timedelta(minutes=-1), timedelta(minutes=4, seconds=59), timedelta(minutes=5)):
            [outcome] = load_days(
                connect, warehouse, [day(19)], run_id="r", clock=lambda late=late: end + late, timezone="UTC"
            )
            assert isinstance(outcome, Load)
            assert outcome.is_open == (late < timedelta(minutes=5))


SEQUENCES = [{"id": str(UUID(int=n)), "name": f"S{n}"} for n in range(1, 4)]
NAMED = (200, {**EMPTY, "items": SEQUENCES, "total_count": 3})


def names(warehouse: Warehouse) -> list[str]:
    with warehouse.reader() as connection:
        return [
            name for (name,) in connection.execute("SELECT name FROM topo.sequence_templates ORDER BY id").fetchall()
        ]


@pytest.mark.parametrize(
    "answer",
    [
        *(problem(403, "UnauthorizedIssue"), (200, b"<html>")),
        *(
            pytest.param(answer, marks=pytest.mark.full)
            for answer in (problem(404, "NotFoundIssue"), (503, b"<html>"), (200, [1]))
        ),
    ],
)
def test_sequence_names_are_kept_if_they_cannot_be_read(tmp_path: Path, answer: tuple[int, object]) -> None:
    warehouse = Warehouse(str(tmp_path / "w.duckdb"))
    api = DayApi(others={"sequence-templates": NAMED})
    with connecting_to(api) as connect:
        assert load_sequences(connect, warehouse) == 3
        api.others["sequence-templates"] = answer
        assert load_sequences(connect, warehouse) is None
    assert names(warehouse) == ["S1", "S2", "S3"]


def test_sequence_names_missing_from_a_partial_list_are_kept(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path / "w.duckdb"))
    api = DayApi(others={"sequence-templates": NAMED})
    with connecting_to(api) as connect:
        load_sequences(connect, warehouse)
        renamed = [{**SEQUENCES[0], "name": "New"}]
        api.others["sequence-templates"] = (200, {**EMPTY, "items": renamed, "total_count": 3})
        assert load_sequences(connect, warehouse) == 3
    assert names(warehouse) == ["New", "S2", "S3"]


@pytest.mark.parametrize(
    "field",
    [
        {"step_count": 10**30},
        {"updated_at": "9999-12-31T23:59:59-14:00"},
        *(
            pytest.param(field, marks=pytest.mark.full)
            for field in (
                {"step_count": 2**63 - 1},
                {"created_at": "0001-01-01T00:00:00+14:00"},
                {"status": "x" * 100_000},
            )
        ),
    ],
)
def test_a_sequence_field_that_cannot_be_stored_does_not_affect_the_names(
    tmp_path: Path, field: dict[str, object]
) -> None:
    warehouse = Warehouse(str(tmp_path / "w.duckdb"))
    items = [SEQUENCES[0] | field, *SEQUENCES[1:]]
    with connecting_to(DayApi(others={"sequence-templates": (200, {**EMPTY, "items": items})})) as connect:
        load_sequences(connect, warehouse)
    assert names(warehouse) == ["S1", "S2", "S3"]


@pytest.mark.parametrize("count", [2**63, pytest.param(10**30, marks=pytest.mark.full)])
def test_a_count_that_cannot_be_stored_refuses_only_its_day(tmp_path: Path, count: int) -> None:
    api = DayApi({date(2026, 3, 2): (200, {**EMPTY, "total_count": count})})
    outcomes = load(api, tmp_path, [day(n) for n in range(1, 4)])
    assert landed(outcomes) == [True, False, True]
    assert isinstance(outcomes[1], Refusal)
    assert "total_count" in outcomes[1].reason


def test_a_workspace_without_sequences_loads_zero_names(tmp_path: Path) -> None:
    with connecting_to(DayApi()) as connect:
        assert load_sequences(connect, Warehouse(str(tmp_path / "w.duckdb"))) == 0


def test_the_check_refuses_a_wrong_key_but_accepts_a_key_without_access_to_me(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path / "w.duckdb"))
    wrong = DayApi(others={"me": problem(401, "UnauthorizedIssue")})
    with connecting_to(wrong) as connect, pytest.raises(RequestRefused):
        check(connect, warehouse, timezone="UTC", clock=lambda: NOW)
    with connecting_to(DayApi(others={"me": problem(403, "UnauthorizedIssue")})) as connect:
        check(connect, warehouse, timezone="UTC", clock=lambda: NOW)


def test_a_day_lands_without_labels_if_the_channel_filter_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    item = {"id": str(UUID(int=7)), "created_at": "2026-03-02T10:00:00Z", "payload": {"type": "message.sent"}}

    class Refusing(DayApi):
        async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
            if b"channel=" in scope["query_string"]:
                self.answers[date(2026, 3, 2)] = problem(400, "ValidationIssue")
            await super().__call__(scope, receive, send)

    api = Refusing({date(2026, 3, 2): (200, {**EMPTY, "items": [item], "total_count": 1})})
    assert landed(load(api, tmp_path, [day(2), day(3)])) == [True, True]
    assert "Continuing without the channels" in caplog.text


def test_messages_in_the_overlap_are_counted_so_the_largest_channel_is_not_read(
    tmp_path: Path,
) -> None:
    before = Sent(9, "EMAIL", at="2026-02-28T23:59:59.500Z")
    api = Filtering([before, *sent(3, "EMAIL", 0), *sent(1, "LINKEDIN", 1000)])
    assert landed(load(api, tmp_path, [day(1)])) == [True]
    assert api.channels_read() == ["LINKEDIN"]


# Kinds of unreadable rows: how to change an item, and the expected reason.
UNREADABLE: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no time zone": (lambda item: item | {"created_at": item["created_at"].removesuffix("+00:00")}, "created_at"),
    "another field name": (lambda item: {**item, "createdAt": item["created_at"], "created_at": None}, "created_at"),
    "epoch milliseconds": (lambda item: item | {"created_at": 1_772_359_200_000}, "created_at"),
    "integer ids": (lambda item: item | {"id": UUID(item["id"]).int}, "`id` is not a UUID"),
    "no payload": (lambda item: item | {"payload": None}, "payload"),
    "not an object": (lambda item: [item], "malformed"),
    "a lone surrogate": (lambda item: item | {"payload": {"type": "\ud800"}}, "malformed"),
}


class UnreadableApi(PagedApi):
    """The rows of some days, the first ones of each day unreadable. Other endpoints don't exist.

    The days have a kind of unreadable rows each, and begin with 2 March.
    """

    def __init__(self, rows: int, unreadable: int, *kinds: str, missing: int = 0) -> None:
        super().__init__([])
        self.unreadable: dict[str, Callable[[dict[str, Any]], Any]] = {}
        step = timedelta(seconds=40)
        for nth, kind in enumerate(kinds or ["no time zone"]):
            moments = enumerate(instants(rows, day(2 + nth).window.start + step, step), start=nth * rows)
            items = [item_of(number, at, channel="EMAIL") for number, at in moments]
            self.unreadable |= {item["id"]: UNREADABLE[kind][0] for item in items[:unreadable]}
            self.items += items
        self.missing = missing

    async def answer(self, request: Request) -> Answer:
        if request.path != "/v1/activities":
            return Answer(b"", status=404)
        answer = await super().answer(request)
        page = answer.body
        page["items"] = [self.unreadable.get(item["id"], lambda item: item)(item) for item in page["items"]]
        page["total_count"] += self.missing
        return answer


@pytest.fixture(scope="module")
def without_readable_rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Load | Refusal]:
    """Load a day of each kind of unreadable rows, and then an empty one."""
    days = [day(2 + nth) for nth in range(len(UNREADABLE) + 1)]
    outcomes = load(UnreadableApi(150, 150, *UNREADABLE), tmp_path_factory.mktemp("unreadable"), days)
    return dict(zip([*UNREADABLE, "none"], outcomes, strict=True))


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_day_without_readable_rows_is_refused_with_the_reason_and_a_command(
    without_readable_rows: dict[str, Load | Refusal], kind: str
) -> None:
    refused = without_readable_rows[kind]
    assert isinstance(refused, Refusal)
    assert refused.reason.startswith("150 of the 150 rows that Topo sent can't be read (first reason: ")
    assert UNREADABLE[kind][1] in refused.reason
    assert refused.reason.endswith(f"topo-pipeline backfill {refused.day} --accept-unreadable {refused.day}")
    assert isinstance(without_readable_rows["none"], Load)


@pytest.mark.parametrize(
    ("kind", "rows", "unreadable", "lands"),
    [
        *(("a lone surrogate", *limit) for limit in LIMITS),
        ("integer ids", *LIMITS[0]),
        # smaller: topo_api/test_windows.py, test_a_day_has_too_many_unreadable_rows
        *(pytest.param("a lone surrogate", *limit, marks=pytest.mark.full) for limit in MORE_LIMITS),
        *(pytest.param("integer ids", *limit, marks=pytest.mark.full) for limit in (*LIMITS[1:], *MORE_LIMITS)),
    ],
)
def test_a_day_with_few_unreadable_rows_lands_proved_and_counts_them(
    tmp_path: Path, rows: int, unreadable: int, lands: bool, kind: str
) -> None:
    [outcome] = load(UnreadableApi(rows, unreadable, kind), tmp_path, [day(2)])
    assert isinstance(outcome, Load) == lands
    if isinstance(outcome, Load):
        assert (outcome.proved, outcome.rows, outcome.rejects) == (True, rows - unreadable, unreadable)


@pytest.mark.parametrize(
    "options",
    [{"accept_unreadable": [day(2).day]}, {"completeness": "warn"}],
    ids=["accepted by date", "completeness warn"],
)
def test_an_accepted_day_with_too_many_unreadable_rows_lands_unproved(tmp_path: Path, options: dict[str, Any]) -> None:
    [outcome] = load(UnreadableApi(200, 60), tmp_path, [day(2)], **options)
    assert isinstance(outcome, UnprovedLoad)
    assert (outcome.proved, outcome.rows, outcome.rejects) == (False, 140, 60)
    assert "60 of the 200 rows that Topo sent can't be read" in outcome.because
    assert "--accept-unreadable" not in outcome.because


def test_accepting_unreadable_rows_accepts_nothing_else(tmp_path: Path) -> None:
    [other_day] = load(UnreadableApi(200, 60), tmp_path, [day(2)], accept_unreadable=[day(3).day])
    [incomplete] = load(UnreadableApi(200, 60, missing=1), tmp_path, [day(2)], accept_unreadable=[day(2).day])
    [sound] = load(UnreadableApi(200, 0), tmp_path, [day(2)], accept_unreadable=[day(2).day])
    assert isinstance(other_day, Refusal)
    assert isinstance(incomplete, Refusal)
    assert "1 missing" in incomplete.reason
    assert isinstance(sound, Load)
    assert sound.proved


@pytest.mark.parametrize(
    ("kind", "keeps_ids"),
    [
        ("a lone surrogate", True),
        ("integer ids", False),
        *(pytest.param(kind, True, marks=pytest.mark.full) for kind in ("no time zone", "no payload")),
    ],
)
def test_a_landed_day_keeps_its_rows_if_they_become_unreadable(tmp_path: Path, kind: str, keeps_ids: bool) -> None:
    [first] = load(UnreadableApi(200, 0), tmp_path, [day(2)])
    [refused] = load(UnreadableApi(200, 200, kind), tmp_path, [day(2)])
    [accepted] = load(UnreadableApi(200, 200, kind), tmp_path, [day(2)], accept_unreadable=[day(2).day])
    assert isinstance(first, Load)
    assert isinstance(refused, Refusal)
    assert "--allow-shrink" not in refused.reason
    if keeps_ids:
        assert isinstance(accepted, UnprovedLoad)
        assert (accepted.rows, accepted.removed, accepted.rejects) == (first.rows, 0, first.rows)
    else:
        assert isinstance(accepted, Refusal)
        assert "Up to 200 of the missing ones may have come back unreadable." in accepted.reason
    with Warehouse(str(tmp_path / "w.duckdb")).reader() as connection:
        assert connection.execute("SELECT count(*) FROM topo.activities").fetchall() == [(first.rows,)]
