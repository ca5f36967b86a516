"""Refuse a reload that would remove too many rows of a day.

The limit and the size that a reload is compared with belong here. `landing` removes the rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from topo_pipeline.warehouse.errors import ShrinkingDay

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# A reload that removes more rows than this, and more than this share of the day, is refused.
ROWS = 20
SHARE = 0.2

_LOADS = "SELECT added, removed FROM topo.loads WHERE day = $day ORDER BY finished_at"
# A row that was received but left out, because its person was erased, is not gone from Topo.
_COUNTS = """
SELECT
    (SELECT count(*) FROM topo.activities WHERE day = $day) AS landed,
    (SELECT count(*) FROM superseded WHERE change = 'removed' AND id NOT IN (SELECT id FROM received)) AS gone,
    (SELECT count(*) FROM topo.activities WHERE day = $day AND id IN (SELECT id FROM set_aside WHERE id IS NOT NULL)
        AND id NOT IN (SELECT id FROM staged)) AS kept,
    (SELECT count(*) FROM set_aside WHERE id IS NULL) AS unidentified
"""


@dataclass(frozen=True)
class _Loss:
    """The rows of a day that a reload would remove."""

    landed: int  # rows of the day now
    gone: int  # landed rows that the reload did not receive
    kept: int  # landed rows whose new version can't be read
    unidentified: int  # rows received that can't be read and have no readable id
    largest: int  # rows of the day's largest load, as `largest_load` counts them

    @property
    def lost(self) -> int:
        """The rows that the day would have lost since its largest load."""
        return max(self.largest - self.landed, 0) + self.gone

    @property
    def is_explained(self) -> bool:
        """Whether the unreadable rows without an id may be the rows that seem gone."""
        return not is_beyond_limit(self.lost - self.unidentified, self.largest)


def is_beyond_limit(lost: int, largest: int) -> bool:
    """Return whether losing this many rows of a day's largest load is refused."""
    return lost > ROWS and lost > largest * SHARE


def largest_load(landed: int, loads: Sequence[tuple[int, int]]) -> int:
    """Return the most rows that a day has had since the last load that was allowed to shrink it.

    A past load beyond the limit must have been allowed. The sizes are counted back from the rows landed now, so that
    rows of people erased since do not count as missing.

    Args:
        landed: rows of the day now.
        loads: the rows that each load of the day added and removed, oldest first.
    """
    sizes = [*accumulate(reversed(loads), lambda size, load: size - load[0] + load[1], initial=landed)][::-1]
    largest = 0
    for (_, removed), (before, after) in zip(loads, pairwise(sizes), strict=True):
        was_allowed = is_beyond_limit(max(largest - before, 0) + removed, largest)
        largest = after if was_allowed else max(largest, after)
    return largest


def refuse_to_shrink(connection: "DuckDBPyConnection", day: date) -> None:
    """Refuse a reload of `day` that removes too many rows, before it is written.

    The connection has the temporary tables that `staging.stage` and `landing` created for the reload.

    Raises:
        ShrinkingDay: more than 20 rows and more than 20% would be gone since the day's largest load.
    """
    [(landed, gone, kept, unidentified)] = connection.execute(_COUNTS, {"day": day}).fetchall()
    if not gone:
        return
    loads = connection.execute(_LOADS, {"day": day}).fetchall()
    loss = _Loss(landed, gone, kept, unidentified, largest_load(landed, loads))
    if is_beyond_limit(loss.lost, loss.largest):
        raise ShrinkingDay(_message(day, loss))


def _message(day: date, loss: _Loss) -> str:
    said = [f"this reload would remove {loss.gone:,} of its {loss.landed:,} activities. Nothing was changed."]
    if loss.lost > loss.gone:
        said.append(f"In total, {loss.lost:,} of the {loss.largest:,} activities of its largest load would be gone.")
    if loss.kept:
        said.append(f"{loss.kept:,} others came back unreadable and would stay as they are.")
    if loss.unidentified:
        said.append(f"Up to {min(loss.gone, loss.unidentified):,} of the missing ones may have come back unreadable.")
    allow = f"topo-pipeline backfill {day} --allow-shrink {day}"
    if loss.unidentified and loss.is_explained:
        said.append(
            "Read the day again later. If it happens again, contact Topo's support."
            f" Only if the missing ones are gone from Topo for good, allow it: {allow}"
        )
    else:
        said.append(f"If they are gone from Topo for good, allow it: {allow}")
    return " ".join(said)
