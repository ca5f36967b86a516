"""Erasing a person: their rows are removed, reloads leave them out, and other people's rows are landed_ids."""

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topo_pipeline.warehouse.connection import Warehouse
from topo_pipeline.warehouse.erasure import (
    NOTHING,
    ErasedSubjects,
    Trace,
    apply_erasures,
    define_erasure_macros,
    erase,
    erased_subjects,
)
from topo_pipeline.warehouse.errors import WarehouseError
from topo_pipeline.warehouse.landing import Load, ReadDay
from topo_pipeline.warehouse.workspace import bind_timezone
from topo_pipeline_tests.warehouse.builders import (
    DAY,
    LANDED,
    LATER,
    LONE_SURROGATE,
    NEXT_DAY,
    Activity,
    activity,
    ask,
    land_into,
    land_templates_into,
    noon,
    path_of,
    reading,
    snapshot,
    template,
    uuid_of,
)

ADA, BOB = UUID(uuid_of(0xADA)), UUID(uuid_of(0xB0B))
HER_RUN, HIS_RUN = uuid_of(0xADA1), uuid_of(0xB0B1)


def of(person: UUID, number: int, run: str | None = None, **more: Any) -> Activity:
    return activity(number, {"type": "message.sent", "person_id": str(person), "sequence_id": run, **more})


def in_run(number: int, run: str) -> Activity:
    return activity(number, {"type": "sequence.completed", "sequence_id": run})


def bind(warehouse: Warehouse) -> None:
    with warehouse.transaction() as connection:
        bind_timezone(connection, "UTC", now=LANDED)


@pytest.fixture(scope="module")
def bound(tmp_path_factory: pytest.TempPathFactory, empty_file: Path) -> Path:
    """Return an empty DuckDB file that is bound to a time zone, to be copied."""
    path = Path(shutil.copy(empty_file, tmp_path_factory.mktemp("bound")))
    bind(Warehouse(str(path)))
    return path


@pytest.fixture
def file_warehouse(bound: Path, tmp_path: Path) -> Warehouse:
    return Warehouse(str(shutil.copy(bound, tmp_path / "topo.duckdb")))


def erase_from(warehouse: Warehouse, person: UUID = ADA) -> Trace:
    with warehouse.transaction() as connection:
        return erase(connection, person, now=LATER)


def landed_ids(warehouse: Warehouse) -> list[str]:
    """Return the ids of the landed activities."""
    return [id_ for (id_,) in ask(warehouse, "SELECT id::VARCHAR FROM topo.activities ORDER BY id")]


def all_content(warehouse: Warehouse) -> str:
    return repr(snapshot(warehouse)).lower()


def test_rows_changes_and_rejects_of_the_person_are_erased_and_others_kept(warehouse: Warehouse) -> None:
    bind(warehouse)
    rejects = ((f'{{"id":"x","person":"{ADA}"', "cut"), (f'{{"id":"y","person":"{BOB}"', "cut"))
    land_into(warehouse, reading(of(ADA, 1, HER_RUN, v=1), of(BOB, 2, HIS_RUN, v=1), of(ADA, 3), rejects=rejects))
    land_into(warehouse, reading(of(ADA, 1, HER_RUN, v=2), of(BOB, 2, HIS_RUN, v=2)), LATER)

    assert erase_from(warehouse) == Trace(activities=1, changes=2, rejects=1, runs=1)

    content = all_content(warehouse)
    assert str(ADA) not in content
    assert HER_RUN not in content
    assert landed_ids(warehouse) == [uuid_of(2)]
    assert ask(warehouse, "SELECT id::VARCHAR FROM topo.activity_changes") == [(uuid_of(2),)]
    assert ask(warehouse, "SELECT raw FROM topo.rejects") == [(rejects[1][0],)]


def test_rows_of_the_persons_run_without_a_person_are_erased(warehouse: Warehouse) -> None:
    bind(warehouse)
    land_into(warehouse, reading(of(ADA, 1, HER_RUN), in_run(2, HER_RUN), in_run(3, HIS_RUN)))
    assert erase_from(warehouse) == Trace(activities=2, changes=0, rejects=0, runs=1)
    load = land_into(warehouse, reading(in_run(4, HER_RUN), in_run(5, HIS_RUN), day=NEXT_DAY), LATER)
    assert (load.rows, load.suppressed) == (1, 1)
    assert landed_ids(warehouse) == [uuid_of(3), uuid_of(5)]


