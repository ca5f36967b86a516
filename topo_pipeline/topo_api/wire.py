"""The API's data types: queries that are sent and JSON that comes back.

Payloads stay JSON text in either spelling. Decoding a page of activities is in `decoding`. Nothing here sends requests.
"""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeGuard, TypeVar

import msgspec

from topo_pipeline.days import to_utc, utc_text

MAX_PAGE_SIZE = 100
MAX_INTEGER = 2**63 - 1
"""The largest integer that the warehouse can store."""
MAX_PROBLEM_BYTES = 16_384
"""Bytes of an error body that are read."""
MAX_HEADER_LENGTH = 100
"""Characters of an interpreted header that are read."""


class ResourceType(StrEnum):
    """The kind of object an activity belongs to."""

    MESSAGE = "MESSAGE"
    INVITATION = "INVITATION"
    HOT_LEAD = "HOT_LEAD"
    MEETING = "MEETING"
    SEQUENCE_STEP = "SEQUENCE_STEP"
    SEQUENCE = "SEQUENCE"
    TASK = "TASK"


class Channel(StrEnum):
    """The channel of an activity."""

    EMAIL = "EMAIL"
    LINKEDIN = "LINKEDIN"
    MANUAL = "MANUAL"


class EventType(StrEnum):
    """The kind of event."""

    SENT = "SENT"
    REPLIED = "REPLIED"
    OPENED = "OPENED"
    LINK_CLICKED = "LINK_CLICKED"
    ACCEPTED = "ACCEPTED"
    CREATED = "CREATED"
    PAUSED = "PAUSED"
    RESUMED = "RESUMED"
    STOPPED = "STOPPED"
    COMPLETED = "COMPLETED"
    SKIPPED = "SKIPPED"


@dataclass(frozen=True, kw_only=True)
class ActivityQuery:
    """A request for one page of activities. Both bounds are exclusive.

    Raises:
        ValueError: a bound has no time zone, or page or size is out of range.
    """

    page: int = 1
    size: int = MAX_PAGE_SIZE
    sort_by: Literal["created_at"] | None = "created_at"
    sort_order: Literal["asc", "desc"] = "asc"
    person_id: str | None = None
    sequence_id: str | None = None
    sequence_template_id: str | None = None
    resource_type: ResourceType | None = None
    channel: Channel | None = None
    event_type: EventType | None = None
    created_at_after: datetime | None = None
    created_at_before: datetime | None = None

    def __post_init__(self) -> None:
        if self.page < 1 or not 1 <= self.size <= MAX_PAGE_SIZE:
            raise ValueError(f"page {self.page} of size {self.size}: pages start at 1 and have 1 to 100 rows")
        for bound in filter(None, (self.created_at_after, self.created_at_before)):
            to_utc(bound)

    @property
    def bounds(self) -> tuple[datetime, datetime]:
        """Both bounds. Raises ValueError if one is missing."""
        if self.created_at_after is None or self.created_at_before is None:
            raise ValueError("a query without both bounds")
        return self.created_at_after, self.created_at_before

    def params(self) -> dict[str, str]:
        """Return the query parameters. Unset ones are left out, date-times are UTC with Z."""
        set_ = {name: value for name, value in vars(self).items() if value is not None}
        return {name: utc_text(value) if isinstance(value, datetime) else str(value) for name, value in set_.items()}

    def unexpected_type(self, activities: Sequence["Activity"]) -> str:
        """Return the type of an activity whose resource or event was not requested. Empty if there is none.

        A type is read as RESOURCE.EVENT in lower case. A payload whose type is missing or not text is ignored.
        """
        if self.resource_type is None and self.event_type is None:
            return ""
        for activity in activities:
            type_ = _type_of(activity.payload)
            resource, _, event = type_.upper().partition(".")
            if type_ and (resource, event) != (self.resource_type or resource, self.event_type or event):
                return type_ if _PLAIN_TYPE.fullmatch(type_) else "another type"
        return ""


class _Typed(msgspec.Struct):
    type: Any = None


