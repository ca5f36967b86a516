"""What was read, as frames for the warehouse."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from topo_pipeline.topo_api.reading import Reading
from topo_pipeline.topo_api.wire import Activity

if TYPE_CHECKING:
    import pandas as pd


def activity_frame(activities: Sequence[Activity]) -> "pd.DataFrame":
    """Return activities as a frame for a buffer."""
    import pandas as pd  # noqa: PLC0415 - not needed to load the definitions

    return pd.DataFrame(
        {
            "id": pd.Series([activity.id for activity in activities], dtype=object),
            "created_at": pd.to_datetime([activity.created_at for activity in activities], utc=True),
            "payload": pd.Series([activity.payload for activity in activities], dtype=object),
        }
    )


def reject_frame(reading: Reading) -> "pd.DataFrame":
    """Return the rejects of a reading as a frame for the warehouse."""
    import pandas as pd  # noqa: PLC0415 - as above

    rejects = reading.rejects
    columns = {name: [getattr(reject, name) for reject in rejects] for name in ("raw", "reason", "id")}
    return pd.DataFrame(columns, dtype=object)