def test_a_reload_leaves_the_person_out_and_its_numbers_match_the_count(warehouse: Warehouse) -> None:
    bind(warehouse)
    surrogate = json.dumps({"person_id": str(ADA)})[:-1] + "," + LONE_SURROGATE[1:]
    day_reading = reading(
        *(of(ADA, number, HER_RUN) for number in range(10)),
        *(of(BOB, number, HIS_RUN) for number in range(10, 14)),
        activity(90, surrogate, at=noon()),
        rejects=((f'["{ADA}"', "cut"), ("[", "cut")),
    )
    first = land_into(warehouse, day_reading)
    erase_from(warehouse)
    again = land_into(warehouse, day_reading, LATER)

    assert rows_match_the_count(first)
    assert rows_match_the_count(again)
    assert (again.rows, again.rejects, again.suppressed) == (4, 1, 12)
    assert (again.added, again.changed, again.removed) == (0, 0, 0)
    assert str(ADA) not in all_content(warehouse)


def rows_match_the_count(load: Load) -> bool:
    return load.rows + load.rejects + load.suppressed == load.api_total_count


def test_the_last_load_of_each_day_counts_the_erased_rows(file_warehouse: Warehouse) -> None:
    for rows, now in (((of(ADA, 1), of(BOB, 2)), LANDED), ((of(ADA, 1), of(BOB, 2), of(ADA, 3)), LATER)):
        land_into(file_warehouse, reading(*rows), now)
    land_into(file_warehouse, reading(of(BOB, 7), day=NEXT_DAY))
    erase_from(file_warehouse)
    ledger = ask(file_warehouse, "SELECT day, rows, suppressed FROM landed_days ORDER BY day")
    assert ledger == [(DAY, 1, 2), (NEXT_DAY, 1, 0)]
    loads = ask(file_warehouse, "SELECT rows, suppressed FROM topo.loads WHERE day = ? ORDER BY finished_at", DAY)
    assert loads == [(2, 0), (1, 2)]


def test_erasing_a_person_twice_changes_nothing(warehouse: Warehouse) -> None:
    bind(warehouse)
    land_into(warehouse, reading(of(ADA, 1, HER_RUN), of(BOB, 2)))
    erase_from(warehouse)
    before = snapshot(warehouse, "activities", "loads", "forgotten", "workspace")
    assert erase_from(warehouse) == Trace(0, 0, 0, 0)
    assert snapshot(warehouse, "activities", "loads", "forgotten", "workspace") == before


def test_an_id_in_no_landed_row_is_refused(file_warehouse: Warehouse) -> None:
    land_into(file_warehouse, reading(of(BOB, 2)))
    with pytest.raises(WarehouseError, match=f"No landed row mentions {ADA}"):
        erase_from(file_warehouse, ADA)
    assert land_into(file_warehouse, reading(of(ADA, 1), of(BOB, 2)), LATER).rows == 2
    erase_from(file_warehouse, ADA)
    with pytest.raises(WarehouseError, match=f"No landed row mentions {(nobody := UUID(uuid_of(0xC1D)))}"):
        erase_from(file_warehouse, nobody)


def test_the_id_of_anything_but_a_person_is_refused(file_warehouse: Warehouse) -> None:
    ids = {"organization_id": uuid_of(901), "sequence_template_id": uuid_of(902)}
    land_into(file_warehouse, reading(of(ADA, 1, uuid_of(903), **ids)))
    before = snapshot(file_warehouse)
    for number, what in {901: "the organization", 902: "a sequence", 903: "a sequence run", 1: "an activity"}.items():
        with pytest.raises(WarehouseError, match=f"the id of {what}, not of a person"):
            erase_from(file_warehouse, UUID(uuid_of(number)))
    assert snapshot(file_warehouse) == before


