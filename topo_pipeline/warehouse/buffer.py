"""Buffer the activities of a day between reading and landing, in an in-memory database.

The warehouse is then attached to the connection that has the rows, so that they need not be copied. Data beyond the
memory limit spills to a temporary folder.
"""

import threading
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Self

import duckdb

from topo_pipeline.common.text import first_line
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline.warehouse.extensions import new_instance
from topo_pipeline.warehouse.files import temporary, temporary_folder
from topo_pipeline.warehouse.payloads import KIND, with_fields
from topo_pipeline.warehouse.sql import SESSION, literal
from topo_pipeline.warehouse.transactions import uninterrupted

if TYPE_CHECKING:
    import pandas as pd

# The memory limit in bytes, and the number of characters inserted at a time. A row needs ten times its length while its
# columns are extracted.
MEMORY = 64_000_000
CHARACTERS_AT_ONCE = 4_000_000
# Ids fetched at a time.
_IDS_AT_ONCE = 10_000
# Rows of a scan: DuckDB parses this many payloads at a time.
_SCANNED_AT_ONCE = 2048
_NO_ROWS = "(SELECT 0 AS received, NULL AS id, NULL AS created_at, NULL::VARCHAR AS payload LIMIT 0)"


def _received(batch: str) -> str:
    rows = "received, id::UUID AS id, created_at::TIMESTAMPTZ AS created_at, payload::VARCHAR AS payload"
    return with_fields(f"(SELECT {rows} FROM {batch})", KIND)  # noqa: S608