_TYPED = msgspec.json.Decoder(_Typed)
_PLAIN_TYPE = re.compile(r"[a-z_]{1,40}\.[a-z_]{1,40}")  # other text is not shown, as it may contain anything


def _type_of(payload: str) -> str:
    try:
        type_ = _TYPED.decode(payload).type
    except (msgspec.DecodeError, RecursionError):
        return ""
    return type_ if isinstance(type_, str) else ""


class Activity(msgspec.Struct, frozen=True, gc=False):
    """One activity as received."""

    id: str
    """Canonical uuid: lower case, with hyphens."""
    created_at: datetime
    """UTC, truncated to microseconds."""
    payload: str
    """The payload's JSON text, unchanged."""


class Reject(msgspec.Struct, frozen=True):
    """An item that can't be read as an activity, with its full text."""

    raw: str
    """The item's JSON text. Bytes that are not UTF-8 appear as `\\xNN`."""
    reason: str
    id: str | None = None
    created_at: datetime | None = None


@dataclass(frozen=True)
class ActivityPage:
    """One response of `GET /activities`. Every item is in `activities` or in `rejects`."""

    activities: list[Activity]
    rejects: list[Reject]
    total_count: int
    total_pages: int
    has_more: bool
    request_id: str | None = None
    requests: int = 1
    """Requests sent for this page, retries included."""
    answered_at: datetime | None = None
    """Time of the response by Topo's clock. None if it does not say."""

    @property
    def length(self) -> int:
        """Number of items."""
        return len(self.activities) + len(self.rejects)

    @property
    def request_ids(self) -> list[str]:
        """The request id, if there is one."""
        return [self.request_id] if self.request_id else []


_Aware = Annotated[datetime, msgspec.Meta(tz=True)]
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_INTEGER)]


class ListItem(msgspec.Struct, frozen=True, kw_only=True):
    """An item of a list endpoint. A field that is missing or has another type is None."""

    path: ClassVar[str]
    scope: ClassVar[str]
    """The scope that a key needs to read the list."""
    plural: ClassVar[str]
    """The items' name in messages."""
    id: str


class SequenceTemplate(ListItem, frozen=True, kw_only=True):
    """A sequence, with its name and status as last read. Without a name, tables show its id."""

    path: ClassVar[str] = "sequence-templates"
    scope: ClassVar[str] = "sequences:read"
    plural: ClassVar[str] = "sequences"
    name: str | None = None
    summary: str | None = None
    status: str | None = None
    step_count: Count | None = None
    language: str | None = None
    timezone: str | None = None
    activated_at: _Aware | None = None
    created_at: _Aware | None = None
    updated_at: _Aware | None = None


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """The API key and its owner. A field that is missing or has another type is None."""

    id: str
    organization_id: str | None = None
    name: str | None = None
    key_prefix: str | None = None
    scopes: list[str] | None = None


_S = TypeVar("_S", bound=msgspec.Struct)
_I = TypeVar("_I", bound=ListItem)
_T = TypeVar("_T")


@dataclass(frozen=True)
class ResponseInfo:
    """Facts from a response's headers and timing."""

    seconds: float
    """From the request to the end of the response."""
    clock_ahead: float | None
    """Seconds by which our clock is ahead of the server's, within a second. None without a Date header."""
    answered_at: datetime | None
    """Time of the content by the server's clock. None without a Date header."""
    limits: dict[str, str]
    """The headers about rate limits, unchanged. Topo documents none."""


def response_info(headers: Mapping[str, str], seconds: float, now: datetime) -> ResponseInfo:
    """Read the headers (lower-case names) of a response that took `seconds` and ended at `now`."""
    server_time = _http_date(headers.get("date", ""))
    ahead = (now - server_time).total_seconds() - seconds / 2 if server_time else None
    limits = {name: text for name, text in headers.items() if re.search("rate-?limit|retry-after", name)}
    return ResponseInfo(seconds, ahead, answered_at(headers), limits)