def test_another_persons_run_is_kept_if_one_of_its_rows_mentions_the_person(file_warehouse: Warehouse) -> None:
    mentions = of(BOB, 1, HIS_RUN, metadata={"referredBy": str(ADA)})
    rows = (mentions, of(BOB, 2, HIS_RUN), in_run(3, HIS_RUN), of(ADA, 4, HER_RUN))
    land_into(file_warehouse, reading(*rows))
    assert erase_from(file_warehouse).activities == 2
    assert landed_ids(file_warehouse) == [uuid_of(2), uuid_of(3)]
    assert land_into(file_warehouse, reading(*rows), LATER).suppressed == 2


def test_a_run_that_an_erased_person_enters_later_is_left_out(file_warehouse: Warehouse) -> None:
    new_run = uuid_of(0xADA2)
    land_into(file_warehouse, reading(of(ADA, 1, HER_RUN)))
    erase_from(file_warehouse)
    land_into(file_warehouse, reading(in_run(2, new_run), day=NEXT_DAY))  # read before the run has a person
    load = land_into(file_warehouse, reading(of(ADA, 3, new_run), in_run(4, new_run)), LATER)
    assert (load.rows, load.suppressed) == (0, 2)
    assert erase_from(file_warehouse).activities == 1  # a second erasure finds the row that landed in between
    assert landed_ids(file_warehouse) == []


def test_a_reload_leaves_out_exactly_the_erased_rows(file_warehouse: Warehouse) -> None:
    notes = [f"ab12{ADA.hex}", f"person_{ADA}", f"{ADA.hex}ff", f"[{ADA}]", str(ADA)[:-1], f"x{ADA}x"]
    rows = [activity(n, {"type": "message.sent", "note": note}) for n, note in enumerate(notes)]
    day_reading = reading(*rows, of(ADA, 50))
    land_into(file_warehouse, day_reading)
    erased = erase_from(file_warehouse).activities
    stayed = landed_ids(file_warehouse)
    assert land_into(file_warehouse, day_reading, LATER).suppressed == erased
    assert landed_ids(file_warehouse) == stayed == [uuid_of(4)]


def test_the_stored_hash_depends_on_the_warehouses_key(file_warehouse: Warehouse, warehouse: Warehouse) -> None:
    hashes = []
    bind(warehouse)
    for each_warehouse in (file_warehouse, warehouse):
        land_into(each_warehouse, reading(of(ADA, 1)))
        erase_from(each_warehouse)
        hashes += ask(each_warehouse, "SELECT id_hash FROM topo.forgotten")
        assert str(ADA) not in all_content(each_warehouse)
    assert len(set(hashes)) == 2


def test_erasing_from_an_empty_warehouse_is_an_error(file_warehouse: Warehouse) -> None:
    with pytest.raises(WarehouseError, match="Nothing has been landed"):
        erase_from(file_warehouse)


def escaped(id_: UUID | str) -> str:
    """Return an id as JSON text in which every character is an escape."""
    return "".join(f"\\u{ord(character):04x}" for character in str(id_))


def test_a_run_id_escaped_in_json_is_found(file_warehouse: Warehouse) -> None:
    hidden = activity(2, f'{{"type":"sequence.completed","sequence_id":"{escaped(HER_RUN)}"}}')
    rows = (of(ADA, 1, HER_RUN), hidden, in_run(3, HIS_RUN))
    land_into(file_warehouse, reading(*rows))
    assert erase_from(file_warehouse).activities == 2
    assert land_into(file_warehouse, reading(*rows), LATER).suppressed == 2
    assert landed_ids(file_warehouse) == [uuid_of(3)]


def test_the_id_of_a_sequence_without_activities_is_refused(
    file_warehouse: Warehouse,
) -> None:
    land_into(file_warehouse, reading(of(ADA, 1), of(BOB, 2)))
    land_templates_into(file_warehouse, template(950))
    with pytest.raises(WarehouseError, match="the id of a sequence, not of a person"):
        erase_from(file_warehouse, UUID(uuid_of(950)))
    assert erase_from(file_warehouse).activities == 1


HIDDEN = activity(1, f'{{"type":"message.sent","person_id":"{escaped(ADA)}"}}')
HIS = of(BOB, 9)


