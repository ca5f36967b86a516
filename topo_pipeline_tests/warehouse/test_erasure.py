"""A forgotten person is in no row, comes back by no reading, and takes nobody else along."""

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pytest
from hypothesis import given
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


def erase_from(warehouse: Warehouse, person: UUID = ADA) -> Trace:
    with warehouse.transaction() as connection:
        return erase(connection, person, now=LATER)


def kept(warehouse: Warehouse) -> list[str]:
    """The ids of the landed activities."""
    return [id_ for (id_,) in ask(warehouse, "SELECT id::VARCHAR FROM topo.activities ORDER BY id")]


def everything(warehouse: Warehouse) -> str:
    return repr(snapshot(warehouse)).lower()


def test_rows_changes_and_rejects_of_the_person_go_and_all_others_stay(warehouse: Warehouse) -> None:
    bind(warehouse)
    rejects = ((f'{{"id":"x","person":"{ADA}"', "cut"), (f'{{"id":"y","person":"{BOB}"', "cut"))
    land_into(warehouse, reading(of(ADA, 1, HER_RUN, v=1), of(BOB, 2, HIS_RUN, v=1), of(ADA, 3), rejects=rejects))
    land_into(warehouse, reading(of(ADA, 1, HER_RUN, v=2), of(BOB, 2, HIS_RUN, v=2)), LATER)

    assert erase_from(warehouse) == Trace(activities=1, changes=2, rejects=1, runs=1)

    said = everything(warehouse)
    assert str(ADA) not in said
    assert HER_RUN not in said
    assert kept(warehouse) == [uuid_of(2)]
    assert ask(warehouse, "SELECT id::VARCHAR FROM topo.activity_changes") == [(uuid_of(2),)]
    assert ask(warehouse, "SELECT raw FROM topo.rejects") == [(rejects[1][0],)]


def test_a_row_that_only_mentions_the_person_goes_too_however_that_is_written(file_warehouse: Warehouse) -> None:
    bind(file_warehouse)
    spellings = (str(ADA), str(ADA).upper(), ADA.hex, f"urn:uuid:{ADA}")
    mentions = [
        activity(n, {"type": "message.sent", "personId": str(BOB), "metadata": {"forwardedTo": [spelling]}})
        for n, spelling in enumerate(spellings)
    ]
    land_into(file_warehouse, reading(*mentions, of(BOB, 9)))
    assert erase_from(file_warehouse).activities == len(spellings)
    assert kept(file_warehouse) == [uuid_of(9)]
    assert land_into(file_warehouse, reading(*mentions, of(BOB, 9)), LATER).suppressed == len(spellings)
    assert kept(file_warehouse) == [uuid_of(9)]


def test_an_id_that_is_escaped_in_the_json_is_found(file_warehouse: Warehouse) -> None:
    bind(file_warehouse)
    escaped = "".join(f"\\u{ord(character):04x}" for character in str(ADA))
    hidden = activity(1, f'{{"type":"message.sent","person_id":"{escaped}"}}')
    land_into(file_warehouse, reading(hidden))
    assert erase_from(file_warehouse).activities == 1
    assert land_into(file_warehouse, reading(hidden), LATER).suppressed == 1
    assert kept(file_warehouse) == []


def test_what_a_run_of_the_person_left_without_naming_the_person_goes_too(warehouse: Warehouse) -> None:
    bind(warehouse)
    land_into(warehouse, reading(of(ADA, 1, HER_RUN), in_run(2, HER_RUN), in_run(3, HIS_RUN)))
    assert erase_from(warehouse) == Trace(activities=2, changes=0, rejects=0, runs=1)
    load = land_into(warehouse, reading(in_run(4, HER_RUN), in_run(5, HIS_RUN), day=NEXT_DAY), LATER)
    assert (load.rows, load.suppressed) == (1, 1)
    assert kept(warehouse) == [uuid_of(3), uuid_of(5)]


