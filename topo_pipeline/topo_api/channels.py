"""Which channel a message went through, where payloads do not tell: only the API's own `channel` filter knows.

The smaller channels are read, the largest is what remains, and a count proves that: no price but the smaller
channels' pages. Where the count does not prove it, the largest is read too; what no channel shows stays unknown.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace

from topo_pipeline.topo_api.client import TopoClient
from topo_pipeline.topo_api.reading import Reading
from topo_pipeline.topo_api.repair import read_proved
from topo_pipeline.topo_api.wire import ActivityQuery, Channel, ResourceType

_LOG = logging.getLogger(__name__)

# Other messages' channel follows from their type.
ASKED_FOR = ("message.sent", "message.replied")


@dataclass(frozen=True)
class Labels:
    """The channel of each message (by its id) that has none in its payload; of one that no channel shows, none."""

    channels: Mapping[str, Channel]
    requests: int
    """Requests it took, retries included."""


@dataclass(frozen=True)
class Messages:
    """The messages among the activities of a reading, by their ids."""

    unlabelled: Set[str]
    """Those of the window that are to be asked for, and whose payload tells no channel."""
    all: Set[str]
    """Those between the bounds asked; needed only where some are unlabelled."""


async def label(client: TopoClient, reading: Reading, messages: Messages) -> Labels:
    """Ask Topo for the channels of the sent messages and replies of a reading.

    Raises:
        TopoError: Topo refused, or could not be reached.
    """
    unlabelled = messages.unlabelled
    if not unlabelled:
        return Labels({}, 0)
    asker = _Asker(client, reading)
    channels = await asker.channels_of(messages.all, is_whole=reading.received == reading.total_count)
    labelled = {id_: channels[id_] for id_ in unlabelled if id_ in channels}
    if len(labelled) < len(unlabelled):
        _LOG.warning(
            "No channel is known for %s of %s messages from %s on: Topo's channel filter does not show them",
            len(unlabelled) - len(labelled),
            len(unlabelled),
            reading.window.start.isoformat(),
        )
    return Labels(labelled, asker.requests)


class _Asker:
    def __init__(self, client: TopoClient, reading: Reading) -> None:
        self.requests = 0
        self._client = client
        # The very bounds of the reading, the overlap included: else no count could be held against it.
        self._query = ActivityQuery(
            created_at_after=reading.asked_after,
            created_at_before=reading.asked_before,
            resource_type=ResourceType.MESSAGE,
        )

    async def channels_of(self, messages: Set[str], *, is_whole: bool) -> dict[str, Channel]:
        counts = dict(zip(Channel, await asyncio.gather(*map(self._count, Channel)), strict=True))
        if sum(count >= len(messages) for count in counts.values()) > 1:
            return {}  # the filter selects everything
        *smaller, largest = sorted(Channel, key=lambda channel: counts[channel])
        found = {channel: await self._read(channel) if counts[channel] else set() for channel in smaller}
        rest = {*messages}.difference(*found.values())
        # A row that was not received, or not understood, could make up in the count for one that no channel shows.
        is_proved = is_whole and len(rest) == counts[largest]
        found[largest] = rest if is_proved else await self._read(largest)
        shown = Counter(id_ for ids in found.values() for id_ in ids)
        return {id_: channel for channel, ids in found.items() for id_ in ids if shown[id_] == 1}

    async def _count(self, channel: Channel) -> int:
        page = await self._client.activities(replace(self._query, channel=channel, size=1))
        self.requests += page.requests
        return page.total_count

    async def _read(self, channel: Channel) -> set[str]:
        """The ids of a channel, as far as they are to be had: what it shows is of it, proved complete or not."""
        outcome = await read_proved(self._client, replace(self._query, channel=channel))
        self.requests += outcome.requests
        return set(outcome.tally.rows.activities)
