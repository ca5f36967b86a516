"""Ctrl-C while days are read: the first ends after the day under way, the second at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from topo_pipeline.cli.console import err


class Stop:
    """Whether somebody wants an end, and whether there is a day under way to be waited for."""

    is_asked = False
    is_reading = False

    def __call__(self) -> bool:
        """Whether to end after this day."""
        return self.is_asked


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Yield what Ctrl-C asks for; to be entered before anything starts threads, which inherit that they don't get it.

    Dagster would raise it in the midst of a day. Hence it is kept from every thread but one of our own, and the second
    one is passed on as SIGTERM, which Dagster takes as it does Ctrl-C. So it takes a terminal that closes.
    """
    stop, main, is_over = Stop(), threading.get_ident(), threading.Event()
    before = [
        (signal.SIGTERM, signal.signal(signal.SIGTERM, signal.default_int_handler)),
        (signal.SIGHUP, signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))),
    ]
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

    def wait() -> None:
        while signal.sigwait({signal.SIGINT}) and not is_over.is_set():
            if stop.is_reading and not stop.is_asked:
                stop.is_asked = True
                err.print("Ending once the day under way has landed and is in the tables; Ctrl-C again ends at once.")
            else:
                signal.pthread_kill(main, signal.SIGTERM)

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    try:
        yield stop
    finally:
        is_over.set()
        signal.pthread_kill(waiting.ident or 0, signal.SIGINT)
        waiting.join()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        for number, handler in before:
            signal.signal(number, handler)
