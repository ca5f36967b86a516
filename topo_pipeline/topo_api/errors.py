"""What can go wrong between here and Topo, each error one sentence for a person.

No message holds the API key: whoever raises one of these has taken it out of every text the server sent.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from topo_pipeline.topo_api.reading import Reading

_REQUEST_IDS_SHOWN = 3
_UNAUTHORIZED = 401


class TopoError(Exception):
    """Anything Topo's API, or the way to it, refused, failed or garbled."""

    advice = ""
    """What a person can do, where the sentence itself does not say so."""
    is_of_key = False
    """Whether Topo does not accept the key at all."""

    def __init__(self, sentence: str, *, request_id: str | None = None) -> None:
        quoted = f" (request id {request_id})" if request_id else ""
        super().__init__(f"{sentence}{quoted}{self.advice}")
        self.request_id = request_id


class RequestRefused(TopoError):
    """A permanent answer: asking again would change nothing."""

    def __init__(self, sentence: str, *, status: int, type: str, request_id: str | None = None) -> None:
        super().__init__(sentence, request_id=request_id)
        self.status = status
        self.type = type
        self.is_of_key = status == _UNAUTHORIZED


class TopoUnavailable(TopoError):
    """Network faults, rate limiting or server errors that outlasted every retry."""

    advice = "; try again later"

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
        """Of the last answer; None where there was none."""
        self.is_rate_limit = is_rate_limit
        """Whether that answer says that there are too many requests."""
        self.retry_after = retry_after
        """Seconds the server asked to be left alone, where it said so."""


class ResponseInvalid(TopoError):
    """An answer of success whose body is not the documented shape, at every attempt."""

    advice = "; try again later, and if it happens again, tell Topo's support"


class LimitExceeded(TopoError):
    """A window takes more requests, or more time, than any day of a workspace should."""

    advice = "; no day should take that: tell Topo's support"


class ClocksApart(TopoError):
    """Which day it is, and whether it is over, is unknown."""

    advice = ": 15 minutes apart or more. Set this machine's clock; if it is right, tell Topo's support"


class IncompleteWindow(TopoError):
    """What was received of a window could not be proved to be all of it.

    Attributes:
        reading: The best there is, for a caller that takes it unproved.
        window: The window.
        expected: Topo's count.
        got: Distinct rows received.
        request_ids: Of the answers that disagree.
    """

    advice = "; read it again, and if it happens again, tell Topo's support"
    says_window = True
    """Whether the sentence begins with the window."""

    def __init__(self, *, reading: "Reading", got: int, because: str, request_ids: Sequence[str] = ()) -> None:
        window = reading.window
        which = f"window {_instant(window.start)} to {_instant(window.end)}: " if self.says_window else ""
        super().__init__(f"{which}{because}{_quoted(request_ids)}")
        self.reading = reading
        self.window = window
        self.expected = reading.total_count
        self.got = got
        self.request_ids = tuple(request_ids)


class TimesDisagree(IncompleteWindow):
    """Topo's time filter selects by other times than those it shows: which rows are of a window is unknown."""

    advice = ". Run topo-pipeline doctor --contract --output FILE, and send the file to Topo's support"


class EchoMissing(TimesDisagree):
    """A row that was read is not among those of the seconds around the time it shows. This affects every day."""

    says_window = False


class UnreadableRows(IncompleteWindow):
    """Everything that Topo counts was received, but too many of the rows can't be read."""

    advice = ""
    says_window = False

    def __init__(self, *, reading: "Reading", rows: int) -> None:
        unreadable, reason = len(reading.unreadable), reading.unreadable[0].reason
        because = f"{unreadable:,} of the {rows:,} rows that Topo sent can't be read (first reason: {reason})"
        super().__init__(reading=reading, got=rows, because=because)


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def counted(expected: int, got: int) -> str:
    """Say what Topo counts and how many distinct rows were received."""
    return f"Topo counts {expected} activities, {got} distinct ones were received ({_difference(expected, got)})"


def _difference(expected: int, got: int) -> str:
    if got == expected:
        return "none missing"
    return f"{expected - got} missing" if got < expected else f"{got - expected} surplus"


def _quoted(request_ids: Sequence[str]) -> str:
    if not request_ids:
        return ""
    more = len(request_ids) - _REQUEST_IDS_SHOWN
    shown = ", ".join(request_ids[:_REQUEST_IDS_SHOWN])
    return f" (request ids {shown}{f' and {more} more' if more > 0 else ''})"
