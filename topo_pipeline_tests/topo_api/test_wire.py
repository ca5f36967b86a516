"""Query parameters, list items, headers and error bodies."""

import json
import timeit
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topo_pipeline.common.text import one_line
from topo_pipeline.topo_api import wire
from topo_pipeline.topo_api.wire import ActivityQuery, ResourceType
from topo_pipeline_tests.topo_api.helpers import NOW, uuid_of


def test_every_query_sends_page_size_and_sort_order() -> None:
    assert wire.ActivityQuery().params() == {
        "page": "1",
        "size": "100",
        "sort_by": "created_at",
        "sort_order": "asc",
    }


def test_every_parameter_is_sent_in_the_documented_spelling() -> None:
    query = wire.ActivityQuery(
        page=3,
        size=7,
        sort_order="desc",
        person_id=uuid_of(1),
        sequence_id=uuid_of(2),
        sequence_template_id=uuid_of(3),
        resource_type=wire.ResourceType.HOT_LEAD,
        channel=wire.Channel.LINKEDIN,
        event_type=wire.EventType.LINK_CLICKED,
        created_at_after=datetime(2026, 3, 1, 1, tzinfo=timezone(timedelta(hours=2))),
        created_at_before=datetime(2026, 3, 2, 0, 0, 0, 5, tzinfo=UTC),
    )
    assert query.params() == {
        "page": "3",
        "size": "7",
        "sort_by": "created_at",
        "sort_order": "desc",
        "person_id": uuid_of(1),
        "sequence_id": uuid_of(2),
        "sequence_template_id": uuid_of(3),
        "resource_type": "HOT_LEAD",
        "channel": "LINKEDIN",
        "event_type": "LINK_CLICKED",
        "created_at_after": "2026-02-28T23:00:00Z",
        "created_at_before": "2026-03-02T00:00:00.000005Z",
    }


def test_a_bound_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        wire.ActivityQuery(created_at_after=datetime(2026, 3, 1))  # noqa: DTZ001


@pytest.mark.parametrize("paging", [{"page": 0}, {"size": 0}, {"size": 101}])
def test_a_page_out_of_range_is_refused(paging: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="pages start at 1"):
        wire.ActivityQuery(**paging)


def test_a_template_keeps_an_unknown_status_and_drops_invalid_values() -> None:
    raw = {"id": "t", "name": None, "status": "NEW_ONE", "step_count": "4", "created_at": "soon", "x": 1}
    page = wire.decode_list(wire.SequenceTemplate, {"items": [raw], "has_more": True})
    assert page.items == [wire.SequenceTemplate(id="t", status="NEW_ONE", step_count=4)]
    assert page.has_more


def test_an_item_without_an_id_does_not_affect_the_other_items() -> None:
    page = wire.decode_list(
        wire.SequenceTemplate, {"items": [None, {"id": "t"}, {}, 7], "total_count": 4, "has_more": False}
    )
    assert page == wire.ListPage([wire.SequenceTemplate(id="t")], 4, has_more=False)


@pytest.mark.parametrize("count", [None, "4", -1, 1.5, True, wire.MAX_INTEGER + 1, 10**30])
def test_an_invalid_list_count_is_unknown(count: object) -> None:
    assert (
        wire.decode_list(wire.SequenceTemplate, {"items": [], "total_count": count, "has_more": False}).total_count
        is None
    )


@pytest.mark.parametrize("steps", [-1, wire.MAX_INTEGER + 1, 10**30, "1" * 5000])
def test_a_number_that_the_warehouse_cannot_store_is_dropped(steps: object) -> None:
    raw = {"id": "t", "name": "S", "step_count": steps}
    [template] = wire.decode_list(wire.SequenceTemplate, {"items": [raw], "has_more": False}).items
    assert template == wire.SequenceTemplate(id="t", name="S")


