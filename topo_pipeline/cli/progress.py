"""How far a backfill is: a bar on a terminal, a line for each day elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

from topo_pipeline.cli.console import err, line

if TYPE_CHECKING:
    from topo_pipeline.runs import Progress as Told

_NARROW = 100  # columns, below which there is no room for all
_RECENT = 300.0  # seconds: the time left goes by the pace of the last minutes


@contextmanager
def shown(title: str, total: int) -> Iterator[Callable[["Told"], None]]:
    """Yield what shows each day that landed and each table that is begun."""
    landed: dict[date, Told] = {}
    begun = time.monotonic()
    with Progress(*_columns(), console=err, disable=not err.is_terminal, speed_estimate_period=_RECENT) as bar:
        task = bar.add_task(title, total=total, activities=0, pace=0.0)

        def show(told: "Told") -> None:
            if told.landed and told.landed not in landed:  # told once more as the run ends
                landed[told.landed] = told
                requests = sum(each.requests for each in landed.values())
                bar.update(
                    task,
                    completed=len(landed),
                    activities=sum(each.activities for each in landed.values()),
                    pace=requests / (time.monotonic() - begun),
                )
                line(f"{told.landed} landed: {len(landed)} of {total} days")
            elif told.step and told.step.startswith("engagement") and not told.step.endswith("checks"):
                doing = f"Building {told.step.removeprefix('engagement__')}"
                bar.update(task, description=doing)
                line(doing)

        line(title)
        yield show
        bar.update(task, description=title)


def _columns() -> list[ProgressColumn]:
    days = [MofNCompleteColumn(), TextColumn("days")]
    activities = [TextColumn("{task.fields[activities]:,} activities")]
    pace = [TextColumn("{task.fields[pace]:.1f} requests/s"), TimeRemainingColumn(compact=True), TextColumn("left")]
    if err.width < _NARROW:
        return [*days, *activities, *pace]
    return [TextColumn("{task.description}"), BarColumn(), *days, *activities, *pace]
