"""Add headers to every response of the sandbox."""

from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class WithHeaders:
    """Middleware that adds the headers that `headers` returns to each response. Existing ones are not replaced."""

    def __init__(self, app: ASGIApp, headers: Callable[[], dict[str, str]]) -> None:
        self._app = app
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent = MutableHeaders(raw=list(message["headers"]))
                for name, value in self._headers().items():
                    sent.setdefault(name, value)
                message = {**message, "headers": sent.raw}
            await send(message)

        await self._app(scope, receive, send_with_headers)
