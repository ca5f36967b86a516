"""Call a function with a time limit."""

from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Thread
from typing import TypeVar

_T = TypeVar("_T")


class DeadlineExceeded(Exception):
    """The call took longer than its limit."""


def call_within(seconds: float, call: Callable[[], _T]) -> _T:
    """Call a function in a thread and return its result.

    For libraries that have no time limit of their own, or only one for each network operation.

    Raises:
        DeadlineExceeded: It took longer. The thread is abandoned, so the call may still succeed later.
    """
    outcome: Future[_T] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:  # noqa: BLE001 - re-raised in the caller's thread
            outcome.set_exception(error)

    Thread(target=run, daemon=True).start()
    if wait([outcome], timeout=seconds).not_done:
        raise DeadlineExceeded
    return outcome.result()
