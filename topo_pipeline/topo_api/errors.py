"""The errors of reading Topo's API. Each message says what happened and what to do next.

No message contains the API key: the code that raises an error removes it from the server's text first.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from topo_pipeline.common.text import noun_for
from topo_pipeline.days import utc_text

if TYPE_CHECKING:
    from topo_pipeline.topo_api.reading import Reading

_REQUEST_IDS_SHOWN = 3
_UNAUTHORIZED = 401


class TopoError(Exception):
    """A request that Topo or the network refused, failed or corrupted."""

    advice = ""
    """What to do next, where the sentence does not say so itself."""
    is_key_refused = False
    """Whether Topo rejects the API key itself."""

    def __init__(self, sentence: str, *, request_id: str | None = None) -> None:
        quoted = f" (request id {request_id})" if request_id else ""
        super().__init__(f"{sentence}{quoted}{self.advice}")


class RequestRefused(TopoError):
    """Topo refused the request for good. Retrying would not help."""

    def __init__(self, sentence: str, *, status: int, request_id: str | None = None) -> None:
        super().__init__(sentence, request_id=request_id)
        self.status = status
        self.is_key_refused = status == _UNAUTHORIZED


class TopoUnavailable(TopoError):
    """A network error, rate limit or server error persisted through every retry."""

    advice = ". Try again later"

    def __init__(
        self,
        sentence: str,
        *,
        status: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        is_rate_limit: bool = False,
    ) -> None:
        super().__init__(sentence, request_id=request_id)
        self.status = status
        """HTTP status of the last response. None if there was none."""
        self.is_rate_limit = is_rate_limit
        """Whether that response reports too many requests."""
        self.retry_after = retry_after
        """Seconds to wait, if the server named a time."""


class ResponseInvalid(TopoError):
    """Topo answered with success, but the body was not the documented shape in any attempt."""

    advice = ". Try again later. If it happens again, contact Topo's support"


class LimitExceeded(TopoError):
    """A window needs more requests or more time than any day of a workspace should."""

    advice = ". No day should reach this limit: contact Topo's support"


class ClocksApart(TopoError):
    """The clocks differ too much to say which day it is and whether it is over."""

    advice = ". They are 15 minutes apart or more. Set this machine's clock. If it is right, contact Topo's support"


class IncompleteWindow(TopoError):
    """The rows received for a window could not be proved complete."""

    advice = ". If it happens again, contact Topo's support"
    names_window = True
    """Whether the message begins with the window."""

    def __init__(self, *, reading: "Reading", because: str, request_ids: Sequence[str] = ()) -> None:
        window = reading.window
        which = f"Window {utc_text(window.start)} to {utc_text(window.end)}: " if self.names_window else ""
        super().__init__(f"{which}{because}{_quoted(request_ids)}")
        self.reading = reading
        """The rows received, for a caller that accepts them unproved."""


class TimesDisagree(IncompleteWindow):
    """Topo's time filter uses other times than the ones it returns, so the rows of a window are unknown."""

    advice = ". Run topo-pipeline doctor --contract --output contract.txt and send the file to Topo's support"


class EchoMissing(TimesDisagree):
    """Topo does not return a row for the seconds around the time it shows for it. This affects every day."""

    names_window = False


class UnreadableRows(IncompleteWindow):
    """Every row that Topo counts was received, but too many of them can't be read."""

    advice = ""
    names_window = False

    def __init__(self, *, reading: "Reading", rows: int) -> None:
        unreadable, reason = len(reading.unreadable), reading.unreadable[0].reason
        because = f"{unreadable:,} of the {rows:,} rows that Topo sent can't be read (first reason: {reason})"
        super().__init__(reading=reading, because=because)


def count_comparison(expected: int, got: int) -> str:
    """Return a sentence with Topo's count and the number of distinct rows received."""
    activities, rows = noun_for(expected, "activity", "activities"), noun_for(got, "row")
    difference = f"{expected - got or 'none'} missing" if got <= expected else f"{got - expected} too many"
    return f"Topo counts {expected} {activities} and sent {got} distinct {rows} ({difference})"


def _quoted(request_ids: Sequence[str]) -> str:
    if not request_ids:
        return ""
    more = len(request_ids) - _REQUEST_IDS_SHOWN
    shown = ", ".join(request_ids[:_REQUEST_IDS_SHOWN])
    return f" (request ids {shown}{f' and {more} more' if more > 0 else ''})"
