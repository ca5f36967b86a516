"""Every item of a page is an activity or a reject."""

import json
import timeit
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topo_pipeline.topo_api.decoding import decode_page
from topo_pipeline.topo_api.wire import ActivityPage
from topo_pipeline_tests.topo_api.helpers import item_of, page_of, uuid_of

VALID_ITEM = json.dumps(item_of(1))
_HEAD = f'{{"id": "{uuid_of(2)}", "created_at": "2026-03-01T10:00:00Z", "payload": '


def decoded(*items: str | bytes) -> ActivityPage:
    raw = [item.encode() if isinstance(item, str) else item for item in items]
    tail = b'], "total_count": 9, "total_pages": 1, "has_more": false}'
    return decode_page(b'{"items": [' + b", ".join(raw) + tail)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01T23:59:59Z", datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC)),
        ("2026-03-01T23:59:59.5Z", datetime(2026, 3, 1, 23, 59, 59, 500000, tzinfo=UTC)),
        ("2026-03-01T23:59:59.999999999Z", datetime(2026, 3, 1, 23, 59, 59, 999999, tzinfo=UTC)),
        ("2026-03-02T01:30:00.250+02:00", datetime(2026, 3, 1, 23, 30, 0, 250000, tzinfo=UTC)),
        ("2026-03-01T18:30:00-0500", datetime(2026, 3, 1, 23, 30, tzinfo=UTC)),
    ],
)
def test_times_are_truncated_to_microseconds_and_converted_to_utc(text: str, expected: datetime) -> None:
    for extra in ([], ["null"]):  # whole, and item by item
        [activity] = decoded(json.dumps(item_of(1, text)), *extra).activities
        assert activity.created_at == expected
        assert activity.created_at.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01T23:59:59",
        "2026-03-01",
        "2026-02-30T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "2026-03-01T00:00:00.1234567890Z",
        "2026-W10-1T00:00:00Z",
        "2026-03-01T00:00:00Z\n",
        "2026-03-01T00:00:00Z,2026-03-01T00:00:00Z",
        "",
    ],
)
def test_an_invalid_time_is_rejected(text: str) -> None:
    [reject] = decoded(json.dumps(item_of(1, text))).rejects
    assert (reject.id, reject.created_at) == (uuid_of(1), None)
    assert "created_at" in reject.reason


@pytest.mark.parametrize("spelled", ["00000000-0000-4000-8000-00000000ABCD", "0000000000004000800000000000ABCD"])
def test_ids_are_converted_to_canonical_form(spelled: str) -> None:
    [activity] = decoded(json.dumps(item_of(1) | {"id": spelled})).activities
    assert activity.id == "00000000-0000-4000-8000-00000000abcd"


@pytest.mark.parametrize(
    "id_", [None, "", 7, "abc", f"{{{uuid_of(1)}}}", f"{uuid_of(1)}\n", f"{uuid_of(1)},{uuid_of(2)}"]
)
def test_an_id_that_is_not_a_uuid_is_rejected_with_its_time(id_: Any) -> None:
    [reject] = decoded(json.dumps(item_of(1) | {"id": id_})).rejects
    assert reject.id is None
    assert reject.created_at == datetime(2026, 3, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize("payload", ["null", "[]", '"{}"', "1"])
def test_a_payload_that_is_not_an_object_is_rejected(payload: str) -> None:
    page = decoded(VALID_ITEM, _HEAD + payload + "}")
    assert [reject.reason for reject in page.rejects] == ["`payload` is not an object"]
    assert [activity.id for activity in page.activities] == [uuid_of(1)]


@pytest.mark.parametrize("item", ["null", "7", '"x"', "[]", "true", "{}"])
def test_an_item_that_is_not_an_activity_is_kept_unchanged(item: str) -> None:
    page = decoded(VALID_ITEM, item)
    assert [reject.raw for reject in page.rejects] == [item]
    assert len(page.activities) == 1


@pytest.mark.parametrize(
    "payload", ['{"a": NaN}', '{"a": "\\ud800"}', '{"a": [-Infinity]}', '{"a": tru}', "[" * 3000 + "]" * 3000]
)
def test_invalid_json_affects_only_its_own_item(payload: str) -> None:
    item = _HEAD + payload + "}"
    page = decoded(VALID_ITEM, item)
    assert [reject.raw for reject in page.rejects] == [item]
    assert len(page.activities) == 1


@pytest.mark.parametrize("payload", ['{"a": NaN}', '{"a": "\\ud800"}'])
def test_an_item_with_an_invalid_value_keeps_its_id_and_time(payload: str) -> None:
    [reject] = decoded(_HEAD + payload + "}").rejects
    assert (reject.id, reject.created_at) == (uuid_of(2), datetime(2026, 3, 1, 10, tzinfo=UTC))


def test_bytes_that_are_not_utf8_affect_only_their_own_item() -> None:
    page = decoded(VALID_ITEM, _HEAD.encode() + b'{"a": "\xff"}}', json.dumps(item_of(3, a="é"), ensure_ascii=False))
    assert [reject.raw for reject in page.rejects] == [_HEAD + '{"a": "\\xff"}}']
    assert page.rejects[0].reason == "not UTF-8"
    assert page.rejects[0].id == uuid_of(2)
    assert [activity.id for activity in page.activities] == [uuid_of(1), uuid_of(3)]


@pytest.mark.parametrize("extra", [(), ("null",)])
def test_payloads_are_kept_byte_for_byte_in_both_spellings(extra: tuple[str, ...]) -> None:
    payloads = ['{"type":"x",  "personId" : 1e400, "a":1,"a":2}', '{"person_id": "\\u00e9, ]}", "n": 1.0}']
    page = decoded(*(_HEAD + payload + "}" for payload in payloads), *extra)
    assert [activity.payload for activity in page.activities] == payloads


@pytest.mark.parametrize("extra", [(), ("null",)])
def test_the_last_of_duplicate_keys_is_used(extra: tuple[str, ...]) -> None:
    item = f'{{"id": "{uuid_of(8)}", ' + VALID_ITEM[1:]
    assert [activity.id for activity in decoded(item, *extra).activities] == [uuid_of(1)]


@pytest.mark.parametrize("items", [[], [None]])
@pytest.mark.parametrize(
    "changes",
    [
        {"total_count": -1},
        {"total_count": "3"},
        {"total_count": 1.5},
        {"total_count": None},
        {"total_count": 2**63},
        {"total_count": 10**30},
        {"total_count": 1e30},
        {"total_pages": -1},
        {"total_pages": 2**64},
        {"has_more": "no"},
        {"has_more": None},
    ],
)
def test_an_invalid_envelope_value_is_an_error(items: list[Any], changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        decode_page(json.dumps(page_of(items) | changes).encode())


@pytest.mark.parametrize("items", [[], [None]])
def test_the_largest_count_is_one_that_the_warehouse_can_store(items: list[Any]) -> None:
    assert decode_page(json.dumps(page_of(items, 2**63 - 1)).encode()).total_count == 2**63 - 1


@pytest.mark.parametrize("text", ['"', '\\"', '["', "[", "{", '{"a":[', '"a",', '"\\', ",", " ", "1"])
def test_decoding_a_page_takes_linear_time(text: str) -> None:
    def seconds(length: int) -> float:
        body = b'{"items": [' + (text * length)[:length].encode()

        def decode() -> None:
            with suppress(ValueError):
                decode_page(body)

        return min(timeit.repeat(decode, number=1, repeat=3))

    # Eight times the length: quadratic time would take 64 times as long.
    assert seconds(160_000) < max(20 * seconds(20_000), 0.01)


@pytest.mark.parametrize("missing", ["items", "total_count", "total_pages", "has_more"])
def test_a_missing_envelope_field_is_named(missing: str) -> None:
    page = page_of([None])
    del page[missing]
    with pytest.raises(ValueError, match=missing):
        decode_page(json.dumps(page).encode())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"<html>502</html>",
        b"{",
        b"{}",
        b'{"items": {}}',
        b'{"items": [}',
        b'{"items"}',
        b"{1: 2}",
    ]
    + [b'{"items": []} {}', b'{"items": []}}', b'{"a": "}', b"[" * 5000],
)
def test_a_body_that_is_not_a_page_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError, match="."):
        decode_page(body)


