"""What the API's channel filter told stands in the rows that have no channel of their own, and stays."""

from collections.abc import Mapping

from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.warehouse.builders import (
    LATER,
    activity,
    ask,
    land_into,
    reading,
    uuid_of,
)

SENT, OPENED, OWN = (
    activity(1),
    activity(2, {"type": "message.opened"}),
    activity(3, {"type": "message.sent", "channel": "MANUAL"}),
)
LINKEDIN = {uuid_of(1): "LINKEDIN"}


def channels(warehouse: Warehouse) -> dict[str, tuple[str | None, str]]:
    rows = ask(warehouse, "SELECT id::VARCHAR, channel, channel_source FROM topo.activities")
    return {id_: (channel, source) for id_, channel, source in rows}


def land_labelled(warehouse: Warehouse, labels: Mapping[str, str], **options: object) -> int:
    return land_into(warehouse, reading(SENT, OPENED, OWN, labels=labels), **options).changed  # type: ignore[arg-type]


def test_the_filter_labels_what_neither_payload_nor_type_tells(warehouse: Warehouse) -> None:
    land_labelled(warehouse, {uuid_of(number): "LINKEDIN" for number in (1, 2, 3)})
    assert channels(warehouse) == {
        uuid_of(1): ("LINKEDIN", "filter"),
        uuid_of(2): ("EMAIL", "type"),
        uuid_of(3): ("MANUAL", "payload"),
    }


def test_a_label_that_comes_later_replaces_the_row_and_keeps_the_one_without(file_warehouse: Warehouse) -> None:
    land_labelled(file_warehouse, {})
    assert channels(file_warehouse)[uuid_of(1)] == (None, "unknown")
    assert land_labelled(file_warehouse, LINKEDIN, now=LATER) == 1
    assert channels(file_warehouse)[uuid_of(1)] == ("LINKEDIN", "filter")
    assert ask(file_warehouse, "SELECT id::VARCHAR, channel_source FROM topo.activity_changes") == [
        (uuid_of(1), "unknown")
    ]


def test_a_reload_that_asks_for_no_labels_takes_none_away(warehouse: Warehouse) -> None:
    land_labelled(warehouse, LINKEDIN)
    assert land_labelled(warehouse, {}, now=LATER) == 0
    assert channels(warehouse)[uuid_of(1)] == ("LINKEDIN", "filter")


def test_a_reload_that_tells_another_channel_is_believed(file_warehouse: Warehouse) -> None:
    land_labelled(file_warehouse, LINKEDIN)
    assert land_labelled(file_warehouse, {uuid_of(1): "MANUAL"}, now=LATER) == 1
    assert channels(file_warehouse)[uuid_of(1)] == ("MANUAL", "filter")


def test_a_row_that_changes_keeps_the_channel_that_the_filter_returned_before(file_warehouse: Warehouse) -> None:
    land_labelled(file_warehouse, LINKEDIN)
    changed = activity(1, {"type": "message.sent", "v": 2})
    assert land_into(file_warehouse, reading(changed, OPENED, OWN), now=LATER).changed == 1
    assert channels(file_warehouse)[uuid_of(1)] == ("LINKEDIN", "filter")


def test_the_channel_of_one_message_is_not_given_to_another(file_warehouse: Warehouse) -> None:
    land_into(file_warehouse, reading(SENT, activity(4), labels=LINKEDIN))
    assert land_into(file_warehouse, reading(SENT, activity(4)), now=LATER).changed == 0
    assert channels(file_warehouse) == {uuid_of(1): ("LINKEDIN", "filter"), uuid_of(4): (None, "unknown")}


def test_a_channel_that_a_payload_no_longer_has_is_unknown(file_warehouse: Warehouse) -> None:
    land_into(file_warehouse, reading(OWN))
    land_into(file_warehouse, reading(activity(3)), now=LATER)
    assert channels(file_warehouse) == {uuid_of(3): (None, "unknown")}