def test_a_reading_does_not_bring_the_person_back_and_the_count_still_adds_up(warehouse: Warehouse) -> None:
    bind(warehouse)
    surrogate = json.dumps({"person_id": str(ADA)})[:-1] + "," + LONE_SURROGATE[1:]
    whole = reading(
        *(of(ADA, number, HER_RUN) for number in range(10)),
        *(of(BOB, number, HIS_RUN) for number in range(10, 14)),
        activity(90, surrogate, at=noon()),
        rejects=((f'["{ADA}"', "cut"), ("[", "cut")),
    )
    first = land_into(warehouse, whole)
    erase_from(warehouse)
    again = land_into(warehouse, whole, LATER)

    assert adds_up(first)
    assert adds_up(again)
    assert (again.rows, again.rejects, again.suppressed) == (4, 1, 12)
    assert (again.added, again.changed, again.removed) == (0, 0, 0)
    assert str(ADA) not in everything(warehouse)


def adds_up(load: Load) -> bool:
    return load.rows + load.rejects + load.suppressed == load.api_total_count


def test_the_ledger_of_what_was_landed_before_says_how_much_is_left_out(file_warehouse: Warehouse) -> None:
    bind(file_warehouse)
    for rows, now in (((of(ADA, 1), of(BOB, 2)), LANDED), ((of(ADA, 1), of(BOB, 2), of(ADA, 3)), LATER)):
        land_into(file_warehouse, reading(*rows), now)
    land_into(file_warehouse, reading(of(BOB, 7), day=NEXT_DAY))
    erase_from(file_warehouse)
    ledger = ask(file_warehouse, "SELECT day, rows, suppressed FROM landed_days ORDER BY day")
    assert ledger == [(DAY, 1, 2), (NEXT_DAY, 1, 0)]


def test_to_forget_again_erases_nothing_more_and_notes_nobody_twice(warehouse: Warehouse) -> None:
    bind(warehouse)
    land_into(warehouse, reading(of(ADA, 1, HER_RUN), of(BOB, 2)))
    erase_from(warehouse)
    before = snapshot(warehouse, "activities", "loads", "forgotten", "workspace")
    assert erase_from(warehouse) == Trace(0, 0, 0, 0)
    assert snapshot(warehouse, "activities", "loads", "forgotten", "workspace") == before


def test_who_is_in_nothing_that_is_landed_is_taken_for_a_slip(file_warehouse: Warehouse) -> None:
    bind(file_warehouse)
    land_into(file_warehouse, reading(of(BOB, 2)))
    with pytest.raises(WarehouseError, match=f"No landed row mentions {ADA}"):
        erase_from(file_warehouse, ADA)
    assert land_into(file_warehouse, reading(of(ADA, 1), of(BOB, 2)), LATER).rows == 2


def test_an_id_of_something_else_is_refused(file_warehouse: Warehouse) -> None:
    bind(file_warehouse)
    ids = {"organization_id": uuid_of(901), "sequence_template_id": uuid_of(902)}
    land_into(file_warehouse, reading(of(ADA, 1, uuid_of(903), **ids)))
    before = snapshot(file_warehouse)
    for number, what in {901: "the organization", 902: "a sequence", 903: "a sequence run", 1: "an activity"}.items():
        with pytest.raises(WarehouseError, match=f"the id of {what}, not of a person"):
            erase_from(file_warehouse, UUID(uuid_of(number)))
    assert snapshot(file_warehouse) == before


def test_somebody_elses_run_stays_though_one_of_its_rows_mentions_the_person(file_warehouse: Warehouse) -> None:
    bind(file_warehouse)
    mentions = of(BOB, 1, HIS_RUN, metadata={"referredBy": str(ADA)})
    rows = (mentions, of(BOB, 2, HIS_RUN), in_run(3, HIS_RUN), of(ADA, 4, HER_RUN))
    land_into(file_warehouse, reading(*rows))
    assert erase_from(file_warehouse).activities == 2
    assert kept(file_warehouse) == [uuid_of(2), uuid_of(3)]
    assert land_into(file_warehouse, reading(*rows), LATER).suppressed == 2


