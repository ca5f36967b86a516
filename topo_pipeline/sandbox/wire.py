"""The JSON structs of the sandbox's responses. They are encoded and described in the OpenAPI schema."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec

from topo_pipeline.sandbox.activity import Activity

Spelling = Literal["camel", "snake"]
"""`camel` as in Topo's reference page (only ids), `snake` as in its prose documentation (with details)."""

Uuid = Annotated[str, msgspec.Meta(extra_json_schema={"format": "uuid"})]
Moment = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
TemplateStatus = Literal["PENDING_SETUP", "ACTIVE", "INACTIVE", "FINISHING", "ARCHIVED"]
Count = Annotated[int, msgspec.Meta(ge=0)]


class CamelPayload(msgspec.Struct, rename="camel"):
    """A payload as in the reference page."""

    type: str
    organization_id: Uuid | None
    person_id: Uuid | None
    sequence_id: Uuid | None
    sequence_template_id: Uuid | None
    message_id: Uuid | None
    hot_lead_id: Uuid | None
    calendar_event_id: Uuid | None
    task_id: Uuid | None


class Metadata(msgspec.Struct):
    """Fields that only the prose documentation has."""

    step_number: int | None
    reply_category: str | None


class SnakePayload(msgspec.Struct):
    """A payload as in the prose documentation."""

    type: str
    resource_type: str
    channel: str | None
    organization_id: Uuid | None
    person_id: Uuid | None
    sequence_id: Uuid | None
    sequence_template_id: Uuid | None
    message_id: Uuid | None
    hot_lead_id: Uuid | None
    calendar_event_id: Uuid | None
    task_id: Uuid | None
    metadata: Metadata


class CamelActivity(msgspec.Struct):
    """An activity with a camel-case payload."""

    id: Uuid
    created_at: Moment
    payload: CamelPayload


class SnakeActivity(msgspec.Struct):
    """An activity with a snake-case payload."""

    id: Uuid
    created_at: Moment
    payload: SnakePayload


class SequenceTemplate(msgspec.Struct):
    """A sequence template at one point in time."""

    id: Uuid
    name: str | None
    summary: str | None
    status: TemplateStatus
    step_count: int
    language: str
    timezone: str
    activated_at: datetime | None
    created_at: datetime
    updated_at: datetime


class ApiKey(msgspec.Struct):
    """The API key's own record."""

    id: Uuid
    organization_id: Uuid
    name: str
    key_prefix: str
    scopes: list[str]
    last_used_at: Moment | None
    created_at: Moment


class Error(msgspec.Struct, omit_defaults=True):
    """The body of every error."""

    status_code: int
    type: str
    message: str
    request_id: str
    trace_id: str
    span_id: str
    data: dict[str, list[dict[str, str]]] | None = None


Item = TypeVar("Item")


class Page(msgspec.Struct, Generic[Item]):
    """The envelope of every list."""

    items: list[Item]
    total_count: Count
    total_pages: Count
    has_more: bool


ActivitySpeller = Callable[[str, Activity, datetime], CamelActivity | SnakeActivity]


def moment(at: datetime) -> str:
    """Format an instant in seconds, or in milliseconds if it has a fraction, so that the precision varies."""
    text = at.astimezone(UTC).isoformat(timespec="milliseconds" if at.microsecond else "seconds")
    return text.replace("+00:00", "Z")


def _shared_fields(organization_id: str, activity: Activity) -> dict[str, Any]:
    """Return the fields of a payload that both spellings have."""
    return {
        "type": activity.type,
        "organization_id": organization_id,
        "person_id": activity.person_id,
        "sequence_id": activity.sequence_id,
        "sequence_template_id": activity.sequence_template_id,
        "message_id": activity.message_id,
        "hot_lead_id": activity.hot_lead_id,
        "calendar_event_id": activity.calendar_event_id,
        "task_id": activity.task_id,
    }


def camel_activity(organization_id: str, activity: Activity, _now: datetime) -> CamelActivity:
    """Encode an activity as in the reference page, which has no reply category."""
    payload = CamelPayload(**_shared_fields(organization_id, activity))
    return CamelActivity(activity.id, moment(activity.created_at), payload)


def snake_activity(organization_id: str, activity: Activity, now: datetime) -> SnakeActivity:
    """Encode an activity as in the prose documentation, with the reply category known at `now`."""
    payload = SnakePayload(
        **_shared_fields(organization_id, activity),
        resource_type=activity.resource_type,
        channel=activity.channel,
        metadata=Metadata(activity.step_number, activity.category_at(now)),
    )
    return SnakeActivity(activity.id, moment(activity.created_at), payload)


SPELLERS: dict[Spelling, ActivitySpeller] = {"camel": camel_activity, "snake": snake_activity}
ACTIVITY_PAGES: dict[Spelling, Any] = {"camel": Page[CamelActivity], "snake": Page[SnakeActivity]}
