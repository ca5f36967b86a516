"""The state that a sensor keeps between ticks, as readable JSON in Dagster's cursor."""

from datetime import datetime
from typing import Annotated, TypeVar

import msgspec

_T = TypeVar("_T", bound=msgspec.Struct)

Instant = Annotated[datetime, msgspec.Meta(tz=True)]


def read_cursor(text: str | None, default: _T) -> _T:
    """Return the state in a cursor, or `default` if it can't be decoded. Losing the state only costs requests."""
    try:
        return msgspec.json.decode(text or "", type=type(default))
    except (msgspec.MsgspecError, ValueError):
        return default


def write_cursor(state: msgspec.Struct) -> str:
    """Return the cursor for `state`."""
    return msgspec.json.encode(state).decode()
