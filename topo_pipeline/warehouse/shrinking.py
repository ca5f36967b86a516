"""Whether to believe a reload that removes rows of a day.

What belongs here: the limit, and what a reload is compared with. What does not: how rows are removed (`landing`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from topo_pipeline.warehouse.errors import ShrinkingDay

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# A reload that removes more rows than this, and more than this share of the day, is not believed.
ROWS = 20
SHARE = 0.2

_LOADS = "SELECT added, removed FROM topo.loads WHERE day = $day ORDER BY finished_at"
# A row that was received and is left out, because it names somebody who was erased, is not gone from Topo.
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
    """What a reload would remove of a day.

    Attributes:
        landed: rows of the day now.
        gone: those of them that the reload did not receive.
        kept: those of them whose new version can't be read.
        unidentified: rows received that can't be read and have no readable id.
        largest: rows of the day's largest load, as `largest_load` counts them.
    """

    landed: int
    gone: int
    kept: int
    unidentified: int
    largest: int

    @property
    def lost(self) -> int:
        """How many rows the day would have lost since its largest load."""
        return max(self.largest - self.landed, 0) + self.gone

    @property
    def is_explained(self) -> bool:
        """Whether the unreadable rows without an id may be the rows that seem gone."""
        return not is_beyond_limit(self.lost - self.unidentified, self.largest)


def is_beyond_limit(lost: int, largest: int) -> bool:
    """Return whether a day that has lost so many rows of its largest load is refused."""
    return lost > ROWS and lost > largest * SHARE


def largest_load(landed: int, loads: Sequence[tuple[int, int]]) -> int:
    """Return the most rows that a day has had since the last load that was allowed to shrink.

    A load beyond the limit must have been allowed. The sizes are counted back from what is landed now, so that rows of
    people who were erased since are not missed.

    Args:
        landed: rows of the day now.
        loads: the rows that each load of the day added and removed, the oldest first.
    """
    sizes = [*accumulate(reversed(loads), lambda size, load: size - load[0] + load[1], initial=landed)][::-1]
    largest = 0
    for (_, removed), (before, after) in zip(loads, pairwise(sizes), strict=True):
        was_allowed = is_beyond_limit(max(largest - before, 0) + removed, largest)
        largest = after if was_allowed else max(largest, after)
    return largest


def refuse_to_shrink(connection: "DuckDBPyConnection", day: date) -> None:
    """Refuse a reload of `day` that removes too much, before it is written.

    Args:
        connection: has what `staging.stage` and `landing` made of the reload in temporary tables.
        day: the reporting day.

    Raises:
        ShrinkingDay: more than 20 rows and more than 20% are gone since the day's largest load.
    """
    [(landed, gone, kept, unidentified)] = connection.execute(_COUNTS, {"day": day}).fetchall()
    if not gone:
        return
    loads = connection.execute(_LOADS, {"day": day}).fetchall()
    loss = _Loss(landed, gone, kept, unidentified, largest_load(landed, loads))
    if is_beyond_limit(loss.lost, loss.largest):
        raise ShrinkingDay(_sentence(day, loss))


def _sentence(day: date, loss: _Loss) -> str:
    said = [f"reading it again would remove {loss.gone:,} of its {loss.landed:,} activities; what is landed stays."]
    if loss.lost > loss.gone:
        said.append(f"That makes {loss.lost:,} of the {loss.largest:,} activities of its largest load.")
    if loss.kept:
        said.append(f"{loss.kept:,} others came back unreadable and would stay as they are.")
    if loss.unidentified:
        said.append(f"Up to {min(loss.gone, loss.unidentified):,} of the missing may have come back unreadable.")
    allow = f"topo-pipeline backfill {day} {day} --allow-shrink {day}"
    if loss.unidentified and loss.is_explained:
        said.append(
            "Read the day again later, and if it happens again, tell Topo's support."
            f" Only if the missing are gone from Topo for good, allow it: {allow}"
        )
    else:
        said.append(f"If they are gone from Topo for good, allow it: {allow}")
    return " ".join(said)
