"""The query parameters of the API, refused where the contract refuses them."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field
from pydantic.json_schema import SkipJsonSchema, WithJsonSchema

from topo_pipeline.sandbox.activity import Activity, Channel, EventType, ResourceType
from topo_pipeline.sandbox.world import Template, TemplateStatus

SortOrder = Literal["asc", "desc"]


def _looks_like(pattern: str, what: str) -> Callable[[object], object]:
    """Refuse the other forms that pydantic would read generously, such as `1.0`, `1_000` or a Unix time."""
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
    """Which page, of what size, of what was created strictly between two moments."""

    page: PageNumber = 1
    size: PageSize = 10
    created_at_after: Bound | Missing = Field(None, description="Strictly after this moment.")
    created_at_before: Bound | Missing = Field(None, description="Strictly before this moment.")


class ActivityQuery(Paging):
    """What `GET /activities` may be asked."""

    sort_by: Literal["created_at"] | Missing = None
    sort_order: SortOrder = "desc"
    person_id: UuidText | Missing = None
    sequence_id: UuidText | Missing = Field(None, description="One run: one contact in one sequence.")
    sequence_template_id: UuidText | Missing = None
    resource_type: ResourceType | Missing = None
    channel: Channel | Missing = None
    event_type: EventType | Missing = None

    def selects(self) -> Callable[[Activity], bool] | None:
        """What decides whether an activity is meant; None where every one is."""
        ids = ("person_id", "sequence_id", "sequence_template_id")
        enums = ("resource_type", "channel", "event_type")
        asked = {name: getattr(self, name) for name in (*ids, *enums)}
        wanted = [(name, value.lower() if name in ids else value) for name, value in asked.items() if value is not None]
        if not wanted:
            return None
        return lambda activity: all(getattr(activity, name) == value for name, value in wanted)


class TemplateQuery(Paging):
    """What `GET /sequence-templates` may be asked."""

    sort_by: Literal["created_at", "updated_at", "name"] | Missing = None
    sort_order: SortOrder = "asc"
    name: str | Missing = Field(None, description="A part of the name, in any case.")
    status: TemplateStatus | Missing = None

    def wants(self, template: Template) -> bool:
        """Is this template meant?"""
        return (
            (self.name is None or self.name.lower() in (template.name or "").lower())
            and self.status in (None, template.status)
            and (self.created_at_after is None or template.created_at > self.created_at_after)
            and (self.created_at_before is None or template.created_at < self.created_at_before)
        )

    def sort_key(self, template: Template) -> tuple[bool, str | datetime, str]:
        """Order by what was asked; templates without a name come after all names."""
        value = getattr(template, self.sort_by or "created_at")
        return value is None, value or "", template.id
