"""Another process that writes the warehouse, steered line by line over its standard input and output.

`land` lands a day and says when it has to wait, `hold` stays within its transaction until it is told to go on.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import stamina.instrumentation

from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.warehouse.builders import LATER, activity, landing_in, noon, reading

ROOT = Path(__file__).parents[2]
WORKERS_ROW = 77


class Worker:
    """The parent's end of the process."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def hears(self, word: str) -> None:
        """Block until the worker has said `word`."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == word + "\n", f"{line!r} is not {word!r}"

    def go_on(self) -> None:
        assert self.process.stdin is not None
        if not self.process.stdin.closed:
            self.process.stdin.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=20)


@contextmanager
def worker(warehouse: Warehouse, action: str, day: date) -> Iterator[Worker]:
    command = [sys.executable, "-m", __name__, warehouse.target, action, day.isoformat()]
    process = subprocess.Popen(  # noqa: S603 - our own
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            yield Worker(process)
            process.wait(timeout=30)
        finally:
            process.kill()


def main(target: str, action: str, day: date) -> None:
    stamina.instrumentation.set_on_retry_hooks([_say_once])
    read = reading(activity(WORKERS_ROW, at=noon(day)), day=day)
    with landing_in(Warehouse(target, wait_seconds=30)) as (_, land):
        land(read, LATER, "worker", may_shrink=True)
        if action == "hold":
            _say("inside")
            sys.stdin.readline()
    _say("landed")


def _say_once(details: stamina.instrumentation.RetryDetails) -> None:
    if details.retry_num == 1:
        _say("waiting")


def _say(word: str) -> None:
    print(word, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], date.fromisoformat(sys.argv[3]))
