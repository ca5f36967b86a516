"""GET /v1/me and GET /v1/sequence-templates over real HTTP."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from topo_pipeline.sandbox.world import World
from topo_pipeline_tests.sandbox.conftest import KEY, NOW, Api, Clock, day_window

PATH = "sequence-templates"


@pytest.fixture(scope="module")
def templates(api: Api) -> list[dict[str, Any]]:
    page = api.page(PATH, size=100)
    assert set(page) == {"items", "total_count", "total_pages", "has_more"}
    return list(page["items"])


def test_me_returns_the_organization_and_only_a_prefix_of_the_key(api: Api) -> None:
    me = api.page("me")
    assert set(me) == {
        *("id", "organization_id", "name", "key_prefix", "scopes", "last_used_at", "created_at"),
    }
    assert me["organization_id"] == api.page(size=1)["items"][0]["payload"]["organization_id"]
    assert KEY.startswith(me["key_prefix"])
    assert len(me["key_prefix"]) <= len(KEY) / 2
    assert me["scopes"] == ["activities:read", "sequences:read"]


def test_fourteen_sequences_have_names_and_one_has_none(templates: list[dict[str, Any]]) -> None:
    names = [template["name"] for template in templates]
    assert len(set(names)) == len(names) == 15
    (unnamed,) = [template for template in templates if template["name"] is None]
    assert unnamed["status"] == "PENDING_SETUP"
    assert unnamed["activated_at"] is None


def test_every_activity_belongs_to_a_named_template(api: Api, templates: list[dict[str, Any]]) -> None:
    names = {template["id"]: template["name"] for template in templates}
    items = api.items(**day_window(date(2026, 1, 14)))
    ids = {item["payload"]["sequence_template_id"] for item in items} - {None}
    assert all(names[template_id] for template_id in ids)
    assert len(ids) > 5


@pytest.mark.parametrize("sort_by", ["created_at", "updated_at", "name"])
def test_templates_are_sorted_as_requested(api: Api, sort_by: str) -> None:
    ascending = api.page(PATH, size=100, sort_by=sort_by)["items"]
    named = [item[sort_by] for item in ascending if item[sort_by] is not None]
    assert named == sorted(named)
    descending = api.page(PATH, size=100, sort_by=sort_by, sort_order="desc")["items"]
    assert descending == ascending[::-1]


def test_templates_come_oldest_first_by_default(templates: list[dict[str, Any]]) -> None:
    created = [template["created_at"] for template in templates]
    assert created == sorted(created)


def test_templates_are_found_by_part_of_their_name(api: Api, templates: list[dict[str, Any]]) -> None:
    found = api.page(PATH, name="LINKEDIN only")["items"]
    assert found == [t for t in templates if t["name"] and "linkedin only" in t["name"].lower()]
    assert len(found) == 1


def test_filtering_by_status_returns_each_template_once(api: Api, templates: list[dict[str, Any]]) -> None:
    statuses = ("PENDING_SETUP", "ACTIVE", "INACTIVE", "FINISHING", "ARCHIVED")
    by_status = [api.page(PATH, size=100, status=status)["items"] for status in statuses]
    assert sum(len(found) for found in by_status) == len(templates)
    for status, found in zip(statuses, by_status, strict=True):
        assert all(template["status"] == status for template in found)


def test_template_bounds_are_exclusive(api: Api, templates: list[dict[str, Any]]) -> None:
    low, high = templates[2]["created_at"], templates[6]["created_at"]
    found = api.page(PATH, created_at_after=low, created_at_before=high)["items"]
    assert found == templates[3:6]


def test_templates_are_paged(api: Api, templates: list[dict[str, Any]]) -> None:
    pages = [api.page(PATH, size=5, page=number) for number in (1, 2, 3, 4)]
    assert [item for page in pages for item in page["items"]] == templates
    assert [page["has_more"] for page in pages] == [True, True, False, False]


@pytest.mark.parametrize(
    ("parameter", "value"), [("sort_by", "id"), ("status", "active"), ("size", "101"), ("page", "x")]
)
def test_invalid_template_parameters_are_refused(api: Api, parameter: str, value: str) -> None:
    response = api.http.get(PATH, params={parameter: value})
    assert response.status_code == 400
    assert response.json()["data"]["issues"][0]["parameter"] == parameter


@pytest.fixture(scope="module")
def small_world() -> World:
    """Return a world with a tenth of the contacts, which is faster. Its seasons are the usual ones."""
    return World(scale=0.1)


@pytest.mark.parametrize("weeks_later", range(0, 36, 4))
def test_at_any_time_one_sequence_is_new_another_has_ended_and_two_are_archived(
    open_sandbox: Callable[..., Api], small_world: World, weeks_later: int
) -> None:
    clock = Clock(datetime(2026, 9, 9, tzinfo=UTC) + timedelta(weeks=weeks_later))
    api = open_sandbox(small_world, now=clock)
    named = [template for template in api.page(PATH, size=100)["items"] if template["name"]]
    began = (clock.now - timedelta(weeks=9)).isoformat()
    new = [t for t in named if t["status"] == "ACTIVE" and t["updated_at"] >= began]
    ended = [t for t in named if t["status"] in ("FINISHING", "INACTIVE")]
    archived = [t for t in named if t["status"] == "ARCHIVED"]
    assert (len(new), len(ended), len(archived)) == (1, 1, 2)
    runs_may_continue = datetime.fromisoformat(ended[0]["updated_at"]) > clock.now - timedelta(days=45)
    assert ended[0]["status"] == ("FINISHING" if runs_may_continue else "INACTIVE")
    since = new[0]["updated_at"]
    enrolled = api.items(resource_type="SEQUENCE", event_type="CREATED", created_at_after=since)
    enrolling = {item["payload"]["sequence_template_id"] for item in enrolled}
    assert new[0]["id"] in enrolling
    assert not {t["id"] for t in (*ended, *archived)} & enrolling


def test_sequences_before_their_first_season_are_pending(open_sandbox: Callable[..., Api]) -> None:
    items = open_sandbox(now=Clock(NOW - timedelta(weeks=4))).page(PATH, size=100)["items"]
    pending = [t for t in items if t["status"] == "PENDING_SETUP" and t["name"]]
    assert [t["activated_at"] for t in pending] == [None, None, None]