def test_a_run_that_a_forgotten_person_enters_later_is_left_out_too(file_warehouse: Warehouse) -> None:
    bind(file_warehouse)
    new_run = uuid_of(0xADA2)
    land_into(file_warehouse, reading(of(ADA, 1, HER_RUN)))
    erase_from(file_warehouse)
    land_into(file_warehouse, reading(in_run(2, new_run), day=NEXT_DAY))  # read before the run named anybody
    load = land_into(file_warehouse, reading(of(ADA, 3, new_run), in_run(4, new_run)), LATER)
    assert (load.rows, load.suppressed) == (0, 2)
    assert erase_from(file_warehouse).activities == 1  # to forget again finds what had landed meanwhile
    assert kept(file_warehouse) == []


def test_what_is_erased_is_what_is_left_out(file_warehouse: Warehouse) -> None:
    bind(file_warehouse)
    notes = [f"ab12{ADA.hex}", f"person_{ADA}", f"{ADA.hex}ff", f"[{ADA}]", str(ADA)[:-1], f"x{ADA}x"]
    rows = [activity(n, {"type": "message.sent", "note": note}) for n, note in enumerate(notes)]
    whole = reading(*rows, of(ADA, 50))
    land_into(file_warehouse, whole)
    erased = erase_from(file_warehouse).activities
    stayed = kept(file_warehouse)
    assert land_into(file_warehouse, whole, LATER).suppressed == erased
    assert kept(file_warehouse) == stayed == [uuid_of(4)]


def test_two_forgotten_people_are_both_kept_out(file_warehouse: Warehouse) -> None:
    bind(file_warehouse)
    land_into(file_warehouse, reading(of(ADA, 1), of(BOB, 2), in_run(3, HIS_RUN)))
    erase_from(file_warehouse, ADA)
    erase_from(file_warehouse, BOB)
    assert land_into(file_warehouse, reading(of(ADA, 1), of(BOB, 2), in_run(3, HIS_RUN))).rows == 1


def test_what_is_kept_is_a_hash_that_only_the_warehouses_own_key_makes(
    file_warehouse: Warehouse, warehouse: Warehouse
) -> None:
    hashes = []
    for one in (file_warehouse, warehouse):
        bind(one)
        land_into(one, reading(of(ADA, 1)))
        erase_from(one)
        hashes += ask(one, "SELECT id_hash FROM topo.forgotten")
        assert str(ADA) not in everything(one)
    assert len(set(hashes)) == 2


def test_where_nothing_was_ever_landed_there_is_nobody_to_forget(file_warehouse: Warehouse) -> None:
    with pytest.raises(WarehouseError, match="Nothing has been landed"):
        erase_from(file_warehouse)


def escaped(id_: UUID | str) -> str:
    """Return an id as JSON text in which every character is an escape."""
    return "".join(f"\\u{ord(character):04x}" for character in str(id_))


def test_a_run_whose_id_is_escaped_in_the_json_is_found(file_warehouse: Warehouse) -> None:
    bind(file_warehouse)
    hidden = activity(2, f'{{"type":"sequence.completed","sequence_id":"{escaped(HER_RUN)}"}}')
    rows = (of(ADA, 1, HER_RUN), hidden, in_run(3, HIS_RUN))
    land_into(file_warehouse, reading(*rows))
    assert erase_from(file_warehouse).activities == 2
    assert land_into(file_warehouse, reading(*rows), LATER).suppressed == 2
    assert kept(file_warehouse) == [uuid_of(3)]


def test_a_reject_that_names_the_person_in_upper_case_is_erased_and_not_landed_again(file_warehouse: Warehouse) -> None:
    bind(file_warehouse)
    read = reading(of(BOB, 2), rejects=((f'["{str(ADA).upper()}"', "cut"), (f'["{str(BOB).upper()}"', "cut")))
    land_into(file_warehouse, read)
    assert erase_from(file_warehouse).rejects == 1
    again = land_into(file_warehouse, read, LATER)
    assert (again.rejects, again.suppressed) == (1, 1)
    assert len(snapshot(file_warehouse)["rejects"]) == 1


