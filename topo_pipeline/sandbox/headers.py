"""Add headers to every response of the sandbox."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

_Message = MutableMapping[str, Any]


class WithHeaders:
    """Middleware that adds headers to each response. Existing headers are not replaced.

    Args:
        app: The app.
        headers: Returns the headers of one response, names in lower case.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], headers: Callable[[], dict[str, str]]) -> None:
        self._app = app
        self._headers = headers

    async def __call__(self, scope: _Message, receive: Any, send: Callable[[_Message], Awaitable[None]]) -> None:
        """Answer a request."""

        async def send_with_headers(message: _Message) -> None:
            if message["type"] == "http.response.start":
                given = {bytes(name).lower() for name, _ in message["headers"]}
                more = [(name.encode(), value.encode()) for name, value in self._headers().items()]
                message = {**message, "headers": [*message["headers"], *(h for h in more if h[0] not in given)]}
            await send(message)

        await self._app(scope, receive, send_with_headers)