def test_a_copy_erases_a_person_who_was_erased_from_the_original(file_warehouse: Warehouse, tmp_path: Path) -> None:
    """The person is in an activity, in an earlier version of it, in a removed row and in a row that can't be read."""
    kept = (of(BOB, 8, v=1), HIS)
    land_into(file_warehouse, reading(HIDDEN, of(ADA, 2, v=1), *kept, rejects=((f'["{ADA}"', "cut"), ("[", "cut"))))
    land_into(file_warehouse, reading(of(ADA, 2, v=2), of(BOB, 8, v=2), HIS), LATER)
    backup = copy_of(file_warehouse, tmp_path)
    erase_from(file_warehouse)
    known = erased_subjects_of(file_warehouse)
    with backup.transaction() as connection:
        erased = apply_erasures(connection, known, now=LATER + timedelta(days=1))
    assert erased == Trace(activities=1, changes=2, rejects=1, runs=0)
    assert erased_subjects_of(backup) == known  # with the original dates
    assert landed_ids(backup) == [uuid_of(8), uuid_of(9)]
    assert ask(backup, "SELECT id::VARCHAR FROM topo.activity_changes") == [(uuid_of(8),)]
    assert ask(backup, "SELECT raw FROM topo.rejects") == [("[",)]


def copy_of(warehouse: Warehouse, folder: Path) -> Warehouse:
    return Warehouse(str(shutil.copy(path_of(warehouse), folder / "backup.duckdb")))


def erased_subjects_of(warehouse: Warehouse) -> ErasedSubjects:
    with warehouse.reader() as connection:
        return erased_subjects(connection)


ENCODINGS: dict[str, Callable[[str], str]] = {
    "as Topo writes it": str,
    "upper case": str.upper,
    "as a URN": lambda id_: f"urn:uuid:{id_}",
    "without hyphens": lambda id_: id_.replace("-", ""),
    "after a percent-encoded character": lambda id_: f"p%2F{id_}",
    "after a character that JSON escapes": lambda id_: f"\\u003d{id_}",
    "after hexadecimal letters": lambda id_: f"id=fade{id_}",
    "percent-encoded": lambda id_: "".join(f"%{ord(character):02X}" for character in id_),
    "percent-encoded twice": lambda id_: id_.replace("-", "%252D"),
    "escaped in JSON": escaped,
    "JSON within JSON": lambda id_: json.dumps(f"\\u0022{id_}\\u0022")[1:-1],
    "escaped in JSON within JSON": lambda id_: "".join(f"\\\\u{ord(character):04x}" for character in id_),
    "hyphens escaped in JSON within JSON": lambda id_: id_.replace("-", "\\\\u002d"),
    "among many others": lambda id_: "-".join([*map(uuid_of, range(400)), id_, *map(uuid_of, range(400))]),
    "in a number of thousands of digits": lambda id_: "ab" * 2000 + id_.replace("-", "") + "cd" * 2000,
    "next to invalid UTF-8": lambda id_: f"%E2%82{id_}%zz%ff",
}


def test_an_id_in_any_encoding_is_erased_and_left_out_of_reloads(file_warehouse: Warehouse) -> None:
    """In rows of another person too, and in unreadable rows. Those that only mention the other person are kept."""
    hers, his = ([encode(str(person)) for encode in ENCODINGS.values()] for person in (ADA, BOB))
    rejects = tuple((f'{{"id":"x","note":"{note}"', "cut") for note in (*hers, *his))

    def day_of(version: int) -> ReadDay:
        own = f'"type":"message.sent","v":{version},"personId":"{BOB}"'
        rows = [activity(n, f'{{{own},"note":"{note}"}}') for n, note in enumerate((*hers, *his))]
        return reading(*rows, rejects=rejects)

    land_into(file_warehouse, day_of(1))
    land_into(file_warehouse, day_of(2), LATER)
    many = len(ENCODINGS)
    assert erase_from(file_warehouse) == Trace(activities=many, changes=many, rejects=many, runs=0)
    again = land_into(file_warehouse, day_of(2), LATER)
    assert (again.rows, again.rejects, again.suppressed) == (many, many, 2 * many)
    assert landed_ids(file_warehouse) == [uuid_of(number) for number in range(many, 2 * many)]
    assert {raw for (raw,) in ask(file_warehouse, "SELECT raw FROM topo.rejects")} == {raw for raw, _ in rejects[many:]}


