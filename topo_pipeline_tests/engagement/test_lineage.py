"""Where a column comes from, as far as names say so; the counts themselves bear it out."""

import pytest

from topo_pipeline.engagement.lineage import firsts, lineage
from topo_pipeline.engagement.tables import tables
from topo_pipeline_tests.engagement.helpers import Workspace, enrolled, march, opened, replied, sent

COUNTS = [name for name in tables()["sequence_activity"].columns if name.startswith("total_")]
UNIQUES = [name for name in tables()["sequence_daily"].columns if name.startswith("unique_")]
NAMES = {
    "sequence_name": {("topo", "sequence_templates", "name")},
    "status": {("topo", "sequence_templates", "status")},
}


def test_totals_come_from_the_counts_of_days_and_uniques_from_the_firsts_of_runs() -> None:
    assert lineage(tables()["sequence_daily"]) == {
        **{name: {("engagement", "sequence_activity", name)} for name in COUNTS},
        **{unique: {("engagement", "sequence_runs", first)} for unique, first in firsts().items()},
    }
    assert list(firsts()) == UNIQUES
    assert firsts()["unique_sent"] == "contacted_at"


def test_the_summary_sums_the_days_and_takes_names_from_the_templates() -> None:
    counts = {name: {("engagement", "sequence_daily", name)} for name in [*COUNTS, *UNIQUES]}
    assert lineage(tables()["sequence_summary"]) == counts | NAMES


@pytest.mark.parametrize("name", ["sequence_activity", "sequence_runs"])
def test_of_what_comes_from_the_activities_nothing_is_claimed(name: str) -> None:
    assert lineage(tables()[name]) == {}


def test_no_table_claims_a_column_that_is_not_there_or_a_table_that_it_does_not_read() -> None:
    for table in tables().values():
        for column, origins in lineage(table).items():
            assert column in table.columns, (table.name, column)
            for schema, name, origin in origins:
                assert (schema, name) in table.reads
                assert schema == "topo" or origin in tables()[name].columns


def test_what_is_claimed_of_a_count_is_true(workspace: Workspace) -> None:
    events = [enrolled(march(1)), *(sent(march(day)) for day in (1, 2)), *(opened(march(day)) for day in (2, 3, 4))]
    workspace.land_all([*events, replied(march(4), category="MEETING"), sent(march(3), "B", sequence="nurture")])
    workspace.build()
    for column in [*COUNTS, *UNIQUES]:
        [(_, by_day, origin)] = lineage(tables()["sequence_summary"])[column]
        [(_, source, name)] = lineage(tables()["sequence_daily"])[origin]
        counted = f"sum({name})" if column in COUNTS else f"count({name}) FILTER (NOT left_censored)"
        [sums] = workspace.select(
            f"SELECT (SELECT sum({column}) FROM engagement.sequence_summary)::BIGINT,"  # noqa: S608
            f" (SELECT sum({origin}) FROM engagement.{by_day})::BIGINT,"
            f" (SELECT {counted} FROM engagement.{source})::BIGINT"
        )
        assert len(set(sums)) == 1, column
