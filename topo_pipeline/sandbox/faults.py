"""What networks, gateways and a source that moves do to a client: faults, each a class that bends one thing.

A fault bends the rows that a query finds, the answer that is made of them, or the way on which the answer travels.
Those of the rows stand in `moving`; which are in force, and how a plan of them is given, is for `plan`.
"""

import asyncio
import socket
import struct
from dataclasses import dataclass, replace
from typing import Annotated, Any
from uuid import UUID

import msgspec

from topo_pipeline.sandbox.activity import Activity
from topo_pipeline.sandbox.query import ActivityQuery

GATEWAY_PAGE = "<html><head><title>Sorry</title></head><body><h1>The gateway is busy</h1></body></html>"
_RESET_WHEN_CLOSED = struct.pack("ii", 1, 0)

Positive = Annotated[int, msgspec.Meta(ge=1)]
_Status = Annotated[int, msgspec.Meta(ge=200, le=599)]


@dataclass(frozen=True)
class Reply:
    """An answer before it is sent."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Wire:
    """The way back to the client."""

    transport: asyncio.Transport
    send: Any
    left: "asyncio.Future[None]"
    """Done when the connection is gone."""

    async def promise(self, reply: Reply) -> None:
        """Send all but the body."""
        headers = reply.headers | {"content-length": str(len(reply.body))}
        encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": reply.status, "headers": encoded})

    async def part(self, body: bytes) -> None:
        """Send a part of the body."""
        await self.send({"type": "http.response.body", "body": body, "more_body": True})


class Fault(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=str.lower, forbid_unknown_fields=True):
    """What all kinds have in common: which requests they strike.

    Attributes:
        path: the operation, as it stands behind `/v1/`.
        page: the only page that is struck; every page where left open.
        times: how often each request (each query) is struck before it is spared; always where left open.
    """

    path: str = "activities"
    page: Positive | None = None
    times: Positive | None = None

    def rows(self, found: list[Activity], query: ActivityQuery, turn: int) -> list[Activity]:
        """Bend what `query` finds, ascending; `turn` counts the requests struck before."""
        return found

    def reply(self, reply: Reply, authorization: str) -> Reply:
        """Bend the answer to a request with this header."""
        return reply


# Of the way


class WireFault(Fault, frozen=True):
    """A fault that sends the answer itself, badly."""

    async def deliver(self, reply: Reply, wire: Wire) -> None:
        """Send what there is to be sent."""
        raise NotImplementedError


class Reset(WireFault, frozen=True):
    """The connection is reset; where `midway`, in the midst of the body."""

    midway: bool = False

    async def deliver(self, reply: Reply, wire: Wire) -> None:
        if self.midway:
            await wire.promise(reply)
            await wire.part(reply.body[: len(reply.body) // 2])
        wire.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_WHEN_CLOSED)
        wire.transport.abort()


class Short(WireFault, frozen=True):
    """Half of the body comes, under a length that promises all of it; then the connection is closed."""

    async def deliver(self, reply: Reply, wire: Wire) -> None:
        await wire.promise(reply)
        await wire.part(reply.body[: len(reply.body) // 2])
        wire.transport.close()


class Drip(WireFault, frozen=True):
    """The body comes byte by byte, with a pause of so many seconds after each."""

    pause: Annotated[float, msgspec.Meta(gt=0)] = 1.0

    async def deliver(self, reply: Reply, wire: Wire) -> None:
        await wire.promise(reply)
        for number in range(len(reply.body)):
            await wire.part(reply.body[number : number + 1])
            await asyncio.wait([wire.left], timeout=self.pause)
            if wire.left.done():
                return


# Of the answer


class Answer(Fault, frozen=True):
    """Another answer altogether: an error, a gateway's page, JSON of another shape.

    `{authorization}` in its body or headers becomes what the request sent.
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
    """Half of the body, under a length that is right."""

    def reply(self, reply: Reply, authorization: str) -> Reply:
        return replace(reply, body=reply.body[: len(reply.body) // 2])


class PageFault(Fault, frozen=True):
    """A fault of a page's JSON."""

    def reply(self, reply: Reply, authorization: str) -> Reply:
        page = msgspec.json.decode(reply.body)
        return replace(reply, body=msgspec.json.encode(self.bent(page))) if "items" in page else reply

    def bent(self, page: dict[str, Any]) -> dict[str, Any]:
        """The page as it should not be."""
        raise NotImplementedError


class Miscount(PageFault, frozen=True):
    """`total_count` is off by so many."""

    by: int = 1

    def bent(self, page: dict[str, Any]) -> dict[str, Any]:
        return page | {"total_count": max(0, page["total_count"] + self.by)}


class ItemFault(PageFault, frozen=True):
    """A fault of about one item in so many, always the same ones."""

    every: Positive = 8

    def bent(self, page: dict[str, Any]) -> dict[str, Any]:
        return page | {"items": [self._item(item) for item in page["items"]]}

    def _item(self, item: dict[str, Any]) -> Any:
        number, rest = divmod(UUID(item["id"]).int, self.every)
        return item if rest else self.item(item, number)

    def item(self, item: dict[str, Any], number: int) -> Any:
        """The item as it should not be; `number` is its own, and as good as chance."""
        raise NotImplementedError


class Unknown(ItemFault, frozen=True):
    """A type, a channel, a reply category and fields that nobody has heard of."""

    def item(self, item: dict[str, Any], number: int) -> Any:
        told = {"type": "weather.changed", "resource_type": "WEATHER", "channel": "PIGEON", "mood": {"is": ["mild"]}}
        metadata = {"step_number": "third", "reply_category": "FLATTERED"}
        return item | {"payload": item["payload"] | told | {"metadata": metadata}, "weight": 1e300}


class Nulls(ItemFault, frozen=True):
    """A payload whose ids are null, or are missing."""

    def item(self, item: dict[str, Any], number: int) -> Any:
        known = {name: value for name, value in item["payload"].items() if not name.lower().endswith("id")}
        nulls = {name: None for name in item["payload"] if name not in known}
        return item | {"payload": known | nulls if number % 2 else known}


class Unreadable(ItemFault, frozen=True):
    """Not an activity: without an id, at no instant, without a payload, or not even an object."""

    def item(self, item: dict[str, Any], number: int) -> Any:
        forms = (item | {"id": None}, item | {"created_at": "yesterday"}, item | {"payload": []}, [item])
        return forms[number % len(forms)]


OfTheWay = Reset | Short | Drip
OfTheAnswer = Answer | Cut | Miscount | Unknown | Nulls | Unreadable
