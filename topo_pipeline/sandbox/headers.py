"""Add headers to every response of the sandbox."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.datastructures import MutableHeaders

_Message = MutableMapping[str, Any]


class WithHeaders:
    """Middleware that adds the headers that `headers` returns to each response. Existing ones are not replaced."""

    def __init__(self, app: Callable[..., Awaitable[None]], headers: Callable[[], dict[str, str]]) -> None:
        self._app = app
        self._headers = headers

    async def __call__(self, scope: _Message, receive: Any, send: Callable[[_Message], Awaitable[None]]) -> None:
        """Answer a request."""

        async def send_with_headers(message: _Message) -> None:
            if message["type"] == "http.response.start":
                sent = MutableHeaders(raw=list(message["headers"]))
                for name, value in self._headers().items():
                    sent.setdefault(name, value)
                message = {**message, "headers": sent.raw}
            await send(message)

        await self._app(scope, receive, send_with_headers)
