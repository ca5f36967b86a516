"""The messages of errors."""

from datetime import UTC, datetime, timedelta

from topo_pipeline.topo_api.errors import IncompleteWindow, TopoError
from topo_pipeline.topo_api.windows import Reading, Window

START = datetime(2026, 3, 1, tzinfo=UTC)
END = START + timedelta(days=1)


def test_the_message_ends_with_the_request_id_if_known() -> None:
    assert str(TopoError("No")) == "No"
    assert str(TopoError("No", request_id="req_1")) == "No (request id req_1)"


def test_the_message_shows_three_of_many_request_ids() -> None:
    ids = [f"req_{number}" for number in range(5)]
    reading = Reading(Window(START, END), START, END, 2, received=0, activities=[], overlap=[], rejects=[], requests=5)
    error = IncompleteWindow(reading=reading, because="so", request_ids=ids)
    assert "Z: so (request ids req_0, req_1, req_2 and 2 more). If it happens again" in str(error)
    assert error.reading is reading
