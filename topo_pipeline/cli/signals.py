"""Signal handling: stop a command after the current day, or at once with its temporary files removed."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from topo_pipeline.cli.console import STOP_SIGNALS, err, fail

_BY_SIGNAL = 128  # plus the signal's number: the exit code that a shell reports for a command that a signal ended


class Stop:
    """Whether a stop was requested, and whether a day is being read that should finish first."""

    is_requested = False
    is_reading = False

    def __call__(self) -> bool:
        """Return whether to stop after this day."""
        return self.is_requested


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Yield a flag that the first Ctrl-C sets; the second one stops the command at once.

    Enter this before any thread starts: threads inherit the signal mask. Dagster would raise KeyboardInterrupt in the
    middle of a day, so SIGINT is blocked in every thread and one thread of ours waits for it. The second Ctrl-C, and a
    closed terminal, are passed on as SIGTERM, which Dagster handles like Ctrl-C.
    """
    stop, main, is_done = Stop(), threading.get_ident(), threading.Event()
    before = [
        (signal.SIGTERM, signal.signal(signal.SIGTERM, signal.default_int_handler)),
        (signal.SIGHUP, signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))),
    ]
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

    def wait() -> None:
        while signal.sigwait({signal.SIGINT}) and not is_done.is_set():
            if stop.is_reading and not stop.is_requested:
                stop.is_requested = True
                err.print("Finishing the current day and updating the tables. Press Ctrl-C again to stop at once.")
            else:
                signal.pthread_kill(main, signal.SIGTERM)

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    try:
        yield stop
    finally:
        is_done.set()
        signal.pthread_kill(waiting.ident or 0, signal.SIGINT)
        waiting.join()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        for number, handler in before:
            signal.signal(number, handler)


@contextmanager
def undone_by_signals(target: Path | str | None = None, identity: Callable[[], object] | None = None) -> Iterator[None]:
    """Turn Ctrl-C, SIGTERM and a closed terminal into an exception, so that temporary files are removed.

    Then print whether `target` was written, and exit. Further signals are ignored: they would interrupt the cleanup.

    Args:
        target: The file, or the name of what is written.
        identity: Returns a value that changes when it is written. By default the identity of the file `target`.
    """
    received: list[signal.Signals] = []
    identity = identity or partial(_identity, target)
    before = identity()

    def stop(number: int, _: object) -> None:
        if not received:
            received.append(signal.Signals(number))
            raise KeyboardInterrupt

    # A signal that was ignored from the start, such as SIGHUP under nohup, stays ignored.
    handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    for number, handler in handlers.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    except BaseException:  # DuckDB raises its own exception
        if not received:
            raise
    else:
        received.clear()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for number in received:
        was_written = identity() != before
        outcome = f"{target} was written" if was_written else f"nothing was written{f' to {target}' if target else ''}"
        fail(f"Stopped by {number.name}: {outcome}.", _BY_SIGNAL + number)


def _identity(file: Path | str | None) -> tuple[int, int] | None:
    try:
        found = Path(file).stat() if file else None
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found else None