@pytest.fixture(scope="module")
def ids_in() -> Iterator[Callable[..., list[set[str]]]]:
    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA topo; CREATE TABLE topo.workspace (hash_key VARCHAR)")
        define_erasure_macros(connection)
        found = "SELECT ids_in(text) FROM (SELECT unnest(?::VARCHAR[]) AS text)"
        yield lambda *texts: [set(ids) for (ids,) in connection.execute(found, [texts]).fetchall()]


SURROUNDINGS = st.lists(st.text(max_size=40), min_size=2 * len(ENCODINGS), max_size=2 * len(ENCODINGS))


@settings(max_examples=3)
@given(SURROUNDINGS)
def test_an_id_is_found_between_any_texts(ids_in: Callable[..., list[set[str]]], texts: list[str]) -> None:
    """In each encoding. Searching one text costs almost as much as searching many."""
    around = zip(texts[::2], ENCODINGS.values(), texts[1::2], strict=True)
    found = ids_in(*(f"{before}{encode(str(ADA))}{after}" for before, encode, after in around))
    assert [ADA.hex in ids for ids in found] == [True] * len(ENCODINGS)


def test_a_number_of_a_million_digits_is_searched_at_both_ends(ids_in: Callable[..., list[set[str]]]) -> None:
    assert ids_in(f"{'0' * 1_000_000}{ADA.hex}") == [{"0" * 32, ADA.hex}]


def test_a_run_whose_person_is_only_in_an_earlier_version_is_erased(file_warehouse: Warehouse) -> None:
    land_into(file_warehouse, reading(of(ADA, 1, HER_RUN), in_run(2, HER_RUN)))
    land_into(file_warehouse, reading(in_run(1, HER_RUN), in_run(2, HER_RUN)), LATER)
    assert erase_from(file_warehouse) == Trace(activities=2, changes=1, rejects=0, runs=1)


def test_rows_that_mention_the_persons_run_only_in_their_text_are_erased(file_warehouse: Warehouse) -> None:
    mentions = activity(2, {"type": "task.created", "metadata": {"continues": HER_RUN}})
    day_reading = reading(of(ADA, 1, HER_RUN), mentions, of(BOB, 3), rejects=((f'["{HER_RUN}"', "cut"),))
    land_into(file_warehouse, day_reading)
    assert erase_from(file_warehouse) == Trace(activities=2, changes=0, rejects=1, runs=1)
    assert land_into(file_warehouse, day_reading, LATER).suppressed == 3
    assert landed_ids(file_warehouse) == [uuid_of(3)]


def test_two_erased_people_are_counted_and_left_out(file_warehouse: Warehouse) -> None:
    day = reading(of(ADA, 1), of(BOB, 2), of(BOB, 3), in_run(4, HIS_RUN))
    land_into(file_warehouse, day)
    erase_from(file_warehouse, ADA)
    erase_from(file_warehouse, BOB)
    assert ask(file_warehouse, "SELECT rows, suppressed FROM landed_days") == [(1, 3)]
    assert land_into(file_warehouse, day).rows == 1


def test_the_next_load_removes_rows_of_a_run_that_an_erased_person_enters(
    file_warehouse: Warehouse,
) -> None:
    new_run = uuid_of(0xADA2)
    land_into(file_warehouse, reading(of(ADA, 1, HER_RUN), in_run(2, new_run)))
    erase_from(file_warehouse)
    assert landed_ids(file_warehouse) == [uuid_of(2)]
    load = land_into(file_warehouse, reading(in_run(2, new_run), of(ADA, 3, new_run), of(ADA, 4, new_run)), LATER)
    assert (load.rows, load.removed, load.suppressed) == (0, 1, 3)
    assert landed_ids(file_warehouse) == []
    hashes = ask(file_warehouse, "SELECT id_hash FROM topo.forgotten")
    assert len(hashes) == len(set(hashes)) == 5  # the person, and two hashes for each of the two runs