def test_a_truncated_body_is_an_error() -> None:
    body = json.dumps(page_of([item_of(1, note='a "quoted" ]}'), None])).encode()
    for end in range(len(body)):
        with pytest.raises(ValueError, match="."):
            decode_page(body[:end])


def test_unknown_fields_are_ignored() -> None:
    page = decode_page(json.dumps(page_of([item_of(1) | {"new": [1]}], extra={"x": float("nan")})).encode())
    assert len(page.activities) == 1


_ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=8)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_ANY_TEXT, inner, max_size=4),
    max_leaves=8,
)
_ITEM_LIKE = st.fixed_dictionaries(
    {},
    optional={
        "id": st.uuids().map(str) | _JSON,
        "created_at": st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat) | _JSON,
        "payload": st.dictionaries(_ANY_TEXT, _JSON, max_size=3) | _JSON,
    },
)


@settings(max_examples=40)
@given(st.lists(_ITEM_LIKE | _JSON, max_size=5))
def test_every_json_value_becomes_an_activity_or_a_reject(values: list[Any]) -> None:
    page = decode_page(json.dumps(page_of(values)).encode())
    seen = [(activity.id, activity.payload) for activity in page.activities]
    kept = [reject.raw for reject in page.rejects]
    for value in values:
        text = json.dumps(value)
        if kept and kept[0] == text:
            kept.pop(0)
        else:
            assert seen.pop(0) == (value["id"], json.dumps(value["payload"]))
    assert not seen
    assert not kept


@settings(max_examples=40)
@given(st.lists(_ITEM_LIKE, max_size=5))
def test_a_page_decodes_the_same_as_a_whole_and_item_by_item(values: list[Any]) -> None:
    whole = decode_page(json.dumps(page_of(values)).encode())
    pieces = decode_page(json.dumps(page_of([*values, None])).encode())
    assert whole.activities == pieces.activities
    assert whole.rejects == pieces.rejects[:-1]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"items": [}', "truncated"),
        (b'{"items": []}}', "unbalanced"),
        (b'{"a": "}', "unbalanced"),
        (b"<p>502</p>", "not a JSON object"),
    ],
)
def test_an_invalid_body_says_what_is_wrong(body: bytes, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        decode_page(body)


def test_a_page_with_an_invalid_value_and_no_items_is_empty() -> None:
    page = decode_page(json.dumps(page_of([], odd=float("nan"))).encode())
    assert (page.activities, page.rejects) == ([], [])


@pytest.mark.parametrize("items", ["," * 1500, "1," * 1500 + "1", ",".join([json.dumps(item_of(1))] * 1500)])
def test_a_page_with_more_than_1000_items_is_refused(items: str) -> None:
    body = json.dumps(page_of([])).replace("[]", f"[{items}]").encode()
    with pytest.raises(ValueError, match="more than 1000 items"):
        decode_page(body)
