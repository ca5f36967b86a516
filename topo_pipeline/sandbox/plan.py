"""The plan of faults in force: which requests they strike, and how the plan is given over HTTP.

`PUT /faults` with a JSON list of faults sets it, `DELETE /faults` ends it. That is no part of Topo's contract: it is
not in the schema, and answers this machine alone.
"""

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, get_args
from urllib.parse import parse_qs

import msgspec
from fastapi import Depends, FastAPI, Request, Response

from topo_pipeline.sandbox.activity import Activity
from topo_pipeline.sandbox.errors import NOT_FOUND, VALIDATION, Refusal
from topo_pipeline.sandbox.faults import Fault, OfTheAnswer, OfTheWay, Reply, Wire, WireFault
from topo_pipeline.sandbox.moving import OfTheRows
from topo_pipeline.sandbox.query import ActivityQuery

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

AnyFault = OfTheWay | OfTheAnswer | OfTheRows
KINDS = sorted(str(kind.__struct_config__.tag) for kind in get_args(AnyFault))
_PLAN = msgspec.json.Decoder(list[AnyFault])
TRANSPORT = "transport"
"""Under which `server` leaves the connection in a request's state."""

_STRUCK = "topo_pipeline.faults"


class Plan:
    """The faults in force, and how often each has struck."""

    def __init__(self, faults: Sequence[Fault] = ()) -> None:
        self.set(faults)

    def set(self, faults: Sequence[Fault]) -> None:
        """Put these in the place of those before; none of them has struck yet."""
        self.faults = tuple(faults)
        self._turns: Counter[int] = Counter()
        self._struck: Counter[tuple[int, bytes]] = Counter()

    def strike(self, path: str, query: bytes) -> list[tuple[Fault, int]]:
        """The faults that strike this request, each with the number of requests that it struck before."""
        page = parse_qs(query.decode("latin-1")).get("page", ["1"])[-1]
        struck = []
        for number, fault in enumerate(self.faults):
            spared = fault.times is not None and self._struck[number, query] >= fault.times
            meant = path == f"/v1/{fault.path}" and (fault.page is None or str(fault.page) == page)
            if meant and not spared:
                struck.append((fault, self._turns[number]))
                self._turns[number] += 1
                self._struck[number, query] += 1
        return struck


class Faulty:
    """An app whose answers the faults of a plan strike; without any it is the app itself."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], plan: Plan) -> None:
        self._app = app
        self._plan = plan

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        struck = self._plan.strike(scope["path"], scope["query_string"]) if self._plan.faults else []
        if not struck:
            await self._app(scope, receive, send)
            return
        reply = await self._reply({**scope, _STRUCK: struck}, receive)
        headers = dict(scope["headers"])
        for fault, _ in struck:
            reply = fault.reply(reply, headers.get(b"authorization", b"").decode("latin-1"))
        left = asyncio.ensure_future(_left(receive))
        wire = Wire(scope.get("state", {}).get(TRANSPORT), send, left)
        bad = next((fault for fault, _ in struck if isinstance(fault, WireFault)), None)
        try:
            if bad:
                await bad.deliver(reply, wire)
                await left  # else the server would take it for an unfinished answer
            else:
                await wire.promise(reply)
                await send({"type": "http.response.body", "body": reply.body})
        finally:
            left.cancel()

    async def _reply(self, scope: Scope, receive: Receive) -> Reply:
        """What the app would answer."""
        status, headers, body = 0, {}, b""

        async def keep(message: MutableMapping[str, Any]) -> None:
            nonlocal status, headers, body
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
            else:
                body += message.get("body", b"")

        await self._app(scope, receive, keep)
        return Reply(status, headers, body)


async def _left(receive: Receive) -> None:
    """Return when the connection is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def bend(request: Request, found: list[Activity], query: ActivityQuery) -> list[Activity]:
    """What `query` finds, as the faults that struck this request would have it."""
    for fault, turn in request.scope.get(_STRUCK, ()):
        found = fault.rows(found, query, turn)
    return found


def take_plans(app: FastAPI, plan: Plan) -> None:
    """Let whoever runs the sandbox set the plan over HTTP."""

    @app.put("/faults", include_in_schema=False, dependencies=[Depends(_is_from_here)])
    async def set_plan(request: Request) -> Response:
        try:
            plan.set(_PLAN.decode(await request.body()))
        except msgspec.DecodeError as error:
            sentence = f"this is no plan of faults: {error}; it is a JSON list, and the kinds are {', '.join(KINDS)}"
            raise Refusal(400, VALIDATION, sentence) from None
        return Response(status_code=204)

    @app.delete("/faults", include_in_schema=False, dependencies=[Depends(_is_from_here)])
    async def end_plan() -> Response:
        plan.set(())
        return Response(status_code=204)


def _is_from_here(request: Request) -> None:
    if request.client is None or not ipaddress.ip_address(request.client.host).is_loopback:
        raise Refusal(404, NOT_FOUND, f"there is no {request.method} {request.url.path}")
