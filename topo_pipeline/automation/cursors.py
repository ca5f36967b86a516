"""What a sensor remembers from tick to tick, as JSON that a person can read."""

from datetime import datetime
from typing import Annotated, TypeVar

import msgspec

_T = TypeVar("_T", bound=msgspec.Struct)

Instant = Annotated[datetime, msgspec.Meta(tz=True)]


def read_cursor(text: str | None, kind: type[_T]) -> _T:
    """The memory in a cursor; an empty one where there is none, or one of another making: that costs requests only."""
    try:
        return msgspec.json.decode(text or "{}", type=kind)
    except (msgspec.MsgspecError, ValueError):
        return kind()


def write_cursor(memory: msgspec.Struct) -> str:
    """The cursor that holds `memory`."""
    return msgspec.json.encode(memory).decode()
