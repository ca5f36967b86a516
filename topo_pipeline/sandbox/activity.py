"""The sandbox's activities, in the API's vocabulary. Their JSON form is in `wire`."""

from datetime import datetime
from typing import Literal

import msgspec

ResourceType = Literal["MESSAGE", "INVITATION", "HOT_LEAD", "MEETING", "SEQUENCE_STEP", "SEQUENCE", "TASK"]
Channel = Literal["EMAIL", "LINKEDIN", "MANUAL"]
EventType = Literal[
    "SENT", "REPLIED", "OPENED", "LINK_CLICKED", "ACCEPTED", "CREATED", "PAUSED", "RESUMED", "STOPPED", "COMPLETED",
    "SKIPPED",
]  # fmt: skip


class Activity(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event in one run (`sequence_id`) of one sequence (`sequence_template_id`)."""

    id: str
    created_at: datetime
    resource_type: ResourceType
    event_type: EventType
    person_id: str
    sequence_id: str
    sequence_template_id: str | None
    channel: Channel | None = None
    step_number: int | None = None
    message_id: str | None = None
    hot_lead_id: str | None = None
    calendar_event_id: str | None = None
    task_id: str | None = None
    reply_category: str | None = None
    classified_at: datetime | None = None  # time from which the API shows `reply_category`. Until then it shows null.

    @property
    def type(self) -> str:
        """The payload's type, such as `message.sent`."""
        return f"{self.resource_type}.{self.event_type}".lower()

    def category_at(self, now: datetime) -> str | None:
        """Return the reply category that the API shows at `now`."""
        return self.reply_category if self.classified_at and self.classified_at <= now else None
