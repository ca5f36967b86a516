"""A Topo API that is never the bottleneck: every activity is serialised before the first request.

Plain ASGI on uvloop in its own process. It serves `GET /v1/activities` with time filters, page and size, and
`GET /v1/me`. Activities are spread evenly over the day and come in the documented order.
"""

import asyncio
import os
import socket
import subprocess
import sys
import threading
import uuid
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import parse_qs

KEY = "topo_bench"
FIRST_DAY = date(2025, 1, 1)
ORGANIZATION = str(uuid.UUID(int=1))
_TYPES = ("message.sent", "message.opened", "sequence.created", "message.replied", "message.link_clicked")
_MICROSECOND = timedelta(microseconds=1)


def activity(number: int, moment: datetime) -> bytes:
    """Return an activity as JSON."""
    type_ = _TYPES[number % len(_TYPES)]
    run = number // len(_TYPES)
    return (
        f'{{"id":"{uuid.UUID(int=(number * 0x9E3779B97F4A7C15F39CC0605CEDC835) % 2**128)}",'
        f'"created_at":"{moment.isoformat(timespec="microseconds").replace("+00:00", "Z")}",'
        f'"payload":{{"type":"{type_}","organization_id":"{ORGANIZATION}",'
        f'"person_id":"{uuid.UUID(int=run + 2**64)}","sequence_id":"{uuid.UUID(int=run + 2**65)}",'
        f'"sequence_template_id":"{uuid.UUID(int=run % 40 + 2**66)}","message_id":"{uuid.UUID(int=run + 2**67)}",'
        f'"hot_lead_id":null,"calendar_event_id":null,"task_id":null,'
        f'"resource_type":"{type_.partition(".")[0].upper()}","channel":"EMAIL",'
        f'"metadata":{{"step_number":{number % 4 + 1},"reply_category":null}}}}}}'
    ).encode()


class Api:
    """An ASGI application with `days` days of `per_day` activities each, from `first_day` on."""

    def __init__(self, days: int, per_day: int, latency: float, first_day: date) -> None:
        start = datetime.combine(first_day, time.min, UTC)
        step = timedelta(days=1) / per_day
        # Microseconds since the first day: integers are quick to search.
        self._moments = [
            (timedelta(days=day) + step * number) // _MICROSECOND for day in range(days) for number in range(per_day)
        ]
        self._items = [
            activity(number, start + timedelta(microseconds=moment)) for number, moment in enumerate(self._moments)
        ]
        self._start = start
        self._latency = latency
        self._pages: dict[bytes, bytes] = {}
        self.requests = 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer a request. Pages are cached."""
        self.requests += 1
        query = scope["query_string"]
        if scope["path"] == "/v1/activities":
            body = self._pages.get(query)
            if body is None:
                body = self._pages[query] = self._page(query)
            if self._latency:
                await asyncio.sleep(self._latency)
        elif scope["path"] == "/v1/me":
            body = f'{{"id":"{ORGANIZATION}","organization_id":"{ORGANIZATION}","scopes":["activities:read"]}}'.encode()
        else:
            body = b"%d" % self.requests
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _page(self, query: bytes) -> bytes:
        asked = {name: values[0] for name, values in parse_qs(query.decode()).items()}
        first = bisect_right(self._moments, self._since_start(asked["created_at_after"]))
        last = bisect_left(self._moments, self._since_start(asked["created_at_before"]))
        size, page, count = int(asked["size"]), int(asked["page"]), max(0, last - first)
        from_, to = first + (page - 1) * size, min(first + page * size, last)
        return b'{"items":[%b],"total_count":%d,"total_pages":%d,"has_more":%b}' % (
            b",".join(self._items[from_:to]), count, -(-count // size), b"true" if to < last else b"false",
        )  # fmt: skip

    def _since_start(self, text: str) -> int:
        return (datetime.fromisoformat(text) - self._start) // _MICROSECOND


@contextmanager
def serving(days: int, per_day: int, latency: float = 0.0, first_day: date = FIRST_DAY) -> Iterator[str]:
    """Yield the address of an API that runs in its own process.

    Raises:
        RuntimeError: The server did not start.
    """
    command = [sys.executable, "-m", "bench.server", str(days), str(per_day), str(latency), str(first_day)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            address = process.stdout.readline().strip() if process.stdout else ""
            if not address:
                raise RuntimeError("the benchmark server did not start")
            yield address
        finally:
            process.terminate()


def _end_with_parent() -> None:
    """End this process when the other end of standard input is closed, as after a kill of the benchmark."""
    sys.stdin.read()
    os._exit(0)


def _serve(api: Api) -> None:
    import uvicorn  # noqa: PLC0415 - only the server needs it

    threading.Thread(target=_end_with_parent, daemon=True).start()
    listening = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listening.getsockname()[1]}/v1", flush=True)  # the socket already accepts connections
    config = uvicorn.Config(api, loop="uvloop", http="httptools", lifespan="off", log_level="error", access_log=False)
    uvicorn.Server(config).run([listening])


if __name__ == "__main__":
    _serve(Api(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), date.fromisoformat(sys.argv[4])))