def test_a_copy_without_the_erased_person_is_unchanged(file_warehouse: Warehouse, tmp_path: Path) -> None:
    land_into(file_warehouse, reading(HIS, activity(2), rejects=(("[", "cut"),)))
    land_into(file_warehouse, reading(HIS, rejects=(("[", "cut"),)), LATER)
    backup = copy_of(file_warehouse, tmp_path)
    before = snapshot(backup)
    land_into(file_warehouse, reading(of(ADA, 1), day=NEXT_DAY), LATER)
    erase_from(file_warehouse)
    with backup.transaction() as connection:
        assert apply_erasures(connection, erased_subjects_of(file_warehouse), now=LATER) == Trace(0, 0, 0, 0)
    assert snapshot(backup) == before
    assert erased_subjects_of(backup) == erased_subjects_of(file_warehouse)
    assert land_into(backup, reading(of(ADA, 1), day=NEXT_DAY), LATER).suppressed == 1


KINDS = ("message_id", "hot_lead_id", "calendar_event_id", "task_id")
OBJECT_ID = uuid_of(0x7417)


def mention_of(number: int, kind: str, id_: str = OBJECT_ID, **more: Any) -> Activity:
    """Return an activity without a person or a run."""
    return activity(number, {"type": "message.opened", kind: id_, **more})


def test_a_row_without_a_person_is_erased_if_its_object_belongs_only_to_the_person(file_warehouse: Warehouse) -> None:
    """For each kind of object: a UUID in either case, or another id. An object of another kind may have the same id."""
    ids = ("msg_1", OBJECT_ID, uuid_of(0x7418).upper(), uuid_of(0x7419))
    hers = [of(ADA, 10 + n, HER_RUN, **{kind: id_}) for n, (kind, id_) in enumerate(zip(KINDS, ids, strict=True))]
    of_hers = [mention_of(20 + n, kind, id_) for n, (kind, id_) in enumerate(zip(KINDS, ids, strict=True))]
    others = [mention_of(30 + n, KINDS[n - 1], id_) for n, id_ in enumerate(ids)]
    his = [of(BOB, 40 + n, HIS_RUN, **{kind: "msg_2"}) for n, kind in enumerate(KINDS)]
    of_his = [mention_of(50 + n, kind, "msg_2") for n, kind in enumerate(KINDS)]
    second = reading(*of_hers, *others, *of_his, day=NEXT_DAY)
    land_into(file_warehouse, reading(*hers, *his))
    land_into(file_warehouse, second)
    assert erase_from(file_warehouse).activities == 2 * len(KINDS)
    assert landed_ids(file_warehouse) == sorted(id_ for id_, *_ in (*others, *his, *of_his))
    load = land_into(file_warehouse, second)
    assert (load.rows, load.suppressed) == (2 * len(KINDS), len(KINDS))


def test_an_object_shared_with_another_person_is_not_followed(file_warehouse: Warehouse) -> None:
    """Of each kind. Nor is an object of a row of another person's run that names no person."""
    shared = {kind: uuid_of(0x7417 + n) for n, kind in enumerate(KINDS)}
    hers = [of(ADA, 10 + n, HER_RUN, **{kind: id_}) for n, (kind, id_) in enumerate(shared.items())]
    his = [of(BOB, 20 + n, HIS_RUN, **{kind: id_}) for n, (kind, id_) in enumerate(shared.items())]
    mentions = [mention_of(30 + n, kind, id_) for n, (kind, id_) in enumerate(shared.items())]
    in_his_run = activity(4, {"type": "task.created", "sequence_id": HIS_RUN, "message_id": "msg_9"})
    hers.append(of(ADA, 5, HER_RUN, message_id="msg_9"))
    mentions.append(mention_of(6, "message_id", "msg_9"))
    day = reading(*hers, *his, *mentions, in_his_run)
    land_into(file_warehouse, day)
    assert erase_from(file_warehouse).activities == len(hers)
    assert landed_ids(file_warehouse) == sorted(id_ for id_, *_ in (*his, *mentions, in_his_run))
    assert land_into(file_warehouse, day, LATER).suppressed == len(hers)


def test_objects_are_followed_to_a_run_without_a_person_and_further(file_warehouse: Warehouse) -> None:
    nameless = uuid_of(0xADA3)
    rows = (
        of(ADA, 1, None, message_id="msg_1"),
        activity(2, {"type": "message.opened", "sequence_id": nameless, "message_id": "msg_1"}),
        activity(3, {"type": "task.created", "sequence_id": nameless, "task_id": "task_1"}),
        activity(4, {"type": "task.completed", "task_id": "task_1"}),
        of(BOB, 5, HIS_RUN, task_id="task_2"),
        activity(6, {"type": "task.completed", "task_id": "task_2"}),
    )
    land_into(file_warehouse, reading(*rows))
    assert erase_from(file_warehouse).activities == 4
    assert landed_ids(file_warehouse) == [uuid_of(5), uuid_of(6)]
    assert land_into(file_warehouse, reading(*rows), LATER).suppressed == 4


