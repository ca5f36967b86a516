"""Faults on demand: what each does to a response, when it applies, and who may set a plan."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import Any

import httpx
import pytest

from topo_pipeline.sandbox.app import create_app
from topo_pipeline.sandbox.faults import Answer, Miscount
from topo_pipeline.sandbox.plan import KINDS
from topo_pipeline.sandbox.world import World
from topo_pipeline_tests.sandbox.conftest import KEY, NOW, Api, day_window, open_api
from topo_pipeline_tests.sandbox.test_access_and_errors import assert_is_topo_error

DAY = date(2026, 1, 14)
QUERY = day_window(DAY) | {"size": "100", "sort_by": "created_at", "sort_order": "asc"}


@pytest.fixture(scope="module")
def small_world() -> World:
    return World(11, scale=0.2)


@pytest.fixture(scope="module")
def shared_api(small_world: World) -> Iterator[Api]:
    with open_api(small_world) as opened:
        yield opened


@pytest.fixture
def api(shared_api: Api) -> Iterator[Api]:
    yield shared_api
    shared_api.http.delete(_admin(shared_api))


def _admin(api: Api) -> httpx.URL:
    return api.http.base_url.join("/faults")


def _set(api: Api, *plan: dict[str, Any]) -> None:
    assert api.http.put(_admin(api), json=plan).status_code == 204


def _page(api: Api, number: int = 1) -> dict[str, Any]:
    return api.page(**QUERY, page=number)


def _ids(page: dict[str, Any]) -> list[str]:
    return [item["id"] for item in page["items"]]


def test_without_a_plan_responses_are_unchanged(api: Api) -> None:
    before = api.http.get("activities", params=QUERY)
    _set(api, {"kind": "answer"})
    assert api.http.get("activities", params=QUERY).status_code == 503
    assert api.http.delete(_admin(api)).status_code == 204
    after = api.http.get("activities", params=QUERY)
    ignored = ("date",)
    assert after.content == before.content
    assert {k: v for k, v in after.headers.items() if k not in ignored} == {
        k: v for k, v in before.headers.items() if k not in ignored
    }


def test_a_plan_can_be_given_in_python(small_world: World) -> None:
    with open_api(small_world, faults=[Miscount(by=7, times=1)]) as api:
        assert _page(api)["total_count"] - _page(api)["total_count"] == 7


def test_a_fault_applies_to_its_path_and_page_for_a_number_of_times(api: Api) -> None:
    _set(api, {"kind": "answer", "status": 500, "page": 2, "times": 2})
    assert api.http.get("me").status_code == 200

    def statuses(page: int) -> list[int]:
        return [api.http.get("activities", params=QUERY | {"page": page}).status_code for _ in range(4)]

    assert statuses(1) == [200] * 4
    assert statuses(2) == [500, 500, 200, 200]
    _set(api, {"kind": "answer", "status": 500, "path": "me"})
    assert api.http.get("me").status_code == 500
    assert statuses(2) == [200] * 4


def test_an_answer_fault_sets_status_headers_and_body(api: Api) -> None:
    _set(api, {"kind": "answer", "status": 429, "body": "no, {authorization}", "headers": {"Retry-After": "7"}})
    answer = api.http.get("activities", params=QUERY)
    assert (answer.status_code, answer.text, answer.headers["retry-after"]) == (429, f"no, Bearer {KEY}", "7")


def test_a_reset_fault_closes_the_connection_before_or_within_the_body(api: Api) -> None:
    for midway in (False, True):
        _set(api, {"kind": "reset", "midway": midway})
        with pytest.raises(httpx.ReadError):
            api.http.get("activities", params=QUERY)
    api.http.delete(_admin(api))
    assert _page(api)["items"]


def test_a_body_can_be_cut_with_a_right_or_wrong_content_length(api: Api) -> None:
    whole = api.http.get("activities", params=QUERY).content
    _set(api, {"kind": "cut"})
    cut = api.http.get("activities", params=QUERY)
    assert cut.content == whole[: len(whole) // 2]
    assert int(cut.headers["content-length"]) == len(cut.content)
    _set(api, {"kind": "short"})
    with api.http.stream("GET", "activities", params=QUERY) as short:
        received = b""
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
            for part in short.iter_raw():
                received += part
    assert received == cut.content
    assert int(short.headers["content-length"]) == len(whole)


def test_a_drip_fault_exceeds_the_read_timeout_and_ends_with_the_client(api: Api) -> None:
    _set(api, {"kind": "drip", "pause": 60})
    with pytest.raises(httpx.ReadTimeout):
        api.http.get("activities", params=QUERY, timeout=0.2)
    api.http.delete(_admin(api))
    assert _page(api)["items"]


def test_a_miscount_changes_only_the_count(api: Api) -> None:
    before = _page(api)
    _set(api, {"kind": "miscount", "by": -3})
    assert _page(api) == before | {"total_count": before["total_count"] - 3}


@pytest.mark.parametrize("kind", ["unknown", "nulls", "unreadable"])
def test_an_item_fault_changes_the_same_items_each_time(api: Api, kind: str) -> None:
    sound = _page(api)["items"]
    _set(api, {"kind": kind, "every": 4})
    changed_items = _page(api)["items"]
    assert _page(api)["items"] == changed_items
    changed = sum(before != after for before, after in zip(sound, changed_items, strict=True))
    assert len(sound) / 8 < changed < len(sound) / 2


def test_unreadable_items_are_of_every_kind(api: Api) -> None:
    _set(api, {"kind": "unreadable", "every": 1})
    items = _page(api)["items"]
    kinds = Counter(
        "item" if not isinstance(item, dict) else "id" if not item["id"] else "payload" if not item["payload"] else "at"
        for item in items
    )
    assert set(kinds) == {"item", "id", "payload", "at"}


def test_a_ties_fault_changes_only_the_order_of_equal_times(api: Api) -> None:
    _set(api, {"kind": "crowd", "count": 60})
    first = _page(api)
    _set(api, {"kind": "crowd", "count": 60}, {"kind": "ties"})
    pages = [_page(api) for _ in range(3)]
    orders = {tuple(_ids(page)) for page in pages}
    assert len(orders) == 3
    for page in pages:
        instants = [item["created_at"] for item in page["items"]]
        assert instants == [item["created_at"] for item in first["items"]]
        assert page["total_count"] == first["total_count"]


def test_a_torn_page_repeats_the_previous_row_and_hides_its_first(api: Api) -> None:
    one, two = _page(api, 1), _page(api, 2)
    _set(api, {"kind": "torn"})
    assert _page(api, 1) == one
    assert _ids(_page(api, 2)) == [_ids(one)[-1], *_ids(two)[1:]]
    assert _page(api, 2)["total_count"] == one["total_count"]


def test_a_crowd_has_one_time_and_obeys_filters(api: Api) -> None:
    before = _page(api)["total_count"]
    _set(api, {"kind": "crowd", "count": 250})
    items = api.items(**day_window(DAY))
    assert len({item["id"] for item in items}) == before + 250
    [(_, most)] = Counter(item["created_at"] for item in items).most_common(1)
    assert most == 250
    counted = [api.page(**QUERY, event_type=event)["total_count"] for event in ("SENT", "OPENED")]
    api.http.delete(_admin(api))
    counts_without_crowd = [api.page(**QUERY, event_type=event)["total_count"] for event in ("SENT", "OPENED")]
    assert [more - fewer for more, fewer in zip(counted, counts_without_crowd, strict=True)] == [250, 0]


@pytest.mark.parametrize(("kind", "more"), [("appearing", [0, 1, 2, 2]), ("vanishing", [2, 1, 0, 0])])
def test_rows_appear_or_vanish_between_requests(api: Api, kind: str, more: list[int]) -> None:
    before = _page(api)
    _set(api, {"kind": kind, "count": 2})
    pages = [_page(api) for _ in more]
    assert [page["total_count"] - before["total_count"] for page in pages] == more
    for page, count in zip(pages, more, strict=True):
        assert _ids(page)[count:] == _ids(before)[: 100 - count]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("[{", "truncated"),
        ("{}", "array"),
        ('[{"kind": "flood"}]', "flood"),
        ('[{"kind": "reset", "tiems": 1}]', "tiems"),
        ('[{"kind": "reset", "times": 0}]', ">= 1"),
        ("[{}]", "kind"),
    ],
)
def test_an_invalid_plan_is_refused_and_changes_nothing(api: Api, body: str, expected: str) -> None:
    _set(api, {"kind": "answer", "status": 500})
    refused = api.http.put(_admin(api), content=body)
    assert_is_topo_error(refused, 400, "ValidationIssue")
    message = refused.json()["message"]
    assert expected in message
    assert all(kind in message for kind in KINDS)
    assert "\n" not in message
    assert api.http.get("activities", params=QUERY).status_code == 500


def test_only_loopback_may_set_a_plan(small_world: World) -> None:
    app = create_app(small_world, api_key=KEY, now=lambda: NOW)

    async def ask(method: str, peer: str) -> httpx.Response:
        transport = httpx.ASGITransport(app, client=(peer, 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            return await http.request(method, "/faults", content="[]")

    for method in ("PUT", "DELETE"):
        assert_is_topo_error(asyncio.run(ask(method, "192.0.2.7")), 404, "NotFoundIssue")
        for loopback in ("127.0.0.1", "::1"):
            assert asyncio.run(ask(method, loopback)).status_code == 204


def test_the_faults_endpoint_is_not_in_the_openapi_schema(api: Api) -> None:
    schema = api.http.get(api.http.base_url.join("/openapi.json")).json()
    assert list(schema["paths"]) == ["/v1/activities", "/v1/sequence-templates", "/v1/me"]


def test_page_faults_do_not_change_the_apps_own_errors(small_world: World) -> None:
    with open_api(small_world, faults=[Miscount(), Answer(page=3)]) as api:
        assert_is_topo_error(api.http.get("activities?size=0"), 400, "ValidationIssue")
