"""The plan of faults in force: which requests they affect, and the HTTP routes that set it.

`PUT /faults` with a JSON list of faults sets the plan, `DELETE /faults` clears it. These routes are not part of Topo's
contract. They are not in the schema and only answer requests from loopback.
"""

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Sequence
from typing import get_args
from urllib.parse import parse_qs

import msgspec
from fastapi import Depends, FastAPI, Request, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from topo_pipeline.sandbox.activity import Activity
from topo_pipeline.sandbox.errors import NOT_FOUND, VALIDATION, Refusal
from topo_pipeline.sandbox.faults import AnyResponseFault, AnyTransportFault, Connection, Fault, Reply, TransportFault
from topo_pipeline.sandbox.moving import AnyRowFault
from topo_pipeline.sandbox.query import ActivityQuery

AnyFault = AnyTransportFault | AnyResponseFault | AnyRowFault
KINDS = sorted(str(kind.__struct_config__.tag) for kind in get_args(AnyFault))
_PLAN = msgspec.json.Decoder(list[AnyFault])
TRANSPORT = "transport"
"""Key in a request's state under which `server` stores the connection."""

_FAULTS = "topo_pipeline.faults"


class Plan:
    """The faults in force, and how often each was applied."""

    def __init__(self, faults: Sequence[Fault] = ()) -> None:
        self.set(faults)

    def set(self, faults: Sequence[Fault]) -> None:
        """Replace all faults and reset their counters."""
        self.faults = tuple(faults)
        self._turns: Counter[int] = Counter()
        self._applied: Counter[tuple[int, bytes]] = Counter()

    def matching(self, path: str, query: bytes) -> list[tuple[Fault, int]]:
        """Return the faults for this request, each with the number of requests it affected before, and count them."""
        page = parse_qs(query.decode("latin-1")).get("page", ["1"])[-1]
        matched = []
        for number, fault in enumerate(self.faults):
            is_used_up = fault.times is not None and self._applied[number, query] >= fault.times
            is_match = path == f"/v1/{fault.path}" and (fault.page is None or str(fault.page) == page)
            if is_match and not is_used_up:
                matched.append((fault, self._turns[number]))
                self._turns[number] += 1
                self._applied[number, query] += 1
        return matched


class FaultMiddleware:
    """Middleware that applies the faults of a plan to requests."""

    def __init__(self, app: ASGIApp, plan: Plan) -> None:
        self._app = app
        self._plan = plan

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        matched = self._plan.matching(scope["path"], scope["query_string"]) if self._plan.faults else []
        if not matched:
            await self._app(scope, receive, send)
            return
        reply = await self._reply({**scope, _FAULTS: matched}, receive)
        headers = dict(scope["headers"])
        for fault, _ in matched:
            reply = fault.reply(reply, headers.get(b"authorization", b"").decode("latin-1"))
        disconnected = asyncio.ensure_future(_disconnected(receive))
        connection = Connection(scope.get("state", {}).get(TRANSPORT), send, disconnected)
        transport_fault = next((fault for fault, _ in matched if isinstance(fault, TransportFault)), None)
        try:
            if transport_fault:
                await transport_fault.deliver(reply, connection)
                await disconnected  # otherwise the server reports an unfinished response
            else:
                await connection.send_head(reply)
                await send({"type": "http.response.body", "body": reply.body})
        finally:
            disconnected.cancel()

    async def _reply(self, scope: Scope, receive: Receive) -> Reply:
        """Return the app's response."""
        status, headers, body = 0, {}, b""

        async def collect(message: Message) -> None:
            nonlocal status, headers, body
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
            else:
                body += message.get("body", b"")

        await self._app(scope, receive, collect)
        return Reply(status, headers, body)


async def _disconnected(receive: Receive) -> None:
    """Wait until the client disconnects."""
    while (await receive())["type"] != "http.disconnect":
        pass


def apply_row_faults(request: Request, found: list[Activity], query: ActivityQuery) -> list[Activity]:
    """Apply the faults that matched this request to the rows that `query` finds."""
    for fault, turn in request.scope.get(_FAULTS, ()):
        found = fault.rows(found, query, turn)
    return found


def add_plan_routes(app: FastAPI, plan: Plan) -> None:
    """Add the routes that set and clear the plan."""

    @app.put("/faults", include_in_schema=False, dependencies=[Depends(_require_loopback)])
    async def set_plan(request: Request) -> Response:
        try:
            plan.set(_PLAN.decode(await request.body()))
        except msgspec.DecodeError as error:
            sentence = f"not a plan of faults: {error}. Send a JSON list of faults. Kinds: {', '.join(KINDS)}"
            raise Refusal(400, VALIDATION, sentence) from None
        return Response(status_code=204)

    @app.delete("/faults", include_in_schema=False, dependencies=[Depends(_require_loopback)])
    async def end_plan() -> Response:
        plan.set(())
        return Response(status_code=204)


def _require_loopback(request: Request) -> None:
    if request.client is None or not ipaddress.ip_address(request.client.host).is_loopback:
        raise Refusal(404, NOT_FOUND, f"there is no {request.method} {request.url.path}")
