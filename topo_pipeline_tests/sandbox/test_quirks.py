"""Each way in which the sandbox can differ from the documentation, over real HTTP."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from topo_pipeline.sandbox.quirks import NO_QUIRKS, Quirks, parse
from topo_pipeline_tests.sandbox.conftest import NOW, Api, Clock, day_window
from topo_pipeline_tests.sandbox.differences import EXAMPLES

SATURDAY = day_window(date(2026, 1, 17))  # a day of one page
WEDNESDAY = day_window(date(2026, 1, 14))
ASCENDING = {"sort_by": "created_at", "sort_order": "asc", "size": 100}
OpenSandbox = Callable[..., Api]


def created(item: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(item["created_at"])


def by_id(items: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {item["id"]: item for item in items}


def test_responses_have_the_date_of_the_sandbox_clock(open_sandbox: OpenSandbox) -> None:
    clock = Clock()
    api = open_sandbox(now=clock)
    clock.now = NOW + timedelta(days=1)
    answers = [api.http.get("activities"), api.http.get("nothing"), api.http.get("me", headers={"Authorization": "no"})]
    assert [answer.status_code for answer in answers] == [200, 404, 401]
    assert [answer.headers.get_list("date") for answer in answers] == [[httpx.Headers(answers[0].headers)["date"]]] * 3
    assert parsedate_to_datetime(answers[0].headers["date"]) == clock.now


def test_responses_can_have_the_date_of_another_clock(open_sandbox: OpenSandbox) -> None:
    later = NOW + timedelta(hours=9)
    answer = open_sandbox(date_clock=lambda: later).http.get("activities")
    assert parsedate_to_datetime(answer.headers["date"]) == later


@pytest.mark.parametrize("minutes", [20, -20])
def test_the_date_header_can_be_wrong_or_missing(open_sandbox: OpenSandbox, minutes: int) -> None:
    answer = open_sandbox(quirks=Quirks(clock_ahead_seconds=60 * minutes)).http.get("activities")
    assert parsedate_to_datetime(answer.headers["date"]) == NOW + timedelta(minutes=minutes)
    assert "date" not in open_sandbox(quirks=Quirks(no_date_header=True)).http.get("activities").headers


def test_rate_limit_headers_are_sent_only_with_the_quirk(open_sandbox: OpenSandbox, api: Api) -> None:
    answer = open_sandbox(quirks=Quirks(rate_limit_headers=True)).http.get("activities")
    assert {"x-ratelimit-limit", "x-ratelimit-remaining"} <= set(answer.headers)
    assert not [name for name in api.http.get("activities").headers if "ratelimit" in name]


@pytest.mark.parametrize("quirks", [NO_QUIRKS, Quirks(bounds_inclusive=True)], ids=["exclusive", "inclusive"])
def test_bounds_can_be_inclusive(open_sandbox: OpenSandbox, api: Api, quirks: Quirks) -> None:
    first, *_, last = api.items(**SATURDAY)
    bounds = {"created_at_after": first["created_at"], "created_at_before": last["created_at"]}
    ids = by_id(open_sandbox(quirks=quirks).items(**bounds)).keys()
    assert (first["id"] in ids, last["id"] in ids) == (quirks.bounds_inclusive, quirks.bounds_inclusive)


def test_shifted_bounds_select_other_rows_with_right_times(open_sandbox: OpenSandbox, api: Api) -> None:
    shift = timedelta(hours=2)
    moved = {name: (datetime.fromisoformat(bound) + shift).isoformat() for name, bound in WEDNESDAY.items()}
    found = open_sandbox(quirks=Quirks(bounds_shift_seconds=7200)).items(**WEDNESDAY)
    assert found == api.items(**moved)
    assert found != api.items(**WEDNESDAY)


def test_shifted_times_are_shown_for_the_requested_rows(open_sandbox: OpenSandbox, api: Api) -> None:
    shift = timedelta(hours=2)
    true, shown = (
        by_id(api.items(**WEDNESDAY)),
        by_id(open_sandbox(quirks=Quirks(shown_shift_seconds=7200)).items(**WEDNESDAY)),
    )
    assert {id_: created(item) - shift for id_, item in shown.items()} == {
        id_: created(item) for id_, item in true.items()
    }


@pytest.mark.parametrize("rounding", ["down", "nearest"])
@pytest.mark.parametrize("unit", [1, 60])
def test_times_can_be_rounded(open_sandbox: OpenSandbox, api: Api, unit: int, rounding: Any) -> None:
    quirks = Quirks(shown_unit_seconds=unit, shown_rounding=rounding)
    shown = by_id(open_sandbox(quirks=quirks).items(**WEDNESDAY))
    differences = [(created(shown[item["id"]]) - created(item)).total_seconds() for item in api.items(**WEDNESDAY)]
    assert {created(item).timestamp() % unit for item in shown.values()} == {0}
    least, most = (-unit, 0) if rounding == "down" else (-unit / 2, unit / 2)
    assert least <= min(differences) < max(differences) <= most
    assert (max(differences) > 0) == (rounding == "nearest")


def test_with_a_capped_count_all_pages_still_exist(open_sandbox: OpenSandbox, api: Api) -> None:
    rows = len(api.items(**WEDNESDAY))
    capped = open_sandbox(quirks=Quirks(count_cap=150))
    page = capped.page(page=2, **ASCENDING, **WEDNESDAY)
    assert (page["total_count"], page["total_pages"], page["has_more"]) == (150, 2, True)
    assert len(capped.items(**WEDNESDAY)) == rows


@pytest.mark.parametrize("off_by", [1, -1])
def test_the_count_can_be_off_by_a_number(open_sandbox: OpenSandbox, api: Api, off_by: int) -> None:
    wrong = open_sandbox(quirks=Quirks(count_off_by=off_by)).page(**WEDNESDAY)
    assert wrong["total_count"] == api.page(**WEDNESDAY)["total_count"] + off_by


@pytest.mark.parametrize("order", ["descending", "unsorted"])
def test_the_requested_order_can_be_ignored(open_sandbox: OpenSandbox, api: Api, order: Any) -> None:
    asked = api.items(**SATURDAY)
    found = open_sandbox(quirks=Quirks(order=order)).items(**SATURDAY)
    key: Callable[[dict[str, Any]], Any] = created if order == "descending" else lambda item: item["id"]
    assert found == sorted(found, key=key, reverse=order == "descending") != asked
    assert by_id(found) == by_id(asked)


def test_ties_can_change_their_order_between_requests(open_sandbox: OpenSandbox) -> None:
    api = open_sandbox(quirks=Quirks(ties_shuffled=True))
    one, two = (api.page(**ASCENDING, **WEDNESDAY)["items"] for _ in range(2))
    assert [created(item) for item in one] == sorted(created(item) for item in one)
    assert one != two


def test_pages_can_be_shorter_than_requested(open_sandbox: OpenSandbox, api: Api) -> None:
    short = open_sandbox(quirks=Quirks(max_page_size=50))
    page = short.page(**ASCENDING, **WEDNESDAY)
    assert (len(page["items"]), page["total_pages"]) == (50, -(-page["total_count"] // 50))
    assert short.items(**WEDNESDAY) == api.items(**WEDNESDAY)


def test_the_page_after_the_last_can_be_a_repeat_or_an_error(open_sandbox: OpenSandbox, api: Api) -> None:
    last = api.page(**ASCENDING, **SATURDAY)
    after = {"page": last["total_pages"] + 1, **ASCENDING, **SATURDAY}
    assert api.page(**after)["items"] == []
    assert open_sandbox(quirks=Quirks(after_last_page="repeat")).page(**after) == last
    assert open_sandbox(quirks=Quirks(after_last_page="error")).http.get("activities", params=after).status_code == 404


@pytest.mark.parametrize(
    ("name", "value"), [("resource_type", "MEETING"), ("event_type", "REPLIED"), ("channel", "LINKEDIN")]
)
def test_a_filter_can_be_ignored(open_sandbox: OpenSandbox, api: Api, name: Any, value: str) -> None:
    ignoring = open_sandbox(quirks=Quirks(ignored_filter=name))
    count = api.page(**WEDNESDAY)["total_count"]
    assert ignoring.page(**{name: value}, **WEDNESDAY)["total_count"] == count
    assert api.page(**{name: value}, **WEDNESDAY)["total_count"] < count


@pytest.mark.parametrize(("has_more", "values"), [("always", [True, True]), ("never", [False, False])])
def test_has_more_can_be_constant(open_sandbox: OpenSandbox, has_more: Any, values: list[bool]) -> None:
    api = open_sandbox(quirks=Quirks(has_more=has_more))
    last = api.page(**ASCENDING, **WEDNESDAY)["total_pages"]
    assert [api.page(page=number, **ASCENDING, **WEDNESDAY)["has_more"] for number in (1, last)] == values


def test_payloads_can_have_undocumented_values(open_sandbox: OpenSandbox) -> None:
    quirks = Quirks(unlisted_types=True, unlisted_channels=True, unlisted_categories=True)
    payloads = [item["payload"] for item in open_sandbox(quirks=quirks).items(**WEDNESDAY)]
    for found, unlisted in (
        ([payload["type"] for payload in payloads], "weather.changed"),
        ([payload["channel"] for payload in payloads], "PIGEON"),
        ([payload["metadata"]["reply_category"] for payload in payloads], "FLATTERED"),
    ):
        assert 0 < found.count(unlisted) < len(found)


def test_payloads_can_lack_steps_and_message_ids(open_sandbox: OpenSandbox) -> None:
    quirks = Quirks(no_step_numbers=True, no_message_ids=True)
    payloads = [item["payload"] for item in open_sandbox(quirks=quirks).items(**WEDNESDAY)]
    assert {payload["metadata"]["step_number"] for payload in payloads} == {None}
    assert {payload["message_id"] for payload in payloads} == {None}


def test_other_endpoints_can_be_missing(open_sandbox: OpenSandbox) -> None:
    api = open_sandbox(quirks=Quirks(no_me=True, no_templates=True))
    assert [api.http.get(path).status_code for path in ("me", "sequence-templates", "activities")] == [404, 404, 200]


def test_all_examples_are_different_quirks() -> None:
    assert NO_QUIRKS not in EXAMPLES.values()
    assert len(set(EXAMPLES.values())) == len(EXAMPLES)


def test_quirks_are_read_from_text() -> None:
    assert parse([]) == NO_QUIRKS
    switches = ["bounds_inclusive", "max_page_size=50", "ignored_filter=channel", "count_off_by=-1"]
    assert parse(switches) == Quirks(bounds_inclusive=True, max_page_size=50, ignored_filter="channel", count_off_by=-1)


@pytest.mark.parametrize("switch", ["bounds", "max_page_size=many", "order=random", "bounds_inclusive=maybe"])
def test_an_unknown_quirk_is_refused(switch: str) -> None:
    with pytest.raises(ValueError, match=r"quirk"):
        parse([switch])
