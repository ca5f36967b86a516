"""A receiver of alerts, either a webhook or Slack's API, over real HTTP on loopback."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import pytest

from topo_pipeline.sandbox.server import serve


@dataclass
class Receiver:
    """Records requests, and answers with `status` and `answer`."""

    status: int = 200
    location: str = "http://127.0.0.1:9/elsewhere"
    answer: dict[str, Any] = field(default_factory=lambda: {"ok": True})
    received: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    address: str = ""

    @property
    def texts(self) -> list[str]:
        return [message["text"] for message in self.received]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            part = await receive()
            body, more = body + part.get("body", b""), part.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        is_json = headers.get("content-type", "").startswith("application/json")
        self.methods.append(scope["method"])
        self.paths.append(scope["path"])
        self.headers.append(headers)
        self.received.append(json.loads(body) if is_json else dict(parse_qsl(body.decode())))
        kind = [(b"content-type", b"application/json"), (b"location", self.location.encode())]
        await send({"type": "http.response.start", "status": self.status, "headers": kind})
        await send({"type": "http.response.body", "body": json.dumps(self.answer).encode()})


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()
    with serve(receiver) as address, pytest.MonkeyPatch.context() as environment:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):  # proxies from the developer's environment
            environment.delenv(name, raising=False)
            environment.delenv(name.lower(), raising=False)
        receiver.address = address
        yield receiver
