"""Faults on demand: what each does to an answer, when it strikes, and who may set a plan."""

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
ASKED = day_window(DAY) | {"size": "100", "sort_by": "created_at", "sort_order": "asc"}


@pytest.fixture(scope="module")
def small_world() -> World:
    return World(11, scale=0.2)


@pytest.fixture(scope="module")
def shared(small_world: World) -> Iterator[Api]:
    with open_api(small_world) as opened:
        yield opened


@pytest.fixture
def api(shared: Api) -> Iterator[Api]:
    yield shared
    shared.http.delete(_admin(shared))


def _admin(api: Api) -> httpx.URL:
    return api.http.base_url.join("/faults")


def _set(api: Api, *plan: dict[str, Any]) -> None:
    assert api.http.put(_admin(api), json=plan).status_code == 204


def _page(api: Api, number: int = 1) -> dict[str, Any]:
    return api.page(**ASKED, page=number)


def _ids(page: dict[str, Any]) -> list[str]:
    return [item["id"] for item in page["items"]]


def test_without_a_plan_and_after_its_end_the_answers_are_the_apps_own(api: Api) -> None:
    before = api.http.get("activities", params=ASKED)
    _set(api, {"kind": "answer"})
    assert api.http.get("activities", params=ASKED).status_code == 503
    assert api.http.delete(_admin(api)).status_code == 204
    after = api.http.get("activities", params=ASKED)
    unlike = ("date",)
    assert after.content == before.content
    assert {k: v for k, v in after.headers.items() if k not in unlike} == {
        k: v for k, v in before.headers.items() if k not in unlike
    }


def test_a_plan_can_be_given_in_python(small_world: World) -> None:
    with open_api(small_world, faults=[Miscount(by=7, times=1)]) as api:
        assert _page(api)["total_count"] - _page(api)["total_count"] == 7


def test_a_fault_strikes_its_operation_its_page_and_as_often_as_it_says(api: Api) -> None:
    _set(api, {"kind": "answer", "status": 500, "page": 2, "times": 2})
    assert api.http.get("me").status_code == 200

    def statuses(page: int) -> list[int]:
        return [api.http.get("activities", params=ASKED | {"page": page}).status_code for _ in range(4)]

    assert statuses(1) == [200] * 4
    assert statuses(2) == [500, 500, 200, 200]
    _set(api, {"kind": "answer", "status": 500, "path": "me"})
    assert api.http.get("me").status_code == 500
    assert statuses(2) == [200] * 4


def test_an_answer_is_what_the_plan_says_and_may_echo_the_header(api: Api) -> None:
    _set(api, {"kind": "answer", "status": 429, "body": "no, {authorization}", "headers": {"Retry-After": "7"}})
    answer = api.http.get("activities", params=ASKED)
    assert (answer.status_code, answer.text, answer.headers["retry-after"]) == (429, f"no, Bearer {KEY}", "7")


def test_a_reset_is_a_reset_with_or_without_a_part_of_the_body(api: Api) -> None:
    for midway in (False, True):
        _set(api, {"kind": "reset", "midway": midway})
        with pytest.raises(httpx.ReadError):
            api.http.get("activities", params=ASKED)
    api.http.delete(_admin(api))
    assert _page(api)["items"]


