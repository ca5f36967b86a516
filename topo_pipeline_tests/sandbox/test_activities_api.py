"""GET /v1/activities over real HTTP, compared with the contract."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest

from topo_pipeline.sandbox.world import World
from topo_pipeline_tests.sandbox.conftest import NOW, Api, Clock, day_window

WEDNESDAY = date(2026, 1, 14)
DAY = day_window(WEDNESDAY)


@pytest.fixture(scope="module")
def day_items(api: Api) -> list[dict[str, Any]]:
    return api.items(**DAY)


def created(item: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(item["created_at"])


def test_the_envelope_has_exactly_the_documented_keys(api: Api) -> None:
    assert set(api.page(**DAY)) == {"items", "total_count", "total_pages", "has_more"}
    assert set(api.page(**DAY)["items"][0]) == {"id", "created_at", "payload"}


@pytest.mark.parametrize("size", [1, 7, 100])
def test_the_envelope_counts_items_and_pages(api: Api, day_items: list[dict[str, Any]], size: int) -> None:
    page = api.page(size=size, **DAY)
    full_pages, rest = divmod(len(day_items), size)
    assert page["total_count"] == len(day_items)
    assert page["total_pages"] == full_pages + bool(rest)
    assert page["has_more"] is True
    assert len(page["items"]) == size


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("size", [13, 100])
def test_paging_returns_each_activity_once(api: Api, day_items: list[dict[str, Any]], order: str, size: int) -> None:
    pages = list(api.pages(size=size, sort_by="created_at", sort_order=order, **DAY))
    ids = [item["id"] for page in pages for item in page["items"]]
    assert len(ids) == len(set(ids))
    assert set(ids) == {item["id"] for item in day_items}
    assert [page["has_more"] for page in pages] == [True] * (len(pages) - 1) + [False]
    assert [len(page["items"]) for page in pages[:-1]] == [size] * (len(pages) - 1)
    assert pages[-1]["items"]


def test_ten_items_newest_first_are_the_default(api: Api) -> None:
    items = api.page(**DAY)["items"]
    assert len(items) == 10
    assert [created(i) for i in items] == sorted((created(i) for i in items), reverse=True)


def test_activities_with_the_same_time_are_ordered_by_id(day_items: list[dict[str, Any]]) -> None:
    assert len({created(item) for item in day_items}) < len(day_items)
    assert day_items == sorted(day_items, key=lambda item: (created(item), item["id"]))


@pytest.mark.parametrize("number", [10_000, 10**30])
def test_a_page_past_the_end_is_empty(api: Api, day_items: list[dict[str, Any]], number: int) -> None:
    page = api.page(page=number, **DAY)
    assert page["items"] == []
    assert page["has_more"] is False
    assert page["total_count"] == len(day_items)


def test_an_empty_window_has_no_pages(api: Api) -> None:
    page = api.page(created_at_after="2026-01-14T10:00:00Z", created_at_before="2026-01-14T10:00:00Z")
    assert page == {"items": [], "total_count": 0, "total_pages": 0, "has_more": False}


def test_both_bounds_are_exclusive(api: Api, day_items: list[dict[str, Any]]) -> None:
    times = sorted({item["created_at"] for item in day_items}, key=datetime.fromisoformat)
    low, high = times[100], times[140]
    inside = [item for item in day_items if times.index(item["created_at"]) in range(101, 140)]
    assert api.items(created_at_after=low, created_at_before=high) == inside


def test_bounds_may_have_any_offset(api: Api, day_items: list[dict[str, Any]]) -> None:
    shifted = {
        "created_at_after": "2026-01-14T01:29:59+01:30",
        "created_at_before": "2026-01-14T19:00:00-05:00",
    }
    assert api.items(**shifted) == day_items


@pytest.mark.parametrize(
    ("parameter", "payload_key"),
    [
        ("person_id", "person_id"),
        ("sequence_id", "sequence_id"),
        ("sequence_template_id", "sequence_template_id"),
        ("resource_type", "resource_type"),
        ("channel", "channel"),
    ],
)
def test_a_filter_returns_the_activities_with_its_value(
    api: Api, day_items: list[dict[str, Any]], parameter: str, payload_key: str
) -> None:
    values = {item["payload"][payload_key] for item in day_items} - {None}
    for value in sorted(values)[:12]:
        expected = [item for item in day_items if item["payload"][payload_key] == value]
        assert api.items(**{parameter: value}, **DAY) == expected


def test_filtering_by_event_type_returns_its_activities(api: Api, day_items: list[dict[str, Any]]) -> None:
    events = {item["payload"]["type"].split(".")[1].upper() for item in day_items}
    assert {"SENT", "OPENED", "CREATED", "COMPLETED"} <= events
    for event in events:
        expected = [item for item in day_items if item["payload"]["type"].endswith(f".{event.lower()}")]
        assert api.items(event_type=event, **DAY) == expected


def test_filters_are_combined(api: Api, day_items: list[dict[str, Any]]) -> None:
    found = api.items(resource_type="MESSAGE", event_type="SENT", channel="LINKEDIN", **DAY)
    assert found
    assert found == [
        item
        for item in day_items
        if item["payload"]["type"] == "message.sent" and item["payload"]["channel"] == "LINKEDIN"
    ]


def test_uuids_are_matched_in_any_case(api: Api, day_items: list[dict[str, Any]]) -> None:
    person = day_items[0]["payload"]["person_id"]
    assert api.items(person_id=person.upper(), **DAY) == api.items(person_id=person, **DAY) != []


def test_unknown_parameters_are_ignored(api: Api) -> None:
    assert api.page(colour="blue", **DAY) == api.page(**DAY)


def test_times_have_mixed_precision(day_items: list[dict[str, Any]]) -> None:
    forms = {re.sub(r"\d", "9", item["created_at"]) for item in day_items}
    assert forms == {"9999-99-99T99:99:99Z", "9999-99-99T99:99:99.999Z"}


def test_activities_later_than_now_are_not_returned(open_sandbox: Callable[..., Api]) -> None:
    clock = Clock()
    api = open_sandbox(now=clock)
    window = day_window(NOW.date())
    known = api.items(**window)
    clock.now = NOW + timedelta(days=1)
    whole = api.items(**window)
    assert [item["id"] for item in known] == [item["id"] for item in whole if created(item) <= NOW]
    assert len(known) < len(whole)


def test_an_activity_is_returned_from_its_exact_time_on(
    open_sandbox: Callable[..., Api], day_items: list[dict[str, Any]]
) -> None:
    newest = day_items[200]
    clock = Clock(created(newest))
    api = open_sandbox(now=clock)
    assert newest["id"] in {item["id"] for item in api.page(size=100)["items"]}
    clock.now -= timedelta(microseconds=1)
    assert newest["id"] not in {item["id"] for item in api.page(size=100)["items"]}


def test_a_query_without_bounds_returns_everything(api: Api, world: World) -> None:
    everything = [a for a in world.activities(None, NOW + timedelta(days=2)) if a.created_at <= NOW]
    page = api.page(size=100)
    assert page["total_count"] == len(everything)
    assert page["items"][0]["id"] == everything[-1].id


def test_reply_categories_appear_later_and_then_stay(open_sandbox: Callable[..., Api], world: World) -> None:
    week = world.activities(NOW - timedelta(days=8), NOW)
    newest = max(activity.created_at for activity in week if activity.type == "message.replied")
    clock = Clock(newest + timedelta(minutes=1))
    api = open_sandbox(now=clock)
    replies = {"event_type": "REPLIED", "created_at_before": NOW.isoformat()}

    def categories() -> dict[str, str | None]:
        return {
            item["id"]: item["payload"]["metadata"]["reply_category"]
            for item in api.items(**replies, created_at_after="2026-01-13T00:00:00Z")
        }

    early = categories()
    clock.now = NOW + timedelta(hours=36)
    late = categories()
    assert early.keys() == late.keys()
    assert None in early.values()
    assert None not in late.values()
    assert {key: late[key] for key, value in early.items() if value} == {k: v for k, v in early.items() if v}


def test_a_reply_has_no_category_in_its_first_two_minutes(open_sandbox: Callable[..., Api], world: World) -> None:
    clock = Clock()
    api = open_sandbox(now=clock)
    week = world.activities(datetime(2026, 1, 12, tzinfo=UTC), datetime(2026, 1, 15, tzinfo=UTC))
    for activity in [a for a in week if a.type == "message.replied"]:
        clock.now = activity.created_at + timedelta(seconds=119)
        newest = api.page(event_type="REPLIED", person_id=activity.person_id, size=1)["items"][0]
        assert newest["id"] == activity.id
        assert newest["payload"]["metadata"]["reply_category"] is None


def test_both_spellings_have_the_same_values(open_sandbox: Callable[..., Api]) -> None:
    camel = open_sandbox(spelling="camel").items(**DAY)
    snake = open_sandbox(spelling="snake").items(**DAY)
    only_snake = {"resource_type", "channel", "metadata"}
    assert {key for item in snake for key in item["payload"]} & only_snake == only_snake

    def to_snake(name: str) -> str:
        return re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name)

    def respell(item: dict[str, Any]) -> dict[str, Any]:
        return item | {"payload": {to_snake(key): value for key, value in item["payload"].items()}}

    def strip(item: dict[str, Any]) -> dict[str, Any]:
        return item | {"payload": {k: v for k, v in item["payload"].items() if k not in only_snake}}

    assert [respell(item) for item in camel] == [strip(item) for item in snake]
    assert set(camel[0]["payload"]) == {
        *("type", "organizationId", "personId", "sequenceId", "sequenceTemplateId"),
        *("messageId", "hotLeadId", "calendarEventId", "taskId"),
    }


def test_the_channel_filter_works_on_payloads_without_a_channel(
    open_sandbox: Callable[..., Api], day_items: list[dict[str, Any]]
) -> None:
    found = open_sandbox(spelling="camel").items(channel="LINKEDIN", resource_type="MESSAGE", **DAY)
    assert {item["id"] for item in found} == {
        item["id"]
        for item in day_items
        if item["payload"]["resource_type"] == "MESSAGE" and item["payload"]["channel"] == "LINKEDIN"
    }
    assert found


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        *(("page", value) for value in ("0", "-1", "1.0", "one", "", "1_0")),
        *(("size", value) for value in ("0", "101", "1e1", "null")),
        *(("sort_by", value) for value in ("updated_at", "CREATED_AT", "")),
        ("sort_order", "ascending"),
        *(("person_id", value) for value in ("7", "", "0" * 32, "{00000000-0000-0000-0000-000000000000}")),
        ("sequence_id", "urn:uuid:00000000-0000-0000-0000-000000000000"),
        ("sequence_template_id", "00000000-0000-0000-0000-00000000000g"),
        ("resource_type", "message"),
        ("channel", "PIGEON"),
        ("event_type", "FORGOTTEN"),
        *(("created_at_after", v) for v in ("2026-01-14T00:00:00", "2026-01-14", "1768348800", "yesterday")),
        *(("created_at_before", v) for v in ("2026-01-14T00:00:00 00:00", "2026-02-30T00:00:00Z", "")),
    ],
)
def test_an_invalid_parameter_is_refused_by_name(api: Api, parameter: str, value: str) -> None:
    response = api.http.get("activities", params={parameter: value})
    body = response.json()
    assert response.status_code == 400
    assert body["type"] == "ValidationIssue"
    assert [issue["parameter"] for issue in body["data"]["issues"]] == [parameter]
    assert body["message"].startswith(f"{parameter}: ")


def test_all_invalid_parameters_are_named_together(api: Api) -> None:
    body = api.http.get("activities", params={"page": 0, "size": 0, "channel": "x"}).json()
    assert {issue["parameter"] for issue in body["data"]["issues"]} == {"page", "size", "channel"}


def test_bounds_in_years_1_and_9999_are_accepted(api: Api) -> None:
    ends = {"created_at_after": "0001-01-01T00:00:00+23:59", "created_at_before": "9999-12-31T23:59:59-23:59"}
    assert api.page(**ends)["total_count"] == api.page()["total_count"] > 0
    reversed_bounds = dict(zip(ends, reversed(ends.values()), strict=True))
    assert api.page(**reversed_bounds)["total_count"] == 0


def test_a_page_of_100_takes_less_than_100_ms(api: Api) -> None:
    params: dict[str, str | int] = {"size": 100, **DAY}
    durations = [_elapsed(api.http.get("activities", params=params)) for _ in range(20)]
    assert sorted(durations)[len(durations) // 2] < timedelta(milliseconds=100)


def _elapsed(response: httpx.Response) -> timedelta:
    assert len(response.json()["items"]) == 100
    return response.elapsed
