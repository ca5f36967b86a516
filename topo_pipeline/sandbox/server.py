"""Serve an ASGI application on loopback from a thread, for as long as a `with` block lasts."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from topo_pipeline.sandbox.plan import TRANSPORT

HOST = "127.0.0.1"
START_TIMEOUT_SECONDS = 60.0


class _Server(uvicorn.Server):
    """A uvicorn server that says when it accepts connections, and ends when it is asked to, not at its next tick."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.accepting = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop, self._is_over = asyncio.get_running_loop(), asyncio.Event()
        await super().startup(sockets)
        self.accepting.set()

    async def main_loop(self) -> None:
        ticking = asyncio.create_task(super().main_loop())
        await self._is_over.wait()
        ticking.cancel()

    def end(self) -> None:
        """Ask it to end, from any thread."""
        self.should_exit = True
        if self.accepting.is_set():
            self._loop.call_soon_threadsafe(self._is_over.set)


class _Protocol(AutoHTTPProtocol):  # type: ignore[misc,valid-type] # one of two classes, by what is installed
    """HTTP that lets a request's state hold its connection: a fault may break it."""

    app_state: dict[str, Any]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.app_state = {**self.app_state, TRANSPORT: transport}


@contextmanager
def serve(app: Callable[..., Any], port: int = 0) -> Iterator[str]:
    """Yield the address (`http://127.0.0.1:PORT`) of `app`; port 0 takes a free one.

    Raises:
        OSError: the port is taken.
        TimeoutError: the server did not come up.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        # The pipeline compares clocks: the Date header is the app's to send, from the clock that it lives by.
        config = uvicorn.Config(
            app, http=_Protocol, log_level="warning", access_log=False, lifespan="off", date_header=False
        )
        server = _Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            if not server.accepting.wait(START_TIMEOUT_SECONDS):
                raise TimeoutError(f"the server did not start within {START_TIMEOUT_SECONDS:.0f} s")
            yield f"http://{HOST}:{listener.getsockname()[1]}"
        finally:
            server.end()
            thread.join()