def test_a_body_is_cut_under_a_right_and_under_a_wrong_length(api: Api) -> None:
    whole = api.http.get("activities", params=ASKED).content
    _set(api, {"kind": "cut"})
    cut = api.http.get("activities", params=ASKED)
    assert cut.content == whole[: len(whole) // 2]
    assert int(cut.headers["content-length"]) == len(cut.content)
    _set(api, {"kind": "short"})
    with api.http.stream("GET", "activities", params=ASKED) as short:
        received = b""
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
            for part in short.iter_raw():
                received += part
    assert received == cut.content
    assert int(short.headers["content-length"]) == len(whole)


def test_a_drip_outlasts_the_read_timeout_and_ends_with_the_client(api: Api) -> None:
    _set(api, {"kind": "drip", "pause": 60})
    with pytest.raises(httpx.ReadTimeout):
        api.http.get("activities", params=ASKED, timeout=0.2)
    api.http.delete(_admin(api))
    assert _page(api)["items"]


def test_a_miscount_moves_the_count_alone(api: Api) -> None:
    before = _page(api)
    _set(api, {"kind": "miscount", "by": -3})
    assert _page(api) == before | {"total_count": before["total_count"] - 3}


@pytest.mark.parametrize("kind", ["unknown", "nulls", "unreadable"])
def test_items_are_bent_some_of_them_and_always_the_same(api: Api, kind: str) -> None:
    sound = _page(api)["items"]
    _set(api, {"kind": kind, "every": 4})
    bent = _page(api)["items"]
    assert _page(api)["items"] == bent
    changed = sum(was != became for was, became in zip(sound, bent, strict=True))
    assert len(sound) / 8 < changed < len(sound) / 2


def test_unreadable_items_are_so_in_every_way(api: Api) -> None:
    _set(api, {"kind": "unreadable", "every": 1})
    items = _page(api)["items"]
    ways = Counter(
        "item" if not isinstance(item, dict) else "id" if not item["id"] else "payload" if not item["payload"] else "at"
        for item in items
    )
    assert set(ways) == {"item", "id", "payload", "at"}


def test_ties_stand_otherwise_at_each_request_and_all_else_as_it_was(api: Api) -> None:
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


def test_a_torn_page_repeats_the_last_row_of_the_one_before_and_hides_its_own_first(api: Api) -> None:
    one, two = _page(api, 1), _page(api, 2)
    _set(api, {"kind": "torn"})
    assert _page(api, 1) == one
    assert _ids(_page(api, 2)) == [_ids(one)[-1], *_ids(two)[1:]]
    assert _page(api, 2)["total_count"] == one["total_count"]


def test_a_crowd_stands_at_one_instant_and_heeds_the_filters(api: Api) -> None:
    before = _page(api)["total_count"]
    _set(api, {"kind": "crowd", "count": 1000})
    items = api.items(**day_window(DAY))
    assert len({item["id"] for item in items}) == before + 1000
    [(_, most)] = Counter(item["created_at"] for item in items).most_common(1)
    assert most == 1000
    counted = [api.page(**ASKED, event_type=event)["total_count"] for event in ("SENT", "OPENED")]
    api.http.delete(_admin(api))
    was = [api.page(**ASKED, event_type=event)["total_count"] for event in ("SENT", "OPENED")]
    assert [now - then for now, then in zip(counted, was, strict=True)] == [1000, 0]


@pytest.mark.parametrize(("kind", "more"), [("appearing", [0, 1, 2, 2]), ("vanishing", [2, 1, 0, 0])])
def test_rows_come_and_go_from_request_to_request(api: Api, kind: str, more: list[int]) -> None:
    before = _page(api)
    _set(api, {"kind": kind, "count": 2})
    pages = [_page(api) for _ in more]
    assert [page["total_count"] - before["total_count"] for page in pages] == more
    for page, count in zip(pages, more, strict=True):
        assert _ids(page)[count:] == _ids(before)[: 100 - count]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("[{", "truncated"),
        ("{}", "array"),
        ('[{"kind": "flood"}]', "flood"),
        ('[{"kind": "reset", "tiems": 1}]', "tiems"),
        ('[{"kind": "reset", "times": 0}]', ">= 1"),
        ("[{}]", "kind"),
    ],
)
def test_a_bad_plan_is_refused_in_one_sentence_and_changes_nothing(api: Api, body: str, says: str) -> None:
    _set(api, {"kind": "answer", "status": 500})
    refused = api.http.put(_admin(api), content=body)
    assert_is_topo_error(refused, 400, "ValidationIssue")
    message = refused.json()["message"]
    assert says in message
    assert all(kind in message for kind in KINDS)
    assert "\n" not in message
    assert api.http.get("activities", params=ASKED).status_code == 500


def test_only_this_machine_may_set_a_plan(small_world: World) -> None:
    app = create_app(small_world, api_key=KEY, now=lambda: NOW)

    async def ask(method: str, peer: str) -> httpx.Response:
        transport = httpx.ASGITransport(app, client=(peer, 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            return await http.request(method, "/faults", content="[]")

    for method in ("PUT", "DELETE"):
        assert_is_topo_error(asyncio.run(ask(method, "192.0.2.7")), 404, "NotFoundIssue")
        for loopback in ("127.0.0.1", "::1"):
            assert asyncio.run(ask(method, loopback)).status_code == 204


def test_the_plan_is_not_part_of_the_contract(api: Api) -> None:
    schema = api.http.get(api.http.base_url.join("/openapi.json")).json()
    assert list(schema["paths"]) == ["/v1/activities", "/v1/sequence-templates", "/v1/me"]


def test_an_error_of_the_apps_own_is_left_as_it_is_by_faults_of_a_page(small_world: World) -> None:
    with open_api(small_world, faults=[Miscount(), Answer(page=3)]) as api:
        assert_is_topo_error(api.http.get("activities?size=0"), 400, "ValidationIssue")
