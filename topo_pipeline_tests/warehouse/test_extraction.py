"""How payloads in both spellings become columns, and are kept as text."""

import json
from typing import Any
from uuid import UUID

from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline_tests.warehouse.builders import (
    DAY,
    HOSTILE,
    LANDED,
    activity,
    ask,
    land_into,
    noon,
    reading,
    records,
    uuid_of,
)

# The same reply in both documented spellings.
CAMEL = {
    "type": "message.replied",
    "organizationId": uuid_of(101),
    "personId": uuid_of(102),
    "sequenceId": uuid_of(103),
    "sequenceTemplateId": uuid_of(104),
    "messageId": "message-5",
    "hotLeadId": "lead-6",
    "calendarEventId": "meeting-7",
    "taskId": "task-8",
}
SNAKE = {
    "type": "message.replied",
    "organization_id": uuid_of(101),
    "person_id": uuid_of(102),
    "sequence_id": uuid_of(103),
    "sequence_template_id": uuid_of(104),
    "message_id": "message-5",
    "hot_lead_id": "lead-6",
    "calendar_event_id": "meeting-7",
    "task_id": "task-8",
    "resource_type": "MESSAGE",
    "channel": "LINKEDIN",
    "metadata": {"step_number": 3, "reply_category": "INTERESTED"},
}
COLUMNS = {
    "type": "message.replied",
    "organization_id": UUID(uuid_of(101)),
    "person_id": UUID(uuid_of(102)),
    "sequence_id": UUID(uuid_of(103)),
    "sequence_template_id": UUID(uuid_of(104)),
    "message_id": "message-5",
    "hot_lead_id": "lead-6",
    "calendar_event_id": "meeting-7",
    "task_id": "task-8",
    "resource_type": "MESSAGE",
    "event_type": "REPLIED",
}
WITHOUT_DETAILS = {"channel": None, "channel_source": "unknown", "step_number": None, "reply_category": None}
WITH_DETAILS = {"channel": "LINKEDIN", "channel_source": "payload", "step_number": 3, "reply_category": "INTERESTED"}
ALL_NULL = dict.fromkeys(COLUMNS) | WITHOUT_DETAILS


def extracted(warehouse: Warehouse, *payloads: dict[str, Any] | str) -> list[dict[str, Any]]:
    """Land an activity with each payload. Return the columns of each row."""
    land_into(warehouse, reading(*(activity(number, payload) for number, payload in enumerate(payloads))))
    rows = {row["id"]: row for row in records(warehouse, "topo.activities")}
    assert len(rows) == len(payloads)
    in_order = (rows[UUID(uuid_of(number))] for number in range(len(payloads)))
    return [{name: value for name, value in row.items() if name in ALL_NULL} for row in in_order]


def test_every_column_has_the_received_value(warehouse: Warehouse) -> None:
    moment = noon().replace(microsecond=123456)
    text = json.dumps(SNAKE)
    load = land_into(warehouse, reading(activity(1, text, at=moment)))
    assert records(warehouse, "topo.activities") == [
        {
            "id": UUID(uuid_of(1)),
            "created_at": moment,
            "day": DAY,
            **COLUMNS,
            **WITH_DETAILS,
            "payload": text,
            "landed_at": LANDED,
            "load_id": load.load_id,
        }
    ]


def test_a_payload_in_camel_case_fills_the_same_columns(file_warehouse: Warehouse) -> None:
    assert extracted(file_warehouse, CAMEL) == [COLUMNS | WITHOUT_DETAILS]


def test_metadata_is_read_in_camel_case(file_warehouse: Warehouse) -> None:
    details = {"resourceType": "MESSAGE", "metadata": {"stepNumber": 3, "replyCategory": "INTERESTED"}}
    row = COLUMNS | WITH_DETAILS | {"channel": None, "channel_source": "unknown"}
    assert extracted(file_warehouse, CAMEL | details) == [row]


def test_a_null_in_one_spelling_does_not_hide_a_value_in_the_other(file_warehouse: Warehouse) -> None:
    payloads = [
        {key: None for key in nulled if key not in kept} | kept for nulled, kept in ((CAMEL, SNAKE), (SNAKE, CAMEL))
    ]
    for row in extracted(file_warehouse, *payloads):
        assert {name: row[name] for name in COLUMNS} == COLUMNS


def test_null_empty_and_missing_values_are_null(file_warehouse: Warehouse) -> None:
    payloads: dict[str, dict[str, Any]] = {
        "empty": {},
        "nulls": dict.fromkeys(SNAKE | CAMEL),
        "empty texts": dict.fromkeys(SNAKE | CAMEL, ""),
        "null metadata fields": {"metadata": {"step_number": None, "reply_category": None}},
        "metadata as a list": {"metadata": []},
        "metadata as text": {"metadata": "none"},
        "unknown keys": {"TYPE": "message.sent", "payload": SNAKE, "Channel": "EMAIL"},
    }
    rows = extracted(file_warehouse, *payloads.values())
    assert dict(zip(payloads, rows, strict=True)) == dict.fromkeys(payloads, ALL_NULL)


def test_unknown_types_channels_categories_and_fields_are_kept(file_warehouse: Warehouse) -> None:
    payload = {
        "type": "voicemail.left_twice",
        "channel": "carrier_pigeon",
        "metadata": {"reply_category": "Maybe_Later", "mood": 1},
        "somethingNew": {"deep": [1, {"deeper": None}]},
    }
    assert extracted(file_warehouse, payload) == [
        ALL_NULL
        | {
            "type": "voicemail.left_twice",
            "resource_type": "VOICEMAIL",
            "event_type": "LEFT_TWICE",
            "channel": "CARRIER_PIGEON",
            "channel_source": "payload",
            "reply_category": "MAYBE_LATER",
        }
    ]


