"""What is read of a day, on its way to the warehouse: on disk, a part at a time, its columns already extracted.

A day then never is in memory, whatever its size, and what can be done while Topo answers is not left for the moment
when the warehouse is held. Few rows stay in memory: a file for them would cost more than it saves.
"""

import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import duckdb

from topo_pipeline.warehouse.errors import WarehouseError

if TYPE_CHECKING:
    import pandas as pd

# So many rows are written together.
PART = 10_000
MEMORY = "64MB"

# Where each column stands in the payload, in both spellings; a list is one walk through the JSON for all of them.
_PATHS = {
    "type": ("$.type", "$.type"),
    "organization_id": ("$.organization_id", "$.organizationId"),
    "person_id": ("$.person_id", "$.personId"),
    "sequence_id": ("$.sequence_id", "$.sequenceId"),
    "sequence_template_id": ("$.sequence_template_id", "$.sequenceTemplateId"),
    "message_id": ("$.message_id", "$.messageId"),
    "hot_lead_id": ("$.hot_lead_id", "$.hotLeadId"),
    "calendar_event_id": ("$.calendar_event_id", "$.calendarEventId"),
    "task_id": ("$.task_id", "$.taskId"),
    "resource_type": ("$.resource_type", "$.resourceType"),
    "channel": ("$.channel", "$.channel"),
    "step_number": ("$.metadata.step_number", "$.metadata.stepNumber"),
    "reply_category": ("$.metadata.reply_category", "$.metadata.replyCategory"),
}
_FIELDS = ", ".join(f"nullif(coalesce(f[{2 * i + 1}], f[{2 * i + 2}]), '') AS {name}" for i, name in enumerate(_PATHS))
_WALK = ", ".join(f"'{path}'" for paths in _PATHS.values() for path in paths)

# The columns of a relation of `received` (a running number), `id`, `created_at`, `payload`.
EXTRACT = f"""
SELECT received, id, created_at, payload, is_json, {_FIELDS}
FROM (
    SELECT *, CASE WHEN is_json THEN json_extract_string(payload, [{_WALK}]) END AS f
    FROM (
        SELECT received, id::VARCHAR AS id, created_at::TIMESTAMPTZ AS created_at, payload::VARCHAR AS payload,
            json_valid(payload::VARCHAR) AS is_json
        FROM {{}}
    )
)
"""  # noqa: S608 - names of our own


class Spool:
    """The activities of one reading, as they come; to be entered, and to be let go of once they are landed."""

    def __init__(self) -> None:
        self._pending: list[pd.DataFrame] = []
        self._received = 0
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._one_at_a_time = threading.Lock()
        self.longest = 0
        """Characters of the longest payload."""
        self.files: list[str] = []
        """Parquet files of what was written, in the order received."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.clear()
        if self._connection:
            self._connection.close()
        if self._folder:
            self._folder.cleanup()

    def add(self, activities: "pd.DataFrame") -> None:
        """Take `id` (uuid text), `created_at` (datetime64, UTC), `payload` (JSON text); from any thread.

        Of an id that was added before, this is the version that counts.

        Raises:
            WarehouseError: the folder for temporary files can't take them.
        """
        with self._one_at_a_time:
            # The last rows stay in memory: landing would read a file of theirs the moment it is written.
            if sum(map(len, self._pending)) >= PART:
                self._write()
            first = self._received
            self._received += len(activities)
            self.longest = max(self.longest, activities["payload"].str.len().max() if len(activities) else 0)
            self._pending.append(activities.assign(received=range(first, self._received)))

    def clear(self) -> None:
        """Let go of everything that was added."""
        with self._one_at_a_time:
            self._pending.clear()
            for file in self.files:
                Path(file).unlink()
            self.files.clear()

    def pending(self) -> "pd.DataFrame":
        """What is not written: `received`, `id`, `created_at`, `payload`."""
        import pandas as pd  # noqa: PLC0415 - loading the definitions needs no frames

        if not self._pending:
            return pd.DataFrame({"received": [], "id": [], "created_at": [], "payload": []})
        return pd.concat(self._pending, ignore_index=True)

    def _write(self) -> None:
        try:
            self._copy(self.pending())
        except (duckdb.Error, OSError) as error:
            raise WarehouseError(
                f"What was read can't be kept in {tempfile.gettempdir()} until it is landed, set TMPDIR to a folder"
                f" with room: {str(error).strip().partition(chr(10))[0]}"
            ) from error
        self._pending.clear()

    def _copy(self, batch: "pd.DataFrame") -> None:
        if self._connection is None or self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="topo_pipeline_")
            self._connection = duckdb.connect()
            self._connection.execute(f"SET TimeZone = 'UTC'; SET threads = 1; SET memory_limit = '{MEMORY}'")
        file = str(Path(self._folder.name, f"{len(self.files):06}.parquet"))
        self._connection.register("batch", batch)
        self._connection.execute(f"COPY ({EXTRACT.format('batch')}) TO $file (FORMAT parquet)", {"file": file})
        self._connection.unregister("batch")
        self.files.append(file)