def test_objects_of_an_erased_persons_later_rows_are_followed(file_warehouse: Warehouse) -> None:
    nameless = uuid_of(0xADA3)
    land_into(file_warehouse, reading(of(ADA, 1, HER_RUN), of(BOB, 2, HIS_RUN)))
    erase_from(file_warehouse)
    rows = (
        of(ADA, 3, HER_RUN, message_id="msg_1"),
        mention_of(4, "message_id", "msg_1"),
        activity(5, {"type": "message.opened", "sequence_id": nameless, "message_id": "msg_1"}),
        of(BOB, 6, HIS_RUN, message_id="msg_2"),
        mention_of(7, "message_id", "msg_2"),
    )
    assert land_into(file_warehouse, reading(*rows, day=NEXT_DAY), LATER).suppressed == 3
    assert landed_ids(file_warehouse) == [uuid_of(2), uuid_of(6), uuid_of(7)]
    later = activity(8, {"type": "message.opened", "sequence_id": nameless})
    assert land_into(file_warehouse, reading(later, *rows, day=NEXT_DAY), LATER).suppressed == 4


def test_objects_in_earlier_versions_and_unreadable_rows_are_followed(file_warehouse: Warehouse) -> None:
    rejects = ((f'{{"messageId":"{OBJECT_ID}"', "cut"), (f'{{"messageId":"{uuid_of(77)}"', "cut"))
    land_into(
        file_warehouse,
        reading(of(ADA, 1, HER_RUN, message_id=OBJECT_ID), mention_of(2, "message_id", v=1), rejects=rejects),
    )
    land_into(file_warehouse, reading(of(ADA, 1, HER_RUN), mention_of(2, "message_id", v=2), rejects=rejects), LATER)
    assert erase_from(file_warehouse) == Trace(activities=2, changes=2, rejects=1, runs=1)
    assert OBJECT_ID not in all_content(file_warehouse)
    again = land_into(file_warehouse, reading(mention_of(2, "message_id", v=2), rejects=rejects), LATER)
    assert (again.rows, again.rejects, again.suppressed) == (0, 1, 2)


def test_a_copy_erases_rows_found_through_objects(file_warehouse: Warehouse, tmp_path: Path) -> None:
    land_into(
        file_warehouse, reading(of(ADA, 1, HER_RUN, message_id=OBJECT_ID), mention_of(2, "message_id"), of(BOB, 3))
    )
    backup = copy_of(file_warehouse, tmp_path)
    erase_from(file_warehouse)
    with backup.transaction() as connection:
        assert apply_erasures(connection, erased_subjects_of(file_warehouse), now=LATER).activities == 2
    assert landed_ids(backup) == [uuid_of(3)]


NAMELESS = uuid_of(0xADA3)


def opened_in_run(number: int, run: str | None, **names: str) -> Activity:
    """Return an activity without a person."""
    return activity(number, {"type": "message.opened", "sequence_id": run} | names)


def test_rows_land_if_a_followed_run_turns_out_to_be_another_persons(file_warehouse: Warehouse) -> None:
    linked = reading(
        of(ADA, 1, HER_RUN, message_id=OBJECT_ID), opened_in_run(2, NAMELESS, message_id=OBJECT_ID), day=NEXT_DAY
    )
    land_into(file_warehouse, linked)
    assert erase_from(file_warehouse).activities == 2
    load = land_into(file_warehouse, reading(of(BOB, 3, NAMELESS), of(BOB, 4, NAMELESS)), LATER)
    assert (load.rows, load.suppressed) == (2, 0)
    again = land_into(file_warehouse, linked, LATER)
    assert (again.rows, again.suppressed) == (1, 1)  # the run is BOB's, and so is its row


