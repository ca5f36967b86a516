"""Retention: empty the text of old payloads, of their earlier versions and of unreadable rows.

The extracted columns stay, so no metric table changes. A reload compares rows without text by column (`staging`).
"""

from datetime import date

from topo_pipeline.maintenance.compaction import compact, require_compactable
from topo_pipeline.warehouse.connection import Warehouse

_TEXTS = {"topo.activities": "payload", "topo.activity_changes": "payload", "topo.rejects": "raw"}
_ALL_TEXTS = " UNION ALL ".join(f"SELECT day, {text} AS text FROM {table}" for table, text in _TEXTS.items())  # noqa: S608
_FULL = f"SELECT count(*) FROM ({_ALL_TEXTS}) WHERE day < $before AND text <> ''"  # noqa: S608 - constants
# An earlier run emptied texts, and failed or was killed before it removed their bytes from the file.
_IS_UNFINISHED = "SELECT coalesce(bool_or(holds_deleted), false) FROM topo.workspace"


def empty_payloads(warehouse: Warehouse, before: date) -> int:
    """Empty the texts of all days before `before`, remove their bytes from the file, and return their number.

    Raises:
        NotCompacted: the texts are gone from the tables, but their bytes may still be on disk.
        WarehouseError: the warehouse can't be read or written.
    """
    where = {"before": before}
    with warehouse.reader() as connection:
        [(full,)] = connection.execute(_FULL, where).fetchall()
        [(is_unfinished,)] = connection.execute(_IS_UNFINISHED).fetchall()
    if not full and not is_unfinished:
        return 0
    require_compactable(warehouse)
    with warehouse.transaction() as connection:
        connection.execute("UPDATE topo.workspace SET holds_deleted = true")
        for table, text in _TEXTS.items():
            connection.execute(f"UPDATE {table} SET {text} = '' WHERE day < $before AND {text} <> ''", where)  # noqa: S608
    compact(warehouse)
    with warehouse.transaction() as connection:
        connection.execute("UPDATE topo.workspace SET holds_deleted = NULL")
    return int(full)
