"""The upstream columns of a column, as far as names show them. The counts confirm them."""

import pytest

from topo_pipeline.engagement.lineage import firsts, lineage
from topo_pipeline.engagement.tables import tables
from topo_pipeline_tests.engagement.helpers import Workspace, enrolled, march, opened, replied, sent

COUNTS = [name for name in tables()["sequence_activity"].columns if name.startswith("total_")]
CLASSES = [
    f"replies_{name}" for name in ("pending", "neutral", "negative", "opt_out", "out_of_office", "bounced", "unknown")
]
UNIQUES = [name for name in tables()["sequence_daily"].columns if name.startswith("unique_")]
NAMES = {
    "sequence_name": {("topo", "sequence_templates", "name")},
    "status": {("topo", "sequence_templates", "status")},
}


def test_daily_totals_come_from_sequence_activity_and_uniques_from_first_times_of_runs() -> None:
    assert lineage(tables()["sequence_daily"]) == {
        **{name: {("engagement", "sequence_activity", name)} for name in [*COUNTS, *CLASSES]},
        **{unique: {("engagement", "sequence_runs", first)} for unique, first in firsts().items()},
    }
    assert list(firsts()) == UNIQUES
    assert (firsts()["unique_sent"], firsts()["unique_touched"]) == ("contacted_at", "touched_at")


def test_the_summary_sums_the_days_and_has_names_from_the_templates() -> None:
    counts = {name: {("engagement", "sequence_daily", name)} for name in [*COUNTS, *CLASSES, *UNIQUES]}
    assert lineage(tables()["sequence_summary"]) == counts | NAMES


@pytest.mark.parametrize("name", ["workspace_daily", "workspace_weekly"])
def test_the_workspace_tables_sum_the_days(name: str) -> None:
    counts = {column: {("engagement", "sequence_daily", column)} for column in [*COUNTS, *CLASSES, *UNIQUES]}
    assert lineage(tables()[name]) == counts


@pytest.mark.parametrize("name", ["sequence_activity", "sequence_runs"])
def test_columns_computed_from_activities_have_no_lineage(name: str) -> None:
    assert lineage(tables()[name]) == {}


def test_lineage_names_existing_columns_of_upstream_tables() -> None:
    for table in tables().values():
        for column, origins in lineage(table).items():
            assert column in table.columns, (table.name, column)
            for schema, name, origin in origins:
                assert (schema, name) in table.reads
                assert schema == "topo" or origin in tables()[name].columns


def test_counts_equal_those_of_their_upstream_columns(workspace: Workspace) -> None:
    events = [enrolled(march(1)), *(sent(march(day)) for day in (1, 2)), *(opened(march(day)) for day in (2, 3, 4))]
    replies = (replied(march(4), category=category) for category in ("MEETING", "REFERRAL", "BOUNCED", "UNSUBSCRIBED"))
    workspace.land_all([*events, *replies, sent(march(3), "B", sequence="nurture"), opened(march(4), sequence=None)])
    workspace.build()
    for column in [*COUNTS, *CLASSES, *UNIQUES]:
        [(_, by_day, origin)] = lineage(tables()["sequence_summary"])[column]
        [(_, source, name)] = lineage(tables()["sequence_daily"])[origin]
        counted = f"count({name}) FILTER (NOT left_censored)" if column in UNIQUES else f"sum({name})"
        [sums] = workspace.select(
            f"SELECT (SELECT sum({column}) FROM engagement.sequence_summary WHERE period = 'lifetime')::BIGINT,"  # noqa: S608
            f" (SELECT sum({origin}) FROM engagement.{by_day})::BIGINT,"
            f" (SELECT {counted} FROM engagement.{source})::BIGINT"
        )
        assert len(set(sums)) == 1, column
