"""Decode a page of activities. Every item becomes an `Activity` or a `Reject`.

Only the fields the pipeline needs are checked: the id, the instant, and that there is a payload.
A page that follows the documentation is decoded in one step (fast), any other item by item, so that nothing is lost.
"""

import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec

from topo_pipeline.topo_api.wire import Activity, ActivityPage, Count, Reject

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_INSTANT = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}(:?[0-9]{2})?)"
_ANY_UUID = re.compile(f"{_UUID}|[0-9a-f]{{32}}", re.IGNORECASE | re.ASCII)
_ANY_INSTANT = re.compile(_INSTANT)
# Matched once for all items of a page: five times as fast as one match for each.
_IDS = re.compile(f"(?:{_UUID},)*", re.ASCII)
_INSTANTS = re.compile(f"(?:{_INSTANT},)*")

MAX_ITEMS = 1000
"""Maximum number of items on a page: ten times the number requested."""


class _Item(msgspec.Struct, frozen=True, gc=False):
    # Kept as text: msgspec would round to microseconds, possibly into the next day.
    id: str
    created_at: str
    payload: msgspec.Raw


class _Envelope(msgspec.Struct, frozen=True):
    items: Annotated[list[_Item], msgspec.Meta(max_length=MAX_ITEMS)]
    total_count: Count
    total_pages: Count
    has_more: bool


_ENVELOPE = msgspec.json.Decoder(_Envelope)


def decode_page(body: bytes) -> ActivityPage:
    """Decode the body of a `GET /activities` response.

    Raises:
        ValueError: the envelope is not the documented one. The message says what is wrong with it.
    """
    try:
        page = _ENVELOPE.decode(body)
        activities = _activities(page.items)
    except (ValueError, OverflowError, RecursionError):
        # An item or the whole body is malformed. Decode the items one by one to keep the valid ones.
        return _decode_piecemeal(body)
    return ActivityPage(activities, [], page.total_count, page.total_pages, page.has_more)


def _activities(items: list[_Item]) -> list[Activity]:
    """Return the activities. Raise ValueError or OverflowError if one does not have the documented form."""
    ids = [item.id for item in items]
    # An item with a comma could match as two. For ids the total length rules that out, for instants `_instant` does.
    if sum(map(len, ids)) != 36 * len(ids) or not _IDS.fullmatch(",".join([*ids, ""])):
        raise ValueError("an id that is not a lower-case uuid")
    moments = [item.created_at for item in items]
    if not _INSTANTS.fullmatch(",".join([*moments, ""])):
        raise ValueError("an instant of another format")
    payloads = [bytes(item.payload).decode() for item in items]
    if not all([payload[0] == "{" for payload in payloads]):
        raise ValueError("a payload that is not an object")
    return list(map(Activity, ids, map(_instant, moments), payloads))


def _instant(text: str) -> datetime:
    moment = datetime.fromisoformat(text)  # truncates to microseconds
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


def _decode_piecemeal(body: bytes) -> ActivityPage:
    # Invalid bytes become lone surrogates, so that only the item that contains them is rejected.
    text = body.decode("utf-8-sig", "surrogateescape")
    envelope = dict(_name_and_value(member) for member in _members(text, "{}"))
    for name in _Envelope.__struct_fields__:
        if name not in envelope:
            raise ValueError(f"no `{name}`")
    items = [_decode_item(raw) for raw in _members(envelope["items"], "[]")]
    return ActivityPage(
        activities=[item for item in items if isinstance(item, Activity)],
        rejects=[item for item in items if isinstance(item, Reject)],
        total_count=_field(envelope, "total_count", Count),
        total_pages=_field(envelope, "total_pages", Count),
        has_more=_field(envelope, "has_more", bool),
    )


_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|["\[\]{},]', re.DOTALL)
_DEPTH = {"[": 1, "{": 1, "]": -1, "}": -1}
_SPACE = " \t\r\n"


def _members(text: str, brackets: str) -> list[str]:
    """Split a JSON array or object into its members, as text, without checking them."""
    text = text.strip(_SPACE)
    if text[:1] != brackets[0] or text[-1:] != brackets[1]:
        raise ValueError(f"something that is not a JSON {'object' if brackets == '{}' else 'array'}")
    depth, start = 0, 1
    members: list[str] = []
    for token in _TOKEN.finditer(text):
        depth += _DEPTH.get(token[0], 0)
        closed = depth == 0 or token[0] == '"'
        if closed and token.end() < len(text):
            raise ValueError("JSON with unbalanced brackets or quotes")
        if closed or (depth == 1 and token[0] == ","):
            if len(members) == MAX_ITEMS:
                raise ValueError(f"more than {MAX_ITEMS} items")
            members.append(text[start : token.start()].strip(_SPACE))
            start = token.end()
    if depth:
        raise ValueError("truncated JSON")
    return [] if members == [""] else members


def _name_and_value(member: str) -> tuple[str, str]:
    name, end = json.JSONDecoder().raw_decode(member)
    value = member[end:].strip(_SPACE)
    if not isinstance(name, str) or not value.startswith(":"):
        raise ValueError("JSON with a malformed object")
    return name, value[1:].strip(_SPACE)


def _field(envelope: dict[str, str], name: str, type_: Any) -> Any:
    try:
        return msgspec.json.decode(envelope[name].encode(errors="replace"), type=type_)
    except msgspec.DecodeError as error:
        raise ValueError(f"an invalid `{name}` ({error})") from None


class _Parts(msgspec.Struct):
    id: Any = None
    created_at: Any = None
    payload: msgspec.Raw = msgspec.Raw(b"")


_PARTS = msgspec.json.Decoder(_Parts)


def _decode_item(raw: str) -> Activity | Reject:
    try:
        parts = _PARTS.decode(raw.encode())
    except UnicodeEncodeError:
        visible = raw.encode(errors="surrogateescape").decode(errors="backslashreplace")
        return Reject(visible, "not UTF-8", *_salvage(raw))
    except (msgspec.DecodeError, RecursionError) as error:
        return Reject(raw, f"malformed: {error}", *_salvage(raw))
    id_, created_at = _read_id(parts.id), _read_instant(parts.created_at)
    payload = bytes(parts.payload).decode()
    if id_ and created_at and payload.startswith("{"):
        return Activity(id_, created_at, payload)
    faults = {
        "`id` is not a UUID": not id_,
        "`created_at` is not a date-time with a time zone": not created_at,
        "`payload` is not an object": not payload.startswith("{"),
    }
    return Reject(raw, ", ".join(fault for fault, found in faults.items() if found), id_, created_at)


def _salvage(raw: str) -> tuple[str | None, datetime | None]:
    """Return the id and instant of an item that only a lenient parser accepts (NaN, lone surrogates)."""
    try:
        value = json.loads(raw)
        return _read_id(value.get("id")), _read_instant(value.get("created_at"))
    except (AttributeError, ValueError, RecursionError):
        return None, None


def _read_id(value: object) -> str | None:
    return str(UUID(value)) if isinstance(value, str) and _ANY_UUID.fullmatch(value) else None


def _read_instant(value: object) -> datetime | None:
    if not isinstance(value, str) or not _ANY_INSTANT.fullmatch(value):
        return None
    try:
        return _instant(value)
    except (ValueError, OverflowError):  # 31 June, or a date that falls into year 0 in UTC
        return None