class Buffer:
    """A buffer for the activities of one day. Use it as a context manager, until they are landed.

    Rows may be added, and ids asked for, from any thread.

    Attributes:
        longest: the length of the longest payload, in characters.

    Raises:
        WarehouseError: there is no folder for temporary files.
    """

    def __init__(self) -> None:
        self._held = ExitStack()
        try:
            self._folder = self._held.enter_context(temporary_folder(temporary(), "reading"))
        except OSError as error:
            raise WarehouseError(f"There is no folder for temporary files. Set TMPDIR to one ({error}).") from error
        self.longest = 0
        self._received = self._memory = 0
        self._attachment: Hashable = None
        self._lock = threading.Lock()
        self._connection = new_instance()
        self._connection.execute(
            f"{SESSION}; SET threads = 1; SET temp_directory = {literal(str(self._folder))};"
            " SET pandas_analyze_sample = 1"  # one row shows the type of an object column: all rows are text
        )
        self.raise_memory_limit(MEMORY)
        self._connection.execute(f"CREATE TEMP TABLE no_rows AS {_received(_NO_ROWS)}")
        self._connection.execute("CREATE TEMP TABLE received AS FROM no_rows")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Delete everything. Closing twice is allowed."""
        with suppress(duckdb.ConnectionException):  # it is closed
            self._connection.interrupt()  # what another thread still adds
        with self._lock:
            self._connection.close()
            self._held.close()

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The connection with all added activities in the temporary table `received`.

        Its columns are a number in order of arrival `received`, `id`, `created_at`, `payload`, `is_json`, whether the
        payload is valid JSON, and the fields `payloads.KIND`.
        """
        return self._connection

    @contextmanager
    def lent(self, attachment: Hashable) -> Iterator[tuple[duckdb.DuckDBPyConnection, bool]]:
        """Yield the connection, and whether `attachment` is attached, as in `instances.connected`."""
        is_attached = attachment is not None and attachment == self._attachment
        self._attachment = None
        if not is_attached:
            self._detach()
        try:
            yield self._connection, is_attached
        except BaseException:
            self._detach()
            raise
        if attachment is None:
            self._detach()
        else:
            self._connection.execute("USE memory")
            self._attachment = attachment

    def _detach(self) -> None:
        """Detach the warehouse, unless it is not attached or DuckDB has already detached it after a fatal error."""
        with uninterrupted(), suppress(duckdb.Error):
            self._connection.execute("USE memory; DETACH DATABASE IF EXISTS warehouse")

    def add(self, activities: "pd.DataFrame") -> None:
        """Add rows of `id` (UUID text), `created_at` (datetime64, UTC) and `payload` (JSON text).

        A later version of an id replaces an earlier one.

        Raises:
            WarehouseError: the folder for temporary files is full or can't be written.
        """
        with self._use():
            first, self._received = self._received, self._received + len(activities)
            self._insert(activities.assign(received=range(first, self._received)))

    def unlabelled(self, types: Sequence[str]) -> set[str]:
        """Return the ids of activities of these types, from which no channel follows, whose payload has none either."""
        condition = "channel IS NULL AND list_contains($types, type)"
        with self._use():
            return self._ids("received", condition, {"types": types})

    def messages(self, others: "pd.DataFrame") -> set[str]:
        """Return the ids of all messages, including those in `others`, whose columns are as in `add`."""
        columns = "SELECT id, type, resource_type FROM"
        with_others = f"({columns} received UNION ALL {columns} ({_received('batch')}))"
        is_message = "upper(coalesce(resource_type, split_part(type, '.', 1))) = 'MESSAGE' OR type LIKE 'message.%'"
        with self._use(), self._batch(others.assign(received=0)):
            return self._ids(with_others, is_message)

    @contextmanager
    def _use(self) -> Iterator[None]:
        """Use the connection while no other thread does.

        Raises:
            WarehouseError: the folder for temporary files is full or can't be written.
        """
        with self._lock:
            try:
                yield
            except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
                raise WarehouseError(
                    f"The activities read can't be stored in {self._folder} until they are landed. Set TMPDIR to a"
                    f" folder with more space ({first_line(error)})."
                ) from error

    def _ids(self, source: str, condition: str, values: Mapping[str, Sequence[str]] | None = None) -> set[str]:
        found = self._connection.execute(f"SELECT id::VARCHAR FROM {source} WHERE {condition}", values)  # noqa: S608
        ids: set[str] = set()
        while rows := found.fetchmany(_IDS_AT_ONCE):
            ids.update([id_ for (id_,) in rows])
        return ids

    def slices(self) -> Iterator[dict[str, int]]:
        """Yield the bounds `first` and `end` of `received` for parts of the rows: few rows at a time if some are long.

        Parsing a payload takes several times its length in memory.
        """
        rows = max(1, CHARACTERS_AT_ONCE // max(1, self.longest))
        step = rows if rows < _SCANNED_AT_ONCE else max(1, self._received)
        for first in range(0, max(1, self._received), step):
            yield {"first": first, "end": first + step}

    def raise_memory_limit(self, memory: int) -> None:
        """Raise DuckDB's memory limit to this many bytes, if it is lower."""
        if memory > self._memory:
            self._memory = memory
            self._connection.execute(f"SET memory_limit = '{memory}B'")

    def clear(self) -> None:
        """Discard all added activities."""
        with self._use():
            if self._received:
                self._received = 0
                self._connection.execute("CREATE OR REPLACE TEMP TABLE received AS FROM no_rows")

    def _insert(self, activities: "pd.DataFrame") -> None:
        longest = max([1, *map(len, activities["payload"])])
        if longest > self.longest:
            self.longest = longest
            self.raise_memory_limit(MEMORY + 20 * longest)
        rows = max(1, CHARACTERS_AT_ONCE // longest)
        for start in range(0, len(activities), rows):
            with self._batch(activities.iloc[start : start + rows]):
                self._connection.execute(f"INSERT INTO received {_received('batch')}")

    @contextmanager
    def _batch(self, activities: "pd.DataFrame") -> Iterator[None]:
        """Make these activities available as the table `batch`."""
        self._connection.register("batch", activities)
        try:
            yield
        finally:
            self._connection.unregister("batch")