def test_only_the_last_load_of_a_day_counts_the_rows_that_were_erased(file_warehouse: Warehouse) -> None:
    bind(file_warehouse)
    land_into(file_warehouse, reading(of(ADA, 1), of(BOB, 2)))
    land_into(file_warehouse, reading(of(ADA, 1), of(BOB, 2), of(ADA, 3)), LATER)
    erase_from(file_warehouse)
    loads = ask(file_warehouse, "SELECT rows, suppressed FROM topo.loads ORDER BY finished_at")
    assert loads == [(2, 0), (1, 2)]


def test_the_id_of_a_sequence_without_activities_is_refused_and_people_can_still_be_erased(
    file_warehouse: Warehouse,
) -> None:
    bind(file_warehouse)
    land_into(file_warehouse, reading(of(ADA, 1), of(BOB, 2)))
    land_templates_into(file_warehouse, template(950))
    with pytest.raises(WarehouseError, match="the id of a sequence, not of a person"):
        erase_from(file_warehouse, UUID(uuid_of(950)))
    assert erase_from(file_warehouse).activities == 1


HIDDEN = activity(1, f'{{"type":"message.sent","person_id":"{escaped(ADA)}"}}')
HIS = of(BOB, 9)


@pytest.mark.parametrize(
    ("readings", "erased"),
    [
        ([reading(HIDDEN, HIS)], Trace(activities=1, changes=0, rejects=0, runs=0)),
        ([reading(HIDDEN, HIS), reading(HIS)], Trace(activities=0, changes=1, rejects=0, runs=0)),
        (
            [reading(of(ADA, 1, v=1), HIS), reading(of(ADA, 1, v=2), HIS)],
            Trace(activities=1, changes=1, rejects=0, runs=0),
        ),
        ([reading(HIS, rejects=((f'["{ADA}"', "cut"),))], Trace(activities=0, changes=0, rejects=1, runs=0)),
    ],
    ids=["an activity", "a change", "both", "a reject"],
)
def test_a_person_erased_elsewhere_is_erased_from_every_table_that_names_the_person(
    file_warehouse: Warehouse, tmp_path: Path, readings: list[ReadDay], erased: Trace
) -> None:
    bind(file_warehouse)
    for hours, read in enumerate(readings):
        land_into(file_warehouse, read, LANDED + timedelta(hours=hours))
    backup = copy_of(file_warehouse, tmp_path)
    erase_from(file_warehouse)
    known = erased_subjects_of(file_warehouse)
    with backup.transaction() as connection:
        assert apply_erasures(connection, known, now=LATER + timedelta(days=1)) == erased
    assert erased_subjects_of(backup) == known  # with the original dates
    left = snapshot(backup, "activity_changes", "rejects")
    assert (kept(backup), left) == ([uuid_of(9)], {"activity_changes": [], "rejects": []})


def copy_of(warehouse: Warehouse, folder: Path) -> Warehouse:
    return Warehouse(str(shutil.copy(warehouse.path, folder / "backup.duckdb")))


def erased_subjects_of(warehouse: Warehouse) -> ErasedSubjects:
    with warehouse.reader() as connection:
        return erased_subjects(connection)


def test_an_id_that_nothing_names_is_refused_although_somebody_else_was_erased(file_warehouse: Warehouse) -> None:
    bind(file_warehouse)
    land_into(file_warehouse, reading(of(ADA, 1), of(BOB, 2)))
    erase_from(file_warehouse, ADA)
    nobody = UUID(uuid_of(0xC1D))
    with pytest.raises(WarehouseError, match=f"No landed row mentions {nobody}"):
        erase_from(file_warehouse, nobody)
    assert erase_from(file_warehouse, ADA) == Trace(0, 0, 0, 0)


