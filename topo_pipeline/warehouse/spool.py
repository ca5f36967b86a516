"""What is read of a day, on its way to the warehouse: in a database in memory, its columns already extracted.

What can be done while Topo answers is not left for the moment when the warehouse is held; the warehouse is then opened
on the very connection that has the rows, so that nothing is handed over. What memory should not hold goes to a folder
for temporary files: a day then never is in memory, whatever its size.
"""

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import duckdb

from topo_pipeline.warehouse.connection import SESSION, first_line, literal
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline.warehouse.files import folder_aside, temporary

if TYPE_CHECKING:
    import pandas as pd

# So much stays in memory. A row needs ten times its length while its columns are extracted.
MEMORY = 64_000_000
AT_ONCE = 4_000_000
# So many parts may wait for their columns to be extracted; to read on would only make them more.
WAITING = 2
# So many ids are fetched at once.
_IDS_AT_ONCE = 10_000
_Result = TypeVar("_Result")

# Where a column stands in the payload, in both spellings.
_SPELLINGS = {
    "type": ("type", "type"),
    "organization_id": ("organization_id", "organizationId"),
    "person_id": ("person_id", "personId"),
    "sequence_id": ("sequence_id", "sequenceId"),
    "sequence_template_id": ("sequence_template_id", "sequenceTemplateId"),
    "message_id": ("message_id", "messageId"),
    "hot_lead_id": ("hot_lead_id", "hotLeadId"),
    "calendar_event_id": ("calendar_event_id", "calendarEventId"),
    "task_id": ("task_id", "taskId"),
    "resource_type": ("resource_type", "resourceType"),
    "channel": ("channel", "channel"),
}
_DETAILS = {"step_number": ("step_number", "stepNumber"), "reply_category": ("reply_category", "replyCategory")}


def _members(spellings: dict[str, tuple[str, str]]) -> dict[str, str]:
    return {member: "VARCHAR" for both in spellings.values() for member in both}


def _columns(spellings: dict[str, tuple[str, str]], within: str) -> list[str]:
    return [
        f"nullif(coalesce({within}.{snake}, {within}.{camel}), '') AS {column}"
        for column, (snake, camel) in spellings.items()
    ]


_SHAPE = json.dumps(_members(_SPELLINGS) | {"metadata": _members(_DETAILS)}).replace("{", "{{").replace("}", "}}")
_FIELDS = ", ".join(_columns(_SPELLINGS, "told") + _columns(_DETAILS, "told.metadata"))
# What a payload means: the columns of `topo.activities` that it alone tells; of what is no JSON to DuckDB, none.
_EXTRACT = f"""
SELECT
    received, id, created_at, type,
    try_cast(organization_id AS UUID) AS organization_id,
    try_cast(person_id AS UUID) AS person_id,
    try_cast(sequence_id AS UUID) AS sequence_id,
    try_cast(sequence_template_id AS UUID) AS sequence_template_id,
    message_id, hot_lead_id, calendar_event_id, task_id,
    upper(coalesce(resource_type, nullif(split_part(type, '.', 1), ''))) AS resource_type,
    upper(nullif(split_part(type, '.', 2), '')) AS event_type,
    upper(coalesce(channel, CASE
        WHEN type IN ('message.opened', 'message.link_clicked') THEN 'EMAIL'
        WHEN type LIKE 'invitation.%' THEN 'LINKEDIN' END)) AS channel,
    CASE
        WHEN channel IS NOT NULL THEN 'payload'
        WHEN type IN ('message.opened', 'message.link_clicked') OR type LIKE 'invitation.%' THEN 'type'
        ELSE 'unknown' END AS channel_source,
    try_cast(step_number AS INTEGER) AS step_number,
    upper(reply_category) AS reply_category,
    payload, is_json
FROM (
    SELECT received, id, created_at, {_FIELDS}, payload, is_json
    FROM (
        SELECT *, json_valid(payload) AS is_json,
            CASE WHEN json_valid(payload) THEN json_transform(payload, '{_SHAPE}') END AS told
        FROM (
            SELECT received, id::UUID AS id, created_at::TIMESTAMPTZ AS created_at, payload::VARCHAR AS payload
            FROM {{}}
        )
    )
)
"""  # noqa: S608 - names of our own
_NOTHING = "(SELECT 0 AS received, NULL AS id, NULL AS created_at, NULL AS payload LIMIT 0)"