def answered_at(headers: Mapping[str, str]) -> datetime | None:
    """Return the time of a response's content by the server's clock: its Date minus its Age in a cache."""
    date, age = _http_date(headers.get("date", "")), headers.get("age", "0").strip()
    if date is None or not re.fullmatch("[0-9]{1,8}", age):
        return None
    try:
        return date - timedelta(seconds=int(age))
    except OverflowError:
        return None


@dataclass(frozen=True)
class ListPage(Generic[_T]):
    """One page of a list, without the items that can't be read."""

    items: list[_T]
    total_count: int | None
    """Number of items in the whole list. None if the page has none."""
    has_more: bool


def decode_list(model: type[_I], value: object) -> ListPage[_I]:
    """Decode one page of a list. Items without an id are left out.

    Raises:
        ValueError: it is not the documented shape, or it has items and none has an id.
    """
    if not isinstance(value, dict) or not isinstance(value.get("items"), list):
        raise ValueError("no `items` list")
    if not isinstance(value.get("has_more"), bool):
        raise ValueError("no `has_more`")
    items = [_tolerant(model, item) for item in value["items"] if _has_id(item)]
    if value["items"] and not items:
        raise ValueError("`items` without `id`")
    total_count = None
    with suppress(msgspec.ValidationError):
        total_count = msgspec.convert(value.get("total_count"), Count)
    return ListPage(items, total_count, value["has_more"])


def decode_me(value: object) -> Me:
    """Decode the owner of the key.

    Raises:
        ValueError: it is not the documented shape.
    """
    if not _has_id(value):
        raise ValueError("an object without `id`")
    return _tolerant(Me, value)


def _has_id(value: object) -> TypeGuard[dict[str, object]]:
    return isinstance(value, dict) and isinstance(value.get("id"), str)


def _tolerant(struct: type[_S], value: Mapping[str, object]) -> _S:
    read: dict[str, Any] = {}
    for field in msgspec.structs.fields(struct):
        with suppress(msgspec.ValidationError):
            read[field.name] = msgspec.convert(value.get(field.name), field.type, strict=False)
    return struct(**read)


class Problem(msgspec.Struct, frozen=True):
    """The fields of an error body as plain text. Missing ones are empty."""

    type: str = ""
    message: str = ""
    data: str = ""
    request_id: str | None = None


def decode_problem(body: bytes) -> Problem:
    """Decode an error body. The text of a body of another shape, such as a gateway's page, becomes the message."""
    text = _beginning(body)
    try:
        value = json.loads(text)
        type_, message, data, request_id = (
            _text(value.get(name)) for name in ("type", "message", "data", "request_id")
        )
    except AttributeError:  # not an object
        return Problem(message=text)
    except (ValueError, RecursionError):
        return Problem(message=_MARKUP.sub(" ", text))
    return Problem(type_, message if type_ or message else text, data, request_id or None)


def _beginning(body: bytes) -> str:
    """Return the start of a body as text. It is cut at a space, because half a word could be half of the key."""
    text = body[:MAX_PROBLEM_BYTES].decode(errors="replace")
    return text if len(body) <= MAX_PROBLEM_BYTES else text[: max(0, *map(text.rfind, " \n\t"))]


# Linear time: an unclosed script matches up to the end of the text, so the text is not searched once for each tag.
_MARKUP = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|\Z)|<[^<>]*>", re.IGNORECASE | re.DOTALL)
_RATE_LIMIT = re.compile(r"rate.?limit|too many requests|request limit|throttl|quota", re.IGNORECASE)


def is_rate_limit(problem: Problem) -> bool:
    """Return whether an error reports a rate limit. Not every API uses 429 for that."""
    return any(map(_RATE_LIMIT.search, (problem.type, problem.message)))


def _text(value: object) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)


def retry_after(header: str | None, now: datetime) -> float | None:
    """Return the seconds to wait according to a Retry-After header. None if there is nothing to wait for."""
    if header is None:
        return None
    header = header[:MAX_HEADER_LENGTH].strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", header):
        seconds = float(header)
    else:
        seconds = ((_http_date(header) or now) - now).total_seconds()
    return seconds if seconds > 0 else None


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text[:MAX_HEADER_LENGTH])
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