def test_a_time_without_a_zone_is_dropped() -> None:
    raw = {"id": "t", "name": "S", "created_at": "2026-01-01T00:00:00"}
    [template] = wire.decode_list(wire.SequenceTemplate, {"items": [raw], "has_more": False}).items
    assert template == wire.SequenceTemplate(id="t", name="S")


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"items": {}},
        {"items": []},
        {"items": [{}], "has_more": False},
        {"items": [1], "has_more": True},
    ],
)
def test_an_invalid_list_of_templates_is_an_error(body: object) -> None:
    with pytest.raises(ValueError, match="no |without"):
        wire.decode_list(wire.SequenceTemplate, body)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("30", 30),
        ("1.5", 1.5),
        ("9" * 5000, float("9" * wire.MAX_HEADER_LENGTH)),
        ("Tue, 10 Mar 2026 12:00:20 GMT", 20),
        ("Tue, 10 Mar 2026 12:00:20 -0000", 20),
        ("Tue, 10 Mar 2026 11:00:20 GMT", None),
        ("Tue, 10 Mar 2026 12:00:20 +99999999999999", None),
        ("0", None),
        ("-5", None),
        ("NaN", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert wire.retry_after(header, NOW) == seconds


@pytest.mark.parametrize("date", ["Fri, 31 Dec 9999 23:59:59 -0100", "now", ""])
def test_an_invalid_date_header_is_ignored(date: str) -> None:
    response = wire.response_info({"date": date}, 0.1, datetime(2026, 3, 1, tzinfo=UTC))
    assert (response.clock_ahead, response.answered_at) == (None, None)


@pytest.mark.parametrize(
    ("type_", "shown"),
    [
        ("message.sent", ""),
        ("invitation.sent", "invitation.sent"),
        ("Jane Doe <jane@example.com>", "another type"),
        ("invitation.sent.to_jane_doe", "another type"),
        ("", ""),
        (None, ""),
        (5, ""),
    ],
)
def test_an_unexpected_type_is_shown_only_if_it_looks_like_a_type(type_: object, shown: str) -> None:
    """It appears in an error, and other text could name a person."""
    query = ActivityQuery(resource_type=ResourceType.MESSAGE)
    row = wire.Activity(
        "0b9c4a52-6f0e-4c5b-9d5e-2f6f3c1d7a10", datetime(2026, 3, 1, tzinfo=UTC), json.dumps({"type": type_})
    )
    assert query.unexpected_type([row]) == shown


def test_an_html_error_page_becomes_text() -> None:
    page = b"<html><style>p {color: red}</style><h1>502</h1>\n<p>Bad gateway</p></html>"
    assert one_line(wire.decode_problem(page).message) == "502 Bad gateway"


@pytest.mark.parametrize(
    "body",
    [
        b"[1]", b"null", b'{"message": {"a": 1}, "request_id": null}', b"\xff", b"", b"[" * 5000, b"9" * 5000,
        b'{"data": ' + b"[" * 900 + b"]" * 900 + b"}",
    ],
)  # fmt: skip
def test_error_bodies_of_any_shape_are_decoded(body: bytes) -> None:
    assert wire.decode_problem(body).request_id is None


def test_an_error_of_an_unknown_shape_is_used_as_the_message() -> None:
    problem = wire.decode_problem(b'{"error": {"text": "no"}, "request_id": "r"}')
    assert problem == wire.Problem(message='{"error": {"text": "no"}, "request_id": "r"}', request_id="r")


def test_a_long_error_body_is_cut_between_words() -> None:
    word = "topo_SecretSecret"
    body = f"<p>{'stop ' * (wire.MAX_PROBLEM_BYTES // 5)}{word * wire.MAX_PROBLEM_BYTES}".encode()
    for start in range(len(word)):
        assert word[:4] not in wire.decode_problem(body[start:]).message
    assert wire.decode_problem(word.encode() * wire.MAX_PROBLEM_BYTES).message == ""


@pytest.mark.parametrize(
    "text", ["<script", "<script>", "<style ", "<", "< ", "</script ", "<a", "&lt;", '{"', "rate too many request "]
)
def test_decoding_an_error_body_takes_linear_time(text: str) -> None:
    def seconds(length: int) -> float:
        body = (text * length)[:length].encode()
        return min(timeit.repeat(lambda: wire.is_rate_limit(wire.decode_problem(body)), number=1, repeat=5))

    # Eight times the length: quadratic time would take 64 times as long.
    assert seconds(wire.MAX_PROBLEM_BYTES) < max(20 * seconds(wire.MAX_PROBLEM_BYTES // 8), 0.01)


@given(st.text() | st.text("0123456789 :,+-TueMarGMT"))
def test_any_header_text_is_positive_seconds_or_none(text: str) -> None:
    seconds = wire.retry_after(text, NOW)
    assert seconds is None or seconds > 0
    assert wire.response_info({"date": text, "retry-after": text}, 0.1, NOW).limits == {"retry-after": text}
