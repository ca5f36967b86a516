"""Ways in which a real API may differ from the pipeline's assumptions. Each is one switch, off by default.

A fault (`faults`, `moving`) is a temporary error. A quirk is how the API always works.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Literal

import msgspec

from topo_pipeline.sandbox.activity import Activity
from topo_pipeline.sandbox.moving import Ties
from topo_pipeline.sandbox.query import ActivityQuery
from topo_pipeline.sandbox.wire import CamelActivity, SnakeActivity, SnakePayload

UNLISTED_EVERY = 4
"""About one activity in this many has an unlisted type, channel or reply category."""

_NEXT_INSTANT = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Quirks:
    """The switches."""

    bounds_inclusive: bool = False  # `created_at_after` and `created_at_before` include their own instant
    bounds_shift_seconds: int = 0  # added to both bounds, as if they were read in another time zone
    shown_shift_seconds: int = 0  # added to each `created_at` shown, as in local time labelled Z
    shown_unit_seconds: int = 0  # each `created_at` is shown as a multiple of this. The filter uses the exact instant.
    shown_rounding: Literal["down", "nearest"] = "down"  # how an instant is rounded to such a multiple
    count_cap: int | None = None  # maximum of `total_count`. `has_more` is still right.
    count_off_by: int = 0  # added to `total_count`
    # `asked`, or an order that ignores `sort_order`. `unsorted` is by id.
    order: Literal["asked", "descending", "unsorted"] = "asked"
    ties_shuffled: bool = False  # activities with the same instant are shuffled at each request
    max_page_size: int | None = None  # maximum rows on a page, even if `size` is larger
    # A page past the end is empty, the last page again, or a 404.
    after_last_page: Literal["empty", "repeat", "error"] = "empty"
    ignored_filter: Literal["resource_type", "event_type", "channel"] | None = None  # a filter that has no effect
    has_more: Literal["right", "always", "never"] = "right"  # `right`, or always true or always false
    unlisted_types: bool = False  # some payloads have a type that is not documented
    unlisted_channels: bool = False  # some payloads have a channel that is not documented
    unlisted_categories: bool = False  # some replies have a category that is not documented
    no_step_numbers: bool = False  # `metadata.step_number` is always null
    no_message_ids: bool = False  # the message id is always null
    no_me: bool = False  # `/me` does not exist
    no_templates: bool = False  # `/sequence-templates` does not exist
    clock_ahead_seconds: int = 0  # added to the Date header
    no_date_header: bool = False  # no Date header is sent
    rate_limit_headers: bool = False  # answers carry `X-RateLimit-Limit` and `X-RateLimit-Remaining`

    def applied(self, query: ActivityQuery) -> ActivityQuery:
        """Return the query that is answered instead of the requested one."""
        moved = timedelta(seconds=self.bounds_shift_seconds)
        wider = _NEXT_INSTANT if self.bounds_inclusive else timedelta()
        after, before = query.created_at_after, query.created_at_before
        answered: dict[str, object] = {
            "created_at_after": after and after + moved - wider,
            "created_at_before": before and before + moved + wider,
        }
        if self.ignored_filter:
            answered[self.ignored_filter] = None
        return query.model_copy(update=answered)

    def arranged(self, found: list[Activity], query: ActivityQuery, turn: int) -> list[Activity]:
        """Return the activities found (ascending) in the order sent. `turn` is the number of the request."""
        if self.ties_shuffled:
            found = Ties().rows(found, query, turn)
        if self.order == "unsorted":
            return sorted(found, key=lambda activity: activity.id)
        return found[::-1] if "desc" in (query.sort_order, self.order[:4]) else found

    def spelled(self, item: CamelActivity | SnakeActivity) -> CamelActivity | SnakeActivity:
        """Change an activity's JSON form in place."""
        payload = item.payload
        if self.no_message_ids:
            payload.message_id = None
        is_chosen = int(item.id[:8], 16) % UNLISTED_EVERY == 0
        if is_chosen and self.unlisted_types:
            payload.type = "weather.changed"
        if isinstance(payload, SnakePayload):
            self._details(payload, is_chosen=is_chosen)
        return item

    def _details(self, payload: SnakePayload, *, is_chosen: bool) -> None:
        if self.no_step_numbers:
            payload.metadata.step_number = None
        if is_chosen and self.unlisted_types:
            payload.resource_type = "WEATHER"
        if is_chosen and self.unlisted_channels and payload.channel:
            payload.channel = "PIGEON"
        if is_chosen and self.unlisted_categories and payload.metadata.reply_category:
            payload.metadata.reply_category = "FLATTERED"

    def shown(self, moment: datetime) -> datetime:
        """Return the instant shown for an activity at `moment`."""
        moment += timedelta(seconds=self.shown_shift_seconds)
        if not self.shown_unit_seconds:
            return moment
        unit = timedelta(seconds=self.shown_unit_seconds)
        moved = moment - _EPOCH + (unit / 2 if self.shown_rounding == "nearest" else timedelta())
        return _EPOCH + moved // unit * unit

    def count(self, rows: int) -> int:
        """Return `total_count` for a query that finds `rows` rows."""
        return max(0, min(rows, self.count_cap if self.count_cap is not None else rows) + self.count_off_by)

    def follows(self, page: int, last: int) -> bool:
        """Return `has_more` of a page. `last` is the last page with rows."""
        return page < last if self.has_more == "right" else self.has_more == "always"

    def headers(self, now: datetime) -> dict[str, str]:
        """Return the headers of a response sent at `now`."""
        headers = {}
        if not self.no_date_header:
            headers["date"] = format_datetime(now + timedelta(seconds=self.clock_ahead_seconds), usegmt=True)
        if self.rate_limit_headers:
            headers |= {"x-ratelimit-limit": "600", "x-ratelimit-remaining": "599"}
        return headers


NO_QUIRKS = Quirks()


def parse(switches: Iterable[str]) -> Quirks:
    """Parse quirks written as `NAME` or `NAME=VALUE`.

    Raises:
        ValueError: a name is unknown, or a value can't be used.
    """
    values = {name: value or "true" for name, _, value in (switch.partition("=") for switch in switches)}
    known = [field.name for field in fields(Quirks)]
    for name in values:
        if name not in known:
            raise ValueError(f"{name!r} is not a quirk. Use one of {', '.join(known)}.")
    try:
        return msgspec.convert(values, Quirks, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(f"The quirk can't be used: {error}.") from None
