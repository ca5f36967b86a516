"""Serve an ASGI application on loopback in a thread, inside a `with` block."""

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
    """A uvicorn server that signals when it accepts connections, and stops immediately instead of at its next tick."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.accepting = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        await super().startup(sockets)
        self.accepting.set()

    async def main_loop(self) -> None:
        ticking = asyncio.create_task(super().main_loop())
        await self._stopping.wait()
        ticking.cancel()

    def stop(self) -> None:
        """Stop the server. Callable from any thread."""
        self.should_exit = True
        if self.accepting.is_set():
            self._loop.call_soon_threadsafe(self._stopping.set)


class _Protocol(AutoHTTPProtocol):  # type: ignore[misc,valid-type] # one of two classes, depending on the installation
    """HTTP protocol that stores the connection in the request's state, so that faults can break it."""

    app_state: dict[str, Any]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.app_state = {**self.app_state, TRANSPORT: transport}


@contextmanager
def serve(app: Callable[..., Any], port: int = 0) -> Iterator[str]:
    """Serve `app` and yield its address (`http://127.0.0.1:PORT`). Port 0 picks a free port.

    Raises:
        OSError: the port is in use.
        TimeoutError: the server did not start in time.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        # The app sends the Date header from its own clock, because the pipeline compares clocks.
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
            server.stop()
            thread.join()