class Spool:
    """The activities of one reading, as they come; to be entered, and to be let go of once they are landed.

    Columns are extracted in a thread of its own, in the order in which the activities came.

    Attributes:
        longest: characters of the longest payload.

    Raises:
        WarehouseError: there is no folder for temporary files.
    """

    def __init__(self) -> None:
        self._held = ExitStack()
        try:
            self._folder = self._held.enter_context(folder_aside(temporary(), "reading"))
        except OSError as error:
            raise WarehouseError(f"There is no folder for temporary files, set TMPDIR to one: {error}") from error
        self.longest = 0
        self._received = self._memory = 0
        self._one_at_a_time = threading.Lock()
        self._worker = ThreadPoolExecutor(1, "spool")
        self._waiting: deque[Future[None]] = deque()
        self._connection = duckdb.connect()
        self._connection.execute(
            f"{SESSION}; SET threads = 1; SET temp_directory = {literal(str(self._folder))};"
            " SET pandas_analyze_sample = 1"  # what is in a column of objects: it is text in each row
        )
        self.make_room(MEMORY)
        self._connection.execute(f"CREATE TEMP TABLE nothing AS {_EXTRACT.format(_NOTHING)}")
        self._begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of everything, for good; once more is no harm."""
        self._worker.shutdown(cancel_futures=True)
        with suppress(duckdb.ConnectionException):  # it is closed
            self._connection.interrupt()
        self._connection.close()
        self._held.close()

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """What has all that was added, in its temporary table `received`.

        Its columns: a running number `received`, those of `topo.activities` that an activity alone tells, and whether
        its payload `is_json`.

        Raises:
            WarehouseError: the folder for temporary files could not take it.
        """
        self._wait(for_all_but=0)
        return self._connection

    def add(self, activities: "pd.DataFrame") -> None:
        """Take `id` (uuid text), `created_at` (datetime64, UTC), `payload` (JSON text); from any thread.

        Of an id that was added before, this is the version that counts. Waits only where others wait already.

        Raises:
            WarehouseError: the folder for temporary files can't take what was added.
        """
        with self._one_at_a_time:
            self._wait(for_all_but=WAITING)
            first, self._received = self._received, self._received + len(activities)
            numbered = activities.assign(received=range(first, self._received))
            self._waiting.append(self._worker.submit(self._take, numbered))

    def unlabelled(self, types: Sequence[str]) -> set[str]:
        """The ids of those of `types` whose channel nothing tells; waits until all that was added is taken.

        Raises:
            WarehouseError: the folder for temporary files could not take it.
        """
        which = "channel_source = 'unknown' AND list_contains($types, type)"
        return self._in_turn(lambda: self._ids("received", which, {"types": types}))

    def messages(self, others: "pd.DataFrame") -> set[str]:
        """The ids of all messages, those among `others` too, which are as `add` takes them; as above."""
        columns = "SELECT id, type, resource_type FROM"
        with_others = f"({columns} received UNION ALL {columns} ({_EXTRACT.format('batch')}))"

        def ask() -> set[str]:
            with self._batch(others.assign(received=0)):
                return self._ids(with_others, "resource_type = 'MESSAGE' OR type LIKE 'message.%'")

        return self._in_turn(ask)

    def _in_turn(self, ask: Callable[[], set[str]]) -> set[str]:
        with self._one_at_a_time:
            self._wait(for_all_but=0)
            return self._done(self._worker.submit(ask))  # where it is taken: who closes waits for that

    def _ids(self, of: str, which: str, told: Mapping[str, Sequence[str]] | None = None) -> set[str]:
        found = self._connection.execute(f"SELECT id::VARCHAR FROM {of} WHERE {which}", told)  # noqa: S608
        ids: set[str] = set()
        while rows := found.fetchmany(_IDS_AT_ONCE):
            ids.update([id_ for (id_,) in rows])
        return ids

    def make_room(self, memory: int) -> None:
        """Let DuckDB have so many bytes of memory, if it had less."""
        if memory > self._memory:
            self._memory = memory
            self._connection.execute(f"SET memory_limit = '{memory}B'")

    def clear(self) -> None:
        """Let go of everything that was added, and of what could not be taken."""
        with self._one_at_a_time:
            wait(self._waiting)
            self._waiting.clear()
            self._begin()

    def _wait(self, *, for_all_but: int) -> None:
        while len(self._waiting) > for_all_but:
            self._done(self._waiting.popleft())

    def _done(self, task: Future[_Result]) -> _Result:
        try:
            return task.result()
        except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
            raise WarehouseError(
                f"What was read can't be kept in {self._folder} until it is landed, set TMPDIR to a folder"
                f" with room: {first_line(error)}"
            ) from error

    def _begin(self) -> None:
        self._connection.execute("CREATE OR REPLACE TEMP TABLE received AS FROM nothing")

    def _take(self, activities: "pd.DataFrame") -> None:
        longest = max([1, *map(len, activities["payload"])])
        if longest > self.longest:
            self.longest = longest
            self.make_room(MEMORY + 20 * longest)
        rows = max(1, AT_ONCE // longest)
        for start in range(0, len(activities), rows):
            with self._batch(activities.iloc[start : start + rows]):
                self._connection.execute(f"INSERT INTO received {_EXTRACT.format('batch')}")

    @contextmanager
    def _batch(self, activities: "pd.DataFrame") -> Iterator[None]:
        """For so long the connection knows these as `batch`."""
        self._connection.register("batch", activities)
        try:
            yield
        finally:
            self._connection.unregister("batch")