def test_an_unreadable_row_lands_if_its_object_is_shared_with_another_person(file_warehouse: Warehouse) -> None:
    """A message, and then a run without a person."""
    rejects = ((f'{{"id":"{OBJECT_ID}"', "cut"), (f'{{"id":"{NAMELESS}"', "cut"))
    rows = (of(ADA, 1, HER_RUN, message_id=OBJECT_ID), opened_in_run(2, NAMELESS, message_id=OBJECT_ID))
    land_into(file_warehouse, reading(*rows, rejects=rejects))
    assert erase_from(file_warehouse).rejects == 2
    first = land_into(file_warehouse, reading(of(BOB, 3, HIS_RUN, message_id=OBJECT_ID), rejects=rejects), LATER)
    assert (first.rows, first.rejects, first.suppressed) == (1, 1, 1)
    assert ask(file_warehouse, "SELECT raw FROM topo.rejects") == [(rejects[0][0],)]
    second = land_into(file_warehouse, reading(of(BOB, 4, NAMELESS), rejects=rejects[1:], day=NEXT_DAY), LATER)
    assert (second.rows, second.rejects, second.suppressed) == (1, 1, 0)


def test_an_object_shared_with_another_person_on_an_earlier_day_is_not_left_out(file_warehouse: Warehouse) -> None:
    first = reading(of(BOB, 1, HIS_RUN, message_id=OBJECT_ID), mention_of(2, "message_id"))
    land_into(file_warehouse, first)
    land_into(file_warehouse, reading(of(ADA, 3, HER_RUN), day=NEXT_DAY))
    erase_from(file_warehouse)
    land_into(file_warehouse, reading(of(ADA, 4, HER_RUN, message_id=OBJECT_ID), day=NEXT_DAY), LATER)
    again = land_into(file_warehouse, first, LATER)
    assert (again.rows, again.removed, again.suppressed) == (2, 0, 0)


def test_a_copy_keeps_another_persons_rows_in_a_followed_run(file_warehouse: Warehouse, tmp_path: Path) -> None:
    land_into(file_warehouse, reading(of(BOB, 3, NAMELESS), of(BOB, 4, NAMELESS)))
    backup = copy_of(file_warehouse, tmp_path)
    with file_warehouse.transaction() as connection:
        connection.execute("DELETE FROM topo.activities")
    linked = (of(ADA, 1, HER_RUN, message_id=OBJECT_ID), opened_in_run(2, NAMELESS, message_id=OBJECT_ID))
    land_into(file_warehouse, reading(*linked, day=NEXT_DAY))
    erase_from(file_warehouse)
    with backup.transaction() as connection:
        assert apply_erasures(connection, erased_subjects_of(file_warehouse), now=LATER) == NOTHING
    assert landed_ids(backup) == [uuid_of(3), uuid_of(4)]


def test_an_unknown_id_is_refused_while_rows_of_an_erased_persons_run_remain(
    file_warehouse: Warehouse,
) -> None:
    land_into(file_warehouse, reading(of(ADA, 1, HER_RUN), in_run(2, NAMELESS)))
    erase_from(file_warehouse)
    land_into(file_warehouse, reading(of(ADA, 3, NAMELESS), day=NEXT_DAY), LATER)
    with pytest.raises(WarehouseError, match="No landed row mentions"):
        erase_from(file_warehouse, UUID(uuid_of(0xC1D)))
    assert landed_ids(file_warehouse) == [uuid_of(2)]


def test_ids_that_are_not_uuids_are_case_sensitive(file_warehouse: Warehouse) -> None:
    land_into(file_warehouse, reading(of(ADA, 1, HER_RUN, message_id="aB-1"), mention_of(2, "message_id", "Ab1")))
    assert erase_from(file_warehouse).activities == 1
    assert landed_ids(file_warehouse) == [uuid_of(2)]


def test_a_landed_row_that_a_reload_leaves_out_is_not_kept_as_a_change(file_warehouse: Warehouse) -> None:
    land_into(file_warehouse, reading(of(ADA, 1, HER_RUN), in_run(2, NAMELESS)))
    erase_from(file_warehouse)
    again = land_into(file_warehouse, reading(in_run(2, NAMELESS), of(ADA, 3, NAMELESS)), LATER)
    assert (again.rows, again.removed) == (0, 1)
    assert ask(file_warehouse, "FROM topo.activity_changes") == []