ENCODINGS: dict[str, Callable[[str], str]] = {
    "as Topo writes it": str,
    "upper case": str.upper,
    "without hyphens": lambda id_: id_.replace("-", ""),
    "after a percent-encoded character": lambda id_: f"p%2F{id_}",
    "after a character that JSON escapes": lambda id_: f"\\u003d{id_}",
    "after letters that are digits too": lambda id_: f"id=fade{id_}",
    "percent-encoded": lambda id_: "".join(f"%{ord(character):02X}" for character in id_),
    "percent-encoded twice": lambda id_: id_.replace("-", "%252D"),
    "escaped in JSON": lambda id_: "".join(f"\\u{ord(character):04x}" for character in id_),
    "JSON within JSON": lambda id_: json.dumps(f"\\u0022{id_}\\u0022")[1:-1],
    "escaped in JSON within JSON": lambda id_: "".join(f"\\\\u{ord(character):04x}" for character in id_),
    "hyphens escaped in JSON within JSON": lambda id_: id_.replace("-", "\\\\u002d"),
    "among many others": lambda id_: "-".join([*map(uuid_of, range(400)), id_, *map(uuid_of, range(400))]),
    "in a number of thousands of digits": lambda id_: "ab" * 2000 + id_.replace("-", "") + "cd" * 2000,
    "beside what is no text": lambda id_: f"%E2%82{id_}%zz%ff",
}


def test_however_an_id_is_encoded_it_is_erased_from_everything_and_kept_out(file_warehouse: Warehouse) -> None:
    bind(file_warehouse)
    hidden = dict(enumerate((encode(str(ADA)) for encode in ENCODINGS.values()), start=10))
    rejects = [(f'{{"id":"x","note":"{note}"', "cut") for note in hidden.values()]

    def naming(version: int) -> ReadDay:
        rows = [activity(n, f'{{"type":"message.sent","v":{version},"note":"{note}"}}') for n, note in hidden.items()]
        return reading(*rows, of(BOB, 2), rejects=tuple(rejects))

    land_into(file_warehouse, naming(1))
    land_into(file_warehouse, naming(2), LATER)
    many = len(hidden)
    assert erase_from(file_warehouse) == Trace(activities=many, changes=many, rejects=many, runs=0)
    assert land_into(file_warehouse, naming(2), LATER).suppressed == 2 * many
    assert kept(file_warehouse) == [uuid_of(2)]
    assert ask(file_warehouse, "SELECT raw FROM topo.rejects") == []


@pytest.fixture(scope="module")
def ids_in() -> Iterator[Callable[[str], set[str]]]:
    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA topo; CREATE TABLE topo.workspace (hash_key VARCHAR)")
        define_erasure_macros(connection)
        yield lambda text: set(connection.execute("SELECT unnest(ids_in(?))", [text]).df().iloc[:, 0])


@given(st.text(max_size=40), st.text(max_size=40), st.sampled_from(sorted(ENCODINGS)))
def test_whatever_stands_around_an_id_it_is_found(
    ids_in: Callable[[str], set[str]], before: str, after: str, encoding: str
) -> None:
    assert ADA.hex in ids_in(f"{before}{ENCODINGS[encoding](str(ADA))}{after}")


def test_a_number_of_a_million_digits_is_looked_at_from_both_ends(ids_in: Callable[[str], set[str]]) -> None:
    assert ids_in(f"{'0' * 1_000_000}{ADA.hex}") == {"0" * 32, ADA.hex}


def test_a_run_whose_person_only_an_earlier_version_names_is_the_persons(file_warehouse: Warehouse) -> None:
    bind(file_warehouse)
    land_into(file_warehouse, reading(of(ADA, 1, HER_RUN), in_run(2, HER_RUN)))
    land_into(file_warehouse, reading(in_run(1, HER_RUN), in_run(2, HER_RUN)), LATER)
    assert erase_from(file_warehouse) == Trace(activities=2, changes=1, rejects=0, runs=1)


def test_rows_that_mention_a_run_of_the_person_only_in_their_text_are_erased_too(file_warehouse: Warehouse) -> None:
    bind(file_warehouse)
    mentions = activity(2, {"type": "task.created", "metadata": {"continues": HER_RUN}})
    whole = reading(of(ADA, 1, HER_RUN), mentions, of(BOB, 3), rejects=((f'["{HER_RUN}"', "cut"),))
    land_into(file_warehouse, whole)
    assert erase_from(file_warehouse) == Trace(activities=2, changes=0, rejects=1, runs=1)
    assert land_into(file_warehouse, whole, LATER).suppressed == 3
    assert kept(file_warehouse) == [uuid_of(3)]


