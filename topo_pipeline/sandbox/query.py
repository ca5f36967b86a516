"""The API's query parameters, validated as the contract requires."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field
from pydantic.json_schema import SkipJsonSchema, WithJsonSchema

from topo_pipeline.sandbox.activity import Activity, Channel, EventType, ResourceType
from topo_pipeline.sandbox.wire import SequenceTemplate, TemplateStatus

SortOrder = Literal["asc", "desc"]


def _looks_like(pattern: str, what: str) -> Callable[[object], object]:
    """Refuse forms that pydantic would also accept, such as `1.0`, `1_000` or a Unix time."""
    form = re.compile(pattern, re.ASCII)

    def check(value: object) -> object:
        if isinstance(value, str) and not form.fullmatch(value):
            raise ValueError(f"must be {what}")
        return value

    return check


_whole_number = BeforeValidator(_looks_like(r"-?\d+", "a whole number"))
_uuid = BeforeValidator(_looks_like(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", "a UUID"))
_date_time = BeforeValidator(
    _looks_like(
        r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)",
        "an ISO 8601 date-time with an offset or Z, such as 2026-03-01T00:00:00Z (encode + as %2B)",
    )
)

Missing = SkipJsonSchema[None]
PageNumber = Annotated[int, Field(ge=1), _whole_number]
PageSize = Annotated[int, Field(ge=1, le=100), _whole_number]
UuidText = Annotated[str, _uuid, WithJsonSchema({"type": "string", "format": "uuid"})]
Bound = Annotated[AwareDatetime, _date_time, WithJsonSchema({"type": "string", "format": "date-time"})]


class Paging(BaseModel):
    """The page, its size, and the exclusive bounds of `created_at`."""

    page: PageNumber = 1
    size: PageSize = 10
    created_at_after: Bound | Missing = Field(None, description="Strictly after this instant.")
    created_at_before: Bound | Missing = Field(None, description="Strictly before this instant.")


class ActivityQuery(Paging):
    """The parameters of `GET /activities`."""

    sort_by: Literal["created_at"] | Missing = None
    sort_order: SortOrder = "desc"
    person_id: UuidText | Missing = None
    sequence_id: UuidText | Missing = Field(None, description="One run: one contact in one sequence.")
    sequence_template_id: UuidText | Missing = None
    resource_type: ResourceType | Missing = None
    channel: Channel | Missing = None
    event_type: EventType | Missing = None

    def selects(self) -> Callable[[Activity], bool] | None:
        """Return a filter for activities. None if every activity matches."""
        ids = ("person_id", "sequence_id", "sequence_template_id")
        enums = ("resource_type", "channel", "event_type")
        given = {name: getattr(self, name) for name in (*ids, *enums)}
        wanted = [(name, value.lower() if name in ids else value) for name, value in given.items() if value is not None]
        if not wanted:
            return None
        return lambda activity: all(getattr(activity, name) == value for name, value in wanted)


class TemplateQuery(Paging):
    """The parameters of `GET /sequence-templates`."""

    sort_by: Literal["created_at", "updated_at", "name"] | Missing = None
    sort_order: SortOrder = "asc"
    name: str | Missing = Field(None, description="Part of the name, case-insensitive.")
    status: TemplateStatus | Missing = None

    def wants(self, template: SequenceTemplate) -> bool:
        """Return whether the template matches."""
        return (
            (self.name is None or self.name.lower() in (template.name or "").lower())
            and self.status in (None, template.status)
            and (self.created_at_after is None or template.created_at > self.created_at_after)
            and (self.created_at_before is None or template.created_at < self.created_at_before)
        )

    def sort_key(self, template: SequenceTemplate) -> tuple[bool, str | datetime, str]:
        """Return the sort key for `sort_by`. Templates without a name come last."""
        value = getattr(template, self.sort_by or "created_at")
        return value is None, value or "", template.id