def test_a_type_without_two_parts_is_accepted(file_warehouse: Warehouse) -> None:
    rows = extracted(file_warehouse, *({"type": type_} for type_ in ("ping", ".", "")))
    found = [(row["type"], row["resource_type"], row["event_type"]) for row in rows]
    assert found == [("ping", "PING", None), (".", None, None), (None, None, None)]


def test_an_id_that_is_not_a_uuid_is_null_and_kept_in_the_payload(file_warehouse: Warehouse) -> None:
    ids = ["42", "not-a-uuid", uuid_of(1) + "0", HOSTILE, 7, True, ["x"], {"id": 1}]
    texts = [json.dumps({"type": "message.sent", "person_id": id_, "sequence_id": uuid_of(9)}) for id_ in ids]
    for row in extracted(file_warehouse, *texts):
        assert (row["person_id"], row["sequence_id"]) == (None, UUID(uuid_of(9)))
    assert ask(file_warehouse, "SELECT payload FROM topo.activities ORDER BY id") == [(text,) for text in texts]


def test_an_invalid_step_number_is_null(file_warehouse: Warehouse) -> None:
    steps = [(3, 3), ("3", 3), (0, 0), ("two", None), (99999999999, None), ({}, None)]
    rows = extracted(file_warehouse, *({"metadata": {"step_number": step}} for step, _ in steps))
    assert [row["step_number"] for row in rows] == [expected for _, expected in steps]


def test_the_channel_comes_from_the_payload_or_else_the_type(file_warehouse: Warehouse) -> None:
    cases: list[tuple[str | None, str | None, tuple[str | None, str]]] = [
        ("message.opened", None, ("EMAIL", "type")),
        ("message.link_clicked", None, ("EMAIL", "type")),
        ("message.opened", "", ("EMAIL", "type")),
        ("invitation.sent", None, ("LINKEDIN", "type")),
        ("invitation.accepted", None, ("LINKEDIN", "type")),
        ("invitation.withdrawn", None, ("LINKEDIN", "type")),
        ("message.sent", None, (None, "unknown")),
        ("message.replied", None, (None, "unknown")),
        ("invitations", None, (None, "unknown")),
        ("sequence.created", None, (None, "unknown")),
        (None, None, (None, "unknown")),
        ("message.opened", "LINKEDIN", ("LINKEDIN", "payload")),
        ("invitation.sent", "email", ("EMAIL", "payload")),
        ("message.sent", "MANUAL", ("MANUAL", "payload")),
        (None, "EMAIL", ("EMAIL", "payload")),
    ]
    rows = extracted(file_warehouse, *({"type": type_, "channel": channel} for type_, channel, _ in cases))
    for (type_, channel, expected), row in zip(cases, rows, strict=True):
        assert (row["channel"], row["channel_source"]) == expected, (type_, channel)


def test_the_resource_type_in_the_payload_is_used(file_warehouse: Warehouse) -> None:
    [row] = extracted(file_warehouse, {"type": "message.sent", "resource_type": "Carrier"})
    assert (row["resource_type"], row["event_type"]) == ("CARRIER", "SENT")


PAYLOADS = {
    "white space": '{ "type" :\t"message.sent" ,\r\n "a" : [ ] }',
    "emoji": '{"type":"message.sent","name":"Zoë 👩‍🚀 \u2028 é"}',
    "escapes": '{"type":"message.sent","name":"\\u00e9 \\/ \\ud83d\\ude80 \\"quoted\\""}',
    "a NUL escape": '{"type":"message.sent","messageId":"a\\u0000b"}',
    "big numbers": '{"type":"message.sent","n":123456789012345678901234567890,"f":1.000,"e":1E400,"z":-0}',
    "a repeated key": '{"type":"message.sent","a":1,"a":2}',
    "deep nesting": '{"type":"message.sent","a":' + "[" * 500 + "]" * 500 + "}",
    "hostile text": json.dumps({"type": HOSTILE, "messageId": HOSTILE, "channel": HOSTILE}),
}


def test_a_payload_is_kept_byte_for_byte(warehouse: Warehouse) -> None:
    received = {uuid_of(number): text for number, text in enumerate(PAYLOADS.values())}
    load = land_into(warehouse, reading(*(activity(number, text) for number, text in enumerate(PAYLOADS.values()))))
    kept = dict(ask(warehouse, "SELECT id::VARCHAR, encode(payload) FROM topo.activities"))
    assert kept == {id_: text.encode() for id_, text in received.items()}
    assert (load.rows, load.rejects) == (len(PAYLOADS), 0)


def test_a_nul_character_is_kept_in_its_column(file_warehouse: Warehouse) -> None:
    [row] = extracted(file_warehouse, PAYLOADS["a NUL escape"])
    assert row["message_id"] == "a\0b"


def test_an_activity_without_valid_ids_lands(file_warehouse: Warehouse) -> None:
    names = ("organization_id", "person_id", "sequence_id", "sequence_template_id")
    [row] = extracted(file_warehouse, SNAKE | dict.fromkeys(names, "42"))
    assert {name: row[name] for name in COLUMNS} == COLUMNS | dict.fromkeys(names)