def test_the_ledger_adds_up_after_two_people_are_erased_one_after_the_other(file_warehouse: Warehouse) -> None:
    bind(file_warehouse)
    land_into(file_warehouse, reading(of(ADA, 1), of(BOB, 2), of(BOB, 3), activity(4)))
    erase_from(file_warehouse, ADA)
    erase_from(file_warehouse, BOB)
    assert ask(file_warehouse, "SELECT rows, suppressed FROM landed_days") == [(1, 3)]


def test_landed_rows_of_a_run_that_an_erased_person_enters_later_go_with_the_next_load(
    file_warehouse: Warehouse,
) -> None:
    bind(file_warehouse)
    new_run = uuid_of(0xADA2)
    land_into(file_warehouse, reading(of(ADA, 1, HER_RUN), in_run(2, new_run)))
    erase_from(file_warehouse)
    assert kept(file_warehouse) == [uuid_of(2)]
    load = land_into(file_warehouse, reading(in_run(2, new_run), of(ADA, 3, new_run), of(ADA, 4, new_run)), LATER)
    assert (load.rows, load.removed, load.suppressed) == (0, 1, 3)
    assert kept(file_warehouse) == []
    noted = ask(file_warehouse, "SELECT id_hash FROM topo.forgotten")
    assert len(noted) == len(set(noted)) == 5  # the person and both runs, each of these in two ways


def test_a_copy_that_names_nobody_who_was_erased_elsewhere_loses_nothing(
    file_warehouse: Warehouse, tmp_path: Path
) -> None:
    bind(file_warehouse)
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
THING = uuid_of(0x7417)


def naming(number: int, kind: str, id_: str = THING, **more: Any) -> Activity:
    """An activity that names neither a person nor a run."""
    return activity(number, {"type": "message.opened", kind: id_, **more})


