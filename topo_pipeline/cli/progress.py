"""The progress of a backfill: a bar in a terminal, else one line per day. Long waits for a retry are a line in both."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

from topo_pipeline.cli.console import err, now, print_line
from topo_pipeline.common.text import counted, noun_for, one_line

if TYPE_CHECKING:
    from topo_pipeline.common.retries import Retry
    from topo_pipeline.orchestration.ranged_runs import Progress as RunProgress

_NARROW = 100  # columns, below which not every column fits
_RECENT = 300.0  # seconds over which the pace for the time left is averaged
_LONG = 2.0  # seconds, from which a wait is worth a line


@contextmanager
def shown(title: str, total: int) -> Iterator[Callable[["RunProgress"], None]]:
    """Yield a function that shows each day that lands and each table whose build starts."""
    landed: list[RunProgress] = []
    started = time.monotonic()
    columns = _columns(noun_for(total, "day"))
    with (
        Progress(*columns, console=err, disable=not err.is_terminal, speed_estimate_period=_RECENT) as bar,
        _waits_shown(),
    ):
        task = bar.add_task(title, total=total, activities=0, pace=0.0)

        def show(progress: "RunProgress") -> None:
            if progress.landed:
                landed.append(progress)
                requests = sum(each.requests for each in landed)
                bar.update(
                    task,
                    completed=len(landed),
                    activities=sum(each.activities for each in landed),
                    pace=requests / (time.monotonic() - started),
                )
                print_line(f"{progress.landed} landed: {len(landed)} of {counted(total, 'day')}")
            elif progress.step and "engagement__" in progress.step and not progress.step.endswith("checks"):
                building = f"Building {progress.step.rpartition('engagement__')[2]}"
                bar.update(task, description=building)
                print_line(building)

        yield show
        bar.update(task, description=title)


def _columns(unit: str) -> list[ProgressColumn]:
    days = [MofNCompleteColumn(), TextColumn(unit)]
    activities = [TextColumn("{task.fields[activities]:,} activities")]
    pace = [TextColumn("{task.fields[pace]:.1f} requests/s"), TimeRemainingColumn(compact=True), TextColumn("left")]
    if err.width < _NARROW:
        return [*days, *activities, *pace]
    return [TextColumn("{task.description}"), BarColumn(), *days, *activities, *pace]


class _Waits(logging.Handler):
    """Prints what is waited for and until when. While that lasts, other requests that wait too are not mentioned."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._until = now()

    def emit(self, record: logging.LogRecord) -> None:
        """Print a line for the record of a retry, if the wait is long."""
        [retry] = cast("tuple[Retry]", record.args)
        began = now()
        if retry.seconds >= _LONG and began >= self._until:
            self._until = began + timedelta(seconds=retry.seconds)
            what = f" a request for {retry.subject}" if retry.subject else ""
            line = f"Waiting until {self._until.astimezone():%H:%M:%S} to retry{what}: {retry.fault}"
            err.say(one_line(line))


@contextmanager
def _waits_shown() -> Iterator[None]:
    from topo_pipeline.common.retries import LOG

    handler = _Waits()
    LOG.addHandler(handler)
    try:
        yield
    finally:
        LOG.removeHandler(handler)
