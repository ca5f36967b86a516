"""What signals do to a command: end it after the day under way, or at once with its temporary files removed."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from topo_pipeline.cli.console import ENDINGS, err, fail

_BY_SIGNAL = 128  # a shell's exit code of a command that a signal ended, less the signal's number


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


@contextmanager
def undone_by_signals(file: Path | None = None) -> Iterator[None]:
    """Turn Ctrl-C, SIGTERM and a closed terminal into an exception, so that temporary files are removed.

    Then say whether `file` was written, and exit. Further signals are ignored: they would interrupt the removing.
    """
    received: list[signal.Signals] = []
    before = _identity(file)

    def stop(number: int, _: object) -> None:
        if not received:
            received.append(signal.Signals(number))
            raise KeyboardInterrupt

    # What was ignored from the beginning, as SIGHUP by nohup, stays so.
    handlers = {number: signal.getsignal(number) for number in ENDINGS}
    for number, handler in handlers.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    except BaseException:  # DuckDB raises an exception of its own
        if not received:
            raise
    else:
        received.clear()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for by in received:
        was_written = _identity(file) != before
        what = f"{file} was written" if was_written else f"nothing was written{f' to {file}' if file else ''}"
        fail(f"Stopped by {by.name}: {what}.", _BY_SIGNAL + by)


def _identity(file: Path | None) -> tuple[int, int] | None:
    try:
        found = file.stat() if file else None
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found else None
