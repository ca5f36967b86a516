"""Faults of networks, gateways and a changing source. Each class changes one thing.

A fault changes the rows that a query finds, the response, or the way the response is sent. Faults of rows are in
`moving`. The plan of faults in force is in `plan`.
"""

import asyncio
import socket
import struct
from dataclasses import dataclass, replace
from typing import Annotated, Any
from uuid import UUID

import msgspec
from starlette.types import Send

from topo_pipeline.sandbox.activity import Activity
from topo_pipeline.sandbox.query import ActivityQuery

GATEWAY_PAGE = "<html><head><title>Sorry</title></head><body><h1>The gateway is busy</h1></body></html>"
_RESET_WHEN_CLOSED = struct.pack("ii", 1, 0)

Positive = Annotated[int, msgspec.Meta(ge=1)]
_Status = Annotated[int, msgspec.Meta(ge=200, le=599)]


@dataclass(frozen=True)
class Reply:
    """A response before it is sent."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Connection:
    """The connection to the client."""

    transport: asyncio.Transport
    send: Send
    disconnected: "asyncio.Future[None]"  # done when the client has disconnected

    async def send_head(self, reply: Reply) -> None:
        """Send all but the body."""
        headers = reply.headers | {"content-length": str(len(reply.body))}
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": reply.status, "headers": encoded})

    async def send_part(self, body: bytes) -> None:
        """Send a part of the body."""
        await self.send({"type": "http.response.body", "body": body, "more_body": True})


class Fault(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=str.lower, forbid_unknown_fields=True):
    """The base of all faults: which requests they apply to."""

    path: str = "activities"  # the operation, as written after `/v1/`
    page: Positive | None = None  # the only page affected. None: every page.
    times: Positive | None = None  # how often each request (each query) is affected. None: always.

    def rows(self, found: list[Activity], query: ActivityQuery, turn: int) -> list[Activity]:
        """Change the rows that `query` finds (ascending). `turn` is the number of requests affected before."""
        return found

    def reply(self, reply: Reply, authorization: str) -> Reply:
        """Change the response to a request with this Authorization header."""
        return reply


# Transport faults


class TransportFault(Fault, frozen=True):
    """A fault that sends the response itself, incorrectly."""

    async def deliver(self, reply: Reply, connection: Connection) -> None:
        """Send the response."""
        raise NotImplementedError


class Reset(TransportFault, frozen=True):
    """Reset the connection. If `midway`, in the middle of the body."""

    midway: bool = False

    async def deliver(self, reply: Reply, connection: Connection) -> None:
        if self.midway:
            await connection.send_head(reply)
            await connection.send_part(reply.body[: len(reply.body) // 2])
        tcp = connection.transport.get_extra_info("socket")
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_WHEN_CLOSED)
        connection.transport.abort()


class Short(TransportFault, frozen=True):
    """Send half of the body, with the length of the whole, and close the connection."""

    async def deliver(self, reply: Reply, connection: Connection) -> None:
        await connection.send_head(reply)
        await connection.send_part(reply.body[: len(reply.body) // 2])
        connection.transport.close()


class Drip(TransportFault, frozen=True):
    """Send the body byte by byte, with a pause (seconds) after each."""

    pause: Annotated[float, msgspec.Meta(gt=0)] = 1.0

    async def deliver(self, reply: Reply, connection: Connection) -> None:
        await connection.send_head(reply)
        for number in range(len(reply.body)):
            await connection.send_part(reply.body[number : number + 1])
            await asyncio.wait([connection.disconnected], timeout=self.pause)
            if connection.disconnected.done():
                return


# Response faults


class Answer(Fault, frozen=True):
    """Send another response: an error, a gateway's page, JSON of another shape.

    `{authorization}` in its body or headers is replaced with the request's header.
    """

    status: _Status = 503
    body: str = GATEWAY_PAGE
    headers: dict[str, str] = {}

    def reply(self, reply: Reply, authorization: str) -> Reply:
        headers = {
            name.lower(): value.replace("{authorization}", authorization) for name, value in self.headers.items()
        }
        return Reply(self.status, headers, self.body.replace("{authorization}", authorization).encode())


class Cut(Fault, frozen=True):
    """Send half of the body, with a matching length."""

    def reply(self, reply: Reply, authorization: str) -> Reply:
        return replace(reply, body=reply.body[: len(reply.body) // 2])


class PageFault(Fault, frozen=True):
    """A fault in a page's JSON."""

    def reply(self, reply: Reply, authorization: str) -> Reply:
        page = msgspec.json.decode(reply.body)
        return replace(reply, body=msgspec.json.encode(self.changed(page))) if "items" in page else reply

    def changed(self, page: dict[str, Any]) -> dict[str, Any]:
        """Return the faulty page."""
        raise NotImplementedError


class Miscount(PageFault, frozen=True):
    """Add `by` to `total_count`."""

    by: int = 1

    def changed(self, page: dict[str, Any]) -> dict[str, Any]:
        return page | {"total_count": max(0, page["total_count"] + self.by)}


class ItemFault(PageFault, frozen=True):
    """A fault in about one of `every` items, always the same ones."""

    every: Positive = 8

    def changed(self, page: dict[str, Any]) -> dict[str, Any]:
        return page | {"items": [self._item(item) for item in page["items"]]}

    def _item(self, item: dict[str, Any]) -> Any:
        number, rest = divmod(UUID(item["id"]).int, self.every)
        return item if rest else self.item(item, number)

    def item(self, item: dict[str, Any], number: int) -> Any:
        """Return the faulty item. `number` is derived from its id and effectively random."""
        raise NotImplementedError


class Unknown(ItemFault, frozen=True):
    """Use an undocumented type, channel, reply category and fields."""

    def item(self, item: dict[str, Any], number: int) -> Any:
        odd = {"type": "weather.changed", "resource_type": "WEATHER", "channel": "PIGEON", "mood": {"is": ["mild"]}}
        metadata = {"step_number": "third", "reply_category": "FLATTERED"}
        return item | {"payload": item["payload"] | odd | {"metadata": metadata}, "weight": 1e300}


class Nulls(ItemFault, frozen=True):
    """Make a payload's ids null or leave them out."""

    def item(self, item: dict[str, Any], number: int) -> Any:
        known = {name: value for name, value in item["payload"].items() if not name.lower().endswith("id")}
        nulls = {name: None for name in item["payload"] if name not in known}
        return item | {"payload": known | nulls if number % 2 else known}


class Unreadable(ItemFault, frozen=True):
    """Make an item unreadable: no id, no instant, no payload, or not an object."""

    def item(self, item: dict[str, Any], number: int) -> Any:
        forms = (item | {"id": None}, item | {"created_at": "yesterday"}, item | {"payload": []}, [item])
        return forms[number % len(forms)]


AnyTransportFault = Reset | Short | Drip
AnyResponseFault = Answer | Cut | Miscount | Unknown | Nulls | Unreadable
