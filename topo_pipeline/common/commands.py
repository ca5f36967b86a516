"""Commands in texts, which people paste: with the organization that this process or run works on."""

import re
from contextvars import ContextVar

organization: ContextVar[str | None] = ContextVar("organization", default=None)
"""The organization that was chosen, if there are several."""

# Those that work on one organization.
_COMMAND = re.compile(
    r"\btopo-pipeline (?=(?:backfill|backup|compare|doctor|explain|export|forget|report|restore|sequences|status)\b)"
)


def pasteable(text: str) -> str:
    """Return the text with the organization in each command."""
    chosen = organization.get()
    return _COMMAND.sub(f"topo-pipeline --organization {chosen} ", text) if chosen else text
