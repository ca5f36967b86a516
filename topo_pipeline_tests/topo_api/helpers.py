"""Loopback servers with scripted answers, and clients with short waits between retries."""

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from urllib.parse import parse_qsl

import pytest

from topo_pipeline.sandbox.server import serve
from topo_pipeline.topo_api.client import Retries, TopoClient
from topo_pipeline.topo_api.errors import TopoError
from topo_pipeline.topo_api.wire import ActivityPage, ActivityQuery

KEY = "topo_SecretSecretSecret42"
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
FAST_RETRIES = Retries(attempts=3, wait_initial=0.0001, wait_max=0.001, wait_jitter=0.0, retry_after_max=0.01)


def client_of(address: str, **changes: Any) -> TopoClient:
    options = {"requests_per_second": 1e6, "concurrency": 4, "retries": FAST_RETRIES, "clock": lambda: NOW}
    return TopoClient(f"{address}/v1", KEY, **(options | changes))


def uuid_of(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


def item_of(number: int, created_at: str = "2026-03-01T10:00:00Z", **payload: Any) -> dict[str, Any]:
    return {"id": uuid_of(number), "created_at": created_at, "payload": {"type": "message.sent"} | payload}


def page_of(items: list[Any], total: int | None = None, **changes: Any) -> dict[str, Any]:
    total = len(items) if total is None else total
    return {"items": items, "total_count": total, "total_pages": 1, "has_more": False} | changes


def problem_of(status: int, type_: str, message: str = "no", **more: Any) -> dict[str, Any]:
    return {"status_code": status, "type": type_, "message": message, "request_id": "req_7"} | more


@dataclass
class Answer:
    body: Any = field(default_factory=lambda: page_of([]))
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def raw(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass
class Request:
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    peer: tuple[str, int]


class Scripted:
    """An ASGI app that sends its answers in order and then repeats the last one."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers) or [Answer()]
        self.requests: list[Request] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(
            scope["path"],
            dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True)),
            {name.decode(): value.decode() for name, value in scope["headers"]},
            tuple(scope["client"]),
        )
        self.requests.append(request)
        await reply(send, await self.answer(request))

    async def answer(self, request: Request) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def reply(send: Any, answer: Answer) -> None:
    headers = {"content-type": "application/json"} | answer.headers
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": encoded})
    await send({"type": "http.response.body", "body": answer.raw()})


class PagedApi(Scripted):
    """Topo's paging over `items`: exclusive bounds, ascending order, type filters.

    `between` may change a page before it is sent. With `ties`, each request orders equal times at random.
    """

    def __init__(
        self,
        items: list[Any],
        between: Callable[[int, dict[str, Any]], None] | None = None,
        ties: Random | None = None,
    ) -> None:
        super().__init__()
        self.items = items
        self.between = between
        self.ties = ties

    async def answer(self, request: Request) -> Answer:
        number, size = int(request.params["page"]), int(request.params["size"])
        after, before = (
            datetime.fromisoformat(request.params.get(f"created_at_{bound}", "2000-01-01T00:00:00Z"))
            for bound in ("after", "before")
        )
        found = [item for item in self.items if after < datetime.fromisoformat(item["created_at"]) < before]
        found = [item for item in found if is_selected(item["payload"]["type"], request.params)]
        if self.ties:
            self.ties.shuffle(found)
        found.sort(key=lambda item: datetime.fromisoformat(item["created_at"]))
        shown = found[(number - 1) * size : number * size]
        page = page_of(shown, len(found), total_pages=-(-len(found) // size))
        page["has_more"] = number < page["total_pages"]
        if self.between:
            self.between(number, page)
        return Answer(page, headers={"x-request-id": f"req_{number}"})


def is_selected(type_: str, params: dict[str, str]) -> bool:
    resource, event = type_.upper().split(".")
    return params.get("resource_type", resource) == resource and params.get("event_type", event) == event


def instants(count: int, start: datetime, step: timedelta) -> list[str]:
    return [(start + number * step).isoformat() for number in range(count)]


@contextmanager
def raw_server(*scripts: bytes | None) -> Iterator[str]:
    """Answer each connection with the next script's bytes, then close it. None resets the connection."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = threading.Thread(target=_play, args=(listener, scripts), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)
        assert not thread.is_alive(), "the client made fewer connections than there are scripts"


def _play(listener: socket.socket, scripts: tuple[bytes | None, ...]) -> None:
    for script in scripts:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            if script is None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                connection.sendall(script)


def http(body: bytes, length: int | None = None) -> bytes:
    length = len(body) if length is None else length
    return f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n".encode() + body


async def _first_page(client: TopoClient) -> ActivityPage:
    return await client.activities(ActivityQuery())


def run(address: str, call: Callable[[TopoClient], Awaitable[Any]] = _first_page, **options: Any) -> Any:
    async def go() -> Any:
        async with client_of(address, **options) as client:
            return await call(client)

    return asyncio.run(go())


def refused(*answers: Answer, **options: Any) -> tuple[TopoError, Scripted]:
    app = Scripted(*answers)
    with serve(app) as address, pytest.raises(TopoError) as caught:
        run(address, **options)
    return caught.value, app
