"""Find the channel of messages whose payload has none. Only the API's `channel` filter knows it.

Only the smaller channels are read. The remaining messages belong to the largest one, which its count proves. If it does
not, the largest channel is read too. A message that no channel returns stays without one.
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

# The channel of other messages follows from their type.
TYPES_WITHOUT_CHANNEL = ("message.sent", "message.replied")


@dataclass(frozen=True)
class Labels:
    """Channels by message id, for messages whose payload has none. A message that no channel returns is left out."""

    channels: Mapping[str, Channel]
    requests: int
    """Number of requests, retries included."""


@dataclass(frozen=True)
class Messages:
    """Ids of the messages in a reading."""

    unlabelled: Set[str]
    """Sent messages and replies in the window whose payload has no channel."""
    all: Set[str]
    """All messages between the requested bounds. Needed only if some are unlabelled."""


async def label(client: TopoClient, reading: Reading, messages: Messages) -> Labels:
    """Return the channels of a reading's sent messages and replies, using Topo's channel filter."""
    unlabelled = messages.unlabelled
    if not unlabelled:
        return Labels({}, 0)
    # The same bounds as the reading, including the overlap, so that the counts are comparable.
    bounds = ActivityQuery(created_at_after=reading.asked_after, created_at_before=reading.asked_before)
    reader = _ChannelReader(client, replace(bounds, resource_type=ResourceType.MESSAGE))
    channels = await reader.channels_of(messages.all, is_whole=reading.received == reading.total_count)
    labelled = {id_: channels[id_] for id_ in unlabelled if id_ in channels}
    if missing := len(unlabelled) - len(labelled):
        which = f"{missing} of {len(unlabelled)} messages from {reading.window.start.isoformat()} on"
        _LOG.warning("The channel of %s is unknown: Topo's channel filter does not return them", which)
    return Labels(labelled, reader.requests)


@dataclass
class _ChannelReader:
    client: TopoClient
    query: ActivityQuery
    requests: int = 0

    async def channels_of(self, messages: Set[str], *, is_whole: bool) -> dict[str, Channel]:
        counts = dict(zip(Channel, await asyncio.gather(*map(self._count, Channel)), strict=True))
        if sum(count >= len(messages) for count in counts.values()) > 1:
            return {}  # the filter selects everything
        *smaller, largest = sorted(Channel, key=lambda channel: counts[channel])
        found = {channel: await self._read(channel) if counts[channel] else set() for channel in smaller}
        rest = {*messages}.difference(*found.values())
        # A row that was not received or can't be read could offset one that no channel returns.
        is_proved = is_whole and len(rest) == counts[largest]
        found[largest] = rest if is_proved else await self._read(largest)
        shown = Counter(id_ for ids in found.values() for id_ in ids)
        return {id_: channel for channel, ids in found.items() for id_ in ids if shown[id_] == 1}

    async def _count(self, channel: Channel) -> int:
        page = await self.client.activities(replace(self.query, channel=channel, size=1))
        self.requests += page.requests
        return page.total_count

    async def _read(self, channel: Channel) -> set[str]:
        """Return the ids that Topo returns for a channel, whether or not they are proved complete."""
        outcome = await read_proved(self.client, replace(self.query, channel=channel))
        self.requests += outcome.requests
        return set(outcome.tally.rows.activities)
