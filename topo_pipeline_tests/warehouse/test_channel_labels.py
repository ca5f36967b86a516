"""Labels from the API's channel filter in rows without a channel of their own."""

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


def test_the_filter_labels_rows_without_a_channel_in_payload_or_type(warehouse: Warehouse) -> None:
    land_labelled(warehouse, {uuid_of(number): "LINKEDIN" for number in (1, 2, 3)})
    assert channels(warehouse) == {
        uuid_of(1): ("LINKEDIN", "filter"),
        uuid_of(2): ("EMAIL", "type"),
        uuid_of(3): ("MANUAL", "payload"),
    }


def test_a_later_label_replaces_the_row_and_the_old_version_is_kept(file_warehouse: Warehouse) -> None:
    land_labelled(file_warehouse, {})
    assert channels(file_warehouse)[uuid_of(1)] == (None, "unknown")
    assert land_labelled(file_warehouse, LINKEDIN, now=LATER) == 1
    assert channels(file_warehouse)[uuid_of(1)] == ("LINKEDIN", "filter")
    assert ask(file_warehouse, "SELECT id::VARCHAR, channel_source FROM topo.activity_changes") == [
        (uuid_of(1), "unknown")
    ]


def test_a_reload_without_labels_keeps_them(warehouse: Warehouse) -> None:
    land_labelled(warehouse, LINKEDIN)
    assert land_labelled(warehouse, {}, now=LATER) == 0
    assert channels(warehouse)[uuid_of(1)] == ("LINKEDIN", "filter")


def test_a_reload_with_another_label_replaces_it(file_warehouse: Warehouse) -> None:
    land_labelled(file_warehouse, LINKEDIN)
    assert land_labelled(file_warehouse, {uuid_of(1): "MANUAL"}, now=LATER) == 1
    assert channels(file_warehouse)[uuid_of(1)] == ("MANUAL", "filter")


def test_a_changed_row_keeps_its_label(file_warehouse: Warehouse) -> None:
    land_labelled(file_warehouse, LINKEDIN)
    changed = activity(1, {"type": "message.sent", "v": 2})
    assert land_into(file_warehouse, reading(changed, OPENED, OWN), now=LATER).changed == 1
    assert channels(file_warehouse)[uuid_of(1)] == ("LINKEDIN", "filter")


def test_a_label_is_not_applied_to_another_message(file_warehouse: Warehouse) -> None:
    land_into(file_warehouse, reading(SENT, activity(4), labels=LINKEDIN))
    assert land_into(file_warehouse, reading(SENT, activity(4)), now=LATER).changed == 0
    assert channels(file_warehouse) == {uuid_of(1): ("LINKEDIN", "filter"), uuid_of(4): (None, "unknown")}


def test_a_channel_removed_from_the_payload_is_unknown(file_warehouse: Warehouse) -> None:
    land_into(file_warehouse, reading(OWN))
    land_into(file_warehouse, reading(activity(3)), now=LATER)
    assert channels(file_warehouse) == {uuid_of(3): (None, "unknown")}