@pytest.mark.parametrize(
    ("kind", "id_"), [*((kind, THING) for kind in KINDS), ("message_id", THING.upper()), ("task_id", "msg_1")]
)
def test_a_row_without_a_person_goes_if_only_rows_of_the_person_name_the_same_thing(
    file_warehouse: Warehouse, kind: str, id_: str
) -> None:
    bind(file_warehouse)
    others = [naming(3, other, id_) for other in KINDS if other != kind][:1]
    land_into(file_warehouse, reading(of(ADA, 1, HER_RUN, **{kind: id_}), of(BOB, 4, HIS_RUN, **{kind: "msg_2"})))
    land_into(file_warehouse, reading(naming(2, kind, id_), *others, naming(5, kind, "msg_2"), day=NEXT_DAY))
    assert erase_from(file_warehouse).activities == 2
    assert kept(file_warehouse) == [uuid_of(3), uuid_of(4), uuid_of(5)]
    load = land_into(file_warehouse, reading(naming(2, kind, id_), *others, naming(5, kind, "msg_2"), day=NEXT_DAY))
    assert (load.rows, load.suppressed) == (2, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_what_somebody_elses_row_names_too_is_not_followed(file_warehouse: Warehouse, kind: str) -> None:
    bind(file_warehouse)
    shared = {kind: THING}
    rows = (of(ADA, 1, HER_RUN, **shared), of(BOB, 2, HIS_RUN, **shared), naming(3, kind))
    in_his_run = activity(4, {"type": "task.created", "sequence_id": HIS_RUN, "message_id": "msg_9"})
    hers = (of(ADA, 5, HER_RUN, message_id="msg_9"), naming(6, "message_id", "msg_9"))
    land_into(file_warehouse, reading(*rows, in_his_run, *hers))
    assert erase_from(file_warehouse).activities == 2
    assert kept(file_warehouse) == [uuid_of(number) for number in (2, 3, 4, 6)]
    assert land_into(file_warehouse, reading(*rows, in_his_run, *hers), LATER).suppressed == 2


def test_the_things_are_followed_to_a_run_that_names_nobody_and_from_there_on(file_warehouse: Warehouse) -> None:
    bind(file_warehouse)
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
    assert kept(file_warehouse) == [uuid_of(5), uuid_of(6)]
    assert land_into(file_warehouse, reading(*rows), LATER).suppressed == 4


def test_what_a_person_does_after_being_forgotten_is_followed_too(file_warehouse: Warehouse) -> None:
    bind(file_warehouse)
    nameless = uuid_of(0xADA3)
    land_into(file_warehouse, reading(of(ADA, 1, HER_RUN), of(BOB, 2, HIS_RUN)))
    erase_from(file_warehouse)
    rows = (
        of(ADA, 3, HER_RUN, message_id="msg_1"),
        naming(4, "message_id", "msg_1"),
        activity(5, {"type": "message.opened", "sequence_id": nameless, "message_id": "msg_1"}),
        of(BOB, 6, HIS_RUN, message_id="msg_2"),
        naming(7, "message_id", "msg_2"),
    )
    assert land_into(file_warehouse, reading(*rows, day=NEXT_DAY), LATER).suppressed == 3
    assert kept(file_warehouse) == [uuid_of(2), uuid_of(6), uuid_of(7)]
    later = activity(8, {"type": "message.opened", "sequence_id": nameless})
    assert land_into(file_warehouse, reading(later, *rows, day=NEXT_DAY), LATER).suppressed == 4


def test_earlier_versions_and_unreadable_rows_are_followed_too(file_warehouse: Warehouse) -> None:
    bind(file_warehouse)
    cut = ((f'{{"messageId":"{THING}"', "cut"), (f'{{"messageId":"{uuid_of(77)}"', "cut"))
    land_into(file_warehouse, reading(of(ADA, 1, HER_RUN, message_id=THING), naming(2, "message_id", v=1), rejects=cut))
    land_into(file_warehouse, reading(of(ADA, 1, HER_RUN), naming(2, "message_id", v=2), rejects=cut), LATER)
    assert erase_from(file_warehouse) == Trace(activities=2, changes=2, rejects=1, runs=1)
    assert THING not in everything(file_warehouse)
    again = land_into(file_warehouse, reading(naming(2, "message_id", v=2), rejects=cut), LATER)
    assert (again.rows, again.rejects, again.suppressed) == (0, 1, 2)


def test_a_backup_is_rid_of_what_was_followed(file_warehouse: Warehouse, tmp_path: Path) -> None:
    bind(file_warehouse)
    land_into(file_warehouse, reading(of(ADA, 1, HER_RUN, message_id=THING), naming(2, "message_id"), of(BOB, 3)))
    backup = copy_of(file_warehouse, tmp_path)
    erase_from(file_warehouse)
    with backup.transaction() as connection:
        assert apply_erasures(connection, erased_subjects_of(file_warehouse), now=LATER).activities == 2
    assert kept(backup) == [uuid_of(3)]


NAMELESS = uuid_of(0xADA3)


def opened_in(number: int, run: str | None, **names: str) -> Activity:
    """An activity that names no person."""
    return activity(number, {"type": "message.opened", "sequence_id": run} | names)


def test_rows_of_somebody_who_turns_out_to_be_in_a_run_that_was_followed_land(file_warehouse: Warehouse) -> None:
    bind(file_warehouse)
    linked = reading(of(ADA, 1, HER_RUN, message_id=THING), opened_in(2, NAMELESS, message_id=THING), day=NEXT_DAY)
    land_into(file_warehouse, linked)
    assert erase_from(file_warehouse).activities == 2
    load = land_into(file_warehouse, reading(of(BOB, 3, NAMELESS), of(BOB, 4, NAMELESS)), LATER)
    assert (load.rows, load.suppressed) == (2, 0)
    again = land_into(file_warehouse, linked, LATER)
    assert (again.rows, again.suppressed) == (1, 1)  # the run is his: its row too


@pytest.mark.parametrize("kind", ["message_id", "sequence_id"])
def test_an_unreadable_row_of_what_turns_out_to_be_somebody_elses_too_stays(
    file_warehouse: Warehouse, kind: str
) -> None:
    bind(file_warehouse)
    cut = ((f'{{"id":"{NAMELESS}"', "cut"), (f'{{"id":"{THING}"', "cut"))
    rows = (of(ADA, 1, HER_RUN, message_id=THING), opened_in(2, NAMELESS, message_id=THING))
    land_into(file_warehouse, reading(*rows, rejects=cut))
    assert erase_from(file_warehouse).rejects == 2
    his = {"message_id": {"run": HIS_RUN, "message_id": THING}, "sequence_id": {"run": NAMELESS}}[kind]
    again = land_into(file_warehouse, reading(of(BOB, 3, **his), rejects=cut, day=NEXT_DAY), LATER)
    assert (again.rows, again.rejects, again.suppressed) == (1, 1, 1)
    assert ask(file_warehouse, "SELECT raw FROM topo.rejects") == [(cut[kind == "message_id"][0],)]


def test_what_an_earlier_day_shows_to_be_somebody_elses_too_is_not_left_out(file_warehouse: Warehouse) -> None:
    bind(file_warehouse)
    first = reading(of(BOB, 1, HIS_RUN, message_id=THING), naming(2, "message_id"))
    land_into(file_warehouse, first)
    land_into(file_warehouse, reading(of(ADA, 3, HER_RUN), day=NEXT_DAY))
    erase_from(file_warehouse)
    land_into(file_warehouse, reading(of(ADA, 4, HER_RUN, message_id=THING), day=NEXT_DAY), LATER)
    again = land_into(file_warehouse, first, LATER)
    assert (again.rows, again.removed, again.suppressed) == (2, 0, 0)


def test_a_backup_that_knows_whose_run_it_is_keeps_that_persons_rows(file_warehouse: Warehouse, tmp_path: Path) -> None:
    bind(file_warehouse)
    land_into(file_warehouse, reading(of(BOB, 3, NAMELESS), of(BOB, 4, NAMELESS)))
    backup = copy_of(file_warehouse, tmp_path)
    with file_warehouse.transaction() as connection:
        connection.execute("DELETE FROM topo.activities")
    linked = (of(ADA, 1, HER_RUN, message_id=THING), opened_in(2, NAMELESS, message_id=THING))
    land_into(file_warehouse, reading(*linked, day=NEXT_DAY))
    erase_from(file_warehouse)
    with backup.transaction() as connection:
        assert apply_erasures(connection, erased_subjects_of(file_warehouse), now=LATER) == NOTHING
    assert kept(backup) == [uuid_of(3), uuid_of(4)]


def test_an_id_that_nothing_names_is_refused_although_rows_of_somebody_forgotten_are_left(
    file_warehouse: Warehouse,
) -> None:
    bind(file_warehouse)
    land_into(file_warehouse, reading(of(ADA, 1, HER_RUN), in_run(2, NAMELESS)))
    erase_from(file_warehouse)
    land_into(file_warehouse, reading(of(ADA, 3, NAMELESS), day=NEXT_DAY), LATER)
    with pytest.raises(WarehouseError, match="No landed row mentions"):
        erase_from(file_warehouse, UUID(uuid_of(0xC1D)))
    assert kept(file_warehouse) == [uuid_of(2)]


def test_ids_that_differ_in_case_alone_are_two_unless_they_are_uuids(file_warehouse: Warehouse) -> None:
    bind(file_warehouse)
    land_into(file_warehouse, reading(of(ADA, 1, HER_RUN, message_id="aB-1"), naming(2, "message_id", "Ab1")))
    assert erase_from(file_warehouse).activities == 1
    assert kept(file_warehouse) == [uuid_of(2)]


def test_a_landed_row_that_is_left_out_from_now_on_is_not_kept_as_a_change(file_warehouse: Warehouse) -> None:
    bind(file_warehouse)
    land_into(file_warehouse, reading(of(ADA, 1, HER_RUN), in_run(2, NAMELESS)))
    erase_from(file_warehouse)
    again = land_into(file_warehouse, reading(in_run(2, NAMELESS), of(ADA, 3, NAMELESS)), LATER)
    assert (again.rows, again.removed) == (0, 1)
    assert ask(file_warehouse, "FROM topo.activity_changes") == []
